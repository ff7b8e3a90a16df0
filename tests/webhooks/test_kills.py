"""Whatever is killed, what was acknowledged is told: at least once, each time with the same id."""

import asyncio
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kessai import admin, client, ids
from tests import postgres
from tests.acceptance.client import Service
from tests.acceptance.options import CARD, HOME
from tests.commands import Gateway, gateway, in_turn, payment
from tests.conftest import ENGINES
from tests.webhooks.receiver import OK, Receiver, Request, receiving
from tests.webhooks.shop import ACCEPTED, KEYS, QUICK, WEBHOOKS, Shop, key_request

MERCHANT = "kessai_sandbox"


def settings(receiver: Receiver, database: str) -> Mapping[str, str]:
    hosts = {"KESSAI_WEBHOOK_TEST_HOSTS": f"127.0.0.1:{receiver.port}"}
    return hosts | ({"KESSAI_DATABASE": database} if database else {})


def subscribe(till: Gateway, receiver: Receiver) -> None:
    status, _ = till.ask("POST", KEYS, key_request(MERCHANT))
    assert status == 201
    products = [{"productId": "payments", "eventTypes": [ACCEPTED]}]
    wish = {"products": products, "webhookUrl": receiver.url, "retryPolicy": QUICK}
    status, made = till.ask("POST", WEBHOOKS, wish)
    assert status == 201
    status, _ = till.ask("PUT", f"{WEBHOOKS}/{made['webhookId']}/status", {"status": "ACTIVE"})
    assert status == 200


def told_of(request: Request) -> str:
    identifier: Any = request.json["payload"]["data"]["id"]
    return str(identifier)


@pytest.mark.parametrize("name", ENGINES)
def test_a_gateway_that_is_killed_before_it_delivers(name: str, tmp_path: Path) -> None:
    """R-2, R-14: notices are of the outcome's commit; what was sent and not confirmed is sent again."""
    database = postgres.fresh() if name == "postgresql" else ""
    is_silent = True

    def answer(_request: Request) -> bytes:
        while is_silent:
            time.sleep(0.01)
        return OK

    with receiving(answer) as receiver:
        with gateway(tmp_path, settings=settings(receiver, database), ends=-signal.SIGKILL) as till:
            subscribe(till, receiver)
            paid = [till.pay() for _ in range(40)]
            receiver.until(lambda seen: len(seen) == 16)
            till.process.kill()
            till.process.wait()
        before = receiver.notifications()
        is_silent = False
        with gateway(tmp_path, settings=settings(receiver, database)):
            told = receiver.until(lambda seen: {told_of(each) for each in seen} >= set(paid), seconds=60)
    traces = {told_of(each): each.trace for each in before}
    assert len(traces) == 16
    assert all(traces.get(told_of(each), each.trace) == each.trace for each in told)
    assert len({each.trace for each in told}) == 40


@pytest.mark.parametrize("name", ENGINES)
def test_payments_with_urls_of_their_own_are_told_after_a_kill(name: str, tmp_path: Path) -> None:
    """Their notices are of the outcome's commit too; a payment's steps come in order; the operator sees them all."""
    database = postgres.fresh() if name == "postgresql" else ""
    is_silent = True

    def answer(_request: Request) -> bytes:
        while is_silent:
            time.sleep(0.01)
        return OK

    with receiving(answer) as receiver:
        with gateway(tmp_path, settings=settings(receiver, database), ends=-signal.SIGKILL) as till:
            keys = client.bearer(tmp_path, MERCHANT, database or None)
            with client.connect(till.ready["url"]) as connection:
                shop = client.PaymentOptions(connection, MERCHANT, **keys)
                url = {"webhook_url": receiver.url}
                made: list[tuple[str, str]] = []
                for _ in range(12):
                    sold = shop.payment("1000", "JPY", HOME, card=CARD, return_url=url)
                    made.append((sold.id, shop.refund(sold.id, 100).id))
            assert all(map(all, made))
            until(lambda: len(receiver.seen) >= 12)
            till.process.kill()
            till.process.wait()
        before = list(receiver.seen)
        is_silent = False
        with gateway(tmp_path, settings=settings(receiver, database)) as till:
            until(lambda: {own(each)[0] for each in receiver.seen} >= {each for pair in made for each in pair})
            arguments = {"merchant": MERCHANT, "state": "delivered"}
            until(lambda: len(admin.order(tmp_path, "webhook list", database=database or None, **arguments)) == 24)
    assert {own(each)[0] for each in before} <= {sold for sold, _ in made}, "a refund waits for its payment"
    first_seen = list(dict.fromkeys(own(each)[0] for each in receiver.seen))
    assert all(first_seen.index(sold) < first_seen.index(back) for sold, back in made)
    assert len(set(map(own, receiver.seen))) == 24, "each has one id, however often it was sent"


