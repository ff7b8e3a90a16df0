"""Payment options: what is read, what is wrong, and how it is shown."""

from dataclasses import replace
from datetime import date

import msgspec
import pytest

from kessai.payment import options, words
from kessai.payment.card import Brand
from kessai.payment.issuers import FundingRule, Minimum
from kessai.payment.money import JPY, Currency, Money
from kessai.payment.options import (
    ALIASES,
    CONTRACTS,
    METHODS,
    RULES,
    Bonus,
    Contract,
    PaymentOption,
    Problem,
    Severity,
    check,
    read,
)

MARCH = date(2026, 3, 10)
OPEN = Contract()
JCN = CONTRACTS["jcn"]
NAMES = {"business_name": "青空", "business_name_katakana": "わが社の場合", "business_name_alphanumeric": "AOZORA"}


def option(**values: object) -> PaymentOption:
    found = read(NAMES | values)
    assert isinstance(found, PaymentOption), found
    return found


def refused(**values: object) -> list[tuple[str, str, int | None]]:
    found = read(values)
    assert isinstance(found, tuple), found
    assert all(problem.severity is Severity.ERROR for problem in found)
    return [(problem.rule, problem.field, problem.index) for problem in found]


def rules(
    values: dict[str, object], yen: int = 12_000, contract: Contract = OPEN, sale_date: date = MARCH
) -> dict[str, str]:
    return {
        problem.rule: problem.severity.value
        for problem in check(option(**values), Money(yen, JPY), sale_date, contract)
    }


# Reading


@pytest.mark.parametrize("code", [*METHODS])
def test_every_method_is_read(code: str) -> None:
    assert option(method=code).method == code


@pytest.mark.parametrize(("alias", "code"), ALIASES.items())
def test_one_digit_codes_are_aliases_and_kept_as_sent(alias: str, code: str) -> None:
    assert option(method=alias).method == code
    assert option(method=alias).sent_method == alias


def test_nothing_sent_is_one_time_payment() -> None:
    assert read({}) == PaymentOption()
    assert read({"method": "", "installments": "", "bonuses": ""}) == PaymentOption()
    assert words.display(PaymentOption()) == ("one-time payment", "1回払い")


def test_leading_zeros_are_digits() -> None:
    found = option(method="61", installments="03", first_month="04", preapproval_type="0")
    assert (found.installments, found.first_month, found.preapproval_type) == (3, 4, 0)


MALFORMED: list[tuple[dict[str, object], list[tuple[str, str, int | None]]]] = [
    ({"method": "69"}, [("J01", "method", None)]),
    ({"method": "１０"}, [("J01", "method", None)]),
    ({"installments": "１２"}, [("J09", "installments", None)]),
    ({"installments": "x"}, [("J09", "installments", None)]),
    ({"installments": "100"}, [("J09", "installments", None)]),
    ({"installments": "-3"}, [("J09", "installments", None)]),
    ({"first_month": "13"}, [("J11", "first_month", None)]),
    ({"first_month": "00"}, [("J11", "first_month", None)]),
    ({"first_month": "４"}, [("J11", "first_month", None)]),
    ({"bonus_month": "13"}, [("J15", "bonus_month", 0)]),
    ({"bonus_month": "8", "second_bonus_month": "0"}, [("J15", "bonus_month", 1)]),
    ({"bonus_amount": "100.5"}, [("J18", "bonus_amount", 0)]),
    ({"bonus_amount": "100000000"}, [("J18", "bonus_amount", 0)]),
    ({"second_bonus_month": "8"}, [("J14", "bonuses", None)]),
    ({"bonuses": "7"}, [("J14", "bonuses", None)]),
    ({"bonuses": "0"}, [("J14", "bonuses", None)]),
    ({"bonuses": 0}, [("J14", "bonuses", None)]),
    ({"bonuses": True}, [("J14", "bonuses", None)]),
    ({"bonuses": {"month": "8"}}, [("J14", "bonuses", None)]),
    ({"bonuses": ["8"]}, [("J14", "bonuses", 0)]),
    ({"bonuses": [None] * 7}, [("J14", "bonuses", None)]),
    ({"bonuses": [None, {"month": "x", "amount": "y"}]}, [("J15", "bonus_month", 1), ("J18", "bonus_amount", 1)]),
    ({"bonuses": "2", "bonus_month": "8"}, [("J14", "bonuses", None)]),
    ({"bonuses": "1", "bonus_month": "8", "second_bonus_month": "1"}, [("J14", "bonuses", None)]),
    ({"preapproval_type": "7"}, [("J23", "preapproval_type", None)]),
    ({"terminal_id": "12345678901234"}, [("J24", "terminal_id", None)]),
    (
        {"method": "99", "installments": "x", "first_month": "x"},
        [("J01", "method", None), ("J09", "installments", None), ("J11", "first_month", None)],
    ),
]


