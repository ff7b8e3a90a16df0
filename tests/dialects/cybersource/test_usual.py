"""Usual requests are read at once, others are walked: where both read one, they read the same."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.dialects.cybersource import requests
from kessai.dialects.cybersource.members import rows
from kessai.dialects.cybersource.requests import Request
from kessai.dialects.cybersource.usual import Usual
from kessai.dialects.document import Malformed, parse
from kessai.payment.merchant import Merchant

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SHOP = Merchant(id="shop", personality="smcc", terms=PERSONALITIES["smcc"].terms)
PATHS = sorted(row.path for row in rows())


def usual() -> dict[str, Any]:
    """A request as it usually is."""
    return {
        "clientReferenceInformation": {"code": "order-1", "partner": {"solutionId": "ABC"}},
        "processingInformation": {
            "capture": True,
            "japanPaymentOptions": {"paymentMethod": "61", "installments": "12", "businessName": "青空商店"},
        },
        "paymentInformation": {
            "card": {
                "number": "4111111111111111",
                "expirationMonth": "12",
                "expirationYear": "2031",
                "securityCode": "123",
                "type": "001",
            }
        },
        "orderInformation": {
            "amountDetails": {"totalAmount": "12345.00", "currency": "jpy"},
            "billTo": {
                "firstName": "花子",
                "lastName": "山田　太郎",
                "address1": "1-1 Chiyoda",
                "locality": "Chiyoda-ku",
                "country": "JP",
                "postalCode": "100-0001",
                "email": "hanako@example.com",
            },
            "lineItems": [{"productName": "Pen", "unitPrice": "100", "quantity": "2"}],
        },
    }


def put(document: dict[str, Any], path: str, value: object) -> None:
    """Put a value at a path; an array on the way has one entry. Whatever stands in the way is replaced."""
    *way, last = path.split(".")
    place = document
    for step in way:
        name = step.removesuffix("[]")
        found = place.get(name)
        if name != step:
            inner = found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
            place[name] = [inner]
            place = inner
        else:
            if not isinstance(found, dict):
                place[name] = found = {}
            place = found
    name = last.removesuffix("[]")
    place[name] = [value] if name != last else value


def read(body: bytes) -> tuple[Request | None, object]:
    """What each of the two makes of a body."""
    document = parse(body)
    walked = document if isinstance(document, Malformed) else requests.authorization(document, SHOP, NOW)
    usual = requests.usual_authorization(body, SHOP, NOW)
    return None if isinstance(usual, Usual) else usual, walked


def meaning(request: object) -> object:
    """A request, but for the order of what is kept of it."""
    assert isinstance(request, Request)
    kept = json.loads(request.command.particulars or b"{}")
    return replace(request.command, particulars=b""), request.echo, request.has_pan, kept


def test_what_is_usual_is_read_at_once() -> None:
    at_once, walked = read(json.dumps(usual(), ensure_ascii=False).encode())
    assert at_once is not None
    assert meaning(at_once) == meaning(walked)
    assert b"4111" not in at_once.command.particulars
    assert b'123"' not in at_once.command.particulars


SPACES = st.sampled_from([(",", ":"), (", ", ": ")])
ODD = ("", " ", "0", "1", "100.50", "true", "4111111111111111", "x4111111111111111", "jpy", "2031", "13", "{}")
STRANGE = (None, "\u3000", "\x7f", "\u202e", "😀", 'a"b', "back\\slash", "ﾔﾏﾀﾞ")
VALUES = st.one_of(
    st.sampled_from((*ODD, *STRANGE)),
    st.text(max_size=70),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.sampled_from(["", "a", None, {}]), max_size=2),
    st.dictionaries(st.sampled_from(["number", "x"]), st.text(max_size=5), max_size=2),
)


@settings(max_examples=300)
@given(
    changes=st.lists(st.tuples(st.sampled_from([*PATHS, "unknown", "orderInformation.unknown"]), VALUES), max_size=4),
    spaces=SPACES,
    ascii_only=st.booleans(),
)
def test_both_ways_of_reading_agree(
    changes: list[tuple[str, object]], spaces: tuple[str, str], ascii_only: bool
) -> None:
    document = usual()
    for path, value in changes:
        put(document, path, value)
    try:
        body = json.dumps(document, ensure_ascii=ascii_only, separators=spaces).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    at_once, walked = read(body)
    if at_once is not None:
        assert meaning(at_once) == meaning(walked)


@pytest.mark.parametrize(
    "path",
    [
        "paymentInformation.customer.id",
        "paymentInformation.tokenizedCard.number",
        "tokenInformation.transientTokenJwt",
        "processingInformation.japanPaymentOptions.bonuses[].month",
    ],
)
def test_what_has_to_be_looked_at_is_walked(path: str) -> None:
    document = usual()
    put(document, path, "1")
    at_once, _ = read(json.dumps(document, ensure_ascii=False).encode())
    assert at_once is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"unknown":"\xff"}', b'{"a":"\\u0000"}'])
def test_what_is_no_document_is_left_to_the_walk(body: bytes) -> None:
    assert requests.usual_authorization(body, SHOP, NOW) is None
