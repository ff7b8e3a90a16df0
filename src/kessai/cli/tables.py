"""Tables and schedules: what the gateway knows by itself, without a database."""

from datetime import datetime
from typing import Annotated, Final

import typer

from kessai import acquirers, sandbox, show, story
from kessai.acquirers.simulator import triggers as trigger_table
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, print_json, print_shown, tell
from kessai.payment import issuers, options

app: Final = typer.Typer()


@app.command()
def schedule(
    amount: Annotated[str, typer.Option(help="Amount in yen.")] = "",
    method: Annotated[
        str, typer.Option(help="Payment method code.", autocompletion=lambda: list(options.METHODS))
    ] = "10",
    installments: Annotated[str, typer.Option(metavar="N", help="Number of payments.")] = "",
    first_month: Annotated[str, typer.Option(metavar="MM", help="First billing month.")] = "",
    bonus: Annotated[
        list[str] | None, typer.Option(metavar="MM:AMOUNT", help="A bonus; either part may be missing. Repeatable.")
    ] = None,
    bonuses: Annotated[str, typer.Option(metavar="N", help="Number of bonuses, where no detail is given.")] = "",
    sale_date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Date of the sale; today in Japan.")
    ] = None,
    issuer: Annotated[
        str, typer.Option(help="Issuer profile.", autocompletion=lambda: list(issuers.PROFILES))
    ] = "standard",
    fees: Annotated[
        str | None, typer.Option(help="Fee table; without one no fee.", autocompletion=lambda: list(issuers.FEE_TABLES))
    ] = None,
    acquirer: Annotated[
        str, typer.Option(help="Whose contract to check with.", autocompletion=lambda: list(issuers.CONTRACTS))
    ] = "smcc",
    list_all: Annotated[bool, typer.Option("--list", help="List methods, issuers, fee tables and contracts.")] = False,
    _data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Print a Japanese payment option's schedule: what the cardholder pays when, and when the merchant is funded."""
    if list_all:
        found = story.choices()
        tell(found, show.pairs, as_json)
        return
    if not amount:
        raise typer.BadParameter("an amount in yen is needed", param_hint="--amount")
    if bonus and bonuses:
        raise typer.BadParameter("either each bonus or their number", param_hint="--bonus, --bonuses")
    day = sale_date.date() if sale_date is not None else datetime.now(issuers.JAPAN).date()
    known = {"issuer": issuers.PROFILES, "fees": issuers.FEE_TABLES, "acquirer": issuers.CONTRACTS}
    for name, given in (("issuer", issuer), ("fees", fees), ("acquirer", acquirer)):
        if given is not None and given not in known[name]:
            raise typer.BadParameter(f"one of {', '.join(known[name])}", param_hint=f"--{name}")
    details = [dict(zip(("month", "amount"), text.split(":", 1), strict=False)) for text in bonus or ()]
    values: dict[str, object] = {"method": method, "installments": installments, "first_month": first_month}
    plan = story.plan_as_typed(amount, values | {"bonuses": details or bonuses}, day, issuer, acquirer, fees)
    tell(plan, show.schedule, as_json)
    if plan["cardholder"] is None:
        raise typer.Exit(1)


@app.command()
def scenarios(_data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the outcomes that a test merchant can ask for by name (`call --scenario`)."""
    found = sandbox.describe()
    print_json(dict(found)) if as_json else print_shown(show.table(("scenario", "meaning"), found.items()))


@app.command()
def triggers(
    personality: Annotated[
        str | None, typer.Option(help="Only of this one.", autocompletion=lambda: list(acquirers.personalities()))
    ] = None,
    _data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List the amounts, codes and cards that make the simulator do something else than approve."""
    rows = [row for row in trigger_table.rows() if personality is None or row[0] in ("*", personality)]
    if as_json:
        names = [heading.lower().replace(" ", "_") for heading in trigger_table.HEADINGS]
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_shown(show.table(trigger_table.HEADINGS, rows))
