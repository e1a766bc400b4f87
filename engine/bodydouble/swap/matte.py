"""Mattes from polygons: exact anti-aliased coverage, and feathering.

Convention: polygons are (K, 2) rows of (x, y) in *pixel-centre* coordinates: (0, 0) is the centre of the first pixel,
whose square is [-0.5, 0.5)². Either direction round is the same shape. Points may lie outside the image.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from bodydouble.swap.pyramids import mean_outwards

_SIGMA_OF_SMALL = 6.0
"""Least sigma, in pixels of a smaller image, that a blur may have there: then the cubic restores it."""


def polygon_matte(
    polygon: npt.ArrayLike, size: tuple[int, int], device: torch.device | str | None = None
) -> torch.Tensor:
    """The exact area of each pixel that a simple polygon covers, so a moving outline never steps.

    Args:
        polygon: (K, 2) points, K ≥ 3, convex or not; pixel-centre coordinates.
        size: (height, width).
        device: where the result goes; it is computed on the CPU in float64, alike for every device.

    Returns:
        height×width float32 in [0, 1].
    """
    height, width = size
    coverage = torch.zeros(size, dtype=torch.float32)
    points = _points(polygon) + 0.5  # pixel (i, j) is now the square [j, j + 1) × [i, i + 1)
    left, top = (max(0, math.floor(low)) for low in points.min(axis=0))
    right, bottom = np.minimum(np.ceil(points.max(axis=0)), (width, height)).astype(int).tolist()
    if left < right and top < bottom:
        covered = _covered(points - (left, top), (bottom - top, right - left))
        coverage[top:bottom, left:right] = torch.from_numpy(covered)
    return coverage.to(device=device)


def _points(polygon: npt.ArrayLike) -> npt.NDArray[np.float64]:
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f"polygon must be (K, 2) finite points, K ≥ 3, got shape {points.shape}")
    return points


def _covered(points: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Coverage of the squares [j, j + 1) × [i, i + 1) by the polygon through `points`.

    A square is covered by the signed area right of the edges (Green). Edges are cut at the rows and columns; a piece of
    height h whose middle lies at m across its square covers h·(1 - m) of it and h of every square to the right, which
    one running sum along the row adds up.
    """
    height, width = size
    start, end = _cut(points, np.roll(points, -1, axis=0), height, axis=1)
    inside = ((start + end)[:, 1] > 0) & ((start + end)[:, 1] < 2 * height)
    start, end = _cut(start[inside], end[inside], width, axis=0)
    middle = ((start + end) / 2).clip(0, (width, height))
    columns, rows = np.floor(middle).astype(np.intp).T
    across, signed_height = middle[:, 0] - columns, end[:, 1] - start[:, 1]
    cells = rows.clip(0, height - 1) * (width + 2) + columns
    sums = np.bincount(cells, signed_height * (1 - across), height * (width + 2))
    sums += np.bincount(cells + 1, signed_height * across, height * (width + 2))
    area = np.abs(np.cumsum(sums.reshape(height, -1), axis=1)[:, :width])
    # The running sum leaves 1e-16 behind; a matte is exactly 0 outside and exactly 1 inside.
    return np.where(area < 1e-9, 0, np.where(area > 1 - 1e-9, 1, area)).astype(np.float32)


