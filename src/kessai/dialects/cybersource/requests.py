"""Requests: from a JSON body to a command, by tables. Pure.

Scalars are loosely typed (text, number or boolean by their text form), null and the empty text are absence, unknown
members are ignored. Everything wrong with a document is said at once, each by its own path. What is kept of a request
beside the command are the harmless members that `members.py` lists; card data and secrets are never among them.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.dialects.cybersource import agreements, fields, japan, members, stored
from kessai.dialects.cybersource.addresses import (
    ADDRESS,
    ADDRESS_NORTH_AMERICA,
    NO_ADDRESS,
    address_in,
    check_bill_to,
)
from kessai.dialects.cybersource.echo import Echo, echo_of
from kessai.dialects.cybersource.findings import Findings, Problems
from kessai.dialects.cybersource.paid import card_of
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT, Kept, Supplied
from kessai.dialects.cybersource.usual import Document, Reader, Usual, written
from kessai.dialects.document import mask_pans, text_of
from kessai.dialects.table import Table, decode, find
from kessai.payment.authorize import Authorize, Increment
from kessai.payment.capture import Capture
from kessai.payment.card import Card, Pan, looks_like_a_pan
from kessai.payment.credit import Credit
from kessai.payment.lifecycle import Command, Operation
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money, loses_decimals
from kessai.payment.refund import Refund
from kessai.payment.reverse import Reverse
from kessai.payment.void import Void

LARGEST_AMOUNT: Final = 100_000_000_000
"""From this many whole units on an amount is refused."""
_BILL_TO: Final = ("orderInformation", "billTo")
_TOKENIZED: Final = ("paymentInformation", "tokenizedCard", "number")
_TOTAL: Final = "orderInformation.amountDetails.totalAmount"
_address_of: Final = attrgetter(*ADDRESS, *ADDRESS_NORTH_AMERICA)
_NOTHING: Final[dict[str, object]] = {}


class Request(Struct, frozen=True):
    """A decoded request: the command, and the members that answers show again."""

    command: Command
    kept: object
    """The members that are kept, as JSON writes them: a dict, or a Struct of the same members."""
    echo: Echo
    has_pan: bool = False
    """Whether a kept member is, as a whole, what a PAN looks like: it is answered once, and stored masked."""


# ---- commands


def authorization(
    document: dict[str, object], merchant: Merchant, now: datetime, brought: Supplied = NOTHING_BROUGHT
) -> Request | Problems:
    """POST /pts/v2/payments. `brought` is what the tokens of a request stand for."""
    findings = Findings()
    values = values_of(fields.AUTHORIZATION, document, findings)
    brought.add_to(values)
    card = card_of(document, values, findings, merchant, needs_expiry=True)
    if isinstance(card, Problems):
        return card
    amount = total_of(document, values, findings, merchant)
    address = address_in(brought.bill_to or find(document, _BILL_TO))
    is_token = brought.is_network or find(document, _TOKENIZED) is not None
    command = _authorization(
        values, findings, merchant, now, card, amount, address, japan.sent_in(document, findings), is_token=is_token
    )
    kept = kept_of(document, findings)
    brought.keep_in(kept, values)
    if findings.errors or command is None:
        return findings.problems()
    return request_of(Authorize, values, kept, findings, agreement=agreements.told(kept), **command)


def usual_authorization(body: bytes, merchant: Merchant, now: datetime) -> Request | Usual | None:
    """The same of a body that is as bodies usually are; None for every other, and where there is something to say.

    A `Usual` is one whose tokens pay: look up what they stand for, and go on with `usual_with_tokens`.
    """
    usual = _USUAL_AUTHORIZATION.read(body)
    if usual is None or "amount" not in usual.values:
        return None
    has_tokens = stored.has_tokens(usual.document.paymentInformation)
    if "pan" not in usual.values:
        return usual if has_tokens else None
    sent_to = usual.document.orderInformation.billTo
    return None if has_tokens else _usual(usual, merchant, now, NO_ADDRESS if sent_to is None else _address_of(sent_to))


def usual_with_tokens(usual: Usual, merchant: Merchant, now: datetime, pan: Pan, kept: Kept) -> Request | None:
    """The same of one whose tokens pay; None where there is something to say."""
    sent_to = usual.document.orderInformation.billTo
    kept.add_to(usual.values, pan)
    kept.keep_in(usual.document, usual.values)
    request = _usual(usual, merchant, now, kept.address if sent_to is None else _address_of(sent_to), kept.identifier)
    return replace(request, echo=replace(request.echo, tokens=kept.shown)) if request is not None else None


def _usual(
    usual: Usual, merchant: Merchant, now: datetime, address: tuple[object, ...], token: bytes | None = None
) -> Request | None:
    values, document, findings = usual.values, usual.document, Findings()
    particulars = written(document, token)
    if particulars is None:
        return None
    card = card_of(_NOTHING, values, findings, merchant, needs_expiry=True)
    amount = _amount(values, findings, merchant, _TOTAL)
    sent = None if usual.option is None else japan.Sent(usual.option)
    command = _authorization(values, findings, merchant, now, card, amount, address, sent, is_token=False)
    if findings.errors or command is None:
        return None
    processing = document.processingInformation
    options = processing and processing.authorizationOptions
    if (options and options.initiator) or (processing and processing.commerceIndicator not in agreements.ORDINARY):
        command["agreement"] = agreements.told(msgspec.json.decode(particulars))
    made = Authorize(
        reference=cast("str", values.get("reference", "")),
        merchant_transaction_id=cast("str | None", values.get("merchant_transaction_id")),
        particulars=particulars,
        warnings=tuple(findings.warnings),
        **command,
    )
    return Request(made, document, _echo_of_usual(document))


def _authorization(
    values: Mapping[str, object],
    findings: Findings,
    merchant: Merchant,
    now: datetime,
    card: Card | Problems | None,
    amount: Money | None,
    address: tuple[object, ...],
    sent: japan.Sent | None,
    *,
    is_token: bool,
) -> dict[str, Any] | None:
    """The members of an `Authorize`; None without card or amount."""
    is_retail = "entry_mode" in values or str(values.get("commerce_indicator", "internet")).lower() == "retail"
    flags = _flags(values, is_retail=is_retail, has_postal_code=address[-1] is not None, is_token=is_token)
    if not (is_retail or merchant.terms.relaxed_address or "merchant-initiated" in flags):
        check_bill_to(address, findings)
    is_voice = str(values.get("auth_type", "")).upper() == "VERBAL"
    if is_voice and "voice_code" not in values:
        findings.missing("processingInformation.authorizationOptions.verbalAuthCode")
    option = japan.option(sent, merchant, amount, card if isinstance(card, Card) else None, now, findings, flags)
    if not isinstance(card, Card) or amount is None:
        return None
    return {
        "amount": amount,
        "card": card,
        "capture": bool(values.get("capture", False)),
        "option": option,
        "voice_approval": str(values.get("voice_code", "")) if is_voice else None,
        "flags": flags,
    }


def increment(
    document: dict[str, object], payment_id: int, merchant: Merchant, expects: frozenset[Operation]
) -> Request | Problems:
    """PATCH /pts/v2/payments/{id}: `additionalAmount`, or `totalAmount` as the amount of this increment."""
    findings = Findings()
    values = values_of(fields.INCREMENT, document, findings)
    amount = _amount(values, findings, merchant, "orderInformation.amountDetails.additionalAmount")
    kept = kept_of(document, findings)
    if findings.errors or amount is None:
        return findings.problems()
    said = agreements.told(kept)
    return request_of(
        Increment, values, kept, findings, target=payment_id, expects=expects, amount=amount, agreement=said
    )


def capture(
    document: dict[str, object], payment_id: int, merchant: Merchant, now: datetime, expects: frozenset[Operation]
) -> Request | Problems:
    """POST /pts/v2/payments/{id}/captures."""
    findings = Findings()
    values = values_of(fields.CAPTURE, document, findings)
    sequence, count = values.get("sequence"), values.get("count")
    if isinstance(sequence, int) and isinstance(count, int) and not 1 <= sequence <= count:
        findings.invalid("processingInformation.captureOptions.captureSequenceNumber")
    amount = total_of(document, values, findings, merchant)
    sent = japan.sent_in(document, findings)
    option = japan.option(sent, merchant, amount, None, now, findings, frozenset(), "capture")
    kept = kept_of(document, findings)
    if findings.errors or amount is None:
        return findings.problems()
    return request_of(Capture, values, kept, findings, target=payment_id, expects=expects, amount=amount, option=option)


def refund(
    document: dict[str, object], target: int, merchant: Merchant, expects: frozenset[Operation]
) -> Request | Problems:
    """POST /pts/v2/{payments|captures}/{id}/refunds."""
    findings = Findings()
    values = values_of(fields.REFUND, document, findings)
    amount = total_of(document, values, findings, merchant)
    kept = kept_of(document, findings)
    if findings.errors or amount is None:
        return findings.problems()
    pan = values.get("pan")
    return request_of(
        Refund,
        values,
        kept,
        findings,
        target=target,
        expects=expects,
        amount=amount,
        card_prefix=pan.digits[:6] if isinstance(pan, Pan) else None,
        card_suffix=pan.suffix if isinstance(pan, Pan) else None,
    )


def reversal(
    document: dict[str, object],
    target: int,
    merchant: Merchant,
    currency: Currency | None,
    expects: frozenset[Operation],
    *,
    timeout: bool,
) -> Request | Problems:
    """POST /pts/v2/payments/{id}/reversals and, by the merchant's own id, POST /pts/v2/reversals.

    The currency may be left out; it is the payment's then.
    """
    findings = Findings()
    values = values_of(fields.REVERSAL, document, findings)
    path = "reversalInformation.amountDetails.totalAmount"
    if currency is not None:
        values.setdefault("currency", currency)
    amount = None
    if "amount" not in values and path not in findings.paths:
        findings.missing(path)
    elif "currency" in values:
        amount = _amount(values, findings, merchant, path)
    kept = kept_of(document, findings)
    if findings.errors:
        return findings.problems()
    return request_of(
        Reverse, values, kept, findings, target=target, expects=expects, amount=amount, by_transaction_id=timeout
    )


def void(
    document: dict[str, object], target: int, expects: frozenset[Operation], *, timeout: bool
) -> Request | Problems:
    """POST /pts/v2/{payments|captures|refunds|credits}/{id}/voids and, by the merchant's own id, POST /pts/v2/voids."""
    findings = Findings()
    values = values_of(fields.VOID, document, findings)
    kept = kept_of(document, findings)
    if findings.errors:
        return findings.problems()
    return request_of(Void, values, kept, findings, target=target, expects=expects, by_transaction_id=timeout)


