"""The levels of a blend below its finest: carried on where nothing is known, and put together band by band.

A *stack* is what one level has, N×(C+2)×h×w: a mean difference between swap and plate times how far it is trusted, that
trust, and the mask. `pulled` makes the stacks of all levels down to one pixel, `pushed` comes back up from there. The
equations: docs/blend.md.

Source: S. Gortler et al., The lumigraph, 1996 (pull-push).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bodydouble.swap.matte import gaussian_taps, inner_half
from bodydouble.swap.pixellists import enlarge_listed, halve_listed, is_small, listed, smooth_listed, unlisted
from bodydouble.swap.pyramids import by_rows, empty_by_rows, enlarge, halve, halved_size, smooth
from bodydouble.swap.sums import Size


@dataclass(frozen=True)
class Bands:
    """Which bands a blend has and whose they are; see `blend`."""

    sigma: float
    plate_levels: int
    levels: int
    own_light: bool = False

    def __post_init__(self) -> None:
        if self.levels < 1 or self.plate_levels < 0 or self.sigma < 0:
            told = f"{self.levels}, {self.plate_levels}, {self.sigma}"
            raise ValueError(f"need levels ≥ 1, plate_levels ≥ 0, sigma ≥ 0, got {told}")


@dataclass(frozen=True)
class Window:
    """Rows and columns of an image, and how many of its finest levels are computed only there: 0 if it is the whole.

    They are whole numbers of pixels after every such halving.
    """

    rows: slice
    columns: slice
    depth: int = 0

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        """A view of what lies in the window."""
        return image[..., self.rows, self.columns]

    def laid(self, part: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """The image with another part in its window."""
        result = image.clone()
        self.cut(result).copy_(part)
        return result

    def halved(self) -> Window:
        """The same part of the image at half the size."""
        rows, columns = (slice(part.start // 2, (part.stop + 1) // 2) for part in (self.rows, self.columns))
        return Window(rows, columns, max(0, self.depth - 1))

    def placed_coarse(self, part: torch.Tensor, size: Size) -> torch.Tensor:
        """The first level that is computed whole, of `size`: the part in its window, 0 elsewhere."""
        whole = empty_by_rows(part, part.shape[1], *size).zero_()
        self.cut_coarse(whole).copy_(part)
        return whole

    def cut_coarse(self, image: torch.Tensor) -> torch.Tensor:
        """A view of what lies in the window, of the first level that is computed whole."""
        rows, columns = (slice(part.start >> self.depth, part.stop >> self.depth) for part in (self.rows, self.columns))
        return image[..., rows, columns]


def whole_of(size: Size) -> Window:
    return Window(slice(0, size[0]), slice(0, size[1]))


@dataclass(frozen=True)
class Level:
    """What one level has, and its size.

    Attributes:
        stack: N×(C+2)×h×w, or of a small level the list of its pixels, see `pixellists`: channels are along 1.
        size: (h, w).
        wide: columns of the whole crop at this level.
        whole: whether that is the whole crop's, not a window's, which is another in every frame.
    """

    stack: torch.Tensor
    size: Size
    wide: int
    whole: bool = True

    def parts(self) -> tuple[torch.Tensor, ...]:
        """Views of the mean difference times its trust, the trust, and the mask."""
        return self.stack.split([self.stack.shape[1] - 2, 1, 1], dim=1)


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
    size = int(difference.shape[-2]), int(difference.shape[-1])
    window = whole_of(size)
    levels = pulled(torch.cat([difference * matte, matte, matte], dim=1), 1, window, size)
    return _as_pictures(_filled(levels, 0, window), size)


def pulled(finest: torch.Tensor, count: int, window: Window, size: Size) -> list[Level]:
    """The pull: a stack of planes halved until one pixel is left, finest first; at least `count` levels.

    The first levels are those of the window, the others of the whole crop of `size`: outside the window all is 0.
    """
    levels = [_level(finest, size, window.depth == 0)]
    while max(levels[-1].size) > 1 or len(levels) < count:
        above, size = levels[-1], halved_size(size)
        stack = halve(above.stack, above.wide) if above.stack.ndim == 4 else halve_listed(above.stack, above.size)
        raise_trust(stack)
        if len(levels) == window.depth:
            stack = window.placed_coarse(stack, size)
        levels.append(_level(stack, size, len(levels) >= window.depth))
    return levels


def _level(stack: torch.Tensor, size: Size, whole: bool) -> Level:
    """A level as its size asks for: as a list if it is small and `whole`, or as pictures that lie by rows.

    `size`: of the whole crop there.
    """
    wide = size[1]
    if stack.ndim == 4:
        size = stack.shape[-2], stack.shape[-1]
        stack = listed(stack) if whole and is_small(size) else by_rows(stack)
    return Level(stack, size, wide, whole)


def raise_trust(stack: torch.Tensor) -> None:
    """In place: halved sums of trusted differences, and the halved trust s, become mean times trust, and trust.

    Trust grows faster than the known share, t = 1 - (1 - s)^4, so that the fill next to the outline is led by its
    neighbourhood, not by the mean of the face; without a kink, as a clamp would leave. The mean is sum / s, so all are
    multiplied by t / s = 1 + d + d² + d³ with d = 1 - s, which is finite where nothing is known.
    """
    count = stack.shape[1] - 2
    total, doubt = stack.narrow(1, 0, count + 1), 1 - stack.narrow(1, count, 1)
    total.addcmul_(total, torch.addcmul(doubt, doubt, torch.addcmul(doubt, doubt, doubt)))


def pushed(levels: list[Level], bands: Bands, window: Window) -> torch.Tensor:
    """The push: from one pixel to the finest of the levels, what is not known carried on, and with it the change.

    Returns:
        N×2C×h×w: the difference, filled where it is not known, and then the change.
    """
    lowest = bands.levels - 1
    filled = _filled(levels, lowest, window)
    count = filled.shape[1]
    # Side by side in one tensor: on the small levels it is the number of steps that takes time.
    both = torch.cat([filled, torch.zeros_like(filled)], dim=1)
    weights = band_weights(levels[: lowest + 1], bands)
    add_band(both.narrow(1, count, count), filled, weights[lowest])
    for step in reversed(range(lowest)):
        both = _enlarged(both, levels, step, window)
        filled, change = both.split(count, dim=1)
        mean, trust, _ = levels[step].parts()
        band = torch.addcmul(mean, trust, filled, value=-1)
        filled.add_(band)
        add_band(change, band, weights[step])
    return _as_pictures(both, levels[0].size)


def _filled(levels: list[Level], last: int, window: Window) -> torch.Tensor:
    """The difference of level `last`, filled where it is not known: as pictures or as a list, as that level is."""
    mean, trust, _ = levels[-1].parts()
    filled = mean / trust.clamp(min=1e-12)  # the mean of all that is known; 0 if nothing is
    for step in reversed(range(last, len(levels) - 1)):
        mean, trust, _ = levels[step].parts()
        filled = torch.addcmul(mean, 1 - trust, _enlarged(filled, levels, step, window))
    return filled


def _enlarged(image: torch.Tensor, levels: list[Level], step: int, window: Window) -> torch.Tensor:
    """What belongs to the level below, at the size of the level of `step`, and listed if that one is."""
    stack, below = levels[step].stack, levels[step + 1].size
    if stack.ndim == 2:
        return enlarge_listed(image, below, levels[step].size)
    image = _as_pictures(image, below)
    part = window.cut_coarse(image) if step == window.depth - 1 else image
    return enlarge(part, stack.shape[-2:], levels[step].wide)


def _as_pictures(image: torch.Tensor, size: Size) -> torch.Tensor:
    return unlisted(image, size) if image.ndim == 2 else image


def add_band(change: torch.Tensor, band: torch.Tensor, weight: torch.Tensor | None) -> None:
    """In place: one level's band added by its weight."""
    if weight is not None:
        change.addcmul_(band, weight)


