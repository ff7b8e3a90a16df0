"""Scenarios and personalities: what each outcome is, and by what an answer tells its processor."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kessai.acquirers import FACTS, Exchange, personalities
from kessai.acquirers.simulator.personalities import (
    ADDITIONS,
    CODES,
    FINGERPRINTS,
    MAKERS,
    PERSONALITIES,
    Message,
)
from kessai.acquirers.simulator.scenarios import EVERY, OF_ACCOUNTS, SCENARIOS, outcome
from kessai.payment.card import Brand, Card, Pan
from kessai.payment.lifecycle import Approved, Declined, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import CURRENCIES, JPY, Money

DECLINES = [name for name, scenario in SCENARIOS.items() if scenario.ending.name == "DECLINED"]


def conclude(
    personality: str = "sandbox", scenario: str = "approve", original_seen: bool = True, **said: Any
) -> Outcome:
    members: dict[str, Any] = {
        "merchant_id": "shop",
        "personality": personality,
        "transaction_id": 7,
        "operation": Operation.AUTHORIZE,
        "amount": Money(12_000, JPY),
        "stan": "060417",
        "rrn": "606103060417",
        "sent_at": datetime(2026, 3, 2, 18, 4, 5, tzinfo=UTC),
        "card": Card(pan=Pan("4111111111111111"), brand=Brand.VISA),
    }
    return outcome(Exchange(**members | said), SCENARIOS[scenario], lambda: "60417", original_seen=original_seen)


def facts_of(personality: str, scenario: str = "approve", **said: Any) -> dict[str, str]:
    ended = conclude(personality, scenario, **said)
    assert not isinstance(ended, Unknown)
    return dict(ended.facts)


# Fingerprints


def test_the_sandbox_approves_in_its_own_words() -> None:
    said = facts_of("sandbox")
    reconciliation = said.pop("reconciliation_id")
    assert said == {
        "approval_code": "888888",
        "response_code": "100",
        "network_transaction_id": "123456789619999",
        "avs_code": "X",
        "avs_raw": "I1",
        "terminal_id": "111111",
    }
    assert len(reconciliation) == 16
    assert reconciliation[:8].isdigit()
    assert reconciliation.isalnum()
    assert reconciliation == reconciliation.upper()
    assert facts_of("sandbox")["reconciliation_id"] == reconciliation
    assert facts_of("sandbox", transaction_id=8)["reconciliation_id"] != reconciliation


def test_the_sandbox_adds_an_indicator_for_mastercard_only() -> None:
    card = Card(pan=Pan("5555555555554444"), brand=Brand.MASTERCARD)
    assert facts_of("sandbox", card=card)["auth_indicator"] == "1"
    assert "auth_indicator" not in facts_of("sandbox")


def test_visa_platform_connect_approves_in_its_own_words() -> None:
    assert facts_of("vpc") == {
        "stan": "060417",
        "approval_code": "831000",
        "advice_code": "01",
        "advice_raw": "M001",
        "response_details": "ABC",
        "network_transaction_id": "016153570198200",
        "rrn": "606103060417",
        "cavv_code": "2",
        "cavv_raw": "2",
        "response_code": "00",
        "avs_code": "Y",
        "avs_raw": "Y",
        "reconciliation_id": "=id",
    }


@pytest.mark.parametrize("personality", ["sandbox", "vpc"])
def test_a_security_code_is_answered_only_when_it_was_sent(personality: str) -> None:
    assert "cvn_code" not in facts_of(personality)
    said = facts_of(personality, flags=frozenset({"cvn-sent"}))
    assert (said["cvn_code"], said["cvn_raw"]) == ("M", "M")


@pytest.mark.parametrize(("personality", "acquirer"), [("smcc", "Sumitomo"), ("jcn", "JCN")])
def test_japanese_acquirers_approve_in_their_own_words(personality: str, acquirer: str) -> None:
    assert facts_of(personality) == {
        "approval_code": "123456",
        "response_category": "000",
        "acquirer_name": acquirer,
        "sales_slip_number": "60417",
        "avs_code": "2",
        "cvn_code": "3",
        "reconciliation_id": "0020260303030405000000000001",
    }


def test_a_sandbox_capture_repeats_the_reconciliation_id_of_its_authorization() -> None:
    original = {"reconciliation_id": "78243988SD9YL291"}
    assert facts_of("sandbox", operation=Operation.CAPTURE, original=original) == original
    alone = facts_of("sandbox", operation=Operation.CAPTURE)
    assert alone == {"reconciliation_id": facts_of("sandbox")["reconciliation_id"]}


@pytest.mark.parametrize(
    ("personality", "seen", "code"),
    [
        ("sandbox", True, "200"),
        ("vpc", True, "00"),
        ("sandbox", False, "25"),
        ("vpc", False, "25"),
        ("jcn", False, "G94"),
    ],
)
def test_a_reversal_is_approved_whether_or_not_the_original_arrived(personality: str, seen: bool, code: str) -> None:
    ended = conclude(personality, original_seen=seen, operation=Operation.REVERSAL)
    assert isinstance(ended, Approved)
    assert ended.facts["response_code"] == code


@pytest.mark.parametrize("personality", sorted(PERSONALITIES))
def test_a_void_says_nothing(personality: str) -> None:
    assert facts_of(personality, operation=Operation.VOID) == {}


def test_fingerprints_say_only_known_facts() -> None:
    for personality, messages in FINGERPRINTS.items():
        assert set(messages) == set(Message)
        for template in messages.values():
            assert set(template) <= set(FACTS)
            assert {value for value in template.values() if value.startswith("=")} <= {*MAKERS, "=slip", "=id"}
        for codes in CODES[personality].values():
            assert set(codes) <= set(FACTS)
    assert all(set(addition.facts) <= set(FACTS) for addition in ADDITIONS)


def test_an_answer_can_be_changed_without_changing_the_next() -> None:
    first = conclude()
    assert isinstance(first, Approved)
    assert isinstance(first.facts, dict)
    first.facts["approval_code"] = "spoiled"
    assert facts_of("sandbox")["approval_code"] == "888888"


# Terms


def test_every_personality_is_offered_with_its_terms() -> None:
    offered = personalities()
    assert {name: offered[name].terms.over_capture for name in PERSONALITIES} == {
        "sandbox": "allow",
        "vpc": "refuse",
        "smcc": "refuse",
        "jcn": "refuse",
    }
    assert [name for name in PERSONALITIES if offered[name].terms.increments] == ["vpc"]
    assert [offered[name].terms.authorization_days for name in PERSONALITIES] == [180, 180, 60, 60]
    assert offered["smcc"].terms.brands == frozenset({Brand.VISA})
    assert offered["vpc"].terms.brands is None
    assert offered["jcn"].terms.brands == frozenset({Brand.AMEX, Brand.DINERS, Brand.JCB, Brand.MASTERCARD, Brand.VISA})


# Outcomes


@pytest.mark.parametrize("personality", sorted(PERSONALITIES))
@pytest.mark.parametrize("name", DECLINES)
def test_a_decline_gives_its_reason_and_no_approval(name: str, personality: str) -> None:
    ended = conclude(personality, name)
    assert isinstance(ended, Declined)
    assert ended.reason is SCENARIOS[name].reason
    assert "approval_code" not in ended.facts
    assert ("response_code" in ended.facts) is SCENARIOS[name].reached


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_an_acquirer_can_be_asked_for(reason: Reason) -> None:
    gateway_says_it = {Reason.AVS_FAILED, Reason.CVN_FAILED, Reason.TIMEOUT, Reason.AUTHENTICATION_FAILED}
    asked_for = {scenario.reason for scenario in SCENARIOS.values()}
    assert reason in asked_for | set(OF_ACCOUNTS.values()) | gateway_says_it


@pytest.mark.parametrize(
    ("personality", "said"),
    [
        ("sandbox", {"response_code": "521"}),
        ("vpc", {"response_code": "51", "insight_category": "02", "stan": "060417"}),
        ("smcc", {"response_code": "G02", "response_category": "100", "acquirer_name": "Sumitomo"}),
        ("jcn", {"response_code": "G02", "response_category": "100", "acquirer_name": "JCN"}),
    ],
)
def test_a_decline_speaks_the_processors_code(personality: str, said: dict[str, str]) -> None:
    assert facts_of(personality, "insufficient-funds").items() >= said.items()


def test_a_declined_capture_says_no_address_result() -> None:
    assert facts_of("sandbox", "general-decline", operation=Operation.CAPTURE) == {"response_code": "303"}


@pytest.mark.parametrize(("minor", "approved"), [(0, 0), (1, 1), (2, 1), (12_001, 6_001)])
def test_a_partial_approval_is_about_half_in_whole_minor_units(minor: int, approved: int) -> None:
    ended = conclude(scenario="partial-approval", amount=Money(minor, CURRENCIES["USD"]))
    assert isinstance(ended, Approved)
    assert ended.amount.minor == approved
    assert ended.facts["balance"] == "0.00"


def test_address_and_code_failures_are_left_to_the_gateway_to_judge() -> None:
    address, code = conclude(scenario="avs-failed"), conclude(scenario="cvn-failed")
    assert isinstance(address, Approved)
    assert isinstance(code, Approved)
    assert (address.facts["avs_code"], address.review) == ("N", None)
    assert (code.facts["cvn_code"], code.review) == ("N", None)


@pytest.mark.parametrize("name", ["risk-review", "risk-reject", "risk-score"])
def test_a_risk_rule_speaks_after_the_approval(name: str) -> None:
    ended = conclude(scenario=name)
    assert isinstance(ended, Approved)
    assert ended.review is Reason(name)
    assert ended.facts["approval_code"] == "888888"
    assert ended.facts["risk_score"] == "85"


def test_a_risk_rule_before_the_authorization_asks_no_processor() -> None:
    ended = conclude(scenario="risk-reject-before")
    assert isinstance(ended, Declined)
    assert set(ended.facts) == {"risk_score", "risk_profile"}


def test_a_failure_is_definitive_and_speaks_the_japanese_error() -> None:
    ended = conclude("jcn", "system-error")
    assert isinstance(ended, Failed)
    assert ended.facts == {"response_category": "909", "response_code": "E90", "acquirer_name": "JCN"}
    assert conclude(scenario="unreachable") == Failed(reason=Reason.UNREACHABLE)


@pytest.mark.parametrize("personality", sorted(PERSONALITIES))
def test_every_scenario_ends_every_operation_it_applies_to(personality: str) -> None:
    for name, scenario in SCENARIOS.items():
        assert scenario.operations <= EVERY
        for operation in scenario.operations:
            ended = conclude(personality, name, operation=operation)
            assert isinstance(ended, Unknown) == (scenario.ending.name == "GAVE_UP")
            if not isinstance(ended, Unknown):
                assert set(ended.facts) <= set(FACTS)
