"""Transaction details: `GET /tss/v2/transactions/{id}`. Pure.

The body has the oddities of the real one: the outer reason code is a number and the inner ones are texts, links are
absolute, an error information stands there on success too, empty objects are shown. `applicationInformation.status`,
which the real body often lacks, is always there, because it is what clients learn the state from.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from kessai import ids
from kessai.dialects.cybersource.answers import (
    processor,
    reference_of,
    risk,
    wire_time,
)
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.reasons import DECLINES, REVIEWS, SERVER_TIMEOUT, Word, of_failure
from kessai.dialects.document import text_of
from kessai.payment.bank import FLAG
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation, Payment, Reason, Status, Transaction
from kessai.payment.options import PaymentOption
from kessai.payment.transitions import State, state_of
from kessai.payment.words import warning

APPLICATIONS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.AUTHORIZE: ("ics_auth",),
    Operation.SALE: ("ics_auth", "ics_bill"),
    Operation.INCREMENT: ("ics_incremental_auth",),
    Operation.CAPTURE: ("ics_bill",),
    Operation.REVERSAL: ("ics_auth_reversal",),
    Operation.VOID: ("ics_void",),
    Operation.REFUND: ("ics_credit",),
    Operation.CREDIT: ("ics_credit",),
}
METHODS: Final[Mapping[Brand, str]] = {
    Brand.VISA: "VI",
    Brand.MASTERCARD: "MC",
    Brand.AMEX: "AX",
    Brand.DISCOVER: "DI",
    Brand.DINERS: "DC",
    Brand.JCB: "JC",
    Brand.UNIONPAY: "CUP",
}
PROCESSOR_NAMES: Final[Mapping[str, str]] = {
    "sandbox": "paymentech",
    "vpc": "vdc",
    "smcc": "vdcsmcc",
    "jcn": "jcn",
}
"""Personality to what the details call the processor."""
_SUCCESS: Final = "Request was processed successfully."
ECHECKS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.SALE: ("ics_ecp_debit",),
    Operation.REFUND: ("ics_ecp_credit",),
    Operation.CREDIT: ("ics_ecp_credit",),
}
"""What the same operations are called where a bank account pays."""
_PLAIN: Final[Mapping[Operation, str]] = {
    Operation.AUTHORIZE: "AUTHORIZED",
    Operation.SALE: "AUTHORIZED",
    Operation.INCREMENT: "AUTHORIZED",
    Operation.CAPTURE: "PENDING",
    Operation.REFUND: "PENDING",
    Operation.CREDIT: "PENDING",
    Operation.REVERSAL: "REVERSED",
    Operation.VOID: "VOIDED",
}

Body = dict[str, object]
_encode: Final = msgspec.json.Encoder().encode


def status_of(payment: Payment, transaction: Transaction, now: datetime) -> str:
    """The status as clients read it: what became of the transaction, not only how it was answered."""
    match transaction.status:
        case Status.DECLINED | Status.FAILED if transaction.operation is Operation.REFUND:
            return "FAILED"  # as in its answer: a production client reads no other word for it
        case Status.DECLINED:
            return "DECLINED"
        case Status.FAILED | Status.UNKNOWN | Status.PENDING:
            return "SERVER_ERROR"
        case Status.APPROVED:
            pass
    if payment.is_voided(transaction):
        return "VOIDED"
    if transaction.settlement is not None:
        return "TRANSMITTED"
    if transaction.operation is Operation.AUTHORIZE and state_of(payment, transaction, now) is State.REVERSED:
        return "REVERSED"
    if transaction.reason is not None:
        return REVIEWS[transaction.reason]
    if (
        transaction.operation in (Operation.AUTHORIZE, Operation.SALE)
        and transaction.approved < transaction.requested.minor
    ):
        return "PARTIAL_AUTHORIZED"
    return "PENDING" if _is_debit(transaction) else _PLAIN[transaction.operation]


def _is_debit(transaction: Transaction) -> bool:
    return transaction.operation is Operation.SALE and FLAG in transaction.flags


def applications_of(transaction: Transaction) -> tuple[str, ...]:
    if FLAG in transaction.flags and transaction.operation in ECHECKS:
        return ECHECKS[transaction.operation]
    return APPLICATIONS[transaction.operation]


def word_of(operation: Operation, status: Status, reason: Reason | None) -> Word | None:
    """The word for how a transaction ended; None for a plain success."""
    if status in (Status.UNKNOWN, Status.PENDING):
        return SERVER_TIMEOUT
    if status is Status.FAILED:
        return of_failure(operation, reason)
    return DECLINES.get(reason) if reason is not None else None


def rcodes_of(status: Status) -> tuple[str, str]:
    """`rCode` and `rFlag`."""
    match status:
        case Status.APPROVED:
            return "1", "SOK"
        case Status.DECLINED:
            return "0", "DCARDREFUSED"
        case Status.FAILED:
            return "-1", "ESYSTEM"
        case Status.UNKNOWN | Status.PENDING:
            return "-1", "ETIMEOUT"


def laid_over(root_particulars: bytes, particulars: bytes) -> dict[str, object]:
    """What a payment began with, under what a later request said; the first request is its own root."""
    kept = msgspec.json.decode(particulars or b"{}", type=dict[str, object])
    if not root_particulars or root_particulars == particulars:
        return kept
    return _under(msgspec.json.decode(root_particulars, type=dict[str, object]), kept)


def has_tokens(payment: Payment) -> bool:
    """Whether a payment was paid with tokens, or may have made some: what there is to tell of them, its answer told."""
    particulars = payment.root.particulars
    return any(word in particulars for word in _OF_TOKENS)


_OF_TOKENS: Final = (b'"TOKEN_CREATE"', b'"instrumentIdentifier"', b'"paymentInstrument"', b'"customer"')


def encode(
    payment: Payment, transaction: Transaction, personality: str, now: datetime, base_url: str, told: bytes = b""
) -> bytes:
    """The body for one transaction of a payment. `base_url` is scheme and host as the client called them; `told` what
    the first request of a payment with tokens was answered."""
    kept = laid_over(payment.root.particulars, transaction.particulars)
    answer = msgspec.json.decode(told or b"{}", type=dict[str, object])
    kept = _under({"tokenInformation": _object(answer, "tokenInformation")}, kept)
    identifier = ids.show(transaction.id)
    body: Body = {
        "_links": {
            "relatedTransactions": [
                {"href": f"{base_url}/tss/v2/transactions/{ids.show(tx.id)}", "method": "GET"}
                for tx in payment.transactions
                if tx.id != transaction.id and tx.operation is not Operation.EXPIRE
            ],
            "self": {"href": f"{base_url}/tss/v2/transactions/{identifier}", "method": "GET"},
        },
        "id": identifier,
        "rootId": ids.show(payment.id),
        "merchantId": payment.merchant_id,
        "submitTimeUTC": wire_time(transaction.requested_at),
    }
    reconciliation = reconciliation_of(transaction)
    if reconciliation:
        body["reconciliationId"] = reconciliation
    body["status"] = status_of(payment, transaction, now)
    body["applicationInformation"] = {"status": body["status"], **application(transaction, reconciliation)}
    body["clientReferenceInformation"] = reference_shown(transaction, kept)
    body["errorInformation"] = reason_of(transaction)
    for name in _SHOWN:
        body[name] = kept.get(name, {})
    body |= risk(transaction)
    terminal = transaction.facts.get("terminal_id")
    if terminal:
        body["pointOfSaleInformation"] = {**_object(kept, "pointOfSaleInformation"), "terminalId": terminal}
    body["orderInformation"] = _order(payment, transaction, kept)
    body["paymentInformation"] = _payment_information(payment, transaction, personality, kept, answer)
    body["processingInformation"] = _processing(transaction, kept, answer, reconciliation)
    account = _object(answer, "processorInformation").get("paymentAccountReferenceNumber")
    body["processorInformation"] = {
        "processor": {"name": PROCESSOR_NAMES.get(personality, personality)},
        **processor(transaction, transaction.facts.get("sales_slip_number")),
        **({"paymentAccountReferenceNumber": account} if account else {}),
        "achVerification": {},
        "electronicVerificationResults": {},
    }
    for name in sorted(kept.keys() - body.keys()):
        body[name] = kept[name]
    if transaction.warnings:
        body["kessaiInformation"] = {"warnings": list(map(warning, transaction.warnings))}
    return _encode(body)


_SHOWN: Final = (
    "buyerInformation",
    "consumerAuthenticationInformation",
    "deviceInformation",
    "fraudMarkingInformation",
    "installmentInformation",
    "merchantInformation",
    "pointOfSaleInformation",
    "riskInformation",
    "senderInformation",
    "tokenInformation",
)
"""Objects that are shown even when they are empty."""


def reconciliation_of(transaction: Transaction) -> str | None:
    value = transaction.facts.get("reconciliation_id")
    return ids.show(transaction.id) if value == "=id" else value


def reason_of(transaction: Transaction) -> Body:
    """`errorInformation`, which stands there on success too."""
    word = word_of(transaction.operation, transaction.status, transaction.reason)
    return {"reason": word.reason, "message": word.message} if word else {"message": _SUCCESS}


def application(transaction: Transaction, reconciliation: str | None) -> Body:
    """`applicationInformation` but for its status."""
    word = word_of(transaction.operation, transaction.status, transaction.reason)
    code, flag = rcodes_of(transaction.status)
    numeric = word.numeric if word else 100
    applications: list[Body] = []
    for name in applications_of(transaction):
        application: Body = {
            "name": name,
            "reasonCode": str(numeric),
            "rCode": code,
            "rFlag": flag,
            "rMessage": word.message if word else _SUCCESS,
            "returnCode": 1010000 if code == "1" else 1010000 + numeric,
        }
        if reconciliation:
            application["reconciliationId"] = reconciliation
        applications.append(application)
    return {
        "reasonCode": numeric,
        "rCode": code,
        "rFlag": flag,
        "applications": applications,
    }


def reference_shown(transaction: Transaction, kept: Mapping[str, object]) -> Body:
    reference = _object(kept, "clientReferenceInformation")
    reference["code"] = reference_of(transaction)
    return reference


def _object(kept: Mapping[str, object], name: str) -> Body:
    """A copy of an object of the request; empty where there was none."""
    sent = kept.get(name)
    return dict(sent) if isinstance(sent, dict) else {}


def _order(payment: Payment, transaction: Transaction, kept: Mapping[str, object]) -> Body:
    order = _object(kept, "orderInformation")
    amounts = _object(order, "amountDetails")
    amounts["totalAmount"] = str(transaction.requested)
    amounts["currency"] = transaction.requested.currency.code
    if transaction.operation in (Operation.AUTHORIZE, Operation.SALE, Operation.INCREMENT):
        amounts["authorizedAmount"] = str(transaction.requested.of(transaction.approved))
    if transaction.settlement is not None:
        amounts["settlementAmount"] = str(transaction.requested.of(transaction.approved))
        amounts["settlementCurrency"] = transaction.requested.currency.code
    if transaction.operation in (Operation.SALE, Operation.CAPTURE) and transaction.status is Status.APPROVED:
        left = 0 if payment.is_voided(transaction) else transaction.approved - payment.refunded(transaction.id)
        amounts["refundBalance"] = str(transaction.requested.of(max(left, 0)))
    order["amountDetails"] = amounts
    for name in ("billTo", "shipTo", "shippingDetails", "invoiceDetails"):
        order.setdefault(name, {})
    return order


def payment_type(payment: Payment, personality: str) -> Body:
    if FLAG in payment.root.flags:  # as every transaction of such a payment has it: a search knows one of them only
        return {"name": "CHECK", "type": "check", "method": ""}
    return {
        "name": PROCESSOR_NAMES.get(personality, personality),
        "type": "credit card",
        "method": METHODS.get(payment.brand, "") if payment.brand else "",
    }


def _payment_information(
    payment: Payment,
    transaction: Transaction,
    personality: str,
    kept: Mapping[str, object],
    answer: Mapping[str, object],
) -> Body:
    shown = _object(kept, "paymentInformation")
    if FLAG in transaction.flags:
        shown["paymentType"] = payment_type(payment, personality)
        shown["bank"] = bank_of(payment, shown)
        return shown
    year, _, month = payment.expiry.partition("-")
    sent = _object(shown, "card")
    card: Body = {"suffix": payment.pan_suffix, "prefix": payment.pan_prefix}
    if payment.expiry:
        card |= {"expirationMonth": month, "expirationYear": year}
    card |= {name: sent[name] for name in _OLDER_CARDS if name in sent}
    code = TYPE_OF_BRAND.get(payment.brand) if payment.brand else None
    if code and payment.brand:
        card |= {"type": code, "brandName": payment.brand.name}
    network = _object(answer, "paymentInformation").get("tokenizedCard")
    if network:
        shown["tokenizedCard"] = network
    shown["paymentType"] = payment_type(payment, personality)
    shown["card"] = card
    balance = transaction.facts.get("balance")
    if balance is not None:
        shown["accountFeatures"] = {
            "currency": transaction.requested.currency.code.lower(),
            "balanceAmount": balance,
        }
    return shown


_OLDER_CARDS: Final = ("startMonth", "startYear", "issueNumber")
"""What some debit cards have printed on them, as the request said it."""


def bank_of(payment: Payment, paying: Mapping[str, object]) -> Body:
    """The bank account of a payment, of which the last four digits are shown at most."""
    bank = _object(paying, "bank")
    return {**bank, "account": {**_object(bank, "account"), "suffix": payment.pan_suffix}}


def _processing(
    transaction: Transaction, kept: Mapping[str, object], answer: Mapping[str, object], reconciliation: str | None
) -> Body:
    shown = _object(kept, "processingInformation")
    solution = _object(answer, "processingInformation").get("paymentSolution")
    if solution:
        shown["paymentSolution"] = solution
    if reconciliation:
        shown["reconciliationId"] = reconciliation
    first = text_of(_object(shown, "recurringOptions").get("firstRecurringPayment"))
    shown["fundingOptions"] = {"firstRecurringPayment": (first or "").lower() == "true"}
    shown.setdefault("commerceIndicator", "internet")
    shown.setdefault("commerceIndicatorLabel", shown["commerceIndicator"])
    for name in ("authorizationOptions", "bankTransferOptions", "captureOptions"):
        shown.setdefault(name, {})
    asked = shown.get("japanPaymentOptions")
    shown["japanPaymentOptions"] = _option(transaction.option, asked if isinstance(asked, dict) else {})
    return shown


def _option(option: PaymentOption | None, asked: Mapping[str, object]) -> Body:
    """The option as it was asked for, under the names of the request and under those of the details."""
    shown: Body = dict(asked)
    if option is None:
        return shown
    if option.sent_method is not None:
        shown["paymentMethod"] = option.sent_method
    if option.installments is not None:
        shown["installments"] = shown.get("installments", str(option.installments))
        shown["numberOfInstallments"] = shown["installments"]
    if option.first_month is not None:
        shown["firstBillingMonth"] = f"{option.first_month:02d}"
    if option.bonuses:
        shown["bonuses"] = [
            {
                name: value
                for name, value in (
                    ("month", f"{bonus.month:02d}" if bonus.month else None),
                    ("amount", str(bonus.amount) if bonus.amount is not None else None),
                )
                if value is not None
            }
            or None
            for bonus in option.bonuses
        ]
    for name, value in (
        ("preApprovalType", str(option.preapproval_type) if option.preapproval_type is not None else None),
        ("terminalId", option.terminal_id),
        ("businessName", option.business_name),
        ("businessNameKatakana", option.business_name_katakana),
        ("businessNameAlphaNumeric", option.business_name_alphanumeric),
        ("businessNameEnglish", option.business_name_alphanumeric),
    ):
        if value is not None:
            shown[name] = value
    return shown


def _under(below: dict[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """One document laid over another: members of the upper one win, objects are merged."""
    merged = dict(below)
    for name, value in above.items():
        lower = merged.get(name)
        merged[name] = _under(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return merged


NOT_FOUND: Final = b'{"message":"The requested resource does not exist"}'
"""The body of a 404 for a transaction that the merchant does not have."""
