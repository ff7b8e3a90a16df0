"""Subscriptions of the PaymentOptions wire (cases 49 to 53), charged by the one engine under a moved clock."""

import time
import uuid
from dataclasses import asdict, replace

import pytest

from kessai.client import Plan, Result
from tests.acceptance.client import Service
from tests.acceptance.options import CARD, HOME, PREFIX, Json, Shop, paid, shop_of

PLAN = Plan(
    plan_name="Gold",
    plan_desc="Every other day",
    cycle_type="DAYS",
    cycle_interval=2,
    max_cycle_count=3,
    has_trial_period=False,
    trial_period_duration=14,
    has_discount=True,
    discount_percentage=10,
    discount_duration=2,
)


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "po_subscriptions")


def subscribe(shop: Shop, **changes: object) -> Result:
    plan: Json = {
        "plan_name": "Gold",
        "plan_desc": "Every other day",
        "cycle_type": "DAYS",
        "cycle_interval": 2,
        "subscription_end_type": "CYCLE",
        "max_cycle_count": 3,
        "has_trial_period": False,
        "trial_period_duration_type": "DAYS",
        "trial_period_duration": 14,
        "has_discount": True,
        "discount_percentage": 10,
        "discount_duration": 2,
    }
    return shop.post("subscription/payment", shop.body(subscription=plan | changes))


def details(shop: Shop, subscription: str) -> Json:
    found = shop.client.subscription(subscription)
    assert (found.status, list(found.document)) == (200, ["success", "status_code", "is_live", "subscription_details"])
    told = found.document["subscription_details"]
    assert isinstance(told, dict)
    return told


def advance(shop: Shop, by: str) -> None:
    house = shop.service.house
    shop.service.run(house.clocks.move(house.accounts.get(shop.merchant), advance=by))


def until(shop: Shop, subscription: str, completed: int) -> Json:
    """The subscription once so many cycles are paid."""
    deadline = time.monotonic() + 20
    while (found := details(shop, subscription))["completed_payment_cycle"] < completed:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_a_subscription_is_charged_to_its_end(service: Service) -> None:
    shop = shop_of(service, "po_subscribed")
    made = paid(subscribe(shop))
    assert (made.document["transaction_type"], made.code) == ("CAPTURE", "INFO0000")
    assert made.document["payment_details"]["amount"] == 900
    assert uuid.UUID(made.subscription).version == 4
    status = shop.client.status(made.id).document
    assert status["transaction_details"]["billing_details"]["billing_address"]["city"] == "Chiyoda-ku"
    found = details(shop, made.subscription)
    assert (found["status"], found["type"], found["max_cycle_count"]) == ("ACTIVE", "CYCLE", 3)
    assert (found["completed_payment_cycle"], found["next_payment_cycle"]) == (1, 2)
    assert found["last_payment_status"] == "SUCCESSFUL"
    assert found["subscription_plan_details"] == {
        "name": "Gold",
        "desc": "Every other day",
        "billing_cycle_type": "DAYS",
        "billing_cycle_interval": 2,
        "amount": 1000,
        "ccy": "JPY",
        "trial_period_duration": "",
        "trial_period_duration_type": "NONE",
        "plan_discount_percentage": 10,
        "plan_discount_duration": 2,
    }
    [first] = found["subscription_transaction_details"]
    assert (first["id"], first["ref"], first["cycle"]) == (made.id, made.ref, 1)
    assert (first["status"], first["event"], first["amount"], first["ccy"]) == ("SUCCESSFUL", "CAPTURED", 900, "JPY")
    assert found["next_payment_date"].endswith("Z")

    advance(shop, "2d")
    assert until(shop, made.subscription, 2)["subscription_transaction_details"][1]["amount"] == 900
    advance(shop, "2d")
    ended = until(shop, made.subscription, 3)
    assert ended["subscription_transaction_details"][2]["amount"] == 1000  # two cycles were discounted
    assert (ended["status"], ended["next_payment_date"]) == ("EXPIRED", None)
    [listed] = shop.client.subscriptions()
    assert listed["id"] == made.subscription
    assert "last_payment_status" not in listed
    later = ended["subscription_transaction_details"][2]["id"]
    paid(shop.follow("refund", later, amount=1000))
    shop.service.assert_books()


def test_the_list_and_the_details_as_they_are_sent(service: Service) -> None:
    """Cases 50 and 53: an array and an object beside nothing else, and no `gateway_response`."""
    shop = shop_of(service, "po_case_50")
    [one, other] = [paid(subscribe(shop)) for _ in range(2)]
    listed, read = (
        shop.raw("GET", f"{PREFIX}/subscription/{name}", shop.client.headers) for name in ("list", one.subscription)
    )
    for answer in (listed, read):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
        found = answer.json()
        assert list(found) == ["success", "status_code", "is_live", "subscription_details"]
        assert (found["success"], found["status_code"], found["is_live"]) == (True, 200, False)
    everything, whole = listed.json()["subscription_details"], read.json()["subscription_details"]
    assert (type(everything), type(whole)) == (list, dict)
    assert [each["id"] for each in everything] == [one.subscription, other.subscription]
    assert list(whole) == [
        "id",
        "type",
        "max_cycle_count",
        "status",
        "completed_payment_cycle",
        "last_payment_status",
        "next_payment_date",
        "next_payment_cycle",
        "subscription_plan_details",
        "subscription_transaction_details",
    ]
    for found in (everything[0], whole):
        assert (found["id"], found["status"], found["completed_payment_cycle"]) == (one.subscription, "ACTIVE", 1)
        plan, [charge] = found["subscription_plan_details"], found["subscription_transaction_details"]
        assert (plan["amount"], type(plan["amount"]), plan["ccy"]) == (1000, int, "JPY")
        assert list(charge) == ["id", "ref", "cycle", "status", "transaction_date", "amount", "ccy", "event"]
        assert (charge["amount"], type(charge["amount"]), charge["event"]) == (900, int, "CAPTURED")
    assert {**everything[0], "last_payment_status": "SUCCESSFUL"} == whole


