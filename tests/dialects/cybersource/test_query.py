"""The query language: what is read, what is refused and where, and that nothing an attacker sends costs more."""

import sys
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kessai.dialects.cybersource import moments
from kessai.dialects.cybersource.query import (
    MOST_CHARACTERS,
    MOST_CLAUSES,
    MOST_DEPTH,
    All,
    Any,
    Clause,
    Node,
    QueryError,
    Range,
    Text,
    parse,
)

# ---- what is read


def shown(node: Node) -> str:
    """A tree as one line: texts between bars, wildcards as they are."""
    if isinstance(node, All | Any):
        word = " & " if isinstance(node, All) else " | "
        return f"({word.join(map(shown, node.parts))})"
    value = node.value
    if isinstance(value, Range):
        opening, closing = "{" if value.excludes_low else "[", "}" if value.excludes_high else "]"
        return f"{node.field}={opening}{value.low}..{value.high}{closing}"
    return f"{node.field}={''.join(part if index % 2 else f'|{part}|' for index, part in enumerate(value.parts))}"


READ = [
    ("code:TC50171_3", "code=|TC50171_3|"),
    ("a.b:1 AND c:2", "(a.b=|1| & c=|2|)"),
    ("a:1 OR b:2 AND c:3", "(a=|1| | (b=|2| & c=|3|))"),
    ("(a:1 OR b:2) AND c:3", "((a=|1| | b=|2|) & c=|3|)"),
    ("a:(x OR y OR z)", "(a=|x| | a=|y| | a=|z|)"),
    ("a:(x AND (y OR z))", "(a=|x| & (a=|y| | a=|z|))"),
    ("((a:1))", "a=|1|"),
    ("type:credit card", "type=|credit card|"),
    ("type:credit card AND b:2", "(type=|credit card| & b=|2|)"),
    ("(type:credit   card )", "type=|credit card|"),
    ("a:ORDER AND b:ANDROID", "(a=|ORDER| & b=|ANDROID|)"),
    ("a:x and y", "a=|x and y|"),
    ('a:"x AND (y)" OR b:2', "(a=|x AND (y)| | b=|2|)"),
    (r'a:"say \"yes\""', 'a=|say "yes"|'),
    (r"a:x\) \AND y\*", "a=|x) AND y*|"),
    ("a:abc*", "a=|abc|*||"),
    ("a:*", "a=||*||"),
    ("a:a?c*e", "a=|a|?|c|*|e|"),
    ('a:"a*"', "a=|a*|"),
    ("a : 1", "a=|1|"),
    ("a:-1", "a=|-1|"),
    ("t:[NOW/DAY-7DAYS TO NOW/DAY+1DAY}", "t=[NOW/DAY-7DAYS..NOW/DAY+1DAY}"),
    ("t:{10 TO 20]", "t={10..20]"),
    ("t:[ * TO 20 ]", "t=[*..20]"),
    ("t:[1621000000000]", "t=[1621000000000..1621000000000]"),
    ('t:["2021-05-14T00:00:00Z" TO *] AND a:1', "(t=[2021-05-14T00:00:00Z..*] & a=|1|)"),
    ("a:東京 太郎 OR b:é", "(a=|東京 太郎| | b=|é|)"),
]


@pytest.mark.parametrize(("query", "expected"), READ)
def test_reads(query: str, expected: str) -> None:
    assert shown(parse(query)) == expected


REFUSED = [
    ("", 1, "a field and a colon"),
    ("   ", 4, "a field and a colon"),
    ("a", 2, "a colon"),
    ("a:", 3, "a value"),
    ("a: AND b:1", 4, "a value"),
    ("a:1 AND", 8, "a field"),
    ("a:1 AND b", 10, "a colon"),
    ("NOT a:1", 1, "NOT"),
    ("a:1 AND NOT b:2", 9, "NOT"),
    ("-a:1", 1, "NOT"),
    ("+a:1", 1, "NOT"),
    ("a:smith~", 3, "~"),
    ("a:smith~2", 3, "~"),
    ("a:smith^2", 3, "~"),
    ("a:1 && b:2", 3, "~"),
    ("(a:1", 5, "a closing parenthesis"),
    ("a:1)", 4, "AND, OR or the end"),
    ("a:(1 OR 2", 10, "a closing parenthesis"),
    ("a:(1 OR b:(2))", 11, "a backslash"),
    ("a:()", 4, "a value"),
    ('a:"x', 3, "not closed"),
    ('a:""', 3, "a value"),
    ('a:"x"y', 6, "nothing may follow"),
    ('a:x"y', 4, "a backslash"),
    ("a:[1 TO 2", 3, "not closed"),
    ("a:[1 2]", 3, "[low TO high]"),
    ("a:{1}", 3, "[low TO high]"),
    ("a:[1 TO 2 TO 3]", 3, "[low TO high]"),
    ("a:[ TO 2]", 3, "[low TO high]"),
    ("a:[1 TO 2] b:3", 12, "AND, OR or the end"),
    ("a:1 OR OR b:2", 8, "a field"),
    ("1:2", 1, "a field"),
    ("a..b:2", 2, "a colon"),
    ("a:?*?*?", 3, "wildcards"),
    ("a:\u202e1", 1, "characters"),
    ("a:1\x00", 1, "characters"),
]


