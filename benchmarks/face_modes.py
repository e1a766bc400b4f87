"""The ways a face moves, out of the rendered training pictures: writes `bodydouble/alignment/face_modes.npy`.

    python benchmarks/face_modes.py engine/bodydouble/alignment/face_modes.npy

True landmarks of personas A, B and C (720 pictures, each mirrored, too), each in its aligned crop, less the persona's
own mean: what is left is poses and expressions. Their principal components are multiplied by their standard deviations.
The rendered shots are not looked at. Data as `benchmarks/synth.py` says.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, unit_from_landmarks
from synth import synth_folder, training_frames

MODES = 25
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
MIRRORED += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MIRRORED += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]


def movements(persona: str) -> NDArray[np.float64]:
    """(N, 68, 2) how far a persona's landmarks lie from their mean, in sides of the crop."""
    frames = training_frames(persona, synth_folder(), 90.0, 10_000)
    shapes = np.stack([apply(unit_from_landmarks(one.landmarks_px), one.landmarks_px) for one in frames])
    both = np.concatenate([shapes, shapes[:, MIRRORED] * (-1, 1) + (1, 0)])
    return np.asarray(both - both.mean(axis=0))


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def main(path: Path) -> None:
    """Write (25, 68, 2) float32, the widest first, and say what is left out."""
    rows = np.concatenate([movements(persona) for persona in "ABC"]).reshape(-1, 136)
    _, widths, modes = np.linalg.svd(rows / np.sqrt(len(rows)), full_matrices=False)
    np.save(path, (modes[:MODES] * widths[:MODES, None]).reshape(MODES, 68, 2).astype(np.float32))
    left = float(np.sqrt((widths[MODES:] ** 2).sum() / 68))
    click.echo(f"{len(rows)} faces; left out: {100 * left:.2f} % of the crop per landmark (rms)")


if __name__ == "__main__":
    main()
