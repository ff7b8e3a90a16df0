"""Authentications as rows: what the issuer said, for as long as it may be used; and payments that wait for a payer."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAuthentication:
    """A new one. `key` is the hash of what the payer's browser gets; `card` is sealed, `code` blinded and sealed."""

    merchant_id: str
    id: int
    name: str
    key: bytes | None
    document: bytes
    fingerprint: bytes
    expires_at: datetime
    due_at: datetime | None
    card: bytes | None = None
    code: bytes | None = None
    wire: str | None = None
    """Whose payment waits."""
    waiting: bytes | None = None
    """What that wire wants to know again."""

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "name": self.name,
            "key": self.key,
            "document": self.document,
            "fingerprint": self.fingerprint,
            "expires_at": to_ms(self.expires_at),
            "due_at": to_ms(self.due_at) if self.due_at is not None else None,
            "card": self.card,
            "code": self.code,
            "wire": self.wire,
            "waiting": self.waiting,
        }

    def apply(self, run: Run) -> None:
        run("add_authentication", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAuthentication:
    """What became of a challenge. False: somebody else was first."""

    merchant_id: str
    id: int
    version: int
    document: bytes
    due_at: datetime | None

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "version": self.version,
            "document": self.document,
            "due_at": to_ms(self.due_at) if self.due_at is not None else None,
        }

    def apply(self, run: Run) -> bool:
        return bool(run("change_authentication", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAuthentication:
    """The payment that waited has ended. False: that was written before."""

    merchant_id: str
    id: int
    went: str

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id, "went": self.went}

    def apply(self, run: Run) -> bool:
        return bool(run("end_authentication", self.values()))


@dataclass(frozen=True, slots=True)
class PurgeAuthentications:
    """Forget those made before an id."""

    merchant_id: str
    before: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "before": self.before}

    def apply(self, run: Run) -> None:
        run("purge_authentications", self.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row."""

    merchant_id: str
    id: int
    name: str
    version: int
    document: bytes
    fingerprint: bytes
    expires_at: datetime
    card: bytes | None
    code: bytes | None
    wire: str | None
    waiting: bytes | None
    went: str | None
    """Where the payer was sent once the payment that waited had ended."""


async def find_authentication(database: Database, merchant_id: str, name: str) -> Kept | None:
    """The one of a name; None where the merchant has none, or not any more."""
    rows = await database.read("find_authentication", {"merchant_id": merchant_id, "name": name})
    return _kept(merchant_id, rows[0]) if rows else None


async def find_challenge(database: Database, merchant_id: str, key: bytes) -> Kept | None:
    """The one that a payer's browser was given."""
    rows = await database.read("find_challenge", {"merchant_id": merchant_id, "key": key})
    return _kept(merchant_id, rows[0]) if rows else None


async def due(database: Database, merchant_id: str, now: datetime, most: int) -> list[Kept]:
    """Challenges whose time has passed, and what a process left that has ended."""
    values = {"merchant_id": merchant_id, "now": to_ms(now), "most": most}
    return [_kept(merchant_id, row) for row in await database.read("due_authentications", values)]


async def oldest(database: Database, merchant_id: str) -> int | None:
    rows = await database.read("oldest_authentication", {"merchant_id": merchant_id})
    return rows[0][0] if rows else None


def _kept(merchant_id: str, row: Row) -> Kept:
    id_, name, version, document, fingerprint, expires_at, card, code, wire, waiting, went = row
    return Kept(
        merchant_id=merchant_id,
        id=id_,
        name=name,
        version=version,
        document=bytes(document),
        fingerprint=bytes(fingerprint),
        expires_at=from_ms(expires_at),
        card=_bytes(card),
        code=_bytes(code),
        wire=wire,
        waiting=_bytes(waiting),
        went=went,
    )


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return bytes(value) if value is not None else None
