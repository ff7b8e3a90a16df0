"""A load that remembers every acknowledgement it has read, kills the gateway under itself, and then looks for each.

Nothing here knows how the gateway works inside. It sends, it reads, and after each kill it looks into the rows to tell
how far each request that was in flight had come: nothing of it was there, its intent, or its outcome.
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from kessai import books, verify
from kessai.app import House, open_house
from kessai.storage.compact import unpack
from tests import postgres
from tests.acceptance.client import VISA, amount_of, payment, reversal_of
from tests.destruction.served import MERCHANT, Served
from tests.destruction.wire import Cut, Line, Post, Reply
from tests.houses import Clock, until

CLIENTS: Final = 24
FEWEST_IN_FLIGHT: Final = 8
SETTINGS: Final = "acquirer_deadline_s = 1.0\nclean_up_first_s = 0.1\nclean_up_longest_s = 0.5\nlog_level = 'warning'\n"


class Stage(StrEnum):
    """How far a request had come that was not answered when its gateway was killed."""

    BEFORE = "before commit 1"
    BETWEEN = "between the commits"
    AFTER = "after commit 2"


@dataclass(slots=True)
class Ledger:
    """What a client knows."""

    acknowledged: dict[str, tuple[Post, Reply]] = field(default_factory=dict)
    in_flight: dict[str, Post] = field(default_factory=dict)
    stages: Counter[Stage] = field(default_factory=Counter)
    kills: Counter[Stage] = field(default_factory=Counter)
    """Kills at which at least one request had come so far."""
    replays: int = 0
    fresh: list[str] = field(default_factory=list)
    """Keys acknowledged since the last look."""


@dataclass(frozen=True, slots=True)
class Row:
    """A transaction as it is stored."""

    id: int
    key: str
    operation: str
    status: str
    requested: int
    approved: int
    answer: bytes | None


_ROWS: Final = """
SELECT id, correlation, operation, status, requested, approved, answer FROM transactions
 WHERE correlation LIKE 'k-%' AND id > {after} ORDER BY id
