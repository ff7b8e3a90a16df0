"""Node numbers: each process has one, keeps it by renewing, and never takes one that somebody might still use."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests import postgres
from tests.houses import VISA, Till, opened, usd
from tests.storage.test_postgres import engine, intent

from kessai.app import open_house
from kessai.payment.authorize import Authorize
from kessai.storage import nodes
from kessai.storage.database import Unavailable
from kessai.storage.nodes import Seat
from kessai.storage.payments import Payments
from kessai.storage.postgres import Postgres


async def seats(store: Postgres, count: int) -> list[Seat]:
    made = [Seat(store) for _ in range(count)]
    await asyncio.gather(*(seat.take() for seat in made))
    return made


async def lapse(url: str, seconds: int) -> None:
    await postgres.execute(url, f"UPDATE nodes SET until = until - 20000 - {seconds} * 1000")


def test_processes_that_start_at_once_get_different_numbers() -> None:
    """R-32."""

    async def main() -> None:
        async with engine() as store:
            taken = await seats(store, 20)
            assert sorted(seat.node for seat in taken) == list(range(1, 21))
            assert len({seat.lease for seat in taken}) == 20

    asyncio.run(main())


def test_a_number_that_lapsed_is_nobodys_for_five_minutes_and_one_given_back_is_free() -> None:
    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as store:
            (first,) = await seats(store, 1)
            await lapse(url, 290)
            (second,) = await seats(store, 1)
            assert (first.node, second.node) == (1, 2)
            await lapse(url, 20)
            (third,) = await seats(store, 1)
            assert third.node == 1
            await third.release()
            assert (await seats(store, 1))[0].node == 1

    asyncio.run(main())


def test_who_could_not_renew_in_time_has_another_number_and_lease() -> None:
    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as store:
            (seat,) = await seats(store, 1)
            moved: list[int] = []
            seat.on_move = lambda: moved.append(seat.node)
            lease = seat.lease
            await seat.renew()
            assert (seat.node, seat.lease, moved) == (1, lease, [])
            await lapse(url, 1)
            await seat.renew()
            assert (seat.node, moved) == (2, [2])
            assert seat.lease != lease

    asyncio.run(main())


def test_nothing_is_begun_under_a_lease_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process knows by its own clock, before it asks; its ids stay in order over the move."""
    monkeypatch.setenv("KESSAI_DATABASE", postgres.fresh())

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            till = Till(house)
            before = await till.authorize()
            house.seat._until = 0.0
            with pytest.raises(Unavailable, match="lease"):
                await till.do(Authorize(amount=usd(1), card=VISA))
            await lapse(house.settings.database, 1)
            await house.seat.renew()
            after = await till.authorize()
            assert after.id > before.id
            assert (before.id & 255, after.id & 255) == (1, 2)
            assert house.gateway.lease == house.seat.lease

    asyncio.run(main())


def test_a_living_siblings_exchange_is_nobodys_orphan() -> None:
    """R-4: only what is older than any exchange, or whose process's lease has ended."""

    async def main() -> None:
        url = postgres.fresh()
        async with engine(url) as store:
            mine, sibling = await seats(store, 2)
            await store.write(replace(intent(1), lease=sibling.lease))
            payments = Payments(store)
            assert await payments.pending("m", mine.lease, 0) == []
            assert await payments.pending("m", mine.lease, 2) == [1]
            await lapse(url, 1)
            assert await payments.pending("m", mine.lease, 0) == [1]
            await sibling.take()
            assert await payments.pending("m", mine.lease, 0) == [1]

    asyncio.run(main())


def test_a_lease_is_renewed_while_the_process_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "RENEW_S", 0.05)
    url = postgres.fresh()

    async def main() -> None:
        house = await open_house(tmp_path, database=url)
        (before,) = await postgres.rows(url, "SELECT until FROM nodes")
        async with asyncio.timeout(20):
            while await postgres.rows(url, "SELECT until FROM nodes") <= [before]:
                await asyncio.sleep(0.02)
        await house.close()
        assert await postgres.rows(url, "SELECT until FROM nodes") == [(0,)]

    asyncio.run(main())


def test_the_embedded_database_has_one_process_and_one_number(tmp_path: Path) -> None:
    async def main() -> None:
        leases = []
        for _ in range(2):
            house = await open_house(tmp_path)
            assert (house.seat.node, house.seat.is_held) == (1, True)
            leases.append(house.seat.lease)
            assert (
                await house.database.read("pending_transactions", {"merchant_id": "m", "before": 0, "lease": 0}) == []
            )
            await house.close()
        assert leases[0] != leases[1]

    asyncio.run(main())
