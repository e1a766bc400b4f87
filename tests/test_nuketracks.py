"""Nuke's tracks as text."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from bodydouble.alignment.nuketracks import (
    corner_pin_text,
    nuke_from_plate,
    parse_tracks,
    plate_from_nuke,
    tracker_text,
)
from bodydouble.errors import SidecarError

HEIGHT = 540
FRAMES = (1001, 1002, 1003, 1007)

# As Nuke 13 writes it: tabs of columns, runs of values, slopes, a second track that starts later, a node of another
# kind with braces and quotes in a text, and a comment that a reader may stumble over.
SCRIPT = r"""#! C:/Program Files/Nuke13.1/Nuke13.1.exe -nx {
set cut_paste_input [stack 0]
version 13.1 v3
push $cut_paste_input
StickyNote {
 inputs 0
 label "a \"quoted\" brace: \{ and Tracker4 \{"
 name StickyNote1
}
Tracker4 {
tracks { { 1 31 2 }
{ { 5 1 20 enable e 1 }
{ 3 1 75 name name 1 }
{ 2 1 58 track_x track_x 1 }
{ 2 1 58 track_y track_y 1 }
}
{
 { {curve K x1001 1} "left eye" {curve x1001 100.5 101.25 x1010 103} {curve x1001 439.5 s0.5 440.5 x1010 C 441.5} {} 0 }
 { {curve K x1005 1} nose\ tip {curve x1005 200.5} 300 {} {} 1 0 0 {} 1 0 }
 { {curve K x1 1} never {} {} }
}
}
 name Tracker1
 selected true
}
"""


def test_a_pixels_centre_is_at_one_half_and_up_is_up() -> None:
    np.testing.assert_array_equal(nuke_from_plate([0.0, 0.0], HEIGHT), [0.5, 539.5])
    np.testing.assert_array_equal(nuke_from_plate([10.0, 539.0], HEIGHT), [10.5, 0.5])
    points = np.random.default_rng(0).uniform(-50, 2000, (3, 4, 2))
    np.testing.assert_allclose(plate_from_nuke(nuke_from_plate(points, HEIGHT), HEIGHT), points, atol=1e-9)


def test_tracks_come_back_as_they_went_with_their_gaps() -> None:
    rng = np.random.default_rng(1)
    points = {"person0.point36": rng.uniform(0, 900, (4, 2)), 'a "b" {c} [d] $e \\': rng.uniform(-9, 9, (4, 2))}
    points["person0.point36"][2] = np.nan
    text = tracker_text("BodyDouble_tracks", FRAMES, points, HEIGHT)
    found = parse_tracks(text, HEIGHT)
    assert list(found) == list(points)
    assert list(found["person0.point36"]) == [1001, 1002, 1007]
    for name, keys in found.items():
        expected = [points[name][FRAMES.index(frame)] for frame in keys]
        np.testing.assert_allclose(list(keys.values()), expected, atol=5.1e-5)


def test_the_tracker_says_what_nuke_says() -> None:
    """The row of one known point, value by value, in the order of the 31 columns."""
    text = tracker_text("T", (1001, 1002), {"nose": [(10.0, 20.0), (10.25, np.nan)]}, 540)
    assert text.startswith("Tracker4 {\n inputs 0\n tracks { { 1 31 1 } \n{ { 5 1 20 enable e 1 } \n")
    assert text.count("{ 2 1 0 key_") == 11
    row = next(line for line in text.splitlines() if "nose" in line)
    assert row.startswith(" { {curve K x1001 1 x1002 0} nose {curve x1001 10.5} {curve x1001 519.5} ")
    assert row.endswith(" 1 0 0 {} 1 0 -16 -16 16 16 -32 -32 32 32 " + "{} " * 11 + " } ")
    assert text.count("{") == text.count("}")


def test_what_nuke_writes_is_read() -> None:
    tracks = parse_tracks(SCRIPT, HEIGHT)
    assert tracks == {
        "left eye": {1001: (100.0, 100.0), 1002: (100.75, 99.0), 1010: (102.5, 98.0)},
        "nose tip": {1005: (200.0, 239.5)},
    }


def test_a_corner_pin_goes_out_and_comes_back() -> None:
    pinned = [(-0.5, 255.5), (255.5, 255.5), (255.5, -0.5), (-0.5, -0.5)]  # the outer corners of 256 pixels
    places = np.random.default_rng(2).uniform(0, 500, (2, 4, 2))
    text = corner_pin_text("Pin", (5, 6), pinned, places, HEIGHT, from_height=256)
    assert " from1 {0 0}\n from2 {256 0}\n from3 {256 256}\n from4 {0 256}\n" in text
    found = parse_tracks(text, HEIGHT)
    assert list(found) == ["Pin.to1", "Pin.to2", "Pin.to3", "Pin.to4"]
    for corner in range(4):
        np.testing.assert_allclose(list(found[f"Pin.to{corner + 1}"].values()), places[:, corner], atol=5.1e-5)
    assert [list(keys) for keys in found.values()] == [[5, 6]] * 4


def test_an_old_tracker_and_keys_of_one_axis_alone_are_read() -> None:
    text = "Tracker3 {\n track1 {{curve L x10 1 x20 3} {curve x15 7}}\n track2 {5 6}\n name T\n}"
    assert parse_tracks(text, 10) == {"T.track1": {10: (0.5, 2.5), 15: (1.5, 2.5), 20: (2.5, 2.5)}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Blur {\n size 3\n}", "no Tracker4"),
        ("", "no Tracker4"),
        ("CornerPin2D { to1 {{parent.T.x} {curve x1 2}} }", "expression|driven"),
        ("CornerPin2D { to1 {{curve x1 one} {curve x1 2}} }", "'one'"),
        ("CornerPin2D { to1 {{curve x1 1} {curve x1 2}} }\n" * 2, "twice"),
    ],
)
def test_text_that_holds_no_tracks_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(SidecarError, match=says):
        parse_tracks(text, HEIGHT)


@pytest.mark.parametrize("cut", range(20, len(SCRIPT), 97))
def test_a_script_that_breaks_off_gives_tracks_or_a_reason_never_a_bug(cut: int) -> None:
    with contextlib.suppress(SidecarError):
        assert set(parse_tracks(SCRIPT[:cut], HEIGHT)) <= {"left eye", "nose tip", "nose"}
