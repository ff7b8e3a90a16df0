"""What a payer sees: the simulated issuer's challenge. A `Service` of the edge, open to every browser.

    POST /3ds/v2/collect     the browser's first visit, in a hidden frame of the merchant's page
    POST /3ds/v2/step-up     the challenge, in a frame; its token comes in a form (`JWT`), with what the merchant wants
                             back (`MD`). Afterwards the browser posts TransactionId, Response, MD to the returnUrl
    GET  /integration/3ds    the challenge, as a page; its token is `_token`. Afterwards the browser is sent on (303)
    POST /3ds/v2/challenge   the answer: token, code, do=submit or do=cancel

What a browser sends is a token that names its merchant and its challenge; nothing else is believed. No script is
needed, and none of anybody else's runs: every page has a policy of its own.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Final
from urllib.parse import parse_qsl, quote

from kessai.authentication import flow
from kessai.authentication.flow import Event
from kessai.authentication.urls import origin_of
from kessai.authenticator import CHALLENGE_PAGE, Authenticator, Challenge
from kessai.checkout import pages
from kessai.checkout.words import language_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.document import has_bad_characters
from kessai.edge import Public
from kessai.edge.http import refusal
from kessai.limits import Limits, refused

HTML: Final = "text/html; charset=utf-8"
RESULT: Final = "kessai-authentication"
"""Header of an answer to a test merchant's payer: what became of the authentication, for who plays one in CI."""
ROUTES: Final = (
    ("POST", "/3ds/v2/collect", "the browser's first visit, in a hidden frame", "by its token"),
    ("POST", "/3ds/v2/step-up", "the challenge, in a frame of the merchant's page", "by its token (`JWT`)"),
    ("GET", CHALLENGE_PAGE, "the challenge, as a page of its own", "by its token (`_token`)"),
    ("POST", pages.ANSWER, "the payer's answer", "by its token (`token`)"),
)
"""Method, path, what it is, how the sender is known."""
LONGEST_DATA: Final = 1_024
"""Of what a merchant wants back (`MD`)."""
_SAFE: Final = {
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), payment=()",
    "cross-origin-resource-policy": "same-origin",
}
_PREFIX: Final = "/3ds/v2/"

Form = Mapping[str, str]


