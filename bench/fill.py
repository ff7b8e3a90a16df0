"""A full database: payments that were really made, copied to earlier times until there are as many as wanted.

A copy has ids, instants and idempotency keys of its own and every row of its original, so indexes, books and balances
are those of so many payments. What a copy was answered still names the original.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from bench.gateway import Rows
from bench.load import MERCHANT
from bench.processes import Failed

_ORIGINALS: Final = 5_000
_TOGETHER: Final = 50_000
"""Payments in one commit."""
_MS_BITS: Final = 22
"""An id counts milliseconds from this bit on; what is below keeps its meaning."""

# A table, what changes in a copy, and which rows belong to the originals.
_OWN: Final = "SELECT id FROM transactions WHERE merchant_id = '{merchant}' AND payment_id BETWEEN {first} AND {last}"
TABLES: Final[Mapping[str, tuple[Mapping[str, str], str]]] = {
    "payments": ({"id": "ID", "expires_at": "AT"}, "id BETWEEN {first} AND {last}"),
    "transactions": (
        {
            "reference": "REF",
            "id": "ID",
            "payment_id": "ID",
            "target_id": "ID",
            "requested_at": "AT",
            "concluded_at": "AT",
        },
        "payment_id BETWEEN {first} AND {last}",
    ),
    "entries": ({"transaction_id": "ID", "posted_at": "AT"}, f"transaction_id IN ({_OWN})"),
    "events": ({"transaction_id": "ID", "id": "ID"}, f"transaction_id IN ({_OWN})"),
    "search_rows": ({"id": "ID", "submitted_at": "AT", "reference": "REF"}, f"id IN ({_OWN})"),
    "search_terms": ({"id": "ID", "submitted_at": "AT", "term": "TERM"}, f"id IN ({_OWN})"),
    "claims": ({"transaction_id": "ID", "key": "KEY"}, f"transaction_id IN ({_OWN})"),
}


def fill(rows: Rows, wanted: int) -> int:
    """Nobody serves meanwhile. How many payments there are then; Failed where there is none to copy."""
    there = _number(rows, f"SELECT count(*) FROM payments WHERE merchant_id = '{MERCHANT}'")
    originals = f"SELECT id FROM payments WHERE merchant_id = '{MERCHANT}' ORDER BY id LIMIT {_ORIGINALS}"
    count, first, last = rows.select(
        f"SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0) FROM ({originals}) AS o"
    )[0]
    if not count:
        raise Failed("there is no payment to copy")
    place = {"merchant": MERCHANT, "first": first, "last": last}
    newest = _number(rows, f"SELECT max(id) FROM ({_OWN.format(**place)}) AS o")
    span_ms = (newest - first >> _MS_BITS) + 1
    copies = max(0, -(-(wanted - there) // count))
    for low, high in _blocks(copies, max(1, _TOGETHER // count)):
        rows.execute("; ".join(_copy(table, place, span_ms, low, high, rows.random_key) for table in TABLES))
    rows.checkpoint()
    return there + copies * count


def _blocks(copies: int, together: int) -> Iterator[tuple[int, int]]:
    """The numbers of the copies, the oldest (with the greatest number) first."""
    for high in range(copies, 0, -together):
        yield max(1, high - together + 1), high


def _copy(table: str, place: Mapping[str, object], span_ms: int, low: int, high: int, random_key: str) -> str:
    changed, which = TABLES[table]
    made = {"ID": f"{{}} - copy.k * {span_ms << _MS_BITS}", "AT": f"{{}} - copy.k * {span_ms}", "KEY": random_key}
    made |= {"REF": "{0} || '-' || copy.k", "TERM": "CASE WHEN {0} LIKE 'c%' THEN {0} || '-' || copy.k ELSE {0} END"}
    names = columns(table)
    values = [made[changed[name]].format(name) if name in changed else name for name in names]
    return (
        f"INSERT INTO {table} ({', '.join(names)}) "
        f"WITH RECURSIVE copy (k) AS (SELECT {low} UNION ALL SELECT k + 1 FROM copy WHERE k < {high}) "
        f"SELECT {', '.join(values)} FROM copy CROSS JOIN {table} AS original "
        f"WHERE merchant_id = '{MERCHANT}' AND {which.format(**place)}"
    )


def columns(table: str) -> list[str]:
    """The names in a table of the schema."""
    schema = (files("kessai.storage") / "schema.sql").read_text("utf-8")
    body = re.search(rf"^CREATE TABLE {table} \((.*?)^\)", schema, re.M | re.S)
    assert body is not None
    return re.findall(r"^    ([a-z_]+) ", body[1], re.M)


def _number(rows: Rows, sql: str) -> int:
    return rows.select(sql)[0][0]
