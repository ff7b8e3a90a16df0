"""Writes: what the road and the jobs commit about payments. Rows only.

Every write is a value whose statements are conditional: an unused key, a payment that stands as it was loaded, a
transaction that is still pending. Whoever loses a race gets a result that says so, and nothing of theirs is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from msgspec import Struct

from kessai.ledger import Entry
from kessai.payment.lifecycle import Payment, Refusal, Status, Transaction
from kessai.payment.settle import Batch
from kessai.storage.compact import pack
from kessai.storage.database import Run, RunAll
from kessai.storage.payments import Answer, Claim, encode_json, to_ms, told_before
from kessai.tokens.standing import Relied


class SealedCard(Struct, frozen=True):
    sealed: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """A payment, or what was remembered for a new one, is not as it was loaded: load and prepare again."""


class Begin(Struct, frozen=True, kw_only=True):
    """Commit 1, the intent. A result of None means: begun."""

    may_be_refused: ClassVar[bool] = True
    payment: Payment
    transaction: Transaction
    lease: int
    correlation: str
    card: SealedCard | None = None
    """Given for a new payment only."""
    claims: tuple[Claim, ...] = ()
    relies_on: Relied | None = None
    """Of the stored cards of a new payment, on the engine that does not count their changes: else `Conflict`."""
    takes_over: "Job | None" = None
    """The clean-up of an open transaction that this one undoes: its own road will find that it came too late."""

    @property
    def is_new(self) -> bool:
        """Whether it begins a payment."""
        return self.transaction.id == self.transaction.payment_id

    def claim(self, run: Run) -> Claim | None:
        """Take its claims. None: it has them all; else the first that somebody has, and it has none."""
        merchant, transaction = self.payment.merchant_id, self.transaction
        for index, claim in enumerate(self.claims):
            if not run("claim", claim_row(merchant, claim) | {"transaction_id": transaction.id}):
                forget(run, merchant, self.claims[:index])
                return claim
        return None

    def apply(self, run: Run) -> Conflict | Answer | Refusal | None:
        merchant, transaction = self.payment.merchant_id, self.transaction
        taken = self.claim(run)
        if taken is not None:
            rows = run("read_claim", claim_row(merchant, taken))
            # Without a transaction it is a request of another family that has the claim.
            return told_before(rows[0], taken) if rows else taken.taken or taken.other
        if self.is_new:
            run("begin_payment", dict(zip(PAYMENT, payment_row(self.payment, self.card), strict=True)))
        elif not run(
            "claim_payment",
            {"merchant_id": merchant, "id": self.payment.id, "version": self.payment.version},
        ):
            forget(run, merchant, self.claims)
            return Conflict()
        if self.takes_over is not None:
            given_up = {
                "merchant_id": merchant,
                "id": self.takes_over.transaction_id,
                "concluded_at": to_ms(transaction.requested_at),
            }
            if not run("give_up_pending", given_up):  # its own road was faster: this was prepared from what is past
                forget(run, merchant, self.claims)
                return Conflict()
            enqueue(run, merchant, (self.takes_over,))  # if this one fails, somebody must settle it all the same
        run("begin_transaction", dict(zip(TRANSACTION, transaction_row(self), strict=True)))
        return None


def claim_row(merchant: str, claim: Claim) -> dict[str, object]:
    return {"merchant_id": merchant, "key": claim.key, "request": claim.request, "since": claim.since}


def forget(run: Run, merchant: str, claims: Sequence[Claim]) -> None:
    """A request that was not executed leaves nothing behind (R-10)."""
    for claim in claims:
        run("forget_claim", {"merchant_id": merchant, "key": claim.key})


@dataclass(frozen=True, slots=True)
class Replay:
    """What an earlier request with this claim was told; None where it is free. It locks what it reads (R-9)."""

    merchant_id: str
    claim: Claim

    def apply(self, run: Run) -> Answer | Refusal | None:
        rows = run("read_claim", claim_row(self.merchant_id, self.claim))
        return told_before(rows[0], self.claim) if rows else None


class Finish(Struct, frozen=True, kw_only=True):
    """Commit 2, the outcome: transaction, entries, answer and queued work. False: somebody concluded it before us."""

    merchant_id: str
    transaction: Transaction
    entries: Sequence[Entry] = ()
    jobs: Sequence["Job"] = ()
    answer: Answer | None = None

    def apply(self, run: Run) -> bool:
        row = outcome_row(self.merchant_id, self.transaction, self.answer)
        if not run("conclude_transaction", dict(zip(OUTCOME, row, strict=True))):
            return False
        _post(run, self.merchant_id, self.entries)
        enqueue(run, self.merchant_id, self.jobs)
        return True


def begin_all(run: Run, run_all: RunAll, writes: Sequence[Begin]) -> list[bool]:
    """Begin many new payments: for each, whether it was begun; a claim of the others is taken."""
    begun = [write.claim(run) is None for write in writes]
    free = [write for write, is_begun in zip(writes, begun, strict=True) if is_begun]
    run_all("begin_payment", [payment_row(write.payment, write.card) for write in free])
    run_all("begin_transaction", [transaction_row(write) for write in free])
    return begun


class NotAll(Exception):
    """Some of many that were written together were not as they have to be; which ones, each finds out alone."""


def finish_all(run_all: RunAll, writes: Sequence[Finish]) -> list[bool]:
    """Conclude many transactions: for each, whether it was still open. NotAll where only some of them were."""
    done = run_all("conclude_transaction", [outcome_row(w.merchant_id, w.transaction, w.answer) for w in writes])
    if done == 0:
        return [False] * len(writes)
    if done < len(writes):
        raise NotAll
    run_all("post_entry", [entry_row(write.merchant_id, entry) for write in writes for entry in write.entries])
    run_all("enqueue", [(write.merchant_id, *job_row(job).values()) for write in writes for job in write.jobs])
    return [True] * len(writes)


@dataclass(frozen=True, slots=True)
class Record:
    """What needs no exchange: intent and outcome in one commit. A result of None means: recorded."""

    begin: Begin
    finish: Finish

    def apply(self, run: Run) -> Conflict | Answer | Refusal | None:
        begun = self.begin.apply(run)
        if begun is None:
            self.finish.apply(run)
        return begun


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleUnknown:
    """What a clean-up found out about a transaction, with its entries; nothing where it was settled before.

    False: the payment is not as it was loaded, and the entries may not be what they should be.
    """

    merchant_id: str
    payment: Payment
    transaction: Transaction
    entries: Sequence[Entry] = ()
    jobs: Sequence["Job"] = ()

    def apply(self, run: Run) -> bool:
        claim = {"merchant_id": self.merchant_id, "id": self.payment.id, "version": self.payment.version}
        if not run("claim_payment", claim):
            return False
        row = outcome_row(self.merchant_id, self.transaction)
        if not run("settle_unknown", dict(zip(OUTCOME, row, strict=True))):
            return True
        _post(run, self.merchant_id, self.entries)
        enqueue(run, self.merchant_id, self.jobs)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Nobody will conclude this intent any more: its outcome is unknown, and its clean-up is queued with that."""

    merchant_id: str
    transaction_id: int
    now: datetime
    job: "Job"

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.transaction_id, "concluded_at": to_ms(self.now)}

    def apply(self, run: Run) -> bool:
        if not run("give_up_pending", self.values()):
            return False
        enqueue(run, self.merchant_id, (self.job,))
        return True


