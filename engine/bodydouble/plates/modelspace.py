"""Model space: the colour encoding the network sees.

Scene-linear light in the working primaries goes through one closed-form curve, per channel:

* below ``cut`` (and for negative values) a straight line through the origin,
* up to diffuse white (1.0) the display-like power ``(1 + a)·x^(1/g) − a``, scaled so that white lands at ``white``:
  SSIM's constants assume display-like contrast, and a pure log curve would hide skin detail from the loss,
* above white a logarithmic shoulder.

All three join with equal value and slope (C1). With the defaults scene-linear 16 maps to 0.9997, so four stops above
diffuse white stay inside [0, 1]; values beyond keep an exact inverse outside it. In float32 a round trip of 0..16 is
exact to 1e-6 and every half-float value comes back as it was. NaN stays NaN and ±Inf stays ±Inf, both ways, each in its
own pixel and channel. See ``docs/colour.md``.

The functions take numpy arrays or torch tensors of any shape, float32 or float64, and return the same kind. They read
no other state than the `ModelSpace` given, which is stored in every model.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array", bound=Any)


@dataclass(frozen=True)
class ModelSpace:
    """Primaries and constants of the curve.

    Attributes:
        primaries: OpenColorIO name of the scene-linear working space the curve is applied on.
        gamma: g, exponent of the power section.
        offset: a, offset of the power section.
        white: model-space value of scene-linear 1.0.
        shoulder: b, model-space units per e-fold of the logarithmic section.
    """

    primaries: str = "ACEScg"
    gamma: float = 2.4
    offset: float = 0.055
    white: float = 0.7
    shoulder: float = 0.0717

    def __post_init__(self) -> None:
        in_range = 1 < self.gamma < 100 and 0 < self.offset < 1 and 0 < self.white < 1 and 0 < self.shoulder < 100
        if not in_range or not isinstance(self.primaries, str):
            raise ValueError(f"not a model space: {self}")

    @property
    def cut(self) -> float:
        """Scene-linear value where the tangent through the origin touches the power section."""
        return float((self.offset / ((1 + self.offset) * (1 - 1 / self.gamma))) ** self.gamma)

    @property
    def toe_slope(self) -> float:
        """Slope of the straight line, model space per scene-linear unit."""
        cut = self.cut
        return float(self.white * ((1 + self.offset) * cut ** (1 / self.gamma) - self.offset) / cut)

    @property
    def white_slope(self) -> float:
        """Slope of the curve at diffuse white."""
        return self.white * (1 + self.offset) / self.gamma

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def to_model(linear: Array, space: ModelSpace) -> Array:
    """Scene-linear light in ``space.primaries`` to model space (see the module docstring)."""
    xp = _namespace(linear)
    # Each section stands still where the other rises: their sum is the curve, without a choice for every pixel. In
    # place, as pictures are large.
    curved = xp.clip(linear, space.cut, 1.0) ** (1 / space.gamma)
    curved *= space.white * (1 + space.offset)
    above = xp.clip(linear, 1.0, None)
    above -= 1.0
    above *= space.white_slope / space.shoulder
    logged = xp.log1p(above)
    logged *= space.shoulder
    logged -= space.white * space.offset
    curved += logged
    # The line is the curve's tangent and the curve is concave: the line is the lower one only below the cut.
    return xp.minimum(linear * space.toe_slope, curved)


def from_model(encoded: Array, space: ModelSpace) -> Array:
    """Model space to scene-linear light in ``space.primaries``: the exact inverse of `to_model`."""
    xp = _namespace(encoded)
    low = space.toe_slope * space.cut
    base = (xp.clip(encoded, low, space.white) / space.white + space.offset) / (1 + space.offset)
    above = xp.clip(encoded, space.white, None) - space.white
    exponential = 1.0 + (space.shoulder / space.white_slope) * xp.expm1(above / space.shoulder)
    curved = xp.where(encoded > space.white, exponential, base**space.gamma)
    return xp.where(encoded < low, encoded / space.toe_slope, curved)


def _namespace(array: Any) -> Any:
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np
