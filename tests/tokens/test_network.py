"""Network tokens: what the provider gives, which states follow which, and when one pays."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.payment.card import Brand, Pan, luhn
from kessai.tokens import network, provider
from kessai.tokens.network import Option, enrol, pays, turned
from kessai.tokens.objects import InstrumentIdentifier, NetworkToken, State
from kessai.tokens.provider import PROVIDERS, REFUSED, Given, Reason, provide
from kessai.tokens.rules import Changes, Refusal, delete_instrument, gone, seen

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CARD = Pan("4622943123000015")
NUMBER = InstrumentIdentifier(
    id="7010000000016240015", made=2, fingerprint=b"f", sealed=b"s", document={"card": {"number": CARD.masked()}}
)
PENDING = NetworkToken(id="N" * 32, made=3, state=State.PENDING, instrument=NUMBER.id, document={"source": "ONFILE"})
RANDOM = bytes(range(48))


def told(card: Pan = CARD) -> Given:
    found = provide(card, "2026-03", RANDOM)
    assert isinstance(found, Given)
    return found


ACTIVE = network.concluded(PENDING, told(), b"sealed", NUMBER, CARD)


@pytest.mark.parametrize(("prefix", "reason"), REFUSED.items())
def test_the_table_refuses(prefix: str, reason: Reason) -> None:
    assert provide(Pan(prefix + "000000"), "2026-03", RANDOM) is reason


@given(brand=st.sampled_from(sorted(PROVIDERS, key=str)), random=st.binary(min_size=48, max_size=48))
def test_a_number_is_of_its_networks_range_and_valid(brand: Brand, random: bytes) -> None:
    card = {Brand.VISA: "4622943123000015", Brand.MASTERCARD: "5555555555554444", Brand.AMEX: "378282246310005"}[brand]
    given_now = provide(Pan(card), "2026-11", random)
    assert isinstance(given_now, Given)
    digits = given_now.number.digits
    assert luhn(digits)
    assert digits.startswith(PROVIDERS[brand].range)
    assert given_now.number.brand is brand
    assert given_now.number.is_valid
    assert given_now.expiry == "2029-11"


def test_a_brand_without_a_provider_is_not_eligible() -> None:
    assert provide(Pan("3530111333300000"), "2026-03", RANDOM) is Reason.CARD_NOT_ELIGIBLE


def test_an_account_reference_is_the_cards_own() -> None:
    one, other = provider.account_reference(b"a"), provider.account_reference(b"b")
    assert one == provider.account_reference(b"a") != other
    assert len(one) == len(other) == 29
    assert one.isalnum()
    assert one.isupper()


def test_what_was_given_is_kept_without_the_number() -> None:
    assert (ACTIVE.state, ACTIVE.expiry, ACTIVE.sealed) == (State.ACTIVE, "2029-03", b"sealed")
    assert ACTIVE.document["number"] == told().number.masked()
    assert told().number.digits not in repr(ACTIVE)
    assert ACTIVE.document["card"] == {"suffix": "0015"}
    assert ACTIVE.version == PENDING.version + 1
    known = replace(PENDING, document={"paymentAccountReference": "known"})
    kept = network.concluded(known, told(), b"sealed", NUMBER, CARD)
    assert kept.document["paymentAccountReference"] == "known"


def test_what_was_not_given_says_why() -> None:
    never = network.concluded(PENDING, Reason.DECLINED, None, NUMBER, CARD)
    assert (never.state, never.document["reason"], never.sealed) == (State.UNPROVISIONED, "DECLINED", None)


STATES = {
    State.PENDING: PENDING,
    State.ACTIVE: ACTIVE,
    State.SUSPENDED: turned(ACTIVE, State.SUSPENDED, {}),
    State.DELETED: turned(ACTIVE, State.DELETED, {}),
    State.UNPROVISIONED: network.concluded(PENDING, Reason.DECLINED, None, NUMBER, CARD),
}


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.product(STATES, (State.ACTIVE, State.SUSPENDED, State.DELETED))),
)
def test_states_follow_each_other_as_the_diagram_says(before: State, after: State) -> None:
    token = STATES[before]
    assert isinstance(token, NetworkToken)
    result = turned(token, after, {"suffix": "4321"})
    if before not in (State.ACTIVE, State.SUSPENDED):
        assert result is Refusal.IS_FINAL
        return
    assert isinstance(result, NetworkToken)
    assert result.state is after
    assert result.document["card"] == {"suffix": "4321"}
    assert (result.sealed is None) is (after is State.DELETED)


@pytest.mark.parametrize(("state", "option"), list(itertools.product(STATES, (None, *Option))))
def test_an_active_one_pays_unless_it_is_to_be_ignored(state: State, option: Option | None) -> None:
    token = STATES[state]
    assert isinstance(token, NetworkToken)
    assert pays(token, option, "2026-03") is (state is State.ACTIVE and option is not Option.IGNORE)


def test_an_expired_one_does_not_pay_nor_does_none() -> None:
    assert pays(ACTIVE, None, "2029-03")
    assert not pays(ACTIVE, None, "2029-04")
    assert not pays(None, Option.PREFER, "2026-03")


def test_an_enrolment_relies_on_the_card_and_ends_what_was_before() -> None:
    enrolled = replace(NUMBER, document={**NUMBER.document, "type": "enrollable card"})
    assert enrol(NUMBER, None, PENDING, NOW, is_new=True) == Changes((enrolled, PENDING))
    assert enrol(NUMBER, None, PENDING, NOW, is_new=False) == Changes((PENDING,), (seen(enrolled),))
    deleted = STATES[State.DELETED]
    assert isinstance(deleted, NetworkToken)
    again = enrol(NUMBER, deleted, PENDING, NOW, is_new=False)
    assert again == Changes((PENDING,), (seen(enrolled), gone(deleted, NOW)))
    assert enrol(replace(NUMBER, state=State.CLOSED), None, PENDING, NOW, is_new=False) is Refusal.IS_CLOSED


def test_a_network_token_goes_with_its_card_and_leaves_no_number() -> None:
    deleted = delete_instrument(NUMBER, NOW, is_in_use=False, network=ACTIVE)
    assert deleted == Changes((), (gone(NUMBER, NOW), gone(ACTIVE, NOW)))
    last = gone(ACTIVE, NOW)
    assert (last.sealed, last.expiry, dict(last.document)) == (None, "", {})
