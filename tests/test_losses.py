"""The loss of a level: what it sees, which scales it uses, and that its gradient is finite whatever the pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytorch_msssim
import torch
import torch.nn.functional as F
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim, gaussian_filter
from torch import Tensor

from bodydouble.errors import UsageError
from bodydouble.network.comb import TOP_LEVEL, level_size
from bodydouble.settings import TrainSettings
from bodydouble.training import losses
from bodydouble.training.losses import _Apart, _enlarged_windows, covered, level_loss, ms_ssim, scale_count
from bodydouble.training.structure import WINDOW, Box

PUBLISHED = TrainSettings(loss_span=1.0, detail_weight=0.0, l1_weight=0.0)
OURS = TrainSettings()
LEVELS = range(7)  # above 256 pixels nothing changes but the size


def noise(level: int, seed: int, count: int = 1) -> Tensor:
    side = level_size(level)
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def smooth(level: int, seed: int) -> Tensor:
    """Noise of a few pixels' size: what pictures look like."""
    side = level_size(level)
    coarse = torch.rand(2, 3, max(2, side // 8), max(2, side // 8), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)


def disc(level: int, count: int = 1) -> Tensor:
    """A matte: 1 inside a circle, with a soft edge."""
    side = level_size(level)
    axis = (torch.arange(side) + 0.5) / side - 0.5
    radius = torch.hypot(axis[:, None], axis[None])
    return ((0.35 - radius) * side).clamp(0, 1).expand(count, 1, side, side)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["masked", "target-masked"])
def test_equal_pictures_have_no_loss(level, form):
    matte, truth = disc(level), noise(level, 0)
    result = truth * matte if form == "target-masked" else truth
    assert float(level_loss(result, truth, matte, level, replace(OURS, loss=form))) == pytest.approx(0, abs=2e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_unlike_pictures_have_a_loss_and_more_alike_ones_a_smaller(level):
    truth, other, matte = smooth(level, 1), smooth(level, 2), torch.ones(2, 1, level_size(level), level_size(level))
    losses = [float(level_loss(torch.lerp(other, truth, t), truth, matte, level, OURS)) for t in (0.0, 0.6, 0.9)]
    assert 2.0 >= losses[0] > losses[1] > losses[2] > 0


@pytest.mark.parametrize("level", LEVELS)
def test_the_masked_form_does_not_see_what_lies_outside_the_matte(level):
    matte, truth, result, other = disc(level), noise(level, 0), noise(level, 1), noise(level, 2)
    outside = (matte == 0).expand_as(result)
    elsewhere = torch.where(outside, other, result)
    assert torch.equal(level_loss(elsewhere, truth, matte, level, OURS), level_loss(result, truth, matte, level, OURS))
    assert torch.equal(
        level_loss(result, torch.where(outside, other, truth), matte, level, OURS),
        level_loss(result, truth, matte, level, OURS),
    )


@pytest.mark.parametrize("level", LEVELS)
def test_the_target_masked_form_wants_black_outside_the_matte(level):
    matte, truth = disc(level), noise(level, 0)
    black, free = truth * matte, truth
    assert float(level_loss(black, truth, matte, level, replace(OURS, loss="target-masked"))) == pytest.approx(
        0, abs=2e-6
    )
    assert float(level_loss(free, truth, matte, level, replace(OURS, loss="target-masked"))) > 0.01


@pytest.mark.parametrize("size", [256, 512])
def test_five_scales_agree_with_pytorch_msssim(size):
    generator = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.interpolate(torch.rand(2, 3, 32, 32, generator=generator), size=size, mode="bilinear")
    for strength in (0.02, 0.3):
        result = (truth + strength * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
        theirs = pytorch_msssim.ms_ssim(result, truth, data_range=1.0)
        assert float(ms_ssim(result, truth)) == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize(("size", "count"), [(16, 1), (32, 2), (64, 3), (128, 4), (256, 5), (512, 5), (1024, 5)])
def test_as_many_scales_are_used_as_keep_the_coarsest_as_large_as_the_window(size, count):
    assert scale_count(size) == count
    assert size // 2 ** (count - 1) >= WINDOW


@pytest.mark.parametrize(("level", "squares"), [(0, 58), (1, 256), (2, 256)])
def test_means_of_squares_of_an_enlarged_picture_need_no_more_squares_than_its_pixels_products(level, squares):
    lines, forms, weights = _enlarged_windows(level_size(level), torch.device("cpu"))
    assert forms.shape == (level_size(level) ** 2, squares)
    pictures = noise(level, 0)[0].flatten(1)
    enlarged = F.interpolate(pictures.view(3, 1, level_size(level), -1), size=16, mode="bilinear")
    window = _fspecial_gauss_1d(11, 1.5).repeat(1, 1, 1, 1)
    for found, wanted in ((pictures @ lines, enlarged), ((pictures @ forms).square() @ weights, enlarged.square())):
        torch.testing.assert_close(found, gaussian_filter(wanted, window).flatten(1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("span", [1.0, 0.3])
def test_small_pictures_are_compared_at_16_pixels_as_the_library_does(level, span):
    result, truth = (noise(level, seed, count=3) for seed in (0, 1))
    result.requires_grad_()
    large = [F.interpolate(image, size=16, mode="bilinear") for image in (result, truth)]
    ours = level_loss(result, truth, torch.ones_like(truth[:, :1]), level, replace(PUBLISHED, loss_span=span))
    losses = ours, 1 - pytorch_msssim.ssim(*large, data_range=span)
    torch.testing.assert_close(*losses, rtol=0, atol=5e-6)
    torch.testing.assert_close(*(torch.autograd.grad(one, result)[0] for one in losses), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("picture", ["untrained", "black", "white", "inverse", "equal", "speck"])
@pytest.mark.parametrize("covered", ["disc", "nothing", "everything"])
def test_loss_and_gradient_are_finite_whatever_the_pictures(level, picture, covered):
    side = level_size(level)
    truth = noise(level, 3)
    speck = torch.zeros_like(truth)
    speck[..., side // 2, side // 2] = 1
    result = {
        "untrained": torch.full_like(truth, 0.5),
        "black": torch.zeros_like(truth),
        "white": torch.ones_like(truth),
        "inverse": 1 - truth,
        "equal": truth.clone(),
        "speck": speck,
    }[picture].requires_grad_(True)
    full = torch.ones(1, 1, side, side)
    matte = {"disc": disc(level), "nothing": 0 * full, "everything": full}[covered]
    for target in (truth, torch.zeros_like(truth), torch.ones_like(truth)):
        for form in ("masked", "target-masked"):
            result.grad = None
            loss = level_loss(result, target, matte, level, replace(OURS, loss=form))
            loss.backward()
            assert torch.isfinite(loss) and torch.isfinite(result.grad).all()


@pytest.mark.parametrize("level", [0, 2, 4])
def test_the_l1_term_is_the_mean_absolute_difference_over_the_mattes_area(level):
    matte, truth = disc(level), noise(level, 0) * 0.5
    shifted = truth + 0.25
    without, with_it = (
        level_loss(shifted, truth, matte, level, replace(OURS, l1_weight=weight)) for weight in (0.0, 2.0)
    )
    assert float(with_it - without) == pytest.approx(2.0 * 0.25, abs=1e-4)


def test_a_batch_has_the_mean_loss_of_its_pictures():
    matte, truth, result = disc(3, 3), noise(3, 0, 3), noise(3, 1, 3)
    alone = [level_loss(result[i, None], truth[i, None], matte[i, None], 3, OURS) for i in range(3)]
    assert float(level_loss(result, truth, matte, 3, OURS)) == pytest.approx(float(torch.stack(alone).mean()), abs=1e-6)


def test_every_level_up_to_the_top_has_enough_pixels_for_its_window():
    for level in range(3, TOP_LEVEL + 1):
        assert level_size(level) // 2 ** (scale_count(level_size(level)) - 1) >= WINDOW


def faint_texture(size: int = 64) -> torch.Tensor:
    """A flat face with texture that varies by 0.01, as skin does in model space."""
    return 0.3 + 0.01 * torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(5))


def test_a_face_without_its_faint_detail_is_nearly_no_loss_as_published_and_a_clear_one_with_a_faces_span():
    truth, matte = faint_texture(), torch.ones(1, 1, 64, 64)
    flat = torch.full_like(truth, 0.3)
    published, ours = (float(level_loss(flat, truth, matte, 4, one)) for one in (PUBLISHED, replace(OURS, l1_weight=0)))
    assert published < 0.05 < 4 * 0.05 < ours


def test_the_detail_term_is_that_of_the_finest_scale_alone():
    truth, matte = noise(4, 0), torch.ones(1, 1, 64, 64)
    coarse = F.interpolate(F.avg_pool2d(truth, 8), scale_factor=8)  # right but for what is finer than 8 pixels
    without, with_it = (float(level_loss(coarse, truth, matte, 4, replace(OURS, detail_weight=w))) for w in (0.0, 1.0))
    _, contrast = _ssim(coarse, truth, win=_fspecial_gauss_1d(11, 1.5).repeat(3, 1, 1, 1), data_range=OURS.loss_span)
    assert with_it - without == pytest.approx(1 - float(contrast.mean()), abs=1e-5)


@pytest.mark.parametrize("wrong", [{"loss_span": 0.0}, {"detail_weight": -0.1}, {"l1_weight": -1.0}])
def test_a_loss_without_a_span_or_with_a_negative_weight_is_refused(wrong):
    with pytest.raises(UsageError, match=r"span|weights"):
        TrainSettings(**wrong)


def two_patches(size: int = 64) -> tuple[Tensor, Tensor]:
    """A picture of noise and a map that is 1 in its upper half."""
    features = torch.zeros(1, 1, size, size)
    features[:, :, : size // 2] = 1
    return noise(4, 0), features


def test_with_a_weight_of_one_eyes_and_mouth_count_like_the_rest():
    truth, features = two_patches()
    alike, other, matte = replace(OURS, eyes_mouth_weight=1.0), noise(4, 1), disc(4)
    for level in (2, 4):
        size = level_size(level)
        x, y, m, f = (F.adaptive_avg_pool2d(one, size) for one in (other, truth, matte, features))
        torch.testing.assert_close(level_loss(x, y, m, level, alike, f), level_loss(x, y, m, level, alike))


@pytest.mark.parametrize("form", ["masked", "target-masked"])
def test_what_is_wrong_in_eyes_and_mouth_costs_more_and_elsewhere_less(form):
    truth, features = two_patches()
    settings, matte, wrong = replace(OURS, loss=form), torch.ones(1, 1, 64, 64), noise(4, 1)
    inside, outside = features * wrong + (1 - features) * truth, features * truth + (1 - features) * wrong
    within, without = (level_loss(one, truth, matte, 4, settings, features) for one in (inside, outside))
    assert within > 1.5 * level_loss(inside, truth, matte, 4, settings)
    assert without < 0.6 * level_loss(outside, truth, matte, 4, settings)


def test_the_weight_is_that_of_a_mean_over_windows_and_pixels():
    truth, features = two_patches()
    wrong, matte, weight = noise(4, 1), torch.ones(1, 1, 64, 64), 3.0
    settings = replace(PUBLISHED, l1_weight=0.0, detail_weight=1.0, eyes_mouth_weight=weight)
    base = replace(settings, detail_weight=0.0)
    share = 1 + (weight - 1) * features
    detail = level_loss(wrong, truth, matte, 4, settings, features) - level_loss(wrong, truth, matte, 4, base, features)
    window = _fspecial_gauss_1d(11, 1.5).repeat(3, 1, 1, 1)

    def blurred(picture: Tensor) -> Tensor:
        return gaussian_filter(picture, window)

    covariance = blurred(wrong * truth) - blurred(wrong) * blurred(truth)
    variances = [blurred(one * one) - blurred(one) ** 2 for one in (wrong, truth)]
    contrast = (2 * covariance + 0.0009) / (variances[0] + variances[1] + 0.0009)
    centres = share[:, :, 5:-5, 5:-5].expand_as(contrast)
    assert float(detail) == pytest.approx(1 - float((contrast * centres).sum() / centres.sum()), abs=1e-5)
    with_l1 = level_loss(wrong, truth, matte, 4, replace(base, l1_weight=1.0), features)
    difference = float(with_l1 - level_loss(wrong, truth, matte, 4, base, features))
    assert difference == pytest.approx(float((share * (wrong - truth).abs()).sum() / (3 * share.sum())), abs=1e-5)


def test_a_weight_of_nothing_is_refused():
    with pytest.raises(UsageError, match="eyes and mouth"):
        TrainSettings(eyes_mouth_weight=0.0)


def test_a_mattes_box_is_the_smallest_that_holds_it():
    mattes = torch.zeros(3, 1, 8, 8)
    mattes[0, 0, 2:5, 3] = 0.1
    mattes[2] = 1
    assert covered(mattes) == [Box(2, 5, 3, 4), Box(0, 0, 0, 0), Box(0, 8, 0, 8)]


def test_the_loss_of_a_large_picture_is_the_same_whether_the_mattes_surroundings_are_walked_through_or_not(monkeypatch):
    truth, matte = smooth(6, 1), disc(6, 2)
    features = torch.rand(matte.shape, generator=torch.Generator().manual_seed(1))
    found = []
    for size in (256, 10**6):
        monkeypatch.setattr(losses, "_BOXED_SIZE", size)
        result = smooth(6, 2).requires_grad_()
        loss = level_loss(result, truth, matte, 6, OURS, features)
        found.append((loss.detach(), *torch.autograd.grad(loss, result)))
    (boxed, slope), (everywhere, other) = found
    torch.testing.assert_close(boxed, everywhere, rtol=0, atol=1e-6)
    torch.testing.assert_close(slope, other, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_difference_and_its_slope_are_those_of_automatic_differentiation(weighted):
    result, truth = noise(3, 0, 2).requires_grad_(), noise(3, 1, 2)
    weight = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(2)) if weighted else None
    plain = ((result - truth).abs() * (1 if weight is None else weight)).sum((1, 2, 3))
    ours: Tensor = _Apart.apply(result, truth, weight)
    torch.testing.assert_close(ours, plain)
    outer = torch.tensor([0.3, -2.0])
    torch.testing.assert_close(*(torch.autograd.grad(one, result, outer)[0] for one in (ours, plain)))
