"""Plans over the wire: made, read, changed, opened and closed by merchants."""

from collections.abc import Callable

from msgspec.structs import replace

from kessai.billing.call import MOST_RACES, Call, Told
from kessai.dialects.cybersource import recurring as wire
from kessai.dialects.cybersource import subscriptions as documents
from kessai.dialects.cybersource.recurring import Trouble
from kessai.gateway import Busy
from kessai.jobs.recurring import Biller
from kessai.payment.merchant import Merchant
from kessai.payment.plan import Obstacle, Plan, PlanState, amend_plan, may_delete, switch_plan
from kessai.payment.subscription import FINAL, follow_plan
from kessai.storage.subscriptions import AddPlan, ChangePlan, ChangeSubscription, DeletePlan


class Plans:
    """What answers requests about plans."""

    def __init__(self, biller: Biller) -> None:
        self._rows = biller.rows
        self._write = biller.gateway.database.write

    async def create(self, call: Call) -> Told:
        asked = wire.read_plan(call.document, is_new=True)
        if isinstance(asked, Trouble):
            return asked
        plan = Plan(
            id=call.new_id,
            code=asked.text("code"),
            name=asked.text("name"),
            description=asked.text("description"),
            billing=asked.billing(None),
            created_at=call.now,
            state=PlanState(asked.values.get("state", PlanState.ACTIVE)),
        )
        for _ in range(MOST_RACES):
            code = plan.code or await self._next_code(call.merchant)
            if await self._write(AddPlan(call.merchant.id, replace(plan, code=code))):
                return documents.plan_made(replace(plan, code=code), call.now)
            existing = await self._rows.plan(call.merchant.id, plan.id)
            if existing is not None:  # made before a crash
                return documents.plan_made(existing, call.now)
            if plan.code:
                return wire.duplicate("planInformation.code")
        raise Busy

    async def _next_code(self, merchant: Merchant) -> str:
        return str(await self._rows.highest_plan_number(merchant.id) + 1)

    async def code(self, call: Call) -> Told:
        return documents.code_shown(await self._next_code(call.merchant), call.now)

    async def page(self, call: Call) -> Told:
        page = wire.read_page(call.query)
        if isinstance(page, Trouble):
            return page
        wanted = wire.wanted(call.query, wire.PLAN_FILTERS)
        total, plans = await self._rows.plans(call.merchant.id, wanted, page.offset, page.limit)
        return documents.plan_list(plans, total, page, call.now)

    async def read(self, call: Call) -> Told:
        plan = await self._rows.plan(call.merchant.id, call.identifier)
        return documents.plan_shown(plan, call.now) if plan is not None else wire.not_found()

    async def _change(self, call: Call, rule: Callable[[Plan], Plan | Obstacle]) -> Plan | Trouble:
        for _ in range(MOST_RACES):
            plan = await self._rows.plan(call.merchant.id, call.identifier)
            if plan is None:
                return wire.not_found()
            after = rule(plan)
            if isinstance(after, Obstacle):
                return wire.of_obstacle(after)
            if await self._write(ChangePlan(call.merchant.id, after)):
                return after
            if after.code != plan.code:
                total, _ = await self._rows.plans(call.merchant.id, {"code": after.code, "state": "", "name": ""}, 0, 1)
                if total:
                    return wire.duplicate("planInformation.code")
        raise Busy

    async def update(self, call: Call) -> Told:
        asked = wire.read_plan(call.document, is_new=False)
        if isinstance(asked, Trouble):
            return asked
        plan = await self._change(call, lambda plan: amend_plan(plan, asked.change(plan.billing.currency)))
        if isinstance(plan, Trouble):
            return plan
        if asked.values.get("apply_to") == "ALL":
            await self._apply_to_all(call.merchant, plan)
        return documents.plan_made(plan, call.now)

    async def _apply_to_all(self, merchant: Merchant, plan: Plan) -> None:
        after = 0
        while page := await self._rows.of_plan(merchant.id, plan.id, after):
            after = page[-1].id
            for subscription in page:
                if subscription.state not in FINAL:
                    await self._follow(merchant, subscription.id, plan)

    async def turn(self, to: PlanState, call: Call) -> Told:
        plan = await self._change(call, lambda plan: switch_plan(plan, to))
        return plan if isinstance(plan, Trouble) else documents.plan_made(plan, call.now)

    async def delete(self, call: Call) -> Told:
        plan = await self._rows.plan(call.merchant.id, call.identifier)
        if plan is None:
            return wire.not_found()
        if not may_delete(plan) or not await self._write(DeletePlan(call.merchant.id, plan.id)):
            return wire.of_obstacle(Obstacle.PLAN_IN_USE)
        return documents.plan_deleted(call.now)

    async def _follow(self, merchant: Merchant, subscription_id: int, plan: Plan) -> None:
        for _ in range(MOST_RACES):
            found = await self._rows.subscription(merchant.id, subscription_id)
            if found is None or await self._write(ChangeSubscription(merchant.id, follow_plan(found, plan))):
                return
        raise Busy
