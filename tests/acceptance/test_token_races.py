"""Token requests that are sent again, at the same moment, or by strangers: one result, and nobody else's."""

import itertools
import json
from collections.abc import Iterator
from functools import partial

import pytest

from kessai.dialects.cybersource.token_routes import ROUTES
from tests.acceptance.client import MASTERCARD, Client, Json, Reply, Service
from tests.acceptance.test_races import at_once
from tests.acceptance.test_tokens import (
    CUSTOMERS,
    LONE,
    NUMBERS,
    PEOPLE,
    Filed,
    error,
    fresh_pan,
    instrument,
    made,
)
from tests.attacks.harm import nothing_moves

_keys = itertools.count(1)


@pytest.fixture
def shop(service: Service) -> Client:
    """A merchant of its own, without seeds."""
    return service.merchant("tokens_races", "vpc")


@pytest.fixture
def filed(shop: Client) -> Filed:
    return Filed(shop)


# ---- idempotency keys


def everything_that_writes(filed: Filed) -> Iterator[tuple[str, str, Json, Json]]:
    """Method, path, a document and another one, for every POST and PATCH."""
    address = filed.add_address()
    other = {"objectInformation": {"title": "other"}}
    yield "POST", CUSTOMERS, {}, other
    yield "PATCH", filed.path, {}, other
    for path in (filed.cards, LONE):
        yield "POST", path, instrument(filed.number), instrument(filed.number, billTo={})
    yield "PATCH", f"{filed.cards}/{filed.card}", {}, {"billTo": None}
    yield "POST", filed.addresses, {"shipTo": PEOPLE}, {"shipTo": {}}
    yield "PATCH", f"{filed.addresses}/{address}", {}, {"shipTo": {"locality": "Kyoto"}}
    for number in (filed.pan, fresh_pan()):
        yield "POST", NUMBERS, {"card": {"number": number}}, {"card": {"number": fresh_pan()}}
    yield "PATCH", f"{NUMBERS}/{filed.number}", {}, {"processingInformation": {}}
    tokenize = {"tokenInformation": {"instrumentIdentifier": {"card": {"number": fresh_pan()}}}}
    yield "POST", "/tms/v2/tokenize", tokenize, {"tokenInformation": {"customer": {}}}


def test_a_key_is_answered_with_what_was_said_first(filed: Filed) -> None:
    """R-10: same key and content, the same answer; other content, the refusal that payments use."""
    shop = filed.shop
    for count, (method, path, document, other) in enumerate(everything_that_writes(filed)):
        key = {"idempotency-key": f"key-{filed.customer}-{count}"}
        first = shop.call(method, path, document, key)
        assert first.status in (200, 201), first.body
        assert "kessai-replayed" not in first.headers
        again = shop.call(method, path, document, key)
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["kessai-replayed"] == "true"
        assert again.headers.get("etag") == first.headers.get("etag")
        assert again.headers.get("location") == first.headers.get("location")
        refused = shop.call(method, path, other, key)
        assert refused.said == (400, "INVALID_REQUEST", "DUPLICATE_REQUEST"), (method, path)


def test_a_repeat_meets_no_etag_and_an_error_leaves_the_key_free(filed: Filed) -> None:
    etag = filed.shop.call("GET", filed.path).headers["etag"]
    headers = {"idempotency-key": f"etag-{filed.customer}", "if-match": etag}
    first = filed.shop.call("PATCH", filed.path, {"objectInformation": {"title": "t"}}, headers)
    again = filed.shop.call("PATCH", filed.path, {"objectInformation": {"title": "t"}}, headers)
    assert (first.status, again.status) == (200, 200)
    key = {"idempotency-key": f"free-{filed.customer}"}
    assert filed.shop.call("POST", NUMBERS, {"card": {"number": "1"}}, key).status == 400
    assert filed.shop.call("POST", NUMBERS, {"card": {"number": fresh_pan()}}, key).status == 201
    bad = filed.shop.call("POST", CUSTOMERS, {}, {"idempotency-key": "x" * 256})
    assert bad.said == (400, "INVALID_REQUEST", "INVALID_DATA")
    assert bad.fields == [("Idempotency-Key", "INVALID_DATA")]


def test_a_key_sent_many_times_at_once_makes_one_customer(shop: Client) -> None:
    key = {"idempotency-key": f"at-once-{next(_keys)}"}
    replies = at_once(*[lambda: shop.call("POST", CUSTOMERS, {}, key)] * 6)
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert sum("kessai-replayed" not in reply.headers for reply in replies) == 1


# ---- the same signed request twice


def twice(client: Client, method: str, path: str, document: Json) -> tuple[Reply, Reply]:
    body = json.dumps(document).encode()
    headers = client.signed(method, path, body) | {"content-type": "application/json"}
    return client.send(method, path, body, headers), client.send(method, path, body, headers)


def test_the_same_signed_request_is_answered_or_refused_as_the_merchant_wants(service: Service) -> None:
    """R-52."""
    allowing = service.merchant("tokens_allow", exact_repeat="allow")
    first, second = twice(allowing, "POST", CUSTOMERS, {})
    assert (first.status, second.status) == (201, 201)
    assert first.id != second.id
    answering = service.merchant("tokens_answer", exact_repeat="answer")
    first, second = twice(answering, "POST", CUSTOMERS, {})
    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers["kessai-replayed"] == "true"
    refusing = service.merchant("tokens_refuse", exact_repeat="refuse")
    first, second = twice(refusing, "POST", NUMBERS, {"card": {"number": fresh_pan()}})
    assert (first.status, second.status) == (201, 401)


# ---- races


