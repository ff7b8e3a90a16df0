"""Proof of the books: recompute every entry from the transactions and settlements, and compare line by line.

The posting table derives entries from transactions alone, so an entry that was altered, removed or added by hand has
nowhere to hide; nor has a transaction that was. Reads in pages, so that a serving gateway stays responsive.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from kessai.ledger import Account, Entry, entries, settlement_entries
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction
from kessai.payment.money import Currency
from kessai.payment.settle import Batch
from kessai.storage.database import Database, Row
from kessai.storage.payments import Payments, from_ms, to_ms

PAGE: Final = 500
_FIRST: Final = -(2**63)
_LAST: Final = 2**63 - 1
MOST_FINDINGS: Final = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    entries: int
    transactions: int
    findings: tuple[Finding, ...]
    balances: tuple[tuple[str, str, str, int], ...]
    """(merchant, account, currency, minor units)"""


async def check(database: Database) -> Report:
    """Recompute the books of every merchant; at most a hundred findings are named."""
    counted = [0, 0]
    findings: list[Finding] = []
    balances: list[tuple[str, str, str, int]] = []
    for (merchant_id,) in await database.read("bookkeepers", {}):
        async for found in _merchant(database, merchant_id, counted):
            if len(findings) < MOST_FINDINGS:
                findings.append(found)
        sums: dict[str, int] = {}
        for account, currency, minor in await database.read("balances", {"merchant_id": merchant_id}):
            balances.append((merchant_id, account, currency, minor))
            sums[currency] = sums.get(currency, 0) + minor
        findings += [
            Finding(
                merchant=merchant_id,
                what="unbalanced",
                transaction=0,
                line=0,
                expected=f"{currency} 0",
                found=str(total),
            )
            for currency, total in sums.items()
            if total
        ]
    return Report(
        entries=counted[0], transactions=counted[1], findings=tuple(findings), balances=tuple(sorted(balances))
    )


async def _merchant(database: Database, merchant_id: str, counted: list[int]) -> AsyncIterator[Finding]:
    payments = Payments(database)
    settled, disagreeing = await _settlements(database, merchant_id)
    for finding in disagreeing:
        yield finding
    after = _FIRST
    while True:
        page = await payments.page(merchant_id, after, PAGE)
        last = page[-1].id if len(page) == PAGE else _LAST
        expected = [row for tx in page for row in await _expected(payments, merchant_id, tx)]
        expected += [_row(entry) for entry in settled if after < entry.transaction_id <= last]
        values = {"merchant_id": merchant_id, "after": after, "last": last}
        rows = await database.read("entries_between", values)
        counted[0] += len(rows)
        counted[1] += len(page)
        for finding in _compare(merchant_id, expected, rows):
            yield finding
        for finding in await _impossible(database, merchant_id, page):
            yield finding
        if len(page) < PAGE:
            return
        after = last
        await asyncio.sleep(0)


async def _expected(payments: Payments, merchant_id: str, transaction: Transaction) -> list[Row]:
    if transaction.operation is Operation.VOID and transaction.target is not None:
        found = await payments.load(merchant_id, transaction.id)
        if found is None or found.payment.find(transaction.target) is None:
            return []
        return list(map(_row, entries(found.payment, transaction)))
    alone = Payment(merchant_id=merchant_id, id=transaction.payment_id, transactions=(transaction,))
    return list(map(_row, entries(alone, transaction)))


async def _impossible(database: Database, merchant_id: str, page: list[Transaction]) -> list[Finding]:
    """Transactions that no rule of the road could have left so."""
    findings = []
    for transaction in page:
        wrong = None
        if transaction.status is Status.APPROVED and transaction.requested.minor and not transaction.approved:
            wrong = "approved, and nothing of it"
        elif transaction.status is not Status.APPROVED and transaction.approved:
            wrong = f"{transaction.status.value}, and {transaction.approved} approved"
        elif transaction.id == transaction.payment_id:
            wrong = await _wrong_payment(Payments(database), merchant_id, transaction.id)
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


async def _wrong_payment(payments: Payments, merchant_id: str, payment_id: int) -> str | None:
    """What is wrong with a payment as a whole: it is gone, or the books hold another sum than its rules do."""
    found = await payments.load_payment(merchant_id, payment_id)
    if found is None:
        return "its payment is gone"
    payment = found.payment
    if any(transaction.is_open for transaction in payment.transactions):
        return None  # what is under way counts for the rules, and not yet for the books
    booked = sum(
        entry.amount
        for transaction in payment.transactions
        for entry in entries(payment, transaction)
        if entry.account is Account.HELD_BY_ISSUERS
    )
    return None if booked == payment.held else f"{booked} in the books as held, {payment.held} by the rules"


async def _settlements(database: Database, merchant_id: str) -> tuple[list[Entry], list[Finding]]:
    """The entries that settlements should have by what their transactions add up to, and those that say otherwise."""
    sums = {
        (row[0], row[1]): (row[2], row[3], row[4])
        for row in await database.read("settled_sums", {"merchant_id": merchant_id})
    }
    expected: list[Entry] = []
    findings: list[Finding] = []
    for row in await database.read("load_settlements", {"merchant_id": merchant_id}):
        identifier, currency, day, *stored, cut_at = row
        captured, returned, count = sums.get((identifier, currency), (0, 0, 0))
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
    return (
        entry.transaction_id,
        entry.line,
        entry.account.value,
        entry.currency.code,
        entry.amount,
        to_ms(entry.posted_at),
    )


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
