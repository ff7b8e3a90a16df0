"""Backup and restore (R-24).

The embedded database is copied by its own online backup: one snapshot, a few pages at a time, while payments go on; the
copy is checked whole and synced before it gets its name. A PostgreSQL database is dumped and restored by its own tools;
for a point in time it needs a base backup and an archived log, which are the engine's business too.

A backup holds cards and secrets sealed, and never the key-encryption key: without that key it opens for nobody.

    CannotBackUp   one sentence for the operator; nothing was left half done
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import apsw

DATABASE: Final = "kessai.db"
PAGES_A_STEP: Final = 256
"""2 MiB; between two steps others may use the disk."""
BREATH_S: Final = 0.002
_ENDINGS: Final = ("-wal", "-shm", "-journal")


class CannotBackUp(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup, or what was restored from one."""

    file: str
    size: int
    """In bytes."""
    seconds: float


def named(target: Path, now_text: str, ending: str) -> Path:
    """The file to write: the one that was named, or a new one in a folder that was."""
    return target / f"kessai-{now_text}{ending}" if target.is_dir() else target


# ---- the embedded database


def copy(database: Path, target: Path) -> Made:
    """Copy a database that may be in use into a new file. Blocks: not for an event loop. CannotBackUp."""
    begun = time.monotonic()
    try:
        source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise CannotBackUp(f"the database {database} cannot be opened: {error}") from None
    try:
        source.set_busy_timeout(5_000)
        # One snapshot from the first page to the last: without it every commit would start the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT COUNT(*) FROM merchants").fetchall()

        def fill(part: Path) -> None:
            made = apsw.Connection(str(part))
            try:
                with made.backup("main", source, "main") as pages:
                    while not pages.done:
                        pages.step(PAGES_A_STEP)
                        time.sleep(BREATH_S)
                made.execute("PRAGMA journal_mode = delete")  # one file, nothing beside it
                _check(made, part)
            finally:
                made.close()

        return _make(target, fill, begun)
    except apsw.Error as error:
        raise CannotBackUp(f"the database cannot be copied: {error}") from None
    finally:
        source.close()


def restore(file: Path, folder: Path) -> Made:
    """Put a backup into a folder that has no database. CannotBackUp."""
    begun = time.monotonic()
    if not file.is_file():
        raise CannotBackUp(f"there is no backup {file}")
    target = folder / DATABASE
    if any(target.with_name(DATABASE + ending).exists() for ending in ("", *_ENDINGS)):
        raise CannotBackUp(f"there is a database in the folder {folder} already")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def fill(part: Path) -> None:
        shutil.copyfile(file, part)
        try:
            made = apsw.Connection(str(part), flags=apsw.SQLITE_OPEN_READWRITE)
        except apsw.Error as error:
            raise CannotBackUp(f"{file} is no backup: {error}") from None
        try:
            _check(made, file)
        finally:
            made.close()

    return _make(target, fill, begun)


def _check(connection: apsw.Connection, file: Path) -> None:
    """Whether a copy is whole, and one of ours."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        connection.execute("SELECT COUNT(*) FROM merchants").fetchall()
    except apsw.Error as error:
        raise CannotBackUp(f"{file} is no backup: {error}") from None
    if found != ["ok"]:
        raise CannotBackUp(f"the copy {file} is damaged: {found[0]}")


def _make(target: Path, fill: Callable[[Path], None], begun: float) -> Made:
    """Fill a file beside the target, sync it, and give it its name; whoever has that name already keeps it."""
    part = target.with_name(target.name + ".part")
    if target.exists():
        raise CannotBackUp(f"there is a file {target} already")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise CannotBackUp(f"there is a file {part} already: another backup is running, or broke off") from None
    except OSError as error:
        raise CannotBackUp(f"{target} cannot be written: {error.strerror}") from None
    try:
        fill(part)
        size = part.stat().st_size
        _sync(part)
        os.link(part, target)
        _sync(target.parent)
    except FileExistsError:
        raise CannotBackUp(f"there is a file {target} already") from None
    except OSError as error:
        raise CannotBackUp(f"{target} cannot be written: {error.strerror}") from None
    finally:
        for ending in ("", *_ENDINGS):
            with suppress(FileNotFoundError):
                part.with_name(part.name + ending).unlink()
    return Made(file=str(target), size=size, seconds=round(time.monotonic() - begun, 3))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- PostgreSQL


def dump(url: str, target: Path) -> Made:
    """One consistent snapshot of a PostgreSQL database into a new file, by `pg_dump`. CannotBackUp."""
    begun = time.monotonic()

    def fill(part: Path) -> None:
        _tool("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
        _run(["pg_restore", "--list", str(part)], {})  # a dump that broke off has no whole table of contents

    return _make(target, fill, begun)


def load(file: Path, url: str) -> Made:
    """Put a dump into an empty PostgreSQL database, whole or not at all, by `pg_restore`. CannotBackUp."""
    begun = time.monotonic()
    if not file.is_file():
        raise CannotBackUp(f"there is no backup {file}")
    _tool("pg_restore", url, "--exit-on-error", "--single-transaction", "--no-owner", str(file))
    return Made(file=str(file), size=file.stat().st_size, seconds=round(time.monotonic() - begun, 3))


def _tool(name: str, url: str, *arguments: str) -> None:
    """A tool of PostgreSQL on a database; the password is told through the environment, where others cannot read it."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")
    user = place[0].partition(":")[0]
    plain = urlunsplit(parts._replace(netloc=f"{user}@{place[2]}" if user else place[2]))
    secret = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}
    _run([name, *arguments, f"--dbname={plain}"], secret)


def _run(line: list[str], secret: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 # a tool by its name, our own arguments
            line, env=os.environ | secret, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CannotBackUp(f"the tool {line[0]} of PostgreSQL is not installed here") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no reason"]
        raise CannotBackUp(f"{line[0]} failed: {said[0]}")
