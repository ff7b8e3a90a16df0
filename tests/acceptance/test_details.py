"""Increments of a pre-authorization, details of a transaction, read-backs of a resource, uniqueness where kept."""

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    PENDING,
    UNKNOWN,
    Client,
    changed,
    lodging,
    named,
    payment,
    refused,
)

# ---- increments


@pytest.mark.parametrize("name", ["additionalAmount", "totalAmount"])
def test_a_pre_authorization_is_increased_by_either_amount(vpc: Client, name: str) -> None:
    """Case 99."""
    made = lodging(vpc)
    document = {
        "clientReferenceInformation": {"code": "inc"},
        "orderInformation": {"amountDetails": {name: "22.49", "currency": "USD"}},
    }
    reply = vpc.call("PATCH", f"/pts/v2/payments/{made}", document)
    assert reply.said == AUTHORIZED
    assert reply.id == made
    assert list(reply.json["_links"]) == ["authReversal", "self", "capture"]
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == "22.49"
    assert vpc.capture(made, "124.70").said == PENDING


def test_increments_are_refused_where_the_acquirer_has_none(till: Client, vpc: Client) -> None:
    """Case 100."""
    document = payment(processingInformation__authorizationOptions={"authIndicator": "0"})
    assert till.increase(till.pay(document).id).said == refused("NOT_SUPPORTED")
    assert vpc.increase(vpc.pay().id).said == refused("NOT_SUPPORTED")
    assert vpc.increase(UNKNOWN).said == refused("INVALID_DATA")


@pytest.mark.parametrize("amount", ["0", "-1", "1e2"])
def test_a_wrong_increment_is_named_by_its_own_path(vpc: Client, amount: str) -> None:
    reply = vpc.increase(lodging(vpc), amount)
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [("orderInformation.amountDetails.additionalAmount", "INVALID_DATA")]


# ---- details and read-backs


def test_details_say_the_reason_as_a_number_and_as_a_text(till: Client) -> None:
    """Case 101."""
    made = till.pay()
    captured = till.capture(made.id)
    found = till.details(made.id)
    host = f"http://127.0.0.1:{till.service.port}"
    assert found["applicationInformation"]["reasonCode"] == 100
    assert found["applicationInformation"]["applications"][0] == {
        "name": "ics_auth",
        "reasonCode": "100",
        "rCode": "1",
        "rFlag": "SOK",
        "rMessage": "Request was processed successfully.",
        "returnCode": 1010000,
        "reconciliationId": made.json["reconciliationId"],
    }
    assert found["_links"]["self"]["href"] == f"{host}/tss/v2/transactions/{made.id}"
    assert found["_links"]["relatedTransactions"] == [
        {"href": f"{host}/tss/v2/transactions/{captured.id}", "method": "GET"}
    ]
    assert found["merchantId"] == "kessai_sandbox"
    assert found["submitTimeUTC"] == made.json["submitTimeUtc"]
    assert found["paymentInformation"]["card"] == {
        "suffix": "1111",
        "prefix": "411111",
        "expirationMonth": "12",
        "expirationYear": "2031",
        "type": "001",
        "brandName": "VISA",
    }


