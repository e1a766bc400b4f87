"""How far off dlib's lips are, where that offset comes from, and what taking it away does to faces that did not say so.

    python benchmarks/lips.py                  # offsets from one half, errors of the other
    python benchmarks/lips.py --print-table    # the table of `bodydouble.alignment.lips`

Learned from every second hand-marked still and from the rendered personas A and C, each with half a vote; measured on
the other stills and on persona B, who is also the performer of the rendered shots. The offsets have two parts: a shift
and, from the renders alone, one that grows as the head turns. Data as in `benchmarks/stills.py` and `synth.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.faces import STILL_BOX_PX, DlibLandmarker, FaceFinder
from bodydouble.alignment.geometry import apply, unit_from_landmarks
from bodydouble.alignment.lips import (
    LIP_OFFSETS,
    LIPS,
    MOUTH_CORNERS,
    NOSE_BASE,
    NOSE_BASE_DOWN,
    TURN_MARKS,
    placed_lips,
)
from bodydouble.plates.images import read_image
from stills import DETECT_SIZE, stills
from synth import synth_folder, training_frames

MARKED = {
    **dict(zip(range(48, 55), (87, 88, 89, 90, 91, 92, 93), strict=True)),
    **dict(zip(range(55, 60), (108, 107, 106, 105, 104), strict=True)),
    NOSE_BASE: 55,
    **dict(zip((61, 62, 63, 65, 66, 67), (95, 96, 97, 102, 101, 100), strict=True)),
}
"""Landmark → point of the stills' template. The inner corners (60, 64) are not marked: they go with the outer ones."""
MIRRORED = np.array([6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 16, 15, 14, 13, 12, 19, 18, 17])
"""The 20 of the mouth in a mirror."""
YAW_DEG = 45.0
WRONG = 0.03
"""Mean distance of found and true in crop sides above which a find is of something else."""
Points = NDArray[np.float64]
Pair = tuple[Points, Points]


def found_in(finder: FaceFinder, path: Path) -> Points | None:
    """(68, 2) of the most convincing face of a picture; None where there is none."""
    image = np.rint(read_image(path)[..., :3] * 255).astype(np.uint8)
    faces = finder.search(image, size=DETECT_SIZE, vouched=True)
    return finder.stabilised_landmarks(image, faces[0].box_px).points_px if faces else None


def marked_pairs(finder: FaceFinder) -> Iterator[Pair]:
    """Found and marked landmarks of each still, in its crop; landmarks without a mark are as they were found."""
    for _, still in stills(synth_folder().parent / "real" / "faces", 1):
        found = found_in(finder, still.path)
        if found is not None:
            true = found.copy()
            true[list(MARKED)] = still.points_px[list(MARKED.values())]
            true[[60, 64]] += (true - found)[list(MOUTH_CORNERS)]
            unit = unit_from_landmarks(found)
            yield apply(unit, found), apply(unit, true)


def rendered_pairs(finder: FaceFinder, persona: str) -> Iterator[Pair]:
    """Found and true landmarks of a persona's training pictures, in its crop."""
    for frame in training_frames(persona, synth_folder(), YAW_DEG, 240):
        found = found_in(finder, frame.path)
        if found is not None:
            unit = unit_from_landmarks(found)
            pair = apply(unit, found), apply(unit, frame.landmarks_px)
            if np.hypot(*(pair[0] - pair[1])[17:].T).mean() < WRONG:
                yield pair


def residuals(pairs: list[Pair]) -> tuple[Points, Points]:
    """(N, 20, 2) of what is missing, along the mouth in widths of it and down; (N,) turn of the nose."""
    found, true = (np.stack(side) for side in zip(*pairs, strict=True))
    across = (found[:, MOUTH_CORNERS[1]] - found[:, MOUTH_CORNERS[0]])[:, None]
    missing = (true - found)[:, LIPS]
    along = (missing * across).sum(axis=2) / (across**2).sum(axis=2)
    nose, left, right = (found[:, mark, 0] for mark in TURN_MARKS)
    return np.stack([along, (missing - along[..., None] * across)[..., 1]], axis=2), nose - (left + right) / 2


