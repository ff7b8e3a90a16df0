"""The one road that every operation takes.

    load → prepare (pure) → COMMIT 1, the intent → one exchange with the acquirer → conclude (pure)
         → COMMIT 2, the outcome

No database transaction is open while the acquirer thinks. Commit 1 reserves: what it began counts against whatever may
follow as if it had succeeded. Both commits are conditional, so a race has one winner; whoever loses commit 1 loads and
prepares again, whoever loses commit 2 was concluded by somebody else. An outcome that is unknown is recorded as
unknown, with its clean-up queued in the same commit. A caller that hangs up cancels the answer, never the exchange.
"""

from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping, Set
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kessai import claims, ids
from kessai.acquirers import Acquirer, Exchange
from kessai.deadlines import within
from kessai.late import CLEAN_UP, Late
from kessai.ledger import entries, is_balanced
from kessai.log import log
from kessai.metrics import Metrics
from kessai.outcomes import Attach, Encode, Outcomes, OutcomeUnknown, log_outcome
from kessai.payment import authorize, capture, credit, echeck, refund, reverse, void
from kessai.payment.bank import FLAG, BankAccount
from kessai.payment.card import Card
from kessai.payment.lifecycle import (
    Approved,
    Command,
    Failed,
    Operation,
    Outcome,
    Payment,
    Prepared,
    Reason,
    Refusal,
    Status,
    Transaction,
    Unknown,
    cleans_up,
    conclude,
)
from kessai.payment.merchant import Merchant
from kessai.payment.proof import Proof
from kessai.payment.words import printed
from kessai.storage.database import CommitUnknown, Database, DatabaseError, Unavailable
from kessai.storage.payments import Answer, Claim, Found, Payments
from kessai.storage.webhooks import notice_of
from kessai.storage.writes import Begin, Conflict, Finish, Job, Replay, SealedCard, SettleUnknown
from kessai.tokens.standing import Relied
from kessai.vault import Spent, Vault

MOST_RACES: Final = 32
"""How often a command that loses commit 1 starts again before it is told to come back later."""

TOLD_AT: Final = b'"webhook_url":'
"""In the particulars of a payment whose outcomes are told at a URL of its own."""
Instrument = Card | BankAccount
"""What pays, or is paid."""
_BY_CARD: Final = (authorize.Authorize, credit.Credit)
_BEGINNERS: Final = (*_BY_CARD, echeck.Echeck)
"""Commands that begin a payment."""
_FOLLOWERS: Final[Mapping[type[Command], Callable[..., Prepared | Refusal]]] = {
    authorize.Increment: authorize.prepare_increment,
    capture.Capture: capture.prepare,
    reverse.Reverse: reverse.prepare,
    void.Void: void.prepare,
    refund.Refund: refund.prepare,
}


class Busy(Exception):
    """A payment is so contended that its caller should come back in a second; nothing was done."""


class Stale(Exception):
    """What was remembered for a command is not so any more; nothing was done. Read it, and come back."""


class Circumstances(Struct, frozen=True, kw_only=True):
    """What surrounds a command and is none of its business."""

    correlation: str = ""
    scenario: str | None = None
    proof: Proof | None = None
    """Of the cardholder's authentication, for the issuer."""
    claims: tuple[Claim, ...] = ()
    """What only one request may have: its idempotency key, its signature."""
    attach: Attach | None = None
    fingerprint: bytes | None = None
    """Of the card, where it is known: a stored one has it beside its number."""
    relies_on: Relied | None = None
    """What was remembered of stored cards, for a command that begins a payment."""


