"""The operator's hand: the `kessai` command.

Reads arguments, gives orders, prints results; decides nothing about payments. Results go to standard output, as text
for people or with `--json` as one document; what went wrong is one sentence on standard error (with `--json` the
document `{"error": …}`). Exit status: 0 done, 1 refused or not as it should be, 2 not understood.

No card number and no secret is taken from the command line, where other users of the machine could read it: they come
from files or standard input, and a file's name is not repeated in an error, in case it was the secret itself.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import apsw
import typer
from rich.console import Console, RenderableType
from typer.core import TyperGroup

from kessai import acquirers, admin, client, config, demo, log, sandbox, server, serving, show, story, tls
from kessai.accounts import Refused
from kessai.acquirers.simulator import triggers as trigger_table
from kessai.app import DEFAULT_MERCHANT, CannotOpen
from kessai.payment import issuers, options

DEFAULT_DATA: Final = Path("data")
_JSON: Final = "kessai.json"

ONE_SENTENCE: Final = (
    Refused,
    CannotOpen,
    config.BadSetting,
    server.CannotServe,
    tls.CertificateUnusable,
    client.Unreachable,
)
"""What an operator can mend; its text is told without a traceback."""


class _Commands(TyperGroup):
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
        _print_json({"error": sentence})
    else:
        print(f"kessai: {sentence}", file=sys.stderr)
    raise typer.Exit(1)


app: Final = typer.Typer(
    cls=_Commands,
    name="kessai",
    help="A self-hosted card payment gateway that speaks the wire languages merchants already speak.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
merchant_app: Final = typer.Typer(help="Merchants: who may call, and on which terms.", no_args_is_help=True)
key_app: Final = typer.Typer(help="Keys of a merchant.", no_args_is_help=True)
payment_app: Final = typer.Typer(help="Payments.", no_args_is_help=True)
ledger_app: Final = typer.Typer(help="The books.", no_args_is_help=True)
app.add_typer(merchant_app, name="merchant")
merchant_app.add_typer(key_app, name="key")
app.add_typer(payment_app, name="payment")
app.add_typer(ledger_app, name="ledger")


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value


def _version(value: bool) -> None:
    if value:
        print(f"kessai {metadata.version('kessai')}")
        raise typer.Exit()


Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="KESSAI_DATA", help="Folder of the embedded database and its keys."),
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


@app.callback()
def _root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    log.configure(level="warning", plain=sys.stderr.isatty())


# ---- serving


@app.command()
def serve(
    data: Data = DEFAULT_DATA,
    host: Annotated[str, typer.Option(help="Address or name to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 lets the system choose.")] = 8080,
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
    as_json: AsJson = False,
) -> None:
    """Serve payments. An empty folder becomes a sandbox: keys, database and four merchants are made."""
    if (certificate is None) is not (key is None):
        raise typer.BadParameter("a certificate and its key are given together", param_hint="--certificate, --key")
    settings = config.load(data)
    log.configure(level=settings.log_level, plain=sys.stderr.isatty())  # type: ignore[arg-type] # config checked it
    serving_on = server.Settings(host=host, port=port, certificate=certificate, key=key, behind_proxy=behind_proxy)
    if with_tls and certificate is None:
        serving_on = serving.with_development_certificate(data, serving_on)

    def announce(ready: serving.Ready) -> None:
        if as_json:
            print(json.dumps(ready), flush=True)
        elif not quiet:
            _print(show.started(ready, serving.command()))
            print(serving.example(data, DEFAULT_DATA), flush=True)

    server.run(serving.serve(data, serving_on, announce))


# ---- printing and reading


def _print_json(document: object) -> None:
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, ensure_ascii=not is_unicode, indent=2), flush=True)


def _tell(result: Any, shown: Callable[[Any], RenderableType], as_json: bool) -> None:
    _print_json(result) if as_json else _print(shown(result))


def _print(shown: RenderableType) -> None:
    """To a terminal as wide as it is; elsewhere wide enough for nothing to be broken, and without trailing blanks."""
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(shown)
        return
    width = None if os.environ.get("COLUMNS", "").isdigit() else 160
    wide = Console(width=width, highlight=False, markup=False, emoji=False)
    with wide.capture() as captured:
        wide.print(shown)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def _read(source: str, what: str) -> bytes:
    """A file, or standard input for `-`. Refused where it cannot be read, without its name."""
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise Refused(f"the file with {what} cannot be read: {error.strerror}") from None


def _keys(key_id: str | None, secret_file: str | None, certificate: str | None) -> dict[str, str | None]:
    """Arguments of an order that brings a key along."""
    if (key_id is None) is not (secret_file is None):
        hint = "--key-id, --shared-secret-file"
        raise typer.BadParameter("the id of a key and its shared secret are given together", param_hint=hint)
    return {
        "key_id": key_id,
        "shared_secret": _read(secret_file, "the shared secret").decode("utf-8", "replace").strip()
        if secret_file
        else None,
        "certificate": _read(certificate, "the certificate").decode("utf-8", "replace") if certificate else None,
    }


# ---- merchants


@merchant_app.command("add")
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
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add a merchant, with the credentials it has or with a new shared secret, shown once."""
    keys = _keys(key_id, shared_secret_file, certificate)
    if not (data / "kessai.db").exists():
        print(f"kessai: this makes a new installation in {data}.", file=sys.stderr)
    made = admin.order(data, "merchant add", merchant=merchant, personality=personality, mode=mode, **keys)
    _tell(made, show.merchant, as_json)


