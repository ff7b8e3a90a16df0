"""The story of a payment, as people are told it: transactions, masked exchanges, entries, schedule, warnings.

`plan` tells what a Japanese payment option means: what the cardholder is expected to pay each month, and when the
merchant is funded.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from kessai import accounts, ids
from kessai.app import House
from kessai.dialects.cybersource import agreements, details
from kessai.dialects.paymentoptions import identifiers
from kessai.dialects.table import find
from kessai.ledger import Entry
from kessai.payment import agreement, issuers, options, schedule, words
from kessai.payment.bank import FLAG
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation, Payment, Transaction
from kessai.payment.money import AMOUNT_TEXT, JPY, Money, loses_decimals
from kessai.tokens import updates
from kessai.tokens.objects import InstrumentIdentifier


async def of_payment(house: House, account: accounts.Account, payment: Payment) -> dict[str, object]:
    merchant, rows = account.merchant, []
    for transaction in payment.transactions:
        entries = await house.gateway.payments.entries(merchant.id, transaction.id)
        events = await house.gateway.payments.events(merchant.id, transaction.id)
        rows.append(_transaction(payment, transaction, entries, events, merchant.at(house.clock())))
    root = payment.root
    return {
        "merchant": merchant.id,
        "personality": merchant.personality,
        "payment": ids.show(payment.id),
        "brand": payment.brand.value if payment.brand else "bank account" if FLAG in root.flags else None,
        "card": f"{payment.pan_prefix}******{payment.pan_suffix}",
        "expiry": payment.expiry or None,
        "currency": payment.currency.code,
        "authorized": str(root.requested.of(payment.authorized)),
        "captured": str(root.requested.of(payment.captured)),
        "held": str(root.requested.of(payment.held)),
        "hold_expires_at": instant(payment.expires_at),
        "card_updates": await _card_updates(house, merchant.id, payment),
        "transactions": rows,
        "schedule": _schedule_of(account, payment),
    }


def identifier_of(text: str) -> int | None:
    """The id of a transaction, in the printed form of either wire; None for a text that is none."""
    by_wire = ids.read(text)
    return by_wire if by_wire is not None else identifiers.read(text)


async def _card_updates(house: House, merchant_id: str, payment: Payment) -> list[str]:
    """What its issuer has told of a stored card, before and after it paid; the account updater's notices (洗替)."""
    kept = msgspec.json.decode(payment.root.particulars or b"{}")
    named = find(kept, ("paymentInformation", "instrumentIdentifier", "id"))
    if not isinstance(named, str):
        return []
    instrument = await house.tokenizer.tokens.instrument_identifier(merchant_id, named)
    if not isinstance(instrument, InstrumentIdentifier):
        return []
    return [f"{told['month']} {told['notice'].lower()}" for told in updates.history(instrument)]


def _transaction(
    payment: Payment, transaction: Transaction, entries: list[Entry], events: list[dict[str, Any]], now: datetime
) -> dict[str, object]:
    asked: dict[str, object] = {
        "amount": str(transaction.requested),
        "stan": transaction.stan,
        "rrn": transaction.rrn,
    }
    if transaction.option is not None:
        sent = words.printed(transaction.option)
        asked["payment_option"] = {
            name: value for name, value in msgspec.to_builtins(sent).items() if value not in (None, ())
        }
    if transaction.operation in (Operation.AUTHORIZE, Operation.SALE, Operation.INCREMENT):
        said = agreements.told(msgspec.json.decode(transaction.particulars or b"{}"))
        if said is not None:
            asked["agreement"] = agreement.facts(said, is_present="retail" in transaction.flags)
    if transaction.operation in (Operation.AUTHORIZE, Operation.SALE, Operation.CREDIT):
        asked["card"] = f"{payment.pan_prefix}******{payment.pan_suffix}"
    return {
        "id": ids.show(transaction.id),
        "paymentoptions_id": identifiers.show(transaction.id),
        "operation": transaction.operation.value,
        "status": transaction.status.value,
        "shown_as": details.status_of(payment, transaction, now)
        if transaction.operation is not Operation.EXPIRE
        else "EXPIRED",
        "requested": str(transaction.requested),
        "approved": str(transaction.requested.of(transaction.approved)),
        "target": ids.show(transaction.target) if transaction.target else None,
        "reference": transaction.reference or None,
        "reason": transaction.reason.value if transaction.reason else None,
        "requested_at": instant(transaction.requested_at),
        "concluded_at": instant(transaction.concluded_at),
        "settlement": ids.show(transaction.settlement) if transaction.settlement else None,
        "exchange": {"sent": asked, "answered": dict(transaction.facts)} if transaction.stan else None,
        "flags": sorted(transaction.flags),
        "warnings": list(map(words.warning, transaction.warnings)),
        "entries": [
            {
                "line": entry.line,
                "account": entry.account.value,
                "debit": str(Money(entry.amount, entry.currency)) if entry.amount > 0 else None,
                "credit": str(Money(-entry.amount, entry.currency)) if entry.amount < 0 else None,
            }
            for entry in entries
        ],
        "events": [
            {"at": instant(ids.made_at(event["id"])), "kind": event["kind"], "detail": event["detail"]}
            for event in events
        ],
    }


