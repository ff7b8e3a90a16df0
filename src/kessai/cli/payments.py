"""Payments and the books: what happened, whether it adds up, and cutting a business day."""

from typing import Annotated, Final

import typer

from kessai import admin, show
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, Database, tell

app: Final = typer.Typer()
payment_app: Final = typer.Typer(help="Payments.", no_args_is_help=True)
ledger_app: Final = typer.Typer(help="The books.", no_args_is_help=True)
app.add_typer(payment_app, name="payment")
app.add_typer(ledger_app, name="ledger")


@payment_app.command("show")
def payment_show(
    transaction: Annotated[str, typer.Argument(metavar="ID", help="Id of the payment or any of its transactions.")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Tell a payment's whole story: transactions, exchanges, ledger entries, schedule, warnings."""
    found = admin.order(data, "payment show", database=database, transaction=transaction)
    tell(found, show.payment, as_json)


@ledger_app.command("check")
def ledger_check(data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False) -> None:
    """Recompute the books from the transactions; exit status 1 names every line that was altered, lost or added."""
    report = admin.order(data, "ledger check", database=database)
    tell(report, show.ledger, as_json)
    if report["findings"]:
        raise typer.Exit(1)


@app.command()
def settle(
    merchant: Annotated[str | None, typer.Option(metavar="ID", help="Only this merchant.")] = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Cut the business day now: what moved money goes into a settlement, and can no longer be voided."""
    made = admin.order(data, "settle", database=database, merchant=merchant)
    tell(made, show.settlements, as_json)