def shift_of(pairs: list[Pair]) -> Points:
    """(20, 2) the usual residual, the same on both sides of the face."""
    usual = np.median(residuals(pairs)[0], axis=0)
    mirror = usual[MIRRORED] * (-1, 1)
    return np.asarray((usual + mirror) / 2)


def growth_of(pairs: list[Pair]) -> Points:
    """(20,) what the residual along the mouth grows by per turn; outliers count as three usual deviations."""
    missing, turn = residuals(pairs)
    along = missing[..., 0] - shift_of(pairs)[:, 0]
    limit = 3 * np.median(np.abs(along), axis=0)
    slope = turn @ np.clip(along, -limit, limit) / (turn @ turn)
    return np.asarray((slope + slope[MIRRORED]) / 2)


def nose_base_of(pairs: list[Pair]) -> float:
    """How much lower than dlib has it, without what `placed_nose_base` adds, the mark under the nose usually is."""
    return float(np.median([(true - found)[NOSE_BASE, 1] for found, true in pairs])) + NOSE_BASE_DOWN


def report_nose_base(name: str, pairs: list[Pair]) -> None:
    """Print the error of the mark under the nose in % of the outer eye corners' distance, as dlib has it and placed."""
    found, true = (np.stack(side) for side in zip(*pairs, strict=True))
    unit = np.hypot(*(true[:, 45] - true[:, 36]).T)
    cells = [np.hypot(*((found - true)[:, NOSE_BASE] - (0.0, d)).T) for d in (NOSE_BASE_DOWN, 0.0)]
    click.echo(f"{name:24}{'nose':8}" + "".join(f"{100 * (cell / unit).mean():16.2f}" for cell in cells))


def report(name: str, pairs: list[Pair], offsets: Points) -> None:
    """Print errors of the lips in % of the outer eye corners' distance, before and after."""
    found, true = (np.stack(side) for side in zip(*pairs, strict=True))
    unit = np.hypot(*(true[:, 45] - true[:, 36]).T)[:, None]
    for what, points in (("dlib", found), ("placed", placed_lips(found, 1.0, offsets))):
        away = 100 * np.hypot(*np.moveaxis((points - true)[:, LIPS], -1, 0)) / unit
        cells = [f"{a.mean():8.2f} ({np.percentile(a, 95):5.2f})" for a in (away[:, :12], away[:, 12:])]
        click.echo(f"{name:24}{what:8}" + "".join(cells))


@click.command()
@click.option("--print-table", is_flag=True, help="Print the offsets, too.")
def main(print_table: bool) -> None:
    """Print the errors of outer and inner lips, mean (95th percentile), and where wanted the offsets."""
    own = np.zeros_like(LIP_OFFSETS)
    still = FaceFinder(landmarker=DlibLandmarker(box_px=STILL_BOX_PX, lip_offsets=own))
    moving = FaceFinder(landmarker=DlibLandmarker(lip_offsets=own))
    marked = list(marked_pairs(still))
    rendered = {persona: list(rendered_pairs(moving, persona)) for persona in "ABC"}
    learned = rendered["A"] + rendered["C"]
    shift = (shift_of(marked[::2]) + shift_of(learned)) / 2
    offsets = np.column_stack([shift, growth_of(learned)])
    click.echo(f"{'':32}{'outer':>16}{'inner':>16}")
    report("stills, held out", marked[1::2], offsets)
    report("stills, learned from", marked[::2], offsets)
    report("persona B, held out", rendered["B"], offsets)
    report("A and C, learned from", learned, offsets)
    down = (nose_base_of(marked[::2]) + nose_base_of(learned)) / 2
    click.echo(f"{'':32}{'dlib':>16}{'placed':>16}")
    report_nose_base("stills, held out", marked[1::2])
    report_nose_base("persona B, held out", rendered["B"])
    if print_table:
        click.echo(f"NOSE_BASE_DOWN = {down:.4f}")
        for along, down, growth in offsets:
            click.echo(f"({along:.3f}, {down:.4f}, {growth:.2f}),")


if __name__ == "__main__":
    main()
