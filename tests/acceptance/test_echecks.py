"""eChecks over a real socket: bank accounts that pay and are paid, by number and by token, and what is refused."""

import random
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from kessai import ids, verify
from tests.acceptance.client import (
    ABSENT,
    BILL_TO,
    PENDING,
    TIMED_OUT,
    VOIDED,
    Client,
    Json,
    Service,
    amount_of,
    changed,
    declined,
    named,
    payment,
    refused,
    reversal_of,
)
from tests.acceptance.test_races import at_once
from tests.acceptance.test_search import found, index, search
from tests.acceptance.test_tokens import CUSTOMERS, NUMBERS, made

LONE = "/tms/v1/paymentinstruments"
ROUTING = "071923284"
ACCOUNT = "paymentInformation.bank.account"
ROUTED = "paymentInformation.bank.routingNumber"
CURRENCY = "orderInformation.amountDetails.currency"
OPTIONS = "processingInformation.bankTransferOptions"
MISSING = refused("MISSING_FIELD")
INVALID = refused("INVALID_DATA")


@pytest.fixture
def shop(service: Service) -> Client:
    """A merchant of its own, of which only these tests know."""
    return service.merchant("echeck_shop", "vpc")


def fresh() -> str:
    """An account number that no other test uses."""
    return f"9{random.randrange(10**11):011d}"


def echeck(number: str = "4100271828", amount: str = "100", **changes: object) -> Json:
    """The public sample of a debit; `changes` are paths with `__` for the dot."""
    document: Json = {
        "clientReferenceInformation": {"code": "TC50171_3"},
        "paymentInformation": {
            "paymentType": {"name": "CHECK"},
            "bank": {"account": {"type": "C", "number": number}, "routingNumber": ROUTING},
        },
        "orderInformation": {"amountDetails": {"totalAmount": amount, "currency": "USD"}, "billTo": dict(BILL_TO)},
    }
    return changed(document, {path.replace("__", "."): value for path, value in changes.items()})


def by_token(amount: str = "12.00", **tokens: str) -> Json:
    paying: Json = {name: {"id": token} for name, token in tokens.items()}
    return changed(echeck(amount=amount), {"paymentInformation": paying})


def moved(shop: Client, identifier: str) -> int | None:
    """What the acquirer moves for a transaction, in minor units; it holds nothing for any of them."""
    book, known = shop.service.book("vpc"), ids.read(identifier)
    assert known is not None
    assert known not in book.held
    return book.moved.get(known)


# ---- debits and credits


def test_a_debit_is_pending(shop: Client) -> None:
    reply = shop.pay(echeck("410027182845"))
    assert reply.said == PENDING
    document = reply.json
    assert list(document["_links"]) == ["void", "self"]
    assert document["orderInformation"]["amountDetails"] == {
        "totalAmount": "100.00",
        "authorizedAmount": "100.00",
        "currency": "USD",
    }
    assert document["processorInformation"] == {"responseCode": "00"}
    assert document["reconciliationId"] == reply.id
    assert "paymentInformation" not in document
    told = shop.call("GET", f"/pts/v2/payments/{reply.id}").json
    assert list(told.pop("kessaiInformation")) == ["paymentOptionsId"]  # our extension
    assert told == document
    shown = shop.details(reply.id)
    assert shown["status"] == "PENDING"
    assert shown["paymentInformation"]["bank"] == {
        "account": {"type": "C", "suffix": "2845"},
        "routingNumber": ROUTING,
    }
    assert shown["paymentInformation"]["paymentType"] == {"name": "CHECK", "type": "check", "method": ""}
    assert "card" not in shown["paymentInformation"]
    assert [each["name"] for each in shown["applicationInformation"]["applications"]] == ["ics_ecp_debit"]
    assert moved(shop, reply.id) == 10_000


