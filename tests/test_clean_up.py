"""Clean-up under failure: the link fails again, somebody takes over, a process dies. No money goes astray."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from kessai import books, ids
from kessai.acquirers import Exchange
from kessai.acquirers.simulator.link import Simulator
from kessai.app import House
from kessai.claims import claim_of
from kessai.gateway import Circumstances
from kessai.jobs import claims, reversals
from kessai.ledger import Account
from kessai.payment.authorize import Authorize, Increment
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Failed, Operation, Outcome, Reason, Refusal, Status, Transaction, Unknown
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void
from kessai.storage import database as storage
from kessai.storage import sqlite
from kessai.storage.database import CommitUnknown
from kessai.storage.payments import Answer
from kessai.storage.postgres import Postgres
from kessai.storage.queue import ClaimJob, HurryJobs, JobDone, JobLater, Queue
from kessai.storage.sqlite import Sqlite, connect
from kessai.storage.writes import Finish, Happened
from tests.conftest import on_both_engines, on_sqlite
from tests.houses import VISA, Clock, Till, opened, until, usd

pytestmark = on_both_engines


@dataclass
class Line:
    """A link with a switch in it: what `ends` says happens to exchanges of some operations; the rest go through."""

    link: Simulator
    ends: Outcome | None = None
    is_away: bool = False
    operations: frozenset[Operation] = frozenset()
    loses_answers: int = 0
    sent: list[Exchange] = field(default_factory=list)

    async def send(self, exchange: Exchange) -> Outcome:
        if exchange.operation in self.operations:
            self.sent.append(exchange)
            if self.ends is not None:
                return self.ends
            outcome = await self.link.send(exchange)
            if self.loses_answers:
                self.loses_answers -= 1
                return Unknown("lost on the way back")
            return outcome
        return await self.link.send(exchange)

    def trace(self, now: datetime) -> tuple[str, str]:
        return self.link.trace(now)

    def on_late_answer(self, handler: Any) -> None:
        self.link.on_late_answer(handler)

    async def close(self) -> None:
        await self.link.close()


DOWN = Failed(reason=Reason.UNREACHABLE)


def line_of(house: House) -> Line:
    link = house.gateway.links["sandbox"]
    assert isinstance(link, Simulator)
    line = Line(link)
    house.gateway.links = dict.fromkeys(house.gateway.links, line)
    return line


async def is_quiet(house: House) -> bool:
    rows = [await house.database.read("jobs_of", {"merchant_id": each.merchant.id}) for each in house.accounts]
    return not any(rows)


async def is_proven(house: House) -> bool:
    return (await books.check(house.database)).findings == ()


async def in_flight(till: Till, operation: Operation) -> Transaction:
    """A transaction of an operation that waits for its answer."""
    while True:
        for transaction in await till.house.gateway.payments.page(till.merchant.id, 0, 1_000):
            if transaction.operation is operation and transaction.status is Status.PENDING:
                return transaction
        await asyncio.sleep(0.01)


def test_a_reversal_that_fails_is_tried_again_until_nothing_is_held(tmp_path: Path) -> None:
    """P3: a link that is down at the clean-up leaves no hold behind."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            line, till = line_of(house), Till(house)
            line.ends, line.operations = DOWN, frozenset({Operation.REVERSAL})
            await till.authorize(scenario="answer-lost")
            await until(lambda: _has_sent(line, 3))
            assert line.link.book.held
            line.ends = None
            await until(lambda: is_quiet(house))
            assert not line.link.book.held
            assert await is_proven(house)

    asyncio.run(main())


async def _has_sent(line: Line, count: int) -> bool:
    return len(line.sent) >= count


