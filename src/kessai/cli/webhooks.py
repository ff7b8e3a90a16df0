"""Notifications: what was sent, sending it again, and listening on a developer's machine."""

import json
import time
from typing import Annotated, Any, Final

import httpx
import typer

from kessai import admin, client, serving, show
from kessai.accounts import Refused
from kessai.app import DEFAULT_MERCHANT
from kessai.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    Database,
    Insecure,
    MerchantId,
    Url,
    print_json,
    print_shown,
    tell,
)
from kessai.dialects.cybersource.auth import SharedSecret

app: Final = typer.Typer()
webhook_app: Final = typer.Typer(help="Notifications to merchants' servers.", no_args_is_help=True)
app.add_typer(webhook_app, name="webhook")

POLL_S: Final = 0.5
FORWARD_S: Final = 10.0

Merchant = Annotated[str | None, typer.Option(metavar="ID", help="Only this merchant's.")]
Delivery = Annotated[str, typer.Argument(metavar="ID", help="Id of a notification, or the trace id it was sent with.")]


@webhook_app.command("list")
def webhook_list(
    merchant: Merchant = None,
    state: Annotated[str, typer.Option(metavar="S", help="Only these: waiting, held, parked, delivered.")] = "",
    most: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="How many at most.")] = 50,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List notifications, the latest first: which arrived, which wait, which were given up (parked)."""
    found = admin.order(data, "webhook list", database=database, merchant=merchant, state=state, most=most)
    tell(found, show.deliveries, as_json)


@webhook_app.command("show")
def webhook_show(
    delivery: Delivery, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False
) -> None:
    """Tell all of one notification: where it goes, what came of it, its payload."""
    found = admin.order(data, "webhook show", database=database, delivery=delivery)
    if as_json:
        print_json(found)
        return
    payload = found.pop("payload")
    print_shown(show.pairs(found))
    print_shown(show.document(payload))


@webhook_app.command("resend")
def webhook_resend(
    delivery: Annotated[str | None, typer.Argument(metavar="ID", help="Which; without it, every parked one.")] = None,
    merchant: Merchant = None,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Send a notification again that has ended, or all that were given up; with all their tries before them."""
    sent = admin.order(data, "webhook resend", database=database, delivery=delivery, merchant=merchant)
    tell(sent, show.rows, as_json)


@webhook_app.command("subscriptions")
def webhook_subscriptions(
    merchant: Merchant = None, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False
) -> None:
    """List where merchants want to be told of what happens."""
    tell(admin.order(data, "webhook subscriptions", database=database, merchant=merchant), show.rows, as_json)


@webhook_app.command("secret")
def webhook_secret(
    merchant: MerchantId, data: Data = DEFAULT_DATA, database: Database = None, as_json: AsJson = False
) -> None:
    """Make the secret that signs notifications to URLs that come with payments; it is shown once."""
    tell(admin.order(data, "webhook secret", database=database, merchant=merchant), show.pairs, as_json)


@app.command()
def listen(
    forward_to: Annotated[
        str | None, typer.Option("--forward-to", metavar="URL", help="Send each event there, as it would be sent.")
    ] = None,
    merchant: Annotated[str, typer.Option(metavar="ID", help="The test merchant to listen for.")] = DEFAULT_MERCHANT,
    until: Annotated[int, typer.Option(metavar="N", min=0, help="End after so many events; 0: never.")] = 0,
    url: Url = None,
    insecure: Insecure = False,
    data: Data = DEFAULT_DATA,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Print what happens to a test merchant's payments as it happens, and forward it to a server of this machine."""
    base = client.gateway(data, url)
    key = client.key(data, merchant, database)
    with (
        client.connect(base, authority=serving.authority(data), insecure=insecure) as gateway,
        httpx.Client(timeout=FORWARD_S, follow_redirects=False, trust_env=False) as server,
    ):
        opened = _ask(gateway, "/kessai/v1/listeners", {}, merchant, key)
        if as_json:
            print(json.dumps({"listening": merchant, "keyId": opened["keyId"], "key": opened["key"]}), flush=True)
        else:
            print(f"Listening for {merchant}. Key {opened['keyId']} signs: {opened['key']}", flush=True)
        path, count = f"/kessai/v1/listeners/{opened['listenerId']}", 0
        arrived: list[str] = []
        try:
            while not until or count < until:
                events = _ask(gateway, path, {"arrived": arrived}, merchant, key)["events"]
                arrived = []
                for event in events:
                    said = _forward(server, forward_to, event) if forward_to is not None else ""
                    _print(event, said, as_json)
                    arrived.append(event["id"])
                    count += 1
                if not events:
                    time.sleep(POLL_S)
            _ask(gateway, path, {"arrived": arrived}, merchant, key)
        finally:
            client.send(gateway, client.Request(method="DELETE", target=path), merchant, key)


def _ask(gateway: httpx.Client, path: str, document: object, merchant: str, key: SharedSecret) -> dict[str, Any]:
    request = client.Request(method="POST", target=path, body=json.dumps(document).encode())
    answer = client.send(gateway, request, merchant, key)
    found = answer.document
    if answer.status not in (200, 201) or not isinstance(found, dict):
        raise Refused(f"the gateway answered {answer.status}: only test merchants can be listened for")
    return found


def _forward(server: httpx.Client, url: str, event: dict[str, Any]) -> str:
    """What the developer's server says to an event. It is sent once: printing it is what this is for."""
    try:
        answer = server.post(url, content=str(event["body"]).encode(), headers=event["headers"])
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(answer.status_code)


def _print(event: dict[str, Any], said: str, as_json: bool) -> None:
    document = json.loads(event["body"])
    if as_json:
        print(json.dumps({"event": document, "headers": event["headers"], "forwarded": said or None}), flush=True)
        return
    arrow = f"  -> {said}" if said else ""
    print(f"{document['eventDate']}  {document['eventType']}  {document['transactionTraceId']}{arrow}", flush=True)
    print_shown(show.document(document["payload"]))
