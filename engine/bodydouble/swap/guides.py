"""What a swap may be given beside the plate and the faces: an artist's mattes, and the shot's grain and blur.

Mattes are image sequences of the plate's size: `matte_in` says where the new face may show (1 everywhere it may),
`holdout` what lies in front of it (1 where the plate must stay). Everything here is a function of the frame number
alone, so a frame gets the same pixels in whatever chunk it is done.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodydouble.errors import InputError, UsageError, near_names
from bodydouble.plates.images import read_plate
from bodydouble.plates.plate import Part, Plate, Region
from bodydouble.plates.sequences import PlateSequence
from bodydouble.swap.grain import ShotGrain
from bodydouble.swap.spread import FrameSpread, ShotSpread


@dataclass(frozen=True)
class MatteFiles:
    """A matte as image files. `channel`: None for alpha where there is one, else the first channel."""

    sequence: PlateSequence
    channel: str | None = None

    def read(self, frame: int, region: Region, size: tuple[int, int]) -> NDArray[np.float32]:
        """H×W in [0, 1] over a region of the plate; 0 where the file has no data, and for NaN.

        Args:
            frame: its number.
            region: of the plate, display-window pixels.
            size: (width, height) of the plate.

        Errors: InputError for a frame that is missing or of another size; UsageError for an unknown channel.
        """
        path = self.sequence.path(frame)
        if not path.exists():
            raise InputError(f"{path} does not exist; the matte needs every frame that is swapped.")
        picture = read_plate(path)
        part, name = _channel(picture, self.channel)
        has = int(part.spec.full_width), int(part.spec.full_height)
        if has != size:
            found, wanted = f"{has[0]}×{has[1]}", f"{size[0]}×{size[1]}"
            raise InputError(f"{path} is {found}, the plate {wanted}; a matte must have the plate's size.")
        return np.nan_to_num(_over(part, name, region)).clip(0, 1)

    def content(self, frame: int) -> list[str]:
        """What tells one content of a frame's file from another."""
        path = self.sequence.path(frame)
        if not path.exists():
            return ["missing"]
        with path.open("rb") as handle:
            return [hashlib.file_digest(handle, "sha256").hexdigest(), self.channel or ""]


@dataclass(frozen=True, eq=False)
class FrameGuides:
    """The guides of one frame over a region of the plate.

    Attributes:
        shown: 1×1×H×W, how much of the new face may show; None for all of it.
        clear: 1×1×H×W, 0 where something lies in front of the face, of which the swap knows nothing; None for nothing.
        grain: the shot's; None to add none.
        frame: seed of the grain.
        spread: blur that the frame's swap lacks; None to add none.
    """

    shown: Tensor | None = None
    clear: Tensor | None = None
    grain: ShotGrain | None = None
    frame: int = 0
    spread: FrameSpread | None = None


@dataclass(frozen=True)
class Guides:
    """The guides of a shot; each may be missing."""

    matte_in: MatteFiles | None = None
    holdout: MatteFiles | None = None
    grain: ShotGrain | None = None
    spread: ShotSpread | None = None

    def read(self, frame: int, region: Region, size: tuple[int, int], device: torch.device) -> FrameGuides:
        """The guides of a frame; see `MatteFiles.read`."""
        shown = clear = None
        if self.holdout is not None:
            clear = shown = 1 - _tensor(self.holdout.read(frame, region, size), device)
        if self.matte_in is not None:
            given = _tensor(self.matte_in.read(frame, region, size), device)
            shown = given if shown is None else shown * given
        return FrameGuides(shown, clear, self.grain, frame, self._spread(frame))

    def _spread(self, frame: int) -> FrameSpread | None:
        return None if self.spread is None else self.spread.frames.get(frame)

    def content(self, frame: int) -> dict[str, Any]:
        """What the guides add to the things a frame is made of; empty without any."""
        files = {"matte_in": self.matte_in, "holdout": self.holdout}
        parts: dict[str, Any] = {name: files[name].content(frame) for name in files if files[name] is not None}  # type: ignore[union-attr]
        if self.grain is not None:
            parts["grain"] = self.grain.to_document()
        spread = self._spread(frame)
        return parts if spread is None else {**parts, "spread": [spread.defocus, *spread.motion]}


def _tensor(matte: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(matte).to(device)[None, None]


def _channel(picture: Plate, name: str | None) -> tuple[Part, str]:
    """The part and channel that hold the matte."""
    if name is None:
        first = picture.parts[0]
        return next(((part, "A") for part in picture.parts if "A" in part.channels), (first, first.channels[0]))
    for part in picture.parts:
        if name in part.channels:
            return part, name
    known = [channel for part in picture.parts for channel in part.channels]
    raise UsageError(f"{picture.path} has no channel {name}. {near_names(name, known)}")


def _over(part: Part, name: str, region: Region) -> NDArray[np.float32]:
    """A channel over a region, 0 where the part has no data."""
    x0, y0, x1, y1 = part.data_region
    left, top, right, bottom = max(x0, region[0]), max(y0, region[1]), min(x1, region[2]), min(y1, region[3])
    result = np.zeros((region[3] - region[1], region[2] - region[0]), np.float32)
    if left < right and top < bottom:
        pixels = part.channel(name)[top - y0 : bottom - y0, left - x0 : right - x0]
        scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        result[top - region[1] : bottom - region[1], left - region[0] : right - region[0]] = pixels / scale
    return result
