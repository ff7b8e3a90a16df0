"""The merchant's requests about webhooks: keys, products, subscriptions, tests, replays; and listeners of a sandbox.

An `edge.Service`. A request that changes something is carried out once under its signature. A new key is in the answer
to its request, and nowhere else: what is kept of that answer is without it.
"""

import base64
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kessai import ids
from kessai.accounts import Account
from kessai.dialects import HttpRequest, HttpResponse
from kessai.dialects.cybersource import notifications
from kessai.dialects.cybersource import webhooks as wire
from kessai.dialects.cybersource.webhooks import Subscription
from kessai.dialects.document import Malformed, mask_pans, parse, text_of
from kessai.dialects.table import FieldError
from kessai.edge import EXPLANATION, Handler, Repeated
from kessai.edge.http import refuse_media
from kessai.gateway import Gateway
from kessai.log import log
from kessai.once import once
from kessai.payment.lifecycle import Refusal
from kessai.payment.merchant import Merchant
from kessai.storage.payments import Claim
from kessai.storage.webhooks import (
    DELIVERED,
    NEWEST,
    PARKED,
    WAITING,
    AddWebhook,
    Conclude,
    DeleteWebhook,
    Delivery,
    Resend,
    Tell,
    TouchWebhook,
    Tried,
)
from kessai.webhooks import health
from kessai.webhooks.addresses import NotAllowed
from kessai.webhooks.registry import (
    ACTIVE,
    CYBERSOURCE,
    INACTIVE,
    LISTENER,
    SUBSCRIPTION,
    Endpoint,
    Kept,
    Registry,
    document_of,
)
from kessai.webhooks.sender import Sender
from kessai.webhooks.tries import signed

MOST_REPLAYED: Final = 1_000
MOST_TRACES: Final = 100
MOST_RACES: Final = 8
"""How often a change of a subscription that others change too starts again."""

PAGE: Final = 100
_encode: Final = msgspec.json.Encoder().encode
_REPLAYED: Final[Mapping[str, str]] = {"FAILED": PARKED, "RETRY": PARKED, "RECEIVED": DELIVERED, "COMPLETED": DELIVERED}
"""`byDeliveryStatus.status` to a state of ours."""


class _Call(Struct, frozen=True, kw_only=True):
    """One request, read."""

    merchant: Merchant
    identifier: str
    query: Mapping[str, str]
    document: Mapping[str, object]
    now: datetime


class _Secret(Struct, frozen=True):
    """An answer that may not be kept as it is: with its secret, and without."""

    told: object
    kept: object