@pytest.mark.parametrize(("values", "problems"), MALFORMED)
def test_every_malformed_member_is_named(
    values: dict[str, object], problems: list[tuple[str, str, int | None]]
) -> None:
    assert refused(**values) == problems


BONUSES: list[tuple[dict[str, object], tuple[Bonus, ...]]] = [
    ({}, ()),
    ({"bonuses": []}, ()),
    ({"bonuses": "2"}, (Bonus(), Bonus())),
    ({"bonuses": 1, "bonus_month": "08", "bonus_amount": "05000"}, (Bonus(8, 5_000),)),
    ({"bonuses": "02", "bonus_month": "8", "second_bonus_month": "1"}, (Bonus(8), Bonus(1))),
    ({"bonuses": "3", "bonus_month": "8", "second_bonus_month": "1"}, (Bonus(8), Bonus(1), Bonus())),
    ({"bonus_month": "8", "bonus_amount": "5000"}, (Bonus(8, 5_000),)),
    ({"bonuses": [{"month": "7", "amount": "10000"}, None]}, (Bonus(7, 10_000), Bonus())),
    ({"bonuses": [{"month": "7", "new": "x"}, {"amount": "1"}]}, (Bonus(7), Bonus(None, 1))),
    ({"method": "33", "bonuses": "3", "bonus_amount": "5000"}, (Bonus(None, 5_000),) * 3),
]


@pytest.mark.parametrize(("values", "bonuses"), BONUSES)
def test_all_shapes_of_bonuses_become_one_list(values: dict[str, object], bonuses: tuple[Bonus, ...]) -> None:
    assert option(**values).bonuses == bonuses


def test_an_option_is_plain_data() -> None:
    found = option(method="6", installments="6", bonuses=[{"month": "8", "amount": "1"}, None])
    assert msgspec.json.decode(msgspec.json.encode(found), type=PaymentOption) == found


# Checking

DOCUMENTED: list[dict[str, object]] = [
    {},
    {"method": "10"},
    {"method": "21"},
    {"method": "21", "bonuses": [{"month": "07", "amount": "12000"}]},
    {"method": "22"},
    {"method": "24"},
    {"method": "31", "installments": "12"},
    {"method": "80", "installments": "12", "first_month": "05"},
    {"method": "61", "installments": "12", "first_month": "04"},
    {
        "method": "31",
        "installments": "6",
        "first_month": "06",
        "bonuses": [{"month": "07", "amount": "4000"}, {"month": "11", "amount": "4000"}],
    },
    {"method": "34", "installments": "6", "bonuses": [{"month": "7", "amount": "10000"}, None]},
]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
@pytest.mark.parametrize("values", DOCUMENTED)
def test_what_the_guides_show_is_never_refused(values: dict[str, object], contract: Contract) -> None:
    for sale_date in (MARCH, date(2026, 6, 20), date(2026, 12, 31)):
        problems = check(option(**values), Money(12_001, JPY), sale_date, contract, brand=Brand.MASTERCARD)
        assert [problem for problem in problems if problem.severity is Severity.ERROR] == []


