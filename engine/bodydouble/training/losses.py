"""The reconstruction loss of a level: 1 − SSIM (levels 0..2), 1 − MS-SSIM (from level 3 on), inside the face matte.

SSIM after Wang et al. 2004, MS-SSIM after Wang, Simoncelli and Bovik 2003, both from pytorch-msssim. Its `ms_ssim`
insists on five scales and so on pictures above 160 pixels; a level of S pixels here uses as many scales as keep the
coarsest one at least as large as the 11-pixel window (32: 2, 64: 3, 128: 4, from 256: all 5), with the first weights
scaled to the sum of all five (1.0001 as published).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pytorch_msssim import ssim
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from torch import Tensor

WINDOW = 11
WINDOW_SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_SSIM = 16
"""Levels 0 and 1 (4 and 8 pixels) are compared at this size."""

LossForm = Literal["masked", "target-masked"]


def scale_count(size: int) -> int:
    """How many MS-SSIM scales fit pictures of `size` pixels."""
    count = 1
    while count < len(SCALE_WEIGHTS) and size // 2**count >= WINDOW:
        count += 1
    return count


def ms_ssim(result: Tensor, truth: Tensor) -> Tensor:
    """MS-SSIM of N×C×S×S float32 pictures in [0, 1], with the scales that fit; scalar, 1 is identical.

    Contrast terms are kept above 1e-4: a fractional power of zero has no finite gradient, and an untrained network
    reaches it.
    """
    weights = torch.tensor(SCALE_WEIGHTS[: scale_count(result.shape[-1])], device=result.device)
    weights = weights * (sum(SCALE_WEIGHTS) / weights.sum())
    window = _fspecial_gauss_1d(WINDOW, WINDOW_SIGMA).to(result).repeat(result.shape[1], 1, 1, 1)
    total = torch.ones(result.shape[:2], device=result.device)  # N×C
    for scale, weight in enumerate(weights):
        if scale:
            result, truth = F.avg_pool2d(result, 2), F.avg_pool2d(truth, 2)
        whole, contrast = _ssim(result, truth, data_range=1.0, win=window)  # each N×C
        factor = whole if scale == len(weights) - 1 else contrast
        total = total * factor.clamp_min(1e-4) ** weight
    return total.mean()


def level_loss(
    result: Tensor, truth: Tensor, matte: Tensor, level: int, form: LossForm = "masked", l1_weight: float = 0.0
) -> Tensor:
    """Loss of level `level`.

    Args:
        result, truth: N×3×S×S in model space.
        matte: N×1×S×S face matte in [0, 1].
        level: 0..8.
        form: "masked" compares both inside the matte, so the background of the result is free; "target-masked" wants
            the result to be black outside.
        l1_weight: weight of an additional mean absolute difference over each matte's area. 0 is the published loss.
    """
    truth = truth * matte
    shown = result * matte if form == "masked" else result
    if level <= 1:
        pair = [F.interpolate(image, size=SMALLEST_SSIM, mode="bilinear") for image in (shown, truth)]
        loss = 1 - ssim(*pair, data_range=1.0)
    elif level == 2:
        loss = 1 - ssim(shown, truth, data_range=1.0)
    else:
        loss = 1 - ms_ssim(shown, truth)
    if l1_weight:
        # Picture by picture, like SSIM: a batch has the mean loss of its pictures.
        difference = (shown - truth).abs().sum((1, 2, 3)) / (3 * matte.sum((1, 2, 3))).clamp_min(1.0)
        loss = loss + l1_weight * difference.mean()
    return loss
