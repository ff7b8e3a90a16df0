"""Repeats of what was signed: a message that comes again moves no money a second time, where its merchant says so."""

import base64
import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.acceptance.client import AUTHORIZED, Client, Reply, Service, payment
from tests.acceptance.test_authentication import BODY, PATH, tokens
from tests.attacks.harm import FAILED, nothing_moves

JSON = {"content-type": "application/json"}


@pytest.fixture
def answering(service: Service) -> Client:
    """A merchant whose exact repeats are answered with the stored result, as every live one's are."""
    return service.merchant("answering", exact_repeat="answer")


@pytest.fixture
def refusing(service: Service) -> Client:
    return service.merchant("refusing", exact_repeat="refuse")


def test_an_exact_repeat_has_the_stored_answer_and_moves_nothing(service: Service, answering: Client) -> None:
    """A-9, R-52."""
    for headers in (answering.signed("POST", PATH, BODY) | JSON, tokens(answering)):
        first = answering.send("POST", PATH, BODY, headers)
        assert first.said == AUTHORIZED
        with nothing_moves(service, None):
            again = answering.send("POST", PATH, BODY, headers)
        assert (again.status, again.body) == (first.status, first.body)
        assert ("kessai-replayed" in first.headers, again.headers["kessai-replayed"]) == (False, "true")


def test_an_exact_repeat_is_refused_where_the_merchant_wants_it_so(service: Service, refusing: Client) -> None:
    """A-9, A-16, R-52."""
    for headers in (refusing.signed("POST", PATH, BODY) | JSON, tokens(refusing)):
        assert refusing.send("POST", PATH, BODY, headers).said == AUTHORIZED
        with nothing_moves(service, "authentication.failed"):
            assert refusing.send("POST", PATH, BODY, headers).body == FAILED


def test_a_test_merchants_repeat_is_a_payment_of_its_own_unless_it_is_a_token(service: Service, till: Client) -> None:
    """A-9, A-16, R-51: one-second dates let two wanted identical requests look alike; a jti never does."""
    headers = till.signed("POST", PATH, BODY) | JSON
    first, second = (till.send("POST", PATH, BODY, headers) for _ in range(2))
    assert first.said == second.said == AUTHORIZED
    assert first.id != second.id
    token = tokens(till)
    assert till.send("POST", PATH, BODY, token).said == AUTHORIZED
    with nothing_moves(service, "authentication.failed"):
        assert till.send("POST", PATH, BODY, token).body == FAILED


def test_a_jti_with_another_body_is_refused(service: Service, answering: Client) -> None:
    """A-16: also where repeats are answered, only the repeat itself is."""
    once = str(uuid.uuid4())
    assert answering.send("POST", PATH, BODY, tokens(answering, jti=once)).said == AUTHORIZED
    other = json.dumps(payment("1.00")).encode()
    digest = base64.b64encode(hashlib.sha256(other).digest()).decode()
    with nothing_moves(service, "authentication.failed"):
        reply = answering.send("POST", PATH, other, tokens(answering, jti=once, digest=digest))
        assert reply.body == FAILED


@pytest.mark.parametrize("kind", ["signature", "token"])
def test_of_many_repeats_at_once_one_is_executed(service: Service, answering: Client, kind: str) -> None:
    """A-9, A-43: the others have its answer, or hear that it runs."""
    body = json.dumps(payment("77.00")).encode() if kind == "signature" else BODY
    headers = tokens(answering) if kind == "token" else answering.signed("POST", PATH, body) | JSON
    barrier = Barrier(12)

    def send(_: int) -> Reply:
        barrier.wait()
        return answering.send("POST", PATH, body, headers)

    before = len(service.book().held)
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(send, range(12)))
    assert {reply.status for reply in replies} <= {201, 409}
    assert len({reply.id for reply in replies if reply.status == 201}) == 1
    assert len(service.book().held) == before + 1


def test_a_repeat_under_another_merchants_name_is_nobodys(service: Service, answering: Client) -> None:
    """A-9, A-10."""
    headers = answering.signed("POST", PATH, BODY) | JSON
    assert answering.send("POST", PATH, BODY, headers).said == AUTHORIZED
    with nothing_moves(service, "authentication.failed"):
        assert answering.send("POST", PATH, BODY, headers | {"v-c-merchant-id": "refusing"}).body == FAILED
