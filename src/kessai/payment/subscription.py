"""Subscriptions: the next charge, and what becomes of a subscription when a charge is paid or declined. Pure.

A subscription stands at one period, which is charged in one or more tries. Due dates are counted from where the
schedule was anchored, never from the last charge: what starts on the 31st of January is due on the 28th of February and
again on the 31st of March. Months are counted in UTC.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai.payment.lifecycle import Operation, Payment, Reason, Status
from kessai.payment.merchant import Terms
from kessai.payment.money import Money
from kessai.payment.plan import AMOUNTS, Billing, Change, Obstacle, Plan, PlanState, given, plus


class State(Enum):
    PENDING = "PENDING"
    """Its start lies ahead."""
    ACTIVE = "ACTIVE"
    DELINQUENT = "DELINQUENT"
    """A charge was declined, and is tried again."""
    SUSPENDED = "SUSPENDED"
    """Nothing is charged until somebody activates it."""
    FAILED = "FAILED"
    """It never came to its first payment."""
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


RUNNING: Final = frozenset({State.PENDING, State.ACTIVE, State.DELINQUENT})
"""States in which a subscription is charged when it is due."""
FINAL: Final = frozenset({State.FAILED, State.COMPLETED, State.CANCELLED})


class Event(Enum):
    """What happens to a subscription. The value is what people read."""

    CREATED_LATER = "created, to start later"
    CREATED_PAID = "created to start at once, first charge paid"
    CREATED_DECLINED = "created, first charge or verification declined"
    PAID = "a charge is paid, more are to come"
    LAST_PAID = "the last charge is paid"
    SOFT = "a charge is declined and will be tried again"
    NEVER_PAID = "the first charge is declined for good"
    EXHAUSTED_SUSPEND = "declined for good or too often, `recurring_exhausted` is `suspend`"
    EXHAUSTED_CANCEL = "declined for good or too often, `recurring_exhausted` is `cancel`"
    EXHAUSTED_CONTINUE = "declined for good or too often, `recurring_exhausted` is `continue`"
    SUSPEND = "suspended"
    ACTIVATE = "activated"
    ACTIVATE_EARLY = "activated before its start"
    CANCEL = "cancelled"


TABLE: Final[tuple[tuple[frozenset[State], Event, State], ...]] = (
    (frozenset(), Event.CREATED_LATER, State.PENDING),
    (frozenset(), Event.CREATED_PAID, State.ACTIVE),
    (frozenset(), Event.CREATED_DECLINED, State.FAILED),
    (RUNNING, Event.PAID, State.ACTIVE),
    (RUNNING, Event.LAST_PAID, State.COMPLETED),
    (RUNNING, Event.SOFT, State.DELINQUENT),
    (RUNNING, Event.NEVER_PAID, State.FAILED),
    (RUNNING, Event.EXHAUSTED_SUSPEND, State.SUSPENDED),
    (RUNNING, Event.EXHAUSTED_CANCEL, State.CANCELLED),
    (RUNNING, Event.EXHAUSTED_CONTINUE, State.ACTIVE),
    (RUNNING, Event.SUSPEND, State.SUSPENDED),
    (frozenset({State.SUSPENDED}), Event.ACTIVATE, State.ACTIVE),
    (frozenset({State.SUSPENDED}), Event.ACTIVATE_EARLY, State.PENDING),
    (RUNNING | {State.SUSPENDED}, Event.CANCEL, State.CANCELLED),
)
"""From which states, by what, to which state; from nothing: a new one."""
_TO: Final[Mapping[Event, tuple[frozenset[State], State]]] = {event: (before, to) for before, event, to in TABLE}


class Subscription(Struct, frozen=True, kw_only=True):
    """A subscription as it stands. Times are business times of its merchant, aware UTC."""

    id: int
    code: str
    name: str
    customer: str
    """The id of the customer token that pays."""
    billing: Billing
    created_at: datetime
    starts_at: datetime
    state: State = State.PENDING
    reference: str = ""
    plan_id: int | None = None
    plan_code: str = ""
    plan_name: str = ""
    first_name: str = ""
    last_name: str = ""
    anchor_at: datetime
    """When the period `anchor` is due; the others are counted from it."""
    anchor: int = 1
    period: int = 1
    """The period that is charged next."""
    attempt: int = 1
    """Which try at this period is the next one; counted for ever, so that no two tries share a number."""
    retries: int = 0
    """How often this period was tried again since it was due, or since the subscription was activated."""
    failures: int = 0
    """How many tries in a row came to nothing."""
    paid: int = 0
    missed: tuple[int, ...] = ()
    """Periods that were passed over without a payment."""
    skips: tuple[int, ...] = ()
    """Periods that are not to be charged."""
    due_at: datetime | None = None
    """When the next try is due; None: nothing is."""
    at_once: bool = False
    """Whether its first charge belongs to its creation, and decides about it."""
    original: str = ""
    """The network's id of the payment by which the cardholder agreed."""
    original_amount: str = ""
    description: str = ""
    """What its plan is, in words."""
    trial_unit: str = ""
    """Unit of the time before its first payment, in the wire's word; empty: there was none."""
    trial_length: int = 0
    kept: Mapping[str, object] = {}
    """Members that its wire keeps with each of its payments."""
    version: int = 0


