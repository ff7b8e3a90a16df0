"""The simulated acquirer's book in a file: append-only, shared by every process that simulates. I/O.

One write per exchange, to a file opened for appending, so that lines of several processes stand one behind the other,
never inside each other. Nothing is synced: the simulator survives the death of its processes, not a power cut. A line
begins and ends with a line feed, so that a torn one spoils no other.

A process believes what a part of the file says, from its beginning (of a long file: the last 32 MiB) to some point.
Before anything that looks at the book, it reads on to the end.
"""

import fcntl
import os
from contextlib import suppress
from typing import Final

from kessai.acquirers.simulator.book import Book, Compacted, Done, Entry, answer_in, decode, encode
from kessai.payment.lifecycle import Approved

NAME: Final = "acquirer.book"
"""The file's name in the data folder."""
RECENT_BYTES: Final = 32 << 20
"""How much of a file is read at the start, and kept as it is when it is made smaller: about 100 000 exchanges."""
LARGE_BYTES: Final = 128 << 20
"""A file that has grown by so much is made smaller by the next process that opens it alone."""
_PIECE: Final = 4 << 20
_LONGEST_LINE: Final = 16 << 10


class Journal:
    """A book in a file; fulfils `book.Keeper`."""

    def __init__(self, path: str, *, large_bytes: int = LARGE_BYTES, recent_bytes: int = RECENT_BYTES) -> None:
        """Open or make the file (mode 0600); OSError where that is impossible."""
        self._file = _open(path, large_bytes, recent_bytes)
        self._book = Book()
        self._offset = _start(self._file, recent_bytes)
        self.look()

    def look(self) -> Book:
        """The book, with everything in it that other processes wrote until it was closed."""
        size = os.fstat(self._file).st_size if self._file >= 0 else 0
        while self._offset < size:
            piece = os.pread(self._file, min(_PIECE, size - self._offset), self._offset)
            whole = piece.rfind(b"\n") + 1
            if not whole:  # somebody was killed in the middle of a line, or is writing it
                break
            _apply(self._book, piece[:whole], self._offset)
            self._offset += whole
        return self._book

    def write(self, line: Done) -> None:
        """Append a line. OSError where it cannot be written whole: nothing was done then."""
        text = b"\n%b\n" % encode(line)
        if os.write(self._file, text) != len(text):
            raise OSError("the acquirer's book cannot be written: no space left")
        # Where nobody else wrote in between, there is nothing to read.
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if end - len(text) == self._offset:
            self._book.apply(line, self._offset + 1)
            self._offset = end

    def answer(self, entry: Entry) -> Approved | None:
        """What was answered, read from the file again; None where that is forgotten."""
        if entry.at < 0:
            return entry.answer
        line = decode(os.pread(self._file, _LONGEST_LINE, entry.at).partition(b"\n")[0])
        return answer_in(line) if type(line) is Done else None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read(path: str) -> Book:
    """The whole of a book, for audit: holds that stand, money moved. Reads only; empty where there is no file."""
    book = Book(length=None)
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _replay(book, file, os.fstat(file).st_size)
        finally:
            os.close(file)
    return book


def _replay(book: Book, file: int, end: int) -> None:
    offset = 0
    while offset < end:
        piece = os.pread(file, min(_PIECE, end - offset), offset)
        whole = piece.rfind(b"\n") + 1
        if not whole:
            return
        _apply(book, piece[:whole], offset)
        offset += whole


def _apply(book: Book, lines: bytes, offset: int) -> None:
    """Apply lines that begin at an offset of the file."""
    for text in lines.split(b"\n"):
        line = decode(text) if text else None
        if line is not None:
            book.apply(line, offset)
        offset += len(text) + 1


def _start(file: int, recent_bytes: int) -> int:
    """Where to begin to read: the beginning, or the first whole line of what is recent."""
    size = os.fstat(file).st_size
    if size <= recent_bytes:
        return 0
    offset = size - recent_bytes
    return offset + os.pread(file, _PIECE, offset).find(b"\n") + 1


def _open(path: str, large_bytes: int, recent_bytes: int) -> int:
    """Open the file, made smaller first if it is large and nobody else has it open."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _is_large(file, large_bytes + recent_bytes):
                with suppress(OSError):  # somebody else has it open, or there is no room: it stays as it is
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_current(file, path):
                        _compact(file, path, recent_bytes)
            fcntl.flock(file, fcntl.LOCK_SH)
            if _is_current(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # somebody put a smaller one into its place


def _is_current(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _is_large(file: int, most: int) -> bool:
    first = decode(os.pread(file, 100, 0).strip().partition(b"\n")[0])
    standing = first.standing_bytes if isinstance(first, Compacted) else 0
    return os.fstat(file).st_size > most + standing


def _compact(file: int, path: str, recent_bytes: int) -> None:
    """Put a smaller file into the place of a large one: what stands because of the older lines, then the recent ones.

    Only for whoever is alone with the file. A failure leaves the old one as it was.
    """
    keep_from = _start(file, recent_bytes)
    book = Book(length=None)
    _replay(book, file, keep_from)
    standing = b"".join(b"\n%b\n" % encode(line) for line in book.standing())
    new = f"{path}.new"
    out = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(out, "wb") as writer:
            writer.write(b"\n%b\n" % encode(Compacted(len(standing))))
            writer.write(standing)
            size = os.fstat(file).st_size
            while keep_from < size:
                piece = os.pread(file, _PIECE, keep_from)
                writer.write(piece)
                keep_from += len(piece)
        os.rename(new, path)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
