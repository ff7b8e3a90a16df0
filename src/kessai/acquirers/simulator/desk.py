"""The simulated acquirer's desk: takes a message, decides, writes into the book, answers. No I/O of its own.

The same desk sits behind the link inside a gateway and behind the socket of an acquirer of its own, so that neither can
do what the other would not.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from kessai.acquirers import Exchange
from kessai.acquirers.simulator import triggers
from kessai.acquirers.simulator.book import Book, Keeper, line_of
from kessai.acquirers.simulator.scenarios import SCENARIOS, Delivery, may_end, outcome
from kessai.payment.lifecycle import Approved, Failed, Operation, Outcome, Reason
from kessai.payment.money import Money

_APPROVE: Final = SCENARIOS["approve"]
_NEVER_REPEATED: Final = frozenset({Operation.AUTHORIZE, Operation.SALE})
"""Operations that a gateway sends once (R-4): nothing has to be looked up for them."""


class Played(NamedTuple):
    """What the acquirer answers, and what becomes of the answer."""

    answer: Outcome
    delivery: Delivery = Delivery.AT_ONCE
    found: bool = True
    """Whether what a reversal or void is to undo had been seen."""


class Desk:
    """An acquirer's mind: its book and its counters."""

    def __init__(self, keeper: Keeper, seed: int) -> None:
        self._keeper = keeper
        self._slip = seed % 90_000

    @property
    def book(self) -> Book:
        """The book as it stands now."""
        return self._keeper.look()

    def play(self, exchange: Exchange) -> Played:
        """Play one exchange.

        What was done before is answered the same and not done again, whichever of a message and its repeat comes first.
        A scenario asked for by name goes before the triggers; one that does not exist, or not for this operation, fails
        loudly with nothing done. KeyError for a personality that this folder does not have.
        """
        original_seen = True
        once = exchange.operation in _NEVER_REPEATED and not exchange.is_repeat
        if not once:
            book = self._keeper.look()
            before = book.done(exchange.transaction_id)
            told = before and self._keeper.answer(before)
            if before is not None and told is not None:
                return Played(told, found=before.found)
            # By the book, or by the approval in the gateway's hand: the book may be short.
            original_seen = exchange.original_id in book.entries or "approval_code" in (exchange.original or ())
        scenario = _APPROVE
        approved: Money | None = None
        overrides = None
        if exchange.scenario is not None:
            asked = SCENARIOS.get(exchange.scenario)
            if asked is None or not may_end(exchange, asked):
                return Played(Failed(reason=Reason.SYSTEM_ERROR))
            scenario = asked
        else:
            trigger = triggers.find(exchange)
            if trigger is not None:
                scenario, overrides = SCENARIOS[trigger.scenario], trigger.facts
                if trigger.approved:
                    approved = Money.parse(trigger.approved, exchange.amount.currency)
        answer = outcome(
            exchange, scenario, self._next_slip, approved=approved, overrides=overrides, original_seen=original_seen
        )
        if type(answer) is Approved:
            try:
                self._keeper.write(line_of(exchange, answer))
            except OSError:
                return Played(Failed(reason=Reason.SYSTEM_ERROR))
            if not once:  # another process may have been first with the same: its answer is the one that counts
                now = self._keeper.look().done(exchange.transaction_id)
                answer = (now and self._keeper.answer(now)) or answer
        return Played(answer, scenario.delivery, original_seen)

    def close(self) -> None:
        self._keeper.close()

    def _next_slip(self) -> str:
        """Sales slip numbers have five digits and grow: 10000 to 99999, then from the beginning."""
        self._slip = (self._slip + 1) % 90_000
        return str(10_000 + self._slip)


class Traces:
    """The counter behind STAN and RRN."""

    def __init__(self, seed: int) -> None:
        self._stan = seed % 999_999

    def next_stan(self) -> str:
        """000001 to 999999, then from the beginning."""
        self._stan = self._stan % 999_999 + 1
        return f"{self._stan:06d}"

    def next(self, now: datetime) -> tuple[str, str]:
        """The next STAN and the RRN made of it: last digit of the year, day of the year, hour, STAN. `now` is aware
        UTC."""
        stan = self.next_stan()
        return stan, _hour(int(now.timestamp()) // 3600) + stan


@lru_cache(maxsize=4)
def _hour(since_epoch: int) -> str:
    """How the RRNs of an hour begin."""
    now = datetime.fromtimestamp(since_epoch * 3600, UTC)
    return f"{now.year % 10}{now:%j%H}"
