"""What SIGINT and SIGTERM do: unwind, so that nothing half-written stays; and end, too, where that takes too long."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from bodydouble_cli.exits import INTERRUPTED, TERMINATED, Terminated

PATIENCE_S = 20.0
"""Time for the frame at hand: a farm kills what has not ended within 30 seconds."""


def catch_signals() -> None:
    """Installs the handlers, for the life of the process."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _interrupt)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _give_up_after(PATIENCE_S, TERMINATED)
    raise Terminated


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # The second Ctrl-C of somebody who does not want to wait.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    _give_up_after(PATIENCE_S, INTERRUPTED)
    raise KeyboardInterrupt


def _give_up_after(seconds: float, code: int) -> None:
    """End the process whatever it waits for, such as a disk that is gone."""

    def give_up() -> None:
        os.write(2, b"bodydouble: something does not answer; ended without waiting for it.\n")
        os._exit(code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
