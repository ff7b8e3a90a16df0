"""Stored cards: which tokens a payment names, what it takes from them, which ones it is to make. Pure.

What a token stands for is read as if the request had said it, where it says nothing itself: every rule for a card, an
address, an amount is the same rule whoever brought the data.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from kessai.dialects.cybersource.addresses import address_in
from kessai.dialects.cybersource.agreements import agreement_of
from kessai.dialects.cybersource.fields import TYPE_OF_BRAND
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.members import Place, keep
from kessai.dialects.cybersource.reasons import INVALID_DATA, REVIEWS
from kessai.dialects.cybersource.token_members import PLACES
from kessai.dialects.document import mask_pans, text_of
from kessai.dialects.table import NOWHERE, FieldError, find
from kessai.payment.bank import BankAccount
from kessai.payment.card import Brand, Card, Expiry, Pan
from kessai.payment.lifecycle import Transaction
from kessai.tokens import network
from kessai.tokens.objects import Customer, InstrumentIdentifier, PaymentInstrument, ShippingAddress
from kessai.tokens.standing import Names, Standing

Json = Mapping[str, object]
Kind = type[Customer] | type[PaymentInstrument] | type[ShippingAddress] | type[InstrumentIdentifier]

_INSTRUMENT: Final = ("paymentInformation", "paymentInstrument", "id")
_LEGACY: Final = ("paymentInformation", "legacyToken", "id")
_PATHS: Final[Mapping[Kind, tuple[tuple[str, ...], ...]]] = {
    Customer: (("paymentInformation", "customer", "id"), ("paymentInformation", "customer", "customerId")),
    PaymentInstrument: (_INSTRUMENT, _LEGACY),
    ShippingAddress: (("paymentInformation", "shippingAddress", "id"),),
    InstrumentIdentifier: (("paymentInformation", "instrumentIdentifier", "id"),),
}
"""Where a payment names a token of each kind. A legacy token is a payment instrument of an older interface."""
LONGEST_ID: Final = 32


class Named(Struct, frozen=True):
    """The ids of the tokens that a request names, and where."""

    ids: Mapping[Kind, str]
    paths: Mapping[Kind, str]

    def names(self, *, needs_number: bool) -> Names:
        return Names(
            customer=self.ids.get(Customer),
            payment_instrument=self.ids.get(PaymentInstrument),
            instrument=self.ids.get(InstrumentIdentifier),
            shipping_address=self.ids.get(ShippingAddress),
            needs_number=needs_number,
        )

    @property
    def is_legacy(self) -> bool:
        return self.paths.get(PaymentInstrument) == ".".join(_LEGACY)

    def refused(self, kind: Kind) -> Problems:
        """A token that does not pay: whatever is wrong with it, the answer is the same."""
        path = self.paths.get(kind) or next(iter(self.paths.values()))
        return Problems(INVALID_DATA, (FieldError(path, why="names nothing that this merchant can pay with"),))


def named(document: Json) -> Named | Problems | None:
    """The tokens of a request; None where it names none."""
    if not isinstance(document.get("paymentInformation"), dict):
        return None
    ids: dict[Kind, str] = {}
    paths: dict[Kind, str] = {}
    for kind, places in _PATHS.items():
        for place in places:
            found = find(document, place)
            if found is None or kind in ids:
                continue
            text = None if found is NOWHERE else text_of(found)
            paths[kind] = ".".join(place)
            if text is None or len(text) > LONGEST_ID:
                return Named({}, paths).refused(kind)
            ids[kind] = text
    return Named(ids, paths) if ids else None


def has_tokens(paying: Any) -> bool:
    """Whether `paymentInformation`, read as a usual one, names a token."""
    return paying is not None and (
        paying.customer is not None
        or paying.paymentInstrument is not None
        or paying.instrumentIdentifier is not None
        or paying.shippingAddress is not None
    )


def names_in(paying: Any) -> Names | None:
    """The same tokens of a usual `paymentInformation`; None where one of them cannot be an id."""
    held = (paying.customer, paying.paymentInstrument, paying.instrumentIdentifier, paying.shippingAddress)
    customer, payment_instrument, instrument, shipping_address = ids = [one and (one.id or "") for one in held]
    for id_ in ids:
        if id_ is not None and not 0 < len(id_) <= LONGEST_ID:
            return None
    return Names(
        customer=customer,
        payment_instrument=payment_instrument,
        instrument=instrument,
        shipping_address=shipping_address,
    )


# ---- what tokens stand for


class Supplied(Struct, frozen=True, kw_only=True):
    """What tokens bring to a request where it says nothing itself. It was read when they were made, and is as good."""

    pan: Pan | None = None
    """None where the request brings its own number; the expiry and type of the tokens are none of its then."""
    expiry: Expiry | None = None
    type: str | None = None
    bill_to: dict[str, object] | None = None
    ship_to: dict[str, object] | None = None
    account: BankAccount | None = None
    """The bank account that pays in a card's place."""
    is_network: bool = False
    """Whether the number is a network token's: it pays in the card's place, with an expiry of its own."""

    def add_to(self, values: dict[str, object]) -> None:
        """Into the values that were read of the request, by their neutral names."""
        if self.pan is None:
            return
        values.setdefault("pan", self.pan)
        if self.expiry is not None and (self.is_network or not ("month" in values or "year" in values)):
            values["month"], values["year"] = self.expiry.month, self.expiry.year
        if self.type is not None:
            values.setdefault("type", self.type)

    def keep_in(self, kept: dict[str, object], values: Json) -> None:
        """Into the members that are kept of the request."""
        if self.pan is not None:
            card = _object(_object(kept, "paymentInformation"), "card")
            paid = (values.get("month"), values.get("year"))
            if self.expiry is not None and not self.is_network and paid == (self.expiry.month, self.expiry.year):
                card.setdefault("expirationMonth", f"{self.expiry.month:02d}")
                card.setdefault("expirationYear", f"{self.expiry.year:04d}")
            if self.type is not None and values.get("type") == self.type:
                card.setdefault("type", self.type)
        if self.bill_to is not None or self.ship_to is not None:
            order = _object(kept, "orderInformation")
            for name, address in (("billTo", self.bill_to), ("shipTo", self.ship_to)):
                if address is not None:
                    order.setdefault(name, address)


