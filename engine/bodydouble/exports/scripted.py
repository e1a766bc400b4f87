"""One persona's path through a comb as a module that TorchScript compiles: scene-linear crop in, scene-linear crop out.

It obeys the rules of Nuke's CatFileCreator: one tensor 1×C×H×W in, one out; whatever it makes takes dtype and device
of its input, since Nuke calls `.half()` and `.cuda()` on it; what a knob shall change is a plain attribute. Only old
and plain operators are used, so that the torch inside Nuke 14 (1.12) reads what a newer torch saved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bodydouble.network.comb import SLOPE, TIED_LEVELS, Comb, PersonaDecoder
from bodydouble.plates.modelspace import ModelSpace


class Convolution(nn.Module):
    """A convolution with optional leaky ReLU; `up` spreads one pixel to a picture, as the latent's decoder does."""

    def __init__(self, source: nn.Module, activated: bool) -> None:
        super().__init__()
        assert isinstance(source, nn.Conv2d | nn.ConvTranspose2d)
        self.weight = source.weight
        self.bias = source.bias
        self.padding: int = int(source.padding[0])
        self.up = isinstance(source, nn.ConvTranspose2d)
        self.activated = activated
        self.slope: float = SLOPE

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = torch.conv_transpose2d(x, self.weight, self.bias)
        else:
            x = torch.conv2d(x, self.weight, self.bias, [1, 1], [self.padding, self.padding])
        if self.activated:
            x = torch._C._nn.leaky_relu(x, self.slope)
        return x


class Halve(nn.Module):
    """Mean of 2×2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch._C._nn.avg_pool2d(x, [2, 2])


class Double(nn.Module):
    """Every pixel four times."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


class PersonaModule(nn.Module):
    """Crops of anybody to crops of one persona, scene-linear light in the model's primaries on both sides.

    Attributes that a custom knob may set: `strength`, 0 the plate to 1 the persona; `stops`, by how much the light is
    raised before the network and lowered after it, for plates darker or brighter than what it was trained on.
    """

    def __init__(self, comb: Comb, persona: str, space: ModelSpace) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(comb, persona))
        self.size: int = comb.dims.size
        self.anchor: Tensor = next(self.layers.parameters())
        self.strength: float = 1.0
        self.stops: float = 0.0
        self.cut: float = space.cut
        self.toe: float = space.toe_slope
        self.power: float = space.gamma
        self.offset: float = space.offset
        self.white: float = space.white
        self.shoulder: float = space.shoulder
        self.rise: float = space.white_slope

    def forward(self, x: Tensor) -> Tensor:
        """1×3×H×W light; a square crop of any size, resampled to the network's. What is not finite stays as it is."""
        gain = 2.0**self.stops
        plate = x.float()
        light = torch.where(torch.isfinite(plate), plate, torch.zeros_like(plate)) * gain
        crop = self.resized(self.to_model(light), self.size, self.size).clamp(0.0, 1.0)
        # The weights say in which precision Nuke wants the network; the curve needs the full one.
        swap = torch.sigmoid(self.layers(crop.to(self.anchor.dtype)).float())
        shown = self.from_model(self.resized(swap, x.shape[2], x.shape[3])) / gain
        mixed = plate + (shown - plate) * self.strength
        return torch.where(torch.isfinite(plate), mixed, plate).to(x.dtype)

    def to_model(self, light: Tensor) -> Tensor:
        """As `modelspace.to_model`."""
        curve = (1.0 + self.offset) * light.clamp(self.cut, 1.0).pow(1.0 / self.power) - self.offset
        log = torch.log1p((light.clamp(min=1.0) - 1.0) * (self.rise / self.shoulder))
        upper = torch.where(light > 1.0, self.white + self.shoulder * log, self.white * curve)
        return torch.where(light < self.cut, light * self.toe, upper)

    def from_model(self, encoded: Tensor) -> Tensor:
        """As `modelspace.from_model`."""
        low = self.toe * self.cut
        base = (encoded.clamp(low, self.white) / self.white + self.offset) / (1.0 + self.offset)
        growth = torch.expm1((encoded.clamp(min=self.white) - self.white) / self.shoulder)
        upper = torch.where(encoded > self.white, 1.0 + self.shoulder / self.rise * growth, base.pow(self.power))
        return torch.where(encoded < low, encoded / self.toe, upper)

    def resized(self, image: Tensor, height: int, width: int) -> Tensor:
        """Means of what falls on a pixel where it shrinks, linear between pixels where it grows."""
        if image.shape[2] == height and image.shape[3] == width:
            return image
        if image.shape[2] >= height and image.shape[3] >= width:
            return torch._C._nn.adaptive_avg_pool2d(image, [height, width])
        return torch._C._nn.upsample_bilinear2d(image, [height, width], False, None)


def _layers(comb: Comb, persona: str) -> list[nn.Module]:
    """The finished network, top level to latent to top level; the growth's side paths are not in it."""
    top = comb.dims.level
    decoder: PersonaDecoder = comb.personas[persona]  # type: ignore[assignment]
    layers = _convolutions(comb.encoder.from_rgb[top])
    for level in range(top, 0, -1):
        layers += [*_convolutions(comb.encoder.levels[level]), Halve()]
    layers += [*_convolutions(comb.encoder.levels[0]), Convolution(comb.encoder.to_latent, False)]
    layers += _convolutions(comb.trunk.from_latent) + _convolutions(comb.trunk.levels[0])
    for level in range(1, top + 1):
        own = comb.trunk.levels[level] if level in TIED_LEVELS else decoder.levels[str(level)]
        layers += [Double(), *_convolutions(own)]
    to_rgb = comb.trunk.to_rgb[top] if top in TIED_LEVELS else decoder.to_rgb[str(top)]
    return [*layers, Convolution(to_rgb, False)]


def _convolutions(block: nn.Module) -> list[nn.Module]:
    """The convolutions of an activated block."""
    return [Convolution(part, True) for part in block.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
