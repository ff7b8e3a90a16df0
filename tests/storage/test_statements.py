"""Every statement and the schema, read by rules that let the database be spread over machines: R-30 to R-36, T-25."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

import pytest

from kessai.storage import database
from kessai.storage.database import statements

REFERENCE: Final[Mapping[str, str]] = {
    "merchants": "copied to every machine, changed rarely (R-35)",
    "nodes": "who is alive: a row per process (R-32)",
    "message_keys": "the installation's own pair for encrypted messages, copied to every machine (R-35)",
    "flex_keys": "the installation's own keys for cards from browsers, copied to every machine (R-35)",
    "changes": "one row that counts changes of the merchants (R-35)",
}
"""Tables that are nobody's rows, and why."""

OVER_ALL: Final[Mapping[str, str]] = {
    "next_bookkeeper": "finds rows of merchants that are not known; for the proof of the books, never on the road",
}
"""Statements over every merchant, and why."""

FORBIDDEN: Final = re.compile(
    r"\b(nextval|currval|serial|bigserial|autoincrement|sequence|generated|identity|trigger|procedure|function|"
    r"pg_\w*advisory\w*|listen|notify|lock\s+table|deferrable|exclude|temp|temporary|unlogged|skip\s+locked|"
    r"references|foreign\s+key)\b",
    re.IGNORECASE,
)
"""What R-32 and R-34 rule out."""

_TABLE: Final = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\)", re.DOTALL)
_INDEX: Final = re.compile(r"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) \((\w+)")
_KEY: Final = re.compile(r"(?:PRIMARY KEY|UNIQUE) \((\w+)")
_USE: Final = re.compile(r"\b(FROM|JOIN|UPDATE|INTO)\s+(\w+)(?:\s+AS\s+(\w+)|\s+(?!ON\b|SET\b|WHERE\b)([a-z]\w*)\b)?")


def schema() -> str:
    return (files("kessai.storage") / "schema.sql").read_text("utf-8")


def tables() -> set[str]:
    return {name for name, _ in _TABLE.findall(schema())}


def faults_of_schema(script: str) -> list[str]:
    faults = [f"{found[0]} is used" for found in FORBIDDEN.finditer(_uncommented(script))]
    for table, body in _TABLE.findall(script):
        if table in REFERENCE:
            continue
        if body.split()[0] != "merchant_id":
            faults.append(f"{table} does not begin with merchant_id")
        keys = _KEY.findall(body)
        if (
            not keys
            or any(first != "merchant_id" for first in keys)
            or " PRIMARY KEY" in body.partition("PRIMARY KEY (")[0]
        ):
            faults.append(f"a key of {table} does not begin with merchant_id")
    for table, first in _INDEX.findall(script):
        if table not in REFERENCE and first != "merchant_id":
            faults.append(f"an index of {table} does not begin with merchant_id")
    return faults


def faults_of_statement(sql: str) -> list[str]:
    """Why a statement could not run on a database that is spread by merchant."""
    faults = [f"{found[0]} is used" for found in FORBIDDEN.finditer(sql)]
    merchants_own = tables() - REFERENCE.keys()
    for block in _blocks(sql):
        for verb, table, *aliases in _USE.findall(block):
            if table not in merchants_own:
                continue
            alias = aliases[0] or aliases[1]
            if verb == "INTO":
                is_named = re.search(rf"INTO {table} \(merchant_id\b", block) is not None
            else:
                own = rf"\b{alias}\.merchant_id" if alias else rf"(?<![\w.])(?:{table}\.)?merchant_id"
                is_named = re.search(rf"{own}\s*=|=\s*{own}\b", block) is not None
            if not is_named:
                faults.append(f"{verb} {table} does not name the merchant")
        for first in re.findall(r"ON CONFLICT \((\w+)", block):
            if first not in ("merchant_id", "id", "node"):
                faults.append(f"a conflict on {first}")
    return faults


