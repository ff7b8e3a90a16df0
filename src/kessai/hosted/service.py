"""The hosted payment page: what a payer sees who was sent a link. A `Service` of the edge, open to every browser.

    GET  /HostedPaymentPage/{merchant}/{code}   the page; `/jp` before it, or `lang=ja`: in Japanese
    POST the same                               its form: do=pay or do=cancel

The address is the secret: who has it may pay, once. No script is needed, none of anybody else's runs, and the page is
shown in no frame. Where a payment has ended, the browser is sent on (303) to where the merchant wants it.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final
from urllib.parse import parse_qsl

from kessai.accounts import Accounts
from kessai.authentication.urls import origin_of
from kessai.checkout.words import language_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.edge import Public
from kessai.edge.http import refusal
from kessai.gateway import Busy, Gateway
from kessai.hosted import pages
from kessai.hosted.links import ENDED, MOST_TRIES, Away, Links, Met, State, Way, Wrong
from kessai.hosted.pages import View
from kessai.hosted.picker import offered
from kessai.limits import Limits, refused
from kessai.log import log
from kessai.metrics import Metrics
from kessai.outcomes import OutcomeUnknown
from kessai.payment.lifecycle import Operation
from kessai.payment.money import Money
from kessai.s2s.call import Call
from kessai.sandbox import HEADER, NoSuchScenario, scenario
from kessai.storage.database import DatabaseError

HTML: Final = "text/html; charset=utf-8"
ROUTES: Final = (
    ("GET", f"{pages.PAGE}/{{merchant}}/{{code}}", "the page; `/jp` before it, or `lang=ja`: in Japanese"),
    ("POST", f"{pages.PAGE}/{{merchant}}/{{code}}", "its form: `do=pay` or `do=cancel`"),
)
"""Method, path, what it is."""
_KEPT: Final = ("amount", "expiry", "name", "email", "option")
"""Fields that are shown again as they were typed."""
_LONGEST: Final = 300
_SAFE: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), payment=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_ENDS: Final[Mapping[State, str]] = {
    State.PAID: "paid",
    State.DECLINED: "failed",
    State.CANCELLED: "cancelled",
    State.UNCLEAR: "unclear",
}

Form = Mapping[str, str]


class HostedPages:
    steps: Final = frozenset({"HostedPaymentPage", "jp"})

    def __init__(
        self,
        links: Links,
        accounts: Accounts,
        gateway: Gateway,
        *,
        limits: Limits,
        metrics: Metrics,
        refuses_new: Callable[[], bool],
    ) -> None:
        self._links = links
        self._accounts = accounts
        self._gateway = gateway
        self._limits = limits
        self._metrics = metrics
        self._refuses_new = refuses_new

    def match(self, method: str, path: str) -> Public | frozenset[str]:
        known: dict[str, Public] = {}
        steps = path.rstrip("/").split("/")[1:]
        if steps[:1] == ["jp"]:
            steps = steps[1:]
        match steps:
            case ["HostedPaymentPage", file] if file in pages.STATIC:
                known = {"GET": Public("hosted_file", self._file)}
            case ["HostedPaymentPage", _, _]:
                known = {"GET": Public("hosted_page", self._get), "POST": Public("hosted_form", self._post)}
        return known.get(method) or frozenset(known)

    async def _file(self, request: HttpRequest) -> HttpResponse:
        name = request.path.rstrip("/").rpartition("/")[2]
        headers = {**_SAFE, "content-type": pages.STATIC[name], "cache-control": "no-cache"}
        return HttpResponse(200, pages.CONTENT[name], headers)

    # ---- the ways in

    async def _get(self, request: HttpRequest) -> HttpResponse:
        form = dict(_pairs(request.target.partition("?")[2]))
        met = await self._links.look(*_named(request))
        gone = self._gone(request, form, met)
        if gone is not None or met is None:
            return gone or self._unknown(request, form)
        return self._shown(self._view(request, form, met), met, form, sends="after" in form)

    async def _post(self, request: HttpRequest) -> HttpResponse:
        media = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if media != "application/x-www-form-urlencoded":
            return refusal(415, "unsupportedMediaType", "The body must be application/x-www-form-urlencoded.")
        form = dict(_pairs(request.body.decode("latin-1")))
        met = await self._links.look(*_named(request))
        gone = self._gone(request, form, met)
        if gone is not None or met is None:
            return gone or self._unknown(request, form)
        view, code = self._view(request, form, met), _named(request)[1]
        if form.get("do") == "cancel":
            met = await self._links.cancel(met, code)
            return self._shown(view, met, form, sends=True)
        amount = met.asked.money(met.merchant, form.get("amount", ""))
        if met.state in ENDED or met.is_over or amount is None:
            return self._shown(view, met, form, sends=True)
        if self._refuses_new():
            self._metrics.refused += 1
            return self._form(view, met, amount, 503, alert=pages.said(view.language, "busy"))
        return await self._pay(request, view, met, form, amount)

    async def _pay(self, request: HttpRequest, view: View, met: Met, form: Form, amount: Money) -> HttpResponse:
        wanted = scenario(met.merchant, Operation.SALE, request.header(HEADER))
        if isinstance(wanted, NoSuchScenario):
            return refusal(400, "invalidRequest", wanted.explanation)
        account = self._accounts.get(met.merchant.id)
        call = Call(account=account, identifier="", document={}, request=request, peer=self._peer(request))
        attempt = int(form["try"]) if form.get("try", "") in map(str, range(MOST_TRIES)) else -1
        way = Way(attempt=attempt, back=f"{view.here}?lang={view.language}&after=issuer", scenario=wanted)
        try:
            paid = await self._links.pay(met, _named(request)[1], form, call, amount, way)
        except OutcomeUnknown:
            return self._page(200, pages.wait(view), met)
        except (Busy, DatabaseError) as error:  # before any exchange: nothing was done
            log("hosted.fault", level="error", error=type(error).__name__)
            return self._form(view, met, amount, 503, alert=pages.said(view.language, "busy"))
        if isinstance(paid, Away):
            return HttpResponse(303, b"", {"location": paid.url, **_SAFE})
        if isinstance(paid, Wrong):
            if paid.field == "amount":
                return self._page(422, pages.ask_amount(view, is_wrong=True), met)
            alert = "" if paid.field else pages.said(view.language, "refused")
            return self._form(view, met, amount, 422, alert=alert, wrong=frozenset({paid.field} - {""}))
        return self._shown(view, paid, form, sends=True, amount=amount)

    # ---- what is shown

    def _shown(self, view: View, met: Met, form: Form, *, sends: bool, amount: Money | None = None) -> HttpResponse:
        """A link as it stands. `sends`: an end that was just reached sends the payer on."""
        if met.state in ENDED:
            goes = met.destination
            if goes and form.get("after") == "issuer":  # the policy of the issuer's form does not let it go further
                page = pages.end(view.language, _ENDS[met.state], view=view, link=goes, moves=True)
                return self._page(200, page, met)
            if sends and goes:
                return HttpResponse(303, b"", {"location": goes, **_SAFE})
            status = 200 if sends or met.state is State.PAID else 410
            return self._page(status, pages.end(view.language, _ENDS[met.state], view=view, link=goes), met)
        if met.is_under_way:
            return self._page(200, pages.wait(view), met)
        if met.state is State.PAYING and form.get("do") == "cancel":
            link = met.asked.place("cancel_url")
            return self._page(200, pages.end(view.language, "pending", view=view, link=link), met)
        amount = amount or met.asked.money(met.merchant, form.get("amount", ""))
        if amount is None:
            return self._page(200, pages.ask_amount(view, is_wrong="amount" in form), met)
        alert = ""
        if met.kept.tries:
            alert = pages.said(view.language, "declined").format(left=MOST_TRIES - met.kept.tries)
        return self._form(view, met, amount, 200, alert=alert)

    def _form(
        self,
        view: View,
        met: Met,
        amount: Money,
        status: int,
        *,
        alert: str = "",
        wrong: frozenset[str] = frozenset(),
    ) -> HttpResponse:
        found = offered(met.merchant, amount, met.merchant.at(self._gateway.clock()))
        page = pages.ask_card(view, amount, found, tries=met.kept.tries, alert=alert, wrong=wrong)
        return self._page(status, page, met)

    def _page(self, status: int, body: bytes, met: Met | None) -> HttpResponse:
        return HttpResponse(status, body, {**_SAFE, "content-type": HTML, "content-security-policy": _policy(met)})

    def _gone(self, request: HttpRequest, form: Form, met: Met | None) -> HttpResponse | None:
        """The page of a link that cannot be used: unknown, asked for too often, too old."""
        if met is None:
            return self._unknown(request, form)
        link_id = str(met.kept.id)  # the link is the credential: who has one of a merchant's cannot guess another
        if wait_s := self._limits.verified(request, met.merchant, link_id, monotonic()):
            return refused(wait_s)
        if not met.is_over:
            return None
        view = self._view(request, form, met)
        link = met.asked.place("cancel_url") or met.asked.place("decline_url")
        return self._page(410, pages.end(view.language, "expired", view=view, link=link), met)

    def _unknown(self, request: HttpRequest, form: Form) -> HttpResponse:
        """Who has no link of ours: it counts as a failure to authenticate."""
        if wait_s := self._limits.failed(request, monotonic()):
            return refused(wait_s)
        return self._page(404, pages.end(_language(request, form), "unknown"), None)

    def _view(self, request: HttpRequest, form: Form, met: Met) -> View:
        return View(
            merchant=met.merchant,
            asked=met.asked,
            language=_language(request, form),
            here=request.path.rstrip("/"),
            typed={name: form[name][:_LONGEST] for name in _KEPT if name in form},
        )

    def _peer(self, request: HttpRequest) -> str:
        address = self._limits.address_of(request)
        return request.peer if "/" in address else address


def _policy(met: Met | None) -> str:
    """No source but ours, in no frame; forms and what they lead to: this page and the merchant's addresses."""
    place = met.asked.place if met is not None else str
    goes = {origin_of(place(name)) for name in ("success_url", "decline_url", "cancel_url")} - {""}
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            " ".join(("form-action 'self'", *sorted(goes))),
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _named(request: HttpRequest) -> tuple[str, str]:
    """Merchant and code, as they stand in the path."""
    merchant, code = request.path.rstrip("/").split("/")[-2:]
    return merchant, code


def _language(request: HttpRequest, form: Form) -> str:
    chosen = form.get("lang") or ("ja" if request.path.startswith("/jp/") else None)
    return language_of(chosen, request.header("accept-language"))


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=32)
    except ValueError:
        return []
