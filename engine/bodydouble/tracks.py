"""The shot solve: from faces found frame by frame to people over time with a steady alignment.

`link_people` says who is who, `solve_person` bridges gaps, drops outliers and smooths. The smoother is Whittaker's:
it sees both sides of a frame, so it does not lag, and missing frames are simply frames of weight 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from bodydouble.chips import box_from_unit
from bodydouble.geometry import apply, similarity_matrix, similarity_parts, similarity_scale
from bodydouble.settings import AlignSettings
from bodydouble.shotfaces import Face

SMOOTHING = 0.1
"""Whittaker penalty on third differences at `smoothing=1`; higher rounds off fast turns (docs/alignment.md)."""
MEMORY = 12
"""Frames after which a person who was not seen is no longer expected back at the same place."""
FACE_SPREAD = 0.03
"""Spread of the nine predictions, in box widths, above which a detection is hardly a face."""
FACE_RADIUS = 0.35
"""Radius of a face in the unit crop; turns angle and scale into shifts of the face's edge."""

_HALF = np.array([0.5, 0.5])


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face as measured in one frame: plate pixels; the detector's score; spread of the nine in box widths."""

    box_px: NDArray[np.float64]
    landmarks_px: NDArray[np.float64]
    unit_from_plate: NDArray[np.float64]
    score: float
    spread: float

    @property
    def centre_px(self) -> NDArray[np.float64]:
        """(2,) plate point in the middle of the aligned crop."""
        return apply(np.linalg.inv(self.unit_from_plate), _HALF)

    @property
    def width_px(self) -> float:
        """Width of the face on the plate."""
        return 2 * FACE_RADIUS / similarity_scale(self.unit_from_plate)


def same_place(one: FoundFace, other: FoundFace, slack: float = 0.5) -> bool:
    """Whether two faces could be one: centres within `slack` widths, and of like size."""
    ratio = one.width_px / other.width_px
    return 1 / 1.6 < ratio < 1.6 and _distance(one, other) < slack


def link_people(frames: Mapping[int, Sequence[FoundFace]]) -> list[dict[int, FoundFace]]:
    """Tracks of people, the most prominent first: each maps frame numbers to that person's face.

    In each frame the nearest pairs of a known person and a face are joined first, where the person could have moved
    there. Tracks without one convincing face (score 0, the detector's usual threshold, and predictions that agree) are
    not people and are left out.
    """
    tracks: list[dict[int, FoundFace]] = []
    for frame in sorted(frames):
        faces = list(frames[frame])
        known = [(track, track[max(track)]) for track in tracks if frame - max(track) <= MEMORY]
        pairs = sorted(
            (
                (_distance(last, face), index, number)
                for index, (track, last) in enumerate(known)
                for number, face in enumerate(faces)
                if same_place(last, face, slack=0.5 + 0.1 * min(frame - max(track), 5))
            ),
        )
        taken: set[int] = set()
        for _, index, number in pairs:
            if number not in taken and frame not in known[index][0]:
                known[index][0][frame] = faces[number]
                taken.add(number)
        tracks += [{frame: face} for number, face in enumerate(faces) if number not in taken]
    people = [
        track for track in tracks if any(face.score >= 0 and face.spread < FACE_SPREAD for face in track.values())
    ]
    return sorted(people, key=_prominence, reverse=True)


def solve_person(
    person: int, faces: Mapping[int, FoundFace], frames: Sequence[int], settings: AlignSettings
) -> dict[int, Face]:
    """One person's faces in the `frames` of the shot, gaps up to `settings.bridge` filled in."""
    solved: dict[int, Face] = {}
    for run in _runs(sorted(faces), settings.bridge):
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
        Face(face.box_px, face.landmarks_px, face.score, sure, person, False, face.unit_from_plate)
        for person, (sure, face) in enumerate(trust)
    )


def confidence(score: float, spread: float) -> float:
    """How far measured landmarks can be trusted, 0..1.

    The product of two ramps: the detector's `score` from -0.8 (0) to 0.4 (1), and the `spread` of the nine predictions
    from 0.03 (0) to 0.01 (1) box widths. On rendered faces 45 % of those below 0.25 are off by over a tenth of the
    eyes' distance, none above 0.4 (docs/alignment.md).
    """
    return float(np.clip((score + 0.8) / 1.2, 0, 1) * np.clip((0.03 - spread) / 0.02, 0, 1))


