"""What both engines know of writes that wait: who waits for which, and how each learns what became of it. No I/O.

Every write that waits when a turn of the event loop brought nothing new goes into the next commit: lingering is counted
in turns, never in time, so a lone write does not wait for anybody.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kessai.storage.database import Write


@dataclass(slots=True)
class Waiting:
    """A write and who waits for it."""

    write: Write[Any]
    future: "asyncio.Future[Any]"


def deliver(batch: Sequence[Waiting], results: Sequence[object]) -> None:
    """Tell every caller its result, in order; an exception is raised where it waits."""
    for one, result in zip(batch, results, strict=True):
        if one.future.done():  # its caller has gone; the rows are there all the same
            continue
        if isinstance(result, BaseException):
            one.future.set_exception(result)
        else:
            one.future.set_result(result)


async def until_settled(open_writes: Callable[[], Sequence[Waiting]]) -> None:
    """Wait until none of the writes that are open now is. A caller that has gone does not end its write."""
    before = open_writes()
    while before:
        await asyncio.sleep(0.005)
        left = {id(one) for one in open_writes()}
        before = [one for one in before if id(one) in left]


class Linger:
    """Calls `commit` when a turn of the loop brought no new write, or as many wait as one commit takes."""

    __slots__ = ("_commit", "_loop", "_most", "_seen", "_waiting", "is_scheduled")

    def __init__(self, waiting: Callable[[], int], most: int, commit: Callable[[], None]) -> None:
        self._waiting = waiting
        self._most = most
        self._commit = commit
        self._seen = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_scheduled = False

    def schedule(self) -> None:
        if self.is_scheduled:
            return
        self.is_scheduled = True
        self._seen = 0
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        waiting = self._waiting()
        if self._seen < waiting < self._most:
            self._seen = waiting
            assert self._loop is not None
            self._loop.call_soon(self._turn)
            return
        self.is_scheduled = False
        self._commit()
