"""The desk of the token service: what each route loads, decides and answers.

`decide` says what is to be written and told, or, where nothing is to be written, the response. It has no effects, and
is called again when its decision lost a race.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from kessai.dialects import HttpResponse
from kessai.dialects.cybersource import token_answers as say
from kessai.dialects.cybersource import token_faults as faults
from kessai.dialects.cybersource import token_requests as read
from kessai.dialects.cybersource.token_faults import Fault
from kessai.dialects.cybersource.token_routes import Kind
from kessai.payment.card import Pan
from kessai.tms.network import NetworkDesk, enrolled
from kessai.tms.parts import NO_CONTENT, Asked, Faulty, allowed, decided, fit, good, match, own, there
from kessai.tms.several import Several
from kessai.tokenizer import Decided, Tokenizer
from kessai.tokens import network, rules
from kessai.tokens.objects import (
    Customer,
    InstrumentIdentifier,
    Missing,
    NetworkToken,
    PaymentInstrument,
    ShippingAddress,
    Token,
)
from kessai.tokens.rules import Changes, Refusal

T = TypeVar("T", bound=Token)


class Desk:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._make = tokenizer
        self._tokens = tokenizer.tokens
        self._routes: Mapping[Kind, Callable[[Asked], Awaitable[Decided | HttpResponse]]] = {
            Kind.CREATE_CUSTOMER: self._create_customer,
            Kind.READ_CUSTOMER: self._read_customer,
            Kind.CHANGE_CUSTOMER: self._change_customer,
            Kind.DELETE_CUSTOMER: self._delete_customer,
            Kind.CREATE_INSTRUMENT: self._create_instrument,
            Kind.LIST_INSTRUMENTS: self._list_instruments,
            Kind.READ_INSTRUMENT: self._read_instrument,
            Kind.CHANGE_INSTRUMENT: self._change_instrument,
            Kind.DELETE_INSTRUMENT: self._delete_instrument,
            Kind.CREATE_ADDRESS: self._create_address,
            Kind.LIST_ADDRESSES: self._list_addresses,
            Kind.READ_ADDRESS: self._read_address,
            Kind.CHANGE_ADDRESS: self._change_address,
            Kind.DELETE_ADDRESS: self._delete_address,
            Kind.CREATE_IDENTIFIER: self._create_identifier,
            Kind.READ_IDENTIFIER: self._read_identifier,
            Kind.CHANGE_IDENTIFIER: self._change_identifier,
            Kind.DELETE_IDENTIFIER: self._delete_identifier,
            Kind.LIST_REFERRING: self._list_referring,
            Kind.TOKENIZE: self._tokenize,
            **NetworkDesk(tokenizer).routes,
        }

    async def decide(self, asked: Asked) -> Decided | HttpResponse:
        try:
            return await self._routes[asked.route.row.kind](asked)
        except Faulty as faulty:
            return faults.answer(faulty.fault, **faulty.more)

    # ---- customers

    async def _create_customer(self, asked: Asked) -> Decided:
        sent = good(read.customer(asked.document))
        for name, named in _defaults_of(sent).items():
            if named is not None:  # a new customer owns nothing yet
                raise Faulty(faults.INVALID_FIELDS.at(f"{name}.id"))
        customer = await self._named(asked, self._make.new_customer(sent.document))
        return decided(Changes((customer,)), say.response(customer, say.customer(customer, asked.merchant_id), 201))

    async def _read_customer(self, asked: Asked) -> HttpResponse:
        customer = there(await self._tokens.customer(asked.merchant_id, asked.route.id))
        return await self._shown(asked, customer, *await self._tokens.defaults(asked.merchant_id, customer.id))

    async def _change_customer(self, asked: Asked) -> Decided:
        merchant = asked.merchant_id
        before = there(await self._tokens.customer(merchant, asked.route.id))
        match(asked, before)
        sent = good(read.customer(read.patched(before.document, asked.document)))
        customer = rules.change(before, sent.document)
        instrument, address = await self._tokens.defaults(merchant, customer.id)
        changes = Changes((), (customer,))
        if sent.default_payment_instrument not in (None, instrument.id if instrument else None):
            named = await self._tokens.payment_instrument(merchant, str(sent.default_payment_instrument))
            chosen = own(named, customer, "defaultPaymentInstrument.id")
            instrument, more = rules.change_owned(chosen, customer, instrument, becomes_default=True)
            changes = changes.also(more)
        if sent.default_shipping_address not in (None, address.id if address else None):
            found = await self._tokens.shipping_address(merchant, str(sent.default_shipping_address))
            wanted = own(found, customer, "defaultShippingAddress.id")
            address, more = rules.change_owned(wanted, customer, address, becomes_default=True)
            changes = changes.also(more)
        after = next(token for token in changes.changed if isinstance(token, Customer))
        return decided(changes, await self._shown(asked, after, instrument, address))

    async def _delete_customer(self, asked: Asked) -> Decided:
        merchant = asked.merchant_id
        customer = there(await self._tokens.customer(merchant, asked.route.id))
        owned = await self._tokens.owned(merchant, customer.id)
        going = [token for token in owned if isinstance(token, PaymentInstrument)]
        referred = await self._tokens.referred(merchant, going)
        return decided(rules.delete_customer(customer, owned, referred, self._make.clock()), NO_CONTENT)

    async def _shown(
        self,
        asked: Asked,
        customer: Customer,
        instrument: PaymentInstrument | None,
        address: ShippingAddress | None,
    ) -> HttpResponse:
        number = await self._number_of(asked, instrument) if instrument is not None else None
        return say.response(customer, say.customer(customer, asked.merchant_id, instrument, number, address))

    # ---- payment instruments, of a customer and lone

    async def _create_instrument(self, asked: Asked) -> Decided:
        merchant = asked.merchant_id
        customer = await self._owner(asked)
        sent = good(read.payment_instrument(asked.document, is_test=asked.merchant.is_test))
        number, made = await self._referred_to(asked, sent)
        assert number is not None
        fit(sent.document, number)
        default = (await self._tokens.defaults(merchant, customer.id))[0] if customer is not None else None
        new = self._make.new_payment_instrument(
            customer, number, sent.document, expiry=sent.expiry, is_default=sent.is_default and customer is not None
        )
        new = await self._named(asked, new)
        token, changes = rules.add(new, customer, default, None if made.created else number)
        body = say.payment(token, merchant, number)
        return decided(made.also(changes), say.response(token, body, 201))

    async def _list_instruments(self, asked: Asked) -> HttpResponse:
        customer = there(await self._tokens.customer(asked.merchant_id, asked.route.customer or ""))
        page = good(read.page(asked.query))
        found, total = await self._tokens.page_of_customer(
            asked.merchant_id, customer.id, PaymentInstrument, page.offset, page.limit
        )
        numbers = {each: await self._embedded(asked, each) for each in {token.instrument for token in found}}
        bodies = [say.payment(token, asked.merchant_id, numbers[token.instrument]) for token in found]
        path = f"{say.path_of(customer)}/payment-instruments"
        return say.listed(path, "paymentInstruments", page, total, bodies)

    async def _read_instrument(self, asked: Asked) -> HttpResponse:
        token = await self._instrument(asked)
        return say.response(token, self._said(asked, token, await self._number_of(asked, token)))

    async def _change_instrument(self, asked: Asked) -> Decided:
        merchant = asked.merchant_id
        token = await self._instrument(asked)
        match(asked, token)
        document = read.patched(token.document, asked.document)
        sent = good(read.payment_instrument(document, is_test=asked.merchant.is_test, is_new=False))
        number = await self._number_of(asked, token)
        made = Changes()
        if sent.refers_to not in (None, token.instrument):
            other, made = await self._referred_to(asked, sent)
            assert other is not None
            if other.id != number.id:
                token, number = allowed(rules.refer(token, number, other)), other
                pan = self._make.number(merchant, other)
                brand = pan.brand if isinstance(pan, Pan) else None
                sent = replace(sent, document=read.over_another(sent.document, asked.document, brand))
                made = made if made.created else Changes((), (other,))
        fit(sent.document, number)
        customer = default = None
        if token.customer is not None and sent.is_default and not token.is_default:
            customer = there(await self._tokens.customer(merchant, token.customer))
            default = (await self._tokens.defaults(merchant, customer.id))[0]
        changed = replace(token, document=sent.document, expiry=sent.expiry)
        after, changes = rules.change_owned(changed, customer, default, becomes_default=sent.is_default)
        return decided(made.also(changes), say.response(after, self._said(asked, after, number)))

    async def _delete_instrument(self, asked: Asked) -> Decided:
        merchant = asked.merchant_id
        token = await self._instrument(asked)
        customer, is_only = None, True
        if token.customer is not None:
            customer = there(await self._tokens.customer(merchant, token.customer))
            is_only = await self._tokens.count_of_customer(merchant, customer.id, PaymentInstrument) == 1
        referred = next(iter(await self._tokens.referred(merchant, [token])), None)
        deleted = rules.delete_owned(token, customer, referred, self._make.clock(), is_only=is_only)
        return decided(allowed(deleted), NO_CONTENT)

    async def _instrument(self, asked: Asked) -> PaymentInstrument:
        token = there(await self._tokens.payment_instrument(asked.merchant_id, asked.route.id))
        if asked.route.customer not in (None, token.customer):
            raise Faulty(faults.NOT_FOUND)
        return token

    async def _number_of(self, asked: Asked, token: PaymentInstrument) -> InstrumentIdentifier:
        return there(await self._tokens.instrument_identifier(asked.merchant_id, token.instrument))

    async def _embedded(self, asked: Asked, token_id: str) -> InstrumentIdentifier | None:
        """What is shown of a number in a list; nothing where it went after the list was read."""
        number = await self._tokens.instrument_identifier(asked.merchant_id, token_id)
        return number if isinstance(number, InstrumentIdentifier) else None

    async def _referred_to(
        self, asked: Asked, sent: read.PaymentInstrument
    ) -> tuple[InstrumentIdentifier | None, Changes]:
        """What a payment instrument is to refer to, and what has to be written for it first."""
        if isinstance(sent.refers_to, str):
            found = await self._tokens.instrument_identifier(asked.merchant_id, sent.refers_to)
            if isinstance(found, Missing):
                raise Faulty(faults.OF_NAMED[found].at("instrumentIdentifier.id"))
            return found, Changes()
        if sent.refers_to is None:
            return None, Changes()
        number, is_new = await self._identified(asked, sent.refers_to)
        return number, Changes((number,)) if is_new else Changes()

    def _said(self, asked: Asked, token: PaymentInstrument, number: InstrumentIdentifier) -> say.Body:
        return say.payment(token, asked.merchant_id, number, words=asked.route.customer is None)

    # ---- shipping addresses

    async def _create_address(self, asked: Asked) -> Decided:
        customer = await self._owner(asked)
        assert customer is not None
        sent = good(read.shipping_address(asked.document))
        default = (await self._tokens.defaults(asked.merchant_id, customer.id))[1]
        new = self._make.new_shipping_address(customer, sent.document, is_default=sent.is_default)
        token, changes = rules.add(await self._named(asked, new), customer, default)
        return decided(changes, say.response(token, say.address(token, asked.merchant_id), 201))

    async def _list_addresses(self, asked: Asked) -> HttpResponse:
        customer = there(await self._tokens.customer(asked.merchant_id, asked.route.customer or ""))
        page = good(read.page(asked.query))
        found, total = await self._tokens.page_of_customer(
            asked.merchant_id, customer.id, ShippingAddress, page.offset, page.limit
        )
        bodies = [say.address(token, asked.merchant_id) for token in found]
        return say.listed(f"{say.path_of(customer)}/shipping-addresses", "shippingAddresses", page, total, bodies)

    async def _read_address(self, asked: Asked) -> HttpResponse:
        token = await self._address(asked)
        return say.response(token, say.address(token, asked.merchant_id))

    async def _change_address(self, asked: Asked) -> Decided:
        token = await self._address(asked)
        match(asked, token)
        sent = good(read.shipping_address(read.patched(token.document, asked.document)))
        customer = default = None
        if sent.is_default and not token.is_default:
            customer = there(await self._tokens.customer(asked.merchant_id, token.customer))
            default = (await self._tokens.defaults(asked.merchant_id, customer.id))[1]
        changed = replace(token, document=sent.document)
        after, changes = rules.change_owned(changed, customer, default, becomes_default=sent.is_default)
        return decided(changes, say.response(after, say.address(after, asked.merchant_id)))

    async def _delete_address(self, asked: Asked) -> Decided:
        token = await self._address(asked)
        customer = there(await self._tokens.customer(asked.merchant_id, token.customer))
        is_only = await self._tokens.count_of_customer(asked.merchant_id, customer.id, ShippingAddress) == 1
        deleted = rules.delete_owned(token, customer, None, self._make.clock(), is_only=is_only)
        return decided(allowed(deleted), NO_CONTENT)

    async def _address(self, asked: Asked) -> ShippingAddress:
        token = there(await self._tokens.shipping_address(asked.merchant_id, asked.route.id))
        if token.customer != asked.route.customer:
            raise Faulty(faults.NOT_FOUND)
        return token

    async def _owner(self, asked: Asked) -> Customer | None:
        """The customer that a path names; None where it names none."""
        if asked.route.customer is None:
            return None
        return there(await self._tokens.customer(asked.merchant_id, asked.route.customer))

    # ---- instrument identifiers

    async def _create_identifier(self, asked: Asked) -> Decided:
        sent = good(read.identifier(asked.document, is_test=asked.merchant.is_test))
        token, is_new = await self._identified(asked, sent)
        changes = Changes((token,)) if is_new else Changes()
        if sent.enrols is not None:
            token, changes = await enrolled(self._make, asked, token, sent.enrols, is_new=is_new)
        body = say.identifier(token, asked.merchant_id, await self._network_of(asked, token))
        return decided(changes, say.response(token, body, 201 if is_new else 200))

    async def _network_of(self, asked: Asked, token: InstrumentIdentifier) -> NetworkToken | None:
        """The network token of a card that was enrolled."""
        if token.document.get("type") != network.TYPE:
            return None
        return await self._tokens.network_token_of(asked.merchant_id, token.id)

    async def _identified(self, asked: Asked, sent: read.Identifier) -> tuple[InstrumentIdentifier, bool]:
        return await self._make.instrument_of(asked.merchant_id, sent.number, sent.document, sent.routing_number)

    async def _read_identifier(self, asked: Asked) -> HttpResponse:
        token = await self._identifier(asked)
        return say.response(token, say.identifier(token, asked.merchant_id, await self._network_of(asked, token)))

    async def _change_identifier(self, asked: Asked) -> Decided:
        token = await self._identifier(asked)
        match(asked, token)
        after = rules.change(token, good(read.patched_identifier(token.document, asked.document)))
        body = say.identifier(after, asked.merchant_id, await self._network_of(asked, after))
        return decided(Changes((), (after,)), say.response(after, body))

    async def _delete_identifier(self, asked: Asked) -> Decided:
        token = await self._identifier(asked)
        is_in_use = await self._tokens.count_of_instrument(asked.merchant_id, token.id) > 0
        network_token = await self._tokens.network_token_of(asked.merchant_id, token.id)
        deleted = rules.delete_instrument(token, self._make.clock(), is_in_use=is_in_use, network=network_token)
        if deleted is Refusal.IN_USE:
            raise Faulty(faults.IN_USE, say.in_use(token))
        return decided(allowed(deleted), NO_CONTENT)

    async def _list_referring(self, asked: Asked) -> HttpResponse:
        token = await self._identifier(asked)
        page = good(read.page(asked.query))
        found, total = await self._tokens.page_of_instrument(asked.merchant_id, token.id, page.offset, page.limit)
        bodies = [say.payment(each, asked.merchant_id, token, words=True) for each in found]
        return say.listed(f"{say.path_of(token)}/paymentinstruments", "paymentInstruments", page, total, bodies)

    async def _identifier(self, asked: Asked) -> InstrumentIdentifier:
        return there(await self._tokens.instrument_identifier(asked.merchant_id, asked.route.id))

    # ---- ids

    async def _named(self, asked: Asked, new: T) -> T:
        """A new token with the id that its request chooses, where its merchant's may."""
        if not asked.merchant.terms.chosen_token_ids:
            return new
        chosen = good(read.chosen_id(asked.document))
        if chosen is None:
            return new
        if await self._tokens.any_kind(asked.merchant_id, chosen) is not None:
            raise Faulty(faults.ID_IS_TAKEN.at("id"))
        return replace(new, id=chosen)

    # ---- several at once

    async def _tokenize(self, asked: Asked) -> Decided | HttpResponse:
        several = Several(self._make, asked.merchant)
        sent = good(read.tokenize(asked.document))
        if isinstance(asked.transient, Fault):
            raise Faulty(asked.transient)
        if asked.transient is not None:
            sent = read.with_card(sent, asked.transient)
        changes, resources = await several.decide(sent)
        return decided(changes, say.tokenized(resources))


def _defaults_of(sent: read.Customer) -> dict[str, str | None]:
    return {
        "defaultPaymentInstrument": sent.default_payment_instrument,
        "defaultShippingAddress": sent.default_shipping_address,
    }
