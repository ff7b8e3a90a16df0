"""The token requests over a real socket: every route, what it answers, and the rules between tokens."""

import itertools

import pytest

from kessai.dialects.cybersource.token_routes import ROUTES
from kessai.payment.card import luhn
from tests.acceptance.client import BILL_TO, VISA, Client, Json, Reply, Service

CUSTOMERS = "/tms/v2/customers"
LONE = "/tms/v1/paymentinstruments"
NUMBERS = "/tms/v1/instrumentidentifiers"
PEOPLE: Json = {"firstName": "花子", "lastName": "Suzuki", "country": "JP", "postalCode": "100-0001"}

_cards = itertools.count(1)


def fresh_pan(prefix: str = "411111") -> str:
    """A card number that no test has used before."""
    body = f"{prefix}{next(_cards):09d}"
    return next(f"{body}{check}" for check in range(10) if luhn(f"{body}{check}"))


@pytest.fixture
def shop(service: Service) -> Client:
    """A merchant of its own, without seeds."""
    return service.merchant("tokens_shop", "vpc")


def instrument(number: str, **more: object) -> Json:
    card = {"expirationMonth": "12", "expirationYear": "2031", "type": "001"}
    return {"card": card, "billTo": dict(BILL_TO), "instrumentIdentifier": {"id": number}} | more


def made(reply: Reply, status: int = 201) -> Json:
    assert reply.status == status, reply.body
    if status == 201:
        assert reply.headers["location"] == reply.json["_links"]["self"]["href"]
    assert reply.headers["uniquetransactionid"]
    return reply.json


def error(reply: Reply) -> tuple[int, str]:
    [only] = reply.json["errors"]
    assert only["message"]
    return reply.status, only["type"]


def details(reply: Reply) -> list[str]:
    return [detail["name"] for detail in reply.json["errors"][0].get("details", [])]


class Filed:
    """A customer with a card, at a merchant."""

    def __init__(self, shop: Client) -> None:
        self.shop = shop
        self.pan = fresh_pan()
        self.customer = made(shop.post(CUSTOMERS, {}))["id"]
        self.number = made(shop.post(NUMBERS, {"card": {"number": self.pan}}))["id"]
        self.path = f"{CUSTOMERS}/{self.customer}"
        self.cards = f"{self.path}/payment-instruments"
        self.addresses = f"{self.path}/shipping-addresses"
        self.card = self.add_card()

    def add_card(self, **more: object) -> str:
        return str(made(self.shop.post(self.cards, instrument(self.number, **more)))["id"])

    def add_address(self, **more: object) -> str:
        return str(made(self.shop.post(self.addresses, {"shipTo": PEOPLE} | more))["id"])

    def read(self, path: str = "") -> Json:
        return made(self.shop.call("GET", path or self.path), 200)


@pytest.fixture
def filed(shop: Client) -> Filed:
    return Filed(shop)


# ---- customers


