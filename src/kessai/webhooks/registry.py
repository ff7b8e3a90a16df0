"""Webhooks in memory: where each merchant wants to be told of things, and the keys that sign it.

Read again with the merchants and their keys, whenever any process has changed one. `notified` are the merchants whose
outcomes all leave a notice; of any other merchant, those of payments that came with a URL of their own.
"""

import base64
import secrets
import uuid
from collections.abc import Callable, Iterable, Set
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.dialects.cybersource.webhooks import Subscription
from kessai.keys import Keys
from kessai.payment.merchant import Merchant
from kessai.storage.database import Database
from kessai.storage.webhooks import AddWebhookKey, ChangeWebhook, Webhook, Webhooks
from kessai.vault import Vault
from kessai.webhooks.addresses import NotAllowed, Target, read

CYBERSOURCE: Final = "cybersource"
PAYMENTOPTIONS: Final = "paymentoptions"
SUBSCRIPTION: Final = "subscription"
LISTENER: Final = "listener"
ACTIVE, INACTIVE, SUSPENDED = "ACTIVE", "INACTIVE", "SUSPENDED"
TOLD: Final = frozenset({ACTIVE, SUSPENDED})
"""Statuses in which events are kept for a webhook; delivered they are in the first one only."""
BOTH_COUNT: Final = timedelta(hours=24)
"""How long the secret that was replaced signs beside the new one, where a wire has room for two."""
PLACE: Final = "webhook_key"


class Kept(Struct, frozen=True, kw_only=True):
    """What the row of a webhook holds as its document."""

    subscription: Subscription
    is_new: bool = False
    """Whether it was never turned on or off: then it turns itself on when its server is well."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A webhook, read."""

    row: Webhook
    kept: Kept
    events: frozenset[str]

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def subscription(self) -> Subscription:
        return self.kept.subscription

    @property
    def is_listener(self) -> bool:
        return self.row.kind == LISTENER

    def wants(self, event: str) -> bool:
        return self.row.status in TOLD and (self.is_listener or event in self.events)


class Key(Struct, frozen=True):
    """A secret that signs. It has no `repr` that shows it."""

    id: str
    secret: bytes
    replaced_at: datetime | None
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Key({self.id})"


class Registry:
    """The webhooks of every merchant of this installation."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        keys: Keys,
        merchants: Callable[[], Iterable[Merchant]],
        *,
        declared: Set[str] = frozenset(),
        own: Set[str] = frozenset(),
    ) -> None:
        """`declared`: hosts for tests, which test merchants may name; `own`: names of this gateway."""
        self.rows = Webhooks(database)
        self._database = database
        self._vault = vault
        self._seals = keys
        self._merchants = merchants
        self._declared = frozenset(declared)
        self._own = frozenset(own)
        self._endpoints: dict[str, dict[str, Endpoint]] = {}
        self._keys: dict[str, dict[str, list[Key]]] = {}
        self.notified: set[str] = set()

    async def load(self) -> None:
        for merchant in self._merchants():
            await self.load_of(merchant.id)

    async def load_of(self, merchant_id: str) -> None:
        endpoints = {row.id: endpoint_of(row) for row in await self.rows.webhooks(merchant_id)}
        keys: dict[str, list[Key]] = {}
        for row in reversed(await self.rows.keys(merchant_id)):
            secret = self._vault.open_secret(merchant_id, row.id, PLACE, row.sealed)
            keys.setdefault(row.wire, []).append(Key(row.id, secret, row.replaced_at, row.expires_at))
        self._endpoints[merchant_id], self._keys[merchant_id] = endpoints, keys
        is_told = any(each.row.status in TOLD for each in endpoints.values())
        (self.notified.add if is_told else self.notified.discard)(merchant_id)

    def endpoints(self, merchant_id: str) -> Iterable[Endpoint]:
        return tuple(self._endpoints.get(merchant_id, {}).values())

    def find(self, merchant_id: str, identifier: str) -> Endpoint | None:
        return self._endpoints.get(merchant_id, {}).get(identifier)

    def target(self, merchant: Merchant, url: str) -> Target:
        """A URL that a merchant names. NotAllowed."""
        return read(url, declared=self._declared if merchant.is_test else frozenset(), own=self._own)

    def may_name(self, merchant: Merchant, url: str) -> bool:
        """Whether a merchant may be told of things at a URL."""
        try:
            self.target(merchant, url)
        except NotAllowed:
            return False
        return True

    # ---- keys

    def key(self, merchant_id: str) -> Key | None:
        """The key that signs notifications of the CyberSource wire."""
        found = self._keys.get(merchant_id, {}).get(CYBERSOURCE)
        return found[0] if found else None

    def secrets(self, merchant_id: str, now: datetime) -> list[bytes]:
        """The secrets that sign notifications of the other wire: the one that counts first, then one just replaced."""
        found = self._keys.get(merchant_id, {}).get(PAYMENTOPTIONS, [])
        return [key.secret for key in found[:2] if key.replaced_at is None or now - key.replaced_at < BOTH_COUNT]

    async def make_key(self, merchant_id: str, wire: str, now: datetime, days: int) -> tuple[str, str, datetime]:
        """A new key in the place of the one before: its id, its secret in base64, when it expires."""
        key_id, secret = str(uuid.uuid4()), secrets.token_bytes(32)
        expires_at = now + timedelta(days=days)
        sealed = await self._seals.sealed(partial(self._vault.seal_secret, merchant_id, key_id, PLACE, secret), now)
        await self._database.write(
            AddWebhookKey(merchant_id=merchant_id, id=key_id, wire=wire, sealed=sealed, now=now, expires_at=expires_at)
        )
        await self.load_of(merchant_id)
        return key_id, base64.b64encode(secret).decode(), expires_at

    # ---- changes

    async def change(
        self,
        merchant_id: str,
        endpoint: Endpoint,
        now: datetime,
        *,
        status: str | None = None,
        kept: Kept | None = None,
    ) -> bool:
        """Write a webhook that is as it was read. False: it is not, any more."""
        write = ChangeWebhook(
            merchant_id=merchant_id,
            id=endpoint.id,
            version=endpoint.row.version,
            status=status or endpoint.row.status,
            document=document_of(kept or replace(endpoint.kept, is_new=False)),
            now=now,
        )
        is_done = await self._database.write(write)
        await self.load_of(merchant_id)
        return is_done


def endpoint_of(row: Webhook) -> Endpoint:
    kept = msgspec.json.decode(row.document, type=Kept)
    return Endpoint(row=row, kept=kept, events=kept.subscription.events)


def document_of(kept: Kept) -> bytes:
    return msgspec.json.encode(kept)
