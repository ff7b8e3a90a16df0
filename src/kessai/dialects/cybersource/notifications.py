"""Notifications: what happened, as this wire tells it to a merchant's server. Tables, bodies, the signature. Pure.

The signature covers the compact JSON of the `payload` member alone: official handlers parse the body, serialise that
member again and compare. So its members stand in one order and numbers are texts: JavaScript and Python give the same
bytes back.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from kessai import ids
from kessai.dialects.cybersource import answers, details
from kessai.dialects.cybersource.echo import echo_of
from kessai.payment.bank import FLAG
from kessai.payment.lifecycle import Operation, Payment, Status, Transaction

_O, _S = Operation, Status
_encode: Final = msgspec.json.Encoder().encode

_OF_OPERATION: Final[Mapping[Operation, tuple[str, ...]]] = {
    _O.AUTHORIZE: ("authorization",),
    _O.SALE: ("authorization", "capture"),
    _O.CAPTURE: ("capture",),
    _O.REVERSAL: ("reversal",),
    _O.VOID: ("void",),
    _O.REFUND: ("refund",),
    _O.CREDIT: ("credit",),
}
_OF_STATUS: Final[Mapping[Status, str]] = {
    _S.APPROVED: "accepted",
    _S.DECLINED: "rejected",
    _S.FAILED: "rejected",
}

EVENTS: Final[Mapping[tuple[Operation, Status], tuple[str, ...]]] = {
    (operation, status): tuple(f"payments.{word}.status.{said}" for word in words)
    for operation, words in _OF_OPERATION.items()
    for status, said in _OF_STATUS.items()
} | {
    (_O.SALE, _S.DECLINED): ("payments.authorization.status.rejected",),
    (_O.SALE, _S.FAILED): ("payments.authorization.status.rejected",),
    (_O.INCREMENT, _S.APPROVED): ("payments.authorization.status.updated",),
}
"""Outcome to the events that tell of it. An unknown outcome is told when it is known."""

_OF_ECHECKS: Final[Mapping[Operation, str]] = {
    _O.SALE: "payments",
    _O.CREDIT: "credits",
    _O.REFUND: "credits",
    _O.VOID: "voids",
    _O.REVERSAL: "voids",
}
ECHECK_EVENTS: Final[Mapping[tuple[Operation, Status], tuple[str, ...]]] = {
    (operation, status): (f"payments.{word}.{said}",)
    for operation, word in _OF_ECHECKS.items()
    for status, said in ((_S.APPROVED, "accepted"), (_S.DECLINED, "failed"), (_S.FAILED, "failed"))
}
"""The same of a bank account: an eCheck is not authorized and captured, so it has events of its own."""

CHARGED: Final = "rbs.subscriptions.charge.created"
CHARGE_FAILED: Final = "rbs.subscriptions.charge.failed"
TOKEN_CREATED: Final = "tms.token.created"  # noqa: S105  the name of an event
TEST: Final = "webhook.test"

PRODUCTS: Final[Mapping[str, tuple[str, tuple[tuple[str, str], ...]]]] = {
    "payments": (
        "Payments",
        tuple(
            (f"payments.{word}.status.{said}", f"{shown} {said}")
            for word, shown, all_said in (
                ("authorization", "Authorization", ("accepted", "rejected", "updated")),
                ("capture", "Capture", ("accepted", "rejected")),
                ("reversal", "Authorization reversal", ("accepted", "rejected")),
                ("void", "Void", ("accepted", "rejected")),
                ("refund", "Refund", ("accepted", "rejected")),
                ("credit", "Credit", ("accepted", "rejected")),
            )
            for said in all_said
        ),
    ),
    "eCheck": (
        "eCheck",
        tuple(
            (f"payments.{word}.{said}", f"eCheck {shown} {said}")
            for word, shown in (("payments", "debit"), ("credits", "credit"), ("voids", "void"))
            for said in ("accepted", "failed")
        ),
    ),
    "recurringBilling": (
        "Recurring Billing",
        ((CHARGED, "Subscription charge created"), (CHARGE_FAILED, "Subscription charge failed")),
    ),
    "tokenManagement": ("Token Management Service", ((TOKEN_CREATED, "Token created with a payment"),)),
}
"""Product to its name and its events, each with the name that is shown."""

PRODUCT_OF: Final[Mapping[str, str]] = {
    event: product for product, (_, events) in PRODUCTS.items() for event, _ in events
}


def events_of(payment: Payment, transaction: Transaction, answer: Mapping[str, object] | None) -> tuple[str, ...]:
    """What an outcome is told as; nothing for one that is not known yet, or that nobody asked for."""
    table = ECHECK_EVENTS if FLAG in payment.root.flags else EVENTS
    events = table.get((transaction.operation, transaction.status), ())
    kept = _kept(payment, transaction) if events else {}
    if "subscriptionInformation" in kept and {"merchant-initiated"} <= transaction.flags:
        events += (CHARGED if transaction.status is Status.APPROVED else CHARGE_FAILED,)
    if events and answer is not None and "tokenInformation" in answer:
        events += (TOKEN_CREATED,)
    return events


def answer_of(status: int, body: bytes) -> Mapping[str, object] | None:
    """What the merchant was answered, where it tells the outcome."""
    return msgspec.json.decode(body, type=dict[str, object]) if status == 201 else None


def payload(event: str, payment: Payment, transaction: Transaction, answer: Mapping[str, object] | None) -> bytes:
    """The member that is signed: the answer to the request, or what it would be if it were given now."""
    if answer is None:
        kept = _kept(payment, transaction)
        answer = msgspec.json.decode(answers.encode(payment, transaction, echo_of(kept))[1], type=dict[str, object])
    data = {name: value for name, value in answer.items() if name != "_links"}
    if transaction.id != payment.id:  # ours: the answer names it in its path only
        data["relatedTransaction"] = {"id": ids.show(transaction.target or payment.id)}
    if event == TOKEN_CREATED:
        data = {name: data[name] for name in ("id", "tokenInformation", "submitTimeUtc") if name in data}
    if event in (CHARGED, CHARGE_FAILED):
        data["subscriptionInformation"] = _kept(payment, transaction)["subscriptionInformation"]
    return _encode({"data": data})


def test_payload() -> bytes:
    return _encode({"testPayload": {"message": "This is a test of your webhook."}})


test_payload.__test__ = False  # type: ignore[attr-defined]  # pytest takes its name for a test's


def _kept(payment: Payment, transaction: Transaction) -> Mapping[str, object]:
    try:
        return details.laid_over(payment.root.particulars, transaction.particulars)
    except msgspec.DecodeError:  # another wire's
        return {}


# ---- one delivery


def trace_of(identifier: int) -> str:
    """A delivery's id in the form of a UUID (version 8): the same however often it is sent."""
    high, middle, low = identifier >> 16, identifier >> 4 & 0xFFF, identifier & 0xF
    rest = int.from_bytes(sha256(identifier.to_bytes(8)).digest()[:8]) & (1 << 58) - 1
    tail = f"{0b10 << 62 | low << 58 | rest:016x}"
    return f"{high >> 16:08x}-{high & 0xFFFF:04x}-8{middle:03x}-{tail[:4]}-{tail[4:]}"


