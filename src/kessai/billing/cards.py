"""What a subscription's customer pays with, and the words in which its payments are told."""

from typing import Final

import msgspec

from kessai.dialects.cybersource import agreements
from kessai.dialects.cybersource import subscriptions as documents
from kessai.jobs.recurring import CardOf, OnFile, Words
from kessai.payment.agreement import Agreement
from kessai.payment.card import Card, Expiry, Pan
from kessai.payment.lifecycle import Payment, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.subscription import Charge, Subscription
from kessai.storage.payments import Answer
from kessai.tokenizer import Tokenizer
from kessai.tokens.standing import Names, Unresolved


def card_of(tokenizer: Tokenizer) -> CardOf:
    """A customer token's default payment instrument, where that is a card."""

    async def found(merchant: Merchant, customer: str) -> OnFile | None:
        resolved = await tokenizer.resolve(merchant.id, Names(customer=customer))
        if isinstance(resolved, Unresolved) or not isinstance(resolved.number, Pan):
            return None
        year, _, month = resolved.expiry.partition("-")
        expiry = Expiry(int(year), int(month)) if month else None
        instrument = resolved.tokens.payment_instrument
        first, last = documents.names_of(instrument.document if instrument is not None else {})
        card = Card(pan=resolved.number, expiry=expiry, brand=resolved.number.brand)
        agreed = agreements.agreement_of(resolved.tokens.instrument) or ""
        return OnFile(card=card, first_name=first, last_name=last, agreed=agreed)

    return found


def _particulars(subscription: Subscription, charge: Charge | None) -> bytes:
    return msgspec.json.encode({**documents.members_of(subscription, charge), **subscription.kept})


def _answer(payment: Payment, transaction: Transaction) -> Answer:
    return Answer(*documents.answer_of(payment, transaction))


def _agreement(particulars: bytes) -> Agreement | None:
    return agreements.told(msgspec.json.decode(particulars))


WORDS: Final = Words(_particulars, _answer, _agreement)
