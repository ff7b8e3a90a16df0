"""A coroutine within a deadline, which costs nothing where there is nothing to wait for."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine; TimeoutError when it takes longer. One that never waits is not timed."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _Begun(coroutine, waits_for)


class _Begun(Generic[T]):
    """The rest of a coroutine that was begun by hand and waits for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            while True:
                try:
                    came = yield self._waits_for
                except BaseException as error:
                    self._waits_for = self._coroutine.throw(error)
                else:
                    self._waits_for = self._coroutine.send(came)
        except StopIteration as done:
            outcome: T = done.value
            return outcome
