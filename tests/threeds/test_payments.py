"""Payments and the authentication of their cardholders: asked for, taken, brought along, or owed."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.client import AUTHORIZED, Client, Service, changed, declined, payment, refused
from tests.acceptance.test_secrets import forms
from tests.threeds.shop import (
    CHALLENGE,
    FRICTIONLESS,
    INFORMATION,
    MC_CHALLENGE,
    RETURN,
    SETUPS,
    Shop,
    asking,
    later,
    left_behind,
    order,
    taking,
    told,
)

PENDING = (201, "PENDING_AUTHENTICATION", "CONSUMER_AUTHENTICATION_REQUIRED")
NOT_AUTHENTICATED = declined("CONSUMER_AUTHENTICATION_FAILED")
REQUIRED = declined("CUSTOMER_AUTHENTICATION_REQUIRED")
NAME = f"{INFORMATION}.authenticationTransactionId"


# ---- asked for


def test_a_payment_goes_on_where_no_challenge_is_wanted(shop: Shop) -> None:
    reply = shop.till.pay(asking(order(FRICTIONLESS)))
    assert reply.said == AUTHORIZED
    found = told(reply)
    assert found["paresStatus"] == "Y"
    assert found["ecommerceIndicator"] == "vbv"
    assert reply.json["processorInformation"]["consumerAuthenticationResponse"] == {"code": "2", "codeRaw": "2"}
    details = shop.till.details(reply.id)
    assert details["processingInformation"]["commerceIndicator"] == "vbv"
    details = details[INFORMATION]
    expected = {"eciRaw": "05", "cavv": found["cavv"], "xid": found["xid"], "veresEnrolled": "Y", "paresStatus": "Y"}
    assert expected.items() <= details.items()
    assert details["transactionId"] == found["authenticationTransactionId"]
    assert details["directoryServerTransactionId"] == found["directoryServerTransactionId"]


def test_an_attempt_and_an_issuer_that_is_away_are_no_reason_to_stop(shop: Shop) -> None:
    attempt = shop.till.pay(asking(order("4000000000002719")))
    assert attempt.said == AUTHORIZED
    assert attempt.json["processorInformation"]["consumerAuthenticationResponse"]["code"] == "3"
    for number in ("4000000000002313", "4000000000002990", "4000000000002560"):
        reply = shop.till.pay(asking(order(number)))
        assert reply.said == AUTHORIZED
        assert "consumerAuthenticationResponse" not in reply.json["processorInformation"]
        assert told(reply)["eciRaw"] == "07"


@pytest.mark.parametrize("number", ["4000000000002925", "4000000000002537", "5200000000002276"])
def test_a_payment_is_declined_where_the_issuer_says_no(shop: Shop, number: str) -> None:
    reply = shop.till.pay(asking(order(number)))
    assert reply.said == NOT_AUTHENTICATED
    assert "processorInformation" not in reply.json, "nothing was sent"
    details = shop.till.details(reply.id)
    assert details["applicationInformation"]["reasonCode"] == 476
    assert details[INFORMATION]["paresStatus"] in ("N", "R")


def test_a_challenge_ends_the_request_and_makes_no_payment(shop: Shop) -> None:
    reply = shop.till.pay(asking(order(clientReferenceInformation__code="w-1")))
    assert reply.said == PENDING
    assert list(reply.json) == [
        "clientReferenceInformation",
        INFORMATION,
        "errorInformation",
        "id",
        "paymentInformation",
        "status",
        "submitTimeUtc",
    ]
    assert reply.json["paymentInformation"] == {"card": {"bin": "400000", "type": "VISA"}}
    assert {"accessToken", "stepUpUrl", "acsUrl", "pareq", "authenticationTransactionId"} <= told(reply).keys()
    assert shop.till.call("GET", f"/tss/v2/transactions/{reply.id}").status == 404


def test_what_came_of_the_challenge_pays(shop: Shop) -> None:
    found = told(shop.till.pay(asking(order())))
    name = found["authenticationTransactionId"]
    shop.answer(shop.step_up(found["accessToken"]))
    reply = shop.till.pay(taking(order(), name))
    assert reply.said == AUTHORIZED
    result = told(reply)
    expected = {"indicator": "vbv", "eci": "05", "eciRaw": "05", "authenticationResult": "0"}
    assert expected.items() <= result.items()
    assert (result["authenticationStatusMsg"], result["paresStatus"]) == ("Success", "Y")
    assert reply.json["processorInformation"]["consumerAuthenticationResponse"]["code"] == "2"
    assert shop.till.details(reply.id)[INFORMATION]["cavv"] == result["cavv"]
    shop.till.approved(shop.till.capture(reply.id))
    shop.till.service.assert_books()


def test_the_whole_way_with_mastercard(shop: Shop) -> None:
    name = shop.passed(order(MC_CHALLENGE))
    reply = shop.till.pay(taking(order(MC_CHALLENGE), name))
    assert reply.said == AUTHORIZED
    assert told(reply)["ucafCollectionIndicator"] == "2"
    assert "consumerAuthenticationResponse" not in reply.json["processorInformation"]


def test_a_challenge_that_is_not_passed_pays_nothing(shop: Shop) -> None:
    found = shop.challenged(order("4000000000002370"))
    name = found["authenticationTransactionId"]
    shop.answer(shop.step_up(found["accessToken"]))
    assert shop.till.pay(taking(order("4000000000002370"), name)).said == NOT_AUTHENTICATED
    waiting = shop.challenged()["authenticationTransactionId"]
    assert shop.till.pay(taking(order(), waiting)).said == NOT_AUTHENTICATED


def test_an_abandoned_challenge_pays_nothing(shop: Shop, service: Service) -> None:
    """Half an hour is the life of a challenge."""
    found = shop.challenged()
    name = found["authenticationTransactionId"]
    with later(service, minutes=31):
        reply = shop.till.pay(taking(order(), name))
        assert reply.said == NOT_AUTHENTICATED
        assert told(reply)["challengeCancelCode"] == "04"
        page = shop.step_up(found["accessToken"])
        assert page.became == "failed" or "The time" in page.text
        assert shop.answer(page, **{"token": found["accessToken"]}).became == "failed"


# ---- bound


def test_an_authentication_pays_once(shop: Shop) -> None:
    name = shop.passed()
    assert shop.till.pay(taking(order(), name)).said == AUTHORIZED
    again = shop.till.pay(taking(order(), name))
    assert again.said == refused("INVALID_DATA")
    assert again.fields == [(NAME, "INVALID_DATA")]
    assert "used before" in str(again.explanation)


def test_a_repeat_by_its_key_is_told_the_same(shop: Shop) -> None:
    name = shop.passed()
    first = shop.till.pay(taking(order(), name), Idempotency_Key=f"k-{name}")
    again = shop.till.pay(taking(order(), name), Idempotency_Key=f"k-{name}")
    assert (again.id, again.headers["kessai-replayed"]) == (first.id, "true")
    key = f"f-{name}"
    first = shop.till.pay(asking(order(FRICTIONLESS)), Idempotency_Key=key)
    assert shop.till.pay(asking(order(FRICTIONLESS)), Idempotency_Key=key).id == first.id


def test_of_two_payments_at_once_one_uses_the_authentication(shop: Shop) -> None:
    for _ in range(4):
        name = shop.passed()
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(shop.till.pay, [taking(order(), name)] * 4))
        said = sorted(str(reply.said) for reply in replies)
        assert said.count(str(AUTHORIZED)) == 1
        assert said.count(str(refused("INVALID_DATA"))) == 3
    shop.till.service.assert_books()


OTHERS: list[tuple[dict[str, Any], bool]] = [
    ({"orderInformation.amountDetails.totalAmount": "102.22"}, False),
    ({"orderInformation.amountDetails.totalAmount": "50.00"}, True),
    ({"orderInformation.amountDetails.currency": "EUR"}, False),
    ({"paymentInformation.card.number": "4111111111111111"}, False),
    ({"paymentInformation.card.expirationYear": "2032"}, True),
]


@pytest.mark.parametrize(("changes", "pays"), OTHERS)
def test_an_authentication_is_bound_to_its_card_and_covers_its_amount(
    shop: Shop, changes: dict[str, Any], pays: bool
) -> None:
    reply = shop.till.pay(taking(changed(order(), changes), shop.passed()))
    assert reply.said == (AUTHORIZED if pays else refused("INVALID_DATA"))
    assert reply.fields == ([] if pays else [(NAME, "INVALID_DATA")])


def test_nobody_pays_with_anothers_authentication(shop: Shop, service: Service) -> None:
    """A-20: another's name is answered as one that nobody has."""
    stranger = service.merchant("threeds_thief")
    name = shop.passed()
    replies = [stranger.pay(taking(order(), each)) for each in (name, "B" * 20)]
    assert {reply.said for reply in replies} == {refused("INVALID_DATA")}
    assert len({(str(reply.fields), reply.explanation) for reply in replies}) == 1
    assert shop.till.pay(taking(order(), name)).said == AUTHORIZED


