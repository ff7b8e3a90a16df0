"""Kept cards and charges without the cardholder over a real socket: what is taken, told to the acquirer, warned, shown.

§6.7 of the payments reference, and POS entry modes as an ISO 8583 link will need them.
"""

import json
from datetime import timedelta
from typing import Final

import msgspec
import pytest

from kessai import ids
from kessai.acquirers.simulator import journal
from kessai.dialects.cybersource import agreements
from kessai.payment.agreement import Agreement, facts
from tests.acceptance.client import (
    AUTHORIZED,
    BILL_TO,
    MASTERCARD,
    VISA,
    Client,
    Json,
    Service,
    changed,
    lodging,
    payment,
)
from tests.acceptance.test_stored_cards import INITIATOR, by_merchant, with_tokens
from tests.acceptance.test_tokens import Filed, fresh_pan
from tests.recurring.shop import Shop, own_terms, subscription

NETWORK_ID: Final = "123456789619999"
"""The network's id in the sandbox's approvals."""
NAMED: Final = {"network_transaction_id": NETWORK_ID}


@pytest.fixture
def shop(service: Service) -> Client:
    return service.merchant("agreements_shop")


def heard(till: Client, identifier: str) -> Json:
    """What the acquirer's book has of an agreement, as plain facts; empty where it was told of none."""
    number = ids.read(identifier)
    text = (till.service.house.folder / journal.NAME).read_bytes()
    lines = [json.loads(line) for line in text.splitlines() if line]
    [line] = [line for line in lines if line.get("transaction") == number]
    return dict(facts(msgspec.convert(line["agreement"], Agreement))) if "agreement" in line else {}


def said(document: Json, indicator: str | None, /, **initiator: object) -> Json:
    changes: dict[str, object] = {INITIATOR: initiator}
    if indicator is not None:
        changes["processingInformation.commerceIndicator"] = indicator
    return changed(document, changes)


def charge(reason: str | None, **more: object) -> dict[str, object]:
    mit = {"previousTransactionId": NETWORK_ID} | ({"reason": reason} if reason else {})
    return {"type": "merchant", "merchantInitiatedTransaction": mit} | more


OF_MERCHANT = {"initiator": "merchant", "entry_mode": "10"}
ONCE = OF_MERCHANT | {"condition": "59"} | NAMED
AGAIN = OF_MERCHANT | {"condition": "08"} | NAMED
KEPT = {"uses_kept_card": "true"}

TOLD: list[tuple[str, str | None, dict[str, object], Json]] = [
    (
        "a card that is stored",
        "internet",
        {"type": "customer", "credentialStoredOnFile": True},
        {"initiator": "cardholder", "entry_mode": "01", "condition": "59", "keeps_card": "true"},
    ),
    (
        "the same, by who does not say so",
        None,
        {"credentialStoredOnFile": "true"},
        {"entry_mode": "01", "condition": "59", "keeps_card": "true"},
    ),
    (
        "a stored card, by its holder",
        "internet",
        {"type": "customer", "storedCredentialUsed": "true"},
        {"initiator": "cardholder", "entry_mode": "10", "condition": "59"} | KEPT,
    ),
    ("resubmission", None, charge("1"), ONCE | {"occasion": "resubmission", "message_reason": "3901"}),
    ("delayed charge", None, charge("2"), ONCE | {"occasion": "delayed-charge", "message_reason": "3902"}),
    ("reauthorization", None, charge("3"), ONCE | {"occasion": "reauthorization", "message_reason": "3903"}),
    (
        "no-show",
        None,
        charge("4", storedCredentialUsed=True),
        ONCE | KEPT | {"occasion": "no-show", "message_reason": "3904"},
    ),
    (
        "incremental: entry mode and condition are the original's",
        None,
        charge("5"),
        {"initiator": "merchant", "occasion": "incremental", "message_reason": "3900"} | NAMED,
    ),
    ("partial shipment", None, charge("6"), ONCE | {"occasion": "partial-shipment"}),
    (
        "recurring",
        "recurring",
        charge(None, storedCredentialUsed=True),
        AGAIN | KEPT | {"series": "recurring"},
    ),
    (
        "subscription",
        "recurring_internet",
        charge("7", storedCredentialUsed=True),
        AGAIN | KEPT | {"series": "recurring", "occasion": "subscription"},
    ),
    (
        "standing order, its first payment",
        "internet",
        {"type": "customer", "credentialStoredOnFile": True, "merchantInitiatedTransaction": {"reason": "8"}},
        {
            "initiator": "cardholder",
            "entry_mode": "01",
            "condition": "59",
            "keeps_card": "true",
            "occasion": "standing-order",
        },
    ),
    (
        "installment",
        "install",
        charge("9", storedCredentialUsed=True),
        AGAIN | KEPT | {"series": "installment", "occasion": "installment"},
    ),
    (
        "unscheduled",
        "internet",
        charge("10", storedCredentialUsed=True),
        AGAIN | KEPT | {"occasion": "unscheduled"},
    ),
    ("a kept card, no reason", "internet", charge("", storedCredentialUsed=True), AGAIN | KEPT),
    ("a reason that there is not", None, charge("42"), ONCE),
]


