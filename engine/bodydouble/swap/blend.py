"""Multi-band blending of the swap into the plate: the plate keeps its light, the persona gives the features.

All images are N×C×H×W float32 in model space, any device, any H×W; every step is a fixed elementwise sum, so a frame
gives the same bits alone or in a batch. The equations and why they stand like this: docs/blend.md.

Sources: US 2020/0372621 A1; P. Burt and E. Adelson, The Laplacian pyramid as a compact image code, 1983, and A
multiresolution spline with application to image mosaics, 1983; S. Gortler et al., The lumigraph, 1996 (pull-push).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from bodydouble.swap.matte import gaussian, inner_half


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
        N×C×H×W float32. Where `mask` is 0 it is the plate to the bit.

    Raises:
        ValueError: on shapes, dtypes or settings that do not fit, or values that are not finite.
    """
    _check(swap, plate, mask)
    levels = level_count((plate.shape[-2], plate.shape[-1])) if levels is None else levels
    if levels < 1 or plate_levels < 0 or sigma < 0:
        raise ValueError(f"need levels ≥ 1, plate_levels ≥ 0, sigma ≥ 0, got {levels}, {plate_levels}, {sigma}")
    # O_i = M̂·T_i + M·S_i = T_i + M·(S_i - T_i), and pyramids are linear: one pyramid, of the difference, is enough.
    halves_well = all(side % (1 << _WINDOWED) == 0 for side in plate.shape[-2:])
    depth = _WINDOWED if known is not None and halves_well else 0
    window = _Window(slice(None), slice(None)) if known is None or not depth else _window(torch.maximum(mask, known))
    part, inside = window.cut(plate), window.cut(mask)
    trust = torch.ones_like(mask) if known is None else window.cut(known)
    settings = _Bands(sigma, plate_levels, own_light, window, depth, (plate.shape[-2], plate.shape[-1]))
    _, change = _change(window.cut(swap) - part, trust, inside, levels, settings)
    result = plate.clone()
    # Coarse bands, enlarged, reach a little over the outline; the full-size coverage cuts that off.
    window.cut(result).copy_(torch.where(inside > 0, torch.addcmul(part, inside, change), part))
    return result


_WINDOWED = 2
"""How many of the finest levels are computed only around the mask; from the next on, the whole crop costs little."""
_SMALL = 128 * 128
"""Pixels up to which an image is small."""
_GUARD = 8
"""Pixels around the mask that REDUCE sees at the windowed levels: 2 of each of their pixels, 2 + 4, and some."""


@dataclass(frozen=True)
class _Window:
    """Rows and columns of an image at full size; whole numbers of its pixels after every windowed halving."""

    rows: slice
    columns: slice

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        return image[..., self.rows, self.columns]

    def halved(self, times: int) -> _Window:
        return _Window(*(slice(part.start >> times, part.stop >> times) for part in (self.rows, self.columns)))