def test_a_result_needs_its_name(shop: Shop) -> None:
    reply = shop.till.pay(changed(order(), {"processingInformation.actionList": ["VALIDATE_CONSUMER_AUTHENTICATION"]}))
    assert reply.said == refused("MISSING_FIELD")
    assert reply.fields == [(NAME, "MISSING_FIELD")]


def test_no_issuer_is_asked_for_what_is_declined_anyway(shop: Shop) -> None:
    expired = changed(order(), {"paymentInformation.card.expirationYear": "2020"})
    assert shop.till.pay(asking(expired)).said == declined("EXPIRED_CARD")


def test_where_the_payer_goes_must_be_a_page(shop: Shop) -> None:
    reply = shop.till.pay(asking(changed(order(), {f"{INFORMATION}.returnUrl": "javascript:alert(1)"})))
    assert reply.fields == [(f"{INFORMATION}.returnUrl", "INVALID_DATA")]


def test_a_stored_card_is_made_only_of_what_is_approved(shop: Shop) -> None:
    wanted = changed(order(), {"processingInformation.actionTokenTypes": ["customer"]})
    both = changed(wanted, {"processingInformation.actionList": ["CONSUMER_AUTHENTICATION", "TOKEN_CREATE"]})
    waiting = shop.till.pay(both)
    assert waiting.said == PENDING
    assert "tokenInformation" not in waiting.json
    name = told(waiting)["authenticationTransactionId"]
    shop.answer(shop.step_up(told(waiting)["accessToken"]))
    taken = taking(wanted, name)
    taken["processingInformation"]["actionList"].append("TOKEN_CREATE")
    reply = shop.till.pay(taken)
    assert reply.json["tokenInformation"]["customer"]["id"]
    assert told(reply)["paresStatus"] == "Y"


