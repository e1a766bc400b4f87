"""SSIM's contrast and structure term at one scale, with its gradient worked out by hand, and the filters it needs.

The term of a window is (2·σxy + C2) / (σx² + σy² + C2) (Wang et al. 2004). Automatic differentiation keeps a dozen
pictures for it and walks through them one by one; by hand one picture is kept, and made while the windows are at hand.
With R = 1 / (σx² + σy² + C2), K the term, μ the means under the window G and Gᵀ the window spread back over its pixels:

    ∂ ΣK / ∂x  =  2·(y·Gᵀ[R] − x·Gᵀ[R·K] − Gᵀ[R·(μy − K·μx)])

Where both pictures are black the term is 1 and has no gradient, so black surroundings need not be walked through.

Pictures lie channels last, as the network leaves them. Three channels fill a fifth of a processor's vector, so the
filter along columns takes sixteen pixels of a row as channels of one: the same memory, read otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11
WINDOW_SIGMA = 1.5
_ROW_PIXELS = 16


@dataclass(frozen=True)
class Box:
    """Pixel rows `top` to `bottom` and columns `left` to `right` of a picture, the last ones not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def is_empty(self) -> bool:
        return self.bottom <= self.top or self.right <= self.left

    def halved(self) -> Box:
        """The box in a picture of half the size: every pixel that one of this box goes into."""
        return Box(self.top // 2, (self.bottom + 1) // 2, self.left // 2, (self.right + 1) // 2)

    def with_windows(self, height: int, width: int) -> Box:
        """The pixels of all windows that reach into the box, in whole groups of sixteen columns."""
        reach = WINDOW - 1
        left, right = (self.left - reach) // _ROW_PIXELS, -(-(self.right + reach) // _ROW_PIXELS)
        return Box(
            max(0, self.top - reach),
            min(height, self.bottom + reach),
            max(0, left * _ROW_PIXELS),
            min(width, right * _ROW_PIXELS),
        )


def contrast(
    result: Tensor,
    truth: Tensor,
    span: float,
    weight: Tensor | None = None,
    boxes: Sequence[Box] | None = None,
) -> Tensor:
    """Mean of SSIM's contrast and structure term over the windows that fit; N×C, 1 is identical.

    Only `result` has a gradient.

    Args:
        result, truth: N×C×H×W float pictures in [0, 1], at least 11 pixels high and wide.
        span: range of values that SSIM's constant is a share of.
        weight: N×1×H×W, how much each window counts by the weight at its centre; None for all alike.
        boxes: a box of each picture, outside of which both pictures are 0; None if they may be anything anywhere. The
            result is the same; it takes as long as the boxes are large.
    """
    found: Tensor = _Contrast.apply(result, truth, (0.03 * span) ** 2, shares(weight, result), boxes)
    return found


def shares(weight: Tensor | None, pictures: Tensor) -> Tensor:
    """What part of a picture's mean each window has, by the weight (N×1×H×W) at its centre.

    N×1×(H−10)×(W−10); one number, 1×1×1×1, where all count alike.
    """
    height, width = pictures.shape[2] - WINDOW + 1, pictures.shape[3] - WINDOW + 1
    if weight is None:
        return pictures.new_full((1, 1, 1, 1), 1 / (height * width))
    edge = WINDOW // 2
    centres = weight[:, :, edge : edge + height, edge : edge + width]
    return centres / centres.sum((2, 3), keepdim=True)


def windowed(pictures: Tensor) -> Tensor:
    """Means under the Gaussian window wherever it fits: N×C×H×W → N×C×(H−10)×(W−10), channels last."""
    return _filtered(pictures.permute(0, 2, 3, 1).contiguous(), 0).permute(0, 3, 1, 2)


def halved(pictures: Tensor) -> Tensor:
    """Means of 2×2 pixels: `avg_pool2d`, bit by bit, and several times as fast channels last."""
    return _exact(pictures, pictures.new_full((pictures.shape[1], 1, 2, 2), 0.25), stride=2)


class _Contrast(torch.autograd.Function):
    """`contrast`; the gradient is made on the way forward and only scaled on the way back."""

    @staticmethod
    def forward(
        ctx: Any, result: Tensor, truth: Tensor, constant: float, share: Tensor, boxes: Sequence[Box] | None
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        if boxes is None:
            total, gradient = _walked(result, truth, constant, share, wanted)
        else:
            total, gradient = _walked_boxes(result, truth, constant, share, boxes, wanted)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0][:, :, None, None], None, None, None, None


def _walked(
    result: Tensor, truth: Tensor, constant: float, share: Tensor, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """The sum of the windows' terms times their shares, N×C, and where wanted its gradient, N×C×H×W."""
    fields = _fields(result, truth)
    x, y = fields[0], fields[1]
    mean_x, mean_y, spread, term = _filtered(fields.flatten(0, 1), 0).unflatten(0, (len(fields), -1))
    spread.addcmul_(mean_x, mean_x, value=-1).addcmul_(mean_y, mean_y, value=-1).add_(constant)
    term.addcmul_(mean_x, mean_y, value=-1).mul_(2).add_(constant).div_(spread)
    share = share.permute(0, 2, 3, 1)
    total = (term * share).sum((1, 2))
    if not wanted:
        return total, None
    maps = term.new_empty((3, *term.shape))
    slope = torch.div(share, spread, out=maps[0])
    torch.mul(term, slope, out=maps[1])
    torch.mul(mean_y.addcmul_(term, mean_x, value=-1), slope, out=maps[2])
    by_y, by_x, by_means = _filtered(maps.flatten(0, 1), WINDOW - 1).unflatten(0, (len(maps), -1))
    gradient = by_y.mul_(y).addcmul_(by_x, x, value=-1).sub_(by_means).mul_(2)
    return total, gradient.permute(0, 3, 1, 2)


def _walked_boxes(
    result: Tensor, truth: Tensor, constant: float, share: Tensor, boxes: Sequence[Box], wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """As `_walked`, picture by picture, and only through the windows that reach into its box."""
    count, channels, height, width = result.shape
    edge = WINDOW - 1
    share = share.expand(count, 1, height - edge, width - edge)
    totals = result.new_ones(count, channels)
    gradient = torch.zeros_like(result, memory_format=torch.channels_last) if wanted else None
    for index, box in enumerate(boxes):
        if box.is_empty:
            continue
        around = box.with_windows(height, width)
        one, rows, columns = slice(index, index + 1), slice(around.top, around.bottom), slice(around.left, around.right)
        inner = share[one, :, around.top : around.bottom - edge, around.left : around.right - edge]
        total, slope = _walked(result[one, :, rows, columns], truth[one, :, rows, columns], constant, inner, wanted)
        totals[one] += total - inner.sum()  # all other windows' terms are 1
        if gradient is not None and slope is not None:
            gradient[one, :, rows, columns] = slope
    return totals, gradient


def _fields(result: Tensor, truth: Tensor) -> Tensor:
    """x, y, x² + y² and x·y, channels last: 4×N×H×W×C. One filter over all of them costs less than four."""
    count, channels, height, width = result.shape
    fields = result.new_empty((4, count, height, width, channels))
    x, y = fields[0].copy_(result.permute(0, 2, 3, 1)), fields[1].copy_(truth.permute(0, 2, 3, 1))
    torch.mul(x, x, out=fields[2]).addcmul_(y, y)
    torch.mul(x, y, out=fields[3])
    return fields


def _filtered(pictures: Tensor, padding: int) -> Tensor:
    """N×H×W×C under the window; with `padding` zeros around them, as every filter is symmetric, Gᵀ.

    What has whole rows goes along the columns first or last, as sixteen pixels of a row are taken together there.
    """
    if padding:
        return _along_columns(_along_rows(pictures, padding), padding)
    return _along_rows(_along_columns(pictures, 0), 0)


def _along_columns(pictures: Tensor, padding: int) -> Tensor:
    count, height, width, channels = pictures.shape
    together = math.gcd(width, _ROW_PIXELS)
    planes = pictures.view(count, height, width // together, together * channels).permute(0, 3, 1, 2)
    kernel = window_line(pictures.dtype, pictures.device).expand(together * channels, 1, WINDOW)[:, :, :, None]
    filtered = _exact(planes, kernel, (padding, 0)).permute(0, 2, 3, 1)
    return filtered.reshape(count, height - WINDOW + 1 + 2 * padding, width, channels)


def _along_rows(pictures: Tensor, padding: int) -> Tensor:
    kernel = window_line(pictures.dtype, pictures.device).expand(pictures.shape[-1], 1, WINDOW)[:, :, None, :]
    return _exact(pictures.permute(0, 3, 1, 2), kernel, (0, padding)).permute(0, 2, 3, 1)


@cache
def window_line(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The window along one axis, sum 1: 11 weights."""
    offset = torch.arange(WINDOW, dtype=dtype, device=device) - WINDOW // 2
    weights = torch.exp(-0.5 * (offset / WINDOW_SIGMA) ** 2)
    return weights / weights.sum()


def _exact(planes: Tensor, kernel: Tensor, padding: tuple[int, int] = (0, 0), stride: int = 1) -> Tensor:
    """A filter per channel, in full float32: variances are small differences of large squares."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return F.conv2d(planes, kernel, padding=padding, stride=stride, groups=len(kernel))
