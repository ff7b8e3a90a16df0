"""What notices are about, many read together: a round trip for each would be most of the time that telling takes."""

from collections.abc import Mapping, Sequence
from typing import Final

from kessai.payment.lifecycle import Payment
from kessai.storage.compact import unpack
from kessai.storage.database import Database, Row
from kessai.storage.payments import Answer, found_of

_ANSWER: Final = 3
"""Columns before those of the payment: the transaction's id, and what was answered when it was made."""


async def rows_of(database: Database, merchant_id: str, first: int, last: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """Rows of what the notices from one id to another are about; `noticed` knows what they mean."""
    values = {"merchant_id": merchant_id, "first": first, "last": last}
    payments = await database.read("noticed_payments", values)
    return payments, await database.read("noticed_transactions", values)


def noticed(
    merchant_id: str, payments: Sequence[Row], transactions: Sequence[Row]
) -> Mapping[int, tuple[Payment, Answer | None]]:
    """Payments, and what was answered, by the transactions that notices are about."""
    own: dict[int, dict[int, Row]] = {}
    for row in transactions:
        own.setdefault(row[1], {})[row[0]] = row  # two notices about one payment bring them twice
    return {
        row[0]: (
            found_of(merchant_id, tuple(row)[_ANSWER:], own[row[_ANSWER]].values()).payment,
            Answer(row[1], unpack(row[2])) if row[2] is not None else None,
        )
        for row in payments
        if row[_ANSWER] in own
    }
