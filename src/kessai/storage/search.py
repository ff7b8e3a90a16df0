"""Search: from a criterion to statements, and through the index in order of time, a stretch after another.

One part of the criterion *leads*: a term, a few terms, ids, or nothing but time. Its entries are walked newest or
oldest first in stretches of `STRETCH`, and the rest of the criterion is asked of each; so no statement does more than a
stretch's work, however many payments there are, and payments pass in between. Which part leads is found by counting, up
to `PROBED`: the shortest list. Every value is a parameter: nothing that a merchant wrote becomes a statement's text.

    TooBroad   the walk took longer than it may: nothing that leads is short enough
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from kessai.payment.search import (
    ALWAYS,
    FACETS,
    NEVER,
    Among,
    Between,
    Criterion,
    Either,
    Every,
    Like,
    Search,
    both,
)
from kessai.storage.database import Database, Kind, Row
from kessai.storage.indexing import Indexable, indexable_of, term_of
from kessai.storage.payments import encode_json

STRETCH: Final = 500
PROBED: Final = 500
"""Entries of a list that are counted to see how long it is."""
MOST_LEADING: Final = 24
"""Alternatives that may lead together."""
SHOWN: Final = 50
"""Transactions that are read in one go, to be shown."""
COUNTED: Final = 10_000
"""Matches that are counted at the most; `total` is exact up to here, as far as `WALKED` goes."""
WALKED: Final = 5_000
"""Entries that are walked only to count."""
MOST_SORTED: Final = 50_000
"""Matches that an order other than time may have."""
LAST: Final = 1 << 62


class TooBroad(Exception):
    """The search would take too long."""


class Page(Struct, frozen=True):
    """Ids in their order, and how many match. Where more match than were counted, `total` is what was counted."""

    ids: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A list of the index, or a few."""

    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Every list from a term up to another: not in order of time, so it leads only when it is short."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Own:
    """Transactions by their ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Time:
    """Every transaction."""


Leader = Terms | Span | Own | Time


@dataclass(slots=True)
class Statement:
    """A statement's values, each with its number."""

    kind: Kind
    values: list[object] = field(default_factory=list)

    def place(self, value: object) -> str:
        """Where a value stands in the text."""
        self.values.append(value)
        if self.kind == "sqlite":
            return f"?{len(self.values)}"
        return f"${len(self.values)}::{'bigint' if isinstance(value, int) else 'text'}"


# ---- criteria as conditions


def condition(criterion: Criterion, to: Statement) -> str:
    """What has to hold of a row `s` of the index, and of its transaction `t` where the criterion asks of it."""
    match criterion:
        case Among(facet=facet, values=values):
            if not values:
                return "1 = 0"
            return f"{_column(facet)} IN ({', '.join(to.place(value) for value in values)})"
        case Like(facet=facet, parts=parts):
            if parts == ("", "*", ""):
                return f"{_column(facet)} IS NOT NULL"
            shape = "".join(_WILD[part] if index % 2 else _escaped(part) for index, part in enumerate(parts))
            return f"{_column(facet)} LIKE {to.place(shape)} ESCAPE '\\'"
        case Between(facet=facet, low=low, high=high):
            bounds = [f"{_column(facet)} >= {to.place(low)}"] if low is not None else []
            bounds += [f"{_column(facet)} < {to.place(high)}"] if high is not None else []
            return " AND ".join(bounds) or f"{_column(facet)} IS NOT NULL"
        case Every(parts=parts):
            return " AND ".join(f"({condition(part, to)})" for part in parts) or "1 = 1"
        case Either(parts=parts):
            return " OR ".join(f"({condition(part, to)})" for part in parts) or "1 = 0"


_WILD: Final = {"*": "%", "?": "_"}
_LIVE: Final[Mapping[str, str]] = {
    "operation": "t.operation",
    "service": "t.operation || CASE WHEN t.flags LIKE '%bank-account%' THEN ' by account' ELSE '' END",
    "status": "t.status",
    "outcome": "t.operation || ' ' || t.status || ' ' || COALESCE(t.reason, '-')",
}


