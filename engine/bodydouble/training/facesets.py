"""Facesets: aligned training crops and mattes of one persona.

A faceset is a folder: ``faceset.json`` (schema, version, persona, geometry, rights, one entry per crop with its
figures) and ``crops/``, scene-linear crops in the working primaries with their mattes (`cropfiles`). Crops reach
``pad`` pixels beyond the unit crop on each side, so that training may shift and turn them without inventing edges.
Beside them lie pictures of the whole to look at (`facesetpictures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.documents import read_document
from bodydouble.errors import BodydoubleError, FacesetError
from bodydouble.network.comb import is_persona_name
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.training.cropfigures import CropFigures
from bodydouble.training.cropfiles import Crop, files_of, read_crop

SCHEMA = "bodydouble.faceset"
VERSION = 2
FILE = "faceset.json"

Landmarks = NDArray[np.float32]


@dataclass(frozen=True)
class Faceset:
    """A faceset folder that was read.

    Attributes:
        folder: where it lies.
        persona: whose crops they are.
        size: pixels across the unit crop; pictures are size + 2·pad square.
        pad: pixels beyond the unit crop on each side.
        primaries: OpenColorIO name of the crops' scene-linear space.
        forehead: reach of the mattes over the forehead, as `ExtractSettings` has it.
        rights: usage-rights record given at extraction, as JSON values; None when there is none.
        crops: paths of the crops.
        figures: of each of them; None of a crop that was extracted before version 2.
        landmarks: 68×2 of each, in sides of the unit crop; None of a crop that was extracted by an earlier version.
        entries: what else the index says of each, as JSON values.
        space: encoding of crops in PNG.
    """

    folder: Path
    persona: str
    size: int
    pad: int
    primaries: str
    forehead: float
    rights: Mapping[str, Any] | None
    crops: tuple[Path, ...]
    figures: tuple[CropFigures | None, ...]
    landmarks: tuple[Landmarks | None, ...]
    entries: tuple[Mapping[str, Any], ...]
    space: ModelSpace

    @classmethod
    def load(cls, folder: Path) -> Faceset:
        """Read ``faceset.json``; pixels stay on disk until `pixels` or `crop`.

        Raises:
            FacesetError: no faceset, a newer version, missing crops or none.
        """
        folder = Path(folder)
        path = folder / FILE
        try:
            faceset = _faceset(
                folder, _upgraded(read_document(path, FacesetError, "`bodydouble extract` makes it."), path)
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FacesetError(
                f"{path} is damaged ({type(error).__name__}: {error}); extract the faceset again."
            ) from error
        missing = [crop.name for crop in faceset.crops if not all(file.is_file() for file in files_of(crop))]
        if missing or not faceset.crops:
            listed = ", ".join(missing[:3]) or "no crop at all"
            raise FacesetError(
                f"{folder}: {len(missing)} of {len(faceset.crops)} crops are missing ({listed}); extract it again."
            )
        return faceset

    def pixels(self, path: Path) -> Crop:
        """One crop, (size+2·pad)²×4 float32: scene-linear R, G, B and the matte; finite, whatever the file holds.

        Raises:
            FacesetError: it is unreadable or has another size.
        """
        side = self.size + 2 * self.pad
        try:
            crop = read_crop(path, self.space)
        except (BodydoubleError, ValueError) as error:
            raise FacesetError(f"crop {path} of persona {self.persona}: {error}") from error
        if crop.shape != (side, side, 4):
            raise FacesetError(f"crop {path} is {crop.shape}, the faceset says {(side, side, 4)}; extract it again.")
        return crop

    def crop(self, path: Path) -> torch.Tensor:
        """One crop for training: as `pixels`, 4×(size+2·pad)² float16."""
        return torch.from_numpy(self.pixels(path)).permute(2, 0, 1).half().contiguous()


def _upgraded(data: Any, path: Path) -> dict[str, Any]:
    """The document as the newest version has it; each version adds its step here."""
    if data["schema"] != SCHEMA or data["version"] > VERSION:
        raise FacesetError(
            f"{path}: schema {data['schema']} {data['version']} is not one this version reads "
            f"({SCHEMA} up to {VERSION}); update bodydouble or extract again."
        )
    # Version 2 added the figures of each crop, which it may lack, the encoding of crops in PNG, and the mattes' reach,
    # which had one value before.
    return {"model_space": ModelSpace(primaries=data["primaries"]).as_dict(), "forehead": 0.7, **data}


def _faceset(folder: Path, data: Mapping[str, Any]) -> Faceset:
    if not is_persona_name(data["persona"]):
        raise FacesetError(f"{folder / FILE}: {data['persona']!r} cannot be a persona's name; extract under another.")
    entries = tuple(data["crops"])
    files = [entry["file"] for entry in entries]
    if any(Path(file).name != file for file in files):
        raise FacesetError(f"{folder / FILE} names files outside its folder; this faceset is not to be trusted.")
    return Faceset(
        folder,
        data["persona"],
        data["size"],
        data["pad"],
        data["primaries"],
        float(data["forehead"]),
        data["rights"],
        tuple(folder / "crops" / file for file in files),
        tuple(CropFigures.from_dict(entry) for entry in entries),
        tuple(_landmarks(entry) for entry in entries),
        entries,
        ModelSpace(**data["model_space"]),
    )


def _landmarks(entry: Mapping[str, Any]) -> Landmarks | None:
    given = entry.get("landmarks")
    if given is None:
        return None
    found = np.asarray(given, np.float32)
    if found.shape != (68, 2) or not np.isfinite(found).all():
        raise ValueError(f"the landmarks of {entry.get('file')} are no 68 points")
    return found
