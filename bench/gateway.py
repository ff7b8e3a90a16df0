"""What is measured: a gateway as an operator would start it, on one of the engines, and the no-op beside it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, Protocol

from bench import processes
from bench.load import MERCHANT, Signer, Stored, Token
from bench.processes import Failed
from kessai import ids
from kessai.dialects.cybersource.auth import SharedSecret

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1
Engine = Literal["sqlite", "postgresql"]


class Rows(Protocol):
    """The database of a gateway, looked at from beside it."""

    pids: tuple[int, ...]
    """Processes of the engine's own, whose CPU counts."""
    random_key: str
    """An expression for 16 random bytes."""

    def select(self, sql: str) -> list[tuple[int, ...]]: ...

    def texts(self, sql: str) -> list[str]:
        """Rows of one text."""
        ...

    def execute(self, sql: str) -> None:
        """Statements parted by semicolons, in one commit."""
        ...

    def checkpoint(self) -> int:
        """Write everything to its place and tidy up; the bytes that the data take,
        beyond those of an empty server database.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One that serves."""

    address: str
    """Host and port."""
    pid: int
    """The process that answers, or the parent of those that do."""
    engine: tuple[int, ...] = ()
    """Processes of the database."""
    key: SharedSecret | None = None
    core: int | None = None
    """Where it is pinned to, the client elsewhere; None: nothing is pinned."""


@contextmanager
def serving(
    folder: Path, rows: Rows, *, database: str | None, workers: int, core: int | None, log: Path
) -> Iterator[Gateway]:
    """A gateway on a data folder, until the end of the block."""
    command = [sys.executable, "-m", "kessai", "serve", "--data", str(folder), "--port", "0", "--json", "--quiet"]
    if database is not None:
        command += ["--database", database]
    if workers > 1:
        command += ["--workers", str(workers)]
    process = processes.start(command, log, core)
    try:
        ready = json.loads(processes.first_line(process, log))
        known = next((each for each in ready["merchants"] if each["id"] == MERCHANT), None)
        if known is None:
            _fail(f"the gateway tells no secret of {MERCHANT}")
        yield Gateway(
            address=ready["url"].removeprefix("http://"),
            pid=process.pid,
            engine=rows.pids,
            key=SharedSecret.of(known["key_id"], known["shared_secret"], MERCHANT),
            core=core,
        )
        if process.poll() is not None:
            _fail(f"the gateway ended by itself, with status {process.returncode}: see {log}")
    finally:
        processes.stop(process)


@contextmanager
def idling(core: int | None, log: Path) -> Iterator[Gateway]:
    """The no-op."""
    process: subprocess.Popen[str] = processes.start([sys.executable, "-m", "bench.noop"], log, core)
    try:
        port = int(processes.first_line(process, log))
        yield Gateway(address=f"127.0.0.1:{port}", pid=process.pid, core=core)
    finally:
        processes.stop(process)


def store_cards(gateway: Gateway, signer: Signer, many: int) -> list[Token]:
    """Cards that were stored by payments, each with a customer of its own."""
    host, _, port = gateway.address.rpartition(":")
    cards = []
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rb") as answers:
        for number in range(many):
            connection.sendall(signer.storing(completed(f"411111{number:09d}")))
            status, length = answers.readline(), 0
            while (line := answers.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = json.loads(answers.read(length))
            if b" 201 " not in status or "tokenInformation" not in body:
                raise Failed(f"a card was not stored: {body}")
            made = {name: token["id"] for name, token in body["tokenInformation"].items() if isinstance(token, dict)}
            cards.append(Token(made["customer"], made["paymentInstrument"], made["instrumentIdentifier"]))
    return cards


def completed(digits: str) -> str:
    """Digits with the one that makes a card number of them (ISO/IEC 7812-1, annex B)."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def authorized(rows: Rows, after: int) -> int:
    """How many authorizations with a greater id are stored as approved."""
    return rows.select(f"SELECT count(*) FROM transactions {_approved('authorize', after)}")[0][0]


def captured(rows: Rows, after: int) -> int:
    """The same, of captures."""
    return rows.select(f"SELECT count(*) FROM transactions {_approved('capture', after)}")[0][0]


def payments(rows: Rows, after: int, most: int, one_in: int = 1) -> tuple[list[Stored], int]:
    """The oldest payments with a greater id, and the id of the last of them (`after`, where there is none).

    `one_in` spreads them: of so many payments that follow each other, one.
    """
    which = f"{_approved('authorize', after)} AND (id >> 8) % {one_in} = 0"  # an id's counter begins at this bit
    found = rows.select(f"SELECT id, approved FROM transactions {which} ORDER BY id LIMIT {most}")
    return [Stored(ids.show(row[0]), row[1]) for row in found], found[-1][0] if found else after


def references(rows: Rows, most: int) -> list[str]:
    """References of payments that are indexed, spread over all of them."""
    where = f"FROM search_rows WHERE merchant_id = '{MERCHANT}' AND reference IS NOT NULL"
    one_in = max(1, rows.select(f"SELECT count(*) {where}")[0][0] // most)
    return rows.texts(f"SELECT reference {where} AND (id >> 8) % {one_in} = 0 LIMIT {most}")


def is_indexed(rows: Rows) -> bool:
    """Whether every transaction was looked at by the index."""
    marks = rows.select(f"SELECT coalesce(max(indexed), 0) FROM search_marks WHERE merchant_id = '{MERCHANT}'")
    return marks[0][0] >= newest(rows)


def newest(rows: Rows) -> int:
    return rows.select(f"SELECT coalesce(max(id), 0) FROM transactions WHERE merchant_id = '{MERCHANT}'")[0][0]


def _approved(operation: str, after: int) -> str:
    return f"WHERE merchant_id = '{MERCHANT}' AND id > {after} AND operation = '{operation}' AND status = 'approved'"


def _fail(text: str) -> NoReturn:
    raise Failed(text)
