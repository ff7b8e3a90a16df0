"""PostgreSQL: batches keep neighbours apart, races have one winner, a server that is away or hangs is told at once."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace
from msgspec.structs import replace as changed
from tests import postgres
from tests.houses import Till, opened, usd
from tests.postgres import Server

from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Operation, Payment, Refusal, Status, Transaction
from kessai.storage import postgres as module
from kessai.storage.database import CommitUnknown, DatabaseError, Failure, Query, Unavailable, Write
from kessai.storage.failures import BY_NAME, BY_STATE, failure_of
from kessai.storage.lane import STATEMENT_S, Lane
from kessai.storage.merchants import SettledUntil
from kessai.storage.nodes import RenewNode, TakeNode
from kessai.storage.payments import Answer, Claim, Payments
from kessai.storage.postgres import Postgres
from kessai.storage.queue import ClaimJob, DriveJob, JobLater, Queue
from kessai.storage.together import TOGETHER
from kessai.storage.writes import Begin, Conflict, Finish, Happened, Job, Replay

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = 7


def intent(number: int, *, claims: tuple[Claim, ...] = (), payment: Payment | None = None) -> Begin:
    """An authorization of 100.00, or a capture of 60.00 of a payment."""
    transaction = Transaction(
        id=number,
        payment_id=payment.id if payment else number,
        operation=Operation.CAPTURE if payment else Operation.AUTHORIZE,
        requested=usd(6_000 if payment else 10_000),
        requested_at=NOW,
    )
    if payment is None:
        payment = Payment(merchant_id="m", id=number, transactions=(transaction,))
    return Begin(payment=payment, transaction=transaction, lease=LEASE, correlation="", claims=claims)


def outcome(begun: Begin, body: bytes = b"{}") -> Finish:
    done = changed(begun.transaction, status=Status.APPROVED, concluded_at=NOW)
    return Finish(merchant_id="m", transaction=done, answer=Answer(201, body))


@asynccontextmanager
async def engine(url: str | None = None, *, pooled: bool = False, distributed: bool = False) -> AsyncIterator[Postgres]:
    store = await Postgres.open(url or postgres.fresh(), pooled=pooled, distributed=distributed)
    try:
        yield store
    finally:
        await store.close()


def batches(store: Postgres, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The statement of every batch and how many writes it carried, from now on."""
    seen: list[tuple[str, int]] = []
    take = store._take

    def counting() -> list[object]:
        batch = take()
        if batch:
            seen.append((batch[0].plan.query, len(batch)))
        return batch  # type: ignore[return-value]

    monkeypatch.setattr(store, "_take", counting)
    return seen


# ---- batches


def test_writes_of_one_turn_share_a_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with engine() as store:
            seen = batches(store, monkeypatch)
            writes = [intent(number) for number in range(1, 51)]
            assert await asyncio.gather(*map(store.write, writes)) == [None] * 50
            assert await asyncio.gather(*(store.write(outcome(begun)) for begun in writes)) == [True] * 50
            assert seen == [("begin_free", 50), ("finish", 50)]
            rows = await Payments(store).page("m", 0, 100)
            assert [(tx.id, tx.status) for tx in rows] == [(number, Status.APPROVED) for number in range(1, 51)]
            assert await store.write(outcome(writes[0])) is False

    asyncio.run(main())


def test_a_failing_write_does_not_fail_its_neighbours() -> None:
    async def main() -> None:
        async with engine() as store:
            await store.write(intent(3))
            results = await asyncio.gather(*(store.write(intent(n)) for n in range(1, 7)), return_exceptions=True)
            assert isinstance(results[2], asyncpg.UniqueViolationError)
            assert [tx.id for tx in await Payments(store).page("m", 0, 10)] == [1, 2, 3, 4, 5, 6]

    asyncio.run(main())


