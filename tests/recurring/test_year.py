"""A year of a subscription, on both engines: exactly one charge a period, whatever the calendar does."""

import itertools
from datetime import datetime

import pytest

from tests.acceptance.client import Service
from tests.recurring.shop import Shop, own_terms, plan, subscription

_numbers = itertools.count(1)


@pytest.fixture
def shop(service: Service) -> Shop:
    """A merchant whose clock nobody else moves."""
    return Shop(service.merchant(f"recurring_{service.port}_{next(_numbers)}")).on_the_tenth()


def test_twelve_monthly_cycles_are_twelve_charges(shop: Shop) -> None:
    plan_id = shop.plan(plan(orderInformation__amountDetails__setupFee="2.00"))
    made = shop.subscribe(subscription(shop.customer(), shop.today(), subscriptionInformation__planId=plan_id))
    assert made.status == 201, made.body
    assert made.json["status"] == "COMPLETED"
    assert made.json["subscriptionInformation"]["status"] == "ACTIVE"
    assert shop.told(made.id) == [(1, "PAID")]
    for month in range(2, 13):
        shop.advance("1mo")
        shop.advance("1h")
        shop.until_paid(made.id, month)
    assert shop.state(made.id) == "COMPLETED"
    shop.advance("1y")
    charges = shop.payments(made.id)
    assert [(each["billingCycle"], each["status"]) for each in charges] == [(n, "PAID") for n in range(1, 13)]
    assert charges[0]["setupFee"] == "2.00"
    first = shop.till.details(charges[0]["transactionID"])
    assert first["orderInformation"]["amountDetails"]["totalAmount"] == "12.00"
    assert first["processingInformation"]["commerceIndicator"] == "recurring"
    assert first["processingInformation"]["authorizationOptions"]["initiator"]["type"] == "merchant"
    last = shop.till.details(charges[-1]["transactionID"])
    assert last["orderInformation"]["amountDetails"]["totalAmount"] == "10.00"
    assert last["recurringPaymentInformation"] == {"sequenceNumber": 12, "numberOfPayments": 12}
    paid_at = datetime.fromisoformat(last["submitTimeUTC"])
    assert (paid_at - datetime.fromisoformat(first["submitTimeUTC"])).days >= 330
    assert shop.till.call("GET", f"/pts/v2/payments/{charges[0]['transactionID']}").json["status"] == "AUTHORIZED"
    shop.assert_books()


def test_the_last_day_of_a_month_stays_the_last_day(shop: Shop) -> None:
    year = shop.now().year + 1
    shop.go_to(f"{year}-01-31T10:00:00Z")
    made = shop.subscribe(subscription(shop.customer(), f"{year}-01-31T10:00:00Z", **own_terms(cycles="4")))
    dates = [each["billingStartDate"][5:10] for each in shop.payments(made.id, scheduled=3)]
    february = "02-29" if year % 4 == 0 else "02-28"
    assert dates == ["01-31", february, "03-31", "04-30"]
    shop.go_to(f"{year}-{february}T09:59:00Z")
    assert shop.told(made.id) == [(1, "PAID")]
    shop.go_to(f"{year}-{february}T10:00:01Z")
    shop.until_paid(made.id, 2)
    shop.go_to(f"{year}-03-30T23:00:00Z")
    assert len(shop.told(made.id)) == 2
    shop.go_to(f"{year}-03-31T10:00:01Z")
    shop.until_paid(made.id, 3)
