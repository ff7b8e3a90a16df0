"""Payments with stored cards over a real socket: what tokens stand for, what payments make of cards, who may charge."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    BILL_TO,
    PENDING,
    VISA,
    Client,
    Json,
    Reply,
    Service,
    amount_of,
    changed,
    payment,
    refused,
)
from tests.acceptance.test_tokens import CUSTOMERS, NUMBERS, Filed, fresh_pan, made

VISA_TYPE = {"type": "001"}
INITIATOR = "processingInformation.authorizationOptions.initiator"
ON_FILE = "123456789619999"
"""The network's id in the sandbox's approvals."""


@pytest.fixture
def shop(service: Service) -> Client:
    """A merchant of its own, without seeds."""
    return service.merchant("stored_shop", "vpc")


@pytest.fixture
def filed(shop: Client) -> Filed:
    return Filed(shop)


def with_tokens(**paying: object) -> Json:
    """A payment of 12 dollars that says what pays; `customer="..."` becomes `{"customer": {"id": "..."}}`."""
    named = {name: value if isinstance(value, dict) else {"id": value} for name, value in paying.items()}
    return {
        "orderInformation": {"amountDetails": {"totalAmount": "12.00", "currency": "USD"}},
        "paymentInformation": named,
    }


def creating(*types: str, pan: str = "", **more: object) -> Json:
    """A payment with a new card, of which tokens are to be made."""
    document = payment("12.00", number=pan or fresh_pan())
    document["processingInformation"] = {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": list(types)}
    document["orderInformation"]["shipTo"] = {"firstName": "Taro", "country": "JP"}
    return changed(document, more)


def by_merchant(document: Json, **said: object) -> Json:
    """The same, without the cardholder; `said` are members of the merchant-initiated transaction."""
    return changed(document, {f"{INITIATOR}.type": "merchant", f"{INITIATOR}.merchantInitiatedTransaction": said})


def warnings(till: Client, reply: Reply) -> list[str]:
    found = till.details(reply.id).get("kessaiInformation", {}).get("warnings", [])
    assert isinstance(found, list)
    return found


# ---- paying


def test_a_customer_pays_with_its_defaults(filed: Filed) -> None:
    address = filed.add_address()
    reply = filed.shop.pay(with_tokens(customer=filed.customer))
    assert reply.said == AUTHORIZED
    assert reply.json["paymentInformation"] == {
        "tokenizedCard": VISA_TYPE,
        "instrumentIdentifier": {"id": filed.number, "state": "ACTIVE"},
        "shippingAddress": {"id": address},
        "paymentInstrument": {"id": filed.card},
        "card": VISA_TYPE,
        "customer": {"id": filed.customer},
    }
    assert reply.json["paymentAccountInformation"] == {"card": VISA_TYPE}
    shown = filed.shop.details(reply.id)
    assert shown["paymentInformation"]["card"]["suffix"] == filed.pan[-4:]
    assert shown["paymentInformation"]["card"]["expirationYear"] == "2031"
    assert shown["paymentInformation"]["customer"] == {"id": filed.customer}
    assert shown["paymentInformation"]["instrumentIdentifier"] == {"id": filed.number}
    assert shown["orderInformation"]["billTo"] == BILL_TO
    assert shown["orderInformation"]["shipTo"]["lastName"] == "Suzuki"


@pytest.mark.parametrize("name", ["customer", "paymentInstrument", "instrumentIdentifier"])
@pytest.mark.parametrize("more", [{}, {"orderInformation.billTo": BILL_TO | {"lastName": "Sato"}}])
def test_both_ways_of_reading_a_request_agree(filed: Filed, name: str, more: Json) -> None:
    filed.add_address()
    token = {"customer": filed.customer, "paymentInstrument": filed.card, "instrumentIdentifier": filed.number}[name]
    card = {"paymentInformation.card": {"expirationMonth": "11", "expirationYear": "2030"}}
    usual = changed(with_tokens(**{name: token}), more | (card if name == "instrumentIdentifier" else {}))
    walked = changed(usual, {"orderInformation.amountDetails.totalAmount": 12, "merchantInformation": None})
    replies = [filed.shop.pay(document) for document in (usual, walked)]
    assert replies[0].said == replies[1].said
    assert replies[0].fields == replies[1].fields
    if replies[0].status == 201:
        own = ("paymentInformation", "orderInformation", "processingInformation")
        shown = [{part: filed.shop.details(reply.id)[part] for part in own} for reply in replies]
        for each in shown:
            each["processingInformation"].pop("reconciliationId", None)
        assert shown[0] == shown[1]
        assert replies[0].json["paymentInformation"] == replies[1].json["paymentInformation"]


def test_tokens_that_changed_after_they_paid_pay_as_they_are_now(filed: Filed) -> None:
    """What is remembered of a card that paid is good for as long as nothing of it changes."""
    shop, number = filed.shop, {"instrumentIdentifier": {"id": filed.number}}
    ways: list[Json] = [with_tokens(customer=filed.customer), with_tokens(paymentInstrument=filed.card)]

    def shown() -> list[tuple[object, object]]:
        found = [shop.details(shop.approved(shop.pay(way))) for way in ways]
        return [
            (each["paymentInformation"]["card"]["expirationYear"], each["orderInformation"]["billTo"]["lastName"])
            for each in found
        ]

    assert shown() == shown() == [("2031", BILL_TO["lastName"])] * 2
    renewed = {"card": {"expirationYear": "2034"}, "billTo": BILL_TO | {"lastName": "Sato"}} | number
    assert shop.call("PATCH", f"{filed.cards}/{filed.card}", renewed).status == 200
    assert shown() == shown() == [("2034", "Sato")] * 2
    address = filed.add_address()
    named = shop.pay(ways[0]).json["paymentInformation"]
    assert (named["shippingAddress"]["id"], named["paymentInstrument"]["id"]) == (address, filed.card)
    other = filed.add_card(default=True)
    assert shop.pay(ways[0]).json["paymentInformation"]["paymentInstrument"] == {"id": other}
    assert shop.call("DELETE", f"{filed.cards}/{filed.card}").status == 204
    assert shop.pay(ways[1]).status == 400
    assert shop.pay(ways[0]).json["paymentInformation"]["paymentInstrument"] == {"id": other}


def test_named_tokens_go_before_the_defaults(filed: Filed) -> None:
    other_pan = fresh_pan()
    number = made(filed.shop.post(NUMBERS, {"card": {"number": other_pan}}))["id"]
    filed.add_address()
    card, address = filed.add_card(instrumentIdentifier={"id": number}), filed.add_address()
    owners: tuple[Json, ...] = ({}, {"customer": filed.customer})
    for customer in owners:
        reply = filed.shop.pay(with_tokens(paymentInstrument=card, shippingAddress=address, **customer))
        assert reply.said == AUTHORIZED
        paid = reply.json["paymentInformation"]
        assert (paid["instrumentIdentifier"]["id"], paid["paymentInstrument"]["id"]) == (number, card)
        assert paid["shippingAddress"]["id"] == address
        assert filed.shop.details(reply.id)["paymentInformation"]["card"]["suffix"] == other_pan[-4:]


def test_a_number_alone_needs_the_rest_from_the_request(filed: Filed) -> None:
    alone = filed.shop.pay(with_tokens(instrumentIdentifier=filed.number))
    assert alone.said == refused("MISSING_FIELD")
    assert ("paymentInformation.card.expirationMonth", "MISSING_FIELD") in alone.fields
    assert ("orderInformation.billTo.email", "MISSING_FIELD") in alone.fields
    whole = changed(
        with_tokens(instrumentIdentifier=filed.number),
        {
            "orderInformation.billTo": BILL_TO,
            "paymentInformation.card": {"expirationMonth": 12, "expirationYear": 2030},
        },
    )
    reply = filed.shop.pay(whole)
    assert reply.said == AUTHORIZED
    assert reply.json["paymentInformation"] == {
        "tokenizedCard": VISA_TYPE,
        "instrumentIdentifier": {"id": filed.number, "state": "ACTIVE"},
        "card": VISA_TYPE,
    }


def test_what_a_request_says_itself_goes_before_its_tokens(filed: Filed) -> None:
    other = fresh_pan()
    document = changed(
        with_tokens(customer=filed.customer),
        {
            "paymentInformation.card": {"number": other, "expirationMonth": "01", "expirationYear": "2029"},
            "orderInformation.billTo": BILL_TO | {"lastName": "Sato"},
        },
    )
    reply = filed.shop.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["paymentInformation"]["customer"] == {"id": filed.customer}
    assert not reply.json["paymentInformation"].keys() & {"instrumentIdentifier", "paymentInstrument"}
    shown = filed.shop.details(reply.id)
    assert shown["paymentInformation"]["card"]["suffix"] == other[-4:]
    assert shown["paymentInformation"]["card"]["expirationYear"] == "2029"
    assert shown["orderInformation"]["billTo"]["lastName"] == "Sato"


def test_what_follows_goes_as_with_a_number(filed: Filed) -> None:
    shop = filed.shop
    held = shop.pay(with_tokens(customer=filed.customer))
    taken = shop.post(f"/pts/v2/payments/{held.id}/captures", amount_of("12.00"))
    assert taken.said == PENDING
    assert shop.call("DELETE", filed.path).status == 204
    back = shop.post(f"/pts/v2/captures/{taken.id}/refunds", amount_of("5.00"))
    assert back.said == PENDING
    assert shop.pay(with_tokens(customer=filed.customer)).said == refused("INVALID_DATA")


@pytest.mark.parametrize("capture", [True, "false"])
def test_a_sale_and_a_credit_take_tokens(filed: Filed, capture: object) -> None:
    document = changed(with_tokens(paymentInstrument=filed.card), {"processingInformation.capture": capture})
    assert filed.shop.pay(document).said == AUTHORIZED
    credit = filed.shop.credit(document)
    assert credit.said == PENDING
    reference = credit.json["processorInformation"]["paymentAccountReferenceNumber"]
    assert reference.startswith("V001")
    assert len(reference) == 29
    assert filed.shop.post(f"/pts/v2/credits/{credit.id}/voids", {}).said == (201, "VOIDED", None)


def test_a_legacy_token_is_a_payment_instrument(till: Client) -> None:
    for path, reply in (
        ("payments", till.pay(with_tokens(legacyToken="AB7C01E66529EA42E05341588E0A22AD"))),
        ("credits", till.credit(with_tokens(legacyToken="AB7C01E66529EA42E05341588E0A22AD"))),
    ):
        assert reply.status == 201, path
        assert "paymentInstrument" not in reply.json["paymentInformation"]
        assert reply.json["paymentInformation"]["instrumentIdentifier"]["id"] == "7010000000016241111"


@pytest.mark.parametrize("name", ["customer", "paymentInstrument", "instrumentIdentifier", "legacyToken"])
@pytest.mark.parametrize("token", ["F" * 32, "x", "7010000000099991111", VISA, 7])
def test_a_token_that_nobody_has_is_refused_by_its_path(shop: Client, name: str, token: object) -> None:
    document = with_tokens(**{name: {"id": token}})
    for reply in (shop.pay(document), shop.credit(document)):
        assert reply.said == refused("INVALID_DATA")
        assert reply.fields == [(f"paymentInformation.{name}.id", "INVALID_DATA")]


def test_tokens_that_do_not_go_together_are_refused(filed: Filed) -> None:
    other = Filed(filed.shop)
    address = other.add_address()
    for path, document in (
        ("paymentInstrument", with_tokens(customer=filed.customer, paymentInstrument=other.card)),
        ("shippingAddress", with_tokens(customer=filed.customer, shippingAddress=address)),
        ("instrumentIdentifier", with_tokens(paymentInstrument=filed.card, instrumentIdentifier=other.number)),
        ("customer", with_tokens(customer=filed.card)),
        ("paymentInstrument", with_tokens(paymentInstrument=filed.number)),
    ):
        reply = filed.shop.pay(document)
        assert reply.said == refused("INVALID_DATA")
        assert reply.fields == [(f"paymentInformation.{path}.id", "INVALID_DATA")]


def test_a_customer_without_a_card_does_not_pay(shop: Client) -> None:
    customer = made(shop.post(CUSTOMERS, {}))["id"]
    reply = shop.pay(with_tokens(customer=customer))
    assert reply.fields == [("paymentInformation.customer.id", "INVALID_DATA")]


def test_the_token_of_another_merchant_is_unknown_to_the_byte(service: Service, filed: Filed) -> None:
    """A-23: tokens of another merchant."""
    stranger = service.merchant("stored_stranger", "vpc")

    def told(**paying: object) -> bytes:
        body = stranger.pay(with_tokens(**paying)).json
        return repr({name: value for name, value in body.items() if name not in ("id", "submitTimeUtc")}).encode()

    for name, token in (
        ("customer", filed.customer),
        ("paymentInstrument", filed.card),
        ("instrumentIdentifier", filed.number),
    ):
        assert told(**{name: token}) == told(**{name: "0" * 32})


def test_a_keyed_repeat_is_told_the_same_when_its_token_has_gone(filed: Filed) -> None:
    document, key = with_tokens(customer=filed.customer), {"Idempotency-Key": f"gone-{filed.customer}"}
    path = "/pts/v2/payments"
    first = filed.shop.call("POST", path, document, key)
    assert first.said == AUTHORIZED
    other = changed(document, {"orderInformation.amountDetails.totalAmount": "13.00"})
    assert filed.shop.call("DELETE", filed.path).status == 204
    again = filed.shop.call("POST", path, document, key)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["kessai-replayed"] == "true"
    assert filed.shop.call("POST", path, other, key).said == refused("DUPLICATE_REQUEST")
    assert filed.shop.call("POST", path, document, {"Idempotency-Key": f"new-{filed.customer}"}).status == 400


def test_a_token_that_is_deleted_while_it_pays_gives_one_result(service: Service, shop: Client) -> None:
    """A-48: each payment is whole or refused, and none is after the deletion's answer."""
    for _ in range(4):
        filed = Filed(shop)
        gate = threading.Barrier(5)

        def paid(filed: Filed = filed, gate: threading.Barrier = gate) -> Reply:
            gate.wait()
            return shop.pay(with_tokens(customer=filed.customer))

        def deleted(filed: Filed = filed, gate: threading.Barrier = gate) -> Reply:
            gate.wait()
            return shop.call("DELETE", filed.path)

        with ThreadPoolExecutor(5) as pool:
            paying = [pool.submit(paid) for _ in range(4)]
            gone = pool.submit(deleted).result()
        assert gone.status == 204
        assert {reply.result().said for reply in paying} <= {AUTHORIZED, refused("INVALID_DATA")}
        assert shop.pay(with_tokens(customer=filed.customer)).said == refused("INVALID_DATA")
    service.assert_books()


