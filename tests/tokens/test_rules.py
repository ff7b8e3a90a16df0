"""What may be done with tokens: defaults, deletion, and what one commit has to write."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.payment.card import luhn
from kessai.tokens import identifiers
from kessai.tokens.objects import (
    NOTHING,
    Customer,
    InstrumentIdentifier,
    PaymentInstrument,
    ShippingAddress,
)
from kessai.tokens.rules import (
    Changes,
    Referred,
    Refusal,
    add,
    change_owned,
    delete_customer,
    delete_instrument,
    delete_owned,
    refer,
    seen,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CUSTOMER = Customer(id="C" * 32, made=1, version=4, revision=7)
NUMBER = InstrumentIdentifier(id="7010000000016241111", made=2, fingerprint=b"f", sealed=b"s")
BANK = InstrumentIdentifier(id="A" * 32, made=3, fingerprint=b"g", sealed=b"t")


def instrument(name: str, *, is_default: bool = False, customer: str | None = CUSTOMER.id) -> PaymentInstrument:
    return PaymentInstrument(id=name, made=9, customer=customer, instrument=NUMBER.id, is_default=is_default)


def address(name: str, *, is_default: bool = False) -> ShippingAddress:
    return ShippingAddress(id=name, made=9, customer=CUSTOMER.id, is_default=is_default)


def test_the_first_one_becomes_the_default() -> None:
    new, changes = add(instrument("a"), CUSTOMER, None, NUMBER)
    assert new.is_default
    assert changes == Changes((new,), (seen(CUSTOMER), NUMBER))


def test_a_later_one_does_not_and_its_customer_looks_as_before() -> None:
    new, changes = add(address("b"), CUSTOMER, address("a", is_default=True))
    assert not new.is_default
    assert changes == Changes((new,), (CUSTOMER,))


def test_a_later_one_that_wants_to_takes_over() -> None:
    before = instrument("a", is_default=True)
    new, changes = add(instrument("b", is_default=True), CUSTOMER, before, NUMBER)
    assert changes == Changes((new,), (seen(CUSTOMER), seen(replace(before, is_default=False)), NUMBER))


def test_a_lone_one_is_no_default_and_relies_upon_its_number() -> None:
    lone = instrument("a", customer=None)
    assert add(lone, None, None, NUMBER) == (lone, Changes((lone,), (NUMBER,)))


def test_another_becomes_the_default_and_the_default_stays_it() -> None:
    first, second = instrument("a", is_default=True), instrument("b")
    after, changes = change_owned(second, CUSTOMER, first, becomes_default=True)
    assert after.is_default
    assert after.version == 2
    assert changes == Changes((), (seen(CUSTOMER), seen(replace(first, is_default=False)), after))
    assert change_owned(first, CUSTOMER, first, becomes_default=False) == (seen(first), Changes((), (seen(first),)))


def test_a_default_goes_only_as_the_last() -> None:
    first = instrument("a", is_default=True)
    assert delete_owned(first, CUSTOMER, None, NOW, is_only=False) is Refusal.IS_DEFAULT
    deleted = delete_owned(first, CUSTOMER, Referred(NUMBER, False), NOW, is_only=True)
    assert isinstance(deleted, Changes)
    assert [token.version for token in deleted.changed] == [5, 1, 1]
    assert [token.deleted_at for token in deleted.changed] == [None, NOW, NOW]


def test_a_number_goes_with_the_last_that_refers_to_it() -> None:
    lone = instrument("a", customer=None)
    kept = delete_owned(lone, None, Referred(NUMBER, True), NOW, is_only=True)
    gone = delete_owned(lone, None, Referred(NUMBER, False), NOW, is_only=True)
    assert isinstance(kept, Changes)
    assert isinstance(gone, Changes)
    assert kept.changed[1] == NUMBER
    assert gone.changed[1] == replace(NUMBER, deleted_at=NOW, fingerprint=None, sealed=None)


def test_a_number_in_use_is_not_deleted() -> None:
    assert delete_instrument(NUMBER, NOW, is_in_use=True) is Refusal.IN_USE
    deleted = delete_instrument(NUMBER, NOW, is_in_use=False)
    assert isinstance(deleted, Changes)
    assert deleted.changed[0].deleted_at == NOW


def test_a_customer_goes_with_all_that_it_owns() -> None:
    owned = (replace(instrument("a", is_default=True), document={"billTo": {}}, expiry="2031-12"), address("b"))
    deleted = delete_customer(CUSTOMER, owned, (Referred(NUMBER, True), Referred(BANK, False)), NOW).changed
    assert [token.deleted_at for token in deleted] == [NOW, NOW, NOW, None, NOW]
    assert all(token.document == NOTHING for token in deleted)


def test_a_card_does_not_become_a_bank_account() -> None:
    assert refer(instrument("a"), NUMBER, BANK) is Refusal.OTHER_KIND
    other = replace(NUMBER, id="7020000000000001111")
    assert refer(instrument("a"), NUMBER, other) == replace(instrument("a"), instrument=other.id)


def test_changes_of_one_commit_are_written_once_each() -> None:
    new = Customer(id="N" * 32, made=5)
    made = Changes((new,))
    _, with_address = add(ShippingAddress(id="s", made=6, customer=new.id), new, None)
    _, with_card = add(replace(instrument("p"), customer=new.id), new, None, NUMBER)
    both = made.also(with_address).also(with_card)
    assert [token.id for token in both.created] == [new.id, "s", "p"]
    assert [token.version for token in both.created] == [1, 1, 1]
    assert both.changed == (NUMBER,)
    one = Changes((), (seen(CUSTOMER),)).also(Changes((), (CUSTOMER,)))
    assert one.changed == (seen(CUSTOMER),)


@given(st.text("0123456789", min_size=4, max_size=4), st.integers(0, 2**128 - 1))
def test_the_id_of_a_card_looks_like_one(last_four: str, random: int) -> None:
    made = identifiers.of_card(last_four, random)
    assert len(made) == 19
    assert made[:3] in {"701", "702", "703"}
    assert made.endswith(last_four)
    assert luhn(made)


def test_other_ids_are_hexadecimal() -> None:
    assert identifiers.opaque(bytes(range(240, 256))) == "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF"


@pytest.mark.parametrize("known", ["7010000000016241111"])
def test_the_published_id_is_of_that_form(known: str) -> None:
    assert luhn(known)
    assert len(known) == 19
