"""Compact forms of what is kept of requests and answers: deflate with a shared dictionary. Pure.

    packed   form (1 byte: the dictionary's number) · raw deflate

Requests and answers repeat the same member names and figures; the dictionary has them once for all rows, so a row keeps
little more than what is its own. A dictionary never changes: another one gets the next number.
"""

import zlib
from importlib.resources import files
from typing import Final

_DICTIONARIES: Final = {1: (files("kessai.storage") / "dictionary-1.txt").read_bytes().strip()}
_NEWEST: Final = max(_DICTIONARIES)
_FORM: Final = bytes([_NEWEST])
MOST_BYTES: Final = 16 * 1024 * 1024
"""No row unpacks to more than this."""


def pack(data: bytes) -> bytes:
    """The compact form; nothing stays nothing."""
    if not data:
        return b""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARIES[_NEWEST])
    return _FORM + squeeze.compress(data) + squeeze.flush()


def unpack(packed: bytes) -> bytes:
    """What was packed. ValueError for something that was not."""
    if not packed:
        return b""
    dictionary = _DICTIONARIES.get(packed[0])
    if dictionary is None:
        raise ValueError(f"there is no form {packed[0]}")
    stretch = zlib.decompressobj(-15, dictionary)
    try:
        data = stretch.decompress(packed[1:], MOST_BYTES)
    except zlib.error:
        raise ValueError("not a packed value") from None
    if not stretch.eof:
        raise ValueError("not the whole of a packed value")
    return data
