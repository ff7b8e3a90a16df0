"""Authorizations and sales that succeed: shapes, fingerprints, and the requests that real clients send."""

import re
import time
from datetime import UTC, datetime

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    MASTERCARD,
    PENDING,
    Client,
    Json,
    changed,
    payment,
    refused,
)


def test_an_authorization_has_the_published_members(till: Client) -> None:
    """Case 11."""
    document = changed(payment(), {"clientReferenceInformation.code": "order-1"})
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    own = f"/pts/v2/payments/{reply.id}"
    answer = reply.json
    assert re.fullmatch(r"[0-9]{8}[0-9A-Z]{8}", answer.pop("reconciliationId"))
    assert answer.pop("submitTimeUtc")
    assert answer == {
        "_links": {
            "authReversal": {"method": "POST", "href": f"{own}/reversals"},
            "self": {"method": "GET", "href": own},
            "capture": {"method": "POST", "href": f"{own}/captures"},
        },
        "clientReferenceInformation": {"code": "order-1"},
        "id": reply.id,
        "orderInformation": {"amountDetails": {"authorizedAmount": "102.21", "currency": "USD"}},
        "paymentAccountInformation": {"card": {"type": "001"}},
        "paymentInformation": {"tokenizedCard": {"type": "001"}, "card": {"type": "001"}},
        "pointOfSaleInformation": {"terminalId": "111111"},
        "processorInformation": {
            "approvalCode": "888888",
            "networkTransactionId": "123456789619999",
            "transactionId": "123456789619999",
            "responseCode": "100",
            "avs": {"code": "X", "codeRaw": "I1"},
        },
        "status": "AUTHORIZED",
    }
    assert list(reply.json["_links"]) == ["authReversal", "self", "capture"]


def test_ids_carry_their_time(till: Client) -> None:
    """§1.4: milliseconds without the leading 1, 6 and a counter, 0 and a node; submitTimeUtc within a second of it."""
    before = time.time_ns() // 1_000_000
    reply = till.pay()
    after = time.time_ns() // 1_000_000
    made_ms = int("1" + reply.id[:12])
    assert before <= made_ms <= after + 1
    assert re.fullmatch(r"[0-9]{12}6[0-9]{4}0[0-9]{4}", reply.id)
    said = datetime.strptime(reply.json["submitTimeUtc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(said.timestamp() * 1000 - made_ms) <= 1_100


def test_without_a_code_the_answer_says_the_time_in_milliseconds(till: Client) -> None:
    """Case 12."""
    reply = till.pay()
    code = reply.json["clientReferenceInformation"]["code"]
    assert re.fullmatch(r"[0-9]{13}", code)
    assert abs(int(code) - int("1" + reply.id[:12])) <= 133


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4622943127013705", "001"),
        ("4479667352342682672", "001"),
        ("2222420000001113", "002"),
        ("2222630000001125", "002"),
        ("5062280000000002", "002"),
        ("378282246310005", "003"),
        ("6011111111111117", "004"),
        ("38000000000006", "005"),
        ("3566111111111113", "007"),
        ("50339619890917", "042"),
        ("586824160825533338", "042"),
        ("6759411100000008", "024"),
        ("6759560045005727054", "024"),
        ("5641821111166669", "024"),
        ("6250947000000014", "062"),
        ("6222040000030012", "062"),
    ],
)
def test_published_test_numbers_are_authorized_as_their_brand(till: Client, number: str, code: str) -> None:
    """Case 17, §4.1."""
    reply = till.pay(payment(number=number))
    assert reply.said == AUTHORIZED
    assert reply.json["paymentAccountInformation"]["card"]["type"] == code
    assert reply.json["paymentInformation"] == {"tokenizedCard": {"type": code}, "card": {"type": code}}


def test_mastercard_says_the_authorization_indicator(till: Client) -> None:
    """Case 16."""
    reply = till.pay(payment(number=MASTERCARD))
    assert reply.json["processorInformation"]["authIndicator"] == "1"
    assert reply.json["paymentInformation"]["card"]["type"] == "002"


@pytest.mark.parametrize("zero", ["0.00", "0", 0])
def test_a_card_is_verified_with_an_amount_of_zero(till: Client, zero: object) -> None:
    """Case 18."""
    reply = till.pay(payment(zero))
    assert reply.said == AUTHORIZED
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "0.00"
    assert "capture" in reply.json["_links"]
    assert till.capture(reply.id, "1.00").said == refused("EXCEEDS_AUTH_AMOUNT")


