"""What an acquirer is told of an authentication, and what it says back."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from kessai.acquirers import Exchange
from kessai.acquirers.simulator import wire
from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.acquirers.simulator.scenarios import SCENARIOS, outcome
from kessai.payment.card import Brand, Card, Pan
from kessai.payment.lifecycle import Approved, Operation
from kessai.payment.money import Currency, Money
from kessai.payment.proof import Proof

VALUE = "AAABCSIIAAAAAAACcwgAEMCoNh8="


def exchange(eci: str = "05", personality: str = "sandbox", brand: Brand = Brand.VISA, value: str = VALUE) -> Exchange:
    return Exchange(
        merchant_id="shop",
        personality=personality,
        transaction_id=7,
        operation=Operation.AUTHORIZE,
        amount=Money(500, Currency.of("USD")),
        stan="000001",
        rrn="000000000001",
        sent_at=datetime(2026, 11, 26, tzinfo=UTC),
        card=Card(pan=Pan("4111111111111111"), brand=brand),
        proof=Proof(eci=eci, status="Y", value=value, xid=value, directory_server_id="d", version="2.2.0"),
    )


def test_a_proof_travels_to_an_acquirer_that_runs_apart() -> None:
    sent = exchange()
    text = wire.frame(wire.request_of(sent))[2:]
    assert wire.exchange_of(wire.read_request(text)).proof == sent.proof
    without = wire.frame(wire.request_of(replace(sent, proof=None)))[2:]
    assert b"proof" not in without, "one that knows nothing of proofs understands what has none"
    assert wire.exchange_of(wire.read_request(without)).proof is None


SAID = [
    ("sandbox", Brand.VISA, "05", VALUE, "2"),
    ("sandbox", Brand.VISA, "06", VALUE, "3"),
    ("sandbox", Brand.VISA, "07", VALUE, "0"),
    ("sandbox", Brand.VISA, "07", "", None),
    ("sandbox", Brand.AMEX, "05", VALUE, "2"),
    ("sandbox", Brand.MASTERCARD, "02", VALUE, None),
    ("vpc", Brand.VISA, "06", VALUE, "3"),
    ("smcc", Brand.JCB, "05", VALUE, None),
    ("jcn", Brand.VISA, "05", VALUE, None),
]


@pytest.mark.parametrize(("personality", "brand", "eci", "value", "code"), SAID)
def test_an_issuer_says_how_it_found_the_value(
    personality: str, brand: Brand, eci: str, value: str, code: str | None
) -> None:
    assert personality in PERSONALITIES
    told = outcome(exchange(eci, personality, brand, value), SCENARIOS["approve"], lambda: "10000")
    assert isinstance(told, Approved)
    assert told.facts.get("cavv_code") == told.facts.get("cavv_raw") == code


def test_a_proof_does_not_show_its_value() -> None:
    assert VALUE not in repr(exchange().proof)
    assert VALUE not in str(exchange())
