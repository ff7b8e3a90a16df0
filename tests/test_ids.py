"""Ids: ordered, unique, printable, whatever the clock does."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kessai import ids
from kessai.ids import Ids, Parts


def test_the_printed_form_carries_the_time_as_published_ids_do() -> None:
    identifier = ids.join(Parts(1_675_012_411_478, 4786, 1))
    assert ids.show(identifier) == "6750124114786478603001"
    assert ids.made_at(identifier) == datetime(2023, 1, 29, 17, 13, 31, 478000, UTC)


@given(st.integers(10**12, 2 * 10**12 - 1), st.integers(0, 9_999), st.integers(0, 255))
def test_printing_is_a_bijection(at_ms: int, counter: int, node: int) -> None:
    identifier = ids.join(Parts(at_ms, counter, node))
    assert identifier < 2**63
    assert ids.split(identifier) == Parts(at_ms, counter, node)
    assert len(ids.show(identifier)) == 22
    assert ids.read(ids.show(identifier)) == identifier


@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=300))
def test_ids_grow_even_when_the_clock_jumps(jumps: list[int]) -> None:
    """R-13, F26."""
    now = 1_800_000_000_000
    clock = iter([now := now + jump for jump in jumps])
    source = Ids(1, now_ms=lambda: next(clock))
    made = [source.next() for _ in jumps]
    assert made == sorted(set(made))


def test_a_burst_within_one_millisecond_stays_ordered_and_printable() -> None:
    source = Ids(1, now_ms=lambda: 1_800_000_000_000)
    made = [source.next() for _ in range(30_000)]
    assert made == sorted(set(made))
    assert all(ids.read(ids.show(identifier)) == identifier for identifier in made[::997])


def test_a_restart_goes_on_behind_the_greatest_id_that_was_stored() -> None:
    stored = Ids(1, now_ms=lambda: 1_900_000_000_000).next()
    assert Ids(1, stored, now_ms=lambda: 1_800_000_000_000).next() > stored


def test_what_is_no_id_is_told() -> None:
    for text in ("", "12345", "7951735482076000103001x", "７951735482076000103001", "7951735482075000103001", "9" * 22):
        assert ids.read(text) is None


def test_the_first_id_of_an_instant_bounds_the_later_ones() -> None:
    at = datetime(2026, 3, 10, tzinfo=UTC)
    source = Ids(1, now_ms=lambda: int(at.timestamp() * 1000))
    assert ids.first_of(at) <= source.next() < ids.first_of(at + timedelta(seconds=1))
