"""What carries the wire: routes, slashes, content, headers; members that are loosely typed, absent or unknown."""

import json
import re

import pytest

from tests.acceptance.client import (
    ABSENT,
    AUTHORIZED,
    BILL_TO,
    PENDING,
    REVERSED,
    UNKNOWN,
    VOIDED,
    Client,
    Json,
    amount_of,
    changed,
    payment,
    refused,
    reversal_of,
)


def test_every_answer_has_the_type_of_the_wire_and_a_correlation_id(till: Client) -> None:
    """Case 10; that it holds for every other answer too, the client checks itself."""
    reply = till.pay()
    assert reply.headers["content-type"] == "application/hal+json;charset=utf-8"
    assert re.fullmatch(r"[0-9a-f-]{36}", reply.headers["v-c-correlation-id"])
    assert "content-encoding" not in reply.headers
    assert till.pay(v_c_correlation_id="order-17").headers["v-c-correlation-id"] == "order-17"


def test_both_slashes_are_routed_on_every_route(till: Client) -> None:
    """Cases 7, 64, 79: the signature covers the path as it was sent."""
    made = till.post("/pts/v2/payments/", payment())
    assert made.said == AUTHORIZED
    captured = till.post(f"/pts/v2/payments/{made.id}/captures/", amount_of("50"))
    assert captured.said == PENDING
    refunded = till.post(f"/pts/v2/captures/{captured.id}/refunds/", amount_of("5"))
    assert refunded.said == PENDING
    assert till.post(f"/pts/v2/refunds/{refunded.id}/voids/", {}).said == VOIDED
    assert till.post(f"/pts/v2/payments/{made.id}/reversals/", reversal_of("1")).said == REVERSED
    credited = till.post("/pts/v2/credits/", payment())
    assert credited.said == PENDING
    assert till.post(f"/pts/v2/credits/{credited.id}/voids/", {}).said == VOIDED
    assert till.call("GET", f"/tss/v2/transactions/{made.id}/").status == 200
    assert till.call("GET", f"/pts/v2/payments/{made.id}/").status == 200
    for path in ("/pts/v2/reversals/", "/pts/v2/voids/"):
        assert till.post(path, {"clientReferenceInformation": {"transactionId": "0"}}).said == refused("INVALID_DATA")


@pytest.mark.parametrize("path", ["/", "/pts", "/pts/v2", "/pts/v3/payments", "/pts/v2/payments/1/2/3", "/pts/v2//"])
def test_an_unknown_path_is_not_found(till: Client, path: str) -> None:
    assert till.post(path, {}).status == 404


@pytest.mark.parametrize(("method", "path"), [("PUT", "/pts/v2/payments"), ("DELETE", f"/pts/v2/payments/{UNKNOWN}")])
def test_a_method_that_a_path_does_not_know_is_named_with_those_it_does(till: Client, method: str, path: str) -> None:
    reply = till.call(method, path)
    assert reply.status == 405
    assert reply.headers["allow"] in ("POST", "GET, PATCH")
    assert reply.json["errors"][0]["message"]


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "multipart/form-data"])
def test_a_body_that_is_not_json_by_its_type_is_refused(till: Client, media: str) -> None:
    reply = till.pay(content_type=media)
    assert reply.status == 415
    assert reply.json["errors"][0]["type"] == "unsupportedMediaType"


@pytest.mark.parametrize("media", ["application/json", "application/hal+json", "Application/JSON; charset=utf-8"])
def test_json_may_be_called_by_its_other_names(till: Client, media: str) -> None:
    assert till.pay(content_type=media, accept="*/*", accept_encoding="*").said == AUTHORIZED


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"null", b"{} {}", b"\xff\xfe{\x00}\x00", b'{"a":NaN}', b""])
def test_a_body_that_is_no_json_object_is_invalid_data(till: Client, body: bytes) -> None:
    reply = till.call("POST", "/pts/v2/payments", body=body)
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == []
    assert reply.explanation


# ---- §1.1 and §1.3: unknown members, nulls, empty texts, aliases


