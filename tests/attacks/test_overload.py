"""Too much and too slow: whoever dribbles is closed, everybody else is served, and what was accepted is done once."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from email.utils import formatdate
from pathlib import Path

import pytest

from kessai import books, server
from kessai.acquirers.simulator.link import Simulator
from kessai.app import House
from kessai.dialects.cybersource.auth import SharedSecret, sign
from kessai.server import Limits
from kessai.storage import database
from kessai.storage.sqlite import connect
from tests.acceptance.client import payment
from tests.attacks.harm import head, statuses
from tests.houses import opened

PATH = "/pts/v2/payments"
MERCHANT = "kessai_sandbox"


@asynccontextmanager
async def _served(folder: Path, limits: Limits) -> AsyncIterator[tuple[House, int]]:
    async with opened(folder) as house:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        serving = asyncio.create_task(
            server.serve(house.edge(), server.Settings(port=0, limits=limits), port.set_result, stop)
        )
        try:
            yield house, await asyncio.wait_for(port, 10)
        finally:
            stop.set()
            await serving


async def _key(house: House) -> SharedSecret:
    key_id, secret = await house.accounts.shared_secret(MERCHANT)
    return SharedSecret(key_id, base64.b64decode(secret), MERCHANT)


def _payment(port: int, key: SharedSecret, amount: str, *, closes: bool) -> bytes:
    """The bytes of a signed authorization."""
    body = json.dumps(payment(amount)).encode()
    headers = sign(
        method="POST",
        target=PATH,
        host=f"127.0.0.1:{port}",
        body=body,
        merchant_id=MERCHANT,
        key=key,
        date_text=formatdate(usegmt=True),
    )
    more = {"content-type": "application/json", "content-length": str(len(body))}
    return head("POST", PATH, headers | more | ({"connection": "close"} if closes else {})) + body


async def _ask(port: int, sent: bytes) -> tuple[int, float]:
    """Status and seconds of one request on a connection of its own."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    got = await reader.read()
    writer.close()
    (status,) = statuses(got)
    return status, time.monotonic() - began


async def _dribble(port: int, start: bytes, rest: bytes) -> tuple[list[int], float]:
    """Send a byte at a time until the other side has had enough: what it said, and after how long."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    answer = asyncio.create_task(reader.read())
    for byte in rest:
        if answer.done() or writer.is_closing():
            break
        writer.write(bytes([byte]))
        await asyncio.wait({answer}, timeout=0.05)
    said = statuses(await answer)
    writer.close()
    return said, time.monotonic() - began


def test_two_hundred_slow_clients_are_closed_and_the_others_are_served(tmp_path: Path) -> None:
    """T-17, F27, A-91: half of them in their headers, half in their body, a byte at a time."""

    async def main() -> None:
        limits = Limits(head_s=3.0, body_s=3.5, linger_s=0.2)
        async with _served(tmp_path, limits) as (house, port):
            key = await _key(house)
            whole = _payment(port, key, "1.00", closes=True)
            cut = whole.index(b"\r\n\r\n") + 4
            slow = [asyncio.create_task(_dribble(port, b"", whole[:cut])) for _ in range(100)]
            slow += [asyncio.create_task(_dribble(port, whole[:cut], whole[cut:])) for _ in range(100)]
            await asyncio.sleep(0.2)
            served = [await _ask(port, _payment(port, key, f"2.{n:02d}", closes=True)) for n in range(5)]
            assert not any(each.done() for each in slow), "nobody else was served before the slow ones were closed"
            served += [await _ask(port, _payment(port, key, f"3.{n:02d}", closes=True)) for n in range(15)]
            assert {status for status, _ in served} == {201}
            ended = await asyncio.gather(*slow)
            assert {tuple(said) for said, _ in ended} == {(408,)}
            assert all(limits.head_s * 0.9 < took_s < limits.head_s + 10 for _, took_s in ended[:100])
            assert all(limits.body_s * 0.9 < took_s < limits.body_s + 10 for _, took_s in ended[100:])
            assert len(_held(house)) == 20

    asyncio.run(main())


def _held(house: House) -> dict[int, int]:
    link = house.gateway.links["sandbox"]
    assert isinstance(link, Simulator)
    return link.book.held


def _stored(folder: Path) -> list[tuple[object, ...]]:
    with closing(connect(folder / "kessai.db")) as reader:
        return reader.execute("SELECT status, answer_status FROM transactions").fetchall()


@pytest.mark.parametrize("room", [None, 8], ids=["with room", "with room for eight writes"])
def test_what_is_accepted_under_overload_is_done_once_and_the_rest_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int | None
) -> None:
    """T-17, F28, R-12, P6: 400 payments at the same moment."""
    if room is not None:
        monkeypatch.setattr(database, "MOST_WAITING", room)

    async def main() -> tuple[Counter[int], float, int]:
        async with _served(tmp_path, Limits()) as (house, port):
            key = await _key(house)
            sent = [_payment(port, key, f"{n // 100 + 3}.{n % 100:02d}", closes=True) for n in range(400)]
            answers = await asyncio.gather(*(_ask(port, each) for each in sent))
            refused_s = [took_s for status, took_s in answers if status in (429, 503)]
            assert (await books.check(house.database)).findings == ()
            return Counter(status for status, _ in answers), max(refused_s, default=0.0), len(_held(house))

    said, longest_s, held = asyncio.run(main())
    assert set(said) <= {201, 429, 503}
    assert said[201] > 0
    if room is None:
        assert said == {201: 400}
    else:
        assert said[429] + said[503] > 0
    assert longest_s < 15.0  # at once: not after the deadlines of whoever waits
    assert held == said[201]
    stored = _stored(tmp_path)
    assert stored.count(("approved", 201)) == said[201]
    assert {status for status, _ in stored} == {"approved"}
