"""Multi-band blending of the swap into the plate: the plate keeps its light, the persona gives the features.

All images are N×C×H×W float32 in model space, any device, any H×W; every step is a fixed elementwise sum, so a frame
gives the same bits alone or in a batch. The equations and why they stand like this: docs/blend.md.

Sources: US 2020/0372621 A1; P. Burt and E. Adelson, The Laplacian pyramid as a compact image code, 1983, and A
multiresolution spline with application to image mosaics, 1983; S. Gortler et al., The lumigraph, 1996 (pull-push).
"""

from __future__ import annotations

from itertools import pairwise

import torch

from bodydouble.matte import gaussian, inner_half


def level_count(size: tuple[int, int]) -> int:
    """Levels of a pyramid whose coarsest image is two or three pixels along its short side: floor(log2(min(H, W)))."""
    return max(1, min(size).bit_length() - 1)


def gaussian_pyramid(image: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """Successively halved images, the coarsest first (level 1), `image` itself last."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(_reduce(pyramid[-1]))
    return pyramid[::-1]


def laplacian_pyramid(image: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """Bands of `image`, the coarsest first: level 1 is the coarsest image, level i what level i - 1 cannot show."""
    gaussians = gaussian_pyramid(image, levels)
    bands = [fine - _expand(coarse, fine.shape[-2:]) for coarse, fine in pairwise(gaussians)]
    return [gaussians[0], *bands]


def reconstruct(pyramid: list[torch.Tensor]) -> torch.Tensor:
    """The image of a Laplacian pyramid; exact up to rounding for any size."""
    image = pyramid[0]
    for band in pyramid[1:]:
        image = band + _expand(image, band.shape[-2:])
    return image


def blend(
    swap: torch.Tensor,
    plate: torch.Tensor,
    mask: torch.Tensor,
    sigma: float = 1.0,
    plate_levels: int = 2,
    levels: int | None = None,
) -> torch.Tensor:
    """Blend band by band: the plate's coarsest `plate_levels` bands, the swap's others inside the mask.

    Args:
        swap: S, N×C×H×W float32, finite, model space; complete it first (`complete`) if only its matte is defined.
        plate: T, the plate's crop, same shape.
        mask: coverage of the outline polygon, N×1×H×W float32, 1 inside and 0 outside.
        sigma: of the mask's inward smoothing, in pixels of each level, ≥ 0.
        plate_levels: how many bands, from the coarsest, are wholly the plate's.
        levels: bands in all; None for `level_count`.

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
    difference = laplacian_pyramid(swap - plate, levels)
    masks = level_masks(mask, levels, sigma)
    changed = [
        band * level_mask if level > plate_levels else torch.zeros_like(band)
        for level, (band, level_mask) in enumerate(zip(difference, masks, strict=True), start=1)
    ]
    # Coarse bands, enlarged, reach a little over the outline; the full-size coverage cuts that off.
    return torch.where(mask > 0, plate + mask * reconstruct(changed), plate)


def level_masks(mask: torch.Tensor, levels: int, sigma: float) -> list[torch.Tensor]:
    """The swap's weight M = 1 - M̂ in every band, the coarsest first: the mask at that size, smoothed inwards only.

    Args:
        mask: N×1×H×W float32 coverage.
        levels: number of bands.
        sigma: in pixels of each level; 0 leaves the reduced coverage.
    """
    reduced = gaussian_pyramid(mask, levels)
    return [inner_half(gaussian(image, sigma), image) if sigma > 0 else image for image in reduced]


def complete(swap: torch.Tensor, plate: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """The swap with its undefined surroundings filled: T + extend(S - T).

    A decoder trained with a masked loss says nothing outside its matte. Left there, that would enter the coarse bands;
    with the difference carried on smoothly, a tone difference between persona and performer stays a coarse band.

    Args:
        swap: N×C×H×W float32, meaningful where `matte` > 0.
        plate: same shape.
        matte: N×1×H×W float32, confidence in the swap, [0, 1].
    """
    _check(swap, plate, matte)
    return plate + extend(swap - plate, matte)


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
        filled = torch.lerp(_expand(filled, mean.shape[-2:]), mean, weight)
    return filled


def _pull(mean: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted mean at half size and the trust in it.

    Trust grows faster than the known share, 1 - (1 - share)^4, so that the fill next to the outline is led by its
    neighbourhood, not by the mean of the face; without a kink, as a clamp would leave.
    """
    total, share = _reduce(mean * weight), _reduce(weight)
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
        if not torch.isfinite(image).all():
            raise ValueError(f"{name} has NaN or infinite values; replace them before blending")


def _reduce(image: torch.Tensor) -> torch.Tensor:
    """Half the size, rounded up: [1 4 6 4 1]/16 at every second pixel, border continued (Burt & Adelson, REDUCE)."""
    return _reduce_along(_reduce_along(image, -2), -1)


def _reduce_along(image: torch.Tensor, dim: int) -> torch.Tensor:
    count = image.shape[dim]
    half = (count + 1) // 2
    index = torch.arange(-2, 2 * half + 1, device=image.device).clamp_(0, count - 1)
    padded = image.index_select(dim, index)
    samples = [padded.narrow(dim, tap, 2 * half - 1).unfold(dim, 1, 2).squeeze(-1) for tap in range(5)]
    total = samples[0] + samples[4]
    total.add_(samples[1] + samples[3], alpha=4).add_(samples[2], alpha=6)
    return total.mul_(1 / 16)


def _expand(image: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    """Enlarge to `size`, on the grid of `_reduce`: coarse pixel k lies on fine pixel 2k (Burt & Adelson, EXPAND)."""
    return _expand_along(_expand_along(image, size[1], -1), size[0], -2)


def _expand_along(image: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    half = image.shape[dim]
    index = torch.arange(-1, half + 1, device=image.device).clamp_(0, half - 1)
    padded = image.index_select(dim, index)
    before, here, after = (padded.narrow(dim, start, half) for start in range(3))
    dim = dim % image.ndim
    fine = image.new_empty((*image.shape[: dim + 1], 2, *image.shape[dim + 1 :]))
    even, odd = fine.unbind(dim + 1)
    torch.add(before, after, out=even).add_(here, alpha=6).mul_(1 / 8)
    torch.add(here, after, out=odd).mul_(0.5)
    return fine.flatten(dim, dim + 1).narrow(dim, 0, count)
