"""Colour, contrast and highlights of the swap, and how the new face follows the plate's light."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import SwapSettings
from bodydouble.swap.matte import gaussian
from bodydouble.swap.swapstages import blend_crop, face_matte
from bodydouble.swap.tone import (
    brightness,
    calm_chroma,
    compressed,
    local_contrast,
    match_contrast,
    match_ring,
    stretched,
)
from tiny import face_at

SIZE = 128
MATTE = face_matte(face_at(64, 64, 128), SIZE, 0.6)


def skin(seed: int = 0, tone: tuple[float, float, float] = (0.5, 0.4, 0.35)) -> torch.Tensor:
    """Something with the contrast of a face at every scale, 1×3×128×128."""
    generator = torch.Generator().manual_seed(seed)
    detail = sum(
        gaussian(torch.randn(1, 1, SIZE, SIZE, generator=generator), sigma) * sigma * 0.1 for sigma in (1.0, 3.0, 8.0)
    )
    return torch.tensor(tone)[None, :, None, None] + 0.8 * detail


def test_stretching_highlights_is_undone_and_leaves_all_up_to_white_to_the_bit():
    space = ModelSpace()
    picture = torch.linspace(-0.2, 1.1, 3000).reshape(1, 3, 10, 100)
    stretch = stretched(picture, space)
    dark = picture <= space.white
    assert torch.equal(stretch[dark], picture[dark])
    assert (compressed(stretch, space) - picture).abs().max() < 3e-6
    assert torch.equal(compressed(stretch, space)[dark], picture[dark])
    # Equal steps are equal factors of light above white.
    bright = torch.tensor([[[[1.0, 2.0, 4.0, 8.0, 16.0]]]])
    coded = space.white + space.shoulder * torch.log1p((bright - 1) * (space.white_slope / space.shoulder))
    assert stretched(coded, space).diff().flatten().tolist() == pytest.approx(
        [space.white_slope * np.log(2)] * 4, rel=1e-3
    )


def test_light_above_white_is_stretched_alike_wherever_it_lies():
    space, picture = ModelSpace(), skin()
    assert stretched(picture.clamp(max=space.white), space).equal(picture.clamp(max=space.white))
    picture[0, 1, 40, 3], picture[0, 0, 90, 77], picture[0, 2, 0, 127] = 0.9, 1.3, 0.71
    spots = picture > space.white
    alone = stretched(picture[spots].reshape(1, 1, 1, -1), space).flatten()
    assert torch.equal(stretched(picture, space)[spots], alone)
    assert torch.equal(stretched(picture, space)[~spots], picture[~spots])


def test_the_grid_of_a_decoder_vanishes_from_colour_and_brightness_stays():
    grid = ((torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2).float() - 0.5
    clean = skin()
    specks = clean + 0.1 * grid * torch.tensor([0.6741, -0.2722, 0.0])[None, :, None, None]  # green against red
    assert (brightness(specks) - brightness(clean)).abs().max() < 1e-4
    calm = calm_chroma(specks)
    assert (calm - clean).abs().max() < 0.25 * (specks - clean).abs().max()
    assert (brightness(calm) - brightness(specks)).abs().mean() < 1e-3
    flat = torch.full((1, 3, 7, 9), 0.3) * torch.tensor([1.0, 0.8, 0.5])[None, :, None, None]
    assert (calm_chroma(flat) - flat).abs().max() < 1e-6


def test_the_ring_gets_the_plates_mean_and_deviation():
    plate = skin(1)
    swap = torch.where(MATTE > 0, (skin(1) - 0.45) * 0.7 + torch.tensor([0.2, 0.3, 0.6])[None, :, None, None], 5.0)
    matched = match_ring(swap, plate, MATTE)
    assert (matched - plate).abs().amax(dim=1, keepdim=True)[MATTE == 1].max() < 0.02
    assert torch.equal(match_ring(swap, plate, torch.zeros_like(MATTE)), swap)


@pytest.mark.parametrize(("strength", "kept"), [(0.0, 0.5), (0.5, 0.5**0.5), (1.0, 1.0)])
def test_local_contrast_is_brought_to_the_plates_by_the_share_asked_for(strength, kept):
    plate = skin(2)
    swap = 0.45 + 0.5 * (skin(2) - skin(2).mean(dim=(2, 3), keepdim=True))  # half the plate's contrast everywhere
    swap = torch.where(MATTE > 0, swap, 7.0)
    matched = match_contrast(swap, plate, MATTE, strength)
    inside = MATTE == 1
    found = (local_contrast(matched, MATTE) / local_contrast(plate, MATTE))[inside].mean()
    assert float(found) == pytest.approx(kept, abs=0.12)
    assert torch.equal(matched[(MATTE == 0).expand_as(swap)], swap[(MATTE == 0).expand_as(swap)])
    # No colour comes or goes: the channels of this swap lie evenly apart, and still do.
    apart = (matched - matched.mean(dim=1, keepdim=True))[inside.expand_as(matched)]
    assert apart.abs().max() < 1e-5


def blended(swap: torch.Tensor, plate: torch.Tensor, **settings: object) -> torch.Tensor:
    return blend_crop(swap, plate, MATTE, SwapSettings(**settings))  # type: ignore[arg-type]


def test_colour_match_says_whose_tone_the_new_face_has():
    plate, tone = skin(3), torch.tensor([0.1, -0.05, 0.08])[None, :, None, None]
    swap = plate * 0.9 + tone
    deep = gaussian(MATTE, 6.0) > 0.999
    difference = {
        match: (blended(swap, plate, colour_match=match) - plate).abs().amax(dim=1, keepdim=True)[deep].mean()
        for match in ("low", "ring", "none")
    }
    assert difference["low"] < 0.02
    assert difference["ring"] < 0.02
    assert difference["none"] == pytest.approx(float((swap - plate).abs().amax(dim=1).mean()), abs=0.02)
    outside = (MATTE == 0).expand_as(plate)
    for match in difference:
        assert torch.equal(blended(swap, plate, colour_match=match)[outside], plate[outside])


def test_the_ring_leaves_the_persona_its_own_light_inside_and_low_does_not():
    plate = skin(4)
    cheek = torch.linspace(-0.1, 0.1, SIZE).expand(1, 3, SIZE, SIZE)  # light from another side
    slope = np.arange(68)
    kept = {}
    for match in ("low", "ring"):
        added = (blended(plate + cheek, plate, colour_match=match) - plate)[:, :, 40:90, 30:98].mean(dim=(0, 1, 2))
        kept[match] = float(np.polyfit(slope, added.numpy(), 1)[0])
    assert kept["ring"] > 3 * abs(kept["low"])


def lit(frame: int) -> float:
    """A light that doubles within ten frames, and then stays."""
    return 0.6 + 0.6 * min(frame, 10) / 10


@pytest.mark.parametrize("settings", [{}, {"colour_match": "ring"}, {"contrast": 1.0}])
def test_the_new_face_follows_the_plates_light_and_does_not_pump_where_it_is_still(settings):
    """The decoder's own exposure wobbles by ±5 %, as decoders do; the plate has a little noise of its own."""
    generator = torch.Generator().manual_seed(5)
    levels: dict[str, list[float]] = {"plate": [], "swap": [], "out": []}
    inside = gaussian(MATTE, 4.0) > 0.99
    for frame in range(20):
        plate = skin(6) * lit(frame) + 0.005 * torch.randn(1, 3, SIZE, SIZE, generator=generator)
        wobble = 1 + 0.1 * (torch.rand((), generator=generator) - 0.5)
        swap = skin(7, (0.55, 0.42, 0.3)) * (0.5 + 0.5 * lit(frame)) * wobble
        for name, picture in (("plate", plate), ("swap", swap), ("out", blended(swap, plate, **settings))):
            levels[name].append(float(brightness(picture)[inside].mean()))
    still = {name: np.std(values[10:]) / np.mean(values[10:]) for name, values in levels.items()}
    assert np.corrcoef(levels["plate"], levels["out"])[0, 1] > 0.98
    assert still["out"] < 0.004
    assert still["swap"] > 0.02
