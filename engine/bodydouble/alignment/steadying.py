"""The shot solve of the landmarks: a sparse least-squares problem over the frames around each frame.

Three kinds of terms per landmark, with z its path in a slowly moving crop:

- *where it was found*: z(t) near the nine-fold landmark, unbiased but noisy;
- *how it moved*: by the pixels (`registering`). Shading moves slower than skin, so the registration slips, and a chain
  of it would drift. Slip is steady from frame to frame, noise is not: z(t+k) - 2z(t) + z(t-k) is held to the
  measured *change of motion* with its full weight, z(t+k) - z(t) to the motion itself with little;
- *smoothness*: small third differences (Whittaker's smoother), which fills frames that have neither. Where the pixels
  are there to say otherwise a large one is let go: a blink or the start of a turn is not rounded off.

All terms look at both sides of a frame, so nothing lags. Terms that disagree with the rest lose weight (iteratively
reweighted least squares, P. W. Holland and R. E. Welsch, Communications in Statistics A6(9), 1977).

Each frame has a solve of its own, over the `REACH` frames on either side, whose terms count less towards the ends. So a
frame's landmarks depend on the frames within reach and on no other: parts of a shot give what the whole gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.grouping import by_groups
from bodydouble.alignment.registering import Motion
from bodydouble.alignment.smoothing import difference_bands, solve_bands

Points = NDArray[np.float64]

FOUND_PX = 1.5
"""Standard deviation of the nine-fold landmarks where the nine agree, in pixels of the face's picture."""
MOTION_PX = 0.1
"""Standard deviation that a registration has at the least."""
MOTION_WEIGHT, CHANGE_WEIGHT = 0.05, 0.25
"""Weights of motions and of changes of motion: terms over one frame share their pixels, so they count for less."""
SMOOTHNESS, SMOOTHNESS_TAIL = 3.0, 1.0
"""Weight of squared third differences in 1/px² where the pixels help, and what is `TAIL` for those."""
FILLING = 0.05
"""The same with found landmarks alone, and never less."""
BANDS = 10
"""Diagonals of the system from the main one up: frames up to 4 apart are coupled, of 2 coordinates each."""
ROUNDS = 4
TAIL = 3.0
"""Standard deviations at which a term has lost half its weight."""


REACH = 8
"""Frames on either side of a frame that have a say in it."""


@dataclass(frozen=True, eq=False)
class Term:
    """Σ `signs` · z(first + `steps`) should be `value`, for each first frame of a run.

    `value`: (N, L, 2). `weight`: (N, L, 2, 2), zero where the term is not there. `tail`: as `TAIL`.
    """

    steps: tuple[int, ...]
    signs: tuple[float, ...]
    value: Points
    weight: NDArray[np.float64]
    tail: float = TAIL


def steady(
    found: Points,
    weights: NDArray[np.float64],
    motions: Mapping[tuple[int, int], Motion],
    smoothing: float = 1.0,
    stiffness: float | NDArray[np.float64] = 1.0,
) -> Points:
    """The (N, L, 2) path of L landmarks over N frames.

    `found`: (N, L, 2) measured landmarks in pixels of the face's picture, frames of weight 0 are not looked at.
    `weights`: (N,) in 0..1, or (N, L). `motions`: (frame, later frame) → motion, frames counted from 0, at most 2
    apart. `smoothing` scales the smoothness; two frames make a straight line. `stiffness`: (L,) or one for all, scales
    it for landmarks that are known to move evenly, where motions are there to say otherwise.
    """
    count, marks = found.shape[:2]
    share = np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, (count, marks)) / FOUND_PX**2
    known = np.where(share[..., None] > 0, found, 0.0)
    terms = _motion_terms(motions, count, marks)
    if terms and count > 3:
        strengths = np.broadcast_to(SMOOTHNESS * smoothing * np.asarray(stiffness), (marks,))
        terms.append(_smoothness_term(strengths, count))
    strength = FILLING * smoothing
    parts = by_groups(range(count), lambda group: _solve(np.array(group), known, share, terms, strength))
    return np.concatenate(parts)


