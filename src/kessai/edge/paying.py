"""Paying with stored cards: looks up what a request's tokens stand for, and makes the tokens that a payment makes.

    tokens of the request ─► one read ─► what they stand for ─► the decoder, as if the request had said it
    approved, not yet written ─► which tokens come of it ─► commit 2, with them or not at all

The read is of one moment, or of an earlier one and commit 1 looks whether it is so still. A deletion that is answered
before a request came refuses it; of a deletion that is under way at the same time a payment comes before or after as a
whole, and a payment that came before goes to its end.
"""

import hashlib
from asyncio import sleep
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai.dialects.cybersource import agreements, answers, echecks, flex, members, requests, stored
from kessai.dialects.cybersource.echo import Echo
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import INVALID_DATA
from kessai.dialects.cybersource.requests import Request
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT, Kept, Supplied, Wanted
from kessai.dialects.cybersource.usual import Usual
from kessai.dialects.document import Malformed, parse, text_of
from kessai.dialects.table import FieldError, find
from kessai.edge.proving import Proving
from kessai.gateway import Circumstances
from kessai.outcomes import Attached
from kessai.payment.agreement import Original
from kessai.payment.authorize import Authorize
from kessai.payment.bank import BankAccount
from kessai.payment.card import AccountNumber, Card, Expiry, Pan
from kessai.payment.credit import Credit
from kessai.payment.echeck import Echeck
from kessai.payment.lifecycle import Command, Payment, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.originals import Originals
from kessai.storage.payments import Answer, Claim
from kessai.tokenizer import NetworkCard, Tokenizer
from kessai.tokens import rules
from kessai.tokens.network import Option
from kessai.tokens.objects import (
    InstrumentIdentifier,
    Missing,
    PaymentInstrument,
    ShippingAddress,
)
from kessai.tokens.rules import Changes
from kessai.tokens.standing import Standing, Unresolved
from kessai.transients import Transients

Json = Mapping[str, object]
canonical: Final = msgspec.json.Encoder(order="sorted")

STORED_NETWORK_CARD: Final = "014"
"""The payment solution of a stored card's network token."""
MOST_KEPT: Final = 4096
"""Of what is written down of tokens that paid; it is forgotten as a whole."""
_OPTIONS: Final = frozenset(option.value for option in Option)
_NUMBERS: Final = (
    ("paymentInformation", "card", "number"),
    ("paymentInformation", "tokenizedCard", "number"),
    echecks.NUMBER,
)
"""What pays before any token does."""


class Stored(Struct, frozen=True, kw_only=True):
    """A request that has to do with stored cards, ready to be decoded."""

    document: Json
    """With the ids of the tokens that pay."""
    brought: Supplied
    """What the tokens stand for."""
    tokens: Standing
    types: frozenset[str]
    """The kinds of tokens that it is to make."""
    network: NetworkCard | None = None
    """The network token that pays in the card's place."""
    card_suffix: str = ""
    """The last four of that card."""
    card_expiry: Expiry | None = None
    """What is on file of its expiry."""
    claim: Claim | None = None
    """Of the transient token that pays: it goes with commit 1."""

    fingerprint: bytes | None = None
    """Of the card, where its stored number pays."""
    has_agreement: bool = False
    """Whether the card's holder has taken part in a payment before."""

    @property
    def has_tokens(self) -> bool:
        return not self.tokens.is_empty

    @property
    def is_remembered(self) -> bool:
        """Whether the tokens may have changed since they were read: commit 1 looks."""
        return self.tokens.relies_on is not None


_NO_TOKENS: Final = Standing()


