"""Work on the frames of a shot that is done in groups of frames, two groups at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TOGETHER, THREADS = 16, 2
"""Frames of a group, a matter of memory, and threads that each take a group at a time."""


def by_groups(items: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> list[Result]:
    """What `work` makes of each group of neighbouring items, in their order."""
    groups = [items[first : first + TOGETHER] for first in range(0, len(items), TOGETHER)]
    with ThreadPoolExecutor(THREADS) as workers:
        return list(workers.map(work, groups))
