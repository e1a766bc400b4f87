"""Blends, pyramids and MS-SSIM of other projects beside ours, on the same pixels: what `bench.py` prints of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import bodydouble
from bodydouble.swap.pyramids import enlarge, halve
from bodydouble.training.losses import ms_ssim
from timing import Row, cpu_seconds, milliseconds


def peer_rows(times: int) -> Iterator[Row]:
    """Ours beside what pip offers, on the same pixels."""
    generator = torch.Generator().manual_seed(1)
    swap, plate = (torch.rand(1, 3, 512, 512, generator=generator) for _ in range(2))
    y, x = torch.meshgrid(torch.arange(512.0), torch.arange(512.0), indexing="ij")
    matte = ((x - 256) ** 2 / 160**2 + (y - 256) ** 2 / 200**2 < 1).float()[None, None]
    settings = bodydouble.SwapSettings()
    ours = cpu_seconds(lambda: bodydouble.blend_crop(swap, plate, matte, settings), times)
    yield Row("blend 512²: **ours**, float, HDR", (milliseconds(ours), "1.0", "plate untouched outside, to the bit"))
    yield from _opencv_rows(swap, plate, matte, ours, times)

    pyramid = cpu_seconds(lambda: _pyramid(halve, enlarge, plate), times)
    yield Row("Laplacian pyramid 512², 7 levels: **ours**", (milliseconds(pyramid), "1.0", ""))
    try:
        from kornia.geometry.transform import build_laplacian_pyramid
    except ImportError:
        yield Row("kornia `build_laplacian_pyramid`", ("not installed", "", ""))
    else:
        theirs = cpu_seconds(lambda: build_laplacian_pyramid(plate, 7), times)
        note = "float; powers of two or padded"
        yield Row("kornia `build_laplacian_pyramid`", (milliseconds(theirs), f"{theirs / pyramid:.1f}", note))

    near = (plate + 0.1 * torch.randn(plate.shape, generator=generator)).clamp(0, 1)
    value, loss = float(ms_ssim(near, plate)), cpu_seconds(lambda: ms_ssim(near, plate), times)
    yield Row("MS-SSIM 512²: **ours** (on pytorch-msssim)", (milliseconds(loss), "1.0", f"{value:.6f}"))
    yield from _ms_ssim_rows(near, plate, loss, times)


def _pyramid(
    down: Callable[[torch.Tensor], torch.Tensor],
    up: Callable[[torch.Tensor, torch.Size], torch.Tensor],
    image: torch.Tensor,
) -> list[torch.Tensor]:
    bands = []
    for _ in range(6):
        smaller = down(image)
        bands.append(image - up(smaller, image.shape[-2:]))
        image = smaller
    return [*bands, image]


def _opencv_rows(swap: torch.Tensor, plate: torch.Tensor, matte: torch.Tensor, ours: float, times: int) -> list[Row]:
    try:
        import cv2
    except ImportError:
        return [Row("OpenCV", ("not installed", "", ""))]
    cv2.setNumThreads(1)
    top, below = (np.uint8(255 * picture[0].permute(1, 2, 0).numpy()) for picture in (swap, plate))
    mask = np.uint8(255 * matte[0, 0].numpy())

    def stitch(blender: Any) -> None:
        blender.prepare((0, 0, 512, 512))
        blender.feed(below.astype(np.int16), 255 - mask, (0, 0))
        blender.feed(top.astype(np.int16), mask, (0, 0))
        blender.blend(None, None)

    deeds = [
        ("OpenCV `seamlessClone`", "8 bits", lambda: cv2.seamlessClone(top, below, mask, (256, 256), cv2.NORMAL_CLONE)),
        (
            "OpenCV `MultiBandBlender`, 7 bands",
            "8 bits in; both pictures change at the border",
            lambda: stitch(cv2.detail.MultiBandBlender(0, 7)),
        ),
        ("OpenCV `FeatherBlender`", "8 bits in; alpha only", lambda: stitch(cv2.detail.FeatherBlender(0.1))),
    ]
    rows = []
    for name, note, deed in deeds:
        try:
            seconds = cpu_seconds(deed, times)
        except (cv2.error, AttributeError) as problem:
            rows.append(Row(name, ("failed", "", str(problem).splitlines()[0][:60])))
        else:
            rows.append(Row(name, (milliseconds(seconds), f"{seconds / ours:.1f}", note)))
    return rows


def _ms_ssim_rows(result: torch.Tensor, truth: torch.Tensor, ours: float, times: int) -> Iterator[Row]:
    from pytorch_msssim import ms_ssim as plain

    peers: list[tuple[str, Callable[[], torch.Tensor]]] = [
        ("pytorch-msssim", lambda: plain(result, truth, data_range=1.0))
    ]
    try:
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as measure
    except ImportError:
        yield Row("torchmetrics", ("not installed", "", ""))
    else:
        peers.append(("torchmetrics", lambda: measure(result, truth, data_range=1.0)))
    for name, deed in peers:
        seconds = cpu_seconds(deed, times)
        yield Row(name, (milliseconds(seconds), f"{seconds / ours:.1f}", f"{float(deed()):.6f}"))
