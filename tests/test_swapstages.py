"""The stages of a swap on odd plates: colour spaces, alpha, broken and overbright pixels, squeezed pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bodydouble
from bodydouble.alignment.geometry import apply
from bodydouble.alignment.shotfaces import Face
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.modelspace import ModelSpace, from_model, to_model
from bodydouble.plates.plate import Plate
from bodydouble.settings import SwapSettings
from bodydouble.swap import swapstages
from bodydouble.swap.spread import FrameSpread
from bodydouble.swap.swapframe import SwapModel, swap_frame
from bodydouble.swap.swapframe import load_swap_model as load
from bodydouble.swap.swapstages import PlateRegion, blend_crop, face_matte
from tiny import face_at, tiny_comb

SHOT = sorted((Path(bodydouble.__file__).parent / "bundled" / "sh010").glob("*.exr"))
WIDTH, HEIGHT = 72, 60
FACE = face_at(36, 30, 40, 0.15)
PLAIN = SwapSettings(blend_size=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SwapModel:
    return load(tiny_comb(tmp_path_factory.mktemp("model") / "tiny.comb"), "anna", "cpu")


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour("ocio://studio-config-latest")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plates")


def light(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 0.8, (HEIGHT, WIDTH, 3)).astype(np.float32)


def plate_of(folder: Path, pixels: np.ndarray, format: str = "float") -> Plate:
    names = ("R", "G", "B", "A")[: pixels.shape[2]]
    write_image(folder / "plate.exr", pixels, names, {"colorInteropID": "lin_ap1_scene"}, format)
    return read_plate(folder / "plate.exr")


def swap(plate: Plate, model: SwapModel, colour: Colour, face: Face = FACE, space: str | None = None) -> Plate:
    return swap_frame(plate, face, model, colour, space, PLAIN).plate


# Of the pixel's brightest channel, or of 0.02 where that is darker. Half floats are 2^-11 apart (relative) in linear
# light; LogC4's codes, of which a stop spans few, are farther apart in light.
TOLERANCES = {
    ("float", "ACEScg"): 1e-5, ("float", "lin_rec709_scene"): 1e-5, ("float", "ARRI LogC4"): 1e-5,
    ("half", "ACES2065-1"): 1e-3, ("half", "ACEScg"): 1e-3, ("half", "lin_rec709_scene"): 1e-3,
    ("half", "ARRI LogC4"): 3e-3,
}  # fmt: skip


@pytest.mark.parametrize(("format", "space"), TOLERANCES)
def test_a_plate_gives_the_same_swap_in_whatever_space_it_is_delivered(
    model: SwapModel, colour: Colour, folder: Path, format: str, space: str
):
    bundled = read_plate(SHOT[0])
    rgb = bundled.rgb((300, 80, 700, 480))
    delivered = colour.space_of(bundled.attributes, bundled.path)
    face = face_at(200, 190, 260, 0.1)

    def result(space: str, format: str) -> tuple[np.ndarray, np.ndarray]:
        write_image(folder / "delivered.exr", colour.converter(delivered, space)(rgb), ("R", "G", "B"), format=format)
        swapped = swap_frame(read_plate(folder / "delivered.exr"), face, model, colour, space, SwapSettings())
        return colour.converter(space, "ACES2065-1")(swapped.plate.rgb()), swapped.matte

    expected, matte = result("ACES2065-1", "float")
    found, same_matte = result(space, format)
    np.testing.assert_array_equal(matte, same_matte)
    scale = np.maximum(np.abs(expected).max(axis=2), 0.02)
    error = (np.abs(found - expected).max(axis=2) / scale)[matte > 0].max()
    assert error < TOLERANCES[format, space], f"{error:.2e}"


LOG_SPACES = ("ARRI LogC3 (EI800)", "ARRI LogC4", "Log3G10 REDWideGamutRGB", "ACEScc", "V-Log V-Gamut")


@pytest.mark.parametrize("space", LOG_SPACES)
def test_a_camera_log_plate_works_by_naming_its_space_and_holds_no_new_nan(
    model: SwapModel, colour: Colour, folder: Path, space: str
):
    linear = light()
    linear[30, 30] = -0.05  # below what some log curves can write
    plate = plate_of(folder, colour.converter("ACEScg", space)(linear), "half")
    result = swap(plate, model, colour, space=space)
    assert np.isfinite(result.rgb()).all() and (result.rgb() != plate.rgb()).any()


def test_alpha_is_kept_and_what_is_held_out_does_not_begin_to_glow(model: SwapModel, colour: Colour, folder: Path):
    pixels = np.concatenate([light(), np.ones((HEIGHT, WIDTH, 1), np.float32)], axis=2)
    pixels[:, 40:44, :] *= 0.5  # premultiplied
    pixels[:, 44:] = 0  # held out
    plate = plate_of(folder, pixels)
    swapped = swap_frame(plate, FACE, model, colour, None, PLAIN)
    np.testing.assert_array_equal(swapped.plate.alpha(), pixels[..., 3])
    assert not swapped.plate.rgb()[:, 44:].any() and not swapped.matte[:, 44:].any()
    assert (swapped.plate.rgb()[28:32, 40:44] != plate.rgb()[28:32, 40:44]).all()


def test_premultiplied_colour_is_worked_on_as_the_light_it_is(model: SwapModel, colour: Colour, folder: Path):
    pixels = np.concatenate([light() * 0.5, np.full((HEIGHT, WIDTH, 1), 0.5, np.float32)], axis=2)
    with_alpha = swap(plate_of(folder, pixels), model, colour)
    without = swap(plate_of(folder, pixels[..., :3]), model, colour)
    np.testing.assert_array_equal(with_alpha.rgb(), without.rgb())


def test_an_alpha_of_nothing_but_0_is_no_alpha(model: SwapModel, colour: Colour, folder: Path):
    pixels = np.concatenate([light(), np.zeros((HEIGHT, WIDTH, 1), np.float32)], axis=2)
    pixels[30, 30] = 0
    result = swap(plate_of(folder, pixels), model, colour)
    assert result.rgb()[30, 30].all()


BROKEN = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 70000.0])
PLACES = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(0, 2))


@given(planted=st.lists(st.tuples(PLACES, BROKEN), min_size=1, max_size=12), log=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nan_inf_and_absurd_light_planted_anywhere_stay_and_never_spread(
    model: SwapModel, colour: Colour, folder: Path, planted: list[tuple[tuple[int, int, int], float]], log: bool
):
    pixels = light()
    for place, value in planted:
        pixels[place] = value
    plate = plate_of(folder, pixels)
    result = swap(plate, model, colour, space="ARRI LogC4" if log else None)
    touched = np.zeros((HEIGHT, WIDTH), bool)
    for (y, x, _), _value in planted:
        touched[y, x] = True
    before, after = plate.rgb(), result.rgb()
    assert before[touched].tobytes() == after[touched].tobytes()
    assert np.isfinite(after[~touched]).all()
    assert np.abs(after[~touched]).max() < 100


@given(highlight=st.floats(1, 60000), dark=st.floats(-0.5, 0.01))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_light_appears_that_is_brighter_than_the_plates_own(
    model: SwapModel, colour: Colour, folder: Path, highlight: float, dark: float
):
    pixels = light()
    pixels[24:34, 30:34], pixels[20:24, 34:38] = highlight, dark
    result = swap(plate_of(folder, pixels), model, colour).rgb()
    assert result.max() <= max(1.0, highlight) * 1.001 and result.min() >= min(0.0, dark) * 1.001 - 1e-6


def test_a_squeezed_plate_gets_the_swap_of_the_square_one_squeezed(model: SwapModel, colour: Colour, folder: Path):
    """Anamorphic 2:1. Smooth light, so that averaging pairs of columns is all that squeezing does."""
    rough = torch.from_numpy(light()[:6, :8]).permute(2, 0, 1)[None]
    wide = torch.nn.functional.interpolate(rough, (160, 240), mode="bicubic", align_corners=False)
    square = np.ascontiguousarray(wide[0].permute(1, 2, 0).numpy())
    squeezed = square.reshape(160, 120, 2, 3).mean(axis=2)
    square_from_plate = np.array([[2, 0, 0.5], [0, 1, 0], [0, 0, 1.0]])
    face = face_at(120, 80, 100, 0.3)
    plate_from_square = np.linalg.inv(square_from_plate)
    narrow_face = dataclasses.replace(
        face,
        landmarks_px=apply(plate_from_square, face.landmarks_px),
        unit_from_plate=face.unit_from_plate @ square_from_plate,
    )
    one = swap_frame(plate_of(folder, square), face, model, colour, None, SwapSettings(blend_size=128))
    other = swap_frame(plate_of(folder, squeezed), narrow_face, model, colour, None, SwapSettings(blend_size=128))
    assert np.abs(one.matte.reshape(160, 120, 2).mean(axis=2) - other.matte).mean() < 0.01
    expected = one.plate.rgb().reshape(160, 120, 2, 3).mean(axis=2)
    inside = other.matte == 1
    assert np.abs(expected - other.plate.rgb())[inside].mean() < 0.02 * expected[inside].mean()


def blended_highlights(peak: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A face with small highlights of `peak`, both pictures' in the same places: plate, swap, out, matte."""
    size, space = 128, ModelSpace()
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    spots = torch.zeros(size, size)
    for row, column, radius in ((40, 64, 2.0), (70, 50, 4.0), (64, 80, 1.0)):
        spots += torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * radius**2))
    skin = torch.stack([0.30 + 0.1 * x / size, 0.20 + 0.05 * y / size, 0.15 + 0 * x])
    plate = (skin + peak * spots)[None]
    swap = (skin * 1.2 + 0.02 * torch.sin(x / 3.0) + peak * spots)[None]
    matte = face_matte(face_at(64, 64, 128), size, 0.6)
    blended = blend_crop(to_model(swap, space), to_model(plate, space), matte, SwapSettings())
    return plate, swap, from_model(blended, space), matte


