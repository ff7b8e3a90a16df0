"""Merchants' servers that behave as badly as they can: nothing of it reaches a payment, and nothing is lost."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from kessai.webhooks import courier
from kessai.webhooks.courier import Courier, Errand, Report
from tests.acceptance.client import Service
from tests.webhooks.receiver import OK, Answer, Receiver, Request, receiving
from tests.webhooks.shop import Shop, given_up

GZIPPED = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xed\xc1" * 200_000


def endless_body(_request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    yield from itertools.repeat(b"x" * 8192)


def endless_headers(_request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"x-filler: " + b"y" * 65_536 + b"\r\n", 100)


def interim_storm(_request: Request) -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")


def bomb(_request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(GZIPPED)
    yield GZIPPED


def drip(_request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    while True:
        time.sleep(0.05)
        yield b"x"


def silence(_request: Request) -> Iterator[bytes]:
    time.sleep(30)
    yield OK


CUT: dict[str, tuple[Answer, str]] = {
    "endless body": (endless_body, "the answer is longer than 64 KiB"),
    "endless headers": (endless_headers, "the answer is longer than 64 KiB"),
    "interim storm": (interim_storm, "the answer is longer than 64 KiB"),
    "gzip bomb": (bomb, "the answer is longer than 64 KiB"),
    "a byte at a time": (drip, "no answer within 10 seconds"),
    "silence": (silence, "no answer within 10 seconds"),
    "garbage": (lambda _: b"I am no HTTP at all\r\n\r\n", "the answer is no HTTP"),
    "switching": (lambda _: b"HTTP/1.1 101 Yes\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "the answer is no HTTP"),
    "cut off": (
        lambda _: iter([b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nx"]),
        "no answer within 10 seconds",
    ),
}


def carry(receiver: Receiver, times: int = 1, between: Callable[[], None] = lambda: None) -> list[Report]:
    """What one courier reports of errands to a server, one after the other."""
    errand = Errand(1, "POST", receiver.url, {"content-type": "application/json"}, "{}", f"127.0.0.1:{receiver.port}")

    async def work() -> list[Report]:
        carrier, reports = Courier(), []
        for _ in range(times):
            reports.append(await carrier.carry(errand))
            between()
        await carrier.close()
        return reports

    return asyncio.run(work())


@pytest.mark.parametrize("name", CUT)
def test_what_has_no_end_is_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-78: endless body, a byte at a time, large headers, a bomb, a storm of interim answers.

    Where time cuts, the courier of this process has half a second: the limit is a figure, and the cut is the same.
    """
    answer, why = CUT[name]
    if why.startswith("no answer within"):
        monkeypatch.setattr(courier, "TIMEOUT_S", 0.5)
    with receiving(answer) as receiver:
        (report,) = carry(receiver)
    assert (report.status, report.error) == (0, why)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "http://127.0.0.1:{port}/private", "file:///etc/passwd"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, location: str) -> None:
    """A-75: it is a failed delivery, whatever it points to."""
    with receiving() as receiver:
        to = location.format(port=receiver.port)
        receiver.answer = lambda _: f"HTTP/1.1 {status} Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()
        (report,) = carry(receiver)
        assert report.status == status
        assert [each.line for each in receiver.seen] == ["POST /hook HTTP/1.1"]


def test_a_redirect_is_a_failed_delivery(service: Service, shop: Shop, receiver: Receiver) -> None:
    """A-75."""
    moved = b"HTTP/1.1 302 Go\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    receiver.answer = lambda _request: moved
    shop.subscribe(receiver, retryPolicy={"numberOfRetries": 0})
    shop.pay()

    found = given_up(service, shop)
    assert found["result"] == "302"


def test_interim_answers_are_read_past() -> None:
    with receiving(lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK) as receiver:
        assert [each.status for each in carry(receiver)] == [200]


def test_an_answer_may_end_with_its_connection() -> None:
    class Closing(Receiver):
        def _answer(self, peer: object, request: Request) -> None:
            super()._answer(peer, request)  # type: ignore[arg-type]
            raise OSError

    receiver = Closing(lambda _: b"HTTP/1.1 204 Yes\r\nconnection: close\r\n\r\n")
    receiver.start()
    try:
        assert [each.status for each in carry(receiver)] == [204]
    finally:
        receiver.stop()


def test_a_kept_connection_that_was_closed_costs_nothing(receiver: Receiver) -> None:
    def away_and_back() -> None:
        receiver.stop()
        receiver.start()

    assert [each.status for each in carry(receiver, 3, away_and_back)] == [200, 200, 200]


def test_connections_are_kept(receiver: Receiver) -> None:
    assert {each.status for each in carry(receiver, 20)} == {200}
    assert (len(receiver.seen), receiver.connections) == (20, 1)


def test_a_header_stays_one_header() -> None:
    """A-79: what has a line end in it is not sent."""

    async def send() -> Report:
        errand = Errand(1, "POST", "http://127.0.0.1:9/", {"x": "a\r\nhost: evil"}, "{}", "127.0.0.1:9")
        carrier = Courier()
        try:
            return await carrier.carry(errand)
        finally:
            await carrier.close()

    assert asyncio.run(send()).error == "a header is not visible ASCII"
