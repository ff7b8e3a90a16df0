"""Webhooks and what is on its way to them, as rows.

A notice is a job that an outcome's commit wrote: somebody is to be told. Telling turns it into deliveries, one for each
place that wants to know, in one commit with its end; a delivery is there until it has ended, and a while longer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai.storage.compact import pack, unpack
from kessai.storage.database import Database, Row, Run
from kessai.storage.payments import from_ms, to_ms

NOTICE: Final = "notice"
"""The kind of a job that is a notice; behind a colon, how its deliveries are to go wrong in a sandbox."""
_SCENARIOS: Final = "webhook-"
WAITING, HELD, DELIVERED, PARKED = "waiting", "held", "delivered", "parked"
ENDED: Final = (DELIVERED, PARKED)
NEWEST: Final = (1 << 63) - 1


def notice_of(scenario: str | None) -> str:
    """The kind of a notice; `scenario` is what the sandbox was asked for, which may be about its deliveries."""
    if scenario is None or not scenario.startswith(_SCENARIOS):
        return NOTICE
    return f"{NOTICE}:{scenario.removeprefix(_SCENARIOS)}"


class Webhook(Struct, frozen=True, kw_only=True):
    """`kind` is `subscription` or `listener`; `document` is what the wire keeps of it."""

    id: str
    version: int
    kind: str
    status: str
    document: bytes
    created_at: datetime
    updated_at: datetime


class WebhookKey(Struct, frozen=True, kw_only=True):
    """A secret that signs; `wire` says whose notifications."""

    id: str
    wire: str
    sealed: bytes
    created_at: datetime
    expires_at: datetime
    replaced_at: datetime | None


class Notice(Struct, frozen=True):
    id: int
    trick: str
    transaction_id: int


class Delivery(Struct, frozen=True, kw_only=True):
    """`endpoint` is a webhook's id or, for a URL that came with a payment, its origin; `happened_at` is business time.

    `holds`: whether later ones of the payment wait until this one has ended. `run_at` of an ended one: when it ended.
    """

    id: int
    endpoint: str
    url: str
    payment_id: int
    event: str
    happened_at: datetime
    body: bytes
    run_at: datetime
    trick: str = ""
    holds: bool = True
    state: str = WAITING
    attempts: int = 0
    result: str = ""


class Webhooks:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def webhooks(self, merchant_id: str) -> list[Webhook]:
        rows = await self._read("webhooks_of", {"merchant_id": merchant_id})
        return [
            Webhook(
                id=row[0],
                version=row[1],
                kind=row[2],
                status=row[3],
                document=bytes(row[4]),
                created_at=from_ms(row[5]),
                updated_at=from_ms(row[6]),
            )
            for row in rows
        ]

    async def keys(self, merchant_id: str) -> list[WebhookKey]:
        rows = await self._read("webhook_keys", {"merchant_id": merchant_id})
        return [
            WebhookKey(
                id=row[0],
                wire=row[1],
                sealed=bytes(row[2]),
                created_at=from_ms(row[3]),
                expires_at=from_ms(row[4]),
                replaced_at=from_ms(row[5]) if row[5] is not None else None,
            )
            for row in rows
        ]

    async def notices(self, merchant_id: str, most: int) -> list[Notice]:
        rows = await self._read("notices", {"merchant_id": merchant_id, "most": most})
        return [Notice(row[0], row[1].partition(":")[2], row[2]) for row in rows]

    async def places(self, merchant_id: str) -> list[str]:
        """Where something waits to go."""
        found = [""]
        while rows := await self._read("next_place", {"merchant_id": merchant_id, "after": found[-1]}):
            found.append(rows[0][0])
        return found[1:]

    async def due(self, merchant_id: str, endpoint: str, now: datetime, most: int) -> list[Delivery]:
        values = {"merchant_id": merchant_id, "endpoint": endpoint, "now": to_ms(now), "most": most}
        return list(map(_delivery, await self._read("due_deliveries", values)))

    async def first_due(self, merchant_id: str, endpoint: str) -> datetime | None:
        rows = await self._read("first_due", {"merchant_id": merchant_id, "endpoint": endpoint})
        return from_ms(rows[0][0]) if rows else None

    async def delivery(self, merchant_id: str, identifier: int) -> Delivery | None:
        rows = await self._read("delivery", {"merchant_id": merchant_id, "id": identifier})
        return _delivery(rows[0]) if rows else None

    async def page(
        self,
        merchant_id: str,
        most: int,
        *,
        state: str = "",
        endpoint: str = "",
        since: int = 0,
        before: int = NEWEST,
    ) -> list[Delivery]:
        """Deliveries, the latest first: from an id on, and before another."""
        values = {"merchant_id": merchant_id, "state": state, "endpoint": endpoint, "since": since, "before": before}
        return list(map(_delivery, await self._read("deliveries_page", values | {"most": most})))


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row[0],
        endpoint=row[1],
        url=row[2],
        payment_id=row[3],
        event=row[4],
        happened_at=from_ms(row[5]),
        trick=row[6],
        state=row[7],
        run_at=from_ms(row[8]),
        attempts=row[9],
        result=row[10],
        body=unpack(bytes(row[11])),
    )


# ---- webhooks and keys


class AddWebhook(Struct, frozen=True, kw_only=True):
    """False: there is one of this id."""

    merchant_id: str
    id: str
    kind: str
    status: str
    document: bytes
    now: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "document": self.document,
            "now": to_ms(self.now),
        }

    def apply(self, run: Run) -> bool:
        return _counted(run, run("add_webhook", self.values()))


class ChangeWebhook(Struct, frozen=True, kw_only=True):
    """Status and document of a webhook that is as it was read. False: somebody else has changed it since."""

    merchant_id: str
    id: str
    version: int
    status: str
    document: bytes
    now: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "version": self.version,
            "status": self.status,
            "document": self.document,
            "now": to_ms(self.now),
        }

    def apply(self, run: Run) -> bool:
        return _counted(run, run("change_webhook", self.values()))


class TouchWebhook(Struct, frozen=True):
    """A listener has asked again. False: there is none."""

    merchant_id: str
    id: str
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id, "now": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        return bool(run("touch_webhook", self.values()))


class DeleteWebhook(Struct, frozen=True):
    """A webhook goes, with what is still on its way to it. False: there is none."""

    merchant_id: str
    id: str

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id}

    def apply(self, run: Run) -> bool:
        rows = run("delete_webhook", self.values())
        if rows:
            run("drop_deliveries", self.values())
        return _counted(run, rows)


class AddWebhookKey(Struct, frozen=True, kw_only=True):
    """The key that signs from now on; those of the same wire before it are replaced."""

    merchant_id: str
    id: str
    wire: str
    sealed: bytes
    now: datetime
    expires_at: datetime

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "id": self.id,
            "wire": self.wire,
            "sealed": self.sealed,
            "now": to_ms(self.now),
            "expires_at": to_ms(self.expires_at),
        }

    def apply(self, run: Run) -> None:
        run("replace_webhook_keys", self.values())
        run("add_webhook_key", self.values())
        run("bump_changes", {})


def _counted(run: Run, rows: Sequence[Row]) -> bool:
    """Whether something changed; then whoever keeps webhooks in memory will see that it did."""
    if rows:
        run("bump_changes", {})
    return bool(rows)


# ---- deliveries


class HoldDeliveries(Struct, frozen=True, kw_only=True):
    """Take or keep a merchant's deliveries until `until`. False: another process is at them."""

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
        return bool(run("hold_deliveries", self.values()))


