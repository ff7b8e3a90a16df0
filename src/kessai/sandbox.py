"""What test merchants may ask for and nobody else: an outcome by name, and a business clock that moves.

The name of an outcome travels over the whole road to the simulated acquirer, which alone knows what it does; no dialect
reads it. A clock is moved here and nowhere else: forward, by a row, for a merchant in test mode. Signatures, ids,
deadlines and logs keep the time of the wall.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.authentication import issuer
from kessai.payment.lifecycle import Operation
from kessai.payment.merchant import Merchant
from kessai.payment.plan import Unit, plus
from kessai.storage.database import Database
from kessai.storage.merchants import MoveClock

HEADER: Final = "kessai-scenario"
AUTHENTICATION_HEADER: Final = "kessai-authentication"
MOST_AHEAD: Final = timedelta(days=36_525)
"""How far a clock may be moved in all: a hundred years."""
STEPS: Final[Mapping[str, str]] = {
    "y": "years",
    "mo": "months; a day that the month does not have becomes its last",
    "w": "weeks",
    "d": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
}
"""Letters behind a number, as in `1mo` or `1d12h`, with what they stand for."""


@dataclass(frozen=True, slots=True)
class NoSuchScenario:
    """A name that no simulator knows, or that this operation cannot end in; the text says which there are."""

    explanation: str


def scenario(merchant: Merchant, operation: Operation, name: str | None) -> str | NoSuchScenario | None:
    """The scenario of a request; None where none is asked for, or where the merchant is live."""
    if name is None or not merchant.is_test:
        return None
    found = SCENARIOS.get(name)
    if found is None:
        return NoSuchScenario(f"there is no scenario of this name; there are: {', '.join(SCENARIOS)}")
    if operation not in found.operations:
        return NoSuchScenario(f"the scenario {found.name} is for {', '.join(_names(found.operations))}")
    return found.name


def issuer_scenario(merchant: Merchant, name: str | None) -> str | NoSuchScenario | None:
    """The scenario of an authentication by its issuer; None where none is asked for, or where the merchant is live."""
    if name is None or not merchant.is_test:
        return None
    if name not in issuer.SCENARIOS:
        return NoSuchScenario(f"there is no such scenario; there are: {', '.join(issuer.SCENARIOS)}")
    return name


def _names(operations: frozenset[Operation]) -> list[str]:
    return [operation.value for operation in Operation if operation in operations]


def describe() -> Mapping[str, str]:
    """Every scenario with its meaning."""
    return {name: scenario.meaning for name, scenario in SCENARIOS.items()}


# ---- the clock


class NotMoved(Exception):
    """Why a clock stays where it is; one sentence."""


_STEP: Final = re.compile(r"([0-9]{1,6})(mo|[ywdhms])", re.ASCII)
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
_UNITS: Final = {"y": Unit.YEAR, "mo": Unit.MONTH, "w": Unit.WEEK, "d": Unit.DAY}


def later(instant: datetime, text: str) -> datetime:
    """An instant moved on by a text such as `1mo`, `3d`, `2h` or `1y6mo`. NotMoved where it is no such text."""
    steps = _STEP.findall(text)
    if not steps or "".join(number + letter for number, letter in steps) != text:
        raise NotMoved(f"a step is a number and a letter, as in 1mo, 3d or 2h; the letters are {', '.join(STEPS)}")
    moved = instant
    try:
        for number, letter in steps:
            seconds = _SECONDS.get(letter)
            moved = (
                moved + timedelta(seconds=int(number) * seconds)
                if seconds is not None
                else plus(moved, _UNITS[letter], int(number))
            )
    except (ValueError, OverflowError):
        raise NotMoved("the clock cannot be moved that far") from None
    return moved


async def move_clock(database: Database, merchant: Merchant, now: datetime, to: datetime) -> timedelta:
    """Move a merchant's business clock on to an instant; how far it is ahead then. NotMoved.

    `now` is the wall's time. Every process sees it when it next looks for changed merchants.
    """
    if not merchant.is_test:
        raise NotMoved("only a test merchant's clock can be moved")
    by_ms = (to - merchant.at(now)) // timedelta(milliseconds=1)
    if by_ms <= 0:
        raise NotMoved("a clock moves forward only")
    most_ms = MOST_AHEAD // timedelta(milliseconds=1)
    ahead_ms = await database.write(MoveClock(merchant_id=merchant.id, by_ms=by_ms, most_ms=most_ms))
    if ahead_ms is None:
        raise NotMoved("a clock can be at most a hundred years ahead")
    return timedelta(milliseconds=ahead_ms)
