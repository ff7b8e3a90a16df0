"""The desk's part about network tokens: enrolment, tokenized cards, payment credentials, pictures."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from kessai import envelopes
from kessai.dialects import HttpResponse
from kessai.dialects.cybersource import token_answers as say
from kessai.dialects.cybersource import token_faults as faults
from kessai.dialects.cybersource import token_network as tell
from kessai.dialects.cybersource import token_requests as read
from kessai.dialects.cybersource.token_routes import Kind
from kessai.payment.card import Brand, Pan
from kessai.tms.parts import NO_CONTENT, Asked, Faulty, allowed, decided, good, there
from kessai.tokenizer import Decided, Resolved, Tokenizer
from kessai.tokens import network, rules
from kessai.tokens.objects import Customer, InstrumentIdentifier, NetworkToken, PaymentInstrument, State
from kessai.tokens.rules import Changes
from kessai.tokens.standing import Names

ACCEPTED = HttpResponse(202, b"")


class NetworkDesk:
    """Routes like the desk's own: without effects, called again after a race that was lost."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._make = tokenizer
        self._tokens = tokenizer.tokens
        self.routes: Mapping[Kind, Callable[[Asked], Awaitable[Decided | HttpResponse]]] = {
            Kind.ENROL: self._enrol,
            Kind.CREATE_TOKENIZED: self._create,
            Kind.READ_TOKENIZED: self._read,
            Kind.DELETE_TOKENIZED: self._delete,
            Kind.SIMULATE: self._simulate,
            Kind.CREDENTIALS: self._credentials,
            Kind.READ_ASSET: self._read_asset,
        }

    async def _enrol(self, asked: Asked) -> Decided:
        instrument = there(await self._tokens.instrument_identifier(asked.merchant_id, asked.route.id))
        if not instrument.is_card:
            raise Faulty(faults.INVALID_FIELDS.at("type"))
        document = good(read.enrolment(asked.document))
        number = read.number_of(asked.document)
        if number is not None and self._make.fingerprint(asked.merchant_id, number) != instrument.fingerprint:
            raise Faulty(faults.OTHER_PAYMENT_METHOD.at("card.number"))
        before = await self._tokens.network_token_of(asked.merchant_id, instrument.id)
        if before is not None and before.state in network.STANDS:
            return decided(Changes(), ACCEPTED if before.state is State.PENDING else NO_CONTENT)
        _, changes = await enrolled(self._make, asked, instrument, document, is_new=False)
        return decided(changes, ACCEPTED)

    async def _create(self, asked: Asked) -> Decided:
        """A tokenized card at once: its network is asked before the answer."""
        sent = good(read.tokenized_card(asked.document, is_test=asked.merchant.is_test))
        merchant = asked.merchant_id
        instrument, is_new = await self._make.instrument_of(merchant, sent.number, sent.document)
        before = None if is_new else await self._tokens.network_token_of(merchant, instrument.id)
        if before is not None and before.state in (State.ACTIVE, State.SUSPENDED):
            return decided(Changes(), say.response(before, tell.tokenized_card(before, merchant)))
        if before is not None and before.state is State.PENDING:  # it was asked for a moment ago
            token = await self._make.provided(merchant, before, instrument, month_of(self._make, asked))
            changes = Changes((), (token, rules.seen(instrument)))
            return decided(changes, say.response(token, tell.tokenized_card(token, merchant), 201))
        pending = _new(self._make, instrument, sent.enrols or {}, before)
        asking = await self._make.provided(merchant, pending, instrument, month_of(self._make, asked))
        token = replace(asking, version=1)
        changes = allowed(network.enrol(instrument, before, token, self._make.clock(), is_new=is_new))
        return decided(changes, say.response(token, tell.tokenized_card(token, merchant), 201))

    async def _read(self, asked: Asked) -> HttpResponse:
        token = there(await self._tokens.network_token(asked.merchant_id, asked.route.id))
        return say.response(token, tell.tokenized_card(token, asked.merchant_id))

    async def _delete(self, asked: Asked) -> Decided:
        token = there(await self._tokens.network_token(asked.merchant_id, asked.route.id))
        fault = read.why_deleted(asked.document)
        if fault is not None:
            raise Faulty(fault)
        return await self._turned(asked, token, State.DELETED, {})

    async def _simulate(self, asked: Asked) -> Decided:
        token = there(await self._tokens.network_token(asked.merchant_id, asked.route.id))
        sent = good(read.simulated(asked.document))
        return await self._turned(asked, token, State(sent.state) if sent.state is not None else token.state, sent.card)

    async def _turned(self, asked: Asked, token: NetworkToken, state: State, card: Mapping[str, object]) -> Decided:
        instrument = there(await self._tokens.instrument_identifier(asked.merchant_id, token.instrument))
        after = allowed(network.turned(token, state, card))
        return decided(Changes((), (after, rules.seen(instrument))), NO_CONTENT)

    # ---- payment credentials

    async def _credentials(self, asked: Asked) -> Decided:
        """Encrypted before they are kept for who asks again: nothing of them is stored that opens here."""
        found = await self._stood_for(asked)
        wanted = good(read.credentials(asked.document))
        sealed = envelopes.to_merchant(asked.account, await self._secrets(asked, found, wanted), self._make.clock())
        if sealed is None:
            raise Faulty(faults.NO_KEY)
        return decided(Changes(), tell.jose(sealed))

    async def _secrets(self, asked: Asked, found: Resolved, wanted: str) -> bytes:
        """The text of payment credentials: of the network token; in version 3 of the card, where none pays."""
        instrument = found.tokens.instrument
        assert instrument is not None, "what resolves to a number has an identifier"
        token = await self._tokens.network_token_of(asked.merchant_id, instrument.id)
        if token is None or not network.pays(token, network.Option.PREFER, month_of(self._make, asked)):
            if wanted or not asked.route.row.path.startswith("/tms/v3/") or not isinstance(found.number, Pan):
                raise Faulty(faults.WRONG_STATE)
            return tell.card_itself(instrument, asked.merchant_id, found.number, found.expiry)
        card = self._make.network_card(asked.merchant_id, token)
        has_code = card.number.brand is Brand.AMEX
        if wanted == "SECURITY_CODE" and not has_code:
            raise Faulty(faults.INVALID_FIELDS.at("paymentCredentialType"))
        is_coded = has_code and wanted in ("", "SECURITY_CODE")
        secrets = tell.Secrets(
            number=None if wanted == "CRYPTOGRAM" else card.number.digits,
            cryptogram=None if is_coded else card.cryptogram,
            security_code=f"{int.from_bytes(self._make.random(8)) % 10_000:04d}" if is_coded else None,
            eci=card.eci,
        )
        return tell.credentials(instrument, token, asked.merchant_id, secrets)

    async def _stood_for(self, asked: Asked) -> Resolved:
        """What a token of any kind comes down to."""
        named = there(await self._tokens.find(asked.merchant_id, asked.route.id))
        customer = payment_instrument = instrument = None
        match named:
            case Customer():
                customer = named.id
            case PaymentInstrument():
                payment_instrument = named.id
            case InstrumentIdentifier():
                instrument = named.id
            case NetworkToken():
                instrument = named.instrument
            case _:
                raise Faulty(faults.NOT_FOUND)
        names = Names(customer=customer, payment_instrument=payment_instrument, instrument=instrument)
        found = await self._make.resolve(asked.merchant_id, names)
        if not isinstance(found, Resolved):
            raise Faulty(faults.WRONG_STATE)
        return found

    # ---- pictures

    async def _read_asset(self, asked: Asked) -> HttpResponse:
        route = asked.route
        instrument = there(await self._tokens.instrument_identifier(asked.merchant_id, route.id))
        token = await self._tokens.network_token_of(asked.merchant_id, instrument.id)
        if token is None or token.document.get("provider") != route.provider:
            raise Faulty(faults.NOT_FOUND)
        found = tell.asset(instrument.id, route.provider, route.asset)
        if found is None:
            raise Faulty(faults.NOT_FOUND)
        return found


