"""The keys of the vault: what they have sealed, and turning them."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kessai import admin, rotation, show
from kessai.accounts import Refused
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, Database, print_json, tell

app: Final = typer.Typer(help="Keys of the vault: what they have sealed, and turning them.", no_args_is_help=True)

OneMerchant = Annotated[str | None, typer.Option("--merchant", metavar="ID", help="Only the keys of this merchant.")]


@app.command("status")
def status(
    merchant: OneMerchant = None, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False
) -> None:
    """List the keys of each merchant: state, age, how often they have sealed at most, rows that are under them."""
    found = admin.order(data, "vault status", database=database, merchant=merchant)
    tell(found, show.vault_keys, as_json)


@app.command("rotate")
def rotate(
    merchant: OneMerchant = None,
    rotate_all: Annotated[bool, typer.Option("--all", help="The keys of every merchant.")] = False,
    pace: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="Rows a second that are sealed again, at most.")
    ] = rotation.PACE,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Give merchants new keys while payments run; the old ones are destroyed when nothing needs them.

    It can be stopped at any time, with Ctrl-C too: the same command goes on where it was.
    """
    if (merchant is None) is not rotate_all:
        raise typer.BadParameter("either one merchant or all of them", param_hint="--merchant, --all")
    try:
        with admin.orders(data, database) as give:
            done = _turn(give, merchant, pace)
    except KeyboardInterrupt:
        raise Refused("stopped; what is done stays done, and the same command goes on from there") from None
    tell(done, show.rotated, as_json)


def _turn(give: Callable[..., Any], merchant: str | None, pace: int) -> dict[str, Any]:
    """Step by step to the end. Refused where rows do not open, so that their key has to stay."""
    begun = give("vault begin", merchant=merchant)
    done = {"merchants": begun["merchants"], "resumed": begun["stage"] == "resumed", "resealed": 0}
    merchants, at, counted = begun["merchants"], None, False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("adding keys", total=None)
        while merchants:
            step = give("vault step", merchants=merchants, at=at, pace=pace)
            merchants, at = step["merchants"], step["at"]
            done["resealed"] += step["resealed"]
            if step["stage"] == "stuck":
                raise Refused(f"{at['stuck']} rows do not open, so their key stays; the log (key.stuck) names them")
            if step["stage"] in ("promoted", "sealing") and not counted:
                counted = True
                keys = [key for each in merchants for key in give("vault status", merchant=each)]
                left = sum(key["rows"] for key in keys if key["state"] == "opens")
                progress.update(bar, total=done["resealed"] + left)
            waits = ", ".join(step["waits_for"])
            progress.update(bar, advance=step["resealed"], description=f"waiting for {waits}" if waits else "sealing")
    return done


@app.command("certificate")
def certificate(data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False) -> None:
    """Print the certificate that clients encrypt requests to, in PEM; its key is made where there is none yet."""
    found = admin.order(data, "vault certificate", database=database)
    print_json(found) if as_json else print(found["certificate"], end="", flush=True)
