"""The bench measures what it says: distinct signed requests that a gateway accepts, and a table of what came out."""

import dataclasses
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from bench import book, fill, gateway, load, report, run
from bench.embedded import Embedded
from bench.gateway import Gateway
from bench.load import Signer
from bench.measure import Figures
from bench.plan import AUTHORIZE, NOOP, Found
from bench.report import Remark, Row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Gateway]:
    rows = Embedded(folder / "data")
    with gateway.serving(folder / "data", rows, database=None, workers=1, core=None, log=folder / "log") as there:
        yield there


def signer(served: Gateway, name: str) -> Signer:
    assert served.key is not None
    return Signer(served.address, served.key, run=name)


def answers(served: Gateway, requests: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of each, sent byte for byte."""
    host, _, port = served.address.rpartition(":")
    found = []
    for request in requests:
        with socket.create_connection((host, int(port)), 10) as connection, connection.makefile("rb") as stream:
            connection.sendall(request)
            status = int(stream.readline().split()[1])
            length = 0
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            found.append((status, json.loads(stream.read(length))))
    return found


def test_every_authorization_is_accepted_and_no_two_are_alike(served: Gateway) -> None:
    requests = list(islice(signer(served, "one").authorizations(), 8))
    found = answers(served, requests)
    assert [(status, body["status"]) for status, body in found] == [(201, "AUTHORIZED")] * 8
    assert len({body["id"] for _, body in found}) == 8
    assert len({body["orderInformation"]["amountDetails"]["authorizedAmount"] for _, body in found}) == 8
    for name in (b"signature", b"digest", b"idempotency-key"):
        lines = [line for request in requests for line in request.split(b"\r\n") if line.startswith(name + b":")]
        assert len(set(lines)) == 8, name


def test_captures_and_lookups_are_of_stored_payments(served: Gateway, folder: Path) -> None:
    rows = Embedded(folder / "data")
    before = gateway.newest(rows)
    answers(served, list(islice(signer(served, "two").authorizations(), 3)))
    assert gateway.authorized(rows, before) == 3
    payments, last = gateway.payments(rows, before, 2)
    found = answers(served, list(signer(served, "three").captures(payments)))
    assert [(status, body["status"]) for status, body in found] == [(201, "AUTHORIZED"), (201, "PENDING")] * 2
    assert gateway.captured(rows, before) == 2
    assert len(gateway.payments(rows, last, 9)[0]) == 3, "one that was not captured, two made beside the captures"
    lookups = list(islice(signer(served, "four").lookups(payments), 4))
    assert len(set(lookups)) == 4
    assert [body["id"] for _, body in answers(served, lookups)] == [payment.id for payment in payments] * 2


def test_a_file_of_requests_is_read_as_it_was_written(tmp_path: Path) -> None:
    requests = [b"", b"a", b"b" * 70_000]
    assert load.write(tmp_path / "file", requests) == 3
    assert load.read(tmp_path / "file") == requests


def test_copied_payments_balance(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = Embedded(data)
    with gateway.serving(data, rows, database=None, workers=1, core=None, log=tmp_path / "log") as there:
        answers(there, list(islice(signer(there, "five").authorizations(), 2)))
        payments, _ = gateway.payments(rows, 0, 1)
        answers(there, list(signer(there, "six").captures(payments)))
    assert fill.fill(rows, 20) == 21, "three payments, six copies of each"
    assert gateway.authorized(rows, 0) == 21
    assert gateway.captured(rows, 0) == 7
    assert rows.select("SELECT count(*), count(DISTINCT key) FROM claims")[0] == (28, 28)
    checked = subprocess.run(
        [sys.executable, "-m", "kessai", "ledger", "check", "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("table", fill.TABLES)
def test_the_columns_that_a_copy_changes_exist(table: str) -> None:
    assert fill.TABLES[table][0].keys() <= set(fill.columns(table))


def figures(per_second: float, cpu_us: float = 30.0) -> Figures:
    return Figures(
        requests=1_000,
        per_second=per_second,
        p50_ms=1.25,
        p99_ms=9.5,
        max_ms=12.0,
        cpu_us=cpu_us,
        rss_before=80 * report.MEBIBYTE,
        rss_after=81 * report.MEBIBYTE,
        others=0.02,
    )


def row(engine: str, what: str, per_second: float, stored: int = 0, unit: int = 1) -> Row:
    return Row(engine=engine, what=what, connections=64, stored=stored, figures=figures(per_second), unit=unit)


def test_the_table_renders() -> None:
    lines = report.table([row("no-op", NOOP, 30_000), row("sqlite", "(c) pairs", 6_000, unit=2)]).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(report.COLUMNS)
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells == ["sqlite", "(c) pairs", "64", "3 000", "1.25", "9.50", "12.0", "60", "80 → 81", "0", "2%"]


@pytest.mark.parametrize(("full", "is_kept"), [(4_500.0, True), (4_400.0, False)])
def test_a_broken_promise_is_told(full: float, is_kept: bool) -> None:
    """The bar of the embedded database: at least 0.15 of the no-op."""
    found = Found(rows=[row("no-op", NOOP, 30_000), row("sqlite", AUTHORIZE, full), row("sqlite", AUTHORIZE, 4_400, 9)])
    ratio = next(remark for remark in run.conclusions(found) if remark.name.startswith("(b) to (a)"))
    assert ratio.is_kept is is_kept
    assert ("NOT KEPT" in report.remarks([ratio])) is not is_kept


@pytest.mark.parametrize(("left_behind", "is_kept"), [(0, True), (200, False)])
def test_memory_that_grows_with_every_request_is_told(left_behind: int, is_kept: bool) -> None:
    """What the acquirer's book takes, and a mebibyte up or down, is no leak; one object a request is."""
    count, booked = 50_000, 5_000
    grown = book.grows_by(booked, count) + report.MEBIBYTE // 2 + left_behind * count
    before = 80 * report.MEBIBYTE
    seen = dataclasses.replace(figures(4_000), requests=count, rss_before=before, rss_after=before + grown)
    rows = [
        Row(engine=engine, what=AUTHORIZE, connections=connections, stored=0, booked=booked, figures=seen)
        for engine in ("sqlite", "postgresql, 2 workers")
        for connections in (16, 64)
    ]
    remarks = [each for each in run.conclusions(Found(rows=rows)) if "beyond the book" in each.name]
    assert len(remarks) == 2
    assert [each.name for each in remarks if not each.is_kept] == (
        [] if is_kept else ["bytes a request that memory grew by beyond the book, sqlite, 64 connections"]
    )


def test_the_book_remembers_each_exchange_by_some_hundred_bytes() -> None:
    assert 100 < book.grows_by(1_000, 20_000) / 20_000 < 1_000


def test_a_remark_without_a_promise_is_kept() -> None:
    assert Remark("cores", 5.0).is_kept
    assert report.remarks([Remark("cores", 5.0)]) == "cores: 5"
