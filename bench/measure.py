"""One measurement: a file of requests, wrk for some seconds, and what the server used meanwhile."""

import json
import resource
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from bench import load, processes
from bench.gateway import CLIENT_CORE, Gateway
from bench.processes import Failed

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_ROOM: Final = 1.4
"""How many times the expected number of requests is signed."""

Requests = Callable[[int], Iterable[bytes]]
"""Signed now, so that they hold through the run: as many as are asked for, or fewer where there is nothing to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came out of a run. Times of single requests are as the client saw them."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float
    """Server CPU per request, the database's processes included."""
    rss_before: int
    """Resident bytes of the gateway's processes, after the warm-up."""
    rss_after: int
    others: float
    """Cores that were busy with neither server nor client: above a tenth, times and rates say little."""


def run(
    gateway: Gateway, requests: Requests, *, per_second: float, connections: int, seconds: int, work: Path
) -> Figures:
    """Measure, with distinct requests enough for `per_second` and more; Failed where one was not done."""
    for room in (_ROOM, 3 * _ROOM):
        found = _run(gateway, requests, int(per_second * seconds * room) + 2 * connections, connections, seconds, work)
        if found is not None:
            return found
    raise Failed(f"the prepared requests did not last {seconds} s: the server got faster than {per_second:.0f}/s")


def _run(
    gateway: Gateway, requests: Requests, count: int, connections: int, seconds: int, work: Path
) -> Figures | None:
    """None where the requests ran out."""
    file = work / "requests"
    load.write(file, islice(requests(count), count))
    pinned = [] if gateway.core is None else ["taskset", "--cpu-list", str(CLIENT_CORE)]
    wrk = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"]
    command = [*pinned, *wrk, f"--script={_SCRIPT}", f"http://{gateway.address}", "--", str(file)]
    roots = (gateway.pid, *gateway.engine)
    before, machine, clients = processes.used(roots), processes.machine_cpu_s(), _clients_cpu_s()
    rss = processes.used((gateway.pid,)).rss
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    after = processes.used(roots)
    elsewhere = processes.machine_cpu_s() - machine - (_clients_cpu_s() - clients) - (after.cpu_s - before.cpu_s)
    file.unlink()
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines or not lines[-1].startswith("{"):
        raise Failed(f"wrk failed: {(ended.stderr or ended.stdout).strip()}")
    told = json.loads(lines[-1])
    if told["spent"]:
        return None
    if told["refused"] or told["broken"] or not told["requests"]:
        raise Failed(f"{told['refused']} of {told['requests']} requests were refused and {told['broken']} broke")
    return Figures(
        requests=told["requests"],
        per_second=told["requests"] / told["us"] * 1e6,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        max_ms=told["max_us"] / 1e3,
        cpu_us=(after.cpu_s - before.cpu_s) / told["requests"] * 1e6,
        rss_before=rss,
        rss_after=processes.used((gateway.pid,)).rss,
        others=max(0.0, elsewhere / (told["us"] / 1e6)),
    )


def _clients_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
