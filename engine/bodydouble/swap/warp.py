"""Resampling by a similarity: plate to crop and crop to plate, exact below a hundredth of a pixel at 8K.

Convention: matrices are 3×3, column vectors, destination first, in *pixel-centre* coordinates: (0, 0) is the centre of
the first pixel of the tensor. ``torch.nn.functional.grid_sample`` (float32 coordinates, cubic with A = -0.75, which
rings and does not reproduce a ramp) cannot do this, and ``interpolate`` (no rotation) only for `resize`.

Method: where the map minifies, the source is first low-passed by the cubic kernel stretched to the destination's pixel
pitch, on the source's own grid. The filter is the same at every pixel and goes to the identity as the scale goes to 1,
so a slow push-in never changes sharpness in steps. Then four by four taps of Keys' cubic (a = -1/2) are gathered.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

Padding = Literal["edge", "zero"]

_MARGIN = 3  # source pixels beyond the image that four taps of the cubic can still see, and one

_PIXELS_AT_ONCE = {True: 1 << 15, False: 1 << 22}
"""Destination pixels gathered together: on a CPU few enough for their indices and weights to stay in its cache."""


def warp(
    image: torch.Tensor,
    destination_from_source: torch.Tensor | npt.NDArray[np.float64],
    size: tuple[int, int],
    padding: Padding = "edge",
) -> torch.Tensor:
    """Resample `image` through a similarity; each batch item is computed as if it were alone.

    Only the source region that the destination sees is read, so a 4K plate costs what its face costs.

    Args:
        image: N×C×H×W float32, finite, any range and colour space (linear in the values).
        destination_from_source: (3, 3) for all items or (N, 3, 3); float64, pixel-centre coordinates. A similarity;
            another affine map is sampled at the right places but low-passed by its mean scale.
        size: (height, width) of the destination.
        padding: what lies outside the source: its border pixels ("edge") or 0 ("zero").

    Returns:
        N×C×height×width float32 on the image's device.

    Raises:
        ValueError: on a shape or dtype that does not fit, or a matrix that is not an invertible affine map.

    Source: R. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29(6), 1981.
    """
    if image.ndim != 4 or image.dtype != torch.float32:
        raise ValueError(f"image must be N×C×H×W float32, got {tuple(image.shape)} {image.dtype}")
    if padding not in ("edge", "zero"):
        raise ValueError(f'padding must be "edge" or "zero", got {padding!r}')
    matrices = np.asarray(torch.as_tensor(destination_from_source).detach().cpu().numpy(), dtype=np.float64)
    if matrices.shape not in ((3, 3), (len(image), 3, 3)):
        raise ValueError(f"destination_from_source must be (3, 3) or ({len(image)}, 3, 3), got {matrices.shape}")
    if 0 in size:  # a holdout over the whole face leaves nothing to bring back
        return image.new_empty((len(image), image.shape[1], *size))
    matrices = np.broadcast_to(matrices, (len(image), 3, 3))
    items = [_warp_one(item, matrix, size, padding) for item, matrix in zip(image, matrices, strict=True)]
    return torch.stack(items) if items else image.new_empty((0, image.shape[1], *size))


def _warp_one(
    image: torch.Tensor, matrix: npt.NDArray[np.float64], size: tuple[int, int], padding: Padding
) -> torch.Tensor:
    """One C×H×W image through one matrix."""
    source_from_destination = _inverse(matrix)
    pitch = math.sqrt(abs(np.linalg.det(source_from_destination[:2, :2])))  # source pixels per destination pixel
    x, y = _source_positions(source_from_destination, size, image, reach=_MARGIN + 4 * pitch)
    stride = max(1, math.floor(pitch / 1.25))  # stays denser than the destination, so the cubic adds little of its own
    radius = math.ceil(2 * pitch) if pitch > 1 else 0
    region, x0, y0 = _region(image, x, y, radius, stride, padding)
    if pitch > 1:
        region = _low_pass(_low_pass(region, pitch, radius, stride, dim=1), pitch, radius, stride, dim=2)
    return _cubic(region, (x - x0) / stride, (y - y0) / stride)


def _inverse(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    if not np.isfinite(matrix).all() or determinant == 0 or not np.array_equal(matrix[2], (0, 0, 1)):
        raise ValueError(f"destination_from_source must be an invertible affine 3×3 matrix, got {matrix.tolist()}")
    return np.asarray(np.linalg.inv(matrix))


def _source_positions(
    source_from_destination: npt.NDArray[np.float64], size: tuple[int, int], image: torch.Tensor, reach: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each destination pixel's centre falls in the source: h×w float64 x and y on the CPU (some GPUs lack it).

    Positions farther outside than `reach`, where padding is constant to all taps, are brought there: the region stays
    bounded.
    """
    height, width = size
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    columns = torch.arange(width, dtype=torch.float64)[None, :]
    (xx, xy, x0), (yx, yy, y0), _ = source_from_destination.tolist()
    x = (xx * columns + (xy * rows + x0)).clamp(-reach, image.shape[2] - 1 + reach)
    y = (yx * columns + (yy * rows + y0)).clamp(-reach, image.shape[1] - 1 + reach)
    return x, y


