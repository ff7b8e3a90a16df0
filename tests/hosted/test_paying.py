"""Payments by the hosted page, without a browser: once, again after a decline, by options; what is kept of them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kessai import ids
from kessai.dialects.paymentoptions import identifiers
from kessai.hosted.links import LIFE, MOST_TRIES
from kessai.hosted.words import WORDS
from tests.acceptance.client import Service
from tests.acceptance.options import Shop, shop_of
from tests.acceptance.test_secrets import forms
from tests.hosted.payer import LINK, RETURNS, Payer, asking, made, path_of, payments
from tests.threeds.shop import later, left_behind

DECLINES = "insufficient-funds"


def last(shop: Shop) -> Mapping[str, Any]:
    """The status of the merchant's last payment, by this wire."""
    identifier = ids.read(str(payments(shop)[-1]["transaction"]))
    assert identifier is not None
    return shop.client.status(identifiers.show(identifier)).document


def test_a_payer_pays_by_installments(shop: Shop) -> None:
    payer = Payer.of(shop)
    page = payer.open(lang="ja")
    assert page.status == 200
    assert {"10", "61-3", "61-6", "61-24", "80"} <= set(page.offered)
    assert "¥48,000" in page.text
    assert page.text.count("¥16,000") == 3, "three installments of a third"
    assert payer.pay(page, option="61-6").sent_to == RETURNS["success_url"]
    paid = last(shop)
    assert (paid["success"], paid["transaction_type"]) == (True, "CAPTURE")
    details = paid["payment_details"]
    assert details["japan_payment_options"] == {"payment_division": "61", "installments": 6}
    assert (details["amount"], details["card"]["name"]) == (48_000, "HANAKO YAMADA")
    shop.service.assert_books()


def test_a_bonus_payment_is_offered_in_its_season(shop: Shop) -> None:
    payer = Payer.of(shop)
    with shop.service.on("2026-12-20"):
        assert "21" in Payer.of(shop).open().offered
        assert "ボーナス一括払い" in Payer.of(shop).open(lang="ja").text
    assert payer.open().status == 200


def test_only_what_the_contract_allows_is_offered(service: Service) -> None:
    vpc = shop_of(service, "hpp_vpc", "vpc")
    assert Payer.of(vpc).open().offered == [], "one payment is no choice"
    smcc = shop_of(service, "hpp_smcc", "smcc")
    payer = Payer.of(smcc)
    page = payer.open()
    assert "61-7" not in page.offered
    again = payer.pay(page, option="61-7", number="4111111111111111")
    assert (again.status, WORDS["bad_option"]["en"] in again.said) == (422, True)
    assert Payer.of(smcc, currency="USD", amount="10").open().offered == []


def test_a_form_sent_twice_pays_once(shop: Shop) -> None:
    payer = Payer.of(shop)
    page, before = payer.open(), len(payments(shop))
    assert payer.pay(page).sent_to == RETURNS["success_url"]
    assert payer.pay(page).sent_to == RETURNS["success_url"]
    assert payer.pay(page, number="4111111111111111").sent_to == RETURNS["success_url"]
    assert len(payments(shop)) == before + 1
    used = payer.open()
    assert (used.said, used.link) == (WORDS["paid"]["en"], RETURNS["success_url"])
    assert payer.cancel().sent_to == RETURNS["success_url"], "what is paid is not cancelled"


def test_of_many_submits_at_once_one_pays(shop: Shop) -> None:
    payer = Payer.of(shop)
    page, before = payer.open(), len(payments(shop))
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: payer.pay(page).sent_to, range(8)))
    assert places == [RETURNS["success_url"]] * 8
    assert len(payments(shop)) == before + 1
    shop.service.assert_books()


