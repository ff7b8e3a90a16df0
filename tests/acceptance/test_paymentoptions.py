"""The PaymentOptions wire over real sockets: the documents' conformance cases, by their numbers, and the document."""

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from kessai.client import Result
from tests.acceptance.client import Service
from tests.acceptance.options import CARD, HOME, PREFIX, Shop, paid, shop_of
from tests.acceptance.test_documents import differences, document

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z")


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "po_shop")


@pytest.fixture
def other(service: Service) -> Shop:
    return shop_of(service, "po_other")


def refused(result: Result, status: int) -> Result:
    assert (result.status, result.success, result.document["status_code"]) == (status, False, status), result.document
    return result


def is_uuid4(text: str) -> bool:
    return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


# ---- the document


def test_the_documents_request_is_answered_as_documented_and_its_token_pays_again(service: Service) -> None:
    shop = shop_of(service, "po_document", **{"paymentoptions.echo_test_cards": "true"})
    request, expected = document("paymentoptions-payment-request"), document("paymentoptions-payment-response")
    request["merchant_id"] = shop.merchant
    request["return_url"]["webhook_url"] = "https://shop.example/hook"
    request["card"]["expiry_year"] = "39"
    answer = paid(shop.post("payment", request))
    found = answer.document
    # The documents' own slip: a Visa number told to be MasterCard's.
    assert (found["payment_details"]["scheme"], found["payment_details"]["payment_method"]) == ("VISA", "VISA-SSL")
    expected["payment_details"]["scheme"], expected["payment_details"]["payment_method"] = "VISA", "VISA-SSL"
    expected["payment_details"]["card"]["exp_year"] = "39"
    for place in ("merchant_details.mid", "transaction_details.id", "transaction_details.timestamp"):
        one, name = place.split(".")
        expected[one][name] = found[one][name]
    for place in ("transaction_details.ref", "payment_details.auth_code"):
        one, name = place.split(".")
        assert type(expected[one][name]) is type(found[one][name])
        expected[one][name] = found[one][name]
    expected["transaction_details"]["stored_payment_method_id"] = answer.token
    assert differences(expected, dict(found)) == []
    assert found == expected
    assert re.fullmatch(r"\d{6}", found["payment_details"]["auth_code"])

    for spelling in ("stored_payment_method_id", "store_payment_method_id"):
        again = {name: value for name, value in request.items() if name != "card"}
        again["payment_method"] = {"type": "scheme", "store_payment_method": True, spelling: answer.token}
        told = paid(shop.post("payment", again)).document
        assert told["transaction_type"] == "CAPTURE"
        assert told["payment_details"]["card"] == expected["payment_details"]["card"]
        assert told["merchant_details"]["device_details"]["merchant_ip"] == "127.0.0.1"
        assert told["transaction_details"]["stored_payment_method_id"] == answer.token


def test_a_card_is_masked_unless_a_test_merchant_asks(shop: Shop) -> None:
    assert paid(shop.pay()).document["payment_details"]["card"] == {
        "name": "John Doe",
        "number": "520000******1005",
        "exp_month": "12",
        "exp_year": "39",
    }


# ---- payments: cases 1 to 16


def test_a_payment(shop: Shop) -> None:
    result = paid(shop.pay())
    found = result.document
    assert (found["status_code"], found["is_live"], found["transaction_type"]) == (201, False, "CAPTURE")
    assert found["gateway_response"] == {
        "version": "1",
        "type": "INFO",
        "message": "Payment Successful.",
        "code": "INFO0000",
    }
    details = found["payment_details"]
    assert (details["amount"], type(details["amount"]), details["response_code"]) == (1000, int, 0)
    assert re.fullmatch(r"\d{6}", details["auth_code"])
    assert (details["currency"], details["scheme"], details["payment_method"]) == ("JPY", "MASTERCARD", "ECMC-SSL")
    assert list(details["card"]) == ["name", "number", "exp_month", "exp_year"]
    made = found["transaction_details"]
    assert is_uuid4(made["id"])
    assert type(made["ref"]) is int
    assert STAMP.fullmatch(made["timestamp"])
    assert made["merchant_txn_ref"] == found["merchant_details"]["merchant_txn_ref"] == "order-1"
    assert "stored_payment_method_id" not in made
    assert found["risk-details"] == {"risk_score": None}
    assert "risk_details" not in found
    merchant = found["merchant_details"]
    assert merchant["billing_details"]["billing_address"] == shop.body()["billing_address"]
    assert list(merchant["billing_details"]) == ["billing_address"]
    assert merchant["device_details"] == {"visited_ip": "127.0.0.1", "customer_ip": "192.0.2.10"}
    assert merchant["legal_name"] == "アイベック株式会社"
    assert "100" not in json.dumps(details["card"]).replace("1005", "")


