"""Authorize: hold money on a card; a sale is an authorization with immediate capture; an increment adds to a hold.

Pure. What the gateway can know without asking anybody (a number that cannot exist, an expired card, a cardholder who is
not authenticated, an approval given by voice) is a verdict: it is recorded like any outcome, and nothing is sent.
"""

from datetime import datetime, timedelta
from typing import Final

from kessai.payment.agreement import Agreement
from kessai.payment.card import PUBLISHED_TEST_NUMBERS, Brand, Card
from kessai.payment.lifecycle import (
    Approved,
    Command,
    Declined,
    Operation,
    Outcome,
    Payment,
    Prepared,
    Reason,
    Refusal,
    Transaction,
)
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.options import PaymentOption
from kessai.payment.transitions import may_follow


class Authorize(Command, frozen=True, kw_only=True):
    amount: Money
    card: Card
    capture: bool = False
    option: PaymentOption | None = None
    voice_approval: str | None = None
    """The approval code that an issuer gave by voice."""
    barred: Declined | None = None
    """The decline of a risk rule: nothing is sent."""
    agreement: Agreement | None = None


class Increment(Command, frozen=True, kw_only=True):
    amount: Money
    agreement: Agreement | None = None


INCREMENT_BRANDS: Final = frozenset({Brand.VISA, Brand.MASTERCARD, Brand.AMEX, Brand.DISCOVER})
MAX_INCREMENTS: Final = 100
_NOT_AUTHENTICATED: Final = frozenset({"authentication-failed", "authentication-missing"})


def prepare(command: Authorize, merchant: Merchant, now: datetime, new_id: int) -> Prepared | Refusal:
    """Check an authorization or sale and make its transaction, the root of a new payment."""
    brands = merchant.terms.brands
    if brands is not None and command.card.brand not in brands:
        return Refusal.BRAND_NOT_ACCEPTED
    if command.capture and command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    transaction = Transaction(
        id=new_id,
        payment_id=new_id,
        operation=Operation.SALE if command.capture else Operation.AUTHORIZE,
        requested=command.amount,
        requested_at=now,
        reference=command.reference,
        merchant_transaction_id=command.merchant_transaction_id,
        flags=command.flags | {"verbal"} if command.voice_approval else command.flags,
        option=command.option,
        warnings=command.warnings,
        particulars=command.particulars,
    )
    return Prepared(transaction=transaction, verdict=_verdict(command, merchant, now), agreement=command.agreement)


def _verdict(command: Authorize, merchant: Merchant, now: datetime) -> Outcome | None:
    if command.barred is not None:
        return command.barred
    if not exists(command.card, merchant):
        return Declined(reason=Reason.INVALID_ACCOUNT)
    # A card is good until its month has ended everywhere, UTC-12 last.
    if command.card.expiry is not None and command.card.expiry.is_past((now - timedelta(hours=12)).date()):
        return Declined(reason=Reason.EXPIRED_CARD)
    if not command.flags.isdisjoint(_NOT_AUTHENTICATED):
        is_failed = "authentication-failed" in command.flags
        return Declined(reason=Reason.AUTHENTICATION_FAILED if is_failed else Reason.AUTHENTICATION_REQUIRED)
    if command.voice_approval:
        return Approved(amount=command.amount, facts={"approval_code": command.voice_approval})
    return None


def exists(card: Card, merchant: Merchant) -> bool:
    """Whether a card number can exist; test merchants may also use the numbers that schemes publish for tests."""
    return card.pan.is_valid or (merchant.is_test and card.pan.digits in PUBLISHED_TEST_NUMBERS)


def prepare_increment(
    payment: Payment, command: Increment, merchant: Merchant, now: datetime, new_id: int
) -> Prepared | Refusal:
    """Check an increment against its authorization; the first refusal that applies is the answer."""
    if not merchant.terms.increments or payment.brand not in INCREMENT_BRANDS:
        return Refusal.NOT_SUPPORTED
    refusal = may_follow(payment, payment.root, Operation.INCREMENT, now)
    if refusal is not None:
        return refusal
    if "pre" not in payment.root.flags:
        return Refusal.NOT_SUPPORTED
    if command.amount.currency is not payment.currency:
        return Refusal.CURRENCY_MISMATCH
    if command.amount.minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE
    if sum(1 for _ in payment.followers(Operation.INCREMENT)) >= MAX_INCREMENTS:
        return Refusal.TOO_MANY_INCREMENTS
    return Prepared(
        transaction=Transaction(
            id=new_id,
            payment_id=payment.id,
            operation=Operation.INCREMENT,
            requested=command.amount,
            requested_at=now,
            target=payment.id,
            reference=command.reference,
            merchant_transaction_id=command.merchant_transaction_id,
            flags=command.flags,
            warnings=command.warnings,
            particulars=command.particulars,
        ),
        agreement=command.agreement,
    )