NOTHING_BROUGHT: Final = Supplied()


def supplied(tokens: Standing, pan: Pan | None, *, has_bill_to: bool, has_ship_to: bool) -> Supplied:
    """What tokens bring to a request. `pan` is the number behind them, None where the request brings its own; the
    others tell which addresses the request brings."""
    owned = tokens.payment_instrument.document if tokens.payment_instrument is not None else {}
    address = tokens.shipping_address.document if tokens.shipping_address is not None else {}
    year, _, month = tokens.expiry.partition("-")
    kind = find(owned, ("card", "type"))
    bill_to, ship_to = owned.get("billTo"), address.get("shipTo")
    return Supplied(
        pan=pan,
        expiry=Expiry(int(year), int(month)) if month else None,
        type=kind if isinstance(kind, str) and kind in _PAID_TYPES else None,
        bill_to=bill_to if isinstance(bill_to, dict) and not has_bill_to else None,
        ship_to=ship_to if isinstance(ship_to, dict) and not has_ship_to else None,
    )


class Kept(Struct, frozen=True, kw_only=True, eq=False):
    """What tokens bring to a usual request: written down once, for a card that pays again and again."""

    month: int | None
    year: int | None
    card: dict[str, str]
    """`paymentInformation.card`, of what was brought."""
    type: str | None
    address: tuple[object, ...]
    bill_to: Raw | None
    ship_to: Raw | None
    identifier: bytes | None
    """The id of the instrument identifier, which looks as long as a card number in what is kept."""
    named: tuple[tuple[str, Raw], ...]
    """Members of `paymentInformation`, for what is kept of the request."""
    shown: Mapping[str, object]
    """The same, for the answer."""
    may_be_by_network: bool
    """Whether a network token may pay in the card's place: then the request is walked."""
    has_agreement: bool
    """Whether the card's holder has taken part in a payment before."""

    def add_to(self, values: dict[str, object], pan: Pan) -> None:
        """As `Supplied.add_to`."""
        values["pan"] = pan
        if self.month is not None and not ("month" in values or "year" in values):
            values["month"], values["year"] = self.month, self.year
        if self.type is not None:
            values.setdefault("type", self.type)

    def keep_in(self, document: Any, values: Json) -> None:
        """As `naming` and `Supplied.keep_in`, into the members of what was read as a usual request."""
        paying = document.paymentInformation
        is_paid = self.month is None or (values.get("month"), values.get("year")) == (self.month, self.year)
        is_so_called = self.type is None or values.get("type") == self.type
        if paying.card is None and is_paid and is_so_called:
            paying.card = self.card or None
        else:
            said = paying.card
            for name, value in self.card.items():
                if not (is_so_called if name == "type" else is_paid):
                    continue
                if said is None:
                    said = paying.card = {}
                if isinstance(said, dict):
                    said[name] = value
                elif getattr(said, name) is None:
                    setattr(said, name, value)
        for name, token in self.named:
            setattr(paying, name, token)
        order = document.orderInformation
        if order.billTo is None:
            order.billTo = self.bill_to
        if order.shipTo is None:
            order.shipTo = self.ship_to