@pytest.mark.parametrize(
    ("number", "cvc", "scheme", "method"),
    [
        ("4000000000001091", "100", "VISA", "VISA-SSL"),
        ("5200000000001005", "100", "MASTERCARD", "ECMC-SSL"),
        ("340000000001007", "1000", "AMEX", "AMEX-SSL"),
        ("3337000000000008", "100", "JCB", "JCB-SSL"),
        ("3530111333300000", "100", "JCB", "JCB-SSL"),
        ("36000000000008", "100", "DINERS", "DINERS-SSL"),
        ("6011111111111117", "100", "DISCOVER", "DISCOVER-SSL"),
    ],
)
def test_the_scheme_is_the_cards(shop: Shop, number: str, cvc: str, scheme: str, method: str) -> None:
    details = paid(shop.pay(card__number=number, card__cvc=cvc)).document["payment_details"]
    assert (details["scheme"], details["payment_method"]) == (scheme, method)


def test_the_doubled_prefix_is_the_same(shop: Shop) -> None:
    headers = {**shop.client.headers, "content-type": "application/json"}
    answer = shop.raw("POST", f"/api/v1{PREFIX}/payment", headers, json.dumps(shop.body()).encode())
    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/json")
    assert list(answer.json()) == list(shop.pay().document)


@pytest.mark.parametrize("amount", [1000, "1000"])
def test_an_amount_is_a_number_or_a_text(shop: Shop, amount: object) -> None:
    assert paid(shop.pay(amount=amount)).document["payment_details"]["amount"] == 1000


@pytest.mark.parametrize(
    ("unit", "sent", "told"),
    [("major", "10.50", 10.5), ("major", "10.00", 10), ("major", 7, 7), ("minor", "1050", 1050)],
)
def test_two_decimals(service: Service, unit: str, sent: object, told: float) -> None:
    shop = shop_of(service, f"po_{unit}", **{"paymentoptions.amount_unit": unit})
    answer = paid(shop.pay(amount=sent, currency="PHP"))
    assert answer.document["payment_details"]["amount"] == told
    assert paid(shop.follow("refund", answer.id, amount=sent)).document["payment_details"]["amount"] == told


def test_a_stored_card_pays_again_and_again(shop: Shop, other: Shop) -> None:
    first = paid(shop.pay(payment_method__store_payment_method=True))
    assert is_uuid4(first.token)
    refs = [first.ref]
    for amount in ("500", "700", "900"):
        again = paid(shop.pay(card=None, amount=amount, payment_method__stored_payment_method_id=first.token))
        assert again.document["transaction_type"] == "CAPTURE"
        assert again.document["payment_details"]["card"]["number"] == "520000******1005"
        assert again.document["payment_details"]["card"]["name"] == "John Doe"
        refs.append(again.ref)
    assert refs == sorted(set(refs), key=lambda ref: ref or 0)
    held = shop.authorize(card=None, payment_method__stored_payment_method_id=first.token)
    assert paid(held).document["transaction_type"] == "PRE_AUTH"
    unknown = refused(shop.pay(card=None, payment_method__stored_payment_method_id=str(uuid.uuid4())), 404)
    foreign = refused(other.pay(card=None, payment_method__stored_payment_method_id=first.token), 404)
    assert foreign.document == unknown.document
    both = shop.pay(payment_method__stored_payment_method_id=first.token)
    assert (refused(both, 400).code, "`card`" in both.message) == ("VAL0004", True)


