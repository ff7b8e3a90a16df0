"""The tokenizer: turns numbers into tokens, and tokens back into what a payment needs.

    load → decide (`tokens.rules`, pure) → one commit, conditional on all that was loaded

A decision is made again from the start when it lost a race; so it is a function without effects, called as often as it
takes. Everything that pays with tokens or makes them comes here: the wire's own token requests, payments, billing.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
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
    NetworkToken,
    PaymentInstrument,
    ShippingAddress,
    State,
)
from kessai.tokens.rules import Changes
from kessai.tokens.standing import Names, Standing, Unresolved
from kessai.vault import CannotOpen, Vault

MOST_RACES: Final = 32
"""How often a decision that lost a race is made again before its caller is told to come back later."""

Number = Pan | AccountNumber
R = TypeVar("R")


class Decided(Struct, frozen=True):
    """What is to be written, and what is told of it."""

    changes: Changes
    answer: Answer


class Resolved(Struct, frozen=True):
    """What tokens stand for, fit to pay with."""

    number: Number | None
    tokens: Standing

    @property
    def expiry(self) -> str:
        """`YYYY-MM`; empty where no payment instrument says it."""
        return self.tokens.expiry


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

    async def resolve(self, merchant_id: str, names: Names, *, fresh: bool = True) -> Resolved | Unresolved:
        """What token ids of a request stand for: a customer for its defaults, the others instead of those.

        Ids of other merchants are unknown. All of it is read at one moment: a payment comes before a deletion as a
        whole, or after it. A number is opened only where one is needed. What is not `fresh` may say what it relies on.
        """
        found = await self.tokens.standing(merchant_id, names, fresh=fresh)
        if isinstance(found, Unresolved):
            return found
        if found.instrument is None or not names.needs_number:
            return Resolved(None, found)
        await asyncio.sleep(0)  # the reads of many who pay with tokens are a stage of their own, and this is another
        try:
            return Resolved(self.number(merchant_id, found.instrument), found)
        except CannotOpen:
            if found.relies_on is None:
                raise
        return await self.resolve(merchant_id, names)  # it is sealed by another key meanwhile

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
