"""The flow of an authentication: its tables, what may happen when, and what comes out of it."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.authentication import flow, issuer
from kessai.authentication.flow import Authentication, Event, Marks
from kessai.authentication.issuer import CARDS, MOST_TRIES, RIGHT_CODE, SCENARIOS, Status
from kessai.authentication.networks import NETWORKS, said_by
from kessai.authentication.obligation import EXEMPTIONS, Order, exemption_of, is_missing
from kessai.authentication.urls import origin_of, web_url
from kessai.payment.card import Brand, Pan
from kessai.payment.lifecycle import FLAGS
from kessai.payment.merchant import Merchant, Terms
from kessai.payment.money import JPY, Money

MARKS: Final = Marks(server_id="s", directory_server_id="d", acs_id="a", value="v" * 28)


def begun(name: str = "challenge", brand: Brand | None = Brand.VISA) -> Authentication:
    return flow.begin(SCENARIOS[name], "2.2.0", Money(500, JPY), brand, "2503", MARKS, return_url="https://a.example/")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_begins_as_its_row_says(name: str) -> None:
    found = begun(name)
    assert found.status is SCENARIOS[name].status
    assert found.is_challenged == (SCENARIOS[name].ends is not None)
    assert flow.decode(flow.encode(found)) == found


ENDS: Final = {
    Event.RIGHT: Status.AUTHENTICATED,
    Event.WRONG: Status.CHALLENGE,
    Event.CANCELLED: Status.FAILED,
    Event.LAPSED: Status.FAILED,
}


@pytest.mark.parametrize("event", Event)
def test_what_an_event_makes_of_a_challenge(event: Event) -> None:
    found = flow.after(begun(), event)
    assert found.status is ENDS[event]
    assert flow.TRANSITIONS.keys() == set(Event)
    assert found.cancel == {Event.CANCELLED: "01", Event.LAPSED: "04"}.get(event, "")


@given(events=st.lists(st.sampled_from(list(Event)), max_size=8), name=st.sampled_from(list(SCENARIOS)))
def test_what_has_ended_stays_as_it_is(events: list[Event], name: str) -> None:
    found = begun(name)
    for event in events:
        after = flow.after(found, event)
        assert found.is_challenged or after == found
        found = after
    wrong = events.count(Event.WRONG)
    if SCENARIOS[name].ends is not None and set(events) <= {Event.WRONG}:
        assert found.is_challenged == (wrong < MOST_TRIES)


@given(events=st.lists(st.sampled_from(list(Event)), max_size=5), name=st.sampled_from(list(SCENARIOS)))
def test_only_what_is_proven_has_a_value_and_shifts_liability(events: list[Event], name: str) -> None:
    found = begun(name)
    for event in events:
        found = flow.after(found, event)
    proof = flow.proof_of(found)
    assert bool(proof.value) == found.is_proven == proof.shifts_liability
    assert ("authenticated" in flow.flags_of(found)) == found.is_proven
    assert flow.flags_of(found) <= FLAGS.keys()
    assert "v" * 28 not in repr(proof)


@pytest.mark.parametrize(
    ("typed", "event"),
    [
        (RIGHT_CODE, Event.RIGHT),
        (" 12 34\n", Event.RIGHT),
        ("１２３４", Event.RIGHT),
        ("12345", Event.WRONG),
        ("", Event.WRONG),
    ],
)
def test_a_code_is_read_as_a_person_types_it(typed: str, event: Event) -> None:
    assert flow.event_of(typed) is event


def test_every_test_card_is_a_card_number_of_one_scenario() -> None:
    numbers = [number for versions in CARDS.values() for text in versions.values() for number in text.split()]
    assert len(numbers) == len(set(numbers)) > 50
    assert [number for number in numbers if not Pan(number).is_valid] == []
    assert CARDS.keys() == SCENARIOS.keys()


def test_the_name_of_a_scenario_goes_before_the_card() -> None:
    card = Pan("4000000000002370")
    assert issuer.scenario_of(card)[0].name == "challenge-failed"
    assert issuer.scenario_of(card, "attempt")[0].name == "attempt"
    assert issuer.scenario_of(card, wants_challenge=True)[0].name == "challenge-failed"
    assert issuer.scenario_of(Pan("4111111111111111"), wants_challenge=True)[0].name == "challenge"


@pytest.mark.parametrize("brand", [*Brand, None])
def test_every_brand_has_indicators(brand: Brand | None) -> None:
    ecis = {status: said_by(brand, status).eci for status in Status}
    assert ecis[Status.AUTHENTICATED] == ("02" if brand is Brand.MASTERCARD else "05")
    assert ecis[Status.ATTEMPTED] == ("01" if brand is Brand.MASTERCARD else "06")
    unproven = {ecis[status] for status in Status if status not in (Status.AUTHENTICATED, Status.ATTEMPTED)}
    assert unproven == ({"00"} if brand is Brand.MASTERCARD else {"07"})
    assert brand not in NETWORKS or said_by(brand, Status.AUTHENTICATED).indicator != "internet"


@pytest.mark.parametrize(("member", "name"), [(member, exemption.name) for member, exemption in EXEMPTIONS])
def test_each_exemption_exempts_by_itself(member: str, name: str) -> None:
    bound = Merchant(id="m", personality="smcc", terms=Terms(three_d_secure="obligatory"))
    order = Order(**{member: True})
    found = exemption_of(order)
    assert found is not None
    assert found.name == name
    assert not is_missing(bound, order)
    assert is_missing(bound, Order())
    assert not is_missing(bound, Order(is_authenticated=True))
    assert not is_missing(Merchant(id="m", personality="smcc"), Order())


GOOD: Final = [
    ("https://shop.example", "https://shop.example"),
    ("https://Shop.Example:443/a?b=c#d", "https://shop.example"),
    ("http://localhost:8080/", "http://localhost:8080"),
    ("http://[::1]:80/x", "http://[::1]"),
    ("https://xn--pckhtyr3f0cp5h.example/%E6%94%AF", "https://xn--pckhtyr3f0cp5h.example"),
]
BAD: Final = [
    *("", "shop.example", "//shop.example", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"),
    *("https://", "https:///x", "https://a b/", "https://a/\n", "https://u@a/", "https://u:p@a/", "https://a\\@b/"),
    *("https://a/<b>", 'https://a/"', "https://a;b/", "https://a:0/", "https://a:65536/", "https://支払.example/"),
    *("https://a/" + "x" * 2_048, "https://-a/", "https://a-/", "\thttps://a/"),
]


@pytest.mark.parametrize(("url", "origin"), GOOD)
def test_the_address_of_a_page_is_taken(url: str, origin: str) -> None:
    assert web_url(url) == url
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", BAD)
def test_nothing_else_is_an_address(url: str) -> None:
    """A-70, A-76, A-79, A-82."""
    with pytest.raises(ValueError, match="address"):
        web_url(url)
    assert origin_of(url) == ""


@given(text=st.text(max_size=60))
def test_no_origin_breaks_out_of_a_header(text: str) -> None:
    for url in (text, "https://" + text):
        assert not set(origin_of(url)) & set(" ;,'\"\r\n\t")
