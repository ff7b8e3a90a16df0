"""Obligation: which payments need an authentication where a merchant is bound to 3-D Secure. Pure.

In Japan every merchant of electronic commerce is, since the end of March 2025 (Credit Card Security Guidelines,
editions 4.0 to 6.0, under the Installment Sales Act). What is exempt is a row of the table, and nothing else is.
"""

from typing import Final, NamedTuple

from msgspec import Struct

from kessai.payment.merchant import Merchant


class Order(Struct, frozen=True, kw_only=True):
    """What a payment says of itself. Every wire fills it in from its own members."""

    is_by_merchant: bool = False
    is_recurring: bool = False
    is_card_present: bool = False
    is_by_mail_or_phone: bool = False
    is_voice_approved: bool = False
    has_wallet_cryptogram: bool = False
    is_risk_analysed: bool = False
    is_authenticated: bool = False


class Exemption(NamedTuple):
    name: str
    meaning: str


EXEMPTIONS: Final[tuple[tuple[str, Exemption], ...]] = (
    ("is_by_merchant", Exemption("merchant-initiated", "the cardholder takes no part; authenticate when he stores it")),
    ("is_recurring", Exemption("recurring", "a later charge of a subscription or of a plan of installments")),
    ("is_card_present", Exemption("card-present", "no electronic commerce")),
    ("is_by_mail_or_phone", Exemption("mail-or-phone", "no electronic commerce")),
    ("is_voice_approved", Exemption("voice", "the issuer was asked by telephone and approved")),
    ("has_wallet_cryptogram", Exemption("wallet", "the device has authenticated its owner, and proves it")),
    (
        "is_risk_analysed",
        Exemption("risk-analysis", "the merchant's own risk analysis stands for it"),
    ),
)
"""Member of an order that exempts, with its name and why; the first that applies counts."""


def exemption_of(order: Order) -> Exemption | None:
    return next((exemption for member, exemption in EXEMPTIONS if getattr(order, member)), None)


def is_missing(merchant: Merchant, order: Order) -> bool:
    """Whether a payment lacks the authentication that its merchant is bound to."""
    return merchant.terms.three_d_secure == "obligatory" and not order.is_authenticated and exemption_of(order) is None
