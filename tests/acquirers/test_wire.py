"""The wire to an acquirer that runs apart: there and back, cut anywhere, and everything that is garbage."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kessai.acquirers import Exchange
from kessai.acquirers.simulator import wire
from kessai.payment.agreement import Agreement, Initiator, Occasion, Series
from kessai.payment.bank import AccountType, BankAccount
from kessai.payment.card import AccountNumber, Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.lifecycle import Approved, Declined, Failed, Operation, Outcome, Reason, Unknown
from kessai.payment.money import CURRENCIES, Money
from kessai.payment.options import Bonus, PaymentOption

USD = CURRENCIES["USD"]
EXCHANGE = Exchange(
    merchant_id="shop",
    personality="sandbox",
    transaction_id=7_951_828_296_396_000,
    operation=Operation.AUTHORIZE,
    amount=Money(10_000, USD),
    stan="000001",
    rrn="632405000001",
    sent_at=datetime(2026, 11, 20, 5, tzinfo=UTC),
    card=Card(
        pan=Pan("4111111111111111"), expiry=Expiry(2031, 12), security_code=SecurityCode("123"), brand=Brand.VISA
    ),
    option=PaymentOption(method="24", bonuses=(Bonus(7, 500), Bonus(12)), business_name="会社"),
    flags=frozenset({"pre", "avs-sent"}),
    scenario="approve",
)
ECHECK = replace(
    EXCHANGE,
    card=None,
    account=BankAccount(number=AccountNumber("4100271828"), routing_number="071923284", type=AccountType.CORPORATE),
    flags=frozenset({"bank-account"}),
)
REVERSAL = replace(
    EXCHANGE,
    operation=Operation.REVERSAL,
    card=None,
    is_repeat=True,
    original={"stan": "000001", "approval_code": "831000"},
    original_id=7,
    transaction_id=-7,
)

CHARGE = replace(
    EXCHANGE,
    agreement=Agreement(
        initiator=Initiator.MERCHANT,
        uses_kept_card=True,
        occasion=Occasion.INSTALLMENT,
        series=Series.INSTALLMENT,
        network_transaction_id="123456789619999",
        original_amount="100.00",
        terms={"installment_sequence": "2", "installment_plan_type": "1"},
    ),
)


@pytest.mark.parametrize("operation", wire.MESSAGE_TYPES)
@pytest.mark.parametrize("is_repeat", [False, True])
@pytest.mark.parametrize("base", [EXCHANGE, REVERSAL, CHARGE, ECHECK])
def test_an_exchange_arrives_as_it_was_sent(operation: Operation, is_repeat: bool, base: Exchange) -> None:
    sent = replace(base, operation=operation, is_repeat=is_repeat)
    [text] = wire.Frames().feed(wire.frame(wire.request_of(sent)))
    assert wire.exchange_of(wire.read_request(text)) == sent


ANSWERS: list[tuple[Operation, Outcome]] = [
    (Operation.AUTHORIZE, Approved(amount=Money(10_000, USD), facts={"approval_code": "831000"})),
    (Operation.AUTHORIZE, Approved(amount=Money(4_000, USD), facts={"balance": "0.00"}, review=Reason.RISK_REVIEW)),
    (Operation.SALE, Declined(reason=Reason.INSUFFICIENT_FUNDS, facts={"response_code": "51"})),
    (Operation.CAPTURE, Declined(reason=Reason.ISSUER_UNAVAILABLE, facts={"response_code": "91"})),
    (Operation.CAPTURE, Failed(reason=Reason.SYSTEM_ERROR)),
    (Operation.VOID, Failed(reason=Reason.UNREACHABLE)),
    (Operation.REFUND, Unknown("the acquirer answered 68")),
    (Operation.AUTHORIZE, Unknown("the acquirer timed out")),
]


@pytest.mark.parametrize(("operation", "outcome"), ANSWERS)
def test_an_answer_means_there_what_it_meant_here(operation: Operation, outcome: Outcome) -> None:
    exchange = replace(EXCHANGE, operation=operation)
    [text] = wire.Frames().feed(wire.frame(wire.answer_of(wire.request_of(exchange), outcome)))
    answer = wire.read_answer(text)
    assert wire.key_in(answer) == wire.key_of(exchange)
    assert wire.outcome_of(exchange, answer) == outcome


def answer(**said: Any) -> wire.Answer:
    members = json.loads(wire.frame(wire.answer_of(wire.request_of(EXCHANGE), ANSWERS[0][1]))[2:])
    return wire.read_answer(json.dumps(members | said).encode())


MEANINGS: list[tuple[str, Operation, type[Outcome]]] = [
    ("91", Operation.AUTHORIZE, Declined),
    ("96", Operation.SALE, Declined),
    ("68", Operation.AUTHORIZE, Unknown),
    *(
        (code, operation, Unknown)
        for code in ("68", "91", "96")
        for operation in (Operation.CAPTURE, Operation.REFUND, Operation.CREDIT, Operation.VOID, Operation.REVERSAL)
    ),
    ("25", Operation.REVERSAL, Approved),
    ("25", Operation.VOID, Approved),
    ("25", Operation.CAPTURE, Unknown),
    ("25", Operation.AUTHORIZE, Unknown),
    ("05", Operation.AUTHORIZE, Unknown),
    ("ZZ", Operation.AUTHORIZE, Unknown),
]


@pytest.mark.parametrize(("code", "operation", "kind"), MEANINGS)
def test_only_an_explicit_approval_is_one(code: str, operation: Operation, kind: type[Outcome]) -> None:
    """R-3, F11, F12: a decline without a reason, or a code that nobody knows, says nothing."""
    assert isinstance(wire.outcome_of(replace(EXCHANGE, operation=operation), answer(code=code)), kind)


@pytest.mark.parametrize("approved", [0, 10_001])
def test_an_approval_of_nothing_or_of_more_than_was_asked_is_none(approved: int) -> None:
    assert isinstance(wire.outcome_of(EXCHANGE, answer(approved=approved)), Unknown)


GARBAGE: list[dict[str, Any]] = [
    {"stan": "00000x"},
    {"stan": "0000001"},
    {"stan": "00001\n"},
    {"stan": "٠٠٠٠٠١"},
    {"rrn": 632405000001},
    {"mti": "9100"},
    {"code": "0"},
    {"amount": -1},
    {"amount": 1.5},
    {"amount": 10**30},
    {"transaction": "1"},
    {"reason": "because"},
    {"facts": {"a": 1}},
    {"facts": {f"f{number}": "" for number in range(41)}},
    {"more": 1},
]


@pytest.mark.parametrize("said", GARBAGE)
def test_an_answer_that_is_malformed_is_garbage(said: dict[str, Any]) -> None:
    """F8: answers are read as strictly as requests."""
    with pytest.raises(ValueError, match=r".") as refused:
        answer(**said)
    assert "4111111111111111" not in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        {"mti": "0200"},
        {"mti": "0800x"},
        {"operation": "expire"},
        {"operation": None},
        {"currency": "XXX"},
        {"sent_at": None},
        {"sent_at": "2026-11-20T05:00:00"},
        {"card": {"pan": "4111 1111 1111 1111"}},
        {"card": {"pan": "4111111111111111", "expiry": "2031-13"}},
        {"card": {"pan": "4111111111111111", "track": "x"}},
        {"agreement": {"initiator": "somebody"}},
        {"agreement": {"more": "x"}},
        {"agreement": {"terms": {"installment_sequence": 2}}},
    ],
)
def test_a_request_that_is_malformed_is_garbage_and_its_card_is_not_repeated(said: dict[str, Any]) -> None:
    members = json.loads(wire.frame(wire.request_of(EXCHANGE))[2:])
    with pytest.raises(ValueError, match=r".") as refused:
        wire.read_request(json.dumps(members | said).encode())
    assert "4111" not in str(refused.value)


def test_an_ordinary_request_does_not_speak_of_agreements() -> None:
    assert b"agreement" not in wire.frame(wire.request_of(EXCHANGE))
    assert b"agreement" in wire.frame(wire.request_of(CHARGE))


def test_a_request_does_not_show_its_card() -> None:
    """P7."""
    shown = repr(wire.request_of(EXCHANGE))
    assert "***" in shown
    assert "411111" not in shown


@given(data=st.binary(max_size=300))
def test_whatever_bytes_come_they_are_a_message_or_garbage(data: bytes) -> None:
    for read in (wire.read_answer, wire.read_request):
        with pytest.raises(ValueError, match=r"."):
            read(data)


@given(texts=st.lists(st.binary(min_size=1, max_size=50), max_size=5), data=st.data())
def test_frames_are_found_wherever_the_stream_is_cut(texts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(len(text).to_bytes(2, "big") + text for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    frames = wire.Frames()
    found = [
        text
        for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for text in frames.feed(stream[first:last])
    ]
    assert found == texts


@pytest.mark.parametrize("length", [0, wire.LONGEST_FRAME + 1, 65_535])
def test_a_length_that_cannot_be_is_garbage_at_once(length: int) -> None:
    """F8: nobody waits for what such a frame promises."""
    with pytest.raises(ValueError, match="a frame has"):
        wire.Frames().feed(length.to_bytes(2, "big"))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="at most"):
        wire.frame(wire.request_of(replace(EXCHANGE, flags=frozenset(f"flag-{number}" for number in range(1_000)))))