def _window(weight: torch.Tensor) -> _Window:
    """What all of a weight (N×1×H×W) lies in, with its guard band."""
    height, width = weight.shape[-2:]
    step = 1 << _WINDOWED
    seen = weight.amax(dim=(0, 1)) > 0
    parts = []
    for along, count in ((1, height), (0, width)):
        places = torch.nonzero(seen.any(dim=along)).flatten()
        low, high = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 1)
        parts.append(slice(max(0, low - _GUARD) // step * step, min(count, -(-(high + _GUARD) // step) * step)))
    return _Window(*parts)


@dataclass(frozen=True)
class _Bands:
    """What stays the same for all levels of a blend: `depth` levels are windowed, of an image of `size`."""

    sigma: float
    plate_levels: int
    own_light: bool
    window: _Window
    depth: int
    size: tuple[int, int]


def _change(
    difference: torch.Tensor, known: torch.Tensor, mask: torch.Tensor, level: int, bands: _Bands, step: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a blend adds to the plate at one level and all coarser ones.

    Args:
        difference: S - T at this level, meaningful as far as `known` says, N×C×h×w.
        known, mask: N×1×h×w.
        level: 1 is the coarsest.
        bands: the blend's settings.
        step: halvings so far.

    Returns:
        The difference with what was not known carried on from the coarser levels, and the change; both N×C×h×w.
    """
    if step == bands.depth > 0:
        bands = replace(bands, depth=0)
        window, size = bands.window.halved(step), [side >> step for side in bands.size]
        whole = [image.new_zeros((*image.shape[:2], *size)) for image in (difference, known, mask)]
        for image, part in zip(whole, (difference, known, mask), strict=True):
            window.cut(image).copy_(part)
        filled, change = _change(whole[0], whole[1], whole[2], level, bands, step)
        return window.cut(filled), window.cut(change)
    if level == 1:
        filled = band = extend(difference, known)
        change = torch.zeros_like(band)
    else:
        # Side by side in one tensor: on the small levels it is the number of steps that takes time.
        channels = difference.shape[1]
        below = halve(torch.cat([difference * known, known, mask], dim=1))
        mean, trust = _trusted(below[:, :channels], below[:, channels : channels + 1])
        both = torch.cat(_change(mean, trust, below[:, channels + 1 :], level - 1, bands, step + 1), dim=1)
        expected, change = enlarge(both, difference.shape[-2:]).split(channels, dim=1)
        band = (difference - expected).mul_(known)
        filled = expected.add_(band)
    if level > bands.plate_levels:
        change.addcmul_(band, level_mask(mask, bands.sigma))
    elif bands.own_light:
        change.add_(band)
    return filled, change


def level_mask(mask: torch.Tensor, sigma: float) -> torch.Tensor:
    """The swap's weight M = 1 - M̂ in a band: the mask at that size, smoothed inwards only.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        sigma: in pixels of the band; 0 leaves the reduced coverage.
    """
    return inner_half(gaussian(mask, sigma), mask) if sigma > 0 else mask


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
    means, weights = [difference], [matte]
    while max(means[-1].shape[-2:]) > 1:
        mean, weight = _pull(means[-1], weights[-1])
        means.append(mean)
        weights.append(weight)
    filled = means.pop() * (weights.pop() > 0)
    for mean, weight in zip(reversed(means), reversed(weights), strict=True):
        filled = torch.lerp(enlarge(filled, mean.shape[-2:]), mean, weight)
    return filled


def _pull(mean: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted mean at half size and the trust in it."""
    return _trusted(halve(mean * weight), halve(weight))


def _trusted(total: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and trust, from the halved weighted sum and the halved weight.

    Trust grows faster than the known share, 1 - (1 - share)^4, so that the fill next to the outline is led by its
    neighbourhood, not by the mean of the face; without a kink, as a clamp would leave.
    """
    known = share > 1e-12
    mean = torch.where(known, total / torch.where(known, share, 1.0), 0.0)
    doubt = 1 - share.clamp(0, 1)
    doubt = doubt * doubt
    return mean, torch.where(known, 1 - doubt * doubt, 0.0)


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
        if image.numel() and not all(bound.isfinite() for bound in torch.aminmax(image)):  # NaN is passed on
            raise ValueError(f"{name} has NaN or infinite values; replace them before blending")


def halve(image: torch.Tensor) -> torch.Tensor:
    """Half the size, rounded up: [1 4 6 4 1]/16 at every second pixel, border continued (Burt & Adelson, REDUCE)."""
    return _reduce_along(_reduce_along(image, -2), -1)


def _reduce_along(image: torch.Tensor, dim: int) -> torch.Tensor:
    half = (image.shape[dim] + 1) // 2
    total = _sum_of_two(image, dim, half, 2, (-2, 2))
    total.add_(_part(image, dim, slice(0, None, 2)), alpha=6)
    return total.add_(_sum_of_two(image, dim, half, 2, (-1, 1)), alpha=4).mul_(1 / 16)


def enlarge(image: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    """Enlarge to `size`, on the grid of `halve`: coarse pixel k lies on fine pixel 2k (Burt & Adelson, EXPAND)."""
    return _expand_along(_expand_along(image, size[1], -1), size[0], -2)


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
