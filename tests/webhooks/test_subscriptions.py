"""Subscriptions, keys, products, tests and replays as a merchant meets them; and what other merchants see of them."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from kessai import outbox
from tests.acceptance.client import Json, Service, payment
from tests.webhooks.receiver import FAILED, OK, Receiver, Request, receiving
from tests.webhooks.shop import (
    ACCEPTED,
    CAPTURED,
    KEYS,
    REPLAYS,
    WEBHOOKS,
    Shop,
    given_up,
    key_request,
    open_shop,
    until_listed,
)

NOBODYS = "6f9619ff-8b86-4011-b42d-00c04fc964ff"


def test_a_subscription_is_made_and_read(shop: Shop, receiver: Receiver) -> None:
    wish = shop.wish(receiver, [ACCEPTED, CAPTURED], description="All orders")
    made = shop.till.post(WEBHOOKS, wish)
    assert made.status == 201
    identifier = made.json["webhookId"]
    assert made.json | {"createdOn": ""} == {
        "webhookId": identifier,
        "organizationId": shop.id,
        "products": [{"productId": "payments", "eventTypes": [ACCEPTED, CAPTURED]}],
        "webhookUrl": receiver.url,
        "notificationScope": "SELF",
        "status": "INACTIVE",
        "name": "Orders",
        "description": "All orders",
        "retryPolicy": {
            "algorithm": "ARITHMETIC",
            "firstRetry": 0,
            "interval": 0,
            "numberOfRetries": 100,
            "deactivateFlag": "false",
            "repeatSequenceCount": 0,
            "repeatSequenceWaitTime": 0,
        },
        "securityPolicy": {"securityType": "KEY", "proxyType": "external"},
        "createdOn": "",
        "version": "3",
        "deliveryType": "nrtdCentralized",
    }
    read = shop.till.call("GET", f"{WEBHOOKS}/{identifier}")
    assert read.json == made.json
    listed = shop.till.call("GET", f"{WEBHOOKS}?organizationId={shop.id}&productId=payments&eventType={ACCEPTED}")
    assert [each["webhookId"] for each in listed.any] == [identifier]
    assert shop.till.call("GET", f"{WEBHOOKS}?organizationId={shop.id}&productId=nothing").any == []
    assert shop.till.call("GET", f"{WEBHOOKS}?organizationId=somebody").any == []


def test_the_older_form_means_the_same(shop: Shop, receiver: Receiver) -> None:
    wish = shop.wish(receiver)
    del wish["products"]
    made = shop.till.post(WEBHOOKS.replace("v2", "v1"), wish | {"productId": "payments", "eventTypes": [ACCEPTED]})
    assert made.json["products"] == [{"productId": "payments", "eventTypes": [ACCEPTED]}]


def test_products_are_listed(shop: Shop) -> None:
    path = "/notification-subscriptions/v2/products/"
    found = {each["productId"]: each for each in shop.till.call("GET", path + shop.id).any}
    assert set(found) == {"payments", "eCheck", "recurringBilling", "tokenManagement"}
    assert ACCEPTED in [event["eventName"] for event in found["payments"]["eventTypes"]]
    assert shop.till.call("GET", path + "somebody").status == 404


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"webhookUrl": None}, "webhookUrl", "INVALID_DATA"),
        ({"products": []}, "products", "INVALID_DATA"),
        ({"products": [{"productId": "x", "eventTypes": ["y"]}]}, "products[0].productId", "INVALID_DATA"),
        ({"products": [{"productId": "payments", "eventTypes": ["y"]}]}, "products[0].eventTypes", "INVALID_DATA"),
        ({"organizationId": "somebody"}, "organizationId", "INVALID_DATA"),
        ({"securityPolicy": {"securityType": "oAuth"}}, "securityPolicy.securityType", "INVALID_DATA"),
        ({"retryPolicy": {"algorithm": "CHANCE"}}, "retryPolicy.algorithm", "INVALID_DATA"),
        ({"retryPolicy": {"firstRetry": -1}}, "retryPolicy.firstRetry", "INVALID_DATA"),
        ({"retryPolicy": {"numberOfRetries": "1e9"}}, "retryPolicy.numberOfRetries", "INVALID_DATA"),
        ({"name": "x" * 256}, "name", "INVALID_DATA"),
        ({"name": "a\u202eb"}, "name", "INVALID_DATA"),
        ({"notificationScope": "ALL"}, "notificationScope", "INVALID_DATA"),
    ],
)
def test_a_bad_member_is_named(shop: Shop, receiver: Receiver, changes: Json, field: str, reason: str) -> None:
    refused = shop.till.post(WEBHOOKS, shop.wish(receiver) | changes)
    assert (refused.status, refused.fields) == (400, [(field, reason)])


@pytest.mark.parametrize(
    "policy",
    [
        {"securityType": "oAuth", "config": {"oAuthURL": "https://shop.example/token", "oAuthTokenType": "Bearer"}},
        {"securityType": "oAuth_JWT", "config": {"additionalConfig": {"aud": "a", "client_id": "b", "keyId": "c"}}},
        {"securityType": "OAUTH"},
        {"securityType": "key_mle"},
        {"securityType": None},
        "KEY",
    ],
)
def test_a_security_that_is_not_there_is_refused_clearly(shop: Shop, receiver: Receiver, policy: object) -> None:
    """When it is made and when it is changed, with the reason for a test merchant; and nothing is changed."""
    kept = shop.subscribe(receiver)
    before = shop.till.call("GET", f"{WEBHOOKS}/{kept}").json
    asked = {"securityPolicy": policy}
    for refused in (
        shop.till.post(WEBHOOKS, shop.wish(receiver) | asked),
        shop.till.post(WEBHOOKS.replace("v2", "v1"), shop.wish(receiver) | asked),
        shop.till.call("PATCH", f"{WEBHOOKS}/{kept}", asked),
    ):
        assert (refused.status, refused.json["status"], refused.json["reason"]) == (
            400,
            "INVALID_REQUEST",
            "INVALID_DATA",
        )
        assert refused.fields == [("securityPolicy.securityType", "INVALID_DATA")]
        assert "no OAuth token is fetched" in (refused.explanation or "")
    assert shop.till.call("GET", WEBHOOKS).any == [before]


def test_payloads_are_not_encrypted_and_no_key_is_taken_for_it(shop: Shop, receiver: Receiver) -> None:
    document = key_request(shop.id) | {"clientRequestAction": "STORE"}
    refused = shop.till.post(KEYS.replace("-sym", "-asym"), document)
    assert (refused.status, refused.json["reason"]) == (400, "INVALID_DATA")
    assert refused.fields == [("keyInformation.keyType", "INVALID_DATA")]
    assert "no payload encrypted" in (refused.explanation or "")
    events = [{"eventName": ACCEPTED, "payloadEncryption": True}]
    refused = shop.till.post(
        WEBHOOKS, shop.wish(receiver) | {"products": [{"productId": "payments", "eventTypes": events}]}
    )
    assert (refused.status, refused.fields) == (400, [("products[0].eventTypes", "INVALID_DATA")])
    listed = shop.till.call("GET", f"/notification-subscriptions/v2/products/{shop.id}").any
    assert not any(event["payloadEncryption"] for product in listed for event in product["eventTypes"])


def test_nothing_is_sent_without_a_key(shop: Shop, receiver: Receiver) -> None:
    made = shop.till.post(WEBHOOKS, shop.wish(receiver)).json["webhookId"]
    refused = shop.till.call("PUT", f"{WEBHOOKS}/{made}/status", {"status": "ACTIVE"})
    assert (refused.status, refused.fields) == (400, [("status", "INVALID_DATA")])
    assert "keys-sym" in (refused.explanation or "")


def test_a_new_key_replaces_the_old_one(shop: Shop, receiver: Receiver) -> None:
    shop.subscribe(receiver)
    before = shop.key_id
    shop.make_key()
    shop.pay()
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert before != shop.key_id
    assert told.is_signed_by(shop.key_id, shop.secret)


def test_a_key_is_nowhere_in_clear(service: Service, shop: Shop) -> None:
    """R-40: the answer shows it, and nothing keeps it: no row, no log."""
    shop.make_key()
    for table in ("webhook_keys", "kept_answers", "answers"):
        rows = service.run(service.house.database.ask(f"SELECT * FROM {table}", ()))
        assert shop.secret not in str(rows)
    assert shop.secret not in service.logs.getvalue()


def test_a_key_that_is_asked_for_twice_by_one_request_is_made_once(service: Service) -> None:
    """R-10: who sends it again is told of the same key, and its secret no more."""
    shop = Shop(service.merchant(f"answers_{service.port}", exact_repeat="answer"))
    body = str(key_request(shop.id)).replace("'", '"').encode()
    headers = shop.till.signed("POST", KEYS, body) | {"content-type": "application/json"}
    first = shop.till.send("POST", KEYS, body, headers)
    second = shop.till.send("POST", KEYS, body, headers)
    told = first.json["keyInformation"]
    assert (first.status, second.status) == (201, 201)
    assert second.json["keyInformation"] == told | {"key": ""} != told


def test_a_subscription_is_changed(shop: Shop, receiver: Receiver) -> None:
    identifier = shop.subscribe(receiver, [ACCEPTED])
    with receiving() as other:
        changed = shop.till.call("PATCH", f"{WEBHOOKS}/{identifier}", {"webhookUrl": other.url, "name": "Moved"})
        assert (changed.status, changed.json["name"], changed.json["webhookUrl"]) == (200, "Moved", other.url)
        assert changed.json["status"] == "ACTIVE"
        assert changed.json["updatedOn"]
        shop.pay()
        other.until(lambda seen: len(seen) == 1)
        assert receiver.seen == []


def test_a_subscription_that_is_off_is_told_nothing(shop: Shop, receiver: Receiver) -> None:
    identifier = shop.subscribe(receiver)
    shop.till.call("PUT", f"{WEBHOOKS}/{identifier}/status", {"status": "INACTIVE"})
    shop.pay("1.00")
    shop.till.call("PUT", f"{WEBHOOKS}/{identifier}/status", {"status": "ACTIVE"})
    shop.pay("2.00")
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.json["payload"]["data"]["orderInformation"]["amountDetails"]["authorizedAmount"] == "2.00"


def test_a_subscription_is_deleted_with_what_is_on_its_way(service: Service, shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda _request: FAILED
    identifier = shop.subscribe(receiver, retryPolicy={"firstRetry": 10, "numberOfRetries": 3})
    shop.pay()
    receiver.until(lambda seen: len(seen) == 1)
    deleted = shop.till.call("DELETE", f"{WEBHOOKS}/{identifier}")
    assert (deleted.status, deleted.json) == (200, {"status": "successfully deleted"})
    assert shop.till.call("GET", f"{WEBHOOKS}/{identifier}").status == 404
    service.until(lambda: outbox.deliveries(service.house, shop.id), lambda found: found == [])


def test_another_merchants_subscription_is_as_unknown_as_none(service: Service, shop: Shop, receiver: Receiver) -> None:
    """R-30: byte by byte."""
    theirs = shop.subscribe(receiver)
    me = open_shop(service)
    for method, tail, document in (
        ("GET", "", None),
        ("PATCH", "", {"name": "mine"}),
        ("DELETE", "", None),
        ("PUT", "/status", {"status": "INACTIVE"}),
    ):
        foreign = me.till.call(method, f"{WEBHOOKS}/{theirs}{tail}", document)
        unknown = me.till.call(method, f"{WEBHOOKS}/{NOBODYS}{tail}", document)
        assert (foreign.status, foreign.body) == (404, unknown.body)
    for path in ("/notification-subscriptions/v1/webhooks/{}", REPLAYS, "/kessai/v1/listeners/{}"):
        foreign, unknown = me.till.post(path.format(theirs), {}), me.till.post(path.format(NOBODYS), {})
        assert (foreign.status, foreign.body) == (404, unknown.body)
    assert shop.till.call("GET", f"{WEBHOOKS}/{theirs}").json["status"] == "ACTIVE"


def test_a_test_event_is_sent(shop: Shop, receiver: Receiver) -> None:
    identifier = shop.subscribe(receiver, [ACCEPTED])
    asked = shop.till.post(f"/notification-subscriptions/v1/webhooks/{identifier}", {})
    assert asked.status == 201
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.trace == asked.json["transactionTraceId"]
    assert told.json["payload"] == asked.json["payloads"]
    assert told.is_signed_by(shop.key_id, shop.secret)


def test_events_are_sent_again(service: Service, shop: Shop, receiver: Receiver) -> None:
    identifier = shop.subscribe(receiver)
    shop.pay("1.00")
    shop.pay("2.00")
    traces = [each.trace for each in receiver.until(lambda seen: len(seen) == 2)]
    until_listed(service, shop, "delivered", 2)
    asked = shop.till.post(REPLAYS.format(identifier), {"byTransactionTraceIdentifiers": traces[:1]})
    assert (asked.status, asked.json["replayed"]) == (201, 1)
    told = receiver.until(lambda seen: len(seen) == 3)
    assert told[2].trace == traces[0]
    until_listed(service, shop, "delivered", 2)
    now = datetime.now(UTC)
    asked = shop.till.post(
        REPLAYS.format(identifier),
        {
            "byDeliveryStatus": {
                "status": "COMPLETED",
                "startTime": (now - timedelta(hours=1)).isoformat(),
                "endTime": now.isoformat(),
            }
        },
    )
    assert (asked.status, asked.json["replayed"]) == (201, 2)
    assert {each.trace for each in receiver.until(lambda seen: len(seen) == 5)[3:]} == set(traces)


def test_what_was_given_up_is_seen_and_sent_again(service: Service, shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda _request: FAILED
    shop.subscribe(receiver, retryPolicy={"firstRetry": 0, "interval": 0, "numberOfRetries": 2})
    shop.pay()

    found = given_up(service, shop)
    assert (found["attempts"], found["result"]) == (3, "500")
    receiver.answer = lambda _request: OK
    sent = service.run(outbox.resend(service.house, merchant=shop.id))
    assert sent == [{"merchant": shop.id, "id": found["id"]}]
    told = receiver.until(lambda seen: len(seen) == 4)
    assert len({each.trace for each in told}) == 1
    shown = service.run(outbox.delivery(service.house, told[0].trace))
    assert isinstance(shown, dict)
    assert shown["id"] == found["id"]


def test_a_subscription_that_wants_it_is_turned_off_after_its_last_try(shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda _request: FAILED
    policy = {"firstRetry": 0, "interval": 0, "numberOfRetries": 1, "deactivateFlag": "true"}
    identifier = shop.subscribe(receiver, retryPolicy=policy)
    shop.pay()
    receiver.until(lambda seen: len(seen) == 2)
    deadline = time.monotonic() + 10
    while shop.till.call("GET", f"{WEBHOOKS}/{identifier}").json["status"] != "INACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_is_well_turns_its_subscription_on(shop: Shop, receiver: Receiver) -> None:
    shop.make_key()
    health = receiver.url.replace("hook", "health")
    made = shop.till.post(WEBHOOKS, shop.wish(receiver, healthCheckUrl=health)).json["webhookId"]
    deadline = time.monotonic() + 10
    while shop.till.call("GET", f"{WEBHOOKS}/{made}").json["status"] != "ACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [each.line for each in receiver.seen] == ["GET /health HTTP/1.1", "POST /health HTTP/1.1"]


def test_a_server_that_is_not_well_cannot_be_turned_on(shop: Shop, receiver: Receiver) -> None:
    def only_get(request: Request) -> bytes:
        return OK if request.line.startswith("GET") else FAILED

    receiver.answer = only_get
    shop.make_key()
    made = shop.till.post(WEBHOOKS, shop.wish(receiver, healthCheckUrl=receiver.url)).json["webhookId"]
    refused = shop.till.call("PUT", f"{WEBHOOKS}/{made}/status", {"status": "ACTIVE"})
    assert (refused.status, refused.fields) == (400, [("healthCheckUrl", "INVALID_DATA")])
    assert refused.explanation == "healthCheckUrl: POST: 500"


def test_a_listener_takes_what_happens(service: Service, shop: Shop) -> None:
    opened = shop.till.post("/kessai/v1/listeners", {}).json
    path = f"/kessai/v1/listeners/{opened['listenerId']}"
    shop.pay()

    def taken(arrived: list[str]) -> list[Json]:
        events = shop.till.post(path, {"arrived": arrived}).json["events"]
        assert isinstance(events, list)
        return events

    deadline = time.monotonic() + 10
    while not (events := taken([])):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (event,) = events
    request = Request("", event["headers"], event["body"].encode(), 0.0)
    assert request.is_signed_by(opened["keyId"], opened["key"])
    assert [each["id"] for each in taken([])] == [event["id"]], "it is there until it has arrived"
    assert taken([event["id"]]) == []
    assert shop.till.call("DELETE", path).status == 200
    assert shop.till.post(path, {}).status == 404


def test_a_payment_that_nobody_wants_to_know_of_leaves_nothing(service: Service, shop: Shop) -> None:
    """The road writes as much as without webhooks."""
    paid = shop.till.post("/pts/v2/payments", payment())
    assert paid.status == 201
    rows = service.run(service.house.registry.rows.notices(shop.id, 10))
    assert rows == []
    assert shop.id not in service.house.gateway.notified
