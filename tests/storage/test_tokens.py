"""Tokens as rows, on both engines: each commit whole or not at all, races with one winner."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conftest import on_both_engines
from tests.houses import Till, by_hand, opened, usd

from kessai import ids, verify
from kessai.app import House
from kessai.claims import claim_of
from kessai.jobs import claims
from kessai.payment.card import AccountNumber, Pan
from kessai.payment.lifecycle import Operation, Payment, Refusal, Status, Transaction
from kessai.storage.payments import Answer, Claim
from kessai.storage.tokens import FinishWithTokens, PurgeAnswers, ToldBefore, WriteTokens, commit, oldest_answer
from kessai.storage.writes import Begin, Conflict, Finish, Raced
from kessai.tokenizer import Decided, Resolved, Tokenizer
from kessai.tokens.objects import Customer, InstrumentIdentifier, Missing, PaymentInstrument, ShippingAddress
from kessai.tokens.rules import Changes, Referred, add, change, delete_customer, delete_instrument
from kessai.tokens.standing import Names, Relied, Standing, Unresolved
from kessai.vault import CannotOpen

pytestmark = on_both_engines
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

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


def test_what_is_remembered_of_tokens_ends_with_their_change(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            tokens, names = house.tokenizer.tokens, Names(customer=ids.show(1))
            unknown = await tokens.standing(OURS, names)
            assert isinstance(unknown, Unresolved)
            customer, card, number = await filed(house)
            names = Names(customer=customer.id)
            before = await tokens.standing(OURS, names)
            assert isinstance(before, Standing)
            assert (before.customer, before.payment_instrument, before.instrument) == (customer, card, number)
            again, remembered = await tokens.standing(OURS, names), await tokens.standing(OURS, names, fresh=False)
            assert isinstance(again, Standing)
            assert (again.customer, again.payment_instrument, again.instrument) == (customer, card, number)
            assert again.relies_on is None
            assert remembered is await tokens.standing(OURS, names, fresh=False)  # on both engines
            assert isinstance(await tokens.standing(THEIRS, names), Unresolved)
            later = change(card, {"billTo": {"lastName": "佐藤"}})
            assert await written(house, Changes((), (later,))) is None
            after = await tokens.standing(OURS, names)
            assert isinstance(after, Standing)
            assert after.payment_instrument is not None
            assert after.payment_instrument.document == later.document
            assert after.instrument == number
            owned = await tokens.owned(OURS, customer.id)
            going = [one for one in owned if isinstance(one, PaymentInstrument)]
            gone = delete_customer(customer, owned, await tokens.referred(OURS, going), house.clock())
            assert await written(house, gone) is None
            assert isinstance(await tokens.standing(OURS, names), Unresolved)

    asyncio.run(main())


@on_postgresql
@pytest.mark.parametrize("claims", [(), (claim_of("test", "a key"),)])
def test_a_payment_begins_if_the_tokens_that_it_relies_on_are_as_they_were(
    tmp_path: Path, claims: tuple[Claim, ...]
) -> None:
    """Where other processes may change tokens, commit 1 looks: each change of each kind, and none."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            tokens, make = house.tokenizer.tokens, house.tokenizer
            customer, card, number = await filed(house)
            other, is_new = await make.instrument_of(OURS, Pan("5555555555554444"), {})
            names = Names(customer=customer.id)

            def intent(merchant: str, relied: Relied | None = None) -> Begin:
                id_ = make.new_id()
                transaction = Transaction(
                    id=id_,
                    payment_id=id_,
                    operation=Operation.AUTHORIZE,
                    requested=usd(10_000),
                    requested_at=house.clock(),
                )
                payment = Payment(merchant_id=merchant, id=id_, transactions=(transaction,))
                return Begin(
                    payment=payment,
                    transaction=transaction,
                    lease=1,
                    correlation="",
                    claims=tuple(replace(claim, since=id_) for claim in claims),
                    relies_on=relied,
                )

            async def begun(relied: Relied | None) -> bool:
                """Beside somebody else's payment, which goes its way."""
                ours, theirs = intent(OURS, relied), intent(THEIRS)
                write = house.database.write
                told, told_them = await asyncio.gather(write(ours), write(theirs))
                assert told_them is None
                assert told is None or isinstance(told, Conflict)
                found = await house.gateway.payments.load(OURS, ours.payment.id)
                assert (found is not None) is (told is None)
                return told is None

            async def remembered() -> Relied:
                await tokens.standing(OURS, names)
                found = await tokens.standing(OURS, names, fresh=False)
                assert isinstance(found, Standing)
                assert found.relies_on is not None
                return found.relies_on

            assert await begun(None)
            relied = await remembered()
            assert relied.defaults == 2
            assert set(relied.revisions) >= {(customer.id, 0), (card.id, 0), (number.id, 0)}
            assert await begun(relied)
            assert await begun(relied)
            assert not await begun(replace(relied, defaults=1))
            assert not await begun(replace(relied, revisions=(*relied.revisions, ("nobody", 0))))
            changes = (
                Changes((), (change(card, {"billTo": {"lastName": "佐藤"}}),)),
                Changes((), (change(customer, {"objectInformation": {"title": "x"}}),)),
                Changes((), (change(number, {"processingInformation": {}}),)),
                Changes((other,) if is_new else ()).also(
                    add(
                        make.new_payment_instrument(customer, other, {}, expiry="2032-01", is_default=True),
                        customer,
                        card,
                    )[1]
                ),
            )
            for each in changes:
                relied = await remembered()
                # As it stands now: what was loaded before has been changed by the turns before.
                fresh = {token.id: await tokens.any_kind(OURS, token.id) for token in each.changed}
                now = Changes(
                    each.created,
                    tuple(
                        replace(token, revision=found.revision) for token in each.changed if (found := fresh[token.id])
                    ),
                )
                assert await written(house, now) is None
                assert not await begun(relied)
                assert await begun(await remembered())

    asyncio.run(main())


