"""Reads that are made together: each asker gets its own answer, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from kessai.storage.gathered import MOST, Gathered


def test_what_comes_in_one_turn_is_one_read() -> None:
    reads: list[int] = []

    async def read(asked: Sequence[int]) -> list[int]:
        reads.append(len(asked))
        await asyncio.sleep(0)
        return [-question for question in asked]

    async def main() -> None:
        gathered = Gathered(read)
        many = MOST + 10
        assert await asyncio.gather(*map(gathered.ask, range(many))) == [-question for question in range(many)]
        assert reads == [MOST, 10]
        assert await gathered.ask(7) == -7
        assert reads == [MOST, 10, 1]

    asyncio.run(main())


def test_who_has_gone_is_not_in_the_way_and_an_error_is_everybodys() -> None:
    async def read(asked: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        if "bad" in asked:
            raise ConnectionError
        return list(asked)

    async def main() -> None:
        gathered = Gathered(read)
        waiting = [asyncio.create_task(gathered.ask(text)) for text in ("a", "b", "c")]
        await asyncio.sleep(0)
        waiting[1].cancel()
        assert await waiting[0] == "a"
        assert await waiting[2] == "c"
        told = await asyncio.gather(*map(gathered.ask, ("a", "bad")), return_exceptions=True)
        assert [type(one) for one in told] == [ConnectionError] * 2
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(gathered.ask("bad"), 5)
        assert await gathered.ask("d") == "d"

    asyncio.run(main())