class WebhookService:
    """An `edge.Service`."""

    steps: frozenset[str] = frozenset({"kms", "notification-subscriptions", "nrtf", "kessai"})

    def __init__(
        self, gateway: Gateway, registry: Registry, sender: Sender, *, refuses_new: Callable[[], bool]
    ) -> None:
        self._gateway = gateway
        self._database = gateway.database
        self._registry = registry
        self._rows = registry.rows
        self._sender = sender
        self._refuses_new = refuses_new
        self._handlers: Mapping[str, Callable[[_Call], Awaitable[object]]] = {
            "webhook_key": self._key,
            "webhook_cipher": self._cipher,
            "webhook_products": self._products,
            "webhook_create": self._create,
            "webhook_list": self._list,
            "webhook_read": self._read,
            "webhook_update": self._update,
            "webhook_delete": self._delete,
            "webhook_status": self._status,
            "webhook_test": self._test,
            "webhook_replay": self._replay,
            "listener_create": self._listen,
            "listener_poll": self._poll,
            "listener_end": self._end,
        }

    def match(self, method: str, path: str) -> Handler | frozenset[str]:
        found = wire.match(method, path)
        if isinstance(found, frozenset):
            return found
        name, identifier = found
        plain = partial(self._plain, name, identifier)
        if method in ("GET", "DELETE") or name == "listener_poll":
            return Handler(name, plain)
        return Handler(name, plain, partial(self._perform, name, identifier))

    async def _plain(self, name: str, identifier: str, account: Account, request: HttpRequest) -> HttpResponse:
        call = self._call(account, identifier, request)
        return self._response(name, call if isinstance(call, _Trouble) else await self._handlers[name](call))

    async def _perform(
        self, name: str, identifier: str, account: Account, request: HttpRequest, signature: tuple[Claim, ...]
    ) -> HttpResponse:
        refused = refuse_media(request)
        if refused is not None:
            return refused
        if name in wire.CREATES and self._refuses_new():
            return HttpResponse(503, _NO_ROOM, {"retry-after": "1"})
        call = self._call(account, identifier, request)
        if isinstance(call, _Trouble):
            return self._response(name, call)
        secret: list[object] = []

        async def do(_new_id: int) -> HttpResponse:
            told = await self._handlers[name](call)
            if isinstance(told, _Secret):
                secret.append(told.told)
                told = told.kept
            return self._response(name, told)

        told = await once(self._database, account.merchant.id, signature, self._gateway.new_id(), do)
        if isinstance(told, Refusal):
            raise Repeated
        return self._response(name, secret[0]) if secret else told

    def _call(self, account: Account, identifier: str, request: HttpRequest) -> "_Call | _Trouble":
        document: object = {}
        now = self._gateway.clock()
        if request.body and request.method not in ("GET", "DELETE"):
            document = parse(request.body)
            if isinstance(document, Malformed):
                return _Trouble(400, wire.trouble([], now))
        masked = mask_pans(document)
        assert isinstance(masked, dict), "a document is an object"
        return _Call(
            merchant=account.merchant,
            identifier=identifier,
            query=dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True)),
            document=masked,
            now=now,
        )

    def _response(self, name: str, told: object) -> HttpResponse:
        if isinstance(told, _Trouble):
            log("request.refused", status=told.status, route=name)
            headers = {EXPLANATION: told.explanation} if told.explanation else {}
            return HttpResponse(told.status, _encode(told.body), headers)
        return HttpResponse(201 if name in wire.CREATES else 200, _encode(told))

    # ---- keys and products

    async def _key(self, call: _Call) -> object:
        wanted = wire.read_key(call.document, call.merchant.id)
        if not isinstance(wanted, int):
            return _Trouble(400, wire.trouble(wanted, call.now))
        key_id, secret, expires_at = await self._registry.make_key(call.merchant.id, CYBERSOURCE, call.now, wanted)
        log("webhook.key", merchant=call.merchant.id, key=key_id)
        told = wire.key_shown(key_id, secret, call.merchant.id, call.document, call.now, expires_at)
        return _Secret(told, wire.key_shown(key_id, "", call.merchant.id, call.document, call.now, expires_at))

    async def _cipher(self, call: _Call) -> object:
        """A key to encrypt notifications to is not taken: it would not be used."""
        why = wire.WHY_NOT if call.merchant.is_test else ""
        return _Trouble(400, wire.trouble([FieldError("keyInformation.keyType")], call.now), why)

    async def _products(self, call: _Call) -> object:
        return wire.products_shown() if call.identifier == call.merchant.id else _NOT_FOUND

    # ---- subscriptions

    async def _create(self, call: _Call) -> object:
        merchant = call.merchant
        wanted = self._wanted(call, None)
        if isinstance(wanted, _Trouble):
            return wanted
        if len(list(self._registry.endpoints(merchant.id))) >= wire.MOST_SUBSCRIPTIONS:
            return _Trouble(400, wire.trouble([FieldError("webhookUrl")], call.now), "there are too many subscriptions")
        identifier = str(uuid.uuid4())
        await self._add(merchant, identifier, SUBSCRIPTION, INACTIVE, Kept(subscription=wanted, is_new=True), call.now)
        return wire.shown(identifier, merchant.id, wanted, INACTIVE, call.now)

    def _wanted(self, call: _Call, before: Subscription | None) -> "Subscription | _Trouble":
        read = wire.read(call.document, call.merchant.id, before)
        if not isinstance(read, Subscription):
            is_security = call.merchant.is_test and any(error.path == wire.SECURITY for error in read)
            return _Trouble(400, wire.trouble(read, call.now), wire.WHY_NOT if is_security else "")
        for member, url in (("webhookUrl", read.url), ("healthCheckUrl", read.health_url)):
            if url:
                try:
                    self._registry.target(call.merchant, url)
                except NotAllowed as error:
                    why = f"{member}: {error}" if call.merchant.is_test else ""
                    return _Trouble(400, wire.trouble([FieldError(member)], call.now), why)
        return read

    async def _add(
        self, merchant: Merchant, identifier: str, kind: str, status: str, kept: Kept, now: datetime
    ) -> None:
        write = AddWebhook(
            merchant_id=merchant.id, id=identifier, kind=kind, status=status, document=document_of(kept), now=now
        )
        await self._database.write(write)
        await self._registry.load_of(merchant.id)
        self._gateway.notify(merchant.id)

    async def _list(self, call: _Call) -> object:
        if call.query.get("organizationId", call.merchant.id) != call.merchant.id:
            return []
        product, event = call.query.get("productId"), call.query.get("eventType")
        return [
            _shown(call, endpoint)
            for endpoint in await self._stored(call.merchant)
            if (product is None or any(each.id == product for each in endpoint.subscription.products))
            and (event is None or event in endpoint.events)
        ]

    async def _stored(self, merchant: Merchant) -> Sequence[Endpoint]:
        """The subscriptions as they are by now: another process may have changed one."""
        await self._registry.load_of(merchant.id)
        return [endpoint for endpoint in self._registry.endpoints(merchant.id) if not endpoint.is_listener]

    async def _find(self, call: _Call) -> Endpoint | None:
        found = (each for each in await self._stored(call.merchant) if each.id == call.identifier.lower())
        return next(found, None)

    async def _read(self, call: _Call) -> object:
        endpoint = await self._find(call)
        return _shown(call, endpoint) if endpoint is not None else _NOT_FOUND

    async def _update(self, call: _Call) -> object:
        for _ in range(MOST_RACES):
            endpoint = await self._find(call)
            if endpoint is None:
                return _NOT_FOUND
            wanted = self._wanted(call, endpoint.subscription)
            if isinstance(wanted, _Trouble):
                return wanted
            kept = replace(endpoint.kept, subscription=wanted)
            if await self._registry.change(call.merchant.id, endpoint, call.now, kept=kept):
                self._gateway.notify(call.merchant.id)
                return _shown(call, self._registry.find(call.merchant.id, endpoint.id) or endpoint, with_update=True)
        return _BUSY

    async def _delete(self, call: _Call) -> object:
        endpoint = await self._find(call)
        if endpoint is None:
            return _NOT_FOUND
        await self._database.write(DeleteWebhook(call.merchant.id, endpoint.id))
        await self._registry.load_of(call.merchant.id)
        return {"status": "successfully deleted"}

    async def _status(self, call: _Call) -> object:
        endpoint = await self._find(call)
        if endpoint is None:
            return _NOT_FOUND
        status = text_of(call.document.get("status"))
        if status not in (ACTIVE, INACTIVE):
            return _Trouble(400, wire.trouble([FieldError("status", is_missing=status is None)], call.now))
        if status == ACTIVE:
            if self._registry.key(call.merchant.id) is None:
                why = "there is no key to sign with: POST /kms/egress/v2/keys-sym makes one"
                return _Trouble(400, wire.trouble([FieldError("status")], call.now), why)
            why_not = await health.check(self._registry, self._sender, call.merchant, endpoint)
            if why_not is not None:
                why = f"healthCheckUrl: {why_not}" if call.merchant.is_test else ""
                return _Trouble(400, wire.trouble([FieldError("healthCheckUrl")], call.now), why)
        for _ in range(MOST_RACES):
            if await self._registry.change(call.merchant.id, endpoint, call.now, status=status):
                log("webhook.status", merchant=call.merchant.id, webhook=endpoint.id, state=status)
                self._gateway.notify(call.merchant.id)
                return {"webhookId": endpoint.id, "status": status}
            endpoint = await self._find(call)  # its health may have turned it meanwhile
            if endpoint is None:
                return _NOT_FOUND
        return _BUSY

    # ---- tests and replays

    async def _test(self, call: _Call) -> object:
        """One event that tells of nothing, sent as others are."""
        endpoint = await self._find(call)
        if endpoint is None:
            return _NOT_FOUND
        identifier = self._gateway.new_id()
        event = endpoint.subscription.products[0].events[0]
        delivery = Delivery(
            id=identifier,
            endpoint=endpoint.id,
            url="",
            payment_id=identifier,
            event=event,
            happened_at=call.merchant.at(call.now),
            body=notifications.test_payload(),
            run_at=call.now,
        )
        await self._database.write(Tell(merchant_id=call.merchant.id, notices=(), deliveries=[(None, delivery)]))
        self._gateway.notify(call.merchant.id)
        trace, product = notifications.trace_of(identifier), notifications.PRODUCT_OF[event]
        return wire.test_shown(event, endpoint.id, call.merchant.id, product, trace, delivery.happened_at)

    async def _replay(self, call: _Call) -> object:
        endpoint = await self._find(call)
        if endpoint is None:
            return _NOT_FOUND
        chosen = await self._chosen(call, endpoint)
        if isinstance(chosen, _Trouble):
            return chosen
        count = 0
        for delivery in chosen:
            count += await self._database.write(Resend(call.merchant.id, delivery.id, call.now))
        self._gateway.notify(call.merchant.id)
        return {"webhookId": endpoint.id, "status": "ACCEPTED", "replayed": count}

    async def _chosen(self, call: _Call, endpoint: Endpoint) -> "Sequence[Delivery] | _Trouble":
        """Which deliveries a replay is about: those that it names, or those that ended some way within a day."""
        traces = call.document.get("byTransactionTraceIdentifiers")
        if isinstance(traces, list) and 0 < len(traces) <= MOST_TRACES:
            named = [notifications.read_trace(str(trace)) for trace in traces]
            found = [await self._rows.delivery(call.merchant.id, each) for each in named if each is not None]
            return [each for each in found if each is not None and each.endpoint == endpoint.id]
        asked = call.document.get("byDeliveryStatus")
        if not isinstance(asked, dict):
            return _Trouble(400, wire.trouble([FieldError("byDeliveryStatus", is_missing=True)], call.now))
        state = _REPLAYED.get(str(asked.get("status", "")).upper())
        start, end = _instant(asked.get("startTime")), _instant(asked.get("endTime"))
        if asked.get("hoursBack") is not None and str(asked["hoursBack"]) in map(str, range(1, 25)):
            start, end = call.now - timedelta(hours=int(str(asked["hoursBack"]))), call.now
        errors = [
            FieldError(f"byDeliveryStatus.{member}", is_missing=asked.get(member) is None)
            for member, value in (("status", state), ("startTime", start), ("endTime", end))
            if value is None
        ]
        if errors or state is None or start is None or end is None:
            return _Trouble(400, wire.trouble(errors, call.now))
        if not timedelta() <= end - start <= timedelta(hours=24):
            return _Trouble(400, wire.trouble([FieldError("byDeliveryStatus.endTime")], call.now))
        page = await self._rows.page(
            call.merchant.id,
            MOST_REPLAYED,
            state=state,
            endpoint=endpoint.id,
            since=ids.first_of(start),
            before=min(ids.first_of(end + timedelta(seconds=1)), NEWEST),
        )
        event = asked.get("eventType")
        return [each for each in page if event is None or each.event == event]

    # ---- listeners

    async def _listen(self, call: _Call) -> object:
        """A webhook without a server: its events are asked for. With the key that signs them."""
        if not call.merchant.is_test:
            return _NOT_FOUND
        if len(list(self._registry.endpoints(call.merchant.id))) >= wire.MOST_SUBSCRIPTIONS:
            return _Trouble(400, wire.trouble([], call.now), "there are too many subscriptions")
        if self._registry.key(call.merchant.id) is None:
            await self._registry.make_key(call.merchant.id, CYBERSOURCE, call.now, 365)
        key = self._registry.key(call.merchant.id)
        assert key is not None
        identifier = str(uuid.uuid4())
        await self._add(call.merchant, identifier, LISTENER, ACTIVE, Kept(subscription=Subscription()), call.now)
        told = {"listenerId": identifier, "keyId": key.id}
        return _Secret(told | {"key": base64.b64encode(key.secret).decode()}, told)

    async def _poll(self, call: _Call) -> object:
        """What has happened since the last time; what came before `after` has arrived."""
        if not call.merchant.is_test:
            return _NOT_FOUND
        if not await self._database.write(TouchWebhook(call.merchant.id, call.identifier, call.now)):
            return _NOT_FOUND
        arrived = call.document.get("arrived")
        named = [notifications.read_trace(str(each)) for each in arrived[:PAGE]] if isinstance(arrived, list) else []
        waiting = await self._rows.due(call.merchant.id, call.identifier, call.now, PAGE)
        tried = [_listened(each, call.now) for each in waiting if each.id in named]
        if tried:
            await self._database.write(Conclude(merchant_id=call.merchant.id, tried=tried))
            waiting = await self._rows.due(call.merchant.id, call.identifier, call.now, PAGE)
        events = []
        for each in waiting:
            headers, body = signed(call.merchant.id, call.identifier, self._registry, each, call.now)
            events.append({"id": headers["v-c-transaction-trace-id"], "headers": headers, "body": body.decode()})
        return {"events": events}

    async def _end(self, call: _Call) -> object:
        endpoint = self._registry.find(call.merchant.id, call.identifier)
        if endpoint is None or not endpoint.is_listener:
            return _NOT_FOUND
        await self._database.write(DeleteWebhook(call.merchant.id, endpoint.id))
        await self._registry.load_of(call.merchant.id)
        return {"status": "successfully deleted"}


