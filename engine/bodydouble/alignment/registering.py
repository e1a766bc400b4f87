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
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import PICTURE_SIDE
from bodydouble.alignment.grouping import by_groups
from bodydouble.alignment.normalising import Picture, normalised

Points = NDArray[np.float64]

PATCH_RADIUS = 25
PATCH_SIGMA = 12.0
PATCH_STEP = 5
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
AT_ONCE = 8
"""Frames whose patches are found together: few enough for all that is known of them to stay in the cache."""
THREADS = 2
"""More bring nothing: between the steps on arrays, which leave it alone, each needs the interpreter."""
DISTANCES = (1, 2)
"""Frames apart that are registered."""
ITERATIONS = 6
CONVERGED_PX = 0.2


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
    parts = by_groups(sorted(pictures), lambda group: _motions_of(group, pictures, points), THREADS)
    return dict(sorted((pair, motion) for part in parts for pair, motion in part.items()))


def _motions_of(
    frames: Sequence[int], pictures: Mapping[int, NDArray[np.uint8]], points: Points
) -> dict[tuple[int, int], Motion]:
    """The motions from some of the frames to later ones."""
    last = frames[-1]
    shown = [*frames, *(later for later in range(last + 1, last + 1 + max(DISTANCES)) if later in pictures)]
    ready = np.stack([normalised(pictures[frame]) for frame in shown])
    row = {frame: index for index, frame in enumerate(shown)}
    motions: dict[tuple[int, int], Motion] = {}
    for start in range(0, len(frames), AT_ONCE):
        group = frames[start : start + AT_ONCE]
        patches = patches_of(ready, np.array([row[frame] for frame in group]), points[list(group)])
        for distance in DISTANCES:
            met = [index for index, frame in enumerate(group) if frame + distance in row]
            if met:
                later = [group[index] + distance for index in met]
                found = patches.only(met).find(ready, np.array([row[frame] for frame in later]), points[later])
                motions |= {(group[index], group[index] + distance): one for index, one in zip(met, found, strict=True)}
    return motions


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of F pictures of one face, N landmarks in each, to be found in others.

    Each picture's are found as if they were alone: together they take fewer steps, and threads can share those.

    Attributes:
        points: (F, N, 2), the landmarks.
        window: (F, N, samples), its sum 1.
        bend: (F, 5, N, N), see `_field_derivatives`: what the shifts of all landmarks say of each patch's form.
        values: (F, N, samples), without their mean.
        gradients, squares: (F, 2, N, samples) along x and y, and (F, 3, N, samples) xx, yy, xy.
        variance: (F, N).
        prior: (F, 2N, 2N), inverse covariance of all shifts.
    """

    points: Points
    window: Picture
    bend: NDArray[np.float64]
    values: Picture
    gradients: Picture
    squares: Picture
    variance: Picture
    prior: NDArray[np.float64]

    def only(self, rows: Sequence[int] | NDArray[np.intp]) -> Patches:
        """Those of some of the pictures."""
        if len(rows) == len(self.points):
            return self
        return Patches(*(getattr(self, one.name)[rows] for one in fields(self)))

    def find(self, pictures: Picture, at: NDArray[np.intp], guess: Points) -> list[Motion]:
        """The motion of each picture's patches to another one.

        Args:
            pictures: (M, 2, H, W), normalised.
            at: (F,) which of them each goes to.
            guess: (F, N, 2), where the landmarks are expected there.
        """
        part, here, rows, count = self, guess.copy(), np.arange(len(guess)), guess.shape[1]
        found: dict[int, Motion] = {}
        diagonal = np.arange(count)
        for iteration in range(ITERATIONS):
            difference = part.values - _centred(pictures, at, part.window, *_moved(part, here))
            squared = difference * difference
            error = _row_sums(squared, part.window)
            weight = part.window / (1 + squared * np.float32(1 / OUTLIER**2))
            trust = (SAMPLES / np.maximum(error, 0.02))[:, None]
            xx, yy, xy = np.moveaxis(_row_sums(part.squares, weight[:, None]) * trust, 1, 0)
            system = part.prior.copy()
            system[:, diagonal, diagonal] += xx
            system[:, count + diagonal, count + diagonal] += yy
            system[:, diagonal, count + diagonal] += xy
            system[:, count + diagonal, diagonal] += xy
            weight *= difference
            right = (_row_sums(part.gradients, weight[:, None]) * trust).reshape(len(rows), -1, 1)
            right = right + part.prior @ (guess - here).transpose(0, 2, 1).reshape(len(rows), -1, 1)
            # A step is taken again from where it led: half the digits do, in half the time.
            step = np.linalg.solve(system.astype(np.float32), right.astype(np.float32))
            step = step.astype(np.float64).reshape(-1, 2, count).transpose(0, 2, 1)
            # A step beyond the patch's own edges is not believed as a whole.
            here += step * np.minimum(1, 3.0 / np.maximum(np.hypot(*np.moveaxis(step, -1, 0)), 1e-9))[..., None]
            moving = np.abs(step).max(axis=(1, 2)) >= CONVERGED_PX
            moving &= iteration + 1 < ITERATIONS
            if moving.all():
                continue
            still = ~moving
            motions = _as_found(part.only(still.nonzero()[0]), here[still], error[still], system[still])
            found |= dict(zip(rows[still].tolist(), motions, strict=True))
            if not moving.any():
                break
            part, rows = part.only(moving.nonzero()[0]), rows[moving]
            here, guess, at = here[moving], guess[moving], at[moving]
        return [found[row] for row in range(len(self.points))]


def patches_of(pictures: Picture, at: NDArray[np.intp], points: Points) -> Patches:
    """The patches around (F, N, 2) points in some pictures of (M, 2, H, W) normalised ones; `at`: (F,) in which."""
    x, y, window = _samples()
    own = np.stack([_own_lip(each, each[:, :1] + x, each[:, 1:] + y) for each in points])
    window = (window * own).astype(np.float32)
    window = (window / window.sum(axis=2, keepdims=True)).astype(np.float32)
    either = np.linalg.inv(np.stack([_either_covariance(each) for each in points]))
    bend = np.stack([_field_derivatives(each) for each in points]) @ either[:, None]
    middle_x, middle_y = np.moveaxis(points.astype(np.float32), -1, 0)[..., None]

    def seen(right: int, below: int) -> Picture:
        return _centred(pictures, at, window, middle_x + x + right, middle_y + y + below)

    values = seen(0, 0)
    # Of a bilinear surface these are the central differences of its pixels, interpolated likewise.
    gradients = np.stack([seen(1, 0) - seen(-1, 0), seen(0, 1) - seen(0, -1)], axis=1)
    gradients *= np.float32(0.5)
    across, down = gradients[:, 0], gradients[:, 1]
    squares = np.stack([across * across, down * down, across * down], axis=1)
    variance = _row_sums(values * values, window)
    prior = np.stack([_prior_information(each) for each in either])
    return Patches(points, window, bend, values, gradients, squares, variance, prior)


@cache
def _samples() -> tuple[Picture, Picture, Picture]:
    """x and y of the samples of each landmark's patch, about it, and the Gaussian window: (68, samples) each."""
    steps = np.arange(-PATCH_RADIUS, PATCH_RADIUS + 1, PATCH_STEP, dtype=np.float32)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    inside = x**2 + y**2 <= PATCH_RADIUS**2
    x, y = x[inside], y[inside]
    sizes = _of_marks(1.0, LID_SIZE)[:, None]
    window = np.exp(-(x**2 + y**2) / (2 * PATCH_SIGMA**2))
    return x * sizes, y * sizes, np.broadcast_to(window, (68, len(x)))


