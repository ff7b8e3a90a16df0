"""Schedules: when a cardholder is billed, and when a merchant is paid."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.payment.issuers import (
    FEE_TABLES,
    PROFILES,
    STANDARD,
    FeeTable,
    FundingRule,
    Month,
    Profile,
    bonus_season,
    first_due,
)
from kessai.payment.money import JPY, Currency, Money
from kessai.payment.options import METHODS, Bonus, Contract, Kind, PaymentOption, Problem
from kessai.payment.schedule import (
    AMOUNTS_IGNORED,
    BEFORE_FIRST_DUE,
    FEE_UNKNOWN,
    ISSUER_DECIDES,
    NO_BONUS_MONTH,
    NOT_A_PAY_MONTH,
    Schedule,
    annuity,
    cardholder_schedule,
    funding,
    revolving,
    split,
)

MARCH = date(2026, 3, 10)
JANUARY = date(2027, 1, 10)


def plan(
    asked: PaymentOption,
    yen: int,
    sale_date: date = MARCH,
    *,
    profile: str = "standard",
    fees: str | None = None,
    assume_half: bool = False,
) -> Schedule:
    table = None if fees is None else FEE_TABLES[fees]
    found = cardholder_schedule(asked, Money(yen, JPY), sale_date, PROFILES[profile], table, assume_half=assume_half)
    assert isinstance(found, Schedule), found
    return found


def refused(asked: PaymentOption, yen: int, sale_date: date = MARCH, profile: str = "standard") -> str:
    found = cardholder_schedule(asked, Money(yen, JPY), sale_date, PROFILES[profile])
    assert isinstance(found, Problem)
    return found.rule


def rows(schedule: Schedule) -> list[tuple[int, int, int]]:
    return [(row.year, row.month, row.amount.minor) for row in schedule.rows]


def amounts(schedule: Schedule) -> list[int]:
    return [row.amount.minor for row in schedule.rows]


def installments(count: int) -> PaymentOption:
    return PaymentOption(method="61", installments=count)


TWICE = PaymentOption(method="23", bonuses=(Bonus(), Bonus()))


def test_one_time_payment_is_due_by_the_closing_day() -> None:
    assert rows(plan(PaymentOption(), 12_345)) == [(2026, 4, 12_345)]
    assert rows(plan(PaymentOption(method="10"), 12_345, date(2026, 3, 16))) == [(2026, 5, 12_345)]


def test_two_payments_are_free_and_the_first_bears_the_odd_yen() -> None:
    found = plan(installments(2), 10_001, fees="smcc-to-2025-03")
    assert rows(found) == [(2026, 4, 5_001), (2026, 5, 5_000)]
    assert found.fee == Money(0, JPY)


def test_without_a_fee_table_no_fee_is_promised() -> None:
    found = plan(installments(3), 10_000)
    assert amounts(found) == [3_334, 3_333, 3_333]
    assert FEE_UNKNOWN in found.notes


FLAT = [
    (3, 60_000, "smcc-to-2025-03", 1_224, 20_408, 20_408),
    (10, 50_000, "smcc-to-2025-03", 3_400, 5_340, 5_340),
    (10, 50_000, "smcc-from-2025-04", 4_100, 5_410, 5_410),
    (12, 100_001, "smcc-to-2025-03", 8_160, 9_018, 9_013),
    (24, 10_000, "nsr", 1_584, 498, 482),
]


@pytest.mark.parametrize(("count", "yen", "fees", "fee", "first", "later"), FLAT)
def test_a_flat_fee_is_cut_and_spread(*, count: int, yen: int, fees: str, fee: int, first: int, later: int) -> None:
    found = plan(installments(count), yen, fees=fees)
    assert found.fee == Money(fee, JPY)
    assert found.total == Money(yen + fee, JPY)
    assert amounts(found) == [first] + [later] * (count - 1)
    assert found.notes == ()


def test_ten_payments_from_april_end_in_january() -> None:
    assert rows(plan(installments(10), 50_000))[-1][:2] == (2027, 1)


@pytest.mark.parametrize("sale_date", [date(2026, 12, 16), date(2026, 12, 31), date(2027, 6, 15)])
def test_the_summer_bonus_is_due_in_august(sale_date: date) -> None:
    assert rows(plan(PaymentOption(method="21"), 9_000, sale_date)) == [(2027, 8, 9_000)]


@pytest.mark.parametrize("sale_date", [date(2027, 7, 16), date(2027, 11, 15)])
def test_the_winter_bonus_is_due_in_january(sale_date: date) -> None:
    assert rows(plan(PaymentOption(method="21"), 9_000, sale_date)) == [(2028, 1, 9_000)]


@pytest.mark.parametrize("sale_date", [date(2026, 12, 15), date(2027, 6, 16), date(2027, 7, 15), date(2027, 11, 16)])
def test_no_bonus_is_taken_in_the_gaps(sale_date: date) -> None:
    assert refused(PaymentOption(method="21"), 9_000, sale_date) == "J13"


def test_an_issuer_without_bonus_has_no_schedule_for_one() -> None:
    assert refused(PaymentOption(method="21"), 9_000, profile="paypay") == "J13"


def test_a_bonus_paid_twice_is_halved_over_two_seasons() -> None:
    assert rows(plan(TWICE, 50_001, JANUARY)) == [(2027, 8, 25_001), (2028, 1, 25_000)]


def test_the_fee_of_a_bonus_paid_twice_comes_with_the_second() -> None:
    found = cardholder_schedule(
        TWICE, Money(50_001, JPY), JANUARY, replace(STANDARD, bonus_twice_fee=300), FeeTable(name="none")
    )
    assert isinstance(found, Schedule)
    assert found.fee == Money(1_500, JPY)
    assert rows(found) == [(2027, 8, 25_001), (2028, 1, 26_500)]


def test_bonus_months_and_amounts_given_are_used_in_time() -> None:
    asked = PaymentOption(method="24", bonuses=(Bonus(1, 3_000), Bonus(8)))
    assert rows(plan(asked, 10_000)) == [(2026, 8, 7_000), (2027, 1, 3_000)]
    unusual = plan(PaymentOption(method="21", bonuses=(Bonus(7, 4_000),)), 12_000)
    assert rows(unusual) == [(2026, 7, 12_000)]
    assert unusual.notes == (NOT_A_PAY_MONTH, AMOUNTS_IGNORED)


def test_the_second_bonus_month_is_the_other_season_of_the_first_given() -> None:
    asked = PaymentOption(method="24", bonuses=(Bonus(1), Bonus()))
    assert rows(plan(asked, 10_000)) == [(2027, 1, 5_000), (2027, 8, 5_000)]


def test_a_variant_for_one_bonus_ignores_a_second() -> None:
    asked = PaymentOption(method="22", bonuses=(Bonus(8), Bonus(1)))
    assert rows(plan(asked, 10_000)) == [(2026, 8, 10_000)]


def combination(count: int, first: int | None, *bonuses: Bonus, method: str = "34") -> PaymentOption:
    return PaymentOption(method=method, installments=count, first_month=first, bonuses=bonuses)


def test_bonuses_are_laid_over_the_months_of_a_plan() -> None:
    found = plan(combination(12, 4, Bonus(8, 30_000), Bonus(1, 30_000)), 120_000)
    assert found.total == Money(120_000, JPY)
    assert {(row.year, row.month) for row in found.rows if row.kind == "installment with bonus"} == {
        (2026, 8),
        (2027, 1),
    }
    assert sorted(set(amounts(found))) == [5_000, 35_000]


def test_the_first_month_of_a_combination_bears_the_odd_yen() -> None:
    found = plan(combination(10, 7, Bonus(8, 25_000), Bonus(1, 25_000)), 100_001)
    assert amounts(found) == [5_001, 30_000, 5_000, 5_000, 5_000, 5_000, 30_000, 5_000, 5_000, 5_000]
    assert rows(found)[0][:2] == (2026, 7)


def test_one_bonus_in_half_a_year() -> None:
    found = plan(combination(6, 5, Bonus(8, 40_000)), 100_000)
    assert rows(found) == [(2026, month, 50_000 if month == 8 else 10_000) for month in range(5, 11)]


def test_bonuses_without_months_take_the_usual_ones() -> None:
    found = plan(combination(12, 4, Bonus(None, 6_000), Bonus(None, 6_000), method="33"), 24_000)
    assert [(row.year, row.month) for row in found.rows if row.amount.minor == 7_000] == [(2026, 8), (2027, 1)]


def test_amounts_not_given_are_the_issuers_to_decide() -> None:
    found = plan(combination(12, None, method="31"), 120_000)
    assert amounts(found) == [10_000] * 12
    assert ISSUER_DECIDES in found.notes
    assert ISSUER_DECIDES not in plan(combination(12, None, Bonus(8, 1), method="31"), 120_000).notes


def test_half_may_be_assumed_to_lie_on_the_bonus_months() -> None:
    found = plan(combination(12, 4, method="31"), 125_000, assume_half=True)
    by_month = {month: amount for _, month, amount in rows(found)}
    assert by_month[8] - by_month[9] == 31_000
    assert by_month[1] - by_month[2] == 31_000
    assert found.total == Money(125_000, JPY)


NO_PLAN = [
    (combination(3, 4, Bonus(8, 1_000)), "J16"),
    (combination(3, 4, Bonus(None, 1_000)), "J16"),
    (combination(12, 4, Bonus(8, 10_000)), "J18"),
    (PaymentOption(method="31"), "J08"),
    (PaymentOption(method="61"), "J08"),
    (installments(1), "J09"),
]


@pytest.mark.parametrize(("asked", "rule"), NO_PLAN)
def test_what_cannot_be_laid_out_is_a_problem(asked: PaymentOption, rule: str) -> None:
    assert refused(asked, 10_000) == rule


def test_a_first_month_is_the_next_of_its_number() -> None:
    december = PaymentOption(method="61", installments=3, first_month=1)
    assert [row[:2] for row in rows(plan(december, 300, date(2026, 12, 1)))] == [(2027, 1), (2027, 2), (2027, 3)]
    march = PaymentOption(method="10", first_month=3)
    assert rows(plan(march, 300)) == [(2027, 3, 300)]


def test_a_first_month_before_the_issuer_can_bill_is_noted() -> None:
    asked = PaymentOption(method="10", first_month=4)
    assert plan(asked, 300, date(2026, 3, 16)).notes == (BEFORE_FIRST_DUE,)
    assert plan(asked, 300, date(2026, 3, 15)).notes == ()


def test_revolving_has_no_installments() -> None:
    found = plan(PaymentOption(method="80"), 50_000)
    assert [(row.kind, row.amount) for row in found.rows] == [("revolving", Money(50_000, JPY))]


def test_a_revolving_balance_is_illustrated() -> None:
    assert revolving(50_000, 10_000, 1_500) == [10_616, 10_493, 10_369, 10_246, 10_123]


def test_level_payments_leave_the_residue_to_the_last() -> None:
    found = plan(installments(3), 100_000, profile="jcb", fees="jcb-15")
    assert amounts(found) == [34_170, 34_170, 33_983]
    assert found.fee == Money(1_068 + 836 + 419, JPY)
    assert amounts(plan(installments(3), 10_000, profile="jcb")) == [3_333, 3_333, 3_334]


def test_a_pay_day_on_a_weekend_is_collected_on_monday() -> None:
    found = plan(installments(2), 10_000)
    assert [row.due for row in found.rows] == [date(2026, 4, 10), date(2026, 5, 11)]
    assert [row.day for row in found.rows] == [10, 10]


CYCLES = [
    ("standard", date(2026, 3, 15), Month(2026, 4)),
    ("standard", date(2026, 12, 16), Month(2027, 2)),
    ("smcc-month-end", date(2026, 1, 31), Month(2026, 2)),
    ("nicos", date(2026, 3, 5), Month(2026, 3)),
    ("nicos", date(2026, 3, 6), Month(2026, 4)),
    ("view", date(2026, 11, 30), Month(2027, 1)),
    ("epos", date(2026, 3, 28), Month(2026, 5)),
]


@pytest.mark.parametrize(("profile", "sale_date", "month"), CYCLES)
def test_issuers_close_and_collect_in_their_own_months(profile: str, sale_date: date, month: Month) -> None:
    assert first_due(sale_date, PROFILES[profile]) == month


def test_a_pay_month_not_later_than_the_sale_is_left_out() -> None:
    windows = PROFILES["nsr"].windows
    assert bonus_season(date(2026, 6, 1), windows) == ("summer", (Month(2026, 7), Month(2026, 8)))
    assert bonus_season(date(2026, 11, 1), windows) == ("winter", (Month(2026, 12), Month(2027, 1)))


# Properties

SALES = st.dates(date(2020, 1, 1), date(2035, 12, 31))
OPTIONS = st.builds(
    PaymentOption,
    method=st.sampled_from([*METHODS]),
    installments=st.integers(2, 84),
    first_month=st.none() | st.integers(1, 12),
    bonuses=st.lists(
        st.builds(Bonus, st.none() | st.sampled_from([1, 7, 8, 12]), st.none() | st.integers(0, 400)), max_size=4
    ).map(tuple),
)


@given(
    asked=OPTIONS,
    yen=st.integers(1_601, 99_999_999),
    sale_date=SALES,
    profile=st.sampled_from([*PROFILES.values()]),
    fees=st.none() | st.sampled_from([*FEE_TABLES.values()]),
    assume_half=st.booleans(),
)
def test_rows_add_up_to_amount_and_fee(
    *, asked: PaymentOption, yen: int, sale_date: date, profile: Profile, fees: FeeTable | None, assume_half: bool
) -> None:
    found = cardholder_schedule(asked, Money(yen, JPY), sale_date, profile, fees, assume_half=assume_half)
    if isinstance(found, Problem):
        assert found.rule in {"J13", "J16"}
        return
    assert sum(amounts(found)) == found.total.minor == yen + found.fee.minor
    assert found.fee.minor >= 0
    assert all(amount >= 0 for amount in amounts(found))
    months = [Month(row.year, row.month) for row in found.rows]
    assert months == sorted(set(months))
    assert all(row.due.weekday() < 5 for row in found.rows)
    earliest = Month(sale_date.year, sale_date.month)
    assert months[0] > earliest or (months[0] == earliest and profile.months_later == 0)
    if asked.kind in (Kind.INSTALLMENTS, Kind.COMBINATION):
        assert len(found.rows) == asked.installments


@given(total=st.integers(0, 10**9), parts=st.integers(1, 99))
def test_a_split_loses_nothing(total: int, parts: int) -> None:
    for end in ("first", "last"):
        shares = split(total, parts, "first" if end == "first" else "last")
        assert sum(shares) == total
        assert max(shares) - min(shares) < parts


@given(minor=st.integers(1, 10**8), count=st.integers(3, 84), rate=st.integers(1, 2_000), days=st.integers(1, 70))
def test_level_payments_clear_the_amount(minor: int, count: int, rate: int, days: int) -> None:
    payments = annuity(minor, count, rate, days)
    assert len(payments) == count
    assert sum(payments) >= minor
    assert min(payments) >= 0


# Funding

FUNDED = [
    ("10", 1, date(2026, 3, 15), date(2026, 3, 31)),
    ("10", 1, date(2026, 3, 16), date(2026, 4, 15)),
    ("80", 1, date(2026, 1, 1), date(2026, 1, 30)),  # the 31st is a Saturday
    ("61", 12, date(2026, 12, 31), date(2027, 1, 15)),
    ("61", 2, date(2026, 3, 15), date(2026, 4, 30)),
    ("61", 2, date(2026, 3, 16), date(2026, 5, 29)),  # the 31st is a Sunday
    ("21", 1, date(2026, 3, 1), date(2026, 3, 31)),
]


@pytest.mark.parametrize(("method", "count", "sale_date", "paid"), FUNDED)
def test_the_merchant_is_paid_the_full_amount_once(method: str, count: int, sale_date: date, paid: date) -> None:
    amount = Money(100_000, JPY)
    schedule = plan(PaymentOption(method=method, installments=count), amount.minor, sale_date)
    assert [(each.date, each.amount) for each in funding(Contract(), method, amount, sale_date, schedule)] == [
        (paid, amount)
    ]


def test_a_contract_may_pay_in_the_bonus_month() -> None:
    contract = Contract(funding=(FundingRule(methods=("21",), pay_in_bonus_month=True),))
    amount = Money(9_000, JPY)
    schedule = plan(PaymentOption(method="21"), amount.minor)
    assert [each.date for each in funding(contract, "21", amount, MARCH, schedule)] == [date(2026, 8, 31)]
    without = funding(contract, "21", amount, MARCH)
    assert [(each.date, each.note) for each in without] == [(date(2026, 3, 31), NO_BONUS_MONTH)]
    assert funding(contract, "10", amount, MARCH)[0].date == date(2026, 3, 31)


def test_a_contract_may_delay_and_pay_behind_the_weekend() -> None:
    contract = Contract(funding=(FundingRule(delay_months=2),), funding_moves="next")
    assert funding(contract, None, Money(1, JPY), MARCH)[0].date == date(2026, 6, 1)
    unmoved = replace(contract, funding_moves="none")
    assert funding(unmoved, None, Money(1, JPY), MARCH)[0].date == date(2026, 5, 31)


def test_one_time_payment_in_another_currency_has_a_schedule() -> None:
    amount = Money(10_221, Currency.of("USD"))
    found = cardholder_schedule(PaymentOption(), amount, MARCH)
    assert isinstance(found, Schedule)
    assert found.total == amount
