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
from kessai.billing.plans import Plans
from kessai.billing.subscriptions import Subscribing
from kessai.claims import KEYS_KEPT, bound_to, claim_of
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import recurring as wire
from kessai.dialects.cybersource.recurring import Trouble
from kessai.dialects.document import Malformed, mask_pans, parse
from kessai.edge import REPLAYED, Handler
from kessai.gateway import Busy
from kessai.jobs.recurring import Biller
from kessai.payment.card import Pan, looks_like_a_pan
from kessai.payment.subscription import PlanState, cancel, suspend
from kessai.storage.payments import Answer
from kessai.storage.subscriptions import ClaimAnswer, ForgetAnswer, KeepAnswer

KEY_LETTERS: Final = 255
_canonical: Final = msgspec.json.Encoder(order="sorted").encode
_encode: Final = msgspec.json.Encoder().encode


class Billing:
    """The service behind `/rbs/v1`."""

    steps: frozenset[str] = frozenset({"rbs"})

    def __init__(self, biller: Biller, *, refuses_new: Callable[[], bool]) -> None:
        """`refuses_new`: whether there is no room for anything new."""
        self.biller = biller
        self.rows = biller.rows
        self._write = biller.gateway.database.write
        self._refuses_new = refuses_new
        plans, subscriptions = Plans(biller), Subscribing(biller)
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
        }

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        found = wire.match(method, path)
        if isinstance(found, frozenset):
            return found
        name, identifier = found
        return Handler(name, partial(self._answer, name, identifier))

    async def _answer(self, name: str, identifier: str, account: Account, request: HttpRequest) -> HttpResponse:
        merchant, gateway = account.merchant, self.biller.gateway
        now = merchant.at(gateway.clock())
        document: dict[str, object] = {}
        if request.method in ("POST", "PUT", "PATCH") and request.body:
            parsed = parse(request.body)
            if isinstance(parsed, Malformed):
                return _response(name, wire.MALFORMED, now)
            document = mask_pans(parsed)  # type: ignore[assignment] # of a dict it makes a dict
        if name.endswith("_create") and self._refuses_new():
            busy = {"errors": [{"type": "unavailable", "message": "There is no room for anything new."}]}
            return HttpResponse(503, _encode(busy), {"retry-after": "1"})
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        call = Call(merchant, now, ids.read(identifier) or 0, query, document, gateway.new_id())
        key = request.header("idempotency-key")
        if key is None or request.method not in ("POST", "PATCH"):
            return _response(name, await self._handlers[name](call), now)
        if not (1 <= len(key) <= KEY_LETTERS and key.isascii() and key.isprintable()):
            return _response(name, wire.invalid(("Idempotency-Key", "INVALID_DATA")), now)
        return await self._once(name, f"{request.method} {request.path.rstrip('/')}", key, call)

    async def _once(self, name: str, scope: str, key: str, call: Call) -> HttpResponse:
        """Carry a request out that has an idempotency key: once, however often it is sent."""
        merchant_id, gateway = call.merchant.id, self.biller.gateway
        if looks_like_a_pan(key):
            key = f"pan:{gateway.vault.fingerprint(merchant_id, Pan(key)).hex()}"
        claimed = claim_of(scope, key).key
        bound = bound_to(merchant_id, _canonical(call.document))
        since = ids.first_of(ids.made_at(call.new_id) - KEYS_KEPT)
        claim = ClaimAnswer(merchant_id=merchant_id, key=claimed, request=bound, id=call.new_id, since=since)
        if not await self._write(claim):
            kept = await self.rows.kept(merchant_id, claimed)
            if kept is None:  # its request did nothing, a moment ago
                raise Busy
            if kept.request != bound:
                return _response(name, _KEY_REUSED, call.now)
            if kept.answer is not None:
                return HttpResponse(kept.answer.status, kept.answer.body, {REPLAYED: "true"})
            call = replace(call, new_id=kept.id)  # it is under way, or was when its process ended
        response = _response(name, await self._handlers[name](call), call.now)
        if response.status < 300:
            answer = Answer(response.status, response.body)
            await self._write(KeepAnswer(merchant_id=merchant_id, key=claimed, id=call.new_id, answer=answer))
        else:
            await self._write(ForgetAnswer(merchant_id=merchant_id, key=claimed, id=call.new_id))
        return response


_KEY_REUSED: Final = Trouble(
    400, "INVALID_REQUEST", "DUPLICATE_REQUEST", "The idempotency key was used before for another request."
)


def _response(name: str, told: Told, now: datetime) -> HttpResponse:
    if isinstance(told, Trouble):
        return HttpResponse(told.http, _encode(wire.trouble(told, now)))
    return HttpResponse(wire.LATER.get(name, 200), _encode(told))
