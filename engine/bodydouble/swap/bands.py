"""The levels of a blend below its finest: carried on where nothing is known, and put together band by band.

A *stack* is what one level has, N×(C+2)×h×w: a mean difference between swap and plate times how far it is trusted, that
trust, and the mask. `pulled` makes the stacks of all levels down to one pixel, `pushed` comes back up from there. The
equations: docs/blend.md.

Source: S. Gortler et al., The lumigraph, 1996 (pull-push).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch

from bodydouble.swap.matte import gaussian_taps, inner_half
from bodydouble.swap.pyramids import as_filtered, enlarge, halve, is_small, smooth, smooth_small


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

    def cut_coarse(self, image: torch.Tensor) -> torch.Tensor:
        """A view of what lies in the window, of the first level that is computed whole."""
        rows, columns = (slice(part.start >> self.depth, part.stop >> self.depth) for part in (self.rows, self.columns))
        return image[..., rows, columns]


def whole_of(size: tuple[int, int]) -> Window:
    return Window(slice(0, size[0]), slice(0, size[1]))


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
    stacks = pulled(torch.cat([difference * matte, matte, matte], dim=1), 1, whole_of(size), size)
    filled = _coarsest(stacks[-1])
    for stack in reversed(stacks[:-1]):
        filled = _fill(enlarge(filled, stack.shape[-2:]), stack)
    return filled


def pulled(finest: torch.Tensor, levels: int, window: Window, size: tuple[int, int]) -> list[torch.Tensor]:
    """The pull: a stack of planes halved until one pixel is left, finest first; at least `levels` of them.

    The first levels are those of the window, the others of the whole crop of `size`: outside the window all is 0.
    """
    stacks = [finest]
    while max(stacks[-1].shape[-2:]) > 1 or len(stacks) < levels:
        below = halve(stacks[-1])
        raise_trust(below[:, :-1])
        if len(stacks) == window.depth:
            whole = as_filtered(below.new_zeros((*below.shape[:2], *(side >> window.depth for side in size))))
            window.cut_coarse(whole).copy_(below)
            below = whole
        stacks.append(below)
    return stacks


def raise_trust(total: torch.Tensor) -> None:
    """In place: halved sums of trusted differences, and last the halved trust s, become mean times trust, and trust.

    Trust grows faster than the known share, t = 1 - (1 - s)^4, so that the fill next to the outline is led by its
    neighbourhood, not by the mean of the face; without a kink, as a clamp would leave. The mean is sum / s, so all are
    multiplied by t / s = 1 + d + d² + d³ with d = 1 - s, which is finite where nothing is known.
    """
    doubt = 1 - total[:, -1:]
    total.addcmul_(total, torch.addcmul(doubt, doubt, torch.addcmul(doubt, doubt, doubt)))


def pushed(stacks: list[torch.Tensor], bands: Bands, window: Window) -> torch.Tensor:
    """The push: from one pixel to the finest of the stacks, what is not known carried on, and with it the change.

    Returns:
        N×2C×h×w: the difference, filled where it is not known, and then the change.
    """
    count, lowest = stacks[0].shape[1] - 2, bands.levels - 1
    filled = _coarsest(stacks[-1])
    for step in reversed(range(lowest, len(stacks) - 1)):
        filled = _fill(_enlarged(filled, stacks, step, window), stacks[step])
    # Side by side in one tensor: on the small levels it is the number of steps that takes time.
    both = torch.cat([filled, torch.zeros_like(filled)], dim=1)
    weights = band_weights([stack[:, -1:] for stack in stacks[: lowest + 1]], bands)
    add_band(both[:, count:], filled, weights[lowest])
    for step in reversed(range(lowest)):
        both = _enlarged(both, stacks, step, window)
        filled, stack = both[:, :count], stacks[step]
        band = torch.addcmul(stack[:, :count], stack[:, count : count + 1], filled, value=-1)
        filled.add_(band)
        add_band(both[:, count:], band, weights[step])
    return both


def _enlarged(image: torch.Tensor, stacks: list[torch.Tensor], step: int, window: Window) -> torch.Tensor:
    """What belongs to the level below, at the size of the level of `step`."""
    return enlarge(window.cut_coarse(image) if step == window.depth - 1 else image, stacks[step].shape[-2:])


def add_band(change: torch.Tensor, band: torch.Tensor, weight: torch.Tensor | None) -> None:
    """In place: one level's band added by its weight."""
    if weight is not None:
        change.addcmul_(band, weight)


def band_weight(mask: torch.Tensor, level: int, bands: Bands, rows: slice | None = None) -> torch.Tensor | None:
    """How far a level's band is the swap's; None for not at all.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        level: 1 for the coarsest.
        bands: the settings.
        rows: as of `level_mask`.
    """
    if level > bands.plate_levels:
        return level_mask(mask, bands.sigma, rows)
    return torch.ones_like(mask if rows is None else mask[..., rows, :]) if bands.own_light else None


def band_weights(masks: list[torch.Tensor], bands: Bands) -> list[torch.Tensor | None]:
    """`band_weight` of all levels, finest first; the small ones in one go."""
    levels = range(bands.levels, 0, -1)
    together = [
        level > bands.plate_levels and bands.sigma > 0 and is_small(mask.shape[-2:])
        for mask, level in zip(masks, levels, strict=True)
    ]
    small = iter(_small_masks([mask for mask, is_one in zip(masks, together, strict=True) if is_one], bands.sigma))
    return [
        next(small) if is_one else band_weight(mask, level, bands)
        for mask, level, is_one in zip(masks, levels, together, strict=True)
    ]


def _small_masks(masks: list[torch.Tensor], sigma: float) -> list[torch.Tensor]:
    """`level_mask` of some small masks."""
    if not masks:
        return []
    count, sizes = len(masks[0]), tuple((mask.shape[-2], mask.shape[-1]) for mask in masks)
    listed = torch.cat([mask.reshape(count, -1) for mask in masks], dim=1)
    inner = inner_half(smooth_small(listed, sizes, gaussian_taps(sigma)), listed)
    ends = accumulate(height * width for height, width in sizes)
    return [
        inner[:, end - size[0] * size[1] : end].view(count, 1, *size) for end, size in zip(ends, sizes, strict=True)
    ]


def level_mask(mask: torch.Tensor, sigma: float, rows: slice | None = None) -> torch.Tensor:
    """The swap's weight M = 1 - M̂ in a band: the mask at that size, smoothed inwards only.

    Args:
        mask: N×1×h×w float32 coverage, reduced to the band's size.
        sigma: in pixels of the band; 0 leaves the reduced coverage.
        rows: from and to which are wanted, with the same bits; None for all.
    """
    rows = rows or slice(0, mask.shape[-2])
    if sigma <= 0:
        return mask[..., rows, :]
    taps = gaussian_taps(sigma)
    start = max(0, rows.start - len(taps) // 2)
    near = mask[..., start : rows.stop + len(taps) // 2, :]
    return inner_half(smooth(near, taps), near)[..., rows.start - start : rows.stop - start, :]


def _coarsest(stack: torch.Tensor) -> torch.Tensor:
    """The mean of all that is known, N×C×h×w; 0 if nothing is."""
    return stack[:, :-2] / stack[:, -2:-1].clamp(min=1e-12)


def _fill(coarser: torch.Tensor, stack: torch.Tensor) -> torch.Tensor:
    """In place: where the means of a stack are known they take the enlarged coarser ones' place, by their trust."""
    return torch.addcmul(stack[:, :-2], 1 - stack[:, -2:-1], coarser, out=coarser)
