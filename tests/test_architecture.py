"""The walls of the house: who may import whom, and what the pure rooms may not touch. Read from the source, by `ast`.

`docs/explanation/architecture.md` prints the same table; a test below compares the two.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import kessai

SOURCE: Final = Path(kessai.__file__).parent
PAGE: Final = SOURCE.parents[1] / "docs" / "explanation" / "architecture.md"
LONGEST_MODULE_LINES: Final = 500

ROOMS: Final[Mapping[str, str]] = {
    "payment": "",
    "ids": "",
    "config": "",
    "deadlines": "",
    "tls": "",
    "metrics": "",
    "backup": "",
    "ledger": "payment",
    "vault": "payment",
    "log": "payment",
    "known_answers": "vault",
    "acquirers": "log, payment",
    "dialects": "authentication, ids, payment, tokens",
    "tokens": "payment",
    "authentication": "payment",
    "storage": "ledger, payment, tokens",
    "tokenizer": "payment, storage, tokens, vault",
    "server": "tls",
    "sandbox": "acquirers, authentication, payment, storage",
    "books": "ledger, payment, storage",
    "verify": "acquirers, books, payment, storage",
    "health": "ids, log, metrics, payment, storage, vault",
    "claims": "ids, payment, storage",
    "keys": "log, storage, vault",
    "rotation": "keys, log, storage, vault",
    "messages": "storage, vault",
    "envelopes": "accounts, dialects, storage",
    "outcomes": "ids, log, payment, storage, tokens",
    "late": "acquirers, ids, log, payment, storage",
    "gateway": "acquirers, claims, deadlines, ids, late, ledger, log, metrics, outcomes, payment, storage, tokens, "
    "vault",
    "jobs": "claims, gateway, ids, late, ledger, log, outcomes, payment, storage",
    "accounts": "acquirers, dialects, keys, messages, payment, storage, vault",
    "limits": "dialects, log, metrics, payment",
    "transients": "claims, dialects, ids, payment, storage, vault",
    "authenticator": "authentication, claims, ids, log, payment, storage, transients, vault",
    "edge": "accounts, authentication, authenticator, claims, dialects, envelopes, gateway, ids, limits, log, "
    "metrics, outcomes, payment, sandbox, storage, tokenizer, tokens, transients",
    "networks": "log, payment, storage, tokenizer, tokens",
    "tms": "accounts, claims, dialects, edge, envelopes, ids, log, metrics, payment, storage, tokenizer, tokens, "
    "transients",
    "flex": "accounts, dialects, edge, limits, log, metrics, transients",
    "risk": "accounts, authenticator, dialects, edge, ids, log, payment, sandbox",
    "checkout": "authentication, authenticator, dialects, edge, limits",
    "searches": "accounts, dialects, edge, gateway, log, payment, storage",
    "once": "dialects, edge, gateway, ids, payment, storage",
    "clock": "accounts, dialects, edge, log, once, payment, sandbox, storage",
    "billing": "accounts, claims, dialects, edge, gateway, ids, jobs, log, once, payment, storage, tokenizer, tokens",
    "webhooks": "accounts, dialects, edge, gateway, ids, keys, log, once, payment, storage, vault",
    "parcels": "",
    "moving": "dialects, parcels, payment, storage, tokenizer, tokens",
    "s2s": "accounts, authentication, authenticator, claims, dialects, edge, gateway, ids, jobs, limits, log, metrics, "
    "once, outcomes, payment, sandbox, storage, tokenizer, tokens",
    "hosted": "accounts, authentication, checkout, claims, dialects, edge, gateway, ids, limits, log, metrics, "
    "outcomes, payment, s2s, sandbox, storage",
    "second": "accounts, authenticator, gateway, hosted, jobs, limits, metrics, payment, s2s, tokenizer",
    "app": "accounts, acquirers, authenticator, billing, checkout, clock, config, edge, flex, gateway, health, ids, "
    "jobs, known_answers, limits, log, metrics, moving, networks, payment, risk, rotation, searches, second, storage, "
    "tms, tokenizer, transients, vault, webhooks",
    "transfers": "accounts, app, log, moving, parcels",
    "story": "accounts, app, dialects, ids, ledger, payment, tokens",
    "outbox": "accounts, app, dialects, ids, storage, story, webhooks",
    "admin": "accounts, app, backup, books, config, ids, jobs, log, outbox, payment, rotation, sandbox, storage, "
    "story, transfers, verify",
}
"""Room (a folder or a module of the package) to the rooms that it may import. Rooms of `HANDS` may import every one."""

HANDS: Final = frozenset({"__init__", "__main__", "cli", "client", "demo", "reference", "serving", "show", "team"})
"""What people and documents are served by: the outermost floor, which nothing of the house imports."""

NARROW: Final[Mapping[tuple[str, str], str]] = {
    ("log", "payment"): "kessai.payment.card",
    ("gateway", "acquirers"): "kessai.acquirers",
    ("gateway", "tokens"): "kessai.tokens.standing",
    ("accounts", "acquirers"): "kessai.acquirers",
    ("app", "acquirers"): "kessai.acquirers",
    ("sandbox", "acquirers"): "kessai.acquirers.simulator.scenarios",
    ("verify", "acquirers"): "kessai.acquirers.simulator.journal",
}
"""Where one module of a room may be imported and no other."""

PACKAGES: Final[Mapping[str, str]] = {
    "accounts": "msgspec",
    "backup": "apsw",
    "acquirers": "msgspec",
    "authentication": "msgspec",
    "authenticator": "joserfc, msgspec",
    "dialects": "cryptography, joserfc, msgspec",
    "billing": "msgspec",
    "clock": "msgspec",
    "edge": "msgspec",
    "envelopes": "joserfc, msgspec",
    "flex": "msgspec",
    "gateway": "msgspec",
    "hosted": "msgspec",
    "jobs": "msgspec",
    "ledger": "msgspec",
    "log": "msgspec",
    "known_answers": "tink",
    "messages": "cryptography, joserfc",
    "outcomes": "msgspec",
    "moving": "joserfc, msgspec",
    "parcels": "cryptography, joserfc, msgspec",
    "s2s": "msgspec",
    "payment": "msgspec",
    "searches": "msgspec",
    "server": "httptools, uvicorn, uvloop",
    "storage": "apsw, asyncpg, msgspec, zstandard",
    "story": "msgspec",
    "tls": "cryptography",
    "tms": "msgspec",
    "tokenizer": "msgspec",
    "tokens": "msgspec",
    "transients": "cryptography, joserfc, msgspec",
    "vault": "tink",
    "webhooks": "httptools, msgspec, uvloop",
}
"""Room to the packages from outside the standard library that it may use; rooms that are not named use none."""

PURE: Final = ("payment", "tokens", "authentication", "ledger", "dialects", "acquirers")
"""Rooms without I/O, clock or randomness. Of `acquirers` this holds for everything but the modules of `SHELL`."""

SHELL: Final = (".link", ".journal", ".process", ".remote")
"""Modules of `acquirers` that do I/O: the ways to an acquirer, and where a simulated one keeps its book."""

IMPURE_MODULES: Final = (
    "asyncio, http, io, logging, multiprocessing, os, pathlib, random, secrets, select, shutil, signal, socket, "
    "sqlite3, ssl, subprocess, tempfile, threading, time, urllib, uuid"
)
IMPURE_CALLS: Final = frozenset({"now", "utcnow", "today", "open", "print", "input"})


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = (SOURCE.name, *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES: Final = _modules()


def _room(module: str) -> str:
    _, _, inside = module.partition(".")
    return inside.partition(".")[0] or "__init__"


def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def _imports(module: str) -> Iterator[str]:
    """The modules that a module imports, by their full names; a name out of a module counts as that module."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def _words(text: str) -> set[str]:
    return {word for word in text.split(", ") if word}