def _cut(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], count: int, axis: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cut edges (N, 2) where their coordinate `axis` is a whole number from 0 to `count`; directions are kept."""
    a, step = start[:, axis], (end - start)[:, axis]
    low, high = np.minimum(a, end[:, axis]), np.maximum(a, end[:, axis])
    first = np.maximum(np.floor(low) + 1, 0)
    pieces = np.maximum(np.minimum(np.ceil(high) - 1, count) - first + 1, 0).astype(np.intp) + 1
    edge = np.repeat(np.arange(len(start)), pieces)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    from_line = np.where(number == 0, low[edge], first[edge] + number - 1)
    to_line = np.where(number == pieces[edge] - 1, high[edge], first[edge] + number)
    level = step == 0
    safe = np.where(level, 1, step)[edge]
    share = np.stack([from_line - a[edge], to_line - a[edge]]) / safe  # along the edge, both ends of the piece
    share = np.where(level[edge], [[0.0], [1.0]], np.sort(share, axis=0))
    along = (end - start)[edge]
    return start[edge] + share[0][:, None] * along, start[edge] + share[1][:, None] * along


def inward_feather(matte: torch.Tensor, width_px: float) -> torch.Tensor:
    """A smooth ramp from 0 on the matte's outline to its full value `width_px` inside; never above the matte.

    The depth inside is read off a Gaussian blur B: along a straight outline B = Φ(depth / sigma), so the depth is
    sigma √2 erfinv(2B - 1). That needs no polygon, so it works on any soft matte (occlusions included), moves without
    steps, and rounds corners. The ramp is a smoothstep of depth / width.

    Args:
        matte: …×H×W float32 in [0, 1]. It continues beyond the image as at the border.
        width_px: length of the ramp in pixels, ≥ 0; 0 returns the matte.

    Returns:
        The feathered matte, same shape; exactly 0 where `matte` is 0, 1 deep inside.
    """
    if matte.ndim < 2 or matte.dtype != torch.float32 or width_px < 0:
        raise ValueError(f"need …×H×W float32 and width_px ≥ 0, got {tuple(matte.shape)} {matte.dtype}, {width_px}")
    if width_px == 0:
        return matte
    sigma_px = width_px / 2  # at the ramp's end B = Φ(2) = 0.977, far enough from 1 for erfinv
    blurred = wide_gaussian(matte, sigma_px)
    depth = torch.erfinv((2 * blurred - 1).clamp_(0, 1)) * (sigma_px * math.sqrt(2))
    return smoothstep((depth / width_px).clamp_(0, 1)) * matte


def wide_gaussian(image: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """`gaussian` of …×H×W to about 1e-4 of its range: a wide one on a smaller image, whose pixels are means of k×k."""
    k = 1
    while sigma_px / (2 * k) >= _SIGMA_OF_SMALL:
        k *= 2
    if k == 1:
        return gaussian(image, sigma_px)
    height, width = image.shape[-2:]
    flat = image.reshape(-1, 1, height, width)
    padded = F.pad(flat, (0, -width % k, 0, -height % k), mode="replicate")
    # The mean of k pixels is a blur too, and the cubic's own is next to none.
    small = gaussian(F.avg_pool2d(padded, k), math.sqrt(sigma_px**2 - (k * k - 1) / 12) / k)
    wide = F.interpolate(small, scale_factor=k, mode="bicubic", antialias=True)
    return wide[..., :height, :width].reshape(image.shape)


def inner_half(blurred: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """The inner part of a blurred matte's edge: 0 at one half, 1 at one, smooth at both ends; 0 where `matte` is."""
    return smoothstep(torch.rsub(blurred, -1, alpha=-2).clamp_(0, 1)).mul_(matte)


def smoothstep(ramp: torch.Tensor) -> torch.Tensor:
    """3r² - 2r³ of a ramp in [0, 1]: level at both ends."""
    return torch.rsub(ramp, 3, alpha=2).mul_(ramp).mul_(ramp)


def mean_under(image: torch.Tensor, weight: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Mean nearby (`wide_gaussian`) of what has weight; 0 where nothing has any. Both …×H×W, weight in [0, 1]."""
    return wide_gaussian(image * weight, sigma_px) / (wide_gaussian(weight, sigma_px) + 1e-4)


def gaussian(image: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Blur …×H×W by a Gaussian cut at 3 sigma, the border continued outwards; constants stay exactly constant.

    By shifted sums, symmetric pairs first: the same bits for a frame alone or in a batch, and no TF32 on a GPU.
    """
    if sigma_px <= 0:
        return image
    taps = gaussian_taps(sigma_px)
    return _blur_along(_blur_along(image, taps, -1), taps, -2)


@cache
def gaussian_taps(sigma_px: float) -> tuple[float, ...]:
    """Weights of a Gaussian cut at 3 sigma, an odd number of them, their sum 1."""
    radius = max(1, math.ceil(3 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    return tuple((taps / taps.sum()).tolist())


def _blur_along(image: torch.Tensor, taps: tuple[float, ...], dim: int) -> torch.Tensor:
    """Symmetric filter along `dim`."""
    count, radius = image.shape[dim], len(taps) // 2
    pad = (radius, radius, 0, 0) if dim == -1 else (0, 0, radius, radius)
    flat = image.reshape(-1, 1, *image.shape[-2:])
    padded = F.pad(flat, pad, mode="replicate").reshape(*image.shape[:-2], *_padded(image.shape, pad))
    return mean_outwards(
        image, lambda offset: padded.narrow(dim, radius + offset, count), taps, torch.empty_like(image)
    )


def _padded(shape: torch.Size, pad: tuple[int, int, int, int]) -> tuple[int, int]:
    return shape[-2] + pad[2] + pad[3], shape[-1] + pad[0] + pad[1]
