"""Subscriptions of this wire as documents: what creating one asks for, and how one is shown. Pure.

Names change between request and answer, as the documents have it: `cycle_type` comes in and `billing_cycle_type` goes
out, `currency` becomes `ccy`, `plan_name` becomes `name`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from kessai.dialects.paymentoptions import codes, identifiers
from kessai.dialects.paymentoptions.answers import Body, encode, envelope, number
from kessai.dialects.paymentoptions.codes import INVALID, MISSING, Said
from kessai.dialects.paymentoptions.messages import Json, Member, Problem, Rows
from kessai.payment.merchant import Merchant
from kessai.payment.plan import Unit, plus
from kessai.payment.subscription import State, Subscription, due_of

UNITS: Final[Mapping[str, Unit]] = {"DAYS": Unit.DAY, "WEEKLY": Unit.WEEK, "MONTHLY": Unit.MONTH, "YEARLY": Unit.YEAR}
"""Words of `cycle_type` and of `trial_period_duration_type`. `YEARLY` is of subscriptions made over the other wire."""
WORDS: Final = {unit: word for word, unit in UNITS.items()}
STATES: Final[Mapping[State, str]] = {
    State.PENDING: "ACTIVE",
    State.ACTIVE: "ACTIVE",
    State.DELINQUENT: "ACTIVE",
    State.SUSPENDED: "PAUSED",
    State.FAILED: "FAILED",
    State.COMPLETED: "EXPIRED",
    State.CANCELLED: "CANCELLED",
}
"""State to `status`."""
CHARGES: Final[Mapping[str, tuple[str, str]]] = {
    "begun": ("PENDING", "PENDING"),
    "paid": ("SUCCESSFUL", "CAPTURED"),
    "declined": ("NOTSUCCESSFUL", "DECLINED"),
    "failed": ("NOTSUCCESSFUL", "FAILED"),
    "lost": ("NOTSUCCESSFUL", "FAILED"),
}
"""State of a charge to its `status` and `event`."""
MOST_CYCLES: Final = 9_999


def _unit(text: str) -> Unit:
    if text not in UNITS:
        raise ValueError
    return UNITS[text]


def _count(least: int, most: int) -> Any:
    def codec(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return codec


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _cycle(text: str) -> str:
    if text != "CYCLE":
        raise ValueError
    return text


SUBSCRIPTION: Final = (
    Member("subscription.plan_name", "name", 100, is_required=True),
    Member("subscription.plan_desc", "description", 255),
    Member("subscription.cycle_type", "unit", 16, is_required=True, codec=_unit),
    Member("subscription.cycle_interval", "length", 3, is_required=True, codec=_count(1, 999)),
    Member("subscription.subscription_end_type", "end", 16, codec=_cycle),
    Member("subscription.max_cycle_count", "cycles", 4, is_required=True, codec=_count(1, MOST_CYCLES)),
    Member("subscription.has_trial_period", "has_trial", 5, codec=_flag),
    Member("subscription.trial_period_duration_type", "trial_unit", 16, codec=_unit),
    Member("subscription.trial_period_duration", "trial_length", 3, codec=_count(1, 999)),
    Member("subscription.has_discount", "has_discount", 5, codec=_flag),
    Member("subscription.discount_percentage", "discount_percent", 2, codec=_count(1, 99)),
    Member("subscription.discount_duration", "discount_cycles", 4, codec=_count(1, MOST_CYCLES)),
)
"""Members that creating a subscription has beside those of a payment."""
_FLAGGED: Final = {
    "has_trial": ("trial_period_duration_type", "trial_period_duration"),
    "has_discount": ("discount_percentage", "discount_duration"),
}
"""What belongs to a flag, and is not looked at where the flag is false."""
_ROWS: Final = Rows(SUBSCRIPTION)


class Wanted(Struct, frozen=True, kw_only=True):
    """What a subscription is to be."""

    name: str
    description: str
    unit: Unit
    length: int
    cycles: int
    trial: Unit | None
    trial_length: int
    discount_percent: int
    discount_cycles: int

    def starts_at(self, now: datetime) -> datetime:
        return plus(now, self.trial, self.trial_length) if self.trial is not None else now


def wanted(document: Json) -> Wanted | Problem:
    sent = document.get("subscription")
    if not sent:
        return Problem(MISSING, "subscription")
    if not isinstance(sent, dict):
        return Problem(INVALID, "subscription")
    ignored = {
        member for flag, members in _FLAGGED.items() if not _is_set(sent.get(flag_of(flag))) for member in members
    }
    values = _ROWS.read({"subscription": {name: value for name, value in sent.items() if name not in ignored}})
    if isinstance(values, Problem):
        return values
    for flag, members in _FLAGGED.items():
        for member in members:
            if values.get(flag) and member not in sent:
                return Problem(MISSING, f"subscription.{member}")
    return Wanted(
        name=values["name"],
        description=values.get("description", ""),
        unit=values["unit"],
        length=values["length"],
        cycles=values["cycles"],
        trial=values["trial_unit"] if values.get("has_trial") else None,
        trial_length=values.get("trial_length", 0),
        discount_percent=values.get("discount_percent", 0),
        discount_cycles=values.get("discount_cycles", 0),
    )


def flag_of(name: str) -> str:
    return "has_trial_period" if name == "has_trial" else name


def _is_set(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


# ---- answers


class Charge(Struct, frozen=True, kw_only=True):
    """One try at one period that came to a transaction, or is under way."""

    transaction_id: int | None
    period: int
    state: str
    at: datetime
    amount: int


def details(
    subscription: Subscription, charges: Sequence[Charge], merchant: Merchant, *, in_list: bool = False
) -> Body:
    """`subscription_details`; a list leaves out how the last payment ended."""
    billing, unit = subscription.billing, merchant.terms.paymentoptions.amount_unit
    body: Body = {
        "id": identifiers.show(subscription.id, identifiers.SUBSCRIPTION),
        "type": "CYCLE",
        "max_cycle_count": billing.cycles,
        "status": STATES[subscription.state],
        "completed_payment_cycle": subscription.paid,
    }
    if charges and not in_list:
        body["last_payment_status"] = CHARGES[charges[-1].state][0]
    is_over = subscription.state in (State.COMPLETED, State.FAILED)
    due = subscription.due_at if subscription.state is State.DELINQUENT else due_of(subscription, subscription.period)
    body |= {
        "next_payment_date": None if is_over or due is None else _moment(due),
        "next_payment_cycle": None if is_over else subscription.period,
        "subscription_plan_details": {
            "name": subscription.name,
            "desc": subscription.description,
            "billing_cycle_type": WORDS[billing.unit],
            "billing_cycle_interval": billing.length,
            "amount": number(billing.money(billing.amount), unit),
            "ccy": billing.currency,
            "trial_period_duration": subscription.trial_length or "",
            "trial_period_duration_type": subscription.trial_unit or "NONE",
            "plan_discount_percentage": billing.discount_percent,
            "plan_discount_duration": billing.discount_cycles,
        },
        "subscription_transaction_details": [
            {
                "id": identifiers.show(each.transaction_id),
                "ref": identifiers.ref_of(each.transaction_id),
                "cycle": each.period,
                "status": CHARGES[each.state][0],
                "transaction_date": _moment(each.at),
                "amount": number(billing.money(each.amount), unit),
                "ccy": billing.currency,
                "event": CHARGES[each.state][1],
            }
            for each in charges
            if each.transaction_id is not None
        ],
    }
    return body


def shown(found: Body | list[Body], merchant: Merchant) -> bytes:
    """One subscription, or all of them."""
    is_live = not merchant.is_test
    return encode({"success": True, "status_code": 200, "is_live": is_live, "subscription_details": found})


def updated(found: Body, merchant: Merchant) -> bytes:
    """A subscription that was paused, resumed or ended."""
    said: Said = codes.SUBSCRIPTION_UPDATED
    return encode(envelope(said, said.status, is_live=not merchant.is_test) | {"subscription_details": found})


def _moment(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
