"""The query language of searches, read into a tree. Pure; knows no field.

    query   = clause { OR clause }        AND binds before OR; both in capitals
    clause  = part { AND part }
    part    = "(" query ")" | field ":" value
    value   = "(" value { OR|AND value } ")"      alternatives of one field
            | range | "quoted text" | text        a text runs until AND, OR or a closing parenthesis
    range   = ("[" | "{") low TO high ("]" | "}") | "[" instant "]"

In a text `*` stands for anything and `?` for one character; a backslash takes the meaning from what follows it.
Work is bounded by the length, and depth, clauses and wildcards by limits. Nothing is raised but `QueryError`.
"""

import re
from typing import Final

from msgspec import Struct

from kessai.dialects.document import has_bad_characters

MOST_CHARACTERS: Final = 4_096
MOST_DEPTH: Final = 16
"""Parentheses inside one another."""
MOST_CLAUSES: Final = 100
MOST_WILDCARDS: Final = 4
"""In one text."""


class QueryError(ValueError):
    """What is wrong and where: the number of a character, from 1. `field` where a field is not known."""

    def __init__(self, at: int, why: str, field: str = "") -> None:
        super().__init__(f"at character {at}: {why}")
        self.at = at
        self.why = why
        self.field = field


class Text(Struct, frozen=True):
    """A value. `parts` alternate between texts and wildcards and end with a text. `start` and `end` are its place."""

    parts: tuple[str, ...]
    start: int
    end: int

    @property
    def has_wildcards(self) -> bool:
        return len(self.parts) > 1


class Range(Struct, frozen=True):
    """From `low` to `high`, as written; whether each is left out. A lone instant has the same twice."""

    low: str
    high: str
    excludes_low: bool
    excludes_high: bool
    start: int
    end: int

    @property
    def is_single(self) -> bool:
        return self.low == self.high and not (self.excludes_low or self.excludes_high)


class Clause(Struct, frozen=True):
    field: str
    value: Text | Range
    at: int
    """Where the field stands."""


class All(Struct, frozen=True):
    parts: "tuple[Node, ...]"


class Any(Struct, frozen=True):
    parts: "tuple[Node, ...]"


Node = Clause | All | Any

_BLANKS: Final = re.compile(r"\s*")
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_OPERATOR: Final = re.compile(r"(AND|OR)(?=[\s(]|$)")
_NOT: Final = re.compile(r"NOT(?=[\s(])|[-+!]")
_FUZZY: Final = re.compile(r"[~^][0-9.]*$")
_TO: Final = re.compile(r"\s+TO\s+")


def parse(text: str) -> Node:
    """The tree of a query. QueryError."""
    if len(text) > MOST_CHARACTERS:
        raise QueryError(MOST_CHARACTERS + 1, f"a query has at most {MOST_CHARACTERS} characters")
    if has_bad_characters(text):
        raise QueryError(1, "the query has characters that no such text needs")
    return _Reader(text).whole()


