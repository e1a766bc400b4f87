"""CPU seconds of small deeds, and tables of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


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


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"
