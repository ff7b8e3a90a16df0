"""What happens is told: signed, in order, at least once, with the same id, whatever the merchant's server does."""

import threading

from tests.acceptance.client import PENDING, VISA, VOIDED, Service, amount_of, payment
from tests.acceptance.test_echecks import echeck
from tests.recurring import shop as recurring
from tests.webhooks.receiver import FAILED, OK, Receiver, Request, receiving
from tests.webhooks.shop import ACCEPTED, CAPTURED, Shop, open_shop, until_listed


def test_an_authorization_is_told_signed(shop: Shop, receiver: Receiver) -> None:
    webhook = shop.subscribe(receiver)
    paid = shop.till.post("/pts/v2/payments", payment("12.34"))
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    document = told.json
    assert told.line == "POST /hook HTTP/1.1"
    assert told.is_signed_by(shop.key_id, shop.secret)
    assert document["eventType"] == told.event == ACCEPTED
    assert document["webhookId"] == told.headers["v-c-webhook-id"] == webhook
    assert document["organizationId"] == told.headers["v-c-organization-id"] == shop.id
    assert document["productId"] == told.headers["v-c-product-name"] == "payments"
    assert document["transactionTraceId"] == told.trace
    assert (document["retryNumber"], document["requestType"]) == (0, "NEW")
    assert (told.headers["v-c-retry-count"], told.headers["v-c-request-type"]) == ("0", "NEW")
    answered = {name: value for name, value in paid.json.items() if name != "_links"}
    assert document["payload"] == {"data": answered}


def test_every_outcome_has_its_event(shop: Shop, receiver: Receiver) -> None:
    shop.subscribe(receiver)
    authorized = shop.pay()
    captured = shop.till.post(f"/pts/v2/payments/{authorized}/captures", amount_of("10.00")).id
    shop.till.post(f"/pts/v2/captures/{captured}/refunds", amount_of("4.00"))
    shop.till.post(
        f"/pts/v2/payments/{shop.pay()}/reversals",
        {"reversalInformation": {"amountDetails": {"totalAmount": "10.00"}, "reason": "x"}},
    )
    sale = shop.till.post("/pts/v2/payments", payment("9.00", processingInformation__capture=True)).id
    shop.till.post(f"/pts/v2/payments/{sale}/voids", {"clientReferenceInformation": {"code": "v"}})
    shop.till.call("POST", "/pts/v2/payments", payment(), {"kessai-scenario": "general-decline"})
    told = receiver.until(lambda seen: len(seen) >= 9)
    assert sorted(each.event for each in told) == sorted(
        (
            *(ACCEPTED, CAPTURED, "payments.refund.status.accepted"),
            *(ACCEPTED, "payments.reversal.status.accepted"),
            *(ACCEPTED, CAPTURED, "payments.void.status.accepted"),
            "payments.authorization.status.rejected",
        )
    )


def test_an_echeck_has_events_of_its_own(shop: Shop, receiver: Receiver) -> None:
    """Debits, credits, refunds and voids, taken and declined: none of them is told as a card's."""
    shop.subscribe(receiver)
    debit = shop.till.post("/pts/v2/payments", echeck())
    assert debit.said == PENDING
    shop.till.post(f"/pts/v2/payments/{debit.id}/refunds", amount_of("1.00"))
    shop.till.post("/pts/v2/credits", echeck())
    undone = shop.till.post("/pts/v2/payments", echeck())
    assert shop.till.post(f"/pts/v2/payments/{undone.id}/voids", {}).said == VOIDED
    declined = shop.till.call("POST", "/pts/v2/payments", echeck(), {"kessai-scenario": "general-decline"})
    assert declined.json["status"] == "DECLINED"
    told = receiver.until(lambda seen: len(seen) >= 6)
    assert sorted(each.event for each in told) == [
        *["payments.credits.accepted"] * 2,
        *["payments.payments.accepted"] * 2,
        "payments.payments.failed",
        "payments.voids.accepted",
    ]
    assert {each.json["productId"] for each in told} == {"eCheck"}
    first = next(each for each in told if each.json["payload"]["data"]["id"] == debit.id)
    assert first.json["payload"]["data"] == {name: value for name, value in debit.json.items() if name != "_links"}
    assert first.is_signed_by(shop.key_id, shop.secret)


