"""A card typed into a real browser: from the key that is pressed to the token, and what nobody else gets to see."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.acceptance.client import Client
from tests.acceptance.test_secrets import forms
from tests.flex.browser import Browser, Page
from tests.flex.shop import CODE, NUMBER, Shop, part

PAGE = """<!doctype html>
<style>.field { width: 300px; height: 40px; border: 1px solid }</style>
<form><div id="number" class="field"></div><div id="code" class="field"></div></form>
<script src="LIBRARY" integrity="INTEGRITY" crossorigin="anonymous"></script>
<script>
  window.heard = [];
  window.events = [];
  addEventListener("message", (event) => heard.push({ origin: event.origin, data: event.data }));
  const form = new Flex(CONTEXT).microform("card", { styles: { input: { "font-size": "20px" } } });
  for (const [kind, place] of [["number", "#number"], ["securityCode", "#code"]]) {
    const field = form.createField(kind, { placeholder: kind });
    for (const type of ["load", "focus", "blur", "change", "inputSubmitRequest"]) {
      field.on(type, (data) => events.push({ kind, type, data }));
    }
    field.load(place);
  }
  window.pay = (options) => new Promise((resolve) => {
    form.createToken(options || { expirationMonth: "12", expirationYear: "2031" }, (error, token) => {
      if (!error) return resolve(token);
      const places = error.details.map((each) => each.location);
      resolve({ name: error.name, reason: error.reason, places });
    });
  });
</script>"""

HOSTILE = """<!doctype html><script>
  window.result = {};
  const field = parent.frames[0];
  try { result.read = field.kessaiField.read(); } catch (error) { result.read = error.name; }
  try { result.page = field.document.body.innerHTML; } catch (error) { result.page = error.name; }
  addEventListener("message", (event) => parent.postMessage({ overheard: event.data }, "*"));
  const order = { kessai: 1, instance: INSTANCE, kind: "number", type: "createToken", id: 1, data: {} };
  field.postMessage(order, "*");
  parent.postMessage({ ...order, type: "token", data: { id: 1, token: "forged" } }, "*");
  parent.postMessage({ hostile: result }, "*");
</script>"""


class Site:
    """A merchant's web site: paths to pages. Its two names are two origins."""

    def __init__(self) -> None:
        pages: dict[str, str] = {}
        self.pages = pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0], "<!doctype html>").encode()
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://localhost:{self.server.server_port}"
        self.other_origin = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def shop(till: Client) -> Shop:
    return Shop(till)


def check_out(shop: Shop, site: Site, **more: object) -> str:
    """Put a check-out page on the site: its capture context."""
    context = shop.context(**{"targetOrigins": [site.origin], **more})
    data = part(context)["ctx"][0]["data"]
    page = PAGE.replace("LIBRARY", data["clientLibrary"]).replace("INTEGRITY", data["clientLibraryIntegrity"])
    site.pages["/"] = page.replace("CONTEXT", json.dumps(context))
    return context


def opened(browser: Browser, shop: Shop, site: Site, **more: object) -> Page:
    """A check-out page whose fields are there."""
    check_out(shop, site, **more)
    browser.events.clear()
    page = browser.open(site.origin + "/")
    page.until("window.events && events.filter((each) => each.type === 'load').length === 2")
    return page


def fill(page: Page, number: str = NUMBER, code: str = CODE) -> None:
    for kind, place, text in (("number", "#number", number), ("securityCode", "#code", code)):
        page.click_until(place, f"events.some((each) => each.kind === '{kind}' && each.type === 'focus')")
        page.type(text)
        changes = f"events.filter((each) => each.kind === '{kind}' && each.type === 'change').length"
        page.until(f"{changes} >= {len(text)}")


