"""Which operation may follow which, over HTTP: every cell of the printed life cycle, and those around it."""

from collections.abc import Callable

import pytest

from kessai import ids
from tests.acceptance.client import (
    AUTHORIZED,
    MASTERCARD,
    PENDING,
    REVERSED,
    VOIDED,
    Client,
    Json,
    Reply,
    Service,
    amount_of,
    changed,
    payment,
    refused,
    reversal_of,
)

Said = tuple[int, str, str | None]
INVALID = refused("INVALID_DATA")
NOT_VOIDABLE = refused("NOT_VOIDABLE")
MISSING_AUTH = refused("MISSING_AUTH")
EXCEEDS = refused("EXCEEDS_AUTH_AMOUNT")
SETTLED = refused("TRANSACTION_ALREADY_SETTLED")
OVER = refused("TRANSACTION_ALREADY_REVERSED_OR_SETTLED")
REVERSED_BEFORE = refused("AUTH_ALREADY_REVERSED")
NO_PAYMENT = refused("INVALID_PAYMENT_ID")
NOT_OFFERED = refused("NOT_SUPPORTED")
VOIDED_BEFORE = refused("CAPTURE_ALREADY_VOIDED")

PRE: Json = payment("100.00", processingInformation__authorizationOptions={"authIndicator": "0"})


def authorization(vpc: Client) -> str:
    return vpc.approved(vpc.pay(PRE))


def in_review(vpc: Client) -> str:
    return vpc.pay(changed(PRE, {"paymentInformation.card.securityCode": "999"})).id


def in_part(vpc: Client) -> str:
    return vpc.pay(changed(PRE, {"orderInformation.amountDetails.totalAmount": "200"}), Kessai_Scenario=PARTIAL).id


def no(vpc: Client) -> str:
    return vpc.pay(PRE, Kessai_Scenario="general-decline").id


def no_but_capturable(vpc: Client) -> str:
    return vpc.pay(PRE, Kessai_Scenario="declined-capture-possible").id


def failed(vpc: Client) -> str:
    return vpc.pay(PRE, Kessai_Scenario="system-error").id


def reversed_(vpc: Client) -> str:
    made = authorization(vpc)
    vpc.approved(vpc.reverse(made, "100.00"))
    return made


def voided(vpc: Client) -> str:
    made = authorization(vpc)
    vpc.approved(vpc.void(made))
    return made


def captured(vpc: Client) -> str:
    made = authorization(vpc)
    vpc.approved(vpc.capture(made, "100.00"))
    return made


def captured_in_part(vpc: Client) -> str:
    made = authorization(vpc)
    vpc.approved(vpc.capture(made, "1.00"))
    return made


def captured_and_settled(vpc: Client) -> str:
    made = captured(vpc)
    vpc.service.settle(vpc.merchant)
    return made


def capture_voided(vpc: Client) -> str:
    made = authorization(vpc)
    vpc.approved(vpc.void(vpc.approved(vpc.capture(made, "100.00")), "captures"))
    return made


def sale(vpc: Client) -> str:
    return vpc.approved(vpc.sell("100.00"))


def sale_settled(vpc: Client) -> str:
    made = sale(vpc)
    vpc.service.settle(vpc.merchant)
    return made


def sale_voided(vpc: Client) -> str:
    made = sale(vpc)
    vpc.approved(vpc.void(made))
    return made