@dataclass(frozen=True, slots=True)
class ForgetExpiry:
    """The hold of a payment cannot lapse any more: it has, or there is none."""

    merchant_id: str
    payment_id: int

    def values(self) -> dict[str, object]:
        return {"merchant_id": self.merchant_id, "id": self.payment_id}

    def apply(self, run: Run) -> None:
        run("forget_expiry", self.values())


@dataclass(frozen=True, slots=True)
class PurgeClaims:
    """Forget claims that have lapsed for good: (key, transaction that held it)."""

    merchant_id: str
    claims: Sequence[tuple[bytes, int]]

    def apply(self, run: Run) -> None:
        for key, transaction_id in self.claims:
            run("purge_claim", {"merchant_id": self.merchant_id, "key": key, "transaction_id": transaction_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something to remember about a transaction that changes nothing of it (R-5), and what follows from it."""

    merchant_id: str
    transaction_id: int
    id: int
    kind: str
    detail: str
    jobs: Sequence["Job"] = ()

    def values(self) -> dict[str, object]:
        return {
            "merchant_id": self.merchant_id,
            "transaction_id": self.transaction_id,
            "id": self.id,
            "kind": self.kind,
            "detail": self.detail,
        }

    def apply(self, run: Run) -> None:
        run("record_event", self.values())
        enqueue(run, self.merchant_id, self.jobs)


NO_SETTLEMENT: Final = 0
"""Stands for a settlement where none will ever be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmit:
    """Collect transactions into batches. Conditional on each payment: one that changed meanwhile waits for the next.

    The result: whether every payment stood as it was loaded; nothing is written otherwise.
    """

    merchant_id: str
    payments: Sequence[Payment]
    collected: Mapping[int, int]
    """Transaction id to settlement id; to `NO_SETTLEMENT` where it was voided, so that no later cut reads it again."""
    batches: Sequence[Batch]
    entries: Sequence[Entry]
    cut_at: datetime

    def apply(self, run: Run) -> bool:
        for payment in self.payments:
            claim = {"merchant_id": self.merchant_id, "id": payment.id, "version": payment.version}
            if not run("claim_payment", claim):
                raise Raced
        for transaction_id, settlement_id in self.collected.items():
            row = {"merchant_id": self.merchant_id, "id": transaction_id, "settlement_id": settlement_id}
            if not run("transmit", row):
                raise Raced
        for batch in self.batches:
            row = dict(zip(BATCH, batch_row(batch), strict=True))
            run("add_settlement", {"merchant_id": self.merchant_id, "cut_at": to_ms(self.cut_at)} | row)
        _post(run, self.merchant_id, self.entries)
        return True


class Raced(Exception):
    """A write over several payments lost one of them: all of it is rolled back, and the caller starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work for later, written in the commit that makes it necessary."""

    id: int
    kind: str
    transaction_id: int
    run_at: datetime


def enqueue(run: Run, merchant_id: str, jobs: Sequence[Job]) -> None:
    for job in jobs:
        run("enqueue", {"merchant_id": merchant_id} | job_row(job))


def _post(run: Run, merchant_id: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        run("post_entry", dict(zip(ENTRY, entry_row(merchant_id, entry), strict=True)))


# ---- values as rows, for both engines, in the order in which the embedded one's statements take them


def job_row(job: Job) -> dict[str, object]:
    return {"id": job.id, "kind": job.kind, "transaction_id": job.transaction_id, "run_at": to_ms(job.run_at)}


ENTRY: Final = ("merchant_id", "transaction_id", "line", "account", "currency", "amount", "posted_at")


def entry_row(merchant_id: str, entry: Entry) -> tuple[object, ...]:
    return (
        merchant_id,
        entry.transaction_id,
        entry.line,
        entry.account.word,
        entry.currency.code,
        entry.amount,
        to_ms(entry.posted_at),
    )


BATCH: Final = ("id", "currency", "business_date", "captured", "returned", "transactions")


def batch_row(batch: Batch) -> tuple[object, ...]:
    return (
        batch.id,
        batch.currency.code,
        batch.business_date.isoformat(),
        batch.captured,
        batch.returned,
        batch.count,
    )


OUTCOME: Final = (
    "operation",
    "status",
    "approved",
    "reason",
    "flags",
    "facts",
    "concluded_at",
    "answer_status",
    "answer",
    "merchant_id",
    "id",
    "expected",
)


def outcome_row(merchant_id: str, transaction: Transaction, answer: Answer | None = None) -> tuple[object, ...]:
    assert transaction.concluded_at is not None
    return (
        transaction.operation.word,
        transaction.status.word,
        transaction.approved,
        transaction.reason.word if transaction.reason else None,
        " ".join(sorted(transaction.flags)),
        encode_json(transaction.facts).decode(),
        to_ms(transaction.concluded_at),
        answer.status if answer else None,
        pack(answer.stored or answer.body) if answer else None,
        merchant_id,
        transaction.id,
        Status.PENDING.word,
    )


PAYMENT: Final = (
    "merchant_id",
    "id",
    "brand",
    "pan_prefix",
    "pan_suffix",
    "expiry",
    "card",
    "fingerprint",
    "expires_at",
)


def payment_row(payment: Payment, card: SealedCard | None) -> tuple[object, ...]:
    return (
        payment.merchant_id,
        payment.id,
        payment.brand.name if payment.brand else None,
        payment.pan_prefix,
        payment.pan_suffix,
        payment.expiry,
        card.sealed if card else None,
        card.fingerprint if card else None,
        to_ms(payment.expires_at) if payment.expires_at else None,
    )


TRANSACTION: Final = (
    "merchant_id",
    "id",
    "payment_id",
    "operation",
    "currency",
    "requested",
    "hold",
    "target_id",
    "reference",
    "merchant_transaction_id",
    "stan",
    "rrn",
    "flags",
    "payment_option",
    "warnings",
    "particulars",
    "requested_at",
    "lease",
    "correlation",
)


def transaction_row(write: Begin) -> tuple[object, ...]:
    transaction = write.transaction
    return (
        write.payment.merchant_id,
        transaction.id,
        transaction.payment_id,
        transaction.operation.word,
        transaction.requested.currency.code,
        transaction.requested.minor,
        transaction.hold,
        transaction.target,
        transaction.reference,
        transaction.merchant_transaction_id,
        transaction.stan,
        transaction.rrn,
        " ".join(sorted(transaction.flags)),
        encode_json(transaction.option).decode() if transaction.option else None,
        encode_json(transaction.warnings).decode() if transaction.warnings else "[]",
        pack(transaction.particulars),
        to_ms(transaction.requested_at),
        write.lease,
        write.correlation,
    )
