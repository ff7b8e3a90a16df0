"""Payments and the authentication of their cardholders: what a payment asks for, takes, brings, or lacks.

    CONSUMER_AUTHENTICATION            the issuer is asked ─► goes on with its proof, is declined, or waits
    VALIDATE_CONSUMER_AUTHENTICATION   what came of one is taken, for this one payment
    consumerAuthenticationInformation  what somebody else found out is passed on
    none of it                         where the merchant is bound to 3-D Secure: exempt, or declined

A payment whose cardholder is not authenticated is declined on the road, by its flags, and is there to be looked at.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from kessai import ids
from kessai.authentication import obligation
from kessai.authenticator import Asked, Authenticator
from kessai.dialects import HttpRequest
from kessai.dialects.cybersource import answers
from kessai.dialects.cybersource import authentication as wire
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import AUTHENTICATION_PENDING, INVALID_DATA
from kessai.dialects.cybersource.requests import Request
from kessai.dialects.document import Malformed, parse
from kessai.dialects.table import FieldError
from kessai.payment import authorize
from kessai.payment.authorize import Authorize
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.proof import Proof
from kessai.sandbox import AUTHENTICATION_HEADER, NoSuchScenario, issuer_scenario
from kessai.storage.payments import Answer, Claim

Json = Mapping[str, object]
Claims = tuple[Claim, ...]
Told = Callable[[Merchant, Claims], Awaitable[Answer | Refusal | None]]

STEP_UP: Final = "/3ds/v2/step-up"


class Proven(Struct, frozen=True):
    """A payment that goes on: its request with what authentication says of it, its proof, its claims."""

    request: Request
    proof: Proof | None = None
    claims: tuple[Claim, ...] = ()


class Proving:
    """`public_url`: where browsers find this gateway; empty: where the request found it."""

    def __init__(
        self, authenticator: Authenticator, new_id: Callable[[], int], clock: Callable[[], datetime], public_url: str
    ) -> None:
        self._authenticator = authenticator
        self._new_id = new_id
        self._clock = clock
        self._public_url = public_url

    async def of(
        self, merchant: Merchant, decoded: Request, document: Json, http: HttpRequest, claims: Claims, told: Told
    ) -> Proven | Problems | Answer | Refusal:
        """What an authorization does about its cardholder; an answer or a problem where it ends there. `document` may
        be empty where it is as requests usually are; `told` knows what an earlier request with the claims was told."""
        sent = document or parse(http.body)
        assert not isinstance(sent, Malformed), "a request that is malformed was decoded"
        if wire.actions(sent):  # no issuer is asked again for a repeat
            before = await told(merchant, claims)
            if before is not None:
                return before
        return await self._look(merchant, decoded, sent, http)

    async def _look(
        self, merchant: Merchant, decoded: Request, document: Json, http: HttpRequest
    ) -> Proven | Problems | Answer:
        command = decoded.command
        if not isinstance(command, Authorize):
            return Proven(decoded)
        if len(wire.exemptions(document)) > 1:
            return Proven(wire.flagged(decoded, "authentication-missing"))
        wanted = wire.actions(document)
        if wanted and _is_decided(command, merchant, merchant.at(self._clock())):
            return Proven(decoded)
        if wire.TAKE in wanted:
            return await self._take(merchant, decoded, command, document)
        if wire.ASK in wanted:
            return await self._ask(merchant, decoded, command, document, http)
        proof = wire.proof_in(document)
        if obligation.is_missing(merchant, wire.order_of(document, command, proof)):
            return Proven(wire.flagged(decoded, "authentication-missing"))
        if proof is not None and proof.shifts_liability:
            decoded = wire.flagged(decoded, "authenticated")
        return Proven(decoded, proof)

    async def _ask(
        self, merchant: Merchant, decoded: Request, command: Authorize, document: Json, http: HttpRequest
    ) -> Proven | Problems | Answer:
        return_url = wire.return_url(document)
        if isinstance(return_url, Problems):
            return return_url
        scenario = issuer_scenario(merchant, http.header(AUTHENTICATION_HEADER))
        if isinstance(scenario, NoSuchScenario):
            return Problems(INVALID_DATA, (FieldError("Kessai-Authentication", why=scenario.explanation),))
        begun = await self._authenticator.begin(
            merchant,
            Asked(
                card=command.card,
                amount=command.amount,
                shop=wire.shop_in(document) or merchant.id,
                return_url=return_url,
                scenario=scenario,
                wants_challenge=wire.wants_challenge(document),
            ),
        )
        found = begun.authentication
        if begun.token is None:
            used = self._authenticator.usable(begun.name, found)
            shown = wire.enrolled(begun.name, found)
            return Proven(wire.using(decoded, begun.name, found, used.flags, shown), used.proof, (used.claim,))
        places = wire.Places(self.origin(http) + STEP_UP, begun.token)
        identifier = self._new_id()
        body = wire.answer(
            ids.show(identifier),
            answers.wire_time(self._clock()),
            command.reference or str(ids.split(identifier).at_ms),
            AUTHENTICATION_PENDING.status,
            wire.enrolled(begun.name, found, places),
            AUTHENTICATION_PENDING,
            wire.paid_with(command.card),
        )
        return Answer(201, body)

    async def _take(
        self, merchant: Merchant, decoded: Request, command: Authorize, document: Json
    ) -> Proven | Problems:
        name = wire.named(document)
        if isinstance(name, Problems):
            return name
        used = await self._authenticator.use(merchant, name, command.card.pan, command.amount)
        if isinstance(used, Refusal):
            return Problems(INVALID_DATA, (FieldError(wire.NAME, why=used.value),))
        shown = wire.validated(name, used.authentication)
        request = wire.using(decoded, name, used.authentication, used.flags, shown)
        if used.authentication.is_challenged:  # its payer may still answer: nothing is used up
            return Proven(request)
        return Proven(request, used.proof, (used.claim,))

    def origin(self, http: HttpRequest) -> str:
        return self._public_url or f"{http.scheme}://{http.header('host') or 'localhost'}"


def _is_decided(command: Authorize, merchant: Merchant, now: datetime) -> bool:
    """Whether the rules refuse or decline a payment whoever its cardholder is: no issuer is asked then."""
    prepared = authorize.prepare(command, merchant, now, 0)
    return isinstance(prepared, Refusal) or (prepared.verdict is not None and command.voice_approval is None)
