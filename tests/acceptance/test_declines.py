"""Declines, partial approvals and reviews: HTTP 201 with a reason; and requests that are refused: HTTP 400."""

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    INVALID_TEXT,
    MASTERCARD,
    MISSING_TEXT,
    PENDING,
    REVERSED,
    Client,
    changed,
    declined,
    payment,
    refused,
)

EXPIRED_TEXT = (
    "Decline - Expired card. You might also receive this if the expiration date you provided does not match the date "
    "the issuing bank has on file."
)
GENERAL_TEXT = "Decline - General decline of the card. No other information provided by the issuing bank."
SCENARIO = "Kessai-Scenario"


@pytest.mark.parametrize("number", ["42423482938483873", "4111111111111112"])
def test_a_number_that_cannot_exist_is_declined(till: Client, number: str) -> None:
    """Cases 34 and 35."""
    for reply in (till.pay(payment(number=number)), till.credit(payment(number=number))):
        assert reply.said == declined("INVALID_ACCOUNT")
        assert reply.json["errorInformation"]["message"] == "Decline - Invalid account number"
        assert "processorInformation" not in reply.json


def test_an_expired_card_is_declined(till: Client) -> None:
    """Case 36."""
    reply = till.pay(payment(paymentInformation__card__expirationYear="2022"))
    assert reply.said == declined("EXPIRED_CARD")
    assert reply.json["errorInformation"]["message"] == EXPIRED_TEXT


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("paymentInformation.card.expirationMonth", "13"),
        ("paymentInformation.card.expirationMonth", "0"),
        ("paymentInformation.card.expirationMonth", "１２"),
        ("paymentInformation.card.expirationYear", "1998"),
        ("paymentInformation.card.expirationYear", "20３1"),
        ("paymentInformation.card.securityCode", "1234567890"),
        ("paymentInformation.card.securityCode", "１２３"),
        ("paymentInformation.card.number", "412345678912345678914"),
        ("paymentInformation.card.number", "４１１１１１１１１１１１１１１１"),
        ("paymentInformation.card.number", "4111-1111-1111-1111"),
        ("paymentInformation.card.type", "999"),
        ("orderInformation.amountDetails.totalAmount", "-1"),
        ("orderInformation.amountDetails.totalAmount", "100000000000"),
        ("orderInformation.amountDetails.currency", "US"),
        ("processingInformation.authorizationOptions.authIndicator", "7"),
        ("clientReferenceInformation.code", "x" * 60),
        ("clientReferenceInformation.transactionId", "x" * 31),
    ],
)
def test_one_bad_field_is_named_by_its_path(till: Client, path: str, value: str) -> None:
    """Cases 37 to 40."""
    reply = till.pay(changed(payment(), {path: value}))
    assert reply.said == refused("INVALID_DATA")
    assert reply.json["message"] == INVALID_TEXT
    assert reply.fields == [(path, "INVALID_DATA")]


def test_without_payment_information_every_missing_field_is_named(till: Client) -> None:
    """Case 41."""
    document = payment()
    del document["paymentInformation"]
    reply = till.pay(document)
    assert reply.said == refused("MISSING_FIELD")
    assert reply.json["message"] == MISSING_TEXT
    where = "paymentInformation.card"
    assert reply.fields == [
        (f"{where}.{name}", "MISSING_FIELD") for name in ("number", "expirationMonth", "expirationYear")
    ]


OPTIONS = "processingInformation.authorizationOptions"


def test_a_decline_has_no_amounts_and_only_its_own_link(till: Client) -> None:
    """Case 42."""
    reply = till.pay(changed(payment("501.00", number=MASTERCARD), {f"{OPTIONS}.partialAuthIndicator": "false"}))
    assert reply.said == declined("PROCESSOR_DECLINED")
    answer = reply.json
    assert answer["errorInformation"]["message"] == GENERAL_TEXT
    assert list(answer["_links"]) == ["self"]
    assert not {"orderInformation", "reconciliationId", "paymentInformation"} & set(answer)
    assert answer["processorInformation"]["responseCode"] == "303"
    assert "approvalCode" not in answer["processorInformation"]
    assert answer["pointOfSaleInformation"] == {"terminalId": "111111"}


def test_a_partial_approval_says_both_amounts(till: Client) -> None:
    """Case 43."""
    reply = till.pay(changed(payment("1000.00", number=MASTERCARD), {f"{OPTIONS}.partialAuthIndicator": "true"}))
    assert reply.said == (201, "PARTIAL_AUTHORIZED", None)
    answer = reply.json
    assert list(answer["_links"]) == ["self"]
    assert answer["orderInformation"]["amountDetails"] == {
        "totalAmount": "1000.00",
        "authorizedAmount": "499.01",
        "currency": "USD",
    }
    assert answer["paymentInformation"]["accountFeatures"] == {"currency": "usd", "balanceAmount": "0.00"}


def test_nothing_is_approved_in_part_for_who_did_not_ask(till: Client) -> None:
    """§5.4: a production client cannot decode PARTIAL_AUTHORIZED."""
    assert till.pay(payment("1000.00", number=MASTERCARD)).said == AUTHORIZED


