"""Colour spaces: found by name and by a plate's own words, converted without spreading what is broken."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bodydouble.errors import InputError, UnknownColourSpaceError
from bodydouble.plates.colour import Colour

REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
# SMPTE RP 177 from the primaries above with Bradford adaptation, as in the ACES configs.
ACESCG_FROM_REC709 = [[0.613097, 0.339523, 0.047379], [0.070194, 0.916354, 0.013452], [0.020616, 0.109570, 0.869815]]

# A studio's own config: other names, no aliases, its own file rules.
STUDIO = """
ocio_profile_version: 2
name: our-studio
roles: {default: plate_lin, scene_linear: plate_lin, aces_interchange: plate_lin}
file_rules:
  - !<Rule> {name: log scans, extension: "dpx", pattern: "*", colorspace: scan_log}
  - !<Rule> {name: Default, colorspace: plate_lin}
displays: {monitor: [!<View> {name: plain, colorspace: plate_lin}]}
colorspaces:
  - !<ColorSpace> {name: plate_lin}
  - !<ColorSpace> {name: scan_log, from_scene_reference: !<LogTransform> {base: 10}}
"""


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour("ocio://studio-config-latest")


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    (tmp_path / "studio.ocio").write_text(STUDIO)
    return tmp_path / "studio.ocio"


def test_the_config_is_the_one_named_else_the_environments_else_the_built_in(monkeypatch, studio: Path):
    monkeypatch.delenv("OCIO", raising=False)
    assert Colour().name.startswith("studio-config-v")
    monkeypatch.setenv("OCIO", str(studio))
    assert Colour().name == "our-studio"
    assert Colour("ocio://cg-config-latest").name.startswith("cg-config-v")
    assert Colour(Path("ocio://cg-config-latest")).name.startswith("cg-config-v")


@pytest.mark.parametrize("text", [None, "not: [a config"])
def test_a_missing_or_broken_config_is_an_input_error_that_names_it(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "bad.ocio").write_text(text)
    with pytest.raises(InputError, match=r"bad\.ocio.*--ocio"):
        Colour(tmp_path / "bad.ocio")


@pytest.mark.parametrize("name", ["ACEScg", "acescg", "LIN_AP1", "lin_ap1_scene", "scene_linear"])
def test_a_space_is_found_by_name_alias_and_role_in_any_case(colour: Colour, name: str):
    assert colour.resolve(name) == "ACEScg" and "ACEScg" in colour.spaces()


def test_scene_linear_spaces_are_told_from_encoded_ones(colour: Colour):
    assert colour.is_linear("ACEScg") and colour.is_linear("lin_rec709_scene")
    assert not colour.is_linear("ACEScct") and not colour.is_linear("sRGB - Texture")


AP0_FROM_AP1 = "0.695452241357, 0.140678696471, 0.163869062172, 0, 0.044794563372, 0.859671118456, 0.095534318172, 0, \
-0.005525882558, 0.004025210306, 1.001500672252, 0, 0, 0, 0, 1"
AP0_FROM_REC709 = "0.439632981919, 0.382988698152, 0.177378319929, 0, 0.089776443434, 0.813439428749, 0.096784127817, \
0, 0.017541170383, 0.111546553302, 0.870912276315, 0, 0, 0, 0, 1"
SHOWS = "displays: {d: [!<View> {name: v, colorspace: lin}]}\n"
RULES = "file_rules: [!<Rule> {name: Default, colorspace: lin}]\n"
VERSION_1 = "ocio_profile_version: 1\nroles: {default: lin, scene_linear: lin}\n" + SHOWS
VERSION_2 = "ocio_profile_version: 2\nroles: {default: lin, aces_interchange: ap0}\n" + SHOWS + RULES
WITHOUT_ACESCG = {
    # As the ACES configs of OpenColorIO 1 name it.
    "another name": VERSION_1
    + f"""
colorspaces:
  - !<ColorSpace> {{name: ACES - ACES2065-1, isdata: false}}
  - !<ColorSpace> {{name: lin, to_reference: !<MatrixTransform> {{matrix: [{AP0_FROM_REC709}]}}}}
  - !<ColorSpace> {{name: ACES - ACEScg, to_reference: !<MatrixTransform> {{matrix: [{AP0_FROM_AP1}]}}}}
""",
    "a role": VERSION_2
    + f"""
colorspaces:
  - !<ColorSpace> {{name: ap0}}
  - !<ColorSpace> {{name: lin, to_scene_reference: !<MatrixTransform> {{matrix: [{AP0_FROM_REC709}]}}}}
