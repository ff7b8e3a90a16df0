"""The notifier: turns notices into deliveries, and sees that each arrives, in order per payment, at least once.

    notice     written in an outcome's commit: somebody is to be told
    delivery   one event for one place: waiting, held back by an earlier one of its payment, delivered, or parked

One process at a time is at a merchant's deliveries (a lease). It works in rounds: what tries came to is written, new
notices become deliveries, what is due goes to the courier. Nothing here waits for a merchant's server. What is lost
with a process is at most the knowledge that something arrived: it is sent again, with the same id.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import thread_time
from typing import Final

from msgspec.structs import replace

from kessai import ids
from kessai.dialects.cybersource import notifications as cybersource
from kessai.dialects.paymentoptions import notifications as paymentoptions
from kessai.dialects.paymentoptions.answers import is_one
from kessai.gateway import Gateway
from kessai.log import log
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.database import DatabaseError
from kessai.storage.noticed import noticed, rows_of
from kessai.storage.payments import Answer
from kessai.storage.webhooks import (
    DELIVERED,
    ENDED,
    PARKED,
    WAITING,
    Conclude,
    DeleteWebhook,
    Delivery,
    HoldDeliveries,
    Notice,
    PurgeDeliveries,
    ReleaseStuck,
    Tell,
    Tried,
)
from kessai.webhooks import tricks
from kessai.webhooks.addresses import NotAllowed
from kessai.webhooks.boxes import Box, Place
from kessai.webhooks.courier import Errand, Report
from kessai.webhooks.health import Pulse
from kessai.webhooks.registry import ACTIVE, INACTIVE, Endpoint, Registry
from kessai.webhooks.sender import Sender
from kessai.webhooks.tries import backed_off, signed

IN_FLIGHT: Final = 16
"""Deliveries under way to one place."""
IN_FLIGHT_OF_MERCHANT: Final = 64
AILING: Final = 16
"""Failures in a row after which a place gets one delivery at a time."""
PROBE_S: Final = 0.1
"""How long an ailing place is left alone between two tries; each further wait is twice as long."""
LONGEST_PROBE_S: Final = 5.0
LOOK_S: Final = 0.5
"""How often due retries, and notices of other processes, are looked for."""
EVERYBODY_S: Final = 10.0
"""How often merchants are looked at that want to be told nothing (any more): something may be left."""
HELD_S: Final = 15.0
BATCH: Final = 32
"""Rows in one commit, which payments wait for no longer than for these."""
COMMITS: Final = 4
"""At most, of what came back, in one round; and as many times as many notices are looked at."""
TOGETHER: Final = {"sqlite": BATCH, "postgres": COMMITS * BATCH}
"""What came back in one commit: on a server, payments have another connection meanwhile."""
SLICE: Final = 8
"""Notices that are read together, between two rests; twice as many where payments need no rest."""
BUSY: Final = 8
"""Exchanges under way above which payments go first."""
SHARE: Final = 0.1
"""The share of time that telling takes then."""
PAUSE_S: Final = 0.05
"""How long it rests then between two commits."""
TIDY_S: Final = 600.0
KEPT: Final = {DELIVERED: timedelta(days=7), PARKED: timedelta(days=30)}
"""How long deliveries that have ended can be looked at and sent again."""
LISTENS: Final = timedelta(minutes=5)
"""How long a listener is there that does not ask."""


@contextmanager
def _troubles_of(merchant_id: str) -> Iterator[None]:
    """One merchant's trouble is not the others', and is over when the next round is."""
    try:
        yield
    except DatabaseError as error:  # it may be gone for a while
        log("webhook.later", level="warning", merchant=merchant_id, error=type(error).__name__)
    except Exception as error:
        log("webhook.fault", level="error", merchant=merchant_id, error=type(error).__name__)


class Notifier:
    """Delivers for every merchant, beside the payments."""

    def __init__(
        self,
        gateway: Gateway,
        registry: Registry,
        sender: Sender,
        merchants: Callable[[], Iterable[Merchant]],
        find: Callable[[str], Merchant | None],
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._rows = registry.rows
        self._sender = sender
        self._merchants = merchants
        self._find = find
        self._pulse = Pulse(registry, sender, gateway.clock)
        self._boxes: dict[str, Box] = {}
        self._dirty: set[str] = set()
        self._awake = asyncio.Event()
        self._stopping = False
        self._met: set[str] = set()
        """Merchants of which a notice was met: other processes may write more of them."""

    @property
    def courier(self) -> int | None:
        """The id of the process that carries notifications, while there is one."""
        return self._sender.process

    def noticed(self, merchant_id: str) -> None:
        """There is a notice: it is looked at at once, or with the others that wait for payments to leave room."""
        box = self._boxes.get(merchant_id)
        if box is None or box.telling is None:
            self.wake(merchant_id)

    def wake(self, merchant_id: str) -> None:
        """Look at a merchant at once: there is a notice of its, or something to send again."""
        self._dirty.add(merchant_id)
        self._awake.set()

    def stop(self) -> None:
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Deliver until `stop`; what is under way then is sent again by whoever comes next."""
        loop = asyncio.get_running_loop()
        look_at = everybody_at = tidy_at = 0.0
        try:
            while not self._stopping:
                self._awake.clear()
                now_s = loop.time()
                if now_s >= look_at:
                    look_at = now_s + LOOK_S
                    self._dirty |= self._registry.notified | self._boxes.keys() | self._met
                    if now_s >= everybody_at:
                        everybody_at = now_s + EVERYBODY_S
                        self._dirty |= {merchant.id for merchant in self._merchants()}
                dirty, self._dirty = self._dirty, set()
                is_time_to_tidy = now_s >= tidy_at
                if is_time_to_tidy:
                    tidy_at = now_s + TIDY_S
                await self._look(dirty, is_time_to_tidy=is_time_to_tidy)
                if not self._dirty:
                    await self._idle(look_at - loop.time())
                await asyncio.sleep(0)
        finally:
            telling = [box.telling for box in self._boxes.values() if box.telling is not None]
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
            await self._sender.close()

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._awake.wait()
        except TimeoutError:
            return

    async def _look(self, dirty: Iterable[str], *, is_time_to_tidy: bool) -> None:
        for merchant_id in dirty:
            merchant = self._find(merchant_id)
            if merchant is None:
                continue
            with _troubles_of(merchant_id):
                await self._round(merchant)
                if is_time_to_tidy:
                    await self._tidy(merchant)

    # ---- one merchant

    async def _round(self, merchant: Merchant) -> None:
        box = self._boxes.get(merchant.id)
        if box is not None and box.tried:
            await self._conclude(merchant, box)
        may_tell = box is None or box.telling is None
        notices = await self._rows.notices(merchant.id, COMMITS * BATCH) if may_tell else []
        places = await self._rows.places(merchant.id)
        has_pulse = any(each.subscription.health_url for each in self._registry.endpoints(merchant.id))
        if not (notices or places or has_pulse):
            if box is not None and not box.flying and may_tell:
                del self._boxes[merchant.id]
            return
        box = self._boxes.setdefault(merchant.id, Box())
        if not await self._hold(merchant.id, box):
            return
        if notices:
            self._met.add(merchant.id)
            box.telling = asyncio.create_task(self._tell_beside(merchant, box, notices))
        if has_pulse:
            self._pulse.feel(merchant)
        for place in places:
            await self._fill(merchant, box, place)

    async def _hold(self, merchant_id: str, box: Box) -> bool:
        """Whether this process is the one that delivers."""
        now_s = asyncio.get_running_loop().time()
        if now_s < box.held_until_s - HELD_S / 2:
            return True
        now = self._gateway.clock()
        until = now + timedelta(seconds=HELD_S)
        hold = HoldDeliveries(merchant_id=merchant_id, holder=self._gateway.lease, now=now, until=until)
        if not await self._gateway.database.write(hold):
            for place in box.places.values():
                place.ready.clear()
            box.held_until_s = 0.0
            return False
        if not box.held_until_s:
            await self._gateway.database.write(ReleaseStuck(merchant_id))
        box.held_until_s = now_s + HELD_S
        return True

    async def _conclude(self, merchant: Merchant, box: Box) -> None:
        """Write what tries came to. They stay where they are if that fails."""
        most = TOGETHER[self._gateway.database.kind]
        for _ in range(COMMITS * BATCH // most):
            tried = box.tried[:most]
            await self._gateway.database.write(Conclude(merchant_id=merchant.id, tried=[each for _, each in tried]))
            del box.tried[: len(tried)]
            for place, each in tried:
                place.flying.discard(each.id)
            if len(box.tried) < most:
                break
        if box.tried:
            self.wake(merchant.id)

    # ---- notices

    async def _tell_beside(self, merchant: Merchant, box: Box, notices: Sequence[Notice]) -> None:
        """Tell, while deliveries go on; then there is something to send, and perhaps more to tell."""
        with _troubles_of(merchant.id):
            for start in range(0, len(notices), BATCH):
                await self._tell(merchant, notices[start : start + BATCH])
                self.wake(merchant.id)
                if self._is_busy:  # the others when payments have had their turn
                    await asyncio.sleep(PAUSE_S)
            self.wake(merchant.id)
        box.telling = None

    async def _tell(self, merchant: Merchant, notices: Sequence[Notice]) -> None:
        deliveries: list[tuple[int | None, Delivery]] = []
        left = list(notices)
        while left:
            size = SLICE if self._is_busy else 2 * SLICE
            some, left = left[:size], left[size:]
            rows = await rows_of(self._gateway.database, merchant.id, some[0].id, some[-1].id)
            begun = thread_time()
            told = noticed(merchant.id, *rows)
            for notice in some:
                found = told.get(notice.transaction_id)
                transaction = found[0].find(notice.transaction_id) if found is not None else None
                if found is not None and transaction is not None:
                    made = self._deliveries(merchant, notice, found[0], transaction, found[1])
                    deliveries += [(notice.id, delivery) for delivery in made]
            await self._rest(thread_time() - begun)
        write = Tell(merchant_id=merchant.id, notices=[notice.id for notice in notices], deliveries=deliveries)
        await self._gateway.database.write(write)

    @property
    def _is_busy(self) -> bool:
        return len(self._gateway.under_way) >= BUSY

    async def _rest(self, spent_s: float) -> None:
        """Let payments go on, and where many are under way, leave them most of the time."""
        await asyncio.sleep(spent_s * (1 / SHARE - 1) if self._is_busy else 0)

    def _deliveries(
        self, merchant: Merchant, notice: Notice, payment: Payment, transaction: Transaction, stored: Answer | None
    ) -> Iterable[Delivery]:
        """What becomes of one outcome."""
        happened_at = transaction.concluded_at or transaction.requested_at
        now = self._gateway.clock()
        blank = Delivery(
            id=0,
            endpoint="",
            url="",
            event="",
            body=b"",
            payment_id=payment.id,
            happened_at=happened_at,
            run_at=tricks.first_try(notice.trick, now),
            trick=tricks.kept(notice.trick),
            holds=notice.trick != tricks.OUT_OF_ORDER,
        )
        told = stored.body if stored is not None and stored.status < 500 else None
        yield from self._of_payment(merchant, payment, transaction, told, blank)
        is_of_cybersource = stored is not None and not is_one(stored.body)
        answer = cybersource.answer_of(stored.status, stored.body) if stored is not None and is_of_cybersource else None
        for event in cybersource.events_of(payment, transaction, answer):
            body = b""
            for endpoint in self._registry.endpoints(merchant.id):
                if endpoint.wants(event):
                    body = body or cybersource.payload(event, payment, transaction, answer)
                    yield replace(blank, id=self._gateway.new_id(), endpoint=endpoint.id, event=event, body=body)

    def _of_payment(
        self,
        merchant: Merchant,
        payment: Payment,
        transaction: Transaction,
        told: bytes | None,
        blank: Delivery,
    ) -> Iterable[Delivery]:
        """The one delivery to the URL that came with a payment, where one came."""
        return_url = paymentoptions.return_url_of(payment)
        subject = paymentoptions.subject_of(payment, transaction) if return_url else None
        event = paymentoptions.event_of(payment, subject) if subject is not None else None
        if subject is None or event is None:
            return
        url = return_url["webhook_url"]
        try:
            target = self._registry.target(merchant, url)
        except NotAllowed as error:
            log("webhook.refused", level="warning", merchant=merchant.id, reason=str(error))
            return
        envelope = paymentoptions.envelope_of(merchant, payment, subject, told if subject is transaction else None)
        body = paymentoptions.body(envelope, return_url, payment.root.reference)
        yield replace(blank, id=self._gateway.new_id(), endpoint=target.origin, url=url, event=event, body=body)

    # ---- out

    async def _fill(self, merchant: Merchant, box: Box, name: str) -> None:
        """Send what is due to a place, as much of it as may be under way."""
        place = box.places.setdefault(name, Place())
        if not place.ready and self._room(merchant, box, place, name) > 0:
            due = await self._rows.due(merchant.id, name, self._gateway.clock(), 3 * BATCH + len(place.flying))
            place.ready.extend(each for each in due if each.id not in place.flying)
        self._pour(merchant, box, place, name)

    def _room(self, merchant: Merchant, box: Box, place: Place, name: str) -> int:
        """How many more may be sent to a place."""
        endpoint = self._registry.find(merchant.id, name)
        is_webhook = "://" not in name
        if is_webhook and (endpoint is None or endpoint.is_listener or endpoint.row.status != ACTIVE):
            return 0
        now_s = asyncio.get_running_loop().time()
        if now_s >= box.held_until_s:
            return 0
        if place.failures >= AILING:
            room = 1 - place.under_way if now_s >= place.not_before_s else 0
        else:
            room = IN_FLIGHT - place.under_way
        return min(room, IN_FLIGHT_OF_MERCHANT - box.under_way)

    def _pour(self, merchant: Merchant, box: Box, place: Place, name: str) -> None:
        """Send what was found due already: nothing is waited for."""
        endpoint = self._registry.find(merchant.id, name)
        while place.ready and self._room(merchant, box, place, name) > 0:
            self._send(merchant, box, place, place.ready.popleft(), endpoint)

    def _send(self, merchant: Merchant, box: Box, place: Place, delivery: Delivery, endpoint: Endpoint | None) -> None:
        place.flying.add(delivery.id)
        place.under_way += 1

        def reported(report: Report) -> None:
            self._reported(merchant, box, place, delivery, report)
            self._pour(merchant, box, place, delivery.endpoint)

        try:
            errand = self._errand(merchant, delivery, endpoint)
        except NotAllowed as error:
            self._reported(merchant, box, place, delivery, Report(0, 0, str(error)))
            return
        self._sender.send(errand, reported)

    def _errand(self, merchant: Merchant, delivery: Delivery, endpoint: Endpoint | None) -> Errand:
        url = endpoint.subscription.url if endpoint is not None else delivery.url
        target = self._registry.target(merchant, url)
        now = self._gateway.clock()
        trace = cybersource.trace_of(delivery.id)
        spoiled = secrets.token_bytes(32) if delivery.trick == tricks.WRONG_SIGNATURE else None
        if endpoint is not None:
            headers, body = signed(merchant.id, endpoint.id, self._registry, delivery, now, spoiled)
        else:
            body = delivery.body
            keys = [spoiled] if spoiled is not None else self._registry.secrets(merchant.id, now)
            headers = paymentoptions.headers(trace, delivery.attempts, body, keys, int(now.timestamp()))
        declared = target.origin.partition("//")[2] if target.is_declared else ""
        return Errand(0, "POST", url, headers, body.decode(), declared)

    def _reported(self, merchant: Merchant, box: Box, place: Place, delivery: Delivery, report: Report) -> None:
        """What one try came to: written in the next round."""
        is_done = 200 <= report.status < 300
        place.under_way -= 1
        now = self._gateway.clock()
        result = str(report.status) if report.status else report.error
        place.failures = 0 if is_done else place.failures + 1
        if place.failures >= AILING:
            wait_s = min(PROBE_S * 2 ** min(place.failures - AILING, 10), LONGEST_PROBE_S)
            place.not_before_s = asyncio.get_running_loop().time() + wait_s
        state, run_at, attempts, trick = DELIVERED, now, delivery.attempts + 1, ""
        if is_done and delivery.trick == tricks.TWICE:
            state, attempts = WAITING, delivery.attempts
        elif not is_done:
            wait = self._wait(merchant, delivery, attempts, now)
            state, run_at = (PARKED, now) if wait is None else (WAITING, now + wait)
        box.tried.append(
            (
                place,
                Tried(
                    id=delivery.id,
                    state=state,
                    run_at=run_at,
                    attempts=attempts,
                    trick=trick,
                    result=result,
                    seen=delivery.attempts,
                    seen_trick=delivery.trick,
                ),
            )
        )
        if state in ENDED or not is_done:
            log(
                f"webhook.{state if state in ENDED else 'later'}",
                level="info" if is_done else "warning",
                merchant=merchant.id,
                delivery=ids.show(delivery.id),
                route=delivery.event,
                attempts=attempts,
                reason=result,
            )
        self.wake(merchant.id)

    def _wait(self, merchant: Merchant, delivery: Delivery, tries: int, now: datetime) -> timedelta | None:
        """How long until the next try; None: there is none."""
        endpoint = self._registry.find(merchant.id, delivery.endpoint)
        policy = endpoint.subscription.policy if endpoint is not None else None
        if endpoint is None or policy is None:
            return backed_off(tries, now - ids.made_at(delivery.id), random.random())  # noqa: S311  spread, not secret
        wait = policy.wait(tries)
        if wait is None and policy.deactivates:
            task = asyncio.create_task(self._turn_off(merchant, endpoint))
            self._pulse.tasks.add(task)
            task.add_done_callback(self._pulse.tasks.discard)
        return wait

    async def _turn_off(self, merchant: Merchant, endpoint: Endpoint) -> None:
        """Its last try has failed, and it wants to be told nothing after that."""
        current = self._registry.find(merchant.id, endpoint.id)
        if current is not None and current.row.status != INACTIVE:
            await self._registry.change(merchant.id, current, self._gateway.clock(), status=INACTIVE)
            log("webhook.deactivated", level="warning", merchant=merchant.id, webhook=endpoint.id)

    async def _tidy(self, merchant: Merchant) -> None:
        """Forget what ended long ago, and listeners that are gone."""
        now = self._gateway.clock()
        for state, kept in KEPT.items():
            await self._gateway.database.write(PurgeDeliveries(merchant.id, state, now - kept))
        for endpoint in self._registry.endpoints(merchant.id):
            if endpoint.is_listener and endpoint.row.updated_at < now - LISTENS:
                rows = {row.id: row for row in await self._rows.webhooks(merchant.id)}
                if endpoint.id in rows and rows[endpoint.id].updated_at < now - LISTENS:
                    await self._gateway.database.write(DeleteWebhook(merchant.id, endpoint.id))
                    await self._registry.load_of(merchant.id)
