"""Searches: `POST /tss/v2/searches` and `GET /tss/v2/searches/{searchId}`. Pure.

A request becomes a `Wish`, which is kept and read again; a wish becomes a neutral search when it is run, so `NOW` is
always now. A summary is a short form of the transaction details, with their oddities.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from kessai import ids
from kessai.dialects.cybersource import query
from kessai.dialects.cybersource.answers import processor, wire_time
from kessai.dialects.cybersource.details import (
    PROCESSOR_NAMES,
    application,
    bank_of,
    laid_over,
    payment_type,
    reason_of,
    reconciliation_of,
)
from kessai.dialects.cybersource.details import reference_shown as reference
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.query import QueryError
from kessai.dialects.cybersource.reasons import SYSTEM_ERROR
from kessai.dialects.cybersource.searchable import FIELDS, SORTABLE, Terms, criterion_of, sealed
from kessai.dialects.document import has_bad_characters, mask_pans, text_of
from kessai.dialects.table import find
from kessai.payment.bank import FLAG
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.search import Order, Search

PATH: Final = "/tss/v2/searches"
ROUTES: Final = (
    ("POST", PATH, "search", 201),
    ("GET", f"{PATH}/{{searchId}}", "a search again, over what is there now", 200),
)
"""Method, path, what is asked for, HTTP status of a success."""
MOST_SHOWN: Final = 2_500
"""The largest `limit`."""
USUAL_LIMIT: Final = 20
MOST_OFFSET: Final = 1_000_000
MOST_SORT_KEYS: Final = 5
LONGEST_NAME: Final = 255
USUAL_ZONE: Final = "GMT"

Body = dict[str, object]
_encode: Final = msgspec.json.Encoder().encode


class Wish(Struct, frozen=True, kw_only=True):
    """A search as it was asked for, fit to be stored."""

    query: str
    is_saved: bool = False
    name: str | None = None
    timezone: str | None = None
    offset: int = 0
    limit: int = USUAL_LIMIT
    sort: str | None = None


class Wrong(Struct, frozen=True):
    """Why a search is refused: (path, whether it is missing) of each member, and a sentence."""

    fields: tuple[tuple[str, bool], ...]
    explanation: str


def read(document: Mapping[str, object], fingerprint: Callable[[str], str]) -> Wish | Wrong:
    """The wish of a request, checked by member; whether its query finds something is seen when it is run."""
    wrong: list[tuple[str, bool]] = []
    told: list[str] = []

    def refuse(path: str, why: str, *, is_missing: bool = False) -> None:
        wrong.append((path, is_missing))
        told.append(f"{path}: {why}")

    text = text_of(document.get("query")) or ""
    if not text.strip():
        refuse("query", "is missing", is_missing=True)
    else:
        try:
            text = sealed(text, checked(query.parse(text)), fingerprint)
        except QueryError as error:
            refuse("query", str(error))
    name = _short(document, "name", refuse)
    zone = _short(document, "timezone", refuse)
    if zone is not None and zone_of(zone) is None:
        refuse("timezone", "is no name of the IANA database, such as Asia/Tokyo")
    sort = _short(document, "sort", refuse)
    if sort is not None and order_of(sort) is None:
        refuse("sort", f"is a list such as submitTimeUtc:desc,id:asc of at most {MOST_SORT_KEYS} sortable fields")
    offset = _number(document, "offset", 0, MOST_OFFSET, 0, refuse)
    limit = _number(document, "limit", 1, MOST_SHOWN, USUAL_LIMIT, refuse)
    is_saved = (text_of(document.get("save")) or "false").lower()
    if is_saved not in ("true", "false"):
        refuse("save", "is true or false")
    if wrong:
        return Wrong(tuple(wrong), "; ".join(told))
    return Wish(
        query=text,
        is_saved=is_saved == "true",
        name=name,
        timezone=zone,
        offset=offset,
        limit=limit,
        sort=sort,
    )


def checked(node: query.Node) -> query.Node:
    """A query all of whose fields are known. QueryError."""
    if isinstance(node, query.Clause):
        if node.field not in FIELDS:
            raise QueryError(node.at + 1, f"{node.field} cannot be searched", node.field)
    else:
        for part in node.parts:
            checked(part)
    return node


def _short(document: Mapping[str, object], name: str, refuse: Callable[[str, str], None]) -> str | None:
    raw = document.get(name)
    if raw is None or raw == "":
        return None
    text = text_of(raw)
    if text is None or len(text) > LONGEST_NAME or has_bad_characters(text):
        refuse(name, "is not a short text")
        return None
    return str(mask_pans(text))


def _number(
    document: Mapping[str, object], name: str, least: int, most: int, usual: int, refuse: Callable[[str, str], None]
) -> int:
    raw = document.get(name)
    if raw is None or raw == "":
        return usual
    text = text_of(raw) or ""
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) is None or not least <= int(text) <= most:
        refuse(name, f"is a number from {least} to {most}")
        return usual
    return int(text)


@lru_cache(maxsize=128)
def zone_of(name: str) -> ZoneInfo | None:
    """A time zone of the IANA database; None for a name that is none."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", name, re.ASCII) is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def order_of(sort: str) -> tuple[Order, ...] | None:
    """The keys of a sort; None for one that is malformed."""
    keys = [key.strip() for key in sort.split(",")]
    if len(keys) > MOST_SORT_KEYS:
        return None
    found: list[Order] = []
    for key in keys:
        path, _, direction = key.partition(":")
        if path.strip() not in SORTABLE or direction.strip().lower() not in ("", "asc", "desc"):
            return None
        facet = FIELDS[path.strip()].facet
        if all(order.facet != facet for order in found):
            found.append(Order(facet, direction.strip().lower() == "desc"))
    return tuple(found)


