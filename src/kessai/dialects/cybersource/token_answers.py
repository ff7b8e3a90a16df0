"""Answers of the token family: bodies, links, lists, headers. Pure.

Links are relative throughout, for v1 and v2. A token's ETag is its version in quotes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from kessai.dialects import HttpResponse
from kessai.dialects.cybersource.token_faults import CONTENT_TYPE
from kessai.dialects.cybersource.token_members import CARD_WORDS
from kessai.dialects.cybersource.token_requests import Page
from kessai.tokens.objects import (
    Customer,
    InstrumentIdentifier,
    NetworkToken,
    PaymentInstrument,
    ShippingAddress,
    State,
    Token,
)

Body = dict[str, object]
_encode: Final = msgspec.json.Encoder().encode


def path_of(token: Token) -> str:
    """Where a token is read."""
    match token:
        case Customer():
            return f"/tms/v2/customers/{token.id}"
        case ShippingAddress():
            return f"/tms/v2/customers/{token.customer}/shipping-addresses/{token.id}"
        case PaymentInstrument(customer=None):
            return f"/tms/v1/paymentinstruments/{token.id}"
        case PaymentInstrument():
            return f"/tms/v2/customers/{token.customer}/payment-instruments/{token.id}"
        case NetworkToken():
            return f"/tms/v2/tokenized-cards/{token.id}"
        case _:
            return f"/tms/v1/instrumentidentifiers/{token.id}"


def etag(token: Token) -> str:
    return f'"{token.version}"'


def is_matched(header: str | None, token: Token) -> bool:
    """Whether an `if-match` lets a change through: absent, `*`, or the token's ETag, in quotes or without."""
    if header is None:
        return True
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or str(token.version) in tags


# ---- bodies


def customer(
    token: Customer,
    merchant_id: str,
    payment_instrument: PaymentInstrument | None = None,
    instrument: InstrumentIdentifier | None = None,
    shipping_address: ShippingAddress | None = None,
) -> Body:
    """A customer with its defaults; `instrument` is what its default payment instrument refers to."""
    path = path_of(token)
    body: Body = {
        "_links": {
            "self": {"href": path},
            "paymentInstruments": {"href": f"{path}/payment-instruments"},
            "shippingAddress": {"href": f"{path}/shipping-addresses"},  # as the specification spells it
            "shippingAddresses": {"href": f"{path}/shipping-addresses"},  # as the live service does
        },
        "id": token.id,
        **token.document,
    }
    embedded: Body = {}
    if payment_instrument is not None:
        body["defaultPaymentInstrument"] = {"id": payment_instrument.id}
        embedded["defaultPaymentInstrument"] = payment(payment_instrument, merchant_id, instrument)
    if shipping_address is not None:
        body["defaultShippingAddress"] = {"id": shipping_address.id}
        embedded["defaultShippingAddress"] = address(shipping_address, merchant_id)
    body["metadata"] = {"creator": merchant_id}
    if embedded:
        body["_embedded"] = embedded
    return body


def payment(
    token: PaymentInstrument, merchant_id: str, instrument: InstrumentIdentifier | None = None, *, words: bool = False
) -> Body:
    """A payment instrument; with `words` in the form of v1, where card types are words and nothing is a default."""
    links: Body = {"self": {"href": path_of(token)}}
    if token.customer is not None:
        links["customer"] = {"href": f"/tms/v2/customers/{token.customer}"}
    body: Body = {"_links": links, "id": token.id, "object": "paymentInstrument"}
    is_worded = words or token.customer is None
    if not is_worded:
        body["default"] = token.is_default
    body["state"] = token.state.value
    document = dict(token.document)
    card = document.get("card")
    if isinstance(card, Mapping) and is_worded and "type" in card:
        document["card"] = {**card, "type": CARD_WORDS[str(card["type"])]}
    body |= document
    body["instrumentIdentifier"] = {"id": token.instrument}
    body["metadata"] = {"creator": merchant_id}
    if instrument is not None:
        body["_embedded"] = {"instrumentIdentifier": identifier(instrument, merchant_id)}
    return body


def address(token: ShippingAddress, merchant_id: str) -> Body:
    return {
        "_links": {
            "self": {"href": path_of(token)},
            "customer": {"href": f"/tms/v2/customers/{token.customer}"},
        },
        "id": token.id,
        "default": token.is_default,
        **token.document,
        "metadata": {"creator": merchant_id},
    }


def identifier(token: InstrumentIdentifier, merchant_id: str, network: NetworkToken | None = None) -> Body:
    """An instrument identifier; with its network token, once its network has decided."""
    path = path_of(token)
    shown = network is not None and network.state is not State.PENDING
    return {
        "_links": {"self": {"href": path}, "paymentInstruments": {"href": f"{path}/paymentinstruments"}},
        "id": token.id,
        "object": "instrumentIdentifier",
        "state": token.state.value,
        **token.document,
        **({"tokenizedCard": told_of(network)} if network is not None and shown else {}),
        "metadata": {"creator": merchant_id},
    }


_TYPES: Final[Mapping[str, str]] = {"vts": "visa", "mdes": "mastercard", "aets": "americanexpress"}
"""Card types of network tokens, by their network's provider."""


def told_of(token: NetworkToken) -> Body:
    """What is said of a network token wherever it is shown. Its number is masked, and there is no cryptogram."""
    about = token.document
    body: Body = {"source": about.get("source", "ONFILE"), "state": token.state.value}
    for name in ("reason", "enrollmentId", "tokenReferenceId", "number"):
        if name in about:
            body[name] = about[name]
    if token.expiry:
        body["expirationMonth"], body["expirationYear"] = token.expiry[5:], token.expiry[:4]
    if "provider" in about:
        body["type"] = _TYPES[str(about["provider"])]
    for name in ("requestorId", "paymentAccountReference", "card"):
        if name in about:
            body[name] = about[name]
    return body


def in_use(token: InstrumentIdentifier) -> Body:
    """What the refusal to delete an instrument identifier says beside its error."""
    return {"_links": {"paymentInstruments": [{"href": f"{path_of(token)}/paymentinstruments"}]}}


# ---- responses


def response(token: Token, body: Body, status: int = 200) -> HttpResponse:
    """The answer about one token."""
    headers = {"content-type": CONTENT_TYPE, "etag": etag(token)}
    if status == 201:
        headers["location"] = path_of(token)
    return HttpResponse(status, _encode(body), headers)


def listed(path: str, member: str, page: Page, total: int, found: Sequence[Body]) -> HttpResponse:
    """A page of a list. `member` names its entries."""
    offset, limit = page.offset, page.limit
    last = (total - 1) // limit * limit if total else 0
    places = {"self": offset, "first": 0}
    if offset > 0:
        places["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        places["next"] = offset + limit
    places["last"] = last
    body: Body = {
        "_links": {name: {"href": f"{path}?offset={place}&limit={limit}"} for name, place in places.items()},
        "object": "collection",
        "offset": offset,
        "limit": limit,
        "count": len(found),
        "total": total,
    }
    if found:
        body["_embedded"] = {member: list(found)}
    return HttpResponse(200, _encode(body), {"content-type": CONTENT_TYPE, "x-total-count": str(total)})


def tokenized(resources: Sequence[Body]) -> HttpResponse:
    """What became of each resource of a `tokenize`."""
    return HttpResponse(200, _encode({"responses": list(resources)}), {"content-type": CONTENT_TYPE})
