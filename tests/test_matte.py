from __future__ import annotations

import numpy as np
import pytest
import torch

from bodydouble.swap.matte import gaussian, inward_feather, polygon_matte

CONCAVE = np.array([(4.3, 3.1), (27.9, 5.2), (18.2, 14.6), (29.4, 26.7), (6.6, 22.8), (12.5, 13.3)])


def circle(x: float, y: float, radius: float, points: int = 200) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def inside(polygon: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Even-odd rule, point by point."""
    result = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if ay != by:
            result ^= ((y >= min(ay, by)) & (y < max(ay, by))) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return result


def area(polygon: np.ndarray) -> float:
    following = np.roll(polygon, -1, 0)
    return float(abs((polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0]).sum()) / 2)


def test_coverage_is_the_area_of_each_pixel_inside_a_concave_polygon():
    fine = 100
    y, x = (np.mgrid[: 30 * fine, : 33 * fine] + 0.5) / fine - 0.5
    counted = inside(CONCAVE, x, y).reshape(30, fine, 33, fine).mean((1, 3))
    assert np.abs(polygon_matte(CONCAVE, (30, 33)).numpy() - counted).max() < 5e-4


def test_a_rectangle_covers_exactly_its_parts_of_pixels():
    matte = polygon_matte([(0.75, -0.5), (2.25, -0.5), (2.25, 1.0), (0.75, 1.0)], (3, 4))
    assert torch.equal(matte, torch.tensor([[0, 0.75, 0.75, 0], [0, 0.375, 0.375, 0], [0, 0, 0, 0]]))


@pytest.mark.parametrize("order", [1, -1])
def test_either_direction_and_whole_area_are_kept(order):
    matte = polygon_matte(CONCAVE[::order], (30, 33))
    assert matte.double().sum().item() == pytest.approx(area(CONCAVE), abs=1e-4)
    assert (matte.min(), matte.max()) == (0, 1)


def test_a_slowly_moving_outline_changes_coverage_in_even_steps():
    steps = np.arange(0, 1.0001, 0.05)
    mattes = torch.stack([polygon_matte(circle(15 + s, 14 + s / 3, 9.7), (32, 32)) for s in steps]).double()
    areas = mattes.sum((1, 2))
    assert (areas - areas[0]).abs().max() < 1e-4
    assert mattes.diff(dim=0).abs().max() < 0.05 * 1.42  # no pixel faster than the outline, 8 bit steps or otherwise


def test_polygons_reach_outside_the_image_or_miss_it():
    assert torch.equal(polygon_matte([(-9, -9), (40, -9), (40, 40), (-9, 40)], (5, 6)), torch.ones(5, 6))
    assert torch.equal(polygon_matte(CONCAVE + 100, (20, 20)), torch.zeros(20, 20))
    assert torch.equal(polygon_matte(CONCAVE - (100, 0), (20, 20)), torch.zeros(20, 20))


@pytest.mark.parametrize("width", [1.5, 5.0, 12.5])
def test_the_feather_rises_smoothly_from_the_outline_inwards(width):
    matte = polygon_matte([(20.5, -99), (99, -99), (99, 99), (20.5, 99)], (40, 80))  # a straight edge
    ramp = inward_feather(matte, width)[20]
    depth = ((torch.arange(80) - 20.5) / width).clamp(0, 1)
    assert torch.equal(ramp[:21], torch.zeros(21))
    assert (ramp - depth**2 * (3 - 2 * depth)).abs().max() < (0.01 if width > 2 else 0.05)
    assert (ramp[22 + int(np.ceil(width)) :] == 1).all()


def test_a_feather_never_shows_outside_the_matte_or_above_it():
    matte = polygon_matte(CONCAVE, (30, 33))
    for width in (0.0, 2.0, 9.0):
        feathered = inward_feather(matte[None, None].repeat(2, 1, 1, 1), width)
        assert (feathered[:, 0][:, matte == 0] == 0).all()
        assert (feathered <= matte).all()


def test_the_feather_follows_sub_pixel_motion_without_steps():
    mattes = [polygon_matte(circle(15 + shift, 16, 11), (32, 32)) for shift in (0, 0.1, 0.2)]
    feathered = torch.stack([inward_feather(matte, 5.0) for matte in mattes])
    first, second = feathered.diff(dim=0)
    assert first.abs().max() < 0.1 * 1.5 / 5 * 1.5
    assert (first - second).abs().max() < 0.02


def test_a_blur_keeps_constants_to_the_bit_and_sums_in_the_middle():
    assert torch.equal(gaussian(torch.full((1, 3, 9, 14), 0.3), 2.2), torch.full((1, 3, 9, 14), 0.3))
    dot = torch.zeros(1, 1, 41, 41)
    dot[..., 20, 20] = 1
    spread = gaussian(dot, 3.0)[0, 0]
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    x = torch.arange(41) - 20.0
    assert (spread.sum(0) * x * x).sum().sqrt().item() == pytest.approx(3.0, rel=0.02)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="polygon"):
        polygon_matte([(0, 0), (1, 1)], (4, 4))
    with pytest.raises(ValueError, match="polygon"):
        polygon_matte([(0, 0), (1, np.nan), (2, 2)], (4, 4))
    with pytest.raises(ValueError, match="float32"):
        inward_feather(torch.zeros(4, 4, dtype=torch.float64), 2.0)


@pytest.mark.parametrize("width_px", [17.0, 40.0, 90.0])
def test_a_wide_feather_made_on_a_smaller_image_is_the_one_made_at_full_size(width_px):
    polygon = [(60.3, 70.2), (260, 50), (330, 200), (290, 330.7), (120, 310)]
    matte = polygon_matte(polygon, (401, 383))
    depth = torch.erfinv((2 * gaussian(matte, width_px / 2) - 1).clamp(0, 1)) * (width_px / 2**0.5)
    ramp = (depth / width_px).clamp(0, 1)
    direct = ramp * ramp * (3 - 2 * ramp) * matte
    assert (inward_feather(matte, width_px) - direct).abs().max() < 4e-3
    assert (inward_feather(matte, width_px) - direct).abs().mean() < 5e-4