def test_a_customer_is_made_read_changed_and_deleted(shop: Client) -> None:
    document = {
        "buyerInformation": {"merchantCustomerID": "77", "email": "a@example.com"},
        "clientReferenceInformation": {"code": "TC50171_3"},
        "merchantDefinedInformation": [{"name": "data1", "value": "blue"}],
        "objectInformation": {"title": "VIP", "comment": "likes tea"},
    }
    reply = shop.post(CUSTOMERS, document)
    customer = made(reply)
    path = f"{CUSTOMERS}/{customer['id']}"
    assert len(customer["id"]) == 32
    assert {name: customer[name] for name in document} == document
    assert customer["metadata"] == {"creator": "tokens_shop"}
    assert customer["_links"]["paymentInstruments"]["href"] == f"{path}/payment-instruments"
    assert customer["_links"]["shippingAddresses"]["href"] == f"{path}/shipping-addresses"
    assert not customer.keys() & {"_embedded", "defaultPaymentInstrument", "defaultShippingAddress"}
    read = shop.call("GET", path)
    assert read.json == customer
    assert read.headers["etag"] == reply.headers["etag"]
    patch = {"buyerInformation": {"email": "b@example.com"}, "objectInformation": None, "id": "X", "metadata": {}}
    changed = shop.call("PATCH", path, patch)
    assert made(changed, 200)["buyerInformation"] == {"merchantCustomerID": "77", "email": "b@example.com"}
    assert "objectInformation" not in changed.json
    assert changed.json["id"] == customer["id"]
    assert changed.headers["etag"] != reply.headers["etag"]
    assert shop.call("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert error(shop.call(method, path, body)) == (410, "notAvailable")


def test_an_empty_customer_is_one_and_the_clients_spelling_is_taken(shop: Client) -> None:
    assert made(shop.post(CUSTOMERS, {})).keys() == {"_links", "id", "metadata"}
    spelled = made(shop.post(CUSTOMERS, {"buyerInformation": {"merchantCustomerId": "sdk"}}))
    assert spelled["buyerInformation"] == {"merchantCustomerID": "sdk"}
    unknown = made(shop.post(CUSTOMERS, {"nonsense": {"a": 1}, "clientReferenceInformation": {"code": 7}}))
    assert unknown["clientReferenceInformation"] == {"code": "7"}
    assert "nonsense" not in unknown


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"objectInformation": {"title": "x" * 61}}, "objectInformation.title"),
        ({"objectInformation": {"comment": "x" * 151}}, "objectInformation.comment"),
        ({"buyerInformation": {"merchantCustomerID": "x" * 101}}, "buyerInformation.merchantCustomerID"),
        ({"buyerInformation": {"email": "x" * 256}}, "buyerInformation.email"),
        ({"buyerInformation": []}, "buyerInformation"),
        ({"clientReferenceInformation": {"code": "x" * 51}}, "clientReferenceInformation.code"),
        ({"merchantDefinedInformation": [{"name": "data5", "value": "x"}]}, "merchantDefinedInformation"),
        ({"merchantDefinedInformation": [{"name": "data1"}, {"name": "data1"}]}, "merchantDefinedInformation"),
        ({"defaultPaymentInstrument": {"id": "A" * 32}}, "defaultPaymentInstrument.id"),
    ],
)
def test_what_a_customer_cannot_be(shop: Client, document: Json, path: str) -> None:
    reply = shop.post(CUSTOMERS, document)
    assert error(reply) == (400, "invalidFields")
    assert details(reply) == [path]


# ---- payment instruments


def test_a_payment_instrument_shows_its_number_masked(filed: Filed) -> None:
    reply = filed.shop.call("GET", f"{filed.cards}/{filed.card}")
    card = made(reply, 200)
    assert card["_links"]["customer"]["href"] == filed.path
    assert card["object"] == "paymentInstrument"
    assert (card["default"], card["state"]) == (True, "ACTIVE")
    assert card["card"] == {"expirationMonth": "12", "expirationYear": "2031", "type": "001"}
    assert card["billTo"] == BILL_TO
    assert card["instrumentIdentifier"] == {"id": filed.number}
    masked = filed.pan[:6] + "X" * 6 + filed.pan[-4:]
    assert card["_embedded"]["instrumentIdentifier"]["card"] == {"number": masked}
    assert filed.pan.encode() not in reply.body


def test_the_first_is_the_default_until_another_one_is(filed: Filed) -> None:
    second, third = filed.add_card(), filed.add_card(default=True)
    listed = filed.shop.call("GET", filed.cards)
    assert listed.headers["x-total-count"] == "3"
    shown = [(each["id"], each["default"]) for each in listed.json["_embedded"]["paymentInstruments"]]
    assert shown == [(third, True), (filed.card, False), (second, False)]
    customer = filed.read()
    assert customer["defaultPaymentInstrument"] == {"id": third}
    assert customer["_embedded"]["defaultPaymentInstrument"]["id"] == third
    changed = filed.shop.call("PATCH", f"{filed.cards}/{second}", {"default": "true"})
    assert made(changed, 200)["default"] is True
    assert filed.read()["defaultPaymentInstrument"] == {"id": second}
    named = filed.shop.call("PATCH", filed.path, {"defaultPaymentInstrument": {"id": filed.card}})
    assert made(named, 200)["defaultPaymentInstrument"] == {"id": filed.card}
    assert named.json["_embedded"]["defaultPaymentInstrument"]["default"] is True
    assert filed.read() == named.json
    assert filed.read(f"{filed.cards}/{second}")["default"] is False