def test_a_declined_payment_stores_nothing(shop: Shop) -> None:
    declined = shop.post(
        "payment",
        shop.body(payment_method__store_payment_method=True),
        {"kessai-scenario": "insufficient-funds"},
    )
    assert (declined.status, declined.success, declined.code, declined.response_code) == (201, False, "ERR0051", 51)
    assert declined.message == "Insufficient funds"
    assert declined.token == ""
    assert is_uuid4(declined.id)
    status = shop.client.status(declined.id)
    assert (status.status, status.success, status.code) == (200, False, "ERR0051")


# ---- authorization, capture, void, refund: cases 17 to 29


def test_a_capture(shop: Shop) -> None:
    held = paid(shop.authorize())
    assert (held.document["transaction_type"], held.code) == ("PRE_AUTH", "INFO0000")
    taken = paid(shop.follow("capture", held.id, amount=1000, notes="shipped"))
    found = taken.document
    assert (taken.code, taken.message) == ("INFO0001", "Amount successfully captured.")
    assert found["transaction_type"] == "CAPTURE"
    assert found["payment_details"]["auth_code"] == held.document["payment_details"]["auth_code"]
    assert list(found["merchant_details"]) == ["legal_name", "mid", "merchant_txn_ref"]
    assert list(found["transaction_details"]) == ["id", "ref", "timestamp", "merchant_txn_ref"]
    assert "risk-details" not in found
    assert taken.id != held.id
    assert refused(shop.follow("capture", held.id, amount=1000), 412).code == "ERR4123"
    assert refused(shop.follow("void", held.id), 412).code == "ERR4123"
    back = paid(shop.follow("refund", taken.id, amount=1000))
    assert (back.code, back.message) == ("INFO0002", "Amount successfully refunded.")
    assert back.document["transaction_type"] == "REFUND"
    assert back.document["payment_details"]["auth_code"] == held.document["payment_details"]["auth_code"]
    assert (back.ref or 0) > (taken.ref or 0)


def test_a_partial_capture_releases_the_rest(shop: Shop) -> None:
    held = paid(shop.authorize())
    taken = paid(shop.follow("capture", held.id, amount="600"))
    assert taken.document["payment_details"]["amount"] == 600
    refused(shop.follow("capture", held.id, amount=400), 412)
    refused(shop.follow("void", held.id), 412)
    shop.service.assert_books()


def test_a_capture_over_the_amount_changes_nothing(shop: Shop) -> None:
    held = paid(shop.authorize())
    over = refused(shop.follow("capture", held.id, amount=1001), 412)
    assert (over.code, over.response_code) == ("ERR4126", 836)
    assert shop.client.status(held.id).document["transaction_type"] == "PRE_AUTH"
    paid(shop.follow("capture", held.id, amount=1000))


def test_a_void(shop: Shop) -> None:
    held = paid(shop.authorize())
    gone = paid(shop.follow("void", held.id))
    assert (gone.code, gone.message) == ("INFO0003", "Authorization Successfully Cancelled.")
    assert gone.document["transaction_type"] == "VOID"
    assert gone.document["payment_details"]["amount"] == 1000
    assert gone.document["payment_details"]["auth_code"] == held.document["payment_details"]["auth_code"]
    assert refused(shop.follow("void", held.id), 412).code == "ERR4124"
    refused(shop.follow("capture", held.id, amount=1000), 412)


def test_refunds_stay_within_what_was_paid(shop: Shop) -> None:
    sold = paid(shop.pay())
    paid(shop.follow("refund", sold.id, amount=400))
    paid(shop.follow("refund", sold.id, amount=600))
    over = refused(shop.follow("refund", sold.id, amount=1), 412)
    assert (over.code, over.response_code, over.message) == ("ERR3019", -8019, "Insufficient refund balance")
    held = paid(shop.authorize())
    assert refused(shop.follow("refund", held.id, amount=1000), 412).code == "ERR4122"
    assert refused(shop.follow("void", sold.id), 412).code == "ERR4123"
    shop.service.assert_books()


