"""Searchable fields: from the fields of a query to neutral criteria, and from a transaction to what finds it. Pure.

One table. A field compares a text of the index, an amount, an instant, an id; or it has a few words, each of which
stands for something neutral. A card number is looked for by its fingerprint and is in no criterion.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from fnmatch import translate
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from kessai import ids
from kessai.dialects.cybersource import moments, query
from kessai.dialects.cybersource.answers import reference_of
from kessai.dialects.cybersource.details import APPLICATIONS, ECHECKS, METHODS, laid_over, rcodes_of, word_of
from kessai.dialects.cybersource.query import QueryError
from kessai.dialects.document import mask_pans, text_of
from kessai.dialects.table import find
from kessai.payment.bank import FLAG
from kessai.payment.card import looks_like_a_pan
from kessai.payment.lifecycle import Operation, Payment, Reason, Status, Transaction
from kessai.payment.money import Money
from kessai.payment.search import (
    ALWAYS,
    AMOUNT_SCALE,
    NEVER,
    Among,
    Between,
    Criterion,
    Facets,
    FacetValue,
    Like,
    both,
    either,
    fold,
)


class Form(Enum):
    """How the values of a field are written, in words for the reference."""

    TEXT = "text, with `*` and `?`"
    AMOUNT = "amount, or a range of amounts"
    INSTANT = "range of instants, or one"
    ID = "id of 22 digits"
    CARD = "whole card number; only its fingerprint is used and kept"
    WORD = "one of a few words, with `*` and `?`"
    NONE = "nothing of this kind is stored: finds nothing"


@dataclass(frozen=True, slots=True)
class Field:
    """One searchable field. `facet` is its neutral name; `source`, where a request has it."""

    path: str
    form: Form
    facet: str = ""
    source: tuple[str, ...] = ()


def _text(path: str, facet: str, source: str = "") -> Field:
    return Field(path, Form.TEXT, facet, tuple((source or path).split(".")))


FIELDS: Final[Mapping[str, Field]] = {
    field.path: field
    for field in (
        Field("id", Form.ID, "id"),
        Field("submitTimeUtc", Form.INSTANT, "submitted_at"),
        Field("merchantId", Form.WORD, "merchant"),
        Field("reconciliationId", Form.TEXT, "reconciliation_id"),
        Field("applicationInformation.applications.name", Form.WORD, "service"),
        Field("applicationInformation.applications.reasonCode", Form.WORD, "outcome"),
        Field("applicationInformation.applications.rCode", Form.WORD, "status"),
        Field("applicationInformation.applications.rFlag", Form.WORD, "status"),
        Field("applicationInformation.applications.reconciliationId", Form.TEXT, "reconciliation_id"),
        _text("buyerInformation.merchantCustomerId", "customer_reference"),
        Field("clientReferenceInformation.code", Form.TEXT, "reference"),
        _text("clientReferenceInformation.partner.solutionId", "solution_id"),
        _text("deviceInformation.ipAddress", "ip"),
        _text("installmentInformation.identifier", "installment_id"),
        _text("merchantInformation.resellerId", "reseller_id"),
        _text("merchantInformation.accountId", "account_id"),
        Field("orderInformation.amountDetails.totalAmount", Form.AMOUNT, "amount"),
        Field("orderInformation.amountDetails.currency", Form.TEXT, "currency"),
        _text("orderInformation.billTo.email", "email"),
        _text("orderInformation.billTo.firstName", "first_name"),
        _text("orderInformation.billTo.lastName", "last_name"),
        _text("orderInformation.billTo.phoneNumber", "phone"),
        _text("orderInformation.shipTo.phoneNumber", "ship_phone"),
        Field("paymentInformation.bank.account.number", Form.NONE),
        Field("paymentInformation.bank.account.prefix", Form.NONE),
        Field("paymentInformation.bank.account.suffix", Form.TEXT, "account_suffix"),
        Field("paymentInformation.card.number", Form.CARD, "fingerprint"),
        Field("paymentInformation.card.prefix", Form.TEXT, "card_prefix"),
        Field("paymentInformation.card.suffix", Form.TEXT, "card_suffix"),
        _text("paymentInformation.customer.customerId", "customer_id"),
        Field("paymentInformation.paymentType.method", Form.WORD, "brand"),
        Field("paymentInformation.paymentType.type", Form.WORD, "service"),
        _text("processingInformation.commerceIndicator", "commerce_indicator"),
        Field("processorInformation.approvalCode", Form.TEXT, "approval_code"),
        Field("processorInformation.retrievalReferenceNumber", Form.TEXT, "rrn"),
    )
}
"""Every field that a query may name, in the order of the public reference."""

SORTABLE: Final = tuple(
    field.path for field in FIELDS.values() if field.form in (Form.TEXT, Form.AMOUNT, Form.INSTANT, Form.ID)
)
BY_ACCOUNT: Final = " by account"
"""What the service of a transaction ends in where a bank account pays."""
SEALED: Final = "pan:"
"""What stands before a fingerprint where a query had a card number."""

Words = Mapping[str, tuple[FacetValue, ...]]


# ---- words: what the wire says to what is stored


@cache
def _words(path: str) -> Words:
    """The words of a field, in small letters, each with the neutral values that it stands for."""
    found: dict[str, list[FacetValue]] = {}
    for word, value in _WORDS[path]():
        found.setdefault(word.casefold(), []).append(value)
    return {word: tuple(dict.fromkeys(values)) for word, values in found.items()}


def words_of(path: str) -> tuple[str, ...]:
    """The words that a field knows, where it has a list of its own."""
    return tuple(_words(path)) if path in _WORDS else ()


def _names() -> Iterable[tuple[str, FacetValue]]:
    for operation in APPLICATIONS:
        for name in APPLICATIONS[operation]:
            yield name, operation.value
        for name in ECHECKS.get(operation, APPLICATIONS[operation]):
            yield name, operation.value + BY_ACCOUNT


def _payment_types() -> Iterable[tuple[str, FacetValue]]:
    for operation in APPLICATIONS:
        yield "credit card", operation.value
        yield "check", operation.value + BY_ACCOUNT


def _reason_codes() -> Iterable[tuple[str, FacetValue]]:
    for operation in APPLICATIONS:
        for status in Status:
            for reason in (None, *Reason):
                if status is Status.DECLINED and reason is None:
                    continue
                word = word_of(operation, status, reason)
                value = f"{operation.value} {status.value} {reason.value if reason else '-'}"
                yield str(word.numeric if word else 100), value


_WORDS: Final[Mapping[str, Callable[[], Iterable[tuple[str, FacetValue]]]]] = {
    "applicationInformation.applications.name": _names,
    "applicationInformation.applications.reasonCode": _reason_codes,
    "applicationInformation.applications.rCode": lambda: ((rcodes_of(each)[0], each.value) for each in Status),
    "applicationInformation.applications.rFlag": lambda: ((rcodes_of(each)[1], each.value) for each in Status),
    "paymentInformation.paymentType.type": _payment_types,
    "paymentInformation.paymentType.method": lambda: ((word, brand.name.casefold()) for brand, word in METHODS.items()),
}


# ---- from a query to a criterion


class Terms(Struct, frozen=True, kw_only=True):
    """What a query is read with."""

    merchant_id: str
    now: datetime
    zone: ZoneInfo
    fingerprint: Callable[[str], str]
    """A card number to the hexadecimal text of its fingerprint."""


def criterion_of(node: query.Node, terms: Terms) -> Criterion:
    """What a query finds. QueryError for a field that is not known, and for a value that its field cannot have."""
    if isinstance(node, query.All):
        return both(*(criterion_of(part, terms) for part in node.parts))
    if isinstance(node, query.Any):
        return either(*(criterion_of(part, terms) for part in node.parts))
    field = FIELDS.get(node.field)
    if field is None:
        raise QueryError(node.at + 1, f"{node.field} cannot be searched", node.field)
    try:
        return _COMPARE[field.form](field, node.value, terms)
    except ValueError as error:
        raise QueryError(node.value.start + 1, f"{node.field}: {error}", node.field) from None


def _compare_text(field: Field, value: query.Text | query.Range, _terms: Terms) -> Criterion:
    parts = tuple(part.casefold() for part in _parts(value))
    if len(parts) > 1:
        return Like(field.facet, parts)
    text = fold(str(mask_pans(parts[0])))
    return Among(field.facet, (text,)) if text else NEVER


def _compare_word(field: Field, value: query.Text | query.Range, terms: Terms) -> Criterion:
    known: Words = {terms.merchant_id.casefold(): ()} if field.facet == "merchant" else _words(field.path)
    parts = [part.casefold() for part in _parts(value)]
    shape = "".join(part if index % 2 else re.sub(r"([*?\[])", r"[\1]", part) for index, part in enumerate(parts))
    fits = re.compile(translate(shape.strip()))
    named = [word for word in known if fits.match(word) is not None]
    if field.facet == "merchant":
        return ALWAYS if named else NEVER
    values = tuple(dict.fromkeys(value for word in named for value in known[word]))
    return Among(field.facet, values) if values else NEVER


def _compare_amount(field: Field, value: query.Text | query.Range, _terms: Terms) -> Criterion:
    if isinstance(value, query.Text):
        if value.has_wildcards:
            if value.parts == ("", "*", ""):
                return ALWAYS
            raise ValueError("an amount has no wildcards")
        return Among(field.facet, (_amount(value.parts[0]),))
    low = None if value.low == "*" else _amount(value.low) + value.excludes_low
    high = None if value.high == "*" else _amount(value.high) + (not value.excludes_high)
    return Between(field.facet, low, high)


_AMOUNT: Final = re.compile(rf"([0-9]{{1,12}})(?:\.([0-9]{{0,{AMOUNT_SCALE}}}))?", re.ASCII)


def _amount(text: str) -> int:
    """An amount in the unit of the index."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError("an amount is digits with at most one point")
    return int(found[1] + (found[2] or "").ljust(AMOUNT_SCALE, "0"))


