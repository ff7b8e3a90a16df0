"""Agreements: payments that a merchant initiates refer to one that the cardholder took part in. Pure.

The real service refuses none of them for what it says of its agreement; an issuer may. What a live issuer would mind is
a warning on the payment, and nothing is refused here that is taken there.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai.dialects.cybersource import members
from kessai.dialects.cybersource.token_members import PREVIOUS_TRANSACTION
from kessai.dialects.document import mask_pans, text_of
from kessai.dialects.table import find
from kessai.payment.agreement import OLDEST, Agreement, Initiator, Occasion, Original, Series
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Transaction
from kessai.tokens.objects import InstrumentIdentifier

Json = Mapping[str, object]

OCCASIONS: Final[Mapping[str, Occasion]] = {
    "1": Occasion.RESUBMISSION,
    "2": Occasion.DELAYED_CHARGE,
    "3": Occasion.REAUTHORIZATION,
    "4": Occasion.NO_SHOW,
    "5": Occasion.INCREMENTAL,
    "6": Occasion.PARTIAL_SHIPMENT,
    "7": Occasion.SUBSCRIPTION,
    "8": Occasion.STANDING_ORDER,
    "9": Occasion.INSTALLMENT,
    "10": Occasion.UNSCHEDULED,
}
SERIES: Final[Mapping[str, Series]] = {
    "recurring": Series.RECURRING,
    "recurring_internet": Series.RECURRING,
    "install": Series.INSTALLMENT,
    "install_internet": Series.INSTALLMENT,
}
"""Commerce indicators by which a payment is one of a series."""
ORDINARY: Final = frozenset(
    {None, "internet", "moto", "retail"}
    | {"vbv", "vbv_attempted", "vbv_failure", "spa", "spa_failure", "js", "js_attempted", "js_failure"}
    | {"aesk", "aesk_attempted", "pb", "pb_attempted", "dipb", "dipb_attempted"}
)
"""The usual others, by which a request says nothing of an agreement."""

REASONS: Final[Mapping[str, tuple[str, frozenset[Brand]]]] = {
    "1": ("resubmission", frozenset({Brand.DISCOVER, Brand.MASTERCARD, Brand.VISA})),
    "2": ("delayed charge", frozenset({Brand.DISCOVER, Brand.MASTERCARD, Brand.VISA})),
    "3": ("reauthorization", frozenset({Brand.DISCOVER, Brand.VISA})),
    "4": ("no-show", frozenset({Brand.DISCOVER, Brand.MASTERCARD, Brand.VISA})),
    "5": ("incremental", frozenset({Brand.DISCOVER, Brand.VISA})),
    "6": ("partial shipment", frozenset({Brand.DISCOVER, Brand.MASTERCARD})),
    "7": ("recurring, by subscription", frozenset({Brand.MASTERCARD})),
    "8": ("recurring, by standing order", frozenset({Brand.MASTERCARD})),
    "9": ("installment", frozenset({Brand.MASTERCARD})),
    "10": ("unscheduled", frozenset({Brand.AMEX, Brand.DISCOVER, Brand.MASTERCARD})),
}
"""Reason of a merchant-initiated payment: what it is, and the brands that the public reference names for it."""

_OPTIONS: Final = ("processingInformation", "authorizationOptions")
_INITIATOR: Final = (*_OPTIONS, "initiator")
_PLACES: Final = ((*_INITIATOR, "merchantInitiatedTransaction"), (*_OPTIONS, "merchantInitiatedTransaction"))
"""Where clients say what they charge for; the first is the public place."""
_PREVIOUS: Final = ("previousTransactionID", "previousTransactionId")
_WHERE: Final = "processingInformation.authorizationOptions.initiator"
_WHY: Final = f"{_WHERE}.merchantInitiatedTransaction"


_DOCUMENTS: Final[Mapping[str, str]] = {
    "installmentInformation.": "installment",
    "recurringPaymentInformation.": "recurring",
    "unscheduledPaymentInformation.": "unscheduled",
    "processingInformation.recurringOptions.": "recurring",
}
"""Objects that tell of a series, and how the neutral names of their members begin."""


def _terms() -> dict[tuple[str, ...], str]:
    """Each kept member of those objects, and its neutral name: `installmentInformation.planType` is
    `installment_plan_type`."""
    found = {}
    for path in members.kept_paths():
        for prefix, name in _DOCUMENTS.items():
            if path.startswith(prefix):
                last = re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", path.removeprefix(prefix))
                found[tuple(path.split("."))] = f"{name}_{last}"
    return dict(sorted(found.items()))


TERMS: Final[Mapping[tuple[str, ...], str]] = _terms()
"""What an acquirer is told of a series: path to neutral name."""
_TERMS: Final = {
    way: {path[-1]: name for path, name in TERMS.items() if path[:-1] == way} for way in {p[:-1] for p in TERMS}
}


def told(kept: Json) -> Agreement | None:
    """What an acquirer is told of the agreement in a request; None for a request that says nothing of one. `kept` are
    the members of the request that may be kept: of bad texts and overlong ones nothing is passed on."""
    said = find(kept, _INITIATOR)
    initiator = said if isinstance(said, dict) else {}
    indicator = (text_of(find(kept, ("processingInformation", "commerceIndicator"))) or "").lower()
    terms: dict[str, str] = {}
    for way, names in _TERMS.items():
        place = find(kept, way)
        if isinstance(place, dict):
            terms |= {name: _clean(place[member]) for member, name in names.items() if member in place}
    original, named = _said(kept, "originalAuthorizedAmount"), _said(kept, "agreementId")
    previous = _said(kept, *_PREVIOUS)
    agreement = Agreement(
        initiator=_INITIATORS.get(_word(initiator.get("type"))),
        keeps_card=_word(initiator.get("credentialStoredOnFile")) == "true",
        uses_kept_card=_word(initiator.get("storedCredentialUsed")) == "true",
        occasion=OCCASIONS.get(_said(kept, "reason") or ""),
        series=SERIES.get(indicator),
        network_transaction_id=_clean(previous) if previous else None,
        original_amount=_clean(original) if original else None,
        agreement_id=_clean(named) if named else None,
        terms=dict(sorted(terms.items())),
    )
    return None if agreement == _NONE else agreement


_NONE: Final = Agreement()
_INITIATORS: Final = {"merchant": Initiator.MERCHANT, "customer": Initiator.CARDHOLDER}


def _word(value: object) -> str:
    return (text_of(value) or "").lower()


def _clean(value: object) -> str:
    return text_of(mask_pans(value)) or ""


_ON_FILE: Final = tuple(PREVIOUS_TRANSACTION.split("."))


def agreement_of(instrument: InstrumentIdentifier | None) -> str | None:
    """The network's id of the first payment that a card's holder took part in; None before there was one."""
    found = find(instrument.document, _ON_FILE) if instrument is not None else None
    return found if isinstance(found, str) else None


def with_agreement(document: Json, network_id: str) -> dict[str, object]:
    """The document of an instrument identifier with the payment that later ones refer to."""
    return _with(document, list(_ON_FILE), network_id)


LONGEST_NETWORK_ID: Final = 15


def begins_agreement(transaction: Transaction) -> str | None:
    """The network's id of a payment that later ones may refer to: approved, and the cardholder took part in it."""
    network_id = transaction.facts.get("network_transaction_id")
    if network_id is None or len(network_id) > LONGEST_NETWORK_ID or "merchant-initiated" in transaction.flags:
        return None
    return network_id