def test_a_card_is_typed_and_becomes_a_token_and_nobody_else_sees_it(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    fill(page)
    last = page.run("events.filter((each) => each.kind === 'number' && each.type === 'change').pop().data")
    assert (last["valid"], last["empty"], last["card"][0]["name"]) == (True, False, "visa")
    assert page.run("document.querySelector('#number').className") == "field flex-microform flex-microform-valid"
    token = page.run("pay()")
    shown = part(token)["content"]["paymentInformation"]["card"]
    assert shown["number"]["maskedValue"] == "XXXXXXXXXXXX" + NUMBER[-4:]
    assert shown["expirationYear"] == {"value": "2031"}
    assert "securityCode" in shown
    made = shop.tokenize(token)
    assert made.status == 200, made.body
    number = next(each["id"] for each in made.json["responses"] if each["resource"] == "instrumentIdentifier")
    stored = shop.till.call("GET", f"/tms/v1/instrumentidentifiers/{number}").json
    assert stored["card"]["number"] == f"{NUMBER[:6]}XXXXXX{NUMBER[-4:]}"
    seen = page.run("JSON.stringify([heard, events]) + document.documentElement.outerHTML")
    went = json.dumps(browser.events)
    left = "\n".join(file.read_bytes().decode("latin-1") for file in shop.till.service.house.folder.rglob("kessai.db*"))
    for place in (seen, went, shop.till.service.logs.getvalue(), left):
        assert [name for name, form in forms(NUMBER) if form.decode("latin-1") in place] == []
    assert CODE not in page.run("JSON.stringify(events) + document.documentElement.outerHTML")
    assert {each["origin"] for each in page.run("heard")} == {f"http://127.0.0.1:{shop.till.service.port}"}
    faults = [each for each in browser.events if each["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert [each for each in faults if "favicon" not in json.dumps(each)] == []


def test_the_page_around_cannot_look_into_a_field(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    fill(page)
    for inside in ("document", "kessaiField", "location.href"):
        script = f"(() => {{ try {{ return String(frames[0].{inside}); }} catch (error) {{ return error.name; }} }})()"
        assert page.run(script) == "SecurityError"


def test_what_is_wrong_is_told_by_its_field(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    fields = "CREATE_TOKEN_VALIDATION_FIELDS"
    assert page.run("pay()") == {"name": "MicroformError", "reason": fields, "places": ["number", "securityCode"]}
    fill(page, code="12")
    assert page.run("pay()")["places"] == ["securityCode"]
    told = page.run("pay({ expirationMonth: '13', expirationYear: '31' })")
    assert (told["reason"], told["places"]) == (
        "CREATE_TOKEN_VALIDATION_PARAMS",
        ["expirationMonth", "expirationYear"],
    )
    page.type("3")
    page.until("events.filter((each) => each.kind === 'securityCode' && each.type === 'change').length >= 3")
    told = page.run("pay({ expirationMonth: '01', expirationYear: '2020' })")
    assert told["reason"] == "CREATE_TOKEN_VALIDATION_SERVERSIDE"
    assert told["places"] == ["paymentInformation.card.expirationYear"]
    assert isinstance(page.run("pay()"), str)


def test_a_brand_that_is_not_taken_is_not_valid(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site, allowedCardNetworks=["JCB"])
    fill(page)
    last = page.run("events.filter((each) => each.kind === 'number' && each.type === 'change').pop().data")
    assert (last["valid"], last["couldBeValid"], last["card"]) == (False, False, [])
    assert page.run("pay()")["places"] == ["number"]


def test_another_origin_cannot_show_the_fields(browser: Browser, shop: Shop, site: Site) -> None:
    check_out(shop, site)
    browser.events.clear()
    page = browser.open(site.other_origin + "/")
    page.until("window.events && frames.length === 2")

    def blocked() -> bool:
        page.run("1")
        return "frame-ancestors" in json.dumps(browser.events)

    page.until("1", lambda _: blocked())
    assert page.run("events.filter((each) => each.type === 'load').length") == 0


def test_messages_of_a_strangers_frame_are_not_listened_to(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    fill(page)
    site.pages["/hostile"] = HOSTILE.replace("INSTANCE", page.run("JSON.stringify(form.instance)"))
    before = page.run("heard.length")
    page.run(
        f"""(() => {{ const frame = document.createElement("iframe");
        frame.src = {json.dumps(site.other_origin + "/hostile")}; document.body.append(frame); }})()"""
    )
    page.until("heard.some((each) => each.data.hostile)")
    result = page.run("heard.find((each) => each.data.hostile).data.hostile")
    assert result == {"read": "SecurityError", "page": "SecurityError"}
    token = page.run("pay()")  # the field answers in order: whatever the stranger got would have come before
    assert part(token)["iss"] == "Flex/08"
    heard = page.run(f"heard.slice({before}).map((each) => each.data)")
    tokens = [each["data"]["token"] for each in heard if each.get("type") == "token"]
    assert tokens == ["forged", token]
    assert not any("overheard" in each for each in heard)


def test_a_field_does_not_obey_a_page_of_another_origin_than_it_was_made_for(
    browser: Browser, shop: Shop, site: Site
) -> None:
    """Its messages name the one origin that they are for: one that merely says another one hears nothing."""
    context = shop.context(targetOrigins=[site.origin, site.other_origin])
    here = f"http://127.0.0.1:{shop.till.service.port}"
    site.pages["/lying"] = """<!doctype html><script>
      window.heard = [];
      addEventListener("message", (event) => heard.push(event.data));
      const show = (instance, origin) => new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.onload = () => {
          frame.contentWindow.postMessage({ kessai: 1, instance, kind: "number", type: "createToken", id: 1 }, "*");
          resolve();
        };
        frame.src = "FIELD#" + encodeURIComponent(JSON.stringify({ kind: "number", instance, origin }));
        document.documentElement.append(frame);
      });
      show("lying", "OTHER").then(() => show("honest", location.origin));
    </script>""".replace("FIELD", f"{here}/microform/v2/field?context={context}").replace("OTHER", site.origin)
    page = browser.open(site.other_origin + "/lying")
    page.until("window.heard && heard.some((each) => each.type === 'error')")
    assert page.run("heard.map((each) => each.instance)") == ["honest", "honest"]


def test_a_changed_library_is_not_run(browser: Browser, shop: Shop, site: Site) -> None:
    check_out(shop, site)
    site.pages["/"] = re.sub('sha256-[^"]+', f"sha256-{'A' * 43}=", site.pages["/"])
    page = browser.open(site.origin + "/")
    page.until("document.readyState === 'complete' && Boolean(window.heard)")
    assert page.run("typeof Flex") == "undefined"


def test_a_context_that_is_none_is_told_at_once(browser: Browser, shop: Shop, site: Site) -> None:
    page = opened(browser, shop, site)
    tried = "(() => { try { new Flex(%s); return null; } catch (error) { return error.reason; } })()"
    assert page.run(tried % '"nothing"') == "CAPTURE_CONTEXT_INVALID"
    over = "x." + "eyJleHAiOjEsImN0eCI6W3siZGF0YSI6e319XX0" + ".x"
    assert page.run(tried % json.dumps(over)) == "CAPTURE_CONTEXT_EXPIRED"
