"""The documents keep their word: what they print is what the tables say, what they show is what the commands do.

A `console` block is a transcript: lines that begin with `$ ` are run by a shell, in order, page by page, against a
gateway of their own (only `make` is not: it serves that gateway). What stands below them must come out in this order,
as far as it is shown; `…` stands for anything. Ids, times and numbers that differ each time are compared by their
place. An id that a later command repeats is the one that really came out. A `sh` block is an example that is not run.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import pytest
import typer

from kessai import config
from kessai.accounts import GROUPS
from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.acquirers.simulator.triggers import TRIGGERS
from kessai.dialects.cybersource import fields as wire
from kessai.dialects.cybersource import recurring as recurring_wire
from kessai.dialects.cybersource import searchable, token_faults, token_members, token_routes
from kessai.dialects.cybersource.members import rows as members
from kessai.dialects.cybersource.routes import ROUTES
from kessai.dialects.paymentoptions import codes as paymentoptions_codes
from kessai.dialects.paymentoptions import routes as paymentoptions_routes
from kessai.ledger import Account
from kessai.payment.issuers import FEE_TABLES, PROFILES
from kessai.payment.lifecycle import Reason, Refusal
from kessai.payment.merchant import Terms
from kessai.payment.options import METHODS, RULES
from kessai.payment.subscription import State
from kessai.reference import diagram
from kessai.reference.operation import commands
from kessai.reference.pages import SECTION, SECTIONS, fill

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
NAMES: Final = [str(page.relative_to(ROOT)) for page in PAGES]

PAGE_S: Final = 100
"""How long a page of commands may take."""


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _reference(page: str) -> str:
    return _text(f"docs/reference/{page}.md")


# ---- what is printed


@pytest.mark.parametrize("name", NAMES)
def test_printed_sections_are_what_the_tables_say(name: str) -> None:
    assert fill(_text(name)) == _text(name), "run `make docs`"


def test_every_table_is_printed_somewhere() -> None:
    printed = [found[1] for name in NAMES for found in SECTION.findall(_text(name))]
    assert sorted(printed) == sorted(SECTIONS)


def test_every_command_and_option_is_documented() -> None:
    page = _reference("commands")
    for path, command in commands():
        section = page.partition(f"### `{path}`\n")[2].partition("\n### ")[0]
        assert section, path
        assert command.help, f"{path} says nothing of itself"
        for option in command.params:
            if option.param_type_name == "option" and not option.hidden:
                assert option.help, f"{path} {option.opts[0]} says nothing of itself"
                assert all(f"`{spelling}`" in section for spelling in option.opts), f"{path} {option.opts}"


def test_every_setting_is_documented() -> None:
    page = _reference("settings")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", page, re.MULTILINE))
    names = {each.name for each in (*fields(config.Settings), *fields(Terms))} - GROUPS.keys()
    names |= {f"{group}.{each.name}" for group, kind in GROUPS.items() for each in fields(kind)}
    assert names - rows.keys() == set()
    assert all(cell.strip() for name in names for cell in rows[name].split(" | "))


def test_every_table_of_the_wire_is_documented() -> None:
    assert {".".join(path) for _, field in wire.rows() for path in field.paths} <= _quoted(_reference("fields"))
    assert {row.path for row in members()} <= _quoted(_reference("members"))
    paths = {row.path for row in ROUTES} | {row.path for row in token_routes.ROUTES}
    assert paths <= _quoted(_reference("routes"))
    recurring = _quoted(_reference("recurring"))
    assert {path for _, path, _, _ in recurring_wire.ROUTES} <= recurring
    assert {field.path for rows in recurring_wire.TABLES.values() for field in rows} <= recurring
    assert {state.value for state in State} <= recurring
    assert {row.path for rows in token_members.MEMBERS.values() for row in rows} <= _quoted(_reference("members"))
    assert {fault.type for fault in token_faults.FAULTS.values()} <= _quoted(_reference("errors"))
    assert {*searchable.FIELDS, *searchable.SORTABLE} <= _quoted(_reference("searching"))
    second = _quoted(_reference("paymentoptions"))
    assert {row.path for row in paymentoptions_routes.ROUTES} <= second
    assert {
        said.code for said in (*paymentoptions_codes.RISK.values(), *paymentoptions_codes.REFUSALS.values())
    } <= second
    errors = _quoted(_reference("errors"))
    assert {refusal.name for refusal in Refusal} <= errors
    assert {reason.value for reason in Reason} <= errors


def test_every_table_of_the_simulator_and_of_japan_is_documented() -> None:
    assert set(SCENARIOS) <= _quoted(_reference("scenarios"))
    assert all(row.says in _reference("triggers") for row in TRIGGERS)
    options = _reference("payment-options")
    assert {*METHODS, *PROFILES, *FEE_TABLES} <= _quoted(options)
    assert all(f"| {rule} | " in options for rule in RULES)
    assert {account.value for account in Account} <= _quoted(_reference("ledger"))


def _quoted(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", page))


def test_the_diagram_begins_every_way_and_reaches_every_state_of_an_authorization() -> None:
    arrows = diagram.arrows()
    assert [arrow.label for arrow in arrows if arrow.before is None][: len(diagram.BEGINNINGS)] == [
        label for label, *_ in diagram.BEGINNINGS
    ]
    assert {
        each.after for each in arrows
    } >= diagram.AUTHORIZATIONS | diagram.SALES | diagram.CAPTURES | diagram.RETURNS


def test_every_event_of_the_log_is_documented() -> None:
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src" / "kessai").rglob("*.py"))
    events = set(re.findall(r"\blog\(\s*\"([a-z]+\.[a-z]+)\"", source)) - {"payment.authorized"}
    assert events
    assert events <= _quoted(_reference("log-events"))


# ---- what is written


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    here = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(_text(name))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        page = (here / path).resolve() if path else ROOT / name
        assert page.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in _anchors(page.read_text("utf-8")), f"{name}: {target}"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/")])
def test_every_page_is_on_the_map(name: str) -> None:
    assert name == "docs/README.md" or f"({name.removeprefix('docs/')})" in _text("docs/README.md")


@pytest.mark.parametrize("name", NAMES)
def test_pages_name_no_place_of_one_machine(name: str) -> None:
    text = _text(name)
    assert re.findall(r"(?<![\w.:/])/(?:home|root|work|tmp|usr|opt|var|Users|private|mnt)\b", text) == []
    assert set(re.findall(r"https?://([^/:\s`\"')>]+)", text)) <= {"127.0.0.1", "localhost"}


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_the_documents_exist(name: str) -> None:
    known = {path: _spellings(command) for path, command in commands()}
    for line in re.findall(r"^(?:\$ )?(?:.*\| )?(?:\.venv/bin/)?kessai (.*)$", _code(_text(name)), re.MULTILINE):
        words = ["kessai", *line.split("<<")[0].split()]
        path = next(" ".join(words[:n]) for n in (4, 3, 2, 1) if " ".join(words[:n]) in known)
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known[path] | {"--help", "--version"}, line


def _spellings(command: typer.core.TyperCommand) -> set[str]:
    return {spelling for each in command.params for spelling in (*each.opts, *each.secondary_opts)}


def _code(page: str) -> str:
    return "\n".join(re.findall(r"^```(?:console|sh)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


def _without_code(page: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page, flags=re.MULTILINE | re.DOTALL)


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---- what is run


@dataclass(frozen=True, slots=True)
class Said:
    """One command of a transcript, and the lines that stand below it."""

    command: str
    lines: tuple[str, ...]


def transcript(page: str) -> Iterator[Said]:
    """Every command of the `console` blocks, with a here-document where it has one."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        while lines:
            command = [lines.pop(0).removeprefix("$ ")]
            if "<<'EOF'" in command[0]:
                while command[-1] != "EOF":
                    command.append(lines.pop(0))
            below = []
            while lines and not lines[0].startswith("$ "):
                below.append(lines.pop(0))
            yield Said("\n".join(command), tuple(below))


