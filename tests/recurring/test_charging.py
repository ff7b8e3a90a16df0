"""What becomes of a subscription when charges are declined, and when its merchant stops it: on both engines."""

import itertools

import pytest

from tests.acceptance.client import MASTERCARD, Service
from tests.recurring.shop import Shop, own_terms, plan, subscription

_numbers = itertools.count(1)
SOFT = "2203.00"
"""The simulated processor refuses this amount: another day may bring another answer."""
HARD = "2201.00"
"""An invalid account."""


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(service.merchant(f"charging_{service.port}_{next(_numbers)}")).on_the_tenth()


def running(shop: Shop, **changes: object) -> str:
    """A monthly subscription whose first period is paid."""
    document = subscription(shop.customer(), shop.today(), **own_terms(**changes))  # type: ignore[arg-type]
    made = shop.subscribe(document)
    assert made.json["subscriptionInformation"]["status"] == "ACTIVE", made.body
    return made.id


def bill(shop: Shop, identifier: str, amount: str) -> None:
    change = {"orderInformation": {"amountDetails": {"billingAmount": amount}}}
    changed = shop.till.call("PATCH", f"/rbs/v1/subscriptions/{identifier}", change)
    assert changed.status == 200, changed.body


def test_a_soft_decline_is_tried_again_and_recovers(shop: Shop) -> None:
    identifier = running(shop)
    bill(shop, identifier, SOFT)
    shop.advance("1mo1h")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "DECLINED")])
    assert shop.state(identifier) == "DELINQUENT"
    shop.advance("1d")
    assert shop.told(identifier) == [(1, "PAID"), (2, "DECLINED")]
    bill(shop, identifier, "10.00")
    shop.advance("1d1h")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "DECLINED"), (2, "PAID")])
    assert shop.state(identifier) == "ACTIVE"
    shop.assert_books()


def test_retries_end_and_the_subscription_is_suspended(shop: Shop) -> None:
    identifier = running(shop)
    bill(shop, identifier, SOFT)
    shop.advance("1mo1h")
    for tries in range(1, 5):
        wanted = [(1, "PAID"), *[(2, "DECLINED")] * tries]
        shop.until(identifier, lambda told, wanted=wanted: told == wanted)  # type: ignore[misc]
        assert shop.state(identifier) == ("DELINQUENT" if tries < 4 else "SUSPENDED")
        shop.advance("2d1h")
    bill(shop, identifier, "10.00")
    found = shop.read(identifier)
    assert found["reactivationInformation"] == {"missedPaymentsCount": "1", "missedPaymentsTotalAmount": "10.00"}
    activated = shop.till.post(f"/rbs/v1/subscriptions/{identifier}/activate", {})
    assert (activated.status, activated.json["status"]) == (200, "COMPLETED")
    shop.until(identifier, lambda told: told[-1] == (2, "PAID"))
    assert shop.state(identifier) == "ACTIVE"


@pytest.mark.parametrize(
    ("setting", "state", "charges"),
    [
        ("cancel", "CANCELLED", [(1, "PAID"), (2, "DECLINED")]),
        ("continue", "ACTIVE", [(1, "PAID"), (2, "DECLINED"), (3, "PAID")]),
    ],
)
def test_what_a_hard_decline_leads_to_is_a_setting(
    service: Service, setting: str, state: str, charges: list[tuple[int, str]]
) -> None:
    shop = Shop(service.merchant(f"hard_{service.port}_{setting}", recurring_exhausted=setting)).on_the_tenth()
    identifier = running(shop)
    bill(shop, identifier, HARD)
    shop.advance("1mo1h")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "DECLINED")])
    if setting == "continue":
        bill(shop, identifier, "10.00")
    shop.advance("1mo")
    shop.until(identifier, lambda told: told == charges)
    assert shop.state(identifier) == state


def test_a_hard_decline_suspends_at_once_and_another_card_goes_on(shop: Shop) -> None:
    customer = shop.customer(expiry="2031-12")
    made = shop.subscribe(subscription(customer, shop.today(), **own_terms()))
    shop.go_to("2032-01-10T00:00:00Z")
    told = shop.until(made.id, lambda told: told[-1:] == [(told[-1][0], "DECLINED")])
    assert shop.state(made.id) == "SUSPENDED"
    shop.recard(customer, MASTERCARD)
    shop.till.post(f"/rbs/v1/subscriptions/{made.id}/activate?processMissedPayments=false", {})
    assert shop.state(made.id) in ("ACTIVE", "COMPLETED")
    assert shop.told(made.id) == told