def outliers(faces: Mapping[int, FoundFace]) -> list[int]:
    """Frames whose alignment jumps away from the two frames before and after, and back.

    Each is compared with the cubic through those four; a jump must exceed 4 % of the crop, six times the run's usual
    deviation, and half the way from the frame before to the one after: a sudden start is no jump. At most a tenth of
    the frames.
    """
    frames = [f for f in faces if all(f + step in faces for step in (-2, -1, 1, 2))]
    if len(frames) < 5:
        return []
    parts = {frame: _parts(face) for frame, face in faces.items()}
    jumps = {f: _jump(parts[f], (4 * (parts[f - 1] + parts[f + 1]) - parts[f - 2] - parts[f + 2]) / 6) for f in frames}
    limit = max(0.04, 6 * float(np.median(list(jumps.values()))))
    peaks = [
        f
        for f in frames
        if jumps[f] > max(limit, _jump(parts[f + 1], parts[f - 1]) / 2)
        # A bad frame spoils the cubic of its neighbours too; only the worst of them is bad.
        and jumps[f] == max(jumps.get(f + step, 0.0) for step in (-2, -1, 0, 1, 2))
    ]
    return sorted(peaks, key=lambda f: -jumps[f])[: max(1, len(faces) // 10)]


def whittaker(
    values: NDArray[np.float64], weights: NDArray[np.float64], strength: float, order: int = 3
) -> NDArray[np.float64]:
    """(N, K) values smoothed along N: least Σ w (y − z)² + `strength` · Σ (Δ^order z)². Frames of weight 0 are filled.

    P. H. C. Eilers, *A perfect smoother*, Analytical Chemistry 75(14), 2003. Needs `order` or more positive weights.
    """
    count = len(values)
    bands = np.zeros((order + 1, count))  # bands[k, i] is the matrix's element (i, i + k)
    c = [(-1.0) ** k * comb(order, k) for k in range(order + 1)]
    for k in range(order + 1):
        for j in range(order + 1 - k):
            bands[k, j : j + max(0, count - order)] += strength * c[j] * c[j + k]
    bands[0] += weights
    return _solve_banded(bands, values * weights[:, None])


def _solve_banded(bands: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve A x = `right` (N, K) for the symmetric positive definite A in upper `bands`, by LDLᵀ."""
    a, x = bands.copy(), right.copy()
    count, width = a.shape[1], a.shape[0] - 1
    for i in range(count):
        reach = min(width, count - 1 - i)
        factors = a[1 : reach + 1, i] / a[0, i]
        for k in range(1, reach + 1):
            a[: reach + 1 - k, i + k] -= factors[k - 1] * a[k : reach + 1, i]
            x[i + k] -= factors[k - 1] * x[i]
        a[1 : reach + 1, i] = factors
    x /= a[0][:, None]
    for i in range(count - 1, -1, -1):
        reach = min(width, count - 1 - i)
        x[i] -= a[1 : reach + 1, i] @ x[i + 1 : i + 1 + reach]
    return x


def _solve_run(
    person: int, trusted: Mapping[int, FoundFace], frames: Sequence[int], settings: AlignSettings
) -> dict[int, Face]:
    """Smooth the alignment, and the landmarks within it, over a run of frames without a long gap."""
    if not trusted:
        return {}
    known = sorted(trusted)
    first, count = known[0], known[-1] - known[0] + 1
    weights = np.zeros(count)
    values = np.zeros((count, 4 + 68 * 2))
    angle = np.unwrap([_parts(trusted[f])[1] for f in known])
    for index, frame in enumerate(known):
        face = trusted[frame]
        parts = _parts(face)
        parts[1] = angle[index]
        values[frame - first] = np.concatenate([parts, apply(face.unit_from_plate, face.landmarks_px).ravel()])
        weights[frame - first] = np.clip((0.006 / max(face.spread, 1e-6)) ** 2, 0.1, 1.0)
    # Without smoothing only the gaps are filled in.
    smooth = whittaker(values, weights, max(SMOOTHING * settings.smoothing, 1e-9), min(3, len(known)))
    solved = {}
    for frame in frames:
        if first <= frame <= known[-1]:
            row = smooth[frame - first]
            unit_from_plate = similarity_matrix(float(np.exp(row[0])), float(row[1]), row[2:4])
            landmarks = apply(np.linalg.inv(unit_from_plate), row[4:].reshape(68, 2))
            solved[frame] = _face(person, frame, trusted, unit_from_plate, landmarks)
    return solved


def _face(
    person: int,
    frame: int,
    trusted: Mapping[int, FoundFace],
    unit_from_plate: NDArray[np.float64],
    landmarks_px: NDArray[np.float64],
) -> Face:
    found = trusted.get(frame)
    if found is not None:
        trust = confidence(found.score, found.spread)
        return Face(found.box_px, landmarks_px, found.score, trust, person, False, unit_from_plate)
    neighbours = (trusted[max(f for f in trusted if f < frame)], trusted[min(f for f in trusted if f > frame)])
    trust = 0.5 * min(confidence(face.score, face.spread) for face in neighbours)
    return Face(box_from_unit(unit_from_plate), landmarks_px, None, trust, person, True, unit_from_plate)


def _runs(frames: Sequence[int], bridge: int) -> list[list[int]]:
    """Sorted frames cut where more than `bridge` are missing in between."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame - runs[-1][-1] <= bridge + 1:
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


def _distance(one: FoundFace, other: FoundFace) -> float:
    """Distance of two faces' centres in face widths."""
    return float(np.hypot(*(one.centre_px - other.centre_px)) * 2 / (one.width_px + other.width_px))


def _prominence(track: Mapping[int, FoundFace]) -> float:
    return sum(face.width_px * (0.1 + confidence(face.score, face.spread)) for face in track.values())
