"""The PaymentOptions wire, server to server: from a request to its handler, and whatever becomes of it to an answer.

A `Service` of the edge whose routes are open to everybody there: who calls is found out here, by the secrets that a
request bears. They are taken over TLS or from this machine only; one that came over a network in the clear is refused,
and told of in the log, so that it gets changed.
"""

import ipaddress
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic
from typing import Final

from kessai.accounts import Account, Accounts
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.document import Malformed, parse
from kessai.dialects.paymentoptions import answers, auth, codes, messages
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Problem
from kessai.dialects.paymentoptions.routes import Kind, Match, match
from kessai.edge import EXPLANATION, Public
from kessai.gateway import Busy
from kessai.limits import Limits
from kessai.log import log, traceback_of
from kessai.metrics import Metrics
from kessai.outcomes import OutcomeUnknown
from kessai.s2s.call import Call, Told
from kessai.s2s.paying import Paying
from kessai.s2s.subscribing import Subscribing
from kessai.storage.database import DatabaseError

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_TOO_MANY: Final = Said("ERR4290", -1, "Too many requests: nothing was done.", 429)
_BARE: Final = frozenset({Kind.STATUS, Kind.SUBSCRIPTIONS, Kind.SUBSCRIPTION, Kind.PAUSE, Kind.RESUME, Kind.CANCEL})
"""What is asked without a body."""
_NEW: Final = frozenset(
    {Kind.PAYMENT, Kind.PAYMENT_V2, Kind.AUTHORIZATION, Kind.AUTHORIZATION_V2, Kind.SUBSCRIBE, Kind.LINK}
)
Answering = Callable[[Call], Awaitable[Told]]


