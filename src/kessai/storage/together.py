"""How writes of a kind become one statement, for an engine that is another process. Pure: values in, values out.

A commit is one statement: a batch of `Begin` or `Finish` carries its rows as arrays; the other kinds are rare and go
alone. A batch holds at most one write per payment and per claim; what a write `touches` says which.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from kessai.payment.lifecycle import Refusal
from kessai.storage.arrays import claims, columns, entries, intents, jobs, relied, tokens
from kessai.storage.attempts import AddAttempt, PurgeAttempts
from kessai.storage.authentications import (
    AddAuthentication,
    ChangeAuthentication,
    EndAuthentication,
    PurgeAuthentications,
)
from kessai.storage.compact import pack
from kessai.storage.database import Row, Values, Write
from kessai.storage.flex import AddFlexKey, AddTransient, PurgeTransients
from kessai.storage.indexing import HoldMark, IndexRows
from kessai.storage.keys import AddMessageKey, ChangeKeyset, GiveBackSeals, Reseal, ReserveSeals
from kessai.storage.links import AddLink, ChangeLink, PurgeLinks
from kessai.storage.merchants import AddKey, AddMerchant, MoveClock, RevokeKey, SetMerchant, SettledUntil
from kessai.storage.nodes import ReleaseNode, RenewNode, TakeNode
from kessai.storage.payments import Answer, Claim, to_ms, told_before
from kessai.storage.queue import ClaimJob, DriveJob, HurryJobs, JobDone, JobLater
from kessai.storage.sealed import SEALED
from kessai.storage.searches import ForgetSearches, KeepSearch
from kessai.storage.subscriptions import (
    AddPlan,
    AddSubscription,
    BeginCharge,
    ChangePlan,
    ChangeSubscription,
    ClaimAnswer,
    DeletePlan,
    ForgetAnswer,
    KeepAnswer,
    PurgeKept,
    RecordCharge,
    SubscribeToPlan,
)
from kessai.storage.tokens import FinishWithTokens, PurgeAnswers, ToldBefore, WriteTokens
from kessai.storage.webhooks import (
    AddWebhook,
    AddWebhookKey,
    ChangeWebhook,
    Conclude,
    DeleteWebhook,
    HoldDeliveries,
    PurgeDeliveries,
    ReleaseStuck,
    Resend,
    Tell,
    TouchWebhook,
)
from kessai.storage.writes import (
    BATCH,
    OUTCOME,
    TRANSACTION,
    Begin,
    Conflict,
    Finish,
    ForgetExpiry,
    GiveUp,
    Happened,
    PurgeClaims,
    Raced,
    Record,
    Replay,
    SettleUnknown,
    Transmit,
    batch_row,
    entry_row,
    outcome_row,
    transaction_row,
)
from kessai.tokens.objects import InstrumentIdentifier

W = TypeVar("W", bound=Write[Any])
MOST: Final = 128
"""Writes in one statement: its joins are nested loops over the batch, and stay cheap."""


@dataclass(frozen=True, slots=True)
class Then:
    """A result that another write has to find; where it finds none, `otherwise`: the claim is another family's."""

    write: Write[Any]
    otherwise: Refusal


@dataclass(frozen=True, slots=True)
class Together(Generic[W]):
    """One kind of write: its statement, the statement's arrays, and what its rows mean for each write."""

    query: str
    values: Callable[[Sequence[W]], Values]
    results: Callable[[Sequence[Row], Sequence[W]], Sequence[object]]
    touches: Callable[[W], Iterable[object]] = lambda _: ()
    most: int = 1
    goes_first: bool = False
    """Whether it waits for no other write: a lease that is not renewed takes the whole process's work away."""
    raced: type[Exception] | None = None
    """What a lone write learns when its statement undid itself on purpose; None: it is tried again."""


def plan_of(write: Write[Any]) -> Together[Any]:
    """How a write is sent. KeyError for a kind that nobody knows: it has no statement."""
    if isinstance(write, Begin) and write.is_new:
        return NEW if write.claims else FREE
    return RESEAL[write.column.name] if isinstance(write, Reseal) else TOGETHER[type(write)]


def merchant_of(write: Write[Any]) -> str:
    """Whose rows a write touches; nothing for rows that are nobody's."""
    if isinstance(write, Begin):
        return write.payment.merchant_id
    if isinstance(write, Record):
        return write.begin.payment.merchant_id
    return str(getattr(write, "merchant_id", ""))


def place_of(write: Write[Any]) -> tuple[str, int]:
    """The order of a batch: the same in every process, so that two never wait for each other."""
    if isinstance(write, Begin):
        return write.payment.merchant_id, write.payment.id
    if isinstance(write, Finish):
        return write.merchant_id, write.transaction.id
    return "", 0


