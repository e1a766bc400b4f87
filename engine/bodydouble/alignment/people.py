"""People: which of the faces found frame by frame are the same person.

Faces are joined by place and size from frame to frame; where dlib's ResNet embedding was taken (of new faces, of
faces close to each other, and now and then) it has the last word. Tracks that do not overlap in time are then joined by
embedding alone: somebody who leaves and comes back, or is seen again after a shot change, keeps the id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.geometry import apply, similarity_scale

MEMORY = 12
"""Frames after which a person who was not seen is no longer expected back at the same place."""
FACE_SPREAD = 0.03
"""Spread of the nine predictions, in box widths, above which a detection is hardly a face."""
FACE_RADIUS = 0.35
"""Radius of a face in the unit crop; turns angle and scale into shifts of the face's edge."""
STRANGER = 0.58
"""Embeddings farther apart than this are not joined by place. Over the rendered and the GRID speakers other people are
0.58 or more apart; the nearest embedding of the same person is within 0.45."""
SAME_PERSON = 0.5
"""Mean embeddings of two tracks nearer than this are one person: other people's were 0.60 or more apart, the same
person's 0.15 (docs/alignment.md)."""
CROWDED = 1.2
"""Distance of two faces, in widths, below which place does not tell them apart."""

MISSED = 0.2
"""What a frame in which a person was not seen counts for against joining a face to them, in widths."""

