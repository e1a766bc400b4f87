"""Shot changes within a plate: nothing is followed or smoothed across them.

Each frame is kept as a small grey picture. Where one correlates with the one before far less than the pairs of frames
around do with each other, the shot changes: a fast turn or a pan lowers several pairs, a flash two, a cut one. The
correlation does not see exposure.
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


def small_picture(image_u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole H×W×3 picture as an h×`COLUMNS` grey one."""
    stride = max(1, image_u8.shape[1] // (4 * COLUMNS))
    sparse = image_u8[::stride, ::stride]
    rows = max(1, round(COLUMNS * sparse.shape[0] / sparse.shape[1]))
    small = shrink(sparse, rows, COLUMNS) @ np.array([0.299, 0.587, 0.114])
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
