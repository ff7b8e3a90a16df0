"""Terms as data: issuers' towards cardholders, acquirers' towards merchants. Pure.

When an issuer closes and collects, when it takes bonus payments, what it charges; what an acquirer's contract allows
and when it pays. Nothing here is a promise: issuers change their terms without telling a gateway, and their own
statement prevails. A merchant picks the profile that most of its cards follow, and the schedules made from it are
marked as expected. The calendar of months that all of this is reckoned in lives here too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from typing import Final, Literal, NamedTuple

from kessai.payment.card import Brand

Season = Literal["summer", "winter"]
Operation = Literal["authorization", "capture", "credit"]

SEASON_OF: Final[Mapping[int, Season]] = {
    6: "summer",
    7: "summer",
    8: "summer",
    9: "summer",
    11: "winter",
    12: "winter",
    1: "winter",
    2: "winter",
}
"""The season whose bonus is collected in a month; the other months belong to none."""

JAPAN: Final = timezone(timedelta(hours=9), "JST")
"""Sale dates, business days and bonus windows are Japanese dates; Japan has no daylight saving."""


class Month(NamedTuple):
    """A calendar month; months compare in time."""

    year: int
    month: int


@dataclass(frozen=True, slots=True)
class BonusWindow:
    """Sale dates of one season's bonus payments, both ends included, and the months they are collected in.

    `first` and `last` are (month, day); a window whose first lies behind its last runs over the new year. Where an
    issuer leaves the month to the shop there are several pay months, the usual one first in time.
    """

    season: Season
    first: tuple[int, int]
    last: tuple[int, int]
    pay_months: tuple[int, ...]


STANDARD_WINDOWS: Final = (
    BonusWindow("summer", (12, 16), (6, 15), (8,)),
    BonusWindow("winter", (7, 16), (11, 15), (1,)),
)
"""What most bank cards follow. It has two gaps, 16 June to 15 July and 16 November to 15 December."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An issuer's terms towards its cardholders.

    A sale up to `closing_day` (31 is the month's end) closes in its own month, a later one in the next; it is collected
    on `pay_day`, `months_later` months after it closed.
    """

    name: str
    closing_day: int
    pay_day: int
    months_later: int
    windows: tuple[BonusWindow, ...] = STANDARD_WINDOWS
    remainder_to: Literal["first", "last"] = "first"
    """Who bears the yen that an equal split leaves over."""
    fee_model: Literal["flat", "annuity"] = "flat"
    """Flat: so much per 100 yen by the number of payments. Annuity: level payments at a yearly rate."""
    bonus_twice_fee: int = 0
    """Fee of a bonus paid twice, in hundredths of a yen per 100 yen; 300 is 3 %."""


PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(name="standard", closing_day=15, pay_day=10, months_later=1),
        Profile(name="smcc", closing_day=15, pay_day=10, months_later=1),
        Profile(name="smcc-month-end", closing_day=31, pay_day=26, months_later=1),
        Profile(name="jcb", closing_day=15, pay_day=10, months_later=1, remainder_to="last", fee_model="annuity"),
        Profile(name="mufg", closing_day=15, pay_day=10, months_later=1),
        Profile(name="saison", closing_day=10, pay_day=4, months_later=1, bonus_twice_fee=300),
        Profile(
            name="rakuten",
            closing_day=31,
            pay_day=27,
            months_later=1,
            windows=(
                BonusWindow("summer", (2, 1), (6, 30), (6, 7, 8)),
                BonusWindow("winter", (8, 1), (11, 30), (12, 1)),
            ),
        ),
        Profile(
            name="aeon",
            closing_day=10,
            pay_day=2,
            months_later=1,
            windows=(
                BonusWindow("summer", (11, 21), (6, 20), (7, 8, 9)),
                BonusWindow("winter", (6, 21), (11, 20), (1,)),
            ),
            bonus_twice_fee=300,
        ),
        Profile(name="epos", closing_day=27, pay_day=27, months_later=1),
        Profile(name="epos-4th", closing_day=4, pay_day=4, months_later=1),
        Profile(name="nicos", closing_day=5, pay_day=27, months_later=0),
        Profile(name="view", closing_day=31, pay_day=4, months_later=2),
        Profile(name="uc", closing_day=10, pay_day=5, months_later=1),
        Profile(name="paypay", closing_day=31, pay_day=27, months_later=1, windows=()),
        Profile(
            name="nsr",
            closing_day=31,
            pay_day=26,
            months_later=1,
            windows=(
                BonusWindow("summer", (12, 1), (6, 30), (6, 7, 8)),
                BonusWindow("winter", (7, 1), (11, 30), (12, 1)),
            ),
        ),
    )
}
STANDARD: Final = PROFILES["standard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTable:
    """What a cardholder pays for installments. Applied only where a merchant has named a table."""

    name: str
    per_100: Mapping[int, int] = field(default_factory=dict)
    """Number of payments to fee, in hundredths of a yen per 100 yen of purchase. Two payments are free."""
    annual_rate: int | None = None
    """Yearly rate in hundredths of a percent, for issuers of level payments."""


_FEE_COUNTS: Final = (3, 5, 6, 10, 12, 15, 18, 20, 24)


def _fees(name: str, *per_100: int, annual_rate: int | None = None) -> FeeTable:
    return FeeTable(name=name, per_100=dict(zip(_FEE_COUNTS, per_100, strict=True)), annual_rate=annual_rate)


FEE_TABLES: Final[Mapping[str, FeeTable]] = {
    table.name: table
    for table in (
        _fees("smcc-to-2025-03", 204, 340, 408, 680, 816, 1020, 1224, 1360, 1632),
        _fees("smcc-from-2025-04", 246, 410, 492, 820, 984, 1230, 1476, 1640, 1968),
        _fees("nsr", 198, 330, 396, 660, 792, 990, 1188, 1320, 1584),
        _fees("jcb-15", 251, 378, 442, 700, 831, 1029, 1229, 1364, 1637, annual_rate=1500),
    )
}


@dataclass(frozen=True, slots=True)
class Closing:
    """Sales up to a day of the month (31 is its end), paid on `pay_day` of the month `months_later`."""

    through_day: int
    pay_day: int
    months_later: int


HALF_MONTHLY: Final = (Closing(15, 31, 0), Closing(31, 15, 1))
MONTHLY_ON_THE_15TH: Final = (Closing(15, 31, 1),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRule:
    """When an acquirer pays a merchant for sales of some methods; always the full amount, once."""

    methods: tuple[str, ...] = ()
    """Payment codes; none means every method."""
    installments: int | None = None
    """Only sales in so many installments; None means any."""
    closings: tuple[Closing, ...] = HALF_MONTHLY
    """The closings of a month, at least one, earliest first; a sale after the last is in the next month's first."""
    delay_months: int = 0
    pay_in_bonus_month: bool = False
    """Whether the merchant waits for the month in which the cardholder's bonus is collected."""

    def __post_init__(self) -> None:
        if not self.closings:
            raise ValueError("a funding rule has at least one closing")

    def covers(self, method: str, installments: int | None) -> bool:
        return (not self.methods or method in self.methods) and self.installments in (None, installments)


STANDARD_FUNDING: Final = (
    FundingRule(methods=("61",), installments=2, closings=MONTHLY_ON_THE_15TH),
    FundingRule(),
)
"""What a direct contract looks like: two payments close once a month, all else twice. The first that covers rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """The smallest amount, in yen, of some methods; `installments` narrows it to one count."""

    methods: tuple[str, ...]
    amount: int
    installments: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a merchant's contract with its acquirer allows. Plain data; None and empty mean without limit."""

    methods: tuple[str, ...] | None = None
    brands: tuple[Brand, ...] | None = None
    counts: tuple[int, ...] | None = None
    minimums: tuple[Minimum, ...] = ()
    maxima: Mapping[Operation, int] = field(default_factory=dict)
    """The largest amount in yen per operation."""
    months_ahead: int | None = None
    """How many months after the sale's own the first billing month may lie."""
    bonus_windows: tuple[BonusWindow, ...] = ()
    bonus_share_percent: int | None = None
    """How much of the amount the bonuses of a combination may bear."""
    funding: tuple[FundingRule, ...] = STANDARD_FUNDING
    """The first rule that covers a sale decides; a sale that none covers is paid half-monthly."""
    funding_moves: Literal["previous", "next", "none"] = "previous"
    """Where a pay day goes that falls on a weekend."""

    def __post_init__(self) -> None:
        if any(not 2 <= count <= 99 for count in self.counts or ()):
            raise ValueError("counts are from 2 to 99")
        if self.months_ahead is not None and not 0 <= self.months_ahead <= 12:
            raise ValueError("months_ahead is from 0 to 12")
        if self.bonus_share_percent is not None and not 0 <= self.bonus_share_percent <= 100:
            raise ValueError("bonus_share_percent is from 0 to 100")
        if any(amount < 0 for amount in self.maxima.values()):
            raise ValueError("maxima are not negative")


STANDARD_COUNTS: Final = (2, 3, 5, 6, 10, 12, 15, 18, 20, 24)

CONTRACTS: Final[Mapping[str, Contract]] = {
    "sandbox": Contract(),
    "vpc": Contract(methods=("10",)),
    "smcc": Contract(
        brands=(Brand.VISA,),
        counts=STANDARD_COUNTS,
        maxima={"authorization": 99_999_999},
        months_ahead=3,
        bonus_windows=STANDARD_WINDOWS,
    ),
    "jcn": Contract(
        brands=(Brand.AMEX, Brand.DINERS, Brand.JCB, Brand.MASTERCARD, Brand.VISA),
        counts=STANDARD_COUNTS,
        maxima={"authorization": 99_999_999, "capture": 9_999_999, "credit": 9_999_999},
        months_ahead=3,
        bonus_windows=STANDARD_WINDOWS,
    ),
}
"""The contract that a new merchant of an acquirer personality begins with."""


def month_of(day: date) -> Month:
    return Month(day.year, day.month)


def add_months(month: Month, months: int) -> Month:
    year, index = divmod(12 * month.year + month.month - 1 + months, 12)
    return Month(year, index + 1)


def next_occurrence(number: int, earliest: Month) -> Month:
    """The first month of this number that is not before `earliest`."""
    return add_months(earliest, (number - earliest.month) % 12)


def occurrences(numbers: Iterable[int], earliest: Month) -> tuple[Month, ...]:
    """Each number's first occurrence not before `earliest`; a number that comes again is the year after."""
    found: list[Month] = []
    for number in numbers:
        month = next_occurrence(number, earliest)
        while month in found:
            month = add_months(month, 12)
        found.append(month)
    return tuple(found)


def first_due(sale_date: date, profile: Profile) -> Month:
    """The month in which an issuer first collects a sale of this date (JST)."""
    month = month_of(sale_date)
    if profile.closing_day != 31 and sale_date.day > profile.closing_day:
        month = add_months(month, 1)
    return add_months(month, profile.months_later)


def bonus_season(sale_date: date, windows: Iterable[BonusWindow]) -> tuple[Season, tuple[Month, ...]] | None:
    """The season that takes a sale of this date (JST), and the months it may be collected in; None in a gap.

    A pay month that is not later than the sale's own is left out: a window may close in the month it is collected in.
    """
    day = (sale_date.month, sale_date.day)
    for window in windows:
        runs_over_new_year = window.first > window.last
        if runs_over_new_year:
            is_inside = day >= window.first or day <= window.last
        else:
            is_inside = window.first <= day <= window.last
        if not is_inside:
            continue
        last_year = sale_date.year + 1 if runs_over_new_year and day >= window.first else sale_date.year
        end = Month(last_year, window.last[0])
        months = sorted(next_occurrence(number, end) for number in window.pay_months)
        later = tuple(month for month in months if month > month_of(sale_date))
        if later:
            return window.season, later
    return None
