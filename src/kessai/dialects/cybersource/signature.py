"""The `Signature` header of an HTTP signature, taken apart. Pure.

    keyid="…", algorithm="HmacSHA256", headers="host date request-target v-c-merchant-id digest", signature="base64"

What one client sends is the same in every request but for the signature itself, so the rest is read once.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from types import MappingProxyType
from typing import Final

from msgspec import Struct

SIGNATURE_LIMIT: Final = 4096
# What every signature covers, each by one of these names; a digest besides, where there is a body.
COVERED: Final = (("host",), ("date", "v-c-date"), ("request-target",), ("v-c-merchant-id",))

_PARAMETERS: Final = frozenset({"keyid", "algorithm", "headers", "signature"})
_PARAMETER: Final = re.compile(r'[ \t]*([A-Za-z]+)[ \t]*=[ \t]*"([^"]*)"[ \t]*(,|\Z)', re.ASCII)
_LABEL: Final = re.compile(r"\(request-target\)|[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


def parameters(text: str) -> tuple[str, str, str, str]:
    """Key id, algorithm, header list and signature of a `Signature` header."""
    if len(text) > SIGNATURE_LIMIT:
        raise ValueError(f"the Signature header is {len(text)} characters long, at most {SIGNATURE_LIMIT} are read")
    if text.endswith('"'):
        head, _, signature = text[:-1].rpartition('"')
        if head.endswith("signature="):  # what comes before is the same in every request of a client
            return (*_known(head), signature)
    given = _pairs(text)
    return given["keyid"], given["algorithm"], given["headers"], given["signature"]


@lru_cache(maxsize=256)
def _known(head: str) -> tuple[str, str, str]:
    given = _pairs(f'{head}""')
    return given["keyid"], given["algorithm"], given["headers"]


def _pairs(text: str) -> dict[str, str]:
    """The pairs of a `Signature` header, names in lower case: all of the four, each once, and no other."""
    given: dict[str, str] = {}
    place, more = 0, True
    while more:
        pair = _PARAMETER.match(text, place)
        if pair is None:
            raise ValueError(f'the Signature header is not name="value" from character {place + 1} on')
        name = pair[1].lower()
        if name in given or name not in _PARAMETERS:
            raise ValueError(f"{name} in the Signature header {'comes twice' if name in given else 'is unknown'}")
        given[name] = pair[2]
        place, more = pair.end(), pair[3] == ","
    if len(given) < len(_PARAMETERS):
        raise ValueError(f"the Signature header lacks {', '.join(sorted(_PARAMETERS - given.keys()))}")
    return given


class Signed(Struct, frozen=True):
    """A header list, read."""

    listed: Mapping[str, str]
    """In its order, name in lower case to label as listed."""
    absent: tuple[str, ...]
    """What it leaves out of `COVERED`."""
    form: str
    """The string to sign, with a place for each value."""
    values: Callable[[Mapping[str, str]], tuple[str, ...]]
    """The values of a request's headers in its order; KeyError where one is missing."""


@lru_cache(maxsize=256)
def signed_list(text: str) -> Signed:
    """Read a header list. ValueError where something in it is no header's name, or there twice."""
    listed: dict[str, str] = {}
    for label in text.replace(",", " ").split():
        if _LABEL.fullmatch(label) is None:
            raise ValueError(f"'{label}' in the signed list is not a header's name")
        name = "request-target" if label == "(request-target)" else label.lower()
        if name in listed:
            raise ValueError(f"the signed list names {name} twice")
        listed[name] = label
    absent = tuple(" or ".join(names) for names in COVERED if not any(name in listed for name in names))
    form = "\n".join(f"{label.replace('%', '%%')}: %s" for label in listed.values())
    values = itemgetter(*listed) if len(listed) > 1 else lambda headers: tuple(headers[name] for name in listed)
    return Signed(MappingProxyType(listed), absent, form, values)
