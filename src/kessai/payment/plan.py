"""Plans: what a merchant offers again and again, in which steps of time, and what of it may be changed. Pure.

Also the words that plans and subscriptions share: terms, changes, and why a change is refused.
"""

from calendar import monthrange
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai.payment.money import Currency, Money


class Unit(Enum):
    DAY = "D"
    WEEK = "W"
    MONTH = "M"
    YEAR = "Y"


class Billing(Struct, frozen=True, kw_only=True):
    """What is charged and how often. Amounts are minor units of `currency`, an ISO 4217 code."""

    unit: Unit
    length: int
    currency: str
    amount: int
    setup_fee: int = 0
    """Charged once, with the first period."""
    surcharge: int = 0
    surcharge_text: str = ""
    cycles: int | None = None
    """How many periods there are; None: until somebody cancels."""
    discount_percent: int = 0
    """Percent off the amount of the first `discount_cycles` periods; what is not whole is the payer's."""
    discount_cycles: int = 0

    def money(self, minor: int) -> Money:
        return Money(minor, Currency.of(self.currency))

    def amount_of(self, period: int) -> int:
        """Minor units of a period's own amount, its discount taken off."""
        percent = self.discount_percent if period <= self.discount_cycles else 0
        return self.amount * (100 - percent) // 100 if percent else self.amount


class PlanState(Enum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class Plan(Struct, frozen=True, kw_only=True):
    """What a merchant offers. `was_subscribed` holds for good: such a plan is never deleted."""

    id: int
    code: str
    name: str
    billing: Billing
    created_at: datetime
    description: str = ""
    state: PlanState = PlanState.ACTIVE
    was_subscribed: bool = False
    version: int = 0


class Obstacle(Enum):
    """Why a change is refused. The value is one sentence for the merchant."""

    WRONG_STATE = "The subscription cannot be changed in its present state."
    NOT_SUSPENDED = "The subscription cannot be reactivated at this time."
    FEWER_CYCLES = "The number of billing cycles can only be raised."
    STARTED = "The start date can only be changed before the subscription has started."
    PAST_START = "The start date must not lie in the past."
    PLAN_NOT_ACTIVE = "The plan is not active."
    PLAN_IN_STATE = "The plan is in this state already."
    PLAN_INACTIVE = "An inactive plan cannot be changed."
    PLAN_FIXED = "This cannot be changed any more: the plan is active."
    PLAN_IN_USE = "A plan can only be deleted while it is a draft or has never been subscribed to."
    PAST_CYCLE = "A billing cycle that has begun cannot be skipped."


class Change(Struct, frozen=True, kw_only=True):
    """What a merchant asks to change; None: nothing of it. Amounts are minor units."""

    code: str | None = None
    name: str | None = None
    description: str | None = None
    reference: str | None = None
    amount: int | None = None
    setup_fee: int | None = None
    surcharge: int | None = None
    surcharge_text: str | None = None
    cycles: int | None = None
    starts_at: datetime | None = None
    plan: Plan | None = None
    unit: Unit | None = None
    length: int | None = None
    currency: str | None = None


AMOUNTS: Final = ("amount", "setup_fee", "surcharge", "surcharge_text", "cycles")


def given(change: Change, *names: str) -> dict[str, object]:
    """The members of a change that are given."""
    return {name: getattr(change, name) for name in names if getattr(change, name) is not None}


# ---- time


def plus(instant: datetime, unit: Unit, count: int) -> datetime:
    """An instant some units later; a day that a month does not have becomes its last."""
    if unit in (Unit.DAY, Unit.WEEK):
        return instant + timedelta(days=count * (7 if unit is Unit.WEEK else 1))
    months = instant.month - 1 + count * (12 if unit is Unit.YEAR else 1)
    year, month = instant.year + months // 12, months % 12 + 1
    return instant.replace(year=year, month=month, day=min(instant.day, monthrange(year, month)[1]))


# ---- changes


def switch_plan(plan: Plan, to: PlanState) -> Plan | Obstacle:
    """Activate or deactivate; a draft cannot be deactivated."""
    if plan.state is to or (to is PlanState.INACTIVE and plan.state is PlanState.DRAFT):
        return Obstacle.PLAN_IN_STATE
    return replace(plan, state=to)


def amend_plan(plan: Plan, change: Change) -> Plan | Obstacle:
    """Change a plan: a draft in everything, an active one in what its subscribers can bear, an inactive one not."""
    if plan.state is PlanState.INACTIVE:
        return Obstacle.PLAN_INACTIVE
    if plan.state is PlanState.ACTIVE:
        fixed = given(change, "unit", "length", "currency")
        if any(getattr(plan.billing, name) != value for name, value in fixed.items()):
            return Obstacle.PLAN_FIXED
        if change.code not in (None, plan.code):
            return Obstacle.PLAN_FIXED
        if change.cycles is not None and change.cycles < (plan.billing.cycles or 0):
            return Obstacle.FEWER_CYCLES
    billing = replace(plan.billing, **given(change, "unit", "length", "currency", *AMOUNTS))
    return replace(plan, billing=billing, **given(change, "code", "name", "description"))


def may_delete(plan: Plan) -> bool:
    return plan.state is PlanState.DRAFT or not plan.was_subscribed
