"""What follows a payment: captures, reversals, refunds, credits, voids, increments, details, read-backs."""

import re

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    INVALID_TEXT,
    MASTERCARD,
    MISSING_TEXT,
    NOT_VOIDABLE_TEXT,
    PENDING,
    REVERSED,
    REVERSED_TEXT,
    UNKNOWN,
    VOIDED,
    Client,
    Json,
    amount_of,
    changed,
    declined,
    lodging,
    named,
    payment,
    refused,
    reversal_of,
)

# ---- captures


def test_a_capture_is_a_resource_of_its_own(till: Client) -> None:
    """Case 52."""
    made = till.pay()
    reply = till.capture(made.id)
    assert reply.said == PENDING
    assert reply.id != made.id
    own = f"/pts/v2/captures/{reply.id}"
    answer = reply.json
    assert answer["_links"] == {
        "void": {"method": "POST", "href": f"{own}/voids"},
        "self": {"method": "GET", "href": own},
    }
    assert answer["orderInformation"] == {"amountDetails": {"totalAmount": "102.21", "currency": "USD"}}
    assert answer["reconciliationId"] == made.json["reconciliationId"]
    assert set(answer) == {
        "_links",
        "clientReferenceInformation",
        "id",
        "orderInformation",
        "reconciliationId",
        "status",
        "submitTimeUtc",
    }


def test_a_part_may_be_captured(till: Client) -> None:
    """Case 53."""
    reply = till.capture(till.pay().id, "101.21")
    assert reply.said == PENDING
    assert reply.json["orderInformation"]["amountDetails"]["totalAmount"] == "101.21"


def test_a_capture_says_its_own_code_again(till: Client) -> None:
    """Case 54."""
    made = till.pay(payment(clientReferenceInformation={"code": "the payment's"}))
    path = f"/pts/v2/payments/{made.id}/captures"
    document = amount_of("1.00") | {"clientReferenceInformation": {"code": "X"}}
    assert till.post(path, document).json["clientReferenceInformation"] == {"code": "X"}
    code = till.post(path, amount_of("1.00")).json["clientReferenceInformation"]["code"]
    assert re.fullmatch(r"[0-9]{13}", code)


@pytest.mark.parametrize("merchant", ["kessai_sandbox", "kessai_vpc"])
def test_several_captures_may_add_up_to_the_authorization(till: Client, merchant: str) -> None:
    """Case 55."""
    till = till.service.till(merchant)
    path = f"/pts/v2/payments/{till.pay().id}/captures"
    for sequence, amount in ((1, "100.00"), (2, "2.21")):
        options = {"captureSequenceNumber": sequence, "totalCaptureCount": 2}
        document = changed(amount_of(amount), {"processingInformation.captureOptions": options})
        assert till.post(path, document).said == PENDING
    assert till.post(path, amount_of("0.01")).status == 400


@pytest.mark.parametrize("identifier", ["12345", UNKNOWN, "x", "4111111111111111", "9" * 30])
@pytest.mark.parametrize("operation", ["captures", "reversals", "refunds", "voids"])
def test_an_id_that_is_none_is_invalid_data_without_details(till: Client, identifier: str, operation: str) -> None:
    """Case 56, §5.3."""
    body = reversal_of("1", currency="USD") if operation == "reversals" else amount_of("1")
    reply = till.post(f"/pts/v2/payments/{identifier}/{operation}", body)
    assert reply.said == refused("INVALID_DATA")
    assert reply.json["message"] == INVALID_TEXT
    assert reply.fields == []


def test_a_declined_payment_cannot_be_captured(till: Client) -> None:
    """Case 57."""
    assert till.capture(till.pay(payment("1500.00")).id, "1500.00").said == refused("MISSING_AUTH")


def test_a_reversed_payment_cannot_be_captured(till: Client) -> None:
    """Case 58."""
    made = till.pay()
    assert till.reverse(made.id).said == REVERSED
    assert till.capture(made.id).said == refused("AUTH_ALREADY_REVERSED")


def test_more_than_the_authorization_is_captured_only_where_the_account_may(till: Client, vpc: Client) -> None:
    """Case 59, A-37: the default sandbox is lenient, once."""
    made = till.pay()
    assert till.capture(made.id, "102.22").said == PENDING
    assert till.capture(made.id, "0.01").said == refused("EXCEEDS_AUTH_AMOUNT")
    made = vpc.pay()
    assert vpc.capture(made.id, "102.22").said == refused("EXCEEDS_AUTH_AMOUNT")
    assert vpc.capture(made.id, "100.00").said == PENDING
    assert vpc.capture(made.id, "2.22").said == refused("EXCEEDS_AUTH_AMOUNT")


