"""Signals that must not come in the middle of something."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def whole() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back until the block has ended; then their own handlers get them. A second one goes
    through at once.

    Elsewhere than in the main thread, where Python lets nobody handle signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) > 1:
            release()
            signal.raise_signal(number)

    def release() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    handlers: dict[int, Any] = {number: signal.signal(number, hold) for number in HELD}
    try:
        yield
    finally:
        release()
    for number in arrived[:1]:
        signal.raise_signal(number)