def test_a_default_goes_only_as_the_last(filed: Filed) -> None:
    second = filed.add_card()
    assert error(filed.shop.call("DELETE", f"{filed.cards}/{filed.card}")) == (409, "conflict")
    assert filed.shop.call("DELETE", f"{filed.cards}/{second}").status == 204
    assert filed.shop.call("DELETE", f"{filed.cards}/{filed.card}").status == 204
    assert error(filed.shop.call("GET", f"{filed.cards}/{filed.card}")) == (410, "notAvailable")
    assert "defaultPaymentInstrument" not in filed.read()
    empty = filed.shop.call("GET", filed.cards)
    assert (empty.status, empty.json["total"], "_embedded" in empty.json) == (200, 0, False)
    # Nothing refers to the number any more: it went too, and comes back under another id.
    assert error(filed.shop.call("GET", f"{NUMBERS}/{filed.number}")) == (410, "notAvailable")
    again = made(filed.shop.post(NUMBERS, {"card": {"number": filed.pan}}))
    assert again["id"] != filed.number


def test_another_customers_instrument_is_no_default_and_not_below_its_path(filed: Filed, shop: Client) -> None:
    other = Filed(shop)
    reply = shop.call("PATCH", filed.path, {"defaultPaymentInstrument": {"id": other.card}})
    assert error(reply) == (400, "invalidFields")
    assert details(reply) == ["defaultPaymentInstrument.id"]
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert error(shop.call(method, f"{filed.cards}/{other.card}", body)) == (404, "notFound")
    assert other.read(f"{other.cards}/{other.card}")["default"] is True


def test_a_number_may_be_given_inline(filed: Filed) -> None:
    pan = fresh_pan()
    document = {"instrumentIdentifier": {"card": {"number": pan}}, "card": {"type": "visa"}}
    first = made(filed.shop.post(filed.cards, document))
    second = made(filed.shop.post(filed.cards, document))
    assert first["instrumentIdentifier"] == second["instrumentIdentifier"]
    assert first["card"] == {"type": "001"}
    assert filed.read(f"{NUMBERS}/{first['instrumentIdentifier']['id']}")["state"] == "ACTIVE"


def test_a_payment_instrument_is_patched(filed: Filed) -> None:
    path = f"{filed.cards}/{filed.card}"
    patch = {"card": {"expirationMonth": "1", "expirationYear": 2040, "type": None}, "billTo": {"address2": "4F"}}
    after = made(filed.shop.call("PATCH", path, patch), 200)
    assert after["card"] == {"expirationMonth": "01", "expirationYear": "2040"}
    assert after["billTo"] == BILL_TO | {"address2": "4F"}
    assert after["default"] is True
    other = made(filed.shop.post(NUMBERS, {"card": {"number": fresh_pan()}}))["id"]
    moved = made(filed.shop.call("PATCH", path, {"instrumentIdentifier": {"id": other}}), 200)
    assert moved["instrumentIdentifier"] == {"id": other}
    bank = {"bankAccount": {"number": f"41{next(_cards):08d}", "routingNumber": "071923284"}}
    account = made(filed.shop.post(NUMBERS, bank))["id"]
    reply = filed.shop.call("PATCH", path, {"instrumentIdentifier": {"id": account}})
    assert error(reply) == (400, "unsupportedPaymentMethodModification")
    assert made(filed.shop.call("PATCH", path, {"default": False}), 200)["default"] is True


