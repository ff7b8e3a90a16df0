"""The measurements on one engine, in order: authorizations, their size, captures, lookups, searches; then beside many.

Each begins with a short warm-up, which also says how many requests to sign.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import gateway as gateways
from bench import measure, processes, report
from bench.fill import fill
from bench.gateway import SERVER_CORE, Gateway, Rows
from bench.load import Signer, Token
from bench.measure import Figures
from bench.processes import Failed
from bench.report import Remark, Row

NOOP: Final = "(a) no-op POST"
AUTHORIZE: Final = "(b) authorize"
CAPTURE: Final = "(c) authorize + capture"
LOOKUP: Final = "(d) look up"
SEARCH: Final = "(s) search"
STORED_CARD: Final = "(t) authorize by token"
KINDS: Final = "abcdstw"

_WARM_UP_S: Final = 1
_FASTEST: Final = {"a": 60_000.0, "b": 15_000.0, "d": 40_000.0, "s": 8_000.0}
"""More a second than one worker could answer: what a warm-up is given."""

_CARDS: Final = 1_000
"""Stored cards that (t) pays with."""
_ROUNDS: Final = 25
"""How often two that are compared take turns."""
_TURN_S: Final = 1
_PGBENCH_ROUNDS: Final = 9
_PGBENCH_TURN_S: Final = 2
_LONGEST_INDEXING_S: Final = 600
_LOOKED_UP: Final = 20_000
"""Payments that lookups are spread over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to measure."""

    kinds: str
    connections: Sequence[int]
    seconds: int
    rows: int
    keyed: bool
    work: Path
    """A folder for requests, data and logs."""
    told: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """An engine, and how many workers stand before it."""

    engine: str
    rows: Rows
    folder: Path
    database: str | None = None
    workers: int = 1
    is_pinned: bool = False
    empty: "Setup | None" = None
    """The same with nothing stored, to compare with; None where nothing is compared."""
    pgbench: Callable[[int], float] | None = None
    """What the same server does of `pgbench`'s transactions in a second, found out in so many."""


@dataclass(slots=True)
class Found:
    """What came out, so far."""

    rows: list[Row] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def best(self, engine: str, what: str, connections: int) -> Figures | None:
        """The first measurement of its sort: that on an empty database."""
        same = (
            row.figures for row in self.rows if (row.engine, row.what, row.connections) == (engine, what, connections)
        )
        return next(same, None)


