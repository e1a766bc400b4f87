"""The outer line of a face: the jaw's landmarks and an arc over the forehead.

The 68 landmarks end at the brows; a face does not. The forehead is added by the rule of facial thirds, which makes the
hairline about as far from the brows as the base of the nose; we stop short of it, because hair must stay the plate's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]

HAIRLINE = 0.6
"""Height of `forehead=1` over the brow landmarks, in distances from the brows to the base of the nose.

The brow landmarks lie on the upper edge of the brows, and hairlines vary: rendered heads have it at 0.5, the rule of
thirds at about 0.85.
"""
_STEPS = 4  # points of the arc per control point


def face_outline(landmarks: ArrayLike, forehead: float = 0.6) -> Points:
    """The face's outline as a (K, 2) polygon in the landmarks' own coordinates, clockwise on screen.

    `landmarks`: (68, 2), iBUG order, y down. `forehead`: how much of the forehead belongs to the face: 0 ends at the
    brows, 1 about at the hairline. The polygon starts at one end of the jaw (0), goes over the forehead to the other
    (16) and back along the jaw. Raises ValueError on a wrong shape or a `forehead` outside 0..1.5.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"need (68, 2) landmarks, got {points.shape}")
    if not 0.0 <= forehead <= 1.5:
        raise ValueError(f"forehead must be in 0..1.5, got {forehead}")
    return np.concatenate([_forehead_arc(points, forehead), points[15:0:-1]])


def _forehead_arc(points: Points, forehead: float) -> Points:
    """From jaw end 0 to jaw end 16 over the brows, each brow point lifted by its share of the forehead's height."""
    up, third = _up_and_third(points)
    brows, ends = points[17:27], points[[0, 16]]
    across = ends[1] - ends[0]
    share = (brows - ends[0]) @ across / (across @ across)
    # On a turned head the far brow can reach past the end of the jaw.
    low, high = min(0.0, share.min() - 0.02), max(1.0, share.max() + 0.02)
    dome = 1.0 - (2.0 * (share - low) / (high - low) - 1.0) ** 2
    # The higher the arc, the less it shows the two bumps of the brows.
    height = (brows - ends[0]) @ up
    arch = np.polynomial.Polynomial.fit(share, height, 2)(share)
    rise = min(1.0, 2.0 * forehead) * (arch - height) + forehead * HAIRLINE * third * dome
    return _smooth_line(np.concatenate([ends[:1], brows + rise[:, None] * up, ends[1:]]))


def _up_and_third(points: Points) -> tuple[Points, float]:
    """The face's unit up direction on screen, and the height of one facial third along it.

    Up is from the chin to the bridge of the nose: both lie about equally deep in the head, so yaw does not tilt the
    line as it would with the tip of the nose.
    """
    up = points[27] - points[8]
    up = up / max(float(np.hypot(*up)), 1e-9)
    third = float((points[[21, 22]].mean(axis=0) - points[33]) @ up)
    return up, max(third, 0.0)


def _smooth_line(control: Points) -> Points:
    """A Catmull-Rom spline through (N, 2) control points, `_STEPS` points per span, both ends included."""
    padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    p0, p1, p2, p3 = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]  # N-1, 1, 2
    t = (np.arange(_STEPS) / _STEPS)[None, :, None]  # 1, STEPS, 1
    spans = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([spans.reshape(-1, 2), control[-1:]])
