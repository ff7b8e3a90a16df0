"""Risk rules: what a merchant does not want to take, and how often. Pure.

Two kinds: of one payment (its amount, card, address), and of how many came before it in a while. Whoever counts hands
in the counts. A rule that speaks is a decline of the gateway's own: nothing is sent to the acquirer.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Final

from msgspec import Struct

from kessai.payment.money import Money


class Rule(Enum):
    """What can be wrong with a payment; the value is what people read."""

    BILLING_COUNTRY = "the billing address is in a country that is not served"
    IP = "the customer's address is not served"
    BIN = "the card's first digits are not taken"
    PAN = "the card is not taken"
    ISSUING_COUNTRY = "the card was issued in a country that is not served"
    AMOUNT = "the amount is not between the smallest and the greatest"
    SUBSCRIPTION_IP = "the customer's address may not subscribe"
    SUBSCRIPTION_BIN = "the card's first digits may not subscribe"
    SUBSCRIPTION_AMOUNT = "the amount of a subscription is not between the smallest and the greatest"
    CARD_MINUTES = "the card came too often within minutes"
    CARD_HOURS = "the card came too often within hours"
    CARD_DAYS = "the card came too often within days"
    CARD_MONTHS = "the card came too often within months"
    IP_MINUTES = "the customer's address came too often within minutes"
    IP_HOURS = "the customer's address came too often within hours"
    IP_DAYS = "the customer's address came too often within days"
    IP_MONTHS = "the customer's address came too often within months"
    REFUND_BALANCE = "a refund exceeds what was captured and not yet returned"
    REFUND_VOLUME = "refunds of a day exceed what the merchant may return"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A merchant's risk rules. One field is one setting of `kessai merchant set ID risk.name=value`; empty: no rule."""

    countries: frozenset[str] = frozenset()
    """Countries (ISO 3166, two letters) in which no billing address may be."""
    ips: frozenset[str] = frozenset()
    """Customers' addresses, or networks of them, that are not served."""
    bins: frozenset[str] = frozenset()
    """First digits of cards that are not taken."""
    cards: frozenset[str] = frozenset()
    """Single cards that are not taken, each as its first six and last four digits: `411111******1111`."""
    issuing_countries: frozenset[str] = frozenset()
    """Countries of issuers whose cards are not taken; `bin_countries` says whose a card is."""
    bin_countries: Mapping[str, str] = field(default_factory=dict)
    """First digits of cards to the country of their issuer. The longest that fits counts."""
    minimums: Mapping[str, int] = field(default_factory=dict)
    """Smallest amount of a payment by currency, in minor units."""
    maximums: Mapping[str, int] = field(default_factory=dict)
    """Greatest amount of a payment by currency, in minor units."""
    subscription_ips: frozenset[str] = frozenset()
    """Addresses, or networks, from which nobody may subscribe."""
    subscription_bins: frozenset[str] = frozenset()
    """First digits of cards that may not subscribe."""
    subscription_minimums: Mapping[str, int] = field(default_factory=dict)
    """Smallest amount of a subscription by currency, in minor units."""
    subscription_maximums: Mapping[str, int] = field(default_factory=dict)
    """Greatest amount of a subscription by currency, in minor units."""
    card_counts: Mapping[str, int] = field(default_factory=dict)
    """How often one card may come within a while: `{"10m": 3, "24h": 10, "7d": 20, "1mo": 50}`."""
    ip_counts: Mapping[str, int] = field(default_factory=dict)
    """How often one customer's address may come within a while, in the same words."""
    refunds_per_day: Mapping[str, int] = field(default_factory=dict)
    """How much may be refunded within 24 hours by currency, in minor units."""

    def __post_init__(self) -> None:
        for window in (*self.card_counts, *self.ip_counts):
            parsed = _WINDOW.fullmatch(window)
            if parsed is None or int(parsed[1]) * _UNITS[parsed[2]] > LONGEST:
                raise ValueError("a while is a number with m, h, d or mo, such as 10m or 24h, and at most 12mo")
        for network in (*self.ips, *self.subscription_ips):
            ipaddress.ip_network(network, strict=False)
        if any(_MASKED.fullmatch(card) is None for card in self.cards):
            raise ValueError("a card is its first six and last four digits, with six stars between them")


