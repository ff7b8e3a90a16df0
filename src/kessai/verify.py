"""Verification: whether everything that is stored agrees with itself and with the acquirer's book. Reads only.

The books are recomputed (`books.check`), and with every payment in the hand more is asked: does the acquirer hold and
move what we believe, is somebody looking after what is unknown, does every claim and job name a transaction that is
there, has an exchange been open for longer than any exchange can be. Safe beside a gateway that serves: it reads in
pages and looks twice.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from kessai import books
from kessai.acquirers.simulator import journal
from kessai.books import Finding, Report
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction, cleans_up
from kessai.payment.subscription import FINAL, RUNNING, Subscription, due_of
from kessai.storage.database import Database
from kessai.storage.payments import from_ms, to_ms
from kessai.storage.subscriptions import BEGUN, Subscriptions
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
    "charge": "a subscription's charge says something else than its payment",
    "subscription": "a subscription does not agree with its charges: how many are paid, which period is next and when",
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
        findings += [finding async for finding in _subscriptions(database, merchant_id)]

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


# ---- subscriptions


@dataclass(frozen=True, slots=True)
class Tried:
    """One try at one period of a subscription, beside the payment that it names. Amounts in minor units."""

    period: int
    attempt: int
    state: str
    """begun, paid, declined, failed or lost."""
    currency: str
    amount: int
    transaction_id: int | None
    status: str | None
    """The payment's; None where there is no such payment."""
    paid_currency: str | None
    requested: int | None


async def _subscriptions(database: Database, merchant_id: str) -> AsyncIterator[Finding]:
    rows, after = Subscriptions(database), 0
    while page := await rows.behind(merchant_id, after):
        for subscription in page:
            values = {"merchant_id": merchant_id, "subscription_id": subscription.id}
            tries = [Tried(*row) for row in await database.read("charges_checked", values)]
            for finding in disagreements(merchant_id, subscription, tries):
                yield finding
            await asyncio.sleep(0)
        after = page[-1].id


def disagreements(merchant: str, subscription: Subscription, tries: Sequence[Tried]) -> Iterator[Finding]:
    """Where a subscription is not where its charges have led it, or a charge is not as its payment."""
    for tried in tries:
        yield from _as_paid(merchant, subscription, tried)
    yield from (
        _finding(merchant, "subscription", subscription.id, expected, told)
        for expected, told in _led_astray(subscription, tries)
    )


def _as_paid(merchant: str, subscription: Subscription, tried: Tried) -> Iterator[Finding]:
    at = tried.transaction_id or subscription.id
    place = f"period {tried.period}, try {tried.attempt}"
    if tried.transaction_id is None:
        if tried.state == "paid" and tried.amount:
            yield _finding(merchant, "charge", at, "a payment", f"{place} paid by none")
        return
    if tried.status is None:
        yield _finding(merchant, "charge", at, "a payment", f"{place} names one that is not there")
        return
    if tried.status not in _BECAME[tried.state]:
        yield _finding(merchant, "charge", at, f"{place} {tried.state}", f"a payment {tried.status}")
    wanted, found = f"{tried.currency} {tried.amount}", f"{tried.paid_currency} {tried.requested}"
    if wanted != found:
        yield _finding(merchant, "charge", at, f"{place}: {wanted}", found)


_BECAME: Final[Mapping[str, Set[str]]] = {
    "paid": {"approved"},
    "declined": {"declined"},
    "failed": {"failed", "unknown"},  # an unknown one was undone
    BEGUN: {"pending", "approved", "declined", "unknown", "failed"},
    "lost": set(),
}
"""A charge's state to what may have become of the payment that it names."""


def _led_astray(subscription: Subscription, tries: Sequence[Tried]) -> Iterator[tuple[str, str]]:
    """(expected, found) of a subscription that is not where its charges have led it."""
    at, has_ended = subscription.period, subscription.state in FINAL
    paid = [tried.period for tried in tries if tried.state == "paid"]
    if subscription.paid != len(paid):
        yield f"{len(paid)} periods paid", f"{subscription.paid} counted"
    for period in sorted({period for period in paid if paid.count(period) > 1}):
        yield f"period {period} charged once", f"charged {paid.count(period)} times"
    for period in sorted({*range(1, at)}.difference(paid, subscription.missed, subscription.skips)):
        yield f"period {period} paid or passed over", f"it is neither, and period {at} is next"
    last = max((tried.period for tried in tries), default=0)
    if last > at or (at in paid and not has_ended):
        yield f"period {last + (last in paid)} next", f"period {at} next"
    elif not has_ended and any(
        tried.period == at and tried.state != BEGUN and tried.attempt >= subscription.attempt for tried in tries
    ):
        yield "a try that was not made yet", f"try {subscription.attempt} of period {at} next"
    for tried in tries:
        is_next = (tried.period, tried.attempt) == (at, subscription.attempt) and subscription.due_at is not None
        if tried.state == BEGUN and not is_next:
            yield "somebody to look after what was begun", f"period {tried.period}, try {tried.attempt} begun"
    is_new = subscription.at_once and at == 1  # its creation charges it, whatever the hour that it is to begin
    if subscription.state in RUNNING and not is_new:
        due, told = due_of(subscription, at), subscription.due_at
        if told is None or told < due or (subscription.attempt == 1 and told != due):
            yield f"period {at} due {due.isoformat(timespec='seconds')}", f"due {told and told.isoformat()}"


def _finding(merchant: str, what: str, transaction: int, expected: str, found: str) -> Finding:
    return Finding(merchant=merchant, what=what, transaction=transaction, line=0, expected=expected, found=found)