def _blocks(sql: str) -> Iterator[str]:
    """Each SELECT, INSERT, UPDATE and DELETE by itself, without those inside of it."""
    depth, start, inside = 0, 0, ""
    position = 0
    for found in re.finditer(r"[()]", sql):
        if found[0] == "(":
            if depth == 0:
                inside += sql[position : found.start()]
                start = found.end()
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                content = sql[start : found.start()]
                if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", content):
                    yield from _blocks(content)
                    inside += "()"
                else:
                    inside += f"({content})"
                    yield from (part for part in _blocks(content) if "SELECT" in part)
                position = found.end()
    assert depth == 0, sql
    yield from re.split(r"\bUNION(?: ALL)?\b", inside + sql[position:])


def _uncommented(script: str) -> str:
    return re.sub(r"--.*|/\*.*?\*/", "", script)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_statement_names_the_merchant_and_needs_nothing_that_does_not_spread(kind: database.Kind) -> None:
    """R-30, R-34, T-25."""
    faults = {name: faults_of_statement(sql) for name, sql in statements(kind).items() if name not in OVER_ALL}
    assert {name: found for name, found in faults.items() if found} == {}
    assert len(faults) > 40


def test_every_key_and_index_of_the_schema_begins_with_the_merchant() -> None:
    """R-30, R-32."""
    assert faults_of_schema(schema()) == []
    assert len(tables()) > 10


def test_every_exception_is_still_needed() -> None:
    assert all(faults_of_statement(statements("sqlite")[name]) for name in OVER_ALL)
    assert REFERENCE.keys() <= tables()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM transactions WHERE id = :id",
        "SELECT t.id FROM claims AS c JOIN transactions AS t ON t.id = c.transaction_id WHERE c.merchant_id = :m",
        "UPDATE payments SET version = 1 WHERE id = :id",
        "UPDATE payments AS p SET version = 1 FROM wanted AS w WHERE p.id = w.id AND w.merchant_id = :m",
        "DELETE FROM jobs WHERE id = :id",
        "INSERT INTO events (id, merchant_id) VALUES (:id, :m)",
        "INSERT INTO claims (merchant_id, key) VALUES (:m, :key) ON CONFLICT (key) DO NOTHING",
        "WITH a AS (UPDATE jobs SET state = 'x' RETURNING id) SELECT id FROM a WHERE merchant_id = :m",
        "SELECT id FROM jobs WHERE merchant_id = :m AND id IN (SELECT id FROM events)",
        "SELECT id FROM jobs WHERE merchant_id = :m UNION SELECT id FROM events",
        "SELECT id FROM jobs WHERE merchant_id = :m FOR UPDATE SKIP LOCKED",
        "SELECT nextval('numbers')",
        "SELECT pg_advisory_xact_lock(1)",
        "LOCK TABLE payments",
        "NOTIFY jobs",
        "CREATE TEMPORARY TABLE x (id BIGINT)",
    ],
)
def test_a_planted_statement_is_found(sql: str) -> None:
    """The test of the test."""
    assert faults_of_statement(sql)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE rows (\n    id BIGINT NOT NULL PRIMARY KEY\n)",
        "CREATE TABLE rows (\n    merchant_id TEXT NOT NULL,\n    id BIGINT,\n    PRIMARY KEY (id, merchant_id)\n)",
        "CREATE TABLE rows (\n    merchant_id TEXT,\n    id INT,\n    UNIQUE (id),\n    PRIMARY KEY (merchant_id)\n)",
        "CREATE TABLE rows (\n    merchant_id TEXT,\n    id BIGSERIAL,\n    PRIMARY KEY (merchant_id, id)\n)",
        "CREATE INDEX rows_by ON payments (expires_at)",
        "CREATE UNLOGGED TABLE rows (id BIGINT)",
        "CREATE TRIGGER t AFTER INSERT ON payments EXECUTE FUNCTION f()",
    ],
)
def test_a_planted_table_is_found(script: str) -> None:
    """The test of the test."""
    assert faults_of_schema(script)
