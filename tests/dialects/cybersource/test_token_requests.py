"""Token documents: merge patches, what is kept, where lists begin; routes and their paths."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.dialects.cybersource import token_requests as read
from kessai.dialects.cybersource.token_answers import etag, is_matched
from kessai.dialects.cybersource.token_faults import FAULTS, Fault
from kessai.dialects.cybersource.token_members import CARD_CODES, CARD_WORDS, MEMBERS
from kessai.dialects.cybersource.token_routes import ROUTES, Kind, Match, match
from kessai.payment.card import AccountNumber, Pan
from kessai.tokens.objects import Customer


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_standard_shows(target: object, patch: object, result: object) -> None:
    """RFC 7396, appendix A."""
    assert read.merge(target, patch) == result


_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(_values, _values)
def test_a_patch_may_be_applied_again(target: object, patch: object) -> None:
    once = read.merge(target, patch)
    assert read.merge(once, patch) == once


def test_no_number_stays_in_a_document() -> None:
    card = {"number": "4111111111111111", "securityCode": "123", "expirationMonth": 1, "expirationYear": 2031}
    document = {"card": card, "instrumentIdentifier": {"card": card}, "billTo": {"address1": "4111111111111111"}}
    sent = read.payment_instrument(document, is_test=True)
    assert isinstance(sent, read.PaymentInstrument)
    assert sent.document == {
        "card": {"expirationMonth": "01", "expirationYear": "2031"},
        "billTo": {"address1": "XXXXXXXXXXXX1111"},
    }
    assert sent.expiry == "2031-01"
    assert isinstance(sent.refers_to, read.Identifier)
    assert sent.refers_to.number == Pan("4111111111111111")
    assert sent.refers_to.document == {"card": {"number": "411111XXXXXX1111"}}


def test_a_number_of_either_kind_is_read() -> None:
    account = read.identifier({"bankAccount": {"number": 4100, "routingNumber": "071923284"}}, is_test=False)
    assert isinstance(account, read.Identifier)
    assert (account.number, account.routing_number) == (AccountNumber("4100"), "071923284")
    published = {"card": {"number": "6222040000030012"}}
    assert isinstance(read.identifier(published, is_test=True), read.Identifier)
    assert isinstance(read.identifier(published, is_test=False), Fault)


@pytest.mark.parametrize("length", range(1, 25))
def test_a_card_number_has_twelve_to_nineteen_digits(length: int) -> None:
    numbers = [f"{'4' * (length - 1)}{check}" for check in range(10)]
    read_ones = [read.identifier({"card": {"number": number}}, is_test=False) for number in numbers]
    taken = [each for each in read_ones if isinstance(each, read.Identifier)]
    assert len(taken) == (1 if 12 <= length <= 19 else 0), "one of ten check digits is right"


def test_words_and_codes_of_card_types_are_one_to_one() -> None:
    assert len(CARD_CODES) == len(CARD_WORDS)


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", read.Page(0, 20)),
        ("offset=5", read.Page(5, 20)),
        ("limit=100&offset=1", read.Page(1, 100)),
        ("other=1&limit=1", read.Page(0, 1)),
    ],
)
def test_a_list_begins_where_it_is_told_to(query: str, page: read.Page) -> None:
    assert read.page(query) == page


@pytest.mark.parametrize("query", ["limit=", "limit=101", "limit=0", "limit=-1", "limit=1e1", "offset=", "offset=a"])
def test_a_list_does_not_begin_nowhere(query: str) -> None:
    assert isinstance(read.page(query), Fault)


def test_every_route_is_found_with_and_without_a_slash_at_its_end() -> None:
    for row in ROUTES:
        path = row.path.format(customer="C", id="I", provider="P", asset="A")
        for each in (path, path + "/"):
            found = match(row.method, each)
            assert isinstance(found, Match)
            assert found.row is row
            assert found.customer == ("C" if "{customer}" in row.path else None)
            assert found.id == ("I" if "{id}" in row.path else "")
            assert (found.provider, found.asset) == (("P", "A") if "{asset}" in row.path else ("", ""))
        assert match("PUT", path) == frozenset(other.method for other in ROUTES if other.path == row.path)
    assert {row.kind for row in ROUTES} == set(Kind)


@pytest.mark.parametrize(
    "path", ["/tms", "/tms/v2", "/tms/v2/customers//", "/tms/v3/customers", "/tms/v2/customers/a/b"]
)
def test_other_paths_are_unknown(path: str) -> None:
    assert match("GET", path) == frozenset()


def test_an_etag_is_matched_in_any_of_its_forms() -> None:
    token = Customer(id="C", made=1, version=3)
    assert etag(token) == '"3"'
    assert all(is_matched(header, token) for header in (None, "*", "3", '"3"', 'W/"3"', '"1", "3"'))
    assert not any(is_matched(header, token) for header in ("", '"2"', "33", '"1", "2"'))


def test_every_fault_stands_in_the_table_once() -> None:
    assert len(set(FAULTS.values())) == len(FAULTS)


_NAMES = sorted({step.removesuffix("[]") for rows in MEMBERS.values() for row in rows for step in row.path.split(".")})
_NAMES += ["default", "id", "instrumentIdentifier", "defaultPaymentInstrument", "tokenInformation", "customer", "jti"]
_NAMES += ["processingInformation", "actionTokenTypes", "paymentInstrument", "shippingAddress", "tokenizedCard"]
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(["4111111111111111", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _anything, max_size=8))
def test_whatever_is_sent_is_read_or_refused(document: dict[str, object]) -> None:
    """No document is a crash, nothing that is kept has a number or is not text, and what is kept is kept again."""
    kept = {"card": {"number": "411111XXXXXX1111"}}
    for found in (
        read.customer(document),
        read.shipping_address(document),
        read.payment_instrument(document, is_test=True),
        read.payment_instrument(document, is_test=False, is_new=False),
        read.identifier(document, is_test=True),
        read.tokenize(document),
        read.patched_identifier(kept, document),
        read.customer(read.patched({"objectInformation": {"title": "t"}}, document)),
    ):
        if isinstance(found, read.Tokenize | Fault):
            continue
        stored = found if isinstance(found, dict) else found.document
        assert b"4111111111111111" not in msgspec.json.encode(stored)
        if isinstance(found, read.Customer):
            assert read.customer(stored) == read.Customer(stored)
        if isinstance(found, read.PaymentInstrument):
            again = read.payment_instrument(stored, is_test=True, is_new=False)
            assert isinstance(again, read.PaymentInstrument)
            assert (again.document, again.expiry) == (stored, found.expiry)
