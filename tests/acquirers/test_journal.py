"""The acquirer's book in a file: shared, torn, made smaller; what stands is never lost."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from kessai.acquirers import Exchange
from kessai.acquirers.simulator import journal
from kessai.acquirers.simulator.book import Book
from kessai.acquirers.simulator.desk import Desk
from kessai.acquirers.simulator.journal import Journal
from kessai.payment.card import Brand, Card, Pan, SecurityCode
from kessai.payment.lifecycle import Approved, Failed, Operation
from kessai.payment.money import CURRENCIES, Money

PAN, CODE = "4111111111111111", "9172"


def message(transaction_id: int, operation: Operation = Operation.AUTHORIZE, minor: int = 10_000) -> Exchange:
    return Exchange(
        merchant_id="shop",
        personality="sandbox",
        transaction_id=transaction_id,
        operation=operation,
        amount=Money(minor, CURRENCIES["USD"]),
        stan="000001",
        rrn="632405000001",
        sent_at=datetime(2026, 11, 20, 5, tzinfo=UTC),
        card=Card(pan=Pan(PAN), brand=Brand.VISA, security_code=SecurityCode(CODE)),
    )


def follow(transaction_id: int, operation: Operation, original_id: int, minor: int = 10_000) -> Exchange:
    return replace(message(transaction_id, operation, minor), original_id=original_id, card=None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / journal.NAME)


def desk(file: str, **sizes: int) -> Desk:
    return Desk(Journal(file, **sizes), seed=0)


def standing(book: Book) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    return book.held, book.moved, book.added


def a_day(at: Desk, first: int = 1) -> None:
    """One payment of each kind: held, captured in part, voided, sold, refunded, incremented, reversed."""
    for exchange in (
        message(first),
        message(first + 1),
        follow(first + 2, Operation.CAPTURE, first + 1, 4_000),
        message(first + 3),
        follow(first + 4, Operation.CAPTURE, first + 3),
        follow(first + 5, Operation.VOID, first + 4),
        message(first + 6, Operation.SALE),
        follow(first + 7, Operation.REFUND, first + 6, 1_000),
        message(first + 8),
        follow(first + 9, Operation.INCREMENT, first + 8, 500),
        message(first + 10),
        follow(first + 11, Operation.REVERSAL, first + 10),
    ):
        assert isinstance(at.play(exchange).answer, Approved)


HELD = {1: 10_000, 2: 6_000, 4: 10_000, 9: 10_500}
MOVED = {3: 4_000, 7: 10_000, 8: 1_000}


def test_a_book_is_the_same_after_its_process_is_gone(file: str) -> None:
    first = desk(file)
    a_day(first)
    before = first.book
    first.close()
    assert standing(desk(file).book) == standing(before) == (HELD, MOVED, {10: 500})
    assert standing(journal.read(file)) == standing(before)


def test_a_repeat_is_answered_the_same_by_another_process(file: str) -> None:
    """R-4: what one process did, another does not do again."""
    one, two = desk(file), desk(file)
    one.play(message(1))
    said = one.play(follow(2, Operation.CAPTURE, 1, 4_000)).answer
    assert two.play(replace(follow(2, Operation.CAPTURE, 1, 4_000), is_repeat=True)).answer == said
    assert standing(one.book) == standing(two.book) == ({1: 6_000}, {2: 4_000}, {})


def test_what_two_processes_write_at_once_is_done_once(file: str) -> None:
    """Neither has read the other's line when it writes its own: the first line counts, for both."""
    one, two = Journal(file), Journal(file)
    Desk(one, 0).play(message(1))
    stale = two.look
    two.look = lambda: two._book  # type: ignore[method-assign]
    Desk(one, 0).play(follow(2, Operation.CAPTURE, 1, 4_000))
    Desk(two, 0).play(follow(2, Operation.CAPTURE, 1, 4_000))
    two.look = stale  # type: ignore[method-assign]
    assert standing(one.look()) == standing(two.look()) == ({1: 6_000}, {2: 4_000}, {})
    assert standing(journal.read(file)) == ({1: 6_000}, {2: 4_000}, {})


