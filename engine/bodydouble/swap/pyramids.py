"""Half and double the size of pictures: Burt and Adelson's REDUCE and EXPAND, for any H×W, on any device.

All images are N×C×H×W float32; those that lie in memory by rows, a row of all channels together (N×H×C×W), are filtered
without being copied. Down the picture a row of the result is a weighted sum of whole rows: `embedding_bag`, which every
device has as one kernel with a fixed order of summing. Across it that is done to a copy that lies by columns, and in
wide pictures by elementwise means. Small pictures lie by pixels, all channels of one together (N×H×W×C), and are
filtered both ways in one sum of pixels: there it is the number of steps that takes time. So a frame gives the same bits
alone or in a batch, with any number of threads. (A matrix product does not: its order of summing depends on how threads
share it.)

Source: P. Burt and E. Adelson, The Laplacian pyramid as a compact image code, 1983.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate

import torch
import torch.nn.functional as F

Taps = tuple[float, ...]
Size = tuple[int, int]

_BINOMIAL: Taps = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_NARROW = 104
"""Columns up to which a copy by columns takes less time than a dozen steps over strided ones."""
_SMALL = 32
"""Longer side up to which a picture lies by pixels."""


def level_count(size: Size) -> int:
    """Levels of a pyramid whose coarsest image is two or three pixels along its short side: floor(log2(min(H, W)))."""
    return max(1, min(size).bit_length() - 1)


def is_small(size: Size | torch.Size) -> bool:
    """Whether a picture of that size lies by pixels."""
    return max(size) <= _SMALL


def halve(image: torch.Tensor) -> torch.Tensor:
    """Half the size, rounded up: [1 4 6 4 1]/16 at every second pixel, border continued (REDUCE)."""
    height, width = image.shape[-2:]
    if is_small((height, width)):
        return _sum_pixels(image, _halving((height, width), len(image), image.device))
    rows, columns = _filter_sums(image, _BINOMIAL, 2)
    low = _sum_rows(image, rows)
    if not _is_narrow(image, 0):
        return _filter_columns(low, _BINOMIAL, 2)
    return as_filtered(_sum_rows(low.mT, columns).mT)


def smooth(image: torch.Tensor, taps: Taps) -> torch.Tensor:
    """Filter by an odd number of symmetric taps of sum 1, border continued."""
    rows, columns = _filter_sums(image, taps, 1)
    if _is_narrow(image, 0):
        return _sum_rows(_sum_rows(image.mT, columns).mT, rows)
    return _filter_columns(_sum_rows(image, rows), taps, 1)


def smooth_small(listed: torch.Tensor, sizes: tuple[Size, ...], taps: Taps) -> torch.Tensor:
    """`smooth` of several small pictures of one channel, all at once.

    Args:
        listed: N×P, the pixels of one picture after those of another.
        sizes: (height, width) of each; P pixels in all.
        taps: as for `smooth`.

    Returns:
        N×P.
    """
    table = listed.reshape(-1, 1)
    for axis in (0, 1):
        table = _sums(table, _smoothing(sizes, taps, axis, len(listed), listed.device))
    return table.view(listed.shape)


def enlarge(image: torch.Tensor, size: Size | torch.Size) -> torch.Tensor:
    """Enlarge to `size`, on the grid of `halve`: coarse pixel k lies on fine pixel 2k (EXPAND)."""
    height, width = image.shape[-2:]
    if is_small(size):
        return _sum_pixels(image, _enlarging((height, width), (size[0], size[1]), len(image), image.device))
    rows, columns = (
        _expand_rows(count, wanted, len(image), image.device)
        for count, wanted in zip((height, width), size, strict=True)
    )
    narrow = _is_narrow(image, size[1])
    wide = _sum_rows(image.mT, columns).mT if narrow else _expand_columns(by_rows(image), size[1])
    return _sum_rows(wide, rows)


def by_rows(image: torch.Tensor) -> torch.Tensor:
    """The same image, in memory by rows as N×H×C×W."""
    return image.transpose(1, 2).contiguous().transpose(1, 2)


def as_filtered(image: torch.Tensor) -> torch.Tensor:
    """The same image, in memory as a picture of its size is filtered without being copied."""
    if not is_small(image.shape[-2:]):
        return by_rows(image)
    return image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _filter_sums(image: torch.Tensor, taps: Taps, step: int) -> tuple[_Sums, _Sums]:
    """Of rows and of columns, for the filter of `taps` at every `step`-th, the border continued."""
    height, width = image.shape[-2:]
    return (
        _filter_rows(height, taps, step, len(image), image.device),
        _filter_rows(width, taps, step, len(image), image.device),
    )


def _is_narrow(image: torch.Tensor, width: int) -> bool:
    """Whether its columns are filtered as rows are, of a copy that lies by columns."""
    return max(image.shape[-1], width) <= _NARROW or image.device.type != "cpu"


@dataclass(frozen=True, eq=False)
class _Sums:
    """Weighted sums of entries of a table: which entries, those of one sum after those of another, their weights, and
    where each sum begins. `size`: (height, width) of the result, if the entries are pixels.
    """

    places: torch.Tensor
    weights: torch.Tensor
    starts: torch.Tensor
    size: Size


def _sums(table: torch.Tensor, sums: _Sums) -> torch.Tensor:
    return torch.embedding_bag(table.contiguous(), sums.places, sums.starts, False, 0, False, sums.weights)[0]


def _sum_rows(image: torch.Tensor, sums: _Sums) -> torch.Tensor:
    """Each row of the result is the weighted sum of some rows of an image."""
    batch, channels, _, width = image.shape
    rows = _sums(image.transpose(1, 2).reshape(-1, channels * width), sums)
    return rows.view(batch, -1, channels, width).transpose(1, 2)


def _sum_pixels(image: torch.Tensor, sums: _Sums) -> torch.Tensor:
    """Each pixel of the result is the weighted sum of some pixels of an image; it lies by pixels."""
    batch, channels = image.shape[:2]
    pixels = _sums(image.permute(0, 2, 3, 1).reshape(-1, channels), sums)
    return pixels.view(batch, *sums.size, channels).permute(0, 3, 1, 2)


Terms = list[list[tuple[int, float]]]
"""For each sum the entries that it is of, and their weights."""


@cache
def _filter_rows(count: int, taps: Taps, step: int, batch: int, device: torch.device) -> _Sums:
    return _batched(_filtering(count, taps, step), count, batch, device)


@cache
def _expand_rows(count: int, wanted: int, batch: int, device: torch.device) -> _Sums:
    return _batched(_expansion(count, wanted), count, batch, device)


@cache
def _halving(size: Size, batch: int, device: torch.device) -> _Sums:
    down, across = (_filtering(count, _BINOMIAL, 2) for count in size)
    return _both_ways(down, across, size, batch, device)


@cache
def _enlarging(size: Size, wanted: Size, batch: int, device: torch.device) -> _Sums:
    down, across = (_expansion(count, more) for count, more in zip(size, wanted, strict=True))
    return _both_ways(down, across, size, batch, device)


@cache
def _smoothing(sizes: tuple[Size, ...], taps: Taps, axis: int, batch: int, device: torch.device) -> _Sums:
    terms: Terms = []
    for height, width in sizes:
        # Along the other axis every pixel is a sum of itself alone.
        down, across = (
            _filtering(count, taps if axis == along else (1.0,), 1) for along, count in enumerate((height, width))
        )
        first = len(terms)
        terms += [[(first + place, weight) for place, weight in one] for one in _products(down, across, width)]
    return _batched(terms, len(terms), batch, device)


def _filtering(count: int, taps: Taps, step: int) -> Terms:
    """A filter at every `step`-th pixel of a line, the border continued."""
    reach = len(taps) // 2
    return [
        [(min(max(at + offset, 0), count - 1), tap) for offset, tap in enumerate(taps, start=-reach)]
        for at in range(0, count, step)
    ]


def _expansion(count: int, wanted: int) -> Terms:
    """EXPAND of a line: (1 6 1)/8 on the coarse pixels, (4 4)/8 between them."""
    kinds = (((-1, 1 / 8), (0, 6 / 8), (1, 1 / 8)), ((0, 4 / 8), (1, 4 / 8)))
    return [
        [(min(max(at // 2 + offset, 0), count - 1), weight) for offset, weight in kinds[at % 2]] for at in range(wanted)
    ]


def _products(down: Terms, across: Terms, width: int) -> Terms:
    """Sums of pixels, of pictures that are so wide, that do two sums of lines in one."""
    return [
        [(y * width + x, weight_y * weight_x) for y, weight_y in rows for x, weight_x in columns]
        for rows in down
        for columns in across
    ]


def _both_ways(down: Terms, across: Terms, size: Size, batch: int, device: torch.device) -> _Sums:
    terms = _products(down, across, size[1])
    return replace(_batched(terms, size[0] * size[1], batch, device), size=(len(down), len(across)))


def _batched(terms: Terms, count: int, batch: int, device: torch.device) -> _Sums:
    """The same sums for every item of a batch, each of `count` entries."""
    places = [item * count + place for item in range(batch) for one in terms for place, _ in one]
    weights = [weight for one in terms for _, weight in one] * batch
    lengths = [len(one) for one in terms] * batch
    starts = list(accumulate(lengths, initial=0))[:-1]
    return _Sums(
        torch.tensor(places, dtype=torch.int32, device=device),
        torch.tensor(weights, dtype=torch.float32, device=device),
        torch.tensor(starts, dtype=torch.int32, device=device),
        (len(terms), 1),
    )


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

    return mean_outwards(image[..., ::step], away, taps, _empty_by_rows(image, count))


def _expand_columns(image: torch.Tensor, count: int) -> torch.Tensor:
    """EXPAND along the rows: (1 6 1)/8 on the coarse pixels, (4 4)/8 between them."""
    wide, result = _padded(image, 1, 1), _empty_by_rows(image, 2 * image.shape[-1])
    before, after = wide[..., :-2], wide[..., 2:]
    # Each is written into its places: putting them side by side first would take longer than the sums.
    torch.lerp(torch.lerp(before, after, 0.5), image, 0.75, out=result[..., ::2])
    torch.lerp(image, after, 0.5, out=result[..., 1::2])
    return result[..., :count]


def _padded(image: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """The image with its border columns repeated."""
    return F.pad(image.transpose(1, 2), (before, after, 0, 0), mode="replicate").transpose(1, 2)


def _empty_by_rows(image: torch.Tensor, width: int) -> torch.Tensor:
    """Memory for as many rows as the image has."""
    return image.new_empty((len(image), image.shape[2], image.shape[1], width)).transpose(1, 2)
