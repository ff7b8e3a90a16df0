"""The hosted page in a real browser: whole flows, with scripts and without, and how it looks."""

import json
from collections.abc import Iterator

import pytest

from kessai.hosted.words import WORDS
from tests.acceptance.client import Service
from tests.acceptance.options import Shop, shop_of
from tests.flex.browser import PAINTED, Browser, Page
from tests.hosted.payer import made, payments
from tests.threeds.test_browser import ASKS, Site, key

READY = f"Boolean(document.getElementById('number')) && document.readyState === 'complete' && {PAINTED}"
DECLINED = "4111111111111111"
"""A card that the shop's own rules take never."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "hpp_browser", **{"risk.cards": '["411111******1111"]'})


def opened(browser: Browser, shop: Shop, site: Site, query: str = "?lang=ja", **changes: object) -> Page:
    urls = {f"{name}_url": f"{site.origin}/{name}" for name in ("success", "decline", "cancel")}
    url = made(shop, return_url=urls, **changes).document["url"]
    browser.events.clear()
    return browser.open(url + query)


def typed(page: Page, number: str = "5200000000001005", expiry: str = "1239", cvc: str = "100") -> None:
    """Type a card with the keyboard, from field to field."""
    page.until(READY)
    page.run("document.getElementById('number').focus()")
    for text in (number, expiry, cvc):
        page.type(text)
        key(page, "Tab", 9)
    page.run("document.getElementById('name').value = 'HANAKO YAMADA'")


def choose(page: Page, option: str) -> None:
    page.click_until(f"label[for={option}]", f"document.getElementById('{option}').checked")


def press(page: Page, does: str = "pay") -> None:
    page.leave(f"document.querySelector('button[value={does}]').click()")


def arrives(page: Page, place: str) -> None:
    page.until("location.href", lambda here: here == place)


def test_paid_by_installments(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    page.until(READY)
    shown = "[...document.querySelectorAll('.schedule')].filter((each) => each.offsetHeight > 0)"
    assert page.run(f"{shown}.length") == 1, "the schedule of what is chosen, and no other"
    choose(page, "o-61-6")
    page.until(f"{shown}[0].querySelectorAll('tbody tr').length", lambda rows: rows == 6)
    assert page.run(f"{shown}[0].textContent").count("¥8,000") == 6
    typed(page)
    press(page)
    arrives(page, f"{site.origin}/success")
    assert page.run("document.referrer") == "", "the shop does not learn the link"
    assert payments(shop)[-1]["amount"] == "48000"
    assert faults(browser) == []


def test_the_brand_is_recognised_while_typing(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    page.until(READY)
    page.run("document.getElementById('number').focus()")
    brand, number = "document.getElementById('brand').textContent", "document.getElementById('number').value"
    for digits, name, shows in (
        ("4", "Visa", "4"),
        ("52000000", "Mastercard", "5200 0000"),
        ("3530111333300000", "JCB", "3530 1113 3330 0000"),
        ("378282246310005", "American Express", "3782 822463 10005"),
        ("36", "Diners Club", "36"),
        ("9", "", "9"),
    ):
        page.run("document.getElementById('number').value = ''")
        page.type(digits)
        assert (page.run(brand), page.run(number)) == (name, shows)
    assert page.run("document.getElementById('brand').getAttribute('aria-live')") == "polite"


def test_without_scripts_and_without_a_mouse(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    page.until(READY)
    browser.call("Emulation.setScriptExecutionDisabled", page.session, value=True)
    page.run("document.getElementById('o-10').focus()")
    key(page, "ArrowRight", 39)
    key(page, "ArrowRight", 39)
    page.until("document.querySelector('[name=option]:checked').value === '61-3'")
    page.until("document.querySelector(':checked ~ .schedule').offsetHeight > 0")
    typed(page)
    page.run("document.getElementById('name').focus()")
    key(page, "Enter", 13, "\r")
    arrives(page, f"{site.origin}/success")
    browser.call("Emulation.setScriptExecutionDisabled", page.session, value=False)


def test_the_issuer_asks_first(browser: Browser, shop: Shop, site: Site) -> None:
    """With 3-D Secure: away to the issuer's page, back to this one, and on to the shop."""
    page, before = opened(browser, shop, site), len(payments(shop))
    page.until(READY)
    choose(page, "o-61-3")
    typed(page, "4000000000002503")
    press(page)
    page.until(f"location.pathname === '/integration/3ds' && {ASKS}")
    page.run("document.getElementById('code').value = '1234'")
    page.leave("document.querySelector('button[value=submit]').click()")
    arrives(page, f"{site.origin}/success")
    assert len(payments(shop)) == before + 1
    assert faults(browser) == []


