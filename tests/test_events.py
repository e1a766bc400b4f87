"""Event lines."""

from __future__ import annotations

import json
import math

import pytest

from bodydouble import events
from bodydouble.errors import InputError

ONE_OF_EACH = (
    events.RunStarted("swap", "0.1.0", 24),
    events.FrameDone(1001, "out/é.1001.exr", 0.9, {"read": 0.1, "write": 0.2}),
    events.FrameFailed(1002, "no_face", "no face was found"),
    events.FrameSkipped(1003, "out.1003.exr", "exists"),
    events.Notice("persona 'anna' carries no rights record"),
    events.Facts({"kind": "plate", "frames": [1, 2]}),
    events.Progress("train", 3, 10, 7.5, {"loss": 0.25}, "level 3"),
    events.RunDone(4, 1, 1, 1, 2.5, {"frames": "out.####.exr"}, "1 of 3 frames failed"),
)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.kind)
def test_an_event_comes_back_from_its_line_equal(event):
    assert events.event_from_line(events.event_to_line(event)) == event


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.kind)
def test_a_line_is_one_json_object_with_schema_version_and_kind(event):
    line = events.event_to_line(event)
    assert "\n" not in line
    document = json.loads(line)
    assert (document["schema"], document["version"], document["event"]) == ("bodydouble.event", 1, event.kind)


def test_a_message_with_line_breaks_stays_on_one_line():
    assert "\n" not in events.event_to_line(events.Notice("first\nsecond"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_become_null(value):
    line = events.event_to_line(events.Progress("train", 1, values={"loss": value}, seconds_left=value))
    document = json.loads(line)
    assert document["values"]["loss"] is None
    assert document["seconds_left"] is None


def test_keys_that_this_version_does_not_know_are_left_out():
    document = json.loads(events.event_to_line(events.Notice("hello"))) | {"colour": "red"}
    assert events.event_from_line(json.dumps(document)) == events.Notice("hello")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("frame 1001 done", "Not an event line"),
        ("[1, 2]", "no schema"),
        ('{"schema": "bodydouble.event", "version": 2, "event": "notice"}', "version 2"),
        ('{"schema": "bodydouble.event", "version": 1, "event": "party"}', "'party'"),
        ('{"schema": "bodydouble.event", "version": 1, "event": "notice"}', "message"),
    ],
)
def test_a_line_that_is_no_event_is_an_input_error_that_says_why(line, says):
    with pytest.raises(InputError, match=says):
        events.event_from_line(line)