@pytest.mark.parametrize(("query", "at", "why"), REFUSED)
def test_refuses_and_names_the_place(query: str, at: int, why: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse(query)
    assert (refused.value.at, why in refused.value.why) == (at, True), refused.value


def test_limits() -> None:
    nested = "(" * MOST_DEPTH + "a:1" + ")" * MOST_DEPTH
    assert isinstance(parse(nested), Clause)
    with pytest.raises(QueryError, match="parentheses"):
        parse(f"({nested})")
    many = " OR ".join(["a:1"] * MOST_CLAUSES)
    assert isinstance(parse(many), Any)
    with pytest.raises(QueryError, match=f"at most {MOST_CLAUSES} values"):
        parse(f"{many} OR a:1")
    with pytest.raises(QueryError, match=f"at most {MOST_CHARACTERS} characters"):
        parse("a:" + "1" * MOST_CHARACTERS)


ATTACKS = [
    "(" * 100_000,
    "(" * MOST_CHARACTERS,
    "a:(" * (MOST_CHARACTERS // 3),
    "a:" + " " * (MOST_CHARACTERS - 2),
    "a:1" + " x" * (MOST_CHARACTERS // 2 - 2),
    "a:" + "\\" * (MOST_CHARACTERS - 2),
    "a:1 AND " * (MOST_CHARACTERS // 8),
    'a:"' + '\\"' * (MOST_CHARACTERS // 2 - 2),
    "a:[" + " TO" * (MOST_CHARACTERS // 3 - 1),
    "a:" + "*" * (MOST_CHARACTERS - 2),
    "a." * (MOST_CHARACTERS // 2),
]


@pytest.mark.parametrize("query", ATTACKS, ids=lambda query: query[:8])
def test_what_an_attacker_sends_is_answered_at_once(query: str) -> None:
    """Counted in calls, which follow the length and nothing else."""
    calls = 0

    def count(_frame: object, _event: str, _of: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        with suppress(QueryError):
            parse(query)
    finally:
        sys.setprofile(None)
    assert calls < 12 * MOST_CHARACTERS


WORDS = ["a", "b.c", " AND ", " OR ", " TO ", "NOT ", "NOW", "1", "/DAY", "-7DAYS", "é", "\x00", "\u202e", "😀", ";--"]
PIECES = st.sampled_from([*WORDS, *":()[]{} '\"\\*?~"])


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
@example("a:(((((((")
def test_nothing_is_raised_but_a_query_error(query: str) -> None:
    found: list[Clause] = []
    try:
        found = clauses(parse(query))
    except QueryError as error:
        place = error.at
    else:
        place = 1
    assert 1 <= place <= max(1, min(len(query), MOST_CHARACTERS) + 1)
    for clause in found:
        assert query[clause.at :].startswith(clause.field)
        assert 0 < clause.value.start < clause.value.end <= len(query)


def clauses(node: Node) -> list[Clause]:
    return [node] if isinstance(node, Clause) else [clause for part in node.parts for clause in clauses(part)]


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}(\.[A-Za-z0-9_]{1,8}){0,3}", fullmatch=True)
VALUES = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=8), st.sampled_from([" AND ", " OR "]))
def test_what_is_quoted_is_read_as_it_is(pairs: list[tuple[str, str]], operator: str) -> None:
    written = [f'{name}:"{value}"' for name, value in _escaped(pairs)]
    found = clauses(parse(operator.join(written)))
    assert [(each.field, each.value.parts) for each in found if isinstance(each.value, Text)] == [
        (name, (value,)) for name, value in pairs
    ]


def _escaped(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in pairs]


# ---- instants

NOW = datetime(2026, 3, 10, 16, 30, 45, 500_000, tzinfo=UTC)
INSTANTS = [
    ("NOW", "GMT", "2026-03-10T16:30:45.500+00:00"),
    ("NOW/DAY", "GMT", "2026-03-10T00:00:00+00:00"),
    ("NOW/DAY", "Asia/Tokyo", "2026-03-10T15:00:00+00:00"),
    ("NOW/DAY-7DAYS", "Asia/Tokyo", "2026-03-03T15:00:00+00:00"),
    ("NOW/DAY-7DAYS", "America/Chicago", "2026-03-03T06:00:00+00:00"),
    ("NOW/DAY", "America/Chicago", "2026-03-10T05:00:00+00:00"),
    ("NOW/HOUR+1HOUR", "GMT", "2026-03-10T17:00:00+00:00"),
    ("NOW/HOUR", "Asia/Kolkata", "2026-03-10T16:30:00+00:00"),
    ("NOW/MINUTE-90MINUTES", "GMT", "2026-03-10T15:00:00+00:00"),
    ("NOW/MONTH", "Asia/Tokyo", "2026-02-28T15:00:00+00:00"),
    ("NOW/YEAR-1YEAR", "GMT", "2025-01-01T00:00:00+00:00"),
    ("NOW/WEEK", "GMT", "2026-03-09T00:00:00+00:00"),
    ("NOW-1MONTH", "GMT", "2026-02-10T16:30:45.500+00:00"),
    ("2026-03-31T00:00:00Z-1MONTH", "GMT", "2026-02-28T00:00:00+00:00"),
    ("2024-02-29T00:00:00Z+1YEAR", "GMT", "2025-02-28T00:00:00+00:00"),
    ("1621000000000", "Asia/Tokyo", "2021-05-14T13:46:40+00:00"),
    ("2021-05-14", "Asia/Tokyo", "2021-05-13T15:00:00+00:00"),
    ("2021-05-14T09:30", "Asia/Tokyo", "2021-05-14T00:30:00+00:00"),
    ("2021-05-14T09:30:15.25Z", "Asia/Tokyo", "2021-05-14T09:30:15.250+00:00"),
    ("2021-05-14T09:30:00+09:00/DAY", "GMT", "2021-05-14T00:00:00+00:00"),
]


@pytest.mark.parametrize(("text", "zone", "expected"), INSTANTS)
def test_instants(text: str, zone: str, expected: str) -> None:
    assert moments.read(text, NOW, ZoneInfo(zone)) == datetime.fromisoformat(expected)


def test_a_day_has_as_many_hours_as_its_zone_gives_it() -> None:
    zone, before = ZoneInfo("America/Chicago"), datetime(2026, 3, 9, 17, tzinfo=UTC)
    assert (
        moments.read("NOW/DAY+1DAY", before, zone) - moments.read("NOW/DAY", before, zone)
    ).total_seconds() == 86_400
    sunday = datetime(2026, 3, 8, 17, tzinfo=UTC)
    assert (
        moments.read("NOW/DAY+1DAY", sunday, zone) - moments.read("NOW/DAY", sunday, zone)
    ).total_seconds() == 82_800


NO_INSTANTS = (
    "", "now", "NOW/", "NOW/FORTNIGHT", "NOW+DAY", "NOW+1", "NOW-9999999DAYS", "NOW-999999DAYS", "NOW+999999YEARS", "x",
    "2021-13-01", "2021-02-30", "2021-05-14T25:00:00Z", "4111111111111111", "4222222222222", "1e3", "-1",
    "NOW" + "/DAY" * 11,
    "NOW/DAYX", "99999999999999999999", "0001-01-01", "9999-12-31T23:59:59Z", "NOW/DAY/DAY ",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"instant|steps|day|milliseconds"):
        moments.read(text, NOW, ZoneInfo("GMT"))


STEPS = ["NOW", "/DAY", "+1DAY", "-3MONTHS", "/YEAR", "+99999HOURS", "-99999YEARS", "1621000000000", "Z", "2021-05-14"]
ARITHMETIC = st.lists(st.sampled_from(STEPS), max_size=6).map("".join)
ZONES = st.sampled_from(["GMT", "Asia/Tokyo", "America/Chicago", "Africa/Cairo"])


@given(st.one_of(st.text(max_size=30), ARITHMETIC), ZONES)
def test_an_instant_is_read_or_refused(text: str, zone: str) -> None:
    year = 1970
    with suppress(ValueError):
        year = moments.read(text, NOW, ZoneInfo(zone)).year
    assert 1970 <= year <= moments.LAST_YEAR
