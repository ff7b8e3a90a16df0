"""Indexing: transactions come to be found by what they carry, about a second behind the road. Time starts this.

    indexed   every id up to here was looked at once, a second after it was made
    swept     every id up to here was looked at once more, `SWEEP_S` later: whatever was committed late is found
    again     then all of them in turn, slowly, for as long as the process lives
    open      what was indexed without an outcome is written again when it has one

Marks are rows and move in the commit of what was indexed, so a crash repeats a batch and loses nothing. One process at
a time holds a merchant's mark; that two write the same does no harm (`storage.indexing`). While payments keep the
process busy this takes a small share of it and falls behind; what is waiting is indexed when there is room.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final

from kessai import ids
from kessai.gateway import Gateway
from kessai.log import log
from kessai.payment.lifecycle import Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.search import Facets
from kessai.storage.indexing import START, HoldMark, Index, Indexable, IndexRow, IndexRows, Mark
from kessai.storage.searches import ForgetSearches

BEHIND_S: Final = 1.0
"""How old an id is when it is first looked at: its commits are done by then, as a rule."""
SWEEP_S: Final = 30.0
"""How old it is when it is looked at again: longer than any commit takes, and than clocks of machines differ."""
IDLE_S: Final = 0.5
BATCH: Final = 64
"""Transactions in one commit: the road waits for no more than these."""
SWEPT: Final = 1_000
"""Ids that are looked at again in one go."""
AGAIN_EVERY_S: Final = 10.0
HELD_S: Final = 10.0
"""How long a mark is held without being renewed; then another process takes it."""
BUSY: Final = 0.5
"""The share of a core above which the process has other things to do."""
MANY: Final = 8
"""Exchanges under way above which it has, too: where others take the processor, its own share tells little."""
SHARE_BUSY, SHARE_IDLE = 0.02, 0.5
"""The share of time that indexing takes then, and else."""
SEARCHES_KEPT: Final = timedelta(hours=24)
"""How long a search is kept that was not saved."""

Describe = Callable[[Indexable], Facets | None]
"""What a transaction is found by, in the dialect's reading; None for one that is shown to nobody."""


