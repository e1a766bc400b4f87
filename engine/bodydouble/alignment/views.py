"""What the detector sees of a frame: display-encoded 8-bit pictures, of the whole or of the surroundings of a face.

Only what is looked at is asked for and converted: a face is measured on a region that is shrunk by a whole number where
it is larger than the measuring needs. The exposure is that of the whole frame, taken from strips of it (`cuts.strips`).

Faces lie in *square* pixels: where a plate's are not (`pixel_aspect`, width over height), its picture is that much
wider here. A face that is squeezed is found badly, and no similarity lays it on an upright one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.chips import CHIP_MARGIN, box_from_unit, shrink
from bodydouble.alignment.cuts import COLUMNS, EVERY_ROW, small_picture, strips
from bodydouble.alignment.geometry import apply, plate_from_square, similarity_scale
from bodydouble.alignment.halfcodes import INFINITE, Codes, averaged, interpolated
from bodydouble.plates.glances import Glance
from bodydouble.plates.plate import Plate

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]

FACE_PX = 200.0
"""A face whose box is at least twice as wide is shrunk until it is less than that."""
ROOM = 0.12
"""Room around the chip of a face, in box widths: the head turns and moves, and networks look at more."""
CLOSE_UP = np.array([(0.19, 0.05), (0.81, 0.05), (1.06, 0.30), (1.06, 0.79), (0.81, 1.04), (0.19, 1.04), (-0.06, 0.79),
                     (-0.06, 0.30)])  # fmt: skip
"""What is looked at of a face that is followed, in the unit crop: landmarks lie between 0.2 and 0.93 of its height and
patches around them reach 0.1 farther; the corners of an upright chip hold nothing that is asked for."""
LUMINANCE = np.array([0.2722, 0.6741, 0.0537], np.float32)  # ACEScg
MIDDLE_GREY = 0.18


def _code_light() -> NDArray[np.float64]:
    """(255,) the exposed light at which display code values 1 to 255 begin: sRGB (IEC 61966-2-1) with a shoulder above
    one half that keeps highlights apart, 1 - exp(1 - 2 x) / 2, which goes on with the same slope.
    """
    codes = (np.arange(255) + 0.5) / 255
    shown = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return np.where(shown <= 0.5, shown, (1 - np.log(2 * (1 - shown))) / 2)


CODE_LIGHT = _code_light()


@dataclass(frozen=True, eq=False)
class View:
    """An H×W×3 uint8 picture of a part of a frame. `view_from_plate`: 3×3 from its square pixels to the picture's."""

    image_u8: Pixels
    view_from_plate: NDArray[np.float64]

    @cached_property
    def _plate_from_view(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.view_from_plate), np.float64)

    def to_plate(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) points of the picture in the plate's square pixels."""
        return apply(self._plate_from_view, points)

    def unit_here(self, unit_from_plate: NDArray[np.float64]) -> NDArray[np.float64]:
        """The 3×3 from this picture to the unit crop."""
        return np.asarray(unit_from_plate @ self._plate_from_view)


class Views(Protocol):
    """The pictures of one frame that `aligning` measures."""

    def whole(self, size: int) -> View:
        """All of it, its longer side at most `size` pixels."""

    def around(self, unit_from_plate: NDArray[np.float64]) -> View:
        """The surroundings of the face that lies about at an alignment."""

    def close_up(self, unit_from_plate: NDArray[np.float64]) -> View:
        """What predictions look at of that face, `CLOSE_UP`: fewer rows of the frame are read for it."""

    @property
    def small(self) -> Pixels:
        """Strips of it as a small grey picture (`cuts.small_picture`)."""


class PictureViews:
    """Views of an H×W×3 uint8 picture that is display-encoded as it is."""

    def __init__(self, image_u8: Pixels) -> None:
        self._view = View(image_u8, np.eye(3))

    def whole(self, size: int) -> View:
        return _shrunk(self._view, size)

    def around(self, unit_from_plate: NDArray[np.float64]) -> View:
        return self._view

    def close_up(self, unit_from_plate: NDArray[np.float64]) -> View:
        return self._view

    @cached_property
    def small(self) -> Pixels:
        image = self._view.image_u8
        rows = [image[top:end] for top, end in strips(len(image))]
        return small_picture(np.concatenate(rows), len(rows))


