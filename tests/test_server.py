"""The HTTP server over real sockets: every limit, the order of answers, and the end. Covers A-90, A-91, A-99, F27."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kessai.server import (
    MAX_PIPELINED,
    AddressUnusable,
    Application,
    Limits,
    Message,
    NotLoopback,
    PortInUse,
    Settings,
    listen,
    run,
    serve,
)
from kessai.tls import CertificateUnusable, development_certificate

T = TypeVar("T")
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 65_536
HEAD_LIMIT = 16_384
PATIENCE_S = 60.0
"""After that something hangs; a busy machine takes a while."""
TURNS = 10


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Say what came: method, path, length of the body, names of the headers."""
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        if not message["more_body"]:
            break
    names = ",".join(name.decode() for name, _ in scope["headers"])
    await answer(send, f"{scope['method']} {scope['raw_path'].decode()} {length} {names}".encode())


@asynccontextmanager
async def serving(
    app: Application = echo, **given: Any
) -> AsyncIterator[tuple[int, asyncio.Event, asyncio.Task[None]]]:
    """A running server: its port, what stops it, and its task."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(serve(app, Settings(port=0, **given), ready.set_result, stop))
    try:
        yield await asyncio.wait_for(ready, PATIENCE_S), stop, task
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


@asynccontextmanager
async def connected(port: int, **given: Any) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **given)
    try:
        yield reader, writer
    finally:
        writer.close()


async def pause(seconds: float) -> None:
    """A pause in which the loop turns a few times: what was sent before it has been read, even where the machine stood
    still for all of it. Both ends of these tests live in one loop."""
    for _ in range(TURNS):
        await asyncio.sleep(seconds / TURNS)


def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    async def limited() -> T:
        return await asyncio.wait_for(work, seconds)

    return run(limited())


def exchange(*parts: bytes, app: Application = echo, pause_s: float = 0.0, **limits: Any) -> bytes:
    """Send parts with pauses between them; all that comes back until the server closes."""

    async def talk() -> bytes:
        async with serving(app, limits=Limits(**limits)) as (port, _, _), connected(port) as (reader, writer):
            answers = asyncio.create_task(reader.read())
            for part in parts:
                if answers.done():
                    break  # nobody listens any more
                writer.write(part)
                await pause(pause_s)
            return await answers

    return within(PATIENCE_S, talk())


def statuses(answers: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def post(length: int, *headers: str) -> bytes:
    lines = ["POST /x HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def chunked(*chunks: bytes, close: bool = True, trailers: bytes = b"") -> bytes:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    head += b"Connection: close\r\n\r\n" if close else b"\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailers + b"\r\n"


def padded(length: int) -> bytes:
    """A request whose head has exactly this many bytes."""
    before, after = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", b"\r\n\r\n"
    return before + b"x" * (length - len(before) - len(after)) + after


GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "length and encoding": (post(5, "Transfer-Encoding: chunked") + b"hello", 400),
    "encoding and length": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        400,
    ),
    "two lengths": (post(5, "Content-Length: 5") + b"hello", 400),
    "signed length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    "another encoding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown encoding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    "chunk size overflow": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        400,
    ),
    "chunk without size": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "control character": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "absolute form": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bytes in target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "another protocol's verb": (b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "unknown verb": (b"PAY / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "lower case verb": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "head too long": (padded(HEAD_LIMIT + 1), 431),
    "head without end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEAD_LIMIT, 431),
    "target too long": (b"GET /" + b"x" * HEAD_LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "empty lines without end": (b"\r\n" * HEAD_LIMIT, 431),
    "101 headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431),
    "10 000 headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 9_999 + b"\r\n", 431),
    "announced body": (post(BODY_LIMIT + 1), 413),
    "1 GiB announced": (post(1 << 30), 413),
    "announced, client waits": (post(BODY_LIMIT + 1, "Expect: 100-continue"), 413),
    "whole body too long": (post(BODY_LIMIT + 1) + b"x" * (BODY_LIMIT + 1), 413),
    "megabytes sent at once": (post(4_000_000) + b"x" * 4_000_000, 413),
    "chunked body": (chunked(b"x" * BODY_LIMIT, b"x"), 413),
    "chunk extensions without end": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 9 * BODY_LIMIT,
        413,
    ),
    "trailers without end": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 2 * BODY_LIMIT,
        413,
    ),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_refuses_and_closes(sent: bytes, status: int) -> None:
    """A-90, A-91."""
    assert statuses(exchange(sent)) == [status]


def test_a_refusal_says_why_in_the_public_shape() -> None:
    head, _, body = exchange(b"GET / HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    (error,) = json.loads(body)["errors"]
    assert error == {"type": "invalidRequest", "message": "Exactly one Host header is expected."}
    names = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    correlation_id = names.pop(b"v-c-correlation-id")
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", correlation_id)
    assert names == {
        b"content-type": b"application/hal+json;charset=utf-8",
        b"content-length": str(len(body)).encode(),
        b"x-content-type-options": b"nosniff",
        b"connection": b"close",
    }


def test_a_refused_method_names_the_others() -> None:
    assert b"\r\nallow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n" in exchange(b"TRACE / HTTP/1.1\r\n\r\n")


def test_a_refused_request_never_reaches_the_application() -> None:
    seen: list[str] = []

    async def note(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(scope["raw_path"].decode())
        await answer(send, b"")

    answers = exchange(GET, b"GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", GET, app=note, pause_s=0.02)
    assert (statuses(answers), seen) == ([200, 400], ["/x"])


TAKEN = {
    "a head of exactly the limit": (padded(HEAD_LIMIT), b"GET /x 0 "),
    "100 headers": (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"a: b\r\n" * 98 + b"\r\n", b"GET /x 0 "),
    "a body of exactly the limit": (post(BODY_LIMIT, "Connection: close") + b"x" * BODY_LIMIT, b"POST /x 65536 "),
    "chunks of exactly the limit": (chunked(b"x" * (BODY_LIMIT - 1), b"x"), b"POST /x 65536 "),
    "chunks of one byte": (chunked(*[b"x"] * BODY_LIMIT), b"POST /x 65536 "),
    "empty lines before a request": (b"\r\n\r\n" + LAST, b"GET /last 0 "),
    "an empty chunked body": (chunked(), b"POST /x 0 "),
    "HTTP/1.0 with a host": (b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", b"GET /x 0 "),
}


@pytest.mark.parametrize(("sent", "expected"), TAKEN.values(), ids=TAKEN)
def test_takes(sent: bytes, expected: bytes) -> None:
    got = exchange(sent)
    assert statuses(got) == [200]
    assert expected in got


def test_takes_a_request_byte_by_byte() -> None:
    sent = post(3, "Connection: close") + b"abc"
    assert b"POST /x 3 " in exchange(*(sent[i : i + 1] for i in range(len(sent))), pause_s=0.001)


def test_adds_no_server_and_no_date_header() -> None:
    head = exchange(LAST).partition(b"\r\n\r\n")[0].lower()
    assert re.findall(rb"\r\n([a-z-]+):", head) == [b"content-length", b"connection"]


def test_trailers_do_not_become_headers() -> None:
    got = exchange(chunked(b"abc", trailers=b"Signature: forged\r\n"))
    assert got.endswith(b"POST /x 3 host,transfer-encoding,connection")


@pytest.mark.parametrize("parts", [1, 2], ids=["at once", "body later"])
def test_an_upgrade_is_ignored_and_the_body_read(parts: int) -> None:
    head = post(5, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    sent = (head + b"hello" + LAST,) if parts == 1 else (head, b"hello" + LAST)
    got = exchange(*sent, pause_s=0.02)
    assert statuses(got) == [200, 200]
    assert b"POST /x 5 host,content-length,connection,http2-settings" in got


def test_many_upgrades_at_once_are_bounded() -> None:
    upgrade = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert statuses(exchange(upgrade * 2_000)) == [200] * (MAX_PIPELINED + 1) + [503]


def test_keeps_a_connection_alive_and_answers_pipelined_requests_in_order() -> None:
    paths = [f"/{number}" for number in range(20)]
    requests = [f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths]
    got = exchange(requests[0], b"".join(requests[1:]), LAST, pause_s=0.05)
    assert [path.decode() for path in re.findall(rb"GET (/\S+) 0 ", got)] == [*paths, "/last"]


def test_bodies_of_pipelined_requests_stay_apart() -> None:
    sent = post(3) + b"abc" + chunked(b"d" * 10, close=False) + post(BODY_LIMIT) + b"x" * BODY_LIMIT + LAST
    assert re.findall(rb"(\S+ /\S+ \d+) ", exchange(sent)) == [
        b"POST /x 3",
        b"POST /x 10",
        b"POST /x 65536",
        b"GET /last 0",
    ]


def test_the_body_of_one_request_does_not_count_for_the_head_of_the_next() -> None:
    head = padded(HEAD_LIMIT)
    got = exchange(post(60_000) + b"x" * 60_000 + head[:100], head[100:], pause_s=0.02)
    assert statuses(got) == [200, 200]


def test_more_pipelined_requests_than_may_wait_are_refused_after_the_others() -> None:
    assert statuses(exchange(GET * 1_000)) == [200] * (MAX_PIPELINED + 1) + [503]


AFTER_A_RUNNING_REQUEST = {
    "malformed": (b"\x00\x00", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "too long": (post(BODY_LIMIT + 1), 413),
    "too many chunks": (chunked(b"x" * BODY_LIMIT, b"x"), 413),
    "slow head": (b"GET / HT", 408),
}


@pytest.mark.parametrize(("sent", "status"), AFTER_A_RUNNING_REQUEST.values(), ids=AFTER_A_RUNNING_REQUEST)
def test_a_refusal_waits_for_the_answers_before_it(sent: bytes, status: int) -> None:
    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await answer(send, b"")

    assert statuses(exchange(GET + GET + sent, app=slow, head_s=0.1)) == [200, 200, status]


def test_a_request_whose_body_is_refused_is_taken_away_from_the_application() -> None:
    messages: list[str] = []

    async def note(scope: Message, receive: Receive, send: Send) -> None:
        while messages[-1:] != ["http.disconnect"]:
            messages.append((await receive())["type"])
        await answer(send, b"too late")

    head, *chunks = chunked(b"a", b"x" * BODY_LIMIT).split(b"\r\n1\r\n")
    got = exchange(head + b"\r\n1\r\na\r\n", chunks[0].removeprefix(b"a\r\n"), app=note, pause_s=0.05)
    assert statuses(got) == [413]
    assert messages == ["http.request", "http.disconnect"]


def test_a_client_that_hangs_up_is_noticed_by_the_request_that_runs(caplog: pytest.LogCaptureFixture) -> None:
    messages: list[str] = []

    async def note(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        messages.append((await receive())["type"])
        await answer(send, b"nobody listens")
        messages.append("ended")

    async def talk() -> None:
        async with serving(note) as (port, _, _):
            async with connected(port) as (_, writer):
                writer.write(GET * 3)
                await pause(0.05)
            await until(lambda: "ended" in messages)

    within(PATIENCE_S, talk())
    assert messages == ["http.disconnect", "ended"]
    assert caplog.records == []


def test_an_early_answer_leaves_the_connection_usable() -> None:
    async def hasty(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"")

    assert statuses(exchange(post(4), b"abcd" + LAST, app=hasty, pause_s=0.05)) == [200, 200]


def test_an_early_answer_is_not_followed_by_a_refusal() -> None:
    async def hasty(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"")

    assert statuses(exchange(post(4), app=hasty, body_s=0.1)) == [200]


SLOW = {
    "part of a head": ((b"GET / HTTP/1.1\r\nHo",), [408]),
    "part of a verb": ((b"G",), [408]),
    "empty lines": ((b"\r\n",), [408]),
    "a byte at a time": (tuple(bytes([byte]) for byte in GET), [408]),
    "part of a second head": ((GET, b"GET / HT"), [200, 408]),
    "part of a body": ((post(4) + b"abc",), [408]),
    "body a byte at a time": ((post(20), *[b"a"] * 20), [408]),
    "part of a chunk": ((b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",), [408]),
    "nothing at all": ((), []),
    "nothing after an answer": ((GET,), [200]),
    "an empty line after an answer": ((GET, b"\r\n"), [200, 408]),
}


@pytest.mark.parametrize(("parts", "expected"), SLOW.values(), ids=SLOW)
def test_a_slow_client_is_closed_at_the_deadline(parts: tuple[bytes, ...], expected: list[int]) -> None:
    keeps_s = 0.3 if len(parts) < 2 else 20.0  # who has more to say is not cut off before it is said
    begun = time.monotonic()
    got = exchange(*parts, pause_s=0.04, head_s=0.3, body_s=0.3, keep_alive_s=keeps_s)
    assert statuses(got) == expected
    assert 0.28 < time.monotonic() - begun < 8.0  # the deadlines that were not shortened are of ten seconds and more


def test_slow_clients_do_not_hold_up_the_others() -> None:
    """A-91, T-17."""

    async def talk() -> None:
        async with serving(limits=Limits(head_s=2.0)) as (port, _, _):
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
            for _, writer in slow:
                writer.write(b"GET / HT")
            answers = [asyncio.create_task(reader.read()) for reader, _ in slow]
            async with connected(port) as (reader, writer):
                writer.write(LAST)
                assert statuses(await reader.read()) == [200]
            assert not any(answer.done() for answer in answers), "it was served when the slow ones had been closed"
            assert [statuses(await answer) for answer in answers] == [[408]] * 200
            for _, writer in slow:
                writer.close()

    within(PATIENCE_S, talk())


def test_time_in_which_we_do_not_listen_is_not_the_clients() -> None:
    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.4)
        await echo(scope, receive, send)

    sent = GET + post(200_000 // 4) + b"x" * 25_000
    got = exchange(sent, b"x" * 25_000 + LAST, app=slow, pause_s=0.05, body_s=0.2)
    assert re.findall(rb"(\S+ /\S+ \d+) ", got) == [b"GET /x 0", b"POST /x 50000", b"GET /last 0"]


def test_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    async def talk() -> float:
        async with serving(limits=Limits(linger_s=0.2)) as (port, _, _), connected(port) as (_, writer):
            begun = time.monotonic()
            writer.write(post(1 << 30))
            while not writer.is_closing():
                writer.write(b"x" * 1_000)
                await asyncio.sleep(0.01)
            return time.monotonic() - begun

    assert 0.15 < within(PATIENCE_S, talk()) < 8.0


def slowly(over: asyncio.Event, log: list[str]) -> Application:
    """An application whose request runs until a test says that it is over."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        log.append("begun")
        await over.wait()
        await answer(send, b"done")
        log.append("ended")

    return app


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_stopping_finishes_what_runs_and_takes_no_more(number: int | None) -> None:
    log: list[str] = []
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    async def talk() -> bytes:
        over = asyncio.Event()
        async with serving(slowly(over, log)) as (port, stop, task), connected(port) as (reader, writer):
            async with connected(port) as (idle, _):
                writer.write(GET)
                await until(lambda: log)
                if number is None:
                    stop.set()
                else:
                    os.kill(os.getpid(), number)
                assert await idle.read() == b""
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                assert log == ["begun"]
                over.set()
                got = await reader.read()
                await task
                assert log == ["begun", "ended"]
            return got

    got = within(PATIENCE_S, talk())
    assert statuses(got) == [200]
    assert b"connection: close" in got
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_stopping_answers_503_to_a_request_that_is_still_arriving() -> None:
    async def talk() -> bytes:
        async with serving() as (port, stop, _), connected(port) as (reader, writer):
            writer.write(GET[:10])
            await pause(0.05)
            stop.set()
            return await reader.read()

    got = within(PATIENCE_S, talk())
    assert statuses(got) == [503]
    assert b"\r\nretry-after: 1\r\n" in got


