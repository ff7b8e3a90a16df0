"""The least that a merchant's client has to do: sign a request, send it over a connection, read one answer or none."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from kessai.dialects.cybersource.auth import SharedSecret, sign

LONGEST_S: Final = 30.0


class Cut(Exception):
    """The connection ended before a whole answer had been read."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_replay(self) -> bool:
        return self.headers.get("kessai-replayed") == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A request that moves money, and that may be sent again: its key is also its correlation id in every row."""

    key: str
    target: str
    body: bytes
    minor: int
    """What it asks for."""
    scenario: str = ""


class Line:
    """One connection to a gateway, opened when it is needed; one request at a time."""

    def __init__(self, port: int, merchant: str, key: SharedSecret) -> None:
        self._port = port
        self._merchant = merchant
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, target: str) -> Reply:
        return await self.ask("GET", target)

    async def post(self, post: Post) -> Reply:
        headers = {"idempotency-key": post.key, "v-c-correlation-id": post.key, "content-type": "application/json"}
        if post.scenario:
            headers["kessai-scenario"] = post.scenario
        return await self.ask("POST", post.target, post.body, headers)

    async def ask(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Send one signed request and read its answer. Cut."""
        signed = sign(
            method=method,
            target=target,
            host=f"127.0.0.1:{self._port}",
            body=body,
            merchant_id=self._merchant,
            key=self._key,
            date_text=format_datetime(datetime.now(UTC), usegmt=True),
        )
        sent = signed | {"content-length": str(len(body))} | dict(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        try:
            async with asyncio.timeout(LONGEST_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
                return await _answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Cut from error

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _answer(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"])))
