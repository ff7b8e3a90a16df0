"""The state diagram of the lifecycle, found by walking it. Pure.

Nobody draws the arrows: every operation that the table permits is prepared, approved and looked at again, from every
way in which a payment can begin. So the printed diagram shows what the rules do, and cannot show anything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from kessai.payment import authorize, capture, credit, echeck, refund, reverse, void
from kessai.payment.bank import BankAccount
from kessai.payment.card import AccountNumber, Brand, Card, Expiry, Pan
from kessai.payment.lifecycle import (
    Approved,
    Declined,
    Operation,
    Outcome,
    Payment,
    Prepared,
    Reason,
    Refusal,
    Status,
    Transaction,
    Unknown,
    conclude,
)
from kessai.payment.merchant import Merchant, Terms
from kessai.payment.money import JPY, Money
from kessai.payment.transitions import FOLLOWING, TABLE, State, state_of

_MERCHANT: Final = Merchant(id="diagram", personality="diagram", terms=Terms(increments=True, echecks=True))
_CARD: Final = Card(pan=Pan("4111111111111111"), expiry=Expiry(2099, 12), brand=Brand.VISA)
_ACCOUNT: Final = BankAccount(number=AccountNumber("4100"), routing_number="071923284")
_AT: Final = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
_AMOUNT: Final = Money(10_000, JPY)
_YES: Final = Approved(amount=_AMOUNT)

ECHECK: Final = "debit of a bank account"
BEGINNINGS: Final = (
    ("authorization", Operation.AUTHORIZE, 10_000, _YES),
    ("authorization of zero", Operation.AUTHORIZE, 0, Approved(amount=_AMOUNT.of(0))),
    ("authorization, in review", Operation.AUTHORIZE, 10_000, replace(_YES, review=Reason.RISK_REVIEW)),
    ("authorization, risk rejected", Operation.AUTHORIZE, 10_000, replace(_YES, review=Reason.RISK_REJECT)),
    ("authorization, a part approved", Operation.AUTHORIZE, 10_000, Approved(amount=_AMOUNT.of(6_000))),
    (
        "authorization, declined, capture possible",
        Operation.AUTHORIZE,
        10_000,
        Declined(reason=Reason.DECLINED_CAPTURE_POSSIBLE),
    ),
    ("authorization, declined", Operation.AUTHORIZE, 10_000, Declined(reason=Reason.GENERAL_DECLINE)),
    ("authorization, no answer", Operation.AUTHORIZE, 10_000, Unknown("no answer")),
    ("sale", Operation.SALE, 10_000, _YES),
    ("sale, declined", Operation.SALE, 10_000, Declined(reason=Reason.GENERAL_DECLINE)),
    ("sale, no answer", Operation.SALE, 10_000, Unknown("no answer")),
    ("credit", Operation.CREDIT, 10_000, _YES),
    ("credit, declined", Operation.CREDIT, 10_000, Declined(reason=Reason.GENERAL_DECLINE)),
    ("credit, no answer", Operation.CREDIT, 10_000, Unknown("no answer")),
    (ECHECK, Operation.SALE, 10_000, _YES),
)
"""Every way in which a payment begins: label, operation, amount, and how the exchange ended."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow; `before` None is the beginning."""

    before: State | None
    label: str
    after: State


def arrows() -> tuple[Arrow, ...]:
    """Every arrow of the lifecycle of one transaction, in the order in which they are found."""
    found: dict[Arrow, None] = {}
    seen: set[State] = set()
    waiting: list[tuple[Payment, int]] = []
    for label, operation, minor, outcome in BEGINNINGS:
        payment = _begun(operation, minor, outcome, by_account=label == ECHECK)
        found[Arrow(None, label, state_of(payment, payment.root, _AT))] = None
        waiting.append((payment, payment.root.id))
    while waiting:
        payment, focus = waiting.pop(0)
        before = _state(payment, focus)
        if before in seen:
            continue
        seen.add(before)
        for label, after, subject in _steps(payment, focus):
            state = _state(after, subject)
            if subject != focus:
                found[Arrow(None, label, state)] = None
            elif state is not before:
                found[Arrow(before, label, state)] = None
            waiting.append((after, subject))
    return tuple(found)


def mermaid(chosen: frozenset[State]) -> str:
    """The arrows between the chosen states as a Mermaid state diagram; labels of one pair share an arrow."""
    lines = ["stateDiagram-v2", "    direction LR"]
    labels: dict[tuple[State | None, State], list[str]] = {}
    for arrow in arrows():
        if arrow.after in chosen and (arrow.before is None or arrow.before in chosen):
            labels.setdefault((arrow.before, arrow.after), []).append(arrow.label)
    lines += [f"    {state.name}: {state.value}" for state in State if state in chosen]
    for (before, after), words in labels.items():
        lines.append(f"    {before.name if before else '[*]'} --> {after.name}: {' / '.join(words)}")
    return "\n".join(lines)


AUTHORIZATIONS: Final = frozenset(
    state for state in State if state.value.startswith("authorization") and "sale" not in state.value
)
SALES: Final = frozenset({State.SALE, State.SALE_SETTLED, State.SALE_VOIDED})
DEBITS: Final = frozenset({State.DEBIT, State.DEBIT_SETTLED, State.DEBIT_VOIDED})
CAPTURES: Final = frozenset({State.CAPTURE, State.CAPTURE_SETTLED, State.CAPTURE_UNDONE})
RETURNS: Final = frozenset({State.RETURN, State.RETURN_SETTLED, State.RETURN_UNDONE})
OPEN: Final = frozenset({State.UNKNOWN, State.UNKNOWN_UNDONE, State.REVERSED})


