"""Ids that merchants choose for their tokens: where their account allows it, and what is in the way."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.acceptance.client import BILL_TO, VISA, Client, Json, Service
from tests.acceptance.test_stored_cards import with_tokens
from tests.acceptance.test_tokens import CUSTOMERS, LONE, NUMBERS, details, error, fresh_pan, made

_ids = itertools.count(1)
PERSON: Final[Json] = {"shipTo": {"firstName": "Taro", "country": "JP"}}


@pytest.fixture
def shop(service: Service) -> Client:
    return service.merchant("choosing_shop", "vpc", chosen_token_ids="true")


def chosen() -> str:
    return f"MYOWNTOKEN{next(_ids):010d}"


def over(pan: str) -> Json:
    card = {"expirationMonth": "12", "expirationYear": "2031"}
    return {"card": card, "billTo": BILL_TO, "instrumentIdentifier": {"card": {"number": pan}}}


def test_tokens_have_the_ids_that_were_chosen_and_pay_by_them(shop: Client) -> None:
    customer, card, lone, address = (chosen() for _ in range(4))
    own = f"{CUSTOMERS}/{customer}"
    for path, identifier, document in (
        (CUSTOMERS, customer, {}),
        (f"{own}/payment-instruments", card, over(fresh_pan())),
        (LONE, lone, over(fresh_pan())),
        (f"{own}/shipping-addresses", address, PERSON),
    ):
        token = made(shop.post(path, document | {"id": identifier}))
        assert token["id"] == identifier
        assert made(shop.call("GET", f"{path}/{identifier}"), 200) == token
    assert made(shop.call("GET", own), 200)["defaultPaymentInstrument"] == {"id": card}
    for paying in ({"customer": customer}, {"paymentInstrument": card}, {"paymentInstrument": lone}):
        assert shop.pay(with_tokens(**paying)).status == 201


def test_an_id_is_given_once_whatever_has_become_of_it(shop: Client) -> None:
    taken = chosen()
    made(shop.post(CUSTOMERS, {"id": taken}))
    pan = fresh_pan()
    for path, document in ((CUSTOMERS, {}), (LONE, over(pan)), (f"{CUSTOMERS}/{taken}/shipping-addresses", PERSON)):
        reply = shop.post(path, document | {"id": taken})
        assert (error(reply), details(reply)) == ((409, "tokenIdConflict"), ["id"])
    assert made(shop.post(NUMBERS, {"card": {"number": pan}}), 201), "nothing of a refused request is kept"
    assert shop.call("DELETE", f"{CUSTOMERS}/{taken}").status == 204
    assert error(shop.post(CUSTOMERS, {"id": taken})) == (409, "tokenIdConflict")


def test_of_many_who_choose_one_id_one_gets_it(shop: Client) -> None:
    wanted = chosen()
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: shop.post(CUSTOMERS, {"id": wanted}).status, range(6)))
    assert sorted(replies) == [201] + [409] * 5


def test_two_merchants_may_choose_the_same(service: Service, shop: Client) -> None:
    other = service.merchant("choosing_other", "vpc", chosen_token_ids="true")
    wanted = chosen()
    for client in (shop, other):
        made(client.post(CUSTOMERS, {"id": wanted, "objectInformation": {"title": client.merchant}}))
    assert shop.call("GET", f"{CUSTOMERS}/{wanted}").json["objectInformation"] == {"title": "choosing_shop"}


@pytest.mark.parametrize("identifier", ["TOOSHORT", "X" * 33, "lowercase-letters", "ABCDEFGH/IJKLMNOP", VISA])
def test_what_cannot_be_an_id_is_refused(shop: Client, identifier: str) -> None:
    reply = shop.post(CUSTOMERS, {"id": identifier})
    assert (error(reply), details(reply)) == ((400, "invalidFields"), ["id"])
    assert identifier not in reply.body.decode()


def test_without_the_setting_a_wish_is_ignored(service: Service) -> None:
    plain = service.merchant("not_choosing", "vpc")
    wanted = chosen()
    assert made(plain.post(CUSTOMERS, {"id": wanted}))["id"] != wanted


def test_an_instrument_identifier_has_the_id_of_its_number(shop: Client) -> None:
    pan = fresh_pan()
    number = made(shop.post(NUMBERS, {"card": {"number": pan}, "id": chosen()}))
    assert (len(number["id"]), number["id"][-4:]) == (19, pan[-4:])
