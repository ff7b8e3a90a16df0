"""Each try at each period is one payment: with workers side by side, outcomes that nobody knows, and kills."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from kessai import admin, books, ids
from kessai.acquirers import Exchange
from kessai.app import House, open_house
from kessai.claims import claim_of
from kessai.jobs import recurring
from kessai.payment.lifecycle import Operation, Outcome, Unknown
from kessai.payment.plan import Billing, Unit
from kessai.payment.subscription import State, Subscription, next_charge
from kessai.storage.subscriptions import AddSubscription, BeginCharge, ChangeSubscription
from tests import postgres
from tests.commands import ENVIRONMENT, Gateway
from tests.conftest import on_both_engines
from tests.houses import Clock, opened, until
from tests.recurring.shop import file_customer

pytestmark = on_both_engines

MERCHANT: Final = "kessai_sandbox"


async def subscribed(house: House, minor: int = 1_000, cycles: int | None = 3) -> Subscription:
    """A subscription whose first period is due by now."""
    now = house.clock() - timedelta(minutes=1)
    made = Subscription(
        id=house.gateway.new_id(),
        code=f"KES-{house.gateway.new_id()}",
        name="Monthly box",
        customer=await file_customer(house, MERCHANT),
        billing=Billing(unit=Unit.MONTH, length=1, currency="USD", amount=minor, cycles=cycles),
        created_at=now,
        starts_at=now,
        anchor_at=now,
        due_at=now,
    )
    assert await house.database.write(AddSubscription(MERCHANT, made))
    return made


async def told(house: House, subscription: Subscription) -> list[tuple[int, int, str]]:
    """Period, attempt and state of every charge."""
    _, charges = await house.billing.rows.charges(MERCHANT, subscription.id, 0, 100)
    return [(each.period, each.attempt, each.state) for each in charges]


async def sales(house: House) -> int:
    """How many sales were sent or are there."""
    page = await house.gateway.payments.page(MERCHANT, 0, 1_000)
    return sum(tx.operation is Operation.SALE for tx in page)


class Deaf:
    """A link whose answers get lost while it is deaf; the acquirer behind it hears everything but reversals."""

    def __init__(self, link: object) -> None:
        self._link = link
        self.is_deaf = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._link, name)

    async def send(self, exchange: Exchange) -> Outcome:
        if self.is_deaf and exchange.operation is Operation.REVERSAL:
            return Unknown("lost on its way")
        outcome: Outcome = await self._link.send(exchange)  # type: ignore[attr-defined]
        return Unknown("the answer was lost") if self.is_deaf else outcome


def test_an_unknown_charge_is_not_repeated_before_it_is_settled(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            deaf = Deaf(house.gateway.links["sandbox"])
            house.gateway.links = {**house.gateway.links, "sandbox": deaf}  # type: ignore[dict-item]
            made = await subscribed(house)
            house.worker.hurry()
            await until(lambda: _is(told(house, made), [(1, 1, "begun")]))
            for _ in range(20):
                await asyncio.sleep(0.05)
                house.worker.wake()
            assert await sales(house) == 1
            assert await told(house, made) == [(1, 1, "begun")]
            deaf.is_deaf = False
            await until(lambda: _is(told(house, made), [(1, 1, "failed")]))
            merchant = house.accounts.get(MERCHANT)
            assert isinstance(house.clock, Clock)
            house.clock.moved = timedelta(hours=1, minutes=1)
            house.worker.hurry()
            await until(lambda: _is(told(house, made), [(1, 1, "failed"), (1, 2, "paid")]))
            found = await house.billing.rows.subscription(merchant.merchant.id, made.id)
            assert found is not None
            assert (found.state, found.paid) == (State.ACTIVE, 1)
            assert await sales(house) == 2
            assert (await books.check(house.database)).findings == ()

    asyncio.run(main())


async def _is(asked: "object", wanted: object) -> bool:
    return bool(await asked == wanted)  # type: ignore[misc]


def test_many_workers_at_once_charge_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = [await subscribed(house) for _ in range(5)]
            merchant = house.accounts.get(MERCHANT).merchant
            work = [recurring.charge_due(house.billing.biller, merchant, lambda: False) for _ in range(8)]
            await asyncio.gather(*work)
            assert [await told(house, each) for each in made] == [[(1, 1, "paid")]] * 5
            assert await sales(house) == 5

    asyncio.run(main())


def test_two_processes_charge_once(tmp_path: Path, engine: str) -> None:
    """On one PostgreSQL, two houses; on the embedded database there is one process, and it is asked twice."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            other = house
            if engine == "postgresql":
                other = await open_house(tmp_path, clock=Clock())
            try:
                made = [await subscribed(house) for _ in range(10)]
                merchant = house.accounts.get(MERCHANT).merchant
                await asyncio.gather(
                    *(recurring.charge_due(each.billing.biller, merchant, lambda: False) for each in (house, other))
                )
                assert [await told(house, each) for each in made] == [[(1, 1, "paid")]] * 10
                assert await sales(house) == 10
            finally:
                if other is not house:
                    await other.close()

    asyncio.run(main())


