"""Amounts and currencies: what is read, what is refused, what is said back."""

import json

import pytest

from tests.acceptance.client import AUTHORIZED, PENDING, Client, amount_of, payment, refused, reversal_of

TOTAL = "orderInformation.amountDetails.totalAmount"
CURRENCY = "orderInformation.amountDetails.currency"

READ = [
    ("102.21", "USD", "102.21"),
    ("200", "USD", "200.00"),  # case 13
    (100, "USD", "100.00"),
    ("100.00", "jpy", "100"),  # case 14
    ("6.4", "JOD", "6.400"),
    ("0000012.5", "USD", "12.50"),
    ("1", "KWD", "1.000"),
    ("99999999999.99", "USD", "99999999999.99"),
    ("99999999999", "JPY", "99999999999"),
]


@pytest.mark.parametrize(("sent", "currency", "said"), READ)
def test_an_amount_has_the_decimals_of_its_currency(till: Client, sent: object, currency: str, said: str) -> None:
    """Cases 13 and 14, §1.5."""
    reply = till.pay(payment(sent, currency))
    assert reply.said == AUTHORIZED
    assert reply.json["orderInformation"]["amountDetails"] == {"authorizedAmount": said, "currency": currency}


@pytest.mark.parametrize(
    ("sent", "minor"),
    [
        ("19.99", "19.99"),
        ("1.15", "1.15"),
        ("2.67", "2.67"),
        ("0.07", "0.07"),
        ("1.10", "1.10"),
        ("4503599627.37", "4503599627.37"),
    ],
)
def test_a_json_number_is_read_exactly(till: Client, sent: str, minor: str) -> None:
    """A-35: never as floating point."""
    body = json.dumps(payment("AMOUNT")).replace('"AMOUNT"', sent).encode()
    reply = till.call("POST", "/pts/v2/payments", body=body)
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == minor


BAD = [
    *("-1", "-0.01", "+5", " 5 ", "5 ", " ", "1e3", "1E+2", "1e1000000", "0x10", "1_000", "1,000.00", "1.000,00"),
    *("NaN", "Infinity", "sNaN", "１０００", "٣٤", "1.2.3", ".", "$5", "100000000000", "9" * 13, "9" * 10_000),
    *("1" * 12 + ".00", True, False, [], {}, ["1"], {"value": 1}, -1, 100000000000, 10**400, "0." + "0" * 40 + "1"),
]


@pytest.mark.parametrize("sent", BAD, ids=lambda value: str(value)[:20])
def test_what_is_no_amount_is_refused(till: Client, sent: object) -> None:
    """Cases 39 and 40, A-30 to A-35."""
    reply = till.pay(payment(sent))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(TOTAL, "INVALID_DATA")]


@pytest.mark.parametrize("number", ["1e3", "1E+2", "1e1000000", "-0.01", "1" * 5000, "-0.0"])
def test_a_json_number_with_an_exponent_or_a_sign_is_refused(till: Client, number: str) -> None:
    """A-31."""
    body = json.dumps(payment("AMOUNT")).replace('"AMOUNT"', number).encode()
    reply = till.call("POST", "/pts/v2/payments", body=body)
    assert reply.said == refused("INVALID_DATA")


def test_zero_moves_no_money(till: Client) -> None:
    """A-30: where it is not allowed."""
    made, sold = till.pay().id, till.sell().id
    for reply in (till.sell("0.00"), till.capture(made, "0"), till.refund(sold, "0.00"), till.credit(payment("0"))):
        assert reply.said == refused("INVALID_DATA")
        assert reply.fields == [(TOTAL, "INVALID_DATA")]


@pytest.mark.parametrize(
    ("sent", "currency", "said"),
    [("10.5", "JPY", "10"), ("1.005", "USD", "1.00"), ("1.0005", "KWD", "1.000"), ("10.999999", "USD", "10.99")],
)
def test_decimals_beyond_the_currency_are_cut_with_a_warning(till: Client, sent: str, currency: str, said: str) -> None:
    """A-33."""
    reply = till.pay(payment(sent, currency))
    assert reply.json["orderInformation"]["amountDetails"]["authorizedAmount"] == said
    assert till.warnings(reply.id) == [f"{TOTAL}: cut to the decimals of {currency}"]


@pytest.mark.parametrize(("sent", "currency"), [("100.00", "JPY"), ("1.500000", "USD")])
def test_zeros_beyond_the_currency_are_no_matter(till: Client, sent: str, currency: str) -> None:
    assert till.warnings(till.pay(payment(sent, currency)).id) == []


