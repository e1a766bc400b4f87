"""Registration of a face with itself in a neighbouring frame: how far each landmark moved, from the pixels.

The upright pictures of one face in two frames (`FoundFace.picture`) are registered by an inverse-compositional
Gauss-Newton step in the manner of Lucas and Kanade (S. Baker and I. Matthews, *Lucas-Kanade 20 years on*, IJCV 56(3),
2004): one patch around each of the 68 landmarks, template and gradients from the first picture, shift only. The
patches are solved together under a Gaussian prior on the field of shifts: what the landmarks say (smoothed) plus an
affine motion plus what faces do (their principal movements over poses and expressions, as in T. Cootes et al., *Active
Appearance Models*, PAMI 23(6), 2001) plus a little of anything. So a patch of bare cheek follows its surroundings, one
with an edge follows the edge, a lid goes with its neighbours, and the covariance of the solution says how well each
shift is known, and in which direction. A lip's patch sees its own side of the mouth alone: the other lip, the teeth and
the dark between them go their own ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import PICTURE_SIDE
from bodydouble.alignment.grouping import by_groups
from bodydouble.alignment.normalising import Picture, normalised

Points = NDArray[np.float64]

PATCH_RADIUS = 24
PATCH_SIGMA = 12.0
PATCH_STEP = 4
"""Patch: radius, standard deviation of its Gaussian window, distance of its samples, in pixels of the picture."""
AFFINE_PX, AFFINE_REACH_PX, SMOOTH_PX, SMOOTH_REACH_PX, OWN_PX = 3.0, 60.0, 0.3, 35.0, 0.1
"""Prior on the shifts: standard deviation of the affine part (in the middle; as much again so far from it), of the
smooth part (which agrees over `SMOOTH_REACH_PX`), and of each landmark's own."""
MODES_FILE = Path(__file__).with_name("face_modes.npy")
"""(25, 68, 2) principal movements of faces, each times its standard deviation over poses and expressions, in sides of
the crop: `benchmarks/face_modes.py`."""
MODE_SHARE = 0.14
"""The share of it that a face moves from one frame to the next."""
LIDS = [37, 38, 40, 41, 43, 44, 46, 47]
LID_SIZE, LID_PX = 0.2, 0.2
"""Lids slide over what is around them: their patches are smaller by a factor, and each may go its own way further."""
SAMPLES = 20.0
"""How many independent samples a patch counts for; its pixels are correlated."""
OUTLIER = 2.0
"""Difference of normalised pixels at which a sample has half its weight (Geman and McClure)."""
MOUTH = slice(48, 68)
UPPER_LIP, LOWER_LIP = [49, 50, 51, 52, 53, 61, 62, 63], [55, 56, 57, 58, 59, 65, 66, 67]
UPPER_EDGE, LOWER_EDGE = [48, 60, 61, 62, 63, 64, 54], [48, 60, 67, 66, 65, 64, 54]
"""Landmarks of each lip (the corners belong to both), and along its inner edge from the image's left to its right."""
LIP_MARGIN, LIP_SOFTNESS = 2.0, 1.0
"""How far inside the lip's inner edge its patches end, and how softly, in pixels."""
LEAST_AGREEMENT = 0.01
DISTANCES = (1, 2)
"""Frames apart that are registered."""
ITERATIONS = 6
CONVERGED_PX = 0.1


@dataclass(frozen=True, eq=False)
class Motion:
    """How the landmarks moved between two pictures, in their pixels.

    `shift_px`: (68, 2). `information`: (68, 2, 2), inverse covariance of each shift in 1/px². `agreement`: (68,) 1
    where the moved patch looks the same, 0 or less where it has nothing in common.
    """

    shift_px: Points
    information: NDArray[np.float64]
    agreement: NDArray[np.float64]


def measure_motions(pictures: Mapping[int, NDArray[np.uint8]], points: Points) -> dict[tuple[int, int], Motion]:
    """Motions between the pictures of frames one and two apart, as (frame, later frame) → motion.

    `pictures`: frame → H×W grey picture, frames counted from 0, any may be missing. `points`: (N, 68, 2) where the
    landmarks are expected in each of them.
    """
    parts = by_groups(sorted(pictures), lambda group: _motions_of(group, pictures, points))
    return {pair: motion for part in parts for pair, motion in part.items()}


