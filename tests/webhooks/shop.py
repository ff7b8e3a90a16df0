"""A merchant that wants to be told: its key, its subscriptions, and its till."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kessai import outbox
from kessai.dialects.cybersource.notifications import PRODUCTS
from tests.acceptance.client import Client, Json, Service, payment
from tests.webhooks.receiver import Receiver

WEBHOOKS: Final = "/notification-subscriptions/v2/webhooks"
KEYS: Final = "/kms/egress/v2/keys-sym"
REPLAYS: Final = "/nrtf/v1/webhooks/{}/replays"
ACCEPTED: Final = "payments.authorization.status.accepted"
CAPTURED: Final = "payments.capture.status.accepted"
QUICK: Final[Json] = {"algorithm": "ARITHMETIC", "firstRetry": 0, "interval": 0, "numberOfRetries": 100}
"""Waits are minutes: nobody else tries again at once."""
_numbers = itertools.count(1)


@dataclass
class Shop:
    till: Client
    key_id: str = ""
    secret: str = ""

    @property
    def id(self) -> str:
        return self.till.merchant

    def make_key(self) -> None:
        made = self.till.post(KEYS, key_request(self.id))
        assert made.status == 201, made.body
        self.key_id, self.secret = made.json["keyInformation"]["keyId"], made.json["keyInformation"]["key"]

    def wish(self, receiver: Receiver, events: Iterable[str] | None = None, **more: object) -> Json:
        """A request for a subscription, to everything where nothing is said."""
        wanted = set(events) if events is not None else None
        products = [
            {"productId": product, "eventTypes": chosen}
            for product, (_, known) in PRODUCTS.items()
            if (chosen := [event for event, _ in known if wanted is None or event in wanted])
        ]
        return {
            "name": "Orders",
            "organizationId": self.id,
            "products": products,
            "webhookUrl": receiver.url,
            "notificationScope": "SELF",
            "retryPolicy": QUICK,
            "securityPolicy": {"securityType": "KEY", "proxyType": "external"},
        } | more

    def subscribe(self, receiver: Receiver, events: Iterable[str] | None = None, **more: object) -> str:
        """The id of an active subscription."""
        if not self.key_id:
            self.make_key()
        made = self.till.post(WEBHOOKS, self.wish(receiver, events, **more))
        assert made.status == 201, made.body
        identifier = str(made.json["webhookId"])
        turned = self.till.call("PUT", f"{WEBHOOKS}/{identifier}/status", {"status": "ACTIVE"})
        assert turned.status == 200, (turned.body, turned.explanation)
        return identifier

    def pay(self, amount: str = "10.00", scenario: str | None = None) -> str:
        headers = {"kessai-scenario": scenario} if scenario else None
        reply = self.till.call("POST", "/pts/v2/payments", payment(amount), headers)
        assert reply.status == 201, reply.body
        return reply.id


def key_request(merchant: str) -> Json:
    return {
        "clientRequestAction": "CREATE",
        "keyInformation": {
            "provider": "nrtd",
            "tenant": merchant,
            "keyType": "sharedSecret",
            "organizationId": merchant,
            "expiryDuration": "365",
        },
    }


def open_shop(service: Service, personality: str = "sandbox") -> Shop:
    return Shop(service.merchant(f"hooks_{service.port}_{next(_numbers)}", personality))


def given_up(service: Service, shop: Shop) -> Json:
    """The one notification of a merchant that was parked, as the operator sees it; waits for it."""
    (found,) = until_listed(service, shop, "parked", 1)
    return found


def until_listed(service: Service, shop: Shop, state: str, count: int) -> list[Json]:
    """Wait until so many notifications of a merchant are in a state, as the operator sees them.

    That one has arrived is known here a moment after the merchant's server answered.
    """

    async def listed() -> list[Json]:
        found = await outbox.deliveries(service.house, shop.id, state)
        assert isinstance(found, list)
        return found

    return service.until(listed, lambda found: len(found) >= count, 30)
