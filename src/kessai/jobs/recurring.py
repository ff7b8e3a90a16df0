"""Recurring charges: what subscriptions say is due goes down the one road, each try at each period once.

A try is a row before it is a payment, and its payment holds a claim that is named after it. Whoever comes second, in
this process or another one, before a crash or after it, finds the payment that the claim names, and records what became
of that one. While nobody can say what became of it, nothing is charged again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.claims import KEYS_KEPT, claim_of
from kessai.gateway import Busy, Circumstances, Gateway
from kessai.log import log
from kessai.outcomes import Encode, OutcomeUnknown
from kessai.payment.agreement import Agreement
from kessai.payment.authorize import Authorize
from kessai.payment.card import Card
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.subscription import (
    RUNNING,
    Charge,
    Result,
    Subscription,
    charged,
    due_charge,
    next_charge,
    result_of,
)
from kessai.storage.database import DatabaseError
from kessai.storage.payments import Claim
from kessai.storage.subscriptions import BEGUN, BeginCharge, ChangeSubscription, RecordCharge, Subscriptions

AT_A_TIME: Final = 16
"""Subscriptions of a merchant that are charged side by side."""
MOST_RACES: Final = 32
LOST_AFTER: Final = KEYS_KEPT - timedelta(days=1)
"""A try that was begun longer ago than this, and has no payment, may have had one whose claim is forgotten."""
_STATES: Final = {Result.PAID: "paid", Result.SOFT: "declined", Result.HARD: "declined", Result.NOTHING: "failed"}


class OnFile(Struct, frozen=True, kw_only=True):
    """What a customer token pays with: its card, and whose it is."""

    card: Card
    first_name: str = ""
    last_name: str = ""
    flags: frozenset[str] = frozenset()
    """What the rules must remember besides; see `lifecycle.FLAGS`."""
    agreed: str = ""
    """The network's id of the payment by which the cardholder agreed, where it is on file with the card."""


CardOf = Callable[[Merchant, str], Awaitable[OnFile | None]]
"""What a customer token pays with; None where there is no such customer, or none of its cards is the default."""


class Words(Struct, frozen=True):
    """How a wire tells of a recurring payment: members to keep beside it, and its answer."""

    particulars: Callable[[Subscription, Charge | None], bytes]
    """Of a charge; of the verification of a card, where there is none."""
    encode: Encode
    agreement: Callable[[bytes], Agreement | None]
    """What an acquirer is told by those members."""


class Biller(Struct, frozen=True):
    """What charging needs."""

    gateway: Gateway
    rows: Subscriptions
    card_of: CardOf
    words: Words


async def charge_due(biller: Biller, merchant: Merchant, is_stopping: Callable[[], bool]) -> int:
    """Charge what is due for a merchant. How many subscriptions were looked at."""
    after, count = (0, 0), 0
    if biller.gateway.links[merchant.personality].is_away:
        return 0  # what is due stays due
    now = merchant.at(biller.gateway.clock())
    while page := await biller.rows.due(merchant.id, now, after):
        after = (page[-1][0], page[-1][1].id)
        for place in range(0, len(page), AT_A_TIME):
            if is_stopping():
                return count
            group = [subscription for _, subscription in page[place : place + AT_A_TIME]]
            await asyncio.gather(*(_work_off(biller, merchant, each, is_stopping) for each in group))
            count += len(group)
    return count


async def _work_off(
    biller: Biller, merchant: Merchant, subscription: Subscription, is_stopping: Callable[[], bool]
) -> None:
    """Everything of one subscription that is due, period by period; one subscription's trouble is not the others'."""
    try:
        if subscription.state not in RUNNING:
            await _tidy(biller, merchant, subscription)
            return
        current: Subscription | None = subscription
        while current is not None and not is_stopping():
            if due_charge(current, merchant.at(biller.gateway.clock())) is None:
                return
            current = await charge(biller, merchant, current)
    except (Busy, DatabaseError, OutcomeUnknown) as error:
        log("subscription.later", level="warning", subscription=subscription.code, error=type(error).__name__)
    except Exception as error:
        log("subscription.fault", level="error", subscription=subscription.code, error=type(error).__name__)


async def charge(biller: Biller, merchant: Merchant, subscription: Subscription) -> Subscription | None:
    """The try at which a subscription stands. The subscription after it; None: nobody can say yet what became of it."""
    wanted = next_charge(subscription)
    now = merchant.at(biller.gateway.clock())
    begin = BeginCharge(
        merchant_id=merchant.id,
        subscription_id=subscription.id,
        id=biller.gateway.new_id(),
        charge=wanted,
        now=now,
    )
    is_ours = await biller.gateway.database.write(begin)
    claim = _claim(subscription, wanted)
    transaction_id = None if is_ours else await biller.rows.claimed_by(merchant.id, claim.key)
    if transaction_id is None and not is_ours:
        row = await biller.rows.charge(merchant.id, subscription.id, wanted.period, wanted.attempt)
        if row is None or row.state != BEGUN:
            return await biller.rows.subscription(merchant.id, subscription.id)
        if row.id < _first_id(biller.gateway, LOST_AFTER):
            return await _record(biller, merchant, subscription.id, wanted, (Result.HARD, "lost", None))
    if transaction_id is None:
        if not wanted.amount.minor:
            return await _record(biller, merchant, subscription.id, wanted, (Result.PAID, "paid", None))
        done = await _pay(biller, merchant, subscription, wanted, wanted.amount, claim)
        if isinstance(done, Result):
            return await _record(biller, merchant, subscription.id, wanted, (done, "failed", None))
        if done is None:
            return None
        transaction_id = done
    found = await _found(biller, merchant, transaction_id)
    if found is None:
        return None
    return await _record(biller, merchant, subscription.id, wanted, (found, _STATES[found], transaction_id))


