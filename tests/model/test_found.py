"""What the model has found: each failing history, shortened, as a test of its own."""

import asyncio
from pathlib import Path

import pytest

from kessai.payment.lifecycle import Operation, Status, Transaction
from kessai.payment.reverse import Reverse
from tests.conftest import on_both_engines
from tests.houses import Till, opened, until, usd
from tests.links.cell import is_quiet

pytestmark = on_both_engines


@pytest.mark.parametrize("scenario", ["answer-lost", "no-answer"])
def test_a_later_reversal_without_an_answer_is_sent_again_too(tmp_path: Path, scenario: str) -> None:
    """P3, R-4: the approval of an earlier reversal says nothing of a later one."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            till = Till(house, "kessai_vpc")
            root = await till.authorize(10_000)
            await till.do(Reverse(target=root.id, amount=usd(4_000)))
            lost = await till.do(Reverse(target=root.id, amount=usd(6_000)), scenario)
            assert isinstance(lost, Transaction)
            assert lost.status is Status.UNKNOWN
            await until(lambda: is_quiet(house))
            payment = await till.payment(root)
            assert [tx.status for tx in payment.followers(Operation.REVERSAL)] == [Status.APPROVED] * 2

    asyncio.run(main())
