"""What stands in front of a face: where the performer's own decoder cannot reproduce the plate.

A comb that knows the performer shows, through the performer's decoder, the face as it would be without a hand or a
microphone. The difference to the plate in tint and, where it is great, in light, against what it is elsewhere in the
shot, says roughly where something else is (`strangeness`, `roughly`); the colours there and in the rest of the face
then say exactly where (`occluder`).

Where a thing is is asked of the frame alone, so a fast thing leaves no trail. What it looks like, and whether it is
there at all, is asked of the frames around it, too (`Colours`): that does not change from frame to frame, and a
decoder's error does. `usual_difference` is one picture for the whole shot.

Sources: K. He et al., Guided image filtering, 2010 (Eq. 14-19, guided by three channels); C. Rother et al., GrabCut,
2004 (colour models of inside and outside, one Gaussian each, one step).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bodydouble.swap.matte import gaussian, mean_under, smoothstep
from bodydouble.swap.tone import brightness

REACH = 4
"""How many frames before and after say what is in front of the face in one."""
_REACH_SIGMA = 2.0  # frames
_SCALE = 256  # the lengths below are pixels of a crop of this size
_SMOOTHING, _GUIDE_RADIUS, _PRIOR_RADIUS = 4.0, 8.0, 8.0
_FLOORS = (0.07, 0.05)  # differences in light (model space) and tint that no decoder can be blamed for
_BLACK = 0.05  # model space
_LEAST_SHARE, _SURE_SHARE = 0.003, 0.013  # of the face: less is an error of the decoder, more is none
_HALF_SURE, _SURE = 0.4, 0.85
_COLOUR_SAYS = 4.0  # at most, as a log-likelihood: a brow as grey as a microphone is not found where nothing is strange
_COLOUR_NOISE = 4e-4  # variance in model space below which colours are one


@dataclass(frozen=True, eq=False)
class Colours:
    """The colours in front of a face and of the face itself, as sums that add up over frames.

    `front`, `face`: 4×4, sums of w·v·vᵀ with v = (1, R, G, B) in model space and w the weight of a pixel. `area`: of
    the whole face, in pixels.
    """

    front: Tensor
    face: Tensor
    area: Tensor

    @property
    def share(self) -> float:
        """How much of the face is surely covered, 0 to 1."""
        return float(self.front[0, 0] / self.area.clamp(min=1e-6))


def difference(crop: Tensor, shown: Tensor, matte: Tensor) -> Tensor:
    """How much a crop differs from what the performer's decoder shows, in two ways, smoothed: 1×2×s×s.

    First in light, second in tint: what colour it has, whatever its light. A decoder that has learnt to follow any
    light shows a dark thing as a shadow on the face, but never a grey one as grey. A difference of the whole face's
    tone is taken out, fine detail that a soft decoder lacks is smoothed away. Squares are averaged nearby: the decoder
    is too bright on one side of a thing and too dark on the other, and between the two it is not right either.

    Args:
        crop, shown: 1×3×s×s in model space.
        matte: 1×1×s×s, the face.
    """
    sigma_px = _SMOOTHING * crop.shape[-1] / _SCALE
    inside = matte[0, 0] > 0.5
    seen, expected = (mean_under(picture, matte, sigma_px) for picture in (crop, shown))
    found = []
    for apart in (seen - expected, _tint(seen) - _tint(expected)):
        if inside.any():
            apart = apart - apart[0, :, inside].median(dim=1).values[None, :, None, None]
        power = mean_under(apart.square().mean(dim=1, keepdim=True), matte, sigma_px)
        found.append(power.clamp(min=0).sqrt())
    return torch.cat(found, dim=1)


def _tint(picture: Tensor) -> Tensor:
    """The channels as shares of the brightness; of near-black, whose colour is noise, less."""
    return picture / (brightness(picture).clamp(min=0) + _BLACK)


def usual_difference(differences: Sequence[Tensor]) -> Tensor:
    """Of the same shot's frames: where the decoder is always wrong (eyes, brows, lips), 1×2×s×s."""
    return torch.cat(list(differences)).median(dim=0, keepdim=True).values


def strangeness(found: Tensor, usual: Tensor, matte: Tensor) -> Tensor:
    """Where a frame's difference is beyond what is usual, 1×1×s×s in [0, 1]."""
    floor = torch.tensor(_FLOORS, device=found.device)[None, :, None, None]
    return ((found / (floor + usual) - 1) / 0.6).clamp(0, 1).amax(dim=1, keepdim=True) * matte