def test_a_double_submit_pays_once(browser: Browser, shop: Shop, site: Site) -> None:
    page, before = opened(browser, shop, site), len(payments(shop))
    typed(page)
    page.leave(
        "const form = document.getElementById('pay'); const again = document.createElement('input');"
        "again.type = 'hidden'; again.name = 'do'; again.value = 'pay'; form.append(again);"
        "form.submit(); form.submit()"
    )
    arrives(page, f"{site.origin}/success")
    assert len(payments(shop)) == before + 1


def test_the_way_back_pays_nothing_more(browser: Browser, shop: Shop, site: Site) -> None:
    page, before = opened(browser, shop, site), len(payments(shop))
    typed(page)
    press(page)
    arrives(page, f"{site.origin}/success")
    page.leave("history.back()")
    page.until("location.pathname.startsWith('/HostedPaymentPage') && document.readyState === 'complete'")
    if page.run("Boolean(document.getElementById('number'))"):  # the browser had kept the page as it was
        typed(page)
        press(page)
        arrives(page, f"{site.origin}/success")
    else:
        assert page.run("document.querySelector('[role=status]').textContent") == WORDS["paid"]["ja"]
        assert page.run("document.querySelector('a.main').href") == f"{site.origin}/success"
    assert len(payments(shop)) == before + 1


def test_a_declined_card_and_then_another(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    typed(page, DECLINED)
    press(page)
    page.until("Boolean(document.getElementById('alert')) && document.readyState === 'complete'")
    assert page.run("document.getElementById('alert').textContent") == WORDS["declined"]["ja"].format(left=4)
    assert page.run("document.getElementById('number').value") == ""
    typed(page)
    press(page)
    arrives(page, f"{site.origin}/success")


def test_cancelled(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    page.until(READY)
    press(page, "cancel")
    arrives(page, f"{site.origin}/cancel")


def test_the_amount_first(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site, "", amount=None)
    page.until("document.activeElement?.id === 'amount'")
    page.type("24000")
    key(page, "Enter", 13, "\r")
    page.until(READY)
    assert "¥24,000" in page.run("document.querySelector('.order').textContent")
    choose(page, "o-61-3")
    assert page.run("document.querySelector(':checked ~ .schedule').textContent").count("¥8,000") == 3
    typed(page)
    press(page)
    arrives(page, f"{site.origin}/success")
    assert payments(shop)[-1]["amount"] == "24000"


def test_in_no_frame(browser: Browser, shop: Shop, site: Site) -> None:
    """A-81."""
    url = made(shop).document["url"]
    site.pages["/"] = f'<!doctype html><iframe src="{url}"></iframe>'
    browser.events.clear()
    page = browser.open(site.origin + "/")

    def is_blocked() -> bool:
        page.run("1")
        return "frame-ancestors" in json.dumps(browser.events)

    page.until("1", lambda _: is_blocked())


SIZES = [(1280, 900), (390, 844), (320, 568)]
SEEN = "h1, p, dt, dd, label, legend, button, th, td, caption, a, .test, li, output, input[type=text]"
TOO_SMALL = """[...document.querySelectorAll("button, a.main, .choice label, .field input, .switch")]
  .filter((each) => each.getBoundingClientRect().height < 40).map((each) => each.outerHTML.slice(0, 80))"""
UNNAMED = """[...document.querySelectorAll("input:not([type=hidden]), button")]
  .filter((each) => !(each.labels?.length || each.textContent.trim())).map((each) => each.outerHTML)"""


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_size_shows_all_of_it_and_can_be_read(
    browser: Browser, shop: Shop, site: Site, language: str, scheme: str
) -> None:
    page = opened(browser, shop, site, f"?lang={language}", payment_method={"store_payment_method": True})
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", page.session, features=features)
    typed(page, "5200", "1", "1")
    for step in ("first", "wrong"):
        for width, height in SIZES:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.call("Emulation.setDeviceMetricsOverride", page.session, **metrics)
            page.until("innerWidth", lambda shown, width=width: shown == width)  # type: ignore[misc]
            assert page.run("document.documentElement.scrollWidth") <= width, (step, width, "beside the page")
            assert page.run(CONTRAST) >= 4.5, (step, width, scheme)
            assert page.run(TOO_SMALL) == []
        assert page.run(UNNAMED) == []
        assert page.run("document.documentElement.lang") == language
        if step == "first":
            press(page)
            page.until("Boolean(document.getElementById('alert')) && document.readyState === 'complete'")
            assert page.run("document.querySelector('[aria-invalid=true]') !== null")


CONTRAST = """(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number)
      .map((part) => part / 255).map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const shown = [...document.querySelectorAll("SEEN")].filter((each) => each.offsetHeight > 0);
  return Math.min(...shown.map((each) => {
    const [a, b] = [light(getComputedStyle(each).color), light(ground(each))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
})()""".replace("SEEN", SEEN)


def faults(browser: Browser) -> list[object]:
    """What the browser complained of, but for icons."""
    said = [each for each in browser.events if each["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    return [each for each in said if "favicon" not in json.dumps(each)]
