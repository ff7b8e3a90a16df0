"""Transitions: what a transaction looks like to the next operation, and which operation may follow it. Pure.

One small table, printed into the manual as it stands. What is under way counts as done; amounts, brands and ages are
looked at by the operations themselves, after it.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from kessai.payment.bank import FLAG
from kessai.payment.lifecycle import Operation, Payment, Reason, Refusal, Status, Transaction


class State(Enum):
    """What a transaction looks like to the next operation: the rows of the printed table."""

    AUTHORIZED = "authorization, approved"
    VERIFIED = "authorization of zero, approved"
    IN_REVIEW = "authorization, approved, in review"
    RISK_REJECTED = "authorization, approved, rejected by risk rules"
    APPROVED_IN_PART = "authorization, approved in part"
    PARTLY_CAPTURED = "authorization, captured in part"
    CAPTURED = "authorization, captured"
    CAPTURED_AND_SETTLED = "authorization, captured and settled"
    CAPTURE_VOIDED = "authorization, its capture voided"
    REVERSED = "authorization, reversed"
    EXPIRED = "authorization, expired"
    DECLINED = "any, declined or failed"
    DECLINED_CAPTURABLE = "authorization, declined, capture possible"
    UNKNOWN = "authorization or sale, outcome unknown"
    UNKNOWN_UNDONE = "authorization or sale, outcome unknown, undone by the gateway"
    SALE = "sale, not settled"
    SALE_SETTLED = "sale, settled"
    SALE_VOIDED = "sale, voided"
    DEBIT = "eCheck debit, not settled"
    DEBIT_SETTLED = "eCheck debit, settled"
    DEBIT_VOIDED = "eCheck debit, voided"
    CAPTURE = "capture, not settled"
    CAPTURE_SETTLED = "capture, settled"
    CAPTURE_UNDONE = "capture, voided"
    RETURN = "refund or credit, not settled"
    RETURN_SETTLED = "refund or credit, settled"
    RETURN_UNDONE = "refund or credit, voided"
    MOVEMENT_UNKNOWN = "capture, refund or credit, outcome unknown"
    FINAL = "reversal, void or expiry"


FOLLOWING: Final = (Operation.CAPTURE, Operation.REVERSAL, Operation.VOID, Operation.REFUND, Operation.INCREMENT)
"""The operations that follow another: the columns of the printed table."""

# State, then the refusal of each operation of FOLLOWING; `-` where it may follow.
_TABLE: Final = """
AUTHORIZED           | -                     | -                   | -            | NOT_CAPTURED   | -
VERIFIED             | EXCEEDS_AUTHORIZATION | -                   | -            | NOT_CAPTURED   | NOT_SUPPORTED
IN_REVIEW            | -                     | -                   | -            | NOT_CAPTURED   | NOT_APPROVED
RISK_REJECTED        | NOT_APPROVED          | -                   | -            | NOT_CAPTURED   | NOT_APPROVED
APPROVED_IN_PART     | -                     | -                   | NOT_VOIDABLE | NOT_CAPTURED   | NOT_SUPPORTED
PARTLY_CAPTURED      | -                     | -                   | NOT_VOIDABLE | WRONG_KIND     | ALREADY_CAPTURED
CAPTURED             | ALREADY_CAPTURED      | REVERSED_OR_SETTLED | NOT_VOIDABLE | WRONG_KIND     | ALREADY_CAPTURED
CAPTURED_AND_SETTLED | ALREADY_SETTLED       | ALREADY_SETTLED     | NOT_VOIDABLE | WRONG_KIND     | ALREADY_SETTLED
CAPTURE_VOIDED       | ALREADY_VOIDED        | -                   | NOT_VOIDABLE | CAPTURE_VOIDED | ALREADY_VOIDED
REVERSED             | ALREADY_REVERSED      | ALREADY_REVERSED    | NOT_VOIDABLE | NOT_CAPTURED   | ALREADY_REVERSED
EXPIRED              | EXPIRED               | REVERSED_OR_SETTLED | NOT_VOIDABLE | NOT_CAPTURED   | EXPIRED
DECLINED             | NOT_APPROVED          | NOT_APPROVED        | NOT_VOIDABLE | NOT_APPROVED   | NOT_APPROVED
DECLINED_CAPTURABLE  | -                     | NOT_APPROVED        | NOT_VOIDABLE | NOT_APPROVED   | NOT_APPROVED
UNKNOWN              | STILL_OPEN            | -                   | -            | STILL_OPEN     | STILL_OPEN
UNKNOWN_UNDONE       | ALREADY_REVERSED      | -                   | -            | NOT_CAPTURED   | ALREADY_REVERSED
SALE                 | ALREADY_CAPTURED      | REVERSED_OR_SETTLED | -            | -              | WRONG_KIND
SALE_SETTLED         | ALREADY_SETTLED       | ALREADY_SETTLED     | NOT_VOIDABLE | -              | WRONG_KIND
SALE_VOIDED          | ALREADY_VOIDED        | REVERSED_OR_SETTLED | NOT_VOIDABLE | CAPTURE_VOIDED | WRONG_KIND
DEBIT                | HOLDS_NOTHING         | HOLDS_NOTHING       | -            | -              | NOT_SUPPORTED
DEBIT_SETTLED        | HOLDS_NOTHING         | HOLDS_NOTHING       | NOT_VOIDABLE | -              | NOT_SUPPORTED
DEBIT_VOIDED         | HOLDS_NOTHING         | HOLDS_NOTHING       | NOT_VOIDABLE | CAPTURE_VOIDED | NOT_SUPPORTED
CAPTURE              | WRONG_KIND            | WRONG_KIND          | -            | -              | WRONG_KIND
CAPTURE_SETTLED      | WRONG_KIND            | WRONG_KIND          | NOT_VOIDABLE | -              | WRONG_KIND
CAPTURE_UNDONE       | WRONG_KIND            | WRONG_KIND          | NOT_VOIDABLE | CAPTURE_VOIDED | WRONG_KIND
RETURN               | WRONG_KIND            | WRONG_KIND          | -            | WRONG_KIND     | WRONG_KIND
RETURN_SETTLED       | WRONG_KIND            | WRONG_KIND          | NOT_VOIDABLE | WRONG_KIND     | WRONG_KIND
RETURN_UNDONE        | WRONG_KIND            | WRONG_KIND          | NOT_VOIDABLE | WRONG_KIND     | WRONG_KIND
MOVEMENT_UNKNOWN     | WRONG_KIND            | WRONG_KIND          | -            | STILL_OPEN     | WRONG_KIND
FINAL                | WRONG_KIND            | WRONG_KIND          | NOT_VOIDABLE | WRONG_KIND     | WRONG_KIND
"""


def _read_row(row: str) -> tuple[State, Mapping[Operation, Refusal | None]]:
    state, *cells = (cell.strip() for cell in row.split("|"))
    answers = (None if cell == "-" else Refusal[cell] for cell in cells)
    return State[state], dict(zip(FOLLOWING, answers, strict=True))


TABLE: Final[Mapping[State, Mapping[Operation, Refusal | None]]] = dict(map(_read_row, _TABLE.strip().splitlines()))
"""Which operation may follow which state. Amounts, brands and ages are looked at after it."""


def may_follow(payment: Payment, target: Transaction, operation: Operation, now: datetime) -> Refusal | None:
    """The answer of the table for one pair."""
    return TABLE[state_of(payment, target, now)][operation]


def state_of(payment: Payment, target: Transaction, now: datetime) -> State:
    """The row of the table that a transaction is in. What is under way counts as done."""
    match target.operation:
        case Operation.AUTHORIZE | Operation.SALE if target.is_open:
            return _open_root(payment, target)
        case Operation.AUTHORIZE if target.reason is Reason.DECLINED_CAPTURE_POSSIBLE and not payment.captured:
            return State.DECLINED_CAPTURABLE
        case Operation.REVERSAL | Operation.VOID | Operation.EXPIRE | Operation.INCREMENT:
            return State.FINAL
        case Operation.CAPTURE | Operation.REFUND | Operation.CREDIT if target.is_open and not payment.is_being_voided(
            target
        ):
            return State.MOVEMENT_UNKNOWN
        case _ if target.status in (Status.DECLINED, Status.FAILED):
            return State.DECLINED
        case Operation.AUTHORIZE:
            return _authorization(payment, now)
        case Operation.SALE if FLAG in target.flags:
            return _moved(payment, target, State.DEBIT, State.DEBIT_SETTLED, State.DEBIT_VOIDED)
        case Operation.SALE:
            return _moved(payment, target, State.SALE, State.SALE_SETTLED, State.SALE_VOIDED)
        case Operation.CAPTURE:
            return _moved(payment, target, State.CAPTURE, State.CAPTURE_SETTLED, State.CAPTURE_UNDONE)
        case Operation.REFUND | Operation.CREDIT:
            return _moved(payment, target, State.RETURN, State.RETURN_SETTLED, State.RETURN_UNDONE)


def _open_root(payment: Payment, root: Transaction) -> State:
    undoing = [*payment.followers(Operation.REVERSAL), *payment.followers(Operation.VOID, root.id)]
    if not undoing:
        return State.UNKNOWN
    return State.UNKNOWN_UNDONE if all("by-gateway" in tx.flags for tx in undoing) else State.REVERSED


def _authorization(payment: Payment, now: datetime) -> State:
    if payment.authorized == 0:
        return State.REVERSED if payment.followers(Operation.REVERSAL) else State.VERIFIED
    if payment.held == 0:
        if payment.captured:
            return State.CAPTURED_AND_SETTLED if payment.has_settled else State.CAPTURED
        expired = payment.followers(Operation.EXPIRE)
        return State.EXPIRED if expired else State.REVERSED
    if payment.expires_at is not None and now >= payment.expires_at:
        return State.EXPIRED
    if payment.captured:
        return State.PARTLY_CAPTURED
    if payment.was_captured:
        return State.CAPTURE_VOIDED
    root = payment.root
    if root.reason in (Reason.RISK_REJECT, Reason.RISK_SCORE):
        return State.RISK_REJECTED
    if root.approved < root.requested.minor:
        return State.APPROVED_IN_PART
    return State.AUTHORIZED if root.reason is None else State.IN_REVIEW


def _moved(payment: Payment, target: Transaction, live: State, settled: State, voided: State) -> State:
    if payment.is_being_voided(target):
        return voided
    return settled if target.settlement is not None else live
