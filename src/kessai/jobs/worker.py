"""The worker: claims jobs that are due, runs them, tries again with back-off, stops gracefully. One per process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from kessai import ids
from kessai.gateway import Gateway
from kessai.jobs import claims, reversals, settlement
from kessai.jobs.indexing import Indexer
from kessai.late import CLEAN_UP
from kessai.log import log
from kessai.payment.merchant import Merchant
from kessai.payment.settle import last_cutoff
from kessai.storage.merchants import Merchants
from kessai.storage.queue import ClaimJob, Due, HurryJobs, JobDone, JobLater, Queue

IDLE_S = 1.0
"""How long the worker sleeps when nobody wakes it."""
ROUNDS_EVERY_S = 10.0
"""How often cut-offs, lapsing holds and orphaned intents are looked for."""
CLAIMED_S = 2.0
"""How much longer than two exchanges a job is its worker's; then that worker is gone, and another one takes it."""
MOST_TRIES = 10_000
"""Then a job is parked, for a person to look at: about a week of tries a minute apart."""


class Beside(Protocol):
    """What runs beside the jobs, until it is stopped."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class Worker:
    """Works off the queue of every merchant, in this process."""

    def __init__(
        self,
        gateway: Gateway,
        merchants: Callable[[], Iterable[Merchant]],
        *,
        first_wait_s: float,
        longest_wait_s: float,
        indexer: Indexer,
    ) -> None:
        self._gateway = gateway
        self.indexer = indexer
        self._merchants = merchants
        self._queue = Queue(gateway.database)
        self._rows = Merchants(gateway.database)
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._awake = asyncio.Event()
        self._may_charge = asyncio.Event()
        self._stopping = False
        self._was_away = False
        self._claims_after: dict[str, bytes] = {}
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._latest_s = 0.0
        self._next_round = 0.0
        self.beside: tuple[Beside, ...] = (indexer,)
        """What runs for as long as this does."""
        self.charge: Callable[[Merchant], Awaitable[object]] = _nothing
        """Charges what subscriptions of a merchant say is due."""
        self.tend: Callable[[Merchant], Awaitable[object]] = _nothing
        """Does what networks and issuers have told of a merchant's tokens."""

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def wake(self) -> None:
        self._awake.set()
        self._may_charge.set()

    def hurry(self) -> None:
        """Look for what time has brought at once: a clock was moved."""
        self._next_round = 0.0
        self.wake()

    def stop(self) -> None:
        """Finish the job at hand and return from `run`."""
        self._stopping = True
        for each in self.beside:
            each.stop()
        self.wake()

    async def recover(self) -> int:
        """What a process that is gone left open becomes unknown, before the port is open. How much it was."""
        return sum([await reversals.give_up_orphans(self._gateway, merchant) for merchant in self._merchants()])

    async def run(self) -> None:
        """Work until `stop`, with everything that runs beside it."""
        tasks = [asyncio.create_task(each.run()) for each in self.beside]
        try:
            await self._run()
        finally:
            for each in self.beside:
                each.stop()
            await asyncio.gather(*tasks)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        charging = asyncio.create_task(self._charge())
        while not self._stopping:
            self._awake.clear()
            try:
                await self._hurry()
                await self._work_off()
                if loop.time() >= self._next_round:
                    self._next_round = loop.time() + ROUNDS_EVERY_S
                    await self._round()
            except Exception as error:  # the database may be gone for a while; the worker stays
                log("worker.fault", level="error", error=type(error).__name__)
            await self._idle(self._awake)
        await charging

    async def _idle(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(min(IDLE_S, self._first_wait_s)):
                await event.wait()
        except TimeoutError:
            return

    async def _hurry(self) -> None:
        """When a link is back, what waited for it goes first (F13)."""
        is_away = any(link.is_away for link in self._gateway.links.values())
        if self._was_away and not is_away:
            for merchant in self._merchants():
                await self._gateway.database.write(HurryJobs(merchant.id, self._now()))
        self._was_away = is_away

    async def _work_off(self) -> None:
        for merchant in self._merchants():
            for job in await self._queue.due(merchant.id, self._now()):
                if self._stopping:
                    return
                until = self._now() + timedelta(seconds=CLAIMED_S + 2 * self._gateway.deadline_s)
                if await self._gateway.database.write(ClaimJob(merchant_id=merchant.id, job=job, until=until)):
                    await self._attempt(merchant, job, until)

    async def _charge(self) -> None:
        """Charge what is due, beside everything else: a slow acquirer must not keep clean-ups waiting.

        Tokens are tended first: a card that was renewed is charged as it is now.
        """
        while not self._stopping:
            self._may_charge.clear()
            for merchant in self._merchants():
                for do in (self.tend, self.charge):
                    if self._stopping:
                        return
                    try:
                        await do(merchant)
                    except Exception as error:  # one merchant's trouble is not the others'
                        log("worker.fault", level="error", merchant=merchant.id, error=type(error).__name__)
            await self._idle(self._may_charge)

    def _now(self) -> datetime:
        """The clock; after it went back, its latest time and what has really passed since (R-13)."""
        now_s = asyncio.get_running_loop().time()
        self._latest = max(self._latest + timedelta(seconds=now_s - self._latest_s), self._gateway.clock())
        self._latest_s = now_s
        return self._latest

    async def _attempt(self, merchant: Merchant, job: Due, until: datetime) -> None:
        """Try a job that is this worker's until `until`; after that its row is not touched: another one has it."""
        assert job.kind == CLEAN_UP, f"no job is called {job.kind}"
        try:
            is_done = await reversals.clean_up(self._gateway, merchant, job.transaction_id)
        except Exception as error:
            log("job.fault", level="error", job=ids.show(job.id), kind=job.kind, error=type(error).__name__)
            is_done = False
        if is_done:
            done = JobDone(merchant_id=merchant.id, id=job.id, until=until)
            self._overtaken(job, is_ours=await self._gateway.database.write(done))
            return
        wait_s = min(self._first_wait_s * 2 ** min(job.attempts, 30), self._longest_wait_s)
        is_parked = job.attempts + 1 >= MOST_TRIES
        log(
            "job.later",
            level="warning",
            job=ids.show(job.id),
            kind=job.kind,
            attempts=job.attempts + 1,
            parked=is_parked,
        )
        run_at = self._now() + timedelta(seconds=wait_s)
        later = JobLater(merchant_id=merchant.id, id=job.id, until=until, run_at=run_at, parked=is_parked)
        self._overtaken(job, is_ours=await self._gateway.database.write(later))

    @staticmethod
    def _overtaken(job: Due, *, is_ours: bool) -> None:
        if not is_ours:
            log("job.overtaken", level="warning", job=ids.show(job.id), kind=job.kind)

    async def _round(self) -> None:
        settled = {row.id: row.settled_until for row in await self._rows.all()}
        for merchant in self._merchants():
            try:
                await reversals.give_up_orphans(self._gateway, merchant)
                await reversals.expire(self._gateway, merchant)
                after = self._claims_after.get(merchant.id, b"")
                self._claims_after[merchant.id] = await claims.forget(self._gateway, merchant, after)
                cut_at = last_cutoff(merchant.at(self._gateway.clock()), merchant.terms)
                if merchant.id in settled and settled[merchant.id] < cut_at:
                    await settlement.settle(self._gateway, merchant, cut_at)
            except Exception as error:  # one merchant's trouble is not the others'
                log("worker.fault", level="error", merchant=merchant.id, error=type(error).__name__)


async def _nothing(_merchant: Merchant) -> None:
    """Until somebody says what is done."""
