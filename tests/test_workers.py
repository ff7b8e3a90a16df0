"""Several processes on one port and one PostgreSQL database: they share the work, and one's death is its own."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest

from kessai import client
from kessai.dialects.cybersource.auth import SharedSecret
from tests import postgres
from tests.commands import COMMAND, ENVIRONMENT, Gateway, document, done, gateway, payment, refusal

MERCHANT: Final = "kessai_sandbox"
PROPAGATION_S: Final = 5.0
"""The rule says one second; a busy machine is given more."""


def rows(url: str, statement: str, *values: object) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def url() -> str:
    return postgres.fresh()


@pytest.fixture(scope="module")
def team(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("team") / "data"
    with gateway(folder, "--workers", "2", "--database", url, "--operations-port", "0") as found:
        yield found


def test_workers_share_a_port_and_are_told_once(team: Gateway, url: str) -> None:
    assert len(team.ready["workers"]) == len(set(team.ready["workers"])) == 2
    assert team.process.pid not in team.ready["workers"]
    payments = [team.pay() for _ in range(24)]
    assert len(set(payments)) == 24
    assert len(rows(url, "SELECT DISTINCT lease FROM transactions")) == 2, "one worker got every connection"


def test_every_worker_tells_its_own_health_and_metrics(team: Gateway) -> None:
    assert len(set(team.ready["operations"])) == 2
    for address in team.ready["operations"]:
        assert httpx.get(f"{address}/health/ready").status_code == 200
        assert "kessai_up 1" in httpx.get(f"{address}/metrics").text.splitlines()
    assert httpx.get(f"{team.ready['url']}/health/ready").json().keys() == {"status"}


def test_the_embedded_database_has_one_writer(tmp_path: Path) -> None:
    said = refusal(tmp_path / "data", "serve", "--port", "0", "--workers", "2")
    assert said == "Several workers need PostgreSQL: the embedded database has one writer."
    assert not (tmp_path / "data").exists()


def test_a_database_that_cannot_be_reached_is_told_in_one_sentence(tmp_path: Path) -> None:
    nowhere = "postgresql://kessai:secret@127.0.0.1:1/kessai"
    said = refusal(tmp_path / "data", "serve", "--port", "0", "--workers", "2", "--database", nowhere)
    assert "secret" not in said


def test_the_password_of_the_database_is_in_no_workers_command_line(team: Gateway, url: str) -> None:
    for process in team.ready["workers"]:
        assert url not in Path(f"/proc/{process}/cmdline").read_text()


def statuses(team: Gateway, merchant: str, key: SharedSecret) -> set[int]:
    """What a request of the same credentials is answered on a dozen connections."""
    return {team.ask("POST", "/pts/v2/payments", payment(), merchant, key)[0] for _ in range(12)}


def test_merchants_and_keys_changed_elsewhere_hold_on_every_worker_soon(team: Gateway, url: str) -> None:
    """A new merchant appears, a revoked key stops, on all workers within a second of the command."""
    here = ("--database", url)
    made = document(team.folder, "merchant", "add", "late", "--personality", "vpc", *here)
    key = SharedSecret.of(made["key_id"], made["shared_secret"], "late")
    until(lambda: statuses(team, "late", key) == {201}, PROPAGATION_S)
    done(team.folder, "merchant", "key", "revoke", "late", made["key_id"], *here)
    until(lambda: statuses(team, "late", key) == {401}, PROPAGATION_S)


def test_orders_are_carried_out_beside_the_workers(team: Gateway, url: str) -> None:
    paid = team.pay()
    captured = team.capture(paid)
    here = ("--database", url)
    assert document(team.folder, "payment", "show", captured, *here)["payment"] == paid
    (batch,) = document(team.folder, "settle", "--merchant", MERCHANT, *here)
    assert batch["transactions"] == 1
    assert document(team.folder, "ledger", "check", *here)["findings"] == []
    called = document(team.folder, "call", "GET", f"/tss/v2/transactions/{captured}", *here)
    assert called["body"]["applicationInformation"]["status"] == "TRANSMITTED"


def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path, team: Gateway, url: str) -> None:
    port = team.ready["url"].rpartition(":")[2]
    for options in (("--workers", "2"), ()):
        said = refusal(tmp_path / "data", "serve", "--database", url, *options, "--port", port)
        assert said == f"Port {port} of '127.0.0.1' is in use by another program."


def send_in_vain(team: Gateway) -> bool:
    """A request that the acquirer never answers. Whether its worker died over it."""
    request = client.Request(
        method="POST",
        target="/pts/v2/payments",
        body=json.dumps(payment()).encode(),
        headers=(("Kessai-Scenario", "no-answer"),),
    )
    try:
        with client.connect(team.ready["url"]) as connection:
            answer = client.send(connection, request, MERCHANT, team.keys[MERCHANT])
    except client.Unreachable:
        return True
    assert answer.status == 502
    return False


def pay_anyhow(team: Gateway) -> str:
    """A payment; a connection that the dying worker had accepted is tried again."""
    while True:
        try:
            return team.pay()
        except client.Unreachable:
            continue


def test_a_worker_that_is_killed_takes_nothing_else_with_it(tmp_path: Path) -> None:
    """R-4: the other goes on, a new one comes; what the dead one had open is given up after its lease, not before."""
    url = postgres.fresh()
    pending = "SELECT id, lease FROM transactions WHERE status = 'pending'"
    settings = {"KESSAI_ACQUIRER_DEADLINE_S": "12"}
    with (
        gateway(tmp_path / "data", "--workers", "2", "--database", url, settings=settings) as team,
        ThreadPoolExecutor(12) as threads,
    ):
        victim = team.ready["workers"][1]
        in_vain = [threads.submit(send_in_vain, team) for _ in range(12)]
        until(lambda: len(rows(url, pending)) == 12)
        before = {row["lease"] for row in rows(url, "SELECT lease FROM nodes WHERE until > 0")}
        os.kill(victim, signal.SIGKILL)
        for _ in range(20):
            pay_anyhow(team)
        until(lambda: any(row["lease"] not in before for row in rows(url, "SELECT lease FROM nodes WHERE until > 0")))
        assert len(rows(url, pending)) == 12, "a living sibling's exchange was given up"
        alive = {row["lease"] for row in rows(url, "SELECT DISTINCT lease FROM transactions WHERE status = 'approved'")}
        (lost,) = {row["lease"] for row in rows(url, pending)} - alive
        asyncio.run(postgres.execute(url, f"UPDATE nodes SET until = 1 WHERE lease = {lost}"))
        until(lambda: lost not in {row["lease"] for row in rows(url, pending)})
        assert rows(url, pending), "what the other worker has open was given up too"
        assert {each.result() for each in in_vain} == {True, False}
        until(lambda: not document(team.folder, "jobs", "--database", url))
        assert document(team.folder, "verify", "--database", url)["findings"] == []
        reversals = "SELECT id FROM transactions WHERE operation = 'reversal' AND status = 'approved'"
        assert len(rows(url, reversals)) == 12


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    """F22: one that is stopped gives no sign of life; the other goes on meanwhile."""
    url = postgres.fresh()
    settings = {"KESSAI_WORKER_SILENCE_S": "1.5"}
    with gateway(tmp_path / "data", "--workers", "2", "--database", url, settings=settings) as team:
        hangs, lives = team.ready["workers"]
        os.kill(hangs, signal.SIGSTOP)
        until(lambda: not Path(f"/proc/{hangs}").exists())
        until(lambda: len(children(team.process.pid)) == 2)
        assert lives in children(team.process.pid)
        until(lambda: len(rows(url, "SELECT node FROM nodes WHERE until > 0")) == 3)
        assert pay_anyhow(team)


def test_a_machine_that_slept_wakes_with_all_its_workers(tmp_path: Path) -> None:
    """All of them are stopped for longer than a worker may be silent, the parent too."""
    settings = {"KESSAI_WORKER_SILENCE_S": "1.5"}
    with gateway(tmp_path / "data", "--workers", "2", "--database", postgres.fresh(), settings=settings) as team:
        everybody = [team.process.pid, *team.ready["workers"]]
        for process in everybody:
            os.kill(process, signal.SIGSTOP)
        time.sleep(3.0)
        for process in everybody:
            os.kill(process, signal.SIGCONT)
        time.sleep(3.0)
        assert sorted(children(team.process.pid)) == sorted(team.ready["workers"])
        assert pay_anyhow(team)


def children(parent: int) -> list[int]:
    return list(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    line = [*COMMAND, "serve", "--port", "0", "--json", "--workers", "2", "--data", str(tmp_path / "data")]
    environment = ENVIRONMENT | {"KESSAI_DATABASE": postgres.fresh()}
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert is_served(url)
        process.kill()
    until(lambda: not is_served(url))


def is_served(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False
