"""One script of requests on both databases: what a merchant sees does not tell them apart, to the byte."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from tests import postgres
from tests.acceptance.client import Client, Json, Reply, amount_of, changed, japanese, payment
from tests.acceptance.conftest import serving

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
    assert len(embedded) > 100
    assert {status for status, _, _ in embedded} >= {200, 201, 204, 400, 404, 409, 410, 412}
    for place, (one, other) in enumerate(zip(embedded, server, strict=True)):
        assert one == other, place


def test_what_is_likened_still_tells_answers_apart() -> None:
    """The test of the test."""

    def seen(document: Json) -> tuple[int, dict[str, str], str]:
        return likened(Reply(201, {}, str(document).encode()), {})

    assert seen({"id": "7" * 22}) == seen({"id": "8" * 22})
    assert seen({"id": "7" * 22, "status": "AUTHORIZED"}) != seen({"id": "8" * 22, "status": "DECLINED"})
