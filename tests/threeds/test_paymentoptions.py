"""3-D Secure on the PaymentOptions wire: direct answers, redirects, and payments that go on when their payer is back."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kessai.client import Result
from tests.acceptance.client import Service
from tests.acceptance.options import Shop, paid, shop_of
from tests.acceptance.test_secrets import forms
from tests.threeds.shop import CHALLENGE, FAILING, FRICTIONLESS, RIGHT, WRONG, Page, later, left_behind

OK, NG = "https://shop.example/ok", "https://shop.example/ng"
DOCUMENTED = "4000002500003155"
LEAVES: Any = {"card__number": DOCUMENTED}


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


def payments(shop: Shop, reference: str = "waits") -> list[dict[str, Any]]:
    """The payments with a reference, oldest first, as their statuses tell of them."""
    sql = shop.service.house.gateway.payments

    async def load() -> list[int]:
        rows = await shop.service.house.database.read(
            "payments_by_reference", {"merchant_id": shop.merchant, "reference": reference}
        )
        return [row[0] for row in rows]

    del sql
    return [shop.client.status(str(found)).document for found in shop.service.run(load())]


def test_x(shop: Shop) -> None:
    print(buy(shop, card__number=FRICTIONLESS).document)
    r = buy(shop)
    print(r.document)
    print(passed(shop, r))
    print(shop.service.logs.getvalue()[-3000:])
    raise SystemExit
