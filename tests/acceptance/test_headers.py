"""What every answer says of itself, on both wires and on the pages of payers (R-47)."""

import pytest

from tests.acceptance.client import Service
from tests.acceptance.options import PREFIX, shop_of
from tests.attacks.harm import head, raw
from tests.hosted.payer import Payer

AS_SAID = ("x-content-type-options", "nosniff")


def test_no_browser_guesses_what_an_answer_is(service: Service) -> None:
    """R-47: answers and refusals of both wires, pages and their files, the server's own refusals; once each."""
    shop, till = shop_of(service, "po_headers"), service.till()
    paid = till.pay()
    page = Payer.of(shop).path
    answers = [
        shop.raw("POST", f"{PREFIX}/payment", shop.client.headers, b"{"),
        shop.raw("GET", f"{PREFIX}/subscription/list", shop.client.headers),
        shop.raw("GET", f"{PREFIX}/subscription/list", {}),
        shop.raw("GET", f"{PREFIX}/nothing", {}),
        *(service.http.get(path) for path in (page, f"{page}x", "/HostedPaymentPage/page.css", "/3ds/v2/page.css")),
        *(service.http.get(path) for path in ("/microform/v2/microform.js", "/flex/v2/public-keys/x", "/", "/a/b")),
    ]
    for answer in answers:
        assert [pair for pair in answer.headers.multi_items() if pair[0] == AS_SAID[0]] == [AS_SAID]
    replies = [paid, till.call("GET", f"/pts/v2/payments/{paid.id}"), till.call("GET", "/pts/v2/payments/1")]
    replies.append(till.send("POST", "/pts/v2/payments", b"{}", {}))
    assert {reply.headers[AS_SAID[0]] for reply in replies} == {AS_SAID[1]}
    assert sorted({reply.status for reply in replies}) == [200, 201, 401, 404]


@pytest.mark.parametrize(
    "sent",
    [head("POST", "/pts/v2/payments", {}), head("GET", "/", {"host": "x", "a": "b" * 100_000}), b"nonsense\r\n\r\n"],
)
def test_the_servers_own_refusals_say_it_too(service: Service, sent: bytes) -> None:
    assert raw(service, sent).lower().count(b"\r\nx-content-type-options: nosniff\r\n") == 1
