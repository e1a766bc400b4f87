"""Holdout mattes of a shot, found by the comb: one image per frame, for `swap` to read and for artists to mend.

The pass looks at frames of the whole shot first, to learn what the performer's decoder never gets right, and then at
each frame and the few around it in the plate; so a frame's matte is the same in whatever chunk it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from bodydouble.plates.plate import Plate, Region
from bodydouble.plates.reading import check_fit, read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.occlusion import (
    REACH,
    Colours,
    colours,
    difference,
    occluder,
    pooled,
    roughly,
    strangeness,
    usual_difference,
)
from bodydouble.swap.swapstages import (
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
class _Place:
    """Where a crop lies: `region` of a plate of `size` (height, width), and the 3×3 from crop to region pixels."""

    size: tuple[int, int]
    region: Region
    region_from_crop: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame in the crop: the plate, its two differences to the performer's decoder, the face's matte."""

    place: _Place
    crop: torch.Tensor
    difference: torch.Tensor
    matte: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Judged:
    """A frame beside what is usual in its shot: roughly where something is in front, and what colours it has."""

    seen: _Seen
    rough: torch.Tensor
    colours: Colours


@dataclass(frozen=True, eq=False)
class _Looking:
    """What every frame is looked at with. `faces`: of the plate's frames that show the person."""

    plate: PlateSequence
    faces: Mapping[int, Face]
    comb: Comb
    performer: str
    space: ModelSpace
    colour: Colour
    colorspace: str | None
    device: torch.device

    def near(self, frame: int) -> list[int]:
        """The frames that have a say in a frame that shows the face."""
        return [number for number in self.faces if abs(number - frame) <= REACH]

    def see(self, number: int) -> _Seen:
        frame, face = read_frame(self.plate, number), self.faces[number]
        source = self.colorspace or self.colour.space_of(frame.attributes, frame.path)
        to_working = self.colour.converter(source, self.space.primaries)
        piece = plate_to_model_space(frame, face_region(frame, face), to_working, self.space, self.device)
        size = self.comb.dims.size
        crop = warp_to_crop(piece, face, size)
        shown = decode(self.comb, encode(self.comb, crop), self.performer)
        matte = face_matte(face, size, SwapSettings().forehead, device=self.device)
        region_from_crop = np.linalg.inv(crop_from_unit(size) @ piece.unit_from_region(face))
        place = _Place((frame.height, frame.width), piece.region, np.asarray(region_from_crop, np.float64))
        return _Seen(place, crop, difference(crop, shown, matte), matte)

    def judge(self, number: int, usual: torch.Tensor) -> _Judged:
        seen = self.see(number)
        rough = roughly(seen.crop, strangeness(seen.difference, usual, seen.matte), seen.matte)
        return _Judged(seen, rough, colours(seen.crop, rough, seen.matte))


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
        UsageError: the shot faces are of a plate of another size.
    """
    check_fit(plate, shot)
    where = pick_device(device)
    comb, card = load_comb(comb_path, [performer], where)
    faces = {frame: face for frame in plate.frames if (face := shot.face(frame, person)) is not None}
    if not faces:
        raise NoFaceError(f"{plate.pattern}: no frame shows the face; run `bodydouble align` and look at it.")
    looking = _Looking(plate, faces, comb, performer, card.model_space, colour, colorspace, where)
    with intra_op_threads(1):
        usual = _usual(looking)
        around: dict[int, _Judged] = {}
        for frame in frames:
            if frame in faces:
                near = looking.near(frame)
                around = {number: around.get(number) or looking.judge(number, usual) for number in near}
                holdout, share = _holdout(around, frame)
            else:
                holdout, share = _nothing(read_frame(plate, frame)), float("nan")
            write_image(out.path(frame), holdout, ("A",), {}, "half", "zip")
            yield Holdout(frame, out.path(frame), share)


def _holdout(around: Mapping[int, _Judged], frame: int) -> tuple[NDArray[np.float32], float]:
    """H×W×1 of a frame with a face, and the share of the face that it covers. `around`: the frame and its near ones."""
    judged = around[frame]
    seen = judged.seen
    known = pooled({number: one.colours for number, one in around.items()}, frame)
    found = occluder(seen.crop, judged.rough, seen.matte, known)
    return _laid(found, seen.place), float((found * seen.matte).sum() / seen.matte.sum())


def _nothing(frame: Plate) -> NDArray[np.float32]:
    return np.zeros((frame.height, frame.width, 1), np.float32)


def _usual(looking: _Looking) -> torch.Tensor:
    """What the decoder never gets right in this shot, from frames spread over it."""
    frames = list(looking.faces)
    picks = np.unique(np.linspace(0, len(frames) - 1, LOOKED_AT).round().astype(int)).tolist()
    return usual_difference([looking.see(frames[index]).difference for index in picks])


def _laid(found: torch.Tensor, place: _Place) -> NDArray[np.float32]:
    """A matte of the crop in the display window, H×W×1."""
    whole = np.zeros((*place.size, 1), np.float32)
    (height, width), (x0, y0, x1, y1) = place.size, place.region
    shown = warp(found, place.region_from_crop, (y1 - y0, x1 - x0), padding="zero").clamp(0, 1)[0, 0]
    matte = torch.where(shown < _LEAST, 0, shown).cpu().numpy()
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if left < right and top < bottom:
        whole[top:bottom, left:right, 0] = matte[top - y0 : bottom - y0, left - x0 : right - x0]
    return whole
