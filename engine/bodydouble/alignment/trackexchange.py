"""Shot faces as Nuke tracks, and corrections from tracks or landmarks that somebody moved.

Each person becomes a Tracker4 with a track for every landmark (`person0.point36`) and a CornerPin2D whose corners are
those of the aligned crop. Either may be moved in Nuke, at any frames, and read back: what lies elsewhere than in the
shot faces is a correction; everything else stays what the solve makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.corrections import Correction, Corrections, read_corrections
from bodydouble.alignment.geometry import apply, fit_similarity, plate_from_square, similarity_parts
from bodydouble.alignment.landmarkcsv import read_landmarks_csv
from bodydouble.alignment.nuketracks import Tracks, corner_pin_text, parse_tracks, tracker_text
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import SidecarError
from bodydouble.writing import atomic_path

MOVED_PX = 0.05
"""A point that lies less far from where it was has not been moved; tracks are written to 0.0001, sidecars to 0.01."""
PINNED_PX = 1024
"""Size of the picture that the corner pin takes to the crop."""
CORNERS = np.array([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
"""Of the unit crop, in Nuke's order: lower left, lower right, upper right, upper left."""
SUFFIXES = (".nk", ".txt")

_POINT = re.compile(
    r"(?:.*?person[ _.]*(?P<person>\d+)[ _.]+)?(?:.*?[ _.])??(?:point|landmark|p)?[ _.]*(?P<mark>\d{1,2})$"
)
_CORNER = re.compile(r"(?:.*?person[ _.]*(?P<person>\d+).*)?(?:.*\.)?to(?P<corner>[1-4])$")


