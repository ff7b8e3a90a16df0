"""Operations: serving, health of the books, backup, and what is still to do."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from kessai import admin, backup, config, log, server, serving, show, team
from kessai.acquirers.simulator import journal, process
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, Database, print_shown, tell

app: Final = typer.Typer()
jobs_app: Final = typer.Typer(help="What the gateway still has to do, and what it has given up on.")
app.add_typer(jobs_app, name="jobs")


@app.command()
def serve(
    data: Data = DEFAULT_DATA,
    database: Database = None,
    host: Annotated[str, typer.Option(help="Address or name to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 lets the system choose.")] = 8080,
    workers: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Processes that serve side by side, on PostgreSQL.")
    ] = 1,
    operations_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="P",
            help="Health and metrics on this port of 127.0.0.1, each further worker on the next; 0: any.",
        ),
    ] = None,
    with_tls: Annotated[
        bool, typer.Option("--tls", help="Serve https with a certificate of a development authority made here.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="F", help="Serve https with this PEM certificate.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="F", help="The certificate's key, PEM, unencrypted.")] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy terminates TLS: plain http may be served beyond this machine."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print how to begin.")] = False,
    worker: Annotated[int | None, typer.Option(hidden=True, help="This is one of several workers.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve payments. An empty folder becomes a sandbox: keys, database and four merchants are made."""
    if (certificate is None) is not (key is None):
        raise typer.BadParameter("a certificate and its key are given together", param_hint="--certificate, --key")
    settings = config.load(data)
    log.configure(level=settings.log_level, plain=sys.stderr.isatty())  # type: ignore[arg-type] # config checked it
    serving_on = server.Settings(
        host=host,
        port=port,
        certificate=certificate,
        key=key,
        behind_proxy=behind_proxy,
        is_shared=worker is not None or workers > 1,
    )
    if with_tls and certificate is None:
        serving_on = serving.with_development_certificate(data, serving_on)

    def announce(ready: serving.Ready) -> None:
        if as_json:
            print(json.dumps(ready), flush=True)
        elif not quiet:
            print_shown(show.started(ready, serving.command()))
            print(serving.example(data, DEFAULT_DATA), flush=True)

    url = admin.database_url(data, database)
    if workers > 1:
        if not url:
            raise server.CannotServe("Several workers need PostgreSQL: the embedded database has one writer")
        crew = team.Team(
            folder=data,
            database=url,
            settings=serving_on,
            operations_port=operations_port,
            silence_s=settings.worker_silence_s,
        )
        server.run(team.serve(crew, workers, announce))
        return
    place = serving.Place(database=url or None, operations_port=operations_port, worker=worker)
    server.run(serving.serve(data, serving_on, announce, place))


@app.command()
def acquirer(
    host: Annotated[str, typer.Option(help="Address to listen on; card numbers travel in the clear.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any.")] = 7001,
    book: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its book; without it, acquirer.book in the folder.")
    ] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Let others on the network reach it.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Run the simulated acquirer as a process of its own; gateways find it by the setting `acquirer`."""
    if book is None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = str(book if book is not None else data / journal.NAME)

    def announce(at: str, chosen: int) -> None:
        print(
            json.dumps({"address": f"{at}:{chosen}"}) if as_json else f"The acquirer listens on {at}:{chosen}.",
            flush=True,
        )

    try:
        server.run(serving.until_told(process.serve(host, port, path, announce, anywhere=anywhere)))
    except ValueError as error:
        raise server.CannotServe(str(error)) from None


@app.command()
def verify(
    data: Data = DEFAULT_DATA,
    database: Database = None,
    book: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The acquirer's book; without it, the one in the folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that is stored: books, the acquirer's book, claims, jobs; exit status 1 with findings."""
    named = str(book.absolute()) if book is not None else None
    report = admin.order(data, "verify", database=database, book=named)
    tell(report, show.verified, as_json)
    if report["findings"]:
        raise typer.Exit(1)


@app.command("backup")
def make_backup(
    target: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="A new file, or a folder for one.")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database into a new file while it is in use. The key-encryption key is not in it: keep that apart."""
    url = admin.database_url(data, database)
    now_text = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    file = backup.named(target, now_text, ".dump" if url else ".db").absolute()
    made = asdict(backup.dump(url, file)) if url else admin.order(data, "backup", file=str(file))
    tell(made, show.backed_up, as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `kessai backup` made.")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup into a folder without a database, or into an empty PostgreSQL database."""
    url = admin.database_url(data, database)
    made = asdict(backup.load(file, url) if url else backup.restore(file, data))
    tell(made | {"has_key": admin.has_key(data)}, show.restored, as_json)


@jobs_app.callback(invoke_without_command=True)
def jobs(ctx: typer.Context, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False) -> None:
    """List what the gateway still has to do, and what it has given up on."""
    if ctx.invoked_subcommand is None:
        found = admin.order(data, "jobs", database=database)
        tell(found, show.jobs, as_json)


@jobs_app.command("drive")
def jobs_drive(
    job: Annotated[str | None, typer.Argument(metavar="ID", help="Id of a job.")] = None,
    drive_all: Annotated[bool, typer.Option("--all", help="Every job that was given up.")] = False,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Try a job that was given up again, from now on, or all of them."""
    if (job is None) is not drive_all:
        raise typer.BadParameter("either one job or all of them", param_hint="ID, --all")
    driven = admin.order(data, "jobs drive", database=database, job=job)
    tell(driven, show.driven, as_json)
