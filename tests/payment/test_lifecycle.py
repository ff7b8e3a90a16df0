"""The table of what may follow what, held against every pair; and what must be true of any history."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kessai.ledger import Account, balances, entries, is_balanced
from kessai.payment.authorize import Authorize, Increment
from kessai.payment.capture import Capture
from kessai.payment.credit import Credit
from kessai.payment.echeck import Echeck
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
    conclude,
)
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.transitions import FOLLOWING, TABLE, State, state_of
from kessai.payment.void import Void
from tests.payment.histories import ACCOUNT, LENIENT, NOON, STRICT, VISA, History, authorized, usd

PRE = frozenset({"pre"})


def in_state(state: State) -> tuple[History, int]:  # noqa: PLR0915 # one case a state
    """A history with a transaction in a state, and that transaction's id."""
    history = authorized(10_000, flags=PRE)
    target = history.root.id
    match state:
        case State.AUTHORIZED:
            pass
        case State.VERIFIED:
            history = authorized(0, flags=PRE)
        case State.IN_REVIEW | State.RISK_REJECTED:
            reason = Reason.RISK_REVIEW if state is State.IN_REVIEW else Reason.RISK_REJECT
            history = History()
            history.do(Authorize(amount=usd(10_000), card=VISA, flags=PRE), Approved(amount=usd(10_000), review=reason))
        case State.APPROVED_IN_PART:
            history = History()
            history.do(Authorize(amount=usd(10_000), card=VISA, flags=PRE), Approved(amount=usd(4_000)))
        case State.PARTLY_CAPTURED:
            history.do(Capture(target=target, amount=usd(4_000)))
        case State.CAPTURED | State.CAPTURED_AND_SETTLED:
            history.do(Capture(target=target, amount=usd(10_000)))
        case State.CAPTURE_VOIDED | State.CAPTURE_UNDONE:
            captured = history.do(Capture(target=target, amount=usd(10_000)))
            assert isinstance(captured, Transaction)
            history.do(Void(target=captured.id))
            target = captured.id if state is State.CAPTURE_UNDONE else target
        case State.REVERSED:
            history.do(Reverse(target=target, amount=usd(10_000)))
        case State.EXPIRED:
            history.now = NOON + timedelta(days=181)
        case State.DECLINED | State.DECLINED_CAPTURABLE:
            reason = Reason.GENERAL_DECLINE if state is State.DECLINED else Reason.DECLINED_CAPTURE_POSSIBLE
            history = History()
            history.do(Authorize(amount=usd(10_000), card=VISA, flags=PRE), Declined(reason=reason))
        case State.UNKNOWN | State.UNKNOWN_UNDONE:
            history = History()
            history.do(Authorize(amount=usd(10_000), card=VISA, flags=PRE), Unknown("silence"))
            if state is State.UNKNOWN_UNDONE:
                history.do(Reverse(target=target, flags=frozenset({"by-gateway"})))
        case State.SALE | State.SALE_SETTLED | State.SALE_VOIDED:
            history = History()
            history.do(Authorize(amount=usd(10_000), card=VISA, capture=True, flags=PRE))
            if state is State.SALE_VOIDED:
                history.do(Void(target=target))
        case State.DEBIT | State.DEBIT_SETTLED | State.DEBIT_VOIDED:
            history = History()
            history.do(Echeck(amount=usd(10_000), account=ACCOUNT, flags=PRE))
            if state is State.DEBIT_VOIDED:
                history.do(Void(target=target))
        case State.CAPTURE | State.CAPTURE_SETTLED:
            captured = history.do(Capture(target=target, amount=usd(10_000)))
            assert isinstance(captured, Transaction)
            target = captured.id
        case State.RETURN | State.RETURN_SETTLED | State.RETURN_UNDONE:
            history = History()
            history.do(Credit(amount=usd(10_000), card=VISA))
            if state is State.RETURN_UNDONE:
                history.do(Void(target=target))
        case State.MOVEMENT_UNKNOWN:
            captured = history.do(Capture(target=target, amount=usd(10_000)), Unknown("cut"))
            assert isinstance(captured, Transaction)
            target = captured.id
        case State.FINAL:
            reversal = history.do(Reverse(target=target, amount=usd(10_000)))
            assert isinstance(reversal, Transaction)
            target = reversal.id
    if state.name.endswith("SETTLED"):
        history.settle()
    return history, target


COMMANDS: dict[Operation, Callable[[int], Command]] = {
    Operation.CAPTURE: lambda target: Capture(target=target, amount=usd(100)),
    Operation.REVERSAL: lambda target: Reverse(target=target, amount=usd(100)),
    Operation.VOID: lambda target: Void(target=target),
    Operation.REFUND: lambda target: Refund(target=target, amount=usd(100)),
    Operation.INCREMENT: lambda target: Increment(target=target, amount=usd(100)),
}
ON_ROOT = {Operation.CAPTURE, Operation.REVERSAL, Operation.INCREMENT}


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached_and_is_recognized(state: State) -> None:
    history, target = in_state(state)
    assert history.payment is not None
    transaction = history.payment.find(target)
    assert transaction is not None
    assert state_of(history.payment, transaction, history.now) is state


@pytest.mark.parametrize("operation", FOLLOWING)
@pytest.mark.parametrize("state", State)
def test_every_pair_is_allowed_or_refused_as_the_table_says(state: State, operation: Operation) -> None:
    """T-13."""
    history, target = in_state(state)
    assert history.payment is not None
    if operation in ON_ROOT and target != history.root.id:
        assert TABLE[state][operation] is Refusal.WRONG_KIND  # these are asked of a payment only
        return
    answer = history.do(COMMANDS[operation](target))
    refusal = TABLE[state][operation]
    if refusal is not None:
        assert answer is refusal
    elif state is State.VERIFIED and operation is Operation.REVERSAL:
        assert answer is Refusal.EXCEEDS_HOLD  # allowed, but not for more than nothing
    else:
        assert isinstance(answer, Transaction)
        assert answer.status is Status.APPROVED


