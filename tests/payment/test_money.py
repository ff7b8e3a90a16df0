"""Money: exact text to minor units and back."""

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.payment.money import CURRENCIES, JPY, Currency, Money, loses_decimals

USD, KWD = Currency.of("USD"), Currency.of("KWD")

TEXTS = [
    ("102.21", USD, 10221, "102.21"),
    ("200", USD, 20000, "200.00"),
    ("100.00", JPY, 100, "100"),
    ("6.4", KWD, 6400, "6.400"),
    ("0", USD, 0, "0.00"),
    ("0.00", USD, 0, "0.00"),
    ("00012.50", USD, 1250, "12.50"),
    ("1.005", USD, 100, "1.00"),
    ("10.5", JPY, 10, "10"),
    ("1.0005", KWD, 1000, "1.000"),
    ("19.99", USD, 1999, "19.99"),
    ("2.675", USD, 267, "2.67"),
]


@pytest.mark.parametrize(("text", "currency", "minor", "shown"), TEXTS)
def test_reads_decimal_text_exactly_and_cuts_what_the_currency_has_not(
    text: str, currency: Currency, minor: int, shown: str
) -> None:
    money = Money.parse(text, currency)
    assert (money.minor, str(money)) == (minor, shown)


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+5",
        " 5",
        "5 ",
        "",
        ".",
        "1.",
        ".5",
        "1e3",
        "1E+2",
        "0x10",
        "1_000",
        "1,000.00",
        "NaN",
        "Infinity",
        "１００",
        "١٠٠",
        "1" * 16,
        "1." + "0" * 16,
        "1.2.3",
        "1\n",
    ],
)
def test_refuses_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal amount"):
        Money.parse(text, USD)


@given(st.integers(0, 10**14), st.sampled_from(sorted(CURRENCIES)))
def test_every_amount_survives_its_own_text(minor: int, code: str) -> None:
    money = Money(minor, Currency.of(code))
    assert Money.parse(str(money), money.currency) == money


@given(st.decimals(min_value=0, max_value=10**9, places=6), st.sampled_from(["JPY", "USD", "KWD"]))
def test_cutting_is_rounding_towards_zero(amount: Decimal, code: str) -> None:
    currency = Currency.of(code)
    exact = amount.quantize(Decimal(1).scaleb(-currency.exponent), rounding=ROUND_DOWN)
    text = f"{amount:f}"
    assert Money.parse(text, currency).minor == int(exact.scaleb(currency.exponent))
    assert loses_decimals(text, currency) == (amount != exact)


def test_currencies_are_found_in_any_letter_case_and_only_when_they_exist() -> None:
    assert Currency.of("jpy") is JPY
    assert {currency.exponent for currency in CURRENCIES.values()} == {0, 2, 3}
    for wrong in ("US", "XTS", "XXX", "yen", ""):
        with pytest.raises(ValueError, match="ISO 4217"):
            Currency.of(wrong)
