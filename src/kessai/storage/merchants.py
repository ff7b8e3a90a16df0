"""Merchants, their keys and keysets. Rows only: what is sealed stays sealed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantRow:
    """`terms` is a JSON object of the settings that differ from the personality's."""

    id: str
    personality: str
    mode: str
    terms: str
    settled_until: datetime
    ahead_ms: int = 0
    """How far a sandbox has moved its business clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A shared secret (`sealed`) or a certificate (DER)."""

    id: str
    kind: str
    sealed: bytes | None
    certificate: bytes | None
    created_at: datetime
    revoked_at: datetime | None


class Merchants:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def all(self) -> list[MerchantRow]:
        return list(map(_merchant, await self._read("all_merchants", {})))

    async def find(self, merchant_id: str) -> MerchantRow | None:
        rows = await self._read("merchant_row", {"id": merchant_id})
        return _merchant(rows[0]) if rows else None

    async def keys(self, merchant_id: str) -> list[KeyRow]:
        return [
            KeyRow(
                id=row[0],
                kind=row[1],
                sealed=bytes(row[2]) if row[2] is not None else None,
                certificate=bytes(row[3]) if row[3] is not None else None,
                created_at=from_ms(row[4]),
                revoked_at=from_ms(row[5]) if row[5] is not None else None,
            )
            for row in await self._read("merchant_keys", {"merchant_id": merchant_id})
        ]

    async def version(self) -> int:
        """How often merchants, keys or terms were changed by anybody; whoever keeps them in memory compares it."""
        rows = await self._read("changes_version", {})
        return int(rows[0][0]) if rows else 0

    async def keysets(self, merchant_id: str) -> dict[str, bytes]:
        return {row[0]: bytes(row[1]) for row in await self._read("keysets", {"merchant_id": merchant_id})}


def _merchant(row: Row) -> MerchantRow:
    return MerchantRow(
        id=row[0], personality=row[1], mode=row[2], terms=row[3], settled_until=from_ms(row[4]), ahead_ms=row[5]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMerchant:
    """A merchant with its keysets and first keys, in one commit. False: the id is taken."""

    row: MerchantRow
    keysets: Mapping[str, bytes]
    keys: tuple[KeyRow, ...]
    now: datetime

    def values(self) -> dict[str, object]:
        return {
            "id": self.row.id,
            "personality": self.row.personality,
            "mode": self.row.mode,
            "terms": self.row.terms,
            "settled_until": to_ms(self.row.settled_until),
            "created_at": to_ms(self.now),
        }

    def apply(self, run: Run) -> bool:
        if not run("add_merchant", self.values()):
            return False
        for purpose, sealed in self.keysets.items():
            keyset = {"merchant_id": self.row.id, "purpose": purpose, "sealed": sealed, "created_at": to_ms(self.now)}
            run("add_keyset", keyset)
        for key in self.keys:
            run("add_key", AddKey(self.row.id, key).values())
        run("bump_changes", {})
        return True


@dataclass(frozen=True, slots=True)
class AddKey:
    """False: the merchant has a key of this id."""

    merchant_id: str
    key: KeyRow

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.key.id,
            "kind": self.key.kind,
            "sealed": self.key.sealed,
            "certificate": self.key.certificate,
            "created_at": to_ms(self.key.created_at),
        }

    def apply(self, run: Run) -> bool:
        return _counted(run, run("add_key", self.values()))


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """False: there is no such live key."""

    merchant_id: str
    key_id: str
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.key_id, "revoked_at": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        return _counted(run, run("revoke_key", self.values()))


@dataclass(frozen=True, slots=True)
class SetMerchant:
    """Mode and terms of a merchant that is as it was read. False: somebody else has changed it since."""

    seen: MerchantRow
    mode: str
    terms: str

    def values(self) -> dict[str, object]:
        seen: dict[str, object] = {"id": self.seen.id, "seen_mode": self.seen.mode, "seen_terms": self.seen.terms}
        return seen | {"mode": self.mode, "terms": self.terms}

    def apply(self, run: Run) -> bool:
        return _counted(run, run("set_merchant", self.values()))


@dataclass(frozen=True, slots=True)
class SettledUntil:
    """Everything before this instant is in a settlement."""

    merchant_id: str
    instant: datetime

    def values(self) -> dict[str, object]:
        return {"id": self.merchant_id, "settled_until": to_ms(self.instant)}

    def apply(self, run: Run) -> None:
        run("settled_until", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveClock:
    """Move a test merchant's business clock on. The milliseconds that it is ahead now; None: there is no such test
    merchant, or it would be further ahead than `most_ms`."""

    merchant_id: str
    by_ms: int
    most_ms: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "by_ms": self.by_ms, "most_ms": self.most_ms}

    def apply(self, run: Run) -> int | None:
        rows = run("move_clock", self.values())
        return int(rows[0][0]) if _counted(run, rows) else None


def _counted(run: Run, rows: Sequence[Row]) -> bool:
    """Whether something changed; then whoever keeps merchants in memory will see that it did."""
    if rows:
        run("bump_changes", {})
    return bool(rows)
