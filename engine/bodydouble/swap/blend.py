"""Multi-band blending of the swap into the plate: the plate keeps its light, the persona gives the features.

All images are N×C×H×W float32 in model space, any device, any H×W; a frame gives the same bits alone or in a batch. The
equations and why they stand like this: docs/blend.md.

Sources: US 2020/0372621 A1; P. Burt and E. Adelson, A multiresolution spline with application to image mosaics, 1983.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from bodydouble.swap.bands import Bands, Window, add_band, band_weight, extend, pulled, pushed, raise_trust, whole_of
from bodydouble.swap.pyramids import empty_by_rows, enlarge, halve, halved_size, level_count

_WINDOWED = 2
"""How many of the finest levels are computed only around the mask; from the next on, the whole crop costs little."""
_GUARD = 6
"""Pixels around the mask that REDUCE sees at the windowed levels: 2 of each of their pixels, 2 + 4."""


def window_around(weight: torch.Tensor) -> Window:
    """What all of a weight ≥ 0 (N×1×H×W) lies in, with a blend's guard band; the whole where sides do not halve."""
    height, width = weight.shape[-2:]
    if height % (1 << _WINDOWED) or width % (1 << _WINDOWED):
        return whole_of((height, width))
    # A maximum is several times faster than a comparison.
    return Window(_span(weight.amax(dim=(0, 1, 3)), height), _span(weight.amax(dim=(0, 1, 2)), width), _WINDOWED)


