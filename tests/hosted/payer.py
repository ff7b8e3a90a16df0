"""What a shop asks for, and what its payer's browser does with the page, without a browser."""

import json
import re
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import httpx

from kessai.client import Result
from tests.acceptance.options import Shop

Json = dict[str, Any]
LINK: Final = "hpp/generate/link"
CARD: Final = {"number": "5200 0000 0000 1005", "expiry": "12/39", "cvc": "100", "name": "HANAKO YAMADA"}
RETURNS: Final = {
    "webhook_url": "https://shop.example/hook",
    "success_url": "https://shop.example/ok?order=7",
    "decline_url": "https://shop.example/ng",
    "cancel_url": "https://shop.example/cancelled",
}


def asking(shop: Shop, **changes: object) -> Json:
    """A whole request for a link."""
    document = shop.body(**{"amount": 48_000, "card": None, "return_url": dict(RETURNS), **changes})
    return {"merchant_email": "shop@shop.example", **document}


def made(shop: Shop, **changes: object) -> Result:
    result = shop.post(LINK, asking(shop, **changes))
    assert result.status == 201, result.document
    return result


@dataclass(frozen=True)
class Page:
    answer: httpx.Response

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def text(self) -> str:
        return unescape(self.answer.text)

    @property
    def sent_to(self) -> str:
        assert self.status == 303, self.text
        return self.answer.headers["location"]

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the first form."""
        form = self.answer.text.partition("<form")[2].partition("</form>")[0]
        found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
        return {name: unescape(value) for name, value in found}

    @property
    def link(self) -> str:
        found = re.search(r'class="main" href="([^"]*)"', self.answer.text)
        return unescape(found[1]) if found else ""

    @property
    def said(self) -> str:
        """What stands in the alert, or at the end of the way."""
        found = re.search(r'role="(?:alert|status)"[^>]*>(.*?)</(?:div|p)>', self.answer.text, re.DOTALL)
        return unescape(re.sub(r"<[^>]*>", " ", found[1])) if found else ""

    @property
    def offered(self) -> list[str]:
        return re.findall(r'name="option" id="[^"]*" value="([^"]*)"', self.answer.text)

    @property
    def policy(self) -> dict[str, str]:
        rows = self.answer.headers["content-security-policy"].split("; ")
        return {name: value for name, _, value in (row.partition(" ") for row in rows)}


@dataclass(frozen=True)
class Payer:
    """A payer who was sent a link."""

    http: httpx.Client
    path: str

    @staticmethod
    def of(shop: Shop, **changes: object) -> "Payer":
        return Payer(shop.service.http, path_of(made(shop, **changes)))

    def open(self, **query: str) -> Page:
        return Page(self.http.get(self.path, params=query))

    def pay(self, page: Page, scenario: str = "", **changes: str) -> Page:
        """Press the button; `scenario` forces how it goes."""
        form = {**page.hidden, **CARD, "do": "pay", **changes}
        headers = {"kessai-scenario": scenario} if scenario else {}
        return Page(self.http.post(self.path, data=form, headers=headers, follow_redirects=False))

    def cancel(self, **form: str) -> Page:
        return Page(self.http.post(self.path, data={"do": "cancel", **form}, follow_redirects=False))


def path_of(result: Result) -> str:
    return "/" + str(result.document["url"]).split("/", 3)[3]


def payments(shop: Shop) -> list[Json]:
    """The merchant's payments as the log tells them, oldest first: id, amount, whether it was approved."""
    lines = (json.loads(line) for line in shop.service.logs.getvalue().splitlines() if '"sale.' in line)
    return [line for line in lines if line["merchant"] == shop.merchant]
