"""Limits: buckets give what they hold and no more, addresses are counted as they should, nobody shuts another out."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai import limits
from kessai.dialects import HttpRequest
from kessai.limits import Buckets, Limits, refused
from kessai.metrics import Metrics
from kessai.payment.merchant import Merchant, Mode, Terms

SHOP = Merchant(id="shop", personality="vpc", terms=Terms(rate_limit="on", requests_per_s=10, requests_burst=20))
TEST = Merchant(id="test", personality="vpc")


def made(*proxies: str) -> Limits:
    return Limits(Metrics(), failures_per_s=10, failures_burst=5, proxies=proxies)


def sent(peer: str = "192.0.2.1", **headers: str) -> HttpRequest:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpRequest("GET", "/", pairs, peer=peer)


@given(st.lists(st.floats(0, 3), max_size=80), st.integers(1, 20), st.integers(1, 10))
def test_a_bucket_gives_its_burst_and_its_rate_and_no_more(waits: list[float], burst: int, per_s: int) -> None:
    """R-59: in any time from the beginning; and whoever waits as long as it is told is let in."""
    buckets, now, given_ = Buckets(), 0.0, 0
    for wait in waits:
        now += wait
        told, _ = buckets.take("key", now, per_s, burst)
        given_ += told == 0
        assert given_ <= burst + per_s * now + 1e-6
        if told:
            assert told <= 1 / per_s + 1e-9
            assert buckets.wait_s("key", now, per_s) == pytest.approx(told)
            now += told + 1e-9
            assert buckets.take("key", now, per_s, burst)[0] == 0
            given_ += 1


def test_an_emptied_bucket_is_told_once_until_half_of_it_is_back() -> None:
    buckets = Buckets()
    told = [buckets.take("key", 0.0, 1, 4)[1] for _ in range(10)]
    assert told == [False] * 4 + [True] + [False] * 5
    assert [buckets.take("key", 1.5, 1, 4) for _ in range(2)][1][1] is False, "a drop came back and is gone again"
    assert [buckets.take("key", 60.0, 1, 4)[1] for _ in range(5)] == [False] * 4 + [True]


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-12: the oldest goes."""
    monkeypatch.setattr(limits, "MOST_KEPT", 3)
    buckets = Buckets()
    for key in "abcd":
        buckets.take(key, 0.0, 1, 1)
    assert list(buckets._kept) == ["b", "c", "d"]
    limit = made()
    for number in range(5):
        assert limit.verified(sent(f"192.0.2.{number}"), TEST, "key", 0.0) == 0
    assert len(limit._known) == 3


def test_a_key_has_a_limit_where_its_merchant_has_one() -> None:
    """R-59: off in test mode unless it is wanted, on for live merchants unless it is not."""
    limit = made()
    assert [limit.verified(sent(), SHOP, "one", 0.0) > 0 for _ in range(25)] == [False] * 20 + [True] * 5
    assert limit.verified(sent(), SHOP, "another", 0.0) == 0
    assert limit.verified(sent(), SHOP, "one", 0.1) == 0
    assert not any(limit.verified(sent(), TEST, "one", 0.0) for _ in range(500))
    live = Merchant(id="live", personality="vpc", mode=Mode.LIVE)
    assert [limit.verified(sent(), live, "one", 0.0) > 0 for _ in range(201)] == [False] * 200 + [True]
    off = Merchant(id="off", personality="vpc", mode=Mode.LIVE, terms=Terms(rate_limit="off"))
    assert not any(limit.verified(sent(), off, "one", 0.0) for _ in range(500))
    assert limit._metrics.limited == {"requests": 6}


def test_an_address_that_failed_too_often_is_refused_and_its_neighbours_are_not() -> None:
    """A-19: even a right guess is no way in, while a key that was right here before goes on."""
    limit = made()
    assert limit.verified(sent(), TEST, "known", 0.0) == 0
    assert [limit.failed(sent(), 0.0) > 0 for _ in range(8)] == [False] * 5 + [True] * 3
    assert limit.verified(sent(), TEST, "known", 0.0) == 0
    assert limit.verified(sent(), TEST, "guessed", 0.0) == pytest.approx(0.1)
    assert limit.verified(sent(), SHOP, "known", 0.0) > 0, "another merchant's key of the same name"
    assert limit.verified(sent("192.0.2.2"), TEST, "guessed", 0.0) == 0
    assert limit.failed(sent("192.0.2.2"), 0.0) == 0
    assert limit.verified(sent(), TEST, "guessed", 0.2) == 0
    assert limit._metrics.limited == {"failures": 5}


FORWARDED: list[tuple[str, Mapping[str, str], str]] = [
    ("192.0.2.1", {}, "192.0.2.1"),
    ("192.0.2.1", {"x_forwarded_for": "198.51.100.1"}, "192.0.2.1"),
    ("10.0.0.1", {}, "10.0.0.1"),
    ("10.0.0.1", {"x_forwarded_for": "198.51.100.1"}, "198.51.100.1"),
    ("10.0.0.1", {"x_forwarded_for": "203.0.113.9, 198.51.100.1"}, "198.51.100.1"),
    ("10.0.0.1", {"x_forwarded_for": "203.0.113.9, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"),
    ("10.0.0.1", {"x_forwarded_for": "203.0.113.9, nonsense, 10.0.0.2"}, "10.0.0.2"),
    ("10.0.0.1", {"x_forwarded_for": ""}, "10.0.0.1"),
    ("10.0.0.1", {"x_forwarded_for": "2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"),
    ("::ffff:10.0.0.1", {"x_forwarded_for": "::ffff:198.51.100.1"}, "198.51.100.1"),
    ("2001:db8::1", {}, "2001:db8::/64"),
    ("fe80::1%eth0", {}, "fe80::/64"),
    ("", {}, ""),
]


@pytest.mark.parametrize(("peer", "headers", "counted"), FORWARDED)
def test_only_a_listed_proxy_says_who_is_behind_it(peer: str, headers: Mapping[str, str], counted: str) -> None:
    """R-54: and of what it says, what a stranger could have written before it does not count."""
    assert made("10.0.0.0/8").address_of(sent(peer, **headers)) == counted


def test_clients_behind_a_proxy_are_counted_apart() -> None:
    limit = made("10.0.0.1")
    bad, good = (sent("10.0.0.1", x_forwarded_for=f"198.51.100.{number}") for number in (1, 2))
    assert any(limit.failed(bad, 0.0) for _ in range(9))
    assert limit.verified(bad, TEST, "key", 0.0) > 0
    assert limit.verified(good, TEST, "key", 0.0) == 0


@pytest.mark.parametrize(("wait_s", "seconds"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (60.0, "60")])
def test_the_answer_says_when_to_come_again(wait_s: float, seconds: str) -> None:
    answer = refused(wait_s)
    assert (answer.status, answer.headers["retry-after"]) == (429, seconds)
    assert json.loads(answer.body)["errors"][0]["type"] == "tooManyRequests"