def kept(tokens: Standing) -> Kept:
    """What tokens bring to a usual request."""
    brought = supplied(tokens, None, has_bill_to=False, has_ship_to=False)
    card: dict[str, str] = {}
    if brought.expiry is not None:
        card |= {"expirationMonth": f"{brought.expiry.month:02d}", "expirationYear": f"{brought.expiry.year:04d}"}
    if brought.type is not None:
        card["type"] = brought.type
    return Kept(
        month=brought.expiry.month if brought.expiry is not None else None,
        year=brought.expiry.year if brought.expiry is not None else None,
        card=card,
        type=brought.type,
        address=address_in(brought.bill_to),
        bill_to=_raw(brought.bill_to) if brought.bill_to is not None else None,
        ship_to=_raw(brought.ship_to) if brought.ship_to is not None else None,
        identifier=tokens.instrument.id.encode() if tokens.instrument is not None else None,
        named=tuple((name, _raw({"id": token.id})) for name, token in _members(tokens).items()),
        shown={name: _raw(token) for name, token in shown(tokens).items()},
        may_be_by_network=tokens.instrument is not None and tokens.instrument.document.get("type") == network.TYPE,
        has_agreement=agreement_of(tokens.instrument) is not None,
    )


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def naming(document: Json, tokens: Standing) -> dict[str, object]:
    """A request with the ids of the tokens that pay."""
    whole = dict(document)
    paying = _object(whole, "paymentInformation")
    for name, token in _members(tokens).items():
        paying[name] = {"id": token.id}
    return whole


_PAID_TYPES: Final = frozenset(TYPE_OF_BRAND.values())


def _object(holder: dict[str, object], name: str) -> dict[str, object]:
    """A member that is an object, as a copy that may be changed, in its place; what is no object stays, for the rules
    to find."""
    found = holder.get(name)
    if found is None or found == "":
        found = {}
    if not isinstance(found, dict):
        return {}
    holder[name] = changed = found.copy()
    return changed


def _members(tokens: Standing) -> dict[str, InstrumentIdentifier | PaymentInstrument | ShippingAddress | Customer]:
    """Member of `paymentInformation` to token, in the order of published answers."""
    found = {
        "instrumentIdentifier": tokens.instrument,
        "shippingAddress": tokens.shipping_address,
        "paymentInstrument": tokens.payment_instrument,
        "customer": tokens.customer,
    }
    return {name: token for name, token in found.items() if token is not None}


def shown(tokens: Standing) -> Mapping[str, object]:
    """Tokens as an answer's `paymentInformation` shows them."""
    return {
        name: {"id": token.id, "state": token.state.value} if name == "instrumentIdentifier" else {"id": token.id}
        for name, token in _members(tokens).items()
    }


# ---- making tokens

CUSTOMER: Final = "customer"
INSTRUMENT: Final = "paymentInstrument"
ADDRESS: Final = "shippingAddress"
NUMBER: Final = "instrumentIdentifier"
_TYPES: Final = frozenset({CUSTOMER, INSTRUMENT, ADDRESS, NUMBER})
_UNSAID: Final = frozenset({CUSTOMER, INSTRUMENT, NUMBER})
"""What is made where a request does not say what: a card on file that can be paid with by the customer's id alone."""


class Wanted(Struct, frozen=True, kw_only=True):
    """The tokens that a payment is to make if it is approved, and the documents that they begin with."""

    types: frozenset[str]
    owner: Customer | None
    """The customer that they are added to."""
    card: Card | BankAccount
    """What pays."""
    customer: dict[str, object]
    payment_instrument: dict[str, object]
    shipping_address: dict[str, object]
    is_default_instrument: bool
    is_default_address: bool


def types_wanted(document: Json) -> frozenset[str] | Problems:
    """The kinds of tokens that a payment is to make; none without `TOKEN_CREATE`."""
    processing = document.get("processingInformation")
    actions = processing.get("actionList") if isinstance(processing, dict) else None
    if not isinstance(actions, list) or "TOKEN_CREATE" not in actions:
        return frozenset()
    assert isinstance(processing, dict)
    types = processing.get("actionTokenTypes")
    if not types:
        return _UNSAID
    if not isinstance(types, list) or not _TYPES.issuperset(map(str, types)):
        path = "processingInformation.actionTokenTypes"
        return Problems(INVALID_DATA, (FieldError(path, why="names a kind of token that there is not"),))
    return frozenset(map(str, types))


