"""The machine (T-8): random operations go down the real road and into the model; both must say the same after each."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kessai.app import House
from kessai.claims import bound_to, claim_of
from kessai.gateway import Circumstances
from kessai.jobs import reversals, settlement
from kessai.payment.authorize import Authorize
from kessai.payment.capture import Capture
from kessai.payment.credit import Credit
from kessai.payment.lifecycle import Command, Payment, Refusal, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void
from kessai.storage.payments import Answer
from kessai.storage.queue import ClaimJob, JobDone, Queue
from tests.houses import VISA
from tests.model.shop import APPROVED, DECLINED, HOLD_DAYS, UNKNOWN, Move, Paid, Shop

T = TypeVar("T")

MORNING: Final = datetime(2026, 3, 10, 1, 0, tzinfo=UTC)
OUTCOMES: Final = {"approve": APPROVED, "general-decline": DECLINED, "answer-lost": UNKNOWN}
USD: Final = Currency.of("USD")

outcomes = st.sampled_from(["approve", "approve", "approve", "general-decline", "answer-lost"])
whiches = st.integers(0, 1_000)
totals = st.integers(100, 10_000)
amounts = st.one_of(st.integers(1, 50), st.integers(1, 4_000), st.integers(1, 12_000))
MOST_PAYMENTS: Final = 4
NOT_QUITE: Final = (102_21, 1_15, 29, 4_35, 10_000)
"""Amounts that binary fractions do not have."""


@dataclass
class Stopped:
    """A clock that stands until it is moved."""

    now: datetime = MORNING

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Stage:
    """The house on which every example plays, each with a merchant of its own."""

    house: House
    clock: Stopped
    runner: asyncio.Runner
    numbers: Any = field(default_factory=itertools.count)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


class Machine(RuleBasedStateMachine):
    """One merchant's day."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.house, self.clock = stage, stage.house, stage.clock
        self.clock.now = MORNING
        self.shop = Shop()
        self.done: list[tuple[Command, str, bytes]] = []
        """What was executed, its key, what was answered."""
        self.merchant = self._merchant(f"m{next(stage.numbers)}")
        self.stranger = self.house.accounts.get("kessai_vpc").merchant

    def _merchant(self, name: str) -> Merchant:
        accounts = self.house.accounts
        self.stage.run(accounts.add(name, "vpc", self.clock()))
        self.stage.run(accounts.set(name, {"authorization_days": str(HOLD_DAYS)}))
        return accounts.get(name).merchant

    # ---- down the road

    def send(
        self, command: Command, key: str, scenario: str | None = None, *, by: Merchant | None = None
    ) -> Answer | Refusal:
        merchant = by or self.merchant

        def encode(_payment: Payment, tx: Transaction) -> Answer:
            return Answer(201, f"{tx.id} {tx.status.value} {tx.approved}".encode())

        claim = claim_of("model", key, request=bound_to(merchant.id, repr(command).encode()))
        circumstances = Circumstances(scenario=scenario, claims=(claim,))
        return self.stage.run(self.house.gateway.perform(merchant, command, circumstances, encode))

    def attempt(self, command: Command, refusal: str, scenario: str, minor: int, *, told: bool = False) -> Move | None:
        """Send a command, and hold its result against what the model expects. None: it was refused, as expected.

        `told`: the rules know the outcome already, and nothing is sent.
        """
        self.clock.now += timedelta(seconds=1)
        key = f"key-{len(self.done)}"
        answer = self.send(command, key, scenario)
        if refusal:
            assert answer is Refusal[refusal], (command, answer, refusal)
            return None
        assert isinstance(answer, Answer), (command, answer)
        assert not answer.is_replay
        identifier, status, approved = answer.body.split()
        expected = APPROVED if told else OUTCOMES[scenario]
        assert status.decode() == expected
        assert int(approved) == (minor if expected == APPROVED else 0), f"{int(approved)} approved, {minor} asked"
        self.done.append((command, key, answer.body))
        return Move(int(identifier), "", minor, expected)

    def pick(self, which: int) -> Paid:
        return self.shop.payments[which % len(self.shop.payments)]

    def money(self, minor: int) -> Money:
        """As the edge reads it: from decimal text."""
        return Money.parse(f"{minor // 100}.{minor % 100:02d}", USD)

    # ---- operations

    def _has_room(self) -> bool:
        """Few payments, of which each has a long life, meet more than many."""
        return len(self.shop.payments) < MOST_PAYMENTS

    @precondition(_has_room)
    @rule(
        kind=st.sampled_from(["authorize", "authorize", "authorize", "sale", "credit"]), minor=totals, scenario=outcomes
    )
    def begins(self, kind: str, minor: int, scenario: str) -> None:
        self._begins(kind, minor, scenario)

    @precondition(_has_room)
    @rule(kind=st.sampled_from(["authorize", "sale"]), minor=st.sampled_from(NOT_QUITE))
    def begins_with_an_amount_that_is_no_binary_fraction(self, kind: str, minor: int) -> None:
        self._begins(kind, minor, "approve")

    def _begins(self, kind: str, minor: int, scenario: str) -> None:
        amount = self.money(minor)
        command: Command = Authorize(amount=amount, card=VISA, capture=kind == "sale")
        if kind == "credit":
            command = Credit(amount=amount, card=VISA)
        move = self.attempt(command, "", scenario, minor)
        assert move is not None
        move.kind = kind
        self.shop.begin(move, self.clock())

    def _holds(self) -> bool:
        return any(paid.root.kind != "credit" for paid in self.shop.payments)

    def _held(self, which: int) -> Paid:
        found = [paid for paid in self.shop.payments if paid.root.kind != "credit"]
        return found[which % len(found)]

    @precondition(_holds)
    @rule(which=whiches, minor=amounts, whole=st.booleans(), scenario=outcomes)
    def captures(self, which: int, minor: int, whole: bool, scenario: str) -> None:
        paid = self._held(which)
        self._capture(paid, paid.held if whole and paid.held else minor, scenario)

    @precondition(lambda self: any(paid.held > 2 for paid in self.shop.payments))
    @rule(which=whiches)
    def captures_a_third(self, which: int) -> None:
        """Chance alone seldom captures twice."""
        held = [paid for paid in self.shop.payments if paid.held > 2]
        self._capture(held[which % len(held)], held[which % len(held)].held // 3, "approve")

    def _capture(self, paid: Paid, minor: int, scenario: str) -> None:
        now = self.clock() + timedelta(seconds=1)
        command = Capture(target=paid.root.id, amount=self.money(minor))
        self._follow(paid, command, "capture", self.shop.refuse_capture(paid, minor, now), scenario, minor, paid.root)

    @precondition(_holds)
    @rule(which=whiches, minor=amounts, whole=st.booleans(), scenario=outcomes)
    def reverses(self, which: int, minor: int, whole: bool, scenario: str) -> None:
        paid = self._held(which)
        minor = paid.held if whole and paid.held else minor
        now = self.clock() + timedelta(seconds=1)
        refusal = self.shop.refuse_reversal(paid, minor, now)
        command = Reverse(target=paid.root.id, amount=self.money(minor))
        standing = paid.standing(now)
        if standing in ("unknown", "undone by us"):
            minor = paid.root.minor
        told = standing == "undone by us"
        self._follow(paid, command, "reversal", refusal, scenario, minor, paid.root, told=told)

    @precondition(_holds)
    @rule(which=whiches, of=whiches, minor=amounts, whole=st.booleans(), scenario=outcomes)
    def refunds(self, which: int, of: int, minor: int, whole: bool, scenario: str) -> None:
        paid = self._held(which)
        targets = [move for move in paid.all if move.kind in ("authorize", "sale", "capture")]
        target = targets[of % len(targets)]
        minor = target.minor if whole else minor
        now = self.clock() + timedelta(seconds=1)
        refusal = self.shop.refuse_refund(paid, target, minor, now)
        command = Refund(target=target.id, amount=self.money(minor))
        self._follow(paid, command, "refund", refusal, scenario, minor, target)

    @precondition(lambda self: self.shop.payments)
    @rule(which=whiches, of=whiches, scenario=outcomes)
    def voids(self, which: int, of: int, scenario: str) -> None:
        paid = self.pick(which)
        targets = [move for move in paid.all if move.kind not in ("void", "reversal")]
        self._void(paid, targets[of % len(targets)], scenario)

    @precondition(lambda self: any(paid.of("capture") for paid in self.shop.payments))
    @rule(which=whiches)
    def voids_a_capture(self, which: int) -> None:
        captures = [(paid, move) for paid in self.shop.payments for move in paid.of("capture")]
        self._void(*captures[which % len(captures)], "approve")

    def _void(self, paid: Paid, target: Move, scenario: str) -> None:
        now = self.clock() + timedelta(seconds=1)
        refusal = self.shop.refuse_void(paid, target, now)
        is_hold = target.kind == "authorize" and target.status == APPROVED
        told = target is paid.root and paid.standing(now) == "undone by us"
        minor = paid.held if is_hold else target.minor
        self._follow(paid, Void(target=target.id), "void", refusal, scenario, minor, target, told=told)

    def _follow(
        self,
        paid: Paid,
        command: Command,
        kind: str,
        refusal: str,
        scenario: str,
        minor: int,
        target: Move,
        *,
        told: bool = False,
    ) -> None:
        move = self.attempt(command, refusal, scenario, minor, told=told)
        if move is not None:
            move.kind, move.target = kind, target
            self.shop.follow(paid, move)
        self.agree_on(paid)

    # ---- time

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours)

    @rule(hours=st.sampled_from([0, 1, 25]))
    def holds_lapse(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours)
        assert self.stage.run(reversals.expire(self.house.gateway, self.merchant)) == self.shop.expire(self.clock())
        self.agree_on_all()

    @rule(hours=st.sampled_from([0, 6, 13]))
    def the_day_is_cut(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours, seconds=1)
        made = self.stage.run(settlement.settle(self.house.gateway, self.merchant, self.clock()))
        captured, returned, count = self.shop.settle()
        assert [(each.captured, each.returned, each.count) for each in made] == [(captured, returned, count)][
            : bool(count)
        ]
        # Tokyo is nine hours ahead, and its day ends at 23:00.
        day = (self.clock() + timedelta(hours=10)).date()
        assert all(each.business_date == day for each in made), "a batch is of another business day"

    @rule()
    def what_is_unknown_is_cleaned_up(self) -> None:
        self.clock.now += timedelta(minutes=1)
        self.stage.run(self._clean_up())
        for paid in self.shop.payments:
            if paid.root.status == UNKNOWN and paid.root.kind != "credit" and not paid.undoing:
                own = self._gateways_own(paid)
                assert len(own) == 1, "what is unknown is undone, once"
                paid.moves.append(Move(own[0], "reversal", paid.root.minor, APPROVED, paid.root, by_gateway=True))
            self.shop.clean_up(paid)
        self.agree_on_all()

    async def _clean_up(self) -> None:
        """Every job until it is done, as the worker would."""
        database, of = self.house.database, {"merchant_id": self.merchant.id}
        for _ in range(5):
            for job in await Queue(database).all(self.merchant.id):
                until = self.house.clock() + timedelta(minutes=1)
                assert await database.write(ClaimJob(merchant_id=self.merchant.id, job=job, until=until))
                if await reversals.clean_up(self.house.gateway, self.merchant, job.transaction_id):
                    assert await database.write(JobDone(merchant_id=self.merchant.id, id=job.id, until=until))
        assert not await database.read("jobs_of", of), "something stays unknown for ever"

    def _gateways_own(self, paid: Paid) -> list[int]:
        known = {move.id for move in paid.all}
        return [tx.id for tx in self.stored(paid).transactions if tx.id not in known and "by-gateway" in tx.flags]

    # ---- once more, and by somebody else

    @precondition(lambda self: self.done)
    @rule(which=whiches)
    def is_sent_again(self, which: int) -> None:
        """P2: the same key and content have the same answer, whatever has happened since."""
        command, key, body = self.done[which % len(self.done)]
        answer = self.send(command, key)
        assert isinstance(answer, Answer), answer
        assert (answer.is_replay, answer.body) == (True, body)

    @precondition(lambda self: self.done)
    @rule(which=whiches)
    def its_key_is_used_for_something_else(self, which: int) -> None:
        _, key, _ = self.done[which % len(self.done)]
        assert self.send(Authorize(amount=self.money(77), card=VISA, reference="other"), key) is Refusal.KEY_REUSED

    @precondition(lambda self: self.done)
    @rule(which=whiches)
    def a_stranger_tries(self, which: int) -> None:
        """P8: what is another merchant's does not exist."""
        paid, stranger = self.pick(which), self.stranger
        amount = self.money(1)
        for move in paid.all:
            for command in (Capture(target=move.id, amount=amount), Refund(target=move.id, amount=amount)):
                assert self.send(command, "mine", by=stranger) is Refusal.NOT_FOUND
            assert self.send(Void(target=move.id), "mine", by=stranger) is Refusal.NOT_FOUND
            payments = self.house.gateway.payments
            assert self.stage.run(payments.answer(stranger.id, move.id)) is None, "a stranger reads an answer"
            assert self.stage.run(payments.load_payment(stranger.id, move.id)) is None
            assert self.stage.run(payments.entries(stranger.id, move.id)) == []

    # ---- what must hold

    def stored(self, paid: Paid) -> Payment:
        found = self.stage.run(self.house.gateway.payments.load_payment(self.merchant.id, paid.root.id))
        assert found is not None
        return found.payment

    def agree_on(self, paid: Paid) -> None:
        """Status and amount of every transaction, and what is left."""
        payment = self.stored(paid)
        there = {
            tx.id: (tx.status.value, tx.approved if tx.status is Status.APPROVED else 0)
            for tx in payment.transactions
            if tx.operation.value != "expire"
        }
        here = {move.id: (move.status, move.minor if move.status == APPROVED else 0) for move in paid.all}
        assert there == here, "model and gateway disagree"
        if paid.root.kind != "credit":
            assert (payment.held, payment.captured) == (paid.held, paid.captured)
        for move in paid.all:
            if move.kind in ("sale", "capture"):
                assert payment.refunded(move.id) == paid.refunded(move)

    def agree_on_all(self) -> None:
        for paid in self.shop.payments:
            self.agree_on(paid)

    @invariant()
    def the_books_agree(self) -> None:
        values = {"merchant_id": self.merchant.id, "after": 0, "last": 1 << 62}
        found: Counter[str] = Counter()
        for _transaction, _line, account, _currency, minor, _at in self.stage.run(
            self.house.database.read("entries_between", values)
        ):
            found[account] += minor
        shop = self.shop
        told = [found[name] for name in ("held-by-issuers", "acquirer", "acquirer-due")]
        assert told == [shop.H, shop.C, shop.D]
        mirror = [found[name] for name in ("authorized", "merchant", "merchant-due")]
        assert mirror == [-shop.H, -shop.C, -shop.D]

    def teardown(self) -> None:
        self.agree_on_all()
