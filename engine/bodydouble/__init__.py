"""Bodydouble replaces a performer's face in scene-linear EXR plates with a trained persona.

The names below are the public API. They load on first use (PEP 562), so that `import bodydouble` is quick and loads
neither torch nor dlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bodydouble.alignment.aligning import align_frames, align_shot
    from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces, write_shot_faces
    from bodydouble.errors import BodydoubleError
    from bodydouble.inspecting import inspect
    from bodydouble.network.checkpoint import load_comb, save_comb
    from bodydouble.network.comb import Comb, CombDims
    from bodydouble.plates.colour import Colour
    from bodydouble.plates.frames import FrameRange
    from bodydouble.plates.images import read_plate, write_plate
    from bodydouble.plates.modelspace import ModelSpace
    from bodydouble.plates.plate import Plate
    from bodydouble.plates.reading import find_plate, read_frame
    from bodydouble.plates.sequences import PlateSequence
    from bodydouble.reviews.reviewing import review
    from bodydouble.rights import RightsRecord, read_rights
    from bodydouble.settings import AlignSettings, ExtractSettings, SwapSettings, TrainSettings
    from bodydouble.swap.framejob import FrameResult
    from bodydouble.swap.guides import Guides, MatteFiles
    from bodydouble.swap.holdouts import find_holdouts
    from bodydouble.swap.lookfile import ShotLook, read_look, write_look
    from bodydouble.swap.platemeasures import ShotMeasures, measure_plate, read_measures, write_measures
    from bodydouble.swap.swapframe import SwapModel, load_swap_model, mean_latents, swap_frame
    from bodydouble.swap.swapping import swap_sequence
    from bodydouble.swap.swapstages import (
        blend_crop,
        composite,
        decode,
        encode,
        face_matte,
        face_region,
        model_space_to_plate,
        move_latent,
        plate_to_model_space,
        warp_to_crop,
    )
    from bodydouble.training.extracting import extract
    from bodydouble.training.facesets import Faceset
    from bodydouble.training.training import train
    from bodydouble.training.trainjob import TrainProgress

_MODULE_OF = {
    "AlignSettings": "settings",
    "BodydoubleError": "errors",
    "Colour": "plates.colour",
    "Comb": "network.comb",
    "CombDims": "network.comb",
    "ExtractSettings": "settings",
    "Face": "alignment.shotfaces",
    "Faceset": "training.facesets",
    "FrameRange": "plates.frames",
    "FrameResult": "swap.framejob",
    "Guides": "swap.guides",
    "MatteFiles": "swap.guides",
    "ModelSpace": "plates.modelspace",
    "Plate": "plates.plate",
    "PlateSequence": "plates.sequences",
    "RightsRecord": "rights",
    "ShotFaces": "alignment.shotfaces",
    "ShotLook": "swap.lookfile",
    "ShotMeasures": "swap.platemeasures",
    "SwapModel": "swap.swapframe",
    "SwapSettings": "settings",
    "TrainProgress": "training.trainjob",
    "TrainSettings": "settings",
    "align_frames": "alignment.aligning",
    "align_shot": "alignment.aligning",
    "blend_crop": "swap.swapstages",
    "composite": "swap.swapstages",
    "decode": "swap.swapstages",
    "encode": "swap.swapstages",
    "extract": "training.extracting",
    "face_matte": "swap.swapstages",
    "face_region": "swap.swapstages",
    "find_holdouts": "swap.holdouts",
    "find_plate": "plates.reading",
    "inspect": "inspecting",
    "load_comb": "network.checkpoint",
    "load_swap_model": "swap.swapframe",
    "mean_latents": "swap.swapframe",
    "measure_plate": "swap.platemeasures",
    "model_space_to_plate": "swap.swapstages",
    "move_latent": "swap.swapstages",
    "plate_to_model_space": "swap.swapstages",
    "read_frame": "plates.reading",
    "read_look": "swap.lookfile",
    "read_measures": "swap.platemeasures",
    "read_plate": "plates.images",
    "read_rights": "rights",
    "read_shot_faces": "alignment.shotfaces",
    "review": "reviews.reviewing",
    "save_comb": "network.checkpoint",
    "swap_frame": "swap.swapframe",
    "swap_sequence": "swap.swapping",
    "train": "training.training",
    "warp_to_crop": "swap.swapstages",
    "write_look": "swap.lookfile",
    "write_measures": "swap.platemeasures",
    "write_plate": "plates.images",
    "write_shot_faces": "alignment.shotfaces",
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
    "Guides",
    "MatteFiles",
    "ModelSpace",
    "Plate",
    "PlateSequence",
    "RightsRecord",
    "ShotFaces",
    "ShotLook",
    "ShotMeasures",
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
    "find_holdouts",
    "find_plate",
    "inspect",
    "load_comb",
    "load_swap_model",
    "mean_latents",
    "measure_plate",
    "model_space_to_plate",
    "move_latent",
    "plate_to_model_space",
    "read_frame",
    "read_look",
    "read_measures",
    "read_plate",
    "read_rights",
    "read_shot_faces",
    "review",
    "save_comb",
    "swap_frame",
    "swap_sequence",
    "train",
    "warp_to_crop",
    "write_look",
    "write_measures",
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
