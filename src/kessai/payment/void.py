"""Void: cancel a sale, capture, refund or credit before it is settled; a plain hold is released by it too. Pure."""

from datetime import datetime

from msgspec.structs import replace

from kessai.payment.lifecycle import Approved, Command, Operation, Payment, Prepared, Refusal, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.transitions import may_follow


class Void(Command, frozen=True, kw_only=True):
    target: int
    by_transaction_id: bool = False
    """A time-out void: the caller did not see the original's answer and names it by its own id."""


def prepare(payment: Payment, command: Void, _merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a void against its target. A void has no amount of its own: it takes what its target still moves."""
    target = payment.find(command.target)
    if target is None:
        return Refusal.NOT_FOUND
    minor = target.effective
    if target.operation is Operation.AUTHORIZE and target.status is Status.APPROVED:
        minor = payment.held
    transaction = Transaction(
        id=new_id,
        payment_id=payment.id,
        operation=Operation.VOID,
        requested=target.requested.of(minor),
        hold=minor if target.operation is Operation.AUTHORIZE and target.status is Status.APPROVED else 0,
        requested_at=now,
        target=target.id,
        reference=command.reference,
        merchant_transaction_id=command.merchant_transaction_id,
        flags=command.flags,
        warnings=command.warnings,
        particulars=command.particulars,
    )
    if command.by_transaction_id and target.status in (Status.DECLINED, Status.FAILED):
        failed = replace(transaction, requested=target.requested, flags=transaction.flags | {"original-failed"})
        code = target.facts.get("response_code")
        facts = {"response_code": code} if code else {}
        return Prepared(transaction=failed, verdict=Approved(amount=target.requested, facts=facts))
    refusal = may_follow(payment, target, Operation.VOID, now)
    if refusal is not None:
        return refusal
    if payment.refunded(target.id):
        return Refusal.NOT_VOIDABLE  # what was returned already would be returned twice
    reversals = payment.followers(Operation.REVERSAL)
    undone = any(tx.status is Status.APPROVED and "by-gateway" in tx.flags for tx in reversals)
    return Prepared(transaction=transaction, verdict=Approved(amount=transaction.requested) if undone else None)
