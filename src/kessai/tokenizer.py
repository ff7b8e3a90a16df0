"""The tokenizer: turns numbers into tokens, and tokens back into what a payment needs.

    load → decide (`tokens.rules`, pure) → one commit, conditional on all that was loaded

A decision is made again from the start when it lost a race; so it is a function without effects, called as often as it
takes. Everything that pays with tokens or makes them comes here: the wire's own token requests, payments, billing.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct

from kessai.payment.card import AccountNumber, Pan
from kessai.payment.lifecycle import Refusal
from kessai.storage.database import Database, Unavailable
from kessai.storage.payments import Answer, Claim
from kessai.storage.tokens import Tokens, ToldBefore, WriteTokens, commit
from kessai.storage.writes import Conflict
from kessai.tokens import identifiers, network, provider
from kessai.tokens.objects import (
    NOTHING,
    Customer,
    Document,
    InstrumentIdentifier,
    Missing,
    NetworkToken,
    PaymentInstrument,
    ShippingAddress,
    State,
    Token,
)
from kessai.tokens.rules import Changes
from kessai.vault import Vault

MOST_RACES: Final = 32
"""How often a decision that lost a race is made again before its caller is told to come back later."""

Number = Pan | AccountNumber
R = TypeVar("R")


class Decided(Struct, frozen=True):
    """What is to be written, and what is told of it."""

    changes: Changes
    answer: Answer


class Resolved(Struct, frozen=True, kw_only=True):
    """What tokens stand for, fit to pay with. What was not asked for, or is not there, is None."""

    number: Number | None
    expiry: str = ""
    """`YYYY-MM`; empty where no payment instrument says it."""
    instrument: InstrumentIdentifier | None
    payment_instrument: PaymentInstrument | None = None
    """Its document has the billing address, in the words of the wire that it came over."""
    shipping_address: ShippingAddress | None = None
    customer: Customer | None = None


class NetworkCard(Struct, frozen=True, kw_only=True):
    """What pays in the place of a card's number: a network token, good for one payment."""

    number: Pan
    expiry: str
    """`YYYY-MM`, its own."""
    cryptogram: str
    """Base64 of twenty bytes; for this payment only."""
    eci: str
    requestor: str
    account_reference: str
    token: NetworkToken


class Unresolved(Struct, frozen=True):
    """Why tokens do not stand for anything that pays: which one is at fault."""

    kind: type[Customer] | type[PaymentInstrument] | type[ShippingAddress] | type[InstrumentIdentifier]
    why: str


