"""JSON documents as merchants send them: read once, strictly, and asked a few plain questions. Pure.

Every dialect reads its bodies here and nowhere else, so no two readers can disagree about duplicate members or odd
escapes. Whatever could cost more than its length is refused before it is decoded. No wire name is known here.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import msgspec

from kessai.payment.card import looks_like_a_pan

MAX_DEPTH: Final = 32
"""Objects and arrays inside one another, the document itself included."""
MAX_MEMBERS: Final = 1_000
"""Members of all objects together, duplicates included; and, apart from them, commas."""
MAX_TEXT_BYTES: Final = 32_768
"""Bytes of one text as sent. The longest member of any public reference has 22 000 letters."""
MAX_NUMBER_CHARS: Final = 32
"""Characters of a number with a point or an exponent; whole numbers are exact at any length that is decoded."""


class Number(str):
    """The text of a number with a point or an exponent, exactly as sent: `100.00` is not `100`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Malformed:
    """A body that is not a document; the reason names the rule it breaks and nothing of what came."""

    reason: str


def parse(body: bytes) -> dict[str, object] | Malformed:
    """Read a body that the edge has already measured: one JSON object in UTF-8 (RFC 8259).

    Gives objects as `dict` (the last of duplicate members counts), arrays as `list`, text as `str`, whole numbers as
    `int`, others as `Number`, and `bool` and None. Refused: anything after the object, a byte order mark, other
    encodings, lone surrogates, NaN and Infinity, control characters (U+0000 to U+001F) raw or escaped, exponents of
    three digits, and whatever exceeds the limits above.
    """
    # A body of 2 000 bytes holds fewer than 1 000 members and commas; only brackets are worth counting in it.
    if len(body) > 2 * MAX_MEMBERS or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        excess = _excess(body)
        if excess is not None:
            return Malformed(excess)
    if b"\\" in body and _ESCAPED_CONTROL.search(body.replace(rb"\\", b"")):
        return Malformed("control character in a text")
    try:
        document = _DECODER.decode(body)
    except msgspec.ValidationError:
        return Malformed("number out of range")
    except ValueError:  # what msgspec and the UTF-8 codec raise for every other fault
        return Malformed("not one JSON object in UTF-8")
    if type(document) is not dict:
        return Malformed("not a JSON object")
    return document


def is_plain(body: bytes) -> bool:
    """Whether a body is so small that no limit is near, in UTF-8, and has no control character in a text."""
    return (
        len(body) <= 2 * MAX_MEMBERS
        and body.count(b"{") + body.count(b"[") <= MAX_DEPTH
        and (body.isascii() or _is_utf8(body))
        and (b"\\" not in body or _ESCAPED_CONTROL.search(body.replace(rb"\\", b"")) is None)
    )


def text_of(value: object) -> str | None:
    """The text form of a scalar (`true`, `12`, `100.00`); None for what is no scalar: object, array, null."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def has_bad_characters(text: str) -> bool:
    """Whether a text holds what no name, address or comment needs and what makes another text of it when shown.

    Bad are controls (C0, DEL, C1), line and paragraph separators, bidirectional embeddings, overrides and isolates,
    surrogates, private use and unassigned code points. Joiners, marks, variation selectors and ideographs are fine.
    """
    if text.isprintable() or text.replace("\u3000", "").isprintable():  # the ideographic space is a space
        return False
    return any(map(_is_bad, set(text)))


def mask_pans(value: object) -> object:
    """A copy fit to be stored: each scalar that is, as a whole, what a PAN looks like shows its last four only.

    Numbers with a point or an exponent become their text, which is what every JSON writer can write.
    """
    if isinstance(value, dict):
        return {name: mask_pans(member) for name, member in value.items()}
    if isinstance(value, list):
        return [mask_pans(entry) for entry in value]
    text = value if type(value) is str else text_of(value)
    if text is not None and looks_like_a_pan(text):
        return text[-4:].rjust(len(text), "X")
    return text if isinstance(value, str) else value


def _excess(body: bytes) -> str | None:
    """Which limit a body exceeds. A straight line of passes at C speed: no byte is looked at by a loop of ours."""
    # Without escapes every quote opens or closes a text, so the odd pieces are texts and the even ones are not. JSON
    # has no backslash outside a text: where this reading goes astray, the decoder has stopped before.
    pieces = body.replace(rb"\\", b"_").replace(rb"\"", b"_").split(b'"')
    if max(map(len, pieces[1::2]), default=0) > MAX_TEXT_BYTES:
        return "text too long"
    frame = b"".join(pieces[::2])
    if frame.count(b":") > MAX_MEMBERS or frame.count(b",") > MAX_MEMBERS:
        return "too many members"
    steps = memoryview(frame.translate(_STEPS, _NO_STEP)).cast("b")
    return "nested too deep" if max(accumulate(steps), default=0) > MAX_DEPTH else None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(text: str) -> Number:
    if len(text) > MAX_NUMBER_CHARS or _HUGE_EXPONENT.search(text):
        raise ValueError("number out of range")
    return Number(text)


def _is_bad(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":  # Unicode keeps planes 2 and 3 for ideographs; it assigns more of them every year or two
        return not ("\U00020000" <= character <= "\U0003fffd") or ord(character) & 0xFFFE == 0xFFFE
    return category in _BAD_CATEGORIES or character in _BIDIRECTIONAL


_ESCAPED_CONTROL: Final = re.compile(rb"\\(?:[bfnrt]|u00[01])")  # in a body rid of escaped backslashes
_HUGE_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]{3}")
_DECODER: Final = msgspec.json.Decoder(float_hook=_number)

_STEPS: Final = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
"""Brackets as signed bytes: one deeper, one back."""
_NO_STEP: Final = bytes(byte for byte in range(256) if byte not in b"{[}]")

_BAD_CATEGORIES: Final = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})
_BIDIRECTIONAL: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
