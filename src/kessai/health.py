"""Health: whether this process can keep its promises, sampled in the background and told without thinking (R-21, R-22).

A sample is taken every second and a request about health only reads it. `Health` is handed to whoever has to know; the
two ASGI applications tell the outside: beside the payments only up, degraded or unavailable (A-117), on the operations
port the reasons and the metrics too.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from kessai import ids
from kessai.log import log
from kessai.metrics import CONTENT_TYPE, Gauge, Metrics, Process, render
from kessai.payment.merchant import Merchant
from kessai.storage.database import Database, DatabaseError
from kessai.storage.payments import to_ms
from kessai.vault import NotLoaded, Vault

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

SAMPLE_S: Final = 1.0
QUEUES_EVERY: Final = 5
"""Samples between two looks at the queues of every merchant."""
STALE_S: Final = 10.0
"""A sample older than this says that the sampler hangs: unavailable."""
DATABASE_S: Final = 2.0
"""How long the database may take to answer a sample (P6)."""
LATE_S: Final = 60.0
"""A clean-up, or what it undoes, waits too long."""
LOW_SHARE, LOW_BYTES = 0.10, 2 * 1024**3
FULL_SHARE, FULL_BYTES = 0.01, 200 * 1024**2
SEALS_BEFORE_TURN: Final = 2**30
"""Seals after which a key is to be turned; it refuses at twice as many."""


class Status(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Reason(StrEnum):
    """Why the status is not ok, worst first."""

    STOPPING = "stopping"
    """The process was told to stop and finishes what runs."""
    DATABASE = "database"
    """The database does not answer, or its file is gone: requests get 503."""
    DISK_FULL = "disk-full"
    """Under 1 % or 200 MiB free: new payments are refused; captures, reversals and reads go on."""
    DISK_LOW = "disk-low"
    """Under 10 % or 2 GiB free."""
    WEAKENED = "weakened"
    """The setting `may_lose_acknowledged_payments` lets the database run without full durability."""
    NO_STANDBY = "no-standby"
    """PostgreSQL names synchronous standbys and none is attached."""
    CHECKPOINT = "checkpoint"
    """The last checkpoint of the embedded database failed: its log grows."""
    ACQUIRER = "acquirer"
    """The link to an acquirer is closed after too many failures."""
    REVERSALS_LATE = "reversals-late"
    """Something has been waiting to be undone or settled for more than 60 seconds."""
    QUEUE_LATE = "queue-late"
    """A job was due more than 60 seconds ago and nobody has tried it."""
    PARKED = "parked"
    """Jobs were given up and wait for a person: `kessai jobs`, `kessai jobs drive`."""
    KEY_LIMIT = "key-limit"
    """A key has sealed so often that it has to be turned: `kessai vault rotate`."""


UNAVAILABLE: Final = frozenset({Reason.STOPPING, Reason.DATABASE})
"""Reasons for which nobody should send requests here."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the disk of the data folder, in bytes."""

    free: int
    size: int

    @property
    def is_low(self) -> bool:
        return self.free < LOW_BYTES or self.free < LOW_SHARE * self.size

    @property
    def is_full(self) -> bool:
        return self.free < FULL_BYTES or self.free < FULL_SHARE * self.size


def disk_of(folder: Path) -> Disk:
    found = os.statvfs(folder)
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The jobs of every merchant, counted."""

    waiting: int = 0
    parked: int = 0
    overdue_s: float = 0.0
    """How long ago the job was due that nobody has tried for longest."""
    oldest_s: float = 0.0
    """How long the oldest waiting job has existed."""
    untold: int = 0
    """Notifications that have not arrived yet, and those that were given up, as far as they are counted."""
    given_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was found, and when by the monotonic clock."""

    at: float
    reasons: tuple[Reason, ...] = ()
    disk: Disk = field(default_factory=lambda: Disk(0, 0))
    queues: Queues = field(default_factory=Queues)

    @property
    def status(self) -> Status:
        if UNAVAILABLE.intersection(self.reasons):
            return Status.UNAVAILABLE
        return Status.DEGRADED if self.reasons else Status.OK