def _motions_of(
    frames: Sequence[int], pictures: Mapping[int, NDArray[np.uint8]], points: Points
) -> dict[tuple[int, int], Motion]:
    """The motions from some of the frames to later ones."""
    motions: dict[tuple[int, int], Motion] = {}
    ready: dict[int, Picture] = {}
    for frame in frames:
        near = [later for later in (frame + distance for distance in DISTANCES) if later in pictures]
        ready = {f: ready[f] if f in ready else normalised(pictures[f]) for f in (frame, *near)}
        patches = Patches(ready[frame], points[frame]) if near else None
        if patches is not None:
            motions |= {(frame, later): patches.find(ready[later], points[later]) for later in near}
    return motions


class Patches:
    """The patches of one normalised picture, (2, H, W), around (68, 2) points, to be found in others."""

    def __init__(self, picture: Picture, points: Points) -> None:
        self.points = points
        steps = np.arange(-PATCH_RADIUS, PATCH_RADIUS + 1, PATCH_STEP, dtype=np.float32)
        y, x = np.meshgrid(steps, steps, indexing="ij")
        inside = x**2 + y**2 <= PATCH_RADIUS**2
        x, y = x[inside], y[inside]
        window = np.exp(-(x**2 + y**2) / (2 * PATCH_SIGMA**2))
        sizes = _of_marks(1.0, LID_SIZE)[:, None]
        self._plane = np.zeros((len(points), 1), np.float32)
        self._plane[MOUTH] = 1
        self._x, self._y = x * sizes, y * sizes  # N, samples
        x, y = self._x, self._y
        window = window * _own_lip(points, points[:, :1] + x, points[:, 1:] + y)
        self._window = (window / window.sum(axis=1, keepdims=True)).astype(np.float32)
        self._powers = np.stack([x, y, x * x / 2, x * y, y * y / 2], axis=2)  # N, samples, 5
        either = np.asarray(np.linalg.inv(_either_covariance(points)), np.float64)
        self._bend = _field_derivatives(points) @ either  # 5, N, N
        x, y = self._moved(points)
        self._values = self._centred(picture, x, y)
        # Of a bilinear surface these are the central differences of its pixels, interpolated likewise.
        across = self._centred(picture, x + 1, y) - self._centred(picture, x - 1, y)
        down = self._centred(picture, x, y + 1) - self._centred(picture, x, y - 1)
        across *= np.float32(0.5)
        down *= np.float32(0.5)
        self._gradients = np.stack([across, down])
        self._squares = np.stack([across * across, down * down, across * down])
        self._variance = _row_sums(self._values * self._values, self._window)
        self._prior = _prior_information(either)

    def find(self, other: Picture, guess: Points) -> Motion:
        """The motion of the patches to another picture; `guess`: (68, 2) where the landmarks are expected there."""
        count = len(self.points)
        here, diagonal = guess.copy(), np.arange(count)
        system = np.empty((2 * count, 2 * count))
        for _ in range(ITERATIONS):
            difference = self._values - self._centred(other, *self._moved(here))
            squared = difference * difference
            error = _row_sums(squared, self._window)
            weight = self._window / (1 + squared * np.float32(1 / OUTLIER**2))
            trust = SAMPLES / np.maximum(error, 0.02)
            xx, yy, xy = _row_sums(self._squares, weight) * trust
            system[:] = self._prior
            system[diagonal, diagonal] += xx
            system[count + diagonal, count + diagonal] += yy
            system[diagonal, count + diagonal] += xy
            system[count + diagonal, diagonal] += xy
            weight *= difference
            right = np.concatenate(_row_sums(self._gradients, weight) * trust)
            right += self._prior @ (guess - here).T.ravel()
            step = np.linalg.solve(system, right).reshape(2, count).T
            # A step beyond the patch's own edges is not believed as a whole.
            here += step * np.minimum(1, 3.0 / np.maximum(np.hypot(*step.T), 1e-9))[:, None]
            if np.abs(step).max() < CONVERGED_PX:
                break
        agreement = 1 - error / np.maximum(self._variance, 1e-6)
        # Where something else has come before a patch, its edges are none of the face's.
        known = np.clip(agreement, LEAST_AGREEMENT, 1) ** 2
        return Motion(here - self.points, _marginal_information(system) * known[:, None, None], agreement)

    def _moved(self, points: Points) -> tuple[Picture, Picture]:
        """x and y, (N, samples) each, of the patches' samples when the landmarks have moved to points."""
        bend = (self._bend @ (points - self.points)).transpose(2, 1, 0).astype(np.float32)  # x and y, N, 5
        away_x, away_y = (self._powers @ bend[..., None])[..., 0]
        x, y = points.astype(np.float32).T[..., None]
        return x + self._x + away_x, y + self._y + away_y

    def _centred(self, picture: Picture, x: Picture, y: Picture) -> Picture:
        """(N, samples) of the normalised picture at x and y, each patch without its mean."""
        values = _bilinear(picture, x, y, self._plane)
        values -= _row_sums(values, self._window)[:, None]
        return values


