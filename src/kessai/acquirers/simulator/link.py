"""The simulated acquirer as a link inside the gateway: what it does follows from the exchange and its book alone.

It plays what `scenarios.py` concludes: at once, late, cut off or not at all. The book (`book.py`) is in memory, or in a
file that outlives the process and that others share (`journal.py`). It reads a clock only to begin its counters.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from kessai.acquirers import Acquirer, Exchange, Way
from kessai.acquirers.simulator.book import Book, Keeper, Memory
from kessai.acquirers.simulator.desk import Desk, Traces
from kessai.acquirers.simulator.journal import Journal
from kessai.acquirers.simulator.remote import Remote
from kessai.acquirers.simulator.scenarios import Delivery
from kessai.payment.lifecycle import Outcome, Unknown

LONGEST_SILENCE_S: Final = 600.0
"""How long the link waits in vain where nobody cancels it."""


class Simulator:
    """An acquirer in this process; fulfils `acquirers.Acquirer`."""

    is_away: Final = False
    """Nothing is between a gateway and an acquirer in the same process."""

    def __init__(self, seed: int, late_after_s: float = 0.05, keeper: Keeper | None = None) -> None:
        self.late_after_s = late_after_s
        """How long after its exchange was given up a late answer arrives."""
        self._desk = Desk(keeper or Memory(), seed)
        self._traces = Traces(seed)
        self._handler: Callable[[Exchange, Outcome], None] | None = None
        self._late: set[asyncio.TimerHandle] = set()

    @property
    def book(self) -> Book:
        """The book as it stands now."""
        return self._desk.book

    async def send(self, exchange: Exchange) -> Outcome:
        """Play one exchange; KeyError for a personality that this folder does not have."""
        answer, delivery, _ = self._desk.play(exchange)
        match delivery:
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
                    # The card or account lived for the exchange, and that is over.
                    self._deliver_late(replace(exchange, card=None, account=None), answer)
                    raise
        return Unknown("no answer")

    def trace(self, now: datetime) -> tuple[str, str]:
        """The next STAN and RRN; `now` is aware UTC."""
        return self._traces.next(now)

    def on_late_answer(self, handler: Callable[[Exchange, Outcome], None]) -> None:
        """Whom to tell of late answers; one that comes while nobody listens is lost."""
        self._handler = handler

    async def close(self) -> None:
        """Forget the answers that are still on their way."""
        for timer in self._late:
            timer.cancel()
        self._late.clear()
        self._desk.close()

    def _deliver_late(self, exchange: Exchange, answer: Outcome) -> None:
        def deliver() -> None:
            self._late.discard(timer)
            if self._handler is not None:
                self._handler(exchange, answer)

        timer = asyncio.get_running_loop().call_later(self.late_after_s, deliver)
        self._late.add(timer)


def connect(way: Way | None = None, *, seed: int | None = None, late_after_s: float = 0.05) -> Acquirer:
    """A simulator of its own, or the way to one that runs apart. `seed` is where its counters begin; without one, the
    time decides. OSError where the book cannot be opened, ValueError for an address that is none."""
    start = time.time_ns() // 1_000_000 if seed is None else seed
    way = way or Way()
    if way.address:
        return Remote(way, start)
    return Simulator(start, late_after_s, Journal(way.book) if way.book else None)
