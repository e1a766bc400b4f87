"""Image files made by OpenImageIO alone, for what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio


def save(path: Path, pixels: np.ndarray, kind: oiio.TypeDesc, **changes: object) -> Path:
    """A file made by OpenImageIO alone; `changes` are spec fields, or attributes when their name has a colon."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    for name, value in changes.items():
        if hasattr(spec, name):
            setattr(spec, name, value)
        else:
            spec.attribute(name, value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec) and output.write_image(np.ascontiguousarray(pixels)) and output.close()
    return path
