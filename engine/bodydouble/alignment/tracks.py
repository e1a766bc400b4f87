"""The shot solve: from one person's faces found frame by frame (`people`) to a steady alignment over time.

`solve_person` bridges gaps, drops outliers and steadies the landmarks by what was found and by how the pixels moved
(`registering`, `steadying`): first some that only the head moves, which say where the crop goes, then all of them in
that crop. There they move little and evenly, however fast the head turns, so they can be held more firmly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import PICTURE_SIDE, box_from_unit
from bodydouble.alignment.geometry import (
    ALIGNMENT_WEIGHTS,
    CANONICAL_LANDMARKS,
    apply,
    crop_from_unit,
    fit_similarity,
    similarity_matrix,
    similarity_parts,
    unit_from_landmarks,
)
from bodydouble.alignment.irises import with_irises
from bodydouble.alignment.people import FACE_RADIUS, FoundFace, confidence, cut_between
from bodydouble.alignment.registering import LIDS, Motion, measure_motions
from bodydouble.alignment.shotfaces import Face
from bodydouble.alignment.smoothing import local_fit
from bodydouble.alignment.steadying import steady
from bodydouble.settings import AlignSettings

FIT_FRAMES = 4
"""Frames on either side that say where a face is about: the coordinates of the solve, and where registration starts."""
INNER = slice(17, 68)
"""Landmarks without the jaw, which slides along the visible outline."""
CROP_SIGMA, GUESS_SIGMA = 1.5, 2.0
"""How fast those count less, in frames: for the crop, and for the landmarks in it; the pixels bring back the rest."""
HEAD_MARKS = [19, 24, 27, 28, 29, 31, 35, 36, 39, 42, 45]
"""Landmarks that go with the head: middle of the brows, bridge and wings of the nose, corners of the eyes."""
STIFFNESS = np.where(np.isin(np.arange(68), LIDS), 1.0, 3.0)
"""(68,) how much more firmly landmarks are held in the crop that goes with the head; lids blink."""
JUMP_FRAMES = 3
"""Frames on either side whose own deviation tells how large a jump is unusual."""


@dataclass(frozen=True, eq=False)
class PlateMotion:
    """How the landmarks moved between two frames by the pixels: (68, 2) from and to where in the plate.

    `seen`: the same, and how well it is known, in the pixels of the face's picture.
    """

    from_px: NDArray[np.float64]
    to_px: NDArray[np.float64]
    seen: Motion


def solve_person(
    person: int,
    faces: Mapping[int, FoundFace],
    frames: Sequence[int],
    settings: AlignSettings,
    cuts: Collection[int] = (),
) -> dict[int, Face]:
    """One person's faces in the `frames` of the shot, gaps up to `settings.bridge` filled in; no gap or smoothing
    reaches over the `cuts`, frames that begin a new shot.
    """
    solved: dict[int, Face] = {}
    for run in _runs(sorted(faces), settings.bridge, cuts):
        trusted = {frame: faces[frame] for frame in run}
        for frame in outliers(trusted):
            del trusted[frame]
        solved |= _solve_run(person, trusted, [f for f in frames if run[0] <= f <= run[-1]], settings)
    return solved


def still_faces(faces: Sequence[FoundFace]) -> tuple[Face, ...]:
    """The faces of one picture for itself, the most convincing first (person 0)."""
    trust = [(confidence(face.score, face.spread), face) for face in faces]
    trust.sort(key=lambda pair: (-pair[0], -pair[1].width_px))
    return tuple(
        Face(
            face.box_px,
            face.landmarks_px,
            face.score,
            sure,
            person,
            False,
            face.unit_from_plate,
            face.irises_unit,
            face.oval_unit,
        )
        for person, (sure, face) in enumerate(trust)
    )


def outliers(faces: Mapping[int, FoundFace]) -> list[int]:
    """Frames whose alignment jumps away from the two frames before and after, and back.

    Each is compared with the cubic through those four; a jump must exceed 4 % of the crop, six times the usual
    deviation of the frames around, and half the way from the frame before to the one after: a sudden start is no jump.
    """
    frames = [f for f in faces if all(f + step in faces for step in (-2, -1, 1, 2))]
    parts = {frame: _parts(face) for frame, face in faces.items()}
    jumps = {f: _jump(parts[f], (4 * (parts[f - 1] + parts[f + 1]) - parts[f - 2] - parts[f + 2]) / 6) for f in frames}
    peaks = []
    for f in frames:
        # A bad frame spoils the cubic of its neighbours too: they do not tell what is usual.
        around = [jumps[g] for g in range(f - 2 - JUMP_FRAMES, f + 3 + JUMP_FRAMES) if g in jumps and abs(g - f) > 2]
        usual = float(np.median(around)) if around else 0.0
        limit = max(0.04, 6 * usual, _jump(parts[f + 1], parts[f - 1]) / 2)
        if jumps[f] > limit and jumps[f] == max(jumps.get(f + step, 0.0) for step in (-2, -1, 0, 1, 2)):
            peaks.append(f)
    return peaks


def _solve_run(
    person: int, trusted: Mapping[int, FoundFace], frames: Sequence[int], settings: AlignSettings
) -> dict[int, Face]:
    """Steady the landmarks over a run of frames without a long gap."""
    if not trusted:
        return {}
    known = sorted(trusted)
    first, count = known[0], known[-1] - known[0] + 1
    rows = [frame - first for frame in known]
    weights = np.zeros(count)
    weights[rows] = [np.clip((0.006 / max(trusted[f].spread, 1e-6)) ** 2, 0.1, 1.0) for f in known]
    # From within a gap that is bridged, two frames are seen on either side of it.
    reach = max(FIT_FRAMES, settings.bridge + 2)
    crops = _steady_crops([trusted[f] for f in known], rows, weights, reach)
    found = np.zeros((count, 68, 2))
    found[rows] = [trusted[f].landmarks_px for f in known]
    motions = _motions(trusted, first, weights, reach) if settings.smoothing > 0 else {}
    if motions:
        head = _steadied(crops, found, weights, motions, settings.smoothing, HEAD_MARKS)
        crops = np.stack([_crop_of_head(points) for points in head])
    path = _steadied(crops, found, weights, motions, settings.smoothing, range(68), STIFFNESS)
    solved = {}
    for frame in frames:
        if first <= frame <= known[-1]:
            landmarks = path[frame - first]
            solved[frame] = _face(person, frame, trusted, unit_from_landmarks(landmarks), landmarks)
    return with_irises(trusted, solved)


def _steady_crops(
    faces: Sequence[FoundFace], rows: Sequence[int], weights: NDArray[np.float64], reach: int
) -> NDArray[np.float64]:
    """(N, 3, 3) from the plate to the pixels of a face's picture at the smoothed alignment: the solve's coordinates."""
    parts = np.zeros((len(weights), 4))
    parts[rows] = [_parts(face) for face in faces]
    parts[rows, 1] = np.unwrap(parts[rows, 1])
    parts = local_fit(parts, weights, reach, CROP_SIGMA)
    crop = crop_from_unit(PICTURE_SIDE)
    return np.stack([crop @ similarity_matrix(float(np.exp(p[0])), float(p[1]), p[2:4]) for p in parts])


def _steadied(
    crops: NDArray[np.float64],
    found_px: NDArray[np.float64],
    weights: NDArray[np.float64],
    motions: Mapping[tuple[int, int], PlateMotion],
    smoothing: float,
    marks: Sequence[int],
    stiffness: float | NDArray[np.float64] = 1.0,
) -> NDArray[np.float64]:
    """(N, L, 2) the path of some landmarks in the plate, solved in crops: (N, 3, 3) from the plate."""
    chosen = list(marks)
    seen = {
        (one, other): Motion(
            apply(crops[other], motion.to_px[chosen]) - apply(crops[one], motion.from_px[chosen]),
            motion.seen.information[chosen],
            motion.seen.agreement[chosen],
        )
        for (one, other), motion in motions.items()
    }
    found = np.stack([apply(crop, points[chosen]) for crop, points in zip(crops, found_px, strict=True)])
    path = steady(found, weights, seen, smoothing, stiffness)
    return np.stack([apply(np.linalg.inv(crop), points) for crop, points in zip(crops, path, strict=True)])


def _crop_of_head(points_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3×3 from the plate to the pixels of a face's picture, as the landmarks `HEAD_MARKS` say."""
    unit = fit_similarity(points_px, CANONICAL_LANDMARKS[HEAD_MARKS], ALIGNMENT_WEIGHTS[HEAD_MARKS])
    return np.asarray(crop_from_unit(PICTURE_SIDE) @ unit)


