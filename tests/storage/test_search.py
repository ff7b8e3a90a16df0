"""Statements of searches: stretch by stretch they find what a plain filter finds, and hold nothing that was written."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.conftest import on_both_engines
from tests.houses import opened
from tests.storage.test_statements import faults_of_statement

from kessai.payment.search import (
    ALWAYS,
    FACETS,
    NEVER,
    Among,
    Between,
    Criterion,
    Either,
    Every,
    Facets,
    Like,
    Order,
    Search,
    both,
    either,
)
from kessai.storage import search
from kessai.storage.database import Kind, load_queries
from kessai.storage.indexing import ROW, TERM, HoldMark, Index, IndexRow, IndexRows, Mark
from kessai.storage.payments import to_ms
from kessai.storage.search import Finder, Own, Span, Statement, Terms, Time, TooBroad, Walk, condition, leader_of

pytestmark = on_both_engines
MERCHANT: Final = "kessai_sandbox"
BEGUN: Final = datetime(2026, 3, 1, tzinfo=UTC)
TEXTS: Final = ("a", "ab", "abc", "b%", "b_", "b\\", "été", "x' OR '1'='1", "\U0001f600", "c")


def rows(chance: random.Random, count: int) -> list[IndexRow]:
    made = []
    for number in range(1, count + 1):
        facets: dict[str, str | int] = {"amount": chance.choice((100, 250, 10_000))}
        for facet in ("reference", "email", "card_suffix", "card_prefix", "brand"):
            if chance.random() < 0.8:
                facets[facet] = chance.choice(TEXTS)
        at = BEGUN + timedelta(seconds=number // 3)  # three of a second
        made.append(IndexRow(number * 7, at, False, facets))
    return made


def holds(criterion: Criterion, row: IndexRow) -> bool:
    """The plain meaning."""
    facets: Facets = {**row.facets, "submitted_at": to_ms(row.submitted_at)}
    match criterion:
        case Among(facet=facet, values=values):
            return facets.get(facet) in values
        case Between(facet=facet, low=low, high=high):
            value = facets.get(facet)
            return isinstance(value, int) and (low is None or value >= low) and (high is None or value < high)
        case Like(facet=facet, parts=parts):
            value = facets.get(facet)
            return isinstance(value, str) and fits(list(parts), value)
        case Every(parts=parts):
            return all(holds(part, row) for part in parts)
        case Either(parts=parts):
            return any(holds(part, row) for part in parts)


def fits(parts: list[str], text: str) -> bool:
    if not text.startswith(parts[0]):
        return False
    rest = text[len(parts[0]) :]
    if len(parts) == 1:
        return rest == ""
    if parts[1] == "?":
        return rest != "" and fits(parts[2:], rest[1:])
    return any(fits(parts[2:], rest[start:]) for start in range(len(rest) + 1))


def criterion(chance: random.Random, depth: int = 0) -> Criterion:
    kind = chance.randrange(8 if depth < 2 else 4)
    facet = chance.choice(("reference", "email", "card_suffix", "card_prefix", "brand"))
    match kind:
        case 0:
            return Among(facet, tuple(chance.sample(TEXTS, chance.randint(1, 3))))
        case 1:
            shapes = (("a", "*", ""), ("", "*", "b"), ("b", "?", ""), ("", "*", ""), ("b%", "*", ""), ("b_", "?", ""))
            return Like(facet, chance.choice(shapes))
        case 2:
            bound = chance.choice((None, 100, 101, 250, 20_000))
            return Between("amount", bound, chance.choice((None, 250, 10_001)))
        case 3:
            since = to_ms(BEGUN) + chance.randrange(0, 60_000, 500)
            return Between("submitted_at", since, since + chance.randrange(0, 60_000, 500))
        case 4 | 5:
            return both(*(criterion(chance, depth + 1) for _ in range(chance.randint(1, 3))))
        case _:
            return either(*(criterion(chance, depth + 1) for _ in range(chance.randint(1, 3))))


def test_stretch_by_stretch_everything_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stretches so short that every walk has many."""
    monkeypatch.setattr(search, "STRETCH", 7)
    monkeypatch.setattr(search, "PROBED", 9)
    chance = random.Random(3)
    stored = rows(chance, 180)

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            await house.database.write(IndexRows(merchant_id=MERCHANT, rows=stored))
            await house.database.write(IndexRows(merchant_id="other", rows=rows(random.Random(4), 30)))
            finder = Finder(house.database)
            for _ in range(70):
                wanted = criterion(chance)
                upward = chance.random() < 0.3
                order = (Order("submitted_at"),) if upward else ()
                offset, limit = chance.choice(((0, 1000), (0, 5), (3, 4), (40, 10)))
                expected = sorted(
                    (row.submitted_at, row.id) for row in stored if holds(wanted, row)
                )[:: 1 if upward else -1]  # fmt: skip
                page = await finder.find(MERCHANT, Search(criterion=wanted, order=order, offset=offset, limit=limit))
                assert page.ids == tuple(each[1] for each in expected[offset : offset + limit]), wanted
                assert page.total == len(expected), wanted
                by_key = (Order("reference", True), Order("amount"))
                page = await finder.find(MERCHANT, Search(criterion=wanted, order=by_key, limit=1000))
                assert sorted(page.ids) == sorted(each[1] for each in expected)
                keys = {row.id: (row.facets.get("reference"), row.facets["amount"]) for row in stored}
                references = [keys[identifier][0] for identifier in page.ids]
                given = [str(each) for each in references if each is not None]
                assert references[: len(given)] == sorted(given, reverse=True), "what has no value comes last"

    asyncio.run(scenario())


