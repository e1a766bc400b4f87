"""Bodydouble replaces a performer's face in scene-linear EXR plates with a trained persona.

The names below are the public API. They load on first use (PEP 562), so that `import bodydouble` is quick and loads
neither torch nor dlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bodydouble.aligning import align_frames, align_shot
    from bodydouble.checkpoint import load_comb, save_comb
    from bodydouble.colour import Colour
    from bodydouble.comb import Comb, CombDims
    from bodydouble.errors import BodydoubleError
    from bodydouble.facesets import Faceset, extract
    from bodydouble.frames import FrameRange
    from bodydouble.images import read_plate, write_plate
    from bodydouble.modelspace import ModelSpace
    from bodydouble.plate import Plate
    from bodydouble.reviewing import review
    from bodydouble.rights import RightsRecord
    from bodydouble.sequences import PlateSequence
    from bodydouble.settings import AlignSettings, SwapSettings
    from bodydouble.shotfaces import Face, ShotFaces, read_shot_faces, write_shot_faces
    from bodydouble.swapping import swap_frame, swap_sequence
    from bodydouble.training import train

_MODULE_OF = {
    "AlignSettings": "settings",
    "BodydoubleError": "errors",
    "Colour": "colour",
    "Comb": "comb",
    "CombDims": "comb",
    "Face": "shotfaces",
    "Faceset": "facesets",
    "FrameRange": "frames",
    "ModelSpace": "modelspace",
    "Plate": "plate",
    "PlateSequence": "sequences",
    "RightsRecord": "rights",
    "ShotFaces": "shotfaces",
    "SwapSettings": "settings",
    "align_frames": "aligning",
    "align_shot": "aligning",
    "extract": "facesets",
    "load_comb": "checkpoint",
    "read_plate": "images",
    "read_shot_faces": "shotfaces",
    "review": "reviewing",
    "save_comb": "checkpoint",
    "swap_frame": "swapping",
    "swap_sequence": "swapping",
    "train": "training",
    "write_plate": "images",
    "write_shot_faces": "shotfaces",
}

__all__ = [
    "AlignSettings",
    "BodydoubleError",
    "Colour",
    "Comb",
    "CombDims",
    "Face",
    "Faceset",
    "FrameRange",
    "ModelSpace",
    "Plate",
    "PlateSequence",
    "RightsRecord",
    "ShotFaces",
    "SwapSettings",
    "__version__",
    "align_frames",
    "align_shot",
    "extract",
    "load_comb",
    "read_plate",
    "read_shot_faces",
    "review",
    "save_comb",
    "swap_frame",
    "swap_sequence",
    "train",
    "write_plate",
    "write_shot_faces",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bodydouble' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"bodydouble.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
