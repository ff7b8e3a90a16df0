"""The sandbox's clock: what time it is for a test merchant, and later."""

from typing import Annotated, Final

import typer

from kessai import admin, show
from kessai.app import DEFAULT_MERCHANT
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, Database, tell

app: Final = typer.Typer(help="The business clock of a test merchant.", no_args_is_help=True)

Merchant = Annotated[str, typer.Option(metavar="ID", help="Whose clock.")]


@app.command("show")
def clock_show(
    merchant: Merchant = DEFAULT_MERCHANT,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Tell a merchant's business time, and how far it is ahead of the wall."""
    tell(admin.order(data, "clock", database=database, merchant=merchant), show.pairs, as_json)


@app.command("advance")
def clock_advance(
    step: Annotated[
        str | None, typer.Argument(metavar="STEP", help="How far: 1mo, 3d, 2h; also y, w, m (minutes), s.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="INSTANT", help="To this instant: 2027-01-31T00:00:00Z.")] = None,
    merchant: Merchant = DEFAULT_MERCHANT,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Move a test merchant's business clock on: holds expire, charges fall due. It never goes back."""
    moved = admin.order(data, "clock advance", database=database, merchant=merchant, advance=step, to=to)
    tell(moved, show.pairs, as_json)
