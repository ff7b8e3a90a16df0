"""`kessai verify` and recurring billing: a subscription that is not where its charges have led it is found."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from kessai import verify
from kessai.app import House
from kessai.jobs import recurring
from kessai.payment.subscription import State, Subscription
from kessai.storage.subscriptions import ChangeSubscription
from tests.conftest import on_both_engines
from tests.houses import Clock, by_hand, opened
from tests.recurring.test_jobs import MERCHANT, subscribed, told

pytestmark = on_both_engines

ID: Final = 77
"""A transaction that there is not."""


CHANGED: Final[Mapping[str, tuple[Callable[[Subscription], Subscription], str]]] = {
    "one more counted": (lambda made: replace(made, paid=made.paid + 1), "2 periods paid"),
    "a paid period is next": (
        lambda made: replace(made, period=2, due_at=made.due_at and made.due_at - timedelta(days=31)),
        "period 3 next",
    ),
    "a period is passed over": (lambda made: replace(made, period=4, attempt=1), "period 3 paid or passed over"),
    "due at another time": (
        lambda made: replace(made, due_at=made.due_at and made.due_at + timedelta(hours=1)),
        "period 3 due ",
    ),
    "never due again": (lambda made: replace(made, due_at=None), "period 3 due "),
}
"""What somebody, or a bug, may make of a subscription with two paid periods of four, and what is expected of it."""

WRITTEN: Final[Mapping[str, tuple[str, str, str]]] = {
    "charged twice": (
        "INSERT INTO subscription_charges (merchant_id, subscription_id, period, attempt, id, state, currency, amount, "
        "setup_fee, due_at, begun_at, transaction_id) SELECT merchant_id, subscription_id, period, 2, id, state, "
        "currency, amount, setup_fee, due_at, begun_at, transaction_id FROM subscription_charges WHERE period = 1",
        "subscription",
        "period 1 charged once",
    ),
    "a charge is gone": ("DELETE FROM subscription_charges WHERE period = 2", "subscription", "1 periods paid"),
    "a charge that nobody knows of": (
        "INSERT INTO subscription_charges (merchant_id, subscription_id, period, attempt, id, state, currency, amount, "
        "setup_fee, due_at, begun_at) SELECT merchant_id, subscription_id, 9, 1, id, 'failed', currency, amount, "
        "setup_fee, due_at, begun_at FROM subscription_charges WHERE period = 1",
        "subscription",
        "period 9 next",
    ),
    "begun and forgotten": (
        "UPDATE subscription_charges SET state = 'begun' WHERE period = 1",
        "subscription",
        "somebody to look after what was begun",
    ),
    "a try that is there already": (
        "UPDATE subscription_charges SET state = 'failed', period = 3, transaction_id = NULL WHERE period = 2",
        "subscription",
        "a try that was not made yet",
    ),
    "paid by nothing": (
        "UPDATE subscription_charges SET transaction_id = NULL WHERE period = 1",
        "charge",
        "a payment",
    ),
    "paid by what is not there": (
        f"UPDATE subscription_charges SET transaction_id = {ID} WHERE period = 1",
        "charge",
        "a payment",
    ),
    "declined, and the money was taken": (
        "UPDATE subscription_charges SET state = 'declined' WHERE period = 1",
        "charge",
        "period 1, try 1 declined",
    ),
    "another amount": (
        "UPDATE subscription_charges SET amount = 999 WHERE period = 2",
        "charge",
        "period 2, try 1: USD 999",
    ),
}


async def found(house: House) -> list[tuple[str, str]]:
    """What is found, and what was expected instead; looked for once."""
    look = verify._subscriptions(house.database, MERCHANT)
    return [(finding.what, finding.expected) async for finding in look]


async def paid_twice(house: House) -> Subscription:
    """A subscription with two paid periods of four."""
    made = await subscribed(house, cycles=4)
    merchant = house.accounts.get(MERCHANT).merchant
    for _ in range(2):
        await recurring.charge_due(house.billing.biller, merchant, lambda: False)
        assert isinstance(house.clock, Clock)
        house.clock.moved += timedelta(days=32)
    now = await house.billing.rows.subscription(MERCHANT, made.id)
    assert now is not None
    assert (now.paid, now.period) == (2, 3)
    return now


@pytest.mark.parametrize("what", CHANGED)
def test_a_subscription_that_was_changed_is_found(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await paid_twice(house)
            assert await found(house) == []
            change, expected = CHANGED[what]
            assert await house.database.write(ChangeSubscription(MERCHANT, change(made)))
            seen = await found(house)
            assert any(kind == "subscription" and text.startswith(expected) for kind, text in seen), seen

    asyncio.run(main())


@pytest.mark.parametrize("what", WRITTEN)
def test_a_charge_that_was_changed_is_found(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            await paid_twice(house)
            statement, kind, expected = WRITTEN[what]
            await by_hand(house, statement)
            assert (kind, expected) in await found(house)

    asyncio.run(main())


def test_the_command_finds_it_and_names_the_subscription(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await paid_twice(house)
            await house.database.write(ChangeSubscription(MERCHANT, replace(made, paid=1)))
            report = await verify.verify(
                house.database,
                now=house.clock(),
                deadline_s=house.settings.acquirer_deadline_s,
                book=house.folder / verify.BOOK,
                again_after_s=0.01,
            )
            assert [(each.what, each.transaction) for each in report.findings] == [("subscription", made.id)]

    asyncio.run(main())


def test_subscriptions_in_every_state_are_no_findings(tmp_path: Path) -> None:
    """Paid, declined and tried again, for nothing at all, to the end."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            merchant, biller = house.accounts.get(MERCHANT).merchant, house.billing.biller
            made = [await subscribed(house, minor, cycles) for minor in (1_000, 1_500_00, 0) for cycles in (1, 3, None)]
            assert isinstance(house.clock, Clock)
            for _ in range(5):
                await recurring.charge_due(biller, merchant, lambda: False)
                assert await found(house) == []
                house.clock.moved += timedelta(days=20)
            states = {(await biller.rows.subscription(MERCHANT, each.id)).state for each in made}  # type: ignore[union-attr]
            assert states >= {State.COMPLETED, State.ACTIVE, State.DELINQUENT} or State.SUSPENDED in states
            assert "declined" in {state for each in made for _, _, state in await told(house, each)}

    asyncio.run(main())
