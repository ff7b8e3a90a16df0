"""Settlement: at a merchant's cut-off collect what moved money into batches. Time starts this, or an operator."""

from asyncio import sleep
from collections.abc import Iterator
from datetime import datetime

from kessai import ids
from kessai.gateway import Gateway
from kessai.ledger import settlement_entries
from kessai.log import log
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.settle import Batch, batches, business_date, is_due, is_never_due
from kessai.storage.merchants import SettledUntil
from kessai.storage.writes import NO_SETTLEMENT, Raced, Transmit

PAYMENTS_A_COMMIT = 200
"""So many payments go into one batch at the most: a settlement never holds the writer for long."""


async def settle(gateway: Gateway, merchant: Merchant, cut_at: datetime) -> list[Batch]:
    """Collect what was concluded before `cut_at`; the batches made. A payment that changes meanwhile is tried again."""
    made: list[Batch] = []
    after = 0
    while payment_ids := await gateway.payments.unsettled(merchant.id, cut_at, after, PAYMENTS_A_COMMIT):
        done = await _collect(gateway, merchant, payment_ids, cut_at)
        if done is None:
            continue
        made += done
        after = payment_ids[-1]
    await gateway.database.write(SettledUntil(merchant.id, cut_at))
    for batch in made:
        log(
            "settlement.cut",
            merchant=merchant.id,
            settlement=ids.show(batch.id),
            currency=batch.currency.code,
            transactions=batch.count,
            net=str(batch.net),
        )
    return made


async def _collect(
    gateway: Gateway, merchant: Merchant, payment_ids: list[int], cut_at: datetime
) -> list[Batch] | None:
    """One commit; None when somebody changed a payment meanwhile."""
    payments: list[Payment] = []
    due: list[Transaction] = []
    voided: list[int] = []
    for payment_id in payment_ids:
        found = await gateway.payments.load_payment(merchant.id, payment_id)
        await sleep(0)  # the embedded engine reads at once: requests go between
        if found is None:
            continue
        payment = found.payment
        collected = [
            tx for tx in payment.transactions if is_due(payment, tx) and tx.concluded_at and tx.concluded_at < cut_at
        ]
        out = [tx.id for tx in payment.transactions if is_never_due(payment, tx)]
        if collected or out:
            payments.append(payment)
            due += collected
            voided += out
    if not payments:
        return []
    day = business_date(cut_at, merchant.terms)
    made = batches(due, _ids(gateway), day)
    of_currency = {batch.currency.code: batch.id for batch in made}
    write = Transmit(
        merchant_id=merchant.id,
        payments=payments,
        collected={tx.id: of_currency[tx.requested.currency.code] for tx in due} | dict.fromkeys(voided, NO_SETTLEMENT),
        batches=made,
        entries=[entry for batch in made for entry in settlement_entries(batch, cut_at)],
        cut_at=cut_at,
    )
    try:
        await gateway.database.write(write)
    except Raced:
        return None
    return list(made)


def _ids(gateway: Gateway) -> Iterator[int]:
    while True:
        yield gateway.new_id()
