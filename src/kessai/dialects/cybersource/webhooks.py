"""Webhook subscriptions on this wire: routes, requests, documents, retry policies, signature keys. Tables. Pure.

Two versions of the path have one meaning: v2 lists `products`, v1 has `productId` and `eventTypes` at the top.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai.dialects.cybersource.answers import wire_time
from kessai.dialects.cybersource.notifications import PRODUCT_OF, PRODUCTS
from kessai.dialects.document import has_bad_characters, text_of
from kessai.dialects.table import FieldError

Body = dict[str, object]

ROUTES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("POST", "/kms/egress/v2/keys-sym", "webhook_key", "makes the key that signs, in the place of the one before"),
    ("POST", "/kms/egress/v2/keys-asym", "webhook_cipher", "refused: notifications are signed, and not encrypted"),
    ("GET", "/notification-subscriptions/v2/products/{id}", "webhook_products", "lists the events that there are"),
    ("POST", "/notification-subscriptions/v2/webhooks", "webhook_create", "makes a subscription"),
    ("POST", "/notification-subscriptions/v1/webhooks", "webhook_create", "the same, in the older form"),
    ("GET", "/notification-subscriptions/v2/webhooks", "webhook_list", "lists subscriptions"),
    ("GET", "/notification-subscriptions/v1/webhooks", "webhook_list", "the same"),
    ("GET", "/notification-subscriptions/v2/webhooks/{id}", "webhook_read", "reads a subscription"),
    ("PATCH", "/notification-subscriptions/v2/webhooks/{id}", "webhook_update", "changes a subscription"),
    ("DELETE", "/notification-subscriptions/v2/webhooks/{id}", "webhook_delete", "ends a subscription"),
    ("PUT", "/notification-subscriptions/v2/webhooks/{id}/status", "webhook_status", "turns a subscription on or off"),
    ("POST", "/notification-subscriptions/v1/webhooks/{id}", "webhook_test", "sends a test event"),
    ("POST", "/nrtf/v1/webhooks/{id}/replays", "webhook_replay", "sends events again"),
    ("POST", "/kessai/v1/listeners", "listener_create", "begins to listen; test merchants only"),
    ("POST", "/kessai/v1/listeners/{id}", "listener_poll", "takes what has happened since"),
    ("DELETE", "/kessai/v1/listeners/{id}", "listener_end", "listens no more"),
)
"""Method, path, name in the metrics, and what it does."""
CREATES: Final = frozenset({"webhook_key", "webhook_create", "webhook_test", "webhook_replay", "listener_create"})
"""What is answered with 201."""

MOST_MINUTES: Final = 10_080
MOST_RETRIES: Final = 100
MOST_SUBSCRIPTIONS: Final = 50
"""Of one merchant: each is a delivery for every event."""
SECURITY: Final = "securityPolicy.securityType"
WHY_NOT: Final = "notifications are signed with a shared key (KEY): no OAuth token is fetched, and no payload encrypted"
"""What a test merchant is told that asks for another security."""
_MINUTE: Final = timedelta(minutes=1)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a delivery that failed is tried again. Waits are minutes."""

    algorithm: str = "ARITHMETIC"
    first: int = 1
    interval: int = 1
    retries: int = 3
    deactivates: bool = False
    """Whether the subscription is turned off when the last try has failed."""
    repeats: int = 0
    repeat_wait: int = 0

    def wait(self, tries: int) -> timedelta | None:
        """How long to wait after so many failed tries, the first delivery included; None: that was the last."""
        if not self.retries:
            return None
        sequence, place = divmod(tries - 1, self.retries)
        if sequence > self.repeats:
            return None
        if self.algorithm == "ARITHMETIC":
            minutes = self.first + self.interval * place
        else:
            minutes = self.first * self.interval**place
        if sequence and not place:
            minutes += self.repeat_wait
        return min(minutes, MOST_MINUTES) * _MINUTE


class Product(Struct, frozen=True):
    id: str
    events: tuple[str, ...]


class Subscription(Struct, frozen=True, kw_only=True):
    """What a merchant asked for; kept as one document."""

    name: str = ""
    description: str = ""
    products: tuple[Product, ...] = ()
    url: str = ""
    health_url: str = ""
    scope: str = "SELF"
    policy: RetryPolicy | None = None

    @property
    def events(self) -> frozenset[str]:
        return frozenset(event for product in self.products for event in product.events)


def match(method: str, path: str) -> tuple[str, str] | frozenset[str]:
    """Name and id of a route; otherwise the methods that its path knows: none for a path that is unknown."""
    for shape, names in _SHAPES.items():
        found = shape.fullmatch(path.rstrip("/"))
        if found is not None:
            name = names.get(method)
            return (name, found.groupdict().get("id") or "") if name is not None else frozenset(names)
    return frozenset()