def test_a_cancel_beside_a_payment_is_one_of_both(shop: Shop) -> None:
    for _ in range(5):
        payer = Payer.of(shop)
        page, before = payer.open(), len(payments(shop))
        with ThreadPoolExecutor(2) as pool:
            paying, leaving = pool.submit(payer.pay, page), pool.submit(payer.cancel)
            places = {paying.result().answer.headers.get("location"), leaving.result().answer.headers.get("location")}
        if RETURNS["cancel_url"] in places:
            assert len(payments(shop)) == before
        else:
            assert len(payments(shop)) == before + 1
        assert not {RETURNS["cancel_url"], RETURNS["success_url"]} <= places


def test_a_decline_is_tried_again(shop: Shop) -> None:
    payer = Payer.of(shop)
    page = payer.open()
    declined = payer.pay(page, scenario=DECLINES)
    assert declined.status == 200
    assert WORDS["declined"]["en"].format(left=MOST_TRIES - 1) in declined.said
    stale = payer.pay(page)
    assert stale.status == 200, "the older form pays nothing: the payer sees the decline first"
    assert payer.pay(declined).sent_to == RETURNS["success_url"]


def test_declines_come_to_an_end(shop: Shop) -> None:
    payer = Payer.of(shop)
    page = payer.open()
    for left in range(MOST_TRIES - 1, 0, -1):
        page = payer.pay(page, scenario=DECLINES)
        assert WORDS["declined"]["en"].format(left=left) in page.said
    before = len(payments(shop))
    assert payer.pay(page, scenario=DECLINES).sent_to == RETURNS["decline_url"]
    assert payer.pay(page).sent_to == RETURNS["decline_url"]
    assert (payer.open().status, payer.open().link) == (410, RETURNS["decline_url"])
    assert len(payments(shop)) == before + 1
    assert shop.service.logs.getvalue().count('"event":"link.ended"') >= 1


def test_who_gives_up_after_a_decline_comes_back_as_declined(shop: Shop) -> None:
    payer = Payer.of(shop)
    payer.pay(payer.open(), scenario=DECLINES)
    assert payer.cancel().sent_to == RETURNS["decline_url"]


def test_a_cancelled_link_pays_nothing(shop: Shop) -> None:
    payer = Payer.of(shop)
    page, before = payer.open(), len(payments(shop))
    assert payer.cancel().sent_to == RETURNS["cancel_url"]
    assert payer.pay(page).sent_to == RETURNS["cancel_url"]
    assert payer.open().status == 410
    assert len(payments(shop)) == before
    bare = Payer.of(shop, return_url={"webhook_url": "https://shop.example/hook"})
    assert bare.cancel().said == WORDS["cancelled"]["en"]


def test_letters_of_an_address_are_sent_as_octets(shop: Shop) -> None:
    """A-82: an address is one on every route or on none; it is shown as it was sent, and browsers go where it says."""
    urls = {name: f"https://shop.example/注文/{name}?店=青空" for name in ("success_url", "decline_url", "cancel_url")}
    goes = {name: f"https://shop.example/%E6%B3%A8%E6%96%87/{name}?%E5%BA%97=%E9%9D%92%E7%A9%BA" for name in urls}
    link = made(shop, return_url=urls)
    assert link.document["return_url"] == urls | {"webhook_url": None}
    payer = Payer(shop.service.http, path_of(link))
    page = payer.open()
    assert page.policy["form-action"] == "'self' https://shop.example"
    assert payer.pay(page).sent_to == goes["success_url"]
    assert payer.open().link == goes["success_url"]
    assert Payer.of(shop, return_url=urls).cancel().sent_to == goes["cancel_url"]
    assert shop.pay(return_url=urls).success
    host = {"success_url": "https://店.example/"}
    for refused in (shop.pay(return_url=host), shop.post(LINK, asking(shop, return_url=host))):
        assert (refused.status, refused.code) == (400, "VAL0004")