def _compare_instant(field: Field, value: query.Text | query.Range, terms: Terms) -> Criterion:
    """Instants compare as they are shown: in whole seconds."""
    if isinstance(value, query.Text):
        if value.has_wildcards:
            if value.parts == ("", "*", ""):
                return ALWAYS
            raise ValueError("an instant has no wildcards")
        second = _second(value.parts[0].strip(), terms)
        return Between(field.facet, second * 1000, (second + 1) * 1000)
    if value.is_single and value.low != "*":
        second = _second(value.low, terms)
        return Between(field.facet, second * 1000, (second + 1) * 1000)
    low = high = None
    if value.low != "*":
        low = (_second(value.low, terms) + 1 if value.excludes_low else _second(value.low, terms, up=True)) * 1000
    if value.high != "*":
        high = (_second(value.high, terms, up=True) if value.excludes_high else _second(value.high, terms) + 1) * 1000
    return Between(field.facet, low, high)


def _second(text: str, terms: Terms, *, up: bool = False) -> int:
    """Seconds since 1970, cut, or the next whole one."""
    instant = moments.read(text, terms.now, terms.zone)
    since = instant - datetime.fromtimestamp(0, instant.tzinfo)
    return -(-since // timedelta(seconds=1)) if up else since // timedelta(seconds=1)


def _compare_id(field: Field, value: query.Text | query.Range, _terms: Terms) -> Criterion:
    if isinstance(value, query.Text) and value.parts == ("", "*", ""):
        return ALWAYS
    if isinstance(value, query.Range) or value.has_wildcards:
        raise ValueError("an id is looked for as a whole")
    identifier = ids.read(value.parts[0].strip())
    return Among(field.facet, (identifier,)) if identifier is not None else NEVER


def _compare_card(field: Field, value: query.Text | query.Range, terms: Terms) -> Criterion:
    if isinstance(value, query.Range) or value.has_wildcards:
        raise ValueError("a card number is looked for as a whole; its prefix and suffix are fields of their own")
    text = value.parts[0].strip()
    if text.startswith(SEALED):
        return Among(field.facet, (text.removeprefix(SEALED),))
    return Among(field.facet, (terms.fingerprint(text),)) if looks_like_a_pan(text) else NEVER


def _parts(value: query.Text | query.Range) -> tuple[str, ...]:
    if isinstance(value, query.Range):
        raise ValueError("only instants and amounts have ranges")
    return value.parts


_COMPARE: Final[Mapping[Form, Callable[[Field, query.Text | query.Range, Terms], Criterion]]] = {
    Form.TEXT: _compare_text,
    Form.WORD: _compare_word,
    Form.AMOUNT: _compare_amount,
    Form.INSTANT: _compare_instant,
    Form.ID: _compare_id,
    Form.CARD: _compare_card,
    Form.NONE: lambda _field, _value, _terms: NEVER,
}

_DIGITS: Final = re.compile(r"[0-9]+(?:[ -]?[0-9]+)*", re.ASCII)


def sealed(text: str, node: query.Node, fingerprint: Callable[[str], str]) -> str:
    """A query as it may be stored and shown again: a card number that is looked for stands there as its fingerprint,
    and everywhere else what looks like a card number shows its last four digits only."""
    pieces: list[str] = []
    done = 0
    for clause in _clauses(node):
        value = clause.value
        pieces.append(_masked(text[done : value.start]))
        done = value.end
        written = text[value.start : value.end]
        number = value.parts[0].strip() if isinstance(value, query.Text) and not value.has_wildcards else ""
        if FIELDS[clause.field].form is Form.CARD and looks_like_a_pan(number):
            pieces.append(SEALED + fingerprint(number))
        elif FIELDS[clause.field].form is Form.NONE:
            pieces.append(re.sub("[0-9]", "X", written))  # the number of a bank account
        else:
            pieces.append(_masked(written))
    return "".join((*pieces, _masked(text[done:])))


def _clauses(node: query.Node) -> Iterable[query.Clause]:
    if isinstance(node, query.Clause):
        yield node
        return
    for part in node.parts:
        yield from _clauses(part)


def _masked(text: str) -> str:
    def mask(found: "re.Match[str]") -> str:
        digits = re.sub(r"[ -]", "", found[0])
        return digits[-4:].rjust(len(digits), "X") if looks_like_a_pan(digits) else found[0]

    return _DIGITS.sub(mask, text)


# ---- from a transaction to what finds it

_PLACES: Final = tuple((field.facet, field.source) for field in FIELDS.values() if field.source)


def facets_of(payment: Payment, transaction: Transaction, root_particulars: bytes, fingerprint: bytes) -> Facets:
    """What a transaction is found by. `payment` needs to know its card only; `root_particulars` are those of its first
    transaction, whose members hold for all that follow. In what is kept of requests card numbers are masked already."""
    kept = laid_over(root_particulars, transaction.particulars)
    found: dict[str, FacetValue] = {"amount": scaled(transaction.requested)}
    texts: dict[str, object] = {facet: find(kept, path) for facet, path in _PLACES}
    reconciliation = transaction.facts.get("reconciliation_id")
    is_account = FLAG in transaction.flags
    texts |= {
        "reference": reference_of(transaction),
        "rrn": transaction.facts.get("rrn"),
        "approval_code": transaction.facts.get("approval_code"),
        "reconciliation_id": ids.show(transaction.id) if reconciliation == "=id" else reconciliation,
        "currency": transaction.requested.currency.code,
        "card_suffix": None if is_account else payment.pan_suffix,
        "account_suffix": payment.pan_suffix if is_account else None,
        "card_prefix": payment.pan_prefix,
        "brand": payment.brand.name if payment.brand else None,
        "fingerprint": fingerprint.hex(),
    }
    if texts["commerce_indicator"] is None:
        texts["commerce_indicator"] = "internet"
    for facet, value in texts.items():
        if value is None:
            continue
        folded = fold(value if type(value) is str else text_of(value) or "")
        if folded:
            found[facet] = folded
    return found


def scaled(money: Money) -> int:
    """An amount in the unit of the index."""
    return int(money.minor * 10 ** (AMOUNT_SCALE - money.currency.exponent))


def is_found(operation: Operation) -> bool:
    """Whether transactions of this operation are shown to anybody."""
    return operation in APPLICATIONS
