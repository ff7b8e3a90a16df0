"""Token requests: documents to what they ask for, and JSON merge patches (RFC 7396). Pure.

A request becomes a document that may be kept, and apart from it what the rules need: a number, an expiry, the ids of
other tokens, whether it is to be the default. A patch is merged into what is kept and then read like a new document.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.members import keep
from kessai.dialects.cybersource.token_faults import (
    INVALID_COMBINATION,
    INVALID_FIELDS,
    INVALID_PARAMETERS,
    MISSING_FIELDS,
    OTHER_PAYMENT_METHOD,
    UNSUPPORTED_FIELDS,
    Fault,
)
from kessai.dialects.cybersource.token_members import (
    ACCOUNT_TYPES,
    CARD_CODES,
    CARD_WORDS,
    PLACES,
    PRESENTED_DATA,
    SPELLINGS,
)
from kessai.dialects.document import mask_pans, text_of
from kessai.dialects.table import find
from kessai.payment.card import PUBLISHED_TEST_NUMBERS, AccountNumber, Brand, Card, Pan, looks_like_a_pan, luhn
from kessai.tokens.updates import HISTORY

Json = Mapping[str, object]


class Customer(Struct, frozen=True):
    document: dict[str, object]
    default_payment_instrument: str | None = None
    default_shipping_address: str | None = None


class ShippingAddress(Struct, frozen=True):
    document: dict[str, object]
    is_default: bool = False


class Identifier(Struct, frozen=True):
    """A number with the document of its instrument identifier."""

    number: Pan | AccountNumber
    routing_number: str
    document: dict[str, object]
    enrols: dict[str, object] | None = None
    """What a network token that is asked for with it begins with."""


class PaymentInstrument(Struct, frozen=True):
    document: dict[str, object]
    expiry: str = ""
    is_default: bool = False
    refers_to: str | Identifier | None = None
    """The id of an instrument identifier, or a number of which it is made or found."""


class Page(Struct, frozen=True):
    offset: int
    limit: int


# ---- merge patches


def merge(target: object, patch: object) -> object:
    """RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def patched(document: Json, patch: Json) -> Json:
    """What is kept of a token, with a patch; what cannot be changed is not kept, and so falls away again."""
    merged = merge(document, _spelled(patch))
    assert isinstance(merged, dict)
    return merged


def _spelled(value: object, inside: str = "") -> object:
    """A document with its members spelled as they are called."""
    if not isinstance(value, Mapping):
        return value
    return {SPELLINGS.get((inside, name), name): _spelled(member, name) for name, member in value.items()}


# ---- documents


def customer(document: Json) -> Customer | Fault:
    kept = _kept("customer", document)
    if isinstance(kept, Fault):
        return kept
    data = kept.get("merchantDefinedInformation")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in data] if isinstance(data, list) else []
    if len(set(names)) < len(names) or not PRESENTED_DATA.issuperset(map(str, names)):
        return INVALID_FIELDS.at("merchantDefinedInformation")
    return Customer(kept, _id(document, "defaultPaymentInstrument"), _id(document, "defaultShippingAddress"))


def shipping_address(document: Json) -> ShippingAddress | Fault:
    kept = _kept("shipping address", document)
    if isinstance(kept, Fault):
        return kept
    is_default = _flag(document, "default")
    if isinstance(is_default, Fault):
        return is_default
    return _address_fault(kept, "shipTo") or ShippingAddress(kept, is_default)


def payment_instrument(document: Json, *, is_test: bool, is_new: bool = True) -> PaymentInstrument | Fault:
    """`is_new`: it has to say which number it is over."""
    kept = _kept("payment instrument", document)
    if isinstance(kept, Fault):
        return kept
    is_default = _flag(document, "default")
    if isinstance(is_default, Fault):
        return is_default
    if "card" in kept and "bankAccount" in kept:
        return INVALID_COMBINATION.at("card", "bankAccount")
    refers_to: str | Identifier | Fault | None = _id(document, "instrumentIdentifier")
    inline = document.get("instrumentIdentifier")
    if refers_to is None and isinstance(inline, dict) and inline.keys() & {"card", "bankAccount"}:
        refers_to = identifier(inline, is_test=is_test, prefix="instrumentIdentifier.")
    if isinstance(refers_to, Fault):
        return refers_to
    if refers_to is None and is_new:
        return MISSING_FIELDS.at("instrumentIdentifier.id")
    expiry = _card(kept)
    if isinstance(expiry, Fault):
        return expiry
    account = find(kept, ("bankAccount", "type"))
    if account is not None and str(account).lower() not in ACCOUNT_TYPES:
        return INVALID_FIELDS.at("bankAccount.type")
    return _address_fault(kept, "billTo") or PaymentInstrument(kept, expiry, is_default, refers_to)


