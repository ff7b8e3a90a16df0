"""The PaymentOptions wire attacked: credentials, guesses, paths, texts. One answer to all, and nothing moves."""

import asyncio
import base64
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from kessai import log
from kessai.dialects import HttpRequest
from kessai.dialects.paymentoptions import auth
from kessai.edge import Public
from kessai.server import Limits
from tests.acceptance.client import Service
from tests.acceptance.options import PREFIX, Shop, paid, shop_of
from tests.attacks.harm import head, nothing_moves, raw, rows, statuses, tables
from tests.attacks.test_limits import _asked
from tests.attacks.test_overload import _served

PAYMENT = f"{PREFIX}/payment"
FAILED = "authentication.failed"
CLOSING = {"host": "127.0.0.1", "connection": "close"}


@pytest.fixture
def shop(service: Service) -> Shop:
    return shop_of(service, "po_attacked")


@pytest.fixture
def other(service: Service) -> Shop:
    return shop_of(service, "po_other_attacked")


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def refused(shop: Shop, headers: Mapping[str, str]) -> None:
    answer = shop.raw("POST", PAYMENT, headers, json.dumps(shop.body()).encode())
    assert answer.status_code == 401, answer.text
    assert answer.json() == {
        "success": False,
        "status_code": 401,
        "is_live": False,
        "gateway_response": {"version": "1", "type": "ERROR", "message": "Unauthorized.", "code": "ERR4010"},
    }


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ?",
        "Basic ====",
        "Basic 決済".encode().decode("latin-1"),
        "Basic " + encoded(b":"),
        "Basic " + encoded(b"nobody:"),
        "Basic " + encoded(b"\0:"),
        "Basic " + "A" * 8_000,
        "Bearer abc",
        "",
        "Digest username=x",
    ],
)
def test_a_basic_header_that_is_none(service: Service, shop: Shop, authorization: str) -> None:
    """A-17, A-12."""
    with nothing_moves(service, FAILED):
        refused(shop, shop.client.headers | {"authorization": authorization.encode("latin-1")})  # type: ignore[operator]


def test_a_basic_header_as_clients_send_it(shop: Shop) -> None:
    """A-17: with a colon and without; with a password, it is another credential."""
    key = shop.keys["api_key"].encode()
    for text, status in ((key + b":", 201), (key, 201), (key + b":x", 401), (key + b"\0", 401), (key[:-1], 401)):
        headers = dict(shop.client.headers) | {"authorization": f"Basic {encoded(text)}"}
        assert shop.raw("POST", PAYMENT, headers, json.dumps(shop.body()).encode()).status_code == status
    lower = dict(shop.client.headers) | {"authorization": f"basic {encoded(key)}"}
    assert shop.raw("POST", PAYMENT, lower, json.dumps(shop.body()).encode()).status_code == 201


def test_a_megabyte_of_credentials(service: Service, shop: Shop) -> None:
    """A-17: 431, before anybody looks at it."""
    headers = CLOSING | {"authorization": "Basic " + "A" * 1_000_000, "x-api-key": "x", "content-length": "0"}
    assert statuses(raw(service, head("POST", PAYMENT, headers)))[:1] == [431]


def test_the_keys_of_two_merchants(service: Service, shop: Shop, other: Shop) -> None:
    """A-18: an API key of A with Basic of B, either way around; doubled headers; another merchant in the body."""
    with nothing_moves(service, FAILED):
        refused(shop, {**shop.client.headers, "x-api-key": other.keys["x_api_key"]})
        refused(shop, {**shop.client.headers, "authorization": other.client.headers["authorization"]})
        refused(other, shop.client.headers)  # the body names the other merchant
        both = "".join(f"{name}: {value}\r\n" for name, value in shop.client.headers.items())
        both += f"x-api-key: {other.keys['x_api_key']}\r\n"
        request = f"POST {PAYMENT} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n{both}\r\n{{}}"
        assert statuses(raw(service, request.encode())) == [401]


