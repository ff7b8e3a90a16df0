"""Answers of this wire: one envelope, with the parts that each route shows. Pure.

Spelling and types are the documents', oddities included: texts come in and numbers go out, `expiry_month` comes in and
`exp_month` goes out, `risk-details` after a payment and `risk_details` in a status. A number shows at most its first
six and last four digits, unless a test merchant asked for more.
"""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import asdict

from kessai.dialects.paymentoptions import codes, identifiers, options, particulars
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Address
from kessai.dialects.paymentoptions.particulars import Own
from kessai.payment.lifecycle import Operation, Payment, Reason, Status, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Money

Body = dict[str, object]
encode: Final = msgspec.json.Encoder().encode
VERSION: Final = "1"
_ROOTS: Final = (Operation.AUTHORIZE, Operation.SALE, Operation.CREDIT)
_BY_CODE: Final = {said.code: said for said in codes.RISK.values()}


def said_of(transaction: Transaction, merchant: Merchant) -> Said:
    """What is said of how a transaction ended."""
    declined = merchant.terms.paymentoptions.decline_status
    reason = transaction.reason or Reason.GENERAL_DECLINE
    match transaction.status:
        case Status.APPROVED:
            is_part = transaction.operation in _ROOTS and transaction.approved < transaction.requested.minor
            return codes.of_acquirer(10, declined) if is_part else codes.SUCCESSES[transaction.operation]
        case Status.DECLINED:
            by_rule = _BY_CODE.get(transaction.facts.get("risk_profile", ""))
            return by_rule or codes.of_acquirer(codes.REASONS[reason], declined)
        case Status.FAILED:
            return codes.of_acquirer(codes.REASONS[reason], 502)
        case Status.UNKNOWN | Status.PENDING:
            return codes.OUTCOME_UNKNOWN


def number(amount: Money, unit: str) -> msgspec.Raw:
    """An amount as a JSON number, exactly, without zeros at its end."""
    text = str(amount.minor if unit == "minor" else amount)
    return msgspec.Raw((text.rstrip("0").rstrip(".") if "." in text else text).encode())


def envelope(said: Said, status: int, *, is_live: bool, kind: str | None = None) -> Body:
    body: Body = {"success": said.type == "INFO", "status_code": status, "is_live": is_live}
    if kind is not None:
        body["transaction_type"] = kind
    body["gateway_response"] = {
        "version": VERSION,
        "type": said.type,
        "message": said.message,
        "code": said.code,
    }
    return body


def refusal(said: Said, *, is_live: bool) -> bytes:
    """The body of what never became a transaction."""
    body = envelope(said, said.status, is_live=is_live)
    if said.status in (406, 412) or said.response_code not in (-1, 25, 30):
        body["payment_details"] = {"response_code": said.response_code}
    return encode(body)


def refused_following(
    said: Said, merchant: Merchant, payment: Payment, operation: Operation, amount: Money | None
) -> bytes:
    """The body of an operation that was not begun on a payment that is there."""
    body = envelope(said, said.status, is_live=not merchant.is_test, kind=codes.TYPES[operation])
    body["merchant_details"] = _merchant(merchant, payment.root.reference)
    details: Body = {}
    if amount is not None:
        details["amount"] = number(amount, merchant.terms.paymentoptions.amount_unit)
    details |= {"response_code": said.response_code, "currency": payment.currency.code}
    body["payment_details"] = details
    return encode(body)


def payment_made(
    merchant: Merchant,
    payment: Payment,
    transaction: Transaction,
    own: Own,
    *,
    token: str = "",
    digits: str = "",
    extra: Body | None = None,
) -> bytes:
    """The answer to a payment or an authorization. `token`: the stored payment method that it names."""
    said = said_of(transaction, merchant)
    body = envelope(said, said.status, is_live=not merchant.is_test, kind=codes.TYPES[transaction.operation])
    details = _merchant(merchant, transaction.reference)
    addresses: Body = {"billing_address": asdict(own.billing)}
    if own.shipping is not None and merchant.terms.paymentoptions.shipping_in_answer:
        addresses["shipping_address"] = asdict(own.shipping)
    details["billing_details"] = addresses
    device: Body = {"visited_ip": own.visited_ip}
    if own.merchant_ip:
        device["merchant_ip"] = own.merchant_ip
    details["device_details"] = device | {"customer_ip": own.customer_ip}
    body["merchant_details"] = details
    body["payment_details"] = _payment(merchant, payment, transaction, said, own.name, digits)
    made = _transaction(payment, transaction)
    if token:
        made["stored_payment_method_id"] = token
    body["transaction_details"] = made
    body["risk-details"] = {"risk_score": None}
    return encode(body | (extra or {}))


def operation_made(merchant: Merchant, payment: Payment, transaction: Transaction, digits: str = "") -> bytes:
    """The answer to a capture, a refund or a void."""
    said = said_of(transaction, merchant)
    body = envelope(said, said.status, is_live=not merchant.is_test, kind=codes.TYPES[transaction.operation])
    body["merchant_details"] = _merchant(merchant, payment.root.reference)
    name = particulars.own_of(payment).name
    body["payment_details"] = _payment(merchant, payment, transaction, said, name, digits)
    body["transaction_details"] = _transaction(payment, transaction)
    return encode(body)