def chosen_id(document: Json) -> str | Fault | None:
    """The id that a request chooses for what it makes. A card's number is none."""
    text = text_of(document.get("id"))
    if not text:
        return None
    is_one = re.fullmatch("[0-9A-Z]{16,32}", text, re.ASCII) is not None and not looks_like_a_pan(text)
    return text if is_one else INVALID_FIELDS.at("id")


def over_another(document: dict[str, object], patch: Json, brand: Brand | None) -> dict[str, object]:
    """The document of a payment instrument that refers to another number now: its card type is that number's, where
    the patch does not say it."""
    card = document.get("card")
    if not isinstance(card, dict) or "type" not in card or text_of(find(patch, ("card", "type"))) is not None:
        return document
    kind = TYPE_OF_BRAND.get(brand) if brand is not None else None
    kept = {name: value for name, value in card.items() if name != "type"}
    return {**document, "card": kept | ({"type": kind} if kind is not None else {})}


def routing_number(document: Json) -> str:
    """What finds a bank account beside its number, out of the document that is kept of its instrument identifier."""
    return text_of(find(document, ("bankAccount", "routingNumber"))) or ""


def identifier(document: Json, *, is_test: bool, prefix: str = "") -> Identifier | Fault:
    """The number of a new instrument identifier, and what an enrolment needs beside it where one is asked for."""
    card, account = (text_of(find(document, (name, "number"))) for name in ("card", "bankAccount"))
    routing = text_of(find(document, ("bankAccount", "routingNumber")))
    if card is not None and account is not None:
        return INVALID_COMBINATION.at(f"{prefix}card.number", f"{prefix}bankAccount.number")
    if card is None and account is None:
        if isinstance(document.get("tokenizedCard"), dict):
            return UNSUPPORTED_FIELDS.at(f"{prefix}tokenizedCard")
        return MISSING_FIELDS.at(f"{prefix}card.number")
    kept = _kept("instrument identifier", _without_numbers(document), prefix)
    if isinstance(kept, Fault):
        return kept
    if card is not None:
        if re.fullmatch("[0-9]{12,19}", card, re.ASCII) is None or not _is_number(card, is_test):
            return INVALID_FIELDS.at(f"{prefix}card.number")
        pan = Pan(card)
        enrols = enrolment(document, prefix) if text_of(document.get("type")) is not None and not prefix else None
        if isinstance(enrols, Fault):
            return enrols
        return Identifier(pan, "", {"card": {"number": pan.masked()}, **kept}, enrols)
    assert account is not None
    if routing is None:
        return MISSING_FIELDS.at(f"{prefix}bankAccount.routingNumber")
    if re.fullmatch("[0-9]{1,9}", routing, re.ASCII) is None:
        return INVALID_FIELDS.at(f"{prefix}bankAccount.routingNumber")
    try:
        number = AccountNumber(account)
    except ValueError:
        return INVALID_FIELDS.at(f"{prefix}bankAccount.number")
    return Identifier(number, routing, {"bankAccount": {"number": number.masked(), "routingNumber": routing}, **kept})


def patched_identifier(document: Json, patch: Json) -> dict[str, object] | Fault:
    """The document of an instrument identifier with a patch. Its number does not change: the same one, masked as it was
    shown, may be sent."""
    for name in ("card", "bankAccount"):
        sent, shown = (text_of(find(each, (name, "number"))) for each in (patch, document))
        if sent is not None and sent != shown:
            return OTHER_PAYMENT_METHOD.at(f"{name}.number")
    kept = _kept("instrument identifier", patched(document, _without_numbers(patch)))
    if isinstance(kept, dict):  # it was enrolled, and stays so; what its issuer told stays told
        kept |= {name: document[name] for name in ("type", HISTORY) if name in document}
    return kept


def page(query: str) -> Page | Fault:
    """Where a list is to begin and how long it may be."""
    asked = {name: value for name, _, value in (pair.partition("=") for pair in query.split("&"))}
    offset, limit = asked.get("offset", "0"), asked.get("limit", "20")
    if re.fullmatch("[0-9]{1,9}", offset, re.ASCII) is None:
        return INVALID_PARAMETERS.at("offset", location="query")
    if re.fullmatch("[0-9]{1,3}", limit, re.ASCII) is None or not 1 <= int(limit) <= MOST_LISTED:
        return INVALID_PARAMETERS.at("limit", location="query")
    return Page(int(offset), int(limit))