def _span(line: torch.Tensor, count: int) -> slice:
    """From the first to the last of `count` that is not 0, and the guard band, whole pixels after every halving."""
    step, places = 1 << _WINDOWED, torch.nonzero(line).flatten().tolist()
    low, high = (places[0], places[-1] + 1) if places else (0, 1)
    return slice(max(0, low - _GUARD) // step * step, min(count, -(-(high + _GUARD) // step) * step))


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
    size = int(plate.shape[-2]), int(plate.shape[-1])
    bands = Bands(sigma, plate_levels, level_count(size) if levels is None else levels, own_light)
    window = whole_of(size)
    if known is not None:
        window = window_around(mask if known is mask else torch.maximum(mask, known))
    return window.laid(blend_inside(window.cut(swap), window.cut(plate), mask, known, window, bands), plate)


@torch.inference_mode()  # an eighth of the time less: hundreds of small steps, each without the care for gradients
def blend_inside(
    swap: torch.Tensor,
    plate: torch.Tensor,
    mask: torch.Tensor,
    known: torch.Tensor | None,
    window: Window,
    bands: Bands,
) -> torch.Tensor:
    """`blend` in a window that holds all of mask and known.

    Args:
        swap, plate: N×C×h×w, the window of the two pictures.
        mask, known: N×1×H×W, whole.
        window: where h×w lies in H×W.
        bands: the settings.

    Returns:
        N×C×h×w, a tensor of inference mode.
    """
    # O_i = M̂·T_i + M·S_i = T_i + M·(S_i - T_i), and pyramids are linear: one pyramid, of the difference, is enough.
    cover = window.cut(mask)
    sure = cover if known is mask else None if known is None else window.cut(known)
    finest = _Finest(swap, plate, cover, sure, mask.shape[-1])
    if bands.levels == 1:
        return finest.only_band(bands)
    finest = finest.held()
    size = halved_size((mask.shape[-2], mask.shape[-1]))
    levels = pulled(finest.halved(), bands.levels - 1, window.halved(), size)
    _check_finite(levels[-1].stack, swap, cover)
    return finest.blended(pushed(levels, replace(bands, levels=bands.levels - 1), window.halved()), bands)


_AT_ONCE = 1 << 16
"""Pixels of the finest level done together on a CPU: few enough for all their planes to stay in its cache."""


@dataclass(frozen=True)
class _Finest:
    """The finest level, which is never held as a whole but made strip by strip, when it is halved and when it is used.

    Attributes:
        swap, plate: N×C×h×w.
        mask, known: N×1×h×w; known is None where everything is.
        wide: columns of the whole crop.
        trusted: where one strip is all, what `_trusted` gives; `blended`, its last use, works in it.
    """

    swap: torch.Tensor
    plate: torch.Tensor
    mask: torch.Tensor
    known: torch.Tensor | None
    wide: int
    trusted: torch.Tensor | None = None

    def held(self) -> _Finest:
        """The same, with all that fits into the cache made once."""
        whole = slice(0, self.plate.shape[-2])
        return replace(self, trusted=self._trusted(whole)) if len(self._strips()) == 1 else self

    def only_band(self, bands: Bands) -> torch.Tensor:
        """The blend where this level is the coarsest, too."""
        filled = extend(self.swap - self.plate, torch.ones_like(self.mask) if self.known is None else self.known)
        change = torch.zeros_like(filled)
        add_band(change, filled, band_weight(self.mask, 1, bands, self.wide))
        return torch.addcmul(self.plate, self.mask, change)

    def halved(self) -> torch.Tensor:
        """The stack of the next level, see `bodydouble.swap.bands`."""
        count, (height, width) = self.plate.shape[1], self.plate.shape[-2:]
        below = empty_by_rows(self.plate, count + 2, *halved_size((height, width)))
        for low, high in self._strips():
            start = max(0, 2 * low - 2)
            strip = halve(self._trusted(slice(start, min(height, 2 * high + 1))), self.wide)
            below[:, :-1, low:high] = strip[..., low - start // 2 : high - start // 2, :]
        below[:, -1:] = below[:, count : count + 1] if self.known is self.mask else halve(self.mask, self.wide)
        raise_trust(below)
        return below

    def blended(self, coarser: torch.Tensor, bands: Bands) -> torch.Tensor:
        """The blend, N×C×h×w. coarser: what is filled and the change of the level below, N×2C."""
        count, (height, width) = self.plate.shape[1], self.plate.shape[-2:]
        result = self.plate.new_empty(self.plate.shape)
        for low, high in self._strips():
            rows, start = slice(2 * low, min(height, 2 * high)), max(0, low - 1)
            near = coarser[..., start : high + 1, :]
            both = enlarge(near, (min(height - 2 * start, 2 * near.shape[-2]), width), self.wide)
            filled, change = both[..., rows.start - 2 * start : rows.stop - 2 * start, :].split(count, dim=1)
            trusted = self._trusted(rows)
            weight = band_weight(self.mask, bands.levels, bands, self.wide, rows)
            add_band(change, trusted[:, :count].addcmul_(trusted[:, count:], filled, value=-1), weight)
            # Coarse bands, enlarged, reach a little over the outline; the full-size coverage cuts that off.
            cover = self.mask[..., rows, :]
            torch.addcmul(self.plate[..., rows, :], cover, change, out=result[..., rows, :])
        return result

    def _strips(self) -> list[tuple[int, int]]:
        """Rows of the next level, from and to."""
        rows, pixels = (self.plate.shape[-2] + 1) // 2, self.plate.shape[-2] * self.plate.shape[-1]
        count = max(1, round(pixels / _AT_ONCE)) if self.plate.device.type == "cpu" else 1
        each = -(-rows // count)
        return [(low, min(rows, low + each)) for low in range(0, rows, each)]

    def _trusted(self, rows: slice) -> torch.Tensor:
        """In some rows the difference times how far it is known, and after it that."""
        if self.trusted is not None:
            return self.trusted[..., rows, :]
        plate, count = self.plate[..., rows, :], self.plate.shape[1]
        stack = empty_by_rows(plate, count + 1, *plate.shape[-2:])
        difference, trust = stack.split([count, 1], dim=1)
        torch.sub(self.swap[..., rows, :], plate, out=difference)
        if self.known is None:
            trust.fill_(1)
        else:
            difference.mul_(trust.copy_(self.known[..., rows, :]))
        return stack


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


def _check_finite(coarsest: torch.Tensor, swap: torch.Tensor, mask: torch.Tensor) -> None:
    """Refuse NaN and Inf, which every halving carries on: one pixel tells of all."""
    if math.isfinite(float(coarsest.sum())):
        return
    names = [name for name, image in (("mask", mask), ("swap", swap)) if not bool(image.isfinite().all())]
    raise ValueError(f"{[*names, 'plate'][0]} has NaN or infinite values; replace them before blending")
