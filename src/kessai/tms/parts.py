"""What the desks of the token service have in common: a request as they get it, and how it ends."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from kessai.accounts import Account
from kessai.dialects import HttpResponse
from kessai.dialects.cybersource import token_answers as say
from kessai.dialects.cybersource import token_faults as faults
from kessai.dialects.cybersource.token_faults import Fault
from kessai.dialects.cybersource.token_routes import Match
from kessai.payment.card import Card
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Answer
from kessai.tokenizer import Decided
from kessai.tokens.objects import Customer, InstrumentIdentifier, Missing, PaymentInstrument, ShippingAddress, Token
from kessai.tokens.rules import Changes, Refusal

T = TypeVar("T", bound=Token)


class Asked(Struct, frozen=True):
    """One request of the family."""

    account: Account
    route: Match
    document: Mapping[str, object]
    if_match: str | None
    query: str
    transient: Card | Fault | None = None
    """The card of the transient token that is named, or why it has none; None where none is named."""

    @property
    def merchant(self) -> Merchant:
        return self.account.merchant

    @property
    def merchant_id(self) -> str:
        return self.account.merchant.id


class Faulty(Exception):
    """What was asked cannot be done: a way out of a desk's functions, never out of its `decide`."""

    def __init__(self, fault: Fault, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(fault.type)
        self.fault = fault
        self.more = more or {}


V = TypeVar("V")


def good(value: V | Fault) -> V:
    if isinstance(value, Fault):
        raise Faulty(value)
    return value


def there(token: T | Missing) -> T:
    if isinstance(token, Missing):
        raise Faulty(faults.OF_MISSING[token])
    return token


def allowed(value: V | Refusal) -> V:
    if isinstance(value, Refusal):
        raise Faulty(faults.OF_REFUSAL[value])
    return value


O = TypeVar("O", PaymentInstrument, ShippingAddress)  # noqa: E741  owned


def own(token: O | Missing, customer: Customer, path: str) -> O:
    """A token that is to be a customer's default: its own, or the member is invalid."""
    if isinstance(token, Missing) or token.customer != customer.id:
        raise Faulty(faults.INVALID_FIELDS.at(path))
    return token


def match(asked: Asked, token: Token) -> None:
    if not say.is_matched(asked.if_match, token):
        raise Faulty(faults.WRONG_ETAG)


def fit(document: Mapping[str, object], number: InstrumentIdentifier) -> None:
    """A card's data go with a card number, a bank account's with an account."""
    wrong = "bankAccount" if number.is_card else "card"
    if wrong in document:
        raise Faulty(faults.INVALID_COMBINATION.at(wrong, "instrumentIdentifier.id"))


NO_CONTENT = HttpResponse(204, b"")


def decided(changes: Changes, response: HttpResponse) -> Decided:
    """What is kept of an answer for who asks again: its headers on a line, then its body."""
    return Decided(changes, Answer(response.status, msgspec.json.encode(response.headers) + b"\n" + response.body))


def opened(answer: Answer) -> HttpResponse:
    """The response of an answer that `decide` made, now or before."""
    headers, _, body = answer.body.partition(b"\n")
    return HttpResponse(answer.status, body, msgspec.json.decode(headers, type=dict[str, str]))