def _column(facet: str) -> str:
    return _LIVE.get(facet) or f"s.{FACETS[facet].name}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _is_live(criterion: Criterion) -> bool:
    """Whether it asks something of the transaction itself."""
    if isinstance(criterion, Every | Either):
        return any(map(_is_live, criterion.parts))
    return FACETS[criterion.facet].is_live


# ---- what leads


def parts_of(criterion: Criterion) -> tuple[Criterion, ...]:
    return criterion.parts if isinstance(criterion, Every) else (criterion,)


def window_of(criterion: Criterion) -> tuple[int, int, Criterion]:
    """The stretch of time that a criterion allows, [since, until) in milliseconds, and what it asks beside that."""
    since, until, others = 0, LAST, []
    for part in parts_of(criterion):
        if isinstance(part, Between) and part.facet == "submitted_at":
            since, until = max(since, part.low or 0), min(until, LAST if part.high is None else part.high)
        else:
            others.append(part)
    return since, until, both(*others)


def leader_of(part: Criterion) -> Leader | None:
    """What would find all that a part of a criterion allows; None where nothing in the index does."""
    match part:
        case Among(facet="id", values=values) if len(values) <= MOST_LEADING:
            return Own(tuple(value for value in values if isinstance(value, int)))
        case Among(facet=facet, values=values) if FACETS[facet].tag and len(values) <= MOST_LEADING:
            return Terms(tuple(term_of(facet, value) for value in values))
        case Like(facet=facet, parts=parts) if FACETS[facet].tag and parts[0]:
            low = term_of(facet, parts[0])
            return Span(low, low + "\U0010ffff")
        case Either(parts=parts):
            leaders = [leader_of(each) for each in parts]
            terms = [term for leader in leaders if isinstance(leader, Terms) for term in leader.terms]
            is_whole = all(isinstance(leader, Terms) for leader in leaders) and len(terms) <= MOST_LEADING
            return Terms(tuple(dict.fromkeys(terms))) if is_whole else None
        case Every(parts=parts):
            return next((found for each in parts if isinstance(found := leader_of(each), Terms | Own)), None)
        case _:
            return None


def is_all_of(leader: Leader, part: Criterion) -> bool:
    """Whether what leads finds exactly what the part allows, so that nothing is left to be asked of it."""
    return isinstance(part, Among) and isinstance(leader, Terms)


