import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.dialects.cybersource.members import DROPPED, SECRET, UNSTATED_LENGTH, keep, rows
from kessai.dialects.document import Number, parse

ROWS = tuple(rows())
FATES = {row.path: row.fate for row in ROWS}
NAMES = sorted({step.removesuffix("[]") for row in ROWS for step in row.path.split(".")})


def document_with(path: str, value: object) -> dict[str, object]:
    """A document that holds one value at a path of the table; an array on the way gets one entry."""
    for step in reversed(path.split(".")):
        value = {step.removesuffix("[]"): [value] if step.endswith("[]") else value}
    return cast("dict[str, object]", value)


def scalars(value: object, path: str = "") -> dict[str, object]:
    """Every scalar of a document by its path as the table spells it; nulls left out."""
    found: dict[str, object] = {}
    if isinstance(value, dict):
        for name, member in value.items():
            found |= scalars(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for entry in value:
            found |= scalars(entry, path + "[]")
    elif value is not None:
        found[path] = value
    return found


def test_the_table_names_each_member_once() -> None:
    assert len(FATES) == len(ROWS) > 900


def test_every_secret_and_dropped_member_is_in_the_table_and_has_one_reason() -> None:
    assert FATES.keys() >= SECRET.keys() | DROPPED.keys()
    assert not SECRET.keys() & DROPPED.keys()
    assert all([*SECRET.values(), *DROPPED.values()])


def test_keeps_each_member_of_the_table_or_nothing_of_it_as_the_table_says() -> None:
    for row in ROWS:
        document = document_with(row.path, "1")
        kept, bad, overlong = keep(document)
        assert scalars(kept) == (scalars(document) if row.fate == "kept" else {}), row.path
        assert (bad, overlong) == ((), ()), row.path


WORDS_OF_SECRETS = (
    "password",
    "cryptogram",
    "trackdata",
    "encrypted",
    "fluiddata",
    "cavv",
    "securitycode",
    "jwt",
    "iban",
)
HARMLESS = {
    "consumerAuthenticationInformation.cavvAlgorithm",
    "paymentInformation.card.securityCodeIndicator",
    "paymentInformation.tokenizedCard.securityCodeIndicator",
    "riskInformation.buyerHistory.customerAccount.passwordHistory",
    "riskInformation.buyerHistory.customerAccount.passwordChangeDate",
}


@pytest.mark.parametrize("word", WORDS_OF_SECRETS)
def test_what_is_named_like_a_secret_is_one(word: str) -> None:
    named = {path for path in FATES if word in path.lower()} - HARMLESS
    assert named
    assert named <= SECRET.keys()


def test_keeps_a_whole_request_but_its_card_number() -> None:
    document = parse(
        """{"clientReferenceInformation":{"code":"jp-1","comments":null,"partner":{"solutionId":""}},
        "orderInformation":{"amountDetails":{"totalAmount":12000.00,"currency":"JPY","taxAmount":1200},
          "billTo":{"firstName":"花子","lastName":"神\ufa19","address1":"丸の内\u30002-4-1"},
          "lineItems":[{"unitPrice":10.50,"quantity":2,"hoge":1},{"unitPrice":"3"}]},
        "paymentInformation":{"card":{"number":"4111111111111111","securityCode":"123","expirationYear":2031}},
        "processingInformation":{"capture":true,"japanPaymentOptions":{"firstBusinessMonth":"04",
          "bonuses":[{"month":"7","amount":10000},null]}},
        "unknownInformation":{"a":1}}""".encode()
    )
    assert isinstance(document, dict)
    kept, bad, overlong = keep(document)
    assert kept == {
        "clientReferenceInformation": {"code": "jp-1"},
        "orderInformation": {
            "amountDetails": {"totalAmount": "12000.00", "currency": "JPY", "taxAmount": "1200"},
            "billTo": {"firstName": "花子", "lastName": "神\ufa19", "address1": "丸の内\u30002-4-1"},
            "lineItems": [{"unitPrice": "10.50", "quantity": "2"}, {"unitPrice": "3"}],
        },
        "paymentInformation": {"card": {"expirationYear": "2031"}},
        "processingInformation": {
            "capture": True,
            "japanPaymentOptions": {"bonuses": [{"month": "7", "amount": "10000"}, None]},
        },
    }
    assert (bad, overlong) == ((), ())


BAD = [
    (b'{"orderInformation":{"lineItems":[{"unitPrice":{}}]}}', "orderInformation.lineItems[0].unitPrice"),
    (b'{"orderInformation":{"lineItems":[null,{"unitPrice":["1"]}]}}', "orderInformation.lineItems[1].unitPrice"),
    (b'{"orderInformation":{"lineItems":[null,"x"]}}', "orderInformation.lineItems[1]"),
    (b'{"orderInformation":{"lineItems":[[]]}}', "orderInformation.lineItems[0]"),
    (b'{"orderInformation":{"lineItems":{"unitPrice":"1"}}}', "orderInformation.lineItems"),
    (b'{"orderInformation":"x"}', "orderInformation"),
    (b'{"orderInformation":[]}', "orderInformation"),
    (b'{"paymentInformation":{"card":4111}}', "paymentInformation.card"),
    (b'{"processingInformation":{"actionList":"TOKEN_CREATE"}}', "processingInformation.actionList"),
    (b'{"processingInformation":{"actionList":[{}]}}', "processingInformation.actionList[0]"),
    (rb'{"orderInformation":{"billTo":{"lastName":"\u202egnp"}}}', "orderInformation.billTo.lastName"),
    (rb'{"orderInformation":{"billTo":{"lastName":"\ue000"}}}', "orderInformation.billTo.lastName"),
    (rb'{"orderInformation":{"billTo":{"lastName":"a\u0085"}}}', "orderInformation.billTo.lastName"),
    (rb'{"merchantDefinedInformation":[{"key":"1","value":"\u0378"}]}', "merchantDefinedInformation[0].value"),
]


@pytest.mark.parametrize(("body", "path"), BAD)
def test_reports_a_bad_value_by_its_own_path_and_keeps_it_not(body: bytes, path: str) -> None:
    document = parse(body)
    assert isinstance(document, dict)
    kept, bad, overlong = keep(document)
    assert (bad, overlong) == ((path,), ())
    assert set(scalars(kept)) <= {"merchantDefinedInformation[].key"}


def test_reports_every_bad_value_in_the_order_sent() -> None:
    _, bad, overlong = keep({"orderInformation": {"billTo": {"lastName": {}, "country": "JAPAN", "firstName": []}}})
    assert bad == ("orderInformation.billTo.lastName", "orderInformation.billTo.firstName")
    assert overlong == ("orderInformation.billTo.country",)


def test_a_value_may_be_as_long_as_the_reference_says_and_no_longer() -> None:
    for row in ROWS:
        if row.fate == "kept" and row.length_chars is not None:
            fitting, overlong = ("金" * length for length in (row.length_chars, row.length_chars + 1))
            assert keep(document_with(row.path, fitting)) == (document_with(row.path, fitting), (), ())
            assert keep(document_with(row.path, overlong))[1:] == ((), (row.path.replace("[]", "[0]"),))


def test_a_value_of_no_stated_length_is_bounded_by_ours() -> None:
    path = "clientReferenceInformation.comments"
    assert keep(document_with(path, "x" * UNSTATED_LENGTH))[2] == ()
    assert keep(document_with(path, "x" * (UNSTATED_LENGTH + 1)))[2] == (path,)
    assert keep(document_with(path, 10**4_000))[2] == (path,)
    assert keep(document_with(path, "a" + "\u0301" * 10_000))[2] == (path,)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(True, True), (False, False), ("true", "true"), ("FALSE", "FALSE"), (1, "1"), (Number("1.0"), "1.0")],
)
def test_a_flag_is_kept_in_every_form_seen_on_the_wire(sent: object, kept: object) -> None:
    path = "processingInformation.authorizationOptions.partialAuthIndicator"
    assert keep(document_with(path, sent)) == (document_with(path, kept), (), ())


