"""One try of a delivery: what is sent, and how long to wait after it failed."""

from datetime import datetime, timedelta
from typing import Final

from kessai.dialects.cybersource import notifications as cybersource
from kessai.storage.webhooks import Delivery
from kessai.webhooks.addresses import NotAllowed
from kessai.webhooks.registry import Registry

TRIED_FOR: Final = timedelta(days=3)
FIRST_WAIT_S: Final = 5
LONGEST_WAIT_S: Final = 21_600
JITTER: Final = 0.2
"""Waits are up to this share longer or shorter, so that what failed together is not tried together."""


def signed(
    merchant_id: str,
    webhook_id: str,
    registry: Registry,
    delivery: Delivery,
    now: datetime,
    spoiled: bytes | None = None,
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a try, in the CyberSource form. NotAllowed where there is no key to sign with."""
    key = registry.key(merchant_id)
    if key is None:
        raise NotAllowed("there is no key to sign with")
    return cybersource.notification(
        event=delivery.event,
        webhook_id=webhook_id,
        organization_id=merchant_id,
        at=delivery.happened_at,
        trace=cybersource.trace_of(delivery.id),
        retry=delivery.attempts,
        payload=delivery.body,
        key_id=key.id,
        secret=spoiled or key.secret,
        sent_ms=int(now.timestamp() * 1000),
    )


def backed_off(tries: int, age: timedelta, chance: float) -> timedelta | None:
    """The wait after so many failed tries, twice as long each time; `chance` (0 to 1) spreads it. None: it is over."""
    if age >= TRIED_FOR:
        return None
    seconds = min(FIRST_WAIT_S * 2 ** min(tries - 1, 20), LONGEST_WAIT_S)
    return timedelta(seconds=seconds * (1 - JITTER + 2 * JITTER * chance))
