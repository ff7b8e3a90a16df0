"""Logging: one event, one line of JSON, and no way for a card number or a secret to be in it.

    log("payment.authorized", payment=payment_id, amount="5000")
    {"at":"2026-05-01T03:00:00.000Z","level":"info","event":"payment.authorized","correlation":"…","payment":"…",…}

Shell: it reads the clock and writes to a stream. What is written was cleaned first, all of it, names and tracebacks
included: numbers that look like a PAN keep their last four digits, `Secret` values and members named like a secret are
masked, bytes and objects of unknown types show their kind only, control characters are escaped, long values are cut.
Logging never raises and never stops a payment: what cannot be shown or written is left out.

`configure` also takes over the standard library's `logging` (uvicorn, asyncio, warnings), into the same lines.
"""

import asyncio
import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Mapping, Sequence, Set
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from time import time_ns
from typing import Any, Final, Literal, TextIO
from uuid import UUID

import msgspec
from msgspec import Struct

from kessai.payment.card import Secret, looks_like_a_pan

Level = Literal["debug", "info", "warning", "error"]

LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

TEXT_CHARS: Final = 2_000
ID_CHARS: Final = 22
"""Digits of a transaction id, more than any PAN has."""
ITEMS: Final = 40
DEPTH: Final = 2
LINE_CHARS: Final = 64_000
GROUPS: Final = 32
"""How many groups of digits in a row are looked at; more of them are masked unseen."""

MASK: Final = "***"

correlation: ContextVar[str | None] = ContextVar("correlation", default=None)
"""The id that ties the lines of one request or job together; the edge sets it, every line carries it."""

# Names are compared in lower case, by letters and digits alone: `securityCode` is `Security-Code` is `security_code`.
_MASKED_MEMBERS: Final = """
number pan cardnumber accountnumber primaryaccountnumber track track1 track2 trackdata
securitycode cvv cvv2 cvc cvc2 cvn cid csc cav2 verificationcode pin pinblock pindata otp totp
secret sharedsecret secretkey privatekey encryptionkey apikey kek keyset password passwd passphrase credential
credentials signature vcsignature authorization proxyauthorization cookie setcookie token accesstoken refreshtoken
bearer jwt csrf
"""
SECRET_NAMES: Final = frozenset(_MASKED_MEMBERS.split())
SECRET_ENDINGS: Final = (
    "apikey",
    "cardnumber",
    "cvc",
    "cvv",
    "passphrase",
    "password",
    "pinblock",
    "privatekey",
    "secret",
    "secretkey",
    "securitycode",
    "signature",
    "trackdata",
)

# Secrets told by name inside a text: a header, a query, a piece of JSON, a repr.
_NAMED: Final = re.compile(
    r"((?:security_?-?code|cvv2?|cvc2?|pin_?-?block|track_?-?data|passw(?:or)?d|passphrase|secret(?:_?-?key)?"
    r"|(?:private|api)_?-?key|signature|authorization|cookie)"
    r"\\?[\"']?\s{0,3}[:=]\s{0,3})"
    r"(\\?\"[^\"\\]*|'[^']*|(?:(?:basic|bearer|digest|signature|jwt)\s+)?[^\s\"',;&}]+)",
    re.IGNORECASE,
)
# The password in a URL, say of a database.
_USER: Final = re.compile(r"(://[^\s/:@]*:)[^\s/@]+@")
# ISO/IEC 7813 track data behind its PAN: what follows is as secret as a CVV.
_TRACK: Final = re.compile(r"([0-9]{12,19})(?:=[0-9]*|[dD][0-9]{4,}|\^[^\"^]{0,26}\^?[0-9]*)", re.ASCII)
# Thirteen digits or more, groups of them apart by spaces or dashes.
_GAP: Final = r"[ \t\u00a0\u2010-\u2015\u2212\u3000-]{1,3}"
_DIGITS: Final = re.compile(rf"[0-9](?:(?:{_GAP})?[0-9]){{12,}}", re.ASCII)
_GROUP: Final = re.compile(r"[0-9]+", re.ASCII)
_WIDE: Final = str.maketrans("０１２３４５６７８９－", "0123456789-")
_EDGE: Final = "0123456789 \t\u00a0\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u3000-"
_HARMLESS: Final = re.compile(
    r"[A-Za-z_. -]{0,200}|[0-9]{1,12}(?:\.[0-9]{1,3})?|[0-9]{20,40}|[a-z]+_[a-z]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.ASCII,
)
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]")
_encode_utf8: Final = msgspec.json.Encoder().encode
_ENCODE: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@dataclass(slots=True)
class _Output:
    """Where lines go. `stream` None is whatever standard error is at the time."""

    stream: TextIO | None = None
    threshold: int = logging.INFO
    plain: bool = False


