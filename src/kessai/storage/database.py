"""The database behind one small interface: reads by name, and writes that are committed in groups.

A `Write` is a value that knows its statements. Every write that waits when a turn of the event loop ends goes into one
durable commit: the more callers, the fewer syncs. A write that fails is taken out and its neighbours are committed
without it. A commit that fails has an unknown outcome: its writers are told so, the connection is closed and another
one opened, and the rows tell what happened.

Two engines keep these promises: `sqlite` (one process, one folder) and `postgres` (any number of processes).

    DatabaseError
    ├── InUse         another process has the writer's lock
    ├── Unsafe        the engine or file cannot keep the promises
    ├── Unavailable   nothing of this write was done, and it may work in a moment
    │   └── Overloaded  too many writes wait
    └── CommitUnknown a commit failed: the rows may or may not be there
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import Any, Final, Literal, Protocol, TypeVar

from kessai.storage import sealed

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
Row = tuple[Any, ...]
Values = Mapping[str, object]
Run = Callable[[str, Values], list[Row]]
"""Run a named query inside a write: its rows."""
RunAll = Callable[[str, Sequence[tuple[Any, ...]]], int]
"""Run a named query once for each of many rows, whose values stand in its own order: how many rows it changed."""
Kind = Literal["sqlite", "postgres"]

MOST_WAITING: Final = 20_000
"""Writes that may wait; over it the gateway says so at once (R-12)."""


class DatabaseError(Exception):
    """The world is broken; see the tree in the module's docstring."""


class InUse(DatabaseError):
    pass


class Unsafe(DatabaseError):
    pass


class CommitUnknown(DatabaseError):
    pass


class Unavailable(DatabaseError):
    pass


class Overloaded(Unavailable):
    """More writes wait than `MOST_WAITING`; nothing of this one was done."""


class Failure(Enum):
    """What an error means for the write that met it (R-8)."""

    BUG = "bug"
    """The statement is wrong, and will be wrong again."""
    NOT_DONE = "not done"
    """Rolled back whole; the same write may work later."""
    RETRY = "retry"
    """Rolled back whole, for reasons that lie in its neighbours: it may work at once."""
    UNKNOWN = "unknown"
    """It may have been done: everything after sending, every failed commit."""


class Write(Protocol[T_co]):
    """Statements that belong together. Conditions are in their `WHERE`; losing a race is a result, not an error.

    `apply` runs them one by one inside a transaction; where the database is another process, `together` says how writes
    of a kind become one statement. A write with `may_be_refused` set is turned away while too many wait; an outcome
    never is.
    """

    def apply(self, run: Run) -> T_co: ...


class Database(Protocol):
    """What every engine offers."""

    observe: Callable[[int, float], None]
    """Told of every commit: how many writes shared it, how many seconds it took."""

    @property
    def kind(self) -> Kind: ...

    @property
    def is_gone(self) -> bool:
        """Whether what is written now would be lost: the file was removed or replaced."""
        ...

    @property
    def fault(self) -> str | None:
        """What is wrong at the moment, in a few words; None where nothing is."""
        ...

    @property
    def weaknesses(self) -> tuple[str, ...]:
        """Why acknowledged payments may be lost; empty unless the installation allows it."""
        ...

    @property
    def waiting(self) -> int:
        """Writes that wait for a commit."""
        ...

    @property
    def token_changes(self) -> int | None:
        """How often tokens were changed; as long as it is the same, what was read of them still stands. None where
        other processes may change them too."""
        ...

    async def write(self, write: Write[T]) -> T:
        """Apply a write durably; returns after its commit."""
        ...

    async def read(self, query: str, values: Values) -> list[Row]:
        """Rows of a named query, from committed state."""
        ...

    async def settled(self) -> None:
        """Wait until every write that was given before now is committed, or will never be."""
        ...

    async def ask(self, sql: str, values: Sequence[object]) -> list[Row]:
        """Rows of a statement that was composed for one search (`search`), its values by their numbers."""
        ...

    async def close(self) -> None:
        """Commit what waits, and let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """A named query with its parameters in the order of their places."""

    sql: str
    names: tuple[str, ...]
    changes_tokens: bool = False
    counted: str = ""
    """The same where its rows are counted only: SQLite makes a table for each `RETURNING`, and throws it away."""

    def bind(self, values: Values) -> tuple[object, ...]:
        return tuple(map(values.__getitem__, self.names))


_NAME: Final = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_CHANGES_TOKENS: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) tokens\b")
_RETURNING: Final = re.compile(r"\nRETURNING [^\n]+\Z")
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")


def statements(kind: Kind) -> dict[str, str]:
    """The text of every named query: the shared ones of `sql/*.sql`, the engine's twins in a folder beside them, and
    those that follow from the table of sealed columns."""
    shared = dict(_texts("sql"))
    own = dict(_texts(f"sql/{kind}"))
    return shared | own | sealed.statements(kind)


def _texts(place: str) -> Iterator[tuple[str, str]]:
    folder = files("kessai.storage").joinpath(*place.split("/"))
    if not folder.is_dir():
        return
    seen: set[str] = set()
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        parts = _NAME.split(file.read_text("utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            assert name not in seen, f"two queries are named {name}"
            seen.add(name)
            lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
            yield name, "\n".join(lines).strip().rstrip(";")


def load_queries(kind: Kind = "sqlite") -> dict[str, Query]:
    """Every named query with the engine's own places for its parameters: `?` each time, or `$n` by name."""
    queries: dict[str, Query] = {}
    for name, sql in statements(kind).items():
        places = _PARAMETER.findall(sql)
        if kind == "sqlite":
            changes_tokens = _CHANGES_TOKENS.search(sql) is not None
            text = _PARAMETER.sub("?", sql)
            queries[name] = Query(text, tuple(places), changes_tokens, _RETURNING.sub("", text))
            continue
        names = tuple(dict.fromkeys(places))
        numbered = {place: f"${number}" for number, place in enumerate(names, 1)}
        queries[name] = Query(_PARAMETER.sub(lambda found, to=numbered: to[found[1]], sql), names)  # type: ignore[misc]
    return queries


def migrations() -> list[tuple[int, str]]:
    """Numbered forward migrations, oldest first."""
    folder = files("kessai.storage") / "migrations"
    found = [(int(file.name[:4]), file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)
