"""Challenges in a real browser: in a frame of a shop's page and as a page of its own, with and without scripts."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest

from kessai.checkout.words import WORDS
from tests.flex.browser import PAINTED, PATIENCE_S, Browser, Page
from tests.threeds.shop import MC_CHALLENGE, Shop, asking, later, order, taking, told
from tests.threeds.test_waiting import Wire, wire

__all__ = ["wire"]

FRAME = """<!doctype html><title>Shop</title>
<iframe name="step-up" width="390" height="600"></iframe>
<form method="post" action="URL" target="TARGET" id="go">
<input name="JWT" value="TOKEN"><input name="MD" value="basket 7"></form>
<script>
  window.heard = [];
  addEventListener("message", (event) => heard.push({ origin: event.origin, data: event.data }));
  document.getElementById("go").submit();
</script>"""

ASKS = "Boolean(document.getElementById('code')) && document.readyState === 'complete'"
"""Whether the issuer's page is there. A page that is left before it has loaded is not gone back to."""


@dataclass
class Site:
    """A shop's web site: pages by their paths, and the forms that browsers brought back."""

    pages: dict[str, str] = field(default_factory=dict)
    brought: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(site.pages.get(self.path.partition("?")[0], f"<!doctype html><p id=here>{self.path}"))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                site.brought.append((self.path, dict(parse_qsl(body, keep_blank_values=True))))
                self.reply("<!doctype html><p id=back>Thank you")

            def reply(self, page: str) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(page.encode())))
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.server.server_port}"

    def returning(self, number: str = MC_CHALLENGE) -> dict[str, object]:
        return order(number, consumerAuthenticationInformation__returnUrl=f"{self.origin}/back?order=7")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def stepped_up(browser: Browser, shop: Shop, site: Site, *, framed: bool) -> tuple[str, Page, Page]:
    """A payment's challenge in the browser: its name, the shop's page, and the issuer's."""
    found = told(shop.till.pay(asking(site.returning())))
    target = "step-up" if framed else "_top"
    page = FRAME.replace("URL", found["stepUpUrl"]).replace("TOKEN", found["accessToken"]).replace("TARGET", target)
    site.pages["/"] = page
    browser.events.clear()
    around = browser.open(site.origin + "/")
    inside = frame_in(browser, "/3ds/v2/step-up") if framed else around
    inside.until(ASKS)
    return found["authenticationTransactionId"], around, inside


