"""Mattes from polygons: exact anti-aliased coverage, signed distance, growing, shrinking and feathering.

Convention: polygons are (K, 2) rows of (x, y) in *pixel-centre* coordinates: (0, 0) is the centre of the first pixel,
whose square is [-0.5, 0.5)². Either direction round is the same shape. Points may lie outside the image.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch


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
    start = _points(polygon) + 0.5  # pixel (i, j) is now the square [j, j + 1) × [i, i + 1)
    end = np.roll(start, -1, axis=0)
    # A pixel's coverage by the area right of an edge, summed over the edges with the sign of their direction (Green).
    rows, x_a, x_b, signed_height = _edge_pieces(start, end, height)
    columns = np.arange(width + 1, dtype=np.float64)[None, :]
    covered_left_of = _ramp_integral(columns, np.minimum(x_a, x_b)[:, None], np.maximum(x_a, x_b)[:, None])
    pieces = np.diff(covered_left_of, axis=1) * signed_height[:, None]
    coverage = np.zeros((height, width))
    np.add.at(coverage, rows, pieces)
    return torch.from_numpy(np.abs(coverage).clip(0, 1).astype(np.float32)).to(device=device)


def _points(polygon: npt.ArrayLike) -> npt.NDArray[np.float64]:
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f"polygon must be (K, 2) finite points, K ≥ 3, got shape {points.shape}")
    return points


def _edge_pieces(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], height: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cut edges at the pixel rows: for each piece its row, the x of both its ends and its signed height."""
    row_top = np.arange(height, dtype=np.float64)[:, None]
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    y_a, y_b = np.maximum(low, row_top), np.minimum(high, row_top + 1)  # rows × edges
    rows, edges = np.nonzero(y_b > y_a)
    y_a, y_b = y_a[rows, edges], y_b[rows, edges]
    direction = end[edges] - start[edges]
    slope = direction[:, 0] / direction[:, 1]
    x_a = start[edges, 0] + (y_a - start[edges, 1]) * slope
    x_b = start[edges, 0] + (y_b - start[edges, 1]) * slope
    return rows, x_a, x_b, (y_b - y_a) * np.sign(direction[:, 1])


def _ramp_integral(
    x: npt.NDArray[np.float64], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mean over X in [low, high] of max(0, x - X): the area left of x and right of a slanted edge one unit high."""
    inside = x.clip(low, high) - low
    slanted = inside * inside / (2 * np.maximum(high - low, 1e-12))
    return np.asarray(slanted + (x - high).clip(0))


def signed_distance(
    polygon: npt.ArrayLike, size: tuple[int, int], device: torch.device | str | None = None
) -> torch.Tensor:
    """Distance of each pixel centre to the polygon's outline, in pixels: positive inside, negative outside.

    Args:
        polygon: (K, 2) points of a simple polygon; pixel-centre coordinates.
        size: (height, width).
        device: where the result goes; it is computed on the CPU.

    Returns:
        height×width float32.
    """
    points = torch.from_numpy(_points(polygon))
    y = torch.arange(size[0], dtype=torch.float32)[:, None]
    x = torch.arange(size[1], dtype=torch.float32)[None, :]
    nearest = torch.full(size, torch.inf)
    inside = torch.zeros(size, dtype=torch.bool)
    for a, b in zip(points.tolist(), points.roll(-1, 0).tolist(), strict=True):
        edge_x, edge_y = b[0] - a[0], b[1] - a[1]
        length_squared = edge_x * edge_x + edge_y * edge_y
        if length_squared == 0:
            continue
        from_x, from_y = x - a[0], y - a[1]
        along = ((from_x * (edge_x / length_squared)) + from_y * (edge_y / length_squared)).clamp_(0, 1)
        squared = (from_x - along * edge_x).square_() + (from_y - along * edge_y).square_()
        torch.minimum(nearest, squared, out=nearest)
        crossed = (y >= min(a[1], b[1])) & (y < max(a[1], b[1]))  # even-odd rule, one end of each edge counted
        if edge_y != 0:
            inside ^= crossed & (from_x < from_y * (edge_x / edge_y))
    distance = nearest.sqrt_()
    return torch.where(inside, distance, -distance).to(device=device)


def offset_matte(
    polygon: npt.ArrayLike, size: tuple[int, int], offset_px: float, device: torch.device | str | None = None
) -> torch.Tensor:
    """Coverage of the polygon grown (`offset_px` > 0, round corners) or shrunk (< 0) by whole or part pixels.

    Anti-aliased by distance: a pixel whose centre lies on the new outline has one half. At 0 it is `polygon_matte`.

    Returns:
        height×width float32 in [0, 1].
    """
    if offset_px == 0:
        return polygon_matte(polygon, size, device)
    return (signed_distance(polygon, size, device) + (offset_px + 0.5)).clamp_(0, 1)


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
    depth = torch.erfinv((2 * gaussian(matte, sigma_px) - 1).clamp_(0, 1)) * (sigma_px * math.sqrt(2))
    return _smoothstep((depth / width_px).clamp_(0, 1)) * matte


def inner_half(blurred: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """The inner part of a blurred matte's edge: 0 at one half, 1 at one, smooth at both ends; 0 where `matte` is."""
    return _smoothstep((2 * blurred - 1).clamp_(0, 1)) * matte


def _smoothstep(ramp: torch.Tensor) -> torch.Tensor:
    return ramp * ramp * (3 - 2 * ramp)


def gaussian(image: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Blur …×H×W by a Gaussian cut at 3 sigma, the border continued outwards; constants stay exactly constant.

    By shifted sums, symmetric pairs first: the same bits for a frame alone or in a batch, and no TF32 on a GPU.
    """
    if sigma_px <= 0:
        return image
    radius = max(1, math.ceil(3 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(radius + 1) / sigma_px) ** 2)
    taps /= taps[0] + 2 * taps[1:].sum()
    return _blur_along(_blur_along(image, taps.tolist(), -1), taps.tolist(), -2)


def _blur_along(image: torch.Tensor, taps: list[float], dim: int) -> torch.Tensor:
    """Symmetric filter along `dim`; written as centre + Σ tap·(pair - 2·centre), which a constant passes to the bit."""
    count, radius = image.shape[dim], len(taps) - 1
    index = torch.arange(-radius, count + radius, device=image.device).clamp_(0, count - 1)
    padded = image.index_select(dim, index)
    total = image.clone()
    for offset, tap in enumerate(taps[1:], start=1):
        pair = padded.narrow(dim, radius - offset, count) + padded.narrow(dim, radius + offset, count)
        total.add_(pair.sub_(image, alpha=2), alpha=tap)
    return total
