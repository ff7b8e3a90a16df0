"""The service of recurring billing: from a request to its handler, and each request with an idempotency key once.

A request with a key names its resource before that is made, so that the same request, sent again after a crash, goes on
with the same resource.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from kessai import ids
from kessai.accounts import Account
from kessai.billing.call import Call, Told
from kessai.billing.follow_ons import FollowOns
from kessai.billing.plans import Plans
from kessai.billing.subscriptions import Subscribing
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import recurring as wire
from kessai.dialects.cybersource.recurring import Trouble
from kessai.dialects.document import Malformed, mask_pans, parse
from kessai.edge import KEY, Handler, Repeated
from kessai.edge.http import refuse_media
from kessai.jobs.recurring import Biller
from kessai.log import log
from kessai.once import once
from kessai.payment.card import Pan, looks_like_a_pan
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.payment.plan import PlanState
from kessai.payment.subscription import cancel, suspend
from kessai.storage.payments import Claim
from kessai.tokenizer import Tokenizer

_canonical: Final = msgspec.json.Encoder(order="sorted").encode
_encode: Final = msgspec.json.Encoder().encode


class Billing:
    """The service behind `/rbs/v1`."""

    steps: frozenset[str] = frozenset({"rbs"})

    def __init__(self, biller: Biller, tokenizer: Tokenizer, *, refuses_new: Callable[[], bool]) -> None:
        """`refuses_new`: whether there is no room for anything new."""
        self.biller = biller
        self.rows = biller.rows
        self._write = biller.gateway.database.write
        self._refuses_new = refuses_new
        plans, subscriptions = Plans(biller), Subscribing(biller)
        follow_ons = FollowOns(biller, tokenizer, subscriptions)
        self._handlers: Mapping[str, Callable[[Call], Awaitable[Told]]] = {
            "plan_create": plans.create,
            "plan_list": plans.page,
            "plan_code": plans.code,
            "plan_read": plans.read,
            "plan_update": plans.update,
            "plan_delete": plans.delete,
            "plan_activate": partial(plans.turn, PlanState.ACTIVE),
            "plan_deactivate": partial(plans.turn, PlanState.INACTIVE),
            "subscription_create": subscriptions.create,
            "subscription_list": subscriptions.page,
            "subscription_code": subscriptions.code,
            "subscription_read": subscriptions.read,
            "subscription_update": subscriptions.update,
            "subscription_activate": subscriptions.activate,
            "subscription_suspend": partial(subscriptions.stop, suspend),
            "subscription_cancel": partial(subscriptions.stop, cancel),
            "subscription_payments": subscriptions.payments,
            "subscription_skip": subscriptions.skip,
            "follow_on_read": follow_ons.read,
            "follow_on_create": follow_ons.create,
        }

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        found = wire.match(method, path)
        if isinstance(found, frozenset):
            return found
        name, identifier = found
        if method in ("GET", "DELETE"):
            return Handler(name, partial(self._read, name, identifier))
        return Handler(name, partial(self._read, name, identifier), partial(self._perform, name, identifier))

    async def _read(self, name: str, identifier: str, account: Account, request: HttpRequest) -> HttpResponse:
        call = self._call(account.merchant, identifier, request, {})
        return self._response(name, await self._handlers[name](call), call.now)

    async def _perform(
        self, name: str, identifier: str, account: Account, request: HttpRequest, signature: tuple[Claim, ...]
    ) -> HttpResponse:
        merchant = account.merchant
        now = merchant.at(self.biller.gateway.clock())
        document: object = {}
        if request.body:
            refused = refuse_media(request)
            if refused is not None:
                return refused
            document = parse(request.body)
            if isinstance(document, Malformed):
                return self._response(name, wire.MALFORMED, now)
        if name.endswith("_create") and self._refuses_new():
            return HttpResponse(503, _NO_ROOM, {"retry-after": "1"})
        masked = mask_pans(document)
        assert isinstance(masked, dict), "a document is an object"
        call = self._call(merchant, identifier, request, masked)
        key = self._key(merchant, request, masked)
        if isinstance(key, Trouble):
            return self._response(name, key, now)

        async def do(new_id: int) -> HttpResponse:
            return self._response(
                name, await self._handlers[name](replace(call, new_id=new_id, is_again=new_id != call.new_id)), now
            )

        claims = signature if key is None else (key, *signature)
        told = await once(self.biller.gateway.database, merchant.id, claims, call.new_id, do)
        if told is Refusal.REPEATED:
            raise Repeated
        return self._response(name, _KEY_REUSED, now) if isinstance(told, Refusal) else told

    def _call(self, merchant: Merchant, identifier: str, request: HttpRequest, document: Mapping[str, object]) -> Call:
        gateway = self.biller.gateway
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        now = merchant.at(gateway.clock())
        return Call(merchant, now, ids.read(identifier) or 0, query, document, gateway.new_id())

    def _key(self, merchant: Merchant, request: HttpRequest, document: Mapping[str, object]) -> Claim | Trouble | None:
        """The idempotency key of a request, bound to what it asks."""
        sent = request.header("idempotency-key")
        if sent is None or request.method not in ("POST", "PATCH"):
            return None
        if KEY.fullmatch(sent) is None:
            return wire.invalid(("Idempotency-Key", "INVALID_DATA"))
        if looks_like_a_pan(sent):
            sent = f"pan:{self.biller.gateway.vault.fingerprint(merchant.id, Pan(sent)).hex()}"
        since = ids.first_of(ids.made_at(self.biller.gateway.new_id()) - KEYS_KEPT)
        scope = f"{request.method} {request.path.rstrip('/')}"
        return claim_of(scope, sent, request=bound_to(merchant.id, _canonical(document)), since=since)

    def _response(self, name: str, told: Told, now: datetime) -> HttpResponse:
        if isinstance(told, Trouble):
            log("request.refused", status=told.http, reason=told.reason, route=name)
            return HttpResponse(told.http, _encode(wire.trouble(told, now)))
        return HttpResponse(wire.LATER.get(name, 200), _encode(told))


_NO_ROOM: Final = _encode({"errors": [{"type": "unavailable", "message": "There is no room for anything new."}]})
_KEY_REUSED: Final = Trouble(
    400, "INVALID_REQUEST", "DUPLICATE_REQUEST", "The idempotency key was used before for another request."
)
