"""Links to the hosted payment page over the wire: asked for, answered, refused (conformance cases 54 to 56; A-82)."""

import re
import uuid

import pytest

from tests.acceptance.client import Service
from tests.acceptance.options import PREFIX, Shop, shop_of
from tests.hosted.payer import LINK, RETURNS, Payer, asking, made, path_of
from tests.threeds.shop import left_behind


def test_a_link_is_a_bare_object(shop: Shop) -> None:
    """Case 54."""
    told = made(shop).document
    assert list(told) == [
        "id",
        "url",
        "amount",
        "currency",
        "merchant_txn_ref",
        "merchant_id",
        "merchant_email",
        "return_url",
        "billing_address",
        "shipping_address",
    ]
    assert uuid.UUID(told["id"]).version == 4
    assert (told["amount"], told["currency"], told["merchant_id"]) == (48_000, "JPY", shop.merchant)
    assert told["return_url"] == RETURNS
    assert list(told["billing_address"]) == [
        "city",
        "email",
        "phone_number",
        "state",
        "country",
        "address1",
        "postal_code",
    ]
    assert told["shipping_address"] is None
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/HostedPaymentPage/hpp_shop/[A-Za-z]{24}", told["url"])


@pytest.mark.parametrize(
    "path",
    [
        f"{PREFIX}/{LINK}",
        f"/api/v1{PREFIX}/{LINK}",
        f"/api/v1/{LINK}",
        f"/api/v1/api/v1/{LINK}",
    ],
)
def test_every_path_that_clients_know(shop: Shop, path: str) -> None:
    answer = shop.service.http.post(path, json=asking(shop), headers=shop.client.headers)
    assert answer.status_code == 201
    assert Payer(shop.service.http, "/" + answer.json()["url"].split("/", 3)[3]).open().status == 200


@pytest.mark.parametrize("amount", [None, ""])
def test_without_an_amount(shop: Shop, amount: object) -> None:
    """Case 55."""
    assert made(shop, amount=amount).document["amount"] is None
    page = Payer.of(shop, amount=amount).open()
    assert 'name="amount"' in page.text
    assert 'name="number"' not in page.text


def test_what_was_not_sent_is_null(shop: Shop) -> None:
    """Case 56: a wallet is taken of test merchants, whose payers are told that there is none and pay by card."""
    wallet = {"payment_method": {"type": "gcash"}, "currency": "PHP"}
    document = asking(shop, return_url__cancel_url=None, **wallet)
    del document["merchant_email"]
    made = shop.post(LINK, document)
    assert made.status == 201
    told = made.document
    assert told["return_url"]["cancel_url"] is None
    assert told["merchant_email"] is None
    payer = Payer(shop.service.http, path_of(made))
    page = payer.open(lang="en")
    assert "gcash is not connected to this test shop" in page.text
    assert payer.pay(page).sent_to == document["return_url"]["success_url"]


def test_two_links_have_nothing_in_common(shop: Shop) -> None:
    one, other = made(shop).document, made(shop).document
    assert one["id"] != other["id"]
    assert one["url"] != other["url"]


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"currency": None}, "currency"),
        ({"currency": "JPYX"}, "currency"),
        ({"amount": "10.5"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"merchant_txn_ref": "x" * 46}, "merchant_txn_ref"),
        ({"payment_method": {"type": "paypay"}}, "payment_method.type"),
        ({"return_url": "https://shop.example"}, "return_url"),
        ({"return_url__success_url": "javascript:alert(1)"}, "return_url.success_url"),
        ({"return_url__success_url": "//evil.example"}, "return_url.success_url"),
        ({"return_url__decline_url": "data:text/html,x"}, "return_url.decline_url"),
        ({"return_url__cancel_url": "https://shop.example/a b"}, "return_url.cancel_url"),
        ({"return_url__webhook_url": "ftp://shop.example"}, "return_url.webhook_url"),
        ({"return_url__webhook_url": "https://169.254.169.254/latest"}, "return_url.webhook_url"),
        ({"return_url__success_url": "https://shop.example/" + "x" * 250}, "return_url.success_url"),
    ],
)
def test_what_is_wrong_is_named(shop: Shop, changes: dict[str, object], member: str) -> None:
    """A-72, A-82, and the limits of the documents."""
    result = shop.post(LINK, asking(shop, **changes))
    assert (result.status, result.success) == (400, False)
    assert f"`{member}`" in result.message


def test_another_merchants_link_is_nobodys(service: Service, shop: Shop) -> None:
    """A link under another merchant's name answers as one that was never made, byte by byte."""
    other = shop_of(service, "hpp_other")
    path = path_of(made(shop))
    foreign = path.replace(shop.merchant, other.merchant)
    unknown = foreign[:-24] + "A" * 24
    answers = [service.http.get(each) for each in (foreign, unknown)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    posts = [service.http.post(each, data={"do": "pay"}) for each in (foreign, unknown)]
    assert [answer.status_code for answer in posts] == [404, 404]
    assert posts[0].content == posts[1].content
    assert service.http.get(path).status_code == 200


def test_the_keys_make_links_for_their_merchant_only(service: Service, shop: Shop) -> None:
    other = shop_of(service, "hpp_other")
    assert shop.post(LINK, asking(other)).status == 401


def test_a_link_is_kept_as_its_hash(service: Service, shop: Shop) -> None:
    code = path_of(made(shop)).rpartition("/")[2]
    assert [name for name, content in left_behind(service).items() if code.encode() in content] == []
