"""Cards: PAN, expiry, brand. Pure.

A `Pan` and a `SecurityCode` are types of their own whose `repr`, `str` and format are masked and which refuse pickling,
so that a number reaches a log, an error or a document only where somebody writes `.digits` on purpose.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final, NoReturn

from msgspec import Struct

from kessai.payment.word import Word


class Brand(Word):
    """Card brands; the value is the name people read."""

    VISA = "Visa"
    MASTERCARD = "Mastercard"
    AMEX = "American Express"
    DISCOVER = "Discover"
    DINERS = "Diners Club"
    JCB = "JCB"
    MAESTRO = "Maestro"
    MAESTRO_UK = "Maestro UK"
    UNIONPAY = "UnionPay"
    ELO = "Elo"
    HIPERCARD = "Hipercard"
    MADA = "mada"
    RUPAY = "RuPay"
    CARTES_BANCAIRES = "Cartes Bancaires"
    DANKORT = "Dankort"
    MEEZA = "Meeza"
    JAYWAN = "Jaywan"
    UATP = "UATP"
    EFTPOS = "eftpos"


# First and last prefix of a range, brand, lengths. The longest prefix that fits wins, so an issuer's range inside a
# scheme's is one more row. Public ranges: ISO/IEC 7812 registrations as the schemes publish them.
BIN_RANGES: Final[tuple[tuple[str, str, Brand, frozenset[int]], ...]] = tuple(
    (first, last, brand, frozenset(lengths))
    for first, last, brand, lengths in (
        ("4", "4", Brand.VISA, (13, 16, 19)),
        ("51", "55", Brand.MASTERCARD, (16,)),
        ("2221", "2720", Brand.MASTERCARD, (16,)),
        ("506228", "506228", Brand.MASTERCARD, (16,)),  # Carnet, answered as Mastercard
        ("34", "34", Brand.AMEX, (15,)),
        ("37", "37", Brand.AMEX, (15,)),
        ("6011", "6011", Brand.DISCOVER, (16, 17, 18, 19)),
        ("644", "649", Brand.DISCOVER, (16, 17, 18, 19)),
        ("65", "65", Brand.DISCOVER, (16, 17, 18, 19)),
        ("300", "305", Brand.DINERS, (14, 15, 16, 17, 18, 19)),
        ("3095", "3095", Brand.DINERS, (14, 15, 16, 17, 18, 19)),
        ("36", "36", Brand.DINERS, (14, 15, 16, 17, 18, 19)),
        ("38", "39", Brand.DINERS, (14, 15, 16, 17, 18, 19)),
        ("3528", "3589", Brand.JCB, (16, 17, 18, 19)),
        ("62", "62", Brand.UNIONPAY, (13, 14, 15, 16, 17, 18, 19)),
        ("81", "81", Brand.UNIONPAY, (16, 17, 18, 19)),
        ("50", "50", Brand.MAESTRO, tuple(range(12, 20))),
        ("56", "58", Brand.MAESTRO, tuple(range(12, 20))),
        ("60", "60", Brand.MAESTRO, tuple(range(12, 20))),
        ("63", "63", Brand.MAESTRO, tuple(range(12, 20))),
        ("67", "67", Brand.MAESTRO, tuple(range(12, 20))),
        ("6759", "6759", Brand.MAESTRO_UK, tuple(range(12, 20))),
        ("676770", "676770", Brand.MAESTRO_UK, tuple(range(12, 20))),
        ("676774", "676774", Brand.MAESTRO_UK, tuple(range(12, 20))),
        ("564182", "564182", Brand.MAESTRO_UK, tuple(range(12, 20))),
        ("6669", "6669", Brand.MEEZA, (16,)),
        ("6690", "6690", Brand.JAYWAN, (16,)),
        ("1", "1", Brand.UATP, (15,)),
        ("606282", "606282", Brand.HIPERCARD, (13, 16, 19)),
        ("636368", "636368", Brand.ELO, (16,)),
        ("506699", "506778", Brand.ELO, (16,)),
        ("509000", "509999", Brand.ELO, (16,)),
        ("650031", "650051", Brand.ELO, (16,)),
        ("6521", "6522", Brand.RUPAY, (16,)),
        ("5019", "5019", Brand.DANKORT, (16,)),
        ("588845", "588850", Brand.MADA, (16,)),
    )
)

_PAN_TEXT: Final = re.compile(r"[0-9]{1,20}", re.ASCII)


def _by_prefix() -> dict[str, tuple[Brand, frozenset[int]]]:
    table: dict[str, tuple[Brand, frozenset[int]]] = {}
    for first, last, brand, lengths in BIN_RANGES:
        for prefix in range(int(first), int(last) + 1):
            table[str(prefix).zfill(len(first))] = (brand, lengths)
    return table


_RANGES: Final = _by_prefix()
_PREFIX_LENGTHS: Final = sorted({len(prefix) for prefix in _RANGES}, reverse=True)
_LONGEST_PREFIX: Final = _PREFIX_LENGTHS[0]


_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
"""Each digit twice, the digits of the result added up."""


def luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    plain, doubled = digits[-1::-2].encode(), digits[-2::-2].encode().translate(_DOUBLED)
    return (sum(plain) + sum(doubled) - ord("0") * len(digits)) % 10 == 0


def bin_range(digits: str) -> tuple[Brand, frozenset[int]] | None:
    """Brand and permitted lengths of the longest range that a number begins with; None for an unknown BIN."""
    return _range_of(digits[:_LONGEST_PREFIX])


@lru_cache(maxsize=4096)
def _range_of(prefix: str) -> tuple[Brand, frozenset[int]] | None:
    for length in _PREFIX_LENGTHS:
        found = _RANGES.get(prefix[:length])
        if found is not None:
            return found
    return None


def looks_like_a_pan(text: str) -> bool:
    """Whether a whole text is what a PAN looks like: a known BIN, a length of its brand, a right check digit."""
    if not 13 <= len(text) <= 19 or _PAN_TEXT.fullmatch(text) is None or not luhn(text):
        return False
    found = bin_range(text)
    return found is not None and len(text) in found[1]


class Secret:
    """A text that is never shown: `repr`, `str` and format mask it, pickling and copying refuse."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ***>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._text))


