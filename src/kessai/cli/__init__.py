"""The operator's hand: the `kessai` command.

Reads arguments, gives orders, prints results; decides nothing about payments. Results go to standard output, as text
for people or with `--json` as one document; what went wrong is one sentence on standard error (with `--json` the
document `{"error": …}`). Exit status: 0 done, 1 refused or not as it should be, 2 not understood.

No card number and no secret is taken from the command line, where other users of the machine could read it: they come
from files or standard input, and a file's name is not repeated in an error, in case it was the secret itself.
"""

import sys
from importlib import metadata
from typing import Annotated, Final

import typer

from kessai import log
from kessai.cli import clock, merchants, operations, payments, requests, tables, vault, webhooks
from kessai.cli.common import Commands

app: Final = typer.Typer(
    cls=Commands,
    name="kessai",
    help="A self-hosted card payment gateway that speaks the wire languages merchants already speak.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(operations.app)
app.add_typer(merchants.app, name="merchant")
app.add_typer(vault.app, name="vault")
app.add_typer(clock.app, name="clock")
app.add_typer(payments.app)
app.add_typer(webhooks.app)
app.add_typer(requests.app)
app.add_typer(tables.app)


def _version(value: bool) -> None:
    if value:
        print(f"kessai {metadata.version('kessai')}")
        raise typer.Exit()


@app.callback()
def _root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    log.configure(level="warning", plain=sys.stderr.isatty())


def main() -> None:
    """The command, as installed. An error that is nobody's fault but ours is logged, masked, and is exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app()
    except Exception as error:
        log.log("command.fault", level="error", error=type(error).__name__, traceback=log.traceback_of(error))
        raise SystemExit(1) from None