def test_a_capture_says_comments_again(till: Client) -> None:
    """§6.4."""
    document = amount_of("1.00") | {"clientReferenceInformation": {"code": "a", "comments": "TransitDA FRR"}}
    reply = till.post(f"/pts/v2/payments/{till.pay().id}/captures", document)
    assert reply.json["clientReferenceInformation"] == {"code": "a", "comments": "TransitDA FRR"}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"orderInformation": None}, ["orderInformation.amountDetails.currency"]),
        ({"orderInformation.amountDetails.totalAmount": None}, []),
    ],
)
def test_a_capture_needs_amount_and_currency(till: Client, changes: Json, fields: list[str]) -> None:
    reply = till.post(f"/pts/v2/payments/{till.pay().id}/captures", changed(amount_of("1"), changes))
    assert reply.said == refused("MISSING_FIELD")
    assert [field for field, _ in reply.fields] == [*fields, "orderInformation.amountDetails.totalAmount"]


@pytest.mark.parametrize("currency", ["EUR", "JPY"])
def test_the_currency_is_the_payments(till: Client, currency: str) -> None:
    """A-36."""
    reply = till.post(f"/pts/v2/payments/{till.pay().id}/captures", amount_of("1", currency))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("orderInformation.amountDetails.currency", "INVALID_DATA")]


# ---- reversals


def test_a_reversal_needs_no_currency(till: Client) -> None:
    """Case 60."""
    reply = till.reverse(till.pay().id)
    assert reply.said == REVERSED
    answer = reply.json
    assert answer["reversalAmountDetails"] == {"reversedAmount": "102.21", "currency": "USD"}
    assert answer["orderInformation"] == {"amountDetails": {"currency": "USD"}}
    assert answer["processorInformation"] == {"responseCode": "200"}
    assert answer["_links"] == {"self": {"method": "GET", "href": f"/pts/v2/reversals/{reply.id}"}}
    assert answer["reconciliationId"]


def test_a_second_reversal_is_refused(till: Client) -> None:
    """Case 61."""
    made = till.pay()
    assert till.reverse(made.id).said == REVERSED
    again = till.reverse(made.id)
    assert again.said == refused("AUTH_ALREADY_REVERSED")
    assert again.json["message"] == REVERSED_TEXT
    assert again.fields == []


def test_a_reversal_without_an_amount_misses_a_field(till: Client) -> None:
    """Case 62."""
    reply = till.reverse(till.pay(payment("1500.00")).id, None)
    assert reply.said == refused("MISSING_FIELD")
    assert reply.json["message"] == MISSING_TEXT
    assert reply.fields == [("reversalInformation.amountDetails.totalAmount", "MISSING_FIELD")]


@pytest.mark.parametrize(
    ("amount", "currency", "field"),
    [("0.00", "USD", "totalAmount"), ("-1", "USD", "totalAmount"), ("1", "EUR", "currency"), ("1", "XX", "currency")],
)
def test_what_is_wrong_with_a_reversal_is_named_by_its_own_path(
    till: Client, amount: str, currency: str, field: str
) -> None:
    reply = till.post(f"/pts/v2/payments/{till.pay().id}/reversals", reversal_of(amount, currency=currency))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(f"reversalInformation.amountDetails.{field}", "INVALID_DATA")]


def test_it_is_named_where_the_request_had_it(till: Client, vpc: Client) -> None:
    """Some clients say the currency of a reversal, and the amount of an increment, elsewhere."""
    body = reversal_of("1") | {"orderInformation": {"amountDetails": {"currency": "EUR"}}}
    reply = till.post(f"/pts/v2/payments/{till.pay().id}/reversals", body)
    assert reply.fields == [("orderInformation.amountDetails.currency", "INVALID_DATA")]
    reply = vpc.call("PATCH", f"/pts/v2/payments/{lodging(vpc)}", amount_of("0"))
    assert reply.fields == [("orderInformation.amountDetails.totalAmount", "INVALID_DATA")]


def test_a_part_may_be_reversed_and_then_the_rest(till: Client) -> None:
    """§3.8."""
    made = till.pay()
    assert till.reverse(made.id, "2.21").said == REVERSED
    assert till.reverse(made.id, "100.01").said == refused("INVALID_AMOUNT")
    assert till.reverse(made.id, "100.00").said == REVERSED
    assert till.reverse(made.id, "0.01").said == refused("AUTH_ALREADY_REVERSED")


def test_a_classic_account_reverses_the_whole_or_nothing(till: Client) -> None:
    classic = till.service.merchant("classic", partial_reversal="false")
    made = classic.pay()
    assert classic.reverse(made.id, "2.21").said == refused("INVALID_AMOUNT")
    assert classic.reverse(made.id).said == REVERSED


