"""The ledger: chart of accounts, posting table, entries. Pure.

Double entry in whole minor units. Every concluded transaction and every settlement has entries that a table derives
from it alone, so the books can be recomputed from the transactions at any time and compared line by line. Entries are
never changed or removed; undoing is a mirror entry. Holds are entries of their own pair of accounts: posted when an
authorization is approved, mirrored when it is captured, reversed, voided or expires.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai.payment.lifecycle import Operation, Payment, Status, Transaction
from kessai.payment.money import Currency
from kessai.payment.settle import Batch
from kessai.payment.word import Word


class Account(Word):
    """The chart of accounts of one merchant's books."""

    HELD_BY_ISSUERS = "held-by-issuers"
    """Memorandum: what issuers hold for the merchant."""
    AUTHORIZED = "authorized"
    """Memorandum: the other side of the holds."""
    ACQUIRER = "acquirer"
    """Asset: captured and not yet transmitted."""
    MERCHANT = "merchant"
    """Liability: captured for the merchant and not yet transmitted."""
    ACQUIRER_DUE = "acquirer-due"
    """Asset: transmitted; the acquirer owes it."""
    MERCHANT_DUE = "merchant-due"
    """Liability: transmitted; it is due to the merchant."""


class Entry(Struct, frozen=True):
    """One line: `amount` in minor units, debit positive, credit negative. `line` counts within its transaction."""

    transaction_id: int
    line: int
    account: Account
    currency: Currency
    amount: int
    posted_at: datetime


_HOLD: Final = (Account.HELD_BY_ISSUERS, Account.AUTHORIZED)
_RELEASE: Final = (Account.AUTHORIZED, Account.HELD_BY_ISSUERS)
_COLLECT: Final = (Account.ACQUIRER, Account.MERCHANT)
_RETURN: Final = (Account.MERCHANT, Account.ACQUIRER)

POSTINGS: Final[Mapping[Operation, tuple[tuple[tuple[Account, Account], str], ...]]] = {
    Operation.AUTHORIZE: ((_HOLD, "approved"),),
    Operation.INCREMENT: ((_HOLD, "approved"),),
    Operation.SALE: ((_COLLECT, "approved"),),
    Operation.CAPTURE: ((_RELEASE, "hold"), (_COLLECT, "approved")),
    Operation.REVERSAL: ((_RELEASE, "hold"),),
    Operation.EXPIRE: ((_RELEASE, "hold"),),
    Operation.REFUND: ((_RETURN, "approved"),),
    Operation.CREDIT: ((_RETURN, "approved"),),
    Operation.VOID: ((_RELEASE, "hold"),),  # and the mirror of what its target posted
}
"""Operation to ((debit, credit), measure): what is posted when it is approved. A measure of zero posts nothing."""

Leg = tuple[Account, Account, int]


def entries(payment: Payment, transaction: Transaction) -> tuple[Entry, ...]:
    """The entries of a concluded transaction; none unless it was approved."""
    if transaction.status is not Status.APPROVED or transaction.concluded_at is None:
        return ()
    legs = _legs(transaction)
    if transaction.operation is Operation.VOID and transaction.target is not None:
        target = payment.find(transaction.target)
        assert target is not None
        if target.operation is not Operation.AUTHORIZE and target.status is Status.APPROVED:
            legs += tuple((credit, debit, amount) for debit, credit, amount in _legs(target))
    return tuple(_lines(transaction.id, transaction.requested.currency, legs, transaction.concluded_at))


def settlement_entries(batch: Batch, cut_at: datetime) -> tuple[Entry, ...]:
    """The entries of a settlement: what was collected and what was returned moves to what is due."""
    legs: tuple[Leg, ...] = (
        (Account.ACQUIRER_DUE, Account.ACQUIRER, batch.captured),
        (Account.MERCHANT, Account.MERCHANT_DUE, batch.captured),
        (Account.ACQUIRER, Account.ACQUIRER_DUE, batch.returned),
        (Account.MERCHANT_DUE, Account.MERCHANT, batch.returned),
    )
    return tuple(_lines(batch.id, batch.currency, legs, cut_at))


def _legs(transaction: Transaction) -> tuple[Leg, ...]:
    amounts = {"approved": transaction.approved, "hold": transaction.hold}
    return tuple((debit, credit, amounts[measure]) for (debit, credit), measure in POSTINGS[transaction.operation])


def _lines(transaction_id: int, currency: Currency, legs: Iterable[Leg], posted_at: datetime) -> Iterator[Entry]:
    line = 0
    for debit, credit, amount in legs:
        if amount:
            yield Entry(transaction_id, line, debit, currency, amount, posted_at)
            yield Entry(transaction_id, line + 1, credit, currency, -amount, posted_at)
            line += 2


def balances(lines: Iterable[Entry]) -> dict[tuple[Account, str], int]:
    """Sum by account and currency code."""
    sums: dict[tuple[Account, str], int] = {}
    for entry in lines:
        key = (entry.account, entry.currency.code)
        sums[key] = sums.get(key, 0) + entry.amount
    return sums


def is_balanced(lines: Iterable[Entry]) -> bool:
    """Whether debits equal credits in every currency."""
    sums: dict[str, int] = {}
    for entry in lines:
        sums[entry.currency.code] = sums.get(entry.currency.code, 0) + entry.amount
    return not any(sums.values())
