"""Subscriptions over the wire: made, read, changed, suspended and ended by merchants."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from msgspec.structs import replace

from kessai import ids
from kessai.billing.call import MOST_RACES, Call, Told
from kessai.dialects.cybersource import recurring as wire
from kessai.dialects.cybersource import subscriptions as documents
from kessai.dialects.cybersource.recurring import Asked, Page, Trouble
from kessai.gateway import Busy
from kessai.jobs import recurring
from kessai.jobs.recurring import Biller, OnFile
from kessai.payment.merchant import Merchant
from kessai.payment.plan import Obstacle, Plan, PlanState
from kessai.payment.subscription import (
    FINAL,
    RUNNING,
    State,
    Subscription,
    activate,
    amend,
    due_of,
    skip,
    upcoming,
    verified,
)
from kessai.storage.subscriptions import (
    AddSubscription,
    ChangeSubscription,
    SubscribeToPlan,
)

Rule = Callable[[Subscription], Subscription | Obstacle]
SAME_WITHIN: Final = timedelta(minutes=15)
"""How long an identical subscription counts as sent twice."""
SCHEDULED: Final = 5
"""Payments to come that are listed where nobody says how many."""
_STATUSES: Final = {"begun": "PENDING", "paid": "PAID", "declined": "DECLINED", "failed": "FAILED", "lost": "UNKNOWN"}


class Subscribing:
    """What answers requests about subscriptions."""

    def __init__(self, biller: Biller) -> None:
        self._biller = biller
        self._rows = biller.rows
        self._write = biller.gateway.database.write

    # ---- a new one

    async def create(self, call: Call) -> Told:
        asked = wire.read_subscription(call.document, is_new=True)
        return asked if isinstance(asked, Trouble) else await self.subscribe(call, asked)

    async def subscribe(self, call: Call, asked: Asked) -> Told:
        """Make what is asked for, or go on with it where it is there already."""
        subscription = await self._rows.subscription(call.merchant.id, call.new_id)
        if subscription is None:
            made = await self._new(call, asked)
            if isinstance(made, Trouble):
                return made
            subscription = made
        return await self._begin(call, subscription)

    async def _new(self, call: Call, asked: Asked) -> Subscription | Trouble:
        """A subscription as it is asked for, written; nothing is charged yet."""
        merchant, now = call.merchant, call.now
        plan = None
        if "plan_id" in asked.values:
            plan = await self._rows.plan(merchant.id, ids.read(asked.text("plan_id")) or 0)
            if plan is None:
                return wire.invalid(("subscriptionInformation.planId", "NOT_FOUND"))
            if plan.state is not PlanState.ACTIVE:
                return wire.of_obstacle(Obstacle.PLAN_NOT_ACTIVE)
        on_file = await self._biller.card_of(merchant, asked.text("customer"))
        if on_file is None:
            return wire.invalid(("paymentInformation.customer.id", "NOT_FOUND"))
        starts_at = asked.values["starts_at"]
        assert isinstance(starts_at, datetime)
        if starts_at < now - timedelta(days=1):
            return wire.of_obstacle(Obstacle.PAST_START)
        subscription = _subscription(call, asked, plan, on_file, starts_at)
        twin = await self._twin(merchant, subscription)
        if twin is not None:
            return wire.duplicate(f"id {ids.show(twin.id)}", "An identical subscription was made a short time ago.")
        if plan is not None and not await self._write(SubscribeToPlan(merchant.id, plan.id)):
            return wire.invalid(("subscriptionInformation.planId", "NOT_FOUND"))
        for _ in range(MOST_RACES):
            code = subscription.code or await self._next_code(merchant)
            if await self._write(AddSubscription(merchant.id, replace(subscription, code=code))):
                return replace(subscription, code=code)
            existing = await self._rows.subscription(merchant.id, subscription.id)
            if existing is not None:  # the same request, at the same time
                return existing
            if subscription.code:
                return wire.duplicate("subscriptionInformation.code")
        raise Busy

    async def _twin(self, merchant: Merchant, new: Subscription) -> Subscription | None:
        for other in await self._rows.of_customer(merchant.id, new.customer):
            is_recent = new.created_at - other.created_at < SAME_WITHIN
            if other.id != new.id and is_recent and other.state not in FINAL and _sense(other) == _sense(new):
                return other
        return None

    async def _begin(self, call: Call, subscription: Subscription) -> Told:
        """Charge what is due at once, or verify the card of what starts later."""
        merchant = call.merchant
        if subscription.state is not State.PENDING or subscription.paid:
            status = "DECLINED" if subscription.state is State.FAILED else "COMPLETED"
            return documents.subscription_made(subscription, call.now, status)
        if subscription.at_once:
            after = await recurring.charge(self._biller, merchant, subscription)
        else:
            is_good = await recurring.verify(self._biller, merchant, subscription)
            after = subscription
            if is_good is False:
                changed = await self._change(merchant, subscription.id, partial(verified, is_good=False))
                assert not isinstance(changed, Trouble), "a subscription is never deleted"
                after = changed
        if after is None and call.is_again:
            return wire.IN_PROGRESS
        if after is None:  # nobody can say yet; the worker will find out
            return documents.subscription_made(subscription, call.now, "PENDING_REVIEW")
        return documents.subscription_made(after, call.now, "DECLINED" if after.state is State.FAILED else "COMPLETED")

    async def _next_code(self, merchant: Merchant) -> str:
        letters = "".join(letter for letter in merchant.id.upper() if letter.isalpha())[:3] or "SUB"
        return f"{letters}-{await self._rows.highest_subscription_number(merchant.id) + 1}"

    async def code(self, call: Call) -> Told:
        return documents.code_shown(await self._next_code(call.merchant), call.now)

    # ---- those that are there

    async def page(self, call: Call) -> Told:
        page = wire.read_page(call.query)
        if isinstance(page, Trouble):
            return page
        wanted = wire.wanted(call.query, wire.SUBSCRIPTION_FILTERS)
        total, found = await self._rows.subscriptions(call.merchant.id, wanted, page.offset, page.limit)
        return documents.subscription_list(found, total, page, call.now)

    async def read(self, call: Call) -> Told:
        found = await self._rows.subscription(call.merchant.id, call.identifier)
        return documents.subscription_shown(found, call.now) if found is not None else wire.not_found()

    async def _change(self, merchant: Merchant, identifier: int, rule: Rule) -> Subscription | Trouble:
        for _ in range(MOST_RACES):
            found = await self._rows.subscription(merchant.id, identifier)
            if found is None:
                return wire.not_found()
            after = rule(found)
            if isinstance(after, Obstacle):
                return wire.of_obstacle(after)
            if await self._write(ChangeSubscription(merchant.id, after)):
                return after
            if after.code != found.code:
                wanted = dict.fromkeys(wire.SUBSCRIPTION_FILTERS.values(), "") | {"code": after.code}
                total, _ = await self._rows.subscriptions(merchant.id, wanted, 0, 1)
                if total:
                    return wire.duplicate("subscriptionInformation.code")
        raise Busy

    async def update(self, call: Call) -> Told:
        asked = wire.read_subscription(call.document, is_new=False)
        if isinstance(asked, Trouble):
            return asked
        plan = None
        if "plan_id" in asked.values:
            plan = await self._rows.plan(call.merchant.id, ids.read(asked.text("plan_id")) or 0)
            if plan is None:
                return wire.invalid(("subscriptionInformation.planId", "NOT_FOUND"))
            if not await self._write(SubscribeToPlan(call.merchant.id, plan.id)):
                return wire.invalid(("subscriptionInformation.planId", "NOT_FOUND"))

        def rule(subscription: Subscription) -> Subscription | Obstacle:
            currency = (plan.billing if plan is not None else subscription.billing).currency
            return amend(subscription, asked.change(currency, plan), call.now)

        after = await self._change(call.merchant, call.identifier, rule)
        if isinstance(after, Trouble):
            return after
        self._biller.gateway.work()
        return documents.subscription_made(after, call.now, is_new=False)

    async def activate(self, call: Call) -> Told:
        charge_missed = call.query.get("processMissedPayments", "true").lower() != "false"
        after = await self._change(
            call.merchant, call.identifier, lambda found: activate(found, call.now, charge_missed=charge_missed)
        )
        if isinstance(after, Trouble):
            return after
        self._biller.gateway.work()
        return documents.subscription_turned(after, call.now, "COMPLETED")

    async def stop(self, rule: Rule, call: Call) -> Told:
        """Suspend or cancel. The worker looks once more whether a charge was under way."""

        def stopped(found: Subscription) -> Subscription | Obstacle:
            after = rule(found)
            was_running = found.state in RUNNING and not isinstance(after, Obstacle)
            return replace(after, due_at=call.now) if was_running and not isinstance(after, Obstacle) else after

        after = await self._change(call.merchant, call.identifier, stopped)
        if isinstance(after, Trouble):
            return after
        self._biller.gateway.work()
        return documents.subscription_turned(after, call.now, "ACCEPTED")

    async def payments(self, call: Call) -> Told:
        page = wire.read_page(call.query)
        if isinstance(page, Trouble):
            return page
        try:
            scheduled = int(call.query.get("scheduledPaymentsCount", str(SCHEDULED)))
        except ValueError:
            scheduled = -1
        if not 0 <= scheduled <= wire.MOST:
            return wire.invalid(("scheduledPaymentsCount", "INVALID_DATA"))
        found = await self._rows.subscription(call.merchant.id, call.identifier)
        if found is None:
            return wire.not_found()
        total, rows = await self._payment_rows(call.merchant, found, page, scheduled)
        return documents.payments_shown(found, rows, total, page, call.now)

    async def _payment_rows(
        self, merchant: Merchant, subscription: Subscription, page: Page, scheduled: int
    ) -> tuple[int, list[documents.Row]]:
        """What was charged, then what will be."""
        made, charges = await self._rows.charges(merchant.id, subscription.id, page.offset, page.limit)
        billing = subscription.billing
        rows = [
            documents.Row(
                period=each.period,
                number=page.offset + number,
                amount=each.amount - each.setup_fee,
                setup_fee=each.setup_fee,
                at=each.concluded_at or each.begun_at,
                status=_STATUSES[each.state],
                id=each.id,
                transaction_id=each.transaction_id,
            )
            for number, each in enumerate(charges, 1)
        ]
        ahead = list(upcoming(subscription, scheduled)) if subscription.state in RUNNING else []
        rows += [
            documents.Row(
                period=period,
                number=made + number,
                amount=billing.amount + billing.surcharge,
                setup_fee=billing.setup_fee if period == 1 else 0,
                at=due_of(subscription, period),
                status="SCHEDULED",
            )
            for number, period in enumerate(ahead, 1)
            if page.offset < made + number <= page.offset + page.limit
        ]
        return made + len(ahead), rows

    async def skip(self, call: Call) -> Told:
        periods = wire.read_skips(call.document)
        if isinstance(periods, Trouble):
            return periods
        after = await self._change(call.merchant, call.identifier, lambda found: skip(found, periods))
        return after if isinstance(after, Trouble) else documents.skips_made(after, call.now)


def _subscription(call: Call, asked: Asked, plan: Plan | None, on_file: OnFile, starts_at: datetime) -> Subscription:
    """What is asked for, as it begins. What starts today is charged with its creation."""
    at_once = starts_at <= call.now or starts_at.date() == call.now.date()
    patience = timedelta(seconds=30)  # this request charges it; the worker does when this process is gone
    return Subscription(
        id=call.new_id,
        code=asked.text("code"),
        name=asked.text("name"),
        customer=asked.text("customer"),
        billing=asked.billing(plan.billing if plan is not None else None),
        created_at=call.now,
        starts_at=starts_at,
        anchor_at=starts_at,
        due_at=call.now + patience if at_once else starts_at,
        at_once=at_once,
        reference=asked.text("reference"),
        plan_id=plan.id if plan is not None else None,
        plan_code=plan.code if plan is not None else "",
        plan_name=plan.name if plan is not None else "",
        first_name=on_file.first_name,
        last_name=on_file.last_name,
        original=asked.text("original"),
        original_amount=asked.text("original_amount"),
    )


def _sense(subscription: Subscription) -> tuple[object, ...]:
    """What makes two subscriptions the same one sent twice."""
    return (
        subscription.name,
        subscription.plan_id,
        subscription.billing,
        subscription.starts_at,
        subscription.reference,
    )
