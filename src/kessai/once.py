"""Once: requests that are no payments, each carried out once, however often it is sent.

What a request claims (its idempotency key, its signature) names the resource that it will make or change, before that
is done. Who comes second is told what the first was told; after a crash between the two, the same request goes on with
the same resource.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import Enum
from typing import Final

from kessai import ids
from kessai.dialects import HttpResponse
from kessai.edge import REPLAYED
from kessai.gateway import Busy
from kessai.payment.lifecycle import Refusal
from kessai.storage.database import Database
from kessai.storage.payments import Answer, Claim
from kessai.storage.subscriptions import ClaimAnswer, ForgetAnswer, KeepAnswer, Subscriptions

SUCCESS: Final = 300
"""Statuses below are kept; above them nothing was done, and the claims are free again."""


class Fate(Enum):
    """What becomes of the claims of a request that was carried out."""

    KEPT = "kept"
    """Whoever comes again is told the same."""
    FREE = "free"
    """Nothing was done."""
    OPEN = "open"
    """Nobody can say yet what was done: the same request goes on with it later."""


def _usual(told: HttpResponse) -> Fate:
    return Fate.KEPT if told.status < SUCCESS else Fate.FREE


async def once(
    database: Database,
    merchant_id: str,
    claims: tuple[Claim, ...],
    new_id: int,
    do: Callable[[int], Awaitable[HttpResponse]],
    *,
    fate: Callable[[HttpResponse], Fate] = _usual,
    patience: timedelta | None = None,
) -> HttpResponse | Refusal:
    """Carry a request out under its claims. `do` is called with the id of the resource: it may be there already.

    `patience`: how long the first of several requests is let alone; the others are told that it is in progress.
    """
    rows, identifier = Subscriptions(database), new_id
    ours: list[tuple[Claim, int]] = []
    begun: list[tuple[Claim, int]] = []  # of the same request, which is under way, or was when its process ended
    told: HttpResponse | Refusal | None = None
    for claim in claims:
        write = ClaimAnswer(
            merchant_id=merchant_id, key=claim.key, request=claim.request, id=identifier, since=claim.since
        )
        if await database.write(write):
            ours.append((claim, identifier))
            continue
        kept = await rows.kept(merchant_id, claim.key)
        if kept is None:
            holder = await rows.claimed_by(merchant_id, claim.key)
            if holder is None or holder < claim.since:  # its request did nothing, a moment ago
                raise Busy
            told = claim.taken or claim.other  # it is of another family
            break
        if claim.taken is not None or kept.request != claim.request:
            told = claim.taken or claim.other
        elif kept.answer is not None:
            told = HttpResponse(kept.answer.status, kept.answer.body, {REPLAYED: "true"})
        elif patience is not None and ids.made_at(new_id) - ids.made_at(kept.id) < patience:
            told = Refusal.IN_PROGRESS
        else:
            identifier = kept.id
            begun.append((claim, identifier))
            continue
        break
    if told is None:
        told = await do(identifier)
        ending = fate(told)
        if ending is Fate.OPEN:
            return told
        if ending is Fate.KEPT:
            for claim, holder in ours + begun:
                answer = Answer(told.status, told.body)
                await database.write(KeepAnswer(merchant_id=merchant_id, key=claim.key, id=holder, answer=answer))
            return told
    for claim, holder in ours:
        await database.write(ForgetAnswer(merchant_id=merchant_id, key=claim.key, id=holder))
    return told