def test_the_other_platform_has_its_own_fingerprint(vpc: Client) -> None:
    """Case 19: and a security code is answered as a match."""
    reply = vpc.pay(payment(paymentInformation__card__securityCode="123"))
    said = reply.json["processorInformation"]
    assert reply.json["reconciliationId"] == reply.id
    assert "pointOfSaleInformation" not in reply.json
    assert re.fullmatch(r"[0-9]{6}", said["systemTraceAuditNumber"])
    assert said["retrievalReferenceNumber"][-6:] == said["systemTraceAuditNumber"]
    assert len(said["retrievalReferenceNumber"]) == 12
    assert said["cardVerification"] == {"resultCode": "M", "resultCodeRaw": "M"}
    assert said["merchantAdvice"] == {"code": "01", "codeRaw": "M001"}
    assert said["consumerAuthenticationResponse"] == {"code": "2", "codeRaw": "2"}
    assert (said["approvalCode"], said["responseCode"], said["responseDetails"]) == ("831000", "00", "ABC")
    assert said["networkTransactionId"] == said["transactionId"] == "016153570198200"
    assert said["avs"] == {"code": "Y", "codeRaw": "Y"}


def test_without_a_security_code_there_is_no_result_of_it(till: Client, vpc: Client) -> None:
    """§6.6."""
    assert "cardVerification" not in till.pay().json["processorInformation"]
    assert "cardVerification" not in vpc.pay().json["processorInformation"]


@pytest.mark.parametrize("merchant", ["kessai_sandbox", "kessai_vpc"])
def test_a_sale_is_authorized_and_can_be_voided(till: Client, merchant: str) -> None:
    """Case 20."""
    reply = till.service.till(merchant).sell()
    assert reply.said == AUTHORIZED
    own = f"/pts/v2/payments/{reply.id}"
    assert reply.json["_links"] == {
        "void": {"method": "POST", "href": f"{own}/voids"},
        "self": {"method": "GET", "href": own},
    }
    assert list(reply.json["_links"]) == ["void", "self"]
    assert reply.json["orderInformation"]["amountDetails"] == {
        "totalAmount": "102.21",
        "authorizedAmount": "102.21",
        "currency": "USD",
    }


def test_a_network_token_says_who_requested_it(till: Client) -> None:
    """Case 21: expiry as numbers, a cryptogram, no card."""
    document = changed(
        payment(),
        {
            "paymentInformation": {
                "tokenizedCard": {
                    "number": "4111111111111111",
                    "expirationMonth": 12,
                    "expirationYear": 2031,
                    "cryptogram": "EHuWW9PiBkWvqE5juRwDzAUFBAk=",
                    "transactionType": "1",
                    "requestorId": "12345678901",
                }
            },
            "processingInformation.paymentSolution": "001",
        },
    )
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["paymentInformation"]["tokenizedCard"]["requestorId"] == "12345678901"
    assert set(reply.json["paymentInformation"]["tokenizedCard"]) == {"requestorId", "assuranceLevel", "type"}
    assert reply.json["paymentInformation"]["card"] == {"suffix": "1111", "type": "001"}


LINES = [
    {"unitPrice": "5.99", "quantity": 3, "productSku": "testdl", "productName": "Test"},
    {"unitPrice": "29.99", "quantity": "3"},
    {"unitPrice": "10.00"},
]


def test_without_a_total_the_lines_are_added_up(till: Client) -> None:
    """Case 15."""
    reply = till.pay(payment(None, orderInformation__lineItems=LINES))
    assert reply.said == AUTHORIZED
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "117.94"


def test_a_total_goes_before_the_lines(till: Client) -> None:
    """Case 30: level III."""
    document = payment(orderInformation__lineItems=LINES, processingInformation__purchaseLevel="3")
    document["orderInformation"]["invoiceDetails"] = {"purchaseOrderNumber": "LevelII Auth Po"}
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "102.21"


def test_an_approval_by_voice_answers_with_its_own_code_alone(till: Client) -> None:
    """Case 31."""
    options = {"authType": "verbal", "verbalAuthCode": "ABC123"}
    reply = till.pay(payment(processingInformation__authorizationOptions=options))
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"] == {"approvalCode": "ABC123"}
    assert list(reply.json["_links"]) == ["authReversal", "self", "capture"]
    assert till.capture(reply.id).said == PENDING


