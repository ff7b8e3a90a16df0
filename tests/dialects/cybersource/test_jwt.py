"""Tokens: who claims to call, whether that is so; the keys of both schemes; the instants that merchants write."""

import base64
import copy
import hashlib
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.dialects import HttpRequest
from kessai.dialects.cybersource.auth import Claim, Failure, Reason, Verified, claim, sign, verify
from kessai.dialects.cybersource.jwt import Certificate, SharedSecret, read_instant, sign_jwt_hs256

SECRET_TEXT: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY_ID: Final = "08c94330-f618-42a3-b09d-e1e43be5efda"
KEY: Final = SharedSecret.of(KEY_ID, SECRET_TEXT, "testmid")
META_KEY: Final = SharedSecret.of(KEY_ID, SECRET_TEXT, "portfolio")
OTHER_KEY: Final = SharedSecret("another-key", b"fedcba9876543210" * 2, "othermid")
HOST: Final = "apitest.cybersource.com"
DATE: Final = "Fri, 14 Dec 2018 00:00:00 GMT"
NOW: Final = datetime(2018, 12, 14, tzinfo=UTC)
JTI: Final = "00000000-0000-4000-8000-000000000001"
PAYMENTS: Final = "/pts/v2/payments"
BODY: Final = (
    b'{"clientReferenceInformation":{"code":"vec1"},"orderInformation":'
    b'{"amountDetails":{"totalAmount":"102.21","currency":"USD"}}}'
)
DIGEST: Final = "Hy0+zH6V/E70naDcyOxqerphAKi694eAfuvmMXvxgZ0="
OTHER_DIGEST: Final = base64.b64encode(bytes(32)).decode()

Key = SharedSecret | Certificate | None

PORTFOLIOS: Final = {"portfolio": {"testmid", "othermid"}}


def check(request: HttpRequest, key: Key = KEY, now: datetime = NOW, **settings: Any) -> Verified | Failure:
    """Claim and verify in one go, as the shell does: a key only for its owner and the owner's portfolio."""
    claimed = claim(request)
    if isinstance(claimed, Failure):
        return claimed
    if key is not None and claimed.merchant_id not in PORTFOLIOS.get(key.owner, {key.owner}):
        key = None
    return verify(request, claimed, key, now, **settings)


def reason(request: HttpRequest, key: Key = KEY, now: datetime = NOW, **settings: Any) -> Reason:
    answer = check(request, key, now, **settings)
    assert isinstance(answer, Failure), answer
    return answer.reason


def why(request: HttpRequest, key: Key = KEY, now: datetime = NOW, **settings: Any) -> str:
    answer = check(request, key, now, **settings)
    assert isinstance(answer, Failure), answer
    return answer.explanation


def altered(request: HttpRequest, **changed: str | None) -> HttpRequest:
    """The same request with header values replaced or added, or left out where None."""
    names = {name.replace("_", "-"): value for name, value in changed.items()}
    kept = [(name, names.pop(name, value)) for name, value in request.headers]
    return replace(request, headers=tuple((n, v) for n, v in [*kept, *names.items()] if v is not None))


def with_header(request: HttpRequest, name: str, value: str) -> HttpRequest:
    return replace(request, headers=(*request.headers, (name, value)))


# Tokens.


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def issue(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, serial: str | None = "170000000000000000") -> bytes:
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "testmid")]
    if serial is not None:
        attributes.append(x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial))
    name = x509.Name(attributes)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


@cache
def certificate_der() -> bytes:
    return issue(private_key())


def certificate(owner: str = "testmid") -> Certificate:
    return Certificate.of(certificate_der(), owner)


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rsa_sign(algorithm: str) -> Callable[[bytes], bytes]:
    used: hashes.HashAlgorithm = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
    pss = padding.PSS(padding.MGF1(used), used.digest_size)
    return lambda data: private_key().sign(data, pss if algorithm[0] == "P" else padding.PKCS1v15(), used)


