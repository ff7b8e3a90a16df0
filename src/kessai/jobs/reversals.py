"""Clean-up: settle what is unknown, release what lapses. Time starts this, no caller.

An authorization or sale without a trustworthy outcome is reversed until the acquirer answers; a capture, refund,
credit, void or reversal is sent again, marked as a repeat. An authorization is never sent twice (R-4).
"""

from datetime import timedelta

from msgspec.structs import replace

from kessai import ids
from kessai.gateway import Circumstances, Gateway
from kessai.late import CLEAN_UP
from kessai.ledger import entries
from kessai.log import log
from kessai.payment.lifecycle import (
    Operation,
    Payment,
    Status,
    Transaction,
    cleans_up,
)
from kessai.payment.merchant import Merchant
from kessai.payment.reverse import Reverse
from kessai.storage.payments import Answer, Found
from kessai.storage.writes import Begin, Finish, ForgetExpiry, GiveUp, Job, Record


async def clean_up(gateway: Gateway, merchant: Merchant, transaction_id: int) -> bool:
    """One try to settle a transaction. True: nothing is left to do."""
    found = await gateway.payments.load(merchant.id, transaction_id)
    transaction = found.payment.find(transaction_id) if found else None
    if found is None or transaction is None:
        return True
    if transaction.status is Status.PENDING:
        return False  # somebody is on the road with it
    if transaction.operation is Operation.INCREMENT:
        return await _undo(gateway, merchant, found, transaction)
    how = cleans_up(transaction)
    if how is None:
        return True
    if how is Operation.REVERSAL and transaction.operation is not Operation.REVERSAL:
        return await _reverse(gateway, merchant, found, transaction)
    return await _repeat(gateway, merchant, found, transaction)


async def _undo(gateway: Gateway, merchant: Merchant, found: Found, transaction: Transaction) -> bool:
    """Reverse an increment without a trustworthy outcome; once more for each approval that came too late."""
    late = [
        event["id"]
        for event in await gateway.payments.events(merchant.id, transaction.id)
        if event["kind"] == "approved-late"
    ]
    if transaction.status is Status.UNKNOWN:
        return await gateway.undo(merchant, found, transaction, -transaction.id)
    if transaction.status is Status.FAILED:
        return all([await gateway.undo(merchant, found, transaction, -event_id) for event_id in late])
    return True


async def _reverse(gateway: Gateway, merchant: Merchant, found: Found, transaction: Transaction) -> bool:
    """Reverse an authorization or sale; a reversal or void that is open already is sent again instead."""
    payment = found.payment
    undoing = [*payment.followers(Operation.REVERSAL), *payment.followers(Operation.VOID, transaction.id)]
    if any(tx.status is Status.PENDING for tx in undoing):
        return False
    done = [tx for tx in undoing if tx.status is Status.APPROVED]
    if done:
        events = await gateway.payments.events(merchant.id, transaction.id)
        if not any(event["kind"] == "approved-late" for event in events):
            return True
        # Perhaps approved after it was reversed, and no two clocks tell: to reverse again does no harm.
        return await gateway.repeat(merchant, found, done[-1])
    if undoing:
        await gateway.repeat(merchant, found, undoing[-1])
    else:
        command = Reverse(target=transaction.id, flags=frozenset({"by-gateway"}))
        await gateway.perform(merchant, command, Circumstances(), _no_answer)
    again = await gateway.payments.load(merchant.id, transaction.id)
    return again is not None and _is_undone(again.payment)  # a reversal that failed leaves everything to do


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
    # Ids keep wall time, whatever the merchant's clock says: it may be moved while an exchange is under way.
    oldest = ids.first_of(ids.made_at(gateway.new_id()) - timedelta(seconds=gateway.deadline_s + 5))
    count = 0
    for transaction_id in await gateway.payments.pending(merchant.id, gateway.lease, oldest):
        if transaction_id in gateway.under_way:  # a clock that jumped makes it look old
            continue
        job = Job(id=gateway.new_id(), kind=CLEAN_UP, transaction_id=transaction_id, run_at=now)
        write = GiveUp(merchant_id=merchant.id, transaction_id=transaction_id, now=merchant.at(now), job=job)
        if await gateway.database.write(write):
            count += 1
            log("outcome.orphaned", level="warning", merchant=merchant.id, transaction=ids.show(transaction_id))
    return count


async def expire(gateway: Gateway, merchant: Merchant) -> int:
    """Let holds lapse whose time has come. How many did."""
    now = merchant.at(gateway.clock())
    count = 0
    after = (0, 0)
    while due := await gateway.payments.expiring(merchant.id, now, after):
        after = due[-1]
        for _, payment_id in due:
            found = await gateway.payments.load_payment(merchant.id, payment_id)
            if found is None or not _may_lapse(found.payment):
                continue
            if found.payment.held:
                if not await _expire(gateway, merchant, found.payment):
                    continue
                count += 1
            if not _may_be_given_back(found.payment):
                await gateway.database.write(ForgetExpiry(merchant.id, payment_id))
    return count


def _may_be_given_back(payment: Payment) -> bool:
    """Whether a hold can come back although its time is over: by the void of a capture that is not settled yet."""
    return any(tx.settlement is None and not payment.is_voided(tx) for tx in payment.followers(Operation.CAPTURE))


def _may_lapse(payment: Payment) -> bool:
    """Whether nothing is under way; an authorization that stays unknown is done with when it was undone."""
    is_settled = _is_undone(payment)
    return not any(tx.is_open for tx in payment.transactions if tx is not payment.root or not is_settled)


def _is_undone(payment: Payment) -> bool:
    """Whether a reversal, or a void, of the payment's root was approved."""
    undoing = [*payment.followers(Operation.REVERSAL), *payment.followers(Operation.VOID, payment.root.id)]
    return any(tx.status is Status.APPROVED for tx in undoing)


async def _expire(gateway: Gateway, merchant: Merchant, payment: Payment) -> bool:
    now = merchant.at(gateway.clock())
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
    done = replace(transaction, status=Status.APPROVED, approved=payment.held, concluded_at=now)
    lines = entries(payment.with_transaction(done), done)
    begin = Begin(payment=payment, transaction=transaction, lease=gateway.lease, correlation="")
    finish = Finish(merchant_id=merchant.id, transaction=done, entries=lines)
    if await gateway.database.write(Record(begin, finish)) is not None:
        return False
    log("hold.expired", merchant=merchant.id, payment=ids.show(payment.id), amount=str(transaction.requested))
    return True
