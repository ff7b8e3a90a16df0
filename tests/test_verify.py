"""Verification: what was changed behind the gateway's back is found, and what is only under way is not."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from kessai import admin, books, verify
from kessai.acquirers.simulator.book import Done, encode
from kessai.app import House
from kessai.late import CLEAN_UP
from kessai.payment.capture import Capture
from kessai.payment.credit import Credit
from kessai.payment.lifecycle import Operation, Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void
from kessai.storage.database import Run
from kessai.storage.writes import Job, enqueue
from tests.commands import document, gateway, in_turn, run
from tests.houses import VISA, Till, opened, until, usd

AGAIN_S: Final = 0.05


async def checked(house: House, *, later: timedelta = timedelta(), again_after_s: float = AGAIN_S) -> books.Report:
    return await verify.verify(
        house.database,
        now=house.clock() + later,
        deadline_s=house.settings.acquirer_deadline_s,
        book=house.folder / verify.BOOK,
        again_after_s=again_after_s,
    )


def found(report: books.Report) -> list[tuple[str, int]]:
    return [(finding.what, finding.transaction) for finding in report.findings]


async def trade(till: Till) -> Mapping[str, Transaction]:
    """One of everything that moves money."""
    made: dict[str, Any] = {"held": await till.authorize(10_000)}
    made["authorized"] = await till.authorize(10_000)
    made["captured"] = await till.do(Capture(target=made["authorized"].id, amount=usd(6_000)))
    made["refunded"] = await till.do(Refund(target=made["captured"].id, amount=usd(1_000)))
    made["credited"] = await till.do(Credit(amount=usd(500), card=VISA))
    taken_back = await till.authorize(3_000)
    await till.do(Reverse(target=taken_back.id, amount=usd(3_000)))
    voided = await till.authorize(2_000)
    capture = await till.do(Capture(target=voided.id, amount=usd(2_000)))
    assert isinstance(capture, Transaction)
    made["void"] = await till.do(Void(target=capture.id))
    assert all(each.status is Status.APPROVED for each in made.values())
    return made


async def settled(house: House) -> None:
    async def is_empty() -> bool:
        return not await house.database.read("jobs_of", {"merchant_id": "kessai_sandbox"})

    await until(is_empty)


def test_everything_agrees_after_every_operation_and_every_clean_up(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            await trade(till)
            for scenario in ("answer-lost", "no-answer", "late-answer"):
                assert (await till.authorize(700, scenario)).status is Status.UNKNOWN
            skipped = await till.authorize(800, "avs-failed", capture=True)
            assert "capture-skipped" in skipped.flags
            await settled(house)
            report = await checked(house)
            assert found(report) == []
            assert report.transactions >= 13

    asyncio.run(scene())


def test_an_unknown_reversal_beside_one_that_is_known_is_settled_too(tmp_path: Path) -> None:
    """A partial release whose answer was lost is sent again, though another one was approved before it."""

    async def scene() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            held = await till.authorize(10_000)
            first = await till.do(Reverse(target=held.id, amount=usd(3_000)))
            second = await till.do(Reverse(target=held.id, amount=usd(1_000)), "answer-lost")
            assert isinstance(first, Transaction)
            assert isinstance(second, Transaction)
            assert (first.status, second.status) == (Status.APPROVED, Status.UNKNOWN)
            await settled(house)
            now = (await till.payment(held)).find(second.id)
            assert now is not None
            assert (now.status, now.approved) == (Status.APPROVED, 1_000)
            assert found(await checked(house)) == []

    asyncio.run(scene())


class Behind:
    """What an intruder, or a bug, does to the files of a house."""

    def __init__(self, house: House, made: Mapping[str, Transaction]) -> None:
        self.house, self.made = house, made

    def row(self, statement: str) -> None:
        ids = {name: tx.id for name, tx in self.made.items()}
        connection = apsw.Connection(str(self.house.folder / "kessai.db"))
        connection.execute(statement.format(**ids))
        connection.close()

    def line(self, **members: Any) -> None:
        """A line into the acquirer's book."""
        usual: dict[str, Any] = {"approved": 1_000, "asked": 1_000, "currency": "USD", "facts": {}}
        line = Done(**(usual | members))
        with (self.house.folder / verify.BOOK).open("ab") as book:
            book.write(b"\n%b\n" % encode(line))


