"""The strength of the finest octaves: heard wherever they lie, and only in the face."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.settings import TrainSettings
from bodydouble.training.losses import level_loss
from bodydouble.training.texture import SMALLEST_TEXTURE, strength_likeness, strength_ratio

SPAN = 0.03
SIZE = 128


def skin(seed: int, amount: float = 0.02, size: int = SIZE) -> Tensor:
    """Two flat pictures with fine noise of the given deviation, each its own."""
    return 0.4 + amount * torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(seed)).expand(
        -1, 3, -1, -1
    )


def everywhere(size: int = SIZE) -> Tensor:
    return torch.ones(2, 1, size, size)


def disc() -> Tensor:
    axis = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    return (torch.hypot(axis[:, None], axis[None]) < 0.35).float().expand(2, 1, SIZE, SIZE)


def test_structure_of_equal_strength_in_other_places_is_nearly_alike_and_smoothed_structure_is_not():
    truth, moved = skin(1), skin(2)
    smooth = F.avg_pool2d(truth, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(strength_likeness(truth, truth, everywhere(), SPAN), torch.ones(2))
    assert strength_likeness(moved, truth, everywhere(), SPAN).min() > 0.95
    assert strength_likeness(smooth, truth, everywhere(), SPAN).max() < 0.85
    # What pictures are compared by pixel for pixel prefers the smooth one.
    assert (smooth - truth).square().mean() < (moved - truth).square().mean()


def test_it_falls_with_a_strength_too_low_and_with_one_too_high():
    truth = skin(1)
    alike = [
        float(strength_likeness(0.4 + gain * (truth - 0.4), truth, everywhere(), SPAN).mean())
        for gain in (0.0, 0.5, 0.9, 1.1, 2.0)
    ]
    assert alike[0] < alike[1] < alike[2] < 1
    assert alike[4] < alike[3] < 1
    # SSIM's contrast term of deviations in a ratio of two
    assert alike[1] == pytest.approx(2 * 0.5 / (1 + 0.5**2), abs=0.01)


def test_what_lies_outside_the_face_and_the_edge_of_the_matte_count_nothing():
    truth, matte = skin(1), disc()
    elsewhere = torch.where(matte > 0, truth, skin(2, 0.3))
    for result, goal in ((elsewhere * matte, truth * matte), (elsewhere, truth * matte)):
        torch.testing.assert_close(strength_likeness(result, goal, matte, SPAN), torch.ones(2))
    assert torch.equal(strength_likeness(skin(3), truth, 0 * matte, SPAN), torch.ones(2))


def test_structure_fainter_than_the_spans_share_counts_as_flat():
    truth = skin(1, amount=0.001)
    flat = torch.full_like(truth, 0.4)
    assert strength_likeness(flat, truth, everywhere(), 1.0).min() > 0.99
    assert strength_likeness(flat, truth, everywhere(), 0.01).max() < 0.5


def test_a_weight_makes_its_pixels_count_more():
    truth = skin(1)
    wrong = torch.where(
        torch.arange(SIZE)[:, None] < SIZE // 2, F.avg_pool2d(truth, 3, 1, 1, count_include_pad=False), truth
    )
    weight = everywhere()
    weight[:, :, : SIZE // 2] = 3
    without, with_it = (1 - strength_likeness(wrong, truth, everywhere(), SPAN, one) for one in (None, weight))
    assert torch.allclose(with_it / without, torch.tensor(1.5), atol=0.05)


def test_its_gradient_is_finite_on_flat_pictures_and_makes_faint_structure_stronger():
    truth = skin(1)
    for picture in (torch.zeros_like(truth), torch.full_like(truth, 0.4)):
        picture.requires_grad_()
        strength_likeness(picture, truth, everywhere(), SPAN).sum().backward()
        assert picture.grad is not None
        assert bool(picture.grad.isfinite().all())
    gain = torch.tensor(0.5, requires_grad=True)
    strength_likeness(0.4 + gain * (skin(2) - 0.4), truth, everywhere(), SPAN).sum().backward()
    assert gain.grad is not None
    assert gain.grad > 0


def test_the_ratio_is_that_of_the_deviations():
    truth = skin(1)
    for gain in (0.0, 0.4, 1.0, 1.7):
        ratio = strength_ratio(0.4 + gain * (truth - 0.4), truth, everywhere())
        assert ratio == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("size", [SMALLEST_TEXTURE, 64])
def test_pictures_of_every_level_that_has_the_term_have_windows_in_both_octaves(size):
    flat = torch.full((2, 3, size, size), 0.4)
    assert strength_likeness(flat, skin(1, size=size), everywhere(size), SPAN).max() < 0.2


@pytest.mark.parametrize(("level", "heard"), [(2, False), (3, True), (5, True)])
def test_the_loss_has_the_term_from_32_pixels_on(level, heard):
    size = 4 * 2**level
    truth, matte = skin(1, size=size), everywhere(size)
    flat = torch.full_like(truth, 0.4)
    without, with_it = (
        float(level_loss(flat, truth, matte, level, TrainSettings(texture_weight=weight))) for weight in (0.0, 2.0)
    )
    alike = float(strength_likeness(flat, truth, matte, TrainSettings().loss_span).mean()) if heard else 1.0
    assert with_it - without == pytest.approx(2 * (1 - alike), abs=1e-5)
