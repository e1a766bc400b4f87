"""How well a comb rebuilds crops it was never trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from bodydouble.network.comb import LATENT_CROPS, Comb, PersonaDecoder
from bodydouble.network.devices import run_on
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import DRAWS, Batch, augment
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.features import feature_maps
from bodydouble.training.losses import level_loss, ms_ssim
from bodydouble.training.schedule import Phase
from bodydouble.training.texture import SMALLEST_TEXTURE, strength_ratio

QUICK_COUNT = 16
"""Held-out crops of each persona that are looked at while training."""
_CHUNK = 8


@dataclass(frozen=True)
class Reconstruction:
    """Of one persona's held-out crops, in model space inside the matte.

    Attributes:
        ms_ssim, psnr: means; PSNR in dB.
        texture: mean of how strong the two finest octaves are, as a share of the true ones; None below 32 pixels.
        crops: how many there are.
    """

    ms_ssim: float
    psnr: float
    texture: float | None
    crops: int


@dataclass(frozen=True)
class CropReader:
    """How stored crops become the network's pictures."""

    settings: TrainSettings
    space: ModelSpace
    reach: float
    device: torch.device

    def read(self, crops: PersonaCrops, index: Tensor, level: int) -> Batch:
        """The crops at `index` as they are, without augmentation."""
        pixels = crops.pixels[index].to(self.device)
        features = feature_maps(crops.landmarks[index].to(self.device), self.settings, level, self.reach)
        return augment(pixels, torch.zeros(len(index), DRAWS), level, self.settings, self.space, self.reach, features)


@torch.no_grad()
def validate(comb: Comb, crops: Mapping[str, PersonaCrops], phase: Phase, reader: CropReader) -> dict[str, float]:
    """Mean loss of each persona that has held-out crops, at the level and gain of `phase`."""
    losses: dict[str, float] = {}
    for name, one in crops.items():
        index = one.held_out[:QUICK_COUNT]
        if len(index):
            losses[name] = _loss(comb, one, index, name, phase, reader)
    return losses


@torch.no_grad()
def note_latents(comb: Comb, crops: Mapping[str, PersonaCrops], phase: Phase, reader: CropReader) -> None:
    """Where the latents of each persona lie, by the crops it is trained on as they are, at most `LATENT_CROPS` of them.

    A training notes it as it goes, by crops that were bent and lit otherwise; that is near, this is better.
    """
    for name, one in crops.items():
        picked = _spread(one.trained, LATENT_CROPS)
        total = torch.zeros(())
        for index in picked.split(_CHUNK):
            shown = reader.read(one, index, phase.level).shown
            with run_on(reader.device, reader.settings.precision):
                latents = comb.encode(shown, phase.level, phase.alpha)
            total = total + latents.float().flatten(1).sum(dim=0).cpu()
        decoder: PersonaDecoder = comb.personas[name]  # type: ignore[assignment]
        decoder.forget_latents()
        decoder.add_latents((total / len(picked)).to(decoder.latent_mean.device), len(picked))


@torch.no_grad()
def trial_loss(comb: Comb, crops: PersonaCrops, persona: str, phase: Phase, reader: CropReader) -> float:
    """Mean loss of some crops of anybody, decoded as `persona`."""
    return _loss(comb, crops, _spread(crops.trained, QUICK_COUNT), persona, phase, reader)


def _spread(index: Tensor, most: int) -> Tensor:
    """At most so many of some indices, at even distances."""
    return index[torch.linspace(0, len(index) - 1, min(most, len(index))).long()]


def _loss(comb: Comb, crops: PersonaCrops, index: Tensor, persona: str, phase: Phase, reader: CropReader) -> float:
    batch = reader.read(crops, index, phase.level)
    result = _rebuilt(comb, batch.shown, persona, phase, reader)
    return float(level_loss(result, batch.truth, batch.matte, phase.level, reader.settings, batch.features))


@torch.no_grad()
def reconstruct(
    comb: Comb, crops: Mapping[str, PersonaCrops], phase: Phase, reader: CropReader
) -> dict[str, Reconstruction]:
    """Figures of each persona over all its held-out crops; personas without any are left out."""
    figures: dict[str, Reconstruction] = {}
    for name, one in crops.items():
        similar, errors, strengths = [], [], []
        for index in one.held_out.split(_CHUNK) if len(one.held_out) else ():
            batch = reader.read(one, index, phase.level)
            result = _rebuilt(comb, batch.shown, name, phase, reader)
            for got, truth, matte in zip(result, batch.truth, batch.matte, strict=True):
                similar.append(float(ms_ssim(enlarged(got * matte), enlarged(truth * matte))))
                error = float((((got - truth) ** 2) * matte).sum() / (3 * matte.sum()).clamp_min(1e-6))
                errors.append(10 * math.log10(1 / max(error, 1e-10)))
                if got.shape[-1] >= SMALLEST_TEXTURE:
                    strengths.append(strength_ratio(got[None], truth[None], matte[None]))
        if similar:
            texture = fmean(strengths) if strengths else None
            figures[name] = Reconstruction(fmean(similar), fmean(errors), texture, len(similar))
    return figures


def enlarged(picture: Tensor) -> Tensor:
    """C×S×S as 1×C×S×S, at least as large as SSIM's window wants."""
    if picture.shape[-1] >= 16:
        return picture[None]
    return torch.nn.functional.interpolate(picture[None], size=16, mode="bilinear")


def _rebuilt(comb: Comb, shown: Tensor, persona: str, phase: Phase, reader: CropReader) -> Tensor:
    with run_on(reader.device, reader.settings.precision):
        return comb(shown, persona, phase.level, phase.alpha).float()
