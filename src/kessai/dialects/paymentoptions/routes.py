"""Routes: which path and method asks for what. Pure.

Every route is there under two prefixes: the documents' samples double `/api/v1`, and clients copied them. The hosted
page's link has an older path beside the service's.
"""

from enum import Enum
from typing import Final

from msgspec import Struct


class Kind(Enum):
    PAYMENT = "pay: authorize and capture at once"
    PAYMENT_V2 = "pay, with 3-D Secure"
    AUTHORIZATION = "authorize"
    AUTHORIZATION_V2 = "authorize, with 3-D Secure"
    CAPTURE = "capture an authorization, all of it or a part, once"
    VOID = "release an authorization"
    REFUND = "return money of a payment or a capture"
    STATUS = "read one transaction"
    SUBSCRIBE = "begin a subscription with its first payment"
    SUBSCRIPTIONS = "list the subscriptions"
    SUBSCRIPTION = "read one subscription with its payments"
    PAUSE = "pause a subscription"
    RESUME = "go on with a subscription"
    CANCEL = "end a subscription for good"
    LINK = "make a link to the hosted payment page"


class Row(Struct, frozen=True):
    """One route. `{}` in its steps stands for an id."""

    number: int
    """As the documents count them."""
    method: str
    steps: tuple[str, ...]
    kind: Kind

    @property
    def path(self) -> str:
        return "/".join(("", *ROOT, *self.steps))


ROOT: Final = ("api", "v1")
SERVICE: Final = ("server-to-server-interface",)
_OLDER: Final = 16
"""The path of the hosted page before it belonged to the service."""
ROUTES: Final = tuple(
    Row(number, method, (*(SERVICE if number != _OLDER else ()), *path.split("/")), kind)
    for number, method, path, kind in (
        (1, "POST", "payment", Kind.PAYMENT),
        (2, "POST", "paymentv2", Kind.PAYMENT_V2),
        (3, "POST", "authorization", Kind.AUTHORIZATION),
        (4, "POST", "authorizationv2", Kind.AUTHORIZATION_V2),
        (5, "POST", "capture", Kind.CAPTURE),
        (6, "POST", "void", Kind.VOID),
        (7, "POST", "refund", Kind.REFUND),
        (8, "GET", "transaction/status/{}", Kind.STATUS),
        (9, "POST", "subscription/payment", Kind.SUBSCRIBE),
        (10, "GET", "subscription/list", Kind.SUBSCRIPTIONS),
        (11, "GET", "subscription/{}", Kind.SUBSCRIPTION),
        (12, "POST", "subscription/{}/pause", Kind.PAUSE),
        (13, "POST", "subscription/{}/resume", Kind.RESUME),
        (14, "POST", "subscription/{}/cancel", Kind.CANCEL),
        (15, "POST", "hpp/generate/link", Kind.LINK),
        (_OLDER, "POST", "hpp/generate/link", Kind.LINK),
    )
)
"""In order of precedence: `subscription/list` is not the subscription `list`."""


class Match(Struct, frozen=True):
    kind: Kind
    identifier: str = ""
    """As it stands in the path."""


def match(method: str, path: str) -> Match | None:
    """What a request asks for; None for what is no route. A slash at the end is no other path."""
    nothing, *rest = path.removesuffix("/").split("/")
    steps = tuple(rest) if not nothing else ()
    if steps[: len(ROOT)] == ROOT and steps[len(ROOT) : 2 * len(ROOT)] == ROOT:
        steps = steps[len(ROOT) :]
    if steps[: len(ROOT)] != ROOT:
        return None
    steps = steps[len(ROOT) :]
    for row in ROUTES:
        if row.method == method and len(row.steps) == len(steps):
            pairs = list(zip(row.steps, steps, strict=True))
            if all(wanted in ("{}", step) for wanted, step in pairs):
                return Match(row.kind, next((step for wanted, step in pairs if wanted == "{}"), ""))
    return None
