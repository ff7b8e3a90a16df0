"""Cards taken in the browser: capture contexts, the encrypted card, transient tokens. Pure.

    POST /microform/v2/sessions   a capture context, for the merchant's page: which origins may show the fields, which
    POST /flex/v2/sessions        brands are taken, where the library is, which key a card is encrypted to
    POST /flex/v2/tokens          the encrypted card, from the browser: a JWE of {"data": ..., "context": ...}

Contexts and transient tokens are JSON Web Tokens (RS256) that live for 15 minutes. A context is signed by a key of its
own. A transient token is signed by the key that the card was encrypted to, because the wire says so: its `kid` is that
of `flx.jwk`, by which merchants verify it.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct

from kessai.dialects.cybersource.fields import CARD_TYPES, TYPE_OF_BRAND
from kessai.dialects.document import text_of
from kessai.dialects.table import find
from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode

LIFE: Final = timedelta(minutes=15)
TOKENS: Final = "/flex/v2/tokens"
KEYS: Final = "/flex/v2/public-keys"
LIBRARY: Final = "/microform/v2/microform.js"
FIELD: Final = "/microform/v2/field"
MOST_ORIGINS: Final = 20
CONTEXT_LIMIT: Final = 12_000
"""Letters of a capture context that is read at all."""

ROUTES: Final = (
    ("POST", "/microform/v2/sessions", "a capture context for fields in the merchant's page", "signed", 201),
    ("POST", "/flex/v2/sessions", "a capture context for who encrypts the card itself", "signed", 201),
    ("POST", TOKENS, "a transient token for an encrypted card", "by its capture context", 201),
    ("GET", KEYS + "/{kid}", "the key that verifies capture contexts or transient tokens", "nobody", 200),
    ("GET", "/flex/v2/payment-details/{jti}", "what may be shown of a transient token", "signed", 200),
    ("GET", LIBRARY, "the library for the merchant's page", "nobody", 200),
    ("GET", FIELD, "one field, shown inside of the merchant's page", "by its capture context", 200),
)
"""Method, path, what is asked for, how the sender is known, HTTP status of a success."""

NETWORKS: Final[Mapping[str, Brand]] = {
    "VISA": Brand.VISA,
    "MASTERCARD": Brand.MASTERCARD,
    "AMEX": Brand.AMEX,
    "DISCOVER": Brand.DISCOVER,
    "DINERSCLUB": Brand.DINERS,
    "JCB": Brand.JCB,
    "MAESTRO": Brand.MAESTRO,
    "CUP": Brand.UNIONPAY,
    "CARTESBANCAIRES": Brand.CARTES_BANCAIRES,
    "ELO": Brand.ELO,
    "MADA": Brand.MADA,
    "EFTPOS": Brand.EFTPOS,
    "MEEZA": Brand.MEEZA,
    "JAYWAN": Brand.JAYWAN,
}
"""Words of `allowedCardNetworks`."""

_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_ORIGIN: Final = re.compile(rf"https://{_HOST}(?::[0-9]{{1,5}})?|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{{1,5}})?")
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_JWE: Final = re.compile(r"(?:[A-Za-z0-9_-]+\.){4}[A-Za-z0-9_-]+", re.ASCII)
_JTI: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_SIGNED: Final = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
_ENCRYPTED: Final = jwe.JWERegistry(algorithms=["RSA-OAEP", "RSA-OAEP-256", "A256GCM"], strict_check_header=False)
CONTEXT_ISSUER: Final = "Flex API"
TOKEN_ISSUER: Final = "Flex/08"  # noqa: S105  the name of a service


class Wrong(Struct, frozen=True):
    """What is wrong with a request: a reason, a sentence, and the members at fault. It repeats nothing that came."""

    reason: str
    message: str
    fields: tuple[str, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """What a merchant wants of a capture context."""

    origins: tuple[str, ...]
    """Whose pages may show the fields; none for who encrypts the card itself."""
    networks: tuple[str, ...]
    """Brands that are taken, in the words of `NETWORKS`."""
    is_microform: bool
    fields: Mapping[str, object]
    """Of a context without fields of ours: what the merchant says that it will send."""


class Context(Struct, frozen=True, kw_only=True):
    """A verified capture context."""

    merchant_id: str
    origins: tuple[str, ...]
    networks: tuple[str, ...]


class Named(Struct, frozen=True, kw_only=True):
    """A card that came encrypted, and the context it came with."""

    context: str
    data: Mapping[str, object]


# ---- sessions


def session(document: Mapping[str, object], *, is_microform: bool) -> Session | Wrong:
    origins, networks = document.get("targetOrigins"), document.get("allowedCardNetworks")
    version = text_of(document.get("clientVersion"))
    if is_microform and version is not None and not version.startswith(("v2", "2")):
        return _invalid("clientVersion", "The client version is v2.")
    if origins is None and is_microform:
        return Wrong("MISSING_FIELD", "Name the origins of the pages that show the fields.", ("targetOrigins",))
    listed = _texts(origins if origins is not None else [])
    if listed is None or len(listed) > MOST_ORIGINS or (is_microform and not listed):
        return _invalid("targetOrigins", f"1 to {MOST_ORIGINS} origins are expected.")
    if not all(map(_ORIGIN.fullmatch, listed)):
        return _invalid("targetOrigins", "An origin is https, a host and maybe a port; http for localhost only.")
    words = _texts(networks if networks is not None else list(NETWORKS))
    if not words or not NETWORKS.keys() >= set(words):
        return _invalid("allowedCardNetworks", f"Networks are {', '.join(NETWORKS)}.")
    types = document.get("allowedPaymentTypes")
    if types is not None and "CARD" not in (_texts(types) or ()):
        return _invalid("allowedPaymentTypes", "CARD is taken.")
    told = document.get("fields")
    fields = told if isinstance(told, dict) else {}
    return Session(origins=tuple(listed), networks=tuple(words), is_microform=is_microform, fields=fields)


def _texts(value: object) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return None
    return list(dict.fromkeys(value))


def _invalid(field: str, message: str) -> Wrong:
    return Wrong("VALIDATION_ERROR", message, (field,))


def context(
    wanted: Session,
    *,
    merchant_id: str,
    origin: str,
    integrity: str,
    signing: RSAKey,
    card_key: RSAKey,
    jti: str,
    now: datetime,
) -> str:
    """The signed capture context. `origin` is where browsers find this gateway, `integrity` that of the library."""
    issued = int(now.timestamp())
    data: dict[str, object] = {"targetOrigins": wanted.origins, "mfOrigin": origin}
    if wanted.is_microform:
        data |= {"clientLibrary": origin + LIBRARY, "clientLibraryIntegrity": integrity}
        data |= {"allowedCardNetworks": wanted.networks, "allowedPaymentTypes": ["CARD"]}
    else:
        data |= {"allowedCardNetworks": wanted.networks, "fields": wanted.fields}
    opaque = base64.urlsafe_b64encode(merchant_id.encode()).decode()
    flx = {"path": TOKENS, "data": opaque, "origin": origin, "jwk": public(card_key, use="enc")}
    claims = {
        "flx": flx,
        "ctx": [{"data": data, "type": "mf-2.1.0" if wanted.is_microform else "api-0.1.0"}],
        "iss": CONTEXT_ISSUER,
        "exp": issued + int(LIFE.total_seconds()),
        "iat": issued,
        "jti": jti,
    }
    return _signed(claims, signing)


def public(key: RSAKey, **more: str) -> dict[str, object]:
    """The public half as a JWK."""
    found = key.as_dict(private=False)
    return {"kty": "RSA", "e": found["e"], **more, "n": found["n"], "kid": str(key.kid)}


def _signed(claims: Mapping[str, object], key: RSAKey) -> str:
    payload = msgspec.json.encode(claims)
    return jws.serialize_compact({"kid": str(key.kid), "alg": "RS256"}, payload, key, registry=_SIGNED)


# ---- reading what comes back


def kid_of(token: str) -> str | None:
    """The key that a JWT or JWE names; None where it cannot be one."""
    kid = _header(token).get("kid")
    return kid if isinstance(kid, str) and len(kid) <= 64 else None


def _header(token: str) -> Mapping[str, object]:
    """The first part of a JWT or JWE; nothing where it cannot be one."""
    if not (_JWT.fullmatch(token) or _JWE.fullmatch(token)):
        return {}
    head = token.partition(".")[0]
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _verified(token: str, key: RSAKey, issuer: str, now: datetime) -> Mapping[str, Any] | None:
    """The claims of a token that the key has signed and that is not over."""
    try:
        claims = msgspec.json.decode(jws.deserialize_compact(token, key, registry=_SIGNED).payload)
    except (JoseError, ValueError, RecursionError):
        return None
    if not isinstance(claims, dict) or claims.get("iss") != issuer or not now.timestamp() < claims["exp"]:
        return None
    return claims


def read_context(token: str, key: RSAKey, now: datetime) -> Context | None:
    """What a capture context of ours says; None for one that is none, is over or was changed."""
    claims = _verified(token, key, CONTEXT_ISSUER, now)
    if claims is None:
        return None
    data = claims["ctx"][0]["data"]
    return Context(
        merchant_id=base64.urlsafe_b64decode(claims["flx"]["data"]).decode(),
        origins=tuple(data["targetOrigins"]),
        networks=tuple(data["allowedCardNetworks"]),
    )


def opened(body: bytes, key: RSAKey) -> Named | Wrong:
    """An encrypted card. About a millisecond: RSA's private half."""
    unreadable = Wrong("DECRYPTION_ERROR", "The body is not a JWE that opens with the key of a capture context.")
    if _header(body.decode("latin-1")).keys() & {"zip", "crit"}:
        return unreadable
    try:
        payload = msgspec.json.decode(jwe.decrypt_compact(body, key, registry=_ENCRYPTED).plaintext or b"")
    except (JoseError, ValueError, RecursionError):  # which of the steps failed is nobody's business (RFC 7516, 11.5)
        return unreadable
    if not isinstance(payload, dict):
        return unreadable
    data, token = payload.get("data"), payload.get("context")
    if not isinstance(data, dict) or not isinstance(token, str) or len(token) > CONTEXT_LIMIT:
        return Wrong("VALIDATION_ERROR", "data and context are expected.", ("data", "context"))
    return Named(context=token, data=data)