# ---- making tokens


def test_a_payment_makes_a_customer_that_pays(shop: Client) -> None:
    pan = fresh_pan()
    reply = shop.pay(creating("customer", "paymentInstrument", "shippingAddress", pan=pan))
    assert reply.said == AUTHORIZED
    told = reply.json["tokenInformation"]
    assert list(told) == [
        "instrumentidentifierNew",
        "customer",
        "paymentInstrument",
        "shippingAddress",
        "instrumentIdentifier",
    ]
    assert told["instrumentidentifierNew"] is True
    assert told["instrumentIdentifier"]["state"] == "ACTIVE"
    customer = made(shop.call("GET", f"{CUSTOMERS}/{told['customer']['id']}"), 200)
    assert customer["buyerInformation"] == {"email": BILL_TO["email"]}
    card = customer["_embedded"]["defaultPaymentInstrument"]
    assert card["card"] == {"expirationMonth": "12", "expirationYear": "2031", "type": "001"}
    assert card["billTo"] == BILL_TO
    assert customer["_embedded"]["defaultShippingAddress"]["shipTo"] == {"firstName": "Taro", "country": "JP"}
    number = made(shop.call("GET", f"{NUMBERS}/{told['instrumentIdentifier']['id']}"), 200)
    assert number["card"]["number"] == f"{pan[:6]}XXXXXX{pan[-4:]}"
    assert shop.pay(with_tokens(customer=told["customer"]["id"])).said == AUTHORIZED
    again = shop.pay(creating("instrumentIdentifier", pan=pan)).json["tokenInformation"]
    assert again == {"instrumentidentifierNew": False, "instrumentIdentifier": told["instrumentIdentifier"]}


