from __future__ import annotations

import numpy as np
import pytest
import torch

from bodydouble.swap import blend as blending
from bodydouble.swap.bands import Bands, Level, band_weights, extend, level_mask, whole_of
from bodydouble.swap.blend import blend
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.pixellists import enlarge_listed, halve_listed, listed, unlisted
from bodydouble.swap.pyramids import enlarge, halve, level_count

SIZES = [(64, 64), (33, 47), (61, 29), (97, 5), (20, 80), (2, 3)]


def blob(size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """A wobbly polygon's coverage that leaves a border, 1×1×H×W."""
    angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
    radius = 0.28 + 0.12 * np.random.default_rng(seed).random(17)
    x = size[1] * (0.5 + radius * np.cos(angle)) - 0.5
    y = size[0] * (0.5 + radius * np.sin(angle)) - 0.5
    return polygon_matte(np.stack([x, y], 1), size)[None, None]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32) * 1.4 - 0.2)


# The algorithm once more, pixel by pixel and in float64, as DESIGN and docs/blend.md write it down.


def literal_reduce(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    result = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for y, x in np.ndindex(*result.shape):
        for j, wj in enumerate((1, 4, 6, 4, 1)):
            for i, wi in enumerate((1, 4, 6, 4, 1)):
                value = image[min(max(2 * y + j - 2, 0), height - 1), min(max(2 * x + i - 2, 0), width - 1)]
                result[y, x] += wj * wi / 256 * value
    return result


def literal_expand(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    result = np.zeros(size)
    for y, x in np.ndindex(*size):
        for j, wj in enumerate((1, 4, 6, 4, 1)):
            for i, wi in enumerate((1, 4, 6, 4, 1)):
                if (y + j) % 2 == 0 and (x + i) % 2 == 0:
                    row, column = (y + j - 2) // 2, (x + i - 2) // 2
                    value = image[min(max(row, 0), image.shape[0] - 1), min(max(column, 0), image.shape[1] - 1)]
                    result[y, x] += wj * wi / 64 * value
    return result


def literal_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    radius = max(1, int(np.ceil(3 * sigma)))
    taps = np.exp(-((np.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    taps /= taps.sum()
    for _ in range(2):
        padded = np.pad(image, ((radius, radius), (0, 0)), mode="edge")
        image = sum(tap * padded[k : k + len(image)] for k, tap in enumerate(taps)).T
    return image


def literal_blend(swap: np.ndarray, plate: np.ndarray, mask: np.ndarray, sigma: float, plate_levels: int) -> np.ndarray:
    levels = max(1, int(np.log2(min(plate.shape))))
    swaps, plates, masks = [swap], [plate], [mask]
    for stack in (swaps, plates, masks):
        while len(stack) < levels:
            stack.insert(0, literal_reduce(stack[0]))
    result = None
    for level in range(1, levels + 1):
        s, t, m = swaps[level - 1], plates[level - 1], masks[level - 1]
        if level > 1:
            s, t = s - literal_expand(swaps[level - 2], s.shape), t - literal_expand(plates[level - 2], t.shape)
        if sigma > 0:  # the background mask's blur, of which only the part inside the outline counts
            background = np.minimum(1, 2 * literal_blur(1 - m, sigma))
            m = m * (1 - background) ** 2 * (1 + 2 * background)
        out = (1 - m) * t + m * (t if level <= plate_levels else s)
        result = out if result is None else out + literal_expand(result, out.shape)
    return np.where(mask > 0, plate + mask * (result - plate), plate)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("sigma", "plate_levels"), [(1.0, 2), (0.0, 0), (2.3, 1)])
def test_the_blend_agrees_with_its_definition_pixel_by_pixel(size, sigma, plate_levels):
    swap, plate, mask = noise(1, 1, *size, seed=1), noise(1, 1, *size, seed=2), blob(size)
    expected = literal_blend(*(x[0, 0].double().numpy() for x in (swap, plate, mask)), sigma, plate_levels)
    assert np.abs(blend(swap, plate, mask, sigma, plate_levels)[0, 0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("size", [*SIZES, (512, 512), (251, 113), (1, 1), (1, 9)])
def test_all_bands_together_give_any_image_back(size):
    swap, plate, whole = noise(2, 3, *size) * 4, noise(2, 3, *size, seed=8), torch.ones(2, 1, *size)
    assert (blend(swap, plate, whole, sigma=0, plate_levels=0) - swap).abs().max() < 3e-6


def test_levels_follow_the_shorter_side_and_the_first_is_the_coarsest():
    assert [level_count(size) for size in ((512, 512), (511, 900), (320, 320), (5, 97), (1, 1))] == [9, 8, 8, 2, 1]
    assert halve(noise(1, 1, 5, 8)).shape[-2:] == (3, 4)


@pytest.mark.parametrize("size", SIZES)
def test_outside_the_mask_is_the_plate_to_the_bit(size):
    swap, plate, mask = noise(2, 3, *size, seed=3) * 50, noise(2, 3, *size, seed=4), blob(size).repeat(2, 1, 1, 1)
    for sigma in (0.0, 1.0):
        outside = (mask == 0).expand_as(plate)
        assert torch.equal(blend(swap, plate, mask, sigma)[outside], plate[outside])


def test_coarse_bands_hardly_reach_over_the_outline_before_they_are_cut():
    mask = blob((128, 128))
    leaked = alone = torch.zeros(1, 1, 4, 4)
    sizes = [mask]
    while len(sizes) < 5:  # the finest bands of seven; the two coarsest are the plate's
        sizes.append(halve(sizes[-1]))
    for coverage in reversed(sizes):  # every band one
        leaked = enlarge(leaked, coverage.shape[-2:]) + level_mask(coverage, 1.0)
        alone = enlarge(alone, coverage.shape[-2:]) + coverage
    outside = mask == 0
    assert leaked[outside].mean() < 0.1 * alone[outside].mean()


@pytest.mark.parametrize("at", [(20, 30, 100, 90), (0, 8, 128, 61), (60, 60, 64, 64)])
def test_levels_computed_only_around_the_matte_are_those_of_the_whole_crop(at, monkeypatch):
    swap, plate, mask = noise(2, 3, 128, 96, seed=3), noise(2, 3, 128, 96, seed=4), torch.zeros(2, 1, 128, 96)
    mask[0, :, at[0] : at[2], at[1] : at[3]] = 1
    swap = torch.where(mask > 0, swap, 99.0)
    windowed = blend(swap, plate, mask, known=mask)
    monkeypatch.setattr(blending, "window_around", lambda _: whole_of((128, 96)))
    assert (windowed - blend(swap, plate, mask, known=mask)).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(128, 96), (61, 47), (5, 97), (2, 3)])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.3])
def test_the_finest_level_in_strips_is_that_in_one_piece_to_the_bit(size, sigma, monkeypatch):
    swap, plate, mask = noise(2, 3, *size, seed=3), noise(2, 3, *size, seed=4), blob(size).repeat(2, 1, 1, 1)
    whole = blend(swap, plate, mask, sigma, known=mask)
    monkeypatch.setattr(blending, "_AT_ONCE", 300)
    assert torch.equal(blend(swap, plate, mask, sigma, known=mask), whole)


def test_any_number_of_threads_gives_the_same_bits():
    swap, plate, mask = noise(1, 3, 512, 384, seed=3), noise(1, 3, 512, 384, seed=4), blob((512, 384))
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(blend(swap, plate, mask, known=mask))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_masks_smoothed_together_are_those_smoothed_alone():
    several = (
        [blob((64, 56)).repeat(2, 1, 1, 1), noise(2, 1, 8, 16).clamp(0, 1)],
        [blob((32, 31)), torch.ones(1, 1, 1, 3)],
    )
    for masks in several:  # with many neighbours in common, and with one
        levels = [Level(mask, mask.shape[-2:], mask.shape[-1]) for mask in masks]
        lists = [Level(listed(mask), mask.shape[-2:], mask.shape[-1]) for mask in masks]
        for sigma in (0.4, 1.0, 2.3):
            for given in (levels, lists):
                weights = band_weights(given, Bands(sigma, plate_levels=0, levels=2))
                for weight, mask in zip(weights, masks, strict=True):
                    assert (weight.flatten() - level_mask(mask, sigma).flatten()).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(31, 32), (5, 2), (1, 1)])
