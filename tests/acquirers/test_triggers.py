"""Triggers: exactly the amounts and codes of the table, in exact minor units, for the personality that has them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.acquirers import FACTS, Exchange
from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.acquirers.simulator.scenarios import SCENARIOS
from kessai.acquirers.simulator.triggers import HEADINGS, TRIGGERS, find, rows
from kessai.payment.card import Brand, Card, Pan, SecurityCode
from kessai.payment.lifecycle import FLAGS, Operation
from kessai.payment.money import CURRENCIES, Money

PANS = {
    Brand.VISA: "4111111111111111",
    Brand.MASTERCARD: "5555555555554444",
    Brand.AMEX: "378282246310005",
    Brand.JCB: "3566111111111113",
}


def exchange(
    amount: str,
    currency: str = "USD",
    personality: str = "sandbox",
    brand: Brand = Brand.VISA,
    code: str | None = None,
    **members: Any,
) -> Exchange:
    return Exchange(
        **{
            "merchant_id": "shop",
            "personality": personality,
            "transaction_id": 1,
            "operation": Operation.AUTHORIZE,
            "amount": Money.parse(amount, CURRENCIES[currency]),
            "stan": "000001",
            "rrn": "632405000001",
            "sent_at": datetime(2026, 11, 20, 5, tzinfo=UTC),
            "card": Card(pan=Pan(PANS[brand]), brand=brand, security_code=SecurityCode(code) if code else None),
            **members,
        }
    )


SET_OFF = [
    (exchange("1500.00"), "general-decline", {"response_code": "303"}),
    (exchange("401"), "issuer-referral", {"response_code": "401"}),
    (exchange("2000.00"), "system-error", {}),
    (exchange("2000", "JPY"), "system-error", {}),
    (exchange("2000", "KWD"), "system-error", {}),
    (exchange("2100"), "approve", {"response_code": "100"}),
    (exchange("2109.00"), "approve", {"response_code": "109"}),
    (exchange("2201"), "invalid-account", {"response_code": "201"}),
    (exchange("2202"), "processor-refused", {"response_code": "202"}),
    (exchange("2227"), "processor-refused", {"response_code": "227"}),
    (exchange("2229"), "general-decline", {"response_code": "229"}),
    (exchange("501", brand=Brand.MASTERCARD), "general-decline", {"response_code": "303"}),
    (exchange("1500", operation=Operation.SALE), "general-decline", {"response_code": "303"}),
    (exchange("4128.00", personality="vpc"), "authentication-required", {"response_code": "1A"}),
    (exchange("4128.00", personality="vpc", brand=Brand.AMEX), "authentication-required", {"response_code": "1A"}),
    (exchange("4065", personality="vpc", brand=Brand.MASTERCARD), "authentication-required", {"response_code": "65"}),
    (exchange("6825.22", personality="vpc"), "authentication-required", {"response_code": "70"}),
    (exchange("10", personality="vpc", code="999"), "cvn-failed", {}),
    (exchange("5005", flags=frozenset({"avs-sent"})), "approve", {"avs_code": "N", "avs_raw": "N"}),
    (exchange("1001", "JPY", "jcn"), "issuer-referral", {"response_code": "G98", "response_category": "100"}),
    (exchange("1999", "JPY", "jcn"), "issuer-referral", {"response_code": "G98", "response_category": "100"}),
    (exchange("2000", "JPY", "jcn"), "time-out", {}),
    (exchange("2001", "JPY", "jcn"), "system-error", {"response_code": "E90"}),
    (exchange("2067", "JPY", "jcn"), "system-error", {"response_code": "E90"}),
    (exchange("2068", "JPY", "jcn"), "system-error", {"response_code": "C01"}),
    (exchange("2073", "JPY", "jcn"), "system-error", {"response_code": "C15"}),
]


@pytest.mark.parametrize(("message", "scenario", "facts"), SET_OFF)
def test_sets_off_what_the_table_says(message: Exchange, scenario: str, facts: dict[str, str]) -> None:
    row = find(message)
    assert row is not None
    assert (row.scenario, dict(row.facts)) == (scenario, facts)


ORDINARY = [
    exchange("1"),
    exchange("102.21"),
    exchange("1500.01"),
    exchange("150000", "JPY"),
    exchange("150.0", "KWD"),
    exchange("1500", personality="vpc"),
    exchange("2000", "JPY", "smcc"),
    exchange("1500", operation=Operation.CAPTURE),
    exchange("2000", operation=Operation.REVERSAL),
    exchange("501"),
    exchange("1000"),
    exchange("7012", "EUR"),
    exchange("7012", flags=frozenset({"no-partial"})),
    exchange("5005"),
    exchange("5005", "JPY", flags=frozenset({"avs-sent"})),
    exchange("4065", personality="vpc"),
    exchange("10", personality="vpc", code="998"),
    exchange("10", code="999"),
    exchange("1000", "JPY", "jcn"),
    exchange("2074", "JPY", "jcn"),
    exchange("1500", "USD", "jcn"),
    exchange("4128", personality="vpc", card=None),
]


@pytest.mark.parametrize("message", ORDINARY)
def test_leaves_ordinary_messages_alone(message: Exchange) -> None:
    assert find(message) is None


def test_a_partial_approval_needs_the_merchant_to_take_it() -> None:
    taken = find(exchange("1000.00", flags=frozenset({"partial"})))
    assert taken is not None
    assert (taken.scenario, taken.approved) == ("partial-approval", "499.01")
    standing = find(exchange("7012.00"))
    assert standing is not None
    assert (standing.scenario, standing.approved) == ("partial-approval", "7000.00")


@given(
    whole=st.integers(400, 8_000),
    cents=st.sampled_from([0, 0, 1, 22]),
    personality=st.sampled_from(sorted(PERSONALITIES)),
)
def test_a_found_row_is_one_whose_amount_was_sent(whole: int, cents: int, personality: str) -> None:
    message = exchange(f"{whole}.{cents:02d}", personality=personality)
    row = find(message)
    if row is not None:
        assert row.personality == personality
        assert Money.parse(row.amount, CURRENCIES["USD"]) == message.amount


def test_the_table_names_only_what_there_is() -> None:
    for row in TRIGGERS:
        assert row.personality in PERSONALITIES or row.personality == "*"
        assert row.who == "gateway" or row.scenario in SCENARIOS
        assert row.who == "gateway" or row.operations <= SCENARIOS[row.scenario].operations
        assert set(row.facts) <= set(FACTS)
        assert row.flags | row.without <= set(FLAGS)
        assert row.amount or row.pan or row.account or row.expiry or row.security_code


def test_every_row_is_printed_once_with_its_condition() -> None:
    printed = list(rows())
    assert len(printed) == len(TRIGGERS) == len(set(printed))
    assert all(len(cells) == len(HEADINGS) and all(cells) for cells in printed)
    assert (
        "vpc",
        "authorize, sale",
        "amount 4065.00; brand Mastercard; without flag authenticated",
        "declined, the cardholder must be authenticated first, response 65",
        "simulator",
        "card-present guide",
    ) in printed
