"""Landmarks of a face that lies about at a known place: the interface of landmarkers, and the nine-fold average.

Pictures are H×W×3 uint8, display-encoded RGB. Points are pixels, (0, 0) the centre of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.chips import BOX_WIDTH, unit_from_box
from bodydouble.alignment.geometry import similarity_scale, unit_from_landmarks

Points = NDArray[np.float64]

NINE: Points = np.array([(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)])
"""Where the nine predictions look: shifts in steps of `beta` box widths, right and down."""
THREES = tuple(NINE[list(three)] for three in ((0, 5, 7), (6, 1, 5), (8, 1, 3), (2, 3, 7)))
"""Three of them that cancel out and lie as far off as the nine on average; each a quarter turn on from the one before.
A face that is followed is looked at by one of the threes, in turn by the frame number: the shot solve averages over
frames, so frame by frame the nine say little more (docs/alignment.md)."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """K predictions of one face, in pixels of the picture.

    `points_px`: (K, 68, 2), iBUG order. `irises_px`: (K, 2, 2) centres of the irises, image left first; `oval_px`:
    (K, 36, 2) the outline of the face with the forehead, clockwise on screen from the middle of the hairline; None
    where the landmarker knows none. `presence`: (K,) how surely a face is there at all, 0..1; None likewise.
    """

    points_px: Points
    irises_px: Points | None = None
    oval_px: Points | None = None
    presence: Points | None = None


class Landmarker(Protocol):
    """Where the 68 landmarks of a face lie. One landmarker belongs to one thread."""

    def load(self) -> None:
        """Load the model now, which is else loaded when it is first used. Raises InputError if it is missing."""

    def first(self, image_u8: NDArray[np.uint8], unit_from_plate: Points) -> Points:
        """(68, 2) one prediction on the face that lies somewhere near `unit_from_plate`: enough to align it."""

    def predict(self, image_u8: NDArray[np.uint8], unit_from_plate: Points, shifts: Points) -> Prediction:
        """Predictions of the face that lies about at the 3×3 `unit_from_plate`, looked for `shifts` away from there.

        `shifts`: (K, 2) in sides of the unit crop. The results are the same pixels of the picture whatever the shift.
        """


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The nine-fold landmarks of one face, in pixels.

    `points_px`: (68, 2), iBUG order. `spread`: how far the nine predictions lie apart (RMS, in widths of the detector's
    box; of three, what nine are expected to have). `irises_px`: (2, 2), `oval_px`: (36, 2), `presence`: as in
    `Prediction`, the mean.
    """

    points_px: Points
    spread: float
    irises_px: Points | None = None
    oval_px: Points | None = None
    presence: float | None = None


def landmarks_in_box(
    landmarker: Landmarker, image_u8: NDArray[np.uint8], box_px: ArrayLike, beta: float = 0.05
) -> Landmarks:
    """Nine-fold landmarks of the face in a detector's box.

    The detector's boxes jump in steps of a fifth of their width and never turn with the head. So a first prediction
    on the box only aligns the face, and the nine are made as `refined_landmarks` says.
    """
    first = landmarker.first(image_u8, unit_from_box(box_px))
    return refined_landmarks(landmarker, image_u8, unit_from_landmarks(first), beta)


def refined_landmarks(
    landmarker: Landmarker,
    image_u8: NDArray[np.uint8],
    unit_from_plate: ArrayLike,
    beta: float = 0.05,
    looks: Points = NINE,
) -> Landmarks:
    """Mean of nine predictions (or `looks`) on the upright face that lies about at `unit_from_plate`.

    One where the detector would put its box, eight shifted by `beta` of the box's width: Naruniec et al.,
    *High-Resolution Neural Face Swapping for Visual Effects*, EGSR 2020, section 3.1.
    """
    unit = np.asarray(unit_from_plate, np.float64)
    found = landmarker.predict(image_u8, unit, looks * (beta * BOX_WIDTH))
    mean = found.points_px.mean(axis=0)
    square_px = float(((found.points_px - mean) ** 2).sum(axis=2).mean())
    # The mean of a few lies nearer to each of them than that of many.
    square_px *= (len(NINE) - 1) / len(NINE) * len(looks) / (len(looks) - 1)
    return Landmarks(
        mean,
        np.sqrt(square_px) * similarity_scale(unit) / BOX_WIDTH,
        _mean(found.irises_px),
        _mean(found.oval_px),
        None if found.presence is None else float(found.presence.mean()),
    )


def _mean(points: Points | None) -> Points | None:
    return None if points is None else np.asarray(points.mean(axis=0))
