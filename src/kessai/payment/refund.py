"""Refund: return captured money to the card it came from, all of it or a part. Pure."""

from datetime import datetime, timedelta

from kessai.payment.lifecycle import Command, Operation, Payment, Prepared, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.transitions import may_follow


class Refund(Command, frozen=True, kw_only=True):
    target: int
    """The sale or capture that is refunded."""
    amount: Money
    card_prefix: str | None = None
    card_suffix: str | None = None
    """First six and last four digits of a card that the request named: a refund goes to no other than the original."""
    is_bounded: bool = False
    """It returns no more than is left of the capture, whatever the merchant's terms allow."""


def prepare(payment: Payment, command: Refund, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a refund against the sale or capture that it returns; the first refusal that applies is the answer."""
    target = payment.find(command.target)
    if target is None:
        return Refusal.NOT_FOUND
    refusal = may_follow(payment, target, Operation.REFUND, now)
    if refusal is not None:
        return refusal
    if command.amount.currency is not payment.currency:
        return Refusal.CURRENCY_MISMATCH
    if command.card_suffix is not None and (command.card_prefix, command.card_suffix) != (
        payment.pan_prefix,
        payment.pan_suffix,
    ):
        return Refusal.OTHER_CARD
    if command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    if now > target.requested_at + timedelta(days=merchant.terms.return_days):
        return Refusal.TOO_LATE
    left = target.approved - payment.refunded(target.id)
    if command.amount.minor > left and (command.is_bounded or merchant.terms.over_refund == "refuse"):
        return Refusal.EXCEEDS_CAPTURE
    return Prepared(
        transaction=Transaction(
            id=new_id,
            payment_id=payment.id,
            operation=Operation.REFUND,
            requested=command.amount,
            requested_at=now,
            target=target.id,
            reference=command.reference,
            merchant_transaction_id=command.merchant_transaction_id,
            flags=command.flags,
            option=target.option,
            warnings=command.warnings,
            particulars=command.particulars,
        )
    )
