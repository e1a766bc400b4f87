"""Review of a swapped sequence: one page, one contact sheet, one JSON of numbers, a movie if wished for.

For every frame the figures of `quality` that need no true picture; the frames that stand out come first, with
pictures. A frame that is missing or unreadable, in the result or in the plate, is shown as that. The page is
self-contained: pictures and movie inside, nothing fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.errors import InputError, UsageError
from bodydouble.plates.colour import WORKING_SPACE
from bodydouble.plates.images import write_image
from bodydouble.plates.movies import MOVIE_SUFFIX, Codec, check_movies
from bodydouble.reviews.measuring import (
    ATTRIBUTES,
    AlignedFrame,
    FrameReview,
    Material,
    align,
    figures,
    read_frame,
    reads_as,
)
from bodydouble.reviews.reviewfigures import cards, curves, summary, worst_frames
from bodydouble.reviews.reviewpage import curves_svg, data_uri, page
from bodydouble.reviews.reviewpictures import MovieWish, Viewing, make_pictures
from bodydouble.writing import atomic_path

if TYPE_CHECKING:
    from bodydouble.alignment.faces import FaceFinder
    from bodydouble.alignment.shotfaces import ShotFaces
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.plate import Plate
    from bodydouble.plates.sequences import PlateSequence

SCHEMA = "bodydouble.review"
VERSION = 1
DEFAULT_RATE = Fraction(24)

_WORST_FRAMES = 4
_MOVIE_IN_PAGE_BYTES = 24 << 20
_RATE_ATTRIBUTES = ("FramesPerSecond", "framesPerSecond")
_PER_FRAME_FACTS = (
    "confidence", "earlier", "frame", "job", "person", "pixels", "plate", "plate_sha256", "stamp", "swapped",
)  # fmt: skip


@dataclass(frozen=True)
class ReviewReport:
    """The files, every frame's figures, and the shot's: `numbers` is what review.json holds. `movie` may be None."""

    html: Path
    contact_sheet: Path
    json: Path
    movie: Path | None
    frames: tuple[FrameReview, ...]
    numbers: Mapping[str, Any]


def review(
    result: PlateSequence,
    plate: PlateSequence,
    out: Path,
    *,
    shot: ShotFaces | None,
    frames: Iterable[int],
    colour: Colour,
    colorspace: str | None,
    display: str | None = None,
    view: str | None = None,
    look: str | None = None,
    movie: Codec | None = None,
    rate: Fraction | None = None,
    reference_embeddings: Mapping[str, NDArray[np.float32]] | None = None,
    on_frame: Callable[[FrameReview], None] | None = None,
) -> ReviewReport:
    """Compare a swapped sequence with its plate; writes review.html, contact_sheet.png and review.json into `out`.

    Args:
        result: the swapped frames.
        plate: the frames they were made from.
        out: folder, made if missing.
        shot: the plate's shot faces: close-ups on the face and change over time in its own coordinates. None: by the
            matte.
        frames: which frames; those without a result are shown as missing.
        colour: OpenColorIO config.
        colorspace: of plate and result; None to take it from the plate's files.
        display, view: OpenColorIO display and view of the pictures; None for the config's and the display's default.
            The figures do not depend on them.
        look: OpenColorIO look of the pictures, before the view; None for none.
        movie: also write review.mp4 (h264) or review.mov (prores: 422 HQ), plate beside result; None for none.
        rate: frames per second of the movie; None for what the plate says, else 24.
        reference_embeddings: name → embeddings (N, 128) of known people; adds whom each face reads as (needs `shot`).
        on_frame: called after each frame.

    Raises:
        UsageError: no frame was asked for.
        UnknownColourSpaceError: the config has no such display, view or look.
        InputError: no frame at all has a result, or a movie is wished for where PyAV is missing.
        OutputError: a file of the review cannot be written.
    """
    wanted = tuple(frames)
    if not wanted:
        raise UsageError("Nothing to review: no frame was asked for.")
    if not any(result.path(frame).is_file() for frame in wanted):
        raise InputError(f"{result.path(wanted[0]).parent} holds none of the {len(wanted)} frames to review.")
    viewing = Viewing(display, view, look)
    viewing.converter(colour, WORKING_SPACE)  # a wrong name is told before the work, not after it
    if movie is not None:
        check_movies(movie)
    material = Material(result, plate, shot, colour, colorspace)
    finder = _face_finder() if reference_embeddings and shot is not None else None
    reviews: list[FrameReview] = []
    history: list[AlignedFrame] = []
    facts: dict[str, str] = {}
    for frame in wanted:
        measured = read_frame(material, frame)
        if isinstance(measured, FrameReview):
            history, found = [], measured
        else:
            facts = facts or _facts(measured.result)
            rate = rate or _rate(measured.plate)
            aligned = align(measured, frame)
            history = [*(history[-2:] if _continues(history, aligned) else []), aligned]
            identity = reads_as(measured, finder, reference_embeddings or {}) if finder else None
            found = figures(frame, measured, history, identity)
        reviews.append(found)
        if on_frame is not None:
            on_frame(found)
    wish = None
    if movie is not None:
        wish = MovieWish(Path(out) / f"review{MOVIE_SUFFIX[movie]}", movie, rate or DEFAULT_RATE)
    return _write(material, Path(out), tuple(reviews), facts, viewing, wish)


def _continues(history: Sequence[AlignedFrame], now: AlignedFrame) -> bool:
    """Whether `now` is the next frame, seen in the same pixels; change over time means nothing otherwise."""
    return bool(history) and history[-1].frame == now.frame - 1 and history[-1].matte.shape == now.matte.shape


def _face_finder() -> FaceFinder:
    from bodydouble.alignment.faces import FaceFinder  # dlib loads only when an identity is asked for

    return FaceFinder()


def _facts(result: Plate) -> dict[str, str]:
    """What a finished frame says of how it was made, without the prefix and what differs per frame."""
    names = sorted(name for name in result.attributes if name.startswith(ATTRIBUTES))
    facts = {name.removeprefix(ATTRIBUTES): str(result.attributes[name]) for name in names}
    return {name: value for name, value in facts.items() if name not in _PER_FRAME_FACTS}


def _rate(plate: Plate) -> Fraction | None:
    """Frames per second by the plate's EXR attribute; None where it has none."""
    found = next((plate.attributes[name] for name in _RATE_ATTRIBUTES if name in plate.attributes), None)
    try:
        parts = found if isinstance(found, tuple | list) else (str(found),)
        rate = Fraction(*parts)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return rate if 1 <= rate <= 240 else None


