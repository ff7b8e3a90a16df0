"""Authentication: who claims to call, whether that is so, and the mirror that signs. Pure.

Two schemes say who a merchant is: an HTTP signature (a MAC over listed headers under a shared secret) and a JWT (under
the same secret, or under the private key of a registered certificate). The shell asks `claim` whom a request names,
loads that merchant and that key, and asks `verify`. Both answer with a value; nothing a client sends makes them raise.

The public answer is one and the same for nearly every `Failure`; its `explanation` is for the operator: what was
expected, what came. It is one line of ASCII and holds no secret, no MAC we computed and no header that is a credential.
"""

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from msgspec import Struct

from kessai.dialects import HttpRequest
from kessai.dialects.cybersource import jwt, signature
from kessai.dialects.cybersource.jwt import Certificate, SharedSecret, sign_jwt_hs256

__all__ = [
    "Certificate",
    "Claim",
    "Failure",
    "Reason",
    "Scheme",
    "SharedSecret",
    "Verified",
    "claim",
    "sign",
    "sign_jwt_hs256",
    "verify",
]

WINDOW_S: Final = 300
EXPLANATION_LIMIT: Final = 1500

AUTHENTICATION_FAILED: Final = b'{"response":{"rmsg":"Authentication Failed"}}'
DATE_MISSING: Final = b'{"response":{"rmsg":"Authentication Failed: no Date or v-c-date header was sent"}}'

MAC_ALGORITHMS: Final = frozenset({"hmacsha256", "hmac-sha256"})

_ONCE: Final = ("signature", "authorization", "date", "v-c-date", "digest", "host", "v-c-merchant-id")
_SHOWN: Final = frozenset({"date", "v-c-date", "digest", "host", "v-c-merchant-id", "request-target"})

_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_PORT: Final = re.compile(r":[0-9]{1,5}\Z", re.ASCII)

_NOBODY: Final = SharedSecret("", bytes(32), "")
"""Stands in for an unknown key, so that it takes as long as a known one."""


class Scheme(Enum):
    SIGNATURE = "signature"
    JWT = "jwt"


class Reason(Enum):
    """Why a request is not from whom it says, in order of precedence."""

    NO_CREDENTIALS = "no-credentials"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    DATE_MISSING = "date-missing"
    NOT_SIGNED = "not-signed"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    KEY_NOT_VALID = "key-not-valid"
    HOST = "host"
    DATE = "date"
    DIGEST = "digest"
    CLAIM = "claim"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that is answered with 401; the explanation may stand in a log or a header."""

    reason: Reason
    explanation: str

    @property
    def body(self) -> bytes:
        """The public answer, which does not say which check failed; only a missing date is named."""
        return DATE_MISSING if self.reason is Reason.DATE_MISSING else AUTHENTICATION_FAILED


class SignedRequest(Struct, frozen=True, kw_only=True):
    """The parts of an HTTP signature: the string as the client's own list orders it, and the MAC that came with it."""

    text: str
    signature: bytes
    host: str
    dates: tuple[str, ...]
    digest: str | None


class Claim(Struct, frozen=True, kw_only=True):
    """What a request says of itself; nothing of it is verified."""

    scheme: Scheme
    merchant_id: str
    """The transacting merchant."""
    key_id: str
    """Key id of a secret, subject serialNumber of a certificate, or the SHA-256 of one in hex (JWT version 1)."""
    algorithm: str
    issuer: str | None = None
    """Who owns the key, where the request says so (JWT version 2): the merchant or its portfolio."""
    parts: SignedRequest | jwt.Token = field(repr=False)

    @property
    def is_for_once(self) -> bool:
        """Whether it carries an id (`jti`) that no other request may carry (R-51)."""
        return isinstance(self.parts, jwt.Token) and self.parts.claims.jti is not None


class Verified(Struct, frozen=True, kw_only=True):
    """A request that is from whom it says.

    `replay_id` under `key_id` tells the exact repeat of a request. Leave the merchant out of that comparison: with a
    meta key, an HTTP signature does not cover which merchant of the portfolio the header names.
    """

    merchant_id: str
    key_id: str
    replay_id: str
    """`jti`; without one, the SHA-256 in hex of the token's signature; the MAC in hex of an HTTP signature."""
    until_s: int
    """Seconds since the epoch."""

    @property
    def expires_at(self) -> datetime:
        """From then on a repeat fails by itself."""
        return datetime.fromtimestamp(self.until_s, UTC)


def claim(request: HttpRequest) -> Claim | Failure:
    """Say whom a request names, and by which key, without believing it.

    A `Signature` header makes it an HTTP signature; without one, a bearer token is a JWT. What no key could mend is
    refused here: form, algorithm, and a header list that leaves out what it must cover.
    """
    headers = request.by_name
    try:
        if len(headers) != len(request.headers):
            headers = _without_repeated(request, headers)
        if "signature" in headers:
            return _claim_signature(request, headers)
        return _claim_token(headers)
    except ValueError as error:
        return _failure(Reason.MALFORMED, str(error))


