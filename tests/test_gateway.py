"""The road under failure: unknown outcomes are cleaned up, races have one winner, a crash loses nothing."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kessai import books
from kessai.acquirers.simulator.link import Simulator
from kessai.app import House
from kessai.claims import bound_to, claim_of
from kessai.gateway import Circumstances
from kessai.jobs import reversals, settlement
from kessai.payment.authorize import Authorize, Increment
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Command, Operation, Refusal, Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.transitions import State, state_of
from kessai.payment.void import Void
from kessai.storage.payments import Answer
from kessai.storage.sqlite import Sqlite
from kessai.storage.writes import Begin, Finish
from tests.conftest import on_both_engines, on_sqlite
from tests.houses import VISA, Clock, Till, by_hand, opened, until, usd

pytestmark = on_both_engines

LOST = ["answer-lost", "no-answer", "late-answer", "time-out"]


def simulator(house: House) -> Simulator:
    link = house.gateway.links["sandbox"]
    assert isinstance(link, Simulator)
    return link


async def is_proven(house: House) -> bool:
    report = await books.check(house.database)
    return report.findings == ()


async def is_quiet(house: House) -> bool:
    """Nothing is queued any more."""
    return not await house.database.read("jobs_of", {"merchant_id": "kessai_sandbox"})


@pytest.mark.parametrize("scenario", LOST)
@pytest.mark.parametrize("is_sale", [False, True])
def test_an_authorization_without_an_answer_is_reversed(tmp_path: Path, scenario: str, is_sale: bool) -> None:
    """R-3, P3: unknown is neither approved nor declined; no hold stays behind at the acquirer."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            done = await till.authorize(scenario=scenario, capture=is_sale)
            assert done.status is Status.UNKNOWN
            await asyncio.sleep(0.15)  # the late answer's own delay
            await until(lambda: is_quiet(house))
            payment = await till.payment(done)
            assert payment.root.status is Status.UNKNOWN
            assert [tx.status for tx in payment.followers(Operation.REVERSAL)] == [Status.APPROVED]
            assert not simulator(house).book.held
            assert await is_proven(house)

    asyncio.run(main())


@pytest.mark.parametrize("scenario", LOST)
@pytest.mark.parametrize("operation", ["capture", "refund", "void", "reversal"])
def test_a_movement_without_an_answer_is_repeated_until_it_has_one(
    tmp_path: Path, scenario: str, operation: str
) -> None:
    """R-4: marked repeats; the acquirer does nothing twice."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            root = await till.authorize(capture=operation in ("refund", "void"))
            command: dict[str, Command] = {
                "capture": Capture(target=root.id, amount=usd(10_000)),
                "refund": Refund(target=root.id, amount=usd(4_000)),
                "void": Void(target=root.id),
                "reversal": Reverse(target=root.id, amount=usd(10_000)),
            }
            done = await till.do(command[operation], scenario)
            assert isinstance(done, Transaction)
            assert done.status is Status.UNKNOWN
            await asyncio.sleep(0.15)
            await until(lambda: is_quiet(house))
            settled = (await till.payment(root)).find(done.id)
            assert settled is not None
            assert settled.status is Status.APPROVED
            assert await is_proven(house)

    asyncio.run(main())


def test_an_increment_without_an_answer_is_undone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house, "kessai_vpc")
            root = await till.authorize(flags=frozenset({"pre"}))
            done = await till.do(Increment(target=root.id, amount=usd(500)), "answer-lost")
            assert isinstance(done, Transaction)
            await until(lambda: _is(till, done, Status.FAILED))
            assert (await till.payment(root)).authorized == 10_000
            assert simulator(house).book.held == {root.id: 10_000}
            assert await is_proven(house)

    asyncio.run(main())


async def _is(till: Till, transaction: Transaction, status: Status) -> bool:
    found = (await till.payment(transaction)).find(transaction.id)
    return found is not None and found.status is status


def test_a_merchants_own_reversal_takes_over_an_exchange_in_flight(tmp_path: Path) -> None:
    """The late road finds that it came too late; the merchant is answered normally."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            flying = asyncio.create_task(till.authorize(scenario="no-answer", merchant_transaction_id="T-1"))
            found: int | None = None
            while found is None:
                await asyncio.sleep(0.01)
                found = await house.gateway.payments.find_by_merchants_id(till.merchant.id, "T-1")
            reversal = await till.do(Reverse(target=found, amount=usd(10_000), by_transaction_id=True))
            assert isinstance(reversal, Transaction)
            assert reversal.status is Status.APPROVED
            assert (await flying).status is Status.UNKNOWN
            await until(lambda: is_quiet(house))
            payment = await till.payment(reversal)
            assert state_of(payment, payment.root, house.clock()) is State.REVERSED
            assert await is_proven(house)

    asyncio.run(main())


