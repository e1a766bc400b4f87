"""How blurred a shot's plate is, against what the persona's decoder returns for it: measured once per shot."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import NoFaceError
from bodydouble.network.devices import intra_op_threads
from bodydouble.plates.colour import Colour
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.spread import MEASURED_AT, SeenFrame, ShotSpread, edge_spread, solve_spread
from bodydouble.swap.swapframe import SwapModel, prepare_frame, swap_faces
from bodydouble.swap.swapstages import face_matte, warp_to_crop
from bodydouble.swap.warp import resize

MOST_FRAMES = 96
"""Of longer shots so many frames are measured, evenly spread; the others are given what lies between."""


def measure_spread(
    plate: PlateSequence,
    shot: ShotFaces,
    model: SwapModel,
    colour: Colour,
    colorspace: str | None = None,
    person: int | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> ShotSpread | None:
    """The blur that the swaps of a shot lack; None where no frame shows enough edges of a face.

    Args:
        plate, shot: the frames and where the faces are.
        model: network and persona.
        colour, colorspace: see `swap_frame`.
        person: whose face; None for the most prominent person.
        on_frame: hears of each frame that was looked at.

    Raises:
        PlateError: a frame cannot be read.
    """
    faces = _faces(plate, shot, person)
    seen = {}
    with intra_op_threads(1):  # torch adds up in another order for another number of threads
        for frame in _thinned(faces):
            found = _seen(plate, frame, faces[frame], model, colour, colorspace)
            if found is not None:
                seen[frame] = found
            if on_frame is not None:
                on_frame(frame)
        return solve_spread(seen, {frame: face_motion(faces, frame) for frame in sorted(faces)})


def spread_frames(plate: PlateSequence, shot: ShotFaces, person: int | None) -> list[int]:
    """The frames that are measured: those with the face, evenly thinned to `MOST_FRAMES`."""
    return _thinned(_faces(plate, shot, person))


def _thinned(faces: Mapping[int, Face]) -> list[int]:
    frames = sorted(faces)
    picks = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int)).tolist()
    return [frames[index] for index in picks]


def _faces(plate: PlateSequence, shot: ShotFaces, person: int | None) -> dict[int, Face]:
    return {frame: face for frame in plate.frames if (face := shot.face(frame, person)) is not None}


def _seen(
    plate: PlateSequence, frame: int, face: Face, model: SwapModel, colour: Colour, colorspace: str | None
) -> SeenFrame | None:
    """The spreads of one frame; None where they cannot be seen."""
    try:
        prepared = prepare_frame(read_frame(plate, frame), face, model, colour, colorspace)
    except NoFaceError:  # it has left the picture
        return None
    (swap,), _ = swap_faces([prepared], model, SwapSettings())
    matte = face_matte(face, MEASURED_AT, model.card.forehead, device=swap.device)
    crop = warp_to_crop(prepared.piece, face, MEASURED_AT)
    shown = resize(swap, (MEASURED_AT, MEASURED_AT))
    of_plate, of_swap = edge_spread(crop, matte), edge_spread(shown, matte)
    return None if of_plate is None or of_swap is None else SeenFrame(of_plate, of_swap, shown, matte)


def face_motion(faces: dict[int, Face], frame: int) -> tuple[float, float]:
    """The way of a face's middle in one frame's time, in hundredths of the crop, along its axes.

    Between the frames before and after where both show the face, else to or from the one that does.
    """
    before, after = (near if near in faces else frame for near in (frame - 1, frame + 1))
    if before == after:
        return 0.0, 0.0
    middle = np.array([[0.5, 0.5]])
    start, end = (apply(np.linalg.inv(faces[near].unit_from_plate), middle) for near in (before, after))
    unit_from_plate = np.asarray(faces[frame].unit_from_plate)
    x, y = (100 * (apply(unit_from_plate, end) - apply(unit_from_plate, start))[0] / (after - before)).tolist()
    return x, y
