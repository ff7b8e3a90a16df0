"""The embedded engine: SQLite through apsw, one writing process on one folder.

WAL, synchronous FULL, a lock file, reads on a connection of their own, checkpoints in a thread. Commits run in the
event loop while a sync is fast, in a thread where it is not.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import apsw

from kessai.storage import database
from kessai.storage.database import (
    CommitUnknown,
    Failure,
    InUse,
    Kind,
    Overloaded,
    Row,
    T,
    Unavailable,
    Unsafe,
    Values,
    Write,
    load_queries,
    migrations,
)
from kessai.storage.group import Linger, Waiting, deliver, until_settled
from kessai.storage.indexing import IndexRows
from kessai.storage.writes import Begin, Finish, NotAll, begin_all, finish_all

OLDEST_SQLITE: Final = (3, 51, 3)
"""Older ones can lose committed pages when a checkpoint races a commit."""
SLOW_SYNC_S: Final = 0.001
MOST_WRITES: Final = 512
"""In one commit; more wait for the next."""
RESTART_WAL_BYTES: Final = 64 * 1024 * 1024
CHECKPOINT_EVERY_S: Final = 0.1
"""Little and often: a commit's sync waits for what a checkpoint has just written. Once a second is felt by the 99th
percentile."""

_BUGS: Final = """
ThreadingViolationError IncompleteExecutionError BindingsError ExecutionCompleteError ExecTraceAbort
ExtensionLoadingError ConnectionNotClosedError ConnectionClosedError CursorClosedError VFSNotImplementedError
VFSFileClosedError ForkingViolationError NoFTS5Error InvalidContextError SQLError MismatchError NotFoundError
MisuseError RangeError AuthError SchemaChangeError ConstraintError TooBigError NoLFSError EmptyError
"""
"""Names of apsw's exceptions, as the library spells them."""
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


_OPEN: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
with contextlib.suppress(apsw.MisuseError):  # somebody has opened a database already: it counts its memory then
    apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)


