"""Proof of the books: recompute every entry from the transactions and settlements, and compare line by line.

The posting table derives entries from transactions alone, so an entry that was altered, removed or added by hand has
nowhere to hide; nor has a transaction that was. Reads in pages, so that a serving gateway stays responsive.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from kessai.ledger import Account, Entry, entries, settlement_entries
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction
from kessai.payment.money import Currency
from kessai.payment.settle import Batch
from kessai.storage.database import Database, Row
from kessai.storage.payments import Payments, from_ms
from kessai.storage.writes import entry_row

PAGE: Final = 20
"""Transactions between two turns of the event loop: few enough for whoever is served meanwhile."""
_FIRST: Final = -(2**63)
_LAST: Final = 2**63 - 1
MOST_FINDINGS: Final = 10_000
"""That are looked for; more say nothing new."""
AGAIN_AFTER_S: Final = 1.0
"""What is under way looks wrong for a moment: a finding counts when it is there twice, so far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is not as it should be.

    Of entries: `altered`, `missing`, `added`; of their sum: `unbalanced`. Of a settlement that does not agree with its
    transactions: `settlement`. Of a transaction that cannot be as it stands, or whose payment is gone: `transaction`.
    """

    merchant: str
    what: str
    transaction: int
    line: int
    expected: str
    found: str

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What makes it the same finding when somebody looks again."""
        return self.merchant, self.what, self.transaction, self.line


Look = Callable[[Payment], Iterable[Finding]]
"""What else is to be said about a payment, while it is in the hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    entries: int
    transactions: int
    findings: tuple[Finding, ...]
    balances: tuple[tuple[str, str, str, int], ...]
    """(merchant, account, currency, minor units)"""


async def confirmed(look: Callable[[], Awaitable[Report]], again_after_s: float = AGAIN_AFTER_S) -> Report:
    """A report of a database that others may be writing to: the findings that are still there at a second look."""
    first = await look()
    if not first.findings:
        return first
    await asyncio.sleep(again_after_s)
    second = await look()
    before = {finding.place for finding in first.findings}
    return replace(second, findings=tuple(finding for finding in second.findings if finding.place in before))


async def check(database: Database, look: Look | None = None, *, rests: bool = False) -> Report:
    """Recompute the books of every merchant; `look` is shown every payment of theirs.

    With `rests`, whoever is served by the same process gets every second moment of it.
    """
    findings: list[Finding] = []
    balances: list[tuple[str, str, str, int]] = []
    counted = [0, 0]
    async for merchant_id in bookkeepers(database):
        sums: dict[tuple[str, str], int] = {}
        async for found in _merchant(database, merchant_id, counted, sums, look, rests=rests):
            if len(findings) < MOST_FINDINGS:
                findings.append(found)
        totals: dict[str, int] = {}
        for (account, currency), minor in sums.items():
            balances.append((merchant_id, account, currency, minor))
            totals[currency] = totals.get(currency, 0) + minor
        findings += [
            Finding(
                merchant=merchant_id,
                what="unbalanced",
                transaction=0,
                line=0,
                expected=f"{currency} 0",
                found=str(total),
            )
            for currency, total in totals.items()
            if total
        ]
    return Report(
        entries=counted[0], transactions=counted[1], findings=tuple(findings), balances=tuple(sorted(balances))
    )


async def bookkeepers(database: Database) -> AsyncIterator[str]:
    """Ids of merchants that have entries, transactions or settlements, known to the gateway or not."""
    after = ""
    while True:
        ((found,),) = await database.read("next_bookkeeper", {"after": after})
        if found is None:
            return
        yield found
        after = found


async def _merchant(
    database: Database,
    merchant_id: str,
    counted: list[int],
    sums: dict[tuple[str, str], int],
    look: Look | None,
    *,
    rests: bool,
) -> AsyncIterator[Finding]:
    """Walk a merchant's transactions beside its entries. `sums` collects the balances by account and currency."""
    payments = Payments(database)
    settlements = await database.read("load_settlements", {"merchant_id": merchant_id})
    cuts = {row[0] for row in settlements}
    collected: dict[tuple[int, str], list[int]] = {}
    aside: list[Row] = []  # entries of settlements: what they should be is known at the end
    after = _FIRST
    clock = asyncio.get_running_loop().time
    while True:
        begun = clock()
        page = await payments.page(merchant_id, after, PAGE)
        last = page[-1].id if len(page) == PAGE else _LAST
        for transaction in page:
            _collect(collected, transaction)
        loaded: dict[int, Payment | None] = {}
        expected = [row for tx in page for row in await _expected(payments, merchant_id, tx, loaded)]
        values = {"merchant_id": merchant_id, "after": after, "last": last}
        rows = await database.read("entries_between", values)
        for row in rows:
            sums[row[2], row[3]] = sums.get((row[2], row[3]), 0) + row[4]
        counted[0] += len(rows)
        counted[1] += len(page)
        aside += [row for row in rows if row[0] in cuts]
        for finding in _compare(merchant_id, expected, [row for row in rows if row[0] not in cuts]):
            yield finding
        for finding in await _impossible(database, merchant_id, page, look):
            yield finding
        if len(page) < PAGE:
            break
        after = last
        await asyncio.sleep(clock() - begun if rests else 0)
    settled, disagreeing = _settlements(merchant_id, settlements, collected)
    for finding in disagreeing + _compare(merchant_id, list(map(_row, settled)), aside):
        yield finding