def test_unknown_and_misplaced_members_are_ignored(till: Client) -> None:
    """Case 8."""
    document = changed(
        payment(),
        {
            "foo": {"bar": [1, {"baz": None}]},
            "consumerAutenticationInformation": {"cavv": "x"},
            "fluidData": {"value": "x"},
            "processingInformation.commerceIndicator": "internet",
            "processingInformation.processingInformation": {"commerceIndicator": "moto"},
            "processingInformation.japanPaymentOptions": {"firstBusinessMonth": "04", "unknown": {"deep": 1}},
            "orderInformation.shipping_details": {"shipFromPostalCode": "1"},
            "orderInformation.lineItems": [{"taxDetails[]": {"type": "x"}, "unitPrice": "1"}],
            "clientReferenceInformation.partner.developerId": "J0TV2I9S",
        },
    )
    document["clientReferenceInformation"]["partner"]["foo"] = "bar"
    assert till.pay(document).said == AUTHORIZED


def test_null_is_absence_wherever_it_stands(till: Client) -> None:
    """Case 8: a production client sends nulls on every call."""
    document = changed(
        payment(),
        {
            "clientReferenceInformation": None,
            "processingInformation": {
                "actionList": None,
                "capture": None,
                "authorizationOptions": {"initiator": None, "partialAuthIndicator": None},
                "japanPaymentOptions": None,
            },
            "consumerAuthenticationInformation": None,
            "orderInformation.lineItems": None,
            "orderInformation.billTo.address2": None,
            "paymentInformation.card.type": None,
            "paymentInformation.card.securityCode": None,
            "paymentInformation.tokenizedCard": None,
        },
    )
    assert till.pay(document).said == AUTHORIZED
    assert till.pay(payment(None)).fields == [("orderInformation.amountDetails.totalAmount", "MISSING_FIELD")]
    missing = till.pay(payment(orderInformation__billTo=None))
    assert missing.said == refused("MISSING_FIELD")
    assert len(missing.fields) == 6


def test_an_empty_text_is_absence(till: Client) -> None:
    document = changed(
        payment(),
        {
            "clientReferenceInformation": {"code": "", "transactionId": ""},
            "paymentInformation.card.type": "",
            "paymentInformation.card.useAs": "",
            "paymentInformation.card.securityCode": "",
            "processingInformation": {"capture": "", "commerceIndicator": ""},
        },
    )
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert list(reply.json["clientReferenceInformation"]) == ["code"]
    assert till.pay(payment("")).fields == [("orderInformation.amountDetails.totalAmount", "MISSING_FIELD")]


INITIATOR = "processingInformation.authorizationOptions.initiator"
OPTIONS = "processingInformation.authorizationOptions"


@pytest.mark.parametrize(
    "changes",
    [
        {f"{INITIATOR}.merchantInitiatedTransaction": {"previousTransactionId": "123456789619999"}},
        {f"{INITIATOR}.merchantInitiatedTransaction": {"previousTransactionID": "123456789619999"}},
        {f"{OPTIONS}.merchantInitiatedTransaction": {"previousTransactionId": "123456789619999", "reason": "2"}},
        {"consumerAuthenticationInformation": {"directoryServerTransactionId": "97267598-FAE6-48F2-8083-C23433990FBC"}},
        {"consumerAuthenticationInformation": {"directoryServerTransactionID": "97267598-FAE6-48F2-8083-C23433990FBC"}},
        {"buyerInformation": {"companyTaxId": "1"}},
        {"buyerInformation": {"companyTaxID": "1"}},
        {"orderInformation.lineItems": [{"productSku": "a", "unitPrice": "1"}]},
        {"orderInformation.lineItems": [{"productSKU": "a", "unitPrice": "1"}]},
        {"processingInformation.bankTransferOptions": {"secCode": "WEB"}},
        {"processingInformation.bankTransferOptions": {"SECCode": "WEB"}},
    ],
)
def test_both_spellings_of_a_member_are_taken(till: Client, changes: Json) -> None:
    assert till.pay(changed(payment(), changes)).said == AUTHORIZED


@pytest.mark.parametrize("place", ["card.type", "card.cardType", "tokenizedCard.type", "tokenizedCard.cardType"])
def test_the_card_type_is_read_by_each_of_its_names(till: Client, place: str) -> None:
    fits = changed(payment(), {f"paymentInformation.{place}": "001"})
    assert till.pay(fits).json["paymentInformation"]["card"]["type"] == "001"
    assert till.pay(changed(payment(), {f"paymentInformation.{place}": "002"})).said == refused("INVALID_CARD_TYPE")


