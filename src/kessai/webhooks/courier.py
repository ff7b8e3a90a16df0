"""The courier: a process of its own that carries notifications to merchants' servers, and has nothing else.

It has no database and no key. It reads errands, a JSON line each, from its standard input, and writes what became of
them to its standard output, in any order; where its input ends, it ends.

The connection goes to an address that was looked at (`addresses`), with the host's name in SNI and `Host`. No redirect
is followed, no proxy asked. A try takes at most 10 seconds, an answer 64 KiB, headers included: what is more is cut.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final, cast

import httptools
import msgspec
import uvloop
from msgspec import Struct

from kessai.webhooks.addresses import NotAllowed, Target, check_all, read

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 64 * 1024
CONNECT_S: Final = 5.0
LOOK_UP_S: Final = 5.0
LOOK_UPS: Final = 64
"""Names that are looked up at once: a slow name server must not keep the others waiting."""
IDLE_S: Final = 15.0
"""How long a connection is kept for the next notification."""
KEPT: Final = 16
"""Connections that are kept to one place."""
MOST_ADDRESSES: Final = 4
"""Addresses of a name that are tried."""
LINE_BYTES: Final = 4 * 1024 * 1024


class Errand(Struct, frozen=True, array_like=True):
    """One try. `declared`: `host:port` that the operator has declared for tests, empty where none is meant."""

    id: int
    method: str
    url: str
    headers: dict[str, str]
    body: str
    declared: str = ""


class Report(Struct, frozen=True, array_like=True):
    """What became of a try: the HTTP status, or 0 and a few words."""

    id: int
    status: int
    error: str = ""


class Failed(Exception):
    """Why a try came to nothing, in a few words of ours: what the other end says is not repeated."""


class Dropped(Failed):
    """The connection ended before a byte of the answer: it may have been closed before the request came."""


class Connection(asyncio.Protocol):
    """One connection of HTTP/1.1, for one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[int] | None = None
        self.is_open = True
        self._clear()

    def _clear(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._left = MOST_BYTES
        self._is_framed = False
        self._has_headers = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def exchange(self, request: bytes) -> int:
        """Send a request; the status of its answer. Failed."""
        assert self._transport is not None
        self._clear()
        self._answered = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            return await self._answered
        finally:
            if not self._answered.done() or self._answered.cancelled() or self._answered.exception() is not None:
                self.close()
            self._answered = None

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # ---- what comes

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._fail(Failed("the answer is longer than 64 KiB"))
        elif self._answered is None:  # nobody asked for anything
            self.close()
        else:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self._fail(Failed("the answer is no HTTP"))

    def eof_received(self) -> None:
        self.is_open = False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._has_headers and not self._is_framed and error is None:  # such an answer ends with its connection
            self._answer(self._parser.get_status_code())
        elif self._left == MOST_BYTES:
            self._fail(Dropped("the connection ended without an answer"))
        else:
            self._fail(Failed("the connection ended within the answer"))

    def on_header(self, name: bytes, _value: bytes) -> None:
        self._is_framed = self._is_framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._has_headers = self._parser.get_status_code() >= 200

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # interim; the answer follows
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._answer(status)

    def _answer(self, status: int) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(status)

    def _fail(self, error: Failed) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        self.close()


class Courier:
    """Carries errands out."""

    def __init__(self) -> None:
        self._tls = ssl.create_default_context()
        self._threads = ThreadPoolExecutor(LOOK_UPS, "look-up")
        self._looking: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._kept: dict[tuple[str, bool], list[tuple[float, Connection]]] = {}

    async def carry(self, errand: Errand) -> Report:
        """One try, from beginning to end. Raises nothing."""
        try:
            target = read(errand.url, declared=frozenset({errand.declared}))
            async with asyncio.timeout(TIMEOUT_S):
                return Report(errand.id, await self._send(target, _request(target, errand)))
        except (NotAllowed, Failed) as error:
            return Report(errand.id, 0, str(error))
        except TimeoutError:
            return Report(errand.id, 0, "no answer within 10 seconds")
        except Exception as error:
            return Report(errand.id, 0, type(error).__name__)

    async def _send(self, target: Target, request: bytes) -> int:
        place = (target.origin, target.is_declared)
        connection = self._take(place)
        if connection is not None:
            try:
                return await self._exchange(place, connection, request)
            except Dropped:  # it was closed in the moment in which it was used again
                pass
        return await self._exchange(place, await self._connect(target), request)

    async def _exchange(self, place: tuple[str, bool], connection: Connection, request: bytes) -> int:
        status = await connection.exchange(request)
        kept = self._kept.setdefault(place, [])
        if connection.is_open and len(kept) < KEPT:
            kept.append((asyncio.get_running_loop().time() + IDLE_S, connection))
        else:
            connection.close()
        return status

    def _take(self, place: tuple[str, bool]) -> Connection | None:
        """A kept connection, the one that was used last."""
        kept = self._kept.get(place, [])
        now = asyncio.get_running_loop().time()
        while kept:
            until, connection = kept.pop()
            if connection.is_open and now < until:
                return connection
            connection.close()
        self._kept.pop(place, None)
        return None

    def sweep(self) -> None:
        """Close what was kept for too long."""
        now = asyncio.get_running_loop().time()
        for place, kept in list(self._kept.items()):
            for until, connection in kept:
                if until < now:
                    connection.close()
            kept[:] = [(until, connection) for until, connection in kept if connection.is_open]
            if not kept:
                del self._kept[place]

    async def close(self) -> None:
        """Close every connection that is kept."""
        for kept in self._kept.values():
            for _, connection in kept:
                connection.close()
        self._kept.clear()
        self._threads.shutdown(wait=False)
        await asyncio.sleep(0)

    async def _connect(self, target: Target) -> Connection:
        """A connection to an address that was looked at."""
        addresses = await self._addresses(target.host, target.port)
        if not target.is_declared:
            check_all(addresses)
            if any(is_own(address, target.port) for address in addresses):
                raise NotAllowed("the address is this machine")
        is_tls = target.scheme == "https"
        loop = asyncio.get_running_loop()
        failed = Failed("no connection")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_S):
                    _, connection = await loop.create_connection(
                        Connection,
                        address,
                        target.port,
                        ssl=self._tls if is_tls else None,
                        server_hostname=target.host if is_tls else None,
                    )
                return connection
            except TimeoutError:
                failed = Failed("no connection in time")
            except ssl.SSLError:
                raise Failed("the certificate, or TLS, is not as it should be") from None
            except OSError:
                failed = Failed("no connection")
        raise failed

    async def _addresses(self, host: str, port: int) -> list[str]:
        """One look-up for all who want the same name at the same time."""
        key = (host, port)
        task = self._looking.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(host, port))
            self._looking[key] = task
            task.add_done_callback(lambda _: self._looking.pop(key, None))
        try:
            async with asyncio.timeout(LOOK_UP_S):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Failed("the name was not found in time") from None
        except (OSError, UnicodeError):
            raise Failed("the name was not found") from None

    async def _look_up(self, host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, resolve, host, port)


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, once each. OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_own(address: str, port: int) -> bool:
    """Whether an address is this machine's: then it would be called from that same address. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port))
        except OSError:
            return False  # no way there: connecting will say so
        return bool(probe.getsockname()[0] == address)


def _request(target: Target, errand: Errand) -> bytes:
    """The bytes of a request. Failed for a header that would be more than one."""
    content = errand.body.encode()
    host = target.origin.partition("//")[2]
    default = ":443" if target.scheme == "https" else ":80"
    lines = [f"{errand.method} {target.path} HTTP/1.1", f"host: {host.removesuffix(default)}"]
    lines += ["user-agent: Kessai", "accept: */*", "accept-encoding: identity"]
    if errand.method != "GET":
        lines.append(f"content-length: {len(content)}")
    lines += [f"{name}: {value}" for name, value in errand.headers.items()]
    if not all(line.isprintable() and line.isascii() for line in lines):
        raise Failed("a header is not visible ASCII")
    return "\r\n".join((*lines, "", "")).encode() + content


# ---- the process


SWEEP_S: Final = 5.0


async def work(reader: asyncio.StreamReader, out: int) -> None:
    """Carry errands out until there are no more; what is under way then is given up."""
    courier = Courier()
    loop = asyncio.get_running_loop()
    reports: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    def flush() -> None:
        said = b"".join(reports)
        reports.clear()
        while said:
            said = said[os.write(out, said) :]

    async def carry(errand: Errand) -> None:
        report = await courier.carry(errand)
        if not reports:
            loop.call_soon(flush)
        reports.append(msgspec.json.encode(report) + b"\n")

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            courier.sweep()

    tasks.add(asyncio.create_task(sweep()))
    while line := await reader.readline():
        task = asyncio.create_task(carry(msgspec.json.decode(line, type=Errand)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(sys.stdin.fileno())))
    await work(reader, sys.stdout.fileno())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        uvloop.run(_main())
    os._exit(0)  # threads may still be looking names up
