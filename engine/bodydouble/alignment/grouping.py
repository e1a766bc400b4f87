"""Work on the frames of a shot that is done in groups of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

TOGETHER = 24
"""Frames of a group: what is done to all of them at once is then worth its calls, and still small."""


def by_groups(items: Sequence[Item], work: Callable[[Sequence[Item]], Result], threads: int = 1) -> list[Result]:
    """What `work` makes of each group of neighbouring items, in their order.

    In one thread if its steps are small: those keep the interpreter, and two threads take longer than one. With one of
    BLAS: for systems of 136 equations its other threads wait at full speed and bring nothing.
    """
    groups = [items[first : first + TOGETHER] for first in range(0, len(items), TOGETHER)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, groups))
