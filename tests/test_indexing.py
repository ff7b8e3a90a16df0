"""The index follows the road: whatever is killed, late or concluded afterwards, nothing is lost, nothing is twice."""

import asyncio
import random
from pathlib import Path
from typing import Final

import pytest

from kessai.app import House
from kessai.jobs import indexing
from kessai.jobs.indexing import Indexer
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Transaction
from kessai.payment.search import ALWAYS, Among, Criterion, Search, both
from kessai.searches import describe
from kessai.storage.indexing import IndexRows, Mark
from kessai.storage.search import Finder
from tests.conftest import on_both_engines
from tests.houses import Till, opened, until, usd

pytestmark = on_both_engines
MERCHANT: Final = "kessai_sandbox"


async def found(house: House, *criteria: Criterion) -> list[int]:
    asked = Search(criterion=both(*criteria) if criteria else ALWAYS, limit=2_500)
    return sorted((await Finder(house.database).find(MERCHANT, asked)).ids)


async def stored(house: House) -> list[int]:
    return [each.id for each in await house.gateway.payments.page(MERCHANT, 0, 10_000)]


def test_an_indexer_that_is_killed_and_begins_again_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 3)
    chance = random.Random(6)

    async def killed() -> int:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            for number in range(6):
                made = await till.authorize(1_000 + number, reference=f"order {number}")
                await till.do(Capture(target=made.id, amount=usd(500)))
            task = asyncio.create_task(house.worker.indexer.round(behind_s=0, sweep_s=0))
            enough = len(await found(house)) + chance.choice((0, 1, 4))
            while len(await found(house)) < enough and not task.done():
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return len(await found(house))

    async def whole() -> None:
        async with opened(tmp_path, works=False) as house:
            await house.worker.indexer.round(behind_s=0, sweep_s=0)
            assert await found(house) == await stored(house)
            assert len(await found(house, Among("reference", ("order 3",)))) == 6

    counts = [asyncio.run(killed()) for _ in range(6)]
    assert len(set(counts)) > 1, "it was never killed in the middle"
    asyncio.run(whole())


def test_what_is_committed_late_is_found_by_the_next_look(tmp_path: Path) -> None:
    """As if its id were older than what was indexed already: the mark is beyond it."""

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            till, indexer = Till(house), house.worker.indexer
            await till.authorize()
            await indexer.round(behind_s=0)
            late = [(await till.authorize()).id for _ in range(3)]
            await house.database.write(IndexRows(merchant_id=MERCHANT, rows=(), mark=Mark(house.gateway.new_id(), 0)))
            await indexer.round(behind_s=0, sweep_s=60)
            assert not set(late) & set(await found(house))
            another = Indexer(house.gateway, lambda: [till.merchant], describe)
            await another.round(behind_s=0, sweep_s=0)
            assert await found(house) == await stored(house)
            very_late = await till.authorize()
            mark = Mark(house.gateway.new_id(), house.gateway.new_id())
            await house.database.write(IndexRows(merchant_id=MERCHANT, rows=(), mark=mark))
            again = Indexer(house.gateway, lambda: [till.merchant], describe)
            await again.round(behind_s=0, sweep_s=0)
            assert very_late.id in await found(house)

    asyncio.run(scenario())


def test_an_outcome_that_comes_later_reaches_the_index(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            till, indexer = Till(house), house.worker.indexer
            made = await till.authorize()
            unknown = await till.do(Capture(target=made.id, amount=usd(500)), scenario="time-out")
            assert isinstance(unknown, Transaction)
            await indexer.round(behind_s=0)
            assert await found(house, Among("status", ("unknown",))) == [unknown.id]
            working = asyncio.create_task(house.worker._run())
            await until(lambda: _is_settled(house, unknown.id))
            house.worker.stop()
            await working
            again = Indexer(house.gateway, lambda: [till.merchant], describe)
            await again.round(behind_s=0)
            assert await found(house, Among("status", ("unknown",))) == []
            assert await found(house) == await stored(house)
            rows = await house.database.read("open_in_index", {"merchant_id": MERCHANT, "after": 0, "most": 10})
            assert rows == []

    asyncio.run(scenario())


async def _is_settled(house: House, identifier: int) -> bool:
    payment = await house.gateway.payments.load(MERCHANT, identifier)
    assert payment is not None
    transaction = payment.payment.find(identifier)
    assert transaction is not None
    return not transaction.is_open


def test_two_at_once_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 2)
    monkeypatch.setattr(indexing, "HELD_S", -1.0)  # so that each takes the mark from the other

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            for number in range(20):
                await till.authorize(1_000 + number)
            several = [Indexer(house.gateway, lambda: [till.merchant], describe) for _ in range(3)]
            await asyncio.gather(*(each.round(behind_s=0, sweep_s=0) for each in several))
            assert await found(house) == await stored(house)

    asyncio.run(scenario())


def test_it_follows_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as house:
            till = Till(house)
            made = await till.authorize(reference="soon")

            async def is_found() -> bool:
                return await found(house, Among("reference", ("soon",))) == [made.id]

            await until(is_found)

    asyncio.run(scenario())
