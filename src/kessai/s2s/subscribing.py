"""Subscriptions of the PaymentOptions wire, over the same recurring engine as the other wire's."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from kessai.authentication import obligation
from kessai.dialects import HttpResponse
from kessai.dialects.paymentoptions import answers, codes, identifiers, messages, particulars
from kessai.dialects.paymentoptions import subscriptions as documents
from kessai.dialects.paymentoptions.answers import Body
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Problem
from kessai.dialects.paymentoptions.subscriptions import Wanted
from kessai.gateway import Busy
from kessai.jobs import recurring
from kessai.jobs.recurring import Biller, OnFile, Words
from kessai.once import Fate, once
from kessai.payment.lifecycle import Declined, Reason, Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.plan import Billing, Obstacle
from kessai.payment.subscription import Charge, State, Subscription, activate, cancel, suspend, verified
from kessai.s2s.call import Call, Made, Told
from kessai.s2s.cards import Cards
from kessai.s2s.keys import claims_of
from kessai.s2s.payer import Payer
from kessai.s2s.paying import FLAGS, Paying
from kessai.storage.database import DatabaseError
from kessai.storage.payments import Answer
from kessai.storage.subscriptions import WANTED, AddSubscription, ChangeSubscription
from kessai.tokenizer import Decided, Tokenizer
from kessai.tokens.objects import Customer, Missing, PaymentInstrument
from kessai.tokens.rules import delete_customer

Rule = Callable[[Subscription], Subscription | Obstacle]
MOST_RACES: Final = 32
MOST_LISTED: Final = 1_000
MOST_CHARGES: Final = 1_000
_PATIENCE: Final = timedelta(seconds=30)
"""This request makes the first charge; the worker does when this process is gone."""
IN_PROGRESS_FOR: Final = timedelta(minutes=1)
"""How long a repeat is told that the first request has not ended; then it goes on with what that one began."""


class Subscribing:
    """What answers requests about subscriptions."""

    def __init__(self, biller: Biller, tokenizer: Tokenizer, cards: Cards, paying: Paying) -> None:
        self._biller = biller
        self._rows = biller.rows
        self._write = biller.gateway.database.write
        self._tokenizer = tokenizer
        self._cards = cards
        self._paying = paying

    async def create(self, call: Call) -> Told:
        """Begin one: its card is stored as a new customer's, and its first period charged, or its card verified.

        With an idempotency key it is begun once, and whoever sends the key again is told the same (R-10).
        """
        gateway = self._biller.gateway
        new_id = gateway.new_id()
        claims = claims_of(call, new_id, gateway.vault.fingerprint)
        if isinstance(claims, Said):
            return claims
        if not claims:
            return await self._create(call, new_id)
        said: Said | None = None

        async def do(identifier: int) -> HttpResponse:
            nonlocal said
            told = await self._create(call, identifier, is_again=identifier != new_id)
            if isinstance(told, Said):
                said = told
                return HttpResponse(told.status, b"")
            return HttpResponse(told.status, told.body, told.headers)

        def fate(_: HttpResponse) -> Fate:
            if said is None:  # a decline is kept too
                return Fate.KEPT
            return Fate.OPEN if said is codes.OUTCOME_UNKNOWN else Fate.FREE

        told = await once(gateway.database, call.merchant.id, claims, new_id, do, fate=fate, patience=IN_PROGRESS_FOR)
        if isinstance(told, Refusal):
            return codes.REFUSALS[told]
        return said if said is not None else Made(told.status, told.body, told.headers)

    async def _create(self, call: Call, new_id: int, *, is_again: bool = False) -> Told:
        """`is_again`: whether the same request did not come to its end; what it began is gone on with."""
        begun = await self._rows.subscription(call.merchant.id, new_id) if is_again else None
        wanted = documents.wanted(call.document)
        payer = await self._paying.payer(call, captures=True)
        if begun is not None:  # a card that cannot be read any more does not undo what it has paid
            return codes.OUTCOME_UNKNOWN if isinstance(payer, Said) else await self._begin(payer, begun)
        if isinstance(payer, Said):
            return payer
        if isinstance(wanted, Problem):
            return messages.message_of(wanted)
        barred = await self._paying.barred(payer, subscribes=True)
        if barred is None and obligation.is_missing(payer.merchant, obligation.Order()):
            barred = Declined(reason=Reason.AUTHENTICATION_REQUIRED)  # nobody is asked on this route
        if barred is not None:
            return await self._paying.perform(payer, barred=barred)
        customer = await self._store(payer)
        subscription = await self._add(payer, wanted, customer.id, new_id)
        if subscription.customer != customer.id:  # the same request was faster
            await self._forget(payer.merchant, customer.id)
        return await self._begin(payer, subscription)

    async def _store(self, payer: Payer) -> Customer:
        """A new customer who has the card that pays."""
        email = payer.order.billing.email
        customer = self._tokenizer.new_customer({"buyerInformation": {"email": email}} if email else {})

        async def decide() -> Decided:
            changes, _ = await self._cards.store(
                payer.merchant, payer.order, payer.paid.card, payer.paid.name, customer
            )
            return Decided(changes, Answer(201, b""))

        if not isinstance(await self._tokenizer.perform(payer.merchant.id, decide), Answer):
            raise Busy
        return customer

    async def _add(self, payer: Payer, wanted: Wanted, customer: str, new_id: int) -> Subscription:
        """A new subscription, written; the one of this id where another process has written it meanwhile."""
        merchant, order = payer.merchant, payer.order
        now = merchant.at(self._biller.gateway.clock())
        starts_at, at_once = wanted.starts_at(now), wanted.trial is None
        first, last = particulars.names_of(payer.paid.name)
        new = Subscription(
            id=new_id,
            code="",
            name=wanted.name,
            customer=customer,
            billing=Billing(
                unit=wanted.unit,
                length=wanted.length,
                currency=order.amount.currency.code,
                amount=order.amount.minor,
                cycles=wanted.cycles,
                discount_percent=wanted.discount_percent,
                discount_cycles=wanted.discount_cycles,
            ),
            created_at=now,
            starts_at=starts_at,
            anchor_at=starts_at,
            due_at=now + _PATIENCE if at_once else starts_at,
            at_once=at_once,
            reference=order.reference,
            first_name=first,
            last_name=last,
            description=wanted.description,
            trial_unit=documents.WORDS[wanted.trial] if wanted.trial is not None else "",
            trial_length=wanted.trial_length,
            kept=particulars.kept_of_each(payer.own),
        )
        for _ in range(MOST_RACES):
            number = await self._rows.highest_subscription_number(merchant.id) + 1
            coded = replace(new, code=f"PO-{number}")
            if await self._write(AddSubscription(merchant.id, coded)):
                return coded
            existing = await self._rows.subscription(merchant.id, new_id)
            if existing is not None:
                return existing
        raise Busy

    async def _begin(self, payer: Payer, subscription: Subscription) -> Told:
        """Charge what is due at once, or verify the card of what starts after its trial; the answer to either."""
        merchant, biller = payer.merchant, self._first(payer)
        after: Subscription | Obstacle | None
        if subscription.at_once:
            is_first = (subscription.period, subscription.attempt) == (1, 1)  # else the worker has been here
            after = await recurring.charge(biller, merchant, subscription) if is_first else subscription
            charged = await self._rows.charge(merchant.id, subscription.id, 1, 1)
            transaction_id = charged.transaction_id if charged is not None else None
        else:
            is_good = await recurring.verify(biller, merchant, subscription)
            after = None if is_good is None else subscription
            if is_good is False:
                after = await self._changed(merchant, subscription.id, lambda found: verified(found, is_good=False))
            transaction_id = await recurring.verified_by(biller, merchant, subscription)
        if transaction_id is None or not isinstance(after, Subscription):
            return codes.OUTCOME_UNKNOWN  # the worker will find out; the subscription shows it
        if after.state is State.FAILED:
            await self._forget(merchant, subscription.customer)
        found = await biller.gateway.payments.load_payment(merchant.id, transaction_id)
        assert found is not None, "a charge names a payment that is not there"
        payment = found.payment
        body = answers.payment_made(
            merchant,
            payment,
            payment.root,
            payer.own,
            digits=payer.paid.card.pan.digits,
            extra={"subscription_details": await self._details(merchant, after)},
        )
        return Made(answers.said_of(payment.root, merchant).status, body)

    async def _forget(self, merchant: Merchant, customer_id: str) -> None:
        """Delete the customer of a subscription that never began: a card that was declined is not kept."""
        tokens = self._tokenizer.tokens

        async def decide() -> Decided | None:
            customer = await tokens.customer(merchant.id, customer_id)
            if isinstance(customer, Missing):
                return None
            owned = await tokens.owned(merchant.id, customer.id)
            going = [token for token in owned if isinstance(token, PaymentInstrument)]
            referred = await tokens.referred(merchant.id, going)
            return Decided(delete_customer(customer, owned, referred, self._tokenizer.clock()), Answer(204, b""))

        with suppress(DatabaseError):  # it stays, and nothing pays with it
            await self._tokenizer.perform(merchant.id, decide)

    def _first(self, payer: Payer) -> Biller:
        """What charges the first period: with the card as it was sent, and what this wire keeps of the request."""
        usual = self._biller

        async def card_of(_merchant: Merchant, _customer: str) -> OnFile | None:
            first, last = particulars.names_of(payer.paid.name)
            return OnFile(card=payer.paid.card, first_name=first, last_name=last, flags=FLAGS)

        def kept(subscription: Subscription, charge: Charge | None) -> bytes:
            members = msgspec.json.decode(usual.words.particulars(subscription, charge), type=dict[str, object])
            order = payer.order
            own = msgspec.json.decode(particulars.kept(order, payer.own, ("", "")), type=dict[str, object])
            del own["paymentInformation"]
            return msgspec.json.encode(members | own)

        return Biller(usual.gateway, usual.rows, card_of, Words(kept, usual.words.encode, usual.words.agreement))

    # ---- those that are there

    async def page(self, call: Call) -> Told:
        merchant = call.merchant
        _, found = await self._rows.subscriptions(merchant.id, dict.fromkeys(WANTED, ""), 0, MOST_LISTED)
        listed = [await self._details(merchant, each, in_list=True) for each in found]
        return Made(200, documents.shown(listed, merchant))

    async def read(self, call: Call) -> Told:
        found = await self._find(call)
        if found is None:
            return codes.NO_SUBSCRIPTION
        return Made(200, documents.shown(await self._details(call.merchant, found), call.merchant))

    async def pause(self, call: Call) -> Told:
        return await self._turn(call, suspend)

    async def resume(self, call: Call) -> Told:
        now = call.merchant.at(self._biller.gateway.clock())
        told = await self._turn(call, lambda found: activate(found, now, charge_missed=True))
        self._biller.gateway.work()  # what fell due meanwhile is charged now
        return told

    async def cancel(self, call: Call) -> Told:
        return await self._turn(call, cancel)

    async def _turn(self, call: Call, rule: Rule) -> Told:
        found = await self._find(call)
        if found is None:
            return codes.NO_SUBSCRIPTION
        after = await self._changed(call.merchant, found.id, rule)
        if isinstance(after, Obstacle):
            return codes.SUBSCRIPTION_STATE
        return Made(200, documents.updated(await self._details(call.merchant, after), call.merchant))

    async def _changed(self, merchant: Merchant, identifier: int, rule: Rule) -> Subscription | Obstacle:
        for _ in range(MOST_RACES):
            found = await self._rows.subscription(merchant.id, identifier)
            assert found is not None, "a subscription is never deleted"
            after = rule(found)
            if isinstance(after, Obstacle) or await self._write(ChangeSubscription(merchant.id, after)):
                return after
        raise Busy

    async def _find(self, call: Call) -> Subscription | None:
        identifier = identifiers.read(call.identifier, identifiers.SUBSCRIPTION)
        return await self._rows.subscription(call.merchant.id, identifier) if identifier is not None else None

    async def _details(self, merchant: Merchant, subscription: Subscription, *, in_list: bool = False) -> Body:
        _, found = await self._rows.charges(merchant.id, subscription.id, 0, MOST_CHARGES)
        charges = [
            documents.Charge(
                transaction_id=each.transaction_id,
                period=each.period,
                state=each.state,
                at=each.concluded_at or each.begun_at,
                amount=each.amount,
            )
            for each in sorted(found, key=lambda charged: (charged.period, charged.attempt))
        ]
        return documents.details(subscription, charges, merchant, in_list=in_list)