def test_a_reversal_on_the_other_platform_says_its_details(vpc: Client) -> None:
    """§3.11."""
    reply = vpc.reverse(vpc.pay().id)
    assert reply.json["processorInformation"] == {"responseDetails": "ABC", "responseCode": "00"}
    assert reply.json["reconciliationId"] == reply.id


def test_an_authorization_is_reversed_by_the_merchants_own_id(till: Client) -> None:
    """Case 63."""
    assert till.pay(payment() | named("T-63")).said == AUTHORIZED
    reply = till.post("/pts/v2/reversals", named("T-63") | reversal_of("102.21"))
    assert reply.said == REVERSED
    reference = reply.json["clientReferenceInformation"]
    assert re.fullmatch(r"[0-9]{13}", reference["code"])
    assert reference["transactionId"] == "T-63"


@pytest.mark.parametrize("path", ["/pts/v2/reversals", "/pts/v2/voids"])
@pytest.mark.parametrize("sent", [named("T-unknown"), named(""), {}])
def test_an_unknown_merchants_id_is_invalid_data_without_details(till: Client, path: str, sent: Json) -> None:
    """Cases 64 and 79."""
    reply = till.post(path, sent | reversal_of("1.00"))
    assert reply.said == refused("INVALID_DATA")
    assert list(reply.json) == ["id", "submitTimeUtc", "status", "reason", "message"]


def test_a_time_out_reversal_of_what_had_failed_says_the_original_amount(till: Client) -> None:
    """§3.9."""
    assert till.pay(payment("1500.00") | named("T-failed")).said == declined("PROCESSOR_DECLINED")
    reply = till.post("/pts/v2/reversals", named("T-failed") | reversal_of("1500.00"))
    assert reply.said == REVERSED
    assert reply.json["reversalAmountDetails"]["originalTransactionAmount"] == "1500.00"
    assert reply.json["processorInformation"]["responseCode"] == "303"


# ---- refunds and credits


def test_a_part_of_a_sale_is_refunded_and_can_be_voided(till: Client) -> None:
    """Case 65."""
    reply = till.refund(till.sell().id, "10")
    assert reply.said == PENDING
    own = f"/pts/v2/refunds/{reply.id}"
    assert reply.json["_links"] == {
        "void": {"method": "POST", "href": f"{own}/voids"},
        "self": {"method": "GET", "href": own},
    }
    assert reply.json["refundAmountDetails"] == {"currency": "USD", "refundAmount": "10.00"}
    assert reply.json["orderInformation"] == {"amountDetails": {"currency": "USD"}}
    assert till.void(reply.id, "refunds").said == VOIDED


def test_a_capture_is_refunded(till: Client) -> None:
    """Case 66."""
    assert till.refund(till.capture(till.pay().id).id, of="captures").said == PENDING


def test_the_default_sandbox_refunds_twice_and_more(till: Client) -> None:
    """Cases 67 and 68."""
    sold = till.sell()
    assert [till.refund(sold.id).said for _ in range(2)] == [PENDING, PENDING]
    assert till.refund(till.sell("100.00").id, "150.00").said == PENDING


def test_other_accounts_refund_what_was_captured_and_no_more(vpc: Client) -> None:
    sold = vpc.sell()
    assert vpc.refund(sold.id, "102.22").said == refused("INVALID_AMOUNT")
    assert vpc.refund(sold.id).said == PENDING
    assert vpc.refund(sold.id, "0.01").said == refused("INVALID_AMOUNT")


def test_a_declined_payment_is_not_refunded(till: Client) -> None:
    """Case 69."""
    reply = till.refund(till.pay(payment("1500.00")).id, "1500.00")
    assert reply.said == refused("INVALID_DATA")
    assert reply.json["message"] == INVALID_TEXT


def test_a_refund_goes_to_the_card_that_paid(till: Client) -> None:
    sold = till.sell()
    card = {"paymentInformation": {"card": {"number": MASTERCARD}}}
    other = till.post(f"/pts/v2/payments/{sold.id}/refunds", amount_of("1") | card)
    assert other.said == refused("INVALID_DATA")
    assert other.fields == [("paymentInformation.card.number", "INVALID_DATA")]
    card["paymentInformation"]["card"]["number"] = "4111111111111111"
    assert till.post(f"/pts/v2/payments/{sold.id}/refunds", amount_of("1") | card).said == PENDING


