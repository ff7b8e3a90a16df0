import json
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.dialects.document import (
    MAX_DEPTH,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    Malformed,
    Number,
    has_bad_characters,
    mask_pans,
    parse,
    text_of,
)

LARGEST_BODY = 65_536


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def with_members(count: int) -> bytes:
    return json.dumps({f"m{number}": number for number in range(count)}).encode()


REFUSED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"  \n", id="blank"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="array at top"),
    pytest.param(b'[{"a":1}]', id="object in an array at top"),
    pytest.param(b'"a"', id="text at top"),
    pytest.param(b"12", id="number at top"),
    pytest.param(b"1.5", id="decimal at top"),
    pytest.param(b'{"a":NaN}', id="NaN"),
    pytest.param(b'{"a":Infinity}', id="Infinity"),
    pytest.param(b'{"a":-Infinity}', id="minus Infinity"),
    pytest.param(b'{"a":1e400}', id="exponent beyond any double"),
    pytest.param(b'{"a":1E-1000000}', id="exponent that would cost seconds"),
    pytest.param(b'{"a":' + b"9" * 5_000 + b"}", id="5 000 digits"),
    pytest.param(b'{"a":0.' + b"1" * 5_000 + b"}", id="5 000 decimals"),
    pytest.param(b'{"a":01}', id="leading zero"),
    pytest.param(b'{"a":+1}', id="plus sign"),
    pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
    pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
    pytest.param('{"a":1}'.encode("utf-16-be"), id="UTF-16 without a mark"),
    pytest.param('{"a":1}'.encode("utf-32"), id="UTF-32"),
    pytest.param('{"a":"金"}'.encode("shift_jis"), id="Shift JIS"),
    pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
    pytest.param(b'{"\xff":1}', id="invalid UTF-8 in a name"),
    pytest.param(b'{"a":"\xc0\x80"}', id="overlong UTF-8"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
    pytest.param(rb'{"a":"\ud800"}', id="lone high surrogate"),
    pytest.param(rb'{"a":"\udc00"}', id="lone low surrogate"),
    pytest.param(rb'{"a":"\ud83d\ud83d"}', id="two high surrogates"),
    pytest.param(rb'{"\ud83d":1}', id="lone surrogate in a name"),
    pytest.param(b'{"a":"\x00"}', id="NUL raw"),
    pytest.param(rb'{"a":"\u0000"}', id="NUL escaped"),
    pytest.param(rb'{"a\u0000":1}', id="NUL in a name"),
    pytest.param(rb'{"a":"x\u001fy"}', id="last control"),
    pytest.param(rb'{"a":"x\u001Fy"}', id="last control in upper case"),
    pytest.param(b'{"a":"x\ny"}', id="line feed raw"),
    pytest.param(rb'{"a":"x\ny"}', id="line feed escaped"),
    pytest.param(rb'{"a":"x\ty"}', id="tab escaped"),
    pytest.param(rb'{"a":"\\\n"}', id="line feed behind an escaped backslash"),
    pytest.param(rb'{"a":"\"\u0007"}', id="control behind an escaped quote"),
    pytest.param(b'{"a":1} x', id="trailing text"),
    pytest.param(b'{"a":1}{"a":2}', id="second document"),
    pytest.param(b'{"a":1,}', id="trailing comma"),
    pytest.param(b'{"a":1} // no', id="comment"),
    pytest.param(b"{'a':1}", id="single quotes"),
    pytest.param(b'{"a":1', id="cut off"),
    pytest.param(nested(MAX_DEPTH + 1), id="depth 33"),
    pytest.param(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", id="depth 33 by arrays"),
    pytest.param(b'{"t":"\\\\","a":' + nested(MAX_DEPTH) + b"}", id="depth 33 behind an escaped backslash"),
    pytest.param(b'{"t":"\\"","a":' + nested(MAX_DEPTH) + b"}", id="depth 33 behind an escaped quote"),
    pytest.param(b"[" * 50_000 + b"]" * 15_000, id="50 000 brackets"),
    pytest.param(with_members(MAX_MEMBERS + 1), id="1 001 members"),
    pytest.param(b'{"a":[' + b"0," * MAX_MEMBERS + b"0," * 5 + b"0]}", id="long array"),
    pytest.param(b"{" + b'"a":1,' * 10_000 + b'"a":1}', id="10 000 duplicate members"),
    pytest.param(b'{"a":"' + b"x" * 61_440 + b'"}', id="text of 60 KiB"),
]


@pytest.mark.parametrize("body", REFUSED)
def test_refuses_what_is_not_one_modest_json_object(body: bytes) -> None:
    assert isinstance(parse(body), Malformed)


def spent_s(body: bytes, expected: type) -> float:
    """The best of five readings of a body, in seconds of our own thread."""

    def once_s() -> float:
        began_s = time.thread_time()
        assert isinstance(parse(body), expected)
        return time.thread_time() - began_s

    return min(once_s() for _ in range(5))


WORST = [
    b"[" * LARGEST_BODY,
    b'{"a":' * (LARGEST_BODY // 5),
    b'"' * LARGEST_BODY,
    b"\\" * LARGEST_BODY,
    b'\\"' * (LARGEST_BODY // 2),
    b'"' + b'\\"' * (LARGEST_BODY // 2),
    b'"\\' * (LARGEST_BODY // 2),
    b" " * LARGEST_BODY,
    b'{"a":' + b"9" * LARGEST_BODY,
    b'{"a":-1.' + b"1" * LARGEST_BODY,
    b'{"a":' + b"-" * LARGEST_BODY,
    b'{"a":"' + b"\xe7" * LARGEST_BODY,
    b'{"a":"' + rb"\u0041" * (LARGEST_BODY // 6) + rb'\u0000"}',
    b"{" + b'"a":1,' * (LARGEST_BODY // 6),
    b'{"a":' + b"[]" * (LARGEST_BODY // 2),
]


@pytest.mark.parametrize("body", WORST, ids=range(len(WORST)))
def test_refuses_the_largest_body_of_its_worst_letter_within_5_ms(body: bytes) -> None:
    assert spent_s(body, Malformed) <= 0.005


ACCEPTED: list[tuple[bytes, dict[str, object]]] = [
    (b"{}", {}),
    (b' {"a" : 1} \r\n', {"a": 1}),
    (b'{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
    (b'{"a":{"b":1},"a":{"c":2}}', {"a": {"c": 2}}),
    (b'{"a":100.00,"b":0.10,"c":1e5,"d":-0.0}', {"a": "100.00", "b": "0.10", "c": "1e5", "d": "-0.0"}),
    (b'{"a":9007199254740993,"b":123456789012345678901234567890}', {"a": 2**53 + 1, "b": int("1234567890" * 3)}),
    (b'{"a":true,"b":false,"c":null,"d":[null,"",{}]}', {"a": True, "b": False, "c": None, "d": [None, "", {}]}),
    (rb'{"a":"\\n\\u0000\/\"\\"}', {"a": '\\n\\u0000/"\\'}),
    (rb'{"a":"\u5c71\u7530 \ud83c\udf38"}', {"a": "山田 🌸"}),
    ('{"a":"神\ufa19 アオゾラ ｱｵｿﾞﾗ\u3000株式会社"}'.encode(), {"a": "神\ufa19 アオゾラ ｱｵｿﾞﾗ\u3000株式会社"}),
    (b'{"__proto__":1,"__class__":2,"constructor":{}}', {"__proto__": 1, "__class__": 2, "constructor": {}}),
    (b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 40}),
    (b'{"a":"' + b"," * 3_000 + b":" * 3_000 + b'"}', {"a": "," * 3_000 + ":" * 3_000}),
    (b'{"a":"' + b"x" * MAX_TEXT_BYTES + b'"}', {"a": "x" * MAX_TEXT_BYTES}),
]


@pytest.mark.parametrize(("body", "document"), ACCEPTED)
def test_reads(body: bytes, document: dict[str, object]) -> None:
    assert parse(body) == document


def test_reads_up_to_the_limits_of_depth_and_members() -> None:
    deepest, most = parse(nested(MAX_DEPTH)), parse(with_members(MAX_MEMBERS))
    assert isinstance(deepest, dict)
    assert isinstance(most, dict)
    assert len(most) == MAX_MEMBERS


def test_tells_a_number_from_a_text_and_a_whole_number_from_both() -> None:
    document = parse(b'{"decimal":100.00,"text":"100.00","whole":100}')
    assert isinstance(document, dict)
    assert [type(value) for value in document.values()] == [Number, str, int]


def test_the_reason_of_a_refusal_shows_nothing_of_the_body() -> None:
    refused = parse(b'{"number":"4111111111111111" x}')
    assert isinstance(refused, Malformed)
    assert "4111" not in refused.reason


def test_member_names_alike_in_all_but_a_letter_cost_no_more_than_others() -> None:
    names = ["a" * place + "b" + "a" * (50 - place) for place in range(51)]
    body = json.dumps({name: dict.fromkeys(names[:18], 1) for name in names}).encode()
    assert spent_s(body, dict) <= 0.005


TEXTS = st.text(st.characters(codec="utf-8", min_codepoint=0x20), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=6)


@given(document=DOCUMENTS, is_ascii=st.booleans())
def test_a_document_within_the_limits_comes_out_as_it_went_in(document: dict[str, object], is_ascii: bool) -> None:
    assert parse(json.dumps(document, ensure_ascii=is_ascii).encode()) == document


@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0ea1.- ', max_size=200).map(str.encode))
def test_whatever_is_read_another_reader_reads_the_same_and_the_rest_is_refused(body: bytes) -> None:
    document = parse(body)
    if isinstance(document, dict):
        assert json.loads(body, parse_float=str) == document
    else:
        assert isinstance(document, Malformed)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", ""),
        (12, "12"),
        (-1, "-1"),
        (Number("100.00"), "100.00"),
        (True, "true"),
        (False, "false"),
        (None, None),
        ({}, None),
        ([], None),
        (["a"], None),
    ],
)
def test_text_form(value: object, text: str | None) -> None:
    assert text_of(value) == text
    assert type(text_of(value)) in {str, type(None)}


FINE = [
    "",
    "O'Brien-Smith, 3rd <b>",
    "山田　太郎",
    "神\ufa19",
    "株式会社青空",
    "アオゾラ ｱｵｿﾞﾗ ー・",
    "か\u3099",  # a combining mark
    "葛\U000e0100飾",  # an ideographic variation
    "𠮷野家",  # plane 2
    "\U000323b0",  # an ideograph younger than some of our interpreters
    "Müller\u00a0& Söhne",
    "👨\u200d👩\u200d👧",
    "می\u200cخواهم",
    "a" + "\u0301" * 10_000,  # its length is another rule's business
]
BAD = [
    "a\x00",
    "a\tb",
    "a\nb",
    "\x1b[31m",
    "a\x7f",
    "a\x85b",
    "山田\x9b",
    "\u202egnp.exe",
    "\u202a",
    "abc\u2066def\u2069",
    "山田\u202c",
    "\ue000",  # private use
    "\U000f0000",
    "\U00100000",
    "\u0378",  # unassigned
    "\ufffe",  # a noncharacter
    "\U0002ffff",
    "a\u2028b",
    "a\u2029b",
    "\ud800",
]


@pytest.mark.parametrize("text", FINE)
def test_finds_no_fault_with_a_text_people_write(text: str) -> None:
    assert not has_bad_characters(text)


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_finds_characters_that_make_another_text_of_it(text: str) -> None:
    assert has_bad_characters(text)
    assert has_bad_characters(f"東京\u3000都{text} x")


def test_every_kanji_and_kana_is_fine() -> None:
    blocks = [
        (0x3040, 0x30FF),
        (0x31F0, 0x31FF),
        (0x3400, 0x9FFF),
        (0xF900, 0xFAFF),
        (0xFF01, 0xFF9F),
        (0x20000, 0x3134F),
    ]
    letters = "".join(chr(point) for first, last in blocks for point in range(first, last + 1))
    assert not has_bad_characters("".join(letter for letter in letters if unicodedata.category(letter) != "Cn"))


def test_a_long_text_of_odd_characters_is_judged_within_5_ms() -> None:
    text = "\u200d\u3000" * 10_000
    began_s = time.thread_time()
    assert not has_bad_characters(text)
    assert time.thread_time() - began_s <= 0.005


def test_masks_every_value_that_is_a_pan_and_nothing_else() -> None:
    sent = {
        "name": "4111111111111111",
        "number": 4111111111111111,
        "lines": [{"note": "378282246310005"}, "3530111333300000", None],
        "code": "4111111111111112",  # its check digit is wrong
        "text": "card 4111111111111111",
        "amount": Number("100.00"),
        "is_final": True,
    }
    assert mask_pans(sent) == {
        "name": "XXXXXXXXXXXX1111",
        "number": "XXXXXXXXXXXX1111",
        "lines": [{"note": "XXXXXXXXXXX0005"}, "XXXXXXXXXXXX0000", None],
        "code": "4111111111111112",
        "text": "card 4111111111111111",
        "amount": "100.00",
        "is_final": True,
    }


def test_masking_changes_no_copy_but_its_own() -> None:
    sent: dict[str, object] = {"a": ["4111111111111111"]}
    mask_pans(sent)
    assert sent == {"a": ["4111111111111111"]}


def test_what_is_masked_can_be_written_by_any_json_writer() -> None:
    masked = mask_pans({"a": Number("1.50")})
    assert isinstance(masked, dict)
    assert type(masked["a"]) is str