class Health:
    """The state of one process. Hold one; `run` it in a task; ask it whatever you like, as often as you like."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        merchants: Callable[[], Iterable[Merchant]],
        vault: Vault,
        clock: Callable[[], datetime],
        is_acquirer_away: Callable[[], bool] = lambda: False,
        disk: Callable[[Path], Disk] = disk_of,
    ) -> None:
        self._folder = folder
        self._database = database
        self._merchants = merchants
        self._vault = vault
        self._clock = clock
        self._is_acquirer_away = is_acquirer_away
        self._disk = disk
        self._is_stopping = False
        self._refuses = False
        self._rounds = 0
        self._queues = Queues()
        self._sample = Sample(at=time.monotonic())

    def refuses_new_payments(self) -> bool:
        """Whether there is too little room to begin anything: answer 503 with Retry-After; go on with the rest."""
        return self._refuses

    def stopping(self) -> None:
        """From now on nobody should be sent here."""
        self._is_stopping = True

    def now(self) -> Sample:
        """The latest sample; one that is too old is no good news."""
        sample = self._sample
        added: tuple[Reason, ...] = ()
        if self._is_stopping:
            added += (Reason.STOPPING,)
        if time.monotonic() - sample.at > STALE_S:
            added += (Reason.DATABASE,)
        if not added:
            return sample
        reasons = tuple(dict.fromkeys(added + sample.reasons))
        return Sample(at=sample.at, reasons=reasons, disk=sample.disk, queues=sample.queues)

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            before = self._sample.reasons
            await self.sample()
            if self._sample.reasons != before:
                log(
                    "health.changed", level="warning", status=self._sample.status.value, reasons=[*self._sample.reasons]
                )
            await asyncio.sleep(SAMPLE_S)

    async def sample(self) -> Sample:
        """Look once."""
        reasons = [reason async for reason in self._found()]
        disk = self._disk(self._folder)
        if disk.is_low:
            reasons.append(Reason.DISK_LOW)
        is_full = disk.is_full and self._database.kind == "sqlite"  # a server's disk is not this one
        if is_full:
            reasons.append(Reason.DISK_FULL)
        self._refuses = is_full
        in_order = tuple(reason for reason in Reason if reason in reasons)
        self._sample = Sample(at=time.monotonic(), reasons=in_order, disk=disk, queues=self._queues)
        return self._sample

    async def _found(self) -> AsyncIterator[Reason]:
        database = self._database
        try:
            async with asyncio.timeout(DATABASE_S):
                if self._rounds % QUEUES_EVERY == 0:
                    self._queues = await self._count()
                else:
                    await database.read("is_alive", {})
                if database.kind == "postgres":
                    ((names, attached),) = await database.read("standbys", {})
                    if names and not attached:
                        yield Reason.NO_STANDBY
            self._rounds += 1
        except (DatabaseError, TimeoutError, OSError):
            yield Reason.DATABASE
        except Exception as error:  # an engine's own error: whatever it is, nobody can be served
            log("health.fault", level="error", error=type(error).__name__)
            yield Reason.DATABASE
        if database.is_gone:
            yield Reason.DATABASE
        if database.fault is not None:
            yield Reason.CHECKPOINT if database.kind == "sqlite" else Reason.DATABASE
        if database.weaknesses:
            yield Reason.WEAKENED
        if self._is_acquirer_away():
            yield Reason.ACQUIRER
        if self._queues.parked:
            yield Reason.PARKED
        if self._queues.overdue_s > LATE_S:
            yield Reason.QUEUE_LATE
        if self._queues.oldest_s > LATE_S:
            yield Reason.REVERSALS_LATE
        if any(self._sealed(merchant) >= SEALS_BEFORE_TURN for merchant in self._merchants()):
            yield Reason.KEY_LIMIT

    def _sealed(self, merchant: Merchant) -> int:
        try:
            return max(self._vault.seals(merchant.id).values())
        except NotLoaded:
            return 0

    async def _count(self) -> Queues:
        """Read the queue of every merchant."""
        waiting = parked = untold = given_up = 0
        overdue_s = oldest_s = 0.0
        now = self._clock()
        for merchant in self._merchants():
            for state, count, run_at, first in await self._database.read("queue_state", {"merchant_id": merchant.id}):
                if state == "parked":
                    parked += count
                    continue
                waiting += count
                overdue_s = max(overdue_s, (to_ms(now) - run_at) / 1000)
                oldest_s = max(oldest_s, (now - ids.made_at(first)).total_seconds())
            ((its_untold, its_given_up),) = await self._database.read("deliveries_state", {"merchant_id": merchant.id})
            untold, given_up = untold + its_untold, given_up + its_given_up
        return Queues(
            waiting=waiting,
            parked=parked,
            overdue_s=overdue_s,
            oldest_s=oldest_s,
            untold=untold,
            given_up=given_up,
        )

    def gauges(self) -> Iterator[Gauge]:
        sample = self.now()
        yield Gauge("kessai_up", "1: requests can be served here.", int(sample.status is not Status.UNAVAILABLE))
        for reason in Reason:
            found = int(reason in sample.reasons)
            yield Gauge("kessai_degraded", "1: this is so.", found, (("reason", reason.value),))
        yield Gauge("kessai_disk_free_bytes", "Room on the disk of the data folder.", sample.disk.free)
        yield Gauge("kessai_writes_waiting", "Writes that wait for a commit.", self._database.waiting)
        yield Gauge("kessai_jobs_waiting", "Jobs still to do.", sample.queues.waiting)
        yield Gauge("kessai_jobs_parked", "Jobs that wait for a person.", sample.queues.parked)
        yield Gauge("kessai_deliveries_waiting", "Notifications on their way.", sample.queues.untold)
        yield Gauge("kessai_deliveries_parked", "Notifications that were given up.", sample.queues.given_up)
        yield Gauge("kessai_jobs_overdue_seconds", "How long the latest job is overdue.", sample.queues.overdue_s)


# ---- told over HTTP


LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"


def beside_payments(health: Health, payments: Application) -> Application:
    """The payments, and whether they are up; nothing else about them."""

    def application(scope: Message, receive: Any, send: Any) -> Awaitable[None]:
        if scope["path"] == READY:
            sample = health.now()
            return _answer(send, _http_status(sample), {"status": sample.status.value})
        if scope["path"] == LIVE:
            return _answer(send, 200, {"status": "ok"})
        return payments(scope, receive, send)

    return application


def for_operators(health: Health, metrics: Metrics) -> Application:
    """The operations port: health with its reasons, and the metrics."""
    process = Process()

    def application(scope: Message, _receive: Any, send: Any) -> Awaitable[None]:
        if scope["path"] == LIVE:
            return _answer(send, 200, {"status": "ok"})
        if scope["path"] == READY:
            sample = health.now()
            told = {"status": sample.status.value, "reasons": [reason.value for reason in sample.reasons]}
            return _answer(send, _http_status(sample), told if sample.reasons else {"status": "ok"})
        if scope["path"] == METRICS:
            text = render(metrics, [*health.gauges(), *process.gauges()])
            return _send(send, 200, CONTENT_TYPE, text.encode())
        return _answer(send, 404, {"paths": [LIVE, READY, METRICS]})

    return application


def _http_status(sample: Sample) -> int:
    return 503 if sample.status is Status.UNAVAILABLE else 200


def _answer(send: Any, status: int, document: Mapping[str, object]) -> Awaitable[None]:
    return _send(send, status, "application/json", json.dumps(document).encode())


async def _send(send: Any, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
