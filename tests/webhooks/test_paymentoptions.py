"""Notifications to the URL that came with a payment of the PaymentOptions wire: body, signature, order, refusals."""

import base64
import hmac
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest

from kessai import outbox
from kessai.client import Plan, Result
from kessai.dialects.paymentoptions import notifications as wire
from kessai.webhooks import tries
from kessai.webhooks.tries import TRIED_FOR, backed_off
from tests.acceptance.client import Json, Service, amount_of
from tests.acceptance.options import CARD, HOME, Shop, paid, shop_of
from tests.hosted.payer import Payer
from tests.threeds import shop as threeds
from tests.threeds import test_paymentoptions as challenges
from tests.webhooks import shop as other_wire
from tests.webhooks.receiver import FAILED, OK, Receiver, Request, receiving

_numbers = itertools.count(1)
T = TypeVar("T")


@pytest.fixture
def shop(service: Service) -> Shop:
    return new_shop(service)


def new_shop(service: Service) -> Shop:
    return shop_of(service, f"own_{service.port}_{next(_numbers)}")


def urls(receiver: Receiver) -> Json:
    return {
        "webhook_url": receiver.url,
        "success_url": "https://shop.example/ok",
        "decline_url": "https://shop.example/ng",
    }


def pay(shop: Shop, receiver: Receiver, path: str = "payment", scenario: str = "", **changes: object) -> Result:
    headers = {"kessai-scenario": scenario} if scenario else None
    return shop.post(path, shop.body(return_url=urls(receiver), **changes), headers)


def secret_of(shop: Shop) -> str:
    made = shop.service.run(outbox.secret(shop.service.house, shop.merchant))
    assert isinstance(made, dict)
    return str(made["secret"])


def listed(shop: Shop, state: str = "") -> list[Json]:
    found = shop.service.run(outbox.deliveries(shop.service.house, shop.merchant, state))
    assert isinstance(found, list)
    return found


def told(receiver: Receiver, count: int, seconds: float = 15.0) -> list[Request]:
    return until(lambda: list(receiver.seen), lambda seen: len(seen) >= count, seconds)


