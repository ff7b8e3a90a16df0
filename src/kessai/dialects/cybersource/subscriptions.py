"""Recurring billing on this wire: plans, subscriptions and their payments as documents. Pure.

Amounts are texts with the currency's decimals, ids are those of the payments, links are paths without a host.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from kessai import ids
from kessai.dialects.cybersource.answers import encode as encode_payment
from kessai.dialects.cybersource.answers import wire_time
from kessai.dialects.cybersource.echo import echo_of
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.recurring import Body, Page
from kessai.dialects.table import find
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.plan import Billing, Plan, PlanState
from kessai.payment.subscription import FINAL, RUNNING, Charge, State, Subscription, due_of, missed_until


def _link(path: str, method: str) -> Body:
    return {"href": path, "method": method}


def _plan_links(plan: Plan, *, whole: bool) -> Body:
    own = f"/rbs/v1/plans/{ids.show(plan.id)}"
    links: Body = {"self": _link(own, "GET")}
    if not whole:
        return links
    turn = "deactivate" if plan.state is PlanState.ACTIVE else "activate"
    return links | {"update": _link(own, "PATCH"), turn: _link(f"{own}/{turn}", "POST")}


def plan_made(plan: Plan, now: datetime) -> Body:
    """What every change of a plan is answered with."""
    return {
        "_links": _plan_links(plan, whole=True),
        "id": ids.show(plan.id),
        "submitTimeUtc": wire_time(now),
        "status": "COMPLETED",
        "planInformation": {"code": plan.code, "status": plan.state.value},
    }


def plan_deleted(now: datetime) -> Body:
    return {"submitTimeUtc": wire_time(now), "status": "COMPLETED"}


def _plan(plan: Plan) -> Body:
    information: Body = {"code": plan.code, "status": plan.state.value, "name": plan.name}
    if plan.description:
        information["description"] = plan.description
    information |= _periods(plan.billing)
    return {
        "_links": _plan_links(plan, whole=False),
        "id": ids.show(plan.id),
        "planInformation": information,
        "orderInformation": {"amountDetails": _amounts(plan.billing)},
    }


def plan_shown(plan: Plan, now: datetime) -> Body:
    shown = _plan(plan)
    return {"_links": shown.pop("_links"), "id": shown.pop("id"), "submitTimeUtc": wire_time(now)} | shown


def plan_list(plans: Sequence[Plan], total: int, page: Page, now: datetime) -> Body:
    return {
        "_links": _pages("/rbs/v1/plans", total, page),
        "submitTimeUtc": wire_time(now),
        "totalCount": total,
        "plans": list(map(_plan, plans)),
    }


def code_shown(code: str, now: datetime) -> Body:
    return {"code": code, "submitTimeUtc": wire_time(now)}


def _pages(path: str, total: int, page: Page, previous: str = "previous") -> Body:
    links: Body = {"self": _link(f"{path}?offset={page.offset}&limit={page.limit}", "GET")}
    if page.offset + page.limit < total:
        links["next"] = _link(f"{path}?offset={page.offset + page.limit}&limit={page.limit}", "GET")
    if page.offset > 0:
        links[previous] = _link(f"{path}?offset={max(page.offset - page.limit, 0)}&limit={page.limit}", "GET")
    return links


def _periods(billing: Billing, current: int | None = None) -> Body:
    cycles: Body = {"total": str(billing.cycles)} if billing.cycles is not None else {}
    if current is not None:
        cycles["current"] = str(current)
    body: Body = {"billingPeriod": {"length": str(billing.length), "unit": billing.unit.value}}
    return body | ({"billingCycles": cycles} if cycles else {})


def _amounts(billing: Billing) -> Body:
    amounts: Body = {"currency": billing.currency, "billingAmount": str(billing.money(billing.amount))}
    amounts["setupFee"] = str(billing.money(billing.setup_fee))
    if billing.surcharge or billing.surcharge_text:
        surcharge: Body = {"amount": str(billing.money(billing.surcharge))}
        if billing.surcharge_text:
            surcharge["description"] = billing.surcharge_text
        amounts["surcharge"] = surcharge
    return amounts


def _subscription_links(subscription: Subscription, *, update: bool = False) -> Body:
    """A subscription's own link, and those of what its state permits."""
    own = f"/rbs/v1/subscriptions/{ids.show(subscription.id)}"
    links: Body = {"self": _link(own, "GET")}
    if subscription.state in FINAL:
        return links
    if update:
        links["update"] = _link(own, "PATCH")
    links["cancel"] = _link(f"{own}/cancel", "POST")
    turn = "suspend" if subscription.state in RUNNING else "activate"
    return links | {turn: _link(f"{own}/{turn}", "POST")}


