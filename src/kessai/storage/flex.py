"""Cards on their way from a browser as rows, until they are spent or their time has passed; and the keys for them."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFlexKey:
    """A key of the installation, sealed. `purpose` says what it is used for."""

    id: str
    purpose: str
    sealed: bytes
    now: datetime

    def values(self) -> dict[str, object]:
        return {"id": self.id, "purpose": self.purpose, "sealed": self.sealed, "created_at": to_ms(self.now)}

    def apply(self, run: Run) -> None:
        run("add_flex_key", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTransient:
    """What a transient token stands for. `key` is the hash of its name, which itself is kept nowhere."""

    merchant_id: str
    id: int
    key: bytes
    card: bytes
    """Sealed: number and expiry."""
    code: bytes | None
    """Sealed, and before that blinded by the name."""
    brand: str | None
    expires_at: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "key": self.key,
            "card": self.card,
            "code": self.code,
            "brand": self.brand,
            "expires_at": to_ms(self.expires_at),
        }

    def apply(self, run: Run) -> None:
        run("add_transient", self.values())


@dataclass(frozen=True, slots=True)
class PurgeTransients:
    """Forget transient tokens whose time has passed at an instant."""

    merchant_id: str
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "now": to_ms(self.now)}

    def apply(self, run: Run) -> None:
        run("purge_transients", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row: what `AddTransient` wrote."""

    id: int
    card: bytes
    code: bytes | None
    brand: str | None
    expires_at: datetime


async def find_transient(database: Database, merchant_id: str, key: bytes) -> Kept | None:
    """What is kept under the hash of a name; None where the merchant has no such token, or not any more."""
    rows = await database.read("find_transient", {"merchant_id": merchant_id, "key": key})
    if not rows:
        return None
    id_, card, code, brand, expires_at = rows[0]
    return Kept(
        id=id_,
        card=bytes(card),
        code=bytes(code) if code is not None else None,
        brand=brand,
        expires_at=from_ms(expires_at),
    )


async def first_expiry(database: Database, merchant_id: str) -> datetime | None:
    """When the first transient token of a merchant expires, or has; None where there is none."""
    rows = await database.read("oldest_transient", {"merchant_id": merchant_id})
    return from_ms(rows[0][0]) if rows and rows[0][0] is not None else None


async def flex_keys(database: Database) -> list[tuple[str, str, bytes]]:
    """Id, purpose and sealed text of every key, oldest first."""
    return [(row[0], row[1], bytes(row[2])) for row in await database.read("flex_keys", {})]
