"""Cards: brands by BIN, what can exist, and that a number is never shown."""

import copy
import json
import pickle
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode, looks_like_a_pan, luhn

KNOWN = [
    ("4111111111111111", Brand.VISA),
    ("4479667352342682672", Brand.VISA),
    ("5555555555554444", Brand.MASTERCARD),
    ("2222420000001113", Brand.MASTERCARD),
    ("5062280000000002", Brand.MASTERCARD),
    ("378282246310005", Brand.AMEX),
    ("6011111111111117", Brand.DISCOVER),
    ("38000000000006", Brand.DINERS),
    ("3566111111111113", Brand.JCB),
    ("50339619890917", Brand.MAESTRO),
    ("586824160825533338", Brand.MAESTRO),
    ("6759411100000008", Brand.MAESTRO_UK),
    ("5641821111166669", Brand.MAESTRO_UK),
    ("135412345678911", Brand.UATP),
    ("6690100000000000", Brand.JAYWAN),
    ("6250947000000014", Brand.UNIONPAY),
]


@pytest.mark.parametrize(("digits", "brand"), KNOWN)
def test_published_numbers_exist_and_have_their_brand(digits: str, brand: Brand) -> None:
    assert (Pan(digits).brand, Pan(digits).is_valid) == (brand, True)


@pytest.mark.parametrize(
    "digits", ["42423482938483873", "4111111111111112", "411111111111", "0" * 16, "4" * 20, "1234567"]
)
def test_numbers_that_cannot_exist_are_told(digits: str) -> None:
    assert not Pan(digits).is_valid


@pytest.mark.parametrize("text", ["", "4" * 21, "4111 1111 1111 1111", "４１１１", "4111x", "-4111"])
def test_a_pan_is_ascii_digits_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 20 digits"):
        Pan(text)


@given(st.text("0123456789", min_size=11, max_size=18))
def test_exactly_one_check_digit_is_right(payload: str) -> None:
    assert sum(luhn(payload + digit) for digit in "0123456789") == 1


@pytest.mark.parametrize("secret", [Pan("4111111111111111"), SecurityCode("837")])
def test_a_secret_is_shown_nowhere(secret: Pan | SecurityCode) -> None:
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>40}", repr([secret]), repr({"a": secret})):
        assert "411111" not in shown
        assert "837" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_a_card_shows_no_number_and_no_code() -> None:
    card = Card(pan=Pan("4111111111111111"), expiry=Expiry(2031, 12), security_code=SecurityCode("837"))
    assert "41111111" not in repr(card)
    assert "837" not in repr(card)


def test_masking_keeps_six_and_four_and_never_more() -> None:
    assert Pan("4111111111111111").masked() == "411111XXXXXX1111"
    assert Pan("411111111111").masked() == "XXXXXXXX1111"


def test_a_card_is_good_through_its_month() -> None:
    assert not Expiry(2026, 11).is_past(date(2026, 11, 30))
    assert Expiry(2026, 11).is_past(date(2026, 12, 1))
    assert Expiry(2025, 12).is_past(date(2026, 1, 1))


@pytest.mark.parametrize(
    "text", ["1763634000123", "7951735482076000103001", "4111111111111112", "12345", "135412345678911 "]
)
def test_times_ids_and_other_numbers_do_not_look_like_a_pan(text: str) -> None:
    assert not looks_like_a_pan(text)


def test_a_pan_looks_like_one() -> None:
    assert all(looks_like_a_pan(digits) for digits, _ in KNOWN)
