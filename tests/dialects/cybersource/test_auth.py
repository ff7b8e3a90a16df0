"""HTTP signatures: who claims to call, whether that is so, and what the operator is told when it is not."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.dialects import HttpRequest
from kessai.dialects.cybersource.auth import (
    AUTHENTICATION_FAILED,
    DATE_MISSING,
    Certificate,
    Claim,
    Failure,
    Reason,
    SharedSecret,
    Verified,
    claim,
    sign,
    verify,
)

SECRET_TEXT: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECRET: Final = b"0123456789abcdef" * 2
KEY_ID: Final = "08c94330-f618-42a3-b09d-e1e43be5efda"
KEY: Final = SharedSecret.of(KEY_ID, SECRET_TEXT, "testmid")
META_KEY: Final = SharedSecret.of(KEY_ID, SECRET_TEXT, "portfolio")
OTHER_KEY: Final = SharedSecret("another-key", b"fedcba9876543210" * 2, "othermid")
HOST: Final = "apitest.cybersource.com"
DATE: Final = "Fri, 14 Dec 2018 00:00:00 GMT"
NOW: Final = datetime(2018, 12, 14, tzinfo=UTC)
JTI: Final = "00000000-0000-4000-8000-000000000001"
PAYMENTS: Final = "/pts/v2/payments"
CUSTOMER: Final = "/tms/v2/customers/AB695DA801DD1BB6E05341588E0A3BDC"
BODY: Final = (
    b'{"clientReferenceInformation":{"code":"vec1"},"orderInformation":'
    b'{"amountDetails":{"totalAmount":"102.21","currency":"USD"}}}'
)
DIGEST: Final = "SHA-256=Hy0+zH6V/E70naDcyOxqerphAKi694eAfuvmMXvxgZ0="
LIST: Final = "host date request-target digest v-c-merchant-id"

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


def signature_header(value: str, *, key_id: str = KEY_ID, algorithm: str = "HmacSHA256", listed: str = LIST) -> str:
    return f'keyid="{key_id}", algorithm="{algorithm}", headers="{listed}", signature="{value}"'


def signed(
    method: str = "POST",
    target: str = PAYMENTS,
    body: bytes = BODY,
    listed: str = LIST,
    key: SharedSecret = KEY,
    **changed: str,
) -> HttpRequest:
    """A request signed over exactly this list; `changed` are header values to sign and send (`v_c_date=`)."""
    headers = {"v-c-merchant-id": "testmid", "date": DATE, "host": HOST}
    headers["digest"] = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = []
    for label in listed.replace(",", " ").split():
        value = f"{method.lower()} {target}" if label.strip("()") == "request-target" else headers[label.lower()]
        lines.append(f"{label}: {value}")
    mac = base64.b64encode(key.mac("\n".join(lines).encode("latin-1"))).decode()
    headers["signature"] = signature_header(mac, listed=listed, key_id=key.key_id)
    return HttpRequest(method, target, tuple(headers.items()), body)


def altered(request: HttpRequest, **changed: str | None) -> HttpRequest:
    """The same request with header values replaced or added, or left out where None."""
    names = {name.replace("_", "-"): value for name, value in changed.items()}
    kept = [(name, names.pop(name, value)) for name, value in request.headers]
    return replace(request, headers=tuple((n, v) for n, v in [*kept, *names.items()] if v is not None))


def with_header(request: HttpRequest, name: str, value: str) -> HttpRequest:
    return replace(request, headers=(*request.headers, (name, value)))


# HTTP signature: vectors.

VECTORS = [
    ("POST", PAYMENTS, BODY, "date", "request-target", "4Q8ME4VylG0vZK0JBtDrYV8qjtYzhbM/nB7bFrFa2EQ="),
    ("POST", PAYMENTS, BODY, "date", "(request-target)", "1x+8pMFEJEpnuUB/GWtPs6ryI6H7AjNXkE+O6ok3aAQ="),
    ("POST", PAYMENTS, BODY, "v-c-date", "request-target", "AZRslwcnOCfjP5XeFQauYOYYKmTQ0WDLyaYjIA0n+JY="),
    (
        "GET",
        "/tss/v2/transactions/6750124114786780104953",
        b"",
        "date",
        "request-target",
        "mpBsBI3LIEJH2MFMfsCpZIoLL86CAZisYIxwyxmlu8s=",
    ),
    (
        "GET",
        f"{CUSTOMER}/payment-instruments?offset=0&limit=5",
        b"",
        "date",
        "request-target",
        "Kh6OZa6rcFKtFXLHCmQg5ZOx4TjA6NWWliVKOydg2Pk=",
    ),
    ("DELETE", CUSTOMER, b"", "date", "request-target", "SyBvZHoHyUyxtcQTwDE6Zb8o2fuRS5BvstaqXmTGlsk="),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_signs_and_verifies_the_known_vectors(vector: tuple[str, str, bytes, str, str, str]) -> None:
    method, target, body, date_name, label, signature = vector
    headers = sign(
        method=method,
        target=target,
        host=HOST,
        body=body,
        merchant_id="testmid",
        key=KEY,
        date_text=DATE,
        date_name=date_name,
        request_target_label=label,
    )
    assert headers["signature"].endswith(f'signature="{signature}"')
    answer = check(HttpRequest(method, target, tuple(headers.items()), body))
    assert isinstance(answer, Verified)
    assert (answer.merchant_id, answer.key_id) == ("testmid", KEY_ID)
    assert answer.replay_id == base64.b64decode(signature).hex()


def test_a_claim_names_scheme_merchant_and_key() -> None:
    claimed = claim(signed())
    assert isinstance(claimed, Claim)
    assert (claimed.scheme.value, claimed.merchant_id, claimed.key_id) == ("signature", "testmid", KEY_ID)
    assert (claimed.algorithm, claimed.issuer) == ("HmacSHA256", None)


LENIENT = [
    signed(),
    signed(body=b"{}"),
    signed(body=b"", listed="host date request-target v-c-merchant-id"),
    signed(listed="v-c-merchant-id digest date host (request-target)"),
    signed(listed="host, date, request-target, digest, v-c-merchant-id"),
    signed(listed="host,date,request-target,digest,v-c-merchant-id"),
    signed(listed=LIST + " content-type", content_type="application/json"),
    signed(listed=LIST + " v-c-date", v_c_date="Fri, 14 Dec 2018 0:00:01 GMT"),
    signed(listed="host v-c-date request-target digest v-c-merchant-id", v_c_date=DATE, date="nonsense"),
    signed(target=PAYMENTS + "/?a=%2F&b=\u00e9"),
    signed(host="127.0.0.1:8080"),
    signed(date="Fri, 14 Dec 2018 0:00:00 GMT"),
    signed("GET", body=b"", listed="host date request-target v-c-merchant-id"),
]


@pytest.mark.parametrize("request_", LENIENT)
def test_the_string_is_built_from_the_list_and_the_raw_headers(request_: HttpRequest) -> None:
    assert isinstance(check(request_), Verified)


@pytest.mark.parametrize("algorithm", ["HmacSHA256", "hmac-sha256"])
@pytest.mark.parametrize("layout", ["{2},{0},{3},{1}", "{0} , {1},   {2},\t{3}", "{3}, {2}, {1}, {0}"])
def test_order_and_blanks_of_the_parameters_are_free(layout: str, algorithm: str) -> None:
    request = signed()
    pairs = (request.header("signature") or "").replace("HmacSHA256", algorithm).split(", ")
    assert isinstance(check(altered(request, signature=layout.format(*pairs))), Verified)


def test_a_meta_key_signs_with_its_owner_and_acts_for_the_header() -> None:
    headers = sign(
        method="POST", target=PAYMENTS, host=HOST, body=BODY, merchant_id="testmid", key=META_KEY, date_text=DATE
    )
    request = HttpRequest("POST", PAYMENTS, tuple(headers.items()), BODY)
    answer = check(request, META_KEY)
    assert isinstance(answer, Verified)
    assert answer.merchant_id == "testmid"
    assert reason(request, KEY) is Reason.SIGNATURE
    assert isinstance(check(signed(), META_KEY), Verified)
    assert "portfolio" in why(replace(request, target="/x"), META_KEY)


def test_accepted_hosts_stand_for_every_port_unless_they_name_one() -> None:
    request = signed(host="Pay.example.com:8443")
    for accepted in ({"pay.example.com"}, {"pay.example.com:8443"}):
        assert isinstance(check(request, accepted_hosts=frozenset(accepted)), Verified)
    for accepted in ({"pay.example.com:443"}, {"example.com"}, set()):
        assert reason(request, accepted_hosts=frozenset(accepted)) is Reason.HOST


# HTTP signature: attacks.


def _mac_of(size: int) -> HttpRequest:
    return altered(signed(), signature=signature_header(base64.b64encode(bytes(size)).decode()))


def _twice(name: str) -> HttpRequest:
    request = signed()
    return with_header(request, name, request.header(name) or "")


_BODILESS: Final = {"method": "GET", "body": b""}
_WRONG: Final = base64.b64encode(bytes(32)).decode()

ATTACKS: list[tuple[str, HttpRequest, Reason]] = [
    ("A-1 no signature", altered(signed(), signature=None), Reason.NO_CREDENTIALS),
    ("A-1 empty", altered(signed(), signature=""), Reason.MALFORMED),
    ("A-1 only keyid", altered(signed(), signature=f'keyid="{KEY_ID}"'), Reason.MALFORMED),
    ("A-1 trailing comma", altered(signed(), signature=signature_header(_WRONG) + ","), Reason.MALFORMED),
    ("A-1 pair twice", altered(signed(), signature=signature_header(_WRONG) + ', keyid="x"'), Reason.MALFORMED),
    ("A-1 pair unknown", altered(signed(), signature=signature_header(_WRONG) + ', opaque="x"'), Reason.MALFORMED),
    ("A-2 key of another", signed(key=OTHER_KEY), Reason.UNKNOWN_KEY),
    ("A-3 body changed", replace(signed(), body=BODY.replace(b"102.21", b"102.22")), Reason.DIGEST),
    ("A-3 body emptied", replace(signed(), body=b""), Reason.DIGEST),
    ("A-4 digest of another", signed(digest="SHA-256=" + _WRONG), Reason.DIGEST),
    ("A-4 digest not SHA-256", signed(digest=DIGEST.replace("SHA-256", "MD5")), Reason.DIGEST),
    ("A-4 digest empty", signed(digest=""), Reason.DIGEST),
    ("A-5 digest not listed", signed(listed="host date request-target v-c-merchant-id"), Reason.NOT_SIGNED),
    ("A-5 no target", signed(listed="host date digest v-c-merchant-id"), Reason.NOT_SIGNED),
    ("A-5 no host", signed(listed="date request-target digest v-c-merchant-id"), Reason.NOT_SIGNED),
    ("A-5 no date", signed(listed="host request-target digest v-c-merchant-id"), Reason.NOT_SIGNED),
    ("A-5 no merchant", signed(listed="host date request-target digest"), Reason.NOT_SIGNED),
    ("A-5 empty list", altered(signed(), signature=signature_header(_WRONG, listed="")), Reason.NOT_SIGNED),
    ("A-5 listed, not sent", altered(signed(), host=None), Reason.NOT_SIGNED),
    ("A-6 name twice", signed(listed=LIST + " Host"), Reason.MALFORMED),
    ("A-6 target twice", signed(listed=LIST + " (request-target)"), Reason.MALFORMED),
    ("A-6 two dates", _twice("date"), Reason.MALFORMED),
    ("A-6 two signatures", _twice("signature"), Reason.MALFORMED),
    ("A-6 two hosts", _twice("host"), Reason.MALFORMED),
    ("A-6 two digests", _twice("digest"), Reason.MALFORMED),
    ("A-6 two merchants", _twice("v-c-merchant-id"), Reason.MALFORMED),
    ("A-6 two of a listed one", with_header(signed(listed=LIST + " x", x="1"), "x", "1"), Reason.NOT_SIGNED),
    *[
        (
            f"A-7 {name}",
            altered(signed(), signature=(signed().header("signature") or "").replace("HmacSHA256", name)),
            Reason.ALGORITHM,
        )
        for name in ("none", "", "HmacSHA1", "hmac-md5", "rsa-sha256", "RS256")
    ],
    ("A-8 301 s old", signed(date="Thu, 13 Dec 2018 23:54:59 GMT"), Reason.DATE),
    ("A-8 301 s ahead", signed(date="Fri, 14 Dec 2018 00:05:01 GMT"), Reason.DATE),
    ("A-8 unparsable", signed(date="yesterday"), Reason.DATE),
    ("A-8 offset +2500", signed(date="2018-12-14T00:00:00+25:00"), Reason.DATE),
    ("A-8 offset +2500", signed(date="Fri, 14 Dec 2018 00:00:00 +2500"), Reason.DATE),
    ("A-8 year 9999", signed(date="Fri, 31 Dec 9999 23:59:59 -1800"), Reason.DATE),
    ("A-8 year 1", signed(date="0001-01-01T00:00:00+18:00"), Reason.DATE),
    ("A-8 one of two dates", signed(listed=LIST + " v-c-date", v_c_date="Fri, 14 Dec 2012 00:00:00 GMT"), Reason.DATE),
    ("A-10 other path", replace(signed(), target=PAYMENTS + "/1/captures"), Reason.SIGNATURE),
    ("A-10 other slash", replace(signed(), target=PAYMENTS + "/"), Reason.SIGNATURE),
    ("A-10 other query", replace(signed(), target=PAYMENTS + "?a=1"), Reason.SIGNATURE),
    ("A-10 other method", replace(signed(), method="PUT"), Reason.SIGNATURE),
    ("A-10 other host", altered(signed(), host="api.cybersource.com"), Reason.SIGNATURE),
    ("A-12 MAC of 0", _mac_of(0), Reason.MALFORMED),
    ("A-12 MAC of 31", _mac_of(31), Reason.MALFORMED),
    ("A-12 MAC of 33", _mac_of(33), Reason.MALFORMED),
    ("A-12 MAC of 3 000", _mac_of(3_000), Reason.MALFORMED),
    ("A-12 MAC of 1 000 000", _mac_of(1_000_000), Reason.MALFORMED),
    ("A-12 not base64", altered(signed(), signature=signature_header("?" * 44)), Reason.MALFORMED),
    ("A-12 not padded", altered(signed(), signature=signature_header(_WRONG.rstrip("="))), Reason.MALFORMED),
    ("A-12 non-ASCII", altered(signed(), signature=signature_header("\u00e9" * 44)), Reason.MALFORMED),
    ("A-12 beyond latin-1", altered(signed(), date="\u65e5\u672c"), Reason.SIGNATURE),
    ("zeros", altered(signed(), signature=signature_header(_WRONG)), Reason.SIGNATURE),
    ("merchant empty", signed(v_c_merchant_id=""), Reason.MALFORMED),
    ("merchant with NUL", signed(v_c_merchant_id="test\0mid"), Reason.MALFORMED),
    ("key id of 129", altered(signed(), signature=signature_header(_WRONG, key_id="k" * 129)), Reason.MALFORMED),
    ("line break", signed(date=f"{DATE}\nx: y"), Reason.MALFORMED),
    ("name with a line break", altered(signed(), signature=signature_header(_WRONG, listed="a:b")), Reason.MALFORMED),
]


@pytest.mark.parametrize(("name", "request_", "expected"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_refuses_a_signature(name: str, request_: HttpRequest, expected: Reason) -> None:
    assert reason(request_) is expected


def test_the_same_bytes_under_another_merchant_header_are_refused() -> None:
    request = altered(signed(), v_c_merchant_id="othermid")
    assert reason(request) is Reason.UNKNOWN_KEY
    assert reason(request, SharedSecret(KEY_ID, SECRET, "othermid")) is Reason.SIGNATURE


def test_under_a_meta_key_another_merchant_header_is_still_the_same_request() -> None:
    request = signed(key=META_KEY, v_c_merchant_id="portfolio")
    answers = [check(altered(request, v_c_merchant_id=name), META_KEY) for name in ("testmid", "othermid")]
    assert {(a.merchant_id, a.replay_id) for a in answers if isinstance(a, Verified)} == {
        (name, (base64.b64decode((request.header("signature") or "")[-45:-1])).hex())
        for name in ("testmid", "othermid")
    }
    assert reason(altered(request, v_c_merchant_id="stranger"), META_KEY) is Reason.UNKNOWN_KEY


def test_an_unknown_key_is_refused_like_a_known_one_with_a_wrong_mac() -> None:
    unknown, wrong = check(signed(), None), check(altered(signed(), signature=signature_header(_WRONG)))
    assert isinstance(unknown, Failure)
    assert isinstance(wrong, Failure)
    assert unknown.reason is Reason.UNKNOWN_KEY
    assert unknown.body == wrong.body == AUTHENTICATION_FAILED


@pytest.mark.parametrize("seconds", [-300, -299, 0, 300])
def test_a_date_is_good_for_the_window_on_both_sides(seconds: int) -> None:
    assert isinstance(check(signed(), now=NOW + timedelta(seconds=seconds)), Verified)


def test_expires_when_a_repeat_would_fail_by_itself() -> None:
    answer = check(signed())
    assert isinstance(answer, Verified)
    assert isinstance(check(signed(), now=answer.expires_at - timedelta(seconds=1)), Verified)
    assert reason(signed(), now=answer.expires_at) is Reason.DATE


def test_only_a_missing_date_is_named_in_the_public_answer() -> None:
    answer = check(altered(signed(), date=None))
    assert isinstance(answer, Failure)
    assert answer.reason is Reason.DATE_MISSING
    assert answer.body == DATE_MISSING
    assert b"Date" in msgspec.json.decode(answer.body)["response"]["rmsg"].encode()
    assert msgspec.json.decode(AUTHENTICATION_FAILED) == {"response": {"rmsg": "Authentication Failed"}}


# Explanations.


def test_says_the_string_that_should_have_been_signed() -> None:
    expected = f"host: {HOST}\\ndate: {DATE}\\nrequest-target: post /pts/v2/voids\\ndigest: {DIGEST}"
    assert rf'"{expected}\nv-c-merchant-id: testmid"' in why(replace(signed(), target="/pts/v2/voids"))


def test_says_both_digests_also_when_the_signature_is_wrong() -> None:
    other = replace(signed(), body=b"{}")
    ours = "SHA-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="
    for request in (other, replace(other, target="/x")):
        assert DIGEST in why(request)
        assert ours in why(request)
        assert "2 bytes" in why(request)


SAYS = [
    (signed(), NOW + timedelta(seconds=3601), "3601 s behind"),
    (signed(), NOW - timedelta(seconds=301), "301 s ahead"),
    (signed(date="once upon a time"), NOW, "'once upon a time' cannot be read"),
    (signed(listed="host date request-target v-c-merchant-id"), NOW, "digest"),
    (signed(listed="host request-target digest v-c-merchant-id"), NOW, "date or v-c-date"),
    (signed(key=OTHER_KEY), NOW, "another-key"),
    (altered(signed(), host=None), NOW, "host is listed"),
]


@pytest.mark.parametrize(("request_", "now", "text"), SAYS)
def test_says_what_differs(request_: HttpRequest, now: datetime, text: str) -> None:
    assert text in why(request_, now=now)


def test_names_the_host_that_is_not_accepted() -> None:
    assert HOST in why(signed(), accepted_hosts=frozenset({"pay.example.com"}))


@pytest.mark.parametrize("request_", [attack[1] for attack in ATTACKS])
def test_an_explanation_is_one_line_of_ascii_without_secrets(request_: HttpRequest) -> None:
    text = why(request_)
    assert 0 < len(text) <= 1500
    assert text.isascii()
    assert text.isprintable()
    assert SECRET.decode() not in text
    assert SECRET_TEXT not in text
    assert SECRET.hex() not in text
    right = sign(
        method=request_.method,
        target=request_.target,
        host=request_.header("host") or HOST,
        body=request_.body,
        merchant_id="testmid",
        key=KEY,
        date_text=request_.header("date") or DATE,
    )["signature"]
    assert right.rpartition('signature="')[2].rstrip('"') not in text


def test_a_long_explanation_is_cut() -> None:
    text = why(replace(signed(), target="/" + "\u00e9" * 5_000))
    assert len(text) == 1500
    assert text.endswith("...")


def test_values_of_headers_that_may_be_credentials_are_not_repeated() -> None:
    request = signed(listed=LIST + " cookie authorization", cookie="session=1", authorization="Basic eDp5")
    assert isinstance(check(request), Verified)
    text = why(replace(request, target="/x"))
    assert "cookie: ***" in text
    assert "session=1" not in text
    assert "eDp5" not in text


# Properties.


@settings(max_examples=150, deadline=None)
@given(
    place=st.sampled_from(["method", "target", "body", "host", "date", "digest", "v-c-merchant-id", "mac"]),
    at=st.integers(0, 200),
    put=st.characters(max_codepoint=255),
)
def test_a_signed_request_with_one_character_changed_never_verifies(place: str, at: int, put: str) -> None:
    request = signed()

    def change(text: str) -> str:
        index = at % len(text)
        other = put if put.lower() != text[index].lower() else "~"
        return text[:index] + other + text[index + 1 :]

    if place == "method":
        request = replace(request, method=change(request.method))
    elif place == "target":
        request = replace(request, target=change(request.target))
    elif place == "body":
        request = replace(request, body=change(BODY.decode()).encode("latin-1"))
    elif place == "mac":
        before, _, mac = (request.header("signature") or "").rpartition('signature="')
        request = altered(request, signature=f'{before}signature="{change(mac[:42])}{mac[42:]}')
    else:
        request = altered(request, **{place.replace("-", "_"): change(request.header(place) or "")})
    assert isinstance(check(request), Failure)


_NAMES = st.sampled_from(["signature", "authorization", "date", "v-c-date", "digest", "host", "v-c-merchant-id", "x"])
_VALUES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='keyidalgorithmheaderssignature=", .', max_size=200),
    st.builds(signature_header, st.text(max_size=50), listed=st.text(max_size=50)),
    st.builds("Bearer {}.{}.{}".format, *[st.text(alphabet="abcdefABC-_019", max_size=40)] * 3),
    st.sampled_from([DATE, HOST, DIGEST, "testmid", LIST]),
)


@settings(max_examples=200, deadline=None)
@given(
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=8),
    method=st.text(max_size=8),
    target=st.text(max_size=40),
    body=st.binary(max_size=20),
)
def test_nothing_that_is_sent_raises_or_verifies(
    headers: list[tuple[str, str]], method: str, target: str, body: bytes
) -> None:
    request = HttpRequest(method, target, tuple(headers), body)
    for key in (KEY, META_KEY, None):
        answer = check(request, key)
        assert isinstance(answer, Failure)
        assert answer.explanation.isascii()
        assert answer.explanation.isprintable()