def test_a_merchants_reversal_after_the_clean_up_is_answered_normally_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            done = await till.authorize(scenario="answer-lost")
            await until(lambda: is_quiet(house))
            again = Reverse(target=done.id, amount=usd(10_000), by_transaction_id=True)
            first = await till.do(again)
            assert isinstance(first, Transaction)
            assert first.status is Status.APPROVED
            assert await till.do(again) is Refusal.ALREADY_REVERSED

    asyncio.run(main())


@pytest.mark.parametrize("round_", range(20))
def test_of_racing_captures_and_reversals_one_wins(tmp_path: Path, round_: int) -> None:
    """A-39, P5."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house, "kessai_vpc")
            root = await till.authorize()
            commands: list[Command] = [Capture(target=root.id, amount=usd(10_000)) for _ in range(3)]
            commands += [Reverse(target=root.id, amount=usd(10_000)), Void(target=root.id)]
            rotated = commands[round_ % 5 :] + commands[: round_ % 5]
            results = await asyncio.gather(*map(till.do, rotated))
            assert sum(isinstance(result, Transaction) for result in results) == 1
            assert await is_proven(house)

    asyncio.run(main())


def test_racing_refunds_never_return_more_than_was_captured(tmp_path: Path) -> None:
    """A-40."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house, "kessai_vpc")
            sale = await till.authorize(capture=True)
            refunds: list[Command] = [Refund(target=sale.id, amount=usd(4_000)) for _ in range(10)]
            results = await asyncio.gather(*map(till.do, refunds))
            assert sum(isinstance(result, Transaction) for result in results) == 2
            assert results.count(Refusal.EXCEEDS_CAPTURE) == 8

    asyncio.run(main())


@pytest.mark.parametrize("after", ["begin", "exchange"])
def test_what_a_dead_process_left_open_is_cleaned_up_by_the_next(tmp_path: Path, after: str) -> None:
    """P3, R-4: an intent without an outcome is unknown, then reversed; the caller's silence is kept as silence."""

    async def die() -> int:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            setattr(house.gateway, "_exchange" if after == "begin" else "_conclude", _never)
            task = asyncio.create_task(till.authorize(merchant_transaction_id="T-9"))
            found: int | None = None
            while found is None:
                await asyncio.sleep(0.01)
                found = await house.gateway.payments.find_by_merchants_id(till.merchant.id, "T-9")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return found

    async def next_process(identifier: int) -> None:
        async with opened(tmp_path) as house:
            await until(lambda: is_quiet(house))
            found = await house.gateway.payments.load("kessai_sandbox", identifier)
            assert found is not None
            assert found.payment.root.status is Status.UNKNOWN
            assert [tx.status for tx in found.payment.followers(Operation.REVERSAL)] == [Status.APPROVED]
            assert await is_proven(house)

    asyncio.run(next_process(asyncio.run(die())))


async def _never(*_: Any) -> Answer:
    await asyncio.sleep(3600)
    raise AssertionError