def bearer(header: object, claims: object, signer: Callable[[bytes], bytes] = KEY.mac, **request: Any) -> HttpRequest:
    first_two = f"{part(header)}.{part(claims)}"
    token = f"{first_two}.{part(signer(first_two.encode()))}"
    return HttpRequest(
        request.get("method", "POST"),
        request.get("target", PAYMENTS),
        (("host", "127.0.0.1:9000"), ("authorization", f"Bearer {token}")),
        request.get("body", BODY),
    )


CLAIMS: Final[dict[str, object]] = {
    "digest": DIGEST,
    "digestAlgorithm": "SHA-256",
    "iat": 1544745600,
    "exp": 1544745720,
    "request-method": "POST",
    "request-host": HOST,
    "request-resource-path": PAYMENTS,
    "iss": "testmid",
    "jti": JTI,
    "v-c-jwt-version": "2",
    "v-c-merchant-id": "testmid",
}
HS256_HEADER: Final[dict[str, object]] = {"kid": KEY_ID, "alg": "HS256", "typ": "JWT"}
RS256_HEADER: Final[dict[str, object]] = {"kid": "170000000000000000", "alg": "RS256", "typ": "JWT"}
V1_CLAIMS: Final[dict[str, object]] = {
    "iat": DATE,
    "digest": DIGEST,
    "digestAlgorithm": "SHA-256",
}


def v1_header(**changed: object) -> dict[str, object]:
    x5c = [base64.b64encode(certificate_der()).decode()]
    return {"alg": "RS256", "typ": "JWT", "v-c-merchant-id": "testmid", "x5c": x5c} | changed


def without(claims: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in claims.items() if name not in names}


def token_request(**changed: object) -> HttpRequest:
    return bearer(HS256_HEADER, CLAIMS | changed)


def test_makes_and_verifies_the_known_token() -> None:
    headers = sign_jwt_hs256(
        method="POST", target=PAYMENTS, host=HOST, body=BODY, merchant_id="testmid", key=KEY, issued_at=NOW, jti=JTI
    )
    assert headers["authorization"].endswith(".qCvhN4dvnCVKObJNoGkchWNEnM64kHy86HvUmixdp5A")
    request = HttpRequest("POST", PAYMENTS, tuple(headers.items()), BODY)
    assert request.header("authorization") == token_request().header("authorization")
    claimed = claim(request)
    assert isinstance(claimed, Claim)
    assert (claimed.scheme.value, claimed.key_id, claimed.issuer) == ("jwt", KEY_ID, "testmid")
    answer = verify(request, claimed, KEY, NOW)
    assert isinstance(answer, Verified)
    assert (answer.merchant_id, answer.replay_id) == ("testmid", JTI)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_a_certificate_verifies_a_token_of_version_2(algorithm: str) -> None:
    request = bearer(RS256_HEADER | {"alg": algorithm}, CLAIMS, rsa_sign(algorithm))
    claimed = claim(request)
    assert isinstance(claimed, Claim)
    assert (claimed.key_id, claimed.algorithm) == ("170000000000000000", algorithm)
    assert isinstance(verify(request, claimed, certificate(), NOW), Verified)


@pytest.mark.parametrize("iat", [DATE, "1544745600", 1544745600])
def test_a_registered_certificate_verifies_a_token_of_version_1(iat: object) -> None:
    request = bearer(v1_header(), V1_CLAIMS | {"iat": iat}, rsa_sign("RS256"))
    claimed = claim(request)
    assert isinstance(claimed, Claim)
    assert (claimed.merchant_id, claimed.key_id) == ("testmid", hashlib.sha256(certificate_der()).hexdigest())
    answer = verify(request, claimed, certificate(), NOW + timedelta(seconds=299))
    assert isinstance(answer, Verified)
    assert len(answer.replay_id) == 64
    assert reason(request, certificate(), NOW + timedelta(seconds=301)) is Reason.DATE


