"""One swapped frame measured against its plate, without a true picture: what a review needs to know of a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.alignment.geometry import alignment_residual, apply, crop_from_unit, translation
from bodydouble.errors import PlateError
from bodydouble.plates import reading
from bodydouble.plates.colour import WORKING_SPACE
from bodydouble.reviews import likeness, quality
from bodydouble.swap.warp import warp

if TYPE_CHECKING:
    from bodydouble.alignment.faces import FaceFinder
    from bodydouble.alignment.shotfaces import Face, ShotFaces
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.plate import Plate
    from bodydouble.plates.sequences import PlateSequence

Region = tuple[int, int, int, int]  # x0, y0, x1, y1 in display-window pixels, x1 and y1 exclusive

MATTE_CHANNEL = "bodydouble.matte"
ATTRIBUTES = "bodydouble/"

_CROP_PX = 192  # aligned pixels in which change over time is measured
_MARGIN_PX = 32  # of the plate around the matte that the figures may read
_FEW_HIGHLIGHTS = 1e-3  # share of the matte's pixels above 1.0 below which a percentage of them says nothing
_EVERYWHERE = 0.5  # a matte of more than this share means that the whole picture was changed


@dataclass(frozen=True)
class FrameReview:
    """One frame's figures; None where it could not be measured. Units and directions as in `quality`.

    `status` is "done", "untouched" (no pixel differs from the plate), "missing" or "unreadable". `alignment_residual`
    is that of `geometry`. `flicker` and `wobble` look back one and two consecutive frames; with shot faces they are
    measured in crop pixels, so that the performer's motion does not count. The highlights are sums of scene-linear
    light above 1.0 inside the matte, `highlights_lost` the percentage of the plate's that is gone (None where it has
    next to none). `outside_pixels` needs the result's matte channel: without one the matte *is* what changed.
    `identity` maps names to the Euclidean distance from `likeness.identity`.
    """

    frame: int
    status: str
    message: str = ""
    confidence: float | None = None
    alignment_residual: float | None = None
    matte_percent: float | None = None
    flicker: float | None = None
    wobble: float | None = None
    colour_step: float | None = None
    seam: float | None = None
    plate_seam: float | None = None
    plate_highlights: float | None = None
    result_highlights: float | None = None
    highlights_lost: float | None = None
    outside_pixels: int | None = None
    identity: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Material:
    """What a review is made from: the two sequences, the plate's shot faces if there are any, and their colour.

    `colorspace` is that of both sequences; None to take it from the plate's files.
    """

    result: PlateSequence
    plate: PlateSequence
    shot: ShotFaces | None
    colour: Colour
    colorspace: str | None

    def space(self, plate: Plate) -> str:
        """The colour space of a frame of the plate."""
        return self.colorspace or self.colour.space_of(plate.attributes, plate.path)

    def faces(self, frame: int) -> Sequence[Face]:
        """The faces of a frame, none without shot faces."""
        return self.shot.frames.get(frame, ()) if self.shot is not None else ()


@dataclass(frozen=True)
class MeasuredFrame:
    """A frame as read: scene-linear Rec.709 pictures and the matte of `region`, and the performer's face in it."""

    plate: Plate
    result: Plate
    region: Region
    plate_rgb: NDArray[np.float32]
    result_rgb: NDArray[np.float32]
    matte: NDArray[np.float32]
    face: Face | None


@dataclass(frozen=True)
class AlignedFrame:
    """Display code values of one frame where the face stands still, H×W×3, and the H×W matte there."""

    frame: int
    result: NDArray[np.float32]
    plate: NDArray[np.float32]
    matte: NDArray[np.float32]


def read_frame(material: Material, frame: int) -> MeasuredFrame | FrameReview:
    """The frame's pictures, or what is wrong with its result or its plate."""
    path = material.result.path(frame)
    if not path.is_file():
        return FrameReview(frame, "missing", "no file")
    try:
        plate = reading.read_frame(material.plate, frame)
        result = reading.read_frame(material.result, frame)
        plate_rgb, result_rgb = plate.rgb(), result.rgb()
    except PlateError as error:
        return FrameReview(frame, "unreadable", str(error))
    if plate_rgb.shape != result_rgb.shape:
        sizes = ", the plate's ".join(f"{picture.shape[1]}×{picture.shape[0]}" for picture in (result_rgb, plate_rgb))
        return FrameReview(frame, "unreadable", f"the picture is {sizes}")
    matte = matte_of(result, result_rgb, plate_rgb)
    face = face_under(matte, material.faces(frame))
    region = _region_of_interest(matte, face)
    area = np.s_[region[1] : region[3], region[0] : region[2]]
    to_working = material.colour.converter(material.space(plate), WORKING_SPACE)
    plate_light = quality.rec709_from_acescg(to_working(plate_rgb[area]))
    result_light = quality.rec709_from_acescg(to_working(result_rgb[area]))
    return MeasuredFrame(plate, result, region, plate_light, result_light, matte[area], face)


def matte_of(result: Plate, result_rgb: NDArray[np.float32], plate_rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """The result's own matte channel, or 1 wherever a pixel differs from the plate; H×W of the display window."""
    name = result.picture.own_channel(MATTE_CHANNEL)
    if name in result.main.channels:
        return np.asarray(np.clip(np.nan_to_num(quality.display_channel(result, name)), 0, 1), np.float32)
    return np.asarray(quality.changed_pixels(result_rgb, plate_rgb).any(axis=2), np.float32)


def face_under(matte: NDArray[np.float32], faces: Sequence[Face]) -> Face | None:
    """The face with most of the matte inside its box; the first one when the matte is empty."""

    def covered(face: Face) -> float:
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in face.box_px)
        return float(matte[y0:y1, x0:x1].sum())

    return max(faces, key=covered, default=None)


