"""The pulse of merchants' servers: a health check is a GET and a POST that are both answered 200.

Felt before a subscription is turned on, and every minute after that. Three that fail in a row suspend it: events are
kept for it meanwhile, and are delivered when the server is well again.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from kessai.log import log
from kessai.payment.merchant import Merchant
from kessai.webhooks.addresses import NotAllowed
from kessai.webhooks.courier import Errand
from kessai.webhooks.registry import ACTIVE, INACTIVE, SUSPENDED, Endpoint, Registry
from kessai.webhooks.sender import Sender

EVERY_S: Final = 60.0
SOON_S: Final = 5.0
"""How often one is felt that is not well, or not turned on yet."""
FAILURES: Final = 3


class Pulse:
    def __init__(self, registry: Registry, sender: Sender, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._sender = sender
        self._clock = clock
        self._next_s: dict[tuple[str, str], float] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def feel(self, merchant: Merchant) -> None:
        """Feel the pulse of a merchant's servers where it is time to."""
        now_s = asyncio.get_running_loop().time()
        for endpoint in self._registry.endpoints(merchant.id):
            key = (merchant.id, endpoint.id)
            is_felt = endpoint.row.status != INACTIVE or endpoint.kept.is_new
            if not endpoint.subscription.health_url or not is_felt or now_s < self._next_s.get(key, 0.0):
                continue
            self._next_s[key] = now_s + (EVERY_S if endpoint.row.status == ACTIVE else SOON_S)
            task = asyncio.create_task(self._feel(merchant, endpoint))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _feel(self, merchant: Merchant, endpoint: Endpoint) -> None:
        try:
            why = await check(self._registry, self._sender, merchant, endpoint)
            await self._found(merchant, endpoint, why)
        except Exception as error:  # the database may be gone for a while
            log("webhook.fault", level="error", merchant=merchant.id, error=type(error).__name__)

    async def _found(self, merchant: Merchant, endpoint: Endpoint, why: str | None) -> None:
        key = (merchant.id, endpoint.id)
        self._failures[key] = self._failures.get(key, 0) + 1 if why is not None else 0
        status = endpoint.row.status
        becomes = None
        if why is None and status != ACTIVE and self._registry.key(merchant.id) is not None:
            becomes = ACTIVE
        elif status == ACTIVE and self._failures[key] >= FAILURES:
            becomes = SUSPENDED
        if status == ACTIVE and why is not None:
            self._next_s[key] = asyncio.get_running_loop().time() + SOON_S
        if becomes is not None and await self._registry.change(merchant.id, endpoint, self._clock(), status=becomes):
            log("webhook.status", merchant=merchant.id, webhook=endpoint.id, state=becomes, reason=why)


async def check(registry: Registry, sender: Sender, merchant: Merchant, endpoint: Endpoint) -> str | None:
    """Why a server is not well; None where it is, or where nobody said how to find out."""
    url = endpoint.subscription.health_url
    if not url:
        return None
    try:
        target = registry.target(merchant, url)
    except NotAllowed as error:
        return str(error)
    declared = target.origin.partition("//")[2] if target.is_declared else ""
    for method in ("GET", "POST"):
        headers = {"content-type": "application/json"} if method == "POST" else {}
        report = await sender.ask(Errand(0, method, url, headers, "" if method == "GET" else "{}", declared))
        if report.status != 200:
            return f"{method}: {report.status or report.error}"
    return None
