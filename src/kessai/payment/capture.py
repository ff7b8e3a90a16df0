"""Capture: collect money that was authorized, all of it or a part, once or several times. Pure."""

from datetime import datetime

from kessai.payment.lifecycle import Command, Operation, Payment, Prepared, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.options import PaymentOption
from kessai.payment.transitions import State, may_follow, state_of


class Capture(Command, frozen=True, kw_only=True):
    amount: Money
    option: PaymentOption | None = None
    """Japanese payment option sent with the capture; the authorization's holds where none is."""
    is_only: bool = False
    """No other capture goes before it or comes after it, and it takes no more than is held."""


def prepare(payment: Payment, command: Capture, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a capture against its payment; the first refusal that applies is the answer.

    Where `over_capture` is allowed, one capture may exceed what is left, but something must be left.
    """
    root = payment.root
    refusal = may_follow(payment, root, Operation.CAPTURE, now)
    if refusal is not None:
        return refusal
    if command.amount.currency is not payment.currency:
        return Refusal.CURRENCY_MISMATCH
    if command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    forced = state_of(payment, root, now) is State.DECLINED_CAPTURABLE
    left = root.requested.minor if forced else payment.held
    if command.is_only and payment.followers(Operation.CAPTURE):
        return Refusal.ALREADY_CAPTURED
    if command.amount.minor > left and (command.is_only or merchant.terms.over_capture == "refuse"):
        return Refusal.EXCEEDS_AUTHORIZATION
    return Prepared(
        transaction=Transaction(
            id=new_id,
            payment_id=payment.id,
            operation=Operation.CAPTURE,
            requested=command.amount,
            hold=min(command.amount.minor, payment.held),
            requested_at=now,
            target=payment.id,
            reference=command.reference,
            merchant_transaction_id=command.merchant_transaction_id,
            flags=command.flags,
            option=command.option or root.option,
            warnings=command.warnings,
            particulars=command.particulars,
        )
    )
