"""Defocus and motion blur: how widely edges are spread in a face, and the same spread for the new face.

The spread of a picture is the covariance of the blur that would make its edges from steps, (3,) as xx, xy, yy. Plate
and swap show the same edges of a face, so what their spreads differ by is blur that the swap lacks. Motion blur is one
number for a shot, its *shutter*: the share of a frame's motion, as the alignment knows it, that is smeared; what is
across that is defocus, smoothed over time. Lengths are hundredths of the crop's side, in the crop's axes.

Sources: J. Elder and S. Zucker, Local scale control for edge detection and blur estimation, 1998; S. Zhuo and T. Sim,
Defocus map estimation from a single image, 2011 (the ratio of gradients after blurring again, Eq. 5-7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodydouble.swap.matte import gaussian, polygon_matte, wide_gaussian
from bodydouble.swap.tone import brightness

Array = NDArray[np.float64]

MEASURED_AT = 512
"""Side of the crops that spreads are measured on, in pixels."""
_FINE, _COARSE = 1.5, 3.0  # sigma of the two blurs whose gradients are compared, pixels of such a crop
_WEAKEST = 0.004  # gradient of an edge that counts, model space per pixel
_DIRECTIONS, _FEWEST = 8, 8
_LONGEST_SHUTTER = 1.2
_STEADY = 3.0  # sigma in time of the defocus, frames
_TRIES, _ROUNDS = 8, 3  # swaps that a solution is tried on, and how often it is corrected
_BOUND = 2.5  # factor of one correction
_SLOWEST = 0.25  # deviation of an open shutter's smear below which a shot says nothing of its shutter
_UNSEEN = 0.1  # hundredths of the crop: less blur than that is left away


@dataclass(frozen=True)
class FrameSpread:
    """Blur that a frame's swap lacks. `defocus`: sigma; `motion`: (x, y) from end to end of the smear."""

    defocus: float
    motion: tuple[float, float]


@dataclass(frozen=True)
class ShotSpread:
    """Blur that the swaps of a shot lack, by frame. `shutter`: share of a frame's motion that is smeared."""

    shutter: float
    frames: Mapping[int, FrameSpread]

    def to_document(self) -> dict[str, Any]:
        """For JSON."""
        rows = {str(f): [round(v, 4) for v in (one.defocus, *one.motion)] for f, one in sorted(self.frames.items())}
        return {"shutter": round(self.shutter, 4), "frames": rows}


def spread_from_document(document: Mapping[str, Any]) -> ShotSpread:
    """Inverse of `ShotSpread.to_document`. Raises KeyError, TypeError or ValueError on what does not fit."""
    frames = {}
    for frame, (defocus, x, y) in document["frames"].items():
        if not (math.isfinite(defocus) and defocus >= 0 and math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"the spread of frame {frame} must be finite, and its defocus not negative")
        frames[int(frame)] = FrameSpread(float(defocus), (float(x), float(y)))
    return ShotSpread(float(document["shutter"]), frames)


def edge_spread(crop: Tensor, matte: Tensor) -> Array | None:
    """How widely the edges of a face are spread: covariance (xx, xy, yy) in hundredths² of the crop's side.

    At an edge of spread s, blurred again by a or b, the gradients across it stand as √(s² + b²) to √(s² + a²). The
    median of s² in each of eight directions makes a covariance by least squares.

    Args:
        crop: 1×3×r×r in model space, r as `MEASURED_AT`.
        matte: 1×1×r×r, the face; edges are looked for where it is 1.

    Returns:
        (3,), or None where there are too few edges.
    """
    luma = brightness(crop)
    fine, coarse = (_gradient(gaussian(luma, sigma)) for sigma in (_FINE, _COARSE))
    strength = torch.hypot(*coarse)
    across_x, across_y = (part / strength.clamp(min=1e-9) for part in coarse)
    edges = _crests(strength, across_x, across_y) & (matte[0, 0, 1:-1, 1:-1] > 0.999) & (strength > _WEAKEST)
    weight = strength[edges].double().square()
    ratio = ((fine[0] * across_x + fine[1] * across_y) / strength.clamp(min=1e-9))[edges].double()
    ratio = ratio.clamp(1.02, 0.98 * _COARSE / _FINE).square()
    variance = (_COARSE**2 - ratio * _FINE**2) / (ratio - 1)
    angle = torch.atan2(across_y[edges], across_x[edges]).double()
    found = _covariance(variance, weight, angle)
    return None if found is None else found * (100 / crop.shape[-1]) ** 2


