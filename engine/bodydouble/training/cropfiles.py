"""A crop on disk: half-float EXR, or 16-bit PNG with the matte beside it.

A crop is H×W×4 float32: scene-linear light in the faceset's primaries, and the matte.

* ``crops/NAME.exr``: half float, channels R, G, B, ``matte``: every value as a plate has it, to a part in 2000.
* ``crops/NAME.png`` and ``mattes/NAME.png``: 16 bits, for programs that read no EXR. Light is in *model space* (the
  curve of `modelspace`, whose constants stand in ``faceset.json``): 1 is scene-linear 16. **Lost** is light above that
  and below 0, which becomes 16 and 0. In between a PNG is finer than half: a step at middle grey is a part in 10 000.
  The matte has a file of its own: as the alpha of the first, programs would multiply the light outside it away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bodydouble.plates.images import read_image, write_image
from bodydouble.plates.modelspace import ModelSpace, from_model, to_model

Crop = NDArray[np.float32]
Format = Literal["exr", "png"]

HALF_MAX = 65504.0
FINEST = 65535
CHANNELS = ("R", "G", "B", "matte")


def write_crop(path: Path, crop: Crop, space: ModelSpace) -> None:
    """Write a crop in the format that the name's suffix says; ``path`` lies in the folder ``crops``.

    Errors: OutputError.
    """
    if path.suffix == ".exr":
        write_image(path, crop, channel_names=CHANNELS, format="half", compression="zip")
        return
    write_image(matte_path(path), crop[..., 3:], format="uint16")
    write_image(path, to_model(crop[..., :3], space), format="uint16")


def read_crop(path: Path, space: ModelSpace) -> Crop:
    """The crop that a file holds; finite, whatever the file holds.

    Errors: PlateError for a file, or a PNG's matte, that is missing or unreadable.
    """
    pixels = read_image(path)
    if path.suffix != ".exr":
        matte = read_image(matte_path(path))[..., :1]
        pixels = np.concatenate([from_model(pixels[..., :3], space), matte], axis=2)
    # A firefly beyond half's range would come out of resampling as NaN and end in every weight.
    return np.clip(np.nan_to_num(pixels), -HALF_MAX, HALF_MAX)


def stored(crop: Crop, format: Format, space: ModelSpace) -> Crop:
    """What `read_crop` will find of a crop that is written: figures and comparisons are made of this."""
    if format == "exr":
        return np.clip(crop, -HALF_MAX, HALF_MAX).astype(np.float16).astype(np.float32)
    encoded = np.concatenate([to_model(crop[..., :3], space), crop[..., 3:]], axis=2)
    encoded = np.rint(np.clip(encoded, 0, 1) * FINEST).astype(np.float32) * np.float32(1 / FINEST)
    return np.concatenate([from_model(encoded[..., :3], space), encoded[..., 3:]], axis=2)


def matte_path(path: Path) -> Path:
    """Where the matte of a PNG crop lies."""
    return path.parent.parent / "mattes" / path.name


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a crop consists of."""
    return (path,) if path.suffix == ".exr" else (path, matte_path(path))
