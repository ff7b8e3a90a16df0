"""Sections about the rules: the lifecycle, the ledger, the Japanese payment options."""

from kessai import ledger
from kessai.payment import issuers, options, words
from kessai.payment.lifecycle import FLAGS
from kessai.payment.transitions import FOLLOWING, TABLE
from kessai.reference import diagram
from kessai.reference.parts import code, meanings, meant, table


def print_lifecycle() -> str:
    return table(
        ("State", *(operation.value for operation in FOLLOWING)),
        (
            (state.value, *(code(answer.name) if answer else "yes" for answer in row.values()))
            for state, row in TABLE.items()
        ),
    )


def print_diagrams() -> str:
    drawn = (
        ("An authorization", diagram.AUTHORIZATIONS),
        ("A sale", diagram.SALES),
        ("An eCheck debit", diagram.DEBITS),
        ("A capture", diagram.CAPTURES),
        ("A refund or credit", diagram.RETURNS),
        ("An unknown outcome", diagram.OPEN),
    )
    return "\n\n".join(f"### {title}\n\n```mermaid\n{diagram.mermaid(states)}\n```" for title, states in drawn)


def print_flags() -> str:
    return meant("Flag", FLAGS)


def print_accounts() -> str:
    said = meanings(ledger.Account)
    return meant("Account", {each.value: said[each.name] for each in ledger.Account})


def print_postings() -> str:
    measures = {"approved": "what was approved", "hold": "what it releases of the hold"}
    return table(
        ("Operation", "Debit", "Credit", "Amount"),
        (
            (operation.value, code(debit.value), code(credit.value), measures[measure])
            for operation, legs in ledger.POSTINGS.items()
            for (debit, credit), measure in legs
        ),
    )


def print_methods() -> str:
    rows = (
        (
            code(row.code),
            code(next((short for short, code in options.ALIASES.items() if code == row.code), "")),
            row.kind.value,
            *words.display(options.PaymentOption(method=row.code)),
            row.count.value,
            row.months.value,
            row.amounts.value,
        )
        for row in options.METHODS.values()
    )
    return table(("Code", "Old code", "Kind", "English", "Japanese", "Count", "Months", "Amounts"), rows)


def print_rules() -> str:
    return table(
        ("Rule", "About", "On the wire", "English", "Japanese", "Domestic code"),
        (
            (name, rule.field.replace("_", " "), rule.severity.value, rule.message, rule.message_ja, rule.analogue)
            for name, rule in options.RULES.items()
        ),
    )


def print_issuers() -> str:
    return table(
        ("Profile", "Closes", "Collects", "Months later", "Bonus windows", "Rest to", "Fees", "Bonus twice"),
        (
            (
                code(row.name),
                row.closing_day,
                row.pay_day,
                row.months_later,
                "; ".join(map(_window, row.windows)) or "none",
                row.remainder_to,
                row.fee_model,
                _hundredths(row.bonus_twice_fee),
            )
            for row in issuers.PROFILES.values()
        ),
    )


def print_fees() -> str:
    counts = sorted(next(iter(issuers.FEE_TABLES.values())).per_100)
    return table(
        ("Table", *map(str, counts), "Yearly"),
        (
            (code(row.name), *(_hundredths(row.per_100.get(count)) for count in counts), _hundredths(row.annual_rate))
            for row in issuers.FEE_TABLES.values()
        ),
    )


def print_funding() -> str:
    return table(
        ("Methods", "Installments", "Closing: sales up to a day → paid on a day, months later"),
        (
            (
                ", ".join(rule.methods) or "every",
                rule.installments or "any",
                "; ".join(f"{c.through_day} → {c.pay_day}, +{c.months_later}" for c in rule.closings),
            )
            for rule in issuers.STANDARD_FUNDING
        ),
    )


def _window(window: issuers.BonusWindow) -> str:
    first, last = (f"{month}/{day}" for month, day in (window.first, window.last))
    return f"{window.season} {first} to {last} → {', '.join(map(str, window.pay_months))}"


def _hundredths(value: int | None) -> str:
    return f"{value // 100}.{value % 100:02d}" if value else ""
