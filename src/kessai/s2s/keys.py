"""Idempotency keys on the PaymentOptions wire: an extension of ours, since none of its documents has any.

Whoever sends `Idempotency-Key` gets the same answer to the same request for thirty days, and pays once (R-10).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from kessai import ids
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects.paymentoptions import codes, messages
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Problem
from kessai.dialects.paymentoptions.routes import SERVICE
from kessai.edge import KEY
from kessai.payment.card import Pan, looks_like_a_pan
from kessai.s2s.call import Call
from kessai.storage.payments import Claim

HEADER: Final = "idempotency-key"
_canonical: Final = msgspec.json.Encoder(order="sorted").encode
Fingerprint = Callable[[str, Pan], bytes]


def claims_of(call: Call, new_id: int, fingerprint: Fingerprint) -> tuple[Claim, ...] | Said:
    """The claim of a request to its key, bound to what it asks: a card as its fingerprint, its code not at all."""
    sent = call.request.header(HEADER)
    if sent is None:
        return ()
    if KEY.fullmatch(sent) is None:
        return messages.message_of(Problem(codes.INVALID, "Idempotency-Key"))

    def shown(text: str) -> str:
        return fingerprint(call.merchant.id, Pan(text)).hex() if looks_like_a_pan(text) else text

    document = dict(call.document)
    card = document.get("card")
    if isinstance(card, dict):
        kept = {name: value for name, value in card.items() if name != "cvc"}
        document["card"] = kept | {"number": shown(str(card.get("number", "")))}
    scope = "POST " + call.request.path.rpartition(SERVICE[0])[2].rstrip("/")
    since = ids.first_of(ids.made_at(new_id) - KEYS_KEPT)
    return (claim_of(scope, shown(sent), request=bound_to(call.merchant.id, _canonical(document)), since=since),)


def named(identifier: int) -> Claim:
    """The claim to an id that was given before there was a transaction."""
    since = ids.first_of(ids.made_at(identifier) - KEYS_KEPT)
    return claim_of("paymentoptions redirect", str(identifier), since=since)
