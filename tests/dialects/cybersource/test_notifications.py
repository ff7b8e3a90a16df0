"""Notifications of this wire: the signature's published vector, ids that come back, tables that agree."""

import base64
import itertools
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.cybersource.test_auth import SECRET_TEXT

from kessai.dialects.cybersource import notifications, webhooks
from kessai.dialects.cybersource.notifications import read_trace, trace_of
from kessai.dialects.cybersource.webhooks import RetryPolicy

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_the_published_vector() -> None:
    signed = notifications.signature("k", base64.b64decode(SECRET_TEXT), 1617830804768, b'{"data":{"id":"1"}}')
    assert signed == "t=1617830804768;keyId=k;sig=aZ1BwB7tQLk2jJejt7iFpPgq3Aq8DNM6oemLxX7PaRo="


@given(st.integers(0, (1 << 63) - 1))
def test_a_trace_id_is_a_uuid_that_leads_back(identifier: int) -> None:
    trace = trace_of(identifier)
    assert read_trace(trace) == identifier
    assert (len(trace), trace[14]) == (36, "8")
    assert trace[19] in "89ab"


@pytest.mark.parametrize("text", ["", "x" * 36, "6f9619ff-8b86-4011-b42d-00c04fc964ff", trace_of(7)[:-1], "-" * 36])
def test_another_text_is_no_trace_id(text: str) -> None:
    assert read_trace(text) is None


def test_every_event_has_a_product() -> None:
    told = set(itertools.chain.from_iterable(notifications.EVENTS.values()))
    assert told <= set(notifications.PRODUCT_OF)


@pytest.mark.parametrize(
    ("policy", "minutes"),
    [
        (RetryPolicy(first=1, interval=1, retries=3), [1, 2, 3, None]),
        (RetryPolicy(first=10, interval=30, retries=3), [10, 40, 70, None]),
        (RetryPolicy(algorithm="GEOMETRIC", first=10, interval=30, retries=3), [10, 300, 9000, None]),
        (RetryPolicy(first=5, interval=5, retries=2, repeats=2, repeat_wait=60), [5, 10, 65, 10, 65, 10, None]),
        (RetryPolicy(retries=0), [None]),
        (RetryPolicy(algorithm="GEOMETRIC", first=10, interval=1000, retries=90), [10, 10_000, 10_080, 10_080]),
    ],
)
def test_waits_are_those_of_the_policy(policy: RetryPolicy, minutes: list[int | None]) -> None:
    waits = [policy.wait(tries) for tries in range(1, len(minutes) + 1)]
    assert waits == [each * MINUTE if each is not None else None for each in minutes]


def test_javascript_signs_the_same_bytes() -> None:
    """Handlers parse the body and write its payload again: the bytes do not change on the way."""
    node = shutil.which("node")
    assert node is not None, "the tests need Node"
    told = {"id": "1", "code": 'a"\\/\b\f\n\t\u0001 é 漢字 \U0001f600 \u2028', "n": ["x", None, True]}
    payload = notifications._encode({"data": told})
    _, body = notifications.notification(
        event="payments.capture.status.accepted",
        webhook_id="w",
        organization_id="o",
        at=NOON,
        trace=trace_of(1),
        retry=0,
        payload=payload,
        key_id="k",
        secret=b"s" * 32,
        sent_ms=1,
    )
    script = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).payload))"
    said = subprocess.run([node, "-e", script], input=body, capture_output=True, check=True, timeout=30).stdout
    again = json.dumps(json.loads(body)["payload"], separators=(",", ":"), ensure_ascii=False)
    assert said == payload == again.encode()


def test_routes_are_matched() -> None:
    for method, path, name, _ in webhooks.ROUTES:
        assert webhooks.match(method, path.replace("{id}", "abc")) == (name, "abc" if "{id}" in path else "")
    assert webhooks.match("GET", "/kms/egress/v2/keys-sym") == frozenset({"POST"})
    assert webhooks.match("GET", "/kms/egress/v2/keys-other") == frozenset()