def test_a_repeat_that_was_not_done_says_nothing_of_the_first_message(tmp_path: Path) -> None:
    """R-3: the capture stays unknown while its repeats do not get through, and is not made twice."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            line, till = line_of(house), Till(house, "kessai_vpc")
            root = await till.authorize()
            capture = Capture(target=root.id, amount=usd(10_000))
            lost = await till.do(capture, "answer-lost")
            assert isinstance(lost, Transaction)
            line.ends, line.operations = DOWN, frozenset({Operation.CAPTURE})
            await until(lambda: _has_sent(line, 2))
            assert await till.do(capture) in (Refusal.ALREADY_CAPTURED, Refusal.STILL_OPEN)
            line.ends = None
            await until(lambda: is_quiet(house))
            assert sum(line.link.book.moved.values()) == 10_000
            assert (await till.payment(root)).captured == 10_000
            assert await is_proven(house)

    asyncio.run(main())


@pytest.mark.parametrize("operation", [Operation.AUTHORIZE, Operation.CAPTURE])
def test_what_was_taken_over_in_vain_is_still_settled(tmp_path: Path, operation: Operation) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            if operation is Operation.AUTHORIZE:
                flying = asyncio.create_task(till.authorize(scenario="no-answer"))
                target = await in_flight(till, operation)
                undoing: Any = Reverse(target=target.id, amount=usd(10_000), by_transaction_id=True)
            else:
                root = await till.authorize()
                capture = Capture(target=root.id, amount=usd(10_000))
                flying = asyncio.create_task(till.do(capture, "no-answer"))  # type: ignore[arg-type]
                target = await in_flight(till, operation)
                undoing = Void(target=target.id, by_transaction_id=True)
            failed = await till.do(undoing, "unreachable")
            assert isinstance(failed, Transaction)
            assert failed.status is Status.FAILED
            assert (await flying).status is Status.UNKNOWN
            await until(lambda: is_quiet(house))
            payment = await till.payment(target)
            settled = payment.find(target.id)
            assert settled is not None
            undone = [tx for tx in payment.followers(Operation.REVERSAL) if tx.status is Status.APPROVED]
            assert undone if operation is Operation.AUTHORIZE else settled.status is Status.APPROVED
            assert await is_proven(house)

    asyncio.run(main())


def test_a_take_over_that_comes_too_late_looks_again(tmp_path: Path) -> None:
    """The original concluded between the look and the first commit: the void takes what it really moved."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            for _ in range(20):
                flying = asyncio.create_task(till.authorize(capture=True))
                target = await in_flight_or_done(till, flying)
                void = await till.do(Void(target=target, by_transaction_id=True))
                await flying
                assert isinstance(void, Transaction)
            report = await books.check(house.database)
            assert report.findings == ()
            collected = [minor for _, account, _, minor in report.balances if account == Account.ACQUIRER.value]
            assert collected == [0] or not collected

    asyncio.run(main())


async def in_flight_or_done(till: Till, task: "asyncio.Task[Transaction]") -> int:
    while True:
        rows = await till.house.gateway.payments.page(till.merchant.id, 0, 1_000)
        new = [tx for tx in rows if tx.operation is Operation.SALE and not any(f.target == tx.id for f in rows)]
        if new:
            return new[0].id
        assert not task.done()
        await asyncio.sleep(0)


def test_an_increment_is_undone_once_however_often_the_answer_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            line, till = line_of(house), Till(house, "kessai_vpc")
            root = await till.authorize(flags=frozenset({"pre"}))
            line.operations, line.loses_answers = frozenset({Operation.REVERSAL}), 2
            await till.do(Increment(target=root.id, amount=usd(5_000)), "answer-lost")
            await until(lambda: is_quiet(house))
            assert len(line.sent) == 3
            assert len({exchange.transaction_id for exchange in line.sent}) == 1
            assert line.link.book.held == {root.id: 10_000}
            assert (await till.payment(root)).held == 10_000

    asyncio.run(main())


def test_an_expiry_is_one_commit(tmp_path: Path) -> None:
    """A crash leaves either nothing of it or all of it."""

    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house)
            root = await till.authorize()
            clock.moved = timedelta(days=181)
            write = house.database.write

            async def dies(unit: Any) -> Any:
                assert not isinstance(unit, Finish), "an expiry has no second commit to die before"
                return await write(unit)

            house.database.write = dies  # type: ignore[assignment,method-assign]
            assert await reversals.expire(house.gateway, till.merchant) == 1
            assert (await till.payment(root)).held == 0
            assert await is_proven(house)

    asyncio.run(main())


def test_what_cannot_lapse_does_not_keep_the_rest_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            assert isinstance(house.database, Sqlite | Postgres)
            monkeypatch.setitem(house.database.queries, "expiring", _small_pages(house.database))
            till = Till(house)
            for _ in range(5):
                await till.authorize(scenario="answer-lost")
            good = await till.authorize()
            clock.moved = timedelta(days=200)
            assert await reversals.expire(house.gateway, till.merchant) == 1
            assert (await till.payment(good)).held == 0

    asyncio.run(main())


def _small_pages(database: Sqlite | Postgres) -> Any:
    query = database.queries["expiring"]
    return storage.Query(query.sql.replace("LIMIT 200", "LIMIT 2"), query.names)


