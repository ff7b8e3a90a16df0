"""Health: degraded when a promise is at risk, unavailable when it cannot be kept, and nothing said to strangers (R-21,
R-22, A-117)."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from kessai import health, ids, server
from kessai.acquirers import personalities
from kessai.dialects.cybersource.auth import SharedSecret
from kessai.health import Disk, Health, Reason, Status
from kessai.metrics import Metrics
from kessai.payment.merchant import Merchant, Mode
from kessai.storage.database import DatabaseError, Row, T, Unavailable, Values, Write
from kessai.storage.payments import to_ms
from kessai.vault import KeyEncryptionKey, Vault
from tests.commands import PAN, Gateway, gateway, payment
from tests.houses import Clock, opened

MIB, GIB = 1024**2, 1024**3
ROOMY = Disk(500 * GIB, 1000 * GIB)
SHOP_ID = "kessai_sandbox"
NOT_OURS = {"disk-low"}
"""What the machine that runs the tests may really have."""
SHOP = Merchant(id="shop", personality="vpc", mode=Mode.TEST, terms=personalities()["vpc"].terms)


@dataclass
class Engine:
    """A database with what a test wants to be wrong."""

    kind: Any = "sqlite"
    is_gone: bool = False
    fault: str | None = None
    weaknesses: tuple[str, ...] = ()
    error: DatabaseError | None = None
    hangs: bool = False
    standbys: tuple[str, int] = ("", 0)
    jobs: list[Row] = field(default_factory=list)
    deliveries: tuple[int, int] = (0, 0)
    waiting: int = 0
    token_changes: int | None = None
    observe: Any = None

    async def read(self, query: str, values: Values) -> list[Row]:
        if self.hangs:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        known: dict[str, list[Row]] = {"is_alive": [(1,)], "standbys": [self.standbys], "queue_state": self.jobs}
        return known[query] if query != "deliveries_state" else [self.deliveries]

    async def ask(self, sql: str, values: Sequence[object]) -> list[Row]:
        raise AssertionError("health searches nothing")

    async def write(self, write: Write[T]) -> T:
        raise AssertionError("health changes nothing")

    async def settled(self) -> None: ...

    async def close(self) -> None: ...


class Ring(Vault):
    """A vault whose keys have sealed as often as a test says."""

    def __init__(self, seals: int) -> None:
        super().__init__(KeyEncryptionKey(bytes(32)))
        keysets = self.create_keys(SHOP.id)
        self.load(SHOP.id, keysets, dict.fromkeys(keysets, seals))


def of(engine: Engine, disk: Disk = ROOMY, *, seals: int = 0, is_acquirer_away: bool = False) -> Health:
    return Health(
        folder=Path(),
        database=engine,
        merchants=lambda: [SHOP],
        vault=Ring(seals),
        clock=Clock(),
        is_acquirer_away=lambda: is_acquirer_away,
        disk=lambda _: disk,
    )


def waiting(*, since_s: float, due_s: float, state: str = "waiting") -> Row:
    """A queue with one job: how long it exists, and how long ago it was due."""
    now = Clock()()
    return (state, 1, to_ms(now - timedelta(seconds=due_s)), ids.first_of(now - timedelta(seconds=since_s)))


FOUND: list[tuple[Callable[[], Health], tuple[Reason, ...]]] = [
    (lambda: of(Engine()), ()),
    (lambda: of(Engine(is_gone=True)), (Reason.DATABASE,)),
    (lambda: of(Engine(error=Unavailable("away"))), (Reason.DATABASE,)),
    (lambda: of(Engine(fault="FullError")), (Reason.CHECKPOINT,)),
    (lambda: of(Engine("postgres", fault="the server is away")), (Reason.DATABASE,)),
    (lambda: of(Engine(weaknesses=("fsync is off",))), (Reason.WEAKENED,)),
    (lambda: of(Engine("postgres", standbys=("ANY 1 (a, b)", 0))), (Reason.NO_STANDBY,)),
    (lambda: of(Engine("postgres", standbys=("ANY 1 (a, b)", 1))), ()),
    (lambda: of(Engine("postgres")), ()),
    (lambda: of(Engine(), Disk(2 * GIB, 4 * GIB)), ()),
    (lambda: of(Engine(), Disk(2 * GIB - 1, 4 * GIB)), (Reason.DISK_LOW,)),
    (lambda: of(Engine(), Disk(99 * GIB, 1000 * GIB)), (Reason.DISK_LOW,)),
    (lambda: of(Engine(), Disk(200 * MIB - 1, 1 * GIB)), (Reason.DISK_FULL, Reason.DISK_LOW)),
    (lambda: of(Engine(), Disk(9 * GIB, 1000 * GIB)), (Reason.DISK_FULL, Reason.DISK_LOW)),
    (lambda: of(Engine("postgres"), Disk(1 * MIB, 1 * GIB)), (Reason.DISK_LOW,)),
    (lambda: of(Engine(jobs=[waiting(since_s=50, due_s=50)])), ()),
    (lambda: of(Engine(jobs=[waiting(since_s=70, due_s=1)])), (Reason.REVERSALS_LATE,)),
    (lambda: of(Engine(jobs=[waiting(since_s=70, due_s=65)])), (Reason.REVERSALS_LATE, Reason.QUEUE_LATE)),
    (lambda: of(Engine(jobs=[waiting(since_s=7000, due_s=6000, state="parked")])), (Reason.PARKED,)),
    (lambda: of(Engine(), seals=2**30), (Reason.KEY_LIMIT,)),
    (lambda: of(Engine(), seals=2**30 - 1), ()),
    (lambda: of(Engine(), is_acquirer_away=True), (Reason.ACQUIRER,)),
]


@pytest.mark.parametrize("row", range(len(FOUND)))
def test_every_reason_is_found_and_no_other(row: int) -> None:
    """R-21."""
    make, reasons = FOUND[row]
    found = make()
    sample = asyncio.run(found.sample())
    assert sample.reasons == reasons
    wanted = Status.DEGRADED if reasons else Status.OK
    assert sample.status is (Status.UNAVAILABLE if Reason.DATABASE in reasons else wanted)
    assert found.now() is sample


@pytest.mark.parametrize(
    ("kind", "disk", "refuses"),
    [
        ("sqlite", Disk(200 * MIB, 10 * GIB), False),
        ("sqlite", Disk(200 * MIB - 1, 10 * GIB), True),
        ("sqlite", Disk(9 * GIB, 1000 * GIB), True),
        ("sqlite", Disk(10 * GIB, 1000 * GIB), False),
        ("postgres", Disk(0, 10 * GIB), False),
    ],
)
def test_new_payments_are_refused_on_a_full_disk_of_ours(kind: str, disk: Disk, refuses: bool) -> None:
    """R-22."""
    found = of(Engine(kind), disk)
    assert not found.refuses_new_payments()
    asyncio.run(found.sample())
    assert found.refuses_new_payments() is refuses


def test_a_database_that_hangs_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """F22: the sample does not hang with it."""
    monkeypatch.setattr(health, "DATABASE_S", 0.05)
    assert asyncio.run(of(Engine(hangs=True)).sample()).status is Status.UNAVAILABLE


def test_an_old_sample_is_no_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of(Engine())
    asyncio.run(found.sample())
    assert found.now().status is Status.OK
    monkeypatch.setattr(health, "STALE_S", -1.0)
    assert found.now().status is Status.UNAVAILABLE


def test_who_stops_is_not_sent_requests() -> None:
    found = of(Engine())
    found.stopping()
    assert (found.now().status, found.now().reasons) == (Status.UNAVAILABLE, (Reason.STOPPING,))


def ask(application: health.Application, path: str) -> tuple[int, str]:
    """Status and body of a GET."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def call() -> None:
        await application({"type": "http", "path": path}, receive, send)

    asyncio.run(call())
    return sent[0]["status"], sent[1]["body"].decode()


