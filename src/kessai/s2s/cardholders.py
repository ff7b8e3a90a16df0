"""3-D Secure on the PaymentOptions wire: whom the issuer is asked about, who is sent away, and who comes back.

paymentv2, authorizationv2 ─┬─ decided already, whoever pays ──► goes on, and is declined
                            ├─ concluded at once ──────────────► goes on with what the issuer said
                            └─ a challenge ────────────────────► redirect; goes on when it has ended (`payer_of`)
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from msgspec.structs import replace

from kessai import log as logging
from kessai.authentication import issuer
from kessai.authenticator import CHALLENGE_PAGE, Asked, Authenticator, Ended
from kessai.dialects import HttpRequest
from kessai.dialects.paymentoptions import identifiers, messages, waiting
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Problem
from kessai.dialects.paymentoptions.waiting import Keys
from kessai.payment import authorize
from kessai.payment.authorize import Authorize
from kessai.payment.lifecycle import Refusal
from kessai.s2s.call import Call, Made, Told
from kessai.s2s.cards import Paid
from kessai.s2s.keys import named
from kessai.s2s.payer import Payer
from kessai.sandbox import AUTHENTICATION_HEADER, NoSuchScenario, issuer_scenario
from kessai.storage.payments import Claim

WIRE: Final = "paymentoptions"
"""What the authenticator calls this wire."""
NO_SCENARIO: Final = Said("VAL0006", 30, "There is no such scenario for an authentication.", 400)


class Cardholders:
    """`public_url`: where browsers find this gateway; empty: where the request found it."""

    def __init__(
        self, authenticator: Authenticator, new_id: Callable[[], int], clock: Callable[[], datetime], public_url: str
    ) -> None:
        self._authenticator = authenticator
        self._new_id = new_id
        self._clock = clock
        self._public_url = public_url

    async def ask(self, call: Call, payer: Payer, command: Authorize) -> Payer | Told:
        """The payment with what its issuer says of its cardholder; or the answer that sends the payer away."""
        merchant, order = payer.merchant, payer.order
        if _is_decided(command, payer, merchant.at(self._clock())):
            return payer
        scenario = issuer_scenario(merchant, call.request.header(AUTHENTICATION_HEADER))
        if isinstance(scenario, NoSuchScenario):
            return NO_SCENARIO
        places = waiting.places_of(order)
        if isinstance(places, Problem):
            foreseen, _ = issuer.scenario_of(payer.paid.card.pan, scenario)
            if foreseen.status is issuer.Status.CHALLENGE:
                return messages.message_of(places)
            places = waiting.Places("", "")
        kept = waiting.waiting_of(
            order,
            payer.own,
            captures=payer.captures,
            scenario=payer.scenario,
            correlation=logging.correlation.get() or "",
        )
        identifier = self._new_id() if merchant.terms.paymentoptions.transaction_id_in_redirect else None
        kept = replace(
            kept, keys=_kept(payer.claims), named=_kept((named(identifier),)) if identifier is not None else ()
        )
        begun = await self._authenticator.begin(
            merchant,
            Asked(
                card=payer.paid.card,
                amount=order.amount,
                shop=merchant.terms.legal_name or merchant.id,
                return_url=places.success,
                decline_url=places.decline,
                scenario=scenario,
                wire=WIRE,
                document=waiting.encode(kept),
            ),
        )
        if begun.token is None:
            return replace(payer, used=self._authenticator.usable(begun.name, begun.authentication))
        url = f"{self._origin(call.request)}{CHALLENGE_PAGE}?{urlencode({'_token': begun.token})}"
        return Made(200, waiting.redirect(url, identifiers.show(identifier) if identifier is not None else ""))

    def payer_of(self, ended: Ended) -> Payer:
        """The payment that waited, with what became of its challenge."""
        kept = waiting.decode(ended.document)
        return Payer(
            merchant=ended.merchant,
            order=kept.order(ended.merchant.id, ended.card),
            paid=Paid(card=ended.card, name=kept.own.name, token=kept.own.token),
            own=kept.own,
            captures=kept.captures,
            claims=_claims(kept.keys),
            named=_claims(kept.named),
            scenario=kept.scenario,
            correlation=kept.correlation,
            used=ended.usable,
        )

    def _origin(self, http: HttpRequest) -> str:
        return self._public_url or f"{http.scheme}://{http.header('host') or 'localhost'}"


def _kept(claims: tuple[Claim, ...]) -> tuple[Keys, ...]:
    return tuple(Keys(claim.key, claim.request, claim.since) for claim in claims)


def _claims(kept: tuple[Keys, ...]) -> tuple[Claim, ...]:
    return tuple(Claim(keys.key, keys.request, keys.since) for keys in kept)


def _is_decided(command: Authorize, payer: Payer, now: datetime) -> bool:
    """Whether the rules refuse or decline a payment whoever its cardholder is: no issuer is asked then."""
    asked = replace(command, flags=command.flags - {"authentication-missing"})
    prepared = authorize.prepare(asked, payer.merchant, now, 0)
    return isinstance(prepared, Refusal) or prepared.verdict is not None