class Paying:
    """What the edge asks of the tokenizer."""

    def __init__(self, tokenizer: Tokenizer, transients: Transients, originals: Originals, proving: Proving) -> None:
        self._make = tokenizer
        self._transients = transients
        self._originals = originals
        self.proving = proving
        self._kept: dict[Standing, Kept] = {}

    async def look_up(
        self, merchant: Merchant, document: Json, *, by_network: bool, fresh: bool
    ) -> Stored | Problems | None:
        """None for a request that neither names a token nor makes one. `by_network`: a network token may pay.
        What is not `fresh` may be remembered, and says what it relies on."""
        named = flex.named(document)
        if named is None:
            return await self._look_up(merchant, document, by_network=by_network, fresh=fresh)
        spent = await self._transients.spend(merchant.id, named[1])
        if isinstance(spent, Refusal):
            return Problems(INVALID_DATA, (FieldError(named[0]),))
        whole = flex.filled(document, spent.card)
        found = await self._look_up(merchant, whole, by_network=by_network, fresh=fresh)
        if isinstance(found, Problems):
            return found
        found = found or Stored(document=whole, brought=NOTHING_BROUGHT, tokens=_NO_TOKENS, types=frozenset())
        return replace(found, claim=spent.claim)

    async def _look_up(
        self, merchant: Merchant, document: Json, *, by_network: bool, fresh: bool
    ) -> Stored | Problems | None:
        named = stored.named(document)
        types = stored.types_wanted(document)
        if isinstance(named, Problems) or isinstance(types, Problems):
            return named if isinstance(named, Problems) else types if isinstance(types, Problems) else None
        if named is None and not types:
            return None
        if named is None:
            return Stored(document=document, brought=NOTHING_BROUGHT, tokens=_NO_TOKENS, types=types)
        brings_number = any(text_of(find(document, path)) for path in _NUMBERS)
        found = await self._make.resolve(merchant.id, named.names(needs_number=not brings_number), fresh=fresh)
        if isinstance(found, Unresolved):
            return named.refused(found.kind)
        tokens = found.tokens
        pan = found.number if isinstance(found.number, Pan) else None
        paid = tokens
        if brings_number:  # the number of the token is not what pays
            paid = replace(tokens, instrument=None, payment_instrument=None)
        elif named.is_legacy:
            paid = replace(tokens, payment_instrument=None)
        whole: Json = stored.naming(document, paid)
        if pan is not None:
            whole = agreements.referring(whole, tokens.instrument)
        order = document.get("orderInformation")
        said: Json = order if isinstance(order, dict) else {}
        brought = stored.supplied(
            tokens, pan, has_bill_to=bool(said.get("billTo")), has_ship_to=bool(said.get("shipTo"))
        )
        if isinstance(found.number, AccountNumber):
            brought = replace(brought, account=_account(tokens, found.number))
        has_agreement = agreements.agreement_of(paid.instrument) is not None
        held = Stored(document=whole, brought=brought, tokens=paid, types=types, has_agreement=has_agreement)
        if pan is None or tokens.instrument is None or not by_network:
            return held
        return await self._by_network(merchant, held, pan, tokens.instrument)

    async def _by_network(self, merchant: Merchant, held: Stored, pan: Pan, instrument: InstrumentIdentifier) -> Stored:
        """The same, paid by the card's network token where it has an active one and the request does not mind."""
        asked = find(held.document, ("tokenInformation", "networkTokenOption"))
        option = Option(asked) if asked in _OPTIONS else None
        month = f"{merchant.at(self._make.clock()):%Y-%m}"
        card = await self._make.pays_with(merchant.id, instrument, option, month)
        if card is None:
            return held
        year, _, month = card.expiry.partition("-")
        brought = replace(held.brought, pan=card.number, expiry=Expiry(int(year), int(month)), is_network=True)
        on_file = held.brought.expiry
        return replace(held, brought=brought, network=card, card_suffix=pan.suffix, card_expiry=on_file)

    async def usual(
        self, merchant: Merchant, usual: Usual, now: datetime, *, fresh: bool
    ) -> tuple[Request, Stored] | None:
        """The same of a request that is as requests usually are; None where it has to be walked."""
        names = stored.names_in(usual.document.paymentInformation)
        if names is None or str(usual.values.get("initiator", "")).lower() == "merchant":
            return None
        await sleep(0)  # a stage, as between the others
        found = await self._make.resolve(merchant.id, names, fresh=fresh)
        await sleep(0)
        if isinstance(found, Unresolved) or not isinstance(found.number, Pan):
            return None
        tokens = found.tokens
        kept = self._kept_of(tokens)
        if kept.may_be_by_network:
            return None
        request = requests.usual_with_tokens(usual, merchant, now, found.number, kept)
        if request is None:
            return None
        return request, Stored(
            document={},
            brought=NOTHING_BROUGHT,
            tokens=tokens,
            types=frozenset(),
            fingerprint=tokens.instrument.fingerprint if tokens.instrument is not None else None,
            has_agreement=kept.has_agreement,
        )

    def _kept_of(self, tokens: Standing) -> Kept:
        kept = self._kept.get(tokens)
        if kept is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = self._kept[tokens] = stored.kept(tokens)
        return kept

    def asked(self, merchant: Merchant, body: bytes, decoded: Request, found: Stored | None) -> bytes:
        """What a request asks: a card is its fingerprint, its CVV not there at all."""
        if found is not None:
            return self.asked_with_tokens(merchant, body)
        command: Command = decoded.command
        asked = canonical.encode(decoded.kept)
        if isinstance(command, Authorize | Credit):
            asked += self._make.fingerprint(merchant.id, command.card.pan)
        elif isinstance(command, Echeck):
            account = command.account
            asked += self._make.fingerprint(merchant.id, account.number, account.routing_number)
        return asked

    def asked_with_tokens(self, merchant: Merchant, body: bytes) -> bytes:
        """The same of one with tokens: what it says itself, which a repeat says again whatever became of the tokens."""
        document = parse(body)
        assert not isinstance(document, Malformed), "a request that is malformed was decoded"
        asked = canonical.encode(members.keep(document)[0])
        transient = flex.named(document)
        asked += transient[1].encode() if transient is not None else b""
        for path in _NUMBERS:
            number = text_of(find(document, path))
            with suppress(ValueError):
                asked += self._make.fingerprint(merchant.id, Pan(number)) if number else b""
        return asked

    # ---- answering

    def echo(self, merchant: Merchant, request: Request, found: Stored) -> Echo:
        """What an answer shows of the tokens that paid."""
        if not found.has_tokens:
            return request.echo
        reference = None
        if isinstance(request.command, Credit) and found.tokens.instrument is not None:
            reference = self.reference_of(merchant, request.command.card)
        echo = replace(request.echo, tokens=stored.shown(found.tokens), account_reference=reference)
        if found.network is None:
            return echo
        return replace(
            echo,
            requestor_id=found.network.requestor,
            card_suffix=found.card_suffix,
            payment_solution=STORED_NETWORK_CARD,
            account_reference=found.network.account_reference,
        )

    def reference_of(self, merchant: Merchant, card: Card) -> str:
        """A card's account reference, of its fingerprint: nobody without the merchant's key can try numbers out."""
        fingerprint = self._make.fingerprint(merchant.id, card.pan)
        return stored.account_reference(card.brand, hashlib.sha256(b"account reference\n" + fingerprint).digest())

    async def agreed(self, merchant: Merchant, command: Authorize, document: Json, found: Stored | None) -> Authorize:
        """A payment that its merchant initiates, with what a live issuer would mind of it."""
        whole = found.document if found is not None else document
        instrument = found.tokens.instrument if found is not None else None
        by_token = instrument is not None or "network-token" in command.flags
        fingerprint = self._make.fingerprint(merchant.id, command.card.pan)
        if instrument is None:
            instrument = await self._make.tokens.by_fingerprint(merchant.id, fingerprint)
        previous = agreements.previous_of(whole)
        originals: tuple[Original, ...] | None = ()
        if previous is not None:
            numbers = {fingerprint}
            if instrument is not None and instrument.fingerprint is not None:
                numbers.add(instrument.fingerprint)
            originals = await self._originals.find(merchant.id, numbers, previous)
        card = agreements.Card(instrument, command.card.brand, by_token=by_token)
        minded = agreements.warnings(whole, card, originals, merchant.at(self._make.clock()))
        return replace(command, warnings=command.warnings + minded) if minded else command

    # ---- what an approval makes

    def surrounding(self, by: Circumstances, merchant: Merchant, request: Request, found: Stored) -> Circumstances:
        """What surrounds a command, with what stored cards add to it."""
        claims = by.claims if found.claim is None else (*by.claims, found.claim)
        maker = self._maker(merchant, request, found)
        relies_on = found.tokens.relies_on
        return replace(by, claims=claims, attach=maker, fingerprint=found.fingerprint, relies_on=relies_on)

    def _maker(self, merchant: Merchant, request: Request, found: Stored) -> "Maker | None":
        """What decides on the tokens of an approved payment; None where there will be none to decide on."""
        command = request.command
        if isinstance(command, Echeck):
            return self._maker_of_account(merchant, request, command, found)
        if not isinstance(command, Authorize):
            return None
        wanted = None
        if found.types:
            card = command.card if found.network is None else self._behind(merchant, found, command.card)
            wanted = stored.wanted(found.types, found.document, found.brought, card, found.tokens.customer)
        instrument = found.tokens.instrument
        needs_agreement = instrument is not None and not found.has_agreement
        if wanted is None and not (needs_agreement and "merchant-initiated" not in command.flags):
            return None
        return Maker(tokenizer=self._make, merchant=merchant, wanted=wanted, instrument=instrument, request=request)

    def _behind(self, merchant: Merchant, found: Stored, paid: Card) -> Card:
        """The card in whose place a network token paid: that is what is kept, and not the token."""
        assert found.tokens.instrument is not None
        pan = self._make.number(merchant.id, found.tokens.instrument)
        assert isinstance(pan, Pan)
        expiry = stored.expiry_said(found.document) or found.card_expiry
        return replace(paid, pan=pan, expiry=expiry, brand=pan.brand)

    def _maker_of_account(self, merchant: Merchant, request: Request, command: Echeck, found: Stored) -> "Maker | None":
        """The same of a bank account; a credit makes none, like that of a card."""
        if command.is_credit or not found.types:
            return None
        wanted = stored.wanted(found.types, found.document, found.brought, command.account, found.tokens.customer)
        instrument = found.tokens.instrument
        return Maker(tokenizer=self._make, merchant=merchant, wanted=wanted, instrument=instrument, request=request)


