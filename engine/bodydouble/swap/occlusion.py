"""What stands in front of a face: where the performer's own decoder cannot reproduce the plate.

A comb that knows the performer shows, through the performer's decoder, the face as it would be without a hand or a
microphone. The difference to the plate in light and in tint, against what it is elsewhere in the shot, says roughly
where something else is (`strangeness`); the colours there and in the rest of the face then say exactly where
(`occluder`).
Every step is a fixed sum over one frame but for `usual_difference`, which is one picture for the whole shot.

Sources: K. He et al., Guided image filtering, 2010 (Eq. 14-19, guided by three channels); C. Rother et al., GrabCut,
2004 (colour models of inside and outside, one Gaussian each, one step).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bodydouble.swap.matte import gaussian
from bodydouble.swap.tone import brightness

_SCALE = 256  # the lengths below are pixels of a crop of this size
_SMOOTHING, _GUIDE_RADIUS, _PRIOR_RADIUS = 4.0, 8.0, 8.0
_FLOORS = (0.02, 0.05)  # differences in light (model space) and tint that no decoder can be blamed for
_BLACK = 0.05  # model space
_LEAST_SHARE = 0.003  # of the face: less than that is an error of the decoder
_HALF_SURE, _SURE = 0.4, 0.85
_COLOUR_NOISE = 4e-4  # variance in model space below which colours are one


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
    seen, expected = (_mean_under(picture, matte, sigma_px) for picture in (crop, shown))
    found = []
    for apart in (seen - expected, _tint(seen) - _tint(expected)):
        if inside.any():
            apart = apart - apart[0, :, inside].median(dim=1).values[None, :, None, None]
        power = _mean_under(apart.square().mean(dim=1, keepdim=True), matte, sigma_px)
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


def occluder(crop: Tensor, strange: Tensor, matte: Tensor) -> Tensor:
    """The matte of what is in front of the face, 1×1×s×s in [0, 1].

    Args:
        crop: 1×3×s×s, the plate's, in model space.
        strange: 1×1×s×s in [0, 1], see `strangeness`.
        matte: 1×1×s×s, the face; nothing is found outside it.
    """
    unit = crop.shape[-1] / _SCALE
    rough = (_guided(crop, strange, matte, _GUIDE_RADIUS * unit).clamp(0, 1) * matte).flatten()
    face = matte.flatten()
    pixels = crop[0].flatten(1)
    nearer = _likelihood(pixels, rough**2) - _likelihood(pixels, (1 - rough) ** 2 * face)
    prior = _mean_under(rough.reshape(matte.shape), matte, _PRIOR_RADIUS * unit).clamp(0.005, 0.95).flatten()
    found = torch.sigmoid(nearer + torch.log(prior / (1 - prior))) * face
    share = float((rough**2).sum() / face.sum().clamp(min=1e-6))
    sure = min(1.0, max(0.0, (share - _LEAST_SHARE) / 0.01))
    # Shaded skin comes to a third or so; what is really in front, to nearly one.
    ramp = ((found.reshape(matte.shape) * sure - _HALF_SURE) / (_SURE - _HALF_SURE)).clamp(0, 1)
    return gaussian(ramp * ramp * (3 - 2 * ramp), unit).clamp(0, 1)


def _likelihood(pixels: Tensor, weight: Tensor) -> Tensor:
    """Log-likelihood of each colour (3×N) under the Gaussian of those that have a weight (N)."""
    total = weight.sum().clamp(min=1e-6)
    centred = pixels - ((pixels * weight).sum(dim=1) / total)[:, None]
    covariance = (centred * weight) @ centred.T / total + _COLOUR_NOISE * torch.eye(3, device=pixels.device)
    distance = (centred * torch.linalg.solve(covariance, centred)).sum(dim=0)
    return -0.5 * (distance + torch.logdet(covariance))


def _guided(guide: Tensor, picture: Tensor, weight: Tensor, sigma_px: float, epsilon: float = 1e-4) -> Tensor:
    """`picture` (1×1×H×W) smoothed along the edges of `guide` (1×3×H×W), under a weight."""

    def mean(image: Tensor) -> Tensor:
        return _mean_under(image, weight, sigma_px)

    mean_guide, mean_picture = mean(guide), mean(picture)
    products = torch.stack([mean(guide * guide[:, channel : channel + 1]) for channel in range(3)], dim=1)  # 1×3×3×H×W
    sigma = products - mean_guide[:, :, None] * mean_guide[:, None, :]
    cross = mean(guide * picture) - mean_guide * mean_picture
    system = sigma.permute(0, 3, 4, 1, 2) + epsilon * torch.eye(3, device=guide.device)
    slope = torch.linalg.solve(system, cross.permute(0, 2, 3, 1)[..., None])[..., 0].permute(0, 3, 1, 2)
    offset = mean_picture - (slope * mean_guide).sum(dim=1, keepdim=True)
    return (mean(slope) * guide).sum(dim=1, keepdim=True) + mean(offset)


def _mean_under(image: Tensor, weight: Tensor, sigma_px: float) -> Tensor:
    return gaussian(image * weight, sigma_px) / (gaussian(weight, sigma_px) + 1e-6)
