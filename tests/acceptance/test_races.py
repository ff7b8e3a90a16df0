"""Requests at the same moment, over as many connections: money moves once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.acceptance.client import PENDING, REVERSED, VOIDED, Client, Reply, payment, refused


def at_once(*calls: Callable[[], Reply]) -> list[Reply]:
    """Every call from a thread of its own, all let go together."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Reply]) -> Reply:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.parametrize("round_", range(10))
def test_of_two_full_captures_one_wins(vpc: Client, round_: int) -> None:
    """A-39."""
    made = vpc.approved(vpc.pay())
    said = [reply.said for reply in at_once(*[lambda: vpc.capture(made)] * 2)]
    assert sorted(said, key=str) == sorted([PENDING, refused("EXCEEDS_AUTH_AMOUNT")], key=str)
    assert int(vpc.service.book("vpc").held.get(int(made), 0)) == 0


@pytest.mark.parametrize("round_", range(10))
def test_of_a_capture_a_reversal_and_a_void_one_wins(vpc: Client, round_: int) -> None:
    """A-39."""
    made = vpc.approved(vpc.pay())
    calls = [lambda: vpc.capture(made), lambda: vpc.reverse(made), lambda: vpc.void(made)]
    turn = round_ % 3
    replies = at_once(*calls[turn:], *calls[:turn])
    assert sum(reply.status == 201 for reply in replies) == 1
    assert all(reply.status in (201, 400) for reply in replies)
    assert {reply.said for reply in replies} & {PENDING, REVERSED, VOIDED}


def test_refunds_at_once_return_no_more_than_was_captured(vpc: Client) -> None:
    """A-40."""
    sold = vpc.approved(vpc.sell("100.00"))
    said = [reply.said for reply in at_once(*[lambda: vpc.refund(sold, "40.00")] * 8)]
    assert said.count(PENDING) == 2
    assert said.count(refused("INVALID_AMOUNT")) == 6


def test_two_voids_cancel_once(vpc: Client) -> None:
    sold = vpc.approved(vpc.sell())
    said = [reply.said for reply in at_once(*[lambda: vpc.void(sold)] * 4)]
    assert said.count(VOIDED) == 1
    assert said.count(refused("NOT_VOIDABLE")) == 3


def test_one_key_sent_many_times_at_once_pays_once(vpc: Client) -> None:
    document = payment(clientReferenceInformation={"code": "once"})
    replies = at_once(*[lambda: vpc.pay(document, Idempotency_Key="race-1")] * 6)
    paid = {reply.body for reply in replies if reply.status == 201}
    assert len(paid) == 1
    assert all(reply.status in (201, 409) for reply in replies)


def test_the_books_bear_every_race(vpc: Client) -> None:
    vpc.service.until_quiet()
    vpc.service.assert_books()