class Charge(Struct, frozen=True, kw_only=True):
    """One try at one period."""

    period: int
    attempt: int
    amount: Money
    setup_fee: int
    due_at: datetime


class Result(Enum):
    PAID = "paid"
    SOFT = "soft"
    """Declined, and another day may bring another answer."""
    HARD = "hard"
    """Declined, and the same card will not be accepted again."""
    NOTHING = "nothing"
    """Nobody said no: the acquirer could not be reached, or its answer was lost and the charge undone."""


DECLINES: Final[Mapping[Reason, Result]] = {
    **dict.fromkeys(Reason, Result.SOFT),
    Reason.EXPIRED_CARD: Result.HARD,
    Reason.STOLEN_OR_LOST: Result.HARD,
    Reason.CARD_NOT_PERMITTED: Result.HARD,
    Reason.ON_NEGATIVE_LIST: Result.HARD,
    Reason.ACCOUNT_FROZEN: Result.HARD,
    Reason.BLOCKED_BY_CARDHOLDER: Result.HARD,
    Reason.INVALID_ACCOUNT: Result.HARD,
    Reason.AUTHENTICATION_REQUIRED: Result.HARD,
    Reason.AUTHENTICATION_FAILED: Result.HARD,
    Reason.RISK_REJECT: Result.HARD,
    Reason.WATCHLIST_MATCH: Result.HARD,
}
"""Why a charge was not paid, to whether trying again makes sense: a card that is gone, barred or not the cardholder's
stays so, and nobody is there to be authenticated."""
AGAIN_AFTER: Final = timedelta(hours=1)
"""When a charge of which nothing came is made again; it uses up no retry."""
MOST_FAILURES: Final = 24
"""So many of them in a row count as a decline."""
NEVER_APPROVE: Final = "01"
"""The issuer's own word that it will never approve (the fact `insight_category`)."""


def result_of(payment: Payment) -> Result | None:
    """What became of a charge; None while nobody can say. An unknown one counts once it was undone."""
    root = payment.root
    match root.status:
        case Status.APPROVED:
            return Result.PAID
        case Status.FAILED:
            return Result.NOTHING
        case Status.DECLINED:
            if root.facts.get("insight_category") == NEVER_APPROVE:
                return Result.HARD
            return DECLINES[root.reason or Reason.GENERAL_DECLINE]
        case _:
            undoing = [*payment.followers(Operation.REVERSAL), *payment.followers(Operation.VOID, root.id)]
            return Result.NOTHING if any(tx.status is Status.APPROVED for tx in undoing) else None


# ---- dates


def due_of(subscription: Subscription, period: int) -> datetime:
    """When a period is due, which is when it begins."""
    billing = subscription.billing
    return plus(subscription.anchor_at, billing.unit, (period - subscription.anchor) * billing.length)


def following(subscription: Subscription, period: int) -> int | None:
    """The first period after another that is charged; None when there is none."""
    skips, cycles = subscription.skips, subscription.billing.cycles
    period += 1
    while period in skips:
        period += 1
    return period if cycles is None or period <= cycles else None


