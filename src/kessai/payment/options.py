"""Japanese payment options: one-time, bonus, installments, bonus with installments, revolving. Pure.

What a merchant asks for (`PaymentOption`), what its contract with the acquirer allows (`Contract`), and what is wrong
with the one under the other (`Problem`). Who pays when, `schedule.py` works out. No wire name is known here: a dialect
hands in neutral names and maps a problem's field back to a path of its own.

Contracts and cards are judged late in Japan, often when the settlement file is read, so on the wire only what is
malformed or contradicts itself is an error. The rest are warnings, which a merchant may ask to have refused (`strict`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai.payment import issuers, names
from kessai.payment.card import Brand
from kessai.payment.issuers import SEASON_OF, add_months, bonus_season, month_of, next_occurrence, occurrences
from kessai.payment.money import JPY, Money

Contract = issuers.Contract
CONTRACTS = issuers.CONTRACTS
Operation = issuers.Operation

MOST_BONUSES: Final = 6
MOST_BONUS_YEN: Final = 99_999_999


class Kind(Enum):
    """The five payment methods; the value is the word in sentences."""

    ONE_TIME = "one-time"
    BONUS = "bonus"
    COMBINATION = "bonus with installments"
    INSTALLMENTS = "installments"
    REVOLVING = "revolving"


class Detail(Enum):
    """Whether a method carries a detail of its bonuses. One that is not asked for is used when it comes."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A payment code (支払区分) and the bonus details that distinguish it from its siblings."""

    code: str
    kind: Kind
    count: Detail = Detail.NONE
    months: Detail = Detail.NONE
    amounts: Detail = Detail.NONE
    most: int = 0
    """The largest number of bonuses it has."""
    equal_amounts: bool = False
    """Whether an amount given once is meant for each bonus."""


_MAY, _MUST = Detail.OPTIONAL, Detail.REQUIRED

# How the variants differ is published nowhere; this is what the details that acquirers answer errors for allow.
METHODS: Final[Mapping[str, Method]] = {
    method.code: method
    for method in (
        Method(code="10", kind=Kind.ONE_TIME),
        Method(code="21", kind=Kind.BONUS, months=_MAY, most=1),
        Method(code="22", kind=Kind.BONUS, months=_MUST, most=1),
        Method(code="23", kind=Kind.BONUS, count=_MAY, most=2),
        Method(code="24", kind=Kind.BONUS, count=_MUST, months=_MUST, amounts=_MAY, most=2),
        Method(code="31", kind=Kind.COMBINATION, count=_MAY, months=_MAY, amounts=_MAY, most=6),
        Method(code="32", kind=Kind.COMBINATION, months=_MUST, most=6),
        Method(code="33", kind=Kind.COMBINATION, count=_MUST, amounts=_MUST, most=6, equal_amounts=True),
        Method(code="34", kind=Kind.COMBINATION, count=_MUST, months=_MUST, amounts=_MUST, most=6),
        Method(code="61", kind=Kind.INSTALLMENTS),
        Method(code="80", kind=Kind.REVOLVING),
    )
}
ALIASES: Final[Mapping[str, str]] = {"1": "10", "2": "21", "4": "61", "5": "80", "6": "31"}
"""The one-digit codes of the older interface."""


class Bonus(Struct, frozen=True):
    """One bonus payment: month 1 to 12 and yen, each None where it is left to the issuer."""

    month: int | None = None
    amount: int | None = None


