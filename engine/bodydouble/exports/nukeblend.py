"""The blend as Nuke nodes, for an artist to change.

In model space, with S the patch in its place, T the plate, M the outline and m the matte:

    O = T + m · (D − L),   D = S − T,   L = blur(D · M) / blur(M)

D − L is what the persona adds once its own light and tone are out. One low-pass stands for the coarse bands of the
engine's pyramid, so the nodes come near the engine's blend and are not it (`docs/nuke.md` has the figure).
"""

from __future__ import annotations

from bodydouble.exports.nukescript import Node, braced, number
from bodydouble.plates.modelspace import ModelSpace

CHANNELS = ("r", "g", "b")


def blend_nodes(
    plate: Node, placed: Node, outline: Node, matte: Node, light_size: str, space: ModelSpace
) -> list[Node]:
    """The nodes from plate and placed patch to the picture, the last one being the result.

    Args:
        plate: T as read, scene-linear.
        placed: S, in the plate's format.
        outline: M in its alpha; 1 inside the face.
        matte: m in its alpha: the outline, soft inwards.
        light_size: value of the low-pass's `size` knob, in plate pixels.
        space: the curve to blend in; its primaries are taken to be the script's working space.
    """
    into, out = per_channel(to_model_expression(space)), per_channel(from_model_expression(space))
    below = Node("Expression", "BD_plate_to_model", into, (plate,), at=(0, 400))
    above = Node("Expression", "BD_patch_to_model", into, (placed,), at=(220, 400))
    apart = _merged("BD_difference", per_channel("A{0}-B{0}"), below, above, (220, 500))
    # The difference is known inside the outline only; its alpha says where.
    known = _merged("BD_inside", {**per_channel("B{0}*Aa"), "expr3": "Aa"}, apart, outline, (220, 600))
    wide = Node("Blur", "BD_light", {"channels": "rgba", "size": light_size}, (known,), at=(330, 680))
    detail = _merged("BD_detail", per_channel("B{0}-A{0}*Ba/max(Aa,0.000001)"), known, wide, (220, 760))
    shaped = _merged("BD_shaped", per_channel("B{0}*Aa"), detail, matte, (220, 840))
    both = _merged("BD_add", per_channel("B{0}+A{0}"), below, shaped, (0, 900))
    back = Node("Expression", "BD_from_model", out, (both,), at=(0, 960))
    # Where the matte is 0 the plate passes as it is, to the bit.
    touched = Node("Expression", "BD_touched", {"expr3": braced("a>0?1:0")}, (matte,), at=(440, 960))
    over = Node("Keymix", "BD_over_plate", {"channels": "rgb"}, (plate, back, touched), at=(0, 1040))
    return [below, above, apart, known, wide, detail, shaped, both, back, touched, over]


def to_model_expression(space: ModelSpace) -> str:
    """`modelspace.to_model` of a channel, written {0}, in Nuke's expression language."""
    slope, power = number(space.toe_slope), number(1 / space.gamma)
    a, rise = number(space.offset), number(space.white_slope / space.shoulder)
    curve = f"{number(space.white)}*({number(1 + space.offset)}*pow(max({{0}},{number(space.cut)}),{power})-{a})"
    log = f"{number(space.white)}+{number(space.shoulder)}*log(1+max({{0}}-1,0)*{rise})"
    return f"{{0}}<{number(space.cut)}?{{0}}*{slope}:({{0}}>1?{log}:{curve})"


def from_model_expression(space: ModelSpace) -> str:
    """`modelspace.from_model` of a channel, written {0}, in Nuke's expression language."""
    low = number(space.toe_slope * space.cut)
    base = f"(max({{0}},{low})/{number(space.white)}+{number(space.offset)})/{number(1 + space.offset)}"
    power = f"pow({base},{number(space.gamma)})"
    above = f"max({{0}}-{number(space.white)},0)/{number(space.shoulder)}"
    exponential = f"1+{number(space.shoulder / space.white_slope)}*(exp({above})-1)"
    return f"{{0}}<{low}?{{0}}/{number(space.toe_slope)}:({{0}}>{number(space.white)}?{exponential}:{power})"


def per_channel(expression: str) -> dict[str, str]:
    """The knobs of an expression node that does the same to R, G and B, each written {0}."""
    return {f"expr{index}": braced(expression.replace("{0}", name)) for index, name in enumerate(CHANNELS)}


def _merged(name: str, knobs: dict[str, str], b: Node, a: Node, at: tuple[int, int]) -> Node:
    return Node("MergeExpression", name, knobs, (b, a), at=at)
