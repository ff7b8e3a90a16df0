"""Payer authentication over the wire: `/risk/v1`. A `Service` of the edge.

Setting up, asking the issuer, and taking what came of a challenge; a merchant's own payments then say what they use.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from kessai import ids
from kessai.accounts import Account
from kessai.authenticator import Asked, Authenticator
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import answers
from kessai.dialects.cybersource import authentication as wire
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import INVALID_DATA, Word
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT, Supplied
from kessai.dialects.document import Malformed, parse
from kessai.dialects.table import FieldError
from kessai.edge import EXPLANATION, MOST_EXPLAINED, Handler
from kessai.edge.http import refusal, refuse_media
from kessai.edge.paying import Paying
from kessai.edge.proving import STEP_UP
from kessai.log import log
from kessai.payment.authorize import exists
from kessai.sandbox import AUTHENTICATION_HEADER, NoSuchScenario, issuer_scenario

Json = Mapping[str, object]
Do = Callable[[Account, HttpRequest, Json], Awaitable[HttpResponse | Problems]]
COLLECT: Final = "/3ds/v2/collect"
_NUMBER: Final = "paymentInformation.card.number"


class Risk:
    steps: Final = frozenset({"risk"})

    def __init__(
        self,
        authenticator: Authenticator,
        paying: Paying,
        new_id: Callable[[], int],
        refuses_new: Callable[[], bool],
    ) -> None:
        self._authenticator = authenticator
        self._paying = paying
        self._new_id = new_id
        self._refuses_new = refuses_new

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        match tuple(path.rstrip("/").split("/"))[1:]:
            case ("risk", "v1", "authentication-setups"):
                known = Handler("authentication_setup", partial(self._read, self._set_up))
            case ("risk", "v1", "authentications"):
                known = Handler("authentication", partial(self._read, self._enrol))
            case ("risk", "v1", "authentication-results"):
                known = Handler("authentication_result", partial(self._read, self._result))
            case _:
                return frozenset()
        return known if method == "POST" else frozenset({"POST"})

    async def _read(self, do: Do, account: Account, request: HttpRequest) -> HttpResponse:
        other_media = refuse_media(request)
        if other_media is not None:
            return other_media
        document = parse(request.body)
        if isinstance(document, Malformed):
            return self._refused(account, Problems(INVALID_DATA), document.reason)
        if self._refuses_new():
            return refusal(503, "unavailable", "There is no room for new authentications; nothing was done.")
        done = await do(account, request, document)
        return self._refused(account, done, done.explanation) if isinstance(done, Problems) else done

    # ---- the three requests

    async def _set_up(self, account: Account, request: HttpRequest, document: Json) -> HttpResponse | Problems:
        """Whether there is a card. What a browser collects on its first visit decides nothing here."""
        found = await self._looked_up(account, document)
        if isinstance(found, Problems):
            return found
        card = wire.card_in(found[0], account.merchant, found[1])
        if isinstance(card, Problems):
            return card
        if not exists(card, account.merchant):
            return Problems(INVALID_DATA, (FieldError(_NUMBER),))
        reference = str(uuid.uuid4())
        information: dict[str, object] = {
            "accessToken": await self._authenticator.visit(account.merchant, reference),
            "deviceDataCollectionUrl": self._paying.proving.origin(request) + COLLECT,
            "referenceId": reference,
        }
        return self._answered(document, "COMPLETED", information)

    async def _enrol(self, account: Account, request: HttpRequest, document: Json) -> HttpResponse | Problems:
        found = await self._looked_up(account, document)
        if isinstance(found, Problems):
            return found
        asked = wire.enrolment(found[0], account.merchant, found[1])
        if isinstance(asked, Problems):
            return asked
        if not exists(asked.card, account.merchant):
            return Problems(INVALID_DATA, (FieldError(_NUMBER),))
        scenario = issuer_scenario(account.merchant, request.header(AUTHENTICATION_HEADER))
        if isinstance(scenario, NoSuchScenario):
            return Problems(INVALID_DATA, (FieldError("Kessai-Authentication", why=scenario.explanation),))
        begun = await self._authenticator.begin(
            account.merchant,
            Asked(
                card=asked.card,
                amount=asked.amount,
                shop=asked.shop or account.merchant.id,
                return_url=asked.return_url,
                scenario=scenario,
                wants_challenge=asked.wants_challenge,
            ),
        )
        places = None
        if begun.token is not None:
            places = wire.Places(self._paying.proving.origin(request) + STEP_UP, begun.token)
        status, word = wire.ended_as(begun.authentication)
        information = wire.enrolled(begun.name, begun.authentication, places)
        more = {"orderInformation": {"amountDetails": {"currency": asked.amount.currency.code}}}
        return self._answered(document, status, information, word, more)

    async def _result(self, account: Account, _request: HttpRequest, document: Json) -> HttpResponse | Problems:
        name = wire.named(document)
        if isinstance(name, Problems):
            return name
        found = await self._authenticator.find(account.merchant, name)
        if found is None:
            return Problems(INVALID_DATA, (FieldError(wire.NAME),))
        status, word = wire.ended_as(found[1])
        return self._answered(document, status, wire.validated(name, found[1]), word)

    # ---- helpers

    async def _looked_up(self, account: Account, document: Json) -> tuple[Json, Supplied] | Problems:
        """A request with what its tokens stand for. A transient token is not used up by this."""
        named = document.get("tokenInformation")
        if isinstance(named, dict) and named.get("transientToken"):  # as this family's reference spells it
            spelt = {"transientTokenJwt": named["transientToken"], **named}
            document = {**document, "tokenInformation": spelt}
        stored = await self._paying.look_up(account.merchant, document, by_network=False, fresh=True)
        if stored is None:
            return document, NOTHING_BROUGHT
        return stored if isinstance(stored, Problems) else (stored.document, stored.brought)

    def _answered(
        self,
        document: Json,
        status: str,
        information: Mapping[str, object],
        word: Word | None = None,
        more: Mapping[str, object] | None = None,
    ) -> HttpResponse:
        identifier = self._new_id()
        code = wire.reference_in(document) or str(ids.split(identifier).at_ms)
        at = answers.wire_time(self._authenticator.clock())
        return HttpResponse(201, wire.answer(ids.show(identifier), at, code, status, information, word, more))

    def _refused(self, account: Account, problems: Problems, explanation: str) -> HttpResponse:
        identifier, word = self._new_id(), problems.word
        status, body = answers.failure(word, identifier, self._authenticator.clock(), problems)
        log(
            "request.refused",
            request=ids.show(identifier),
            status=status,
            reason=word.reason,
            fields=problems.explanation or None,
        )
        may_know = account.merchant.is_test and explanation
        return HttpResponse(status, body, {EXPLANATION: explanation[:MOST_EXPLAINED]} if may_know else {})
