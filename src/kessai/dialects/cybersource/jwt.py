"""Keys and the tokens they sign: JSON Web Signatures in compact form; and the instants that merchants write. Pure.

RFC 7515 and RFC 7518, as far as merchants of this dialect use them. What a token must say about its request is decided
in `auth`; here it is three parts, an algorithm and a key. Nothing in a token chooses its key: `jwk`, `jku` and `x5u`
make it unreadable, and a certificate in `x5c` is a name to look up, never a key. Whatever cannot be read raises
ValueError, whose text holds nothing that is secret.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, NoReturn

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hmac import HMAC

TOKEN_LIMIT: Final = 16_384
"""Characters of a token that are read at all; one with a certificate of 4096 bits needs about a third."""

TOKEN_LIFE_S: Final = 120
LEEWAY_S: Final = 30
METHODS_WITH_DIGEST: Final = frozenset({"POST", "PUT", "PATCH"})

HS256: Final = "HS256"

_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

# RFC 7518, 3.3 and 3.5: a PSS salt is as long as the hash.
RSA_ALGORITHMS: Final[dict[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]]] = {
    **{f"RS{bits}": (padding.PKCS1v15(), used) for bits, used in _HASHES.items()},
    **{
        f"PS{bits}": (padding.PSS(padding.MGF1(used), salt_length=padding.PSS.DIGEST_LENGTH), used)
        for bits, used in _HASHES.items()
    },
}

ALGORITHMS: Final = (HS256, *RSA_ALGORITHMS)

# Header members that would let the sender choose the key, or change how the rest is read (RFC 7515, 4.1.11).
REFUSED_MEMBERS: Final = ("jwk", "jku", "x5u", "crit")

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)

_TIME: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d{1,9})?)?"
_ZONE: Final = r"(?P<zone>GMT|UTC|Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)"
_INSTANTS: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        # RFC 9110, 5.6.7, its RFC 850 form too; hours of one digit and offsets as they come.
        r"(?:[A-Za-z]{3,9},? +)?(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3})[ -](?P<year>\d{4}|\d\d) +"
        rf"{_TIME} *{_ZONE}",
        # ISO 8601, and what Java and Rust print for a time with an offset or a zone.
        rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)[T ]{_TIME} *{_ZONE}(?:\[[A-Za-z/_+-]+\])?",
        # asctime, always UTC, and Java's Date.
        rf"[A-Za-z]{{3}} (?P<month>[A-Za-z]{{3}}) +(?P<day>\d{{1,2}}) +{_TIME} +(?P<zone>GMT |UTC )?(?P<year>\d{{4}})",
    )
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class SharedSecret:
    """A MAC key and who owns it: a merchant, or a portfolio (meta key). Masked, and written nowhere.

    ValueError for less than 16 bytes.
    """

    __slots__ = ("_secret", "key_id", "owner")

    def __init__(self, key_id: str, secret: bytes, owner: str) -> None:
        if len(secret) < 16:
            raise ValueError("a shared secret is at least 16 bytes")
        self.key_id = key_id
        self.owner = owner
        self._secret = secret

    @staticmethod
    def of(key_id: str, text: str, owner: str) -> "SharedSecret":
        """From the base64 text that merchants are shown. ValueError where it is not base64, without repeating it."""
        return SharedSecret(key_id, from_base64("a shared secret", text.strip()), owner)

    @property
    def key_ids(self) -> tuple[str, ...]:
        return (self.key_id,)

    def mac(self, data: bytes) -> bytes:
        """HMAC-SHA-256 of the data, 32 bytes."""
        context = _hmac(self._secret).copy()
        context.update(data)
        return context.finalize()

    def __repr__(self) -> str:
        return f"<SharedSecret {self.key_id} of {self.owner} ***>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SharedSecret is not written anywhere")


@lru_cache(maxsize=1024)
def _hmac(secret: bytes) -> HMAC:
    """A key's context before any data. To set one up takes longer than the whole MAC of a request."""
    return HMAC(secret, hashes.SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A registered certificate: found by its subject's serialNumber (JWT version 2) or its fingerprint (version 1)."""

    owner: str
    fingerprint: str
    """SHA-256 of the DER in lower-case hex."""
    serial_number: str | None
    """The serialNumber attribute of the subject, which is not the certificate's own serial number."""
    valid_from: datetime
    valid_until: datetime
    public_key: rsa.RSAPublicKey = field(repr=False)

    @property
    def key_ids(self) -> tuple[str, ...]:
        return (self.fingerprint,) if self.serial_number is None else (self.serial_number, self.fingerprint)

    @staticmethod
    def of(data: bytes, owner: str) -> "Certificate":
        """Read PEM or DER. ValueError where it is neither, or its key is not RSA of at least 2048 bits."""
        pem = data.lstrip().startswith(b"-----BEGIN")
        loaded = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        try:
            key = loaded.public_key()
        except UnsupportedAlgorithm:
            raise ValueError("a certificate's key is RSA") from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
            raise ValueError("a certificate's key is RSA of at least 2048 bits")
        serial_numbers = loaded.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)
        return Certificate(
            owner=owner,
            fingerprint=loaded.fingerprint(hashes.SHA256()).hex(),
            serial_number=str(serial_numbers[0].value) if serial_numbers else None,
            valid_from=loaded.not_valid_before_utc,
            valid_until=loaded.not_valid_after_utc,
            public_key=key,
        )


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first part. `merchant` is the key alias of a version 1 token."""

    alg: str
    kid: str | None = None
    x5c: list[str] | None = None
    merchant: str | None = msgspec.field(name="v-c-merchant-id", default=None)
    jwk: object = msgspec.UNSET
    jku: object = msgspec.UNSET
    x5u: object = msgspec.UNSET
    crit: object = msgspec.UNSET


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The second part: every claim that is absent in one version or another may be absent here."""

    iat: _Seconds | str | None = None
    exp: _Seconds | str | None = None
    iss: str | None = None
    jti: str | None = None
    digest: str | None = None
    digest_algorithm: str | None = msgspec.field(name="digestAlgorithm", default=None)
    digest_algorithm_of_node: str | None = msgspec.field(name="digest-algorithm", default=None)
    method: str | None = msgspec.field(name="request-method", default=None)
    host: str | None = msgspec.field(name="request-host", default=None)
    path: str | None = msgspec.field(name="request-resource-path", default=None)
    version: int | str | None = msgspec.field(name="v-c-jwt-version", default=None)
    merchant: str | None = msgspec.field(name="v-c-merchant-id", default=None)
    response_mle_kid: str | None = msgspec.field(name="v-c-response-mle-kid", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token taken apart; nothing of it is verified."""

    header: Header
    claims: Claims
    fingerprint: str | None
    """Version 1 only: SHA-256 in hex of the certificate that came along."""
    signing_input: bytes
    signature: bytes


_HEADER: Final = msgspec.json.Decoder(Header)
_CLAIMS: Final = msgspec.json.Decoder(Claims)


def read(text: str) -> Token:
    """Take a compact token apart. ValueError says what is wrong with its form.

    Version 1 is known by its certificate, and by claiming no version.
    """
    if len(text) > TOKEN_LIMIT:
        raise ValueError(f"the token is {len(text)} characters long, at most {TOKEN_LIMIT} are read")
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise ValueError("the bearer token is not three parts of base64url joined by points")
    try:
        header = _HEADER.decode(_decode(parts[1]))
        claims = _CLAIMS.decode(_decode(parts[2]))
        signature = _decode(parts[3])
    except RecursionError:
        raise ValueError("the token is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the token cannot be read: {error}") from None
    for member in REFUSED_MEMBERS:
        if getattr(header, member) is not msgspec.UNSET:
            raise ValueError(f"the token's header has {member}, which is not accepted")
    if claims.version is not None and str(claims.version) != "2":
        raise ValueError("v-c-jwt-version is not 2")
    fingerprint = None
    if header.x5c and claims.version is None:
        fingerprint = hashlib.sha256(from_base64("x5c", header.x5c[0])).hexdigest()
    signing_input = text[: text.rindex(".")].encode("ascii")
    return Token(
        header=header, claims=claims, fingerprint=fingerprint, signing_input=signing_input, signature=signature
    )


def fits(algorithm: str, key: SharedSecret | Certificate) -> bool:
    """Whether an algorithm is one for this kind of key: a public key never serves as a secret."""
    return algorithm == HS256 if isinstance(key, SharedSecret) else algorithm in RSA_ALGORITHMS


def is_signed_by(token: Token, key: SharedSecret | Certificate) -> bool:
    """Whether this key made the token's signature; never so with an algorithm that does not fit the key."""
    if not fits(token.header.alg, key):
        return False
    if isinstance(key, SharedSecret):
        return hmac.compare_digest(key.mac(token.signing_input), token.signature)
    used_padding, used_hash = RSA_ALGORITHMS[token.header.alg]
    try:
        key.public_key.verify(token.signature, token.signing_input, used_padding, used_hash)
    except InvalidSignature:
        return False
    return True


def sign_jwt_hs256(
    *,
    method: str,
    target: str,
    host: str,
    body: bytes,
    merchant_id: str,
    key: SharedSecret,
    issued_at: datetime,
    jti: str,
) -> dict[str, str]:
    """The header of a version 2 token under a shared secret, good for two minutes; names in lower case."""
    claims: dict[str, object] = {}
    if method.upper() in METHODS_WITH_DIGEST:
        claims = {"digest": sha256_base64(body), "digestAlgorithm": "SHA-256"}
    issued_s = int(issued_at.timestamp())
    claims |= {
        "iat": issued_s,
        "exp": issued_s + TOKEN_LIFE_S,
        "request-method": method.upper(),
        "request-host": host,
        "request-resource-path": target,
        "iss": key.owner,
        "jti": jti,
        "v-c-jwt-version": "2",
        "v-c-merchant-id": merchant_id,
    }
    header = {"kid": key.key_id, "alg": HS256, "typ": "JWT"}
    signing_input = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(claims))}"
    return {"authorization": f"Bearer {signing_input}.{_encode(key.mac(signing_input.encode('ascii')))}"}


