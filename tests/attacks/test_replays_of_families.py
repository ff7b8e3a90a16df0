"""A signature is for one request, whatever that is about: payments, tokens, subscriptions and the sandbox's clock have
their memories apart, and still no token is good for two of them. R-51, R-52, A-16."""

import base64
import hashlib
import itertools
import json
import uuid
from collections.abc import Mapping
from typing import Final

import pytest

from kessai import books, verify
from tests.acceptance.client import Client, Json, Reply, Service, payment
from tests.acceptance.test_authentication import FAILED, tokens
from tests.recurring.shop import plan

FAMILIES: Final[Mapping[str, tuple[str, Json]]] = {
    "a payment": ("/pts/v2/payments", payment()),
    "a token": ("/tms/v2/customers", {}),
    "a plan": ("/rbs/v1/plans", plan()),
    "the clock": ("/sandbox/v1/clock", {"advance": "1s"}),
}


@pytest.fixture(scope="module", params=["allow", "answer", "refuse"])
def crossing(service: Service, request: pytest.FixtureRequest) -> Client:
    """A merchant for each way to take exact repeats."""
    return service.merchant(f"crossing_{request.param}", exact_repeat=request.param)


def ask(client: Client, family: str, jti: str) -> Reply:
    path, document = FAMILIES[family]
    body = json.dumps(document).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = tokens(client, jti=jti, digest=digest, **{"request-resource-path": path})
    return client.send("POST", path, body, headers)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FAMILIES, 2)))
def test_a_jti_of_another_family_is_used(service: Service, crossing: Client, first: str, second: str) -> None:
    once = str(uuid.uuid4())
    assert ask(crossing, first, once).status in (200, 201)
    again = ask(crossing, second, once)
    assert (again.status, again.body) == (401, FAILED)
    assert ask(crossing, second, str(uuid.uuid4())).status in (200, 201), "a fresh one is good"


@pytest.mark.parametrize("second", [family for family in FAMILIES if family != "a plan"])
def test_a_jti_of_a_request_that_did_nothing_is_free(crossing: Client, second: str) -> None:
    """What was refused leaves nothing behind (R-10)."""
    once = str(uuid.uuid4())
    body = b"{}"
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = tokens(crossing, jti=once, digest=digest, **{"request-resource-path": "/rbs/v1/plans"})
    assert crossing.send("POST", "/rbs/v1/plans", body, headers).status == 400
    assert ask(crossing, second, once).status in (200, 201)


def test_every_claim_names_what_is_there(service: Service, crossing: Client) -> None:
    """`kessai verify` finds what each of them made."""
    for family in FAMILIES:
        assert ask(crossing, family, str(uuid.uuid4())).status in (200, 201)

    async def look() -> list[books.Finding]:
        return [finding async for finding in verify._claims(service.house.database, crossing.merchant)]

    assert service.run(look()) == []
