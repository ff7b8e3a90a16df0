"""Payments, transactions, entries, claims as rows: what is read of them, and how rows become values."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from kessai.ledger import Account, Entry
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation, Payment, Reason, Refusal, Status, Transaction
from kessai.payment.money import Currency, Money
from kessai.payment.options import PaymentOption
from kessai.storage.compact import unpack
from kessai.storage.database import Database, Row

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_option = msgspec.json.Decoder(PaymentOption)
_facts = msgspec.json.Decoder(dict[str, str])
_warnings = msgspec.json.Decoder(tuple[str, ...])
encode_json = msgspec.json.Encoder().encode


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970; what is finer is cut."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Answer(Struct, frozen=True):
    """What a caller was told: HTTP status and body. `stored` is kept in the body's place where that may not be kept."""

    status: int
    body: bytes
    stored: bytes | None = None
    is_replay: bool = False
    """Whether this is what an earlier request with the same claim was told."""


class Claim(Struct, frozen=True):
    """Something that one transaction has at a time: an idempotency key, a signature, a merchant's own id.

    Written with the intent, so that of two who want the same one begins. It holds for as long as its window lasts.
    """

    key: bytes
    """Hash of what is claimed, with its kind and scope."""
    request: bytes = b""
    """Keyed hash of the request that the claim is bound to; empty: to none."""
    since: int = 0
    """The smallest transaction id whose claim still holds: an older one is taken over."""
    taken: Refusal | None = None
    """What a request is told whose claim is taken; None: what the one that has it was answered."""
    other: Refusal = Refusal.KEY_REUSED
    """What is told where the claim is bound to another request."""


def told_before(row: Row, claim: Claim) -> Answer | Refusal:
    """What the first request with a claim was told, or why this one cannot be told the same."""
    if claim.taken is not None:
        return claim.taken
    request, status, answer_status, answer = row
    if bytes(request) != claim.request:
        return claim.other
    if status == "pending":
        return Refusal.IN_PROGRESS
    if answer is None:  # a crash came between the exchange and its outcome
        return Refusal.OUTCOME_UNKNOWN
    return Answer(answer_status, unpack(answer), is_replay=True)


def transaction_of(row: Row) -> Transaction:
    currency = Currency.of(row[4])
    return Transaction(
        id=row[0],
        payment_id=row[1],
        operation=Operation(row[2]),
        status=Status(row[3]),
        requested=Money(row[5], currency),
        approved=row[6],
        hold=row[7],
        target=row[8],
        reference=row[9],
        merchant_transaction_id=row[10],
        reason=Reason(row[11]) if row[11] else None,
        stan=row[12],
        rrn=row[13],
        flags=frozenset(row[14].split()),
        facts=_facts.decode(row[15]),
        option=_option.decode(row[16]) if row[16] else None,
        warnings=_warnings.decode(row[17]),
        particulars=unpack(row[18]),
        requested_at=from_ms(row[19]),
        concluded_at=from_ms(row[20]) if row[20] is not None else None,
        settlement=row[21] or None,
    )


def entry_of(row: Row) -> Entry:
    return Entry(row[0], row[1], Account(row[2]), Currency.of(row[3]), row[4], from_ms(row[5]))


class Found(Struct, frozen=True):
    """A payment as it stands, with its sealed card."""

    payment: Payment
    card: bytes | None


def found_of(merchant_id: str, row: Sequence[Any], transactions: Iterable[Row]) -> Found:
    """A payment's row with its transactions, oldest first."""
    payment_id, version, brand, prefix, suffix, expiry, expires_at, card = row
    payment = Payment(
        merchant_id=merchant_id,
        id=payment_id,
        version=version,
        transactions=tuple(map(transaction_of, transactions)),
        brand=Brand[brand] if brand else None,
        pan_prefix=prefix,
        pan_suffix=suffix,
        expiry=expiry,
        expires_at=from_ms(expires_at) if expires_at is not None else None,
    )
    return Found(payment, bytes(card) if card is not None else None)


