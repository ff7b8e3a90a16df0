"""Risk rules at work: what a merchant's limits say to a payment, with what came before it counted in the database."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from kessai.dialects.paymentoptions.codes import RISK
from kessai.dialects.paymentoptions.messages import Order
from kessai.log import log
from kessai.payment.card import Card, Pan
from kessai.payment.lifecycle import Declined, Reason
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.risk import LONGEST, Asked, Limits, Rule, Window, breach, card_windows, ip_windows, too_many
from kessai.storage.attempts import AddAttempt, Attempts, PurgeAttempts, key_of
from kessai.storage.database import Database

A_DAY: Final = timedelta(days=1)
KEPT: Final = LONGEST + A_DAY
"""Attempts are forgotten after this: no rule looks further back."""
PURGE_EVERY: Final = 256
_NO_LIMITS: Final = Limits()


class Risks:
    """Judges payments. `new_id` gives time-ordered ids, `fingerprint` finds the same card again."""

    def __init__(self, database: Database, new_id: Callable[[], int], fingerprint: Callable[[str, Pan], bytes]) -> None:
        self._database = database
        self._attempts = Attempts(database)
        self._new_id = new_id
        self._fingerprint = fingerprint
        self._added = 0

    async def judge(
        self, merchant: Merchant, order: Order, card: Card, now: datetime, *, subscribes: bool = False
    ) -> Declined | None:
        """The decline of the first rule that a payment breaks; None where it may go on. Every attempt counts."""
        limits = merchant.terms.risk
        if limits == _NO_LIMITS:
            return None
        asked = Asked(
            amount=order.amount,
            digits_first=card.pan.digits,
            digits_last=card.pan.suffix,
            country=order.billing.country,
            ip=order.customer_ip,
            subscribes=subscribes,
        )
        broken = breach(limits, asked) or await self._too_often(merchant, card, order.customer_ip, now)
        if broken is None:
            return None
        log("risk.spoke", merchant=merchant.id, rule=broken.name)
        return Declined(reason=Reason.RISK_REJECT, facts={"risk_profile": RISK[broken].code})

    async def _too_often(self, merchant: Merchant, card: Card, ip: str, now: datetime) -> Rule | None:
        limits = merchant.terms.risk
        windows = card_windows(limits)
        found = None
        if windows:
            found = await self._counted(
                merchant, key_of("card", self._fingerprint(merchant.id, card.pan)), windows, now
            )
        windows = ip_windows(limits)
        if windows and ip:
            found = await self._counted(merchant, key_of("ip", ip.encode()), windows, now) or found
        return found

    async def _counted(self, merchant: Merchant, key: bytes, windows: tuple[Window, ...], now: datetime) -> Rule | None:
        """Written first, then counted: of two at the same time each sees the other, and neither slips through."""
        id_ = await self._add(merchant, key, now, 0)
        before = await self._attempts.since(merchant.id, key, now - windows[-1].length, id_)
        return too_many(windows, [now - attempt.at for attempt in before])

    async def may_refund(self, merchant: Merchant, amount: Money, now: datetime) -> bool:
        """Whether a merchant's refunds of 24 hours have room for this one, which is counted whatever becomes of it."""
        most = merchant.terms.risk.refunds_per_day.get(amount.currency.code)
        if most is None:
            return True
        key = key_of("refund", amount.currency.code.encode())
        id_ = await self._add(merchant, key, now, amount.minor)
        before = await self._attempts.since(merchant.id, key, now - A_DAY, id_)
        return sum(attempt.amount for attempt in before) + amount.minor <= most

    async def _add(self, merchant: Merchant, key: bytes, now: datetime, amount: int) -> int:
        id_ = self._new_id()
        self._added += 1
        if self._added % PURGE_EVERY == 0:
            await self._database.write(PurgeAttempts(merchant.id, now - KEPT))
        await self._database.write(AddAttempt(merchant_id=merchant.id, key=key, id=id_, at=now, amount=amount))
        return id_