def test_the_amount_of_the_partial_sample_is_approved_in_part(till: Client) -> None:
    """Case 44."""
    reply = till.pay(payment("7012.00"))
    assert reply.said == (201, "PARTIAL_AUTHORIZED", None)
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "7000.00"
    assert till.reverse(reply.id, "7000.00").said == REVERSED


def test_a_sale_approved_in_part_is_not_captured(till: Client) -> None:
    """§3.4."""
    document = changed(
        payment("1000.00"), {f"{OPTIONS}.partialAuthIndicator": True, "processingInformation.capture": True}
    )
    reply = till.pay(document)
    assert reply.said == (201, "PARTIAL_AUTHORIZED", None)
    assert till.capture(reply.id, "499.01").said == PENDING


def test_a_review_by_the_risk_rules_is_an_approval_to_look_at(till: Client) -> None:
    """Case 46."""
    reply = till.pay(Kessai_Scenario="risk-review")
    assert reply.said == (201, "AUTHORIZED_PENDING_REVIEW", "DECISION_PROFILE_REVIEW")
    assert reply.json["errorInformation"]["message"] == "The order is marked for review by Decision Manager"
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "102.21"
    assert {"self", "capture"} <= set(reply.json["_links"])


def test_a_rejection_after_the_authorization_says_the_score(till: Client) -> None:
    """Case 47."""
    reply = till.pay(Kessai_Scenario="risk-reject")
    assert reply.said == (201, "AUTHORIZED_RISK_DECLINED", "DECISION_PROFILE_REJECT")
    assert reply.json["errorInformation"]["message"] == "The order has been rejected by Decision Manager"
    assert isinstance(reply.json["riskInformation"]["score"]["result"], str)
    assert reply.json["processorInformation"]["responseCode"] == "100"
    assert till.reverse(reply.id).said == REVERSED


def test_a_rejection_before_the_authorization_has_no_links(till: Client) -> None:
    """Case 48."""
    reply = till.pay(Kessai_Scenario="risk-reject-before")
    assert reply.said == declined("DECISION_PROFILE_REJECT")
    assert reply.json["submitTimeUtc"]
    assert not {"_links", "processorInformation", "orderInformation"} & set(reply.json)


def test_a_security_code_mismatch_is_a_soft_decline(vpc: Client) -> None:
    """Case 49."""
    reply = vpc.pay(payment(paymentInformation__card__securityCode="999"))
    assert reply.said == (201, "AUTHORIZED_PENDING_REVIEW", "CV_FAILED")
    assert reply.json["processorInformation"]["cardVerification"]["resultCode"] == "N"
    assert vpc.capture(reply.id).said == PENDING


def test_a_security_code_mismatch_may_be_ignored(vpc: Client) -> None:
    """Case 50."""
    document = changed(payment(paymentInformation__card__securityCode="999"), {f"{OPTIONS}.ignoreCvResult": "true"})
    reply = vpc.pay(document)
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"]["cardVerification"]["resultCode"] == "N"


def test_a_sale_in_review_is_not_captured(vpc: Client) -> None:
    """§3.3."""
    document = payment(paymentInformation__card__securityCode="999", processingInformation__capture=True)
    reply = vpc.pay(document)
    assert reply.said == (201, "AUTHORIZED_PENDING_REVIEW", "CV_FAILED")
    assert reply.json["embeddedActions"]["CAPTURE"]["reason"] == "CV_FAILED"
    assert vpc.capture(reply.id).said == PENDING


@pytest.mark.parametrize("merchant", ["kessai_sandbox", "kessai_vpc"])
def test_a_first_ride_that_is_declined_may_be_captured(till: Client, merchant: str) -> None:
    """Case 51."""
    till = till.service.till(merchant)
    reply = till.pay(Kessai_Scenario="declined-capture-possible")
    assert reply.said == declined("AUTH_DECLINE_CAPTURE_POSSIBLE")
    assert reply.json["errorInformation"]["message"] == "Authorization Declined. Follow-on Capture can be processed."
    if merchant == "kessai_vpc":
        assert reply.json["processorInformation"]["responseCode"] == "05"
    assert till.capture(reply.id).said == PENDING


def test_a_system_error_is_a_502(till: Client) -> None:
    """§4.3."""
    reply = till.pay(payment("2000.00"))
    assert reply.said == (502, "SERVER_ERROR", "SYSTEM_ERROR")
    assert reply.json["message"] == "Error - General system failure."


@pytest.mark.parametrize("amount", ["4128.00", "6825.22"])
def test_an_issuer_may_want_the_cardholder_authenticated(vpc: Client, amount: str) -> None:
    reply = vpc.pay(payment(amount))
    assert reply.said == declined("CUSTOMER_AUTHENTICATION_REQUIRED")
    assert reply.json["processorInformation"]["responseCode"] in ("1A", "70")


def test_a_scenario_that_nobody_knows_is_refused_with_those_there_are(till: Client) -> None:
    reply = till.pay(Kessai_Scenario="nope")
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(SCENARIO, "INVALID_DATA")]
    assert "no-answer" in (reply.explanation or "")
