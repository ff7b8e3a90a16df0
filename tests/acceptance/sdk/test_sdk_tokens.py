"""The official client, unmodified, stores a card: what each call of `drive.tokens` brought back."""

from typing import Any, Final

import pytest

from tests.acceptance.sdk.test_sdk import AUTHENTICATIONS

Json = dict[str, Any]

CARD_MODEL: Final = "PostCustomerPaymentInstrumentRequest"
DECODED: Final[tuple[tuple[str, int, str], ...]] = (
    ("customer", 201, "PostCustomerRequest"),
    ("number", 201, "PostInstrumentIdentifierRequest"),
    ("number again", 200, "PostInstrumentIdentifierRequest"),
    ("card", 201, CARD_MODEL),
    ("second card", 201, CARD_MODEL),
    ("other number", 201, "PostInstrumentIdentifierRequest"),
    ("address", 201, "PostCustomerShippingAddressRequest"),
    ("customer with defaults", 200, "PostCustomerRequest"),
    ("other default", 200, "PatchCustomerPaymentInstrumentRequest"),
    ("cards", 200, "PaymentInstrumentList1"),
    ("addresses", 200, "ShippingAddressListForCustomer"),
    ("lone card", 201, "PostPaymentInstrumentRequest"),
    ("cards of a number", 200, "PaymentInstrumentList"),
    ("other address of a customer", 200, "PatchCustomerRequest"),
    ("card read", 200, "PostCustomerPaymentInstrumentRequest"),
    ("card changed", 200, "PatchCustomerPaymentInstrumentRequest"),
    ("address read", 200, "PostCustomerShippingAddressRequest"),
    ("address changed", 200, "PatchCustomerShippingAddressRequest"),
    ("lone card read", 200, "PostPaymentInstrumentRequest"),
    ("lone card changed", 200, "PatchPaymentInstrumentRequest"),
    ("number read", 200, "PostInstrumentIdentifierRequest"),
    ("number changed", 200, "PatchInstrumentIdentifierRequest"),
    ("several", 200, "InlineResponse200"),
    ("seeded customer", 200, "PostCustomerRequest"),
)
ENDED: Final = (
    "address's end",
    "lone card's end",
    "number's end",
    "number after its end",
    "default's end",
    "card's end",
    "number in use",
    "customer's end",
    "card after its end",
    "nobody",
)


@pytest.fixture(params=AUTHENTICATIONS)
def tokens(played: Json, request: pytest.FixtureRequest) -> Json:
    """What came of the calls, with each authentication; `encrypted`: what the client encrypts of them, both ways."""
    found: Json = played["tokens"][request.param]
    return found


@pytest.mark.parametrize(("name", "status", "model"), DECODED, ids=[name for name, _, _ in DECODED])
def test_an_answer_is_decoded_by_its_model(tokens: Json, name: str, status: int, model: str) -> None:
    assert (tokens[name].get("status"), tokens[name].get("model")) == (status, model), tokens[name]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("default's end", 409, "conflict"),
        ("number in use", 409, "instrumentIdentifierDeletionError"),
        ("card after its end", 410, "notAvailable"),
        ("number after its end", 410, "notAvailable"),
        ("nobody", 404, "notFound"),
    ],
)
def test_a_refusal_is_an_exception_with_its_body(tokens: Json, name: str, status: int, kind: str) -> None:
    assert tokens[name]["status"] == status, tokens[name]
    assert tokens[name]["error"]["errors"][0]["type"] == kind


@pytest.mark.parametrize("name", ["address's end", "card's end", "lone card's end", "number's end", "customer's end"])
def test_an_end_has_no_body(tokens: Json, name: str) -> None:
    assert tokens[name] == {"status": 204}


def test_every_call_reached_an_answer(tokens: Json) -> None:
    failed = {name: noted for name, noted in tokens.items() if "failed" in noted}
    assert failed == {}
    assert tokens.keys() == {name for name, _, _ in DECODED} | set(ENDED)


def test_what_was_sent_comes_back(tokens: Json) -> None:
    customer = tokens["customer with defaults"]["answer"]
    assert customer["buyer_information"] == {"merchant_customer_id": "1001", "email": "hanako@example.com"}
    assert customer["merchant_defined_information"] == [{"name": "data1", "value": "blue"}]
    assert customer["default_payment_instrument"]["id"] == tokens["card"]["answer"]["id"]
    assert customer["embedded"]["default_shipping_address"]["ship_to"]["locality"] == "Chiyoda-ku"
    listed = tokens["cards"]["answer"]
    assert (listed["total"], listed["count"]) == (2, 2)
    shown = [each["id"] for each in listed["embedded"]["payment_instruments"]]
    assert shown == [tokens["second card"]["answer"]["id"], tokens["card"]["answer"]["id"]]
    assert tokens["number"]["answer"]["card"]["number"] == "510510XXXXXX5100"
    assert tokens["number again"]["answer"]["id"] == tokens["number"]["answer"]["id"]
    assert tokens["card changed"]["answer"]["bill_to"]["locality"] == "Osaka"
    assert tokens["card read"]["answer"]["card"]["expiration_year"] == "2031"
    assert tokens["address changed"]["answer"]["ship_to"]["locality"] == "Osaka"
    assert tokens["lone card changed"]["answer"]["card"]["expiration_year"] == "2033"
    initiator = tokens["number changed"]["answer"]["processing_information"]["authorization_options"]["initiator"]
    assert initiator["merchant_initiated_transaction"]["previous_transaction_id"] == "123456789012345"
    told = tokens["several"]["answer"]["responses"]
    assert [(each["resource"], each["http_status"]) for each in told] == [
        ("customer", 201),
        ("instrumentIdentifier", 200),
    ]


def test_the_models_hold_all_of_an_answer_but_known_members(tokens: Json) -> None:
    lost = {path for noted in tokens.values() for path in noted.get("lost", [])}
    assert lost == {"_links.shippingAddresses.href", "object"}, "spellings and members of the live service"


@pytest.fixture(scope="module")
def network(played: Json) -> Json:
    found: Json = played["network tokens"]
    return found


NETWORK: Final[tuple[tuple[str, int, str | None], ...]] = (
    ("number to enrol", 201, "PostInstrumentIdentifierRequest"),
    ("enrolment", 202, None),
    ("tokenized card", 201, "InlineResponse2001"),
    ("enrolled already", 204, None),
    ("enrolled number", 200, "PostInstrumentIdentifierRequest"),
    ("tokenized card again", 200, "InlineResponse2001"),
    ("picture", 200, "InlineResponse2002"),
    ("no key", 403, None),
    ("suspended", 204, None),
    ("ended", 204, None),
    ("after its end", 200, "InlineResponse2001"),
)


@pytest.mark.parametrize(("name", "status", "model"), NETWORK, ids=[name for name, _, _ in NETWORK])
def test_a_network_token_is_decoded_by_its_model(network: Json, name: str, status: int, model: str | None) -> None:
    assert (network[name].get("status"), network[name].get("model")) == (status, model), network[name]


def test_a_network_token_is_seen_by_the_client(network: Json) -> None:
    card = network["tokenized card"]["answer"]["tokenized_card"]
    assert (card["state"], card["type"], card["number"][:12]) == ("ACTIVE", "visa", "489537XXXXXX")
    assert network["enrolled number"]["answer"]["tokenized_card"]["state"] == "ACTIVE"
    assert network["after its end"]["answer"]["tokenized_card"]["state"] == "DELETED"
    [picture] = network["picture"]["answer"]["content"]
    assert (picture["type"], picture["width"], picture["height"]) == ("image/png", 32, 32)