def test_no_card_number_and_no_code_is_told(service: Service, shop: Shop, receiver: Receiver) -> None:
    """A-60: nor is one among what is kept to be told."""
    shop.subscribe(receiver)
    document = payment(paymentInformation__card__securityCode="9731", clientReferenceInformation__code=VISA)
    document["processingInformation"] = {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": ["instrumentIdentifier"]}
    shop.till.post("/pts/v2/payments", document)
    told = receiver.until(lambda seen: len(seen) == 2)
    assert {each.event for each in told} == {ACCEPTED, "tms.token.created"}
    kept = service.run(service.house.registry.rows.page(shop.id, 10))
    for secret in (VISA.encode(), b"9731"):
        assert not any(secret in body for body in (*(each.body for each in told), *(each.body for each in kept)))


def test_only_what_was_asked_for_is_told(shop: Shop, receiver: Receiver) -> None:
    shop.subscribe(receiver, [CAPTURED])
    authorized = shop.pay()
    shop.till.post(f"/pts/v2/payments/{authorized}/captures", amount_of("10.00"))
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.event == CAPTURED


def test_another_merchants_payments_are_not_told(service: Service, shop: Shop, receiver: Receiver) -> None:
    """R-30."""
    shop.subscribe(receiver)
    other = open_shop(service)
    with receiving() as elsewhere:
        other.subscribe(elsewhere)
        other.pay("1.00")
        shop.pay("2.00")
        elsewhere.until(lambda seen: len(seen) == 1)
        receiver.until(lambda seen: len(seen) == 1)
        assert [each.json["organizationId"] for each in receiver.seen] == [shop.id]
        assert [each.json["organizationId"] for each in elsewhere.seen] == [other.id]


def test_a_failure_is_tried_again_with_the_same_id(shop: Shop, receiver: Receiver) -> None:
    failures = [FAILED, FAILED]
    receiver.answer = lambda _request: failures.pop() if failures else OK
    shop.subscribe(receiver)
    shop.pay()
    told = receiver.until(lambda seen: len(seen) == 3)
    assert len({each.trace for each in told}) == 1
    assert [each.json["retryNumber"] for each in told] == [0, 1, 2]
    assert [each.json["requestType"] for each in told] == ["NEW", "RETRY", "RETRY"]
    assert all(each.is_signed_by(shop.key_id, shop.secret) for each in told)
    assert len({each.json["eventDate"] for each in told}) == 1


def test_a_failing_event_holds_back_the_later_ones_of_its_payment(shop: Shop, receiver: Receiver) -> None:
    """R-14: in order per payment; other payments go on."""
    is_broken = True
    receiver.answer = lambda request: FAILED if is_broken and request.event == ACCEPTED else OK
    shop.subscribe(receiver)
    first = shop.pay("1.00")
    shop.till.post(f"/pts/v2/payments/{first}/captures", amount_of("1.00"))
    receiver.until(lambda seen: len(seen) >= 3)
    assert {each.event for each in receiver.seen} == {ACCEPTED}
    is_broken = False
    told = receiver.until(lambda seen: seen[-1].event == CAPTURED)
    assert [each.event for each in told].index(CAPTURED) == len(told) - 1


def test_a_parked_event_lets_the_next_one_go(shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda request: FAILED if request.event == ACCEPTED else OK
    shop.subscribe(receiver, retryPolicy={"firstRetry": 0, "interval": 0, "numberOfRetries": 1})
    first = shop.pay("1.00")
    shop.till.post(f"/pts/v2/payments/{first}/captures", amount_of("1.00"))
    told = receiver.until(lambda seen: len(seen) == 3)
    assert [each.event for each in told] == [ACCEPTED, ACCEPTED, CAPTURED]


def test_at_most_sixteen_are_under_way_to_one_place(shop: Shop, receiver: Receiver) -> None:
    many = threading.Event()

    def answer(_request: Request) -> bytes:
        if receiver.most_at_once >= 16:
            many.set()
        many.wait(8)  # the courier's patience is ten seconds
        return OK

    receiver.answer = answer
    receiver.delay_s = 0.05
    shop.subscribe(receiver)
    for _ in range(40):
        shop.pay()
    receiver.until(lambda seen: len({each.trace for each in seen}) == 40, seconds=60)
    assert receiver.most_at_once == 16


def test_a_slow_place_delays_no_other(service: Service, shop: Shop, receiver: Receiver) -> None:
    """F29: both are told while the slow place has not answered once."""
    over = threading.Event()

    def slow(_request: Request) -> bytes:
        over.wait(60)
        return OK

    with receiving(slow) as snail:
        shop.subscribe(snail)
        for _ in range(20):
            shop.pay()
        snail.until(lambda seen: len(seen) >= 16)
        shop.subscribe(receiver)
        other = open_shop(service)
        other.subscribe(receiver)
        other.pay()
        shop.pay()
        receiver.until(lambda seen: len(seen) == 2)
        assert len(snail.notifications()) == 16, "the slow place had been given up"
        over.set()


def test_a_server_that_went_away_is_told_when_it_is_back(service: Service, shop: Shop, receiver: Receiver) -> None:
    """Nothing is lost, and no id changes."""
    shop.subscribe(receiver)
    shop.pay()
    receiver.until(lambda seen: len(seen) == 1)
    receiver.stop()
    paid = [shop.pay() for _ in range(5)]
    while not any(each["attempts"] for each in until_listed(service, shop, "waiting", 5)):
        continue  # until one was tried in vain
    receiver.start()
    told = receiver.until(lambda seen: len({each.trace for each in seen}) == 6)
    assert {each.json["payload"]["data"]["id"] for each in told} >= set(paid)


def test_an_unknown_outcome_is_told_when_it_is_known(shop: Shop, receiver: Receiver) -> None:
    """Once, and as it ended: a hold that nobody answered for is reversed."""
    shop.subscribe(receiver)
    unknown = shop.till.call("POST", "/pts/v2/payments", payment(), {"kessai-scenario": "time-out"})
    assert unknown.status == 502
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.event == "payments.reversal.status.accepted"
    assert told.json["payload"]["data"]["relatedTransaction"] == {"id": unknown.id}
    assert told.is_signed_by(shop.key_id, shop.secret)


def test_a_subscriptions_charges_are_told(shop: Shop, receiver: Receiver) -> None:
    shop.subscribe(receiver, ["rbs.subscriptions.charge.created", "rbs.subscriptions.charge.failed"])
    seller = recurring.Shop(shop.till)
    customer = seller.customer()
    made = seller.subscribe(recurring.subscription(customer, seller.today(), **recurring.own_terms("7.00")))
    assert made.status == 201
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert (told.event, told.json["productId"]) == ("rbs.subscriptions.charge.created", "recurringBilling")
    data = told.json["payload"]["data"]
    assert data["subscriptionInformation"]["code"] == made.json["subscriptionInformation"]["code"]
    assert data["orderInformation"]["amountDetails"]["authorizedAmount"] == "7.00"
    shop.pay()
    assert [each.event for each in receiver.notifications()] == ["rbs.subscriptions.charge.created"]
