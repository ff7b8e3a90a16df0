"""The documents' own examples, byte for byte: answers have the documented members, types and letters."""

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.client import AUTHORIZED, PENDING, Client, Json, changed, payment, refused

DOCUMENTS = Path(__file__).with_name("documents")
OPTION = "processingInformation.japanPaymentOptions"


def document(name: str) -> Json:
    found = json.loads((DOCUMENTS / f"{name}.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


# ---- comparing


def differences(expected: object, found: object, path: str = "") -> list[str]:
    """Where an answer is built unlike the documented one: members and their order, types, forms of texts."""
    if isinstance(expected, dict) and isinstance(found, dict):
        wrong = [f"{path}: {list(expected)} became {list(found)}"] if list(expected) != list(found) else []
        for name in expected.keys() & found.keys():
            wrong += differences(expected[name], found[name], f"{path}.{name}".lstrip("."))
        return wrong
    if isinstance(expected, list) and isinstance(found, list):
        pairs = enumerate(zip(expected, found, strict=False))
        return [text for index, (one, other) in pairs for text in differences(one, other, f"{path}[{index}]")]
    if type(expected) is not type(found):
        return [f"{path}: {type(expected).__name__} became {type(found).__name__}"]
    if isinstance(expected, str) and isinstance(found, str) and form(path, expected) != form(path, found):
        return [f"{path}: {expected} became {found}"]
    return []


def form(path: str, text: str) -> str:
    """What two texts of one member have in common: decimals of an amount, digits of a number, letters of a word."""
    last = path.rpartition(".")[2]
    if last == "code" and path.startswith("clientReferenceInformation"):
        return "any"  # the example prints a code that its request did not have
    if last.endswith("Amount"):
        return re.sub(r"[0-9]", "9", re.sub(r"^[0-9]+", "9", text))
    if last == "reconciliationId" and not text.isdigit():
        return re.sub(r"[0-9A-Z]", "9", text)
    return re.sub(r"[0-9]", "9", text)


def test_the_comparison_tells_documents_apart() -> None:
    one: Json = {"id": "123", "a": {"totalAmount": "100", "currency": "jpy"}, "list": [{"x": "A"}]}
    assert differences(one, {"id": "999", "a": {"totalAmount": "12000", "currency": "jpy"}, "list": [{"x": "A"}]}) == []
    for path, value in (
        ("id", "12"),
        ("id", 123),
        ("a.totalAmount", "100.00"),
        ("a.currency", "JPY"),
        ("a.more", "1"),
        ("list", [{"x": 1}]),
    ):
        assert len(differences(one, changed(one, {path: value}))) == 1
    assert differences(one, {"a": one["a"], "id": "123", "list": one["list"]})


# ---- Japanese payment options

REQUEST = document("jpo-installment-request")
RESPONSE = document("jpo-installment-response")
NAMES = {
    name: REQUEST["processingInformation"]["japanPaymentOptions"][name]
    for name in ("businessName", "businessNameAlphaNumeric", "businessNameKatakana")
}


def with_option(**option: object) -> Json:
    """The documented request with another option; the names stay."""
    return changed(REQUEST, {OPTION: NAMES | option})


BONUSES = [{"month": "07", "amount": "30"}, {"month": "12", "amount": "30"}]
USE_CASES: dict[str, Json] = {
    "installment, as printed": REQUEST,
    "installment": with_option(paymentMethod="61", installments="12", firstBillingMonth="04"),
    "single": with_option(),
    "single, by its code": with_option(paymentMethod="10"),
    "bonus": with_option(paymentMethod="21"),
    "bonus, with its month": with_option(paymentMethod="21", bonuses=[{"month": "07", "amount": "100"}]),
    "revolving": with_option(paymentMethod="80", installments="12", firstBillingMonth="05"),
    "combination, as printed": with_option(paymentMethod="80", installments="12", firstBusinessMonth="05"),
    "combination": with_option(paymentMethod="31", installments="6", firstBillingMonth="06", bonuses=BONUSES),
}


@pytest.mark.parametrize("request_", USE_CASES.values(), ids=USE_CASES.keys())
def test_each_use_case_is_answered_as_documented(smcc: Client, request_: Json) -> None:
    """Cases 82 and 83."""
    reply = smcc.pay(request_)
    assert reply.said == AUTHORIZED
    assert differences(RESPONSE, reply.json) == []
    assert reply.json["orderInformation"]["amountDetails"] == {"authorizedAmount": "100", "currency": "jpy"}


def test_the_documented_bytes_are_answered_as_documented(smcc: Client) -> None:
    """Case 82, verbatim."""
    body = (DOCUMENTS / "jpo-installment-request.json").read_bytes()
    reply = smcc.call("POST", "/pts/v2/payments", body=body)
    assert reply.said == AUTHORIZED
    assert differences(RESPONSE, reply.json) == []
    constant = ("processorInformation.approvalCode", "processorInformation.forwardedAcquirerCode")
    for path in constant:
        member = path.rpartition(".")[2]
        assert reply.json["processorInformation"][member] == RESPONSE["processorInformation"][member]


@pytest.mark.parametrize("amount", ["1.00", "58320", "99999999"])
@pytest.mark.parametrize(("count", "month"), [("3", "01"), ("24", "12"), ("10", "9")])
@pytest.mark.parametrize("method", ["31", "61", "80", "10"])
def test_so_it_is_with_other_amounts_counts_and_months(
    smcc: Client, amount: str, count: str, month: str, method: str
) -> None:
    request_ = changed(
        REQUEST,
        {
            "orderInformation.amountDetails.totalAmount": amount,
            f"{OPTION}.installments": count,
            f"{OPTION}.firstBillingMonth": month,
            f"{OPTION}.paymentMethod": method,
        },
    )
    reply = smcc.pay(request_)
    assert reply.said == AUTHORIZED
    assert differences(RESPONSE, reply.json) == []
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == amount.removesuffix(".00")
    shown = smcc.details(reply.id)["processingInformation"]["japanPaymentOptions"]
    assert (shown["paymentMethod"], shown["installments"]) == (method, count)


# ---- credit

CREDIT = document("credit-customer-token-response")
OF_TOKENS = ("instrumentIdentifier", "shippingAddress", "paymentInstrument", "customer")


def test_a_credit_with_a_token_that_nobody_knows_is_refused(vpc: Client) -> None:
    """Case 72, with the documented request."""
    body = (DOCUMENTS / "credit-customer-token-request.json").read_bytes()
    reply = vpc.call("POST", "/pts/v2/credits", body=body)
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("paymentInformation.customer.id", "INVALID_DATA")]


@pytest.mark.parametrize("path", ["/pts/v2/credits", "/pts/v2/credits/"])
def test_the_documented_credit_is_answered_as_documented(till: Client, path: str) -> None:
    """Case 71, verbatim."""
    body = (DOCUMENTS / "credit-customer-token-request.json").read_bytes()
    reply = till.call("POST", path, body=body)
    assert reply.said == PENDING
    assert differences(CREDIT, reply.json) == []
    paid, expected = reply.json["paymentInformation"], CREDIT["paymentInformation"]
    assert {name: paid[name] for name in OF_TOKENS} == {name: expected[name] for name in OF_TOKENS}
    again = till.call("POST", path, body=body)
    reference = "paymentAccountReferenceNumber"
    assert again.json["processorInformation"][reference] == reply.json["processorInformation"][reference]


@pytest.mark.parametrize("amount", ["1.00", "200", "0.07", "12345.6"])
def test_a_credit_to_a_card_is_answered_as_documented_but_for_the_token(till: Client, amount: str) -> None:
    """Cases 70 and 71."""
    expected = changed(CREDIT, {})
    for name in OF_TOKENS:
        del expected["paymentInformation"][name]
    del expected["processorInformation"]["paymentAccountReferenceNumber"]
    request_ = document("credit-customer-token-request") | {"paymentInformation": payment()["paymentInformation"]}
    reply = till.credit(changed(request_, {"orderInformation.amountDetails.totalAmount": amount}))
    assert reply.said == PENDING
    assert differences(expected, reply.json) == []
    assert reply.json["clientReferenceInformation"] == CREDIT["clientReferenceInformation"]
