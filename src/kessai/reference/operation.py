"""Sections for operators: settings and commands."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from inspect import cleandoc
from typing import Any, Final

import typer

from kessai import cli, config
from kessai.accounts import GROUPS
from kessai.acquirers import personalities
from kessai.health import UNAVAILABLE, Reason
from kessai.payment import issuers
from kessai.payment.merchant import Terms
from kessai.reference.parts import code, meanings, meant, shown, table
from kessai.verify import FINDINGS


def print_settings() -> str:
    said, standard = meanings(config.Settings), config.Settings()
    return table(
        ("Setting", "Environment", "Default", "Meaning"),
        (
            (code(name), code(config.PREFIX + name.upper()), shown(getattr(standard, name)), said.get(name))
            for name in (each.name for each in fields(config.Settings))
        ),
    )


def print_merchant_settings() -> str:
    names = [each.name for each in fields(Terms) if each.name not in GROUPS]
    values = {name: [getattr(kind.terms, name) for kind in personalities().values()] for name in names}
    return _by_personality(values, meanings(Terms))


def print_contract_settings() -> str:
    names = [each.name for each in fields(issuers.Contract)]
    values = {
        f"options.{name}": [getattr(kind.terms.options, name) for kind in personalities().values()] for name in names
    }
    said = {f"options.{name}": text for name, text in (_CONTRACT | meanings(issuers.Contract)).items()}
    return _by_personality(values, said)


_CONTRACT: Final = {
    "methods": "Payment codes that the contract has; none named: every one.",
    "brands": "Card brands that the contract has; none named: every one.",
    "counts": "Numbers of installments that the contract has; none named: every one.",
    "minimums": "The smallest amounts in yen, by method and number of installments.",
    "bonus_windows": "Sale dates on which bonus payments are taken, by season; none: not checked.",
}
"""Meanings of contract settings whose fields say nothing of their own."""


def _by_personality(values: Mapping[str, list[object]], said: Mapping[str, str]) -> str:
    headings = ("Setting", "Meaning", *map(code, personalities()))
    return table(headings, ((code(name), said[name], *map(shown, row)) for name, row in values.items()))


def print_health() -> str:
    said = meanings(Reason)
    makes = {reason: "unavailable" if reason in UNAVAILABLE else "degraded" for reason in Reason}
    return table(
        ("Reason", "Makes it", "Meaning"), ((code(reason.value), makes[reason], said[reason.name]) for reason in Reason)
    )


def print_findings() -> str:
    return meant("Finding", FINDINGS)


def print_commands() -> str:
    return "\n\n".join(part for path, command in commands() for part in _command(path, command))


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line with its full name, groups before their members."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, member in getattr(command, "commands", {}).items():
            if not member.hidden:
                yield from walk(f"{path} {name}", member)

    return walk("kessai", typer.main.get_command(cli.app))


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    chosen = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    yield f"### `{path}`"
    yield cleandoc(command.help or "").partition("\f")[0]
    if not hasattr(command, "commands"):
        yield f"```\n{' '.join((path, *map(_argument, arguments), '[OPTIONS]'))}\n```"
    rows = [(code(_argument(each)), "", _flat(getattr(each, "help", ""))) for each in arguments]
    rows += [
        (", ".join(map(code, (*each.opts, *each.secondary_opts))), _default(each), _flat(each.help)) for each in chosen
    ]
    if rows:
        yield table(("", "Default", "Meaning"), rows)


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name).upper().strip("[]")
    name = f"{name}..." if argument.nargs == -1 and not name.endswith("...") else name
    return name if argument.required else f"[{name}]"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(option: Any) -> str:
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    return "" if shown is None or isinstance(shown, bool | list | tuple) or callable(shown) else code(shown)
