"""What is found wrong with a request on the way to its command. Pure."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

from kessai.dialects.cybersource.reasons import INVALID_DATA, MISSING_FIELD, Word
from kessai.dialects.table import FieldError


@dataclass(frozen=True, slots=True)
class Problems:
    """Why a request is not a command: the word for it, and every field that is wrong."""

    word: Word
    fields: tuple[FieldError, ...] = ()

    @property
    def explanation(self) -> str:
        """Each field with what is wrong with it, for the log and for test merchants."""
        return "; ".join(f"{e.path}: {'missing' if e.is_missing else e.why or 'not valid'}" for e in self.fields)


_NONE: Final[Set[str]] = frozenset()


@dataclass(slots=True)
class Findings:
    """What decoding collects on its way."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def missing(self, path: str) -> None:
        self.errors.append(FieldError(path, is_missing=True))

    def invalid(self, path: str, why: str = "") -> None:
        self.errors.append(FieldError(path, why=why))

    @property
    def paths(self) -> Set[str]:
        return {error.path for error in self.errors} if self.errors else _NONE

    def problems(self) -> Problems:
        unique: dict[str, FieldError] = {}
        for error in self.errors:
            unique.setdefault(error.path, error)
        is_missing = any(error.is_missing for error in unique.values())
        return Problems(MISSING_FIELD if is_missing else INVALID_DATA, tuple(unique.values()))
