"""Tests of the tests: each bug that is planted here must make its cell of the matrix fail."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kessai.acquirers import Exchange
from kessai.acquirers.simulator.book import Book
from kessai.acquirers.simulator.wire import TROUBLE
from kessai.app import House
from kessai.jobs import reversals
from kessai.payment.lifecycle import Outcome, Reason
from tests.links.cell import play
from tests.links.matrix import ROWS

Plant = Callable[[House, pytest.MonkeyPatch], None]


def no_reversal_after_a_timeout(_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_done(*_: Any) -> bool:
        return True

    monkeypatch.setattr(reversals, "_reverse", is_done)


def reversal_sent_once_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_done(*_: Any) -> bool:
        return True

    monkeypatch.setattr(house.gateway, "repeat", is_done)


def late_approval_wins(house: House, _monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = house.gateway
    tasks = []

    async def believe(exchange: Exchange, outcome: Outcome) -> None:
        merchant = house.accounts.get(exchange.merchant_id).merchant
        found = await gateway.payments.load(merchant.id, exchange.transaction_id)
        assert found is not None
        transaction = found.payment.find(exchange.transaction_id)
        assert transaction is not None
        await gateway.settle(merchant, found.payment, transaction, outcome)

    house.gateway.links["sandbox"].on_late_answer(
        lambda exchange, outcome: tasks.append(asyncio.create_task(believe(exchange, outcome)))
    )


def a_reversal_of_nothing_is_not_sent_once_more(_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book, "_was_too_early", lambda *_: False)


def a_timeout_over_there_is_a_decline(_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TROUBLE, "68", Reason.ISSUER_UNAVAILABLE)


PLANTED: list[tuple[Plant, str, str]] = [
    (no_reversal_after_a_timeout, "F2", "authorize"),
    (no_reversal_after_a_timeout, "F4", "sale"),
    (reversal_sent_once_only, "F2", "authorize"),
    (late_approval_wins, "F5", "authorize"),
    (a_reversal_of_nothing_is_not_sent_once_more, "F12", "authorize"),
    (a_timeout_over_there_is_a_decline, "F11", "authorize"),
]


@pytest.mark.parametrize(("plant", "fault", "operation"), PLANTED)
def test_a_planted_bug_is_found(
    plant: Plant, fault: str, operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Section 12 of the rules: the cell fails, and within seconds."""

    def found() -> bool:
        try:
            asyncio.run(play(tmp_path, ROWS[fault], operation, lambda house: plant(house, monkeypatch), patience_s=2))
        except (AssertionError, TimeoutError):
            return True
        return False

    assert found()