@pytest.mark.parametrize("peak", [2.0, 8.0, 16.0])
def test_highlights_keep_nine_tenths_of_their_energy_and_no_pixel_turns_negative(peak: float) -> None:
    plate, swap, out, matte = blended_highlights(peak)
    bright = (plate > 1) & (matte == 1)
    assert out[bright].sum() > 0.9 * torch.minimum(plate, swap)[bright].sum()
    assert out[bright].sum() < 1.1 * torch.maximum(plate, swap)[bright].sum()
    assert out.min() >= 0


@pytest.mark.parametrize(
    "look", [{}, {"colour_match": "ring"}, {"contrast": 1.0, "colour_match": "none"}, {"sigma": 0.0, "plate_levels": 0}]
)
@pytest.mark.parametrize("side", [64, 128])
def test_crops_blended_together_get_the_bits_that_each_gets_alone(look: dict[str, Any], side: int) -> None:
    """One with highlights, one whose bands overshoot black and white, one that is neither, each in its own matte."""
    rng, grown = torch.Generator().manual_seed(5), SwapSettings(**look)
    crop = 0.3 + 0.2 * torch.rand(3, 3, 128, 128, generator=rng)
    swap = 0.3 + 0.2 * torch.rand(3, 3, side, side, generator=rng)
    crop[0, :, 60:70, 60:66], swap[0, :, side // 2, side // 2] = 0.9, 0.95
    crop[1], swap[1] = (crop[1] > 0.4).float(), (swap[1] < 0.4).float()
    matte = torch.cat([face_matte(face_at(64, 64 + 6 * k, 100 + 20 * k), 128, 0.6) for k in range(3)])
    known = torch.cat([face_matte(face_at(64, 64 + 6 * k, 100 + 20 * k), 128, 0.8) for k in range(3)])
    clear = (torch.rand(3, 1, 128, 128, generator=rng) > 0.1).float()
    spreads = [None, FrameSpread(0.8, (2.0, -1.0)), FrameSpread(0.0, (0.0, 3.0))]
    together = blend_crop(swap, crop, matte, grown, clear, ModelSpace(), known, spreads)
    for k in range(3):
        part = slice(k, k + 1)
        given = (one[part].clone() for one in (swap, crop, matte))
        alone = blend_crop(*given, grown, clear[part], ModelSpace(), known[part], spreads[part])
        assert torch.equal(together[part], alone)
        assert not torch.equal(alone, crop[part])


@pytest.mark.parametrize("edge", [0.0, 4.0, 12.0, 20.0])
@pytest.mark.parametrize("place", [(210, 160), (330, 40), (-40, 150), (900, 900)])
def test_the_matte_is_that_of_the_whole_region_and_computed_only_around_the_outline(
    monkeypatch: pytest.MonkeyPatch, place: tuple[int, int], edge: float
) -> None:
    piece = PlateRegion(torch.zeros(1, 3, 300, 400), np.ones((300, 400), bool), (0, 0, 400, 300))
    face, look = face_at(*place, 260.0, 0.3), SwapSettings(edge=edge, grow=3.0)
    around = swapstages.plate_matte(piece, face, look)
    monkeypatch.setattr(swapstages, "_window_of", lambda *_: (slice(0, 300), slice(0, 400)))
    whole = swapstages.plate_matte(piece, face, look)
    assert (around - whole).abs().max() < 1e-6
    assert bool((whole > 0).any()) == (place != (900, 900))
    if edge <= 4:
        assert torch.equal(around, whole)


def test_around_a_highlight_nothing_rings() -> None:
    """A highlight that only the plate has leaves no dark or bright rings beyond what both pictures hold there."""
    plate, swap, out, matte = blended_highlights(16.0)
    calm = (plate < 1) & (matte == 1)
    low, high = torch.minimum(plate, swap) * 0.75 - 0.02, torch.maximum(plate, swap) * 1.35 + 0.02
    assert ((out >= low) & (out <= high))[calm].float().mean() > 0.995
