"""What a crop is worth to a training: its figures, and how much it differs from another.

* **pose**: yaw, pitch and roll of the head from the landmarks (`likeness.head_pose`, scaled orthography).
* **sharpness**: the crop at 192², in model space at one exposure, is filtered along x and along y into two octaves of
  detail (differences of Gaussians of 0.7, 1.4 and 2.8 px); it is the contrast of the finer one inside the matte over
  that of the coarser, of the direction that has less: motion blurs one direction. A ratio, so neither contrast nor
  exposure count, only how detail falls off.
* **exposure**: mean of log₂ of the face's luminance in the matte, in stops over middle grey (0.18).
* **difference** of two crops: of both the luminance at 32², in model space at one exposure; the root of the mean square
  in that of the 4×4 parts of the crop where it is largest. So a lid that closes counts, noise and exposure do not.

How the measures behave, and where the thresholds come from: ``docs/facesets.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, plate_from_square, similarity_scale
from bodydouble.alignment.shotfaces import Face
from bodydouble.plates.colour import LUMINANCE
from bodydouble.plates.modelspace import ModelSpace, to_model
from bodydouble.reviews.likeness import head_pose
from bodydouble.training.cropfiles import Crop

Grid = NDArray[np.float32]

MIDDLE_GREY = 0.18
_LUMINANCE = np.array(LUMINANCE, np.float32)
_DARKEST = 2.0**-10
"""Light below counts as this: noise around black has no logarithm."""
_SHARPNESS_PX, _PRINT_PX, _PARTS = 192, 32, 4
_OCTAVES_PX = (0.7, 1.4, 2.8)
_EXPOSED = ModelSpace()


@dataclass(frozen=True)
class CropFigures:
    """The figures of one crop.

    Attributes:
        yaw_deg, pitch_deg, roll_deg: of the head; > 0 turns to image right, looks up, tilts clockwise.
        sharpness: as the module says; 0.5 to 0.7 for a face that is sharp, 0.4 for one moved by 3 % of the crop.
        exposure_stops: mean log₂ luminance of the face over middle grey.
        side_px: pixels of the plate across the unit crop; below the crop's size it was enlarged.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    sharpness: float
    exposure_stops: float
    side_px: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CropFigures | None:
        """The inverse of `as_dict`; None where there are none, as in facesets of before.

        Errors: ValueError, TypeError where they are no numbers.
        """
        names = [field.name for field in fields(cls)]
        if not any(name in data for name in names):
            return None
        values = {name: float(data.get(name, math.nan)) for name in names}
        if not all(map(math.isfinite, values.values())):
            raise ValueError(f"the figures of {data.get('file')} are no numbers")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Print:
    """A crop as small as tells it from others: 32×32 model-space luminance at one exposure, and its matte."""

    luminance: Grid
    matte: Grid


def crop_figures(crop: Crop, pad: int, face: Face, pixel_aspect: float) -> CropFigures:
    """The figures of a crop (H×W×4 with `pad` around the unit crop), whose face lies so in its plate."""
    square = apply(np.linalg.inv(plate_from_square(pixel_aspect)), face.landmarks_px)
    yaw, pitch, roll = (float(angle) for angle in head_pose(square))
    unit = _unit(crop, pad)
    light, matte = _shrunk(unit, _SHARPNESS_PX)
    return CropFigures(
        yaw,
        pitch,
        roll,
        _sharpness(_exposed(light, matte), matte),
        _stops(unit[..., :3] @ _LUMINANCE, unit[..., 3]),
        1 / similarity_scale(face.unit_from_plate),
    )


def crop_print(crop: Crop, pad: int) -> Print:
    """What two crops are compared by."""
    light, matte = _shrunk(_unit(crop, pad), _PRINT_PX)
    return Print(_exposed(light, matte), matte)


class Prints:
    """A growing collection of prints, to ask which of them is nearest to another."""

    def __init__(self, named: Iterable[tuple[str, Print]] = ()) -> None:
        self._names: list[str] = []
        self._luminance: list[Grid] = []
        self._matte: list[Grid] = []
        for name, one in named:
            self.add(name, one)

    def add(self, name: str, one: Print) -> None:
        """Take one more in."""
        self._names.append(name)
        self._luminance.append(one.luminance)
        self._matte.append(one.matte)

    def nearest(self, one: Print) -> tuple[str, float]:
        """Name and difference of the print nearest to `one`; ("", inf) where there is none."""
        best = ("", math.inf)
        for start in range(0, len(self._names), 256):
            part = slice(start, start + 256)
            away = _differences(one, np.stack(self._luminance[part]), np.stack(self._matte[part]))
            index = int(away.argmin())
            if away[index] < best[1]:
                best = (self._names[start + index], float(away[index]))
        return best


def _differences(one: Print, luminance: Grid, matte: Grid) -> Grid:
    """(N,) differences of a print to N others (N×32×32)."""
    weight = np.asarray((matte + one.matte) / 2, np.float32)
    squares = _parts(weight * np.square(luminance - one.luminance))
    # A part that the matte only touches is compared with a quarter of a whole one.
    whole = (_PRINT_PX // _PARTS) ** 2
    return np.asarray(np.sqrt(squares / np.maximum(_parts(weight), whole / 4)).max(axis=(1, 2)))


def _parts(grids: Grid) -> Grid:
    """N×32×32 summed in each of the parts: N×4×4."""
    step = _PRINT_PX // _PARTS
    return np.asarray(grids.reshape(len(grids), _PARTS, step, _PARTS, step).sum(axis=(2, 4)))


def _unit(crop: Crop, pad: int) -> Crop:
    """The unit crop without its padding."""
    height, width = crop.shape[:2]
    return crop[pad : height - pad, pad : width - pad]


def _shrunk(unit: Crop, side: int) -> tuple[Grid, Grid]:
    """Luminance, not below 0, and matte at side²."""
    both = np.stack([unit[..., :3] @ _LUMINANCE, unit[..., 3]])
    small = F.interpolate(torch.from_numpy(both)[None], size=(side, side), mode="bilinear", antialias=True)[0].numpy()
    return np.maximum(small[0], 0), small[1]


def _stops(light: Grid, matte: Grid) -> float:
    """Mean log₂ of the light in the matte, over middle grey."""
    stops = np.log2(np.maximum(light, _DARKEST) / MIDDLE_GREY)
    return float((matte * stops).sum() / max(float(matte.sum()), 1e-6))


def _exposed(light: Grid, matte: Grid) -> Grid:
    """Luminance in model space, exposed so that the face is middle grey."""
    return np.asarray(to_model(light * np.float32(2 ** -_stops(light, matte)), _EXPOSED), np.float32)


def _sharpness(picture: Grid, matte: Grid) -> float:
    rows = torch.from_numpy(np.stack([picture, picture.T]))[:, None]  # 2, 1, S, S: filtered along the last
    fine, middle, coarse = (_blurred(rows, sigma) for sigma in _OCTAVES_PX)
    weight = torch.from_numpy(np.stack([matte, matte.T]))[:, None]
    finer, coarser = ((weight * octave**2).sum(dim=(1, 2, 3)) for octave in (fine - middle, middle - coarse))
    return float((finer / coarser.clamp(min=1e-12)).sqrt().min())


def _blurred(rows: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """N×1×H×W blurred along each row."""
    reach = math.ceil(3 * sigma_px)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma_px) ** 2)
    return F.conv2d(F.pad(rows, (reach, reach, 0, 0), mode="replicate"), (taps / taps.sum())[None, None, None])