async def payments(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_strangers_are_told_the_status_and_nothing_else() -> None:
    """A-117."""
    degraded, away = of(Engine(jobs=[waiting(since_s=90, due_s=90)])), of(Engine(is_gone=True))
    for found in (degraded, away):
        asyncio.run(found.sample())
    assert ask(health.beside_payments(degraded, payments), "/health/ready") == (200, '{"status": "degraded"}')
    assert ask(health.beside_payments(away, payments), "/health/ready") == (503, '{"status": "unavailable"}')
    assert ask(health.beside_payments(away, payments), "/health/live") == (200, '{"status": "ok"}')
    for path in ("/metrics", "/health", "/pts/v2/payments"):
        assert ask(health.beside_payments(degraded, payments), path) == (418, path)


def test_operators_are_told_why() -> None:
    found = of(Engine(is_gone=True, jobs=[waiting(since_s=90, due_s=90)]))
    asyncio.run(found.sample())
    application = health.for_operators(found, Metrics())
    told = {"status": "unavailable", "reasons": ["database", "reversals-late", "queue-late"]}
    assert ask(application, "/health/ready") == (503, json.dumps(told))
    assert ask(application, "/health/live")[0] == 200
    status, text = ask(application, "/metrics")
    assert status == 200
    for line in ("kessai_up 0", 'kessai_degraded{reason="queue-late"} 1', "kessai_jobs_waiting 1"):
        assert line in text.splitlines()
    assert SHOP.id not in text
    assert ask(application, "/pts/v2/payments")[0] == 404


def test_notifications_on_their_way_and_those_given_up_are_counted_and_alarm_nobody() -> None:
    """A merchant's server that is away is the merchant's trouble: payments go on as ever."""
    found = of(Engine(deliveries=(3, 2)))
    asyncio.run(found.sample())
    status, text = ask(health.for_operators(found, Metrics()), "/metrics")
    assert status == 200
    for line in ("kessai_deliveries_waiting 3", "kessai_deliveries_parked 2", "kessai_up 1"):
        assert line in text.splitlines()
    assert ask(health.beside_payments(found, payments), "/health/ready") == (200, '{"status": "ok"}')


def test_a_gateway_offers_health_and_metrics_on_a_port_of_this_machine(tmp_path: Path) -> None:
    with gateway(tmp_path / "data", "--operations-port", "0") as served:
        (address,) = served.ready["operations"]
        assert address.startswith("http://127.0.0.1:")
        ready = httpx.get(f"{address}/health/ready").json()
        assert set(ready.get("reasons", ())) <= NOT_OURS
        metrics = httpx.get(f"{address}/metrics")
        assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "kessai_up 1" in metrics.text.splitlines()
        assert httpx.post(f"{address}/pts/v2/payments", json={}).status_code == 404
        served.pay()
        assert httpx.post(f"{served.ready['url']}/pts/v2/payments", json={}).status_code == 401
        lines = httpx.get(f"{address}/metrics").text.splitlines()
        assert 'kessai_outcomes_total{operation="authorize",status="approved"} 1' in lines
        assert 'kessai_requests_total{kind="authorize",status="201"} 1' in lines
        assert "kessai_exchange_seconds_count 1" in lines
        assert 'kessai_authentication_failures_total{reason="no-credentials"} 1' in lines
        (commits,) = [line for line in lines if line.startswith("kessai_commit_writes_count ")]
        assert int(commits.split()[1]) >= 2
        assert not any("kessai_sandbox" in line or PAN in line for line in lines)
        outside = httpx.get(f"{served.ready['url']}/health/ready")
        assert (outside.status_code, outside.json()) == (200, {"status": ready["status"]})
        assert httpx.get(f"{served.ready['url']}/metrics").status_code == 404
        (served.folder / "kessai.db").rename(served.folder / "elsewhere.db")
        until_unavailable(served.ready["url"])
        ready = httpx.get(f"{address}/health/ready").json()
        assert (ready["status"], set(ready["reasons"]) - NOT_OURS) == ("unavailable", {"database"})
        (served.folder / "elsewhere.db").rename(served.folder / "kessai.db")


def test_on_a_full_disk_nothing_new_begins_and_what_was_begun_is_finished(tmp_path: Path) -> None:
    """R-22: authorizations, sales, credits and new tokens get 503; captures, reversals and reads go on."""
    (tmp_path / "data").mkdir()
    disk = ROOMY

    def ask_all(url: str, key: SharedSecret) -> list[int]:
        nonlocal disk
        served = Gateway(tmp_path, None, {"url": url, "merchants": []}, {SHOP_ID: key})  # type: ignore[arg-type]
        paid, other = served.pay(), served.pay()
        disk = Disk(199 * MIB, 100 * GIB)
        end = time.monotonic() + 40
        while httpx.get(f"{url}/health/ready").json() != {"status": "degraded"}:
            assert time.monotonic() < end
        new = served.ask("POST", "/pts/v2/payments", payment())[0]
        stored = served.ask("POST", "/tms/v2/customers", {})[0]
        known = served.ask("GET", "/tms/v2/customers/AB695DA801DD1BB6E05341588E0A3BDC")[0]
        captured = served.capture(paid)
        read = served.ask("GET", f"/tss/v2/transactions/{captured}")[0]
        amount = {"amountDetails": {"totalAmount": "102.21", "currency": "USD"}}
        undone = served.ask("POST", f"/pts/v2/payments/{other}/reversals", {"reversalInformation": amount})[0]
        disk = ROOMY
        while httpx.get(f"{url}/health/ready").json() != {"status": "ok"}:
            assert time.monotonic() < end
        return [new, stored, known, read, undone, served.ask("POST", "/pts/v2/payments", payment())[0]]

    async def scene() -> None:
        async with opened(tmp_path / "data") as house:
            key_id, secret = await house.accounts.shared_secret(SHOP_ID)
            house.health = Health(
                folder=tmp_path,
                database=house.database,
                merchants=lambda: [],
                vault=house.gateway.vault,
                clock=house.clock,
                disk=lambda _: disk,
            )
            looking = asyncio.create_task(house.health.run())
            stop = asyncio.Event()
            ports: list[int] = []
            application = health.beside_payments(house.health, house.edge())
            serving = asyncio.create_task(server.serve(application, server.Settings(port=0), ports.append, stop))
            while not ports:
                await asyncio.sleep(0.01)
            url, key = f"http://127.0.0.1:{ports[0]}", SharedSecret.of(key_id, secret, SHOP_ID)
            assert await asyncio.to_thread(ask_all, url, key) == [503, 503, 200, 200, 201, 201]
            assert house.metrics.refused == 2
            looking.cancel()
            stop.set()
            await serving

    asyncio.run(scene())


def until_unavailable(url: str) -> None:
    end = time.monotonic() + 40
    while httpx.get(f"{url}/health/ready").status_code != 503:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_without_the_option_there_is_no_operations_port(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as served:
        assert served.ready["operations"] == []
