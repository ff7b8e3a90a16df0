"""Merchants and their keys: who may call, and on which terms."""

import base64
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from kessai import acquirers, admin, show
from kessai.accounts import Refused
from kessai.cli.common import (
    DEFAULT_DATA,
    AsJson,
    CertificateFile,
    Data,
    Database,
    KeyId,
    MerchantId,
    SecretFile,
    keys,
    print_json,
    print_shown,
    read,
    tell,
)

app: Final = typer.Typer(help="Merchants: who may call, and on which terms.", no_args_is_help=True)
key_app: Final = typer.Typer(help="Keys of a merchant.", no_args_is_help=True)
app.add_typer(key_app, name="key")


@app.command("add")
def merchant_add(
    merchant: MerchantId,
    personality: Annotated[
        str,
        typer.Option(help="The account's manner.", autocompletion=lambda: list(acquirers.personalities())),
    ],
    mode: Annotated[str, typer.Option(help="test or live.", autocompletion=lambda: ["test", "live"])] = "test",
    key_id: KeyId = None,
    shared_secret_file: SecretFile = None,
    certificate: CertificateFile = None,
    legal_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What the law calls it; with it come keys for the PaymentOptions wire, shown once."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add a merchant, with the credentials it has or with a new shared secret, shown once."""
    brought = keys(key_id, shared_secret_file, certificate)
    if not admin.database_url(data, database) and not (data / "kessai.db").exists():
        print(f"kessai: this makes a new installation in {data}.", file=sys.stderr)
    made = admin.order(
        data,
        "merchant add",
        database=database,
        merchant=merchant,
        personality=personality,
        mode=mode,
        legal_name=legal_name,
        **brought,
    )
    tell(made, show.merchant, as_json)


@app.command("list")
def merchant_list(data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False) -> None:
    """List the merchants; never their secrets."""
    found = admin.order(data, "merchant list", database=database)
    tell(found, show.merchants, as_json)


@app.command("set")
def merchant_set(
    merchant: MerchantId,
    settings: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Settings; an empty value goes back to the default.")
    ],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change a merchant's settings (see docs/reference/settings.md), or its mode."""
    changes: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise typer.BadParameter("a setting is given as NAME=VALUE", param_hint="NAME=VALUE")
        changes[name] = value
    done = admin.order(data, "merchant set", database=database, merchant=merchant, settings=changes)
    print_json(done) if as_json else print_shown(show.merchants([done]))


@key_app.command("add")
def key_add(
    merchant: MerchantId,
    key_id: KeyId = None,
    shared_secret_file: SecretFile = None,
    certificate: CertificateFile = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Give a merchant another key; its others stay good."""
    brought = keys(key_id, shared_secret_file, certificate)
    made = admin.order(data, "merchant key add", database=database, merchant=merchant, **brought)
    tell(made, show.merchant, as_json)


@key_app.command("bearer")
def key_bearer(
    merchant: MerchantId, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False
) -> None:
    """Give a merchant another pair of keys for the PaymentOptions wire, shown once; its others stay good."""
    made = admin.order(data, "merchant key bearer", database=database, merchant=merchant)
    tell(made, show.merchant, as_json)


@key_app.command("answers")
def key_answers(
    merchant: MerchantId,
    certificate: Annotated[str, typer.Option("--certificate", metavar="PEM", help="File with the certificate.")],
    key_id: Annotated[
        str | None,
        typer.Option(
            "--key-id", metavar="KID", help="What tokens name it by; without it, its subject's serial number."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Register a certificate that answers are encrypted to where a token asks for it. It signs nothing."""
    text = read(certificate, "the certificate").decode("utf-8", "replace")
    made = admin.order(
        data, "merchant key answers", database=database, merchant=merchant, certificate=text, key_id=key_id
    )
    tell(made, show.merchant, as_json)


@app.command("p12")
def key_store(
    merchant: MerchantId,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file; clients expect it to end in .p12.")],
    password_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with the password for it; - reads it. Without one, a new password."),
    ] = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a key store for a client: a new key that signs its tokens, and the certificate to encrypt requests to."""
    if password_file is not None:
        password = read(password_file, "the password").decode("utf-8", "replace").strip()
    else:
        password = secrets.token_urlsafe(18)
    if out.exists():
        raise Refused(f"the file {out} exists already")
    made = admin.order(data, "merchant p12", database=database, merchant=merchant, password=password)
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.b64decode(made["content"]))
    told = {"merchant": merchant, "file": str(out)} | ({} if password_file is not None else {"password": password})
    tell(told, show.key_store, as_json)


@key_app.command("revoke")
def key_revoke(
    merchant: MerchantId,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Key id, or a certificate's serial number.")],
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take a key from a merchant, at once and for good."""
    done = admin.order(data, "merchant key revoke", database=database, merchant=merchant, key_id=key_id)
    tell(done, show.merchant, as_json)
