"""One cell of the matrix: a house, a line, an acquirer with its book, a fault, and the proof that no money is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kessai import books
from kessai.acquirers.simulator import journal
from kessai.acquirers.simulator.book import Book
from kessai.acquirers.simulator.process import Acquirer
from kessai.acquirers.simulator.remote import Remote
from kessai.app import House
from kessai.payment.authorize import Authorize
from kessai.payment.capture import Capture
from kessai.payment.credit import Credit
from kessai.payment.lifecycle import Command, Operation, Payment, Refusal, Status, Transaction
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void
from tests.houses import VISA, Till, opened, until, usd
from tests.links.faults import Proxy
from tests.links.matrix import HELD, NoSignOn, Overtaken, OvertakenUndoing, Row

DEADLINE_S = 8.0
SILENCE_S = 0.3
"""The deadline while a fault is silent."""
SETTINGS = """acquirer = "127.0.0.1:{port}"
acquirer_deadline_s = 8
acquirer_connect_s = {connect_s}
acquirer_probe_s = 0.1
"""

_WIRE = {"return": frozenset({"refund", "credit"})}


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that stands on the stage."""

    house: House
    till: Till
    proxy: Proxy
    acquirer: Acquirer
    book_path: Path

    @property
    def link(self) -> Remote:
        link = self.house.gateway.links["sandbox"]
        assert isinstance(link, Remote)
        return link


