"""Ids: 64-bit, time-ordered, made here without asking anybody.

    sign 0 · 41 bits milliseconds since 2001-09-09T01:46:40Z (Unix time - 10^12 ms) · 14 bits counter · 8 bits node

The counter stays below 10 000, so that a wire may print it in four digits. Ids keep wall time and survive a clock that
goes back: the next one is always greater than the last, and than the greatest that was stored.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol

EPOCH_MS: Final = 10**12
COUNTERS: Final = 10_000
_COUNTER_BITS: Final = 14
_NODE_BITS: Final = 8
_NODES: Final = (1 << _NODE_BITS) - 1


@dataclass(frozen=True, slots=True)
class Parts:
    """An id taken apart. `at_ms` is Unix time in milliseconds."""

    at_ms: int
    counter: int
    node: int


def join(parts: Parts) -> int:
    since = parts.at_ms - EPOCH_MS
    return (since << (_COUNTER_BITS + _NODE_BITS)) | (parts.counter << _NODE_BITS) | parts.node


def split(identifier: int) -> Parts:
    return Parts(
        at_ms=(identifier >> (_COUNTER_BITS + _NODE_BITS)) + EPOCH_MS,
        counter=(identifier >> _NODE_BITS) & ((1 << _COUNTER_BITS) - 1),
        node=identifier & ((1 << _NODE_BITS) - 1),
    )


FIRST_NODE: Final = 3000
"""What the printed form shows for node 0."""


@lru_cache(maxsize=2048)
def show(identifier: int) -> str:
    """The printed form, 22 digits: milliseconds since the epoch (12), 6, counter (4), 0, node (4).

    It is the form of the CyberSource wire: Unix time in milliseconds without its leading 1, a counter that begins with
    6, a node code.
    """
    since, counter = divmod(identifier >> _NODE_BITS, 1 << _COUNTER_BITS)
    return f"{since:012d}6{counter:04d}0{FIRST_NODE + (identifier & _NODES):04d}"


def read(text: str) -> int | None:
    """The id of a printed form; None for a text that cannot be one."""
    if len(text) != 22 or not (text.isascii() and text.isdigit()) or text[12] != "6" or text[17] != "0":
        return None
    node = int(text[18:]) - FIRST_NODE
    if not 0 <= node < 1 << _NODE_BITS:
        return None
    return join(Parts(int(text[:12]) + EPOCH_MS, int(text[13:17]), node))


def made_at(identifier: int) -> datetime:
    """The wall time at which an id was made."""
    return datetime.fromtimestamp(split(identifier).at_ms / 1000, UTC)


def first_of(instant: datetime) -> int:
    """The smallest id of an instant."""
    return join(Parts(int(instant.timestamp() * 1000), 0, 0))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Ids:
    """A source of ids for one node (0 to 255)."""

    __slots__ = ("_counter", "_ms", "_node", "_now_ms")

    def __init__(self, node: int, after: int = 0, now_ms: Callable[[], int] = _wall_ms) -> None:
        assert 0 <= node < 1 << _NODE_BITS
        last = split(after) if after else Parts(EPOCH_MS, 0, node)
        self._node = node
        self._ms = last.at_ms
        self._counter = last.counter
        self._now_ms = now_ms

    def next(self) -> int:
        """A new id, greater than every one before it."""
        now = self._now_ms()
        if now > self._ms:
            self._ms = now
            # The counter runs on, as on the wires that print it; each millisecond has room for at least a half of it.
            self._counter = (self._counter + 1) % (COUNTERS // 2)
        else:
            self._counter += 1
            if self._counter >= COUNTERS:
                self._ms += 1
                self._counter = 0
        return join(Parts(self._ms, self._counter, self._node))


class Seat(Protocol):
    """Whose number a process uses for a while."""

    node: int

    @property
    def is_held(self) -> bool: ...


class Source:
    """Ids under the node number of this process.

    While its lease has ended nothing may be begun; what follows from what was begun still gets ids: the number is
    nobody else's for minutes.
    """

    __slots__ = ("_ids", "_last", "_seat")

    def __init__(self, seat: Seat, newest: int) -> None:
        self._seat = seat
        self._last = newest
        self._ids = Ids(seat.node, newest)

    def next(self) -> int:
        self._last = self._ids.next()
        return self._last

    def may_begin(self) -> bool:
        """Whether the number is this process's: its siblings count on it until then."""
        return self._seat.is_held

    def move(self) -> None:
        self._ids = Ids(self._seat.node, self._last)