def test_an_outcome_is_concluded_once(tmp_path: Path) -> None:
    """R-6."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            done = await Till(house).authorize()
            again = Finish(merchant_id="kessai_sandbox", transaction=done)
            assert await house.database.write(again) is False
            assert await is_proven(house)

    asyncio.run(main())


@on_sqlite
def test_a_commit_that_fails_is_never_acknowledged_and_leaves_no_open_intent(tmp_path: Path) -> None:
    """R-7."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            assert isinstance(house.database, Sqlite)
            house.database._writer.set_commit_hook(lambda: True)
            with pytest.raises(Exception, match="a commit failed"):
                await till.authorize()
            assert (await till.authorize()).status is Status.APPROVED
            rows = await house.gateway.payments.page("kessai_sandbox", 0, 10)
            assert [tx.status for tx in rows] == [Status.APPROVED]

    asyncio.run(main())


def test_a_settlement_collects_once_and_ends_the_time_for_voids(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house, "kessai_vpc")
            root = await till.authorize()
            captured = await till.do(Capture(target=root.id, amount=usd(6_000)))
            voided = await till.do(Capture(target=root.id, amount=usd(1_000)))
            sale = await till.authorize(capture=True)
            refund = await till.do(Refund(target=sale.id, amount=usd(2_500)))
            assert isinstance(captured, Transaction)
            assert isinstance(voided, Transaction)
            assert isinstance(refund, Transaction)
            await till.do(Void(target=voided.id))
            clock.moved = timedelta(seconds=1)
            (batch,) = await settlement.settle(house.gateway, till.merchant, house.clock())
            assert (batch.count, batch.captured, batch.returned) == (3, 16_000, 2_500)
            assert await settlement.settle(house.gateway, till.merchant, house.clock()) == []
            for transaction in (captured, sale, refund):
                assert await till.do(Void(target=transaction.id)) is Refusal.NOT_VOIDABLE
            late = await till.do(Refund(target=captured.id, amount=usd(6_000)))
            assert isinstance(late, Transaction)
            assert await is_proven(house)
            await by_hand(house, "UPDATE settlements SET captured = captured + 1")
            (finding,) = (await books.check(house.database)).findings
            assert (finding.what, finding.transaction) == ("settlement", batch.id)

    asyncio.run(main())


def test_what_was_voided_is_read_by_one_cut_and_by_none_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house, "kessai_vpc")
            root, sale, other = [await till.authorize(capture=each) for each in (False, True, True)]
            captured = await till.do(Capture(target=root.id, amount=usd(6_000)))
            refund = await till.do(Refund(target=other.id, amount=usd(2_500)))
            assert isinstance(captured, Transaction)
            assert isinstance(refund, Transaction)

            async def cut() -> list[tuple[int, int]]:
                clock.moved += timedelta(seconds=1)
                made = await settlement.settle(house.gateway, till.merchant, clock())
                return [(each.captured, each.returned) for each in made]

            async def waiting() -> list[int]:
                return await house.gateway.payments.unsettled("kessai_vpc", clock(), 0, 100)

            for each in (sale, refund):
                assert isinstance(await till.do(Void(target=each.id)), Transaction)
            assert await cut() == [(16_000, 0)]
            assert await waiting() == []
            assert (await till.payment(sale)).root.settlement is None
            assert await till.do(Void(target=sale.id)) is Refusal.NOT_VOIDABLE
            # what was voided stands beside what comes later
            assert isinstance(await till.do(Refund(target=other.id, amount=usd(1_500))), Transaction)
            assert await cut() == [(0, 1_500)]
            # and where nothing else is to be collected
            last = await till.authorize(capture=True)
            await till.do(Void(target=last.id))
            clock.moved += timedelta(seconds=1)
            assert await waiting() == [last.payment_id]
            assert (await cut(), await waiting()) == ([], [])
            assert await is_proven(house)

    asyncio.run(main())