class Indexer:
    """Indexes the transactions of every merchant, in this process."""

    def __init__(self, gateway: Gateway, merchants: Callable[[], Iterable[Merchant]], describe: Describe) -> None:
        self._gateway = gateway
        self._merchants = merchants
        self._describe = describe
        self._index = Index(gateway.database)
        self._stopping = asyncio.Event()
        self._open_after: dict[str, int] = {}
        self._again_after: dict[str, int] = {}
        self._held_until_s: dict[str, float] = {}
        self._again_at = 0.0
        self._forgotten_at = 0.0
        self._load = _Load()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.round()
            except Exception as error:  # the database may be gone for a while
                log("indexing.fault", level="error", error=type(error).__name__)
            await self._pause(IDLE_S)

    async def round(self, behind_s: float = BEHIND_S, sweep_s: float = SWEEP_S) -> None:
        """Index everything of every merchant that is due: older than `behind_s`, and again, than `sweep_s`."""
        now_s = time.monotonic()
        is_again = now_s >= self._again_at
        is_time_to_forget = now_s >= self._forgotten_at + 600
        for merchant in self._merchants():
            try:
                while await self._advance(merchant.id, behind_s):
                    if self._stopping.is_set():
                        return
                await self._conclude(merchant.id)
                if is_again:
                    while await self._sweep(merchant.id, sweep_s):
                        if self._stopping.is_set():
                            return
                    await self._once_more(merchant.id)
                if is_time_to_forget:
                    await self.forget(merchant.id)
            except Exception as error:  # one merchant's trouble is not the others'
                log("indexing.fault", level="error", merchant=merchant.id, error=type(error).__name__)
        if is_again:
            self._again_at = time.monotonic() + AGAIN_EVERY_S
        if is_time_to_forget:
            self._forgotten_at = now_s

    # ---- one merchant

    async def forget(self, merchant_id: str) -> None:
        """Forget searches that were not saved."""
        before = self._gateway.clock() - SEARCHES_KEPT
        await self._gateway.database.write(ForgetSearches(merchant_id, before))

    async def _advance(self, merchant_id: str, behind_s: float) -> bool:
        """Index the next transactions. Whether there may be more."""
        begun = time.perf_counter()
        mark = await self._index.mark(merchant_id)
        page = await self._index.page(merchant_id, mark.indexed, self._before(behind_s), BATCH)
        if not page or not await self._hold(merchant_id):
            return False
        await self._write(merchant_id, page, Mark(indexed=page[-1].transaction.id))
        await self._rest(time.perf_counter() - begun)
        return len(page) == BATCH

    async def _conclude(self, merchant_id: str) -> None:
        """Index again what has an outcome now."""
        after = self._open_after.get(merchant_id, 0)
        concluded, self._open_after[merchant_id] = await self._index.concluded(merchant_id, after, SWEPT)
        await self._index_ids(merchant_id, concluded, START)

    async def _sweep(self, merchant_id: str, sweep_s: float) -> bool:
        """Look again at what was indexed a while ago. Whether there may be more."""
        mark = await self._index.mark(merchant_id)
        last = min(mark.indexed, self._before(sweep_s))
        if mark.swept >= last:
            return False
        begun = time.perf_counter()
        missing, seen = await self._index.missing(merchant_id, mark.swept, last, SWEPT)
        if not await self._hold(merchant_id):
            return False
        await self._index_ids(merchant_id, missing, Mark(swept=last if seen is None else seen))
        await self._rest(time.perf_counter() - begun)
        return seen is not None

    async def _once_more(self, merchant_id: str) -> None:
        """Look at the next of everything that was swept."""
        mark = await self._index.mark(merchant_id)
        after = self._again_after.get(merchant_id, 0)
        missing, seen = await self._index.missing(merchant_id, after, mark.swept, SWEPT)
        self._again_after[merchant_id] = seen or 0
        await self._index_ids(merchant_id, missing, START)

    async def _index_ids(self, merchant_id: str, wanted: Sequence[int], mark: Mark) -> None:
        """Index transactions one by one; the mark moves with the last of them."""
        for start in range(0, len(wanted), BATCH):
            some = wanted[start : start + BATCH]
            found: list[Indexable] = []
            for identifier in some:
                found += await self._index.page(merchant_id, identifier - 1, identifier, 1)
            await self._write(merchant_id, found, START)
        if mark != START:
            await self._write(merchant_id, (), mark)

    async def _write(self, merchant_id: str, found: Sequence[Indexable], mark: Mark) -> None:
        rows = [row for each in found if (row := self._row(each)) is not None]
        if rows or mark != START:
            await self._gateway.database.write(IndexRows(merchant_id=merchant_id, rows=rows, mark=mark))

    def _row(self, found: Indexable) -> IndexRow | None:
        facets = self._describe(found)
        transaction: Transaction = found.transaction
        if facets is None:
            return None
        return IndexRow(transaction.id, transaction.requested_at, transaction.is_open, facets)

    async def _hold(self, merchant_id: str) -> bool:
        """Whether the mark is ours; asked again when half of the time is over."""
        now_s = time.monotonic()
        if now_s < self._held_until_s.get(merchant_id, 0.0):
            return True
        now = self._gateway.clock()
        until = now + timedelta(seconds=HELD_S)
        hold = HoldMark(merchant_id=merchant_id, holder=self._gateway.lease, now=now, until=until)
        if not await self._gateway.database.write(hold):
            return False
        self._held_until_s[merchant_id] = now_s + HELD_S / 2
        return True

    def _before(self, seconds: float) -> int:
        """The id that would have been made so long ago."""
        return ids.first_of(ids.made_at(self._gateway.new_id()) - timedelta(seconds=seconds))

    # ---- sharing the process

    async def _rest(self, spent_s: float) -> None:
        is_busy = self._load.others(spent_s) > BUSY or len(self._gateway.under_way) > MANY
        share = SHARE_BUSY if is_busy else SHARE_IDLE
        await self._pause(min(spent_s * (1 / share - 1), 2.0))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


class _Load:
    """How busy this process is with other things: CPU time over time, of the last stretch."""

    def __init__(self) -> None:
        self._wall_s = time.monotonic()
        self._cpu_s = time.process_time()
        self._own_s = 0.0
        self._share = 0.0

    def others(self, spent_s: float) -> float:
        """The share of a core that others took lately; `spent_s` were spent here since the last call."""
        self._own_s += spent_s
        wall_s = time.monotonic() - self._wall_s
        if wall_s >= 0.25:
            cpu_s = time.process_time() - self._cpu_s
            self._share = max(0.0, cpu_s - self._own_s) / wall_s
            self._wall_s, self._cpu_s, self._own_s = time.monotonic(), time.process_time(), 0.0
        return self._share