GOOD_TOKENS = [
    token_request(**{"request-method": "post"}),
    token_request(**{"v-c-jwt-version": 2}),
    bearer(HS256_HEADER, without(CLAIMS, "digestAlgorithm") | {"digest-algorithm": "SHA-256"}),
    bearer(HS256_HEADER, without(CLAIMS, "digestAlgorithm", "v-c-jwt-version", "request-host", "jti")),
    bearer(HS256_HEADER, CLAIMS, target=PAYMENTS + "?a=1"),
    bearer(HS256_HEADER, CLAIMS | {"request-resource-path": PAYMENTS + "?a=1"}, target=PAYMENTS + "?a=1"),
    bearer(HS256_HEADER, without(CLAIMS, "digest") | {"request-method": "GET"}, method="GET", body=b""),
    token_request(iat=1544745630, exp=1544745750),
    token_request(iat=1544745450, exp=1544745570),
    altered(token_request(), v_c_merchant_id="testmid"),
]


@pytest.mark.parametrize("request_", GOOD_TOKENS)
def test_tokens_may_differ_where_clients_do(request_: HttpRequest) -> None:
    assert isinstance(check(request_), Verified)


def test_a_meta_key_token_acts_for_the_merchant_it_claims() -> None:
    request = token_request(iss="portfolio")
    claimed = claim(request)
    assert isinstance(claimed, Claim)
    assert (claimed.merchant_id, claimed.issuer) == ("testmid", "portfolio")
    assert isinstance(verify(request, claimed, META_KEY, NOW), Verified)
    assert reason(request, KEY) is Reason.UNKNOWN_KEY


def test_the_claimed_host_counts_and_not_the_host_header() -> None:
    assert isinstance(check(token_request(), accepted_hosts=frozenset({HOST})), Verified)
    assert reason(token_request(), accepted_hosts=frozenset({"127.0.0.1"})) is Reason.HOST
    hostless = bearer(HS256_HEADER, without(CLAIMS, "request-host"))
    assert reason(hostless, accepted_hosts=frozenset({HOST})) is Reason.HOST


def public_pem() -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key().public_key().public_bytes(serialization.Encoding.PEM, info)


def confused() -> HttpRequest:
    """A-14: a public key used as if it were a secret."""
    return bearer(RS256_HEADER | {"alg": "HS256"}, CLAIMS, SharedSecret("", public_pem(), "").mac)


def test_a_public_key_never_serves_as_a_secret_nor_a_secret_as_a_certificate() -> None:
    assert reason(confused(), certificate()) is Reason.ALGORITHM
    in_x5c = bearer(v1_header(alg="HS256"), V1_CLAIMS, SharedSecret("", public_pem(), "").mac)
    assert reason(in_x5c, certificate()) is Reason.ALGORITHM
    assert reason(bearer(HS256_HEADER | {"alg": "RS256"}, CLAIMS), KEY) is Reason.ALGORITHM


def test_a_certificate_never_verifies_an_http_signature() -> None:
    headers = sign(method="POST", target=PAYMENTS, host=HOST, body=BODY, merchant_id="testmid", key=KEY, date_text=DATE)
    assert reason(HttpRequest("POST", PAYMENTS, tuple(headers.items()), BODY), certificate()) is Reason.UNKNOWN_KEY