@dataclass(frozen=True, slots=True)
class Walk:
    """One way through the index."""

    merchant_id: str
    leader: Leader
    rest: Criterion
    """What has to be asked of each entry."""
    since: int
    until: int
    is_upward: bool = False
    sorted_by: tuple[str, ...] = ()

    def stretch(self, kind: Kind, after: tuple[int, int] | None, most: int) -> tuple[str, list[object]]:
        """Statement and values of the next stretch: time, id, whether it matches, and what it is sorted by."""
        to = Statement(kind)
        entries = self._entries(to, after, most)
        direction = "ASC" if self.is_upward else "DESC"
        keys = "".join(f", {_column(facet)}" for facet in self.sorted_by)
        if self.rest == ALWAYS and not keys:
            return (
                f"SELECT e.submitted_at, e.id, 1 FROM {entries} AS e ORDER BY 1 {direction}, 2 {direction}",
                to.values,
            )
        joins = (
            " JOIN search_rows AS s"
            " ON s.merchant_id = e.merchant_id AND s.submitted_at = e.submitted_at AND s.id = e.id"
        )
        if _is_live(self.rest):
            joins += " JOIN transactions AS t ON t.merchant_id = e.merchant_id AND t.id = e.id"
        asked = condition(self.rest, to)
        return (
            f"SELECT e.submitted_at, e.id, CASE WHEN {asked} THEN 1 ELSE 0 END{keys} FROM {entries} AS e{joins}"
            f" ORDER BY 1 {direction}, 2 {direction}"
        ), to.values

    def length(self, kind: Kind, most: int) -> tuple[str, list[object]]:
        """Statement and values that count the entries, up to a number."""
        to = Statement(kind)
        return f"SELECT COUNT(*) FROM {self._entries(to, None, most)} AS e", to.values

    def _entries(self, to: Statement, after: tuple[int, int] | None, most: int) -> str:
        """A table of merchant, time and id: the entries behind one of them, as many as a stretch has."""
        direction = "ASC" if self.is_upward else "DESC"
        behind = ""
        if after is not None:
            sign = ">" if self.is_upward else "<"
            behind = f" AND (n.submitted_at, n.id) {sign} ({to.place(after[0])}, {to.place(after[1])})"
        within = f"n.submitted_at >= {to.place(self.since)} AND n.submitted_at < {to.place(self.until)}{behind}"
        merchant = to.place(self.merchant_id)
        columns = "n.merchant_id, n.submitted_at, n.id"
        order = f"ORDER BY n.submitted_at {direction}, n.id {direction} LIMIT {most:d}"

        def lists(where: str) -> str:
            own = f"n.merchant_id = {merchant} AND {where} AND {within}"
            return f"(SELECT {columns} FROM search_terms AS n WHERE {own} {order})"

        match self.leader:
            case Terms(terms=(term,)):
                return lists(f"n.term = {to.place(term)}")
            case Terms(terms=terms):
                each = " UNION ".join(f"SELECT * FROM {lists(f'n.term = {to.place(term)}')} AS u" for term in terms)
                return f"(SELECT {columns} FROM ({each}) AS n {order})"
            case Span(low=low, high=high):
                distinct = lists(f"n.term >= {to.place(low)} AND n.term < {to.place(high)}")
                return distinct.replace("SELECT ", "SELECT DISTINCT ", 1)
            case Own(ids=own):
                named = ", ".join(to.place(each) for each in own)
                theirs = (
                    "(SELECT x.merchant_id, x.requested_at AS submitted_at, x.id FROM transactions AS x"
                    f" WHERE x.merchant_id = {merchant} AND x.id IN ({named}))"
                )
                return (
                    f"(SELECT {columns} FROM {theirs} AS n JOIN search_rows AS i ON i.merchant_id = n.merchant_id"
                    f" AND i.submitted_at = n.submitted_at AND i.id = n.id WHERE {within} {order})"
                )
            case Time():
                return f"(SELECT {columns} FROM search_rows AS n WHERE n.merchant_id = {merchant} AND {within} {order})"


# ---- finding