def _motions(
    faces: Mapping[int, FoundFace], first: int, weights: NDArray[np.float64], reach: int
) -> dict[tuple[int, int], PlateMotion]:
    """How the landmarks move by the faces' pictures."""
    shown = {frame - first: face for frame, face in faces.items() if face.picture is not None}
    if len(shown) < 2:
        return {}
    # Without a picture the crops of a face are not its own; frames between keep weight 0.
    local, seen = np.zeros((len(weights), 68, 2)), np.zeros(len(weights))
    plate_from_picture = {}
    for row, face in shown.items():
        picture_from_plate = crop_from_unit(PICTURE_SIDE) @ face.unit_from_plate
        local[row], seen[row] = apply(picture_from_plate, face.landmarks_px), weights[row]
        plate_from_picture[row] = np.linalg.inv(picture_from_plate)
    expected = local_fit(local.reshape(len(local), -1), seen, reach, GUESS_SIGMA).reshape(local.shape)
    pictures = {row: face.picture for row, face in shown.items() if face.picture is not None}
    return {
        (one, other): PlateMotion(
            apply(plate_from_picture[one], expected[one]),
            apply(plate_from_picture[other], expected[one] + motion.shift_px),
            motion,
        )
        for (one, other), motion in measure_motions(pictures, expected).items()
    }


