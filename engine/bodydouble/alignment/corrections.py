"""Corrections: frames that an artist placed by hand, and the shot made to pass through them.

The file is JSON, schema "bodydouble.corrections", version 1::

    {"schema": "bodydouble.corrections", "version": 1, "fade": 12,
     "frames": {
       "1012": [{"person": 0, "points_px": {"36": [402.5, 206.0], "45": [545.0, 206.5]}}],
       "1030": [{"person": 0, "crop": {"centre_px": [470.0, 262.5], "side_px": 362.0, "angle_deg": -1.5}}],
       "1040": [{"person": 0}]}}

`crop` places the aligned crop and the whole face with it: its centre and side in the plate, its angle clockwise on
screen. `points_px` places single landmarks (iBUG numbers 0..67); those near one follow it softly, far ones stay. Both
may stand together. An entry with neither says that the frame is right as it is. Pixels as everywhere: x right, y down,
(0, 0) the centre of the first pixel of the display window, of square pixels in the case of `side_px` and `angle_deg`.

What is corrected is the *difference* to the solved shot: it passes smoothly from one corrected frame to the next,
and fades out over `fade` frames before the first and after the last, so all that the pixels said about the motion in
between is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import box_from_unit
from bodydouble.alignment.geometry import (
    apply,
    plate_from_square,
    similarity_matrix,
    similarity_parts,
    unit_from_landmarks,
)
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.documents import read_document
from bodydouble.errors import SidecarError

SCHEMA = "bodydouble.corrections"
VERSION = 1
FADE = 12
REACH = 0.08
"""How far a placed landmark draws its neighbours along: standard deviation in sides of the crop."""

Parts = NDArray[np.float64]
"""(4,) log scale, angle, centre x and y of an alignment."""


@dataclass(frozen=True, eq=False)
class Correction:
    """One person in one frame.

    `crop_parts`: log scale and angle of the alignment of square pixels, and its centre in plate pixels. `points_px`:
    landmark → (2,) place in plate pixels.
    """

    frame: int
    person: int
    crop_parts: Parts | None
    points_px: Mapping[int, NDArray[np.float64]]


@dataclass(frozen=True)
class Corrections:
    """What a file of corrections holds. `fade`: frames in which a correction vanishes beyond the outermost ones."""

    entries: tuple[Correction, ...]
    fade: int = FADE


@dataclass(frozen=True, eq=False)
class _Key:
    """The difference that a correction makes: to the alignment's parts, and (68, 2) within the unit crop."""

    frame: int
    parts: Parts
    unit: NDArray[np.float64]


def read_corrections(path: str | Path) -> Corrections:
    """Read a file of corrections. Raises SidecarError that names the file and the frame."""
    data = read_document(path, SidecarError)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("version") != VERSION:
        raise SidecarError(f"{path}: needs `schema` {SCHEMA} and `version` {VERSION}; see docs/alignment.md.")
    where = "fade"
    try:
        fade = int(data.get("fade", FADE))
        entries = []
        for number, faces in data["frames"].items():
            where = f"frames.{number}"
            entries += [_correction(int(number), face) for face in faces]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SidecarError(f"{path}: {where}: {error}; see docs/alignment.md.") from error
    if fade < 0:
        raise SidecarError(f"{path}: fade must not be negative, got {fade}.")
    twice = {(e.frame, e.person) for e in entries}
    if len(twice) < len(entries):
        raise SidecarError(f"{path}: a person is corrected twice in one frame; put both into one entry.")
    return Corrections(tuple(sorted(entries, key=lambda entry: entry.frame)), fade)


def correct_shot(shot: ShotFaces, corrections: Corrections) -> ShotFaces:
    """The shot faces with every corrected frame passed through and the frames around drawn along smoothly.

    Corrected faces have confidence 1. Raises SidecarError where a person has no face in a corrected frame.
    """
    frames = {frame: list(faces) for frame, faces in shot.frames.items()}
    plate_square = plate_from_square(shot.pixel_aspect)
    for person in sorted({entry.person for entry in corrections.entries}):
        entries = [entry for entry in corrections.entries if entry.person == person]
        keys = [_key(shot, entry, plate_square) for entry in entries]
        for frame, faces in frames.items():
            for index, face in enumerate(faces):
                if face.person == person:
                    parts, unit = _between(keys, frame, corrections.fade)
                    if parts.any() or unit.any():
                        faces[index] = _moved(face, parts, unit, plate_square)
                    if any(key.frame == frame for key in keys):
                        faces[index] = replace(faces[index], confidence=1.0, interpolated=False)
    settings = {**shot.settings, "corrected_frames": sorted({entry.frame for entry in corrections.entries})}
    return replace(shot, frames={frame: tuple(faces) for frame, faces in frames.items()}, settings=settings)


