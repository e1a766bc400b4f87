"""Batches of training crops: what is drawn at random, and what is done to the crops on the device.

Every number is drawn from (seed, iteration) alone, and for the whole batch: a process that takes a slice of it makes
the very crops that one process alone would have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.network.comb import level_size
from bodydouble.plates.modelspace import ModelSpace, to_model
from bodydouble.settings import TrainSettings

_BLUR_REACH = 2.5  # sigmas
_KNOTS = 4
"""Knots across the crop of the random light, and of the fields that bend a face."""
_EVEN = 12
_LIGHT = slice(_EVEN, _EVEN + _KNOTS**2)
_SHAPE = slice(_LIGHT.stop, _LIGHT.stop + 2 * _KNOTS**2)
_WARP = slice(_SHAPE.stop, _SHAPE.stop + 2 * _KNOTS**2)
DRAWS = _WARP.stop
"""Random numbers of one crop: twelve evenly in −1..1, then normal ones for the knots of the three fields."""


@dataclass(frozen=True)
class Draw:
    """What one persona's batch is made of: indices of crops N, and N×`DRAWS` numbers; int64 and float32, CPU."""

    index: Tensor
    numbers: Tensor

    def part(self, rank: int, world: int) -> Draw:
        """The share of process `rank` of `world`."""
        return Draw(self.index[rank::world], self.numbers[rank::world])


@dataclass(frozen=True)
class Batch:
    """`shown` goes in, `truth` shall come out: N×3×S×S in model space, 0..1, channels last; `matte` N×1×S×S; float32.

    Without warp, blur and grain `shown` is `truth`. `features`, N×1×S×S, is 1 on eyes and mouth; None if those do not
    count for more.
    """

    shown: Tensor
    truth: Tensor
    matte: Tensor
    features: Tensor | None = None


def draw_iteration(trained: Mapping[str, Tensor], batch: int, seed: int) -> dict[str, Draw]:
    """The personas in shuffled order, with `batch` crops of each, drawn with replacement.

    Args:
        trained: indices of the crops to draw from, of each persona.
        seed: of this iteration.
    """
    generator = torch.Generator().manual_seed(seed)
    names = list(trained)
    order = [names[index] for index in torch.randperm(len(names), generator=generator).tolist()]
    draws = {}
    for name in order:
        pick = torch.randint(len(trained[name]), (batch,), generator=generator)
        even = torch.rand(batch, _EVEN, generator=generator) * 2 - 1
        normal = torch.randn(batch, DRAWS - _EVEN, generator=generator)
        draws[name] = Draw(trained[name][pick], torch.cat([even, normal], dim=1))
    return draws


def augment(
    crops: Tensor,
    numbers: Tensor,
    level: int,
    settings: TrainSettings,
    space: ModelSpace,
    reach: float,
    features: Tensor | None = None,
) -> Batch:
    """A batch out of stored crops.

    Args:
        crops: N×4×W×W float16, scene-linear and matte, reaching `reach` sides beyond the unit crop.
        numbers: N×`DRAWS`; zeros leave every crop as it is.
        features: N×1×T×T float16 over the same wide crops.
    """
    numbers = numbers.to(crops.device)
    size = level_size(level)
    grid = _grid(numbers, size, settings, reach)
    if settings.jitter_shape:
        grid = grid + _bend(numbers[:, _SHAPE], size, settings.jitter_shape, reach)
    sampled = _sampled(crops, grid)
    stops = settings.jitter_exposure * numbers[:, 4:5] + settings.jitter_balance * numbers[:, 5:8]
    stops = stops[:, :, None, None]
    if settings.jitter_light:
        stops = stops + settings.jitter_light * _smooth(numbers[:, _LIGHT], size)
    gain = torch.exp2(stops)
    light = sampled[:, :3] * gain
    truth = _encoded(light, space)
    matte = sampled[:, 3:].clamp(0.0, 1.0)
    if features is not None:
        features = _sampled(features, grid)
    if settings.jitter_warp:
        light = _sampled(crops[:, :3], grid + _bend(numbers[:, _WARP], size, settings.jitter_warp, reach)) * gain
    elif not (settings.jitter_blur or settings.jitter_grain):
        return Batch(truth, truth, matte, features)
    return Batch(_encoded(_degraded(light, numbers[:, 8:11], settings), space), truth, matte, features)


def _encoded(light: Tensor, space: ModelSpace) -> Tensor:
    # The network and the loss are faster on this layout.
    encoded: Tensor = to_model(light, space).clamp_(0.0, 1.0)
    return encoded.contiguous(memory_format=torch.channels_last)


