"""Swapping one frame in memory: the stages of `swapstages`, composed; and the model that they need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.alignment.geometry import similarity_scale
from bodydouble.alignment.shotfaces import Face
from bodydouble.network.checkpoint import CombCard, load_comb, read_latent_mean, rights_seal
from bodydouble.network.comb import Comb
from bodydouble.network.devices import pick_device
from bodydouble.plates.colour import Colour
from bodydouble.plates.plate import Plate
from bodydouble.rights import check_rights, check_seal, rights_from_document
from bodydouble.settings import SwapSettings
from bodydouble.swap.guides import FrameGuides, Guides
from bodydouble.swap.swaplayers import face_layers, with_layers, with_matte
from bodydouble.swap.swapstages import (
    PlateRegion,
    blend_crop,
    blend_size,
    clear_crop,
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


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame before its face goes through the network.

    Attributes:
        plate, face: what was given.
        piece: the plate around the face, in model space.
        crop: the aligned crop, 1×3×s×s with s as the network's size.
        source: the plate's colour space.
        seconds: by stage.
    """

    plate: Plate
    face: Face
    piece: PlateRegion
    crop: torch.Tensor
    source: str
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class SwappedFace:
    """What of a frame stays the same whatever its look: another look needs `blend_faces` and `finish_face` alone.

    Attributes:
        frame: the plate around the face.
        swap: what the network returned, 1×3×s×s in model space.
        crop: the plate's crop in the blend's size, 1×3×r×r.
    """

    frame: PreparedFrame
    swap: torch.Tensor
    crop: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory that it needs."""
        plate = sum(pixels.nbytes for part in self.frame.plate.parts for pixels in part.pixels)
        tensors = self.swap, self.crop, self.frame.crop, self.frame.piece.picture
        return plate + sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True, eq=False)
class LookedFace:
    """A swapped face, how it shall look, and what its frame was given beside. `seconds`: by stage, so far."""

    face: SwappedFace
    settings: SwapSettings
    guides: FrameGuides | None
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class BlendedFace:
    """A face with its plate's light: the crop, 1×3×r×r. `seconds`: by stage, so far."""

    looked: LookedFace
    crop: torch.Tensor
    seconds: Mapping[str, float]


def load_swap_model(
    folder: Path, persona: str, device: str = "auto", production: str | None = None, today: date | None = None
) -> SwapModel:
    """Load a model with one persona, after checking the persona's rights.

    Raises:
        ModelError, UnknownPersonaError: see `load_comb`.
        RightsError: the rights are over, do not cover `production`, or the record was changed after training.
    """
    where = pick_device(device)
    comb, card = load_comb(folder, [persona], where)
    notice = rights_notice(card, folder, persona, production, today)
    comb = comb.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SwapModel(comb, card, persona, where, notice, production)


