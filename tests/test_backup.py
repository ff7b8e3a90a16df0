"""Backup and restore (R-24, T-14): what was acknowledged before a backup began is in it, under load, on both."""

import json
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from kessai import backup, client
from kessai.backup import CannotBackUp
from tests import postgres
from tests.commands import PAN, Gateway, document, done, gateway, refusal, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a gateway that took two payments, captured one, and was stopped."""
    made = tmp_path_factory.mktemp("stopped") / "data"
    with gateway(made) as served:
        served.pay()
        served.capture(served.pay())
    return made


@contextmanager
def load(served: Gateway, clients: int = 4) -> Iterator[list[tuple[str, float]]]:
    """Payments and captures from several clients at once: what was acknowledged, and when by the monotonic clock."""
    acknowledged: list[tuple[str, float]] = []
    stop = threading.Event()

    def trade() -> None:
        while not stop.is_set():
            try:
                paid = served.pay()
                acknowledged.append((paid, time.monotonic()))
                captured = served.capture(paid)
            except (client.Unreachable, AssertionError):  # killed under our hands
                return
            acknowledged.append((captured, time.monotonic()))

    threads = [threading.Thread(target=trade) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for(acknowledged: list[tuple[str, float]], count: int) -> None:
    end = time.monotonic() + 30
    while len(acknowledged) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def killed(served: Gateway) -> None:
    served.process.kill()
    served.process.wait()


def test_the_restore_drill_under_load(tmp_path: Path) -> None:
    """T-14 on the embedded database: load, back up, kill, restore elsewhere: all that was acknowledged is there."""
    folder, elsewhere, file = tmp_path / "data", tmp_path / "elsewhere", tmp_path / "backup.db"
    with gateway(folder, ends=-signal.SIGKILL) as served, load(served) as acknowledged:
        wait_for(acknowledged, 24)
        begun = time.monotonic()
        made = document(folder, "backup", str(file))
        wait_for(acknowledged, len(acknowledged) + 8)
        killed(served)
    assert made["size"] == file.stat().st_size > 50_000
    before = [identifier for identifier, at in acknowledged if at < begun]
    assert len(before) >= 24
    drill(elsewhere, ("restore", str(file)), folder, before)


def drill(elsewhere: Path, command: tuple[str, ...], origin: Path, before: list[str], *more: str) -> None:
    """Restore, serve, and look: all is there, the books balance, what the dead one left open is settled."""
    document(elsewhere, *command, *more)
    shutil.copytree(origin / "keys", elsewhere / "keys", dirs_exist_ok=True)
    shutil.copyfile(origin / "acquirer.book", elsewhere / "acquirer.book")
    with gateway(elsewhere, *more) as restored:
        for identifier in before:
            status, told = restored.ask("GET", f"/tss/v2/transactions/{identifier}")
            assert (status, told["id"]) == (200, identifier)
        assert document(elsewhere, "ledger", "check", *more)["findings"] == []
        end = time.monotonic() + 20
        while document(elsewhere, "jobs", *more):
            assert time.monotonic() < end
        assert restored.capture(restored.pay())
        # What came after the backup is known to the acquirer only, and verification says so.
        kinds = {
            finding["what"] for finding in json.loads(run(elsewhere, "verify", "--json", *more).stdout)["findings"]
        }
        assert kinds <= {"orphan-hold", "orphan-movement", "acquirer"}


def test_the_restore_drill_on_postgresql(tmp_path: Path) -> None:
    """T-14 on PostgreSQL, by its own dump; the drill for a point in time is in the how-to."""
    folder, elsewhere, file = tmp_path / "data", tmp_path / "elsewhere", tmp_path / "backup.dump"
    url, empty = postgres.fresh(), postgres.fresh(migrated=False)
    with gateway(folder, "--database", url, ends=-signal.SIGKILL) as served, load(served) as acknowledged:
        wait_for(acknowledged, 24)
        begun = time.monotonic()
        document(folder, "backup", str(file), "--database", url)
        wait_for(acknowledged, len(acknowledged) + 8)
        killed(served)
    before = [identifier for identifier, at in acknowledged if at < begun]
    drill(elsewhere, ("restore", str(file)), folder, before, "--database", empty)
    assert "pg_restore failed" in refusal(elsewhere, "restore", str(file), "--database", empty)


def ask(server: postgres.Server, query: str) -> str:
    """What the server says, in one word."""
    place = ("-h", "127.0.0.1", "-p", server.port, "-U", "kessai", "-d", "postgres")
    done = server.run("psql", *place, "-Atqc", query)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def servers() -> Iterator[list[postgres.Server]]:
    """Two PostgreSQL servers that nobody else uses, not started."""
    made = [postgres.Server(), postgres.Server()]
    yield made
    for each in made:
        each.remove()


def test_a_point_in_time_is_restored_from_a_base_backup_and_the_archived_log(
    tmp_path: Path, servers: list[postgres.Server]
) -> None:
    """T-14: what was acknowledged before the point is there, what came after it is not, and the books balance."""
    first, second = servers
    archive = first.folder / "archive"
    archive.mkdir(mode=0o777)
    archive.chmod(0o777)
    first.options |= {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    first.start()
    with gateway(tmp_path / "data", "--database", first.url()) as served:
        paid = served.pay()
        shutil.rmtree(second.data)
        place = ("-h", "127.0.0.1", "-p", first.port, "-U", "kessai")
        base = first.run("pg_basebackup", "-D", second.data, *place, "--checkpoint=fast")
        assert base.returncode == 0, base.stderr.decode()
        captured = served.capture(paid)
        point = ask(first, "SELECT clock_timestamp()")
        lost = served.pay()
        segment = ask(first, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        ask(first, "SELECT pg_switch_wal()")
        wait_until(lambda: ask(first, "SELECT last_archived_wal FROM pg_stat_archiver") >= segment)
    (second.data / "recovery.signal").touch()
    second.options |= {"restore_command": f"cp {archive}/%f %p", "recovery_target_time": point}
    second.options |= {"recovery_target_action": "promote"}
    second.start()
    wait_until(lambda: ask(second, "SELECT pg_is_in_recovery()") == "f")
    with gateway(tmp_path / "data", "--database", second.url()) as restored:
        for identifier, found in ((paid, 200), (captured, 200), (lost, 404)):
            assert restored.ask("GET", f"/tss/v2/transactions/{identifier}")[0] == found
        here = ("--database", second.url())
        assert document(restored.folder, "ledger", "check", *here)["findings"] == []
        report = json.loads(run(restored.folder, "verify", "--json", *here).stdout)
        assert [(each["what"], each["transaction"]) for each in report["findings"]] == [("orphan-hold", lost)]


def test_a_backup_is_whole_private_and_without_any_key(folder: Path, tmp_path: Path) -> None:
    told = done(folder, "backup", str(tmp_path / "copy.db"))
    assert "not the key-encryption key" in told
    file = tmp_path / "copy.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["copy.db"]
    content = file.read_bytes()
    key = (folder / "keys" / "kek").read_text().strip()
    assert key.encode() not in content
    assert PAN.encode() not in content
    rows = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    assert list(rows.execute("SELECT COUNT(*) FROM payments WHERE card IS NOT NULL")) == [(2,)]
    rows.close()


def test_a_folder_gets_a_new_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    made = document(folder, "backup", str(tmp_path))
    assert [str(each) for each in tmp_path.iterdir()] == [made["file"]]
    assert made["file"].endswith("Z.db")


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    document(folder, "backup", str(file))
    content = file.read_bytes()
    assert refusal(folder, "backup", str(file)) == f"there is a file {file} already."
    assert file.read_bytes() == content
    assert "there is a database in the folder" in refusal(folder, "restore", str(file))
    assert "cannot be written" in refusal(folder, "backup", str(tmp_path / "no" / "where.db"))
    assert [each.name for each in tmp_path.iterdir()] == ["copy.db"]


def test_a_folder_that_waits_for_its_key_says_so(folder: Path, tmp_path: Path) -> None:
    document(folder, "backup", str(tmp_path / "copy.db"))
    told = done(tmp_path / "new", "restore", str(tmp_path / "copy.db"))
    assert "keys/kek" in told
    assert "is missing" in refusal(tmp_path / "new", "ledger", "check")
    shutil.copytree(folder / "keys", tmp_path / "new" / "keys")
    assert document(tmp_path / "new", "ledger", "check")["findings"] == []


@pytest.mark.parametrize("damage", ["no database", "torn", "another", "missing"])
def test_what_is_no_backup_is_not_restored(folder: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "copy.db"
    backup.copy(folder / "kessai.db", file)
    content = file.read_bytes()
    if damage == "no database":
        file.write_bytes(b"x" * 10_000)
    elif damage == "torn":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "another":
        file.unlink()
        other = apsw.Connection(str(file))
        other.execute("CREATE TABLE t (a)")
        other.close()
    else:
        file.unlink()
    with pytest.raises(CannotBackUp):
        backup.restore(file, tmp_path / "new")
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []


def test_writes_go_on_while_a_copy_is_made_and_do_not_start_it_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step lets somebody commit; the copy is one snapshot, from before the first of them, and ends."""
    busy = shutil.copytree(folder, tmp_path / "data")
    writer = apsw.Connection(str(busy / "kessai.db"))
    steps = 0

    def breathe(_seconds: float) -> None:
        nonlocal steps
        steps += 1
        assert steps < 1_000
        writer.execute("INSERT INTO merchants VALUES (?, 'vpc', 'test', '{}', 0, 0)", (f"m{steps}",))

    monkeypatch.setattr(backup, "PAGES_A_STEP", 2)
    monkeypatch.setattr(time, "sleep", breathe)
    backup.copy(busy / "kessai.db", tmp_path / "copy.db")
    assert steps > 5
    rows = apsw.Connection(str(tmp_path / "copy.db"))
    assert list(rows.execute("SELECT COUNT(*) FROM merchants")) == [(4,)]
    rows.close()
    writer.close()


def test_a_tool_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotBackUp, match="pg_dump of PostgreSQL is not installed"):
        backup.dump("postgresql://kessai:secret@127.0.0.1:1/kessai", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_not_on_the_command_line_of_a_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "pg_dump"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "$PGPASSWORD" > {tmp_path}/password\nexit 1\n')
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tool.parent}:/bin:/usr/bin")
    with pytest.raises(CannotBackUp, match="pg_dump failed: no reason"):
        backup.dump("postgresql://me:p%40ss@127.0.0.1:1/kessai?sslmode=disable", tmp_path / "file")
    arguments = (tmp_path / "arguments").read_text()
    assert "postgresql://me@127.0.0.1:1/kessai?sslmode=disable" in arguments
    assert (tmp_path / "password").read_text() == "p@ss\n"
    assert "p@ss" not in arguments
