"""Settle: cut a business day into a batch per merchant and currency. Pure.

After the cut a capture, sale, refund or credit is transmitted: it can no longer be voided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from kessai.payment.lifecycle import SETTLED_BY_BATCH, Operation, Payment, Status, Transaction
from kessai.payment.merchant import Terms
from kessai.payment.money import Currency, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one cut collects in one currency. Minor units; net may be negative."""

    id: int
    currency: Currency
    business_date: date
    count: int
    captured: int
    returned: int

    @property
    def net(self) -> Money:
        return Money(self.captured - self.returned, self.currency)


def business_date(now: datetime, terms: Terms) -> date:
    """The business day that `now` belongs to: the local date, or the next one after the cut-off."""
    local = now.astimezone(ZoneInfo(terms.time_zone))
    return local.date() + timedelta(days=1 if local.time() >= _cutoff(terms) else 0)


def last_cutoff(now: datetime, terms: Terms) -> datetime:
    """The latest cut-off that is not after `now`."""
    local = now.astimezone(ZoneInfo(terms.time_zone))
    today = datetime.combine(local.date(), _cutoff(terms), local.tzinfo)
    return today if today <= local else today - timedelta(days=1)


def _cutoff(terms: Terms) -> time:
    hour, _, minute = terms.cutoff.partition(":")
    return time(int(hour), int(minute))


def is_due(payment: Payment, transaction: Transaction) -> bool:
    """Whether a cut collects a transaction: approved, moves money, not settled, not voided nor being voided."""
    return _moves_money(transaction) and not payment.is_being_voided(transaction)


def is_never_due(payment: Payment, transaction: Transaction) -> bool:
    """Whether no cut will ever collect what a cut would have: its void was approved."""
    return _moves_money(transaction) and payment.is_voided(transaction)


def _moves_money(transaction: Transaction) -> bool:
    return (
        transaction.operation in SETTLED_BY_BATCH
        and transaction.status is Status.APPROVED
        and transaction.settlement is None
    )


def batches(due: Iterable[Transaction], ids: Iterable[int], day: date) -> tuple[Batch, ...]:
    """Add up what a cut collects, a batch for each currency, in the order of the currencies' codes."""
    by_currency: dict[str, list[Transaction]] = {}
    for transaction in due:
        by_currency.setdefault(transaction.requested.currency.code, []).append(transaction)
    return tuple(
        Batch(
            id=batch_id,
            currency=rows[0].requested.currency,
            business_date=day,
            count=len(rows),
            captured=sum(tx.approved for tx in rows if tx.operation in (Operation.SALE, Operation.CAPTURE)),
            returned=sum(tx.approved for tx in rows if tx.operation in (Operation.REFUND, Operation.CREDIT)),
        )
        for batch_id, (_, rows) in zip(ids, sorted(by_currency.items()), strict=False)
    )
