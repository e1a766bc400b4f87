"""What is this file: a plate, a finished frame, shot faces, a faceset or a model.

Reads headers and JSON only, so it is quick and loads no torch. Keys that are not known are left alone.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bodydouble.alignment.shotfaces import SCHEMA as SHOT_FACES_SCHEMA
from bodydouble.alignment.shotfaces import read_shot_faces
from bodydouble.errors import BodydoubleError, FacesetError, InputError, ModelError, UnknownColourSpaceError
from bodydouble.plates.colour import Colour
from bodydouble.plates.frames import FrameRange
from bodydouble.plates.images import Header, output_compression_of, read_headers, why_unsupported
from bodydouble.plates.movies import read_movie
from bodydouble.plates.pictures import find_picture, views_of
from bodydouble.plates.reading import find_plate, find_space
from bodydouble.plates.sequences import PlateSequence
from bodydouble.rights import SEAL, rights_state

OUR_ATTRIBUTES = "bodydouble/"
SAFETENSORS_HEADER_LIMIT = 100_000_000
SPANS = ("yaw_deg", "pitch_deg", "exposure_stops", "sharpness", "side_px")
"""Figures of a faceset's crops whose range is told."""


@dataclass(frozen=True)
class Inspection:
    """What a path is.

    Attributes:
        kind: "plate", "finished frames", "shot faces", "faceset" or "model".
        path: as it was given.
        facts: by name, values that JSON can hold.
    """

    kind: str
    path: str
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Everything in one mapping, `kind` and `path` first."""
        return {"kind": self.kind, "path": self.path, **self.facts}


def inspect(
    path: str | Path, colour: Colour | None = None, part: str | None = None, view: str | None = None
) -> Inspection:
    """Say what a path is. colour: the config that names a plate's space, by default `Colour()`; part, view: which
    picture of a plate is meant.

    Errors: InputError (PlateError, SidecarError, …) naming the file when it is none of ours or damaged; UsageError for
    a part or view that is not there.
    """
    place = Path(path)
    if (place / "comb.json").is_file() or place.suffix == ".comb":
        return Inspection("model", str(path), _model_facts(place))
    if (place / "faceset.json").is_file():
        return Inspection("faceset", str(path), _faceset_facts(place))
    if place.suffix == ".json":
        return Inspection("shot faces", str(path), _shot_faces_facts(place))
    sequence = find_plate(path, part, view)
    if sequence.is_movie:
        return Inspection("plate", str(path), _movie_facts(sequence, colour or Colour()))
    facts = _plate_facts(sequence, read_headers(sequence.path(sequence.frames[0])), colour or Colour())
    return Inspection("finished frames" if facts["made_by_bodydouble"] else "plate", str(path), facts)


def _movie_facts(sequence: PlateSequence, colour: Colour) -> dict[str, Any]:
    movie = read_movie(sequence.path(1))
    return {
        "pattern": sequence.pattern,
        "frames": str(sequence.range),
        "frame_count": len(sequence.frames),
        "size": f"{movie.width}x{movie.height}",
        "pixel_aspect": movie.pixel_aspect,
        "frames_per_second": float(movie.rate),
        "codec": f"{movie.codec} {movie.pixel_format}",
        **_colour_facts(sequence, colour),
    }


def _plate_facts(sequence: PlateSequence, headers: tuple[Header, ...], colour: Colour) -> dict[str, Any]:
    swap: dict[str, Any] = {}
    main = headers[0]
    try:
        picture = find_picture(headers, sequence.part, sequence.view_in_file)
        main = headers[picture.part]
        name, note = output_compression_of(main)
        swap = {"part": picture.part + 1, "channels": " ".join(picture.rgb), "alpha": picture.alpha}
        swap |= {"output_compression": note or name}
    except InputError as error:
        swap = {"refused": str(error)}
    reasons = [(number, why_unsupported(header)) for number, header in enumerate(headers, start=1)]
    refused = "; ".join(f"part {number} is {reason}" for number, reason in reasons if reason)
    attributes = main.attributes
    ours = {
        key.removeprefix(OUR_ATTRIBUTES): value for key, value in attributes.items() if key.startswith(OUR_ATTRIBUTES)
    }
    x0, y0, x1, y1 = main.display_window
    return {
        "pattern": sequence.pattern,
        "frames": str(sequence.range),
        "frame_count": len(sequence.frames),
        "missing_frames": str(FrameRange.of(sequence.missing)) or None,
        "size": f"{x1 - x0}x{y1 - y0}",
        "pixel_aspect": main.pixel_aspect,
        "views": list(views_of(headers)) or None,
        **_colour_facts(sequence, colour),
        "swap": {"refused": refused} if refused else swap,
        "made_by_bodydouble": {key: _plain(value) for key, value in ours.items()} or None,
        "parts": [_part_facts(header) for header in headers],
        "attributes": {key: _plain(value) for key, value in attributes.items() if not key.startswith(OUR_ATTRIBUTES)},
    }


def _part_facts(header: Header) -> dict[str, Any]:
    channels: dict[str, list[str]] = {}
    for name, format in zip(header.channels, header.formats, strict=True):
        channels.setdefault(format, []).append(name)
    return {
        "name": header.name or None,
        "view": header.view or None,
        "channels": {format: " ".join(names) for format, names in channels.items()},
        "display_window": list(header.display_window),
        "data_window": list(header.data_window),
        "compression": header.compression,
        "tile": list(header.tile) if header.tile else None,
        "deep": header.deep,
    }


def _colour_facts(sequence: PlateSequence, colour: Colour) -> dict[str, Any]:
    try:
        found = find_space(sequence, sequence.frames[0], colour)
    except (UnknownColourSpaceError, InputError) as error:
        return {"colour_space": f"unknown ({error})", "colour_space_by": None}
    return {"colour_space": found.name, "colour_space_by": found.reason}


def _shot_faces_facts(path: Path) -> dict[str, Any]:
    document = _json(path, InputError)
    if document.get("schema") != SHOT_FACES_SCHEMA:
        raise InputError(f"{path}: its schema is {document.get('schema')!r}; this is no file that 'info' knows.")
    shot = read_shot_faces(path)
    frames = sorted(shot.frames)
    seen = Counter(face.person for faces in shot.frames.values() for face in faces)
    without = [frame for frame in frames if not shot.frames[frame]]
    return {
        "plate": shot.plate,
        "size": f"{shot.width}x{shot.height}",
        "frames": str(FrameRange.of(frames)),
        "frames_without_a_face": str(FrameRange.of(without)) or None,
        "persons": {str(person): f"{count} frames" for person, count in sorted(seen.items())},
    }


def _faceset_facts(folder: Path) -> dict[str, Any]:
    document = _json(folder / "faceset.json", FacesetError)
    crops = document.get("crops")
    unsaid = ("crops", "schema", "version", "model_space")
    known = {key: _plain(value) for key, value in document.items() if key not in unsaid}
    pictures = [
        path
        for path in (*folder.glob("crops/*"), *folder.glob("mattes/*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    entries = [entry for entry in crops if isinstance(entry, dict)] if isinstance(crops, list) else []
    return {
        **known,
        "crops": len(crops) if isinstance(crops, list) else None,
        **{name: span for name in SPANS if (span := _span([entry.get(name) for entry in entries])) is not None},
        "bytes": sum(picture.stat().st_size for picture in pictures),
    }


def _span(values: Sequence[Any]) -> list[float] | None:
    """The least and the greatest of the numbers among some values; None where there are none."""
    numbers = [value for value in values if isinstance(value, int | float) and abs(value) < 1e30]
    return [round(min(numbers), 2), round(max(numbers), 2)] if numbers else None


def _model_facts(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise ModelError(f"{folder}: no such folder. Give the NAME.comb folder that 'train' made.")
    document = _json(folder / "comb.json", ModelError)
    personas, dims = document.get("personas", {}), document.get("dims", {})
    if not isinstance(personas, Mapping) or not isinstance(dims, Mapping):
        raise ModelError(f"{folder / 'comb.json'}: damaged; copy the model again.")
    history = document.get("history")
    return {
        **dims,
        "model_space": document.get("model_space"),
        "crop": document.get("crop"),
        "personas": {name: _persona_facts(folder, name, entry) for name, entry in personas.items()},
        "encoder": _weights(folder / "encoder.safetensors"),
        "trunk": _weights(folder / "trunk.safetensors"),
        "training_runs": len(history) if isinstance(history, list) else None,
    }


_LATENT = "latent_mean"
"""What a persona's weights have besides parameters: where its latents lie, and `latent_crops`, of how many crops."""