def _short(subscription: Subscription) -> Body:
    return {"code": subscription.code, "status": subscription.state.value}


def subscription_made(
    subscription: Subscription, now: datetime, status: str = "COMPLETED", *, is_new: bool = True
) -> Body:
    """What creating and changing a subscription is answered with."""
    body: Body = {
        "_links": _subscription_links(subscription, update=True),
        "id": ids.show(subscription.id),
        "submitTimeUtc": wire_time(now),
        "status": status,
        "subscriptionInformation": _short(subscription),
    }
    if subscription.reference and is_new:
        body["clientReferenceInformation"] = {"code": subscription.reference}
    return body


def subscription_turned(subscription: Subscription, now: datetime, status: str) -> Body:
    """What activating, suspending and cancelling are answered with."""
    own = f"/rbs/v1/subscriptions/{ids.show(subscription.id)}"
    return {
        "_links": {"self": _link(own, "GET")},
        "id": ids.show(subscription.id),
        "submitTimeUtc": wire_time(now),
        "status": status,
        "subscriptionInformation": _short(subscription),
    }


def _subscription(subscription: Subscription) -> Body:
    plan: Body = {"code": subscription.plan_code, "name": subscription.plan_name} if subscription.plan_id else {}
    plan |= _periods(subscription.billing, subscription.period if subscription.paid or subscription.missed else 0)
    information: Body = {"code": subscription.code}
    if subscription.plan_id is not None:
        information["planId"] = ids.show(subscription.plan_id)
    information |= {
        "name": subscription.name,
        "startDate": wire_time(subscription.starts_at),
        "status": subscription.state.value,
    }
    body: Body = {
        "_links": _subscription_links(subscription),
        "id": ids.show(subscription.id),
        "planInformation": plan,
        "subscriptionInformation": information,
        "paymentInformation": {"customer": {"id": subscription.customer}},
        "orderInformation": {
            "amountDetails": _amounts(subscription.billing),
            "billTo": {"firstName": subscription.first_name, "lastName": subscription.last_name},
        },
    }
    if subscription.reference:
        body["clientReferenceInformation"] = {"code": subscription.reference}
    return body


def subscription_shown(subscription: Subscription, now: datetime) -> Body:
    shown = _subscription(subscription)
    body: Body = {"_links": shown.pop("_links"), "id": shown.pop("id"), "submitTimeUtc": wire_time(now)} | shown
    if subscription.state is State.SUSPENDED:
        missed = sum(1 for _ in missed_until(subscription, now))
        billing = subscription.billing
        body["reactivationInformation"] = {
            "missedPaymentsCount": str(missed),
            "missedPaymentsTotalAmount": str(billing.money(missed * (billing.amount + billing.surcharge))),
        }
    return body


def subscription_list(found: Sequence[Subscription], total: int, page: Page, now: datetime) -> Body:
    return {
        "_links": _pages("/rbs/v1/subscriptions", total, page),
        "submitTimeUtc": wire_time(now),
        "totalCount": total,
        "subscriptions": list(map(_subscription, found)),
    }


class Row(Struct, frozen=True, kw_only=True):
    """One payment of a subscription: made, under way, or to come."""

    period: int
    number: int
    amount: int
    setup_fee: int
    at: datetime
    status: str
    id: int | None = None
    transaction_id: int | None = None


def payments_shown(subscription: Subscription, rows: Sequence[Row], total: int, page: Page, now: datetime) -> Body:
    return {
        "_links": _pages(f"/rbs/v1/subscriptions/{ids.show(subscription.id)}/payments", total, page, "prev"),
        "submitTimeUtc": wire_time(now),
        "totalCount": total,
        "cyclesCompletedCount": {"paid": subscription.paid},
        "billingCyclesToSkip": list(subscription.skips),
        "subscriptionPayment": [_row(subscription, each) for each in rows],
    }