def _gradient(luma: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) of a 1×1×H×W picture: (H - 2)×(W - 2) each."""
    picture = luma[0, 0]
    return (picture[1:-1, 2:] - picture[1:-1, :-2]) / 2, (picture[2:, 1:-1] - picture[:-2, 1:-1]) / 2


def _crests(strength: Tensor, across_x: Tensor, across_y: Tensor) -> Tensor:
    """Where a gradient is strongest along its own direction, rounded to one of eight neighbours: H×W bool."""
    height, width = strength.shape
    padded = torch.nn.functional.pad(strength, (1, 1, 1, 1))
    step_x, step_y = across_x.round().long() + 1, across_y.round().long() + 1
    rows = torch.arange(height, device=strength.device)[:, None]
    columns = torch.arange(width, device=strength.device)[None, :]
    ahead = padded[rows + step_y, columns + step_x]
    behind = padded[rows + 2 - step_y, columns + 2 - step_x]
    return (strength >= ahead) & (strength >= behind)


def _covariance(variance: Tensor, weight: Tensor, angle: Tensor) -> Array | None:
    """xx, xy, yy of the covariance whose variance along each direction is the weighted median of the edges there."""
    rows, medians, trusts = [], [], []
    for index in range(_DIRECTIONS):
        direction = index * math.pi / _DIRECTIONS
        apart = torch.remainder(angle - direction + math.pi / 2, math.pi) - math.pi / 2
        near = apart.abs() < math.pi / (2 * _DIRECTIONS)
        if int(near.sum()) < _FEWEST:
            continue
        order = variance[near].argsort()
        total = weight[near][order].cumsum(0)
        middle = int(torch.searchsorted(total, total[-1:] / 2))
        cosine, sine = math.cos(direction), math.sin(direction)
        rows.append([cosine * cosine, 2 * cosine * sine, sine * sine])
        medians.append(float(variance[near][order][middle]))
        trusts.append(math.sqrt(float(total[-1])))
    if len(rows) < 4:
        return None
    trust = np.array(trusts)
    return np.asarray(np.linalg.lstsq(np.array(rows) * trust[:, None], np.array(medians) * trust, rcond=None)[0])


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """What one frame shows: the plate's spread and the swap's, (3,) each; its swap, 1×3×r×r, and its matte, 1×1×r×r."""

    plate: Array
    swap: Array
    picture: Tensor
    matte: Tensor


def solve_spread(seen: Mapping[int, SeenFrame], motion: Mapping[int, Sequence[float]]) -> ShotSpread | None:
    """The blur of a whole shot from what some of its frames show.

    Edges of a face are no steps, and a smear is no Gaussian: variances that are read off edges are off by a factor.
    So a first solution is tried on swaps, and corrected by what it does to *their* spread.

    Args:
        seen: some of the frames.
        motion: of every frame, the way of the face in one frame's time, (x, y).

    Returns:
        The blur of every frame of `motion`; None where nothing was seen.
    """
    frames = sorted(set(seen) & set(motion))
    if not frames:
        return None
    wanted = np.array([_along_and_across(seen[frame].plate - seen[frame].swap, motion[frame]) for frame in frames])
    length = np.array([math.hypot(*motion[frame]) for frame in frames])
    shutter = _shutter(wanted[:, 0], length**2 / 12)
    everywhere = np.array(sorted(motion), np.float64)
    variance = _steadied(np.array(frames, np.float64), wanted[:, 1], everywhere).clip(min=0)
    shot = _shot_spread(shutter, variance, motion)
    tried = [frames[index] for index in np.unique(np.linspace(0, len(frames) - 1, _TRIES).round().astype(int))]
    for _ in range(_ROUNDS):
        of_smear, of_defocus = _corrections(shot, {frame: seen[frame] for frame in tried}, motion)
        shutter, variance = min(shutter * math.sqrt(of_smear), _LONGEST_SHUTTER), variance * of_defocus
        shot = _shot_spread(shutter, variance, motion)
    return shot


def _along_and_across(covariance: Array, way: Sequence[float]) -> tuple[float, float]:
    """Variance along a way beyond that across it, and that across; without a way 0 and the mean of both axes."""
    xx, xy, yy = covariance.tolist()
    length = math.hypot(*way)
    if length == 0:
        return 0.0, (xx + yy) / 2
    x, y = way[0] / length, way[1] / length
    across = y * y * xx - 2 * x * y * xy + x * x * yy
    return xx + yy - 2 * across, across


def _shutter(longer: Array, smear: Array) -> float:
    """The share of the motion that is smeared: a median of the frames, weighted by how far the face moves.

    longer: (N,) variance along the motion beyond that across. smear: (N,) what an open shutter would make of it.
    """
    weight = smear**2
    if smear.max() < _SLOWEST**2:
        return 0.0
    share = longer / np.maximum(smear, 1e-9)
    order = np.argsort(share)
    total = np.cumsum(weight[order])
    middle = share[order][np.searchsorted(total, total[-1] / 2)]
    return float(np.sqrt(np.clip(middle, 0, _LONGEST_SHUTTER**2)))


def _shot_spread(shutter: float, variance: Array, motion: Mapping[int, Sequence[float]]) -> ShotSpread:
    """`variance`: of the defocus of every frame of `motion` in order."""
    result = {}
    for frame, one in zip(sorted(motion), variance.tolist(), strict=True):
        x, y = shutter * float(motion[frame][0]), shutter * float(motion[frame][1])
        sigma, seen = math.sqrt(one), math.hypot(x, y) / math.sqrt(12) >= _UNSEEN
        result[frame] = FrameSpread(sigma if sigma >= _UNSEEN else 0.0, (x, y) if seen else (0.0, 0.0))
    return ShotSpread(shutter, result)


def _corrections(
    shot: ShotSpread, tries: Mapping[int, SeenFrame], motion: Mapping[int, Sequence[float]]
) -> tuple[float, float]:
    """Factors for the variances of smear and defocus, from the spread that the swaps are given and should have."""
    wanted, given = np.zeros(2), np.zeros(2)
    for frame, seen in tries.items():
        blurred = add_spread(seen.picture, seen.matte, shot.frames[frame], 1.0, 1.0)
        spread = None if blurred is seen.picture else edge_spread(blurred, seen.matte)
        if spread is not None:
            # Frames that move far say more of the smear; they count as in `_shutter`.
            weight = np.array([sum(way * way for way in motion[frame]), 1.0])
            wanted += weight * _along_and_across(seen.plate - seen.swap, motion[frame])
            given += weight * _along_and_across(spread - seen.swap, motion[frame])
    factors = [want / have if have > _UNSEEN**2 else 1.0 for want, have in zip(wanted, given, strict=True)]
    smear, defocus = (min(max(factor, 1 / _BOUND), _BOUND) for factor in factors)
    return smear, defocus


def _steadied(at: Array, values: Array, wanted: Array) -> Array:
    """Values measured at some times, of which the outliers are left out, smoothed and brought to the wanted times."""
    calm = np.array([np.median(values[max(0, i - 2) : i + 3]) for i in range(len(values))])
    weights = np.exp(-0.5 * ((wanted[:, None] - at[None, :]) / max(_STEADY, _gap(at))) ** 2) + 1e-9
    return np.asarray((weights * calm).sum(axis=1) / weights.sum(axis=1))


def _gap(times: Array) -> float:
    return float(np.diff(times).max()) if len(times) > 1 else 1.0


def add_spread(swap: Tensor, known: Tensor, spread: FrameSpread, defocus: float, motion_blur: float) -> Tensor:
    """Blur a swap as its plate is blurred.

    Args:
        swap: 1×3×r×r in model space.
        known: 1×1×r×r in [0, 1]; what lies where it is 0 does not enter, and stays.
        spread: what the swap lacks.
        defocus, motion_blur: 1 for all of it, 0 for none.
    """
    unit = swap.shape[-1] / 100
    sigma_px = defocus * spread.defocus * unit
    way = (motion_blur * spread.motion[0] * unit, motion_blur * spread.motion[1] * unit)
    if sigma_px <= 0 and math.hypot(*way) <= 0:
        return swap

    def blurred(picture: Tensor) -> Tensor:
        return smear(wide_gaussian(picture, sigma_px) if sigma_px > 0 else picture, way)

    share = blurred(known)
    return torch.where(share > 1e-3, blurred(swap * known) / share.clamp(min=1e-3), swap)


def smear(picture: Tensor, way_px: tuple[float, float]) -> Tensor:
    """An even blur of N×C×H×W along a straight way, (x, y) from end to end in pixels; the border continued.

    The weights are the shares of each pixel's square that a bar one pixel wide covers; shifted sums, as `gaussian`.
    """
    length = math.hypot(*way_px)
    if length == 0:
        return picture
    reach = math.ceil(length / 2) + 1
    along = np.array(way_px) / 2
    side = np.array([-way_px[1], way_px[0]]) / (2 * length)
    bar = np.array([along + side, along - side, -along - side, -along + side]) + reach
    weights = polygon_matte(bar, (2 * reach + 1, 2 * reach + 1))
    weights = weights / weights.sum()
    height, width = picture.shape[-2:]
    padded = torch.nn.functional.pad(picture, (reach,) * 4, mode="replicate")
    total = torch.zeros_like(picture)
    for row, column in torch.nonzero(weights).tolist():
        total.add_(padded[..., row : row + height, column : column + width], alpha=float(weights[row, column]))
    return total