def search_of(wish: Wish, merchant_id: str, now: datetime, fingerprint: Callable[[str], str]) -> Search | Wrong:
    """What to find, at a time."""
    zone = zone_of(wish.timezone or USUAL_ZONE)
    assert zone is not None, "a zone that was known is not known any more"
    terms = Terms(merchant_id=merchant_id, now=now, zone=zone, fingerprint=fingerprint)
    try:
        criterion = criterion_of(query.parse(wish.query), terms)
    except QueryError as error:
        return Wrong((("query", False),), f"query: {error}")
    order = order_of(wish.sort) if wish.sort else ()
    return Search(criterion=criterion, order=order or (), offset=wish.offset, limit=wish.limit)


# ---- answers


class Summary(Struct, frozen=True):
    """A transaction that was found. `payment` knows its card and this transaction only."""

    payment: Payment
    transaction: Transaction
    root_particulars: bytes


def answer(
    wish: Wish,
    search_id: str,
    asked_at: datetime,
    summaries: Sequence[bytes],
    total: int,
    base_url: str,
) -> bytes:
    """The body of a search. `base_url` is scheme and host as the client called them."""
    body: Body = {"searchId": search_id, "save": wish.is_saved}
    if wish.name is not None:
        body["name"] = wish.name
    if wish.timezone is not None:
        body["timezone"] = wish.timezone
    body |= {"query": wish.query, "offset": wish.offset, "limit": wish.limit}
    if wish.sort is not None:
        body["sort"] = wish.sort
    body |= {"count": len(summaries), "totalCount": total, "submitTimeUtc": wire_time(asked_at)}
    if summaries:
        body["_embedded"] = {"transactionSummaries": list(map(msgspec.Raw, summaries))}
    body["_links"] = {"self": {"href": f"{base_url}{PATH}/{search_id}", "method": "GET"}}
    return _encode(body)


def refusal(wrong: Wrong, at: datetime) -> bytes:
    """The body of a 400; its message names the place."""
    return _encode(
        {
            "submitTimeUtc": wire_time(at),
            "status": "INVALID_REQUEST",
            "message": f"Field validation errors: {wrong.explanation}"[:1_000],
            "details": [
                {"field": path, "reason": "MISSING_FIELD" if is_missing else "INVALID_DATA"}
                for path, is_missing in wrong.fields
            ],
        }
    )


def too_broad(at: datetime) -> bytes:
    """The body of the 502 for a search that would take too long."""
    message = f"{SYSTEM_ERROR.message} The search takes too long; narrow it, for example by submitTimeUtc."
    return _encode({"submitTimeUtc": wire_time(at), "status": SYSTEM_ERROR.status, "message": message})


