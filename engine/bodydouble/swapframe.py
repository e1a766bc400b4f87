"""Swapping one frame in memory: the stages of `swapstages`, composed; and the model that they need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.checkpoint import CombCard, load_comb
from bodydouble.colour import Colour
from bodydouble.comb import Comb
from bodydouble.devices import pick_device
from bodydouble.geometry import similarity_scale
from bodydouble.plate import Plate
from bodydouble.rights import check_rights, rights_from_document
from bodydouble.settings import SwapSettings
from bodydouble.shotfaces import Face
from bodydouble.swaplayers import face_layers, with_layers
from bodydouble.swapstages import (
    blend_crop,
    blend_size,
    composite,
    decode,
    encode,
    face_matte,
    face_region,
    model_space_to_plate,
    plate_to_model_space,
    warp_to_crop,
)


@dataclass(frozen=True, eq=False)
class SwapModel:
    """A loaded model and the persona it shall show."""

    comb: Comb
    card: CombCard
    persona: str
    device: torch.device
    notice: str | None = None
    """What must be shown to the user about the persona's rights."""
    production: str | None = None
    """What it is used for."""


@dataclass(frozen=True, eq=False)
class SwappedFrame:
    """One finished frame in memory.

    Attributes:
        plate: with the face replaced, and with the layers if the settings ask for them.
        matte: H×W of the display window.
        seconds: by stage.
        swap: what the network returned, 1×3×s×s in model space; None where there is no face.
    """

    plate: Plate
    matte: NDArray[np.float32]
    seconds: Mapping[str, float]
    swap: torch.Tensor | None = None


def load_swap_model(
    folder: Path, persona: str, device: str = "auto", production: str | None = None, today: date | None = None
) -> SwapModel:
    """Load a model with one persona, after checking the persona's rights.

    Raises:
        ModelError, UnknownPersonaError: see `load_comb`.
        RightsError: the rights are over, or do not cover `production`.
    """
    where = pick_device(device)
    comb, card = load_comb(folder, [persona], where)
    record = card.persona(persona).rights
    rights = None if record is None else rights_from_document(record, f"rights of {persona} in {folder}")
    notice = check_rights(rights, persona, today or date.today(), production)
    comb = comb.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SwapModel(comb, card, persona, where, notice, production)


def swap_frame(
    plate: Plate, face: Face, model: SwapModel, colour: Colour, colorspace: str | None, settings: SwapSettings
) -> SwappedFrame:
    """Replace one face in one plate.

    Args:
        plate: as read; nothing in it is changed.
        face: whose face, aligned.
        model: network and persona.
        colour: OpenColorIO config.
        colorspace: of the plate; None to take it from the file.
        settings: matte and blend. Without ``blend_size`` it is chosen from this face alone.

    Raises:
        NoFaceError: the face lies outside the picture.
        UnknownColourSpaceError: see `Colour`.
    """
    seconds: dict[str, float] = {}
    space = model.card.model_space
    source = colorspace or colour.space_of(plate.attributes, plate.path)
    with _timed(seconds, "crop"):
        region = face_region(plate, face)
        piece = plate_to_model_space(plate, region, colour.converter(source, space.primaries), space, model.device)
        crop = warp_to_crop(piece, face, model.comb.dims.size)
    with _timed(seconds, "network"):
        latent = encode(model.comb, crop, settings.precision)
        swap = decode(model.comb, latent, model.persona, settings.precision)
    with _timed(seconds, "blend"):
        network_size = model.comb.dims.size
        size = settings.blend_size or blend_size(1 / similarity_scale(face.unit_from_plate), network_size)
        if size != network_size:
            crop = warp_to_crop(piece, face, size)
        matte = face_matte(face, size, settings.forehead, model.device)
        blended = blend_crop(swap, crop, matte, settings)
        picture, region_matte = composite(blended, piece, face, settings)
        from_working = colour.converter(space.primaries, source)
        result = model_space_to_plate(plate, picture, region_matte, region, from_working, space)
        if settings.layers:
            result = with_layers(result, face_layers(swap, piece, region_matte, face, from_working, space))
    whole = np.zeros((plate.height, plate.width), np.float32)
    _paste(whole, region_matte, region)
    return SwappedFrame(result, whole, seconds, swap)


def _paste(whole: NDArray[np.float32], matte: NDArray[np.float32], region: tuple[int, int, int, int]) -> None:
    """Put the region's matte into the display window's, dropping what lies outside."""
    height, width = whole.shape
    x0, y0, x1, y1 = max(0, region[0]), max(0, region[1]), min(width, region[2]), min(height, region[3])
    if x0 < x1 and y0 < y1:
        whole[y0:y1, x0:x1] = matte[y0 - region[1] : y1 - region[1], x0 - region[0] : x1 - region[0]]


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
