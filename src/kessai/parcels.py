"""Parcels: a file of tokens on its way from one installation to another, sealed to the one who may open it. No I/O.

    line       a compact JWE (RFC 7516), RSA-OAEP-256 and A256GCM, to the recipient's RSA key of 2048 bits or more
    header     alg, enc, kid (RFC 7638 thumbprint of the recipient's key), typ: kessai-tokens, version: 1
    plaintext  a `Chunk` as JSON: some tokens, or the end

Every chunk says the parcel's secret, its own number, and the SHA-256 of the line before it. The secret is nowhere but
inside, so whoever cannot open a parcel can neither change, reorder, mix nor shorten it unnoticed: the last chunk, and
no other, has an `End` that counts the tokens of each kind. Who made a parcel is not proven by it (the recipient's key
is public): compare the digest that both commands tell.

    Unreadable   one sentence about a line; no text of it carries a value
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct
from msgspec.structs import replace

ALGORITHM: Final = "RSA-OAEP-256"
ENCRYPTION: Final = "A256GCM"
TYPE: Final = "kessai-tokens"
VERSION: Final = 1
"""Of the format. A change of a chunk's form takes the next number; a reader refuses what it does not know."""
SMALLEST_KEY_BITS: Final = 2048

_REGISTRY: Final = jwe.JWERegistry(algorithms=[ALGORITHM, ENCRYPTION], strict_check_header=False)
_REGISTRY.max_ciphertext_length = 64 * 1024 * 1024  # the library's own limit is that of one small message


class Unreadable(Exception):
    """A line, or a key, that is not what it has to be."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token as it travels. The only one of its values that must never be seen is the number; so none is shown."""

    kind: str
    id: str
    made: int
    version: int
    state: str
    document: dict[str, Any] = {}
    deleted_at: int | None = None
    """Milliseconds since 1970, as storage keeps them."""
    customer: str | None = None
    is_default: bool = False
    instrument: str | None = None
    expiry: str = ""
    number: str | None = None
    """Of an instrument identifier that is not deleted."""
    routing_number: str | None = None
    """With a bank account's number; None: the number is a card's."""

    def __repr__(self) -> str:
        return f"<Record {self.kind} {self.id}>"


class End(Struct, frozen=True):
    """What a whole parcel has: tokens by kind."""

    counts: dict[str, int]


class Chunk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is in one line."""

    secret: str
    merchant: str
    number: int
    """Lines are numbered from 0."""
    before: str
    """SHA-256 of the line before, in hexadecimal; of the first line, empty."""
    tokens: tuple[Record, ...] = ()
    end: End | None = None

    def __repr__(self) -> str:
        return f"<Chunk {self.number}>"


class Place(Struct, frozen=True, kw_only=True):
    """How far a parcel was written or read. It is handed out and back between two lines."""

    secret: str
    merchant: str
    number: int = 0
    """Of the next line."""
    before: str = ""
    counts: dict[str, int] = {}
    is_ended: bool = False


# ---- keys


def recipient(pem: bytes) -> RSAKey:
    """The public key of a certificate, or of itself, in PEM. Unreadable."""
    if b"PRIVATE KEY" in pem:
        raise Unreadable("that is a private key: give the certificate or the public key of who is to open the file")
    try:
        if b"CERTIFICATE" in pem:
            return _rsa(x509.load_pem_x509_certificate(pem).public_key())
        return _rsa(serialization.load_pem_public_key(pem))
    except (ValueError, TypeError):
        raise Unreadable(
            "the recipient's key cannot be read: a certificate or a public key in PEM is expected"
        ) from None


def opener(pem: bytes, password: bytes | None = None) -> RSAKey:
    """A private key in PEM. Unreadable."""
    try:
        return _rsa(serialization.load_pem_private_key(pem, password))
    except (ValueError, TypeError):
        raise Unreadable("the private key cannot be read: it is expected in PEM, with the password it has") from None


def opened(pem: bytes, password: bytes | None = None) -> str:
    """A private key in PEM without a password. Unreadable."""
    return opener(pem, password).as_pem(private=True).decode()


def _rsa(key: object) -> RSAKey:
    if not isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey) or key.key_size < SMALLEST_KEY_BITS:
        raise Unreadable(f"an RSA key of {SMALLEST_KEY_BITS} bits or more is expected")
    return RSAKey.import_key(key)


# ---- lines


def seal(place: Place, tokens: tuple[Record, ...], key: RSAKey) -> tuple[str, Place]:
    """The next line of a parcel, and the place after it. No tokens: the end."""
    end = None if tokens else End(place.counts)
    chunk = Chunk(
        secret=place.secret,
        merchant=place.merchant,
        number=place.number,
        before=place.before,
        tokens=tokens,
        end=end,
    )
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": key.thumbprint(), "typ": TYPE, "version": VERSION}
    line = jwe.encrypt_compact(header, msgspec.json.encode(chunk), key, registry=_REGISTRY)
    return line, _after(place, chunk, line)


def read(line: str, place: Place | None, key: RSAKey) -> tuple[Chunk, Place]:
    """What is in the next line, and the place after it; `place` is None before the first. Unreadable."""
    where = f"line {place.number + 1 if place is not None else 1}"
    if place is not None and place.is_ended:
        raise Unreadable(f"{where} stands behind the end of the file")
    _check_header(line, where, key)
    try:
        opened = jwe.decrypt_compact(line, key, registry=_REGISTRY)
        chunk = msgspec.json.decode(opened.plaintext or b"", type=Chunk)
    except (JoseError, ValueError):
        raise Unreadable(f"{where} was changed, or cut short: it does not open") from None
    if place is None:
        place = Place(secret=chunk.secret, merchant=chunk.merchant)
    if not hmac.compare_digest(chunk.secret.encode(), place.secret.encode()) or chunk.merchant != place.merchant:
        raise Unreadable(f"{where} is of another file")
    if (chunk.number, chunk.before) != (place.number, place.before):
        raise Unreadable(f"{where} is out of order, or lines before it are missing: it is number {chunk.number + 1}")
    if (chunk.end is None) is not bool(chunk.tokens) or (chunk.end is not None and chunk.end.counts != place.counts):
        raise Unreadable(f"{where} does not count what is in the file")
    return chunk, _after(place, chunk, line)


def _check_header(line: str, where: str, key: RSAKey) -> None:
    head = line.partition(".")[0]
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)), type=dict[str, Any])
    except (ValueError, binascii.Error, RecursionError):
        raise Unreadable(f"{where} is no line of a file of tokens") from None
    if header.get("typ") != TYPE:
        raise Unreadable(f"{where} is no line of a file of tokens")
    if header.get("version") != VERSION:
        raise Unreadable(f"the file has another version of the format; version {VERSION} is known here")
    if (header.get("alg"), header.get("enc")) != (ALGORITHM, ENCRYPTION) or {"zip", "crit"} & header.keys():
        raise Unreadable(f"{where} is not sealed with {ALGORITHM} and {ENCRYPTION}")
    if header.get("kid") != key.thumbprint():
        raise Unreadable("the file is sealed to another key than this one")


def _after(place: Place, chunk: Chunk, line: str) -> Place:
    return replace(
        place,
        number=place.number + 1,
        before=hashlib.sha256(line.encode()).hexdigest(),
        counts=_counted(place.counts, chunk.tokens),
        is_ended=chunk.end is not None,
    )


def _counted(counts: Mapping[str, int], tokens: tuple[Record, ...]) -> dict[str, int]:
    found = dict(counts)
    for token in tokens:
        found[token.kind] = found.get(token.kind, 0) + 1
    return dict(sorted(found.items()))
