"""Cutting a faceset out of a plate: a crop of every frame, and the rules by which some are left out.

First every frame with a trustworthy face is cut and measured. Then, in order of the frames, the rules decide: a crop
far less sharp than is usual in *this plate* is left out, then one that differs too little from a crop that stays, be it
of this plate or of another one in the faceset. So which crops a plate gives does not depend on the order of its frames,
and its sharpness is never held against another plate's. Crops of other plates are never touched.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodydouble.alignment.geometry import apply, crop_from_unit, translation
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import FacesetError, PlateError, UsageError
from bodydouble.network.comb import is_persona_name
from bodydouble.plates.colour import Colour
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import ExtractSettings
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.swapstages import unit_outline
from bodydouble.swap.warp import warp
from bodydouble.training.cropfigures import CropFigures, Print, Prints, crop_figures, crop_print
from bodydouble.training.cropfiles import HALF_MAX, Crop, files_of, stored, write_crop
from bodydouble.training.facesets import FILE, SCHEMA, VERSION, Faceset
from bodydouble.writing import atomic_path

SPACE = ModelSpace()
"""Whose primaries crops are in, and whose curve encodes those in PNG."""
FAILED = "failed"
FACE_RULES, CUT_RULES = ("no face", "interpolated", "unsure"), ("blurred", "near-duplicate")
"""Why a frame gives no crop: for its face, and for the crop itself."""


@dataclass(frozen=True)
class ExtractedFrame:
    """What became of one frame.

    Attributes:
        frame: its number.
        path: the crop; None where there is none.
        rule: which of `FACE_RULES` and `CUT_RULES` left it out, or "failed"; "" where there is a crop.
        message: the reason, for people.
    """

    frame: int
    path: Path | None
    rule: str = ""
    message: str = ""


@dataclass(frozen=True, eq=False)
class _Cut:
    """A crop on disk that the rules have not judged yet."""

    frame: int
    path: Path
    figures: CropFigures
    print: Print
    entry: Mapping[str, Any]


def extract(
    plate: PlateSequence,
    frames: Sequence[int],
    shot: ShotFaces,
    person: int | None,
    persona: str,
    out: Path,
    colour: Colour,
    colorspace: str | None,
    settings: ExtractSettings,
    rights: Mapping[str, Any] | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Iterator[ExtractedFrame]:
    """Write the crops of a plate and ``faceset.json``; yields what became of each frame, in order, once that is known.

    Crops of other plates that already lie in the folder stay, those of this one are replaced: call it once per plate to
    gather a persona from many shots. A crop is called like its frame; where another plate, of any folder, has that
    name already, a few letters of its folder's hash follow.

    Args:
        plate: where the frames lie.
        frames: which of them, in any order.
        shot: the plate's shot faces.
        person: which person of the shot; None for the most prominent one.
        persona: name the persona shall have.
        out: faceset folder, made if missing.
        colour: OpenColorIO config.
        colorspace: the plate's colour space; None to take it from the files and the config's rules.
        settings: crop size, padding, format, thresholds.
        rights: usage-rights record to keep with the persona; None leaves the one the faceset has.
        on_frame: called with each frame as soon as it was looked at.

    Raises:
        UsageError: no persona can have this name.
        FacesetError: the folder holds another persona or geometry, or is damaged.
        OutputError: a crop cannot be written.
    """
    if not is_persona_name(persona):
        raise UsageError(f"{persona!r} cannot be a persona's name; use letters, digits, blanks, '_' and '-'.")
    present = _present(out, persona, settings)
    origin = _origin(plate)
    own, others = _parted(present, plate, origin)
    seen: list[ExtractedFrame | _Cut] = []
    for frame in sorted(set(frames)):
        face = shot.face(frame, person)
        if (untrusted := _untrusted(face, settings)) is not None:
            seen.append(ExtractedFrame(frame, None, *untrusted))
        elif face is not None:
            seen.append(_cut(plate, frame, face, shot.pixel_aspect, out, others, origin, colour, colorspace, settings))
        if on_frame is not None:
            on_frame(frame)
    judged = list(_judged(seen, _prints(present, others, settings), settings))
    kept = {one.path.name for one in judged if one.path is not None}
    entries = others | {one.path.name: one.entry for one in seen if isinstance(one, _Cut) and one.path.name in kept}
    if entries:  # a faceset without a crop is none
        record = rights if rights is not None or present is None else present.rights
        _write_index(out, persona, settings, record, entries)
        _remove(out, {*own, *(one.path.name for one in seen if isinstance(one, _Cut))} - entries.keys())
    yield from judged


# ---------------------------------------------------------------- one frame


def _untrusted(face: Face | None, settings: ExtractSettings) -> tuple[str, str] | None:
    """Which rule says that a face is not worth cutting, and why; None if it is."""
    if face is None:
        return "no face", "no face"
    if face.interpolated:
        return "interpolated", "its face was filled in from the frames around"
    if face.confidence < settings.min_confidence:
        return "unsure", f"confidence {face.confidence:.2f} below {settings.min_confidence}"
    return None


def _cut(
    plate: PlateSequence,
    frame: int,
    face: Face,
    pixel_aspect: float,
    out: Path,
    others: Mapping[str, Any],
    origin: str,
    colour: Colour,
    colorspace: str | None,
    settings: ExtractSettings,
) -> ExtractedFrame | _Cut:
    """Cut, write and measure the crop of a frame; one that cannot be read fails alone."""
    try:
        source, picture = plate.path(frame), read_frame(plate, frame)
    except PlateError as error:
        return ExtractedFrame(frame, None, FAILED, str(error))
    convert = colour.converter(colorspace or colour.space_of(picture.attributes, source), SPACE.primaries)
    light = np.clip(np.nan_to_num(convert(picture.rgb())), -HALF_MAX, HALF_MAX)
    crop = stored(_wide_crop(light, face, settings), settings.format, SPACE)
    name = _name(plate, frame, others, origin) + f".{settings.format}"
    write_crop(out / "crops" / name, crop, SPACE)
    figures = crop_figures(crop, settings.pad, face, pixel_aspect)
    entry = {
        "file": name,
        "plate": source.name,
        "origin": origin,
        "frame": frame,
        "confidence": round(face.confidence, 4),
        **figures.as_dict(),
        "unit_from_plate": np.asarray(face.unit_from_plate).round(9).tolist(),
        "landmarks": apply(face.unit_from_plate, face.landmarks_px).round(4).tolist(),
    }
    return _Cut(frame, out / "crops" / name, figures, crop_print(crop, settings.pad), entry)


def _wide_crop(rgb: np.ndarray, face: Face, settings: ExtractSettings) -> Crop:
    """(size+2·pad)²×4 float32: the aligned crop with its matte."""
    side = settings.size + 2 * settings.pad
    wide_from_unit = translation(settings.pad, settings.pad) @ crop_from_unit(settings.size)
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    crop = warp(picture, wide_from_unit @ np.asarray(face.unit_from_plate), (side, side))[0].permute(1, 2, 0).numpy()
    outline = apply(wide_from_unit, unit_outline(face, settings.forehead, settings.grow))
    matte = np.asarray(polygon_matte(outline, (side, side)))
    return np.concatenate([crop, matte.reshape(side, side, 1)], axis=2).astype(np.float32)


def _name(plate: PlateSequence, frame: int, others: Mapping[str, Any], origin: str) -> str:
    """What the crop of a frame is called, without suffix."""
    source = plate.path(frame)
    stem = (f"{source.stem}.{frame:04d}" if plate.is_movie else source.stem).replace(".", "_")
    return f"{stem}_{origin}" if any(Path(name).stem == stem for name in others) else stem


# ---------------------------------------------------------------- the rules


def _judged(
    seen: Sequence[ExtractedFrame | _Cut], prints: Prints, settings: ExtractSettings
) -> Iterator[ExtractedFrame]:
    """What becomes of each frame: what was left out already, and what the rules say of the others."""
    usual = float(np.median([one.figures.sharpness for one in seen if isinstance(one, _Cut)] or [0.0]))
    for one in seen:
        if isinstance(one, ExtractedFrame):
            yield one
            continue
        share = one.figures.sharpness / usual if usual > 0 else 1.0
        if share < settings.min_sharpness:
            reason = f"blurred: {share:.2f} times as sharp as is usual in this plate, below {settings.min_sharpness}"
            yield ExtractedFrame(one.frame, None, "blurred", reason)
            continue
        name, away = prints.nearest(one.print) if settings.min_difference else ("", math.inf)
        if away < settings.min_difference:
            reason = f"near-duplicate of {name}: they differ by {away:.3f}, below {settings.min_difference}"
            yield ExtractedFrame(one.frame, None, "near-duplicate", reason)
            continue
        prints.add(one.path.name, one.print)
        yield ExtractedFrame(one.frame, one.path)


def _prints(present: Faceset | None, others: Mapping[str, Any], settings: ExtractSettings) -> Prints:
    """Of the crops of other plates, made anew from their pixels: facesets of before have none, and it takes 10 ms."""
    if present is None or not settings.min_difference:
        return Prints()
    return Prints(
        (path.name, crop_print(present.pixels(path), settings.pad)) for path in present.crops if path.name in others
    )


# ---------------------------------------------------------------- the folder


def _origin(plate: PlateSequence) -> str:
    """Which folder a plate lies in, as eight hexadecimal digits; a movie is its own folder."""
    path = plate.path(plate.frames[0]).resolve()
    return hashlib.sha256(str(path if plate.is_movie else path.parent).encode()).hexdigest()[:8]


def _present(out: Path, persona: str, settings: ExtractSettings) -> Faceset | None:
    """The faceset that the folder holds already; None for a new one."""
    if not (out / FILE).exists():
        return None
    present = Faceset.load(out)
    there = (present.persona, present.size, present.pad, present.forehead)
    if there != (persona, settings.size, settings.pad, settings.forehead):
        raise FacesetError(
            f"{out} holds persona {present.persona!r} at size {present.size} pad {present.pad} forehead "
            f"{present.forehead:g}, not {persona!r} at {settings.size} pad {settings.pad} forehead "
            f"{settings.forehead:g}; choose another folder or the same settings."
        )
    if replace(present.space, primaries=SPACE.primaries) != SPACE:
        raise FacesetError(f"{out} encodes its crops otherwise than this version; choose another folder.")
    return present


def _parted(
    present: Faceset | None, plate: PlateSequence, origin: str
) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
    """Entries of this plate and of others that the folder holds, by file name."""
    names = {plate.path(frame).name for frame in plate.frames}
    own: dict[str, Mapping[str, Any]] = {}
    others: dict[str, Mapping[str, Any]] = {}
    for entry in present.entries if present is not None else ():
        # Facesets of before knew the name alone.
        is_own = entry["plate"] in names and entry.get("origin", origin) == origin
        (own if is_own else others)[entry["file"]] = entry
    return own, others


def _write_index(
    out: Path,
    persona: str,
    settings: ExtractSettings,
    rights: Mapping[str, Any] | None,
    entries: Mapping[str, Mapping[str, Any]],
) -> None:
    head = {
        "schema": SCHEMA,
        "version": VERSION,
        "persona": persona,
        "size": settings.size,
        "pad": settings.pad,
        "primaries": SPACE.primaries,
        "model_space": SPACE.as_dict(),
        "forehead": settings.forehead,
        "rights": dict(rights) if rights is not None else None,
    }
    # One crop a line: readable, and a diff of two facesets shows the crops that changed.
    crops = ",\n".join("  " + json.dumps(entries[name]) for name in sorted(entries))
    text = json.dumps(head, indent=1)[:-2] + f',\n "crops": [\n{crops}\n ]\n}}\n'
    with atomic_path(out / FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _remove(out: Path, names: set[str]) -> None:
    """Remove crops that the index no longer names."""
    for name in names:
        for file in files_of(out / "crops" / name):
            with suppress(OSError):
                file.unlink()
