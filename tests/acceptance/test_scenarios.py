"""Outcomes asked for by name: every one on every operation it is for, and above all those that nobody knows."""

from collections.abc import Callable

import pytest

from kessai import ids
from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.payment.lifecycle import OPEN, Operation, Payment
from tests.acceptance.client import (
    PENDING,
    REVERSED,
    TIMED_OUT,
    VOIDED,
    Client,
    Reply,
    Service,
    changed,
    payment,
    refused,
    reversal_of,
)

PRE = payment("100.00", processingInformation__authorizationOptions={"authIndicator": "0"})
SALE = changed(PRE, {"processingInformation.capture": True})

PERFORM: dict[Operation, Callable[[Client, str | None], Reply]] = {
    Operation.AUTHORIZE: lambda till, name: till.pay(PRE, **asked(name)),
    Operation.SALE: lambda till, name: till.pay(SALE, **asked(name)),
    Operation.INCREMENT: lambda till, name: till.increase(made(till), "20.00", **asked(name)),
    Operation.CAPTURE: lambda till, name: till.capture(made(till), "100.00", **asked(name)),
    Operation.REVERSAL: lambda till, name: till.reverse(made(till), "100.00", **asked(name)),
    Operation.VOID: lambda till, name: till.void(till.approved(till.pay(SALE)), **asked(name)),
    Operation.REFUND: lambda till, name: till.refund(till.approved(till.pay(SALE)), "100.00", **asked(name)),
    Operation.CREDIT: lambda till, name: till.credit(payment("100.00"), **asked(name)),
}
UNKNOWN = ("time-out", "no-answer", "late-answer", "answer-lost")
"""Scenarios that end without an answer that could be trusted."""


def asked(name: str | None) -> dict[str, str]:
    return {"Kessai_Scenario": name} if name else {}


def made(till: Client) -> str:
    return till.approved(till.pay(PRE))


CELLS = [
    pytest.param(name, operation, id=f"{operation.value}, {name}")
    for name, scenario in SCENARIOS.items()
    for operation in PERFORM
    if operation in scenario.operations and name not in UNKNOWN
]


@pytest.mark.parametrize(("name", "operation"), CELLS)
def test_every_scenario_is_answered_in_the_forms_of_the_wire(vpc: Client, name: str, operation: Operation) -> None:
    """Cases 46 to 48 and 51 among them; the forms are those that the client checks of every answer."""
    reply = PERFORM[operation](vpc, name)
    assert reply.status in (201, 400, 502)
    scenario = SCENARIOS[name]
    if scenario.ending.name == "APPROVED" and scenario.reason is None and not scenario.facts:
        assert "errorInformation" not in reply.json
    elif scenario.ending.name == "DECLINED":
        assert reply.status == 201
        assert reply.json["status"] in ("DECLINED", "FAILED")
    elif scenario.ending.name == "FAILED":
        assert reply.said[0] in (400, 502)
        assert reply.said != TIMED_OUT
    if operation is not Operation.INCREMENT:  # it is answered under the id of its payment
        told = vpc.details(reply.id)["applicationInformation"]
        codes = {"APPROVED": "1", "APPROVED_IN_PART": "1", "DECLINED": "0"}
        assert told["rCode"] == codes.get(scenario.ending.name, "-1")


@pytest.mark.parametrize("merchant", ["kessai_sandbox", "kessai_smcc", "kessai_jcn"])
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in UNKNOWN])
def test_so_it_is_with_the_other_acquirers(vpc: Client, merchant: str, name: str) -> None:
    document = payment("12000", "JPY")
    till = vpc.service.till(merchant)
    for kind, reply in (
        (Operation.AUTHORIZE, till.pay(document, **asked(name))),
        (Operation.CREDIT, till.credit(document, **asked(name))),
    ):
        if kind in SCENARIOS[name].operations:
            assert reply.status in (201, 502) or reply.json["reason"] == "PROCESSOR_UNAVAILABLE"
        else:
            assert reply.fields == [("Kessai-Scenario", "INVALID_DATA")]


