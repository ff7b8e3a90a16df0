"""Races (T-6): 300 rounds each, in one process and in two, on both engines; every round has one winner.

`ROUNDS=10000` in the environment runs as many; a change of the code runs 300.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from kessai.storage import together
from kessai.storage.postgres import Postgres
from kessai.storage.sqlite import Sqlite
from kessai.storage.writes import Begin
from tests.houses import Clock, Till
from tests.races.race import MERCHANT, RACES, Barrier, Race, houses, prove, run, run_cut_offs

ROUNDS: Final = int(os.environ.get("ROUNDS", "300"))

PROCESSES: Final = pytest.mark.parametrize(
    ("engine", "count"),
    [("sqlite", 1), ("postgresql", 1), ("postgresql", 2)],
    indirect=["engine"],
    ids=["sqlite", "postgresql", "two on postgresql"],
)


@PROCESSES
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_every_race_has_one_winner(race: Race, engine: str, count: int, tmp_path: Path) -> None:
    """T-6, P4, P5, R-6, A-39, A-40."""

    async def main() -> None:
        async with houses(tmp_path, count) as found:
            await run(race, [Till(house, MERCHANT) for house in found], Barrier(found), ROUNDS)
            await prove(found)

    asyncio.run(main())


@PROCESSES
def test_a_void_and_the_cut_off_never_both_win(engine: str, count: int, tmp_path: Path) -> None:
    """T-6, P4, P5, A-41."""

    async def main() -> None:
        clock = Clock()
        async with houses(tmp_path, count, clock) as found:
            tills = [Till(house, MERCHANT) for house in found]
            await run_cut_offs(tills, Barrier(found), clock, ROUNDS)
            await prove(found)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_racers_in_one_group_commit_have_one_winner(
    race: Race, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-6, P5: all racers of a round wait for the same commit; on PostgreSQL even in one statement, past the rule that
    a batch holds one write of a payment."""

    async def main() -> None:
        plan = together.TOGETHER[Begin]
        monkeypatch.setitem(together.TOGETHER, Begin, replace(plan, touches=lambda _: ()))
        async with houses(tmp_path, 1) as found:
            met = shared(found[0].database, monkeypatch)
            await run(race, [Till(found[0], MERCHANT)], Barrier(found), ROUNDS)
            await prove(found)
            assert len(met) == ROUNDS, f"{ROUNDS - len(met)} rounds were not forced into one commit"

    asyncio.run(main())


def shared(database: Any, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ids of payments of which one commit has held every first write of their racers."""
    met: set[int] = set()
    if isinstance(database, Sqlite):
        of_sqlite = database._together

        def on_sqlite(writes: list[Any]) -> list[object]:
            met.update(_twice(writes))
            return of_sqlite(writes)

        monkeypatch.setattr(database, "_together", on_sqlite)
    else:
        assert isinstance(database, Postgres)
        take = database._take

        def on_postgres() -> list[Any]:
            batch = take()
            met.update(_twice([one.write for one in batch]))
            return batch

        monkeypatch.setattr(database, "_take", on_postgres)
    return met


def _twice(writes: list[Any]) -> Iterator[int]:
    touched = [write.payment.id for write in writes if isinstance(write, Begin)]
    return (payment_id for payment_id in set(touched) if touched.count(payment_id) > 1)