_COLLECTED: Final = (Operation.SALE, Operation.CAPTURE)
_RETURNED: Final = (Operation.REFUND, Operation.CREDIT)


def _collect(collected: dict[tuple[int, str], list[int]], transaction: Transaction) -> None:
    """Add a settled transaction to what its settlement should be: captured, returned, how many."""
    if transaction.settlement is None:
        return
    sums = collected.setdefault((transaction.settlement, transaction.requested.currency.code), [0, 0, 0])
    sums[0] += transaction.approved if transaction.operation in _COLLECTED else 0
    sums[1] += transaction.approved if transaction.operation in _RETURNED else 0
    sums[2] += 1


async def _expected(
    payments: Payments, merchant_id: str, transaction: Transaction, loaded: dict[int, Payment | None]
) -> list[Row]:
    """The entries of a transaction. `loaded`: payments of this page, each read once however many voids it has."""
    if transaction.operation is Operation.VOID and transaction.target is not None:
        if transaction.payment_id not in loaded:
            found = await payments.load(merchant_id, transaction.id)
            loaded[transaction.payment_id] = found.payment if found else None
        payment = loaded[transaction.payment_id]
        if payment is None or payment.find(transaction.target) is None:
            return []
        return list(map(_row, entries(payment, transaction)))
    alone = Payment(merchant_id=merchant_id, id=transaction.payment_id, transactions=(transaction,))
    return list(map(_row, entries(alone, transaction)))


async def _impossible(
    database: Database, merchant_id: str, page: list[Transaction], look: Look | None
) -> list[Finding]:
    """Transactions that no rule of the road could have left so, and what `look` has to say of their payments."""
    findings: list[Finding] = []
    payments = Payments(database)
    for transaction in page:
        wrong = None
        if transaction.status is Status.APPROVED and transaction.requested.minor and not transaction.approved:
            wrong = "approved, and nothing of it"
        elif transaction.status is not Status.APPROVED and transaction.approved:
            wrong = f"{transaction.status.value}, and {transaction.approved} approved"
        if transaction.id == transaction.payment_id:
            found = await payments.load_payment(merchant_id, transaction.id)
            wrong = wrong or _wrong_payment(found.payment if found else None)
            if found is not None and look is not None:
                findings += look(found.payment)
        if wrong is not None:
            findings.append(
                Finding(
                    merchant=merchant_id,
                    what="transaction",
                    transaction=transaction.id,
                    line=0,
                    expected="a transaction as the rules leave it",
                    found=wrong,
                )
            )
    return findings


def _wrong_payment(payment: Payment | None) -> str | None:
    """What is wrong with a payment as a whole: it is gone, or the books hold another sum than its rules do."""
    if payment is None:
        return "its payment is gone"
    if any(transaction.is_open for transaction in payment.transactions):
        return None  # what is under way counts for the rules, and not yet for the books
    booked = sum(
        entry.amount
        for transaction in payment.transactions
        for entry in entries(payment, transaction)
        if entry.account is Account.HELD_BY_ISSUERS
    )
    return None if booked == payment.held else f"{booked} in the books as held, {payment.held} by the rules"


def _settlements(
    merchant_id: str, settlements: Iterable[Row], collected: Mapping[tuple[int, str], list[int]]
) -> tuple[list[Entry], list[Finding]]:
    """The entries that settlements should have by what their transactions add up to, and those that say otherwise."""
    expected: list[Entry] = []
    findings: list[Finding] = []
    for row in settlements:
        identifier, currency, day, *stored, cut_at = row
        captured, returned, count = collected.get((identifier, currency), (0, 0, 0))
        if tuple(stored) != (captured, returned, count):
            findings.append(
                Finding(
                    merchant=merchant_id,
                    what="settlement",
                    transaction=identifier,
                    line=0,
                    expected=f"captured {captured}, returned {returned}, of {count} transactions",
                    found="captured {}, returned {}, of {} transactions".format(*stored),
                )
            )
        batch = Batch(
            id=identifier,
            currency=Currency.of(currency),
            business_date=date.fromisoformat(day),
            count=count,
            captured=captured,
            returned=returned,
        )
        expected += settlement_entries(batch, from_ms(cut_at))
    return expected, findings


def _row(entry: Entry) -> Row:
    return entry_row("", entry)[1:]


def _compare(merchant_id: str, expected: list[Row], found: list[Row]) -> list[Finding]:
    wanted = {row[:2]: row for row in expected}
    have = {row[:2]: row for row in found}
    findings = []
    for key in sorted(wanted.keys() | have.keys()):
        want, got = wanted.get(key), have.get(key)
        if want == got:
            continue
        what = "altered" if want and got else "missing" if want else "added"
        findings.append(
            Finding(
                merchant=merchant_id,
                what=what,
                transaction=key[0],
                line=key[1],
                expected=_words(want),
                found=_words(got),
            )
        )
    return findings


def _words(row: Row | None) -> str:
    return f"{row[2]} {row[3]} {row[4]} at {row[5]}" if row else "nothing"
