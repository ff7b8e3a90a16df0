"""Answers: from a concluded transaction, or a refusal, to a JSON body. Tables and the few rules about shapes. Pure.

Members stand in the order in which published answers have them. Amounts are texts with the currency's decimals, the
currency is spelt as the request spelt it, ids are 22 digits, links are paths without a host.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final

import msgspec

from kessai import ids
from kessai.dialects.cybersource.echo import Echo
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import DECLINES, REVIEWS, SERVER_TIMEOUT, Word, of_failure
from kessai.dialects.document import mask_pans
from kessai.payment.bank import FLAG
from kessai.payment.lifecycle import Operation, Payment, Reason, Status, Transaction
from kessai.payment.money import Money

_encode: Final = msgspec.json.Encoder().encode

COLLECTIONS: Final[Mapping[Operation, str]] = {
    Operation.AUTHORIZE: "payments",
    Operation.SALE: "payments",
    Operation.INCREMENT: "payments",
    Operation.CAPTURE: "captures",
    Operation.REVERSAL: "reversals",
    Operation.VOID: "voids",
    Operation.REFUND: "refunds",
    Operation.CREDIT: "credits",
}
"""Operation to the collection that its resource lives in."""

PROCESSOR: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("stan", ("systemTraceAuditNumber",)),
    ("sales_slip_number", ("salesSlipNumber",)),
    ("merchant_number", ("merchantNumber",)),
    ("approval_code", ("approvalCode",)),
    ("auth_indicator", ("authIndicator",)),
    ("cvn_code", ("cardVerification", "resultCode")),
    ("cvn_raw", ("cardVerification", "resultCodeRaw")),
    ("advice_code", ("merchantAdvice", "code")),
    ("advice_raw", ("merchantAdvice", "codeRaw")),
    ("response_details", ("responseDetails",)),
    ("network_transaction_id", ("networkTransactionId",)),
    ("network_transaction_id", ("transactionId",)),
    ("rrn", ("retrievalReferenceNumber",)),
    ("cavv_code", ("consumerAuthenticationResponse", "code")),
    ("cavv_raw", ("consumerAuthenticationResponse", "codeRaw")),
    ("response_category", ("responseCategoryCode",)),
    ("acquirer_name", ("forwardedAcquirerCode",)),
    ("response_code", ("responseCode",)),
    ("avs_code", ("avs", "code")),
    ("avs_raw", ("avs", "codeRaw")),
)
"""What an acquirer said, by its neutral name, to its place in `processorInformation`."""

INSIGHTS: Final[Mapping[str, str]] = {
    "01": "ISSUER_WILL_NEVER_APPROVE",
    "02": "ISSUER_CANNOT_APPROVE_AT_THIS_TIME",
    "03": "ISSUER_CANNOT_APPROVE_WITH_THESE_DETAILS",
    "04": "GENERIC_ERROR",
    "97": "PAYMENT_INSIGHTS_INTERNAL_ERROR",
    "98": "OTHERS",
    "99": "PAYMENT_INSIGHTS_RESPONSE_CATEGORY_MATCH_NOT_FOUND",
}

Body = dict[str, object]
BodyOf = Callable[[Payment, Transaction, Echo], Body]


def wire_time(instant: datetime) -> str:
    """An aware time as this wire writes it: UTC, whole seconds."""
    return _second(int(instant.timestamp()))


@lru_cache(maxsize=64)
def _second(since_epoch: int) -> str:
    return f"{datetime.fromtimestamp(since_epoch, UTC):%Y-%m-%dT%H:%M:%S}Z"


def reference_of(transaction: Transaction) -> str:
    """The merchant's own code, or the milliseconds at which the id was made."""
    return transaction.reference or str(ids.split(transaction.id).at_ms)


_LINKS: Final = (
    ("authReversal", "POST", "/reversals"),
    ("void", "POST", "/voids"),
    ("self", "GET", ""),
    ("capture", "POST", "/captures"),
)
"""Name, method and tail of every link, in the order of published answers."""


