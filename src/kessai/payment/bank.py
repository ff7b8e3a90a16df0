"""Bank accounts: routing number, account number, kind. What eChecks go through. Pure.

An account number is a secret like a card number: sealed, found by its fingerprint, shown by its last four at most. A
routing number names a bank and is none.
"""

import re
from typing import Final

from msgspec import Struct

from kessai.payment.card import AccountNumber
from kessai.payment.money import Currency
from kessai.payment.word import Word

FLAG: Final = "bank-account"
"""The flag of every transaction whose payment is one of a bank account."""


class AccountType(Word):
    """Kinds of accounts; the value is the name people read."""

    CHECKING = "checking"
    SAVINGS = "savings"
    CORPORATE = "corporate checking"
    GENERAL_LEDGER = "general ledger"


class BankAccount(Struct, frozen=True, kw_only=True):
    """A bank account as it was given for one operation."""

    number: AccountNumber
    routing_number: str
    """Digits: nine where it is one of the ABA, eight or nine of a Canadian bank."""
    type: AccountType = AccountType.CHECKING


CURRENCIES: Final = ("USD", "CAD")
"""What eChecks are written in."""
OF_CANADA: Final = frozenset({AccountType.CHECKING})
"""Kinds of accounts that take Canadian dollars; the others are for US dollars only."""
NOT_TAKEN: Final = frozenset({AccountType.GENERAL_LEDGER})
"""Kinds of accounts that no acquirer here takes: Wells Fargo ACH alone does."""

_ROUTING: Final = re.compile(r"[0-9]{8,9}", re.ASCII)
_WEIGHTS: Final = (3, 7, 1, 3, 7, 1, 3, 7, 1)


def routing_number(text: str, currency: Currency | None) -> str | None:
    """A routing number in its whole length; None for a text that is none.

    An ABA number has nine digits, the last of which checks the others (weights 3, 7, 1 modulo 10). Eight digits are one
    that lost its leading zero as a JSON number: the public samples send it so. A Canadian one has no check digit.
    """
    if _ROUTING.fullmatch(text) is None:
        return None
    if currency is not None and currency.code == "CAD":
        return text
    whole = text.zfill(9)
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, whole, strict=True))
    return whole if total % 10 == 0 and whole.strip("0") else None


# ---- as the vault seals it

_TYPES: Final = tuple(AccountType)
_LENGTH_BYTES: Final = 16


def packed(account: BankAccount) -> bytes:
    """One length for all accounts: both numbers in nibbles, filled with F to 20 and 10, and the kind (1)."""
    nibbles = account.number.digits.ljust(20, "f") + account.routing_number.ljust(10, "f")
    return bytes.fromhex(nibbles) + _TYPES.index(account.type).to_bytes(1)


def unpacked(plaintext: bytes) -> BankAccount | None:
    """None for what is no account, but a card."""
    if len(plaintext) != _LENGTH_BYTES:
        return None
    number, routing = plaintext[:10].hex().rstrip("f"), plaintext[10:15].hex().rstrip("f")
    return BankAccount(number=AccountNumber(number), routing_number=routing, type=_TYPES[plaintext[15]])