_output: Final = _Output()


def log(event: str, /, level: Level = "info", **members: object) -> None:
    """Write one event, if its level is wanted. Members follow in the order given; it never raises."""
    if LEVELS.get(level, logging.ERROR) >= _output.threshold:
        _write(event, level, members)


def log_known(event: str, /, members: Struct) -> None:
    """Write an event whose members are all of our own making: digits of ids and amounts, words out of tables. Nothing
    is looked for in them, and all lines of a turn of the event loop are written at once, which makes it ten times as
    fast; whoever cannot vouch for every member calls `log`.
    """
    if _output.plain or _output.threshold != logging.INFO:
        log(event, **{name: getattr(members, name) for name in members.__struct_fields__})
        return
    now = time_ns() // 1_000_000
    correlation_id = correlation.get()
    named = "" if correlation_id is None else f',"correlation":{_encode_utf8(clean_text(correlation_id)).decode()}'
    head = f'{{"at":"{_second(now // 1000)}{now % 1000:03d}Z","level":"info","event":"{event}"{named},'
    _put_soon(head + _encode_utf8(members).decode("ascii")[1:])


def configure(stream: TextIO | None = None, *, level: Level = "info", plain: bool = False) -> None:
    """Say where lines go, from which level on, and whether for machines (JSON) or people (`plain`).

    Takes over the standard library's logging as well: every handler is replaced by one that writes here. Start uvicorn
    with `log_config=None`, or it will put its own back.
    """
    _output.stream, _output.threshold, _output.plain = stream, LEVELS[level], plain
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [Bridge()]
    root.setLevel(_output.threshold)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True


class Bridge(logging.Handler):
    """Writes the records of the standard library's logging as events named after their logger."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < _output.threshold:
            return
        level: Level = "debug"
        for name in ("info", "warning", "error"):
            if record.levelno >= LEVELS[name]:
                level = name
        try:
            members: dict[str, object] = {"message": record.getMessage()}
        except Exception:  # the caller's format does not fit its arguments
            members = {"message": record.msg}
        if record.exc_info and record.exc_info[1]:
            members["traceback"] = traceback_of(record.exc_info[1])
        _write(record.name, level, members)


def traceback_of(error: BaseException) -> tuple[str, ...]:
    """An error and its causes as lines, without local variables; only the last ones of a long one."""
    described = traceback.TracebackException.from_exception(error, capture_locals=False, compact=True)
    return tuple(chunk.rstrip("\n") for chunk in described.format())[-ITEMS:]


def clean(value: object, depth: int = DEPTH) -> Any:
    """A value as JSON can say it and a log may: see the module's docstring for what is masked, cut or left out."""
    if type(value) is str:
        return clean_text(value)
    match value:
        case None | bool():
            return value
        case Enum():
            return clean(value.value, depth)
        case str():
            return clean_text(value)
        case int() | float() | Decimal():
            return _clean_figure(value)
        case Secret():
            return repr(value)
        case datetime() | date() | time():
            return value.isoformat()
        case UUID() | PurePath() | timedelta():
            return clean_text(str(value))
        case BaseException():
            return clean_text(f"{type(value).__name__}: {value}")
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
    if depth > 0 and isinstance(value, Struct):
        return _clean_members({name: getattr(value, name) for name in value.__struct_fields__}, depth - 1)
    if depth > 0 and is_dataclass(value) and not isinstance(value, type):
        return _clean_members({field.name: getattr(value, field.name) for field in fields(value)}, depth - 1)
    if depth > 0 and isinstance(value, Mapping):
        return _clean_members(value, depth - 1)
    if depth > 0 and isinstance(value, Sequence | Set):
        return _clean_items(value, depth - 1)
    return f"<{type(value).__name__}>"


