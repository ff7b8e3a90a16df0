"""Attempts as rows: how often a card, an address, a refund came within a while. Kept for the risk rules alone."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from kessai.storage.database import Database, Run
from kessai.storage.payments import from_ms, to_ms


def key_of(kind: str, what: bytes) -> bytes:
    """What is counted, as a hash: neither a card nor an address can be read off it."""
    return hashlib.blake2b(kind.encode() + b"\n" + what, digest_size=16, person=b"kessai attempt").digest()


class Attempt(Struct, frozen=True):
    at: datetime
    amount: int
    """Minor units."""


class Attempts:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def since(self, merchant_id: str, key: bytes, since: datetime, but: int) -> list[Attempt]:
        """All of a key after an instant but one, the latest ones first; at most ten thousand."""
        values = {"merchant_id": merchant_id, "key": key, "since": to_ms(since), "id": but}
        return [Attempt(from_ms(row[0]), row[1]) for row in await self._read("attempts_since", values)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAttempt:
    merchant_id: str
    key: bytes
    id: int
    at: datetime
    amount: int

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "key": self.key,
            "id": self.id,
            "at": to_ms(self.at),
            "amount": self.amount,
        }

    def apply(self, run: Run) -> None:
        run("add_attempt", self.values())


@dataclass(frozen=True, slots=True)
class PurgeAttempts:
    """Forget what came before an instant."""

    merchant_id: str
    before: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": to_ms(self.before)}

    def apply(self, run: Run) -> None:
        run("purge_attempts", self.values())
