"""Time of `blend_crop` beside OpenCV's `seamlessClone` on the same pixels, at sizes from 256 to 1024.

The calls of both are taken in turn in one run, and the ratio is that of the least times. On one thread each it is CPU
time, so that other work on the machine weighs on both alike; on more it is the clock's, for an idle machine. Large
sizes come first: a process that has handled a plate keeps its memory, and none of ours does less. Up to 256 pixels
`swap` blends two frames at once on a CPU (docs/blend.md), on a GPU four of any size. Needs
`opencv-python-headless` (extra `bench`). Figures: docs/blend.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import cv2
import numpy as np
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.alignment.shotfaces import Face
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapstages import blend_crop, face_matte
from timing import Row, milliseconds, table


def pictures(size: int, noise: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Swap and plate, 1×3×size×size in model space: smooth with grain, or white noise, a third of it above white."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(2):
        picture = torch.rand(1, 3, size, size, generator=generator)
        if not noise:
            small = torch.rand(1, 3, size // 16, size // 16, generator=generator)
            wide = torch.nn.functional.interpolate(small, (size, size), mode="bicubic")
            picture = wide.clamp(0, 1) * 0.6 + 0.02 * picture
        made.append(picture)
    return made[0], made[1]


def outline(size: int) -> torch.Tensor:
    """The canonical face's matte, 1×1×size×size."""
    points = CANONICAL_LANDMARKS * size
    face = Face(np.array([*points.min(axis=0), *points.max(axis=0)]), points, None, 1.0)
    return face_matte(face, size, SwapSettings().forehead)


def ellipse(size: int) -> torch.Tensor:
    """An ellipse over a little less than half of the picture, 1×1×size×size."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((x / size - 0.5) / 0.31) ** 2 + ((y / size - 0.5) / 0.39) ** 2 < 1).float()[None, None]


def row(
    size: int, shape: Callable[[int], torch.Tensor], noise: bool, batch: int, times: int, timer: Callable[[], float]
) -> Row:
    """One size and outline: least milliseconds a picture of both, and theirs over ours. batch: pictures at once."""
    (swap, plate), matte = pictures(size, noise), shape(size)
    together = [one.repeat(batch, 1, 1, 1) for one in (swap, plate, matte)]
    top, below = (np.uint8(255 * picture.clamp(0, 1)[0].permute(1, 2, 0).numpy()) for picture in (swap, plate))
    mask = np.uint8(255 * (matte[0, 0].numpy() > 0.5))
    x, y, width, height = cv2.boundingRect(mask)
    centre = (x + width // 2, y + height // 2)
    deeds: tuple[Callable[[], object], ...] = (
        lambda: blend_crop(*together, SwapSettings()),
        lambda: cv2.seamlessClone(top, below, mask, centre, cv2.NORMAL_CLONE),
    )
    least = [float("inf")] * 2
    for _ in range(times):
        for k, deed in enumerate(deeds):
            start = timer()
            deed()
            least[k] = min(least[k], timer() - start)
    least[0] /= batch
    name = f"{size}², {shape.__name__}{', noise' if noise else ''}{f', {batch} at once' if batch > 1 else ''}"
    return Row(name, (milliseconds(least[0]), milliseconds(least[1]), f"{least[1] / least[0]:.1f}"))


@click.command(help=str(__doc__))
@click.option("--times", default=15, show_default=True, help="Calls of each; the least counts.")
@click.option(
    "--threads", default=1, show_default=True, help="Of torch and of OpenCV; with more than one, by the clock."
)
def main(times: int, threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    timer = time.process_time if threads == 1 else time.perf_counter
    rows = [
        row(size, shape, noise, batch, times, timer)
        for size, batch in ((1024, 1), (512, 1), (256, 1), (256, 2), (512, 4), (256, 4))
        for noise in (False, True)
        for shape in (outline, ellipse)
    ]
    click.echo(table(("what", "ours, ms", "`seamlessClone`, ms", "times"), rows))


if __name__ == "__main__":
    main()
