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
    from bodydouble.framejob import FrameResult
    from bodydouble.frames import FrameRange
    from bodydouble.images import read_plate, write_plate
    from bodydouble.inspecting import inspect
    from bodydouble.modelspace import ModelSpace
    from bodydouble.plate import Plate
    from bodydouble.reading import find_plate, read_frame
    from bodydouble.reviewing import review
    from bodydouble.rights import RightsRecord, read_rights
    from bodydouble.sequences import PlateSequence
    from bodydouble.settings import AlignSettings, ExtractSettings, SwapSettings, TrainSettings
    from bodydouble.shotfaces import Face, ShotFaces, read_shot_faces, write_shot_faces
    from bodydouble.swapframe import SwapModel, load_swap_model, swap_frame
    from bodydouble.swapping import swap_sequence
    from bodydouble.swapstages import (
        blend_crop,
        composite,
        decode,
        encode,
        face_matte,
        face_region,
        model_space_to_plate,
        plate_to_model_space,
        warp_to_crop,
    )
    from bodydouble.training import train
    from bodydouble.trainjob import TrainProgress

_MODULE_OF = {
    "AlignSettings": "settings",
    "BodydoubleError": "errors",
    "Colour": "colour",
    "Comb": "comb",
    "CombDims": "comb",
    "ExtractSettings": "settings",
    "Face": "shotfaces",
    "Faceset": "facesets",
    "FrameRange": "frames",
    "FrameResult": "framejob",
    "ModelSpace": "modelspace",
    "Plate": "plate",
    "PlateSequence": "sequences",
    "RightsRecord": "rights",
    "ShotFaces": "shotfaces",
    "SwapModel": "swapframe",
    "SwapSettings": "settings",
    "TrainProgress": "trainjob",
    "TrainSettings": "settings",
    "align_frames": "aligning",
    "align_shot": "aligning",
    "blend_crop": "swapstages",
    "composite": "swapstages",
    "decode": "swapstages",
    "encode": "swapstages",
    "extract": "facesets",
    "face_matte": "swapstages",
    "face_region": "swapstages",
    "find_plate": "reading",
    "inspect": "inspecting",
    "load_comb": "checkpoint",
    "load_swap_model": "swapframe",
    "model_space_to_plate": "swapstages",
    "plate_to_model_space": "swapstages",
    "read_frame": "reading",
    "read_plate": "images",
    "read_rights": "rights",
    "read_shot_faces": "shotfaces",
    "review": "reviewing",
    "save_comb": "checkpoint",
    "swap_frame": "swapframe",
    "swap_sequence": "swapping",
    "train": "training",
    "warp_to_crop": "swapstages",
    "write_plate": "images",
    "write_shot_faces": "shotfaces",
}

__all__ = [
    "AlignSettings",
    "BodydoubleError",
    "Colour",
    "Comb",
    "CombDims",
    "ExtractSettings",
    "Face",
    "Faceset",
    "FrameRange",
    "FrameResult",
    "ModelSpace",
    "Plate",
    "PlateSequence",
    "RightsRecord",
    "ShotFaces",
    "SwapModel",
    "SwapSettings",
    "TrainProgress",
    "TrainSettings",
    "__version__",
    "align_frames",
    "align_shot",
    "blend_crop",
    "composite",
    "decode",
    "encode",
    "extract",
    "face_matte",
    "face_region",
    "find_plate",
    "inspect",
    "load_comb",
    "load_swap_model",
    "model_space_to_plate",
    "plate_to_model_space",
    "read_frame",
    "read_plate",
    "read_rights",
    "read_shot_faces",
    "review",
    "save_comb",
    "swap_frame",
    "swap_sequence",
    "train",
    "warp_to_crop",
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