def _links(collection: str, identifier: str, *, follow: tuple[str, ...]) -> msgspec.Raw:
    """A resource's own link and those of what may follow it."""
    return msgspec.Raw(_links_form(collection, follow).replace(b"{id}", identifier.encode()))


@cache
def _links_form(collection: str, follow: tuple[str, ...]) -> bytes:
    own = f"/pts/v2/{collection}/{{id}}"
    shown = [
        f'"{name}":{{"method":"{method}","href":"{own}{tail}"}}'
        for name, method, tail in _LINKS
        if name == "self" or name in follow
    ]
    return f"{{{','.join(shown)}}}".encode()


def encode(payment: Payment, transaction: Transaction, echo: Echo) -> tuple[int, bytes]:
    """Status and body for a concluded transaction. `echo` are members of its request."""
    if transaction.status in (Status.UNKNOWN, Status.PENDING):
        return failure(SERVER_TIMEOUT, transaction.id, transaction.requested_at)
    if transaction.status is Status.FAILED:
        word = of_failure(transaction.operation, transaction.reason)
        return failure(word, transaction.id, transaction.requested_at)
    body = _BODIES[transaction.operation](payment, transaction, echo)
    if echo.tokens is not None or echo.made:
        _add_tokens(body, echo)
    if echo.authentication is not None:
        _insert(body, "consumerAuthenticationInformation", echo.authentication)
    return 201, _encode(body)


def failure(word: Word, identifier: int, at: datetime, fields: Problems | None = None) -> tuple[int, bytes]:
    """Status and body of a 400, 409 or 502."""
    body: Body = {
        "id": ids.show(identifier),
        "submitTimeUtc": wire_time(at),
        "status": word.status,
        "reason": word.reason,
        "message": word.message,
    }
    if fields is not None and fields.fields:
        body["details"] = [
            {"field": error.path, "reason": "MISSING_FIELD" if error.is_missing else "INVALID_DATA"}
            for error in fields.fields
        ]
    return word.http, _encode(body)


# ---- bodies


