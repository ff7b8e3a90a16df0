"""The simulated token service provider: which cards a network gives a token for, and what it looks like. Pure.

A table of number prefixes says who is refused and why; every other card of a brand with a provider gets a number of
its own, in a range that no issuer has here. The randomness is handed in.
"""

import base64
import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from kessai.payment.card import Brand, Pan, luhn


class Reason(Enum):
    """Why a network gives no token."""

    INVALID_REQUEST = "INVALID_REQUEST"
    CARD_VERIFICATION_FAILED = "CARD_VERIFICATION_FAILED"
    CARD_NOT_ELIGIBLE = "CARD_NOT_ELIGIBLE"
    CARD_NOT_ALLOWED = "CARD_NOT_ALLOWED"
    DECLINED = "DECLINED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    SYSTEM_ERROR = "SYSTEM_ERROR"


REFUSED: Final[Mapping[str, Reason]] = {
    "4000000011": Reason.CARD_VERIFICATION_FAILED,
    "4001770011": Reason.CARD_NOT_ELIGIBLE,
    "4010057011": Reason.CARD_NOT_ALLOWED,
    "4010057022": Reason.DECLINED,
    "4020057022": Reason.DECLINED,
    "4010057033": Reason.SERVICE_UNAVAILABLE,
    "4010057044": Reason.SYSTEM_ERROR,
    "4020057055": Reason.INVALID_REQUEST,
}
"""The first ten digits of a card number to what becomes of its enrolment: the sandbox's published table."""


class Provider(Struct, frozen=True):
    """A network's token service."""

    name: str
    """As asset paths have it."""
    range: str
    """How the numbers of its tokens begin."""
    length: int
    requestor: str
    """The merchant's id as a token requestor: eleven digits."""
    eci: str
    """Electronic commerce indicator of a payment with a cryptogram."""


PROVIDERS: Final[Mapping[Brand, Provider]] = {
    Brand.VISA: Provider("vts", "489537", 16, "40010030273", "07"),
    Brand.MASTERCARD: Provider("mdes", "520424", 16, "50110030273", "06"),
    Brand.AMEX: Provider("aets", "379903", 15, "30110030273", "07"),
}
"""Cards of other brands are not eligible."""
LIFE_YEARS: Final = 3


class Given(Struct, frozen=True, kw_only=True):
    """A token as its network gave it."""

    number: Pan
    expiry: str
    """`YYYY-MM`"""
    enrollment: str
    reference: str


def provide(card: Pan, month: str, random: bytes) -> Given | Reason:
    """What becomes of an enrolment in a month (`YYYY-MM`). `random` has 48 bytes or more."""
    refused = REFUSED.get(card.digits[:10])
    if refused is not None:
        return refused
    provider = provider_of(card.brand)
    if provider is None:
        return Reason.CARD_NOT_ELIGIBLE
    return Given(
        number=Pan(_number(provider, int.from_bytes(random[:16]))),
        expiry=later(month, LIFE_YEARS),
        enrollment=random[16:32].hex().upper(),
        reference=random[32:48].hex().upper(),
    )


def provider_of(brand: Brand | None) -> Provider | None:
    return PROVIDERS.get(brand) if brand is not None else None


def _number(provider: Provider, random: int) -> str:
    free = provider.length - len(provider.range) - 1
    body = f"{provider.range}{random % 10**free:0{free}d}"
    return next(found for check in range(10) if luhn(found := f"{body}{check}"))


def later(month: str, years: int) -> str:
    """A month of a later year."""
    return f"{int(month[:4]) + years}{month[4:]}"


def account_reference(fingerprint: bytes) -> str:
    """The payment account reference of a card: 29 characters, the same for the same card of a merchant.

    It is made of the number's fingerprint, which has a key in it, and so leads nobody back to the number.
    """
    hashed = hashlib.blake2b(fingerprint, digest_size=20, person=b"kessai PAR").digest()
    return f"V001{base64.b32encode(hashed).decode()[:25]}"


def cryptogram(random: bytes) -> str:
    """What proves one payment by a token: twenty bytes as text. Nobody is given the same one twice."""
    assert len(random) == 20
    return base64.b64encode(random).decode()