PLANTED: Final[Mapping[str, tuple[str, str]]] = {
    "altered": ("UPDATE entries SET amount = amount + 1 WHERE transaction_id = {held} AND line = 0", "held"),
    "missing": ("DELETE FROM entries WHERE transaction_id = {captured} AND line = 0", "captured"),
    "transaction": ("UPDATE transactions SET approved = 0 WHERE id = {refunded}", "refunded"),
    "acquirer": ("UPDATE transactions SET approved = 900 WHERE id = {refunded}", "refunded"),
    "claim": (
        "INSERT INTO claims VALUES ('kessai_sandbox', x'00', x'00', {held} + 1); "
        "INSERT INTO claims VALUES ('kessai_sandbox', x'ff', x'00', {held})",
        "",
    ),
    "job": ("INSERT INTO jobs VALUES ('kessai_sandbox', 1, 'clean-up', 77, 'parked', 0, 0)", ""),
    "forgotten": ("UPDATE transactions SET status = 'unknown', approved = 0 WHERE id = {refunded}", "refunded"),
    "pending": ("UPDATE transactions SET status = 'pending', approved = 0 WHERE id = {refunded}", "refunded"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_changed_by_hand_is_found(tmp_path: Path, what: str) -> None:
    async def scene() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await trade(Till(house))
            assert found(await checked(house)) == []
            statement, name = PLANTED[what]
            Behind(house, made).row(statement)
            told = found(await checked(house, later=timedelta(seconds=120)))
            named = [transaction for kind, transaction in told if kind == what]
            assert len(named) == 1
            if name:
                assert named == [made[name].id]

    asyncio.run(scene())


def test_what_the_acquirer_does_for_nobody_is_found(tmp_path: Path) -> None:
    """Orphan holds: P3."""

    async def scene() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await trade(Till(house))
            behind = Behind(house, made)
            behind.line(transaction=101, operation=Operation.AUTHORIZE)
            behind.line(transaction=102, operation=Operation.CREDIT)
            behind.line(transaction=103, operation=Operation.REVERSAL, original=made["held"].id)
            told = found(await checked(house))
            assert told == [("acquirer", made["held"].id), ("orphan-hold", 101), ("orphan-movement", 102)]

    asyncio.run(scene())


def test_what_is_under_way_is_no_finding(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path, settings="acquirer_deadline_s = 1\n") as house:
            till = Till(house)
            waiting = asyncio.create_task(till.authorize(700, "no-answer"))
            await asyncio.sleep(0.1)
            assert found(await checked(house)) == []
            assert (await waiting).status is Status.UNKNOWN
            assert found(await checked(house)) == []

    asyncio.run(scene())


def test_a_finding_that_is_gone_at_the_second_look_is_not_told(tmp_path: Path) -> None:
    class Later:
        """The clean-up of a transaction, queued between the two looks."""

        def __init__(self, job: Job) -> None:
            self.job = job

        def apply(self, run: Run) -> None:
            enqueue(run, "kessai_sandbox", (self.job,))

    async def scene() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await trade(Till(house))
            Behind(house, made).row(PLANTED["forgotten"][0])
            looking = asyncio.create_task(checked(house, again_after_s=1.5))
            await asyncio.sleep(0.2)
            job = Job(
                id=house.gateway.new_id(), kind=CLEAN_UP, transaction_id=made["refunded"].id, run_at=house.clock()
            )
            await house.database.write(Later(job))
            assert "forgotten" not in [what for what, _ in found(await looking)]

    asyncio.run(scene())


def test_an_acquirer_without_a_book_here_is_not_compared(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path, works=False) as house:
            await trade(Till(house))
            (tmp_path / verify.BOOK).unlink()
            assert found(await checked(house)) == []

    asyncio.run(scene())


def test_payments_that_come_in_meanwhile_are_no_findings(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            paid: list[int] = []

            async def load() -> None:
                while len(paid) < 300:
                    first = await till.authorize(1_000)
                    await till.do(Capture(target=first.id, amount=usd(1_000)))
                    paid.append(first.id)

            loads = asyncio.gather(*(load() for _ in range(4)))
            looks = 0
            while not loads.done():
                assert found(await checked(house)) == []
                looks += 1
                await asyncio.sleep(0.01)
            await loads
            assert looks > 1
            assert (await checked(house)).transactions >= 600

    asyncio.run(scene())


def test_a_parked_job_is_seen_and_driven_again(tmp_path: Path) -> None:
    """R-14."""

    async def scene() -> None:
        async with opened(tmp_path, works=False) as house:
            assert (await Till(house).authorize(700, "answer-lost")).status is Status.UNKNOWN
            (job,) = await house.database.read("jobs_of", {"merchant_id": "kessai_sandbox"})
            Behind(house, {}).row("UPDATE jobs SET state = 'parked', attempts = 10000")
            listed: Any = await admin.jobs(house)
            (told,) = listed
            assert (told["state"], told["attempts"]) == ("parked", 10_000)
            driven = await admin.carry_out(house, "jobs drive", {})
            assert driven == {"result": [{"merchant": "kessai_sandbox", "id": told["id"]}]}
            assert (await admin.carry_out(house, "jobs drive", {})) == {"result": []}
            assert (await house.database.read("jobs_of", {"merchant_id": "kessai_sandbox"}))[0][3] == "waiting"
            worker = asyncio.create_task(house.worker.run())
            await settled(house)
            house.worker.stop()
            await worker
            assert found(await checked(house)) == []
            assert job[2] > 0

    asyncio.run(scene())


# ---- the commands


def test_the_command_tells_and_exits_with_1(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with gateway(folder) as served:
        served.capture(served.pay())
        assert document(folder, "verify")["findings"] == []
        connection = apsw.Connection(str(folder / "kessai.db"))
        connection.set_busy_timeout(5_000)
        connection.execute("INSERT INTO jobs VALUES ('kessai_sandbox', 1, 'clean-up', 77, 'parked', 0, 9)")
        connection.close()
        finished = run(folder, "verify")
        assert (finished.returncode, finished.stderr) == (1, "")
        assert "Not everything agrees" in finished.stdout
        as_text, misused, driven, unknown = in_turn(
            folder, [("jobs",), ("jobs", "drive"), ("jobs", "drive", "--all"), ("jobs", "drive", "7" * 22)]
        )
        assert "1 given up" in as_text[1]
        assert misused[0] == 2
        assert (driven[0], "kessai_sandbox" in driven[1]) == (0, True)
        assert unknown[0] == 1