CHECKED: list[tuple[dict[str, object], int, Contract, dict[str, str]]] = [
    ({"method": "61", "installments": "3"}, 12_000, OPEN, {}),
    ({"method": "61", "installments": "3"}, 12_000, CONTRACTS["vpc"], {"J02": "warning"}),
    ({"method": "61", "installments": "3"}, 0, OPEN, {"J05": "warning"}),
    ({"method": "61", "installments": "3"}, 100_000_000, JCN, {"J07": "error"}),
    ({"method": "61", "installments": "3"}, 99_999_999, JCN, {}),
    ({"method": "10"}, 100_000_000, JCN, {"J07": "error"}),
    ({"method": "61"}, 12_000, OPEN, {"J08": "warning"}),
    ({"method": "61", "installments": "1"}, 12_000, OPEN, {"J09": "error"}),
    ({"method": "80", "installments": "1"}, 12_000, OPEN, {}),
    ({"method": "61", "installments": "7"}, 12_000, JCN, {"J10": "warning"}),
    ({"method": "61", "installments": "3", "first_month": "6"}, 12_000, JCN, {}),
    ({"method": "61", "installments": "3", "first_month": "7"}, 12_000, JCN, {"J12": "warning"}),
    ({"method": "21", "bonuses": "3"}, 12_000, OPEN, {"J14": "error"}),
    ({"method": "21", "bonuses": "2"}, 12_000, OPEN, {"J14": "warning"}),
    ({"method": "23", "bonuses": "2"}, 12_000, OPEN, {}),
    ({"method": "21", "bonus_month": "7"}, 12_000, JCN, {"J15": "warning"}),
    ({"method": "31", "installments": "3", "bonus_month": "8"}, 12_000, OPEN, {"J16": "error"}),
    ({"method": "31", "installments": "3", "bonus_month": "7"}, 12_000, OPEN, {}),
    ({"method": "31", "installments": "3", "bonus_month": "7", "first_month": "4"}, 12_000, OPEN, {"J16": "warning"}),
    ({"method": "31", "installments": "3", "bonus_month": "8", "first_month": "4"}, 12_000, OPEN, {"J16": "error"}),
    ({"method": "31", "installments": "24", "bonuses": [{"month": m} for m in "8181"]}, 12_000, OPEN, {}),
    ({"method": "31", "installments": "12", "bonuses": [{"month": m} for m in "18"]}, 12_000, OPEN, {}),
    (
        {"method": "31", "installments": "12", "bonuses": [{"month": "8"}, {"month": "8"}]},
        12_000,
        OPEN,
        {"J17": "error"},
    ),
    ({"method": "24", "bonuses": [{"month": "7"}, {"month": "8"}]}, 12_000, OPEN, {"J17": "error"}),
    ({"method": "24", "bonuses": [{"month": "8"}, {"month": "1"}]}, 12_000, OPEN, {}),
    ({"method": "21", "bonus_amount": "12001"}, 12_000, OPEN, {"J18": "error"}),
    ({"method": "21", "bonus_amount": "12000"}, 12_000, OPEN, {}),
    ({"method": "21", "bonus_amount": "4000"}, 12_000, OPEN, {"J18": "warning"}),
    ({"method": "31", "installments": "6", "bonus_amount": "12000"}, 12_000, OPEN, {"J18": "error"}),
    ({"method": "31", "installments": "6", "bonus_amount": "11999"}, 12_000, OPEN, {}),
    (
        {"method": "31", "installments": "6", "bonus_amount": "6001"},
        12_000,
        replace(OPEN, bonus_share_percent=50),
        {"J18": "warning"},
    ),
    ({"method": "10", "bonuses": "1"}, 12_000, OPEN, {"J19": "warning"}),
    ({"method": "61", "installments": "3", "business_name": ""}, 12_000, OPEN, {"J20": "warning"}),
    ({"method": "22"}, 12_000, OPEN, {"J25": "warning"}),
    ({"method": "33", "installments": "6", "bonuses": "1"}, 12_000, OPEN, {"J25": "warning"}),
]


@pytest.mark.parametrize(("values", "yen", "contract", "found"), CHECKED)
def test_only_malformed_and_contradictory_options_are_errors(
    values: dict[str, object], yen: int, contract: Contract, found: dict[str, str]
) -> None:
    assert rules(values, yen, contract) == found


def test_minimums_are_the_first_that_fits() -> None:
    contract = replace(
        OPEN,
        minimums=(
            Minimum(methods=("61",), installments=24, amount=50_000),
            Minimum(methods=("61", "21"), amount=10_000),
        ),
    )
    assert rules({"method": "61", "installments": "24"}, 49_999, contract) == {"J06": "warning"}
    assert rules({"method": "61", "installments": "3"}, 10_000, contract) == {}
    assert rules({"method": "21"}, 9_999, contract) == {"J06": "warning"}


GAPS = [(date(2026, 12, 15), True), (date(2026, 12, 16), False), (date(2027, 6, 16), True), (date(2027, 7, 16), False)]


@pytest.mark.parametrize(("sale_date", "is_gap"), GAPS)
def test_a_bonus_in_a_gap_is_a_warning(sale_date: date, is_gap: bool) -> None:
    assert rules({"method": "21"}, contract=JCN, sale_date=sale_date) == ({"J13": "warning"} if is_gap else {})


def test_circumstances_are_warned_of_unless_paid_at_once() -> None:
    def found(method: str) -> set[str]:
        problems = check(
            option(method=method),
            Money(10_000, Currency.of("USD")),
            MARCH,
            CONTRACTS["smcc"],
            brand=Brand.JCB,
            operation="capture",
            merchant_initiated=True,
            is_domestic_credit=False,
            earlier_captures=1,
        )
        assert {problem.severity for problem in problems} == {Severity.WARNING}
        return {problem.rule for problem in problems}

    assert found("80") == {"J02", "J03", "J04", "J21", "J22"}
    assert found("10") == {"J02"}


