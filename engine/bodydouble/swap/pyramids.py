"""Half and double the size of pictures: Burt and Adelson's REDUCE and EXPAND, for any H×W, on any device.

All images are N×C×H×W float32; those that lie in memory by rows, a row of all channels together (N×H×C×W), are filtered
without being copied. Down the picture a row of the result is a weighted sum of whole rows. Across it that is done to a
copy that lies by columns, and in wide pictures by elementwise means. Small pictures are lists of pixels: `pixellists`.
So a frame gives the same bits alone or in a batch, with any number of threads. (A matrix product does not: its order of
summing depends on how threads share it.) And in a window of it the same as in the whole: who filters one says how many
columns the whole has (`wide`; None for those of the image), which alone decides how they are filtered.

Source: P. Burt and E. Adelson, The Laplacian pyramid as a compact image code, 1983.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from bodydouble.swap.sums import BINOMIAL, Size, Sums, Taps, expansion, filtering, sums_of

_NARROW = 128
"""Columns up to which a copy by columns takes no more time than a dozen steps over strided ones."""


def level_count(size: Size) -> int:
    """Levels of a pyramid whose coarsest image is two or three pixels along its short side: floor(log2(min(H, W)))."""
    return max(1, min(size).bit_length() - 1)


def halved_size(size: Size) -> Size:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def halve(image: torch.Tensor, wide: int | None = None) -> torch.Tensor:
    """Half the size, rounded up: [1 4 6 4 1]/16 at every second pixel, border continued (REDUCE)."""
    rows, columns = _filter_sums(image, BINOMIAL, 2)
    low = _sum_rows(image, rows)
    if not _is_narrow(image, wide or image.shape[-1]):
        return _filter_columns(low, BINOMIAL, 2)
    return _sum_rows(low.mT, columns).mT


def smooth(image: torch.Tensor, taps: Taps, wide: int | None = None) -> torch.Tensor:
    """Filter by an odd number of symmetric taps of sum 1, border continued."""
    rows, columns = _filter_sums(image, taps, 1)
    if _is_narrow(image, wide or image.shape[-1]):
        return _sum_rows(_sum_rows(image.mT, columns).mT, rows)
    return _filter_columns(_sum_rows(image, rows), taps, 1)


def enlarge(image: torch.Tensor, size: Size | torch.Size, wide: int | None = None) -> torch.Tensor:
    """Enlarge to `size`, on the grid of `halve`: coarse pixel k lies on fine pixel 2k (EXPAND). `wide`: enlarged."""
    rows, columns = (
        _expand_rows(count, wanted, len(image), image.device)
        for count, wanted in zip(image.shape[-2:], size, strict=True)
    )
    narrow = _is_narrow(image, wide or size[1])
    lines = _sum_rows(image.mT, columns).mT if narrow else _expand_columns(by_rows(image), size[1])
    return _sum_rows(lines, rows)


def by_rows(image: torch.Tensor) -> torch.Tensor:
    """The same image, in memory by rows as N×H×C×W."""
    return image.transpose(1, 2).contiguous().transpose(1, 2)


def empty_by_rows(like: torch.Tensor, channels: int, height: int, width: int) -> torch.Tensor:
    """Memory for N×C×H×W that lies by rows."""
    return like.new_empty((len(like), height, channels, width)).transpose(1, 2)


def _filter_sums(image: torch.Tensor, taps: Taps, step: int) -> tuple[Sums, Sums]:
    """Of rows and of columns, for the filter of `taps` at every `step`-th, the border continued."""
    height, width = image.shape[-2:]
    return (
        _filter_rows(height, taps, step, len(image), image.device),
        _filter_rows(width, taps, step, len(image), image.device),
    )


def _is_narrow(image: torch.Tensor, wide: int) -> bool:
    """Whether its columns are filtered as rows are, of a copy that lies by columns."""
    return wide <= _NARROW or image.device.type != "cpu"


def _sum_rows(image: torch.Tensor, sums: Sums) -> torch.Tensor:
    """Each row of the result is the weighted sum of some rows of an image."""
    batch, channels, _, width = image.shape
    rows = sums.of(image.transpose(1, 2).reshape(-1, channels * width))
    return rows.view(batch, -1, channels, width).transpose(1, 2)


@cache
def _filter_rows(count: int, taps: Taps, step: int, batch: int, device: torch.device) -> Sums:
    return sums_of(filtering(count, taps, step), count, batch, device)


@cache
def _expand_rows(count: int, wanted: int, batch: int, device: torch.device) -> Sums:
    return sums_of(expansion(count, wanted), count, batch, device)


def mean_outwards(
    middle: torch.Tensor, away: Callable[[int], torch.Tensor], taps: Taps, pair: torch.Tensor
) -> torch.Tensor:
    """A filter of symmetric taps as means of means from the middle outwards, which a constant passes to the bit.

    Args:
        middle: what the middle tap meets, the same shape as the result.
        away: the image so many places on; a view.
        pair: memory of that shape to work in; the result lies as it does.
    """
    weight, total, result = taps[len(taps) // 2], middle, torch.empty_like(pair)
    for offset, tap in enumerate(taps[len(taps) // 2 + 1 :], start=1):
        weight += 2 * tap
        torch.lerp(away(-offset), away(offset), 0.5, out=pair)
        total = torch.lerp(total, pair, 2 * tap / weight, out=result)
    return total


def _filter_columns(image: torch.Tensor, taps: Taps, step: int) -> torch.Tensor:
    """The filter along the rows."""
    reach, count = len(taps) // 2, -(-image.shape[-1] // step)
    wide = _padded(image, reach, step * (count - 1) + reach - image.shape[-1] + 1)

    def away(offset: int) -> torch.Tensor:
        return wide[..., reach + offset : reach + offset + step * (count - 1) + 1 : step]

    return mean_outwards(image[..., ::step], away, taps, empty_by_rows(image, image.shape[1], image.shape[2], count))


def _expand_columns(image: torch.Tensor, count: int) -> torch.Tensor:
    """EXPAND along the rows: (1 6 1)/8 on the coarse pixels, (4 4)/8 between them."""
    wide, result = _padded(image, 1, 1), empty_by_rows(image, image.shape[1], image.shape[2], 2 * image.shape[-1])
    before, after = wide[..., :-2], wide[..., 2:]
    # Each is written into its places: putting them side by side first would take longer than the sums.
    torch.lerp(torch.lerp(before, after, 0.5), image, 0.75, out=result[..., ::2])
    torch.lerp(image, after, 0.5, out=result[..., 1::2])
    return result[..., :count]


def _padded(image: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """The image with its border columns repeated."""
    return F.pad(image.transpose(1, 2), (before, after, 0, 0), mode="replicate").transpose(1, 2)
