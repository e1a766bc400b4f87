"""The comb: one shared encoder, one tied trunk and P persona decoders coupled in parallel to its latent.

Network of US 2020/0372621 A1 / Naruniec et al., "High-Resolution Neural Face Swapping for Visual Effects" (EGSR 2020).
Level l works at 4·2^l pixels; level 8 is 1024. Notes on readings the sources leave open:

* "LeakyReLU after every convolution except the last" is read per network: the latent is linear, the picture a sigmoid.
* "down" is the mean of 2×2 pixels, "up" doubles pixels (nearest), as in progressive GANs.
* While levels grow, every level has a 1×1 convolution from and to RGB; in the finished network only the top ones act.
  Those of decoder levels 0 and 1 belong to the tied trunk.

Tensors are N×3×S×S in model space, values in [0, 1]; the latent is N×C×1×1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIED_LEVELS = (0, 1)
TOP_LEVEL = 8
SLOPE = 0.2
LATENT_CROPS = 4096
"""Crops that the mean latent of a persona is over: enough to know it well, few enough to follow a training."""


def level_size(level: int) -> int:
    """Side in pixels of the pictures level `level` works on."""
    return 4 * 2**level


def size_level(size: int) -> int:
    """Level that works at `size` pixels.

    Raises:
        ValueError: `size` is not one of 4, 8, …, 1024.
    """
    level = int(math.log2(size)) - 2 if size > 0 else -1
    if not 0 <= level <= TOP_LEVEL or level_size(level) != size:
        raise ValueError(f"a comb works at 4, 8, 16, … 1024 pixels, not {size}")
    return level


def is_persona_name(name: str) -> bool:
    """Whether a persona can be called `name`: up to 64 letters, digits, blanks, "_" and "-".

    Not so the few words that torch's modules keep for themselves, such as "train" and "double".
    """
    plain = re.fullmatch(r"\w([\w -]{0,62}\w)?", name) is not None
    return plain and not hasattr(nn.ModuleDict(), name)


@dataclass(frozen=True)
class CombDims:
    """What fixes the shapes of all weights: top level 0..8, width as a factor of the full channel counts."""

    level: int
    width: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.level <= TOP_LEVEL:
            raise ValueError(f"level is 0..{TOP_LEVEL}, not {self.level}")
        if not 1 / 64 <= self.width <= 2:
            raise ValueError(f"width is a factor of the full network between 1/64 and 2, not {self.width}")

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return level_size(self.level)

    def channels(self, level: int) -> int:
        """Channels at the input of encoder level `level` (512 up to level 3, halved each level above)."""
        return max(4, round(self.width * 512 / 2 ** max(0, level - 3)))


def multiply_adds(dims: CombDims, level: int) -> int:
    """Multiply-adds of one picture's way through the comb at `level` and full gain; a training step costs three times.

    Convolutions only: all else is below a hundredth.
    """
    c = dims.channels
    count = 3 * c(level) * level_size(level) ** 2 * 2  # from and to RGB
    for current in range(1, level + 1):
        area = level_size(current) ** 2 * 9
        count += area * (c(current) * c(current) + c(current) * c(current - 1))  # encoder
        count += area * (c(current - 1) * c(current) + c(current) * c(current))  # decoder
    return count + 2 * 16 * c(0) * c(0) * (9 + 1)


def _conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=1 if kernel == 3 else 0)


def _activated(*convolutions: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = []
    for convolution in convolutions:
        layers += [convolution, nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        # Weights that are about to be read from a file are on the meta device: drawing them there changes nothing, and
        # torch loads its compiler for it, a second of every process.
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) and not part.weight.is_meta:
            nn.init.kaiming_normal_(part.weight, a=SLOPE)
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]


def _down(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, 2)


def _up(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2, mode="nearest")


class Encoder(nn.Module):
    """Picture to latent, N×3×S×S → N×C×1×1, shared by all personas."""

    def __init__(self, dims: CombDims) -> None:
        super().__init__()
        c = dims.channels
        self.from_rgb = nn.ModuleList(_activated(nn.Conv2d(3, c(level), 1)) for level in range(dims.level + 1))
        self.levels = nn.ModuleList([_activated(_conv(c(0), c(0)))])
        for level in range(1, dims.level + 1):
            self.levels.append(_activated(_conv(c(level), c(level)), _conv(c(level), c(level - 1))))
        self.to_latent = nn.Conv2d(c(0), c(0), 4)
        _initialise(self)

    def forward(self, image: Tensor, level: int, alpha: float = 1.0) -> Tensor:
        """Encode pictures of level `level`; below full gain α the level's path is mixed with the one without it."""
        features = self.from_rgb[level](image)
        for current in range(level, 0, -1):
            features = _down(self.levels[current](features))  # N×c(current−1)×S/2×S/2
            if current == level and alpha < 1.0:
                features = torch.lerp(self.from_rgb[level - 1](_down(image)), features, alpha)
        latent: Tensor = self.to_latent(self.levels[0](features))
        return latent


