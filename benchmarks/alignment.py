"""How steady and how exact the shot faces are: dlib as it comes, the nine-fold average and the solved shot in one run.

    python benchmarks/alignment.py                         # rendered shots and the still sitter, 90 frames
    python benchmarks/alignment.py --only sh010 --json figures.json

The test data is found as `benchmarks/synth.py` says. See docs/alignment.md for what the figures mean.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import dlib
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.aligning import FrameDetections, align_shot, frame_views
from bodydouble.alignment.faces import LANDMARK_MODEL, find_model
from bodydouble.alignment.geometry import apply, unit_from_landmarks
from bodydouble.plates.colour import Colour
from bodydouble.plates.reading import find_plate, read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings
from synth import load_shot, shot_names, synth_folder

CLIP = "openwillis"
INNER = slice(17, 68)
Path68 = NDArray[np.float64]


@dataclass(frozen=True)
class AlignmentFigures:
    """One line of the table, in % of the outer-eye-corner distance over the inner 51 points.

    `jitter`: rms of how far a frame's error lies from the mean of its two neighbours' (half the second difference).
    `error`: mean distance from the truth; None where none is known. `crop_jitter`: the same as `jitter`, of the corners
    and the centre of the crop, in % of its side, against the crop of the true landmarks. `lag_frames`: by how much the
    found motion is behind the true one in the faster part of the shot.
    """

    shot: str
    method: str
    frames: int
    jitter: float
    error: float | None
    crop_jitter: float
    lag_frames: float | None


def jitter(error: Path68, unit: float) -> float:
    """rms over frames and points of half the second difference of (N, L, 2), in % of `unit`."""
    bend = np.diff(error, 2, axis=0) / 2
    return float(100 * np.sqrt((bend**2).sum(axis=2).mean()) / unit)


def lag(found: Path68, true: Path68) -> float:
    """Frames by which the velocities of `found` are late, least squares where the true ones are above a third."""
    velocity = (true[2:] - true[:-2]) / 2
    change = true[2:] - 2 * true[1:-1] + true[:-2]
    difference = (found[2:] - found[:-2]) / 2 - velocity
    speed = np.hypot(*velocity.mean(axis=1).T)
    fast = speed > speed.max() / 3
    return float(-(difference[fast] * change[fast]).sum() / (change[fast] ** 2).sum())


def figures(shot: str, method: str, found: Path68, true: Path68 | None) -> AlignmentFigures:
    """The figures of (N, 68, 2) landmarks, against the truth where there is one, else against a face at rest."""
    like = found if true is None else true
    unit = float(np.hypot(*(like[:, 45] - like[:, 36]).T).mean())
    error = found - (0 if true is None else true)
    crops = crop_points(found) - (0 if true is None else crop_points(true))
    side = unit / 0.4016  # outer eye corners of the canonical face, of the crop
    distance = None if true is None else float(100 * np.hypot(*np.moveaxis(error[:, INNER], -1, 0)).mean() / unit)
    late = None if true is None else lag(found[:, INNER], true[:, INNER])
    return AlignmentFigures(
        shot, method, len(found), jitter(error[:, INNER], unit), distance, jitter(crops, side), late
    )


def crop_points(landmarks: Path68) -> Path68:
    """(N, 5, 2) plate positions of the crop's corners and centre."""
    unit_points = [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)]
    return np.stack([apply(np.linalg.inv(unit_from_landmarks(points)), unit_points) for points in landmarks])


def measure(name: str, plate: PlateSequence, true: Path68 | None) -> Iterator[AlignmentFigures]:
    """Align one plate as the product does; figures of each method on the frames in which all found the face."""
    heard: dict[int, FrameDetections] = {}
    colour, settings = Colour(), AlignSettings()
    started = time.perf_counter()
    shot = align_shot(
        plate, plate.frames, colour, None, settings, on_frame=lambda found: heard.update({found.frame: found})
    )
    whole = time.perf_counter() - started
    measuring = sum(found.seconds for found in heard.values())
    click.echo(f"{name}: {whole / len(heard):.3f} s per frame, {measuring / len(heard):.3f} of it measuring", err=True)
    predictor = dlib.shape_predictor(str(find_model(LANDMARK_MODEL)))
    rows: dict[str, list[Path68]] = {"dlib": [], "nine-fold": [], "solved": []}
    kept = []
    for index, frame in enumerate(plate.frames):
        face = shot.face(frame)
        if face is None or face.interpolated:
            continue
        found = min(heard[frame].faces, key=lambda f: float(np.abs(f.landmarks_px - face.landmarks_px).max()))
        image = frame_views(read_frame(plate, frame), colour, None).whole(1 << 16).image_u8
        shape = predictor(image, dlib.rectangle(*(round(float(v)) for v in found.box_px)))
        rows["dlib"].append(np.array([(p.x, p.y) for p in shape.parts()], np.float64))
        rows["nine-fold"].append(found.landmarks_px)
        rows["solved"].append(face.landmarks_px)
        kept.append(index)
    if len(kept) < len(plate.frames):
        click.echo(f"{name}: {len(plate.frames) - len(kept)} frames without a measured face are left out", err=True)
    for method, landmarks in rows.items():
        yield figures(name, method, np.stack(landmarks), None if true is None else true[kept])


@click.command()
@click.option("--only", multiple=True, help="Rendered shots to measure, or openwillis.  [default: all]")
@click.option("--clip-frames", default=90, show_default=True, help="Frames of the openwillis clip.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here, too.")
def main(only: tuple[str, ...], clip_frames: int, json_path: Path | None) -> None:
    """Print jitter, error and lag of raw, nine-fold and solved landmarks."""
    synth = synth_folder()
    rows: list[AlignmentFigures] = []
    for name in only or (*shot_names(synth), CLIP):
        if name == CLIP:
            clip = find_plate(synth.parent / "real" / "video" / CLIP / "sample_data_baseline.mp4")
            found = measure(name, replace(clip, frames=clip.frames[:clip_frames]), None)
        else:
            shot = load_shot(name, synth)
            found = measure(name, shot.plate, np.stack([shot.landmarks_px(f, shot.performer) for f in shot.frames]))
        rows += found
    click.echo(
        f"{'shot':12}{'method':12}{'frames':>7}{'jitter %':>10}{'error %':>9}{'crop jitter %':>15}{'lag frames':>12}"
    )
    for row in rows:
        error = "–" if row.error is None else f"{row.error:.2f}"
        late = "–" if row.lag_frames is None else f"{row.lag_frames:+.2f}"
        click.echo(
            f"{row.shot:12}{row.method:12}{row.frames:7}{row.jitter:10.3f}{error:>9}{row.crop_jitter:15.3f}{late:>12}"
        )
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
