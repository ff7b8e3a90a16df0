"""The challenge page over HTTP: what it asks, how it ends, what it lets a browser do, and who may show it."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from kessai.authentication.issuer import MOST_TRIES
from kessai.checkout.words import WORDS
from tests.acceptance.client import Service, changed
from tests.threeds.shop import CHALLENGE, RETURN, RIGHT, WRONG, Page, Shop, later, order


def opened(shop: Shop, document: Any = None, **headers: str) -> tuple[str, Page]:
    """A challenge's name, and its page."""
    found = shop.challenged(document)
    page = shop.step_up(found["accessToken"], **headers)
    assert page.answer.status_code == 200, page.text
    return found["authenticationTransactionId"], page


def test_the_page_says_what_is_paid_to_whom(shop: Shop) -> None:
    document = changed(
        order(CHALLENGE, "1234567", "JPY"), {"merchantInformation.merchantDescriptor.name": "青空商店 <b>"}
    )
    _, page = opened(shop, document)
    assert "青空商店 &lt;b&gt;" in page.text
    assert "¥1,234,567" in page.text
    assert "•••• 2503" in page.text
    assert CHALLENGE not in page.text
    _, page = opened(shop, order(CHALLENGE, "1234.50"))
    assert "USD 1,234.50" in page.text
    assert "kessai_sandbox" in page.text


LANGUAGES = [
    ("", "en"),
    ("ja", "ja"),
    ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
    ("en-US,en;q=0.9,ja;q=0.8", "en"),
    ("fr, ja;q=0.5, en;q=0.4", "ja"),
    ("de", "en"),
    ("ja;q=0, en;q=0.1", "en"),
    ("ja;q=x", "en"),
    ("," * 500, "en"),
]


@pytest.mark.parametrize(("accepted", "language"), LANGUAGES)
def test_the_language_is_the_browsers(shop: Shop, accepted: str, language: str) -> None:
    _, page = opened(shop, **{"accept-language": accepted})
    assert f'<html lang="{language}">' in page.text
    assert WORDS["submit"][language] in page.text


def test_another_language_is_chosen_and_stays(shop: Shop) -> None:
    _, page = opened(shop, **{"accept-language": "en"})
    japanese = Page(shop.http.post("/3ds/v2/challenge", data={**page.fields, "lang": "ja"}))
    assert WORDS["ask"]["ja"] in japanese.text
    assert japanese.fields["MD"] == "m-1"
    wrong = shop.answer(japanese, WRONG)
    assert WORDS["wrong"]["ja"].format(left=2) in wrong.text
    assert WORDS["done"]["ja"] in shop.answer(wrong).text


def test_a_wrong_code_may_be_typed_again_and_the_third_ends_it(shop: Shop) -> None:
    name, page = opened(shop)
    first = page
    for left in range(MOST_TRIES - 1, 0, -1):
        page = shop.answer(page, WRONG)
        assert page.became == "challenge"
        assert f"Tries left: {left}" in page.text
        assert page.goes == ""
    page = shop.answer(page, WRONG)
    assert (page.became, page.goes) == ("failed", RETURN)
    assert "token" not in page.fields
    assert shop.answer(first, RIGHT).became == "failed"
    assert shop.results(name).json["status"] == "AUTHENTICATION_FAILED"


def test_two_wrong_codes_and_a_right_one_pass(shop: Shop) -> None:
    name, page = opened(shop)
    page = shop.answer(shop.answer(page, WRONG), "")
    assert WORDS["empty"]["en"] in page.text, "nothing typed is no try"
    page = shop.answer(shop.answer(page, WRONG), " １２３４ ")
    assert page.became == "authenticated"
    assert shop.results(name).json["status"] == "AUTHENTICATION_SUCCESSFUL"


def test_a_payer_who_cancels_is_not_authenticated(shop: Shop) -> None:
    name, page = opened(shop)
    ended = shop.answer(page, do="cancel")
    assert (ended.became, ended.goes) == ("failed", RETURN)
    result = shop.results(name).json["consumerAuthenticationInformation"]
    assert (result["challengeCancelCode"], result["paresStatus"]) == ("01", "N")


def test_what_is_answered_stays_answered(shop: Shop) -> None:
    """Double submit, and the way back: the first answer counts, and leads to the same place."""
    name, page = opened(shop)
    first = shop.answer(page)
    second = shop.answer(page)
    assert (first.became, first.goes, first.fields) == (second.became, second.goes, second.fields)
    assert shop.answer(page, WRONG).became == "authenticated"
    assert shop.answer(page, do="cancel").became == "authenticated"
    again = shop.step_up(page.fields["token"])
    assert WORDS["over"]["en"] in again.text
    assert again.goes == RETURN
    assert "continue.js" not in again.text, "the way back does not bounce"
    assert shop.results(name).json["status"] == "AUTHENTICATION_SUCCESSFUL"
    _, page = opened(shop)
    shop.answer(page, do="cancel")
    assert shop.answer(page).became == "failed"


