"""A client inside of the gateway's own loop (T-8): whole signed requests into its ASGI application, and no sockets."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from tests.acceptance.client import SIGNED, Reply, assert_form
from tests.model.machine import Stage

HOST: Final = "gateway.example"


class Wire:
    """Clients of every merchant of a house."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._edge = stage.house.edge()
        self._secrets: dict[str, tuple[str, bytes]] = {}

    def call(
        self,
        merchant: str,
        method: str,
        path: str,
        document: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        body = json.dumps(document).encode() if document is not None else b""
        sent = self._signed(merchant, method, path, body) | dict(headers or {})
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "raw_path": path.partition("?")[0].encode(),
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
        }
        messages: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        self._stage.run(self._edge(scope, receive, send))
        start, rest = messages
        told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        reply = Reply(start["status"], told, rest["body"])
        assert_form(method, path, reply)
        return reply

    def _signed(self, merchant: str, method: str, path: str, body: bytes) -> dict[str, str]:
        if merchant not in self._secrets:
            key_id, text = self._stage.run(self._stage.house.accounts.shared_secret(merchant))
            self._secrets[merchant] = key_id, base64.b64decode(text)
        key_id, secret = self._secrets[merchant]
        headers = {"host": HOST, "date": format_datetime(datetime.now(UTC), usegmt=True), "v-c-merchant-id": merchant}
        if method in ("POST", "PUT", "PATCH"):
            headers["digest"] = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
            headers["content-type"] = "application/json"
        values = headers | {"request-target": f"{method.lower()} {path}"}
        names = [name for name in SIGNED if name in values]
        text = "\n".join(f"{name}: {values[name]}" for name in names)
        mac = base64.b64encode(hmac.digest(secret, text.encode(), "sha256")).decode()
        headers["signature"] = (
            f'keyid="{key_id}", algorithm="HmacSHA256", headers="{" ".join(names)}", signature="{mac}"'
        )
        return headers
