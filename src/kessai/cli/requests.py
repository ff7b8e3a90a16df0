"""Requests: signed as a merchant and sent to a gateway, one by hand or all of the documents' flows."""

import re
from typing import Annotated, Any, Final

import typer

from kessai import client, demo, sandbox, serving, show
from kessai.app import DEFAULT_MERCHANT
from kessai.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    Database,
    Insecure,
    Url,
    print_json,
    print_shown,
    read,
)

app: Final = typer.Typer()


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
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Sign a request as a merchant, send it, print status and body. Whatever the answer is, the exit status is 0.

    A path that begins with /api/ is one of the PaymentOptions wire: its requests bear the merchant's keys instead.
    """
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
        content = read(body, "the body")
    request = client.Request(method=verb, target=path, body=content, headers=tuple(headers))
    base = client.gateway(data, url)
    with client.connect(base, authority=serving.authority(data), insecure=insecure) as connection:
        if client.is_bearers(path):
            answer = client.send_bearer(connection, request, client.bearer(data, merchant, database))
        else:
            answer = client.send(connection, request, merchant, client.key(data, merchant, database), jwt=jwt)
    if as_json:
        print_json({"status": answer.status, "headers": dict(answer.headers), "body": answer.document})
    else:
        print_shown(show.answer(answer.status, answer.phrase, answer.headers, answer.document))


def _header(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*)", text, re.ASCII)
    if found is None:
        raise typer.BadParameter('a header is given as "Name: value"', param_hint="--header")
    return found[1], found[2]


@app.command("demo")
def run_demo(
    url: Url = None,
    insecure: Insecure = False,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Run the documents' flows against a gateway: requests, answers, ledger and schedules."""
    results: list[dict[str, Any]] = []
    base = client.gateway(data, url)
    with client.connect(base, authority=serving.authority(data), insecure=insecure) as connection:
        for result in demo.run(*demo.over(connection, data, database)):
            results.append(result)
            if not as_json:
                print_shown(show.step(result))
    wrong = [result["title"] for result in results if not result["ok"]]
    if as_json:
        print_json(results)
    else:
        print(f"{len(results) - len(wrong)} of {len(results)} steps went as expected.")
    if wrong:
        raise typer.Exit(1)