def credit(
    document: dict[str, object], merchant: Merchant, now: datetime, brought: Supplied = NOTHING_BROUGHT
) -> Request | Problems:
    """POST /pts/v2/credits. `processingInformation.capture` means nothing here; the expiration date may be missing."""
    findings = Findings()
    values = values_of(fields.CREDIT, document, findings)
    brought.add_to(values)
    card = card_of(document, values, findings, merchant, needs_expiry=False)
    if isinstance(card, Problems):
        return card
    amount = total_of(document, values, findings, merchant)
    sent = japan.sent_in(document, findings)
    option = japan.option(sent, merchant, amount, card, now, findings, frozenset(), "credit")
    kept = kept_of(document, findings)
    brought.keep_in(kept, values)
    if findings.errors or card is None or amount is None:
        return findings.problems()
    return request_of(Credit, values, kept, findings, amount=amount, card=card, option=option)


def merchants_id(document: dict[str, object]) -> str | None:
    """`clientReferenceInformation.transactionId`, by which time-out reversals and voids name their original."""
    value = text_of(find(document, ("clientReferenceInformation", "transactionId")))
    return value if value and len(value) <= 30 else None


# ---- helpers


def values_of(table: Table, document: dict[str, object], findings: Findings) -> dict[str, object]:
    values, errors = decode(table, document)
    findings.errors.extend(errors)
    return values


