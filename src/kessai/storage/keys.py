"""The vault's keys as rows: how often each has sealed, and the values that it sealed. What is sealed stays sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Run
from kessai.storage.payments import from_ms, to_ms
from kessai.storage.sealed import Sealed

Key = tuple[object, ...]
"""What follows the merchant in a row's primary key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """A key of the vault. `seals`: how many were reserved, so at most so many were made."""

    purpose: str
    id: bytes
    seals: int
    created_at: datetime
    promoted_at: datetime | None
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Behind:
    """A process that has not loaded the newest change yet, or that is not known to be gone."""

    node: int
    host: str


class VaultKeys:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def uses(self, merchant_id: str) -> list[KeyUse]:
        """The keys that have sealed or were added, oldest first; also those that were destroyed."""
        return [
            KeyUse(
                purpose=row[0],
                id=bytes(row[1]),
                seals=row[2],
                created_at=from_ms(row[3]),
                promoted_at=from_ms(row[4]) if row[4] is not None else None,
                destroyed_at=from_ms(row[5]) if row[5] is not None else None,
            )
            for row in await self._read("vault_keys", {"merchant_id": merchant_id})
        ]

    async def made_at(self, merchant_id: str) -> dict[str, datetime]:
        """When the first key of each keyset was made."""
        rows = await self._read("keysets_made", {"merchant_id": merchant_id})
        return {row[0]: from_ms(row[1]) for row in rows}

    async def behind(self, version: int) -> list[Behind]:
        """Processes that may still work with something older than a version of the changes."""
        return [Behind(*row) for row in await self._read("nodes_behind", {"version": version})]

    async def page(self, column: Sealed, merchant_id: str, after: Key, most: int) -> list[tuple[Key, bytes | None]]:
        """Rows of a merchant in order of their keys, each with its sealed value."""
        values: dict[str, object] = {f"after_{name}": value for (name, _), value in zip(column.key, after, strict=True)}
        rows = await self._read(f"sealed_page_{column.name}", values | {"merchant_id": merchant_id, "most": most})
        return [(tuple(row)[:-1], bytes(row[-1]) if row[-1] is not None else None) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveSeals:
    """Reserve seals under a key, before they are made: the sum of all that were; None where it would pass `limit`."""

    merchant_id: str
    purpose: str
    id: bytes
    count: int
    limit: int
    now: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "purpose": self.purpose,
            "id": self.id,
            "count": self.count,
            "room": self.limit - self.count,
            "now": to_ms(self.now),
        }

    def apply(self, run: Run) -> int | None:
        rows = run("reserve_seals", self.values())
        return int(rows[0][0]) if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackSeals:
    """Seals that were reserved and will not be made."""

    merchant_id: str
    purpose: str
    id: bytes
    count: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "purpose": self.purpose, "id": self.id, "count": self.count}

    def apply(self, run: Run) -> None:
        run("give_back_seals", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKeyset:
    """Another keyset in the place of one that still stands; every process reads it. False: it was changed meanwhile.

    `id` is the key that the change is about: it was added, it seals from now on, or it is gone.
    """

    merchant_id: str
    purpose: str
    was: bytes
    sealed: bytes
    id: bytes
    now: datetime
    promoted: bool = False
    destroyed: bool = False

    def values(self) -> dict[str, object]:
        now = to_ms(self.now)
        return {
            "merchant_id": self.merchant_id,
            "purpose": self.purpose,
            "was": self.was,
            "sealed": self.sealed,
            "id": self.id,
            "created_at": None if self.promoted or self.destroyed else now,
            "promoted_at": now if self.promoted else None,
            "destroyed_at": now if self.destroyed else None,
        }

    def apply(self, run: Run) -> bool:
        if not run("change_keyset", self.values()):
            return False
        run("note_vault_key", self.values())
        run("bump_changes", {})
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMessageKey:
    """The installation's pair for encrypted messages: the private half sealed, the certificate in PEM."""

    id: str
    sealed: bytes
    certificate: bytes
    now: datetime

    def values(self) -> dict[str, object]:
        return {"id": self.id, "sealed": self.sealed, "certificate": self.certificate, "created_at": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        run("add_message_key", self.values())
        run("bump_changes", {})
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """A value sealed again, in the place of the one that was read."""

    key: Key
    was: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Reseal:
    """Values sealed again, of one column and merchant. How many: a row that was changed meanwhile stays as it is."""

    merchant_id: str
    column: Sealed
    changes: Sequence[Change]

    def apply(self, run: Run) -> int:
        names = [name for name, _ in self.column.key]
        done = 0
        for change in self.changes:
            values = dict(zip(names, change.key, strict=True)) | {"was": change.was, "sealed": change.sealed}
            done += len(run(f"reseal_{self.column.name}", values | {"merchant_id": self.merchant_id}))
        return done

    def together(self) -> Mapping[str, object]:
        """The values of the one statement for all rows."""
        names = [name for name, _ in self.column.key]
        keys = {name: [change.key[place] for change in self.changes] for place, name in enumerate(names)}
        return keys | {
            "merchant_id": self.merchant_id,
            "was": [change.was for change in self.changes],
            "sealed": [change.sealed for change in self.changes],
        }