@pytest.mark.parametrize("operation", PERFORM)
def test_a_scenario_of_other_operations_is_refused(vpc: Client, operation: Operation) -> None:
    others = [name for name, scenario in SCENARIOS.items() if operation not in scenario.operations]
    for name in others[:3]:
        reply = PERFORM[operation](vpc, name)
        assert reply.said == refused("INVALID_DATA")
        assert reply.fields == [("Kessai-Scenario", "INVALID_DATA")]
        assert "is for" in (reply.explanation or "")


# ---- what nobody knows


def loaded(service: Service, merchant: str, identifier: str) -> Payment:
    number = ids.read(identifier)
    assert number is not None
    found = service.run(service.house.gateway.payments.load(merchant, number))
    assert found is not None
    return found.payment


@pytest.mark.parametrize("operation", PERFORM)
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_outcome_is_a_time_out_and_is_cleaned_up(vpc: Client, name: str, operation: Operation) -> None:
    """R-4, R-5: neither approved nor declined, and nothing is left at the acquirer that the books do not know."""
    service = vpc.service
    reply = PERFORM[operation](vpc, name)
    assert reply.said == TIMED_OUT
    told = vpc.details(reply.id)["applicationInformation"]
    service.until_quiet()
    after = loaded(service, vpc.merchant, reply.id)
    transaction = after.find(ids.read(reply.id) or 0)
    assert transaction is not None
    is_hold = operation in (Operation.AUTHORIZE, Operation.SALE)
    assert transaction.status not in OPEN or is_hold
    if is_hold:
        assert told["status"] == "SERVER_ERROR"
        assert after.id not in service.book("vpc").held
        assert after.id not in service.book("vpc").moved
        assert vpc.details(reply.id)["applicationInformation"]["status"] == "SERVER_ERROR"
        assert vpc.capture(reply.id, "100.00").status == 400
    else:
        assert service.book("vpc").held.get(after.id, 0) == after.held
    service.assert_books()


def test_the_clean_up_leaves_the_acquirer_and_the_books_of_one_mind(service: Service) -> None:
    """Whatever the tests before did: every hold that stands at the acquirer stands in the books."""
    service.until_quiet()
    for personality in ("sandbox", "vpc", "smcc", "jcn"):
        book = service.book(personality)
        for account in service.house.accounts:
            if account.merchant.personality != personality:
                continue
            for root, minor in book.held.items():
                found = service.run(service.house.gateway.payments.load(account.merchant.id, root))
                if found is not None:
                    assert found.payment.held == minor
    service.assert_books()


def test_a_reversal_of_an_unknown_authorization_succeeds_whoever_is_first(vpc: Client) -> None:
    """§3.9."""
    for name in UNKNOWN:
        document = PRE | {"clientReferenceInformation": {"transactionId": f"U-{name}"}}
        assert vpc.pay(document, **asked(name)).said == TIMED_OUT
        named = {"clientReferenceInformation": {"transactionId": f"U-{name}"}} | reversal_of("100.00")
        assert vpc.post("/pts/v2/reversals", named).said == REVERSED
    vpc.service.until_quiet()
    vpc.service.assert_books()


def test_a_void_of_an_unknown_sale_succeeds_whoever_is_first(vpc: Client) -> None:
    for name in UNKNOWN:
        named = {"clientReferenceInformation": {"transactionId": f"V-{name}"}}
        assert vpc.pay(SALE | named, **asked(name)).said == TIMED_OUT
        assert vpc.post("/pts/v2/voids", named).said == VOIDED
    vpc.service.until_quiet()
    vpc.service.assert_books()


def test_a_capture_whose_answer_was_lost_is_done_once(vpc: Client) -> None:
    authorization = made(vpc)
    lost = vpc.capture(authorization, "100.00", Kessai_Scenario="answer-lost")
    assert lost.said == TIMED_OUT
    assert vpc.capture(authorization, "100.00").status == 400
    vpc.service.until_quiet()
    assert vpc.details(lost.id)["applicationInformation"]["status"] == "PENDING"
    assert vpc.refund(lost.id, "100.00", of="captures").said == PENDING