class PaymentOption(Struct, frozen=True, kw_only=True):
    """How a cardholder wants to pay. Everything is optional: no method is one-time payment."""

    method: str | None = None
    """A code of `METHODS`; None when none was sent."""
    sent_method: str | None = None
    """The code as it was sent, an alias included."""
    installments: int | None = None
    first_month: int | None = None
    """The first billing month, 1 to 12: its next occurrence after the month of the sale."""
    bonuses: tuple[Bonus, ...] = ()
    preapproval_type: int | None = None
    """0 sale, 1 card check, 2 authorization only, 3 cancel, 4 merchant's reversal or refund, 5 cancel of an
    authorization, 6 post-authorization."""
    terminal_id: str | None = None
    business_name: str | None = None
    business_name_katakana: str | None = None
    business_name_alphanumeric: str | None = None

    @property
    def kind(self) -> Kind:
        return Kind.ONE_TIME if self.method is None else METHODS[self.method].kind

    @property
    def bonus_count(self) -> int:
        """How often the bonus is drawn on: never more than the method allows, at least once for a bonus method."""
        most = 0 if self.method is None else METHODS[self.method].most
        return max(min(len(self.bonuses), most), 1 if self.kind is Kind.BONUS else 0)


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to be right: its field, how grave a breach is on the wire, what to say, and the domestic answer."""

    field: str
    severity: Severity
    message: str
    message_ja: str
    analogue: str
    """The code that a domestic acquirer would decline with; `-` where there is none."""


# Rule, field, severity on the wire, English, Japanese, analogue.
_RULES: Final = """
J01|method|error|Unknown payment method code|支払区分が正しくありません|G78
J02|method|warning|Payment method not available for this merchant or brand|この支払方法はご利用いただけません|C10
J03|currency|warning|Japanese payment options require JPY|日本円のみ利用できます|-
J04|card|warning|This card does not support the payment method|このカードでは選択した支払方法を利用できません|G97
J05|amount|warning|Amount must be a whole number of yen|金額は1円単位の整数で指定してください|G68
J06|amount|warning|Amount is below the minimum for this payment method|最低利用金額に達していません|G75
J07|amount|error|Amount exceeds the processor limit|金額が上限を超えています|G68
J08|installments|warning|Number of installments is required|分割回数を指定してください|G74
J09|installments|error|Number of installments must be a number from 2 to 99|分割回数は数字で指定してください|G74
J10|installments|warning|Number of installments not available|指定の分割回数は利用できません|G74
J11|first_month|error|First billing month must be 01-12|支払開始月は01〜12で指定してください|G73
J12|first_month|warning|First billing month too far ahead|支払開始月が選択可能な範囲外です|G73
J13|method|warning|Bonus payment is not accepted on this date|ボーナス払いの取扱期間外です|C11
J14|bonuses|error|Number of bonuses is inconsistent|ボーナス回数が正しくありません|G70
J15|bonus_month|error|Bonus month not available|ボーナス月が正しくありません|G71
J16|bonus_month|error|Bonus month outside the installment period|ボーナス月が支払期間外です|G71
J17|bonus_month|error|Bonus months must be different seasons|ボーナス月が重複しています|G71
J18|bonus_amount|error|Bonus amount exceeds the allowed share|ボーナス金額が正しくありません|G72
J19|bonuses|warning|Bonus data ignored for this payment method|この支払方法ではボーナスの指定は無視されます|-
J20|names|warning|Business name missing or too long|加盟店名が正しくありません|-
J21|method|warning|Payment option not allowed for merchant-initiated payments|継続課金では利用できません|G77
J22|amount|warning|Partial capture not allowed with this payment method|分割売上はできません|G68
J23|preapproval_type|error|Preapproval type must be 0-6|事前承認区分が正しくありません|-
J24|terminal_id|error|Terminal id missing or longer than 13 characters|端末番号が正しくありません|-
J25|bonuses|warning|Bonus detail expected for this payment method|ボーナスの指定が不足しています|G70
"""


def _rule(row: str) -> tuple[str, Rule]:
    rule, name, severity, message, message_ja, analogue = row.split("|")
    return rule, Rule(name, Severity(severity), message, message_ja, analogue)


RULES: Final[Mapping[str, Rule]] = dict(_rule(row) for row in _RULES.strip().splitlines())
_WITH_BONUS: Final = (Kind.BONUS, Kind.COMBINATION)
ALWAYS_WARNINGS: Final = frozenset({"J19"})


class Problem(Struct, frozen=True, kw_only=True):
    """A breach of a rule. `index` says which bonus, from 0, where it is about one."""

    rule: str
    field: str
    severity: Severity
    index: int | None = None

    @property
    def message(self) -> str:
        return RULES[self.rule].message

    @property
    def message_ja(self) -> str:
        return RULES[self.rule].message_ja

    @property
    def analogue(self) -> str:
        return RULES[self.rule].analogue


@lru_cache(maxsize=1024)
def problem(rule: str, field: str | None = None, index: int | None = None, severity: Severity | None = None) -> Problem:
    """A breach of a rule, on the rule's own field and as grave as it is on the wire unless said otherwise."""
    row = RULES[rule]
    return Problem(rule=rule, field=field or row.field, severity=severity or row.severity, index=index)


