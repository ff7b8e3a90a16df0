"""A line between a gateway and an acquirer that can be made to fail: frames get through, or suffer a fault."""

import asyncio
import json
import random
import socket
from contextlib import suppress
from typing import Any

from kessai.acquirers.simulator import wire

Message = dict[str, Any]


def lasting_port() -> int:
    """A free port that nobody is given for a connection of his own while its listener is away: below those."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


class Fault:
    """What happens to messages; this one does nothing to them. `hits` counts those that it would do something to.

    Where a fault does several things in turns, `phase` says with which it begins.
    """

    def __init__(self, operations: frozenset[str] = frozenset()) -> None:
        self.operations = operations
        self.hits = 0
        self.phase = 0
        self.healed = asyncio.Event()

    def aims_at(self, message: Message) -> bool:
        return message.get("operation") in self.operations

    async def request(self, line: "Line", message: Message) -> None:
        """A message of the gateway; `answer` is asked about its answer if it is passed on."""
        line.to_acquirer(message)

    async def answer(self, line: "Line", message: Message, request: Message) -> None:
        line.to_gateway(message)


class Line(asyncio.Protocol):
    """One connection of the gateway, and the one to the acquirer behind it."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._frames = wire.Frames()
        self._gateway: asyncio.Transport | None = None
        self._acquirer: asyncio.StreamWriter | None = None
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._asked: dict[tuple[str, int], Message] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._gateway = transport
        self._proxy.connected += 1
        self._proxy.lines.add(self)
        self._tasks.append(asyncio.create_task(self._carry()))

    def connection_lost(self, _error: Exception | None) -> None:
        self.hang_up()

    def data_received(self, data: bytes) -> None:
        for text in self._frames.feed(data):
            self._queue.put_nowait(text)

    async def _carry(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, self._acquirer = await asyncio.open_connection("127.0.0.1", self._proxy.acquirer_port)
            self._tasks.append(asyncio.create_task(self._bring_back(reader)))
            while True:
                message = json.loads(await self._queue.get())
                self._asked[message["stan"], message.get("transaction", 0)] = message
                fault = self._proxy.fault
                fault.hits += fault.aims_at(message)
                await (fault if fault.aims_at(message) else HEALTHY).request(self, message)
        self.hang_up()

    async def _bring_back(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                message = json.loads(await reader.readexactly(length))
                request = self._asked.get((message["stan"], message.get("transaction", 0)), {})
                fault = self._proxy.fault
                await (fault if fault.aims_at(request) else HEALTHY).answer(self, message, request)
        self.hang_up()

    def to_acquirer(self, message: Message) -> None:
        if self._acquirer is not None and not self._acquirer.is_closing():
            self._acquirer.write(framed(json.dumps(message).encode()))

    def to_gateway(self, message: Message) -> None:
        self.raw(framed(json.dumps(message).encode()))

    def raw(self, data: bytes) -> None:
        if self._gateway is not None and not self._gateway.is_closing():
            self._gateway.write(data)

    def hang_up(self, *, gently: bool = False) -> None:
        """End both connections; gently: what was written to the gateway still gets there."""
        self._proxy.lines.discard(self)
        if self._gateway is not None:
            if gently:
                self._gateway.close()
            else:
                self._gateway.abort()
        if self._acquirer is not None:
            self._acquirer.close()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


class Healthy(Fault):
    """A fault that is none."""

    def __init__(self) -> None:
        self.operations, self.hits, self.phase = frozenset(), 0, 0


HEALTHY = Healthy()


class Proxy:
    """Listens where the gateway believes its acquirer to be."""

    def __init__(self, acquirer_port: int) -> None:
        self.acquirer_port = acquirer_port
        self.port = 0
        self.fault: Fault = HEALTHY
        self.lines: set[Line] = set()
        self.connected = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, at first on a port that is free and then always on the same."""
        while self.port == 0:
            self.port = lasting_port()
            try:
                await self._listen()
            except OSError:  # somebody else was faster
                self.port = 0
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: Line(self), "127.0.0.1", self.port)

    def cut(self) -> None:
        for line in tuple(self.lines):
            line.hang_up()

    def stop(self) -> None:
        """Refuse connections, and cut those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def heal(self) -> None:
        """From now on, everything gets through."""
        fault, self.fault = self.fault, HEALTHY
        if fault is not HEALTHY:
            fault.healed.set()
        if self._server is None:
            await self.start()
