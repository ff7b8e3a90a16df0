"""Processes: start what is measured, on a core of its own where that is wanted, and read what it used from /proc."""

import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STOP_S: Final = 60
_SETTLE_S: Final = 1.5
"""A gateway connects to its database again within a second."""


class Failed(Exception):
    """The bench cannot go on, or its figures would mean nothing; one sentence."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a process and its descendants used: CPU seconds since they began, resident bytes now."""

    cpu_s: float
    rss: int


def tree(root: int) -> list[int]:
    """A process and its living descendants."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children[int(fields[1])].append(int(entry.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def used(roots: Sequence[int]) -> Use:
    """The sum over the trees of some processes; a child that ended counts where its parent waited for it."""
    cpu = pages = 0
    for root in roots:
        for pid in tree(root):
            fields = _stat(pid)
            if fields:
                cpu += sum(int(fields[at]) for at in (11, 12, 13, 14))  # utime, stime and those of children
                pages += int(fields[21])
    return Use(cpu / _TICKS, pages * os.sysconf("SC_PAGE_SIZE"))


def resident() -> int:
    """Resident bytes of this process."""
    return int(_stat(os.getpid())[21]) * os.sysconf("SC_PAGE_SIZE")


def machine_cpu_s() -> float:
    """CPU seconds that the whole machine has worked since it began."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, (_PROC / "stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq) / _TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; empty where the process has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def start(
    command: Sequence[str], log: Path, core: int | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a program whose first line on standard output says that it is ready; its errors go to a file."""
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    with log.open("ab") as errors:
        return subprocess.Popen(
            [*pinned, *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(os.environ) | dict(environment or {}),
        )


def first_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait(_STOP_S)
        told = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise Failed(f"{' '.join(map(str, process.args))} did not start: {' '.join(told)}")  # type: ignore[arg-type]
    return line


def stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def stopped(root: int) -> Iterator[None]:
    """A process and its descendants stand still until the end of the block, and have a moment to find their feet then:
    whatever they waited for is overdue, and connections are made again."""
    pids = tree(root)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(_SETTLE_S)


def succeeds(command: Sequence[str], within_s: float) -> bool:
    """Whether a command ends well, tried again and again."""
    deadline = time.monotonic() + within_s
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
