"""Plans, subscriptions and their charges as rows, and the answers that are kept for idempotency keys. Rows only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.payment.plan import Plan
from kessai.payment.subscription import Charge, Subscription
from kessai.storage.compact import pack, unpack
from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import Answer, from_ms, to_ms

_encode: Final = msgspec.json.Encoder().encode
_plan: Final = msgspec.json.Decoder(Plan)
_subscription: Final = msgspec.json.Decoder(Subscription)

BEGUN: Final = "begun"
"""A charge whose outcome is not recorded yet."""


class Charged(Struct, frozen=True, kw_only=True):
    """One try at one period, as it is kept. `state`: begun, paid, declined or failed."""

    id: int
    period: int
    attempt: int
    state: str
    currency: str
    amount: int
    setup_fee: int
    due_at: datetime
    begun_at: datetime
    concluded_at: datetime | None
    transaction_id: int | None


class Kept(Struct, frozen=True):
    """An idempotency key that is taken: the request it is bound to, its resource, and its answer once there is one."""

    request: bytes
    id: int
    answer: Answer | None


class Subscriptions:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def plan(self, merchant_id: str, plan_id: int) -> Plan | None:
        rows = await self._read("load_plan", {"merchant_id": merchant_id, "id": plan_id})
        return _plan_of(rows[0]) if rows else None

    async def plans(self, merchant_id: str, wanted: Mapping[str, str], skip: int, most: int) -> tuple[int, list[Plan]]:
        """How many there are that are as wanted (`code`, `state`, `name`; empty: any), and a page of them."""
        values = {"merchant_id": merchant_id, **wanted}
        count = await self._read("plans_count", values)
        rows = await self._read("plans_page", values | {"skip": skip, "most": most})
        return int(count[0][0]), list(map(_plan_of, rows))

    async def highest_plan_number(self, merchant_id: str) -> int:
        return int((await self._read("highest_plan_number", {"merchant_id": merchant_id}))[0][0])

    async def subscription(self, merchant_id: str, subscription_id: int) -> Subscription | None:
        rows = await self._read("load_subscription", {"merchant_id": merchant_id, "id": subscription_id})
        return _subscription_of(rows[0]) if rows else None

    async def subscriptions(
        self, merchant_id: str, wanted: Mapping[str, str], skip: int, most: int
    ) -> tuple[int, list[Subscription]]:
        """How many there are that are as wanted, by the names of `WANTED`, and a page of them."""
        values = {"merchant_id": merchant_id, **wanted}
        count = await self._read("subscriptions_count", values)
        rows = await self._read("subscriptions_page", values | {"skip": skip, "most": most})
        return int(count[0][0]), list(map(_subscription_of, rows))

    async def highest_subscription_number(self, merchant_id: str) -> int:
        return int((await self._read("highest_subscription_number", {"merchant_id": merchant_id}))[0][0])

    async def of_customer(self, merchant_id: str, customer_id: str) -> list[Subscription]:
        """The latest ones, at most twenty."""
        values = {"merchant_id": merchant_id, "customer_id": customer_id}
        return list(map(_subscription_of, await self._read("subscriptions_of_customer", values)))

    async def of_plan(self, merchant_id: str, plan_id: int, after: int) -> list[Subscription]:
        values = {"merchant_id": merchant_id, "plan_id": plan_id, "after": after}
        return list(map(_subscription_of, await self._read("subscriptions_of_plan", values)))

    async def behind(self, merchant_id: str, after: int) -> list[Subscription]:
        """A page in the order of their ids, behind one of them."""
        return list(
            map(
                _subscription_of,
                await self._read("subscriptions_behind", {"merchant_id": merchant_id, "after": after}),
            )
        )

    async def due(self, merchant_id: str, now: datetime, after: tuple[int, int]) -> list[tuple[int, Subscription]]:
        """(when due, subscription) of what is due by now, a page behind the last one."""
        values = {"merchant_id": merchant_id, "now": to_ms(now), "after": after[0], "after_id": after[1]}
        return [(row[3], _subscription_of(row)) for row in await self._read("due_subscriptions", values)]

    async def charge(self, merchant_id: str, subscription_id: int, period: int, attempt: int) -> Charged | None:
        values = {
            "merchant_id": merchant_id,
            "subscription_id": subscription_id,
            "period": period,
            "attempt": attempt,
        }
        rows = await self._read("load_charge", values)
        return _charged(rows[0]) if rows else None

    async def charges(self, merchant_id: str, subscription_id: int, skip: int, most: int) -> tuple[int, list[Charged]]:
        values = {"merchant_id": merchant_id, "subscription_id": subscription_id}
        count = await self._read("charges_count", values)
        rows = await self._read("load_charges", values | {"skip": skip, "most": most})
        return int(count[0][0]), list(map(_charged, rows))

    async def claimed_by(self, merchant_id: str, key: bytes) -> int | None:
        """The transaction, or what else of another family, that holds a claim."""
        rows = await self._read("claimed_by", {"merchant_id": merchant_id, "key": key})
        return int(rows[0][0]) if rows else None

    async def kept(self, merchant_id: str, key: bytes) -> Kept | None:
        rows = await self._read("kept_answer", {"merchant_id": merchant_id, "key": key})
        if not rows:
            return None
        request, identifier, status, answer = rows[0]
        told = Answer(status, unpack(answer), is_replay=True) if status is not None else None
        return Kept(bytes(request), identifier, told)

    async def oldest_kept(self, merchant_id: str) -> int | None:
        """The smallest id that an idempotency key is kept for; None where none is."""
        rows = await self._read("oldest_kept", {"merchant_id": merchant_id})
        return rows[0][0] if rows else None


WANTED: Final = (
    "code",
    "state",
    "customer_id",
    "reference",
    "plan_code",
    "plan_name",
    "first_name",
    "last_name",
)
"""What a list of subscriptions can be narrowed by."""


def _plan_of(row: Row) -> Plan:
    return replace(_plan.decode(row[3]), id=row[0], version=row[1], was_subscribed=bool(row[2]))


def _subscription_of(row: Row) -> Subscription:
    return replace(_subscription.decode(row[2]), id=row[0], version=row[1])


def _charged(row: Row) -> Charged:
    return Charged(
        id=row[0],
        period=row[1],
        attempt=row[2],
        state=row[3],
        currency=row[4],
        amount=row[5],
        setup_fee=row[6],
        due_at=from_ms(row[7]),
        begun_at=from_ms(row[8]),
        concluded_at=from_ms(row[9]) if row[9] is not None else None,
        transaction_id=row[10],
    )


def number_of(code: str) -> int:
    """The number that a code ends with; 0 where it ends with none that can be counted on from."""
    digits = code[len(code.rstrip("0123456789")) :]
    return int(digits) if 0 < len(digits) <= 15 else 0


def _plan_values(merchant_id: str, plan: Plan) -> dict[str, object]:
    return {
        "merchant_id": merchant_id,
        "id": plan.id,
        "version": plan.version,
        "code": plan.code,
        "number": number_of(plan.code),
        "state": plan.state.value,
        "name": plan.name,
        "terms": _encode(plan).decode(),
    }


def _values(merchant_id: str, subscription: Subscription) -> dict[str, object]:
    return {
        "merchant_id": merchant_id,
        "id": subscription.id,
        "version": subscription.version,
        "code": subscription.code,
        "number": number_of(subscription.code),
        "state": subscription.state.value,
        "customer_id": subscription.customer,
        "reference": subscription.reference,
        "plan_id": subscription.plan_id,
        "plan_code": subscription.plan_code,
        "plan_name": subscription.plan_name,
        "first_name": subscription.first_name,
        "last_name": subscription.last_name,
        "due_at": to_ms(subscription.due_at) if subscription.due_at is not None else None,
        "terms": _encode(subscription).decode(),
    }


@dataclass(frozen=True, slots=True)
class AddPlan:
    """False: its code is taken, or it is there already."""

    merchant_id: str
    plan: Plan

    def values(self) -> dict[str, object]:
        return _plan_values(self.merchant_id, self.plan)

    def apply(self, run: Run) -> bool:
        return bool(run("add_plan", self.values()))


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """False: it is not as it was loaded, or its new code is taken."""

    merchant_id: str
    plan: Plan

    def values(self) -> dict[str, object]:
        return _plan_values(self.merchant_id, self.plan)

    def apply(self, run: Run) -> bool:
        return bool(run("change_plan", self.values()))


@dataclass(frozen=True, slots=True)
class SubscribeToPlan:
    """From now on it cannot be deleted. False: it was deleted before."""

    merchant_id: str
    plan_id: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.plan_id}

    def apply(self, run: Run) -> bool:
        return bool(run("subscribe_to_plan", self.values()))


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """False: it is none that may be deleted."""

    merchant_id: str
    plan_id: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.plan_id}

    def apply(self, run: Run) -> bool:
        return bool(run("delete_plan", self.values()))


@dataclass(frozen=True, slots=True)
class AddSubscription:
    """False: its code is taken, or it is there already."""

    merchant_id: str
    subscription: Subscription

    def values(self) -> dict[str, object]:
        return _values(self.merchant_id, self.subscription)

    def apply(self, run: Run) -> bool:
        return bool(run("add_subscription", self.values()))


@dataclass(frozen=True, slots=True)
class ChangeSubscription:
    """False: it is not as it was loaded, or its new code is taken."""

    merchant_id: str
    subscription: Subscription

    def values(self) -> dict[str, object]:
        return _values(self.merchant_id, self.subscription)

    def apply(self, run: Run) -> bool:
        return bool(run("change_subscription", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginCharge:
    """A try at a period, before anything is sent. False: it was begun before."""

    merchant_id: str
    subscription_id: int
    id: int
    charge: Charge
    now: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "subscription_id": self.subscription_id,
            "period": self.charge.period,
            "attempt": self.charge.attempt,
            "id": self.id,
            "currency": self.charge.amount.currency.code,
            "amount": self.charge.amount.minor,
            "setup_fee": self.charge.setup_fee,
            "due_at": to_ms(self.charge.due_at),
            "begun_at": to_ms(self.now),
        }

    def apply(self, run: Run) -> bool:
        return bool(run("begin_charge", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCharge:
    """What became of a try, with the subscription after it, in one commit.

    False: the subscription is not as it was loaded, or the try was recorded before.
    """

    merchant_id: str
    subscription: Subscription
    period: int
    attempt: int
    state: str
    transaction_id: int | None
    now: datetime

    def values(self) -> dict[str, object]:
        return _values(self.merchant_id, self.subscription) | {
            "period": self.period,
            "attempt": self.attempt,
            "charge_state": self.state,
            "transaction_id": self.transaction_id,
            "concluded_at": to_ms(self.now),
        }

    def apply(self, run: Run) -> bool:
        values = self.values()
        found = run("load_charge", values | {"subscription_id": self.subscription.id})
        if not found or found[0][3] != BEGUN or not run("change_subscription", values):
            return False
        run("record_charge", values)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """Take what a request claims, for resource `id` that it will make or change. False: it is taken.

    It is taken from requests of every other family too: a signature is for one request, whatever that is about (R-51).
    """

    merchant_id: str
    key: bytes
    request: bytes
    id: int
    since: int
    """A key whose id is smaller has lapsed."""

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "key": self.key,
            "request": self.request,
            "id": self.id,
            "since": self.since,
        }

    def apply(self, run: Run) -> bool:
        if not run("claim_answer", self.values()):
            return False
        if not run("claim", self.values() | {"transaction_id": self.id}):
            run("forget_answer", self.values())
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAnswer:
    """What the request that has a key was answered."""

    merchant_id: str
    key: bytes
    id: int
    answer: Answer

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "key": self.key,
            "id": self.id,
            "status": self.answer.status,
            "answer": pack(self.answer.body),
        }

    def apply(self, run: Run) -> None:
        run("keep_answer", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetAnswer:
    """The request that has a key did nothing: the key is free again."""

    merchant_id: str
    key: bytes
    id: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "key": self.key, "id": self.id}

    def apply(self, run: Run) -> None:
        if run("forget_answer", self.values()):
            run("purge_claim", self.values() | {"transaction_id": self.id})


@dataclass(frozen=True, slots=True)
class PurgeKept:
    """Forget keys that have lapsed."""

    merchant_id: str
    before: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": self.before}

    def apply(self, run: Run) -> None:
        run("purge_kept", self.values())
