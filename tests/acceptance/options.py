"""A shop on the PaymentOptions wire, for tests: keys of its own, requests as clients send them, and what to expect."""

import copy
from collections.abc import Mapping
from typing import Any

import httpx

from kessai.client import Address, Card, PaymentOptions, Result
from tests.acceptance.client import Service

Json = dict[str, Any]
PREFIX = "/api/v1/server-to-server-interface"
CARD = Card(number="5200000000001005", name="John Doe", expiry_month="12", expiry_year="39", cvc="100")
HOME = Address(
    country="JP",
    email="taro@shop.example",
    phone_number="81312345678",
    address1="1-1-1",
    city="Chiyoda-ku",
    state="Tokyo",
    postal_code="1000001",
)


class Shop:
    """One merchant's client."""

    def __init__(self, service: Service, merchant: str) -> None:
        pair = service.run(service.house.accounts.bearer(merchant))
        self.service = service
        self.merchant = merchant
        self.keys = {"api_key": pair.api_key, "x_api_key": pair.x_api_key}
        self.client = PaymentOptions(service.http, merchant, **self.keys)

    def body(self, **changes: object) -> Json:
        """A whole payment; `card__cvc="12"` changes a member of a member, None takes it out."""
        document: Json = {
            "amount": "1000",
            "currency": "JPY",
            "card": {
                "number": CARD.number,
                "name": CARD.name,
                "expiry_month": "12",
                "expiry_year": "39",
                "cvc": "100",
            },
            "payment_method": {"type": "scheme", "store_payment_method": False},
            "merchant_id": self.merchant,
            "merchant_txn_ref": "order-1",
            "customer_ip": "192.0.2.10",
            "return_url": {
                "success_url": "https://shop.example/ok",
                "decline_url": "https://shop.example/ng",
            },
            "billing_address": {
                "country": "JP",
                "email": "taro@shop.example",
                "phone_number": "81312345678",
                "address1": "1-1-1",
                "city": "Chiyoda-ku",
                "state": "Tokyo",
                "postal_code": "1000001",
            },
            "time_zone": "Asia/Tokyo",
        }
        return changed(document, changes)

    def post(self, path: str, document: object, headers: Mapping[str, str] | None = None) -> Result:
        return self.client.call("POST", f"/{path}", document, headers)

    def pay(self, **changes: object) -> Result:
        return self.post("payment", self.body(**changes))

    def authorize(self, **changes: object) -> Result:
        return self.post("authorization", self.body(**changes))

    def follow(self, path: str, identifier: str, **more: object) -> Result:
        return self.post(path, {"transactionId": identifier, "merchant_id": self.merchant, **more})

    def raw(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> httpx.Response:
        """A request whose headers are all given."""
        return self.service.http.request(method, path, content=body, headers=dict(headers))


def changed(document: Json, changes: Mapping[str, object]) -> Json:
    document = copy.deepcopy(document)
    for name, value in changes.items():
        place = document
        *steps, last = name.split("__")
        for step in steps:
            place = place.setdefault(step, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return document


def paid(result: Result) -> Result:
    assert (result.status, result.success) == (201, True), result.document
    return result


def shop_of(service: Service, merchant: str, personality: str = "sandbox", **settings: str) -> Shop:
    """A shop of its own, with settings that differ."""
    if service.house.accounts.find(merchant) is None:
        add = service.house.accounts.add(merchant, personality, service.house.clock(), legal_name="アイベック株式会社")
        service.run(add)
        if settings:
            service.run(service.house.accounts.set(merchant, settings))
    return Shop(service, merchant)