def test_two_captures_in_one_commit_have_one_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-6: both are prepared from the same payment and wait for the same commit."""

    async def main() -> None:
        async with engine() as store:
            root = intent(1)
            await store.write(root)
            await store.write(outcome(root))
            seen = batches(store, monkeypatch)
            racers = [intent(number, payment=root.payment) for number in (2, 3)]
            results = await asyncio.gather(*map(store.write, [*racers, intent(4)]))
            assert sorted(map(str, results)) == ["Conflict()", "None", "None"]
            assert sorted(seen) == [("begin", 1), ("begin", 1), ("begin_free", 1)]
            assert len(await Payments(store).page("m", 0, 10)) == 3

    asyncio.run(main())


def test_two_captures_in_one_statement_have_one_winner() -> None:
    """T-6, forced past the rule of batches: the statement itself lets one of them in."""

    async def main() -> None:
        async with engine() as store:
            root = intent(1)
            await store.write(root)
            racers = [intent(number, payment=root.payment) for number in (2, 3)]
            results = await store._together(store._writers[0], TOGETHER[Begin], racers)
            assert sorted(map(str, results)) == ["Conflict()", "None"]
            assert len(await Payments(store).page("m", 0, 10)) == 2

    asyncio.run(main())


def test_a_distributed_database_gets_batches_of_one_merchant(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-31."""

    async def main() -> None:
        async with engine(distributed=True) as store:
            seen = batches(store, monkeypatch)
            writes = [intent(number) for number in range(1, 9)]
            others = [replace(begun, payment=changed(begun.payment, merchant_id="n")) for begun in writes[4:]]
            assert await asyncio.gather(*map(store.write, writes[:4] + others)) == [None] * 8
            assert seen == [("begin_free", 4), ("begin_free", 4)]

    asyncio.run(main())


# ---- rows that somebody else has


@asynccontextmanager
async def held(url: str, payments: list[int]) -> AsyncIterator[None]:
    """Somebody with the database's own tools keeps the rows of some payments locked."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            locked = await connection.fetch("SELECT id FROM payments WHERE id = ANY($1) FOR UPDATE", payments)
            assert len(locked) == len(payments)
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("pooled", [False, True])
def test_locked_rows_cost_their_neighbours_a_moment_each_and_all_of_them_a_bounded_time(
    pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-12: fifteen locked payments in one batch with five that are free; before, each took a second more."""
    monkeypatch.setattr(module, "APART_S", 12.0)  # a machine that does other things too gets to the free ones

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url, pooled=pooled) as store:
            roots = [intent(number) for number in range(1, 21)]
            await asyncio.gather(*map(store.write, roots))
            captures = [intent(100 + root.payment.id, payment=root.payment) for root in roots]
            async with held(url, list(range(1, 16))):
                begun = time.monotonic()
                results = await asyncio.gather(*map(store.write, captures), return_exceptions=True)
                assert time.monotonic() - begun < 14
            assert [type(result) for result in results[:15]] == [Unavailable] * 15
            assert results[15:] == [None] * 5
            assert await asyncio.gather(*map(store.write, captures[:15])) == [None] * 15, "they are patient again"

    asyncio.run(main())