def _row(subscription: Subscription, shown: Row) -> Body:
    billing = subscription.billing
    body: Body = {}
    if shown.id is not None:
        body["id"] = ids.show(shown.id)
    body |= {"status": shown.status, "paymentType": "RECURRING"}
    if shown.transaction_id is not None:
        body["transactionID"] = ids.show(shown.transaction_id)
    body |= {
        "date": wire_time(shown.at),
        "currency": billing.currency,
        "billingStartDate": wire_time(due_of(subscription, shown.period)),
        "billingEndDate": wire_time(due_of(subscription, shown.period + 1)),
        "billingCycle": shown.period,
        "paymentNumber": shown.number,
        "billingAmount": str(billing.money(shown.amount)),
        "setupFee": str(billing.money(shown.setup_fee)),
    }
    if billing.surcharge:
        body |= {
            "surchargeAmount": str(billing.money(billing.surcharge)),
            "surchargeDescription": billing.surcharge_text,
        }
    return body | {"modifiable": shown.id is None}


def skips_made(subscription: Subscription, now: datetime) -> Body:
    own = f"/rbs/v1/subscriptions/{ids.show(subscription.id)}/payments"
    return {
        "_links": {"self": _link(own, "GET"), "update": _link(own, "PUT")},
        "submitTimeUtc": wire_time(now),
        "status": "COMPLETED",
        "billingCyclesToSkip": list(subscription.skips),
    }


# ---- a subscription that follows on a payment


def bill_to_of(payment: Payment) -> Body:
    """The billing address that came with a payment."""
    kept = msgspec.json.decode(payment.root.particulars or b"{}", type=dict[str, object])
    found = find(kept, ("orderInformation", "billTo"))
    return dict(found) if isinstance(found, dict) else {}


def card_of(payment: Payment) -> Body:
    """A payment's card as a payment instrument has it; its number is another token's."""
    year, _, month = payment.expiry.partition("-")
    card: Body = {"expirationMonth": month, "expirationYear": year} if month else {}
    code = TYPE_OF_BRAND.get(payment.brand) if payment.brand else None
    return card | ({"type": code} if code else {})


def follow_on(payment: Payment) -> Body:
    """What a subscription can be made of."""
    own = f"/rbs/v1/subscriptions/follow-ons/{ids.show(payment.root.id)}"
    bill_to = bill_to_of(payment)
    number = payment.pan_prefix + "X" * 6 + payment.pan_suffix
    body: Body = {
        "_links": {"self": _link(own, "GET"), "create": _link(own, "POST")},
        "paymentInstrument": {"card": {"number": number, **card_of(payment)}, "billTo": bill_to},
    }
    if bill_to.get("email"):
        body["buyerInformation"] = {"email": bill_to["email"]}
    return body


# ---- the payment of a charge


def members_of(subscription: Subscription, charge: Charge | None) -> Body:
    """What a merchant would have sent with a recurring payment: read back with the payment's details."""
    initiator: Body = {"type": "merchant", "storedCredentialUsed": True}
    before: Body = {}
    if subscription.original:
        before["previousTransactionId"] = subscription.original
    if subscription.original_amount:
        before["originalAuthorizedAmount"] = subscription.original_amount
    if before:
        initiator["merchantInitiatedTransaction"] = before
    processing: Body = {"commerceIndicator": "recurring", "authorizationOptions": {"initiator": initiator}}
    if charge is not None:
        processing["capture"] = True
        processing["recurringOptions"] = {"firstRecurringPayment": charge.period == 1}
    sequence: Body = {}
    if charge is not None:
        sequence["sequenceNumber"] = charge.period
        if subscription.billing.cycles is not None:
            sequence["numberOfPayments"] = subscription.billing.cycles
    body: Body = {
        "processingInformation": processing,
        "paymentInformation": {"customer": {"id": subscription.customer}},
        "recurringPaymentInformation": sequence,
        "subscriptionInformation": {"code": subscription.code, "name": subscription.name},
    }
    if subscription.first_name or subscription.last_name:
        body["orderInformation"] = {
            "billTo": {"firstName": subscription.first_name, "lastName": subscription.last_name}
        }
    return body


def names_of(document: Mapping[str, object]) -> tuple[str, str]:
    """First and last name of a payment instrument's billing address."""
    bill_to = find(document, ("billTo",))
    given = bill_to if isinstance(bill_to, dict) else {}
    return str(given.get("firstName") or ""), str(given.get("lastName") or "")


def answer_of(payment: Payment, transaction: Transaction) -> tuple[int, bytes]:
    """A recurring payment's answer, as any other payment's."""
    kept = msgspec.json.decode(transaction.particulars or b"{}", type=dict[str, object])
    return encode_payment(payment, transaction, echo_of(kept))
