"""The model of what a merchant keeps on file (T-8): customers, cards, numbers, addresses. No code of ours.

A number is known by its PAN as long as somebody keeps it; each customer with cards has exactly one default among them,
and so with addresses.
"""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Kept:
    """Anything on file."""

    id: str
    alive: bool = True
    etag: str = ""
    """As its owner saw it last; empty where it was not seen yet."""
    moved: bool = False
    """Whether something that its owner can see of it has changed since."""

    def moves(self) -> None:
        self.moved = True

    @property
    def read(self) -> int:
        """The status of whoever asks for it."""
        return 200 if self.alive else 410


@dataclass(eq=False)
class Number(Kept):
    pan: str = ""
    agreed: bool = False
    """Whether a payment that its cardholder took part in was approved: later ones refer to it."""

    def agrees(self) -> None:
        self.moved |= not self.agreed
        self.agreed = True


@dataclass(eq=False)
class Customer(Kept):
    title: str = ""


@dataclass(eq=False)
class Owned(Kept):
    """A card or an address. A lone card has no owner."""

    owner: Customer | None = None
    default: bool = False


@dataclass(eq=False)
class Address(Owned):
    pass


@dataclass(eq=False)
class Card(Owned):
    number: Number = field(default_factory=lambda: Number(""))
    expiry: str = "2031"


@dataclass(frozen=True)
class Paying:
    """What a payment names; None: nothing of the kind."""

    customer: Customer | None = None
    card: Card | None = None
    number: Number | None = None
    address: Address | None = None


@dataclass(frozen=True)
class Stands:
    """What a payment's tokens stand for."""

    number: Number
    card: Card | None
    address: Address | None
    customer: Customer | None


class Wallet:
    """Everything that one merchant keeps."""

    def __init__(self) -> None:
        self.customers: list[Customer] = []
        self.numbers: list[Number] = []
        self.cards: list[Card] = []
        self.addresses: list[Address] = []

    @property
    def all(self) -> list[Kept]:
        return [*self.customers, *self.numbers, *self.cards, *self.addresses]

    # ---- looking

    def known(self, pan: str) -> Number | None:
        return next((number for number in self.numbers if number.alive and number.pan == pan), None)

    def cards_of(self, customer: Customer | None) -> list[Card]:
        return [card for card in self.cards if card.alive and card.owner is customer]

    def addresses_of(self, customer: Customer) -> list[Address]:
        return [address for address in self.addresses if address.alive and address.owner is customer]

    def default_card(self, customer: Customer) -> Card | None:
        return next((card for card in self.cards_of(customer) if card.default), None)

    def default_address(self, customer: Customer) -> Address | None:
        return next((address for address in self.addresses_of(customer) if address.default), None)

    def uses(self, number: Number) -> list[Card]:
        return [card for card in self.cards if card.alive and card.number is number]

    def siblings(self, owned: Owned) -> list[Owned]:
        """What its owner has of the same kind, itself included."""
        assert owned.owner is not None
        return [*self.cards_of(owned.owner)] if isinstance(owned, Card) else [*self.addresses_of(owned.owner)]

    # ---- keeping

    def keep(self, owned: Card | Address, *, wants_default: bool) -> None:
        """A new card or address."""
        if isinstance(owned, Card):
            self.cards.append(owned)
        else:
            self.addresses.append(owned)
        if owned.owner is not None and (wants_default or len(self.siblings(owned)) == 1):
            self.make_default(owned)

    def make_default(self, owned: Owned) -> None:
        if owned.owner is None or owned.default:
            return
        for other in self.siblings(owned):
            if other.default:
                other.default = False
                other.moves()
        owned.default = True
        owned.owner.moves()

    # ---- deleting; False: it may not

    def delete_number(self, number: Number) -> bool:
        if self.uses(number):
            return False
        number.alive = False
        return True

    def delete_owned(self, owned: Owned) -> bool:
        if owned.owner is not None:
            if owned.default and len(self.siblings(owned)) > 1:
                return False
            if owned.default:
                owned.owner.moves()
        self._end(owned)
        return True

    def delete_customer(self, customer: Customer) -> None:
        for owned in [*self.cards_of(customer), *self.addresses_of(customer)]:
            self._end(owned)
        customer.alive = False

    def _end(self, owned: Owned) -> None:
        owned.alive = owned.default = False
        if isinstance(owned, Card) and not self.uses(owned.number):
            owned.number.alive = False

    # ---- paying

    def pays(self, named: Paying) -> Stands | str:
        """What pays; else the kind of token that is at fault."""
        customer, card, number, address = named.customer, named.card, named.number, named.address
        if customer is not None and not customer.alive:
            return "customer"
        if card is not None and (not card.alive or customer not in (None, card.owner)):
            return "paymentInstrument"
        if address is not None and (not address.alive or customer not in (None, address.owner)):
            return "shippingAddress"
        chosen = card
        if chosen is None and customer is not None:
            chosen = self.default_card(customer)
        if number is not None and chosen is not None and chosen.number is not number:
            if card is not None:
                return "instrumentIdentifier"
            chosen = None
        if number is not None and not number.alive:
            return "instrumentIdentifier"
        pays = number if number is not None else chosen.number if chosen is not None else None
        if pays is None:
            return "customer"
        if address is None and customer is not None:
            address = self.default_address(customer)
        return Stands(pays, chosen, address, customer)
