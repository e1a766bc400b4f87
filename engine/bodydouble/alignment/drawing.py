"""Faces drawn over a picture, for the eye: landmarks, outline, box, crop and confidence.

Pictures are H×W×3 floats in [0, 1] as a screen shows them; points are their pixels, (0, 0) the centre of the first.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply
from bodydouble.alignment.outline import face_outline
from bodydouble.alignment.shotfaces import Face

Picture = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

SURE: Colour = (0.2, 1.0, 0.3)
UNSURE: Colour = (1.0, 0.15, 0.1)
FILLED: Colour = (0.3, 0.6, 1.0)
"""Of landmarks at confidence 1 and 0, and of faces that were filled in from their neighbours."""
OUTLINE: Colour = (1.0, 0.85, 0.2)
CROP: Colour = (0.8, 0.8, 0.8)

# Rows of 3 bits each.
_GLYPHS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 3, 1, 7), "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 2, 2, 2), "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7),
    ".": (0, 0, 0, 0, 2), "#": (5, 7, 5, 7, 5), " ": (0, 0, 0, 0, 0),
}  # fmt: skip


def draw_face(picture: Picture, face: Face, forehead: float = 0.6) -> None:
    """Draw a face into the picture: landmarks from green (sure) to red, blue where filled in; the outline, the
    detector's box, the aligned crop; over it the person's id and the confidence, as "#0 0.87".
    """
    thick = max(1.0, float(face.box_px[2] - face.box_px[0]) / 250)
    left, top, right, bottom = face.box_px
    corners = apply(np.linalg.inv(face.unit_from_plate), [(0, 0), (1, 0), (1, 1), (0, 1)])
    draw_lines(picture, _closed(corners), CROP, thick * 0.6)
    draw_lines(
        picture, _closed(np.array([(left, top), (right, top), (right, bottom), (left, bottom)])), CROP, thick * 0.4
    )
    draw_lines(picture, _closed(face_outline(face.landmarks_px, forehead)), OUTLINE, thick * 0.8)
    sure, unsure = np.array(SURE), np.array(UNSURE)
    colour = FILLED if face.interpolated else tuple(face.confidence * sure + (1 - face.confidence) * unsure)
    for point in face.landmarks_px:
        draw_lines(picture, np.stack([point, point]), colour, 1.6 * thick)
    draw_text(picture, f"#{face.person} {face.confidence:.2f}", corners[0], colour, max(2, round(2 * thick)))


def draw_lines(picture: Picture, points: Points, colour: Colour, radius: float) -> None:
    """Draw the (K, 2) polyline with round ends, anti-aliased, over the picture; `radius`: half its width in pixels."""
    height, width = picture.shape[:2]
    reach = radius + 1
    for start, end in pairwise(points):
        x0, y0 = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(np.maximum(start, end) + reach) + 1, (width, height)).astype(int)
        if x0 >= x1 or y0 >= y1:
            continue
        y, x = np.mgrid[y0:y1, x0:x1]
        along = end - start
        length = max(float(along @ along), 1e-12)
        share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1)
        distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None].astype(np.float32)
        region = picture[y0:y1, x0:x1]
        region += cover * (np.array(colour, np.float32) - region)


def draw_text(picture: Picture, text: str, at: Points, colour: Colour, size: int) -> None:
    """Write digits, "#" and "." upwards from `at` (x, y), letters of 3 × 5 dots of `size` pixels."""
    height, width = picture.shape[:2]
    x, y = round(float(at[0])), round(float(at[1])) - 7 * size
    for letter in text:
        for row, bits in enumerate(_GLYPHS[letter]):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    left, top = x + column * size, y + row * size
                    right, bottom = min(left + size, width), min(top + size, height)
                    picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = colour
        x += 4 * size


def _closed(points: Points) -> Points:
    return np.concatenate([points, points[:1]])
