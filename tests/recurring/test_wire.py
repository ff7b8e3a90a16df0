"""Plans and subscriptions as a merchant meets them: documents, lists, errors, keys, other merchants. Both engines."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.client import UNKNOWN, Json, Service, changed, payment
from tests.acceptance.test_echecks import echeck
from tests.recurring.shop import Shop, own_terms, plan, subscription

_numbers = itertools.count(1)
NOT_FOUND = (404, "NOT_FOUND", "NOT_FOUND")


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(service.merchant(f"wire_{service.port}_{next(_numbers)}"))


def later(shop: Shop) -> str:
    """A start that lies ahead."""
    return f"{shop.now().year + 1}-05-20T00:00:00Z"


# ---- plans


def test_a_plan_is_made_and_read(shop: Shop) -> None:
    made = shop.till.post("/rbs/v1/plans", plan(planInformation__description="All of it", planInformation__code="G1"))
    assert made.status == 201
    own = f"/rbs/v1/plans/{made.id}"
    assert made.json | {"submitTimeUtc": ""} == {
        "_links": {
            "self": {"href": own, "method": "GET"},
            "update": {"href": own, "method": "PATCH"},
            "deactivate": {"href": f"{own}/deactivate", "method": "POST"},
        },
        "id": made.id,
        "submitTimeUtc": "",
        "status": "COMPLETED",
        "planInformation": {"code": "G1", "status": "ACTIVE"},
    }
    shown = shop.till.call("GET", own)
    assert shown.json | {"submitTimeUtc": ""} == {
        "_links": {"self": {"href": own, "method": "GET"}},
        "id": made.id,
        "submitTimeUtc": "",
        "planInformation": {
            "code": "G1",
            "status": "ACTIVE",
            "name": "Gold Plan",
            "description": "All of it",
            "billingPeriod": {"length": "1", "unit": "M"},
            "billingCycles": {"total": "12"},
        },
        "orderInformation": {
            "amountDetails": {"currency": "USD", "billingAmount": "10.00", "setupFee": "0.00"},
        },
    }


def test_codes_are_given_in_turn_and_had_once(shop: Shop) -> None:
    first = shop.till.call("GET", "/rbs/v1/plans/code").json["code"]
    made = shop.till.post("/rbs/v1/plans", plan())
    assert made.json["planInformation"]["code"] == first
    assert shop.till.call("GET", "/rbs/v1/plans/code").json["code"] == str(int(first) + 1)
    taken = shop.till.post("/rbs/v1/plans", plan(planInformation__code=first))
    assert (taken.said, taken.fields) == (
        (400, "INVALID_REQUEST", "DUPLICATE_REQUEST"),
        [("planInformation.code", "DUPLICATE")],
    )
    code = shop.till.call("GET", "/rbs/v1/subscriptions/code").json["code"]
    subscribed = shop.subscribe(subscription(shop.customer(), later(shop), **own_terms()))
    assert subscribed.json["subscriptionInformation"]["code"] == code == "WIR-1"


def test_many_plans_at_once_get_codes_of_their_own(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: shop.till.post("/rbs/v1/plans", plan()), range(8)))
    assert {reply.status for reply in made} == {201}
    assert len({reply.json["planInformation"]["code"] for reply in made}) == 8


def test_a_plan_goes_through_its_states(shop: Shop) -> None:
    made = shop.till.post("/rbs/v1/plans", plan(planInformation__status="DRAFT"))
    own = f"/rbs/v1/plans/{made.id}"
    assert shop.subscribe(subscription(shop.customer(), later(shop), subscriptionInformation__planId=made.id)).said == (
        400,
        "INVALID_REQUEST",
        "INVALID_DATA",
    )
    assert shop.till.call("PATCH", own, {"planInformation": {"billingPeriod": {"unit": "y"}}}).status == 200
    assert shop.till.post(f"{own}/deactivate", {}).status == 400
    assert shop.till.post(f"{own}/activate", {}).json["planInformation"]["status"] == "ACTIVE"
    assert shop.till.post(f"{own}/activate", {}).said == (400, "INVALID_REQUEST", "INVALID_DATA")
    assert shop.till.call("PATCH", own, {"planInformation": {"billingPeriod": {"unit": "M"}}}).status == 400
    assert shop.till.post(f"{own}/deactivate", {}).json["planInformation"]["status"] == "INACTIVE"
    assert shop.till.call("PATCH", own, {"planInformation": {"name": "New"}}).status == 400
    assert shop.till.call("GET", own).json["planInformation"]["billingPeriod"]["unit"] == "Y"
    gone = shop.till.call("DELETE", own)
    assert (gone.status, gone.json["status"]) == (200, "COMPLETED")
    assert shop.till.call("GET", own).said == NOT_FOUND


def test_a_plan_that_was_subscribed_to_stays_and_may_change_its_subscriptions(shop: Shop) -> None:
    plan_id = shop.plan(plan())
    made = shop.subscribe(subscription(shop.customer(), later(shop), subscriptionInformation__planId=plan_id))
    own = f"/rbs/v1/plans/{plan_id}"
    assert shop.till.call("DELETE", own).status == 400
    amounts = {"orderInformation": {"amountDetails": {"billingAmount": "11.00"}}}
    assert shop.till.call("PATCH", own, amounts).status == 200
    assert shop.read(made.id)["orderInformation"]["amountDetails"]["billingAmount"] == "10.00"
    everybody = {"processingInformation": {"subscriptionBillingOptions": {"applyTo": "ALL"}}}
    assert shop.till.call("PATCH", own, amounts | everybody).status == 200
    assert shop.read(made.id)["orderInformation"]["amountDetails"]["billingAmount"] == "11.00"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"planInformation__name": None}, "planInformation.name"),
        ({"planInformation__billingPeriod": {"length": "1", "unit": "Q"}}, "planInformation.billingPeriod.unit"),
        ({"planInformation__billingPeriod": {"length": "0", "unit": "M"}}, "planInformation.billingPeriod.length"),
        ({"planInformation__billingCycles": {"total": "-1"}}, "planInformation.billingCycles.total"),
        ({"planInformation__status": "INACTIVE"}, "planInformation.status"),
        ({"orderInformation__amountDetails__currency": "XXX"}, "orderInformation.amountDetails.currency"),
        ({"orderInformation__amountDetails__billingAmount": "1e3"}, "orderInformation.amountDetails.billingAmount"),
        ({"orderInformation__amountDetails__billingAmount": None}, "orderInformation.amountDetails.billingAmount"),
    ],
)
def test_a_bad_plan_is_told_by_its_member(shop: Shop, changes: Json, field: str) -> None:
    reply = shop.till.post("/rbs/v1/plans", plan(**changes))
    assert reply.said == (400, "INVALID_REQUEST", "VALIDATION_ERROR")
    assert reply.fields == [(field, "INVALID_DATA")]
    assert reply.json["submitTimeUtc"]


def test_plans_are_listed_in_pages(shop: Shop) -> None:
    made = [shop.plan(plan(f"Plan {number}")) for number in range(5)]
    shop.till.post(f"/rbs/v1/plans/{made[1]}/deactivate", {})
    page = shop.till.call("GET", "/rbs/v1/plans?offset=2&limit=2").json
    assert ([each["id"] for each in page["plans"]], page["totalCount"]) == (made[2:4], 5)
    assert {name: link["href"] for name, link in page["_links"].items()} == {
        "self": "/rbs/v1/plans?offset=2&limit=2",
        "next": "/rbs/v1/plans?offset=4&limit=2",
        "previous": "/rbs/v1/plans?offset=0&limit=2",
    }
    assert page["plans"][0]["orderInformation"]["amountDetails"]["billingAmount"] == "10.00"
    inactive = shop.till.call("GET", "/rbs/v1/plans?status=INACTIVE").json
    assert [each["id"] for each in inactive["plans"]] == [made[1]]
    assert shop.till.call("GET", "/rbs/v1/plans?name=Plan%204").json["totalCount"] == 1
    for query in ("limit=101", "limit=0", "offset=-1", "limit=x"):
        assert shop.till.call("GET", f"/rbs/v1/plans?{query}").said == (400, "INVALID_REQUEST", "VALIDATION_ERROR")


# ---- subscriptions


def test_a_subscription_is_read_with_its_plan_customer_and_name(shop: Shop) -> None:
    plan_id = shop.plan(plan(planInformation__code="G7"))
    customer = shop.customer()
    made = shop.subscribe(subscription(customer, later(shop), subscriptionInformation__planId=plan_id))
    own = f"/rbs/v1/subscriptions/{made.id}"
    assert {name: link["method"] for name, link in made.json["_links"].items()} == {
        "self": "GET",
        "update": "PATCH",
        "cancel": "POST",
        "suspend": "POST",
    }
    assert made.json["clientReferenceInformation"] == {"code": "TC501713"}
    shown = shop.read(made.id)
    assert shown.pop("submitTimeUtc")
    assert shown == {
        "_links": {
            "self": {"href": own, "method": "GET"},
            "cancel": {"href": f"{own}/cancel", "method": "POST"},
            "suspend": {"href": f"{own}/suspend", "method": "POST"},
        },
        "id": made.id,
        "planInformation": {
            "code": "G7",
            "name": "Gold Plan",
            "billingPeriod": {"length": "1", "unit": "M"},
            "billingCycles": {"total": "12", "current": "0"},
        },
        "subscriptionInformation": {
            "code": made.json["subscriptionInformation"]["code"],
            "planId": plan_id,
            "name": "Monthly box",
            "startDate": later(shop),
            "status": "PENDING",
        },
        "paymentInformation": {"customer": {"id": customer}},
        "orderInformation": {
            "amountDetails": {"currency": "USD", "billingAmount": "10.00", "setupFee": "0.00"},
            "billTo": {"firstName": "Hanako", "lastName": "Suzuki"},
        },
        "clientReferenceInformation": {"code": "TC501713"},
    }


def test_subscriptions_are_found_by_what_they_have(shop: Shop) -> None:
    plan_id = shop.plan(plan(planInformation__code="G7"))
    customer = shop.customer()
    mine = shop.subscribe(subscription(customer, later(shop), subscriptionInformation__planId=plan_id))
    other = shop.subscribe(
        subscription(shop.customer(), later(shop), clientReferenceInformation__code="other", **own_terms())
    )
    everything = shop.till.call("GET", "/rbs/v1/subscriptions").json
    assert [each["id"] for each in everything["subscriptions"]] == [mine.id, other.id]
    code = mine.json["subscriptionInformation"]["code"]
    for query in (
        f"code={code}",
        f"customerId={customer}",
        "planCode=G7",
        "planName=Gold%20Plan",
        "clientReferenceInformationCode=TC501713",
    ):
        found = shop.till.call("GET", f"/rbs/v1/subscriptions?{query}").json
        assert ([each["id"] for each in found["subscriptions"]], found["totalCount"]) == ([mine.id], 1), query
    for query in ("status=pending", "customerFirstName=Hanako", "customerLastName=Suzuki"):
        assert shop.till.call("GET", f"/rbs/v1/subscriptions?{query}").json["totalCount"] == 2, query
    assert shop.till.call("GET", "/rbs/v1/subscriptions?status=ACTIVE").json["totalCount"] == 0


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"subscriptionInformation__name": None}, ["subscriptionInformation.name"]),
        ({"subscriptionInformation__startDate": "2026-09-01"}, ["subscriptionInformation.startDate"]),
        ({"subscriptionInformation__startDate": "2001-09-01T00:00:00Z"}, ["subscriptionInformation.startDate"]),
        ({"paymentInformation__customer__id": "0" * 32}, ["paymentInformation.customer.id"]),
        ({"subscriptionInformation__planId": UNKNOWN}, ["subscriptionInformation.planId"]),
        ({"planInformation": {}}, ["planInformation.billingPeriod.length", "planInformation.billingPeriod.unit"]),
    ],
)
def test_a_bad_subscription_is_told_by_its_members(shop: Shop, changes: Json, fields: list[str]) -> None:
    reply = shop.subscribe(subscription(shop.customer(), later(shop), **(own_terms() | changes)))
    assert reply.status == 400
    assert [field for field, _ in reply.fields] == fields


def test_the_same_subscription_twice_is_one_too_many(shop: Shop) -> None:
    document = subscription(shop.customer(), later(shop), **own_terms())
    first = shop.subscribe(document)
    again = shop.subscribe(document)
    assert again.said == (400, "INVALID_REQUEST", "DUPLICATE_REQUEST")
    assert first.id in again.fields[0][0]
    shop.advance("16m")
    assert shop.subscribe(document).status == 201


def test_a_key_makes_one_subscription_however_often_it_is_sent(shop: Shop) -> None:
    document = subscription(shop.customer(), shop.today(), **own_terms())
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: shop.subscribe(document, Idempotency_Key="once"), range(4)))
    assert {reply.status for reply in replies} <= {201, 409}, "a key is had by one request at a time"
    (made,) = {reply.id for reply in replies if reply.status == 201}
    told = shop.subscribe(document, Idempotency_Key="once")
    assert (told.status, told.headers["kessai-replayed"], told.id) == (201, "true", made)
    assert shop.told(told.id) == [(1, "PAID")]
    other = shop.subscribe(subscription(shop.customer(), shop.today(), **own_terms()), Idempotency_Key="once")
    assert other.said == (400, "INVALID_REQUEST", "DUPLICATE_REQUEST")
    change = {"subscriptionInformation": {"name": "Renamed"}}
    path = f"/rbs/v1/subscriptions/{told.id}"
    patched = [shop.till.call("PATCH", path, change, {"Idempotency-Key": "change"}) for _ in range(2)]
    assert patched[0].body == patched[1].body
    refused = shop.till.post("/rbs/v1/plans", plan(planInformation__name=None), Idempotency_Key="plan")
    assert refused.status == 400
    assert shop.till.post("/rbs/v1/plans", plan(), Idempotency_Key="plan").status == 201


def test_bodies_that_are_none_paths_and_methods_that_are_none(shop: Shop) -> None:
    malformed = shop.till.call("POST", "/rbs/v1/plans", body=b"[]")
    assert malformed.said == (400, "INVALID_REQUEST", "INVALID_DATA")
    assert shop.till.call("DELETE", "/rbs/v1/plans").headers["allow"] == "GET, POST"
    assert shop.till.call("GET", "/rbs/v1/nothing").status == 404
    for path in (f"/rbs/v1/plans/{UNKNOWN}", "/rbs/v1/plans/x", f"/rbs/v1/subscriptions/{UNKNOWN}"):
        assert shop.till.call("GET", path).said == NOT_FOUND
    assert shop.till.post(f"/rbs/v1/subscriptions/{UNKNOWN}/cancel", {}).said == NOT_FOUND


def test_a_card_number_in_a_name_is_stored_masked(shop: Shop) -> None:
    made = shop.till.post("/rbs/v1/plans", plan("4111111111111111"))
    shown = shop.till.call("GET", f"/rbs/v1/plans/{made.id}")
    assert shown.json["planInformation"]["name"] == "XXXXXXXXXXXX1111"


def test_nothing_of_one_merchant_is_anothers(service: Service, shop: Shop) -> None:
    stranger = Shop(service.merchant(f"stranger_{service.port}"))
    plan_id, customer = shop.plan(plan()), shop.customer()
    made = shop.subscribe(subscription(customer, shop.today(), subscriptionInformation__planId=plan_id))
    before = shop.read(made.id)
    for method, path, body in (
        ("GET", f"/rbs/v1/plans/{plan_id}", None),
        ("PATCH", f"/rbs/v1/plans/{plan_id}", {"planInformation": {"name": "Mine"}}),
        ("DELETE", f"/rbs/v1/plans/{plan_id}", None),
        ("POST", f"/rbs/v1/plans/{plan_id}/deactivate", {}),
        ("GET", f"/rbs/v1/subscriptions/{made.id}", None),
        ("PATCH", f"/rbs/v1/subscriptions/{made.id}", {"subscriptionInformation": {"name": "Mine"}}),
        ("GET", f"/rbs/v1/subscriptions/{made.id}/payments", None),
        ("PUT", f"/rbs/v1/subscriptions/{made.id}/payments", {"billingCyclesToSkip": [4]}),
        ("POST", f"/rbs/v1/subscriptions/{made.id}/suspend", {}),
        ("POST", f"/rbs/v1/subscriptions/{made.id}/activate", {}),
        ("POST", f"/rbs/v1/subscriptions/{made.id}/cancel", {}),
    ):
        assert stranger.till.call(method, path, body).said == NOT_FOUND, (method, path)
    assert stranger.subscribe(subscription(customer, later(shop), **own_terms())).status == 400
    borrowed = subscription(stranger.customer(), later(shop), subscriptionInformation__planId=plan_id)
    assert stranger.subscribe(borrowed).status == 400
    assert stranger.till.call("GET", f"/rbs/v1/subscriptions?customerId={customer}").json["totalCount"] == 0
    assert stranger.till.call("GET", "/rbs/v1/plans").json["totalCount"] == 0
    stranger.advance("1mo1h")
    after = shop.read(made.id)
    assert json.dumps(after | {"submitTimeUtc": ""}) == json.dumps(before | {"submitTimeUtc": ""})
    assert shop.told(made.id) == [(1, "PAID")]
    assert (shop.now() - stranger.now()).days < -27


def test_a_payment_is_continued_by_a_subscription_with_its_card(shop: Shop) -> None:
    paid = shop.till.pay(changed(payment("10.00"), {"paymentInformation.card.expirationYear": "2099"}))
    own = f"/rbs/v1/subscriptions/follow-ons/{paid.id}"
    offered = shop.till.call("GET", own).json
    assert offered["_links"]["create"] == {"href": own, "method": "POST"}
    assert offered["paymentInstrument"]["card"] == {
        "number": "411111XXXXXX1111",
        "expirationMonth": "12",
        "expirationYear": "2099",
        "type": "001",
    }
    assert offered["paymentInstrument"]["billTo"]["firstName"] == "Hanako"
    document = subscription("", shop.today(), **own_terms())
    del document["paymentInformation"]
    made = shop.till.post(own, document, Idempotency_Key="follow")
    assert (made.status, made.json["status"]) == (201, "COMPLETED"), made.body
    assert shop.till.post(own, document, Idempotency_Key="follow").id == made.id
    shop.advance("1mo1h")
    shop.until_paid(made.id, 2)
    found = shop.read(made.id)
    assert found["orderInformation"]["billTo"] == {"firstName": "Hanako", "lastName": "Suzuki"}
    customer = shop.till.call("GET", f"/tms/v2/customers/{found['paymentInformation']['customer']['id']}")
    assert customer.status == 200
    initiator = shop.till.details(shop.payments(made.id)[1]["transactionID"])["processingInformation"][
        "authorizationOptions"
    ]["initiator"]
    assert initiator["merchantInitiatedTransaction"]["previousTransactionId"]
    declined = shop.till.pay(payment("1500.00"))
    assert shop.till.call("GET", f"/rbs/v1/subscriptions/follow-ons/{declined.id}").status == 400
    debit = shop.till.approved(shop.till.pay(echeck()))
    for method, body in (("GET", None), ("POST", document)):
        assert shop.till.call(method, f"/rbs/v1/subscriptions/follow-ons/{debit}", body).status == 400
    assert shop.till.call("GET", f"/rbs/v1/subscriptions/follow-ons/{UNKNOWN}").said == NOT_FOUND
    stranger = shop.service.merchant(f"follower_{shop.service.port}")
    assert stranger.call("GET", own).said == NOT_FOUND
    assert stranger.post(own, document).said == NOT_FOUND