def band_weight(
    mask: torch.Tensor, level: int, bands: Bands, wide: int | None = None, rows: slice | None = None
) -> torch.Tensor | None:
    """How far a level's band is the swap's; None for not at all.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        level: 1 for the coarsest.
        bands: the settings.
        wide, rows: as of `level_mask`.
    """
    if level > bands.plate_levels:
        return level_mask(mask, bands.sigma, wide, rows)
    return torch.ones_like(mask if rows is None else mask[..., rows, :]) if bands.own_light else None


_TOGETHER = 64
"""Longer side up to which the masks of levels are smoothed as one list."""


def band_weights(levels: list[Level], bands: Bands) -> list[torch.Tensor | None]:
    """`band_weight` of levels, finest first, of the masks that are the last channels of their stacks."""
    masks = [level.stack.narrow(1, level.stack.shape[1] - 1, 1) for level in levels]
    together = [
        step
        for step, level in enumerate(levels)
        if bands.levels - step > bands.plate_levels and bands.sigma > 0 and level.whole and max(level.size) <= _TOGETHER
    ]
    sizes = [levels[step].size for step in together]
    smoothed = _level_masks([masks[step] for step in together], sizes, bands.sigma)
    weights = dict(zip(together, smoothed, strict=True))
    return [
        weights[step] if step in weights else band_weight(mask, bands.levels - step, bands, levels[step].wide)
        for step, mask in enumerate(masks)
    ]


def _level_masks(masks: list[torch.Tensor], sizes: list[Size], sigma: float) -> list[torch.Tensor]:
    """`level_mask` of some masks, N×1×h×w or listed, smoothed as one list."""
    if not masks:
        return []
    pixels = torch.cat([mask.reshape(-1, 1) for mask in masks])
    each = tuple(size for mask, size in zip(masks, sizes, strict=True) for _ in range(mask.numel() // math.prod(size)))
    inner = inner_half(smooth_listed(pixels, each, gaussian_taps(sigma)), pixels)
    parts = inner.split([mask.numel() for mask in masks])
    return [part.view(mask.shape) for part, mask in zip(parts, masks, strict=True)]


def level_mask(mask: torch.Tensor, sigma: float, wide: int | None = None, rows: slice | None = None) -> torch.Tensor:
    """The swap's weight M = 1 - M̂ in a band: the mask at that size, smoothed inwards only.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        sigma: in pixels of the band; 0 leaves the reduced coverage.
        wide: columns of the whole crop, where the mask is that of a window; see `pyramids`.
        rows: from and to which are wanted, with the same bits; None for all.
    """
    rows = rows or slice(0, mask.shape[-2])
    if sigma <= 0:
        return mask[..., rows, :]
    taps = gaussian_taps(sigma)
    start = max(0, rows.start - len(taps) // 2)
    near = mask[..., start : rows.stop + len(taps) // 2, :]
    return inner_half(smooth(near, taps, wide), near)[..., rows.start - start : rows.stop - start, :]
