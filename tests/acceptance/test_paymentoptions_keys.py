"""Idempotency keys of `subscription/payment`: one subscription, one charge, one answer, whatever came between."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from kessai import ids
from kessai.dialects import HttpRequest
from kessai.dialects.paymentoptions.codes import Said
from kessai.payment.lifecycle import Operation
from kessai.s2s.call import Call
from kessai.s2s.keys import claims_of
from kessai.storage.subscriptions import ClaimAnswer
from tests.acceptance.client import Service
from tests.acceptance.options import PREFIX, Json, Shop, shop_of
from tests.recurring.test_jobs import Deaf

ROUTE = f"{PREFIX}/subscription/payment"
REPLAYED = "kessai-replayed"
PLAN: Json = {"plan_name": "Gold", "cycle_type": "DAYS", "cycle_interval": 2, "max_cycle_count": 3}
TRIAL: Json = {"has_trial_period": True, "trial_period_duration_type": "DAYS", "trial_period_duration": 14}


def wanted(shop: Shop, **changes: object) -> Json:
    return shop.body(subscription=dict(PLAN), **changes)


def send(shop: Shop, key: str, document: Json) -> httpx.Response:
    headers = {**shop.client.headers, "content-type": "application/json", "idempotency-key": key}
    return shop.raw("POST", ROUTE, headers, json.dumps(document).encode())


def begun(shop: Shop) -> tuple[int, int, int]:
    """Subscriptions, payments that charged one, and stored customers."""
    house = shop.service.house
    page = shop.service.run(house.gateway.payments.page(shop.merchant, 0, 1_000))
    tokens = shop.service.run(
        house.database.read("tokens_page", {"merchant_id": shop.merchant, "after": "", "most": 500})
    )
    seeds = shop_of(shop.service, "po_keys_nobody")
    planted = shop.service.run(
        house.database.read("tokens_page", {"merchant_id": seeds.merchant, "after": "", "most": 500})
    )
    sold = sum(each.operation is Operation.SALE for each in page)
    return len(shop.client.subscriptions()), sold, len(tokens) - len(planted)


def claim(shop: Shop, key: str, document: Json, identifier: int) -> None:
    """What a request leaves behind that ended in a crash: its key is taken for an id, and has no answer."""
    house = shop.service.house
    request = HttpRequest("POST", ROUTE, (("idempotency-key", key),))
    account = house.accounts.get(shop.merchant)
    call = Call(account=account, identifier="", document=document, request=request, peer="127.0.0.1")
    found = claims_of(call, house.gateway.new_id(), house.vault.fingerprint)
    assert not isinstance(found, Said)
    [taken] = found
    write = ClaimAnswer(
        merchant_id=shop.merchant, key=taken.key, request=taken.request, id=identifier, since=taken.since
    )
    assert shop.service.run(house.database.write(write))


def long_ago(shop: Shop) -> int:
    """An id of a request that cannot be running any more."""
    return ids.first_of(ids.made_at(shop.service.house.gateway.new_id()) - timedelta(minutes=2)) + 1


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["gateway_response"]["code"]


def test_a_repeat_has_the_same_bytes_and_begins_nothing(service: Service) -> None:
    """R-10, R-53: another body is refused, and the security code is not part of it."""
    shop = shop_of(service, "po_keys_same")
    first = send(shop, "gold-1", wanted(shop))
    assert code_of(first) == (201, "INFO0000")
    once = begun(shop)
    assert once[:2] == (1, 1)
    for document in (wanted(shop), wanted(shop, card__cvc="999"), wanted(shop, card__cvc=None)):
        again = send(shop, "gold-1", document)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
        assert again.headers["content-type"] == first.headers["content-type"]
    for other in (
        wanted(shop, amount="1001"),
        wanted(shop, subscription__plan_name="Silver"),
        wanted(shop, card__number="4000000000001091"),
    ):
        assert code_of(send(shop, "gold-1", other)) == (412, "ERR4133")
    assert begun(shop) == once
    assert code_of(send(shop, "gold-2", wanted(shop))) == (201, "INFO0000")
    assert begun(shop)[:2] == (2, 2)
    shop.service.assert_books()


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"amount": "1500"}, {}, (201, "ERR0005")),
        ({}, {"risk.subscription_maximums": '{"JPY": 500}'}, (412, "ERR3016")),
    ],
    ids=["issuer", "risk rule"],
)
def test_a_decline_is_repeated_too(
    service: Service, changes: Json, settings: dict[str, str], said: tuple[int, str]
) -> None:
    """R-10: it was carried out, whatever its status."""
    shop = shop_of(service, f"po_keys_declined_{said[0]}", **settings)
    first = send(shop, "no", wanted(shop, **changes))
    assert code_of(first) == said
    before = begun(shop)
    again = send(shop, "no", wanted(shop, **changes))
    assert (again.status_code, again.content, again.headers[REPLAYED]) == (said[0], first.content, "true")
    assert begun(shop) == before


def test_what_was_refused_before_it_began_may_be_mended(service: Service) -> None:
    """R-10: nothing is kept of it."""
    shop = shop_of(service, "po_keys_mended")
    assert send(shop, "mended", wanted(shop, amount="-1")).status_code == 400
    assert send(shop, "mended", wanted(shop, subscription__cycle_type="HOURLY")).status_code == 400
    assert code_of(send(shop, "mended", wanted(shop))) == (201, "INFO0000")
    for key in ("", "x" * 256):
        answer = send(shop, key, wanted(shop))
        assert code_of(answer) == (400, "VAL0004")
        assert "Idempotency-Key" in answer.json()["gateway_response"]["message"]
    assert begun(shop)[:2] == (1, 1)


def test_many_at_once_are_one(service: Service) -> None:
    """R-10: who comes second is told that the first has not ended, or what it was told."""
    shop = shop_of(service, "po_keys_race")
    documents = [wanted(shop, merchant_txn_ref=f"order-{number // 6}") for number in range(18)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda each: send(shop, str(each["merchant_txn_ref"]), each), documents))
    for place in range(0, 18, 6):
        group = answers[place : place + 6]
        made = {answer.content for answer in group if answer.status_code == 201}
        assert len(made) == 1
        assert [REPLAYED in answer.headers for answer in group if answer.status_code == 201].count(False) == 1
        assert {code_of(answer) for answer in group} <= {(201, "INFO0000"), (412, "ERR4134")}
    assert begun(shop)[:2] == (3, 3)
    shop.service.assert_books()


def test_one_under_way_is_not_gone_on_with(service: Service) -> None:
    """R-10: nobody waits, and nobody does its work."""
    shop = shop_of(service, "po_keys_under_way")
    claim(shop, "mine", wanted(shop), service.house.gateway.new_id())
    before = begun(shop)
    assert code_of(send(shop, "mine", wanted(shop))) == (412, "ERR4134")
    assert code_of(send(shop, "mine", wanted(shop, amount="2"))) == (412, "ERR4133")
    assert begun(shop) == before


def test_a_crash_before_anything_was_written(service: Service) -> None:
    shop = shop_of(service, "po_keys_crash")
    claim(shop, "mine", wanted(shop), long_ago(shop))
    first = send(shop, "mine", wanted(shop))
    assert code_of(first) == (201, "INFO0000")
    assert send(shop, "mine", wanted(shop)).content == first.content
    assert begun(shop)[:2] == (1, 1)


@pytest.mark.parametrize(
    ("moved", "trial"), [("", {}), ("2d", {}), ("", TRIAL)], ids=["at once", "after the next charge", "in its trial"]
)
def test_a_crash_between_the_charge_and_its_answer(service: Service, moved: str, trial: Json) -> None:
    """The same request finds the subscription and its first charge; nothing is charged again, nor ahead of its time."""
    shop = shop_of(service, f"po_keys_charged_{moved or len(trial)}")
    identifier, asked = long_ago(shop), wanted(shop)
    asked["subscription"] |= trial
    claim(shop, "first", asked, identifier)
    first = send(shop, "first", asked).json()
    assert first["payment_details"]["amount"] == (0 if trial else 1000)
    if moved:
        service.run(service.house.clocks.move(service.house.accounts.get(shop.merchant), advance=moved))
        deadline = time.monotonic() + 20
        while begun(shop)[1] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    before = begun(shop)
    claim(shop, "again", asked, identifier)  # as it stands before the answer is kept
    again = send(shop, "again", asked)
    assert code_of(again) == (201, "INFO0000")
    assert again.json()["transaction_details"] == first["transaction_details"]
    assert again.json()["subscription_details"]["id"] == first["subscription_details"]["id"]
    assert begun(shop) == before
    assert send(shop, "again", asked).headers[REPLAYED] == "true"
    shop.service.assert_books()


def test_a_key_is_of_one_merchant(service: Service) -> None:
    shop, other = shop_of(service, "po_keys_mine"), shop_of(service, "po_keys_yours")
    assert send(shop, "ours", wanted(shop)).status_code == 201
    answer = send(other, "ours", wanted(other))
    assert (code_of(answer), REPLAYED in answer.headers) == ((201, "INFO0000"), False)
    assert (begun(shop)[:2], begun(other)[:2]) == ((1, 1), (1, 1))


def test_an_outcome_that_nobody_knows_is_told_once_it_is_known(service: Service) -> None:
    """It is no answer to be kept: the key stays with its subscription, and pays nothing twice."""
    shop = shop_of(service, "po_keys_unknown")
    claim(shop, "lost", wanted(shop), long_ago(shop))
    link = service.house.gateway.links["sandbox"]
    deaf = Deaf(link)
    service.house.gateway.links["sandbox"] = deaf  # type: ignore[index]
    try:
        for _ in range(2):
            assert code_of(send(shop, "lost", wanted(shop))) == (504, "ERR0068")
        young = send(shop, "young", wanted(shop))
        assert (code_of(young), code_of(send(shop, "young", wanted(shop)))) == ((504, "ERR0068"), (412, "ERR4134"))
        deaf.is_deaf = False
        service.until_quiet()
    finally:
        service.house.gateway.links["sandbox"] = link  # type: ignore[index]
    before = begun(shop)
    assert before[:2] == (2, 2)
    told = send(shop, "lost", wanted(shop))
    assert (told.status_code, told.json()["success"]) == (504, False)
    assert told.json()["subscription_details"]["status"] == "FAILED"
    again = send(shop, "lost", wanted(shop))
    assert (again.content, again.headers[REPLAYED]) == (told.content, "true")
    assert begun(shop)[:2] == before[:2]
    shop.service.assert_books()
