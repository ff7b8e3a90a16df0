"""Originals: the stored payments that a charge without the cardholder may go back to. Reads only.

Found by the card's fingerprint: in the search index, and among the payments that are younger than the index. Nothing is
written for them, so a payment that nobody refers to costs nothing.
"""

from typing import Final

import msgspec

from kessai.payment.agreement import Original
from kessai.storage.database import Database
from kessai.storage.indexing import Index, term_of
from kessai.storage.payments import from_ms

MOST: Final = 500
"""Transactions of a card that are looked at, and payments that are younger than the index."""

_facts: Final = msgspec.json.Decoder(dict[str, str]).decode


class Originals:
    def __init__(self, database: Database) -> None:
        self._read = database.read
        self._index = Index(database)

    async def find(self, merchant_id: str, fingerprints: set[bytes], network_id: str) -> tuple[Original, ...] | None:
        """Payments of a card that have a network's id, newest first; None where there are too many to be sure that
        there is none. `fingerprints` are of the numbers by which the card is known."""
        after = (await self._index.mark(merchant_id)).indexed  # read first: what is indexed meanwhile is found twice
        found: dict[int, Original] = {}
        seen = 0
        for fingerprint in sorted(fingerprints):
            key = {"merchant_id": merchant_id, "most": MOST}
            young = await self._read("originals_not_indexed", key | {"after": after, "fingerprint": fingerprint})
            old = await self._read("originals_indexed", key | {"term": term_of("fingerprint", fingerprint.hex())})
            seen = max(seen, len(old))
            for identifier, payment_id, requested_at, flags, facts in (*young, *old):
                if identifier == payment_id and _facts(facts).get("network_transaction_id") == network_id:
                    found[identifier] = Original(from_ms(requested_at), "merchant-initiated" in flags.split())
        if not found:
            values = {"merchant_id": merchant_id, "after": after, "most": MOST}
            if seen == MOST or await self._read("beyond_not_indexed", values):
                return None
        return tuple(found[identifier] for identifier in sorted(found, reverse=True))
