"""How exact the landmarks are on hand-marked stills, by region, and how near the outline comes to their hairlines.

    python benchmarks/stills.py
    python benchmarks/stills.py --mesh-model face_landmarker.task --json figures.json

The pictures and their points (`.tem`: a count line, then x and y of 189 points, pixels) are looked for in `real/faces`
of the shared data, found as `benchmarks/synth.py` says. See docs/alignment.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import dlib
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.aligning import open_finder
from bodydouble.alignment.faces import LANDMARK_MODEL, FaceFinder, find_model
from bodydouble.alignment.geometry import INTEROCULAR, apply, unit_from_landmarks
from bodydouble.alignment.outline import face_outline
from bodydouble.plates.images import read_image
from bodydouble.settings import AlignSettings
from synth import synth_folder

REGIONS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "outer eye corner": ((18, 36), (27, 45)),
    "inner eye corner": ((22, 39), (23, 42)),
    "mouth corner": ((87, 48), (93, 54)),
    "lips, middle": ((90, 51), (106, 57)),
    "under the nose": ((55, 33),),
    "chin": ((129, 8),),
}
"""Region → pairs of a template point and the iBUG landmark that lies there."""
PUPILS = (0, 1)
HAIRLINE = slice(135, 144)
HAIRLINES = (1.0, 1.5)
"""Values of `forehead` whose outline is compared with the hairlines."""
CENTRE = np.array([0.5, 0.38])
DETECT_SIZE = 1280
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Still:
    """One face: picture and its (189, 2) hand-marked points in pixels, (0, 0) the centre of the first."""

    path: Path
    points_px: Points

    @property
    def pupils_px(self) -> float:
        """Distance of the pupils."""
        return float(np.hypot(*(self.points_px[0] - self.points_px[1])))


def stills(folder: Path, step: int) -> Iterator[tuple[int, Still]]:
    """Every `step`-th marked face below a folder, with its number among all."""
    for number, path in list(enumerate(sorted(folder.glob("*/*.tem"))))[::step]:
        lines = path.read_text(encoding="utf-8").split("\n")
        points = np.array([line.split() for line in lines[1 : 1 + int(lines[0])]], np.float64)
        yield number, Still(path.with_suffix(".jpg"), points)


def raw_landmarks(predictor: dlib.shape_predictor, image: NDArray[np.uint8], box_px: Points) -> Points:
    """(68, 2) of dlib as it comes: one prediction on the detector's box in the picture itself."""
    shape = predictor(image, dlib.rectangle(*(round(float(v)) for v in box_px)))
    return np.array([(p.x, p.y) for p in shape.parts()], np.float64)


def errors(still: Still, landmarks: Points) -> dict[str, list[float]]:
    """Region → distances from the marked points, in % of the pupils' distance."""
    return {
        region: [
            float(100 * np.hypot(*(landmarks[ours] - still.points_px[theirs])) / still.pupils_px)
            for theirs, ours in pairs
        ]
        for region, pairs in REGIONS.items()
    }


def hairline_errors(still: Still, landmarks: Points, forehead: float) -> Points:
    """(9,) how far the outline lies beyond the hairline, on rays from the eyes, in % of the eyes' distance."""
    unit = unit_from_landmarks(landmarks)
    outline = apply(unit, face_outline(landmarks, forehead))
    return np.array([_beyond(outline, mark) for mark in apply(unit, still.points_px[HAIRLINE])]) * 100 / INTEROCULAR


def _beyond(outline: Points, mark: Points) -> float:
    away = mark - CENTRE
    length = float(np.hypot(*away))
    direction = away / length
    start, end = outline - CENTRE, np.roll(outline, -1, axis=0) - CENTRE
    side_start = direction[0] * start[:, 1] - direction[1] * start[:, 0]
    side_end = direction[0] * end[:, 1] - direction[1] * end[:, 0]
    crossing = np.flatnonzero((side_start > 0) != (side_end > 0))
    share = side_start[crossing] / (side_start[crossing] - side_end[crossing])
    return float(((start[crossing] + share[:, None] * (end[crossing] - start[crossing])) @ direction).max() - length)


def finders(mesh_model: Path | None) -> dict[str, FaceFinder]:
    """The landmarkers to compare: shots' settings, stills' settings, and the mesh where there is a model."""
    settings = {
        "nine-fold": AlignSettings(),
        "ours": AlignSettings(stills=True),
        "mesh": AlignSettings(landmarker="mesh", stills=True),
    }
    return {
        name: open_finder(one, mesh_model) for name, one in settings.items() if name != "mesh" or mesh_model is not None
    }


def cell(values: list[float]) -> str:
    """Mean and 95th percentile."""
    return f"{np.mean(values):6.2f} ({np.percentile(values, 95):5.2f})"


@click.command()
@click.option("--mesh-model", type=click.Path(path_type=Path), envvar="BODYDOUBLE_MESH_MODEL", help="Compare it, too.")
@click.option("--step", default=1, show_default=True, help="Measure every n-th face.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the single errors here.")
def main(mesh_model: Path | None, step: int, json_path: Path | None) -> None:
    """Print the errors of raw dlib, the nine-fold average, ours and the mesh, mean (95th percentile)."""
    predictor = dlib.shape_predictor(str(find_model(LANDMARK_MODEL)))
    compared = finders(mesh_model)
    rows: dict[str, dict[str, list[float]]] = {"raw dlib": {}} | {name: {} for name in compared}
    hairlines: dict[float, list[Points]] = {forehead: [] for forehead in HAIRLINES}
    count = found = 0
    for number, still in stills(synth_folder().parent / "real" / "faces", step):
        image = np.rint(read_image(still.path)[..., :3] * 255).astype(np.uint8)
        faces = compared["ours"].search(image, size=DETECT_SIZE, vouched=True)
        count += 1
        if not faces:
            click.echo(f"{still.path.name}: no face", err=True)
            continue
        found += 1
        box = faces[0].box_px
        marks = {name: finder.stabilised_landmarks(image, box) for name, finder in compared.items()}
        landmarks = {"raw dlib": raw_landmarks(predictor, image, box)} | {n: m.points_px for n, m in marks.items()}
        for name, points in landmarks.items():
            for region, values in errors(still, points).items():
                rows[name].setdefault(region, []).extend(values)
        if "mesh" in marks and marks["mesh"].irises_px is not None:
            irises = np.hypot(*(marks["mesh"].irises_px - still.points_px[list(PUPILS)]).T)
            rows["mesh"].setdefault("pupil", []).extend((100 * irises / still.pupils_px).tolist())
        for forehead, held in hairlines.items():
            if number % 2:  # the curve was tuned on the others
                held.append(hairline_errors(still, landmarks["ours"], forehead))
        if count % 10 == 0:
            click.echo(f"{count} faces", err=True)
    click.echo(f"{found} of {count} faces found")
    click.echo(f"{'region':18}" + "".join(f"{name:>18}" for name in rows))
    for region in (*REGIONS, "pupil"):
        cells = [cell(row[region]) if region in row else "–" for row in rows.values()]
        click.echo(f"{region:18}" + "".join(f"{text:>18}" for text in cells))
    for forehead, held in hairlines.items():
        away = np.abs(np.array(held)).ravel()
        if not away.size:
            continue
        click.echo(f"outline to hairline, forehead {forehead}, held out: {cell(away.tolist())} % of the eyes' distance")
    if json_path is not None:
        json_path.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
