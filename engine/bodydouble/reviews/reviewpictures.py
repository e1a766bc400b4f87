"""The pictures of a review, made in one pass over the shot: contact sheet, wipe, frames to look at first, movie.

Few frames are kept: those that are shown. Pictures go through the OpenColorIO view at the size they are shown in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, similarity_scale
from bodydouble.errors import PlateError
from bodydouble.plates import reading
from bodydouble.plates.colour import Converter
from bodydouble.plates.movies import Codec, movie_writer
from bodydouble.reviews.measuring import FrameReview, Material, Region, face_under, matte_of
from bodydouble.reviews.reviewpage import (
    CELL_PX,
    FramePictures,
    Picture,
    contact_sheet,
    data_uri,
    difference,
    fit,
    jpeg,
    shrink,
    side_by_side,
)

if TYPE_CHECKING:
    from bodydouble.alignment.shotfaces import Face
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.plate import Plate

_SHEET_FRAMES, _WIPE_FRAMES = 8, 24
_WIDE_PX, _FACE_PX = 960, 640
_WORST_PX = 1452


@dataclass(frozen=True)
class Viewing:
    """How people see the pictures: names of the OpenColorIO config; None for its default display, the display's own
    view, no look.
    """

    display: str | None = None
    view: str | None = None
    look: str | None = None

    def converter(self, colour: Colour, space: str) -> Converter:
        """From a colour space to the screen. Errors: UnknownColourSpaceError."""
        return colour.display(space, self.view, self.display, self.look)

    def title(self, colour: Colour) -> str:
        """What the pictures were seen through."""
        display = self.display or colour.default_display()[0]
        name = f"{self.view or colour.default_view(display)} ({display})"
        return f"{name}, look: {self.look}" if self.look else name


@dataclass(frozen=True)
class MovieWish:
    """A movie of all frames, plate beside result: where, in which codec, at how many frames a second."""

    path: Path
    codec: Codec
    rate: Fraction


@dataclass(frozen=True)
class ShownFrame:
    """One frame's pictures as `data:` addresses, for the page; None where there is no result."""

    frame: int
    note: str
    plate: str
    result: str | None
    face_plate: str
    face_result: str | None


@dataclass(frozen=True)
class WorstFrame:
    """A frame to look at first: why, and plate face, result face and difference as one `data:` address."""

    frame: int
    reason: str
    picture: str


@dataclass(frozen=True)
class ReviewPictures:
    """All pictures of a review: the contact sheet as drawn, the others as the page holds them."""

    sheet: Picture
    wipe: tuple[ShownFrame, ...]
    worst: tuple[WorstFrame, ...]


def make_pictures(
    material: Material,
    frames: Sequence[FrameReview],
    worst: Sequence[tuple[FrameReview, str]],
    viewing: Viewing,
    heading: tuple[str, str],
    movie: MovieWish | None,
) -> ReviewPictures:
    """Read the frames that are shown once more and make every picture of them.

    Args:
        material: the sequences.
        frames: the figures of all frames, in order.
        worst: frames to look at first, with the reason.
        viewing: what the pictures are seen through.
        heading: title and second line of the contact sheet.
        movie: also write a movie of every frame; None for none.

    Errors: PlateError for a result that has become unreadable; OutputError, InputError for the movie.
    """
    reasons = {found.frame: reason for found, reason in worst}
    on_sheet = {found.frame for found in _spread(frames, _SHEET_FRAMES)}
    on_wipe = {found.frame for found in _spread(frames, _WIPE_FRAMES)} | set(reasons)
    columns: list[FramePictures] = []
    wipe: list[ShownFrame] = []
    first: dict[int, WorstFrame] = {}
    row_height = 0
    with _film(movie) as film:
        for found in frames:
            if movie is None and found.frame not in on_sheet | on_wipe:
                continue
            shown = _show(material, found, viewing)
            row_height = row_height or max(1, round(CELL_PX * shown.plate.shape[0] / shown.plate.shape[1]))
            if found.frame in on_sheet:
                columns.append(_column(found, shown, row_height))
            if found.frame in on_wipe:
                wipe.append(_on_wipe(found, shown))
            if found.frame in reasons:
                first[found.frame] = WorstFrame(found.frame, reasons[found.frame], _row(shown))
            film(shown)
    sheet = contact_sheet(columns, [row_height] * 3 + [CELL_PX] * 2, *heading)
    return ReviewPictures(sheet, tuple(wipe), tuple(first[frame] for frame in reasons))


def _spread(frames: Sequence[FrameReview], count: int) -> list[FrameReview]:
    """Up to `count` frames at even distances, the first and the last among them."""
    picks = np.unique(np.round(np.linspace(0, len(frames) - 1, min(count, len(frames)))).astype(int))
    return [frames[index] for index in picks]


# ---------------------------------------------------------------- one frame


@dataclass(frozen=True)
class _Shown:
    """Display-referred pictures of one frame, as large as they are shown; the result's are None when there is none."""

    plate: Picture
    result: Picture | None
    face_plate: Picture
    face_result: Picture | None