def _compiled() -> dict["re.Pattern[str]", dict[str, str]]:
    by_path: dict[str, dict[str, str]] = {}
    for method, path, name, _ in ROUTES:
        by_path.setdefault(path, {})[method] = name
    return {re.compile(path.replace("{id}", "(?P<id>[^/]+)"), re.ASCII): names for path, names in by_path.items()}


_SHAPES: Final = _compiled()


# ---- requests


def read(
    document: Mapping[str, object], organization_id: str, before: Subscription | None
) -> Subscription | Sequence[FieldError]:
    """A subscription as a request wants it; `before`: the one that it changes. URLs are checked by the caller."""
    errors: list[FieldError] = []
    made = before or Subscription()
    said = text_of(document.get("organizationId"))
    if said not in (None, organization_id):
        errors.append(FieldError("organizationId"))
    for name, member, most in _TEXTS:
        if member in document:
            text = text_of(document[member])
            if text is None or len(text) > most or has_bad_characters(text):
                errors.append(FieldError(member))
            else:
                made = replace(made, **{name: text})
    products = _products(document, errors)
    if products is not None:
        made = replace(made, products=products)
    if made.scope not in ("SELF", "DESCENDANTS", "CUSTOM"):
        errors.append(FieldError("notificationScope"))
    security = document.get("securityPolicy")
    if security is not None and (
        not isinstance(security, dict) or str(security.get("securityType", "KEY")).upper() != "KEY"
    ):
        errors.append(FieldError(SECURITY))
    if document.get("retryPolicy") is not None:
        policy = _policy(document["retryPolicy"], errors)
        made = replace(made, policy=policy)
    for member, missing in (("webhookUrl", not made.url), ("products", not made.products)):
        if missing and not any(error.path.startswith(member) for error in errors):
            errors.append(FieldError(member, is_missing=True))
    return errors or made


_TEXTS: Final = (
    ("name", "name", 255),
    ("description", "description", 1_000),
    ("url", "webhookUrl", 2_048),
    ("health_url", "healthCheckUrl", 2_048),
    ("scope", "notificationScope", 20),
)


def _products(document: Mapping[str, object], errors: list[FieldError]) -> tuple[Product, ...] | None:
    if "products" in document:
        listed = document["products"]
    elif "productId" in document or "eventTypes" in document:
        listed = [document]
    else:
        return None
    found: list[Product] = []
    if not isinstance(listed, list) or not 0 < len(listed) <= 20:
        errors.append(FieldError("products"))
        return None
    for index, each in enumerate(listed):
        product = text_of(each.get("productId")) if isinstance(each, dict) else None
        events = each.get("eventTypes") if isinstance(each, dict) else None
        if product is None or product not in PRODUCTS:
            errors.append(FieldError(f"products[{index}].productId", is_missing=product is None))
        elif (
            not isinstance(events, list) or not events or any(PRODUCT_OF.get(str(event)) != product for event in events)
        ):
            errors.append(FieldError(f"products[{index}].eventTypes", is_missing=events is None))
        else:
            found.append(Product(product, tuple(dict.fromkeys(map(str, events)))))
    return tuple(found)


def _policy(sent: object, errors: list[FieldError]) -> RetryPolicy | None:
    if not isinstance(sent, dict):
        errors.append(FieldError("retryPolicy"))
        return None
    values: dict[str, object] = {}
    for name, member, least, most in _POLICY:
        if sent.get(member) is None:
            continue
        text = text_of(sent[member]) or ""
        if not text.isascii() or not text.isdigit() or len(text) > 6 or not least <= int(text) <= most:
            errors.append(FieldError(f"retryPolicy.{member}"))
        else:
            values[name] = int(text)
    algorithm = text_of(sent.get("algorithm", "ARITHMETIC"))
    deactivates = (text_of(sent.get("deactivateFlag", False)) or "").lower()
    if algorithm not in ("ARITHMETIC", "GEOMETRIC"):
        errors.append(FieldError("retryPolicy.algorithm"))
    if deactivates not in ("true", "false"):
        errors.append(FieldError("retryPolicy.deactivateFlag"))
    return RetryPolicy(algorithm=algorithm or "", deactivates=deactivates == "true", **values)  # type: ignore[arg-type]


_POLICY: Final = (
    ("first", "firstRetry", 0, MOST_MINUTES),
    ("interval", "interval", 0, MOST_MINUTES),
    ("retries", "numberOfRetries", 0, MOST_RETRIES),
    ("repeats", "repeatSequenceCount", 0, MOST_RETRIES),
    ("repeat_wait", "repeatSequenceWaitTime", 0, MOST_MINUTES),
)
"""Name, member, least and most."""


# ---- documents