def is_by_merchant(document: Json) -> bool:
    return (text_of(find(document, (*_INITIATOR, "type"))) or "").lower() == "merchant"


def referring(document: Json, instrument: InstrumentIdentifier | None) -> Json:
    """A payment that a merchant initiates with a token refers to what is on file where it names nothing itself."""
    on_file = agreement_of(instrument)
    if on_file is None or not is_by_merchant(document) or _said(document, *_PREVIOUS) is not None:
        return document
    return _with(document, [*_PLACES[0], _PREVIOUS[0]], on_file)


def previous_of(document: Json) -> str | None:
    """The network's id of the payment that a charge names, if it names one."""
    return _said(document, *_PREVIOUS)


class Card(Struct, frozen=True):
    """What pays."""

    instrument: InstrumentIdentifier | None
    """As it is on file; None where it is not."""
    brand: Brand | None
    by_token: bool


def warnings(document: Json, card: Card, originals: Sequence[Original] | None, now: datetime) -> tuple[str, ...]:
    """What a live issuer would mind of a payment that its merchant initiates. `originals` are the stored payments of
    the card that have the network's id which it names; None where nobody can say. `now` is business time."""
    found = []
    brand = card.brand
    reason = _said(document, "reason")
    minded = _minded_of_original(document, card, originals, now)
    if minded is not None:
        found.append(f"{_WHY}.{_PREVIOUS[0]}: {minded}; a live issuer may decline this")
    indicator = (text_of(find(document, ("processingInformation", "commerceIndicator"))) or "").lower()
    uses_stored = (text_of(find(document, (*_INITIATOR, "storedCredentialUsed"))) or "").lower() == "true"
    if reason is None and indicator not in SERIES and not uses_stored:
        found.append(f"{_WHY}.reason: missing, and nothing else says why; a live issuer may decline this")
    elif reason is not None and reason not in REASONS:
        found.append(f"{_WHY}.reason: not a reason for a payment without the cardholder")
    elif reason is not None and brand is not None and brand not in REASONS[reason][1]:
        found.append(f"{_WHY}.reason: {REASONS[reason][0]} is no reason of this card brand; its network may ignore it")
    if brand is Brand.DISCOVER and _said(document, "originalAuthorizedAmount") is None:
        found.append(f"{_WHY}.originalAuthorizedAmount: this card brand requires it")
    return tuple(found)


