"""Which columns hold what the vault sealed, as a table. Walking them, counting and re-sealing follow from its rows.

A new column is a row here: its statements (`sealed_page_…`, `sealed_count_…`, `reseal_…`) are made from it, for both
engines, and are read by the same rules as every other statement. Pure.
"""

from dataclasses import dataclass
from typing import Final, Literal

Type = Literal["bigint", "text"]
_FIRST: Final[dict[Type, object]] = {"bigint": -1, "text": ""}
"""What stands before every value that a key has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A column of sealed values.

    `key` is what follows the merchant in the primary key, with its type. `place` is the word for the column that is
    authenticated with a value; with it goes the row, which is the key as text, its parts joined by points.
    """

    table: str
    key: tuple[tuple[str, Type], ...]
    column: str
    purpose: str
    """Which of the merchant's keys seals it: `card` or `secret`."""
    place: str

    @property
    def name(self) -> str:
        return f"{self.table}_{self.column}"

    @property
    def first(self) -> tuple[object, ...]:
        """Before the first row."""
        return tuple(_FIRST[kind] for _, kind in self.key)

    def row_id(self, key: tuple[object, ...]) -> str:
        return ".".join(map(str, key))


SEALED: Final = (
    Sealed(table="payments", key=(("id", "bigint"),), column="card", purpose="card", place="card"),
    Sealed(table="merchant_keys", key=(("id", "text"),), column="sealed", purpose="secret", place="shared_secret"),
    Sealed(table="tokens", key=(("id", "text"),), column="sealed", purpose="card", place="token"),
    Sealed(table="transients", key=(("id", "bigint"),), column="card", purpose="card", place="card"),
    Sealed(table="transients", key=(("id", "bigint"),), column="code", purpose="secret", place="transient_code"),
    Sealed(table="authentications", key=(("id", "bigint"),), column="card", purpose="card", place="card"),
    Sealed(table="authentications", key=(("id", "bigint"),), column="code", purpose="secret", place="waiting_code"),
    Sealed(table="webhook_keys", key=(("id", "text"),), column="sealed", purpose="secret", place="webhook_key"),
)


def statements(kind: str) -> dict[str, str]:
    """The text of the statements about every column, by name."""
    made: dict[str, str] = {}
    for each in SEALED:
        made |= _reads(each)
        made[f"reseal_{each.name}"] = _on_postgres(each) if kind == "postgres" else _on_sqlite(each)
    return made


def _reads(each: Sealed) -> dict[str, str]:
    names = ", ".join(name for name, _ in each.key)
    after = ", ".join(f":after_{name}" for name, _ in each.key)
    page = (
        f"SELECT {names}, {each.column} FROM {each.table}\n"  # noqa: S608 - names of the table above
        f" WHERE merchant_id = :merchant_id AND ({names}) > ({after})\n"
        f" ORDER BY {names} LIMIT :most"
    )
    return {f"sealed_page_{each.name}": page}


def _on_sqlite(each: Sealed) -> str:
    """One row, unless somebody has changed its value meanwhile."""
    same = " AND ".join(f"{name} = :{name}" for name, _ in each.key)
    return (
        f"UPDATE {each.table} SET {each.column} = :sealed\n"  # noqa: S608 - names of the table above
        f" WHERE merchant_id = :merchant_id AND {same} AND {each.column} = :was\n"
        f"RETURNING 1"
    )


def _on_postgres(each: Sealed) -> str:
    """Many rows, each unless somebody has changed its value meanwhile."""
    arrays = ", ".join(f":{name}::{kind}[]" for name, kind in each.key)
    names = ", ".join(name for name, _ in each.key)
    same = " AND ".join(f"t.{name} = w.{name}" for name, _ in each.key)
    return (
        f"UPDATE {each.table} AS t SET {each.column} = w.sealed\n"  # noqa: S608 - names of the table above
        f"  FROM unnest({arrays}, :was::bytea[], :sealed::bytea[]) AS w ({names}, was, sealed)\n"
        f" WHERE t.merchant_id = :merchant_id AND {same} AND t.{each.column} = w.was\n"
        f"RETURNING 1"
    )
