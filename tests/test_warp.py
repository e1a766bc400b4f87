from __future__ import annotations

import numpy as np
import pytest
import torch

from bodydouble.swap.warp import resize, warp


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, x], [s, c, y], [0.0, 0.0, 1.0]])


def centred(scale: float, degrees: float, source: tuple[float, float], destination: tuple[float, float]) -> np.ndarray:
    """The similarity that takes the point `source` to `destination`."""
    matrix = similarity(scale, degrees, 0, 0)
    matrix[:2, 2] = np.array(destination) - matrix[:2, :2] @ np.array(source)
    return matrix


def source_points(matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Source x and y of every destination pixel, by the definition."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    inverse = np.linalg.inv(matrix)
    return tuple(inverse[k, 0] * x + inverse[k, 1] * y + inverse[k, 2] for k in (0, 1))


def image_of(function, height: int, width: int) -> torch.Tensor:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return torch.from_numpy(function(x, y).astype(np.float32))[None, None]


def waves(x, y):
    return np.sin(x * 2 * np.pi / 40 + 1) * np.cos(y * 2 * np.pi / 56) + 0.5


def test_the_identity_returns_the_same_bits():
    image = torch.randn(2, 3, 21, 34) * 9
    assert torch.equal(warp(image, np.eye(3), (21, 34)), image)


def test_a_whole_pixel_shift_moves_pixels_unchanged():
    image = torch.randn(1, 3, 20, 30)
    assert torch.equal(warp(image, similarity(1, 0, -5, -3), (10, 12)), image[:, :, 3:13, 5:17])


@pytest.mark.parametrize("shift", [0.25, 0.5, -0.37])
def test_a_sub_pixel_shift_of_a_smooth_signal_is_exact(shift):
    image = image_of(waves, 64, 64)
    matrix = similarity(1, 0, shift - 8, shift - 8)
    expected = torch.from_numpy(waves(*source_points(matrix, (40, 40))).astype(np.float32))
    assert (warp(image, matrix, (40, 40))[0, 0] - expected).abs().max() < 4e-4


@pytest.mark.parametrize(("scale", "degrees"), [(2.3, 30.0), (1.0, -12.0), (0.9, 5.0), (0.5, 20.0), (0.35, -40.0)])
def test_a_smooth_function_lands_where_the_matrix_says(scale, degrees):
    image = image_of(waves, 300, 320)
    matrix = centred(scale, degrees, (160.3, 150.7), (30.0, 25.0))
    expected = waves(*source_points(matrix, (50, 60)))
    actual = warp(image, matrix, (50, 60))[0, 0].numpy()
    # The low-pass flattens waves of 40 source pixels a little; half a pixel astray would cost 0.08 or more.
    assert np.abs(actual - expected).max() < 0.012
    assert abs((actual - expected).mean()) < 1e-3


@pytest.mark.parametrize("scale", [3.0, 1.0, 0.8, 0.45, 0.2])
def test_linear_ramps_are_reproduced(scale):
    image = image_of(lambda x, y: (x * 0.7 - y * 0.4) / 256, 400, 400)
    matrix = centred(scale, 17.0, (200.2, 201.9), (20.0, 20.0))
    x, y = source_points(matrix, (40, 40))
    actual = warp(image, matrix, (40, 40))[0, 0].double().numpy()
    assert np.abs(actual - (x * 0.7 - y * 0.4) / 256).max() < 1e-6


def test_a_crop_put_back_is_the_plate():
    plate = image_of(lambda x, y: waves(x * 2, y * 2), 120, 160)
    matrix = centred(1.6, 9.0, (80.0, 60.0), (99.5, 99.5))
    crop = warp(plate, matrix, (200, 200))
    back = warp(crop, np.linalg.inv(matrix), (120, 160))
    assert (back - plate)[..., 40:80, 60:100].abs().max() < 3e-3


def test_minifying_by_five_does_not_alias():
    size = 1000
    chirp = image_of(lambda x, y: np.cos(np.pi / size / 1.2 * ((x - 500) ** 2 + (y - 500) ** 2)), size, size)
    small = warp(chirp, similarity(0.2, 0, -0.4, -0.4), (200, 200))[0, 0].numpy()
    y, x = (np.mgrid[:200, :200] * 5 + 2 - 500).astype(np.float64)
    frequency = np.hypot(x, y) / size / 1.2 * 5  # cycles per destination pixel
    inside = (np.abs(x) < 480) & (np.abs(y) < 480)
    assert small[inside & (frequency > 0.85)].std() < 0.03  # beyond one half it can only be aliasing
    assert small[frequency < 0.15].std() > 0.6


def test_sharpness_does_not_step_as_the_scale_passes_one():
    noise = torch.from_numpy(np.random.default_rng(1).random((1, 1, 80, 80), np.float32))
    below, above = (warp(noise, centred(scale, 0, (40, 40), (20, 20)), (40, 40)) for scale in (1 - 1e-6, 1 + 1e-6))
    assert (below - above).abs().max() < 1e-3


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.4])
def test_outside_the_image_is_its_edge_or_zero(scale):
    image = torch.full((1, 2, 30, 30), 3.5)
    far = centred(scale, 30.0, (-4000.0, 900.0), (5.0, 5.0))
    assert torch.allclose(warp(image, far, (12, 14)), torch.tensor(3.5))
    assert torch.equal(warp(image, far, (12, 14), padding="zero"), torch.zeros(1, 2, 12, 14))
    near = centred(scale, 0.0, (0.0, 15.0), (5.0, 5.0))
    assert torch.allclose(warp(image, near, (10, 40)), torch.tensor(3.5))
    zero = warp(image, near, (10, 40), padding="zero")
    assert torch.equal(zero[..., 0], torch.zeros(1, 2, 10))
    assert zero[0, 0, 5, round(5 + 15 * scale)] == pytest.approx(3.5, abs=1e-5)