# ---- commit 1


def _begin(writes: Sequence[Begin]) -> Values:
    return (
        intents(writes)
        | claims(writes)
        | jobs([w.takes_over for w in writes])
        | {"version": [w.payment.version for w in writes]}
    )


def _begin_new(writes: Sequence[Begin]) -> Values:
    return intents(writes) | claims(writes) | relied(writes)


def _begin_free(writes: Sequence[Begin]) -> Values:
    return intents(writes) | relied(writes)


def _begun(rows: Sequence[Row], writes: Sequence[Begin]) -> list[object]:
    begun = {row[0] for row in rows if row[1] is None}
    taken = {(row[0], bytes(row[1])) for row in rows if row[1] is not None}
    return [
        None if w.transaction.id in begun else _met(w, [c for c in w.claims if (w.transaction.id, c.key) in taken])
        for w in writes
    ]


def _met(write: Begin, taken: Sequence[Claim]) -> Conflict | Refusal | Then:
    """What a write is told that did not begin: its first claim that is taken, else something has changed."""
    if not taken:
        return Conflict()
    return taken[0].taken or Then(Replay(write.payment.merchant_id, taken[0]), taken[0].other)


def _begin_touches(write: Begin) -> Iterable[object]:
    if write.payment.id != write.transaction.id:
        yield write.payment.id
    for claim in write.claims:
        yield write.payment.merchant_id, claim.key


def _replay(writes: Sequence[Replay]) -> Values:
    return {
        "merchant_id": [w.merchant_id for w in writes],
        "key": [w.claim.key for w in writes],
        "since": [w.claim.since for w in writes],
        "place": list(range(len(writes))),
    }


def _replayed(rows: Sequence[Row], writes: Sequence[Replay]) -> list[Answer | Refusal | None]:
    found = {row[0]: tuple(row)[1:] for row in rows}
    return [told_before(found[place], w.claim) if place in found else None for place, w in enumerate(writes)]


# ---- commit 2


def _finish(writes: Sequence[Finish]) -> Values:
    queued = [(w.transaction.id, job) for w in writes for job in w.jobs]
    return (
        columns(OUTCOME, [outcome_row(w.merchant_id, w.transaction, w.answer) for w in writes])
        | entries([entry_row(w.merchant_id, entry) for w in writes for entry in w.entries])
        | jobs([job for _, job in queued])
        | {"job_owner": [owner for owner, _ in queued]}
    )


def _finished(rows: Sequence[Row], writes: Sequence[Finish]) -> list[bool]:
    concluded = {row[0] for row in rows}
    return [w.transaction.id in concluded for w in writes]


# ---- tokens


def _write_tokens(writes: Sequence[WriteTokens]) -> Values:
    (write,) = writes
    answer = write.answer
    return tokens(write.merchant_id, write.changes) | {
        "merchant_id": write.merchant_id,
        "claim_key": [claim.key for claim in write.claims],
        "claim_request": [claim.request for claim in write.claims],
        "claim_since": [claim.since for claim in write.claims],
        "answer_id": write.answer_id,
        "answer_status": answer.status if answer else None,
        "answer": pack(answer.stored or answer.body) if answer else None,
    }


def _finish_with_tokens(writes: Sequence[FinishWithTokens]) -> Values:
    (write,) = writes
    finish = write.finish
    return (
        dict(zip(OUTCOME, outcome_row(finish.merchant_id, finish.transaction, finish.answer), strict=True))
        | entries([entry_row(finish.merchant_id, entry) for entry in finish.entries])
        | jobs(finish.jobs)
        | tokens(finish.merchant_id, write.changes)
    )


def _tokens_written(rows: Sequence[Row], writes: Sequence[WriteTokens]) -> list[object]:
    (write,) = writes
    taken = {bytes(row[0]) for row in rows if row[0] is not None}
    claim = next((claim for claim in write.claims if claim.key in taken), None)
    return [None if claim is None else claim.taken or Then(ToldBefore(write.merchant_id, claim), claim.other)]


def _token_touches(write: WriteTokens | FinishWithTokens) -> Iterable[object]:
    for token in (*write.changes.created, *write.changes.changed):
        yield write.merchant_id, token.id
        if isinstance(token, InstrumentIdentifier) and token.fingerprint is not None:
            yield write.merchant_id, token.fingerprint
    if isinstance(write, FinishWithTokens):
        yield write.finish.transaction.id
        return
    for claim in write.claims:
        yield write.merchant_id, claim.key


def _told(rows: Sequence[Row], writes: Sequence[ToldBefore]) -> list[Answer | Refusal | None]:
    return [told_before(rows[0], writes[0].claim) if rows else None]


