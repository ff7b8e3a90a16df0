"""Who may call: signatures and tokens as real clients make them, and the one answer to all who fail."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.client import AUTHORIZED, SIGNED, Client, Service, payment

FAILED = b'{"response":{"rmsg":"Authentication Failed"}}'
BODY = json.dumps(payment()).encode()
PATH = "/pts/v2/payments"
JSON = {"content-type": "application/json"}


def tokens(till: Client, **claims: object) -> dict[str, str]:
    """A version 2 token under the shared secret, with claims changed (None: left out)."""
    key_id, secret = till.service.secrets[till.merchant]
    now = int(time.time())
    said: dict[str, object] = {
        "digest": base64.b64encode(hashlib.sha256(BODY).digest()).decode(),
        "digestAlgorithm": "SHA-256",
        "iat": now,
        "exp": now + 120,
        "request-method": "POST",
        "request-host": f"127.0.0.1:{till.service.port}",
        "request-resource-path": PATH,
        "iss": till.merchant,
        "jti": str(uuid.uuid4()),
        "v-c-jwt-version": "2",
        "v-c-merchant-id": till.merchant,
    }
    said |= {name.replace("_", "-"): value for name, value in claims.items()}
    parts = [{"kid": key_id, "alg": "HS256", "typ": "JWT"}, {k: v for k, v in said.items() if v is not None}]
    head = ".".join(_letters(json.dumps(part).encode()) for part in parts)
    return {"authorization": f"Bearer {head}.{_letters(hmac.digest(secret, head.encode(), 'sha256'))}", **JSON}


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "listed",
    [
        SIGNED,
        ("host", "date", "(request-target)", "digest", "v-c-merchant-id"),
        ("host", "v-c-date", "request-target", "digest", "v-c-merchant-id"),
        ("v-c-merchant-id", "digest", "(request-target)", "date", "host"),
    ],
)
@pytest.mark.parametrize("separator", [" ", ", ", ","])
def test_every_list_that_clients_sign_is_verified_in_its_own_order(
    till: Client, listed: tuple[str, ...], separator: str
) -> None:
    """Cases 2 and 3."""
    headers = till.signed("POST", PATH, BODY, listed=listed, separator=separator)
    assert till.send("POST", PATH, BODY, headers | JSON).said == AUTHORIZED


@pytest.mark.parametrize(
    "listed",
    [SIGNED, ("host", "date", "(request-target)", "digest", "v-c-merchant-id")],
)
def test_a_wrong_secret_fails_with_exactly_the_published_body(till: Client, listed: tuple[str, ...]) -> None:
    """Case 1."""
    headers = till.signed("POST", PATH, BODY, listed=listed, secret=b"another secret of the same sort.")
    reply = till.send("POST", PATH, BODY, headers | JSON)
    assert (reply.status, reply.body) == (401, FAILED)
    assert reply.explanation


def test_a_token_under_the_shared_secret_is_verified(till: Client) -> None:
    """Case 4."""
    assert till.send("POST", PATH, BODY, tokens(till)).said == AUTHORIZED
    lower = tokens(till, request_method="post")
    assert till.send("POST", PATH, BODY, lower).said == AUTHORIZED


def test_a_read_is_signed_without_a_digest(till: Client) -> None:
    """Case 6."""
    made = till.pay().id
    path = f"/tss/v2/transactions/{made}"
    headers = till.signed("GET", path)
    assert "digest" not in headers
    assert till.send("GET", path, b"", headers).status == 200


OTHERS: dict[str, Mapping[str, object]] = {
    "digest of another body": {"digest": base64.b64encode(bytes(32)).decode()},
    "lapsed": {"iat": 1_600_000_000, "exp": 1_600_000_120},
    "another path": {"request_resource_path": "/pts/v2/credits"},
    "another method": {"request_method": "GET"},
    "another merchant": {"v_c_merchant_id": "kessai_vpc"},
    "no digest": {"digest": None},
    "another issuer": {"iss": "kessai_vpc"},
}


@pytest.mark.parametrize("claims", OTHERS.values(), ids=OTHERS.keys())
def test_a_token_whose_claims_do_not_fit_fails(till: Client, claims: Mapping[str, object]) -> None:
    reply = till.send("POST", PATH, BODY, tokens(till, **claims))
    assert (reply.status, reply.body) == (401, FAILED)
    assert reply.explanation


def test_a_token_pays_once(till: Client) -> None:
    once = tokens(till)
    assert till.send("POST", PATH, BODY, once).said == AUTHORIZED
    again = till.send("POST", PATH, BODY, once)
    assert (again.status, again.body) == (401, FAILED)
    assert "jti" in (again.explanation or "")


def _with(headers: dict[str, str], name: str, value: str | None) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k != name} | ({name: value} if value is not None else {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature", None),
        ("signature", "keyid"),
        ("digest", None),
        ("digest", "SHA-256=" + base64.b64encode(bytes(32)).decode()),
        ("v-c-merchant-id", None),
        ("v-c-merchant-id", "kessai_vpc"),
        ("v-c-merchant-id", "nobody"),
    ],
)
def test_a_signed_request_that_was_changed_fails_and_says_why(till: Client, name: str, value: str | None) -> None:
    """Case 5, A-22."""
    reply = till.send("POST", PATH, BODY, _with(till.signed("POST", PATH, BODY) | JSON, name, value))
    assert (reply.status, reply.body) == (401, FAILED)
    assert reply.explanation


def test_another_body_than_the_signed_one_fails(till: Client) -> None:
    """Case 5."""
    reply = till.send("POST", PATH, BODY + b" ", till.signed("POST", PATH, BODY) | JSON)
    assert (reply.status, reply.body) == (401, FAILED)
    assert "digest" in (reply.explanation or "").lower()


def test_another_path_than_the_signed_one_fails(till: Client) -> None:
    reply = till.send("POST", "/pts/v2/payments/", BODY, till.signed("POST", PATH, BODY) | JSON)
    assert (reply.status, reply.body) == (401, FAILED)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_or_future_date_fails(till: Client, minutes: int) -> None:
    headers = till.signed("POST", PATH, BODY, date=datetime.now(UTC) + timedelta(minutes=minutes))
    reply = till.send("POST", PATH, BODY, headers | JSON)
    assert (reply.status, reply.body) == (401, FAILED)
    assert reply.explanation


def test_a_missing_date_is_named(till: Client) -> None:
    reply = till.send("POST", PATH, BODY, _with(till.signed("POST", PATH, BODY) | JSON, "date", None))
    assert reply.status == 401
    assert "date" in reply.json["response"]["rmsg"].lower()


def test_a_key_of_another_merchant_fails(service: Service, till: Client, vpc: Client) -> None:
    headers = till.signed("POST", PATH, BODY)
    key_id = service.secrets[vpc.merchant][0]
    borrowed = headers["signature"].replace(service.secrets[till.merchant][0], key_id)
    assert till.send("POST", PATH, BODY, headers | JSON | {"signature": borrowed}).status == 401


def test_a_revoked_key_fails_from_then_on(service: Service) -> None:
    till = service.merchant("revoked")
    assert till.pay().said == AUTHORIZED
    key_id, _ = service.secrets["revoked"]
    service.run(service.house.accounts.revoke_key("revoked", key_id, service.house.clock()))
    assert till.pay().status == 401
