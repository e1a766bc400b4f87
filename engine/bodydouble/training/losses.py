"""The reconstruction loss of a level: 1 − SSIM (levels 0..2), 1 − MS-SSIM (from level 3 on), inside the face matte.

SSIM after Wang et al. 2004, MS-SSIM after Wang, Simoncelli and Bovik 2003, both as in pytorch-msssim. Its `ms_ssim`
insists on five scales and so on pictures above 160 pixels; a level of S pixels here uses as many scales as keep the
coarsest one at least as large as the 11-pixel window (32: 2, 64: 3, 128: 4, from 256: all 5), with the first weights
scaled to the sum of all five (1.0001 as published). Up to 16 pixels the window's weights are one small matrix, which is
several times as fast as a convolution of such pictures.

SSIM's constants keep it from dividing by nothing: what varies by much less than 0.03 of the span of the pictures is
as good as flat to it. They are meant for display pictures that fill 0..1. In model space half of a face's 11-pixel
windows vary by 0.016 and less (variance 0.0003, against a constant of 0.0009), a dark face's by less still: with the
published span the loss is nearly deaf to lids, lips and skin. `loss_span` says what span the constants belong to.

Every window of a picture counts alike in SSIM, and eyes and mouth are a tenth of a face. `eyes_mouth_weight` says how
many times as much the windows around them count (`features`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.settings import TrainSettings
from bodydouble.training.structure import WINDOW, Box, contrast, halved, shares, window_line, windowed
from bodydouble.training.texture import strength_likeness

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_SSIM = 16
"""Levels 0 and 1 (4 and 8 pixels) are compared at this size."""
_BOXED_SIZE = 256
"""In smaller pictures the windows around a face reach nearly everywhere."""


def scale_count(size: int) -> int:
    """How many MS-SSIM scales fit pictures of `size` pixels."""
    count = 1
    while count < len(SCALE_WEIGHTS) and size // 2**count >= WINDOW:
        count += 1
    return count


def ms_ssim(result: Tensor, truth: Tensor, span: float = 1.0) -> Tensor:
    """MS-SSIM of N×C×S×S float32 pictures in [0, 1], with the scales that fit; scalar, 1 is identical.

    Contrast terms are kept above 1e-4: a fractional power of zero has no finite gradient, and an untrained network
    reaches it.

    Args:
        result, truth: the pictures.
        span: range of values that SSIM's two constants are shares of; 1 is the published one.
    """
    return _over_scales(_scales(result, truth, span, None))


def _scales(
    result: Tensor, truth: Tensor, span: float, weight: Tensor | None, boxes: Sequence[Box] | None = None
) -> list[Tensor]:
    """SSIM's contrast and structure term at each scale, finest first, and all of SSIM at the last; each N×C.

    Args:
        weight: N×1×S×S, how much each window counts by the weight at its centre; None for all alike.
        boxes: of each picture, outside of which both are 0; None if they may be anything anywhere.
    """
    found = []
    for _ in range(scale_count(result.shape[-1]) - 1):
        found.append(contrast(result, truth, span, weight, boxes))
        result, truth = halved(result), halved(truth)
        boxes = [box.halved() for box in boxes] if boxes and result.shape[-1] >= _BOXED_SIZE else None
        weight = None if weight is None else halved(weight)
    return [*found, _ssim(result, truth, span, weight)]


def _ssim(result: Tensor, truth: Tensor, span: float, weight: Tensor | None) -> Tensor:
    """SSIM of N×C×S×S pictures; N×C.

    With u = x + y and v = x − y, variances and covariance come out of two squares instead of three products.
    """
    pair = torch.cat([result + truth, result - truth])
    means = windowed(pair).square()
    luminance, structure = _terms(means, windowed(pair.square()) - means, span)
    return (luminance * structure * shares(weight, result)).sum((2, 3))


def _terms(means: Tensor, spreads: Tensor, span: float) -> tuple[Tensor, Tensor]:
    """SSIM's luminance term, and that of contrast and structure, from squared means and variances of u, then of v."""
    (mean_u, mean_v), (spread_u, spread_v) = means.chunk(2), spreads.chunk(2)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    luminance = (mean_u - mean_v + 2 * c1) / (mean_u + mean_v + 2 * c1)
    structure = (spread_u - spread_v + 2 * c2) / (spread_u + spread_v + 2 * c2)
    return luminance, structure


def _over_scales(scales: list[Tensor]) -> Tensor:
    weights = torch.tensor(SCALE_WEIGHTS[: len(scales)], device=scales[0].device)
    weights = weights * (sum(SCALE_WEIGHTS) / weights.sum())
    total = torch.ones_like(scales[0])
    for weight, factor in zip(weights, scales, strict=True):
        total = total * factor.clamp_min(1e-4) ** weight
    return total.mean()


