"""Merchants' servers: real sockets that remember what came, and answer as well or as badly as a test wants."""

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FAILED: Final = b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request as it came. Header names are in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def event(self) -> str:
        return self.headers["v-c-event-type"]

    @property
    def trace(self) -> str:
        return self.headers["v-c-transaction-trace-id"]

    def is_signed_by(self, key_id: str, secret: str) -> bool:
        """As a merchant's handler finds out: over the payload member, serialised again."""
        parts = dict(part.strip().partition("=")[::2] for part in self.headers["v-c-signature"].split(";"))
        payload = json.dumps(self.json["payload"], separators=(",", ":"), ensure_ascii=False)
        mac = hmac.digest(base64.b64decode(secret), f"{parts['t']}.{payload}".encode(), "sha256")
        is_fresh = abs(time.time() * 1000 - int(parts["t"])) < 300_000
        return is_fresh and parts["keyId"] == key_id and base64.b64encode(mac).decode() == parts["sig"]


Answer = Callable[[Request], bytes | Iterable[bytes]]
"""What is said to a request; pieces are sent one by one until the other end has gone."""


@dataclass
class Receiver:
    """A server on a port of this machine."""

    answer: Answer = lambda _request: OK
    seen: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    delay_s: float = 0.0
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def notifications(self) -> list[Request]:
        return [request for request in list(self.seen) if "v-c-event-type" in request.headers]

    def start(self) -> None:
        """Listen; on the same port as before, where there was one."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Go away, with every connection."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for each in list(self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def until(self, holds: Callable[[list[Request]], bool], seconds: float = 15.0) -> list[Request]:
        """Wait for notifications that a test expects."""
        deadline = time.monotonic() + seconds
        while not holds(found := self.notifications()):
            assert time.monotonic() < deadline, [(each.event, each.headers["v-c-retry-count"]) for each in found]
            time.sleep(0.01)
        return found

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                stream = peer.makefile("rb")
                while request := _read(stream):
                    self._answer(peer, request)
            except OSError:
                pass
            finally:
                self._open.discard(peer)

    def _answer(self, peer: socket.socket, request: Request) -> None:
        with self._lock:
            self.seen.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.delay_s:
                time.sleep(self.delay_s)
            said = self.answer(request)
        finally:
            with self._lock:
                self._at_once -= 1
        for piece in [said] if isinstance(said, bytes) else said:
            peer.sendall(piece)


def _read(stream: Any) -> Request | None:
    line = stream.readline()
    if not line:
        return None
    headers: dict[str, str] = {}
    while (header := stream.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(line.decode("latin-1").strip(), headers, body, time.monotonic())


@contextmanager
def receiving(answer: Answer = lambda _request: OK) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
