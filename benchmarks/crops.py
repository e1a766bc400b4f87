"""What `extract` goes by, against the truth of the rendered training pictures: pose, and confidence.

    bodydouble align ../shared/synth/train/A/A_####.jpg --stills -o A.faces.json      # so for B and C
    python benchmarks/crops.py A.faces.json B.faces.json C.faces.json

Two tables: the error of the pose that is written of every crop, in degrees, against the head as its camera sees it; and
how many faces each --min-confidence keeps, with how many whose inner landmarks are off by more than 4 % of the crop.
The test data is found as `benchmarks/synth.py` says. See docs/facesets.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, unit_from_landmarks
from bodydouble.alignment.shotfaces import Face, read_shot_faces
from bodydouble.reviews.likeness import INNER, head_pose
from bodydouble.settings import ExtractSettings
from synth import landmarks_px, synth_folder

FLOORS = (0.4, 0.25, 0.1, ExtractSettings.min_confidence, 0.0)
FAR_OFF = 4.0


@dataclass(frozen=True)
class Judged:
    """One face: its confidence, the mean error of the inner landmarks in % of the crop, and that of the pose in degrees
    (yaw, pitch, roll).
    """

    confidence: float
    error: float
    pose_error: NDArray[np.float64]


def true_pose(record: Mapping[str, Any]) -> NDArray[np.float64]:
    """(3,) yaw, pitch, roll of a head as its camera sees it, as `head_pose` counts them.

    At rest the head's axes are x to image right, y into the picture and z up; a camera's are right, down, and away.
    """
    to_camera = np.array(record["camera"]["world_to_camera"])[:, :3] @ np.array(record["head_to_world"])[:, :3]
    right, facing = to_camera[:, 0], -to_camera[:, 1]
    yaw, pitch = np.arctan2(facing[0], -facing[2]), np.arcsin(-facing[1])
    return np.degrees([yaw, pitch, np.arctan2(right[1], right[0])])


def judged(face: Face, record: Mapping[str, Any]) -> Judged:
    """A found face against its truth."""
    truth = landmarks_px(record)
    to_unit = unit_from_landmarks(truth)
    off = (apply(to_unit, face.landmarks_px) - apply(to_unit, truth))[INNER]
    error = 100 * float(np.hypot(*off.T).mean())
    return Judged(face.confidence, error, np.abs(head_pose(face.landmarks_px) - true_pose(record)))


@click.command()
@click.argument("sidecars", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(sidecars: tuple[Path, ...]) -> None:
    """Print both tables, a row per sidecar: shot faces of the training pictures of persona A, B or C."""
    for path in sidecars:
        shot = read_shot_faces(path)
        persona = Path(shot.plate).parent.name
        records = json.loads((synth_folder() / "train" / f"{persona}.json").read_text(encoding="utf-8"))["frames"]
        faces = [(shot.face(record["frame"]), record) for record in records]
        found = [judged(face, record) for face, record in faces if face is not None]
        used = np.array([one.pose_error for one in found if one.confidence >= ExtractSettings.min_confidence])
        spread = zip(used.mean(axis=0), np.percentile(used, 90, axis=0), strict=True)
        angles = "  ".join(f"{mean:4.1f} ({high:4.1f})" for mean, high in spread)
        click.echo(f"{persona}: {len(found)} faces; yaw, pitch, roll of the {len(used)} used, mean (90th): {angles}")
        for floor in FLOORS:
            kept = [one for one in found if one.confidence >= floor]
            far = sum(one.error > FAR_OFF for one in kept)
            click.echo(
                f"   confidence of {floor:4.2f} and more: {len(kept):4} kept, {far:3} of them off by {FAR_OFF} %"
            )


if __name__ == "__main__":
    main()
