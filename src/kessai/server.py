"""The HTTP server: sockets, limits and an orderly end around an ASGI application. Shell.

uvicorn's protocol reads and writes HTTP/1.1; `Connection` adds the limits that it lacks, `serve` the sockets, signals
and shutdown. What is refused here never reaches the application. Knows no payment and no merchant.

    CannotServe
    ├── PortInUse          somebody listens there already
    ├── NotLoopback        plain http would be offered to a network
    └── AddressUnusable    the host is unknown here, or the port not permitted
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import re
import signal
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from kessai.tls import server_context

try:
    import uvloop as loops
except ImportError:  # a platform that uvloop does not know
    import asyncio as loops  # type: ignore[no-redef]

T = TypeVar("T")
Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
MAX_PIPELINED: Final = 64
"""Requests of one connection that may wait for an answer to an earlier one."""

_FRAMING_SHARE: Final = 8
"""A body in chunks of one byte is six times its length; extensions and trailers share the rest."""
_TOKEN: Final = re.compile(rb"(?:\r\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: |\Z)")  # RFC 9110, 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may take, in bytes and seconds; a limit itself is still allowed."""

    head_bytes: int = 16 * 1024
    """Request line and headers, the empty line included."""
    headers: int = 100
    body_bytes: int = 64 * 1024
    head_s: float = 10.0
    """From the first byte of a request (or the connection) to the empty line; also for the TLS handshake."""
    body_s: float = 30.0
    """From the empty line to the last byte of the body."""
    keep_alive_s: float = 60.0
    """How long a connection may be idle between two requests."""
    linger_s: float = 2.0
    """How long a refused peer may go on sending before the connection is cut, so that it can read why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where and how to serve: TLS with `certificate` and `key` (PEM files), plain http without."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 lets the system choose."""
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    """Somebody else terminates TLS: plain http may be offered beyond loopback."""
    is_shared: bool = False
    """Other processes of this user listen on the same port, and the system shares connections out."""
    limits: Limits = field(default_factory=Limits)
    grace_s: float = 35.0
    """How long running requests may take after the order to stop: the acquirer's 30 seconds and 5 more."""

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("a certificate and its key are given together")
        if not 0 <= self.port <= 65_535:
            raise ValueError("a port is 0 to 65535")


class CannotServe(Exception):
    """The server cannot start; the text is one sentence for the operator."""


class PortInUse(CannotServe):
    pass


class NotLoopback(CannotServe):
    pass


class AddressUnusable(CannotServe):
    pass


class Refusal(Enum):
    """Why a request goes no further than here: status, error type, message. The connection closes after each."""

    METHOD = (405, "methodNotAllowed", "The method is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT.")
    MALFORMED = (400, "invalidRequest", "The request is not valid HTTP/1.1.")
    TARGET = (400, "invalidRequest", "The request target must be a path that begins with a slash.")
    HEAD_TOO_LARGE = (431, "requestHeaderFieldsTooLarge", "The request line and headers are too long or too many.")
    HOST = (400, "invalidRequest", "Exactly one Host header is expected.")
    TRANSFER_ENCODING = (400, "invalidRequest", "The only transfer encoding accepted is chunked.")
    BODY_TOO_LARGE = (413, "contentTooLarge", "The request body is too long.")
    PIPELINE_FULL = (503, "serviceUnavailable", "Too many requests of this connection wait for their answers.")
    HEAD_SLOW = (408, "requestTimeout", "The request line and headers did not arrive in time.")
    BODY_SLOW = (408, "requestTimeout", "The request body did not arrive in time.")
    STOPPING = (503, "serviceUnavailable", "The server is shutting down.")

    def answer(self) -> bytes:
        """The whole response, with a correlation id of its own."""
        status, kind, message = self.value
        body = f'{{"errors":[{{"type":"{kind}","message":"{message}"}}]}}'
        head = (
            "content-type: application/hal+json;charset=utf-8\r\n"
            f"content-length: {len(body)}\r\n"
            f"v-c-correlation-id: {uuid.uuid4()}\r\n"
            "x-content-type-options: nosniff\r\n"
            f"{_HEADERS.get(status, '')}"
            "connection: close\r\n\r\n"
        )
        return STATUS_LINE[status] + head.encode() + body.encode()


_HEADERS: Final = {  # what RFC 9110 (15.5.6, 15.6.4) wants beside the status
    405: f"allow: {', '.join(sorted(method.decode() for method in METHODS))}\r\n",
    503: "retry-after: 1\r\n",
}


