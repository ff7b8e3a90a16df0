"""Notifications: how many a second reach a fast server, and what payments notice of 10 000 that wait for a dead one.

The payments beside the dead server are another merchant's; what telling costs is in the last row. Nothing is pinned
here: the courier is a process beside the gateway, and the system gives it its share.
"""

import json
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bench import gateway as gateways
from bench import measure, processes
from bench.gateway import Gateway, Rows
from bench.load import MERCHANT, Signer
from bench.measure import Figures
from bench.plan import Found, Setup, Wish
from bench.processes import Failed
from bench.report import Remark, Row
from kessai import admin, client
from kessai.dialects.cybersource.auth import SharedSecret

QUIET: Final = "(w) authorize"
DEAD: Final = "(w) authorize, 10 000 wait"
TOLD: Final = "(w) authorize, told"
CONNECTIONS: Final = 64
WAITING: Final = 10_000
LEAST_PER_SECOND: Final = 500
MOST_SLOWER: Final = 1.2
_FASTEST: Final = 15_000.0
_LONGEST_DRAIN_S: Final = 300
_WEBHOOKS: Final = "/notification-subscriptions/v2/webhooks"
_EVENT: Final = "payments.authorization.status.accepted"


def run(wish: Wish, setup: Setup, found: Found) -> None:
    """On an engine that was measured already, with what it has stored."""
    with _receiver(wish) as port, _nobody() as dead:
        hosts = f'["127.0.0.1:{port}", "127.0.0.1:{dead}"]'
        (setup.folder / "kessai.toml").write_text(f"webhook_test_hosts = {hosts}\n", "utf-8")
        with gateways.serving(
            setup.folder,
            setup.rows,
            database=setup.database,
            workers=setup.workers,
            core=None,
            log=wish.work / "gateway.log",
        ) as gateway:
            other = _another(setup)
            quiet = _authorize(wish, setup, gateway, key=other)
            _add(wish, setup, found, QUIET, quiet)
            _call(gateway, "POST", "/kms/egress/v2/keys-sym", _KEY)
            webhook = _subscribe(gateway, dead)
            while _count(setup.rows, "waiting") < WAITING:
                _authorize(wish, setup, gateway, 1)
                _until(lambda: not setup.rows.select(_NOTICES)[0][0])
            waiting = _authorize(wish, setup, gateway, key=other)
            _add(wish, setup, found, DEAD, waiting)
            ratio = waiting.p99_ms / quiet.p99_ms
            name = f"p99 of payments while {WAITING} deliveries wait for a dead server, to that without, {setup.engine}"
            found.remarks.append(Remark(name, ratio, at_most=MOST_SLOWER))
            _call(gateway, "DELETE", f"{_WEBHOOKS}/{webhook}")
            _subscribe(gateway, port)
            _add(wish, setup, found, TOLD, _authorize(wish, setup, gateway))
            rate = _until_told(setup.rows)
            found.remarks.append(Remark(f"deliveries per s, {setup.engine}", rate, at_least=LEAST_PER_SECOND))


def _another(setup: Setup) -> SharedSecret:
    """The key of a merchant like the one that is told, who is told nothing."""
    made = admin.order(
        setup.folder,
        "merchant add",
        database=setup.database,
        merchant=f"quiet_{secrets.token_hex(4)}",
        personality="smcc",
    )
    time.sleep(1.5)  # until every worker knows of it
    return SharedSecret.of(made["key_id"], made["shared_secret"], made["id"])


def _authorize(
    wish: Wish, setup: Setup, gateway: Gateway, seconds: int = 0, key: SharedSecret | None = None
) -> Figures:
    key = key or gateway.key
    assert key is not None
    signer = Signer(gateway.address, key, run=secrets.token_hex(6), keyed=wish.keyed, merchant=key.owner)
    return measure.run(
        gateway,
        lambda _: signer.authorizations(),
        per_second=_FASTEST * setup.workers,
        connections=CONNECTIONS,
        seconds=seconds or wish.seconds,
        work=wish.work,
    )


def _add(wish: Wish, setup: Setup, found: Found, what: str, figures: Figures) -> None:
    found.rows.append(Row(engine=setup.engine, what=what, connections=CONNECTIONS, stored=0, figures=figures))
    wish.told(f"{setup.engine}, {CONNECTIONS} connections: {what}: {figures.per_second:.0f}/s, {figures.p99_ms:.1f} ms")


def _subscribe(gateway: Gateway, port: int) -> str:
    wish = {
        "products": [{"productId": "payments", "eventTypes": [_EVENT]}],
        "webhookUrl": f"http://127.0.0.1:{port}/hook",
    }
    made = _call(gateway, "POST", _WEBHOOKS, wish)
    _call(gateway, "PUT", f"{_WEBHOOKS}/{made['webhookId']}/status", {"status": "ACTIVE"})
    time.sleep(1.5)  # until every worker knows of it
    return str(made["webhookId"])


_KEY: Final = {
    "clientRequestAction": "CREATE",
    "keyInformation": {"provider": "nrtd", "tenant": MERCHANT, "keyType": "sharedSecret", "organizationId": MERCHANT},
}


def _call(gateway: Gateway, method: str, target: str, document: object = None) -> dict[str, Any]:
    assert gateway.key is not None
    body = json.dumps(document).encode() if document is not None else b""
    with client.connect(f"http://{gateway.address}") as connection:
        request = client.Request(method=method, target=target, body=body)
        answer = client.send(connection, request, MERCHANT, gateway.key)
    if answer.status not in (200, 201) or not isinstance(answer.document, dict):
        raise Failed(f"{method} {target} was answered {answer.status}")
    return answer.document


def _count(rows: Rows, state: str) -> int:
    where = f"merchant_id = '{MERCHANT}' AND state = '{state}'"
    return rows.select(f"SELECT count(*) FROM deliveries WHERE {where}")[0][0]


def _until_told(rows: Rows) -> float:
    """Deliveries a second, from the first to the last."""
    where = f"FROM deliveries WHERE merchant_id = '{MERCHANT}'"
    _until(lambda: not (_count(rows, "waiting") or rows.select(_NOTICES)[0][0]))
    count, first, last = rows.select(f"SELECT count(*), min(run_at), max(run_at) {where} AND state = 'delivered'")[0]
    return count / max(last - first, 1) * 1_000


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + _LONGEST_DRAIN_S
    while not is_so():
        if time.monotonic() > until:
            raise Failed("what was to be told was not told in time")
        time.sleep(0.2)


_NOTICES: Final = f"SELECT count(*) FROM jobs WHERE merchant_id = '{MERCHANT}' AND kind = 'notice'"


@contextmanager
def _receiver(wish: Wish) -> Iterator[int]:
    log = wish.work / "receiver.log"
    process = processes.start([sys.executable, "-m", "bench.receiver"], log, None)
    try:
        yield int(processes.first_line(process, log))
    finally:
        processes.stop(process)


@contextmanager
def _nobody() -> Iterator[int]:
    """A port that nobody listens on, kept from everybody else."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
