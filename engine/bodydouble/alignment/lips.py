"""Where dlib's 68-point predictor puts lips and the base of the nose too regularly, and how far off they really are.

It was trained on marks that crowd towards the middle of the mouth and that lie a little low. The error is the same
from face to face, so it can be taken away: `benchmarks/lips.py` measures it on people marked by hand and on rendered
heads, and says how much better others of both become. Only the mouth is moved, which has next to no weight in the crop,
and the one mark under the nose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

LIPS = slice(48, 68)
MOUTH_CORNERS = (48, 54)
NOSE_BASE, NOSE_BASE_DOWN = 33, -0.002
"""Where nose and upper lip meet: people mark it higher than dlib, by so many sides of the crop when renders have half a
vote."""
TURN_MARKS = (30, 36, 45)
"""Tip of the nose and outer corners of the eyes: the tip leaves their middle when the head turns."""
MOST_TURN = 0.1
"""Turn up to which the error was measured: about 45° of yaw."""

# fmt: off
LIP_OFFSETS: Points = np.array(
    [
        (0.006, -0.0027, 0.21), (-0.021, -0.0039, 0.31), (-0.021, -0.0036, 0.17), (0.000, -0.0068, 0.13),
        (0.021, -0.0036, 0.17), (0.021, -0.0039, 0.31), (-0.006, -0.0027, 0.21), (0.038, -0.0043, -0.10),
        (0.063, -0.0035, -0.21), (0.000, -0.0005, -0.12), (-0.063, -0.0035, -0.21), (-0.038, -0.0043, -0.10),
        (-0.003, -0.0019, -0.09), (-0.050, -0.0017, -0.44), (0.000, -0.0017, -0.31), (0.050, -0.0017, -0.44),
        (0.003, -0.0019, -0.09), (0.054, -0.0023, -0.59), (0.000, -0.0021, -0.46), (-0.054, -0.0023, -0.59),
    ]
)
# fmt: on
"""(20, 3) of landmarks 48-67: shift along the mouth in widths of it, shift down in sides of the crop, and what the
first grows by per side of the crop that the nose has turned to the right of the picture."""


def placed_lips(points: Points, side: float, offsets: Points = LIP_OFFSETS) -> Points:
    """Landmarks of dlib's with the lips where people mark them.

    `points`: (..., 68, 2) of upright faces, y down. `side`: of the unit crop, in their unit. `offsets`: see
    `LIP_OFFSETS`.
    """
    nose, left, right = (points[..., mark, :] for mark in TURN_MARKS)
    turn = np.clip((nose - (left + right) / 2)[..., 0] / side, -MOST_TURN, MOST_TURN)
    along = offsets[:, 0] + turn[..., None] * offsets[:, 2]  # ..., 20
    across = (points[..., MOUTH_CORNERS[1], :] - points[..., MOUTH_CORNERS[0], :])[..., None, :]
    result = points.copy()
    result[..., LIPS, :] += along[..., None] * across
    result[..., LIPS, 1] += offsets[:, 1] * side
    return result


def placed_nose_base(points: Points, side: float, down: float = NOSE_BASE_DOWN) -> Points:
    """Landmarks of dlib's with the mark under the nose where people put it; as `placed_lips`."""
    result = points.copy()
    result[..., NOSE_BASE, 1] += down * side
    return result