def test_the_total_is_what_was_counted_and_never_ends_paging_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STRETCH", 4)
    monkeypatch.setattr(search, "WALKED", 8)
    monkeypatch.setattr(search, "COUNTED", 30)
    stored = [
        IndexRow(number, BEGUN, False, {"amount": 1, "brand": "visa" if number % 5 == 0 else "jcb"})
        for number in range(1, 101)
    ]

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            await house.database.write(IndexRows(merchant_id=MERCHANT, rows=stored))
            finder = Finder(house.database)
            everything = await finder.find(MERCHANT, Search(criterion=ALWAYS, limit=3))
            assert everything.total == 30
            seen: list[int] = []
            while True:
                wanted = Search(criterion=Among("brand", ("visa",)), offset=len(seen), limit=3)
                page = await finder.find(MERCHANT, wanted)
                seen += page.ids
                assert page.total >= len(seen)
                if page.total == len(seen):
                    break
            assert seen == list(range(100, 0, -5))
            assert (await finder.find(MERCHANT, Search(criterion=NEVER))).total == 0

    asyncio.run(scenario())


def test_a_walk_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "STRETCH", 4)
    monkeypatch.setattr(search, "MOST_SORTED", 10)
    stored = [IndexRow(number, BEGUN, False, {"amount": 1}) for number in range(1, 41)]

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            await house.database.write(IndexRows(merchant_id=MERCHANT, rows=stored))
            finder = Finder(house.database)
            with pytest.raises(TooBroad):
                await finder.find(MERCHANT, Search(criterion=Among("brand", ("x",))), limit_s=-1.0)
            with pytest.raises(TooBroad):
                await finder.find(MERCHANT, Search(criterion=ALWAYS, order=(Order("amount"),)))

    asyncio.run(scenario())


# ---- texts of statements

HOSTILE: Final = ("'; DROP TABLE payments; --", '" OR 1=1', "?1", "$1", ":merchant_id", "x\\")
KINDS: Final[Sequence[Kind]] = ("sqlite", "postgres")