def _delivery_touches(write: Tell | Conclude) -> Iterable[object]:
    """What is held back behind a delivery, and what lets go of it, do not see each other: one comes after the other."""
    yield "deliveries", write.merchant_id


# ---- the rare ones, alone


def _record(writes: Sequence[Record]) -> Values:
    (write,) = writes
    begin, finish = write.begin, write.finish
    assert begin.transaction.id != begin.payment.id, "a payment begins with an exchange"
    assert not begin.claims, "nobody asked for this, so nobody claims anything"
    assert begin.takes_over is None
    return (
        dict(zip(TRANSACTION, transaction_row(begin), strict=True))
        | dict(zip(OUTCOME, outcome_row(finish.merchant_id, finish.transaction, finish.answer), strict=True))
        | {"version": begin.payment.version}
        | entries([entry_row(finish.merchant_id, entry) for entry in finish.entries])
        | jobs(finish.jobs)
    )


def _settle(writes: Sequence[SettleUnknown]) -> Values:
    (write,) = writes
    return (
        dict(zip(OUTCOME, outcome_row(write.merchant_id, write.transaction), strict=True))
        | {"payment_id": write.payment.id, "version": write.payment.version}
        | entries([entry_row(write.merchant_id, entry) for entry in write.entries])
        | jobs(write.jobs)
    )


def _collect(writes: Sequence[Transmit]) -> Values:
    (write,) = writes
    payments = sorted((payment.id, payment.version) for payment in write.payments)
    collected = sorted(write.collected.items())
    return (
        columns(BATCH, [batch_row(batch) for batch in write.batches])
        | entries([entry_row(write.merchant_id, entry) for entry in write.entries])
        | {
            "merchant_id": write.merchant_id,
            "payment_id": [payment_id for payment_id, _ in payments],
            "version": [version for _, version in payments],
            "transaction_id": [transaction_id for transaction_id, _ in collected],
            "settlement_id": [settlement_id for _, settlement_id in collected],
            "cut_at": to_ms(write.cut_at),
        }
    )


def _add_merchant(writes: Sequence[AddMerchant]) -> Values:
    (write,) = writes
    return write.values() | {
        "purpose": list(write.keysets),
        "keyset": list(write.keysets.values()),
        "key_id": [key.id for key in write.keys],
        "kind": [key.kind for key in write.keys],
        "sealed": [key.sealed for key in write.keys],
        "certificate": [key.certificate for key in write.keys],
        "key_created_at": [to_ms(key.created_at) for key in write.keys],
    }


def _alone(writes: Sequence[Any]) -> Values:
    """The values of a lone write, as its statement on the other engine has them."""
    values: Values = writes[0].values()
    return values


def _together(writes: Sequence[Any]) -> Values:
    """The same of a write whose rows go as arrays."""
    values: Values = writes[0].together()
    return values


def _purge(writes: Sequence[PurgeClaims]) -> Values:
    (write,) = writes
    return {"merchant_id": write.merchant_id} | columns(("key", "transaction_id"), write.claims)


def _give_up(writes: Sequence[GiveUp]) -> Values:
    return writes[0].values() | jobs([writes[0].job])


def _remember(writes: Sequence[Happened]) -> Values:
    return writes[0].values() | jobs(writes[0].jobs)


def _nothing(_rows: Sequence[Row], _writes: Sequence[object]) -> list[None]:
    return [None]


def _done(rows: Sequence[Row], _writes: Sequence[object]) -> list[bool]:
    return [bool(rows)]


def _recorded(rows: Sequence[Row], _writes: Sequence[object]) -> list[Conflict | None]:
    return [None if rows else Conflict()]


def _number(rows: Sequence[Row], _writes: Sequence[object]) -> list[int | None]:
    return [int(rows[0][0]) if rows else None]