def _grid(numbers: Tensor, size: int, settings: TrainSettings, reach: float) -> Tensor:
    """Where the pixels of unit crops, mirrored, turned, scaled and shifted, lie in the wide ones: N×size×size×2."""
    # Unit-crop centre coordinates in −0.5..0.5; wide crops reach ±(0.5 + reach).
    angle = numbers[:, 0] * torch.pi / 180 * settings.jitter_degrees
    scale = (1 + settings.jitter_scale * numbers[:, 1]) / (0.5 + reach)
    cosine, sine = scale * angle.cos() * 0.5, scale * angle.sin() * 0.5
    shift = settings.jitter_shift * numbers[:, 2:4] / (0.5 + reach)
    side = torch.where(numbers[:, 11] < 0, -1.0, 1.0) if settings.mirror else torch.ones_like(angle)
    # Two numbers of a pixel as one complex one: sums over long rows, in place of sums over two.
    axis = (torch.arange(size, device=numbers.device) * 2 + 1) / size - 1
    along = torch.complex(side * cosine, side * sine)[:, None, None] * axis
    down = (
        torch.complex(shift[:, 0], shift[:, 1])[:, None, None]
        + torch.complex(-sine, cosine)[:, None, None] * axis[:, None]
    )
    return torch.view_as_real(along + down)


def _sampled(wide: Tensor, grid: Tensor) -> Tensor:
    """Pictures N×C×W×W of wide crops at a grid, bilinear; float32."""
    return F.grid_sample(wide.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _degraded(light: Tensor, numbers: Tensor, settings: TrainSettings) -> Tensor:
    """Scene-linear crops as a lens out of focus and a grainy camera give them; N×3 numbers.

    A number below 0 leaves the crop as it is, so half are blurred and half have grain.
    """
    size = light.shape[-1]
    sigma_px = settings.jitter_blur * size * numbers[:, 0].clamp_min(0.0)
    if settings.jitter_blur:
        light = _blurred(light, sigma_px, radius=max(1, round(_BLUR_REACH * settings.jitter_blur * size)))
    strength = settings.jitter_grain * numbers[:, 1].clamp_min(0.0)
    if settings.jitter_grain:
        # As photons do it: the deviation grows with the root of the light.
        light = light + strength[:, None, None, None] * light.clamp_min(0.0).sqrt() * _noise(light, numbers[:, 2])
    return light


def _blurred(light: Tensor, sigma_px: Tensor, radius: int) -> Tensor:
    """Each of N pictures under its own Gaussian; edges repeated. A sigma of 0 keeps every bit."""
    count, channels, height, width = light.shape
    offset = torch.arange(-radius, radius + 1, device=light.device)
    kernel = torch.exp(-0.5 * (offset / sigma_px.clamp_min(1e-3)[:, None]) ** 2)  # N×K
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)  # N·C×K
    planes = light.reshape(1, count * channels, height, width)
    for padding, shape in (((radius, radius, 0, 0), (1, -1)), ((0, 0, radius, radius), (-1, 1))):
        weight = kernel.view(count * channels, 1, *shape)
        planes = F.conv2d(F.pad(planes, padding, mode="replicate"), weight, groups=count * channels)
    return planes.view_as(light)


def _bend(knots: Tensor, size: int, sides: float, reach: float) -> Tensor:
    """What a smooth field of this deviation adds to a grid over wide crops, N×32 knots: N×size×size×2."""
    # A wide crop reaches from −1 to 1 of the grid.
    return (_smooth(knots, size) * (sides * 2 / (1 + 2 * reach))).movedim(1, -1)


def _smooth(knots: Tensor, size: int) -> Tensor:
    """Smooth fields N×C×size×size through N×(C·16) knots, the outer ones on the crop's edges."""
    unit = torch.eye(_KNOTS, device=knots.device)[None, None]
    line = F.interpolate(unit, size=(size, _KNOTS), mode="bicubic", align_corners=True)[0]  # 1×size×4
    return line @ knots.view(len(knots), -1, _KNOTS, _KNOTS) @ line.mT


def _noise(light: Tensor, numbers: Tensor) -> Tensor:
    """Normal noise like `light`, each picture from its own number, so that slices of a batch agree."""
    seeds = (numbers.double() * 2**40).long().abs().tolist()
    device = light.device
    pictures = [
        torch.randn(light.shape[1:], generator=torch.Generator(device).manual_seed(seed), device=device)
        for seed in seeds
    ]
    return torch.stack(pictures)