def from_base64(name: str, text: str) -> bytes:
    """Base64 with its padding and nothing else. ValueError by name, without the text."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ValueError(f"{name} is not base64") from None


def sha256_base64(data: bytes) -> str:
    """The digest of a body as both schemes carry it, without a prefix."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")


def read_instant(value: int | str | None) -> int | None:
    """Seconds since the epoch of a claim or a date header: a number, its digits, or a date; None for anything else.

    The layout is free where clients are known to take liberties; fractions of a second are dropped.
    """
    if isinstance(value, str):
        return _read_date(value) if len(value) <= 64 else None
    return value


@lru_cache(maxsize=256)
def _read_date(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text) if len(text) <= 12 else None
    found = next((match for pattern in _INSTANTS if (match := pattern.fullmatch(text))), None)
    if found is None:
        return None
    year, month, zone = int(found["year"]), found["month"].lower(), (found["zone"] or "").strip()
    try:
        instant = datetime(
            year + 2000 if len(found["year"]) == 2 else year,
            int(month) if month.isdigit() else _MONTHS.index(month) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"] or 0),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    offset_s = 0
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "").ljust(6, "0")
        hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
        if hours > 18 or minutes > 59 or seconds > 59:
            return None
        offset_s = (hours * 3600 + minutes * 60 + seconds) * (-1 if zone[0] == "-" else 1)
    return int(instant.timestamp()) - offset_s


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
