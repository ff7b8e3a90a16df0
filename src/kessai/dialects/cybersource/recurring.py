"""Recurring billing on this wire: routes, requests as plans and subscriptions, documents, errors. Tables. Pure.

Its errors have a form of their own, and its lists name the page before `previous`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from kessai.dialects.cybersource.answers import wire_time
from kessai.dialects.cybersource.fields import text
from kessai.dialects.table import Table, decode, row, table
from kessai.payment.money import AMOUNT_TEXT, Currency, Money
from kessai.payment.plan import Billing, Change, Obstacle, Plan, PlanState, Unit

Body = dict[str, object]

ROUTES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("POST", "/rbs/v1/plans", "plan_create", "makes a plan"),
    ("GET", "/rbs/v1/plans", "plan_list", "lists plans"),
    ("GET", "/rbs/v1/plans/code", "plan_code", "tells the next free code"),
    ("GET", "/rbs/v1/plans/{id}", "plan_read", "reads a plan"),
    ("PATCH", "/rbs/v1/plans/{id}", "plan_update", "changes a plan"),
    ("DELETE", "/rbs/v1/plans/{id}", "plan_delete", "deletes a plan that nobody ever subscribed to"),
    ("POST", "/rbs/v1/plans/{id}/activate", "plan_activate", "opens a plan to new subscriptions"),
    ("POST", "/rbs/v1/plans/{id}/deactivate", "plan_deactivate", "closes a plan to new subscriptions"),
    ("POST", "/rbs/v1/subscriptions", "subscription_create", "makes a subscription, and charges what is due"),
    ("GET", "/rbs/v1/subscriptions", "subscription_list", "lists subscriptions"),
    ("GET", "/rbs/v1/subscriptions/code", "subscription_code", "tells the next free code"),
    ("GET", "/rbs/v1/subscriptions/{id}", "subscription_read", "reads a subscription"),
    ("PATCH", "/rbs/v1/subscriptions/{id}", "subscription_update", "changes a subscription"),
    ("POST", "/rbs/v1/subscriptions/{id}/activate", "subscription_activate", "ends a suspension"),
    ("POST", "/rbs/v1/subscriptions/{id}/suspend", "subscription_suspend", "charges nothing until it is activated"),
    ("POST", "/rbs/v1/subscriptions/{id}/cancel", "subscription_cancel", "ends a subscription for good"),
    ("GET", "/rbs/v1/subscriptions/{id}/payments", "subscription_payments", "lists what was charged and what will be"),
    ("GET", "/rbs/v1/subscriptions/follow-ons/{id}", "follow_on_read", "tells what a payment can be continued with"),
    ("POST", "/rbs/v1/subscriptions/follow-ons/{id}", "follow_on_create", "makes a subscription of a payment's card"),
    ("PUT", "/rbs/v1/subscriptions/{id}/payments", "subscription_skip", "says which cycles are not charged"),
)
"""Method, path, name in the metrics, and what it does."""
LATER: Final = {
    "plan_create": 201,
    "subscription_create": 201,
    "follow_on_create": 201,
    "subscription_suspend": 202,
    "subscription_cancel": 202,
}
"""Statuses of success that are not 200."""


def _compiled() -> dict[tuple[str, ...], dict[str, str]]:
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for method, path, name, _ in ROUTES:
        found.setdefault(tuple(path.split("/")), {})[method] = name
    return found


_SHAPES: Final = _compiled()


def match(method: str, path: str) -> tuple[str, str] | frozenset[str]:
    """Name and id of a route; otherwise the methods that its path knows: none for a path that is unknown."""
    steps = path.rstrip("/").split("/")
    identifier = ""
    methods = _SHAPES.get(tuple(steps))
    for place in (4, 5):
        if methods is None and len(steps) > place and steps[place]:
            identifier = steps[place]
            methods = _SHAPES.get((*steps[:place], "{id}", *steps[place + 1 :]))
    if methods is None:
        return frozenset()
    name = methods.get(method)
    return (name, identifier) if name is not None else frozenset(methods)


# ---- errors


class Trouble(Struct, frozen=True):
    """Why a request is refused: HTTP status, words, and the members that are to blame with what is wrong with each."""

    http: int
    status: str
    reason: str
    message: str
    details: tuple[tuple[str, str], ...] = ()


def invalid(*details: tuple[str, str]) -> Trouble:
    return Trouble(400, "INVALID_REQUEST", "VALIDATION_ERROR", "Field validation errors.", details)


def not_found(field: str = "id") -> Trouble:
    return Trouble(404, "NOT_FOUND", "NOT_FOUND", "The requested resource was not found.", ((field, "NOT_FOUND"),))


def duplicate(field: str, message: str = "This code is in use already.") -> Trouble:
    return Trouble(400, "INVALID_REQUEST", "DUPLICATE_REQUEST", message, ((field, "DUPLICATE"),))


MALFORMED: Final = Trouble(400, "INVALID_REQUEST", "INVALID_DATA", "The request is not one JSON object.")
IN_PROGRESS: Final = Trouble(
    409, "INVALID_REQUEST", "DUPLICATE_REQUEST", "The first request with this idempotency key has not ended yet."
)
_FIELDS: Final[Mapping[Obstacle, tuple[str, str]]] = {
    Obstacle.NOT_SUSPENDED: ("id", "INVALID_FOR_ACTIVATION"),
    Obstacle.PLAN_IN_STATE: ("id", "INVALID_FOR_ACTIVATION"),
    Obstacle.FEWER_CYCLES: ("planInformation.billingCycles.total", "INVALID_DATA"),
    Obstacle.STARTED: ("subscriptionInformation.startDate", "INVALID_DATA"),
    Obstacle.PAST_START: ("subscriptionInformation.startDate", "INVALID_DATA"),
    Obstacle.PLAN_NOT_ACTIVE: ("subscriptionInformation.planId", "INVALID_DATA"),
    Obstacle.PAST_CYCLE: ("billingCyclesToSkip", "INVALID_DATA"),
}
"""Obstacles that are about one member."""


def of_obstacle(obstacle: Obstacle) -> Trouble:
    detail = _FIELDS.get(obstacle, ("id", "INVALID_DATA"))
    return Trouble(400, "INVALID_REQUEST", "INVALID_DATA", obstacle.value, (detail,))


def trouble(found: Trouble, now: datetime) -> Body:
    body: Body = {
        "submitTimeUtc": wire_time(now),
        "status": found.status,
        "reason": found.reason,
        "message": found.message,
    }
    if found.details:
        body["details"] = [{"field": field, "reason": reason} for field, reason in found.details]
    return body


# ---- requests

MOST: Final = 100
"""Resources on a page."""
_UNITS: Final = {unit.value: unit for unit in Unit}


def _number(most: int) -> Callable[[str], int]:
    def codec(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) is None or not 1 <= int(text) <= most:
            raise ValueError
        return int(text)

    return codec


def _unit(text: str) -> Unit:
    found = _UNITS.get(text.upper())
    if found is None:
        raise ValueError
    return found


def _state(text: str) -> PlanState:
    state = PlanState(text.upper())
    if state is PlanState.INACTIVE:
        raise ValueError
    return state


def _amount(text: str) -> str:
    if AMOUNT_TEXT.fullmatch(text) is None or len(text.partition(".")[0]) > 12:
        raise ValueError
    return text


def _instant(text: str) -> datetime:
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z", text, re.ASCII)
    if found is None:
        raise ValueError
    instant = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    if not 2000 <= instant.year < 2200:
        raise ValueError
    return instant


def _apply_to(text: str) -> str:
    if text.upper() not in ("ALL", "NEW"):
        raise ValueError
    return text.upper()


_PERIODS: Final[Table] = table(
    row("length", _number(999), "planInformation.billingPeriod.length"),
    row("unit", _unit, "planInformation.billingPeriod.unit"),
    row("cycles", _number(9_999), "planInformation.billingCycles.total"),
)
_AMOUNTS: Final[Table] = table(
    row("currency", Currency.of, "orderInformation.amountDetails.currency"),
    row("amount", _amount, "orderInformation.amountDetails.billingAmount"),
    row("setup_fee", _amount, "orderInformation.amountDetails.setupFee"),
)
_SURCHARGE: Final[Table] = table(
    row("surcharge", _amount, "orderInformation.amountDetails.surcharge.amount"),
    row("surcharge_text", text(100), "orderInformation.amountDetails.surcharge.description"),
)
PLAN: Final[Table] = table(
    row("code", text(50), "planInformation.code"),
    row("name", text(100), "planInformation.name"),
    row("description", text(500), "planInformation.description"),
    row("state", _state, "planInformation.status"),
    *_PERIODS,
    *_AMOUNTS,
    row("apply_to", _apply_to, "processingInformation.subscriptionBillingOptions.applyTo"),
)
SUBSCRIPTION: Final[Table] = table(
    row("reference", text(50), "clientReferenceInformation.code"),
    row("code", text(50), "subscriptionInformation.code"),
    row("plan_id", text(22), "subscriptionInformation.planId"),
    row("name", text(100), "subscriptionInformation.name"),
    row("starts_at", _instant, "subscriptionInformation.startDate"),
    row("original", text(36), "subscriptionInformation.originalTransactionId"),
    row("original_amount", text(61), "subscriptionInformation.originalTransactionAuthorizedAmount"),
    row("customer", text(32), "paymentInformation.customer.id"),
    *_PERIODS,
    *_AMOUNTS,
    *_SURCHARGE,
)
TABLES: Final[Mapping[str, Table]] = {"plan": PLAN, "subscription": SUBSCRIPTION}
"""What requests are read for, in the order of the public reference."""

_REQUIRED_OF_PLAN: Final = ("name", "length", "unit", "currency", "amount")
_REQUIRED: Final = ("name", "starts_at", "customer")
_REQUIRED_OF_FOLLOW_ON: Final = ("name", "starts_at")
_TERMS: Final = ("length", "unit", "currency", "amount")
"""What a subscription without a plan has to say itself."""


class Asked(Struct, frozen=True):
    """A request by neutral names; `amounts` are texts until their currency is known."""

    values: Mapping[str, object]

    def text(self, name: str) -> str:
        return str(self.values.get(name, ""))

    def minor(self, name: str, currency: str) -> int | None:
        found = self.values.get(name)
        return Money.parse(str(found), Currency.of(currency)).minor if found is not None else None

    def billing(self, base: Billing | None) -> Billing:
        """The terms that it asks for, on top of those of a plan."""
        values = self.values
        currency = base.currency if base is not None else str(values["currency"])
        asked: dict[str, object] = {name: self.minor(name, currency) for name in ("amount", "setup_fee", "surcharge")}
        asked |= {name: values.get(name) for name in ("length", "unit", "cycles", "surcharge_text")}
        given = {name: value for name, value in asked.items() if value is not None}
        if base is not None:
            for name in ("length", "unit"):
                given.pop(name, None)
            return msgspec.structs.replace(base, **given)
        return Billing(currency=currency, **given)  # type: ignore[arg-type] # as the table's codecs gave them

    def change(self, currency: str, plan: Plan | None = None) -> Change:
        """What it asks to change, with amounts in the currency that counts."""
        values = self.values
        currency = str(values.get("currency", currency))
        taken = ("code", "name", "description", "reference", "cycles", "starts_at", "unit", "length", "surcharge_text")
        asked: dict[str, object] = {name: values[name] for name in taken if name in values}
        asked |= {name: self.minor(name, currency) for name in ("amount", "setup_fee", "surcharge")}
        if "currency" in values:
            asked["currency"] = currency
        return Change(plan=plan, **asked)  # type: ignore[arg-type] # as the table's codecs gave them


def read_plan(document: Mapping[str, object], *, is_new: bool) -> Asked | Trouble:
    """POST and PATCH of a plan."""
    return _read(PLAN, document, _REQUIRED_OF_PLAN if is_new else ())


def read_subscription(document: Mapping[str, object], *, is_new: bool, follows: bool = False) -> Asked | Trouble:
    """POST and PATCH of a subscription; one that follows on a payment has its customer from there."""
    required = _REQUIRED_OF_FOLLOW_ON if follows else _REQUIRED
    asked = _read(SUBSCRIPTION, document, required if is_new else ())
    if is_new and isinstance(asked, Asked) and "plan_id" not in asked.values:
        return _read(SUBSCRIPTION, document, required + _TERMS)
    return asked


def _read(rows: Table, document: Mapping[str, object], required: Iterable[str]) -> Asked | Trouble:
    values, errors = decode(rows, document)
    places = {field.name: field.path for field in rows}
    wrong = {error.path for error in errors}
    details = [(error.path, "INVALID_DATA") for error in errors]
    details += [(places[name], "INVALID_DATA") for name in required if name not in values and places[name] not in wrong]
    return invalid(*details) if details else Asked(values)


def read_skips(document: Mapping[str, object]) -> tuple[int, ...] | Trouble:
    """PUT of a subscription's payments."""
    found = document.get("billingCyclesToSkip")
    if not isinstance(found, list) or not all(type(each) is int and 0 < each < 10_000 for each in found):
        return invalid(("billingCyclesToSkip", "INVALID_DATA"))
    return tuple(found)


class Page(Struct, frozen=True):
    offset: int
    limit: int


def read_page(query: Mapping[str, str], default: int = 20) -> Page | Trouble:
    try:
        offset, limit = int(query.get("offset", "0")), int(query.get("limit", str(default)))
    except ValueError:
        return invalid(("offset" if not query.get("offset", "0").isdigit() else "limit", "INVALID_DATA"))
    if not 0 <= offset < 10**9:
        return invalid(("offset", "INVALID_DATA"))
    if not 1 <= limit <= MOST:
        return invalid(("limit", "INVALID_DATA"))
    return Page(offset, limit)


PLAN_FILTERS: Final = {"code": "code", "status": "state", "name": "name"}
SUBSCRIPTION_FILTERS: Final = {
    "code": "code",
    "status": "state",
    "customerId": "customer_id",
    "clientReferenceInformationCode": "reference",
    "planCode": "plan_code",
    "planName": "plan_name",
    "customerFirstName": "first_name",
    "customerLastName": "last_name",
}
"""Members of a query to what they narrow a list by."""


def wanted(query: Mapping[str, str], filters: Mapping[str, str]) -> dict[str, str]:
    return {
        name: query.get(member, "").upper() if name == "state" else query.get(member, "")
        for member, name in filters.items()
    }
