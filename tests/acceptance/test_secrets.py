"""Card numbers and security codes go through everything, and afterwards they are nowhere. A-67, PCI DSS 3.3.1."""

import asyncio
import base64
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from kessai.storage.compact import unpack
from kessai.storage.sqlite import connect
from tests import postgres
from tests.acceptance.client import Client, Json, Service, amount_of, changed, japanese, payment, reversal_of
from tests.acceptance.test_echecks import echeck

PANS = ("4622943127013713", "5454545454545454", "371449635398431", "3530111333300000", "6011000990139424")
"""Numbers of several brands that no other test uses."""
CODE = "7391"
"""The security code of every request here."""
TRACK = f";{PANS[0]}=31122010000012300000?"
ORDER = "4556737586899855"
"""A card number sent in wrong places only."""

ACCOUNT = "93017654820135"
"""The number of a bank account that pays."""


PACKED = "SELECT particulars, answer FROM transactions"


def forms(digits: str) -> Iterator[tuple[str, bytes]]:
    """How a number might lie in a file."""
    plain = digits.encode()
    yield "plain", plain
    yield "backwards", plain[::-1]
    for name in ("utf-16-le", "utf-16-be"):
        yield name, digits.encode(name)
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    for shift in range(3):  # as it stands inside of a longer base64 text
        padded = base64.b64encode(bytes(shift) + plain)
        yield f"base64 at {shift}", padded[(shift * 8 + 5) // 6 : (shift + len(plain)) * 8 // 6]
    packed = bytes.fromhex(digits + "f" * (len(digits) % 2))
    yield "BCD", packed
    yield "reversed BCD", bytes((octet >> 4) | (octet & 15) << 4 for octet in packed)
    yield "BCD backwards", packed[::-1]
    yield "integer", int(digits).to_bytes(8, "big").lstrip(b"\0")
    yield "integer, little-endian", int(digits).to_bytes(8, "little").rstrip(b"\0")


def card(number: str, **more: str) -> Json:
    """A payment by a card with its security code; `more` are members of the card."""
    changes = {f"paymentInformation.card.{name}": value for name, value in more.items()}
    return changed(payment(number=number), {"paymentInformation.card.securityCode": CODE, **changes})


def through_everything(till: Client) -> None:
    """Every operation, decline, error and wrong field that has a card number in it."""
    for number in PANS:
        made = till.pay(card(number), Idempotency_Key=f"k-{number[-4:]}").id
        till.pay(card(number), Idempotency_Key=f"k-{number[-4:]}")
        taken = till.capture(made, "50.00").id
        till.refund(taken, "1.00", of="captures")
        document = amount_of("1.00") | {"paymentInformation": {"card": {"number": number, "securityCode": CODE}}}
        till.post(f"/pts/v2/captures/{taken}/refunds", document)
        till.reverse(made, "1.00")
        till.void(taken, "captures")
        till.credit(card(number))
        till.details(made)
        till.call("GET", f"/pts/v2/payments/{made}")
        for name in ("general-decline", "answer-lost", "late-answer", "system-error", "risk-reject-before"):
            till.pay(card(number), Kessai_Scenario=name)
        for bad in ("paymentInformation.card.expirationMonth", "orderInformation.amountDetails.totalAmount"):
            till.pay(changed(card(number), {bad: number}))
        till.pay(card(number, type="024"))
        till.pay(card(number, expirationYear="2020"))
        token = {"paymentInformation": {"tokenizedCard": {"number": number, "expirationMonth": 12}}}
        till.pay(payment() | token)
        till.call("POST", "/pts/v2/payments", body=f'{{"card":"{number}","code":"{CODE}",'.encode())


def account_everywhere(till: Client) -> None:
    """Every operation, decline, error and wrong field that has the number of a bank account in it."""
    number = {"paymentInformation.bank.account.number": ACCOUNT}
    document = changed(echeck(ACCOUNT), {"processingInformation.actionList": ["TOKEN_CREATE"]})
    debit = till.approved(till.pay(document, Idempotency_Key="account-1"))
    assert till.pay(document, Idempotency_Key="account-1").id == debit
    till.pay(echeck(ACCOUNT), Idempotency_Key="account-1")
    till.post(f"/pts/v2/payments/{debit}/refunds", changed(amount_of("1.00"), number))
    till.void(debit)
    till.void(till.credit(echeck(ACCOUNT)).id, "credits")
    for name in ("general-decline", "invalid-account", "answer-lost", "late-answer", "system-error"):
        till.pay(echeck(ACCOUNT), Kessai_Scenario=name)
        till.credit(echeck(ACCOUNT), Kessai_Scenario=name)
    for bad in ("routingNumber", "iban", "account.iban", "account.type", "accountAlias.id"):
        till.pay(changed(echeck(ACCOUNT), {f"paymentInformation.bank.{bad}": ACCOUNT}))
    till.pay(changed(echeck(ACCOUNT), {"paymentInformation.card.number": "4111111111111111"}))
    till.pay(changed(echeck(ACCOUNT), {"orderInformation.amountDetails.currency": "JPY"}))
    till.post("/tms/v1/instrumentidentifiers", {"bankAccount": {"number": ACCOUNT, "routingNumber": "071923284"}})
    till.details(debit)
    for query in (f"suffix:{ACCOUNT[-4:]}", f"number:{ACCOUNT}", f'prefix:"{ACCOUNT}"'):
        document = {"query": f"paymentInformation.bank.account.{query}", "save": True, "name": "account"}
        assert ACCOUNT.encode() not in till.post("/tss/v2/searches", document).body


def in_wrong_places(till: Client) -> None:
    """A card number where none belongs; what the wire says again, it says once."""
    code = {"clientReferenceInformation": {"code": ORDER, "comments": ORDER, "transactionId": ORDER}}
    paid = till.pay(payment() | code, Idempotency_Key=ORDER)
    assert paid.json["clientReferenceInformation"]["code"] == ORDER
    assert ORDER not in str(till.details(paid.id))
    assert ORDER not in till.call("GET", f"/pts/v2/payments/{paid.id}").body.decode()
    taken = till.post(f"/pts/v2/payments/{paid.id}/captures", amount_of("1.00") | code)
    comments = {"clientReferenceInformation": {"comments": ORDER}}
    said = till.post(f"/pts/v2/payments/{paid.id}/captures", amount_of("1.00") | comments)
    assert said.json["clientReferenceInformation"]["comments"] == ORDER
    till.post("/pts/v2/reversals", code | reversal_of("1.00"))
    till.post("/pts/v2/voids", code)
    till.post(f"/pts/v2/captures/{taken.id}/voids", code)
    names = dict.fromkeys(("firstName", "lastName", "address1", "locality", "company", "email", "phoneNumber"), ORDER)
    for path, value in (
        ("orderInformation.billTo", payment()["orderInformation"]["billTo"] | names),
        ("orderInformation.invoiceDetails", {"purchaseOrderNumber": ORDER, "salesSlipNumber": ORDER}),
        ("orderInformation.lineItems", [{"productName": ORDER, "unitPrice": "1"}]),
        ("merchantDefinedInformation", [{"key": "1", "value": ORDER}, {"key": ORDER, "value": int(ORDER)}]),
        ("merchantInformation.merchantDescriptor", {"name": ORDER, "url": ORDER}),
        ("deviceInformation.fingerprintSessionId", ORDER),
        ("processingInformation.commerceIndicator", ORDER),
        ("processingInformation.linkId", ORDER),
        ("unknown", {ORDER: ORDER}),
        ("pointOfSaleInformation", {"entryMode": "swiped", "trackData": TRACK}),
    ):
        till.pay(changed(payment(), {path: value}))
    till.pay({**payment(), "paymentInformation": {}, "pointOfSaleInformation": {"trackData": TRACK}})
    shop = {"businessName": ORDER, "businessNameKatakana": ORDER, "businessNameAlphaNumeric": ORDER}
    japan = till.service.till("kessai_smcc")
    shown = japan.pay(changed(japanese(), {"processingInformation.japanPaymentOptions": shop}))
    assert ORDER not in str(japan.details(shown.id))
    japan.pay(changed(japanese(), {"orderInformation.invoiceDetails": {"salesSlipNumber": ORDER}}))
    for path in ("/pts/v2/payments/{}/captures", "/pts/v2/payments/{}/voids", "/pts/v2/{}/refunds"):
        till.post(path.format(ORDER), amount_of("1"))
    till.call("GET", f"/tss/v2/transactions/{ORDER}")
    till.call("GET", f"/tss/v2/transactions/{ORDER}?card={ORDER}")
    for header in ("v_c_correlation_id", "user_agent", "Kessai_Scenario", "v_c_client_id", "referer"):
        till.pay(None, **{header: ORDER})
    till.send("POST", "/pts/v2/payments", b"{}", till.signed("POST", "/pts/v2/payments") | {"v-c-merchant-id": ORDER})
    till.send("POST", "/pts/v2/payments", b"{}", {"authorization": f"Bearer {ORDER}.{ORDER}.{ORDER}"})


@pytest.fixture(scope="module")
def places(service: Service) -> dict[str, bytes]:
    """Everything that is left behind: each file of the data folder, the rows on a server, and the log."""
    till = service.till()
    through_everything(till)
    in_wrong_places(till)
    account_everywhere(till)
    service.until_quiet()
    found = {str(file.name): file.read_bytes() for file in service.house.folder.rglob("*") if file.is_file()}
    if service.database:
        found |= asyncio.run(postgres.copies(service.database))
        packed = [*asyncio.run(postgres.rows(service.database, PACKED))]
    else:
        with closing(connect(service.house.folder / "kessai.db")) as rows:
            packed = rows.execute(PACKED).fetchall()
    unpacked = b"\n".join(unpack(value) for row in packed for value in row if isinstance(value, bytes))
    return found | {"what rows keep packed": unpacked, "the log": service.logs.getvalue().encode()}


def test_the_search_looks_where_something_is(service: Service, places: dict[str, bytes]) -> None:
    kept = {"payments", "transactions", "events"} if service.database else {"kessai.db", "kessai.db-wal"}
    assert kept | {"the log"} <= set(places)
    assert b"AOZORA" in places["what rows keep packed"]
    assert len(places["the log"]) > 10_000


def test_the_search_finds_what_is_hidden() -> None:
    hidden = base64.b64encode(b"xx" + PANS[0].encode() + b"yyy")
    assert any(form in hidden for _, form in forms(PANS[0]))
    assert any(form in bytes.fromhex(PANS[0]) for _, form in forms(PANS[0]))


@pytest.mark.parametrize("number", [*PANS, ORDER, ACCOUNT])
def test_no_card_number_is_left_anywhere_in_any_form(places: dict[str, bytes], number: str) -> None:
    found = [(place, name) for place, data in places.items() for name, form in forms(number) if form in data]
    assert found == []


def test_no_security_code_and_no_track_is_left_anywhere(places: dict[str, bytes]) -> None:
    # Not among hexadecimal digits: the groups of a UUID have every four of them sooner or later.
    code = re.compile(rb"(?<![0-9A-Fa-f-])" + CODE.encode() + rb"(?![0-9A-Fa-f-])")
    wide = CODE.encode("utf-16-le")
    for place, data in places.items():
        assert code.search(data) is None, place
        assert wide not in data, place
        assert TRACK[18:-1].encode() not in data, place
