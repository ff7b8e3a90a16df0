"""The hosted page and 3-D Secure: payers whose issuer asks them first, and come back, or do not."""

import re

from kessai.hosted.links import MOST_TRIES
from kessai.hosted.words import WORDS
from tests.acceptance.client import Service
from tests.acceptance.options import Shop, shop_of
from tests.hosted.payer import RETURNS, Page, Payer, payments
from tests.threeds.shop import later

CHALLENGED, FAILING = "4000000000002503", "4000000000002370"


def asked(payer: Payer, page: Page, number: str = CHALLENGED, **form: str) -> Page:
    """The issuer's page."""
    sent = payer.pay(page, number=number, **form).sent_to
    assert "/integration/3ds?_token=" in sent
    return Page(payer.http.get(sent))


def answered(payer: Payer, page: Page, code: str = "1234", do: str = "submit") -> Page:
    """What the browser shows once the issuer has been answered."""
    return Page(payer.http.get(sent(payer, page, code, do).sent_to, follow_redirects=False))


def sent(payer: Payer, page: Page, code: str = "1234", do: str = "submit") -> Page:
    """What the issuer's page answers."""
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.answer.text))
    form = {name: fields[name] for name in ("token", "MD", "from")} | {"code": code, "do": do}
    return Page(payer.http.post("/3ds/v2/challenge", data=form, follow_redirects=False))


def test_a_payer_is_asked_and_pays(shop: Shop) -> None:
    payer, before = Payer.of(shop), len(payments(shop))
    page = asked(payer, payer.open(lang="ja"), option="61-3")
    assert len(payments(shop)) == before, "nothing is paid before the issuer has said so"
    shown = answered(payer, page)
    assert (shown.status, shown.said, shown.link) == (200, WORDS["paid"]["ja"], RETURNS["success_url"])
    assert 'http-equiv="refresh"' in shown.answer.text
    assert len(payments(shop)) == before + 1
    assert payer.open().said == WORDS["paid"]["en"]
    shop.service.assert_books()


def test_who_is_not_authenticated_may_try_another_card(shop: Shop) -> None:
    payer = Payer.of(shop)
    shown = answered(payer, asked(payer, payer.open(), FAILING))
    assert WORDS["declined"]["en"].format(left=MOST_TRIES - 1) in shown.said
    assert payer.pay(shown).sent_to == RETURNS["success_url"]


def test_who_cancels_at_the_issuers_comes_back_to_the_page(shop: Shop) -> None:
    payer = Payer.of(shop)
    shown = answered(payer, asked(payer, payer.open()), do="cancel")
    assert WORDS["declined"]["en"].format(left=MOST_TRIES - 1) in shown.said
    assert payer.cancel().sent_to == RETURNS["decline_url"]


def test_the_way_back_from_the_issuer_leads_to_one_payment(shop: Shop) -> None:
    """Two challenges of one try: whichever is answered first pays, the other comes to the same place."""
    payer, before = Payer.of(shop), len(payments(shop))
    page = payer.open()
    first, second = asked(payer, page), asked(payer, page)
    pending = payer.cancel()
    assert (pending.status, pending.said) == (200, WORDS["pending"]["en"]), "it can still be paid: it is not cancelled"
    assert answered(payer, second).link == RETURNS["success_url"]
    assert answered(payer, first).link == RETURNS["success_url"]
    assert len(payments(shop)) == before + 1
    shop.service.assert_books()


def test_a_payer_who_stays_away_may_come_again(service: Service, shop: Shop) -> None:
    payer, before = Payer.of(shop), approved(shop)
    page = asked(payer, payer.open())
    house = service.house
    merchant = house.accounts.get(shop.merchant).merchant
    with later(service, minutes=40):
        service.run(house.authenticator.tend(merchant))
        service.run(house.second.links.tend(merchant))
        assert approved(shop) == before, "what nobody confirmed was declined, and cost no try"
        assert payer.pay(payer.open()).sent_to == RETURNS["success_url"]
        sent(payer, page)
    assert approved(shop) == before + 1


def approved(shop: Shop) -> int:
    return sum(payment["event"] == "sale.approved" for payment in payments(shop))


def test_what_was_paid_while_the_payer_was_lost_is_found(service: Service, shop: Shop) -> None:
    """The payer answered its issuer, and the browser went no further."""
    payer = Payer.of(shop)
    page = asked(payer, payer.open())
    sent(payer, page)
    house = service.house
    before = service.logs.getvalue().count('"event":"link.ended"')
    with later(service, minutes=6):
        service.run(house.second.links.tend(house.accounts.get(shop.merchant).merchant))
    assert service.logs.getvalue().count('"event":"link.ended"') == before + 1
    assert payer.open().said == WORDS["paid"]["en"]


def test_a_merchant_that_is_bound_to_it_takes_the_page(service: Service) -> None:
    shop = shop_of(service, "hpp_bound", three_d_secure="obligatory")
    payer = Payer.of(shop)
    assert payer.pay(payer.open()).sent_to == RETURNS["success_url"]