def request_of(
    kind: Callable[..., Command],
    values: Mapping[str, object],
    kept: dict[str, object],
    findings: Findings,
    **more: object,
) -> Request:
    """The command of a request, with what every command carries of it."""
    particulars, has_pan = (_encode(kept), False) if kept else (b"", False)
    if any(map(looks_like_a_pan, members.DIGITS.findall(particulars.decode()))):
        masked = mask_pans(kept)
        particulars, has_pan = _encode(masked), masked != kept
    command = kind(
        reference=str(mask_pans(values.get("reference", ""))),
        merchant_transaction_id=values.get("merchant_transaction_id"),
        particulars=particulars,
        warnings=tuple(findings.warnings),
        **more,
    )
    return Request(command, kept, echo_of(kept), has_pan)


_encode: Final = msgspec.json.Encoder().encode


def kept_of(document: dict[str, object], findings: Findings) -> dict[str, object]:
    kept, bad, overlong = members.keep(document)
    known = findings.paths
    for path in bad:
        if path not in known and not path.startswith(japan.PATH):
            findings.invalid(path, "has characters that no such text needs, or is not of the right shape")
    findings.warnings.extend(f"{path}: longer than the network carries" for path in overlong)
    return kept


def total_of(
    document: dict[str, object], values: dict[str, object], findings: Findings, merchant: Merchant
) -> Money | None:
    """`totalAmount`, or the sum of the line items where there is none."""
    if "amount" not in values and _TOTAL not in findings.paths:
        summed = _sum_of_lines(find(document, ("orderInformation", "lineItems")), findings)
        if summed is not None:
            values["amount"] = summed
    return _amount(values, findings, merchant, _TOTAL)