def _minded_of_original(document: Json, card: Card, originals: Sequence[Original] | None, now: datetime) -> str | None:
    """What is wrong with the payment that a charge goes back to; None: nothing that can be known."""
    previous, on_file = previous_of(document), agreement_of(card.instrument)
    if previous is None:
        if on_file is not None:
            return "no payment of the cardholder is named; a card number does not bring the one on file"
        return "no payment of the cardholder is named or on file"
    if originals == () and previous != on_file:
        if on_file is not None:
            return "not the payment on file with this card, nor any other that is stored of it"
        return "no stored payment of this card has this id"
    if not originals:
        return None
    by_holder = [original for original in originals if not original.by_merchant]
    if not by_holder and previous != on_file and card.brand in _NAME_THE_FIRST:
        return "names a charge without the cardholder; this card brand wants the payment that the cardholder made"
    occasion = OCCASIONS.get(_said(document, "reason") or "")
    oldest = OLDEST.get(occasion) if occasion is not None and card.by_token else None
    if oldest is not None:
        age = now - max(original.requested_at for original in by_holder or originals)
        if age >= oldest:
            return f"{age.days} days old; by a token, a {_in_words(occasion)} goes back {oldest.days} days at the most"
    return None


_NAME_THE_FIRST: Final = frozenset({Brand.AMEX, Brand.DINERS, Brand.DISCOVER})
"""Brands whose charges go back to the cardholder's own payment; of others it may be the last one that succeeded."""


def _in_words(occasion: Occasion | None) -> str:
    return occasion.word.replace("-", " ") if occasion is not None else ""


def _said(document: Json, *names: str) -> str | None:
    for place in _PLACES:
        for name in names:
            text = text_of(find(document, (*place, name)))
            if text:
                return text
    return None


def _with(document: Json, path: list[str], value: str) -> dict[str, object]:
    """A copy of a document with a member set; what is no object on the way stays, for the rules to find."""
    whole = dict(document)
    place = whole
    *way, last = path
    for step in way:
        below = place.get(step)
        if below is not None and below != "" and not isinstance(below, dict):
            return whole
        place[step] = below = below.copy() if isinstance(below, dict) else {}
        place = below
    place[last] = value
    return whole
