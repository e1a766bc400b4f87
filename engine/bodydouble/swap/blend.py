"""Multi-band blending of the swap into the plate: the plate keeps its light, the persona gives the features.

All images are N×C×H×W float32 in model space, any device, any H×W; every step is a fixed elementwise sum, so a frame
gives the same bits alone or in a batch. The equations and why they stand like this: docs/blend.md.

Sources: US 2020/0372621 A1; P. Burt and E. Adelson, The Laplacian pyramid as a compact image code, 1983, and A
multiresolution spline with application to image mosaics, 1983; S. Gortler et al., The lumigraph, 1996 (pull-push).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F

from bodydouble.swap.matte import gaussian, gaussian_taps, inner_half


def level_count(size: tuple[int, int]) -> int:
    """Levels of a pyramid whose coarsest image is two or three pixels along its short side: floor(log2(min(H, W)))."""
    return max(1, min(size).bit_length() - 1)


def blend(
    swap: torch.Tensor,
    plate: torch.Tensor,
    mask: torch.Tensor,
    sigma: float = 1.0,
    plate_levels: int = 2,
    levels: int | None = None,
    known: torch.Tensor | None = None,
    own_light: bool = False,
) -> torch.Tensor:
    """Blend band by band: the plate's coarsest `plate_levels` bands, the swap's others inside the mask.

    Args:
        swap: S, N×C×H×W float32, finite, model space.
        plate: T, the plate's crop, same shape.
        mask: coverage of the outline polygon, N×1×H×W float32, 1 inside and 0 outside.
        sigma: of the mask's inward smoothing, in pixels of each level, ≥ 0.
        plate_levels: how many bands, from the coarsest, are wholly the plate's.
        levels: bands in all; None for `level_count`.
        known: N×1×H×W float32 in [0, 1], where S means anything; None for everywhere. A decoder trained with a masked
            loss says nothing outside its matte, and that nothing would enter the coarse bands: where S is not known,
            S - T is carried on from the coarser level, so that a tone difference stays a coarse band.
        own_light: take the coarsest bands from the swap, over all of the mask, instead.

    Returns:
        N×C×H×W float32. Where `mask` is 0 it is the plate to the bit, but for the sign of a zero.

    Raises:
        ValueError: on shapes, dtypes or settings that do not fit, or values that are not finite where mask or known is.
    """
    _check(swap, plate, mask)
    levels = level_count((plate.shape[-2], plate.shape[-1])) if levels is None else levels
    if levels < 1 or plate_levels < 0 or sigma < 0:
        raise ValueError(f"need levels ≥ 1, plate_levels ≥ 0, sigma ≥ 0, got {levels}, {plate_levels}, {sigma}")
    # O_i = M̂·T_i + M·S_i = T_i + M·(S_i - T_i), and pyramids are linear: one pyramid, of the difference, is enough.
    window, depth = Window(slice(None), slice(None)), 0
    if known is not None and all(side % (1 << _WINDOWED) == 0 for side in plate.shape[-2:]):
        window, depth = window_around(torch.maximum(mask, known)), _WINDOWED
    part, inside = window.cut(plate), window.cut(mask)
    trust = torch.ones_like(mask) if known is None else window.cut(known)
    settings = _Bands(sigma, plate_levels, own_light, window, depth, (plate.shape[-2], plate.shape[-1]))
    difference = window.cut(swap) - part
    _check_finite(difference, inside, window.cut(swap))
    change = _change(difference, trust, inside, levels, settings)[:, plate.shape[1] :]
    result = plate.clone()
    # Coarse bands, enlarged, reach a little over the outline; the full-size coverage cuts that off.
    window.cut(result).addcmul_(inside, change)
    return result


_WINDOWED = 2
"""How many of the finest levels are computed only around the mask; from the next on, the whole crop costs little."""
_SMALL = 128 * 128
"""Pixels up to which an image is small."""
_TINY = 64
"""Longer side up to which a filter is two matrix products: one step each instead of thirty."""
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_GUARD = 8
"""Pixels around the mask that REDUCE sees at the windowed levels: 2 of each of their pixels, 2 + 4, and some."""


@dataclass(frozen=True)
class Window:
    """Rows and columns of an image at full size; whole numbers of its pixels after every windowed halving."""

    rows: slice
    columns: slice

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        return image[..., self.rows, self.columns]

    def halved(self, times: int) -> Window:
        return Window(*(slice(part.start >> times, part.stop >> times) for part in (self.rows, self.columns)))


def window_around(weight: torch.Tensor) -> Window:
    """What all of a weight ≥ 0 (N×1×H×W) lies in, with the guard band of a blend."""
    height, width = weight.shape[-2:]
    step, parts = 1 << _WINDOWED, []
    for across, count in ((-1, height), (-2, width)):  # a maximum is several times faster than a comparison
        places = torch.nonzero(weight.amax(dim=across).flatten(0, 1).amax(dim=0)).flatten()
        low, high = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 1)
        parts.append(slice(max(0, low - _GUARD) // step * step, min(count, -(-(high + _GUARD) // step) * step)))
    return Window(*parts)


@dataclass(frozen=True)
class _Bands:
    """What stays the same for all levels of a blend: `depth` levels are windowed, of an image of `size`."""

    sigma: float
    plate_levels: int
    own_light: bool
    window: Window
    depth: int
    size: tuple[int, int]


def _change(
    difference: torch.Tensor, known: torch.Tensor, mask: torch.Tensor, level: int, bands: _Bands, step: int = 0
) -> torch.Tensor:
    """What a blend adds to the plate at one level and all coarser ones.

    Args:
        difference: S - T at this level, meaningful as far as `known` says, N×C×h×w.
        known, mask: N×1×h×w.
        level: 1 is the coarsest.
        bands: the blend's settings.
        step: halvings so far.

    Returns:
        N×2C×h×w: the difference with what was not known carried on from the coarser levels, and then the change.
    """
    if step == bands.depth > 0:
        bands = replace(bands, depth=0)
        window, size = bands.window.halved(step), [side >> step for side in bands.size]
        whole = [image.new_zeros((*image.shape[:2], *size)) for image in (difference, known, mask)]
        for image, part in zip(whole, (difference, known, mask), strict=True):
            window.cut(image).copy_(part)
        return window.cut(_change(whole[0], whole[1], whole[2], level, bands, step))
    channels = difference.shape[1]
    if level == 1:
        band = extend(difference, known)
        both = torch.cat([band, torch.zeros_like(band)], dim=1)
        change = both[:, channels:]
    else:
        # Side by side in one tensor: on the small levels it is the number of steps that takes time.
        below = halve(torch.cat([difference * known, known, mask], dim=1))
        mean, trust = _trusted(below[:, :channels], below[:, channels : channels + 1])
        coarser = _change(mean, trust, below[:, channels + 1 :], level - 1, bands, step + 1)
        both = enlarge(coarser, difference.shape[-2:])
        filled, change = both[:, :channels], both[:, channels:]
        band = (difference - filled).mul_(known)
        filled.add_(band)
    if level > bands.plate_levels:
        change.addcmul_(band, level_mask(mask, bands.sigma))
    elif bands.own_light:
        change.add_(band)
    return both


def level_mask(mask: torch.Tensor, sigma: float) -> torch.Tensor:
    """The swap's weight M = 1 - M̂ in a band: the mask at that size, smoothed inwards only.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        sigma: in pixels of the band; 0 leaves the reduced coverage.
    """
    if sigma <= 0:
        return mask
    if not _tiny(mask):
        return inner_half(gaussian(mask, sigma), mask)
    return inner_half(_product(mask, *(_sum_matrix(count, gaussian_taps(sigma)) for count in mask.shape[-2:])), mask)


def extend(difference: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """Carry `difference` on smoothly from where it is known to everywhere, by pull-push.

    Pull: halve the matte-weighted mean until one pixel is left. Push: enlarge, and where the finer mean is known keep
    that instead, by its weight.

    Args:
        difference: N×C×H×W float32, finite.
        matte: N×1×H×W float32 in [0, 1]; where it is 1 the difference returns as it is. All 0 gives 0.

    Returns:
        N×C×H×W float32.
    """
    channels, means, weights = difference.shape[1], [difference], [matte]
    while max(means[-1].shape[-2:]) > 1:
        below = halve(torch.cat([means[-1] * weights[-1], weights[-1]], dim=1))
        mean, weight = _trusted(below[:, :channels], below[:, channels:])
        means.append(mean)
        weights.append(weight)
    filled = means.pop() * (weights.pop() > 0)
    for mean, weight in zip(reversed(means), reversed(weights), strict=True):
        filled = torch.lerp(enlarge(filled, mean.shape[-2:]), mean, weight)
    return filled


def _trusted(total: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and trust, from the halved weighted sum and the halved weight.

    Trust grows faster than the known share, 1 - (1 - share)^4, so that the fill next to the outline is led by its
    neighbourhood, not by the mean of the face; without a kink, as a clamp would leave.
    """
    # Where nothing is known both sums are 0, and so are the mean and the trust; comparisons would take longer.
    doubt = 1 - share.clamp(0, 1)
    doubt.mul_(doubt)
    return total / share.clamp(min=1e-12), 1 - doubt * doubt