def test_positions_stay_exact_eight_thousand_pixels_out():
    image = image_of(lambda x, y: np.sin((x - 8000) * 2 * np.pi / 50), 24, 8192)
    matrix = similarity(1, 0, -8000.123, -4.0)
    x, _ = source_points(matrix, (16, 100))
    assert np.abs(warp(image, matrix, (16, 100))[0, 0].numpy() - np.sin((x - 8000) * 2 * np.pi / 50)).max() < 2e-4


@pytest.mark.parametrize("scale", [1.4, 0.3])
def test_a_frame_gives_the_same_bits_alone_and_in_a_batch(scale):
    images = torch.randn(3, 3, 90, 100)
    matrices = np.stack([centred(scale * (1 + k / 9), 10.0 * k, (50, 45), (16, 16)) for k in range(3)])
    together = warp(images, matrices, (32, 33))
    for k in range(3):
        assert torch.equal(together[k : k + 1], warp(images[k : k + 1], matrices[k], (32, 33)))
        assert torch.equal(together[k : k + 1], warp(images[k : k + 1].contiguous(), matrices[k : k + 1], (32, 33)))


def test_values_scale_through_it_so_highlights_and_negatives_survive():
    image = torch.randn(1, 3, 40, 40)
    matrix = centred(0.7, 8.0, (20, 20), (10, 10))
    assert torch.equal(warp(image * 4096, matrix, (20, 20)), warp(image, matrix, (20, 20)) * 4096)


def test_what_the_destination_does_not_see_is_not_read():
    image = torch.rand(1, 3, 400, 400)
    image[..., 150:] = torch.nan
    assert torch.isfinite(warp(image, centred(0.5, 15.0, (70, 200), (16, 16)), (32, 32))).all()


def test_resizing_is_the_warp_without_a_turn_but_for_the_border():
    image = torch.randn(1, 3, 40, 60)
    for factor in (1.6, 2.0, 1.0):
        size = (round(40 * factor), round(60 * factor))
        centres = np.array([[factor, 0, factor / 2 - 0.5], [0, factor, factor / 2 - 0.5], [0, 0, 1.0]])
        inner = (..., slice(6, -6), slice(6, -6))
        assert torch.allclose(resize(image, size)[inner], warp(image, centres, size)[inner], atol=2e-5)
    small = image_of(lambda x, y: (x * 0.7 - y * 0.4) / 256, 90, 90)
    x, y = np.meshgrid(np.arange(30) * 3 + 1.0, np.arange(30) * 3 + 1.0)
    expected = (x * 0.7 - y * 0.4) / 256
    assert np.abs(resize(small, (30, 30))[0, 0].numpy() - expected)[3:-3, 3:-3].max() < 1e-6


def test_what_does_not_fit_is_refused():
    image = torch.zeros(2, 3, 8, 8)
    with pytest.raises(ValueError, match="N×C×H×W float32"):
        warp(image.double(), np.eye(3), (4, 4))
    with pytest.raises(ValueError, match=r"\(2, 3, 3\)"):
        warp(image, np.eye(3)[None].repeat(3, 0), (4, 4))
    with pytest.raises(ValueError, match="invertible affine"):
        warp(image, np.zeros((3, 3)), (4, 4))
    with pytest.raises(ValueError, match="padding"):
        warp(image, np.eye(3), (4, 4), padding="mirror")  # type: ignore[arg-type]


def test_a_destination_without_pixels_is_empty_and_no_error():
    assert warp(torch.zeros(1, 3, 8, 8), np.eye(3), (0, 5)).shape == (1, 3, 0, 5)
