"""A payment that waits for its payer (3-D Secure): where he is sent, and what is kept of it until he comes back. Pure.

What is kept is neither card nor secret: the card waits sealed elsewhere, and a key is kept as what it claims.
"""

from typing import Final

import msgspec
from msgspec import Struct

from kessai.authentication.urls import page_address
from kessai.dialects.paymentoptions import codes
from kessai.dialects.paymentoptions.messages import Order, Problem
from kessai.dialects.paymentoptions.particulars import Own
from kessai.payment.card import Card
from kessai.payment.money import Currency, Money
from kessai.payment.options import PaymentOption

_REFUSED: Final = ("cancel_url", "decline_url")
"""Where the payer goes whose payment was not made: the last that was sent."""


class Keys(Struct, frozen=True, array_like=True):
    """The claim of an idempotency key, as it is kept."""

    key: bytes
    request: bytes
    since: int


class Waiting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment without its card."""

    own: Own
    minor: int
    currency: str
    captures: bool
    brings_card: bool
    """Whether its card came with the request; else a stored payment method pays."""
    reference: str = ""
    stores: bool = False
    option: PaymentOption | None = None
    warnings: tuple[str, ...] = ()
    scenario: str | None = None
    keys: tuple[Keys, ...] = ()
    named: tuple[Keys, ...] = ()
    """The id that the redirect gave it, as what it claims."""
    correlation: str = ""

    def order(self, merchant_id: str, card: Card) -> Order:
        """What was asked, with the card that it was asked for."""
        own = self.own
        return Order(
            merchant_id=merchant_id,
            amount=Money(self.minor, Currency.of(self.currency)),
            reference=self.reference,
            card=card if self.brings_card else None,
            name=own.name,
            token=None if self.brings_card else own.token,
            stores=self.stores,
            billing=own.billing,
            shipping=own.shipping,
            customer_ip=own.customer_ip,
            return_url=own.return_url,
            browser={},
            time_zone=own.time_zone,
            option=self.option,
            warnings=self.warnings,
        )


def waiting_of(order: Order, own: Own, *, captures: bool, scenario: str | None, correlation: str) -> Waiting:
    return Waiting(
        own=own,
        minor=order.amount.minor,
        currency=order.amount.currency.code,
        captures=captures,
        brings_card=order.card is not None,
        reference=order.reference,
        stores=order.stores,
        option=order.option,
        warnings=order.warnings,
        scenario=scenario,
        correlation=correlation,
    )


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Waiting).decode


class Places(Struct, frozen=True):
    """Where a payer goes afterwards."""

    success: str
    decline: str


def places_of(order: Order) -> Places | Problem:
    """Both, or what is wrong with them: a payer who has been sent away must be able to come back.

    There is no falling back from the one to the other: a shop may ship what came back to its `success_url`.
    """
    sent = order.return_url
    refused = next((name for name in reversed(_REFUSED) if name in sent), "decline_url")
    found = []
    for name in ("success_url", refused):
        text = sent.get(name, "")
        if not text:
            return Problem(codes.MISSING, f"return_url.{name}")
        try:
            found.append(page_address(text))
        except ValueError:
            return Problem(codes.INVALID, f"return_url.{name}")
    return Places(*found)


def redirect(url: str, transaction_id: str = "") -> bytes:
    """The answer that sends the payer away; it says `success`, so clients have to look at `redirect_url` first."""
    body: dict[str, object] = {"url": url, "statusCode": 200, "success": True, "redirect_url": url}
    return msgspec.json.encode(body | ({"transaction_id": transaction_id} if transaction_id else {}))