@asynccontextmanager
async def staged(folder: Path, connect_s: float = 2.0) -> AsyncIterator[Scene]:
    """A house, a line and an acquirer over real sockets, connected."""
    (folder / "data").mkdir(parents=True)
    book_path = folder / "apart.book"
    acquirer = Acquirer(str(book_path))
    server = await acquirer.listen("127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        settings = SETTINGS.format(port=proxy.port, connect_s=connect_s)
        async with opened(folder / "data", settings=settings) as house:
            scene = Scene(house, Till(house), proxy, acquirer, book_path)
            await _works(scene)
            yield scene
    finally:
        proxy.stop()
        server.close()
        acquirer.close()
        await asyncio.sleep(0)


async def is_quiet(house: House) -> bool:
    """Nothing is queued any more."""
    rows = [await house.database.read("jobs_of", {"merchant_id": each.merchant.id}) for each in house.accounts]
    return not any(rows)


async def disagreements(house: House, book: Book) -> list[str]:
    """Where the acquirer's book and the gateway's transactions say different things, holds and money alike."""
    held: dict[int, int] = {}
    moved: dict[int, int] = {}
    for each in house.accounts:
        for payment in await _payments(house, each.merchant.id):
            if payment.held:
                held[payment.id] = payment.held
            for tx in payment.transactions:
                moves = tx.operation in (Operation.SALE, Operation.CAPTURE, Operation.REFUND, Operation.CREDIT)
                if moves and tx.status is Status.APPROVED and not payment.is_voided(tx):
                    moved[tx.id] = tx.approved
    found = [] if held == book.held else [f"held {held} here, {book.held} there"]
    return found if moved == book.moved else [*found, f"moved {moved} here, {book.moved} there"]


async def _payments(house: House, merchant_id: str) -> list[Payment]:
    rows: list[Transaction] = []
    while page := await house.gateway.payments.page(merchant_id, rows[-1].id if rows else 0, 1_000):
        rows += page
    payments = []
    for payment_id in {tx.payment_id for tx in rows}:
        found = await house.gateway.payments.load_payment(merchant_id, payment_id)
        assert found is not None
        payments.append(found.payment)
    return payments


async def _prepared(till: Till, operation: str, number: int) -> Command:
    """A command whose payment stands ready; amounts differ, so that answers can be told apart."""
    minor = 10_000 + 100 * number
    match operation:
        case "authorize" | "sale":
            return Authorize(amount=usd(minor), card=VISA, capture=operation == "sale")
        case "capture":
            return Capture(target=(await till.authorize(minor)).id, amount=usd(minor))
        case "reversal":
            return Reverse(target=(await till.authorize(minor)).id, amount=usd(minor))
        case "return" if number % 2:
            return Credit(amount=usd(minor), card=VISA)
        case "return":
            return Refund(target=(await till.authorize(minor, capture=True)).id, amount=usd(minor))
    assert operation == "void"
    return Void(target=(await till.authorize(minor, capture=True)).id)


async def play(
    folder: Path,
    row: Row,
    operation: str,
    plant: Callable[[House], None] = lambda _house: None,
    *,
    patience_s: float = 30,
    seed: int = 0,
) -> None:
    """Play one cell; AssertionError or TimeoutError where a promise is broken. `plant` puts a bug into the house.

    A seed other than 0 changes when things happen, in which order, and with which of its turns a fault begins.
    """
    chance = random.Random(f"{seed} {row.name} {operation}") if seed else None
    async with staged(folder, 0.1 if row.fault is NoSignOn else 2.0) as scene:
        plant(scene.house)
        till, proxy = scene.till, scene.proxy
        commands = [await _prepared(till, operation, number) for number in range(row.at_once)]
        if operation == "return" and row.at_once == 1:
            commands.append(await _prepared(till, operation, 1))
        if chance is not None and not row.is_in_step:
            chance.shuffle(commands)
        await _strike(scene, row, operation, phase=chance.randrange(60) if chance else 0)
        began = time.monotonic()
        waits = [_some_time(None if row.is_in_step else chance, 0.05) for _ in commands]
        answers = await asyncio.gather(*map(partial(_do_after, till), commands, waits))
        assert time.monotonic() - began < DEADLINE_S - 1
        done = [answer for answer in answers if isinstance(answer, Transaction)]
        assert len(done) == len(answers)
        told = row.held if operation in HELD else row.moved
        told = told if len(told) > 1 else told * len(done)
        assert sorted(tx.status.value for tx in done) == sorted(status.value for status in told)
        for tx in done:
            assert tx.approved == (tx.requested.minor if tx.status is Status.APPROVED else 0)
        async with asyncio.timeout(patience_s):
            while proxy.fault.hits < row.hits:
                await asyncio.sleep(0.01)
        await asyncio.sleep(_some_time(chance, 0.3))
        if isinstance(proxy.fault, Overtaken):
            await until(lambda: is_quiet(scene.house), patience_s)  # what overtakes it comes to its end
        if isinstance(proxy.fault, NoSignOn):
            await _breaks(scene, commands[0])
        scene.house.gateway.deadline_s = DEADLINE_S
        await proxy.heal()
        if row.counts:
            await until(lambda: _has_counted(scene, *row.counts), patience_s)
        if row.name.startswith("F12") and operation in HELD:
            await until(lambda: _has_counted(scene, "late"), patience_s)
        await until(lambda: is_quiet(scene.house), patience_s)
        await _settled(scene, operation, done)
        await _works(scene)


def _some_time(chance: random.Random | None, most_s: float) -> float:
    return chance.random() * most_s if chance is not None else 0.0


async def _do_after(till: Till, command: Command, wait_s: float) -> Transaction | Refusal:
    if wait_s:
        await asyncio.sleep(wait_s)
    return await till.do(command)


async def _strike(scene: Scene, row: Row, operation: str, *, phase: int) -> None:
    aims = _WIRE.get(operation, frozenset({operation}))
    if operation in HELD:
        aims |= {"reversal"}
    fault = row.fault(aims)
    if isinstance(fault, Overtaken) and operation in ("reversal", "void"):
        fault = OvertakenUndoing(aims)
    fault.phase = phase
    scene.proxy.fault = fault
    scene.house.gateway.deadline_s = SILENCE_S if row.is_silent else DEADLINE_S
    if row.name.startswith("F1 "):
        scene.proxy.stop()
    if isinstance(fault, NoSignOn):
        scene.proxy.cut()
    await asyncio.sleep(0.02)


async def _breaks(scene: Scene, command: Command) -> None:
    """F13: after five failures everything is refused at once, and the line is tried once in a while only."""
    async with asyncio.timeout(5):
        while not scene.link.is_away:
            await asyncio.sleep(0.01)
    tried, began = scene.proxy.connected, time.monotonic()
    for _ in range(5):
        again = await scene.till.do(command)
        assert isinstance(again, Transaction)
        assert again.status is Status.FAILED
    took = time.monotonic() - began
    assert took < 2
    assert scene.proxy.connected - tried <= 1 + took / 0.1


async def _has_counted(scene: Scene, *what: str) -> bool:
    return any(scene.link.counts[each] for each in what)


async def _settled(scene: Scene, operation: str, done: list[Transaction]) -> None:
    """What each transaction is in the end, and that both sides and the ledger agree on it."""
    for tx in done:
        payment = await scene.till.payment(tx)
        now = payment.find(tx.id)
        assert now is not None
        if tx.status is not Status.UNKNOWN:
            assert now.status is tx.status
        elif operation in HELD:
            assert now.status is Status.UNKNOWN, "a late answer changes nothing (R-5)"
            assert any(each.status is Status.APPROVED for each in payment.followers(Operation.REVERSAL))
        else:
            assert now.status is Status.APPROVED
    assert await disagreements(scene.house, scene.acquirer.book) == []
    assert await disagreements(scene.house, journal.read(str(scene.book_path))) == []
    assert (await books.check(scene.house.database)).findings == ()


async def _works(scene: Scene) -> None:
    """The line is well again: others are served."""

    async def is_served() -> bool:
        return (await scene.till.authorize()).status is Status.APPROVED

    await until(is_served, 30)
