"""The shot solve of the landmarks: one sparse least-squares problem over all frames of a run.

Three kinds of terms per landmark, with z its path in a slowly moving crop:

- *where it was found*: z(t) near the nine-fold landmark, unbiased but noisy;
- *how it moved*: by the pixels (`registering`). Shading moves slower than skin, so the registration slips, and a chain
  of it would drift. Slip is steady from frame to frame, noise is not: z(t+k) - 2z(t) + z(t-k) is held to the
  measured *change of motion* with its full weight, z(t+k) - z(t) to the motion itself with little;
- *smoothness*: small third differences (Whittaker's smoother), which fills frames that have neither.

All terms look at both sides of a frame, so nothing lags. Terms that disagree with the rest lose weight (iteratively
reweighted least squares, P. W. Holland and R. E. Welsch, Communications in Statistics A6(9), 1977).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodydouble.registering import Motion
from bodydouble.smoothing import difference_bands, solve_bands

Points = NDArray[np.float64]

FOUND_PX = 1.5
"""Standard deviation of the nine-fold landmarks where the nine agree, in pixels of the face's picture."""
MOTION_PX = 0.1
"""Standard deviation that a registration has at the least."""
MOTION_WEIGHT, CHANGE_WEIGHT = 0.05, 0.1
"""Weights of motions and of changes of motion: terms over one frame share their pixels, so they count for less."""
SMOOTHNESS = 0.5
"""Weight of squared third differences in 1/px² where the pixels help; with found landmarks alone it is a tenth."""
BANDS = 10
"""Diagonals of the system from the main one up: frames up to 4 apart are coupled, of 2 coordinates each."""
ROUNDS = 4
TAIL = 3.0
"""Standard deviations at which a term has lost half its weight."""


@dataclass(frozen=True, eq=False)
class Term:
    """Σ `signs` · z(frames) should be `value` (68, 2), with the information `weight` (68, 2, 2)."""

    frames: tuple[int, ...]
    signs: tuple[float, ...]
    value: Points
    weight: NDArray[np.float64]

    def residual(self, path: Points) -> Points:
        """(68, 2) how far a path (N, 68, 2) misses the value."""
        total = -self.value
        for frame, sign in zip(self.frames, self.signs, strict=True):
            total = total + sign * path[frame]
        return total


def steady(
    found: Points,
    weights: NDArray[np.float64],
    motions: Mapping[tuple[int, int], Motion],
    smoothing: float = 1.0,
) -> Points:
    """The (N, L, 2) path of L landmarks over N frames.

    `found`: (N, L, 2) measured landmarks in pixels of the face's picture, frames of weight 0 are not looked at.
    `weights`: (N,) in 0..1, or (N, L). `motions`: (frame, later frame) → motion, frames counted from 0, at most 2
    apart. `smoothing` scales the smoothness; two frames make a straight line.
    """
    count, marks = found.shape[:2]
    share = np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, (count, marks)) / FOUND_PX**2
    terms = list(_motion_terms(motions))
    strength = SMOOTHNESS * smoothing * (1.0 if terms else 0.1)
    order = min(3, int((np.asarray(share).max(axis=1) > 0).sum()))
    smooth = np.zeros((BANDS, 2 * count))
    smooth[: 2 * order + 1 : 2] = np.repeat(difference_bands(count, max(strength, 1e-9), order), 2, axis=1)
    path = np.where(share[..., None] > 0, found, 0.0)
    for round_ in range(ROUNDS if terms else 1):
        bands = np.repeat(smooth[..., None], marks, axis=2)
        away = np.hypot(*np.moveaxis(path - found, -1, 0)) / FOUND_PX if round_ else np.zeros((count, marks))
        kept = share / np.sqrt(1 + (away / TAIL) ** 2)
        right = np.where(kept[..., None] > 0, kept[..., None] * found, 0.0)
        bands[0] += np.repeat(kept, 2, axis=0)
        for term in terms:
            _add(term, path if round_ else None, bands, right)
        path = solve_bands(bands, right.transpose(0, 2, 1).reshape(2 * count, marks))
        path = path.reshape(count, 2, marks).transpose(0, 2, 1)
    return path


def _motion_terms(motions: Mapping[tuple[int, int], Motion]) -> Sequence[Term]:
    """The terms of all motions, and of each pair of motions of equal length that meet in a frame."""
    covariances: dict[tuple[int, int], NDArray[np.float64]] = {
        pair: np.linalg.inv(motion.information) + MOTION_PX**2 * np.eye(2) for pair, motion in motions.items()
    }
    terms = []
    for (first, second), motion in motions.items():
        covariance = covariances[first, second]
        weight = np.asarray(MOTION_WEIGHT * np.linalg.inv(covariance), np.float64)
        terms.append(Term((first, second), (-1, 1), motion.shift_px, weight))
        third = 2 * second - first
        if (second, third) in motions:
            change = motions[second, third].shift_px - motion.shift_px
            both = covariance + covariances[second, third]
            weight = np.asarray(CHANGE_WEIGHT * np.linalg.inv(both), np.float64)
            terms.append(Term((first, second, third), (1, -2, 1), change, weight))
    return terms


def _add(term: Term, path: Points | None, bands: NDArray[np.float64], right: Points) -> None:
    """Add one term's normal equations, weighted down by how far the present path misses it."""
    weight = term.weight
    if path is not None:
        residual = term.residual(path)
        distance = np.einsum("li,lij,lj->l", residual, weight, residual)
        weight = weight / (1 + distance / TAIL**2)[:, None, None]
    pull = np.einsum("lij,lj->li", weight, term.value)
    for frame, sign in zip(term.frames, term.signs, strict=True):
        right[frame] += sign * pull
        for other, other_sign in zip(term.frames, term.signs, strict=True):
            for row in (0, 1):
                for column in (0, 1):
                    offset = 2 * (other - frame) + column - row
                    if offset >= 0:
                        bands[offset, 2 * frame + row] += sign * other_sign * weight[:, row, column]
