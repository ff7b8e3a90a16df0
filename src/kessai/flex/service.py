"""Cards taken in the browser: capture contexts, the fields and their scripts, transient tokens. An `edge.Service`.

The number is typed into a page of ours inside of the merchant's page, is encrypted there, and comes here without
passing the merchant. What a browser asks for is not signed: a capture context says for whom it is.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from importlib.resources import files
from time import monotonic
from typing import Final

import msgspec

from kessai.accounts import Account, Accounts
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import flex
from kessai.dialects.cybersource.flex import Context, Wrong
from kessai.dialects.document import Malformed, parse
from kessai.edge import Handler, Public
from kessai.edge.http import correlation_of, refusal, refuse_media
from kessai.limits import Limits, refused
from kessai.log import log
from kessai.metrics import Metrics
from kessai.transients import CARD, CONTEXT, Transients

JWT: Final = "application/jwt"
JSON: Final = "application/json;charset=utf-8"
_STATIC: Final = {
    "microform.js": "text/javascript; charset=utf-8",
    "field.js": "text/javascript; charset=utf-8",
    "field.css": "text/css; charset=utf-8",
    "field.html": "text/html; charset=utf-8",
}
_SAFE: Final = {"referrer-policy": "no-referrer"}
_UTC_MINUS_12: Final = timedelta(hours=12)


def _files() -> dict[str, bytes]:
    folder = files("kessai.flex") / "static"
    return {name: (folder / name).read_bytes() for name in _STATIC}


def _integrity(content: bytes) -> str:
    """Subresource integrity, as a script's element has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


