"""The frame's straight line, one verb per stage: what a TD calls, and what `swap_frame` is made of.

::

    read plate → to model space → warp to crop → encode → decode(persona) → matte → blend → composite → from model
    space → write

Pictures are 1×3×H×W float32 tensors in model space, mattes 1×1×H×W in [0, 1]; a *region* is a rectangle of the plate
(x0, y0, x1, y1), display-window pixels with exclusive end. `read_plate` and `write_plate` are in `images`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodydouble.alignment.geometry import apply, crop_from_unit, similarity_scale, translation
from bodydouble.alignment.outline import face_outline
from bodydouble.alignment.shotfaces import Face
from bodydouble.errors import NoFaceError
from bodydouble.network.comb import Comb
from bodydouble.network.devices import run_on
from bodydouble.plates.colour import Converter
from bodydouble.plates.modelspace import ModelSpace, from_model, to_model
from bodydouble.plates.plate import HALF_MAX, Plate, Region
from bodydouble.settings import SwapSettings
from bodydouble.swap.bands import Bands, Window
from bodydouble.swap.blend import blend_inside, window_around
from bodydouble.swap.grain import add_grain
from bodydouble.swap.guides import FrameGuides
from bodydouble.swap.matte import inward_feather, polygon_matte
from bodydouble.swap.pyramids import level_count
from bodydouble.swap.spread import FrameSpread, add_spread
from bodydouble.swap.tone import calm_chroma, compressed, match_contrast, match_ring, stretched
from bodydouble.swap.warp import resize, warp

SMALLEST_HALF = 2.0**-14
_MARGIN_PX = 8
"""Plate pixels read around the crop: what the resampling filters see beyond its edge."""

_CLEAR = 0.9
RIM = 0.03
"""Share of the crop's side, along its edge, that never shows: the network pads its pictures there."""


@dataclass(frozen=True)
class PlateRegion:
    """A piece of the plate in model space.

    Attributes:
        picture: 1×3×H×W, finite.
        usable: H×W bool, False for pixels that are never replaced: those with NaN, Inf or light beyond any camera's,
            and those where nothing is (all of R, G, B, A are 0), which must not begin to glow when the frame is
            laid over another.
        region: where it lies in the plate.
    """

    picture: Tensor
    usable: NDArray[np.bool_]
    region: Region

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.picture.shape[-2]), int(self.picture.shape[-1])

    def unit_from_region(self, face: Face) -> NDArray[np.float64]:
        """3×3 from pixel centres of this region to the unit crop."""
        return np.asarray(face.unit_from_plate) @ translation(*self.region[:2])


def face_region(plate: Plate, face: Face) -> Region:
    """The part of the plate that the face's crop covers, cut at the data window.

    Raises:
        NoFaceError: the crop lies wholly outside the plate's data window.
    """
    corners = apply(np.linalg.inv(face.unit_from_plate), np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]))
    low, high = corners.min(axis=0) - _MARGIN_PX, corners.max(axis=0) + _MARGIN_PX
    x0, y0, x1, y1 = plate.main.data_region
    region = (
        max(x0, math.floor(low[0])),
        max(y0, math.floor(low[1])),
        min(x1, math.ceil(high[0]) + 1),
        min(y1, math.ceil(high[1]) + 1),
    )
    if region[0] >= region[2] or region[1] >= region[3]:
        raise NoFaceError("the face lies outside the picture")
    return region


def plate_to_model_space(
    plate: Plate, region: Region, to_working: Converter, space: ModelSpace, device: torch.device | str = "cpu"
) -> PlateRegion:
    """A region of the plate in model space; pixels that are not usable are remembered, and read as black if not finite.

    R, G, B are taken as they are, as light: they are neither divided by alpha nor multiplied with it.
    """
    rgb = plate.rgb(region)
    with np.errstate(over="ignore", invalid="ignore"):
        linear = to_working(rgb)
        usable = _in_all(np.abs(linear) <= HALF_MAX) & _in_all(np.isfinite(rgb))
    linear[~usable] = 0
    picture = torch.from_numpy(np.ascontiguousarray(linear)).to(device).permute(2, 0, 1)[None]
    return PlateRegion(to_model(picture, space), usable & ~_empty(plate, region, rgb), region)