# ---- brought along


def test_what_somebody_else_found_out_is_passed_on(shop: Shop) -> None:
    brought = {
        "cavv": "AAABCSIIAAAAAAACcwgAEMCoNh+=",
        "xid": "T1Y0OVcxMVJJdkI0WFlBcXptUzE=",
        "eciRaw": "05",
        "paresStatus": "Y",
        "directoryServerTransactionId": "f38e6948-5388-41a6-bca4-b49723c19437",
        "paSpecificationVersion": "2.2.0",
    }
    reply = shop.till.pay(changed(payment(), {INFORMATION: brought, "processingInformation.commerceIndicator": "vbv"}))
    assert reply.said == AUTHORIZED
    assert reply.json["processorInformation"]["consumerAuthenticationResponse"]["code"] == "2"
    shown = shop.till.details(reply.id)[INFORMATION]
    assert shown["eciRaw"] == "05"
    assert "cavv" not in shown, "it is for one use, and was not made here"


def test_a_soft_decline_is_no_more_once_the_cardholder_is_authenticated(vpc_shop: Shop) -> None:
    asked = order("4000000000002503", "4128.00")
    plain = changed(asked, {INFORMATION: None})
    assert vpc_shop.till.pay(plain).said == REQUIRED
    name = vpc_shop.passed(asked)
    assert vpc_shop.till.pay(taking(asked, name)).said == AUTHORIZED


@pytest.fixture
def vpc_shop(service: Service) -> Shop:
    return Shop(service.till("kessai_vpc"))


# ---- owed


@pytest.fixture
def bound(service: Service) -> Shop:
    """A merchant that is bound to 3-D Secure."""
    return Shop(service.merchant("threeds_bound", three_d_secure="obligatory"))


YEN = {"amount": "12000", "currency": "JPY"}
INITIATOR = "processingInformation.authorizationOptions.initiator"