@pytest.mark.parametrize(
    ("types", "names"),
    [
        (("customer",), {"customer"}),
        (("instrumentIdentifier",), {"instrumentIdentifier", "instrumentidentifierNew"}),
        (("paymentInstrument",), {"paymentInstrument", "instrumentIdentifier", "instrumentidentifierNew"}),
        (("customer", "shippingAddress"), {"customer", "shippingAddress"}),
        ((), {"customer", "paymentInstrument", "instrumentIdentifier", "instrumentidentifierNew"}),
    ],
)
def test_any_of_them_may_be_made(shop: Client, types: tuple[str, ...], names: set[str]) -> None:
    assert shop.pay(creating(*types)).json["tokenInformation"].keys() == names


@pytest.mark.parametrize(
    "more", [{"orderInformation.amountDetails.totalAmount": "0"}, {"processingInformation.capture": True}]
)
def test_a_verification_and_a_sale_make_tokens_too(shop: Client, more: Json) -> None:
    reply = shop.pay(creating("customer", "paymentInstrument", **more))
    assert reply.said == AUTHORIZED
    assert shop.pay(with_tokens(customer=reply.json["tokenInformation"]["customer"]["id"])).said == AUTHORIZED


def test_a_card_is_added_to_a_customer(filed: Filed) -> None:
    added = changed(creating("paymentInstrument"), {"paymentInformation.customer.id": filed.customer})
    first = filed.shop.pay(added)
    assert first.said == AUTHORIZED
    told = first.json["tokenInformation"]
    assert told.keys() == {"instrumentidentifierNew", "paymentInstrument", "instrumentIdentifier"}
    assert filed.read()["defaultPaymentInstrument"]["id"] == filed.card
    default = changed(
        creating("paymentInstrument", "shippingAddress"),
        {
            "paymentInformation.customer.id": filed.customer,
            "tokenInformation.paymentInstrument.default": True,
            "tokenInformation.shippingAddress.default": True,
        },
    )
    told = filed.shop.pay(default).json["tokenInformation"]
    assert filed.read()["defaultPaymentInstrument"]["id"] == told["paymentInstrument"]["id"]
    assert filed.read()["defaultShippingAddress"]["id"] == told["shippingAddress"]["id"]
    assert filed.read(filed.cards)["total"] == 3


