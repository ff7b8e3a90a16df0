"""Notifications of the PaymentOptions wire: a payment's result, sent to its own `return_url.webhook_url`. Pure.

The body is the answer that the merchant got, with three changes: its `status_code` is 200, `return_url_details` follows
`gateway_response`, and `transaction_details` has the merchant's reference, by which clients find their order. The wire
names no signature; ours is

    Kessai-Signature: t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<event id>.<body>">[,v1=<the same by the old secret>]
    Kessai-Event-Id: <event id: the same however often it is sent>
    Kessai-Retry: <tries before this one>
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from kessai.dialects.paymentoptions import answers, particulars
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction
from kessai.payment.merchant import Merchant

SIGNATURE: Final = "kessai-signature"
EVENT_ID: Final = "kessai-event-id"
RETRY: Final = "kessai-retry"

COMPLETED: Final = "payment.completed"
FAILED: Final = "payment.failed"
REFUNDED: Final = "payment.refunded"
EVENTS: Final[Mapping[str, str]] = {
    COMPLETED: "a payment, an authorization or a capture was approved",
    FAILED: "a transaction was declined, or failed",
    REFUNDED: "a refund was approved, or a payment voided",
}
"""Our words for the three kinds that the wire tells of, for lists; they are not in the body."""
_RETURNED: Final = (Operation.REFUND, Operation.CREDIT, Operation.VOID, Operation.REVERSAL)


def subject_of(payment: Payment, transaction: Transaction) -> Transaction | None:
    """The transaction that an outcome is told of; None where that is nobody's business.

    What the gateway does by itself is not told, but for one thing: that it has undone a payment whose outcome was
    unknown, by which that has failed.
    """
    if "by-gateway" not in transaction.flags:
        return transaction
    is_undone = transaction.operation is Operation.REVERSAL and transaction.status is Status.APPROVED
    if is_undone and payment.root.status is Status.UNKNOWN:
        return replace(payment.root, status=Status.FAILED, approved=0)
    return None


def event_of(payment: Payment, transaction: Transaction) -> str | None:
    """What an outcome is listed as; None for one that is not told (yet).

    The release of what a capture has left of a hold is not told: it would look as if the order were cancelled.
    """
    match transaction.status:
        case Status.APPROVED if transaction.operation is Operation.EXPIRE:
            return None
        case Status.APPROVED if transaction.operation is Operation.REVERSAL and payment.followers(Operation.CAPTURE):
            return None
        case Status.APPROVED:
            return REFUNDED if transaction.operation in _RETURNED else COMPLETED
        case Status.DECLINED | Status.FAILED:
            return FAILED
    return None


def return_url_of(payment: Payment) -> Mapping[str, str]:
    """`return_url` of a payment that is told of at a URL of its own; empty for any other."""
    if b'"webhook_url"' not in payment.root.particulars:
        return {}
    found = particulars.own_of(payment).return_url
    return found if found.get("webhook_url") else {}


def envelope_of(merchant: Merchant, payment: Payment, transaction: Transaction, stored: bytes | None) -> bytes:
    """The answer to a request as this wire gives it; `stored`: as it was given, by either wire, where it was.

    One that told no outcome, and one of the other wire, are made anew.
    """
    if stored is not None and answers.is_one(stored):
        return stored
    if transaction.id != payment.id:
        return answers.operation_made(merchant, payment, transaction)
    own = particulars.own_of(payment)
    token = own.token if merchant.terms.paymentoptions.token_in_answer else ""
    return answers.payment_made(merchant, payment, transaction, own, token=token)


def body(answer: bytes, return_url: Mapping[str, str], reference: str) -> bytes:
    """What is sent, from the answer's envelope."""
    envelope = msgspec.json.decode(answer, type=dict[str, object])
    told: dict[str, object] = {}
    for name, value in envelope.items():
        told[name] = 200 if name == "status_code" and envelope.get("success") is True else value
        if name == "gateway_response":
            told["return_url_details"] = dict(return_url)
    transaction = envelope.get("transaction_details")
    if isinstance(transaction, dict):
        told["transaction_details"] = {
            **transaction,
            "merchant_txn_ref": transaction.get("merchant_txn_ref", reference),
        }
    return msgspec.json.encode(told)


def headers(event_id: str, retry: int, body: bytes, secrets: Sequence[bytes], sent_s: int) -> dict[str, str]:
    """Headers of one try. `secrets`: the one that counts first, then one that is being replaced."""
    return {
        "content-type": "application/json",
        SIGNATURE: signature(event_id, body, secrets, sent_s),
        EVENT_ID: event_id,
        RETRY: str(retry),
    }


def signature(event_id: str, body: bytes, secrets: Sequence[bytes], sent_s: int) -> str:
    signed = f"{sent_s}.{event_id}.".encode() + body
    macs = (hmac.digest(secret, signed, "sha256").hex() for secret in secrets)
    return ",".join((f"t={sent_s}", *(f"v1={mac}" for mac in macs)))
