"""Who calls: `Authorization: Basic` and `x-api-key`, as clients really send them. Pure.

Both headers carry a secret of the merchant's. The Basic user name is the key, the password empty; some clients encode
the bare key without its colon. Whose a secret is, is found by its hash, which takes as long for one that nobody has.
"""

import base64
import binascii
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from kessai.dialects import HttpRequest

LONGEST: Final = 512
"""Letters of a credential; a longer one is nobody's."""


class Claim(Struct, frozen=True):
    """The hashes of the two secrets that a request carries."""

    basic: bytes
    api_key: bytes


class Refused(Struct, frozen=True):
    """Why a request is let in by nobody; for the log, and for test merchants."""

    why: str


def claim(request: HttpRequest) -> Claim | Refused:
    """What the headers say, before anybody has looked whose it is."""
    sent, keys = request.all("authorization"), request.all("x-api-key")
    if len(sent) != 1 or len(keys) != 1:
        return Refused("Authorization and x-api-key are wanted, once each")
    scheme, _, encoded = sent[0].strip().partition(" ")
    if scheme.lower() != "basic":
        return Refused("the scheme of Authorization is Basic")
    user = _user(encoded.strip())
    key = keys[0].strip()
    if not user or not key or len(key) > LONGEST:
        return Refused("Authorization is Basic with base64 of the key and a colon; x-api-key is the other key")
    return Claim(hash_of(user), hash_of(key.encode("latin-1")))


def hash_of(secret: bytes) -> bytes:
    """What a secret is found by."""
    return blake2b(secret, digest_size=32, person=b"kessai bearer").digest()


def basic(key: str) -> str:
    """The value of `Authorization` for a key."""
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def _user(encoded: str) -> bytes:
    """The user name; empty for what is none, or comes with a password."""
    if len(encoded) > 2 * LONGEST:
        return b""
    try:
        decoded = base64.b64decode(encoded.encode("latin-1") + b"=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
    user, _, password = decoded.partition(b":")
    return b"" if password or b"\0" in user else user
