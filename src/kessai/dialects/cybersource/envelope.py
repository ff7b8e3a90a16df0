"""Message-level encryption: a request or answer in an envelope that one key opens (RFC 7516, compact form). Pure.

    {"encryptedRequest": "<JWE>"}    to the gateway's key
    {"encryptedResponse": "<JWE>"}   to a key that the merchant registered

RSA-OAEP-256 and A256GCM, nothing else: no compression (a small text could unpack to a large one), no critical
extensions. Who sent a message is not proven by it: signature and digest cover the envelope, and are checked before.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

ALGORITHM: Final = "RSA-OAEP-256"
ENCRYPTION: Final = "A256GCM"
_REGISTRY: Final = jwe.JWERegistry(algorithms=[ALGORITHM, ENCRYPTION], strict_check_header=False)
_FIRST: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"encryptedRequest"')
_WHOLE: Final = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"encryptedRequest"[ \t\r\n]*:[ \t\r\n]*"([A-Za-z0-9_.-]+)"[ \t\r\n]*\}[ \t\r\n]*'
)
_KID_LIMIT: Final = 128


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    alg: str
    enc: str
    kid: str | None = None
    zip: object = msgspec.UNSET
    crit: object = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message that is not opened yet, and the id of the key that it names."""

    kid: str | None
    token: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An envelope that cannot be opened; the reason names nothing of what came but an id that is one."""

    reason: str


def is_sealed(body: bytes) -> bool:
    """Whether a body is an envelope, or wants to be one."""
    return body[:1] in _OPENINGS and _FIRST.match(body) is not None


_OPENINGS: Final = frozenset({b"{", b" ", b"\t", b"\r", b"\n"})


def read(body: bytes) -> Sealed | Unreadable:
    """Take an envelope apart, without any key."""
    found = _WHOLE.fullmatch(body)
    if found is None:
        return Unreadable("an encrypted request has the one member encryptedRequest, a compact JWE")
    token = found[1].decode("ascii")
    if token.count(".") != 4:
        return Unreadable("encryptedRequest is not a compact JWE: five parts joined by points")
    head = token.partition(".")[0]
    try:
        header = msgspec.json.decode(
            base64.b64decode(head + "=" * (-len(head) % 4), altchars=b"-_", validate=True), type=_Header
        )
    except (ValueError, RecursionError):
        return Unreadable("the header of encryptedRequest cannot be read")
    if (header.alg, header.enc) != (ALGORITHM, ENCRYPTION):
        return Unreadable(f"encryptedRequest is to be encrypted with {ALGORITHM} and {ENCRYPTION}")
    if header.zip is not msgspec.UNSET or header.crit is not msgspec.UNSET:
        return Unreadable("the header of encryptedRequest has zip or crit, which are not accepted")
    if header.kid is not None and len(header.kid) > _KID_LIMIT:
        return Unreadable("kid is longer than any key's")
    return Sealed(header.kid, token)


def unseal(sealed: Sealed, keys: Mapping[str, RSAKey]) -> bytes | Unreadable:
    """What is in an envelope. Without a kid, the newest key is tried. About a millisecond: RSA's private half."""
    kid = sealed.kid if sealed.kid is not None else next(reversed(list(keys)), None)
    key = keys.get(kid) if kid is not None else None
    if key is None:
        return Unreadable("encryptedRequest names a kid that is not of a key here: fetch the certificate again")
    try:
        opened = jwe.decrypt_compact(sealed.token, key, registry=_REGISTRY)
    except (JoseError, ValueError):  # which of the steps failed is nobody's business (RFC 7516, 11.5)
        return Unreadable("encryptedRequest does not open with the key that it names")
    return opened.plaintext or b""


def seal(body: bytes, kid: str, key: RSAKey, issued_s: int) -> bytes:
    """The envelope of an answer."""
    return msgspec.json.encode({"encryptedResponse": jose(body, kid, key, issued_s)})


def jose(body: bytes, kid: str, key: RSAKey, issued_s: int) -> str:
    """A text that one key opens, by itself."""
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": kid, "iat": issued_s, "cty": "json", "typ": "JWT"}
    return jwe.encrypt_compact(header, body, key, registry=_REGISTRY)
