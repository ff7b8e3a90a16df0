"""One script of requests on both databases: what a merchant sees does not tell them apart, to the byte."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests import postgres
from tests.acceptance.client import Client, Json, Reply, amount_of, changed, japanese, payment
from tests.acceptance.conftest import serving
from tests.acceptance.test_echecks import echeck
from tests.recurring.shop import Shop, own_terms, plan, subscription

HEADERS = ("content-type", "kessai-replayed", "cache-control", "allow", "etag", "x-total-count")
"""Besides these, an answer's headers tell when and where it was made."""


def script(till: Client, vpc: Client) -> Iterator[Reply]:
    """Each operation with its refusals, declines, repeats and reads; documents that are no documents."""
    for merchant in (till, vpc):
        made = merchant.pay()
        yield made
        yield from (merchant.capture(made.id, amount) for amount in ("60.00", "60.00", "42.21", "0.00"))
        yield from (merchant.reverse(made.id), merchant.void(made.id), merchant.refund(made.id, "10.00"))
        sold = merchant.sell("100.00", Idempotency_Key="sold")
        yield sold
        yield merchant.sell("100.00", Idempotency_Key="sold")
        yield merchant.sell("100.01", Idempotency_Key="sold")
        yield from (merchant.refund(sold.id, amount) for amount in ("70.00", "70.00", "30.00"))
        yield from (merchant.void(sold.id), merchant.reverse(sold.id, "100.00"))
        held = merchant.pay()
        yield from (held, merchant.reverse(held.id), merchant.reverse(held.id), merchant.capture(held.id))
        paid = merchant.credit()
        yield from (paid, merchant.void(paid.id, "credits"), merchant.void(paid.id, "credits"))
        yield from (merchant.pay(echeck()), merchant.credit(echeck()), merchant.pay(echeck("4101")))
        lodged = merchant.pay(payment(processingInformation__authorizationOptions={"authIndicator": "0"}))
        yield from (lodged, merchant.increase(lodged.id), merchant.increase(lodged.id, "1.00"))
        yield from (merchant.pay(payment(amount)) for amount in ("1500.00", "2401.00", "0", "-1", "1e3", "x"))
        yield from (merchant.pay(japanese(paymentMethod=code)) for code in ("10", "61", "99"))
        yield merchant.pay(changed(payment(), {"clientReferenceInformation.code": "日本語 \U0001f4b4 \u0000"}))
        yield merchant.pay({"orderInformation": []})
        yield merchant.call("POST", "/pts/v2/payments", body=b"{")
        yield merchant.capture("0" * 22)
        yield merchant.post("/pts/v2/payments/abc/captures", amount_of("1.00"))
        yield merchant.call("DELETE", "/pts/v2/payments")
        yield merchant.call("GET", "/nowhere")
        for reply in (made, sold, held, paid, lodged):
            yield merchant.call("GET", f"/tss/v2/transactions/{reply.id}")
    yield vpc.call("GET", f"/tss/v2/transactions/{till.pay().id}")
    yield from tokens(vpc)
    yield from more_tokens(till)
    for merchant in (till, vpc):
        yield from searches(merchant)
        yield from recurring(merchant)


def tokens(shop: Client) -> Iterator[Reply]:
    """Tokens made, changed, listed, refused and deleted."""
    customer = shop.post("/tms/v2/customers", {"objectInformation": {"title": "\u6771\u4eac"}})
    path = f"/tms/v2/customers/{customer.id}"
    number = shop.post("/tms/v1/instrumentidentifiers", {"card": {"number": "5555555555554444"}})
    refers = {"instrumentIdentifier": {"id": number.id}, "card": {"type": "002"}}
    yield from (customer, number, shop.post("/tms/v1/instrumentidentifiers", {"card": {"number": "5555555555554444"}}))
    cards = [shop.post(f"{path}/payment-instruments", refers, Idempotency_Key=key) for key in ("a", "b", "b", "c")]
    yield from cards
    yield from (shop.post(f"{path}/shipping-addresses", {"shipTo": {"country": code}}) for code in ("JP", "XXX"))
    yield shop.call("PATCH", f"{path}/payment-instruments/{cards[1].id}", {"default": True})
    for offset in (0, 1, 2):
        yield shop.call("GET", f"{path}/payment-instruments?offset={offset}&limit=1")
    yield shop.call("GET", f"/tms/v1/instrumentidentifiers/{number.id}/paymentinstruments")
    yield from (shop.call("PATCH", path, {}, {"if-match": tag}) for tag in ('"1"', "*"))
    for token in (f"{path}/payment-instruments/{cards[1].id}", f"/tms/v1/instrumentidentifiers/{number.id}", path):
        yield shop.call("DELETE", token)
    yield from (shop.call("GET", each) for each in (path, f"/tms/v1/instrumentidentifiers/{number.id}", path + "x"))