# ---- status: cases 30 to 33


def test_the_status_of_a_payment(shop: Shop, other: Shop) -> None:
    sold = paid(shop.pay(shipping_address=shop.body()["billing_address"]))
    result = shop.client.status(sold.id)
    found = result.document
    assert (result.status, found["status_code"], found["success"]) == (200, 200, True)
    assert (found["transaction_type"], result.code) == ("CAPTURE", "INFO0000")
    details = found["payment_details"]
    assert details["responseDescription"] == "The transaction was completed successfully."
    assert list(found["merchant_details"]) == ["legal_name", "mid", "merchant_txn_ref"]
    made = found["transaction_details"]
    assert list(made) == ["id", "ref", "timestamp", "billing_details"]
    assert (made["id"], made["ref"]) == (sold.id, sold.ref)
    for address in ("billing_address", "shipping_address"):
        shown = made["billing_details"][address]
        assert list(shown) == ["country", "email", "address1", "phone_number", "city", "state", "postal_code"]
        assert shown["phone_number"] == "N/A"
    assert found["risk_details"] == {"risk_score": None}
    assert "risk-details" not in found
    unknown = refused(shop.client.status(str(uuid.uuid4())), 404)
    assert refused(other.client.status(sold.id), 404).document == unknown.document
    assert refused(shop.client.status("1" * 22), 404).document == unknown.document
    for path in ("capture", "refund"):
        foreign = other.follow(path, sold.id, amount=1)
        assert foreign.document == other.follow(path, str(uuid.uuid4()), amount=1).document == unknown.document
    assert other.follow("void", sold.id).document == unknown.document


def test_the_status_of_every_operation(shop: Shop) -> None:
    held, sold = paid(shop.authorize()), paid(shop.pay())
    back, gone = paid(shop.follow("refund", sold.id, amount=1000)), paid(shop.follow("void", held.id))
    kinds = {result.id: shop.client.status(result.id).document for result in (held, back, gone)}
    assert [found["transaction_type"] for found in kinds.values()] == ["PRE_AUTH", "REFUND", "VOID"]
    assert [found["gateway_response"]["code"] for found in kinds.values()] == ["INFO0000", "INFO0002", "INFO0003"]


# ---- who calls: cases 34 and 35


def test_both_headers_are_wanted(shop: Shop, other: Shop) -> None:
    good = dict(shop.client.headers)
    body = json.dumps(shop.body()).encode()
    wrong = [
        {"x-api-key": good["x-api-key"]},
        {"authorization": good["authorization"]},
        good | {"x-api-key": "wrong"},
        good | {"authorization": "Basic d3Jvbmc6"},
        good | {"x-api-key": other.keys["x_api_key"]},
        good | {"authorization": other.client.headers["authorization"]},
        {},
    ]
    for headers in wrong:
        answer = shop.raw("POST", f"{PREFIX}/payment", headers, body)
        assert answer.status_code == 401
        assert answer.json()["success"] is False
        assert answer.headers["content-type"].startswith("application/json")
    assert shop.raw("POST", f"{PREFIX}/payment", good, body).status_code == 201


def test_another_merchants_id_is_unauthorized(shop: Shop, other: Shop) -> None:
    refused(shop.pay(merchant_id=other.merchant), 401)


# ---- what is wrong with a request: cases 36 to 40


def test_a_body_that_is_none(shop: Shop) -> None:
    for body in (b"", b"{", b"[]", b"null", b'{"amount":1}x', b"\xff"):
        answer = shop.raw("POST", f"{PREFIX}/payment", shop.client.headers, body)
        assert (answer.status_code, answer.json()["success"]) == (400, False)
        assert answer.json()["gateway_response"]["code"] == "VAL0001"


@pytest.mark.parametrize("member", ["amount", "currency", "card", "merchant_id", "billing_address"])
def test_a_missing_member(shop: Shop, member: str) -> None:
    result = refused(shop.pay(**{member: None}), 400)
    assert (result.code, result.document["gateway_response"]["type"]) == ("VAL0002", "VALIDATION")
    assert f"`{member}`" in result.message


