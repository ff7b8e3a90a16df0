"""What every command shares: its options, how failures become one sentence, how results are printed, what is read."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import apsw
import typer
from rich.console import Console, RenderableType
from typer.core import TyperGroup

from kessai import backup, client, config, log, server, tls
from kessai.accounts import Refused
from kessai.app import CannotOpen

DEFAULT_DATA: Final = Path("data")
_JSON: Final = "kessai.json"

ONE_SENTENCE: Final = (
    Refused,
    CannotOpen,
    backup.CannotBackUp,
    config.BadSetting,
    server.CannotServe,
    tls.CertificateUnusable,
    client.Unreachable,
)
"""What an operator can mend; its text is told without a traceback."""


class Commands(TyperGroup):
    """Commands whose failures are one sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ONE_SENTENCE as error:
            _fail(ctx, str(error))
        except apsw.Error as error:
            _fail(ctx, f"the database cannot be used: {error}")
        except BrokenPipeError:
            raise
        except OSError as error:
            _fail(ctx, ": ".join(filter(None, (str(error.filename or ""), error.strerror or str(error)))))


def _fail(ctx: Any, text: str) -> NoReturn:
    sentence = log.clean_text(text.rstrip(".") + ".")
    if ctx.meta.get(_JSON):
        print_json({"error": sentence})
    else:
        print(f"kessai: {sentence}", file=sys.stderr)
    raise typer.Exit(1)


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value


Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="KESSAI_DATA", help="Folder of the embedded database and its keys."),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Keep payments in this PostgreSQL database instead: postgresql://… Without it, the setting `database`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", callback=_remember, help="Print one JSON document and nothing else.")]
MerchantId = Annotated[str, typer.Argument(metavar="ID", help="Merchant id.")]
KeyId = Annotated[str | None, typer.Option("--key-id", metavar="ID", help="Id of a key that a client has already.")]
SecretFile = Annotated[
    str | None,
    typer.Option(
        "--shared-secret-file", metavar="FILE", help="File with that key's shared secret in base64; - reads it."
    ),
]
CertificateFile = Annotated[
    str | None, typer.Option("--certificate", metavar="PEM", help="File with a certificate that a client signs with.")
]
Url = Annotated[
    str | None, typer.Option("--url", metavar="U", help="The gateway; without it, the one that serves the folder.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Do not check the gateway's certificate.")]


def print_json(document: object) -> None:
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, ensure_ascii=not is_unicode, indent=2), flush=True)


def tell(result: Any, shown: Callable[[Any], RenderableType], as_json: bool) -> None:
    print_json(result) if as_json else print_shown(shown(result))


def print_shown(shown: RenderableType) -> None:
    """To a terminal as wide as it is; elsewhere wide enough for nothing to be broken, and without trailing blanks."""
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(shown)
        return
    width = None if os.environ.get("COLUMNS", "").isdigit() else 160
    wide = Console(width=width, highlight=False, markup=False, emoji=False)
    with wide.capture() as captured:
        wide.print(shown)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def read(source: str, what: str) -> bytes:
    """A file, or standard input for `-`. Refused where it cannot be read, without its name."""
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise Refused(f"the file with {what} cannot be read: {error.strerror}") from None


def keys(key_id: str | None, secret_file: str | None, certificate: str | None) -> dict[str, str | None]:
    """Arguments of an order that brings a key along."""
    if (key_id is None) is not (secret_file is None):
        hint = "--key-id, --shared-secret-file"
        raise typer.BadParameter("the id of a key and its shared secret are given together", param_hint=hint)
    return {
        "key_id": key_id,
        "shared_secret": read(secret_file, "the shared secret").decode("utf-8", "replace").strip()
        if secret_file
        else None,
        "certificate": read(certificate, "the certificate").decode("utf-8", "replace") if certificate else None,
    }
