"""What may be done with tokens, and what else changes with it. Pure: tokens in as they stand, out as they will be.

A result is every token that one commit has to write: those that are new, and those that were there and are changed or
only relied upon. A token that was relied upon is written as it stood, so that whoever changed it meanwhile is noticed.

Each customer with payment instruments has exactly one default among them, and so with addresses: the first one is it,
and it goes only as the last.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kessai.tokens.objects import (
    NOTHING,
    Customer,
    Document,
    InstrumentIdentifier,
    NetworkToken,
    Owned,
    PaymentInstrument,
    ShippingAddress,
    Token,
)

T = TypeVar("T", bound=Token)
O = TypeVar("O", PaymentInstrument, ShippingAddress)  # noqa: E741  owned


class Refusal(Enum):
    """Why nothing is done, in order of precedence."""

    IS_DEFAULT = "a default goes only as the last, or after another one has become it"
    IN_USE = "payment instruments refer to the instrument identifier"
    OTHER_KIND = "a card cannot become a bank account, nor the reverse"
    IS_CLOSED = "the issuer has closed the account"
    IS_FINAL = "a network token that was deleted, or never given, stays so"


class Changes(Struct, frozen=True):
    """What one commit writes."""

    created: tuple[Token, ...] = ()
    changed: tuple[Token, ...] = ()
    """Tokens that were there, with the revision at which they were loaded."""

    def also(self, other: "Changes") -> "Changes":
        """Both in one commit. Of a token that both change, the later version counts."""
        created = {token.id: token for token in self.created + other.created}
        changed: dict[str, Token] = {}
        for token in self.changed + other.changed:
            if token.id in created:
                created[token.id] = replace(token, version=1)
            elif token.id not in changed or token.version >= changed[token.id].version:
                changed[token.id] = token
        return Changes(tuple(created.values()), tuple(changed.values()))


class Referred(Struct, frozen=True):
    """An instrument identifier that something to be deleted refers to, and whether anything else does."""

    instrument: InstrumentIdentifier
    is_in_use: bool
    network: NetworkToken | None = None

    def after(self, now: datetime) -> tuple[Token, ...]:
        return (self.instrument,) if self.is_in_use else ended(self.instrument, self.network, now)


def seen(token: T) -> T:
    """The token with its next version: something that its owner can see of it has changed."""
    return replace(token, version=token.version + 1)


def gone(token: T, now: datetime) -> T:
    """A deleted token: its id and whose it was."""
    scrubbed = replace(token, deleted_at=now, document=NOTHING)
    if isinstance(scrubbed, InstrumentIdentifier):
        return replace(scrubbed, fingerprint=None, sealed=None)
    if isinstance(scrubbed, NetworkToken):
        return replace(scrubbed, sealed=None, expiry="")
    if isinstance(scrubbed, PaymentInstrument):
        return replace(scrubbed, is_default=False, expiry="")
    return replace(scrubbed, is_default=False) if isinstance(scrubbed, ShippingAddress) else scrubbed


def ended(instrument: InstrumentIdentifier, network: NetworkToken | None, now: datetime) -> tuple[Token, ...]:
    """A deleted instrument identifier, and its network token, which goes with it."""
    return (gone(instrument, now), *((gone(network, now),) if network is not None else ()))


def add(
    new: O, customer: Customer | None, default: O | None, instrument: InstrumentIdentifier | None = None
) -> tuple[O, Changes]:
    """A payment instrument or shipping address, new, as it will be, and what changes with it.

    `customer` is None for a lone one; `default` is the customer's default of its kind until now. `instrument` is the
    one that it refers to, where that one was there before: it cannot be deleted meanwhile.
    """
    relied: tuple[Token, ...] = (instrument,) if instrument is not None else ()
    if customer is None:
        return new, Changes((new,), relied)
    if default is not None and not new.is_default:
        return new, Changes((new,), (customer, *relied))
    new = replace(new, is_default=True)
    before: tuple[Token, ...] = (seen(replace(default, is_default=False)),) if default is not None else ()
    return new, Changes((new,), (seen(customer), *before, *relied))


def change(token: T, document: Document) -> T:
    return seen(replace(token, document=document))


def change_owned(
    changed: O, customer: Customer | None, default: O | None, *, becomes_default: bool
) -> tuple[O, Changes]:
    """A payment instrument or shipping address with what its merchant changed of it, and what changes with it.

    A default stays it until another one is named.
    """
    after = seen(changed)
    if customer is None or after.is_default or not becomes_default:
        return after, Changes((), (after,))
    after = replace(after, is_default=True)
    before: tuple[Token, ...] = (seen(replace(default, is_default=False)),) if default is not None else ()
    return after, Changes((), (seen(customer), *before, after))


def refer(
    payment_instrument: PaymentInstrument, before: InstrumentIdentifier, instrument: InstrumentIdentifier
) -> PaymentInstrument | Refusal:
    """The payment instrument over another number of the same kind."""
    if before.is_card != instrument.is_card:
        return Refusal.OTHER_KIND
    return replace(payment_instrument, instrument=instrument.id)


def delete_owned(
    token: Owned, customer: Customer | None, referred: Referred | None, now: datetime, *, is_only: bool
) -> Changes | Refusal:
    """Delete a payment instrument or shipping address. `is_only`: its customer has no other of the kind.

    `referred` is what a payment instrument refers to; where nothing else does, it goes too.
    """
    rest = referred.after(now) if referred is not None else ()
    if customer is None:
        return Changes((), (gone(token, now), *rest))
    if token.is_default and not is_only:
        return Refusal.IS_DEFAULT
    return Changes((), (seen(customer) if token.is_default else customer, gone(token, now), *rest))


def delete_instrument(
    instrument: InstrumentIdentifier, now: datetime, *, is_in_use: bool, network: NetworkToken | None = None
) -> Changes | Refusal:
    return Refusal.IN_USE if is_in_use else Changes((), ended(instrument, network, now))


def delete_customer(customer: Customer, owned: Sequence[Owned], referred: Iterable[Referred], now: datetime) -> Changes:
    """Delete a customer with all that it owns, and the instrument identifiers that nothing else refers to."""
    everything: tuple[Token, ...] = (customer, *owned)
    return Changes(
        (), (*(gone(token, now) for token in everything), *(token for each in referred for token in each.after(now)))
    )
