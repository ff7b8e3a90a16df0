"""The embedded database behind one small interface: reads by name, and writes that are committed in groups.

A `Write` is a value that knows its statements. Every write that waits when a turn of the event loop ends goes into one
durable commit: the more callers, the fewer syncs. A write that fails is taken out and its neighbours are committed
without it. A commit that fails has an unknown outcome: its writers are told so, the connection is closed and another
one opened, and the rows tell what happened.

SQLite through apsw: WAL, synchronous FULL, one writing process (a lock file), reads on a connection of their own,
checkpoints in a thread. Commits run in the event loop while a sync is fast, in a thread where it is not.

    DatabaseError
    ├── InUse         another process has the writer's lock
    ├── Unsafe        the engine or file cannot keep the promises
    ├── Unavailable   nothing of this write was done, and it may work in a moment
    │   └── Overloaded  too many writes wait
    └── CommitUnknown a commit failed: the rows may or may not be there
"""

import asyncio
import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import apsw

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
Row = tuple[Any, ...]
Values = Mapping[str, object]
Run = Callable[[str, Values], list[Row]]
"""Run a named query inside a write: its rows."""

OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can lose committed pages when a checkpoint races a commit."""
SLOW_SYNC_S: Final = 0.001
MOST_WRITES: Final = 512
"""In one commit; more wait for the next."""
MOST_WAITING: Final = 20_000
"""Writes that may wait; over it the gateway says so at once (R-12)."""
RESTART_WAL_BYTES: Final = 64 * 1024 * 1024


class DatabaseError(Exception):
    """The world is broken; see the tree in the module's docstring."""


class InUse(DatabaseError):
    pass


class Unsafe(DatabaseError):
    pass


class CommitUnknown(DatabaseError):
    pass


class Unavailable(DatabaseError):
    pass


class Overloaded(Unavailable):
    """More writes wait than `MOST_WAITING`; nothing of this one was done."""


class Failure(Enum):
    """What an error before the commit means for the write that met it (R-8)."""

    BUG = "bug"
    """The statement is wrong, and will be wrong again."""
    NOT_DONE = "not done"
    """Rolled back whole; the same write may work later."""


_BUGS: Final = """
ThreadingViolationError IncompleteExecutionError BindingsError ExecutionCompleteError ExecTraceAbort
ExtensionLoadingError ConnectionNotClosedError ConnectionClosedError CursorClosedError VFSNotImplementedError
VFSFileClosedError ForkingViolationError NoFTS5Error InvalidContextError SQLError MismatchError NotFoundError
MisuseError RangeError AuthError SchemaChangeError ConstraintError TooBigError NoLFSError EmptyError
"""
_NOT_DONE: Final = """
InternalError ProtocolError PermissionsError ReadOnlyError CantOpenError AbortError BusyError LockedError
InterruptError NoMemError IOError CorruptError FullError FormatError NotADBError
"""
FAILURES: Final[Mapping[str, Failure]] = dict.fromkeys(_BUGS.split(), Failure.BUG) | dict.fromkeys(
    _NOT_DONE.split(), Failure.NOT_DONE
)
"""Every error of the engine before a commit. Out of a commit each one is a `CommitUnknown`."""


def failure_of(error: BaseException) -> Failure:
    """The class of an error that came before a commit."""
    return FAILURES.get(type(error).__name__, Failure.BUG) if isinstance(error, apsw.Error) else Failure.BUG


class Write(Protocol[T_co]):
    """Statements that belong together. Conditions are in their `WHERE`; losing a race is a result, not an error.

    A write with `may_be_refused` set is turned away while too many wait; an outcome never is.
    """

    def apply(self, run: Run) -> T_co: ...


class Database(Protocol):
    """What every engine offers."""

    async def write(self, write: Write[T]) -> T:
        """Apply a write durably; returns after its commit."""
        ...

    async def read(self, query: str, values: Values) -> list[Row]:
        """Rows of a named query, from committed state."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Query:
    """A named query with its parameters in the order of their places."""

    sql: str
    names: tuple[str, ...]

    def bind(self, values: Values) -> tuple[object, ...]:
        return tuple(map(values.__getitem__, self.names))


_NAME: Final = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")


def load_queries() -> dict[str, Query]:
    """Every named query of `sql/*.sql`."""
    queries: dict[str, Query] = {}
    for file in sorted((files("kessai.storage") / "sql").iterdir(), key=lambda file: file.name):
        parts = _NAME.split(file.read_text("utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            assert name not in queries, f"two queries are named {name}"
            sql = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip().rstrip(";")
            queries[name] = Query(_PARAMETER.sub("?", sql), tuple(_PARAMETER.findall(sql)))
    return queries


def migrations() -> list[tuple[int, str]]:
    """Numbered forward migrations, oldest first."""
    folder = files("kessai.storage") / "migrations"
    found = [(int(file.name[:4]), file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)


def for_sqlite(script: str) -> str:
    """A shared script in SQLite's words: narrow tables are kept in key order."""
    return script.replace(") /*clustered*/;", ") WITHOUT ROWID;")