def connect(path: Path, *, guarded: bool = True) -> apsw.Connection:
    """A connection with every safety on; `guarded` keeps it from changing what is append-only."""
    # Each connection is one thread's at a time, as apsw makes sure: the library's own mutexes are not needed.
    connection = apsw.Connection(str(path), flags=_OPEN)
    connection.set_busy_timeout(5_000)
    for name, value in (
        ("page_size", 4096),
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


NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "davfs", "fuse.davfs2", "beegfs"}
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def weaknesses(folder: Path, mounts: str | None = None) -> tuple[str, ...]:
    """What a folder's file system cannot promise (R-20); `mounts` as in `/proc/self/mountinfo`."""
    if mounts is None:
        mounts = _MOUNTS.read_text("utf-8", "replace") if _MOUNTS.exists() else ""
    found = (Path("/"), "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        point = Path(words[4].replace("\\040", " "))
        if folder.resolve().is_relative_to(point) and len(point.parts) >= len(found[0].parts):
            found = (point, after.split()[0])
    if found[1] in NETWORK_FILE_SYSTEMS:
        return (f"the folder {folder} is on a network file system ({found[1]}), whose syncs cannot be trusted",)
    return ()


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


class Sqlite:
    """The embedded database; a `Database`."""

    kind: Kind = "sqlite"

    def __init__(self, folder: Path, *, may_lose: bool = False) -> None:
        """Open (and create or migrate) the database of a folder. InUse, Unsafe; OSError where the folder is no use.

        `may_lose` lets a folder through that other machines' caches stand before.
        """
        self._lock = Lock(folder)
        try:
            self.path = folder / "kessai.db"
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its log takes the same mode
            self.queries = load_queries()
            self.weaknesses = weaknesses(folder)
            if self.weaknesses and not may_lose:
                raise Unsafe(self.weaknesses[0])
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
        self.token_changes = 0
        """Commits that changed tokens, or may have, since this process began: nobody else writes here."""
        self._changes_tokens = False
        self._waiting: list[Waiting] = []
        self.observe: Callable[[int, float], None] = lambda _writes, _seconds: None
        self._linger = Linger(lambda: len(self._waiting), MOST_WRITES, self._commit_waiting)
        self._committing = False
        self._under_way: list[Waiting] = []
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

    async def ask(self, sql: str, values: Sequence[object]) -> list[Row]:
        return self._reader.execute(sql, tuple(values)).fetchall()

    # ---- writing

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def write(self, write: Write[T]) -> T:
        if self.is_gone:
            raise Unavailable("the database file was removed or replaced")
        if len(self._waiting) >= database.MOST_WAITING and getattr(write, "may_be_refused", False):
            raise Overloaded("too many writes wait for the disk")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(write, future))
        if not self._committing:
            self._linger.schedule()
        return await future

    def _commit_waiting(self) -> None:
        batch, self._waiting = self._waiting[:MOST_WRITES], self._waiting[MOST_WRITES:]
        if self._executor is None:
            self._deliver(batch, self._commit([one.write for one in batch]))
            return
        self._committing = True
        self._under_way = batch
        loop = asyncio.get_running_loop()
        pending = loop.run_in_executor(self._executor, self._commit, [one.write for one in batch])
        pending.add_done_callback(lambda done: self._delivered(batch, done.result()))

    def _delivered(self, batch: list[Waiting], results: list[object]) -> None:
        self._committing = False
        self._under_way = []
        self._deliver(batch, results)

    def _deliver(self, batch: list[Waiting], results: list[object]) -> None:
        if self._changes_tokens:  # whatever became of it
            self._changes_tokens = False
            self.token_changes += 1
        deliver(batch, results)
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._linger.schedule()
        elif self._idle is not None:
            self._idle.set()

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
        try:
            return self._transact(writes, self._apply)
        except NotAll:
            return self._transact(writes, self._apply_each)

    def _transact(
        self, writes: list[Write[Any]], apply: Callable[[Sequence[Write[Any]]], list[object]]
    ) -> list[object]:
        if self._is_dropped:
            self._open()
        writer = self._writer
        begun = time.perf_counter()
        writer.execute("BEGIN IMMEDIATE")
        try:
            results = apply(writes)
        except BaseException:
            if writer.in_transaction:  # a full disk and the like have rolled it back already
                try:
                    writer.execute("ROLLBACK")
                except apsw.Error:
                    self._drop_writer()
            raise
        try:
            writer.execute("COMMIT")
        except apsw.Error as error:
            self._drop_writer()
            raise CommitUnknown(f"a commit failed: {type(error).__name__}") from error
        self.observe(len(writes), time.perf_counter() - begun)
        return results

    def _apply(self, writes: Sequence[Write[Any]]) -> list[object]:
        """Results in order. New payments and outcomes go together, statement by statement; outcomes first, so that who
        takes an open exchange over finds it as it ended. Who comes too late for a claim finds what has it."""
        finishes = [write for write in writes if type(write) is Finish]
        concluded = iter(finish_all(self._run_all, finishes))
        begun = iter(
            begin_all(self._run, self._run_all, [each for each in writes if type(each) is Begin and each.is_new])
        )
        return [
            next(concluded)
            if type(write) is Finish
            else None
            if type(write) is Begin and write.is_new and next(begun)
            else self._apply_alone(write)
            for write in writes
        ]

    def _apply_each(self, writes: Sequence[Write[Any]]) -> list[object]:
        """The same one by one: outcomes first here too."""
        outcomes_first = sorted(writes, key=lambda write: type(write) is not Finish)
        results = {id(write): self._apply_alone(write) for write in outcomes_first}
        return [results[id(write)] for write in writes]

    def _apply_alone(self, write: Write[Any]) -> object:
        if isinstance(write, IndexRows):
            write.apply_all(self._run, self._run_all)
            return None
        result: object = write.apply(self._run)
        return result

    def _run(self, query: str, values: Values) -> list[Row]:
        known = self.queries[query]
        self._changes_tokens |= known.changes_tokens
        return self._cursor.execute(known.sql, known.bind(values)).fetchall()

    def _run_all(self, query: str, rows: Sequence[tuple[Any, ...]]) -> int:
        if not rows:
            return 0
        known = self.queries[query]
        self._changes_tokens |= known.changes_tokens
        before = self._writer.total_changes()
        self._cursor.executemany(known.counted, rows)
        return self._writer.total_changes() - before

    def _drop_writer(self) -> None:
        """After a failed commit nothing that the connection believes can be trusted (R-7): the next write opens one."""
        self._is_dropped = True
        with contextlib.suppress(apsw.Error):
            self._writer.close(True)

    async def settled(self) -> None:
        await until_settled(lambda: self._waiting + self._under_way)

    # ---- the rest

    def _checkpoint(self) -> None:
        connection = connect(self.path)
        wal = self.path.with_name(self.path.name + "-wal")
        while not self._stop.wait(CHECKPOINT_EVERY_S):
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
        while self._waiting or self._committing or self._linger.is_scheduled:
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
