"""The vault: what its keys have sealed, turning them, and moving tokens to another installation."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kessai import admin, moving, parcels, rotation, show
from kessai.accounts import Refused
from kessai.cli.common import DEFAULT_DATA, AsJson, Data, Database, print_json, read, tell

app: Final = typer.Typer(
    help="The vault: its keys, turning them, and moving tokens to another installation.", no_args_is_help=True
)

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
    with _interrupts() as is_stopped, admin.orders(data, database) as give:
        done = _turn(give, merchant, pace, is_stopped)
    tell(done, show.rotated, as_json)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether somebody has pressed Ctrl-C: asked between two steps, so that none is cut in its middle."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _turn(give: Callable[..., Any], merchant: str | None, pace: int, is_stopped: Callable[[], bool]) -> dict[str, Any]:
    """Step by step to the end. Refused where rows do not open, so that their key has to stay, and when stopped."""
    begun = give("vault begin", merchant=merchant)
    done = {"merchants": begun["merchants"], "resumed": begun["stage"] == "resumed", "resealed": 0}
    merchants, at, counted = begun["merchants"], None, False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("adding keys", total=None)
        while merchants:
            if is_stopped():
                raise Refused("stopped; what is done stays done, and the same command goes on from there")
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


LINES: Final = 20
BATCH_BYTES: Final = 1024 * 1024
"""What of a file is read at a time."""

ThisMerchant = Annotated[str, typer.Option("--merchant", metavar="ID", help="Whose tokens.")]


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; there is none of this name yet.")],
    merchant: ThisMerchant,
    to: Annotated[
        str, typer.Option("--to", metavar="PEM", help="File with the certificate or public key of who may open it.")
    ],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write a merchant's tokens, with their numbers, into a file that one private key opens.

    Nothing in it can be read without that key, and nothing can be changed, left out or cut off unnoticed.
    """
    key = read(to, "the recipient's key").decode("utf-8", "replace")
    with admin.orders(data, database) as give, _new(file) as out:
        at: Any = None
        after, is_ended = "", False
        while not is_ended:
            page = give("vault pack", merchant=merchant, to=key, at=at, after=after)
            at, after, is_ended = page["at"], page["after"], page["at"]["is_ended"]
            out.write(page["line"].encode() + b"\n")
    tell(
        {"file": str(file), "merchant": merchant, "tokens": at["counts"], "digest": at["before"]},
        show.exported,
        as_json,
    )


@contextmanager
def _new(file: Path) -> Iterator[IO[bytes]]:
    """A new file for this user alone, which has its name once it is whole and on disk."""
    part = file.with_name(file.name + ".part")
    if file.exists():
        raise Refused(f"there is a file {file} already")
    with open(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as out:
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
            os.link(part, file)
        except FileExistsError:
            raise Refused(f"there is a file {file} already") from None
        finally:
            part.unlink()


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `kessai vault export` wrote.")],
    key: Annotated[str, typer.Option("--key", metavar="PEM", help="File with the private key that opens it.")],
    merchant: ThisMerchant,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="HEX", help="Take the file only if the export told this digest.")
    ] = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Put the tokens of a file into this installation: all of the file is checked before anything is written.

    Ids stay; numbers are sealed under the keys here. It can be given again: what is here already stays as it is.
    """
    pem = _private_key(read(key, "the private key"))
    at: Any = None
    with admin.orders(data, database) as give, file.open("rb") as lines:
        for stage in moving.STAGES:
            lines.seek(0)
            at, tally = None, moving.Tally()
            for batch in _batches(lines):
                step = give("vault unpack", merchant=merchant, lines=batch, key=pem, stage=stage, at=at)
                at, tally = step.pop("at"), tally.plus(moving.tally_of(step))
            if at is None or not at["is_ended"]:
                raise Refused(f"the file {file} is cut short: its end is missing")
            if tally.clashes:
                raise Refused(f"the file does not agree with what is here: {'; '.join(tally.clashes)}")
            if digest is not None and at["before"] != digest.strip().lower():
                raise Refused(f"the digest of the file {file} is another one: {at['before']}")
            if stage == moving.STAGES[0]:
                found = tally
    made = {"new": found.new, "known": found.known, "newer": found.newer}
    tell({"merchant": merchant, "tokens": at["counts"], **made, "digest": at["before"]}, show.imported, as_json)


def _batches(lines: IO[bytes]) -> Iterator[list[str]]:
    """A file's lines, several at a time where they are short."""
    batch: list[str] = []
    while line := lines.readline(admin.LINE_BYTES // 2):
        batch.append(line.decode("ascii", "replace").removesuffix("\n"))
        if len(batch) == LINES or sum(map(len, batch)) > BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _private_key(pem: bytes) -> str:
    """A private key as the order takes it: without a password, for which a person is asked where there is one."""
    try:
        if b"ENCRYPTED" not in pem:
            return parcels.opened(pem)
        password = typer.prompt("Password of the private key", hide_input=True, err=True)
        return parcels.opened(pem, password.encode())
    except parcels.Unreadable as error:
        raise Refused(str(error)) from None
