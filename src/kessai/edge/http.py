"""What of requests and answers is HTTP: headers, media types, correlation ids, refusals that no payment sees."""

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from kessai.dialects import HttpRequest, HttpResponse
from kessai.payment.card import looks_like_a_pan

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONTENT_TYPE: Final = "application/hal+json;charset=utf-8"
_MEDIA: Final = (b"content-type", CONTENT_TYPE.encode())
_AS_SAID: Final = (b"x-content-type-options", b"nosniff")
"""No browser takes an answer for something that its media type does not say (R-47)."""
_CORRELATION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


async def read(scope: Scope, receive: Receive) -> HttpRequest | None:
    """The whole request; None when it broke off. The server bounds its size and time."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body = body + message.get("body", b"") if body else message.get("body", b"")
        if not message.get("more_body", False):
            break
    query = scope["query_string"]
    path = scope["raw_path"].decode("latin-1")
    target = f"{path}?{query.decode('latin-1')}" if query else path
    peer = scope["client"][0] if scope.get("client") else ""
    return HttpRequest(scope["method"], target, _headers(scope["headers"]), body, peer, scope["scheme"])


def _headers(received: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Headers as text, decoded in one go: no line break is in any of them, the server has seen to that."""
    names, values = zip(*received, strict=True)  # a Host is always among them
    return tuple(zip(_names(names), b"\n".join(values).decode("latin-1").split("\n"), strict=True))


@lru_cache(maxsize=512)
def _names(received: tuple[bytes, ...]) -> tuple[str, ...]:
    """What one client sends is nearly always the same."""
    return tuple([name.decode("latin-1") for name in received])


async def write(send: Send, response: HttpResponse, correlation: str) -> None:
    length, known = (b"content-length", b"%d" % len(response.body)), (b"v-c-correlation-id", correlation.encode())
    headers = [_MEDIA, length, known, _AS_SAID]
    if response.status == 204:  # it has no body, and says nothing of one (RFC 9110, 8.6)
        del headers[:2]
    for name, value in response.headers.items():
        header = (name.encode(), value.encode("ascii", "replace"))
        if name == "content-type":
            headers[0] = header
        else:
            headers.append(header)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def correlation_of(request: HttpRequest) -> str:
    """The caller's correlation id where it sent a usable one, else a fresh one."""
    sent = request.header("v-c-correlation-id")
    is_usable = sent is not None and _CORRELATION.fullmatch(sent) is not None and not looks_like_a_pan(sent)
    return sent if sent is not None and is_usable else _uuid()


def _uuid() -> str:
    """A random UUID (RFC 9562, version 4) as text; what `uuid.uuid4` gives, at a fifth of its cost."""
    digits = _random_16().hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def _random_bytes() -> Iterator[bytes]:
    """Sixteen random bytes at a time, asked of the system for many at once."""
    while True:
        pool = os.urandom(4096)
        for begin in range(0, len(pool), 16):
            yield pool[begin : begin + 16]


_random_16: Final = _random_bytes().__next__


def refuse_media(request: HttpRequest) -> HttpResponse | None:
    """The 415 of a body that is no JSON, or encoded."""
    sent = request.header("content-type")
    if (sent is None or sent == "application/json") and request.header("content-encoding") is None:
        return None  # nearly always
    media = (sent or "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        return refusal(415, "unsupportedMediaType", "The body must be application/json.")
    if (request.header("content-encoding") or "identity").lower() != "identity":
        return refusal(415, "unsupportedMediaType", "The body must not be encoded.")
    return None


def not_routed(methods: frozenset[str]) -> HttpResponse:
    if not methods:
        return HttpResponse(404, b'{"response":{"rmsg":"Resource not found"}}')
    allow = ", ".join(sorted(methods))
    return HttpResponse(405, refusal(405, "methodNotAllowed", f"This path knows {allow}.").body, {"allow": allow})


def refusal(status: int, kind: str, message: str) -> HttpResponse:
    """The form of the gateway in front of the service, for what never reaches a payment."""
    body = msgspec.json.encode({"errors": [{"type": kind, "message": message}]})
    return HttpResponse(status, body, {"retry-after": "1"} if status == 503 else {})
