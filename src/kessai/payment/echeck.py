"""eCheck: take money from a bank account, or pay it there, without a card. Pure.

A debit is a sale: it moves money and holds none. Nobody is asked for an approval code; what the acquirer takes on is
pending until it is settled.
"""

from datetime import datetime

from kessai.payment.bank import FLAG, BankAccount
from kessai.payment.lifecycle import Command, Operation, Payment, Prepared, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money


class Echeck(Command, frozen=True, kw_only=True):
    amount: Money
    account: BankAccount
    is_credit: bool = False
    """Pays the account instead of debiting it."""


def prepare(command: Echeck, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check a debit or credit and make its transaction, the root of a new payment."""
    if not merchant.terms.echecks:
        return Refusal.NOT_SUPPORTED
    if command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    return Prepared(
        transaction=Transaction(
            id=new_id,
            payment_id=new_id,
            operation=Operation.CREDIT if command.is_credit else Operation.SALE,
            requested=command.amount,
            requested_at=now,
            reference=command.reference,
            merchant_transaction_id=command.merchant_transaction_id,
            flags=command.flags | {FLAG},
            warnings=command.warnings,
            particulars=command.particulars,
        )
    )


def payment_of(merchant_id: str, command: Echeck, transaction: Transaction) -> Payment:
    """The payment that a transaction of `prepare` begins. It has no brand, and its hold cannot lapse: there is none."""
    return Payment(
        merchant_id=merchant_id,
        id=transaction.id,
        transactions=(transaction,),
        pan_suffix=command.account.number.suffix,
    )