class Checkout:
    steps: Final = frozenset({"3ds", "integration"})

    def __init__(self, authenticator: Authenticator, limits: Limits) -> None:
        self._authenticator = authenticator
        self._limits = limits

    def match(self, method: str, path: str) -> Public | frozenset[str]:
        known: dict[str, Public] = {}
        match path.rstrip("/"):
            case "/3ds/v2/collect":
                known = {"POST": Public("3ds_visit", self._visit)}
            case "/3ds/v2/step-up":
                known = {"POST": Public("3ds_challenge", self._step_up)}
            case pages.ANSWER:
                known = {"POST": Public("3ds_answer", self._answer)}
            case file if file == CHALLENGE_PAGE:
                known = {"GET": Public("3ds_challenge", self._enter), "POST": Public("3ds_challenge", self._enter)}
            case file if file.removeprefix(_PREFIX) in pages.STATIC and file.startswith(_PREFIX):
                known = {"GET": Public("3ds_file", self._file)}
        return known.get(method) or frozenset(known)

    async def _file(self, request: HttpRequest) -> HttpResponse:
        name = request.path.rstrip("/").removeprefix(_PREFIX)
        headers = {"content-type": pages.STATIC[name], "cache-control": "no-cache", **_SAFE}
        return HttpResponse(200, pages.CONTENT[name], headers)

    # ---- the ways in

    async def _visit(self, request: HttpRequest) -> HttpResponse:
        form = _form(request)
        if isinstance(form, HttpResponse):
            return form
        reference = await self._authenticator.visited(form.get("JWT", ""))
        if reference is None:
            return self._unknown(request, form)
        return _page(200, pages.visit(reference), _policy(""))

    async def _step_up(self, request: HttpRequest) -> HttpResponse:
        form = _form(request)
        if isinstance(form, HttpResponse):
            return form
        return await self._show(request, form, form.get("JWT", ""), request.header("origin") or "")

    async def _enter(self, request: HttpRequest) -> HttpResponse:
        """As a page of its own; the switch of its language posts what the address says."""
        form = _form(request) if request.method == "POST" else dict(parse_query(request.target))
        if isinstance(form, HttpResponse):
            return form
        return await self._show(request, form, form.get("_token") or form.get("token", ""), "")

    async def _show(self, request: HttpRequest, form: Form, token: str, origin: str) -> HttpResponse:
        met = await self._authenticator.meet(token)
        if met is None:
            return self._unknown(request, form)
        if wait_s := self._limits.verified(request, met.merchant, "3ds", monotonic()):
            return refused(wait_s)
        if met.authentication.is_challenged and not met.is_over:
            return self._asked(request, form, met, token, origin)
        return self._ended(request, form, met, token, moves=False)

    # ---- the answer

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        form = _form(request)
        if isinstance(form, HttpResponse):
            return form
        token, typed, does = form.get("token", ""), form.get("code", ""), form.get("do", "submit")
        origin = form.get("from", "")
        if "lang" in form and "do" not in form and "code" not in form:  # another language was chosen
            return await self._show(request, form, token, origin)
        if does != "cancel" and not typed.strip():
            met = await self._authenticator.meet(token)
            if met is not None and met.authentication.is_challenged and not met.is_over:
                return self._asked(request, form, met, token, origin, "empty")
        met = await self._authenticator.answer(token, Event.CANCELLED if does == "cancel" else flow.event_of(typed))
        if met is None:
            return self._unknown(request, form)
        if wait_s := self._limits.verified(request, met.merchant, "3ds", monotonic()):
            return refused(wait_s)
        if met.authentication.is_challenged and not met.is_over:
            return self._asked(request, form, met, token, origin, "wrong")
        return self._ended(request, form, met, token, moves=not met.is_over)

    # ---- pages

    def _asked(
        self, request: HttpRequest, form: Form, met: Challenge, token: str, origin: str, error: str | None = None
    ) -> HttpResponse:
        found, language = met.authentication, _language(request, form)
        hidden = {"token": token, "MD": _data(form), "from": origin_of(origin)}
        page = pages.challenge(language, found, hidden, here=pages.ANSWER, error=error)
        goes = {"'self'"} | {origin_of(url) for url in (found.return_url, found.decline_url) if url}
        around = {"'none'"} if met.kept.wire is not None else {"'self'", origin_of(origin), origin_of(found.return_url)}
        policy = "; ".join(
            (
                "default-src 'none'",
                "style-src 'self'",
                f"form-action {' '.join(sorted(goes))}",
                "base-uri 'none'",
                f"frame-ancestors {' '.join(sorted(around - {''}))}",
            )
        )
        return _page(200, page, policy, _told(met))

    def _ended(self, request: HttpRequest, form: Form, met: Challenge, token: str, *, moves: bool) -> HttpResponse:
        """Where the payer goes. `moves`: by itself, because this was the answer."""
        found, language, goes = met.authentication, _language(request, form), met.destination
        if met.waits:
            again = f"{CHALLENGE_PAGE}?_token={quote(token)}&lang={language}"
            return _page(200, pages.wait(language, again), _policy(""), _told(met))
        text = "lapsed" if met.is_over else "over" if not moves else "not_done" if found.has_failed else "done"
        if met.kept.wire is not None:
            if moves and goes:
                return HttpResponse(303, b"", {"location": goes, "cache-control": "no-store", **_SAFE, **_told(met)})
            return _page(200, pages.end(language, text, link=goes), _policy(""), _told(met))
        fields = {"TransactionId": met.kept.name, "Response": "", "MD": _data(form)}
        page = pages.end(language, text, post_to=goes, fields=fields, moves=moves)
        return _page(200, page, _policy(origin_of(goes)), _told(met))

    def _unknown(self, request: HttpRequest, form: Form) -> HttpResponse:
        """Who has no token of ours: it counts as a failure to authenticate."""
        if wait_s := self._limits.failed(request, monotonic()):
            return refused(wait_s)
        return _page(404, pages.end(_language(request, form), "unknown"), _policy(""))


def _policy(goes: str) -> str:
    """Of a page at the end of the way, which may be in anybody's frame: there is nothing to be done on it."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; "
        f"form-action {goes or chr(39) + 'none' + chr(39)}; frame-ancestors http: https:"
    )


def _page(status: int, body: bytes, policy: str, more: dict[str, str] | None = None) -> HttpResponse:
    headers = {"content-type": HTML, "content-security-policy": policy, "cache-control": "no-store", **_SAFE}
    return HttpResponse(status, body, headers | (more or {}))


def _told(met: Challenge) -> dict[str, str]:
    return {RESULT: met.authentication.status.name.lower()} if met.merchant.is_test else {}


def _language(request: HttpRequest, form: Form) -> str:
    return language_of(form.get("lang"), request.header("accept-language"))


def _data(form: Form) -> str:
    """What the merchant wants back; nothing where it could not be said in a form."""
    data = form.get("MD", "")
    return data if len(data) <= LONGEST_DATA and not has_bad_characters(data) else ""


def _form(request: HttpRequest) -> dict[str, str] | HttpResponse:
    media = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        return refusal(415, "unsupportedMediaType", "The body must be application/x-www-form-urlencoded.")
    return dict(_pairs(request.body.decode("latin-1")))


def parse_query(target: str) -> list[tuple[str, str]]:
    return _pairs(target.partition("?")[2])


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=32)
    except ValueError:
        return []
