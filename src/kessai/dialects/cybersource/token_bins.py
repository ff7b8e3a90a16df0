"""BIN details beside a card's token: `?retrieveBinDetails=true`. Pure.

What is known of a card by its first six digits, which its masked number shows. Nobody is asked, so there is no word of
the issuer's name, country or products.
"""

from collections.abc import Mapping

import msgspec

from kessai.dialects import HttpResponse
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.token_routes import Kind
from kessai.dialects.table import find
from kessai.payment.card import bin_range

_KINDS = frozenset(
    {
        Kind.CREATE_IDENTIFIER,
        Kind.READ_IDENTIFIER,
        Kind.CHANGE_IDENTIFIER,
        Kind.CREATE_INSTRUMENT,
        Kind.READ_INSTRUMENT,
        Kind.CHANGE_INSTRUMENT,
    }
)
"""Requests whose answers may have BIN details."""
_NUMBERS = (("card", "number"), ("_embedded", "instrumentIdentifier", "card", "number"))
"""Where an answer shows a masked number."""
_PREFIX_DIGITS = 6


def are_wanted(kind: Kind, query: str) -> bool:
    return kind in _KINDS and "retrievebindetails=true" in query.lower().split("&")


def beside(response: HttpResponse) -> HttpResponse:
    """The answer about a token, with the BIN details of its card; as it is where there is no card."""
    if response.status not in (200, 201):
        return response
    body = msgspec.json.decode(response.body, type=dict[str, object])
    number = next((found for path in _NUMBERS if isinstance(found := find(body, path), str)), "")
    details = lookup(number)
    if details is None:
        return response
    embedded = body.get("_embedded")
    body["_embedded"] = {**(embedded if isinstance(embedded, dict) else {}), "binLookup": details}
    return HttpResponse(response.status, msgspec.json.encode(body), response.headers)


def lookup(masked: str) -> Mapping[str, object] | None:
    """What a masked number tells; None for one that does not show its first six digits."""
    prefix = masked[:_PREFIX_DIGITS]
    if len(prefix) < _PREFIX_DIGITS or not (prefix.isascii() and prefix.isdigit()):
        return None
    card: dict[str, object] = {}
    known = bin_range(prefix)
    if known is not None:
        brand, lengths = known
        kind = TYPE_OF_BRAND.get(brand)
        if kind:
            card["type"] = kind
        card |= {"brandName": brand.name, "maxLength": str(max(lengths))}
    return {
        "paymentAccountInformation": {"card": {**card, "credentialType": "PAN"}},
        "issuerInformation": {"binLength": str(_PREFIX_DIGITS), "accountPrefix": prefix},
    }
