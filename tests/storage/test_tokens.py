"""Tokens as rows, on both engines: each commit whole or not at all, races with one winner."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conftest import on_both_engines
from tests.houses import opened

from kessai.app import House
from kessai.claims import claim_of
from kessai.payment.card import AccountNumber, Pan
from kessai.payment.lifecycle import Refusal
from kessai.storage.payments import Answer
from kessai.storage.tokens import PurgeAnswers, ToldBefore, WriteTokens, commit
from kessai.storage.writes import Conflict
from kessai.tokenizer import Resolved, Tokenizer, Unresolved
from kessai.tokens.objects import Customer, InstrumentIdentifier, Missing, PaymentInstrument, ShippingAddress
from kessai.tokens.rules import Changes, Referred, add, change, delete_customer, delete_instrument
from kessai.vault import CannotOpen

pytestmark = on_both_engines

OURS, THEIRS = "kessai_vpc", "kessai_smcc"
PAN = Pan("4111111111111111")


async def written(house: House, changes: Changes, merchant: str = OURS) -> object:
    return await commit(house.database, WriteTokens(merchant_id=merchant, changes=changes))


async def filed(house: House, merchant: str = OURS) -> tuple[Customer, PaymentInstrument, InstrumentIdentifier]:
    """A customer with a card and an address, in one commit."""
    tokenizer = house.tokenizer
    customer = tokenizer.new_customer({"buyerInformation": {"email": "a@example.com"}})
    number, is_new = await tokenizer.instrument_of(merchant, PAN, {"card": {"number": "411111XXXXXX1111"}})
    assert is_new
    card, with_card = add(
        tokenizer.new_payment_instrument(customer, number, {"billTo": {"lastName": "山田"}}, expiry="2031-12"),
        customer,
        None,
    )
    _, with_address = add(tokenizer.new_shipping_address(customer, {"shipTo": {"country": "JP"}}), customer, None)
    assert await written(house, Changes((customer, number)).also(with_card).also(with_address), merchant) is None
    return customer, card, number


def test_what_was_written_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokens = house.tokenizer.tokens
            customer, card, number = await filed(house)
            assert await tokens.customer(OURS, customer.id) == customer
            assert await tokens.payment_instrument(OURS, card.id) == card
            assert await tokens.instrument_identifier(OURS, number.id) == number
            assert await tokens.by_fingerprint(OURS, number.fingerprint or b"") == number
            chosen, address = await tokens.defaults(OURS, customer.id)
            assert chosen == card
            assert address is not None
            assert await tokens.shipping_address(OURS, address.id) == address
            assert await tokens.page_of_customer(OURS, customer.id, PaymentInstrument, 0, 20) == ([card], 1)
            assert await tokens.page_of_customer(OURS, customer.id, ShippingAddress, 1, 20) == ([], 1)
            assert await tokens.page_of_instrument(OURS, number.id, 0, 20) == ([card], 1)
            assert await tokens.owned(OURS, customer.id) == [card, address]
            # Ids are of one kind, and of one merchant.
            assert await tokens.customer(OURS, card.id) is Missing.UNKNOWN
            assert await tokens.customer(THEIRS, customer.id) is Missing.UNKNOWN

    asyncio.run(main())


def test_tokens_resolve_to_what_pays(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            resolve = house.tokenizer.resolve
            customer, card, number = await filed(house)
            found = await resolve(OURS, customer=customer.id)
            assert isinstance(found, Resolved)
            assert (found.number, found.expiry, found.instrument.id) == (PAN, "2031-12", number.id)
            assert found.payment_instrument == card
            assert found.shipping_address is not None
            alone = await resolve(OURS, payment_instrument=card.id)
            assert isinstance(alone, Resolved)
            assert alone.shipping_address is None
            bare = await resolve(OURS, instrument=number.id)
            assert isinstance(bare, Resolved)
            assert (bare.number, bare.expiry) == (PAN, "")
            other = house.tokenizer.new_customer({})
            assert await written(house, Changes((other,))) is None
            for wrong in (
                await resolve(THEIRS, customer=customer.id),
                await resolve(THEIRS, instrument=number.id),
                await resolve(OURS, customer=other.id),
                await resolve(OURS, customer=other.id, payment_instrument=card.id),
            ):
                assert isinstance(wrong, Unresolved)

    asyncio.run(main())


def test_a_number_opens_at_its_own_token_and_merchant_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            vault = house.gateway.vault
            _, _, number = await filed(house)
            assert number.sealed is not None
            assert PAN.digits.encode() not in number.sealed
            assert vault.open_number(OURS, number.id, number.sealed) == PAN
            for merchant, token in ((THEIRS, number.id), (OURS, "7010000000016241111")):
                with pytest.raises(CannotOpen):
                    vault.open_number(merchant, token, number.sealed)
            account = AccountNumber("00123")
            assert vault.open_number(OURS, "x", vault.seal_number(OURS, "x", account)) == account
            assert house.tokenizer.fingerprint(OURS, account, "1") != house.tokenizer.fingerprint(OURS, account, "2")

    asyncio.run(main())


def test_what_is_deleted_stays_known_and_its_number_gets_a_new_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokenizer, tokens = house.tokenizer, house.tokenizer.tokens
            customer, card, number = await filed(house)
            owned = await tokens.owned(OURS, customer.id)
            referred = await tokens.referred(OURS, [card])
            assert referred == [Referred(number, False)]
            assert await written(house, delete_customer(customer, owned, referred, house.clock())) is None
            assert await tokens.customer(OURS, customer.id) is Missing.GONE
            assert await tokens.payment_instrument(OURS, card.id) is Missing.GONE
            assert await tokens.instrument_identifier(OURS, number.id) is Missing.GONE
            assert await tokens.owned(OURS, customer.id) == []
            assert isinstance(await tokenizer.resolve(OURS, instrument=number.id), Unresolved)
            again, is_new = await tokenizer.instrument_of(OURS, PAN, {})
            assert is_new
            assert again.id != number.id
            assert await written(house, Changes((again,))) is None
            assert await tokens.by_fingerprint(OURS, again.fingerprint or b"") == again

    asyncio.run(main())


def test_of_two_who_loaded_the_same_one_writes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokens = house.tokenizer.tokens
            customer, card, number = await filed(house)
            told = await asyncio.gather(
                *(written(house, Changes((), (change(customer, {"n": n}),))) for n in range(4)),
            )
            assert sorted(map(str, told)) == sorted(["None", *[str(Conflict())] * 3])
            found = await tokens.customer(OURS, customer.id)
            assert isinstance(found, Customer)
            assert (found.version, found.revision) == (2, 1)
            # One that is only relied upon counts too, and what did not fit leaves nothing behind.
            stale = house.tokenizer.new_shipping_address(customer, {})
            assert await written(house, add(stale, customer, None)[1]) == Conflict()
            assert await tokens.shipping_address(OURS, stale.id) is Missing.UNKNOWN
            await written(house, Changes((), (number,)))
            deleted = delete_instrument(number, house.clock(), is_in_use=False)
            assert isinstance(deleted, Changes)
            assert await written(house, deleted) == Conflict()
            assert await tokens.payment_instrument(OURS, card.id) == card

    asyncio.run(main())


def test_one_number_gets_one_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokenizer = house.tokenizer
            new = [(await tokenizer.instrument_of(OURS, PAN, {}))[0] for _ in range(4)]
            told = await asyncio.gather(*(written(house, Changes((each,))) for each in new))
            assert sorted(map(str, told)) == sorted(["None", *[str(Conflict())] * 3])
            found, is_new = await tokenizer.instrument_of(OURS, PAN, {})
            assert not is_new
            assert found in new
            theirs, is_new = await tokenizer.instrument_of(THEIRS, PAN, {})
            assert is_new
            assert theirs.fingerprint != found.fingerprint

    asyncio.run(main())


def test_an_id_that_is_taken_is_not_given_twice(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            customer = house.tokenizer.new_customer({})
            assert await written(house, Changes((customer,))) is None
            assert await written(house, Changes((house.tokenizer.new_customer({}), customer))) == Conflict()

    asyncio.run(main())


def test_a_claim_is_had_once_and_its_answer_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokenizer, database = house.tokenizer, house.database
            claim = claim_of("POST /x", "key", request=b"r")

            def write(tokenizer: Tokenizer) -> WriteTokens:
                made = Changes((tokenizer.new_customer({}),))
                answer = Answer(201, made.created[0].id.encode())
                id_ = tokenizer.new_id()
                return WriteTokens(merchant_id=OURS, changes=made, claims=(claim,), answer_id=id_, answer=answer)

            writes = [write(tokenizer) for _ in range(3)]
            told = await asyncio.gather(*(commit(database, each) for each in writes))
            assert told.count(None) == 1
            winner = writes[told.index(None)]
            assert winner.answer is not None
            replay = Answer(201, winner.answer.body, is_replay=True)
            assert [each for each in told if each is not None] == [replay, replay]
            assert await database.write(ToldBefore(OURS, claim)) == replay
            assert await database.write(ToldBefore(THEIRS, claim)) is None
            other = claim_of("POST /x", "key", request=b"other")
            assert await database.write(ToldBefore(OURS, other)) is Refusal.KEY_REUSED
            refused = claim_of("POST /x", "key", request=b"r", taken=Refusal.REPEATED)
            again = write(tokenizer)
            assert await commit(database, replace(again, claims=(refused,))) is Refusal.REPEATED
            await database.write(PurgeAnswers(OURS, winner.answer_id))
            assert await database.write(ToldBefore(OURS, claim)) == replay
            await database.write(PurgeAnswers(OURS, winner.answer_id + 1))
            assert await database.write(ToldBefore(OURS, claim)) is None

    asyncio.run(main())
