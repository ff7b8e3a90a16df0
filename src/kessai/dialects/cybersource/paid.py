"""What pays: the card of a request, sent as a number or read from a track. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from kessai.dialects.cybersource import fields
from kessai.dialects.cybersource.findings import Findings, Problems
from kessai.dialects.cybersource.reasons import INVALID_CARD_TYPE, INVALID_DATA, NOT_SUPPORTED
from kessai.dialects.table import NOWHERE, find
from kessai.payment.card import Card, Expiry, Pan, SecurityCode
from kessai.payment.merchant import Merchant

_TOKENS: Final = (
    "customer.id",
    "customer.customerId",
    "paymentInstrument.id",
    "instrumentIdentifier.id",
    "legacyToken.id",
)
_NOT_OFFERED: Final = ("fluidData.value",)
"""Ways to pay that nothing behind this gateway offers yet."""


def card_of(
    document: dict[str, object],
    values: Mapping[str, object],
    findings: Findings,
    merchant: Merchant,
    *,
    needs_expiry: bool,
) -> Card | Problems | None:
    """The card of a request; Problems where it pays by something else that is not to be had."""
    known = findings.paths
    pan, month, year = values.get("pan"), values.get("month"), values.get("year")
    where = "paymentInformation.card"
    if pan is None and f"{where}.number" not in known:
        track = _from_track(find(document, ("pointOfSaleInformation", "trackData")))
        if track is not None:
            pan, month, year = track
        else:
            other = _paid_otherwise(document)
            if other is not None:
                return other
            findings.missing(f"{where}.number")
    if needs_expiry and not merchant.terms.relaxed_expiry:
        for name, value in (("expirationMonth", month), ("expirationYear", year)):
            if value is None and f"{where}.{name}" not in known:
                findings.missing(f"{where}.{name}")
    if not isinstance(pan, Pan):
        return None
    brand = pan.brand
    sent_type = values.get("type")
    if isinstance(sent_type, str):
        named = fields.CARD_TYPES[sent_type]
        if brand is None:
            brand = named
        elif named not in (None, brand) and named not in fields.CO_BADGED and pan.is_valid:
            return Problems(INVALID_CARD_TYPE)
    expiry = Expiry(year, month) if isinstance(month, int) and isinstance(year, int) else None
    code = values.get("security_code")
    return Card(pan=pan, expiry=expiry, security_code=code if isinstance(code, SecurityCode) else None, brand=brand)


def _paid_otherwise(document: dict[str, object]) -> Problems | None:
    for path in _TOKENS:
        if find(document, ("paymentInformation", *path.split("."))) not in (None, NOWHERE):
            return Problems(INVALID_DATA)  # no such token is known
    if find(document, ("tokenInformation", "transientTokenJwt")) or find(document, ("tokenInformation", "jti")):
        return Problems(INVALID_DATA)
    for path in _NOT_OFFERED:
        if find(document, ("paymentInformation", *path.split("."))) not in (None, NOWHERE):
            return Problems(NOT_SUPPORTED)
    return None


_TRACK: Final = re.compile(r"(?:;|%B)([0-9]{12,19})(?:=|\^[^^]{0,26}\^)([0-9]{2})(0[1-9]|1[0-2])", re.ASCII)


def _from_track(value: object) -> tuple[Pan, int, int] | None:
    """PAN, month and year of track 2 or 1, sentinels included; the rest of the track is looked at by nobody."""
    found = _TRACK.search(value) if isinstance(value, str) and len(value) <= 300 else None
    return (Pan(found[1]), int(found[3]), 2000 + int(found[2])) if found else None