def test_a_declined_refund_is_called_failed(till: Client) -> None:
    """§5.4: a refund that is DECLINED does not decode in a production client."""
    reply = till.refund(till.sell().id, Kessai_Scenario="insufficient-funds")
    assert reply.said == (201, "FAILED", "INSUFFICIENT_FUND")
    assert till.details(reply.id)["applicationInformation"]["status"] == "FAILED"
    failed = till.refund(till.sell().id, Kessai_Scenario="system-error")
    assert till.details(failed.id)["applicationInformation"]["status"] == "FAILED"


def test_a_credit_pays_a_card(till: Client) -> None:
    """Case 70."""
    document = payment("200", paymentInformation__card__expirationYear=None)
    del document["orderInformation"]["billTo"]
    reply = till.credit(document)
    assert reply.said == PENDING
    own = f"/pts/v2/credits/{reply.id}"
    assert reply.json["_links"] == {
        "void": {"method": "POST", "href": f"{own}/voids"},
        "self": {"method": "GET", "href": own},
    }
    assert reply.json["creditAmountDetails"] == {"currency": "USD", "creditAmount": "200.00"}
    assert reply.json["processorInformation"] == {"approvalCode": "888888", "responseCode": "100"}
    assert reply.json["paymentInformation"] == {"tokenizedCard": {"type": "001"}, "card": {"type": "001"}}


@pytest.mark.parametrize("place", ["customer", "paymentInstrument", "instrumentIdentifier", "legacyToken"])
def test_a_token_that_nobody_knows_is_refused(till: Client, place: str) -> None:
    """Case 72."""
    document = payment() | {"paymentInformation": {place: {"id": "F45FB3E443AC3C57E053A2598D0A9CF0"}}}
    assert till.credit(document).said == refused("INVALID_DATA")
    assert till.pay(document).said == refused("INVALID_DATA")


def test_in_a_credit_capture_means_nothing(till: Client) -> None:
    assert till.credit(payment(processingInformation__capture="false")).said == PENDING


# ---- voids


def test_a_sale_is_voided(till: Client) -> None:
    """Case 74."""
    reply = till.void(till.sell("210.41").id)
    assert reply.said == VOIDED
    answer = reply.json
    assert answer["voidAmountDetails"] == {"currency": "usd", "voidAmount": "210.41"}
    assert answer["orderInformation"] == {"amountDetails": {"currency": "USD"}}
    assert answer["_links"] == {"self": {"method": "GET", "href": f"/pts/v2/voids/{reply.id}"}}
    assert not {"reconciliationId", "processorInformation"} & set(answer)


def test_captures_refunds_and_credits_are_voided(till: Client) -> None:
    """Cases 75 and 76."""
    captured = till.capture(till.pay().id)
    assert till.void(captured.id, "captures").said == VOIDED
    assert till.void(till.refund(till.sell().id).id, "refunds").said == VOIDED
    assert till.void(till.credit().id, "credits").said == VOIDED


def test_a_second_void_is_refused(till: Client) -> None:
    """Case 77."""
    captured = till.capture(till.pay().id)
    assert till.void(captured.id, "captures").said == VOIDED
    again = till.void(captured.id, "captures")
    assert again.said == refused("NOT_VOIDABLE")
    assert again.json["message"] == NOT_VOIDABLE_TEXT
    assert list(again.json) == ["id", "submitTimeUtc", "status", "reason", "message"]


def test_a_sale_is_voided_by_the_merchants_own_id(till: Client) -> None:
    """Case 78."""
    assert till.pay(payment(processingInformation__capture=True) | named("T-78")).said == AUTHORIZED
    reply = till.post("/pts/v2/voids", named("T-78"))
    assert reply.said == VOIDED
    assert reply.json["clientReferenceInformation"]["transactionId"] == "T-78"


def test_a_void_of_an_uncaptured_authorization_releases_it(till: Client) -> None:
    """Case 80."""
    made = till.pay()
    assert till.void(made.id).said == VOIDED
    assert till.capture(made.id).said == refused("AUTH_ALREADY_REVERSED")
    assert till.reverse(made.id).said == refused("AUTH_ALREADY_REVERSED")
    assert int(made.id) not in till.service.book().held


def test_a_voided_capture_is_not_refunded(till: Client) -> None:
    """Case 81."""
    captured = till.capture(till.pay().id)
    till.void(captured.id, "captures")
    assert till.refund(captured.id, of="captures").said == refused("CAPTURE_ALREADY_VOIDED")


def test_a_void_needs_no_body_of_its_own_and_takes_another_services(till: Client) -> None:
    """§5.1: one client sends the amount of a reversal along."""
    assert till.post(f"/pts/v2/payments/{till.sell().id}/voids", reversal_of("1.00")).said == VOIDED
