"""Parts of a printed section: tables, names, values, and the docstrings of fields."""

import ast
import inspect
from collections.abc import Iterable, Mapping
from enum import Enum

import msgspec

from kessai.payment.lifecycle import Operation


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(headings)]
    lines += [["" if cell is None else str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    return f"`{value}`" if value not in (None, "") else ""


def meant(heading: str, meanings: Mapping[str, str]) -> str:
    return table((heading, "Meaning"), ((code(name), meaning) for name, meaning in meanings.items()))


def names(operations: Iterable[Operation]) -> str:
    chosen = frozenset(operations)
    return ", ".join(operation.value for operation in Operation if operation in chosen)


def meanings(kind: type) -> dict[str, str]:
    """What stands below each member of a class, by its name: the docstrings of its fields, on one line."""
    [definition] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for node in definition.body:
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = target.id if isinstance(target, ast.Name) else ""
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            found[name] = " ".join(str(node.value.value).split())
    return found


def shown(value: object) -> str:
    """A value of a setting, as it is written to set it."""
    if isinstance(value, frozenset):
        value = sorted(each.value if isinstance(each, Enum) else str(each) for each in value)
    plain = msgspec.to_builtins(value)
    if isinstance(plain, str):
        return code(plain) if plain else "none"
    return code(msgspec.json.encode(plain).decode()) if plain not in ([], {}, ()) else "none"