""",
    "a role, another reference": VERSION_2
    + f"""
colorspaces:
  - !<ColorSpace> {{name: lin}}
  - !<ColorSpace> {{name: ap0, from_scene_reference: !<MatrixTransform> {{matrix: [{AP0_FROM_REC709}]}}}}
""",
}


@pytest.mark.parametrize("how", WITHOUT_ACESCG)
def test_a_config_that_says_how_it_relates_to_aces_has_the_working_space(how: str, tmp_path: Path):
    (tmp_path / "show.ocio").write_text(WITHOUT_ACESCG[how])
    show = pickle.loads(pickle.dumps(Colour(tmp_path / "show.ocio")))
    pixels = np.array([[[0.18, 0.5, 20.0], [-0.1, 0.0, 1.0]]], np.float32)
    working = show.converter("lin", "ACEScg")(pixels)
    np.testing.assert_allclose(working, pixels @ np.transpose(ACESCG_FROM_REC709), atol=2e-5)
    np.testing.assert_allclose(show.converter("ACEScg", "lin")(working), pixels, atol=2e-5)
    assert show.is_linear("ACEScg")


def test_a_config_that_does_not_is_told_the_way_out(tmp_path: Path):
    text = "colorspaces: [!<ColorSpace> {name: lin}]\n"
    (tmp_path / "show.ocio").write_text(VERSION_2.replace(", aces_interchange: ap0", "") + text)
    with pytest.raises(UnknownColourSpaceError, match=r"show\.ocio .*ACEScg.*aces_interchange.*--ocio"):
        Colour(tmp_path / "show.ocio").converter("lin", "ACEScg")


def test_an_unknown_space_is_an_error_with_near_names(colour: Colour):
    with pytest.raises(UnknownColourSpaceError, match=r'"ACESgc".*Did you mean:.*ACEScg'):
        colour.resolve("ACESgc")


@pytest.mark.parametrize(
    ("attributes", "path", "space"),
    [
        ({"colorInteropID": "lin_ap1_scene", "chromaticities": REC709}, "a.exr", "ACEScg"),
        ({"colorInteropID": "unknown", "oiio:ColorSpace": "lin_rec709_scene"}, "a.exr", "Linear Rec.709 (sRGB)"),
        ({"oiio:ColorSpace": "srgb_rec709_scene"}, "a.jpg", "sRGB Encoded Rec.709 (sRGB)"),
        ({"oiio:ColorSpace": "no such space", "chromaticities": AP1}, "a.exr", "ACEScg"),
        ({"chromaticities": REC709}, "a.exr", "Linear Rec.709 (sRGB)"),
        ({}, "a.exr", "ACES2065-1"),
        ({}, "a.png", "sRGB Encoded Rec.709 (sRGB)"),
    ],
)
def test_a_file_says_its_space_by_attributes_then_primaries_then_the_configs_rules(
    colour: Colour, attributes: dict, path: str, space: str
):
    assert colour.space_of(attributes, path) == colour.resolve(space)


def test_primaries_that_no_space_has_are_an_error_not_a_guess(colour: Colour):
    with pytest.raises(UnknownColourSpaceError, match=r"0\.7.*--colorspace"):
        colour.space_of({"chromaticities": (0.7, *REC709[1:])}, "a.exr")


def test_a_studios_own_rules_decide_for_its_own_config(studio: Path):
    colour = Colour(studio)
    assert colour.space_of({}, "a.dpx") == "scan_log" and colour.space_of({}, "a.exr") == "plate_lin"
    assert colour.space_of({"colorInteropID": "lin_ap1_scene"}, "a.exr") == "plate_lin"


def test_a_transform_that_needs_a_missing_file_is_an_input_error(tmp_path: Path):
    lut = "from_scene_reference: !<FileTransform> {src: gone.cube}"
    (tmp_path / "lut.ocio").write_text(STUDIO.replace("from_scene_reference: !<LogTransform> {base: 10}", lut))
    with pytest.raises(InputError, match=r"lut\.ocio.*gone\.cube"):
        Colour(tmp_path / "lut.ocio").converter("scan_log", "plate_lin")


def test_a_conversion_is_the_known_matrix_and_leaves_its_input_alone(colour: Colour):
    pixels = np.random.default_rng(0).uniform(-1, 20, (5, 7, 3)).astype(np.float32)
    before = pixels.copy()
    result = colour.converter("lin_rec709_scene", "ACEScg")(pixels)
    np.testing.assert_allclose(result, pixels @ np.array(ACESCG_FROM_REC709).T, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(pixels, before)
    assert result.dtype == np.float32 and result.flags.c_contiguous


def test_any_memory_layout_converts_alike(colour: Colour):
    pixels = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    convert = colour.converter("lin_rec709_scene", "ACEScg")
    np.testing.assert_array_equal(convert(pixels[::2, ::-1]), convert(pixels)[::2, ::-1])
    np.testing.assert_array_equal(convert(np.asfortranarray(pixels)), convert(pixels))


@pytest.mark.parametrize("space", ["lin_rec709_scene", "srgb_rec709_scene", "ARRI LogC3 (EI800)", "ACEScct"])
def test_there_and_back_is_where_it_started(colour: Colour, space: str):
    pixels = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    back = colour.converter("ACEScg", space)(colour.converter(space, "ACEScg")(pixels))
    np.testing.assert_allclose(back, pixels, atol=3e-5)


@pytest.mark.parametrize("space", ["lin_rec709_scene", "ACEScct", "ACEScg"])
def test_nan_and_inf_stay_in_their_channel(colour: Colour, space: str):
    pixels = np.full((1, 4, 3), 0.5, np.float32)
    pixels[0, 0, 0], pixels[0, 1, 1], pixels[0, 2, 2] = np.nan, np.inf, -np.inf
    result = colour.converter("ACEScg", space)(pixels)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(pixels))
    np.testing.assert_array_equal(result[np.isinf(pixels)], pixels[np.isinf(pixels)])
    assert np.isfinite(result).sum() == 9


def test_a_space_into_itself_is_a_copy(colour: Colour):
    pixels = np.array([[[np.nan, -0.0, 1e30]]], np.float32)
    result = colour.converter("ACEScg", "lin_ap1")(pixels)
    assert result.tobytes() == pixels.tobytes() and not np.shares_memory(result, pixels)


def test_a_review_picture_is_in_display_range_and_brighter_where_the_plate_is(colour: Colour):
    ramp = np.repeat(np.geomspace(0.001, 16, 32, dtype=np.float32)[None, :, None], 3, axis=2)
    shown = colour.display("ACEScg")(ramp)
    assert shown.min() >= -1e-3 and shown.max() <= 1.001
    assert (np.diff(shown[0, :, 1]) > 0).all() and 0.3 < np.interp(0.18, ramp[0, :, 1], shown[0, :, 1]) < 0.5
    display, view = colour.default_display()
    np.testing.assert_array_equal(colour.display("ACEScg", view, display)(ramp), shown)


def test_an_unknown_view_or_display_is_an_error_with_the_known_ones(colour: Colour):
    with pytest.raises(UnknownColourSpaceError, match="Un-tone-mapped"):
        colour.display("ACEScg", view="un tone mapped")
    with pytest.raises(UnknownColourSpaceError, match="sRGB - Display"):
        colour.display("ACEScg", display="sRGB")


def test_a_look_comes_before_the_view_and_an_unknown_one_is_an_error(colour: Colour):
    vivid = np.array([[[0.9, -0.1, 0.02]]], np.float32)
    plain = colour.display("ACEScg")(vivid)
    graded = colour.display("ACEScg", look="ACES 1.3 Reference Gamut Compression")(vivid)
    assert np.isfinite(graded).all() and np.abs(graded - plain).max() > 1e-3
    with pytest.raises(UnknownColourSpaceError, match=r"ACES 1\.3 Reference Gamut Compression"):
        colour.display("ACEScg", look="ACES Gamut Compression")


def test_what_a_file_does_not_say_is_an_assumption_and_a_shows_own_rule_is_none(colour: Colour, studio: Path):
    assert colour.find_space({}, "a.exr").assumed and colour.find_space({}, "a.tif").assumed
    assert not colour.find_space({"colorInteropID": "lin_ap1_scene"}, "a.exr").assumed
    ruled, by_default = (Colour(studio).find_space({}, name) for name in ("a.dpx", "a.exr"))
    assert not ruled.assumed and "log scans" in ruled.reason and by_default.assumed
    with pytest.raises(UnknownColourSpaceError, match=r"a\.dpx.*--colorspace"):
        colour.find_space({}, "a.dpx")


def test_a_finished_frame_is_in_the_space_that_the_swap_took_the_plate_for(colour: Colour):
    attributes = {"bodydouble/colorspace": "ARRI LogC4", "colorInteropID": "lin_ap1_scene"}
    assert colour.space_of(attributes, "a.exr") == "ARRI LogC4"


def test_a_config_travels_to_another_process(colour: Colour):
    other = pickle.loads(pickle.dumps(colour))
    assert other.name == colour.name and repr(other) == "Colour('ocio://studio-config-latest')"