_HALF = np.array([0.5, 0.5])
Embedding = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face as measured in one frame: plate pixels; the detector's score; spread of the nine in box widths.

    `picture`: the face in grey, cut out at `unit_from_plate` (`chips.face_picture`), for registration.
    `embedding`: (128,) who it is, where that was asked for. `irises_unit`, `oval_unit`: as in `shotfaces.Face`.
    """

    box_px: NDArray[np.float64]
    landmarks_px: NDArray[np.float64]
    unit_from_plate: NDArray[np.float64]
    score: float
    spread: float
    picture: NDArray[np.uint8] | None = None
    embedding: NDArray[np.float32] | None = None
    irises_unit: NDArray[np.float64] | None = None
    oval_unit: NDArray[np.float64] | None = None

    @cached_property
    def centre_px(self) -> NDArray[np.float64]:
        """(2,) plate point in the middle of the aligned crop."""
        return apply(np.linalg.inv(self.unit_from_plate), _HALF)

    @cached_property
    def width_px(self) -> float:
        """Width of the face on the plate."""
        return 2 * FACE_RADIUS / similarity_scale(self.unit_from_plate)


def same_place(one: FoundFace, other: FoundFace, slack: float = 0.5) -> bool:
    """Whether two faces could be one: centres within `slack` widths, and of like size."""
    ratio = one.width_px / other.width_px
    return 1 / 1.6 < ratio < 1.6 and _distance(one, other) < slack


def crowded(face: FoundFace, others: Sequence[FoundFace]) -> bool:
    """Whether another face is so near that the two could be mistaken for each other in the next frame."""
    return any(other is not face and _distance(face, other) < CROWDED for other in others)


def link_people(frames: Mapping[int, Sequence[FoundFace]], cuts: Collection[int] = ()) -> list[dict[int, FoundFace]]:
    """Tracks of people, the most prominent first: each maps frame numbers to that person's face.

    In each frame the nearest pairs of a known person and a face are joined first, where the person could have moved
    there. Tracks without one convincing face (score 0, the detector's usual threshold, and predictions that agree) are
    not people and are left out.
    """
    tracks: list[dict[int, FoundFace]] = []
    for frame in sorted(frames):
        faces = list(frames[frame])
        known = [
            (track, track[max(track)])
            for track in tracks
            if frame - max(track) <= MEMORY and not cut_between(max(track), frame, cuts)
        ]
        pairs = sorted(
            (
                # Who was seen just now is likelier than who was last seen here some frames ago.
                (_distance(last, face) + MISSED * (frame - max(track) - 1), index, number)
                for index, (track, last) in enumerate(known)
                for number, face in enumerate(faces)
                if same_place(last, face, slack=0.5 + 0.1 * min(frame - max(track), 5)) and not _strangers(track, face)
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
    return sorted(_reunited(people), key=_prominence, reverse=True)


def identity(track: Mapping[int, FoundFace]) -> Embedding | None:
    """(128,) mean embedding of a track; None where nobody asked who it is."""
    seen = _embeddings(track)
    return np.asarray(np.mean(seen, axis=0), np.float32) if seen else None


def nearest_person(identities: Mapping[int, ArrayLike], embedding: ArrayLike) -> tuple[int, float] | None:
    """The person whose identity is nearest to an embedding, and how far it is; None where nobody's is known.

    Farther than `STRANGER` it is somebody else.
    """
    asked = np.asarray(embedding, np.float64)
    away = [(float(np.linalg.norm(np.asarray(known) - asked)), person) for person, known in identities.items()]
    return None if not away else (min(away)[1], min(away)[0])


def confidence(score: float, spread: float, residual: float | None = None) -> float:
    """How far landmarks can be trusted, 0..1.

    `score`: the detector's. `spread`: of the nine predictions, in box widths. `residual`: mean distance of the found
    landmarks from the solved ones, which follow the pixels, in sides of the crop; None where nothing was solved.

    The product of two ramps that tell faces from others (score from -0.8 to 0.4, spread from 0.03 down to 0.01; of a
    solved face its whole track has told, and the nine disagree where something is before it) and of exp(-e / 4), e
    being the error in % of the eyes' distance that the three let expect over that of a perfect frame: least squares
    over rendered shots (docs/alignment.md).
    """
    ramps = np.clip((score + 0.8) / 1.2, 0, 1)
    if residual is None:
        ramps *= np.clip((0.03 - spread) / 0.02, 0, 1)
    expected = 28 * spread + 33 * (residual or 0.0) + 0.44 * (2 - np.clip(score, -1, 2))
    return float(ramps * np.exp(-expected / 4))


def cut_between(one: int, later: int, cuts: Collection[int]) -> bool:
    """Whether the shot changes after the frame `one`, up to and with the frame `later`."""
    return any(one < cut <= later for cut in cuts)


def _reunited(tracks: Sequence[dict[int, FoundFace]]) -> list[dict[int, FoundFace]]:
    """The tracks with those of one person joined: the nearest pair first, never two faces in one frame."""
    people = list(tracks)
    while True:
        pairs = [
            (_identity_distance(one, other), i, j)
            for i, one in enumerate(people)
            for j, other in enumerate(people[:i])
            if not one.keys() & other.keys()
        ]
        nearest, i, j = min(pairs, default=(np.inf, 0, 0))
        if nearest >= SAME_PERSON:
            return people
        people[j] = people[j] | people.pop(i)


def _identity_distance(one: Mapping[int, FoundFace], other: Mapping[int, FoundFace]) -> float:
    """Distance of the mean embeddings of two tracks; infinite where one has none."""
    a, b = identity(one), identity(other)
    return np.inf if a is None or b is None else float(np.linalg.norm(a - b))


def _strangers(track: Mapping[int, FoundFace], face: FoundFace) -> bool:
    """Whether a face looks like nobody that the track has seen."""
    if face.embedding is None:
        return False
    seen = _embeddings(track)
    return bool(seen) and min(float(np.linalg.norm(face.embedding - one)) for one in seen) > STRANGER


def _embeddings(track: Mapping[int, FoundFace]) -> list[Embedding]:
    return [face.embedding for face in track.values() if face.embedding is not None]


def _distance(one: FoundFace, other: FoundFace) -> float:
    """Distance of two faces' centres in face widths."""
    return float(np.hypot(*(one.centre_px - other.centre_px)) * 2 / (one.width_px + other.width_px))


def _prominence(track: Mapping[int, FoundFace]) -> float:
    return sum(face.width_px * (0.1 + confidence(face.score, face.spread)) for face in track.values())
