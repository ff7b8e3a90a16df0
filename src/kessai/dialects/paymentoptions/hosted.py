"""The hosted payment page on this wire: what asks for a link, what is answered, what a payer's form becomes. Pure.

The answer is a bare object, unlike every other answer of the wire. What a link's request does not say (the amount, an
e-mail address) is asked of the payer. The form becomes the body of a payment, so that one table reads both.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from kessai.authentication.urls import in_ascii
from kessai.dialects.paymentoptions import answers, codes, options
from kessai.dialects.paymentoptions.messages import (
    AMOUNT,
    STORES,
    URLS,
    Address,
    Json,
    Member,
    Problem,
    Rows,
    address_members,
    address_of,
    amount_of,
    page,
)
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency, Money

SCHEME: Final = "scheme"
WALLETS: Final = ("gcash",)
"""Wallets that a link may ask for; there is none behind this gateway, so test merchants' payers use a card instead."""


def _type(text: str) -> str:
    if text not in (SCHEME, *WALLETS):
        raise ValueError
    return text


LINK: Final = (
    Member("merchant_id", "merchant_id", 128, is_required=True),
    Member("amount", "amount", 10, codec=AMOUNT),
    Member("currency", "currency", 3, is_required=True, codec=Currency.of),
    Member("merchant_email", "merchant_email", 45),
    Member("merchant_txn_ref", "reference", 45),
    Member("payment_method.type", "type", 64, codec=_type),
    STORES,
    Member("customer_ip", "customer_ip", 45),
    *(Member(f"return_url.{name}", name, 255, codec=page) for name in URLS),
    *address_members("billing_address", "billing"),
    *address_members("shipping_address", "shipping"),
    Member("time_zone", "time_zone", 128),
)
"""Members of `hpp/generate/link`."""
_LINK: Final = Rows(LINK)
_OBJECTS: Final = ("payment_method", "return_url", "billing_address", "shipping_address")
_SHOWN: Final = ("city", "email", "phone_number", "state", "country", "address1", "postal_code")
"""Members of an address, in the order that this answer has them in."""


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a link is for; kept with it."""

    merchant_id: str
    currency: str
    amount: str = ""
    """As it was sent; empty: the payer types it."""
    merchant_email: str = ""
    reference: str = ""
    stores: bool = False
    wallet: str = ""
    """Asked for, and not to be had."""
    customer_ip: str = ""
    return_url: Mapping[str, str] = {}
    billing: Address | None = None
    shipping: Address | None = None
    time_zone: str = ""

    def money(self, merchant: Merchant, typed: str = "") -> Money | None:
        """The amount: the link's own, else the one that the payer typed; None where there is none, or it is none."""
        text = self.amount or _plain_amount(typed)
        if not text:
            return None
        unit = merchant.terms.paymentoptions.amount_unit if self.amount else "major"
        found = amount_of(text, Currency.of(self.currency), unit)
        return found if found is not None and found.minor > 0 else None

    def place(self, name: str) -> str:
        """Where a member of `return_url` sends a browser; empty: nowhere."""
        return in_ascii(self.return_url.get(name, ""))

    @property
    def wants_email(self) -> bool:
        """Whether the payer is asked for an e-mail address: a payment has a billing address."""
        return self.billing is None


def asked(document: Json, merchant: Merchant) -> Asked | Problem:
    """A request for a link."""
    for name in _OBJECTS:
        if not isinstance(document.get(name) or {}, dict):
            return Problem(codes.INVALID, name)
    values = _LINK.read(document)
    if isinstance(values, Problem):
        return values
    kind = values.get("type", SCHEME)
    if kind != SCHEME and not merchant.is_test:
        return Problem(codes.INVALID, "payment_method.type")
    found = Asked(
        wallet=kind if kind != SCHEME else "",
        merchant_id=values["merchant_id"],
        currency=values["currency"].code,
        amount=values.get("amount", ""),
        merchant_email=values.get("merchant_email", ""),
        reference=values.get("reference", ""),
        stores=values.get("stores", False),
        customer_ip=values.get("customer_ip", ""),
        return_url={name: values[name] for name in URLS if name in values},
        billing=address_of(values, "billing") if document.get("billing_address") else None,
        shipping=address_of(values, "shipping") if document.get("shipping_address") else None,
        time_zone=values.get("time_zone", ""),
    )
    return Problem(codes.INVALID, "amount") if found.amount and found.money(merchant) is None else found


