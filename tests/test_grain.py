"""Grain measured on a plate whose grain is known, and laid over again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bodydouble.swap.grain import (
    ShotGrain,
    add_grain,
    estimate_grain,
    frame_samples,
    grain_field,
    grain_from_document,
    half_sample_mode,
    pair_samples,
)

SIZE = (160, 192)
STRENGTH = torch.tensor([1.0, 0.8, 1.5])[None, :, None, None]  # of the channels


def scene(shift: int = 0) -> torch.Tensor:
    """A smooth face-like ramp with some hard texture, 1×3×H×W."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) / SIZE[0], (torch.arange(SIZE[1]) + shift) / SIZE[1], indexing="ij")
    picture = torch.stack([0.2 + 0.5 * x, 0.15 + 0.4 * x, 0.1 + 0.3 * x * (1 - 0.3 * y)])
    picture = picture + 0.1 * ((x * 40).floor() % 2) * (y > 0.7)
    return picture[None]


def grainy(picture: torch.Tensor, seed: int, soft: bool = True) -> torch.Tensor:
    """The picture with grain of a standard deviation of 0.01 + 0.02·brightness, times `STRENGTH`; soft: blurred."""
    white = torch.randn(1, 3, *picture.shape[-2:], generator=torch.Generator().manual_seed(seed))
    if soft:
        white = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(white, (0, 1, 0, 1), mode="circular"), 2, 1) * 2
    return picture + white * (0.01 + 0.02 * picture) * STRENGTH


def measured(shifts: tuple[int, ...] = (0, 0, 0, 0)) -> ShotGrain:
    frames = [grainy(scene(shift), seed) for seed, shift in enumerate(shifts)]
    pairs = [pair_samples(*frames[k : k + 2]) for k in range(0, len(frames), 2)]
    found = estimate_grain(pairs, [frame_samples(frame) for frame in frames[::2]])
    assert found is not None
    return found


@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (0, 9, 18, 30)], ids=["static", "everything moves"])
def test_the_strength_found_is_the_strength_there_was(shifts):
    found = measured(shifts)
    true = (0.01 + 0.02 * found.levels) * STRENGTH.numpy()[0, :, :, 0]
    known = [(0.2, 0.7), (0.15, 0.55), (0.12, 0.38)]
    for channel, (low, high) in enumerate(known):
        inside = (found.levels > low) & (found.levels < high)
        np.testing.assert_allclose(found.sigma[channel, inside], true[channel, inside], rtol=0.12)
        ratio = found.sigma[channel, inside] / true[channel, inside]
        assert abs(ratio.mean() - 1) < 0.06


def test_the_spectrum_found_is_the_spectrum_there_was():
    found = measured()
    frequency = np.fft.fftfreq(16)
    across = 2 * (1 + np.cos(2 * np.pi * frequency))  # of the mean of two neighbours, up to scale
    true = across[:, None] * across[None, :]
    np.testing.assert_allclose(found.spectrum.mean(axis=0), true / true.mean(), atol=0.5)
    np.testing.assert_allclose(found.shared, np.eye(3), atol=0.1)


def test_grain_laid_over_has_the_strength_and_spectrum_of_the_plates():
    found, clean = measured(), scene()
    whole = torch.ones(1, 1, *SIZE)
    made = torch.cat([add_grain(clean, whole, found, 1.0, seed) - clean for seed in range(12)])
    real = torch.cat([grainy(clean, 100 + seed) - clean for seed in range(12)])
    inner = (..., slice(0, 110), slice(20, 170))
    ratio = made[inner].var(dim=(0, 2, 3)) / real[inner].var(dim=(0, 2, 3))
    assert (ratio - 1).abs().max() < 0.1
    spectra = [np.abs(np.fft.fft2(noise[..., :96, 20:116].numpy())) ** 2 for noise in (made, real)]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96)))
    for low in (0.02, 0.1, 0.2, 0.3):
        ring = (frequency > low) & (frequency < low + 0.1)
        assert spectra[0][..., ring].mean() == pytest.approx(spectra[1][..., ring].mean(), rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_with_what_is_left_of_the_plates_own_grain_the_variance_is_whole(share):
    """A pixel in the matte's ramp still carries `share` of the plate's grain."""
    found, clean = measured(), scene()
    taken = torch.full((1, 1, *SIZE), 1 - share)
    left = [clean + share * (grainy(clean, 50 + seed) - clean) for seed in range(10)]
    finished = torch.cat([add_grain(picture, taken, found, 1.0, seed) - clean for seed, picture in enumerate(left)])
    real = torch.cat([grainy(clean, 200 + seed) - clean for seed in range(10)])
    inner = (..., slice(0, 110), slice(20, 170))
    assert (finished[inner].var(dim=(0, 2, 3)) / real[inner].var(dim=(0, 2, 3)) - 1).abs().max() < 0.1


def test_outside_the_matte_nothing_gets_grain_and_a_frame_always_gets_the_same():
    found, picture, taken = measured(), scene(), torch.zeros(1, 1, *SIZE)
    taken[..., 40:90, 50:120] = 1
    once, again = (add_grain(picture, taken, found, 1.0, 1001) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(once[(taken == 0).expand_as(once)], picture[(taken == 0).expand_as(once)])
    assert not torch.equal(once, add_grain(picture, taken, found, 1.0, 1002))


def test_shared_grain_is_shared_again():
    noise = torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(1)).expand(2, 3, *SIZE) * 0.02
    frames = scene() + noise
    found = estimate_grain([pair_samples(frames[:1], frames[1:])], [])
    assert found is not None
    assert found.shared.min() > 0.95
    field = grain_field(found, 3, (64, 64))[0].reshape(3, -1).numpy()
    assert np.corrcoef(field).min() > 0.95


def test_a_clean_plate_has_no_grain_and_too_little_of_a_plate_says_nothing():
    clean = estimate_grain([pair_samples(scene(), scene())], [frame_samples(scene())])
    assert clean is not None
    assert clean.sigma.max() < 1e-5
    tiny = torch.rand(1, 3, 20, 20)
    assert estimate_grain([pair_samples(tiny, tiny)], [frame_samples(tiny)]) is None


def test_grain_survives_its_document():
    found = measured()
    again = grain_from_document(json.loads(json.dumps(found.to_document())))
    np.testing.assert_allclose(again.sigma, found.sigma, rtol=1e-5)
    with pytest.raises(ValueError, match="sigma of the grain"):
        grain_from_document({**found.to_document(), "sigma": [[1.0]]})


def test_the_mode_lies_where_the_values_are_dense():
    random = np.random.default_rng(5)
    values = np.concatenate([random.normal(2.0, 0.09, 200), random.uniform(2, 9, 600)])
    assert half_sample_mode(values) == pytest.approx(2.0, abs=0.06)
