"""Is everybody found: the detector alone, and the search with its second detector, on the rendered training pictures.

    python benchmarks/finding.py                   # all 720 pictures of personas A, B and C
    python benchmarks/finding.py --step 4 --persona C
    python benchmarks/finding.py --boxes           # the search alone: three times as fast, no landmarks

A face counts as found where its crop lies on the true one (centre within a quarter of the crop, size within 1.6); any
other is false. The test data is found as `benchmarks/synth.py` says. See docs/alignment.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.aligning import align_frames
from bodydouble.alignment.chips import unit_from_box
from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.geometry import apply, similarity_scale, unit_from_landmarks
from bodydouble.alignment.people import FoundFace
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image
from bodydouble.plates.reading import find_plate
from bodydouble.settings import AlignSettings
from synth import TrainingFrame, synth_folder, training_frames

BINS = ((0, 20), (20, 30), (30, 45), (45, 90))
LIMIT_DEG = 45.0
INNER = slice(17, 68)


@dataclass(frozen=True)
class Finding:
    """One picture: yaw, whether the true face was found, how many others were, the inner landmarks' mean error in
    shares of the crop's side (None where it was not found), the seconds it took.
    """

    yaw_deg: float
    found: bool
    false: int
    error: float | None
    seconds: float


def judged(faces: Sequence[FoundFace], picture: TrainingFrame, seconds: float) -> Finding:
    """The faces of a picture against its truth."""
    truth = unit_from_landmarks(picture.landmarks_px)
    hits = [face for face in faces if _same(face.unit_from_plate, truth)]
    error = None
    if hits:
        away = apply(truth, hits[0].landmarks_px) - apply(truth, picture.landmarks_px)
        error = float(np.hypot(*away[INNER].T).mean())
    return Finding(picture.yaw_deg, bool(hits), len(faces) - len(hits), error, seconds)


def _same(unit_from_plate: NDArray[np.float64], truth: NDArray[np.float64], slack: float = 0.25) -> bool:
    centre = apply(truth @ np.linalg.inv(unit_from_plate), np.array([0.5, 0.5]))
    ratio = similarity_scale(unit_from_plate) / similarity_scale(truth)
    return bool(np.hypot(*(centre - 0.5)) < slack and 1 / 1.6 < ratio < 1.6)


def searched(picture: TrainingFrame, finder: FaceFinder) -> Finding:
    """A picture searched as `align --stills` does, judged by the boxes."""
    image = np.rint(read_image(picture.path)[..., :3] * 255).astype(np.uint8)
    started = time.process_time()
    finds = finder.search(image, threshold=AlignSettings().threshold, vouched=True)
    seconds = time.process_time() - started
    truth = unit_from_landmarks(picture.landmarks_px)
    hits = sum(_same(unit_from_box(find.box_px), truth, slack=0.3) for find in finds)
    return Finding(picture.yaw_deg, hits > 0, len(finds) - min(1, hits), None, seconds)


def measure(persona: str, step: int, boxes: bool) -> list[Finding]:
    """Every `step`-th training picture of a persona, aligned as `align --stills` does."""
    pictures = training_frames(persona, synth_folder(), 90.0, 10_000)[::step]
    if boxes:
        finder = FaceFinder()
        return [searched(picture, finder) for picture in pictures]
    plate = find_plate(str(pictures[0].path.parent / f"{persona}_####.jpg"))
    frames = [int(picture.path.stem.split("_")[1]) for picture in pictures]
    found, started = [], time.perf_counter()
    for picture, measured in zip(
        pictures, align_frames(plate, frames, Colour(), "sRGB - Texture", AlignSettings(stills=True)), strict=True
    ):
        found.append(judged(measured.faces, picture, measured.seconds))
        if len(found) % 20 == 0:
            click.echo(f"{persona}: {len(found)} pictures, {time.perf_counter() - started:.0f} s", err=True)
    return found


def line(persona: str, found: Sequence[Finding]) -> str:
    """One row of the table: found / all per bin of yaw, within the limit, false finds, errors and time."""
    cells = []
    for low, high in (*BINS, (0, LIMIT_DEG)):
        some = [one for one in found if low <= abs(one.yaw_deg) < high]
        cells.append(f"{sum(one.found for one in some):>4}/{len(some):<4}")
    within = [one for one in found if abs(one.yaw_deg) < LIMIT_DEG]
    share = 100 * sum(one.found for one in within) / max(1, len(within))
    errors = [one.error for one in within if one.error is not None] or [np.nan]
    false = 100 * sum(one.false for one in found) / len(found)
    return (
        f"{persona:8}{''.join(cells)}{share:7.1f}{false:8.2f}{100 * np.mean(errors):9.2f}{100 * np.max(errors):9.2f}"
        f"{np.median([one.seconds for one in found]):8.2f}{np.mean([one.seconds for one in found]):8.2f}"
    )


@click.command()
@click.option("--persona", multiple=True, default=("A", "B", "C"), show_default=True)
@click.option(
    "--boxes", is_flag=True, help="Search only: boxes within 0.3 of a crop, no landmarks; seconds are of the CPU."
)
@click.option("--step", default=1, show_default=True, help="Measure every n-th picture.")
def main(persona: tuple[str, ...], boxes: bool, step: int) -> None:
    """Print how many of the rendered faces are found, by yaw, and how many finds are false."""
    head = "".join(f" {low}-{high}°".ljust(9) for low, high in (*BINS, (0, int(LIMIT_DEG))))
    click.echo(f"persona {head}found %  false %  error %  worst %  s med.  s mean")
    for name in persona:
        click.echo(line(name, measure(name, step, boxes)))


if __name__ == "__main__":
    main()
