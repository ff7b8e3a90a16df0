"""Clocks that jump: no id twice, no wrong business day, no signature beyond its window, nothing left held."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from kessai import admin, books, ids
from kessai.app import House
from kessai.ids import Ids
from kessai.jobs import settlement
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.settle import business_date
from kessai.payment.void import Void
from kessai.storage.sqlite import connect
from tests.acceptance.client import AUTHORIZED, Client, Service
from tests.acceptance.test_authentication import BODY, PATH
from tests.attacks.harm import FAILED
from tests.houses import Till, opened, until, usd

NOON = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
"""Noon in Japan."""
JUMPS = {
    "five minutes ahead": timedelta(minutes=5),
    "five minutes back": timedelta(minutes=-5),
    "a day ahead": timedelta(days=1),
    "a day back": timedelta(days=-1),
    "an hour back": timedelta(hours=-1),
}


@dataclass
class Wall:
    """A wall clock of one's own: it may jump, and run faster than time."""

    speed: int = 1
    moved: timedelta = timedelta()
    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=(time.monotonic() - self.began) * self.speed) + self.moved

    def ms(self) -> int:
        return int(self().timestamp() * 1000)


async def _day(house: House, till: Till) -> list[Transaction]:
    """What a shop does, one of each."""
    sold, held = await till.authorize(capture=True), await till.authorize()
    done = [
        sold,
        held,
        await till.do(Capture(target=held.id, amount=usd(4_000))),
        await till.do(Refund(target=sold.id, amount=usd(1_000))),
    ]
    other = await till.authorize(capture=True)
    done += [other, await till.do(Void(target=other.id))]
    assert all(isinstance(tx, Transaction) and tx.status is Status.APPROVED for tx in done), done
    return [tx for tx in done if isinstance(tx, Transaction)]


async def _cut(house: House, till: Till, wall: Wall) -> None:
    """Cut the business day at this minute, as an operator may."""
    cut_at = wall() + timedelta(milliseconds=2)
    batches = await settlement.settle(house.gateway, till.merchant, cut_at)
    for batch in batches:
        assert batch.business_date == business_date(cut_at, till.merchant.terms)
        assert batch.business_date == (cut_at + timedelta(hours=9 + 1)).date()  # Tokyo, cut at eleven at night


async def _through(folder: Path, wall: Wall, jump: timedelta) -> None:
    async with opened(folder, clock=wall) as house:
        source = Ids(1, now_ms=wall.ms)
        made: list[int] = []
        house.gateway.new_id = lambda: made.append(source.next()) or made[-1]  # type: ignore[func-returns-value]
        till = Till(house, "kessai_vpc")

        async def is_quiet() -> bool:
            return await admin.jobs(house) == []

        before = await _day(house, till)
        lost = await till.authorize(scenario="answer-lost")
        wall.moved += jump
        after = await _day(house, till)
        await until(is_quiet)
        assert (await till.payment(lost)).held == 0
        await asyncio.sleep(0.01)
        await _cut(house, till, wall)
        wall.moved -= jump
        last = await _day(house, till)
        await asyncio.sleep(0.01)
        await _cut(house, till, wall)
        order = [tx.id for tx in (*before, *after, *last)]
        assert made == sorted(set(made)), "ids grow, and none comes twice"
        assert order == sorted(order)
        assert (await books.check(house.database)).findings == ()
        # Whatever the clock said, a movement lies in the batch of a cut that came after it.
        found = await house.gateway.payments.load(till.merchant.id, before[0].id)
        assert found is not None
        assert found.payment.root.settlement is not None


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_jumps_makes_no_id_twice_and_no_wrong_day(tmp_path: Path, jump: timedelta) -> None:
    """T-16, F26, R-13: what was unknown before the jump is cleaned up behind it, too (P3)."""
    asyncio.run(_through(tmp_path, Wall(), jump))


def test_a_clock_that_runs_ten_times_as_fast_changes_nothing(tmp_path: Path) -> None:
    """T-16, F26."""
    asyncio.run(_through(tmp_path, Wall(speed=10), timedelta()))


@pytest.mark.parametrize("jump", [*JUMPS.values(), timedelta(hours=12)], ids=[*JUMPS, "over the cut-off"])
def test_no_business_day_is_cut_twice(tmp_path: Path, jump: timedelta) -> None:
    """T-16: the worker compares with its last cut, so a clock that went back waits for it, over restarts too."""

    async def main() -> None:
        wall, midnight = Wall(), timedelta(hours=12)
        for moved in (timedelta(), jump, timedelta(), midnight, midnight + jump, midnight):
            wall.moved = moved
            async with opened(tmp_path, clock=wall) as house:
                till = Till(house)
                await till.authorize(capture=True)
                assert (await books.check(house.database)).findings == ()
        with closing(connect(tmp_path / "kessai.db")) as reader:
            days = [day for (day,) in reader.execute("SELECT business_date FROM settlements ORDER BY id")]
        assert days
        assert days == sorted(set(days))

    asyncio.run(main())


@contextmanager
def _clock_of_the_machine(moved: timedelta) -> Iterator[None]:
    with time_machine.travel(datetime.now(UTC) + moved, tick=True):
        yield


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (timedelta(seconds=290), 201),
        (timedelta(seconds=-290), 201),
        (timedelta(seconds=310), 401),
        (timedelta(seconds=-310), 401),
        (timedelta(days=1), 401),
        (timedelta(days=-1), 401),
        (timedelta(hours=-1), 401),
    ],
    ids=str,
)
def test_a_clock_that_is_off_accepts_signatures_by_the_window_and_no_others(
    service: Service, till: Client, moved: timedelta, said: int
) -> None:
    """T-16, A-8, A-11: the client's clock is right, the gateway's is not; afterwards both are."""
    right = till.signed("POST", PATH, BODY) | {"content-type": "application/json"}
    with _clock_of_the_machine(moved):
        reply = till.send("POST", PATH, BODY, right)
        assert reply.status == said
        assert said == 201 or reply.body == FAILED
        own = till.pay()
        assert own.said == AUTHORIZED  # signed by a client whose clock is off by as much
        assert ids.read(own.id) is not None
    first = till.pay()
    assert first.said == AUTHORIZED
    assert first.id > own.id
    assert till.details(own.id)["id"] == own.id
