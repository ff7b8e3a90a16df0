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

from kessai.payment.lifecycle import Operation, Status, Transaction

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


def event_of(transaction: Transaction) -> str | None:
    """What an outcome is listed as; None for one that is not told (yet)."""
    match transaction.status:
        case Status.APPROVED if transaction.operation is not Operation.EXPIRE:
            return REFUNDED if transaction.operation in _RETURNED else COMPLETED
        case Status.DECLINED | Status.FAILED:
            return FAILED
    return None


def return_url_of(particulars: bytes) -> Mapping[str, object]:
    """`return_url` among what is kept of a payment's first request; empty where there is none."""
    if b'"webhook_url"' not in particulars:
        return {}
    try:
        kept = msgspec.json.decode(particulars, type=dict[str, object])
    except msgspec.DecodeError:
        return {}
    found = kept.get("return_url")
    return found if isinstance(found, dict) else {}


def body(answer: bytes, return_url: Mapping[str, object], reference: str) -> bytes:
    """What is sent, from the answer's envelope. ValueError where it is none."""
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