def test_the_public_samples_are_taken_as_they_stand(till: Client) -> None:
    """A routing number that is a JSON number has lost its leading zero; an account may be very short."""
    sample = changed(echeck("4100"), {ROUTED: 71923284})
    debit = till.pay(sample)
    assert debit.said == PENDING
    assert debit.json["processorInformation"] == {"responseCode": "100"}
    bank = till.details(debit.id)["paymentInformation"]["bank"]
    assert bank == {"account": {"type": "C", "suffix": ""}, "routingNumber": ROUTING}
    credit = till.credit(changed(sample, {f"{ACCOUNT}.checkNumber": "123456"}))
    assert credit.said == PENDING
    follow_on = amount_of("100") | {"paymentInformation": {"paymentType": {"name": "CHECK"}}}
    assert till.post(f"/pts/v2/payments/{debit.id}/refunds", follow_on).said == PENDING


def test_the_account_alone_says_that_it_is_an_echeck(shop: Client) -> None:
    document = changed(echeck(), {"paymentInformation.paymentType": ABSENT, "processingInformation.capture": False})
    assert shop.pay(document).said == PENDING
    assert shop.pay(changed(document, {"processingInformation.capture": True})).said == PENDING


def test_a_credit_is_pending_and_can_be_voided(shop: Client) -> None:
    credit = shop.credit(changed(echeck(), {"orderInformation.billTo": ABSENT}))
    assert credit.said == PENDING
    assert credit.json["creditAmountDetails"] == {"currency": "USD", "creditAmount": "100.00"}
    shown = shop.details(credit.id)
    assert [each["name"] for each in shown["applicationInformation"]["applications"]] == ["ics_ecp_credit"]
    assert shown["paymentInformation"]["bank"]["account"]["suffix"] == "1828"
    assert shop.void(credit.id, "credits").said == VOIDED
    assert shop.void(credit.id, "credits").said == refused("NOT_VOIDABLE")


@pytest.mark.parametrize(
    ("kind", "currency", "routing", "said"),
    [
        ("C", "USD", "121042882", PENDING),
        ("S", "USD", ROUTING, PENDING),
        ("X", "USD", ROUTING, PENDING),
        ("G", "USD", ROUTING, INVALID),
        ("C", "CAD", "00011004", PENDING),
        ("S", "CAD", "00011004", INVALID),
        ("C", "JPY", ROUTING, INVALID),
    ],
)
def test_kinds_of_accounts_and_currencies(shop: Client, kind: str, currency: str, routing: str, said: object) -> None:
    document = echeck()
    assert shop.pay(changed(document, {f"{ACCOUNT}.type": kind, CURRENCY: currency, ROUTED: routing})).said == said


# ---- what follows


def test_a_debit_is_refunded_in_parts_and_no_further(shop: Client) -> None:
    debit = shop.approved(shop.pay(echeck()))
    refund = shop.refund(debit, "60.00")
    assert refund.said == PENDING
    assert shop.refund(debit, "60.00").said == refused("INVALID_AMOUNT")
    assert shop.details(debit)["orderInformation"]["amountDetails"]["refundBalance"] == "40.00"
    shown = shop.details(refund.id)
    assert [each["name"] for each in shown["applicationInformation"]["applications"]] == ["ics_ecp_credit"]
    assert shown["paymentInformation"]["bank"]["account"]["suffix"] == "1828"
    assert shop.void(refund.id, "refunds").said == VOIDED
    assert shop.refund(debit, "100.00").said == PENDING


def test_a_debit_is_voided_before_its_settlement(shop: Client) -> None:
    debit = shop.approved(shop.pay(echeck()))
    assert shop.void(debit).said == VOIDED
    assert shop.void(debit).said == refused("NOT_VOIDABLE")
    assert shop.refund(debit, "1.00").said == refused("CAPTURE_ALREADY_VOIDED")
    assert shop.details(debit)["status"] == "VOIDED"
    assert moved(shop, debit) is None