def test_stopping_waits_no_longer_than_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []

    async def talk() -> bytes:
        app = slowly(asyncio.Event(), log)
        async with serving(app, grace_s=0.2) as (port, stop, task), connected(port) as (reader, writer):
            writer.write(GET)
            await until(lambda: log)
            stop.set()
            await asyncio.wait_for(task, 20)  # the request alone would never end
            return await reader.read()

    assert statuses(within(PATIENCE_S, talk())) == [500]
    assert log == ["begun"]


def test_stopping_waits_for_a_body_that_is_still_arriving() -> None:
    async def talk() -> bytes:
        async with serving() as (port, stop, _), connected(port) as (reader, writer):
            writer.write(post(4) + b"ab")
            await pause(0.05)
            stop.set()
            await pause(0.05)
            writer.write(b"cd")
            return await reader.read()

    assert b"POST /x 4 " in within(PATIENCE_S, talk())


def test_a_port_in_use_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"^Port {port} of '127\.0\.0\.1' is in use by another program\.$"):
            run(serve(echo, Settings(port=port)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_plain_http_is_for_loopback(host: str) -> None:
    """A-15."""
    with pytest.raises(NotLoopback, match=r"^Plain http is for loopback only"):
        listen(Settings(host=host, port=0))


def test_behind_a_proxy_plain_http_may_listen_everywhere() -> None:
    (listener,) = listen(Settings(host="0.0.0.0", port=0, behind_proxy=True))
    with listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_localhost_listens_on_one_port_for_all_its_addresses() -> None:
    listeners = listen(Settings(host="localhost", port=0))
    ports = {listener.getsockname()[1] for listener in listeners}
    for listener in listeners:
        listener.close()
    assert len(ports) == 1
    assert 0 not in ports


@pytest.mark.parametrize(("host", "behind_proxy"), [("a" * 300, False), ("", False), ("192.0.2.1", True)])
def test_an_unusable_address_is_said_in_one_sentence(host: str, behind_proxy: bool) -> None:
    with pytest.raises(AddressUnusable, match=r"^[^\n]+\.$"):
        listen(Settings(host=host, port=0, behind_proxy=behind_proxy))


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_has_16_bits(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        Settings(port=port)


def test_sockets_bound_before_are_served_and_closed() -> None:
    async def talk() -> bytes:
        settings = Settings(port=0)
        (listener,) = listen(settings)
        port = listener.getsockname()[1]
        stop = asyncio.Event()
        async with connected(port) as (reader, writer):
            writer.write(LAST)
            task = asyncio.create_task(serve(echo, settings, stop=stop, sockets=[listener]))
            got = await reader.read()
        stop.set()
        await task
        assert listener.fileno() == -1
        return got

    assert statuses(within(PATIENCE_S, talk())) == [200]


def test_a_certificate_comes_with_its_key() -> None:
    with pytest.raises(ValueError, match="together"):
        Settings(certificate=Path("server.pem"))


def test_certificate_files_that_are_not_there_stop_the_start() -> None:
    with pytest.raises(CertificateUnusable, match=r"^none\.pem and none\.key cannot both be read"):
        run(serve(echo, Settings(port=0, certificate=Path("none.pem"), key=Path("none.key"))))


def test_serves_over_tls_with_every_limit_in_place(tmp_path: Path) -> None:
    certificate, key, ca = development_certificate(tmp_path / "tls", datetime.now(UTC))
    context = ssl.create_default_context(cafile=ca)

    async def talk() -> tuple[bytes, bytes]:
        given = {"ssl": context, "server_hostname": "apitest.cybersource.com"}
        limits = Limits(linger_s=0.2, head_s=0.5)
        async with serving(certificate=certificate, key=key, limits=limits) as (port, _, _):
            async with connected(port, **given) as (reader, writer):
                writer.write(post(3) + b"abc" + LAST)
                good = await reader.read()
            async with connected(port, **given) as (reader, writer):
                writer.write(post(300_000) + b"x" * 300_000)
                refused = await reader.read()
            async with connected(port) as (reader, _):  # never says hello
                assert await reader.read() == b""
        return good, refused

    good, refused = within(PATIENCE_S, talk())
    assert re.findall(rb"(\S+ /\S+ \d+) ", good) == [b"POST /x 3", b"GET /last 0"]
    assert statuses(refused) == [413]
