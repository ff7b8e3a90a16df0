"""3-D Secure on the PaymentOptions wire: direct answers, redirects, and payments that go on when a payer is back."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kessai.client import Card, Result
from kessai.dialects.paymentoptions.identifiers import show
from kessai.payment.lifecycle import Payment, Status
from tests.acceptance.client import Service
from tests.acceptance.options import HOME, Json, Shop, paid, shop_of
from tests.acceptance.test_secrets import forms
from tests.threeds.shop import CHALLENGE, FAILING, FRICTIONLESS, RIGHT, WRONG, Page, later, left_behind

OK, NG = "https://shop.example/ok", "https://shop.example/ng"
DOCUMENTED = "4000002500003155"


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "po_3ds")


@pytest.fixture
def other(service: Service) -> Shop:
    return shop_of(service, "po_3ds_other")


def buy(shop: Shop, path: str = "paymentv2", headers: dict[str, str] | None = None, **changes: object) -> Result:
    return shop.post(path, shop.body(**{"card__number": CHALLENGE, "merchant_txn_ref": "waits", **changes}), headers)


def sent_away(result: Result) -> str:
    """Where the payer is sent, of an answer that has the documented form."""
    url = result.redirect_url
    assert (result.status, result.document) == (
        200,
        {"url": url, "statusCode": 200, "success": True, "redirect_url": url},
    )
    return url


def token_of(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["_token"]


def opened(shop: Shop, url: str) -> Page:
    page = Page(shop.service.http.get(url))
    assert page.answer.status_code == 200, page.text
    return page


def answered(shop: Shop, page: Page, code: str = RIGHT, do: str = "submit") -> Page:
    form = {**page.fields, "code": code, "do": do}
    return Page(shop.service.http.post("/3ds/v2/challenge", data=form, follow_redirects=False))


def ends_at(page: Page) -> str:
    assert page.answer.status_code == 303, page.text
    return page.answer.headers["location"]


def passed(shop: Shop, result: Result) -> str:
    return ends_at(answered(shop, opened(shop, sent_away(result))))


def tend(shop: Shop) -> None:
    service = shop.service
    service.run(service.house.authenticator.tend(service.house.accounts.get(shop.merchant).merchant))


def forget(shop: Shop) -> None:
    """End what other tests have left waiting."""
    with later(shop.service, minutes=31):
        tend(shop)


def made(service: Service) -> int:
    """How many transactions have been concluded."""
    return sum(service.house.metrics.outcomes.values())


def latest(shop: Shop) -> Payment:
    """The merchant's newest payment."""
    rows = shop.service.house.gateway.payments

    async def load() -> Payment:
        found = await rows.load(shop.merchant, await rows.newest_id(shop.merchant))
        assert found is not None
        return found.payment

    return shop.service.run(load())


def status(shop: Shop, payment: Payment) -> Json:
    result = shop.client.status(show(payment.id))
    assert result.status == 200
    return dict(result.document)


def told(document: Json) -> tuple[object, ...]:
    said = document["gateway_response"]
    return document["success"], document["transaction_type"], said["code"], document["payment_details"]["response_code"]


PAID, UNPROVEN = (True, "CAPTURE", "INFO0000", 0), (False, "CAPTURE", "ERR0937", 937)


# ---- direct answers


@pytest.mark.parametrize("path", ["paymentv2", "authorizationv2"])
def test_what_needs_no_payer_is_answered_at_once(shop: Shop, path: str) -> None:
    browser = {"javaEnabled": "false", "screenHeight": 1200, "acceptHeader": "text/html"}
    result = paid(buy(shop, path, card__number=FRICTIONLESS, browser_info=browser, return_url=None))
    kind = "CAPTURE" if path == "paymentv2" else "PRE_AUTH"
    assert told(dict(result.document)) == (True, kind, "INFO0000", 0)
    assert {"authenticated", "cvn-sent"} <= latest(shop).root.flags


@pytest.mark.parametrize(
    ("number", "is_paid", "flag"),
    [
        ("4000000000002719", True, "authenticated"),
        ("4000000000002313", True, None),
        ("4000000000002925", False, "authentication-failed"),
        ("4000000000002537", False, "authentication-failed"),
    ],
)
def test_what_the_issuer_says_at_once_decides(shop: Shop, number: str, is_paid: bool, flag: str | None) -> None:
    result = buy(shop, card__number=number)
    assert result.status == 201
    assert told(dict(result.document)) == (PAID if is_paid else UNPROVEN)
    flags = latest(shop).root.flags & {"authenticated", "authentication-failed", "authentication-missing"}
    assert flags == ({flag} if flag else set())


def test_the_first_version_asks_nobody(shop: Shop) -> None:
    paid(buy(shop, "payment", card__number=DOCUMENTED))
    assert "authenticated" not in latest(shop).root.flags


