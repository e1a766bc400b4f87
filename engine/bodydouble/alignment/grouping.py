"""Work on the frames of a shot that is done in groups of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

TOGETHER = 16
"""Frames of a group, a matter of memory."""


def by_groups(items: Sequence[Item], work: Callable[[Sequence[Item]], Result]) -> list[Result]:
    """What `work` makes of each group of neighbouring items, in their order.

    In one thread: many small steps keep the interpreter, and two threads take longer than one. Of BLAS, too: for
    systems of 136 equations its other threads wait at full speed and bring nothing.
    """
    with threadpool_limits(1, user_api="blas"):
        return [work(items[first : first + TOGETHER]) for first in range(0, len(items), TOGETHER)]
