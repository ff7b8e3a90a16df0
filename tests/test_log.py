"""Logging: one event one line, and nothing in it that may not be. A-67, A-69, A-89."""

import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from kessai.log import (
    LINE_CHARS,
    TEXT_CHARS,
    Bridge,
    clean,
    clean_text,
    configure,
    correlation,
    log,
    render,
    traceback_of,
)
from kessai.payment.card import Card, Expiry, Pan, Secret, SecurityCode

PAN = "4111111111111111"
PANS = [PAN, "378282246310005", "5555555555554444", "3530111333300000", "36227206271667", "6011000990139424"]
NOON = datetime(2026, 5, 1, 3, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """A stream that is configured as the log; the standard library's logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level, showwarning = root.handlers[:], root.level, warnings.showwarning
    stream = io.StringIO()
    configure(stream)
    yield stream
    configure()
    logging.captureWarnings(False)
    root.handlers[:], warnings.showwarning = handlers, showwarning
    root.setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    assert stream.getvalue() == "" or stream.getvalue().endswith("\n")
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def the_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = written(stream)
    return line


# The line


@time_machine.travel(NOON, tick=False)
def test_an_event_is_one_line_of_json_in_a_fixed_order(lines: io.StringIO) -> None:
    log("payment.authorized", payment="7", amount=5_000, approved=True, code=None)
    assert lines.getvalue() == (
        '{"at":"2026-05-01T03:00:00.123Z","level":"info","event":"payment.authorized",'
        '"payment":"7","amount":5000,"approved":true,"code":null}\n'
    )


@time_machine.travel(NOON, tick=False)
def test_a_plain_line_is_for_people(lines: io.StringIO) -> None:
    configure(lines, plain=True)
    log("payment.authorized", payment="7\n", amount=5_000)
    assert lines.getvalue() == '03:00:00.123Z INFO payment.authorized payment="7\\n" amount=5000\n'


def test_the_correlation_of_the_context_is_in_the_line(lines: io.StringIO) -> None:
    token = correlation.set("req-1")
    log("inside")
    correlation.reset(token)
    log("outside")
    inside, outside = written(lines)
    assert inside["correlation"] == "req-1"
    assert "correlation" not in outside


def test_levels_below_the_threshold_cost_no_look_at_the_values(lines: io.StringIO) -> None:
    class Counted:
        seen = 0

        def __repr__(self) -> str:
            Counted.seen += 1
            return "seen"

    configure(lines, level="warning")
    log("quiet", level="info", value=ValueError(Counted()))
    log("loud", level="error", value=ValueError(Counted()))
    assert [line["level"] for line in written(lines)] == ["error"]
    assert Counted.seen == 1


def test_a_member_cannot_take_the_place_of_ours(lines: io.StringIO) -> None:
    members: dict[str, Any] = {"event": "false", "at": "never", "correlation": "x"}
    log("true", **members)
    line = the_line(lines)
    assert (line["event"], line["event_"], line["at_"], line["correlation_"]) == ("true", "false", "never", "x")


def test_a_line_goes_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    log("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_a_closed_stream_stops_nothing(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    configure(closed)
    log("lost")
    configure()
    monkeypatch.setattr(sys, "stderr", None)
    log("lost too")
    assert written(lines) == []


# forging


@pytest.mark.parametrize(
    "forged",
    [
        'x\n{"at":"","event":"forged"}',
        "x\r\nforged",
        "\x1b[2J\x1b[1;31mred",
        "nul\0",
        "\x7f\x08\x9b31m",
        "\u2028\u2029\x85",
        '"},{"',
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_no_value_makes_a_second_line_or_moves_a_cursor(forged: str, plain: bool, lines: io.StringIO) -> None:
    configure(lines, plain=plain)
    named: dict[str, Any] = {forged: "name"}
    log(forged, **named, value=forged, nested={forged: [forged]})
    logging.getLogger("uvicorn.error").error("said %s", forged)
    text = lines.getvalue()
    assert text.count("\n") == 2
    assert all(" " <= letter <= "~" for letter in text.replace("\n", ""))
    if not plain:
        assert written(lines)[0]["value"] == forged


@given(
    value=st.recursive(
        st.none() | st.text() | st.integers() | st.floats() | st.binary(),
        lambda of: st.lists(of) | st.dictionaries(st.text(), of),
        max_leaves=20,
    )
)
def test_every_line_is_json_and_printable(value: object) -> None:
    line = render("now", "info", "event", None, {"value": value})
    assert line.isascii()
    assert line.isprintable()
    assert list(json.loads(line, parse_constant=pytest.fail))[:3] == ["at", "level", "event"]


# PANs


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "card {} refused",
        "a{}b",
        "x={},",
        "https://shop/?card={}&x=1",
        '{{"name":"{}"}}',
        "1234 {} 99",
        "12345678-{}",
        "{} 123",
        "{}{{}}",
        "({})",
        "\x00{}\x00",
        "日本{}円",
        "{}\n{}",
    ],
)
def test_a_pan_keeps_its_last_four_digits_wherever_it_stands(pan: str, around: str) -> None:
    shown = clean_text(around.replace("{}", pan))
    assert pan not in shown
    assert pan[:-4] not in shown
    assert f"****{pan[-4:]}" in shown or "123" in around


@pytest.mark.parametrize("gap", [" ", "-", "  ", " - ", "\u00a0", "\u3000", "\u2011", "\t"])
@pytest.mark.parametrize("pan", ["4111 1111 1111 1111", "3782 822463 10005", "41 11 11 11 11 11 11 11", " ".join(PAN)])
def test_a_pan_in_groups_is_found(pan: str, gap: str) -> None:
    text = pan.replace(" ", gap)
    assert clean_text(f"card {text}.") == f"card ****{pan.replace(' ', '')[-4:]}."


def test_a_pan_in_wide_digits_is_found() -> None:
    wide = PAN.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    assert clean_text(f"氏名{wide}") == "氏名****1111"


@given(
    before=st.lists(st.from_regex(r"[0-9]{1,6}", fullmatch=True), max_size=4),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=16),
    after=st.lists(st.from_regex(r"[0-9]{1,6}", fullmatch=True), max_size=4),
)
def test_no_grouping_and_no_neighbours_hide_a_pan(before: list[str], sizes: list[int], after: list[str]) -> None:
    pan, groups, rest = "4539578763621486", [], "4539578763621486"
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    text = " ".join(group for group in [*before, *groups, rest, *after] if group)
    shown = "".join(letter for letter in clean_text(text) if letter.isdigit())
    assert pan[:12] not in shown
    assert pan[4:12] not in shown


def test_two_pans_side_by_side_are_both_masked() -> None:
    assert clean_text(f"{PAN} 5555555555554444") == "****1111 ****4444"


@pytest.mark.parametrize(
    "text",
    [
        "7012345678901234567890",  # a transaction id of 22 digits
        "41111111111111111111",  # 20 digits
        "411111111111",  # 12
        "4111111111111112",  # check digit wrong
        "9999999999999995",  # no BIN begins with 9
        "2026-05-01T03:00:00.123Z",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345 6789",
        "",
    ],
)
def test_what_is_no_pan_stays(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    "track", [f";{PAN}=2512101123400001230?", f"%B{PAN}^DOE/JANE^2512101123400001230?", f"{PAN}D2512101123400001230"]
)
def test_what_follows_a_pan_on_a_track_is_masked_with_it(track: str) -> None:
    shown = clean_text(track)
    assert "****1111" in shown
    assert "2512" not in shown
    assert "1123400001230" not in shown


def test_a_pan_in_any_member_of_any_shape_is_masked(lines: io.StringIO) -> None:
    class Kind(Enum):
        CARD = PAN

    @dataclass
    class Holder:
        note: str

    spaced = "4111 1111 1111 1111"
    named: dict[str, Any] = {PAN: "name"}
    log(
        f"paid {PAN}",
        **named,
        spaced=spaced,
        number_=int(PAN),
        negative=-int(PAN),
        floating=float(PAN),
        decimal=Decimal(PAN),
        listed=[PAN, (PAN,), {PAN}],
        mapped={PAN: PAN, int(PAN): {"deep": PAN}},
        holder=Holder(PAN),
        kind=Kind.CARD,
        error=ValueError(PAN),
        raw=PAN.encode(),
        card=Card(pan=Pan(PAN), expiry=Expiry(2030, 1), security_code=SecurityCode("737")),
    )
    line = the_line(lines)
    text = lines.getvalue()
    assert PAN not in text
    assert spaced not in text
    assert PAN[:12] not in text
    assert line["floating"] == "****1111.0"
    assert line["raw"] == "<16 bytes>"
    assert line["card"]["pan"] == "<Pan ****1111>"
    assert line["card"]["security_code"] == "<SecurityCode ***>"


@pytest.mark.parametrize("offset", range(17))
def test_the_cut_leaves_no_part_of_a_pan(offset: int) -> None:
    shown = clean_text("x" * (TEXT_CHARS - offset) + PAN + "y" * 100)
    assert "4111" not in shown
    assert len(shown) < TEXT_CHARS + 30


@pytest.mark.parametrize(
    "hostile", ["4 " * 1_000, "4" * 2_000, "4111 " * 400, "1-" * 5_000, f"{PAN} " * 300, "=" * 5_000, "cvv" * 900]
)
def test_a_hostile_text_is_cleaned_in_bounded_time(hostile: str) -> None:
    started = time.process_time()
    shown = clean_text(hostile)
    assert PAN not in shown
    assert time.process_time() - started < 0.2


# Secrets by type and by name


@pytest.mark.parametrize(
    "name",
    [
        "securityCode",
        "security_code",
        "Security-Code",
        "cvv",
        "CVV2",
        "number",
        "secret",
        "clientSecret",
        "signature",
        "Authorization",
        "password",
        "db_password",
        "trackData",
        "pinBlock",
        "apiKey",
        "Cookie",
    ],
)
def test_a_member_named_like_a_secret_is_masked(name: str, lines: io.StringIO) -> None:
    named: dict[str, Any] = {name: "s3cr3t"}
    log("event", **named, nested={name: ["s3cr3t"]}, headers=[(name, "s3cr3t"), ("accept", "json")])
    line = the_line(lines)
    assert "s3cr3t" not in lines.getvalue()
    assert line[name] == line["nested"][name] == "***"
    assert line["headers"] == [[name, "***"], ["accept", "json"]]


@pytest.mark.parametrize(
    "name", ["status", "reference_number", "secretary", "pinned", "key", "code", "merchant", "expiry"]
)
def test_a_member_named_otherwise_is_shown(name: str) -> None:
    assert clean({name: "shown"}) == {name: "shown"}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cr3t",
        'headers {"Authorization": "Bearer s3cr3t"}',
        '{"securityCode":"s3cr3t","x":1}',
        '{\\"securityCode\\":\\"s3cr3t\\"}',
        "{'cvv': 's3cr3t'}",
        "password=s3cr3t&x=1",
        "client_secret=s3cr3t",
        'Signature: keyid="k", signature="s3cr3t"',
        "postgresql://kessai:s3cr3t@localhost/kessai",
    ],
)
def test_a_secret_named_inside_a_text_is_masked(text: str) -> None:
    assert "s3cr3t" not in clean_text(text)


@pytest.mark.parametrize("secret", [Secret("s3cr3t"), SecurityCode("s3cr3t")])
def test_a_secret_value_is_masked_under_any_name(secret: Secret, lines: io.StringIO) -> None:
    log("event", value=secret, listed=[secret], error=ValueError(secret), cvv=secret)
    logging.getLogger("asyncio").error("broken: %s %r", secret, {"x": secret})
    assert "s3cr3t" not in lines.getvalue()
    assert len(written(lines)) == 2


# Bounds and odd values


def test_long_values_and_long_lines_are_cut(lines: io.StringIO) -> None:
    log("long", text="x" * 1_000_000, listed=["y"] * 1_000, mapped={str(n): n for n in range(1_000)})
    log("too long", listed=["z" * TEXT_CHARS] * 40, more="x")
    first, second = written(lines)
    assert first["text"].startswith("x" * TEXT_CHARS + "… ")
    assert (len(first["listed"]), len(first["mapped"])) == (41, 41)
    assert second["too_long"] == ["listed", "more"]
    assert max(map(len, lines.getvalue().splitlines())) <= LINE_CHARS


def test_values_are_shown_by_kind_and_no_repr_is_trusted() -> None:
    class Opaque:
        def __repr__(self) -> str:
            return "s3cr3t"

    loop: list[object] = []
    loop.append(loop)
    assert clean(Opaque()) == "<Opaque>"
    assert clean(loop) == [["<list>"]]
    assert clean(NOON) == "2026-05-01T03:00:00.123456+00:00"
    assert clean(UUID(int=7)) == "00000000-0000-0000-0000-000000000007"
    assert clean(1.5) == 1.5
    assert clean(float("nan")) == "nan"
    assert clean(10**400) == "<int>"


def test_a_value_that_cannot_be_read_does_not_stop_the_line(lines: io.StringIO) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    log("event", broken=Broken(), fine=1)
    line = the_line(lines)
    assert (line["broken"], line["fine"]) == ("<Broken>", 1)


# The standard library's logging


def charge(number: str, code: str) -> None:
    kept = number + code
    raise ValueError(f"cannot charge {kept[:16]}")


def test_a_traceback_has_no_locals_and_no_pan(lines: io.StringIO) -> None:
    code = "".join(["998", "87"])
    try:
        charge(PAN, code)
    except ValueError as error:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        log("request.failed", level="error", error=error, traceback=traceback_of(error))
    bridged, ours = written(lines)
    assert (bridged["event"], bridged["level"]) == ("uvicorn.error", "error")
    assert bridged["message"] == "Exception in ASGI application"
    assert bridged["traceback"] == ours["traceback"]
    assert bridged["traceback"][-1] == "ValueError: cannot charge ****1111"
    assert any("in charge" in line for line in bridged["traceback"])
    assert "99887" not in lines.getvalue()
    assert PAN not in lines.getvalue()


def test_records_of_other_loggers_follow_our_level(lines: io.StringIO) -> None:
    other = logging.getLogger("somebody.else")
    other.debug("too quiet")
    other.info("said %d of %s", 1, PAN)
    other.critical("down")
    other.setLevel("DEBUG")
    other.debug("still too quiet")
    other.setLevel("NOTSET")
    assert [(line["level"], line["message"]) for line in written(lines)] == [
        ("info", "said 1 of ****1111"),
        ("error", "down"),
    ]


def test_a_record_whose_arguments_do_not_fit_is_still_one_line(lines: io.StringIO) -> None:
    record = {"name": "somebody.else", "levelno": logging.WARNING, "msg": "%d and %d", "args": ("x",)}
    Bridge().handle(logging.makeLogRecord(record))
    assert the_line(lines)["message"] == "%d and %d"


def test_a_library_that_brings_its_own_handler_loses_it(lines: io.StringIO) -> None:
    own = io.StringIO()
    library = logging.getLogger("library.with.handler")
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False
    configure(lines)
    library.warning("%s", PAN)
    assert own.getvalue() == ""
    assert the_line(lines)["message"] == "****1111"
