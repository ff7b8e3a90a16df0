"""Several tokens of one request, in one commit: each answered as it were alone, up to the first that fails."""

from collections.abc import Mapping

from kessai.dialects.cybersource import token_answers as say
from kessai.dialects.cybersource import token_faults as faults
from kessai.dialects.cybersource import token_requests as read
from kessai.dialects.cybersource.token_faults import Fault
from kessai.payment.merchant import Merchant
from kessai.tokenizer import Tokenizer
from kessai.tokens import rules
from kessai.tokens.objects import Customer, InstrumentIdentifier, Missing
from kessai.tokens.rules import Changes


class Several:
    """One `tokenize`. Resources come in the order in which they need each other: customer, shipping address, instrument
    identifier, payment instrument."""

    def __init__(self, tokenizer: Tokenizer, merchant: Merchant) -> None:
        self._make = tokenizer
        self._merchant = merchant
        self._changes = Changes()
        self._customer: Customer | None = None
        self._number: InstrumentIdentifier | None = None

    async def decide(self, sent: read.Tokenize) -> tuple[Changes, list[say.Body]]:
        """What is to be written, and an entry for each resource."""
        told: list[say.Body] = []
        for name in read.RESOURCES:
            document = sent.documents.get(name, {})
            if name not in sent.wanted and not document:
                continue
            done = await self._one(name, document, is_wanted=name in sent.wanted)
            if isinstance(done, Fault):
                told.append({"resource": name, "httpStatus": done.http, "errors": [faults.error(done)]})
                break
            if name in sent.wanted:
                status, token_id = done
                told.append({"resource": name, "httpStatus": status, "id": token_id, "errors": []})
        return self._changes, told

    async def _one(self, name: str, document: Mapping[str, object], *, is_wanted: bool) -> tuple[int, str] | Fault:
        match name:
            case "customer":
                return await self._one_customer(document, is_wanted=is_wanted)
            case "shippingAddress":
                return await self._one_address(document)
            case "instrumentIdentifier":
                return await self._one_identifier(document)
            case "paymentInstrument":
                return await self._one_instrument(document)
            case _:
                return faults.UNSUPPORTED_FIELDS.at("processingInformation.actionTokenTypes")

    async def _one_customer(self, document: Mapping[str, object], *, is_wanted: bool) -> tuple[int, str] | Fault:
        named = document.get("id")
        if isinstance(named, str) and not is_wanted:
            found = await self._make.tokens.customer(self._merchant.id, named)
            if isinstance(found, Missing):
                return faults.OF_MISSING[found]
            self._customer = found
            return 200, found.id
        sent = read.customer(document)
        if isinstance(sent, Fault):
            return sent
        self._customer = self._make.new_customer(sent.document)
        self._changes = self._changes.also(Changes((self._customer,)))
        return 201, self._customer.id

    async def _one_address(self, document: Mapping[str, object]) -> tuple[int, str] | Fault:
        if self._customer is None:
            return faults.MISSING_FIELDS.at("tokenInformation.customer")
        sent = read.shipping_address(document)
        if isinstance(sent, Fault):
            return sent
        default = (await self._make.tokens.defaults(self._merchant.id, self._customer.id))[1]
        new = self._make.new_shipping_address(self._customer, sent.document, is_default=sent.is_default)
        token, changes = rules.add(new, self._customer, default)
        self._changes = self._changes.also(changes)
        return 201, token.id

    async def _one_identifier(self, document: Mapping[str, object]) -> tuple[int, str] | Fault:
        named = document.get("id")
        if isinstance(named, str):
            found = await self._make.tokens.instrument_identifier(self._merchant.id, named)
            if isinstance(found, Missing):
                return faults.OF_NAMED[found].at("tokenInformation.instrumentIdentifier.id")
            self._number = found
            return 200, found.id
        sent = read.identifier(document, is_test=self._merchant.is_test)
        if isinstance(sent, Fault):
            return sent
        return await self._identified(sent)

    async def _identified(self, sent: read.Identifier) -> tuple[int, str]:
        number, is_new = await self._make.instrument_of(
            self._merchant.id, sent.number, sent.document, sent.routing_number
        )
        self._number = number
        self._changes = self._changes.also(Changes((number,)) if is_new else Changes((), (number,)))
        return (201 if is_new else 200), number.id

    async def _one_instrument(self, document: Mapping[str, object]) -> tuple[int, str] | Fault:
        sent = read.payment_instrument(document, is_test=self._merchant.is_test, is_new=self._number is None)
        if isinstance(sent, Fault):
            return sent
        if isinstance(sent.refers_to, read.Identifier):
            await self._identified(sent.refers_to)
        elif sent.refers_to is not None:
            named = await self._one_identifier({"id": sent.refers_to})
            if isinstance(named, Fault):
                return named
        assert self._number is not None
        if ("bankAccount" if self._number.is_card else "card") in sent.document:
            return faults.INVALID_COMBINATION.at("card", "bankAccount")
        owner = self._customer
        default = (await self._make.tokens.defaults(self._merchant.id, owner.id))[0] if owner is not None else None
        new = self._make.new_payment_instrument(
            owner, self._number, sent.document, expiry=sent.expiry, is_default=sent.is_default and owner is not None
        )
        token, changes = rules.add(new, owner, default)
        self._changes = self._changes.also(changes)
        return 201, token.id