def test_details_show_the_request_again_and_what_became_of_the_money(till: Client) -> None:
    """Transaction details, §3.1: what the payment began with is shown with all that follows; objects stand empty."""
    document = payment("100.00") | {
        "merchantDefinedInformation": [{"key": "1", "value": "gift"}],
        "buyerInformation": {"merchantCustomerId": "B-7"},
        "deviceInformation": {"ipAddress": "192.0.2.7"},
    }
    document["clientReferenceInformation"] = {"code": "shown", "applicationName": "Shop", "comments": "a remark"}
    document["orderInformation"]["lineItems"] = [{"productName": "tea", "quantity": 2, "unitPrice": "50.00"}]
    document["orderInformation"]["shipTo"] = {"firstName": "Jiro", "country": "JP"}
    made = till.pay(document)
    captured = till.capture(made.id, "80.00")
    refunded = till.refund(captured.id, "30.00", of="captures")
    for identifier in (made.id, captured.id, refunded.id):
        found = till.details(identifier)
        assert found["rootId"] == made.id
        assert found["merchantDefinedInformation"] == [{"key": "1", "value": "gift"}]
        assert found["buyerInformation"] == {"merchantCustomerId": "B-7"}
        assert found["deviceInformation"] == {"ipAddress": "192.0.2.7"}
        assert found["orderInformation"]["shipTo"]["firstName"] == "Jiro"
        assert found["orderInformation"]["lineItems"][0]["productName"] == "tea"
        assert found["orderInformation"]["billTo"]["lastName"] == "Suzuki"
        assert found["clientReferenceInformation"]["applicationName"] == "Shop"
        for name in ("tokenInformation", "installmentInformation", "fraudMarkingInformation", "riskInformation"):
            assert found[name] == {}
        assert found["processingInformation"]["commerceIndicatorLabel"] == "internet"
        assert len(found["_links"]["relatedTransactions"]) == 2
    amounts = till.details(captured.id)["orderInformation"]["amountDetails"]
    assert (amounts["totalAmount"], amounts["refundBalance"]) == ("80.00", "50.00")
    assert "settlementAmount" not in amounts
    shop = till.service.merchant("settles_details")
    sale = shop.sell("20.00").id
    till.service.settle("settles_details")
    amounts = shop.details(sale)["orderInformation"]["amountDetails"]
    assert (amounts["settlementAmount"], amounts["settlementCurrency"]) == ("20.00", "USD")
    scored = till.pay(Kessai_Scenario="risk-score").id
    assert till.details(scored)["riskInformation"]["score"]["result"]


@pytest.mark.parametrize("identifier", [UNKNOWN, "12345", "x"])
def test_details_of_what_is_unknown_are_not_found(till: Client, identifier: str) -> None:
    """Case 102."""
    assert till.call("GET", f"/tss/v2/transactions/{identifier}").status == 404


def test_details_tell_what_became_of_each_transaction(till: Client) -> None:
    """§3.10: the states that clients read."""
    made = till.pay()
    captured = till.capture(made.id)
    refunded = till.refund(captured.id, "1", of="captures")
    reversed_ = till.pay()
    reversal = till.reverse(reversed_.id)
    voided = till.sell()
    void = till.void(voided.id)
    no = till.pay(payment("1500.00"))
    review = till.pay(Kessai_Scenario="risk-review")
    told = {
        made.id: ("AUTHORIZED", "ics_auth", "1"),
        captured.id: ("PENDING", "ics_bill", "1"),
        refunded.id: ("PENDING", "ics_credit", "1"),
        till.credit().id: ("PENDING", "ics_credit", "1"),
        reversed_.id: ("REVERSED", "ics_auth", "1"),
        reversal.id: ("REVERSED", "ics_auth_reversal", "1"),
        voided.id: ("VOIDED", "ics_auth", "1"),
        void.id: ("VOIDED", "ics_void", "1"),
        no.id: ("DECLINED", "ics_auth", "0"),
        review.id: ("AUTHORIZED_PENDING_REVIEW", "ics_auth", "1"),
    }
    for identifier, expected in told.items():
        found = till.details(identifier)["applicationInformation"]
        first = found["applications"][0]
        assert (found["status"], first["name"], first["rCode"]) == expected


def test_every_resource_is_read_back_as_it_was_created(till: Client) -> None:
    """§2."""
    made = till.pay()
    captured = till.capture(made.id, "50")
    refunded = till.refund(captured.id, "1", of="captures")
    for collection, reply in {
        "payments": made,
        "captures": captured,
        "reversals": till.reverse(made.id, "1"),
        "refunds": refunded,
        "credits": till.credit(),
        "voids": till.void(refunded.id, "refunds"),
    }.items():
        again = till.call("GET", f"/pts/v2/{collection}/{reply.id}")
        assert again.status == 200
        told = again.json
        assert list(told.pop("kessaiInformation")) == ["paymentOptionsId"]  # our extension
        assert told == reply.json
        other = "voids" if collection != "voids" else "payments"
        assert till.call("GET", f"/pts/v2/{other}/{reply.id}").status == 404


