from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bodydouble.plates.images import read_plate
from bodydouble.plates.plate import Plate
from bodydouble.reviews import quality


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def disc(size: int = 96, radius: float = 30.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip(radius + 0.5 - np.hypot(y, x), 0, 1).astype(np.float32)


def scene(size: int = 96) -> np.ndarray:
    """A smooth picture with an edge through it, in display code values."""
    y, x = np.mgrid[:size, :size] / size
    return np.stack([0.3 + 0.3 * x, 0.4 + 0.2 * y, 0.2 + 0.3 * (x > 0.5)], axis=2).astype(np.float32)


# ---------------------------------------------------------------- encoding


def test_display_code_is_the_srgb_curve_of_the_clipped_values():
    linear = np.array([[[-1.0, 0.0, 0.001], [0.18, 1.0, 8.0]]], np.float32)
    expected = [[0.0, 0.0, 0.01292], [0.46135613, 1.0, 1.0]]
    np.testing.assert_allclose(quality.display_code(linear)[0], expected, atol=1e-6)


def test_a_broken_pixel_counts_as_black_or_white():
    linear = np.array([[[np.nan, np.inf, -np.inf]]], np.float32)
    np.testing.assert_allclose(quality.display_code(linear)[0, 0], [0, 1, 0], atol=1e-6)


def test_acescg_white_is_rec709_white_and_a_broken_pixel_breaks_nothing():
    acescg = np.array([[[1, 1, 1], [np.nan, np.inf, -np.inf]]], np.float32)
    rec709 = quality.rec709_from_acescg(acescg)
    np.testing.assert_allclose(rec709[0, 0], 1.0, atol=1e-6)
    assert np.isfinite(rec709).all()


# ---------------------------------------------------------------- psnr, ssim


def test_psnr_of_a_constant_error_is_known():
    truth = scene()
    assert quality.psnr(truth + np.float32(0.1), truth, disc()) == pytest.approx(20.0, abs=1e-3)


def test_psnr_ignores_what_lies_outside_the_weight():
    truth, matte = scene(), disc()
    result = np.where(matte[..., None] > 0, truth, 0)
    assert quality.psnr(result, truth, matte) == math.inf


def test_figures_of_an_empty_matte_are_nan():
    truth, empty = scene(), np.zeros((96, 96), np.float32)
    assert math.isnan(quality.psnr(truth, truth, empty))
    assert math.isnan(quality.ssim(truth, truth, empty))
    assert math.isnan(quality.colour_step(truth, truth, empty))
    assert math.isnan(quality.seam(truth, truth, empty).added)


def test_ssim_equals_pytorch_msssim_under_a_full_weight(rng):
    """pytorch-msssim only keeps windows that lie fully inside, so compare where both have them."""
    torch = pytest.importorskip("torch")
    msssim = pytest.importorskip("pytorch_msssim")
    truth = scene()
    result = np.clip(truth + rng.normal(0, 0.05, truth.shape), 0, 1).astype(np.float32)
    weight = np.zeros((96, 96), np.float32)
    weight[5:-5, 5:-5] = 1

    def nchw(picture: np.ndarray):
        return torch.from_numpy(picture).permute(2, 0, 1)[None]

    expected = float(msssim.ssim(nchw(result), nchw(truth), data_range=1.0))
    assert quality.ssim(result, truth, weight) == pytest.approx(expected, abs=1e-4)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise_and_with_blur(rng):
    truth = np.clip(scene() + rng.normal(0, 0.1, (96, 96, 3)), 0, 1).astype(np.float32)
    noisy = np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)
    soft = quality._gaussian(truth, 2.0, 6)
    assert quality.ssim(truth, truth, disc()) == pytest.approx(1.0)
    assert quality.ssim(noisy, truth, disc()) < 0.9
    assert quality.ssim(soft, truth, disc()) < 0.7


