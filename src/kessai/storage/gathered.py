"""Reads that are asked for one by one and made together: what came in one turn of the event loop is one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from kessai.storage.group import Linger

Q = TypeVar("Q")
A = TypeVar("A")
MOST: Final = 512
"""In one statement; more wait for the next."""


class Gathered(Generic[Q, A]):
    """`read` answers many questions at once, in their order. What it raises, everybody hears who asked with them."""

    def __init__(self, read: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self._read = read
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._linger = Linger(lambda: len(self._asked), MOST, self._send)
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q) -> A:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, future))
        self._linger.schedule()
        return await future

    def _send(self) -> None:
        asked, self._asked = self._asked[:MOST], self._asked[MOST:]
        task = asyncio.get_running_loop().create_task(self._answer(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._asked:
            self._linger.schedule()

    async def _answer(self, asked: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._read([question for question, _ in asked])
        except Exception as error:
            for _, future in asked:
                if not future.done():  # whoever asked may have gone
                    future.set_exception(error)
            return
        for (_, future), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)