def walks() -> list[Walk]:
    chance = random.Random(8)
    leaders = (Terms(("cx",)), Terms(("cx", "ey", HOSTILE[0])), Span("ca", "cb"), Own((1, 2)), Time())
    rest: list[Criterion] = [
        Among("status", ("approved",)),
        Among("outcome", HOSTILE),
        Like("email", (HOSTILE[0], "*", "")),
    ]
    rest += [ALWAYS, *(criterion(chance) for _ in range(20))]
    return [
        Walk("m" + HOSTILE[0], leader, each, 5, 6, is_upward=upward, sorted_by=keys)
        for leader in leaders
        for each in rest
        for upward in (True, False)
        for keys in ((), ("reference", "amount"))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_statements_name_the_merchant_and_hold_no_value(kind: Kind, engine: str) -> None:
    """R-30, and no injection: every value is a parameter."""
    assert engine
    for walk in walks():
        for sql, values in (walk.stretch(kind, (1, 2), 10), walk.stretch(kind, None, 10), walk.length(kind, 10)):
            assert faults_of_statement(sql) == [], sql
            assert not any(text in sql for text in ("DROP", "1=1", ";", "--", ":merchant", "cx"))
            assert {f"{'?' if kind == 'sqlite' else '$'}{number}" for number in range(1, len(values) + 1)} == {
                place for place in sql.replace("(", " ").replace(")", " ").replace(",", " ").replace("::", " ").split()
                if place[0] in "?$"
            }  # fmt: skip
            assert "m" + HOSTILE[0] in values


def test_every_facet_can_be_asked(engine: str) -> None:
    assert engine
    for facet in FACETS.values():
        to = Statement("sqlite")
        assert "?1" in condition(Among(facet.name, (1 if facet.is_number else "x",)), to)
        assert to.values == [1 if facet.is_number else "x"]
    assert isinstance(leader_of(Among("reference", ("x",))), Terms)
    assert leader_of(Among("brand", ("x",))) is None


# ---- writing


def test_rows_stand_in_the_order_of_their_statements(engine: str) -> None:
    assert engine
    queries = load_queries("sqlite")
    assert queries["index_row"].names == ROW
    assert queries["index_term"].names == TERM


def test_a_row_with_an_outcome_stays_and_marks_go_forward(tmp_path: Path) -> None:
    def row(is_open: bool, code: str) -> IndexRow:
        return IndexRow(1, BEGUN, is_open, {"amount": 1, "approval_code": code})

    async def scenario() -> None:
        async with opened(tmp_path, works=False) as house:
            now = house.clock()
            one, two = house.gateway.lease, house.gateway.lease + 1
            hold = {"merchant_id": MERCHANT, "now": now, "until": now + timedelta(seconds=5)}
            assert await house.database.write(HoldMark(holder=one, **hold))  # type: ignore[arg-type]
            assert not await house.database.write(HoldMark(holder=two, **hold))  # type: ignore[arg-type]
            assert await house.database.write(HoldMark(holder=one, **hold))  # type: ignore[arg-type]
            finder, index = Finder(house.database), Index(house.database)
            for is_open, code, mark in ((True, "a", Mark(5, 0)), (False, "b", Mark(3, 2)), (True, "c", Mark(4, 1))):
                write = IndexRows(merchant_id=MERCHANT, rows=[row(is_open, code)], mark=mark)
                await house.database.write(write)
            assert await index.mark(MERCHANT) == Mark(5, 2)
            found = {}
            for code in "abc":
                asked = both(Among("approval_code", (code,)), Among("amount", (1,)))
                found[code] = (await finder.find(MERCHANT, Search(criterion=asked))).ids
            assert found["b"] == (1,)
            later = hold | {"now": now + timedelta(seconds=9), "until": now + timedelta(seconds=20)}
            assert await house.database.write(HoldMark(holder=two, **later))  # type: ignore[arg-type]
            nobody = await house.database.write(HoldMark(holder=one, **later))  # type: ignore[arg-type]
            assert nobody, "no process has the other lease"

    asyncio.run(scenario())