class Payments:
    """Reads; the writes are the values above."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def load(self, merchant_id: str, transaction_id: int) -> Found | None:
        """The payment that a transaction belongs to; None when the merchant has no such transaction."""
        rows = await self._read("load_payment_of", {"merchant_id": merchant_id, "id": transaction_id})
        return await self._whole(merchant_id, rows[0]) if rows else None

    async def load_payment(self, merchant_id: str, payment_id: int) -> Found | None:
        rows = await self._read("load_payment", {"merchant_id": merchant_id, "id": payment_id})
        return await self._whole(merchant_id, rows[0]) if rows else None

    async def _whole(self, merchant_id: str, row: Row) -> Found:
        """A payment's row with its transactions."""
        key = {"merchant_id": merchant_id, "payment_id": row[0]}
        return found_of(merchant_id, row, await self._read("load_transactions", key))

    async def find_by_merchants_id(self, merchant_id: str, merchants_id: str) -> int | None:
        """The id of the latest transaction that carried a merchant's own id."""
        values = {"merchant_id": merchant_id, "merchant_transaction_id": merchants_id}
        rows = await self._read("find_by_merchants_id", values)
        return rows[0][0] if rows else None

    async def answer(self, merchant_id: str, transaction_id: int) -> tuple[Operation, Answer] | None:
        """What the merchant was answered when the transaction was made; None where there is none."""
        rows = await self._read("load_answer", {"merchant_id": merchant_id, "id": transaction_id})
        if not rows or rows[0][3] is None:
            return None
        return Operation(rows[0][0]), Answer(rows[0][2], unpack(rows[0][3]))

    async def entries(self, merchant_id: str, transaction_id: int) -> list[Entry]:
        rows = await self._read("load_entries", {"merchant_id": merchant_id, "transaction_id": transaction_id})
        return list(map(entry_of, rows))

    async def events(self, merchant_id: str, transaction_id: int) -> list[dict[str, Any]]:
        values = {"merchant_id": merchant_id, "first": transaction_id, "last": transaction_id}
        return [{"id": row[1], "kind": row[2], "detail": row[3]} for row in await self._read("load_events", values)]

    async def pending(self, merchant_id: str, lease: int, before: int) -> list[int]:
        """Transactions without an outcome: another process's, or with an id older than any exchange can be."""
        values = {"merchant_id": merchant_id, "lease": lease, "before": before}
        return [row[0] for row in await self._read("pending_transactions", values)]

    async def newest_id(self, merchant_id: str) -> int:
        rows = await self._read("newest_id", {"merchant_id": merchant_id})
        return int(rows[0][0] or 0)

    async def unsettled(self, merchant_id: str, cut_at: datetime, after: int, most: int) -> list[int]:
        """Ids of payments with something that a cut may collect."""
        values = {"merchant_id": merchant_id, "after": after, "cut_at": to_ms(cut_at), "most": most}
        return [row[0] for row in await self._read("unsettled", values)]

    async def page(self, merchant_id: str, after: int, most: int) -> list[Transaction]:
        """Transactions in order of their ids, behind one of them."""
        values = {"merchant_id": merchant_id, "after": after, "most": most}
        return list(map(transaction_of, await self._read("transactions_page", values)))

    async def claims(self, merchant_id: str, after: bytes, most: int) -> list[tuple[bytes, int]]:
        """Claims in order of their keys, behind one of them, each with the transaction that holds it."""
        rows = await self._read("claims_page", {"merchant_id": merchant_id, "after": after, "most": most})
        return [(bytes(row[0]), row[1]) for row in rows]

    async def settlements(self, merchant_id: str) -> list[Row]:
        return await self._read("load_settlements", {"merchant_id": merchant_id})

    async def expiring(self, merchant_id: str, now: datetime, after: tuple[int, int]) -> list[tuple[int, int]]:
        """(expiry, payment) of holds that lapse by now, a page behind the last one."""
        values = {"merchant_id": merchant_id, "now": to_ms(now), "after": after[0], "after_id": after[1]}
        return [(row[0], row[1]) for row in await self._read("expiring", values)]
