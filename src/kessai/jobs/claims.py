"""Forgetting: claims whose window has passed, so that the memory of retries does not grow for ever (R-10); and cards
that came from a browser and are not needed any more."""

from datetime import timedelta

from kessai import ids
from kessai.claims import KEYS_KEPT
from kessai.gateway import Gateway
from kessai.payment.merchant import Merchant
from kessai.storage.flex import PurgeTransients, first_expiry
from kessai.storage.subscriptions import PurgeKept, Subscriptions
from kessai.storage.tokens import PurgeAnswers, oldest_answer
from kessai.storage.writes import PurgeClaims

PAGE = 500
"""Claims that are looked at in one go."""


async def forget(gateway: Gateway, merchant: Merchant, after: bytes) -> bytes:
    """Look at a page of a merchant's claims behind a key, and forget those that hold for nobody any more.

    The key to go on from; empty where the end was reached, which is also where to begin.
    """
    expiry, now = await first_expiry(gateway.database, merchant.id), gateway.clock()
    if expiry is not None and expiry <= now:
        await gateway.database.write(PurgeTransients(merchant.id, now))
    page = await gateway.payments.claims(merchant.id, after, PAGE)
    terms = merchant.terms
    longest = max(
        KEYS_KEPT,
        timedelta(days=terms.unique_transaction_id_days),
        timedelta(minutes=terms.unique_reference_minutes),
    )
    first = ids.first_of(ids.made_at(gateway.new_id()) - longest)
    lapsed = [(key, transaction_id) for key, transaction_id in page if transaction_id < first]
    if lapsed:
        await gateway.database.write(PurgeClaims(merchant.id, lapsed))
    if len(page) == PAGE:
        return page[-1][0]
    before = ids.first_of(ids.made_at(first) - timedelta(days=1))  # every claim to them has been forgotten by then
    oldest = await oldest_answer(gateway.database, merchant.id)
    if oldest is not None and oldest < before:
        await gateway.database.write(PurgeAnswers(merchant.id, before))
    kept = await Subscriptions(gateway.database).oldest_kept(merchant.id)
    if kept is not None and kept < before:
        await gateway.database.write(PurgeKept(merchant.id, before))
    return b""
