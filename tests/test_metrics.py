"""Metrics: what is counted comes out as Prometheus reads it, and costs next to nothing."""

import re
from timeit import repeat

import pytest

from kessai.metrics import COMMIT_S, GROUP, REQUEST_S, Gauge, Histogram, Metrics, Process, render

COST_S = 20e-6
"""The rule is two millionths of a second a request; a busy machine is given ten times that."""


def filled() -> Metrics:
    metrics = Metrics()
    metrics.request("authorize", 201, 0.004)
    metrics.request("authorize", 201, 0.6)
    metrics.request("authorize", 502, 31.0)
    metrics.request("details", 200, 0.001)
    metrics.outcome("authorize", "approved")
    metrics.exchange(0.25)
    metrics.commit(3, 0.0004)
    metrics.replays += 1
    metrics.refused += 2
    metrics.authentication_failed("signature")
    metrics.limited["failures"] = 3
    return metrics


LINES = [
    'kessai_requests_total{kind="authorize",status="201"} 2',
    'kessai_requests_total{kind="authorize",status="502"} 1',
    'kessai_request_seconds_bucket{kind="authorize",le="0.0025"} 0',
    'kessai_request_seconds_bucket{kind="authorize",le="0.005"} 1',
    'kessai_request_seconds_bucket{kind="authorize",le="1.0"} 2',
    'kessai_request_seconds_bucket{kind="authorize",le="30.0"} 2',
    'kessai_request_seconds_bucket{kind="authorize",le="+Inf"} 3',
    'kessai_request_seconds_count{kind="authorize"} 3',
    'kessai_request_seconds_bucket{kind="details",le="0.001"} 1',
    'kessai_outcomes_total{operation="authorize",status="approved"} 1',
    'kessai_exchange_seconds_bucket{le="0.25"} 1',
    "kessai_exchange_seconds_count 1",
    'kessai_commit_writes_bucket{le="2"} 0',
    'kessai_commit_writes_bucket{le="4"} 1',
    'kessai_commit_seconds_bucket{le="0.0005"} 1',
    "kessai_replays_total 1",
    "kessai_refused_for_space_total 2",
    'kessai_authentication_failures_total{reason="signature"} 1',
    'kessai_limited_total{limit="failures"} 3',
    'kessai_up{note="a \\"b\\" \\\\ c"} 1',
]


@pytest.mark.parametrize("line", LINES)
def test_what_was_counted_is_told(line: str) -> None:
    gauge = Gauge("kessai_up", "Up.", 1, (("note", 'a "b" \\ c'),))
    assert line in render(filled(), [gauge]).splitlines()


def test_every_line_has_the_form_of_the_format_and_every_family_is_explained_once() -> None:
    text = render(
        filled(), [*Process().gauges(), Gauge("a", "A.", 1, (("x", "1"),)), Gauge("a", "A.", 2, (("x", "2"),))]
    )
    assert text.endswith("\n")
    types = re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", text, re.MULTILINE)
    names = [name for name, _ in types]
    assert len(names) == len(set(names))
    for line in text.splitlines():
        found = re.fullmatch(r'(# (?:HELP|TYPE) .+)|([a-z_]+)(\{([a-z]+="(?:[^"\\]|\\.)*",?)+\})? [0-9.e+-]+', line)
        assert found is not None, line
        if found[2]:
            assert re.sub(r"_(bucket|sum|count)$", "", found[2]) in names or found[2] in names, line


@pytest.mark.parametrize("bounds", [REQUEST_S, COMMIT_S, tuple(map(float, GROUP))])
def test_a_value_falls_into_the_first_bucket_that_it_does_not_exceed(bounds: tuple[float, ...]) -> None:
    histogram = Histogram(bounds)
    for bound in bounds:
        histogram.add(bound)
    assert histogram.counts == [1] * len(bounds) + [0]
    histogram.add(bounds[-1] * 2)
    assert histogram.counts[-1] == 1


def test_the_process_tells_its_memory_and_time() -> None:
    told = {gauge.name: gauge.value for gauge in Process().gauges()}
    assert told["process_cpu_seconds_total"] > 0
    assert told["process_resident_memory_bytes"] > 10_000_000
    assert told["process_open_fds"] >= 3


def test_counting_a_request_costs_next_to_nothing() -> None:
    metrics = Metrics()
    rounds = 2_000
    best = min(repeat(lambda: metrics.request("authorize", 201, 0.003), number=rounds, repeat=5))
    assert best / rounds < COST_S
    assert metrics.requests["authorize", 201] == 5 * rounds
