"""Wire languages: what merchants speak. Pure.

A dialect turns an HTTP request into who claims to call and a command, and a result into an HTTP response. It reads no
clock, no file and no database: the shell (`app.py`) hands it the caller's keys, the time and the ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as received: nothing decoded, nothing normalised but the letter case of header names."""

    method: str
    target: str
    """Path and query exactly as on the request line, percent-escapes and trailing slash included."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, values as latin-1 text, in the order received."""
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The value of a header, None when it is absent. With several of one name: the first."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