def frame_in(browser: Browser, path: str) -> Page:
    """The frame of another site that shows a path."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline, "no such frame"
        for target in browser.call("Target.getTargets", filter=[{"type": "iframe"}])["targetInfos"]:
            if path in target["url"]:
                session = browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
                return Page(browser, session["sessionId"])


def type_code(page: Page, code: str) -> None:
    page.run("document.getElementById('code').focus()")
    page.run(f"document.getElementById('code').value = {json.dumps(code)}")


def press(page: Page, name: str = "submit") -> None:
    page.leave(f"document.querySelector('button[value={name}]').click()")


def test_a_challenge_in_a_frame_pays(browser: Browser, shop: Shop, site: Site) -> None:
    name, around, inside = stepped_up(browser, shop, site, framed=True)
    type_code(inside, "1234")
    press(inside)
    around.until("1", lambda _: bool(site.brought))
    assert site.brought == [("/back?order=7", {"TransactionId": name, "Response": "", "MD": "basket 7"})]
    assert shop.till.pay(taking(site.returning(), name)).json["status"] == "AUTHORIZED"
    assert faults(browser) == []


def test_a_challenge_that_is_failed(browser: Browser, shop: Shop, site: Site) -> None:
    name, _, page = stepped_up(browser, shop, site, framed=False)
    for left in (2, 1):
        type_code(page, "9999")
        press(page)
        page.until(f"(document.getElementById('alert') || {{}}).textContent?.includes('{left}')")
        page.until("document.activeElement.id === 'code'")  # the cursor is where the code goes
    type_code(page, "9999")
    press(page)
    page.until("Boolean(document.getElementById('back'))")
    assert site.brought[0][1]["TransactionId"] == name
    assert shop.till.pay(taking(site.returning(), name)).said[1:] == ("DECLINED", "CONSUMER_AUTHENTICATION_FAILED")


def test_a_challenge_is_cancelled_without_scripts_and_without_a_mouse(browser: Browser, shop: Shop, site: Site) -> None:
    name, _, page = stepped_up(browser, shop, site, framed=False)
    browser.call("Emulation.setScriptExecutionDisabled", page.session, value=True)
    page.until(f"document.activeElement.id === 'code' && {PAINTED}")
    for _ in range(2):  # from the field over the first button to the second
        key(page, "Tab", 9)
    key(page, "Enter", 13, "\r")
    page.until("Boolean(document.getElementById('continue')) && document.readyState === 'complete'")
    assert site.brought == [], "nothing goes on by itself"
    page.click("#continue button")
    page.until("Boolean(document.getElementById('back'))")
    assert site.brought[0][1] == {"TransactionId": name, "Response": "", "MD": "basket 7"}
    browser.call("Emulation.setScriptExecutionDisabled", page.session, value=False)


def key(page: Page, name: str, code: int, text: str = "") -> None:
    more = {"text": text} if text else {}
    for kind in ("keyDown", "keyUp"):
        page.browser.call(
            "Input.dispatchKeyEvent",
            page.session,
            type=kind,
            key=name,
            code=name,
            windowsVirtualKeyCode=code,
            **(more if kind == "keyDown" else {}),
        )


def test_an_abandoned_challenge_leads_back_to_the_shop(browser: Browser, shop: Shop, site: Site) -> None:
    name, _, page = stepped_up(browser, shop, site, framed=False)
    with later(shop.till.service, minutes=31):
        type_code(page, "1234")
        press(page)
        page.until("Boolean(document.getElementById('continue')) && document.readyState === 'complete'")
        assert WORDS["lapsed"]["en"] in page.run("document.querySelector('[role=status]').textContent")
        page.click("#continue button")
        page.until("Boolean(document.getElementById('back'))")
        assert site.brought[0][1]["TransactionId"] == name
        declined = shop.till.pay(taking(site.returning(), name))
    assert declined.said[1:] == ("DECLINED", "CONSUMER_AUTHENTICATION_FAILED")


def test_two_presses_are_one_answer(browser: Browser, shop: Shop, site: Site) -> None:
    name, _, page = stepped_up(browser, shop, site, framed=False)
    type_code(page, "1234")
    page.leave("const button = document.querySelector('button[value=submit]'); button.click(); button.click()")
    page.until("Boolean(document.getElementById('back'))")
    assert {form["TransactionId"] for _, form in site.brought} == {name}
    assert shop.till.pay(taking(site.returning(), name)).json["status"] == "AUTHORIZED"


def test_the_way_back_changes_nothing(browser: Browser, shop: Shop, wire: Wire, site: Site) -> None:
    wire_urls = {"return_url": f"{site.origin}/paid", "decline_url": f"{site.origin}/declined"}
    begun = wire.begin(MC_CHALLENGE, **wire_urls)
    url = f"http://127.0.0.1:{shop.till.service.port}/integration/3ds?_token={begun.token}"
    page = browser.open(url)
    page.until(ASKS)
    type_code(page, "1234")
    press(page)
    page.until("location.href", lambda here: here == f"{site.origin}/paid")
    page.leave("history.back()")
    page.until("location.pathname === '/integration/3ds' && document.readyState === 'complete'")
    if page.run("Boolean(document.getElementById('code'))"):  # the browser had kept the page as it was
        type_code(page, "9999")
        press(page)
        page.until("location.href", lambda here: here == f"{site.origin}/paid")
        page = browser.open(url)
    page.until("Boolean(document.querySelector('a.main')) && document.readyState === 'complete'")
    assert page.run("document.getElementById('code')") is None
    assert page.run("document.querySelector('a.main').href") == f"{site.origin}/paid"
    page.click("a.main")
    page.until("location.href", lambda here: here == f"{site.origin}/paid")
    assert len(wire.told) == 1


def test_a_payment_that_waits_is_declined_at_its_own_address(
    browser: Browser, shop: Shop, wire: Wire, site: Site
) -> None:
    begun = wire.begin(MC_CHALLENGE, return_url=f"{site.origin}/paid", decline_url=f"{site.origin}/declined")
    page = browser.open(f"http://127.0.0.1:{shop.till.service.port}/integration/3ds?_token={begun.token}")
    page.until(ASKS)
    press(page, "cancel")
    page.until("location.href", lambda here: here == f"{site.origin}/declined")
    assert page.run("document.referrer") == "", "the shop does not learn the token"


def test_a_page_of_its_own_is_shown_in_no_frame(browser: Browser, shop: Shop, wire: Wire, site: Site) -> None:
    """A-81."""
    begun = wire.begin(MC_CHALLENGE)
    url = f"http://127.0.0.1:{shop.till.service.port}/integration/3ds?_token={begun.token}"
    site.pages["/"] = f'<!doctype html><iframe src="{url}"></iframe>'
    browser.events.clear()
    page = browser.open(site.origin + "/")

    def blocked() -> bool:
        page.run("1")
        return "frame-ancestors" in json.dumps(browser.events)

    page.until("1", lambda _: blocked())


def test_the_first_visit_tells_the_page_around(browser: Browser, shop: Shop, site: Site) -> None:
    found = told(shop.till.post("/risk/v1/authentication-setups", order()))
    page = FRAME.replace("URL", found["deviceDataCollectionUrl"]).replace("TOKEN", found["accessToken"])
    site.pages["/"] = page.replace("TARGET", "step-up")
    around = browser.open(site.origin + "/")
    around.until("window.heard && heard.length === 1")
    told_around = json.loads(around.run("heard[0].data"))
    assert told_around == {
        "MessageType": "profile.completed",
        "Session Id": found["referenceId"],
        "Status": True,
    }


SIZES = [(1280, 900), (390, 844), (250, 400)]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_size_shows_all_of_it_and_can_be_read(
    browser: Browser, shop: Shop, site: Site, language: str, scheme: str
) -> None:
    _, _, page = stepped_up(browser, shop, site, framed=False)
    if language == "ja":
        page.leave("document.querySelector('.switch button').click()")
        page.until(f"document.documentElement?.lang === 'ja' && {ASKS}")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", page.session, features=features)
    for width, height in SIZES:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.call("Emulation.setDeviceMetricsOverride", page.session, **metrics)
        page.until("innerWidth", lambda shown, width=width: shown == width)  # type: ignore[misc]
        assert page.run("document.documentElement.scrollWidth") <= width, "nothing is beside the page"
        assert page.run(CONTRAST) >= 4.5, (width, scheme)


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
  const shown = [...document.querySelectorAll("p, dt, dd, label, button, h1, .test, input[type=text]")];
  return Math.min(...shown.map((each) => {
    const [a, b] = [light(getComputedStyle(each).color), light(ground(each))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
})()"""


def faults(browser: Browser) -> list[object]:
    """What the browser complained of, but for icons."""
    said = [each for each in browser.events if each["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    return [each for each in said if "favicon" not in json.dumps(each)]