def _row_sums(one: Picture, other: Picture) -> Picture:
    """(..., N) sums along the rows of the product of (..., N, samples) and (N, samples)."""
    return np.asarray(np.einsum("...ns,ns->...n", one, other))


def _of_marks(usual: float, lids: float) -> NDArray[np.float32]:
    """(68,) a value for each landmark."""
    values = np.full(68, usual, np.float32)
    values[LIDS] = lids
    return values


def _own_lip(points: Points, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, samples) how far the samples at x and y are on the same side of the mouth as their landmark, 0..1."""
    own = np.ones_like(x)
    for lip, edge, down in ((UPPER_LIP, UPPER_EDGE, 1.0), (LOWER_LIP, LOWER_EDGE, -1.0)):
        edge_x, edge_y = points[edge].T
        inside = (np.interp(x[lip], np.maximum.accumulate(edge_x), edge_y) - y[lip]) * down - LIP_MARGIN
        own[lip] = 1 / (1 + np.exp(-np.clip(inside / LIP_SOFTNESS, -12.0, 12.0)))
    return own


def _either_covariance(points: Points) -> NDArray[np.float64]:
    """(N, N) covariance in px² of the shifts along x, and of those along y, without what faces do."""
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    centred = (points - points.mean(axis=0)) / AFFINE_REACH_PX
    return np.asarray(
        AFFINE_PX**2 * (1 + centred @ centred.T)
        + SMOOTH_PX**2 * np.exp(-squared / (2 * SMOOTH_REACH_PX**2))
        + np.diag(_of_marks(OWN_PX, LID_PX) ** 2)
    )


def _field_derivatives(points: Points) -> NDArray[np.float64]:
    """(5, N, N) covariance of the shifts' field around each landmark with the shift of each.

    The field's derivatives along x, y, xx, xy, yy; what is a landmark's own is no part of the field.
    """
    dx, dy = np.moveaxis((points[None] - points[:, None]) / SMOOTH_REACH_PX, -1, 0)  # from here to there
    smooth = SMOOTH_PX**2 * np.exp(-(dx**2 + dy**2) / 2)
    slope = AFFINE_PX**2 * (points - points.mean(axis=0)).T[:, None] / AFFINE_REACH_PX**2  # 2, 1, N
    first = [smooth * d / SMOOTH_REACH_PX + along for d, along in zip((dx, dy), slope, strict=True)]
    second = [smooth * part / SMOOTH_REACH_PX**2 for part in (dx**2 - 1, dx * dy, dy**2 - 1)]
    return np.stack([*first, *second])


@cache
def _modes() -> NDArray[np.float64]:
    """(modes, 2N) what faces do from frame to frame, each by its standard deviation in pixels: along x, then y."""
    modes = MODE_SHARE * PICTURE_SIDE * np.load(MODES_FILE, allow_pickle=False).astype(np.float64)
    return np.asarray(modes.transpose(0, 2, 1).reshape(len(modes), -1))


def _prior_information(either: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2N, 2N) inverse of the covariance of all shifts: of what faces do and of the rest, `either` being the inverse of
    the latter's along x and along y. By the Woodbury identity, as there are few modes.
    """
    modes = _modes()
    spread = (modes.reshape(2 * len(modes), -1) @ either).reshape(modes.shape)
    inner = np.linalg.inv(np.eye(len(modes)) + spread @ modes.T)
    return np.asarray(np.kron(np.eye(2), either) - spread.T @ inner @ spread)


def _marginal_information(system: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 2) inverse of each point's own covariance, out of the (2N, 2N) information of all."""
    covariance = np.linalg.inv(system)
    count = len(system) // 2
    points = covariance.reshape(2, count, 2, count)
    index = np.arange(count)
    return np.linalg.inv(points[:, index, :, index])


def _bilinear(picture: Picture, x: Picture, y: Picture, plane: Picture) -> Picture:
    """Of (planes, H, W) at x and y in a plane each; edges repeated."""
    _, height, width = picture.shape
    x, y = np.clip(x, 0, width - 1.01), np.clip(y, 0, height - 1.01)
    left, top = np.trunc(x), np.trunc(y)
    x -= left
    y -= top
    # Whole numbers below 2^24, exact in float32.
    at, flat = ((plane * np.float32(height) + top) * np.float32(width) + left).astype(np.intp), picture.ravel()
    upper, upper_right, lower, lower_right = (flat[away:].take(at) for away in (0, 1, width, width + 1))
    upper += (upper_right - upper) * x
    lower += (lower_right - lower) * x
    upper += (lower - upper) * y
    return upper
