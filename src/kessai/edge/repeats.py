"""How the exact repeat of a signed request is told from a new one. Pure."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from kessai import ids
from kessai.claims import bound_to, claim_of
from kessai.dialects import HttpRequest
from kessai.dialects.cybersource import auth
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Claim


def repeated(
    merchant: Merchant,
    claimed: auth.Claim,
    verified: auth.Verified,
    request: HttpRequest,
    now: datetime,
    window_s: int,
) -> tuple[Claim, ...]:
    """The claim by which the exact repeat of a signed request is told (R-52); a jti is always claimed (R-51)."""
    wanted = merchant.exact_repeat
    if wanted == "allow" and not claimed.is_for_once:
        return ()
    since = ids.first_of(now - timedelta(seconds=2 * window_s + 60))
    named = f"{verified.key_id}\n{verified.replay_id}"
    bound = bound_to(merchant.id, f"{request.method} {request.target}\n".encode() + claimed.parts.signature)
    taken = None if wanted == "answer" else Refusal.REPEATED
    claim = claim_of("signature", named, request=bound, since=since, taken=taken)
    return (replace(claim, other=Refusal.REPEATED),)