def test_a_bank_account_is_stored(filed: Filed) -> None:
    number = f"99{next(_cards):08d}"
    account = {"bankAccount": {"number": number, "routingNumber": "071923284"}}
    token = made(filed.shop.post(NUMBERS, account))
    assert len(token["id"]) == 32
    assert token["bankAccount"] == {"number": "X" * 10, "routingNumber": "071923284"}
    assert made(filed.shop.post(NUMBERS, account), 200)["id"] == token["id"]
    document = {
        "bankAccount": {"type": "savings"},
        "buyerInformation": {"companyTaxId": "12345", "currency": "USD", "dateOfBirth": "2000-12-13"},
        "processingInformation": {"bankTransferOptions": {"secCode": "WEB"}},
        "merchantInformation": {"merchantDescriptor": {"alternateName": "Branch Name"}},
        "billTo": BILL_TO,
        "instrumentIdentifier": {"id": token["id"]},
    }
    stored = made(filed.shop.post(filed.cards, document))
    assert stored["bankAccount"] == {"type": "savings"}
    assert stored["buyerInformation"] == {"companyTaxID": "12345", "currency": "USD"}
    assert stored["processingInformation"]["bankTransferOptions"] == {"SECCode": "WEB"}


@pytest.mark.parametrize(
    ("changes", "kind", "path"),
    [
        ({"card": {"expirationMonth": "13", "expirationYear": "2031"}}, "invalidFields", "card.expirationMonth"),
        ({"card": {"expirationMonth": "12", "expirationYear": "31"}}, "invalidFields", "card.expirationYear"),
        ({"card": {"expirationMonth": "12"}}, "missingFields", "card.expirationYear"),
        ({"card": {"type": "999"}}, "invalidFields", "card.type"),
        ({"billTo": {"firstName": "x" * 61}}, "invalidFields", "billTo.firstName"),
        ({"billTo": {"country": "JPN"}}, "invalidFields", "billTo.country"),
        ({"billTo": {"phoneNumber": "1" * 16}}, "invalidFields", "billTo.phoneNumber"),
        ({"default": "perhaps"}, "invalidFields", "default"),
        ({"instrumentIdentifier": {}}, "missingFields", "instrumentIdentifier.id"),
        (
            {"instrumentIdentifier": {"id": "7010000000099991111"}},
            "instrumentIdentifierNotFound",
            "instrumentIdentifier.id",
        ),
        (
            {"instrumentIdentifier": {"card": {"number": "4111111111111112"}}},
            "invalidFields",
            "instrumentIdentifier.card.number",
        ),
        ({"card": None, "bankAccount": {"type": "savings"}}, "invalidCombination", "bankAccount"),
        ({"bankAccount": {"type": "piggy bank"}, "card": None}, "invalidFields", "bankAccount.type"),
    ],
)
def test_what_a_payment_instrument_cannot_be(filed: Filed, changes: Json, kind: str, path: str) -> None:
    reply = filed.shop.post(filed.cards, instrument(filed.number) | changes)
    assert error(reply) == (400, kind)
    assert details(reply)[0] == path


def test_a_lone_one_has_words_and_no_default(filed: Filed) -> None:
    reply = filed.shop.post(LONE, instrument(filed.number, default=True))
    lone = made(reply)
    path = f"{LONE}/{lone['id']}"
    assert "default" not in lone
    assert "customer" not in lone["_links"]
    assert lone["card"]["type"] == "visa"
    assert filed.read(path) == lone
    patched = filed.shop.call("PATCH", path, {"card": {"type": "mastercard"}})
    assert made(patched, 200)["card"]["type"] == "mastercard"
    listed = filed.shop.call("GET", f"{NUMBERS}/{filed.number}/paymentinstruments")
    shown = [each["id"] for each in listed.json["_embedded"]["paymentInstruments"]]
    assert shown == [filed.card, lone["id"]]
    assert listed.headers["x-total-count"] == "2"
    assert filed.shop.call("DELETE", path).status == 204
    assert error(filed.shop.call("GET", path)) == (410, "notAvailable")
    assert filed.read(f"{NUMBERS}/{filed.number}")["id"] == filed.number


# ---- shipping addresses


