"""Links to the hosted payment page as rows. What a payer's browser holds is kept as its hash only."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLink:
    """A new one. `key` is the hash of its code, `document` what its payment will be made of."""

    merchant_id: str
    id: int
    key: bytes
    document: bytes
    expires_at: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "key": self.key,
            "document": self.document,
            "expires_at": to_ms(self.expires_at),
        }

    def apply(self, run: Run) -> None:
        run("add_link", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLink:
    """What became of it. False: somebody else was first."""

    merchant_id: str
    id: int
    version: int
    state: str
    tries: int
    payment_id: int | None
    due_at: datetime | None
    """When somebody has to look what became of its payment."""

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "version": self.version,
            "state": self.state,
            "tries": self.tries,
            "payment_id": self.payment_id,
            "due_at": to_ms(self.due_at) if self.due_at is not None else None,
        }

    def apply(self, run: Run) -> bool:
        return bool(run("change_link", self.values()))


@dataclass(frozen=True, slots=True)
class PurgeLinks:
    """Forget those made before an id."""

    merchant_id: str
    before: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": self.before}

    def apply(self, run: Run) -> None:
        run("purge_links", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row."""

    id: int
    version: int
    state: str
    tries: int
    """Payments by it that were declined."""
    payment_id: int | None
    document: bytes
    expires_at: datetime


async def find_link(database: Database, merchant_id: str, key: bytes) -> Kept | None:
    """The one of a code; None where the merchant has none, or not any more."""
    rows = await database.read("find_link", {"merchant_id": merchant_id, "key": key})
    return _kept(rows[0]) if rows else None


async def due_links(database: Database, merchant_id: str, now: datetime, most: int) -> list[Kept]:
    """Links whose payment was begun a while ago."""
    values = {"merchant_id": merchant_id, "now": to_ms(now), "most": most}
    return [_kept(row) for row in await database.read("due_links", values)]


async def oldest_link(database: Database, merchant_id: str) -> int | None:
    rows = await database.read("oldest_link", {"merchant_id": merchant_id})
    return rows[0][0] if rows else None


def _kept(row: Row) -> Kept:
    id_, version, state, tries, payment_id, document, expires_at = row
    return Kept(
        id=id_,
        version=version,
        state=state,
        tries=tries,
        payment_id=payment_id,
        document=bytes(document),
        expires_at=from_ms(expires_at),
    )
