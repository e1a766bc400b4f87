"""Facesets: aligned training crops and mattes of one persona.

A faceset is a folder: ``faceset.json`` (schema, version, persona, geometry, rights, one entry per crop) and
``crops/*.exr``, half-float scene-linear crops in the working primaries with the channels R, G, B, ``matte``. Crops
reach ``pad`` pixels beyond the unit crop on each side, so that training may shift and turn them without inventing
edges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodydouble.alignment.geometry import apply, crop_from_unit
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import BodydoubleError, FacesetError, UsageError
from bodydouble.network.comb import is_persona_name
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image, write_image
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import ExtractSettings
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.swapstages import unit_outline
from bodydouble.swap.warp import warp
from bodydouble.writing import atomic_path

SCHEMA = "bodydouble.faceset"
VERSION = 1
HALF_MAX = 65504.0


@dataclass(frozen=True)
class ExtractedFrame:
    """What became of one frame: the crop's path, or None and the reason why there is none."""

    frame: int
    path: Path | None
    message: str = ""


@dataclass(frozen=True)
class Faceset:
    """A faceset folder that was read.

    Attributes:
        folder: where it lies.
        persona: whose crops they are.
        size: pixels across the unit crop; pictures are size + 2·pad square.
        pad: pixels beyond the unit crop on each side.
        primaries: OpenColorIO name of the crops' scene-linear space.
        rights: usage-rights record given at extraction, as JSON values; None when there is none.
        crops: paths of the crops.
    """

    folder: Path
    persona: str
    size: int
    pad: int
    primaries: str
    rights: Mapping[str, Any] | None
    crops: tuple[Path, ...]

    @classmethod
    def load(cls, folder: Path) -> Faceset:
        """Read ``faceset.json``; pixels stay on disk until `crop`.

        Raises:
            FacesetError: no faceset, a newer version, missing crops or none.
        """
        path = Path(folder) / "faceset.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA or data["version"] > VERSION:
                raise FacesetError(
                    f"{path}: schema {data['schema']} {data['version']} is not one this version reads "
                    f"({SCHEMA} up to {VERSION}); update bodydouble or extract again."
                )
            if not is_persona_name(data["persona"]):
                raise FacesetError(f"{path}: {data['persona']!r} cannot be a persona's name; extract under another.")
            files = [entry["file"] for entry in data["crops"]]
            if any(Path(file).name != file for file in files):
                raise FacesetError(f"{path} names files outside its folder; this faceset is not to be trusted.")
            crops = tuple(Path(folder) / "crops" / file for file in files)
            faceset = cls(
                Path(folder), data["persona"], data["size"], data["pad"], data["primaries"], data["rights"], crops
            )
        except OSError as error:
            raise FacesetError(
                f"{folder} is not a faceset ({error.strerror}: {path.name}); make one with 'extract'."
            ) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FacesetError(
                f"{path} is damaged ({type(error).__name__}: {error}); extract the faceset again."
            ) from error
        missing = [crop.name for crop in crops if not crop.is_file()]
        if missing or not crops:
            listed = ", ".join(missing[:3]) or "no crop at all"
            raise FacesetError(
                f"{folder}: {len(missing)} of {len(crops)} crops are missing ({listed}); extract it again."
            )
        return faceset

    def crop(self, path: Path) -> torch.Tensor:
        """One crop, 4×(size+2·pad)² float16: scene-linear R, G, B and the matte; finite, whatever the file holds.

        Raises:
            FacesetError: it is unreadable or has another size.
        """
        side = self.size + 2 * self.pad
        try:
            image = read_image(path)
        except BodydoubleError as error:
            raise FacesetError(f"crop {path} of persona {self.persona}: {error}") from error
        if image.shape != (side, side, 4):
            raise FacesetError(f"crop {path} is {image.shape}, the faceset says {(side, side, 4)}; extract it again.")
        # A firefly beyond half's range would come out of the resampling as NaN and end in every weight.
        return torch.from_numpy(np.nan_to_num(image)).clamp(-HALF_MAX, HALF_MAX).permute(2, 0, 1).half().contiguous()


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
) -> Iterator[ExtractedFrame]:
    """Write one crop per frame whose face is trustworthy, then ``faceset.json``; yields each frame as it is done.

    Frames without a face, or below ``settings.min_confidence``, are skipped with a message. Crops of other plates that
    already lie in the folder stay: call it once per plate to gather a persona from many shots. A crop is called like
    its frame; where another plate, of any folder, has that name already, a few letters of its folder's hash follow.

    Args:
        plate: where the frames lie.
        frames: which of them.
        shot: the plate's shot faces.
        person: which person of the shot; None for the most prominent one.
        persona: name the persona shall have.
        out: faceset folder, made if missing.
        colour: OpenColorIO config.
        colorspace: the plate's colour space; None to take it from the files and the config's rules.
        settings: crop size, padding, thresholds.
        rights: usage-rights record to keep with the persona; None leaves the one the faceset has.

    Raises:
        UsageError: no persona can have this name.
        PlateError: a frame cannot be read.
        FacesetError: the folder holds another persona or geometry.
    """
    if not is_persona_name(persona):
        raise UsageError(f"{persona!r} cannot be a persona's name; use letters, digits, blanks, '_' and '-'.")
    origin = _origin(plate)
    entries, kept_rights = _present(out, persona, settings, plate, origin)
    rights = kept_rights if rights is None else rights
    primaries = ModelSpace().primaries
    for frame in frames:
        face = shot.face(frame, person)
        if face is None or face.confidence < settings.min_confidence:
            reason = "no face" if face is None else f"confidence {face.confidence:.2f} below {settings.min_confidence}"
            yield ExtractedFrame(frame, None, reason)
            continue
        source = plate.path(frame)
        picture = read_frame(plate, frame)
        convert = colour.converter(colorspace or colour.space_of(picture.attributes, source), primaries)
        crop = _wide_crop(np.nan_to_num(convert(picture.rgb()), posinf=HALF_MAX), face, settings)
        stem = f"{source.stem}.{frame:04d}" if plate.is_movie else source.stem
        stem = stem.replace(".", "_")
        path = out / "crops" / (f"{stem}.exr" if f"{stem}.exr" not in entries else f"{stem}_{origin}.exr")
        write_image(path, crop, channel_names=("R", "G", "B", "matte"), format="half", compression="zip")
        entries[path.name] = {
            "file": path.name,
            "plate": source.name,
            "origin": origin,
            "frame": frame,
            "confidence": round(face.confidence, 4),
            "unit_from_plate": np.asarray(face.unit_from_plate).round(9).tolist(),
        }
        yield ExtractedFrame(frame, path)
    _write_index(out, persona, settings, primaries, rights, entries)


