"""Routes: method and path to what is asked for. One table; with and without a trailing slash. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from kessai.payment.lifecycle import Operation
from kessai.payment.word import Word


class Kind(Word):
    """What a request asks for."""

    AUTHORIZE = "authorization or sale"
    INCREMENT = "incremental authorization"
    CAPTURE = "capture"
    REVERSE = "authorization reversal"
    REFUND = "refund"
    CREDIT = "credit"
    VOID = "void"
    TIMEOUT_REVERSE = "time-out reversal by the merchant's transaction id"
    TIMEOUT_VOID = "time-out void by the merchant's transaction id"
    READ = "read-back of what was answered"
    DETAILS = "transaction details"


@dataclass(frozen=True, slots=True)
class Row:
    """One route. `{id}` stands for one segment; `expects` are the operations that the id may name."""

    method: str
    path: str
    kind: Kind
    expects: frozenset[Operation] = frozenset()


_PAYMENT: Final = frozenset({Operation.AUTHORIZE, Operation.SALE})
_CAPTURE: Final = frozenset({Operation.CAPTURE})
_REVERSAL: Final = frozenset({Operation.REVERSAL})
_REFUND: Final = frozenset({Operation.REFUND})
_CREDIT: Final = frozenset({Operation.CREDIT})
_VOID: Final = frozenset({Operation.VOID})

ROUTES: Final[tuple[Row, ...]] = (
    Row("POST", "/pts/v2/payments", Kind.AUTHORIZE),
    Row("PATCH", "/pts/v2/payments/{id}", Kind.INCREMENT, _PAYMENT),
    Row("POST", "/pts/v2/payments/{id}/captures", Kind.CAPTURE, _PAYMENT),
    Row("POST", "/pts/v2/payments/{id}/reversals", Kind.REVERSE, _PAYMENT),
    Row("POST", "/pts/v2/reversals", Kind.TIMEOUT_REVERSE, _PAYMENT),
    Row("POST", "/pts/v2/payments/{id}/refunds", Kind.REFUND, _PAYMENT),
    Row("POST", "/pts/v2/captures/{id}/refunds", Kind.REFUND, _CAPTURE),
    Row("POST", "/pts/v2/credits", Kind.CREDIT),
    Row("POST", "/pts/v2/payments/{id}/voids", Kind.VOID, _PAYMENT),
    Row("POST", "/pts/v2/captures/{id}/voids", Kind.VOID, _CAPTURE),
    Row("POST", "/pts/v2/refunds/{id}/voids", Kind.VOID, _REFUND),
    Row("POST", "/pts/v2/credits/{id}/voids", Kind.VOID, _CREDIT),
    Row("POST", "/pts/v2/voids", Kind.TIMEOUT_VOID, _PAYMENT | _CAPTURE | _REFUND | _CREDIT),
    Row("GET", "/pts/v2/payments/{id}", Kind.READ, _PAYMENT),
    Row("GET", "/pts/v2/captures/{id}", Kind.READ, _CAPTURE),
    Row("GET", "/pts/v2/reversals/{id}", Kind.READ, _REVERSAL),
    Row("GET", "/pts/v2/refunds/{id}", Kind.READ, _REFUND),
    Row("GET", "/pts/v2/credits/{id}", Kind.READ, _CREDIT),
    Row("GET", "/pts/v2/voids/{id}", Kind.READ, _VOID),
    Row("GET", "/tss/v2/transactions/{id}", Kind.DETAILS),
)


class Match(Struct, frozen=True):
    row: Row
    identifier: str
    """The `{id}` segment as it stands in the path; empty where the route has none."""


def _compiled() -> dict[tuple[str, ...], dict[str, Row]]:
    table: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in ROUTES:
        shape = tuple("{id}" if step == "{id}" else step for step in row.path.split("/"))
        table.setdefault(shape, {})[row.method] = row
    return table


_SHAPES: Final = _compiled()
_NO_METHODS: Final[Mapping[str, Row]] = {}
_RESERVED: Final = frozenset({"emvTagDetails"})
"""What stands in the place of an id and is a resource of its own."""


def match(method: str, path: str) -> Match | frozenset[str]:
    """The route of a request; otherwise the methods that its path knows: none for a path that is unknown."""
    steps = path.split("/")
    if len(steps) > 4 and steps[-1] == "":
        steps.pop()
    identifier = ""
    methods = _SHAPES.get(tuple(steps))
    if methods is None and len(steps) in (5, 6) and steps[4] and steps[4] not in _RESERVED:
        identifier = steps[4]
        methods = _SHAPES.get((*steps[:4], "{id}", *steps[5:]))
    found = (methods or _NO_METHODS).get(method)
    return Match(found, identifier) if found is not None else frozenset(methods or ())
