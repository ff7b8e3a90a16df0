"""The account updater: what becomes of a card whose issuer tells something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.payment.card import Pan, luhn
from kessai.tokens.objects import InstrumentIdentifier, NetworkToken, PaymentInstrument, State, Token
from kessai.tokens.rules import Changes
from kessai.tokens.updates import NOTICES, Notice, Number, another, notice_of, update

CARD = Pan("4622943125000013")
NUMBER = InstrumentIdentifier(
    id="7010000000016240013", made=2, fingerprint=b"f", sealed=b"s", document={"card": {"number": CARD.masked()}}
)
NETWORK = NetworkToken(
    id="N" * 32,
    made=3,
    instrument=NUMBER.id,
    expiry="2029-03",
    sealed=b"n",
    document={"number": "489537XXXXXX1111", "card": {"suffix": "0013"}},
)
NEW = Number("462294XXXXXX9999", "9999", b"g", b"t")


def instrument(name: str, expiry: str) -> PaymentInstrument:
    year, _, month = expiry.partition("-")
    card = {"expirationMonth": month, "expirationYear": year, "type": "001"}
    return PaymentInstrument(id=name, made=4, instrument=NUMBER.id, expiry=expiry, document={"card": card})


DUE, LATER, BARE = instrument("a", "2026-03"), instrument("b", "2026-04"), replace(instrument("c", ""), document={})


def after(notice: Notice, number: Number | None = None) -> dict[str, Token]:
    changes = update(NUMBER, (DUE, LATER, BARE), NETWORK, "2026-03", notice, number)
    assert changes.created == ()
    return {token.id: token for token in changes.changed}


@pytest.mark.parametrize(("prefix", "notice"), NOTICES.items())
def test_the_table_tells(prefix: str, notice: Notice) -> None:
    assert notice_of(Pan(prefix + "000000")) is notice


def test_of_other_cards_nothing_is_heard() -> None:
    assert notice_of(Pan("4111111111111111")) is None


@given(random=st.integers(0, 2**128))
def test_a_new_number_is_of_the_same_issuer_valid_and_another_one(random: int) -> None:
    found = another(CARD, random)
    assert found != CARD
    assert luhn(found.digits)
    assert found.digits[:10] == CARD.digits[:10]
    assert len(found.digits) == 16


def test_a_new_number_is_never_the_old_one() -> None:
    assert another(CARD, int(CARD.digits[10:15])) != CARD


def test_a_renewed_card_has_another_expiry_where_it_is_due() -> None:
    changed = after(Notice.RENEWED)
    due = changed["a"]
    assert isinstance(due, PaymentInstrument)
    assert due.expiry == "2030-03"
    assert due.document["card"] == {"expirationMonth": "03", "expirationYear": "2030", "type": "001"}
    assert due.version == DUE.version + 1
    assert changed[NUMBER.id] == NUMBER
    assert not changed.keys() & {"b", "c"}
    assert changed[NETWORK.id].document["card"]["expirationYear"] == "2030"


def test_a_card_that_nobody_asked_about_for_years_is_good_now() -> None:
    changes = update(NUMBER, (instrument("a", "2019-03"),), None, "2026-03", Notice.RENEWED)
    [renewed] = [token for token in changes.changed if isinstance(token, PaymentInstrument)]
    assert renewed.expiry == "2027-03"


def test_a_replaced_card_keeps_its_token_over_another_number() -> None:
    changed = after(Notice.REPLACED, NEW)
    number, network = changed[NUMBER.id], changed[NETWORK.id]
    assert isinstance(number, InstrumentIdentifier)
    assert isinstance(network, NetworkToken)
    assert (number.fingerprint, number.sealed, number.state) == (b"g", b"t", State.ACTIVE)
    assert number.document["card"] == {"number": NEW.masked}
    assert (network.state, network.sealed, network.expiry) == (State.ACTIVE, b"n", "2029-03")
    assert network.document["card"] == {"suffix": "9999", "expirationMonth": "03", "expirationYear": "2030"}


def test_a_closed_account_closes_everything_over_it() -> None:
    changed = after(Notice.CLOSED)
    assert {name: token.state for name, token in changed.items()} == {
        NUMBER.id: State.CLOSED,
        "a": State.CLOSED,
        "b": State.CLOSED,
        "c": State.CLOSED,
        NETWORK.id: State.DELETED,
    }


def test_where_the_cardholder_is_to_be_asked_nothing_changes() -> None:
    assert update(NUMBER, (DUE,), NETWORK, "2026-03", Notice.CONTACT) == Changes()
