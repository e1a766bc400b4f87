"""The frames of a plate in order, as they are looked at; the next ones are read while one is measured."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice

from bodydouble.alignment.views import PlateViews
from bodydouble.plates.glances import Glance, Rows
from bodydouble.plates.images import shared_threads
from bodydouble.plates.plate import Plate
from bodydouble.plates.reading import look_at_frame
from bodydouble.plates.sequences import PlateSequence

FIRST_AHEAD, AHEAD = 8, 6
"""Frames that are read, or wait to be measured, at first and while one is measured; each is read in a thread of its
own. The models load in the time of eight, and a frame that the detector looks at takes as long as four to six."""
NICENESS = 6
"""By how much reading comes after measuring where cores are few: that has the longer way to go."""


def read_ahead(
    plate: PlateSequence,
    frames: Sequence[int],
    views_of: Callable[[Plate | Glance], PlateViews],
    rows_of: Callable[[int], Rows | None],
    meanwhile: Callable[[], None],
) -> Iterator[tuple[int, Future[PlateViews]]]:
    """The frames in order, each with its views, read; asking for those raises PlateError where they could not be.

    `rows_of`: the rows of a frame that will be looked at, as far as one knows when its turn to be read comes; None for
    all. The others are read when they are wanted, which may raise PlateError then. `meanwhile`: done once, while the
    first frames are read; what it raises comes through.
    """

    def read(frame: int, rows: Rows | None) -> PlateViews:
        picture = look_at_frame(plate, frame)
        if isinstance(picture, Glance):
            picture.look((0, picture.height) if rows is None else rows)
        views = views_of(picture)
        _ = views.small  # with it the exposure: it is there when the caller asks
        return views

    with shared_threads(AHEAD), ThreadPoolExecutor(FIRST_AHEAD, initializer=_come_after) as readers:
        coming = iter(frames)
        ahead = deque((frame, readers.submit(read, frame, None)) for frame in islice(coming, FIRST_AHEAD))
        try:
            if ahead:
                meanwhile()
            while ahead:
                found = ahead.popleft()
                wait(found[1:])
                for later in islice(coming, max(0, AHEAD - len(ahead))):
                    ahead.append((later, readers.submit(read, later, rows_of(later))))
                yield found
        finally:
            for _, pending in ahead:
                pending.cancel()


def _come_after() -> None:
    """Let the other threads of this process go before this one. Only Linux has a priority for each thread."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICENESS)