_ID: Final = re.compile(r"\b(?:[0-9]{22}|[0-9A-F]{32}|70[123][0-9]{16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_CHANGING: Final = (
    (_ID, "ID"),  # before times: a UUID may have one in it
    (re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?(T[0-9:.]+Z)?"), "TIME"),
    (re.compile(r"\b00[0-9]{26}\b|\b[0-9]{8}[0-9A-Z]{8}\b|\b[0-9]{13}\b"), "NUMBER"),
    (re.compile(r"(stan |rrn |slip_number |salesSlipNumber\": \")[0-9]+"), r"\1NUMBER"),
    (re.compile(r'("ref": |"auth_code": ")[0-9]+'), r"\1NUMBER"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "SECRET"),
    (re.compile(r"127\.0\.0\.1:[0-9]+"), "HERE"),
    (re.compile(r"\s+"), " "),
)


def _steady(line: str) -> str:
    for pattern, stands in _CHANGING:
        line = pattern.sub(stands, line)
    return line.strip()


TRANSCRIPTS: Final = [name for name in NAMES if any(True for _ in transcript(_text(name)))]


def test_the_readme_and_the_tutorial_are_transcripts() -> None:
    assert {"README.md", "docs/tutorial/first-payment.md"} <= set(TRANSCRIPTS)


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[list[str]]]]:
    """Every transcript, played in a folder of its own, some of them side by side: what came of each command."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        yield {name: pool.submit(_play, name, tmp_path_factory.mktemp("page")) for name in TRANSCRIPTS}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcripts_are_true(name: str, plays: Mapping[str, Future[list[str]]]) -> None:
    assert plays[name].result(timeout=PAGE_S) == []


def _play(name: str, home: Path) -> list[str]:
    """Serve a gateway, run the commands of a page, and tell what is not as the page says."""
    program = home / ".venv" / "bin" / "kessai"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kessai "$@"\n')
    program.chmod(0o700)
    environment = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "KESSAI_DATA": str(home / "data"),
        "PYTHONPATH": str(ROOT / "src"),
    }
    wrong: list[str] = []
    ids: dict[str, str] = {}
    serve = [str(program), "serve", "--port", "0", "--json"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline().startswith(b"{"), "the gateway does not start"
        try:
            for said in transcript(_text(name)):
                if said.command.startswith("make "):
                    continue
                command = _ID.sub(lambda found: ids.get(found[0], found[0]), said.command)
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=home,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=PAGE_S,
                    check=False,
                )
                if done.returncode != 0 and not said.lines:
                    wrong.append(f"$ {said.command}\nends with {done.returncode}\n{done.stdout}")
                wrong += _compare(said, done.stdout, ids)
        finally:
            gateway.send_signal(signal.SIGTERM)
    return wrong


def _compare(said: Said, out: str, ids: dict[str, str]) -> Iterator[str]:
    """Every line that is shown came out, in this order; the ids on them are learnt, and stay the same."""
    came = [line for line in out.splitlines() if line.strip(" ─")]
    for shown in said.lines:
        if not shown.strip(" ─") or shown.strip() == "…":
            continue
        head, is_cut, _ = shown.partition(" …")
        wanted = _steady(head)
        while came:
            line = came.pop(0)
            if _steady(line) == wanted or (is_cut and _steady(line).startswith(wanted)):
                break
        else:
            yield f"$ {said.command}\nshould print\n  {shown}\nbut prints\n{out}"
            return
        for old, new in zip(_ID.findall(shown), _ID.findall(line), strict=False):
            if ids.setdefault(old, new) != new:
                yield f"$ {said.command}\nprints {new} where the page repeats {old}, which was {ids[old]}"
