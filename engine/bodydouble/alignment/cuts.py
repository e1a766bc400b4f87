"""Shot changes within a plate: nothing is followed or smoothed across them.

Each frame is kept as a small grey picture, made of strips of rows that are spread over it: so a frame of which only
some rows are read is told from its neighbours as a whole one is. Where one correlates with the one before far less than
the pairs of frames around do with each other, the shot changes: a fast turn or a pan lowers several pairs, a flash two,
a cut one. The correlation does not see exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import shrink

COLUMNS = 48
"""Width of a small picture in pixels."""
CHANGE = 0.04
"""1 - correlation below which nothing is a cut. Dialogue has 0.02, a fast turn 0.12, another shot 0.3 and more."""
PEAK = 4.0
"""How far a cut stands out from the pairs of frames before and after it."""
STRIPS, STRIP_ROWS = 16, 16
"""About how many strips of a picture are looked at, and how many rows each has: most files pack so many rows together,
and unpack all of them or none."""
EVERY_ROW = 4
"""Only every so many-th row of a strip is looked at."""


def strips(height: int) -> list[tuple[int, int]]:
    """(first row, end) of the strips of a picture of so many rows, evenly spread."""
    apart = max(1, round(height / (STRIPS * STRIP_ROWS))) * STRIP_ROWS
    first = apart // (2 * STRIP_ROWS) * STRIP_ROWS
    return [(top, min(top + STRIP_ROWS, height)) for top in range(first, height, apart)]


def small_picture(strips_u8: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """So many strips of a picture, one below the other, H×W×3, as a grey one of `COLUMNS` columns.

    It has a row for two strips, which are blurred into each other: what crosses a strip changes one, not a row.
    """
    stride = max(1, strips_u8.shape[1] // (4 * COLUMNS))
    small = shrink(strips_u8[:, ::stride], max(1, count // 2), COLUMNS) @ np.array([0.299, 0.587, 0.114])
    return np.rint(small).astype(np.uint8)


def shot_changes(pictures: Mapping[int, NDArray[np.uint8]]) -> tuple[int, ...]:
    """The frames that begin a new shot, of frame → small picture."""
    frames = sorted(pictures)
    changes = np.array([picture_change(pictures[a], pictures[b]) for a, b in pairwise(frames)])
    around = np.pad(changes, 1)
    neighbours = np.maximum(around[:-2], around[2:])
    cut = (changes > CHANGE) & (changes > PEAK * neighbours)
    return tuple(frame for frame, is_cut in zip(frames[1:], cut, strict=True) if is_cut)


def picture_change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """1 - normalised correlation of two pictures of one size; pictures without any contrast do not differ."""
    a, b = one - one.mean(), other - other.mean()
    contrast = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return 1 - float((a * b).sum()) / contrast if contrast > 0 else 0.0
