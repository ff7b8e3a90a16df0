"""Jobs as rows: enqueued inside the caller's commit, claimed by a worker, tried again later, given up and shown."""

from dataclasses import dataclass
from datetime import datetime

from kessai.storage.database import Database, Row, Run
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
        return [
            Due(id=row[0], kind=row[1], transaction_id=row[2], attempts=row[3], run_at=from_ms(row[4])) for row in rows
        ]

    async def all(self, merchant_id: str) -> list[Due]:
        return list(map(_job, await self._read("jobs_of", {"merchant_id": merchant_id})))

    async def parked(self, merchant_id: str) -> list[Due]:
        """Jobs that were given up and wait for a person."""
        return list(map(_job, await self._read("parked_jobs", {"merchant_id": merchant_id})))


def _job(row: Row) -> Due:
    return Due(id=row[0], kind=row[1], transaction_id=row[2], state=row[3], run_at=from_ms(row[4]), attempts=row[5])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimJob:
    """Take a job that is due until `until`, so that no other worker runs it meanwhile. False: another one has it."""

    merchant_id: str
    job: Due
    until: datetime

    def values(self) -> dict[str, object]:
        assert self.job.run_at is not None
        return {
            "merchant_id": self.merchant_id,
            "id": self.job.id,
            "seen": to_ms(self.job.run_at),
            "until": to_ms(self.until),
        }

    def apply(self, run: Run) -> bool:
        return bool(run("claim_job", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """False: the claim until `until` has lapsed, and the job is not this worker's any more."""

    merchant_id: str
    id: int
    until: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id, "until": to_ms(self.until)}

    def apply(self, run: Run) -> bool:
        return bool(run("job_done", self.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLater:
    """Try again at `run_at`; parked jobs wait for a person. False: as with `JobDone`."""

    merchant_id: str
    id: int
    until: datetime
    run_at: datetime
    parked: bool = False

    def values(self) -> dict[str, object]:
        state = "parked" if self.parked else "waiting"
        claim = {"merchant_id": self.merchant_id, "id": self.id, "until": to_ms(self.until)}
        return claim | {"run_at": to_ms(self.run_at), "state": state}

    def apply(self, run: Run) -> bool:
        return bool(run("job_later", self.values()))


@dataclass(frozen=True, slots=True)
class DriveJob:
    """A parked job, or one that waits, is tried again now, with all its tries before it. False: there is none."""

    merchant_id: str
    id: int
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.id, "run_at": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        return bool(run("drive_job", self.values()))


@dataclass(frozen=True, slots=True)
class HurryJobs:
    """Every job of a merchant that waits for a later try is due now: what was in their way is gone."""

    merchant_id: str
    now: datetime

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "now": to_ms(self.now)}

    def apply(self, run: Run) -> None:
        run("hurry_jobs", self.values())
