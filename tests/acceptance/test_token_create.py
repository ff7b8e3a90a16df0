"""TOKEN_CREATE over a real socket, as a table: whatever pays, with whatever is to be made, for nobody or for a customer
that is there. The number that is kept is the card's, with the card's own expiry."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from tests.acceptance.client import AUTHORIZED, BILL_TO, Client, Json, Service, changed
from tests.acceptance.test_network_tokens import fresh, tokenized
from tests.acceptance.test_stored_cards import with_tokens
from tests.acceptance.test_tokens import CUSTOMERS, LONE, NUMBERS, Filed, instrument, made
from tests.flex.shop import Shop
from tests.flex.shop import card as encrypted

TYPES: Final = ("customer", "paymentInstrument", "shippingAddress", "instrumentIdentifier")
EXPIRY: Final = {"expirationMonth": "12", "expirationYear": "2031"}
ADDED_TO: Final = "added"
"""The kind of test in which the tokens are added to a customer that is there."""


@dataclass(frozen=True)
class Means:
    """What pays."""

    document: Json
    """Members of the payment."""
    pan: str
    """Of the card that is to be kept."""
    is_known: bool
    """Whether the merchant keeps the number already."""
    year: str = "2031"
    owner: str = ""
    """The customer that it names itself."""


@pytest.fixture(scope="module")
def shop(service: Service) -> Client:
    return service.merchant("create_shop", "vpc")


def number(shop: Client) -> Means:
    pan = fresh()
    return Means({"paymentInformation": {"card": {"number": pan, **EXPIRY}}}, pan, is_known=False)


def known_number(shop: Client) -> Means:
    pan = fresh()
    made(shop.post(NUMBERS, {"card": {"number": pan}}))
    return Means({"paymentInformation": {"card": {"number": pan, **EXPIRY}}}, pan, is_known=True)


def transient(shop: Client) -> Means:
    """A card from a browser."""
    pan = fresh()
    return Means({"tokenInformation": {"transientTokenJwt": Shop(shop).token(encrypted(pan))}}, pan, is_known=False)


def merchants_network_token(shop: Client) -> Means:
    """A network token that the merchant has from elsewhere: there is no other number to be kept."""
    pan = fresh()
    token = {"number": pan, **EXPIRY, "cryptogram": "AgAAAAAABk4DWZ4C28yUQAAAAAA=", "transactionType": "1"}
    means = {"paymentInformation": {"tokenizedCard": token | {"requestorId": "12345678901"}}}
    return Means(means | {"processingInformation": {"paymentSolution": "001"}}, pan, is_known=False)


def customers_card(shop: Client) -> Means:
    filed = Filed(shop)
    paying = {"paymentInformation": {"customer": {"id": filed.customer}}}
    return Means(paying, filed.pan, is_known=True, owner=filed.customer)


def lone_card(shop: Client) -> Means:
    pan = fresh()
    of = made(shop.post(NUMBERS, {"card": {"number": pan}}))["id"]
    lone = made(shop.post(LONE, instrument(of)))["id"]
    return Means({"paymentInformation": {"paymentInstrument": {"id": lone}}}, pan, is_known=True)


def customers_network_token(shop: Client) -> Means:
    """The customer's card has a network token, which pays in its place."""
    pan = fresh()
    of = tokenized(shop, pan)["instrumentIdentifier"]["id"]
    customer = made(shop.post(CUSTOMERS, {}))["id"]
    about = {"expirationMonth": "11", "expirationYear": "2030", "type": "001"}
    made(shop.post(f"{CUSTOMERS}/{customer}/payment-instruments", instrument(of, card=about)))
    paying = {"paymentInformation": {"customer": {"id": customer}}}
    return Means(paying, pan, is_known=True, year="2030", owner=customer)


def numbers_network_token(shop: Client) -> Means:
    """The same by the instrument identifier; the request says the card's expiry."""
    pan = fresh()
    of = tokenized(shop, pan)["instrumentIdentifier"]["id"]
    card = {"expirationMonth": "10", "expirationYear": "2029"}
    return Means({"paymentInformation": {"instrumentIdentifier": {"id": of}, "card": card}}, pan, True, year="2029")


MEANS: Final[Mapping[str, Callable[[Client], Means]]] = {
    means.__name__: means
    for means in (
        number,
        known_number,
        transient,
        merchants_network_token,
        customers_card,
        lone_card,
        customers_network_token,
        numbers_network_token,
    )
}
SUBSETS: Final = [subset for size in range(5) for subset in itertools.combinations(TYPES, size)]


