"""The embedded database: groups commits, keeps neighbours apart, refuses what is unsafe."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from tests.storage.test_postgres import intent, outcome

from kessai.storage import database, sqlite, writes
from kessai.storage.compact import pack
from kessai.storage.database import CommitUnknown, InUse, Run, Unsafe, load_queries, migrations
from kessai.storage.sqlite import Sqlite, connect, for_sqlite, migrate

KEYSET = {"merchant_id": "m", "purpose": "card", "sealed": b"x", "created_at": 1}


class Add:
    may_be_refused = True

    def __init__(self, purpose: str, *, fails: bool = False) -> None:
        self.purpose, self.fails = purpose, fails

    def apply(self, run: Run) -> str:
        run("add_keyset", KEYSET | {"purpose": self.purpose})
        if self.fails:
            raise ValueError(self.purpose)
        return self.purpose


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not (tmp_path / "kessai.db-journal").exists()


async def _purposes(store: Sqlite) -> list[str]:
    return sorted(row[0] for row in await store.read("keysets", {"merchant_id": "m"}))


def _commits(store: Sqlite) -> list[int]:
    """How many writes each commit carried, from now on."""
    seen: list[int] = []
    together = store._together

    def counting(writes: list[database.Write[object]]) -> list[object]:
        seen.append(len(writes))
        return together(writes)

    store._together = counting  # type: ignore[method-assign]
    return seen


def test_writes_of_one_turn_share_a_commit(folder: Path) -> None:
    async def main() -> None:
        store = Sqlite(folder)
        commits = _commits(store)
        results = await asyncio.gather(*(store.write(Add(f"p{i:03d}")) for i in range(100)))
        assert results == [f"p{i:03d}" for i in range(100)]
        assert sum(commits) == 100
        assert len(commits) <= 3
        assert await _purposes(store) == results
        await store.close()

    asyncio.run(main())


def test_a_failing_write_does_not_fail_its_neighbours(folder: Path) -> None:
    async def main() -> None:
        store = Sqlite(folder)
        writes = [store.write(Add(f"p{i}", fails=i == 3)) for i in range(6)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert isinstance(results[3], ValueError)
        assert await _purposes(store) == ["p0", "p1", "p2", "p4", "p5"]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("slow_sync_s", [0.0, 60.0])
def test_commits_work_in_the_loop_and_in_a_thread(
    folder: Path, slow_sync_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SLOW_SYNC_S", slow_sync_s)

    async def main() -> None:
        store = Sqlite(folder)
        assert (store._executor is not None) == (slow_sync_s == 0.0)
        for i in range(5):
            await asyncio.gather(*(store.write(Add(f"p{i}-{j}")) for j in range(20)))
        last = asyncio.gather(*(store.write(Add(f"last-{j}")) for j in range(20)))
        await asyncio.sleep(0)
        await store.close()
        assert len(await last) == 20

    asyncio.run(main())
    with closing(connect(folder / "kessai.db")) as reopened:
        assert reopened.execute("SELECT COUNT(*) FROM keysets").fetchall() == [(120,)]


def test_a_caller_that_hangs_up_does_not_undo_the_write(folder: Path) -> None:
    """R-11."""

    async def main() -> None:
        store = Sqlite(folder)
        task = asyncio.create_task(store.write(Add("gone")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.write(Add("next"))
        assert await _purposes(store) == ["gone", "next"]
        await store.close()

    asyncio.run(main())


def test_a_failed_commit_is_an_unknown_outcome_and_the_store_goes_on(folder: Path) -> None:
    """R-7: a commit hook stands in for the disk that fails."""

    async def main() -> None:
        store = Sqlite(folder)
        store._writer.set_commit_hook(lambda: True)  # SQLite turns the commit into a rollback and reports an error
        with pytest.raises(CommitUnknown):
            await store.write(Add("lost"))
        await store.write(Add("kept"))
        assert await _purposes(store) == ["kept"]
        await store.close()

    asyncio.run(main())


def test_more_than_may_wait_is_refused_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-12."""
    monkeypatch.setattr(database, "MOST_WAITING", 10)

    async def main() -> None:
        store = Sqlite(folder)
        results = await asyncio.gather(*(store.write(Add(f"p{i:02d}")) for i in range(15)), return_exceptions=True)
        assert [isinstance(result, database.Overloaded) for result in results] == [False] * 10 + [True] * 5
        assert len(await _purposes(store)) == 10
        await store.close()

    asyncio.run(main())


def test_every_error_of_the_engine_is_classified() -> None:
    """R-8."""
    assert {kind.__name__ for kind in apsw.Error.__subclasses__()} == sqlite.FAILURES.keys()


def test_what_was_rolled_back_is_unavailable_not_unknown(folder: Path) -> None:
    """F24: a full disk before the commit; the store stays usable."""

    async def main() -> None:
        store = Sqlite(folder)
        store._writer.pragma("max_page_count", 1)  # the engine's own way to be full
        with pytest.raises(database.Unavailable, match="FullError"):
            await store.write(Add("p" * 100_000))
        store._writer.pragma("max_page_count", 1_000_000)
        await store.write(Add("kept"))
        assert await _purposes(store) == ["kept"]
        await store.close()

    asyncio.run(main())


def test_a_second_writer_is_refused(folder: Path) -> None:
    """A-114."""

    async def main() -> None:
        store = Sqlite(folder)
        with pytest.raises(InUse, match="another Kessai"):
            Sqlite(folder)
        await store.close()
        await Sqlite(folder).close()

    asyncio.run(main())


