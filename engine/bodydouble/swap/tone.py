"""Tone of the swap before it is blended: colour, local contrast, and highlights.

All pictures are 1×3×s×s float32 of one crop. What is measured is measured on this one frame, over areas so wide that it
moves as slowly as the light does (figures in docs/blend.md); so a frame is the same whatever chunk it is done in.

Source of the ring's match: E. Reinhard et al., Color transfer between images, 2001 (Eq. 10-11, per channel).
"""

from __future__ import annotations

from types import EllipsisType

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.plates.colour import LUMINANCE
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.swap.matte import inward_feather, mean_under

_RING = 0.12  # lengths are shares of the crop's side
_BASE, _FINE, _WINDOW = 0.06, 0.006, 0.12
_FLOOR = 0.002  # model space: less contrast than that is noise
_MOST = 2.0  # a tone is stretched or squeezed by at most this factor


def stretched(picture: Tensor, space: ModelSpace) -> Tensor:
    """Model space with a plain logarithm of light above white.

    The shoulder packs highlights: the few hundredths by which a blend shifts the tone of skin would be a third of a
    highlight's light. Here they are the same share of the light as at white. Up to white nothing changes.
    """
    return _changed_above(picture, space.white, 1 / space.shoulder, space.shoulder / space.white_slope)


def compressed(picture: Tensor, space: ModelSpace) -> Tensor:
    """Inverse of `stretched`."""
    return _changed_above(picture, space.white, 1 / space.white_slope, space.white_slope / space.shoulder)


def _changed_above(picture: Tensor, white: float, per_unit: float, ratio: float) -> Tensor:
    """log(1 + ratio·(e^(per_unit·x) - 1)) / (per_unit·ratio) of what is above white, x; slope 1 at white.

    The picture itself where nothing is; else only the rectangle that holds the light is computed, of each picture.
    """
    if len(picture) > 1:
        return torch.cat([_changed_above(one, white, per_unit, ratio) for one in picture.split(1)])
    box = _rectangle_above(picture, white)
    if box is None:
        return picture
    result = picture.clone()
    part = result[box]
    above = (part - white).clamp_(min=0)
    # Of the exponentials it is this one whose bits do not depend on how threads share the work.
    logarithm = above.mul_(per_unit).exp_().sub_(1).mul_(ratio).log1p_()
    part.clamp_(max=white).add_(logarithm, alpha=1 / (per_unit * ratio))
    return result


def _rectangle_above(picture: Tensor, white: float) -> tuple[EllipsisType, slice, slice] | None:
    """Index of the rows and columns that hold all above white; None if nothing is."""
    rows, columns = (picture.amax(dim=across).flatten(0, 1).amax(dim=0) > white for across in (-1, -2))
    if not bool(rows.any()):
        return None
    (top, bottom), (left, right) = (torch.nonzero(line).flatten()[[0, -1]].tolist() for line in (rows, columns))
    return ..., slice(top, bottom + 1), slice(left, right + 1)


def calm_chroma(swap: Tensor) -> Tensor:
    """The swap with its colour, not its brightness, averaged over two by two of the network's pixels.

    A decoder that has seen too little of a face leaves the grid of its up-sampling in it, as green and pink specks
    where teeth and highlights should be white. Eyes see far less detail in colour than in brightness: video is stored
    like this (4:2:0).

    Args:
        swap: N×3×s×s as the network returned it, model space.
    """
    if min(swap.shape[-2:]) < 2:
        return swap
    luma = brightness(swap)
    colour = F.avg_pool2d(swap - luma, 2, ceil_mode=True, count_include_pad=False)
    return luma + F.interpolate(colour, scale_factor=2, mode="bilinear")[..., : swap.shape[-2], : swap.shape[-1]]


def match_ring(swap: Tensor, plate: Tensor, known: Tensor) -> Tensor:
    """The swap with the plate's mean and standard deviation per channel, as measured in a ring inside the outline.

    Args:
        swap, plate: the two crops, model space.
        known: 1×1×s×s in [0, 1], where both show the face.
    """
    ring = known - inward_feather(known, _RING * known.shape[-1])
    total = ring.sum()
    if float(total) < 1:
        return swap
    means, deviations = [], []
    for picture in (swap, plate):
        mean = (picture * ring).sum(dim=(2, 3), keepdim=True) / total
        means.append(mean)
        deviations.append((((picture - mean) ** 2 * ring).sum(dim=(2, 3), keepdim=True) / total).sqrt())
    gain = ((deviations[1] + _FLOOR) / (deviations[0] + _FLOOR)).clamp(1 / _MOST, _MOST)
    return (swap - means[0]) * gain + means[1]


def match_contrast(swap: Tensor, plate: Tensor, known: Tensor, strength: float) -> Tensor:
    """The swap with the plate's local contrast.

    Local contrast is the deviation of brightness from its mean nearby; grain is smoothed away first. The factor
    between the two pictures is one for all channels, so no colour shifts, and changes slowly across the face.

    Args:
        swap, plate: the two crops, model space.
        known: 1×1×s×s in [0, 1], where both show the face; elsewhere the swap stays as it is.
        strength: 0 leaves the swap's contrast, 1 gives it the plate's.
    """
    gain = (local_contrast(plate, known) / local_contrast(swap, known)).clamp(1 / _MOST, _MOST) ** strength
    base = mean_under(swap, known, _BASE * swap.shape[-1])
    return swap + (swap - base) * (gain - 1) * known


def local_contrast(picture: Tensor, known: Tensor) -> Tensor:
    """Deviation of the brightness of a 1×3×s×s picture from its mean nearby, 1×1×s×s, > 0; see `match_contrast`."""
    side = picture.shape[-1]
    luma = brightness(picture)
    detail = mean_under(luma, known, _FINE * side) - mean_under(luma, known, _BASE * side)
    return mean_under(detail.square_(), known, _WINDOW * side).clamp(min=0).sqrt_().add_(_FLOOR)


def brightness(picture: Tensor) -> Tensor:
    """Weighted sum of the channels by their share of luminance: N×1×H×W of N×3×H×W."""
    red, green, blue = (picture[:, channel : channel + 1] for channel in range(3))
    return red * LUMINANCE[0] + green * LUMINANCE[1] + blue * LUMINANCE[2]
