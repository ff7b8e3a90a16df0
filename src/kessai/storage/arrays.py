"""Rows as the arrays of a statement that writes many of them. Pure: values in, arrays by name out."""

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from kessai.storage.payments import to_ms
from kessai.storage.tokens import token_row
from kessai.storage.writes import PAYMENT, TRANSACTION, Begin, Job, payment_row, transaction_row
from kessai.tokens.rules import Changes

Arrays = dict[str, object]

_CLAIM: Final = ("claim_merchant_id", "claim_key", "claim_request", "claim_since", "claim_id")
_RELIED: Final = ("token_merchant_id", "token_payment_id", "token_id", "token_revision")
_OWNER: Final = ("owner_merchant_id", "owner_payment_id", "owner_id", "owner_defaults")
_ENTRY: Final = ("entry_merchant_id", "entry_id", "line", "account", "entry_currency", "amount", "posted_at")
_CHANGED: Final = (
    *("id", "version", "revision", "state", "document", "deleted_at", "is_default", "instrument", "expiry"),
    *("fingerprint", "sealed"),
)
_CREATED: Final = (
    *("kind", "id", "made", "version", "state", "document", "deleted_at", "customer", "is_default", "instrument"),
    *("expiry", "fingerprint", "sealed"),
)


def columns(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Arrays:
    """Rows as arrays, by name."""
    return dict(zip(names, zip(*rows, strict=True) if rows else repeat(()), strict=False))


def intents(writes: Sequence[Begin]) -> Arrays:
    return columns(PAYMENT, [payment_row(w.payment, w.card) for w in writes]) | columns(
        TRANSACTION, [transaction_row(w) for w in writes]
    )


def claims(writes: Sequence[Begin]) -> Arrays:
    rows = [(w.payment.merchant_id, c.key, c.request, c.since, w.transaction.id) for w in writes for c in w.claims]
    return columns(_CLAIM, rows)


def relied(writes: Sequence[Begin]) -> Arrays:
    """What payments rely on of stored cards: tokens by their revisions, customers by how many defaults they have."""
    revisions: list[tuple[object, ...]] = []
    owners: list[tuple[object, ...]] = []
    for write in writes:
        on = write.relies_on
        if on is not None:
            merchant_id, payment_id = write.payment.merchant_id, write.payment.id
            revisions += [(merchant_id, payment_id, *each) for each in on.revisions]
            if on.customer is not None:
                owners.append((merchant_id, payment_id, on.customer, on.defaults))
    return columns(_RELIED, revisions) | columns(_OWNER, owners)


def jobs(each: Sequence[Job | None]) -> Arrays:
    return {
        "job_id": [job.id if job else None for job in each],
        "job_kind": [job.kind if job else None for job in each],
        "job_transaction_id": [job.transaction_id if job else None for job in each],
        "job_run_at": [to_ms(job.run_at) if job else None for job in each],
    }


def entries(rows: Sequence[tuple[object, ...]]) -> Arrays:
    return columns(_ENTRY, rows)


def tokens(merchant_id: str, changes: Changes) -> Arrays:
    # In the order of their ids: two statements that want the same rows come one after the other.
    changed = [token_row(merchant_id, token) for token in sorted(changes.changed, key=lambda token: token.id)]
    created = [token_row(merchant_id, token) for token in changes.created]
    arrays: Arrays = {f"token_{name}": [row[name] for row in changed] for name in _CHANGED}
    return arrays | {f"new_{name}": [row[name] for row in created] for name in _CREATED}