def test_card_present_wants_a_terminal() -> None:
    problems = check(option(), Money(1, JPY), MARCH, OPEN, card_present=True)
    assert [(problem.rule, problem.severity) for problem in problems] == [("J24", Severity.WARNING)]
    assert check(option(terminal_id="1234567890123"), Money(1, JPY), MARCH, OPEN, card_present=True) == ()


def test_capture_and_credit_have_limits_of_their_own_and_need_no_names() -> None:
    asked = PaymentOption(method="10")
    assert [p.rule for p in check(asked, Money(10_000_000, JPY), MARCH, JCN, operation="capture")] == ["J07"]
    assert check(asked, Money(9_999_999, JPY), MARCH, JCN, operation="credit") == ()


def test_a_card_check_may_be_of_zero() -> None:
    assert check(option(method="80", preapproval_type="1"), Money(0, JPY), MARCH, OPEN) == ()


def test_strict_refuses_all_but_ignored_data() -> None:
    problems = check(option(method="10", bonuses="1"), Money(100, JPY), MARCH, CONTRACTS["smcc"], strict=True)
    assert [(problem.rule, problem.severity) for problem in problems] == [("J19", Severity.WARNING)]
    problems = check(PaymentOption(method="61"), Money(100, JPY), MARCH, CONTRACTS["vpc"], strict=True)
    assert [problem.rule for problem in problems] == ["J02", "J08", "J20"]
    assert {problem.severity for problem in problems} == {Severity.ERROR}


def test_one_error_a_field_but_every_warning() -> None:
    asked = option(method="21", bonuses="2")
    gap = date(2026, 12, 1)
    on_the_wire = check(asked, Money(100, JPY), gap, replace(JCN, methods=("10",)))
    assert [problem.rule for problem in on_the_wire] == ["J02", "J13", "J14"]
    strict = check(asked, Money(100, JPY), gap, replace(JCN, methods=("10",)), strict=True)
    assert [problem.rule for problem in strict] == ["J02", "J14"]


@pytest.mark.parametrize("rule", [*RULES])
def test_every_rule_speaks_both_languages(rule: str) -> None:
    found = Problem(rule=rule, field=RULES[rule].field, severity=RULES[rule].severity)
    assert found.message.isascii()
    assert not found.message_ja.isascii()
    assert found.analogue


# Terms and words


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
def test_a_contract_is_plain_data(contract: Contract) -> None:
    assert msgspec.json.decode(msgspec.json.encode(contract), type=Contract) == contract
    assert msgspec.convert(msgspec.to_builtins(contract), Contract) == contract


def test_a_funding_rule_needs_a_closing() -> None:
    with pytest.raises(ValueError, match="at least one closing"):
        FundingRule(closings=())


SHOWN: list[tuple[dict[str, object], str, str]] = [
    ({"method": "10"}, "one-time payment", "1回払い"),
    ({"method": "61", "installments": "2"}, "two payments", "2回払い"),
    ({"method": "61", "installments": "12"}, "12 installments", "分割12回払い"),
    ({"method": "61"}, "installments", "分割払い"),
    ({"method": "21"}, "bonus payment", "ボーナス一括払い"),
    ({"method": "22", "bonuses": "2"}, "bonus payment", "ボーナス一括払い"),
    ({"method": "23", "bonuses": "2"}, "bonus payment, twice", "ボーナス2回払い"),
    ({"method": "34", "installments": "6"}, "6 installments with bonus", "ボーナス併用払い(6回)"),
    ({"method": "31"}, "installments with bonus", "ボーナス併用払い"),
    ({"method": "80"}, "revolving payment", "リボ払い"),
]


@pytest.mark.parametrize(("values", "english", "japanese"), SHOWN)
def test_methods_are_shown_in_both_languages(values: dict[str, object], english: str, japanese: str) -> None:
    assert words.display(option(**values)) == (english, japanese)


def test_an_acquirer_is_sent_names_that_it_can_print() -> None:
    option = options.PaymentOption(
        business_name="我社", business_name_katakana="わが社の場合", business_name_alphanumeric="ＯｕｒＳｔｏｒｅ"
    )
    sent = words.printed(option)
    assert (sent.business_name, sent.business_name_katakana) == ("我社", "ﾜｶﾞ社ﾉ場合")
    assert sent.business_name_alphanumeric == "OurStore"