def _correction(frame: int, data: dict[str, Any]) -> Correction:
    unknown = set(data) - {"person", "crop", "points_px"}
    if unknown:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    points = {int(mark): _finite(place, 2) for mark, place in data.get("points_px", {}).items()}
    if any(not 0 <= mark < 68 for mark in points):
        raise ValueError("landmarks are numbered 0..67")
    parts = None
    if "crop" in data:
        crop = data["crop"]
        side, angle = float(crop["side_px"]), float(crop["angle_deg"])
        if not side > 0:
            raise ValueError("side_px must be above 0")
        # The alignment turns the face upright, so it turns the other way.
        parts = np.array([-np.log(side), -np.radians(angle), *_finite(crop["centre_px"], 2)])
    return Correction(frame, int(data.get("person", 0)), parts, points)


def _finite(value: Any, count: int) -> NDArray[np.float64]:
    array = np.array(value, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"need {count} finite numbers, got {value}")
    return array


def _key(shot: ShotFaces, entry: Correction, plate_square: NDArray[np.float64]) -> _Key:
    face = shot.face(entry.frame, entry.person)
    if face is None:
        raise SidecarError(f"frame {entry.frame}: person {entry.person} has no face there that could be corrected.")
    solved = _parts(face, plate_square)
    parts = np.zeros(4)
    if entry.crop_parts is not None:
        parts = entry.crop_parts.copy()
        parts[2:] = apply(np.linalg.inv(plate_square), parts[2:])
        parts -= solved
        parts[1] = np.arctan2(np.sin(parts[1]), np.cos(parts[1]))
    marks = sorted(entry.points_px)
    unit = apply(face.unit_from_plate, face.landmarks_px)
    if not marks:
        return _Key(entry.frame, parts, np.zeros_like(unit))
    unit_from_square = _alignment(solved + parts)
    placed = apply(unit_from_square @ np.linalg.inv(plate_square), np.array([entry.points_px[mark] for mark in marks]))
    unit_placed = unit + _spread(unit, marks, placed - unit[marks])
    if entry.crop_parts is None:
        # The crop lies where the landmarks say, as in every other frame.
        square = apply(np.linalg.inv(unit_from_square), unit_placed)
        unit_from_square = unit_from_landmarks(square)
        parts = _parts_of(unit_from_square) - solved
        unit_placed = apply(unit_from_square, square)
    return _Key(entry.frame, parts, unit_placed - unit)


def _spread(points: NDArray[np.float64], marks: list[int], moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """(68, 2) moves of all landmarks where those of some are given: Gaussian kriging, exact at the given ones."""
    squared = ((points[:, None] - points[None, marks]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / (2 * REACH**2))
    # Lids and inner lips may lie on each other; the ridge keeps the system solvable.
    weights = np.linalg.solve(kernel[marks] + 1e-9 * np.eye(len(marks)), moves)
    result = kernel @ weights
    result[marks] = moves
    return result


def _between(keys: list[_Key], frame: int, fade: int) -> tuple[Parts, NDArray[np.float64]]:
    """The difference in a frame: eased from one key to the next, and to nothing beyond the outermost."""
    before = max((key for key in keys if key.frame <= frame), key=lambda key: key.frame, default=None)
    after = min((key for key in keys if key.frame >= frame), key=lambda key: key.frame, default=None)
    if before is not None and after is not None:
        gap = after.frame - before.frame
        share = _ease((frame - before.frame) / gap) if gap else 0.0
        return (
            (1 - share) * before.parts + share * after.parts,
            (1 - share) * before.unit + share * after.unit,
        )
    only = before or after
    if only is None:
        raise ValueError("need at least one key")
    share = 1 - _ease(min(1.0, abs(frame - only.frame) / (fade + 1)))
    return share * only.parts, share * only.unit


def _ease(share: float) -> float:
    """0..1 with level ends, and a level change of speed (quintic): no key is felt as a kick."""
    return share**3 * (10 + share * (6 * share - 15))


def _moved(face: Face, parts: Parts, unit: NDArray[np.float64], plate_square: NDArray[np.float64]) -> Face:
    unit_from_plate = _alignment(_parts(face, plate_square) + parts) @ np.linalg.inv(plate_square)
    landmarks = apply(np.linalg.inv(unit_from_plate), apply(face.unit_from_plate, face.landmarks_px) + unit)
    box = box_from_unit(unit_from_plate)
    return replace(face, box_px=box, landmarks_px=landmarks, unit_from_plate=unit_from_plate)


def _parts(face: Face, plate_square: NDArray[np.float64]) -> Parts:
    return _parts_of(face.unit_from_plate @ plate_square)


def _parts_of(unit_from_square: NDArray[np.float64]) -> Parts:
    scale, angle, centre = similarity_parts(unit_from_square)
    return np.array([np.log(scale), angle, *centre])


def _alignment(parts: Parts) -> NDArray[np.float64]:
    """The 3×3 alignment of square pixels."""
    return similarity_matrix(float(np.exp(parts[0])), float(parts[1]), parts[2:])
