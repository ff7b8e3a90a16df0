"""PostgreSQL's plans: rows are found by their keys, also where a plan was made while tables were empty.

A plan that reads whatever a merchant has is as good on an empty table, and takes minutes beside ten thousand rows.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest
from tests import postgres

from kessai.storage.database import load_queries
from kessai.storage.lane import PLANS_S, Lane

BY_KEYS: Final = ("(id = ", "(id >= ", "(payment_id = ")
QUERIES: Final = load_queries("postgres")

MANY: Final = (
    "INSERT INTO payments (merchant_id, id, version, brand, pan_prefix, pan_suffix, expiry) "
    "SELECT 'm', n, 0, '', '', '', '' FROM generate_series(1, 5000) n",
    "INSERT INTO transactions (merchant_id, id, payment_id, operation, status, currency, requested, approved, hold, "
    "reference, stan, rrn, flags, facts, warnings, particulars, requested_at, lease, correlation) "
    "SELECT 'm', n, n, 'sale', 'approved', 'USD', 1, 1, 0, '', '', '', '', '', '', '', 0, 0, '' "
    "FROM generate_series(1, 5000) n",
)


async def plan_of(name: str) -> dict[str, Any]:
    """The plan that a lane keeps, on tables that were empty when it was asked first."""
    query = QUERIES[name]
    async with a_lane() as (_, connection):
        await connection.execute(f"PREPARE looked_at AS {query.sql}")
        return await told(connection, "looked_at", len(query.names))


@asynccontextmanager
async def a_lane() -> AsyncIterator[tuple[Lane, asyncpg.Connection]]:
    """A lane to a database of its own, and the connection behind it."""
    lane = Lane(postgres.fresh(), QUERIES, pooled=False, on_down=lambda _: None)
    await lane.open()
    try:
        connection = lane._connection
        assert isinstance(connection, asyncpg.Connection)
        yield lane, connection
    finally:
        await lane.close()


async def told(connection: asyncpg.Connection, statement: str, parameters: int) -> dict[str, Any]:
    nothing = ", ".join(["NULL"] * parameters)
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE {statement}({nothing})")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        yield node
    for inner in node.get("Plans", ()):
        yield from scans(inner)


@pytest.mark.parametrize(
    ("name", "reads"), [("conclude", 3), ("tell", 2), ("noticed_payments", 3), ("noticed_transactions", 6)]
)
def test_a_plan_of_an_empty_table_finds_rows_by_their_keys(name: str, reads: int) -> None:
    found = list(scans(asyncio.run(plan_of(name))))
    assert len(found) == reads
    assert astray(found) == []


def astray(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if not any(key in _condition(each) for key in BY_KEYS)]


def _condition(scan: dict[str, Any]) -> str:
    return str(scan.get("Index Cond") or scan.get("Recheck Cond") or "")


@pytest.mark.parametrize("name", ["read_claim", "found_rows", "load_payment_of"])
def test_a_plan_is_made_again_when_its_tables_have_grown(name: str) -> None:
    query = QUERIES[name]

    async def main() -> None:
        async with a_lane() as (lane, connection):
            nothing = dict.fromkeys(query.names)
            await connection.execute("ALTER TABLE transactions SET (autovacuum_enabled = off)")
            await connection.execute("ALTER TABLE payments SET (autovacuum_enabled = off)")
            assert await lane.run(name, nothing) == []
            for filled in MANY:
                await connection.execute(filled)
            await asyncio.sleep(PLANS_S[0])
            assert await lane.run(name, nothing) == []
            plan = await told(connection, f"kessai_{name}", len(query.names))
            grown = [each for each in scans(plan) if each["Relation Name"] != "claims"]
            assert grown
            assert astray(grown) == []

    asyncio.run(main())
