"""The edge: HTTP requests in, answers out. Raw ASGI.

Hands bytes to the dialect, commands to the gateway, and says why where a test merchant may know. Whatever goes wrong
inside becomes an answer of the wire's own form; nothing of it is shown.

Here and on the road a request goes in stages: between two of them, `await sleep(0)` lets all others that came with it
pass the first. A stage that runs many times in a row stays in the processor's caches, which takes a third off the cost
of a request among sixty-four, and adds a few microseconds to a lone one.
"""

import re
from asyncio import sleep
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from kessai import envelopes, ids
from kessai import log as logging
from kessai.accounts import Account, Accounts
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import answers, auth, authentication, details, echecks, requests
from kessai.dialects.cybersource.envelope import is_sealed
from kessai.dialects.cybersource.findings import Problems
from kessai.dialects.cybersource.reasons import INVALID_DATA, SERVER_TIMEOUT, SYSTEM_ERROR, Word, of_refusal
from kessai.dialects.cybersource.requests import Request
from kessai.dialects.cybersource.routes import Kind, Match, match
from kessai.dialects.cybersource.stored import NOTHING_BROUGHT
from kessai.dialects.cybersource.usual import Usual
from kessai.dialects.document import Malformed, parse
from kessai.dialects.table import FieldError
from kessai.edge.http import Receive, Scope, Send, correlation_of, not_routed, read, refusal, refuse_media, write
from kessai.edge.paying import Paying, Stored, encoded
from kessai.edge.proving import Proven
from kessai.edge.readback import read_back
from kessai.edge.refusals import place_in
from kessai.edge.repeats import repeated
from kessai.envelopes import Known, wanted
from kessai.gateway import Busy, Circumstances, Gateway, Stale
from kessai.limits import Limits, refused
from kessai.log import log
from kessai.metrics import Metrics
from kessai.outcomes import OutcomeUnknown
from kessai.payment.authorize import Authorize
from kessai.payment.card import Pan, looks_like_a_pan
from kessai.payment.lifecycle import Command, Operation, Payment, Refusal, Transaction
from kessai.payment.merchant import Merchant
from kessai.payment.money import Currency
from kessai.sandbox import HEADER, NoSuchScenario, scenario
from kessai.storage.database import DatabaseError
from kessai.storage.payments import Answer, Claim

EXPLANATION: Final = "kessai-explain"
REPLAYED: Final = "kessai-replayed"
MOST_EXPLAINED: Final = 1_500
_TOLD_HERE: Final = frozenset({404, 405, 415, 429})
"""Answers that have no id and no reason of their own to be found by."""
KEY: Final = re.compile(r"[ -~]{1,255}", re.ASCII)
_NEW_PAYMENTS: Final = (Kind.AUTHORIZE, Kind.CREDIT)
_OPERATIONS: Final = {
    Kind.AUTHORIZE: Operation.AUTHORIZE,
    Kind.INCREMENT: Operation.INCREMENT,
    Kind.CAPTURE: Operation.CAPTURE,
    Kind.REVERSE: Operation.REVERSAL,
    Kind.TIMEOUT_REVERSE: Operation.REVERSAL,
    Kind.REFUND: Operation.REFUND,
    Kind.CREDIT: Operation.CREDIT,
    Kind.VOID: Operation.VOID,
    Kind.TIMEOUT_VOID: Operation.VOID,
}


_METRICS: Final = {kind: kind.name.lower() for kind in Kind}


class Handler(Struct, frozen=True):
    """What answers one route of a service; `name` is its name in the metrics."""

    name: str
    answer: Callable[[Account, HttpRequest], Awaitable[HttpResponse]]
    """Called with the account of a verified request. What it raises is treated as of a payment's request."""
    performs: Callable[[Account, HttpRequest, tuple[Claim, ...]], Awaitable[HttpResponse]] | None = None
    """Called instead where it is there: with the claims of the signature, for its commit. May raise `Repeated`."""


class Public(Struct, frozen=True):
    """What answers a route that is open to everybody: it has to find out itself for whom it works."""

    name: str
    answer: Callable[[HttpRequest], Awaitable[HttpResponse]]


class Repeated(Exception):
    """A signed request was sent before, and may not be performed or answered again (R-52)."""