LONGEST: Final = timedelta(days=360)
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,4})(mo|m|h|d)", re.ASCII)
_MASKED: Final = re.compile(r"[0-9]{6}\*{6}[0-9]{4}", re.ASCII)
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "mo": timedelta(days=30),
}
_CARD_RULES: Final = {
    "m": Rule.CARD_MINUTES,
    "h": Rule.CARD_HOURS,
    "d": Rule.CARD_DAYS,
    "mo": Rule.CARD_MONTHS,
}
_IP_RULES: Final = {"m": Rule.IP_MINUTES, "h": Rule.IP_HOURS, "d": Rule.IP_DAYS, "mo": Rule.IP_MONTHS}


class Asked(Struct, frozen=True, kw_only=True):
    """What the rules look at."""

    amount: Money
    digits_first: str
    """The first digits of the card, at least six of them."""
    digits_last: str
    """The last four."""
    country: str = ""
    ip: str = ""
    subscribes: bool = False


class Window(Struct, frozen=True):
    """So many within a while; one more breaks the rule."""

    length: timedelta
    most: int
    rule: Rule


def breach(limits: Limits, asked: Asked) -> Rule | None:
    """The first rule about one payment that it breaks."""
    return next(_breaches(limits, asked), None)


def _breaches(limits: Limits, asked: Asked) -> Iterator[Rule]:
    if asked.country.upper() in limits.countries:
        yield Rule.BILLING_COUNTRY
    if _is_in(asked.ip, limits.ips):
        yield Rule.IP
    if asked.digits_first.startswith(tuple(limits.bins)):
        yield Rule.BIN
    if limits.cards and f"{asked.digits_first[:6]}******{asked.digits_last}" in limits.cards:
        yield Rule.PAN
    if limits.issuing_countries and _country_of(limits, asked.digits_first) in limits.issuing_countries:
        yield Rule.ISSUING_COUNTRY
    if not asked.subscribes and not _is_between(asked.amount, limits.minimums, limits.maximums):
        yield Rule.AMOUNT
    if asked.subscribes and _is_in(asked.ip, limits.subscription_ips):
        yield Rule.SUBSCRIPTION_IP
    if asked.subscribes and asked.digits_first.startswith(tuple(limits.subscription_bins)):
        yield Rule.SUBSCRIPTION_BIN
    if asked.subscribes and not _is_between(asked.amount, limits.subscription_minimums, limits.subscription_maximums):
        yield Rule.SUBSCRIPTION_AMOUNT


def card_windows(limits: Limits) -> tuple[Window, ...]:
    return _windows(limits.card_counts, _CARD_RULES)


def ip_windows(limits: Limits) -> tuple[Window, ...]:
    return _windows(limits.ip_counts, _IP_RULES)


def _windows(counts: Mapping[str, int], rules: Mapping[str, Rule]) -> tuple[Window, ...]:
    found = []
    for text, most in counts.items():
        parsed = _WINDOW.fullmatch(text)
        assert parsed is not None, "the settings were read"
        found.append(Window(int(parsed[1]) * _UNITS[parsed[2]], most, rules[parsed[2]]))
    return tuple(sorted(found, key=lambda window: window.length))


def too_many(windows: Sequence[Window], ages: Sequence[timedelta]) -> Rule | None:
    """The first window that is full already. `ages`: how long ago each earlier one was."""
    for window in windows:
        if sum(1 for age in ages if age < window.length) >= window.most:
            return window.rule
    return None


def _is_between(amount: Money, least: Mapping[str, int], most: Mapping[str, int]) -> bool:
    code = amount.currency.code
    return least.get(code, 0) <= amount.minor <= most.get(code, amount.minor)


def _country_of(limits: Limits, digits: str) -> str:
    fitting = [prefix for prefix in limits.bin_countries if digits.startswith(prefix)]
    return limits.bin_countries[max(fitting, key=len)] if fitting else ""


def _is_in(address: str, networks: frozenset[str]) -> bool:
    if not networks or not address:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
