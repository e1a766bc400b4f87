"""Chips: upright 8-bit cut-outs of a face for the detector's models, and shrunk pictures.

Points are pixels, (0, 0) the centre of the first one. Chips are square; black where they reach over the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.alignment.geometry import apply, crop_from_unit, similarity_matrix, similarity_scale, translation

Sampler = Callable[[NDArray[np.uint8], NDArray[np.float64], int], NDArray[np.uint8]]
"""Takes `side`² pixels of an H×W×3 picture by bilinear interpolation, black outside: (picture, the 3×3 from the chip's
pixels to the picture's, side)."""

DETECTOR_BOX = np.array([0.15, 0.127, 0.85, 0.827])
"""Where the detector puts its box, as (left, top, right, bottom) in the unit crop: the median over rendered shots."""
BOX_WIDTH = 0.7
"""Its width there: spreads and shifts of landmarks are stated in widths of the box."""
CHIP_MARGIN, WIDE_MARGIN = 0.3, 0.4
"""Room around the box in a chip, in box widths. Chins and shifted boxes reach beyond it: from 0.25 on dlib's landmarks
are the same ones. Networks look at more."""

FILTERED = 0.4
"""Below this scale a picture is filtered before it is sampled; above it, bilinear sampling hardly aliases."""
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


def cut_chip(
    image_u8: NDArray[np.uint8],
    unit_from_plate: NDArray[np.float64],
    box_px: float,
    sample: Sampler,
    margin: float = CHIP_MARGIN,
) -> Chip:
    """Cut the face at `unit_from_plate` out upright, its box `box_px` wide, a margin around it; black outside."""
    scale = box_px / (DETECTOR_BOX[2] - DETECTOR_BOX[0])
    edge = margin * box_px
    chip_from_unit = np.array([[scale, 0, edge], [0, scale, edge], [0, 0, 1.0]])
    chip_from_unit[:2, 2] -= DETECTOR_BOX[:2] * scale
    chip_from_plate = chip_from_unit @ unit_from_plate
    side = round(box_px + 2 * edge) + 1
    box = np.array([edge, edge, edge + box_px, edge + box_px])
    return Chip(resample(image_u8, chip_from_plate, side, sample), box, chip_from_plate)


def face_picture(
    image_u8: NDArray[np.uint8], unit_from_plate: NDArray[np.float64], sample: Sampler
) -> NDArray[np.uint8]:
    """The unit crop at an alignment in grey (luma of H×W×3 display-encoded RGB), `PICTURE_SIDE`² uint8.

    `sample` is asked for pixels of one channel here.
    """
    crop_from_plate = crop_from_unit(PICTURE_SIDE) @ unit_from_plate
    plate_from_crop = np.asarray(np.linalg.inv(crop_from_plate), np.float64)
    x0, y0, x1, y1 = _region_under(image_u8, plate_from_crop, PICTURE_SIDE)
    crop_from_region = crop_from_plate @ translation(x0, y0)
    return resample(_grey(image_u8[y0:y1, x0:x1]), crop_from_region, PICTURE_SIDE, sample)


def _grey(image_u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (Rec. 601) of H×W×3, rounded."""
    red, green, blue = (np.multiply(image_u8[..., i], w, dtype=np.uint16) for i, w in enumerate((77, 150, 29)))
    return ((red + green + blue + 128) >> 8).astype(np.uint8)


def resample(
    image_u8: NDArray[np.uint8], chip_from_plate: NDArray[np.float64], side: int, sample: Sampler | None = None
) -> NDArray[np.uint8]:
    """`side`² pixels of a picture through a similarity, bilinear, black outside; filtered first if it shrinks much.

    `sample`: None for numpy's own, which is exact and several times slower than dlib's.
    """
    if similarity_scale(chip_from_plate) < FILTERED:
        # From outer corner to outer corner, at twice the size.
        twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]]) @ chip_from_plate
        return _halved(resample(image_u8, twice, 2 * side, sample))
    plate_from_chip = np.asarray(np.linalg.inv(chip_from_plate), np.float64)
    return (_bilinear if sample is None else sample)(image_u8, plate_from_chip, side)


def _halved(image_u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of squares of four pixels of a picture with even sides."""
    rows = np.add(image_u8[::2], image_u8[1::2], dtype=np.uint16)
    return ((rows[:, ::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def _region_under(
    image: NDArray[np.uint8], plate_from_chip: NDArray[np.float64], side: int
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels that a chip of `side`² looks at, two more around."""
    corners = apply(plate_from_chip, np.array([(0, 0), (side, 0), (0, side), (side, side)], np.float64))
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(axis=0) - 2), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0) + 2), (x0 + 1, y0 + 1), (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _bilinear(image: NDArray[np.uint8], image_from_chip: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """`side`² pixels of the H×W×3 picture through an affine matrix, to 1/256 of a pixel and of a code."""
    height, width = image.shape[:2]
    framed = np.zeros((height + 3, width + 3, 4), np.uint8)
    framed[1:-2, 1:-2, :3] = image
    packed = framed.view(np.uint32).ravel()
    steps, matrix = np.arange(side, dtype=np.float32), image_from_chip.astype(np.float32)
    x = (matrix[0, 0] * steps + (matrix[0, 2] + 1)) + (matrix[0, 1] * steps)[:, None]
    y = (matrix[1, 0] * steps + (matrix[1, 2] + 1)) + (matrix[1, 1] * steps)[:, None]
    whole_x = (np.clip(x, 0, width + 1) * 256 + 0.5).astype(np.int32)
    whole_y = (np.clip(y, 0, height + 1) * 256 + 0.5).astype(np.int32)
    share_x, share_y = (whole_x & 255).astype(np.uint32), (whole_y & 255).astype(np.uint32)
    at = (whole_y >> 8) * (width + 3) + (whole_x >> 8)
    upper = _mixed(packed.take(at), packed.take(at + 1), share_x)
    at += width + 3
    lower = _mixed(packed.take(at), packed.take(at + 1), share_x)
    mixed = _mixed(upper, lower, share_y).view(np.uint8).reshape(side, side, 4)
    return np.ascontiguousarray(mixed[..., :3])


def _mixed(one: NDArray[np.uint32], other: NDArray[np.uint32], share: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Pixels of four 8-bit channels in a word, mixed by shares of 256: two channels at a time, 16 bits for each."""
    two, half, left = np.uint32(0x00FF00FF), np.uint32(0x00800080), np.uint32(256) - share
    even = (((one & two) * left + (other & two) * share + half) >> 8) & two
    odd = (((one >> 8) & two) * left + ((other >> 8) & two) * share + half) & ~two
    return np.asarray(even | odd, np.uint32)


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
