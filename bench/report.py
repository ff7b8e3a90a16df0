"""What a bench prints: the machine, one table, and what it says against the promises. Pure but for `machine`."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from bench.measure import Figures

COLUMNS = ("engine", "what", "conn.", "per s", "p50 ms", "p99 ms", "max ms", "CPU µs", "RSS MiB", "stored", "others")

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measurement and where it was made."""

    engine: str
    """`sqlite`, `postgresql, 2 workers` …; `no-op` for the server alone."""
    what: str
    connections: int
    stored: int
    """Payments that were there before."""
    figures: Figures
    booked: int = 0
    """Exchanges that the simulated acquirer in the gateway remembered before."""
    unit: int = 1
    """Requests to one of what is counted: an authorization and its capture are 2."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A figure drawn from others, and what it has to be: at least, at most, or nothing in particular."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_kept(self) -> bool:
        return not (
            (self.at_least is not None and self.value < self.at_least)
            or (self.at_most is not None and self.value > self.at_most)
        )


def table(rows: Sequence[Row]) -> str:
    """The measurements, a line each, columns aligned; readable as Markdown."""
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    text = [_line(line, widths) for line in lines]
    text.insert(
        1, "|" + "|".join("-" * (width + 1) + (":" if at > 1 else "-") for at, width in enumerate(widths)) + "|"
    )
    return "\n".join(text)


def _cells(row: Row) -> tuple[str, ...]:
    seen = row.figures
    return (
        row.engine,
        row.what,
        str(row.connections),
        grouped(seen.per_second / row.unit),
        f"{seen.p50_ms:.2f}",
        f"{seen.p99_ms:.2f}",
        f"{seen.max_ms:.1f}",
        f"{seen.cpu_us * row.unit:.0f}",
        f"{seen.rss_before // MEBIBYTE} → {seen.rss_after // MEBIBYTE}",
        grouped(row.stored),
        f"{seen.others:.0%}",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.rjust(width) if at > 1 else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(aligned) + " |"


def remarks(found: Sequence[Remark]) -> str:
    """A line each; what is not as it should be is said in capitals."""
    return "\n".join(f"{remark.name}: {_shown(remark.value)}{_promise(remark)}" for remark in found)


def _promise(remark: Remark) -> str:
    if remark.at_least is None and remark.at_most is None:
        return ""
    word, limit = ("at least", remark.at_least) if remark.at_least is not None else ("at most", remark.at_most)
    assert limit is not None
    return f"  ({word} {_shown(limit)}{'' if remark.is_kept else ': NOT KEPT'})"


def _shown(value: float) -> str:
    return grouped(value) if value >= 100 else f"{value:.3g}"


def grouped(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def machine(folder: Path) -> dict[str, str]:
    """Whatever the figures depend on, in words."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "sqlite": apsw.sqlite_lib_version(),
        "postgresql": _first_line(["postgres", "--version"]),
        "wrk": _first_line(["wrk", "--version"]),
        "sync": f"{sync_us(folder):.0f} µs for a write of 4 KiB (median)",
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in file.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _first_line(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return ((done.stdout or done.stderr).splitlines() or [""])[0].partition("Copyright")[0].strip()


def sync_us(folder: Path) -> float:
    """The median time in which a folder's disk has 4 KiB for good."""
    probe = folder / "probe"
    times = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(101):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    probe.unlink()
    return statistics.median(times) * 1e6
