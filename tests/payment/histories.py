"""Histories for tests: payments built by the real rules, step by step, with every outcome that a step can have."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from kessai.payment import authorize, capture, credit, echeck, refund, reverse, void
from kessai.payment.bank import BankAccount
from kessai.payment.card import AccountNumber, Brand, Card, Expiry, Pan
from kessai.payment.lifecycle import (
    Approved,
    Command,
    Operation,
    Outcome,
    Payment,
    Prepared,
    Refusal,
    Transaction,
    conclude,
)
from kessai.payment.merchant import Merchant, Terms
from kessai.payment.money import Currency, Money

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
USD = Currency.of("USD")
VISA = Card(pan=Pan("4111111111111111"), expiry=Expiry(2031, 12), brand=Brand.VISA)
ACCOUNT = BankAccount(number=AccountNumber("4100271828"), routing_number="071923284")
STRICT = Merchant(id="strict", personality="vpc", terms=Terms(increments=True, echecks=True))
LENIENT = Merchant(id="lenient", personality="sandbox", terms=Terms(over_capture="allow", over_refund="allow"))


def usd(minor: int) -> Money:
    return Money(minor, USD)


@dataclass
class History:
    """One payment and its rules; `do` takes a command down the pure part of the road."""

    merchant: Merchant = STRICT
    payment: Payment | None = None
    now: datetime = NOON
    ids: int = 0
    log: list[Transaction] = field(default_factory=list)

    def begin(self, command: Command) -> Transaction | Refusal:
        """Prepare and record the intent: it stays open."""
        self.ids += 1
        prepared = self._prepare(command)
        if isinstance(prepared, Refusal):
            return prepared
        transaction = prepared.transaction
        if self.payment is None:
            lapses = self.now + timedelta(days=self.merchant.terms.authorization_days)
            self.payment = Payment(
                merchant_id=self.merchant.id,
                id=transaction.id,
                transactions=(transaction,),
                brand=VISA.brand,
                pan_prefix="411111",
                pan_suffix="1111",
                expires_at=lapses,
            )
        else:
            self.payment = self.payment.with_transaction(transaction)
        if prepared.verdict is not None:
            return self.end(transaction, prepared.verdict)
        return transaction

    def end(self, transaction: Transaction, outcome: Outcome) -> Transaction:
        assert self.payment is not None
        done = conclude(transaction, outcome, self.now, self.merchant.terms.review_avs)
        self.payment = self.payment.with_transaction(done)
        self.log.append(done)
        return done

    def do(self, command: Command, outcome: Outcome | None = None) -> Transaction | Refusal:
        """Begin and end; approved in full unless another outcome is given."""
        begun = self.begin(command)
        if isinstance(begun, Refusal) or not begun.is_open:
            return begun
        return self.end(begun, outcome or Approved(amount=begun.requested))

    def settle(self) -> None:
        """Everything approved so far is collected."""
        assert self.payment is not None
        for tx in self.payment.transactions:
            if tx.operation in (Operation.SALE, Operation.CAPTURE, Operation.REFUND, Operation.CREDIT):
                self.payment = self.payment.with_transaction(replace(tx, settlement=999))

    def _prepare(self, command: Command) -> Prepared | Refusal:
        if isinstance(command, authorize.Authorize):
            return authorize.prepare(command, self.merchant, self.now, self.ids)
        if isinstance(command, credit.Credit):
            return credit.prepare(command, self.merchant, self.now, self.ids)
        if isinstance(command, echeck.Echeck):
            return echeck.prepare(command, self.merchant, self.now, self.ids)
        assert self.payment is not None
        return _PREPARE[type(command)](self.payment, command, self.merchant, self.now, self.ids)

    @property
    def root(self) -> Transaction:
        assert self.payment is not None
        return self.payment.root


_PREPARE: dict[type[Command], Callable[..., Prepared | Refusal]] = {
    authorize.Increment: authorize.prepare_increment,
    capture.Capture: capture.prepare,
    reverse.Reverse: reverse.prepare,
    void.Void: void.prepare,
    refund.Refund: refund.prepare,
}


def authorized(minor: int, merchant: Merchant = STRICT, **more: object) -> History:
    """A history that begins with an approved authorization."""
    history = History(merchant)
    history.do(authorize.Authorize(amount=usd(minor), card=VISA, **more))  # type: ignore[arg-type]
    return history
