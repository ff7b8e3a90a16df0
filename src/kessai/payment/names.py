"""Business names: the three ways in which a Japanese shop is printed on a statement. Pure.

Nothing is refused here. What can be converted is converted, what cannot stays as it was sent and is noted; whether a
note matters is for others to say. Readings of kanji are not guessed: no rule gives them.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

LONGEST: Final = 25
"""Characters of a kanji or alphanumeric name; half-width cells of a katakana name."""


class Note(Enum):
    """What happened to a name; the value is what people read."""

    EMPTY = "the name is missing"
    TOO_LONG = "the name is longer than 25 characters"
    CUT = "the name was cut at 25 half-width cells"
    UNCONVERTIBLE = "the name has characters that have no half-width katakana"
    UNENCODABLE = "the name has characters outside of CP932"
    NOT_ALPHANUMERIC = "the name has characters outside of ASCII"


@dataclass(frozen=True, slots=True)
class Converted:
    """A name as it may go out, and what there is to say about it."""

    text: str
    notes: tuple[Note, ...] = ()


# JIS X 0201, the right half. Its voiced sound marks decompose to the combining ones.
_HALF_WIDTH: Final = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF61, 0xFFA0)} | {
    "ヮ": "ﾜ",
    "ヵ": "ｶ",
    "ヶ": "ｹ",
    "ヰ": "ｲ",
    "ヱ": "ｴ",
    "〜": "ｰ",
}
_MARKS: Final = ("ﾞ", "ﾟ")
_KATAKANA_OF: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}
# Spacing sound marks would become a space and a combining mark.
_COMBINING_OF: Final = {"゛": "\u3099", "゜": "\u309a"}
# A dash or wave behind kana is a long vowel. NFKC would make "-" and "~" of two of them and leave the third alone.
_LONG_VOWEL: Final = re.compile(r"(?<=[ぁ-ゖァ-ヺーｦ-ﾟ])[－～〜]+")
_PRINTABLE_ASCII: Final = re.compile(r"[ -~]*")


def katakana(text: str) -> Converted:
    """A katakana name in half-width cells, hiragana and full-width letters converted; at most 25 cells.

    Characters that JIS X 0201 does not have, kanji above all, are kept, take two cells and are noted. A name that is
    too long is cut between two characters, a voiced one with its mark.
    """
    converted = half_width(text)
    notes: list[Note] = []
    if not converted.strip():
        notes.append(Note.EMPTY)
    if any(not _is_half_width(character) for character in converted):
        notes.append(Note.UNCONVERTIBLE)
    fitting = _fitting(converted)
    if fitting != converted:
        notes.append(Note.CUT)
    return Converted(fitting, tuple(notes))


def kanji(text: str) -> Converted:
    """A name in kanji, as it was sent; at most 25 code points, all of them in CP932, else noted."""
    notes: list[Note] = []
    if not text.strip():
        notes.append(Note.EMPTY)
    if len(text) > LONGEST:
        notes.append(Note.TOO_LONG)
    try:
        text.encode("cp932")
    except UnicodeEncodeError:
        notes.append(Note.UNENCODABLE)
    return Converted(text, tuple(notes))


def alphanumeric(text: str) -> Converted:
    """A name in ASCII, full-width letters converted; at most 25 characters, else noted."""
    converted = unicodedata.normalize("NFKC", text)
    notes: list[Note] = []
    if not converted.strip():
        notes.append(Note.EMPTY)
    if len(converted) > LONGEST:
        notes.append(Note.TOO_LONG)
    if _PRINTABLE_ASCII.fullmatch(converted) is None:
        notes.append(Note.NOT_ALPHANUMERIC)
    return Converted(converted, tuple(notes))


@lru_cache(maxsize=1024)
def printed(name: str | None, katakana_name: str | None, alphanumeric_name: str | None) -> tuple[str | None, ...]:
    """The three names as an acquirer prints them: each converted as far as it can be, None where there is none."""
    return (
        kanji(name).text if name else None,
        katakana(katakana_name).text if katakana_name else None,
        alphanumeric(alphanumeric_name).text if alphanumeric_name else None,
    )


@lru_cache(maxsize=1024)
def fit(name: str | None, katakana_name: str | None, alphanumeric_name: str | None) -> bool:
    """Whether all three names of a business are there and short enough."""
    notes = {
        *kanji(name or "").notes,
        *katakana(katakana_name or "").notes,
        *alphanumeric(alphanumeric_name or "").notes,
    }
    return notes.isdisjoint({Note.EMPTY, Note.TOO_LONG, Note.CUT})


def half_width(text: str) -> str:
    """Kana as half-width katakana, full-width letters as ASCII; every other character as it is."""
    text = _LONG_VOWEL.sub(lambda found: "ー" * len(found[0]), text)
    for spacing, combining in _COMBINING_OF.items():
        text = text.replace(spacing, combining)
    text = unicodedata.normalize("NFKC", text).translate(_KATAKANA_OF)
    return "".join(_half_width(character) for character in text)


def cells(text: str) -> int:
    """Half-width cells that a text takes in print: one for ASCII and half-width katakana, two for all else."""
    return sum(1 if _is_half_width(character) else 2 for character in text)


def _half_width(character: str) -> str:
    if character in _HALF_WIDTH:
        return _HALF_WIDTH[character]
    parts = unicodedata.normalize("NFD", character)
    if all(part in _HALF_WIDTH for part in parts):
        return "".join(_HALF_WIDTH[part] for part in parts)
    return character


def _is_half_width(character: str) -> bool:
    return " " <= character <= "~" or "｡" <= character <= "ﾟ"


def _fitting(text: str) -> str:
    room = LONGEST
    end = 0
    while end < len(text) and (room := room - cells(text[end])) >= 0:
        end += 1
    if end == len(text):
        return text
    while end and text[end] in _MARKS:
        end -= 1
    return text[:end]