def test_of_two_answers_at_once_one_counts(shop: Shop) -> None:
    for turn in range(6):
        name, page = opened(shop)
        with ThreadPoolExecutor(4) as pool:
            answer = partial(shop.answer, page)
            ended = list(pool.map(answer, [RIGHT, "", RIGHT, ""], ["submit", "cancel"] * 2))
        assert len({page.became for page in ended}) == 1, turn
        status = shop.results(name).json["status"]
        assert (status == "AUTHENTICATION_SUCCESSFUL") == (ended[0].became == "authenticated")


def test_three_wrong_codes_at_once_are_three_tries(shop: Shop) -> None:
    _, page = opened(shop)
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda _: shop.answer(page, WRONG), range(8)))
    assert sorted(each.became for each in ended).count("challenge") == MOST_TRIES - 1
    assert shop.answer(page).became == "failed"


def test_half_an_hour_is_the_life_of_a_challenge(shop: Shop, service: Service) -> None:
    name, page = opened(shop)
    with later(service, minutes=29):
        assert shop.answer(page, WRONG).became == "challenge"
    with later(service, minutes=31):
        ended = shop.answer(page)
        assert WORDS["lapsed"]["en"] in ended.text
        assert ended.goes == RETURN
        again = shop.step_up(page.fields["token"])
        assert WORDS["lapsed"]["en"] in again.text
        result = shop.results(name).json["consumerAuthenticationInformation"]
        assert result["challengeCancelCode"] == "04"
    assert shop.answer(page).became == "failed", "it does not come back with an older clock"


def test_an_abandoned_challenge_is_ended_by_the_worker(shop: Shop, service: Service) -> None:
    name, _ = opened(shop)
    merchant = service.house.accounts.get(shop.till.merchant).merchant
    with later(service, minutes=31):
        service.run(service.house.authenticator.tend(merchant))
    assert shop.results(name).json["status"] == "AUTHENTICATION_FAILED"


def test_old_authentications_are_forgotten(shop: Shop, service: Service) -> None:
    old = Shop(service.merchant("threeds_old"))
    name = old.passed()
    merchant = service.house.accounts.get("threeds_old").merchant
    with later(service, days=32):
        assert old.results(name).status == 400
        service.run(service.house.authenticator.tend(merchant))
    assert old.results(name).status == 400


def test_the_policy_of_the_page_is_strict(shop: Shop) -> None:
    _, page = opened(shop, origin="https://www.shop.example")
    assert page.policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "form-action": "'self' https://shop.example",
        "base-uri": "'none'",
        "frame-ancestors": "'self' https://shop.example https://www.shop.example",
    }
    assert "<script" not in page.text
    assert re.findall(r'(?:src|href|action)="([^"]*)"', page.text) == [
        "/3ds/v2/page.css",
        "/3ds/v2/challenge",
        "/3ds/v2/challenge",
    ], "nothing of anybody else is loaded"
    for name, value in (
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ):
        assert page.answer.headers[name] == value
    ended = shop.answer(page)
    assert ended.policy["form-action"] == "https://shop.example"
    assert ended.policy["default-src"] == "'none'"
    assert shop.answer(shop.step_up(page.fields["token"])).policy["script-src"] == "'self'"


@pytest.mark.parametrize("origin", ["null", "javascript:x", "https://a.example; script-src *", "*", "x" * 3_000, ""])
def test_an_origin_that_is_none_shows_nothing(shop: Shop, origin: str) -> None:
    _, page = opened(shop, origin=origin)
    assert page.policy["frame-ancestors"] == "'self' https://shop.example"
    assert page.policy["default-src"] == "'none'"


HARMFUL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"


def test_what_comes_from_outside_is_inert(shop: Shop) -> None:
    """A-80."""
    document = order(merchantInformation__merchantName="{{7*7}}$sum", consumerAuthenticationInformation__x=HARMFUL)
    found = shop.challenged(document)
    page = shop.step_up(found["accessToken"], md=HARMFUL)
    assert "<script>" not in page.text
    assert "{{7*7}}$sum" in page.text
    assert page.fields["MD"] == HARMFUL
    ended = shop.answer(page, HARMFUL)
    assert "<script>" not in ended.text
    ended = shop.answer(page)
    assert ended.fields["MD"] == HARMFUL
    for md in ("m" * 1_025, "a\nb", "a\x00b"):
        assert shop.step_up(found["accessToken"], md=md).goes == RETURN


def test_a_payer_without_a_place_to_go_can_close_the_page(shop: Shop) -> None:
    document = order()
    document["consumerAuthenticationInformation"] = {}
    _, page = opened(shop, document)
    assert page.policy["form-action"] == "'self'"
    ended = shop.answer(page)
    assert WORDS["close"]["en"] in ended.text
    assert ended.goes == ""


def test_what_is_no_form_is_refused(shop: Shop) -> None:
    for path in ("/3ds/v2/challenge", "/3ds/v2/step-up", "/3ds/v2/collect"):
        assert shop.http.post(path, json={"token": "x"}).status_code == 415
        assert shop.http.get(path).status_code == 405
        fields = {f"f{number}": "x" for number in range(40)}
        assert shop.http.post(path, data=fields).status_code == 404
    assert shop.http.get("/3ds/v2/../../etc/passwd").status_code == 404
    assert shop.http.get("/3ds/v2/page.css").headers["content-type"].startswith("text/css")
    assert shop.http.get("/3ds/v2/frame.html").status_code == 404