def status(merchant: Merchant, payment: Payment, transaction: Transaction, other_wire: str, digits: str = "") -> bytes:
    """The status of a transaction. `other_wire`: its id on the CyberSource wire, a member of ours."""
    said, own = said_of(transaction, merchant), particulars.own_of(payment)
    body = envelope(said, 200, is_live=not merchant.is_test, kind=codes.TYPES[transaction.operation])
    body["merchant_details"] = _merchant(merchant, payment.root.reference)
    body["payment_details"] = _payment(merchant, payment, transaction, said, own.name, digits, describes=True)
    shows_phone = merchant.terms.paymentoptions.phone_in_status
    addresses: Body = {"billing_address": _in_status(own.billing, shows_phone=shows_phone)}
    if own.shipping is not None:
        addresses["shipping_address"] = _in_status(own.shipping, shows_phone=shows_phone)
    made = _transaction(payment, transaction)
    del made["merchant_txn_ref"]
    body["transaction_details"] = made | {"billing_details": addresses}
    body["risk_details"] = {"risk_score": None}
    body["kessai"] = {"cybersource_id": other_wire}
    return encode(body)


def masked(body: bytes, digits: str) -> bytes | None:
    """The same answer fit to be stored; None where it is as it stands."""
    if not digits or digits.encode() not in body:
        return None
    return body.replace(digits.encode(), _masked(digits[:6], digits[-4:]).encode())


def is_one(body: bytes) -> bool:
    """Whether a stored answer is of this wire."""
    return body.startswith(b'{"success":')


def is_success(body: bytes) -> bool:
    """Whether an answer of this wire says that what was asked was done."""
    return body.startswith(b'{"success":true')


def id_in(body: bytes) -> str:
    """The transaction that an answer is about; empty where it is about none."""
    found: dict[str, dict[str, object]] = msgspec.json.decode(body)
    return str(found.get("transaction_details", {}).get("id", ""))


# ---- parts


def _merchant(merchant: Merchant, reference: str) -> Body:
    name = merchant.terms.legal_name or merchant.id
    return {"legal_name": name, "mid": merchant.id, "merchant_txn_ref": reference}


def _payment(
    merchant: Merchant,
    payment: Payment,
    transaction: Transaction,
    said: Said,
    name: str,
    digits: str,
    *,
    describes: bool = False,
) -> Body:
    is_done = transaction.status is Status.APPROVED
    amount = transaction.requested.of(transaction.approved) if is_done else transaction.requested
    body: Body = {"amount": number(amount, merchant.terms.paymentoptions.amount_unit)}
    body["response_code"] = said.response_code
    if describes:
        body["responseDescription"] = codes.DESCRIPTION if said.response_code == 0 else said.message
    year, _, month = payment.expiry.partition("-")
    scheme = codes.SCHEMES.get(payment.brand) if payment.brand is not None else None
    scheme = scheme or codes.UNKNOWN_SCHEME
    shows = digits if digits and merchant.is_test and merchant.terms.paymentoptions.echo_test_cards else ""
    body |= {
        "auth_code": auth_code(payment),
        "currency": payment.currency.code,
        "payment_method": scheme[1],
        "scheme": scheme[0],
        "card": {
            "name": name,
            "number": shows or _masked(payment.pan_prefix, payment.pan_suffix),
            "exp_month": month,
            "exp_year": year[-2:],
        },
    }
    option = transaction.option or payment.root.option
    if option is not None:
        body["japan_payment_options"] = options.shown(option)
    return body | {"additional_data": {"payment_data_source": {"type": "card"}}}


def _masked(prefix: str, suffix: str) -> str:
    return f"{prefix}******{suffix}"


def auth_code(payment: Payment) -> str:
    """Six digits that a payment's transactions share: the issuer's own where it gave such, else made from the id.

    Empty where nothing was approved.
    """
    root = payment.root
    if root.status is not Status.APPROVED:
        return ""
    given = root.facts.get("approval_code", "")
    if len(given) == 6 and given.isascii() and given.isdigit():
        return given
    hashed = blake2b(f"{payment.id}\n{given}".encode(), digest_size=8, person=b"kessai authcode")
    return f"{int.from_bytes(hashed.digest()) % 1_000_000:06d}"


def _transaction(payment: Payment, transaction: Transaction) -> Body:
    return {
        "id": identifiers.show(transaction.id),
        "ref": identifiers.ref_of(transaction.id),
        "timestamp": f"{transaction.requested_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "merchant_txn_ref": payment.root.reference,
    }


def _in_status(address: Address, *, shows_phone: bool) -> Body:
    """The members in the order that the status has them in."""
    found = asdict(address)
    phone = found["phone_number"] if shows_phone else "N/A"
    first = {name: found[name] for name in ("country", "email", "address1")}
    return first | {"phone_number": phone} | {name: found[name] for name in ("city", "state", "postal_code")}