def test_there_is_nothing_to_capture_to_release_or_to_increase(shop: Client) -> None:
    debit = shop.approved(shop.pay(echeck()))
    for _ in range(2):
        assert shop.capture(debit, "100.00").said == refused("MISSING_AUTH")
        assert shop.reverse(debit, "100.00").said == refused("MISSING_AUTH")
        assert shop.increase(debit, "1.00").said == refused("NOT_SUPPORTED")
        shop.service.settle(shop.merchant)


def test_a_settlement_transmits_it(service: Service) -> None:
    till = service.merchant("echeck_settled", "sandbox")
    debit, credit = till.approved(till.pay(echeck())), till.approved(till.credit(echeck()))
    voided = till.approved(till.pay(echeck()))
    till.void(voided)
    service.settle(till.merchant)
    for identifier in (debit, credit):
        shown = till.details(identifier)
        assert shown["status"] == shown["applicationInformation"]["status"] == "TRANSMITTED"
        assert shown["orderInformation"]["amountDetails"]["settlementAmount"] == "100.00"
    assert till.details(voided)["status"] == "VOIDED"
    assert till.void(debit).said == refused("NOT_VOIDABLE")
    assert till.refund(debit, "100.00").said == PENDING


def test_a_search_finds_accounts_and_cards_apart(service: Service) -> None:
    till = service.merchant("echeck_searched", "sandbox")
    debit = till.approved(till.pay(echeck("930000001111")))
    card = till.approved(till.pay(payment()))
    refund = till.approved(till.refund(debit, "1.00"))
    index(service)
    kind, suffix = "paymentInformation.paymentType.type", "paymentInformation.bank.account.suffix"
    assert set(found(search(till, f"{kind}:CHECK"))) == {debit, refund}
    assert found(search(till, f'{kind}:"credit card"')) == [card]
    assert set(found(search(till, f"{suffix}:1111"))) == {debit, refund}
    assert found(search(till, "paymentInformation.card.suffix:1111")) == [card]
    assert found(search(till, "applicationInformation.applications.name:ics_ecp_debit")) == [debit]
    assert found(search(till, "applicationInformation.applications.name:ics_bill")) == []
    assert found(search(till, "paymentInformation.bank.account.number:930000001111")) == []
    [summary] = search(till, f"id:{debit}").json["_embedded"]["transactionSummaries"]
    assert summary["paymentInformation"] == {
        "bank": {"account": {"type": "C", "suffix": "1111"}, "routingNumber": ROUTING},
        "paymentType": {"type": "check", "method": ""},
    }
    assert summary["processorInformation"]["processor"] == {"name": "paymentech"}


# ---- declines and refusals


@pytest.mark.parametrize(
    ("number", "routing", "reason"),
    [
        ("550111", "121107882", "GENERAL_DECLINE"),
        ("4101", ROUTING, "DECLINED_CHECK"),
        ("4102", ROUTING, "INSUFFICIENT_FUND"),
        ("4103", ROUTING, "ACH_VERIFICATION_FAILED"),
    ],
)
def test_accounts_that_are_declined(shop: Client, number: str, routing: str, reason: str) -> None:
    document = changed(echeck(number), {ROUTED: routing})
    debit = shop.pay(document)
    assert debit.said == declined(reason)
    assert shop.credit(document).said == declined(reason)
    assert shop.details(debit.id)["status"] == "DECLINED"
    assert shop.void(debit.id).said == refused("NOT_VOIDABLE")
    assert shop.refund(debit.id, "1.00").said == INVALID
    if number == "550111":
        text = "Decline - General decline by the processor."
        assert debit.json["errorInformation"]["message"] == text
        assert shop.pay(echeck(number)).said == PENDING  # at another bank it is another account


def test_amounts_that_decline_cards_do_not_decline_accounts(till: Client) -> None:
    assert till.pay(payment("1500.00")).said == declined("PROCESSOR_DECLINED")
    assert till.pay(echeck(amount="1500.00")).said == PENDING


