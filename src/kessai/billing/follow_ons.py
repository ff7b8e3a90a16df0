"""Subscriptions that follow on a payment: its card is stored as a new customer's, who then pays."""

from kessai.billing.call import Call, Told
from kessai.billing.subscriptions import Subscribing
from kessai.dialects.cybersource import recurring as wire
from kessai.dialects.cybersource import subscriptions as documents
from kessai.dialects.cybersource.recurring import Asked, Trouble
from kessai.gateway import Busy
from kessai.jobs.recurring import Biller
from kessai.payment.bank import FLAG
from kessai.payment.lifecycle import Operation, Status
from kessai.storage.payments import Answer, Found
from kessai.tokenizer import Decided, Tokenizer
from kessai.tokens.rules import Changes, add


class FollowOns:
    """What answers requests about payments that are to be continued."""

    def __init__(self, biller: Biller, tokenizer: Tokenizer, subscriptions: Subscribing) -> None:
        self._biller = biller
        self._tokenizer = tokenizer
        self._subscriptions = subscriptions

    async def _payment(self, call: Call) -> Found | Trouble:
        found = await self._biller.gateway.payments.load_payment(call.merchant.id, call.identifier)
        if found is None or found.payment.root.operation not in (Operation.AUTHORIZE, Operation.SALE):
            return wire.not_found("requestId")
        if found.payment.root.status is not Status.APPROVED or found.card is None:
            return wire.invalid(("requestId", "INVALID_DATA"))
        if FLAG in found.payment.root.flags:  # a subscription charges cards
            return wire.invalid(("requestId", "INVALID_DATA"))
        return found

    async def read(self, call: Call) -> Told:
        found = await self._payment(call)
        return found if isinstance(found, Trouble) else documents.follow_on(found.payment)

    async def create(self, call: Call) -> Told:
        asked = wire.read_subscription(call.document, is_new=True, follows=True)
        if isinstance(asked, Trouble):
            return asked
        found = await self._payment(call)
        if isinstance(found, Trouble):
            return found
        values = dict(asked.values)
        if await self._biller.rows.subscription(call.merchant.id, call.new_id) is None:
            values["customer"] = await self._store(call.merchant.id, found)
        original = found.payment.root.facts.get("network_transaction_id")
        if original:
            values.setdefault("original", original)
        return await self._subscriptions.subscribe(call, Asked(values))

    async def _store(self, merchant_id: str, found: Found) -> str:
        """The id of a new customer who has the payment's card."""
        payment, make = found.payment, self._tokenizer
        assert found.card is not None, "a payment without a card was let through"
        pan = self._biller.gateway.vault.open_card(merchant_id, payment.id, found.card).pan
        bill_to = documents.bill_to_of(payment)
        email = bill_to.get("email")
        customer = make.new_customer({"buyerInformation": {"email": email}} if email else {})

        async def decide() -> Decided:
            instrument, is_new = await make.instrument_of(merchant_id, pan, {"card": {"number": pan.masked()}})
            document = {"card": documents.card_of(payment)} | ({"billTo": bill_to} if bill_to else {})
            card = make.new_payment_instrument(customer, instrument, document, expiry=payment.expiry)
            _, with_card = add(card, customer, None, None if is_new else instrument)
            created = (customer, instrument) if is_new else (customer,)
            return Decided(Changes(created).also(with_card), Answer(201, b""))

        if not isinstance(await make.perform(merchant_id, decide), Answer):
            raise Busy
        return customer.id