def until(ask: Callable[[], T], holds: Callable[[T], bool], seconds: float = 15.0) -> T:
    deadline = time.monotonic() + seconds
    while not holds(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def is_signed(request: Request, secret: str) -> bool:
    """As the documents tell merchants to find out."""
    parts = [part.partition("=")[::2] for part in request.headers["kessai-signature"].split(",")]
    at = dict(parts)["t"]
    signed = f"{at}.{request.headers['kessai-event-id']}.".encode() + request.body
    mac = hmac.digest(base64.b64decode(secret), signed, "sha256").hex()
    return abs(time.time() - int(at)) < 300 and mac in [value for name, value in parts if name == "v1"]


def as_told(answer: Result, receiver: Receiver) -> list[tuple[str, object]]:
    """The notification that an answer leads to: the members of its envelope in order, and what is told beside."""
    members: list[tuple[str, object]] = []
    for name, value in answer.document.items():
        members.append((name, 200 if name == "status_code" and answer.success else value))
        if name == "gateway_response":
            members.append(("return_url_details", urls(receiver)))
    return members


# ---- what is told


def test_a_payment_on_the_hosted_page_is_told(shop: Shop, receiver: Receiver) -> None:
    secret = secret_of(shop)
    payer = Payer.of(shop, return_url=urls(receiver))
    assert payer.pay(payer.open()).sent_to == "https://shop.example/ok"
    [request] = told(receiver, 1)
    assert (request.json["success"], request.json["transaction_type"]) == (True, "CAPTURE")
    assert request.json["return_url_details"]["webhook_url"] == receiver.url
    assert is_signed(request, secret)


def test_every_step_of_a_payment_is_told_in_order(service: Service, shop: Shop, receiver: Receiver) -> None:
    """Section 14.2: the envelope of the answer, `status_code` 200, `return_url_details`, the merchant's reference."""
    secret = secret_of(shop)
    held = paid(pay(shop, receiver, "authorization"))
    taken = paid(shop.follow("capture", held.id, amount=600))
    back = paid(shop.follow("refund", taken.id, amount=100))
    seen = told(receiver, 3)
    assert [list(each.json.items()) for each in seen] == [as_told(each, receiver) for each in (held, taken, back)]
    assert [each.json["transaction_type"] for each in seen] == ["PRE_AUTH", "CAPTURE", "REFUND"]
    assert list(seen[0].json) == [
        "success",
        "status_code",
        "is_live",
        "transaction_type",
        "gateway_response",
        "return_url_details",
        "merchant_details",
        "payment_details",
        "transaction_details",
        "risk-details",
    ]
    for each in seen:
        found = each.json
        assert (found["success"], found["status_code"], found["is_live"]) == (True, 200, False)
        assert found["merchant_details"]["merchant_txn_ref"] == "order-1"
        made = found["transaction_details"]
        assert (type(made["id"]), type(made["ref"]), made["merchant_txn_ref"]) == (str, int, "order-1")
        details = found["payment_details"]
        assert (type(details["amount"]), type(details["response_code"])) == (int, int)
        assert details["card"]["number"] == "520000******1005"
        assert each.headers["content-type"] == "application/json"
        assert is_signed(each, secret)
        assert CARD.number.encode() not in each.body
    assert len({each.headers["kessai-event-id"] for each in seen}) == 3
    # What the capture left was released; nobody asked for that, and a VOID would look like the end of the order.
    until(lambda: listed(shop, "delivered"), lambda found: len(found) == 3)
    service.until(lambda: service.house.registry.rows.notices(shop.merchant, 10), lambda notices: notices == [])
    assert [(each["event"], each["place"]) for each in reversed(listed(shop))] == [
        (event, f"http://127.0.0.1:{receiver.port}") for event in (wire.COMPLETED, wire.COMPLETED, wire.REFUNDED)
    ]


def test_a_void_and_a_decline_are_told(shop: Shop, receiver: Receiver) -> None:
    held = paid(pay(shop, receiver, "authorization"))
    gone = paid(shop.follow("void", held.id))
    told(receiver, 2)
    declined = pay(shop, receiver, scenario="insufficient-funds")
    assert (declined.status, declined.success, declined.response_code) == (201, False, 51)
    seen = told(receiver, 3)
    assert [list(each.json.items()) for each in seen] == [as_told(each, receiver) for each in (held, gone, declined)]
    assert [each.json["success"] for each in seen] == [True, True, False]
    events = [each["event"] for each in reversed(until(lambda: listed(shop), lambda found: len(found) == 3))]
    assert events == [wire.COMPLETED, wire.REFUNDED, wire.FAILED]


def test_japanese_texts_arrive_as_they_are(shop: Shop, receiver: Receiver) -> None:
    """Case 57."""
    paid(pay(shop, receiver, card__name="山田 花子", billing_address__city="千代田区"))
    (request,) = told(receiver, 1)
    assert "山田 花子".encode() in request.body
    found = request.json["merchant_details"]
    assert found["billing_details"]["billing_address"]["city"] == "千代田区"
    assert found["legal_name"] == "アイベック株式会社"


def test_a_token_that_was_made_is_told(shop: Shop, receiver: Receiver) -> None:
    made = paid(pay(shop, receiver, payment_method__store_payment_method=True))
    (request,) = told(receiver, 1)
    assert request.json["transaction_details"]["stored_payment_method_id"] == made.token != ""


@pytest.mark.parametrize("scenario", ["time-out", "answer-lost", "late-answer"])
def test_a_payment_that_was_undone_is_told_to_have_failed(shop: Shop, receiver: Receiver, scenario: str) -> None:
    """Once, when the clean-up has undone it; its reversal is the gateway's own business."""
    answer = pay(shop, receiver, scenario=scenario)
    assert (answer.status, answer.success, answer.response_code) == (504, False, 68), answer.document
    (request,) = told(receiver, 1)
    found = request.json
    assert (found["success"], found["status_code"], found["transaction_type"]) == (False, 502, "CAPTURE")
    assert found["gateway_response"]["type"] == "ERROR"
    details = found["payment_details"]
    assert (details["amount"], details["response_code"], details["auth_code"]) == (1000, 68, "")
    merchant = found["merchant_details"]
    assert list(merchant) == ["legal_name", "mid", "merchant_txn_ref", "billing_details", "device_details"]
    assert found["return_url_details"] == urls(receiver)
    assert shop.client.status(found["transaction_details"]["id"]).success is False
    shop.service.until_quiet()
    (line,) = until(lambda: listed(shop, "delivered"), bool)
    assert line["event"] == wire.FAILED


def test_a_refund_that_is_found_out_later_is_told_then(shop: Shop, receiver: Receiver) -> None:
    sold = paid(pay(shop, receiver))
    told(receiver, 1)
    refund = {"transactionId": sold.id, "merchant_id": shop.merchant, "amount": 400}
    assert shop.post("refund", refund, {"kessai-scenario": "answer-lost"}).status == 504
    found = told(receiver, 2)[1].json
    assert (found["success"], found["status_code"], found["transaction_type"]) == (True, 200, "REFUND")
    assert found["payment_details"]["amount"] == 400


def test_a_payment_without_a_url_costs_nothing(service: Service, shop: Shop, receiver: Receiver) -> None:
    noticed: list[str] = []
    before = service.house.gateway.notify

    def notify(merchant_id: str) -> None:
        noticed.append(merchant_id)
        before(merchant_id)

    service.house.gateway.notify = notify
    try:
        paid(shop.pay())
        assert shop.merchant not in noticed
        assert shop.merchant not in service.house.gateway.notified
        paid(pay(shop, receiver))
        assert noticed.count(shop.merchant) == 1
    finally:
        service.house.gateway.notify = before
    told(receiver, 1)
    assert [each["event"] for each in listed(shop)] == [wire.COMPLETED]


# ---- tries and signature


def test_what_fails_is_sent_again_with_the_same_id_before_what_follows(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "FIRST_WAIT_S", 0.2)
    secret = secret_of(shop)
    is_well = False
    receiver.answer = lambda _request: OK if is_well else FAILED
    sold = paid(pay(shop, receiver))
    told(receiver, 2)
    back = paid(shop.follow("refund", sold.id, amount=1000))
    is_well = True
    seen = until(lambda: list(receiver.seen), lambda seen: seen[-1].json["transaction_type"] == "REFUND", 30)
    *before, last = seen
    assert [each.headers["kessai-retry"] for each in before] == [str(count) for count in range(len(before))]
    assert {(each.headers["kessai-event-id"], each.body) for each in before} == {
        (seen[0].headers["kessai-event-id"], seen[0].body)
    }
    assert last.headers["kessai-event-id"] != seen[0].headers["kessai-event-id"]
    assert list(last.json.items()) == as_told(back, receiver)
    assert all(is_signed(each, secret) for each in seen)


def test_the_old_secret_signs_beside_the_new_one_for_a_day(shop: Shop, receiver: Receiver) -> None:
    """R-58: two secrets during rotation."""
    old, new = secret_of(shop), secret_of(shop)
    paid(pay(shop, receiver))
    (request,) = told(receiver, 1)
    assert is_signed(request, old)
    assert is_signed(request, new)


def test_scenarios_break_these_too(shop: Shop, receiver: Receiver) -> None:
    secret = secret_of(shop)
    paid(pay(shop, receiver, scenario="webhook-twice"))
    one, two = told(receiver, 2)
    assert (one.body, one.headers["kessai-event-id"]) == (two.body, two.headers["kessai-event-id"])
    assert is_signed(one, secret)


def test_what_was_given_up_is_seen_and_sent_again(
    service: Service, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = lambda _request: FAILED
    monkeypatch.setattr(tries, "TRIED_FOR", timedelta())
    paid(pay(shop, receiver))
    (parked,) = until(lambda: listed(shop, "parked"), bool)
    monkeypatch.undo()
    assert (parked["event"], parked["attempts"], parked["result"]) == (wire.COMPLETED, 1, "500")
    shown: Any = service.run(outbox.delivery(service.house, parked["id"]))
    assert (shown["url"], shown["trace"]) == (receiver.url, receiver.seen[0].headers["kessai-event-id"])
    assert shown["payload"] == receiver.seen[0].json
    receiver.answer = lambda _request: OK
    assert service.run(outbox.resend(service.house, merchant=shop.merchant)) == [
        {"merchant": shop.merchant, "id": parked["id"]}
    ]
    one, two = told(receiver, 2)
    assert (one.body, one.headers["kessai-event-id"]) == (two.body, two.headers["kessai-event-id"])
    until(lambda: listed(shop, "delivered"), bool)


def test_waits_grow_for_three_days() -> None:
    """At least sixteen tries, each later than the one before, none after three days."""
    age = timedelta()
    waits: list[timedelta] = []
    while (wait := backed_off(len(waits) + 1, age, 0.5)) is not None:
        waits.append(wait)
        age += wait
    assert len(waits) >= 16
    assert waits == sorted(waits)
    assert TRIED_FOR <= age < TRIED_FOR + timedelta(hours=8)
    assert backed_off(3, timedelta(), 0.0) != backed_off(3, timedelta(), 1.0)


# ---- where it may go


@pytest.mark.parametrize("path", ["payment", "authorizationv2", "subscription/payment"])
@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "https://127.0.0.2/hook",
        "https://2130706433/hook",
        "https://0x7f.1/hook",
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://localhost/hook",
        "https://db.internal/hook",
        "https://shop.example:22/hook",
        "https://user:word@shop.example/hook",
        "file:///etc/passwd",
        "hook",
    ],
)
def test_a_url_that_may_not_be_called_is_refused_before_anything_is_done(shop: Shop, path: str, url: str) -> None:
    """A-71: in this wire's form; no payment, no customer, no subscription."""
    plan = asdict(PLAN) if path.startswith("subscription") else None
    body = shop.body(return_url={"webhook_url": url}, subscription=plan)
    answer = shop.post(path, body)
    assert (answer.status, answer.success, answer.id, answer.subscription) == (400, False, "", "")
    assert answer.document["gateway_response"] == {
        "version": "1",
        "type": "VALIDATION",
        "message": "`return_url.webhook_url` is not valid.",
        "code": "VAL0004",
    }
    assert shop.client.subscriptions() == []
    logged = [json.loads(line) for line in shop.service.logs.getvalue().splitlines()]
    events = [each["event"] for each in logged if each.get("merchant") == shop.merchant]
    assert set(events) <= {"merchant.added", "request.refused"}
    assert events.count("request.refused") == 1


