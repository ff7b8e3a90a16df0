"""Usual requests, read at once: from JSON to a value with the members that count, in one pass at C speed. Pure.

Made of the same two tables that the walk goes by: `members.txt` says what is kept and how long it may be, `fields.py`
what is read. Nothing is decided here and nothing is explained: what is not exactly as usual (a number where a text is
expected, a null entry, an empty text, a character that no name needs, a card that is named and not sent) is left to the
walk, `requests.py`, which takes it all the same or says what is wrong with it. A test compares the two.
"""

from collections.abc import Callable
from operator import attrgetter
from types import NoneType
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from kessai.dialects.cybersource import japan, members
from kessai.dialects.cybersource.members import UNSTATED_LENGTH, Place
from kessai.dialects.document import is_plain, text_of
from kessai.dialects.table import Table
from kessai.payment.card import looks_like_a_pan

Document = Any
"""A Struct of members by their wire names, each None where it is absent; objects are Structs of the same kind."""

WALKED: Final = (
    "tokenInformation",
    "consumerAuthenticationInformation",
    "paymentInformation.legacyToken",
    "paymentInformation.tokenizedCard",
    "paymentInformation.bank",
    "paymentInformation.fluidData",
    "processingInformation.actionList",
    "processingInformation.japanPaymentOptions.bonuses",
    "processingInformation.recurringOptions",
    "processingInformation.authorizationOptions.merchantInitiatedTransaction",
    "installmentInformation",
    "recurringPaymentInformation",
    "unscheduledPaymentInformation",
)
"""Members whose presence alone makes a request one for the walk."""


class Usual(Struct):
    """A request as it usually is."""

    values: dict[str, object]
    """Of the table's rows, by their neutral names."""
    document: Document
    """What is kept of it; secrets have been taken out."""
    option: tuple[object, ...] | None
    """The members of a Japanese payment option, in the order of `japan.MEMBERS`."""


class Reader:
    """Reads the usual requests of one table."""

    def __init__(self, rows: Table) -> None:
        self._decode = msgspec.json.Decoder(_struct_of(_places(rows), "document")).decode
        self._pick = _picker(rows)

    def read(self, body: bytes) -> Usual | None:
        """None for a request that has to be walked."""
        if not is_plain(body):
            return None
        try:
            document: Document = self._decode(body)
            values = self._pick(document)
        except ValueError:
            return None
        processing = document.processingInformation
        option = None if processing is None else processing.japanPaymentOptions
        return Usual(values, document, None if option is None else _option(option))


def written(document: Document, token: bytes | None = None) -> bytes | None:
    """What is kept of a request as JSON; None where something in it has to be looked at. `token` is the id of one of
    ours in it, which is long but no PAN."""
    particulars = _encode(document)
    said = particulars if token is None else particulars.replace(token, b"-")
    return None if b"{}" in said or not _is_harmless(said) else particulars


def _is_harmless(particulars: bytes) -> bool:
    """Whether every character of a document may be shown, and no text in it is what a PAN looks like."""
    kinds = particulars.translate(_KINDS)
    if b"x" in kinds:
        rest = particulars.translate(None, _PRINTABLE).decode()
        if not (rest.isprintable() or rest.replace("\u3000", "").isprintable()):
            return False
    if _LONG_NUMBER not in kinds:
        return True
    return not any(map(looks_like_a_pan, members.DIGITS.findall(particulars.decode())))


_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_KINDS: Final = bytes(
    ord("0") if byte in b"0123456789" else ord("a") if byte in _PRINTABLE else ord("x") for byte in range(256)
)
"""Every byte by its kind: `0` a digit, `a` any other that may be shown, `x` what has to be looked at."""
_LONG_NUMBER: Final = b"0" * 13
"""No PAN is shorter."""


_encode: Final = msgspec.json.Encoder().encode
_option: Final = attrgetter(*japan.WIRE_NAMES)


# ---- compiling


def _places(rows: Table) -> Place:
    """What may stand where: what is kept and, beside it, what is read and not kept."""
    root = members.compiled(members.rows())
    for path in (path for field in rows for path in field.paths):
        place = root
        for step in path:
            place = place.members.setdefault(step, Place())
        if place.length_chars < 0 and not place.members:
            place.length_chars = UNSTATED_LENGTH
    for walked in WALKED:
        *way, last = walked.split(".")
        place = root
        for step in way:
            place = place.members[step]
        place.members[last] = Place()
    return root


def _kind_of(place: Place, name: str) -> Any:
    """The type of what usually stands at a place; NoneType where nothing does, or several kinds may."""
    if (place.length_chars >= 0) + bool(place.members) + (place.entry is not None) != 1:
        return NoneType
    if place.members:
        return _struct_of(place, name)
    if place.entry is not None:
        entry = _kind_of(place.entry, name)
        some: Any = list[entry]  # type: ignore[valid-type] # made here
        return NoneType if entry is NoneType else Annotated[some, Meta(min_length=1)]
    text: Any = Annotated[str, Meta(min_length=1, max_length=place.length_chars)]
    return text | bool if place.is_flag else text


def _struct_of(place: Place, name: str) -> type[Struct]:
    fields: list[tuple[str, Any, Any]] = []
    for member, below in place.members.items():
        kind = _kind_of(below, f"{name}_{member}")
        attribute = member.replace("-", "_")
        wire_name = msgspec.field(default=None, name=member)
        fields.append((attribute, kind if kind is NoneType else kind | None, wire_name))
    return msgspec.defstruct(name, fields, omit_defaults=True, gc=False)


def _picker(rows: Table) -> Callable[[Document], dict[str, object]]:
    """A function that picks a table's values out of a document, written as a person would write it: straight down.

    Secrets are taken out of the document where they are read.
    """
    lines = ["def pick(document):", " values = {}"]
    _write(rows, rows.root, "document", 1, lines, members.kept_paths())
    lines.append(" return values")
    scope: dict[str, Any] = {f"codec_{index}": field.codec for index, field in enumerate(rows)}
    exec("\n".join(lines), scope | {"text_of": text_of}, scope)  # noqa: S102 # our own tables, at import
    picker: Callable[[Document], dict[str, object]] = scope["pick"]
    return picker


def _write(rows: Table, branch: Any, here: str, depth: int, lines: list[str], kept: frozenset[str]) -> None:
    indent = " " * depth
    for name, index, field, path in branch.leaves:
        first = f" and {field.name!r} not in values" if len(field.paths) > 1 else ""
        lines.append(f"{indent}value = {here}.{name}")
        lines.append(f"{indent}if value is not None{first}:")
        lines.append(
            f"{indent} values[{field.name!r}] = codec_{index}(value if type(value) is str else text_of(value))"
        )
        if path not in kept:
            lines.append(f"{indent}{here}.{name} = None")
    for name, below in branch.branches:
        inner = f"{here}_{name}"
        lines.append(f"{indent}{inner} = {here}.{name}")
        lines.append(f"{indent}if {inner} is not None:")
        _write(rows, below, inner, depth + 1, lines, kept)
