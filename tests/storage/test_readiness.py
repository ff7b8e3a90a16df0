"""Before a database is used: what it has to promise, and its schema. R-20, R-25."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests import postgres
from tests.houses import Till
from tests.postgres import Server

from kessai.app import CannotOpen, open_house
from kessai.payment.lifecycle import Status
from kessai.storage import readiness
from kessai.storage.database import Unsafe, migrations
from kessai.storage.readiness import refuse, weaknesses
from kessai.storage.sqlite import weaknesses as weaknesses_of_folder

GOOD: dict[str, Any] = {
    "number": 150_018,
    "version": "15.18",
    "encoding": "UTF8",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "standbys": "",
    "clock_s": 1_000.0,
    "is_standby": False,
}


def found(**changes: object) -> tuple[object, ...]:
    return tuple((GOOD | changes).values())


def test_a_server_that_keeps_its_promises_is_let_through() -> None:
    refuse(found(), 1_000.0 + 299)
    assert weaknesses(found()) == ()
    assert weaknesses(found(synchronous_commit="local")) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"number": 140_010, "version": "14.10"}, "at least 15"),
        ({"encoding": "SQL_ASCII"}, "UTF8"),
        ({"is_standby": True}, "standby"),
        ({"clock_s": 1_301.0}, "clock is 301 s away"),
        ({"clock_s": 699.0}, "clock is 301 s away"),
    ],
)
def test_what_no_setting_lets_through(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(Unsafe, match=sentence):
        refuse(found(**changes), 1_000.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fsync": "off"}, "fsync"),
        ({"full_page_writes": "off"}, "full_page_writes"),
        ({"synchronous_commit": "off"}, "synchronous_commit off"),
        ({"synchronous_commit": "local", "standbys": "one"}, "synchronous_commit local"),
    ],
)
def test_what_only_a_setting_lets_through(changes: dict[str, object], sentence: str) -> None:
    (told,) = weaknesses(found(**changes))
    assert sentence in told


def test_a_weakened_server_is_used_only_by_name_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server({"fsync": "off"})
    server.start()

    async def main() -> None:
        with pytest.raises(CannotOpen, match="fsync off"):
            await open_house(tmp_path, database=server.url())
        monkeypatch.setenv("KESSAI_MAY_LOSE_ACKNOWLEDGED_PAYMENTS", "true")
        house = await open_house(tmp_path, database=server.url())
        assert "fsync" in house.database.weaknesses[0]
        await house.close()

    try:
        asyncio.run(main())
    finally:
        server.remove()
    assert "database.weakened" in capfd.readouterr().err


def test_a_server_that_is_not_there_is_told_in_one_sentence_without_its_password(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(CannotOpen, match="cannot be reached") as told:
            await open_house(tmp_path, database="postgresql://kessai:hunter2@127.0.0.1:9/kessai")
        assert "hunter2" not in str(told.value)
        with pytest.raises(CannotOpen, match="begins with postgresql://") as other:
            await open_house(tmp_path, database="mysql://kessai:hunter2@127.0.0.1/kessai")
        assert "hunter2" not in str(other.value)

    asyncio.run(main())


def test_processes_that_start_at_once_make_one_schema() -> None:
    """R-25."""

    async def main() -> None:
        url = postgres.fresh(migrated=False)
        results = await asyncio.gather(*(readiness.make_ready(url, pooled=False) for _ in range(8)))
        assert results == [()] * 8
        assert await postgres.rows(url, "SELECT version FROM schema_version") == [(migrations()[-1][0],)]

    asyncio.run(main())


def test_a_schema_newer_than_the_code_is_refused() -> None:
    """R-20."""

    async def main() -> None:
        url = postgres.fresh()
        await postgres.execute(url, "UPDATE schema_version SET version = 999")
        with pytest.raises(Unsafe, match="999"):
            await readiness.make_ready(url, pooled=False)

    asyncio.run(main())


def test_houses_that_open_at_once_on_an_empty_database_agree(tmp_path: Path) -> None:
    """One key, one set of merchants, a number for each."""

    async def main() -> None:
        url = postgres.fresh()
        houses = await asyncio.gather(*(open_house(tmp_path, database=url) for _ in range(3)))
        assert sorted(house.seat.node for house in houses) == [1, 2, 3]
        for house in houses:
            await house.accounts.load()
            assert len(list(house.accounts)) == 4
            assert await house.accounts.shared_secret("kessai_jcn") == await houses[0].accounts.shared_secret(
                "kessai_jcn"
            )
        for house in houses:
            await house.close()

    asyncio.run(main())


def test_a_role_that_cannot_change_the_books_serves(tmp_path: Path) -> None:
    """R-56, as docs/how-to/run-on-postgresql.md grants it."""

    async def main() -> None:
        url = postgres.fresh()
        page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-on-postgresql.md").read_text("utf-8")
        (grants,) = [block for block in page.split("```") if "REVOKE" in block]
        role = f"clerk_{url.rpartition('/')[2]}"
        await postgres.execute(url, f"CREATE ROLE {role} LOGIN", grants.removeprefix("sql").replace("kessai", role))
        clerk = url.replace("kessai@", f"{role}@")
        house = await open_house(tmp_path, database=clerk)
        assert (await Till(house).authorize()).status is Status.APPROVED
        for table in ("entries", "events"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await postgres.execute(clerk, f"DELETE FROM {table}")
        await house.close()

    asyncio.run(main())


def test_a_key_that_is_missing_beside_a_database_is_not_made_anew(tmp_path: Path) -> None:
    async def main() -> None:
        url = postgres.fresh()
        await (await open_house(tmp_path, database=url)).close()
        (tmp_path / "keys" / "kek").unlink()
        with pytest.raises(CannotOpen, match="is missing"):
            await open_house(tmp_path, database=url)
        assert not (tmp_path / "keys" / "kek").exists()

    asyncio.run(main())


MOUNTS = """\
22 28 0:20 / / rw - ext4 /dev/sda1 rw
40 22 0:31 / /mnt/share rw shared:1 - nfs4 server:/share rw
41 40 8:17 / /mnt/share/local rw - xfs /dev/sdb1 rw
42 22 0:33 / /mnt/a\\040b rw - fuse.sshfs host:/ rw
"""


@pytest.mark.parametrize(
    ("folder", "is_weak"),
    [("/data", False), ("/mnt/share/data", True), ("/mnt/share/local/data", False), ("/mnt/a b/c", True)],
)
def test_a_folder_on_a_network_file_system_is_weak(folder: str, is_weak: bool) -> None:
    assert bool(weaknesses_of_folder(Path(folder), MOUNTS)) == is_weak
