"""Whom a face looks like and what it does: identity, landmarks, pose and expression, as numbers.

Landmarks are (68, 2) in pixels, iBUG order, any one pixel convention for all arguments; series of them (N, 68, 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INNER = slice(17, 68)  # without the jaw line, which 2-D detectors slide along the visible outline
OUTER_EYE_CORNERS = (36, 45)
MOVING = np.array([*range(17, 27), *range(36, 68)])
"""Brows, eyes and mouth: what an expression moves."""

RIGID = (36, 39, 42, 45, *range(27, 36))
_RIGID_HEAD = np.array(
    [
        (-0.500, 0.003, 0.000), (-0.200, 0.025, -0.068), (0.195, 0.023, -0.065), (0.500, -0.003, 0.000),
        (-0.001, -0.022, -0.245), (0.000, 0.109, -0.316), (0.000, 0.228, -0.396), (-0.001, 0.354, -0.475),
        (-0.148, 0.516, -0.262), (-0.071, 0.519, -0.316), (-0.002, 0.530, -0.336), (0.068, 0.520, -0.322),
        (0.146, 0.518, -0.274),
    ]
)  # fmt: skip
"""Corners of the eyes and the nose of a mean head, in distances of the outer eye corners; x right, y down, z away.

Triangulated from the true landmarks of the rendered shot sh010, mean of the three personas.
"""


# ---------------------------------------------------------------- identity


@dataclass(frozen=True)
class Identity:
    """How near one face is to a set of reference faces (dlib ResNet embeddings); lower is nearer.

    `euclidean` is the distance to the references' mean embedding (dlib calls two faces one person below 0.6),
    `cosine` is 1 − cosine similarity to it, `nearest` the Euclidean distance to the nearest single reference.
    """

    euclidean: float
    cosine: float
    nearest: float


def identity(embedding: NDArray, references: NDArray) -> Identity:
    """Distances of an embedding (128,) to one person's reference embeddings (N, 128).

    The mean embedding stands for the person: mean distance to the single frames would favour whoever has the tighter
    set.
    """
    references = np.atleast_2d(references).astype(np.float64)
    mean = references.mean(axis=0)
    cosine = 1 - float(embedding @ mean / (np.linalg.norm(embedding) * np.linalg.norm(mean)))
    single = np.linalg.norm(references - embedding, axis=1)
    return Identity(float(np.linalg.norm(embedding - mean)), cosine, float(single.min()))


def identity_margin(embedding: NDArray, references: Mapping[str, NDArray], persona: str) -> float:
    """Euclidean distance to the nearest *other* person minus that to `persona`; above 0 the face reads as the persona.

    `references` maps a person's name to embeddings (N, 128) and holds `persona` and at least one other, the performer
    first of all. Higher is better. Distances as in `identity`.
    """
    distances = {name: identity(embedding, faces).euclidean for name, faces in references.items()}
    own = distances.pop(persona)
    return min(distances.values()) - own


# ---------------------------------------------------------------- landmarks


def eye_distance(landmarks: NDArray) -> NDArray:
    """Distance of the outer eye corners, of (…, 68, 2)."""
    left, right = (landmarks[..., index, :] for index in OUTER_EYE_CORNERS)
    return np.asarray(np.linalg.norm(right - left, axis=-1))


def landmark_error(result: NDArray, truth: NDArray) -> float:
    """Mean distance of the 51 inner landmarks in percent of the truth's outer-eye-corner distance; lower is better."""
    distance = np.linalg.norm(result[INNER] - truth[INNER], axis=1).mean()
    return float(100 * distance / eye_distance(truth))


def head_pose(landmarks: NDArray) -> NDArray[np.float64]:
    """(3,) yaw, pitch, roll in degrees: yaw > 0 turns to image right, pitch > 0 looks up, roll > 0 tilts clockwise.

    The corners of the eyes and the nose of a mean head, fitted by scaled orthography: the affine map that fits best,
    made a rotation (DeMenthon and Davis 1995, the first step of POSIT). Another face's proportions shift and scale the
    angles; compare those of one person, or take the mean difference away.
    """
    head = _RIGID_HEAD - _RIGID_HEAD.mean(axis=0)
    seen = landmarks[list(RIGID)].astype(np.float64)
    affine = np.linalg.lstsq(head, seen - seen.mean(axis=0), rcond=None)[0].T  # 2×3
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    x, y = left @ right
    facing = -np.array([x[2], y[2], np.cross(x, y)[2]])  # of the head's −z, towards the camera
    yaw, pitch = np.arctan2(facing[0], -facing[2]), np.arcsin(np.clip(-facing[1], -1, 1))
    return np.degrees([yaw, pitch, np.arctan2(y[0], x[0])])


def pose_errors(result: NDArray, performer: NDArray) -> NDArray[np.float64]:
    """(N,) degrees by which the result's head is turned otherwise than the performer's, lower is better.

    result, performer: (N, 68, 2). The root of the mean square of the three angles, after their median difference over
    the series is taken away: what is left of it is the other face's shape, not its motion.
    """
    pairs = zip(result, performer, strict=True)
    angles = np.array([head_pose(now) - head_pose(then) for now, then in pairs])
    return np.asarray(np.sqrt(((angles - np.median(angles, axis=0)) ** 2).mean(axis=1)))


def expression_errors(result: NDArray, performer: NDArray) -> NDArray[np.float64]:
    """(N,) mean distance in % of the eye distance by which brows, eyes and mouth move otherwise; lower is better.

    result, performer: (N, 68, 2) in pixels of an aligned crop, where the head stands still. Each face's own median
    over the series is taken away first, so that another face may have another mouth.
    """
    moved, wanted = (series[:, MOVING] - np.median(series[:, MOVING], axis=0) for series in (result, performer))
    return np.asarray(100 * np.linalg.norm(moved - wanted, axis=2).mean(axis=1) / np.median(eye_distance(performer)))


def jitters(result: NDArray, performer: NDArray) -> NDArray[np.float64]:
    """(N − 2,) shaking of the result's landmarks that is not the performer's, in % of the eye distance.

    result, performer: (N, 68, 2) of consecutive frames. Mean length of the second difference in time of the inner 51
    landmarks' differences: steady motion cancels.
    """
    apart = (result - performer)[:, INNER]
    second = apart[:-2] - 2 * apart[1:-1] + apart[2:]
    return np.asarray(100 * np.linalg.norm(second, axis=2).mean(axis=1) / np.median(eye_distance(performer)))
