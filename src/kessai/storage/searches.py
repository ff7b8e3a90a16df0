"""Searches that were asked for, as rows: kept for good where the merchant saved them, else for a while."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.compact import pack, unpack
from kessai.storage.database import Database, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSearch:
    """`request` is what was asked, as the dialect reads it again; card numbers are not in it."""

    merchant_id: str
    id: str
    is_saved: bool
    created_at: datetime
    request: bytes

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "is_saved": int(self.is_saved),
            "created_at": to_ms(self.created_at),
            "request": pack(self.request),
        }

    def apply(self, run: Run) -> None:
        run("keep_search", self.values())


@dataclass(frozen=True, slots=True)
class ForgetSearches:
    """Forget searches that were not saved, older than an instant."""

    merchant_id: str
    before: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": to_ms(self.before)}

    def apply(self, run: Run) -> None:
        run("forget_searches", self.values())


async def read_search(database: Database, merchant_id: str, search_id: str) -> tuple[datetime, bytes] | None:
    """When a search was asked for, and what; None for one that the merchant does not have."""
    rows = await database.read("read_search", {"merchant_id": merchant_id, "id": search_id})
    return (from_ms(rows[0][1]), unpack(bytes(rows[0][2]))) if rows else None
