"""One connection to PostgreSQL that prepares its statements once, and is thrown away when it hangs or breaks.

A statement that takes longer than its limit is not cancelled: cancelling would be one more thing that can hang. The
connection is closed, and whoever waited is told that the outcome is unknown (R-7, R-12, F22).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import asyncpg

from kessai.storage.database import CommitUnknown, Query, Row, Unavailable, Values
from kessai.storage.failures import STALE

STATEMENT_S: Final = 1.5
GRACE_S: Final = 0.05
"""What a late answer has left: where this process itself stood still, the answer is there and only has to be read."""
CONNECT_S: Final = 1.0

LOCK_MS: Final = 1000
IMPATIENT_LOCK_MS: Final = 50
"""How long a statement waits for rows that somebody else has; and where others wait for this very connection."""

PLANS_S: Final = 0.25, 64.0
"""A plan is made again after this long, at first and later. One that was made while its tables were small takes any
part of a key for as good as the whole, and would read a merchant's every row until the next ANALYZE."""

_PINNED: Final = (
    "BEGIN; SET LOCAL statement_timeout = 1400; SET LOCAL lock_timeout = {}; "
    "SET LOCAL idle_in_transaction_session_timeout = 3000"
)
"""What a transaction behind a pooler begins with: there are no settings of a session."""
_SESSION: Final[Mapping[str, str]] = {
    "application_name": "kessai",
    "jit": "off",
    "statement_timeout": "1400",
    "lock_timeout": str(LOCK_MS),
    "plan_cache_mode": "force_generic_plan",
    # Every statement goes by keys. The planner must not think otherwise while tables are small: its plans are kept.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Lane:
    """A connection, or none at the moment. One statement at a time."""

    def __init__(
        self, url: str, queries: Mapping[str, Query], *, pooled: bool, on_down: Callable[[bool], None]
    ) -> None:
        """`pooled`: behind a transaction pooler, where nothing may outlive a transaction (R-23).

        `on_down` is called when the connection is gone, with whether it was given up because it hung.
        """
        self._url = url
        self._queries = queries
        self._pooled = pooled
        self._on_down = on_down
        self._connection: asyncpg.Connection | None = None
        self._statements: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle
        self._warning = ""
        self._lock_ms = LOCK_MS
        self._plans_s = PLANS_S[0]
        self._plans_until = 0.0
        self.is_idle = True

    @property
    def is_up(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        """Connect. What `asyncpg.connect` raises."""
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_S,
            statement_cache_size=0,
            server_settings={} if self._pooled else dict(_SESSION),
            target_session_attrs="any" if self._pooled else "read-write",
        )
        connection.add_termination_listener(self._terminated)
        connection.add_log_listener(self._noticed)
        self._statements = {}
        self._lock_ms = LOCK_MS
        self._plans_s = PLANS_S[0]
        self._plans_until = asyncio.get_running_loop().time() + self._plans_s
        self._connection = connection

    def drop(self, *, has_hung: bool = False) -> None:
        """Close the connection at once; whoever waits for it is told."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
            self._on_down(has_hung)

    def _be_late(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(GRACE_S, self._give_up)

    def _give_up(self) -> None:
        self.drop(has_hung=True)

    def _terminated(self, connection: object) -> None:
        if connection is self._connection:
            self._connection = None
            self._on_down(False)

    def _noticed(self, _connection: object, message: Any) -> None:
        """A commit that stopped waiting for its standby says so in a warning, and succeeds."""
        if message.severity == "WARNING":
            self._warning = str(message.message)

    async def run(
        self, query: str | Query, values: Values, limit_s: float = STATEMENT_S, *, lock_ms: int = LOCK_MS
    ) -> list[Row]:
        """Rows of a statement, committed. Unavailable: not sent. CommitUnknown: done, and perhaps not kept.

        A named one is prepared once; one that was composed is sent as it is.
        """
        connection = self._connection
        if connection is None or connection.is_closed():
            raise Unavailable("the database cannot be reached")
        known = query if isinstance(query, Query) else self._queries[query]
        arguments = known.bind(values)
        self._warning = ""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(limit_s, self._be_late)
        try:
            if self._pooled:
                rows = await self._pinned(connection, known.sql, arguments, lock_ms)
            elif isinstance(query, Query):
                rows = await connection.fetch(known.sql, *arguments)
            else:
                if lock_ms != self._lock_ms:
                    await connection.execute(f"SET lock_timeout = {lock_ms:d}")
                    self._lock_ms = lock_ms
                if loop.time() >= self._plans_until:
                    await connection.execute("DISCARD PLANS")
                    self._plans_s = min(self._plans_s * 2, PLANS_S[1])
                    self._plans_until = loop.time() + self._plans_s
                statement = self._statements.get(query)
                if statement is None:
                    statement = await self._prepare(connection, query, known.sql)
                rows = await statement.fetch(*arguments)
        except STALE:
            self.drop()  # its statements have no meaning any more, and keep their names
            raise
        except asyncpg.InterfaceError as error:
            if connection.is_closed():
                raise CommitUnknown("the connection was closed") from error
            raise
        finally:
            self._timer.cancel()
        if self._warning:
            raise CommitUnknown(f"the database says: {self._warning}")
        return rows  # type: ignore[no-any-return]

    async def _prepare(self, connection: asyncpg.Connection, query: str, sql: str) -> Any:
        try:
            statement = await connection.prepare(sql, name=f"kessai_{query}")
        except (OSError, asyncpg.PostgresConnectionError) as error:
            raise Unavailable(f"the database cannot be reached: {type(error).__name__}") from error
        self._statements[query] = statement
        return statement

    async def _pinned(
        self, connection: asyncpg.Connection, sql: str, arguments: tuple[object, ...], lock_ms: int
    ) -> Any:
        """A pooler gives a server to a transaction: its two round trips have to be in one."""
        await connection.execute(_PINNED.format(lock_ms))
        try:
            rows = await connection.fetch(sql, *arguments)
        except BaseException:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        try:
            await connection.execute("COMMIT")
        except (asyncpg.PostgresError, OSError) as error:
            raise CommitUnknown(f"a commit failed: {type(error).__name__}") from error
        return rows

    async def close(self) -> None:
        """End the session in order, or at once where that takes long."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()
