"""Stored payment methods: payment instruments of the token service, by the ids of the PaymentOptions wire."""

from msgspec import Struct
from msgspec.structs import replace

from kessai.dialects.paymentoptions import identifiers, particulars
from kessai.dialects.paymentoptions.messages import Order, brand_of
from kessai.payment.card import Card, Expiry, Pan
from kessai.payment.merchant import Merchant
from kessai.tokenizer import Tokenizer
from kessai.tokens.objects import Customer, Token
from kessai.tokens.rules import Changes, add
from kessai.tokens.standing import Names, Unresolved


class Paid(Struct, frozen=True, kw_only=True):
    """What pays: a card, whose name is on it, and the stored payment method that it is."""

    card: Card
    name: str
    token: str = ""


class Cards:
    """Turns stored payment methods into cards, and cards into stored payment methods."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._make = tokenizer

    async def paid(self, merchant: Merchant, order: Order) -> Paid | None:
        """What pays for an order; None where it names a stored payment method that this merchant has not."""
        if order.token is None:
            assert order.card is not None, "an order without a card and without a token was read"
            return Paid(card=order.card, name=order.name)
        token_id = identifiers.token_of(order.token)
        if token_id is None:
            return None
        found = await self._make.resolve(merchant.id, Names(payment_instrument=token_id))
        if isinstance(found, Unresolved) or not isinstance(found.number, Pan):
            return None
        year, _, month = found.expiry.partition("-")
        expiry = Expiry(int(year), int(month)) if month else None
        card = Card(pan=found.number, expiry=expiry, brand=brand_of(found.number, merchant))
        kept = found.tokens.payment_instrument
        document = kept.document if kept is not None else {}
        bill_to = document.get("billTo")
        given = bill_to if isinstance(bill_to, dict) else {}
        name = " ".join(str(given[member]) for member in ("firstName", "lastName") if given.get(member))
        return Paid(card=card, name=name, token=identifiers.of_token(token_id))

    async def store(
        self, merchant: Merchant, order: Order, card: Card, name: str, customer: Customer | None = None
    ) -> tuple[Changes, str]:
        """What keeping a card changes, and the stored payment method's id; of a customer, its default."""
        number, is_new = await self._make.instrument_of(merchant.id, card.pan, {"card": {"number": card.pan.masked()}})
        first, last = particulars.names_of(name)
        bill_to = {"firstName": first, "lastName": last, **particulars.common(order.billing)}
        expiry = card.expiry
        told = {"expirationMonth": f"{expiry.month:02d}", "expirationYear": f"{expiry.year:04d}"} if expiry else {}
        made = self._make.new_payment_instrument(
            customer,
            number,
            {"card": told, "billTo": {member: value for member, value in bill_to.items() if value}},
            expiry=f"{expiry.year:04d}-{expiry.month:02d}" if expiry is not None else "",
        )
        made = replace(made, id=identifiers.new_token(self._make.random(16)))
        new, more = add(made, customer, None, None if is_new else number)
        created: tuple[Token, ...] = (customer,) if customer is not None else ()
        if is_new:
            created = (*created, number)
        return Changes(created).also(more), identifiers.of_token(new.id)
