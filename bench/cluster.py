"""A private PostgreSQL: its own cluster in a folder of the bench, every write synced, gone with the bench.

Settings are the defaults but for `shared_buffers` and `max_connections`. PostgreSQL does not run as root: then it runs
under the account `postgres`.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import processes
from bench.processes import Failed

ACCOUNT: Final = "postgres"
SETTINGS: Final = {"shared_buffers": "1GB", "max_connections": "200"}
_SCALE: Final = 50
_CLIENTS: Final = 64
_OLDEST: Final = 15
_HOMES: Final = "usr/lib/postgresql/*/bin"  # Debian keeps programs of servers off the path
_START_S: Final = 30.0


def programs() -> Path:
    """The folder with the newest server's programs. Failed."""
    found = sorted(Path("/").glob(_HOMES), key=lambda folder: float(folder.parent.name))
    usable = [folder for folder in found if (folder / "postgres").exists() and float(folder.parent.name) >= _OLDEST]
    if usable:
        return usable[-1]
    on_path = shutil.which("initdb")
    if on_path is None:
        raise Failed(f"PostgreSQL {_OLDEST} or newer is not installed")
    return Path(on_path).resolve().parent


@dataclass(frozen=True, slots=True)
class Cluster:
    """One that runs."""

    folder: Path
    port: int
    password: str
    pid: int
    programs: Path

    @staticmethod
    @contextmanager
    def started(work: Path) -> Iterator["Cluster"]:
        """A fresh cluster, until the end of the block."""
        folder, where, password = work / "cluster", programs(), secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        secret = work / "password"
        secret.write_text(password)
        if os.geteuid() == 0:
            account = _account()
            os.chown(folder, account.pw_uid, account.pw_gid)
            os.chown(secret, account.pw_uid, account.pw_gid)
        secret.chmod(0o600)
        _run(
            [
                *(*_as_account(), str(where / "initdb"), "-D", str(folder), "-U", ACCOUNT, "--encoding=UTF8"),
                *("--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}"),
            ]
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [*_as_account(), str(where / "postgres"), "-D", str(folder), "-p", str(port), "-k", str(folder)]
        process = processes.start([*command, "-h", "127.0.0.1", *settings], work / "postgresql.log")
        try:
            cluster = Cluster(folder, port, password, process.pid, where)
            ready = [str(where / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            if not processes.succeeds(ready, _START_S):
                raise Failed(
                    "PostgreSQL did not start: " + (work / "postgresql.log").read_text("utf-8", "replace")[-300:]
                )
            yield cluster
        finally:
            processes.stop(process, signal.SIGINT)  # ends sessions, then writes a checkpoint

    def psql(self, database: str, sql: str) -> str:
        """What a script prints: values parted by a comma, a line per row."""
        options = ["-X", "-q", "-A", "-t", "-F", ",", "-v", "ON_ERROR_STOP=1"]
        return _run(
            [str(self.programs / "psql"), *options, *self._there(database), "-f", "-"], self._environment(), sql
        )

    def prepare_pgbench(self) -> None:
        self.psql(ACCOUNT, "CREATE DATABASE pgbench")
        program = str(self.programs / "pgbench")
        _run([program, "-i", "-q", "-s", str(_SCALE), *self._there("pgbench")], self._environment())

    def pgbench(self, seconds: int) -> float:
        """Transactions a second of the standard six statements, after `prepare_pgbench`."""
        load = ["-M", "prepared", "-c", str(_CLIENTS), "-j", "2", "-T", str(seconds), "-n"]
        told = _run([str(self.programs / "pgbench"), *load, *self._there("pgbench")], self._environment())
        found = re.search(r"^tps = ([0-9.]+)", told, re.M)
        if found is None:
            raise Failed(f"pgbench did not tell how fast it was: {told[-200:]}")
        return float(found[1])

    def _there(self, database: str) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", ACCOUNT, database]

    def _environment(self) -> Mapping[str, str]:
        return {"PGPASSWORD": self.password}


class Database:
    """`Rows` of one database of a cluster."""

    random_key = "uuid_send(gen_random_uuid())"

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.pids: tuple[int, ...] = (cluster.pid,)
        self.url = f"postgresql://{ACCOUNT}:{cluster.password}@127.0.0.1:{cluster.port}/{name}"
        self._cluster = cluster
        cluster.psql(ACCOUNT, f"CREATE DATABASE {name}")
        self._empty_bytes = self._bytes()

    def select(self, sql: str) -> list[tuple[int, ...]]:
        lines = self._cluster.psql(self.name, sql).splitlines()
        return [tuple(int(text) for text in line.split(",")) for line in lines]

    def texts(self, sql: str) -> list[str]:
        return self._cluster.psql(self.name, sql).splitlines()

    def execute(self, sql: str) -> None:
        self._cluster.psql(self.name, f"BEGIN; {sql}; COMMIT")

    def checkpoint(self) -> int:
        self._cluster.psql(self.name, "VACUUM ANALYZE; CHECKPOINT")
        return self._bytes() - self._empty_bytes

    def _bytes(self) -> int:
        return self.select(f"SELECT pg_database_size('{self.name}')")[0][0]

    def drop(self) -> None:
        self._cluster.psql(ACCOUNT, f"DROP DATABASE {self.name}")


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise Failed(f"PostgreSQL does not run as root, and there is no account {ACCOUNT}") from None


def _as_account() -> list[str]:
    """What stands before a command that root may not run."""
    if os.geteuid():
        return []
    account = _account()
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None, given: str = "") -> str:
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=dict(os.environ) | dict(environment or {}),
    )
    if done.returncode:
        raise Failed(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
