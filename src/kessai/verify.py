"""Verification: whether everything that is stored agrees with itself and with the acquirer's book. Reads only.

The books are recomputed (`books.check`), and with every payment in the hand more is asked: does the acquirer hold and
move what we believe, is somebody looking after what is unknown, does every claim and job name a transaction that is
there, has an exchange been open for longer than any exchange can be. Safe beside a gateway that serves: it reads in
pages and looks twice.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from kessai import books
from kessai.acquirers.simulator import journal
from kessai.books import Finding, Report
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction, cleans_up
from kessai.storage.database import Database
from kessai.storage.payments import from_ms, to_ms
from kessai.storage.webhooks import NOTICE

BEYOND_DEADLINE_S: Final = 60.0
"""How much longer than the acquirer's deadline an exchange may be open before it is a finding: the worker gives it up
after 5 seconds, and looks every 10."""
BOOK: Final = journal.NAME
"""The acquirer's book in a data folder."""
PAGE: Final = 500
_MOVES: Final = frozenset({Operation.SALE, Operation.CAPTURE, Operation.REFUND, Operation.CREDIT})

FINDINGS: Final[Mapping[str, str]] = {
    "altered": "an entry says something else than its transaction",
    "missing": "an entry that a transaction must have is not there",
    "added": "an entry belongs to no transaction",
    "unbalanced": "debits and credits of a currency differ",
    "settlement": "a settlement does not agree with its transactions",
    "transaction": "a transaction is as no rule could have left it",
    "acquirer": "the acquirer holds or moves another amount than the transaction says",
    "orphan-hold": "the acquirer holds money for no payment of ours",
    "orphan-movement": "the acquirer moves money for no payment of ours",
    "forgotten": "an outcome is unknown, and no job looks after it",
    "pending": "an exchange has been open for longer than any can be",
    "claim": "an idempotency key or signature names a transaction that does not exist",
    "job": "a job is about a transaction that does not exist",
}
"""What a finding may be."""


@dataclass(slots=True)
class Acquirer:
    """What the acquirer's book says and no payment has accounted for yet, in minor units by transaction id."""

    held: dict[int, int]
    moved: dict[int, int]


def read_book(file: Path) -> Acquirer | None:
    """The simulated acquirer's book; None where there is none."""
    if not file.exists():
        return None
    book = journal.read(str(file))
    return Acquirer(dict(book.held), dict(book.moved))


async def verify(
    database: Database,
    *,
    now: datetime,
    deadline_s: float,
    book: Path,
    again_after_s: float = books.AGAIN_AFTER_S,
    rests: bool = False,
) -> Report:
    """Look at everything; what was under way at the first look is not told."""

    async def look() -> Report:
        return await _once(database, now, deadline_s, await asyncio.to_thread(read_book, book), rests=rests)

    return await books.confirmed(look, again_after_s)


async def _once(
    database: Database, now: datetime, deadline_s: float, acquirer: Acquirer | None, *, rests: bool
) -> Report:
    findings: list[Finding] = []
    jobs: set[tuple[str, int]] = set()
    oldest = to_ms(now - timedelta(seconds=deadline_s + BEYOND_DEADLINE_S))
    async for merchant_id in books.bookkeepers(database):
        for kind, transaction_id, state, found in await database.read("jobs_checked", {"merchant_id": merchant_id}):
            if not kind.startswith(NOTICE):
                jobs.add((merchant_id, transaction_id))
            if found is None:
                findings.append(_finding(merchant_id, "job", transaction_id, "a transaction", f"a {state} {kind}"))
        values = {"merchant_id": merchant_id, "before": oldest}
        for transaction_id, requested_at in await database.read("open_since", values):
            since = from_ms(requested_at).isoformat(timespec="seconds")
            findings.append(_finding(merchant_id, "pending", transaction_id, "an outcome", f"open since {since}"))
        findings += [finding async for finding in _claims(database, merchant_id)]

    def look(payment: Payment) -> Iterator[Finding]:
        yield from unattended(payment, jobs)
        if acquirer is not None:
            yield from compared(payment, acquirer, jobs)

    report = await books.check(database, look, rests=rests)
    if acquirer is not None:
        findings += _orphans(acquirer)
    return replace(report, findings=report.findings + tuple(findings))


async def _claims(database: Database, merchant_id: str) -> AsyncIterator[Finding]:
    after = b""
    while True:
        values = {"merchant_id": merchant_id, "after": after, "most": PAGE}
        rows = await database.read("claims_checked", values)
        for key, transaction_id, found in rows:
            if found is None:
                yield _finding(merchant_id, "claim", transaction_id, "a transaction", f"claim {bytes(key).hex()}")
        if len(rows) < PAGE:
            return
        after = bytes(rows[-1][0])
        await asyncio.sleep(0)


def unattended(payment: Payment, jobs: Set[tuple[str, int]]) -> Iterator[Finding]:
    """Transactions whose outcome is unknown, with no job to settle them and nothing that has undone them."""
    for tx in payment.transactions:
        if cleans_up(tx) is None or (payment.merchant_id, tx.id) in jobs or _is_undone(payment, tx):
            continue
        yield _finding(payment.merchant_id, "forgotten", tx.id, "a job", f"{tx.operation.value} is unknown")


def compared(payment: Payment, acquirer: Acquirer, jobs: Set[tuple[str, int]]) -> Iterator[Finding]:
    """What the acquirer holds and moves for a payment, beside what its transactions say; struck from the book.

    A payment with something under way is struck only: it will be compared when that is settled. A hold that lapsed is
    over for us by the calendar; the acquirer's book is not told.
    """
    merchant, root = payment.merchant_id, payment.root
    held = acquirer.held.pop(root.id, 0)
    moved = {tx.id: acquirer.moved.pop(tx.id, 0) for tx in payment.transactions}
    if "capture-skipped" in root.flags:  # a sale over there, a hold here: the review was the gateway's own
        held, moved[root.id] = held + moved[root.id], 0
    for tx in payment.transactions:
        is_open = tx.is_open and not _is_undone(payment, tx)
        if is_open or (merchant, tx.id) in jobs:
            return
    has_lapsed = any(tx.operation is Operation.EXPIRE for tx in payment.transactions)
    if root.stan and held != payment.held and not has_lapsed:
        yield _finding(merchant, "acquirer", root.id, f"{payment.held} held", f"{held} held")
    for tx in payment.transactions:
        wanted = tx.approved if tx.operation in _MOVES and tx.stan and not _is_undone(payment, tx) else 0
        if moved[tx.id] != wanted:
            yield _finding(merchant, "acquirer", tx.id, f"{wanted} moved", f"{moved[tx.id]} moved")


def _is_undone(payment: Payment, transaction: Transaction) -> bool:
    """Whether a void of it was approved, or, of the payment's first transaction, a reversal."""
    undoing = list(payment.followers(Operation.VOID, transaction.id))
    if transaction is payment.root and transaction.status is Status.UNKNOWN:
        undoing += payment.followers(Operation.REVERSAL)
    return any(tx.status is Status.APPROVED for tx in undoing)


def _orphans(acquirer: Acquirer) -> Iterator[Finding]:
    for what, left, done in (("orphan-hold", acquirer.held, "held"), ("orphan-movement", acquirer.moved, "moved")):
        for transaction_id, minor in sorted(left.items()):
            yield _finding("", what, transaction_id, "nothing", f"{minor} {done}")


def _finding(merchant: str, what: str, transaction: int, expected: str, found: str) -> Finding:
    return Finding(merchant=merchant, what=what, transaction=transaction, line=0, expected=expected, found=found)
