"""Search: what a merchant's transactions are found by. Pure.

A dialect turns its query into a criterion over *facets*, neutral names of what is kept to be searched; the storage
turns a criterion into statements. Texts of facets are folded (`fold`) on both sides, so case never matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

LONGEST_TEXT: Final = 255
"""Characters of a text that are kept to be searched."""
AMOUNT_SCALE: Final = 4
"""Decimals of a searched amount: every currency fits, and amounts of different currencies compare as written."""

FacetValue = str | int
Facets = Mapping[str, FacetValue]
"""What one transaction is found by: facet to folded text or number; what it does not have is left out."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One thing to search by. `tag` marks its entries in the index; without one it narrows what another one found."""

    name: str
    tag: str = ""
    is_number: bool = False
    is_live: bool = False
    """Not kept for searching, because it changes: looked up in the transaction itself."""


FACETS: Final[Mapping[str, Facet]] = {
    facet.name: facet
    for facet in (
        Facet("id", is_number=True),
        Facet("submitted_at", is_number=True),
        Facet("reference", "c"),
        Facet("rrn", "r"),
        Facet("approval_code", "a"),
        Facet("reconciliation_id", "n"),
        Facet("fingerprint", "k"),
        Facet("email", "e"),
        Facet("phone", "p"),
        Facet("ship_phone", "g"),
        Facet("last_name", "l"),
        Facet("first_name", "f"),
        Facet("customer_reference", "b"),
        Facet("customer_id", "u"),
        Facet("ip", "i"),
        Facet("solution_id", "o"),
        Facet("reseller_id", "d"),
        Facet("account_id", "h"),
        Facet("installment_id", "j"),
        Facet("amount", "m", is_number=True),
        Facet("card_suffix", "s"),
        Facet("account_suffix", "q"),
        Facet("card_prefix"),
        Facet("brand"),
        Facet("currency"),
        Facet("commerce_indicator"),
        Facet("operation", is_live=True),
        Facet("service", is_live=True),
        Facet("status", is_live=True),
        Facet("outcome", is_live=True),
    )
}
"""In order of how much each usually narrows. `service` is the operation, with ` by account` behind it where a bank
account pays; `outcome` is operation, status and reason (`-` for none), with blanks."""

KEPT: Final = tuple(
    facet.name for facet in FACETS.values() if not facet.is_live and facet.name not in ("id", "submitted_at")
)
"""Facets with a place of their own in the index."""


def fold(text: str) -> str:
    """A text as it is compared: without outer blanks, in one case, not longer than what is kept."""
    return text.strip()[:LONGEST_TEXT].casefold()


class Among(Struct, frozen=True):
    """The facet is one of these values."""

    facet: str
    values: tuple[FacetValue, ...]


class Like(Struct, frozen=True):
    """The facet's text has this shape: texts stand for themselves, `*` for anything, `?` for one character.

    `parts` alternate: a text (perhaps empty), a wildcard, a text, ... and end with a text.
    """

    facet: str
    parts: tuple[str, ...]


class Between(Struct, frozen=True):
    """The facet's number is at least `low` and less than `high`; None: no bound."""

    facet: str
    low: int | None = None
    high: int | None = None


class Every(Struct, frozen=True):
    """All of them hold; none of them: always."""

    parts: "tuple[Criterion, ...]" = ()


class Either(Struct, frozen=True):
    """One of them holds; none of them: never."""

    parts: "tuple[Criterion, ...]" = ()


Criterion = Among | Like | Between | Every | Either
ALWAYS: Final = Every()
NEVER: Final = Either()


class Order(Struct, frozen=True):
    """One key of an order."""

    facet: str
    is_descending: bool = False


class Search(Struct, frozen=True, kw_only=True):
    """What to find, in which order, and which part of it to show. Ties, and no order: the newest first."""

    criterion: Criterion
    order: tuple[Order, ...] = ()
    offset: int = 0
    limit: int = 20


def both(*criteria: Criterion) -> Criterion:
    """All of them, without needless layers."""
    parts: list[Criterion] = []
    for criterion in criteria:
        parts += criterion.parts if isinstance(criterion, Every) else (criterion,)
    if NEVER in parts:
        return NEVER
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def either(*criteria: Criterion) -> Criterion:
    """One of them, without needless layers; values of one facet become one list."""
    parts: list[Criterion] = []
    for criterion in criteria:
        parts += criterion.parts if isinstance(criterion, Either) else (criterion,)
    if ALWAYS in parts:
        return ALWAYS
    if parts and all(isinstance(part, Among) for part in parts):
        facets = {part.facet for part in parts if isinstance(part, Among)}
        if len(facets) == 1:
            values = dict.fromkeys(value for part in parts if isinstance(part, Among) for value in part.values)
            return Among(facets.pop(), tuple(values))
    return parts[0] if len(parts) == 1 else Either(tuple(parts))