@pytest.mark.parametrize(
    ("changes", "status", "member"),
    [
        ({"card__number": "5200000000001006"}, 406, "card.number"),
        ({"card__number": "5200"}, 406, "card.number"),
        ({"card__expiry_year": "24"}, 406, "card.expiry_year"),
        ({"card__expiry_month": "13"}, 406, "card.expiry_month"),
        ({"card__cvc": "12"}, 406, "card.cvc"),
        ({"card__cvc": "1234"}, 406, "card.cvc"),
        ({"currency": "JPYX"}, 400, "currency"),
        ({"currency": "XXX"}, 400, "currency"),
        ({"merchant_txn_ref": "r" * 46}, 400, "merchant_txn_ref"),
        ({"return_url__success_url": "https://shop.example/" + "x" * 240}, 400, "return_url.success_url"),
        ({"billing_address__country": "JPN"}, 400, "billing_address.country"),
        ({"payment_method__type": "gcash"}, 400, "payment_method.type"),
        ({"billing_address": "Tokyo"}, 400, "billing_address"),
        *(({"amount": amount}, 400, "amount") for amount in ("10.5", "-1", "1e3", "01", "1,000", "0", True, "１")),
    ],
)
def test_a_member_that_cannot_be(shop: Shop, changes: dict[str, object], status: int, member: str) -> None:
    result = refused(shop.pay(**changes), status)
    assert f"`{member}`" in result.message


def test_an_empty_amount_is_missing(shop: Shop) -> None:
    assert refused(shop.pay(amount=""), 400).code == "VAL0002"


@pytest.mark.parametrize(("year", "shown"), [("39", "39"), ("2039", "39")])
def test_a_year_has_two_digits_or_four(shop: Shop, year: str, shown: str) -> None:
    assert paid(shop.pay(card__expiry_year=year)).document["payment_details"]["card"]["exp_year"] == shown


def test_browsers_are_told_as_text_or_number(shop: Shop) -> None:
    browser = {"javaEnabled": "false", "screenHeight": 1200, "screenWidth": "1600", "userAgent": "x"}
    paid(shop.pay(browser_info=browser))
    result = paid(shop.post("paymentv2", shop.body(browser_info=browser)))
    assert (result.status, result.document["transaction_type"]) == (201, "CAPTURE")
    assert paid(shop.post("authorizationv2", shop.body())).document["transaction_type"] == "PRE_AUTH"
    paid(shop.pay(card__number="4000002500003155"))


# ---- Japanese text, many at once, races: cases 57 to 60


def test_japanese_text_comes_back_as_it_was_sent(shop: Shop) -> None:
    address = {"country": "JP", "address1": "丸の内1-1 髙﨑ビル", "city": "千代田区", "state": "東京都"}
    address |= {"postal_code": "100-0001", "phone_number": "0312345678", "email": "a@shop.example"}
    sold = paid(shop.pay(card__name="山田 太郎", billing_address=address, merchant_txn_ref="注文-１"))
    merchant = sold.document["merchant_details"]
    assert {**merchant["billing_details"]["billing_address"]} == address
    assert merchant["merchant_txn_ref"] == "注文-１"
    status = shop.client.status(sold.id).document
    assert status["payment_details"]["card"]["name"] == "山田 太郎"
    assert status["transaction_details"]["billing_details"]["billing_address"]["address1"] == address["address1"]


def test_many_at_once(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: paid(shop.pay(amount=str(number))), range(1, 101)))
    assert len({result.id for result in results}) == len({result.ref for result in results}) == 100
    assert sum(result.document["payment_details"]["amount"] for result in results) == 5050