def test_a_reversal_that_came_before_its_original_is_done_when_it_is_sent_once_more(file: str) -> None:
    """R-5, F12."""
    at = desk(file)
    early = at.play(follow(2, Operation.REVERSAL, 1))
    assert isinstance(early.answer, Approved)
    assert (early.found, early.answer.facts["response_code"]) == (False, "25")
    at.play(message(1))
    assert at.book.held == {1: 10_000}
    again = at.play(replace(follow(2, Operation.REVERSAL, 1), is_repeat=True))
    assert again.found
    assert at.book.held == journal.read(file).held == {}
    assert at.play(replace(follow(2, Operation.REVERSAL, 1), is_repeat=True)).answer == again.answer


def test_a_message_that_its_repeat_has_overtaken_is_done_once(file: str) -> None:
    at = desk(file)
    at.play(message(1))
    repeat = replace(follow(2, Operation.CAPTURE, 1, 4_000), is_repeat=True)
    said = at.play(repeat).answer
    assert at.play(replace(repeat, is_repeat=False)).answer == said
    assert at.book.held == {1: 6_000}


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_line_is_as_if_it_had_not_been_written_and_spoils_no_other(file: str, cut: int) -> None:
    """The process was killed in the middle of a write."""
    first = desk(file)
    for number in (1, 2):
        first.play(message(number))
    first.close()
    os.truncate(file, os.path.getsize(file) - cut - 1)
    again = desk(file)
    assert again.book.held == {1: 10_000}
    again.play(message(3))
    assert again.book.held == desk(file).book.held == journal.read(file).held == {1: 10_000, 3: 10_000}


def test_no_card_number_and_no_security_code_is_in_the_file_and_nobody_else_may_read_it(file: str) -> None:
    """P7."""
    at = desk(file)
    a_day(at)
    written = Path(file).read_bytes()
    assert len(written) > 1_000
    assert PAN.encode() not in written
    assert CODE.encode() not in written
    assert os.stat(file).st_mode & 0o777 == 0o600


def test_a_line_that_cannot_be_written_was_not_done(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(file)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda _file, data: len(data) - 1)
        assert isinstance(at.play(message(1)).answer, Failed)
    assert at.book.held == {}


def test_a_large_file_is_made_smaller_and_everything_still_stands(file: str) -> None:
    first = desk(file)
    for payment in range(50):
        a_day(first, 1 + 100 * payment)
    before, size = standing(journal.read(file)), os.path.getsize(file)
    first.close()
    smaller = desk(file, large_bytes=1_000, recent_bytes=5_000)
    assert os.path.getsize(file) < size * 0.4
    assert standing(journal.read(file)) == before
    smaller.play(follow(5_000, Operation.REVERSAL, 1))
    assert 1 not in journal.read(file).held
    smaller.play(follow(5_001, Operation.VOID, 3))
    assert journal.read(file).held[2] == 10_000, "what a forgotten capture took is given back"
    smaller.close()
    size = os.path.getsize(file)
    desk(file, large_bytes=1_000, recent_bytes=5_000).close()
    assert os.path.getsize(file) == size, "it has not grown enough since"


def test_a_file_that_somebody_else_has_open_is_left_as_it_is(file: str) -> None:
    other = desk(file)
    for payment in range(20):
        a_day(other, 1 + 100 * payment)
    size = os.path.getsize(file)
    desk(file, large_bytes=1_000, recent_bytes=5_000).play(message(9_000))
    assert os.path.getsize(file) > size
    assert 9_000 in other.book.held


def test_of_a_long_file_only_the_recent_part_is_read_and_an_audit_reads_all(file: str) -> None:
    first = desk(file)
    for number in range(1, 101):
        first.play(message(number))
    recent = desk(file, recent_bytes=3_000).book
    assert 1 not in recent.entries
    assert 100 in recent.entries
    assert len(journal.read(file).held) == 100


def test_a_book_that_is_not_there_is_empty(file: str) -> None:
    assert journal.read(file).entries == {}
