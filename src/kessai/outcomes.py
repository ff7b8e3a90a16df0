"""What the log is told of an outcome: one line each, of words and digits of our own making."""

from msgspec import Struct

from kessai import ids
from kessai.log import log_known
from kessai.payment.lifecycle import Transaction
from kessai.payment.merchant import Merchant


class _OutcomeLine(Struct):
    """Members of a log line: ids, digits, words of our tables."""

    merchant: str
    transaction: str
    payment: str
    amount: str
    currency: str
    reason: str | None


def log_outcome(merchant: Merchant, done: Transaction) -> None:
    """One event for one outcome."""
    line = _OutcomeLine(
        merchant.id,
        ids.show(done.id),
        ids.show(done.payment_id),
        str(done.requested),
        done.requested.currency.code,
        done.reason.word if done.reason else None,
    )
    log_known(f"{done.operation.word}.{done.status.word}", line)