def own(request: Request) -> tuple[str, str]:
    """A notification of the PaymentOptions wire: the transaction that it is about, and its own id."""
    return str(request.json["transaction_details"]["id"]), request.headers["kessai-event-id"]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_courier_that_is_killed(service: Service, shop: Shop, receiver: Receiver) -> None:
    """Another one is started, and is handed what the first one had."""
    shop.subscribe(receiver)
    shop.pay()
    receiver.until(lambda seen: len(seen) == 1)
    over = threading.Event()

    def answer(_request: Request) -> bytes:
        over.wait(60)
        return OK

    receiver.answer = answer
    paid = [shop.pay() for _ in range(5)]
    receiver.until(lambda seen: len(seen) >= 3)
    courier = service.house.notifier.courier
    assert courier is not None
    os.kill(courier, signal.SIGKILL)
    over.set()
    told = receiver.until(
        lambda seen: {told_of(each) for each in seen if each.headers["v-c-retry-count"] != "0"} != set()
    )
    told = receiver.until(lambda seen: {told_of(each) for each in seen} >= set(paid))
    assert len({each.trace for each in told}) == 6


def test_workers_side_by_side_send_each_event_once(tmp_path: Path) -> None:
    """One process at a time is at a merchant's deliveries."""
    database = postgres.fresh()
    with receiving() as receiver, gateway(tmp_path, "--workers", "2", settings=settings(receiver, database)) as till:
        subscribe(till, receiver)
        until(lambda: tells_on_every_worker(till, receiver, database))
        with ThreadPoolExecutor(8) as pool:
            paid = list(pool.map(lambda _: till.pay(), range(60)))
        told = receiver.until(lambda seen: {told_of(each) for each in seen} >= set(paid), seconds=60)
        time.sleep(0.5)
        counted = Counter(told_of(each) for each in receiver.notifications())
    assert {each: counted[each] for each in paid} == dict.fromkeys(paid, 1)
    assert set(counted.values()) == {1}
    assert len({each.trace for each in told}) >= 60


def tells_on_every_worker(till: Gateway, receiver: Receiver, database: str) -> bool:
    """Whether payments of two workers have been told: they learn of a subscription one after the other."""
    till.pay()
    told = {number for each in receiver.notifications() if (number := ids.read(told_of(each))) is not None}
    rows = asyncio.run(postgres.rows(database, "SELECT id, lease FROM transactions"))
    return len({lease for number, lease in rows if number in told}) == 2


def test_an_operator_sees_and_sends_again(tmp_path: Path) -> None:
    """`kessai webhook`: over the private socket, while the gateway serves."""
    with receiving() as receiver, gateway(tmp_path, settings=settings(receiver, "")) as till:
        subscribe(till, receiver)
        till.pay(payment())
        receiver.until(lambda seen: len(seen) == 1)
        delivered = {"state": "delivered", "merchant": MERCHANT}
        found: list[dict[str, Any]] = []
        while not found:
            found = (admin.call_over_there(tmp_path, "webhook list", delivered) or {})["result"]
        identifier = found[0]["id"]
        lines = (("list",), ("show", identifier), ("subscriptions",), ("resend", identifier))
        said = in_turn(tmp_path, [("webhook", *line, "--json") for line in lines])
        assert [(status, complained) for status, _, complained in said] == [(0, "")] * 4
        (listed,), shown, (place,), (sent,) = (json.loads(text) for _, text, _ in said)
        assert listed["id"] == sent["id"] == shown["id"] == identifier
        assert (shown["trace"], shown["url"]) == (receiver.notifications()[0].trace, receiver.url)
        assert (place["status"], place["events"]) == ("ACTIVE", [ACCEPTED])
        told = receiver.until(lambda seen: len(seen) == 2)
        assert told[0].trace == told[1].trace