# ---- both wires, several merchants, subscriptions


def test_a_refund_over_the_other_wire_is_told_here_and_all_of_it_there(
    service: Service, shop: Shop, receiver: Receiver
) -> None:
    """Each place gets its own form of the same outcomes."""
    till = service.till(shop.merchant)
    with receiving() as there:
        other_wire.Shop(till).subscribe(there)
        sold = paid(pay(shop, receiver))
        told(receiver, 1)
        identifier = str(shop.client.status(sold.id).document["kessai"]["cybersource_id"])
        reply = till.call("POST", f"/pts/v2/payments/{identifier}/refunds", amount_of("400", "JPY"))
        assert reply.status == 201
        found = told(receiver, 2)[1].json
        events = there.until(lambda seen: len(seen) >= 3)
    assert list(found) == [
        "success",
        "status_code",
        "is_live",
        "transaction_type",
        "gateway_response",
        "return_url_details",
        "merchant_details",
        "payment_details",
        "transaction_details",
    ]
    assert (found["transaction_type"], found["payment_details"]["amount"]) == ("REFUND", 400)
    assert found["transaction_details"]["merchant_txn_ref"] == "order-1"
    assert shop.client.status(found["transaction_details"]["id"]).document["transaction_type"] == "REFUND"
    assert sorted(each.event for each in events) == [
        "payments.authorization.status.accepted",
        "payments.capture.status.accepted",
        "payments.refund.status.accepted",
    ]
    assert all("gateway_response" not in each.json["payload"]["data"] for each in events)
    sales = [each.json["payload"]["data"] for each in events if each.event != "payments.refund.status.accepted"]
    assert [each["id"] for each in sales] == [identifier, identifier]
    assert all("orderInformation" in each for each in sales)