def test_a_merchant_that_is_bound_is_paid_with_the_second_version_only(service: Service) -> None:
    shop = shop_of(service, "po_3ds_bound", three_d_secure="obligatory")
    for path in ("payment", "authorization"):
        result = buy(shop, path)
        assert (result.status, result.success, result.response_code) == (201, False, 65)
    assert passed(shop, buy(shop)) == OK
    paid(buy(shop, card__number=FRICTIONLESS))


def test_what_is_decided_already_asks_no_issuer(service: Service) -> None:
    shop = shop_of(service, "po_3ds_rules", **{"risk.bins": '["400000"]'})
    result = buy(shop)
    assert (result.status, result.code) == (412, "ERR3003")


def test_a_scenario_names_how_the_issuer_answers(shop: Shop) -> None:
    header = {"kessai-authentication": "challenge"}
    assert sent_away(buy(shop, headers=header, card__number=FRICTIONLESS))
    refused = buy(shop, headers={"kessai-authentication": "moonshine"})
    assert (refused.status, refused.code) == (400, "VAL0006")


# ---- who is sent away


@pytest.mark.parametrize("path", ["paymentv2", "authorizationv2"])
@pytest.mark.parametrize("number", [DOCUMENTED, CHALLENGE, "5200000000001096"])
def test_a_payment_is_made_when_its_payer_has_answered(shop: Shop, path: str, number: str) -> None:
    before = made(shop.service)
    page = opened(shop, sent_away(buy(shop, path, card__number=number)))
    assert "アイベック株式会社" in page.text
    assert made(shop.service) == before, "nothing is paid before the payer has answered"
    again = answered(shop, page, WRONG)
    assert again.became == "challenge"
    assert ends_at(answered(shop, again)) == OK
    assert made(shop.service) == before + 1
    payment = latest(shop)
    assert {"authenticated", "cvn-sent"} <= payment.root.flags
    kind = "CAPTURE" if path == "paymentv2" else "PRE_AUTH"
    found = status(shop, payment)
    assert told(found) == (True, kind, "INFO0000", 0)
    assert found["merchant_details"]["merchant_txn_ref"] == "waits"
    assert found["transaction_details"]["billing_details"]["billing_address"]["city"] == "Chiyoda-ku"
    if path == "authorizationv2":
        paid(shop.follow("capture", show(payment.id), amount="1000"))
    else:
        paid(shop.follow("refund", show(payment.id), amount="400"))
    shop.service.assert_books()


@pytest.mark.parametrize("do", ["submit", "cancel"])
def test_a_payer_who_is_not_authenticated_pays_nothing(shop: Shop, do: str) -> None:
    before = made(shop.service)
    page = opened(shop, sent_away(buy(shop, card__number=FAILING, payment_method__store_payment_method=True)))
    assert ends_at(answered(shop, page, do=do)) == NG
    assert made(shop.service) == before + 1
    payment = latest(shop)
    assert (payment.captured, payment.held) == (0, 0)
    assert told(status(shop, payment)) == UNPROVEN
    shop.service.assert_books()


def test_three_wrong_codes_are_a_decline(shop: Shop) -> None:
    page = opened(shop, sent_away(buy(shop)))
    for _ in range(2):
        page = answered(shop, page, WRONG)
    assert ends_at(answered(shop, page, WRONG)) == NG
    assert told(status(shop, latest(shop))) == UNPROVEN


def test_a_decline_after_the_authentication_leads_to_the_decline_url(shop: Shop) -> None:
    result = buy(shop, headers={"kessai-scenario": "insufficient-funds"})
    assert passed(shop, result) == NG
    assert told(status(shop, latest(shop))) == (False, "CAPTURE", "ERR0051", 51)
    refused = buy(shop, headers={"kessai-scenario": "moonshine"})
    assert refused.status == 400, "said before anybody is sent away"


@pytest.mark.parametrize("name", ["no-answer", "late-answer", "answer-lost"])
def test_an_outcome_that_is_unknown_leads_to_the_decline_url_and_is_undone(shop: Shop, name: str) -> None:
    assert passed(shop, buy(shop, headers={"kessai-scenario": name})) == NG
    shop.service.until_quiet()
    payment = latest(shop)
    assert (payment.root.status, payment.released) == (Status.UNKNOWN, 1000), "undone by its reversal"
    shop.service.assert_books()


