"""The simulated acquirer's book: what it did, line by line, and what stands because of it. Pure.

The book is a function of its lines and of nothing else: whoever reads the same lines believes the same. A line is one
JSON object; no card number and no security code is ever in it. A transaction is done once: a second line of the same id
changes nothing, unless the first one undid something that had not arrived yet.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

from kessai.acquirers import Exchange
from kessai.payment.agreement import Agreement
from kessai.payment.lifecycle import Approved, Operation, Reason
from kessai.payment.money import Currency, Money

BOOK_LENGTH: Final = 100_000
"""Exchanges that a book in memory remembers, the oldest forgotten first."""


class Done(msgspec.Struct, frozen=True, omit_defaults=True, tag="done", tag_field="line"):
    """A line: one exchange that was approved, and the answer as it was given. Amounts in minor units."""

    transaction: int
    operation: Operation
    asked: int
    approved: int
    currency: str
    facts: dict[str, str]
    original: int | None = None
    review: Reason | None = None
    agreement: Agreement | None = None
    """What the acquirer was told of a kept card, or of a charge without the cardholder."""


class Stands(msgspec.Struct, frozen=True, omit_defaults=True, tag="stands", tag_field="line"):
    """A line that stands for older ones which were forgotten: what they left behind on one transaction."""

    transaction: int
    operation: Operation | None = None
    original: int | None = None
    taken: int = 0
    held: int = 0
    moved: int = 0
    added: int = 0


class Compacted(msgspec.Struct, frozen=True, tag="compacted", tag_field="line"):
    """The first line of a file that was made smaller: how many bytes its `stands` lines have."""

    standing_bytes: int


Line = Done | Stands | Compacted

encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder[Line](Line)


def decode(text: bytes) -> Line | None:
    """A line of a book; None for one that a crash has torn, or that is none."""
    try:
        line: Line = _decoder.decode(text)
    except ValueError:
        return None
    return line


def line_of(exchange: Exchange, answer: Approved) -> Done:
    """The line of an exchange that was approved."""
    return Done(
        transaction=exchange.transaction_id,
        operation=exchange.operation,
        asked=exchange.amount.minor,
        approved=answer.amount.minor,
        currency=answer.amount.currency.code,
        facts=answer.facts,  # type: ignore[arg-type] # a dict that nobody changes any more
        original=exchange.original_id,
        review=answer.review,
        agreement=exchange.agreement,
    )


def answer_in(line: Done) -> Approved:
    """The answer that a line remembers."""
    amount = Money(line.approved, Currency.of(line.currency))
    return Approved(amount=amount, facts=line.facts, review=line.review)


class Entry(NamedTuple):
    """What was done in one exchange, and on which transaction."""

    operation: Operation
    original_id: int | None
    taken: int
    """Minor units that a capture took from its hold."""
    found: bool
    """Whether what it was to undo had been seen."""
    answer: Approved | None = None
    """The answer to repeat, where it is kept in memory."""
    at: int = -1
    """Where in a file its line is; -1: nowhere."""


_UNDOES: Final = frozenset({Operation.REVERSAL, Operation.VOID})


class Book:
    """What the acquirer did, by transaction id: the answers it gave, the holds that stand, the money it is to move."""

    def __init__(self, length: int | None = BOOK_LENGTH) -> None:
        """`length` is how many exchanges are remembered; None: every one."""
        self.entries: dict[int, Entry] = {}
        self.held: dict[int, int] = {}
        """Holds still open, in minor units, by the id of the authorization; a sale that was cut short holds too."""
        self.moved: dict[int, int] = {}
        """Captures, sales, refunds and credits that were not undone, in minor units."""
        self.added: dict[int, int] = {}
        """Increments that were not undone, in minor units: each is undone once, however often that is asked."""
        self._length = length
        self._order: deque[int] = deque()

    def done(self, transaction_id: int) -> Entry | None:
        """What was done for a transaction; None where it is to be done (again)."""
        entry = self.entries.get(transaction_id)
        return None if entry is None or self._was_too_early(entry) else entry

    def apply(self, line: Line, at: int = -1) -> None:
        """Do what a line says. `at` is where it can be read again; without it, its answer is kept."""
        if type(line) is Done:
            self._do(line, at)
        elif type(line) is Stands:
            self._stand(line)

    def standing(self) -> Iterator[Stands]:
        """Lines that leave a book behind in which the same stands; the answers are forgotten."""
        for me in sorted(self.held.keys() | self.moved.keys() | self.added.keys()):
            entry = self.entries.get(me)
            yield Stands(
                transaction=me,
                operation=entry.operation if entry else None,
                original=entry.original_id if entry else None,
                taken=entry.taken if entry else 0,
                held=self.held.get(me, 0),
                moved=self.moved.get(me, 0),
                added=self.added.get(me, 0),
            )

    def _do(self, line: Done, at: int) -> None:
        me, original, minor = line.transaction, line.original, line.approved
        before = self.entries.get(me)
        if before is not None and not self._was_too_early(before):
            return
        taken = 0
        match line.operation:
            case Operation.AUTHORIZE:
                self._hold(me, minor)
            case Operation.SALE:
                cut_short = minor < line.asked or line.review is not None
                (self.held if cut_short else self.moved)[me] = minor
            case Operation.INCREMENT if original is not None:
                self.added[me] = minor
                self._hold(original, minor)
            case Operation.CAPTURE:
                self.moved[me] = minor
                if original is not None:
                    taken = self._take(original, minor)
            case Operation.REFUND | Operation.CREDIT:
                self.moved[me] = minor
            case Operation.REVERSAL if original is not None:
                self._release(original, minor)
            case Operation.VOID if original is not None:
                self._void(original)
            case _:
                pass
        answer = None if at >= 0 else answer_in(line)
        self._enter(me, Entry(line.operation, original, taken, original in self.entries, answer, at))

    def _stand(self, line: Stands) -> None:
        me = line.transaction
        for room, minor in ((self.held, line.held), (self.moved, line.moved), (self.added, line.added)):
            if minor:
                room[me] = minor
        if line.operation is not None:
            self._enter(me, Entry(line.operation, line.original, line.taken, True))

    def _enter(self, me: int, entry: Entry) -> None:
        if me not in self.entries:
            self._order.append(me)
        self.entries[me] = entry
        if self._length is not None and len(self._order) > self._length:
            oldest = self._order.popleft()
            for room in (self.entries, self.held, self.moved, self.added):
                room.pop(oldest, None)

    def _was_too_early(self, entry: Entry) -> bool:
        """Whether it was to undo what arrived only after it, so that it has to be done again."""
        return entry.operation in _UNDOES and not entry.found and entry.original_id in self.entries

    def _take(self, root: int, minor: int) -> int:
        """Capture from a hold, or from a sale whose capture the gateway skipped; what goes beyond it is not taken."""
        standing = self.held.pop(root, 0) + self.moved.pop(root, 0)
        taken = min(minor, standing)
        self._hold(root, standing - taken)
        return taken

    def _hold(self, root: int, change: int) -> None:
        """Change a hold; one that comes to nothing is gone."""
        minor = self.held.pop(root, 0) + change
        if minor > 0:
            self.held[root] = minor

    def _release(self, original: int, minor: int) -> None:
        entry = self.entries.get(original)
        if entry is not None and entry.operation is Operation.INCREMENT and entry.original_id is not None:
            self._hold(entry.original_id, -min(minor, self.added.pop(original, 0)))
        else:  # of a sale whose capture the gateway skipped, what is not released stays held
            self._hold(original, self.moved.pop(original, 0) - minor)

    def _void(self, original: int) -> None:
        self.held.pop(original, None)
        was_there = self.moved.pop(original, None) is not None
        entry = self.entries.get(original)
        if was_there and entry is not None and entry.original_id is not None:
            self._hold(entry.original_id, entry.taken)  # the hold outlives a voided capture


class Keeper(Protocol):
    """Where a book is kept."""

    def look(self) -> Book:
        """The book with everything in it that anybody wrote."""
        ...

    def write(self, line: Done) -> None:
        """Do what was approved, and remember it. OSError where that is impossible: nothing was done then."""
        ...

    def answer(self, entry: Entry) -> Approved | None:
        """What was answered; None where that is forgotten."""
        ...

    def close(self) -> None: ...


class Memory:
    """A book that nobody else sees, and that ends with its process; fulfils `Keeper`."""

    def __init__(self) -> None:
        self._book = Book()

    def look(self) -> Book:
        return self._book

    def write(self, line: Done) -> None:
        self._book.apply(line)

    def answer(self, entry: Entry) -> Approved | None:
        return entry.answer

    def close(self) -> None: ...
