"""Wire languages: what merchants speak. Pure.

A dialect turns an HTTP request into who claims to call and a command, and a result into an HTTP response. It reads no
clock, no file and no database: the shell (`app.py`) hands it the caller's keys, the time and the ids.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class lazy(Generic[T]):  # it reads as `property` does
    """A property that is computed once; what `functools.cached_property` does, without its lock."""

    __slots__ = ("_compute", "_name")

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__

    def __get__(self, owner: Any, _kind: type) -> T:
        value = self._compute(owner)
        owner.__dict__[self._name] = value
        return value


class HttpRequest(Struct, frozen=True, dict=True):
    """A request as received: nothing decoded, nothing normalised but the letter case of header names."""

    method: str
    target: str
    """Path and query exactly as on the request line, percent-escapes and trailing slash included."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, values as latin-1 text, in the order received."""
    body: bytes = b""
    peer: str = ""
    """The address at the other end of the connection, which may be a proxy's."""
    scheme: str = "http"

    @lazy
    def path(self) -> str:
        return self.target.partition("?")[0]

    @lazy
    def by_name(self) -> Mapping[str, str]:
        """The first value of each header."""
        return dict(reversed(self.headers))

    def header(self, name: str) -> str | None:
        """The value of a header, None when it is absent. With several of one name: the first."""
        return self.by_name.get(name)

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]


class HttpResponse(Struct, frozen=True):
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
