"""Idempotency keys: a repeat has the first answer, and no key does two things."""

from collections.abc import Callable

import pytest

from tests.acceptance.client import (
    AUTHORIZED,
    PENDING,
    TIMED_OUT,
    Client,
    Reply,
    changed,
    lodging,
    payment,
    refused,
)

KEY = "Idempotency-Key"
OPERATIONS: dict[str, Callable[[Client, str], Callable[[], Reply]]] = {
    "payment": lambda till, key: lambda: till.pay(Idempotency_Key=key),
    "sale": lambda till, key: lambda: till.sell(Idempotency_Key=key),
    "credit": lambda till, key: lambda: till.credit(Idempotency_Key=key),
    "capture": lambda till, key: _on(till.pay().id, lambda made: till.capture(made, Idempotency_Key=key)),
    "increment": lambda till, key: _on(lodging(till), lambda made: till.increase(made, Idempotency_Key=key)),
    "reversal": lambda till, key: _on(till.pay().id, lambda made: till.reverse(made, Idempotency_Key=key)),
    "void": lambda till, key: _on(till.sell().id, lambda made: till.void(made, Idempotency_Key=key)),
    "refund": lambda till, key: _on(till.sell().id, lambda made: till.refund(made, Idempotency_Key=key)),
}


def _on(identifier: str, operation: Callable[[str], Reply]) -> Callable[[], Reply]:
    return lambda: operation(identifier)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_repeat_has_the_same_bytes(vpc: Client, name: str) -> None:
    """R-10: also where the repeat, seen alone, could not follow the first."""
    again = OPERATIONS[name](vpc, f"same-{name}")
    first = again()
    assert first.status == 201
    second = again()
    assert (second.status, second.body) == (first.status, first.body)
    assert ("kessai-replayed" in first.headers, "kessai-replayed" in second.headers) == (False, True)


def test_a_decline_is_repeated_too(till: Client) -> None:
    first, second = (till.pay(payment("1500.00"), Idempotency_Key="declined") for _ in range(2))
    assert first.said == (201, "DECLINED", "PROCESSOR_DECLINED")
    assert second.body == first.body


@pytest.mark.parametrize(
    "change",
    [
        {"orderInformation.amountDetails.totalAmount": "102.22"},
        {"orderInformation.amountDetails.currency": "EUR"},
        {"paymentInformation.card.number": "4622943127013705"},
        {"paymentInformation.card.expirationYear": "2032"},
        {"processingInformation.capture": True},
        {"clientReferenceInformation.code": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_key_with_another_request_is_refused(till: Client, change: dict[str, object]) -> None:
    key = f"other-{next(iter(change))}"
    assert till.pay(Idempotency_Key=key).said == AUTHORIZED
    other = till.pay(changed(payment(), change), Idempotency_Key=key)
    assert other.said == refused("DUPLICATE_REQUEST")
    assert till.pay(Idempotency_Key=key).said == AUTHORIZED


def test_a_repeat_may_leave_out_the_security_code(till: Client) -> None:
    """It is not kept, not even as a hash."""
    with_code = till.pay(payment(paymentInformation__card__securityCode="123"), Idempotency_Key="code")
    assert till.pay(Idempotency_Key="code").body == with_code.body


def test_a_key_is_of_one_merchant_and_one_route(till: Client, vpc: Client) -> None:
    first = till.pay(Idempotency_Key="mine")
    assert vpc.pay(Idempotency_Key="mine").id != first.id
    assert till.credit(Idempotency_Key="mine").said == PENDING
    assert till.post("/pts/v2/payments/", payment(), Idempotency_Key="mine").body == first.body


def test_an_unknown_outcome_is_repeated_as_unknown(till: Client) -> None:
    first = till.pay(Idempotency_Key="lost", Kessai_Scenario="answer-lost")
    assert first.said == TIMED_OUT
    assert till.pay(Idempotency_Key="lost").body == first.body


def test_a_request_that_was_refused_may_be_mended(till: Client) -> None:
    assert till.pay(payment("-1"), Idempotency_Key="mended").status == 400
    assert till.pay(Idempotency_Key="mended").said == AUTHORIZED


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(till: Client, key: str) -> None:
    reply = till.pay(Idempotency_Key=key)
    assert reply.said == refused("INVALID_DATA")
    assert reply.fields == [(KEY, "INVALID_DATA")]
