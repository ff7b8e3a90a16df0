"""PostgreSQL's plans of what deliveries come to, made while tables are empty and kept: rows are found by their keys.

A plan that reads whatever a merchant has is as good on an empty table, and takes minutes beside ten thousand rows.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests import postgres

from kessai.storage.database import load_queries
from kessai.storage.lane import Lane

BY_KEYS = ("(id = ", "(id >= ", "(payment_id = ")


async def plan_of(name: str) -> dict[str, Any]:
    """The plan that a lane keeps, on tables that were empty when it was asked first."""
    query = load_queries("postgres")[name]
    lane = Lane(postgres.fresh(), {}, pooled=False, on_down=lambda _: None)
    await lane.open()
    connection = lane._connection
    assert isinstance(connection, asyncpg.Connection)
    try:
        await connection.execute(f"PREPARE looked_at AS {query.sql}")
        nothing = ", ".join(["NULL"] * len(query.names))
        (told,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at({nothing})")
        plan: dict[str, Any] = json.loads(told[0])[0]["Plan"]
        return plan
    finally:
        await lane.close()


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
    astray = [each for each in found if not any(key in each.get("Index Cond", "") for key in BY_KEYS)]
    assert astray == []