def test_more_locked_rows_than_there_is_time_for_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-12: what has not begun when the time for all is over is not begun at all."""
    monkeypatch.setattr(module, "APART_S", 0.2)

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as store:
            roots = [intent(number) for number in range(1, 41)]
            await asyncio.gather(*map(store.write, roots))
            captures = [intent(100 + root.payment.id, payment=root.payment) for root in roots]
            async with held(url, list(range(1, 41))):
                results = await asyncio.gather(*map(store.write, captures), return_exceptions=True)
            told = {str(result) for result in results}
            assert told == {"somebody else has its rows", "too many wait for rows that somebody else has"}
            assert len(await Payments(store).page("m", 0, 100)) == 40

    asyncio.run(main())


def test_a_lease_is_renewed_before_everything_that_waits() -> None:
    """R-4, R-32: behind a batch with locked rows, its own process's renewal comes first."""

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as store:
            store._writers[1].is_idle = False  # there is one connection to wait for
            node = await store.write(TakeNode(LEASE, "here"))
            assert node is not None
            roots = [intent(number) for number in range(1, 11)]
            await asyncio.gather(*map(store.write, roots))
            order: list[str] = []

            async def write(name: str, what: Write[object]) -> None:
                with suppress(Unavailable):
                    await store.write(what)
                order.append(name)

            async with held(url, list(range(1, 11))):
                locked = [intent(100 + root.payment.id, payment=root.payment) for root in roots]
                tasks = [asyncio.create_task(write("locked", each)) for each in locked]
                await asyncio.sleep(0.2)
                tasks += [asyncio.create_task(write("other", intent(200 + number))) for number in range(5)]
                tasks += [asyncio.create_task(write("settled", SettledUntil("m", NOW))) for _ in range(5)]
                await asyncio.sleep(0)
                tasks.append(asyncio.create_task(write("renewed", RenewNode(node, LEASE))))
                await asyncio.gather(*tasks)
            assert order == ["locked"] * 10 + ["renewed"] + ["other"] * 5 + ["settled"] * 5

    asyncio.run(main())


# ---- claims


def test_a_claim_is_had_by_one_and_told_to_the_others() -> None:
    """R-9, R-10."""

    async def main() -> None:
        async with engine() as store:
            claim = Claim(b"key", b"request")
            first = intent(1, claims=(claim,))
            assert await store.write(first) is None
            assert await store.write(intent(2, claims=(claim,))) is Refusal.IN_PROGRESS
            await store.write(outcome(first, b'{"id": 1}'))
            told = await store.write(intent(3, claims=(claim,)))
            assert isinstance(told, Answer)
            assert (told.status, told.body, told.is_replay) == (201, b'{"id": 1}', True)
            assert await store.write(Replay("m", claim)) == told
            assert await store.write(Replay("m", changed(claim, key=b"free"))) is None
            assert await store.write(intent(4, claims=(changed(claim, request=b"other"),))) is Refusal.KEY_REUSED
            once = changed(claim, taken=Refusal.DUPLICATE_REFERENCE)
            assert await store.write(intent(5, claims=(once,))) is Refusal.DUPLICATE_REFERENCE
            assert await store.write(intent(6, claims=(changed(claim, since=2),))) is None  # lapsed: taken over
            assert [tx.id for tx in await Payments(store).page("m", 0, 10)] == [1, 6]

    asyncio.run(main())


def test_a_write_that_loses_leaves_no_claim_behind() -> None:
    """R-10."""

    async def main() -> None:
        async with engine() as store:
            await store.write(intent(1))
            stale = changed(intent(1).payment, version=5)
            claim = Claim(b"key")
            assert await store.write(intent(2, payment=stale, claims=(claim,))) == Conflict()
            assert await store.write(Replay("m", claim)) is None
            taken = Claim(b"taken", taken=Refusal.DUPLICATE_REFERENCE)
            assert await store.write(intent(3, claims=(taken,))) is None
            assert await store.write(intent(4, claims=(claim, taken))) is Refusal.DUPLICATE_REFERENCE
            assert await store.write(Replay("m", claim)) is None

    asyncio.run(main())


def test_two_processes_race_for_claims_and_each_is_had_once() -> None:
    """T-6: whoever's snapshot did not show the other's claim undoes all of its batch and goes one by one."""

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as one, engine(url) as other:
            for turn in range(20):
                keys = [Claim(f"{turn} {number}".encode()) for number in range(10)]
                first = turn * 1000 + 1
                results = await asyncio.gather(
                    *(one.write(intent(first + n, claims=(key,))) for n, key in enumerate(keys)),
                    *(other.write(intent(first + 500 + n, claims=(key,))) for n, key in enumerate(reversed(keys))),
                )
                assert results.count(None) == 10
                assert set(results) <= {None, Refusal.IN_PROGRESS}
            assert len(await Payments(one).page("m", 0, 1000)) == 200

    asyncio.run(main())