class _Reader:
    """Reads from left to right; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._clauses = 0

    def whole(self) -> Node:
        node = self._query(0, None)
        if self._at < len(self._text):
            raise self._wrong("AND, OR or the end was expected")
        return node

    def _query(self, depth: int, field: tuple[str, int] | None) -> Node:
        """Alternatives; with a field, of values of that field."""
        alternatives: list[Node] = []
        while True:
            parts = [self._part(depth, field)]
            while (operator := self._operator()) == "AND":
                parts.append(self._part(depth, field))
            alternatives.append(parts[0] if len(parts) == 1 else All(tuple(parts)))
            if operator is None:
                return alternatives[0] if len(alternatives) == 1 else Any(tuple(alternatives))

    def _operator(self) -> str | None:
        self._skip()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[1]

    def _part(self, depth: int, field: tuple[str, int] | None) -> Node:
        self._skip()
        if self._peek() == "(":
            return self._group(depth, field)
        if field is not None:
            return self._clause(*field)
        if _OPERATOR.match(self._text, self._at) is not None:
            raise self._wrong("a field and a colon were expected")
        if _NOT.match(self._text, self._at) is not None:
            raise self._wrong("NOT, - and + are not supported")
        found = _FIELD.match(self._text, self._at)
        if found is None:
            raise self._wrong("a field and a colon were expected")
        named = found[0], self._at
        self._at = found.end()
        self._skip()
        if self._peek() != ":":
            raise self._wrong("a colon was expected after the field")
        self._at += 1
        self._skip()
        return self._group(depth, named) if self._peek() == "(" else self._clause(*named)

    def _group(self, depth: int, field: tuple[str, int] | None) -> Node:
        if depth >= MOST_DEPTH:
            raise self._wrong(f"more than {MOST_DEPTH} parentheses stand inside one another")
        self._at += 1
        node = self._query(depth + 1, field)
        if self._peek() != ")":
            raise self._wrong("a closing parenthesis was expected")
        self._at += 1
        return node

    def _clause(self, field: str, at: int) -> Clause:
        self._clauses += 1
        if self._clauses > MOST_CLAUSES:
            raise self._wrong(f"a query has at most {MOST_CLAUSES} values")
        first = self._peek()
        value = self._range() if first in ("[", "{") else self._quoted() if first == '"' else self._plain()
        return Clause(field, value, at)

    # ---- values

    def _range(self) -> Range:
        start = self._at
        ends = [place for closing in "]}" if (place := self._text.find(closing, start)) >= 0]
        if not ends:
            raise self._wrong("the range is not closed")
        end = min(ends)
        opening, closing = self._text[start], self._text[end]
        bounds = [bound.strip().strip('"') for bound in _TO.split(f" {self._text[start + 1 : end]} ")]
        is_single = len(bounds) == 1 and (opening, closing) == ("[", "]")
        if not (is_single or len(bounds) == 2) or any(not bound or len(bound.split()) > 1 for bound in bounds):
            raise self._wrong("a range is written [low TO high]")
        self._at = end + 1
        return Range(bounds[0], bounds[-1], opening == "{", closing == "}", start, self._at)

    def _quoted(self) -> Text:
        start = self._at
        end = start + 1
        characters: list[str] = []
        while end < len(self._text) and self._text[end] != '"':
            if self._text[end] == "\\" and end + 1 < len(self._text):
                end += 1
            characters.append(self._text[end])
            end += 1
        if end >= len(self._text):
            raise self._wrong("the quoted text is not closed")
        if not characters:
            raise self._wrong("a value was expected")
        self._at = end + 1
        if self._peek() not in ("", ")") and not self._peek().isspace():
            raise self._wrong("nothing may follow a quoted text but AND, OR or a closing parenthesis")
        return Text(("".join(characters),), start, self._at)

    def _plain(self) -> Text:
        start = end = at = self._at
        parts: list[str] = []
        characters: list[str] = []
        if _OPERATOR.match(self._text, at) is not None:
            raise self._wrong("a value was expected")
        while at < len(self._text) and (character := self._text[at]) != ")":
            if character.isspace():
                at = self._after_blanks(at)
                if _OPERATOR.match(self._text, at) is not None or at == len(self._text) or self._text[at] == ")":
                    break
                characters.append(" ")
                continue
            if character in '("':
                self._at = at
                raise self._wrong("a backslash is needed before a parenthesis or quotation mark inside of a text")
            if character in "*?":
                parts += ("".join(characters), character)
                characters = []
            else:
                at += character == "\\" and at + 1 < len(self._text)
                characters.append(self._text[at])
            at += 1
            end = at
        parts.append("".join(characters))
        if end == start:
            raise self._wrong("a value was expected")
        if len(parts) > 2 * MOST_WILDCARDS + 1:
            raise self._wrong(f"a text has at most {MOST_WILDCARDS} wildcards")
        raw = self._text[start:end]
        if _FUZZY.search(raw) is not None or " && " in raw or " || " in raw:
            raise self._wrong("~, ^, && and || are not supported")
        self._at = end
        return Text(tuple(parts), start, end)

    # ---- letters

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _after_blanks(self, at: int) -> int:
        found = _BLANKS.match(self._text, at)
        return found.end() if found is not None else at

    def _skip(self) -> None:
        self._at = self._after_blanks(self._at)

    def _wrong(self, why: str) -> QueryError:
        return QueryError(self._at + 1, why)
