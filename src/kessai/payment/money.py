"""Money: whole minor units of an ISO 4217 currency. Pure.

Amounts are integers everywhere behind the wire. Decimal text is read exactly, by digits, at the edge; `float` and
`Decimal` never appear, so no rounding can happen that nobody asked for.
"""

import re
from typing import Final

from msgspec import Struct

# ISO 4217: alphabetic code, numeric code, and the exponent where it is not 2.
_ISO_4217: Final = """
AED784 AFN971 ALL008 AMD051 ANG532 AOA973 ARS032 AUD036 AWG533 AZN944 BAM977 BBD052 BDT050 BGN975 BHD048:3 BIF108:0
BMD060 BND096 BOB068 BRL986 BSD044 BTN064 BWP072 BYN933 BZD084 CAD124 CDF976 CHF756 CLP152:0 CNY156 COP170 CRC188
CUP192 CVE132 CZK203 DJF262:0 DKK208 DOP214 DZD012 EGP818 ERN232 ETB230 EUR978 FJD242 FKP238 GBP826 GEL981 GHS936
GIP292 GMD270 GNF324:0 GTQ320 GYD328 HKD344 HNL340 HTG332 HUF348 IDR360 ILS376 INR356 IQD368:3 IRR364 ISK352:0 JMD388
JOD400:3 JPY392:0 KES404 KGS417 KHR116 KMF174:0 KPW408 KRW410:0 KWD414:3 KYD136 KZT398 LAK418 LBP422 LKR144 LRD430
LSL426 LYD434:3 MAD504 MDL498 MGA969 MKD807 MMK104 MNT496 MOP446 MRU929 MUR480 MVR462 MWK454 MXN484 MYR458 MZN943
NAD516 NGN566 NIO558 NOK578 NPR524 NZD554 OMR512:3 PAB590 PEN604 PGK598 PHP608 PKR586 PLN985 PYG600:0 QAR634 RON946
RSD941 RUB643 RWF646:0 SAR682 SBD090 SCR690 SDG938 SEK752 SGD702 SHP654 SLE925 SOS706 SRD968 SSP728 STN930 SVC222
SYP760 SZL748 THB764 TJS972 TMT934 TND788:3 TOP776 TRY949 TTD780 TWD901 TZS834 UAH980 UGX800:0 USD840 UYU858 UZS860
VES928 VND704:0 VUV548:0 WST882 XAF950:0 XCD951 XOF952:0 XPF953:0 YER886 ZAR710 ZMW967 ZWG924
"""

AMOUNT_TEXT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
"""Decimal text as the wires allow it: digits, one point, nothing else."""


class Currency(Struct, frozen=True):
    """A currency of ISO 4217; `exponent` is the number of its decimals (JPY 0, USD 2, KWD 3)."""

    code: str
    numeric: str
    exponent: int

    @staticmethod
    def of(code: str) -> "Currency":
        """The currency of an alphabetic code in any letter case. ValueError for an unknown one."""
        found = CURRENCIES.get(code) or CURRENCIES.get(code.upper())
        if found is None:
            raise ValueError("not an ISO 4217 currency")
        return found

    def __str__(self) -> str:
        return self.code


def _read(row: str) -> Currency:
    exponent = row[7:] if row[6:7] == ":" else "2"
    return Currency(row[:3], row[3:6], int(exponent))


CURRENCIES: Final[dict[str, Currency]] = {row[:3]: _read(row) for row in _ISO_4217.split()}
JPY: Final = CURRENCIES["JPY"]


class Money(Struct, frozen=True):
    """An amount in minor units, with its currency."""

    minor: int
    currency: Currency

    @staticmethod
    def parse(text: str, currency: Currency) -> "Money":
        """Exact decimal text to minor units; decimals beyond the currency's are cut, never rounded.

        ValueError where the text is not plain digits with at most one point (signs, exponents, separators, spaces,
        digits of other scripts: none of them is an amount).
        """
        if AMOUNT_TEXT.fullmatch(text) is None:
            raise ValueError("not a decimal amount")
        whole, _, fraction = text.partition(".")
        digits = fraction[: currency.exponent].ljust(currency.exponent, "0")
        return Money(int(whole + digits), currency)

    def __str__(self) -> str:
        """The amount with exactly the currency's decimals: `102.21`, `100`, `6.400`; no currency code."""
        if self.currency.exponent == 0:
            return str(self.minor)
        sign, digits = ("-", str(-self.minor)) if self.minor < 0 else ("", str(self.minor))
        digits = digits.rjust(self.currency.exponent + 1, "0")
        return f"{sign}{digits[: -self.currency.exponent]}.{digits[-self.currency.exponent :]}"

    def of(self, minor: int) -> "Money":
        """Another amount in the same currency."""
        return Money(minor, self.currency)

    def __add__(self, other: "Money") -> "Money":
        assert self.currency is other.currency
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        assert self.currency is other.currency
        return Money(self.minor - other.minor, self.currency)


def loses_decimals(text: str, currency: Currency) -> bool:
    """Whether cutting this amount text to the currency's decimals drops something other than zeros."""
    _, _, fraction = text.partition(".")
    return fraction[currency.exponent :].strip("0") != ""