def migrate(connection: apsw.Connection, script_list: Iterable[tuple[int, str]]) -> None:
    """Bring a database file up to the newest schema. Unsafe when its schema is newer than this code."""
    steps = list(script_list)
    version = int(connection.pragma("user_version") or 0)
    if version > steps[-1][0]:
        raise Unsafe(f"the database has schema {version}; this version of Kessai knows {steps[-1][0]} at most")
    for number, script in steps:
        if number > version:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(for_sqlite(script))
            connection.pragma("user_version", number)
            connection.execute("COMMIT")


_APPEND_ONLY: Final = frozenset({"entries", "events"})


def _guard(action: int, table: str | None, _1: str | None, _2: str | None, _3: str | None) -> int:
    """SQLite asks before it prepares a statement: the books and the history take additions only."""
    changes = action in (apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
    return apsw.SQLITE_DENY if changes and table in _APPEND_ONLY else apsw.SQLITE_OK


def connect(path: Path, *, guarded: bool = True) -> apsw.Connection:
    """A connection with every safety on; `guarded` keeps it from changing what is append-only."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5_000)
    for name, value in (
        ("page_size", 8192),
        ("journal_mode", "wal"),
        ("synchronous", "full"),
        ("foreign_keys", "on"),
        ("trusted_schema", "off"),
        ("wal_autocheckpoint", 0),
        ("fullfsync", "on"),
        ("checkpoint_fullfsync", "on"),
    ):
        connection.execute(f"PRAGMA {name} = {value}")
    if guarded:
        connection.authorizer = _guard
    return connection


class Lock:
    """The writer's lock of a data folder: one process holds it; the kernel lets go of it when the holder dies."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InUse(f"another Kessai is using the folder {folder}") from None

    def release(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class _Waiting:
    write: Write[Any]
    future: "asyncio.Future[Any]"


class Sqlite:
    """The embedded database; a `Database`."""

    def __init__(self, folder: Path) -> None:
        """Open (and create or migrate) the database of a folder. InUse, Unsafe; OSError where the folder is no use."""
        self._lock = Lock(folder)
        try:
            self.path = folder / "kessai.db"
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its log takes the same mode
            self.queries = load_queries()
            self._open()
            migrate(self._writer, migrations())
            self._check()
        except BaseException:
            self._lock.release()
            raise
        self._reader = connect(self.path)
        found = self.path.stat()
        self._identity = (found.st_dev, found.st_ino)
        self.is_gone = False
        """Whether somebody removed or replaced the file: what is written now would be lost."""
        self.fault: str | None = None
        """Why the last checkpoint failed; None where it did not."""
        self._waiting: list[_Waiting] = []
        self._seen = 0
        self._scheduled = False
        self._committing = False
        self._executor = ThreadPoolExecutor(1, "commit") if self._sync_seconds() > SLOW_SYNC_S else None
        self._stop = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True)
        self._checkpointer.start()
        self._idle: asyncio.Event | None = None

    def _open(self) -> None:
        self._writer = connect(self.path)
        self._is_dropped = False
        self._cursor = self._writer.cursor()  # one for all statements: a fresh one costs as much as a small insert

    def _check(self) -> None:
        version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if version < OLDEST_SQLITE:
            raise Unsafe(f"SQLite {apsw.sqlite_lib_version()} can lose committed pages; at least 3.51.3 is needed")
        if self._writer.pragma("journal_mode") != "wal" or self._writer.pragma("synchronous") != 2:
            raise Unsafe("the database file cannot be kept in WAL mode with full synchronization")

    def _sync_seconds(self) -> float:
        """The median time of a sync on this folder's disk."""
        probe = os.open(self.path.with_suffix(".probe"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            times = []
            for _ in range(9):
                os.write(probe, b"x" * 4096)
                begun = time.perf_counter()
                os.fsync(probe)
                times.append(time.perf_counter() - begun)
            return sorted(times)[4]
        finally:
            os.close(probe)
            self.path.with_suffix(".probe").unlink(missing_ok=True)

    # ---- reading

    async def read(self, query: str, values: Values) -> list[Row]:
        known = self.queries[query]
        return self._reader.execute(known.sql, known.bind(values)).fetchall()

    # ---- writing

    async def write(self, write: Write[T]) -> T:
        if self.is_gone:
            raise Unavailable("the database file was removed or replaced")
        if len(self._waiting) >= MOST_WAITING and getattr(write, "may_be_refused", False):
            raise Overloaded("too many writes wait for the disk")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(write, future))
        if not self._scheduled and not self._committing:
            self._scheduled = True
            self._seen = 0
            loop.call_soon(self._turn, loop)
        return await future

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """A turn of the loop has passed: commit when it brought nothing new, wait for the next when it did."""
        waiting = len(self._waiting)
        if waiting > self._seen and waiting < MOST_WRITES:
            self._seen = waiting
            loop.call_soon(self._turn, loop)
            return
        self._scheduled = False
        batch, self._waiting = self._waiting[:MOST_WRITES], self._waiting[MOST_WRITES:]
        if self._executor is None:
            self._deliver(batch, self._commit([one.write for one in batch]))
        else:
            self._committing = True
            pending = loop.run_in_executor(self._executor, self._commit, [one.write for one in batch])
            pending.add_done_callback(lambda done: self._delivered(loop, batch, done.result()))
            return
        self._next(loop)

    def _delivered(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], results: list[object]) -> None:
        self._committing = False
        self._deliver(batch, results)
        self._next(loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._seen = 0
            loop.call_soon(self._turn, loop)
        elif self._idle is not None:
            self._idle.set()

    @staticmethod
    def _deliver(batch: list[_Waiting], results: list[object]) -> None:
        for one, result in zip(batch, results, strict=True):
            if one.future.done():  # its caller has gone; the rows are there all the same
                continue
            if isinstance(result, BaseException):
                one.future.set_exception(result)
            else:
                one.future.set_result(result)

    def _commit(self, writes: list[Write[Any]]) -> list[object]:
        """Results in order; an exception in a place means that this write was not done, or may not have been."""
        try:
            return self._together(writes)
        except CommitUnknown as unknown:
            return [unknown] * len(writes)
        except Exception as error:
            if len(writes) == 1:
                if failure_of(error) is Failure.NOT_DONE:
                    return [Unavailable(f"the database cannot write now: {type(error).__name__}")]
                return [error]
        return [self._commit([write])[0] for write in writes]  # one is bad: the others must not suffer (rule 6)

    def _together(self, writes: list[Write[Any]]) -> list[object]:
        if self._is_dropped:
            self._open()
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            results = [write.apply(self._run) for write in writes]
        except BaseException:
            if writer.in_transaction:  # a full disk and the like have rolled it back already
                writer.execute("ROLLBACK")
            raise
        try:
            writer.execute("COMMIT")
        except apsw.Error as error:
            self._drop_writer()
            raise CommitUnknown(f"a commit failed: {type(error).__name__}") from error
        return results

    def _run(self, query: str, values: Values) -> list[Row]:
        known = self.queries[query]
        return self._cursor.execute(known.sql, known.bind(values)).fetchall()

    def _drop_writer(self) -> None:
        """After a failed commit nothing that the connection believes can be trusted (R-7): the next write opens one."""
        self._is_dropped = True
        with contextlib.suppress(apsw.Error):
            self._writer.close(True)

    # ---- the rest

    def _checkpoint(self) -> None:
        connection = connect(self.path)
        wal = self.path.with_name(self.path.name + "-wal")
        while not self._stop.wait(1.0):
            try:
                large = wal.stat().st_size > RESTART_WAL_BYTES
                mode = apsw.SQLITE_CHECKPOINT_RESTART if large else apsw.SQLITE_CHECKPOINT_PASSIVE
                connection.wal_checkpoint(mode=mode)
            except (apsw.Error, OSError) as error:
                self.fault = None if isinstance(error, apsw.BusyError | apsw.LockedError) else type(error).__name__
                continue
            self.fault = None
            self.is_gone = not self._is_in_place()
        connection.close()

    def _is_in_place(self) -> bool:
        """Whether the file that is open is still the one in the folder."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    async def close(self) -> None:
        """Commit what waits, fold the log into the file, let go of the lock."""
        while self._waiting or self._committing or self._scheduled:
            self._idle = asyncio.Event()
            await self._idle.wait()
        self._stop.set()
        self._checkpointer.join()
        if self._executor is not None:
            self._executor.shutdown()
        self._reader.close()
        with contextlib.suppress(apsw.Error):  # busy or full: the log stays beside the file, and is read at the start
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._writer.close(True)
        self._lock.release()