class Tell(Struct, frozen=True, kw_only=True):
    """Deliveries, each with the notice that it comes of: those of a notice that somebody else took are not written."""

    merchant_id: str
    notices: Sequence[int]
    deliveries: Sequence[tuple[int | None, Delivery]]

    def apply(self, run: Run) -> None:
        taken = {
            notice for notice in self.notices if run("take_notice", {"merchant_id": self.merchant_id, "id": notice})
        }
        for owner, delivery in self.deliveries:
            if owner is None or owner in taken:
                run("add_delivery", {"merchant_id": self.merchant_id} | _row(delivery))

    def together(self) -> dict[str, object]:
        rows = [_row(delivery) for _, delivery in self.deliveries]
        owned: dict[str, object] = {
            "merchant_id": self.merchant_id,
            "notice": list(self.notices),
            "owner": [owner for owner, _ in self.deliveries],
        }
        return owned | {name: [row[name] for row in rows] for name in _ROW}


_ROW: Final = ("id", "endpoint", "url", "payment_id", "event", "happened_at", "trick", "holds", "run_at", "body")


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "endpoint": delivery.endpoint,
        "url": delivery.url,
        "payment_id": delivery.payment_id,
        "event": delivery.event,
        "happened_at": to_ms(delivery.happened_at),
        "trick": delivery.trick,
        "holds": int(delivery.holds),
        "run_at": to_ms(delivery.run_at),
        "body": pack(delivery.body),
    }


class Tried(Struct, frozen=True, kw_only=True):
    """What became of one try of a delivery that was `seen` so."""

    id: int
    state: str
    run_at: datetime
    attempts: int
    trick: str
    result: str
    seen: int
    seen_trick: str

    def values(self) -> dict[str, object]:
        return {
            "id": self.id,
            "state": self.state,
            "run_at": to_ms(self.run_at),
            "attempts": self.attempts,
            "trick": self.trick,
            "result": self.result,
            "seen": self.seen,
            "seen_trick": self.seen_trick,
        }


_TRIED: Final = ("id", "state", "run_at", "attempts", "trick", "result", "seen", "seen_trick")


class Conclude(Struct, frozen=True, kw_only=True):
    """Record tries. A delivery that has ended lets the next one of its payment go."""

    merchant_id: str
    tried: Sequence[Tried]

    def apply(self, run: Run) -> None:
        for each in self.tried:
            rows = run("conclude_delivery", {"merchant_id": self.merchant_id} | each.values())
            if rows and rows[0][2] and each.state in ENDED:
                endpoint, payment_id, _ = rows[0]
                values = {"merchant_id": self.merchant_id, "endpoint": endpoint, "payment_id": payment_id}
                run("release_next", values)

    def together(self) -> dict[str, object]:
        rows = [each.values() for each in self.tried]
        return {"merchant_id": self.merchant_id} | {name: [row[name] for row in rows] for name in _TRIED}


class ReleaseStuck(Struct, frozen=True):
    """Let go what nothing holds back: a process may have ended between two commits of its own."""

    merchant_id: str

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id}

    def apply(self, run: Run) -> None:
        run("release_stuck", self.values())


class Resend(Struct, frozen=True):
    """Send a delivery that has ended again, with all its tries before it. False: there is no such one."""

    merchant_id: str
    id: int
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id, "now": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        return bool(run("resend_delivery", self.values()))


class PurgeDeliveries(Struct, frozen=True):
    """Forget deliveries that ended in a state before an instant."""

    merchant_id: str
    state: str
    before: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "state": self.state, "before": to_ms(self.before)}

    def apply(self, run: Run) -> None:
        run("purge_deliveries", self.values())
