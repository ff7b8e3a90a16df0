"""Japanese payment options on this wire: `payment_method.japan_payment_options`, an extension of ours. Pure.

No document of this wire has a member for them, but its acquirer codes know their faults (593 to 604), so that the links
behind it must have them. The member is optional; clients that do not send it see nothing of it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from kessai.dialects.document import has_bad_characters, mask_pans, text_of
from kessai.dialects.paymentoptions.codes import OPTION_FIELDS
from kessai.dialects.table import find
from kessai.payment import options
from kessai.payment.card import Brand
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.options import PaymentOption, Severity

PATH: Final = "payment_method.japan_payment_options"
MEMBERS: Final[Mapping[str, str]] = {
    "payment_division": "method",
    "installments": "installments",
    "first_billing_month": "first_month",
    "bonus_count": "bonuses",
    "bonus_month": "bonus_month",
    "bonus_amount": "bonus_amount",
    "second_bonus_month": "second_bonus_month",
    "second_bonus_amount": "second_bonus_amount",
    "terminal_id": "terminal_id",
    "business_name": "business_name",
    "business_name_katakana": "business_name_katakana",
    "business_name_alphanumeric": "business_name_alphanumeric",
}
"""Member to its neutral name. `payment_division` (支払区分) is 10, 21 to 24, 31 to 34, 61 or 80."""
_WIRE: Final = {neutral: member for member, neutral in MEMBERS.items()}
_JAPAN: Final = timedelta(hours=9)


class Faulty(Struct, frozen=True):
    """The member that is wrong, and the acquirer code that knows it."""

    path: str
    response_code: int


def option(
    document: Mapping[str, object], merchant: Merchant, amount: Money, brand: Brand | None, now: datetime
) -> tuple[PaymentOption | None, tuple[str, ...]] | Faulty:
    """The option of a request, with what is doubtful about it."""
    sent = find(document, PATH.split("."))
    if sent is None:
        return None, ()
    if not isinstance(sent, dict):
        return Faulty(PATH, OPTION_FIELDS["method"])
    values: dict[str, object] = {}
    for member, neutral in MEMBERS.items():
        raw = sent.get(member)
        if raw is None or raw == "":
            continue
        text = text_of(raw)
        if text is None or has_bad_characters(text):
            return _faulty(neutral)
        values[neutral] = mask_pans(text) if neutral.startswith("business") else text
    read = options.read(values)
    if not isinstance(read, PaymentOption):
        return _faulty(read[0].field, read[0].index)
    warnings: list[str] = []
    day = (now + _JAPAN).date()
    strict = merchant.terms.strict_options
    for problem in options.check(read, amount, day, merchant.terms.options, brand=brand, strict=strict):
        if problem.severity is Severity.ERROR:
            return _faulty(problem.field, problem.index)
        warnings.append(problem.rule)
    return read, tuple(dict.fromkeys(warnings))


def _faulty(neutral: str, index: int | None = None) -> Faulty:
    name = f"second_{neutral}" if index == 1 and f"second_{neutral}" in _WIRE else neutral
    path = f"{PATH}.{_WIRE[name]}" if name in _WIRE else {"amount": "amount", "currency": "currency"}.get(name, PATH)
    return Faulty(path, OPTION_FIELDS.get(neutral, OPTION_FIELDS["names"]))


def shown(option: PaymentOption) -> dict[str, object]:
    """An option as answers show it again: what there is of it."""
    found: dict[str, object] = {
        "payment_division": option.method,
        "installments": option.installments,
        "first_billing_month": option.first_month,
        "bonus_count": len(option.bonuses) or None,
    }
    for prefix, bonus in zip(("", "second_"), option.bonuses, strict=False):
        found |= {f"{prefix}bonus_month": bonus.month, f"{prefix}bonus_amount": bonus.amount}
    return {name: value for name, value in found.items() if value is not None}