def more_tokens(shop: Client) -> Iterator[Reply]:
    """Lone cards, bank accounts, several at once, other defaults and numbers, and whatever is refused of it."""
    numbers, lone = "/tms/v1/instrumentidentifiers", "/tms/v1/paymentinstruments"
    account = {"bankAccount": {"number": "4100271828", "routingNumber": "071923284"}}
    made = [shop.post(numbers, document) for document in (account, account, {"card": {"number": "411111"}}, {})]
    card = shop.post(numbers, {"card": {"number": "4917610000000000"}})
    yield from (*made, card)
    documents = [
        {"card": {"type": "001"}, "instrumentIdentifier": {"id": each}} for each in (card.id, made[0].id, "F" * 32)
    ]
    cards = [shop.post(lone, document) for document in documents]
    yield from cards
    later: Json = {"card": {"expirationMonth": "01", "expirationYear": "2033"}}
    changes: tuple[object, ...] = ({"card": {"expirationMonth": "13"}}, later, [])
    for change in changes:
        yield shop.call("PATCH", f"{lone}/{cards[0].id}", change)
    yield shop.call("PATCH", f"{lone}/{cards[0].id}", {"instrumentIdentifier": {"id": made[0].id}})
    several = {"customer": {}, "paymentInstrument": documents[0], "shippingAddress": {"shipTo": {"country": "JP"}}}
    yield shop.post("/tms/v2/tokenize", {"tokenInformation": several})
    for method, path in (("GET", lone), ("DELETE", lone), ("GET", lone), ("DELETE", lone)):
        yield shop.call(method, f"{path}/{cards[0].id}")
    yield from (shop.call(method, f"{numbers}/{card.id}") for method in ("GET", "DELETE", "GET"))
    yield from (shop.call(method, f"{numbers}/{made[0].id}") for method in ("DELETE", "GET", "PUT"))


def searches(shop: Client) -> Iterator[Reply]:
    """Queries, sorted and paged, saved and asked again; those that cannot be read."""
    path = "/tss/v2/searches"
    shop.service.until_quiet()  # a clean-up makes transactions that a search may find
    shop.service.run(shop.service.house.worker.indexer.round(behind_s=0))
    queries = (
        "id:*",
        "orderInformation.currency:JPY",
        "NOT id:*",
        "submitTimeUtc:[NOW-1DAY TO NOW]",
        "id:(",
        "",
        "x:1",
    )
    for query in queries:
        yield shop.post(path, {"query": query, "limit": 7, "sort": "id:asc"})
    for offset in (0, 2, 400, -1):
        yield shop.post(path, {"query": "id:*", "offset": offset, "limit": 2, "sort": "submitTimeUtc:desc,id:desc"})
    saved = shop.post(path, {"query": "id:*", "save": True, "name": "\u6771\u4eac", "limit": 1})
    yield saved
    yield shop.call("GET", f"{path}/{saved.json['searchId']}")
    yield shop.call("GET", f"{path}/00000000-0000-4000-8000-000000000000")
    wrong: tuple[object, ...] = ({}, [], {"query": 1}, {"query": "id:*", "limit": "x"})
    yield from (shop.post(path, document) for document in wrong)


