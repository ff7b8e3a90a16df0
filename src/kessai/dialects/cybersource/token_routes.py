"""Routes of the token family: method and path to what is asked for. One table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from msgspec import Struct


class Kind(Enum):
    """What a request of the token family asks for; the value is read by people."""

    CREATE_CUSTOMER = "a new customer"
    READ_CUSTOMER = "a customer"
    CHANGE_CUSTOMER = "another customer's data, or other defaults"
    DELETE_CUSTOMER = "a customer's end, with all that it owns"
    CREATE_INSTRUMENT = "a new payment instrument"
    LIST_INSTRUMENTS = "a customer's payment instruments"
    READ_INSTRUMENT = "a payment instrument"
    CHANGE_INSTRUMENT = "another expiry, address or number; or that it become the default"
    DELETE_INSTRUMENT = "a payment instrument's end"
    CREATE_ADDRESS = "a new shipping address"
    LIST_ADDRESSES = "a customer's shipping addresses"
    READ_ADDRESS = "a shipping address"
    CHANGE_ADDRESS = "another address, or that it become the default"
    DELETE_ADDRESS = "a shipping address's end"
    CREATE_IDENTIFIER = "the instrument identifier of a number"
    READ_IDENTIFIER = "an instrument identifier"
    CHANGE_IDENTIFIER = "another previous transaction id"
    DELETE_IDENTIFIER = "an instrument identifier's end"
    LIST_REFERRING = "the payment instruments of a number"
    TOKENIZE = "several tokens at once"
    ENROL = "a network token for a card, behind the answer"
    CREATE_TOKENIZED = "a network token for a card number, at once"
    READ_TOKENIZED = "a network token"
    DELETE_TOKENIZED = "a network token's end"
    SIMULATE = "what a card's issuer does with its network token"
    CREDENTIALS = "a network token's number and a cryptogram, encrypted to the merchant's key"
    READ_ASSET = "a picture of a card"


@dataclass(frozen=True, slots=True)
class Row:
    """One route. Each name in braces stands for one segment."""

    method: str
    path: str
    kind: Kind
    success: int


_CUSTOMERS: Final = "/tms/v2/customers"
_INSTRUMENTS: Final = "/tms/v2/customers/{customer}/payment-instruments"
_ADDRESSES: Final = "/tms/v2/customers/{customer}/shipping-addresses"
_LONE: Final = "/tms/v1/paymentinstruments"
_IDENTIFIERS: Final = "/tms/v1/instrumentidentifiers"
_TOKENIZED: Final = "/tms/v2/tokenized-cards"

ROUTES: Final[tuple[Row, ...]] = (
    Row("POST", _CUSTOMERS, Kind.CREATE_CUSTOMER, 201),
    Row("GET", _CUSTOMERS + "/{id}", Kind.READ_CUSTOMER, 200),
    Row("PATCH", _CUSTOMERS + "/{id}", Kind.CHANGE_CUSTOMER, 200),
    Row("DELETE", _CUSTOMERS + "/{id}", Kind.DELETE_CUSTOMER, 204),
    Row("POST", _INSTRUMENTS, Kind.CREATE_INSTRUMENT, 201),
    Row("GET", _INSTRUMENTS, Kind.LIST_INSTRUMENTS, 200),
    Row("GET", _INSTRUMENTS + "/{id}", Kind.READ_INSTRUMENT, 200),
    Row("PATCH", _INSTRUMENTS + "/{id}", Kind.CHANGE_INSTRUMENT, 200),
    Row("DELETE", _INSTRUMENTS + "/{id}", Kind.DELETE_INSTRUMENT, 204),
    Row("POST", _ADDRESSES, Kind.CREATE_ADDRESS, 201),
    Row("GET", _ADDRESSES, Kind.LIST_ADDRESSES, 200),
    Row("GET", _ADDRESSES + "/{id}", Kind.READ_ADDRESS, 200),
    Row("PATCH", _ADDRESSES + "/{id}", Kind.CHANGE_ADDRESS, 200),
    Row("DELETE", _ADDRESSES + "/{id}", Kind.DELETE_ADDRESS, 204),
    Row("POST", _LONE, Kind.CREATE_INSTRUMENT, 201),
    Row("GET", _LONE + "/{id}", Kind.READ_INSTRUMENT, 200),
    Row("PATCH", _LONE + "/{id}", Kind.CHANGE_INSTRUMENT, 200),
    Row("DELETE", _LONE + "/{id}", Kind.DELETE_INSTRUMENT, 204),
    Row("POST", _IDENTIFIERS, Kind.CREATE_IDENTIFIER, 201),
    Row("GET", _IDENTIFIERS + "/{id}", Kind.READ_IDENTIFIER, 200),
    Row("PATCH", _IDENTIFIERS + "/{id}", Kind.CHANGE_IDENTIFIER, 200),
    Row("DELETE", _IDENTIFIERS + "/{id}", Kind.DELETE_IDENTIFIER, 204),
    Row("GET", _IDENTIFIERS + "/{id}/paymentinstruments", Kind.LIST_REFERRING, 200),
    Row("POST", "/tms/v2/tokenize", Kind.TOKENIZE, 200),
    Row("POST", _IDENTIFIERS + "/{id}/enrollment", Kind.ENROL, 202),
    Row("POST", _TOKENIZED, Kind.CREATE_TOKENIZED, 201),
    Row("GET", _TOKENIZED + "/{id}", Kind.READ_TOKENIZED, 200),
    Row("POST", _TOKENIZED + "/{id}/delete", Kind.DELETE_TOKENIZED, 204),
    Row("POST", _TOKENIZED + "/{id}/issuer-life-cycle-event-simulations", Kind.SIMULATE, 204),
    Row("POST", "/tms/v2/tokens/{id}/payment-credentials", Kind.CREDENTIALS, 200),
    Row("POST", "/tms/v3/tokens/{id}/payment-credentials", Kind.CREDENTIALS, 200),
    Row("GET", "/tms/v2/tokens/{id}/{provider}/assets/{asset}", Kind.READ_ASSET, 200),
)


class Match(Struct, frozen=True):
    row: Row
    customer: str | None
    """The `{customer}` segment as it stands in the path; None where the route has none."""
    id: str
    provider: str = ""
    asset: str = ""
    """What a picture is of; empty, as the provider, where the route has none."""


def _compiled() -> dict[int, list[tuple[tuple[str, ...], dict[str, Row]]]]:
    """Shapes by their number of steps, each with its rows by method."""
    table: dict[int, list[tuple[tuple[str, ...], dict[str, Row]]]] = {}
    for row in ROUTES:
        shape = tuple(row.path.split("/"))
        known = table.setdefault(len(shape), [])
        methods = next((methods for each, methods in known if each == shape), None)
        if methods is None:
            known.append((shape, methods := {}))
        methods[row.method] = row
    return table


_SHAPES: Final = _compiled()


def match(method: str, path: str) -> Match | frozenset[str]:
    """The route of a request; otherwise the methods that its path knows: none for a path that is unknown."""
    steps = path.split("/")
    if len(steps) > 4 and steps[-1] == "":
        steps.pop()
    for shape, methods in _SHAPES.get(len(steps), ()):
        segments = _segments(shape, steps)
        if segments is not None:
            found = methods.get(method)
            if found is None:
                return frozenset(methods)
            names = [segments.get(name, "") for name in ("{id}", "{provider}", "{asset}")]
            return Match(found, segments.get("{customer}"), *names)
    return frozenset()


def _segments(shape: tuple[str, ...], steps: list[str]) -> Mapping[str, str] | None:
    segments: dict[str, str] = {}
    for known, step in zip(shape, steps, strict=True):
        if known.startswith("{") and step:
            segments[known] = step
        elif known != step:
            return None
    return segments
