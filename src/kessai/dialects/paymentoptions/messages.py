"""Requests of this wire: tables of their members, and what they become. Pure.

Numbers and texts are taken for one another, as the documents' own samples do. What is not in a table is not looked at.
The first thing that is wrong is the answer, in the order of the tables.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from kessai.authentication.urls import page_address
from kessai.dialects.document import has_bad_characters, mask_pans, text_of
from kessai.dialects.paymentoptions import codes
from kessai.dialects.paymentoptions.codes import INVALID, INVALID_CARD, MISSING, TEST_PREFIXES, TOO_LONG
from kessai.dialects.paymentoptions.options import option
from kessai.dialects.table import Codec, Table, decode, find, row
from kessai.payment.authorize import exists
from kessai.payment.card import Brand, Card, Expiry, Pan, SecurityCode
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money
from kessai.payment.options import PaymentOption

Json = Mapping[str, object]
LONGEST_ID: Final = 36


class Problem(Struct, frozen=True):
    """What is wrong with a request: a code of `codes.VALIDATIONS`, the member, and an acquirer code that knows it."""

    code: str
    path: str = ""
    response_code: int | None = None


class Address(Struct, frozen=True, kw_only=True):
    """An address as it is shown again; the members in the order of the documents."""

    country: str = ""
    email: str = ""
    phone_number: str = ""
    address1: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


class Order(Struct, frozen=True, kw_only=True):
    """What a payment or an authorization asks for."""

    merchant_id: str
    amount: Money
    reference: str
    card: Card | None
    """None where a stored payment method pays."""
    name: str
    """Of the cardholder, as printed on the card."""
    token: str | None
    """The stored payment method that pays, as it was named."""
    stores: bool
    billing: Address
    shipping: Address | None
    customer_ip: str
    return_url: Mapping[str, str]
    """Of `webhook_url`, `success_url`, `decline_url`, `cancel_url` those that were sent."""
    browser: Mapping[str, str]
    """What 3-D Secure is told of the payer's browser, by the wire's names."""
    time_zone: str
    option: PaymentOption | None = None
    warnings: tuple[str, ...] = ()


class Following(Struct, frozen=True, kw_only=True):
    """What a capture, a refund or a void asks for. The amount is text: its currency is the payment's."""

    merchant_id: str
    transaction_id: str
    amount: str
    notes: str


# ---- codecs


def _text(text: str) -> str:
    if has_bad_characters(text):
        raise ValueError
    return str(mask_pans(text))


def page(text: str) -> str:
    """An address that a browser, or a notification, may be sent to (A-82), as it was sent."""
    page_address(text)
    return _text(text)


