"""What an attack must leave behind: nothing but its refusal and a line in the log. And how bytes reach the gateway."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kessai.app import SANDBOX
from kessai.storage.sqlite import connect
from tests import postgres
from tests.acceptance.client import BILL_TO, VISA, Reply, Service

FAILED = b'{"response":{"rmsg":"Authentication Failed"}}'
"""The one body of a 401."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What a gateway and its acquirers hold: rows by table, holds and movements by personality."""

    rows: Mapping[str, int]
    books: Mapping[str, tuple[Mapping[int, int], Mapping[int, int]]]


_OF_PROCESSES: Final = frozenset({"nodes", "leases"})
"""Tables that live while nothing is asked."""
_FOLLOWING: Final = frozenset({"search_rows", "search_terms", "search_marks"})
"""The index of the searches: it follows what was done before, a second later."""


def rows(service: Service, query: str) -> list[tuple[Any, ...]]:
    """What the gateway's database says to its own tools, on either engine."""
    if service.database:
        return asyncio.run(postgres.rows(service.database, query))
    with closing(connect(service.house.folder / "kessai.db")) as reader:
        return reader.execute(query).fetchall()


def tables(service: Service) -> list[str]:
    embedded = "SELECT name FROM sqlite_master WHERE type = 'table'"
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'" if service.database else embedded
    return sorted({str(name) for (name,) in rows(service, query)} - _OF_PROCESSES)


def estate(service: Service) -> Estate:
    service.until_quiet()
    counts = " UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM {name}" for name in tables(service) if name not in _FOLLOWING
    )
    books = {name: service.book(name) for name in SANDBOX.values()}
    return Estate(
        dict(rows(service, counts)),
        {name: (dict(book.held), dict(book.moved)) for name, book in books.items()},
    )


@contextmanager
def nothing_moves(service: Service, event: str | None) -> Iterator[None]:
    """What is done inside writes no row, moves no money, is told in the log by this event, and meets no bug of ours."""
    before, read = estate(service), len(service.logs.getvalue())
    yield
    after = estate(service)
    names = {name for name, _ in before.rows.items() ^ after.rows.items()}
    differing = {name: (before.rows.get(name), after.rows.get(name)) for name in names}
    assert after == before, differing
    said = [json.loads(line) for line in service.logs.getvalue()[read:].splitlines()]
    assert [line for line in said if line["level"] == "error"] == []
    if event is not None:
        assert event in [line["event"] for line in said]


def is_refused(reply: Reply, *statuses: int) -> None:
    """One of these statuses, and a body in which nobody's value stands."""
    assert reply.status in statuses, (reply.status, reply.body)
    text = reply.body.decode()
    assert VISA not in text
    assert not [value for value in BILL_TO.values() if len(value) > 3 and value in text]
    assert re.search(r"Traceback|kessai\.|SELECT |Error:|\.py", text) is None


def raw(service: Service, *parts: bytes, pause_s: float = 0.0, wait_s: float = 20.0) -> bytes:
    """Send parts over one connection; all that comes back until the gateway closes it."""
    with socket.create_connection(("127.0.0.1", service.port), wait_s) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        return _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    got = b""
    try:
        while piece := connection.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def statuses(answers: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def head(method: str, path: str, headers: Mapping[str, str] | list[tuple[str, str]], *more: str) -> bytes:
    """A request's head as it goes over the wire; values as latin-1."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs), *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")
