"""Small pictures as lists of their pixels, one after another, all channels of one together: P×C float32.

There it is the number of steps that takes time: halved or enlarged, each pixel is one weighted sum of pixels, both ways
in one step; and what is asked of the pixels of several pictures is asked of all of them at once.
"""

from __future__ import annotations

import math
from functools import cache

import torch

from bodydouble.swap.sums import BINOMIAL, Size, Sums, Taps, Terms, expansion, filtering, sums_of

_SMALL = 32
"""Longer side up to which lists of pixels take less time than rows do."""


def is_small(size: Size | torch.Size) -> bool:
    """Whether a picture of that size is handled as a list."""
    return max(size) <= _SMALL


def listed(image: torch.Tensor) -> torch.Tensor:
    """The pixels of N×C×h×w, row by row: (N·h·w)×C."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def unlisted(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """The pictures N×C×h×w of a list; a view."""
    return pixels.view(-1, *size, pixels.shape[1]).permute(0, 3, 1, 2)


def halve_listed(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """REDUCE, see `pyramids.halve`, of pictures of that size."""
    return _halving(size, len(pixels) // math.prod(size), pixels.device).of(pixels)


def enlarge_listed(pixels: torch.Tensor, size: Size, wanted: Size) -> torch.Tensor:
    """EXPAND, see `pyramids.enlarge`, of pictures of that size."""
    return _enlarging(size, wanted, len(pixels) // math.prod(size), pixels.device).of(pixels)


def smooth_listed(pixels: torch.Tensor, sizes: tuple[Size, ...], taps: Taps) -> torch.Tensor:
    """`pyramids.smooth` of pictures of one channel.

    Args:
        pixels: P×1, those of one picture after those of another.
        sizes: (height, width) of each; P pixels in all.
        taps: as for `smooth`.

    Returns:
        P×1.
    """
    # As many neighbours of a line are summed together as there are in every line.
    together = math.gcd(*(side for size in sizes for side in size))
    turned = tuple((width, height) for height, width in sizes)
    for each in (sizes, turned):
        pixels = _smoothing(each, taps, together, pixels.device).of(pixels.view(-1, together))
        pixels = pixels.view(-1).index_select(0, _turning(each, pixels.device))
    return pixels.view(-1, 1)


@cache
def _halving(size: Size, batch: int, device: torch.device) -> Sums:
    down, across = (filtering(count, BINOMIAL, 2) for count in size)
    return sums_of(_products(down, across, size[1]), math.prod(size), batch, device)


@cache
def _enlarging(size: Size, wanted: Size, batch: int, device: torch.device) -> Sums:
    down, across = (expansion(count, more) for count, more in zip(size, wanted, strict=True))
    return sums_of(_products(down, across, size[1]), math.prod(size), batch, device)


@cache
def _smoothing(sizes: tuple[Size, ...], taps: Taps, together: int, device: torch.device) -> Sums:
    """A filter down the pictures, of so many neighbours of a line at once."""
    terms: Terms = []
    for height, width in sizes:
        first, across = len(terms), width // together
        alone: Terms = [[(at, 1.0)] for at in range(across)]
        products = _products(filtering(height, taps, 1), alone, across)
        terms += [[(first + place, weight) for place, weight in one] for one in products]
    return sums_of(terms, len(terms), 1, device)


@cache
def _turning(sizes: tuple[Size, ...], device: torch.device) -> torch.Tensor:
    """Which pixel stands where when every picture is listed column by column instead."""
    places = torch.arange(sum(math.prod(size) for size in sizes), device=device)
    pictures = places.split([math.prod(size) for size in sizes])
    return torch.cat([one.view(size).T.reshape(-1) for one, size in zip(pictures, sizes, strict=True)])


def _products(down: Terms, across: Terms, width: int) -> Terms:
    """Sums of pixels, of pictures that are so wide, that do two sums of lines in one."""
    return [
        [(y * width + x, weight_y * weight_x) for y, weight_y in rows for x, weight_x in columns]
        for rows in down
        for columns in across
    ]