_MONTH: Final = re.compile(r"0?[1-9]|1[0-2]")
_YEN: Final = re.compile(r"[0-9]{1,12}")

# Key, form of the text, largest value, rule, field and bonus of a breach.
_NUMBERS: Final = (
    ("installments", re.compile(r"[0-9]{1,2}"), 99, "J09", "installments", None),
    ("first_month", _MONTH, 12, "J11", "first_month", None),
    ("bonus_month", _MONTH, 12, "J15", "bonus_month", 0),
    ("bonus_amount", _YEN, MOST_BONUS_YEN, "J18", "bonus_amount", 0),
    ("second_bonus_month", _MONTH, 12, "J15", "bonus_month", 1),
    ("second_bonus_amount", _YEN, MOST_BONUS_YEN, "J18", "bonus_amount", 1),
    ("preapproval_type", re.compile(r"[0-6]"), 6, "J23", "preapproval_type", None),
)


def read(values: Mapping[str, object]) -> PaymentOption | tuple[Problem, ...]:
    """Neutral members as they came to an option, or every member that is malformed, in the order of the rules.

    Scalars are text; digits are ASCII digits, leading zeros allowed; an empty text is an absent member. `bonuses` is a
    count (text or int), whose details are the `bonus_*` and `second_bonus_*` members, or a list of None and of
    mappings with `month` and `amount`, beside which those members are not looked at.
    """
    problems: list[Problem] = []
    sent = _text(values, "method")
    method = ALIASES.get(sent, sent) if sent is not None else None
    if method is not None and method not in METHODS:
        problems.append(problem("J01"))
        method = None
    numbers = {
        key: _number(values.get(key), form, most, problem(rule, name, index), problems)
        for key, form, most, rule, name, index in _NUMBERS
    }
    terminal_id = _text(values, "terminal_id")
    if terminal_id is not None and len(terminal_id) > 13:
        problems.append(problem("J24"))
    pair = [
        Bonus(numbers["bonus_month"], numbers["bonus_amount"]),
        Bonus(numbers["second_bonus_month"], numbers["second_bonus_amount"]),
    ]
    bonuses = _bonuses(values.get("bonuses"), pair, method, problems)
    if problems:
        return _in_order(problems)
    return PaymentOption(
        method=method,
        sent_method=sent,
        installments=numbers["installments"],
        first_month=numbers["first_month"],
        bonuses=bonuses,
        preapproval_type=numbers["preapproval_type"],
        terminal_id=terminal_id,
        business_name=_text(values, "business_name"),
        business_name_katakana=_text(values, "business_name_katakana"),
        business_name_alphanumeric=_text(values, "business_name_alphanumeric"),
    )


def _text(values: Mapping[str, object], key: str) -> str | None:
    value = values.get(key)
    return None if value is None or value == "" else str(value)


def _number(value: object, form: re.Pattern[str], most: int, breach: Problem, problems: list[Problem]) -> int | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or form.fullmatch(value) is None or int(value) > most:
        problems.append(breach)
        return None
    return int(value)


def _bonuses(raw: object, pair: list[Bonus], method: str | None, problems: list[Problem]) -> tuple[Bonus, ...]:
    given = 2 if pair[1] != Bonus() else 1 if pair[0] != Bonus() else 0
    if isinstance(raw, list | tuple) and raw:
        return _listed(raw, problems)
    if not raw and not isinstance(raw, int):
        if given == 2 and pair[0] == Bonus():
            problems.append(problem("J14"))
        return tuple(pair[:given])
    if isinstance(raw, bool) or not isinstance(raw, str | int) or re.fullmatch(r"0?[1-6]", str(raw)) is None:
        problems.append(problem("J14"))
        return ()
    count = int(raw)
    months = [bonus.month for bonus in pair if bonus.month is not None]
    is_malformed = any(found.field in ("bonus_month", "bonus_amount") for found in problems)
    if given > count or (len(months) not in (0, min(count, 2)) and not is_malformed):
        problems.append(problem("J14"))
    if method is not None and METHODS[method].equal_amounts and given == 1 and not months:
        return (pair[0],) * count
    return (*pair, *(Bonus() for _ in range(count)))[:count]