def verify(
    request: HttpRequest,
    claimed: Claim,
    key: SharedSecret | Certificate | None,
    now: datetime,
    accepted_hosts: frozenset[str] | None = None,
    *,
    window_s: int = WINDOW_S,
) -> Verified | Failure:
    """Check what `claim` read from this request against the key it names; None where there is no such live key.

    The caller passes a key only where its owner is the claimed merchant or a portfolio that contains it. `now` is an
    aware time. `accepted_hosts` are names in lower case, one without a port standing for every port; None accepts any.
    """
    if isinstance(claimed.parts, SignedRequest):
        return _verify_signature(request, claimed, claimed.parts, key, now, hosts=accepted_hosts, window_s=window_s)
    return _verify_token(request, claimed, claimed.parts, key, now, hosts=accepted_hosts, window_s=window_s)


def sign(
    *,
    method: str,
    target: str,
    host: str,
    body: bytes,
    merchant_id: str,
    key: SharedSecret,
    date_text: str,
    date_name: str = "date",
    request_target_label: str = "request-target",
) -> dict[str, str]:
    """The headers of an HTTP signature, as a merchant's client sends them.

    The signed merchant line holds the key's owner: the merchant itself, unless it is a meta key.
    """
    lines = {"host": host, date_name: date_text, request_target_label: f"{method.lower()} {target}"}
    headers = {"v-c-merchant-id": merchant_id, date_name: date_text, "host": host}
    if method.upper() in jwt.METHODS_WITH_DIGEST:
        headers["digest"] = lines["digest"] = f"SHA-256={jwt.sha256_base64(body)}"
    lines["v-c-merchant-id"] = key.owner
    mac = key.mac("\n".join(f"{label}: {value}" for label, value in lines.items()).encode())
    headers["signature"] = (
        f'keyid="{key.key_id}", algorithm="HmacSHA256", headers="{" ".join(lines)}", '
        f'signature="{base64.b64encode(mac).decode("ascii")}"'
    )
    return headers


