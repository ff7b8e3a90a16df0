"""One gateway under two wires: a payment of the one is captured, voided, refunded and read on the other."""

import uuid

import pytest

from kessai import admin
from kessai.dialects.paymentoptions import identifiers
from tests.acceptance.client import Client, Service, amount_of, payment
from tests.acceptance.options import Shop, paid, shop_of


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "po_both")


@pytest.fixture
def till(service: Service, shop: Shop) -> Client:
    return service.till(shop.merchant)


def other_id(till: Client, path: str, identifier: str) -> str:
    """The id that the other wire knows a transaction by, as the read-back tells it."""
    reply = till.call("GET", f"/pts/v2/{path}/{identifier}")
    assert reply.status == 200, reply.body
    told = reply.json["kessaiInformation"]["paymentOptionsId"]
    assert uuid.UUID(told).version == 4
    return str(told)


def cybersource_id(shop: Shop, identifier: str) -> str:
    return str(shop.client.status(identifier).document["kessai"]["cybersource_id"])


def test_paid_here_refunded_there(shop: Shop, till: Client) -> None:
    sold = paid(shop.pay())
    identifier = cybersource_id(shop, sold.id)
    assert other_id(till, "payments", identifier) == sold.id
    refunds = f"/pts/v2/payments/{identifier}/refunds"
    assert till.call("POST", refunds, amount_of("400", "JPY")).said[:2] == (201, "PENDING")
    assert till.call("POST", refunds, amount_of("400", "USD")).status == 400
    paid(shop.follow("refund", sold.id, amount=600))
    assert shop.follow("refund", sold.id, amount=1).code == "ERR3019"
    shop.service.assert_books()


def test_paid_there_refunded_here(shop: Shop, till: Client) -> None:
    reply = till.pay(payment("102.21", processingInformation__capture=True))
    identifier = till.approved(reply)
    there = other_id(till, "payments", identifier)
    status = shop.client.status(there).document
    assert (status["transaction_type"], status["payment_details"]["amount"]) == ("CAPTURE", 102.21)
    assert status["payment_details"]["card"]["name"]
    assert status["transaction_details"]["billing_details"]["billing_address"]["country"]
    back = paid(shop.follow("refund", there, amount="102.21"))
    assert back.document["payment_details"]["amount"] == 102.21
    assert till.refund(identifier, "0.01").status in (201, 400)
    assert shop.follow("refund", there, amount="0.01").code == "ERR3019"
    assert other_id(till, "refunds", cybersource_id(shop, back.id)) == back.id
    shop.service.assert_books()


def test_held_there_captured_and_voided_here(shop: Shop, till: Client) -> None:
    first, second = (till.approved(till.pay(payment("100.00"))) for _ in range(2))
    taken = paid(shop.follow("capture", other_id(till, "payments", first), amount="60.00"))
    assert till.capture(first, "40.00").status == 400
    story = shop.service.run(admin.payment_show(shop.service.house, first))
    assert isinstance(story, dict)
    released = story["transactions"][-1]
    assert (released["operation"], released["approved"], story["held"]) == ("reversal", "40.00", "0.00")
    assert other_id(till, "reversals", released["id"]) == released["paymentoptions_id"]
    assert shop.client.status(released["paymentoptions_id"]).document["transaction_type"] == "VOID"
    assert till.refund(cybersource_id(shop, taken.id), "60.00", of="captures").said[:2] == (201, "PENDING")
    paid(shop.follow("void", other_id(till, "payments", second)))
    assert till.capture(second, "100.00").status == 400
    shop.service.assert_books()


def test_held_here_captured_and_reversed_there(shop: Shop, till: Client) -> None:
    first, second = paid(shop.authorize()), paid(shop.authorize())
    taken = till.call("POST", f"/pts/v2/payments/{cybersource_id(shop, first.id)}/captures", amount_of("1000", "JPY"))
    assert taken.said[:2] == (201, "PENDING")
    assert shop.follow("capture", first.id, amount=1).code == "ERR4123"
    voided = till.call("POST", f"/pts/v2/captures/{taken.id}/voids", {})
    assert voided.said[:2] == (201, "VOIDED")
    back = till.call("POST", f"/pts/v2/payments/{cybersource_id(shop, second.id)}/voids", {})
    assert back.said[:2] == (201, "VOIDED")
    assert shop.follow("capture", second.id, amount=1000).status == 412
    shop.service.assert_books()


def test_each_wire_accepts_its_own_ids_only(shop: Shop, till: Client) -> None:
    sold = paid(shop.pay())
    identifier = cybersource_id(shop, sold.id)
    assert shop.client.status(identifier).status == 404
    assert shop.follow("refund", identifier, amount=1).status == 404
    assert till.call("GET", f"/pts/v2/payments/{sold.id}").status == 404
    assert till.refund(sold.id, "1.00").fields == till.refund("7000000000006000103001", "1.00").fields
    assert till.call("GET", f"/tss/v2/transactions/{sold.id}").status == 404


def test_a_payment_is_told_in_the_words_of_either_wire(shop: Shop, till: Client) -> None:
    sold = paid(shop.pay(merchant_txn_ref="order-77"))
    identifier = cybersource_id(shop, sold.id)
    reply = till.call("GET", f"/pts/v2/payments/{identifier}")
    assert reply.json["clientReferenceInformation"]["code"] == "order-77"
    assert (reply.json["status"], reply.json["id"]) == ("AUTHORIZED", identifier)
    details = till.details(identifier)
    assert details["orderInformation"]["billTo"]["locality"] == "Chiyoda-ku"
    declined = shop.post("payment", shop.body(), {"kessai-scenario": "insufficient-funds"})
    told = till.call("GET", f"/pts/v2/payments/{cybersource_id(shop, declined.id)}").json
    assert told["status"] == "DECLINED"


def test_a_stored_card_pays_on_both_wires(shop: Shop, till: Client) -> None:
    token = paid(shop.pay(payment_method__store_payment_method=True)).token
    instrument = token.replace("-", "").upper()
    document = payment("10.00")
    document["paymentInformation"] = {"paymentInstrument": {"id": instrument}}
    assert till.pay(document).said[:2] == (201, "AUTHORIZED")
    found = till.call("GET", f"/tms/v1/paymentinstruments/{instrument}").json
    assert found["billTo"]["lastName"] == "Doe"
    deleted = till.call("DELETE", f"/tms/v1/paymentinstruments/{instrument}")
    assert deleted.status == 204
    assert shop.pay(card=None, payment_method__stored_payment_method_id=token).status == 404


def test_a_payments_story_has_both_ids(shop: Shop) -> None:
    service = shop.service
    sold = paid(shop.pay())
    story = service.run(admin.payment_show(service.house, sold.id))
    assert isinstance(story, dict)
    shown = story["transactions"][0]
    assert (shown["paymentoptions_id"], shown["id"]) == (sold.id, cybersource_id(shop, sold.id))
    assert identifiers.read(sold.id) is not None