def test_a_link_expires(shop: Shop) -> None:
    payer = Payer.of(shop)
    page, before = payer.open(), len(payments(shop))
    with later(shop.service, seconds=LIFE.total_seconds() + 1):
        shown = payer.open()
        assert (shown.status, shown.said) == (410, WORDS["expired"]["en"])
        assert payer.pay(page).status == 410
        assert payer.cancel().status == 410
    assert len(payments(shop)) == before


def test_an_answer_that_is_lost_is_not_paid_again(shop: Shop) -> None:
    payer = Payer.of(shop)
    page, before = payer.open(), len(payments(shop))
    sent = payer.pay(page, scenario="answer-lost")
    assert sent.sent_to == RETURNS["decline_url"]
    assert payer.pay(page).sent_to == RETURNS["decline_url"]
    shown = payer.open()
    assert (shown.status, shown.said) == (410, WORDS["unclear"]["en"])
    shop.service.until_quiet()
    assert len(payments(shop)) <= before + 1
    shop.service.assert_books()


def test_a_payer_types_the_amount(shop: Shop) -> None:
    payer = Payer.of(shop, amount=None)
    for wrong in ("", "0", "-5", "1.5", "abc", "99999999999999"):
        page = payer.open(amount=wrong)
        assert 'name="number"' not in page.text
        assert WORDS["bad_amount"]["en"].format(example="¥1,000") in page.said
    page = payer.open(amount="１２,０００")
    assert page.hidden["amount"] == "12000"
    assert payer.pay(page).sent_to == RETURNS["success_url"]
    assert payments(shop)[-1]["amount"] == "12000"


def test_the_amount_of_the_link_is_not_the_forms(shop: Shop) -> None:
    """A-81."""
    payer = Payer.of(shop)
    assert payer.pay(payer.open(), amount="1").sent_to == RETURNS["success_url"]
    assert payments(shop)[-1]["amount"] == "48000"


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ({"number": "5200000000001006"}, "bad_number"),
        ({"number": "abc"}, "bad_number"),
        ({"number": ""}, "bad_number"),
        ({"expiry": "13/39"}, "bad_expiry"),
        ({"expiry": "12/20"}, "bad_expiry"),
        ({"expiry": ""}, "bad_expiry"),
        ({"cvc": "12"}, "bad_cvc"),
        ({"cvc": "１２x"}, "bad_cvc"),
        ({"name": ""}, "bad_name"),
        ({"name": "x" * 256}, "bad_name"),
        ({"option": "99"}, "bad_option"),
    ],
)
def test_what_is_typed_wrong_is_said_and_not_shown_again(shop: Shop, typed: dict[str, str], word: str) -> None:
    payer = Payer.of(shop)
    before = len(payments(shop))
    page = payer.pay(payer.open(lang="ja"), **typed)
    assert page.status == 422
    assert WORDS[word]["ja"] in page.said
    assert (
        "5200" not in page.answer.text.partition("data-ranges")[0] + page.answer.text.partition("</form>")[0][-3_000:]
    )
    assert len(payments(shop)) == before
    assert payer.pay(page).sent_to == RETURNS["success_url"], "it is still the first try"


def test_full_width_digits_are_digits(shop: Shop) -> None:
    payer = Payer.of(shop)
    typed = {"number": "５２００－００００－００００－１００５", "expiry": "１２／３９", "cvc": "１００"}
    assert payer.pay(payer.open(), **typed).sent_to == RETURNS["success_url"]


def test_an_email_is_asked_for_where_there_is_no_address(shop: Shop) -> None:
    payer = Payer.of(shop, billing_address=None)
    page = payer.open()
    assert 'name="email"' in page.text
    assert WORDS["bad_email"]["en"] in payer.pay(page, email="nobody").said
    assert payer.pay(page, email="hanako@example.com").sent_to == RETURNS["success_url"]


