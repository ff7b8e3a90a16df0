"""The keys of merchants, loaded into the vault of this process, and how often they seal.

Seals are counted in blocks that are reserved durably before they are used: a process that dies loses what was left of
its block, never a count. So what is stored is how often a key has sealed at most.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

from kessai.log import log
from kessai.storage.database import Database, DatabaseError, Unavailable
from kessai.storage.keys import GiveBackSeals, ReserveSeals, VaultKeys
from kessai.storage.merchants import Merchants
from kessai.vault import SEALS_PER_KEY, Purpose, Spent, Vault

BLOCK: Final = {Purpose.CARD: 10_000, Purpose.SECRET: 10}
"""How many seals a process reserves at a time."""

T = TypeVar("T")


class Keys:
    """Loads the keys of merchants into the vault of this process and counts what they seal."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._merchants = Merchants(database)
        self._rows = VaultKeys(database)
        self._loaded: dict[str, dict[str, bytes]] = {}
        self._reserving: dict[tuple[str, Purpose], asyncio.Lock] = {}

    async def load(self, merchant_id: str) -> None:
        """The keysets of a merchant as they are stored now. What the vault raises."""
        stored = await self._merchants.keysets(merchant_id)
        if self._vault.knows(merchant_id) and self._loaded.get(merchant_id) == stored:
            return
        keysets = {Purpose(name): sealed for name, sealed in stored.items()}
        uses = {(use.purpose, use.id): use.seals for use in await self._rows.uses(merchant_id)}
        used = {
            purpose: uses.get((purpose, self._vault.read_keyset(merchant_id, purpose, sealed).seals), 0)
            for purpose, sealed in keysets.items()
        }
        self._vault.load(merchant_id, keysets, used)
        self._loaded[merchant_id] = stored

    async def sealed(self, seal: Callable[[], T], now: datetime | None = None) -> T:
        """What a function seals that is called again when seals were reserved for it. DatabaseError: nothing is sealed;
        Unavailable also for a key that has sealed as much as it may."""
        while True:
            try:
                return seal()
            except Spent as spent:
                await self._reserve(spent.merchant_id, spent.purpose, now or datetime.now(UTC))

    async def _reserve(self, merchant_id: str, purpose: Purpose, now: datetime) -> None:
        async with self._reserving.setdefault((merchant_id, purpose), asyncio.Lock()):
            if self._vault.left(merchant_id, purpose):  # somebody else has
                return
            key, count = self._vault.sealing_key(merchant_id, purpose), BLOCK[purpose]
            total = await self._database.write(
                ReserveSeals(
                    merchant_id=merchant_id, purpose=purpose, id=key, count=count, limit=SEALS_PER_KEY, now=now
                )
            )
            if total is None:
                log("key.exhausted", level="error", merchant=merchant_id, purpose=purpose.value, key=key.hex())
                raise Unavailable("a key has sealed as much as it may: kessai vault rotate")
            self._vault.grant(merchant_id, purpose, key, total, count)

    async def give_back(self) -> None:
        """What was reserved here and will not be used. Nothing may be sealed after it."""
        for merchant_id, purpose in self._reserving:
            if not self._vault.knows(merchant_id):
                continue
            key, left = self._vault.take_back(merchant_id, purpose)
            if left:
                with suppress(DatabaseError):
                    await self._database.write(
                        GiveBackSeals(merchant_id=merchant_id, purpose=purpose, id=key, count=left)
                    )