def _payment(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    if transaction.status is Status.DECLINED:
        return _declined(payment, transaction, echo)
    is_sale = transaction.operation is Operation.SALE
    if is_sale and FLAG in transaction.flags:
        return _debit(transaction, echo)
    is_increment = transaction.operation is Operation.INCREMENT
    is_partial = transaction.approved < transaction.requested.minor
    status = "PARTIAL_AUTHORIZED" if is_partial else "AUTHORIZED"
    if transaction.reason is not None:
        status = REVIEWS[transaction.reason]
    identifier = ids.show(payment.id if is_increment else transaction.id)
    follow = () if is_partial else ("void",) if is_sale else ("authReversal", "capture")
    authorized = transaction.requested.of(transaction.approved)
    amounts: Body = {"totalAmount": str(transaction.requested)} if is_sale or is_partial else {}
    amounts |= {"authorizedAmount": str(authorized), "currency": _currency(transaction, echo)}
    slip = _slip(transaction, echo)
    order: Body = {"invoiceDetails": {"salesSlipNumber": slip}} if slip else {}
    body: Body = {"_links": _links("payments", identifier, follow=follow)}
    body["clientReferenceInformation"] = _reference(transaction, echo)
    if "capture-skipped" in transaction.flags and transaction.reason is not None:
        word = DECLINES[transaction.reason]
        body["embeddedActions"] = {
            "CAPTURE": {"status": "NOT_PROCESSED", "reason": word.reason, "message": word.message}
        }
    if transaction.reason is not None:
        body["errorInformation"] = _error(DECLINES[transaction.reason])
    body["id"] = identifier
    body["orderInformation"] = {**order, "amountDetails": amounts}
    body |= _card_types(payment, transaction, echo)
    body |= _terminal(transaction)
    body["processorInformation"] = processor(transaction, slip)
    body |= _reconciliation(transaction, identifier)
    body |= risk(transaction)
    return body | {"status": status, "submitTimeUtc": wire_time(transaction.requested_at)}


def _debit(transaction: Transaction, echo: Echo) -> Body:
    """A bank account was debited: the answer of a sale, but for what an authorization would say."""
    amount = str(_approved(transaction))
    body = _head(transaction, echo, ("void",))
    body["orderInformation"] = {
        "amountDetails": {
            "totalAmount": str(transaction.requested),
            "authorizedAmount": amount,
            "currency": _currency(transaction, echo),
        }
    }
    answered = processor(transaction, None)
    if answered:
        body["processorInformation"] = answered
    return _tail(body, transaction, "PENDING")


def _declined(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    """No amounts, no reconciliation id: nothing was authorized."""
    word = DECLINES[transaction.reason or Reason.GENERAL_DECLINE]
    status = "FAILED" if transaction.operation is Operation.REFUND else word.status
    by_risk = transaction.reason in (Reason.RISK_REJECT, Reason.RISK_SCORE)
    collection = COLLECTIONS[transaction.operation]
    is_increment = transaction.operation is Operation.INCREMENT
    identifier = ids.show(payment.id if is_increment else transaction.id)
    body: Body = {} if by_risk else {"_links": _links(collection, identifier, follow=())}
    body["clientReferenceInformation"] = _reference(transaction, echo)
    body["errorInformation"] = _error(word)
    body["id"] = identifier
    category = transaction.facts.get("insight_category")
    if category:
        body["paymentInsightsInformation"] = {
            "responseInsights": {"category": INSIGHTS.get(category, "OTHERS"), "categoryCode": category}
        }
    body |= _terminal(transaction)
    answered = processor(transaction, transaction.facts.get("sales_slip_number"))
    if answered and not by_risk:
        body["processorInformation"] = answered
    body |= risk(transaction)
    return body | {"status": status, "submitTimeUtc": wire_time(transaction.requested_at)}


def _capture(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    if transaction.status is Status.DECLINED:
        return _declined(payment, transaction, echo)
    body = _head(transaction, echo, ("void",))
    body["orderInformation"] = {
        "amountDetails": {
            "totalAmount": str(_approved(transaction)),
            "currency": _currency(transaction, echo),
        }
    }
    return _tail(body, transaction, "PENDING")


def _reversal(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    if transaction.status is Status.DECLINED:
        return _declined(payment, transaction, echo)
    currency = _currency(transaction, echo)
    body = _head(transaction, echo, ())
    body["orderInformation"] = {"amountDetails": {"currency": currency}}
    answered = processor(transaction, None)
    if answered:
        body["processorInformation"] = answered
    body |= _reconciliation(transaction, ids.show(transaction.id))
    body["reversalAmountDetails"] = {
        "reversedAmount": str(_approved(transaction)),
        **_original(payment, transaction),
        "currency": currency,
    }
    return body | {"status": "REVERSED", "submitTimeUtc": wire_time(transaction.requested_at)}


def _returned(name: str, amount: str) -> BodyOf:
    """Refunds and credits: one shape, two names."""

    def body_of(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
        if transaction.status is Status.DECLINED:
            return _declined(payment, transaction, echo)
        currency = _currency(transaction, echo)
        body = _head(transaction, echo, ("void",))
        details = {name: {"currency": currency, amount: str(_approved(transaction))}}
        if name < "id":
            own = body.pop("id")
            body |= {**details, "id": own}
        body["orderInformation"] = {"amountDetails": {"currency": currency}}
        if transaction.operation is Operation.CREDIT:
            body |= _card_types(payment, transaction, echo)
        answered = processor(transaction, transaction.facts.get("sales_slip_number"))
        if answered:
            body["processorInformation"] = answered
        body |= _reconciliation(transaction, ids.show(transaction.id))
        if name > "id":
            body |= details
        return body | {"status": "PENDING", "submitTimeUtc": wire_time(transaction.requested_at)}

    return body_of


def _void(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    if transaction.status is Status.DECLINED:
        return _declined(payment, transaction, echo)
    code = transaction.requested.currency.code
    body = _head(transaction, echo, ())
    body["orderInformation"] = {"amountDetails": {"currency": code}}
    if "original-failed" in transaction.flags and transaction.facts:
        body["processorInformation"] = processor(transaction, None)
    body |= {"status": "VOIDED", "submitTimeUtc": wire_time(transaction.requested_at)}
    # The one live body that is public spells the currency in small letters here.
    body["voidAmountDetails"] = {
        "currency": code.lower(),
        **_original(payment, transaction),
        "voidAmount": str(_approved(transaction)),
    }
    return body


# ---- parts


def _head(transaction: Transaction, echo: Echo, follow: tuple[str, ...]) -> Body:
    identifier = ids.show(transaction.id)
    return {
        "_links": _links(COLLECTIONS[transaction.operation], identifier, follow=follow),
        "clientReferenceInformation": _reference(transaction, echo),
        "id": identifier,
    }


def _tail(body: Body, transaction: Transaction, status: str) -> Body:
    body |= _reconciliation(transaction, ids.show(transaction.id))
    return body | {"status": status, "submitTimeUtc": wire_time(transaction.requested_at)}


def _approved(transaction: Transaction) -> Money:
    return transaction.requested.of(transaction.approved)


def _currency(transaction: Transaction, echo: Echo) -> str:
    """The currency in the letters of the request; the ISO code where the request did not name it."""
    return echo.currency or transaction.requested.currency.code


def _reference(transaction: Transaction, echo: Echo) -> Body:
    reference: Body = {"code": echo.code or reference_of(transaction)}
    if transaction.operation is Operation.CAPTURE and isinstance(echo.comments, str):
        reference["comments"] = echo.comments
    if isinstance(echo.solution_id, str):
        reference["partner"] = {"solutionId": echo.solution_id}
    if echo.transaction_id is not None:
        reference["transactionId"] = echo.transaction_id
    return reference


def _error(word: Word) -> Body:
    return {"reason": word.reason, "message": word.message}


def _slip(transaction: Transaction, echo: Echo) -> str | None:
    """The sales slip number: the merchant's own where it sent one, else the acquirer's."""
    given = transaction.facts.get("sales_slip_number")
    if given is None:
        return None
    return str(echo.slip) if echo.slip is not None else given


def _card_types(payment: Payment, transaction: Transaction, echo: Echo) -> Body:
    code = TYPE_OF_BRAND.get(payment.brand) if payment.brand else None
    if code is None:
        return {}
    if "network-token" not in transaction.flags and "balance" not in transaction.facts:
        return _PLAIN_CARDS[code]
    tokenized: Body = {"type": code}
    card: Body = {"type": code}
    if "network-token" in transaction.flags:
        for member, sent in (("requestorId", echo.requestor_id), ("assuranceLevel", echo.assurance_level)):
            tokenized[member] = sent if isinstance(sent, str) else _TOKEN_DEFAULTS[member]
        card = {"suffix": echo.card_suffix or payment.pan_suffix, "type": code}
    balance = transaction.facts.get("balance")
    features: Body = {}
    if balance is not None:
        features["accountFeatures"] = {
            "currency": transaction.requested.currency.code.lower(),
            "balanceAmount": balance,
        }
    return {
        "paymentAccountInformation": {"card": {"type": code}},
        "paymentInformation": {**features, "tokenizedCard": tokenized, "card": card},
    }


def _add_tokens(body: Body, echo: Echo) -> None:
    """The tokens that paid and those that were made, into the answer of what was approved: a decline shows none."""
    if "errorInformation" in body and "orderInformation" not in body:
        return
    if echo.tokens is not None:
        held = body.get("paymentInformation")
        if not isinstance(held, dict):  # a brand that this wire has no code for
            held = {}
            _insert(body, "paymentInformation", held)
        body["paymentInformation"] = shown = {**held, **echo.tokens}
        for name in ("card", "customer"):  # in the order of published answers they are the last
            if name in shown:
                shown[name] = shown.pop(name)
    if echo.payment_solution is not None:
        _insert(body, "processingInformation", {"paymentSolution": echo.payment_solution})
    said = body.get("processorInformation")
    if echo.account_reference is not None and isinstance(said, dict):
        body["processorInformation"] = {"paymentAccountReferenceNumber": echo.account_reference, **said}
    if echo.made:  # it is the last of the members of a payment
        body["tokenInformation"] = echo.made


def _insert(body: Body, name: str, value: object) -> None:
    """A member in its place in the order."""
    after = [each for each in body if each != "_links" and each > name]
    body[name] = value
    for each in after:
        body[each] = body.pop(each)


def _plain_card(code: str) -> Body:
    typed = {"type": code}
    return {"paymentAccountInformation": {"card": typed}, "paymentInformation": {"tokenizedCard": typed, "card": typed}}


_PLAIN_CARDS: Final = {code: _plain_card(code) for code in TYPE_OF_BRAND.values()}

_TOKEN_DEFAULTS: Final = {"requestorId": "00000000000", "assuranceLevel": "00"}
"""What stands where the token's own data were not sent: requestor unknown, assurance unknown."""


def _terminal(transaction: Transaction) -> Body:
    terminal = transaction.facts.get("terminal_id")
    return {"pointOfSaleInformation": {"terminalId": terminal}} if terminal else {}


def processor(transaction: Transaction, slip: str | None) -> Body:
    """`processorInformation` of a transaction; empty when the acquirer said nothing."""
    facts = transaction.facts
    found: Body = {}
    for name, path in _said(frozenset(facts)):
        value = facts[name]
        if name == "sales_slip_number" and slip is not None:
            value = slip
        if len(path) == 1:
            found[path[0]] = value
        else:
            inner = found.setdefault(path[0], {})
            assert isinstance(inner, dict)
            inner[path[1]] = value
    return found


@lru_cache(maxsize=256)
def _said(names: frozenset[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The rows of `PROCESSOR` that an acquirer said something for: as many sets of names as kinds of answer."""
    return tuple((name, path) for name, path in PROCESSOR if name in names)


def _reconciliation(transaction: Transaction, identifier: str) -> Body:
    value = transaction.facts.get("reconciliation_id")
    return {"reconciliationId": identifier if value == "=id" else value} if value else {}


def risk(transaction: Transaction) -> Body:
    score = transaction.facts.get("risk_score")
    profile = transaction.facts.get("risk_profile")
    if score is None and profile is None:
        return {}
    risk: Body = {"profile": {"name": profile} if profile else {}}
    if score is not None:
        risk["score"] = {"result": score}
    return {"riskInformation": risk}


def _original(payment: Payment, transaction: Transaction) -> Body:
    if "original-failed" not in transaction.flags or transaction.target is None:
        return {}
    original = payment.find(transaction.target)
    return {"originalTransactionAmount": str(original.requested)} if original else {}


def masked(body: bytes) -> bytes:
    """An answer fit to be stored: a merchant's reference that is a PAN is masked in it."""
    return _encode(mask_pans(msgspec.json.decode(body)))


_BODIES: Final[Mapping[Operation, BodyOf]] = {
    Operation.AUTHORIZE: _payment,
    Operation.SALE: _payment,
    Operation.INCREMENT: _payment,
    Operation.CAPTURE: _capture,
    Operation.REVERSAL: _reversal,
    Operation.VOID: _void,
    Operation.REFUND: _returned("refundAmountDetails", "refundAmount"),
    Operation.CREDIT: _returned("creditAmountDetails", "creditAmount"),
}
