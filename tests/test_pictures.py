"""Which picture of a file is meant."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bodydouble.errors import PlateError, UsageError
from bodydouble.plates.pictures import Picture, find_picture, views_of


@dataclass(frozen=True)
class Names:
    """A part's names."""

    channels: tuple[str, ...]
    name: str = ""
    view: str = ""
    channel_views: tuple[str, ...] = ()


RGBA = ("R", "G", "B", "A")
STEREO_PARTS = [Names(("Z",), "depth", "left"), Names(RGBA, "beauty_l", "left"), Names(RGBA, "beauty_r", "right")]
STEREO_CHANNELS = [Names((*RGBA, "Z", "left.R", "left.G", "left.B", "left.Z"), channel_views=("right", "left"))]


def test_plain_rgb_comes_before_a_layers_and_a_layers_before_nothing():
    layer = Names(("beauty.R", "beauty.G", "beauty.B", "beauty.A"))
    assert find_picture([layer, Names(RGBA)]) == Picture(1, ("R", "G", "B"), "A")
    assert find_picture([Names(("Z",)), layer]) == Picture(1, layer.channels[:3], "beauty.A")
    with pytest.raises(PlateError, match=r"no R, G, B.*Y, Z"):
        find_picture([Names(("Y", "Z"))])


def test_other_spellings_are_colours_too():
    assert find_picture([Names(("red", "green", "blue", "alpha"))]).alpha == "alpha"


def test_a_part_is_named_or_numbered_from_1():
    for part in ("beauty_r", "3"):
        assert find_picture(STEREO_PARTS, part=part).part == 2
    with pytest.raises(UsageError, match="no part beauty; parts: depth, beauty_l, beauty_r"):
        find_picture(STEREO_PARTS, part="beauty")
    with pytest.raises(UsageError, match="no part 4"):
        find_picture(STEREO_PARTS, part="4")
    with pytest.raises(PlateError, match="no R, G, B"):
        find_picture(STEREO_PARTS, part="depth")


def test_a_view_is_a_part_of_its_own_or_channels_of_one():
    assert find_picture(STEREO_PARTS, view="right").part == 2 and find_picture(STEREO_PARTS, view="left").part == 1
    right, left = (find_picture(STEREO_CHANNELS, view=view) for view in ("right", "left"))
    assert right == Picture(0, ("R", "G", "B"), "A")
    assert left == Picture(0, ("left.R", "left.G", "left.B"), None, "left")
    assert views_of(STEREO_PARTS) == ("left", "right") and views_of(STEREO_CHANNELS) == ("right", "left")


def test_a_view_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="no view middle; views: left, right"):
        find_picture(STEREO_PARTS, view="middle")
    with pytest.raises(UsageError, match="views: none"):
        find_picture([Names(RGBA)], view="left")
    with pytest.raises(PlateError, match="view left has no R, G, B"):
        find_picture([Names(("Z",), view="left")], view="left")


def test_added_channels_of_two_views_in_one_part_have_names_of_their_own():
    assert find_picture(STEREO_CHANNELS, view="right").own_channel("bodydouble.matte") == "bodydouble.matte"
    assert find_picture(STEREO_CHANNELS, view="left").own_channel("bodydouble.face.R") == "bodydouble.face.left.R"
    assert find_picture(STEREO_PARTS, view="left").own_channel("bodydouble.matte") == "bodydouble.matte"
