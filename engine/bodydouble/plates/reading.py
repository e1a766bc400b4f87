"""Plates of every kind behind two verbs: find one, read a frame of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bodydouble.errors import PlateError, UnknownColourSpaceError, UsageError
from bodydouble.plates.colour import NAME_IT, Colour, FoundSpace
from bodydouble.plates.glances import Glance
from bodydouble.plates.images import glance_at_picture, picture_plate, read_headers, read_plate
from bodydouble.plates.movies import read_movie, read_movie_frame
from bodydouble.plates.pictures import find_picture
from bodydouble.plates.plate import Header, Plate
from bodydouble.plates.sequences import MOVIE_SUFFIXES, PlateSequence

if TYPE_CHECKING:
    from bodydouble.alignment.shotfaces import ShotFaces

OnUnread = Callable[[int, PlateError], None]
"""Hears the number of a frame that is missing or cannot be read, and why; the others go on."""


def fail_unread(frame: int, problem: PlateError) -> None:
    """The `OnUnread` of who wants every frame: raises the PlateError."""
    raise problem


def find_plate(path: str | Path, part: str | None = None, view: str | None = None) -> PlateSequence:
    """The plate that a pattern, a file, a folder or a movie names.

    part, view: which picture of each file is meant, see `find_picture`; None for the first. Frames of a movie are
    numbered from 1. Errors: PlateError, UsageError, see `PlateSequence.find` and `read_movie`.
    """
    if not str(path).strip():
        raise UsageError("the plate's path is empty; is a variable of the shell unset?")
    if Path(path).suffix.lower() not in MOVIE_SUFFIXES:
        return PlateSequence.find(path, part, view)
    if part is not None or view is not None:
        raise UsageError(f"{path}: a movie has one picture; leave out --part and --view.")
    return PlateSequence(str(path), tuple(range(1, read_movie(path).frames + 1)))


def read_frame(plate: PlateSequence, frame: int) -> Plate:
    """One frame of a plate, with the picture chosen that the plate asks for. Errors: PlateError, UsageError."""
    path = plate.path(frame)
    if not plate.is_movie:
        return read_plate(path, plate.part, plate.view_in_file)
    movie = read_movie(path)
    pixels = read_movie_frame(path, frame)
    attributes: dict[str, str | int | float] = {"PixelAspectRatio": movie.pixel_aspect}
    if movie.space:
        attributes["colorInteropID"] = movie.space
    return picture_plate(path, pixels[..., :3], attributes, pixels[..., 3] if pixels.shape[2] == 4 else None)


def look_at_frame(plate: PlateSequence, frame: int) -> Plate | Glance:
    """As `read_frame`, but not to be written again, and quicker: of an EXR the R, G and B of the picture alone, in most
    only the rows that are looked at.
    """
    if plate.is_movie:
        return read_frame(plate, frame)
    return glance_at_picture(plate.path(frame), plate.part, plate.view_in_file)


def main_header(plate: PlateSequence, frame: int) -> Header:
    """The header of the part that holds the picture, without its pixels; not for movies. Errors: see `read_frame`."""
    headers = read_headers(plate.path(frame))
    return headers[find_picture(headers, plate.part, plate.view_in_file).part]


def display_size(plate: PlateSequence, frame: int) -> tuple[int, int]:
    """Width and height of the display window, from the header alone. Errors: see `read_frame`."""
    if plate.is_movie:
        movie = read_movie(plate.path(frame))
        return movie.width, movie.height
    left, top, right, bottom = main_header(plate, frame).display_window
    return right - left, bottom - top


def check_fit(plate: PlateSequence, shot: ShotFaces) -> None:
    """Errors: UsageError for shot faces of a plate of another size: they would place the face somewhere else.

    A first frame that cannot be read is no reason to stop the others, and says so itself when its turn comes.
    """
    try:
        size = display_size(plate, plate.frames[0])
    except PlateError:
        return
    if problem := misfit(size, shot):
        raise UsageError(f"{plate.path(plate.frames[0])} {problem}")


def misfit(size: tuple[int, int], shot: ShotFaces) -> str | None:
    """What is wrong with shot faces for a picture of this size, as the end of a sentence; None for nothing."""
    if size == (shot.width, shot.height):
        return None
    return (
        f"is {size[0]}x{size[1]}, and the shot faces are of a plate of {shot.width}x{shot.height} "
        f"({Path(shot.plate).name}); take those that `bodydouble align` made of this plate."
    )


def chosen(plate: PlateSequence, like: PlateSequence) -> PlateSequence:
    """`plate`, read with the part and view of `like`: for finished frames, which have the parts of their plate."""
    return replace(plate, part=like.part, view=like.view, view_in_name=like.view_in_name)


def find_space(plate: PlateSequence, frame: int, colour: Colour) -> FoundSpace:
    """The colour space of a frame, and what says so. Errors: UnknownColourSpaceError, PlateError."""
    path = plate.path(frame)
    if not plate.is_movie:
        return colour.find_space(main_header(plate, frame).attributes, path)
    movie = read_movie(path)
    if not movie.space:
        raise UnknownColourSpaceError(f"{path}: its colour tags name no space that is known here. {NAME_IT}")
    reason = "the movie's colour tags" if movie.tagged else "assumed, as untagged movies mostly are"
    return FoundSpace(colour.resolve(movie.space), reason, not movie.tagged)


def colour_notice(plate: PlateSequence, frame: int, colour: Colour) -> str | None:
    """What to tell people before a plate is used whose colour space nothing says; None where something does.

    A frame that cannot be read is no reason to stop the others, and says so itself when its turn comes.
    Errors: UnknownColourSpaceError.
    """
    try:
        found = find_space(plate, frame, colour)
    except PlateError:
        return None
    if not found.assumed:
        return None
    return f"{plate.path(frame).name} does not say its colour space; taken as {found.name} ({found.reason}). {NAME_IT}"
