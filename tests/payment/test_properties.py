"""What holds for the books of any shop, whatever happened to its payments, in whatever order. T-12.

`HISTORIES=50000` in the environment tries as many; a change of the code tries 2 000.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.ledger import Account, Entry, balances, entries, is_balanced, settlement_entries
from kessai.payment.authorize import Authorize, Increment
from kessai.payment.capture import Capture
from kessai.payment.credit import Credit
from kessai.payment.lifecycle import (
    Approved,
    Command,
    Declined,
    Failed,
    Operation,
    Outcome,
    Reason,
    Refusal,
    Status,
    Transaction,
    Unknown,
)
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.schedule import split
from kessai.payment.settle import batches, is_due, is_never_due
from kessai.payment.void import Void
from tests.payment.histories import LENIENT, NOON, STRICT, VISA, History

MANY = settings(
    max_examples=int(os.environ.get("HISTORIES", "2000")), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
CURRENCIES = tuple(Currency.of(code) for code in ("USD", "JPY", "KWD"))
Balances = dict[tuple[Account, str], int]


@dataclass
class Shop:
    """Payments of several currencies, and the books as they were written: line by line, never again touched."""

    merchant: Merchant
    histories: list[History] = field(default_factory=list)
    lines: list[Entry] = field(default_factory=list)
    stored: Balances = field(default_factory=dict)
    collected: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    passed_over: set[int] = field(default_factory=set)
    """What a cut found that none will ever collect."""
    ids: int = 0

    def begin(self, currency: Currency, minor: int, kind: str, outcome: str) -> None:
        history = History(self.merchant, ids=1_000 * len(self.histories))
        amount = Money(minor, currency)
        command: Command = (
            Credit(amount=amount, card=VISA)
            if kind == "credit"
            else Authorize(amount=amount, card=VISA, capture=kind == "sale", flags=frozenset({"pre"}))
        )
        if self._go(history, command, outcome):
            self.histories.append(history)

    def follow(self, which: int, step: str, minor: int, outcome: str) -> None:
        if not self.histories:
            return
        history = self.histories[which % len(self.histories)]
        payment = history.payment
        assert payment is not None
        some = payment.transactions[minor % len(payment.transactions)]
        amount = Money(minor, payment.currency)
        commands: dict[str, Command] = {
            "capture": Capture(target=payment.id, amount=amount),
            "reverse": Reverse(target=payment.id, amount=amount),
            "void": Void(target=some.id),
            "refund": Refund(target=some.id, amount=amount),
            "increment": Increment(target=payment.id, amount=amount),
        }
        self._go(history, commands[step], outcome)

    def _go(self, history: History, command: Command, outcome: str) -> bool:
        begun = history.begin(command)
        if isinstance(begun, Refusal):
            return False
        if begun.is_open and outcome != "open":
            begun = history.end(begun, _outcome(outcome, begun))
        assert history.payment is not None
        self._write(entries(history.payment, begun))
        return True

    def settle(self) -> None:
        """Cut the day: everything due goes into a batch of its currency."""
        due = [
            (history, tx)
            for history in self.histories
            if history.payment is not None
            for tx in history.payment.transactions
            if is_due(history.payment, tx)
        ]
        self.ids -= 10
        for batch in batches((tx for _, tx in due), range(self.ids, self.ids + 10), date(2026, 3, 10)):
            self._write(settlement_entries(batch, NOON))
            self.collected[batch.currency.code] += batch.net.minor
        for payment in filter(None, [history.payment for history in self.histories]):
            out = [tx for tx in payment.transactions if is_never_due(payment, tx)]
            assert all(tx.status is Status.APPROVED and tx.settlement is None for tx in out)
            self.passed_over |= {tx.id for tx in out}
        assert self.passed_over.isdisjoint(tx.id for _, tx in due)
        for history, tx in due:
            assert history.payment is not None
            history.payment = history.payment.with_transaction(replace(tx, settlement=self.ids))

    def _write(self, lines: tuple[Entry, ...]) -> None:
        assert is_balanced(lines)
        assert all(line.amount for line in lines)
        self.lines += lines
        for line in lines:
            key = line.account, line.currency.code
            self.stored[key] = self.stored.get(key, 0) + line.amount


def _outcome(name: str, transaction: Transaction) -> Outcome:
    asked = transaction.requested
    match name:
        case "approve":
            return Approved(amount=asked)
        case "in part":
            return Approved(amount=Money(asked.minor // 2, asked.currency))
        case "decline":
            return Declined(reason=Reason.GENERAL_DECLINE)
        case "fail":
            return Failed(reason=Reason.SYSTEM_ERROR)
        case _:
            return Unknown("silence")


outcomes = st.sampled_from(["approve", "approve", "approve", "in part", "decline", "fail", "unknown", "open"])
minors = st.one_of(st.integers(0, 60), st.integers(0, 12_000))
begins = st.tuples(
    st.just("begin"),
    st.sampled_from(CURRENCIES),
    st.integers(1, 9_000),
    st.sampled_from(["authorization", "authorization", "sale", "credit"]),
    outcomes,
)
follows = st.tuples(
    st.just("follow"),
    st.integers(0, 5),
    st.sampled_from(["capture", "capture", "refund", "void", "reverse", "increment"]),
    minors,
    outcomes,
)
steps = st.lists(st.one_of(follows, follows, follows, begins, st.just(("settle",))), min_size=3, max_size=18)


def _played(merchant: Merchant, plan: list[tuple[object, ...]]) -> Shop:
    shop = Shop(merchant)
    shop.begin(CURRENCIES[0], 5_000, "authorization", "approve")
    for name, *arguments in plan:
        before, lines = balances(shop.lines), len(shop.lines)
        written = tuple(shop.lines)
        getattr(shop, str(name))(*arguments)
        assert is_balanced(shop.lines), "every prefix of the books adds up to nothing, in every currency"
        assert tuple(shop.lines[:lines]) == written, "what was written stays as it was"
        assert before == balances(shop.lines[:lines])
    return shop


@MANY
@given(st.sampled_from([STRICT, LENIENT]), steps)
def test_the_books_of_any_shop_balance_grow_and_can_be_rebuilt(
    merchant: Merchant, plan: list[tuple[object, ...]]
) -> None:
    """T-12, P4: zero sum at every prefix, append-only, balances rebuilt are those stored, settled is what moved."""
    shop = _played(merchant, plan)
    keys = [(line.transaction_id, line.line) for line in shop.lines]
    assert len(keys) == len(set(keys)), "no entry is written twice"
    assert balances(shop.lines) == shop.stored
    rebuilt = [
        line
        for history in shop.histories
        if history.payment is not None
        for tx in history.payment.transactions
        for line in entries(history.payment, tx)
    ]
    of_settlements = [line for line in shop.lines if line.transaction_id < 0]
    assert sorted(map(_comparable, rebuilt + of_settlements)) == sorted(map(_comparable, shop.lines))
    for currency in CURRENCIES:
        due = shop.stored.get((Account.ACQUIRER_DUE, currency.code), 0)
        assert due == shop.collected[currency.code]
        assert due == -shop.stored.get((Account.MERCHANT_DUE, currency.code), 0)


def _comparable(line: Entry) -> tuple[int, int, str, str, int]:
    return line.transaction_id, line.line, line.account.value, line.currency.code, line.amount


@MANY
@given(steps)
def test_no_shop_collects_more_than_it_was_promised_nor_returns_more_than_it_took(
    plan: list[tuple[object, ...]],
) -> None:
    """T-12, P5, A-37, A-40: for a merchant without leave to exceed."""
    shop = _played(STRICT, plan)
    for history in shop.histories:
        payment = history.payment
        assert payment is not None
        if payment.root.operation is Operation.CREDIT:
            continue
        if payment.root.operation is Operation.AUTHORIZE and payment.root.status is Status.APPROVED:
            assert 0 <= payment.captured + payment.released <= payment.authorized
        posted = balances(line for tx in payment.transactions for line in entries(payment, tx))
        assert posted.get((Account.HELD_BY_ISSUERS, payment.currency.code), 0) >= 0
        collected = posted.get((Account.ACQUIRER, payment.currency.code), 0)
        assert 0 <= collected <= max(payment.authorized, payment.root.approved)
        for capture in payment.followers(Operation.CAPTURE):
            assert 0 <= payment.refunded(capture.id) <= capture.effective
    for currency in CURRENCIES:
        assert shop.stored.get((Account.HELD_BY_ISSUERS, currency.code), 0) >= 0


@MANY
@given(st.integers(0, 10**12), st.integers(1, 400), st.sampled_from(["first", "last"]))
def test_shares_add_up_and_the_remainder_has_an_owner(total: int, parts: int, owner: str) -> None:
    """T-12, A-49: three thirds of one minor unit are one minor unit."""
    shares = split(total, parts, "first" if owner == "first" else "last")
    assert sum(shares) == total
    assert len(shares) == parts
    others = shares[1:] if owner == "first" else shares[:-1]
    assert set(others) <= {total // parts}
    assert total // parts <= shares[0 if owner == "first" else -1] < total // parts + parts


def test_a_hold_is_captured_in_hundreds_of_single_units_and_not_one_more() -> None:
    """A-49, A-37: no unit is lost or made on the way."""
    count = 250
    history = History(STRICT)
    history.do(Authorize(amount=Money(count, CURRENCIES[0]), card=VISA))
    lines: list[Entry] = []
    for _ in range(count):
        done = history.do(Capture(target=1, amount=Money(1, CURRENCIES[0])))
        assert isinstance(done, Transaction)
        assert history.payment is not None
        lines += entries(history.payment, done)
        history.now += timedelta(seconds=1)
    assert history.do(Capture(target=1, amount=Money(1, CURRENCIES[0]))) is Refusal.ALREADY_CAPTURED
    assert is_balanced(lines)
    assert balances(lines)[(Account.ACQUIRER, "USD")] == count