async def enrolled(
    make: Tokenizer, asked: Asked, instrument: InstrumentIdentifier, document: Mapping[str, object], *, is_new: bool
) -> tuple[InstrumentIdentifier, Changes]:
    """A card with a network token asked for, where it has none that stands; and what is to be written."""
    before = None if is_new else await make.tokens.network_token_of(asked.merchant_id, instrument.id)
    if before is not None and before.state in network.STANDS:
        return instrument, Changes((instrument,)) if is_new else Changes()
    new = _new(make, instrument, document, before)
    changes = allowed(network.enrol(instrument, before, new, make.clock(), is_new=is_new))
    written = (*changes.created, *changes.changed)
    return next(token for token in written if isinstance(token, InstrumentIdentifier)), changes


def _new(
    make: Tokenizer, instrument: InstrumentIdentifier, document: Mapping[str, object], before: NetworkToken | None
) -> NetworkToken:
    """A pending network token. The account keeps the reference that an earlier one told."""
    known = before.document.get("paymentAccountReference") if before is not None else None
    return make.new_network_token(instrument, {**document, **({"paymentAccountReference": known} if known else {})})


def month_of(make: Tokenizer, asked: Asked) -> str:
    """The month in the merchant's business time."""
    return f"{asked.merchant.at(make.clock()):%Y-%m}"
