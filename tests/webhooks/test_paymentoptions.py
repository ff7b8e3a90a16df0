"""Notifications to the URL that came with a payment: the other wire's body, our signature, its place in the queue."""

import base64
import hmac
import json
from datetime import timedelta

from kessai import outbox
from kessai.dialects.paymentoptions import notifications as wire
from kessai.gateway import Circumstances
from kessai.payment.authorize import Authorize
from kessai.payment.lifecycle import Payment, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Answer
from kessai.webhooks.tries import TRIED_FOR, backed_off
from tests.acceptance.client import Json, Service
from tests.houses import VISA, usd
from tests.webhooks.receiver import FAILED, OK, Receiver, Request
from tests.webhooks.shop import Shop

ENVELOPE: Json = {
    "success": True,
    "status_code": 201,
    "is_live": False,
    "transaction_type": "CAPTURE",
    "gateway_response": {"version": "1", "type": "INFO", "message": "Payment Successful.", "code": "INFO0000"},
    "merchant_details": {"legal_name": "株式会社青空", "mid": "m", "merchant_txn_ref": "order-7"},
    "payment_details": {"amount": 1000, "response_code": 0},
    "transaction_details": {"id": "9ab8", "ref": 74811, "timestamp": "2024-11-25T08:24:36.000Z"},
}


def pay(service: Service, shop: Shop, url: str, scenario: str | None = None) -> None:
    """A payment as the edge of that wire makes it: its own `return_url` among what is kept, its envelope as answer."""
    merchant: Merchant = service.house.accounts.get(shop.id).merchant
    return_url = {
        "webhook_url": url,
        "success_url": "https://shop.example/ok",
        "decline_url": "https://shop.example/ng",
    }
    command = Authorize(
        amount=usd(1_000),
        card=VISA,
        capture=True,
        reference="order-7",
        particulars=json.dumps({"return_url": return_url}, separators=(",", ":")).encode(),
    )

    def encode(_payment: Payment, transaction: Transaction) -> Answer:
        return Answer(201, json.dumps(ENVELOPE).encode()) if transaction.approved else Answer(504, b"{}")

    work = service.house.gateway.perform(merchant, command, Circumstances(scenario=scenario), encode)
    assert not isinstance(service.run(work), Refusal)


def speak_the_other_wire(service: Service, shop: Shop) -> None:
    registry, before = service.house.registry, service.house.registry.names_its_own
    registry.names_its_own = lambda merchant_id: merchant_id == shop.id or before(merchant_id)
    service.run(registry.load_of(shop.id))


def is_signed(request: Request, secret: str) -> bool:
    """As the documents tell merchants to find out."""
    parts = [part.partition("=")[::2] for part in request.headers["kessai-signature"].split(",")]
    signed = f"{dict(parts)['t']}.{request.headers['kessai-event-id']}.".encode() + request.body
    mac = hmac.digest(base64.b64decode(secret), signed, "sha256").hex()
    return mac in [value for name, value in parts if name == "v1"]


def test_a_result_goes_to_the_payments_own_url(service: Service, shop: Shop, receiver: Receiver) -> None:
    speak_the_other_wire(service, shop)
    made = service.run(outbox.secret(service.house, shop.id))
    assert isinstance(made, dict)
    failures = [FAILED]
    receiver.answer = lambda _request: failures.pop() if failures else OK
    pay(service, shop, receiver.url)
    service.until(lambda: outbox.deliveries(service.house, shop.id), lambda found: bool(receiver.seen) and bool(found))
    told = receiver.seen[0]
    assert (told.headers["kessai-retry"], told.headers["content-type"]) == ("0", "application/json")
    assert is_signed(told, made["secret"])
    assert list(told.json)[:6] == [*list(ENVELOPE)[:5], "return_url_details"]
    assert told.json["status_code"] == 200
    assert told.json["return_url_details"]["webhook_url"] == receiver.url
    assert told.json["transaction_details"] == ENVELOPE["transaction_details"] | {"merchant_txn_ref": "order-7"}
    assert told.json["merchant_details"] == ENVELOPE["merchant_details"]
    listed = service.run(outbox.deliveries(service.house, shop.id))
    assert isinstance(listed, list)
    assert [(each["event"], each["place"]) for each in listed] == [
        (wire.COMPLETED, f"http://127.0.0.1:{receiver.port}")
    ]


def test_the_old_secret_signs_beside_the_new_one_for_a_day(service: Service, shop: Shop, receiver: Receiver) -> None:
    """R-58: two secrets during rotation."""
    speak_the_other_wire(service, shop)
    old, new = (service.run(outbox.secret(service.house, shop.id)) for _ in range(2))
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    pay(service, shop, receiver.url)
    service.until(lambda: outbox.deliveries(service.house, shop.id, "delivered"), bool)
    assert all(is_signed(receiver.seen[0], made["secret"]) for made in (old, new))


def test_a_url_that_may_not_be_called_is_not(service: Service, shop: Shop) -> None:
    """A-71: the payment stands; nothing is sent."""
    speak_the_other_wire(service, shop)
    pay(service, shop, "https://169.254.169.254/hook")
    service.until(lambda: service.house.registry.rows.notices(shop.id, 10), lambda notices: notices == [])
    assert service.run(outbox.deliveries(service.house, shop.id)) == []
    assert '"webhook.refused"' in service.logs.getvalue()


def test_an_outcome_that_is_found_out_later_is_told_then(service: Service, shop: Shop, receiver: Receiver) -> None:
    """By the envelope that the wire would answer now; not known, it is not told."""
    speak_the_other_wire(service, shop)
    notifier, before = service.house.notifier, service.house.notifier.envelope
    notifier.envelope = lambda _merchant, _payment, _transaction: json.dumps(ENVELOPE | {"success": False}).encode()
    try:
        pay(service, shop, receiver.url, "time-out")
        service.until(lambda: outbox.deliveries(service.house, shop.id, "delivered"), bool)
    finally:
        notifier.envelope = before
    assert [each.json["success"] for each in receiver.seen] == [False]


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