@pytest.mark.parametrize(
    ("changes", "said", "fields"),
    [
        ({f"{ACCOUNT}.number": ABSENT}, MISSING, [f"{ACCOUNT}.number"]),
        ({f"{ACCOUNT}.type": None}, MISSING, [f"{ACCOUNT}.type"]),
        ({ROUTED: ""}, MISSING, [ROUTED]),
        ({"paymentInformation.bank": ABSENT}, MISSING, [f"{ACCOUNT}.number", f"{ACCOUNT}.type", ROUTED]),
        ({"orderInformation.billTo.country": ABSENT}, MISSING, ["orderInformation.billTo.country"]),
        (
            {"orderInformation.amountDetails.totalAmount": ABSENT},
            MISSING,
            ["orderInformation.amountDetails.totalAmount"],
        ),
        ({CURRENCY: ABSENT}, MISSING, [CURRENCY]),
        ({"orderInformation.amountDetails.totalAmount": "0"}, INVALID, ["orderInformation.amountDetails.totalAmount"]),
        ({f"{ACCOUNT}.number": "12x"}, INVALID, [f"{ACCOUNT}.number"]),
        ({f"{ACCOUNT}.number": "1" * 18}, INVALID, [f"{ACCOUNT}.number"]),
        ({f"{ACCOUNT}.number": {}}, INVALID, [f"{ACCOUNT}.number"]),
        ({f"{ACCOUNT}.type": "Z"}, INVALID, [f"{ACCOUNT}.type"]),
        ({ROUTED: "071923285"}, INVALID, [ROUTED]),
        ({ROUTED: "7192328"}, INVALID, [ROUTED]),
        ({ROUTED: "000000000"}, INVALID, [ROUTED]),
        (
            {"paymentInformation.bank": "x"},
            INVALID,
            [f"{ACCOUNT}.number", f"{ACCOUNT}.type", ROUTED, "paymentInformation.bank"],
        ),
        ({CURRENCY: "EUR"}, INVALID, [CURRENCY]),
        ({f"{OPTIONS}.secCode": "IAT"}, INVALID, [f"{OPTIONS}.secCode"]),
        ({f"{OPTIONS}.SECCode": "XX"}, INVALID, [f"{OPTIONS}.SECCode"]),
        ({f"{OPTIONS}.effectiveDate": "20260101"}, INVALID, [f"{OPTIONS}.effectiveDate"]),
        ({f"{OPTIONS}.settlementMethod": "Q"}, INVALID, [f"{OPTIONS}.settlementMethod"]),
        (
            {"processingInformation.japanPaymentOptions": {"paymentMethod": "10"}},
            INVALID,
            ["processingInformation.japanPaymentOptions"],
        ),
        ({"consumerAuthenticationInformation": {"cavv": "AAAA"}}, INVALID, ["consumerAuthenticationInformation"]),
        ({"paymentInformation.card.number": "4111111111111111"}, INVALID, ["paymentInformation.card.number"]),
        ({"processingInformation.actionList": ["CONSUMER_AUTHENTICATION"]}, refused("NOT_SUPPORTED"), []),
    ],
)
def test_what_is_refused_is_named(shop: Client, changes: Json, said: object, fields: list[str]) -> None:
    reply = shop.pay(changed(echeck(), changes))
    assert reply.said == said
    reasons = "MISSING_FIELD" if said == MISSING else "INVALID_DATA"
    assert reply.fields == [(path, reasons) for path in fields]


def test_what_says_nothing_of_a_card_is_no_reason_to_refuse(shop: Client) -> None:
    empty = {"consumerAuthenticationInformation": {"cavv": ""}, "processingInformation.japanPaymentOptions": {}}
    assert shop.pay(changed(echeck(), {**empty, "paymentInformation.card": {}})).said == PENDING
    assert (
        shop.pay(changed(payment(), {"paymentInformation.bank": {"swiftCode": "XXXX"}})).json["status"] == "AUTHORIZED"
    )


