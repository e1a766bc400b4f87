"""Augmentation: each can be turned off, the goal stays clean, and slices of a batch are the whole batch's crops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bodydouble.plates.modelspace import ModelSpace, from_model, to_model
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import DRAWS, augment, draw_iteration

SPACE = ModelSpace()
STILL = TrainSettings(
    resolution=64,
    jitter_degrees=0,
    jitter_scale=0,
    jitter_shift=0,
    jitter_exposure=0,
    jitter_balance=0,
    jitter_light=0,
)
REACH = 0.1


def crops(count: int = 4, side: int = 96) -> torch.Tensor:
    """Smooth light with values above 1, and a round matte."""
    generator = torch.Generator().manual_seed(0)
    light = torch.nn.functional.interpolate(
        torch.rand(count, 3, 9, 9, generator=generator) * 2, size=side, mode="bicubic"
    )
    axis = torch.linspace(-1, 1, side)
    matte = (torch.hypot(axis[:, None], axis[None]) < 0.6).float().expand(count, 1, side, side)
    return torch.cat([light.clamp_min(0.05), matte], dim=1).half()


def numbers(count: int = 4) -> torch.Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_everything_off_gives_the_unit_crop_as_it_is():
    source = crops()
    batch = augment(source, numbers(), 4, STILL, SPACE, REACH)
    assert batch.shown is batch.truth and batch.truth.shape == (4, 3, 64, 64)
    # 96 px for 1.2 unit crops: the middle 80 px are the unit crop.
    middle = source[:, :3, 8:-8, 8:-8].float()
    expected = torch.nn.functional.interpolate(middle, size=64, mode="bilinear")
    torch.testing.assert_close(batch.truth, to_model(expected, SPACE).clamp(0, 1), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"jitter_degrees": 10.0},
        {"jitter_scale": 0.2},
        {"jitter_shift": 0.1},
        {"jitter_exposure": 1.0},
        {"jitter_light": 1.0},
        {"jitter_shape": 0.02},
    ],
)
def test_each_jitter_changes_input_and_goal_alike(change):
    still = augment(crops(), numbers(), 4, STILL, SPACE, REACH)
    moved = augment(crops(), numbers(), 4, replace(STILL, **change), SPACE, REACH)
    assert moved.shown is moved.truth
    assert float((moved.truth - still.truth).abs().mean()) > 0.005


def test_exposure_acts_in_scene_linear_light():
    draw = numbers()
    still = augment(crops(), draw, 4, STILL, SPACE, REACH)
    brighter = augment(crops(), draw, 4, replace(STILL, jitter_exposure=1.0), SPACE, REACH)
    ratio = from_model(brighter.truth, SPACE) / from_model(still.truth, SPACE)
    torch.testing.assert_close(ratio.mean((1, 2, 3)), torch.exp2(draw[:, 4]), rtol=0.01, atol=0)


def test_the_random_light_is_smooth_and_each_crop_has_its_own():
    draw = numbers()
    still = augment(crops(), draw, 4, STILL, SPACE, REACH)
    lit = augment(crops(), draw, 4, replace(STILL, jitter_light=0.3), SPACE, REACH)
    stops = torch.log2(from_model(lit.truth, SPACE) / from_model(still.truth, SPACE))[:, :1, 8:-8, 8:-8]
    assert 0.1 < float(stops.std()) < 0.6
    assert float((stops[..., 1:] - stops[..., :-1]).abs().median()) < 0.05
    assert float((stops[0] - stops[1]).abs().mean()) > 0.05
    part = augment(crops()[1:], draw[1:], 4, replace(STILL, jitter_light=0.3), SPACE, REACH)
    torch.testing.assert_close(part.truth, lit.truth[1:])


def test_half_of_the_crops_are_mirrored_with_their_matte():
    draw, source = numbers(16), crops(16)
    source[:, 3, :, :48] = 0
    still = augment(source, draw, 4, STILL, SPACE, REACH)
    batch = augment(source, draw, 4, replace(STILL, mirror=True), SPACE, REACH)
    turned = draw[:, 11] < 0
    assert 0 < int(turned.sum()) < 16
    torch.testing.assert_close(batch.truth[turned], still.truth[turned].flip(-1))
    torch.testing.assert_close(batch.matte[turned], still.matte[turned].flip(-1))
    assert torch.equal(batch.truth[~turned], still.truth[~turned])


def test_a_bent_face_moves_smoothly_with_its_matte_by_the_deviation_asked_for():
    ramp = torch.linspace(-0.6, 0.6, 96).half()  # light that tells where it comes from
    source = torch.stack([ramp.expand(96, 96) + 1, ramp[:, None].expand(96, 96) + 1, *[torch.ones(96, 96).half()] * 2])
    draw = torch.cat([torch.zeros(64, 12), torch.randn(64, DRAWS - 12, generator=torch.Generator().manual_seed(2))], 1)
    still, bent = (
        from_model(
            augment(source.expand(64, -1, -1, -1), draw, 4, replace(STILL, jitter_shape=sides), SPACE, REACH).truth,
            SPACE,
        )
        for sides in (0.0, 0.02)
    )
    sides = (bent - still)[:, :2]
    at_knots = sides[..., ::21, ::21]  # the knots of 64 px
    torch.testing.assert_close(at_knots[..., 1:-1, 1:-1].std(), torch.tensor(0.02), rtol=0.1, atol=0)
    assert float((sides[..., 1:] - sides[..., :-1]).abs().max()) < 0.006


def test_a_warp_bends_the_input_and_leaves_the_goal():
    clean = augment(crops(), numbers(), 4, replace(STILL, jitter_exposure=1.0), SPACE, REACH)
    batch = augment(crops(), numbers(), 4, replace(STILL, jitter_exposure=1.0, jitter_warp=0.02), SPACE, REACH)
    assert torch.equal(batch.truth, clean.truth) and torch.equal(batch.matte, clean.matte)
    moved = (batch.shown - batch.truth).abs().mean((1, 2, 3))
    assert float(moved.min()) > 0.003
    assert float((batch.shown.mean((2, 3)) / batch.truth.mean((2, 3)) - 1).abs().max()) < 0.1  # the same exposure


@pytest.mark.parametrize(("change", "column"), [({"jitter_blur": 0.03}, 8), ({"jitter_grain": 0.2}, 9)])
def test_blur_and_grain_come_to_half_of_the_inputs_and_never_to_the_goal(change, column):
    draw = numbers(16)
    clean = augment(crops(16), draw, 4, STILL, SPACE, REACH)
    batch = augment(crops(16), draw, 4, replace(STILL, **change), SPACE, REACH)
    assert torch.equal(batch.truth, clean.truth) and torch.equal(batch.matte, clean.matte)
    changed = (batch.shown - clean.truth).abs().amax((1, 2, 3)) > 1e-6
    visible = draw[:, column].abs() > 0.2  # less blur than a tenth of a pixel is none
    assert torch.equal(changed[visible], draw[visible, column] > 0) and changed[visible].any()
    assert not changed[draw[:, column] < 0].any()


def test_blur_keeps_flat_light_and_grain_keeps_the_mean():
    flat = torch.full((8, 4, 96, 96), 0.5).half()
    blurred = augment(flat, numbers(8), 4, replace(STILL, jitter_blur=0.03), SPACE, REACH)
    torch.testing.assert_close(blurred.shown, blurred.truth, rtol=0, atol=1e-5)
    grainy = augment(flat, numbers(8), 4, replace(STILL, jitter_grain=0.05), SPACE, REACH)
    difference = from_model(grainy.shown, SPACE) - from_model(grainy.truth, SPACE)
    assert difference.mean((1, 2, 3)).abs().max() < 2e-3 and difference.abs().max() > 0.01


def test_a_slice_of_a_batch_is_made_of_the_very_crops_of_the_whole():
    trained = {"anna": torch.arange(4), "ben": torch.tensor([1, 3])}
    settings = replace(
        TrainSettings(resolution=64), jitter_grain=0.1, jitter_blur=0.02, jitter_shape=0.01, jitter_warp=0.01
    )
    for name, whole in draw_iteration(trained, 5, seed=7).items():
        both = [whole.part(rank, 2) for rank in (0, 1)]
        assert sorted(torch.cat([part.index for part in both]).tolist()) == sorted(whole.index.tolist())
        assert set(whole.index.tolist()) <= set(trained[name].tolist())
        batch = augment(crops()[whole.index], whole.numbers, 3, settings, SPACE, REACH)
        for rank, part in enumerate(both):
            mine = augment(crops()[part.index], part.numbers, 3, settings, SPACE, REACH)
            torch.testing.assert_close(mine.shown, batch.shown[rank::2], rtol=0, atol=1e-6)


def test_the_same_seed_draws_the_same_and_another_otherwise():
    trained = {"anna": torch.arange(100), "ben": torch.arange(100)}
    one, same, other = (draw_iteration(trained, 8, seed) for seed in (3, 3, 4))
    assert list(one) == list(same) and all(torch.equal(one[name].numbers, same[name].numbers) for name in one)
    assert not torch.equal(one["anna"].index, other["anna"].index)
