"""Links to the hosted payment page: made at a merchant's request, used by one payment, ended once.

    make     what a merchant asks for ─► a row, and an address with a code that is kept as its hash only
    pay      what a payer typed       ─► open ─► paying ─► paid; or declined and open again; or unclear
             its issuer may want to ask first: then the payer is away, and the link stays in `paying`
    cancel   a payer who goes back    ─► cancelled

A link pays once however often its form is sent: each try of it is a claim that the payment takes in its commit 1, and
whoever sends the same try again is told what the first was told. A decline lets it be tried again, a few times. Neither
card nor code is in a link's row: the card is sealed with its payment, as every card, and the code is kept nowhere.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects.paymentoptions import codes, hosted, identifiers, messages
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.hosted import Asked
from kessai.dialects.paymentoptions.messages import Problem
from kessai.gateway import Gateway
from kessai.hosted.picker import offered
from kessai.log import log
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.s2s.call import Call, Made, Told
from kessai.s2s.payer import Payer
from kessai.s2s.paying import Paying
from kessai.storage.links import AddLink, ChangeLink, Kept, PurgeLinks, due_links, find_link, oldest_link
from kessai.storage.payments import Answer, Claim

LIFE: Final = timedelta(hours=24)
"""How long a link may be used; well below what a claim is remembered (`KEYS_KEPT`)."""
KEPT: Final = timedelta(days=90)
PURGED_EVERY: Final = timedelta(hours=1)
MOST_TRIES: Final = 5
"""Declines that a link survives, less one."""
PATIENCE_S: Final = 15.0
"""How long a second submit waits for the payment that the first one began."""
STEP_S: Final = 0.05
PAGE: Final = 50
LOOKED_AFTER: Final = timedelta(minutes=5)
"""How often the worker looks what became of a payment whose payer has not come back."""
LEFT: Final = timedelta(hours=1)
"""After a link's expiry: every challenge that it led to has ended."""
CODE_LETTERS: Final = 24
"""Of 52: 136 bits."""
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KIND: Final = b"payment link"


class State(Enum):
    OPEN = "open"
    """It may be used: nobody has paid, and its time has not passed."""
    PAYING = "paying"
    """A payment was begun, or is about to be."""
    PAID = "paid"
    """It has paid."""
    DECLINED = "declined"
    """The last try was declined, or the payer gave up after one."""
    CANCELLED = "cancelled"
    """The payer went back before a card was tried."""
    UNCLEAR = "unclear"
    """The acquirer did not answer; what it may have approved is released."""


ENDED: Final = frozenset({State.PAID, State.DECLINED, State.CANCELLED, State.UNCLEAR})


class Met(Struct, frozen=True, kw_only=True):
    """A link as its payer meets it."""

    merchant: Merchant
    kept: Kept
    asked: Asked
    is_over: bool
    """Whether its time has passed unused."""
    is_under_way: bool = False
    """Whether its payment is being made at this moment."""

    @property
    def state(self) -> State:
        return State(self.kept.state)

    @property
    def destination(self) -> str:
        """Where the payer goes, now that the link has ended; empty: nowhere."""
        place = self.asked.place
        if self.state is State.PAID:
            return place("success_url")
        if self.state is State.CANCELLED:
            return place("cancel_url") or place("decline_url")
        return place("decline_url")


class Wrong(Struct, frozen=True):
    """What a payer typed is no payment: the field (empty: the card cannot be used here)."""

    field: str


class Way(Struct, frozen=True, kw_only=True):
    """How a form came, and how its payment goes."""

    attempt: int
    """The number of the form's try."""
    back: str
    """Path and query by which its payer comes back from an issuer."""
    scenario: str | None = None
    """Named by a test merchant."""


class Away(Struct, frozen=True):
    """The issuer wants to ask its cardholder first: where the payer goes for that."""

    url: str


Paid = Met | Wrong | Away
"""The link as it stands afterwards, what has to be typed again, or where the payer goes first."""
Card = Mapping[str, str]
"""The fields of the form."""


