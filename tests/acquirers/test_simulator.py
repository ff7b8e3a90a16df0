"""The simulated acquirer as a link: how answers travel, what is done once, and what stays held."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from kessai.acquirers import Acquirer, Exchange, load
from kessai.acquirers.simulator.book import Book, line_of
from kessai.acquirers.simulator.link import Simulator
from kessai.payment.bank import BankAccount
from kessai.payment.card import AccountNumber, Brand, Card, Pan
from kessai.payment.lifecycle import Approved, Declined, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import CURRENCIES, Money

T = TypeVar("T")

USD = CURRENCIES["USD"]
AUTHORIZATION, FOLLOWER = 1, 2
DEADLINE_S = 0.01


def message(
    operation: Operation = Operation.AUTHORIZE, minor: int = 10_000, transaction_id: int = AUTHORIZATION, **said: Any
) -> Exchange:
    members: dict[str, Any] = {
        "merchant_id": "shop",
        "personality": "sandbox",
        "stan": "000001",
        "rrn": "632405000001",
        "sent_at": datetime(2026, 11, 20, 5, tzinfo=UTC),
        "card": Card(pan=Pan("4111111111111111"), brand=Brand.VISA) if "original_id" not in said else None,
    }
    return Exchange(operation=operation, amount=Money(minor, USD), transaction_id=transaction_id, **members | said)


def follow(operation: Operation, minor: int = 10_000, transaction_id: int = FOLLOWER, **said: Any) -> Exchange:
    return message(operation, minor, transaction_id, **{"original_id": AUTHORIZATION} | said)


def run(play: Callable[[Simulator], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(play(Simulator(0, 0.01)))


def after(*exchanges: Exchange) -> tuple[list[Outcome], Book]:
    """The answers to messages in their order, and the book afterwards."""

    async def play(link: Simulator) -> tuple[list[Outcome], Book]:
        return [await link.send(exchange) for exchange in exchanges], link.book

    return run(play)


# Answers


def test_an_ordinary_message_is_approved_as_asked() -> None:
    answers, book = after(message())
    assert isinstance(answers[0], Approved)
    assert answers[0].amount == Money(10_000, USD)
    assert book.held == {AUTHORIZATION: 10_000}


def test_a_trigger_decides_where_nothing_was_asked_for() -> None:
    answers, book = after(message(minor=150_000), message(minor=150_000, scenario="approve", transaction_id=3))
    assert isinstance(answers[0], Declined)
    assert answers[0].reason is Reason.GENERAL_DECLINE
    assert isinstance(answers[1], Approved)
    assert book.held == {3: 150_000}


def test_a_triggered_partial_approval_has_the_published_figures() -> None:
    answers, _ = after(message(minor=100_000, flags=frozenset({"partial"})))
    assert isinstance(answers[0], Approved)
    assert answers[0].amount == Money(49_901, USD)
    facts = answers[0].facts
    assert (facts["balance"], facts["terminal_id"], facts["merchant_number"]) == ("0.00", "261996", "000000092345678")


@pytest.mark.parametrize(
    ("scenario", "operation"), [("no-such-thing", Operation.AUTHORIZE), ("insufficient-funds", Operation.VOID)]
)
def test_a_scenario_that_cannot_be_played_fails_with_nothing_done(scenario: str, operation: Operation) -> None:
    answers, book = after(message(operation, scenario=scenario))
    assert answers == [Failed(reason=Reason.SYSTEM_ERROR)]
    assert book.entries == {}


def test_the_same_message_is_answered_the_same_by_any_simulator() -> None:
    assert after(message())[0] == after(message())[0]


def test_sales_slip_numbers_have_five_digits_and_grow() -> None:
    answers, _ = after(*(message(personality="smcc", transaction_id=n) for n in (1, 2, 3)))
    slips = [answer.facts["sales_slip_number"] for answer in answers if isinstance(answer, Approved)]
    assert len(slips) == 3
    assert all(len(slip) == 5 and slip.isdigit() for slip in slips)
    assert all(int(earlier) + 1 == int(later) for earlier, later in pairwise(slips))


# Answers that do not arrive


def test_a_reported_time_out_does_nothing() -> None:
    answers, book = after(message(scenario="time-out"))
    assert isinstance(answers[0], Unknown)
    assert book.entries == {}


def test_a_lost_answer_leaves_its_work_done_until_it_is_reversed() -> None:
    answers, book = after(message(scenario="answer-lost"))
    assert isinstance(answers[0], Unknown)
    assert book.held == {AUTHORIZATION: 10_000}
    answers, book = after(message(scenario="answer-lost"), follow(Operation.REVERSAL))
    assert isinstance(answers[1], Approved)
    assert answers[1].facts["response_code"] == "200"
    assert book.held == {}


def test_a_lost_sale_is_undone_by_its_reversal() -> None:
    _, book = after(message(Operation.SALE, scenario="answer-lost"))
    assert book.moved == {AUTHORIZATION: 10_000}
    _, book = after(message(Operation.SALE, scenario="answer-lost"), follow(Operation.REVERSAL))
    assert book.moved == {}


async def give_up(link: Simulator, exchange: Exchange) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DEADLINE_S):
            await link.send(exchange)


def test_silence_lasts_until_the_deadline_and_nothing_was_done() -> None:
    async def play(link: Simulator) -> Book:
        link.on_late_answer(lambda exchange, answer: pytest.fail("a lost message is not answered late"))
        await give_up(link, message(scenario="no-answer"))
        await asyncio.sleep(0.03)
        return link.book

    assert run(play).entries == {}


def test_a_late_answer_is_told_after_the_deadline_without_the_card() -> None:
    async def play(link: Simulator) -> tuple[list[tuple[Exchange, Outcome]], Book]:
        told: list[tuple[Exchange, Outcome]] = []
        arrived = asyncio.Event()

        def handler(exchange: Exchange, answer: Outcome) -> None:
            told.append((exchange, answer))
            arrived.set()

        link.on_late_answer(handler)
        account = BankAccount(number=AccountNumber("4100"), routing_number="071923284")
        await give_up(link, message(scenario="late-answer", account=account))
        assert told == []
        await asyncio.wait_for(arrived.wait(), 5)
        return told, link.book

    told, book = run(play)
    [(exchange, answer)] = told
    assert (exchange.transaction_id, exchange.card, exchange.account) == (AUTHORIZATION, None, None)
    assert isinstance(answer, Approved)
    assert book.held == {AUTHORIZATION: 10_000}


def test_a_closed_link_tells_nothing_more() -> None:
    async def play(link: Simulator) -> int:
        told: list[Outcome] = []
        link.on_late_answer(lambda exchange, answer: told.append(answer))
        await give_up(link, message(scenario="late-answer"))
        await link.close()
        await asyncio.sleep(0.03)
        return len(told)

    assert run(play) == 0


# Done once


@pytest.mark.parametrize("operation", [Operation.CAPTURE, Operation.REFUND, Operation.VOID, Operation.REVERSAL])
def test_a_marked_repeat_of_what_was_done_is_answered_the_same_and_done_once(operation: Operation) -> None:
    lost = follow(operation, 4_000, scenario="answer-lost")
    again = follow(operation, 4_000, is_repeat=True)
    answers, book = after(message(), lost, again, again)
    assert isinstance(answers[1], Unknown)
    assert isinstance(answers[2], Approved)
    assert answers[2] is answers[3]
    once = after(message(), lost)[1]
    assert (book.held, book.moved) == (once.held, once.moved)


def test_a_marked_repeat_of_what_never_arrived_is_done_now() -> None:
    answers, book = after(
        message(), follow(Operation.CAPTURE, scenario="time-out"), follow(Operation.CAPTURE, is_repeat=True)
    )
    assert isinstance(answers[2], Approved)
    assert book.moved == {FOLLOWER: 10_000}


def test_a_reversal_of_what_never_arrived_is_answered_as_done() -> None:
    answers, book = after(message(scenario="time-out"), follow(Operation.REVERSAL))
    assert isinstance(answers[1], Approved)
    assert answers[1].facts["response_code"] == "25"
    assert book.held == {}


def test_a_reversal_with_the_approval_in_hand_is_an_ordinary_one() -> None:
    answers, _ = after(follow(Operation.REVERSAL, original={"approval_code": "888888"}))
    assert isinstance(answers[0], Approved)
    assert answers[0].facts["response_code"] == "200"


# The book


BOOKS: list[tuple[tuple[Exchange, ...], dict[int, int], dict[int, int]]] = [
    ((follow(Operation.CAPTURE, 4_000),), {1: 6_000}, {2: 4_000}),
    ((follow(Operation.CAPTURE, 12_000),), {}, {2: 12_000}),
    ((follow(Operation.REVERSAL, 4_000),), {1: 6_000}, {}),
    ((follow(Operation.VOID),), {}, {}),
    ((follow(Operation.CAPTURE), follow(Operation.VOID, 10_000, 3, original_id=2)), {1: 10_000}, {}),
    ((follow(Operation.CAPTURE, 12_000), follow(Operation.VOID, 12_000, 3, original_id=2)), {1: 10_000}, {}),
    (
        (
            follow(Operation.CAPTURE),
            follow(Operation.VOID, 10_000, 3, original_id=2),
            follow(Operation.VOID, 10_000, 4, original_id=2),
        ),
        {1: 10_000},
        {},
    ),
    ((follow(Operation.CAPTURE), follow(Operation.REFUND, 3_000, 3, original_id=2)), {}, {2: 10_000, 3: 3_000}),
    (
        (
            follow(Operation.CAPTURE),
            follow(Operation.REFUND, 3_000, 3, original_id=2),
            follow(Operation.VOID, 3_000, 4, original_id=3),
        ),
        {},
        {2: 10_000},
    ),
    ((follow(Operation.INCREMENT, 500),), {1: 10_500}, {}),
    ((follow(Operation.INCREMENT, 500), follow(Operation.REVERSAL, 500, 3, original_id=2)), {1: 10_000}, {}),
    ((message(Operation.CREDIT, 700, 5),), {1: 10_000}, {5: 700}),
    ((message(Operation.SALE, 700, 5),), {1: 10_000}, {5: 700}),
    ((message(Operation.SALE, 700, 5, scenario="partial-approval"),), {1: 10_000, 5: 350}, {}),
    ((message(Operation.SALE, 700, 5, scenario="risk-reject"),), {1: 10_000, 5: 700}, {}),
    (
        (message(Operation.SALE, 700, 5), follow(Operation.CAPTURE, 600, 6, original_id=5)),
        {1: 10_000, 5: 100},
        {6: 600},
    ),
    (
        (message(Operation.SALE, 700, 5), follow(Operation.REVERSAL, 300, 6, original_id=5)),
        {1: 10_000, 5: 400},
        {},
    ),
    ((follow(Operation.CAPTURE, scenario="general-decline"),), {1: 10_000}, {}),
]


@pytest.mark.parametrize(("followers", "held", "moved"), BOOKS)
def test_the_book_says_what_is_held_and_moved(
    followers: tuple[Exchange, ...], held: dict[int, int], moved: dict[int, int]
) -> None:
    _, book = after(message(), *followers)
    assert (book.held, book.moved) == (held, moved)


def test_the_book_forgets_the_oldest_first() -> None:
    book = Book(length=2)
    for transaction_id in (1, 2, 3):
        book.apply(line_of(message(transaction_id=transaction_id), Approved(amount=Money(10_000, USD))))
    assert list(book.entries) == list(book.held) == [2, 3]


# Traces


def test_traces_count_up_and_begin_again_after_the_last() -> None:
    link = Simulator(999_997)
    now = datetime(2026, 11, 20, 5, 59, tzinfo=UTC)
    assert [link.trace(now) for _ in range(3)] == [
        ("999998", "632405999998"),
        ("999999", "632405999999"),
        ("000001", "632405000001"),
    ]


def test_the_folder_connects_as_an_acquirer() -> None:
    link: Acquirer = load("simulator")
    stan, rrn = link.trace(datetime(2030, 1, 2, 3, tzinfo=UTC))
    assert 1 <= int(stan) <= 999_999
    assert rrn == f"000203{stan}"
    assert isinstance(link, Simulator)