def test_a_revoked_key(service: Service) -> None:
    """A-13: at once; the merchant's other keys stay good."""
    shop = shop_of(service, "po_revoked")
    house = service.house
    [key_id] = set(house.accounts.get(shop.merchant).bearers.values())
    before = dict(shop.client.headers)
    service.run(house.accounts.add_bearer(shop.merchant, house.clock()))
    service.run(house.accounts.revoke_key(shop.merchant, key_id, house.clock()))
    refused(shop, before)
    paid(Shop(service, shop.merchant).pay())


def test_credentials_of_the_other_wire_are_none_here(service: Service, shop: Shop) -> None:
    """A-10, A-14: a shared secret is no bearer's, a signed request is no Basic."""
    key_id, secret = service.run(service.house.accounts.shared_secret(shop.merchant))
    with nothing_moves(service, FAILED):
        refused(shop, {"authorization": f"Basic {encoded(secret.encode())}", "x-api-key": secret})
        refused(shop, {"authorization": f"Basic {encoded(key_id.encode() + b':')}", "x-api-key": key_id})
        refused(shop, service.till(shop.merchant).signed("POST", PAYMENT, b"{}"))
    signed = {"v-c-merchant-id": shop.merchant, **shop.client.headers}
    assert shop.raw("POST", "/pts/v2/payments", signed, b"{}").status_code == 401


def test_credentials_in_the_clear_are_refused_and_told_of(service: Service, shop: Shop) -> None:
    """A-15: over a network without TLS, whoever sends them; a proxy that is not known vouches for nothing."""
    found = service.house.edge()._of_service(HttpRequest("POST", PAYMENT, ()))
    assert isinstance(found, Public)

    async def ask(peer: str, scheme: str, *more: tuple[str, str]) -> int:
        headers = (*shop.client.headers.items(), *more)
        body = json.dumps(shop.body()).encode()
        request = HttpRequest("POST", PAYMENT, headers, body, peer, scheme)
        return (await found.answer(request)).status

    [key] = set(service.house.accounts.get(shop.merchant).bearers.values())
    assert service.run(ask("203.0.113.9", "http")) == 401
    assert service.run(ask("203.0.113.9", "http", ("x-forwarded-proto", "https"))) == 401
    assert "credential.exposed" in service.logs.getvalue()
    assert service.house.accounts.exposed_of(shop.merchant) == {"exposed_keys": [key]}
    assert service.run(ask("203.0.113.9", "https")) == 201
    assert service.run(ask("127.0.0.1", "http")) == 201


def test_a_secret_is_nowhere_in_the_clear(service: Service, shop: Shop) -> None:
    """A-19: neither in a log nor in a row; it is found by its hash."""
    paid(shop.pay())
    refused(shop, {**shop.client.headers, "x-api-key": "wrong"})
    kept = repr([rows(service, f"SELECT * FROM {name}") for name in tables(service)])
    for secret in shop.keys.values():
        assert secret not in service.logs.getvalue()
        assert secret not in kept


def test_thousands_of_guesses_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-19: 429 after the burst, from one address; who was right before goes on, and there is one alarm."""
    said_in_log = io.StringIO()
    monkeypatch.setattr(log._output, "stream", said_in_log)

    async def main() -> None:
        async with _served(tmp_path, Limits()) as (house, port):
            pair = await house.accounts.bearer("kessai_sandbox")
            path = f"{PREFIX}/subscription/list"

            def asks(key: str) -> bytes:
                headers = {"host": f"127.0.0.1:{port}", "authorization": auth.basic(key), "x-api-key": key}
                return head("GET", path, headers)

            good = {
                "host": f"127.0.0.1:{port}",
                "authorization": auth.basic(pair.api_key),
                "x-api-key": pair.x_api_key,
            }
            assert (await _asked(port, [head("GET", path, good)]))[0][0] == 200
            answers = await _asked(port, [asks(f"{number:043d}") for number in range(5_000)])
            said = Counter(status for status, _, _ in answers)
            assert set(said) == {401, 429}
            assert said[429] > 4_000
            assert json.loads(answers[-1][2])["gateway_response"]["code"] == "ERR4290"
            assert int(answers[-1][1]["retry-after"]) >= 1
            assert (await _asked(port, [head("GET", path, good)]))[0][0] == 200

    asyncio.run(main())
    assert said_in_log.getvalue().count("limit.reached") == 1


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/server-to-server-interface/../server-to-server-interface/payment",
        "/api/v1/server-to-server-interface/%2e%2e/payment",
        "/api/v1/server-to-server-interface/%252e%252e/payment",
        "/api/v1/server-to-server-interface//payment",
        "//api/v1/server-to-server-interface/payment",
        "/api/v1/server-to-server-interface/payment%00",
        "/api/v1/server-to-server-interface/PAYMENT",
        "/api/v1/api/v1/api/v1/server-to-server-interface/payment",
        "/api/v1/hpp/generate/links",
        "/api/v1/api/v1/api/v1/hpp/generate/link",
        "/api",
    ],
)
def test_a_path_that_is_none(service: Service, shop: Shop, target: str) -> None:
    """A-86: 404 in the wire's own form; nothing is decoded and nothing walked."""
    body = json.dumps(shop.body()).encode()
    with nothing_moves(service, "request.refused"):
        headers = {**CLOSING, **shop.client.headers, "content-length": str(len(body))}
        answer = raw(service, head("POST", target, headers) + body)
        assert statuses(answer) == [404]