def test_ssim_of_a_corner_matte_equals_ssim_on_the_whole_picture(rng):
    truth = scene()
    result = np.clip(truth + rng.normal(0, 0.05, truth.shape), 0, 1).astype(np.float32)
    weight = np.zeros((96, 96), np.float32)
    weight[10:20, 30:40] = 1
    corner = quality.ssim(result[:40, :60], truth[:40, :60], weight[:40, :60])
    assert quality.ssim(result, truth, weight) == pytest.approx(corner, abs=1e-9)


def test_the_tone_error_is_of_light_and_not_of_features(rng):
    truth, weight = scene(), np.ones((96, 96), np.float32)
    assert quality.tone_error(truth, truth, weight) == 0
    darker = truth - np.array([0.03, 0.0, 0.04], np.float32)
    assert quality.tone_error(darker, truth, weight) == pytest.approx(50.0, rel=1e-3)
    side = np.where(np.arange(96)[None, :, None] < 48, 0.05, -0.05).astype(np.float32)
    assert quality.tone_error(truth + side, truth, weight) == pytest.approx(50 * math.sqrt(3), rel=1e-3)
    grain = rng.normal(0, 0.05, truth.shape).astype(np.float32)
    assert quality.tone_error(truth + grain, truth, weight) < 10
    assert math.isnan(quality.tone_error(truth, truth, np.zeros((96, 96), np.float32)))


# ---------------------------------------------------------------- flicker, wobble


def test_flicker_is_zero_when_the_result_changes_as_the_truth_does(rng):
    truths = [rng.random((32, 32, 3), np.float32) for _ in range(4)]
    results = [truth + np.float32(0.25) for truth in truths]
    assert quality.flicker(results, truths, [disc(32, 10)] * 4) == pytest.approx(0.0, abs=1e-4)


def test_flicker_counts_a_pulse_in_milli_codes():
    truths = [scene()] * 4
    results = [scene() + np.float32(0.01 * (index % 2)) for index in range(4)]
    assert quality.flicker(results, truths, [disc()] * 4) == pytest.approx(10.0, rel=1e-3)


def test_wobble_cancels_steady_change_and_keeps_a_pop():
    zero = np.zeros((96, 96, 3), np.float32)
    assert quality.wobble(zero, zero + 0.01, zero + 0.02, disc()) == pytest.approx(0.0, abs=1e-4)
    assert quality.wobble(zero, zero + 0.01, zero, disc()) == pytest.approx(20.0, rel=1e-3)


# ---------------------------------------------------------------- light, edges


def test_changed_pixels_compares_bits():
    plate = np.array([0.0, np.nan, np.inf, 1.0], np.float16)
    assert not quality.changed_pixels(plate.copy(), plate).any()
    np.testing.assert_array_equal(
        quality.changed_pixels(np.array([-0.0, np.nan, np.inf, np.nextafter(np.float16(1), 2)], np.float16), plate),
        [True, False, False, True],
    )


def test_changed_pixels_refuses_another_type():
    with pytest.raises(ValueError, match="float32"):
        quality.changed_pixels(np.zeros(3, np.float32), np.zeros(3, np.float16))


def test_highlights_inside_the_matte_are_counted_and_summed():
    plate, matte = np.full((96, 96, 3), 0.5, np.float32), disc()
    plate[48, 48] = 3.0
    plate[0, 0] = 9.0  # outside
    clipped = np.minimum(plate, 1.0)
    kept = quality.highlights(plate, plate, matte)
    assert (kept.plate_pixels, kept.result_pixels, kept.kept) == (1, 1, 1.0)
    assert quality.highlights(clipped, plate, matte).kept == 0.0


def test_highlights_of_a_dull_plate_have_no_kept_share():
    grey = np.full((96, 96, 3), 0.5, np.float32)
    assert math.isnan(quality.highlights(grey, grey, disc()).kept)


def test_an_untouched_plate_has_no_seam_and_no_colour_step():
    assert quality.seam(scene(), scene(), disc()).added == 0
    assert quality.colour_step(scene(), scene(), disc()) == 0


