"""Word: the enums of this house. Pure."""

from enum import Enum


class Word(Enum):
    """An enum whose members stand for a word.

    A member hashes by identity, and `word` is a plain attribute: `Enum` does both in Python, and tables by operation,
    status or brand are looked into a dozen times for each payment.
    """

    word: str

    def __init__(self, word: str) -> None:
        self.word = word

    __hash__ = object.__hash__
