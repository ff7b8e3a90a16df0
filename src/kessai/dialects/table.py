"""Path tables: what a dialect reads of a request. Pure.

A row names a path of the document, the neutral name it becomes, and a codec that turns its text into a value. Reading
collects everything that is wrong with a document, each problem by its own path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from msgspec import Struct

from kessai.dialects.document import text_of

Codec = Callable[[str], object]
"""From a scalar's text to a value; ValueError for a text that is none."""


class FieldError(Struct, frozen=True):
    """What is wrong with one member: it is missing, or its data are invalid; `why` is for whoever may be told."""

    path: str
    is_missing: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One row. `paths` are the spellings that clients use, the public one first."""

    name: str
    codec: Codec
    paths: tuple[tuple[str, ...], ...]

    @property
    def path(self) -> str:
        return ".".join(self.paths[0])


class _Branch:
    """What a table reads of one object of the document: fields by member, objects by member."""

    __slots__ = ("branches", "leaves")

    def __init__(self) -> None:
        self.leaves: list[tuple[str, int, Field, str]] = []
        """Member, number of the row, row, whole path; in the order of preference among a row's spellings."""
        self.branches: list[tuple[str, _Branch]] = []

    def branch(self, name: str) -> "_Branch":
        for known, branch in self.branches:
            if known == name:
                return branch
        self.branches.append((name, _Branch()))
        return self.branches[-1][1]


class Table(tuple[Field, ...]):
    """Rows in the order of the public reference."""

    @cached_property
    def root(self) -> _Branch:
        """The rows as a tree, so that a document is walked along what is in it. Of a row's spellings the first counts,
        so their objects must stand in the tree in the order of the spellings."""
        root = _Branch()
        places = sorted((place, index) for index, field in enumerate(self) for place in range(len(field.paths)))
        for place, index in places:
            path = self[index].paths[place]
            branch = root
            for step in path[:-1]:
                branch = branch.branch(step)
            branch.leaves.append((path[-1], index, self[index], ".".join(path)))
        return root


def table(*rows: Field) -> Table:
    return Table(rows)


def row(name: str, codec: Codec, *paths: str) -> Field:
    return Field(name, codec, tuple(tuple(path.split(".")) for path in paths))


class _Nowhere:
    """A path that leads through something that is no object."""


NOWHERE: Final = _Nowhere()


def find(document: Mapping[str, object], path: Iterable[str]) -> object:
    """The member at a path; None where it is absent, null or empty, NOWHERE where an object was expected on the way."""
    place: object = document
    for step in path:
        if type(place) is not dict:
            return None if place is None or place == "" else NOWHERE
        place = place.get(step)
    return None if place == "" else place


def decode(rows: Table, document: Mapping[str, object]) -> tuple[dict[str, object], list[FieldError]]:
    """Values by name, for the members that are present, and an error for each that is malformed."""
    values: dict[str, object] = {}
    wrong: dict[int, FieldError] = {}
    _walk(rows.root, document, values, wrong)
    return values, [wrong[index] for index in sorted(wrong)] if wrong else []


def _walk(
    branch: _Branch, place: Mapping[str, object], values: dict[str, object], wrong: dict[int, FieldError]
) -> None:
    for name, index, field, path in branch.leaves:
        raw = place.get(name)
        if raw is None or raw == "" or field.name in values or index in wrong:
            continue
        text = raw if type(raw) is str else text_of(raw)
        if text is not None:
            try:
                values[field.name] = field.codec(text)
                continue
            except ValueError:
                pass
        wrong[index] = FieldError(path, why=f"cannot be read as {field.name}")
    for name, below in branch.branches:
        raw = place.get(name)
        if type(raw) is dict:
            _walk(below, raw, values, wrong)
        elif raw is not None and raw != "":
            _blocked(below, values, wrong)


def _blocked(branch: _Branch, values: dict[str, object], wrong: dict[int, FieldError]) -> None:
    """Something stands in the place of an object: no member of it can be read."""
    for _, index, field, path in branch.leaves:
        if field.name not in values and index not in wrong:
            wrong[index] = FieldError(path, why=f"cannot be read as {field.name}")
    for _, below in branch.branches:
        _blocked(below, values, wrong)