@on_postgresql
def test_a_remembered_number_that_cannot_be_opened_is_read_again(tmp_path: Path) -> None:
    """As after a key was replaced: sealing anew changes no revision."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            resolve = house.tokenizer.resolve
            _, _, number = await filed(house)
            names, row = Names(instrument=number.id), f"WHERE merchant_id = '{OURS}' AND id = '{number.id}'"
            await by_hand(house, f"UPDATE tokens SET sealed = '\\x00'::bytea || sealed {row}")
            for fresh in (True, False, True):
                with pytest.raises(CannotOpen):
                    await resolve(OURS, names, fresh=fresh)
            await by_hand(house, f"UPDATE tokens SET sealed = substr(sealed, 2) {row}")
            for fresh in (False, False, True):
                found = await resolve(OURS, names, fresh=fresh)
                assert isinstance(found, Resolved)
                assert found.number == PAN

    asyncio.run(main())


def test_tokens_resolve_to_what_pays(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as house:
            resolve = house.tokenizer.resolve
            customer, card, number = await filed(house)
            found = await resolve(OURS, Names(customer=customer.id))
            assert isinstance(found, Resolved)
            assert found.tokens.instrument is not None
            assert (found.number, found.expiry, found.tokens.instrument.id) == (PAN, "2031-12", number.id)
            assert found.tokens.payment_instrument == card
            assert found.tokens.shipping_address is not None
            alone = await resolve(OURS, Names(payment_instrument=card.id))
            assert isinstance(alone, Resolved)
            assert alone.tokens.shipping_address is None
            bare = await resolve(OURS, Names(instrument=number.id))
            assert isinstance(bare, Resolved)
            assert (bare.number, bare.expiry) == (PAN, "")
            other = house.tokenizer.new_customer({})
            assert await written(house, Changes((other,))) is None
            for wrong in (
                await resolve(THEIRS, Names(customer=customer.id)),
                await resolve(THEIRS, Names(instrument=number.id)),
                await resolve(OURS, Names(customer=other.id)),
                await resolve(OURS, Names(customer=other.id, payment_instrument=card.id)),
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
            assert isinstance(await tokenizer.resolve(OURS, Names(instrument=number.id)), Unresolved)
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


@on_postgresql
def test_processes_that_race_for_the_same_tokens_each_get_one_result(tmp_path: Path, engine: str) -> None:
    """Two gateways on one database: nothing but the statement itself holds them apart."""

    async def main() -> None:
        (tmp_path / "a").mkdir()
        async with opened(tmp_path / "a") as here:
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "keys").mkdir(mode=0o700)
            kek = tmp_path / "b" / "keys" / "kek"
            kek.write_bytes((tmp_path / "a" / "keys" / "kek").read_bytes())
            kek.chmod(0o600)
            async with opened(tmp_path / "b") as there:
                customer, card, number = await filed(here)
                for turn in range(12):
                    await race(here, there, turn)
                await deletions(here, there)
                found = await there.tokenizer.resolve(OURS, Names(customer=customer.id))
                assert isinstance(found, Resolved)
                assert (found.number, found.tokens.payment_instrument) == (PAN, card)
                assert found.tokens.instrument == number

    async def race(here: House, there: House, turn: int) -> None:
        """One number, one customer: both processes want to be first with either."""
        pan = Pan(f"4{turn:014d}0")
        both = here.tokenizer, there.tokenizer
        customer = both[0].new_customer({})
        assert await written(here, Changes((customer,))) is None

        async def store(tokenizer: Tokenizer, default: bool) -> object:
            async def decide() -> Decided:
                owner = await tokenizer.tokens.customer(OURS, customer.id)
                assert isinstance(owner, Customer)
                token, is_new = await tokenizer.instrument_of(OURS, pan, {})
                before, _ = await tokenizer.tokens.defaults(OURS, customer.id)
                new = tokenizer.new_payment_instrument(owner, token, is_default=default)
                made = Changes((token,)) if is_new else Changes((), (token,))
                return Decided(made.also(add(new, owner, before)[1]), Answer(201, token.id.encode()))

            return await tokenizer.perform(OURS, decide)

        told = await asyncio.gather(*(store(each, wants) for each in both for wants in (True, False) * 2))
        assert len({answer.body for answer in told if isinstance(answer, Answer)}) == 1
        assert len(told) == 8
        cards, total = await both[1].tokens.page_of_customer(OURS, customer.id, PaymentInstrument, 0, 20)
        assert (total, [each.is_default for each in cards]) == (8, [True] + [False] * 7)

    async def deletions(here: House, there: House) -> None:
        """A number is deleted by one process or used by the other, never both."""
        for turn in range(8):
            token = (await here.tokenizer.instrument_of(OURS, Pan(f"5{turn:014d}0"), {}))[0]
            assert await written(here, Changes((token,))) is None
            lone = there.tokenizer.new_payment_instrument(None, token)
            gone = delete_instrument(token, here.clock(), is_in_use=False)
            assert isinstance(gone, Changes)
            told = await asyncio.gather(written(here, gone), written(there, add(lone, None, None, token)[1]))
            assert sorted(map(str, told)) == sorted(["None", str(Conflict())])

    asyncio.run(main())


def test_a_proof_of_all_that_is_stored_knows_answers(tmp_path: Path) -> None:
    """A claim may lead to a transaction or to an answer."""

    async def main() -> None:
        async with opened(tmp_path) as house:
            claim = claim_of("POST /x", "key", request=b"r")
            write = WriteTokens(
                merchant_id=OURS,
                changes=Changes(),
                claims=(claim,),
                answer_id=house.tokenizer.new_id(),
                answer=Answer(200, b"{}"),
            )
            assert await commit(house.database, write) is None
            await Till(house, OURS).authorize()  # the books are gone through by who has any
            assert await findings(house) == []
            await house.database.write(PurgeAnswers(OURS, write.answer_id + 1))
            assert await findings(house) == ["claim"]

    async def findings(house: House) -> list[str]:
        book = house.folder / verify.BOOK
        report = await verify.verify(house.database, now=house.clock(), deadline_s=0.2, book=book, again_after_s=0)
        return [finding.what for finding in report.findings]

    asyncio.run(main())


def test_answers_are_forgotten_after_the_claims_that_lead_to_them(tmp_path: Path) -> None:
    """R-10: kept as long as their window, and not for ever."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            gateway, merchant = house.gateway, house.accounts.get(OURS).merchant
            claim = claim_of("POST /x", "key", request=b"r")
            answer = Answer(200, b"{}")
            id_ = house.tokenizer.new_id()
            write = WriteTokens(merchant_id=OURS, changes=Changes(), claims=(claim,), answer_id=id_, answer=answer)
            assert await commit(house.database, write) is None
            kept = []
            for days in (0, 29, 30.5, 32):
                later = datetime.now(UTC) + timedelta(days=days)
                gateway.new_id = partial(ids.first_of, later)
                await claims.forget(gateway, merchant, b"")
                has_claim = bool(await gateway.payments.claims(OURS, b"", 10))
                kept.append((has_claim, await oldest_answer(house.database, OURS) == id_))
            assert kept == [(True, True), (True, True), (False, True), (False, False)]

    asyncio.run(main())