_NUMBER: Final = re.compile(r"[0-9]{12,19}", re.ASCII)
_CODE: Final = re.compile(r"[0-9]{3,4}", re.ASCII)
_CARD: Final = "paymentInformation.card"


def card(data: Mapping[str, object], networks: Sequence[str], today: date) -> Card | Wrong:
    """The card of an opened message. `today` is that of UTC-12, where months end last."""

    def sent(name: str) -> str | None:
        value = find(data, ("paymentInformation", "card", name))
        return text_of(value.get("value") if isinstance(value, dict) else value) or None

    number, code = sent("number"), sent("securityCode")
    month, year, named = sent("expirationMonth"), sent("expirationYear"), sent("type")
    if number is None:
        return Wrong("MISSING_FIELD", "A card number is expected.", (f"{_CARD}.number",))
    if _NUMBER.fullmatch(number) is None or not Pan(number).is_valid:
        return _invalid(f"{_CARD}.number", "The card number is not valid.")
    pan = Pan(number)
    if named is not None and named not in CARD_TYPES:
        return _invalid(f"{_CARD}.type", "The card type is unknown.")
    brand = CARD_TYPES[named] if named is not None and pan.brand is None else pan.brand
    if brand is None or brand not in {NETWORKS[word] for word in networks}:
        return _invalid(f"{_CARD}.number", "This kind of card is not taken here.")
    if code is not None and _CODE.fullmatch(code) is None:
        return _invalid(f"{_CARD}.securityCode", "The security code is not valid.")
    expiry = _expiry(month, year)
    if isinstance(expiry, Wrong):
        return expiry
    if expiry is not None and expiry.is_past(today):
        return _invalid(f"{_CARD}.expirationYear", "The card has expired.")
    return Card(pan=pan, expiry=expiry, security_code=SecurityCode(code) if code else None, brand=brand)


