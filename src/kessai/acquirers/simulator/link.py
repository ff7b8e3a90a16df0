"""The simulated acquirer: a link that goes nowhere. What it does stays in memory and follows from the exchange alone.

It plays what `scenarios.py` concludes: at once, late, cut off or not at all. It keeps a book of what it did, so that a
marked repeat is answered the same and done once, and a reversal releases what it undoes; the book is bounded, and what
has fallen out of it is treated like what was never seen. It reads a clock only to begin its counters.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from kessai.acquirers import Exchange
from kessai.acquirers.simulator import triggers
from kessai.acquirers.simulator.scenarios import SCENARIOS, Delivery, outcome
from kessai.payment.lifecycle import Approved, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import Money

BOOK_LENGTH: Final = 100_000
"""Exchanges that the book remembers, the oldest forgotten first."""
LONGEST_SILENCE_S: Final = 600.0
"""How long the link waits in vain where nobody cancels it."""

_APPROVE: Final = SCENARIOS["approve"]


class Entry(NamedTuple):
    """What was done in one exchange, and on which transaction."""

    operation: Operation
    original_id: int | None
    taken: int
    """Minor units that a capture took from its hold."""
    answer: Approved


class Book:
    """What the acquirer did, by transaction id: the answers it gave, the holds that stand, the money it is to move."""

    def __init__(self, length: int = BOOK_LENGTH) -> None:
        self.entries: dict[int, Entry] = {}
        self.held: dict[int, int] = {}
        """Holds still open, in minor units, by the id of the authorization; a sale that was cut short holds too."""
        self.moved: dict[int, int] = {}
        """Captures, sales, refunds and credits that were not undone, in minor units."""
        self.added: dict[int, int] = {}
        """Increments that were not undone, in minor units: each is undone once, however often that is asked."""
        self._length = length
        self._order: deque[int] = deque()

    def write(self, exchange: Exchange, answer: Approved) -> None:
        """Do what was approved, and remember it."""
        me = exchange.transaction_id
        original = exchange.original_id
        minor = answer.amount.minor
        taken = 0
        match exchange.operation:
            case Operation.AUTHORIZE:
                self._hold(me, minor)
            case Operation.SALE:
                cut_short = minor < exchange.amount.minor or answer.review is not None
                (self.held if cut_short else self.moved)[me] = minor
            case Operation.INCREMENT if original is not None:
                self.added[me] = minor
                self._hold(original, minor)
            case Operation.CAPTURE:
                self.moved[me] = minor
                if original is not None:
                    taken = self._take(original, minor)
            case Operation.REFUND | Operation.CREDIT:
                self.moved[me] = minor
            case Operation.REVERSAL if original is not None:
                self._release(original, minor)
            case Operation.VOID if original is not None:
                self._void(original)
            case _:
                pass
        self.entries[me] = Entry(exchange.operation, original, taken, answer)
        self._order.append(me)
        if len(self._order) > self._length:
            self._forget(self._order.popleft())

    def _take(self, root: int, minor: int) -> int:
        """Capture from a hold, or from a sale whose capture the gateway skipped; what goes beyond it is not taken."""
        standing = self.held.pop(root, 0) + self.moved.pop(root, 0)
        taken = min(minor, standing)
        self._hold(root, standing - taken)
        return taken

    def _hold(self, root: int, change: int) -> None:
        """Change a hold; one that comes to nothing is gone."""
        minor = self.held.pop(root, 0) + change
        if minor > 0:
            self.held[root] = minor

    def _release(self, original: int, minor: int) -> None:
        entry = self.entries.get(original)
        self.moved.pop(original, None)
        if entry is not None and entry.operation is Operation.INCREMENT and entry.original_id is not None:
            self._hold(entry.original_id, -min(minor, self.added.pop(original, 0)))
        else:
            self._hold(original, -minor)

    def _void(self, original: int) -> None:
        self.held.pop(original, None)
        was_there = self.moved.pop(original, None) is not None
        entry = self.entries.get(original)
        if was_there and entry is not None and entry.original_id is not None:
            self._hold(entry.original_id, entry.taken)  # the hold outlives a voided capture

    def _forget(self, oldest: int) -> None:
        for room in (self.entries, self.held, self.moved, self.added):
            room.pop(oldest, None)


class Simulator:
    """An acquirer in memory; fulfils `acquirers.Acquirer`."""

    def __init__(self, seed: int, late_after_s: float = 0.05) -> None:
        self.book = Book()
        self.late_after_s = late_after_s
        """How long after its exchange was given up a late answer arrives."""
        self._stan = seed % 999_999
        self._slip = seed % 90_000
        self._handler: Callable[[Exchange, Outcome], None] | None = None
        self._late: set[asyncio.TimerHandle] = set()

    async def send(self, exchange: Exchange) -> Outcome:
        """Play one exchange.

        A scenario asked for by name goes before the triggers; one that does not exist, or not for this operation, fails
        loudly with nothing done. KeyError for a personality that this folder does not have.
        """
        if exchange.is_repeat:
            entry = self.book.entries.get(exchange.transaction_id)
            if entry is not None:
                return entry.answer
        scenario = _APPROVE
        approved: Money | None = None
        overrides = None
        if exchange.scenario is not None:
            asked = SCENARIOS.get(exchange.scenario)
            if asked is None or exchange.operation not in asked.operations:
                return Failed(reason=Reason.SYSTEM_ERROR)
            scenario = asked
        else:
            trigger = triggers.find(exchange)
            if trigger is not None:
                scenario, overrides = SCENARIOS[trigger.scenario], trigger.facts
                if trigger.approved:
                    approved = Money.parse(trigger.approved, exchange.amount.currency)
        answer = outcome(
            exchange,
            scenario,
            self._next_slip,
            approved=approved,
            overrides=overrides,
            original_seen=self._has_seen_original(exchange),
        )
        if type(answer) is Approved:
            self.book.write(exchange, answer)
        match scenario.delivery:
            case Delivery.AT_ONCE:
                return answer
            case Delivery.CUT:
                return Unknown("the connection was cut before the answer")
            case Delivery.NEVER:
                await asyncio.sleep(LONGEST_SILENCE_S)
            case Delivery.LATE:
                try:
                    await asyncio.sleep(LONGEST_SILENCE_S)
                except asyncio.CancelledError:
                    # The card lived for the exchange, and that is over.
                    self._deliver_late(replace(exchange, card=None), answer)
                    raise
        return Unknown("no answer")

    def trace(self, now: datetime) -> tuple[str, str]:
        """The next STAN (000001 to 999999, then from the beginning) and the RRN made of it: last digit of the year, day
        of the year, hour, STAN. `now` is aware UTC."""
        self._stan = self._stan % 999_999 + 1
        stan = f"{self._stan:06d}"
        day = now.timetuple().tm_yday
        return stan, f"{now.year % 10}{day:03d}{now.hour:02d}{stan}"

    def on_late_answer(self, handler: Callable[[Exchange, Outcome], None]) -> None:
        """Whom to tell of late answers; one that comes while nobody listens is lost."""
        self._handler = handler

    async def close(self) -> None:
        """Forget the answers that are still on their way."""
        for timer in self._late:
            timer.cancel()
        self._late.clear()

    def _has_seen_original(self, exchange: Exchange) -> bool:
        """By the book, or by the approval in the gateway's hand: the book may be short, or another process's."""
        return exchange.original_id in self.book.entries or "approval_code" in (exchange.original or ())

    def _deliver_late(self, exchange: Exchange, answer: Outcome) -> None:
        def deliver() -> None:
            self._late.discard(timer)
            if self._handler is not None:
                self._handler(exchange, answer)

        timer = asyncio.get_running_loop().call_later(self.late_after_s, deliver)
        self._late.add(timer)

    def _next_slip(self) -> str:
        """Sales slip numbers have five digits and grow: 10000 to 99999, then from the beginning."""
        self._slip = (self._slip + 1) % 90_000
        return str(10_000 + self._slip)


def connect(seed: int | None = None, late_after_s: float = 0.05) -> Simulator:
    """A simulator of its own. `seed` is where its counters begin; without one, the time decides."""
    return Simulator(time.time_ns() // 1_000_000 if seed is None else seed, late_after_s)