@pytest.mark.parametrize("code", ["ARC", "CCD", "POP", "PPD", "TEL", "WEB"])
def test_every_way_of_authorizing_is_taken_and_shown(shop: Client, code: str) -> None:
    for name in ("secCode", "SECCode"):
        reply = shop.pay(changed(echeck(), {f"{OPTIONS}.{name}": code}))
        assert shop.details(reply.id)["processingInformation"]["bankTransferOptions"] == {"secCode": code}


@pytest.mark.parametrize(("days", "said"), [(0, PENDING), (45, PENDING), (47, INVALID), (-2, INVALID)])
def test_the_effective_date_is_within_45_days(shop: Client, days: int, said: object) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=days):%m%d%Y}"
    assert shop.pay(changed(echeck(), {f"{OPTIONS}.effectiveDate": day})).said == said


def test_japanese_acquirers_take_no_bank_accounts(smcc: Client, jcn: Client) -> None:
    for till in (smcc, jcn):
        assert till.pay(echeck()).said == refused("NOT_SUPPORTED")
        assert till.credit(echeck()).said == refused("NOT_SUPPORTED")


def test_a_refund_names_no_card(shop: Client) -> None:
    debit = shop.approved(shop.pay(echeck()))
    document = amount_of("1.00") | {"paymentInformation": {"card": {"number": "4111111111111111"}}}
    assert shop.post(f"/pts/v2/payments/{debit}/refunds", document).said == INVALID


# ---- tokens


def stored(shop: Client, number: str, kind: str = "savings") -> tuple[str, str, str]:
    """A customer with a bank account: customer, payment instrument, instrument identifier."""
    document = {"bankAccount": {"number": number, "routingNumber": ROUTING}}
    identifier = made(shop.post(NUMBERS, document))["id"]
    customer = made(shop.post(CUSTOMERS, {}))["id"]
    owned = {"bankAccount": {"type": kind}, "instrumentIdentifier": {"id": identifier}, "billTo": BILL_TO}
    instrument = made(shop.post(f"{CUSTOMERS}/{customer}/payment-instruments", owned))["id"]
    return customer, instrument, identifier


@pytest.mark.parametrize("name", ["customer", "paymentInstrument", "instrumentIdentifier"])
@pytest.mark.parametrize("says", [{}, {"paymentType": {"name": "CHECK"}}])
def test_a_stored_account_pays_and_is_paid(shop: Client, name: str, says: Json) -> None:
    number = fresh()
    customer, instrument, identifier = stored(shop, number)
    token = {"customer": customer, "paymentInstrument": instrument, "instrumentIdentifier": identifier}[name]
    document = by_token(**{name: token})
    if name != "instrumentIdentifier":
        del document["orderInformation"]["billTo"]  # the token brings it
    document["paymentInformation"] |= says
    for reply in (shop.pay(document), shop.credit(document)):
        assert reply.said == PENDING
        assert reply.json["paymentInformation"]["instrumentIdentifier"] == {"id": identifier, "state": "ACTIVE"}
        bank = shop.details(reply.id)["paymentInformation"]["bank"]
        kind = "C" if name == "instrumentIdentifier" else "S"
        assert bank == {"account": {"type": kind, "suffix": number[-4:]}, "routingNumber": ROUTING}
    assert shop.refund(shop.pay(document).id, "12.00").said == PENDING


def test_a_stored_account_alone_needs_an_address(shop: Client) -> None:
    _, _, identifier = stored(shop, fresh())
    document = changed(by_token(instrumentIdentifier=identifier), {"orderInformation.billTo": ABSENT})
    assert shop.pay(document).said == MISSING
    assert shop.pay(changed(by_token(instrumentIdentifier=identifier), {f"{ACCOUNT}.type": "X"})).said == PENDING


def test_a_legacy_token_is_a_payment_instrument(shop: Client) -> None:
    _, instrument, _ = stored(shop, fresh())
    assert shop.pay(by_token(legacyToken=instrument)).said == PENDING