def test_two_merchants_are_told_each_of_its_own(service: Service, shop: Shop, receiver: Receiver) -> None:
    """One place may be both's; signatures are each one's own."""
    other = new_shop(service)
    secrets = {each.merchant: secret_of(each) for each in (shop, other)}
    made = {each.merchant: paid(pay(each, receiver)).id for each in (shop, other)}
    seen = told(receiver, 2)
    assert {each.json["merchant_details"]["mid"]: each.json["transaction_details"]["id"] for each in seen} == made
    for each in seen:
        mid = each.json["merchant_details"]["mid"]
        assert [merchant for merchant, secret in secrets.items() if is_signed(each, secret)] == [mid]
    for one in (shop, other):
        lines = until(partial(listed, one), bool)
        assert [line["merchant"] for line in lines] == [one.merchant]


PLAN = Plan(plan_name="Gold", plan_desc="Every other day", cycle_type="DAYS", cycle_interval=2, max_cycle_count=3)


@pytest.mark.parametrize("has_trial", [False, True])
def test_charges_of_a_subscription_are_told(service: Service, shop: Shop, receiver: Receiver, has_trial: bool) -> None:
    """The first by the request, or the verification of its card; the later ones by the engine."""
    plan = PLAN
    if has_trial:
        plan = Plan(**asdict(PLAN) | {"has_trial_period": True, "trial_period_duration": 2})
    begun = shop.client.subscribe("1000", "JPY", HOME, plan, card=CARD, reference="order-1", return_url=urls(receiver))
    paid(begun)
    (first,) = told(receiver, 1)
    assert first.json["transaction_details"]["id"] == begun.id
    service.run(service.house.clocks.move(service.house.accounts.get(shop.merchant), advance="2d"))
    later = told(receiver, 2)[1].json
    assert (later["success"], later["transaction_type"]) == (True, "CAPTURE")
    assert later["payment_details"]["amount"] == 1000
    assert later["return_url_details"] == urls(receiver)
    assert later["merchant_details"]["billing_details"]["billing_address"] == asdict(HOME)
    assert later["transaction_details"]["merchant_txn_ref"] == "order-1"
    charges = shop.client.subscription(begun.subscription).document["subscription_details"]
    assert later["transaction_details"]["id"] in [each["id"] for each in charges["subscription_transaction_details"]]