def test_shipping_addresses_follow_the_same_rules(filed: Filed) -> None:
    first, second = filed.add_address(), filed.add_address(default=True)
    shown = filed.read(filed.addresses)["_embedded"]["shippingAddresses"]
    assert [(each["id"], each["default"]) for each in shown] == [(second, True), (first, False)]
    address = filed.read(f"{filed.addresses}/{first}")
    assert address["shipTo"] == PEOPLE
    assert address["_links"]["customer"]["href"] == filed.path
    assert filed.read()["_embedded"]["defaultShippingAddress"]["id"] == second
    patched = filed.shop.call("PATCH", f"{filed.addresses}/{first}", {"shipTo": {"firstName": None}, "default": True})
    assert made(patched, 200)["shipTo"] == {name: value for name, value in PEOPLE.items() if name != "firstName"}
    assert filed.read()["defaultShippingAddress"] == {"id": first}
    named = filed.shop.call("PATCH", filed.path, {"defaultShippingAddress": {"id": second}})
    assert made(named, 200)["defaultShippingAddress"] == {"id": second}
    assert error(filed.shop.call("DELETE", f"{filed.addresses}/{second}")) == (409, "conflict")
    assert filed.shop.call("DELETE", f"{filed.addresses}/{first}").status == 204
    assert filed.shop.call("DELETE", f"{filed.addresses}/{second}").status == 204
    reply = filed.shop.post(filed.addresses, {"shipTo": {"locality": "x" * 51}})
    assert (error(reply), details(reply)) == ((400, "invalidFields"), ["shipTo.locality"])


# ---- instrument identifiers


@pytest.mark.parametrize("prefix", ["411111", "555555", "356611"])
def test_a_number_has_one_token(shop: Client, prefix: str) -> None:
    pan = fresh_pan(prefix)
    first = shop.post(NUMBERS, {"card": {"number": pan, "securityCode": "123", "expirationMonth": "12"}})
    token = made(first)
    assert (len(token["id"]), token["id"][-4:], luhn(token["id"])) == (19, pan[-4:], True)
    assert token["card"] == {"number": f"{prefix}XXXXXX{pan[-4:]}"}
    assert (token["object"], token["state"]) == ("instrumentIdentifier", "ACTIVE")
    again = shop.post(NUMBERS, {"card": {"number": pan}})
    assert made(again, 200) == token
    assert "location" not in again.headers
    assert shop.call("GET", f"{NUMBERS}/{token['id']}").json == token


def test_a_number_keeps_its_previous_transaction_and_nothing_else_changes(shop: Client) -> None:
    token = made(shop.post(NUMBERS, {"card": {"number": fresh_pan()}}))
    path = f"{NUMBERS}/{token['id']}"
    initiator = {"initiator": {"merchantInitiatedTransaction": {"previousTransactionId": "123456789619999"}}}
    previous = {"processingInformation": {"authorizationOptions": initiator}}
    assert made(shop.call("PATCH", path, previous), 200) == token | previous
    same = shop.call("PATCH", path, {"card": token["card"]})
    assert made(same, 200) == token | previous
    other = shop.call("PATCH", path, {"card": {"number": fresh_pan()}})
    assert error(other) == (400, "unsupportedPaymentMethodModification")
    initiator["initiator"]["merchantInitiatedTransaction"]["previousTransactionId"] = "1" * 16
    assert error(shop.call("PATCH", path, previous)) == (400, "invalidFields")


def test_a_number_in_use_is_not_deleted(filed: Filed) -> None:
    path = f"{NUMBERS}/{filed.number}"
    reply = filed.shop.call("DELETE", path)
    assert error(reply) == (409, "instrumentIdentifierDeletionError")
    assert reply.json["errors"][0]["message"] == (
        "Action cannot be performed. The Instrument Identifier is associated with one or more Payment Instruments."
    )
    assert reply.json["_links"]["paymentInstruments"] == [{"href": f"{path}/paymentinstruments"}]
    free = made(filed.shop.post(NUMBERS, {"card": {"number": fresh_pan()}}))["id"]
    assert filed.shop.call("DELETE", f"{NUMBERS}/{free}").status == 204
    assert error(filed.shop.call("GET", f"{NUMBERS}/{free}")) == (410, "notAvailable")
    assert error(filed.shop.call("GET", f"{NUMBERS}/{free}/paymentinstruments")) == (410, "notAvailable")
    reply = filed.shop.post(filed.cards, instrument(free))
    assert error(reply) == (400, "instrumentIdentifierGone")


