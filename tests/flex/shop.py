"""What a merchant's server and a card field do with the gateway, without a browser."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import httpx
from joserfc import jwe, jws
from joserfc.jwk import RSAKey

from tests.acceptance.client import Client, Reply

Json = dict[str, Any]
SHOP = "https://shop.example"
NUMBER = "4929145032671847"
"""A card number that no other test uses."""
CODE = "8352"
ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM", "A128GCM"]


def part(token: str, place: int = 1) -> Json:
    """A part of a token, unverified."""
    text = token.split(".")[place]
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert isinstance(found, dict)
    return found


def with_header(token: str, **more: object) -> str:
    """A token with another first part."""
    head = base64.urlsafe_b64encode(json.dumps({**part(token, 0), **more}).encode()).decode().rstrip("=")
    return head + token[token.index(".") :]


def verified(token: str, jwk: Json) -> Json:
    """The claims of a token, as a merchant verifies them: by a key whatever `use` it says."""
    key = RSAKey.import_key({name: value for name, value in jwk.items() if name != "use"})
    claims = json.loads(jws.deserialize_compact(token, key, algorithms=["RS256"]).payload)
    assert isinstance(claims, dict)
    return claims


def session(**more: object) -> Json:
    wanted: Json = {"clientVersion": "v2", "targetOrigins": [SHOP], "allowedCardNetworks": ["VISA", "JCB"]}
    return {**wanted, **more}


def card(number: str | None = NUMBER, **more: object) -> Json:
    members: Json = {"number": number, "securityCode": CODE, "expirationMonth": "12", "expirationYear": "2031", **more}
    return {"paymentInformation": {"card": {name: value for name, value in members.items() if value is not None}}}


@dataclass(frozen=True)
class Shop:
    till: Client

    @property
    def http(self) -> httpx.Client:
        return self.till.service.http

    def ask(self, document: object, path: str = "/microform/v2/sessions") -> Reply:
        return self.till.call("POST", path, document)

    def context(self, **more: object) -> str:
        reply = self.ask(session(**more))
        assert reply.status == 201, reply.body
        return reply.body.decode()

    def seal(self, payload: object, context: str, alg: str = "RSA-OAEP-256", enc: str = "A256GCM", **more: str) -> str:
        jwk = part(context)["flx"]["jwk"]
        registry = jwe.JWERegistry(algorithms=[*ALGORITHMS, "DEF"], strict_check_header=False)
        header = {"alg": alg, "enc": enc, "kid": jwk["kid"], **more}
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return jwe.encrypt_compact(header, text, RSAKey.import_key({**jwk, "use": "enc"}), registry=registry)

    def send(self, body: str, **headers: str) -> httpx.Response:
        return self.http.post("/flex/v2/tokens", content=body, headers={"content-type": "application/jwt", **headers})

    def give(self, data: Json, context: str | None = None) -> httpx.Response:
        """Encrypt and send a card, as a field does."""
        context = context or self.context()
        return self.send(self.seal({"data": data, "context": context, "index": 0}, context))

    def token(self, data: Json | None = None) -> str:
        answer = self.give(card() if data is None else data)
        assert answer.status_code == 201, answer.text
        return answer.text

    def tokenize(self, token: str, name: str = "transientTokenJwt", **headers: str) -> Reply:
        return self.till.post("/tms/v2/tokenize", wanted(token, name), **headers)


def wanted(token: str, name: str = "transientTokenJwt") -> Json:
    types = ["customer", "paymentInstrument", "instrumentIdentifier"]
    doing = {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": types}
    return {"processingInformation": doing, "tokenInformation": {name: token}}


def reason(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, reason and the members at fault."""
    told = answer.json()["responseStatus"]
    assert told["status"] == answer.status_code
    return answer.status_code, told["reason"], [each["location"] for each in told.get("details", [])]