class ServerToServer:
    """An `edge.Service`."""

    steps: Final = frozenset({"api"})

    def __init__(
        self,
        accounts: Accounts,
        paying: Paying,
        subscribing: Subscribing,
        *,
        link: Answering,
        limits: Limits,
        metrics: Metrics,
        refuses_new: Callable[[], bool],
    ) -> None:
        """`link` makes links to the hosted page; `refuses_new`: whether there is no room for new payments (R-22)."""
        self._accounts = accounts
        self._limits = limits
        self._metrics = metrics
        self._refuses_new = refuses_new
        self._handlers: Mapping[Kind, Answering] = {
            Kind.PAYMENT: partial(paying.pay, captures=True),
            Kind.PAYMENT_V2: partial(paying.pay, captures=True, authenticates=True),
            Kind.AUTHORIZATION: partial(paying.pay, captures=False),
            Kind.AUTHORIZATION_V2: partial(paying.pay, captures=False, authenticates=True),
            Kind.CAPTURE: paying.capture,
            Kind.VOID: paying.void,
            Kind.REFUND: paying.refund,
            Kind.STATUS: paying.status,
            Kind.SUBSCRIBE: subscribing.create,
            Kind.SUBSCRIPTIONS: subscribing.page,
            Kind.SUBSCRIPTION: subscribing.read,
            Kind.PAUSE: subscribing.pause,
            Kind.RESUME: subscribing.resume,
            Kind.CANCEL: subscribing.cancel,
            Kind.LINK: link,
        }

    def match(self, method: str, path: str) -> Public:
        """Whatever begins as this wire's paths do is answered in its own form."""
        found = match(method, path)
        name = f"paymentoptions_{found.kind.name.lower()}" if found is not None else "unknown"
        return Public(name, partial(self._answer, found))

    async def _answer(self, found: Match | None, request: HttpRequest) -> HttpResponse:
        if found is None:
            return _refused(codes.NO_ROUTE)
        try:
            return await self._answered(found, request)
        except Busy:
            return _refused(codes.BUSY)
        except DatabaseError as error:  # before any exchange: nothing was done
            log("database.fault", level="error", error=type(error).__name__)
            return _refused(codes.BUSY)
        except OutcomeUnknown:
            return _refused(codes.OUTCOME_UNKNOWN)
        except Exception as error:  # an exchange may have taken place: the outcome is unknown, not a failure
            log("request.fault", level="error", error=type(error).__name__, traceback=traceback_of(error))
            return _refused(codes.INTERNAL if request.method == "GET" else codes.OUTCOME_UNKNOWN)

    async def _answered(self, found: Match, request: HttpRequest) -> HttpResponse:
        account = self._authenticate(request)
        if isinstance(account, HttpResponse):
            return account
        merchant = account.merchant
        document: Mapping[str, object] = {}
        if found.kind not in _BARE:
            parsed = parse(request.body)
            if isinstance(parsed, Malformed) or (request.header("content-encoding") or "identity") != "identity":
                return _refused(messages.message_of(Problem(codes.MALFORMED)), is_live=not merchant.is_test)
            document = parsed
            named = document.get("merchant_id")
            if isinstance(named, str) and named and named != merchant.id:
                return self._unauthorized(request, account, "merchant_id names another merchant than the keys do")
        if found.kind in _NEW and self._refuses_new():
            self._metrics.refused += 1
            return _refused(codes.BUSY, is_live=not merchant.is_test)
        call = Call(
            account=account,
            identifier=found.identifier,
            document=document,
            request=request,
            peer=self._peer(request),
        )
        told = await self._handlers[found.kind](call)
        if isinstance(told, Said):
            log("request.refused", merchant=merchant.id, status=told.status, reason=told.code)
            return _refused(told, is_live=not merchant.is_test)
        return HttpResponse(told.status, told.body, {"content-type": CONTENT_TYPE, **told.headers})

    def _peer(self, request: HttpRequest) -> str:
        address = self._limits.address_of(request)
        return request.peer if "/" in address else address  # an IPv6 address is counted as its network

    # ---- who calls

    def _authenticate(self, request: HttpRequest) -> Account | HttpResponse:
        """The account whose secrets a request bears; or the 401."""
        claimed = auth.claim(request)
        if isinstance(claimed, auth.Refused):
            return self._unauthorized(request, None, claimed.why)
        basic = self._accounts.of_bearer(claimed.basic)
        api_key = self._accounts.of_bearer(claimed.api_key)
        if basic is None or api_key is None:
            return self._unauthorized(request, None, "a secret is nobody's")
        account, key_id = basic
        if api_key[0] is not account:
            return self._unauthorized(request, None, "the two secrets are not of the same merchant")
        if not self._is_private(request):
            log("credential.exposed", level="warning", merchant=account.merchant.id, key=key_id)
            self._accounts.exposed.add((account.merchant.id, key_id))
            return self._unauthorized(request, account, "keys are taken over TLS or from this machine only")
        if wait_s := self._limits.verified(request, account.merchant, key_id, monotonic()):
            return _wait(wait_s)
        return account

    def _is_private(self, request: HttpRequest) -> bool:
        """Whether nobody between could read the secrets: TLS, this machine, or a proxy that says that it had TLS."""
        if request.scheme == "https" or _is_loopback(request.peer):
            return True
        return self._limits.is_proxy(request.peer) and request.header("x-forwarded-proto") == "https"

    def _unauthorized(self, request: HttpRequest, account: Account | None, why: str) -> HttpResponse:
        """The 401; why, for the log always, in a header for test merchants. The 429 for one guess too many."""
        self._metrics.authentication_failed("bearer")
        merchant = account.merchant if account is not None else None
        log(
            "authentication.failed",
            level="warning",
            merchant=merchant.id if merchant else None,
            reason="bearer",
            explanation=why,
        )
        if wait_s := self._limits.failed(request, monotonic()):
            return _wait(wait_s)
        may_know = merchant.is_test if merchant is not None else self._accounts.are_all_tests
        headers = {EXPLANATION: why} if may_know else {}
        is_live = merchant is not None and not merchant.is_test
        return _refused(codes.UNAUTHORIZED, is_live=is_live, headers=headers)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refused(said: Said, *, is_live: bool = False, headers: Mapping[str, str] | None = None) -> HttpResponse:
    more = {"retry-after": "1"} if said.status == 503 else {}
    whole = {"content-type": CONTENT_TYPE, **more, **(headers or {})}
    return HttpResponse(said.status, answers.refusal(said, is_live=is_live), whole)


def _wait(wait_s: float) -> HttpResponse:
    return _refused(_TOO_MANY, headers={"retry-after": str(max(1, math.ceil(wait_s)))})
