"""Races: commands that want the same money in the same moment, and the proof that one of them had it.

A round is one payment and its racers. Many rounds run at once, each behind a barrier of its own: all racers have looked
at the payment and decided before any of them writes, so that every round is a real race and none is won by being early.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from kessai import books
from kessai.acquirers.simulator import journal
from kessai.app import House
from kessai.jobs import settlement
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Command, Operation, Payment, Refusal, Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void
from kessai.storage.writes import Begin, Transmit
from tests.houses import Clock, Till, opened, usd
from tests.links.cell import disagreements

MERCHANT: Final = "kessai_vpc"
AT_ONCE: Final = 25
"""Rounds that run side by side."""
WHOLE: Final = 10_000
Result = Transaction | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What races over one payment, and what must have come of it."""

    name: str
    is_sale: bool
    racers: Callable[[int], Sequence[Command]]
    losers: frozenset[Refusal]
    """What the others are told."""


def _over_a_hold(root: int) -> Sequence[Command]:
    capture = Capture(target=root, amount=usd(WHOLE))
    return capture, capture, Reverse(target=root, amount=usd(WHOLE))


def _over_what_was_captured(root: int) -> Sequence[Command]:
    refund = Refund(target=root, amount=usd(6_000))
    return refund, refund


RACES: Final = (
    Race(
        name="capture, capture and reversal",
        is_sale=False,
        racers=_over_a_hold,
        losers=frozenset({Refusal.ALREADY_CAPTURED, Refusal.ALREADY_REVERSED, Refusal.REVERSED_OR_SETTLED}),
    ),
    Race(
        name="refund and refund",
        is_sale=True,
        racers=_over_what_was_captured,
        losers=frozenset({Refusal.EXCEEDS_CAPTURE}),
    ),
)


class Barrier:
    """Holds back what was decided about a payment until everybody has decided: then all is written in one turn."""

    def __init__(self, houses: Sequence[House]) -> None:
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._expected: dict[int, int] = {}
        self._cut = asyncio.Event()
        self._late: set[int] = set()
        self._after = False
        for house in houses:
            self._guard(house)

    def expect(self, payment_id: int, racers: int) -> None:
        self._expected[payment_id] = racers

    def expect_cut_off(self, late: Iterable[int], *, after: bool) -> None:
        """Voids of these payments are written in the turn after the cut-off asks for its own write, or `after` that."""
        self._late, self._after, self._cut = set(late), after, asyncio.Event()

    def _guard(self, house: House) -> None:
        write = house.database.write

        async def guarded(unit: Any) -> Any:
            if isinstance(unit, Begin):
                await self._wait(unit.payment.id)
                if unit.payment.id in self._late:
                    await self._cut.wait()
            if not isinstance(unit, Transmit):
                return await write(unit)
            if not self._after:
                asyncio.get_running_loop().call_soon(self._cut.set)
            try:
                return await write(unit)
            finally:
                self._cut.set()

        house.database.write = guarded  # type: ignore[method-assign,assignment]

    async def _wait(self, payment_id: int) -> None:
        racers = self._expected.get(payment_id)
        if racers is None:
            return
        waiting = self._waiting.setdefault(payment_id, [])
        waiting.append(asyncio.get_running_loop().create_future())
        if len(waiting) < racers:
            await waiting[-1]
            return
        del self._expected[payment_id], self._waiting[payment_id]  # from now on, who lost may try again
        for future in waiting:
            if future is not waiting[-1]:
                future.set_result(None)


@asynccontextmanager
async def houses(folder: Path, count: int, clock: Clock | None = None) -> AsyncIterator[list[House]]:
    """One house, or several on one PostgreSQL database, as several processes would be: only the rows are shared."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(await stack.enter_async_context(opened(folder, clock=clock, works=False)))
        yield found


async def run(race: Race, tills: Sequence[Till], barrier: Barrier, rounds: int) -> None:
    """Every round has one winner, with exact amounts. AssertionError where one has none, or two."""
    done = 0
    while done < rounds:
        batch = min(AT_ONCE, rounds - done)
        roots = await asyncio.gather(*(tills[0].authorize(WHOLE, capture=race.is_sale) for _ in range(batch)))
        results = await asyncio.gather(*(_round(race, tills, barrier, root) for root in roots))
        for root, told in zip(roots, results, strict=True):
            winners = [each for each in told if isinstance(each, Transaction)]
            assert len(winners) == 1, f"{len(winners)} of {len(told)} won"
            assert {each for each in told if isinstance(each, Refusal)} <= race.losers
            for till in tills:
                assert_exact(await till.payment(root), winners[0])
        done += batch


async def _round(race: Race, tills: Sequence[Till], barrier: Barrier, root: Transaction) -> list[Result]:
    commands = race.racers(root.id)
    barrier.expect(root.id, len(commands))
    turn = root.id % len(commands)
    order = [*commands[turn:], *commands[:turn]]
    return await asyncio.gather(*(tills[number % len(tills)].do(each) for number, each in enumerate(order)))


def assert_exact(payment: Payment, winner: Transaction) -> None:
    """The payment is as the winner alone left it."""
    root, *others = payment.transactions
    assert [tx.id for tx in others] == [winner.id], "somebody who lost has written"
    assert (root.status, winner.status) == (Status.APPROVED, Status.APPROVED)
    moved = {
        Operation.CAPTURE: (0, WHOLE, 0),
        Operation.REVERSAL: (0, 0, 0),
        Operation.REFUND: (0, WHOLE, 6_000),
    }[winner.operation]
    assert (payment.held, payment.captured, payment.refunded(root.id)) == moved


async def run_cut_offs(tills: Sequence[Till], barrier: Barrier, clock: Clock, rounds: int) -> None:
    """Voids and the cut-off: each sale is voided or collected, and each batch is what it collected.

    In turn nobody is held back, half of the voids are written in the same moment, and all of them are written when the
    cut-off has been.
    """
    done = collected = 0
    at_once = min(AT_ONCE, max(1, rounds // 3))  # few rounds are played in each way too
    while done < rounds:
        batch = min(at_once, rounds - done)
        sales = await asyncio.gather(*(tills[0].authorize(WHOLE, capture=True) for _ in range(batch)))
        clock.moved += timedelta(seconds=1)
        way = done // at_once % 3
        barrier.expect_cut_off((sale.id for sale in sales[: batch * way // 2]), after=way == 2)
        told, made = await asyncio.gather(
            asyncio.gather(*(tills[0].do(Void(target=sale.id)) for sale in sales)),
            settlement.settle(tills[-1].house.gateway, tills[-1].merchant, clock()),
        )
        voided = sum(isinstance(each, Transaction) for each in told)
        assert {each for each in told if isinstance(each, Refusal)} <= {Refusal.NOT_VOIDABLE}
        assert voided + sum(each.count for each in made) == batch, "a sale was voided and collected, or neither"
        assert sum(each.captured for each in made) == WHOLE * (batch - voided)
        done += batch
        collected += batch - voided
    assert collected, "the cut-off never won"


async def prove(found: Sequence[House]) -> None:
    """Debits equal credits, every entry follows from its transaction, and the acquirer agrees."""
    assert (await books.check(found[0].database)).findings == ()
    assert await disagreements(found[0], journal.read(str(found[0].folder / journal.NAME))) == []
