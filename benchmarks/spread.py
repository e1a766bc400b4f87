"""Defocus and motion blur on the perfect swap: does the new face end up as blurred as its plate?

The true render of the persona, sharp, stands for the swap; the plate is blurred by a known amount. What the shot solve
finds is laid on the swap, and the spread of its edges measured beside the plate's. Frames of the 2K close-up sh030.
Needs `$BODYDOUBLE_SHARED` and `opencv-python-headless` (extra `bench`), as `blending.py` does.
"""

from __future__ import annotations

import math

import click
import torch

from blending import load_moment
from bodydouble.plates.colour import Colour
from bodydouble.swap.matte import gaussian
from bodydouble.swap.spread import MEASURED_AT, SeenFrame, add_spread, edge_spread, smear, solve_spread
from bodydouble.swap.swapstages import face_matte, warp_to_crop
from bodydouble.swap.warp import resize
from synth import load_shot, synth_folder

SHOT, FRAMES, FOREHEAD = "sh030", (1001, 1005), 0.6
BLURS = ((2.5, (0.0, 0.0)), (5.0, (0.0, 0.0)), (0.0, (2.0, 0.0)), (2.0, (1.25, 1.0)))
"""Sigma of the defocus in pixels of the crop, and the smear from end to end in hundredths of it (x, y)."""
OPEN, STILL = 0.5, (0.3, 0.1)
"""The shutter the smears are made with, and the motion of a face at rest."""


def measure(plate: torch.Tensor, swap: torch.Tensor, matte: torch.Tensor) -> None:
    """Print a line per blur: what was laid on the plate, what was found, both pictures' spread (a sigma, pixels)."""
    unit = MEASURED_AT / 100
    own = edge_spread(swap, matte)
    assert own is not None
    for sigma, (x, y) in BLURS:
        blurred = smear(gaussian(plate, sigma), (x * unit, y * unit))
        seen = edge_spread(blurred, matte)
        assert seen is not None
        motion = {1: (x / OPEN, y / OPEN) if x or y else STILL}
        shot = solve_spread({1: SeenFrame(seen, own, swap, matte)}, motion)
        assert shot is not None
        given = edge_spread(add_spread(swap, torch.ones_like(matte), shot.frames[1], 1.0, 1.0), matte)
        assert given is not None
        found = f"defocus {shot.frames[1].defocus * unit:.2f} px, shutter {shot.shutter:.2f}"
        before, after, wanted = (math.sqrt((one[0] + one[2]) / 2) * unit for one in (own, given, seen))
        laid = f"defocus {sigma:.1f} px, smear {math.hypot(x, y) * unit:4.1f} px"
        click.echo(f"  {laid}: found {found}; spread {before:.2f} -> {after:.2f} px, the plate's {wanted:.2f}")


@click.command(help=str(__doc__))
def main() -> None:
    torch.set_num_threads(1)
    shot = load_shot(SHOT, synth_folder())
    for frame in FRAMES:
        click.echo(f"{SHOT} {frame}")
        moment = load_moment(shot, frame, "A", shot.personas["A"], Colour(None), network=1024)
        plate = warp_to_crop(moment.piece, moment.face, MEASURED_AT)
        swap = resize(moment.swap, (MEASURED_AT, MEASURED_AT)).contiguous()
        measure(plate, swap, face_matte(moment.face, MEASURED_AT, FOREHEAD))


if __name__ == "__main__":
    main()
