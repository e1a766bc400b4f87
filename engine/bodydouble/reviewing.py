"""Review of a swapped sequence: one page, one contact sheet, one JSON of numbers.

For every frame the figures of `quality` that need no true picture; the frames that stand out come first, with
pictures. A frame that is missing or unreadable is shown as that. The page is self-contained: pictures inside, no
script, nothing fetched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import reading
from .errors import InputError, UsageError
from .geometry import apply, similarity_scale
from .images import write_image
from .measuring import (
    ATTRIBUTES,
    AlignedFrame,
    FrameReview,
    Material,
    Region,
    align,
    face_under,
    figures,
    matte_of,
    read_frame,
    reads_as,
)
from .reviewpage import (
    CELL_PX,
    Curve,
    FramePictures,
    contact_sheet,
    curves_svg,
    data_uri,
    difference,
    fit,
    page,
    png,
    shrink,
    side_by_side,
)
from .writing import atomic_path

if TYPE_CHECKING:
    from .colour import Colour
    from .faces import FaceFinder
    from .plate import Plate
    from .sequences import PlateSequence
    from .shotfaces import Face, ShotFaces

SCHEMA = "bodydouble.review"
VERSION = 1

_SHEET_FRAMES, _WORST_FRAMES = 8, 4
_FACE_PX, _WORST_PX = 480, 1452
_FIGURES = ("confidence", "matte_percent", "flicker", "wobble", "colour_step", "seam", "plate_seam")
_LOW_IS_WORST = ("confidence",)
_STRANGE_WHEN_HIGH = ("flicker", "wobble", "colour_step", "seam")
_PER_FRAME_FACTS = (
    "confidence", "earlier", "frame", "job", "person", "pixels", "plate", "plate_sha256", "stamp", "swapped",
)  # fmt: skip


@dataclass(frozen=True)
class ReviewReport:
    """The three files, every frame's figures, and the shot's: `numbers` is what review.json holds."""

    html: Path
    contact_sheet: Path
    json: Path
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
    view: str | None = None,
    look: str | None = None,
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
        view: OpenColorIO view of the pictures; None for the display's default. The figures do not depend on it.
        look: OpenColorIO look of the pictures, before the view; None for none.
        reference_embeddings: name → embeddings (N, 128) of known people; adds whom each face reads as (needs `shot`).
        on_frame: called after each frame.

    Raises:
        UsageError: no frame was asked for.
        InputError: a frame of the plate is missing or unreadable, or no frame at all has a result.
        OutputError: a file of the review cannot be written.
    """
    wanted = tuple(frames)
    if not wanted:
        raise UsageError("Nothing to review: no frame was asked for.")
    if not any(result.path(frame).is_file() for frame in wanted):
        raise InputError(f"{result.path(wanted[0]).parent} holds none of the {len(wanted)} frames to review.")
    material = Material(result, plate, shot, colour, colorspace, look)
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
            aligned = align(measured, frame)
            history = [*(history[-2:] if _continues(history, aligned) else []), aligned]
            identity = reads_as(measured, finder, reference_embeddings or {}) if finder else None
            found = figures(frame, measured, history, identity)
        reviews.append(found)
        if on_frame is not None:
            on_frame(found)
    return _write(material, Path(out), tuple(reviews), facts, view)


def worst_frames(frames: Sequence[FrameReview], count: int) -> list[tuple[FrameReview, str]]:
    """The `count` frames to look at first, with the reason: those without a result, then those that stand out."""
    ranked = sorted(zip(frames, _strangeness(frames), strict=True), key=lambda pair: -pair[1][0])
    return [(frame, reason) for frame, (score, reason) in ranked[:count] if score > 0]


def _continues(history: Sequence[AlignedFrame], now: AlignedFrame) -> bool:
    """Whether `now` is the next frame, seen in the same pixels; change over time means nothing otherwise."""
    return bool(history) and history[-1].frame == now.frame - 1 and history[-1].matte.shape == now.matte.shape


def _face_finder() -> FaceFinder:
    from .faces import FaceFinder  # dlib loads only when an identity is asked for

    return FaceFinder()


# ---------------------------------------------------------------- numbers of the shot


def _facts(result: Plate) -> dict[str, str]:
    """What a finished frame says of how it was made, without the prefix and what differs per frame."""
    names = sorted(name for name in result.attributes if name.startswith(ATTRIBUTES))
    facts = {name.removeprefix(ATTRIBUTES): str(result.attributes[name]) for name in names}
    return {name: value for name, value in facts.items() if name not in _PER_FRAME_FACTS}


def _values(frames: Sequence[FrameReview], name: str) -> NDArray[np.float64]:
    """(N,) of one figure, nan where it was not measured."""
    return np.array([math.nan if getattr(f, name) is None else getattr(f, name) for f in frames], np.float64)