@pytest.mark.parametrize(
    ("document", "kind", "path"),
    [
        ({}, "missingFields", "card.number"),
        ({"card": {"number": "4111111111111112"}}, "invalidFields", "card.number"),
        ({"card": {"number": "41111111111"}}, "invalidFields", "card.number"),
        ({"card": {"number": "4" * 20}}, "invalidFields", "card.number"),
        ({"card": {"number": "4111 1111 1111 1111"}}, "invalidFields", "card.number"),
        ({"card": {"number": VISA}, "bankAccount": {"number": "1"}}, "invalidCombination", "card.number"),
        ({"bankAccount": {"number": "4100"}}, "missingFields", "bankAccount.routingNumber"),
        ({"bankAccount": {"number": "41OO", "routingNumber": "1"}}, "invalidFields", "bankAccount.number"),
        ({"bankAccount": {"number": "4100", "routingNumber": "x"}}, "invalidFields", "bankAccount.routingNumber"),
        ({"type": "enrollable token", "tokenizedCard": {}}, "unsupportedFields", "tokenizedCard"),
    ],
)
def test_what_has_no_token(shop: Client, document: Json, kind: str, path: str) -> None:
    reply = shop.post(NUMBERS, document)
    assert error(reply) == (400, kind)
    assert details(reply)[0] == path


# ---- a customer's end


def test_a_customer_goes_with_what_it_owns_and_nothing_else(filed: Filed) -> None:
    address, second = filed.add_address(), filed.add_card()
    shared = made(filed.shop.post(NUMBERS, {"card": {"number": fresh_pan()}}))["id"]
    both = made(filed.shop.post(filed.cards, instrument(shared)))["id"]
    lone = made(filed.shop.post(LONE, instrument(shared)))["id"]
    assert filed.shop.call("DELETE", filed.path).status == 204
    gone = [filed.path, f"{NUMBERS}/{filed.number}", f"{filed.addresses}/{address}", filed.cards, filed.addresses]
    gone += [f"{filed.cards}/{each}" for each in (filed.card, second, both)]
    assert {error(filed.shop.call("GET", path)) for path in gone} == {(410, "notAvailable")}
    assert error(filed.shop.post(filed.cards, instrument(shared))) == (410, "notAvailable")
    assert filed.read(f"{LONE}/{lone}")["instrumentIdentifier"] == {"id": shared}
    assert filed.read(f"{NUMBERS}/{shared}/paymentinstruments")["total"] == 1


# ---- lists


def test_a_list_is_read_in_pages(filed: Filed) -> None:
    for _ in range(4):
        filed.add_address()
    shown = []
    path: str | None = f"{filed.addresses}?offset=0&limit=2"
    pages = 0
    while path is not None:
        page = filed.read(path)
        shown += [each["id"] for each in page["_embedded"]["shippingAddresses"]]
        assert (page["object"], page["total"], page["limit"]) == ("collection", 4, 2)
        assert page["count"] == 2
        assert ("prev" in page["_links"]) == (pages > 0)
        assert page["_links"]["last"]["href"].endswith("?offset=2&limit=2")
        path, pages = page["_links"].get("next", {}).get("href"), pages + 1
    assert len(set(shown)) == 4
    assert pages == 2
    assert filed.read(f"{filed.addresses}?offset=99")["count"] == 0
    whole = filed.read(filed.addresses)
    assert (whole["offset"], whole["limit"], whole["count"]) == (0, 20, 4)


@pytest.mark.parametrize(("query", "name"), [("limit=101", "limit"), ("limit=0", "limit"), ("offset=x", "offset")])
def test_a_page_that_cannot_be(filed: Filed, query: str, name: str) -> None:
    reply = filed.shop.call("GET", f"{filed.cards}?{query}")
    assert error(reply) == (400, "invalidParameters")
    assert details(reply) == [name]
    assert error(filed.shop.call("GET", f"{NUMBERS}/{filed.number}/paymentinstruments?{query}"))[0] == 400


# ---- several at once


