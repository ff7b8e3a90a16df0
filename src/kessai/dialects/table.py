"""Path tables: what a dialect reads of a request. Pure.

A row names a path of the document, the neutral name it becomes, and a codec that turns its text into a value. Reading
collects everything that is wrong with a document, each problem by its own path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from kessai.dialects.document import text_of

Codec = Callable[[str], object]
"""From a scalar's text to a value; ValueError for a text that is none."""


@dataclass(frozen=True, slots=True)
class FieldError:
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


class Table(tuple[Field, ...]):
    """Rows in the order of the public reference. The objects that they stand in are looked up once a document."""

    @cached_property
    def parents(self) -> tuple[tuple[str, ...], ...]:
        """The paths of the objects, each once."""
        return tuple(dict.fromkeys(path[:-1] for field in self for path in field.paths))

    @cached_property
    def places(self) -> tuple[tuple[Field, tuple[tuple[int, str, tuple[str, ...]], ...]], ...]:
        """Each row with, for each of its spellings, the number of its object, its own name and its path."""
        number = {parent: index for index, parent in enumerate(self.parents)}
        return tuple((field, tuple((number[path[:-1]], path[-1], path) for path in field.paths)) for field in self)


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
    errors: list[FieldError] = []
    objects = [find(document, parent) for parent in rows.parents]
    for field, places in rows.places:
        for index, name, path in places:
            place = objects[index]
            if place is None:
                continue
            raw = place.get(name) if type(place) is dict else NOWHERE
            if raw is None or raw == "":
                continue
            text = raw if type(raw) is str else text_of(raw)
            if text is None:
                errors.append(FieldError(".".join(path), why=f"cannot be read as {field.name}"))
                break
            try:
                values[field.name] = field.codec(text)
            except ValueError:
                errors.append(FieldError(".".join(path), why=f"cannot be read as {field.name}"))
            break
    return values, errors
