"""Clients that do not get their answers and send again, until they have one: each payment moves money once."""

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kessai.dialects.cybersource.auth import SharedSecret
from tests.acceptance.client import payment
from tests.commands import gateway
from tests.destruction.driver import (
    FEWEST_IN_FLIGHT,
    SETTINGS,
    assert_agreed,
    assert_secrets_kept,
    cents,
    checked,
    is_quiet,
    reopened,
    rows,
    serving,
)
from tests.destruction.proxy import Fate, Proxy
from tests.destruction.served import MERCHANT, Served
from tests.destruction.wire import Cut, Line, Post, Reply
from tests.houses import until

AT_ONCE: Final = 16
PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Told:
    """Everything that one payment's client was told, in the order in which it read it."""

    post: Post
    replies: list[Reply] = field(default_factory=list)

    @property
    def final(self) -> Reply | None:
        """An answer after which nobody sends again: what was done, or that its outcome is unknown."""
        return next((reply for reply in self.replies if reply.status in (201, 502)), None)


class Client:
    """Sends payments through a line that is cut; `seed` decides what, how often and in what order."""

    def __init__(self, proxy: Proxy, key: SharedSecret, *, seed: int) -> None:
        self._proxy = proxy
        self._key = key
        self._random = random.Random(seed)
        self.in_flight = 0
        self.told: list[Told] = []

    def posts(self, count: int) -> list[Post]:
        made = []
        for number in range(count):
            minor = self._random.randint(100, 99_999)
            is_sale = self._random.random() < 0.7
            document = payment(cents(minor), processingInformation__capture=is_sale)
            made.append(
                Post(key=f"k-{number}", target="/pts/v2/payments", body=json.dumps(document).encode(), minor=minor)
            )
        return made

    async def send_all(self, posts: list[Post], parts: int, between: Callable[[], None]) -> None:
        """Send every payment until it is answered; `between` is called between so many parts of them."""
        todo = iter(posts)

        async def send() -> None:
            for post in todo:
                self.told.append(await self._send(post))
                if len(self.told) % (len(posts) // parts) == 0 and len(self.told) < len(posts):
                    between()

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))

    async def _send(self, post: Post) -> Told:
        """One to five times, side by side or one after the other; then until there is an answer, and once more."""
        told, times = Told(post), self._random.randint(1, 5)
        if self._random.random() < 0.5:
            await asyncio.gather(*(self._try(told) for _ in range(times)))
        else:
            for _ in range(times):
                await self._try(told)
        async with asyncio.timeout(PATIENCE_S):
            while told.final is None:
                await asyncio.sleep(0.05)
                await self._try(told)
            heard = len(told.replies)
            while len(told.replies) == heard:
                await self._try(told)
        return told

    async def _try(self, told: Told) -> None:
        """Send it on a connection of its own; a repeat may say the security code again or leave it out (R-10)."""
        document = json.loads(told.post.body)
        if self._random.random() < 0.5:
            document["paymentInformation"]["card"]["securityCode"] = "123"
        line = Line(self._proxy.listens_on, MERCHANT, self._key)
        self.in_flight += 1
        try:
            told.replies.append(await line.post(replace(told.post, body=json.dumps(document).encode())))
        except Cut:
            return
        finally:
            self.in_flight -= 1
            line.close()


def assert_told_once(told: Told) -> None:
    """Whatever was told of one payment is one thing, and only the first who was told was not told a replay."""
    done = [reply for reply in told.replies if reply.status == 201]
    others = {reply.status for reply in told.replies} - {201}
    assert others <= {409, 502, 503}, f"a repeat of {told.post.key} was answered {others}"
    assert len({reply.body for reply in done}) <= 1, f"{told.post.key} was told two things"
    assert sum(not reply.is_replay for reply in done) <= 1, f"{told.post.key} was done twice"
    assert not (done and 502 in others), f"{told.post.key} was unknown, and then it was not"


async def prove(served: Served, client: Client) -> None:
    """One charge each: one row a key, the amount that was asked, the answer that was told; and both books agree."""
    stored = {row.key: row for row in await rows(served)}
    assert len(stored) == len(await rows(served)), "a key has two transactions"
    assert len(stored) == len(client.told), "a payment was forgotten"
    for told in client.told:
        assert_told_once(told)
        row, final = stored[told.post.key], told.final
        assert final is not None
        assert row.requested == told.post.minor
        if final.status == 201:
            assert (row.status, row.approved, row.answer) == ("approved", told.post.minor, final.body)
        else:
            assert (row.status, row.approved, row.answer) == ("unknown", 0, None), "it was killed in the middle"
    await assert_secrets_kept(served)
    async with reopened(served) as house:
        await until(lambda: is_quiet(house), PATIENCE_S)
        assert_agreed(await checked(house))


async def retried(folder: Path, count: int, *, seed: int, plant: str = "") -> Client:
    """One gateway on the embedded database, killed and started again three times on the way."""
    async with serving(folder, plant=plant) as served:
        proxy = Proxy(served.port, seed)
        client = Client(proxy, served.key, seed=seed)
        restarts: list[asyncio.Task[None]] = []
        one_by_one, under_load = asyncio.Lock(), []

        async def restart() -> None:
            async with one_by_one:
                under_load.append(await served.kill_soon(0.01, lambda: client.in_flight >= FEWEST_IN_FLIGHT))
                await served.gone()
                await served.start()
                proxy.port = served.port
                await served.prepare()

        await served.prepare()

        async with proxy:
            await client.send_all(client.posts(count), 4, lambda: restarts.append(asyncio.create_task(restart())))
            await asyncio.gather(*restarts)
        assert any(under_load), "no kill fell under load"
        assert len(proxy.met) == len(Fate), "every fate was met"
        await prove(served, client)
        return client


async def retried_over_two(folder: Path, count: int, url: str, *, seed: int) -> Client:
    """Two gateways on one port and one database; one of them is killed in the middle, and replaced."""
    folder.mkdir(parents=True)
    (folder / "kessai.toml").write_text(SETTINGS, "utf-8")
    with gateway(folder, "--workers", "2", "--database", url) as team:
        proxy = Proxy(int(team.ready["url"].rpartition(":")[2]), seed)
        client = Client(proxy, team.keys[MERCHANT], seed=seed)
        async with proxy:
            await client.send_all(client.posts(count), 2, lambda: os.kill(team.ready["workers"][1], signal.SIGKILL))
        assert len(proxy.met) == len(Fate), "every fate was met"
    await prove(Served(folder, database=url), client)
    return client