def _check(swap: torch.Tensor, plate: torch.Tensor, mask: torch.Tensor) -> None:
    shape = plate.shape
    if plate.ndim != 4 or swap.shape != shape or mask.shape != (shape[0], 1, *shape[2:]):
        raise ValueError(
            "need swap and plate N×C×H×W and mask N×1×H×W, "
            f"got {tuple(swap.shape)}, {tuple(shape)}, {tuple(mask.shape)}"
        )
    for name, image in (("swap", swap), ("plate", plate), ("mask", mask)):
        if image.dtype != torch.float32:
            raise ValueError(f"{name} must be float32, got {image.dtype}")


def _check_finite(difference: torch.Tensor, mask: torch.Tensor, swap: torch.Tensor) -> None:
    """Refuse NaN and Inf: of swap and plate by their difference, in one reading of the pictures."""
    if not _finite(mask):
        raise ValueError("mask has NaN or infinite values; replace them before blending")
    if not _finite(difference):
        name = "plate" if _finite(swap) else "swap"
        raise ValueError(f"{name} has NaN or infinite values; replace them before blending")


def _finite(image: torch.Tensor) -> bool:
    return not image.numel() or all(bool(bound.isfinite()) for bound in torch.aminmax(image))  # NaN is passed on


def halve(image: torch.Tensor) -> torch.Tensor:
    """Half the size, rounded up: [1 4 6 4 1]/16 at every second pixel, border continued (Burt & Adelson, REDUCE)."""
    if _tiny(image):
        return _product(image, *(_sum_matrix(count, _BINOMIAL, 2) for count in image.shape[-2:]))
    return _reduce_along(_reduce_along(image, -2), -1)