class _Trouble(Struct, frozen=True):
    status: int
    body: object
    explanation: str = ""
    """For test merchants: nothing of what came is repeated."""


_NOT_FOUND: Final = _Trouble(404, {"response": {"rmsg": "Resource not found"}})
_BUSY: Final = _Trouble(409, {"status": "CONFLICT", "message": "The subscription was changed by others; try again."})
_NO_ROOM: Final = _encode({"errors": [{"type": "unavailable", "message": "There is no room for anything new."}]})


def _shown(call: _Call, endpoint: Endpoint, *, with_update: bool = False) -> wire.Body:
    row = endpoint.row
    updated_at = row.updated_at if with_update else None
    return wire.shown(row.id, call.merchant.id, endpoint.subscription, row.status, row.created_at, updated_at)


def _listened(delivery: Delivery, now: datetime) -> Tried:
    is_twice = delivery.trick == "twice"
    return Tried(
        id=delivery.id,
        state=WAITING if is_twice else DELIVERED,
        run_at=now,
        attempts=delivery.attempts + (0 if is_twice else 1),
        trick="",
        result="taken by a listener",
        seen=delivery.attempts,
        seen_trick=delivery.trick,
    )


def _instant(sent: object) -> datetime | None:
    text = text_of(sent) or ""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
