"""Payments of the PaymentOptions wire: from what a request asks to a command of the gateway, and back to its answer."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai import log as logging
from kessai.authentication import obligation
from kessai.authenticator import Ended
from kessai.dialects.paymentoptions import answers, codes, identifiers, messages, particulars
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Following, Problem
from kessai.dialects.paymentoptions.particulars import Own
from kessai.edge import REPLAYED
from kessai.gateway import Busy, Circumstances, Gateway
from kessai.log import log
from kessai.outcomes import Attached, Encode, OutcomeUnknown
from kessai.payment.authorize import Authorize
from kessai.payment.capture import Capture
from kessai.payment.lifecycle import Command, Declined, Operation, Payment, Refusal, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.risk import Rule
from kessai.payment.void import Void
from kessai.s2s.call import Call, Made, Told
from kessai.s2s.cardholders import Cardholders
from kessai.s2s.cards import Cards
from kessai.s2s.keys import claims_of, named
from kessai.s2s.payer import Payer
from kessai.s2s.risks import Risks
from kessai.sandbox import HEADER, NoSuchScenario, scenario
from kessai.storage.payments import Answer, Claim, Found

FLAGS: Final = frozenset({"ignore-avs", "ignore-cvn", "no-partial"})
"""This wire knows no review and no partial approval."""
MayName = Callable[[Merchant, str], bool]
LAPSED: Final = "04"
"""Of a challenge whose time has passed (`challengeCancelCode` of EMV 3DS)."""
NO_SCENARIO: Final = Said("VAL0006", 30, "There is no such scenario for this operation.", 400)


class Paying:
    """What answers requests about payments."""

    def __init__(
        self, gateway: Gateway, cards: Cards, risks: Risks, cardholders: Cardholders, may_name: MayName
    ) -> None:
        """`may_name`: whether a merchant may be told of things at a URL."""
        self._gateway = gateway
        self.may_name = may_name
        self._cards = cards
        self._risks = risks
        self._cardholders = cardholders

    # ---- a new payment

    async def pay(self, call: Call, *, captures: bool, authenticates: bool = False) -> Told:
        """A purchase (`captures`) or an authorization; `authenticates`: by the routes that know 3-D Secure."""
        merchant = call.merchant
        claims = self._claims(call)
        told = await self._told(merchant, claims)
        if told is not None or isinstance(claims, Said):
            return told or codes.INTERNAL
        payer = await self.payer(call, captures=captures)
        if isinstance(payer, Said):
            return payer
        wanted = scenario(merchant, _operation(captures=captures), call.request.header(HEADER))
        if isinstance(wanted, NoSuchScenario):
            return NO_SCENARIO
        payer = replace(payer, claims=claims, scenario=wanted)
        barred = await self.barred(payer)
        if authenticates and barred is None:
            asked = await self.authenticated(call, payer)
            if not isinstance(asked, Payer):
                return asked
            payer = asked
        return await self.perform(payer, barred=barred)

    async def authenticated(self, call: Call, payer: Payer) -> Payer | Told:
        """The payment with what its issuer says of its cardholder; or the answer that sends the payer away."""
        return await self._cardholders.ask(call, payer, _command(payer, None))

    async def barred(self, payer: Payer, *, subscribes: bool = False) -> Declined | None:
        """The decline of the first risk rule that a payment breaks."""
        merchant = payer.merchant
        now = self._now(merchant)
        return await self._risks.judge(merchant, payer.order, payer.paid.card, now, subscribes=subscribes)

    async def payer(self, call: Call, *, captures: bool) -> Payer | Said:
        """A request that asks for a payment, read, with the card that pays."""
        merchant, now = call.merchant, self._now(call.merchant)
        order = messages.order(call.document, merchant, now)
        if isinstance(order, Problem):
            return messages.message_of(order)
        if order.merchant_id != merchant.id:
            return codes.UNAUTHORIZED
        told_at = order.return_url.get("webhook_url")
        if told_at and not self.may_name(merchant, told_at):
            return messages.message_of(Problem(codes.INVALID, "return_url.webhook_url"))
        paid = await self._cards.paid(merchant, order)
        if paid is None:
            return codes.NO_TOKEN
        own = Own(
            name=paid.name,
            billing=order.billing,
            shipping=order.shipping,
            customer_ip=order.customer_ip,
            visited_ip=call.peer,
            merchant_ip=call.peer if order.token is not None and order.card is None else "",
            return_url=order.return_url,
            time_zone=order.time_zone,
            token=paid.token,
        )
        return Payer(merchant=merchant, order=order, paid=paid, own=own, captures=captures)

    async def perform(self, payer: Payer, *, barred: Declined | None = None) -> Told:
        """Take a payment down the one road."""
        merchant, order, own, card = payer.merchant, payer.order, payer.own, payer.paid.card
        command, used = _command(payer, barred), payer.used
        digits = card.pan.digits
        named = own.token if merchant.terms.paymentoptions.token_in_answer else ""

        def encoded(token: str) -> Encode:
            def encode(payment: Payment, transaction: Transaction) -> Answer:
                body = answers.payment_made(merchant, payment, transaction, own, token=token, digits=digits)
                status = answers.said_of(transaction, merchant).status
                return Answer(status, body, answers.masked(body, digits))

            return encode

        async def store() -> Attached:
            changes, token = await self._cards.store(merchant, order, card, own.name)
            return Attached(changes, encoded(token))

        stores = order.stores and order.card is not None
        circumstances = Circumstances(
            correlation=payer.correlation or logging.correlation.get() or "",
            scenario=payer.scenario,
            proof=used.proof if used is not None else None,
            claims=payer.claims if used is None else (used.claim, *payer.named, *payer.claims),
            attach=_Storing(store) if stores else None,
        )
        answer = await self._gateway.perform(merchant, command, circumstances, encoded(named))
        return codes.REFUSALS[answer] if isinstance(answer, Refusal) else _made(answer)

    # ---- a payment that waited for its payer

    async def go_on(self, ended: Ended) -> bool | None:
        """Make the payment whose challenge has ended; whether it was made. None: ask again later."""
        payer = self._cardholders.payer_of(ended)
        if ended.usable.authentication.cancel == LAPSED:
            # Its request may have been repeated with the same key, and the repeat's payer have come back: that counts.
            told = await self._told(ended.merchant, payer.claims)
            if told is codes.IN_PROGRESS:
                return None
            if isinstance(told, Made):
                return answers.is_success(told.body)
            payer = replace(payer, claims=())
        try:
            told = await self.perform(payer)
        except (Busy, OutcomeUnknown):
            return None
        if told is codes.IN_PROGRESS:
            return None
        return isinstance(told, Made) and answers.is_success(told.body)

    def _claims(self, call: Call) -> tuple[Claim, ...] | Said:
        return claims_of(call, self._gateway.new_id(), self._gateway.vault.fingerprint)

    async def _told(self, merchant: Merchant, claims: tuple[Claim, ...] | Said) -> Told | None:
        """What an earlier request with the same key was told; None where there is none, or it had no key."""
        if isinstance(claims, Said):
            return claims
        if not claims:
            return None
        told = await self._gateway.told(merchant, claims)
        return codes.REFUSALS[told] if isinstance(told, Refusal) else _made(told) if told is not None else None

    # ---- what follows

    async def capture(self, call: Call) -> Told:
        found = await self._following(call, Operation.CAPTURE)
        if isinstance(found, Made | Said):
            return found
        asked, payment, target, money = found.asked, found.payment, found.target, found.amount
        assert money is not None, "a capture without an amount was read"
        if target.operation is not Operation.AUTHORIZE:
            is_paid = target.operation in (Operation.SALE, Operation.CAPTURE)
            return self._refused(call, found, codes.ALREADY_CAPTURED if is_paid else codes.WRONG_STATE)
        command = Capture(
            target=payment.id,
            expects=frozenset({Operation.AUTHORIZE}),
            amount=money,
            is_only=True,
            reference=payment.root.reference,
            particulars=particulars.kept_of_following(payment.root.reference, asked.notes),
        )
        told, done = await self._follow(call, found, command)
        if done is not None and done.status is Status.APPROVED and money.minor < payment.held:
            await self._release(call.merchant, payment)
        return told

    async def _release(self, merchant: Merchant, payment: Payment) -> None:
        """Release what a partial capture has left of the hold: no other capture will come."""
        command = Reverse(target=payment.id, reference=payment.root.reference)
        circumstances = Circumstances(correlation=logging.correlation.get() or "")

        def encode(payment: Payment, transaction: Transaction) -> Answer:
            status = answers.said_of(transaction, merchant).status
            return Answer(status, answers.operation_made(merchant, payment, transaction))

        try:
            told = await self._gateway.perform(merchant, command, circumstances, encode)
        except Exception as error:  # the capture stands; the hold lapses by itself
            log("rest.held", level="warning", payment=ids.show(payment.id), error=type(error).__name__)
            return
        if isinstance(told, Refusal):
            log("rest.held", level="warning", payment=ids.show(payment.id), error=told.name)

    async def refund(self, call: Call) -> Told:
        found = await self._following(call, Operation.REFUND)
        if isinstance(found, Made | Said):
            return found
        merchant, payment, target, money = call.merchant, found.payment, found.target, found.amount
        assert money is not None, "a refund without an amount was read"
        if target.operation not in (Operation.SALE, Operation.CAPTURE):
            is_held = target.operation is Operation.AUTHORIZE
            return self._refused(call, found, codes.NOT_CAPTURED if is_held else codes.WRONG_STATE)
        if not await self._risks.may_refund(merchant, money, self._now(merchant)):
            return self._refused(call, found, codes.RISK[Rule.REFUND_VOLUME])
        command = Refund(
            target=target.id,
            amount=money,
            is_bounded=True,
            reference=payment.root.reference,
            particulars=particulars.kept_of_following(payment.root.reference, found.asked.notes),
        )
        told, _ = await self._follow(call, found, command)
        return told

    async def void(self, call: Call) -> Told:
        found = await self._following(call, Operation.VOID)
        if isinstance(found, Made | Said):
            return found
        payment, target = found.payment, found.target
        if target.operation is not Operation.AUTHORIZE:
            is_paid = target.operation in (Operation.SALE, Operation.CAPTURE)
            return self._refused(call, found, codes.ALREADY_CAPTURED if is_paid else codes.WRONG_STATE)
        if payment.followers(Operation.CAPTURE):
            return self._refused(call, found, codes.ALREADY_CAPTURED)
        if payment.followers(Operation.VOID) or payment.followers(Operation.REVERSAL):
            return self._refused(call, found, codes.ALREADY_CANCELLED)
        is_part = target.status is Status.APPROVED and target.approved < target.requested.minor
        following: type[Void] | type[Reverse] = Reverse if is_part else Void
        command = following(
            target=payment.id,
            expects=frozenset({Operation.AUTHORIZE}),
            reference=payment.root.reference,
            particulars=particulars.kept_of_following(payment.root.reference, found.asked.notes),
        )
        told, _ = await self._follow(call, found, command)
        return told

    async def status(self, call: Call) -> Told:
        loaded = await self._load(call.merchant, call.identifier)
        if loaded is None:
            return codes.NOT_FOUND
        found, identifier = loaded
        transaction = found.payment.find(identifier)
        assert transaction is not None, "a payment was found by a transaction that is not in it"
        digits = self._digits(call.merchant, found)
        other = ids.show(transaction.id)
        told = await self._gateway.payments.answer(call.merchant.id, found.payment.id)
        token = answers.token_of(told[1].body) if told is not None else ""
        return Made(200, answers.status(call.merchant, found.payment, transaction, other, digits, token=token))

    # ---- parts

    async def _load(self, merchant: Merchant, shown: str) -> tuple[Found, int] | None:
        """The payment of a transaction by its printed id, with that id."""
        identifier = identifiers.read(shown)
        if identifier is None:
            return None
        found = await self._gateway.payments.load(merchant.id, identifier)
        if found is None and merchant.terms.paymentoptions.transaction_id_in_redirect:
            told = await self._gateway.told(merchant, (named(identifier),))
            identifier = identifiers.read(answers.id_in(told.body)) if isinstance(told, Answer) else None
            found = await self._gateway.payments.load(merchant.id, identifier) if identifier is not None else None
        return (found, identifier) if found is not None and identifier is not None else None

    async def _following(self, call: Call, operation: Operation) -> "Follow | Told":
        """A request that names a transaction, read, with its payment."""
        claims = self._claims(call)
        told = await self._told(call.merchant, claims)
        if told is not None or isinstance(claims, Said):
            return told or codes.INTERNAL
        asked = messages.following(call.document, has_amount=operation is not Operation.VOID)
        if isinstance(asked, Problem):
            return messages.message_of(asked)
        if asked.merchant_id != call.merchant.id:
            return codes.UNAUTHORIZED
        wanted = scenario(call.merchant, operation, call.request.header(HEADER))
        if isinstance(wanted, NoSuchScenario):
            return NO_SCENARIO
        loaded = await self._load(call.merchant, asked.transaction_id)
        if loaded is None:
            return codes.NOT_FOUND
        found, identifier = loaded
        target = found.payment.find(identifier)
        assert target is not None, "a payment was found by a transaction that is not in it"
        amount = None
        if operation is not Operation.VOID:
            unit = call.merchant.terms.paymentoptions.amount_unit
            amount = messages.amount_of(asked.amount, found.payment.currency, unit)
            if amount is None or amount.minor <= 0:
                return messages.message_of(Problem(codes.INVALID, "amount"))
        return Follow(
            asked=asked, found=found, target=target, amount=amount, operation=operation, scenario=wanted, claims=claims
        )

    async def _follow(self, call: Call, found: "Follow", command: Command) -> tuple[Told, Transaction | None]:
        """Take a command down the one road; its answer, and the transaction that came of it."""
        merchant, digits = call.merchant, self._digits(call.merchant, found.found)
        seen: list[Transaction] = []

        def encode(payment: Payment, transaction: Transaction) -> Answer:
            seen.append(transaction)
            body = answers.operation_made(merchant, payment, transaction, digits)
            status = answers.said_of(transaction, merchant).status
            return Answer(status, body, answers.masked(body, digits))

        correlation = logging.correlation.get() or ""
        circumstances = Circumstances(correlation=correlation, scenario=found.scenario, claims=found.claims)
        answer = await self._gateway.perform(merchant, command, circumstances, encode)
        if isinstance(answer, Refusal):
            return self._refused(call, found, codes.REFUSALS[answer]), None
        return _made(answer), seen[-1] if seen else None

    def _refused(self, call: Call, found: "Follow", said: Said) -> Told:
        if said.status != 412:
            return said
        log("request.refused", merchant=call.merchant.id, status=said.status, reason=said.code)
        body = answers.refused_following(said, call.merchant, found.payment, found.operation, found.amount)
        return Made(said.status, body)

    def _digits(self, merchant: Merchant, found: Found) -> str:
        """The whole number of a card, where a test merchant wants to be shown it."""
        if not (merchant.is_test and merchant.terms.paymentoptions.echo_test_cards) or found.card is None:
            return ""
        return self._gateway.vault.open_card(merchant.id, found.payment.id, found.card).pan.digits

    def _now(self, merchant: Merchant) -> datetime:
        return merchant.at(self._gateway.clock())


class Follow(Struct, frozen=True, kw_only=True):
    """A request about a transaction that is there."""

    asked: Following
    found: Found
    target: Transaction
    amount: Money | None
    operation: Operation
    scenario: str | None
    claims: tuple[Claim, ...]

    @property
    def payment(self) -> Payment:
        return self.found.payment


class _Storing(Struct, frozen=True):
    """Keeps the card of an approved payment; fulfils `outcomes.Attach`."""

    store: Callable[[], Awaitable[Attached]]

    def concerns(self, _transaction: Transaction) -> bool:
        return True

    async def __call__(self, _transaction: Transaction) -> Attached:
        return await self.store()


def _made(answer: Answer) -> Made:
    return Made(answer.status, answer.body, {REPLAYED: "true"} if answer.is_replay else {})


def _command(payer: Payer, barred: Declined | None) -> Authorize:
    order, card, used = payer.order, payer.paid.card, payer.used
    expiry = card.expiry
    shown = (f"{expiry.month:02d}", f"{expiry.year:04d}") if expiry is not None else ("", "")
    flags = FLAGS | {"cvn-sent"} if card.security_code is not None else FLAGS
    if used is not None:
        flags |= used.flags
    elif obligation.is_missing(payer.merchant, _BARE):
        flags |= {"authentication-missing"}
    return Authorize(
        amount=order.amount,
        card=card,
        capture=payer.captures,
        option=order.option,
        reference=order.reference,
        flags=flags,
        particulars=particulars.kept(order, payer.own, shown),
        warnings=order.warnings,
        barred=barred,
    )


_BARE: Final = obligation.Order()
"""This wire cannot say that a payment is exempt."""


def _operation(*, captures: bool) -> Operation:
    return Operation.SALE if captures else Operation.AUTHORIZE
