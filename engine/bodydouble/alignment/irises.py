"""Irises and face oval over a run of frames: what a mesh landmarker knows beyond the 68 landmarks.

They were measured in the crop of the landmarks as found; here they come into the solved crop and are smoothed there.
Eyes jump from one place to the next within a frame or two, so irises hardly; the oval is the skull's, so it may creep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.people import FoundFace
from bodydouble.alignment.shotfaces import Face
from bodydouble.alignment.smoothing import local_fit

IRIS_FRAMES, IRIS_SIGMA = 4, 0.7
OVAL_FRAMES, OVAL_SIGMA = 12, 5.0
"""Frames to either side that count for a frame, and the standard deviation of how much (`smoothing.local_fit`)."""


def with_irises(faces: Mapping[int, FoundFace], solved: Mapping[int, Face]) -> dict[int, Face]:
    """The solved faces of one run with their irises and ovals, those between measured frames filled in.

    `faces`: what was measured, by frame. Faces come back as they are where no measured frame knows irises and oval.
    """
    known = [frame for frame in sorted(faces) if faces[frame].irises_unit is not None and frame in solved]
    if not known:
        return dict(solved)
    frames = range(min(solved), max(solved) + 1)
    found = np.zeros((len(frames), 38, 2))
    weights = np.zeros(len(frames))
    for frame in known:
        face = faces[frame]
        marks = np.concatenate([np.asarray(face.irises_unit), np.asarray(face.oval_unit)])
        found[frame - frames[0]] = apply(solved[frame].unit_from_plate @ np.linalg.inv(face.unit_from_plate), marks)
        weights[frame - frames[0]] = 1.0
    irises = _smooth(found[:, :2], weights, IRIS_FRAMES, IRIS_SIGMA)
    oval = _smooth(found[:, 2:], weights, OVAL_FRAMES, OVAL_SIGMA)
    return {
        frame: replace(face, irises_unit=irises[frame - frames[0]], oval_unit=oval[frame - frames[0]])
        for frame, face in solved.items()
    }


def _smooth(points: NDArray[np.float64], weights: NDArray[np.float64], reach: int, sigma: float) -> NDArray[np.float64]:
    """(N, K, 2) points smoothed along N."""
    return local_fit(points.reshape(len(points), -1), weights, reach, sigma).reshape(points.shape)