def test_a_card_is_kept_for_the_merchant(shop: Shop) -> None:
    """§12: the stored payment method comes with the status of the payment, and pays."""
    payer = Payer.of(shop, payment_method={"type": "scheme", "store_payment_method": True})
    page = payer.open()
    assert WORDS["keeps"]["en"].format(shop="アイベック株式会社") in page.text
    assert payer.pay(page).sent_to == RETURNS["success_url"]
    details = last(shop)["transaction_details"]
    token = details["stored_payment_method_id"]
    again = shop.pay(card=None, payment_method={"type": "scheme", "stored_payment_method_id": token})
    assert again.success, again.document


def test_what_a_payer_types_stays_in_the_vault(service: Service, shop: Shop) -> None:
    """Neither number nor code is anywhere in the clear; of the code not even sealed."""
    payer = Payer.of(shop)
    number, code = "4000000000002701", "739"
    assert payer.pay(payer.open(), scenario=DECLINES, number=number, cvc=code).status == 200
    page = payer.open()
    assert payer.pay(page, number=number, cvc=code).sent_to == RETURNS["success_url"]
    found = {
        (name, how) for name, content in left_behind(service).items() for how, form in forms(number) if form in content
    }
    assert found == set()


def test_names_are_text(service: Service) -> None:
    """A-80: what comes from a merchant or a payer is shown, and nothing else."""
    evil = "<script>alert(1)</script>\"'{{7*7}}"
    house = service.house
    if house.accounts.find("hpp_evil") is None:
        service.run(house.accounts.add("hpp_evil", "sandbox", house.clock(), legal_name=evil))
    shop = Shop(service, "hpp_evil")
    payer = Payer.of(shop, merchant_txn_ref=evil[:45])
    page = payer.pay(payer.open(), name=evil, cvc="1")
    assert page.status == 422
    raw = page.answer.text
    assert "<script>alert" not in raw
    assert raw.count("&lt;script&gt;") >= 3


def test_the_policy_lets_nobody_in(shop: Shop) -> None:
    """A-81: no foreign frame, no foreign script, no form to elsewhere."""
    payer = Payer.of(shop)
    policy = payer.open().policy
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["form-action"] == "'self' https://shop.example"
    headers = payer.open().answer.headers
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "unsafe" not in headers["content-security-policy"]


def test_the_page_speaks_the_payers_language(shop: Shop) -> None:
    payer = Payer.of(shop)
    http = shop.service.http
    assert '<html lang="ja">' in http.get("/jp" + payer.path).text
    assert '<html lang="en">' in http.get(payer.path).text
    assert '<html lang="ja">' in http.get(payer.path, headers={"accept-language": "ja-JP,en;q=0.5"}).text
    assert '<html lang="en">' in http.get("/jp" + payer.path, params={"lang": "en"}).text
    for texts in WORDS.values():
        assert set(texts) == {"en", "ja"}


def test_methods_and_media(shop: Shop) -> None:
    payer = Payer.of(shop)
    http = shop.service.http
    assert http.put(payer.path).status_code == 405
    assert http.post(payer.path, json={"do": "pay"}).status_code == 415
    assert http.get("/HostedPaymentPage/page.css").headers["content-type"].startswith("text/css")
    for path in ("/HostedPaymentPage", "/HostedPaymentPage/..%2fpage.css", "/jp", "/HostedPaymentPage/a/b/c"):
        assert http.get(path).status_code == 404


def test_what_a_crash_left_is_concluded(service: Service, shop: Shop) -> None:
    """The worker says what became of a payment whose process ended before it could."""
    house = service.house
    payer = Payer.of(shop)
    merchant_id, code = payer.path.split("/")[-2:]
    assert payer.pay(payer.open()).sent_to == RETURNS["success_url"]
    met = service.run(house.second.links.meet(merchant_id, code))
    assert met is not None
    assert service.run(house.second.links._change(met, type(met.state).PAYING, 0)), "as a crash would have left it"
    with later(service, minutes=6):
        service.run(house.second.links.tend(house.accounts.get(merchant_id).merchant))
    assert payer.open().said == WORDS["paid"]["en"]
