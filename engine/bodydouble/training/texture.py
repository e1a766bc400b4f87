"""How strong a face's finest structure is, wherever it lies: SSIM's contrast term alone, of single octaves.

A network cannot know from the latent where each lash and pore lies, and what is nearest to all possibilities is none
of them: skin like wax. Losses that compare pixel by pixel, SSIM's structure among them, ask for that. So the strength
of an octave is compared apart from its places. With P the power of an octave, its mean square over 8×8 of its pixels,

    2·√(Px·Py) / (Px + Py)

is 1 where both are as strong: the contrast factor of SSIM (Wang et al. 2004), of which SSIM proper only has the product
with structure. A constant is added to both powers, so that the faintest noise counts as flat. Octaves are those of a
Laplacian pyramid (Burt and Adelson 1983) of the mean of the channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.swap.sums import BINOMIAL

SMALLEST_TEXTURE = 32
"""Pixels of the smallest pictures that have windows in both octaves."""
OCTAVES = 2
WINDOW = 8
STRIDE = 4
_REACH = len(BINOMIAL) // 2


@dataclass(frozen=True)
class _Octave:
    """Powers of both pictures in each window, N×1×h×w, and how much each window counts."""

    result: Tensor
    truth: Tensor
    share: Tensor


def strength_likeness(
    result: Tensor, truth: Tensor, matte: Tensor, span: float, weight: Tensor | None = None
) -> Tensor:
    """Mean likeness in strength of the two finest octaves, over the windows that lie in the face; N, 1 is equal.

    Args:
        result, truth: N×3×S×S float32 in model space, S at least `SMALLEST_TEXTURE`.
        matte: N×1×S×S face matte in [0, 1]. A window counts by the least of it in the window and around, as far as the
            octave's filter reaches: the edge of a masked picture is no structure of a face.
        span: range of values that the constant is a share of: powers below (0.01·span)² / 2 count as none.
        weight: N×1×S×S, how much each pixel counts; None for all alike.

    Returns:
        1 where no window lies in the face.
    """
    constant = (0.01 * span) ** 2 / 2
    total = torch.ones(len(matte), device=matte.device)
    for octave in _octaves(result, truth, matte, weight):
        x, y = octave.result + constant, octave.truth + constant
        alike = 2 * (x * y).sqrt() / (x + y)
        apart = ((1 - alike) * octave.share).sum((1, 2, 3)) / octave.share.sum((1, 2, 3)).clamp_min(1e-6)
        total = total - apart / OCTAVES
    return total


def strength_ratio(result: Tensor, truth: Tensor, matte: Tensor) -> float:
    """How strong the two finest octaves of `result`'s faces are, as a share of `truth`'s; arguments as above.

    Root of the ratio of powers, mean of the octaves.
    """
    total = 0.0
    for octave in _octaves(result, truth, matte, None):
        ours, theirs = (float((power * octave.share).sum()) for power in (octave.result, octave.truth))
        total += math.sqrt(ours / max(theirs, 1e-12))
    return total / OCTAVES


def _octaves(result: Tensor, truth: Tensor, matte: Tensor, weight: Tensor | None) -> Iterator[_Octave]:
    """The finest octaves, finest first."""
    pair = torch.cat([result, truth]).mean(1, keepdim=True)
    weight = torch.ones_like(matte) if weight is None else weight
    for _ in range(OCTAVES):
        below = _smoothed(pair)
        ours, theirs = F.avg_pool2d((pair - below).square(), WINDOW, STRIDE).chunk(2)
        yield _Octave(ours, theirs, F.avg_pool2d(weight, WINDOW, STRIDE) * _least(matte, WINDOW, STRIDE))
        pair, matte, weight = below[..., ::2, ::2], _least(matte, 2, 2), F.avg_pool2d(weight, 2)


def _smoothed(pictures: Tensor) -> Tensor:
    line = pictures.new_tensor(BINOMIAL)
    # Repeated at the border, which is no structure either.
    around = F.pad(pictures, (_REACH,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(around, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))


def _least(matte: Tensor, side: int, stride: int) -> Tensor:
    """The least of the matte in each square and as far around it as the filter reaches."""
    return -F.max_pool2d(-matte, side + 2 * _REACH, stride, _REACH)