def test_a_try_that_was_begun_so_long_ago_that_its_claim_is_forgotten_is_never_charged(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await subscribed(house)
            merchant = house.accounts.get(MERCHANT).merchant
            long_ago = ids.first_of(ids.made_at(made.id) - timedelta(days=40))
            begin = BeginCharge(
                merchant_id=MERCHANT, subscription_id=made.id, id=long_ago, charge=next_charge(made), now=house.clock()
            )
            assert await house.database.write(begin)
            await recurring.charge_due(house.billing.biller, merchant, lambda: False)
            assert await told(house, made) == [(1, 1, "lost")]
            assert await sales(house) == 0
            found = await house.billing.rows.subscription(MERCHANT, made.id)
            assert found is not None
            assert found.state is State.FAILED

    asyncio.run(main())


def test_what_was_paid_while_it_was_cancelled_is_recorded_and_no_more(tmp_path: Path) -> None:
    """A charge is made, its process ends before it is recorded, and the merchant cancels: the worker tidies up."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await subscribed(house)
            merchant = house.accounts.get(MERCHANT).merchant
            biller = house.billing.biller
            wanted = next_charge(made)
            await house.database.write(
                BeginCharge(
                    merchant_id=MERCHANT,
                    subscription_id=made.id,
                    id=house.gateway.new_id(),
                    charge=wanted,
                    now=house.clock(),
                )
            )
            claim = claim_of("subscription", f"{made.id}\n1\n1")
            assert isinstance(await recurring._pay(biller, merchant, made, wanted, wanted.amount, claim), int)
            stopped = replace(made, state=State.CANCELLED, due_at=house.clock())
            assert await house.database.write(ChangeSubscription(MERCHANT, stopped))
            await recurring.charge_due(biller, merchant, lambda: False)
            found = await biller.rows.subscription(MERCHANT, made.id)
            assert found is not None
            assert (found.state, found.paid, found.due_at) == (State.CANCELLED, 1, None)
            assert await told(house, made) == [(1, 1, "paid")]
            assert await sales(house) == 1

    asyncio.run(main())


# ---- kill -9

_KILLED: Final = """
import os, signal
from pathlib import Path
import kessai.cli
from kessai.acquirers.simulator.link import Simulator
from kessai.jobs import recurring
from kessai.payment.lifecycle import Operation
flag = Path({flag!r})
def die(*_):
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
{plant}
kessai.cli.main()
"""
_PLANTS: Final = {
    "between the row and the payment": """
pay = recurring._pay
async def dying(biller, merchant, subscription, wanted, *more):
    if wanted is not None:
        die()
    return await pay(biller, merchant, subscription, wanted, *more)
recurring._pay = dying
""",
    "while the acquirer thinks": """
send = Simulator.send
async def dying(self, exchange):
    outcome = await send(self, exchange)
    if exchange.operation is Operation.SALE:
        die()
    return outcome
Simulator.send = dying
""",
    "between the payment and the record": """
record = recurring._record
async def dying(*all):
    die()
    return await record(*all)
recurring._record = dying
""",
}
"""Where the process is killed, once, while it charges."""


@contextmanager
def served(folder: Path, database: str, script: str) -> Iterator[Gateway]:
    """A gateway in a process that runs a script; killed at the end, if it still runs."""
    environment = ENVIRONMENT | {"KESSAI_DATABASE": database, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", "--port", "0", "--json", "--data", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    try:
        yield Gateway(folder, process, json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def wait(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def charges(gateway: Gateway, identifier: str) -> list[tuple[int, str]]:
    status, body = gateway.ask("GET", f"/rbs/v1/subscriptions/{identifier}/payments?scheduledPaymentsCount=0")
    assert status == 200, body
    return [(each["billingCycle"], each["status"]) for each in body["subscriptionPayment"]]


def advance(gateway: Gateway, step: str) -> None:
    status, body = gateway.ask("POST", "/sandbox/v1/clock", {"advance": step})
    assert status == 200, body


@pytest.mark.parametrize("where", _PLANTS)
def test_killed_in_the_middle_of_charging_each_period_is_charged_once(tmp_path: Path, engine: str, where: str) -> None:
    url = os.environ.get("KESSAI_DATABASE", "")
    folder = tmp_path / "data"

    async def before() -> str:
        house = await open_house(folder, database=url)
        try:
            return await file_customer(house, MERCHANT)
        finally:
            await house.close()

    async def after() -> tuple[int, object]:
        house = await open_house(folder, database=url)
        try:
            findings = (await admin.verify_all(house))["findings"]  # type: ignore[index]
            report = await books.check(house.database)
            paid = [amount for _, account, _, amount in report.balances if account in ("merchant", "merchant-due")]
            assert report.findings == ()
            return abs(sum(paid)), findings
        finally:
            await house.close()

    customer = asyncio.run(before())
    document = {
        "subscriptionInformation": {"name": "Monthly box", "startDate": "2030-01-31T00:00:00Z"},
        "planInformation": {"billingPeriod": {"length": "1", "unit": "M"}, "billingCycles": {"total": "2"}},
        "orderInformation": {"amountDetails": {"currency": "USD", "billingAmount": "10.00"}},
        "paymentInformation": {"customer": {"id": customer}},
    }
    script = _KILLED.format(flag=str(tmp_path / "killed"), plant=_PLANTS[where])
    with served(folder, url, script) as gateway:
        status, made = gateway.ask("POST", "/rbs/v1/subscriptions", document)
        assert (status, made["status"]) == (201, "COMPLETED")
        gateway.ask("POST", "/sandbox/v1/clock", {"to": "2030-01-31T00:00:01Z"})
        assert gateway.process.wait(20) == -signal.SIGKILL
    if url:  # a minute later
        asyncio.run(postgres.execute(url, "UPDATE nodes SET until = 0"))
    with served(folder, url, script) as gateway:
        if where == "while the acquirer thinks":  # nobody knows its outcome: it is undone, then tried again
            wait(lambda: charges(gateway, made["id"]) == [(1, "FAILED")])
            advance(gateway, "1h1m")
            first = [(1, "FAILED"), (1, "PAID")]
        else:
            first = [(1, "PAID")]
        wait(lambda: charges(gateway, made["id"]) == first)
        advance(gateway, "1mo")
        wait(lambda: charges(gateway, made["id"]) == [*first, (2, "PAID")])
        wait(
            lambda: (
                gateway.ask("GET", f"/rbs/v1/subscriptions/{made['id']}")[1]["subscriptionInformation"]["status"]
                == "COMPLETED"
            )
        )
    paid, findings = asyncio.run(after())
    assert findings == []
    assert paid == 2_000


def test_while_the_acquirer_is_away_what_is_due_stays_due(tmp_path: Path) -> None:
    class Away(Deaf):
        is_away = True

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            made = await subscribed(house)
            links = house.gateway.links
            house.gateway.links = {**links, "sandbox": Away(links["sandbox"])}  # type: ignore[dict-item]
            merchant = house.accounts.get(MERCHANT).merchant
            assert await recurring.charge_due(house.billing.biller, merchant, lambda: False) == 0
            assert await told(house, made) == []
            house.gateway.links = links
            assert await recurring.charge_due(house.billing.biller, merchant, lambda: False) == 1
            assert await told(house, made) == [(1, 1, "paid")]

    asyncio.run(main())
