"""Agreements: what a payment says of a card that is kept, and of charges that are made without the cardholder. Pure.

Neutral: a dialect reads it, an acquirer is told it. `facts` says it in the terms that an ISO 8583 link needs.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field

from kessai.payment.word import Word


class Initiator(Word):
    CARDHOLDER = "cardholder"
    MERCHANT = "merchant"


class Occasion(Word):
    """Why a merchant charges without the cardholder."""

    RESUBMISSION = "resubmission"
    DELAYED_CHARGE = "delayed-charge"
    REAUTHORIZATION = "reauthorization"
    NO_SHOW = "no-show"
    INCREMENTAL = "incremental"
    PARTIAL_SHIPMENT = "partial-shipment"
    SUBSCRIPTION = "subscription"
    STANDING_ORDER = "standing-order"
    INSTALLMENT = "installment"
    UNSCHEDULED = "unscheduled"


class Series(Word):
    """What a payment is one of."""

    RECURRING = "recurring"
    INSTALLMENT = "installment"


class Agreement(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a payment says beside its card; an ordinary one says nothing of this and has none."""

    initiator: Initiator | None = None
    """None: not said."""
    keeps_card: bool = False
    """The cardholder lets the merchant keep the card with this payment."""
    uses_kept_card: bool = False
    occasion: Occasion | None = None
    series: Series | None = None
    network_transaction_id: str | None = None
    """The card network's id of the payment that this one goes back to."""
    original_amount: str | None = None
    """What that payment was of, as decimal text."""
    agreement_id: str | None = None
    terms: Mapping[str, str] = field(default_factory=dict)
    """What the merchant tells of the series (number of payments, sequence, plan ...), by neutral names."""


class Original(Struct, frozen=True):
    """A stored payment that a charge without the cardholder may go back to. The time is business time, aware UTC."""

    requested_at: datetime
    by_merchant: bool


OLDEST: Final[Mapping[Occasion, timedelta]] = {
    Occasion.RESUBMISSION: timedelta(days=14),
    Occasion.DELAYED_CHARGE: timedelta(days=30),
    Occasion.REAUTHORIZATION: timedelta(days=30),
}
"""How old the original of a charge by a token may be."""


STANDING: Final = frozenset(
    {Occasion.SUBSCRIPTION, Occasion.STANDING_ORDER, Occasion.INSTALLMENT, Occasion.UNSCHEDULED}
)
"""Occasions that the cardholder agreed to once for all; the others follow from one purchase."""

KEYED: Final = "01"
ON_FILE: Final = "10"
"""POS entry modes (DE 22, first two digits): entered by somebody, or kept by the merchant."""
E_COMMERCE: Final = "59"
RECURRING: Final = "08"
"""POS conditions (DE 25)."""

MESSAGE_REASONS: Final[Mapping[Occasion, str]] = {
    Occasion.INCREMENTAL: "3900",
    Occasion.RESUBMISSION: "3901",
    Occasion.DELAYED_CHARGE: "3902",
    Occasion.REAUTHORIZATION: "3903",
    Occasion.NO_SHOW: "3904",
}
"""Four-digit message reasons as Visa numbers them; a link to another network has a table of its own."""


def facts(agreement: Agreement, *, is_present: bool = False) -> dict[str, str]:
    """What an acquirer is told, as plain facts: what is not said is left out.

    An incremental charge has entry mode and condition of its original, and a card that is present (`is_present`) those
    of its terminal, so none is told.
    """
    on_file = agreement.initiator is Initiator.MERCHANT or agreement.uses_kept_card
    told: dict[str, str] = {}
    if agreement.occasion is not Occasion.INCREMENTAL and (on_file or not is_present):
        told["entry_mode"] = ON_FILE if on_file else KEYED
        told["condition"] = RECURRING if _is_standing(agreement) else E_COMMERCE
    if agreement.initiator is not None:
        told["initiator"] = agreement.initiator.word
    if agreement.keeps_card:
        told["keeps_card"] = "true"
    if agreement.uses_kept_card:
        told["uses_kept_card"] = "true"
    if agreement.occasion is not None:
        told["occasion"] = agreement.occasion.word
        if agreement.occasion in MESSAGE_REASONS:
            told["message_reason"] = MESSAGE_REASONS[agreement.occasion]
    if agreement.series is not None:
        told["series"] = agreement.series.word
    for name in ("network_transaction_id", "original_amount", "agreement_id"):
        value = getattr(agreement, name)
        if value is not None:
            told[name] = value
    return told | dict(agreement.terms)


def _is_standing(agreement: Agreement) -> bool:
    """Whether a charge is one of those that were agreed to beforehand."""
    if agreement.initiator is Initiator.CARDHOLDER:
        return False
    if agreement.series is not None or agreement.occasion in STANDING:
        return True
    return agreement.initiator is Initiator.MERCHANT and agreement.uses_kept_card and agreement.occasion is None
