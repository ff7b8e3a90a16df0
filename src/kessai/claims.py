"""Claims: what one request may have at a time, by name. Pure.

An idempotency key, the signature of a request, a merchant's own id or reference: whoever claims it first has it for as
long as its window lasts; the second is told what the first was answered, or why it is refused (R-10, R-52).
"""

import hashlib
from datetime import timedelta
from typing import Final

from kessai import ids
from kessai.payment.lifecycle import Operation, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Claim

KEYS_KEPT: Final = timedelta(days=30)
"""How long an idempotency key is remembered (R-10)."""


def claim_of(kind: str, text: str, *, request: bytes = b"", since: int = 0, taken: Refusal | None = None) -> Claim:
    """A claim to something named by a text, unique within its kind (R-10, R-52)."""
    hashed = hashlib.blake2b(f"{kind}\n{text}".encode(), digest_size=16, person=b"kessai claim").digest()
    return Claim(hashed, request, since, taken)


def bound_to(merchant_id: str, request: bytes) -> bytes:
    """What binds a claim to a request, without its CVV."""
    return hashlib.blake2b(request, key=merchant_id.encode()[:64], digest_size=16).digest()


def unique(merchant: Merchant, transaction: Transaction, *, is_new: bool) -> tuple[Claim, ...]:
    """Claims to what the merchant's terms allow once in a while: its own transaction id, its reference."""
    terms = merchant.terms
    if not (terms.unique_transaction_id_days or terms.unique_reference_minutes):
        return ()
    now = ids.made_at(transaction.id)
    found: tuple[Claim, ...] = ()
    named = transaction.merchant_transaction_id
    if named and terms.unique_transaction_id_days and transaction.operation not in _NAMES_ITS_ORIGINAL:
        since = ids.first_of(now - timedelta(days=terms.unique_transaction_id_days))
        found += (claim_of("transaction id", named, since=since, taken=Refusal.DUPLICATE_TRANSACTION_ID),)
    if is_new and transaction.reference and terms.unique_reference_minutes:
        since = ids.first_of(now - timedelta(minutes=terms.unique_reference_minutes))
        found += (claim_of("reference", transaction.reference, since=since, taken=Refusal.DUPLICATE_REFERENCE),)
    return found


_NAMES_ITS_ORIGINAL: Final = frozenset({Operation.REVERSAL, Operation.VOID})
"""Operations whose merchant's transaction id is the original's."""
