"""The list of attacks and the tests name the same rows."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.attacks.absent import ABSENT, IN_PART, ROWS

TESTS = Path(__file__).parents[1]
_ID = re.compile(r"\bA-([0-9]+)(?: to A-([0-9]+))?\b")


@cache
def named() -> frozenset[str]:
    """Every row that the docstring of a test names."""
    found: set[str] = set()
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for first, last in _ID.findall(ast.get_docstring(node) or ""):
                    found |= {f"A-{number}" for number in range(int(first), int(last or first) + 1)}
    return frozenset(found)


@pytest.mark.parametrize("row", ROWS)
def test_every_attack_has_a_test_or_a_reason(row: str) -> None:
    """T-21: one of the two, and not both."""
    assert (row in named()) != (row in ABSENT)


def test_the_tables_hold_rows_only() -> None:
    """T-21: what is missing in part belongs to a row that is tested for the rest."""
    assert set(ABSENT) | set(IN_PART) <= set(ROWS)
    assert set(IN_PART) <= named()
    assert all(reason for reason in (*ABSENT.values(), *IN_PART.values()))
