"""The outbox: what an operator sees of notifications, and may order about them."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from kessai import ids, story
from kessai.accounts import Account, Refused
from kessai.app import House
from kessai.dialects.cybersource import notifications
from kessai.storage.webhooks import ENDED, HELD, PARKED, WAITING, Delivery, Resend
from kessai.webhooks.registry import PAYMENTOPTIONS

STATES: Final = (WAITING, HELD, *ENDED)
MOST: Final = 1_000
SECRET_DAYS: Final = 3_650


async def deliveries(house: House, merchant: str | None = None, state: str = "", most: int = 50) -> object:
    """Notifications, the latest first: of one merchant or of all, in one state or in any."""
    if state and state not in STATES:
        raise Refused(f"there is no state {state}; there are: {', '.join(STATES)}")
    found = [
        _line(account, delivery)
        for account in _chosen(house, merchant)
        for delivery in await house.registry.rows.page(account.merchant.id, min(max(most, 1), MOST), state=state)
    ]
    return sorted(found, key=lambda line: str(line["id"]), reverse=True)[:most]


async def delivery(house: House, delivery: str) -> object:
    """One notification with its payload: by its id, or by the trace id that the merchant's server got."""
    account, found = await _find(house, delivery)
    endpoint = house.registry.find(account.merchant.id, found.endpoint)
    return _line(account, found) | {
        "trace": notifications.trace_of(found.id),
        "payment": ids.show(found.payment_id),
        "url": found.url or (endpoint.subscription.url if endpoint is not None else ""),
        "happened_at": story.instant(found.happened_at),
        "payload": json.loads(found.body),
    }


async def resend(house: House, delivery: str | None = None, merchant: str | None = None) -> object:
    """Send one notification again, or every parked one; which they were."""
    if delivery is not None:
        account, found = await _find(house, delivery)
        if not await house.database.write(Resend(account.merchant.id, found.id, house.clock())):
            raise Refused(f"the notification {delivery} is on its way already")
        house.notifier.wake(account.merchant.id)
        return [{"merchant": account.merchant.id, "id": ids.show(found.id)}]
    sent: list[dict[str, object]] = []
    for account in _chosen(house, merchant):
        merchant_id = account.merchant.id
        while page := await house.registry.rows.page(merchant_id, MOST, state=PARKED):
            for each in page:
                if await house.database.write(Resend(merchant_id, each.id, house.clock())):
                    sent.append({"merchant": merchant_id, "id": ids.show(each.id)})
            house.notifier.wake(merchant_id)
            if len(page) < MOST:
                break
    return sent


async def subscriptions(house: House, merchant: str | None = None) -> object:
    """Where merchants want to be told, and how that stands."""
    found = []
    for account in _chosen(house, merchant):
        await house.registry.load_of(account.merchant.id)
        found += [
            {
                "merchant": account.merchant.id,
                "id": endpoint.id,
                "kind": endpoint.row.kind,
                "status": endpoint.row.status,
                "url": endpoint.subscription.url,
                "events": sorted(endpoint.events),
            }
            for endpoint in house.registry.endpoints(account.merchant.id)
        ]
    return found


async def secret(house: House, merchant: str) -> object:
    """A new secret for notifications to the URLs that come with payments; the one before it signs for another day."""
    account = house.accounts.get(merchant)
    now = house.clock()
    key_id, text, expires_at = await house.registry.make_key(account.merchant.id, PAYMENTOPTIONS, now, SECRET_DAYS)
    assert expires_at - now > timedelta(days=1)
    return {"merchant": merchant, "key_id": key_id, "secret": text}


def _chosen(house: House, merchant: str | None) -> list[Account]:
    return [house.accounts.get(merchant)] if merchant is not None else list(house.accounts)


async def _find(house: House, text: str) -> tuple[Account, Delivery]:
    identifier = ids.read(text) or notifications.read_trace(text)
    if identifier is None:
        raise Refused(f"{text} is no id of a notification")
    for account in house.accounts:
        found = await house.registry.rows.delivery(account.merchant.id, identifier)
        if found is not None:
            return account, found
    raise Refused(f"there is no notification {text}")


def _line(account: Account, delivery: Delivery) -> dict[str, Any]:
    return {
        "merchant": account.merchant.id,
        "id": ids.show(delivery.id),
        "event": delivery.event,
        "place": delivery.endpoint,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "result": delivery.result,
        "run_at": story.instant(delivery.run_at),
    }


ORDERS: Final[Mapping[str, Any]] = {
    "webhook list": deliveries,
    "webhook show": delivery,
    "webhook resend": resend,
    "webhook subscriptions": subscriptions,
    "webhook secret": secret,
}