def test_an_abandoned_challenge_is_a_decline_after_half_an_hour(shop: Shop) -> None:
    forget(shop)
    before = made(shop.service)
    url = sent_away(buy(shop))
    page = opened(shop, url)
    with later(shop.service, minutes=29):
        tend(shop)
        assert opened(shop, url).became == "challenge"
        assert made(shop.service) == before
    with later(shop.service, minutes=31):
        assert answered(shop, page).goes == NG, "the right code comes too late"
        tend(shop)
        shown = opened(shop, url)
        assert shown.goes == NG
        tend(shop)
    assert made(shop.service) == before + 1
    assert told(status(shop, latest(shop))) == UNPROVEN
    shop.service.assert_books()


def test_nobody_has_to_come_back_for_it(shop: Shop) -> None:
    forget(shop)
    before = made(shop.service)
    sent_away(buy(shop))
    with later(shop.service, minutes=31):
        tend(shop)
    assert made(shop.service) == before + 1
    assert told(status(shop, latest(shop))) == UNPROVEN


def test_a_double_submit_and_the_way_back_pay_once(shop: Shop) -> None:
    before = made(shop.service)
    url = sent_away(buy(shop))
    page = opened(shop, url)
    with ThreadPoolExecutor(6) as pool:
        places = list(pool.map(ends_at, pool.map(partial(answered, shop, page), [RIGHT] * 6)))
    assert places == [OK] * 6
    assert ends_at(answered(shop, page, WRONG)) == OK
    back = opened(shop, url)
    assert (back.goes, "code" in back.fields) == (OK, False)
    assert made(shop.service) == before + 1
    shop.service.assert_books()


# ---- what pays, and how


def test_a_card_is_stored_after_its_challenge_and_then_pays_with_one(shop: Shop) -> None:
    assert passed(shop, buy(shop, payment_method__store_payment_method=True)) == OK
    answer = shop.service.run(shop.service.house.gateway.payments.answer(shop.merchant, latest(shop).id))
    assert answer is not None
    token = json.loads(answer[1].body)["transaction_details"]["stored_payment_method_id"]
    again: Any = {"card": None, "payment_method__stored_payment_method_id": token}
    body = shop.body(**again, merchant_txn_ref="again")
    assert passed(shop, shop.post("paymentv2", body)) == OK
    payment = latest(shop)
    assert payment.root.reference == "again"
    assert "authenticated" in payment.root.flags
    assert "cvn-sent" not in payment.root.flags
    assert status(shop, payment)["payment_details"]["card"]["name"] == "John Doe"
    assert shop.post("paymentv2", {**body, "payment_method": {"stored_payment_method_id": show(1)}}).status == 404


def test_a_japanese_option_waits_too(shop: Shop) -> None:
    options = {"payment_division": "61", "installments": "3", "first_billing_month": "4"}
    result = buy(shop, amount="30000", payment_method__japan_payment_options=options)
    assert passed(shop, result) == OK
    shown = status(shop, latest(shop))["payment_details"]["japan_payment_options"]
    assert shown == {"payment_division": "61", "installments": 3, "first_billing_month": 4}
    refused = buy(shop, payment_method__japan_payment_options={"payment_division": "99"})
    assert refused.status == 400, "said before anybody is sent away"


def test_a_payment_with_decimals_waits_too(shop: Shop) -> None:
    assert passed(shop, buy(shop, amount="10.25", currency="USD")) == OK
    assert status(shop, latest(shop))["payment_details"]["amount"] == 10.25


# ---- where the payer goes


@pytest.mark.parametrize("missing", ["success_url", "decline_url"])
def test_a_payer_who_could_not_come_back_is_not_sent_away(shop: Shop, missing: str) -> None:
    without: Any = {f"return_url__{missing}": None}
    refused = buy(shop, **without)
    assert (refused.status, refused.code) == (400, "VAL0002")
    assert missing in refused.message
    assert buy(shop, return_url=None).status == 400
    paid(buy(shop, card__number=FRICTIONLESS, **without))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//shop.example/", "shop.example", "https://a.example/ b"])
def test_addresses_that_are_no_pages_are_refused(shop: Shop, url: str) -> None:
    refused = buy(shop, return_url__success_url=url)
    assert (refused.status, refused.code) == (400, "VAL0004"), refused.document


def test_addresses_keep_their_query_and_their_letters(shop: Shop) -> None:
    more: Any = {"return_url__success_url": f"{OK}?ref=%E5%86%B3&名=花子"}
    assert passed(shop, buy(shop, **more)) == f"{OK}?ref=%E5%86%B3&%E5%90%8D=%E8%8A%B1%E5%AD%90"
    more = {"return_url__decline_url": None, "return_url__cancel_url": "https://shop.example/cancel"}
    page = opened(shop, sent_away(buy(shop, **more)))
    assert ends_at(answered(shop, page, do="cancel")) == "https://shop.example/cancel"


# ---- keys


