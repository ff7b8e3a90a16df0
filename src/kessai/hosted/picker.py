"""Which Japanese payment options a payer may choose from, each with its schedule. Pure.

What the merchant's contract allows of one-time, installments, bonus and revolving for an amount of today, and what the
issuer that most of its payers have would bill. Fees are the issuers' and are not reckoned.
"""

from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct

from kessai.payment import options
from kessai.payment.issuers import PROFILES, STANDARD_COUNTS
from kessai.payment.merchant import Merchant
from kessai.payment.money import JPY, Money
from kessai.payment.options import Kind, PaymentOption
from kessai.payment.schedule import Schedule, cardholder_schedule

ONE_TIME: Final = "10"
_JAPAN: Final = timedelta(hours=9)
_KINDS: Final = (ONE_TIME, "61", "21", "80")
"""Codes in the order in which people know them."""


class Choice(Struct, frozen=True):
    """One of the picker's: its mark in the form (`61-6`), its kind, how often it is paid, what is paid when."""

    mark: str
    kind: Kind
    count: int
    schedule: Schedule


def offered(merchant: Merchant, amount: Money, now: datetime) -> tuple[Choice, ...]:
    """What is offered for an amount at a business time; nothing where there is no choice to make."""
    return choices(merchant, amount, (now + _JAPAN).date())


def choices(merchant: Merchant, amount: Money, day: date) -> tuple[Choice, ...]:
    """The same, on a Japanese date."""
    if amount.currency is not JPY:
        return ()
    profile = PROFILES[merchant.terms.issuer]
    found: list[Choice] = []
    for code in _KINDS:
        counts = merchant.terms.options.counts or STANDARD_COUNTS if code == "61" else (1,)
        for count in counts:
            option = PaymentOption(method=code, installments=count if code == "61" else None)
            problems = options.check(option, amount, day, merchant.terms.options, strict=True)
            if any(problem.field != "names" for problem in problems):  # names of the business are not the payer's
                continue
            schedule = cardholder_schedule(option, amount, day, profile)
            if isinstance(schedule, Schedule):
                mark = f"{code}-{count}" if code == "61" else code
                found.append(Choice(mark, option.kind, count, schedule))
    return tuple(found) if len(found) > 1 else ()
