"""Counters of one process, and the text that Prometheus reads (exposition format 0.0.4). Pure but for `Process`.

Whoever is on the road adds to plain integers; the text is made when somebody asks. Names say what is counted and end in
their unit. Labels are names of our own tables: no merchant, no card, no amount is ever among them.
"""

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

REQUEST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0)
GROUP: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the histograms, in seconds and in writes."""


class Histogram:
    """How often a value fell into each bucket, and the sum of all values."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """What one process has counted since it started."""

    __slots__ = (
        "authentication_failures",
        "commit_seconds",
        "commit_writes",
        "exchange_seconds",
        "limited",
        "outcomes",
        "refused",
        "replays",
        "request_seconds",
        "requests",
    )

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        """By the kind of route and the HTTP status."""
        self.request_seconds: dict[str, Histogram] = {}
        """By the kind of route; from the whole request read to the answer written."""
        self.outcomes: dict[tuple[str, str], int] = {}
        """Concluded transactions by operation and status."""
        self.exchange_seconds = Histogram(REQUEST_S)
        self.commit_writes = Histogram(GROUP)
        self.commit_seconds = Histogram(COMMIT_S)
        self.replays = 0
        self.authentication_failures: dict[str, int] = {}
        """By reason."""
        self.limited: dict[str, int] = {}
        """Requests over a limit on their rate (429), by the limit."""
        self.refused = 0
        """New payments turned away because the disk is nearly full (R-22)."""

    def request(self, kind: str, status: int, seconds: float) -> None:
        """One answered request."""
        key = (kind, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        histogram = self.request_seconds.get(kind)
        if histogram is None:
            histogram = self.request_seconds[kind] = Histogram(REQUEST_S)
        histogram.add(seconds)

    def outcome(self, operation: str, status: str) -> None:
        key = (operation, status)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def exchange(self, seconds: float) -> None:
        """One exchange with an acquirer, answered or not."""
        self.exchange_seconds.add(seconds)

    def commit(self, writes: int, seconds: float) -> None:
        """One durable commit of so many writes."""
        self.commit_writes.add(writes)
        self.commit_seconds.add(seconds)

    def authentication_failed(self, reason: str) -> None:
        self.authentication_failures[reason] = self.authentication_failures.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class Gauge:
    """One value as it stands now."""

    name: str
    meaning: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def render(metrics: Metrics, gauges: Iterable[Gauge]) -> str:
    """Everything as text."""
    return "\n".join((*_counters(metrics), *_gauges(gauges), ""))


def _counters(metrics: Metrics) -> Iterator[str]:
    yield from _family("kessai_requests_total", "Answered requests.", "counter")
    for (kind, status), count in sorted(metrics.requests.items()):
        yield _line("kessai_requests_total", {"kind": kind, "status": str(status)}, count)
    yield from _family("kessai_request_seconds", "Time from a request to its answer.", "histogram")
    for kind, histogram in sorted(metrics.request_seconds.items()):
        yield from _histogram("kessai_request_seconds", histogram, {"kind": kind})
    yield from _family("kessai_outcomes_total", "Concluded transactions.", "counter")
    for (operation, status_name), count in sorted(metrics.outcomes.items()):
        yield _line("kessai_outcomes_total", {"operation": operation, "status": status_name}, count)
    for name, meaning, histogram in (
        ("kessai_exchange_seconds", "Exchanges with acquirers.", metrics.exchange_seconds),
        ("kessai_commit_seconds", "Durable commits.", metrics.commit_seconds),
        ("kessai_commit_writes", "Writes that shared a commit.", metrics.commit_writes),
    ):
        yield from _family(name, meaning, "histogram")
        yield from _histogram(name, histogram, {})
    yield from _family("kessai_replays_total", "Requests told what an earlier one was told.", "counter")
    yield _line("kessai_replays_total", {}, metrics.replays)
    yield from _family("kessai_refused_for_space_total", "New payments refused on a full disk.", "counter")
    yield _line("kessai_refused_for_space_total", {}, metrics.refused)
    yield from _family("kessai_authentication_failures_total", "Requests of nobody known.", "counter")
    for reason, count in sorted(metrics.authentication_failures.items()):
        yield _line("kessai_authentication_failures_total", {"reason": reason}, count)
    yield from _family("kessai_limited_total", "Requests over a limit on their rate.", "counter")
    for limit, count in sorted(metrics.limited.items()):
        yield _line("kessai_limited_total", {"limit": limit}, count)


def _gauges(gauges: Iterable[Gauge]) -> Iterator[str]:
    told = ""
    for gauge in gauges:
        if gauge.name != told:
            told = gauge.name
            yield from _family(told, gauge.meaning, "counter" if told.endswith("_total") else "gauge")
        yield _line(gauge.name, dict(gauge.labels), gauge.value)


def _family(name: str, meaning: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _histogram(name: str, histogram: Histogram, labels: Mapping[str, str]) -> Iterator[str]:
    count = 0
    for bound, found in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        count += found
        yield _line(f"{name}_bucket", {**labels, "le": str(bound)}, count)
    yield _line(f"{name}_sum", labels, histogram.total)
    yield _line(f"{name}_count", labels, count)


_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    named = ",".join(f'{label}="{text.translate(_ESCAPED)}"' for label, text in labels.items())
    return f"{name}{{{named}}} {value}" if named else f"{name} {value}"


class Process:
    """This process, as the system sees it. Where the system has no `proc` files, less is told."""

    def __init__(self) -> None:
        self._started_at = time.time()
        self._page_bytes = resource.getpagesize()

    def gauges(self) -> Iterator[Gauge]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        yield Gauge("process_cpu_seconds_total", "Processor time, user and system.", round(cpu_s, 3))
        yield Gauge("process_start_time_seconds", "When the process started, Unix time.", round(self._started_at, 3))
        statm, descriptors = Path("/proc/self/statm"), Path("/proc/self/fd")
        if statm.exists():
            resident = int(statm.read_text("ascii").split()[1]) * self._page_bytes
            yield Gauge("process_resident_memory_bytes", "Resident memory.", resident)
            yield Gauge("process_open_fds", "Open file descriptors.", len(os.listdir(descriptors)))