def test_a_kind_that_there_is_not_is_refused(shop: Client) -> None:
    reply = shop.pay(creating("customer", "wallet"))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("processingInformation.actionTokenTypes", "INVALID_DATA")]


@pytest.mark.parametrize("scenario", ["risk-reject", "insufficient-funds", "unreachable", "no-answer"])
def test_what_is_not_approved_makes_nothing(filed: Filed, scenario: str) -> None:
    pan = fresh_pan()
    document = changed(creating("paymentInstrument", pan=pan), {"paymentInformation.customer.id": filed.customer})
    reply = filed.shop.call("POST", "/pts/v2/payments", document, {"Kessai-Scenario": scenario})
    assert (reply.status, reply.json["status"]) in _NOTHING, reply.body
    assert "tokenInformation" not in reply.json
    assert filed.read(filed.cards)["total"] == 1
    assert made(filed.shop.post(NUMBERS, {"card": {"number": pan}}), 201)


_NOTHING = {(201, "DECLINED"), (201, "AUTHORIZED_RISK_DECLINED"), (502, "SERVER_ERROR")}


def test_a_replay_shows_the_same_tokens(shop: Client) -> None:
    document, key = creating("customer", "paymentInstrument"), {"Idempotency-Key": f"made-{fresh_pan()[-5:]}"}
    first = shop.call("POST", "/pts/v2/payments", document, key)
    again = shop.call("POST", "/pts/v2/payments", document, key)
    assert first.json["tokenInformation"]
    assert again.body == first.body
    assert shop.call("GET", f"/pts/v2/payments/{first.id}").body.startswith(first.body[:-1])