def test_small_pictures_are_halved_and_enlarged_as_the_definition_does_it_by_rows_and_as_lists(size):
    image, larger = noise(2, 3, *size), (2 * size[0] - 1, 2 * size[1])
    halved = unlisted(halve_listed(listed(image), size), ((size[0] + 1) // 2, (size[1] + 1) // 2))
    enlarged = unlisted(enlarge_listed(listed(image), size, larger), larger)
    for k, c in np.ndindex(2, 3):
        literal = image[k, c].double().numpy()
        for small in (halve(image), halved):
            assert np.abs(small[k, c].numpy() - literal_reduce(literal)).max() < 1e-6
        for large in (enlarge(image, larger), enlarged):
            assert np.abs(large[k, c].numpy() - literal_expand(literal, larger)).max() < 1e-6


def test_pixels_of_a_list_are_those_of_its_pictures():
    image = noise(2, 3, 5, 4)
    assert torch.equal(unlisted(listed(image), (5, 4)), image)
    assert torch.equal(listed(image)[5 * 4 + 2 * 4 + 1], image[1, :, 2, 1])


def test_one_band_alone_is_the_difference_carried_on():
    swap, plate, mask = noise(1, 3, 20, 24, seed=3), noise(1, 3, 20, 24, seed=4), blob((20, 24))
    expected = plate + mask * extend(swap - plate, mask)
    assert torch.equal(blend(swap, plate, mask, 0, 2, 1, mask), plate)
    assert (blend(swap, plate, mask, 0, 2, 1, mask, own_light=True) - expected).abs().max() < 1e-6


def test_the_same_image_in_both_places_returns_as_it_is():
    plate = noise(1, 3, 50, 41)
    assert torch.equal(blend(plate, plate, blob((50, 41))), plate)


def test_deep_inside_the_fine_bands_are_the_swaps():
    plate = torch.zeros(1, 3, 128, 128)
    texture = (torch.arange(128) % 4 < 2).float().expand(1, 3, 128, 128) - 0.5
    out = blend(texture, plate, blob((128, 128)))
    assert (out - texture)[..., 50:78, 50:78].abs().max() < 0.02


@pytest.mark.parametrize("constant", [0.2, -0.15])
def test_a_tone_difference_known_only_inside_the_matte_vanishes(constant):
    plate, matte = noise(1, 3, 96, 113), blob((96, 113))
    swap = torch.where(matte > 0, plate + constant, 7.0)
    assert (blend(swap, plate, matte, known=matte) - plate).abs().max() < 1e-6


def test_a_light_gradient_known_only_inside_the_matte_nearly_vanishes():
    plate, matte = noise(1, 3, 128, 128), blob((128, 128))
    slope = torch.linspace(-0.2, 0.2, 128).expand(1, 3, 128, 128)
    swap = torch.where(matte > 0, plate + slope, 0.0)
    assert (blend(swap, plate, matte, known=matte) - plate).abs().max() < 0.012


def test_the_extension_keeps_what_is_known_and_stays_in_its_range():
    difference, matte = noise(2, 3, 70, 45), blob((70, 45)).repeat(2, 1, 1, 1)
    filled = extend(difference, matte)
    known = (matte == 1).expand_as(difference)
    assert torch.equal(filled[known], difference[known])
    weighted = difference[(matte > 0).expand_as(difference)]
    assert weighted.min() - 1e-5 <= filled.min() <= filled.max() <= weighted.max() + 1e-5


def test_the_extension_of_a_slope_has_no_blocks():
    slope = torch.linspace(0, 1, 128).expand(1, 1, 128, 128)
    filled = extend(slope, blob((128, 128)))
    assert filled.diff(dim=-1).abs().max() < 3 / 128  # no step steeper than a few times the slope itself
    assert filled.diff(dim=-2).abs().max() < 3 / 128


def test_an_empty_matte_leaves_the_plate():
    plate, matte = noise(1, 3, 31, 17), torch.zeros(1, 1, 31, 17)
    assert torch.equal(blend(noise(1, 3, 31, 17, seed=5), plate, matte, known=matte), plate)


@pytest.mark.parametrize("size", [(75, 62), (64, 64), (256, 256), (200, 132)])
def test_a_frame_gives_the_same_bits_alone_and_in_a_batch(size):
    swap, plate = noise(3, 3, *size, seed=6), noise(3, 3, *size, seed=7)
    mask = torch.cat([blob(size, seed) for seed in range(3)])
    mask[1, :, :, : size[1] // 2] = 0  # each has another window around it
    mask[2, :, size[0] // 3 : -size[0] // 3] = 0
    together = blend(swap, plate, mask, known=mask)
    for k in range(3):
        s, t, m = (x[k : k + 1].clone() for x in (swap, plate, mask))
        assert torch.equal(together[k : k + 1], blend(s, t, m, known=m))


def test_what_does_not_fit_is_refused():
    plate, mask = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    with pytest.raises(ValueError, match="mask N×1×H×W"):
        blend(plate, plate, mask[:, 0])
    with pytest.raises(ValueError, match="float32"):
        blend(plate.double(), plate, mask)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="swap has NaN or infinite"):
            blend(torch.full_like(plate, bad), plate, mask)
    with pytest.raises(ValueError, match="sigma"):
        blend(plate, plate, mask, sigma=-1.0)
