"""A replay reads under a lock (R-9): while somebody may still change what the first request was told, it waits."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from kessai.app import House
from kessai.claims import bound_to, claim_of
from kessai.gateway import Circumstances
from kessai.payment.authorize import Authorize
from kessai.payment.lifecycle import Payment, Refusal, Transaction
from kessai.storage.payments import Answer
from tests.houses import VISA, opened, until, usd

MERCHANT = "kessai_sandbox"


def encode(_payment: Payment, transaction: Transaction) -> Answer:
    return Answer(201, f"{transaction.id} {transaction.status.value}".encode())


async def pay(house: House) -> Answer | Refusal:
    merchant = house.accounts.get(MERCHANT).merchant
    claim = claim_of("lock", "once", request=bound_to(MERCHANT, b"the same"))
    command = Authorize(amount=usd(500), card=VISA)
    return await house.gateway.perform(merchant, command, Circumstances(claims=(claim,)), encode)


async def waits_for_its_lock(house: House) -> None:
    """A replay waits while the row it would tell is somebody's, and tells it then. AssertionError where it does not."""
    url = house.settings.database
    first = await pay(house)
    assert isinstance(first, Answer)
    other = await asyncpg.connect(url)
    look = await asyncpg.connect(url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE transactions SET answer_status = 502")
        replay = asyncio.create_task(pay(house))

        async def waits_or_is_told() -> bool:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return replay.done() or await look.fetchval(waiting) > 0

        await until(waits_or_is_told)
        assert not replay.done(), "a replay was told while its row was being changed"
        await transaction.rollback()
        again = await replay
        assert isinstance(again, Answer)
        assert (again.is_replay, again.body) == (True, first.body)
    finally:
        await other.close()
        await look.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_replay_waits_for_whoever_has_its_row(engine: str, tmp_path: Path) -> None:
    """R-9, T-7."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            await waits_for_its_lock(house)

    asyncio.run(main())