def test_a_job_is_claimed_by_one_worker(tmp_path: Path) -> None:
    """R-14."""

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as one, engine(url) as other:
            job = Job(id=5, kind="clean-up", transaction_id=1, run_at=NOW)
            await one.write(Happened(merchant_id="m", transaction_id=1, id=9, kind="k", detail="d", jobs=(job,)))
            (due,) = await Queue(other).due("m", NOW)
            claim = ClaimJob(merchant_id="m", job=due, until=NOW + timedelta(seconds=30))
            assert sorted(await asyncio.gather(one.write(claim), other.write(claim))) == [False, True]
            assert await Queue(one).due("m", NOW) == []
            assert await one.write(JobLater(merchant_id="m", id=5, until=claim.until, run_at=NOW, parked=True))
            assert [found.state for found in await Queue(one).parked("m")] == ["parked"]
            assert await one.write(DriveJob("m", 5, NOW))
            assert [found.attempts for found in await Queue(one).due("m", NOW)] == [0]

    asyncio.run(main())


# ---- a server that is away

GIVEN_UP_S = 5.0
BACK_S = 20.0
"""What takes two seconds by the rules takes a busy machine longer; without the rule it takes for ever."""


@pytest.fixture
def own_server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.remove()


async def _refused_at_once(write: Write[object], store: Postgres) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await store.write(write)
    with pytest.raises(Unavailable):
        await store.read("all_merchants", {})
    assert time.monotonic() - begun < 0.9  # less than to connect may take, and than a statement may


async def _is_down(store: Postgres) -> None:
    """Wait until every connection is known to be gone."""
    async with asyncio.timeout(20):
        while store.fault != "5 of 5 connections to the database are down":
            await asyncio.sleep(0.02)


async def _is_back(store: Postgres, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                await store.read("all_merchants", {})
                return await store.write(SettledUntil("m", NOW))
            except DatabaseError:
                await asyncio.sleep(0.02)


def test_a_killed_server_is_told_at_once_and_used_again_when_it_is_back(own_server: Server) -> None:
    """F20: within two seconds, without a restart of ours."""

    async def main() -> None:
        async with engine(own_server.url()) as store:
            await store.write(intent(1))
            own_server.kill()
            await _is_down(store)
            await _refused_at_once(intent(2), store)
            await asyncio.to_thread(own_server.start)
            await _is_back(store, BACK_S)
            assert [tx.id for tx in await Payments(store).page("m", 0, 10)] == [1]

    asyncio.run(main())


def test_a_server_that_hangs_is_given_up_within_two_seconds(own_server: Server) -> None:
    """F22: what was sent is unknown, what waits is refused, and so is what comes."""

    async def main() -> None:
        async with engine(own_server.url()) as store:
            await store.write(intent(1))
            own_server.signal(signal.SIGSTOP, everybody=True)
            begun = time.monotonic()
            waiting = [store.write(intent(number)) for number in range(2, 300)]
            results = await asyncio.gather(*waiting, store.read("all_merchants", {}), return_exceptions=True)
            assert time.monotonic() - begun < GIVEN_UP_S
            assert {type(result) for result in results} == {CommitUnknown, Unavailable}
            await _is_down(store)  # the other connections had a moment to show that they work
            await _refused_at_once(intent(400), store)
            own_server.signal(signal.SIGCONT, everybody=True)
            await _is_back(store, BACK_S)

    asyncio.run(main())


def test_a_process_that_stood_still_hears_what_was_answered_meanwhile() -> None:
    """F22 is about the server: a pause of this process for longer than a statement may take is none of its."""

    async def main() -> None:
        gone: list[bool] = []
        url = postgres.fresh()
        lane = Lane(url, {}, pooled=False, on_down=gone.append)
        await lane.open()
        other = await asyncpg.connect(url)
        slow = asyncio.create_task(lane.run(Query("SELECT pg_sleep(0.4), 7", ()), {}))
        while not slow.done() and not await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        ):
            pass
        time.sleep(STATEMENT_S + 0.2)  # the answer comes, and then the limit passes
        ((_, answer),) = await slow
        assert (answer, gone, lane.is_up) == (7, [], True)
        await other.close()
        await lane.close()

    asyncio.run(main())