def shown(
    identifier: str,
    organization_id: str,
    subscription: Subscription,
    status: str,
    created_at: datetime,
    updated_at: datetime | None = None,
) -> Body:
    body: Body = {
        "webhookId": identifier,
        "organizationId": organization_id,
        "products": [{"productId": each.id, "eventTypes": list(each.events)} for each in subscription.products],
        "webhookUrl": subscription.url,
    }
    if subscription.health_url:
        body["healthCheckUrl"] = subscription.health_url
    body |= {"notificationScope": subscription.scope, "status": status}
    if subscription.name:
        body["name"] = subscription.name
    if subscription.description:
        body["description"] = subscription.description
    if subscription.policy is not None:
        policy = subscription.policy
        body["retryPolicy"] = {
            "algorithm": policy.algorithm,
            "firstRetry": policy.first,
            "interval": policy.interval,
            "numberOfRetries": policy.retries,
            "deactivateFlag": "true" if policy.deactivates else "false",
            "repeatSequenceCount": policy.repeats,
            "repeatSequenceWaitTime": policy.repeat_wait,
        }
    body |= {"securityPolicy": {"securityType": "KEY", "proxyType": "external"}}
    body |= {"createdOn": wire_time(created_at), "version": "3", "deliveryType": "nrtdCentralized"}
    return body if updated_at is None else body | {"updatedOn": wire_time(updated_at)}


def products_shown() -> list[Body]:
    return [
        {
            "productId": product,
            "productName": name,
            "eventTypes": [
                {
                    "eventName": event,
                    "displayName": title,
                    "frequency": 0,
                    "timeSensitivity": False,
                    "payloadEncryption": False,
                }
                for event, title in events
            ],
        }
        for product, (name, events) in PRODUCTS.items()
    ]


def key_shown(
    key_id: str, secret: str, organization_id: str, sent: Mapping[str, object], now: datetime, expires_at: datetime
) -> Body:
    """The answer that has the secret, once."""
    body: Body = {"submitTimeUtc": wire_time(now), "status": "SUCCESS"}
    reference = sent.get("clientReferenceInformation")
    if isinstance(reference, dict):
        code = text_of(reference.get("code"))
        body["clientReferenceInformation"] = {"code": code} if code is not None else {}
    body["keyInformation"] = {
        "provider": "nrtd",
        "tenant": organization_id,
        "organizationId": organization_id,
        "keyId": key_id,
        "key": secret,
        "keyType": "sharedSecret",
        "status": "active",
        "expirationDate": wire_time(expires_at),
    }
    return body


def read_key(document: Mapping[str, object], organization_id: str) -> int | Sequence[FieldError]:
    """How many days a new key lives."""
    errors: list[FieldError] = []
    information = document.get("keyInformation")
    wanted: Mapping[str, object] = information if isinstance(information, dict) else {}
    if text_of(document.get("clientRequestAction")) != "CREATE":
        errors.append(FieldError("clientRequestAction", is_missing="clientRequestAction" not in document))
    if not wanted:
        errors.append(FieldError("keyInformation", is_missing=True))
    for member, allowed in (
        ("provider", ("nrtd",)),
        ("keyType", ("sharedSecret",)),
        ("organizationId", (organization_id,)),
        ("tenant", (organization_id,)),
    ):
        said = text_of(wanted.get(member))
        if wanted and said is not None and said not in allowed:
            errors.append(FieldError(f"keyInformation.{member}"))
    days = text_of(wanted.get("expiryDuration", "365")) or ""
    if not (days.isascii() and days.isdigit() and len(days) < 5 and 0 < int(days) <= 3_650):
        errors.append(FieldError("keyInformation.expiryDuration"))
    return errors or int(days)


def test_shown(event: str, webhook_id: str, organization_id: str, product: str, trace: str, at: datetime) -> Body:
    """What asking for a test event is answered."""
    return {
        "eventDate": f"{at:%Y-%m-%dT%H:%M:%S}",
        "eventType": event,
        "organizationId": organization_id,
        "payloads": {"testPayload": {"message": "This is a test of your webhook."}},
        "productId": product,
        "requestType": "NEW",
        "retryNumber": 0,
        "transactionTraceId": trace,
        "webhookId": webhook_id,
    }


test_shown.__test__ = False  # type: ignore[attr-defined]  # pytest takes its name for a test's


def trouble(errors: Sequence[FieldError], now: datetime) -> Body:
    """The body of a 400."""
    is_missing = any(error.is_missing for error in errors)
    return {
        "submitTimeUtc": wire_time(now),
        "status": "INVALID_REQUEST",
        "reason": "MISSING_FIELD" if is_missing else "INVALID_DATA",
        "message": (
            "Declined - The request is missing one or more fields"
            if is_missing
            else "Declined - One or more fields in the request contains invalid data"
        ),
        "details": [
            {"field": error.path, "reason": "MISSING_FIELD" if error.is_missing else "INVALID_DATA"} for error in errors
        ],
    }