def test_a_payment_and_the_tokens_that_it_makes_are_one_commit(tmp_path: Path) -> None:
    """Both or neither: a number that is stored meanwhile is a race, and the outcome is finished again."""

    async def main() -> None:
        async with opened(tmp_path, works=False) as house:
            tokenizer, database, till = house.tokenizer, house.database, Till(house, OURS)
            answer = Answer(201, b"{}")

            async def finish() -> Finish:
                """What commit 2 of an authorization would write, its row open again."""
                done = await till.authorize()
                await by_hand(house, f"UPDATE transactions SET status = 'pending' WHERE id = {done.id}")
                return Finish(merchant_id=OURS, transaction=done, answer=answer)

            async def made(pan: Pan) -> tuple[InstrumentIdentifier, Changes]:
                customer = tokenizer.new_customer({})
                number, is_new = await tokenizer.instrument_of(OURS, pan, {})
                card = tokenizer.new_payment_instrument(customer, number, {}, expiry="2031-12")
                changes = Changes((customer, number)) if is_new else Changes((customer,), (number,))
                return number, changes.also(add(card, customer, None)[1])

            first, (number, changes) = await finish(), await made(PAN)
            assert await database.write(FinishWithTokens(first, changes)) is True
            assert await tokenizer.tokens.instrument_identifier(OURS, number.id) == number
            stored = await house.gateway.payments.answer(OURS, first.transaction.id)
            assert stored is not None
            # Concluded before us: no token is made.
            _, late = await made(Pan("5555555555554444"))
            assert await database.write(FinishWithTokens(first, late)) is False
            assert isinstance(await tokenizer.tokens.customer(OURS, late.created[0].id), Missing)
            # A number that another one stored meanwhile: neither.
            second, (_, stale) = await finish(), await made(Pan("5555555555554444"))
            other, _ = await tokenizer.instrument_of(OURS, Pan("5555555555554444"), {})
            assert await written(house, Changes((other,))) is None
            with pytest.raises(Raced):
                await database.write(FinishWithTokens(second, stale))
            loaded = await house.gateway.payments.load(OURS, second.transaction.id)
            assert loaded is not None
            assert loaded.payment.root.status is Status.PENDING
            _, fresh = await made(Pan("5555555555554444"))
            assert await database.write(FinishWithTokens(second, fresh)) is True

    asyncio.run(main())
