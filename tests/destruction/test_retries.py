"""Idempotent retries (T-7): payments sent again and again over lines that are cut, over gateways that are killed.

`PAYMENTS=10000` in the environment (`make destruction`) sends as many; a change of the code sends 500.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests import postgres
from tests.destruction.retries import Client, retried, retried_over_two

PAYMENTS: Final = int(os.environ.get("PAYMENTS", "500"))

pytestmark = pytest.mark.timeout(3600)


def told(client: Client) -> str:
    replies = [reply for each in client.told for reply in each.replies]
    replays = sum(reply.is_replay for reply in replies)
    unknown = sum(each.final is not None and each.final.status == 502 for each in client.told)
    return f"{len(client.told)} payments, {len(replies)} answers, {replays} replays, {unknown} of unknown outcome"


def test_a_payment_sent_over_and_over_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T-7, P2, R-1, R-9, R-10, R-11: over one gateway, killed three times; replays are the first answer's bytes."""
    client = asyncio.run(retried(tmp_path / "data", PAYMENTS, seed=7))
    assert len(client.told) == PAYMENTS
    with capsys.disabled():
        print(f"\nT-7 on sqlite: {told(client)}")


def test_a_payment_sent_to_two_gateways_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T-7, P2, R-4, R-9, R-10: over two workers on one database, one of them killed in the middle."""
    client = asyncio.run(retried_over_two(tmp_path / "data", PAYMENTS, postgres.fresh(), seed=8))
    assert len(client.told) == PAYMENTS
    with capsys.disabled():
        print(f"\nT-7 on two workers on postgresql: {told(client)}")