def _show(material: Material, found: FrameReview, viewing: Viewing) -> _Shown:
    """Read a frame again for its pictures: few are shown, so none is kept while measuring."""
    try:
        plate = reading.read_frame(material.plate, found.frame)
    except PlateError:
        return _black(material)
    result = reading.read_frame(material.result, found.frame) if found.status in ("done", "untouched") else None
    convert = viewing.converter(material.colour, material.space(plate))
    matte = np.zeros((plate.height, plate.width), np.float32)
    if result is not None:
        matte = matte_of(result, result.rgb(), plate.rgb())
    square = _close_up(matte, face_under(matte, material.faces(found.frame)))

    def shown(picture: Plate, region: Region | None, width: int) -> Picture:
        # Shrunk first: a view transform costs most of a second per 4K frame, and light averages rightly before it.
        light = shrink(np.nan_to_num(picture.rgb(region), nan=0.0, posinf=65504.0, neginf=0.0), width)
        return np.asarray(np.clip(np.nan_to_num(convert(light)), 0, 1), np.float32)

    return _Shown(
        shown(plate, None, _WIDE_PX),
        None if result is None else shown(result, None, _WIDE_PX),
        shown(plate, square, _FACE_PX),
        None if result is None else shown(result, square, _FACE_PX),
    )


def _black(material: Material) -> _Shown:
    """In place of a frame of the plate that is missing or cannot be read; as large as the others."""
    width, height = 16, 9
    for frame in material.plate.frames:
        with suppress(PlateError):
            width, height = reading.display_size(material.plate, frame)
            break
    wide = shrink(np.zeros((height, width, 3), np.float32), _WIDE_PX)
    return _Shown(wide, None, np.zeros((_FACE_PX, _FACE_PX, 3), np.float32), None)


def _close_up(matte: NDArray[np.float32], face: Face | None) -> Region:
    """A square around the face: its aligned crop, else the matte, else the middle of the picture."""
    height, width = matte.shape
    rows, columns = np.flatnonzero(matte.any(axis=1)), np.flatnonzero(matte.any(axis=0))
    if face is not None:
        unit_from_plate = np.asarray(face.unit_from_plate)
        x, y = apply(np.linalg.inv(unit_from_plate), np.array([0.5, 0.5]))
        side = 1.0 / similarity_scale(unit_from_plate)
    elif len(rows):
        x, y = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
        side = 1.2 * max(np.ptp(columns), np.ptp(rows))
    else:
        x, y, side = width / 2, height / 2, min(width, height) / 2
    half = max(8, round(side / 2))
    x0, y0 = round(float(x)) - half, round(float(y)) - half
    return (x0, y0, x0 + 2 * half, y0 + 2 * half)


def _column(found: FrameReview, shown: _Shown, row_height: int) -> FramePictures:
    changed = None if shown.result is None else difference(shown.result, shown.plate)

    def cell(picture: Picture | None, height: int) -> Picture | None:
        return None if picture is None else fit(picture, CELL_PX, height)

    return FramePictures(
        found.frame,
        cell(shown.plate, row_height),
        cell(shown.result, row_height),
        cell(changed, row_height),
        cell(shown.face_plate, CELL_PX),
        cell(shown.face_result, CELL_PX),
        _note(found),
    )


def _note(found: FrameReview) -> str:
    if found.status != "done":
        return found.status
    return "" if found.confidence is None else f"confidence {found.confidence:.2f}"


def _on_wipe(found: FrameReview, shown: _Shown) -> ShownFrame:
    def address(picture: Picture) -> str:
        return data_uri(jpeg(picture), "image/jpeg")

    return ShownFrame(
        found.frame,
        _note(found) if found.status == "done" else f"{found.status}: {found.message}",
        address(shown.plate),
        None if shown.result is None else address(shown.result),
        address(shown.face_plate),
        None if shown.face_result is None else address(shown.face_result),
    )


def _row(shown: _Shown) -> str:
    changed = None if shown.face_result is None else difference(shown.face_result, shown.face_plate)
    return data_uri(jpeg(side_by_side([shown.face_plate, shown.face_result, changed], _WORST_PX)), "image/jpeg")


# ---------------------------------------------------------------- movie


@contextmanager
def _film(movie: MovieWish | None) -> Iterator[Callable[[_Shown], None]]:
    """A function that appends a frame to the movie; one that does nothing where none is wished for."""
    if movie is None:
        yield lambda _: None
        return
    with movie_writer(movie.path, movie.rate, movie.codec) as append:
        yield lambda shown: append(_beside(shown))


def _beside(shown: _Shown) -> Picture:
    """Plate and result next to each other, sides even as the codecs want them; black where there is no result."""
    height, width = (side // 2 * 2 for side in shown.plate.shape[:2])
    plate = shown.plate[:height, :width]
    result = np.zeros_like(plate) if shown.result is None else shown.result[:height, :width]
    return np.concatenate([plate, result], axis=1)