def test_a_repeat_with_the_same_key_pays_once_whoever_answers_first(shop: Shop) -> None:
    before = made(shop.service)
    key = {"idempotency-key": "order-3ds"}
    first, second = sent_away(buy(shop, headers=key)), sent_away(buy(shop, headers=key))
    assert ends_at(answered(shop, opened(shop, second))) == OK
    assert ends_at(answered(shop, opened(shop, first))) == OK
    assert made(shop.service) == before + 1
    repeated = buy(shop, headers=key)
    assert (repeated.status, repeated.success, repeated.id) == (201, True, show(latest(shop).id))
    assert buy(shop, headers=key, amount="2000").status == 412
    forget(shop)
    third = {"idempotency-key": "order-3ds-3"}
    sent_away(buy(shop, headers=third))
    with later(shop.service, minutes=20):
        url = sent_away(buy(shop, headers=third))
    with later(shop.service, minutes=31):
        tend(shop)
        assert told(status(shop, latest(shop))) == UNPROVEN, "the first has lapsed"
        assert ends_at(answered(shop, opened(shop, url))) == OK, "and does not stand for the second"
    paid(buy(shop, headers=third))


# ---- an id before there is a transaction


def test_a_redirect_may_name_the_transaction(service: Service, other: Shop) -> None:
    shop = shop_of(service, "po_3ds_named", **{"paymentoptions.transaction_id_in_redirect": "true"})
    results = [buy(shop, "authorizationv2"), buy(shop), buy(shop, card__number=FRICTIONLESS)]
    first, second = (str(result.document["transaction_id"]) for result in results[:2])
    assert first != second
    assert list(results[0].document) == ["url", "statusCode", "success", "redirect_url", "transaction_id"]
    assert "transaction_id" not in results[2].document
    unknown = shop.client.status(show(1))
    assert (shop.client.status(first), unknown.status) == (unknown, 404), "there is none before its payer has answered"
    assert ends_at(answered(shop, opened(shop, results[0].redirect_url))) == OK
    found = shop.client.status(first)
    assert (found.status, found.id) == (200, show(latest(shop).id))
    assert shop.client.status(found.id) == found
    assert other.client.status(first) == unknown
    assert shop.client.status(second) == unknown
    paid(shop.follow("capture", first, amount="1000"))
    with later(service, minutes=31):
        tend(shop)
    assert told(dict(shop.client.status(second).document)) == UNPROVEN


# ---- merchants, and what is left behind


def test_two_merchants_wait_beside_one_another(shop: Shop, other: Shop) -> None:
    mine, theirs = sent_away(buy(shop)), sent_away(buy(other, amount="2000"))
    assert ends_at(answered(shop, opened(shop, mine))) == OK
    payment = latest(shop)
    assert payment.root.requested.minor == 1000
    foreign, unknown = (other.client.status(found) for found in (show(payment.id), show(1)))
    assert (foreign.status, foreign.document) == (unknown.status, unknown.document)
    assert opened(other, theirs).became == "challenge"
    assert ends_at(answered(other, opened(other, theirs), do="cancel")) == NG
    assert told(status(other, latest(other))) == UNPROVEN
    assert told(status(shop, payment)) == PAID


def test_nothing_of_a_waiting_payment_can_be_read(shop: Shop) -> None:
    number, code = "4024007198964305", "739"
    header = {"kessai-authentication": "challenge", "idempotency-key": number}
    url = sent_away(buy(shop, headers=header, card__number=number, card__cvc=code, merchant_txn_ref=number))
    looked = left_behind(shop.service)
    assert ends_at(answered(shop, opened(shop, url))) == OK
    looked |= {f"{name} later": data for name, data in left_behind(shop.service).items()}
    for place, data in looked.items():
        assert [name for name, form in forms(number) if form in data] == [], place
        assert token_of(url).encode() not in data or place.startswith("the log"), place


def test_a_link_is_nothing_that_can_be_guessed(shop: Shop) -> None:
    url = sent_away(buy(shop))
    head, body, signature = token_of(url).split(".")
    for forged in (f"{head}.{body}.", f"{head}.{body[:-4]}AAAA.{signature}", ""):
        answer = shop.service.http.get(url.replace(token_of(url), forged))
        assert answer.status_code == 404
    assert opened(shop, f"{url}&_c=400000&_a=S2Vzc2Fp").became == "challenge", "what others add is ignored"


def test_a_client_in_python(shop: Shop) -> None:
    card = Card(number=CHALLENGE, name="Hanako Yamada", expiry_month="12", expiry_year="39", cvc="100")
    urls = {"success_url": OK, "decline_url": NG}
    for pay in (shop.client.payment_v2, shop.client.authorization_v2):
        result = pay("1000", "JPY", HOME, card=card, return_url=urls, browser_info={"language": "ja"})
        assert passed(shop, result) == OK
        assert shop.client.status(show(latest(shop).id)).success