class FlexService:
    """An `edge.Service`."""

    steps: Final = frozenset({"flex", "microform"})

    def __init__(
        self,
        transients: Transients,
        accounts: Accounts,
        metrics: Metrics,
        limits: Limits,
        *,
        public_url: str,
        refuses_new: Callable[[], bool],
    ) -> None:
        """`public_url`: where browsers find this gateway; empty: where the request found it."""
        self._transients = transients
        self._accounts = accounts
        self._metrics = metrics
        self._limits = limits
        self._public_url = public_url
        self._refuses_new = refuses_new
        self._files = _files()
        self._integrity = {name: _integrity(content) for name, content in self._files.items()}
        page = self._files["field.html"].decode()
        for name in ("field.js", "field.css"):
            page = page.replace("{" + name + "}", self._integrity[name])
        self._page = page.encode()

    def match(self, method: str, path: str) -> Handler | Public | frozenset[str]:
        known: dict[str, Handler | Public]
        match tuple(path.rstrip("/").split("/"))[1:]:
            case ("microform", "v2", "sessions"):
                known = {"POST": Handler("flex_session", partial(self._session, True))}
            case ("flex", "v2", "sessions"):
                known = {"POST": Handler("flex_session", partial(self._session, False))}
            case ("flex", "v2", "payment-details", named):
                known = {"GET": Handler("flex_details", partial(self._details, named))}
            case ("flex", "v2", "tokens"):
                known = {"POST": Public("flex_token", self._token)}
            case ("flex", "v2", "public-keys", kid):
                known = {"GET": Public("flex_key", partial(self._public_key, kid))}
            case ("microform", "v2", "field"):
                known = {"GET": Public("flex_field", self._field)}
            case ("microform", "v2", ("microform.js" | "field.js" | "field.css") as name):
                known = {"GET": Public("flex_file", partial(self._file, name))}
            case _:
                known = {}
        return known.get(method) or frozenset(known)

    # ---- for the merchant's server

    async def _session(self, is_microform: bool, account: Account, request: HttpRequest) -> HttpResponse:
        other_media = refuse_media(request)
        if other_media is not None:
            return other_media
        document = parse(request.body)
        wanted = (
            Wrong("VALIDATION_ERROR", "The body is not a JSON object.")
            if isinstance(document, Malformed)
            else flex.session(document, is_microform=is_microform)
        )
        if isinstance(wanted, Wrong):
            return _failed(wanted, request)
        token = flex.context(
            wanted,
            merchant_id=account.merchant.id,
            origin=self._origin(request),
            integrity=self._integrity["microform.js"],
            signing=await self._transients.keys.current(CONTEXT),
            card_key=await self._transients.keys.current(CARD),
            jti=secrets.token_urlsafe(16),
            now=self._transients.clock(),
        )
        return HttpResponse(201, token.encode(), {"content-type": JWT, "cache-control": "no-store"})

    async def _details(self, named: str, account: Account, request: HttpRequest) -> HttpResponse:
        card = await self._transients.look(account.merchant.id, named)
        if card is None:
            return _failed(Wrong("NOT_FOUND", "There is no such transient token."), request, 404)
        body = msgspec.json.encode({"paymentInformation": {"card": flex.shown(card)}})
        return HttpResponse(200, body, {"content-type": JSON, "cache-control": "no-store"})

    def _origin(self, request: HttpRequest) -> str:
        return self._public_url or f"{request.scheme}://{request.header('host') or 'localhost'}"

    # ---- for everybody

    async def _public_key(self, kid: str, request: HttpRequest) -> HttpResponse:
        for purpose in (CONTEXT, CARD):
            key = await self._transients.keys.find(kid, purpose)
            if key is not None:
                use = "sig" if purpose == CONTEXT else "enc"
                return HttpResponse(200, msgspec.json.encode(flex.public(key, use=use)), {"content-type": JSON})
        return self._turned_away(Wrong("NOT_FOUND", "There is no such key."), request, 404)

    async def _file(self, name: str, _request: HttpRequest) -> HttpResponse:
        headers = {"content-type": _STATIC[name], "cache-control": "no-cache", **_SAFE}
        # A script with an integrity is loaded across origins only where that is allowed.
        headers |= {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
        return HttpResponse(200, self._files[name], headers)

    async def _field(self, request: HttpRequest) -> HttpResponse:
        """The page of one field, which only pages of the context's origins may show."""
        context = await self._context(_asked(request, "context"))
        if context is None or not context.origins:
            return self._turned_away(Wrong("CAPTURE_CONTEXT_INVALID", "The capture context is not valid."), request)
        here = self._origin(request)
        policy = "; ".join(
            (
                "default-src 'none'",
                f"script-src {here}/microform/v2/field.js",
                f"style-src {here}/microform/v2/field.css",
                f"connect-src {here}{flex.TOKENS}",
                "base-uri 'none'",
                "form-action 'none'",
                f"frame-ancestors {' '.join(context.origins)}",
            )
        )
        headers = {
            "content-type": _STATIC["field.html"],
            "content-security-policy": policy,
            "cross-origin-resource-policy": "cross-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), payment=()",
            "cache-control": "no-store",
            **_SAFE,
        }
        return HttpResponse(200, self._page, headers)

    async def _token(self, request: HttpRequest) -> HttpResponse:
        """A transient token for an encrypted card."""
        sent_from = request.header("origin")
        if sent_from is not None and sent_from != self._origin(request):
            return self._turned_away(Wrong("FORBIDDEN", "Cards are sent by our own fields only."), request, 403)
        media = (request.header("content-type") or JWT).partition(";")[0].strip().lower()
        if media not in (JWT, "application/jose"):
            return refusal(415, "unsupportedMediaType", f"The body must be {JWT}.")
        if self._refuses_new():
            self._metrics.refused += 1
            return refusal(503, "unavailable", "There is no room for new tokens; nothing was done.")
        kid = flex.kid_of(request.body.decode("latin-1"))
        key = await self._transients.keys.find(kid, CARD)
        opened = flex.opened(request.body, key) if key is not None else None
        if opened is None or key is None:
            return self._turned_away(Wrong("DECRYPTION_ERROR", "The body names no key of ours."), request)
        if isinstance(opened, Wrong):
            return self._turned_away(opened, request)
        context = await self._context(opened.context)
        account = self._accounts.find(context.merchant_id) if context is not None else None
        if context is None or account is None:
            return self._turned_away(Wrong("CAPTURE_CONTEXT_INVALID", "The capture context is not valid."), request)
        if wait_s := self._limits.verified(request, account.merchant, "flex", monotonic()):
            return refused(wait_s)
        card = flex.card(opened.data, context.networks, self._today(account))
        if isinstance(card, Wrong):
            return _failed(card, request)
        token = await self._transients.make(account.merchant.id, card, key)
        return HttpResponse(201, token.encode(), {"content-type": JWT, "cache-control": "no-store"})

    def _today(self, account: Account) -> date:
        """The merchant's day, where days end last."""
        return (account.merchant.at(self._transients.clock()) - _UTC_MINUS_12).date()

    async def _context(self, token: str) -> Context | None:
        if len(token) > flex.CONTEXT_LIMIT:
            return None
        key = await self._transients.keys.find(flex.kid_of(token), CONTEXT)
        return flex.read_context(token, key, self._transients.clock()) if key is not None else None

    def _turned_away(self, wrong: Wrong, request: HttpRequest, status: int = 400) -> HttpResponse:
        """A refusal of who did not show for whom he comes: it counts as a failure to authenticate."""
        if wait_s := self._limits.failed(request, monotonic()):
            return refused(wait_s)
        return _failed(wrong, request, status)


def _asked(request: HttpRequest, name: str) -> str:
    """A parameter of the query; tokens have no letter that would be escaped."""
    pairs = (pair.partition("=") for pair in request.target.partition("?")[2].split("&"))
    return next((value for key, _, value in pairs if key == name), "")


def _failed(wrong: Wrong, request: HttpRequest, status: int = 400) -> HttpResponse:
    correlation = correlation_of(request)
    log("request.refused", status=status, reason=wrong.reason, fields=", ".join(wrong.fields) or None)
    return HttpResponse(status, flex.failure(wrong, status, correlation), {"content-type": JSON, **_SAFE})
