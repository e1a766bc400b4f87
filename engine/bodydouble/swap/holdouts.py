"""Holdout mattes of a shot, found by the comb: one image per frame, for `swap` to read and for artists to mend.

The pass looks at frames of the whole shot first, to learn what the performer's decoder never gets right; so a frame's
matte is the same in whatever chunk it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.alignment.geometry import crop_from_unit
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import NoFaceError
from bodydouble.network.checkpoint import load_comb
from bodydouble.network.comb import Comb
from bodydouble.network.devices import intra_op_threads, pick_device
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import write_image
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.plate import Plate
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.occlusion import difference, occluder, strangeness, usual_difference
from bodydouble.swap.swapstages import (
    PlateRegion,
    decode,
    encode,
    face_matte,
    face_region,
    plate_to_model_space,
    warp_to_crop,
)
from bodydouble.swap.warp import warp

LOOKED_AT = 32
"""Frames of the shot that say what is usual."""
_LEAST = 0.02


@dataclass(frozen=True, eq=False)
class Holdout:
    """The matte of one frame. `share`: of the face that is covered; nan without a face."""

    frame: int
    path: Path
    share: float


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame in the crop: the plate, its two differences to the performer's decoder, the face's matte."""

    piece: PlateRegion
    crop: torch.Tensor
    difference: torch.Tensor
    matte: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Looking:
    plate: PlateSequence
    shot: ShotFaces
    person: int | None
    comb: Comb
    performer: str
    space: ModelSpace
    colour: Colour
    colorspace: str | None
    device: torch.device

    def see(self, frame: Plate, face: Face) -> _Seen:
        source = self.colorspace or self.colour.space_of(frame.attributes, frame.path)
        to_working = self.colour.converter(source, self.space.primaries)
        piece = plate_to_model_space(frame, face_region(frame, face), to_working, self.space, self.device)
        size = self.comb.dims.size
        crop = warp_to_crop(piece, face, size)
        shown = decode(self.comb, encode(self.comb, crop), self.performer)
        matte = face_matte(face, size, SwapSettings().forehead, device=self.device)
        return _Seen(piece, crop, difference(crop, shown, matte), matte)


def find_holdouts(
    plate: PlateSequence,
    out: PlateSequence,
    shot: ShotFaces,
    comb_path: Path,
    performer: str,
    frames: Sequence[int],
    colour: Colour,
    colorspace: str | None = None,
    person: int | None = None,
    device: str = "auto",
) -> Iterator[Holdout]:
    """Write the holdout of every frame, as channel A of the plate's size: 1 where something is in front of the face.

    Args:
        plate, out: sequences to read and to write.
        shot: shot faces of the whole plate.
        comb_path, performer: a model that was trained on the performer, and the name they have there.
        frames: which frames.
        colour, colorspace: see `swap_frame`.
        person: whose face; None for the most prominent person.
        device: "auto", "cpu", "cuda", …

    Raises:
        ModelError, UnknownPersonaError: see `load_comb`.
        NoFaceError: no frame of the shot shows the face.
        PlateError: a frame cannot be read.
    """
    where = pick_device(device)
    comb, card = load_comb(comb_path, [performer], where)
    looking = _Looking(plate, shot, person, comb, performer, card.model_space, colour, colorspace, where)
    with intra_op_threads(1):
        usual = _usual(looking)
        for frame in frames:
            picture = read_frame(plate, frame)
            whole = np.zeros((picture.height, picture.width, 1), np.float32)
            face, share = shot.face(frame, person), float("nan")
            if face is not None:
                seen = looking.see(picture, face)
                found = occluder(seen.crop, strangeness(seen.difference, usual, seen.matte), seen.matte)
                share = float((found * seen.matte).sum() / seen.matte.sum())
                _lay(whole[..., 0], found, seen.piece, face)
            write_image(out.path(frame), whole, ("A",), {}, "half", "zip")
            yield Holdout(frame, out.path(frame), share)


def _usual(looking: _Looking) -> torch.Tensor:
    """What the decoder never gets right in this shot, from frames spread over it."""
    with_face = [frame for frame in looking.plate.frames if looking.shot.face(frame, looking.person) is not None]
    if not with_face:
        raise NoFaceError(f"{looking.plate.pattern}: no frame shows the face; run `bodydouble align` and look at it.")
    picks = np.unique(np.linspace(0, len(with_face) - 1, LOOKED_AT).round().astype(int)).tolist()
    found = []
    for frame in (with_face[index] for index in picks):
        face = looking.shot.face(frame, looking.person)
        if face is not None:
            found.append(looking.see(read_frame(looking.plate, frame), face).difference)
    return usual_difference(found)


def _lay(whole: NDArray[np.float32], found: torch.Tensor, piece: PlateRegion, face: Face) -> None:
    """Put a matte of the crop into the display window."""
    region_from_crop = np.linalg.inv(crop_from_unit(found.shape[-1]) @ piece.unit_from_region(face))
    shown = warp(found, np.asarray(region_from_crop, np.float64), piece.size, padding="zero").clamp(0, 1)[0, 0]
    matte = torch.where(shown < _LEAST, 0, shown).cpu().numpy()
    (height, width), (x0, y0, x1, y1) = whole.shape, piece.region
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if left < right and top < bottom:
        whole[top:bottom, left:right] = matte[top - y0 : bottom - y0, left - x0 : right - x0]