PARTIAL = "partial-approval"
PAYMENTS: list[tuple[Callable[[Client], str], Said, Said, Said, Said, Said]] = [
    # how it came about, then capture, reversal, void, refund and increment of it
    (authorization, PENDING, REVERSED, VOIDED, INVALID, AUTHORIZED),
    (in_review, PENDING, REVERSED, VOIDED, INVALID, NO_PAYMENT),
    (in_part, PENDING, REVERSED, NOT_VOIDABLE, INVALID, NOT_OFFERED),
    (no, MISSING_AUTH, MISSING_AUTH, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (no_but_capturable, PENDING, MISSING_AUTH, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (failed, MISSING_AUTH, MISSING_AUTH, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (reversed_, REVERSED_BEFORE, REVERSED_BEFORE, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (voided, REVERSED_BEFORE, REVERSED_BEFORE, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (captured, EXCEEDS, OVER, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (captured_in_part, EXCEEDS, refused("INVALID_AMOUNT"), NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (captured_and_settled, SETTLED, SETTLED, NOT_VOIDABLE, INVALID, NO_PAYMENT),
    (capture_voided, MISSING_AUTH, REVERSED, NOT_VOIDABLE, VOIDED_BEFORE, NO_PAYMENT),
    (sale, EXCEEDS, OVER, VOIDED, PENDING, INVALID),
    (sale_settled, SETTLED, SETTLED, NOT_VOIDABLE, PENDING, INVALID),
    (sale_voided, MISSING_AUTH, OVER, NOT_VOIDABLE, VOIDED_BEFORE, INVALID),
]
OPERATIONS: list[Callable[[Client, str], Reply]] = [
    lambda vpc, made: vpc.capture(made, "100.00"),
    lambda vpc, made: vpc.reverse(made, "100.00"),
    lambda vpc, made: vpc.void(made),
    lambda vpc, made: vpc.refund(made, "100.00"),
    lambda vpc, made: vpc.increase(made, "100.00"),
]
NAMES = ("capture", "reversal", "void", "refund", "increment")


@pytest.mark.parametrize(
    ("made", "operation", "said"),
    [
        pytest.param(row[0], operation, said, id=f"{name} of {row[0].__name__}")
        for row in PAYMENTS
        for name, operation, said in zip(NAMES, OPERATIONS, row[1:], strict=True)
    ],
)
def test_what_may_follow_a_payment(
    vpc: Client, made: Callable[[Client], str], operation: Callable[[Client, str], Reply], said: Said
) -> None:
    """§8, rows of payments."""
    assert operation(vpc, made(vpc)).said == said


def capture(vpc: Client) -> tuple[str, str]:
    return "captures", vpc.approved(vpc.capture(authorization(vpc), "100.00"))


def refund(vpc: Client) -> tuple[str, str]:
    return "refunds", vpc.approved(vpc.refund(sale(vpc), "100.00"))


def credit(vpc: Client) -> tuple[str, str]:
    return "credits", vpc.approved(vpc.credit(payment("100.00")))


MOVEMENTS = [capture, refund, credit]


@pytest.mark.parametrize("made", MOVEMENTS)
def test_what_moved_money_is_voided_once(vpc: Client, made: Callable[[Client], tuple[str, str]]) -> None:
    """§8, rows of captures, refunds and credits."""
    of, identifier = made(vpc)
    assert vpc.details(identifier)["applicationInformation"]["status"] == "PENDING"
    assert vpc.void(identifier, of).said == VOIDED
    assert vpc.void(identifier, of).said == NOT_VOIDABLE
    assert vpc.details(identifier)["applicationInformation"]["status"] == "VOIDED"


@pytest.mark.parametrize("made", MOVEMENTS)
def test_what_was_transmitted_is_not_voided(vpc: Client, made: Callable[[Client], tuple[str, str]]) -> None:
    """§8, case 77."""
    of, identifier = made(vpc)
    vpc.service.settle(vpc.merchant)
    assert vpc.details(identifier)["applicationInformation"]["status"] == "TRANSMITTED"
    assert vpc.void(identifier, of).said == NOT_VOIDABLE


def test_a_capture_is_refunded_before_and_after_the_cut_off(vpc: Client) -> None:
    _, identifier = capture(vpc)
    assert vpc.refund(identifier, "1.00", of="captures").said == PENDING
    vpc.service.settle(vpc.merchant)
    assert vpc.refund(identifier, "1.00", of="captures").said == PENDING


def test_a_hold_outlives_the_void_of_its_capture(vpc: Client) -> None:
    """§3.8."""
    made = capture_voided(vpc)
    assert vpc.service.book("vpc").held[_number(made)] == 10_000
    vpc.approved(vpc.reverse(made, "100.00"))
    assert _number(made) not in vpc.service.book("vpc").held


def test_reversals_and_voids_are_final(vpc: Client) -> None:
    """§8: no route takes them, under whatever name."""
    made = authorization(vpc)
    finals = [vpc.approved(vpc.reverse(made, "100.00")), vpc.approved(vpc.void(sale(vpc)))]
    for final in finals:
        for of in ("payments", "captures", "refunds", "credits"):
            assert vpc.void(final, of).said == INVALID
        for of in ("payments", "captures"):
            assert vpc.refund(final, of=of).said == INVALID
        assert vpc.capture(final).said == INVALID
        assert vpc.reverse(final).said == INVALID


def test_an_id_is_good_for_its_own_kind_only(vpc: Client) -> None:
    """A capture's id is no payment's, a payment's no capture's, a refund's no credit's."""
    made = authorization(vpc)
    taken = vpc.approved(vpc.capture(made, "50.00"))
    returned = vpc.approved(vpc.refund(taken, "1.00", of="captures"))
    given = vpc.approved(vpc.credit())
    assert vpc.capture(taken).said == INVALID
    assert vpc.reverse(taken).said == INVALID
    assert vpc.refund(taken).said == INVALID
    assert vpc.void(taken).said == INVALID
    assert vpc.refund(made, of="captures").said == INVALID
    assert vpc.void(made, "captures").said == INVALID
    assert vpc.void(returned, "credits").said == INVALID
    assert vpc.void(given, "refunds").said == INVALID
    assert vpc.refund(given).said == INVALID
    assert vpc.increase(taken).said == INVALID


def test_a_payment_approved_in_part_is_captured_up_to_what_was_approved(vpc: Client) -> None:
    """§8."""
    made = in_part(vpc)
    assert vpc.capture(made, "100.01").said == EXCEEDS
    assert vpc.capture(made, "100.00").said == PENDING
    assert vpc.reverse(in_part(vpc), "200.00").said == refused("INVALID_AMOUNT")


def test_a_rejection_by_risk_rules_is_released_and_not_captured(vpc: Client) -> None:
    made = vpc.pay(PRE, Kessai_Scenario="risk-reject").id
    assert vpc.capture(made, "100.00").said == MISSING_AUTH
    assert vpc.reverse(made, "100.00").said == REVERSED


def test_a_mastercard_lives_the_same_life(vpc: Client) -> None:
    made = vpc.approved(vpc.pay(payment("100.00", number=MASTERCARD)))
    taken = vpc.approved(vpc.capture(made, "60.00"))
    body = reversal_of("40.00", currency="usd")
    assert vpc.post(f"/pts/v2/payments/{made}/reversals", body).said == REVERSED
    assert vpc.post(f"/pts/v2/captures/{taken}/refunds", amount_of("60.00", "usd")).said == PENDING


def test_an_authorization_lapses(alone: Service) -> None:
    """Record life: 180 days here."""
    vpc = alone.till("kessai_vpc")
    made = authorization(vpc)
    with alone.on("2040-01-01"):
        assert vpc.capture(made, "100.00").said == MISSING_AUTH
        assert vpc.reverse(made, "100.00").said == OVER


def _number(identifier: str) -> int:
    number = ids.read(identifier)
    assert number is not None
    return number