def test_a_hard_paste_has_more_seam_than_a_feathered_one():
    plate, hard = scene(), disc()[..., None]
    soft = np.clip(quality._gaussian(disc(radius=18.0), 6.0, 18), 0, 1)[..., None]
    pasted = quality.seam(plate + np.float32(0.1) * hard, plate, hard[..., 0])
    feathered = quality.seam(plate + np.float32(0.1) * soft, plate, (soft[..., 0] > 1e-4).astype(np.float32))
    assert pasted.added > 10 * feathered.added


def test_the_colour_step_of_a_constant_offset_is_its_length():
    offset = np.array([0.03, 0.0, 0.04], np.float32)
    result = scene() + offset * (disc()[..., None] > 0)
    assert quality.colour_step(result, scene(), disc()) == pytest.approx(50.0, rel=1e-3)


def test_opposite_steps_left_and_right_do_not_cancel():
    sign = np.where(np.arange(96) < 48, -1, 1)[None, :, None]
    result = scene() + np.float32(0.05) * sign * (disc()[..., None] > 0)
    assert quality.colour_step(result, scene(), disc()) > 60


@pytest.mark.parametrize("share", [0.5, 1.0, 1.6])
def test_the_contrast_is_the_factor_of_the_plates_whatever_the_light_is(share):
    random = np.random.default_rng(3)
    detail = quality._gaussian(random.normal(0, 0.4, (192, 192, 1)), 3.0, 9).astype(np.float32)
    weight = np.ones((192, 192), np.float32)
    plate, light = 0.4 + detail.repeat(3, axis=2), np.linspace(-0.05, 0.05, 192, dtype=np.float32)[:, None, None]
    result = 0.45 + light + share * detail.repeat(3, axis=2)
    assert quality.contrast(result, plate, weight) == pytest.approx(share, abs=0.05)
    assert math.isnan(quality.contrast(result, plate, 0 * weight))


# ---------------------------------------------------------------- windows


@pytest.fixture
def overscan(tmp_path: Path) -> Plate:
    """A plate of 8×6 with a data window from (-2, 1) to (9, 5); every pixel of R says where it is: 100·y + x."""
    oiio = pytest.importorskip("OpenImageIO")
    spec = oiio.ImageSpec(11, 4, 4, oiio.FLOAT)
    spec.x, spec.y, spec.full_width, spec.full_height = -2, 1, 8, 6
    spec.channelnames = ("R", "G", "B", "Z")
    y, x = np.mgrid[1:5, -2:9]
    pixels = np.repeat((100 * y + x)[..., None], 4, axis=2).astype(np.float32)
    file = oiio.ImageOutput.create(str(tmp_path / "overscan.exr"))
    assert file.open(str(tmp_path / "overscan.exr"), spec) and file.write_image(pixels)
    file.close()
    return read_plate(tmp_path / "overscan.exr")


def test_a_channel_is_shown_over_the_display_window(overscan: Plate):
    y, x = np.mgrid[:6, :8]
    expected = np.where((y >= 1) & (y < 5), 100 * y + x, 0)
    np.testing.assert_array_equal(quality.display_channel(overscan, "Z"), expected)


def test_pixels_beyond_the_display_window_count_as_outside(overscan: Plate):
    everywhere = np.ones((6, 8), np.float32)
    hidden = overscan.with_rgb((-2, 1, 9, 5), np.zeros((4, 11, 3), np.float32), np.ones((4, 11), bool))
    changed = quality.outside_differences(hidden, overscan, everywhere)
    assert changed == quality.Outside(4 * 3, ("R", "G", "B"))


def test_changes_inside_the_matte_and_added_channels_do_not_count_as_outside(overscan: Plate):
    matte = np.zeros((6, 8), np.float32)
    matte[2, 3] = 0.01
    result = overscan.with_rgb((3, 2, 4, 3), np.full((1, 1, 3), 7, np.float32), np.ones((1, 1), bool))
    result = result.with_channels({"bodydouble.matte": matte})
    assert quality.outside_differences(result, overscan, matte) == quality.Outside(0, ())
