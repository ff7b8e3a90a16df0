"""Schedules: when a cardholder is billed for a payment option, and when the merchant is paid for the sale. Pure.

Both are expectations. The issuer bills by its own terms, and its statement prevails; fees appear only where the
merchant has named a fee table. All arithmetic is in whole minor units: what an equal split leaves over is borne by the
first payment or by the last, as the issuer has it, and what is less than a yen of a fee is dropped.

Days that fall on a Saturday or Sunday move; public and bank holidays are not known here.
"""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from kessai.payment.issuers import (
    SEASON_OF,
    STANDARD,
    Closing,
    Contract,
    FeeTable,
    FundingRule,
    Month,
    Profile,
    Season,
    add_months,
    bonus_season,
    first_due,
    month_of,
    next_occurrence,
    occurrences,
)
from kessai.payment.money import Money
from kessai.payment.options import Bonus, Kind, PaymentOption, Problem, problem

RowKind = Literal["one-time", "installment", "bonus", "installment with bonus", "revolving"]


@dataclass(frozen=True, slots=True)
class Note:
    """A remark for people, in English and in Japanese."""

    en: str
    ja: str


ISSUER_DECIDES: Final = Note("The issuer decides what the bonus bears.", "ボーナス分の金額はカード会社が決定します。")
NOT_A_PAY_MONTH: Final = Note(
    "The issuer does not usually collect bonuses in this month.", "カード会社の通常のボーナス支払月ではありません。"
)
AMOUNTS_IGNORED: Final = Note(
    "The bonus amounts do not add up to the amount and are not used.",
    "ボーナス金額は合計と一致しないため使用しません。",
)
BEFORE_FIRST_DUE: Final = Note(
    "The issuer may bill later: the sale is after its closing day.", "締日後のため、支払開始月が遅れる場合があります。"
)
FEE_UNKNOWN: Final = Note("The fee is set by the card company.", "手数料はカード会社所定です。")
REVOLVING: Final = Note(
    "The amount joins the revolving balance; the cardholder's course decides what is billed.",
    "リボ残高に加算され、毎月の支払額は会員のコースによります。",
)
NO_BONUS_MONTH: Final = Note(
    "No bonus month is known; the normal cycle is shown.", "ボーナス月が不明なため通常の入金日です。"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One billing: the issuer's pay day in a month, and what is collected then, fees included."""

    year: int
    month: int
    day: int
    amount: Money
    kind: RowKind

    @property
    def due(self) -> date:
        """The day it is collected: the pay day, or the Monday behind it."""
        return _off_the_weekend(date(self.year, self.month, self.day), "next")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What a cardholder is expected to pay. The rows add up to `total`; total less `fee` is the amount of the sale."""

    rows: tuple[Row, ...]
    fee: Money
    total: Money
    notes: tuple[Note, ...] = ()


def cardholder_schedule(
    option: PaymentOption,
    amount: Money,
    sale_date: date,
    profile: Profile = STANDARD,
    fees: FeeTable | None = None,
    *,
    assume_half: bool = False,
) -> Schedule | Problem:
    """When and how much a cardholder is billed for a sale of this date in Japan; a problem where nobody can say.

    `fees` None leaves every fee to the issuer. `assume_half` lets the bonus months bear half of a combination whose
    bonus amounts were not given, in whole thousands; otherwise the months are shown without them.
    """
    earliest = first_due(sale_date, profile)
    first = earliest
    if option.first_month is not None:
        first = next_occurrence(option.first_month, add_months(month_of(sale_date), 1))
    match option.kind:
        case Kind.ONE_TIME:
            plan = _Plan((first,), (amount.minor,), ("one-time",))
        case Kind.REVOLVING:
            plan = _Plan((first,), (amount.minor,), ("revolving",), notes=(REVOLVING,))
        case Kind.BONUS:
            found = _bonus(option, amount.minor, sale_date, profile, fees)
            if isinstance(found, Problem):
                return found
            return _schedule(found, amount, profile)
        case Kind.INSTALLMENTS | Kind.COMBINATION:
            if option.installments is None:
                return problem("J08")
            if option.installments < 2:
                return problem("J09")
            if option.kind is Kind.INSTALLMENTS:
                plan = _installments(option.installments, amount.minor, first, profile, fees)
            else:
                combined = _combination(option, amount.minor, first, profile, assume_half)
                if isinstance(combined, Problem):
                    return combined
                plan = combined
    return _schedule(plan, amount, profile, (BEFORE_FIRST_DUE,) if first < earliest else ())


@dataclass(frozen=True, slots=True)
class _Plan:
    months: Sequence[Month]
    payments: Sequence[int]
    kinds: Sequence[RowKind]
    fee: int = 0
    notes: tuple[Note, ...] = ()


def _schedule(plan: _Plan, amount: Money, profile: Profile, notes: tuple[Note, ...] = ()) -> Schedule:
    rows = tuple(
        Row(
            year=month.year,
            month=month.month,
            day=min(profile.pay_day, monthrange(month.year, month.month)[1]),
            amount=amount.of(payment),
            kind=kind,
        )
        for month, payment, kind in zip(plan.months, plan.payments, plan.kinds, strict=True)
    )
    assert sum(plan.payments) == amount.minor + plan.fee
    return Schedule(
        rows=rows, fee=amount.of(plan.fee), total=amount.of(amount.minor + plan.fee), notes=plan.notes + notes
    )


def split(total: int, parts: int, remainder_to: Literal["first", "last"] = "first") -> list[int]:
    """A total in equal parts; what is left over is added to the first of them or to the last."""
    share, rest = divmod(total, parts)
    shares = [share] * parts
    shares[0 if remainder_to == "first" else -1] += rest
    return shares


def _installments(count: int, minor: int, first: Month, profile: Profile, fees: FeeTable | None) -> _Plan:
    months = [add_months(first, place) for place in range(count)]
    kinds: list[RowKind] = ["installment"] * count
    if fees is not None and count > 2 and profile.fee_model == "annuity" and fees.annual_rate:
        payments = annuity(minor, count, fees.annual_rate, _days_to_first_payment(first, profile))
        return _Plan(months, payments, kinds, sum(payments) - minor)
    per_100 = 0 if fees is None or count == 2 else fees.per_100.get(count, 0)
    fee = minor * per_100 // 10_000
    notes = (FEE_UNKNOWN,) if count > 2 and not per_100 else ()
    return _Plan(months, split(minor + fee, count, profile.remainder_to), kinds, fee, notes)


def annuity(minor: int, count: int, annual_rate: int, first_days: int) -> list[int]:
    """Level payments at a yearly rate in hundredths of a percent; the last one clears what is left.

    The first interest is reckoned by days of a year of 365, each later one as a twelfth of the rate; each is cut to
    whole units.
    """
    base, grown = 120_000, 120_000 + annual_rate
    level = minor * annual_rate * grown**count // (base * (grown**count - base**count))
    payments: list[int] = []
    left = minor
    for place in range(count):
        interest = left * annual_rate * first_days // 3_650_000 if place == 0 else left * annual_rate // base
        principal = left if place == count - 1 else min(max(level - interest, 0), left)
        payments.append(principal + interest)
        left -= principal
    return payments


def revolving(minor: int, course: int, annual_rate: int) -> list[int]:
    """An illustration of a revolving balance: a fixed principal a month, and interest on 30 days of a year of 365."""
    payments: list[int] = []
    while minor > 0:
        principal = min(course, minor)
        payments.append(principal + minor * annual_rate * 30 // 3_650_000)
        minor -= principal
    return payments


def _days_to_first_payment(first: Month, profile: Profile) -> int:
    closing = _day(add_months(first, -profile.months_later), profile.closing_day)
    return (_day(first, profile.pay_day) - closing).days


def _bonus(
    option: PaymentOption, minor: int, sale_date: date, profile: Profile, fees: FeeTable | None
) -> _Plan | Problem:
    found = bonus_season(sale_date, profile.windows)
    if found is None:
        return problem("J13")
    season, candidates = found
    after_sale = add_months(month_of(sale_date), 1)
    bonuses = (*option.bonuses, Bonus(), Bonus())[: option.bonus_count]
    if all(bonus.month is not None for bonus in bonuses):
        bonuses = tuple(sorted(bonuses, key=lambda bonus: next_occurrence(bonus.month or 0, after_sale)))
    months = [_bonus_month(bonuses[0].month, candidates, after_sale)]
    if len(bonuses) == 2:
        second = _second_bonus_month(bonuses[1].month, months[0], season, profile)
        if second is None:
            return problem("J13")
        months.append(second)
    pay_months = {month for window in profile.windows for month in window.pay_months}
    notes: tuple[Note, ...] = (NOT_A_PAY_MONTH,) if any(month.month not in pay_months for month in months) else ()
    payments = _bonus_shares([bonus.amount for bonus in bonuses], minor, profile)
    if payments is None:
        payments = split(minor, len(bonuses), profile.remainder_to)
        notes += (AMOUNTS_IGNORED,)
    fee = 0
    if len(bonuses) == 2 and fees is not None:
        fee = minor * profile.bonus_twice_fee // 10_000
        payments[-1] += fee
    return _Plan(months, payments, ["bonus"] * len(months), fee, notes)


def _bonus_month(number: int | None, candidates: Sequence[Month], after_sale: Month) -> Month:
    if number is None:
        return candidates[0]
    for month in candidates:
        if month.month == number:
            return month
    return next_occurrence(number, after_sale)


def _second_bonus_month(number: int | None, first: Month, season: Season, profile: Profile) -> Month | None:
    after_first = add_months(first, 1)
    if number is not None:
        return next_occurrence(number, after_first)
    taken = SEASON_OF.get(first.month, season)
    others = [month for window in profile.windows if window.season != taken for month in window.pay_months]
    return min((next_occurrence(month, after_first) for month in others), default=None)


def _bonus_shares(amounts: Sequence[int | None], minor: int, profile: Profile) -> list[int] | None:
    """What each bonus bears of the whole amount; None where the amounts given do not add up to it."""
    known = [amount for amount in amounts if amount is not None]
    left = minor - sum(known)
    if not known:
        return split(minor, len(amounts), profile.remainder_to)
    if left < 0 or (left > 0 and len(known) == len(amounts)):
        return None
    return [left if amount is None else amount for amount in amounts]


def _combination(
    option: PaymentOption, minor: int, first: Month, profile: Profile, assume_half: bool
) -> _Plan | Problem:
    count = option.installments or 1
    months = [add_months(first, place) for place in range(count)]
    amounts = _combination_bonuses(option.bonuses, months, profile)
    if isinstance(amounts, Problem):
        return amounts
    is_decided = bool(amounts) and None not in amounts.values()
    if assume_half and not any(bonus.amount for bonus in option.bonuses):
        bearing = list(amounts) or _usual_bonus_months(months, profile)
        share = minor // 2 // len(bearing) // 1_000 * 1_000 if bearing else 0
        amounts = dict.fromkeys(bearing, share)
    extra = {month: amount for month, amount in amounts.items() if amount}
    if extra and sum(extra.values()) >= minor:
        return problem("J18")
    monthly = split(minor - sum(extra.values()), count, profile.remainder_to)
    payments = [payment + extra.get(month, 0) for month, payment in zip(months, monthly, strict=True)]
    kinds: list[RowKind] = ["installment with bonus" if month in extra else "installment" for month in months]
    return _Plan(months, payments, kinds, 0, (FEE_UNKNOWN,) if is_decided else (ISSUER_DECIDES, FEE_UNKNOWN))


def _combination_bonuses(
    bonuses: Sequence[Bonus], months: Sequence[Month], profile: Profile
) -> dict[Month, int | None] | Problem:
    """Month to amount of each bonus; a bonus without a month takes the next usual one that is free."""
    named = [(index, bonus.month) for index, bonus in enumerate(bonuses) if bonus.month is not None]
    found = occurrences((number for _, number in named), months[0])
    place = {index: month for (index, _), month in zip(named, found, strict=True)}
    free = [month for month in _usual_bonus_months(months, profile) if month not in place.values()]
    amounts: dict[Month, int | None] = {}
    for index, bonus in enumerate(bonuses):
        if index in place and place[index] > months[-1]:
            return problem("J16", index=index)
        if index not in place and not free:
            if bonus.amount is None:
                continue
            return problem("J16", index=index)
        amounts[place[index] if index in place else free.pop(0)] = bonus.amount
    return amounts


def _usual_bonus_months(months: Sequence[Month], profile: Profile) -> list[Month]:
    usual = {window.pay_months[0] for window in profile.windows}
    return [month for month in months if month.month in usual]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """One payment of the acquirer to the merchant."""

    date: date
    amount: Money
    note: Note | None = None


def funding(
    contract: Contract, method: str | None, amount: Money, sale_date: date, schedule: Schedule | None = None
) -> tuple[Funding, ...]:
    """When the merchant is paid for a sale of this date in Japan, before the acquirer's own fees: all of it, once.

    The cardholder's schedule tells how many installments there are and in which month a bonus is collected.
    """
    rows = schedule.rows if schedule is not None else ()
    covering = (rule for rule in contract.funding if rule.covers(method or "10", len(rows) or None))
    rule = next(covering, FundingRule())
    closing, closed = _closing(rule.closings, sale_date)
    paid = add_months(closed, closing.months_later + rule.delay_months)
    note = None
    if rule.pay_in_bonus_month:
        bonus = [Month(row.year, row.month) for row in rows if row.kind in ("bonus", "installment with bonus")]
        paid, note = (bonus[0], None) if bonus else (paid, NO_BONUS_MONTH)
    return (
        Funding(date=_off_the_weekend(_day(paid, closing.pay_day), contract.funding_moves), amount=amount, note=note),
    )


def _closing(closings: Sequence[Closing], sale_date: date) -> tuple[Closing, Month]:
    for closing in closings:
        if sale_date.day <= closing.through_day:
            return closing, month_of(sale_date)
    return closings[0], add_months(month_of(sale_date), 1)


def _day(month: Month, day: int) -> date:
    """A day of a month; one that the month does not have is its last."""
    return date(month.year, month.month, min(day, monthrange(month.year, month.month)[1]))


def _off_the_weekend(day: date, direction: Literal["previous", "next", "none"]) -> date:
    days_into_weekend = day.weekday() - 4
    if days_into_weekend <= 0 or direction == "none":
        return day
    return day + timedelta(days=3 - days_into_weekend if direction == "next" else -days_into_weekend)