def _schedule_of(account: accounts.Account, payment: Payment) -> dict[str, object] | None:
    root = payment.root
    if root.option is None:
        return None
    day = root.requested_at.astimezone(issuers.JAPAN).date()
    terms = account.merchant.terms
    amount = root.requested.of(payment.captured or root.approved or root.requested.minor)
    return plan(root.option, amount, day, terms.issuer, terms.options, payment.brand)


def plan(
    option: options.PaymentOption,
    amount: Money,
    day: date,
    issuer: str,
    contract: options.Contract,
    brand: Brand | None = None,
    fees: issuers.FeeTable | None = None,
) -> dict[str, object]:
    """What the cardholder is expected to pay each month, and when and how much the merchant is funded.

    Without `fees` every fee is left to the issuer.
    """
    english, japanese = words.display(option)
    profile = issuers.PROFILES[issuer]
    found = schedule.cardholder_schedule(option, amount, day, profile, fees)
    problems = options.check(option, amount, day, contract, brand=brand)
    shown: dict[str, object] = {
        "method": option.method or "10",
        "name": english,
        "name_ja": japanese,
        "amount": str(amount),
        "sale_date": day.isoformat(),
        "issuer": issuer,
    }
    if isinstance(found, options.Problem):
        problems = (*problems, found)
        shown |= {"cardholder": None, "notes": []}
        paid = schedule.funding(contract, option.method, amount, day)
    else:
        shown |= {
            "cardholder": [
                {
                    "month": f"{row.year:04d}-{row.month:02d}",
                    "due": row.due.isoformat(),
                    "amount": str(row.amount),
                    "kind": row.kind,
                }
                for row in found.rows
            ],
            "fee": str(found.fee),
            "total": str(found.total),
            "notes": [{"en": note.en, "ja": note.ja} for note in found.notes],
        }
        paid = schedule.funding(contract, option.method, amount, day, found)
    shown["funding"] = [{"date": row.date.isoformat(), "amount": str(row.amount)} for row in paid]
    shown["problems"] = [
        {"rule": p.rule, "severity": p.severity.value, "en": p.message, "ja": p.message_ja}
        for p in dict.fromkeys(problems)
    ]
    return shown


def plan_as_typed(
    amount: str, values: Mapping[str, object], day: date, issuer: str, contract: str, fees: str | None
) -> dict[str, object]:
    """The plan of an option as `options.read` takes it, amount in yen as text. Refused by rule where it is malformed.

    `issuer`, `contract` and `fees` are names of `issuers.PROFILES`, `CONTRACTS` and `FEE_TABLES`.
    """
    option = options.read(values)
    problems = option if isinstance(option, tuple) else ()
    is_yen = AMOUNT_TEXT.fullmatch(amount) is not None and not loses_decimals(amount, JPY)
    yen = Money.parse(amount, JPY) if is_yen else Money(0, JPY)
    if yen.minor == 0:
        problems = (options.problem("J05"), *problems)
    if problems or isinstance(option, tuple):
        raise accounts.Refused("; ".join(f"{found.rule} {found.message} / {found.message_ja}" for found in problems))
    named = replace(option, business_name="-", business_name_katakana="-", business_name_alphanumeric="-")
    table = issuers.FEE_TABLES[fees] if fees is not None else None
    return plan(named, yen, day, issuer, issuers.CONTRACTS[contract], fees=table)


def choices() -> dict[str, list[str]]:
    """What a plan can be made of."""
    return {
        "methods": [f"{code} {method.kind.value}" for code, method in options.METHODS.items()],
        "issuers": list(issuers.PROFILES),
        "fees": list(issuers.FEE_TABLES),
        "acquirers": list(issuers.CONTRACTS),
    }


def instant(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z") if instant else None