class Tokenizer:
    """Everything it needs is handed in. `new_id` gives time-ordered ids, `clock` aware UTC; `sealed` calls what seals,
    and reserves seals for it where none are left."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        new_id: Callable[[], int],
        clock: Callable[[], datetime],
        sealed: Callable[[Callable[[], bytes]], Awaitable[bytes]],
        may_begin: Callable[[], bool] = lambda: True,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.tokens = Tokens(database)
        self.vault = vault
        self.new_id = new_id
        self.clock = clock
        self._database = database
        self._sealed = sealed
        self._may_begin = may_begin
        self._random = random

    # ---- new tokens; they are there once `perform` has written them

    def new_customer(self, document: Document) -> Customer:
        return Customer(id=self.opaque(), made=self.new_id(), document=document)

    def new_shipping_address(
        self, customer: Customer, document: Document, *, is_default: bool = False
    ) -> ShippingAddress:
        return ShippingAddress(
            id=self.opaque(), made=self.new_id(), customer=customer.id, document=document, is_default=is_default
        )

    def new_payment_instrument(
        self,
        customer: Customer | None,
        instrument: InstrumentIdentifier,
        document: Document = NOTHING,
        *,
        expiry: str = "",
        is_default: bool = False,
    ) -> PaymentInstrument:
        return PaymentInstrument(
            id=self.opaque(),
            made=self.new_id(),
            customer=customer.id if customer is not None else None,
            instrument=instrument.id,
            document=document,
            expiry=expiry,
            is_default=is_default,
        )

    async def new_instrument(
        self, merchant_id: str, number: Number, document: Document, fingerprint: bytes
    ) -> InstrumentIdentifier:
        is_card = isinstance(number, Pan)
        random = int.from_bytes(self._random(16))
        id_ = identifiers.of_card(number.digits[-4:].rjust(4, "0"), random) if is_card else self.opaque()
        return InstrumentIdentifier(
            id=id_,
            made=self.new_id(),
            document=document,
            fingerprint=fingerprint,
            sealed=await self.seal(merchant_id, id_, number),
        )

    async def instrument_of(
        self, merchant_id: str, number: Number, document: Document, routing_number: str = ""
    ) -> tuple[InstrumentIdentifier, bool]:
        """The instrument identifier of a number, and whether it is new: then it has to be written yet."""
        fingerprint = self.fingerprint(merchant_id, number, routing_number)
        known = await self.tokens.by_fingerprint(merchant_id, fingerprint)
        if known is not None:
            return known, False
        return await self.new_instrument(merchant_id, number, document, fingerprint), True

    async def seal(self, merchant_id: str, token_id: str, number: Number) -> bytes:
        """The number of a token as it is stored. DatabaseError where no seal could be reserved."""
        return await self._sealed(partial(self.vault.seal_number, merchant_id, token_id, number))

    def fingerprint(self, merchant_id: str, number: Number, routing_number: str = "") -> bytes:
        if isinstance(number, Pan):
            return self.vault.fingerprint(merchant_id, number)
        return self.vault.fingerprint_of_account(merchant_id, number, routing_number)

    def opaque(self) -> str:
        """A new id of a token that is no card's."""
        return identifiers.opaque(self._random(16))

    def new_network_token(self, instrument: InstrumentIdentifier, document: Document = NOTHING) -> NetworkToken:
        """One that its network has not been asked for yet."""
        return NetworkToken(
            id=self.opaque(),
            made=self.new_id(),
            state=State.PENDING,
            instrument=instrument.id,
            document={"source": "ONFILE", **document},
        )

    async def provided(
        self, merchant_id: str, token: NetworkToken, instrument: InstrumentIdentifier, month: str
    ) -> NetworkToken:
        """A pending network token as its network decides about it in a month (`YYYY-MM`)."""
        card = self.number(merchant_id, instrument)
        assert isinstance(card, Pan)
        told = provider.provide(card, month, self._random(48))
        sealed = None if isinstance(told, provider.Reason) else await self.seal(merchant_id, token.id, told.number)
        return network.concluded(token, told, sealed, instrument, card)

    def random(self, length_bytes: int) -> bytes:
        return self._random(length_bytes)

    # ---- writing

    async def perform(
        self, merchant_id: str, decide: Callable[[], Awaitable[Decided | R]], claims: tuple[Claim, ...] = ()
    ) -> Answer | Refusal | R:
        """Decide and write, until nobody was in the way.

        What was told to an earlier request with the same claims goes before everything; a decision that is no `Decided`
        writes nothing and is the result. Unavailable where the tokens are too contended: nothing was done.
        """
        for claim in claims:
            if claim.taken is None:
                told = await self._database.write(ToldBefore(merchant_id, claim))
                if told is not None:
                    return told
        for _ in range(MOST_RACES):
            if not self._may_begin():
                raise Unavailable("the lease of this process has ended")
            decided = await decide()
            if not isinstance(decided, Decided):
                return decided
            write = WriteTokens(
                merchant_id=merchant_id,
                changes=decided.changes,
                claims=claims,
                answer_id=self.new_id() if claims else 0,
                answer=decided.answer if claims else None,
            )
            if not (claims or decided.changes.created or decided.changes.changed):
                return decided.answer
            written = await commit(self._database, write)
            if not isinstance(written, Conflict):
                return decided.answer if written is None else written
            await asyncio.sleep(0)
        raise Unavailable("these tokens are being changed by others")

    # ---- reading

    async def resolve(
        self,
        merchant_id: str,
        *,
        customer: str | None = None,
        payment_instrument: str | None = None,
        instrument: str | None = None,
        shipping_address: str | None = None,
        needs_number: bool = True,
    ) -> Resolved | Unresolved:
        """What token ids of a request stand for: a customer for its defaults, the others instead of those.

        Ids of other merchants are unknown; a customer's token does not go with another customer. All of it is read at
        one moment: a payment comes before a deletion as a whole, or after it. Without `needs_number` it is enough that
        the tokens are there, and no number is opened.
        """
        found = await self.tokens.paying(
            merchant_id,
            customer=customer,
            payment_instrument=payment_instrument,
            shipping_address=shipping_address,
            instrument=instrument,
        )
        owner = found.get(customer) if customer is not None else None
        if customer is not None and (not isinstance(owner, Customer) or owner.deleted_at is not None):
            return Unresolved(Customer, _why(owner))
        chosen = _chosen(found, payment_instrument, customer, PaymentInstrument)
        if payment_instrument is not None and chosen is None:
            return Unresolved(PaymentInstrument, _why(found.get(payment_instrument)))
        address = _chosen(found, shipping_address, customer, ShippingAddress)
        if shipping_address is not None and address is None:
            return Unresolved(ShippingAddress, _why(found.get(shipping_address)))
        if instrument is not None and chosen is not None and chosen.instrument != instrument:
            if payment_instrument is not None:
                return Unresolved(InstrumentIdentifier, "the payment instrument is over another number")
            chosen = None  # the customer's default, which was not asked for
        refers_to = instrument if instrument is not None else chosen.instrument if chosen is not None else None
        at_fault = InstrumentIdentifier if instrument is not None else PaymentInstrument if chosen else Customer
        if refers_to is None and needs_number:
            return Unresolved(at_fault, "the customer has no payment instrument")
        number = found.get(refers_to) if refers_to is not None else None
        if refers_to is not None and (not isinstance(number, InstrumentIdentifier) or number.deleted_at is not None):
            return Unresolved(at_fault, _why(number))
        assert number is None or isinstance(number, InstrumentIdentifier)
        states = [token.state for token in (number, chosen) if token is not None]
        if needs_number and State.CLOSED in states:
            return Unresolved(at_fault, "the account is closed")
        return Resolved(
            number=self.number(merchant_id, number) if needs_number and number is not None else None,
            expiry=chosen.expiry if chosen is not None else "",
            instrument=number,
            payment_instrument=chosen,
            shipping_address=address,
            customer=owner if isinstance(owner, Customer) else None,
        )

    async def pays_with(
        self, merchant_id: str, instrument: InstrumentIdentifier, option: network.Option | None, month: str
    ) -> NetworkCard | None:
        """What pays in the place of a card's number, in a month (`YYYY-MM`, business time); None: the number itself.

        Every call gives another cryptogram: one call for each authorization.
        """
        if instrument.document.get("type") != network.TYPE:
            return None  # it was never enrolled: nothing to look for
        token = await self.tokens.network_token_of(merchant_id, instrument.id)
        return self.network_card(merchant_id, token) if token and network.pays(token, option, month) else None

    def network_card(self, merchant_id: str, token: NetworkToken) -> NetworkCard:
        """A network token with its number, and a cryptogram for one payment."""
        assert token.sealed is not None, "a network token that does not stand has no number"
        number = self.vault.open_number(merchant_id, token.id, token.sealed)
        assert isinstance(number, Pan)
        of = provider.provider_of(number.brand)
        assert of is not None
        return NetworkCard(
            number=number,
            expiry=token.expiry,
            cryptogram=provider.cryptogram(self._random(20)),
            eci=of.eci,
            requestor=of.requestor,
            account_reference=str(token.document["paymentAccountReference"]),
            token=token,
        )

    def number(self, merchant_id: str, instrument: InstrumentIdentifier) -> Number:
        """The number that an instrument identifier stands for."""
        assert instrument.sealed is not None, "a deleted instrument identifier has no number"
        return self.vault.open_number(merchant_id, instrument.id, instrument.sealed)


O = TypeVar("O", PaymentInstrument, ShippingAddress)  # noqa: E741  owned


def _chosen(found: Mapping[str, Token], named: str | None, customer: str | None, kind: type[O]) -> O | None:
    """The token of a kind that is named, else the customer's default; None where it cannot be had."""
    for token in found.values():
        is_meant = token.id == named if named is not None else True
        if isinstance(token, kind) and is_meant and token.deleted_at is None:
            if named is not None:
                return token if customer in (None, token.customer) else None
            if customer is not None and token.customer == customer and token.is_default:
                return token
    return None


def _why(found: Token | None) -> str:
    if found is None:
        return Missing.UNKNOWN.value
    return Missing.GONE.value if found.deleted_at is not None else "it is another kind of token, or another customer's"