def roughly(crop: Tensor, strange: Tensor, matte: Tensor) -> Tensor:
    """`strangeness` (1×1×s×s) brought to the edges of the crop (1×3×s×s), in [0, 1]."""
    return _guided(crop, strange, matte, _GUIDE_RADIUS * crop.shape[-1] / _SCALE).clamp(0, 1) * matte


def colours(crop: Tensor, rough: Tensor, matte: Tensor) -> Colours:
    """What one frame says of the colours in front of the face and of its own; arguments as in `occluder`."""
    face = matte.flatten()
    vectors = torch.cat([torch.ones_like(crop[0, :1]), crop[0]]).flatten(1)  # 4×N
    front, behind = (rough**2).flatten(), ((1 - rough) ** 2 * matte).flatten()
    return Colours((vectors * front) @ vectors.T, (vectors * behind) @ vectors.T, face.sum())


def pooled(seen: Mapping[int, Colours], frame: int) -> Colours:
    """The colours of a frame and of those within `REACH` of it, the nearer the more; always added in the same order."""
    near = [number for number in sorted(seen) if abs(number - frame) <= REACH]
    weights = [math.exp(-0.5 * ((number - frame) / _REACH_SIGMA) ** 2) for number in near]
    fields = ((seen[number].front, seen[number].face, seen[number].area) for number in near)
    front, face, area = (
        torch.stack([weight * one for weight, one in zip(weights, column, strict=True)]).sum(dim=0)
        for column in zip(*fields, strict=True)
    )
    return Colours(front, face, area)


def occluder(crop: Tensor, rough: Tensor, matte: Tensor, known: Colours) -> Tensor:
    """The matte of what is in front of the face, 1×1×s×s in [0, 1].

    Args:
        crop: 1×3×s×s, the plate's, in model space.
        rough: 1×1×s×s in [0, 1], see `roughly`.
        matte: 1×1×s×s, the face; nothing is found outside it.
        known: the colours of this and the frames around it, see `pooled`.
    """
    unit = crop.shape[-1] / _SCALE
    pixels = crop[0].flatten(1)
    nearer = (_likelihood(pixels, known.front) - _likelihood(pixels, known.face)).clamp(max=_COLOUR_SAYS)
    prior = mean_under(rough, matte, _PRIOR_RADIUS * unit).clamp(0.005, 0.95)
    found = torch.sigmoid(nearer.reshape(matte.shape) + torch.log(prior / (1 - prior))) * matte
    believed = min(1.0, max(0.0, (known.share - _LEAST_SHARE) / (_SURE_SHARE - _LEAST_SHARE)))
    # Shaded skin comes to a third or so; what is really in front, to nearly one.
    ramp = ((found * believed - _HALF_SURE) / (_SURE - _HALF_SURE)).clamp(0, 1)
    return gaussian(smoothstep(ramp), unit).clamp(0, 1)


def _likelihood(pixels: Tensor, sums: Tensor) -> Tensor:
    """Log-likelihood of each colour (3×N) under the Gaussian whose sums are given, see `Colours`."""
    total = sums[0, 0].clamp(min=1e-6)
    mean = sums[0, 1:] / total
    covariance = sums[1:, 1:] / total - mean[:, None] * mean + _COLOUR_NOISE * torch.eye(3, device=pixels.device)
    centred = pixels - mean[:, None]
    distance = (centred * torch.linalg.solve(covariance, centred)).sum(dim=0)
    return -0.5 * (distance + torch.logdet(covariance))


def _guided(guide: Tensor, picture: Tensor, weight: Tensor, sigma_px: float, epsilon: float = 1e-4) -> Tensor:
    """`picture` (1×1×H×W) smoothed along the edges of `guide` (1×3×H×W), under a weight."""

    def mean(image: Tensor) -> Tensor:
        return mean_under(image, weight, sigma_px)

    mean_guide, mean_picture = mean(guide), mean(picture)
    products = torch.stack([mean(guide * guide[:, channel : channel + 1]) for channel in range(3)], dim=1)  # 1×3×3×H×W
    sigma = products - mean_guide[:, :, None] * mean_guide[:, None, :]
    cross = mean(guide * picture) - mean_guide * mean_picture
    system = sigma.permute(0, 3, 4, 1, 2) + epsilon * torch.eye(3, device=guide.device)
    slope = torch.linalg.solve(system, cross.permute(0, 2, 3, 1)[..., None])[..., 0].permute(0, 3, 1, 2)
    offset = mean_picture - (slope * mean_guide).sum(dim=1, keepdim=True)
    return (mean(slope) * guide).sum(dim=1, keepdim=True) + mean(offset)