def test_a_certificate_that_came_along_is_worth_nothing_by_itself() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    impostor = bearer(v1_header(), V1_CLAIMS, lambda data: other.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    assert reason(impostor, certificate()) is Reason.SIGNATURE
    unregistered = bearer(v1_header(), V1_CLAIMS, rsa_sign("RS256"))
    reissued = Certificate.of(issue(private_key(), serial="2"), "testmid")
    assert reason(unregistered, reissued) is Reason.UNKNOWN_KEY
    assert reason(unregistered, None) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("days", [-2, 2])
def test_a_certificate_outside_its_validity_is_refused(days: int) -> None:
    when = NOW + timedelta(days=days)
    claims = CLAIMS | {"iat": int(when.timestamp()), "exp": int(when.timestamp()) + 120}
    assert reason(bearer(RS256_HEADER, claims, rsa_sign("RS256")), certificate(), when) is Reason.KEY_NOT_VALID


def _header(**changed: object) -> HttpRequest:
    return bearer(HS256_HEADER | changed, CLAIMS)


def _raw(authorization: str) -> HttpRequest:
    return HttpRequest("POST", PAYMENTS, (("authorization", authorization),), BODY)


_TOKEN: Final = (token_request().header("authorization") or "").removeprefix("Bearer ")

TOKEN_ATTACKS: list[tuple[str, HttpRequest, Reason]] = [
    ("none", HttpRequest("POST", PAYMENTS, (), BODY), Reason.NO_CREDENTIALS),
    ("basic", _raw("Basic eDp5"), Reason.NO_CREDENTIALS),
    ("opaque", _raw("Bearer abcdef"), Reason.MALFORMED),
    ("two parts", _raw("Bearer " + _TOKEN.rpartition(".")[0]), Reason.MALFORMED),
    ("padded", _raw(f"Bearer {_TOKEN}="), Reason.MALFORMED),
    ("impossible length", _raw(f"Bearer {_TOKEN}aa"), Reason.MALFORMED),
    ("non-ASCII", _raw(f"Bearer {_TOKEN}\u00e9"), Reason.MALFORMED),
    ("a megabyte", _raw("Bearer a.b." + "c" * 1_000_000), Reason.MALFORMED),
    ("two of them", with_header(token_request(), "authorization", "Bearer x"), Reason.MALFORMED),
    ("header not JSON", bearer(b"{", CLAIMS), Reason.MALFORMED),
    ("header not UTF-8", bearer(b'{"alg":"\xff"}', CLAIMS), Reason.MALFORMED),
    ("header an array", bearer([], CLAIMS), Reason.MALFORMED),
    ("nested deeply", bearer(HS256_HEADER, b'{"x":' + b"[" * 10_000), Reason.MALFORMED),
    ("kid missing", bearer(without(HS256_HEADER, "kid"), CLAIMS), Reason.MALFORMED),
    ("iss missing", bearer(HS256_HEADER, without(CLAIMS, "iss")), Reason.MALFORMED),
    ("A-14 alg none", _header(alg="none"), Reason.ALGORITHM),
    ("A-14 none unsigned", bearer(HS256_HEADER | {"alg": "none"}, CLAIMS, lambda _: b""), Reason.ALGORITHM),
    ("A-14 alg HS512", _header(alg="HS512"), Reason.ALGORITHM),
    ("A-14 alg ES256", _header(alg="ES256"), Reason.ALGORITHM),
    ("A-14 kid a path", _header(kid="../../x"), Reason.UNKNOWN_KEY),
    ("A-14 kid with NUL", _header(kid="a\0"), Reason.MALFORMED),
    ("A-14 jku", _header(jku="https://evil.example/jwks"), Reason.MALFORMED),
    ("A-14 x5u", _header(x5u="https://evil.example/cert"), Reason.MALFORMED),
    ("A-14 jwk", _header(jwk={"kty": "oct", "k": "AAAA"}), Reason.MALFORMED),
    ("A-14 jwk null", _header(jwk=None), Reason.MALFORMED),
    ("A-14 crit", _header(crit=["b64"]), Reason.MALFORMED),
    ("A-14 unsigned", bearer(HS256_HEADER, CLAIMS, lambda _: b""), Reason.SIGNATURE),
    ("A-14 other secret", bearer(HS256_HEADER, CLAIMS, OTHER_KEY.mac), Reason.SIGNATURE),
    ("A-14 x5c not base64", bearer({"alg": "RS256", "x5c": ["?"]}, V1_CLAIMS), Reason.MALFORMED),
    ("A-16 lives a day", token_request(exp=1544745600 + 86_400), Reason.DATE),
    ("A-16 lives 121 s", token_request(exp=1544745721), Reason.DATE),
    ("A-16 ends before it begins", token_request(exp=1544745599), Reason.DATE),
    ("A-16 from the future", token_request(iat=1544745631, exp=1544745700), Reason.DATE),
    ("A-16 expired", token_request(iat=1544745449, exp=1544745569), Reason.DATE),
    ("A-16 no iat", bearer(HS256_HEADER, without(CLAIMS, "iat")), Reason.DATE),
    ("A-16 no exp", bearer(HS256_HEADER, without(CLAIMS, "exp")), Reason.DATE),
    ("A-16 endless exp", token_request(exp=10**30), Reason.MALFORMED),
    ("A-16 negative iat", token_request(iat=-1), Reason.MALFORMED),
    ("A-16 iat true", token_request(iat=True), Reason.MALFORMED),
    ("A-16 no digest", bearer(HS256_HEADER, without(CLAIMS, "digest")), Reason.DIGEST),
    ("A-16 digest of another", token_request(digest=OTHER_DIGEST), Reason.DIGEST),
    ("A-16 digest of another, no body", replace(token_request(), body=b""), Reason.DIGEST),
    ("A-16 digest MD5", token_request(digestAlgorithm="MD5"), Reason.DIGEST),
    ("A-16 digest two ways", token_request(**{"digest-algorithm": "MD5"}), Reason.DIGEST),
    ("A-16 jti with a line break", token_request(jti="a\nb"), Reason.MALFORMED),
    ("A-10 other path", replace(token_request(), target=PAYMENTS + "/1/voids"), Reason.CLAIM),
    ("A-10 other method", replace(token_request(), method="PUT"), Reason.CLAIM),
    ("A-10 no path", bearer(HS256_HEADER, without(CLAIMS, "request-resource-path")), Reason.CLAIM),
    ("A-10 no method", bearer(HS256_HEADER, without(CLAIMS, "request-method")), Reason.CLAIM),
    ("A-10 other merchant header", altered(token_request(), v_c_merchant_id="othermid"), Reason.CLAIM),
    ("A-10 other merchant", bearer(HS256_HEADER, CLAIMS | {"iss": "othermid"}), Reason.UNKNOWN_KEY),
    ("version 3", token_request(**{"v-c-jwt-version": "3"}), Reason.MALFORMED),
]


@pytest.mark.parametrize(("name", "request_", "expected"), TOKEN_ATTACKS, ids=[attack[0] for attack in TOKEN_ATTACKS])
def test_refuses_a_token(name: str, request_: HttpRequest, expected: Reason) -> None:
    assert reason(request_) is expected


AT_MIDNIGHT = [
    DATE,
    "Fri, 14 Dec 2018 0:00:00 GMT",
    "Fri, 14 Dec 2018 00:00:00 UTC",
    "14 Dec 2018 00:00:00 GMT",
    "Fri, 14 Dec 2018 09:00:00 +0900",
    "Friday, 14-Dec-18 00:00:00 GMT",
    "Fri Dec 14 00:00:00 2018",
    "Fri Dec 14 00:00:00 GMT 2018",
    "2018-12-14T00:00:00Z",
    "2018-12-14T00:00Z",
    "2018-12-14T00:00:00.123456789Z",
    "2018-12-14T09:00+09:00",
    "2018-12-13T19:00:00-05:00[America/New_York]",
    "2018-12-14 0:00:00.5 +00:00:00",
    "2018-12-13 23:30:00 -00:30",
    "1544745600",
]


@pytest.mark.parametrize("text", AT_MIDNIGHT)
def test_reads_dates_as_clients_write_them(text: str) -> None:
    assert read_instant(text) == 1_544_745_600


NOT_DATES = [
    "",
    "Fri, 31 Feb 2018 00:00:00 GMT",
    "Fri, 14 Foo 2018 00:00:00 GMT",
    "Fri, 14 Dec 2018 24:00:00 GMT",
    "Fri, 14 Dec 2018 00:00:00 EST",
    "Fri, 14 Dec 2018 00:00:00",
    "2018-12-14T00:00:00",
    "2018-12-14T00:00:00+25:00",
    "2018-12-14T00:00:00+09:60",
    "\u0661\u0662\u0663",
    "2018-12-14T00:00:0\u0660Z",
    "9" * 13,
    "-1",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", NOT_DATES)
def test_what_is_not_a_date_is_none(text: str) -> None:
    assert read_instant(text) is None


# Keys.


def test_a_shared_secret_is_written_nowhere() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert "0123456789abcdef" not in text
        assert SECRET_TEXT not in text
    for write in (pickle.dumps, copy.copy, msgspec.json.encode):
        with pytest.raises(TypeError):
            write(KEY)
    with pytest.raises(TypeError):
        vars(KEY)


@pytest.mark.parametrize("text", ["", "not base64!", "MDEy", SECRET_TEXT.rstrip("="), "\u00e9" * 44])
def test_a_shared_secret_is_base64_of_16_bytes_or_more(text: str) -> None:
    with pytest.raises(ValueError, match="shared secret") as raised:
        SharedSecret.of(KEY_ID, text, "testmid")
    assert not text or text not in str(raised.value)


def test_a_certificate_is_read_from_pem_and_der_and_named_by_its_subject() -> None:
    loaded = x509.load_der_x509_certificate(certificate_der())
    pem = Certificate.of(loaded.public_bytes(serialization.Encoding.PEM), "testmid")
    assert pem.key_ids == certificate().key_ids == ("170000000000000000", hashlib.sha256(certificate_der()).hexdigest())
    nameless = Certificate.of(issue(private_key(), serial=None), "testmid")
    assert nameless.key_ids == (nameless.fingerprint,)


def test_a_certificate_without_an_rsa_key_is_refused() -> None:
    with pytest.raises(ValueError, match="RSA"):
        Certificate.of(issue(ec.generate_private_key(ec.SECP256R1())), "testmid")
    with pytest.raises(ValueError, match="RSA"):
        Certificate.of(issue(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "testmid")
    with pytest.raises(ValueError, match=r".+"):
        Certificate.of(b"nonsense", "testmid")


# Explanations and expiry.


SAYS = [
    (token_request(), NOW + timedelta(seconds=200), "expired 80 s ago"),
    (replace(token_request(), target="/x"), NOW, f"'{PAYMENTS}', not '/x'"),
    (replace(token_request(), method="PUT"), NOW, "'POST', the method 'PUT'"),
    (bearer(HS256_HEADER, without(CLAIMS, "iss")), NOW, "claim iss is missing"),
    (token_request(iat=[]), NOW, "$.iat"),
    (token_request(digest=OTHER_DIGEST), NOW, f"'{OTHER_DIGEST}', the 125 bytes received give '{DIGEST}'"),
    (_header(kid="unheard-of"), NOW, "unheard-of"),
]


@pytest.mark.parametrize(("request_", "now", "text"), SAYS)
def test_says_what_differs(request_: HttpRequest, now: datetime, text: str) -> None:
    assert text in why(request_, now=now)


def test_names_the_host_that_is_not_accepted() -> None:
    assert HOST in why(token_request(), accepted_hosts=frozenset({"pay.example.com"}))


@pytest.mark.parametrize("request_", [attack[1] for attack in TOKEN_ATTACKS])
def test_an_explanation_is_one_line_of_ascii_without_secrets(request_: HttpRequest) -> None:
    text = why(request_)
    assert 0 < len(text) <= 1500
    assert text.isascii()
    assert text.isprintable()
    assert "0123456789abcdef" not in text
    assert SECRET_TEXT not in text
    first_two = (request_.header("authorization") or "").removeprefix("Bearer ").rpartition(".")[0]
    assert part(KEY.mac(first_two.encode("ascii", "replace"))) not in text


def test_expires_when_a_repeat_would_fail_by_itself() -> None:
    answer = check(token_request())
    assert isinstance(answer, Verified)
    assert isinstance(check(token_request(), now=answer.expires_at - timedelta(seconds=1)), Verified)
    assert reason(token_request(), now=answer.expires_at) is Reason.DATE


# Properties.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from([*CLAIMS, "kid", "alg", "x5c", "typ"]), value=_JSON)
def test_a_signed_token_with_any_member_replaced_is_answered(name: str, value: object) -> None:
    """With a right signature over strange claims there is still an answer; and only ever for the key's owner."""
    header, claims = dict(HS256_HEADER), dict(CLAIMS)
    (claims if name in CLAIMS else header)[name] = value
    answer = check(bearer(header, claims))
    assert isinstance(answer, Failure) or (answer.key_id == KEY_ID and name not in ("iss", "digest", "kid", "alg"))
