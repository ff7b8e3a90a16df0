"""Late answers: what is heard of an exchange that has been given up. The books do not change for it; its history does.

An approval that nobody waits for any more holds a cardholder's money: the event that tells of it queues a clean-up.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from kessai import ids
from kessai.acquirers import Exchange
from kessai.log import log
from kessai.payment.lifecycle import Outcome, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.database import Database, DatabaseError
from kessai.storage.writes import Happened, Job

CLEAN_UP: Final = "clean-up"
"""The kind of job that settles an unknown transaction."""
_PATIENCE_S: Final = 5.0
"""How long an end waits for what is not written yet."""


class Late:
    """Remembers what came too late. `work`: a job was queued."""

    def __init__(
        self, database: Database, new_id: Callable[[], int], clock: Callable[[], datetime], work: Callable[[], None]
    ) -> None:
        self._database = database
        self._new_id = new_id
        self._clock = clock
        self._work = work
        self._writing: set[asyncio.Task[None]] = set()

    def overtaken(self, merchant: Merchant, done: Transaction) -> None:
        """Somebody gave this exchange up before its answer came: an approval must be undone (again)."""
        status = done.status.value
        log("outcome.overtaken", level="warning", merchant=merchant.id, transaction=ids.show(done.id), outcome=status)
        if done.status is Status.APPROVED:
            self._remember(merchant.id, done.id, "approved-late", "approved after the exchange had been given up")

    def answered(self, message: Exchange, outcome: Outcome) -> None:
        """A link received an answer after its exchange was given up (R-5)."""
        kind = type(outcome).__name__.lower()
        log("outcome.late", level="warning", transaction=ids.show(message.transaction_id), outcome=kind)
        self._remember(message.merchant_id, message.transaction_id, f"{kind}-late", "answered after the deadline")

    def _remember(self, merchant_id: str, transaction_id: int, kind: str, detail: str) -> None:
        """Add to a transaction's history, and queue its clean-up where it was approved: until it is written."""
        job = Job(id=self._new_id(), kind=CLEAN_UP, transaction_id=transaction_id, run_at=self._clock())
        event = Happened(
            merchant_id=merchant_id,
            transaction_id=transaction_id,
            id=self._new_id(),
            kind=kind,
            detail=detail,
            jobs=(job,) if kind == "approved-late" else (),
        )
        task = asyncio.get_running_loop().create_task(self._write_until_done(event))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_until_done(self, event: Happened) -> None:
        wait_s = 0.1
        try:
            while True:
                try:
                    await self._database.write(event)
                    break
                except DatabaseError:
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, 30.0)
        except Exception as error:  # it is there: a commit that seemed to fail has written it
            log("event.again", transaction=ids.show(event.transaction_id), error=type(error).__name__)
        except asyncio.CancelledError:
            log("event.lost", level="error", transaction=ids.show(event.transaction_id), event_kind=event.kind)
            raise
        self._work()

    async def close(self) -> None:
        if self._writing:
            _, waiting = await asyncio.wait(self._writing, timeout=_PATIENCE_S)
            for task in waiting:
                task.cancel()