OWED: list[tuple[str, dict[str, Any], Any]] = [
    ("nothing", {}, REQUIRED),
    ("a word for it alone", {"processingInformation.commerceIndicator": "vbv"}, REQUIRED),
    ("authenticated", {INFORMATION: {"eciRaw": "05", "cavv": "A" * 28}}, AUTHORIZED),
    ("attempted", {INFORMATION: {"eciRaw": "6", "cavv": "A" * 28}}, AUTHORIZED),
    ("Mastercard", {INFORMATION: {"ucafCollectionIndicator": "2", "ucafAuthenticationData": "A" * 28}}, AUTHORIZED),
    ("tried in vain", {INFORMATION: {"eciRaw": "07", "paresStatus": "U"}}, AUTHORIZED),
    ("not enrolled", {INFORMATION: {"eciRaw": "07", "veresEnrolled": "N"}}, AUTHORIZED),
    ("failed", {INFORMATION: {"eciRaw": "07", "paresStatus": "N", "veresEnrolled": "Y"}}, REQUIRED),
    ("ECI 07 alone", {INFORMATION: {"eciRaw": "07"}}, REQUIRED),
    ("merchant-initiated", {f"{INITIATOR}.type": "merchant"}, AUTHORIZED),
    ("recurring", {"processingInformation.commerceIndicator": "recurring"}, AUTHORIZED),
    (
        "the first of a subscription",
        {"processingInformation.commerceIndicator": "recurring", f"{INITIATOR}.type": "customer"},
        REQUIRED,
    ),
    ("mail or phone", {"processingInformation.commerceIndicator": "MOTO"}, AUTHORIZED),
    ("card present", {"processingInformation.commerceIndicator": "retail"}, AUTHORIZED),
    ("a stored card by its holder", {f"{INITIATOR}.storedCredentialUsed": True}, REQUIRED),
    (
        "risk analysis",
        {INFORMATION: {"strongAuthentication": {"riskAnalysisExemptionIndicator": "1"}}},
        AUTHORIZED,
    ),
    ("another exemption", {INFORMATION: {"strongAuthentication": {"lowValueExemptionIndicator": "1"}}}, REQUIRED),
    (
        "two exemptions",
        {
            INFORMATION: {
                "strongAuthentication": {"lowValueExemptionIndicator": "1", "riskAnalysisExemptionIndicator": "1"}
            }
        },
        REQUIRED,
    ),
]


@pytest.mark.parametrize(("changes", "said"), [row[1:] for row in OWED], ids=[row[0] for row in OWED])
def test_a_merchant_that_is_bound_authenticates_or_is_exempt(
    bound: Shop, changes: dict[str, Any], said: tuple[int, str, str | None]
) -> None:
    document = changed(payment(**YEN), changes)
    reply = bound.till.pay(document)
    assert reply.said == said
    if said == REQUIRED:
        assert "processorInformation" not in reply.json, "nothing was sent"
        assert bound.till.details(reply.id)["applicationInformation"]["reasonCode"] == 478


def test_a_merchant_that_is_bound_pays_with_an_authentication(bound: Shop) -> None:
    asked = order(CHALLENGE, "12000", "JPY")
    assert bound.till.pay(asking(order(FRICTIONLESS, "12000", "JPY"))).said == AUTHORIZED
    assert bound.till.pay(taking(asked, bound.passed(asked))).said == AUTHORIZED


def test_a_wallet_has_authenticated_its_owner(bound: Shop) -> None:
    token = {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2031", "transactionType": "1"}
    plain = changed(payment(**YEN), {"paymentInformation": {"tokenizedCard": token}})
    assert bound.till.pay(plain).said == REQUIRED
    with_cryptogram = changed(plain, {"paymentInformation.tokenizedCard.cryptogram": "A" * 28})
    assert bound.till.pay(with_cryptogram).said == AUTHORIZED


def test_nobody_else_is_bound(till: Client) -> None:
    assert till.pay(payment(**YEN)).said == AUTHORIZED
    both = {"lowValueExemptionIndicator": "1", "trustedMerchantExemptionIndicator": "1"}
    assert till.pay(changed(payment(), {INFORMATION: {"strongAuthentication": both}})).said == REQUIRED
    assert RETURN.startswith("https://")


# ---- left behind


def test_nothing_of_a_card_or_a_code_is_left_behind(shop: Shop) -> None:
    """A-67, PCI DSS 3.3.1."""
    number, code, one_time = "4485275742308327", "6174", "550913"
    document = changed(order(number), {"paymentInformation.card.securityCode": code})
    shop.till.post(SETUPS, document)
    shop.enrol(document)
    shop.till.pay(asking(document), Kessai_Authentication="rejected")
    found = told(shop.till.pay(asking(document), Kessai_Authentication="challenge"))
    page = shop.step_up(found["accessToken"])
    shop.answer(shop.answer(page, one_time), one_time)
    shop.answer(page)
    shop.till.approved(shop.till.pay(taking(document, found["authenticationTransactionId"])))
    name = changed(document, {"merchantInformation.merchantName": number, "clientReferenceInformation.code": number})
    assert number not in shop.step_up(shop.challenged(name, Kessai_Authentication="challenge")["accessToken"]).text
    secret = re.compile(rb"(?<![0-9A-Fa-f-])(?:" + code.encode() + b"|" + one_time.encode() + rb")(?![0-9A-Fa-f-])")
    for place, data in left_behind(shop.till.service).items():
        assert [form for form, hidden in forms(number) if hidden in data] == [], place
        assert secret.search(data) is None, place