def read_trace(text: str) -> int | None:
    """The id of a delivery; None for a text that is none."""
    digits = text.replace("-", "")
    try:
        if len(text) != 36 or len(digits) != 32:
            return None
        high, middle, low = int(digits[:12], 16), int(digits[13:16], 16), int(digits[16:18], 16) >> 2 & 0xF
    except ValueError:
        return None
    identifier = high << 16 | middle << 4 | low
    return identifier if identifier < 1 << 63 and trace_of(identifier) == text.lower() else None


def notification(
    *,
    event: str,
    webhook_id: str,
    organization_id: str,
    at: datetime,
    trace: str,
    retry: int,
    payload: bytes,
    key_id: str,
    secret: bytes,
    sent_ms: int,
) -> tuple[dict[str, str], bytes]:
    """Headers and body of one try. `retry` counts from 0; `sent_ms` is Unix time."""
    request_type = "RETRY" if retry else "NEW"
    product = PRODUCT_OF.get(event, "")
    body = _encode(
        {
            "eventType": event,
            "webhookId": webhook_id,
            "productId": product,
            "organizationId": organization_id,
            "eventDate": f"{at:%Y-%m-%dT%H:%M:%S}",
            "transactionTraceId": trace,
            "retryNumber": retry,
            "requestType": request_type,
            "payload": msgspec.Raw(payload),
        }
    )
    headers = {
        "content-type": "application/json",
        "v-c-signature": signature(key_id, secret, sent_ms, payload),
        "v-c-event-type": event,
        "v-c-organization-id": organization_id,
        "v-c-product-name": product,
        "v-c-request-type": request_type,
        "v-c-retry-count": str(retry),
        "v-c-transaction-trace-id": trace,
        "v-c-webhook-id": webhook_id,
    }
    return headers, body


def signature(key_id: str, secret: bytes, sent_ms: int, payload: bytes) -> str:
    mac = hmac.digest(secret, f"{sent_ms}.".encode() + payload, "sha256")
    return f"t={sent_ms};keyId={key_id};sig={base64.b64encode(mac).decode()}"