def _listed(raw: list[object] | tuple[object, ...], problems: list[Problem]) -> tuple[Bonus, ...]:
    if len(raw) > MOST_BONUSES:
        problems.append(problem("J14"))
    entries: list[Bonus] = []
    for index, entry in enumerate(raw[:MOST_BONUSES]):
        if entry is not None and not isinstance(entry, Mapping):
            problems.append(problem("J14", index=index))
            continue
        details: Mapping[object, object] = entry or {}
        month = _number(details.get("month"), _MONTH, 12, problem("J15", index=index), problems)
        amount = _number(details.get("amount"), _YEN, MOST_BONUS_YEN, problem("J18", index=index), problems)
        entries.append(Bonus(month, amount))
    return tuple(entries)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """By rule; of the errors on one field only the first. Warnings are all kept."""
    kept: list[Problem] = []
    for found in sorted(problems, key=lambda each: each.rule):
        same_field = [each for each in kept if (each.field, each.index) == (found.field, found.index)]
        if found.severity is Severity.WARNING or all(each.severity is Severity.WARNING for each in same_field):
            kept.append(found)
    return tuple(dict.fromkeys(kept))


def check(
    option: PaymentOption,
    amount: Money,
    sale_date: date,
    contract: Contract,
    *,
    brand: Brand | None = None,
    operation: Operation = "authorization",
    merchant_initiated: bool = False,
    card_present: bool = False,
    is_domestic_credit: bool | None = None,
    earlier_captures: int = 0,
    strict: bool = False,
) -> tuple[Problem, ...]:
    """What is wrong with an option, in the order of the rules: every warning, and one error per field.

    `sale_date` is the date in Japan. What is not known about the card (`brand`, `is_domestic_credit`: issued in Japan
    and not debit or prepaid) is not held against it. `strict` makes errors of the warnings.
    """
    is_one_time = option.kind is Kind.ONE_TIME
    is_contracted = contract.methods is None or (option.method or "10") in contract.methods
    is_of_brand = contract.brands is None or brand is None or brand in contract.brands
    problems: list[Problem] = []
    if not is_contracted or not is_of_brand:
        problems.append(problem("J02"))
    if is_domestic_credit is False and not is_one_time:
        problems.append(problem("J04"))
    if option.kind is Kind.BONUS and contract.bonus_windows and not bonus_season(sale_date, contract.bonus_windows):
        problems.append(problem("J13"))
    if merchant_initiated and not is_one_time:
        problems.append(problem("J21"))
    if amount.currency is JPY and amount.minor > contract.maxima.get(operation, amount.minor):
        problems.append(problem("J07"))
    if operation == "capture" and earlier_captures and not is_one_time:
        problems.append(problem("J22"))
    if operation == "authorization":
        if not names.fit(option.business_name, option.business_name_katakana, option.business_name_alphanumeric):
            problems.append(problem("J20"))
        if card_present and option.terminal_id is None:
            problems.append(problem("J24", severity=Severity.WARNING))
    problems += _amount_problems(option, contract, amount)
    problems += _count_problems(option, contract, sale_date)
    if option.bonuses or option.kind in _WITH_BONUS:
        problems += _bonus_problems(option, contract, amount, sale_date)
    if not problems:
        return ()
    if strict:
        problems = [
            found if found.rule in ALWAYS_WARNINGS else replace(found, severity=Severity.ERROR) for found in problems
        ]
    return _in_order(problems)


def _amount_problems(option: PaymentOption, contract: Contract, amount: Money) -> Iterator[Problem]:
    if option.kind is Kind.ONE_TIME:
        return
    if amount.currency is not JPY:
        yield problem("J03")
    if amount.minor <= 0 and option.preapproval_type != 1:
        yield problem("J05")
    for minimum in contract.minimums:
        if option.method in minimum.methods and minimum.installments in (None, option.installments):
            if amount.minor < minimum.amount:
                yield problem("J06")
            break


