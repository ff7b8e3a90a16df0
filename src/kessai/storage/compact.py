"""Compact forms of what is kept of requests and answers: Zstandard with a shared dictionary. Pure.

    packed   form (1 byte: the dictionary's number) · one frame

Requests and answers repeat the same member names and figures; the dictionary has them once for all rows, so a row keeps
little more than what is its own. A dictionary never changes: another one gets the next number. Measured on an
authorization's request and answer: 4.5 µs and 350 bytes for both; deflate with the same dictionary takes 20 µs and 295.
"""

import threading
from importlib.resources import files
from typing import Final

import zstandard

_LEVEL: Final = -3
_DICTIONARIES: Final = {1: (files("kessai.storage") / "dictionary-1.txt").read_bytes().strip()}
_NEWEST: Final = max(_DICTIONARIES)
_FORM: Final = bytes([_NEWEST])
MOST_BYTES: Final = 16 * 1024 * 1024
"""No row unpacks to more than this."""


def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(_DICTIONARIES[number], dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class _Tools(threading.local):
    """Compressor and decompressors of one thread: they keep state while they work."""

    def __init__(self) -> None:
        dictionary = _dictionary(_NEWEST)
        dictionary.precompute_compress(level=_LEVEL)
        self.squeeze = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary).compress
        self.stretch = {
            number: zstandard.ZstdDecompressor(dict_data=_dictionary(number)).decompress for number in _DICTIONARIES
        }


_tools: Final = _Tools()


def pack(data: bytes) -> bytes:
    """The compact form; nothing stays nothing."""
    return _FORM + _tools.squeeze(data) if data else b""


def unpack(packed: bytes) -> bytes:
    """What was packed. ValueError for something that was not."""
    if not packed:
        return b""
    stretch = _tools.stretch.get(packed[0])
    if stretch is None:
        raise ValueError(f"there is no form {packed[0]}")
    frame = packed[1:]
    try:
        if zstandard.frame_content_size(frame) > MOST_BYTES:
            raise ValueError("unpacks to more than a row may have")
        return stretch(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        raise ValueError("not a packed value") from None