def test_payments_at_once_find_one_number_for_one_card(filed: Filed) -> None:
    document = changed(
        creating("paymentInstrument", pan=fresh_pan()), {"paymentInformation.customer.id": filed.customer}
    )
    with ThreadPoolExecutor(6) as pool:
        replies = [made_.result() for made_ in [pool.submit(filed.shop.pay, document) for _ in range(6)]]
    told = [reply.json["tokenInformation"] for reply in replies]
    assert len({each["instrumentIdentifier"]["id"] for each in told}) == 1
    assert [each["instrumentidentifierNew"] for each in told].count(True) == 1
    assert filed.read(filed.cards)["total"] == 7


# ---- agreements


def test_a_merchants_charge_refers_to_what_is_on_file(service: Service) -> None:
    shop = service.merchant("stored_agreements")
    filed = Filed(shop)
    number = f"{NUMBERS}/{filed.number}"
    assert "processingInformation" not in filed.read(number)
    charge = by_merchant(with_tokens(customer=filed.customer), reason="10")
    early = shop.pay(charge)
    assert early.said == AUTHORIZED
    assert "no payment of the cardholder" in warnings(shop, early)[0]
    assert "processingInformation" not in filed.read(number)
    first = shop.pay(changed(with_tokens(customer=filed.customer), {f"{INITIATOR}.credentialStoredOnFile": True}))
    network_id = first.json["processorInformation"]["networkTransactionId"]
    initiator = filed.read(number)["processingInformation"]["authorizationOptions"]["initiator"]
    assert initiator["merchantInitiatedTransaction"]["previousTransactionId"] == network_id
    plain = shop.pay(changed(with_tokens(customer=filed.customer), {f"{INITIATOR}.storedCredentialUsed": True}))
    assert warnings(shop, plain) == []
    later = shop.pay(charge)
    assert later.said == AUTHORIZED
    kept = shop.details(later.id)["processingInformation"]["authorizationOptions"]["initiator"]
    assert kept["merchantInitiatedTransaction"] == {"reason": "10", "previousTransactionID": network_id}
    assert not any("previousTransaction" in text for text in warnings(shop, later))
    wrong = shop.pay(by_merchant(with_tokens(customer=filed.customer), reason="1", previousTransactionID="1" * 15))
    assert wrong.said == AUTHORIZED
    assert "not the payment on file" in warnings(shop, wrong)[0]


