"""The blend as Nuke nodes: its expressions are the engine's curve."""

from __future__ import annotations

import numpy as np
import pytest

from bodydouble.exports.nukeblend import blend_nodes, from_model_expression, to_model_expression
from bodydouble.exports.nukescript import Node
from bodydouble.plates.modelspace import ModelSpace, from_model, to_model
from nukeread import tkinter

SPACES = (ModelSpace(), ModelSpace(gamma=2.2, offset=0.08, white=0.6, shoulder=0.09))


def evaluated(expression: str, value: float) -> float:
    """Tcl's `expr` knows all that we use of Nuke's expression language, with channels written as variables."""
    return float(tkinter.Tcl().eval(f"set r {value:.9f}; expr {{{expression.replace('{0}', '$r')}}}"))


@pytest.mark.parametrize("space", SPACES)
def test_the_expressions_are_the_curve_of_the_engine_and_its_inverse(space: ModelSpace):
    for light in (-0.2, 0.0, 0.002, space.cut, 0.02, 0.18, 0.7, 1.0, 1.3, 4.0, 16.0, 60.0):
        encoded = float(to_model(np.float64(light), space))
        assert evaluated(to_model_expression(space), light) == pytest.approx(encoded, abs=2e-5)
        assert evaluated(from_model_expression(space), encoded) == pytest.approx(light, rel=2e-4, abs=2e-5)
        assert float(from_model(np.float64(encoded), space)) == pytest.approx(light, rel=1e-6, abs=1e-9)


def test_only_the_inside_of_the_matte_comes_from_the_nodes():
    names = ("plate", "placed", "outline", "matte")
    plate, placed, outline, matte = (Node("Constant", name) for name in names)
    nodes = {node.name: node for node in blend_nodes(plate, placed, outline, matte, "3", ModelSpace())}
    over = nodes["BD_over_plate"]
    assert [node.name for node in over.inputs if node] == ["plate", "BD_from_model", "BD_touched"]
    assert nodes["BD_touched"].knobs["expr3"] == "{a>0?1:0}"
