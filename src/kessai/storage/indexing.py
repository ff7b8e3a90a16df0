"""What transactions are found by, as rows: written behind the road, in batches, by whichever process holds the mark.

Writing is idempotent: a row that has its outcome is never replaced, terms only come to be, marks only go forward. So it
does no harm when two processes write the same, or one of them late; holding the mark only saves the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai.payment.card import Brand
from kessai.payment.lifecycle import Payment, Status, Transaction
from kessai.payment.search import FACETS, KEPT, Facets
from kessai.storage.compact import unpack
from kessai.storage.database import Database, Row, Run, RunAll
from kessai.storage.payments import to_ms, transaction_of

_TAGS: Final = tuple((facet.name, facet.tag) for facet in FACETS.values() if facet.tag)


class Indexable(Struct, frozen=True):
    """A transaction and what else it is found by and shown with. `payment` knows its card and this transaction only."""

    payment: Payment
    transaction: Transaction
    root_particulars: bytes
    fingerprint: bytes


class IndexRow(Struct, frozen=True):
    """One transaction in the index."""

    id: int
    submitted_at: datetime
    is_open: bool
    """Whether its outcome may still change: then it is written again."""
    facets: Facets


class Mark(Struct, frozen=True):
    """How far a merchant's index has come: everything up to `indexed` once, up to `swept` once more. Ids."""

    indexed: int = 0
    swept: int = 0


START: Final = Mark()
ROW: Final = ("merchant_id", "submitted_at", "id", "is_open", *KEPT)
TERM: Final = ("merchant_id", "term", "submitted_at", "id")
"""In the order in which the embedded engine's statements take them."""


def term_of(facet: str, value: object) -> str:
    """How a facet's value stands among the terms."""
    return f"{FACETS[facet].tag}{value}"


def terms_of(row: IndexRow) -> list[str]:
    return [f"{tag}{row.facets[name]}" for name, tag in _TAGS if name in row.facets]


class Index:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def mark(self, merchant_id: str) -> Mark:
        rows = await self._read("search_mark", {"merchant_id": merchant_id})
        return Mark(rows[0][0], rows[0][1]) if rows else Mark()

    async def page(self, merchant_id: str, after: int, last: int, most: int) -> list[Indexable]:
        """Transactions in order of their ids, behind one of them and up to another."""
        values = {"merchant_id": merchant_id, "after": after, "last": last, "most": most}
        return [indexable_of(merchant_id, row) for row in await self._read("to_index", values)]

    async def missing(self, merchant_id: str, after: int, last: int, most: int) -> tuple[list[int], int | None]:
        """Of a page of transactions those that are not in the index, and the last one of the page, None for no page."""
        values = {"merchant_id": merchant_id, "after": after, "last": last, "most": most}
        rows = await self._read("ids_between", values)
        return [row[0] for row in rows if row[1] is None], rows[-1][0] if rows else None

    async def concluded(self, merchant_id: str, after: int, most: int) -> tuple[list[int], int]:
        """Of a page of rows without an outcome those that have one now, and where the next page begins."""
        rows = await self._read("open_in_index", {"merchant_id": merchant_id, "after": after, "most": most})
        is_open = (Status.PENDING.value, Status.UNKNOWN.value)
        return [row[0] for row in rows if row[1] not in is_open], rows[-1][0] if len(rows) == most else 0


def indexable_of(merchant_id: str, row: Row) -> Indexable:
    brand, prefix, suffix, expiry, fingerprint, particulars = tuple(row)[22:]
    transaction = transaction_of(row)
    payment = Payment(
        merchant_id=merchant_id,
        id=transaction.payment_id,
        transactions=(transaction,),
        brand=Brand[brand] if brand else None,
        pan_prefix=prefix,
        pan_suffix=suffix,
        expiry=expiry,
    )
    return Indexable(payment, transaction, unpack(bytes(particulars)), bytes(fingerprint or b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMark:
    """Take or keep a merchant's index until `until`. False: another process is at it."""

    merchant_id: str
    holder: int
    now: datetime
    until: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "holder": self.holder,
            "now": to_ms(self.now),
            "until": to_ms(self.until),
        }

    def apply(self, run: Run) -> bool:
        return bool(run("hold_search_mark", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRows:
    """Put transactions into the index, and move its marks with them."""

    merchant_id: str
    rows: Sequence[IndexRow]
    mark: Mark = START

    def apply(self, run: Run) -> None:
        for row in self.rows_as_kept():
            run("index_row", dict(zip(ROW, row, strict=True)))
        for term in self.terms_as_kept():
            run("index_term", dict(zip(TERM, term, strict=True)))
        self._move(run)

    def apply_all(self, run: Run, run_all: RunAll) -> None:
        """The same, statement by statement."""
        run_all("index_row", self.rows_as_kept())
        run_all("index_term", self.terms_as_kept())
        self._move(run)

    def rows_as_kept(self) -> list[tuple[object, ...]]:
        return [
            (
                self.merchant_id,
                to_ms(row.submitted_at),
                row.id,
                int(row.is_open),
                *map(row.facets.get, KEPT),
            )
            for row in self.rows
        ]

    def terms_as_kept(self) -> list[tuple[object, ...]]:
        return [
            (self.merchant_id, term, submitted_at, row.id)
            for row in self.rows
            for submitted_at in (to_ms(row.submitted_at),)
            for term in terms_of(row)
        ]

    def _move(self, run: Run) -> None:
        moved: dict[str, object] = {"indexed": self.mark.indexed, "swept": self.mark.swept}
        run("move_search_mark", moved | {"merchant_id": self.merchant_id})

    def values(self) -> dict[str, object]:
        """Arrays, for the engine that takes them together."""
        entries = self.terms_as_kept()
        return {
            "merchant_id": self.merchant_id,
            "submitted_at": [to_ms(row.submitted_at) for row in self.rows],
            "id": [row.id for row in self.rows],
            "is_open": [int(row.is_open) for row in self.rows],
            "term": [entry[1] for entry in entries],
            "term_submitted_at": [entry[2] for entry in entries],
            "term_id": [entry[3] for entry in entries],
            "indexed": self.mark.indexed,
            "swept": self.mark.swept,
        } | {name: [row.facets.get(name) for row in self.rows] for name in KEPT}