class Gateway:
    """Performs commands; everything it needs is handed in."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        links: Mapping[str, Acquirer],
        new_id: Callable[[], int],
        may_begin: Callable[[], bool] = lambda: True,
        clock: Callable[[], datetime],
        lease: int,
        deadline_s: float,
        metrics: Metrics,
        sealed: Callable[[Callable[[], SealedCard]], Awaitable[SealedCard]],
        work: Callable[[], None] = lambda: None,
    ) -> None:
        """`links` by personality; `clock` gives aware UTC; `sealed` counts a seal; `work`: a job was queued."""
        self.database = database
        self.payments = Payments(database)
        self._outcomes = Outcomes(database, new_id)
        self.vault = vault
        self.links = links
        self.new_id = new_id
        self.may_begin = may_begin
        self.clock = clock
        self.lease = lease
        self.deadline_s = deadline_s
        self.metrics = metrics
        self.sealed = sealed
        self.work = work
        self.notified: Set[str] = frozenset()
        """Merchants of whose outcomes somebody wants to be told."""
        self.notify: Callable[[str], None] = lambda _merchant_id: None
        """Called with a merchant of which a notice was written."""
        self.under_way: set[int] = set()
        """Transactions whose exchange this process is in the middle of."""
        self._late = Late(database, new_id, clock, lambda: self.work())  # noqa: PLW0108 # it is set later
        for link in {id(link): link for link in links.values()}.values():
            link.on_late_answer(self._late.answered)

    async def perform(
        self, merchant: Merchant, command: Command, circumstances: Circumstances, encode: Encode
    ) -> Answer | Refusal:
        """Take a command down the road. The answer is what was stored; a refusal means that nothing was begun.

        Busy, Stale, and errors of the database as long as nothing was done; OutcomeUnknown after that.
        """
        for _ in range(MOST_RACES):
            if not self.may_begin():
                raise Unavailable("the lease of this process has ended")
            found = await self._load(merchant, command)
            if isinstance(found, Refusal):
                return found
            now = merchant.at(self.clock())
            prepared = self._prepare(found, command, merchant, now)
            if isinstance(prepared, Refusal):
                # A repeat meets its own first request: what that one did is no reason to refuse.
                return await self.told(merchant, circumstances.claims) or prepared
            payment, transaction, card = self._intent(merchant, found, command, prepared, now)
            await sleep(0)
            begun = await self._begin(merchant, payment, transaction, card, circumstances)
            if isinstance(begun, Conflict):
                if circumstances.relies_on is not None:
                    raise Stale
                continue
            if begun is not None:
                return begun
            self.under_way.add(transaction.id)
            try:
                return await self._exchange(merchant, payment, prepared, transaction, card, circumstances, encode)
            except DatabaseError as error:  # an exchange may have taken place
                raise OutcomeUnknown from error
            finally:
                self.under_way.discard(transaction.id)
        raise Busy

    async def told(self, merchant: Merchant, claims: tuple[Claim, ...]) -> Answer | Refusal | None:
        """What an earlier request with one of these claims was told; None where there was none."""
        for claim in claims:
            if claim.taken is None:
                told = await self.database.write(Replay(merchant.id, claim))
                if told is not None:
                    return told
        return None

    # ---- before commit 1

    async def _load(self, merchant: Merchant, command: Command) -> Found | Refusal | None:
        """The payment that a command acts upon; None for one that begins a payment."""
        if isinstance(command, _BEGINNERS):
            return None
        if command.target is None:
            return Refusal.NOT_FOUND
        found = await self.payments.load(merchant.id, command.target)
        if found is None:
            return Refusal.NOT_FOUND
        target = found.payment.find(command.target)
        is_expected = target is not None and (not command.expects or target.operation in command.expects)
        return found if is_expected else Refusal.NOT_FOUND

    def _prepare(self, found: Found | None, command: Command, merchant: Merchant, now: datetime) -> Prepared | Refusal:
        new_id = self.new_id()
        if isinstance(command, authorize.Authorize):
            return authorize.prepare(command, merchant, now, new_id)
        if isinstance(command, credit.Credit):
            return credit.prepare(command, merchant, now, new_id)
        if isinstance(command, echeck.Echeck):
            return echeck.prepare(command, merchant, now, new_id)
        assert found is not None
        return _FOLLOWERS[type(command)](found.payment, command, merchant, now, new_id)

    def _intent(
        self, merchant: Merchant, found: Found | None, command: Command, prepared: Prepared, now: datetime
    ) -> tuple[Payment, Transaction, Instrument | None]:
        """The payment and transaction that commit 1 writes, and the card or account for the exchange."""
        stan, rrn = ("", "") if prepared.verdict is not None else self.links[merchant.personality].trace(now)
        transaction = replace(prepared.transaction, stan=stan, rrn=rrn)
        if found is not None:
            if FLAG in found.payment.root.flags:
                transaction = replace(transaction, flags=transaction.flags | {FLAG})
            return found.payment, transaction, self._instrument(found)
        if isinstance(command, echeck.Echeck):
            return echeck.payment_of(merchant.id, command, transaction), transaction, command.account
        assert isinstance(command, _BY_CARD)
        card = command.card
        lapses = now + timedelta(days=merchant.terms.authorization_days)
        payment = Payment(
            merchant_id=merchant.id,
            id=transaction.id,
            transactions=(transaction,),
            brand=card.brand,
            pan_prefix=card.pan.prefix,
            pan_suffix=card.pan.suffix,
            expiry=f"{card.expiry.year:04d}-{card.expiry.month:02d}" if card.expiry else "",
            expires_at=None if transaction.operation is Operation.CREDIT else lapses,
        )
        return payment, transaction, card

    def _instrument(self, found: Found) -> Instrument | None:
        if found.card is None:
            return None
        payment = found.payment
        if FLAG in payment.root.flags:
            return self.vault.open_account(payment.merchant_id, payment.id, found.card)
        return replace(self.vault.open_card(payment.merchant_id, payment.id, found.card), brand=payment.brand)

    async def _begin(
        self,
        merchant: Merchant,
        payment: Payment,
        transaction: Transaction,
        card: Instrument | None,
        circumstances: Circumstances,
    ) -> Conflict | Answer | Refusal | None:
        """Commit 1. None: begun."""
        is_new = transaction.id == payment.id
        target = payment.find(transaction.target) if transaction.target is not None else None
        sealed = None
        if is_new and card is not None:
            try:
                sealed = self._seal(merchant, payment, card, circumstances.fingerprint)
            except Spent:
                again = partial(self._seal, merchant, payment, card, circumstances.fingerprint)
                sealed = await self.sealed(again)
        write = Begin(
            payment=payment,
            transaction=transaction,
            lease=self.lease,
            correlation=circumstances.correlation,
            card=sealed,
            claims=circumstances.claims + claims.unique(merchant, transaction, is_new=is_new),
            relies_on=circumstances.relies_on,
            takes_over=(
                Job(
                    id=self.new_id(),
                    kind=CLEAN_UP,
                    transaction_id=target.id,
                    run_at=self.clock() + timedelta(seconds=self.deadline_s),
                )
                if target is not None and target.status is Status.PENDING
                else None
            ),
        )
        try:
            return await self.database.write(write)
        except CommitUnknown:
            # Nothing was sent. If the intent is there after all, it must not stay open.
            log("commit.unknown", level="error", transaction=ids.show(transaction.id), commit=1)
            with suppress(DatabaseError):
                now = merchant.at(self.clock())
                failed = replace(transaction, status=Status.FAILED, reason=Reason.SYSTEM_ERROR, concluded_at=now)
                await self.database.write(Finish(merchant_id=merchant.id, transaction=failed))
            raise

    def _seal(self, merchant: Merchant, payment: Payment, card: Instrument, fingerprint: bytes | None) -> SealedCard:
        if isinstance(card, BankAccount):
            return SealedCard(
                self.vault.seal_account(merchant.id, payment.id, card),
                self.vault.fingerprint_of_account(merchant.id, card.number, card.routing_number),
            )
        return SealedCard(
            self.vault.seal_card(merchant.id, payment.id, card.pan, card.expiry),
            fingerprint or self.vault.fingerprint(merchant.id, card.pan),
        )

    # ---- between the commits

    async def _exchange(
        self,
        merchant: Merchant,
        payment: Payment,
        prepared: Prepared,
        transaction: Transaction,
        card: Instrument | None,
        circumstances: Circumstances,
        encode: Encode,
    ) -> Answer:
        outcome = prepared.verdict
        if outcome is None:
            message = self._message(merchant, payment, transaction, card)
            if prepared.agreement is not None:
                message = replace(message, agreement=prepared.agreement)
            if circumstances.scenario is not None:
                message = replace(message, scenario=circumstances.scenario)
            if circumstances.proof is not None:
                message = replace(message, proof=circumstances.proof)
            if self.may_begin():
                outcome = await self._send(merchant, message)
            else:  # this process was stopped for long, and somebody else may have given the exchange up
                outcome = Failed(reason=Reason.SYSTEM_ERROR)
            await sleep(0)
        return await self._conclude(merchant, payment, transaction, outcome, encode, circumstances)

    def _message(
        self, merchant: Merchant, payment: Payment, transaction: Transaction, card: Instrument | None
    ) -> Exchange:
        original = payment.find(transaction.target) if transaction.target is not None else None
        account = None
        if isinstance(card, BankAccount):
            card, account = None, card
        return Exchange(
            merchant_id=merchant.id,
            personality=merchant.personality,
            transaction_id=transaction.id,
            operation=transaction.operation,
            amount=transaction.requested,
            stan=transaction.stan,
            rrn=transaction.rrn,
            sent_at=transaction.requested_at,
            card=card,
            account=account,
            option=printed(transaction.option) if transaction.option else None,
            flags=transaction.flags,
            original={**original.facts, "stan": original.stan, "rrn": original.rrn} if original else None,
            original_id=original.id if original else None,
        )

    async def _send(self, merchant: Merchant, message: Exchange) -> Outcome:
        """One exchange within the deadline. What a link does wrong is an unknown outcome, never an exception."""
        begun = monotonic()
        try:
            return await within(self.deadline_s, self.links[merchant.personality].send(message))
        except TimeoutError:
            return Unknown("no answer within the deadline")
        except Exception as error:
            log(
                "acquirer.fault",
                level="error",
                transaction=ids.show(message.transaction_id),
                error=type(error).__name__,
            )
            return Unknown(f"the link failed: {type(error).__name__}")
        finally:
            self.metrics.exchange(monotonic() - begun)

    # ---- commit 2

    async def _conclude(
        self,
        merchant: Merchant,
        payment: Payment,
        transaction: Transaction,
        outcome: Outcome,
        encode: Encode,
        circumstances: Circumstances,
    ) -> Answer:
        done = conclude(transaction, outcome, merchant.at(self.clock()), merchant.terms.review_avs)
        after = payment.with_transaction(done)
        lines = entries(after, done)
        assert is_balanced(lines), "a transaction's entries do not balance"
        write = Finish(
            merchant_id=merchant.id,
            transaction=done,
            entries=lines,
            jobs=self._jobs(merchant, after, done, circumstances.scenario),
        )
        attach = circumstances.attach
        if attach is not None and done.status is Status.APPROVED and attach.concerns(done):
            answer, finished = await self._outcomes.finish_with_tokens(merchant, write, after, encode, attach)
        else:
            answer = encode(after, done)
            finished = await self._outcomes.finish(merchant, replace(write, answer=answer))
        if finished:
            self.metrics.outcome(done.operation.word, done.status.word)
            log_outcome(merchant, done)
            if write.jobs:
                self._told(merchant, done)
            return answer
        self._late.overtaken(merchant, done)
        unknown = replace(transaction, status=Status.UNKNOWN, reason=Reason.TIMEOUT, concluded_at=done.concluded_at)
        return encode(payment.with_transaction(unknown), unknown)

    def _jobs(
        self, merchant: Merchant, payment: Payment, done: Transaction, scenario: str | None = None
    ) -> tuple[Job, ...]:
        """What is still to do for an outcome: to find it out, or to tell somebody of it."""
        if cleans_up(done) is not None:
            kind = CLEAN_UP
        elif merchant.id in self.notified or TOLD_AT in payment.root.particulars:
            kind = notice_of(scenario)
        else:
            return ()
        return (Job(id=self.new_id(), kind=kind, transaction_id=done.id, run_at=self.clock()),)

    def _told(self, merchant: Merchant, done: Transaction) -> None:
        """Wake whoever does what `_jobs` wrote."""
        if cleans_up(done) is not None:
            self.work()
        else:
            self.notify(merchant.id)

    # ---- clean-up

    async def repeat(self, merchant: Merchant, found: Found, transaction: Transaction) -> bool:
        """Send an unknown transaction again, marked as a repeat, and settle it by the answer. False: still unknown."""
        message = self._message(merchant, found.payment, transaction, self._instrument(found))
        outcome = await self._send(merchant, replace(message, is_repeat=True))
        return await self.settle(merchant, found.payment, transaction, outcome)

    async def undo(self, merchant: Merchant, found: Found, transaction: Transaction, undoing: int) -> bool:
        """Reverse one exchange at the acquirer; it then counts as failed. False: not yet.

        `undoing` is the id that this reversal keeps over all its tries, so that the acquirer does it once.
        """
        message = self._message(merchant, found.payment, transaction, self._instrument(found))
        reversal = replace(
            message,
            transaction_id=undoing,
            operation=Operation.REVERSAL,
            original={**transaction.facts, "stan": transaction.stan, "rrn": transaction.rrn},
            original_id=transaction.id,
            is_repeat=True,
        )
        outcome = await self._send(merchant, reversal)
        if not isinstance(outcome, Approved):
            return False
        return await self.settle(merchant, found.payment, transaction, None)

    async def settle(
        self, merchant: Merchant, payment: Payment, transaction: Transaction, outcome: Outcome | None
    ) -> bool:
        """Record what became of an unknown transaction; None: it was undone. False: it is still unknown."""
        if isinstance(outcome, Unknown | Failed):  # that a repeat was not done says nothing of the first message
            return False
        now = merchant.at(self.clock())
        if outcome is None:
            done = replace(transaction, status=Status.FAILED, approved=0, concluded_at=now)
        else:
            done = conclude(transaction, outcome, now, frozenset())
        after = payment.with_transaction(done)
        jobs = self._jobs(merchant, after, done)
        write = SettleUnknown(
            merchant_id=merchant.id, payment=payment, transaction=done, entries=entries(after, done), jobs=jobs
        )
        if not await self.database.write(write):
            return False  # somebody began something meanwhile: look again
        if jobs:
            self._told(merchant, done)
        log("outcome.settled", merchant=merchant.id, transaction=ids.show(done.id), status=done.status.value)
        return True

    async def close(self) -> None:
        await self._late.close()
        for link in {id(link): link for link in self.links.values()}.values():
            await link.close()
