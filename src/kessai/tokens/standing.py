"""What tokens stand for: what a request that names some of them pays with. Pure.

A customer stands for its defaults, a payment instrument for its number; what is named besides goes before those.
"""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from kessai.tokens.objects import (
    Customer,
    InstrumentIdentifier,
    Missing,
    PaymentInstrument,
    ShippingAddress,
    State,
    Token,
)


class Names(Struct, frozen=True, kw_only=True):
    """The ids that a request names."""

    customer: str | None = None
    payment_instrument: str | None = None
    instrument: str | None = None
    shipping_address: str | None = None
    needs_number: bool = True
    """Without it, it is enough that the tokens are there."""


class Relied(Struct, frozen=True, kw_only=True):
    """What has to be as it was, for something that is remembered of tokens to be so still."""

    revisions: tuple[tuple[str, int], ...]
    """Ids of tokens, with the revision of each."""
    customer: str | None
    """Whose defaults it depends on."""
    defaults: int
    """How many that customer has."""


class Standing(Struct, frozen=True, kw_only=True, eq=False):
    """The tokens that pay, as they stood when they were looked up. What was not asked for, or is not there, is None."""

    instrument: InstrumentIdentifier | None = None
    payment_instrument: PaymentInstrument | None = None
    """Its document has the billing address, in the words of the wire that it came over."""
    shipping_address: ShippingAddress | None = None
    customer: Customer | None = None
    relies_on: Relied | None = None
    """Where it is remembered: what commit 1 has to look at. None: it was read for this payment."""

    @property
    def expiry(self) -> str:
        """`YYYY-MM`; empty where no payment instrument says it."""
        return self.payment_instrument.expiry if self.payment_instrument is not None else ""

    @property
    def is_empty(self) -> bool:
        return (self.instrument or self.payment_instrument or self.shipping_address or self.customer) is None


class Unresolved(Struct, frozen=True):
    """Why tokens do not stand for anything that pays: which one is at fault."""

    kind: type[Customer] | type[PaymentInstrument] | type[ShippingAddress] | type[InstrumentIdentifier]
    why: str


def resolved(found: Mapping[str, Token], names: Names) -> Standing | Unresolved:
    """What tokens stand for, out of those that were found of them, by id.

    A customer's token does not go with another customer.
    """
    customer = names.customer
    owner = found.get(customer) if customer is not None else None
    if customer is not None and (not isinstance(owner, Customer) or owner.deleted_at is not None):
        return Unresolved(Customer, _why(owner))
    chosen = _chosen(found, names.payment_instrument, customer, PaymentInstrument)
    if names.payment_instrument is not None and chosen is None:
        return Unresolved(PaymentInstrument, _why(found.get(names.payment_instrument)))
    address = _chosen(found, names.shipping_address, customer, ShippingAddress)
    if names.shipping_address is not None and address is None:
        return Unresolved(ShippingAddress, _why(found.get(names.shipping_address)))
    instrument = names.instrument
    if instrument is not None and chosen is not None and chosen.instrument != instrument:
        if names.payment_instrument is not None:
            return Unresolved(InstrumentIdentifier, "the payment instrument is over another number")
        chosen = None  # the customer's default, which was not asked for
    refers_to = instrument if instrument is not None else chosen.instrument if chosen is not None else None
    at_fault = InstrumentIdentifier if instrument is not None else PaymentInstrument if chosen else Customer
    if refers_to is None and names.needs_number:
        return Unresolved(at_fault, "the customer has no payment instrument")
    number = found.get(refers_to) if refers_to is not None else None
    if refers_to is not None and (not isinstance(number, InstrumentIdentifier) or number.deleted_at is not None):
        return Unresolved(at_fault, _why(number))
    assert number is None or isinstance(number, InstrumentIdentifier)
    states = [token.state for token in (number, chosen) if token is not None]
    if names.needs_number and State.CLOSED in states:
        return Unresolved(at_fault, "the account is closed")
    return Standing(
        instrument=number,
        payment_instrument=chosen,
        shipping_address=address,
        customer=owner if isinstance(owner, Customer) else None,
    )


def relied(found: Mapping[str, Token], names: Names) -> Relied:
    """What `resolved` went by. Whichever token changes has another revision; a default that is new is one more."""
    owned = [token for token in found.values() if isinstance(token, PaymentInstrument | ShippingAddress)]
    return Relied(
        revisions=tuple((token.id, token.revision) for token in found.values()),
        customer=names.customer,
        defaults=sum(
            token.is_default and token.customer == names.customer and token.deleted_at is None for token in owned
        ),
    )


O = TypeVar("O", PaymentInstrument, ShippingAddress)  # noqa: E741  owned


def _chosen(found: Mapping[str, Token], named: str | None, customer: str | None, kind: type[O]) -> O | None:
    """The token of a kind that is named, else the customer's default; None where it cannot be had."""
    for token in found.values():
        is_meant = token.id == named if named is not None else True
        if isinstance(token, kind) and is_meant and token.deleted_at is None:
            if named is not None:
                return token if customer in (None, token.customer) else None
            if customer is not None and token.customer == customer and token.is_default:
                return token
    return None


def _why(found: Token | None) -> str:
    if found is None:
        return Missing.UNKNOWN.value
    return Missing.GONE.value if found.deleted_at is not None else "it is another kind of token, or another customer's"