def _empty(plate: Plate, region: Region, rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where all of R, G, B, A are 0. A plate whose alpha is 0 everywhere has none that means anything."""
    alpha = plate.alpha(region)
    if alpha is None or not alpha.any():
        return np.zeros(rgb.shape[:2], bool)
    return (alpha == 0) & _in_all(rgb == 0)


def _in_all(channels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """H×W, where all three channels of H×W×3 are true: a good deal faster than numpy's `all` over three."""
    red, green, blue = (channels[..., number] for number in range(3))
    return np.asarray(red & green & blue)


def warp_to_crop(plate: PlateRegion, face: Face, size: int) -> Tensor:
    """The aligned crop, 1×3×size×size."""
    return warp(plate.picture, crop_from_unit(size) @ plate.unit_from_region(face), (size, size))


def encode(comb: Comb, crop: Tensor, precision: str = "fp32") -> Tensor:
    """The latent of a crop, N×C×1×1. What lies outside [0, 1] is clipped: the network never saw it.

    Args:
        comb: the network.
        crop: N×3×s×s in model space, s as the comb's size.
        precision: "fp32" or "bf16" autocast.
    """
    with torch.inference_mode(), run_on(crop.device, precision):
        return comb.encode(crop.clamp(0, 1).contiguous(memory_format=torch.channels_last))


def move_latent(latent: Tensor, performer: Tensor, persona: Tensor, likeness: float = 1.0) -> Tensor:
    """A latent of the performer moved to where the persona's lie: what the two have in common stays.

    An encoder that was trained to rebuild people also tells who they are. What it says of that is, to first order, the
    same in every picture of a person, so the difference of two people's mean latents is what tells them apart.

    Args:
        latent: N×C×1×1.
        performer, persona: their mean latents, C values each (`read_latent_mean`).
        likeness: share of the way, 0 for none.
    """
    return latent + likeness * (persona - performer).to(latent)[None, :, None, None]


def decode(comb: Comb, latent: Tensor, persona: str, precision: str = "fp32") -> Tensor:
    """The swap: what the decoder of `persona` shows for a latent, N×3×s×s in model space, [0, 1]."""
    with torch.inference_mode(), run_on(latent.device, precision):
        return comb.decode(latent, persona).float().contiguous()


def face_matte(face: Face, size: int, forehead: float, grow: float = 0.0, device: torch.device | str = "cpu") -> Tensor:
    """Coverage of the face's outline in the crop, 1×1×size×size; it ends at the crop's rim."""
    unit_from_crop = np.asarray(np.linalg.inv(crop_from_unit(size)), np.float64)
    return _outline_matte(unit_outline(face, forehead, grow), unit_from_crop, (size, size), device)[None, None]


def _outline_matte(
    outline: NDArray[np.float64],
    unit_from_region: NDArray[np.float64],
    size: tuple[int, int],
    device: torch.device | str,
) -> Tensor:
    """Coverage, in a region, of an outline in the unit crop, which ends at the crop's rim: H×W."""
    coverage = polygon_matte(apply(np.linalg.inv(unit_from_region), outline), size, device)
    pixel = similarity_scale(unit_from_region)  # in sides
    if RIM + 2 * pixel < outline.min() and outline.max() < 1 - RIM - 2 * pixel:
        return coverage  # the rim's matte is exactly 1 there
    return coverage * inside_crop(unit_from_region, size, torch.device(device), RIM)


def unit_outline(face: Face, forehead: float, grow: float = 0.0) -> NDArray[np.float64]:
    """The face's outline in the unit crop, where pixels are square whatever the plate's are: (K, 2).

    `grow`: how far it is moved outwards, in hundredths of the crop's side.
    """
    return face_outline(apply(face.unit_from_plate, face.landmarks_px), forehead, grow / 100)


def blend_crop(
    swap: Tensor,
    crop: Tensor,
    matte: Tensor,
    settings: SwapSettings,
    clear: Tensor | None = None,
    space: ModelSpace | None = None,
    known: Tensor | None = None,
    spreads: Sequence[FrameSpread | None] = (),
) -> Tensor:
    """Swaps with their plates' light, in the crops' size. Each gets the bits that it gets alone; together they take
    less time, as small pictures take many small steps.

    Args:
        swap: N×3×s×s, what the decoder returned; enlarged to the crop's size first.
        crop: N×3×r×r, the plates' crops.
        matte: N×1×r×r.
        settings: bands, smoothing, tone, blur.
        clear: N×1×r×r, 0 where something lies in front of the face: its light is not taken for the face's.
        space: the model's.
        known: N×1×r×r, where the decoder was trained to say something; None for the matte.
        spreads: for each the blur that its swap lacks, as the shot was measured, or None; () for none.

    Returns:
        N×3×r×r.
    """
    space, known = space or ModelSpace(), matte if known is None else known
    if clear is not None:  # a pixel that is a little of both says nothing of the face
        known = known * ((clear - _CLEAR) / (1 - _CLEAR)).clamp(0, 1)
    if swap.shape[-1] < crop.shape[-1]:  # enlarged, the grid of its up-sampling would be seen
        swap = calm_chroma(swap)
    # Where neither matte nor knowledge is, the blend looks at nothing.
    window = window_around(matte if known is matte else torch.maximum(matte, known))
    size = int(crop.shape[-2]), int(crop.shape[-1])
    swap = resize(swap, size)
    new, old = (_stretched_inside(window, picture, space) for picture in (swap, crop))
    if any(spreads) or settings.contrast > 0 or settings.colour_match == "ring":
        new = window.cut(_toned(window.laid(new, swap), window.laid(old, crop), known, settings, spreads))
    bands = Bands(settings.sigma, settings.plate_levels, level_count(size), settings.colour_match != "low")
    blended = blend_inside(new, old, matte, known, window, bands)
    low, high = (float(bound) for bound in torch.aminmax(blended))
    if high > space.white:
        blended = compressed(blended, space)
        high = float(blended.amax())
    if low < 0 or high > 1:
        # Bands of two pictures may overshoot both; on the log shoulder a small overshoot would be a huge light.
        with torch.inference_mode():  # it is a tensor of that mode
            for picture, plate in zip(blended, crop, strict=True):
                darkest, brightest = (float(bound) for bound in torch.aminmax(plate))
                picture.clamp_(min(0.0, darkest), max(1.0, brightest))
    return window.laid(blended, crop)


def _stretched_inside(window: Window, picture: Tensor, space: ModelSpace) -> Tensor:
    """The window of a picture, with more room for what lies above white. The whole is looked through faster than it."""
    return stretched(window.cut(picture), space) if float(picture.amax()) > space.white else window.cut(picture)


def _toned(
    new: Tensor, old: Tensor, known: Tensor, settings: SwapSettings, spreads: Sequence[FrameSpread | None]
) -> Tensor:
    """Swaps with their plates' blur, contrast and tone, as far as the settings ask for them."""
    parts = zip(new.split(1), old.split(1), known.split(1), spreads or [None] * len(new), strict=True)
    return torch.cat([_toned_one(one, plate, where, settings, spread) for one, plate, where, spread in parts])


def _toned_one(new: Tensor, old: Tensor, known: Tensor, settings: SwapSettings, spread: FrameSpread | None) -> Tensor:
    if spread is not None:
        new = add_spread(new, known, spread, settings.defocus, settings.motion_blur)
    if settings.contrast > 0:
        new = match_contrast(new, old, known, settings.contrast)
    return match_ring(new, old, known) if settings.colour_match == "ring" else new


def composite(
    blended: Tensor, plate: PlateRegion, face: Face, settings: SwapSettings, guides: FrameGuides | None = None
) -> tuple[Tensor, NDArray[np.float32]]:
    """Bring the blended crop back to the plate's pixels, under the mattes and with the grain of the guides.

    Returns:
        The region's picture in model space, and the matte H×W in [0, 1]: exactly 0 where the plate must stay.
    """
    guides = guides or FrameGuides()
    matte = plate_matte(plate, face, settings, guides.shown)
    covered = matte.cpu().numpy()
    window = _window(covered > 0)
    shown = matte[window]
    corner = translation(-window[1].start, -window[0].start)
    crop_from_region = crop_from_unit(blended.shape[-1]) @ plate.unit_from_region(face)
    # The cubic overshoots at edges; on the log shoulder a small overshoot would be a huge light.
    back = warp(blended, corner @ np.linalg.inv(crop_from_region), (shown.shape[0], shown.shape[1]))
    back = back.clamp(float(blended.min()), float(blended.max()))
    picture = plate.picture.clone()
    finished = torch.lerp(plate.picture[..., window[0], window[1]], back, shown)
    if guides.grain is not None and settings.grain > 0:
        finished = add_grain(finished, shown[None, None], guides.grain, settings.grain, guides.frame)
    picture[..., window[0], window[1]] = finished
    return picture, covered


def plate_matte(plate: PlateRegion, face: Face, settings: SwapSettings, shown: Tensor | None = None) -> Tensor:
    """Where the plate is replaced, and how much: H×W in [0, 1] over the region, on its device.

    `shown`: 1×1×H×W that it is multiplied with; None for 1 everywhere.
    """
    unit_from_region = plate.unit_from_region(face)
    outline = unit_outline(face, settings.forehead, settings.grow)
    edge_px = settings.edge / 100 / similarity_scale(unit_from_region)
    result = plate.picture.new_zeros(plate.size)
    window = _window_of(apply(np.linalg.inv(unit_from_region), outline), plate.size, 1 + edge_px / 2)
    unit_from_window = unit_from_region @ translation(window[1].start, window[0].start)
    within = result[window]
    coverage = _outline_matte(outline, unit_from_window, (within.shape[0], within.shape[1]), result.device)
    matte = inward_feather(coverage, edge_px)
    if shown is not None:
        matte = matte * shown[0, 0][window]
    # A matte written in half must say of every changed pixel that it changed.
    within.copy_(matte * torch.from_numpy(plate.usable[window]).to(result.device) * (matte >= SMALLEST_HALF))
    return result


_STEP = 32
"""Windows begin at multiples of it, so that what is computed on a smaller picture lies in the same places there."""


def _window_of(outline_px: NDArray[np.float64], size: tuple[int, int], margin_px: float) -> tuple[slice, slice]:
    """Rows and columns of a picture of that size that hold an outline and a margin; at least one pixel."""
    slices = []
    for low, high, count in zip(outline_px.min(axis=0), outline_px.max(axis=0), reversed(size), strict=True):
        first = min(max(0, math.floor(low - margin_px)) // _STEP * _STEP, count - 1)
        slices.append(slice(first, max(first + 1, min(count, math.ceil(high + margin_px) + 1))))
    return slices[1], slices[0]


def _window(where: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the rectangle that holds all that is true; empty if nothing is."""
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def model_space_to_plate(
    plate: Plate,
    picture: Tensor,
    matte: NDArray[np.float32],
    region: Region,
    from_working: Converter,
    space: ModelSpace,
) -> Plate:
    """The plate with the region's pixels replaced where the matte is above 0; all else stays to the bit."""
    changed = matte > 0
    if not changed.any():
        return plate
    window = _window(changed)
    linear = from_model(picture[..., window[0], window[1]], space)[0].permute(1, 2, 0).cpu().numpy()
    rgb = from_working(np.ascontiguousarray(linear))
    x0, y0 = region[0] + window[1].start, region[1] + window[0].start
    shown = x0, y0, x0 + rgb.shape[1], y0 + rgb.shape[0]
    # Some log encodings have no number for light below black.
    return plate.with_rgb(shown, rgb, changed[window] & _in_all(np.isfinite(rgb)))


def clear_crop(plate: PlateRegion, face: Face, size: int, clear: Tensor) -> Tensor:
    """What is in front of the face, 1×1×H×W over the region, in the crop: 1×1×size×size in [0, 1]."""
    return warp(clear, crop_from_unit(size) @ plate.unit_from_region(face), (size, size)).clamp(0, 1)


def blend_size(pixels_per_crop: float, network_size: int) -> int:
    """Side of the blend's crop: a power of two that loses nothing of the swap.

    Args:
        pixels_per_crop: plate pixels along the crop's side.
        network_size: pixels of the swap. A larger blend would show no more of it; what it would keep more of is the
            plate in the first two crop pixels inside the outline, where hardly any of the blend shows.
    """
    needed = min(pixels_per_crop, network_size)
    return int(2 ** max(6, math.ceil(math.log2(max(1.0, needed)))))


def inside_crop(
    unit_from_region: NDArray[np.float64], size: tuple[int, int], device: torch.device, rim: float = 0.0
) -> Tensor:
    """Coverage, in the region, of the crop's own square less a `rim` in sides: an outline may reach beyond it, the
    swap cannot.
    """
    low, high = rim, 1 - rim
    square = np.array([[low, low], [high, low], [high, high], [low, high]])
    return polygon_matte(apply(np.linalg.inv(unit_from_region), square), size, device)
