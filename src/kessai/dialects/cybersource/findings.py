"""What is found wrong with a request on the way to its command. Pure."""

from dataclasses import dataclass, field

from kessai.dialects.cybersource.reasons import INVALID_DATA, MISSING_FIELD, Word
from kessai.dialects.table import FieldError


@dataclass(frozen=True, slots=True)
class Problems:
    """Why a request is not a command: the word for it, and every field that is wrong."""

    word: Word
    fields: tuple[FieldError, ...] = ()


@dataclass(slots=True)
class Findings:
    """What decoding collects on its way."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def missing(self, path: str) -> None:
        self.errors.append(FieldError(path, is_missing=True))

    def invalid(self, path: str) -> None:
        self.errors.append(FieldError(path))

    @property
    def paths(self) -> set[str]:
        return {error.path for error in self.errors}

    def problems(self) -> Problems:
        unique = tuple(dict.fromkeys(self.errors))
        return Problems(MISSING_FIELD if any(error.is_missing for error in unique) else INVALID_DATA, unique)
