"""Payments with very many transactions: they mean what they always meant, and no rule looks at each for each."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from kessai.ledger import entries
from kessai.payment import lifecycle
from kessai.payment.authorize import Increment
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import EFFECTIVE, Approved, Operation, Payment, Refusal, Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.settle import is_due
from kessai.payment.transitions import FOLLOWING, may_follow
from kessai.payment.void import Void
from tests.payment.histories import NOON, STRICT, History, authorized, usd


class Plain:
    """The totals as they read when every one of them looks at every transaction."""

    def __init__(self, payment: Payment) -> None:
        self.all = payment.transactions
        self.root = payment.transactions[0]

    def find(self, transaction_id: int) -> Transaction | None:
        return next((tx for tx in self.all if tx.id == transaction_id), None)

    def followers(self, operation: Operation, target: int | None = None) -> list[Transaction]:
        mine = [tx for tx in self.all if tx.operation is operation and tx.status in EFFECTIVE]
        return [tx for tx in mine if target is None or tx.target == target]

    def is_voided(self, transaction: Transaction) -> bool:
        return any(tx.status is Status.APPROVED for tx in self.followers(Operation.VOID, transaction.id))

    def is_being_voided(self, transaction: Transaction) -> bool:
        return any(True for _ in self.followers(Operation.VOID, transaction.id))

    @property
    def authorized(self) -> int:
        return self.root.approved + sum(tx.approved for tx in self.all if tx.operation is Operation.INCREMENT)

    @property
    def captured(self) -> int:
        if self.root.operation is Operation.SALE:
            return 0 if self.is_voided(self.root) else self.root.effective
        return sum(tx.effective for tx in self.followers(Operation.CAPTURE) if not self.is_voided(tx))

    @property
    def released(self) -> int:
        by_void = sum(tx.effective for tx in self.followers(Operation.VOID, self.root.id))
        return (
            sum(tx.effective for tx in self.followers(Operation.REVERSAL))
            + sum(tx.effective for tx in self.followers(Operation.EXPIRE))
            + (by_void if self.root.operation is Operation.AUTHORIZE else 0)
        )

    @property
    def held(self) -> int:
        if self.root.operation is not Operation.AUTHORIZE:
            return 0
        gone = [tx for tx in self.all if tx.hold and tx.status in EFFECTIVE]
        gone = [tx for tx in gone if not (tx.operation is Operation.CAPTURE and self.is_voided(tx))]
        return max(self.authorized - sum(tx.hold for tx in gone), 0)

    @property
    def was_captured(self) -> bool:
        return any(True for _ in self.followers(Operation.CAPTURE))

    @property
    def has_settled(self) -> bool:
        return any(tx.settlement is not None for tx in self.followers(Operation.CAPTURE))

    def refunded(self, target: int) -> int:
        return sum(tx.effective for tx in self.followers(Operation.REFUND, target) if not self.is_voided(tx))


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    """A payment of 1 to 30 transactions of any kind, possible or not, each acting on any other, or on none."""
    count = draw(st.integers(1, 30))
    rows = []
    for number in range(1, count + 1):
        root = number == 1
        operations = [Operation.AUTHORIZE, Operation.SALE, Operation.CREDIT] if root else list(Operation)
        minor = draw(st.integers(0, 500))
        rows.append(
            Transaction(
                id=number,
                payment_id=1,
                operation=draw(st.sampled_from(operations)),
                requested=usd(minor),
                requested_at=NOON,
                status=draw(st.sampled_from(Status)),
                approved=draw(st.integers(0, minor)),
                hold=draw(st.integers(0, 100)),
                target=None if root else draw(st.none() | st.integers(1, count + 1)),
                settlement=draw(st.sampled_from([None, None, 9])),
            )
        )
    return Payment(merchant_id="m", id=1, transactions=tuple(rows))


@settings(max_examples=500, deadline=None)
@given(payments())
def test_an_indexed_payment_means_what_a_plain_one_means(payment: Payment) -> None:
    """T-12."""
    plain = Plain(payment)
    for name in ("authorized", "captured", "released", "held", "was_captured", "has_settled"):
        assert getattr(payment, name) == getattr(plain, name), name
    for operation in Operation:
        assert list(payment.followers(operation)) == plain.followers(operation)
    for number in range(len(plain.all) + 2):
        assert payment.find(number) == plain.find(number)
        assert payment.refunded(number) == plain.refunded(number)
        for operation in Operation:
            assert list(payment.followers(operation, number)) == plain.followers(operation, number)
    for tx in plain.all:
        assert payment.is_voided(tx) == plain.is_voided(tx)
        assert payment.is_being_voided(tx) == plain.is_being_voided(tx)


@settings(max_examples=100, deadline=None)
@given(payments())
def test_an_index_belongs_to_its_own_payment(payment: Payment) -> None:
    """A payment with one more transaction, or a changed one, knows it at once."""
    whole = payment.held, [payment.is_voided(tx) for tx in payment.transactions]
    assert whole is not None
    number = len(payment.transactions) + 1
    void = Transaction(
        id=number,
        payment_id=1,
        operation=Operation.VOID,
        requested=usd(0),
        requested_at=NOON,
        status=Status.APPROVED,
        target=1,
    )
    after = payment.with_transaction(void)
    assert after.find(number) is void
    assert after.is_voided(after.root)
    assert after.held == Plain(after).held
    assert payment.find(number) is None


class Counting(tuple[Transaction, ...]):
    """Transactions that count how often somebody goes through them."""

    walks = 0

    def __iter__(self) -> Iterator[Transaction]:
        self.walks += 1
        return super().__iter__()


def many() -> History:
    """A payment of a thousand transactions: 100 increments, 400 captures, a void for every fourth, 400 refunds."""
    history = authorized(100_000, STRICT, flags=frozenset({"pre"}))
    for _ in range(100):
        assert isinstance(history.do(Increment(target=1, amount=usd(100))), Transaction)
    assert history.do(Increment(target=1, amount=usd(100))) is Refusal.TOO_MANY_INCREMENTS
    captures = [history.do(Capture(target=1, amount=usd(100))) for _ in range(400)]
    for place, capture in enumerate(captures):
        assert isinstance(capture, Transaction)
        if place % 4:
            assert isinstance(history.do(Refund(target=capture.id, amount=usd(60))), Transaction)
        else:
            assert isinstance(history.do(Void(target=capture.id)), Transaction)
    assert history.payment is not None
    for tx in history.payment.followers(Operation.REFUND):
        if len(history.payment.transactions) == 1_000:
            break
        assert isinstance(history.do(Void(target=tx.id)), Transaction)
    return history


def test_a_thousand_transactions_are_gone_through_a_few_times_not_once_for_each() -> None:
    """Every total, every rule about every transaction, every entry: some walks, whatever the payment's length."""
    history = many()
    assert history.payment is not None
    counting = Counting(history.payment.transactions)
    assert len(counting) == 1_000
    payment = lifecycle.Payment(merchant_id="m", id=1, transactions=counting, expires_at=history.payment.expires_at)
    assert payment.captured == 300 * 100
    assert payment.held == 100_000 + 100 * 100 - 300 * 100
    for tx in history.payment.transactions:
        assert payment.find(tx.id) is tx
        is_due(payment, tx)
        entries(payment, tx)
        payment.refunded(tx.id)
        if tx.operation is not Operation.AUTHORIZE:
            for operation in FOLLOWING:
                may_follow(payment, tx, operation, NOON)
    assert may_follow(payment, payment.root, Operation.CAPTURE, NOON) is None
    for command, outcome in ((Reverse(target=1, amount=usd(100)), None), (Capture(target=1, amount=usd(100)), None)):
        before = counting.walks
        history.payment = payment
        done = history.do(command, outcome or Approved(amount=usd(100)))
        assert isinstance(done, Transaction)
        assert counting.walks - before <= 6, "one request, a few walks"
    assert counting.walks <= 24
