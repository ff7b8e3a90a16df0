"""The link to an acquirer under every fault, with every operation, over real sockets (T-4, F1 to F14)."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.links.cell import play
from tests.links.matrix import OPERATIONS, ROWS

Played = Mapping[str, BaseException | None]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Played]:
    """The cells of one fault, played side by side, once: what each operation came to."""
    rows: dict[str, Played] = {}

    async def row(fault: str) -> Played:
        folder = tmp_path_factory.mktemp(fault)
        cells = (play(folder / operation, ROWS[fault], operation) for operation in OPERATIONS)
        return dict(zip(OPERATIONS, await asyncio.gather(*cells, return_exceptions=True), strict=True))

    def once(fault: str) -> Played:
        if fault not in rows:
            rows[fault] = asyncio.run(row(fault))
        return rows[fault]

    return once


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", ROWS)
def test_the_caller_is_told_the_truth_and_no_money_goes_astray(
    fault: str, operation: str, played: Callable[[str], Played]
) -> None:
    """T-4, R-3, R-4, R-5, P3: unknown is neither approved nor declined; afterwards both books agree."""
    failure = played(fault)[operation]
    if failure is not None:
        raise failure
    assert failure is None


def test_the_matrix_is_whole() -> None:
    assert len(ROWS) * len(OPERATIONS) == 84
    assert [int(name[1:]) for name in ROWS] == list(range(1, 15))