def test_open_operations_count_as_done() -> None:
    """Two captures under way can never both win what only one of them can have."""
    history = authorized(10_000)
    first = history.begin(Capture(target=1, amount=usd(6_000)))
    assert isinstance(first, Transaction)
    assert history.begin(Capture(target=1, amount=usd(6_000))) is Refusal.EXCEEDS_AUTHORIZATION
    assert history.begin(Reverse(target=1, amount=usd(5_000))) is Refusal.EXCEEDS_HOLD
    history.end(first, Declined(reason=Reason.GENERAL_DECLINE))
    assert isinstance(history.do(Reverse(target=1, amount=usd(10_000))), Transaction)


def test_a_capture_may_exceed_where_it_is_tolerated_but_only_while_something_is_left() -> None:
    history = authorized(10_000, LENIENT)
    captured = history.do(Capture(target=1, amount=usd(15_000)))
    assert isinstance(captured, Transaction)
    assert history.do(Capture(target=1, amount=usd(1))) is Refusal.ALREADY_CAPTURED
    assert captured.hold == 10_000


def test_a_partially_approved_or_doubtful_sale_is_not_captured() -> None:
    for outcome in (Approved(amount=usd(4_000)), Approved(amount=usd(10_000), facts={"avs_code": "N"})):
        history = History()
        done = history.do(Authorize(amount=usd(10_000), card=VISA, capture=True), outcome)
        assert isinstance(done, Transaction)
        assert done.operation is Operation.AUTHORIZE
        assert "capture-skipped" in done.flags


def test_only_an_explicit_approval_is_an_approval() -> None:
    transaction = History().begin(Authorize(amount=usd(10_000), card=VISA))
    assert isinstance(transaction, Transaction)
    for outcome, status in (
        (Unknown("silence"), Status.UNKNOWN),
        (Failed(reason=Reason.SYSTEM_ERROR), Status.FAILED),
        (Declined(reason=Reason.GENERAL_DECLINE), Status.DECLINED),
    ):
        done = conclude(transaction, outcome, NOON, frozenset())
        assert (done.status, done.approved) == (status, 0)


@pytest.mark.parametrize(
    ("minor", "refusal"),
    [(0, Refusal.AMOUNT_NOT_POSITIVE), (10_001, Refusal.EXCEEDS_AUTHORIZATION)],
)
def test_captures_outside_of_the_authorization_are_refused(minor: int, refusal: Refusal) -> None:
    assert authorized(10_000).do(Capture(target=1, amount=usd(minor))) is refusal


def test_what_was_returned_cannot_be_voided_as_well() -> None:
    history = authorized(10_000)
    captured = history.do(Capture(target=1, amount=usd(10_000)))
    assert isinstance(captured, Transaction)
    returned = history.do(Refund(target=captured.id, amount=usd(1)))
    assert isinstance(returned, Transaction)
    assert history.do(Void(target=captured.id)) is Refusal.NOT_VOIDABLE
    history.do(Void(target=returned.id))
    assert isinstance(history.do(Void(target=captured.id)), Transaction)


outcomes = st.sampled_from(["approve", "decline", "fail", "unknown", "open"])
steps = st.lists(
    st.tuples(st.sampled_from(["capture", "reverse", "void", "refund", "increment"]), st.integers(0, 9_000), outcomes),
    max_size=14,
)


def _command(history: History, step: str, minor: int) -> Command:
    assert history.payment is not None
    some = history.payment.transactions[minor % len(history.payment.transactions)]
    match step:
        case "capture":
            return Capture(target=1, amount=usd(minor))
        case "reverse":
            return Reverse(target=1, amount=usd(minor))
        case "void":
            return Void(target=some.id)
        case "increment":
            return Increment(target=1, amount=usd(minor))
        case _:
            return Refund(target=some.id, amount=usd(minor))


def _outcome(name: str, transaction: Transaction) -> Outcome:
    match name:
        case "approve":
            return Approved(amount=transaction.requested)
        case "decline":
            return Declined(reason=Reason.GENERAL_DECLINE)
        case "fail":
            return Failed(reason=Reason.SYSTEM_ERROR)
        case _:
            return Unknown("silence")


@settings(max_examples=1_000, deadline=None)
@given(steps)
def test_no_history_moves_more_than_was_authorized_and_the_books_balance_at_every_step(
    plan: list[tuple[str, int, str]],
) -> None:
    """P4, P5, T-12: captured <= authorized, refunded <= captured, holds never negative, zero sum at every prefix."""
    history = authorized(5_000, STRICT, flags=PRE)
    assert history.payment is not None
    lines = list(entries(history.payment, history.root))
    for step, minor, outcome in plan:
        begun = history.begin(_command(history, step, minor))
        if isinstance(begun, Transaction):
            done = begun
            if begun.is_open and outcome != "open":
                done = history.end(begun, _outcome(outcome, begun))
            lines += entries(history.payment, done)
        payment = history.payment
        assert payment.captured + payment.released <= payment.authorized
        for capture in payment.followers(Operation.CAPTURE):
            assert payment.refunded(capture.id) <= capture.effective
        assert is_balanced(lines)
        sums = balances(lines)
        hold = sums.get((Account.HELD_BY_ISSUERS, "USD"), 0)
        collected = sums.get((Account.ACQUIRER, "USD"), 0)
        assert hold >= 0
        assert collected >= 0
        if not any(tx.is_open for tx in payment.transactions):
            assert hold == payment.held