def _matching(pattern: str) -> Codec:
    compiled = re.compile(pattern, re.ASCII)

    def codec(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError
        return text

    return codec


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _year(text: str) -> int:
    if re.fullmatch(r"(20)?[0-9]{2}", text, re.ASCII) is None:
        raise ValueError
    return 2000 + int(text[-2:])


def _month(text: str) -> int:
    if re.fullmatch(r"0?[1-9]|1[0-2]", text, re.ASCII) is None:
        raise ValueError
    return int(text)


AMOUNT: Final = _matching(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Member(Struct, frozen=True):
    """A row: the path, its neutral name, the longest text, whether it must be there, how it is read."""

    path: str
    name: str
    most: int | None
    is_required: bool = False
    codec: Codec = _text
    also: tuple[str, ...] = ()
    """Other spellings that clients use."""


def address_members(prefix: str, name: str) -> tuple[Member, ...]:
    return (
        Member(f"{prefix}.country", f"{name}.country", 2, codec=_matching("[A-Za-z]{2}")),
        Member(f"{prefix}.email", f"{name}.email", 45),
        Member(f"{prefix}.phone_number", f"{name}.phone_number", 20, also=(f"{prefix}.phone",)),
        Member(f"{prefix}.address1", f"{name}.address1", 199),
        Member(f"{prefix}.city", f"{name}.city", 65),
        Member(f"{prefix}.state", f"{name}.state", 65),
        Member(f"{prefix}.postal_code", f"{name}.postal_code", 45),
    )


BROWSER: Final = (
    "acceptHeader",
    "screenColorDepth",
    "javaEnabled",
    "language",
    "screenHeight",
    "screenWidth",
    "challengeWindow",
    "userAgent",
)
URLS: Final = ("webhook_url", "success_url", "decline_url", "cancel_url")
TYPE: Final = Member("payment_method.type", "type", 64, codec=_matching("scheme"))
STORES: Final = Member("payment_method.store_payment_method", "stores", 5, codec=_flag)
PAYMENT: Final = (
    Member("merchant_id", "merchant_id", 128, is_required=True),
    Member("amount", "amount", 10, is_required=True, codec=AMOUNT),
    Member("currency", "currency", 3, is_required=True, codec=Currency.of),
    Member("merchant_txn_ref", "reference", 45),
    Member("card.number", "pan", 19, codec=Pan),
    Member("card.name", "card_name", 255),
    Member("card.expiry_month", "month", 2, codec=_month),
    Member("card.expiry_year", "year", 4, codec=_year),
    Member("card.cvc", "cvc", 4, codec=_matching("[0-9]{3,4}")),
    TYPE,
    STORES,
    Member(
        "payment_method.stored_payment_method_id",
        "token",
        LONGEST_ID,
        also=("payment_method.store_payment_method_id",),
    ),
    Member("customer_ip", "customer_ip", 45),
    *(Member(f"return_url.{name}", name, 255, codec=page) for name in URLS),
    *address_members("billing_address", "billing"),
    *address_members("shipping_address", "shipping"),
    *(Member(f"browser_info.{name}", f"browser.{name}", 2_048) for name in BROWSER),
    Member("time_zone", "time_zone", 128),
)
"""Members of `payment`, `paymentv2`, `authorization`, `authorizationv2` and `subscription/payment`."""
FOLLOWING: Final = (
    Member("merchant_id", "merchant_id", 128, is_required=True),
    Member("transactionId", "transaction_id", LONGEST_ID, is_required=True),
    Member("amount", "amount", 10, is_required=True, codec=AMOUNT),
    Member("notes", "notes", 128),
)
"""Members of `capture` and `refund`."""
VOID: Final = tuple(member for member in FOLLOWING if member.name != "amount")
"""Members of `void`, which has no amount."""
_OBJECTS: Final = ("card", "payment_method", "return_url", "billing_address", "shipping_address", "browser_info")
_CARD: Final = {"pan": "card.number", "month": "card.expiry_month", "year": "card.expiry_year", "cvc": "card.cvc"}


class Rows:
    """A table of members, ready to be read by."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.by_path = {path: member for member in members for path in (member.path, *member.also)}
        self._required = [member for member in members if member.is_required]
        rows = (row(member.name, _bounded(member), member.path, *member.also) for member in members)
        self._table = Table(rows)

    def read(self, document: Json) -> dict[str, Any] | Problem:
        """Values by name, for what is there; else the first thing that is wrong."""
        values, wrong = decode(self._table, document)
        for member in self._required:
            if member.name not in values and not any(error.path == member.path for error in wrong):
                return Problem(MISSING, member.path)
        if wrong:
            return self._problem(document, wrong[0].path)
        return values

    def _problem(self, document: Json, path: str) -> Problem:
        member = self.by_path[path]
        text = text_of(find(document, path.split(".")))
        if text is not None and member.most is not None and len(text) > member.most and member.name not in _CARD:
            return Problem(TOO_LONG, path)
        return Problem(INVALID_CARD if member.name in _CARD else INVALID, path)


def _bounded(member: Member) -> Codec:
    def codec(text: str) -> object:
        if member.most is not None and len(text) > member.most:
            raise ValueError
        return member.codec(text)

    return codec


_PAYMENT: Final = Rows(PAYMENT)
_FOLLOWING: Final = Rows(FOLLOWING)
_VOID: Final = Rows(VOID)


def order(document: Json, merchant: Merchant, now: datetime) -> Order | Problem:
    """A payment, an authorization or the first payment of a subscription; `now` is the merchant's business time."""
    for name in _OBJECTS:
        if not isinstance(document.get(name) or {}, dict):
            return Problem(INVALID, name)
    values = _PAYMENT.read(document)
    if isinstance(values, Problem):
        return values
    if not document.get("billing_address"):
        return Problem(MISSING, "billing_address")
    amount = amount_of(values["amount"], values["currency"], merchant.terms.paymentoptions.amount_unit)
    if amount is None or amount.minor <= 0:
        return Problem(INVALID, "amount")
    token, card = values.get("token"), None
    brings_card = bool(document.get("card"))
    if token is not None and brings_card and merchant.terms.paymentoptions.card_beside_stored == "refuse":
        return Problem(INVALID, "card")
    if token is None:
        if not brings_card:
            return Problem(MISSING, "card")
        read = _card(values, merchant, now)
        if isinstance(read, Problem):
            return read
        card = read
    wanted = option(document, merchant, amount, card.brand if card is not None else None, now)
    if not isinstance(wanted, tuple):
        return Problem(INVALID, wanted.path, wanted.response_code)
    return Order(
        merchant_id=values["merchant_id"],
        amount=amount,
        reference=values.get("reference", ""),
        card=card,
        name=values.get("card_name", ""),
        token=token,
        stores=values.get("stores", False),
        billing=address_of(values, "billing"),
        shipping=address_of(values, "shipping") if document.get("shipping_address") else None,
        customer_ip=values.get("customer_ip", ""),
        return_url={name: values[name] for name in URLS if name in values},
        browser={name: values[f"browser.{name}"] for name in BROWSER if f"browser.{name}" in values},
        time_zone=values.get("time_zone", ""),
        option=wanted[0],
        warnings=wanted[1],
    )


def following(document: Json, *, has_amount: bool = True) -> Following | Problem:
    """A capture or a refund; a void has no amount."""
    values = (_FOLLOWING if has_amount else _VOID).read(document)
    if isinstance(values, Problem):
        return values
    return Following(
        merchant_id=values["merchant_id"],
        transaction_id=values["transaction_id"],
        amount=values.get("amount", ""),
        notes=values.get("notes", ""),
    )


def amount_of(text: str, currency: Currency, unit: str) -> Money | None:
    """An amount in the unit that the merchant counts in; None for decimals that the currency does not have."""
    whole, point, fraction = text.partition(".")
    if unit == "minor":
        return None if point else Money(int(whole), currency)
    if point and (not fraction or len(fraction) > currency.exponent):
        return None
    return Money(int(whole + fraction.ljust(currency.exponent, "0")), currency)


def brand_of(pan: Pan, merchant: Merchant) -> Brand | None:
    """The brand of a number; for test merchants also of the networks' test cards outside of their brand's ranges."""
    if pan.brand is None and merchant.is_test:
        return TEST_PREFIXES.get(pan.digits[:4])
    return pan.brand


def _card(values: Mapping[str, Any], merchant: Merchant, now: datetime) -> Card | Problem:
    for name, path in _CARD.items():
        if name not in values:
            return Problem(MISSING, path)
    pan, code, expiry = values["pan"], values["cvc"], Expiry(values["year"], values["month"])
    card = Card(pan=pan, expiry=expiry, security_code=SecurityCode(code), brand=brand_of(pan, merchant))
    if not exists(card, merchant):
        return Problem(INVALID_CARD, "card.number")
    if expiry.is_past((now - timedelta(hours=12)).date()):
        return Problem(INVALID_CARD, "card.expiry_year")
    if len(code) != (4 if card.brand is Brand.AMEX else 3):
        return Problem(INVALID_CARD, "card.cvc")
    return card


def address_of(values: Mapping[str, Any], name: str) -> Address:
    members = {member: values[f"{name}.{member}"] for member in _MEMBERS if f"{name}.{member}" in values}
    return Address(**members)


_MEMBERS: Final = Address.__struct_fields__


def message_of(problem: Problem) -> codes.Said:
    """What is answered to something wrong."""
    status, text = codes.VALIDATIONS[problem.code]
    return codes.Said(problem.code, problem.response_code or 30, text.format(problem.path), status)
