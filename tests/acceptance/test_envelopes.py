"""Encrypted messages: both ways, errors too, by tokens and by HTTP signatures; and what does not open."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from joserfc import jwe
from joserfc.jwk import RSAKey

from kessai import messages
from kessai.accounts import Refused
from tests.acceptance.client import AUTHORIZED, UNKNOWN, VISA, Client, Json, Reply, Service, amount_of, payment, refused

PATH = "/pts/v2/payments"
MERCHANT = "enveloped"
ALGORITHMS = ["RSA-OAEP-256", "A256GCM"]
ANY = jwe.JWERegistry(algorithms=[*ALGORITHMS, "DEF", "A128GCM", "RSA-OAEP"], strict_check_header=False)


@dataclass(frozen=True)
class Shop:
    """A merchant that encrypts: the gateway's key as its key store has it, and the key that answers come to."""

    till: Client
    gateways: RSAKey
    kid: str
    own: RSAKey
    own_kid: str

    def seal(self, document: object, key: RSAKey | None = None, **header: object) -> bytes:
        """A request's body in its envelope; header members may be changed, or left out by None."""
        named = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": self.kid, "iat": int(time.time())} | header
        protected = {name: value for name, value in named.items() if value is not None}
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        token = jwe.encrypt_compact(protected, text, key or self.gateways, registry=ANY)
        return json.dumps({"encryptedRequest": token}).encode()

    def send(self, method: str, path: str, body: bytes = b"", kid: str | None = None, **headers: str) -> Reply:
        """With a token that wants its answer encrypted, where a kid is named; as it came, so without a look at it."""
        sent = {**self._token(method, path, body, kid), "content-type": "application/json;charset=utf-8"}
        answer = self.till.service.http.request(method, path, content=body, headers=sent | headers)
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def open(self, reply: Reply) -> Json:
        assert list(reply.json) == ["encryptedResponse"]
        opened = jwe.decrypt_compact(
            reply.json["encryptedResponse"],
            self.own,
            registry=jwe.JWERegistry(algorithms=ALGORITHMS, strict_check_header=False),
        )
        assert opened.protected["kid"] == self.own_kid
        assert opened.plaintext is not None
        document = json.loads(opened.plaintext)
        assert isinstance(document, dict)
        return document

    def _token(self, method: str, path: str, body: bytes, kid: str | None) -> dict[str, str]:
        key_id, secret = self.till.service.secrets[MERCHANT]
        now = int(time.time())
        claims: Json = {
            "iat": now,
            "exp": now + 120,
            "request-method": method,
            "request-host": f"127.0.0.1:{self.till.service.port}",
            "request-resource-path": path,
            "iss": MERCHANT,
            "jti": str(uuid.uuid4()),
            "v-c-jwt-version": "2",
            "v-c-merchant-id": MERCHANT,
        }
        if body:
            claims |= {"digest": base64.b64encode(hashlib.sha256(body).digest()).decode(), "digestAlgorithm": "SHA-256"}
        claims |= {"v-c-response-mle-kid": kid} if kid is not None else {}
        parts = ({"kid": key_id, "alg": "HS256", "typ": "JWT"}, claims)
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        mac = base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256")).rstrip(b"=").decode()
        return {"authorization": f"Bearer {text}.{mac}"}


@pytest.fixture(scope="module")
def shop(service: Service) -> Shop:
    till = service.merchant(MERCHANT)
    house = service.house
    content = service.run(house.accounts.key_store(MERCHANT, "secret", house.clock()))
    _, own, (gateways,) = pkcs12.load_key_and_certificates(content, b"secret")
    assert own is not None
    assert _named(gateways)[0] == messages.COMMON_NAME
    assert _named(own)[0] == MERCHANT
    public = gateways.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    return Shop(till, RSAKey.import_key(public), _named(gateways)[1], _private(content), _named(own)[1])


def _private(store: bytes) -> RSAKey:
    key, _, _ = pkcs12.load_key_and_certificates(store, b"secret")
    assert isinstance(key, rsa.RSAPrivateKey)
    return RSAKey.import_key(key)