def upcoming(subscription: Subscription, most: int) -> Iterator[int]:
    """The periods that will be charged, the present one first."""
    period: int | None = subscription.period
    while period is not None and most > 0:
        yield period
        period, most = following(subscription, period), most - 1


# ---- charging


def due_charge(subscription: Subscription, now: datetime) -> Charge | None:
    """What is to be charged now; None when nothing is."""
    if subscription.state not in RUNNING or subscription.due_at is None or subscription.due_at > now:
        return None
    return next_charge(subscription)


def next_charge(subscription: Subscription) -> Charge:
    billing = subscription.billing
    fee = billing.setup_fee if subscription.period == 1 else 0
    return Charge(
        period=subscription.period,
        attempt=subscription.attempt,
        amount=billing.money(billing.amount_of(subscription.period) + billing.surcharge + fee),
        setup_fee=fee,
        due_at=due_of(subscription, subscription.period),
    )


def charged(subscription: Subscription, result: Result, now: datetime, terms: Terms) -> Subscription:
    """A subscription after the try at which it stood. One that was suspended or cancelled meanwhile stays so."""
    if result is Result.PAID:
        return _go_on(replace(subscription, paid=subscription.paid + 1), Event.PAID, Event.LAST_PAID)
    tried = replace(subscription, attempt=subscription.attempt + 1)
    if subscription.state not in RUNNING:
        return replace(tried, due_at=None)
    is_new = subscription.paid == 0 and subscription.period == 1
    is_created_by_it = is_new and subscription.at_once
    if result is Result.NOTHING and not is_created_by_it and subscription.failures < MOST_FAILURES:
        return replace(tried, failures=subscription.failures + 1, due_at=now + AGAIN_AFTER)
    if is_new and (subscription.at_once or result is Result.HARD):
        return _become(tried, Event.CREATED_DECLINED if subscription.at_once else Event.NEVER_PAID)
    if result is not Result.HARD and subscription.retries < terms.recurring_retries:
        again = now + timedelta(days=terms.recurring_retry_days)
        return replace(_become(tried, Event.SOFT), retries=subscription.retries + 1, failures=0, due_at=again)
    match terms.recurring_exhausted:
        case "suspend":
            return replace(_become(tried, Event.EXHAUSTED_SUSPEND), retries=0)
        case "cancel":
            return _become(tried, Event.EXHAUSTED_CANCEL)
        case _:
            passed = replace(subscription, missed=(*subscription.missed, subscription.period))
            return _go_on(passed, Event.EXHAUSTED_CONTINUE, Event.LAST_PAID)


def verified(subscription: Subscription, *, is_good: bool) -> Subscription:
    """One that starts later, after its card was verified with an amount of zero."""
    return subscription if is_good else replace(subscription, state=State.FAILED, due_at=None)


def _become(subscription: Subscription, event: Event) -> Subscription:
    """Change the state as the table says; nothing is due then, until somebody says when."""
    before, to = _TO[event]
    assert not before or subscription.state in before, f"{subscription.state} and {event}"
    return replace(subscription, state=to, due_at=None)


def _go_on(subscription: Subscription, event: Event, last: Event) -> Subscription:
    """To the next period, or to the end."""
    period = following(subscription, subscription.period)
    if period is None:
        ended = replace(subscription, due_at=None)
        return ended if subscription.state in FINAL else replace(ended, state=_TO[last][1])
    moved = replace(subscription, period=period, attempt=1, retries=0, failures=0, due_at=None)
    if subscription.state not in RUNNING:
        return moved
    return replace(_become(moved, event), due_at=due_of(moved, period))


# ---- what a merchant does with it


def suspend(subscription: Subscription) -> Subscription | Obstacle:
    if subscription.state not in _TO[Event.SUSPEND][0]:
        return Obstacle.WRONG_STATE
    return _become(subscription, Event.SUSPEND)


def cancel(subscription: Subscription) -> Subscription | Obstacle:
    if subscription.state not in _TO[Event.CANCEL][0]:
        return Obstacle.WRONG_STATE
    return _become(subscription, Event.CANCEL)


