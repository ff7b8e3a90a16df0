"""The payer of a PaymentOptions payment in a real browser: to the challenge, back to the shop, and back once more."""

from collections.abc import Iterator

import pytest

from tests.acceptance.client import Service
from tests.acceptance.options import Json, shop_of
from tests.acceptance.options import Shop as Merchant
from tests.flex.browser import PAINTED, Browser, Page
from tests.threeds.shop import MC_CHALLENGE
from tests.threeds.test_browser import ASKS, Site, key, press, type_code
from tests.threeds.test_paymentoptions import PAID, UNPROVEN, buy, latest, made, status, told


@pytest.fixture
def merchant(service: Service) -> Merchant:
    return shop_of(service, "po_browser")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def sent_to_challenge(browser: Browser, merchant: Merchant, site: Site, headers: dict[str, str] | None = None) -> Page:
    """The payer's browser, sent away by the shop's own page."""
    urls = {"success_url": f"{site.origin}/paid?order=7", "decline_url": f"{site.origin}/declined?order=7"}
    result = buy(merchant, headers=headers, card__number=MC_CHALLENGE, return_url=urls)
    site.pages["/"] = f'<!doctype html><a id="pay" href="{result.redirect_url.replace("&", "&amp;")}">Pay</a>'
    page = browser.open(site.origin + "/")
    page.until("Boolean(document.getElementById('pay')) && document.readyState === 'complete'")
    page.leave("document.getElementById('pay').click()")
    page.until(ASKS)
    return page


def arrives(page: Page, url: str) -> None:
    page.until("location.href", lambda here: here == url)


def outcome(merchant: Merchant) -> tuple[Json, int]:
    payment = latest(merchant)
    return status(merchant, payment), payment.captured


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_payer_answers_and_is_back_in_the_shop(
    browser: Browser, merchant: Merchant, site: Site, has_scripts: bool
) -> None:
    before = made(merchant.service)
    page = sent_to_challenge(browser, merchant, site)
    assert "アイベック株式会社" in page.run("document.body.innerText")
    assert "¥1,000" in page.run("document.body.innerText")
    browser.call("Emulation.setScriptExecutionDisabled", page.session, value=not has_scripts)
    page.until(f"document.activeElement.id === 'code' && {PAINTED}")
    type_code(page, "1234")
    key(page, "Enter", 13, "\r")
    arrives(page, f"{site.origin}/paid?order=7")
    assert made(merchant.service) == before + 1
    found, captured = outcome(merchant)
    assert (told(found), captured) == (PAID, 1000)


def test_a_payer_types_wrong_codes_and_is_declined(browser: Browser, merchant: Merchant, site: Site) -> None:
    page = sent_to_challenge(browser, merchant, site)
    for left in ("2", "1"):
        type_code(page, "9999")
        press(page)
        page.until(f"(document.getElementById('alert') || {{}}).textContent?.includes('{left}')")
        page.until("document.readyState === 'complete'")
    type_code(page, "9999")
    press(page)
    arrives(page, f"{site.origin}/declined?order=7")
    found, captured = outcome(merchant)
    assert (told(found), captured) == (UNPROVEN, 0)


def test_a_payer_cancels_in_japanese(browser: Browser, merchant: Merchant, site: Site) -> None:
    page = sent_to_challenge(browser, merchant, site)
    if page.run("document.documentElement.lang") == "en":
        page.leave("document.querySelector('.switch button').click()")
    page.until(f"document.documentElement?.lang === 'ja' && {ASKS}")
    press(page, "cancel")
    arrives(page, f"{site.origin}/declined?order=7")
    assert page.run("document.referrer") == "", "the shop does not learn the token"
    assert told(outcome(merchant)[0]) == UNPROVEN


def test_two_presses_and_the_way_back_pay_once(browser: Browser, merchant: Merchant, site: Site) -> None:
    before = made(merchant.service)
    page = sent_to_challenge(browser, merchant, site)
    type_code(page, "1234")
    page.leave("const button = document.querySelector('button[value=submit]'); button.click(); button.click()")
    arrives(page, f"{site.origin}/paid?order=7")
    page.leave("history.back()")
    page.until("location.pathname === '/integration/3ds' && document.readyState === 'complete'")
    if page.run("Boolean(document.getElementById('code'))"):  # the browser had kept the page as it was
        type_code(page, "9999")
        press(page)
        arrives(page, f"{site.origin}/paid?order=7")
    assert made(merchant.service) == before + 1
    found, captured = outcome(merchant)
    assert (told(found), captured) == (PAID, 1000)


def test_a_decline_of_the_issuer_leads_to_the_decline_url(browser: Browser, merchant: Merchant, site: Site) -> None:
    page = sent_to_challenge(browser, merchant, site, headers={"kessai-scenario": "insufficient-funds"})
    type_code(page, "1234")
    press(page)
    arrives(page, f"{site.origin}/declined?order=7")
    assert told(outcome(merchant)[0]) == (False, "CAPTURE", "ERR0051", 51)