class Service(Protocol):
    """A family of resources beside the payments: tokens, searches, plans. Found by the first step of its paths."""

    @property
    def steps(self) -> frozenset[str]:
        """The first steps of its paths, such as `tms`."""
        ...

    def match(self, method: str, path: str) -> Handler | Public | frozenset[str]:
        """What answers a request; else the methods that its path knows: none for a path that is unknown."""
        ...


class Edge:
    """The ASGI application of the CyberSource wire."""

    def __init__(
        self,
        accounts: Accounts,
        gateway: Gateway,
        *,
        accepted_hosts: frozenset[str] | None,
        window_s: int,
        wall_clock: Callable[[], datetime],
        metrics: Metrics,
        refuses_new_payments: Callable[[], bool],
        limits: Limits,
        paying: Paying,
        services: Iterable[Service] = (),
    ) -> None:
        """`accepted_hosts` in lower case, None: every one. `refuses_new_payments`: there is no room for them (R-22)."""
        self._accounts = accounts
        self._gateway = gateway
        self._hosts = accepted_hosts
        self._window_s = window_s
        self._wall_clock = wall_clock
        self._metrics = metrics
        self._refuses_new_payments = refuses_new_payments
        self._limits = limits
        self._paying = paying
        self._services = {step: service for service in services for step in service.steps}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = await read(scope, receive)
        if request is None:  # the client has gone, or was refused by the server
            return
        correlation = correlation_of(request)
        logging.correlation.set(correlation)
        begun = monotonic()
        found: Match | Handler | Public | frozenset[str] = match(request.method, request.path)
        if type(found) is Match:
            kind = _METRICS[found.row.kind]
        else:
            found = found or self._of_service(request)
            kind = found.name if isinstance(found, Handler | Public) else "unknown"
        try:
            response = await self._answer(request, found, str(scope["scheme"]), correlation)
        except Exception as error:
            response = self._failed(error, request)
        if response.status in _TOLD_HERE:
            log("request.refused", status=response.status)
        await sleep(0)
        await write(send, response, correlation)
        self._metrics.request(kind, response.status, monotonic() - begun)

    def _failed(self, error: Exception, request: HttpRequest) -> HttpResponse:
        if isinstance(error, Busy):
            return refusal(503, "busy", "This payment is being changed by others; try again.")
        if isinstance(error, DatabaseError):  # before any exchange: nothing was done
            log("database.fault", level="error", error=type(error).__name__)
            return refusal(503, "unavailable", "Nothing was done; try again.")
        if isinstance(error, OutcomeUnknown):
            return self._failure(SERVER_TIMEOUT)
        # Wherever this came from, an exchange may have taken place: the outcome is unknown, not a failure.
        log("request.fault", level="error", error=type(error).__name__, traceback=logging.traceback_of(error))
        return self._failure(SYSTEM_ERROR if request.method == "GET" else SERVER_TIMEOUT)

    def _of_service(self, request: HttpRequest) -> Handler | Public | frozenset[str]:
        service = self._services.get(request.path.lstrip("/").partition("/")[0])
        return service.match(request.method, request.path) if service is not None else frozenset()

    async def _answer(
        self, request: HttpRequest, found: Match | Handler | Public | frozenset[str], scheme: str, correlation: str
    ) -> HttpResponse:
        if isinstance(found, frozenset):
            return not_routed(found)
        if isinstance(found, Public):
            return await found.answer(request)
        known = self._authenticate(request)
        if isinstance(known, HttpResponse):
            return known
        await sleep(0)
        if known.kid is None and not is_sealed(request.body):
            return await self._answer_plain(known, found, scheme, correlation, request)
        answer = partial(self._answer_plain, known, found, scheme, correlation)
        refuse = partial(self._failure, INVALID_DATA, None)
        return await envelopes.through(self._accounts, known, request, self._wall_clock(), answer, self._failed, refuse)

    async def _answer_plain(
        self, known: Known, found: Match | Handler, scheme: str, correlation: str, request: HttpRequest
    ) -> HttpResponse:
        account = known.account
        if isinstance(found, Handler):
            return await self._handled(found, account, request, known.signature)
        if found.row.kind is Kind.READ:
            return await self._read_back(account, found)
        if found.row.kind is Kind.DETAILS:
            host = request.header("host") or "localhost"
            return await self._details(account, found.identifier, f"{scheme}://{host}")
        refused = refuse_media(request)
        if refused is not None:
            return refused
        if found.row.kind in _NEW_PAYMENTS and self._refuses_new_payments():
            self._metrics.refused += 1
            return refusal(503, "unavailable", "There is no room for new payments; nothing was done.")
        try:
            return await self._perform(account, found, request, correlation, known.signature, fresh=False)
        except Stale:
            return await self._perform(account, found, request, correlation, known.signature, fresh=True)

    async def _handled(
        self, handler: Handler, account: Account, request: HttpRequest, signature: tuple[Claim, ...]
    ) -> HttpResponse:
        if handler.performs is None:
            return await handler.answer(account, request)
        try:
            return await handler.performs(account, request, signature)
        except Repeated:
            return self._repeated(account)

    # ---- who calls

    def _authenticate(self, request: HttpRequest) -> Known | HttpResponse:
        """The account of a verified request, what its signature claims, whom its answer is for; or the 401."""
        now = self._wall_clock()
        claimed = auth.claim(request)
        if isinstance(claimed, auth.Failure):
            return self._unauthorized(claimed, self._accounts.find(request.header("v-c-merchant-id") or ""), request)
        account = self._accounts.find(claimed.merchant_id)
        key = account.keys.get(claimed.key_id) if account is not None else None
        if key is not None and claimed.issuer not in (None, key.owner):
            key = None
        verified = auth.verify(request, claimed, key, now, self._hosts, window_s=self._window_s)
        if isinstance(verified, auth.Failure):
            return self._unauthorized(verified, account, request)
        assert account is not None, "a request of an unknown merchant was verified"
        if wait_s := self._limits.verified(request, account.merchant, verified.key_id, monotonic()):
            return refused(wait_s)
        if request.method not in ("POST", "PUT", "PATCH"):  # clients send the others again by themselves
            return Known(account, (), wanted(claimed))
        return Known(
            account, repeated(account.merchant, claimed, verified, request, now, self._window_s), wanted(claimed)
        )

    def _unauthorized(
        self, failure: auth.Failure, account: Account | None, guess: HttpRequest | None = None
    ) -> HttpResponse:
        """The 401; why, for the log always, in a header for test merchants. The 429 for one guess too many."""
        self._metrics.authentication_failed(failure.reason.value)
        log(
            "authentication.failed",
            level="warning",
            merchant=account.merchant.id if account else None,
            reason=failure.reason.value,
            explanation=failure.explanation,
        )
        if guess is not None and (wait_s := self._limits.failed(guess, monotonic())):
            return refused(wait_s)
        may_know = account.merchant.is_test if account is not None else self._accounts.are_all_tests
        headers = {EXPLANATION: failure.explanation} if may_know else {}
        return HttpResponse(401, failure.body, headers)

    def _repeated(self, account: Account) -> HttpResponse:
        why = f"{Refusal.REPEATED.value}: jti, or the date, must be fresh"
        return self._unauthorized(auth.Failure(auth.Reason.REPEATED, why), account)

    # ---- reading

    async def _read_back(self, account: Account, found: Match) -> HttpResponse:
        identifier = ids.read(found.identifier)
        told = None
        if identifier is not None:
            told = await read_back(self._gateway.payments, account.merchant.id, identifier, found.row.expects)
        return told or HttpResponse(404, details.NOT_FOUND)

    async def _details(self, account: Account, text: str, base_url: str) -> HttpResponse:
        identifier = ids.read(text)
        loaded = None
        if identifier is not None:
            loaded = await self._gateway.payments.load(account.merchant.id, identifier)
        if loaded is None or identifier is None:
            return HttpResponse(404, details.NOT_FOUND)
        transaction = loaded.payment.find(identifier)
        assert transaction is not None
        merchant, payment, told = account.merchant, loaded.payment, None
        if details.has_tokens(payment):
            told = await self._gateway.payments.answer(merchant.id, payment.id)
        now = merchant.at(self._gateway.clock())
        answer = told[1].body if told is not None else b""
        return HttpResponse(200, details.encode(payment, transaction, merchant.personality, now, base_url, answer))

    # ---- performing

    async def _perform(
        self,
        account: Account,
        found: Match,
        request: HttpRequest,
        correlation: str,
        signature: tuple[Claim, ...],
        *,
        fresh: bool,
    ) -> HttpResponse:
        """Stale where what is remembered of stored cards does not do; what is `fresh` does."""
        merchant = account.merchant
        operation = _OPERATIONS[found.row.kind]
        decoded: Request | Problems | Refusal | None = None
        stored: Stored | Problems | None = None
        if found.row.kind is Kind.AUTHORIZE:
            decoded, stored = await self._read_usual(merchant, request.body, fresh=fresh)
        document = parse(request.body) if decoded is None else {}
        if isinstance(document, Malformed):
            return self._failure(INVALID_DATA, explanation=document.reason if merchant.is_test else None)
        asked = scenario(merchant, operation, request.header(HEADER))
        if isinstance(asked, NoSuchScenario):
            wrong = Problems(INVALID_DATA, (FieldError("Kessai-Scenario"),))
            return self._failure(INVALID_DATA, wrong, explanation=asked.explanation)
        if decoded is None:
            if found.row.kind in _NEW_PAYMENTS:
                by_network = found.row.kind is Kind.AUTHORIZE and not authentication.actions(document)
                may_be_old = by_network and not fresh
                stored = await self._paying.look_up(merchant, document, by_network=by_network, fresh=not may_be_old)
            decoded = await self._decode(account, found, document, stored)
            if isinstance(stored, Problems):  # a repeat is told what its first was, whatever has gone since
                told = await self._told(account, found, request, signature)
                if told is not None:
                    return told
        await sleep(0)
        cards = stored if isinstance(stored, Stored) else None
        if not isinstance(decoded, Request):
            if cards is not None and cards.is_remembered:
                raise Stale
            return self._answered(account, operation, decoded, b"{}")
        key = self._key(account, found, request, partial(self._paying.asked, merchant, request.body, decoded, cards))
        if isinstance(key, HttpResponse):
            return key
        claims = signature if key is None else (key, *signature)
        proof = None
        if (document or merchant.terms.three_d_secure == "obligatory") and found.row.kind is Kind.AUTHORIZE:
            proven = await self._paying.proving.of(merchant, decoded, document, request, claims, self._gateway.told)
            if not isinstance(proven, Proven):
                return self._answered(account, operation, proven, request.body)
            decoded, proof, claims = proven.request, proven.proof, claims + proven.claims

        command: Command = decoded.command
        if command.merchant_transaction_id is not None:
            named = self._without_pan(merchant.id, command.merchant_transaction_id)
            command = replace(command, merchant_transaction_id=named)
        if "merchant-initiated" in command.flags and isinstance(command, Authorize):
            sent = document or parse(request.body)
            assert not isinstance(sent, Malformed), "a request that is malformed was decoded"
            command = await self._paying.agreed(merchant, command, sent, cards)

        def encode(payment: Payment, transaction: Transaction) -> Answer:
            return encoded(decoded, decoded.echo, payment, transaction)

        circumstances = Circumstances(correlation=correlation, scenario=asked, proof=proof, claims=claims)
        if cards is not None:
            circumstances = self._paying.surrounding(circumstances, merchant, decoded, cards)
        answer = await self._gateway.perform(merchant, command, circumstances, encode)
        if isinstance(answer, Refusal) and cards is not None and cards.is_remembered:
            raise Stale  # nobody is refused by what is remembered
        return self._answered(account, operation, answer, request.body)

    async def _read_usual(
        self, merchant: Merchant, body: bytes, *, fresh: bool
    ) -> tuple[Request | Problems | None, Stored | None]:
        """An authorization that is as they usually are, with its stored cards; None where it has to be walked."""
        now = merchant.at(self._gateway.clock())
        usual = requests.usual_authorization(body, merchant, now)
        if not isinstance(usual, Usual):
            return usual, None
        return await self._paying.usual(merchant, usual, now, fresh=fresh) or (None, None)

    def _answered(
        self, account: Account, operation: Operation, answer: Answer | Refusal | Problems, body: bytes
    ) -> HttpResponse:
        if isinstance(answer, Problems):
            return self._failure(answer.word, answer, answer.explanation if account.merchant.is_test else None)
        if answer is Refusal.REPEATED:
            return self._repeated(account)
        if isinstance(answer, Refusal):
            return self._refused(operation, answer, body)
        if answer.is_replay:
            self._metrics.replays += 1
            return HttpResponse(answer.status, answer.body, {REPLAYED: "true"})
        return HttpResponse(answer.status, answer.body)

    async def _told(
        self, account: Account, found: Match, request: HttpRequest, signature: tuple[Claim, ...]
    ) -> HttpResponse | None:
        """What an earlier request with the same claims was told; None where there was none."""
        asks = partial(self._paying.asked_with_tokens, account.merchant, request.body)
        key = self._key(account, found, request, asks)
        if isinstance(key, HttpResponse):
            return key
        answer = await self._gateway.told(account.merchant, signature if key is None else (key, *signature))
        operation = _OPERATIONS[found.row.kind]
        return None if answer is None else self._answered(account, operation, answer, request.body)

    async def _decode(
        self, account: Account, found: Match, document: dict[str, object], stored: Stored | Problems | None = None
    ) -> Request | Problems | Refusal:
        """The command of a request, or what is wrong with it."""
        merchant, now = account.merchant, account.merchant.at(self._gateway.clock())
        kind, expects = found.row.kind, found.row.expects
        if isinstance(stored, Problems):
            return stored
        if kind in _NEW_PAYMENTS:
            read = requests.authorization if kind is Kind.AUTHORIZE else requests.credit
            if echecks.pays(document, stored.brought if stored is not None else NOTHING_BROUGHT):
                read = partial(echecks.read, is_credit=kind is Kind.CREDIT)
            if stored is None:
                return read(document, merchant, now)
            decoded = read(dict(stored.document), merchant, now, stored.brought)
            if isinstance(decoded, Problems):
                return decoded
            return replace(decoded, echo=self._paying.echo(merchant, decoded, stored))
        is_timeout = kind in (Kind.TIMEOUT_REVERSE, Kind.TIMEOUT_VOID)
        if is_timeout:
            named = requests.merchants_id(document)
            named = self._without_pan(merchant.id, named) if named else None
            target = await self._gateway.payments.find_by_merchants_id(merchant.id, named) if named else None
            if target is None:
                return Refusal.NOT_FOUND
        else:
            target = ids.read(found.identifier) or 0
        match kind:
            case Kind.INCREMENT:
                return requests.increment(document, target, merchant, expects)
            case Kind.CAPTURE:
                return requests.capture(document, target, merchant, now, expects)
            case Kind.REFUND:
                return requests.refund(document, target, merchant, expects)
            case Kind.VOID | Kind.TIMEOUT_VOID:
                return requests.void(document, target, expects, timeout=is_timeout)
            case _:
                currency = await self._currency(merchant.id, target)
                return requests.reversal(document, target, merchant, currency, expects, timeout=is_timeout)

    def _without_pan(self, merchant_id: str, text: str) -> str:
        """A merchant's id as it may be stored: one that looks like a PAN becomes its fingerprint (A-67)."""
        if not looks_like_a_pan(text):
            return text
        return f"pan:{self._gateway.vault.fingerprint(merchant_id, Pan(text)).hex()}"

    async def _currency(self, merchant_id: str, target: int) -> Currency | None:
        loaded = await self._gateway.payments.load(merchant_id, target)
        return loaded.payment.currency if loaded else None

    def _key(
        self, account: Account, found: Match, request: HttpRequest, asked: Callable[[], bytes]
    ) -> Claim | HttpResponse | None:
        """The idempotency key of a request, bound to what it asks."""
        sent = request.header("idempotency-key")
        if sent is None:
            return None
        if KEY.fullmatch(sent) is None:
            wrong = Problems(INVALID_DATA, (FieldError("Idempotency-Key"),))
            return self._failure(INVALID_DATA, wrong)
        scope = f"{found.row.method} {request.path.rstrip('/')}"
        named = self._without_pan(account.merchant.id, sent)
        since = ids.first_of(self._wall_clock() - KEYS_KEPT)
        return claim_of(scope, named, request=bound_to(account.merchant.id, asked()), since=since)

    # ---- refusing

    def _refused(self, operation: Operation, refusal: Refusal, body: bytes = b"{}") -> HttpResponse:
        word = of_refusal(operation, refusal)
        place = place_in(operation, refusal, body)
        problems = Problems(word, (FieldError(place),)) if place is not None else None
        return self._failure(word, problems, explanation=refusal.value)

    def _failure(self, word: Word, problems: Problems | None = None, explanation: str | None = None) -> HttpResponse:
        """A 400, 409 or 502 of the wire's form, with an id to find it in the log."""
        identifier = self._gateway.new_id()
        status, body = answers.failure(word, identifier, self._gateway.clock(), problems)
        log(
            "request.refused",
            request=ids.show(identifier),
            status=status,
            reason=word.reason,
            fields=problems.explanation if problems else None,
        )
        return HttpResponse(status, body, {EXPLANATION: explanation[:MOST_EXPLAINED]} if explanation else {})