def _sum_of_lines(lines: object, findings: Findings) -> str | None:
    """The exact decimal text of Σ unit price × quantity; None without lines. Quantity is 1 where none is given."""
    if not isinstance(lines, list) or not lines:
        return None
    total, scale = 0, 6
    for index, line in enumerate(lines):
        path = f"orderInformation.lineItems[{index}]"
        if not isinstance(line, dict):
            findings.invalid(path)
            continue
        price, quantity = text_of(line.get("unitPrice")) or "", text_of(line.get("quantity", "1")) or ""
        if line.get("unitPrice") in (None, ""):
            findings.missing(f"{path}.unitPrice")
        elif re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,6})?", price, re.ASCII) is None:
            findings.invalid(f"{path}.unitPrice")
        elif re.fullmatch(r"[0-9]{1,9}", quantity, re.ASCII) is None:
            findings.invalid(f"{path}.quantity")
        else:
            whole, _, fraction = price.partition(".")
            total += int(whole + fraction.ljust(scale, "0")) * int(quantity)
    if total >= LARGEST_AMOUNT * 10**scale:
        findings.invalid("orderInformation.amountDetails.totalAmount")
        return None
    return f"{total // 10**scale}.{total % 10**scale:0{scale}d}"


def _amount(values: Mapping[str, object], findings: Findings, merchant: Merchant, path: str) -> Money | None:
    known = findings.paths
    currency_path = "orderInformation.amountDetails.currency"
    if "currency" not in values and currency_path not in known:
        findings.missing(currency_path)
    if "amount" not in values:
        if path not in known:
            findings.missing(path)
        return None
    if "currency" not in values:
        return None
    text, currency = str(values["amount"]).removesuffix("."), cast("Currency", values["currency"])
    money = Money.parse(text, currency)
    if money.minor >= LARGEST_AMOUNT * 10**currency.exponent:
        findings.invalid(path, f"must be less than {LARGEST_AMOUNT}")
        return None
    if loses_decimals(text, currency):
        if merchant.terms.excess_decimals == "refuse":
            findings.invalid(path, f"has decimals that {currency} does not have")
            return None
        findings.warnings.append(f"{path}: cut to the decimals of {currency}")
    return money


def _flags(values: Mapping[str, object], *, is_retail: bool, has_postal_code: bool, is_token: bool) -> frozenset[str]:
    industry = str(values.get("industry", "")).lower()
    return _flags_of(
        industry if industry in _INDUSTRIES else "",  # what is remembered are words of ours only
        values.get("auth_indicator"),
        str(values.get("initiator", "")).lower() == "merchant",
        values.get("partial"),
        values.get("ignore_avs") is True,
        values.get("ignore_cvn") is True,
        "security_code" in values,
        is_retail,
        has_postal_code,
        is_token,
    )


_INDUSTRIES: Final = frozenset({"lodging", "auto_rental", "transit"})


@lru_cache(maxsize=512)
def _flags_of(
    industry: str,
    indicator: object,
    is_by_merchant: bool,
    partial: object,
    ignores_avs: bool,
    ignores_cvn: bool,
    has_code: bool,
    is_retail: bool,
    has_postal_code: bool,
    is_token: bool,
) -> frozenset[str]:
    flags = []
    if indicator == "0" or (indicator is None and industry in ("lodging", "auto_rental")):
        flags.append("pre")
    if partial is not None:
        flags.append("partial" if partial is True else "no-partial")
    if ignores_avs:
        flags.append("ignore-avs")
    if ignores_cvn:
        flags.append("ignore-cvn")
    if has_postal_code:
        flags.append("avs-sent")
    if has_code:
        flags.append("cvn-sent")
    if is_retail:
        flags.append("retail")
    if industry == "transit":
        flags.append("transit")
    if is_by_merchant:
        flags.append("merchant-initiated")
    if is_token:
        flags.append("network-token")
    return frozenset(flags)


# ---- what answers show again


def _echo_of_usual(document: Document) -> Echo:
    """The same of a usual document that has an amount."""
    order = document.orderInformation
    reference, invoice = document.clientReferenceInformation, order.invoiceDetails
    partner = reference.partner if reference is not None else None
    return Echo(
        code=reference.code if reference is not None else None,
        comments=reference.comments if reference is not None else None,
        transaction_id=reference.transactionId if reference is not None else None,
        solution_id=partner.solutionId if partner is not None else None,
        currency=order.amountDetails.currency,
        slip=invoice.salesSlipNumber if invoice is not None else None,
    )


_USUAL_AUTHORIZATION: Final = Reader(fields.AUTHORIZATION)
