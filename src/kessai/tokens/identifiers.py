"""The ids of tokens. Pure: the randomness is handed in.

A card's instrument identifier keeps the last four digits of its number and passes the Luhn check, so that software made
for card numbers can carry it; nothing else of it comes from the number. Eleven random digits leave room for clashes
within a merchant: a clash is refused by the table's key, and another id is tried.
"""

from typing import Final

from kessai.payment.card import luhn
from kessai.tokens.objects import CARD_ID_DIGITS

_PREFIXES: Final = ("701", "702", "703")
"""No issuer's: BINs that begin with 7 belong to fuel and fleet cards of other lengths."""
_FREE: Final = CARD_ID_DIGITS - len(_PREFIXES[0]) - 4


def opaque(random: bytes) -> str:
    """The id of a customer, payment instrument, shipping address or bank account: 32 upper-case hexadecimal digits."""
    assert len(random) == 16
    return random.hex().upper()


def of_card(last_four: str, random: int) -> str:
    """The id of a card's instrument identifier. `random` is any number that cannot be foreseen, of 40 bits or more."""
    random, prefix = divmod(random, len(_PREFIXES))
    body = f"{random % 10 ** (_FREE - 1):0{_FREE - 1}d}"
    return next(found for check in range(10) if luhn(found := f"{_PREFIXES[prefix]}{body}{check}{last_four}"))