def _expiry(month: str | None, year: str | None) -> Expiry | Wrong | None:
    if month is None and year is None:
        return None
    if month is None or re.fullmatch("0?[1-9]|1[0-2]", month, re.ASCII) is None:
        return _invalid(f"{_CARD}.expirationMonth", "The month is 01 to 12.")
    if year is None or re.fullmatch("20[0-9]{2}", year, re.ASCII) is None:
        return _invalid(f"{_CARD}.expirationYear", "The year has four digits.")
    return Expiry(int(year), int(month))


# ---- transient tokens


def token(found: Card, *, key: RSAKey, jti: str, now: datetime) -> str:
    """The signed transient token of a card: it shows what may be shown."""
    issued = int(now.timestamp())
    claims = {
        "iss": TOKEN_ISSUER,
        "exp": issued + int(LIFE.total_seconds()),
        "type": "mf-2.0.0",
        "iat": issued,
        "jti": jti,
        "content": {"paymentInformation": {"card": shown(found)}},
    }
    return _signed(claims, key)


def shown(found: Card) -> dict[str, object]:
    """What a browser and a merchant may see of a card."""
    digits = found.pan.digits
    number: dict[str, object] = {"maskedValue": "X" * (len(digits) - 4) + digits[-4:], "bin": digits[:6]}
    if found.brand is not None:
        number["detectedCardTypes"] = [TYPE_OF_BRAND[found.brand]]
    card: dict[str, object] = {"number": number}
    if found.expiry is not None:
        card["expirationMonth"] = {"value": f"{found.expiry.month:02d}"}
        card["expirationYear"] = {"value": f"{found.expiry.year:04d}"}
    if found.security_code is not None:
        card["securityCode"] = {}
    return card


