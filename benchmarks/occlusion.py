"""How well `bodydouble holdout` finds what is in front of the face: against the rendered truth of shot sh020.

Give the folder that the command wrote. The truth inside the face's outline is 1 - `matte.person`. Flicker is the mean
change of the matte from frame to frame, beside the truth's own.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import read_shot_faces
from bodydouble.plates.images import read_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews.quality import display_channel
from bodydouble.settings import SwapSettings
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.swapstages import unit_outline
from synth import load_shot, synth_folder


@click.command(help=str(__doc__))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--faces", type=click.Path(path_type=Path), required=True, help="The shot faces it was made with.")
@click.option("--shot", "name", default="sh020", show_default=True)
def main(folder: Path, faces: Path, name: str) -> None:
    shot, aligned = load_shot(name, synth_folder()), read_shot_faces(faces)
    both, either, pairs = 0.0, 0.0, []
    before = None
    found = PlateSequence.find(folder)
    for frame in found.frames:
        face = aligned.face(frame)
        if face is None:
            continue
        plate = read_plate(shot.plate.path(frame))
        polygon = apply(np.linalg.inv(face.unit_from_plate), unit_outline(face, SwapSettings().forehead))
        outline = polygon_matte(polygon, (plate.height, plate.width)).numpy()
        truth = (1 - display_channel(plate, "matte.person")) * outline
        matte = _alpha(found.path(frame)) * outline
        one, all_ = float(np.minimum(matte, truth).sum()), float(np.maximum(matte, truth).sum())
        click.echo(f"{frame}: true share {truth.sum() / outline.sum():.3f}, IoU {one / max(all_, 1e-9):.2f}")
        both, either = both + one, either + all_
        if before is not None:
            pairs.append((np.abs(matte - before[0]).mean(), np.abs(truth - before[1]).mean()))
        before = matte, truth
    click.echo(f"all frames: IoU {both / max(either, 1e-9):.3f}")
    change = np.mean(pairs, axis=0) * 1000
    click.echo(f"change from frame to frame, thousandths: {change[0]:.2f}, the truth's {change[1]:.2f}")


def _alpha(path: Path) -> np.ndarray:
    part = read_plate(path).parts[0]
    return np.asarray(part.channel("A"), np.float32)


if __name__ == "__main__":
    main()