def test_a_merchant_may_have_such_decimals_refused(till: Client) -> None:
    """A-33."""
    exact = till.service.merchant("exact", excess_decimals="refuse")
    reply = exact.pay(payment("1.005"))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(TOTAL, "INVALID_DATA")]
    assert exact.pay(payment("1.500")).said == AUTHORIZED


@pytest.mark.parametrize("currency", ["US", "USDX", "XXX", "XTS", "840", "U$D", "ＵＳＤ", True, {}])
def test_what_is_no_currency_is_refused(till: Client, currency: object) -> None:
    """A-36."""
    reply = till.pay(payment("1.00", currency))  # type: ignore[arg-type]
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(CURRENCY, "INVALID_DATA")]


@pytest.mark.parametrize("currency", ["USD", "usd", "Usd"])
def test_a_currency_comes_back_in_the_letters_of_its_request(till: Client, currency: str) -> None:
    """§1.5: but a void's, which is spelt small, as in the one body that is public."""
    made = till.pay(payment("10", currency))
    assert made.json["orderInformation"]["amountDetails"]["currency"] == currency
    taken = till.post(f"/pts/v2/payments/{made.id}/captures", amount_of("5", currency))
    assert taken.json["orderInformation"]["amountDetails"]["currency"] == currency
    returned = till.post(f"/pts/v2/captures/{taken.id}/refunds", amount_of("1", currency))
    assert returned.json["refundAmountDetails"]["currency"] == currency
    assert returned.json["orderInformation"]["amountDetails"]["currency"] == currency
    released = till.post(f"/pts/v2/payments/{made.id}/reversals", reversal_of("5", currency=currency))
    assert released.json["reversalAmountDetails"]["currency"] == currency
    voided = till.void(returned.id, "refunds")
    assert voided.json["voidAmountDetails"]["currency"] == "usd"
    assert voided.json["orderInformation"]["amountDetails"]["currency"] == "USD"
    given = till.credit(payment("1", currency))
    assert given.json["creditAmountDetails"] == {"currency": currency, "creditAmount": "1.00"}


@pytest.mark.parametrize("unit", ["1e2", "-1", "x", "1,5", [], "9" * 13])
def test_a_bad_line_is_named_by_its_number(till: Client, unit: object) -> None:
    """§5.1."""
    lines = [{"unitPrice": "1.00"}, {"unitPrice": unit}, {"quantity": 2}, {"unitPrice": "1", "quantity": "1.5"}]
    reply = till.pay(payment(None, orderInformation__lineItems=lines))
    assert reply.said == refused("MISSING_FIELD")
    assert ("orderInformation.lineItems[1].unitPrice", "INVALID_DATA") in reply.fields
    assert ("orderInformation.lineItems[2].unitPrice", "MISSING_FIELD") in reply.fields
    assert ("orderInformation.lineItems[3].quantity", "INVALID_DATA") in reply.fields


@pytest.mark.parametrize(
    "lines",
    [
        [{"unitPrice": "999999999999", "quantity": "999999999"}],
        [{"unitPrice": "99999999999.99"}] * 300,
        [{"unitPrice": "100000000000"}],
    ],
)
def test_lines_that_add_up_to_too_much_are_refused(till: Client, lines: list[object]) -> None:
    """A-34."""
    reply = till.pay(payment(None, orderInformation__lineItems=lines))
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(TOTAL, "INVALID_DATA")]


def test_a_quantity_that_is_no_scalar_is_refused(till: Client) -> None:
    lines = [{"unitPrice": "5.00", "quantity": [2]}]
    reply = till.pay(payment(None, orderInformation__lineItems=lines))
    assert reply.fields == [("orderInformation.lineItems[0].quantity", "INVALID_DATA")]


def test_yen_have_no_decimals_anywhere(till: Client) -> None:
    made = till.pay(payment("12345.00", "jpy"))
    taken = till.post(f"/pts/v2/payments/{made.id}/captures", amount_of("12345.00", "jpy"))
    assert taken.said == PENDING
    assert taken.json["orderInformation"]["amountDetails"] == {"totalAmount": "12345", "currency": "jpy"}
    assert till.void(taken.id, "captures").json["voidAmountDetails"] == {"currency": "jpy", "voidAmount": "12345"}
    assert till.details(made.id)["orderInformation"]["amountDetails"]["authorizedAmount"] == "12345"