def _without_repeated(request: HttpRequest, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Only the headers that were sent once; ValueError where one that decides who calls was not."""
    times = Counter(name for name, _ in request.headers)
    for name in _ONCE:
        if times[name] > 1:
            raise ValueError(f"header {name} was sent {times[name]} times")
    return {name: value for name, value in headers.items() if times[name] == 1}


def _claim_signature(request: HttpRequest, headers: Mapping[str, str]) -> Claim | Failure:
    key_id, algorithm, names, encoded = signature.parameters(headers["signature"])
    if algorithm.lower() not in MAC_ALGORITHMS:
        return _failure(Reason.ALGORITHM, f"algorithm '{algorithm}' is not HmacSHA256")
    mac = jwt.from_base64("the signature", encoded)
    if len(mac) != 32:
        raise ValueError(f"the signature is {len(mac)} bytes long instead of 32")
    if "date" not in headers and "v-c-date" not in headers:
        return _failure(Reason.DATE_MISSING, "neither a Date nor a v-c-date header was sent")
    signed = signature.signed_list(names)
    listed, absent = signed.listed, signed.absent
    if request.body and "digest" not in listed:
        absent = (*absent, "digest (there is a body)")
    if absent:
        return _failure(Reason.NOT_SIGNED, f"the signed list '{names}' does not have {', '.join(absent)}")
    try:
        text = signed.form % signed.values({**headers, "request-target": f"{request.method.lower()} {request.target}"})
    except KeyError as error:
        return _failure(Reason.NOT_SIGNED, f"header {error.args[0]} is listed as signed but was not sent once")
    if text.count("\n") != len(listed) - 1:
        raise ValueError("a signed header contains a line break")
    return Claim(
        scheme=Scheme.SIGNATURE,
        merchant_id=_id("v-c-merchant-id", headers["v-c-merchant-id"]),
        key_id=_id("keyid", key_id),
        algorithm="HmacSHA256",
        parts=SignedRequest(
            text=text,
            signature=mac,
            host=headers["host"],
            dates=tuple([headers[name] for name in ("date", "v-c-date") if name in listed]),
            digest=headers["digest"] if "digest" in listed else None,
        ),
    )


def _claim_token(headers: Mapping[str, str]) -> Claim | Failure:
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return _failure(Reason.NO_CREDENTIALS, "neither a Signature header nor a bearer token was sent")
    token = jwt.read(text.strip(" "))
    if token.header.alg not in jwt.ALGORITHMS:
        return _failure(Reason.ALGORITHM, f"alg '{token.header.alg}' is not one of {', '.join(jwt.ALGORITHMS)}")
    if token.fingerprint is None:
        merchant_id = _id("claim v-c-merchant-id", token.claims.merchant)
        key_id, issuer = _id("kid", token.header.kid), _id("claim iss", token.claims.iss)
    else:
        merchant_id = _id("v-c-merchant-id of the token's header", token.header.merchant)
        key_id, issuer = token.fingerprint, None
    if token.claims.jti is not None:
        _id("claim jti", token.claims.jti)
    sent = headers.get("v-c-merchant-id", merchant_id)
    if sent != merchant_id:
        return _failure(Reason.CLAIM, f"header v-c-merchant-id is '{sent}', the token says '{merchant_id}'")
    return Claim(
        scheme=Scheme.JWT,
        merchant_id=merchant_id,
        key_id=key_id,
        algorithm=token.header.alg,
        issuer=issuer,
        parts=token,
    )


def _id(name: str, value: str | None) -> str:
    if value is None or _ID.fullmatch(value) is None:
        raise ValueError(f"{name} is {'missing' if value is None else 'not 1 to 128 visible ASCII characters'}")
    return value


def _verify_signature(
    request: HttpRequest,
    claimed: Claim,
    signed: SignedRequest,
    key: SharedSecret | Certificate | None,
    now: datetime,
    *,
    hosts: frozenset[str] | None,
    window_s: int,
) -> Verified | Failure:
    digest = f"SHA-256={jwt.sha256_base64(request.body)}"  # also for an unknown key: a long body takes as long
    if not isinstance(key, SharedSecret) or key.key_id != claimed.key_id:
        hmac.compare_digest(_NOBODY.mac(_octets(signed.text)), signed.signature)
        return _unknown_key(claimed)
    is_signed = hmac.compare_digest(key.mac(_octets(signed.text)), signed.signature)
    if not is_signed and key.owner != claimed.merchant_id:
        is_signed = hmac.compare_digest(key.mac(_octets(_signed_as(key.owner, signed.text))), signed.signature)
    other_digest = ""
    if signed.digest is not None and signed.digest[:8].upper() + signed.digest[8:] != digest:
        other_digest = f"digest is '{signed.digest}', the {len(request.body)} bytes received give '{digest}'"
    if not is_signed:
        meta = f", or with its owner {key.owner} as v-c-merchant-id" if key.owner != claimed.merchant_id else ""
        besides = f" (besides, {other_digest})" if other_digest else ""
        wrong = f"the signature is not the HmacSHA256 under key {claimed.key_id} of this string{meta}{besides}: "
        return _failure(Reason.SIGNATURE, wrong + _shown(signed.text))
    if not _accepts(hosts, signed.host):
        return _failure(Reason.HOST, f"host '{signed.host}' is not one that this server accepts")
    instants = []
    for text in signed.dates:
        instant = _near(text, "date", now, window_s)
        if isinstance(instant, Failure):
            return instant
        instants.append(instant)
    if other_digest:
        return _failure(Reason.DIGEST, other_digest)
    return Verified(
        merchant_id=claimed.merchant_id,
        key_id=claimed.key_id,
        replay_id=signed.signature.hex(),
        until_s=min(instants) + window_s + 1,
    )


def _verify_token(
    request: HttpRequest,
    claimed: Claim,
    token: jwt.Token,
    key: SharedSecret | Certificate | None,
    now: datetime,
    *,
    hosts: frozenset[str] | None,
    window_s: int,
) -> Verified | Failure:
    if key is None or claimed.key_id not in key.key_ids or claimed.issuer not in (None, key.owner):
        hmac.compare_digest(_NOBODY.mac(token.signing_input), token.signature)
        return _unknown_key(claimed)
    if not jwt.fits(claimed.algorithm, key):
        return _failure(Reason.ALGORITHM, f"alg {claimed.algorithm} is not one for the kind of key {claimed.key_id} is")
    if not jwt.is_signed_by(token, key):
        parts = "the first two parts as received"
        return _failure(Reason.SIGNATURE, f"no {claimed.algorithm} signature of {parts} under key {claimed.key_id}")
    if isinstance(key, Certificate) and not key.valid_from <= now <= key.valid_until:
        return _failure(Reason.KEY_NOT_VALID, f"certificate is valid from {key.valid_from} until {key.valid_until}")
    claims = token.claims
    if token.fingerprint is not None:
        issued = _near(claims.iat, "claim iat", now, window_s)
        last = issued if isinstance(issued, Failure) else issued + window_s
    else:
        last = _token_end(claims, now)
    if isinstance(last, Failure):
        return last
    if token.fingerprint is None:
        if (claims.method or "").upper() != request.method.upper():
            return _failure(Reason.CLAIM, f"claim request-method is '{claims.method}', the method '{request.method}'")
        if claims.path not in (request.target, request.path):
            return _failure(Reason.CLAIM, f"claim request-resource-path is '{claims.path}', not '{request.target}'")
        if not _accepts(hosts, claims.host):
            return _failure(Reason.HOST, f"claim request-host is '{claims.host}', not one that this server accepts")
    other_digest = _other_digest_claim(claims, request.body)
    if other_digest is not None:
        return _failure(Reason.DIGEST, other_digest)
    return Verified(
        merchant_id=claimed.merchant_id,
        key_id=claimed.key_id,
        replay_id=claims.jti or hashlib.sha256(token.signature).hexdigest(),
        until_s=last + 1,
    )


def _token_end(claims: jwt.Claims, now: datetime) -> int | Failure:
    """The last second in which a version 2 token is accepted."""
    issued, expiry, now_s = jwt.read_instant(claims.iat), jwt.read_instant(claims.exp), int(now.timestamp())
    if issued is None or expiry is None:
        return _failure(Reason.DATE, f"claim {'iat' if issued is None else 'exp'} is missing or cannot be read")
    if not 0 <= expiry - issued <= jwt.TOKEN_LIFE_S:
        return _failure(
            Reason.DATE, f"the token lives {expiry - issued} s from iat to exp, 0 to {jwt.TOKEN_LIFE_S} are allowed"
        )
    if issued > now_s + jwt.LEEWAY_S:
        wrong = f"claim iat is {issued - now_s} s ahead of our clock, {jwt.LEEWAY_S} s are allowed"
        return _failure(Reason.DATE, wrong)
    if expiry < now_s - jwt.LEEWAY_S:
        return _failure(
            Reason.DATE, f"the token expired {now_s - expiry} s ago by our clock, {jwt.LEEWAY_S} s are allowed"
        )
    return expiry + jwt.LEEWAY_S


def _near(value: int | str | None, name: str, now: datetime, window_s: int) -> int | Failure:
    """An instant no further from now than the window, in seconds since the epoch."""
    instant = jwt.read_instant(value)
    if instant is None:
        return _failure(Reason.DATE, f"{name} '{value}' cannot be read as a date")
    ahead_s = instant - int(now.timestamp())
    if abs(ahead_s) > window_s:
        way = "ahead of" if ahead_s > 0 else "behind"
        return _failure(Reason.DATE, f"{name} '{value}' is {abs(ahead_s)} s {way} our clock, {window_s} s are allowed")
    return instant


def _other_digest_claim(claims: jwt.Claims, body: bytes) -> str | None:
    for algorithm in (claims.digest_algorithm, claims.digest_algorithm_of_node):
        if algorithm is not None and algorithm.upper() != "SHA-256":
            return f"the digest's algorithm is '{algorithm}' instead of SHA-256"
    if claims.digest is None:
        return f"claim digest is missing, there is a body of {len(body)} bytes" if body else None
    digest = jwt.sha256_base64(body)
    if claims.digest != digest:
        return f"claim digest is '{claims.digest}', the {len(body)} bytes received give '{digest}'"
    return None


def _accepts(accepted_hosts: frozenset[str] | None, host: str | None) -> bool:
    if accepted_hosts is None:
        return True
    name = (host or "").lower()
    return name in accepted_hosts or _PORT.sub("", name) in accepted_hosts


def _signed_as(owner: str, text: str) -> str:
    """The string to sign with the owner of a meta key in the merchant's line, where such clients put it."""
    lines = text.split("\n")
    place = next(i for i, line in enumerate(lines) if line[:16].lower() == "v-c-merchant-id:")
    lines[place] = f"{lines[place][:16]} {owner}"
    return "\n".join(lines)


def _octets(text: str) -> bytes:
    """The text as it came over the wire, where header values are latin-1; nothing else can have been sent."""
    return text.encode("latin-1", "backslashreplace")


def _unknown_key(claimed: Claim) -> Failure:
    whose = claimed.merchant_id if claimed.issuer in (None, claimed.merchant_id) else f"{claimed.issuer} for it"
    wrong = f"{claimed.merchant_id} has no live {claimed.scheme.value} key '{claimed.key_id}' of {whose}"
    return _failure(Reason.UNKNOWN_KEY, wrong)


def _shown(text: str) -> str:
    """A string to sign, without the values of headers that may hold a credential."""
    lines = []
    for line in text.split("\n"):
        label = line.partition(":")[0]
        lines.append(line if label.lower().strip("()") in _SHOWN else f"{label}: ***")
    return '"' + "\n".join(lines) + '"'


def _failure(reason: Reason, explanation: str) -> Failure:
    safe = explanation[: EXPLANATION_LIMIT + 1].encode("unicode_escape").decode("ascii")
    return Failure(reason, safe if len(safe) <= EXPLANATION_LIMIT else safe[: EXPLANATION_LIMIT - 3] + "...")
