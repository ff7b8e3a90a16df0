"""A sandbox's notifications go wrong on demand: what handlers break on."""

from kessai.webhooks import tricks
from tests.acceptance.client import Service, amount_of
from tests.webhooks.receiver import FAILED, OK, Receiver, Request
from tests.webhooks.shop import ACCEPTED, CAPTURED, Shop


def test_twice(shop: Shop, receiver: Receiver) -> None:
    shop.subscribe(receiver)
    shop.pay(scenario="webhook-twice")
    told = receiver.until(lambda seen: len(seen) == 2)
    assert told[0].trace == told[1].trace
    assert [each.json["requestType"] for each in told] == ["NEW", "NEW"]


def test_wrongly_signed_at_first(shop: Shop, receiver: Receiver) -> None:
    def careful(request: Request) -> bytes:
        return OK if request.is_signed_by(shop.key_id, shop.secret) else FAILED

    receiver.answer = careful
    shop.subscribe(receiver)
    shop.pay(scenario="webhook-wrong-signature")
    told = receiver.until(lambda seen: len(seen) == 2)
    assert [each.is_signed_by(shop.key_id, shop.secret) for each in told] == [False, True]


def test_late_and_out_of_order(service: Service, shop: Shop, receiver: Receiver) -> None:
    """A late one holds the later ones of its payment back; one that is out of order is overtaken by them."""
    shop.subscribe(receiver)
    late, overtaken = shop.pay("1.00", "webhook-late"), shop.pay("2.00", "webhook-out-of-order")
    for paid, amount in ((late, "1.00"), (overtaken, "2.00")):
        shop.till.post(f"/pts/v2/payments/{paid}/captures", amount_of(amount))
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.event == CAPTURED
    assert told.json["payload"]["data"]["orderInformation"]["amountDetails"]["totalAmount"] == "2.00"
    service.clock.moved += tricks.BY
    try:
        found = receiver.until(lambda seen: len(seen) == 4)
    finally:
        service.clock.moved -= tricks.BY
    amounts = [
        (each.event, each.json["payload"]["data"]["orderInformation"]["amountDetails"].get("authorizedAmount"))
        for each in found
    ]
    assert amounts[0] == (CAPTURED, None)
    assert set(amounts[1:3]) >= {(ACCEPTED, "1.00")}
    assert [event for event, _ in amounts[1:]].count(ACCEPTED) == 2
    assert [event for event, _ in amounts].index(ACCEPTED) < [event for event, _ in amounts[1:]].index(CAPTURED) + 1


def test_one_that_there_is_not_is_refused(shop: Shop) -> None:
    """As any scenario is."""
    refused = shop.till.call("POST", "/pts/v2/payments", {}, {"kessai-scenario": "webhook-lost"})
    assert refused.status == 400
