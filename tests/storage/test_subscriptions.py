"""Plans, subscriptions, charges and kept answers as rows, on both engines: whole or not at all, one winner each."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conftest import on_both_engines
from tests.houses import opened

from kessai.app import House
from kessai.payment.plan import Billing, Plan, PlanState, Unit
from kessai.payment.subscription import State, Subscription, next_charge
from kessai.storage.payments import Answer
from kessai.storage.subscriptions import (
    WANTED,
    AddPlan,
    AddSubscription,
    BeginCharge,
    ChangePlan,
    ChangeSubscription,
    ClaimAnswer,
    DeletePlan,
    ForgetAnswer,
    KeepAnswer,
    PurgeKept,
    RecordCharge,
    SubscribeToPlan,
    Subscriptions,
    number_of,
)

pytestmark = on_both_engines

OURS, THEIRS = "kessai_vpc", "kessai_smcc"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MONTHLY = Billing(unit=Unit.MONTH, length=1, currency="JPY", amount=980, setup_fee=500, cycles=12)
PLAN = Plan(id=5, code="G1", name="金", billing=MONTHLY, created_at=NOW, description="all")
MADE = Subscription(
    id=7,
    code="KES-1",
    name="毎月の箱",
    customer="C24F",
    billing=MONTHLY,
    created_at=NOW,
    starts_at=NOW,
    anchor_at=NOW,
    due_at=NOW,
    plan_id=5,
    plan_code="G1",
    plan_name="金",
    first_name="花子",
    last_name="鈴木",
    reference="order-7",
    missed=(2, 3),
    skips=(9,),
)
ANY = dict.fromkeys(WANTED, "")


def begin(merchant: str = OURS) -> BeginCharge:
    return BeginCharge(merchant_id=merchant, subscription_id=7, id=70, charge=next_charge(MADE), now=NOW)


def record(after: Subscription) -> RecordCharge:
    return RecordCharge(
        merchant_id=OURS, subscription=after, period=1, attempt=1, state="paid", transaction_id=99, now=NOW
    )


def test_what_was_written_is_read_and_is_nobody_elses(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            rows, write = Subscriptions(house.database), house.database.write
            assert await write(AddPlan(OURS, PLAN))
            assert await write(AddSubscription(OURS, MADE))
            assert await rows.plan(OURS, 5) == PLAN
            assert await rows.subscription(OURS, 7) == MADE
            assert await rows.plan(THEIRS, 5) is None
            assert await rows.subscription(THEIRS, 7) is None
            assert await rows.due(OURS, NOW, (0, 0)) == [(int(NOW.timestamp() * 1000), MADE)]
            assert await rows.due(OURS, NOW - timedelta(seconds=1), (0, 0)) == []
            assert await rows.due(THEIRS, NOW, (0, 0)) == []
            for wanted in (
                {},
                {"customer_id": "C24F"},
                {"plan_name": "金"},
                {"last_name": "鈴木"},
                {"state": "PENDING"},
            ):
                assert await rows.subscriptions(OURS, ANY | wanted, 0, 20) == (1, [MADE])
            assert await rows.subscriptions(OURS, ANY | {"state": "ACTIVE"}, 0, 20) == (0, [])
            assert await rows.subscriptions(OURS, ANY, 1, 20) == (1, [])
            assert await rows.of_customer(OURS, "C24F") == await rows.of_plan(OURS, 5, 0) == [MADE]
            assert (await rows.highest_plan_number(OURS), await rows.highest_subscription_number(THEIRS)) == (1, 0)

    asyncio.run(main())


def test_a_code_is_had_once_by_each_merchant(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            rows, write = Subscriptions(house.database), house.database.write
            twin, other = replace(PLAN, id=6), replace(PLAN, id=6, code="G2")
            assert await write(AddPlan(OURS, PLAN))
            assert not await write(AddPlan(OURS, twin))
            assert not await write(AddPlan(OURS, PLAN))
            assert await write(AddPlan(THEIRS, twin))
            assert await write(AddPlan(OURS, other))
            assert not await write(ChangePlan(OURS, replace(other, code="G1")))
            assert await write(ChangePlan(OURS, replace(other, state=PlanState.INACTIVE)))
            assert not await write(ChangePlan(OURS, other)), "it was changed since"
            assert await write(AddSubscription(OURS, MADE))
            assert not await write(AddSubscription(OURS, replace(MADE, id=8)))
            assert await write(AddSubscription(OURS, replace(MADE, id=8, code="KES-2")))
            assert not await write(ChangeSubscription(OURS, replace(MADE, id=8, code="KES-1")))
            found = await rows.plan(OURS, 6)
            assert found is not None
            assert (found.state, found.version) == (PlanState.INACTIVE, 1)

    asyncio.run(main())


def test_a_plan_that_was_subscribed_to_is_not_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            write = house.database.write
            assert await write(AddPlan(OURS, PLAN))
            assert not await write(DeletePlan(THEIRS, 5))
            assert await write(SubscribeToPlan(OURS, 5))
            assert not await write(DeletePlan(OURS, 5))
            assert await write(AddPlan(OURS, replace(PLAN, id=6, code="2")))
            assert await write(DeletePlan(OURS, 6))
            assert not await write(SubscribeToPlan(OURS, 6))

    asyncio.run(main())


async def _charging(house: House) -> Subscriptions:
    assert await house.database.write(AddSubscription(OURS, MADE))
    assert await house.database.write(begin())
    return Subscriptions(house.database)


def test_a_try_is_begun_once_and_recorded_once_with_its_subscription(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            rows, write = await _charging(house), house.database.write
            assert not await write(begin())
            assert await write(begin(THEIRS))
            after = replace(MADE, state=State.ACTIVE, paid=1, period=2)
            results = await asyncio.gather(*(write(record(after)) for _ in range(5)))
            assert sorted(results) == [False, False, False, False, True]
            assert await rows.subscription(OURS, 7) == replace(after, version=1)
            found = await rows.charge(OURS, 7, 1, 1)
            assert found is not None
            assert (found.state, found.transaction_id, found.amount, found.setup_fee) == ("paid", 99, 1_480, 500)
            assert not await write(record(replace(after, version=1, paid=2))), "it was recorded before"
            assert await rows.subscription(OURS, 7) == replace(after, version=1)
            assert await rows.charges(OURS, 7, 0, 20) == (1, [found])

    asyncio.run(main())


def test_a_charge_is_not_recorded_over_a_subscription_that_was_changed(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            rows, write = await _charging(house), house.database.write
            stopped = replace(MADE, state=State.CANCELLED)
            assert await write(ChangeSubscription(OURS, stopped))
            assert not await write(record(replace(MADE, state=State.ACTIVE, paid=1)))
            found = await rows.charge(OURS, 7, 1, 1)
            assert found is not None
            assert found.state == "begun"
            assert await rows.subscription(OURS, 7) == replace(stopped, version=1)
            assert await write(record(replace(stopped, version=1, paid=1)))

    asyncio.run(main())


def test_a_key_is_had_by_one_request_until_it_lapses(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            rows, write = Subscriptions(house.database), house.database.write

            def claim(identifier: int, since: int = 0, merchant: str = OURS) -> ClaimAnswer:
                return ClaimAnswer(merchant_id=merchant, key=b"k", request=b"r", id=identifier, since=since)

            results = await asyncio.gather(*(write(claim(number)) for number in range(1, 9)))
            assert results.count(True) == 1
            holder = results.index(True) + 1
            assert await write(claim(50, merchant=THEIRS))
            kept = await rows.kept(OURS, b"k")
            assert kept is not None
            assert (kept.request, kept.id, kept.answer) == (b"r", holder, None)
            answer = Answer(201, b'{"id":1}')
            await write(KeepAnswer(merchant_id=OURS, key=b"k", id=holder, answer=answer))
            await write(KeepAnswer(merchant_id=OURS, key=b"k", id=holder, answer=Answer(200, b"{}")))
            kept = await rows.kept(OURS, b"k")
            assert kept is not None
            assert kept.answer is not None
            assert (kept.answer.status, kept.answer.body, kept.answer.is_replay) == (201, answer.body, True)
            assert await write(claim(60, since=holder + 1))
            await write(ForgetAnswer(merchant_id=OURS, key=b"k", id=holder))
            assert await rows.kept(OURS, b"k") is not None, "it is another's by now"
            await write(PurgeKept(OURS, 61))
            assert await rows.kept(OURS, b"k") is None
            assert await rows.kept(THEIRS, b"k") is not None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "number"), [("AWC-48", 48), ("1619310018", 1619310018), ("gold", 0), ("", 0), ("x" + "9" * 16, 0)]
)
def test_codes_are_counted_on_from_their_last_digits(code: str, number: int) -> None:
    assert number_of(code) == number