@pytest.mark.parametrize(("indicator", "initiator", "told"), [row[1:] for row in TOLD], ids=[row[0] for row in TOLD])
def test_the_acquirer_is_told_of_every_case(
    shop: Client, indicator: str | None, initiator: dict[str, object], told: Json
) -> None:
    reply = shop.pay(said(payment("12.00", number=MASTERCARD), indicator, **initiator))
    assert reply.said == AUTHORIZED
    assert heard(shop, reply.id) == told


def test_the_table_has_every_reason() -> None:
    """The test of the test."""
    told = {facts.get("occasion") for _, _, _, facts in TOLD}
    assert told - {None} == {occasion.value for occasion in agreements.OCCASIONS.values()}


def test_an_ordinary_payment_tells_nothing(shop: Client) -> None:
    for document in (payment("12.00"), changed(payment("12.00"), {"processingInformation.capture": True})):
        assert heard(shop, shop.pay(document).id) == {}
    assert heard(shop, shop.credit().id) == {}


def test_old_recurring_payments_tell_their_series_by_the_indicator(shop: Client) -> None:
    document = changed(payment("12.00"), {"processingInformation.commerceIndicator": "RECURRING"})
    assert heard(shop, shop.pay(document).id) == {"entry_mode": "01", "condition": "08", "series": "recurring"}


def test_tokens_and_follow_ons_tell_what_is_on_file(shop: Client) -> None:
    filed = Filed(shop)
    first = shop.pay(said(with_tokens(customer=filed.customer), None, type="customer", credentialStoredOnFile=True))
    assert heard(shop, first.id)["keeps_card"] == "true"
    again = shop.pay(said(with_tokens(customer=filed.customer), None, type="customer", storedCredentialUsed=True))
    assert heard(shop, again.id)["entry_mode"] == "10"
    later = shop.pay(by_merchant(with_tokens(customer=filed.customer), reason="2"))
    assert heard(shop, later.id)["network_transaction_id"] == NETWORK_ID
    assert heard(shop, shop.capture(later.id, "12.00").id) == {}


def test_an_increment_tells_that_the_card_is_kept(vpc: Client) -> None:
    made = lodging(vpc)
    document = {
        "orderInformation": {"amountDetails": {"additionalAmount": "22.49", "currency": "USD"}},
        "processingInformation": {"authorizationOptions": {"initiator": {"storedCredentialUsed": True}}},
    }
    reply = vpc.call("PATCH", f"/pts/v2/payments/{made}", document)
    assert reply.said == AUTHORIZED
    text = (vpc.service.house.folder / journal.NAME).read_bytes()
    [line] = [line for line in text.splitlines() if b'"original":%d,' % (ids.read(made) or 0) in line]
    assert json.loads(line)["agreement"] == {"uses_kept_card": True}


# ---- the documents of a series


def documents() -> tuple[Json, Json, Json]:
    """A request with every member that tells of a series, how details show it, and what an acquirer is told."""
    sent: Json = {}
    told: Json = {}
    for number, (path, name) in enumerate(agreements.TERMS.items()):
        *way, last = path
        place = sent
        for step in way:
            place = place.setdefault(step, {})
        place[last] = told[name] = str(number % 10)
    return sent, sent, told


def test_every_member_of_the_series_documents_is_passed_on_and_shown(shop: Client) -> None:
    sent, shown, told = documents()
    assert len(told) > 45
    options = sent.pop("processingInformation")["recurringOptions"]
    document = changed(payment("12.00"), sent | {"processingInformation.recurringOptions": options})
    reply = shop.pay(document)
    assert reply.said == AUTHORIZED
    assert heard(shop, reply.id) == {"entry_mode": "01", "condition": "59"} | told
    details = shop.details(reply.id)
    assert details["processingInformation"]["recurringOptions"] == options
    for name in ("installmentInformation", "recurringPaymentInformation", "unscheduledPaymentInformation"):
        assert details[name] == shown[name]


def test_what_looks_like_a_card_number_is_not_passed_on(shop: Client) -> None:
    document = changed(payment("12.00"), {"installmentInformation": {"identifier": VISA, "sequence": 2}})
    assert heard(shop, shop.pay(document).id)["installment_identifier"] == "XXXXXXXXXXXX1111"