def test_one_broken_connection_is_replaced_while_the_others_go_on(own_server: Server) -> None:
    async def main() -> None:
        async with engine(own_server.url()) as store:
            await postgres.execute(
                own_server.url(),
                "SELECT pg_terminate_backend(max(pid)) FROM pg_stat_activity WHERE application_name = 'kessai'",
            )
            await _is_back(store, BACK_S)
            async with asyncio.timeout(20):
                while store.fault is not None:
                    await asyncio.sleep(0.02)
            assert await store.write(intent(1)) is None

    asyncio.run(main())


def test_a_lost_standby_is_an_unknown_outcome_not_an_acknowledgement(own_server: Server) -> None:
    """F23: a commit that stops waiting for its standby succeeds with a warning; we do not."""

    async def main() -> None:
        async with engine(own_server.url()) as store:
            await postgres.execute(
                own_server.url(), "ALTER SYSTEM SET synchronous_standby_names = 'gone'", "SELECT pg_reload_conf()"
            )
            waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            await _says(own_server.url(), "SHOW synchronous_standby_names", [("gone",)])
            writing = asyncio.create_task(store.write(intent(1)))
            cancelled = f"SELECT pg_cancel_backend(pid) FROM ({waits}) AS waiting"
            await _says(own_server.url(), cancelled, [(True,)])
            with pytest.raises(CommitUnknown, match="synchronous replication"):
                await writing
            begun = time.monotonic()
            with pytest.raises(CommitUnknown):
                await store.write(intent(2))
            assert time.monotonic() - begun < GIVEN_UP_S

    asyncio.run(main())


async def _says(url: str, query: str, rows: list[tuple[object, ...]]) -> None:
    """Ask the server until it answers with these rows."""
    async with asyncio.timeout(20):
        while await postgres.rows(url, query) != rows:
            await asyncio.sleep(0.02)


# ---- poolers


def test_behind_a_pooler_nothing_outlives_its_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-23: no prepared statements, no session settings, each statement in a transaction of its own."""
    monkeypatch.setenv("KESSAI_DATABASE", postgres.fresh())
    monkeypatch.setenv("KESSAI_POOLER", "true")

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            root = await till.authorize()
            done = await till.do(Capture(target=root.id, amount=usd(4_000)))
            assert isinstance(done, Transaction)
            assert done.status is Status.APPROVED
            assert isinstance(house.database, Postgres)
            for lane in house.database._lanes:
                assert await _prepared(lane) == []

    asyncio.run(main())


async def _prepared(lane: Lane) -> list[str]:
    assert lane._connection is not None
    rows = await lane._connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''")
    return [row[0] for row in rows]


# ---- errors


def test_every_error_of_the_driver_is_classified() -> None:
    """R-8: a class that the table does not know fails here, not at night."""
    kinds = [
        kind for kind in vars(asyncpg.exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(kinds) > 200
    for kind in kinds:
        state = getattr(kind, "sqlstate", None) or ""
        assert kind.__name__ in BY_NAME or state in BY_STATE or state[:2] in BY_STATE, kind.__name__


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (asyncpg.SerializationError("x"), Failure.RETRY),
        (asyncpg.DeadlockDetectedError("x"), Failure.RETRY),
        (asyncpg.UniqueViolationError("x"), Failure.BUG),
        (asyncpg.DiskFullError("x"), Failure.NOT_DONE),
        (asyncpg.QueryCanceledError("x"), Failure.NOT_DONE),
        (asyncpg.AdminShutdownError("x"), Failure.UNKNOWN),
        (asyncpg.ConnectionDoesNotExistError("x"), Failure.UNKNOWN),
        (ConnectionResetError(), Failure.UNKNOWN),
        (KeyError("x"), Failure.BUG),
    ],
)
def test_an_error_means_what_the_table_says(error: Exception, failure: Failure) -> None:
    assert failure_of(error) is failure
