"""Credit: pay a card with no capture behind it. Pure."""

from datetime import datetime

from kessai.payment.authorize import exists
from kessai.payment.card import Card
from kessai.payment.lifecycle import Command, Declined, Operation, Prepared, Reason, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.options import PaymentOption


class Credit(Command, frozen=True, kw_only=True):
    amount: Money
    card: Card
    option: PaymentOption | None = None


def prepare(command: Credit, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a credit and make its transaction, the root of a new payment. The expiration date decides nothing here."""
    brands = merchant.terms.brands
    if brands is not None and command.card.brand not in brands:
        return Refusal.BRAND_NOT_ACCEPTED
    if command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    transaction = Transaction(
        id=new_id,
        payment_id=new_id,
        operation=Operation.CREDIT,
        requested=command.amount,
        requested_at=now,
        reference=command.reference,
        merchant_transaction_id=command.merchant_transaction_id,
        flags=command.flags,
        option=command.option,
        warnings=command.warnings,
        particulars=command.particulars,
    )
    verdict = None if exists(command.card, merchant) else Declined(reason=Reason.INVALID_ACCOUNT)
    return Prepared(transaction=transaction, verdict=verdict)
