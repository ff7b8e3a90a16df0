"""Clean-up: settle what is unknown, release what lapses. Time starts this, no caller.

An authorization or sale without a trustworthy outcome is reversed until the acquirer answers; a capture, refund,
credit, void or reversal is sent again, marked as a repeat. An authorization is never sent twice (R-4).
"""

from dataclasses import replace
from datetime import timedelta

from kessai import ids
from kessai.gateway import CLEAN_UP, Circumstances, Gateway
from kessai.ledger import entries
from kessai.log import log
from kessai.payment.lifecycle import (
    Operation,
    Payment,
    Refusal,
    Status,
    Transaction,
    cleans_up,
)
from kessai.payment.merchant import Merchant
from kessai.payment.reverse import Reverse
from kessai.storage.payments import Answer, Found
from kessai.storage.writes import Begin, Conflict, Finish, ForgetExpiry, GiveUp, Job


async def clean_up(gateway: Gateway, merchant: Merchant, transaction_id: int) -> bool:
    """One try to settle a transaction. True: nothing is left to do."""
    found = await gateway.payments.load(merchant.id, transaction_id)
    transaction = found.payment.find(transaction_id) if found else None
    if found is None or transaction is None:
        return True
    if transaction.status is Status.PENDING:
        return False  # somebody is on the road with it
    how = cleans_up(transaction)
    if how is None:
        return True
    if transaction.operation is Operation.INCREMENT:
        return await gateway.undo(merchant, found, transaction)
    if how is Operation.REVERSAL:
        return await _reverse(gateway, merchant, found, transaction)
    return await _repeat(gateway, merchant, found, transaction)


async def _reverse(gateway: Gateway, merchant: Merchant, found: Found, transaction: Transaction) -> bool:
    """Reverse an authorization or sale; a reversal or void that is open already is sent again instead."""
    payment = found.payment
    undoing = [*payment.followers(Operation.REVERSAL), *payment.followers(Operation.VOID, transaction.id)]
    if any(tx.status is Status.PENDING for tx in undoing):
        return False
    done = [tx for tx in undoing if tx.status is Status.APPROVED]
    if done:
        events = await gateway.payments.events(merchant.id, transaction.id)
        last = max(tx.id for tx in done)
        if not any(event["kind"] == "approved-late" and event["id"] > last for event in events):
            return True
        return await gateway.repeat(merchant, found, done[-1])  # approved after it was reversed: reverse it again
    if undoing:
        return await gateway.repeat(merchant, found, undoing[-1])
    command = Reverse(target=transaction.id, flags=frozenset({"by-gateway"}))
    answer = await gateway.perform(merchant, command, Circumstances(), _no_answer)
    return isinstance(answer, Answer | Refusal)  # if it is unknown itself, a job of its own goes on with it


async def _repeat(gateway: Gateway, merchant: Merchant, found: Found, transaction: Transaction) -> bool:
    """Send a movement again, unless a void has undone it meanwhile."""
    voids = list(found.payment.followers(Operation.VOID, transaction.id))
    if any(tx.status is Status.APPROVED for tx in voids):
        return await gateway.settle(merchant, found.payment, transaction, None)
    if voids:
        return False
    return await gateway.repeat(merchant, found, transaction)


def _no_answer(_payment: Payment, _transaction: Transaction) -> Answer:
    """Nobody waits for what the gateway does by itself."""
    return Answer(0, b"")


async def give_up_orphans(gateway: Gateway, merchant: Merchant) -> int:
    """Intents that nobody will conclude become unknown, with their clean-up queued. How many there were."""
    now = gateway.clock()
    oldest = now - timedelta(seconds=gateway.deadline_s + 5)
    count = 0
    for transaction_id in await gateway.payments.pending(merchant.id, gateway.lease, oldest):
        job = Job(id=gateway.new_id(), kind=CLEAN_UP, transaction_id=transaction_id, run_at=now)
        write = GiveUp(merchant_id=merchant.id, transaction_id=transaction_id, now=now, job=job)
        if await gateway.database.write(write):
            count += 1
            log("outcome.orphaned", level="warning", merchant=merchant.id, transaction=ids.show(transaction_id))
    return count


async def expire(gateway: Gateway, merchant: Merchant) -> int:
    """Let holds lapse whose time has come. How many did."""
    now = gateway.clock()
    count = 0
    for payment_id in await gateway.payments.expiring(merchant.id, now):
        found = await gateway.payments.load_payment(merchant.id, payment_id)
        if found is None or any(tx.is_open for tx in found.payment.transactions):
            continue
        if found.payment.held and not await _expire(gateway, merchant, found.payment):
            continue
        count += 1 if found.payment.held else 0
        await gateway.database.write(ForgetExpiry(merchant.id, payment_id))
    return count


async def _expire(gateway: Gateway, merchant: Merchant, payment: Payment) -> bool:
    now = gateway.clock()
    transaction = Transaction(
        id=gateway.new_id(),
        payment_id=payment.id,
        operation=Operation.EXPIRE,
        requested=payment.root.requested.of(payment.held),
        requested_at=now,
        hold=payment.held,
        target=payment.id,
        flags=frozenset({"by-gateway"}),
    )
    begun = await gateway.database.write(
        Begin(payment=payment, transaction=transaction, lease=gateway.lease, correlation="")
    )
    if isinstance(begun, Conflict):
        return False
    done = replace(transaction, status=Status.APPROVED, approved=payment.held, concluded_at=now)
    lines = entries(payment.with_transaction(done), done)
    await gateway.database.write(Finish(merchant_id=merchant.id, transaction=done, entries=lines))
    log("hold.expired", merchant=merchant.id, payment=ids.show(payment.id), amount=str(transaction.requested))
    return True
