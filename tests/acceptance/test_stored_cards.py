"""Payments with stored cards over a real socket: what tokens stand for, what payments make of cards, who may charge."""

from collections.abc import Iterator

import pytest

from tests.acceptance.client import AUTHORIZED, BILL_TO, PENDING, Client, Json, Reply, Service, changed, refused
from tests.acceptance.test_tokens import CUSTOMERS, NUMBERS, Filed, fresh_pan, made

VISA_TYPE = {"type": "001"}


@pytest.fixture
def shop(service: Service) -> Client:
    """A merchant of its own, without seeds."""
    return service.merchant("stored_shop", "vpc")


@pytest.fixture
def filed(shop: Client) -> Filed:
    return Filed(shop)


def with_tokens(amount: str = "12.00", **paying: object) -> Json:
    """A payment that says an amount and what pays; `customer="..."` becomes `{"customer": {"id": "..."}}`."""
    named = {name: value if isinstance(value, dict) else {"id": value} for name, value in paying.items()}
    return {
        "orderInformation": {"amountDetails": {"totalAmount": amount, "currency": "USD"}},
        "paymentInformation": named,
    }


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