async def verify(biller: Biller, merchant: Merchant, subscription: Subscription) -> bool | None:
    """Whether the card of a subscription that starts later is good: an authorization of zero. None: nobody can say."""
    claim = claim_of("subscription verified", str(subscription.id))
    nothing = subscription.billing.money(0)
    done = await biller.rows.claimed_by(merchant.id, claim.key)
    if done is None:
        answer = await _pay(biller, merchant, subscription, None, nothing, claim)
        if isinstance(answer, Result):
            return False
        done = answer
    found = await _found(biller, merchant, done) if done is not None else None
    return found is Result.PAID if found is not None else None


async def verified_by(biller: Biller, merchant: Merchant, subscription: Subscription) -> int | None:
    """The transaction that verified the card of a subscription."""
    return await biller.rows.claimed_by(merchant.id, claim_of("subscription verified", str(subscription.id)).key)


def _claim(subscription: Subscription, wanted: Charge) -> Claim:
    """What only one payment has: this try at this period."""
    return claim_of("subscription", f"{subscription.id}\n{wanted.period}\n{wanted.attempt}")


def _first_id(gateway: Gateway, ago: timedelta) -> int:
    """The smallest id that was made since; ids keep wall time."""
    return ids.first_of(ids.made_at(gateway.new_id()) - ago)


async def _pay(
    biller: Biller, merchant: Merchant, subscription: Subscription, wanted: Charge | None, amount: Money, claim: Claim
) -> int | Result | None:
    """Take it down the road. The transaction that holds the claim; why there is none; None: try again later."""
    on_file = await biller.card_of(merchant, subscription.customer)
    if on_file is None:
        return Result.SOFT
    if not subscription.original and on_file.agreed:
        subscription = replace(subscription, original=on_file.agreed)
    particulars = biller.words.particulars(subscription, wanted)
    command = Authorize(
        amount=amount,
        card=on_file.card,
        capture=wanted is not None,
        reference=subscription.reference or subscription.code,
        flags=on_file.flags | {"merchant-initiated"},
        particulars=particulars,
        agreement=biller.words.agreement(particulars),
    )
    circumstances = Circumstances(correlation=f"subscription-{ids.show(subscription.id)}", claims=(claim,))
    answer = await biller.gateway.perform(merchant, command, circumstances, biller.words.encode)
    holder = await biller.rows.claimed_by(merchant.id, claim.key)
    if holder is not None:
        return holder
    if answer is Refusal.DUPLICATE_REFERENCE:  # its window ends by itself
        return None
    log("subscription.refused", level="warning", subscription=subscription.code, answer=str(answer))
    return Result.HARD


async def _found(biller: Biller, merchant: Merchant, transaction_id: int) -> Result | None:
    found = await biller.gateway.payments.load_payment(merchant.id, transaction_id)
    return result_of(found.payment) if found is not None else None


async def _record(
    biller: Biller,
    merchant: Merchant,
    subscription_id: int,
    wanted: Charge,
    outcome: tuple[Result, str, int | None],
) -> Subscription | None:
    """Write what became of a try into the subscription as it stands by now."""
    result, state, transaction_id = outcome
    now = merchant.at(biller.gateway.clock())
    for _ in range(MOST_RACES):
        current = await biller.rows.subscription(merchant.id, subscription_id)
        if current is None:
            return None
        after = _after(current, wanted, result, now, merchant)
        write = RecordCharge(
            merchant_id=merchant.id,
            subscription=after,
            period=wanted.period,
            attempt=wanted.attempt,
            state=state,
            transaction_id=transaction_id,
            now=now,
        )
        if await biller.gateway.database.write(write):
            log(
                f"subscription.{state}",
                merchant=merchant.id,
                subscription=ids.show(subscription_id),
                period=wanted.period,
                attempt=wanted.attempt,
                transaction=ids.show(transaction_id) if transaction_id else None,
                state=after.state.value,
            )
            return replace(after, version=after.version + 1)
        row = await biller.rows.charge(merchant.id, subscription_id, wanted.period, wanted.attempt)
        if row is None or row.state != BEGUN:
            return await biller.rows.subscription(merchant.id, subscription_id)
    return None


def _after(current: Subscription, wanted: Charge, result: Result, now: datetime, merchant: Merchant) -> Subscription:
    if (current.period, current.attempt) == (wanted.period, wanted.attempt):
        return charged(current, result, now, merchant.terms)
    # It was led past this period while the charge was under way.
    return replace(current, paid=current.paid + (1 if result is Result.PAID else 0))


async def _tidy(biller: Biller, merchant: Merchant, subscription: Subscription) -> None:
    """A subscription that was stopped: record the charge that was under way when it was, and charge nothing."""
    wanted = next_charge(subscription)
    row = await biller.rows.charge(merchant.id, subscription.id, wanted.period, wanted.attempt)
    if row is None or row.state != BEGUN:
        await biller.gateway.database.write(ChangeSubscription(merchant.id, replace(subscription, due_at=None)))
        return
    transaction_id = await biller.rows.claimed_by(merchant.id, _claim(subscription, wanted).key)
    if transaction_id is None:
        if row.id < _first_id(biller.gateway, timedelta(minutes=10)):  # whoever began it is gone
            await _record(biller, merchant, subscription.id, wanted, (Result.SOFT, "failed", None))
        return
    found = await _found(biller, merchant, transaction_id)
    if found is not None:
        await _record(biller, merchant, subscription.id, wanted, (found, _STATES[found], transaction_id))