def _wide_crop(rgb: np.ndarray, face: Face, settings: ExtractSettings) -> np.ndarray:
    """(size+2·pad)²×4 float32: the aligned crop with its matte."""
    side = settings.size + 2 * settings.pad
    shift = np.array([[1, 0, settings.pad], [0, 1, settings.pad], [0, 0, 1.0]])
    crop_from_plate = shift @ crop_from_unit(settings.size) @ np.asarray(face.unit_from_plate)
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    crop = warp(picture, crop_from_plate, (side, side))[0].permute(1, 2, 0).numpy()
    crop_from_unit_crop = shift @ crop_from_unit(settings.size)
    polygon = apply(crop_from_unit_crop, unit_outline(face, settings.forehead))
    matte = np.asarray(polygon_matte(polygon, (side, side)))
    return np.concatenate([crop, matte.reshape(side, side, 1)], axis=2).astype(np.float32)


def _origin(plate: PlateSequence) -> str:
    """Which folder a plate lies in, as eight hexadecimal digits; a movie is its own folder."""
    path = plate.path(plate.frames[0]).resolve()
    return hashlib.sha256(str(path if plate.is_movie else path.parent).encode()).hexdigest()[:8]


def _present(
    out: Path, persona: str, settings: ExtractSettings, plate: PlateSequence, origin: str
) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any] | None]:
    """Entries of other plates that the folder holds already, by file name, and the rights record it carries."""
    if not (out / "faceset.json").exists():
        return {}, None
    present = Faceset.load(out)
    if (present.persona, present.size, present.pad) != (persona, settings.size, settings.pad):
        raise FacesetError(
            f"{out} holds persona {present.persona!r} at size {present.size} pad {present.pad}, not {persona!r} at "
            f"{settings.size} pad {settings.pad}; choose another folder or the same settings."
        )
    data = json.loads((out / "faceset.json").read_text(encoding="utf-8"))
    names = {plate.path(frame).name for frame in plate.frames}

    def is_of(entry: Mapping[str, Any]) -> bool:
        # Facesets of before knew the name alone.
        return entry["plate"] in names and entry.get("origin", origin) == origin

    return {entry["file"]: entry for entry in data["crops"] if not is_of(entry)}, present.rights


def _write_index(
    out: Path,
    persona: str,
    settings: ExtractSettings,
    primaries: str,
    rights: Mapping[str, Any] | None,
    entries: Mapping[str, dict[str, Any]],
) -> None:
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "persona": persona,
        "size": settings.size,
        "pad": settings.pad,
        "primaries": primaries,
        "rights": dict(rights) if rights is not None else None,
        "crops": [entries[name] for name in sorted(entries)],
    }
    with atomic_path(out / "faceset.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
