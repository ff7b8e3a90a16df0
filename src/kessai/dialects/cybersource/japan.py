"""Japanese payment options on this wire: `processingInformation.japanPaymentOptions`, read, checked, located. Pure."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from msgspec import Struct

from kessai.dialects.cybersource.findings import Findings
from kessai.dialects.document import has_bad_characters, mask_pans, text_of
from kessai.dialects.table import FieldError, find
from kessai.payment import options
from kessai.payment.card import Card
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money

PATH: Final = "processingInformation.japanPaymentOptions"
MEMBERS: Final[tuple[tuple[str, str], ...]] = (
    ("paymentMethod", "method"),
    ("installments", "installments"),
    ("firstBillingMonth", "first_month"),
    ("bonusMonth", "bonus_month"),
    ("bonusAmount", "bonus_amount"),
    ("secondBonusMonth", "second_bonus_month"),
    ("secondBonusAmount", "second_bonus_amount"),
    ("preapprovalType", "preapproval_type"),
    ("terminalId", "terminal_id"),
    ("businessName", "business_name"),
    ("businessNameKatakana", "business_name_katakana"),
    ("businessNameAlphaNumeric", "business_name_alphanumeric"),
)
WIRE_NAMES: Final = tuple(wire for wire, _ in MEMBERS)
_JAPAN_OFFSET_S: Final = 9 * 3600
_NAMES: Final = frozenset({"business_name", "business_name_katakana", "business_name_alphanumeric"})
_PATHS: Final[Mapping[str, str]] = {neutral: f"{PATH}.{wire}" for wire, neutral in MEMBERS} | {
    "bonuses": f"{PATH}.bonuses",
    "names": f"{PATH}.businessName",
    "amount": "orderInformation.amountDetails.totalAmount",
    "currency": "orderInformation.amountDetails.currency",
    "card": "paymentInformation.card.number",
}


class Sent(Struct, frozen=True):
    """An option as it was sent: its members in the order of `MEMBERS`, and `bonuses` in whichever of its shapes."""

    members: tuple[object, ...]
    bonuses: object = None


def sent_in(document: Mapping[str, object], findings: Findings) -> Sent | None:
    """The option of a document; None where there is none, or something that is no object."""
    raw = find(document, ("processingInformation", "japanPaymentOptions"))
    if isinstance(raw, dict):
        return Sent(tuple(map(raw.get, WIRE_NAMES)), raw.get("bonuses"))
    if raw is not None:
        findings.invalid(PATH)
    return None


def option(
    sent: Sent | None,
    merchant: Merchant,
    amount: Money | None,
    card: Card | None,
    now: datetime,
    findings: Findings,
    flags: frozenset[str],
    operation: options.Operation = "authorization",
) -> options.PaymentOption | None:
    """The Japanese payment option of a request, checked as far as the wire checks it."""
    if sent is None:
        return None
    members, bonuses = sent.members, sent.bonuses
    if bonuses is None and _may_stay(members):
        malformed, read = _read_again(members)
    else:
        malformed, read = _read(members, bonuses)
    for path in malformed:
        findings.invalid(path)
    if not isinstance(read, options.PaymentOption):
        findings.errors.extend(FieldError(_path(problem, bonuses), why=_why(problem)) for problem in read)
        return None
    if amount is None:
        return read
    for problem in options.check(
        read,
        amount,
        _day(int(now.timestamp() + _JAPAN_OFFSET_S) // 86_400),
        merchant.terms.options,
        brand=card.brand if card else None,
        operation=operation,
        merchant_initiated="merchant-initiated" in flags,
        card_present="retail" in flags,
        strict=merchant.terms.strict_options,
    ):
        if problem.severity is options.Severity.ERROR:
            findings.invalid(_path(problem, bonuses), _why(problem))
        else:
            findings.warnings.append(problem.rule)
    return read


_Read = tuple[tuple[str, ...], options.PaymentOption | tuple[options.Problem, ...]]
"""The paths of members that cannot be read, and the option or what is malformed in it."""


def _read(sent: tuple[object, ...], bonuses: object) -> _Read:
    """The members, in the order of `MEMBERS`, as an option."""
    values: dict[str, object] = {}
    malformed: list[str] = []
    for (wire, neutral), value in zip(MEMBERS, sent, strict=True):
        if value is None or value == "":
            continue
        text = text_of(value)
        if text is None or has_bad_characters(text):
            malformed.append(f"{PATH}.{wire}")
        else:  # a name is stored and printed, and a card number is no shop's name
            values[neutral] = mask_pans(text) if neutral in _NAMES else text
    values["bonuses"] = _bonuses(bonuses)
    return tuple(malformed), options.read(values)


@lru_cache(maxsize=1024)
def _read_again(sent: tuple[object, ...]) -> _Read:
    """The same of what a shop sends with every payment: short texts, in which no card number has room."""
    return _read(sent, None)


def _may_stay(sent: tuple[object, ...]) -> bool:
    """Whether members may stay in memory: they are texts, and no card number has room in one of them."""
    for value in sent:
        if value is None:
            continue
        if type(value) is not str or (len(value) >= 13 and (len(value) > 60 or any(map(str.isdigit, value)))):
            return False
    return True


@lru_cache(maxsize=4)
def _day(since_epoch: int) -> date:
    return date(1970, 1, 1) + timedelta(days=since_epoch)


def _bonuses(raw: object) -> object:
    """The three shapes of `bonuses` with their scalars as text: a count, or a list of objects and nulls."""
    if isinstance(raw, list):
        return [
            {name: text_of(value) for name, value in entry.items() if value is not None}
            if isinstance(entry, dict)
            else entry
            for entry in raw
        ]
    return text_of(raw) if raw is not None else None


def _why(problem: options.Problem) -> str:
    return f"{problem.rule} {problem.message}"


def _path(problem: options.Problem, bonuses: object) -> str:
    """Where a problem lies in the shape that the client used."""
    listed = isinstance(bonuses, list)
    if listed and problem.index is None and problem.field == "bonus_amount":
        return _PATHS["bonuses"]  # their sum
    if problem.index is not None and problem.field in ("bonus_month", "bonus_amount", "bonuses"):
        if listed:
            member = {"bonus_month": ".month", "bonus_amount": ".amount"}.get(problem.field, "")
            return f"{PATH}.bonuses[{problem.index}]{member}"
        if problem.index == 1 and problem.field != "bonuses":
            return _PATHS[f"second_{problem.field}"]
    return _PATHS[problem.field]