def _face(
    person: int,
    frame: int,
    trusted: Mapping[int, FoundFace],
    unit_from_plate: NDArray[np.float64],
    landmarks_px: NDArray[np.float64],
) -> Face:
    found = trusted.get(frame)
    if found is not None:
        away = apply(unit_from_plate, found.landmarks_px) - apply(unit_from_plate, landmarks_px)
        trust = confidence(found.score, found.spread, float(np.hypot(*away[INNER].T).mean()))
        return Face(found.box_px, landmarks_px, found.score, trust, person, False, unit_from_plate)
    neighbours = (trusted[max(f for f in trusted if f < frame)], trusted[min(f for f in trusted if f > frame)])
    trust = 0.5 * min(confidence(face.score, face.spread) for face in neighbours)
    return Face(box_from_unit(unit_from_plate), landmarks_px, None, trust, person, True, unit_from_plate)


def _runs(frames: Sequence[int], bridge: int, cuts: Collection[int]) -> list[list[int]]:
    """Sorted frames cut where more than `bridge` are missing in between, and where the shot changes."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame - runs[-1][-1] <= bridge + 1 and not cut_between(runs[-1][-1], frame, cuts):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def _parts(face: FoundFace) -> NDArray[np.float64]:
    """(4,) log scale, angle, centre x and y of a face's alignment."""
    scale, angle, centre = similarity_parts(face.unit_from_plate)
    return np.array([np.log(scale), angle, *centre])


def _jump(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Distance of two alignments, as the shift of a face's edge in crop sides."""
    difference = one - other
    turn = np.arctan2(np.sin(difference[1]), np.cos(difference[1]))
    return float(np.hypot(np.hypot(*(difference[2:] * np.exp(other[0]))), FACE_RADIUS * np.hypot(difference[0], turn)))