class Pan(Secret):
    """A primary account number: 1 to 20 ASCII digits, else ValueError. Whether it can exist, `is_valid` tells."""

    __slots__ = ()

    def __init__(self, digits: str) -> None:
        if _PAN_TEXT.fullmatch(digits) is None:
            raise ValueError("a PAN is 1 to 20 digits")
        super().__init__(digits)

    @property
    def digits(self) -> str:
        return self._text

    @property
    def brand(self) -> Brand | None:
        found = bin_range(self._text)
        return found[0] if found else None

    @property
    def is_valid(self) -> bool:
        """Check digit right, BIN known and length one of the brand's; an unknown BIN needs 12 to 19 digits."""
        found = bin_range(self._text)
        lengths = found[1] if found else range(12, 20)
        return len(self._text) in lengths and luhn(self._text) and self._text.strip("0") != ""

    @property
    def suffix(self) -> str:
        return self._text[-4:]

    @property
    def prefix(self) -> str:
        """The first six digits where the number is long enough to show six and four (PCI DSS 3.4.1), else none."""
        return self._text[:6] if len(self._text) >= 13 else ""

    def masked(self) -> str:
        """First six and last four, the rest as `X`; only the last four of a short number."""
        return self.prefix + "X" * max(len(self._text) - len(self.prefix) - 4, 0) + self.suffix

    def __repr__(self) -> str:
        return f"<Pan ****{self.suffix}>" if len(self._text) > 8 else "<Pan ****>"


class AccountNumber(Secret):
    """A bank account's number: 1 to 17 ASCII digits, else ValueError."""

    __slots__ = ()

    def __init__(self, digits: str) -> None:
        if not 1 <= len(digits) <= 17 or _PAN_TEXT.fullmatch(digits) is None:
            raise ValueError("an account number is 1 to 17 digits")
        super().__init__(digits)

    @property
    def digits(self) -> str:
        return self._text

    @property
    def suffix(self) -> str:
        """The last four digits where at least as many stay hidden, else none."""
        return self._text[-4:] if len(self._text) >= 8 else ""

    def masked(self) -> str:
        return "X" * len(self._text)


class SecurityCode(Secret):
    """A CVV, CVC, CID. Lives for one exchange; nothing may store, hash or queue it (PCI DSS 3.3.1).

    But for `transients`, which keeps it for minutes before its exchange, blinded and sealed (PCI DSS 3.3.2).
    """

    __slots__ = ()

    @property
    def digits(self) -> str:
        return self._text


class Expiry(Struct, frozen=True):
    """The month a card is good through."""

    year: int
    month: int

    def is_past(self, today: date) -> bool:
        """Whether the month has ended everywhere: compare with a date of UTC-12."""
        return (today.year, today.month) > (self.year, self.month)


class Card(Struct, frozen=True, kw_only=True):
    """A card as it was given for one operation."""

    pan: Pan
    expiry: Expiry | None = None
    security_code: SecurityCode | None = None
    brand: Brand | None = None
    """The brand of the BIN, or the one the merchant named where the BIN is unknown."""


PUBLISHED_TEST_NUMBERS: Final = frozenset({"6222040000030012"})
"""Numbers that schemes publish for tests although their check digit is wrong; good for test merchants only."""
