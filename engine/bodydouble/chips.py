"""Chips: upright 8-bit cut-outs of a face for the detector's models, and shrunk pictures.

Points are pixels, (0, 0) the centre of the first one. Chips are square; black where they reach over the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.geometry import apply, crop_from_unit, similarity_matrix, similarity_scale

DETECTOR_BOX = np.array([0.15, 0.127, 0.85, 0.827])
"""Where the detector puts its box, as (left, top, right, bottom) in the unit crop: the median over rendered shots."""
BOX_WIDTH = 0.7
"""Its width there: spreads and shifts of landmarks are stated in widths of the box."""
CHIP_MARGIN = 0.4
"""Room around the box in a chip, in box widths: chins and shifted boxes reach beyond it."""

PICTURE_SIDE = 256
"""Pixels across the grey picture of an aligned face that is registered with its neighbours in time."""


@dataclass(frozen=True, eq=False)
class Chip:
    """A face cut out upright: the picture, the detector's box in it, and the 3×3 from the plate's pixels to its own."""

    image: NDArray[np.uint8]
    box: NDArray[np.float64]
    chip_from_plate: NDArray[np.float64]

    def to_chip(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the plate in the chip."""
        return apply(self.chip_from_plate, points)

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the chip in the plate it was cut from."""
        return apply(np.linalg.inv(self.chip_from_plate), points)


def unit_from_box(box_px: ArrayLike) -> NDArray[np.float64]:
    """The 3×3 alignment of an upright face in a detector's box (left, top, right, bottom)."""
    box = np.asarray(box_px, np.float64)
    width = box[2] - box[0]
    if not (np.isfinite(box).all() and width > 0 and box[3] > box[1]):
        raise ValueError(f"need a box (left, top, right, bottom) with an area, got {box.tolist()}")
    centre = (DETECTOR_BOX[:2] + DETECTOR_BOX[2:]) / 2
    return similarity_matrix((DETECTOR_BOX[2] - DETECTOR_BOX[0]) / width, 0.0, (box[:2] + box[2:]) / 2, centre)


def box_from_unit(unit_from_plate: ArrayLike) -> NDArray[np.float64]:
    """(4,) the detector's box of a face at an alignment; around the turned box if the head is tilted."""
    left, top, right, bottom = DETECTOR_BOX
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    points = apply(np.linalg.inv(np.asarray(unit_from_plate, np.float64)), corners)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def cut_chip(image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64], box_px: float) -> Chip:
    """Cut the face at `unit_from_plate` out upright, with a margin, its box `box_px` wide; black outside."""
    scale = box_px / (DETECTOR_BOX[2] - DETECTOR_BOX[0])
    margin = CHIP_MARGIN * box_px
    chip_from_unit = np.array([[scale, 0, margin], [0, scale, margin], [0, 0, 1.0]])
    chip_from_unit[:2, 2] -= DETECTOR_BOX[:2] * scale
    chip_from_plate = chip_from_unit @ unit_from_plate
    side = round(box_px + 2 * margin) + 1
    box = np.array([margin, margin, margin + box_px, margin + box_px])
    return Chip(resample(image_u8, chip_from_plate, side), box, chip_from_plate)


def face_picture(image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The unit crop at an alignment in grey (luma of H×W×3 display-encoded RGB), `PICTURE_SIDE`² uint8."""
    crop = resample(image_u8, crop_from_unit(PICTURE_SIDE) @ unit_from_plate, PICTURE_SIDE)
    return np.rint(crop @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)


def resample(image_u8: NDArray[np.uint8], chip_from_plate: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """`side`² pixels of the picture through a similarity, bilinear; filtered first where it shrinks; black outside."""
    scale = similarity_scale(chip_from_plate)
    picture = image_u8
    plate_from_chip = np.asarray(np.linalg.inv(chip_from_plate), np.float64)
    if scale < 1:
        picture, small_from_plate = _shrunk_region(image_u8, plate_from_chip, side, scale)
        plate_from_chip = small_from_plate @ plate_from_chip
    x, y = plate_from_chip[:2, 0], plate_from_chip[:2, 1]
    steps = np.arange(side)
    grid = steps[None, :, None] * x + steps[:, None, None] * y + plate_from_chip[:2, 2]  # side, side, 2
    return _bilinear(picture, grid)


def _shrunk_region(
    image: NDArray[np.uint8], plate_from_chip: NDArray[np.float64], side: int, scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of the picture under a chip, shrunk by `scale`, and the 3×3 from plate pixels to its own."""
    corners = apply(plate_from_chip, np.array([(0, 0), (side, 0), (0, side), (side, side)], np.float64))
    pad = 2 / scale
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(axis=0) - pad), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0) + pad), (x0 + 1, y0 + 1), (width, height)).astype(int)
    rows, columns = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
    per_x, per_y = columns / (x1 - x0), rows / (y1 - y0)
    small_from_plate = np.array(
        [[per_x, 0, (0.5 - x0) * per_x - 0.5], [0, per_y, (0.5 - y0) * per_y - 0.5], [0, 0, 1.0]]
    )
    return shrink(image[y0:y1, x0:x1], rows, columns), small_from_plate


def _bilinear(image: NDArray[np.uint8], grid: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The picture at (..., 2) real positions, x and y from pixel centres."""
    framed = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    limit = np.array([image.shape[1], image.shape[0]], np.float64)
    at = np.clip(grid + 1, 0, limit + 0.999)
    whole = at.astype(np.intp)
    fx, fy = np.moveaxis((at - whole).astype(np.float32), -1, 0)[..., None]
    x, y = whole[..., 0], whole[..., 1]
    upper = framed[y, x] * (1 - fx) + framed[y, x + 1] * fx
    lower = framed[y + 1, x] * (1 - fx) + framed[y + 1, x + 1] * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)


def shrink(image_u8: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """The whole picture at `rows` × `columns`, outer corners on outer corners, filtered against aliasing."""
    per_y, per_x = image_u8.shape[0] / rows, image_u8.shape[1] / columns
    y = (np.arange(rows) + 0.5) * per_y - 0.5
    x = (np.arange(columns) + 0.5) * per_x - 0.5
    small = _sample_rows(image_u8.astype(np.float32), y, 1 / per_y)
    small = _sample_rows(small.swapaxes(0, 1), x, 1 / per_x).swapaxes(0, 1)
    return np.ascontiguousarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


def _sample_rows(image: NDArray[np.float32], positions: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """Rows of (N, M, C) at real positions by a triangle filter `1 / scale` rows wide to each side."""
    radius = max(1.0, 1.0 / scale)
    taps = np.floor(positions - radius).astype(int)[:, None] + 1 + np.arange(int(np.ceil(2 * radius)))  # R, T
    weights = np.clip(1.0 - np.abs(taps - positions[:, None]) / radius, 0.0, None)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    taps = np.clip(taps, 0, image.shape[0] - 1)
    result = np.zeros((len(positions), *image.shape[1:]), np.float32)
    for tap in range(taps.shape[1]):
        result += weights[:, tap, None, None] * image[taps[:, tap]]
    return result
