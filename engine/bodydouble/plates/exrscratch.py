"""An uncompressed scanline EXR from numpy arrays of mixed types, for the one thing OpenImageIO's Python cannot do.

`ImageOutput.write_image` takes one numpy type and converts it to each channel's type, through float: object ids in
`uint` channels and signalling NaNs in `half` channels do not survive that. `ImageOutput.copy_image` does copy native
bytes from an open file, so `images` writes a mixed part here first and lets OpenImageIO copy it from there.

Source: OpenEXR File Layout, https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

PIXEL_TYPES = {"uint32": 0, "float16": 1, "float32": 2}
LONG_NAMES = 0x400
COMPRESSION_NONE = b"\x00"
INCREASING_Y = b"\x00"


def write_scratch(path: Path, names: Sequence[str], pixels: Sequence[np.ndarray]) -> None:
    """Write H×W arrays of float16, float32 or uint32 as one scanline part whose windows start at (0, 0).

    Errors: OSError of the file system as it is.
    """
    height, width = pixels[0].shape
    order = sorted(range(len(names)), key=lambda index: names[index].encode())
    row = np.dtype([(f"c{index}", pixels[index].dtype.newbyteorder("<"), (width,)) for index in order])
    block = np.dtype([("y", "<i4"), ("size", "<i4"), ("pixels", row)])
    chunks = np.empty(height, block)
    chunks["y"], chunks["size"] = np.arange(height), row.itemsize
    for index in order:
        chunks["pixels"][f"c{index}"] = pixels[index]
    head = _header([(names[index], pixels[index].dtype.name) for index in order], width, height)
    offsets = len(head) + 8 * height + np.arange(height, dtype="<u8") * block.itemsize
    with open(path, "wb") as file:
        file.write(head)
        offsets.tofile(file)
        chunks.tofile(file)


def _header(channels: list[tuple[str, str]], width: int, height: int) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channel_list = b"".join(
        name.encode() + b"\x00" + struct.pack("<iiii", PIXEL_TYPES[dtype], 0, 1, 1) for name, dtype in channels
    )
    attributes = (
        ("channels", "chlist", channel_list + b"\x00"),
        ("compression", "compression", COMPRESSION_NONE),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", INCREASING_Y),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    version = 2 | (LONG_NAMES if any(len(name.encode()) > 31 for name, _ in channels) else 0)
    body = b"".join(
        name.encode() + b"\x00" + kind.encode() + b"\x00" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return struct.pack("<II", 20000630, version) + body + b"\x00"