def test_the_typed_client_asks_to_be_told(shop: Shop, receiver: Receiver) -> None:
    made = shop.client.payment(
        "1000", "JPY", HOME, card=CARD, reference="order-9", return_url={"webhook_url": receiver.url}
    )
    (request,) = told(receiver, 1)
    assert request.json["transaction_details"]["id"] == paid(made).id
    assert request.json["return_url_details"] == {"webhook_url": receiver.url}


@pytest.mark.parametrize(("code", "success"), [(threeds.RIGHT, True), (threeds.WRONG, False)])
def test_a_payment_that_waited_for_its_payer_is_told_when_it_is_made(
    shop: Shop, receiver: Receiver, code: str, success: bool
) -> None:
    """Cases 43 and 44: exactly one notification; none while the payer is away, who need not come back to the shop."""
    result = pay(shop, receiver, "paymentv2", card__number=threeds.CHALLENGE)
    page = challenges.opened(shop, challenges.sent_away(result))
    assert receiver.seen == []
    for _ in range(3):  # a wrong code may be given again
        page = challenges.answered(shop, page, code)
        if page.answer.status_code == 303:
            break
    place = "ok" if success else "ng"
    assert challenges.ends_at(page).startswith(f"https://shop.example/{place}")
    (request,) = told(receiver, 1)
    found = request.json
    assert (found["success"], found["transaction_type"]) == (success, "CAPTURE")
    assert (found["gateway_response"]["code"] == "INFO0000") is success
    assert found["transaction_details"]["merchant_txn_ref"] == "order-1"
    status = shop.client.status(found["transaction_details"]["id"])
    assert (status.success, status.document["transaction_type"]) == (success, "CAPTURE")
    until(lambda: listed(shop, "delivered"), lambda lines: len(lines) == 1)
