"""Alignment maths: similarities between plate pixels, the unit crop and crop pixels.

Matrices are 3×3 float64 on column vectors, named destination first; their spaces are *unit* (the crop's outer corners
are (0, 0) and (1, 1)), *plate* and *crop* (pixels, (0, 0) the centre of the first one).

`CANONICAL_LANDMARKS` is where a calm frontal face lies in the unit crop: its eye centres (mean of 36–41 and of
42–47) are level at `EYE_LINE` and `INTEROCULAR` apart. Derived from 52 near-frontal (|yaw| < 15°, |pitch| < 10°),
near-neutral frames of three rendered personas with projected true landmarks: generalised Procrustes mean per persona
over the frames and their mirror images, then the mean of the three means, made symmetric.

The crop follows a *least-squares* similarity (`unit_from_landmarks`), not the two eyes alone: foreshortening makes a
two-eye crop grow by up to a third on a turned head. `docs/alignment.md` has the figures behind the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]

EYE_LINE = 0.35
"""y of both eye centres in the unit crop: leaves 3 % or more around every face region at |yaw| < 30°."""
INTEROCULAR = 0.29
"""Distance of the eye centres, as a fraction of the crop's side."""

# fmt: off
CANONICAL_LANDMARKS: Points = np.array(
    [
        (0.1887, 0.3491), (0.1894, 0.4428), (0.1988, 0.5267), (0.2127, 0.6088),
        (0.2490, 0.7014), (0.3106, 0.7760), (0.3637, 0.8090), (0.4290, 0.8302),
        (0.5000, 0.8457), (0.5710, 0.8302), (0.6363, 0.8090), (0.6894, 0.7760),
        (0.7510, 0.7014), (0.7873, 0.6088), (0.8012, 0.5267), (0.8106, 0.4428),
        (0.8113, 0.3491), (0.2408, 0.2770), (0.2776, 0.2401), (0.3280, 0.2252),
        (0.3896, 0.2263), (0.4461, 0.2397), (0.5539, 0.2397), (0.6104, 0.2263),
        (0.6720, 0.2252), (0.7224, 0.2401), (0.7592, 0.2770), (0.5000, 0.3377),
        (0.5000, 0.3885), (0.5000, 0.4349), (0.5000, 0.4847), (0.4426, 0.5547),
        (0.4728, 0.5550), (0.5000, 0.5591), (0.5272, 0.5550), (0.5574, 0.5547),
        (0.2992, 0.3508), (0.3258, 0.3316), (0.3775, 0.3271), (0.4200, 0.3586),
        (0.3801, 0.3663), (0.3273, 0.3656), (0.5800, 0.3586), (0.6225, 0.3271),
        (0.6742, 0.3316), (0.7008, 0.3508), (0.6727, 0.3656), (0.6199, 0.3663),
        (0.3897, 0.6562), (0.4240, 0.6240), (0.4677, 0.6085), (0.5000, 0.6097),
        (0.5323, 0.6085), (0.5760, 0.6240), (0.6103, 0.6562), (0.5790, 0.6829),
        (0.5447, 0.6927), (0.5000, 0.6962), (0.4553, 0.6927), (0.4210, 0.6829),
        (0.4047, 0.6564), (0.4564, 0.6486), (0.5000, 0.6499), (0.5436, 0.6486),
        (0.5953, 0.6564), (0.5465, 0.6550), (0.5000, 0.6558), (0.4535, 0.6550),
    ]
)
# fmt: on
"""(68, 2) iBUG points of the canonical face in unit-crop coordinates."""


def _alignment_weights() -> NDArray[np.float64]:
    weights = np.zeros(68)
    weights[17:27] = 0.4  # brows: they frown
    weights[27:30] = 1.0  # bridge of the nose
    weights[31:36] = 0.5  # nostrils: they stick out, so they swing sideways when the head turns; the tip (30) too much
    weights[36:48] = 0.5  # lids: they blink
    weights[[36, 39, 42, 45]] = 1.0  # corners of the eyes
    weights[48:68] = 0.03  # mouth: speech must not move the crop, yet it steadies the angle
    return weights


ALIGNMENT_WEIGHTS: NDArray[np.float64] = _alignment_weights()
"""(68,) weight of each landmark in `unit_from_landmarks`; the jaw has none."""