@pytest.mark.parametrize("round_", range(5))
def test_of_two_patches_over_one_etag_one_wins(filed: Filed, round_: int) -> None:
    etag = {"if-match": filed.shop.call("GET", filed.path).headers["etag"]}
    titles = ("a", "b")

    def rename(title: str) -> Reply:
        return filed.shop.call("PATCH", filed.path, {"objectInformation": {"title": title}}, etag)

    replies = at_once(*[partial(rename, title) for title in titles])
    assert sorted(reply.status for reply in replies) == [200, 412]
    winner = next(reply for reply in replies if reply.status == 200)
    assert filed.read() == winner.json


@pytest.mark.parametrize("round_", range(5))
def test_patches_without_an_etag_all_go_in(filed: Filed, round_: int) -> None:
    """A merge patch says what changes: none of them may undo another's."""
    patches: list[Json] = [
        {"objectInformation": {"title": "t"}},
        {"objectInformation": {"comment": "c"}},
        {"buyerInformation": {"email": "e@example.com"}},
        {"clientReferenceInformation": {"code": "1"}},
    ]
    replies = at_once(*[partial(filed.shop.call, "PATCH", filed.path, patch) for patch in patches])
    assert {reply.status for reply in replies} == {200}
    customer = filed.read()
    assert customer["objectInformation"] == {"title": "t", "comment": "c"}
    assert customer["buyerInformation"] == {"email": "e@example.com"}
    assert customer["clientReferenceInformation"] == {"code": "1"}


@pytest.mark.parametrize("round_", range(5))
def test_one_number_sent_twice_at_once_has_one_token(shop: Client, round_: int) -> None:
    document = {"card": {"number": fresh_pan()}}
    replies = at_once(*[lambda: shop.post(NUMBERS, document)] * 4)
    assert sorted(reply.status for reply in replies) == [200, 200, 200, 201]
    assert len({reply.id for reply in replies}) == 1


@pytest.mark.parametrize("round_", range(8))
def test_a_number_is_deleted_or_used_never_both(shop: Client, round_: int) -> None:
    number = made(shop.post(NUMBERS, {"card": {"number": fresh_pan()}}))["id"]
    calls = [lambda: shop.call("DELETE", f"{NUMBERS}/{number}"), lambda: shop.post(LONE, instrument(number))]
    turn = round_ % 2
    replies = at_once(*calls[turn:], *calls[:turn])
    deleted, used = replies if turn == 0 else reversed(replies)
    assert (deleted.status, used.status) in ((204, 400), (409, 201))
    assert shop.call("GET", f"{NUMBERS}/{number}").status == (410 if deleted.status == 204 else 200)


@pytest.mark.parametrize("round_", range(4))
def test_a_customer_has_one_default_whoever_wants_to_be_it(filed: Filed, round_: int) -> None:
    document = instrument(filed.number, default=True)
    replies = at_once(*[lambda: filed.shop.post(filed.cards, document)] * 5)
    assert {reply.status for reply in replies} == {201}
    listed = filed.read(filed.cards)
    assert listed["total"] == 6
    assert [each["default"] for each in listed["_embedded"]["paymentInstruments"]] == [True] + [False] * 5


@pytest.mark.parametrize("round_", range(4))
def test_a_customer_that_is_deleted_takes_all_with_it(filed: Filed, round_: int) -> None:
    calls = [lambda: filed.shop.post(filed.cards, instrument(filed.number))] * 3
    *added, deleted = at_once(*calls, lambda: filed.shop.call("DELETE", filed.path))
    assert deleted.status == 204
    assert {reply.status for reply in added} <= {201, 410, 400}
    for reply in added:
        if reply.status == 201:
            assert error(filed.shop.call("GET", f"{filed.cards}/{reply.id}")) == (410, "notAvailable")
    assert filed.shop.call("GET", f"{NUMBERS}/{filed.number}").status == 410


# ---- merchants are strangers


def test_anothers_tokens_are_like_those_that_nobody_was_given(service: Service, filed: Filed) -> None:
    """A-23, T-20: every route, every kind of token; the same bytes as for an unknown id."""
    till, address = service.till(), filed.add_address()
    theirs = [filed.customer, filed.card, address, filed.number]
    own = made(till.post(CUSTOMERS, {}))["id"]
    picture = {"provider": "vts", "asset": "card-icon"}
    with nothing_moves(service, "request.refused"):
        for row in ROUTES:
            if "{" not in row.path:
                continue
            document = {"instrumentIdentifier": {"card": {"number": MASTERCARD}}} if row.method != "GET" else None
            document = None if row.method == "DELETE" else document
            for customer, token in [(each, each) for each in theirs] + [(own, each) for each in theirs]:
                if customer == own and "{id}" not in row.path:
                    continue
                unknown = "7010000000099991111" if len(token) == 19 else "F" * 32
                nobodys = unknown if customer != own else own
                reply = till.call(row.method, row.path.format(customer=customer, id=token, **picture), document)
                expected = till.call(row.method, row.path.format(customer=nobodys, id=unknown, **picture), document)
                assert (reply.status, reply.body) == (expected.status, expected.body)
                assert error(reply) == (404, "notFound")
    for name in ("defaultPaymentInstrument", "defaultShippingAddress"):
        replies = [till.call("PATCH", f"{CUSTOMERS}/{own}", {name: {"id": each}}) for each in (*theirs, "F" * 32)]
        assert len({(reply.status, reply.body) for reply in replies}) == 1
    for number in (filed.number, "7010000000099991111"):
        reply = till.post(LONE, instrument(number))
        assert error(reply) == (400, "instrumentIdentifierNotFound")
    # The same number is another token for another merchant.
    assert made(till.post(NUMBERS, {"card": {"number": filed.pan}}))["id"] != filed.number
