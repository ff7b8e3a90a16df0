"""kill -9 under load (T-1): what was acknowledged is there, what was not is done once or told, whatever was under way.

`KILLS=1000 KILLS_POSTGRESQL=100` in the environment (`make destruction`) kill as often; a change of the code kills 100
and 10 times. Each run prints how many kills fell before commit 1, between the commits and after commit 2.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests import postgres
from tests.destruction.driver import Stage, killed, told

KILLS: Final = {
    "sqlite": int(os.environ.get("KILLS", "100")),
    "postgresql": int(os.environ.get("KILLS_POSTGRESQL", "10")),
}
FEWEST_TO_MEET_ALL: Final = 10
"""So many kills meet requests before, between and after their commits, whatever chance does; fewer may not."""
SIDE_BY_SIDE: Final = 2
"""Gateways that are killed at the same time, each on a folder and a database of its own."""
LONGEST_REOPENING_S: Final = 10.0
"""The rule says 1 s and 3 s, on a machine that does nothing else."""


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", KILLS)
def test_nothing_acknowledged_is_lost_or_doubled_by_a_kill(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T-1, P1, P2, P3, P4, R-1, R-2, R-4, R-16, F25."""

    async def main() -> None:
        drivers = await asyncio.gather(
            *(
                killed(
                    tmp_path / str(side),
                    max(1, (KILLS[name] + side) // SIDE_BY_SIDE),
                    seed=side + 1,
                    database=postgres.fresh() if name == "postgresql" else "",
                )
                for side in range(SIDE_BY_SIDE)
            )
        )
        with capsys.disabled():
            print(f"\nT-1 on {name}: {told(drivers)}")
        met = sum((driver.ledger.stages for driver in drivers), Counter[Stage]())
        if KILLS[name] >= FEWEST_TO_MEET_ALL:
            assert set(met) == set(Stage), f"no request was met {set(Stage) - set(met)}"
        assert max(max(driver.served.reopened_s) for driver in drivers) < LONGEST_REOPENING_S

    asyncio.run(main())
