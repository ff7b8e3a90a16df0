"""A PostgreSQL server before it is used: what it must promise (R-20), and the schema in it (R-25).

Migrations go forward only, one transaction each, behind a row that whoever starts locks; so any number of processes
may start at once.
"""

import time
from contextlib import suppress
from typing import Any, Final

import asyncpg

from kessai.storage.database import Unsafe, migrations

OLDEST: Final = 150_000
LARGEST_CLOCK_DIFFERENCE_S: Final = 300
CONNECT_S: Final = 3.0

_SETTINGS: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
       extract(epoch FROM clock_timestamp())::double precision, pg_is_in_recovery()
"""
_VERSION_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_version (id INTEGER NOT NULL PRIMARY KEY, version BIGINT NOT NULL)
"""
_MADE_BY_ANOTHER: Final = (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError)
"""What two processes meet that make the same table in the same moment."""


async def make_ready(url: str, *, pooled: bool, now_s: float | None = None) -> tuple[str, ...]:
    """Check a server and bring its schema up to date; its weaknesses. Unsafe for what no setting lets through."""
    connection = await asyncpg.connect(
        url, timeout=CONNECT_S, statement_cache_size=0, target_session_attrs="any" if pooled else "read-write"
    )
    try:
        async with connection.transaction():  # a pooler gives a server to a transaction
            found = await connection.fetchrow(_SETTINGS)
        refuse(found, time.time() if now_s is None else now_s)
        await migrate(connection)
        return weaknesses(found)
    finally:
        await connection.close(timeout=CONNECT_S)


def refuse(found: Any, now_s: float) -> None:
    """Unsafe for what a server is, whatever the installation may lose; `found` as `_SETTINGS` selects it."""
    number, version, encoding, *_, clock_s, is_standby = found
    if number < OLDEST:
        raise Unsafe(f"the database is PostgreSQL {version}; at least 15 is needed")
    if encoding != "UTF8":
        raise Unsafe(f"the database has the encoding {encoding}; it has to be UTF8")
    if is_standby:
        raise Unsafe("the database is a standby, which takes no writes; name its primary")
    if abs(clock_s - now_s) > LARGEST_CLOCK_DIFFERENCE_S:
        raise Unsafe(f"this machine's clock is {abs(clock_s - now_s):.0f} s away from the database's; set one of them")


def weaknesses(found: Any) -> tuple[str, ...]:
    """Why a server may lose what it has acknowledged, one sentence each."""
    _, _, _, fsync, full_page_writes, synchronous_commit, standbys, *_ = found
    sentences = []
    if fsync != "on":
        sentences.append("the database has fsync off: a power cut loses acknowledged payments")
    if full_page_writes != "on":
        sentences.append("the database has full_page_writes off: a power cut can damage its pages")
    if synchronous_commit == "off":
        sentences.append("the database has synchronous_commit off: a crash loses acknowledged payments")
    if synchronous_commit == "local" and standbys.strip():
        sentences.append("the database has synchronous_commit local: its standby may lack acknowledged payments")
    return tuple(sentences)


def for_postgres(script: str) -> str:
    """A shared script in PostgreSQL's words: texts compare as bytes do, on every machine."""
    words = script.replace(" /*clustered*/", "").replace(" TEXT NOT NULL", ' TEXT COLLATE "C" NOT NULL')
    return words.replace(" TEXT,", ' TEXT COLLATE "C",')


async def migrate(connection: asyncpg.Connection) -> None:
    """Bring a database up to the newest schema. Unsafe when its schema is newer than this code."""
    steps = migrations()
    newest = steps[-1][0]
    if await _version(connection) == newest:
        return
    with suppress(*_MADE_BY_ANOTHER):
        await connection.execute(_VERSION_TABLE)
    async with connection.transaction():
        await connection.execute("INSERT INTO schema_version (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING")
        version = await connection.fetchval("SELECT version FROM schema_version WHERE id = 1 FOR UPDATE")
        if version > newest:
            raise Unsafe(f"the database has schema {version}; this version of Kessai knows {newest} at most")
        for number, script in steps:
            if number > version:
                await connection.execute(for_postgres(script))
                await connection.execute("UPDATE schema_version SET version = $1 WHERE id = 1", number)


async def _version(connection: asyncpg.Connection) -> int:
    """The schema's version; 0 where there is none yet."""
    async with connection.transaction():
        if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
            return 0
        return int(await connection.fetchval("SELECT version FROM schema_version WHERE id = 1") or 0)
