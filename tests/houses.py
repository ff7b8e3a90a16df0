"""Houses for tests: a real data folder, opened, used and closed inside one event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kessai.app import House, open_house
from kessai.gateway import Circumstances
from kessai.payment.authorize import Authorize
from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Command, Payment, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.storage.payments import Answer
from kessai.storage.sqlite import connect
from tests import postgres

USD = Currency.of("USD")
VISA = Card(pan=Pan("4111111111111111"), expiry=Expiry(2031, 12), brand=Brand.VISA, security_code=SecurityCode("123"))


def usd(minor: int) -> Money:
    return Money(minor, USD)


@dataclass
class Clock:
    """A clock that a test may move."""

    moved: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.moved


class Till:
    """Sends commands down the road of a house and remembers what became of them."""

    def __init__(self, house: House, merchant_id: str = "kessai_sandbox") -> None:
        self.house = house
        self.merchant: Merchant = house.accounts.get(merchant_id).merchant

    async def do(self, command: Command, scenario: str | None = None) -> Transaction | Refusal:
        """The concluded transaction, or the refusal."""
        seen: list[Transaction] = []

        def encode(_payment: Payment, transaction: Transaction) -> Answer:
            seen.append(transaction)
            return Answer(201, b"{}")

        answer = await self.house.gateway.perform(self.merchant, command, Circumstances(scenario=scenario), encode)
        return answer if isinstance(answer, Refusal) else seen[-1]

    async def authorize(self, minor: int = 10_000, scenario: str | None = None, **more: object) -> Transaction:
        done = await self.do(Authorize(amount=usd(minor), card=VISA, **more), scenario)  # type: ignore[arg-type]
        assert isinstance(done, Transaction)
        return done

    async def payment(self, transaction: Transaction) -> Payment:
        found = await self.house.gateway.payments.load(self.merchant.id, transaction.id)
        assert found is not None
        return found.payment


async def by_hand(house: House, statement: str) -> None:
    """Change rows past everything that guards them, as somebody with the database's own tools could."""
    url = house.settings.database
    if url:
        await postgres.execute(url, statement)
        return
    with closing(connect(house.folder / "kessai.db", guarded=False)) as connection:
        connection.execute(statement)


@asynccontextmanager
async def opened(
    folder: Path,
    *,
    clock: Callable[[], datetime] | None = None,
    works: bool = True,
    settings: str = "acquirer_deadline_s = 0.2\n",
    waits_s: tuple[float, float] = (0.05, 0.2),
) -> AsyncIterator[House]:
    """A house with its worker, deadlines and waits (first, longest) short enough for tests; `settings` are lines of its
    TOML file."""
    waits = "clean_up_first_s = {}\nclean_up_longest_s = {}\n".format(*waits_s)
    (folder / "kessai.toml").write_text(waits + settings, "utf-8")
    house = await open_house(folder, clock=clock or Clock())
    await house.worker.recover()
    worker = asyncio.create_task(house.worker.run()) if works else None
    try:
        yield house
    finally:
        house.worker.stop()
        if worker is not None:
            await worker
        await house.close()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait for what must come true; AssertionError when it does not."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