def recurring(shop: Client) -> Iterator[Reply]:
    """Plans and subscriptions from the first charge to the end, with what each state refuses."""
    plans, subscriptions = "/rbs/v1/plans", "/rbs/v1/subscriptions"
    customer = Shop(shop).customer()
    yield from (shop.call("GET", f"{each}/code") for each in (plans, subscriptions))
    gold, silver = (shop.post(plans, plan(name), Idempotency_Key=name) for name in ("Gold", "Silver"))
    yield from (gold, silver, shop.post(plans, plan(planInformation__code=gold.json["planInformation"]["code"])))
    yield from (shop.post(plans, document) for document in ({}, plan(amount="x"), plan(amount="1.234")))
    for step in ("deactivate", "deactivate", "activate", "nothing"):
        yield shop.post(f"{plans}/{silver.id}/{step}", {})
    yield from (
        shop.call("PATCH", f"{plans}/{gold.id}", document) for document in ({"planInformation": {"name": "x"}}, {})
    )
    planned: Json = {"subscriptionInformation__planId": gold.id}
    starts = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    begun = shop.post(subscriptions, subscription(customer, starts, **planned), Idempotency_Key="first")
    yield from (begun, shop.post(subscriptions, subscription(customer, starts, **planned), Idempotency_Key="first"))
    ahead = shop.post(subscriptions, subscription(customer, "2099-01-01T00:00:00Z", **own_terms()))
    yield ahead
    yield from (shop.post(subscriptions, document) for document in (subscription("F" * 32, starts, **own_terms()), {}))
    path = f"{subscriptions}/{begun.id}"
    yield from (shop.call("GET", each) for each in (path, f"{path}/payments", f"{path}x", f"{subscriptions}?limit=1"))
    yield shop.call("PUT", f"{subscriptions}/{ahead.id}/payments", {"billingCyclesToSkip": [2]})
    yield shop.call("PATCH", path, {"subscriptionInformation": {"name": "Renamed"}})
    for step in ("suspend", "suspend", "activate", "activate", "cancel", "cancel"):
        yield shop.post(f"{path}/{step}", {})
    yield from (shop.call("DELETE", f"{plans}/{each.id}") for each in (gold, silver, silver))
    yield from (shop.call("GET", each) for each in (f"{plans}?limit=1", f"{plans}/{silver.id}", subscriptions))


def likened(reply: Reply, names: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """An answer without what no two answers share: ids, each by the order in which it was first seen, and times."""

    def name(found: re.Match[str]) -> str:
        if found.lastgroup in ("time", "made"):  # two answers may well be of one second
            return f"<{found.lastgroup}>"
        return names.setdefault(found[0], f"<{found.lastgroup} {len(names)}>")

    body = VOLATILE.sub(name, reply.body.decode())
    return reply.status, {name: reply.headers[name] for name in HEADERS if name in reply.headers}, body


VOLATILE = re.compile(
    r"(?P<token>\b(?:[0-9A-F]{32}|70[123][0-9]{16})\b)|"
    r"(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)|"
    r"(?P<id>\b[0-9]{22}\b)|(?P<time>\b20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z)|(?P<port>127\.0\.0\.1:[0-9]+)|"
    r'(?P<made>(?<="code":")[0-9]{13}(?="))|(?P<network>(?<="transactionId":")[0-9]+)|'
    r'(?P<code>(?<="approvalCode":")[^"]+)|(?P<reference>(?<="reconciliationId":")[^"]+)|'
    r'(?P<rrn>(?<="retrievalReferenceNumber":")[^"]+)|(?P<stan>(?<="systemTraceAuditNumber":")[^"]+)'
)


def transcript(folder: Path, url: str) -> list[tuple[int, dict[str, str], str]]:
    folder.mkdir()
    names: dict[str, str] = {}
    with serving(folder, url, io.StringIO()) as service:
        return [likened(reply, names) for reply in script(service.till(), service.till("kessai_vpc"))]


def test_both_databases_give_the_same_answers(tmp_path: Path) -> None:
    embedded, server = transcript(tmp_path / "sqlite", ""), transcript(tmp_path / "postgresql", postgres.fresh())
    assert len(embedded) > 240
    assert {status for status, _, _ in embedded} >= {200, 201, 202, 204, 400, 404, 405, 409, 410, 412}
    for place, (one, other) in enumerate(zip(embedded, server, strict=True)):
        assert one == other, place


def test_what_is_likened_still_tells_answers_apart() -> None:
    """The test of the test."""

    def seen(document: Json) -> tuple[int, dict[str, str], str]:
        return likened(Reply(201, {}, str(document).encode()), {})

    assert seen({"id": "7" * 22}) == seen({"id": "8" * 22})
    assert seen({"id": "7" * 22, "status": "AUTHORIZED"}) != seen({"id": "8" * 22, "status": "DECLINED"})
