"""eChecks over a real socket: bank accounts that pay and are paid, by number and by token, and what is refused."""

import pytest

from tests.acceptance.client import BILL_TO, PENDING, VOIDED, Client, Json, amount_of, changed, refused

ROUTING = "071923284"


def echeck(number: str = "4100271828", amount: str = "100", **changes: object) -> Json:
    document: Json = {
        "clientReferenceInformation": {"code": "TC50171_3"},
        "paymentInformation": {
            "paymentType": {"name": "CHECK"},
            "bank": {"account": {"type": "C", "number": number}, "routingNumber": ROUTING},
        },
        "orderInformation": {
            "amountDetails": {"totalAmount": amount, "currency": "USD"},
            "billTo": dict(BILL_TO),
        },
    }
    return changed(document, {path.replace("__", "."): value for path, value in changes.items()})


def test_a_debit_is_pending(till: Client) -> None:
    reply = till.pay(echeck())
    assert reply.said == PENDING
    print(reply.body)
    print(till.details(reply.id))
    assert till.refund(reply.id, "40.00").said == PENDING