class Trunk(nn.Module):
    """Decoder levels 0 and 1, tied for all personas: what gives the latent one meaning for everybody."""

    def __init__(self, dims: CombDims) -> None:
        super().__init__()
        c = dims.channels
        self.from_latent = _activated(nn.ConvTranspose2d(c(0), c(0), 4))
        self.levels = nn.ModuleList([_activated(_conv(c(0), c(0)))])
        self.to_rgb = nn.ModuleList([nn.Conv2d(c(0), 3, 1)])
        if dims.level >= 1:
            self.levels.append(_activated(_conv(c(0), c(1)), _conv(c(1), c(1))))
            self.to_rgb.append(nn.Conv2d(c(1), 3, 1))
        _initialise(self)

    def forward(self, latent: Tensor, level: int) -> list[Tensor]:
        """Features of levels 0..min(level, 1): N×C×4×4, N×C×8×8."""
        features = [self.levels[0](self.from_latent(latent))]
        if level >= 1:
            features.append(self.levels[1](_up(features[0])))
        return features


class PersonaDecoder(nn.Module):
    """Decoder levels 2.. of one persona, and where its latents lie.

    `latent_mean` (C values) is the mean latent of the last `latent_crops` crops it was trained on, at most
    `LATENT_CROPS`; of none in what was never trained, or by an earlier version.
    """

    latent_mean: Tensor
    latent_crops: Tensor

    def __init__(self, dims: CombDims) -> None:
        super().__init__()
        c = dims.channels
        own = range(len(TIED_LEVELS), dims.level + 1)
        self.levels = nn.ModuleDict(
            {str(level): _activated(_conv(c(level - 1), c(level)), _conv(c(level), c(level))) for level in own}
        )
        self.to_rgb = nn.ModuleDict({str(level): nn.Conv2d(c(level), 3, 1) for level in own})
        self.register_buffer("latent_mean", torch.zeros(c(0)))
        self.register_buffer("latent_crops", torch.zeros(()))
        _initialise(self)

    @torch.no_grad()
    def add_latents(self, mean: Tensor, count: float) -> None:
        """Let `latent_mean` know the mean latent, C values, of `count` more crops of this persona."""
        self.latent_mean.lerp_(mean.to(self.latent_mean.dtype), count / (self.latent_crops + count))
        self.latent_crops.add_(count).clamp_(max=LATENT_CROPS)

    @torch.no_grad()
    def forget_latents(self) -> None:
        """As one that was never trained."""
        self.latent_mean.zero_()
        self.latent_crops.zero_()


class Comb(nn.Module):
    """Encoder, trunk and the persona decoders that are loaded.

    Args:
        dims: shapes.
        personas: names of the decoders to make room for; any number, also none.
        alpha: gain of the top level where a call names none; below 1 in a model that was saved while it faded in.
    """

    def __init__(self, dims: CombDims, personas: Sequence[str], alpha: float = 1.0) -> None:
        super().__init__()
        self.dims = dims
        self.alpha = alpha
        self.encoder = Encoder(dims)
        self.trunk = Trunk(dims)
        self.personas = nn.ModuleDict({name: PersonaDecoder(dims) for name in personas})

    def encode(self, crop: Tensor, level: int | None = None, alpha: float | None = None) -> Tensor:
        """Crops N×3×S×S in model space to latents N×C×1×1."""
        latent: Tensor = self.encoder(crop, *self._stage(level, alpha))
        return latent

    def decode(self, latent: Tensor, persona: str, level: int | None = None, alpha: float | None = None) -> Tensor:
        """Latents to swaps N×3×S×S in model space, showing `persona`.

        Raises:
            KeyError: the decoder of `persona` is not loaded.
        """
        top, alpha = self._stage(level, alpha)
        decoder: PersonaDecoder = self.personas[persona]  # type: ignore[assignment]
        grown = self.trunk(latent, top)

        def features_at(at: int) -> Tensor:
            for current in range(len(grown), at + 1):
                grown.append(decoder.levels[str(current)](_up(grown[-1])))
            return grown[at]

        def picture_at(at: int) -> Tensor:
            to_rgb = self.trunk.to_rgb[at] if at in TIED_LEVELS else decoder.to_rgb[str(at)]
            features = features_at(at)
            # The picture itself is float32 under autocast too: eight bits of mantissa would show as banding.
            with torch.autocast(features.device.type, enabled=False):
                return torch.sigmoid(to_rgb(features.float()))

        if alpha >= 1.0 or top == 0:
            return picture_at(top)
        return torch.lerp(_up(picture_at(top - 1)), picture_at(top), alpha)

    def forward(self, crop: Tensor, persona: str, level: int | None = None, alpha: float | None = None) -> Tensor:
        """One of the P² paths: encode a crop of anybody, decode it as `persona`."""
        return self.decode(self.encode(crop, level, alpha), persona, level, alpha)

    def forget_latents(self) -> None:
        """No persona knows any more where its latents lie."""
        for decoder in self.personas.values():
            decoder.forget_latents()  # type: ignore[operator]

    def _stage(self, level: int | None, alpha: float | None) -> tuple[int, float]:
        """The level and gain of a call: a level that is named is meant at full gain."""
        own = level is None or level == self.dims.level
        return self.dims.level if level is None else level, alpha if alpha is not None else self.alpha if own else 1.0
