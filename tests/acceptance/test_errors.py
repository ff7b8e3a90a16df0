"""Errors: everything that is wrong is said at once, each by its path, and nothing that the sender did not know."""

import pytest

from tests.acceptance.client import MISSING_TEXT, Client, Json, changed, leaves, payment, refused

BILL_TO = "orderInformation.billTo"


def missing(reply_fields: list[tuple[str, str]]) -> list[str]:
    assert {reason for _, reason in reply_fields} == {"MISSING_FIELD"}
    return [field for field, _ in reply_fields]


def test_an_empty_request_misses_every_required_field(till: Client) -> None:
    """Case 41, §5.1."""
    reply = till.pay({})
    assert reply.said == refused("MISSING_FIELD")
    assert reply.json["message"] == MISSING_TEXT
    assert sorted(missing(reply.fields)) == sorted(
        [
            "paymentInformation.card.number",
            "paymentInformation.card.expirationMonth",
            "paymentInformation.card.expirationYear",
            "orderInformation.amountDetails.currency",
            "orderInformation.amountDetails.totalAmount",
            *(f"{BILL_TO}.{name}" for name in ("firstName", "lastName", "address1", "locality", "country", "email")),
        ]
    )


def test_all_that_is_wrong_is_said_at_once_and_missing_wins(till: Client) -> None:
    """§5.1: one entry per field; the top reason is MISSING_FIELD as soon as one is missing."""
    wrong: Json = {
        "orderInformation.amountDetails.totalAmount": "1e3",
        "orderInformation.amountDetails.currency": "XX",
        "paymentInformation.card.expirationMonth": "13",
        "paymentInformation.card.securityCode": "12345",
        "processingInformation.capture": "maybe",
        "processingInformation.japanPaymentOptions": {"paymentMethod": "99", "firstBillingMonth": "13"},
        "orderInformation.billTo.address1": "a\u202eb",
    }
    reply = till.pay(changed(payment(), wrong))
    assert reply.said == refused("INVALID_DATA")
    assert sorted(reply.fields) == sorted(
        [
            ("orderInformation.amountDetails.totalAmount", "INVALID_DATA"),
            ("orderInformation.amountDetails.currency", "INVALID_DATA"),
            ("paymentInformation.card.expirationMonth", "INVALID_DATA"),
            ("paymentInformation.card.securityCode", "INVALID_DATA"),
            ("processingInformation.capture", "INVALID_DATA"),
            ("processingInformation.japanPaymentOptions.paymentMethod", "INVALID_DATA"),
            ("processingInformation.japanPaymentOptions.firstBillingMonth", "INVALID_DATA"),
            ("orderInformation.billTo.address1", "INVALID_DATA"),
        ]
    )
    both = till.pay(changed(payment(), {"orderInformation.amountDetails.totalAmount": "1e3", f"{BILL_TO}.email": None}))
    assert both.said == refused("MISSING_FIELD")
    assert sorted(both.fields) == [
        ("orderInformation.amountDetails.totalAmount", "INVALID_DATA"),
        (f"{BILL_TO}.email", "MISSING_FIELD"),
    ]


@pytest.mark.parametrize("country", ["US", "ca", "CAN"])
def test_state_and_postal_code_are_needed_in_north_america(till: Client, country: str) -> None:
    document = changed(payment(), {f"{BILL_TO}.country": country})
    del document["orderInformation"]["billTo"]["administrativeArea"]
    del document["orderInformation"]["billTo"]["postalCode"]
    assert missing(till.pay(document).fields) == [f"{BILL_TO}.administrativeArea", f"{BILL_TO}.postalCode"]
    document["orderInformation"]["billTo"]["country"] = "JP"
    assert till.pay(document).status == 201


def test_relaxed_accounts_need_neither_address_nor_expiry(till: Client) -> None:
    relaxed = till.service.merchant("relaxed", relaxed_address="true", relaxed_expiry="true")
    document = {
        "orderInformation": {"amountDetails": {"totalAmount": "1", "currency": "USD"}},
        "paymentInformation": {"card": {"number": "4111111111111111"}},
    }
    assert relaxed.pay(document).status == 201
    assert till.pay(document).status == 400


@pytest.mark.parametrize("bad", ["a\u202eb", "a\u0085b", "a\ue000b", "a\u2028b"])
@pytest.mark.parametrize("path", ["clientReferenceInformation.code", f"{BILL_TO}.firstName"])
def test_characters_that_no_name_needs_are_invalid_by_their_path(till: Client, path: str, bad: str) -> None:
    reply = till.pay(changed(payment(), {path: bad}))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(path, "INVALID_DATA")]


@pytest.mark.parametrize("bad", ["a\u0000b", "a\nb", "\u001b[2J"])
def test_a_control_character_makes_the_whole_body_invalid(till: Client, bad: str) -> None:
    reply = till.pay(changed(payment(), {"clientReferenceInformation.code": bad}))
    assert reply.said == refused("INVALID_DATA")
    assert reply.explanation == "control character in a text"


def test_a_text_that_is_too_long_to_decide_nothing_is_only_warned_of(till: Client) -> None:
    reply = till.pay(changed(payment(), {f"{BILL_TO}.firstName": "x" * 61}))
    assert reply.status == 201
    assert till.warnings(reply.id) == [f"{BILL_TO}.firstName: longer than the network carries"]


WRONG: list[Json] = [
    {"orderInformation.amountDetails.totalAmount": "12345678.canary"},
    {"paymentInformation.card.number": "41111111canary"},
    {"paymentInformation.card.securityCode": "canary"},
    {"processingInformation.capture": "canary"},
    {"processingInformation.japanPaymentOptions": {"paymentMethod": "canary", "installments": "canary"}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_an_error_does_not_repeat_what_was_sent(till: Client, changes: Json) -> None:
    reply = till.pay(changed(payment(), changes))
    assert reply.status == 400
    assert "canary" not in "".join(map(str, leaves(reply.json)))
    assert "canary" not in (reply.explanation or "")


def test_a_refusal_says_why_in_a_header(till: Client) -> None:
    made = till.pay().id
    till.reverse(made)
    assert till.reverse(made).explanation == "the authorization has already been reversed"
