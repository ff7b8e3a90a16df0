"""The bench: `python -m bench.run` measures the gateway on this machine and prints one table.

Starts everything it measures, in a folder of its own that it removes, with the settings that an operator would have.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import book, report, webhooks
from bench.cluster import Cluster, Database
from bench.embedded import Embedded
from bench.plan import AUTHORIZE, KINDS, NOOP, SEARCH, Found, Run, Setup, Wish
from bench.processes import Failed
from bench.report import Remark, Row

RESULTS: Final = Path(__file__).with_name("results")
PLACE: Final = Path("/var/tmp")  # noqa: S108 # a disk, where /tmp may be memory
_WORKERS: Final = (1, 2)
_PROGRAMS: Final = ("wrk", "taskset")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    work = Path(tempfile.mkdtemp(prefix="kessai-bench-", dir=PLACE))
    work.chmod(0o755)  # the database server runs under another account
    found = Found()
    try:
        for program in _PROGRAMS:
            if shutil.which(program) is None:
                raise Failed(f"the program {program} is needed and not installed")
        machine = report.machine(work)
        for name, text in machine.items():
            print(f"{name}: {text}")
        print(flush=True)
        _measure(given, work, found)
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    found.remarks += conclusions(found)
    print(report.table(found.rows))
    print()
    print(report.remarks(found.remarks), flush=True)
    print(f"\nkept in {_keep(machine, found)}")
    return 0 if all(remark.is_kept for remark in found.remarks) else 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the gateway on this machine.")
    parser.add_argument("--engine", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16, 64], metavar="N")
    parser.add_argument("--seconds", type=int, default=5, help="how long each measurement takes")
    parser.add_argument("--rows", type=int, default=0, help="then beside so many stored payments")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), help="(a) comes with (b)")
    parser.add_argument("--workers", nargs="+", type=int, default=list(_WORKERS), help="on PostgreSQL")
    parser.add_argument("--no-keys", action="store_true", help="send no Idempotency-Key")
    return parser.parse_args(arguments)


def _measure(given: argparse.Namespace, work: Path, found: Found) -> None:
    wish = Wish(
        kinds="".join(sorted({*given.only, "a", "b"})),
        connections=given.connections,
        seconds=given.seconds,
        rows=given.rows,
        keyed=not given.no_keys,
        work=work,
        told=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if "sqlite" in given.engine:
        folder = work / "sqlite"
        is_pinned = (os.cpu_count() or 1) > 1
        setup = Setup(engine="sqlite", rows=Embedded(folder), folder=folder, is_pinned=is_pinned)
        if wish.rows:
            other = work / "sqlite-empty"
            setup = replace(setup, empty=replace(setup, rows=Embedded(other), folder=other))
        _run(wish, setup, found)
    if "postgresql" in given.engine:
        with ExitStack() as stack:
            cluster = stack.enter_context(Cluster.started(work))
            cluster.prepare_pgbench()
            for workers in given.workers:
                names = [f"kessai{workers}", *([f"empty{workers}"] if wish.rows else [])]
                made = [Database(cluster, name) for name in names]
                setup, *others = [
                    Setup(
                        engine=f"postgresql, {workers} worker{'s' if workers > 1 else ''}",
                        rows=database,
                        folder=work / database.name,
                        database=database.url,
                        workers=workers,
                        pgbench=cluster.pgbench,
                    )
                    for database in made
                ]
                _run(wish, replace(setup, empty=next(iter(others), None)), found)
                for database in made:
                    database.drop()


def _run(wish: Wish, setup: Setup, found: Found) -> None:
    Run(wish, setup, found).all()
    if "w" in wish.kinds:
        webhooks.run(wish, setup, found)


def conclusions(found: Found) -> list[Remark]:
    """What the figures say against what was promised for 64 connections, and the same ratios for the others."""
    remarks = []
    at_work = {row.connections: row for row in found.rows if row.what == AUTHORIZE and not row.stored}
    for connections in sorted(at_work):
        noop, full = found.best("no-op", NOOP, connections), found.best("sqlite", AUTHORIZE, connections)
        if noop and full:
            must = 0.15 if connections == 64 else None
            ratio = full.per_second / noop.per_second
            remarks.append(Remark(f"(b) to (a), sqlite, {connections} connections", ratio, at_least=must))
            remarks.append(Remark("the same in CPU per request", noop.cpu_us / full.cpu_us))
    full, noop = found.best("sqlite", AUTHORIZE, 64), found.best("no-op", NOOP, 64)
    if full:
        remarks.append(Remark("p99 of (b) in ms, sqlite, 64 connections", full.p99_ms, at_most=20))
    if noop:
        remarks.append(Remark("CPU of (a) in µs, 64 connections", noop.cpu_us, at_most=35))
    remarks += [_growth(row) for row in found.rows if row.what == AUTHORIZE and row.engine in _ALONE and not row.stored]
    for row in found.rows:
        empty = found.best(row.engine, row.what, row.connections)
        if row.stored and empty:
            name = (
                f"beside {report.grouped(row.stored)} to empty, {row.engine}, {row.what}, {row.connections} connections"
            )
            remarks.append(Remark(name, row.figures.per_second / empty.per_second))
    for row in found.rows:
        if row.what == SEARCH:
            must_ms = 50 if row.connections == 1 else None
            name = f"p99 of (s) in ms, {row.engine}, {row.connections} connections, beside {report.grouped(row.stored)}"
            remarks.append(Remark(name, row.figures.p99_ms, at_most=must_ms))
    busiest = max((row.figures.others for row in found.rows), default=0.0)
    remarks.append(Remark("most cores that others kept busy during a measurement", busiest))
    return remarks


def _growth(row: Row) -> Remark:
    """How flat the gateway's memory is: bytes a request, of what came after the warm-up.

    The simulated acquirer inside of it remembers each exchange, which is what it is for: that is taken off, as is what
    resident memory goes up and down by at any time.
    """
    seen = row.figures
    grown = seen.rss_after - seen.rss_before - book.grows_by(row.booked, seen.requests)
    name = f"bytes a request that memory grew by beyond the book, {row.engine}, {row.connections} connections"
    return Remark(name, max(0, grown - _FLUCTUATION) / seen.requests, at_most=_FLAT if row.connections == 64 else None)


_FLUCTUATION: Final = report.MEBIBYTE
_FLAT: Final = 64
"""Less than the smallest object that could be left behind by each request, in a dict or a list that holds it."""
_ALONE: Final = ("sqlite", "postgresql, 1 worker")
"""Setups with one process, whose book is known."""


def _keep(machine: dict[str, str], found: Found) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(),
        "machine": machine,
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "remarks": [dataclasses.asdict(remark) | {"is_kept": remark.is_kept} for remark in found.remarks],
    }
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


if __name__ == "__main__":
    sys.exit(main())