@cache
def _powers() -> Picture:
    """(68, samples, 5) x, y, x²/2, xy, y²/2 of the samples: what a field's derivatives are multiplied with."""
    x, y, _ = _samples()
    return np.stack([x, y, x * x / 2, x * y, y * y / 2], axis=2)


@cache
def _planes() -> Picture:
    """(68, 1) which of a normalised picture's planes a landmark is looked at in."""
    plane = np.zeros((68, 1), np.float32)
    plane[MOUTH] = 1
    return plane


def _moved(patches: Patches, points: Points) -> tuple[Picture, Picture]:
    """x and y, (F, N, samples) each, of the patches' samples when the landmarks have moved to (F, N, 2) points."""
    bend = patches.bend @ (points - patches.points)[:, None]  # F, 5, N, 2
    away_x, away_y = (_powers() @ bend.transpose(3, 0, 2, 1).astype(np.float32)[..., None])[..., 0]
    x, y = np.moveaxis(points.astype(np.float32), -1, 0)[..., None]
    away_x += x + _samples()[0]
    away_y += y + _samples()[1]
    return away_x, away_y


def _centred(pictures: Picture, at: NDArray[np.intp], window: Picture, x: Picture, y: Picture) -> Picture:
    """(F, N, samples) of normalised pictures at x and y, each patch without its mean. `at`: (F,) which pictures."""
    planes = (at * pictures.shape[1]).astype(np.float32)[:, None, None] + _planes()
    values = _bilinear(pictures.reshape(-1, *pictures.shape[2:]), x, y, planes)
    values -= _row_sums(values, window)[..., None]
    return values


def _as_found(patches: Patches, here: Points, error: Picture, system: NDArray[np.float64]) -> list[Motion]:
    """The motions that were found, of patches that went `here` with an `error`, as the last `system` knew them."""
    agreement = 1 - error / np.maximum(patches.variance, 1e-6)
    # Where something else has come before a patch, its edges are none of the face's.
    known = np.clip(agreement, LEAST_AGREEMENT, 1) ** 2
    information = np.stack([_marginal_information(one) for one in system]) * known[..., None, None]
    return [Motion(*one) for one in zip(here - patches.points, information, agreement, strict=True)]


def _row_sums(one: Picture, other: Picture) -> Picture:
    """(..., N) sums along the rows of the product of two (..., N, samples)."""
    return np.asarray(np.einsum("...s,...s->...", one, other))


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