def _region(
    image: torch.Tensor, x: torch.Tensor, y: torch.Tensor, radius: int, stride: int, padding: Padding
) -> tuple[torch.Tensor, int, int]:
    """The padded part of `image` that the filters read, and the source position its first *filtered* sample has."""
    x0, columns = _span(x, radius, stride)
    y0, rows = _span(y, radius, stride)
    columns_x = torch.arange(x0 - radius, x0 - radius + columns, device=image.device)
    rows_y = torch.arange(y0 - radius, y0 - radius + rows, device=image.device)
    height, width = image.shape[1:]
    left, right = int(columns_x[0].clamp(0, width - 1)), int(columns_x[-1].clamp(0, width - 1))
    top, bottom = int(rows_y[0].clamp(0, height - 1)), int(rows_y[-1].clamp(0, height - 1))
    region = image[:, top : bottom + 1, left : right + 1]
    if region.shape[1] != rows:
        region = region.index_select(1, rows_y.clamp(top, bottom) - top)
        if padding == "zero":
            region = region * ((rows_y >= 0) & (rows_y < height)).to(region.dtype)[:, None]
    if region.shape[2] != columns:
        region = region.index_select(2, columns_x.clamp(left, right) - left)
        if padding == "zero":
            region = region * ((columns_x >= 0) & (columns_x < width)).to(region.dtype)
    return region, x0, y0


def _span(positions: torch.Tensor, radius: int, stride: int) -> tuple[int, int]:
    """First filtered sample and number of source samples needed along one axis.

    The first sample is a multiple of the stride, so the decimated grid is fixed in the plate and does not slide
    under a moving face.
    """
    first = (math.floor(float(positions.min())) // stride - 1) * stride
    samples = math.floor((float(positions.max()) - first) / stride) + 3
    return first, (samples - 1) * stride + 1 + 2 * radius


def _keys(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel, a = -1/2, support (-2, 2) (1981, Eq. 15)."""
    s = np.abs(t)
    near = (1.5 * s - 2.5) * s * s + 1
    far = ((-0.5 * s + 2.5) * s - 4) * s + 2
    return np.where(s <= 1, near, np.where(s < 2, far, 0.0))


def _low_pass(region: torch.Tensor, pitch: float, radius: int, stride: int, dim: int) -> torch.Tensor:
    """Filter C×h×w along `dim` by the kernel stretched to `pitch`, keeping every `stride`-th sample.

    By shifted sums: faster here than a convolution, and free of a GPU's TF32.
    """
    taps = _keys(np.arange(-radius, radius + 1, dtype=np.float64) / pitch)
    weights = (taps / taps.sum()).tolist()
    count = (region.shape[dim] - 2 * radius - 1) // stride + 1
    shifted = [slice(None)] * 3
    shape = list(region.shape)
    shape[dim] = count
    total = region.new_zeros(shape)
    for offset, weight in enumerate(weights):
        if weight != 0:
            shifted[dim] = slice(offset, offset + (count - 1) * stride + 1, stride)
            total.add_(region[tuple(shifted)], alpha=weight)
    return total


def _cubic(region: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cubic convolution of C×h×w at x, y (h'×w' float64; one sample or more from the low border, two from the high).

    The sixteen taps of a pixel are one weighted sum of sixteen rows of the (h·w)×C table of pixels: `embedding_bag`,
    which every device has as one kernel with a fixed order of summing.
    """
    channels, _, width = region.shape
    table = region.permute(1, 2, 0).reshape(-1, channels).contiguous()
    left, top = x.floor(), y.floor()
    first = ((top - 1) * width + (left - 1)).int()
    fraction_x, fraction_y = (x - left).float(), (y - top).float()
    taps = (torch.arange(4)[:, None] * width + torch.arange(4)).flatten().int().to(region.device)
    height, out_width = x.shape
    result = torch.empty((height, out_width, channels), dtype=torch.float32, device=region.device)
    rows = max(1, _PIXELS_AT_ONCE[region.device.type == "cpu"] // max(1, out_width))
    for low in range(0, height, rows):
        part = slice(low, low + rows)
        down, across = (_four_taps(fraction[part].flatten().to(region.device)) for fraction in (fraction_y, fraction_x))
        # Planes of pixels, and turned at the end: half the time of four by four products for each pixel.
        weights = (down[:, None] * across).flatten(0, 1).T.contiguous()
        places = first[part].reshape(-1, 1).to(region.device) + taps
        line = F.embedding_bag(places, table, per_sample_weights=weights, mode="sum")
        result[part] = line.reshape(-1, out_width, channels)
    return result.permute(2, 0, 1).contiguous()


def _four_taps(t: torch.Tensor) -> torch.Tensor:
    """Weights of the samples at -1, 0, 1, 2 for places t in [0, 1): `_keys` of each distance, 4×…."""
    squared = t * t
    cubed = squared * t
    return torch.stack(
        (
            squared - 0.5 * (cubed + t),
            1.5 * cubed - 2.5 * squared + 1,
            2 * squared - 1.5 * cubed + 0.5 * t,
            0.5 * (cubed - squared),
        )
    )


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Another resolution of the same picture, outer edges on outer edges: the cubic of `warp`, without a turn.

    Args:
        image: N×C×H×W float32.
        size: (height, width).

    Returns:
        N×C×height×width float32. At the border torch leaves out the taps that fall outside, instead of continuing the
        border pixel; further in it is what `warp` gives to 1e-5 where it enlarges.
    """
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True)