def jti_of(named: str, key: RSAKey | None, now: datetime) -> str | None:
    """The name in a transient token, which is given whole or as its `jti`; None for what is none, or is over."""
    if _JTI.fullmatch(named):
        return named.upper()
    claims = _verified(named, key, TOKEN_ISSUER, now) if key is not None else None
    return str(claims["jti"]) if claims is not None else None


# ---- in other requests

_NAMES: Final = ("transientTokenJwt", "jti")


def named(document: Mapping[str, object]) -> tuple[str, str] | None:
    """The transient token that a request names, whole or by its `jti`, after the path that names it."""
    for name in _NAMES:
        text = text_of(find(document, ("tokenInformation", name)))
        if text:
            return f"tokenInformation.{name}", text
    return None


def filled(document: Mapping[str, object], found: Card) -> dict[str, object]:
    """A payment's request as if it had said the card of its transient token, which it does not name any more.

    What it says of the card goes first; a number of its own is another card, of which the token says nothing.
    """
    token = {name: value for name, value in _object(document.get("tokenInformation")).items() if name not in _NAMES}
    means = _object(document.get("paymentInformation"))
    said = _object(means.get("card"))
    card = said if text_of(said.get("number")) else {**_members(found), **said}
    whole = {**document, "tokenInformation": token, "paymentInformation": {**means, "card": card}}
    return {name: value for name, value in whole.items() if name != "tokenInformation" or token}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _members(found: Card) -> dict[str, object]:
    members: dict[str, object] = {"number": found.pan.digits}
    if found.expiry is not None:
        members |= {"expirationMonth": f"{found.expiry.month:02d}", "expirationYear": f"{found.expiry.year:04d}"}
    if found.security_code is not None:
        members["securityCode"] = found.security_code.digits
    if found.brand is not None:
        members["type"] = TYPE_OF_BRAND[found.brand]
    return members


def failure(wrong: Wrong, status: int, correlation: str) -> bytes:
    """The body of a refusal."""
    details = [{"location": field, "message": wrong.message} for field in wrong.fields]
    told = {"status": status, "reason": wrong.reason, "message": wrong.message, "correlationId": correlation}
    return msgspec.json.encode({"responseStatus": told | ({"details": details} if details else {})})