# ---- walking


def _state(payment: Payment, focus: int) -> State:
    transaction = payment.find(focus)
    assert transaction is not None
    return state_of(payment, transaction, _AT)


def _begun(operation: Operation, minor: int, outcome: Outcome, *, by_account: bool) -> Payment:
    amount = _AMOUNT.of(minor)
    prepared: Prepared | Refusal
    if by_account:
        prepared = echeck.prepare(echeck.Echeck(amount=amount, account=_ACCOUNT), _MERCHANT, _AT, 1)
    elif operation is Operation.CREDIT:
        prepared = credit.prepare(credit.Credit(amount=amount, card=_CARD), _MERCHANT, _AT, 1)
    else:
        command = authorize.Authorize(
            amount=amount, card=_CARD, capture=operation is Operation.SALE, flags=frozenset({"pre"})
        )
        prepared = authorize.prepare(command, _MERCHANT, _AT, 1)
    assert isinstance(prepared, Prepared)
    root = conclude(prepared.transaction, outcome, _AT, frozenset())
    return Payment(
        merchant_id=_MERCHANT.id,
        id=1,
        transactions=(root,),
        brand=None if by_account else _CARD.brand,
        expires_at=_AT + timedelta(days=7),
    )


def _steps(payment: Payment, focus: int) -> Iterator[tuple[str, Payment, int]]:
    """Label, the payment after the step, and the transaction whose state is shown: this one, or one that it began."""
    transaction = payment.find(focus)
    assert transaction is not None
    permitted = [operation for operation in FOLLOWING if TABLE[_state(payment, focus)][operation] is None]
    for operation in permitted:
        for label, amount in _amounts(payment, transaction, operation):
            after = _done(payment, operation, focus, amount)
            if after is None:
                continue
            yield label, after, focus
            if operation in (Operation.CAPTURE, Operation.REFUND):
                yield operation.value, after, after.transactions[-1].id
    yield from _by_time(payment, transaction)


def _amounts(payment: Payment, transaction: Transaction, operation: Operation) -> Iterator[tuple[str, Money]]:
    name = operation.value
    if operation is Operation.VOID or transaction.is_open:
        yield name, transaction.requested
        return
    whole = payment.held if operation in (Operation.CAPTURE, Operation.REVERSAL) else transaction.approved
    if operation is Operation.CAPTURE and transaction.status is Status.DECLINED:
        whole = transaction.requested.minor
    is_divisible = operation in (Operation.CAPTURE, Operation.REVERSAL)
    partial = is_divisible and transaction.status is Status.APPROVED and whole > 1
    yield f"{name} of the rest" if payment.captured and partial else name, _AMOUNT.of(whole)
    if partial:
        yield f"{name} of a part", _AMOUNT.of(whole // 2)


def _done(payment: Payment, operation: Operation, focus: int, amount: Money) -> Payment | None:
    """The payment after an approved operation; None where its amounts do not permit it after all."""
    new_id = len(payment.transactions) + 1
    match operation:
        case Operation.CAPTURE:
            prepared = capture.prepare(payment, capture.Capture(target=focus, amount=amount), _MERCHANT, _AT, new_id)
        case Operation.REVERSAL:
            prepared = reverse.prepare(payment, reverse.Reverse(target=focus, amount=amount), _MERCHANT, _AT, new_id)
        case Operation.VOID:
            prepared = void.prepare(payment, void.Void(target=focus), _MERCHANT, _AT, new_id)
        case Operation.REFUND:
            prepared = refund.prepare(payment, refund.Refund(target=focus, amount=amount), _MERCHANT, _AT, new_id)
        case _:
            increment = authorize.Increment(target=focus, amount=_AMOUNT)
            prepared = authorize.prepare_increment(payment, increment, _MERCHANT, _AT, new_id)
    if not isinstance(prepared, Prepared):
        return None
    outcome = prepared.verdict or Approved(amount=prepared.transaction.requested)
    return payment.with_transaction(conclude(prepared.transaction, outcome, _AT, frozenset()))


def _by_time(payment: Payment, transaction: Transaction) -> Iterator[tuple[str, Payment, int]]:
    """What time does: settlement, expiry, the void of a capture, the gateway's own clean-up."""
    focus = transaction.id
    captures = [tx for tx in payment.followers(Operation.CAPTURE) if not payment.is_voided(tx)]
    if transaction.operation is Operation.AUTHORIZE:
        if transaction.status is Status.UNKNOWN:
            cleaned = _done(payment, Operation.REVERSAL, focus, transaction.requested)
            assert cleaned is not None
            last = replace(cleaned.transactions[-1], flags=frozenset({"by-gateway"}))
            yield "clean-up by the gateway", cleaned.with_transaction(last), focus
        if captures and payment.held == 0:
            settled = payment.with_transaction(replace(captures[-1], settlement=1))
            yield "settlement", settled, focus
        for taken in captures[:1]:
            voided = _done(payment, Operation.VOID, taken.id, taken.requested)
            if voided is not None:
                yield "void of the capture", voided, focus
        if payment.held:
            lapsed = Transaction(
                id=len(payment.transactions) + 1,
                payment_id=payment.id,
                operation=Operation.EXPIRE,
                requested=_AMOUNT.of(payment.held),
                requested_at=_AT,
                hold=payment.held,
                status=Status.APPROVED,
                approved=payment.held,
                concluded_at=_AT,
                target=focus,
            )
            yield "the hold lapses", payment.with_transaction(lapsed), focus
    elif (
        transaction.status is Status.APPROVED and transaction.settlement is None and not payment.is_voided(transaction)
    ):
        yield "settlement", payment.with_transaction(replace(transaction, settlement=1)), focus