def clean_text(text: str) -> str:
    """A text without PANs, track data and named secrets, at most `TEXT_CHARS` of it.

    A run of 13 to 19 digits, in groups or not, with a right check digit and a known BIN is a PAN. A longer run is none,
    so a transaction id of 22 digits stays; but a PAN among other groups is found.
    """
    length = len(text)
    if length < 13 and ":" not in text and "=" not in text and text.isascii():
        return text  # no PAN has room in it, and nothing is named
    if (length == ID_CHARS and text.isdecimal() and text.isascii()) or _HARMLESS.fullmatch(text):
        return text  # most of what is logged: words, amounts, ids
    cut = len(text) - TEXT_CHARS
    text = text[:TEXT_CHARS]
    if not text.isascii():
        text = text.translate(_WIDE)
    if cut > 0:  # never in the middle of a number: its first half would not look like a PAN
        text = text.rstrip(_EDGE)
    if ":" in text or "=" in text:
        text = _USER.sub(rf"\1{MASK}@", _NAMED.sub(rf"\1{MASK}", text))
    if _DIGITS.search(text):
        text = _DIGITS.sub(_mask_groups, _TRACK.sub(_mask_track, text))
    return f"{text}… {cut} more" if cut > 0 else text


@lru_cache(maxsize=1024)
def _name(name: str) -> tuple[str, bool]:
    """A member's name as it is shown, and whether what it holds is masked."""
    shown = clean_text(name)
    return shown, is_secret_name(shown)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a member of this name is masked whatever it holds."""
    bare = _NOT_A_NAME.sub("", name.lower())
    return bare in SECRET_NAMES or bare.endswith(SECRET_ENDINGS)


def _clean_figure(value: int | float | Decimal) -> object:
    if isinstance(value, int) and value.bit_length() > 1_024:
        return "<int>"
    text = str(value)
    shown = clean_text(text)
    as_it_is = shown == text and not isinstance(value, Decimal) and math.isfinite(value)
    return value if as_it_is else shown


def _clean_members(members: Mapping[Any, object], depth: int) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name, value in members.items():
        if len(shown) == ITEMS:
            shown["…"] = f"{len(members) - ITEMS} more"
            break
        name_text, is_secret = _name(name) if type(name) is str else (f"<{type(name).__name__}>", False)
        try:
            if value is None:
                shown[name_text] = None
            elif is_secret and not isinstance(value, Secret):
                shown[name_text] = MASK
            else:
                shown[name_text] = clean_text(value) if type(value) is str else clean(value, depth)
        except Exception:  # a value that cannot even be read: somebody's broken property or __str__
            shown[name_text] = f"<{type(value).__name__}>"
    return shown


def _clean_items(items: Sequence[object] | Set[object], depth: int) -> list[object]:
    shown = [clean(item, depth) for item in islice(items, ITEMS)]
    if len(shown) == 2 and isinstance(shown[0], str) and is_secret_name(shown[0]):
        shown[1] = MASK  # a header as a pair
    if len(items) > ITEMS:
        shown.append(f"… {len(items) - ITEMS} more")
    return shown


def _mask_track(match: re.Match[str]) -> str:
    return f"****{match[1][-4:]} {MASK}" if looks_like_a_pan(match[1]) else match[0]


def _mask_groups(match: re.Match[str]) -> str:
    """Mask every stretch of whole groups that is a PAN; stretches that overlap are masked as one."""
    text = match[0]
    groups = [found.span() for found in _GROUP.finditer(text)]
    if len(groups) > GROUPS:
        return f"**** {MASK}"
    stretches: list[tuple[int, int]] = []
    for first in range(len(groups)):
        digits = ""
        for start, end in groups[first:]:
            digits += text[start:end]
            if len(digits) > 19:
                break
            if looks_like_a_pan(digits):
                stretches.append((groups[first][0], end))
    shown, done = "", 0
    for start, end in stretches:
        if end > done:
            before = shown + text[done:start] if start >= done else shown.removesuffix(_last_four(text[:done]))
            shown, done = before + _last_four(text[:end]), end
    return shown + text[done:]


def _last_four(text: str) -> str:
    return "****" + "".join(_GROUP.findall(text))[-4:]


def _write(event: str, level: str, members: Mapping[str, object]) -> None:
    now = time_ns() // 1_000_000
    at = f"{_second(now // 1000)}{now % 1000:03d}Z"
    _put(render(at, level, event, correlation.get(), members, plain=_output.plain))


def _put(line: str) -> None:
    """Write a line, and what waits before it."""
    _waiting.append(line)
    write_out()


def _put_soon(line: str) -> None:
    """Write a line with all others of this turn of the event loop; at once where there is none."""
    _waiting.append(line)
    if len(_waiting) == 1:
        try:
            asyncio.get_running_loop().call_soon(write_out)
        except RuntimeError:
            write_out()


_waiting: Final[list[str]] = []


def write_out() -> None:
    """Write what waits."""
    lines = "\n".join([*_waiting, ""])
    _waiting.clear()
    try:
        stream = _output.stream or sys.stderr
        stream.write(lines)
        stream.flush()
    except Exception:  # full disk, closed pipe, no stream at all: a payment does not fail for its log
        return


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """The instant down to the second, with the point for what is finer."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}."