def test_of_two_at_the_same_time_one_succeeds(shop: Shop) -> None:
    with ThreadPoolExecutor(2) as pool:
        for amount in (1000, 500):
            held = paid(shop.authorize())
            both = [pool.submit(shop.follow, "capture", held.id, amount=amount) for _ in range(2)]
            told = [each.result() for each in both]
            assert sorted(result.status for result in told) == [201, 412]
        sold = paid(shop.pay())
        told = list(pool.map(lambda _: shop.follow("refund", sold.id, amount=1000), range(2)))
        assert sorted(result.status for result in told) == [201, 412]
    shop.service.assert_books()


def test_no_card_number_is_in_a_log_or_an_answer(shop: Shop) -> None:
    answers = [shop.pay(card__cvc="987"), shop.pay(card__number="5200000000001006", card__cvc="987")]
    answers.append(shop.pay(merchant_txn_ref=CARD.number, billing_address__address1=CARD.number))
    shown = "".join(json.dumps(answer.document) for answer in answers) + shop.service.logs.getvalue()
    assert CARD.number not in shown
    assert "5200000000001006" not in shown
    assert '"987"' not in shown


@pytest.mark.parametrize(
    "path", ["payment", "paymentv2", "authorization", "authorizationv2", "subscription/payment", "hpp/generate/link"]
)
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//shop.example/", "file:///etc/passwd", "https://a.example/ b"]
)
@pytest.mark.parametrize("name", ["success_url", "decline_url", "cancel_url"])
def test_a_payer_is_sent_to_pages_only(shop: Shop, path: str, url: str, name: str) -> None:
    """A-82: on every route that takes such an address, whether a payer is sent there or not."""
    refused = shop.post(path, shop.body(return_url={name: url}))
    assert (refused.status, refused.code) == (400, "VAL0004")
    assert f"`return_url.{name}`" in refused.message


def test_the_typed_client(shop: Shop) -> None:
    client = shop.client
    sold = paid(client.payment("1000", "JPY", HOME, card=CARD, store=True, reference="typed"))
    assert sold.token
    held = paid(client.authorization("800", "JPY", HOME, token=sold.token))
    taken = paid(client.capture(held.id, 800))
    paid(client.refund(taken.id, "300", "one was broken"))
    paid(client.void(paid(client.authorization("10", "JPY", HOME, card=CARD)).id))
    assert client.status(sold.id).document["transaction_details"]["id"] == sold.id
    assert datetime.fromisoformat(sold.document["transaction_details"]["timestamp"]).tzinfo is not None


def test_the_program_on_the_page_runs(shop: Shop) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "pay-over-paymentoptions.md").read_text("utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = program.replace("http://127.0.0.1:8080", str(shop.service.http.base_url)).replace("kessai_sandbox", "{}")
    program = program.replace('api_key="…", x_api_key="…"', "**KEYS").replace('"{}"', repr(shop.merchant))
    said: dict[str, Result] = {}
    exec(program, {"KEYS": shop.keys}, said)
    assert (said["paid"].code, said["again"].code, said["back"].code) == ("INFO0000", "INFO0000", "INFO0002")


def test_a_request_with_an_idempotency_key_is_carried_out_once(shop: Shop) -> None:
    def keyed(path: str, document: object, key: str) -> httpx.Response:
        headers = {**shop.client.headers, "content-type": "application/json", "idempotency-key": key}
        return shop.raw("POST", f"{PREFIX}/{path}", headers, json.dumps(document).encode())

    key = str(uuid.uuid4())
    first, again = (keyed("authorization", shop.body(), key) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["kessai-replayed"] == "true"
    assert keyed("authorization", shop.body(amount="1001"), key).json()["gateway_response"]["code"] == "ERR4133"
    document = {"transactionId": first.json()["transaction_details"]["id"], "merchant_id": shop.merchant}
    for path, more in (("capture", {"amount": 600}), ("void", {})):
        told = [keyed(path, document | more, f"{path} {key}") for _ in range(2)]
        if path == "capture":
            assert [each.status_code for each in told] == [201, 201]
            assert told[0].content == told[1].content
        else:
            assert [each.status_code for each in told] == [412, 412]
    assert keyed("payment", shop.body(), "x" * 256).status_code == 400
    assert keyed("payment", shop.body(), CARD.number).status_code == 201