_COPIED: Final[tuple[tuple[str, ...], ...]] = (
    ("buyerInformation", "merchantCustomerId"),
    ("consumerAuthenticationInformation", "transactionId"),
    ("consumerAuthenticationInformation", "eciRaw"),
    ("deviceInformation", "ipAddress"),
    ("merchantInformation", "resellerId"),
    *(
        ("orderInformation", "billTo", name)
        for name in ("firstName", "lastName", "address1", "email", "country", "phoneNumber")
    ),
    *(("orderInformation", "shipTo", name) for name in ("firstName", "lastName", "address1", "country", "phoneNumber")),
    ("paymentInformation", "customer", "customerId"),
    ("processingInformation", "paymentSolution"),
    ("processingInformation", "businessApplicationId"),
    ("pointOfSaleInformation", "terminalId"),
    ("pointOfSaleInformation", "terminalSerialNumber"),
    ("pointOfSaleInformation", "deviceId"),
)
"""Members of the request that a summary shows again."""
_EMPTY: Final = (
    "buyerInformation",
    "consumerAuthenticationInformation",
    "deviceInformation",
    "fraudMarkingInformation",
    "merchantInformation",
    "pointOfSaleInformation",
    "riskInformation",
)
"""Objects that are shown even when they are empty."""


def summary(found: Summary, personality: str, base_url: str) -> bytes:
    """One transaction of an answer, as JSON."""
    transaction, payment = found.transaction, found.payment
    kept = laid_over(found.root_particulars, transaction.particulars)
    identifier = ids.show(transaction.id)
    body: Body = {
        "id": identifier,
        "submitTimeUtc": wire_time(transaction.requested_at),
        "merchantId": payment.merchant_id,
        "applicationInformation": application(transaction, reconciliation_of(transaction)),
    }
    body |= {name: {} for name in _EMPTY}
    for path in _COPIED:
        value = find(kept, path)
        if isinstance(value, str | bool):
            _put(body, path, value)
    shown = reference(transaction, kept)
    named = {name: shown[name] for name in ("code", "applicationName", "applicationUser") if name in shown}
    solution = find(kept, ("clientReferenceInformation", "partner", "solutionId"))
    body["clientReferenceInformation"] = named | (
        {"partner": {"solutionId": solution}} if isinstance(solution, str) else {}
    )
    body["errorInformation"] = reason_of(transaction)
    if "merchantDefinedInformation" in kept:
        body["merchantDefinedInformation"] = kept["merchantDefinedInformation"]
    amounts = {"totalAmount": str(transaction.requested), "currency": transaction.requested.currency.code}
    _put(body, ("orderInformation", "amountDetails"), amounts)
    if FLAG in transaction.flags:
        paying = kept.get("paymentInformation")
        _put(body, ("paymentInformation", "bank"), bank_of(payment, paying if isinstance(paying, dict) else {}))
    else:
        card = {"suffix": payment.pan_suffix, "prefix": payment.pan_prefix}
        code = TYPE_OF_BRAND.get(payment.brand) if payment.brand else None
        _put(body, ("paymentInformation", "card"), card | ({"type": code} if code else {}))
    kind = payment_type(payment, personality)
    _put(body, ("paymentInformation", "paymentType"), {name: kind[name] for name in ("type", "method")})
    indicator = find(kept, ("processingInformation", "commerceIndicator"))
    _put(body, ("processingInformation", "commerceIndicator"), indicator if isinstance(indicator, str) else "internet")
    said = processor(transaction, None)
    body["processorInformation"] = {"processor": {"name": PROCESSOR_NAMES.get(personality, personality)}} | {
        name: said[name] for name in ("approvalCode", "retrievalReferenceNumber") if name in said
    }
    href = f"{base_url}/tss/v2/transactions/{identifier}"
    return _encode(body | {"_links": {"transactionDetail": {"href": href, "method": "GET"}}})


def _put(body: Body, path: Sequence[str], value: object) -> None:
    place = body
    for step in path[:-1]:
        inner = place.setdefault(step, {})
        assert isinstance(inner, dict)
        place = inner
    place[path[-1]] = value
