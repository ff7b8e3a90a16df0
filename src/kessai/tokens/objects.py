"""Tokens: what stands for a customer, an address, a way to pay, a number. Pure.

    Customer ──owns──► PaymentInstrument ──refers to──► InstrumentIdentifier (one number, once per merchant)
             ──owns──► ShippingAddress              ▲
                                     NetworkToken ──┘ (at most one that stands, for a card)

A payment instrument may also be lone: without a customer. Instrument identifiers and network tokens have numbers, and
only sealed.
What a merchant said of a token beside that is its `document`: kept in the words of the wire that it came over, read by
that wire alone.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from msgspec import Struct

Document: TypeAlias = Mapping[str, Any]
NOTHING: Final[Document] = MappingProxyType({})


class State(Enum):
    """Whether a token may be used. Closed: the issuer says that the account is. The rest is for network tokens."""

    ACTIVE = "ACTIVE"
    CLOSED = "CLOSED"
    PENDING = "PENDING"
    """Asked for, and not told about yet."""
    SUSPENDED = "SUSPENDED"
    DELETED = "DELETED"
    UNPROVISIONED = "UNPROVISIONED"
    """The network would not."""


class Missing(Enum):
    """Why there is no token of an id."""

    UNKNOWN = "nobody was ever given this id here"
    GONE = "the token was deleted"


class Token(Struct, frozen=True, kw_only=True):
    """What all tokens have in common."""

    id: str
    made: int
    """A time-ordered id: tokens are listed in this order."""
    version: int = 1
    """Counts what its owner can see of it; the wire's ETag."""
    revision: int = 0
    """Counts every commit that relied on it as it stood. Of two who loaded the same one, the second starts again."""
    state: State = State.ACTIVE
    document: Document = NOTHING
    deleted_at: datetime | None = None
    """A deleted token keeps its id, so that it is told from one that never was, and nothing else."""


class Customer(Token, frozen=True, kw_only=True):
    """Owns payment instruments and shipping addresses; one of each is the default."""


class ShippingAddress(Token, frozen=True, kw_only=True):
    customer: str
    is_default: bool = False


class PaymentInstrument(Token, frozen=True, kw_only=True):
    """Expiry, card type and billing data over one number."""

    customer: str | None = None
    """None for a lone one."""
    instrument: str
    """Id of its instrument identifier."""
    is_default: bool = False
    expiry: str = ""
    """`YYYY-MM`; empty where there is none."""


class InstrumentIdentifier(Token, frozen=True, kw_only=True):
    """Stands for one card number, or one bank account."""

    fingerprint: bytes | None = None
    """Of the number, under the merchant's own key; None once it is deleted."""
    sealed: bytes | None = None

    @property
    def is_card(self) -> bool:
        return len(self.id) == CARD_ID_DIGITS


class NetworkToken(Token, frozen=True, kw_only=True):
    """What a card network gave this merchant for a card: a number that pays in the place of the card's."""

    instrument: str
    """Id of the instrument identifier of the card."""
    expiry: str = ""
    """Its own, `YYYY-MM`; empty where there is no number."""
    sealed: bytes | None = None


CARD_ID_DIGITS: Final = 19
"""Length of the id of a card's instrument identifier; a bank account's has 32 characters."""

Owned: TypeAlias = PaymentInstrument | ShippingAddress
"""What a customer has a default of."""
