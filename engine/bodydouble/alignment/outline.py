"""The outer line of a face: the jaw's landmarks and an arc over the forehead.

The 68 landmarks end at the brows; a face does not. The forehead is the skull's: it neither frowns nor talks. So its
line is fixed in the aligned crop, between a curve over the brows and the mean hairline of 71 people (tuned on every
second of them, see docs/alignment.md), and only turns with the head. In time it moves as the shot's alignment does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, unit_from_landmarks

Points = NDArray[np.float64]

HAIRLINE_FOREHEAD = 1.5
"""`forehead` of the mean hairline. Hairlines vary by 0.15 (standard deviation), and at 1 nearly all are left alone."""
MAX_GROW = 0.1
"""Growing and shrinking further than this share of the crop would fold the line."""
_HAIRLINE: Points = np.array(
    [
        (0.2184, 0.1572), (0.2470, 0.0684), (0.3089, 0.0119), (0.3977, -0.0107), (0.5000, -0.0078),
        (0.6023, -0.0107), (0.6911, 0.0119), (0.7530, 0.0684), (0.7816, 0.1572),
    ]
)  # fmt: skip
_STEPS = 4  # points of the arc per control point


def face_outline(landmarks: ArrayLike, forehead: float = 0.6, grow: float = 0.0) -> Points:
    """The face's outline as a (K, 2) polygon in the landmarks' own coordinates, clockwise on screen.

    `landmarks`: (68, 2), iBUG order, y down. `forehead`: how much of the forehead belongs to the face: 0 ends at the
    brows, 1.5 at the hairline of most people. `grow`: how far the whole line is moved outwards (inwards below 0), in
    sides of the aligned crop, at most 0.1 either way. The polygon starts at one end of the jaw (0), goes over the
    forehead to the other (16) and back along the jaw. Raises ValueError on a wrong shape, a `forehead` outside 0..1.5
    or a `grow` outside ±0.1.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"need (68, 2) landmarks, got {points.shape}")
    if not 0.0 <= forehead <= HAIRLINE_FOREHEAD:
        raise ValueError(f"forehead must be in 0..1.5, got {forehead}")
    if not -MAX_GROW <= grow <= MAX_GROW:
        raise ValueError(f"grow must be in ±{MAX_GROW}, got {grow}")
    unit_from_points = unit_from_landmarks(points)
    unit = apply(unit_from_points, points)
    outline = np.concatenate([_forehead_arc(unit, forehead), unit[15:0:-1]])
    if grow:
        outline = outline + grow * _outwards(outline)
    return apply(np.linalg.inv(unit_from_points), outline)


def _forehead_arc(unit: Points, forehead: float) -> Points:
    """From jaw end 0 to jaw end 16 over the forehead, in the unit crop."""
    share = forehead / HAIRLINE_FOREHEAD
    arc = _BROW_LINE + share * (_HAIRLINE - _BROW_LINE)
    brows = unit[17:27]
    # On a turned head the forehead shifts and narrows as the brows do.
    x = np.polynomial.Polynomial.fit(CANONICAL_LANDMARKS[17:27, 0], brows[:, 0], 1)(arc[:, 0])
    y = np.minimum(arc[:, 1], _over(brows, x))  # raised brows stay inside
    return _smooth_line(np.concatenate([unit[:1], np.stack([x, y], axis=1), unit[16:17]]))


def _over(brows: Points, x: Points) -> Points:
    """y at `x` of the parabola of (10, 2) brow landmarks, lifted until none lies over it."""
    parabola = np.polynomial.Polynomial.fit(brows[:, 0], brows[:, 1], 2)
    return np.asarray(parabola(x) - np.max(parabola(brows[:, 0]) - brows[:, 1]))


def _brow_line() -> Points:
    """(9, 2) the curve over the brows of the canonical face, below the points of the hairline."""
    brows = CANONICAL_LANDMARKS[17:27]
    x = np.linspace(brows[0, 0], brows[-1, 0], len(_HAIRLINE))
    return np.stack([x, _over(brows, x)], axis=1)


_BROW_LINE = _brow_line()


def _outwards(outline: Points) -> Points:
    """(K, 2) unit normals of a clockwise polygon's corners, pointing out."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    return np.stack([along[:, 1], -along[:, 0]], axis=1)


def _smooth_line(control: Points) -> Points:
    """A Catmull-Rom spline through (N, 2) control points, `_STEPS` points per span, both ends included."""
    padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    p0, p1, p2, p3 = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]  # N-1, 1, 2
    t = (np.arange(_STEPS) / _STEPS)[None, :, None]  # 1, STEPS, 1
    spans = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([spans.reshape(-1, 2), control[-1:]])