def _account(found: Standing, number: AccountNumber) -> BankAccount:
    instrument, owned = found.instrument, found.payment_instrument
    return echecks.of_token(
        instrument.document if instrument is not None else {}, owned.document if owned is not None else {}, number
    )


class Maker(Struct, frozen=True, kw_only=True):
    """Decides which tokens come of an approved payment; again from the start whenever a token changed meanwhile."""

    tokenizer: Tokenizer
    merchant: Merchant
    wanted: Wanted | None
    instrument: InstrumentIdentifier | None
    """The one that pays."""
    request: Request

    def concerns(self, transaction: Transaction) -> bool:
        if self.wanted is None and agreements.begins_agreement(transaction) is None:
            return False
        return not stored.is_taken_back(transaction)

    async def __call__(self, transaction: Transaction) -> Attached | None:
        network_id = agreements.begins_agreement(transaction)
        if self.wanted is None:
            return await self._remembered(network_id)
        changes, told = await self._made(self.wanted, network_id)
        if not self.wanted.types & _OVER_A_NUMBER:  # what is made says nothing of the number that paid
            remembered = await self._remembered(network_id)
            changes = changes.also(remembered.changes) if remembered is not None else changes
        echo = replace(self.request.echo, made=told)

        def encode(payment: Payment, transaction: Transaction) -> Answer:
            return encoded(self.request, echo, payment, transaction)

        return Attached(changes, encode)

    async def _remembered(self, network_id: str | None) -> Attached | None:
        """The number that paid, with the payment that later ones refer to."""
        if self.instrument is None or network_id is None:
            return None
        number = await self.tokenizer.tokens.instrument_identifier(self.merchant.id, self.instrument.id)
        if isinstance(number, Missing) or agreements.agreement_of(number) is not None:
            return None
        return Attached(Changes((), (_agreed(number, network_id),)))

    async def _made(self, wanted: Wanted, network_id: str | None) -> tuple[Changes, dict[str, object]]:
        make, merchant_id = self.tokenizer, self.merchant.id
        changes, owner, customer = Changes(), None, None
        default: PaymentInstrument | None = None
        default_address: ShippingAddress | None = None
        if wanted.owner is not None:
            named = await make.tokens.customer(merchant_id, wanted.owner.id)
            if isinstance(named, Missing):  # deleted while the acquirer thought: nothing can be added to it
                return Changes(), {}
            owner = named
            default, default_address = await make.tokens.defaults(merchant_id, owner.id)
        elif stored.CUSTOMER in wanted.types:
            owner = customer = make.new_customer(wanted.customer)
            changes = Changes((customer,))
        number, is_new = None, None
        if wanted.types & _OVER_A_NUMBER:
            number, is_new = await make.instrument_of(merchant_id, *_number(wanted.card))
            if network_id is not None and agreements.agreement_of(number) is None:
                number = replace(_agreed(number, network_id), version=1) if is_new else _agreed(number, network_id)
            changes = changes.also(Changes((number,)) if is_new else Changes((), (number,)))
        card = address = None
        if stored.INSTRUMENT in wanted.types:
            assert number is not None
            expiry = wanted.card.expiry if isinstance(wanted.card, Card) else None
            new_card = make.new_payment_instrument(
                owner,
                number,
                wanted.payment_instrument,
                expiry=f"{expiry.year:04d}-{expiry.month:02d}" if expiry is not None else "",
                is_default=wanted.is_default_instrument and owner is not None,
            )
            card, more = rules.add(new_card, owner, default)
            changes = changes.also(more)
        if stored.ADDRESS in wanted.types and owner is not None and wanted.shipping_address:
            new = make.new_shipping_address(owner, wanted.shipping_address, is_default=wanted.is_default_address)
            address, more = rules.add(new, owner, default_address)
            changes = changes.also(more)
        told = stored.made(
            is_new_number=is_new,
            customer=customer,
            payment_instrument=card,
            shipping_address=address,
            instrument=number,
        )
        return changes, told


_OVER_A_NUMBER: Final = frozenset({stored.NUMBER, stored.INSTRUMENT})
"""Kinds of tokens that come with an instrument identifier."""


def _number(paid: Card | BankAccount) -> tuple[Pan | AccountNumber, dict[str, object], str]:
    """The number that an instrument identifier stands for, the document it begins with, and the routing number."""
    if isinstance(paid, Card):
        return paid.pan, {"card": {"number": paid.pan.masked()}}, ""
    shown = {"number": paid.number.masked(), "routingNumber": paid.routing_number}
    return paid.number, {"bankAccount": shown}, paid.routing_number


def _agreed(number: InstrumentIdentifier, network_id: str) -> InstrumentIdentifier:
    return rules.change(number, agreements.with_agreement(number.document, network_id))


def encoded(request: Request, echo: Echo, payment: Payment, transaction: Transaction) -> Answer:
    """The answer to a request, and what is stored of it."""
    status, body = answers.encode(payment, transaction, echo)
    return Answer(status, body, answers.masked(body) if request.has_pan else None)