@merchant_app.command("list")
def merchant_list(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the merchants; never their secrets."""
    found = admin.order(data, "merchant list")
    _tell(found, show.merchants, as_json)


@merchant_app.command("set")
def merchant_set(
    merchant: MerchantId,
    settings: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Settings; an empty value goes back to the default.")
    ],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Change a merchant's settings (see docs/reference/settings.md), or its mode."""
    changes: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise typer.BadParameter("a setting is given as NAME=VALUE", param_hint="NAME=VALUE")
        changes[name] = value
    done = admin.order(data, "merchant set", merchant=merchant, settings=changes)
    _print_json(done) if as_json else _print(show.merchants([done]))


@key_app.command("add")
def key_add(
    merchant: MerchantId,
    key_id: KeyId = None,
    shared_secret_file: SecretFile = None,
    certificate: CertificateFile = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Give a merchant another key; its others stay good."""
    keys = _keys(key_id, shared_secret_file, certificate)
    made = admin.order(data, "merchant key add", merchant=merchant, **keys)
    _tell(made, show.merchant, as_json)


@key_app.command("revoke")
def key_revoke(
    merchant: MerchantId,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Key id, or a certificate's serial number.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Take a key from a merchant, at once and for good."""
    done = admin.order(data, "merchant key revoke", merchant=merchant, key_id=key_id)
    _tell(done, show.merchant, as_json)


# ---- payments and the books


@payment_app.command("show")
def payment_show(
    transaction: Annotated[str, typer.Argument(metavar="ID", help="Id of the payment or any of its transactions.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Tell a payment's whole story: transactions, exchanges, ledger entries, schedule, warnings."""
    found = admin.order(data, "payment show", transaction=transaction)
    _tell(found, show.payment, as_json)


@ledger_app.command("check")
def ledger_check(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Recompute the books from the transactions; exit status 1 names every line that was altered, lost or added."""
    report = admin.order(data, "ledger check")
    _tell(report, show.ledger, as_json)
    if report["findings"]:
        raise typer.Exit(1)


@app.command()
def settle(
    merchant: Annotated[str | None, typer.Option(metavar="ID", help="Only this merchant.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Cut the business day now: what moved money goes into a settlement, and can no longer be voided."""
    made = admin.order(data, "settle", merchant=merchant)
    _tell(made, show.settlements, as_json)


@app.command()
def jobs(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what the gateway still has to do, and what it has given up on."""
    found = admin.order(data, "jobs")
    _tell(found, show.jobs, as_json)


# ---- requests


@app.command()
def call(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, PUT, PATCH, DELETE.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path and query, signed and sent as they stand.")],
    merchant: Annotated[str, typer.Option(metavar="ID", help="The merchant to call as.")] = DEFAULT_MERCHANT,
    body: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="The body; without it a POST, PUT or PATCH sends {}.")
    ] = None,
    url: Url = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Ask the simulator for an outcome by name.", autocompletion=lambda: list(sandbox.describe())),
    ] = None,
    header: Annotated[list[str] | None, typer.Option(metavar='"K: V"', help="Another header; may be repeated.")] = None,
    jwt: Annotated[bool, typer.Option("--jwt", help="Sign with a JWT instead of an HTTP signature.")] = False,
    insecure: Insecure = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Sign a request as a merchant, send it, print status and body. Whatever the answer is, the exit status is 0."""
    if re.fullmatch(r"[A-Za-z]{1,16}", method, re.ASCII) is None:
        raise typer.BadParameter("a method is a word", param_hint="METHOD")
    if re.fullmatch(r"/[!-~]*", path, re.ASCII) is None:
        raise typer.BadParameter("a path begins with / and is visible ASCII", param_hint="PATH")
    headers = [_header(text) for text in header or ()]
    if scenario is not None:
        headers.append((sandbox.HEADER, scenario))
    verb = method.upper()
    content = b"{}" if verb in client.METHODS_WITH_BODY else b""
    if body is not None:
        content = _read(body, "the body")
    request = client.Request(method=verb, target=path, body=content, headers=tuple(headers))
    base = client.gateway(data, url)
    key = client.key(data, merchant)
    with client.connect(base, authority=serving.authority(data), insecure=insecure) as connection:
        answer = client.send(connection, request, merchant, key, jwt=jwt)
    if as_json:
        _print_json({"status": answer.status, "headers": dict(answer.headers), "body": answer.document})
    else:
        _print(show.answer(answer.status, answer.phrase, answer.headers, answer.document))


def _header(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*)", text, re.ASCII)
    if found is None:
        raise typer.BadParameter('a header is given as "Name: value"', param_hint="--header")
    return found[1], found[2]


@app.command("demo")
def run_demo(url: Url = None, insecure: Insecure = False, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Run the documents' flows against a gateway: requests, answers, ledger and schedules."""
    results: list[dict[str, Any]] = []
    base = client.gateway(data, url)
    with client.connect(base, authority=serving.authority(data), insecure=insecure) as connection:
        for result in demo.run(*demo.over(connection, data)):
            results.append(result)
            if not as_json:
                _print(show.step(result))
    wrong = [result["title"] for result in results if not result["ok"]]
    if as_json:
        _print_json(results)
    else:
        print(f"{len(results) - len(wrong)} of {len(results)} steps went as expected.")
    if wrong:
        raise typer.Exit(1)


# ---- tables and schedules: no database, no gateway


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
        _tell(found, show.pairs, as_json)
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
    _tell(plan, show.schedule, as_json)
    if plan["cardholder"] is None:
        raise typer.Exit(1)


@app.command()
def scenarios(_data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the outcomes that a test merchant can ask for by name (`call --scenario`)."""
    found = sandbox.describe()
    _print_json(dict(found)) if as_json else _print(show.table(("scenario", "meaning"), found.items()))


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
        _print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        _print(show.table(trigger_table.HEADINGS, rows))


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
