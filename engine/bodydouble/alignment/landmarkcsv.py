"""Landmarks as plain CSV, for spreadsheets and other trackers.

One line per face: `frame, person, confidence, interpolated, x0, y0, … x67, y67`; plate pixels, x right, y down,
(0, 0) the centre of the first pixel of the display window; iBUG order.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from bodydouble.alignment.chips import box_from_unit
from bodydouble.alignment.geometry import apply, plate_from_square, unit_from_landmarks
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import SidecarError
from bodydouble.writing import atomic_path

HEAD = ("frame", "person", "confidence", "interpolated")
COORDINATES = tuple(f"{axis}{mark}" for mark in range(68) for axis in "xy")


def write_landmarks_csv(path: str | Path, shot: ShotFaces) -> None:
    """Write every face of the shot, as a whole or not at all. Raises OutputError."""
    with atomic_path(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEAD + COORDINATES)
        for frame in sorted(shot.frames):
            for face in shot.frames[frame]:
                places = [f"{value:.3f}" for value in face.landmarks_px.ravel()]
                rows.writerow([frame, face.person, f"{face.confidence:.4f}", int(face.interpolated), *places])


def read_landmarks_csv(path: str | Path, plate: str, width: int, height: int, pixel_aspect: float = 1.0) -> ShotFaces:
    """Shot faces of the landmarks in a CSV; `plate`: its pattern, `width`, `height`: its display window.

    `person` (0), `confidence` (1) and `interpolated` (0) may be left out. Raises SidecarError that names the line.
    """
    frames: dict[int, tuple[Face, ...]] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                try:
                    frame = int(row["frame"])
                    face = _face(row, pixel_aspect)
                except (KeyError, TypeError, ValueError) as error:
                    raise SidecarError(f"{path}: line {line}: {error}; see docs/alignment.md.") from error
                others = frames.get(frame, ())
                if any(face.person == other.person for other in others):
                    raise SidecarError(f"{path}: line {line}: person {face.person} is twice in frame {frame}.")
                frames[frame] = tuple(sorted((*others, face), key=lambda one: one.person))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SidecarError(f"{path}: not a readable CSV file ({error}).") from error
    if not frames:
        raise SidecarError(f"{path}: no landmarks in it; it needs the columns {', '.join(HEAD)}, x0, y0, … x67, y67.")
    return ShotFaces(plate, width, height, dict(sorted(frames.items())), pixel_aspect, {"landmarks": Path(path).name})


def _face(row: dict[str, str], pixel_aspect: float) -> Face:
    landmarks = np.array([float(row[name]) for name in COORDINATES]).reshape(68, 2)
    square_from_plate = np.linalg.inv(plate_from_square(pixel_aspect))
    unit_from_square = unit_from_landmarks(apply(square_from_plate, landmarks))
    box = apply(plate_from_square(pixel_aspect), box_from_unit(unit_from_square).reshape(2, 2)).ravel()
    person, sure, filled = (row.get(name) or default for name, default in zip(HEAD[1:], ("0", "1", "0"), strict=True))
    return Face(box, landmarks, None, float(sure), int(person), bool(int(filled)), unit_from_square @ square_from_plate)