def test_several_tokens_are_made_at_once(shop: Client) -> None:
    pan = fresh_pan()
    types = ["customer", "shippingAddress", "paymentInstrument", "instrumentIdentifier"]
    document = {
        "processingInformation": {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": types},
        "tokenInformation": {
            "customer": {"buyerInformation": {"email": "a@example.com"}},
            "shippingAddress": {"shipTo": PEOPLE},
            "paymentInstrument": {"card": {"expirationMonth": "12", "expirationYear": "2031"}, "billTo": BILL_TO},
            "instrumentIdentifier": {"card": {"number": pan}},
        },
    }
    told = made(shop.post("/tms/v2/tokenize", document), 200)["responses"]
    assert [(each["resource"], each["httpStatus"]) for each in told] == [
        ("customer", 201),
        ("shippingAddress", 201),
        ("instrumentIdentifier", 201),
        ("paymentInstrument", 201),
    ]
    ids = {each["resource"]: each["id"] for each in told}
    customer = shop.call("GET", f"{CUSTOMERS}/{ids['customer']}").json
    assert customer["defaultPaymentInstrument"] == {"id": ids["paymentInstrument"]}
    assert customer["defaultShippingAddress"] == {"id": ids["shippingAddress"]}
    # To a customer that is there, over a number that is known.
    more = {
        "processingInformation": {"actionTokenTypes": ["paymentInstrument", "instrumentIdentifier"]},
        "tokenInformation": {
            "customer": {"id": ids["customer"]},
            "instrumentIdentifier": {"card": {"number": pan}},
            "paymentInstrument": {"default": True},
        },
    }
    again = made(shop.post("/tms/v2/tokenize", more), 200)["responses"]
    assert [(each["resource"], each["httpStatus"]) for each in again] == [
        ("instrumentIdentifier", 200),
        ("paymentInstrument", 201),
    ]
    assert again[0]["id"] == ids["instrumentIdentifier"]
    listed = shop.call("GET", f"{CUSTOMERS}/{ids['customer']}/payment-instruments").json
    assert listed["_embedded"]["paymentInstruments"][0]["id"] == again[1]["id"]


def test_after_one_that_fails_no_more_are_made(shop: Client) -> None:
    document = {
        "tokenInformation": {
            "customer": {},
            "instrumentIdentifier": {"card": {"number": "4111111111111112"}},
            "paymentInstrument": {},
        }
    }
    first, second = made(shop.post("/tms/v2/tokenize", document), 200)["responses"]
    assert (first["resource"], first["httpStatus"], second["httpStatus"]) == ("customer", 201, 400)
    assert second["errors"][0]["type"] == "invalidFields"
    assert shop.call("GET", f"{CUSTOMERS}/{first['id']}").status == 200
    assert error(shop.post("/tms/v2/tokenize", {})) == (400, "missingFields")
    later = {"tokenInformation": {"transientTokenJwt": "x.y.z", "instrumentIdentifier": {}}}
    assert error(shop.post("/tms/v2/tokenize", later)) == (400, "invalidFields")


# ---- headers


def test_an_etag_lets_one_change_through(filed: Filed) -> None:
    places = [filed.path, f"{filed.cards}/{filed.card}", f"{NUMBERS}/{filed.number}", f"{filed.addresses}/"]
    places[3] += filed.add_address()
    for path in places:
        etag = filed.shop.call("GET", path).headers["etag"]
        stale = filed.shop.call("PATCH", path, {}, {"if-match": '"0"'})
        assert error(stale) == (412, "conflict")
        changed = filed.shop.call("PATCH", path, {}, {"if-match": etag})
        assert changed.status == 200
        assert error(filed.shop.call("PATCH", path, {}, {"if-match": etag})) == (412, "conflict")
        assert filed.shop.call("PATCH", path, {}, {"if-match": changed.headers["etag"].strip('"')}).status == 200
        assert filed.shop.call("PATCH", path, {}, {"if-match": "*"}).status == 200


def test_a_profile_is_the_merchants_own_or_unknown(service: Service, shop: Client) -> None:
    till = service.till()
    known = "93B32398-AD51-4CC2-A682-EA3E93614EB1"
    assert till.call("POST", CUSTOMERS, {}, {"profile-id": known}).status == 201
    for client, profile in ((shop, known), (till, "0" * 36)):
        refused = client.call("POST", CUSTOMERS, {}, {"profile-id": profile})
        assert error(refused) == (424, "notFound")
        assert "token_profile" in str(refused.explanation)
    wrong = shop.call("GET", f"{CUSTOMERS}/{'A' * 32}", None, {"profile-id": "short"})
    assert (error(wrong), details(wrong)) == ((400, "invalidHeaders"), ["profile-id"])


def test_what_is_no_document(shop: Client) -> None:
    for row in ROUTES:
        if row.method in ("POST", "PATCH"):
            path = row.path.format(customer="A" * 32, id="B" * 32, provider="vts", asset="card-icon")
            reply = shop.call(row.method, path, body=b"[")
            assert error(reply) == (400, "invalidRequest")
            assert reply.json["errors"][0]["message"] == "Invalid HTTP Body"
    plain = shop.call("POST", CUSTOMERS, {}, {"content-type": "text/plain"})
    assert plain.status == 415
    assert shop.call("PUT", CUSTOMERS, {}).headers["allow"] == "POST"
    assert shop.call("GET", "/tms/v2/nothing").status == 404


# ---- seeds


def test_the_sandbox_has_what_the_public_samples_name(service: Service) -> None:
    till = service.till()
    for customer in (
        "AB695DA801DD1BB6E05341588E0A3BDC",
        "7500BB199B4270EFE05340588D0AFCAD",
        "C24F5921EB870D99E053AF598E0A4105",
        "E5426CFDE77F7390E053A2598D0A925D",
    ):
        found = made(till.call("GET", f"{CUSTOMERS}/{customer}"), 200)
        assert found["_embedded"]["defaultPaymentInstrument"]["instrumentIdentifier"]["id"] == "7010000000016241111"
        assert found["_embedded"]["defaultShippingAddress"]["shipTo"]["country"] == "US"
    first = f"{CUSTOMERS}/AB695DA801DD1BB6E05341588E0A3BDC"
    for path in (
        f"{first}/payment-instruments/AB6A54B982A6FCB6E05341588E0A3935",
        f"{first}/shipping-addresses/AB6A54B97C00FCB6E05341588E0A3935",
        f"{NUMBERS}/A7A91A2CA872B272E05340588D0A0699",
        f"{LONE}/888454C31FB6150CE05340588D0AA9BE",
        f"{LONE}/E5427539180789D0E053A2598D0AF053",
        f"{LONE}/AB7C01E66529EA42E05341588E0A22AD",
    ):
        assert till.call("GET", path).status == 200
    known = till.post(NUMBERS, {"card": {"number": VISA}})
    assert (known.status, known.id) == (200, "7010000000016241111")
    assert error(till.call("DELETE", f"{NUMBERS}/{known.id}")) == (409, "instrumentIdentifierDeletionError")
    added = service.merchant("seeded_shop")
    assert added.call("GET", first).status == 200
    assert service.till("kessai_jcn").call("GET", first).status == 404


# ---- BIN details


def test_a_token_tells_what_its_first_digits_say_where_that_is_asked_for(filed: Filed) -> None:
    asked = "?retrieveBinDetails=true"
    told = {
        "paymentAccountInformation": {
            "card": {"type": "001", "brandName": "VISA", "maxLength": "19", "credentialType": "PAN"}
        },
        "issuerInformation": {"binLength": "6", "accountPrefix": "411111"},
    }
    number, card = f"{NUMBERS}/{filed.number}", f"{filed.cards}/{filed.card}"
    for path in (number, card):
        plain = filed.shop.call("GET", path)
        assert "binLookup" not in plain.json.get("_embedded", {})
        found = filed.shop.call("GET", path + asked)
        assert found.json["_embedded"]["binLookup"] == told
        assert found.headers["etag"] == plain.headers["etag"]
    made_now = made(filed.shop.post(NUMBERS + asked, {"card": {"number": fresh_pan()}}))
    assert made_now["_embedded"]["binLookup"] == told
    account = {"bankAccount": {"number": "4100", "routingNumber": "071923284"}}
    assert "_embedded" not in made(filed.shop.post(NUMBERS + asked, account))
    assert filed.shop.call("GET", f"{NUMBERS}/7010000000000000000{asked}").status == 404
    assert "binLookup" not in filed.shop.call("GET", filed.path + asked).body.decode()