def wanted(
    types: frozenset[str], document: Json, brought: Supplied, card: Card | BankAccount, owner: Customer | None
) -> Wanted:
    """`brought` is what the tokens of a request bring to it; `card` what it pays with."""
    order = document.get("orderInformation")
    addresses = order if isinstance(order, dict) else {}
    bill_to, ship_to = addresses.get("billTo") or brought.bill_to, addresses.get("shipTo") or brought.ship_to
    buyer = find(document, ("buyerInformation", "merchantCustomerID"))
    buyer = buyer or find(document, ("buyerInformation", "merchantCustomerId"))
    email = bill_to.get("email") if isinstance(bill_to, dict) else None
    owned = _of_account(card, document) if isinstance(card, BankAccount) else {"card": _of_card(card, document)}
    return Wanted(
        types=types,
        owner=owner,
        card=card,
        customer=_kept("customer", {"buyerInformation": {"merchantCustomerID": buyer, "email": email}}),
        payment_instrument=_kept("payment instrument", {**owned, "billTo": bill_to}),
        shipping_address=_kept("shipping address", {"shipTo": ship_to}),
        is_default_instrument=_is_default(document, INSTRUMENT),
        is_default_address=_is_default(document, ADDRESS),
    )


def expiry_said(document: Json) -> Expiry | None:
    """The expiry that a request says of the card behind a token; None where it says none that is one."""
    year, month = (text_of(find(document, ("paymentInformation", "card", f"expiration{name}"))) for name in _EXPIRY)
    is_one = year is not None and month is not None and year.isdecimal() and month.isdecimal()
    return Expiry(int(year), int(month)) if is_one and year is not None and month is not None else None


_EXPIRY: Final = ("Year", "Month")


def _of_card(card: Card, document: Json) -> dict[str, object]:
    expiry = card.expiry
    kept: dict[str, object] = {}
    if expiry is not None:
        kept = {"expirationMonth": f"{expiry.month:02d}", "expirationYear": f"{expiry.year:04d}"}
    kind = TYPE_OF_BRAND.get(card.brand) if card.brand is not None else None
    if kind is not None:
        kept["type"] = kind
    sent = find(document, ("paymentInformation", "tokenizedCard"))
    if isinstance(sent, dict) and sent.get("number"):  # the number is a network token's, of the merchant's own
        of_token = {"requestorID": sent.get("requestorId"), "transactionType": sent.get("transactionType")}
        kept["tokenizedInformation"] = of_token
    return kept


def _of_account(account: BankAccount, document: Json) -> dict[str, object]:
    options = ("processingInformation", "bankTransferOptions")
    code = find(document, (*options, "SECCode")) or find(document, (*options, "secCode"))
    return {
        "bankAccount": {"type": account.type.word},
        "processingInformation": {"bankTransferOptions": {"SECCode": code}},
    }


def _kept(kind: str, document: Json) -> dict[str, object]:
    """What a token keeps of a payment's members; what is too long for it is left out."""
    place: Place = PLACES[kind]
    masked = mask_pans(keep(document, place)[0])
    assert isinstance(masked, dict)
    return masked


def _is_default(document: Json, name: str) -> bool:
    return (text_of(find(document, ("tokenInformation", name, "default"))) or "").lower() == "true"


def is_taken_back(transaction: Transaction) -> bool:
    """Whether an approval is told as a decline: the risk rules have spoken against it."""
    return transaction.reason is not None and REVIEWS.get(transaction.reason) == _TAKEN_BACK


_TAKEN_BACK: Final = "AUTHORIZED_RISK_DECLINED"


def made(
    *,
    is_new_number: bool | None,
    customer: Customer | None,
    payment_instrument: PaymentInstrument | None,
    shipping_address: ShippingAddress | None,
    instrument: InstrumentIdentifier | None,
) -> dict[str, object]:
    """`tokenInformation` of an answer. The small letter in `instrumentidentifierNew` is the real one's."""
    told: dict[str, object] = {}
    if instrument is not None:
        told["instrumentidentifierNew"] = bool(is_new_number)
    for name, token in (
        (CUSTOMER, customer),
        (INSTRUMENT, payment_instrument),
        (ADDRESS, shipping_address),
    ):
        if token is not None:
            told[name] = {"id": token.id}
    if instrument is not None:
        told[NUMBER] = {"id": instrument.id, "state": instrument.state.value}
    return told


# ---- account references

_REFERENCE_PREFIXES: Final[Mapping[Brand, str]] = {Brand.VISA: "V001", Brand.MASTERCARD: "5001"}
_OTHER_REFERENCE: Final = "Q001"
_REFERENCE_DIGITS: Final = 25


def account_reference(brand: Brand | None, digest: bytes) -> str:
    """The payment account reference of a card (EMVCo: 29 characters, of which 4 name who gave it): the same for the
    same card. `digest` is of the card and tells nothing of its number."""
    prefix = _REFERENCE_PREFIXES.get(brand, _OTHER_REFERENCE) if brand is not None else _OTHER_REFERENCE
    number = int.from_bytes(digest) % 10**_REFERENCE_DIGITS
    return f"{prefix}{number:0{_REFERENCE_DIGITS}d}"