def _solve(
    centres: NDArray[np.intp], found: Points, share: NDArray[np.float64], terms: Sequence[Term], strength: float
) -> Points:
    """(C, L, 2) the landmarks of some frames, each by a solve over the frames around it."""
    rows = centres[:, None] + np.arange(-REACH, REACH + 1)  # C, n
    length = rows.shape[1]
    taper = np.cos(np.pi / 2 * np.arange(-REACH, REACH + 1) / (REACH + 1)) ** 2
    there = (rows >= 0) & (rows < len(found))
    inside = np.clip(rows, 0, len(found) - 1)
    seen = found[inside]  # C, n, L, 2
    pull = share[inside] * (taper * there)[..., None]  # C, n, L
    near = [_near(term, rows, taper, len(found)) for term in terms]
    order = np.clip((pull.max(axis=2) > 0).sum(axis=1), 1, 3)  # C
    smooth = np.zeros((len(centres), BANDS, 2 * length))
    for index, one in enumerate(order):
        bands = difference_bands(length, max(strength, 1e-9), int(one))
        smooth[index, : 2 * one + 1 : 2] = np.repeat(bands, 2, axis=1)
    path = seen
    for round_ in range(ROUNDS if terms else 1):
        bands = np.repeat(smooth.transpose(1, 2, 0)[..., None], found.shape[1], axis=3)  # B, 2n, C, L
        away = np.hypot(*np.moveaxis(path - seen, -1, 0)) / FOUND_PX if round_ else np.zeros(pull.shape)
        kept = pull / np.sqrt(1 + (away / TAIL) ** 2)
        right = kept[..., None] * seen
        bands[0] += np.repeat(kept.transpose(1, 0, 2), 2, axis=0)
        for term in near:
            _add(term, path if round_ else None, bands, right)
        lanes = right.transpose(1, 3, 0, 2).reshape(2 * length, -1)  # 2n, C·L
        solved = solve_bands(bands.reshape(BANDS, 2 * length, -1), lanes)
        path = solved.reshape(length, 2, len(centres), -1).transpose(2, 0, 3, 1)
    return np.asarray(path[:, REACH])


def _near(term: Term, rows: NDArray[np.intp], taper: NDArray[np.float64], count: int) -> Term:
    """The term at the frames around each centre: (C, n - its length, L, …), with less weight towards the ends."""
    starts = rows[:, : rows.shape[1] - term.steps[-1]]
    there = (starts >= 0) & (starts < count)
    inside = np.clip(starts, 0, count - 1)
    ends = np.sqrt(taper[: starts.shape[1]] * taper[term.steps[-1] :])
    weight = term.weight[inside] * (ends * there)[..., None, None, None]
    return Term(term.steps, term.signs, term.value[inside], weight, term.tail)


def _motion_terms(motions: Mapping[tuple[int, int], Motion], count: int, marks: int) -> list[Term]:
    """The terms of all motions, and of each pair of motions of equal length that meet in a frame."""
    if not motions:
        return []
    terms = []
    for distance in sorted({later - first for first, later in motions}):
        shift, covariance = np.zeros((count, marks, 2)), np.tile(np.eye(2), (count, marks, 1, 1))
        there = np.zeros(count, bool)
        for (first, later), motion in motions.items():
            if later - first == distance:
                shift[first] = motion.shift_px
                covariance[first] = np.linalg.inv(motion.information) + MOTION_PX**2 * np.eye(2)
                there[first] = True
        weight = np.asarray(MOTION_WEIGHT * np.linalg.inv(covariance) * there[:, None, None, None], np.float64)
        terms.append(Term((0, distance), (-1, 1), shift, weight))
        met = there.copy()
        met[: count - distance] &= there[distance:]
        met[count - distance :] = False
        change = np.roll(shift, -distance, axis=0) - shift
        both = np.linalg.inv(covariance + np.roll(covariance, -distance, axis=0))
        weight = np.asarray(CHANGE_WEIGHT * both * met[:, None, None, None], np.float64)
        terms.append(Term((0, distance, 2 * distance), (1, -2, 1), change, weight))
    return terms


def _smoothness_term(strengths: NDArray[np.float64], count: int) -> Term:
    """Third differences are small, or else what they are. `strengths`: (L,)."""
    marks = len(strengths)
    weight = np.broadcast_to(strengths[:, None, None] * np.eye(2), (count, marks, 2, 2)).copy()
    weight[count - 3 :] = 0
    return Term((0, 1, 2, 3), (-1, 3, -3, 1), np.zeros((count, marks, 2)), weight, SMOOTHNESS_TAIL)


def _add(term: Term, path: Points | None, bands: NDArray[np.float64], right: Points) -> None:
    """Add a term's normal equations, weighted down by how far the present path misses it.

    `path`, `right`: (C, n, L, 2). `bands`: (B, 2n, C, L).
    """
    weight, many = term.weight, term.value.shape[1]
    if path is not None:
        residual = -term.value
        for step, sign in zip(term.steps, term.signs, strict=True):
            residual = residual + sign * path[:, step : step + many]
        distance = (_times(weight, residual) * residual).sum(axis=3)
        weight = weight / (1 + distance / term.tail**2)[..., None, None]
    pull = _times(weight, term.value)
    lanes = np.ascontiguousarray(weight.transpose(3, 4, 1, 0, 2))  # 2, 2, n, C, L
    for step, sign in zip(term.steps, term.signs, strict=True):
        right[:, step : step + many] += sign * pull
        for other, other_sign in zip(term.steps, term.signs, strict=True):
            for row in (0, 1):
                for column in (0, 1):
                    offset = 2 * (other - step) + column - row
                    if offset >= 0:
                        rows = slice(2 * step + row, 2 * (step + many) + row, 2)
                        bands[offset, rows] += sign * other_sign * lanes[row, column]


def _times(weight: NDArray[np.float64], values: Points) -> Points:
    """(..., 2) each 2×2 matrix of `weight` with its pair of values, several times as fast as by `einsum`."""
    x, y = values[..., 0], values[..., 1]
    return np.stack([weight[..., row, 0] * x + weight[..., row, 1] * y for row in (0, 1)], axis=-1)
