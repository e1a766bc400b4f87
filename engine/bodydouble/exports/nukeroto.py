"""A moving outline as the `curves` of Nuke's Roto node, with a key for every point in every frame.

The text is Nuke's own save format, which is not published. It is written as Nuke 13 to 15 save it: an ``x`` and eight
hexadecimal digits are the bits of a float32; a layer `Root` holds curve groups; each has one curve `cc` for the shape
and one for its feather (``idem``: the same); a point is three entries, the handle before it, its place, the handle
after it; a value that moves is a list of ``{time value}`` keys. Coordinates are Nuke's, y up.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SHAPE_FLAGS, _CURVE_FLAGS, _ROOT_FLAGS = 512, 8192, 2097152
_VERSION = 1.2


def roto_curves(shape: str, frames: Sequence[int], points_nuke: NDArray[np.float64], width: int, height: int) -> str:
    """The value of a Roto node's `curves` knob: one closed shape with straight sides.

    Args:
        shape: its name; blanks become "_".
        frames: N frame numbers, rising.
        points_nuke: (N, K, 2) corners in Nuke's coordinates; corner k is the same spot in every frame.
        width, height: of the format; the shape's pivot starts in its middle.
    """
    name = re.sub(r"\W", "_", shape) or "Shape"
    still = "{0 0}"
    points = " ".join(
        f"{still} {{{_keys(frames, points_nuke[:, k, 0])} {_keys(frames, points_nuke[:, k, 1])}}} {still}"
        for k in range(points_nuke.shape[1])
    )
    middle = f"{_float(width / 2)} {_float(height / 2)}"
    group = (
        f"{{curvegroup {name} {_SHAPE_FLAGS} bezier {{{{cc {{f {_CURVE_FLAGS}}} {{p {points}}}}} idem}} "
        f"{{t {middle}}} {{a vis 1 r 1 g 1 b 1 a 1 str 1 spx {_float(width / 2)} spy {_float(height / 2)} sb 1}}}}"
    )
    root = f"{{layer Root {{f {_ROOT_FLAGS}}} {{t {middle}}} {{a}} {group}}}"
    return f"{{{{{{v {_float(_VERSION)}}} {{f 0}} {{n {root}}}}}}}"


def _keys(frames: Sequence[int], values: NDArray[np.float64]) -> str:
    return "{" + " ".join(f"{{{_float(f)} {_float(v)}}}" for f, v in zip(frames, values, strict=True)) + "}"


def _float(value: float) -> str:
    """A number as Nuke saves it in curves: 0, or the bits of the nearest float32."""
    bits = struct.pack(">f", value)
    return "0" if not any(bits) else "x" + bits.hex()