def fit_similarity(source: ArrayLike, destination: ArrayLike, weights: ArrayLike | None = None) -> Matrix:
    """The 3×3 `destination_from_source` of least weighted squared distance: rotation, uniform scale, shift, no mirror.

    `source`, `destination`: (N, 2), N ≥ 2. `weights`: (N,), not negative. Raises ValueError if shapes differ or the
    weighted source points coincide. S. Umeyama, *Least-squares estimation of transformation parameters between two
    point patterns*, PAMI 13(4), 1991.
    """
    src, dst = np.asarray(source, np.float64), np.asarray(destination, np.float64)
    if src.shape != dst.shape or src.ndim != 2 or src.shape[1] != 2 or len(src) < 2:
        raise ValueError(f"need two (N, 2) arrays with N >= 2, got {src.shape} and {dst.shape}")
    w = np.ones(len(src)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(src),) or (w < 0).any() or not w.sum() > 0:
        raise ValueError(f"need ({len(src)},) non-negative weights that are not all zero, got shape {w.shape}")
    w = w / w.sum()
    src_mean, dst_mean = w @ src, w @ dst  # Eq. (34), (35)
    src_centred, dst_centred = src - src_mean, dst - dst_mean
    variance = float(w @ (src_centred**2).sum(axis=1))  # Eq. (36)
    if not variance > 0:
        raise ValueError("the weighted source points coincide (or are not finite)")
    covariance = (dst_centred * w[:, None]).T @ src_centred  # Eq. (38)
    u, d, vt = np.linalg.svd(covariance)
    s = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])  # Eq. (43)
    matrix = np.eye(3)
    matrix[:2, :2] = (d @ s / variance) * (u * s) @ vt  # Eq. (40), (42)
    matrix[:2, 2] = dst_mean - matrix[:2, :2] @ src_mean  # Eq. (41)
    return matrix


def unit_from_landmarks(landmarks_px: ArrayLike) -> Matrix:
    """The 3×3 `unit_from_plate` that lays (68, 2) iBUG landmarks on the canonical face."""
    landmarks = np.asarray(landmarks_px, np.float64)
    if landmarks.shape != (68, 2):
        raise ValueError(f"need (68, 2) landmarks, got {landmarks.shape}")
    return fit_similarity(landmarks, CANONICAL_LANDMARKS, ALIGNMENT_WEIGHTS)


def alignment_residual(unit_from_plate: ArrayLike, landmarks_px: ArrayLike) -> float:
    """How far aligned (68, 2) landmarks lie from the canonical face: weighted RMS, in % of the eye centres' distance.

    With the weights that the fit itself has. A face's own shape and a turn of the head raise it slowly; a jump means
    that landmarks or alignment are off.
    """
    away = apply(unit_from_plate, landmarks_px) - CANONICAL_LANDMARKS
    mean_square = float(np.average((away**2).sum(axis=1), weights=ALIGNMENT_WEIGHTS))
    return 100 * float(np.sqrt(mean_square)) / INTEROCULAR


def crop_from_unit(size: int) -> Matrix:
    """The 3×3 from the unit crop to pixels of a `size`² crop: unit (0, 0) is crop (−½, −½), a pixel corner."""
    return np.array([[size, 0.0, -0.5], [0.0, size, -0.5], [0.0, 0.0, 1.0]])


def translation(x: float, y: float) -> Matrix:
    """The 3×3 that moves points by (x, y): from pixels of a region whose corner lies there to those of the whole."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def apply(matrix: ArrayLike, points: ArrayLike) -> Points:
    """(..., 2) points through a 3×3 affine matrix."""
    m, p = np.asarray(matrix, np.float64), np.asarray(points, np.float64)
    mapped: Points = p @ m[:2, :2].T + m[:2, 2]
    return mapped


def plate_from_square(pixel_aspect: float) -> Matrix:
    """The 3×3 from square pixels to those of a plate whose are `pixel_aspect` times as wide as high.

    Pixel 0 keeps its left edge, at -½.
    """
    return np.array([[1 / pixel_aspect, 0, 0.5 / pixel_aspect - 0.5], [0, 1, 0], [0, 0, 1.0]])


def similarity_scale(matrix: ArrayLike) -> float:
    """Destination lengths per source length of a 3×3 similarity."""
    return float(np.sqrt(abs(np.linalg.det(np.asarray(matrix, np.float64)[:2, :2]))))


def similarity_matrix(scale: float, angle: float, centre: ArrayLike, destination: ArrayLike = (0.5, 0.5)) -> Matrix:
    """The 3×3 similarity of `scale` and `angle` (radians, clockwise on screen) that takes `centre` to `destination`."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = np.asarray(destination, np.float64) - matrix[:2, :2] @ np.asarray(centre, np.float64)
    return matrix


def similarity_parts(matrix: ArrayLike, destination: ArrayLike = (0.5, 0.5)) -> tuple[float, float, Points]:
    """Inverse of `similarity_matrix`: scale, angle in radians, and the (2,) source point that goes to `destination`."""
    m = np.asarray(matrix, np.float64)
    angle = float(np.arctan2(m[1, 0], m[0, 0]))
    return similarity_scale(m), angle, apply(np.linalg.inv(m), destination)