def _named(certificate: x509.Certificate) -> tuple[str, str]:
    name, number = (
        str(certificate.subject.get_attributes_for_oid(oid)[0].value)
        for oid in (x509.NameOID.COMMON_NAME, x509.NameOID.SERIAL_NUMBER)
    )
    return name, number


def test_a_payment_goes_both_ways_in_envelopes(shop: Shop) -> None:
    reply = shop.send("POST", PATH, shop.seal(payment()), shop.own_kid)
    assert reply.status == 201
    paid = shop.open(reply)
    assert paid["status"] == "AUTHORIZED"
    captured = shop.send("POST", f"{PATH}/{paid['id']}/captures", shop.seal(amount_of("102.21")), shop.own_kid)
    assert shop.open(captured)["status"] == "PENDING"
    details = shop.open(shop.send("GET", f"/tss/v2/transactions/{paid['id']}", kid=shop.own_kid))
    assert details["id"] == paid["id"]
    assert shop.till.call("GET", f"{PATH}/{paid['id']}").json["id"] == paid["id"]


def test_one_way_may_be_in_the_clear(shop: Shop) -> None:
    assert shop.send("POST", PATH, shop.seal(payment())).said == AUTHORIZED
    reply = shop.send("POST", PATH, json.dumps(payment()).encode(), shop.own_kid)
    assert shop.open(reply)["status"] == "AUTHORIZED"


def test_an_http_signature_may_cover_an_envelope_too(shop: Shop) -> None:
    assert shop.till.call("POST", PATH, body=shop.seal(payment())).said == AUTHORIZED
    assert shop.till.call("POST", PATH, body=shop.seal(payment(), kid=None)).said == AUTHORIZED


def test_errors_are_encrypted_as_answers_are(shop: Shop) -> None:
    reply = shop.send("POST", PATH, shop.seal({"orderInformation": {}}), shop.own_kid)
    assert (reply.status, shop.open(reply)["reason"]) == (400, "MISSING_FIELD")
    reply = shop.send("POST", PATH, shop.seal(payment()), shop.own_kid, **{"kessai-scenario": "answer-lost"})
    assert (reply.status, shop.open(reply)["reason"]) == (502, "SERVER_TIMEOUT")
    reply = shop.send("GET", f"/tss/v2/transactions/{UNKNOWN}", kid=shop.own_kid)
    assert reply.status == 404
    assert shop.open(reply)
    reply = shop.send("POST", PATH, shop.seal(payment(), RSAKey.generate_key(2048)), shop.own_kid)
    assert (reply.status, shop.open(reply)["reason"]) == (400, "INVALID_DATA")


def test_who_is_not_known_is_told_so_in_the_clear(shop: Shop) -> None:
    body = shop.seal(payment())
    sent = shop._token("POST", PATH, body + b" ", shop.own_kid)
    assert shop.till.send("POST", PATH, body, sent).status == 401


