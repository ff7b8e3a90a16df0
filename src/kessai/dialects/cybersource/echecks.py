"""eChecks: payments and credits that a bank account pays or gets, and what of a request does not go with one. Pure.

The account stands in the request, or a token brings it. What says what pays decides; `paymentType.name` alone decides
only where nothing else does.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, cast

from kessai.dialects.cybersource import fields, flex

# The same readers as for cards: what is an amount or an address does not depend on what pays.
from kessai.dialects.cybersource.addresses import address_in, check_bill_to
from kessai.dialects.cybersource.findings import Findings, Problems
from kessai.dialects.cybersource.reasons import NOT_SUPPORTED
from kessai.dialects.cybersource.requests import (
    Request,
    kept_of,
    request_of,
    total_of,
    values_of,
)
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT, Supplied
from kessai.dialects.document import text_of
from kessai.dialects.table import NOWHERE, find
from kessai.payment import bank
from kessai.payment.bank import AccountType, BankAccount
from kessai.payment.card import AccountNumber
from kessai.payment.echeck import Echeck
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency

Json = Mapping[str, object]
Body = dict[str, object]

NUMBER: Final = ("paymentInformation", "bank", "account", "number")
_ACCOUNT: Final = "paymentInformation.bank.account"
_ROUTING: Final = "paymentInformation.bank.routingNumber"
_EFFECTIVE: Final = "processingInformation.bankTransferOptions.effectiveDate"
_CARDS: Final = (
    ("paymentInformation", "card", "number"),
    ("paymentInformation", "tokenizedCard", "number"),
    ("pointOfSaleInformation", "trackData"),
)
_OF_CARDS: Final = (
    ("consumerAuthenticationInformation",),
    ("processingInformation", "japanPaymentOptions"),
)
"""Members that say something of a card, and nothing of a bank account."""
_ACTIONS_OF_CARDS: Final = frozenset({"CONSUMER_AUTHENTICATION", "VALIDATE_CONSUMER_AUTHENTICATION"})
LATEST_DAYS: Final = 45
"""How far ahead the effective date may be."""


def pays(document: Json, brought: Supplied = NOTHING_BROUGHT) -> bool:
    """Whether a bank account pays, or is meant to."""
    if brought.account is not None or find(document, NUMBER) is not None:
        return True
    if brought.pan is not None or any(find(document, path) for path in _CARDS) or flex.named(document) is not None:
        return False
    paying = document.get("paymentInformation")
    if not isinstance(paying, dict):
        return False
    kind = text_of(find(paying, ("paymentType", "name")))
    return bool(paying.get("bank")) or (kind or "").upper() == "CHECK"


def read(
    document: dict[str, object],
    merchant: Merchant,
    now: datetime,
    brought: Supplied = NOTHING_BROUGHT,
    *,
    is_credit: bool,
) -> Request | Problems:
    """POST /pts/v2/payments and POST /pts/v2/credits, paid from or to a bank account."""
    actions = find(document, ("processingInformation", "actionList"))
    if not merchant.terms.echecks or (
        isinstance(actions, list) and not _ACTIONS_OF_CARDS.isdisjoint(map(str, actions))
    ):
        return Problems(NOT_SUPPORTED)
    findings = Findings()
    values = values_of(fields.ECHECK, document, findings)
    account = _account(values, brought.account, findings)
    amount = total_of(document, values, findings, merchant)
    if not (is_credit or merchant.terms.relaxed_address):
        check_bill_to(address_in(brought.bill_to or find(document, ("orderInformation", "billTo"))), findings)
    _date(values.get("effective_date"), now.date(), findings)
    _of_cards(document, findings)
    kept = kept_of(document, findings)
    brought.keep_in(kept, values)
    if findings.errors or amount is None or account is None:
        return findings.problems()
    _show(kept, account)
    return request_of(Echeck, values, kept, findings, amount=amount, account=account, is_credit=is_credit)


def _account(values: Mapping[str, object], brought: BankAccount | None, findings: Findings) -> BankAccount | None:
    """The account of a request, or of its token; what is said of it beside the number goes before the token."""
    known, currency = findings.paths, cast("Currency | None", values.get("currency"))
    number, kind, routing = values.get("account"), values.get("account_type"), values.get("routing_number")
    if brought is not None:
        number, kind, routing = number or brought.number, kind or brought.type, routing or brought.routing_number
    for value, path in ((number, f"{_ACCOUNT}.number"), (kind, f"{_ACCOUNT}.type"), (routing, _ROUTING)):
        if value is None and path not in known:
            findings.missing(path)
    if currency is not None and currency.code not in bank.CURRENCIES:
        findings.invalid("orderInformation.amountDetails.currency", f"an eCheck is in {' or '.join(bank.CURRENCIES)}")
    whole = bank.routing_number(str(routing), currency) if routing is not None else None
    if routing is not None and whole is None:
        findings.invalid(_ROUTING, "is no routing number")
    if kind in bank.NOT_TAKEN or (currency is not None and currency.code == "CAD" and kind not in bank.OF_CANADA):
        findings.invalid(f"{_ACCOUNT}.type", "no account of this kind is taken, or not in this currency")
    if not (isinstance(number, AccountNumber) and isinstance(kind, AccountType) and whole is not None):
        return None
    return BankAccount(number=number, routing_number=whole, type=kind)


def _date(effective: object, today: date, findings: Findings) -> None:
    """A day that has begun somewhere may be today everywhere."""
    if isinstance(effective, date) and not -1 <= (effective - today).days <= LATEST_DAYS:
        findings.invalid(_EFFECTIVE, f"must be within {LATEST_DAYS} days")


def _of_cards(document: Json, findings: Findings) -> None:
    for path in _OF_CARDS:
        found = find(document, path)
        if isinstance(found, dict) and any(value not in (None, "", {}, []) for value in found.values()):
            findings.invalid(".".join(path), "says something of a card, and a bank account pays")
    for card in _CARDS:
        if find(document, card) not in (None, NOWHERE):
            findings.invalid(".".join(card), "a bank account pays already")


def _show(kept: dict[str, object], account: BankAccount) -> None:
    """What may be shown of the account, into the members that are kept; the SEC code under the name of the details."""
    options = find(kept, ("processingInformation", "bankTransferOptions"))
    if isinstance(options, dict) and "SECCode" in options:
        options.setdefault("secCode", options.pop("SECCode"))
    paying = _copied(kept, "paymentInformation")
    shown = _copied(paying, "bank")
    shown["routingNumber"] = account.routing_number
    _copied(shown, "account")["type"] = fields.CODE_OF_ACCOUNT[account.type]


def _copied(holder: Body, name: str) -> Body:
    found = holder.get(name)
    holder[name] = copy = dict(found) if isinstance(found, dict) else {}
    return copy


def of_token(instrument: Json, payment_instrument: Json, number: AccountNumber) -> BankAccount:
    """The account that an instrument identifier stands for; its payment instrument says of which kind it is."""
    routing = text_of(find(instrument, ("bankAccount", "routingNumber"))) or ""
    kind = (text_of(find(payment_instrument, ("bankAccount", "type"))) or AccountType.CHECKING.word).lower()
    named = next((each for each in AccountType if each.word == kind), AccountType.CHECKING)
    return BankAccount(number=number, routing_number=routing, type=named)
