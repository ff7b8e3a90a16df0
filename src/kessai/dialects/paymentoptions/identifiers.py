"""Ids of this wire: UUIDs (RFC 9562, version 4 in form) and the growing `ref`, computed from the gateway's ids. Pure.

A transaction has one id in the books and two printed forms. That of this wire is a permutation of the id with a check
of 58 bits behind it: nothing has to be stored or looked up, and a UUID that nobody was given stands for nothing. It
hides nothing: whom an id belongs to is asked of the merchant's rows.
"""

from hashlib import blake2b
from typing import Final

from kessai import ids

TRANSACTION: Final = b"transaction"
SUBSCRIPTION: Final = b"subscription"
"""Kinds: an id of one kind is none of the other."""
_ROUNDS: Final = 4
_CHECK_BITS: Final = 58
_LOW: Final = (1 << 32) - 1

REF_SINCE_MS: Final = 1_577_836_800_000
"""2020-01-01: `ref` counts from here, and stays exact in a JSON number (RFC 8259, 6) until 2054."""


def show(identifier: int, kind: bytes = TRANSACTION) -> str:
    """The printed form of an id: a lower-case UUID."""
    high, low = identifier >> 32, identifier & _LOW
    for step in range(_ROUNDS):
        high, low = low, high ^ _round(kind, step, low)
    return uuid4((high << 32 | low) << _CHECK_BITS | _check(kind, identifier))


def read(text: str, kind: bytes = TRANSACTION) -> int | None:
    """The id of a printed form; None for a text that is none of this kind, in whichever letters."""
    whole = _bits(text.lower())
    if whole is None:
        return None
    permuted = whole >> _CHECK_BITS
    high, low = permuted >> 32, permuted & _LOW
    for step in reversed(range(_ROUNDS)):
        high, low = low ^ _round(kind, step, high), high
    identifier = high << 32 | low
    return identifier if whole & ((1 << _CHECK_BITS) - 1) == _check(kind, identifier) else None


def ref_of(identifier: int) -> int:
    """The `ref` of a transaction: it grows with time, over all operations, and is below 2^53."""
    parts = ids.split(identifier)
    return (parts.at_ms - REF_SINCE_MS) << 13 | (parts.counter & 31) << 8 | parts.node


def uuid4(bits: int) -> str:
    """A UUID of version 4 with these 122 bits."""
    assert bits < 1 << 122, "a UUID of version 4 has room for 122 bits"
    first, middle = f"{bits >> 74:012x}", f"{bits >> 62 & 0xFFF:03x}"
    last = f"{bits & (1 << 62) - 1 | 0b10 << 62:016x}"
    return f"{first[:8]}-{first[8:]}-4{middle}-{last[:4]}-{last[4:]}"


def of_token(token_id: str) -> str:
    """A payment instrument's id (32 hexadecimal digits) as a stored payment method's."""
    digits = token_id.lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def token_of(text: str) -> str | None:
    """The reverse; None for a text that is no UUID."""
    parts = text.split("-")
    is_uuid = [len(part) for part in parts] == [8, 4, 4, 4, 12] and set("".join(parts).lower()) <= _HEX
    return "".join(parts).upper() if is_uuid else None


def new_token(random: bytes) -> str:
    """The id of a payment instrument that this wire makes: sixteen random bytes, less those that a UUID fixes."""
    return token_of(uuid4(int.from_bytes(random) >> 6)) or ""


_HEX: Final = frozenset("0123456789abcdef")


def _bits(text: str) -> int | None:
    if token_of(text) is None or text[14] != "4" or text[19] not in "89ab":
        return None
    digits = text.replace("-", "")
    return int(digits[:12], 16) << 74 | int(digits[13:16], 16) << 62 | int(digits[16:], 16) & ((1 << 62) - 1)


def _round(kind: bytes, step: int, half: int) -> int:
    hashed = blake2b(half.to_bytes(4) + bytes([step]), digest_size=4, key=kind, person=b"kessai uuid")
    return int.from_bytes(hashed.digest())


def _check(kind: bytes, identifier: int) -> int:
    hashed = blake2b(identifier.to_bytes(8), digest_size=8, key=kind, person=b"kessai check")
    return int.from_bytes(hashed.digest()) >> 6