def test_a_merchants_id_is_used_once_where_that_is_checked(till: Client) -> None:
    """Case 103."""
    checked = till.service.merchant("checked", unique_transaction_id_days="60")
    assert checked.pay(payment() | named("T-103")).said == AUTHORIZED
    again = checked.pay(payment() | named("T-103"))
    assert again.said == refused("DUPLICATE_REQUEST")
    assert again.json["message"].startswith("Declined - Merchant transaction identifier (MTI)")
    assert till.pay(payment() | named("T-103")).said == AUTHORIZED
    assert till.pay(payment() | named("T-103")).said == AUTHORIZED


def test_a_reference_is_used_once_in_a_while_where_that_is_checked(till: Client) -> None:
    """§1.7."""
    checked = till.service.merchant("checked_reference", unique_reference_minutes="15")
    document = payment(clientReferenceInformation={"code": "order-9"})
    assert checked.pay(document).said == AUTHORIZED
    assert checked.pay(document).said == refused("DUPLICATE_REQUEST")
    assert [till.pay(document).said for _ in range(2)] == [AUTHORIZED, AUTHORIZED]


def test_details_have_the_objects_and_members_of_the_real_ones(till: Client) -> None:
    """§3.10 of the payments reference, §3.1 of the search reference."""
    document = changed(
        payment("100.00"),
        {
            "paymentInformation.card.startMonth": "01",
            "paymentInformation.card.startYear": "2020",
            "paymentInformation.card.issueNumber": "1",
            "processingInformation.recurringOptions": {"firstRecurringPayment": "true"},
        },
    )
    made = till.pay(document)
    found = till.details(made.id)
    card = found["paymentInformation"]["card"]
    assert (card["startMonth"], card["startYear"], card["issueNumber"], card["brandName"]) == (
        "01",
        "2020",
        "1",
        "VISA",
    )
    processing = found["processingInformation"]
    assert processing["fundingOptions"] == {"firstRecurringPayment": True}
    assert processing["reconciliationId"] == found["reconciliationId"] == made.json["reconciliationId"]
    assert till.details(till.pay().id)["processingInformation"]["fundingOptions"] == {"firstRecurringPayment": False}
    assert found["processorInformation"]["electronicVerificationResults"] == {}
    assert found["processorInformation"]["achVerification"] == {}
    for name in MEMBERS:
        assert name in found, name


MEMBERS = (
    "id",
    "rootId",
    "reconciliationId",
    "merchantId",
    "status",
    "submitTimeUTC",
    "applicationInformation",
    "buyerInformation",
    "clientReferenceInformation",
    "consumerAuthenticationInformation",
    "deviceInformation",
    "errorInformation",
    "installmentInformation",
    "fraudMarkingInformation",
    "merchantInformation",
    "orderInformation",
    "paymentInformation",
    "processingInformation",
    "processorInformation",
    "pointOfSaleInformation",
    "riskInformation",
    "senderInformation",
    "tokenInformation",
    "_links",
)


def test_details_tell_of_the_tokens_that_a_payment_made(till: Client) -> None:
    types = ["customer", "paymentInstrument", "shippingAddress"]
    document = changed(
        payment("12.00"),
        {
            "processingInformation": {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": types},
            "orderInformation.shipTo": {"firstName": "Taro", "country": "JP"},
        },
    )
    made = till.pay(document)
    told = made.json["tokenInformation"]
    assert told["customer"]["id"]
    captured = till.capture(made.id, "12.00")
    for identifier in (made.id, captured.id):
        assert till.details(identifier)["tokenInformation"] == told
    plain = till.pay()
    assert till.details(plain.id)["tokenInformation"] == {}