def _strangeness(frames: Sequence[FrameReview]) -> list[tuple[float, str]]:
    """Per frame how far its strangest figure lies from the shot's median, and which one that is.

    In robust standard deviations (1.4826 · MAD), of which at least a tenth of the median is taken so that a steady
    shot does not make a trifle strange. Frames without a result come before all others.
    """
    strange = [(0.0, "")] * len(frames)
    for name in (*_STRANGE_WHEN_HIGH, "confidence"):
        values = _values(frames, name)
        if np.isnan(values).all():
            continue
        median = float(np.nanmedian(values))
        spread = max(1.4826 * float(np.nanmedian(np.abs(values - median))), 0.1 * abs(median), 1e-3)
        away = (median - values if name in _LOW_IS_WORST else values - median) / spread
        for index in np.flatnonzero(away > 0):
            if away[index] > strange[index][0]:
                reason = f"{name.replace('_', ' ')} {values[index]:.3g}, the shot's median is {median:.3g}"
                strange[index] = (float(away[index]), reason)
    return [
        (score, reason) if frame.status == "done" else (math.inf, f"{frame.status}: {frame.message}")
        for frame, (score, reason) in zip(frames, strange, strict=True)
    ]


def _summary(frames: Sequence[FrameReview]) -> dict[str, Any]:
    """How many frames are in which state; mean, worst value and its frame for each figure."""
    states = [frame.status for frame in frames]
    summary: dict[str, Any] = {"frames": len(frames)}
    summary |= {state: states.count(state) for state in ("done", "untouched", "missing", "unreadable")}
    for name in _FIGURES:
        values = _values(frames, name)
        if not np.isnan(values).all():
            worst = int(np.nanargmin(values) if name in _LOW_IS_WORST else np.nanargmax(values))
            mean = float(np.nanmean(values))
            summary[name] = {"mean": mean, "worst": float(values[worst]), "worst_frame": frames[worst].frame}
    plate_light, result_light = (np.nansum(_values(frames, name)) for name in ("plate_highlights", "result_highlights"))
    if plate_light > 0:
        summary["highlights_kept"] = float(result_light / plate_light)
    outside = [frame.outside_pixels for frame in frames if frame.outside_pixels is not None]
    if outside:
        summary["outside_pixels"] = sum(outside)
    nearest = [min(frame.identity, key=frame.identity.__getitem__) for frame in frames if frame.identity]
    if nearest:
        summary["reads_as"] = {name: nearest.count(name) / len(nearest) for name in sorted(set(nearest))}
    return summary


def _cards(summary: Mapping[str, Any]) -> dict[str, str]:
    """The numbers at the top of the page."""
    cards = {name: str(summary[name]) for name in ("done", "missing", "unreadable", "untouched")}
    for name in ("confidence", "flicker", "wobble", "colour_step", "seam"):
        if name in summary:
            cards[name.replace("_", " ")] = f"{summary[name]['mean']:.2f}"
    if "highlights_kept" in summary:
        cards["highlights kept"] = f"{100 * summary['highlights_kept']:.0f} %"
    if "outside_pixels" in summary:
        cards["pixels changed outside"] = str(summary["outside_pixels"])
    for name, share in summary.get("reads_as", {}).items():
        cards[f"read as {name}"] = f"{100 * share:.0f} %"
    return cards


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True)
class _Shown:
    """Display-referred pictures of one frame, as large as they are shown; the result's are None when there is none."""

    plate: NDArray[np.float32]
    result: NDArray[np.float32] | None
    face_plate: NDArray[np.float32]
    face_result: NDArray[np.float32] | None


def _show(material: Material, found: FrameReview, view: str | None) -> _Shown:
    """Read a frame again for its pictures: few are shown, so none is kept while measuring."""
    plate = reading.read_frame(material.plate, found.frame)
    result = reading.read_frame(material.result, found.frame) if found.status in ("done", "untouched") else None
    convert = material.colour.display(material.space(plate), view, look=material.look)
    matte = np.zeros((plate.height, plate.width), np.float32)
    if result is not None:
        matte = matte_of(result, result.rgb(), plate.rgb())
    square = _close_up(matte, face_under(matte, material.faces(found.frame)))

    def shown(picture: Plate, region: Region | None, width: int) -> NDArray[np.float32]:
        # Shrunk first: a view transform costs most of a second per 4K frame, and light averages rightly before it.
        light = shrink(np.nan_to_num(picture.rgb(region), nan=0.0, posinf=65504.0, neginf=0.0), width)
        return np.asarray(np.clip(np.nan_to_num(convert(light)), 0, 1), np.float32)

    return _Shown(
        shown(plate, None, CELL_PX),
        None if result is None else shown(result, None, CELL_PX),
        shown(plate, square, _FACE_PX),
        None if result is None else shown(result, square, _FACE_PX),
    )


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

    def cell(picture: NDArray[np.float32] | None, height: int) -> NDArray[np.float32] | None:
        return None if picture is None else fit(picture, CELL_PX, height)

    note = found.status
    if found.status == "done":
        note = "" if found.confidence is None else f"confidence {found.confidence:.2f}"
    return FramePictures(
        found.frame,
        cell(shown.plate, row_height),
        cell(shown.result, row_height),
        cell(changed, row_height),
        cell(shown.face_plate, CELL_PX),
        cell(shown.face_result, CELL_PX),
        note,
    )


