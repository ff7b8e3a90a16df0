"""Sections about the wire: routes, fields, members, errors."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Final

from kessai.dialects.cybersource import (
    answers,
    auth,
    echecks,
    emv,
    flex,
    japan,
    members,
    moments,
    query,
    reasons,
    requests,
    routes,
    searchable,
    searches,
)
from kessai.dialects.cybersource import fields as wire
from kessai.dialects.cybersource.findings import Problems
from kessai.payment.lifecycle import Operation, Reason, Refusal
from kessai.payment.merchant import Merchant, Terms
from kessai.payment.money import JPY
from kessai.payment.search import FACETS
from kessai.reference.parts import code, meanings, meant, names, table
from kessai.server import Limits
from kessai.server import Refusal as ServerRefusal
from kessai.storage.search import COUNTED, MOST_SORTED


def print_routes() -> str:
    reads = (routes.Kind.READ, routes.Kind.DETAILS)
    return table(
        ("Method", "Path", "What it asks for", "What `{id}` may name", "Success"),
        (
            (code(row.method), code(row.path), row.kind.value, names(row.expects), 200 if row.kind in reads else 201)
            for row in routes.ROUTES
        ),
    )


def print_search_routes() -> str:
    return table(
        ("Method", "Path", "What it asks for", "Success"),
        ((code(method), code(path), asked, status) for method, path, asked, status in (*searches.ROUTES, *emv.ROUTES)),
    )


def print_flex_routes() -> str:
    return table(
        ("Method", "Path", "What it asks for", "How the sender is known", "Success"),
        ((code(method), code(path), asked, known, status) for method, path, asked, known, status in flex.ROUTES),
    )


def print_card_networks() -> str:
    return table(("Word", "Brand"), ((code(word), brand.value) for word, brand in flex.NETWORKS.items()))


def print_searchable() -> str:
    sortable = frozenset(searchable.SORTABLE)
    rows = (
        (
            code(field.path),
            field.form.value,
            ", ".join(map(code, sorted(searchable.words_of(field.path)))),
            "yes" if _leads(field) else "",
            "yes" if field.path in sortable else "",
        )
        for field in searchable.FIELDS.values()
    )
    return table(("Field", "Values", "Words", "Leads", "Sorts"), rows)


def _leads(field: searchable.Field) -> bool:
    """Whether a search by this field goes straight to what it finds."""
    by_time = field.form in (searchable.Form.ID, searchable.Form.INSTANT)
    return by_time or (field.facet in FACETS and FACETS[field.facet].tag != "")


def print_search_limits() -> str:
    return table(
        ("What", "At most"),
        (
            ("characters of a query", query.MOST_CHARACTERS),
            ("parentheses inside one another", query.MOST_DEPTH),
            ("values", query.MOST_CLAUSES),
            ("wildcards in a value", query.MOST_WILDCARDS),
            ("steps of an instant", moments.MOST_STEPS),
            ("keys of a sort", searches.MOST_SORT_KEYS),
            (f"`limit` ({searches.USUAL_LIMIT} where there is none)", searches.MOST_SHOWN),
            ("`offset`", searches.MOST_OFFSET),
            ("matches that are counted exactly", COUNTED),
            ("matches in an order other than that of time", MOST_SORTED),
        ),
    )


def print_fields() -> str:
    known = {row.path: row for row in members.rows()}
    parts = []
    for kind, rows_of in wire.TABLES.items():
        rows = []
        for field in rows_of:
            member = known.get(field.path)
            others = ", ".join(code(".".join(path)) for path in field.paths[1:])
            length = member.length_chars if member else None
            rows.append((code(field.path), others, member.type if member else "text", length, field.name))
        headings = ("Member", "Other spellings", "Type", "Longest", "Becomes")
        parts += [f"### {kind.capitalize()}", table(headings, rows), _required(kind)]
    return "\n\n".join(parts)


_SOMEBODY: Final = Merchant(id="reference", personality="reference", terms=Terms(echecks=True))
_ANY_TIME: Final = datetime(2026, 3, 10, tzinfo=UTC)
_EMPTY: Final[Mapping[str, Callable[[], object]]] = {
    "payment": lambda: requests.authorization({}, _SOMEBODY, _ANY_TIME),
    "increment": lambda: requests.increment({}, 1, _SOMEBODY, frozenset()),
    "capture": lambda: requests.capture({}, 1, _SOMEBODY, _ANY_TIME, frozenset()),
    "reversal": lambda: requests.reversal({}, 1, _SOMEBODY, JPY, frozenset(), timeout=False),
    "refund": lambda: requests.refund({}, 1, _SOMEBODY, frozenset()),
    "credit": lambda: requests.credit({}, _SOMEBODY, _ANY_TIME),
    "echeck": lambda: echecks.read({}, _SOMEBODY, _ANY_TIME, is_credit=False),
    "void": lambda: requests.void({}, 1, frozenset(), timeout=False),
}
"""An empty request of each kind: what the decoder misses is what is required."""


def _required(kind: str) -> str:
    answer = _EMPTY[kind]()
    missing = [error.path for error in answer.fields if error.is_missing] if isinstance(answer, Problems) else []
    return f"Required: {', '.join(map(code, missing))}." if missing else "Nothing is required."


def print_japan_fields() -> str:
    wired = {f"{japan.PATH}.{name}": neutral.replace("_", " ") for name, neutral in japan.MEMBERS}
    wired[f"{japan.PATH}.bonuses"] = "bonuses: a count from 1 to 6, or a list of objects with `month` and `amount`"
    return meant("Member", wired)


def print_members() -> str:
    return table(
        ("Member", "Type", "Longest", "Fate", "Why"),
        (
            (
                code(row.path),
                row.type,
                row.length_chars,
                row.fate,
                members.SECRET.get(row.path) or members.DROPPED.get(row.path),
            )
            for row in members.rows()
        ),
    )


_WORD: Final = ("HTTP", "`status`", "`reason`", "Numeric", "Message")


def _word(word: reasons.Word) -> tuple[object, ...]:
    return word.http, code(word.status), code(word.reason), word.numeric, word.message


def print_requests_refused() -> str:
    words = (
        ("the body is no JSON object, or a member is invalid", reasons.INVALID_DATA),
        ("members are missing", reasons.MISSING_FIELD),
        ("the card type contradicts the number", reasons.INVALID_CARD_TYPE),
        ("a way to pay that is not offered", reasons.NOT_SUPPORTED),
    )
    return table(("When", *_WORD), ((when, *_word(word)) for when, word in words))


def print_declines() -> str:
    return table(("Reason", *_WORD), ((code(reason.value), *_word(word)) for reason, word in reasons.DECLINES.items()))


def print_failures() -> str:
    rows: dict[tuple[Reason, reasons.Word], list[Operation]] = {}
    for reason in reasons.FAILURES:
        for operation in answers.COLLECTIONS:
            rows.setdefault((reason, reasons.of_failure(operation, reason)), []).append(operation)
    return table(
        ("Reason", "Operations", *_WORD),
        ((code(reason.value), names(operations), *_word(word)) for (reason, word), operations in rows.items()),
    )


def print_reviews() -> str:
    return table(
        ("Reason", "`status`", "`errorInformation.reason`"),
        (
            (code(reason.value), code(status), code(reasons.DECLINES[reason].reason))
            for reason, status in reasons.REVIEWS.items()
        ),
    )


def print_refusals() -> str:
    rows = [
        (refusal, operation, word)
        for refusal in Refusal
        for operation, word in (
            ("", reasons.REFUSALS[refusal]),
            *((each.value, word) for (each, named), word in reasons.REFUSALS_OF.items() if named is refusal),
        )
    ]
    return table(
        ("Refusal", "Meaning", "Operation", *_WORD),
        ((code(refusal.name), refusal.value, operation, *_word(word)) for refusal, operation, word in rows),
    )


def print_authentication() -> str:
    return ", ".join(code(reason.value) for reason in auth.Reason) + "."


def print_server() -> str:
    refusals = ((row.value[0], code(row.value[1]), row.value[2]) for row in ServerRefusal)
    limits = ((code(each.name), each.default, meanings(Limits).get(each.name)) for each in fields(Limits))
    return "\n\n".join((table(("HTTP", "`type`", "`message`"), refusals), table(("Limit", "Value", "Meaning"), limits)))