def _used(room: str) -> set[str]:
    """The other rooms that the modules of a room import."""
    return {
        _room(imported)
        for module in MODULES
        if _room(module) == room
        for imported in _imports(module)
        if imported in MODULES and _room(imported) != room
    }


def test_every_room_stands_in_the_table() -> None:
    assert {_room(module) for module in MODULES} - HANDS == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_row_says_and_nothing_else(room: str) -> None:
    assert _used(room) - {"__init__"} == _words(ROOMS[room])


@pytest.mark.parametrize(("importer", "room"), NARROW)
def test_a_narrow_door_leads_to_one_module(importer: str, room: str) -> None:
    through = {
        imported
        for module in MODULES
        if _room(module) == importer
        for imported in _imports(module)
        if _room(imported) == room and imported in MODULES
    }
    assert through == {NARROW[importer, room]}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_the_packages_that_its_row_names(room: str) -> None:
    used = {
        imported.partition(".")[0] for module in MODULES if _room(module) == room for imported in _imports(module)
    } - {"kessai"}
    assert used - set(sys.stdlib_module_names) == _words(PACKAGES.get(room, ""))


def _pure_modules() -> list[str]:
    return [module for module in MODULES if _room(module) in PURE and not module.endswith(SHELL)]


@pytest.mark.parametrize("module", _pure_modules())
def test_a_pure_module_does_no_io_and_reads_no_clock(module: str) -> None:
    assert {imported.partition(".")[0] for imported in _imports(module)} & _words(IMPURE_MODULES) == set()
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }
    assert called & IMPURE_CALLS == set()


def test_nothing_imports_itself_in_a_circle() -> None:
    graph = {module: {name for name in _imports(module) if name in MODULES} - {module} for module in MODULES}
    while graph:
        leaves = {module for module, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in leaves}


def test_dialects_of_one_wire_import_no_other_wire() -> None:
    for module in MODULES:
        if not module.startswith("kessai.dialects.") or module.count(".") < 3:
            continue
        wire = module.split(".")[2]
        others = {name for name in _imports(module) if name.startswith("kessai.dialects.") and name.count(".") >= 3}
        assert {name.split(".")[2] for name in others} <= {wire}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for_and_stays_readable(module: str) -> None:
    text = MODULES[module].read_text("utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LONGEST_MODULE_LINES


def test_the_printed_table_is_this_table() -> None:
    printed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert {room: cell.replace("`", "").replace("nothing", "") for room, cell in printed.items()} == dict(ROOMS)


def test_the_tree_on_the_page_has_every_room_and_every_rule() -> None:
    tree = PAGE.read_text("utf-8").split("```")[1]
    rooms = {name.split(".")[1] for name in MODULES if "." in name} - {"__main__"}
    rules = {name.split(".")[2] for name in MODULES if name.startswith("kessai.payment.")}
    assert rooms | rules <= set(re.findall(r"\w+", tree))