def test_a_subscription_whose_first_charge_is_declined_has_failed(shop: Shop) -> None:
    made = shop.subscribe(subscription(shop.customer(), shop.today(), **own_terms(SOFT)))
    assert (made.status, made.json["status"]) == (201, "DECLINED")
    assert made.json["subscriptionInformation"]["status"] == "FAILED"
    shop.advance("1y")
    assert shop.told(made.id) == [(1, "DECLINED")]
    refused = shop.till.post(f"/rbs/v1/subscriptions/{made.id}/activate", {})
    assert (refused.status, refused.json["details"][0]["reason"]) == (400, "INVALID_FOR_ACTIVATION")


def test_what_starts_later_is_verified_now_and_charged_then(shop: Shop) -> None:
    year = shop.now().year + 1
    made = shop.subscribe(subscription(shop.customer(), f"{year}-05-20T00:00:00Z", **own_terms()))
    assert (made.json["status"], made.json["subscriptionInformation"]["status"]) == ("COMPLETED", "PENDING")
    assert shop.told(made.id) == []
    shop.go_to(f"{year}-05-20T00:00:01Z")
    shop.until_paid(made.id, 1)
    assert shop.state(made.id) == "ACTIVE"
    bad = shop.subscribe(subscription(shop.customer(expiry="2020-01"), f"{year}-06-20T00:00:00Z", **own_terms()))
    assert (bad.json["status"], bad.json["subscriptionInformation"]["status"]) == ("DECLINED", "FAILED")


def test_suspended_nothing_is_charged_and_activated_what_was_missed_is(shop: Shop) -> None:
    charged, passed = running(shop), running(shop, amount="20.00")
    for identifier in (charged, passed):
        stopped = shop.till.post(f"/rbs/v1/subscriptions/{identifier}/suspend", {})
        assert (stopped.status, stopped.json["status"]) == (202, "ACCEPTED")
        assert stopped.json["subscriptionInformation"]["status"] == "SUSPENDED"
    shop.advance("3mo1h")
    assert shop.told(charged) == shop.told(passed) == [(1, "PAID")]
    missed = shop.read(charged)["reactivationInformation"]
    assert missed == {"missedPaymentsCount": "3", "missedPaymentsTotalAmount": "30.00"}
    shop.till.post(f"/rbs/v1/subscriptions/{charged}/activate", {})
    shop.till.post(f"/rbs/v1/subscriptions/{passed}/activate?processMissedPayments=false", {})
    shop.until_paid(charged, 4)
    assert shop.told(passed) == [(1, "PAID")]
    shop.advance("1mo")
    shop.until_paid(charged, 5)
    shop.until(passed, lambda told: told == [(1, "PAID"), (5, "PAID")])
    shop.assert_books()


def test_cancelled_is_for_good(shop: Shop) -> None:
    identifier = running(shop)
    ended = shop.till.post(f"/rbs/v1/subscriptions/{identifier}/cancel", {})
    assert (ended.status, ended.json["subscriptionInformation"]["status"]) == (202, "CANCELLED")
    shop.advance("2mo")
    assert shop.told(identifier) == [(1, "PAID")]
    for verb in ("activate", "suspend", "cancel"):
        assert shop.till.post(f"/rbs/v1/subscriptions/{identifier}/{verb}", {}).status == 400
    assert list(shop.read(identifier)["_links"]) == ["self"]


def test_another_plan_is_charged_at_once(shop: Shop) -> None:
    identifier = running(shop)
    other = shop.plan(plan("Platinum", "30.00", planInformation__billingCycles={"total": "2"}))
    changed = shop.till.call(
        "PATCH", f"/rbs/v1/subscriptions/{identifier}", {"subscriptionInformation": {"planId": other}}
    )
    assert changed.status == 200, changed.body
    shop.until_paid(identifier, 2)
    assert [each["billingAmount"] for each in shop.payments(identifier)][1:] == ["30.00"]
    shop.advance("1mo1h")
    shop.until_paid(identifier, 3)
    assert shop.state(identifier) == "COMPLETED"


def test_a_skipped_cycle_is_not_charged(shop: Shop) -> None:
    identifier = running(shop, cycles="4")
    path = f"/rbs/v1/subscriptions/{identifier}/payments"
    skipped = shop.till.call("PUT", path, {"billingCyclesToSkip": [3]})
    assert (skipped.status, skipped.json["billingCyclesToSkip"]) == (200, [3])
    assert shop.till.call("PUT", path, {"billingCyclesToSkip": [1]}).status == 400
    shop.advance("4mo")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "PAID"), (4, "PAID")])
    assert shop.state(identifier) == "COMPLETED"


def test_an_acquirer_that_fails_uses_up_no_retry(shop: Shop) -> None:
    identifier = running(shop)
    bill(shop, identifier, "2000.00")
    shop.advance("1mo1h")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "FAILED")])
    assert shop.state(identifier) == "ACTIVE"
    bill(shop, identifier, "10.00")
    shop.advance("61m")
    shop.until(identifier, lambda told: told == [(1, "PAID"), (2, "FAILED"), (2, "PAID")])