def test_a_stored_account_takes_the_rules_of_accounts(shop: Client) -> None:
    customer, _, _ = stored(shop, fresh(), kind="general ledger")
    assert shop.pay(by_token(customer=customer)).fields == [(f"{ACCOUNT}.type", "INVALID_DATA")]
    wrong = made(shop.post(NUMBERS, {"bankAccount": {"number": fresh(), "routingNumber": "12"}}))["id"]
    assert shop.pay(by_token(instrumentIdentifier=wrong)).fields == [(ROUTED, "INVALID_DATA")]
    _, _, identifier = stored(shop, fresh())
    options = {"processingInformation.japanPaymentOptions": {"paymentMethod": "10"}}
    assert shop.pay(changed(by_token(instrumentIdentifier=identifier), options)).said == INVALID


def test_the_account_of_a_request_goes_before_a_token(shop: Client) -> None:
    customer, _, _ = stored(shop, fresh())
    number = fresh()
    reply = shop.pay(changed(echeck(number), {"paymentInformation.customer": {"id": customer}}))
    assert reply.said == PENDING
    assert reply.json["paymentInformation"] == {"customer": {"id": customer}}
    assert shop.details(reply.id)["paymentInformation"]["bank"]["account"]["suffix"] == number[-4:]


def test_a_debit_makes_tokens_that_pay(shop: Client) -> None:
    number = fresh()
    actions = {"actionList": ["TOKEN_CREATE"], "bankTransferOptions": {"secCode": "WEB"}}
    document = changed(echeck(number), {"processingInformation": actions, f"{ACCOUNT}.type": "X"})
    told = shop.pay(document).json["tokenInformation"]
    assert told["instrumentidentifierNew"] is True
    identifier, instrument = told["instrumentIdentifier"]["id"], told["paymentInstrument"]["id"]
    assert len(identifier) == 32
    shown = made(shop.call("GET", f"{NUMBERS}/{identifier}"), 200)
    assert shown["bankAccount"] == {"number": "X" * len(number), "routingNumber": ROUTING}
    owned = made(shop.call("GET", f"{CUSTOMERS}/{told['customer']['id']}/payment-instruments/{instrument}"), 200)
    assert owned["bankAccount"] == {"type": "corporate checking"}
    assert owned["processingInformation"] == {"bankTransferOptions": {"SECCode": "WEB"}}
    assert owned["billTo"]["lastName"] == "Suzuki"
    assert "card" not in owned
    again = shop.pay(document).json["tokenInformation"]
    assert (again["instrumentidentifierNew"], again["instrumentIdentifier"]["id"]) == (False, identifier)
    assert (
        made(shop.post(NUMBERS, {"bankAccount": {"number": number, "routingNumber": ROUTING}}), 200)["id"] == identifier
    )
    assert shop.pay(by_token(customer=told["customer"]["id"])).said == PENDING


def test_a_declined_debit_makes_no_token(shop: Client) -> None:
    document = changed(echeck("4101"), {"processingInformation.actionList": ["TOKEN_CREATE"]})
    reply = shop.pay(document)
    assert reply.said == declined("DECLINED_CHECK")
    assert "tokenInformation" not in reply.json


def test_the_account_of_another_merchant_is_unknown_to_the_byte(service: Service, shop: Client) -> None:
    stranger = service.merchant("echeck_stranger", "vpc")
    _, _, identifier = stored(shop, fresh())

    def told(token: str) -> tuple[int, list[tuple[str, str]]]:
        reply = stranger.pay(by_token(instrumentIdentifier=token))
        return reply.status, reply.fields

    assert told(identifier) == told("F" * 32) == (400, [("paymentInformation.instrumentIdentifier.id", "INVALID_DATA")])
    debit = shop.approved(shop.pay(echeck()))
    for path in ("refunds", "voids", "captures", "reversals"):
        body = reversal_of("1.00", currency="USD") if path == "reversals" else amount_of("1.00")
        asked = [stranger.post(f"/pts/v2/payments/{each}/{path}", body) for each in (debit, "7000000000006000103001")]
        assert asked[0].said == asked[1].said
        assert asked[0].fields == asked[1].fields
    assert stranger.call("GET", f"/tss/v2/transactions/{debit}").status == 404