def test_payer_authentication_is_taken_along(till: Client) -> None:
    """Case 32."""
    document = changed(
        payment(),
        {
            "processingInformation.commerceIndicator": "vbv",
            "consumerAuthenticationInformation": {
                "cavv": "AAABCSIIAAAAAAACcwgAEMCoNh+=",
                "xid": "AAABCSIIAAAAAAACcwgAEMCoNh+=",
                "eciRaw": "05",
                "paSpecificationVersion": "2.2.0",
            },
        },
    )
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert "AAABCSIIAAAAAAACcwgAEMCoNh" not in str(till.details(reply.id))


def test_of_the_partner_only_the_solution_is_said_again(till: Client) -> None:
    """Case 33."""
    sent = {
        "code": "c-33",
        "transactionId": "TX-33",
        "partner": {"solutionId": "89012345", "thirdPartyCertificationNumber": "123456789012", "developerId": "D1"},
    }
    reply = till.pay(payment(clientReferenceInformation=sent))
    assert reply.json["clientReferenceInformation"] == {
        "code": "c-33",
        "partner": {"solutionId": "89012345"},
        "transactionId": "TX-33",
    }


def test_airline_data_leave_no_trace_in_the_answer(till: Client) -> None:
    """Case 93."""
    airline = {
        "carrierName": "Kessai Air",
        "legs": [{"carrierCode": "KA", "departureDate": 20260102}],
        "ticketNumber": 1,
    }
    document = payment(processingInformation__industryDataType="airline")
    document["travelInformation"] = {"transit": {"airline": airline}}
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert set(reply.json) == set(till.pay().json)


NETWORK_ID = "123456789619999"


@pytest.mark.parametrize(
    ("processing", "has_bill_to"),
    [
        ({"initiator": {"type": "customer", "credentialStoredOnFile": "true"}}, True),
        ({"initiator": {"type": "customer", "storedCredentialUsed": True}}, True),
        (
            {
                "initiator": {
                    "type": "merchant",
                    "merchantInitiatedTransaction": {"reason": "2", "previousTransactionId": NETWORK_ID},
                }
            },
            True,
        ),
        (
            {
                "initiator": {
                    "type": "merchant",
                    "storedCredentialUsed": True,
                    "merchantInitiatedTransaction": {
                        "reason": "",
                        "previousTransactionID": NETWORK_ID,
                        "originalAuthorizedAmount": "102.21",
                        "storedCredentialUsed": True,
                    },
                }
            },
            True,
        ),
        ({"initiator": {"type": "merchant", "storedCredentialUsed": "true"}}, False),
    ],
)
def test_stored_credentials_need_no_more_than_an_ordinary_answer(
    till: Client, processing: Json, has_bill_to: bool
) -> None:
    """Cases 94 to 96: the network's id is what a client keeps."""
    document = payment(processingInformation__authorizationOptions=processing)
    if not has_bill_to:
        del document["orderInformation"]["billTo"]
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"]["networkTransactionId"] == NETWORK_ID


def test_an_installment_that_the_merchant_starts(till: Client) -> None:
    """Case 98."""
    document = changed(
        payment(number=MASTERCARD),
        {
            "processingInformation.commerceIndicator": "install",
            "processingInformation.authorizationOptions.initiator": {
                "type": "merchant",
                "storedCredentialUsed": "true",
                "merchantInitiatedTransaction": {"reason": "9", "previousTransactionId": NETWORK_ID},
            },
            "installmentInformation": {"totalCount": "4", "sequence": 2, "planType": "1", "frequency": "M"},
        },
    )
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"]["authIndicator"] == "1"


@pytest.mark.parametrize(
    ("amount", "code", "said"),
    [
        ("5000.00", "X", AUTHORIZED),
        ("5002.00", "A", AUTHORIZED),
        ("5005.00", "N", (201, "AUTHORIZED_PENDING_REVIEW", "AVS_FAILED")),
    ],
)
def test_address_results_follow_their_amounts(
    till: Client, amount: str, code: str, said: tuple[int, str, str | None]
) -> None:
    """§6.6."""
    reply = till.pay(payment(amount))
    assert reply.said == said
    assert reply.json["processorInformation"]["avs"]["code"] == code


def test_an_address_mismatch_may_be_ignored(till: Client) -> None:
    options = {"ignoreAvsResult": "true"}
    reply = till.pay(payment("5005.00", processingInformation__authorizationOptions=options))
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"]["avs"]["code"] == "N"