def test_pause_resume_cancel_have_no_body(shop: Shop) -> None:
    made = paid(subscribe(shop))
    path = f"{PREFIX}/subscription/{made.subscription}"
    for how, status in (("pause", "PAUSED"), ("resume", "ACTIVE"), ("cancel", "CANCELLED")):
        answer = shop.raw("POST", f"{path}/{how}", shop.client.headers)
        found = answer.json()
        assert answer.status_code == 200
        assert list(found) == ["success", "status_code", "is_live", "gateway_response", "subscription_details"]
        assert (found["gateway_response"]["code"], found["gateway_response"]["message"]) == (
            "INFO3000",
            "Subscription Updated.",
        )
        assert found["subscription_details"]["status"] == status
        assert found["subscription_details"]["next_payment_date"]
    for how in ("pause", "resume", "cancel"):
        refused = shop.client.call("POST", f"/subscription/{made.subscription}/{how}")
        assert (refused.status, refused.code) == (412, "ERR4132"), "case 52"


def test_a_paused_subscription_goes_on_where_it_stopped(service: Service) -> None:
    shop = shop_of(service, "po_paused")
    made = paid(subscribe(shop))
    assert shop.client.turn(made.subscription, "pause").success
    advance(shop, "3d")
    assert details(shop, made.subscription)["completed_payment_cycle"] == 1
    assert shop.client.turn(made.subscription, "resume").success
    assert until(shop, made.subscription, 2)["status"] == "ACTIVE"


def test_a_trial_is_charged_after_it(service: Service) -> None:
    shop = shop_of(service, "po_trial")
    made = paid(subscribe(shop, has_trial_period=True))
    assert made.document["payment_details"]["amount"] == 0
    found = details(shop, made.subscription)
    assert (found["status"], found["completed_payment_cycle"]) == ("ACTIVE", 0)
    assert found["subscription_plan_details"]["trial_period_duration"] == 14
    advance(shop, "14d")
    assert until(shop, made.subscription, 1)["subscription_transaction_details"][0]["amount"] == 900


def test_a_first_payment_that_is_declined_is_no_subscription(service: Service) -> None:
    shop = shop_of(service, "po_declined", **{"risk.subscription_maximums": '{"JPY": 500}'})
    made = subscribe(shop)
    assert (made.status, made.code, made.response_code) == (412, "ERR3016", -8006)
    assert shop.client.status(made.id).code == "ERR3016"
    assert shop.client.subscriptions() == []


@pytest.mark.parametrize("trial", [False, True])
def test_a_bound_merchants_card_is_not_kept_unasked(service: Service, trial: bool) -> None:
    """The cardholder must be authenticated when a card is stored, and this route asks nobody."""
    bound = shop_of(service, f"po_bound_{trial}".lower(), three_d_secure="obligatory")
    result = subscribe(bound, has_trial_period=trial)
    assert (result.status, result.success, result.response_code) == (201, False, 65)
    assert not result.token
    bound.service.assert_books()


def test_a_card_that_is_declined_at_first_is_not_kept(service: Service) -> None:
    shop = shop_of(service, "po_not_kept")
    page = {"merchant_id": shop.merchant, "after": "", "most": 100}
    before = service.run(service.house.database.read("tokens_page", page))
    made = shop.post(
        "subscription/payment", shop.body(amount="1500", subscription=asdict(replace(PLAN, has_discount=False)))
    )
    assert (made.status, made.success, made.code) == (201, False, "ERR0005"), made.document
    found = details(shop, made.subscription)
    assert (found["status"], found["completed_payment_cycle"]) == ("FAILED", 0)
    after = service.run(service.house.database.read("tokens_page", page))
    made_here = [row for row in after if row[1] not in {known[1] for known in before}]
    assert len(made_here) == 3
    assert all(row[7] is not None and row[13] is None for row in made_here), "deleted, and no number is left"


def test_another_merchants_subscription_is_like_none(service: Service, shop: Shop) -> None:
    made = paid(subscribe(shop))
    other = shop_of(service, "po_other_subscriptions")
    for identifier in (made.subscription, str(uuid.uuid4()), made.id, "1"):
        for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel")):
            answer = other.client.call(method, f"/subscription/{identifier}{path}")
            assert (answer.status, answer.code) == (404, "ERR4003")
    assert details(shop, made.subscription)["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"cycle_type": "HOURLY"}, "subscription.cycle_type"),
        ({"cycle_interval": 0}, "subscription.cycle_interval"),
        ({"max_cycle_count": "many"}, "subscription.max_cycle_count"),
        ({"plan_name": ""}, "subscription.plan_name"),
        ({"subscription_end_type": "DATE"}, "subscription.subscription_end_type"),
        ({"discount_percentage": 100}, "subscription.discount_percentage"),
    ],
)
def test_a_plan_that_cannot_be(shop: Shop, changes: dict[str, object], member: str) -> None:
    result = subscribe(shop, **changes)
    assert (result.status, f"`{member}`" in result.message) == (400, True)


def test_the_typed_client_subscribes(shop: Shop) -> None:
    made = paid(shop.client.subscribe("1000", "JPY", HOME, PLAN, card=CARD))
    assert shop.client.turn(made.subscription, "cancel").success
    assert made.subscription in [found["id"] for found in shop.client.subscriptions()]