class Run:
    """The measurements of one setup."""

    def __init__(self, wish: Wish, setup: Setup, found: Found) -> None:
        self._wish = wish
        self._setup = setup
        self._found = found
        self._rates: dict[tuple[str, int], float] = {}
        self._spent = 0  # the last payment that is captured, or about to be
        self._run = 0

    def all(self) -> None:
        wish, setup = self._wish, self._setup
        with self._serving() as gateway, self._idling() as idle:
            self._spent = gateways.newest(setup.rows)
            for connections in wish.connections:
                if "a" in wish.kinds and idle is not None:
                    self._noop(idle, gateway, connections)
                self._authorize(gateway, connections)
            if setup.pgbench is not None:
                self._against(setup.pgbench, gateway, wish.connections[-1])
        self._size()
        if "t" in wish.kinds:
            with self._serving() as gateway:
                cards = gateways.store_cards(gateway, self._signer(gateway), _CARDS)
                for connections in wish.connections:
                    self._by_token(gateway, connections, cards)
        if set("cds") & set(wish.kinds):
            with self._serving() as gateway:
                for connections in wish.connections:
                    if "c" in wish.kinds:
                        self._capture(gateway, connections)
                    if "d" in wish.kinds:
                        self._look_up(gateway, connections, 0)
                    if "s" in wish.kinds:
                        self._search(gateway, connections, 0)
        if wish.rows:
            self._beside_many()

    def _beside_many(self) -> None:
        wish, setup = self._wish, self._setup
        wish.told(f"{setup.engine}: storing {wish.rows} payments")
        if "s" in wish.kinds:  # what is copied has to be in the index
            with self._serving():
                self._until_indexed()
        stored = fill(setup.rows, wish.rows)
        with self._serving() as gateway:
            for connections in wish.connections:
                self._authorize(gateway, connections, stored)
                if "d" in wish.kinds:
                    self._look_up(gateway, connections, stored)
                if "s" in wish.kinds:
                    self._search(gateway, connections, stored)
        if setup.empty is not None:
            with self._serving() as full, self._serving(setup.empty) as empty:
                for connections in wish.connections:
                    self._in_turns(full, empty, connections, stored)

    # ---- the kinds

    def _noop(self, idle: Gateway, gateway: Gateway, connections: int) -> None:
        signer = self._signer(gateway)
        rate = self._rate("a", idle, lambda _: signer.authorizations(), connections)
        figures = self._measure(idle, lambda _: signer.authorizations(), rate, connections)
        self._add("no-op", NOOP, connections, 0, figures)

    def _authorize(self, gateway: Gateway, connections: int, stored: int = 0) -> None:
        signer = self._signer(gateway)
        rate = self._rate("b", gateway, lambda _: signer.authorizations(), connections)
        before = gateways.newest(self._setup.rows)
        booked = gateways.authorized(self._setup.rows, 0)
        figures = self._measure(gateway, lambda _: signer.authorizations(), rate, connections)
        self._expect(gateways.authorized(self._setup.rows, before), figures.requests)
        self._add(self._setup.engine, AUTHORIZE, connections, stored, figures, booked=booked)

    def _in_turns(self, full: Gateway, empty: Gateway, connections: int, stored: int) -> None:
        """(b) beside many, against (b) beside what these turns store; whoever is not measured stands still."""
        rates: dict[str, list[float]] = {"full": [], "empty": []}
        pair = [("empty", empty, full), ("full", full, empty)]
        for number in range(_ROUNDS):
            for name, gateway, other in pair if number % 2 else pair[::-1]:
                signer = self._signer(gateway)
                with processes.stopped(other.pid):
                    rate = self._rates["b", connections] * 1.5
                    figures = self._measure(gateway, lambda _: signer.authorizations(), rate, connections, _TURN_S)  # noqa: B023
                rates[name].append(figures.per_second)
        ratio = median(many / few for many, few in zip(rates["full"], rates["empty"], strict=True))
        name = f"beside {report.grouped(stored)} to empty, in turns, {self._setup.engine}, {connections} connections"
        self._found.remarks.append(Remark(name, ratio, at_least=0.95 if connections == 64 else None))

    def _against(self, pgbench: Callable[[int], float], gateway: Gateway, connections: int) -> None:
        """(b) against `pgbench` on the same server, in turns; the gateway stands still meanwhile."""
        ratios, theirs = [], []
        for number in range(_PGBENCH_ROUNDS):
            signer = self._signer(gateway)
            measured = partial(
                self._measure,
                gateway,
                lambda _, signer=signer: signer.authorizations(),  # type: ignore[misc]
                self._rates["b", connections] * 1.5,
                connections,
                _PGBENCH_TURN_S,
            )
            ours = measured() if number % 2 else None
            with processes.stopped(gateway.pid):
                theirs.append(pgbench(_PGBENCH_TURN_S))
            ratios.append((ours or measured()).per_second / theirs[-1])
        engine, must = self._setup.engine, 1.3 if self._setup.workers == 2 and connections == 64 else None
        self._found.remarks += [
            Remark(f"pgbench, six statements, 64 clients, per s, beside {engine}", median(theirs)),
            Remark(f"(b) to pgbench, in turns, {engine}, {connections} connections", median(ratios), at_least=must),
        ]

    def _by_token(self, gateway: Gateway, connections: int, cards: Sequence[Token]) -> None:
        signer = self._signer(gateway)
        rate = self._rate("b", gateway, lambda _: signer.by_token(cards), connections)
        kinds = [lambda _: signer.authorizations(), lambda _: signer.by_token(cards)]
        turns: list[list[Figures]] = [[], []]
        for number in range(_ROUNDS):
            for kind in (0, 1) if number % 2 else (1, 0):
                turns[kind].append(self._measure(gateway, kinds[kind], rate * 1.5, connections, _TURN_S))
        by_number, by_token = turns
        # What else the machine does changes by the second: only neighbours are compared, and the middle one counts.
        ratio = median(_cpu(token) / _cpu(number) for number, token in zip(by_number, by_token, strict=True))
        self._add(self._setup.engine, STORED_CARD, connections, 0, min(by_token, key=_cpu))
        name = f"CPU of a payment by token to one by number, {self._setup.engine}, {connections} connections"
        most = 1.15 if connections == 64 else None
        self._found.remarks.append(Remark(name, ratio, at_most=most))

    def _capture(self, gateway: Gateway, connections: int) -> None:
        signer = self._signer(gateway)
        rate = self._rates["b", connections] * 1.5

        def pairs(count: int) -> Iterator[bytes]:
            payments, self._spent = gateways.payments(self._setup.rows, self._spent, count // 2 + 1)
            return signer.captures(payments)

        self._store(gateway, connections, int(rate * self._wish.seconds))
        before = gateways.newest(self._setup.rows)
        figures = self._measure(gateway, pairs, rate, connections)
        rows = self._setup.rows
        self._expect(gateways.authorized(rows, before) + gateways.captured(rows, before), figures.requests)
        self._add(self._setup.engine, CAPTURE, connections, 0, figures, unit=2)

    def _look_up(self, gateway: Gateway, connections: int, stored: int) -> None:
        signer = self._signer(gateway)
        one_in = max(1, gateways.authorized(self._setup.rows, 0) // _LOOKED_UP)
        spread, _ = gateways.payments(self._setup.rows, 0, _LOOKED_UP, one_in)  # over all that is stored
        rate = self._rate("d", gateway, lambda _: signer.lookups(spread), connections)
        later = [*spread[len(spread) // 2 :], *spread[: len(spread) // 2]]
        figures = self._measure(gateway, lambda _: signer.lookups(later), rate, connections)
        self._add(self._setup.engine, LOOKUP, connections, stored, figures)

    def _search(self, gateway: Gateway, connections: int, stored: int) -> None:
        self._until_indexed()
        signer = self._signer(gateway)
        some = gateways.references(self._setup.rows, _LOOKED_UP)
        self._rate("s", gateway, lambda _: signer.searches(some), connections)
        # What a warm-up finds says little: the first pages of each sort are read from the disk.
        figures = self._measure(gateway, lambda _: signer.searches(some[::-1]), _FASTEST["s"], connections)
        self._add(self._setup.engine, SEARCH, connections, stored, figures)

    def _until_indexed(self) -> None:
        until = time.monotonic() + _LONGEST_INDEXING_S
        while not gateways.is_indexed(self._setup.rows):
            if time.monotonic() > until:
                raise Failed("what was stored did not come into the index")
            time.sleep(0.5)

    # ---- what they share

    def _store(self, gateway: Gateway, connections: int, wanted: int) -> None:
        """Authorize, unmeasured, until so many payments are there to be captured."""
        rows = self._setup.rows
        while (missing := wanted - gateways.authorized(rows, self._spent)) > 0:
            seconds = min(60, 1 + int(missing / self._rates["b", connections]))
            signer = self._signer(gateway)
            rate = self._rates["b", connections] * 1.5
            self._measure(gateway, lambda _, signer=signer: signer.authorizations(), rate, connections, seconds)  # type: ignore[misc]

    def _rate(self, kind: str, gateway: Gateway, requests: measure.Requests, connections: int) -> float:
        """Requests a second that a warm-up was answered."""
        figures = self._measure(gateway, requests, _FASTEST[kind] * self._setup.workers, connections, _WARM_UP_S)
        self._rates[kind, connections] = figures.per_second
        return figures.per_second

    def _measure(
        self, gateway: Gateway, requests: measure.Requests, rate: float, connections: int, seconds: int = 0
    ) -> Figures:
        return measure.run(
            gateway,
            requests,
            per_second=rate,
            connections=connections,
            seconds=seconds or self._wish.seconds,
            work=self._wish.work,
        )

    def _signer(self, gateway: Gateway) -> Signer:
        assert gateway.key is not None
        return Signer(gateway.address, gateway.key, run=secrets.token_hex(6), keyed=self._wish.keyed)

    def _expect(self, stored: int, acknowledged: int) -> None:
        if stored < acknowledged:
            raise Failed(f"{acknowledged} requests were answered, but {stored} are stored as approved")

    def _add(
        self, engine: str, what: str, connections: int, stored: int, figures: Figures, *, booked: int = 0, unit: int = 1
    ) -> None:
        row = Row(
            engine=engine,
            what=what,
            connections=connections,
            stored=stored,
            figures=figures,
            booked=booked,
            unit=unit,
        )
        self._found.rows.append(row)
        self._wish.told(f"{engine}, {connections} connections: {what}: {figures.per_second / unit:.0f}/s")

    def _size(self) -> None:
        rows = self._setup.rows
        count = gateways.authorized(rows, 0)
        name = f"bytes per payment, {self._setup.engine}"
        limit = 2_500 if self._setup.database is None else None
        self._found.remarks.append(Remark(name, rows.checkpoint() / count, at_most=limit))

    @contextlib.contextmanager
    def _serving(self, setup: Setup | None = None) -> Iterator[Gateway]:
        setup = setup or self._setup
        core = SERVER_CORE if setup.is_pinned else None
        log = self._wish.work / "gateway.log"
        with gateways.serving(
            setup.folder, setup.rows, database=setup.database, workers=setup.workers, core=core, log=log
        ) as gateway:
            self._wish.told(f"{setup.engine}: serving on {gateway.address}, process {gateway.pid}")
            yield gateway

    @contextlib.contextmanager
    def _idling(self) -> Iterator[Gateway | None]:
        if not self._setup.is_pinned or "a" not in self._wish.kinds:
            yield None
            return
        with gateways.idling(SERVER_CORE, self._wish.work / "noop.log") as idle:
            yield idle


def _cpu(figures: Figures) -> float:
    return figures.cpu_us
