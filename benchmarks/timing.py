"""CPU seconds of small deeds, and tables of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    cells: tuple[str, ...]


def table(heads: tuple[str, ...], rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join((row.name, *row.cells)) + " |" for row in rows)])


def cpu_seconds(deed: Callable[[], object], times: int) -> float:
    """The least CPU seconds of the process over some runs, after one that warms up."""
    deed()
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        deed()
        least = min(least, time.process_time() - start)
    return least


def cpu_features() -> tuple[str, ...]:
    """What the CPU has of the instructions that matter here, from plain vectors to matrix tiles; Linux only."""
    info = Path("/proc/cpuinfo")
    told = info.read_text().split() if info.is_file() else []
    return tuple(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in told)


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"
