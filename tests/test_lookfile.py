"""Settings with key frames, and their file."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodydouble.errors import InputError, UsageError
from bodydouble.settings import SwapSettings
from bodydouble.swap.lookfile import SHOT_WIDE, ShotLook, read_look, shot_look, write_look


def test_settings_alone_hold_for_every_frame():
    settings = SwapSettings(edge=5.0, plate_levels=3)
    assert shot_look(settings).at(1) == shot_look(settings).at(99_999) == settings
    look = ShotLook(settings)
    assert shot_look(look) is look


def test_a_length_runs_straight_between_its_keys_and_holds_beyond_them():
    look = ShotLook(SwapSettings(sigma=2.0), {"edge": {1010: 6.0, 1001: 3.0}})
    assert [look.at(frame).edge for frame in (990, 1001, 1004, 1010, 1200)] == pytest.approx([3, 3, 4, 6, 6])
    assert look.at(1004).sigma == 2.0


def test_whole_numbers_and_choices_hold_until_the_next_key():
    look = ShotLook(keys={"plate_levels": {10: 2, 20: 5}, "on_no_face": {10: "fail", 15: "plate"}})
    assert [look.at(frame).plate_levels for frame in (1, 10, 19, 20, 21)] == [2, 2, 2, 5, 5]
    assert [look.at(frame).on_no_face for frame in (14, 15, 30)] == ["fail", "plate", "plate"]


@given(st.dictionaries(st.integers(-50, 2000), st.floats(0, 20), min_size=1, max_size=6), st.integers(-60, 2010))
def test_a_frame_never_leaves_the_range_of_its_keys(keys, frame):
    value = ShotLook(keys={"edge": keys}).at(frame).edge
    assert min(keys.values()) - 1e-9 <= value <= max(keys.values()) + 1e-9
    if frame in keys:
        assert value == keys[frame]


def test_a_file_comes_back_as_it_was_written(tmp_path: Path):
    look = ShotLook(SwapSettings(forehead=0.4, layers=True), {"edge": {1001: 2.0, 1040: 7.5}, "plate_levels": {1: 3}})
    write_look(tmp_path / "shot.settings.json", look)
    assert read_look(tmp_path / "shot.settings.json") == look
    data = json.loads((tmp_path / "shot.settings.json").read_text())
    assert data["settings"] == {"forehead": 0.4, "layers": True}  # only what differs from the defaults


def test_every_setting_can_be_saved_and_read(tmp_path: Path):
    for item in fields(SwapSettings):
        look = ShotLook(SwapSettings(**{item.name: item.default}))
        assert look.with_settings(**{item.name: item.default}) == look
    write_look(tmp_path / "x.settings.json", ShotLook())
    assert read_look(tmp_path / "x.settings.json") == ShotLook()


def test_a_setting_fixed_by_hand_drops_its_keys():
    look = ShotLook(keys={"edge": {1: 2.0}, "sigma": {1: 1.0, 9: 3.0}}).with_settings(edge=8.0)
    assert look.at(1).edge == 8.0
    assert look.at(5).sigma == 2.0


@pytest.mark.parametrize("name", SHOT_WIDE)
def test_what_must_be_alike_in_all_frames_cannot_have_keys(name):
    with pytest.raises(UsageError, match="whole shot"):
        ShotLook(keys={name: {1: getattr(SwapSettings(), name)}})


def test_a_key_out_of_range_is_refused_with_its_frame():
    with pytest.raises(UsageError, match="edge at frame 12"):
        ShotLook(keys={"edge": {1: 3.0, 12: -4.0}})


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", InputError, "not a readable JSON"),
        ("[]", InputError, "schema"),
        ('{"schema": "bodydouble.settings", "version": 2}', InputError, "version"),
        ('{"schema": "bodydouble.settings", "version": 1, "setting": {}}', InputError, "setting"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": []}', InputError, "objects"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": {"sigmo": 1}}', UsageError, "sigma"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": {"edge": "3"}}', UsageError, "a number"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": {"edge": NaN}}', UsageError, "a number"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": {"layers": 1}}', UsageError, "true or false"),
        ('{"schema": "bodydouble.settings", "version": 1, "settings": {"plate_levels": 2.5}}', UsageError, "whole"),
        ('{"schema": "bodydouble.settings", "version": 1, "keys": {"edge": 3}}', InputError, "frames and values"),
        ('{"schema": "bodydouble.settings", "version": 1, "keys": {"edge": {"x": 3}}}', InputError, "frames and"),
        ('{"schema": "bodydouble.settings", "version": 1, "keys": {"edge": {}}}', UsageError, "empty"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, text, error, message):
    path = tmp_path / "bad.settings.json"
    path.write_text(text)
    with pytest.raises(error, match=message) as caught:
        read_look(path)
    assert "bad.settings.json" in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        read_look(tmp_path / "none.settings.json")
