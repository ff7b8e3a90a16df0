"""A private PostgreSQL for one test run: made at first use, stopped at the end; every test gets a database of its own.

The server refuses to run as root, so then it runs under the account `postgres`, or `nobody`. It syncs as it would in
production.
"""

import asyncio
import atexit
import io
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import asyncpg

from kessai.storage import readiness

PLACES: Final = "/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"
PACKAGE: Final = "the tests need PostgreSQL 15 or newer: install it with 'apt install postgresql'"
OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}


class Server:
    """One cluster in a folder of its own. `start` and `stop` may be called again and again."""

    def __init__(self, options: dict[str, str] | None = None) -> None:
        self.account = _account()
        self.folder = Path(tempfile.mkdtemp(prefix="kessai-pg-", dir="/tmp"))
        if self.account is not None:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        self.data = self.folder / "data"
        self.port = _port()
        self.options = OPTIONS | (options or {})
        self.process: subprocess.Popen[bytes] | None = None
        made = self.run("initdb", "-D", self.data, "-U", "kessai", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        assert made.returncode == 0, made.stderr.decode()

    def run(self, program: str, *arguments: object) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(self._as_account(program, *arguments), capture_output=True, check=False, cwd=self.folder)

    def _as_account(self, program: str, *arguments: object) -> list[str]:
        words = [str(_programs() / program), *map(str, arguments)]
        if self.account is None:
            return words
        user, group = f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}"
        return ["setpriv", user, group, "--clear-groups", *words]

    def start(self) -> None:
        words = [word for name, value in self.options.items() for word in ("-c", f"{name}={value}")]
        command = self._as_account("postgres", "-D", self.data, "-p", self.port, *words)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        until = time.monotonic() + 30
        while self.run("pg_isready", "-h", "127.0.0.1", "-p", self.port, "-q").returncode != 0:
            assert time.monotonic() < until, (self.folder / "log").read_text()
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)

    def signal(self, number: int, *, everybody: bool = False) -> None:
        """To the postmaster, or to every process of the server."""
        assert self.process is not None
        if everybody:
            for pid in self.pids():
                os.kill(pid, number)
        else:
            os.kill(self.process.pid, number)

    def pids(self) -> list[int]:
        """The postmaster and its children."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        pids = self.pids()
        self.signal(signal.SIGKILL)
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGCONT, everybody=True)
            self.signal(signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def remove(self) -> None:
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://kessai@127.0.0.1:{self.port}/{name}"


def _port() -> int:
    """A port that is free, and that the system gives to nobody who does not ask for it: it is bound later, and again
    after each stop."""
    while True:
        port = random.randrange(20_000, 30_000)  # below all that Linux and macOS choose from
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as; None: whoever runs the tests."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("PostgreSQL does not run as root, and there is no account postgres or nobody")


@cache
def _programs() -> Path:
    """The newest server of this machine. A run without one fails."""
    found = [Path(place) for pattern in PLACES for place in Path("/").glob(pattern.lstrip("/"))]
    usable = [place for place in found if (place / "initdb").exists()]
    assert usable, PACKAGE
    return max(usable, key=lambda place: [int(part) for part in place.parts if part.isdigit()])


@cache
def server() -> Server:
    """The server of this test run, with a database that has the schema."""
    made = Server()
    atexit.register(made.remove)
    made.start()
    with ThreadPoolExecutor(1) as apart:  # whoever asks may be inside an event loop
        apart.submit(asyncio.run, _prepare(made.url(), made.url("migrated"))).result()
    return made


async def _prepare(url: str, migrated: str) -> None:
    await execute(url, "CREATE DATABASE migrated")
    await readiness.make_ready(migrated, pooled=False)


async def execute(url: str, *scripts: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for script in scripts:
            await connection.execute(script)
    finally:
        await connection.close()


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def copies(url: str) -> dict[str, bytes]:
    """Every table's rows in the server's binary form."""
    connection = await asyncpg.connect(url)
    try:
        found = {}
        for (table,) in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            whole = io.BytesIO()
            await connection.copy_from_table(table, output=whole, format="binary")
            found[table] = whole.getvalue()
        return found
    finally:
        await connection.close()


_numbers = itertools.count(1)


def fresh(*, migrated: bool = True) -> str:
    """The URL of a database that nobody has used."""
    made = server()
    name = f"t{next(_numbers)}"
    program = made.run(
        "psql",
        "-h",
        "127.0.0.1",
        "-p",
        made.port,
        "-U",
        "kessai",
        "-d",
        "postgres",
        "-qc",
        _create(name, migrated=migrated),
    )
    assert program.returncode == 0, program.stderr.decode()
    return made.url(name)


def _create(name: str, *, migrated: bool) -> str:
    return f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY wal_log" if migrated else f"CREATE DATABASE {name}"