def test_a_void_and_the_cut_off_at_once_never_both_win(tmp_path: Path) -> None:
    """A-41."""

    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house, "kessai_vpc")
            for _ in range(10):
                sale = await till.authorize(capture=True)
                clock.moved += timedelta(seconds=1)
                void, batches = await asyncio.gather(
                    till.do(Void(target=sale.id)),
                    settlement.settle(house.gateway, till.merchant, house.clock()),
                )
                assert isinstance(void, Transaction) != bool(batches)
            assert await is_proven(house)

    asyncio.run(main())


def test_a_hold_lapses_when_its_time_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, works=False) as house:
            till = Till(house, "kessai_vpc")
            root = await till.authorize()
            partly = await till.authorize()
            await till.do(Capture(target=partly.id, amount=usd(4_000)))
            clock.moved = timedelta(days=181)
            assert await till.do(Capture(target=root.id, amount=usd(10_000))) is Refusal.EXPIRED
            assert await reversals.expire(house.gateway, till.merchant) == 2
            assert await reversals.expire(house.gateway, till.merchant) == 0
            assert (await till.payment(root)).held == 0
            assert (await till.payment(partly)).captured == 4_000
            assert await till.do(Capture(target=root.id, amount=usd(10_000))) is Refusal.EXPIRED
            assert await is_proven(house)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE entries SET amount = amount + 1 WHERE line = 0", "altered"),
        ("UPDATE entries SET account = 'nonsense' WHERE line = 1", "altered"),
        ("DELETE FROM entries WHERE line = 1", "missing"),
        (
            "INSERT INTO entries SELECT merchant_id, transaction_id, 9, account, currency, 0, 1 FROM entries LIMIT 1",
            "added",
        ),
        ("INSERT INTO entries SELECT merchant_id, -5, line, account, currency, amount, 1 FROM entries", "added"),
        ("DELETE FROM transactions", "added"),
        ("DELETE FROM payments", "transaction"),
        ("UPDATE transactions SET approved = 0", "transaction"),
        ("UPDATE transactions SET approved = 1", "altered"),
        ("UPDATE transactions SET status = 'declined'", "added"),
        ("UPDATE entries SET merchant_id = 'stranger'", "missing"),
    ],
)
def test_a_change_by_hand_is_found_and_named(tmp_path: Path, statement: str, what: str) -> None:
    """A-111."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            done = await Till(house).authorize()
            assert await is_proven(house)
            await by_hand(house, statement)
            findings = (await books.check(house.database)).findings
            assert what in {finding.what for finding in findings}
            assert {done.id, -5} & {finding.transaction for finding in findings}

    asyncio.run(main())


def test_the_security_code_is_not_in_an_intent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-61: not even a crash right behind the first commit leaves one."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            seen: list[Begin] = []
            write = house.database.write

            async def watched(unit: Any) -> Any:
                if isinstance(unit, Begin):
                    seen.append(unit)
                return await write(unit)

            monkeypatch.setattr(house.database, "write", watched)
            await Till(house).authorize()
            assert seen
            assert seen[0].card is not None
            assert VISA.pan.digits.encode() not in seen[0].card.sealed
            assert not any("security_code" in name for name in Begin.__struct_fields__)

    asyncio.run(main())


def test_a_key_answers_the_same_bytes_again_and_refuses_another_request(tmp_path: Path) -> None:
    """R-10."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            answers = []
            for request in (b"one", b"one", b"two"):
                circumstances = Circumstances(
                    claims=(claim_of("POST /x", "key-1", request=bound_to(till.merchant.id, request)),)
                )
                answers.append(
                    await house.gateway.perform(
                        till.merchant,
                        Authorize(amount=usd(100), card=VISA),
                        circumstances,
                        lambda _, tx: Answer(201, str(tx.id).encode()),
                    )
                )
            first, again = answers[0], answers[1]
            assert isinstance(first, Answer)
            assert again == replace(first, is_replay=True)
            assert answers[2] is Refusal.KEY_REUSED
            assert len(await house.gateway.payments.page(till.merchant.id, 0, 10)) == 1

    asyncio.run(main())
