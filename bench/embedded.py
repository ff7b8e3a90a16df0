"""The embedded database of a gateway, looked at from beside it."""

from pathlib import Path

from kessai.storage import sqlite


class Embedded:
    """`Rows` of a data folder. Connections are opened for the moment: the gateway is its one lasting user."""

    pids: tuple[int, ...] = ()
    random_key = "randomblob(16)"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "kessai.db"

    def select(self, sql: str) -> list[tuple[int, ...]]:
        connection = sqlite.connect(self._path)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    def texts(self, sql: str) -> list[str]:
        connection = sqlite.connect(self._path)
        try:
            return [str(row[0]) for row in connection.execute(sql)]
        finally:
            connection.close()

    def execute(self, sql: str) -> None:
        connection = sqlite.connect(self._path)
        try:
            connection.execute(f"BEGIN IMMEDIATE; {sql}; COMMIT")
        finally:
            connection.close()

    def checkpoint(self) -> int:
        connection = sqlite.connect(self._path)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        return self._path.stat().st_size