def activate(subscription: Subscription, now: datetime, *, charge_missed: bool) -> Subscription | Obstacle:
    """Go on after a suspension. What fell due meanwhile is charged now, or passed over."""
    if subscription.state is not State.SUSPENDED:
        return Obstacle.NOT_SUSPENDED
    waited = tuple(missed_until(subscription, now))
    if waited and not charge_missed:
        subscription = replace(subscription, missed=subscription.missed + waited)
        period = following(subscription, waited[-1])
        if period is None:
            return replace(subscription, state=State.COMPLETED, due_at=None)
        subscription = replace(subscription, period=period, attempt=1)
    is_early = subscription.paid == 0 and subscription.starts_at > now
    active = _become(subscription, Event.ACTIVATE_EARLY if is_early else Event.ACTIVATE)
    return replace(active, retries=0, failures=0, due_at=due_of(active, active.period))


def missed_until(subscription: Subscription, now: datetime) -> Iterator[int]:
    """Periods of a suspended subscription that fell due and were not charged."""
    period: int | None = subscription.period
    while period is not None and due_of(subscription, period) <= now:
        yield period
        period = following(subscription, period)


def amend(subscription: Subscription, change: Change, now: datetime) -> Subscription | Obstacle:
    """Change a subscription from now on; what was charged stays. Another plan begins at once, with no credit for what
    is left of the present period."""
    if subscription.state in FINAL:
        return Obstacle.WRONG_STATE
    cycles = subscription.billing.cycles
    if change.plan is None and change.cycles is not None and change.cycles < max(cycles or 0, subscription.period):
        return Obstacle.FEWER_CYCLES
    if change.starts_at is not None:
        if subscription.state is not State.PENDING:
            return Obstacle.STARTED
        if change.starts_at <= now:
            return Obstacle.PAST_START
        moved = change.starts_at
        subscription = replace(subscription, starts_at=moved, anchor_at=moved, due_at=moved)
    if change.plan is not None and change.plan.id != subscription.plan_id:
        if change.plan.state is not PlanState.ACTIVE:
            return Obstacle.PLAN_NOT_ACTIVE
        subscription = _switch(subscription, change.plan, now)
    billing = replace(subscription.billing, **given(change, *AMOUNTS))
    return replace(subscription, billing=billing, **given(change, "code", "name", "reference"))


def _switch(subscription: Subscription, plan: Plan, now: datetime) -> Subscription:
    """To another plan. Before the start only the terms change; after it the new plan's first period begins now."""
    billing = plan.billing
    if billing.cycles is not None:
        billing = replace(billing, cycles=billing.cycles + subscription.period - 1)
    named = replace(
        subscription,
        plan_id=plan.id,
        plan_code=plan.code,
        plan_name=plan.name,
        billing=billing,
        skips=tuple(period for period in subscription.skips if period < subscription.period),
    )
    if subscription.state is State.PENDING:
        return named
    is_running = subscription.state in RUNNING
    return replace(named, anchor_at=now, anchor=subscription.period, due_at=now if is_running else None)


def skip(subscription: Subscription, periods: tuple[int, ...]) -> Subscription | Obstacle:
    """Say which of the periods to come are not charged; what was said before is replaced."""
    if subscription.state in FINAL:
        return Obstacle.WRONG_STATE
    cycles = subscription.billing.cycles
    if any(period <= subscription.period or (cycles is not None and period > cycles) for period in periods):
        return Obstacle.PAST_CYCLE
    past = tuple(period for period in subscription.skips if period <= subscription.period)
    return replace(subscription, skips=past + tuple(sorted(set(periods))))


# ---- plans that change


def follow_plan(subscription: Subscription, plan: Plan) -> Subscription:
    """A subscription after its plan was changed for all."""
    if subscription.state in FINAL:
        return subscription
    new, cycles = plan.billing, subscription.billing.cycles
    if new.cycles is not None and cycles is not None:
        cycles = max(cycles, new.cycles)
    billing = replace(subscription.billing, amount=new.amount, setup_fee=new.setup_fee, cycles=cycles)
    return replace(subscription, plan_code=plan.code, plan_name=plan.name, billing=billing)