def _count_problems(option: PaymentOption, contract: Contract, sale_date: date) -> Iterator[Problem]:
    if option.kind in (Kind.INSTALLMENTS, Kind.COMBINATION):
        if option.installments is None:
            yield problem("J08")
        elif not 2 <= option.installments <= 99:
            yield problem("J09")
        elif contract.counts is not None and option.installments not in contract.counts:
            yield problem("J10")
    if option.first_month is not None and contract.months_ahead is not None:
        months = (option.first_month - sale_date.month - 1) % 12 + 1
        if months > contract.months_ahead:
            yield problem("J12")


def _bonus_problems(option: PaymentOption, contract: Contract, amount: Money, sale_date: date) -> Iterator[Problem]:
    if option.kind not in _WITH_BONUS:
        yield problem("J19")
        return
    assert option.method is not None
    method = METHODS[option.method]
    most = 2 if option.kind is Kind.BONUS else MOST_BONUSES
    if len(option.bonuses) > most:
        yield problem("J14")
    elif len(option.bonuses) > method.most:
        yield problem("J14", severity=Severity.WARNING)
    yield from _missing_details(option, method)
    pay_months = {month for window in contract.bonus_windows for month in window.pay_months}
    for index, bonus in enumerate(option.bonuses):
        if bonus.month is not None and pay_months and bonus.month not in pay_months:
            yield problem("J15", index=index, severity=Severity.WARNING)
    yield from _month_problems(option, sale_date)
    if amount.currency is JPY:
        yield from _share_problems(option, contract, amount.minor)


def _missing_details(option: PaymentOption, method: Method) -> Iterator[Problem]:
    if not option.bonuses:
        if Detail.REQUIRED in (method.count, method.months, method.amounts):
            yield problem("J25")
        return
    for index, bonus in enumerate(option.bonuses):
        if method.months is Detail.REQUIRED and bonus.month is None:
            yield problem("J25", "bonus_month", index)
        if method.amounts is Detail.REQUIRED and bonus.amount is None:
            yield problem("J25", "bonus_amount", index)


def _month_problems(option: PaymentOption, sale_date: date) -> Iterator[Problem]:
    """Months that repeat a season, or lie outside of the plan of a combination.

    Without a first billing month the plan may begin in the month after the sale or, behind the issuer's closing day,
    one later; either will do. With one, the month right behind the plan is a warning only: published examples do that.
    """
    indexed = [(index, bonus.month) for index, bonus in enumerate(option.bonuses) if bonus.month is not None]
    first = add_months(month_of(sale_date), 1)
    slack = 1
    if option.first_month is not None:
        first, slack = next_occurrence(option.first_month, first), 0
    found = occurrences((month for _, month in indexed), first)
    is_plan = option.kind is Kind.COMBINATION and option.installments is not None
    seen: list[int] = []
    for (index, number), month in zip(indexed, found, strict=True):
        repeats = any(_same_season(number, other) for other in seen)
        is_outside = is_plan and month > add_months(first, (option.installments or 0) - 1 + slack)
        if repeats and (option.kind is Kind.BONUS or is_outside):
            yield problem("J17", index=index)
        elif is_outside:
            is_next = option.first_month is not None and month == add_months(first, option.installments or 0)
            yield problem("J16", index=index, severity=Severity.WARNING if is_next else None)
        seen.append(number)


def _same_season(one: int, other: int) -> bool:
    return one == other or (one in SEASON_OF and SEASON_OF[one] == SEASON_OF.get(other))


def _share_problems(option: PaymentOption, contract: Contract, yen: int) -> Iterator[Problem]:
    amounts = [bonus.amount for bonus in option.bonuses if bonus.amount is not None]
    total = sum(amounts)
    if option.kind is Kind.BONUS:
        if total > yen:
            yield problem("J18")
        elif amounts and len(amounts) == len(option.bonuses) and total < yen:
            yield problem("J18", severity=Severity.WARNING)
        return
    if amounts and total >= yen:
        yield problem("J18")
    elif contract.bonus_share_percent is not None and total * 100 > yen * contract.bonus_share_percent:
        yield problem("J18", severity=Severity.WARNING)