def test_a_sale_cut_short_holds_and_lapses_like_any_hold(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house)
            sale = await till.authorize(capture=True, scenario="avs-failed")
            whole = await till.authorize(capture=True)
            assert sale.operation is Operation.AUTHORIZE
            clock.moved = timedelta(days=181)
            assert await reversals.expire(house.gateway, till.merchant) == 1
            assert (await till.payment(sale)).held == 0
            assert (await till.payment(whole)).captured == 10_000
            assert await is_proven(house)

    asyncio.run(main())


def test_a_void_gives_back_what_its_capture_took_even_after_an_over_capture(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house)
            root = await till.authorize()
            first = await till.do(Capture(target=root.id, amount=usd(6_000)))
            await till.do(Capture(target=root.id, amount=usd(10_000)))
            assert isinstance(first, Transaction)
            await till.do(Void(target=first.id))
            assert (await till.payment(root)).held == 6_000
            assert await is_proven(house)
            clock.moved = timedelta(days=181)
            assert await reversals.expire(house.gateway, till.merchant) == 1
            assert await is_proven(house)

    asyncio.run(main())


@on_sqlite
def test_a_store_whose_reopening_fails_too_says_unknown_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-7."""

    class Add:
        def apply(self, run: storage.Run) -> None:
            run("add_keyset", {"merchant_id": "m", "purpose": "card", "sealed": b"x", "created_at": 1})

    async def main() -> None:
        store = Sqlite(tmp_path)
        store._writer.set_commit_hook(lambda: True)
        with pytest.raises(CommitUnknown):
            await store.write(Add())
        tries = iter([apsw.CantOpenError("no more files"), None])

        def fails_once(path: Path, **more: Any) -> apsw.Connection:
            error = next(tries)
            if error is not None:
                raise error
            return connect(path, **more)

        monkeypatch.setattr(sqlite, "connect", fails_once)
        with pytest.raises(storage.Unavailable):
            await store.write(Add())
        await store.write(Add())
        assert len(await store.read("keysets", {"merchant_id": "m"})) == 1
        await store.close()

    asyncio.run(main())


@on_sqlite
def test_a_file_that_was_removed_takes_no_more_payments(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            await till.authorize()
            (tmp_path / "kessai.db").rename(tmp_path / "moved.db")
            await until(lambda: _is_gone(house))
            with pytest.raises(storage.Unavailable, match="removed"):
                await till.authorize()
            (tmp_path / "moved.db").rename(tmp_path / "kessai.db")

    asyncio.run(main())


async def _is_gone(house: House) -> bool:
    return house.database.is_gone


def test_what_waited_for_a_link_goes_first_when_it_is_back(tmp_path: Path) -> None:
    """F13: a clean-up that would be tried again in an hour is tried at once."""

    async def main() -> None:
        async with opened(tmp_path, waits_s=(3600.0, 3600.0), works=False) as house:
            line = line_of(house)
            line.ends, line.operations, line.is_away = Unknown("away"), frozenset({Operation.REVERSAL}), True
            done = await Till(house).authorize(scenario="answer-lost")
            assert done.status is Status.UNKNOWN
            working = asyncio.create_task(house.worker.run())
            await until(lambda: _was_tried(house))
            line.ends, line.is_away = None, False
            house.worker.wake()
            await until(lambda: _nothing_waits(house))
            house.worker.stop()
            await working

    asyncio.run(main())


async def _was_tried(house: House) -> bool:
    return any(job.attempts for job in await Queue(house.database).all("kessai_sandbox"))


async def _nothing_waits(house: House) -> bool:
    return not await Queue(house.database).all("kessai_sandbox")


def test_claims_are_forgotten_when_nobody_can_want_them_any_more(tmp_path: Path) -> None:
    """R-10: kept as long as their window, and not for ever."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till, gateway = Till(house), house.gateway
            kept = Circumstances(claims=(claim_of("POST /x", "one"),))
            command = Authorize(amount=usd(100), card=VISA)
            await gateway.perform(till.merchant, command, kept, lambda *_: Answer(201, b"{}"))
            assert await claims.forget(gateway, till.merchant, b"") == b""
            assert len(await gateway.payments.claims(till.merchant.id, b"", 10)) == 1
            gateway.new_id = lambda: ids.first_of(datetime.now(UTC) + timedelta(days=31))
            await claims.forget(gateway, till.merchant, b"")
            assert await gateway.payments.claims(till.merchant.id, b"", 10) == []

    asyncio.run(main())


