"""Reverse: release a hold, all of it or a part; undo an exchange whose outcome is unknown. Pure."""

from datetime import datetime

from msgspec.structs import replace

from kessai.payment.lifecycle import Approved, Command, Operation, Payment, Prepared, Refusal, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.transitions import State, may_follow, state_of


class Reverse(Command, frozen=True, kw_only=True):
    amount: Money | None = None
    """What to release; None for all that is left (the gateway's own clean-up)."""
    by_transaction_id: bool = False
    """A time-out reversal: the caller did not see the original's answer and names it by its own id."""


def prepare(payment: Payment, command: Reverse, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a reversal against its authorization; the first refusal that applies is the answer.

    An original whose outcome is unknown is undone whole, whatever the amount says. A time-out reversal of an original
    that had failed succeeds, because nothing is held; so does the merchant's own reversal after the gateway's clean-up.
    """
    root = payment.root
    amount = command.amount or root.requested.of(payment.held)
    transaction = Transaction(
        id=new_id,
        payment_id=payment.id,
        operation=Operation.REVERSAL,
        requested=amount,
        hold=min(amount.minor, payment.held),
        requested_at=now,
        target=payment.id,
        reference=command.reference,
        merchant_transaction_id=command.merchant_transaction_id,
        flags=command.flags,
        warnings=command.warnings,
        particulars=command.particulars,
    )
    state = state_of(payment, root, now)
    if amount.currency is not payment.currency:
        return Refusal.CURRENCY_MISMATCH
    if command.by_transaction_id and state is State.DECLINED:
        failed = replace(transaction, flags=transaction.flags | {"original-failed"})
        return Prepared(transaction=failed, verdict=Approved(amount=amount, facts=_response_code(root)))
    refusal = may_follow(payment, root, Operation.REVERSAL, now)
    if refusal is not None:
        return refusal
    if state in (State.UNKNOWN, State.UNKNOWN_UNDONE):
        whole = replace(transaction, requested=root.requested)
        reversals = (tx for tx in payment.followers(Operation.REVERSAL) if tx.status is Status.APPROVED)
        done = next(reversals, None)  # by the gateway's own clean-up: the merchant is told what the acquirer said
        return Prepared(transaction=whole, verdict=Approved(amount=root.requested, facts=done.facts) if done else None)
    if amount.minor <= 0 and state is not State.VERIFIED:
        return Refusal.AMOUNT_NOT_POSITIVE
    if not merchant.terms.partial_reversal and amount.minor != payment.authorized:
        return Refusal.AMOUNT_MUST_MATCH
    if amount.minor > payment.held:
        return Refusal.EXCEEDS_HOLD
    return Prepared(transaction=transaction)


def _response_code(original: Transaction) -> dict[str, str]:
    code = original.facts.get("response_code")
    return {"response_code": code} if code else {}