"""


async def select(served: Served, query: str) -> list[tuple[Any, ...]]:
    """Rows as somebody with the database's own tools sees them."""
    if served.database:
        return await postgres.rows(served.database, query)
    with closing(sqlite3.connect(f"file:{served.folder / 'kessai.db'}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


async def rows(served: Served, after: int = 0) -> list[Row]:
    """What is stored of our requests behind an id."""
    found = await select(served, _ROWS.format(after=after))
    return list(map(_row, found))


def _row(row: tuple[Any, ...]) -> Row:
    identifier, key, operation, status, requested, approved, answer = row
    told = unpack(bytes(answer)) if answer is not None else None
    return Row(identifier, key, operation, status, requested, approved, told)


async def assert_secrets_kept(served: Served) -> None:
    """No nonce was used twice, and no process has written a card number anywhere (P7)."""
    nonces = [bytes(card)[6:18] for (card,) in await select(served, "SELECT card FROM payments WHERE card IS NOT NULL")]
    assert len(set(nonces)) == len(nonces), "a nonce was used twice"
    assert nonces
    written = served.log.read_text() if served.log.exists() else ""
    assert VISA not in written, "a card number is in the log"


# ---- what is sent


def cents(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


class Shopper:
    """One client: begins payments and goes on with them, one request at a time."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._random = random.Random(seed)
        self._count = 0
        self._open: list[tuple[str, str, int]] = []
        """Collection, id and minor units of what may be gone on with."""

    def next(self) -> Post:
        self._count += 1
        key, chance = f"k-{self._name}-{self._count}", self._random.random()
        if self._open and chance < 0.5:
            return self._follow(key, *self._open.pop(self._random.randrange(len(self._open))))
        minor = self._random.randint(100, 99_999)
        is_sale = chance > 0.75
        document = payment(cents(minor), processingInformation__capture=is_sale)
        return Post(key=key, target="/pts/v2/payments", body=json.dumps(document).encode(), minor=minor)

    def _follow(self, key: str, collection: str, identifier: str, minor: int) -> Post:
        if collection == "held" and self._random.random() < 0.4:
            what, document = f"payments/{identifier}/reversals", reversal_of(cents(minor))
        elif collection == "held":
            what, document = f"payments/{identifier}/captures", amount_of(cents(minor))
        else:
            what, document = f"{collection}/{identifier}/refunds", amount_of(cents(minor))
        return Post(key=key, target=f"/pts/v2/{what}", body=json.dumps(document).encode(), minor=minor)

    def saw(self, post: Post, reply: Reply) -> None:
        """Remember what may be gone on with."""
        document = json.loads(reply.body)
        if reply.status != 201 or "errorInformation" in document:
            return
        collection = post.target.rpartition("/")[2]
        if collection == "payments":
            is_sale = json.loads(post.body)["processingInformation"]["capture"]
            self._open.append(("payments" if is_sale else "held", document["id"], post.minor))
        elif collection == "captures":
            self._open.append(("captures", document["id"], post.minor))


# ---- the load, and the kill


class Driver:
    """Everything that is sent to one gateway over its lives, and what became of it."""

    def __init__(self, served: Served, *, seed: int, clients: int = CLIENTS) -> None:
        self.served = served
        self.ledger = Ledger()
        self._random = random.Random(seed)
        self._shoppers = [Shopper(f"{seed}-{number}", seed * 1_000 + number) for number in range(clients)]
        self._newest = 0

    async def live_and_die(self) -> None:
        """One life of the gateway: load, death, the next start, and the proof that nothing of it was lost."""
        served, ledger = self.served, self.ledger
        killed = served.kill_soon(self._random.uniform(0.15, 0.35), lambda: len(ledger.in_flight) >= FEWEST_IN_FLIGHT)
        loads = [asyncio.create_task(self._shop(shopper)) for shopper in self._shoppers]
        await served.prepare()
        lost = [(shopper, post) for shopper, post in zip(self._shoppers, await asyncio.gather(*loads), strict=True)]
        assert await killed, f"fewer than {FEWEST_IN_FLIGHT} requests were in flight"
        assert len(ledger.in_flight) == len(lost)
        await served.gone()
        await served.start()
        stages = await self._classify([post for _, post in lost])
        await self._look(ledger.fresh)
        ledger.fresh = []
        await asyncio.gather(*(self._again(shopper, post, stages[post.key]) for shopper, post in lost))
        ledger.in_flight.clear()

    async def _shop(self, shopper: Shopper) -> Post:
        """Send until the connection breaks; the request that was in flight then."""
        line = self._line()
        while True:
            post = shopper.next()
            self.ledger.in_flight[post.key] = post
            try:
                reply = await line.post(post)
            except Cut:
                return post
            del self.ledger.in_flight[post.key]
            self._acknowledged(shopper, post, reply)

    def _acknowledged(self, shopper: Shopper, post: Post, reply: Reply) -> None:
        assert reply.status in (201, 409, 502), f"what was acknowledged cannot be gone on with: {reply.body.decode()}"
        self.ledger.acknowledged[post.key] = post, reply
        self.ledger.fresh.append(post.key)
        shopper.saw(post, reply)

    def _line(self) -> Line:
        return Line(self.served.port, MERCHANT, self.served.key)

    # ---- after a death

    async def _classify(self, lost: list[Post]) -> dict[str, Stage]:
        """By what is stored: how far each request had come that was not answered."""
        found = {row.key: row for row in await rows(self.served, self._newest)}
        self._newest = max((row.id for row in found.values()), default=self._newest)
        stages = {}
        for post in lost:
            row = found.get(post.key)
            stages[post.key] = Stage.BEFORE if row is None else Stage.AFTER if row.answer is not None else Stage.BETWEEN
        self.ledger.stages.update(stages.values())
        self.ledger.kills.update(set(stages.values()))
        return stages

    async def _look(self, keys: list[str]) -> None:
        """Each acknowledged transaction is there, and is shown byte by byte as it was acknowledged (P1)."""
        todo = iter([self.ledger.acknowledged[key] for key in keys])

        async def look() -> None:
            line = self._line()
            for post, reply in todo:
                if reply.status != 201:
                    continue
                collection = post.target.rpartition("/")[2]
                shown = await line.get(f"/pts/v2/{collection}/{json.loads(reply.body)['id']}")
                told, _, ours = shown.body.partition(b',"kessaiInformation":')  # the read-back's own member, its last
                assert (shown.status, told + b"}") == (200, reply.body), "what was acknowledged is lost"
                assert ours.startswith(b'{"paymentOptionsId":"')
            line.close()

        await asyncio.gather(*(look() for _ in range(8)))

    async def _again(self, shopper: Shopper, post: Post, stage: Stage) -> None:
        """Send what was not answered once more: done once, or an answer that says what is the matter (P2)."""
        line = self._line()
        reply = await line.post(post)
        line.close()
        self.ledger.replays += reply.is_replay
        match stage:
            case Stage.BEFORE:
                assert (reply.status, reply.is_replay) == (201, False), "what had not begun is done now"
            case Stage.BETWEEN:
                assert (reply.status, reply.is_replay) in ((409, False), (502, False)), "its outcome is unknown"
            case Stage.AFTER:
                assert (reply.status, reply.is_replay) == (201, True), "what was done is told, and not done again"
        self._acknowledged(shopper, post, reply)

    # ---- in the end

    async def prove(self) -> books.Report:
        """P1 to P5 over the whole life: every acknowledgement, every key, both books, every clean-up."""
        stored: dict[str, Row] = {}
        for row in await rows(self.served):
            assert row.key not in stored, f"{row.key} was done twice"
            stored[row.key] = row
        for key, (post, reply) in self.ledger.acknowledged.items():
            assert stored[key].requested == post.minor, f"{key} asked for {post.minor}"
            if reply.status == 201:
                assert stored[key].answer == reply.body, f"the answer to {key} has changed"
                assert stored[key].status in ("approved", "declined")
        await assert_secrets_kept(self.served)
        async with reopened(self.served) as house:
            await until(lambda: is_quiet(house), 60)
            report = await checked(house)
        assert_agreed(report)
        return report


def assert_agreed(report: books.Report) -> None:
    found = sorted({finding.what for finding in report.findings})
    assert not found, f"the books do not agree: {', '.join(found)}"


async def is_quiet(house: House) -> bool:
    """No job waits and no exchange is open (P3: within 60 s)."""
    open_ = await house.database.read("open_since", {"merchant_id": MERCHANT, "before": 1 << 60})
    return not open_ and not await house.database.read("jobs_of", {"merchant_id": MERCHANT})


async def checked(house: House) -> books.Report:
    """Ledger against transactions, transactions against the acquirer's book, what is unknown against the queue."""
    return await verify.verify(
        house.database,
        now=house.clock() + timedelta(seconds=120),
        deadline_s=house.settings.acquirer_deadline_s,
        book=house.folder / verify.BOOK,
        again_after_s=0.05,
    )


@asynccontextmanager
async def reopened(served: Served) -> AsyncIterator[House]:
    """The folder in this process, with its worker, after the last of the gateways was killed."""
    await served.stop()
    house = await open_house(served.folder, database=served.database, clock=Clock())
    await house.worker.recover()
    worker = asyncio.create_task(house.worker.run())
    try:
        yield house
    finally:
        house.worker.stop()
        await worker
        await house.close()


@asynccontextmanager
async def serving(
    folder: Path, *, database: str = "", plant: str = "", settings: str = SETTINGS
) -> AsyncIterator[Served]:
    """A gateway on a new folder."""
    folder.mkdir(parents=True)
    (folder / "kessai.toml").write_text(settings, "utf-8")
    served = Served(folder, database=database, plant=plant)
    try:
        await served.start()
        yield served
    finally:
        await served.stop()


async def killed(
    folder: Path, kills: int, *, seed: int, database: str = "", plant: str = "", prove: bool = True
) -> Driver:
    """Kill a gateway so often, prove everything, and say what was met."""
    async with serving(folder, database=database, plant=plant) as served:
        driver = Driver(served, seed=seed)
        for _ in range(kills):
            await driver.live_and_die()
        if prove:
            await driver.prove()
        return driver


def told(drivers: Sequence[Driver]) -> str:
    """The figures of a run, for whoever reads the log."""
    ledgers = [driver.ledger for driver in drivers]
    kills = sum((ledger.kills for ledger in ledgers), Counter[Stage]())
    stages = sum((ledger.stages for ledger in ledgers), Counter[Stage]())
    reopened_s = sorted(seconds for driver in drivers for seconds in driver.served.reopened_s[1:])
    fell = ", ".join(f"{kills[stage]} ({stages[stage]} requests) {stage}" for stage in Stage)
    return (
        f"{len(reopened_s)} kills, {sum(len(ledger.acknowledged) for ledger in ledgers)} acknowledgements, "
        f"{sum(ledger.replays for ledger in ledgers)} replays; kills that fell {fell}; "
        f"reopened in {reopened_s[len(reopened_s) // 2]:.2f} s, at worst {reopened_s[-1]:.2f} s"
    )