def mean_latents(model: SwapModel, performer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean latents of the performer and of the persona, C values each. Errors: see `read_latent_mean`."""
    return read_latent_mean(model.card, performer), read_latent_mean(model.card, model.persona)


def rights_notice(
    card: CombCard, folder: Path, persona: str, production: str | None, today: date | None = None
) -> str | None:
    """What must be shown about a persona's rights, None for nothing. Raises RightsError, UnknownPersonaError."""
    record = card.persona(persona).rights
    check_seal(record, rights_seal(folder, persona), persona, str(folder))
    rights = None if record is None else rights_from_document(record, f"rights of {persona} in {folder}")
    return check_rights(rights, persona, today or date.today(), production)


def swap_frame(
    plate: Plate,
    face: Face,
    model: SwapModel,
    colour: Colour,
    colorspace: str | None,
    settings: SwapSettings,
    guides: Guides | None = None,
    frame: int = 0,
) -> SwappedFrame:
    """Replace one face in one plate.

    Args:
        plate: as read; nothing in it is changed.
        face: whose face, aligned.
        model: network and persona.
        colour: OpenColorIO config.
        colorspace: of the plate; None to take it from the file.
        settings: matte and blend. Without ``blend_size`` it is chosen from this face alone.
        guides, frame: mattes and grain of the shot, and which frame of it this is.

    Raises:
        NoFaceError: the face lies outside the picture.
        InputError: a matte of the guides is missing.
        UnknownColourSpaceError: see `Colour`.
        UnknownPersonaError, ModelError: the model does not know the performer of the settings.
    """
    prepared = prepare_frame(plate, face, model, colour, colorspace)
    (swap,), seconds = swap_faces([prepared], model, settings)
    given = None if guides is None else read_guides(guides, frame, prepared)
    return finish_frame(prepared, swap, seconds, model, colour, settings, given)


def read_guides(guides: Guides, frame: int, prepared: PreparedFrame) -> FrameGuides:
    """The guides of a frame where its piece is. Errors: see `MatteFiles.read`."""
    piece, plate = prepared.piece, prepared.plate
    return guides.read(frame, piece.region, (plate.width, plate.height), piece.picture.device)


def prepare_frame(
    plate: Plate,
    face: Face,
    model: SwapModel,
    colour: Colour,
    colorspace: str | None,
    device: torch.device | None = None,
) -> PreparedFrame:
    """The first part of `swap_frame`: the plate around the face in model space, on `device` (None: the model's)."""
    seconds: dict[str, float] = {}
    space = model.card.model_space
    source = colorspace or colour.space_of(plate.attributes, plate.path)
    with timed(seconds, "crop"):
        region = face_region(plate, face)
        to_working = colour.converter(source, space.primaries)
        piece = plate_to_model_space(plate, region, to_working, space, device or model.device)
        crop = warp_to_crop(piece, face, model.comb.dims.size)
    return PreparedFrame(plate, face, piece, crop, source, seconds)


def swap_faces(
    frames: Sequence[PreparedFrame], model: SwapModel, settings: SwapSettings, batch: int = 1
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """The middle part: the faces of some frames (at most `batch`) through the network at once. Of the settings those
    count that are the same for the whole shot.

    The network always sees `batch` crops, the last one repeated: its results then do not depend on which frames came
    together.

    Returns:
        The swaps, 1×3×s×s each, where their frame's piece is; seconds per frame by stage.
    """
    seconds: dict[str, float] = {}
    with timed(seconds, "network"):
        crops = [frame.crop.to(model.device) for frame in frames]
        crops += crops[-1:] * (batch - len(crops))
        latents = encode(model.comb, torch.cat(crops), settings.precision)
        if settings.performer is not None:
            performer, persona = mean_latents(model, settings.performer)
            latents = move_latent(latents, performer, persona, settings.likeness)
        swaps = decode(model.comb, latents, model.persona, settings.precision)
        placed = [swaps[i : i + 1].to(frame.piece.picture.device) for i, frame in enumerate(frames)]
    return placed, {stage: spent / len(frames) for stage, spent in seconds.items()}


def finish_frame(
    frame: PreparedFrame,
    swap: torch.Tensor,
    spent: Mapping[str, float],
    model: SwapModel,
    colour: Colour,
    settings: SwapSettings,
    guides: FrameGuides | None = None,
) -> SwappedFrame:
    """The last part: the swap blended into the plate. spent: seconds by stage that came on top of the frame's own."""
    seconds = {stage: frame.seconds.get(stage, 0.0) + spent.get(stage, 0.0) for stage in {**frame.seconds, **spent}}
    with timed(seconds, "blend"):
        swapped = swapped_face(frame, swap, model, settings.blend_size)
    (blended,) = blend_faces([LookedFace(swapped, settings, guides, seconds)], model)
    return finish_face(blended, model, colour)


def swapped_face(frame: PreparedFrame, swap: torch.Tensor, model: SwapModel, size: int | None) -> SwappedFace:
    """What every look of the face needs. size: of the blend, None to choose it from this face alone."""
    network_size = model.comb.dims.size
    size = size or blend_size(1 / similarity_scale(frame.face.unit_from_plate), network_size)
    return SwappedFace(frame, swap, frame.crop if size == network_size else warp_to_crop(frame.piece, frame.face, size))


def blend_faces(looked: Sequence[LookedFace], model: SwapModel) -> list[BlendedFace]:
    """The faces with their plates' light, in their order: neighbours of the same look are blended together."""
    blended: list[BlendedFace] = []
    for _, together in groupby(looked, _what_is_blended_together):
        same, spent = list(together), dict[str, float]()
        with timed(spent, "blend"):
            crops = _blended(same, model).split(1)
        for one, crop in zip(same, crops, strict=True):
            seconds = {**one.seconds, "blend": one.seconds.get("blend", 0.0) + spent["blend"] / len(same)}
            blended.append(BlendedFace(one, crop, seconds))
    return blended


def _what_is_blended_together(looked: LookedFace) -> tuple[object, ...]:
    crop, guides = looked.face.crop, looked.guides
    return looked.settings, crop.shape, crop.device, guides is None or guides.clear is None


def _blended(looked: Sequence[LookedFace], model: SwapModel) -> torch.Tensor:
    """The blended crops, N×3×r×r, of faces of one look."""
    settings, spreads = looked[0].settings, [None if one.guides is None else one.guides.spread for one in looked]
    swaps, crops, mattes, known, clear = [], [], [], [], []
    for one in looked:
        face, piece, crop = one.face.frame.face, one.face.frame.piece, one.face.crop
        size, device = crop.shape[-1], crop.device
        swaps.append(one.face.swap)
        crops.append(crop)
        mattes.append(face_matte(face, size, settings.forehead, settings.grow, device))
        known.append(face_matte(face, size, model.card.forehead, device=device))
        if one.guides is not None and one.guides.clear is not None:
            clear.append(clear_crop(piece, face, size, one.guides.clear))
    return blend_crop(
        torch.cat(swaps),
        torch.cat(crops),
        torch.cat(mattes),
        settings,
        torch.cat(clear) if clear else None,
        model.card.model_space,
        torch.cat(known),
        spreads,
    )


def finish_face(blended: BlendedFace, model: SwapModel, colour: Colour, draft: bool = False) -> SwappedFrame:
    """The face back in its plate. draft: only the layers that depend on the look are added."""
    swapped, settings, guides = blended.looked.face, blended.looked.settings, blended.looked.guides
    frame, seconds, space = swapped.frame, dict(blended.seconds), model.card.model_space
    plate, face, piece = frame.plate, frame.face, frame.piece
    with timed(seconds, "blend"):
        picture, region_matte = composite(blended.crop, piece, face, settings, guides)
        from_working = colour.converter(space.primaries, frame.source)
        result = model_space_to_plate(plate, picture, region_matte, piece.region, from_working, space)
        if draft:
            result = with_matte(result, region_matte, face.confidence, piece.region)
        elif settings.layers:
            layers = face_layers(swapped.swap, piece, region_matte, face, from_working, space)
            result = with_layers(result, layers)
    whole = np.zeros((plate.height, plate.width), np.float32)
    _paste(whole, region_matte, piece.region)
    return SwappedFrame(result, whole, seconds, swapped.swap)


def _paste(whole: NDArray[np.float32], matte: NDArray[np.float32], region: tuple[int, int, int, int]) -> None:
    """Put the region's matte into the display window's, dropping what lies outside."""
    height, width = whole.shape
    x0, y0, x1, y1 = max(0, region[0]), max(0, region[1]), min(width, region[2]), min(height, region[3])
    if x0 < x1 and y0 < y1:
        whole[y0:y1, x0:x1] = matte[y0 - region[1] : y1 - region[1], x0 - region[0] : x1 - region[0]]


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the time that the block takes to a stage's seconds."""
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