def _bomb(shop: Shop) -> bytes:
    return shop.seal(json.dumps(payment()).encode() + b" " * 10_000_000, zip="DEF")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda shop: shop.seal(payment(), RSAKey.generate_key(2048)), "does not open"),
        (lambda shop: shop.seal(payment(), kid="4711"), "kid"),
        (lambda shop: shop.seal(payment(), kid="x" * 200), "kid"),
        (lambda shop: _with_header(alg="RSA-OAEP-256", enc="A256GCM", kid=17), "header"),
        (lambda shop: _with_header(alg="RSA-OAEP-256", enc="A256GCM", crit=["exp"]), "crit"),
        (lambda shop: _with_header(alg="dir", enc="A256GCM"), "RSA-OAEP-256"),
        (lambda shop: shop.seal(payment(), enc="A128GCM"), "A256GCM"),
        (lambda shop: shop.seal(payment(), alg="RSA-OAEP"), "RSA-OAEP-256"),
        (_bomb, "zip"),
        (lambda shop: shop.seal(payment())[:-12] + b'AAAAAAAAAA"}', "does not open"),
        (lambda shop: b'{"encryptedRequest": "eyJ9.a.b.c.d"}', "header"),
        (lambda shop: b'{"encryptedRequest": "a.b.c"}', "five parts"),
        (lambda shop: b'{"encryptedRequest": 17}', "one member"),
        (lambda shop: shop.seal(payment())[:-1] + b', "other": 1}', "one member"),
        (lambda shop: shop.seal(b"[" * 20_000), "nested"),
        (lambda shop: shop.seal(b"not json"), "JSON"),
        (lambda shop: shop.seal(shop.seal(payment())), None),
    ],
)
def test_what_does_not_open_is_invalid_and_shows_nothing(shop: Shop, spoil: object, reason: str | None) -> None:
    before = len(shop.till.service.logs.getvalue())
    body = spoil(shop)  # type: ignore[operator]
    reply = shop.till.call("POST", PATH, body=body)
    assert reply.said in (refused("INVALID_DATA"), refused("MISSING_FIELD"))
    if reason is not None:
        assert reply.explanation is not None
        assert reason in reply.explanation
    seen = shop.till.service.logs.getvalue()[before:]
    assert seen
    assert not any(part in seen for part in (VISA, "Hanako", "eyJ", "traceback"))


def _with_header(**header: object) -> bytes:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return json.dumps({"encryptedRequest": f"{head}.AAAA.AAAA.AAAA.AAAA"}).encode()


def test_an_answer_for_a_key_that_nobody_registered_is_not_begun(shop: Shop) -> None:
    reply = shop.send("POST", PATH, shop.seal(payment()), "4711")
    assert reply.said == refused("INVALID_DATA")
    assert "v-c-response-mle-kid" in str(reply.explanation)
    other = shop.till.service.till().service.house.accounts.get("kessai_sandbox")
    assert shop.own_kid not in other.keys


def test_an_idempotency_key_is_bound_to_what_is_in_the_envelope(shop: Shop) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    first = shop.send("POST", PATH, shop.seal(payment("77.00")), **key)
    again = shop.send("POST", PATH, shop.seal(payment("77.00")), shop.own_kid, **key)
    assert first.json == shop.open(again)
    assert again.headers["kessai-replayed"] == "true"
    other = shop.send("POST", PATH, shop.seal(payment("78.00")), **key)
    assert other.status == 400


def test_a_certificate_for_answers_signs_nothing_and_can_be_revoked(shop: Shop) -> None:
    accounts, run = shop.till.service.house.accounts, shop.till.service.run
    now = shop.till.service.house.clock()
    made = run(accounts.messages.key_store(MERCHANT, "secret", now))
    run(accounts.add_answer_key(MERCHANT, now, made.certificate, "for-answers"))
    account = accounts.get(MERCHANT)
    assert "for-answers" in account.answer_keys
    assert "for-answers" not in account.keys
    another = Shop(shop.till, shop.gateways, shop.kid, _private(made.content), "for-answers")
    assert another.open(another.send("POST", PATH, another.seal(payment()), "for-answers"))["status"] == "AUTHORIZED"
    with pytest.raises(Refused, match="has, or had, a key"):
        run(accounts.add_answer_key(MERCHANT, now, made.certificate, "for-answers"))
    run(accounts.revoke_key(MERCHANT, "for-answers", now))
    assert another.send("POST", PATH, another.seal(payment()), "for-answers").status == 400


def test_the_pair_is_kept_sealed_and_read_by_whoever_opens_the_installation(shop: Shop) -> None:
    house = shop.till.service.house

    async def read() -> None:
        ((kid, sealed, certificate),) = await house.database.read("message_keys", {})
        assert (kid, bytes(certificate)) == (shop.kid, await house.accounts.messages.certificate(house.clock()))
        private = house.accounts.messages.keys[kid].as_der(private=True)
        assert private not in bytes(sealed)
        other = messages.Messages(house.database, house.vault)
        await other.load()
        assert other.keys[kid].as_der(private=True) == private

    shop.till.service.run(read())