def render(
    at: str, level: str, event: str, correlation_id: str | None, members: Mapping[str, object], *, plain: bool = False
) -> str:
    """One event as one line of printable ASCII, without its newline. Pure.

    `plain` is for people: the time of day, level and event, then `name=value`. Members that would take the place of
    ours get an underscore; if a line passes `LINE_CHARS`, only their names stay.
    """
    head: dict[str, object] = {"at": at, "level": level, "event": _name(event)[0]}
    if correlation_id is not None:
        head["correlation"] = clean_text(correlation_id)
    shown = _clean_members(members, DEPTH)
    line = _line(head, shown, plain)
    if len(line) > LINE_CHARS:
        line = _line(head, {"too_long": [name[:100] for name in shown]}, plain)
    return line


_TAKEN: Final = frozenset({"at", "level", "event", "correlation"})


def _encode(members: dict[str, object]) -> str:
    """One line of ASCII JSON; letters beyond ASCII are written as escapes."""
    try:
        line = _encode_utf8(members)
    except ValueError:  # a lone surrogate
        return _ENCODE(members)
    return line.decode("ascii") if line.isascii() else _ENCODE(members)


def _line(head: dict[str, object], shown: dict[str, object], plain: bool) -> str:
    if plain:
        words = [str(head["at"])[11:], str(head["level"]).upper(), _ENCODE(head["event"])[1:-1]]
        words += [
            f"{_ENCODE(name)[1:-1]}={_ENCODE(value)}" for name, value in [*list(head.items())[3:], *shown.items()]
        ]
        line = " ".join(words)
    else:
        members = dict(head)
        for name, value in shown.items():
            members[f"{name}_" if name in _TAKEN else name] = value
        line = _encode(members)
    return line.replace("\x7f", "\\u007f")  # JSON lets DEL pass; a terminal should not see it