class Connection(HttpToolsProtocol):
    """One connection of a client, with the limits of `Limits`.

    A request is refused before the application hears of it, or, where its body is at fault, by taking it away: the
    application reads a disconnect. Answers keep the order of their requests.
    """

    def __init__(self, config: Config, state: ServerState, limits: Limits, stop: asyncio.Event) -> None:
        super().__init__(config, state, {})
        self.url = b""
        self._limits = limits
        self._stop = stop
        self._in_head = True  # of the request that arrives; else in its body
        self._read_bytes = 0  # last read, whatever was in it
        self._received_bytes = 0  # of the request that arrives, whole reads only
        self._body_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # or the one that ran last
        self._refusal: Refusal | None = None  # what still arrives is dropped

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()
        if self._stop.is_set():  # its TLS handshake ended too late
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._running is not None:  # uvicorn tells the latest request only
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._read_bytes = len(data)
        self._received_bytes += self._read_bytes
        self._feed(data)
        if self._refusal is not None or self._is_idle():
            return
        if self._in_head and self._received_bytes > self._limits.head_bytes:
            self._refuse(Refusal.HEAD_TOO_LARGE)
        elif self._received_bytes > self._limits.head_bytes + _FRAMING_SHARE * self._limits.body_bytes:
            self._refuse(Refusal.BODY_TOO_LARGE)
        elif self._timer is None:  # so a request that arrives whole costs none
            self._start_timer()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                continue
            except httptools.HttpParserInvalidMethodError:
                is_verb = self._received_bytes and _TOKEN.match(data)  # else it began somewhere in the middle
                self._refuse(Refusal.METHOD if is_verb else Refusal.MALFORMED)
            except httptools.HttpParserError as error:
                reason = error.__context__
                self._refuse(reason.args[0] if isinstance(reason, _Refused) else Refusal.MALFORMED)
            return

    def _without_upgrade(self) -> bytes:
        """The head just read, without the Upgrade header, which a server may ignore (RFC 9110, 7.8).

        The parser takes what follows an upgrade for another protocol, so the request is fed again.
        """
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([line, *headers, b"", b""])

    def on_headers_complete(self) -> None:
        refusal = self._refusal_of_head()
        if refusal is not None:
            raise _Refused(refusal)
        if self.parser.should_upgrade():
            return
        self._stop_timer()
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        self._in_head = False
        self._body_bytes = 0
        self.headers = []  # the application has the list; trailers end in this one, unread

    def _refusal_of_head(self) -> Refusal | None:
        method = self.parser.get_method()
        if method not in METHODS:
            return Refusal.METHOD
        if self.parser.get_http_version() not in {"1.1", "1.0"}:
            return Refusal.MALFORMED
        if not self.url.startswith(b"/") or b"#" in self.url:
            return Refusal.TARGET
        most = self._limits.head_bytes
        is_long = (self._received_bytes > most or self._read_bytes > most) and self._head_bytes(method) > most
        if is_long or len(self.headers) > self._limits.headers:
            return Refusal.HEAD_TOO_LARGE
        hosts = length = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                return Refusal.TRANSFER_ENCODING
        if hosts != 1:
            return Refusal.HOST
        if length > self._limits.body_bytes:
            return Refusal.BODY_TOO_LARGE
        if len(self.pipeline) >= MAX_PIPELINED:
            return Refusal.PIPELINE_FULL
        return None

    def _head_bytes(self, method: bytes) -> int:
        """Length of the head as it is usually written: `GET / HTTP/1.1`, `name: value`, the empty line."""
        return len(method) + len(self.url) + 12 + sum(len(name) + len(value) + 4 for name, value in self.headers) + 2

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            raise _Refused(Refusal.BODY_TOO_LARGE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._in_head:  # an upgrade, about to be fed again
            return
        self._stop_timer()
        self._in_head = True
        self._received_bytes = 0
        self.url = b""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._refusal is not None and not self.pipeline and not self.transport.is_closing():
            self._hang_up(self._refusal.answer())
        else:
            if self.pipeline:
                self._running = self.pipeline[-1][0]
            super().on_response_complete()

    def shutdown(self) -> None:
        """Finish what runs, say 503 to a request that has begun to arrive, close. May be called again and again."""
        if self._is_busy():
            super().shutdown()
        elif self._is_idle():
            self.transport.close()
        elif self._refusal is None:
            self._refuse(Refusal.STOPPING)

    def _is_idle(self) -> bool:
        return self._in_head and not self._received_bytes and not self.url

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Take no more from the peer, and say why as soon as earlier requests are answered."""
        logging.getLogger(__name__).info("a request was refused: %s", refusal.name)
        self._refusal = refusal
        self._stop_timer()
        if self._in_head:
            if not self._is_busy():
                self._hang_up(refusal.answer())
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()  # it waits behind others and has not begun
        elif self.cycle.response_complete:
            self._hang_up()  # answered without its body being read
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._hang_up(refusal.answer())

    def _hang_up(self, last: bytes = b"") -> None:
        """Close, but not at once: closing on unread bytes resets the connection, and the answer would be lost."""
        self.transport.write(last)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(self._limits.linger_s, self.transport.close)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._limits.head_s if self._in_head else self._limits.body_s, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self.flow.read_paused:  # it was us who did not listen
            self._start_timer()
        elif self._is_idle():
            self.transport.close()
        else:
            self._refuse(Refusal.HEAD_SLOW if self._in_head else Refusal.BODY_SLOW)


class _Refused(Exception):
    """Stops the parser from within its callbacks; its argument is the Refusal."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new event loop: uvloop's where there is one."""
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        return runner.run(main)


async def serve(
    app: Application,
    settings: Settings,
    started: Callable[[int], None] | None = None,
    stop: asyncio.Event | None = None,
    *,
    sockets: Sequence[socket.socket] | None = None,
    beside: tuple[Application, Sequence[socket.socket]] | None = None,
) -> None:
    """Serve an application until SIGINT, SIGTERM or `stop`, then finish what runs and return.

    Sockets: `listen(settings)` unless they are given; `serve` closes them. `beside` is another application with sockets
    of its own, in plain http. `started` is called once with the port when requests are taken. After the return nothing
    runs here, so that a database can be closed; what took longer than `grace_s` was cancelled. A second signal does
    what it would do without us. Raises CannotServe, tls.CertificateUnusable.
    """
    listeners = listen(settings) if sockets is None else tuple(sockets)
    stop = stop or asyncio.Event()
    state = ServerState()
    with contextlib.ExitStack() as stack:
        for listener in (*listeners, *(beside[1] if beside else ())):
            stack.callback(listener.close)
        port: int = listeners[0].getsockname()[1]
        servers = await _accept(app, settings, state, stop, listeners)
        if beside is not None:
            servers += await _accept(beside[0], Settings(limits=settings.limits), state, stop, beside[1])
        stack.enter_context(_signals(stop))
        try:
            if started is not None:
                started(port)
            await stop.wait()
        finally:
            stop.set()
            for server in servers:
                server.close()
            await _drain(state, settings.grace_s)


def listen(settings: Settings) -> tuple[socket.socket, ...]:
    """Sockets that listen on every address of the host, all on one port. Raises the subclasses of CannotServe."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise AddressUnusable(f"The host {host!r} is not known here.") from None
    addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    is_plain = settings.certificate is None and not settings.behind_proxy
    if is_plain and not all(ipaddress.ip_address(ip.partition("%")[0]).is_loopback for _, ip in addresses):
        raise NotLoopback(f"Plain http is for loopback only, and {host!r} is not: use TLS, or serve behind a proxy.")
    sockets: list[socket.socket] = []
    for family, ip in addresses:
        try:
            made = socket.create_server((ip, port), family=family, backlog=2048, reuse_port=settings.is_shared)
        except OSError as error:
            if sockets and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                continue  # a name with an address of a family that this machine does not have
            for opened in sockets:
                opened.close()
            kind, what = _BIND_ERRORS.get(error.errno, (AddressUnusable, "cannot be used on this machine"))
            raise kind(f"Port {port} of {host!r} {what}.") from error
        sockets.append(made)
        port = sockets[0].getsockname()[1]
    return tuple(sockets)


_BIND_ERRORS: Final[dict[int | None, tuple[type[CannotServe], str]]] = {
    errno.EADDRINUSE: (PortInUse, "is in use by another program"),
    errno.EACCES: (AddressUnusable, "needs more rights than this process has"),
}


async def _accept(
    app: Application, settings: Settings, state: ServerState, stop: asyncio.Event, listeners: Sequence[socket.socket]
) -> list[asyncio.Server]:
    limits = settings.limits
    config = Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.timeout_keep_alive = limits.keep_alive_s  # type: ignore[assignment]  # given to call_later, which takes both
    config.load()
    tls: dict[str, Any] = {}
    if settings.certificate is not None and settings.key is not None:
        context = server_context(settings.certificate, settings.key)
        tls = {"ssl": context, "ssl_handshake_timeout": limits.head_s, "ssl_shutdown_timeout": limits.linger_s}
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(lambda: Connection(config, state, limits, stop), sock=listener, backlog=2048, **tls)
        for listener in listeners
    ]


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop` and gives both back to who had them. Only the main thread hears any."""
    loop = asyncio.get_running_loop()
    is_main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if is_main}

    def restore() -> None:
        for number, handler in previous.items():
            if loop.remove_signal_handler(number):
                signal.signal(number, handler)

    def heard() -> None:
        stop.set()
        restore()

    for number in previous:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        restore()


async def _drain(state: ServerState, grace_s: float) -> None:
    """Let running requests end, cancel those that do not, and leave no connection open."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    while (state.tasks or state.connections) and loop.time() < deadline:
        for connection in list(state.connections):  # each time: some were still being accepted
            connection.shutdown()
        await asyncio.sleep(0.02)
    if state.tasks:
        for task in state.tasks:
            task.cancel()
        await asyncio.wait(state.tasks, timeout=1)
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)
