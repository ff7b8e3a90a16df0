"""Subscriptions: dates by the calendar, states by the table, and no period charged twice or left out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.payment.lifecycle import Operation, Payment, Reason, Status, Transaction
from kessai.payment.merchant import Terms
from kessai.payment.money import Currency, Money
from kessai.payment.plan import (
    Billing,
    Change,
    Obstacle,
    Plan,
    PlanState,
    Unit,
    amend_plan,
    may_delete,
    plus,
    switch_plan,
)
from kessai.payment.subscription import (
    DECLINES,
    FINAL,
    RUNNING,
    TABLE,
    Result,
    State,
    Subscription,
    activate,
    amend,
    cancel,
    charged,
    due_charge,
    due_of,
    follow_plan,
    missed_until,
    next_charge,
    result_of,
    skip,
    suspend,
    upcoming,
    verified,
)

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
TERMS = Terms()
MONTHLY = Billing(unit=Unit.MONTH, length=1, currency="USD", amount=1_000, setup_fee=200, cycles=12)


def made(**changes: object) -> Subscription:
    values: dict[str, object] = {
        "id": 7,
        "code": "KES-1",
        "name": "Monthly box",
        "customer": "C24F",
        "billing": MONTHLY,
        "created_at": START,
        "starts_at": START,
        "anchor_at": START,
        "due_at": START,
    }
    return Subscription(**(values | changes))  # type: ignore[arg-type]


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {"id": 9, "code": "1", "name": "Gold", "billing": MONTHLY, "created_at": START}
    return Plan(**(values | changes))  # type: ignore[arg-type]


# ---- dates


@pytest.mark.parametrize(
    ("start", "unit", "length", "dates"),
    [
        ("2026-01-31", Unit.MONTH, 1, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        ("2028-01-31", Unit.MONTH, 1, ["2028-01-31", "2028-02-29", "2028-03-31"]),
        ("2026-08-31", Unit.MONTH, 6, ["2026-08-31", "2027-02-28", "2027-08-31"]),
        ("2026-11-30", Unit.MONTH, 3, ["2026-11-30", "2027-02-28", "2027-05-30"]),
        ("2028-02-29", Unit.YEAR, 1, ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        ("2026-12-30", Unit.WEEK, 2, ["2026-12-30", "2027-01-13", "2027-01-27"]),
        ("2026-02-27", Unit.DAY, 1, ["2026-02-27", "2026-02-28", "2026-03-01"]),
        ("2026-12-15", Unit.MONTH, 1, ["2026-12-15", "2027-01-15"]),
    ],
)
def test_due_dates(start: str, unit: Unit, length: int, dates: list[str]) -> None:
    instant = datetime.fromisoformat(f"{start}T10:00:00+00:00")
    found = made(anchor_at=instant, billing=replace(MONTHLY, unit=unit, length=length))
    assert [f"{due_of(found, period):%Y-%m-%d}" for period in range(1, len(dates) + 1)] == dates


@given(
    seconds=st.integers(946_684_800, 4_102_444_799),
    unit=st.sampled_from(Unit),
    length=st.integers(1, 36),
    period=st.integers(1, 120),
)
def test_due_dates_grow_keep_the_time_of_day_and_never_drift(
    seconds: int, unit: Unit, length: int, period: int
) -> None:
    start = datetime.fromtimestamp(seconds, UTC)
    found = made(anchor_at=start, billing=replace(MONTHLY, unit=unit, length=length))
    this, after = due_of(found, period), due_of(found, period + 1)
    assert this < after
    assert this.timetz() == start.timetz()
    if unit in (Unit.MONTH, Unit.YEAR):
        assert this.day == start.day or (this + timedelta(days=1)).day == 1
    assert plus(start, unit, (period - 1) * length) == this


# ---- charging


def test_the_setup_fee_goes_with_the_first_period() -> None:
    first = next_charge(made())
    assert (first.amount, first.setup_fee) == (Money(1_200, Currency.of("USD")), 200)
    second = next_charge(charged(made(), Result.PAID, START, TERMS))
    assert (second.amount.minor, second.setup_fee, second.period) == (1_000, 0, 2)


def test_nothing_is_due_before_its_time_or_out_of_a_running_state() -> None:
    assert due_charge(made(), START - timedelta(seconds=1)) is None
    for state in State:
        assert (due_charge(made(state=state), START) is not None) == (state in RUNNING)


SCRIPTS = [
    ("paid at once", {}, [Result.PAID], State.ACTIVE, 2, 1),
    ("the last cycle", {"billing": replace(MONTHLY, cycles=1)}, [Result.PAID], State.COMPLETED, 1, 1),
    ("without an end", {"billing": replace(MONTHLY, cycles=None)}, [Result.PAID] * 30, State.ACTIVE, 31, 30),
    ("declined for now", {"paid": 1, "period": 2}, [Result.SOFT], State.DELINQUENT, 2, 1),
    ("recovered", {"paid": 1, "period": 2}, [Result.SOFT, Result.PAID], State.ACTIVE, 3, 2),
    ("declined too often", {"paid": 1, "period": 2}, [Result.SOFT] * 4, State.SUSPENDED, 2, 1),
    ("declined for good", {"paid": 1, "period": 2}, [Result.HARD], State.SUSPENDED, 2, 1),
    ("never paid, for good", {}, [Result.HARD], State.FAILED, 1, 0),
    ("never paid, for now", {}, [Result.SOFT], State.DELINQUENT, 1, 0),
    ("nothing came of it", {"paid": 1, "period": 2}, [Result.NOTHING] * 24, State.ACTIVE, 2, 1),
    ("nothing ever comes of it", {"paid": 1, "period": 2}, [Result.NOTHING] * 25, State.DELINQUENT, 2, 1),
    ("nothing, then paid", {"paid": 1, "period": 2}, [Result.NOTHING, Result.PAID], State.ACTIVE, 3, 2),
    ("created while nobody was there", {"at_once": True}, [Result.NOTHING], State.FAILED, 1, 0),
    ("created to start at once", {"at_once": True}, [Result.SOFT], State.FAILED, 1, 0),
]


@pytest.mark.parametrize(("changes", "results", "state", "period", "paid"), [row[1:] for row in SCRIPTS])
def test_what_becomes_of_it(
    changes: dict[str, object], results: list[Result], state: State, period: int, paid: int
) -> None:
    found = made(**({"state": State.ACTIVE} if "paid" in changes else {}) | changes)
    for result in results:
        found = charged(found, result, START, TERMS)
    assert (found.state, found.period, found.paid) == (state, period, paid)
    assert (found.due_at is None) == (state not in RUNNING)


@pytest.mark.parametrize(
    ("setting", "state", "missed"),
    [("suspend", State.SUSPENDED, ()), ("cancel", State.CANCELLED, ()), ("continue", State.ACTIVE, (2,))],
)
def test_exhaustion_is_a_setting(setting: str, state: State, missed: tuple[int, ...]) -> None:
    terms = Terms(recurring_retries=0, recurring_exhausted=setting)  # type: ignore[arg-type]
    found = charged(made(paid=1, period=2), Result.SOFT, START, terms)
    assert (found.state, found.missed) == (state, missed)


def test_a_retry_is_due_some_days_after_the_try_and_has_a_number_of_its_own() -> None:
    found = charged(made(paid=1, period=2), Result.SOFT, START, Terms(recurring_retry_days=5))
    assert (found.due_at, found.attempt, found.retries) == (START + timedelta(days=5), 2, 1)


def test_stopped_while_it_was_charged_it_stays_so_and_the_payment_counts() -> None:
    for state in (State.SUSPENDED, State.CANCELLED):
        found = charged(made(state=state), Result.PAID, START, TERMS)
        assert (found.state, found.paid, found.period, found.due_at) == (state, 1, 2, None)
        declined = charged(made(state=state), Result.HARD, START, TERMS)
        assert (declined.state, declined.attempt, declined.due_at) == (state, 2, None)


ACTS = st.lists(
    st.sampled_from(
        ["paid", "soft", "hard", "nothing", "suspend", "resume", "pass", "cancel", "month", "skip", "amend"]
    ),
    max_size=60,
)


@given(acts=ACTS, cycles=st.one_of(st.none(), st.integers(1, 24)))
def test_whatever_happens_no_try_comes_twice_and_every_state_follows_from_the_table(
    acts: list[str], cycles: int | None
) -> None:
    found, now = made(billing=replace(MONTHLY, cycles=cycles)), START
    tried: set[tuple[int, int]] = set()
    paid: list[int] = []
    for act in acts:
        before = found
        match act:
            case "paid" | "soft" | "hard" | "nothing":
                charge = due_charge(found, now)
                if charge is not None:
                    assert (charge.period, charge.attempt) not in tried
                    assert charge.period not in (*paid, *found.missed, *found.skips)
                    assert charge.due_at <= now
                    tried.add((charge.period, charge.attempt))
                    paid += [charge.period] if act == "paid" else []
                    found = charged(found, Result(act), now, TERMS)
            case "suspend" | "cancel" | "resume" | "pass":
                rule = {"suspend": suspend, "cancel": cancel}.get(act)
                done = rule(found) if rule else activate(found, now, charge_missed=act == "resume")
                found = found if isinstance(done, Obstacle) else done
            case "skip":
                skipped = skip(found, (found.period + 2,))
                found = found if isinstance(skipped, Obstacle) else skipped
            case "amend":
                changed = amend(found, Change(amount=500), now)
                found = found if isinstance(changed, Obstacle) else changed
            case _:
                now += timedelta(days=31)
        if before.state in FINAL:
            assert found == before
        if found.state is not before.state:
            allowed = {(b, to) for states, _, to in TABLE for b in states} | {(State.SUSPENDED, State.COMPLETED)}
            assert (before.state, found.state) in allowed
        assert found.state in RUNNING or found.due_at is None
        assert found.paid == len(paid) == len(set(paid))
        assert cycles is None or found.paid + len(found.missed) <= cycles


# ---- outcomes


def test_every_reason_is_hard_or_soft() -> None:
    assert set(DECLINES) == set(Reason)
    assert DECLINES[Reason.INSUFFICIENT_FUNDS] is Result.SOFT
    assert DECLINES[Reason.STOLEN_OR_LOST] is Result.HARD


def payment(status: Status, *, undone: bool = False, **more: object) -> Payment:
    usd = Money(1_000, Currency.of("USD"))
    sale = Transaction(
        id=1,
        payment_id=1,
        operation=Operation.SALE,
        requested=usd,
        requested_at=START,
        status=status,
        **more,  # type: ignore[arg-type]
    )
    undo = Transaction(
        id=2,
        payment_id=1,
        operation=Operation.REVERSAL,
        requested=usd,
        requested_at=START,
        status=Status.APPROVED,
        target=1,
    )
    return Payment(merchant_id="m", id=1, transactions=(sale, undo) if undone else (sale,))


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (payment(Status.APPROVED), Result.PAID),
        (payment(Status.DECLINED, reason=Reason.OVER_LIMIT), Result.SOFT),
        (payment(Status.DECLINED, reason=Reason.INVALID_ACCOUNT), Result.HARD),
        (payment(Status.DECLINED, reason=Reason.OVER_LIMIT, facts={"insight_category": "01"}), Result.HARD),
        (payment(Status.FAILED), Result.NOTHING),
        (payment(Status.PENDING), None),
        (payment(Status.UNKNOWN), None),
        (payment(Status.UNKNOWN, undone=True), Result.NOTHING),
    ],
)
def test_what_a_payment_says_of_its_charge(found: Payment, result: Result | None) -> None:
    assert result_of(found) is result


# ---- changes


def test_activated_what_was_missed_is_charged_or_passed_over() -> None:
    stopped = suspend(made(paid=1, period=2))
    assert isinstance(stopped, Subscription)
    now = START + timedelta(days=100)
    assert list(missed_until(stopped, now)) == [2, 3, 4]
    charging = activate(stopped, now, charge_missed=True)
    assert isinstance(charging, Subscription)
    assert (charging.state, charging.period, charging.due_at) == (State.ACTIVE, 2, due_of(stopped, 2))
    passing = activate(stopped, now, charge_missed=False)
    assert isinstance(passing, Subscription)
    assert (passing.period, passing.missed, passing.due_at) == (5, (2, 3, 4), due_of(stopped, 5))
    early = activate(replace(stopped, paid=0, period=1, starts_at=now, anchor_at=now), START, charge_missed=True)
    assert isinstance(early, Subscription)
    assert early.state is State.PENDING
    assert activate(made(), now, charge_missed=True) is Obstacle.NOT_SUSPENDED


def test_another_plan_begins_now_and_brings_its_own_cycles() -> None:
    yearly = plan(billing=replace(MONTHLY, unit=Unit.YEAR, amount=9_000, cycles=2))
    now = START + timedelta(days=40)
    found = amend(made(state=State.ACTIVE, paid=2, period=3, plan_id=1), Change(plan=yearly), now)
    assert isinstance(found, Subscription)
    assert (found.due_at, due_of(found, 3), due_of(found, 4)) == (now, now, plus(now, Unit.YEAR, 1))
    assert (found.billing.cycles, list(upcoming(found, 9))) == (4, [3, 4])
    closed = replace(yearly, state=PlanState.INACTIVE)
    assert amend(made(), Change(plan=closed), now) is Obstacle.PLAN_NOT_ACTIVE


@pytest.mark.parametrize(
    ("changes", "change", "obstacle"),
    [
        ({"state": State.CANCELLED}, Change(name="x"), Obstacle.WRONG_STATE),
        ({}, Change(cycles=11), Obstacle.FEWER_CYCLES),
        ({"state": State.ACTIVE}, Change(starts_at=START + timedelta(days=9)), Obstacle.STARTED),
        ({}, Change(starts_at=START), Obstacle.PAST_START),
    ],
)
def test_what_cannot_be_changed(changes: dict[str, object], change: Change, obstacle: Obstacle) -> None:
    assert amend(made(**changes), change, START) is obstacle


def test_a_start_is_moved_with_everything_behind_it() -> None:
    later = START + timedelta(days=9)
    found = amend(made(), Change(starts_at=later, amount=5, cycles=13, name="New"), START)
    assert isinstance(found, Subscription)
    assert (found.due_at, due_of(found, 1), found.billing.amount, found.name) == (later, later, 5, "New")


def test_skipped_periods_are_passed_over_and_count() -> None:
    found = skip(made(billing=replace(MONTHLY, cycles=4)), (3, 4))
    assert isinstance(found, Subscription)
    assert list(upcoming(found, 9)) == [1, 2]
    ended = charged(charged(found, Result.PAID, START, TERMS), Result.PAID, START, TERMS)
    assert ended.state is State.COMPLETED
    assert skip(found, (1,)) is Obstacle.PAST_CYCLE
    assert skip(found, (5,)) is Obstacle.PAST_CYCLE
    assert skip(made(state=State.FAILED), (3,)) is Obstacle.WRONG_STATE


def test_a_card_that_is_not_good_fails_a_subscription_before_it_starts() -> None:
    assert verified(made(), is_good=True) == made()
    assert verified(made(), is_good=False).state is State.FAILED


# ---- plans


def test_plans_go_from_draft_to_active_and_back_and_forth() -> None:
    draft = plan(state=PlanState.DRAFT)
    assert switch_plan(draft, PlanState.INACTIVE) is Obstacle.PLAN_IN_STATE
    active = switch_plan(draft, PlanState.ACTIVE)
    assert isinstance(active, Plan)
    assert switch_plan(active, PlanState.ACTIVE) is Obstacle.PLAN_IN_STATE
    assert isinstance(switch_plan(active, PlanState.INACTIVE), Plan)


@pytest.mark.parametrize(
    ("state", "change", "answer"),
    [
        (PlanState.DRAFT, Change(unit=Unit.YEAR, cycles=1, code="2"), None),
        (PlanState.ACTIVE, Change(name="Silver", amount=5, cycles=13, unit=Unit.MONTH, code="1"), None),
        (PlanState.ACTIVE, Change(unit=Unit.YEAR), Obstacle.PLAN_FIXED),
        (PlanState.ACTIVE, Change(currency="JPY"), Obstacle.PLAN_FIXED),
        (PlanState.ACTIVE, Change(code="2"), Obstacle.PLAN_FIXED),
        (PlanState.ACTIVE, Change(cycles=1), Obstacle.FEWER_CYCLES),
        (PlanState.INACTIVE, Change(name="Silver"), Obstacle.PLAN_INACTIVE),
    ],
)
def test_what_of_a_plan_can_be_changed(state: PlanState, change: Change, answer: Obstacle | None) -> None:
    after = amend_plan(plan(state=state), change)
    assert (after if isinstance(after, Obstacle) else None) is answer


def test_a_plan_is_followed_by_what_is_not_at_its_end() -> None:
    dearer = plan(name="Gold+", billing=replace(MONTHLY, amount=1_500, cycles=24))
    followed = follow_plan(made(), dearer)
    assert (followed.billing.amount, followed.billing.cycles, followed.plan_name) == (1_500, 24, "Gold+")
    assert follow_plan(made(state=State.COMPLETED), dearer).billing == MONTHLY


def test_a_plan_that_was_ever_subscribed_to_stays() -> None:
    assert may_delete(plan(state=PlanState.DRAFT, was_subscribed=True))
    assert may_delete(plan())
    assert not may_delete(plan(was_subscribed=True))