class Links:
    """`merchant_of` finds a merchant; `public_url`: where browsers find this gateway, empty: where the merchant did."""

    def __init__(
        self, gateway: Gateway, paying: Paying, merchant_of: Callable[[str], Merchant | None], public_url: str
    ) -> None:
        self._gateway = gateway
        self._paying = paying
        self._merchant_of = merchant_of
        self._public_url = public_url
        self._purged: dict[str, datetime] = {}

    # ---- at a merchant's request

    async def make(self, call: Call) -> Told:
        """Answer `hpp/generate/link`."""
        merchant = call.merchant
        asked = hosted.asked(call.document, merchant)
        if isinstance(asked, Problem):
            return messages.message_of(asked)
        told_at = asked.return_url.get("webhook_url")
        if told_at and not self._paying.may_name(merchant, told_at):
            return messages.message_of(Problem(codes.INVALID, "return_url.webhook_url"))
        code = "".join(secrets.choice(_LETTERS) for _ in range(CODE_LETTERS))
        row = self._gateway.new_id()
        await self._gateway.database.write(
            AddLink(
                merchant_id=merchant.id,
                id=row,
                key=_hashed(code),
                document=hosted.encode(asked),
                expires_at=self._gateway.clock() + LIFE,
            )
        )
        log("link.made", merchant=merchant.id, link=identifiers.show(row, KIND))
        url = f"{self._origin(call)}/HostedPaymentPage/{merchant.id}/{code}"
        return Made(201, hosted.answer(asked, merchant, identifiers.show(row, KIND), url))

    def _origin(self, call: Call) -> str:
        """Where browsers find this gateway."""
        return self._public_url or f"{call.request.scheme}://{call.request.header('host') or 'localhost'}"

    # ---- at a payer's browser

    async def meet(self, merchant_id: str, code: str) -> Met | None:
        """The link of an address, ended or not; None for one that is none of ours."""
        merchant = self._merchant_of(merchant_id)
        if merchant is None or len(code) != CODE_LETTERS or not code.isascii():
            return None
        kept = await find_link(self._gateway.database, merchant.id, _hashed(code))
        return self._met(merchant, kept) if kept is not None else None

    async def look(self, merchant_id: str, code: str) -> Met | None:
        """The same, once what was begun has been looked after."""
        met = await self.meet(merchant_id, code)
        if met is None or met.state is not State.PAYING:
            return met
        told = await self._gateway.told(met.merchant, (self._claim(met),))
        if told is None or told is Refusal.IN_PROGRESS:
            return replace(met, is_under_way=told is not None)
        await self._conclude(met, told)
        return await self.meet(merchant_id, code)

    async def pay(self, met: Met, code: str, form: Card, call: Call, amount: Money, way: Way) -> Paid:
        """Take what a payer typed down the one road, once."""
        if met.state in ENDED or met.is_over or way.attempt != met.kept.tries:
            return met  # the form is an older one's
        told = await self._gateway.told(met.merchant, (self._claim(met),))
        if told is None:
            begun = await self._begin(met, code, form, call, amount, way)
            if not isinstance(begun, Answer | Refusal):
                return begun
            told = begun
        waited = 0.0
        while told is Refusal.IN_PROGRESS and waited < PATIENCE_S:
            await asyncio.sleep(STEP_S)
            waited += STEP_S
            told = await self._gateway.told(met.merchant, (self._claim(met),)) or Refusal.IN_PROGRESS
        again = await self.meet(met.merchant.id, code)
        assert again is not None, "a link that was met has gone"
        if told is Refusal.IN_PROGRESS:
            return replace(again, is_under_way=True)
        if again.state is not State.PAYING or again.kept.tries != way.attempt:
            return again
        await self._conclude(again, told)
        return await self.meet(met.merchant.id, code) or again

    async def cancel(self, met: Met, code: str) -> Met:
        """End a link whose payer goes back; one whose payment is under way, or that has ended, stays as it is.

        After a decline it has been declined, so that the payer comes back where the shop expects it.
        """
        if met.state is State.OPEN and not met.is_over:
            state = State.DECLINED if met.kept.tries else State.CANCELLED
            await self._change(met, state, met.kept.tries)
        return await self.meet(met.merchant.id, code) or met

    # ---- one try

    async def _begin(
        self, met: Met, code: str, form: Card, call: Call, amount: Money, way: Way
    ) -> Paid | Answer | Refusal:
        """Begin the payment; or what is wrong with the form, or the link where somebody else was first."""
        merchant = met.merchant
        now = merchant.at(self._gateway.clock())
        unit = merchant.terms.paymentoptions.amount_unit
        body = hosted.payment(met.asked, form, amount, unit, call.peer)
        wrong = _missing(met.asked, body)
        if wrong is not None:
            return wrong
        if form.get("option") and form["option"] not in {each.mark for each in offered(merchant, amount, now)}:
            return Wrong("option")
        order = messages.order(body, merchant, now)
        if isinstance(order, Problem):
            return Wrong(hosted.field_of(order))
        payer = await self._paying.payer(replace(call, document=body), captures=True)
        if isinstance(payer, Said):
            return Wrong("")
        if met.state is State.OPEN and not await self._change(met, State.PAYING, met.kept.tries):
            again = await self.meet(merchant.id, code) or met
            if again.state is not State.PAYING or again.kept.tries != met.kept.tries:
                return again
        payer = replace(payer, claims=(self._claim(met),), scenario=way.scenario)
        barred = await self._paying.barred(payer)
        asked: Payer | Told = payer
        if barred is None:
            # Whoever comes back from its issuer comes back to the page; what is kept with the payment is the shop's.
            back = f"{self._origin(call)}{way.back}"
            order = replace(payer.order, return_url={"success_url": back, "decline_url": back})
            asked = await self._paying.authenticated(call, replace(payer, order=order))
        if isinstance(asked, Made):
            return Away(str(msgspec.json.decode(asked.body, type=dict[str, Any])["redirect_url"]))
        told = (
            await self._paying.perform(replace(asked, order=payer.order), barred=barred)
            if isinstance(asked, Payer)
            else asked
        )
        if isinstance(told, Made):
            return Answer(told.status, told.body)
        if told in (codes.IN_PROGRESS, codes.OUTCOME_UNKNOWN):
            return Refusal.IN_PROGRESS if told == codes.IN_PROGRESS else Refusal.OUTCOME_UNKNOWN
        again = await self.meet(merchant.id, code) or met  # nothing was begun
        if again.state is State.PAYING:
            await self._change(again, State.OPEN, again.kept.tries)
        return Wrong("")

    async def _conclude(self, met: Met, told: Answer | Refusal) -> None:
        """Write what became of a try."""
        tries = met.kept.tries
        if isinstance(told, Refusal) or told.status == 504:
            await self._end(met, State.UNCLEAR, tries)
            return
        document = msgspec.json.decode(told.body, type=dict[str, Any])
        if document.get("success") is True:
            identifier = identifiers.read(str(document["transaction_details"]["id"]))
            await self._end(met, State.PAID, tries, identifier)
        elif tries + 1 < MOST_TRIES:
            await self._change(met, State.OPEN, tries + 1)
        else:
            await self._end(met, State.DECLINED, tries + 1)

    async def _end(self, met: Met, state: State, tries: int, payment_id: int | None = None) -> None:
        if await self._change(met, state, tries, payment_id):
            log("link.ended", merchant=met.merchant.id, link=identifiers.show(met.kept.id, KIND), status=state.value)

    async def _change(self, met: Met, state: State, tries: int, payment_id: int | None = None) -> bool:
        kept = met.kept
        write = ChangeLink(
            merchant_id=met.merchant.id,
            id=kept.id,
            version=kept.version,
            state=state.value,
            tries=tries,
            payment_id=payment_id,
            due_at=self._gateway.clock() + LOOKED_AFTER if state is State.PAYING else None,
        )
        return await self._gateway.database.write(write)

    def _claim(self, met: Met) -> Claim:
        """What a try of a link has at a time, whatever card is in it."""
        name = f"{met.kept.id} {met.kept.tries}"
        since = ids.first_of(self._gateway.clock() - KEYS_KEPT)
        return claim_of("payment link", name, request=bound_to(met.merchant.id, name.encode()), since=since)

    def _met(self, merchant: Merchant, kept: Kept) -> Met:
        is_over = State(kept.state) not in ENDED and self._gateway.clock() >= kept.expires_at
        return Met(merchant=merchant, kept=kept, asked=hosted.decode(kept.document), is_over=is_over)

    # ---- what time brings

    async def tend(self, merchant: Merchant) -> None:
        """Conclude what a process left whose payer never came back; forget what is old."""
        database, now = self._gateway.database, self._gateway.clock()
        for kept in await due_links(database, merchant.id, now, PAGE):
            met = self._met(merchant, kept)
            told = await self._gateway.told(merchant, (self._claim(met),))
            if told is not None and told is not Refusal.IN_PROGRESS:
                await self._conclude(met, told)
            else:  # nobody begins a payment by a link that has long expired
                is_left = told is None and now >= kept.expires_at + LEFT
                await self._change(met, State.OPEN if is_left else State.PAYING, kept.tries)
        last = self._purged.get(merchant.id)
        if last is not None and last <= now < last + PURGED_EVERY:
            return
        self._purged[merchant.id] = now
        first, before = await oldest_link(database, merchant.id), ids.first_of(now - KEPT)
        if first is not None and first < before:
            await database.write(PurgeLinks(merchant.id, before))


def _missing(asked: Asked, body: Mapping[str, Any]) -> Wrong | None:
    """What the page asks for beyond the table of the wire."""
    if asked.wants_email and "@" not in body["billing_address"]["email"]:
        return Wrong("email")
    return Wrong("name") if not body["card"]["name"] else None


def _hashed(code: str) -> bytes:
    return hashlib.sha256(b"kessai payment link " + code.encode()).digest()
