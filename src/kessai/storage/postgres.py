"""The production engine: PostgreSQL through asyncpg, for any number of processes.

Writes that wait become one statement per kind (`together`), in autocommit: one round trip, one commit. Each write
connection has one batch under way. While the database is away everybody is told so at once, and connections are
made again in the background (F20, F22).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from kessai.storage import database, readiness
from kessai.storage.database import (
    CommitUnknown,
    DatabaseError,
    Failure,
    Kind,
    Overloaded,
    Query,
    Row,
    T,
    Unavailable,
    Unsafe,
    Values,
    Write,
    load_queries,
)
from kessai.storage.failures import failure_of
from kessai.storage.group import Linger, Waiting, deliver, until_settled
from kessai.storage.lane import IMPATIENT_LOCK_MS, LOCK_MS, Lane
from kessai.storage.together import MOST, Then, Together, merchant_of, place_of, plan_of

RECONNECT_S: Final = 0.25
PROBE_S: Final = 0.25
APART_S: Final = 1.0
"""How long the writes of a batch that failed may take one by one, all together."""
TRIES: Final = 6
"""Of a lone write that lost a race which its statement could not see."""
CANNOT_CONNECT: Final = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@dataclass(slots=True)
class _Queued(Waiting):
    plan: Together[Any] = field(kw_only=True)
    touches: frozenset[Hashable] = field(kw_only=True)


class Postgres:
    """A `Database` on a server."""

    kind: Kind = "postgres"
    token_changes = None
    is_gone = False

    def __init__(
        self, url: str, *, pooled: bool = False, distributed: bool = False, writers: int = 2, readers: int = 3
    ):
        """Use `open`. `pooled`: behind a transaction pooler. `distributed`: a batch holds one merchant's writes."""
        self.queries = load_queries("postgres")
        self.weaknesses: tuple[str, ...] = ()
        self._url = url
        self._pooled = pooled
        self._distributed = distributed
        self._writers = [self._lane() for _ in range(writers)]
        self._readers = [self._lane() for _ in range(readers)]
        self._waiting: list[_Queued] = []
        self.observe: Callable[[int, float], None] = lambda _writes, _seconds: None
        self._reading: deque[asyncio.Future[Lane]] = deque()
        self._under_way: set[Hashable] = set()
        self._sent: dict[Lane, list[_Queued]] = {}
        self._linger = Linger(lambda: len(self._waiting), MOST, self._dispatch)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_down = asyncio.Event()

    def _lane(self) -> Lane:
        return Lane(self._url, self.queries, pooled=self._pooled, on_down=self._went_down)

    @classmethod
    async def open(
        cls, url: str, *, pooled: bool = False, distributed: bool = False, may_lose: bool = False, limit_s: float = 10.0
    ) -> "Postgres":
        """Connect, check the server, bring the schema up to date. Unsafe; Unavailable."""
        engine = cls(url, pooled=pooled, distributed=distributed)
        try:
            async with asyncio.timeout(limit_s):
                engine.weaknesses = await readiness.make_ready(url, pooled=pooled)
                if engine.weaknesses and not may_lose:
                    raise Unsafe(engine.weaknesses[0])
                for lane in engine._lanes:
                    await lane.open()
        except CANNOT_CONNECT as error:
            await engine.close()
            raise Unavailable(f"the database cannot be reached: {_told(error)}") from None
        except BaseException:
            await engine.close()
            raise
        engine._keeper = asyncio.get_running_loop().create_task(engine._keep())
        return engine

    @property
    def _lanes(self) -> list[Lane]:
        return self._writers + self._readers

    @property
    def fault(self) -> str | None:
        down = sum(not lane.is_up for lane in self._lanes)
        return f"{down} of {len(self._lanes)} connections to the database are down" if down else None

    # ---- reading

    async def read(self, query: str, values: Values) -> list[Row]:
        return await self._read(query, values)

    async def ask(self, sql: str, values: Sequence[object]) -> list[Row]:
        names = tuple(map(str, range(len(values))))
        return await self._read(Query(sql, names), dict(zip(names, values, strict=True)))

    async def _read(self, query: str | Query, values: Values) -> list[Row]:
        lane = await self._reader()
        try:
            return await lane.run(query, values)
        except Exception as error:
            raise self._read_failed(lane, error) from error
        finally:
            self._is_free(lane)

    async def _reader(self) -> Lane:
        for lane in self._readers:
            if lane.is_idle and lane.is_up:
                lane.is_idle = False
                return lane
        if self._is_closing or not any(lane.is_up for lane in self._readers):
            raise Unavailable("the database cannot be reached")
        if len(self._reading) >= database.MOST_WAITING:
            raise Overloaded("too many reads wait for the database")
        future: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
        self._reading.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._is_free(future.result())
            raise

    def _is_free(self, lane: Lane) -> None:
        """A connection has nothing to do: whoever waits gets it."""
        if lane in self._writers:
            lane.is_idle = True
            if self._waiting:
                self._linger.schedule()
            return
        while self._reading and lane.is_up:
            future = self._reading.popleft()
            if not future.done():
                future.set_result(lane)
                return
        lane.is_idle = True

    @staticmethod
    def _read_failed(lane: Lane, error: Exception) -> Exception:
        if isinstance(error, DatabaseError):
            return Unavailable(str(error))
        failure = failure_of(error)
        if failure is Failure.UNKNOWN:
            lane.drop()
        return error if failure is Failure.BUG else Unavailable(f"the database cannot be read: {type(error).__name__}")

    # ---- writing

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def write(self, write: Write[T]) -> T:
        if self._is_closing or not any(lane.is_up for lane in self._writers):
            raise Unavailable("the database cannot be reached")
        if len(self._waiting) >= database.MOST_WAITING and getattr(write, "may_be_refused", False):
            raise Overloaded("too many writes wait for the database")
        plan = plan_of(write)
        touches = frozenset(plan.touches(write))
        if self._distributed:
            touches |= {("merchant", merchant_of(write))} if plan.most == 1 else set()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        place = 0 if plan.goes_first else len(self._waiting)
        self._waiting.insert(place, _Queued(write, future, plan=plan, touches=touches))
        self._linger.schedule()
        result = await future
        if isinstance(result, Then):  # what the holder of a claim was told: found by a write that locks
            told = await self.write(result.write)
            return result.otherwise if told is None else told  # type: ignore[return-value]
        return result

    async def settled(self) -> None:
        await until_settled(lambda: [*self._waiting, *(one for batch in self._sent.values() for one in batch)])

    def _dispatch(self) -> None:
        """Give batches to the connections that have none."""
        for lane in self._writers:
            if not (lane.is_idle and lane.is_up):
                continue
            batch = self._take()
            if not batch:
                return
            lane.is_idle = False
            self._background(self._commit(lane, batch))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[_Queued]:
        """The next batch: writes of one kind, none of which touches what another one touches."""
        batch: list[_Queued] = []
        later: list[_Queued] = []
        under_way = self._under_way
        plan: Together[Any] | None = None
        for one in self._waiting:
            fits = plan is None or (one.plan is plan and len(batch) < plan.most and self._is_neighbour(batch[0], one))
            if fits and under_way.isdisjoint(one.touches):
                plan = one.plan
                under_way |= one.touches
                batch.append(one)
            else:
                later.append(one)
        self._waiting = later
        return batch

    def _is_neighbour(self, first: _Queued, other: _Queued) -> bool:
        return not self._distributed or merchant_of(first.write) == merchant_of(other.write)

    async def _commit(self, lane: Lane, batch: list[_Queued]) -> None:
        batch.sort(key=lambda one: place_of(one.write))
        self._sent[lane] = batch
        results: Sequence[object]
        try:
            results = await self._together(lane, batch[0].plan, [one.write for one in batch])
        except Exception as bug:  # rows that mean nothing: the commit may stand, and nobody may wait for ever
            lane.drop()
            results = [CommitUnknown(f"the answer could not be read: {type(bug).__name__}")] * len(batch)
        for one in batch:
            self._under_way -= one.touches
        del self._sent[lane]
        deliver(batch, results)
        self._is_free(lane)

    async def _together(
        self, lane: Lane, plan: Together[Any], writes: Sequence[Write[Any]], lock_ms: int = LOCK_MS
    ) -> Sequence[object]:
        """Results in order; an exception in a place means that this write was not done, or may not have been."""
        begun = time.perf_counter()
        try:
            rows = await lane.run(plan.query, plan.values(writes), lock_ms=lock_ms)
        except Unavailable as error:
            return [error] * len(writes)
        except CommitUnknown as error:
            return [error] * len(writes)
        except Exception as error:
            failure = failure_of(error)
            if failure is Failure.UNKNOWN:
                lane.drop()
                return [CommitUnknown(f"the database may have done it: {type(error).__name__}")] * len(writes)
            if failure is Failure.NOT_DONE:
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    lane.drop()  # another server is the primary now
                return [Unavailable(f"the database cannot write now: {type(error).__name__}")] * len(writes)
            if len(writes) == 1 and isinstance(error, asyncpg.LockNotAvailableError | asyncpg.QueryCanceledError):
                return [Unavailable("somebody else has its rows")]
            if len(writes) == 1:
                return [await self._again(lane, plan, writes[0], error, lock_ms)]
            return await self._apart(lane, plan, writes)
        self.observe(len(writes), time.perf_counter() - begun)
        return plan.results(rows, writes)

    async def _apart(self, lane: Lane, plan: Together[Any], writes: Sequence[Write[Any]]) -> Sequence[object]:
        """One of them is bad, lost a race, or wants rows that somebody has: the others must not suffer.

        Nor may those behind them: each waits a moment for its rows only, and what has not begun when the time for all
        is over is told so.
        """
        end = time.monotonic() + APART_S
        results: list[object] = []
        for write in writes:
            if time.monotonic() < end:
                results += await self._together(lane, plan, [write], IMPATIENT_LOCK_MS)
            else:
                results.append(Unavailable("too many wait for rows that somebody else has"))
        return results

    async def _again(
        self, lane: Lane, plan: Together[Any], write: Write[Any], error: Exception, lock_ms: int
    ) -> object:
        """A lone write after an error that undid it."""
        for turn in range(TRIES):
            failure = failure_of(error)
            if failure is Failure.UNKNOWN:
                lane.drop()
                return CommitUnknown(f"the database may have done it: {type(error).__name__}")
            if failure is Failure.BUG:
                return error
            if failure is Failure.NOT_DONE:
                break
            if plan.raced is not None and isinstance(error, asyncpg.DivisionByZeroError):
                return plan.raced()
            await asyncio.sleep(0.005 * 2**turn if turn else 0)
            try:
                return plan.results(await lane.run(plan.query, plan.values([write]), lock_ms=lock_ms), [write])[0]
            except DatabaseError as known:
                return known
            except Exception as other:
                error = other
        return Unavailable(f"the database cannot write now: {type(error).__name__}")

    # ---- connections

    def _went_down(self, has_hung: bool) -> None:
        """A connection is gone. Where it was the last one, nobody waits for another."""
        self._is_down.set()
        if has_hung:
            for lane in self._lanes:
                if lane.is_idle and lane.is_up:
                    lane.is_idle = False
                    self._background(self._probe(lane))
        if not any(lane.is_up for lane in self._writers):
            waiting, self._waiting = self._waiting, []
            deliver(waiting, [Unavailable("the database cannot be reached")] * len(waiting))
        if not any(lane.is_up for lane in self._readers):
            while self._reading:
                future = self._reading.popleft()
                if not future.done():
                    future.set_exception(Unavailable("the database cannot be reached"))

    async def _keep(self) -> None:
        """Make connections again that went down."""
        while True:
            await self._is_down.wait()
            self._is_down.clear()
            down = [lane for lane in self._lanes if not lane.is_up]
            await asyncio.gather(*map(self._reopen, down))
            if any(not lane.is_up for lane in self._lanes):
                self._is_down.set()
            await asyncio.sleep(RECONNECT_S)

    async def _probe(self, lane: Lane) -> None:
        """Another connection hung: this one has a moment to show that the database as a whole does not."""
        with suppress(Exception):
            await lane.run("is_alive", {}, PROBE_S)
        self._is_free(lane)

    async def _reopen(self, lane: Lane) -> None:
        with suppress(Exception):  # whatever it is, it is tried again
            await lane.open()
            if lane.is_idle:
                self._is_free(lane)

    async def close(self) -> None:
        """Commit what waits, then end every session."""
        while self._waiting or self._tasks or self._linger.is_scheduled:
            if self._tasks:
                await asyncio.wait(self._tasks)
            await asyncio.sleep(0)
        self._is_closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        while self._reading:
            future = self._reading.popleft()
            if not future.done():
                future.set_exception(Unavailable("the database is being closed"))


def _told(error: BaseException) -> str:
    """An error of connecting, without the address, which may hold a password."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).splitlines()[0] if isinstance(error, asyncpg.PostgresError) else type(error).__name__
