"""Risk rules: which one speaks, at which edge."""

from datetime import timedelta

import pytest

from kessai.payment.money import JPY, Money
from kessai.payment.risk import Asked, Limits, Rule, breach, card_windows, ip_windows, too_many

ASKED = Asked(
    amount=Money(1_000, JPY), digits_first="4111111111111111", digits_last="1111", country="jp", ip="192.0.2.10"
)
EACH = [
    (Limits(countries=frozenset({"JP"})), Rule.BILLING_COUNTRY),
    (Limits(ips=frozenset({"192.0.2.10"})), Rule.IP),
    (Limits(ips=frozenset({"192.0.2.8/30"})), Rule.IP),
    (Limits(ips=frozenset({"192.0.2.0/29"})), None),
    (Limits(bins=frozenset({"4111"})), Rule.BIN),
    (Limits(bins=frozenset({"42"})), None),
    (Limits(cards=frozenset({"411111******1111"})), Rule.PAN),
    (Limits(cards=frozenset({"411111******1112"})), None),
    (Limits(bin_countries={"4": "US", "411": "KP"}, issuing_countries=frozenset({"KP"})), Rule.ISSUING_COUNTRY),
    (Limits(bin_countries={"4": "KP", "411": "US"}, issuing_countries=frozenset({"KP"})), None),
    (Limits(minimums={"JPY": 1_000}), None),
    (Limits(minimums={"JPY": 1_001}), Rule.AMOUNT),
    (Limits(maximums={"JPY": 1_000}), None),
    (Limits(maximums={"JPY": 999}), Rule.AMOUNT),
    (Limits(maximums={"USD": 1}), None),
    (Limits(subscription_maximums={"JPY": 1}), None),
    (Limits(), None),
]


@pytest.mark.parametrize(("limits", "rule"), EACH)
def test_the_rule_that_speaks(limits: Limits, rule: Rule | None) -> None:
    assert breach(limits, ASKED) is rule


def test_a_subscription_has_rules_of_its_own() -> None:
    subscribes = Asked(
        amount=ASKED.amount, digits_first=ASKED.digits_first, digits_last="1111", ip=ASKED.ip, subscribes=True
    )
    for limits, rule in (
        (Limits(subscription_ips=frozenset({"192.0.2.0/24"})), Rule.SUBSCRIPTION_IP),
        (Limits(subscription_bins=frozenset({"41"})), Rule.SUBSCRIPTION_BIN),
        (Limits(subscription_minimums={"JPY": 2_000}), Rule.SUBSCRIPTION_AMOUNT),
        (Limits(maximums={"JPY": 1}), None),
    ):
        assert breach(limits, subscribes) is rule


def test_a_window_is_full_at_its_figure_and_forgets_after_its_length() -> None:
    windows = card_windows(Limits(card_counts={"24h": 3, "10m": 2}))
    assert [window.rule for window in windows] == [Rule.CARD_MINUTES, Rule.CARD_HOURS]
    minute = timedelta(minutes=1)
    assert too_many(windows, [minute]) is None
    assert too_many(windows, [minute, 9 * minute]) is Rule.CARD_MINUTES
    assert too_many(windows, [minute, 10 * minute]) is None
    assert too_many(windows, [minute, 11 * minute, 60 * minute]) is Rule.CARD_HOURS
    assert [window.rule for window in ip_windows(Limits(ip_counts={"1mo": 1, "7d": 1}))] == [
        Rule.IP_DAYS,
        Rule.IP_MONTHS,
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"card_counts": {"10": 1}},
        {"ip_counts": {"0m": 1}},
        {"card_counts": {"13mo": 1}},
        {"ips": frozenset({"here"})},
        {"cards": frozenset({"4111111111111111"})},
    ],
)
def test_a_limit_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"while|address|network|card"):
        Limits(**wrong)  # type: ignore[arg-type]