def _persona_facts(folder: Path, name: str, entry: Any) -> dict[str, Any]:
    known = dict(entry) if isinstance(entry, Mapping) else {}
    weights, rights = _weights(folder / "personas" / f"{name}.safetensors"), known.get("rights")
    seal = weights.pop(SEAL, None) if isinstance(weights, dict) else None
    noted = weights.pop(_LATENT, False) if isinstance(weights, dict) else False
    return {
        "rights": rights,
        "rights_state": rights_state(rights, seal, name, date.today(), str(folder)),
        "crops": known.get("crops"),
        "can_be_named_as_performer": noted,
        "weights": weights,
    }


def _weights(path: Path) -> dict[str, Any] | str:
    """Size, parameters and types of a safetensors file by its header: a length, then JSON; or what is wrong with it.

    The seal of a rights record is among them where there is one, and that latents were noted.
    """
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            tensors = json.loads(file.read(min(length, SAFETENSORS_HEADER_LIMIT)))
            start, end = tensors.get("latent_crops", {}).get("data_offsets", (0, 0))
            file.seek(8 + length + start)
            noted = any(file.read(min(8, end - start)))  # a number other than 0
        entries = [entry for name, entry in tensors.items() if name not in ("__metadata__", _LATENT, "latent_crops")]
        return {
            "bytes": path.stat().st_size,
            "parameters": sum(math.prod(entry["shape"]) for entry in entries),
            "types": sorted({entry["dtype"] for entry in entries}),
            **({_LATENT: True} if noted else {}),
            **{name: value for name, value in tensors.get("__metadata__", {}).items() if name == SEAL},
        }
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return "damaged"


def _json(path: Path, error_type: type[BodydoubleError]) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise error_type(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise error_type(f"{path}: not valid JSON ({error}); copy or make it again.") from error
    if not isinstance(document, dict):
        raise error_type(f"{path}: not a document of ours.")
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | None | Mapping):
        return value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
