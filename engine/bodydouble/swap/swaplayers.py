"""What a swap gives to comp besides the finished picture: layers in the frame, and the swap itself as a patch.

Layers (`LAYERS`) lie over the plate, pixel on pixel, and are 0 where there is no face: every frame of a sequence has
the same channels. The ST map holds the place in the crop that each pixel shows: u from the left, v from the *bottom*,
0 to 1 between the crop's outer edges, as Nuke's STMap reads it. A patch is the crop as the network returned it,
un-blended, in the plate's own colour encoding, with the matte as its alpha and the way between crop and plate in its
header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodydouble.alignment.geometry import crop_from_unit
from bodydouble.alignment.shotfaces import Face
from bodydouble.plates.colour import Converter
from bodydouble.plates.images import write_image
from bodydouble.plates.modelspace import ModelSpace, from_model
from bodydouble.plates.plate import Plate, Region, to_type
from bodydouble.swap.provenance import Value, channel_digest, sealed
from bodydouble.swap.swapstages import PlateRegion, inside_crop
from bodydouble.swap.warp import warp

MATTE, CONFIDENCE = "bodydouble.matte", "bodydouble.confidence"
FACE = ("bodydouble.face.R", "bodydouble.face.G", "bodydouble.face.B")
ST = ("bodydouble.st.u", "bodydouble.st.v")
LAYERS = (MATTE, CONFIDENCE, *FACE, *ST)


@dataclass(frozen=True, eq=False)
class FaceLayers:
    """The layers of one frame, over a region of the plate.

    Attributes:
        region: where they lie.
        matte: H×W in [0, 1]: 0 where the plate is untouched.
        confidence: of the alignment, 0..1.
        face: H×W×3 in the plate's encoding: the swap before it was blended, over the whole crop.
        st: H×W×2 in [0, 1]: u and v of the crop; 0 outside it.
    """

    region: Region
    matte: NDArray[np.float32]
    confidence: float
    face: NDArray[np.float32]
    st: NDArray[np.float32]


def face_layers(
    swap: Tensor,
    piece: PlateRegion,
    matte: NDArray[np.float32],
    face: Face,
    from_working: Converter,
    space: ModelSpace,
) -> FaceLayers:
    """The layers of a swap (1×3×s×s in model space) in the plate's pixels."""
    unit_from_region = piece.unit_from_region(face)
    region_from_crop = np.linalg.inv(crop_from_unit(swap.shape[-1]) @ unit_from_region)
    shown = warp(swap, np.asarray(region_from_crop, np.float64), piece.size).clamp(float(swap.min()), float(swap.max()))
    linear = from_model(shown, space)[0].permute(1, 2, 0).cpu().numpy()
    coverage = inside_crop(unit_from_region, piece.size, swap.device).cpu().numpy()
    picture = from_working(np.ascontiguousarray(linear)) * coverage[..., None]
    return FaceLayers(piece.region, matte, face.confidence, picture, _st_map(unit_from_region, piece.size))


def with_layers(plate: Plate, layers: FaceLayers | None) -> Plate:
    """The plate with all of `LAYERS` added, black where there is no face."""
    own = plate.picture.own_channel
    if layers is None:
        black = plate.with_channels(dict.fromkeys(map(own, (MATTE, CONFIDENCE, *FACE)), None), _format(plate))
        return black.with_channels(dict.fromkeys(map(own, ST), None), "float")
    pictures = {own(name): layers.face[..., index] for index, name in enumerate(FACE)}
    maps = {own(name): layers.st[..., index] for index, name in enumerate(ST)}
    plate = with_matte(plate, layers.matte, layers.confidence, layers.region)
    return plate.with_channels(pictures, _format(plate), layers.region).with_channels(maps, "float", layers.region)


def with_matte(plate: Plate, matte: NDArray[np.float32], confidence: float, region: Region) -> Plate:
    """The plate with the two layers that depend on the look; matte: H×W in [0, 1] over the region."""
    own = plate.picture.own_channel
    shown = np.where(matte > 0, np.float32(confidence), np.float32(0))
    return plate.with_channels({own(MATTE): matte, own(CONFIDENCE): shown}, _format(plate), region)


def write_patch(
    path: Path,
    swap: Tensor,
    matte: Tensor,
    face: Face | None,
    from_working: Converter,
    space: ModelSpace,
    stamp: Mapping[str, Value],
) -> None:
    """Write a swap (1×3×s×s in model space) and its matte (1×1×s×s) as half-float EXR: R, G, B un-blended, A the matte.

    The header says how crop and plate lie to each other: `bodydouble/crop_from_plate` and `bodydouble/plate_from_crop`
    are 3×3 matrices as JSON rows, for column vectors (x, y, 1); plate pixels count from the centre of the display
    window's first pixel, crop pixels from the centre of its first, y down. Without a face there are none.
    """
    linear = from_model(swap, space)[0].permute(1, 2, 0).cpu().numpy()
    pixels = np.concatenate([from_working(np.ascontiguousarray(linear)), matte[0].permute(1, 2, 0).cpu().numpy()], 2)
    matrices: dict[str, Value] = {"bodydouble/crop_size": int(swap.shape[-1])}
    if face is not None:
        crop_from_plate = crop_from_unit(swap.shape[-1]) @ np.asarray(face.unit_from_plate)
        matrices["bodydouble/crop_from_plate"] = json.dumps(crop_from_plate.tolist())
        matrices["bodydouble/plate_from_crop"] = json.dumps(np.linalg.inv(crop_from_plate).tolist())
    half = to_type(pixels, np.dtype(np.float16))
    digests = {name: channel_digest(half[..., index]) for index, name in enumerate("RGBA")}
    write_image(path, half, ("R", "G", "B", "A"), sealed({**stamp, **matrices}, digests), "half", "zip")


def black_crop(size: int) -> tuple[Tensor, Tensor]:
    """The swap and matte of a frame without a face."""
    return torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size)


def _format(plate: Plate) -> str:
    """Layers are stored as finely as the picture's own red."""
    return "half" if plate.main.formats[plate.main.channels.index(plate.picture.rgb[0])] == "half" else "float"


def _st_map(unit_from_region: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (unit_from_region[row, 0] * x + unit_from_region[row, 1] * y + unit_from_region[row, 2] for row in (0, 1))
    inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    return (np.stack([u, 1 - v], axis=-1) * inside[..., None]).astype(np.float32)