def align(measured: MeasuredFrame, frame: int) -> AlignedFrame:
    """Display code values in crop pixels; in plate pixels when there is no face to align by."""
    result, plate = quality.display_code(measured.result_rgb), quality.display_code(measured.plate_rgb)
    if measured.face is None:
        return AlignedFrame(frame, result, plate, measured.matte)
    plate_from_region = translation(*measured.region[:2])
    crop_from_region = crop_from_unit(_CROP_PX) @ np.asarray(measured.face.unit_from_plate) @ plate_from_region
    stack = np.concatenate([result, plate, measured.matte[..., None]], axis=2).transpose(2, 0, 1)[None]
    crop = warp(torch.from_numpy(np.ascontiguousarray(stack)), crop_from_region, (_CROP_PX, _CROP_PX))[0].numpy()
    return AlignedFrame(frame, crop[:3].transpose(1, 2, 0), crop[3:6].transpose(1, 2, 0), np.clip(crop[6], 0, 1))


def reads_as(
    measured: MeasuredFrame, finder: FaceFinder, references: Mapping[str, NDArray[np.float32]]
) -> Mapping[str, float] | None:
    """Name → distance of the result's face to each known person; None without a face to look at."""
    if measured.face is None:
        return None
    image = np.round(quality.display_code(measured.result_rgb) * 255).astype(np.uint8)
    # the persona's features lie where the performer's do, well within what the ResNet's own chip forgives
    embedding = finder.embedding(image, np.asarray(measured.face.landmarks_px) - np.array(measured.region[:2]))
    return {name: likeness.identity(embedding, faces).euclidean for name, faces in references.items()}


def figures(
    frame: int,
    measured: MeasuredFrame,
    history: Sequence[AlignedFrame],
    identity: Mapping[str, float] | None,
) -> FrameReview:
    """All figures of one frame. `history`: up to three aligned frames, the last one this frame's."""
    matte = measured.matte
    confidence = measured.result.attributes.get(ATTRIBUTES + "confidence")
    if confidence is None and measured.face is not None:
        confidence = measured.face.confidence
    confidence = None if confidence is None else float(confidence)
    if not (matte > 0).any():
        return FrameReview(frame, "untouched", "no pixel differs from the plate", confidence, 0.0)
    result, plate = quality.display_code(measured.result_rgb), quality.display_code(measured.plate_rgb)
    edge = quality.seam(result, plate, matte)
    light = quality.highlights(measured.result_rgb, measured.plate_rgb, matte)
    share = float(matte.sum(dtype=np.float64)) / (measured.plate.width * measured.plate.height)
    return FrameReview(
        frame,
        "done",
        "changed nearly everywhere: was it saved with a lossy compression?" if share > _EVERYWHERE else "",
        confidence=confidence,
        alignment_residual=_residual(measured.face),
        matte_percent=100 * share,
        flicker=_flicker(history),
        wobble=_wobble(history),
        colour_step=_known(quality.colour_step(result, plate, matte)),
        seam=_known(edge.added),
        plate_seam=_known(edge.plate),
        plate_highlights=light.plate_light,
        result_highlights=light.result_light,
        highlights_lost=_lost(light, matte),
        outside_pixels=_outside(measured),
        identity=identity,
    )


def _region_of_interest(matte: NDArray[np.float32], face: Face | None) -> Region:
    """What the figures must see: the matte and the aligned crop; the whole picture without a face."""
    height, width = matte.shape
    if face is None:
        return (0, 0, width, height)
    unit_corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
    corners = apply(np.linalg.inv(np.asarray(face.unit_from_plate)), unit_corners)
    rows, columns = np.flatnonzero(matte.any(axis=1)), np.flatnonzero(matte.any(axis=0))
    xs, ys = np.concatenate([corners[:, 0], columns]), np.concatenate([corners[:, 1], rows])
    x0, y0 = math.floor(xs.min()) - _MARGIN_PX, math.floor(ys.min()) - _MARGIN_PX
    x1, y1 = math.ceil(xs.max()) + 1 + _MARGIN_PX, math.ceil(ys.max()) + 1 + _MARGIN_PX
    return (min(max(0, x0), width - 1), min(max(0, y0), height - 1), max(1, min(x1, width)), max(1, min(y1, height)))


def _residual(face: Face | None) -> float | None:
    return None if face is None else alignment_residual(face.unit_from_plate, face.landmarks_px)


def _lost(light: quality.Highlights, matte: NDArray[np.float32]) -> float | None:
    enough = light.plate_pixels > _FEW_HIGHLIGHTS * np.count_nonzero(matte)
    return 100 * max(0.0, 1 - light.kept) if enough else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _flicker(history: Sequence[AlignedFrame]) -> float | None:
    """How much the swap changes that the performer does not: flicker of the result against the plate."""
    if len(history) < 2:
        return None
    pair = history[-2:]
    return _known(quality.flicker([a.result for a in pair], [a.plate for a in pair], [a.matte for a in pair]))


def _wobble(history: Sequence[AlignedFrame]) -> float | None:
    if len(history) < 3:
        return None
    weight = np.minimum.reduce([aligned.matte for aligned in history])
    before, now, after = (aligned.result - aligned.plate for aligned in history)
    return _known(quality.wobble(before, now, after, weight))


def _outside(measured: MeasuredFrame) -> int | None:
    name = measured.result.picture.own_channel(MATTE_CHANNEL)
    if name not in measured.result.main.channels:
        return None
    matte = quality.display_channel(measured.result, name)
    return quality.outside_differences(measured.result, measured.plate, matte).pixels