ALIASES = [
    "buyerInformation.companyTaxID",
    "orderInformation.lineItems[].productSKU",
    "processingInformation.bankTransferOptions.SECCode",
    "processingInformation.authorizationOptions.initiator.merchantInitiatedTransaction.previousTransactionID",
    "processingInformation.authorizationOptions.merchantInitiatedTransaction.reason",
    "consumerAuthenticationInformation.directoryServerTransactionID",
    "paymentInformation.card.cardType",
    "paymentInformation.tokenizedCard.cardType",
    "paymentInformation.customer.customerId",
]


@pytest.mark.parametrize("path", ALIASES)
def test_knows_the_other_spellings_that_reach_the_wire(path: str) -> None:
    assert FATES[path] == "kept"


@pytest.mark.parametrize("company", ["Aozora", {"name": "Aozora"}])
def test_a_company_may_be_a_name_or_an_object(company: object) -> None:
    document = document_with("orderInformation.billTo.company", company)
    assert keep(document) == (document, (), ())


@pytest.mark.parametrize("bonuses", ["2", [{"month": "7", "amount": "10000"}, None]])
def test_bonuses_may_be_a_count_or_a_list(bonuses: object) -> None:
    document = document_with("processingInformation.japanPaymentOptions.bonuses", bonuses)
    assert keep(document) == (document, (), ())


@pytest.mark.parametrize(
    "name", ["__proto__", "__class__", "constructor", "ORDERINFORMATION", "orderInformation.billTo", ""]
)
def test_unknown_members_are_ignored_whatever_they_hold(name: str) -> None:
    assert keep({name: {"a": ["\u202e", {}]}}) == ({}, (), ())


def test_what_says_nothing_is_not_kept() -> None:
    document = {"orderInformation": {"billTo": {"lastName": "", "firstName": None}, "lineItems": []}}
    assert keep(cast("dict[str, object]", document)) == ({}, (), ())


TEXTS = st.text(max_size=8) | st.sampled_from(["4111111111111111", "123", "山田"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | TEXTS | st.decimals(0, 9, places=2).map(lambda sum_: Number(str(sum_)))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=5),
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES) | TEXTS, VALUES, max_size=5)


@given(document=DOCUMENTS)
def test_keeps_no_unknown_or_secret_member_of_any_document(document: dict[str, object]) -> None:
    kept, _, _ = keep(document)
    assert {FATES[path] for path in scalars(kept)} <= {"kept"}


@given(places=st.dictionaries(st.sampled_from(sorted(FATES)), VALUES, max_size=8))
def test_keeps_no_secret_whatever_stands_at_known_paths(places: dict[str, object]) -> None:
    document: dict[str, object] = {}
    for path, value in places.items():
        merge(document, document_with(path, value))
    kept, _, _ = keep(document)
    assert {FATES[path] for path in scalars(kept)} <= {"kept"}
    assert keep(kept) == (kept, (), ())
    assert json.loads(json.dumps(kept)) == kept


def merge(into: dict[str, object], other: dict[str, object]) -> None:
    for name, value in other.items():
        there = into.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            merge(there, value)
        else:
            into[name] = value
