"""A line between a client and a gateway that is cut where it hurts: a fate is drawn for every connection."""

import asyncio
import random
from collections import Counter
from enum import StrEnum
from typing import Final

_PIECE: Final = 65_536


class Fate(StrEnum):
    WELL = "well"
    REFUSED = "cut before anything was sent"
    MID_REQUEST = "cut in the middle of the request"
    UNANSWERED = "cut before the answer"
    MID_ANSWER = "cut in the middle of the answer"


class Proxy:
    """Listens on a port of its own; what it lets through goes to `port`. One request a connection meets one fate."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.listens_on = 0
        self.met: Counter[Fate] = Counter()
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.listens_on = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await asyncio.sleep(0)

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(client, to_client))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        fate = self._random.choices(list(Fate), (5, 1, 2, 3, 2))[0]
        self.met[fate] += 1
        to_gateway: asyncio.StreamWriter | None = None
        try:
            if fate is not Fate.REFUSED:
                gateway, to_gateway = await asyncio.open_connection("127.0.0.1", self.port)
                await self._exchange(fate, client, to_client, gateway, to_gateway)
        except OSError:
            return
        finally:
            to_client.transport.abort()
            if to_gateway is not None:
                to_gateway.transport.abort()

    async def _exchange(
        self,
        fate: Fate,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        gateway: asyncio.StreamReader,
        to_gateway: asyncio.StreamWriter,
    ) -> None:
        request = await client.read(_PIECE)
        if fate is Fate.MID_REQUEST:
            to_gateway.write(request[: self._random.randrange(len(request))] if request else b"")
            await asyncio.sleep(0.002)
            return
        to_gateway.write(request)
        if fate is Fate.UNANSWERED and self._random.random() < 0.5:
            await asyncio.sleep(self._random.random() / 50)
            return
        answer = await gateway.read(_PIECE)
        if fate is Fate.UNANSWERED:
            return
        if fate is Fate.MID_ANSWER:
            to_client.write(answer[: self._random.randrange(len(answer))] if answer else b"")
            return
        while answer:  # until the gateway has said all, or the client has heard enough
            to_client.write(answer)
            more, gone = asyncio.ensure_future(gateway.read(_PIECE)), asyncio.ensure_future(client.read(1))
            await asyncio.wait((more, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                more.cancel()
                return
            gone.cancel()
            answer = more.result()
