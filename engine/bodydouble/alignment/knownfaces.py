"""What people look like, for figures of identity: embeddings of a faceset's crops or of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.aligning import measure_faces
from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.views import PictureViews
from bodydouble.errors import InputError
from bodydouble.plates.colour import WORKING_SPACE, Colour
from bodydouble.plates.reading import find_plate, read_frame
from bodydouble.reviews.quality import display_code, rec709_from_acescg
from bodydouble.settings import AlignSettings
from bodydouble.training.facesets import Faceset

Item = TypeVar("Item")

PICTURES = 16
"""Pictures of a person that are looked at, evenly spread over those given."""

_STILLS = AlignSettings(stills=True)


def known_face(path: Path, finder: FaceFinder, colour: Colour) -> NDArray[np.float32]:
    """(N, 128) embeddings of one person: of a faceset folder, or of the largest face in each of a set of pictures.

    Errors: InputError if there are no pictures or none shows a face; FacesetError.
    """
    if (path / "faceset.json").is_file():
        shown = _faceset_pictures(Faceset.load(path), colour)
    else:
        shown = _pictures(path, colour)
    embeddings = []
    for image in shown:
        faces = [face.landmarks_px for face in measure_faces(finder, PictureViews(image), _STILLS)]
        if faces:
            largest = max(faces, key=lambda landmarks_px: float(np.ptp(landmarks_px[:, 0])))
            embeddings.append(finder.embedding(image, largest))
    if not embeddings:
        raise InputError(f"{path}: no face was found in {len(shown)} pictures of it.")
    return np.stack(embeddings)


def _faceset_pictures(faceset: Faceset, colour: Colour) -> list[NDArray[np.uint8]]:
    convert = colour.converter(faceset.primaries, WORKING_SPACE)
    return [_u8(convert(np.ascontiguousarray(faceset.pixels(path)[..., :3]))) for path in _spread(faceset.crops)]


def _pictures(path: Path, colour: Colour) -> list[NDArray[np.uint8]]:
    sequence = find_plate(path)
    shown = []
    for frame in _spread(sequence.frames):
        picture = read_frame(sequence, frame)
        convert = colour.converter(colour.space_of(picture.attributes, picture.path), WORKING_SPACE)
        shown.append(_u8(convert(picture.rgb())))
    return shown


def _spread(items: Sequence[Item]) -> list[Item]:
    picks = np.unique(np.linspace(0, len(items) - 1, min(PICTURES, len(items))).round().astype(int))
    return [items[index] for index in picks]


def _u8(working: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(display_code(rec709_from_acescg(working)) * 255).astype(np.uint8)
