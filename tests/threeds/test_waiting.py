"""A payment that waits for its payer: what a wire hands over, what it gets back, and that it goes on once."""

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest
from msgspec.structs import replace

from kessai.authenticator import Asked, Begun, Ended
from kessai.gateway import Circumstances
from kessai.payment.authorize import Authorize
from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Payment, Refusal, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.storage.payments import Answer
from tests.acceptance.client import Service
from tests.acceptance.test_secrets import forms
from tests.threeds.shop import CHALLENGE, RIGHT, WRONG, Page, Shop, later, left_behind

SUCCESS, DECLINE = "https://shop.example/paid?order=7", "https://other.example/declined"
CODE = "8137"
YEN = Money(12_000, Currency.of("JPY"))


@dataclass
class Wire:
    """A wire whose payments wait. What it was told stays in `told`."""

    service: Service
    name: str
    told: list[Ended] = field(default_factory=list)
    breaks: int = 0
    """How often it breaks before it does anything."""
    is_open: bool = False
    """Whether the payment is under way elsewhere."""
    scenario: str = "approve"

    @property
    def merchant(self) -> Merchant:
        return self.service.house.accounts.get("kessai_sandbox").merchant

    async def go_on(self, ended: Ended) -> bool | None:
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("the wire broke")
        if self.is_open:
            return None
        self.told.append(ended)

        def encode(_: Payment, transaction: Transaction) -> Answer:
            return Answer(201, transaction.status.value.encode())

        wanted = json.loads(ended.document)
        command = Authorize(amount=Money(wanted["minor"], YEN.currency), card=ended.card, flags=ended.usable.flags)
        circumstances = Circumstances(
            proof=ended.usable.proof, claims=(ended.usable.claim,), scenario=wanted.get("scenario")
        )
        answer = await self.service.house.gateway.perform(ended.merchant, command, circumstances, encode)
        if isinstance(answer, Refusal):
            assert answer is Refusal.IN_PROGRESS
            return None
        return answer.body == Status.APPROVED.value.encode()

    def begin(self, number: str = CHALLENGE, **more: str) -> Begun:
        asked = Asked(
            card=Card(pan=Pan(number), expiry=Expiry(2031, 12), brand=Brand.VISA, security_code=SecurityCode(CODE)),
            amount=YEN,
            shop="青空商店",
            wire=self.name,
            document=json.dumps({"minor": YEN.minor, "scenario": self.scenario}).encode(),
            **{"return_url": SUCCESS, "decline_url": DECLINE, **more},  # type: ignore[arg-type]
        )
        return self.service.run(self.service.house.authenticator.begin(self.merchant, asked))


@pytest.fixture
def wire(service: Service, request: pytest.FixtureRequest) -> Iterator[Wire]:
    wire = Wire(service, f"wire of {request.node.name}")
    service.house.authenticator.continuations[wire.name] = wire.go_on
    yield wire
    del service.house.authenticator.continuations[wire.name]


def opened(shop: Shop, begun: Begun) -> Page:
    page = Page(shop.http.get("/integration/3ds", params={"_token": begun.token or ""}))
    assert page.answer.status_code == 200, page.text
    return page


def sent_to(page: Page) -> str:
    assert page.answer.status_code == 303, page.text
    return page.answer.headers["location"]


def test_what_needs_no_challenge_is_told_at_once(wire: Wire) -> None:
    begun = wire.begin("4000000000002701")
    assert begun.token is None
    assert begun.authentication.is_proven
    used = wire.service.house.authenticator.usable(begun.name, begun.authentication)
    assert (sorted(used.flags), used.proof.eci) == (["authenticated"], "05")
    assert wire.told == []


def test_a_payment_goes_on_when_its_payer_has_answered(shop: Shop, wire: Wire) -> None:
    page = opened(shop, wire.begin())
    assert page.policy["frame-ancestors"] == "'none'", "it is a page of its own"
    assert page.policy["form-action"] == "'self' https://other.example https://shop.example"
    assert "¥12,000" in page.text
    again = shop.answer(page, WRONG)
    assert again.became == "challenge"
    assert wire.told == []
    assert sent_to(shop.answer(again)) == SUCCESS
    [ended] = wire.told
    assert ended.card.security_code == SecurityCode(CODE), "the code came back with the payer"
    assert ended.card.pan.digits == CHALLENGE
    assert (ended.usable.proof.eci, sorted(ended.usable.flags)) == ("05", ["authenticated"])
    shop.till.service.assert_books()


@pytest.mark.parametrize("do", ["submit", "cancel"])
def test_a_payment_is_declined_when_its_payer_is_not_authenticated(shop: Shop, wire: Wire, do: str) -> None:
    page = opened(shop, wire.begin("4000000000002370"))
    assert sent_to(shop.answer(page, do=do)) == DECLINE
    [ended] = wire.told
    assert ended.usable.flags == {"authentication-failed"}
    assert not ended.usable.proof.value


def test_a_double_submit_and_the_way_back_lead_to_the_same_place(shop: Shop, wire: Wire) -> None:
    begun = wire.begin()
    page = opened(shop, begun)
    assert sent_to(shop.answer(page)) == SUCCESS
    assert sent_to(shop.answer(page)) == SUCCESS
    assert sent_to(shop.answer(page, WRONG)) == SUCCESS
    back = opened(shop, begun)
    assert back.goes == SUCCESS
    assert "code" not in back.fields
    assert len(wire.told) == 1