def test_a_method_is_what_the_request_line_says(service: Service, shop: Shop) -> None:
    """A-86: nobody overrides it."""
    sold = paid(shop.pay())
    path = f"{PREFIX}/transaction/status/{sold.id}"
    for name in ("x-http-method-override", "x-http-method", "x-method-override"):
        assert shop.raw("GET", path, {**shop.client.headers, name: "DELETE"}).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert shop.raw(method, path, shop.client.headers, b"{}").status_code == 404


def test_a_cookie_is_nobody(service: Service, shop: Shop) -> None:
    """A-87: this wire has no cookies: they are looked at by nobody, and one of a megabyte is too large."""
    with nothing_moves(service, FAILED):
        refused(shop, {"cookie": f"authorization={shop.keys['api_key']}; x-api-key={shop.keys['x_api_key']}"})
    large = head("POST", PAYMENT, CLOSING | {"cookie": "a=" + "b" * 1_000_000, "content-length": "0"})
    assert statuses(raw(service, large))[:1] == [431]
    answer = shop.raw("POST", PAYMENT, {**shop.client.headers, "cookie": "a=b"}, json.dumps(shop.body()).encode())
    assert (answer.status_code, "set-cookie" in answer.headers) == (201, False)


TEXTS = ("'; DROP TABLE payments; --", '" OR 1=1 --', "%", "_", "\\'", "$1", ":id", "{0}", "<script>")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_a_text(service: Service, shop: Shop, text: str) -> None:
    """A-88: in every free member, in an id of a path, in a body; it comes back as it was sent."""
    result = paid(
        shop.pay(
            merchant_txn_ref=text,
            card__name=text,
            customer_ip=text,
            billing_address__address1=text,
            billing_address__city=text,
            billing_address__state=text,
            time_zone=text,
        )
    )
    assert result.document["transaction_details"]["merchant_txn_ref"] == text
    assert result.document["merchant_details"]["billing_details"]["billing_address"]["city"] == text
    assert shop.client.status(text).status == 404
    assert shop.client.subscription(text).status == 404
    assert shop.follow("refund", text[:36], amount=1).status == 404
    assert shop.follow("refund", result.id, amount=1, notes=text).status == 201


@pytest.mark.parametrize("text", ["a\nb", "a\r\nlevel=error", "\x1b[31mred", "a\0b", "a\u202eb"])
def test_a_log_line_cannot_be_forged(service: Service, shop: Shop, text: str) -> None:
    """A-89: refused in a member; escaped where it is told of. One event is one line."""
    before = len(service.logs.getvalue())
    for member in ("merchant_txn_ref", "card__name", "billing_address__city", "payment_method__type"):
        assert shop.pay(**{member: text}).status == 400
    shop.raw("POST", PAYMENT, {**shop.client.headers, "x-api-key": "x"}, b"{}")
    for line in service.logs.getvalue()[before:].splitlines():
        assert isinstance(json.loads(line), dict)
        assert text not in line