def _sheet(
    material: Material, frames: Sequence[FrameReview], title: str, subtitle: str, view: str | None
) -> NDArray[np.float32]:
    """The contact sheet of up to eight frames at even distances, the first and the last among them."""
    picks = np.unique(np.round(np.linspace(0, len(frames) - 1, min(_SHEET_FRAMES, len(frames)))).astype(int))
    row_height, columns = 0, []
    for index in picks:
        shown = _show(material, frames[index], view)
        row_height = row_height or max(1, round(CELL_PX * shown.plate.shape[0] / shown.plate.shape[1]))
        columns.append(_column(frames[index], shown, row_height))
    return contact_sheet(columns, [row_height] * 3 + [CELL_PX] * 2, title, subtitle)


def _worst(material: Material, frames: Sequence[FrameReview], view: str | None) -> list[dict[str, str]]:
    """What the page shows of the frames to look at first."""
    shown: list[dict[str, str]] = []
    for found, reason in worst_frames(frames, _WORST_FRAMES):
        pictures = _show(material, found, view)
        changed = None
        if pictures.face_result is not None:
            changed = difference(pictures.face_result, pictures.face_plate)
        row = side_by_side([pictures.face_plate, pictures.face_result, changed], _WORST_PX)
        shown.append({"frame": str(found.frame), "reason": reason, "picture": data_uri(png(row), "image/png")})
    return shown


def _curves(frames: Sequence[FrameReview]) -> bytes:
    def panel(title: str, unit: str, **names: str) -> Curve:
        return Curve(title, unit, {label: _values(frames, name).tolist() for label, name in names.items()})

    panels = [
        panel("Confidence", "0 to 1", confidence="confidence"),
        panel("Matte", "% of the picture", matte="matte_percent"),
        panel("Change over time against the plate", "milli-codes", flicker="flicker", wobble="wobble"),
        panel("Colour step at the outline", "milli-codes", step="colour_step"),
        panel("Seam at the outline", "milli-codes per pixel", added="seam", plate="plate_seam"),
    ]
    gaps = [frame.frame for frame in frames if frame.status != "done"]
    return curves_svg([frame.frame for frame in frames], gaps, panels)


# ---------------------------------------------------------------- files


def _write(
    material: Material, out: Path, frames: tuple[FrameReview, ...], facts: Mapping[str, str], view: str | None
) -> ReviewReport:
    """Pictures, page and numbers on disk, each whole or not at all."""
    summary = _summary(frames)
    name = Path(material.plate.pattern).name
    title = f"{facts['persona']} on {name}" if "persona" in facts else f"Review of {name}"
    shown_view = (view or material.colour.default_display()[1]) + (f", look: {material.look}" if material.look else "")
    span = f"{frames[0].frame} to {frames[-1].frame}" if len(frames) > 1 else str(frames[0].frame)
    sheet_path, html_path, json_path = out / "contact_sheet.png", out / "review.html", out / "review.json"
    subtitle = f"frames {span} · {summary['done']} of {len(frames)} done · view: {shown_view}"
    write_image(sheet_path, _sheet(material, frames, title, subtitle, view))
    numbers = {
        "schema": SCHEMA,
        "version": VERSION,
        "plate": material.plate.pattern,
        "result": material.result.pattern,
        "made_from": dict(facts),
        "summary": summary,
        "frames": [asdict(frame) for frame in frames],
    }
    sources = {"plate": material.plate.pattern, "result": material.result.pattern, "view": shown_view}
    html = page(
        title=title,
        facts=dict(facts) | sources,
        summary=_cards(summary),
        sheet=data_uri(sheet_path.read_bytes(), "image/png"),
        curves=data_uri(_curves(frames), "image/svg+xml"),
        worst=_worst(material, frames, view),
        frames=frames,
    )
    _write_text(html_path, html)
    _write_text(json_path, json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    return ReviewReport(html_path, sheet_path, json_path, frames, numbers)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
