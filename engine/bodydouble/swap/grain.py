"""Grain: measured on the plate, and laid over the new face again.

A decoder returns a face without grain. What the camera put over the performer is measured once per shot (`GrainSamples`
→ `ShotGrain`): its strength per channel against brightness, its spectrum, and how much the channels share, all in model
space. Then every frame gets grain of its own, drawn from its frame number, as strong as what the blend took away.

Strength is read off pairs of neighbouring frames and off single frames, block by block. Motion and texture only ever
add to a block's variance, so the densest variance is the noise's. Pairs go first, being blind to texture; single frames
stand in where everything moves.
D. Bickel, R. Frühwirth, On a fast, robust estimator of the mode (half-sample mode), 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 16
"""Side of the blocks, and of the spectrum, in pixels."""
_STRIDE = 8
_BINS = 10
_LEAST_BLOCKS, _MOST_BLOCKS = 16, 3000
_MOVING = 1.25
"""How much more pairs may show than single frames before it is taken for motion."""
_TILE = 256
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShotGrain:
    """The grain of a shot, in model space.

    Attributes:
        levels: (K,) brightness, rising.
        sigma: (3, K) standard deviation of each channel at each brightness of that channel.
        spectrum: (3, 16, 16) power at the frequencies of a 16×16 FFT, mean 1.
        shared: (3, 3) correlation of the channels.
    """

    levels: Array
    sigma: Array
    spectrum: Array
    shared: Array

    def to_document(self) -> dict[str, Any]:
        """For JSON, rounded to what the estimate is worth."""
        names = ("levels", "sigma", "spectrum", "shared")
        return {name: [_rounded(row) for row in np.atleast_1d(getattr(self, name))] for name in names}


def grain_from_document(document: Mapping[str, Any]) -> ShotGrain:
    """Inverse of `ShotGrain.to_document`. Raises ValueError on what does not fit."""
    parts = {name: np.asarray(document[name], np.float64) for name in ("levels", "sigma", "spectrum", "shared")}
    count = len(parts["levels"])
    shapes = {"levels": (count,), "sigma": (3, count), "spectrum": (3, BLOCK, BLOCK), "shared": (3, 3)}
    for name, shape in shapes.items():
        if parts[name].shape != shape or not np.isfinite(parts[name]).all():
            raise ValueError(f"{name} of the grain must be {shape} finite numbers, got {parts[name].shape}")
    return ShotGrain(**parts)


def _rounded(row: Any) -> Any:
    return float(f"{row:.6g}") if np.ndim(row) == 0 else [_rounded(value) for value in row]


@dataclass(frozen=True, eq=False)
class GrainSamples:
    """Blocks of one frame, or of a pair. `residual`: (N, 3, 16, 16) what is left of each block without its brightness,
    scaled to one frame's noise; `brightness`: (N, 3).
    """

    residual: NDArray[np.float32]
    brightness: NDArray[np.float32]


def pair_samples(before: Tensor, after: Tensor) -> GrainSamples:
    """Blocks of two neighbouring frames' difference; 1×3×H×W each, the same region of the plate, model space."""
    difference, mean = (before - after) / 2**0.5, (before + after) / 2
    residual = _blocks(difference)
    return GrainSamples(residual - residual.mean(axis=(2, 3), keepdims=True), _blocks(mean).mean(axis=(2, 3)))


def frame_samples(picture: Tensor) -> GrainSamples:
    """Blocks of one frame, each without the plane that fits it best; 1×3×H×W, model space."""
    blocks = _blocks(picture)
    ramp = np.linspace(-1, 1, BLOCK, dtype=np.float32)
    power = float((ramp**2).sum() * BLOCK)
    mean = blocks.mean(axis=(2, 3), keepdims=True)
    across = (blocks * ramp).sum(axis=(2, 3), keepdims=True) / power * ramp
    down = (blocks * ramp[:, None]).sum(axis=(2, 3), keepdims=True) / power * ramp[:, None]
    # Three of the block's degrees of freedom are gone.
    scale = np.float32(np.sqrt((BLOCK**2 - 1) / (BLOCK**2 - 3)))
    return GrainSamples((blocks - mean - across - down) * scale, mean[:, :, 0, 0])


