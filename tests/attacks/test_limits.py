"""Guesses, and more requests than anybody needs: 429 with the time to come again, and nothing of it costs a payment."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path

import pytest

from kessai import books, ids, log
from kessai.app import House
from kessai.dialects.cybersource.auth import SharedSecret, sign
from kessai.server import Limits
from tests.attacks.harm import head
from tests.attacks.test_overload import MERCHANT, _held, _key, _payment, _served, _stored

AT_ONCE = 50


async def _asked(port: int, requests: Sequence[bytes]) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of requests over one connection, some of them under way at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for first in range(0, len(requests), AT_ONCE):
        some = requests[first : first + AT_ONCE]
        writer.write(b"".join(some))
        for _ in some:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            answers.append(
                (int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"])))
            )
    writer.close()
    return answers


def _look_up(port: int, key: SharedSecret, identifier: int) -> bytes:
    target = f"/tss/v2/transactions/{ids.show(identifier)}"
    return head(
        "GET",
        target,
        sign(
            method="GET",
            target=target,
            host=f"127.0.0.1:{port}",
            body=b"",
            merchant_id=key.owner,
            key=key,
            date_text=formatdate(usegmt=True),
        ),
    )


def _guess(port: int, number: int) -> bytes:
    """A payment of a merchant that exists, signed under a key that nobody has."""
    return _payment(port, SharedSecret(f"{number:036d}", bytes(32), MERCHANT), "1.00", closes=False)


def test_ten_thousand_guesses_of_a_key_are_limited_and_those_who_are_known_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-19, R-59: from one address. A right guess after them is refused too; a merchant that was there before is not;
    one alarm, and the whole is counted."""

    said_in_log = io.StringIO()
    monkeypatch.setattr(log._output, "stream", said_in_log)

    async def main() -> None:
        async with _served(tmp_path, Limits()) as (house, port):
            key = await _key(house)
            other = house.accounts.get("kessai_vpc")
            (guessed,) = other.keys.values()
            assert isinstance(guessed, SharedSecret)
            assert (await _asked(port, [_payment(port, key, "2.00", closes=False)]))[0][0] == 201
            answers = await _asked(port, [_guess(port, number) for number in range(10_000)])
            said = Counter(status for status, _, _ in answers)
            assert set(said) == {401, 429}
            assert said[401] >= 100
            assert said[429] > said[401], "ten a second are left"
            assert len({body for status, _, body in answers if status == 429}) == 1
            assert {headers["retry-after"] for status, headers, _ in answers if status == 429} == {"1"}
            right = _payment(port, guessed, "3.00", closes=False)
            known = _payment(port, key, "4.00", closes=False)
            guesses = [_guess(port, number) for number in range(20)]
            last = [status for status, _, _ in await _asked(port, [*guesses, *[right] * 25, known])]
            # Now and then one of them is looked at, ten a second: what is looked at is refused by its signature.
            assert 429 in last[20:-1]
            assert set(last[20:-1]) <= {429, 401}
            assert last[-1] == 201
            assert sorted(_held(house).values()) == [200, 400]
            assert house.metrics.limited["failures"] >= said[429]

    asyncio.run(main())
    events = [json.loads(line) for line in said_in_log.getvalue().splitlines()]
    (alarm,) = [event for event in events if event["event"] == "limit.reached"]
    assert (alarm["level"], alarm["limit"], alarm["address"]) == ("warning", "failures", "127.0.0.1")
    assert sum(event["event"] == "authentication.failed" for event in events) > 10_000


async def _limit(house: House, per_s: int, burst: int) -> None:
    terms = {"rate_limit": "on", "requests_per_s": str(per_s), "requests_burst": str(burst)}
    await house.accounts.set(MERCHANT, terms)


def test_ids_next_to_ones_own_are_unknown_and_then_too_many(tmp_path: Path) -> None:
    """A-29, R-59: guessed by adding one, with a key that is limited."""

    async def main() -> None:
        async with _served(tmp_path, Limits()) as (house, port):
            await _limit(house, 5, 50)
            key = await _key(house)
            ((_, _, body),) = await _asked(port, [_payment(port, key, "2.00", closes=False)])
            own = ids.read(json.loads(body)["id"])
            assert own is not None
            answers = await _asked(port, [_look_up(port, key, own + number) for number in range(1, 501)])
            said = Counter(status for status, _, _ in answers)
            assert set(said) == {404, 429}
            assert said[404] >= 49
            assert said[429] > said[404]
            assert [status for status, _, _ in answers[:49]] == [404] * 49

    asyncio.run(main())


def test_what_has_begun_is_never_told_that_it_was_too_much(tmp_path: Path) -> None:
    """R-59, P2: each payment over the limit is refused before anything of it exists, and may come again as it is."""

    async def main() -> tuple[int, int]:
        async with _served(tmp_path, Limits()) as (house, port):
            await _limit(house, 1, 20)
            key = await _key(house)
            sent = [_payment(port, key, f"{number}.00", closes=False) for number in range(1, 201)]
            answers = await asyncio.gather(*(_asked(port, sent[first::8]) for first in range(8)))
            said = Counter(status for each in answers for status, _, _ in each)
            assert set(said) == {201, 429}
            assert said[201] >= 20
            assert len(_held(house)) == said[201]
            assert (await books.check(house.database)).findings == ()
            await house.accounts.set(MERCHANT, {"rate_limit": "off"})
            again = [
                one
                for first in range(8)
                for one, told in zip(sent[first::8], answers[first], strict=True)
                if told[0] == 429
            ]
            assert {status for status, _, _ in await _asked(port, again)} == {201}
            return len(_held(house)), said[429]

    held, refused = asyncio.run(main())
    assert refused > 0
    assert held == 200
    assert _stored(tmp_path).count(("approved", 201)) == 200