def test_a_subscriptions_charges_tell_their_place_in_it(service: Service) -> None:
    till = service.merchant("agreements_series")
    customer = Shop(till).customer()
    filed = said(with_tokens(customer=customer), None, type="customer", credentialStoredOnFile=True)
    filed["orderInformation"]["billTo"] = BILL_TO
    assert till.pay(filed).said == AUTHORIZED
    starts = f"{service.clock():%Y-%m-%dT%H:%M:%SZ}"
    made = till.post("/rbs/v1/subscriptions", subscription(customer, starts, **own_terms()))
    payments = till.call("GET", f"/rbs/v1/subscriptions/{made.id}/payments").json
    text = (service.house.folder / journal.NAME).read_bytes()
    told = [json.loads(line)["agreement"] for line in text.splitlines() if b"recurring_sequence_number" in line]
    assert payments
    assert told[-1]["initiator"] == "merchant"
    assert told[-1]["series"] == "recurring"
    assert told[-1]["network_transaction_id"] == NETWORK_ID
    assert told[-1]["terms"]["recurring_sequence_number"] == "1"


# ---- what an issuer would mind


def minded(till: Client, document: Json) -> list[str]:
    reply = till.pay(document)
    assert reply.said == AUTHORIZED
    return [text.partition("previousTransactionID: ")[2] for text in till.warnings(reply.id) if "previousT" in text]


def test_a_card_numbers_charge_goes_back_to_a_payment_of_that_card(shop: Client, service: Service) -> None:
    nothing = ["no stored payment of this card has this id; a live issuer may decline this"]
    unknown = by_merchant(payment("12.00", number=fresh_pan()), reason="2", previousTransactionId=NETWORK_ID)
    assert minded(shop, unknown) == nothing
    pan = fresh_pan()
    later = by_merchant(payment("12.00", number=pan), reason="2", previousTransactionId=NETWORK_ID)
    wrong = by_merchant(payment("12.00", number=pan), reason="2", previousTransactionId="1" * 15)
    first = shop.pay(said(payment("12.00", number=pan), None, type="customer", credentialStoredOnFile=True))
    assert first.said == AUTHORIZED
    for _ in range(2):  # before it is in the index, and after
        assert minded(shop, later) == []
        assert minded(shop, wrong) == nothing
        service.until_quiet()
        service.run(service.house.worker.indexer.round(behind_s=0))
    elsewhere = service.merchant("agreements_other")
    assert minded(elsewhere, later) == nothing


def test_a_card_number_does_not_bring_what_is_on_file(shop: Client) -> None:
    filed = Filed(shop)
    shop.pay(said(with_tokens(customer=filed.customer), None, type="customer", credentialStoredOnFile=True))
    [text] = minded(shop, by_merchant(payment("12.00", number=filed.pan), reason="2"))
    assert text.startswith("no payment of the cardholder is named; a card number does not bring the one on file")


@pytest.mark.parametrize(
    ("reason", "days", "too_old"),
    [
        ("1", 13, False),
        ("1", 14, True),
        ("2", 29, False),
        ("2", 30, True),
        ("3", 30, True),
        ("4", 60, False),
        ("10", 60, False),
    ],
)
def test_an_old_original_is_minded_where_a_token_pays(
    shop: Client, service: Service, reason: str, days: int, too_old: bool
) -> None:
    filed = Filed(shop)
    service.clock.moved = -timedelta(days=days, minutes=1)
    try:
        shop.pay(said(with_tokens(customer=filed.customer), None, type="customer", credentialStoredOnFile=True))
    finally:
        service.clock.moved = timedelta()
    found = minded(shop, by_merchant(with_tokens(customer=filed.customer), reason=reason))
    assert len(found) == too_old
    assert all(text.startswith(f"{days} days old") for text in found)
    by_number = by_merchant(payment("12.00", number=filed.pan), reason=reason, previousTransactionId=NETWORK_ID)
    assert minded(shop, by_number) == []


def test_some_brands_go_back_to_the_cardholders_own_payment(shop: Client) -> None:
    for pan, count in (("378282246310005", 1), ("6011111111111117", 1), (MASTERCARD, 0)):
        till = shop.service.merchant(f"agreements_brand_{pan[:4]}")
        name = by_merchant(payment("12.00", number=pan), reason="10", previousTransactionId=NETWORK_ID)
        assert minded(till, name) == ["no stored payment of this card has this id; a live issuer may decline this"]
        assert len(minded(till, name)) == count, pan
        till.pay(payment("12.00", number=pan))
        assert minded(till, name) == []