def test_an_exchange_whose_lease_ended_on_the_way_is_unknown_and_nothing_begins_without_one(tmp_path: Path) -> None:
    """R-3, R-4: a process that was stopped for long tells no caller that nothing was done."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            under_way = asyncio.create_task(till.authorize(scenario="no-answer"))
            await until(lambda: _is_under_way(house))
            monotonic_end = house.seat._until
            house.seat._until = 0.0
            done = await under_way
            assert done.status is Status.UNKNOWN
            assert [job.transaction_id for job in await Queue(house.database).all("kessai_sandbox")] == [done.id]
            with pytest.raises(storage.Unavailable):
                await till.authorize()
            house.seat._until = monotonic_end
            assert (await till.authorize()).status is Status.APPROVED

    asyncio.run(main())


async def _is_under_way(house: House) -> bool:
    return bool(house.gateway.under_way)


def test_an_approval_that_came_late_is_undone_again_whatever_the_clocks_say(tmp_path: Path) -> None:
    """R-5: of two processes, one may be behind; the event that it writes looks older than the reversal."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            line = line_of(house)
            line.operations = frozenset({Operation.REVERSAL})
            till = Till(house)
            done = await till.authorize(scenario="answer-lost")
            assert await reversals.clean_up(house.gateway, till.merchant, done.id)
            late = Happened(
                merchant_id=till.merchant.id, transaction_id=done.id, id=done.id + 256, kind="approved-late", detail=""
            )
            await house.database.write(late)
            assert await reversals.clean_up(house.gateway, till.merchant, done.id)
            assert [sent.is_repeat for sent in line.sent] == [False, True]

    asyncio.run(main())


def test_a_job_that_somebody_is_at_is_not_hurried(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till, queue = Till(house), Queue(house.database)
            await till.authorize(scenario="answer-lost")
            now = house.clock() + timedelta(seconds=1)
            (job,) = await queue.due(till.merchant.id, now)
            until_then = now + timedelta(seconds=60)
            assert await house.database.write(ClaimJob(merchant_id=till.merchant.id, job=job, until=until_then))
            await house.database.write(HurryJobs(till.merchant.id, now))
            assert await queue.due(till.merchant.id, now) == []
            assert len(await queue.due(till.merchant.id, until_then)) == 1

    asyncio.run(main())


def test_a_worker_whose_claim_lapsed_leaves_the_job_to_the_next_one(tmp_path: Path) -> None:
    """R-14: neither is it put off, nor struck from the queue, while another worker is at it."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till, queue, database = Till(house), Queue(house.database), house.database
            await till.authorize(scenario="answer-lost")
            merchant, now = till.merchant.id, house.clock() + timedelta(seconds=1)
            (job,) = await queue.due(merchant, now)
            first, second = now + timedelta(seconds=10), now + timedelta(seconds=20)
            assert await database.write(ClaimJob(merchant_id=merchant, job=job, until=first))
            (lapsed,) = await queue.due(merchant, first)
            assert await database.write(ClaimJob(merchant_id=merchant, job=lapsed, until=second))
            assert not await database.write(JobDone(merchant_id=merchant, id=job.id, until=first))
            later = JobLater(merchant_id=merchant, id=job.id, until=first, run_at=now, parked=True)
            assert not await database.write(later)
            (stays,) = await queue.all(merchant)
            assert (stays.state, stays.attempts) == ("claimed", 0)
            assert await queue.due(merchant, first) == []
            assert await database.write(JobLater(merchant_id=merchant, id=job.id, until=second, run_at=now))
            assert not await database.write(JobDone(merchant_id=merchant, id=job.id, until=second)), "it waits again"
            (waits,) = await queue.all(merchant)
            assert (waits.state, waits.attempts) == ("waiting", 1)

    asyncio.run(main())


def test_a_worker_that_took_too_long_says_so_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-14: its claim lapsed in the middle of a try, and the next worker has begun."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till, queue = Till(house), Queue(house.database)
            await till.authorize(scenario="answer-lost")

            async def is_slow(*_: object) -> bool:
                (job,) = await queue.all(till.merchant.id)
                until_then = house.clock() + timedelta(minutes=5)
                claim = ClaimJob(merchant_id=till.merchant.id, job=job, until=until_then)
                assert await house.database.write(claim)
                return True

            monkeypatch.setattr(reversals, "clean_up", is_slow)
            await house.worker._work_off()
            assert [job.state for job in await queue.all(till.merchant.id)] == ["claimed"]

    asyncio.run(main())
    assert "job.overtaken" in capsys.readouterr().err
