"""Ids of the PaymentOptions wire: UUIDs that lead back, and to nothing else; a growing `ref`."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from kessai import ids
from kessai.dialects.paymentoptions import identifiers

IDS = st.integers(0, (1 << 63) - 1)


@given(IDS)
def test_a_uuid_leads_back(identifier: int) -> None:
    shown = identifiers.show(identifier)
    assert str(uuid.UUID(shown)) == shown
    assert uuid.UUID(shown).version == 4
    assert uuid.UUID(shown).variant == uuid.RFC_4122
    assert identifiers.read(shown) == identifiers.read(shown.upper()) == identifier


@given(IDS)
def test_a_kind_is_no_other(identifier: int) -> None:
    assert identifiers.read(identifiers.show(identifier), identifiers.SUBSCRIPTION) is None
    shown = identifiers.show(identifier, identifiers.SUBSCRIPTION)
    assert identifiers.read(shown) is None
    assert identifiers.read(shown, identifiers.SUBSCRIPTION) == identifier


@given(st.uuids(version=4))
def test_a_uuid_that_nobody_was_given_is_none(text: uuid.UUID) -> None:
    assert identifiers.read(str(text)) is None


@given(IDS, st.integers(0, 35))
def test_one_letter_more_or_less_is_another_one(identifier: int, place: int) -> None:
    shown = identifiers.show(identifier)
    for text in (shown[:place] + shown[place + 1 :], shown[:place] + "0" + shown[place:], shown.replace("-", "")):
        assert identifiers.read(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    assert identifiers.read(text) is None
    assert identifiers.token_of(text) is None or len(text) == 36


def test_refs_grow_and_are_all_different() -> None:
    now = 1_795_000_000_000
    source = ids.Ids(3, now_ms=lambda: now)
    made = []
    for step in range(2_000):
        now += step % 3
        made.append(source.next())
    refs = [identifiers.ref_of(identifier) for identifier in made[::2]]
    assert len(set(refs)) == len(refs)
    assert identifiers.ref_of(ids.first_of(ids.made_at(made[0]))) < max(refs) < 2**53
    assert identifiers.ref_of(made[0]) < identifiers.ref_of(made[-1])


@given(st.binary(min_size=16, max_size=16))
def test_a_token_is_a_uuid_on_one_wire_and_digits_on_the_other(random: bytes) -> None:
    token = identifiers.new_token(random)
    shown = identifiers.of_token(token)
    assert (len(token), token.upper(), uuid.UUID(shown).version) == (32, token, 4)
    assert identifiers.token_of(shown) == token
