"""The demonstration: the flows of the documents as a table, run against a gateway, with what each leaves behind.

`EXAMPLE` is one request to paste; `STEPS` are the rows, in order; `run` performs them with the two functions that it is
given, one that sends a request and one that tells a payment's story, as `over` makes them from a connection and a data
folder. Waits only for clean-ups.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from kessai import admin, client
from kessai.client import Answer, Request
from kessai.dialects.cybersource.auth import SharedSecret
from kessai.edge import EXPLANATION
from kessai.payment.card import Pan
from kessai.sandbox import HEADER

UNAUTHORIZED: Final = 401

CLEAN_UP_S: Final = 15.0
"""How long a clean-up may take before the step has failed."""

Json = dict[str, Any]
Ask = Callable[[str, Request], Answer]
"""Send a request as a merchant."""
Tell = Callable[[str], Mapping[str, Any] | None]
"""The story of a payment, by the id of one of its transactions; None where it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of a flow, and how it is to end."""

    title: str
    merchant: str
    path: str
    """Where to; `{name}` is the id that the step of this name was answered with, here and in the document.
    `{name_token}` is the stored payment method of it, `{name_cybersource}` its id on the CyberSource wire."""
    document: Json
    expects: tuple[int, str]
    """HTTP status, and the `status` of the body; on the PaymentOptions wire the code of `gateway_response`."""
    name: str = ""
    scenario: str | None = None
    cleaned_up: str = ""
    """The operation with which the gateway is to undo the step, approved, before the step is over."""


_CARD: Final = {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2031"}
_BILL_TO: Final = {
    "firstName": "Hanako",
    "lastName": "Yamada",
    "address1": "1-1 Chiyoda",
    "locality": "Chiyoda-ku",
    "administrativeArea": "Tokyo",
    "postalCode": "100-0001",
    "country": "JP",
    "email": "hanako@example.com",
}
_SHOP: Final = {
    "businessName": "青空商店",
    "businessNameKatakana": "アオゾラショウテン",
    "businessNameAlphaNumeric": "AOZORA",
}

PAYMENTS: Final = "/pts/v2/payments"


def _amount(total: str, currency: str) -> Json:
    return {"orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}}}


def _payment(reference: str, total: str, currency: str, **processing: object) -> Json:
    document: Json = {
        "clientReferenceInformation": {"code": reference},
        "orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}, "billTo": _BILL_TO},
        "paymentInformation": {"card": _CARD},
    }
    return document | ({"processingInformation": processing} if processing else {})


def _option(title: str, reference: str, total: str, **option: object) -> Step:
    """An authorization with a Japanese payment option, of the merchant that has a contract for them."""
    return Step(
        title=title,
        merchant="kessai_smcc",
        path=PAYMENTS,
        document=_payment(reference, total, "JPY", japanPaymentOptions={**option, **_SHOP}),
        expects=(201, "AUTHORIZED"),
    )


# As the installment document prints it: the method code is that of a combination, and `firstBusinessMonth` is a member
# that the wire does not know. Both have to be accepted.
_DOCUMENT: Final = {
    "orderInformation": {
        "billTo": {
            "country": "US",
            "lastName": "Kim",
            "address1": "201 S. Division St.",
            "postalCode": "48104-2201",
            "locality": "Ann Arbor",
            "administrativeArea": "MI",
            "firstName": "Kyong-Jin",
            "email": "test@cybs.com",
        },
        "amountDetails": {"totalAmount": "100.00", "currency": "jpy"},
    },
    "paymentInformation": {"card": {**_CARD, "type": "001"}},
    "processingInformation": {
        "japanPaymentOptions": {
            "businessName": "我社",
            "businessNameAlphaNumeric": "OurStore",
            "businessNameKatakana": "わが社の場合",
            "firstBusinessMonth": "04",
            "installments": "12",
            "paymentMethod": "31",
        }
    },
}

_CARD_FLOW: Final = "kessai_sandbox"
_SERVER: Final = "/api/v1/server-to-server-interface"
_OPTIONS_CARD: Final = {
    "number": "5200000000001005",
    "name": "Hanako Yamada",
    "expiry_month": "12",
    "expiry_year": "31",
    "cvc": "100",
}
_OPTIONS: Final = {
    "amount": "1000",
    "currency": "JPY",
    "merchant_id": _CARD_FLOW,
    "merchant_txn_ref": "demo-options",
    "customer_ip": "192.0.2.10",
    "billing_address": {
        "country": "JP",
        "email": "hanako@example.com",
        "phone_number": "81312345678",
        "address1": "1-1 Chiyoda",
        "city": "Chiyoda-ku",
        "state": "Tokyo",
        "postal_code": "1000001",
    },
}

STEPS: Final[tuple[Step, ...]] = (
    Step(
        title="Authorize a card",
        name="authorization",
        merchant=_CARD_FLOW,
        path=PAYMENTS,
        document=_payment("demo-card", "102.21", "USD"),
        expects=(201, "AUTHORIZED"),
    ),
    Step(
        title="Capture it",
        name="capture",
        merchant=_CARD_FLOW,
        path=PAYMENTS + "/{authorization}/captures",
        document=_amount("102.21", "USD"),
        expects=(201, "PENDING"),
    ),
    Step(
        title="Refund a part",
        name="refund",
        merchant=_CARD_FLOW,
        path="/pts/v2/captures/{capture}/refunds",
        document=_amount("10.00", "USD"),
        expects=(201, "PENDING"),
    ),
    Step(
        title="Void the refund before it is settled",
        merchant=_CARD_FLOW,
        path="/pts/v2/refunds/{refund}/voids",
        document={"clientReferenceInformation": {"code": "demo-void"}},
        expects=(201, "VOIDED"),
    ),
    _option("Japan: single payment", "demo-single", "12000", paymentMethod="10"),
    _option("Japan: bonus payment", "demo-bonus", "60000", paymentMethod="21"),
    _option("Japan: 12 installments", "demo-installments", "120000", paymentMethod="61", installments="12"),
    Step(
        title="Japan: installments, the document's own request",
        merchant="kessai_smcc",
        path=PAYMENTS,
        document=_DOCUMENT,
        expects=(201, "AUTHORIZED"),
    ),
    _option("Japan: revolving payment", "demo-revolving", "50000", paymentMethod="80"),
    _option(
        "Japan: 12 installments with bonus",
        "demo-combination",
        "120000",
        paymentMethod="34",
        installments="12",
        bonuses=[{"month": "8", "amount": "30000"}, {"month": "1", "amount": "30000"}],
    ),
    Step(
        title="Credit a card, with no payment before it",
        merchant=_CARD_FLOW,
        path="/pts/v2/credits",
        document=_payment("demo-credit", "1.00", "USD"),
        expects=(201, "PENDING"),
    ),
    Step(
        title="PaymentOptions: pay, and keep the card",
        name="sold",
        merchant=_CARD_FLOW,
        path=_SERVER + "/payment",
        document=_OPTIONS | {"card": _OPTIONS_CARD, "payment_method": {"type": "scheme", "store_payment_method": True}},
        expects=(201, "INFO0000"),
    ),
    Step(
        title="PaymentOptions: hold an amount on the stored card",
        name="held",
        merchant=_CARD_FLOW,
        path=_SERVER + "/authorization",
        document=_OPTIONS | {"payment_method": {"type": "scheme", "stored_payment_method_id": "{sold_token}"}},
        expects=(201, "INFO0000"),
    ),
    Step(
        title="PaymentOptions: capture it",
        name="taken",
        merchant=_CARD_FLOW,
        path=_SERVER + "/capture",
        document={"transactionId": "{held}", "amount": 1000, "merchant_id": _CARD_FLOW},
        expects=(201, "INFO0001"),
    ),
    Step(
        title="PaymentOptions: refund a part",
        merchant=_CARD_FLOW,
        path=_SERVER + "/refund",
        document={"transactionId": "{taken}", "amount": 400, "merchant_id": _CARD_FLOW},
        expects=(201, "INFO0002"),
    ),
    Step(
        title="Paid on one wire, refunded on the other",
        merchant=_CARD_FLOW,
        path=PAYMENTS + "/{sold_cybersource}/refunds",
        document=_amount("1000", "JPY"),
        expects=(201, "PENDING"),
    ),
    Step(
        title="A decline, which is an answer and no error",
        merchant=_CARD_FLOW,
        path=PAYMENTS,
        document=_payment("demo-decline", "100.00", "USD"),
        expects=(201, "DECLINED"),
        scenario="insufficient-funds",
    ),
    Step(
        title="The acquirer's answer is lost: unknown at first, then undone",
        merchant=_CARD_FLOW,
        path=PAYMENTS,
        document=_payment("demo-lost", "50.00", "USD"),
        expects=(502, "SERVER_ERROR"),
        scenario="answer-lost",
        cleaned_up="reversal",
    ),
)

EXAMPLE: Final = """{
  "clientReferenceInformation": {"code": "order-1"},
  "orderInformation": {
    "amountDetails": {"totalAmount": "120000", "currency": "JPY"},
    "billTo": {"firstName": "Hanako", "lastName": "Yamada", "address1": "1-1 Chiyoda",
               "locality": "Chiyoda-ku", "country": "JP", "email": "hanako@example.com"}
  },
  "paymentInformation": {
    "card": {"number": "4111111111111111", "expirationMonth": "12", "expirationYear": "2031"}
  },
  "processingInformation": {
    "japanPaymentOptions": {"paymentMethod": "61", "installments": "12"}
  }
}"""
"""A whole request: 120,000 yen in 12 installments."""


def run(ask: Ask, tell: Tell) -> Iterator[Json]:
    """Perform every step; each result as it comes, with `ok` where the step ended as it was to end.

    A step that needs the id of one that failed is not sent, and not ok. A first request that is not let in is the last.
    """
    ids: dict[str, str] = {}
    for step in STEPS:
        try:
            path, document = step.path.format_map(ids), _filled(step.document, ids)
        except KeyError:
            yield _result(step, step.path, None, None, is_undone=False)
            continue
        headers = ((HEADER, step.scenario),) if step.scenario else ()
        body = json.dumps(document, ensure_ascii=False).encode()
        answer = ask(step.merchant, Request(method="POST", target=path, body=body, headers=headers))
        identifier = _identifier(answer.document)
        story = tell(identifier) if identifier else None
        if step.name and identifier:
            ids |= _named(step.name, identifier, answer.document, story)
        is_undone = True
        if step.cleaned_up and story is not None:
            story, is_undone = _until_cleaned_up(step, identifier, tell)
        yield _result(step, path, answer, story, is_undone=is_undone)
        if answer.status == UNAUTHORIZED:
            return  # with the wrong keys every other step would end the same


def over(connection: httpx.Client, folder: Path, database: str | None = None) -> tuple[Ask, Tell]:
    """What `run` needs: keys out of a data folder, stories from the gateway that serves it, where one does."""
    keys: dict[str, SharedSecret] = {}
    bearers: dict[str, dict[str, str]] = {}

    def ask(merchant: str, request: Request) -> Answer:
        if client.is_bearers(request.target):
            if merchant not in bearers:
                bearers[merchant] = client.bearer(folder, merchant, database)
            return client.send_bearer(connection, request, bearers[merchant])
        if merchant not in keys:
            keys[merchant] = client.key(folder, merchant, database)
        return client.send(connection, request, merchant, keys[merchant])

    def tell(transaction: str) -> Mapping[str, Any] | None:
        answer = admin.call_over_there(folder, "payment show", {"transaction": transaction})
        return answer.get("result") if answer is not None else None

    return ask, tell


def _until_cleaned_up(step: Step, identifier: str, tell: Tell) -> tuple[Mapping[str, Any] | None, bool]:
    """The story once the gateway has undone the step; whether it has."""
    deadline = time.monotonic() + CLEAN_UP_S
    while True:
        story = tell(identifier)
        if story is not None and any(tx["status"] == "approved" for tx in _undoing(story, step.cleaned_up)):
            return story, True
        if time.monotonic() > deadline:
            return story, False
        time.sleep(0.1)


def _undoing(story: Mapping[str, Any], operation: str) -> list[Any]:
    return [tx for tx in story["transactions"] if operation and tx["operation"] == operation]


def _result(step: Step, path: str, answer: Answer | None, story: Mapping[str, Any] | None, *, is_undone: bool) -> Json:
    """A step as it is shown. The ledger is that of its own transaction; the schedule that of its payment."""
    body = answer.document if answer is not None else None
    status = answer.status if answer is not None else 0
    identifier = _identifier(body)
    own = _own(story, identifier) if story is not None else []
    return {
        "title": step.title,
        "merchant": step.merchant,
        "request": {
            "method": "POST",
            "path": path,
            "scenario": step.scenario,
            "body": _masked(step.document),
        },
        "answer": {
            "status": status,
            "phrase": answer.phrase if answer is not None else "not sent",
            "explanation": answer.headers.get(EXPLANATION) if answer is not None else None,
            "body": body,
        },
        "expected": f"{step.expects[0]} {step.expects[1]}",
        "ok": (status, _ending(body)) == step.expects and is_undone,
        "currency": story["currency"] if story is not None else None,
        "ledger": own[0]["entries"] if own else [],
        "clean_up": _undoing(story, step.cleaned_up) if story is not None else [],
        "schedule": story["schedule"] if story is not None else None,
    }


def _member(document: object, name: str) -> str:
    return str(document.get(name, "")) if isinstance(document, dict) else ""


def _part(document: object, name: str) -> object:
    return document.get(name) if isinstance(document, dict) else None


def _identifier(document: object) -> str:
    """The id of the transaction that an answer is about, on either wire."""
    return _member(document, "id") or _member(_part(document, "transaction_details"), "id")


def _ending(document: object) -> str:
    return _member(document, "status") or _member(_part(document, "gateway_response"), "code")


def _own(story: Mapping[str, Any], identifier: str) -> list[Any]:
    """The transaction of a story that an id of either wire names."""
    return [tx for tx in story["transactions"] if identifier in (tx["id"], tx.get("paymentoptions_id"))]


def _named(name: str, identifier: str, document: object, story: Mapping[str, Any] | None) -> dict[str, str]:
    """What later steps may name of one that was answered."""
    found = {name: identifier}
    token = _member(_part(document, "transaction_details"), "stored_payment_method_id")
    if token:
        found[f"{name}_token"] = token
    if story is not None:
        found |= {f"{name}_cybersource": str(tx["id"]) for tx in _own(story, identifier)}
    return found


def _filled(document: Json, ids: Mapping[str, str]) -> Json:
    """A document with the ids that it names. KeyError for one that is not there."""
    return {
        name: _filled(value, ids)
        if isinstance(value, dict)
        else value.format_map(ids)
        if isinstance(value, str)
        else value
        for name, value in document.items()
    }


def _masked(document: Json) -> Json:
    """The document with the number of its card as it may be shown."""
    if "number" in document.get("card", {}):
        card = document["card"]
        return document | {"card": card | {"number": Pan(card["number"]).masked(), "cvc": "***"}}
    card = document.get("paymentInformation", {}).get("card")
    if card is None:
        return document
    return document | {"paymentInformation": {"card": card | {"number": Pan(card["number"]).masked()}}}