def write_nuke_tracks(path: str | Path, shot: ShotFaces) -> None:
    """Write every person's landmarks and crop as text to paste into Nuke, whole or not at all. Raises OutputError."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(_nodes(shot, person) for person in shot.people), encoding="utf-8")


def read_moved(path: str | Path, shot: ShotFaces) -> Corrections:
    """Corrections from a file: `.json` as it is; of landmarks (`.csv`) or a Nuke script (`.nk`, `.txt`) what was moved.

    `shot`: the solved shot that it is compared with. Raises SidecarError.
    """
    found = _contents(Path(path), shot)
    if isinstance(found, Corrections):
        return found
    try:
        if isinstance(found, ShotFaces):
            placed = {(frame, face.person): _points(face) for frame, faces in found.frames.items() for face in faces}
            return _from_points(placed, shot)
        return tracked_corrections(found, shot)
    except SidecarError as error:
        raise SidecarError(f"{path}: {error}") from error


def check_moved(path: str | Path) -> None:
    """Whether `read_moved` will understand the file, before anything is measured. Raises SidecarError."""
    _contents(Path(path), ShotFaces("", 1, 1, {}))


def _contents(path: Path, shot: ShotFaces) -> Corrections | ShotFaces | Tracks:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_landmarks_csv(path, shot.plate, shot.width, shot.height, shot.pixel_aspect)
    if suffix not in SUFFIXES:
        return read_corrections(path)
    try:
        return parse_tracks(path.read_text(encoding="utf-8"), shot.height)
    except (OSError, UnicodeDecodeError) as error:
        raise SidecarError(f"{path}: not a readable text file ({error}).") from error
    except SidecarError as error:
        raise SidecarError(f"{path}: {error}") from error


def tracked_corrections(tracks: Tracks, shot: ShotFaces) -> Corrections:
    """Corrections from tracks (`nuketracks.parse_tracks`) that lie elsewhere than in the shot.

    A track whose name ends in a number is that landmark, of the person whose number its name holds, else of person 0:
    `person1.point36`, `36`. The tracks `….to1` … `….to4` are the corners of the crop. Raises SidecarError for a name
    that says neither, and where a person has no face in a frame.
    """
    points: dict[tuple[int, int], dict[int, NDArray[np.float64]]] = {}
    corners: dict[tuple[int, int], dict[int, NDArray[np.float64]]] = {}
    for name, keys in tracks.items():
        corner, point = _CORNER.match(name), _POINT.match(name)
        found = corner or point
        number = int(corner["corner"]) - 1 if corner else int(point["mark"]) if point else -1
        if found is None or not 0 <= number < 68:
            raise SidecarError(f"the track {name!r} names no landmark; name it like person0.point36, 0 to 67.")
        into = corners if corner else points
        for frame, place in keys.items():
            into.setdefault((frame, int(found["person"] or 0)), {})[number] = np.array(place)
    by_points = _from_points(points, shot)
    crops = {at: places for at, places in corners.items() if len(places) == 4}
    return Corrections(_joined([*by_points.entries, *(_pinned(shot, *at, places) for at, places in crops.items())]))


def _nodes(shot: ShotFaces, person: int) -> str:
    faces = {frame: face for frame in sorted(shot.frames) if (face := shot.face(frame, person)) is not None}
    landmarks = np.stack([face.landmarks_px for face in faces.values()])  # N, 68, 2
    points = {f"person{person}.point{mark}": landmarks[:, mark] for mark in range(landmarks.shape[1])}
    pinned = CORNERS * PINNED_PX - 0.5
    places = np.stack([_corners(face) for face in faces.values()])
    name = f"BodyDouble_person{person}"
    return tracker_text(f"{name}_points", list(faces), points, shot.height) + corner_pin_text(
        f"{name}_crop", list(faces), pinned, places, shot.height, from_height=PINNED_PX
    )


def _corners(face: Face) -> NDArray[np.float64]:
    return apply(np.linalg.inv(face.unit_from_plate), CORNERS)


def _points(face: Face) -> dict[int, NDArray[np.float64]]:
    return dict(enumerate(face.landmarks_px))


def _from_points(points: Mapping[tuple[int, int], Mapping[int, NDArray[np.float64]]], shot: ShotFaces) -> Corrections:
    entries = []
    for (frame, person), places in points.items():
        solved = _solved(shot, frame, person)
        moved = {mark: place for mark, place in places.items() if _away(place, solved.landmarks_px[mark]) > MOVED_PX}
        if moved:
            entries.append(Correction(frame, person, None, moved))
    return Corrections(_joined(entries))


def _pinned(shot: ShotFaces, frame: int, person: int, places: Mapping[int, NDArray[np.float64]]) -> Correction:
    """A correction to the crop whose corners lie there; without anything where they have not been moved."""
    moved = np.stack([places[corner] for corner in range(4)])
    if max(_away(*pair) for pair in zip(moved, _corners(_solved(shot, frame, person)), strict=True)) <= MOVED_PX:
        return Correction(frame, person, None, {})
    plate_square = plate_from_square(shot.pixel_aspect)
    scale, angle, centre = similarity_parts(fit_similarity(apply(np.linalg.inv(plate_square), moved), CORNERS))
    return Correction(frame, person, np.array([np.log(scale), angle, *apply(plate_square, centre)]), {})


def _joined(entries: Sequence[Correction]) -> tuple[Correction, ...]:
    """One entry for each frame and person, in order; those that change nothing are left out."""
    joined: dict[tuple[int, int], Correction] = {}
    for entry in entries:
        if entry.crop_parts is None and not entry.points_px:
            continue
        other = joined.get((entry.frame, entry.person))
        crop = entry.crop_parts if other is None or other.crop_parts is None else other.crop_parts
        points = {**(other.points_px if other else {}), **entry.points_px}
        joined[entry.frame, entry.person] = Correction(entry.frame, entry.person, crop, points)
    return tuple(joined[at] for at in sorted(joined))


def _solved(shot: ShotFaces, frame: int, person: int) -> Face:
    face = shot.face(frame, person)
    if face is None:
        raise SidecarError(f"frame {frame}: person {person} has no face there that could be corrected.")
    return face


def _away(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).max())