def payment_with(means: Means, types: tuple[str, ...], owner: str) -> Json:
    ordered = {"amountDetails": {"totalAmount": "12.00", "currency": "USD"}, "billTo": BILL_TO}
    document: Json = {"orderInformation": ordered | {"shipTo": {"firstName": "Taro", "country": "JP"}}}
    document = changed(document, means.document)
    more: Json = {
        "processingInformation.actionList": ["TOKEN_CREATE"],
        "processingInformation.actionTokenTypes": list(types),
    }
    if owner and not means.owner:
        more["paymentInformation.customer.id"] = owner
    return changed(document, more)


@pytest.mark.parametrize("owned", [False, True], ids=["new", ADDED_TO])
@pytest.mark.parametrize("name", MEANS)
def test_what_is_made_is_of_the_card_whatever_pays(shop: Client, name: str, owned: bool) -> None:
    """Every subset of the kinds of tokens; none is the sandbox's default."""
    for types in SUBSETS:
        means = MEANS[name](shop)
        takes_customer = owned and name not in ("lone_card", "numbers_network_token")
        owner = means.owner or (made(shop.post(CUSTOMERS, {}))["id"] if takes_customer else "")
        reply = shop.pay(payment_with(means, types, owner))
        assert reply.said == AUTHORIZED, (name, types, reply.body)
        told = reply.json.get("tokenInformation", {})
        wanted = set(types) or {"customer", "paymentInstrument", "instrumentIdentifier"}
        has_owner = bool(owner) or "customer" in wanted
        expected = set(wanted)
        if owner:
            expected.discard("customer")
        if not has_owner:
            expected.discard("shippingAddress")
        if wanted & {"paymentInstrument", "instrumentIdentifier"}:
            expected |= {"instrumentIdentifier", "instrumentidentifierNew"}
        assert set(told) == expected, (name, types)
        made_for = owner or told.get("customer", {}).get("id", "")
        if "instrumentIdentifier" in expected:
            assert told["instrumentidentifierNew"] is not means.is_known
            kept = made(shop.call("GET", f"{NUMBERS}/{told['instrumentIdentifier']['id']}"), 200)
            assert kept["card"]["number"] == f"{means.pan[:6]}XXXXXX{means.pan[-4:]}"
            assert made(shop.post(NUMBERS, {"card": {"number": means.pan}}), 200)["id"] == kept["id"]
        if "paymentInstrument" in expected:
            path = f"{CUSTOMERS}/{made_for}/payment-instruments" if made_for else LONE
            card = made(shop.call("GET", f"{path}/{told['paymentInstrument']['id']}"), 200)
            assert card["instrumentIdentifier"]["id"] == told["instrumentIdentifier"]["id"]
            assert card["card"]["expirationYear"] == means.year
            assert card["billTo"] == BILL_TO
            assert card.get("default", False) is (bool(made_for) and not means.owner)
            assert shop.pay(with_tokens(paymentInstrument=card["id"])).said == AUTHORIZED
        if "shippingAddress" in expected:
            path = f"{CUSTOMERS}/{made_for}/shipping-addresses/{told['shippingAddress']['id']}"
            assert made(shop.call("GET", path), 200)["shipTo"] == {"firstName": "Taro", "country": "JP"}


def test_a_card_of_the_merchants_network_token_says_whose_it_is(shop: Client) -> None:
    told = shop.pay(payment_with(merchants_network_token(shop), ("paymentInstrument",), "")).json["tokenInformation"]
    card = made(shop.call("GET", f"{LONE}/{told['paymentInstrument']['id']}"), 200)["card"]
    assert card["tokenizedInformation"] == {"requestorID": "12345678901", "transactionType": "1"}


@pytest.mark.parametrize("name", MEANS)
def test_a_declined_payment_makes_nothing_whatever_pays(shop: Client, name: str) -> None:
    means = MEANS[name](shop)
    document = payment_with(means, TYPES, means.owner)
    reply = shop.call("POST", "/pts/v2/payments", document, {"Kessai-Scenario": "general-decline"})
    assert reply.said[:2] == (201, "DECLINED")
    assert "tokenInformation" not in reply.json
    known = shop.post(NUMBERS, {"card": {"number": means.pan}})
    assert known.status == (200 if means.is_known else 201)