# ---- repeats, races, unknown outcomes


def test_a_keyed_repeat_debits_once(shop: Client) -> None:
    number = fresh()
    first, again = (shop.pay(echeck(number), Idempotency_Key=f"once-{number}") for _ in range(2))
    assert first.body == again.body
    assert again.headers["kessai-replayed"] == "true"
    assert shop.pay(echeck(fresh()), Idempotency_Key=f"once-{number}").said == refused("DUPLICATE_REQUEST")


def test_refunds_at_once_return_no_more_than_was_debited(shop: Client) -> None:
    debit = shop.approved(shop.pay(echeck()))
    said = [reply.said for reply in at_once(*[lambda: shop.refund(debit, "40.00")] * 8)]
    assert said.count(PENDING) == 2
    assert said.count(refused("INVALID_AMOUNT")) == 6


def test_of_a_refund_and_a_void_at_once_one_wins(shop: Client) -> None:
    for _ in range(5):
        debit = shop.approved(shop.pay(echeck()))
        replies = at_once(partial(shop.refund, debit, "100.00"), partial(shop.void, debit))
        assert sorted(reply.status for reply in replies) == [201, 400]


@pytest.mark.parametrize("scenario", ["time-out", "no-answer", "late-answer", "answer-lost"])
def test_an_unknown_debit_is_undone(shop: Client, scenario: str) -> None:
    reply = shop.pay(echeck(fresh()), Kessai_Scenario=scenario)
    assert reply.said == TIMED_OUT
    shop.service.until_quiet()
    assert moved(shop, reply.id) is None
    assert shop.details(reply.id)["status"] == "SERVER_ERROR"
    assert shop.refund(reply.id, "1.00").status == 400


@pytest.mark.parametrize("scenario", ["time-out", "late-answer", "answer-lost"])
def test_an_unknown_credit_is_done_once(shop: Client, scenario: str) -> None:
    reply = shop.credit(echeck(fresh()), Kessai_Scenario=scenario)
    assert reply.said == TIMED_OUT
    shop.service.until_quiet()
    assert moved(shop, reply.id) == 10_000
    assert shop.details(reply.id)["status"] == "PENDING"


@pytest.mark.parametrize("way", ["reversals", "voids"])
def test_a_merchant_that_saw_no_answer_undoes_by_its_own_id(shop: Client, way: str) -> None:
    own = f"MTI{random.randrange(10**12)}"
    reply = shop.pay(echeck(fresh()) | named(own), Kessai_Scenario="answer-lost")
    assert reply.said == TIMED_OUT
    undone = shop.post(
        f"/pts/v2/{way}", named(own) | (reversal_of("100.00", currency="USD") if way == "reversals" else {})
    )
    assert undone.status == 201
    shop.service.until_quiet()
    assert moved(shop, reply.id) is None


def test_an_account_that_times_out_is_a_trigger(shop: Client) -> None:
    assert shop.pay(echeck("4104")).said == TIMED_OUT
    shop.service.until_quiet()


def test_an_outcome_of_cards_is_none_of_accounts(shop: Client) -> None:
    reply = shop.pay(echeck(), Kessai_Scenario="partial-approval")
    assert reply.said == (502, "SERVER_ERROR", "SYSTEM_ERROR")
    assert moved(shop, reply.id) is None


def test_the_books_bear_all_of_it_and_the_acquirer_agrees(shop: Client) -> None:
    service = shop.service
    service.until_quiet()
    service.assert_books()
    book = service.house.folder / verify.BOOK
    looked = verify.verify(service.house.database, now=service.house.clock(), deadline_s=0.3, book=book)
    findings = [each for each in service.run(looked).findings if each.merchant.startswith("echeck")]
    assert findings == []