class Finder:
    """Finds transactions by the index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, merchant_id: str, search: Search, limit_s: float = 4.0) -> Page:
        """The page of ids that a search asks for. TooBroad."""
        since, until, asked = window_of(search.criterion)
        if asked == NEVER or since >= until:
            return Page((), 0)
        until_s = asyncio.get_running_loop().time() + limit_s
        return await self._walk(await self._lead(merchant_id, asked, since, until), search, until_s)

    async def rows(self, merchant_id: str, ids: Sequence[int]) -> list[Indexable]:
        """Transactions, in the order of their ids as given."""
        found: dict[int, Indexable] = {}
        for start in range(0, len(ids), SHOWN):
            some = list(ids[start : start + SHOWN])
            asked = some if self._database.kind == "postgres" else encode_json(some).decode()
            rows: list[Row] = await self._database.read("found_rows", {"merchant_id": merchant_id, "ids": asked})
            found |= {row[0]: indexable_of(merchant_id, row) for row in rows}
            await asyncio.sleep(0)
        return [found[identifier] for identifier in ids if identifier in found]

    async def _lead(self, merchant_id: str, asked: Criterion, since: int, until: int) -> Walk:
        """The walk with the shortest list."""
        candidates = []
        parts = parts_of(asked)
        for part in parts:
            leader = leader_of(part)
            if leader is None:
                continue
            others = tuple(other for other in parts if other is not part) if is_all_of(leader, part) else parts
            candidates.append(Walk(merchant_id, leader, both(*others), since, until))
        if len(candidates) == 1 and isinstance(candidates[0].leader, Terms | Own):
            return candidates[0]
        lengths = []
        for walk in candidates:
            sql, values = walk.length(self._database.kind, PROBED)
            [(length,)] = await self._database.ask(sql, values)
            if length == 0:
                return walk
            if length < PROBED or isinstance(walk.leader, Terms):
                lengths.append((length, _rank(walk.leader), walk))
        if not lengths:
            return Walk(merchant_id, Time(), asked, since, until)
        return min(lengths, key=lambda each: each[:2])[2]

    async def _walk(self, walk: Walk, search: Search, until_s: float) -> Page:
        first = search.order[0] if search.order else None
        if first is None or first.facet in ("submitted_at", "id"):  # ids are made in order of time
            walk = _with(walk, is_upward=first is not None and not first.is_descending)
            return await self._in_order(walk, search, until_s)
        sorted_by = tuple(order.facet for order in search.order)
        return await self._sorted(_with(walk, sorted_by=sorted_by), search, until_s)

    async def _in_order(self, walk: Walk, search: Search, until_s: float) -> Page:
        """The entries as the index has them: a page, and then what matches beside it, up to a number."""
        wanted = search.offset + search.limit
        found: list[int] = []
        matches = walked = 0
        async for stretch in self._stretches(walk, wanted, until_s):
            for row in stretch:
                if row[2]:
                    if search.offset <= matches < wanted:
                        found.append(row[1])
                    matches += 1
            if matches > wanted:
                walked += len(stretch)
                if matches >= COUNTED or walked >= WALKED:
                    break
                if walk.rest == ALWAYS:  # nothing has to be asked: the list is as long as it is
                    sql, values = walk.length(self._database.kind, max(COUNTED, wanted + 1))
                    [(matches,)] = await self._database.ask(sql, values)
                    break
        return Page(tuple(found), matches)

    async def _sorted(self, walk: Walk, search: Search, until_s: float) -> Page:
        """Every match, sorted here."""
        found: list[tuple[int, ...]] = []
        async for stretch in self._stretches(walk, STRETCH, until_s):
            found += [tuple(row) for row in stretch if row[2]]
            if len(found) > MOST_SORTED:
                raise TooBroad
        for place, order in reversed(list(enumerate(search.order))):
            found.sort(key=_key(3 + place), reverse=order.is_descending)
        return Page(tuple(row[1] for row in found[search.offset : search.offset + search.limit]), len(found))

    async def _stretches(self, walk: Walk, wanted: int, until_s: float) -> AsyncIterator[list[Row]]:
        """The entries of a walk. The first stretch is as long as what is wanted of it."""
        is_short = isinstance(walk.leader, Own | Span)  # one stretch has them all, and those that came meanwhile
        most = 2 * PROBED if is_short else min(STRETCH, max(wanted + 1, 32))
        after: tuple[int, int] | None = None
        while True:
            sql, values = walk.stretch(self._database.kind, after, most)
            rows = await self._database.ask(sql, values)
            yield rows
            if is_short or len(rows) < most:
                return
            after, most = (rows[-1][0], rows[-1][1]), STRETCH
            await asyncio.sleep(0)
            if asyncio.get_running_loop().time() > until_s:
                raise TooBroad


def _key(place: int) -> Callable[[Sequence[object]], tuple[bool, object]]:
    """Rows by one of their values; what has none comes first."""
    return lambda row: (row[place] is not None, row[place])


def _rank(leader: Leader) -> int:
    """Among lists that are too long to be counted: how much the facet usually narrows."""
    tags = [facet.tag for facet in FACETS.values() if facet.tag]
    return tags.index(leader.terms[0][0]) if isinstance(leader, Terms) else 0


def _with(walk: Walk, *, is_upward: bool = False, sorted_by: Iterable[str] = ()) -> Walk:
    return Walk(
        walk.merchant_id,
        walk.leader,
        walk.rest,
        walk.since,
        walk.until,
        is_upward=is_upward,
        sorted_by=tuple(sorted_by),
    )
