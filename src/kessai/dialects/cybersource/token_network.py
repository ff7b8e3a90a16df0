"""What the token family says of network tokens: bodies, payment credentials, pictures. Pure.

Numbers are masked, except in payment credentials, which are encrypted to a key of the merchant before they are sent.
"""

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from kessai.dialects import HttpResponse
from kessai.dialects.cybersource.token_answers import Body, identifier, path_of, told_of
from kessai.dialects.cybersource.token_faults import CONTENT_TYPE
from kessai.payment.card import Pan
from kessai.tokens.objects import InstrumentIdentifier, NetworkToken

ISSUER: Final = "Kessai sandbox issuer"


def tokenized_card(token: NetworkToken, merchant_id: str) -> Body:
    """A network token by itself."""
    links: Body = {
        "self": {"href": path_of(token)},
        "instrumentIdentifier": {"href": f"/tms/v1/instrumentidentifiers/{token.instrument}"},
    }
    told = {name: token.document[name] for name in ("accountReferenceId", "consumerId") if name in token.document}
    metadata: Body = {"creator": merchant_id}
    provider = token.document.get("provider")
    if provider:
        art = f"/tms/v2/tokens/{token.instrument}/{provider}/assets/card-art-combined"
        metadata["cardArt"] = {
            "foregroundColor": "FFFFFF",
            "combinedAsset": {"id": token.instrument, "_links": {"self": {"href": art}}},
        }
        metadata["issuer"] = {"name": ISSUER}
    flat: Body = {"id": token.id, "object": "tokenizedCard", **told, **told_of(token), "metadata": metadata}
    instrument: Body = {"instrumentIdentifier": {"id": token.instrument}}
    return {"_links": links, **flat, **instrument, "tokenizedCard": flat}  # flat as guides have it, inside for models


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is told in payment credentials and nowhere else; what was not asked for is None."""

    number: str | None = None
    cryptogram: str | None = None
    security_code: str | None = None
    eci: str = ""


def credentials(instrument: InstrumentIdentifier, token: NetworkToken, merchant_id: str, secrets: Secrets) -> bytes:
    """The text of payment credentials. In clear: for encryption only."""
    body = identifier(instrument, merchant_id, token)
    card = dict(told_of(token))
    card.pop("number", None)
    told = {
        "number": secrets.number,
        "cryptogram": secrets.cryptogram,
        "securityCode": secrets.security_code,
        "eci": secrets.eci,
    }
    card |= {name: value for name, value in told.items() if value is not None}
    reference = token.document.get("paymentAccountReference")
    body |= {"tokenizedCard": card, "issuer": {"paymentAccountReference": reference}}
    return msgspec.json.encode(body)


def card_itself(instrument: InstrumentIdentifier, merchant_id: str, number: Pan, expiry: str) -> bytes:
    """Payment credentials where no network token pays: the card's number. In clear: for encryption only."""
    card: Body = {"number": number.digits}
    if expiry:
        card["expirationMonth"], card["expirationYear"] = expiry[5:], expiry[:4]
    return msgspec.json.encode(identifier(instrument, merchant_id) | {"card": card})


def jose(text: str) -> HttpResponse:
    return HttpResponse(200, text.encode("ascii"), {"content-type": "application/jose;charset=utf-8"})


# ---- pictures

ASSETS: Final[Mapping[str, tuple[int, int]]] = {
    "card-art-combined": (153, 97),
    "card-background": (153, 97),
    "card-issuer-logo": (64, 32),
    "card-brand-logo": (64, 32),
    "card-co-brand-logo": (64, 32),
    "card-icon": (32, 32),
}
"""Kinds of pictures, each with its width and height in pixels."""
_COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "vts": (0x1A, 0x3C, 0x8C),
    "mdes": (0xB3, 0x4A, 0x1E),
    "aets": (0x2E, 0x77, 0x70),
}


def asset(instrument_id: str, provider: str, kind: str) -> HttpResponse | None:
    """A picture of a card: a plain rectangle in its network's colour. None for a kind that there is not."""
    size, colour = ASSETS.get(kind), _COLOURS.get(provider)
    if size is None or colour is None:
        return None
    width, height = size
    data = base64.b64encode(png(width, height, colour)).decode()
    content = {"type": "image/png", "data": data, "width": width, "height": height}
    body = {"id": instrument_id, "type": kind, "provider": provider, "content": [content]}
    return HttpResponse(200, msgspec.json.encode(body), {"content-type": CONTENT_TYPE})


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A rectangle of one colour as a PNG (ISO/IEC 15948): eight bits a channel, no alpha."""
    lines = (b"\x00" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