def _blocks(picture: Tensor) -> NDArray[np.float32]:
    """(N, 3, 16, 16) blocks of a 1×3×H×W picture: every eighth pixel, or wider apart in a large one."""
    height, width = picture.shape[-2:]
    stride = max(_STRIDE, math.isqrt(height * width // _MOST_BLOCKS))
    if min(height, width) < BLOCK:
        return np.zeros((0, 3, BLOCK, BLOCK), np.float32)
    found = picture[0].unfold(1, BLOCK, stride).unfold(2, BLOCK, stride)  # 3×rows×columns×16×16
    return np.ascontiguousarray(found.permute(1, 2, 0, 3, 4).reshape(-1, 3, BLOCK, BLOCK).cpu().numpy())


def estimate_grain(pairs: Iterable[GrainSamples], frames: Iterable[GrainSamples]) -> ShotGrain | None:
    """The grain that explains the samples of a shot; None where there are too few of them."""
    kinds = [_joined(samples) for samples in (pairs, frames)]
    kinds = [kind for kind in kinds if len(kind.residual) >= _LEAST_BLOCKS]
    if not kinds:
        return None
    brightness = np.concatenate([kind.brightness for kind in kinds])
    low, high = np.quantile(brightness, (0.01, 0.99)).tolist()
    edges = np.linspace(low, high, _BINS + 1)
    levels = (edges[:-1] + edges[1:]) / 2
    tables = [np.stack([_without_gaps(levels, row) for row in _sigma_table(kind, edges)]) for kind in kinds]
    # A plane fitted to a block takes some of coarse grain with it: single frames say a little too little.
    moving = len(tables) > 1 and float(np.median(tables[0])) > _MOVING * float(np.median(tables[1]))
    chosen = 1 if moving else 0
    return ShotGrain(levels, tables[chosen], *_texture(kinds[chosen], levels, tables[chosen]))


def _joined(samples: Iterable[GrainSamples]) -> GrainSamples:
    every = list(samples)
    empty = GrainSamples(np.zeros((0, 3, BLOCK, BLOCK), np.float32), np.zeros((0, 3), np.float32))
    every = [empty, *every]
    return GrainSamples(
        np.concatenate([one.residual for one in every]), np.concatenate([one.brightness for one in every])
    )


def _sigma_table(samples: GrainSamples, edges: Array) -> Array:
    """(3, bins) standard deviation; nan where there are too few blocks."""
    variance = (samples.residual.astype(np.float64) ** 2).sum(axis=(2, 3)) / (BLOCK**2 - 1)  # N×3
    table = np.full((3, len(edges) - 1), np.nan)
    for channel in range(3):
        bins = np.digitize(samples.brightness[:, channel], edges) - 1
        for index in range(len(edges) - 1):
            inside = variance[bins == index, channel]
            if len(inside) >= _LEAST_BLOCKS:
                table[channel, index] = np.sqrt(np.exp(half_sample_mode(np.log(inside + 1e-14))))
    return table


def half_sample_mode(values: Array) -> float:
    """Where the values lie densest: the shortest half, again and again, until three are left; their mean."""
    values = np.sort(values)
    while len(values) > 3:
        half = (len(values) + 1) // 2
        widths = values[half - 1 :] - values[: len(values) - half + 1]
        start = int(np.argmin(widths))
        # The last dozens of values are too few to say where they lie densest: their middle is better.
        if half < 12:
            return float(np.median(values))
        values = values[start : start + half]
    return float(values.mean())


def _without_gaps(levels: Array, sigma: Array) -> Array:
    known = np.isfinite(sigma)
    if not known.any():
        return np.zeros_like(sigma)
    return np.interp(levels, levels[known], sigma[known])


def _texture(samples: GrainSamples, levels: Array, sigma: Array) -> tuple[Array, Array]:
    """Spectrum (3, 16, 16) and correlation of the channels (3, 3), from the blocks that are nothing but noise."""
    expected = np.stack([np.interp(samples.brightness[:, c], levels, sigma[c]) for c in range(3)], axis=1)
    have = samples.residual.std(axis=(2, 3))
    # A block's own standard deviation scatters by 5 %; what is far off is texture or motion.
    pure = ((have > 0.8 * expected) & (have < 1.2 * expected) & (expected > 0)).all(axis=1)
    flat = np.ones((3, BLOCK, BLOCK))
    if pure.sum() < _LEAST_BLOCKS:
        return flat, np.eye(3)
    noise = samples.residual[pure] / expected[pure][:, :, None, None]
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    power[:, 0, 0] = (power[:, 0, 1] + power[:, 1, 0]) / 2  # the mean was taken away
    spectrum = power / power.mean(axis=(1, 2), keepdims=True)
    return spectrum, np.corrcoef(noise.transpose(1, 0, 2, 3).reshape(3, -1))


def add_grain(picture: Tensor, taken: Tensor, grain: ShotGrain, strength: float, seed: int) -> Tensor:
    """Lay grain over a picture as far as its own was taken away.

    Args:
        picture: 1×3×H×W, model space.
        taken: 1×1×H×W in [0, 1]: 0 where the plate shows, 1 where nothing of its grain is left.
        grain: of the shot.
        strength: 1 for the plate's own.
        seed: of the frame; the same seed gives the same grain, wherever the frame is computed.

    Returns:
        1×3×H×W. Where `taken` is 0 it is the picture to the bit.
    """
    noise = grain_field(grain, seed, (picture.shape[-2], picture.shape[-1])).to(picture.device)
    sigma = torch.stack([_lookup(picture[0, c], grain.levels, grain.sigma[c]) for c in range(3)])[None]
    # What is left of the plate's grain has the share 1 - taken of its amplitude: variances add up to the whole again.
    missing = (1 - (1 - taken) ** 2).clamp(0, 1).sqrt()
    return torch.where(taken > 0, picture + noise * sigma * missing * strength, picture)


def grain_field(grain: ShotGrain, seed: int, size: tuple[int, int]) -> Tensor:
    """1×3×H×W grain of unit variance with the shot's spectrum; made on the CPU, alike for every device."""
    generator = torch.Generator().manual_seed(seed)
    tile = _TILE * (1 + max(size) // 1024)  # repeats at most five times along a side
    white = torch.randn((3, tile, tile), generator=generator)
    shared = np.linalg.cholesky(0.999 * grain.shared + 0.001 * np.eye(3))
    white = torch.einsum("cd,dhw->chw", torch.from_numpy(shared.astype(np.float32)), white)
    amplitude = torch.from_numpy(np.sqrt(_finer(grain.spectrum, tile)).astype(np.float32))
    shaped = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude[..., : tile // 2 + 1], s=(tile, tile))
    rows, columns = (-(-side // tile) for side in size)
    return shaped.repeat(1, rows, columns)[None, :, : size[0], : size[1]]


def _finer(spectrum: Array, size: int) -> Array:
    """The spectrum at the frequencies of a larger FFT: its correlation, zero beyond the block."""
    correlation = np.fft.fftshift(np.fft.ifft2(spectrum).real, axes=(1, 2))
    padded = np.zeros((3, size, size))
    low = size // 2 - BLOCK // 2
    padded[:, low : low + BLOCK, low : low + BLOCK] = correlation
    fine = np.fft.fft2(np.fft.ifftshift(padded, axes=(1, 2))).real.clip(0)
    return np.asarray(fine / fine.mean(axis=(1, 2), keepdims=True))


def _lookup(values: Tensor, levels: Array, table: Array) -> Tensor:
    """`table` at `values` (any shape), straight between evenly spaced levels, held beyond them."""
    if len(levels) < 2:
        return torch.full_like(values, float(table[0]))
    place = ((values - float(levels[0])) / float(levels[1] - levels[0])).clamp(0, len(levels) - 1)
    low = place.floor().clamp(max=len(levels) - 2)
    entries = torch.from_numpy(table.astype(np.float32)).to(values.device)
    start = entries[low.long()]
    return start + (entries[low.long() + 1] - start) * (place - low)
