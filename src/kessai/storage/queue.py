"""Jobs as rows: enqueued inside the caller's commit, claimed by a worker, tried again later, given up and shown."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Run
from kessai.storage.payments import from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    id: int
    kind: str
    transaction_id: int
    attempts: int
    state: str = "waiting"
    run_at: datetime | None = None


class Queue:
    """Reads; the writes are the values below."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def due(self, merchant_id: str, now: datetime) -> list[Due]:
        """At most a hundred jobs that should run by now, the oldest first."""
        rows = await self._read("due_jobs", {"merchant_id": merchant_id, "now": to_ms(now)})
        return [Due(id=row[0], kind=row[1], transaction_id=row[2], attempts=row[3]) for row in rows]

    async def all(self, merchant_id: str) -> list[Due]:
        rows = await self._read("jobs_of", {"merchant_id": merchant_id})
        return [
            Due(id=row[0], kind=row[1], transaction_id=row[2], state=row[3], run_at=from_ms(row[4]), attempts=row[5])
            for row in rows
        ]


@dataclass(frozen=True, slots=True)
class JobDone:
    merchant_id: str
    id: int

    def apply(self, run: Run) -> None:
        run("job_done", {"merchant_id": self.merchant_id, "id": self.id})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLater:
    """Try again at `run_at`; parked jobs wait for a person."""

    merchant_id: str
    id: int
    run_at: datetime
    parked: bool = False

    def apply(self, run: Run) -> None:
        state = "parked" if self.parked else "waiting"
        run("job_later", {"merchant_id": self.merchant_id, "id": self.id, "run_at": to_ms(self.run_at), "state": state})