MOST_LISTED: Final = 100


# ---- network tokens


def enrolment(document: Json, prefix: str = "") -> dict[str, object] | Fault:
    """What a network token begins with that an instrument identifier's document asks for."""
    kind = (text_of(document.get("type")) or ENROLLABLE_CARD).lower()
    if kind != ENROLLABLE_CARD:
        fault = UNSUPPORTED_FIELDS if kind == "enrollable token" else INVALID_FIELDS
        return fault.at(f"{prefix}type")
    card = document.get("card")
    kept = _kept("network token", {"card": card} if isinstance(card, dict) else {}, prefix)
    if isinstance(kept, Fault):
        return kept
    expiry = _card(kept)
    return expiry if isinstance(expiry, Fault) else kept


def number_of(document: Json) -> Pan | None:
    """The card number that an enrolment names beside the token; None where it names none, or a masked one."""
    text = text_of(find(document, ("card", "number")))
    return Pan(text) if text is not None and re.fullmatch("[0-9]{1,20}", text, re.ASCII) else None


ENROLLABLE_CARD: Final = "enrollable card"


def tokenized_card(document: Json, *, is_test: bool) -> Identifier | Fault:
    """A card number that a network token is wanted for. Other sources than a number are not to be had."""
    source = (text_of(document.get("source")) or "ONFILE").upper()
    if source != "ONFILE":
        return (UNSUPPORTED_FIELDS if source in ("TOKEN", "ISSUER") else INVALID_FIELDS).at("source")
    card = document.get("card")
    of_number = identifier({"card": card} if isinstance(card, dict) else {}, is_test=is_test)
    if isinstance(of_number, Fault):
        return of_number
    kept = _kept("network token", {**document, "source": source})
    if isinstance(kept, Fault):
        return kept
    expiry = _card(kept)
    if isinstance(expiry, Fault):
        return expiry
    return Identifier(of_number.number, "", of_number.document, kept)


class Simulated(Struct, frozen=True):
    """What an issuer is to do: None leaves the state; `card` is what it says of the card."""

    state: str | None
    card: dict[str, object]


def simulated(document: Json) -> Simulated | Fault:
    state = text_of(document.get("state"))
    if state is not None and state not in ("ACTIVE", "SUSPENDED", "DELETED"):
        return INVALID_FIELDS.at("state")
    if state is None and not document.keys() & {"card", "metadata"}:
        return MISSING_FIELDS.at("state")
    kept = _kept("network token", {"card": document.get("card") or {}})
    if isinstance(kept, Fault):
        return kept
    expiry = _card(kept)
    if isinstance(expiry, Fault):
        return expiry
    card = kept.get("card")
    about = {name: value for name, value in card.items() if name != "type"} if isinstance(card, dict) else {}
    last_four = text_of(find(document, ("card", "last4")))
    if last_four is not None:
        if re.fullmatch("[0-9]{4}", last_four, re.ASCII) is None:
            return INVALID_FIELDS.at("card.last4")
        about["suffix"] = last_four
    return Simulated(state, about)


def why_deleted(document: Json) -> Fault | None:
    """What is wrong with the reason for a network token's end."""
    code = text_of(find(document, ("reason", "code")))
    return None if code in (None, "PAYMENT_METHOD_REMOVED", "FRAUD") else INVALID_FIELDS.at("reason.code")


def credentials(document: Json) -> str | Fault:
    """The type of payment credentials that are wanted; empty for number and cryptogram, the default."""
    wanted = text_of(document.get("paymentCredentialType")) or ""
    if wanted not in ("", "NETWORK_TOKEN", "SECURITY_CODE", "CRYPTOGRAM"):
        return INVALID_FIELDS.at("paymentCredentialType")
    kind = text_of(document.get("transactionType"))
    return wanted if kind in (None, "ECOM", "AFT") else INVALID_FIELDS.at("transactionType")


# ---- parts


def _kept(kind: str, document: Json, prefix: str = "") -> dict[str, object] | Fault:
    """What may be kept of a document; a text that looks like a card number, as a whole, shows its last four."""
    spelled = _spelled(document)
    assert isinstance(spelled, dict)
    kept, bad, overlong = keep(spelled, PLACES[kind])
    if bad or overlong:
        return INVALID_FIELDS.at(*(prefix + path for path in (*bad, *overlong)))
    masked = mask_pans(kept)
    assert isinstance(masked, dict)
    return masked