TOGETHER: Final[Mapping[type, Together[Any]]] = {
    Begin: Together("begin", _begin, _begun, _begin_touches, MOST),
    Finish: Together("finish", _finish, _finished, lambda write: (write.transaction.id,), MOST),
    Replay: Together("replay", _replay, _replayed, most=MOST),
    Record: Together("record", _record, _recorded, lambda write: (write.begin.payment.id,)),
    SettleUnknown: Together("settle", _settle, _done, lambda write: (write.payment.id,)),
    GiveUp: Together("give_up", _give_up, _done, lambda write: (write.transaction_id,)),
    ForgetExpiry: Together("forget_expiry", _alone, _nothing, lambda write: (write.payment_id,)),
    PurgeClaims: Together("purge_claims", _purge, _nothing),
    Happened: Together("remember", _remember, _nothing),
    WriteTokens: Together("write_tokens", _write_tokens, _tokens_written, _token_touches, raced=Raced),
    FinishWithTokens: Together("finish_with_tokens", _finish_with_tokens, _done, _token_touches, raced=Raced),
    ToldBefore: Together("read_answer", _alone, _told),
    PurgeAnswers: Together("purge_answers", _alone, _nothing),
    Transmit: Together("collect", _collect, lambda _rows, _writes: [True], raced=Raced),
    ClaimJob: Together("claim_job", _alone, _done),
    JobDone: Together("job_done", _alone, _done),
    JobLater: Together("job_later", _alone, _done),
    DriveJob: Together("drive_job", _alone, _done),
    HurryJobs: Together("hurry_jobs", _alone, _nothing),
    AddMerchant: Together("add_merchant", _add_merchant, _done),
    AddKey: Together("add_key", _alone, _done),
    RevokeKey: Together("revoke_key", _alone, _done),
    SetMerchant: Together("set_merchant", _alone, _done),
    SettledUntil: Together("settled_until", _alone, _nothing),
    TakeNode: Together("take_node", _alone, _number, goes_first=True),
    RenewNode: Together("renew_node", _alone, _done, goes_first=True),
    MoveClock: Together("move_clock", _alone, _number),
    AddPlan: Together("add_plan", _alone, _done),
    ChangePlan: Together("change_plan", _alone, _done),
    SubscribeToPlan: Together("subscribe_to_plan", _alone, _done),
    DeletePlan: Together("delete_plan", _alone, _done),
    AddSubscription: Together("add_subscription", _alone, _done),
    ChangeSubscription: Together("change_subscription", _alone, _done),
    BeginCharge: Together("begin_charge", _alone, _done),
    RecordCharge: Together("change_and_record", _alone, _done),
    ClaimAnswer: Together("claim_answer", _alone, _done),
    KeepAnswer: Together("keep_answer", _alone, _nothing),
    ForgetAnswer: Together("forget_answer", _alone, _nothing),
    PurgeKept: Together("purge_kept", _alone, _nothing),
    ReleaseNode: Together("release_node", _alone, _nothing),
    ReserveSeals: Together("reserve_seals", _alone, _number),
    GiveBackSeals: Together("give_back_seals", _alone, _nothing),
    ChangeKeyset: Together("change_keyset", _alone, _done),
    AddMessageKey: Together("add_message_key", _alone, _done),
    AddAttempt: Together("add_attempt", _alone, _nothing),
    PurgeAttempts: Together("purge_attempts", _alone, _nothing),
    AddFlexKey: Together("add_flex_key", _alone, _nothing),
    AddTransient: Together("add_transient", _alone, _nothing),
    PurgeTransients: Together("purge_transients", _alone, _nothing),
    AddAuthentication: Together("add_authentication", _alone, _nothing),
    ChangeAuthentication: Together("change_authentication", _alone, _done),
    EndAuthentication: Together("end_authentication", _alone, _done),
    PurgeAuthentications: Together("purge_authentications", _alone, _nothing),
    AddLink: Together("add_link", _alone, _nothing),
    ChangeLink: Together("change_link", _alone, _done),
    PurgeLinks: Together("purge_links", _alone, _nothing),
    HoldMark: Together("hold_search_mark", _alone, _done),
    IndexRows: Together("index", _alone, _nothing),
    KeepSearch: Together("keep_search", _alone, _nothing),
    ForgetSearches: Together("forget_searches", _alone, _nothing),
    AddWebhook: Together("add_webhook", _alone, _done),
    ChangeWebhook: Together("change_webhook", _alone, _done),
    TouchWebhook: Together("touch_webhook", _alone, _done),
    DeleteWebhook: Together("delete_webhook", _alone, _done),
    AddWebhookKey: Together("add_webhook_key", _alone, _nothing),
    HoldDeliveries: Together("hold_deliveries", _alone, _done),
    Tell: Together("tell", _together, _nothing, _delivery_touches),
    Conclude: Together("conclude", _together, _nothing, _delivery_touches),
    ReleaseStuck: Together("release_stuck", _alone, _nothing),
    Resend: Together("resend_delivery", _alone, _done),
    PurgeDeliveries: Together("purge_deliveries", _alone, _nothing),
}
"""Every kind of write that the production engine takes, but for one."""

FREE: Final[Together[Begin]] = Together("begin_free", _begin_free, _begun, most=MOST)
"""How a `Begin` is sent that nothing can be in the way of."""
NEW: Final[Together[Begin]] = Together("begin_new", _begin_new, _begun, _begin_touches, MOST)
"""How one is sent that begins a payment, if what it claims is free."""

RESEAL: Final[Mapping[str, Together[Reseal]]] = {
    each.name: Together(f"reseal_{each.name}", lambda writes: writes[0].together(), lambda rows, _writes: [len(rows)])
    for each in SEALED
}
"""A `Reseal` has a statement for each column of sealed values."""
