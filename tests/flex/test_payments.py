"""Paying with a card that came from a browser, over real sockets, on both engines."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from kessai.storage.compact import unpack
from kessai.storage.sqlite import connect
from tests import postgres
from tests.acceptance.client import AUTHORIZED, Client, Json, Service, payment
from tests.acceptance.test_secrets import PACKED
from tests.flex.shop import CODE, NUMBER, Shop, card, part

UNKNOWN = "0" * 64


@pytest.fixture
def shop(till: Client) -> Shop:
    return Shop(till)


def paid_with(token: str, name: str = "transientTokenJwt", **more: Any) -> Json:
    document = payment(**more)
    del document["paymentInformation"]
    return document | {"tokenInformation": {name: token}}


@pytest.mark.parametrize("name", ["transientTokenJwt", "jti"])
def test_a_transient_token_pays_once(shop: Shop, name: str) -> None:
    token = shop.token()
    named = token if name == "transientTokenJwt" else part(token)["jti"]
    first = shop.till.pay(paid_with(named, name))
    assert first.said == AUTHORIZED
    shown = shop.till.details(first.id)["paymentInformation"]["card"]
    assert (shown["prefix"], shown["suffix"], shown["expirationYear"]) == (NUMBER[:6], NUMBER[-4:], "2031")
    assert first.json["processorInformation"]["cardVerification"]["resultCode"]
    told = [shop.till.pay(paid_with(named, name)), shop.till.pay(paid_with(UNKNOWN, name))]
    for refused in told:
        assert refused.said == (400, "INVALID_REQUEST", "INVALID_DATA")
        assert refused.fields == [(f"tokenInformation.{name}", "INVALID_DATA")]
    shop.till.approved(shop.till.capture(first.id))


def test_a_token_of_another_merchant_pays_nothing(service: Service, shop: Shop) -> None:
    """A-23."""
    token = shop.token()
    other = service.merchant("flex_other")
    assert other.pay(paid_with(token)).fields == [("tokenInformation.transientTokenJwt", "INVALID_DATA")]
    assert shop.till.pay(paid_with(token)).said == AUTHORIZED


def test_of_many_payments_with_one_token_one_is_made(shop: Shop) -> None:
    token = shop.token()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: shop.till.pay(paid_with(token)).status, range(16)))
    assert sorted(told) == [201] + [400] * 15
    shop.till.service.assert_books()


def test_a_payment_and_a_tokenization_do_not_both_have_it(shop: Shop) -> None:
    token = shop.token()
    assert shop.till.pay(paid_with(token)).said == AUTHORIZED
    assert shop.tokenize(token).status == 400


def test_a_payment_makes_lasting_tokens_of_it(shop: Shop) -> None:
    doing = {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": ["customer", "paymentInstrument"]}
    made = shop.till.pay(paid_with(shop.token(), processingInformation=doing))
    assert made.said == AUTHORIZED
    again = payment() | {"paymentInformation": {"customer": {"id": made.json["tokenInformation"]["customer"]["id"]}}}
    assert shop.till.pay(again).said == AUTHORIZED


def test_what_the_request_says_of_the_card_goes_first(shop: Shop) -> None:
    document = paid_with(shop.token(card(expirationMonth=None, expirationYear=None)))
    assert shop.till.pay(document).status == 400
    document["tokenInformation"] = {"transientTokenJwt": shop.token()}
    document["paymentInformation"] = {"card": {"expirationMonth": "03", "expirationYear": "2033"}}
    paid = shop.till.pay(document)
    assert shop.till.details(paid.id)["paymentInformation"]["card"]["expirationYear"] == "2033"


def test_a_refused_request_spends_nothing(shop: Shop) -> None:
    token = shop.token()
    assert shop.till.pay(paid_with(token, orderInformation__amountDetails={"totalAmount": "x"})).status == 400
    assert shop.till.pay(paid_with(token)).said == AUTHORIZED


def test_the_same_request_again_is_told_the_same_even_when_the_token_has_gone(shop: Shop) -> None:
    service, document = shop.till.service, paid_with(shop.token())
    first = shop.till.pay(document, Idempotency_Key="flex-payment-1")
    assert shop.till.pay(document, Idempotency_Key="flex-payment-1").id == first.id
    service.clock.moved = timedelta(minutes=16)
    try:
        again = shop.till.pay(document, Idempotency_Key="flex-payment-1")
    finally:
        service.clock.moved = timedelta()
    assert (again.id, again.headers["kessai-replayed"]) == (first.id, "true")
    other = shop.till.pay(paid_with(shop.token()), Idempotency_Key="flex-payment-1")
    assert other.said == (400, "INVALID_REQUEST", "DUPLICATE_REQUEST")


def test_the_tokens_name_is_not_kept_with_the_payment(shop: Shop) -> None:
    service, token = shop.till.service, shop.token()
    shop.till.pay(paid_with(token))
    if service.database:
        rows = [*asyncio.run(postgres.rows(service.database, PACKED))]
    else:
        with closing(connect(service.house.folder / "kessai.db")) as connection:
            rows = connection.execute(PACKED).fetchall()
    kept = b"\n".join(unpack(value) for row in rows for value in row if isinstance(value, bytes))
    assert b"AUTHORIZED" in kept
    for text in (part(token)["jti"], token.split(".")[2], NUMBER, f'"{CODE}"'):
        assert text.encode() not in kept
    assert part(token)["jti"] not in service.logs.getvalue()


def test_a_credit_goes_to_a_card_from_a_browser(shop: Shop) -> None:
    assert shop.till.credit(paid_with(shop.token())).status == 201