def _without_numbers(document: Json) -> Json:
    return {name: value for name, value in document.items() if name not in ("card", "bankAccount")}


def _is_number(digits: str, is_test: bool) -> bool:
    is_right = luhn(digits) and digits.strip("0") != ""
    return is_right or (is_test and digits in PUBLISHED_TEST_NUMBERS)


def _id(document: Json, name: str) -> str | None:
    return text_of(find(document, (name, "id")))


def _flag(document: Json, name: str) -> bool | Fault:
    text = (text_of(document.get(name)) or "false").lower()
    return text == "true" if text in ("true", "false") else INVALID_FIELDS.at(name)


def _card(kept: dict[str, object]) -> str | Fault:
    """The expiry of a kept document, `YYYY-MM` or nothing; its month and card type are put into one form."""
    card = kept.get("card")
    if not isinstance(card, dict):
        return ""
    named = text_of(card.get("type"))
    if named is not None:
        code = CARD_CODES.get(named.lower(), named)
        if code not in CARD_WORDS:
            return INVALID_FIELDS.at("card.type")
        card["type"] = code
    for member in ("expirationMonth", "startMonth"):
        month = text_of(card.get(member))
        if month is not None:
            if re.fullmatch("0?[1-9]|1[0-2]", month, re.ASCII) is None:
                return INVALID_FIELDS.at(f"card.{member}")
            card[member] = month.rjust(2, "0")
    for member in ("expirationYear", "startYear"):
        year = text_of(card.get(member))
        if year is not None and re.fullmatch("(19|20)[0-9]{2}", year, re.ASCII) is None:
            return INVALID_FIELDS.at(f"card.{member}")
    month, year = card.get("expirationMonth"), card.get("expirationYear")
    if (month is None) != (year is None):
        return MISSING_FIELDS.at("card.expirationYear" if year is None else "card.expirationMonth")
    return f"{year}-{month}" if year is not None else ""


def _address_fault(kept: Json, name: str) -> Fault | None:
    country = find(kept, (name, "country"))
    if country is not None and re.fullmatch("[A-Za-z]{2}", str(country), re.ASCII) is None:
        return INVALID_FIELDS.at(f"{name}.country")
    return None


# ---- several at once

RESOURCES: Final = ("customer", "shippingAddress", "instrumentIdentifier", "paymentInstrument", "tokenizedCard")
"""What one request may make, in the order in which they need each other."""


class Tokenize(Struct, frozen=True):
    """What is wanted, and what is said of each resource."""

    wanted: frozenset[str]
    documents: Mapping[str, dict[str, object]]


def with_card(sent: Tokenize, card: Card) -> Tokenize:
    """What a request wants, made with a card from elsewhere. What the request says of the card goes first."""
    documents = dict(sent.documents)
    number = {"card": {"number": card.pan.digits}}
    identifier = documents.get("instrumentIdentifier", {})
    if "id" not in identifier and not identifier.keys() & {"card", "bankAccount"}:
        documents["instrumentIdentifier"] = {**identifier, **number}
    if "paymentInstrument" in sent.wanted or "paymentInstrument" in documents:
        found = documents.get("paymentInstrument", {})
        about: dict[str, object] = {}
        if card.expiry is not None:
            about |= {"expirationMonth": f"{card.expiry.month:02d}", "expirationYear": f"{card.expiry.year:04d}"}
        if card.brand is not None:
            about["type"] = TYPE_OF_BRAND[card.brand]
        told = found.get("card")
        documents["paymentInstrument"] = {**found, "card": {**about, **(told if isinstance(told, dict) else {})}}
    return Tokenize(sent.wanted, documents)


def tokenize(document: Json) -> Tokenize | Fault:
    """Without types it is what the document speaks of."""
    spoken = document.get("tokenInformation")
    told = spoken if isinstance(spoken, dict) else {}
    documents = {name: told[name] for name in RESOURCES if isinstance(told.get(name), dict)}
    types = find(document, ("processingInformation", "actionTokenTypes"))
    wanted = frozenset(map(str, types)) if isinstance(types, list) else frozenset(documents)
    if not wanted:
        return MISSING_FIELDS.at("processingInformation.actionTokenTypes")
    if not wanted.issubset(RESOURCES):
        return INVALID_FIELDS.at("processingInformation.actionTokenTypes")
    return Tokenize(wanted, documents)
