"""The official client, unmodified, pays with stored cards: what each call of `drive.stored` brought back."""

from typing import Any, Final

import pytest

Json = dict[str, Any]

WAYS: Final = ("customer", "card and address", "number", "legacy")


@pytest.fixture(scope="module")
def stored(played: Json) -> Json:
    found: Json = played["stored"]
    return found


def test_every_call_reached_an_answer(stored: Json) -> None:
    assert {name: noted for name, noted in stored.items() if name != "version" and "failed" in noted} == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_sample_pays_and_is_given_back(stored: Json, way: str) -> None:
    for verb, status in (("payment", "AUTHORIZED"), ("capture", "PENDING"), ("credit", "PENDING")):
        noted = stored[f"{verb} by {way}"]
        assert (noted["status"], noted.get("answer", {}).get("status")) == (201, status), noted


def test_the_tokens_that_paid_are_decoded(stored: Json) -> None:
    paid = stored["payment by customer"]["answer"]["payment_information"]
    assert paid["customer"] == {"id": "7500BB199B4270EFE05340588D0AFCAD"}
    assert paid["instrument_identifier"] == {"id": "7010000000016241111", "state": "ACTIVE"}
    assert paid["payment_instrument"]["id"]
    assert paid["shipping_address"]["id"]
    credit = stored["credit by card and address"]
    paid = credit["answer"]["payment_information"]
    assert paid["payment_instrument"] == {"id": "AB6A54B982A6FCB6E05341588E0A3935"}
    assert "processorInformation.paymentAccountReferenceNumber" in credit["lost"], "its model has no place for it"


def test_the_tokens_that_were_made_are_decoded(stored: Json) -> None:
    told = stored["payment that makes everything"]["answer"]["token_information"]
    assert told.keys() == {
        *("instrumentidentifier_new", "customer", "payment_instrument", "shipping_address", "instrument_identifier")
    }
    assert told["instrument_identifier"]["state"] == "ACTIVE"
    number = stored["payment that makes a number"]["answer"]["token_information"]
    assert number == {"instrumentidentifier_new": False, "instrument_identifier": told["instrument_identifier"]}
    added = stored["verification that adds a card"]["answer"]
    assert (added["status"], "customer" in added["token_information"]) == ("AUTHORIZED", False)


def test_agreements_are_taken(stored: Json) -> None:
    for name in ("first of an agreement", "charge without the cardholder"):
        assert stored[name]["answer"]["status"] == "AUTHORIZED"


def test_a_token_that_nobody_has_is_refused(stored: Json) -> None:
    noted = stored["payment by nobody"]
    assert (noted["status"], noted["error"]["reason"]) == (400, "INVALID_DATA")
    assert noted["error"]["details"] == [{"field": "paymentInformation.customer.id", "reason": "INVALID_DATA"}]
