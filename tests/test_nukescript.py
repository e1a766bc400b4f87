"""Scripts are Tcl that Nuke reads: links, quoting and keys come back as they were meant."""

from __future__ import annotations

import pytest

from bodydouble.errors import UsageError
from bodydouble.exports.nukescript import Node, UserKnob, braced, keyed, number, script_text, vector
from nukeread import read_script, value_at


def test_links_come_back_in_the_order_of_the_inputs():
    one, two = Node("Constant", "One"), Node("Constant", "Two")
    merge = Node("Merge2", "Over", {"operation": "over"}, (one, two))
    blur = Node("Blur", "Soft", {"size": "3"}, (merge,))
    switch = Node("Switch", "Which", {"which": "0"}, (blur, one, merge))
    script = read_script(script_text([one, two, merge, blur, switch]))
    assert [node.inputs for node in script.nodes] == [[], [], ["One", "Two"], ["Over"], ["Soft", "One", "Over"]]
    assert script.version == "14.0 v1"


def test_any_label_survives_tcl():
    label = 'a "quoted" [value size] $width {paired} #1; b'
    script = read_script(script_text([Node("NoOp", "Note", {"label": braced(label)})]))
    assert script.node("Note").knobs["label"] == label


@pytest.mark.parametrize("text", ["C:\\plates\\a.exr", "half } open {", "{"])
def test_what_cannot_stand_in_a_script_is_refused(text):
    with pytest.raises(UsageError):
        braced(text)


def test_layers_and_user_knobs_are_declared():
    knob = UserKnob("edge", "7 edge l {edge, %} R 0 20", "3.5")
    script = read_script(script_text([Node("NoOp", "Shot", {}, (), (knob,))], {"bodydouble": ["matte", "confidence"]}))
    assert script.layers == {"bodydouble": ("bodydouble.matte", "bodydouble.confidence")}
    node = script.node("Shot")
    assert node.user_knobs == [("7", "edge", "l", "edge, %", "R", "0", "20")]
    assert node.knobs["edge"] == "3.5"


def test_keyed_values_come_back_at_their_frames():
    knob = f"to {keyed([1001, 1002, 1010], [1, 2.5, -3], [0, 1e-9, 7])}"
    script = read_script(f"CornerPin2D {{\n {knob}\n}}\n")
    value = script.nodes[0].knobs["to"]
    assert value_at(value, 1002) == [2.5, 0]
    assert value_at(value, 1010) == [-3, 7]


def test_a_held_value_stays_until_its_next_key():
    script = read_script(f"Multiply {{\n value {keyed([1, 5], [1, 0], hold=True)}\n}}\n")
    assert [value_at(script.nodes[0].knobs["value"], frame) for frame in (1, 4, 5)] == [[1], [1], [0]]


def test_numbers_have_no_exponent_and_no_minus_zero():
    assert [number(value) for value in (1e-7, -1e-9, 1e6, 0.5, -2)] == ["0", "0", "1000000", "0.5", "-2"]
    assert vector(0.25, 100) == "{0.25 100}"
    with pytest.raises(ValueError, match="no word"):
        number(float("nan"))