@pytest.mark.parametrize("reason", ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "", None, "42"])
def test_every_reason_is_taken(shop: Client, reason: str | None) -> None:
    pan = fresh_pan()
    first = shop.pay(payment("12.00", number=pan)).json["processorInformation"]["networkTransactionId"]
    said = {"previousTransactionID": first, "originalAuthorizedAmount": "100"} | ({"reason": reason} if reason else {})
    reply = shop.pay(by_merchant(payment("12.00", number=pan), **said))
    assert reply.said == AUTHORIZED
    assert len(warnings(shop, reply)) == (0 if reason in {"1", "2", "3", "4", "5"} else 1)


def test_recurring_and_installment_members_are_shown(shop: Client) -> None:
    said = {
        "processingInformation.commerceIndicator": "install",
        "installmentInformation": {"sequence": 2, "totalCount": "12", "amount": "100.00", "frequency": "1"},
        "recurringPaymentInformation": {"endDate": "2030-01-01", "numberOfPayments": 12},
    }
    reply = shop.pay(by_merchant(changed(payment("12.00"), said), previousTransactionID=ON_FILE))
    shown = shop.details(reply.id)
    assert shown["installmentInformation"] == {
        "sequence": "2",
        "totalCount": "12",
        "amount": "100.00",
        "frequency": "1",
    }
    assert shown["recurringPaymentInformation"] == {"endDate": "2030-01-01", "numberOfPayments": "12"}
    assert shown["processingInformation"]["commerceIndicator"] == "install"
