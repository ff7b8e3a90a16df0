"""HTTP and JSON at their worst, over raw sockets: refused cheaply, by the right layer, and the next one is served."""

import gzip
import json
import socket
import time
import unicodedata

import pytest

from kessai.dialects import document
from tests.acceptance.client import AUTHORIZED, BILL_TO, Client, Reply, Service, changed, payment, refused
from tests.attacks.harm import head, is_refused, nothing_moves, raw, statuses

PATH = "/pts/v2/payments"
CODE = "clientReferenceInformation.code"
BODY = json.dumps(payment()).encode()
CHEAP_S = 1.0
"""Processor time of this process, in which the gateway lives: far above what the rule allows (5 ms), far below what a
successful attack would take, and the same on a busy machine."""


def _lines(till: Client, *more: str, length: bool = False, body: bytes = BODY) -> bytes:
    """A signed payment's head with more lines."""
    headers = till.signed("POST", PATH, body) | {"content-type": "application/json"}
    return head("POST", PATH, headers | ({"content-length": str(len(body))} if length else {}), *more)


def _framings(till: Client) -> dict[str, bytes]:
    plain, sized = _lines(till), _lines(till, length=True)
    size = len(BODY)
    return {
        "length and encoding": _lines(till, "Transfer-Encoding: chunked", length=True) + BODY,
        "two lengths": _lines(till, f"Content-Length: {size + 1}", length=True) + BODY,
        "the same length twice": _lines(till, f"Content-Length: {size}", length=True) + BODY,
        "a length with a sign": _lines(till, f"Content-Length: +{size}") + BODY,
        "a negative length": _lines(till, "Content-Length: -1") + BODY,
        "a length in hex": _lines(till, "Content-Length: 0x10") + BODY,
        "an endless length": _lines(till, "Content-Length: " + "9" * 40) + BODY,
        "a chunk size beyond 64 bits": _lines(till, "Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n" + BODY,
        "a negative chunk": _lines(till, "Transfer-Encoding: chunked") + b"-1\r\n" + BODY,
        "bare line feeds": sized.replace(b"\r\n", b"\n") + BODY,
        "a space before the colon": sized.replace(b"content-length:", b"content-length :") + BODY,
        "a folded header": sized.replace(b"\r\n\r\n", b"\r\nx: a\r\n b\r\n\r\n") + BODY,
        "an encoding in disguise": _lines(till, "Transfer-Encoding: xchunked", length=True) + BODY,
        "no host": plain.replace(b"host: ", b"hosts: ") + BODY,
        "two hosts": _lines(till, "Host: elsewhere", length=True) + BODY,
    }


FRAMINGS = (
    *("length and encoding", "two lengths", "the same length twice", "a length with a sign", "a negative length"),
    *("a length in hex", "an endless length", "a chunk size beyond 64 bits", "a negative chunk", "bare line feeds"),
    *("a space before the colon", "a folded header", "an encoding in disguise", "no host", "two hosts"),
)


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_request_that_two_servers_would_read_differently_is_read_by_none(
    service: Service, till: Client, name: str
) -> None:
    """A-90: 400 and the end of the connection, so that nothing behind it is taken for a request."""
    with nothing_moves(service, "kessai.server"):
        got = raw(service, _framings(till)[name] + head("GET", "/smuggled", {"host": "a"}))
        assert statuses(got) in ([400], [413])
        assert b"smuggled" not in got


def test_a_signed_payment_hidden_behind_another_request_is_never_seen(service: Service, till: Client) -> None:
    """A-90: the classic smuggling forms, with a good payment as the cargo."""
    cargo = _lines(till, length=True) + BODY
    for lines in (
        (f"Content-Length: {len(cargo) + 5}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: chunked, identity",),
        ("Content-Length: 0", f"Content-Length: {len(cargo)}"),
    ):
        with nothing_moves(service, "kessai.server"):
            got = raw(service, head("POST", "/x", {"host": "a"}, *lines) + b"0\r\n\r\n" + cargo)
            assert statuses(got) == [400]


@pytest.mark.parametrize("excess", [1, 10, 1_000_000])
def test_a_body_that_is_too_long_is_refused_before_it_is_read(service: Service, till: Client, excess: int) -> None:
    """A-91."""
    body = b" " * (64 * 1024 + excess)
    with nothing_moves(service, "kessai.server"):
        assert statuses(raw(service, _lines(till, length=True, body=body) + body)) == [413]


def test_a_gibibyte_that_is_announced_is_refused_at_once(service: Service, till: Client) -> None:
    """A-91: without waiting for it."""
    with nothing_moves(service, "kessai.server"):
        began = time.monotonic()
        assert statuses(raw(service, _lines(till, f"Content-Length: {1 << 30}"))) == [413]
        assert time.monotonic() - began < 15  # the linger of two seconds, and much room: to wait for it takes thirty
        assert statuses(raw(service, _lines(till, *["x: y"] * 10_000, length=True) + BODY)) == [431]


JSONS: dict[str, bytes] = {
    "depth 33": b'{"a":' * 33 + b"1" + b"}" * 33,
    "100 000 brackets": b"[" * 60_000,
    "brackets in pairs": b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "1 001 members": b"{" + b",".join(b'"m%d":1' % number for number in range(1_001)) + b"}",
    "a text of 60 KiB": b'{"a":"' + b"x" * 60 * 1024 + b'"}',
    "10 000 duplicate members": b"{" + b",".join([b'"a":1'] * 10_000) + b"}",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "1e400": b'{"a":1e400}',
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "UTF-32": BODY.decode().encode("utf-32"),
    "invalid UTF-8": BODY.replace(b"Hanako", b"\xc3\x28"),
    "overlong UTF-8": BODY.replace(b"Hanako", b"\xc0\xaf"),
    "a surrogate in UTF-8": BODY.replace(b"Hanako", b"\xed\xa0\x80"),
    "a lone surrogate": BODY.replace(b"Hanako", b"\\ud800"),
    "NUL": BODY.replace(b"Hanako", b"\\u0000"),
    "raw NUL": BODY.replace(b"Hanako", b"\0"),
    "trailing text": BODY + b"x",
    "two documents": BODY + BODY,
    "nothing": b"",
    "blanks": b"   ",
    "null": b"null",
    "an array": b"[" + BODY + b"]",
    "a text": b'"text"',
    "cut short": BODY[:-1],
    "a comment": b"/* */" + BODY,
    "single quotes": BODY.replace(b'"', b"'"),
    "a trailing comma": BODY[:-1] + b",}",
}


@pytest.mark.parametrize("body", JSONS.values(), ids=JSONS)
def test_what_is_not_one_modest_json_object_is_refused(service: Service, till: Client, body: bytes) -> None:
    """A-92, A-93."""
    began = time.process_time()
    with nothing_moves(service, "request.refused"):
        reply = till.call("POST", PATH, body=body)
        assert reply.said == refused("INVALID_DATA")
        is_refused(reply, 400)
    assert time.process_time() - began < CHEAP_S


def test_an_integer_of_5_000_digits_costs_nothing_and_moves_nothing(service: Service, till: Client) -> None:
    """A-93: in a member that we know and in one that we do not."""
    digits = "9" * 5_000
    known = json.dumps(payment("TOTAL")).replace('"TOTAL"', digits).encode()
    with nothing_moves(service, "request.refused"):
        is_refused(till.call("POST", PATH, body=known), 400)
    unknown = BODY[:-1] + b',"stranger":' + digits.encode() + b"}"
    reply = till.call("POST", PATH, body=unknown)
    assert reply.status in (201, 400)
    assert digits not in reply.body.decode()


@pytest.mark.parametrize(
    "media", ["text/plain", "application/xml", "text/json", "multipart/form-data; boundary=x", "a"]
)
def test_another_media_type_is_refused(service: Service, till: Client, media: str) -> None:
    """A-93."""
    with nothing_moves(service, "request.refused"):
        is_refused(till.pay(content_type=media), 415)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """48 kB that would become 50 MB."""
    made = gzip.compress(b" " * 50_000_000, 9)
    assert len(made) < 64 * 1024
    return made


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-gzip"])
def test_a_compressed_body_is_not_opened(service: Service, till: Client, bomb: bytes, coding: str) -> None:
    """A-94: whatever it would have become."""
    began = time.process_time()
    with nothing_moves(service, "request.refused"):
        headers = till.signed("POST", PATH, bomb) | {"content-type": "application/json", "content-encoding": coding}
        is_refused(till.send("POST", PATH, bomb, headers), 415)
    assert time.process_time() - began < CHEAP_S


NAMES = [
    "__proto__",
    "__class__",
    "__init__",
    "constructor",
    "prototype",
    "self",
    "__dict__",
    "to_json",
    "$ref",
    "",
    ".",
]


def test_members_with_the_names_of_ours_are_as_unknown_as_any(service: Service, till: Client) -> None:
    """A-95, A-26: at the top, and inside of what we know."""
    for place in ("", "paymentInformation.card.", "orderInformation.amountDetails.", "processingInformation."):
        wrong = {f"{place}{name}": {"approved": True} for name in NAMES}
        assert till.pay(changed(payment(), wrong)).said == AUTHORIZED
    document = payment() | {"": {"": 1}, ".": 1, "orderInformation.amountDetails.totalAmount": "999"}
    reply = till.pay(document)
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "102.21"


def test_member_names_that_collide_cost_what_others_cost(service: Service, till: Client) -> None:
    """A-95: Python's hash of a text is keyed, so the best that remains is names alike."""
    names = {
        ("\0" * 0) + "Aa" * 8 + format(number, "010b").replace("0", "Aa").replace("1", "BB"): 1 for number in range(900)
    }
    began = time.process_time()
    assert till.pay(payment() | names).said == AUTHORIZED
    assert time.process_time() - began < CHEAP_S


TAKEN = {
    "kanji of a personal name": "\ufa19\u793e \u9ad9\u6a4b \u5409\u91ce\u5bb6",
    "half-width kana": "\uff71\uff75\uff7f\uff9e\uff97",
    "a flag and a family": "\U0001f1ef\U0001f1f5 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a variation of a kanji": "\u845b\U000e0100\u98fe",
    "decomposed kana": "\u304b\u3099",
    "composed kana": "\u304c",
    "a zero-width joiner": "\u0915\u094d\u200d\u0937",
    "an ideograph of plane 2": "\U00020bb7\u91ce\u5bb6",
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_letters_that_people_write_come_back_as_they_were_sent(till: Client, text: str) -> None:
    """A-96, R-41: not normalized, not folded, not cut."""
    reply = till.pay(changed(payment(), {CODE: text}))
    assert reply.said == AUTHORIZED
    assert reply.json["clientReferenceInformation"]["code"] == text
    assert till.details(reply.id)["clientReferenceInformation"]["code"] == text


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u2069", "\u202a", "\u2028", "\u0085", "\ue000", "\U000f0000"])
def test_letters_that_make_another_text_of_it_are_refused(service: Service, till: Client, mark: str) -> None:
    """A-96."""
    with nothing_moves(service, "request.refused"):
        reply = till.pay(changed(payment(), {CODE: f"a{mark}b"}))
        assert reply.fields == [(CODE, "INVALID_DATA")]
        assert mark not in reply.body.decode()


def test_a_storm_of_marks_is_only_long(service: Service, till: Client) -> None:
    """A-96: one letter with ten thousand marks."""
    storm = "e" + "\u0301" * 10_000
    began = time.process_time()
    replies: list[Reply] = [
        till.pay(changed(payment(), {path: storm})) for path in (CODE, "orderInformation.billTo.city")
    ]
    assert {reply.status for reply in replies} <= {201, 400}
    assert time.process_time() - began < 2 * CHEAP_S
    assert len(unicodedata.normalize("NFC", storm)) == 10_000


WORST = ["-", "9", "0", ".", " ", "a", "@", "a@", "/", "\\\\", "\u3042", "\u30f3", "1e", "=", ",", '\\"', "4111 "]


@pytest.mark.parametrize("letter", WORST)
def test_no_pattern_is_slow_on_its_worst_letter(service: Service, till: Client, letter: str) -> None:
    """A-97: as long as a text may be, in every member that a pattern reads, headers included."""
    text = (letter * 30_000)[: document.MAX_TEXT_BYTES // max(len(letter.encode()) // len(letter), 1) - 10]
    text = text[:10_000] if len(text.encode()) > 60_000 else text
    paths = [
        "orderInformation.amountDetails.totalAmount",
        "orderInformation.amountDetails.currency",
        "paymentInformation.card.number",
        "paymentInformation.card.expirationYear",
        "paymentInformation.card.securityCode",
        "orderInformation.billTo.email",
        "orderInformation.billTo.phoneNumber",
        "processingInformation.japanPaymentOptions.businessNameKatakana",
        "merchantInformation.transactionLocalDateTime",
        CODE,
    ]
    began = time.process_time()
    for path in paths:
        raw_text = json.dumps(changed(payment(), {path: "TEXT"})).replace("TEXT", text)
        assert till.call("POST", PATH, body=raw_text.encode()).status in (201, 400)
    header = text.encode("ascii", "ignore").decode()[:8_000].strip()
    for name in ("idempotency-key", "v-c-correlation-id", "kessai-scenario", "content-type", "date", "digest"):
        is_refused(till.pay(None, **{name.replace("-", "_"): header or "x"}), 201, 400, 401, 415)
    assert time.process_time() - began < 5 * CHEAP_S


def test_a_patterns_worst_date_and_token_are_read_in_no_time(service: Service, till: Client) -> None:
    """A-97, A-8, A-14: what comes before any key is known."""
    began = time.process_time()
    with nothing_moves(service, "authentication.failed"):
        for value in ("keyid=" * 600, 'keyid="' * 500, 'a="b",' * 600, " " * 4_000 + "x", '"' * 4_000):
            reply = till.send("POST", PATH, b"{}", till.signed("POST", PATH, b"{}") | {"signature": value.strip()})
            is_refused(reply, 401)
        for token in ("a." * 7_000, "a.b." + "c" * 15_000, "eyJ" + "A" * 15_000 + ".e30.x"):
            is_refused(till.send("POST", PATH, b"{}", {"authorization": f"Bearer {token}"}), 401)
    assert time.process_time() - began < CHEAP_S


NOISE = (
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\0" * 1_000,
    b"\xff" * 1_000,
    b"SSH-2.0-x\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


def test_a_connection_that_sends_noise_gets_one_answer(service: Service) -> None:
    """A-90, A-93: other protocols, and bytes of none."""
    for noise in NOISE:
        with nothing_moves(service, "kessai.server"):
            assert statuses(raw(service, noise)) in ([400], [405])


def test_after_all_of_it_others_are_served(service: Service, till: Client) -> None:
    """A-90 to A-97."""
    with socket.create_connection(("127.0.0.1", service.port), 5) as idle:
        assert till.pay().said == AUTHORIZED
        assert idle.fileno() > 0
    assert till.pay(changed(payment(), {"orderInformation.billTo": BILL_TO})).said == AUTHORIZED
    service.assert_books()