def small_ssim(result: Tensor, truth: Tensor, span: float) -> Tensor:
    """SSIM of N×C×S×S float32 pictures in [0, 1] of up to 16 pixels, enlarged to 16 (bilinear); scalar."""
    # As in `_ssim`, with matrices for its filters.
    pair = torch.stack([result + truth, result - truth]).reshape(-1, result.shape[-1] ** 2)  # 2NC×S², u before v
    lines, forms, weights = _enlarged_windows(result.shape[-1], result.device)
    levels = (pair @ lines).square()  # 2NC×36
    spreads = (pair @ forms).square() @ weights - levels
    luminance, structure = _terms(levels, spreads, span)
    return (luminance * structure).mean()


@cache
def _enlarged_windows(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The windows of pictures enlarged to 16×16, for pictures p as rows of side² pixels.

    Means under the window are p·lines, means of squares (p·forms)²·weights: lines side²×36, forms side²×F, weights
    F×36. The forms are the enlarged pixels, 256; or, as an enlarged pixel's square is made of products of pixels side
    by side, and p·q of the squares of p, q and p + q, those: 58 where a picture has 4×4.
    """
    enlarging = F.interpolate(_dots(side), size=SMALLEST_SSIM, mode="bilinear").flatten(1)  # side²×256
    line = window_line(torch.float64, torch.device("cpu"))
    windows = F.conv2d(_dots(SMALLEST_SSIM), torch.outer(line, line)[None, None]).flatten(1)  # 256×36
    forms, weights = enlarging, windows
    products = torch.einsum("ik,jk,kw->ijw", enlarging, enlarging, windows)
    first, second = products.abs().sum(2).triu(1).nonzero(as_tuple=True)
    if side**2 + len(first) < len(windows):
        pixels = torch.eye(side**2, dtype=torch.float64)
        forms = torch.cat([pixels, pixels[first] + pixels[second]]).mT
        weights = torch.cat([2 * products.diagonal().mT - products.sum(1), products[first, second]])
    lines, forms, weights = (one.to(device, torch.float32) for one in (enlarging @ windows, forms, weights))
    return lines, forms, weights


def _dots(side: int) -> Tensor:
    """Every picture of side×side pixels with one of them 1, the others 0; float64."""
    return torch.eye(side**2, dtype=torch.float64).view(-1, 1, side, side)


def level_loss(
    result: Tensor, truth: Tensor, matte: Tensor, level: int, settings: TrainSettings, features: Tensor | None = None
) -> Tensor:
    """Loss of level `level`.

    Args:
        result, truth: N×3×S×S in model space.
        matte: N×1×S×S face matte in [0, 1].
        level: 0..8.
        settings: `loss` is its form; `loss_span`, `detail_weight`, `texture_weight`, `l1_weight` and
            `eyes_mouth_weight` are what it has beyond the published one.
        features: N×1×S×S, 1 on eyes and mouth, 0 away from them; None where they count like the rest.
    """
    truth = truth * matte
    shown = result * matte if settings.loss == "masked" else result
    span = settings.loss_span
    weight = None if features is None else 1 + (settings.eyes_mouth_weight - 1) * features
    if level <= 2:
        loss = 1 - small_ssim(shown, truth, span)
    else:
        walked_by_box = settings.loss == "masked" and matte.device.type == "cpu" and matte.shape[-1] >= _BOXED_SIZE
        scales = _scales(shown, truth, span, weight, covered(matte) if walked_by_box else None)
        loss = 1 - _over_scales(scales)
        if settings.detail_weight:
            loss = loss + settings.detail_weight * (1 - scales[0].mean())
        if settings.texture_weight:
            alike = strength_likeness(shown, truth, matte, span, weight)
            loss = loss + settings.texture_weight * (1 - alike).mean()
    if settings.l1_weight:
        # Picture by picture, like SSIM: a batch has the mean loss of its pictures.
        area = matte if weight is None else matte * weight
        apart: Tensor = _Apart.apply(shown, truth, weight)
        loss = loss + settings.l1_weight * (apart / (3 * area.sum((1, 2, 3))).clamp_min(1.0)).mean()
    return loss


def covered(matte: Tensor) -> list[Box]:
    """The smallest box of each picture outside of which its matte, N×1×S×S, is 0."""
    rows, columns = ((matte[:, 0].amax(axis) > 0).tolist() for axis in (2, 1))
    return [Box(*_extent(row), *_extent(column)) for row, column in zip(rows, columns, strict=True)]


def _extent(line: list[bool]) -> tuple[int, int]:
    """The first true place of a line and the one after its last; 0, 0 if there is none."""
    return (line.index(True), len(line) - line[::-1].index(True)) if True in line else (0, 0)


class _Apart(torch.autograd.Function):
    """Sum of a picture's absolute differences, times the weight at each pixel; N. Only `result` has a gradient."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
        apart = result - truth
        slope = apart.sign()
        if weight is not None:
            slope.mul_(weight)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(slope)
        return apart.mul_(slope).sum((1, 2, 3))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * outer[0][:, None, None, None], None, None
