"""Business names: what is converted, what is kept, what is noted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.payment.names import LONGEST, Note, alphanumeric, cells, fit, half_width, kanji, katakana

CONVERTED = [
    ("カブシキガイシャ", "ｶﾌﾞｼｷｶﾞｲｼｬ"),
    ("ヴォイス", "ｳﾞｫｲｽ"),
    ("パーティー", "ﾊﾟｰﾃｨｰ"),
    ("わが", "ﾜｶﾞ"),
    ("・", "･"),
    ("「」", "｢｣"),
    ("ヮヵヶヰヱ", "ﾜｶｹｲｴ"),
    ("ｶﾞ", "ｶﾞ"),
    ("ＡＢＣ\u3000１２３", "ABC 123"),
    ("スーパ－", "ｽｰﾊﾟｰ"),
    ("らーめん～", "ﾗｰﾒﾝｰ"),
    ("カ〜〜", "ｶｰｰ"),
    ("A－1", "A-1"),
    ("゛", "ﾞ"),
    ("㌔", "ｷﾛ"),
    ("ゔ", "ｳﾞ"),
    ("", ""),
]


@pytest.mark.parametrize(("sent", "converted"), CONVERTED)
def test_kana_become_half_width_katakana(sent: str, converted: str) -> None:
    assert half_width(sent) == converted


def test_kanji_in_a_katakana_name_are_kept_and_noted() -> None:
    converted = katakana("わが社の場合")
    assert converted.text == "ﾜｶﾞ社ﾉ場合"
    assert converted.notes == (Note.UNCONVERTIBLE,)
    assert cells(converted.text) == 10


def test_a_katakana_name_of_25_cells_is_whole() -> None:
    converted = katakana("ア" * 25)
    assert converted.text == "ｱ" * 25
    assert converted.notes == ()


def test_a_voiced_kana_is_never_cut_in_two() -> None:
    converted = katakana("ア" * 24 + "ガ")
    assert converted.text == "ｱ" * 24
    assert converted.notes == (Note.CUT,)


def test_a_kanji_of_two_cells_does_not_fit_into_one() -> None:
    assert katakana("ア" * 24 + "社").text == "ｱ" * 24


@given(st.text(alphabet="アガパわがｶﾞゔ社A ー゛～〜－ヷ㌔", max_size=60))
def test_a_katakana_name_fits_and_converts_only_once(sent: str) -> None:
    converted = katakana(sent).text
    assert cells(converted) <= LONGEST
    assert katakana(converted).text == converted
    converted.encode("cp932")


@given(st.text(max_size=60))
def test_no_text_is_refused(sent: str) -> None:
    for convert in (katakana, kanji, alphanumeric):
        assert isinstance(convert(sent).text, str)


KANJI = [
    ("株式会社青空", ()),
    ("", (Note.EMPTY,)),
    ("空" * 25, ()),
    ("空" * 26, (Note.TOO_LONG,)),
    ("髙﨑①㈱～－", ()),
    ("𠮷野家", (Note.UNENCODABLE,)),
]


@pytest.mark.parametrize(("sent", "notes"), KANJI)
def test_a_kanji_name_is_kept_as_sent(sent: str, notes: tuple[Note, ...]) -> None:
    assert kanji(sent).text == sent
    assert kanji(sent).notes == notes


ALPHANUMERIC = [
    ("AOZORA", "AOZORA", ()),
    ("ＡＯＺＯＲＡ", "AOZORA", ()),
    (" ", " ", (Note.EMPTY,)),
    ("A" * 26, "A" * 26, (Note.TOO_LONG,)),
    ("青空", "青空", (Note.NOT_ALPHANUMERIC,)),
]


@pytest.mark.parametrize(("sent", "converted", "notes"), ALPHANUMERIC)
def test_an_alphanumeric_name_becomes_ascii(sent: str, converted: str, notes: tuple[Note, ...]) -> None:
    assert alphanumeric(sent).text == converted
    assert alphanumeric(sent).notes == notes


def test_names_fit_when_all_three_are_there_and_short() -> None:
    assert fit("青空", "わが社の場合", "AOZORA")
    assert not fit(None, "アオゾラ", "AOZORA")
    assert not fit("青空", "ガ" * 13, "AOZORA")
    assert not fit("青空", "アオゾラ", "A" * 26)
