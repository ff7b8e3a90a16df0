"""The link to an acquirer under every fault, with every operation, over real sockets (T-4, F1 to F14).

`SEEDS=50` in the environment (`make destruction`) plays each cell as often, each time in another order of events; a
change of the code plays each once.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.links.cell import play
from tests.links.matrix import OPERATIONS, ROWS

Played = Mapping[str, BaseException | None]
SEEDS: Final = int(os.environ.get("SEEDS", "1"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Played]:
    """The cells of one fault, played side by side, once: what each operation came to."""
    rows: dict[tuple[str, int], Played] = {}

    async def row(fault: str, seed: int) -> Played:
        folder = tmp_path_factory.mktemp(fault)
        cells = (play(folder / operation, ROWS[fault], operation, seed=seed) for operation in OPERATIONS)
        return dict(zip(OPERATIONS, await asyncio.gather(*cells, return_exceptions=True), strict=True))

    def once(fault: str, seed: int) -> Played:
        if (fault, seed) not in rows:
            rows[fault, seed] = asyncio.run(row(fault, seed))
        return rows[fault, seed]

    return once


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", ROWS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_caller_is_told_the_truth_and_no_money_goes_astray(
    seed: int, fault: str, operation: str, played: Callable[[str, int], Played]
) -> None:
    """T-4, R-3, R-4, R-5, P3: unknown is neither approved nor declined; afterwards both books agree."""
    failure = played(fault, seed)[operation]
    if failure is not None:
        raise failure
    assert failure is None


def test_the_matrix_is_whole() -> None:
    assert len(ROWS) * len(OPERATIONS) == 84
    assert [int(name[1:]) for name in ROWS] == list(range(1, 15))