def answer(found: Asked, merchant: Merchant, identifier: str, url: str) -> bytes:
    money = found.money(merchant)
    unit = merchant.terms.paymentoptions.amount_unit
    return answers.encode(
        {
            "id": identifier,
            "url": url,
            "amount": answers.number(money, unit) if money is not None else None,
            "currency": found.currency,
            "merchant_txn_ref": found.reference,
            "merchant_id": found.merchant_id,
            "merchant_email": found.merchant_email or None,
            "return_url": {name: found.return_url.get(name) for name in URLS},
            "billing_address": _shown(found.billing),
            "shipping_address": _shown(found.shipping),
        }
    )


def _shown(address: Address | None) -> dict[str, object] | None:
    if address is None:
        return None
    members = asdict(address)
    return {name: members[name] for name in _SHOWN}


# ---- what a payer typed

FIELDS: Final[Mapping[str, str]] = {
    "card.number": "number",
    "card.expiry_month": "expiry",
    "card.expiry_year": "expiry",
    "card.cvc": "cvc",
    "card.name": "name",
    "amount": "amount",
    "billing_address": "email",
    "billing_address.email": "email",
}
"""Member of a payment to the field of the page that it comes from."""
MARKS: Final = re.compile(r"(10|21|80)|61-([1-9][0-9]?)", re.ASCII)
"""Payment options as the page names them: a code of theirs, installments with their count."""
_EXPIRY: Final = re.compile(r"([0-9]{1,2})[/ -]*((?:20)?[0-9]{2})", re.ASCII)
_SPACES: Final = str.maketrans("", "", " -\u2010\u2011\u2012\u2013\u2014\u2212\u30fc")
"""What people write between the digits of a card's number."""


def field_of(problem: Problem) -> str:
    """The field of the page that is wrong; `option` and, for what is none of the payer's doing, nothing."""
    if problem.path.startswith(options.PATH):
        return "option"
    return FIELDS.get(problem.path, "")


def plain(text: str) -> str:
    """A text as it was meant: full-width letters and digits are the plain ones."""
    return unicodedata.normalize("NFKC", text).strip()


def payment(found: Asked, form: Mapping[str, str], amount: Money, unit: str, address: str) -> dict[str, Any]:
    """The body of the payment that a form asks for. `address`: where the payer's browser is."""
    expiry = _EXPIRY.fullmatch(plain(form.get("expiry", "")))
    billing = asdict(found.billing) if found.billing is not None else {"email": plain(form.get("email", ""))}
    body: dict[str, Any] = {
        "merchant_id": found.merchant_id,
        "amount": found.amount or (str(amount.minor) if unit == "minor" else _short(amount)),
        "currency": found.currency,
        "merchant_txn_ref": found.reference,
        "card": {
            "number": plain(form.get("number", "")).translate(_SPACES),
            "name": plain(form.get("name", "")),
            "expiry_month": expiry[1] if expiry is not None else "?",
            "expiry_year": expiry[2] if expiry is not None else "?",
            "cvc": plain(form.get("cvc", "")),
        },
        "payment_method": {"type": "scheme", "store_payment_method": found.stores},
        "customer_ip": found.customer_ip or address,
        "return_url": dict(found.return_url),
        "billing_address": billing,
        "time_zone": found.time_zone,
    }
    if found.shipping is not None:
        body["shipping_address"] = asdict(found.shipping)
    chosen = MARKS.fullmatch(form.get("option", ""))
    if chosen is not None:
        wanted = {"payment_division": chosen[1] or "61", "installments": chosen[2]}
        body["payment_method"]["japan_payment_options"] = {k: v for k, v in wanted.items() if v}
    return body


def _plain_amount(typed: str) -> str:
    text = plain(typed).replace(",", "").lstrip("¥\\").removesuffix("円").strip()
    return text if len(text) <= 10 and re.fullmatch(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", text, re.ASCII) else ""


def _short(amount: Money) -> str:
    return str(amount).removesuffix("." + "0" * amount.currency.exponent)


encode: Final = msgspec.json.Encoder().encode
_asked: Final = msgspec.json.Decoder(Asked)


def decode(document: bytes) -> Asked:
    """What was kept with a link."""
    return _asked.decode(document)
