"""The token service: the family of resources below `/tms`. What comes before a token is looked at, and after.

Headers, media, the body, idempotency keys in; the answer, whatever became of the commit, out. What each route decides
is at the desk (`desk`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from kessai import ids
from kessai.accounts import Account
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import answers, flex, token_bins, token_faults, token_routes
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import INVALID_DATA, of_refusal
from kessai.dialects.cybersource.token_routes import Kind, Match
from kessai.dialects.document import Malformed, parse, text_of
from kessai.dialects.table import FieldError
from kessai.edge import EXPLANATION, KEY, REPLAYED, Handler, Repeated
from kessai.edge.http import refuse_media
from kessai.log import log
from kessai.metrics import Metrics
from kessai.payment.card import Pan, looks_like_a_pan
from kessai.payment.lifecycle import Operation, Refusal
from kessai.payment.merchant import Merchant
from kessai.storage.database import CommitUnknown
from kessai.storage.payments import Answer, Claim
from kessai.tms.desk import Desk
from kessai.tms.parts import Asked, opened
from kessai.tokenizer import Tokenizer
from kessai.transients import Spent, Transients

PROFILE_CHARS: Final = 36
_CREATES: Final = frozenset(
    {
        *(Kind.CREATE_CUSTOMER, Kind.CREATE_INSTRUMENT, Kind.CREATE_ADDRESS, Kind.CREATE_IDENTIFIER, Kind.TOKENIZE),
        *(Kind.ENROL, Kind.CREATE_TOKENIZED),
    }
)
_BARE: Final = frozenset({Kind.ENROL, Kind.DELETE_TOKENIZED, Kind.CREDENTIALS})
"""What may be asked without a body."""
_SECRET: Final = frozenset({"securityCode"})
_NOTHING: Final[Mapping[str, object]] = {}


class TokenService:
    """An `edge.Service`."""

    steps: Final = frozenset({"tms"})

    def __init__(
        self,
        tokenizer: Tokenizer,
        transients: Transients,
        metrics: Metrics,
        refuses_new: Callable[[], bool],
        work: Callable[[], None],
    ) -> None:
        """`refuses_new`: whether there is no room for new tokens (R-22). `work` is called when cards were enrolled."""
        self._tokenizer = tokenizer
        self._transients = transients
        self._metrics = metrics
        self._refuses_new = refuses_new
        self._work = work
        self._desk = Desk(tokenizer)

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        found = token_routes.match(method, path)
        if isinstance(found, frozenset):
            return found
        name = f"tms_{found.row.kind.name.lower()}"
        if method in ("POST", "PATCH"):
            return Handler(name, partial(self._read, found), partial(self._perform, found))
        return Handler(name, partial(self._read, found))

    async def _read(self, found: Match, account: Account, request: HttpRequest) -> HttpResponse:
        """A read, or a deletion: they have no body, and clients send them again by themselves."""
        return await self._answer(found, account, request, _NOTHING, ())

    async def _perform(
        self, found: Match, account: Account, request: HttpRequest, signature: tuple[Claim, ...]
    ) -> HttpResponse:
        refused = refuse_media(request)
        if refused is not None:
            return refused
        document = parse(request.body) if request.body or found.row.kind not in _BARE else _NOTHING
        if isinstance(document, Malformed):
            return self._ended(token_faults.answer(token_faults.INVALID_BODY))
        if found.row.kind in _CREATES and self._refuses_new():
            self._metrics.refused += 1
            return self._ended(token_faults.answer(token_faults.NO_ROOM))
        key = self._key(account.merchant, request, document)
        if isinstance(key, HttpResponse):
            return key
        claims = signature if key is None else (key, *signature)
        return await self._answer(found, account, request, document, claims)

    async def _answer(
        self,
        found: Match,
        account: Account,
        request: HttpRequest,
        document: Mapping[str, object],
        claims: tuple[Claim, ...],
    ) -> HttpResponse:
        merchant = account.merchant
        fault = _profile_fault(merchant, request.header("profile-id"))
        if fault is not None:
            refused = token_faults.answer(fault)
            if merchant.is_test:
                why = f"the profile of this merchant is {merchant.terms.token_profile or 'none'} (token_profile)"
                refused = replace(refused, headers={**refused.headers, EXPLANATION: why})
            return self._ended(refused)
        asked = Asked(account, found, document, request.header("if-match"), request.target.partition("?")[2])
        named = flex.named(document) if found.row.kind is Kind.TOKENIZE else None
        unknown = token_faults.NO_SUCH_TRANSIENT.at(named[0] if named is not None else "")
        if named is not None:
            spent = await self._transients.spend(merchant.id, named[1])
            if isinstance(spent, Spent):
                asked, claims = replace(asked, transient=spent.card), (*claims, spent.claim)
            else:  # who sends the same again is told the same as before, however late
                asked = replace(asked, transient=unknown)
        try:
            told = await self._tokenizer.perform(merchant.id, partial(self._desk.decide, asked), claims)
        except CommitUnknown:
            log("commit.unknown", level="error", commit=1)
            return self._ended(token_faults.answer(token_faults.UNKNOWN_OUTCOME))
        if isinstance(told, Refusal):
            if told is Refusal.REPEATED:
                raise Repeated
            if told is Refusal.TRANSIENT_SPENT:
                return self._ended(token_faults.answer(unknown))
            return self._refused(told)
        if isinstance(told, Answer):
            response = opened(told)
            if found.row.kind in (Kind.ENROL, Kind.CREATE_IDENTIFIER):
                self._work()
            if told.is_replay:
                self._metrics.replays += 1
                response = replace(response, headers={**response.headers, REPLAYED: "true"})
            told = response
        if token_bins.are_wanted(found.row.kind, asked.query):
            told = token_bins.beside(told)
        return self._ended(told)

    def _ended(self, response: HttpResponse) -> HttpResponse:
        """The answer with the id that this request has in the log."""
        unique = ids.show(self._tokenizer.new_id())
        if response.status >= 400 and response.status != 404:  # the edge tells those
            log("request.refused", request=unique, status=response.status, reason=_type_of(response))
        return replace(response, headers={**response.headers, "uniquetransactionid": unique})

    # ---- idempotency keys

    def _key(
        self, merchant: Merchant, request: HttpRequest, document: Mapping[str, object]
    ) -> Claim | HttpResponse | None:
        """The idempotency key of a request, bound to what it asks: numbers as fingerprints, its CVV not at all."""
        sent = request.header("idempotency-key")
        if sent is None:
            return None
        if KEY.fullmatch(sent) is None:
            return self._failed(INVALID_DATA, Problems(INVALID_DATA, (FieldError("Idempotency-Key"),)))
        asked = _canonical.encode(self._bindable(merchant.id, document))
        named = f"pan:{self._fingerprint(merchant.id, sent)}" if looks_like_a_pan(sent) else sent
        since = ids.first_of(ids.made_at(self._tokenizer.new_id()) - KEYS_KEPT)
        scope = f"{request.method} {request.path.rstrip('/')}"
        return claim_of(scope, named, request=bound_to(merchant.id, asked), since=since)

    def _bindable(self, merchant_id: str, value: object) -> object:
        """A document from whose hash no number can be found by trying: each is its fingerprint (P7)."""
        if isinstance(value, Mapping):
            members = value.items()
            return {name: self._bindable(merchant_id, member) for name, member in members if name not in _SECRET}
        if isinstance(value, list):
            return [self._bindable(merchant_id, entry) for entry in value]
        text = text_of(value)
        if text is not None and 4 <= len(text) <= 20 and text.isascii() and text.isdigit():
            return f"number:{self._fingerprint(merchant_id, text)}"
        return text

    def _fingerprint(self, merchant_id: str, digits: str) -> str:
        return self._tokenizer.fingerprint(merchant_id, Pan(digits)).hex()

    # ---- refusing, as payments do

    def _refused(self, refusal: Refusal) -> HttpResponse:
        return self._failed(of_refusal(Operation.AUTHORIZE, refusal), None, explanation=refusal.value)

    def _failed(self, word: Any, problems: Problems | None, *, explanation: str | None = None) -> HttpResponse:
        identifier = self._tokenizer.new_id()
        status, body = answers.failure(word, identifier, self._tokenizer.clock(), problems)
        log("request.refused", request=ids.show(identifier), status=status, reason=word.reason)
        return HttpResponse(status, body, {EXPLANATION: explanation} if explanation else {})


_canonical: Final = msgspec.json.Encoder(order="sorted")


def _profile_fault(merchant: Merchant, profile: str | None) -> token_faults.Fault | None:
    if profile is None:
        return None
    if len(profile) != PROFILE_CHARS:
        return token_faults.INVALID_HEADERS.at("profile-id", location="header")
    return None if profile.upper() == merchant.terms.token_profile.upper() else token_faults.NO_SUCH_PROFILE


def _type_of(response: HttpResponse) -> str:
    """The type of the first error that an answer tells."""
    return str(msgspec.json.decode(response.body)["errors"][0]["type"])