def test_of_many_answers_at_once_one_pays(shop: Shop, wire: Wire) -> None:
    for _ in range(3):
        page = opened(shop, wire.begin())
        with ThreadPoolExecutor(6) as pool:
            places = list(pool.map(sent_to, pool.map(partial(shop.answer, page), [RIGHT] * 6)))
        assert places == [SUCCESS] * 6
    assert len(wire.told) == 3
    shop.till.service.assert_books()


def test_an_abandoned_challenge_is_told_without_a_code(shop: Shop, wire: Wire) -> None:
    begun = wire.begin()
    page = opened(shop, begun)
    with later(wire.service, minutes=31):
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
        [ended] = wire.told
        assert ended.usable.authentication.cancel == "04"
        assert ended.card.security_code is None, "nobody but the payer has it"
        shown = opened(shop, begun)
        assert shown.goes == DECLINE
        assert shop.answer(page).goes == DECLINE
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
    assert len(wire.told) == 1


def test_what_breaks_is_ended_by_the_worker(shop: Shop, wire: Wire) -> None:
    begun = wire.begin()
    page = opened(shop, begun)
    wire.breaks = 1
    assert shop.answer(page).answer.status_code == 502
    waiting = opened(shop, begun)
    assert 'http-equiv="refresh"' in waiting.text
    with later(wire.service, minutes=3):
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
    assert opened(shop, begun).goes == SUCCESS
    assert sent_to(shop.answer(page)) == SUCCESS
    assert len(wire.told) == 1


def test_one_payment_that_cannot_go_on_keeps_nobody_waiting(shop: Shop, wire: Wire) -> None:
    wire.breaks = 1
    broken, other = wire.begin(), wire.begin()
    with later(wire.service, minutes=31):
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
        assert [ended.name for ended in wire.told] == [other.name]
    with later(wire.service, minutes=34):
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
        assert [ended.name for ended in wire.told] == [other.name, broken.name]
    assert '"event":"cardholder.fault"' in wire.service.logs.getvalue()


@pytest.mark.parametrize(("scenario", "place"), [("approve", SUCCESS), ("insufficient-funds", DECLINE)])
def test_a_payment_that_was_made_before_a_crash_is_not_made_again(
    shop: Shop, wire: Wire, scenario: str, place: str
) -> None:
    """Whoever performs it again is told what the first was told."""
    wire.scenario = scenario
    assert sent_to(shop.answer(opened(shop, wire.begin()))) == place
    [ended] = wire.told
    before = wire.service.house.metrics.outcomes.copy()
    assert [wire.service.run(wire.go_on(ended)) for _ in range(2)] == [place == SUCCESS] * 2
    assert wire.service.house.metrics.outcomes == before
    shop.till.service.assert_books()


def test_two_processes_at_once_make_one_payment(shop: Shop, wire: Wire) -> None:
    sent_to(shop.answer(opened(shop, wire.begin())))
    [first] = wire.told
    claim = replace(first.usable.claim, key=wire.name.encode()[-16:])  # as of another payment
    ended = replace(first, usable=replace(first.usable, claim=claim))
    before = sum(wire.service.house.metrics.outcomes.values())

    async def both() -> list[bool | None]:
        return list(await asyncio.gather(wire.go_on(ended), wire.go_on(ended)))

    assert set(wire.service.run(both())) <= {None, True}
    assert sum(wire.service.house.metrics.outcomes.values()) == before + 1
    shop.till.service.assert_books()


def test_a_payment_that_is_open_elsewhere_is_asked_for_again(shop: Shop, wire: Wire) -> None:
    begun = wire.begin()
    page = opened(shop, begun)
    wire.is_open = True
    assert 'http-equiv="refresh"' in shop.answer(page).text
    wire.is_open = False
    with later(wire.service, minutes=3):
        wire.service.run(wire.service.house.authenticator.tend(wire.merchant))
    assert opened(shop, begun).goes == SUCCESS


def test_nothing_of_a_waiting_payment_can_be_read(shop: Shop, wire: Wire) -> None:
    number = "4024007198964305"
    begun = wire.begin(number, scenario="challenge")
    looked = left_behind(wire.service)
    shop.answer(shop.answer(opened(shop, begun), "739146"))
    looked |= {f"{name} later": data for name, data in left_behind(wire.service).items()}
    assert wire.name.encode() in b"".join(looked.values()), "the search looks where the row is"
    for place, data in looked.items():
        assert [name for name, form in forms(number) if form in data] == [], place
        for secret in ("739146", begun.token or ""):
            assert secret.encode() not in data, place
            assert base64.b64encode(secret.encode()) not in data, place


def test_a_code_is_opened_by_the_token_and_by_nothing_else(shop: Shop, wire: Wire) -> None:
    """The row with all keys of the vault gives other digits than the code: what blinds it is in the payer's hands."""
    begun = wire.begin()
    house = wire.service.house

    async def stored() -> bytes:
        rows = await house.database.read("find_authentication", {"merchant_id": wire.merchant.id, "name": begun.name})
        return house.vault.open_secret(wire.merchant.id, str(rows[0][0]), "waiting_code", bytes(rows[0][7]))

    assert wire.service.run(stored()) != CODE.encode()
    assert sent_to(shop.answer(opened(shop, begun))) == SUCCESS
    assert wire.told[0].card.security_code == SecurityCode(CODE)
