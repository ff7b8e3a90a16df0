"""The simulated acquirer as a process of its own: the desk behind a socket. I/O.

A connection signs on first; whatever it says before, and whatever is garbage, closes it. Nothing of a message is logged
but its type: a card number passes through here and stays nowhere.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import Final, cast

from kessai.acquirers.simulator import wire
from kessai.acquirers.simulator.book import Book, Memory
from kessai.acquirers.simulator.desk import Desk
from kessai.acquirers.simulator.journal import Journal
from kessai.acquirers.simulator.scenarios import Delivery
from kessai.log import log

LATE_AFTER_S: Final = 12.0
"""When a late answer leaves: after the gateway's own deadline of ten seconds."""


class Acquirer:
    """What the connections of one process share."""

    def __init__(self, book_path: str = "", *, late_after_s: float = LATE_AFTER_S) -> None:
        """OSError where the book cannot be opened; without a path it is in memory."""
        self.late_after_s = late_after_s
        self.desk = Desk(Journal(book_path) if book_path else Memory(), time.time_ns() // 1_000_000)
        self.connections: set[Connection] = set()

    @property
    def book(self) -> Book:
        """The book as it stands now."""
        return self.desk.book

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Take connections. OSError where the port is taken."""
        return await asyncio.get_running_loop().create_server(lambda: Connection(self), host, port)

    def close(self) -> None:
        """Hang up on everybody and close the book."""
        for connection in tuple(self.connections):
            connection.hang_up()
        self.desk.close()


class Connection(asyncio.Protocol):
    """One gateway's connection."""

    def __init__(self, acquirer: Acquirer) -> None:
        self._acquirer = acquirer
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self._has_signed_on = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._acquirer.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._acquirer.connections.discard(self)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            for text in self._frames.feed(data):
                self._take(wire.read_request(text))
        except (ValueError, KeyError) as error:
            log("link.garbage", level="warning", error=type(error).__name__)
            self.hang_up()

    def _take(self, request: wire.Request) -> None:
        if request.mti == wire.SIGN_ON:
            self._has_signed_on = True
            self._say(wire.answer_of(request, None))
            return
        if not self._has_signed_on:
            raise ValueError("a connection signs on before anything else")
        played = self._acquirer.desk.play(wire.exchange_of(request))
        answer = wire.answer_of(request, played.answer, found=played.found)
        match played.delivery:
            case Delivery.AT_ONCE:
                self._say(answer)
            case Delivery.CUT:
                self.hang_up()
            case Delivery.LATE:
                asyncio.get_running_loop().call_later(self._acquirer.late_after_s, self._say, answer)
            case Delivery.NEVER:
                pass

    def _say(self, answer: wire.Answer) -> None:
        if self._transport is not None:
            self._transport.write(wire.frame(answer))


async def serve(
    host: str,
    port: int,
    book_path: str,
    announce: Callable[[str, int], None],
    *,
    anywhere: bool = False,
    late_after_s: float = LATE_AFTER_S,
) -> None:
    """Simulate until cancelled. `announce` is told the address once connections are taken; port 0 takes a free one.

    ValueError for an address beyond this machine, unless `anywhere`: card numbers travel in the clear. OSError where
    the port or the book cannot be had.
    """
    if not anywhere and not _is_loopback(host):
        raise ValueError(f"card numbers would travel in the clear to {host}")
    acquirer = Acquirer(book_path, late_after_s=late_after_s)
    try:
        server = await acquirer.listen(host, port)
        try:
            announce(host, server.sockets[0].getsockname()[1])
            await asyncio.Event().wait()
        finally:
            server.close()
    finally:
        acquirer.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
