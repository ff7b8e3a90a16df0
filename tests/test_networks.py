"""What happens behind the answers: durable, once, whoever does it, and under keys that turn."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from kessai.app import House
from kessai.networks import Networks
from kessai.payment.card import Pan
from kessai.payment.merchant import Merchant, Mode
from kessai.storage.payments import Answer
from kessai.tokenizer import Decided
from kessai.tokens import network
from kessai.tokens.objects import InstrumentIdentifier, NetworkToken, PaymentInstrument, State
from kessai.tokens.rules import Changes, gone
from tests.conftest import on_both_engines
from tests.houses import opened
from tests.test_rotation import same_key, turn

SHOP = "kessai_vpc"
CARD = Pan("4622943123000015")
REPLACED = Pan("4622943125000013")
TOLD = Answer(204, b"")

__all__ = ["same_key"]


def shop(house: House) -> Merchant:
    return house.accounts.get(SHOP).merchant


async def enrol(house: House, card: Pan = CARD) -> str:
    """A card with a network token that was asked for; the id of its instrument identifier."""
    make = house.tokenizer
    found: list[str] = []

    async def decide() -> Decided | None:
        instrument, is_new = await make.instrument_of(SHOP, card, {"card": {"number": card.masked()}})
        found.append(instrument.id)
        before = None if is_new else await make.tokens.network_token_of(SHOP, instrument.id)
        if before is not None and before.state in network.STANDS:
            return None
        changes = network.enrol(instrument, before, make.new_network_token(instrument), make.clock(), is_new=is_new)
        assert isinstance(changes, Changes)
        return Decided(changes, TOLD)

    await make.perform(SHOP, decide)
    return found[-1]


async def card_of(house: House, instrument_id: str) -> tuple[InstrumentIdentifier, NetworkToken]:
    tokens = house.tokenizer.tokens
    instrument = await tokens.instrument_identifier(SHOP, instrument_id)
    token = await tokens.network_token_of(SHOP, instrument_id)
    assert isinstance(instrument, InstrumentIdentifier)
    assert token is not None
    return instrument, token


def several(path: Path, engine: str, work: Callable[[list[House]], Awaitable[None]]) -> None:
    """Two processes on PostgreSQL, one on the embedded database; no worker of theirs is at work."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            houses = []
            for name in ("a", "b")[: 2 if engine == "postgresql" else 1]:
                (path / name).mkdir()
                houses.append(await stack.enter_async_context(opened(path / name, works=False)))
            await work(houses)

    asyncio.run(main())


def test_what_was_asked_for_outlives_its_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            number = await enrol(house)
            assert (await card_of(house, number))[1].state is State.PENDING
        async with opened(tmp_path, works=False) as house:
            assert await Networks(house.tokenizer).provide(shop(house)) == 1
            assert (await card_of(house, number))[1].state is State.ACTIVE
            assert await Networks(house.tokenizer).provide(shop(house)) == 0

    asyncio.run(main())


@pytest.mark.usefixtures("same_key")
@on_both_engines
def test_two_who_do_it_at_once_do_it_once(tmp_path: Path, engine: str) -> None:
    async def work(houses: list[House]) -> None:
        many = [house for house in houses for _ in range(4)]
        numbers = set(await asyncio.gather(*(enrol(house) for house in many)))
        assert len(numbers) == 1
        [number] = numbers
        first, pending = await card_of(houses[0], number)
        await asyncio.gather(*(Networks(house.tokenizer).provide(shop(house)) for house in many))
        instrument, token = await card_of(houses[-1], number)
        assert (token.id, token.state, token.version) == (pending.id, State.ACTIVE, pending.version + 1)
        assert instrument.version == first.version + 1

    several(tmp_path, engine, work)


def test_a_token_whose_card_is_gone_is_gone_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            make, number = house.tokenizer, await enrol(house)
            instrument, token = await card_of(house, number)

            async def decide() -> Decided:
                return Decided(Changes((), (gone(instrument, make.clock()),)), TOLD)

            await make.perform(SHOP, decide)
            assert await Networks(make).provide(shop(house)) == 1
            assert await make.tokens.network_token_of(SHOP, number) is None
            assert await make.tokens.pending(SHOP, 10) == []
            assert token.state is State.PENDING

    asyncio.run(main())


@pytest.mark.usefixtures("same_key")
@on_both_engines
def test_a_card_is_replaced_once_and_its_old_number_is_free(tmp_path: Path, engine: str) -> None:
    async def work(houses: list[House]) -> None:
        house = houses[0]
        make = house.tokenizer
        number = await enrol(house, REPLACED)
        await Networks(make).provide(shop(house))
        before, _ = await card_of(house, number)
        month = f"{make.clock():%Y-%m}"
        cards = [make.new_payment_instrument(None, before, {"card": {}}, expiry=month) for _ in range(3)]

        async def decide() -> Decided:
            return Decided(Changes(tuple(cards)), TOLD)

        await make.perform(SHOP, decide)
        every = [Networks(each.tokenizer) for each in houses for _ in range(3)]
        await asyncio.gather(*(each.update(shop(house)) for each in every))
        after, token = await card_of(houses[-1], number)
        assert make.number(SHOP, after) != REPLACED
        assert (after.version, token.state) == (before.version + 1, State.ACTIVE)
        later = {each.expiry for each in await make.tokens.referring(SHOP, number)}
        assert later == {f"{int(month[:4]) + 4}{month[4:]}"}
        assert [await each.update(shop(house)) for each in every] == [0] * len(every)
        again, is_new = await make.instrument_of(SHOP, REPLACED, {})
        assert is_new
        assert again.id != number
        assert (await make.instrument_of(SHOP, make.number(SHOP, after), {}))[0].id == number

    several(tmp_path, engine, work)


def test_issuers_are_asked_once_a_month_and_for_test_merchants_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            make = house.tokenizer
            number = await enrol(house, Pan("4622943124000014"))
            instrument, _ = await card_of(house, number)
            soon = make.clock() + timedelta(days=40)
            card = make.new_payment_instrument(None, instrument, {"card": {}}, expiry=f"{soon:%Y-%m}")

            async def decide() -> Decided:
                return Decided(Changes((card,)), TOLD)

            await make.perform(SHOP, decide)
            networks = Networks(make)
            assert await networks.update(shop(house)) == 0
            ahead = replace(shop(house), ahead=timedelta(days=40))
            assert await networks.update(replace(ahead, mode=Mode.LIVE)) == 0
            assert await networks.update(ahead) == 1
            assert await networks.update(ahead) == 0
            found = await make.tokens.payment_instrument(SHOP, card.id)
            assert isinstance(found, PaymentInstrument)
            assert found.expiry == f"{soon.year + 4}-{soon:%m}"

    asyncio.run(main())


@pytest.mark.usefixtures("same_key")
def test_a_network_token_opens_after_the_keys_have_turned(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            make, number = house.tokenizer, await enrol(house)
            await Networks(make).provide(shop(house))
            _, before = await card_of(house, number)
            digits = make.network_card(SHOP, before).number
            await turn(house, await house.rotation().begin([SHOP]))
            _, after = await card_of(house, number)
            assert after.sealed != before.sealed
            assert make.network_card(SHOP, after).number == digits

    asyncio.run(main())