# ---- §1.2: scalars are loosely typed


@pytest.mark.parametrize(
    "changes",
    [
        {"orderInformation.amountDetails.totalAmount": 100},
        {"paymentInformation.card.expirationYear": 2050, "paymentInformation.card.expirationMonth": 2},
        {"paymentInformation.card.number": 4111111111111111, "paymentInformation.card.securityCode": 123},
        {"clientReferenceInformation.code": 17, "orderInformation.billTo.phoneNumber": 4158880000},
        {"clientReferenceInformation.partner": {"thirdPartyCertificationNumber": 123456789012}},
        {"merchantInformation": {"transactionLocalDateTime": 20260101120000, "categoryCode": "6010"}},
        {"consumerAuthenticationInformation": {"networkScore": 12}},
        {
            OPTIONS: {
                "partialAuthIndicator": "False",
                "balanceInquiry": False,
                "ignoreAvsResult": "TRUE",
                "ignoreCvResult": True,
                "cashAdvanceIndicator": "false",
                "deferredAuthIndicator": "false",
                "aggregatedAuthIndicator": False,
                "debtRecoveryIndicator": "false",
                "initiator": {"credentialStoredOnFile": "true", "storedCredentialUsed": True},
            }
        },
        {"pointOfSaleInformation": {"terminalCapability": "4", "catLevel": 2, "pinBlockEncodingFormat": "1"}},
    ],
)
def test_texts_numbers_and_booleans_stand_for_each_other(till: Client, changes: Json) -> None:
    assert till.pay(changed(payment(), changes)).said == AUTHORIZED


@pytest.mark.parametrize(
    ("sent", "is_sale"),
    [(True, True), ("true", True), ("True", True), (False, False), ("false", False), (None, False), (ABSENT, False)],
)
def test_capture_is_a_boolean_in_any_dress(till: Client, sent: object, is_sale: bool) -> None:
    """Case 9."""
    reply = till.pay(payment(processingInformation__capture=sent))
    assert reply.said == AUTHORIZED
    assert list(reply.json["_links"]) == (["void", "self"] if is_sale else ["authReversal", "self", "capture"])


def test_what_is_no_boolean_is_invalid(till: Client) -> None:
    reply = till.pay(payment(processingInformation__capture="perhaps"))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("processingInformation.capture", "INVALID_DATA")]


@pytest.mark.parametrize("sequence", [(1, 2), ("1", "2")])
def test_sequence_numbers_of_captures_are_texts_or_numbers(till: Client, sequence: tuple[object, object]) -> None:
    made = till.pay()
    document = changed(
        amount_of("1"),
        {
            "processingInformation.captureOptions": {
                "captureSequenceNumber": sequence[0],
                "totalCaptureCount": sequence[1],
                "isFinal": True,
            }
        },
    )
    assert till.post(f"/pts/v2/payments/{made.id}/captures", document).said == PENDING


@pytest.mark.parametrize("wrong", [{}, [], ["4111111111111111"], {"number": "x"}, True])
def test_an_object_or_array_in_the_place_of_a_scalar_is_invalid_by_its_path(till: Client, wrong: object) -> None:
    reply = till.pay(payment(paymentInformation__card__number=wrong))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("paymentInformation.card.number", "INVALID_DATA")]


def test_a_scalar_in_the_place_of_an_object_is_invalid(till: Client) -> None:
    reply = till.pay(payment(orderInformation="all of it"))
    assert reply.status == 400
    assert ("orderInformation.amountDetails.totalAmount", "INVALID_DATA") in reply.fields


def test_the_last_of_duplicate_members_counts(till: Client) -> None:
    body = json.dumps(payment("1.00")).replace('"totalAmount": "1.00"', '"totalAmount": "1.00", "totalAmount": "2.00"')
    reply = till.call("POST", "/pts/v2/payments", body=body.encode())
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "2.00"


def test_letters_of_every_script_come_back_as_they_were_sent(till: Client) -> None:
    code = "注文-é-ß-☕"
    reply = till.pay(changed(payment(), {"clientReferenceInformation.code": code, "orderInformation.billTo": BILL_TO}))
    assert reply.json["clientReferenceInformation"]["code"] == code
    assert till.details(reply.id)["clientReferenceInformation"]["code"] == code
