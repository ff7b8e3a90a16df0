"""The official client, unmodified, asks for a capture context: what `drive.contexts` brought back."""

from typing import Any

from tests.flex.shop import part

Json = dict[str, Any]


def test_a_capture_context_comes_back_as_text(played: Json) -> None:
    noted = played["contexts"]["capture context"]
    assert noted["status"] == 201
    claims = part(noted["answer"])
    assert claims["ctx"][0]["data"]["targetOrigins"] == ["https://shop.example"]
    assert claims["ctx"][0]["data"]["allowedCardNetworks"] == ["VISA", "JCB"]
    assert claims["flx"]["jwk"]["kty"] == "RSA"