# ---------------------------------------------------------------- files


def _write(
    material: Material,
    out: Path,
    frames: tuple[FrameReview, ...],
    facts: Mapping[str, str],
    viewing: Viewing,
    movie: MovieWish | None,
) -> ReviewReport:
    """Pictures, page and numbers on disk, each whole or not at all."""
    told = summary(frames)
    name = Path(material.plate.pattern).name
    title = f"{facts['persona']} on {name}" if "persona" in facts else f"Review of {name}"
    seen = viewing.title(material.colour)
    span = f"{frames[0].frame} to {frames[-1].frame}" if len(frames) > 1 else str(frames[0].frame)
    subtitle = f"frames {span} · {told['done']} of {len(frames)} done · view: {seen}"
    sheet_path, html_path, json_path = out / "contact_sheet.png", out / "review.html", out / "review.json"
    worst = worst_frames(frames, _WORST_FRAMES)
    pictures = make_pictures(material, frames, worst, viewing, (title, subtitle), movie)
    write_image(sheet_path, pictures.sheet)
    sources = {"plate": material.plate.pattern, "result": material.result.pattern, "view": seen}
    numbers = {
        "schema": SCHEMA,
        "version": VERSION,
        **sources,
        "made_from": dict(facts),
        "summary": told,
        "worst": [{"frame": found.frame, "reason": reason} for found, reason in worst],
        "frames": [asdict(frame) for frame in frames],
    }
    gaps = [frame.frame for frame in frames if frame.status != "done"]
    html = page(
        title=title,
        subtitle=subtitle,
        facts=dict(facts) | sources,
        summary=cards(told),
        sheet=data_uri(sheet_path.read_bytes(), "image/png"),
        curves=data_uri(curves_svg([frame.frame for frame in frames], gaps, curves(frames)), "image/svg+xml"),
        pictures=pictures,
        movie=_movie_on_page(movie),
        frames=frames,
    )
    _write_text(html_path, html)
    _write_text(json_path, json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    return ReviewReport(html_path, sheet_path, json_path, movie.path if movie else None, frames, numbers)


def _movie_on_page(movie: MovieWish | None) -> str | None:
    """The movie as a `data:` address where browsers play it and it is not too heavy, else its name; None for none."""
    if movie is None:
        return None
    if movie.codec != "h264" or movie.path.stat().st_size > _MOVIE_IN_PAGE_BYTES:
        return movie.path.name
    return data_uri(movie.path.read_bytes(), "video/mp4")


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