def _reduce_along(image: torch.Tensor, dim: int) -> torch.Tensor:
    half = (image.shape[dim] + 1) // 2
    total = _sum_of_two(image, dim, half, 2, (-2, 2))
    total.add_(_part(image, dim, slice(0, None, 2)), alpha=6)
    return total.add_(_sum_of_two(image, dim, half, 2, (-1, 1)), alpha=4).mul_(1 / 16)


def enlarge(image: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    """Enlarge to `size`, on the grid of `halve`: coarse pixel k lies on fine pixel 2k (Burt & Adelson, EXPAND)."""
    if _tiny(image):
        pairs = zip(image.shape[-2:], size, strict=True)
        return _product(image, *(_expand_matrix(count, wanted) for count, wanted in pairs))
    return _expand_along(_expand_along(image, size[1], -1), size[0], -2)


def _tiny(image: torch.Tensor) -> bool:
    """Whether a picture's filters are done as matrix products; on a GPU those may be of fewer digits."""
    return max(image.shape[-2:]) <= _TINY and image.device.type == "cpu"


def _product(image: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """down · image · acrossᵀ for every channel by itself, so that a frame gives the same bits in any batch."""
    flat = image.flatten(0, 1)
    count = len(flat)
    rows = torch.bmm(down.expand(count, -1, -1), flat)
    result = torch.bmm(rows, across.T.expand(count, -1, -1))
    return result.unflatten(0, image.shape[:2])


@cache
def _sum_matrix(count: int, taps: tuple[float, ...], step: int = 1) -> torch.Tensor:
    """The filter of `taps` at every `step`-th of `count` samples, the border continued: ⌈count / step⌉×count."""
    matrix, reach = torch.zeros(-(-count // step), count), len(taps) // 2
    for row in range(len(matrix)):
        for offset, tap in enumerate(taps, start=-reach):
            matrix[row, min(max(step * row + offset, 0), count - 1)] += tap
    return matrix


@cache
def _expand_matrix(count: int, wanted: int) -> torch.Tensor:
    """EXPAND from `count` to `wanted` samples: wanted×count."""
    matrix = torch.zeros(wanted, count)
    for row in range(wanted):
        weights = zip((-1, 0, 1), (1, 6, 1), strict=True) if row % 2 == 0 else zip((0, 1), (4, 4), strict=True)
        for offset, weight in weights:
            matrix[row, min(max(row // 2 + offset, 0), count - 1)] += weight / 8
    return matrix


def _expand_along(image: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    half, shape = image.shape[dim], list(image.shape)
    shape[dim] = 2 * half
    result = image.new_empty(shape)
    # Each is written into its places: putting them side by side first would take longer than the sums.
    even = _sum_of_two(image, dim, half, 1, (-1, 1)).add_(image, alpha=6)
    torch.mul(even, 1 / 8, out=_part(result, dim, slice(0, None, 2)))
    torch.mul(_sum_of_two(image, dim, half, 1, (0, 1)), 0.5, out=_part(result, dim, slice(1, None, 2)))
    return _part(result, dim, slice(0, count))


def _sum_of_two(image: torch.Tensor, dim: int, count: int, step: int, offsets: tuple[int, int]) -> torch.Tensor:
    """For k < `count` the sum of the samples at step·k + offset along `dim`, the border continued.

    Of a large image by slices of the image itself, because a padded copy would take longer than the sum; of a small one
    by a padded copy, because there it is the number of steps that takes time.
    """
    if image.shape[-2] * image.shape[-1] <= _SMALL:
        before, after = max(0, -offsets[0]), max(0, step * (count - 1) + offsets[1] - (image.shape[dim] - 1))
        pad = (0, 0, before, after) if dim == -2 else (before, after, 0, 0)
        padded, end = F.pad(image, pad, mode="replicate"), before + step * (count - 1) + 1
        first, second = (_part(padded, dim, slice(before + o, end + o, step)) for o in offsets)
        return first + second
    shape, last = list(image.shape), image.shape[dim] - 1
    shape[dim] = count
    total = image.new_empty(shape)
    for k in {0, count - 1}:
        ends = [
            _part(image, dim, slice(place, place + 1)) for place in (min(max(step * k + o, 0), last) for o in offsets)
        ]
        torch.add(*ends, out=_part(total, dim, slice(k, k + 1)))
    if count > 2:
        low, high = (_part(image, dim, slice(step + o, step * (count - 2) + o + 1, step)) for o in offsets)
        torch.add(low, high, out=_part(total, dim, slice(1, count - 1)))
    return total


def _part(image: torch.Tensor, dim: int, part: slice) -> torch.Tensor:
    """A view of some rows (`dim` -2) or columns (-1)."""
    return image[..., part, :] if dim == -2 else image[..., part]
