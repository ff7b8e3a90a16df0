"""A merchant's server that is fast: it answers 200 to whatever comes. `python -m bench.receiver` prints its port."""

import asyncio
from typing import Final, cast

import uvloop

_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Knows requests by their headers' end and their `content-length`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            _, _, behind = self._read[:end].lower().partition(b"content-length:")
            whole = end + 4 + int(behind.partition(b"\r\n")[0] or 0)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._transport.write(_OK)


async def _main() -> None:
    listening = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())