def test_the_books_take_additions_only(folder: Path) -> None:
    """R-56: the engine itself refuses to change or remove an entry."""

    async def main() -> None:
        store = Sqlite(folder)
        for statement in ("UPDATE entries SET amount = 1", "DELETE FROM entries", "DELETE FROM events"):
            with pytest.raises(apsw.AuthError):
                store._writer.execute(statement)
        await store.close()

    asyncio.run(main())


def test_a_schema_newer_than_the_code_is_refused(folder: Path) -> None:
    """R-20."""

    async def main() -> None:
        await Sqlite(folder).close()
        with closing(connect(folder / "kessai.db")) as connection:
            connection.pragma("user_version", 999)
        with pytest.raises(Unsafe, match="999"):
            Sqlite(folder)

    asyncio.run(main())


def test_migrations_lead_to_the_schema() -> None:
    def shape(connection: apsw.Connection) -> list[tuple[str, str, str]]:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
        return [(kind, name, re.sub(r"\s*([(),]|\s)\s*", r"\1", sql)) for kind, name, sql in rows]

    migrated, whole = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    migrate(migrated, migrations())
    schema = Path(database.__file__).with_name("schema.sql").read_text("utf-8")
    whole.execute(for_sqlite(schema))
    assert shape(migrated) == shape(whole)
    assert len(shape(whole)) > 12


def test_every_query_prepares_and_every_key_names_the_merchant_first() -> None:
    """R-30."""
    connection = apsw.Connection(":memory:")
    migrate(connection, migrations())
    for query in database.load_queries().values():
        connection.execute(f"EXPLAIN {query.sql}", (None,) * len(query.names))
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in set(tables) - {"merchants", "message_keys", "flex_keys"}:
        for index in connection.execute(f"PRAGMA index_list({table})").fetchall():
            first = connection.execute(f"PRAGMA index_info({index[1]})").fetchall()[0]
            assert first[2] == "merchant_id", (table, index)


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("begin_payment", writes.PAYMENT),
        ("begin_transaction", writes.TRANSACTION),
        ("conclude_transaction", writes.OUTCOME),
        ("settle_unknown", writes.OUTCOME),
        ("post_entry", writes.ENTRY),
    ],
)
def test_rows_stand_in_the_order_of_their_statement(query: str, columns: tuple[str, ...]) -> None:
    """Rows are bound by place where many go at once; a statement may take fewer, and then by name."""
    names = load_queries()[query].names
    assert names == columns or (query == "settle_unknown" and set(names) < set(columns))


def test_a_change_of_tokens_is_counted_and_nothing_else_is(folder: Path) -> None:
    """Whoever remembers tokens relies on it: also when the commit failed, and may have been done all the same."""

    class Forget:
        def __init__(self, *, fails: bool = False) -> None:
            self.fails = fails

        def apply(self, run: Run) -> None:
            token = {"merchant_id": "m", "id": "t", "version": 1, "revision": 1, "state": "ACTIVE", "document": b""}
            token |= dict.fromkeys(("deleted_at", "instrument", "fingerprint", "sealed"))
            run("change_token", token | {"is_default": 0, "expiry": ""})
            if self.fails:
                raise ValueError

    async def main() -> None:
        store = Sqlite(folder)
        seen = [store.token_changes]
        for write in (Add("p"), Forget(), Add("q"), Forget(fails=True)):
            await asyncio.gather(store.write(write), return_exceptions=True)
            seen.append(store.token_changes)
        assert [after - before for before, after in pairwise(seen)] == [0, 1, 0, 1]
        await store.close()

    asyncio.run(main())


def test_every_statement_that_changes_tokens_is_known_to(folder: Path) -> None:
    store = Sqlite(folder)
    changed: set[str | None] = set()

    def seen(action: int, table: str | None, *_: object) -> int:
        if action in (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE):
            changed.add(table)
        return apsw.SQLITE_OK

    with closing(connect(store.path)) as connection:
        connection.authorizer = seen
        marked = set()
        for name, query in store.queries.items():
            changed.clear()
            connection.execute("EXPLAIN " + query.sql, (None,) * len(query.names)).fetchall()
            assert query.changes_tokens is ("tokens" in changed), name
            marked |= {name} if query.changes_tokens else set()
    assert {"add_token", "change_token"} <= marked
    asyncio.run(store.close())


def test_of_outcomes_that_share_a_commit_each_learns_whether_it_was_in_time(folder: Path) -> None:
    """They go in together and are only counted; where one came too late, each is looked at."""

    async def main() -> None:
        store = Sqlite(folder)
        begun = [intent(number) for number in range(1, 9)]
        await asyncio.gather(*map(store.write, begun))
        first, late = outcome(begun[2]), outcome(begun[2], b'{"is": "late"}')
        assert await store.write(first) is True
        commits = _commits(store)
        others = [outcome(each) for each in begun if each is not begun[2]]
        told = await asyncio.gather(*map(store.write, (*others[:4], late, *others[4:], outcome(begun[0]))))
        assert commits == [9]
        assert told == [True] * 4 + [False] + [True] * 3 + [False]
        rows = await store.read("load_answer", {"merchant_id": "m", "id": begun[2].transaction.id})
        assert [row[3] for row in rows] == [pack(b"{}")]
        again = await asyncio.gather(*map(store.write, others))
        assert again == [False] * 7
        await store.close()

    asyncio.run(main())