class PlateViews:
    """Views of a frame.

    `convert`: from H×W×3 float32 as in the file to scene-linear ACEScg. `linear`: whether the file is scene-linear. It
    is then looked at in its own primaries, which a face shows as well: converting is dear. `face_px`: as `FACE_PX`.
    """

    def __init__(
        self,
        picture: Plate | Glance,
        convert: Callable[[np.ndarray], np.ndarray],
        linear: bool = False,
        face_px: float = FACE_PX,
    ) -> None:
        self.picture, self._convert, self._linear, self._face_px = picture, convert, linear, face_px
        self._last: tuple[Box, int, View] | None = None

    def whole(self, size: int) -> View:
        picture = self.picture
        region = (0, 0, picture.width, picture.height)
        step = _step(max(picture.width, picture.height) / size)
        if picture.pixel_aspect != 1:
            return _shrunk(self._unsqueezed(self._view(region, step)), size)
        return self._view(region, step, size)

    def around(self, unit_from_plate: NDArray[np.float64]) -> View:
        box = box_from_unit(unit_from_plate)
        width = _longer(box)
        return self._seen(unit_from_plate, box, width * CHIP_MARGIN, width * ROOM)

    def close_up(self, unit_from_plate: NDArray[np.float64]) -> View:
        return self._seen(unit_from_plate, close_box(unit_from_plate), 0.0, 0.0)

    def _seen(self, unit_from_plate: NDArray[np.float64], box: NDArray[np.float64], reach: float, room: float) -> View:
        """A box with so much around it; `room`: as much again is made, so that the next may be found there."""
        if self.picture.pixel_aspect != 1:
            return self._full
        step = _step(_longer(box_from_unit(unit_from_plate)) / self._face_px)
        needed = self._region(box, reach, step)
        if self._last is not None and self._last[1] == step and _contains(self._last[0], needed):
            return self._last[2]
        region = self._region(box, reach + room, step)
        self._last = region, step, self._view(region, step)
        return self._last[2]

    @cached_property
    def small(self) -> Pixels:
        return small_picture(_encoded(self._sparse, self._curve), len(self._strips))

    @cached_property
    def _full(self) -> View:
        return self._unsqueezed(self._view((0, 0, self.picture.width, self.picture.height), 1))

    @cached_property
    def _strips(self) -> list[tuple[int, int]]:
        return strips(self.picture.height)

    @cached_property
    def _sparse(self) -> NDArray[np.float32]:
        """Strips of the frame, one below the other, at every n-th column, scene-linear ACEScg."""
        picture, step = self.picture, max(1, self.picture.width // (4 * COLUMNS))
        rows = [picture.half_rgb((0, top, picture.width, end))[::EVERY_ROW, ::step] for top, end in self._strips]
        return np.asarray(self._convert(np.concatenate(rows).astype(np.float32)))

    @cached_property
    def _curve(self) -> Pixels:
        """Code value of each half float, by its bits."""
        return encoding_table(exposure(self._sparse))

    def _region(self, box: NDArray[np.float64], reach: float, step: int) -> Box:
        """A box with so much around it, whole squares of `step` pixels of the plate."""
        limits = np.array([self.picture.width, self.picture.height])
        low = np.clip(np.floor(box[:2] - reach), 0, limits - 1).astype(int) // step * step
        high = np.clip(np.ceil(box[2:] + reach), low + 1, limits).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _view(self, region: Box, step: int, size: int | None = None) -> View:
        """A region of the display window, averaged over squares of `step` pixels (a power of two); an odd last one is
        cut off.

        `size`: then brought to at most so many pixels, before its colour is converted: that is the dear part.
        """
        x0, y0, _, _ = region
        codes = averaged(self.picture.half_rgb(region), step)
        middle = (step - 1) / 2
        to_view = np.array([[1 / step, 0, -(x0 + middle) / step], [0, 1 / step, -(y0 + middle) / step], [0, 0, 1.0]])
        if size is not None and max(codes.shape[:2]) > size:
            fitted, view_from_larger = _fitted(codes.shape[:2], size)
            codes, to_view = interpolated(codes, *fitted), view_from_larger @ to_view
        return View(self._shown(codes), to_view)

    def _shown(self, codes: Codes) -> Pixels:
        """H×W×3 display-encoded pixels of the bits of half floats in the file's colours."""
        if not self._linear:
            return _encoded(self._convert(codes.view(np.float16).astype(np.float32)), self._curve)
        return self._curve.take(codes)

    def _unsqueezed(self, view: View) -> View:
        """The picture in square pixels: as high as it was, `pixel_aspect` times as wide."""
        aspect = self.picture.pixel_aspect
        if aspect == 1:
            return view
        image, width = view.image_u8, view.image_u8.shape[1]
        x = np.clip((np.arange(round(width * aspect)) + 0.5) / aspect - 0.5, 0, width - 1)
        left = np.minimum(x.astype(int), max(0, width - 2))
        share = (x - left)[:, None].astype(np.float32)
        right = np.minimum(left + 1, width - 1)
        wide = np.rint(image[:, left] * (1 - share) + image[:, right] * share).astype(np.uint8)
        squeeze = plate_from_square(aspect)
        return View(wide, np.linalg.inv(squeeze) @ view.view_from_plate @ squeeze)


def close_box(unit_from_plate: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) the plate's pixels, as (left, top, right, bottom), around `CLOSE_UP` of a face at an alignment."""
    corners = apply(np.linalg.inv(unit_from_plate), CLOSE_UP)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def rows_of_faces(alignments: Iterable[NDArray[np.float64]], slack: float) -> tuple[int, int]:
    """(first row, end) of the plate that `close_up` of some faces looks at, also where they have moved by so many sides
    of their crops.
    """
    rows = []
    for unit_from_plate in alignments:
        box, room = close_box(unit_from_plate), slack / similarity_scale(unit_from_plate)
        rows.append((box[1] - room, box[3] + room))
    return int(np.floor(min(top for top, _ in rows))), int(np.ceil(max(end for _, end in rows))) + 1


def _longer(box: NDArray[np.float64]) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _contains(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def exposure(rgb: NDArray[np.float32]) -> float:
    """The factor that brings the median luminance of scene-linear ACEScg to middle grey, at most four stops.

    So a face in a dark or an over-bright plate has contrast. NaN, Inf and black are not looked at.
    """
    luminance = np.nan_to_num(rgb, nan=0.0, posinf=0.0, neginf=0.0) @ LUMINANCE
    visible = luminance[luminance > 1e-4]
    middle = float(np.median(visible)) if visible.size else MIDDLE_GREY
    return float(np.clip(MIDDLE_GREY / middle, 1 / 16, 16))


def encoding_table(factor: float) -> Pixels:
    """(65536,) display code value of each half float, by its bits: exposed by a factor, sRGB with a shoulder.

    The shoulder above one half keeps highlights apart. NaN and what is below 0 are black, Inf is white.
    """
    halves = np.arange(INFINITE + 1, dtype=np.uint16).view(np.float16).astype(np.float32)
    reached = np.searchsorted(halves, CODE_LIGHT / factor)
    table = np.zeros(1 << 16, np.uint8)
    table[: INFINITE + 1] = np.repeat(np.arange(256), np.diff(reached, prepend=0, append=INFINITE + 1))
    return table


def _encoded(rgb: NDArray[np.float32], curve: Pixels) -> Pixels:
    with np.errstate(over="ignore"):  # beyond half it is as bright as Inf
        return curve.take(rgb.astype(np.float16).view(np.uint16))


def _step(ratio: float) -> int:
    """The largest power of two up to a ratio, at least 1."""
    return 1 << max(0, int(np.floor(np.log2(max(ratio, 1.0)))))


def _shrunk(view: View, size: int) -> View:
    height, width = view.image_u8.shape[:2]
    if max(height, width) <= size:
        return view
    fitted, scale = _fitted((height, width), size)
    return View(shrink(view.image_u8, *fitted), scale @ view.view_from_plate)


def _fitted(shape: tuple[int, int], size: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Rows and columns of a picture whose longer side is brought to `size`, and the 3×3 to its pixels."""
    rows, columns = (max(1, round(side * size / max(shape))) for side in shape)
    per_x, per_y = columns / shape[1], rows / shape[0]
    # Outer corners lie on outer corners.
    return (rows, columns), np.array([[per_x, 0, (per_x - 1) / 2], [0, per_y, (per_y - 1) / 2], [0, 0, 1.0]])
