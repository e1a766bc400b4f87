"""Image files in and out: the only module that imports OpenImageIO.

A *plate* is one file read whole: every part (subimage), channel, attribute and window is kept, and pixels stay in the
type they have on disk (half, float, uint), so what is not replaced is written again bit-identical: NaN payloads,
-0.0, denormals and 32-bit ids included. JPEG, PNG, TIFF and DPX are plates too: their channels become float32 in
[0, 1], still in the file's encoding; `colour` says which.

Kept from files with several resolutions (MIP and RIP maps): the full one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from bodydouble.errors import OutputError, PlateError, UsageError
from bodydouble.exrscratch import write_scratch
from bodydouble.plate import DTYPES, Header, Part, Plate, Region, to_type
from bodydouble.writing import atomic_path, scratch_folder

__all__ = [
    "Header", "Part", "Plate", "Region", "output_compression", "output_compression_of", "read_headers", "read_image",
    "read_plate", "write_image", "write_plate",
]  # fmt: skip

TYPES = {"half": oiio.HALF, "float": oiio.FLOAT, "uint": oiio.UINT32, "uint8": oiio.UINT8, "uint16": oiio.UINT16}
LOSSY_COMPRESSIONS = frozenset({"b44", "b44a", "dwaa", "dwab"})
LOSSY_FOR_FLOAT = "pxr24"
LOSSLESS_DEFAULT = "zip"
# Deflate, the best packer in EXR, shrinks at most 1032:1. A header that claims more than that is lying, and
# allocating what it asks for could take the machine down; small claims cost nothing and are let through.
MAX_EXPANSION = 2000
ALWAYS_ALLOWED_BYTES = 256 << 20


def read_headers(path: str | Path) -> tuple[Header, ...]:
    """What every part of an image file says of itself. Errors: PlateError naming the file."""
    file = _open(Path(path))
    try:
        return tuple(_header(spec) for spec in _part_specs(file, Path(path)))
    finally:
        file.close()


def read_plate(path: str | Path) -> Plate:
    """Read a file whole. Errors: PlateError for a missing, damaged, deep or foreign file, naming it."""
    path = Path(path)
    file = _open(path)
    try:
        specs = list(_part_specs(file, path))
        _refuse_unsupported(specs, path)
        exr = file.format_name() == "openexr"
        return Plate(path, tuple(_read_part(file, index, spec, path, exr) for index, spec in enumerate(specs)))
    finally:
        file.close()


def output_compression(plate: Plate, requested: str | None = None) -> tuple[str, str]:
    """The compression `write_plate` gives the main part, and a sentence when it is not the plate's own (else "")."""
    return output_compression_of(plate.main, requested)


def output_compression_of(part: Header, requested: str | None = None) -> tuple[str, str]:
    """The compression a part is written with, and a sentence when it is not its own (else "").

    A lossy compression would change pixels that nobody touched, so such plates are written with zip unless the
    caller asks otherwise.
    """
    name = _compression(part, requested)
    if requested and name.split(":")[0] in LOSSY_COMPRESSIONS:
        return name, f"{name} is lossy: pixels outside the matte will differ a little from the plate."
    if not requested and name != part.compression and part.compression != "none":
        return name, f"The plate's {part.compression} is lossy; {name} keeps untouched pixels bit-identical."
    return name, ""


def write_plate(path: str | Path, plate: Plate, compression: str | None = None) -> None:
    """Write a plate as EXR: its own types, windows, tiles, channel order and attributes, all or nothing.

    The file appears under its name only when it is complete. compression: see `output_compression`; a level is
    written as in "dwaa:60". Errors: OutputError (disk, permissions), UsageError (not .exr, or the plate itself).
    """
    path = Path(path)
    if path.suffix.lower() != ".exr":
        raise UsageError(f"{path}: plates are written as EXR; give the output a name that ends in .exr.")
    if path.exists() and plate.path.exists() and path.samefile(plate.path):
        raise UsageError(f"{path}: this is the plate itself; name another folder or pattern for the output.")
    with atomic_path(path) as temporary:
        _write_parts(temporary, path, plate, compression)


def read_image(path: str | Path) -> np.ndarray:
    """H×W×C float32 of a file's first part (its data window), integer files scaled to [0, 1]. Errors: PlateError."""
    return np.stack(read_plate(path).parts[0].pixels, axis=-1).astype(np.float32)


def write_image(
    path: str | Path,
    pixels: np.ndarray,
    channel_names: Sequence[str] | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
    format: str | None = None,
    compression: str | None = None,
) -> None:
    """Write H×W×C (or H×W) floats, all or nothing: EXR in half, PNG, JPEG or TIFF in 8 bits unless `format` says.

    format: "half", "float", "uint8" or "uint16"; integers store values clipped to [0, 1], NaN as 0. A uint8 array is
    written as it is. Errors: OutputError naming the path and the reason.
    """
    path = Path(path)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    format = format or ("half" if path.suffix.lower() == ".exr" else "uint8")
    height, width, count = pixels.shape
    spec = oiio.ImageSpec(width, height, count, TYPES[format])
    if channel_names is not None:
        spec.channelnames = tuple(channel_names)
    if compression:
        spec.attribute("compression", compression)
    for name, value in (attributes or {}).items():
        spec.attribute(name, value)
    with atomic_path(path) as temporary:
        output = _create(temporary, path, [spec])
        _finish(output, output.write_image(_encoded(pixels, format)), path)


def _encoded(pixels: np.ndarray, format: str) -> np.ndarray:
    if pixels.dtype == np.uint8 or format not in ("uint8", "uint16"):
        kept = pixels if pixels.dtype == np.uint8 else to_type(pixels, np.dtype(DTYPES[format]))
        return np.ascontiguousarray(kept)
    scale, dtype = (255, np.uint8) if format == "uint8" else (65535, np.uint16)
    return np.ascontiguousarray(np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * scale).astype(dtype))


def _error_text(source: Any) -> str:
    """OpenImageIO's message on one line; of some damaged files it holds bytes that are no text."""
    try:
        return " ".join(str(source.geterror()).split()).rstrip(".") or "no reason given"
    except UnicodeDecodeError:
        return "the file is damaged"


def _open(path: Path) -> oiio.ImageInput:
    if not path.is_file():
        raise PlateError(f"{path}: {'this is a folder, not a file' if path.is_dir() else 'no such file'}.")
    file = oiio.ImageInput.open(str(path))
    if file is None:
        reason = _error_text(oiio)
        if "ubsampled" in reason:
            raise PlateError(
                f"{path}: luminance/chroma (subsampled) channels are not supported; convert it to R, G, B."
            )
        raise PlateError(f"{path}: cannot be read as an image ({reason}). Render or copy it again.")
    return file


def _part_specs(file: oiio.ImageInput, path: Path) -> Iterator[oiio.ImageSpec]:
    count = 0
    while file.seek_subimage(count, 0):
        spec = file.spec().copy()
        expected = int(spec.getattribute("oiio:subimages") or 1)
        count += 1
        yield spec
    if count == 0 or count < expected:
        raise PlateError(f"{path}: part {count + 1} cannot be read ({_error_text(file)}). Render or copy it again.")
    # Asking for one part too many leaves an error behind that reading pixels would take for its own.
    _error_text(file)


def _refuse_unsupported(specs: Iterable[oiio.ImageSpec], path: Path) -> None:
    claimed = 0
    for index, spec in enumerate(specs):
        if spec.deep:
            raise PlateError(f"{path}: part {index + 1} is deep, which is not supported; flatten it first.")
        if spec.depth > 1:
            raise PlateError(f"{path}: part {index + 1} is a volume, not an image.")
        claimed += spec.width * spec.height * spec.nchannels * 4
    size = path.stat().st_size
    if claimed > max(ALWAYS_ALLOWED_BYTES, size * MAX_EXPANSION):
        raise PlateError(f"{path}: its header claims {claimed >> 20} MiB of pixels, but the file has {size} bytes.")


def _header(spec: oiio.ImageSpec) -> Header:
    per_channel = tuple(str(kind) for kind in spec.channelformats)
    return Header(spec, tuple(spec.channelnames), per_channel or (str(spec.format),) * spec.nchannels)


def _read_part(file: oiio.ImageInput, index: int, spec: oiio.ImageSpec, path: Path, exr: bool) -> Part:
    header = _header(spec)
    formats = header.formats if exr else ("float",) * spec.nchannels
    pixels: list[np.ndarray] = []
    while len(pixels) < len(formats):
        start = len(pixels)
        end = next((i for i in range(start, len(formats)) if formats[i] != formats[start]), len(formats))
        block = file.read_image(index, 0, start, end, TYPES[formats[start]])
        if block is None or file.has_error:
            raise PlateError(f"{path}: pixels cannot be read ({_error_text(file)}). Render or copy it again.")
        block = block.reshape(spec.height, spec.width, end - start)
        pixels += [block[..., channel] for channel in range(end - start)]
    return Part(spec, header.channels, formats, tuple(pixels)) if exr else _picture_part(header, pixels)


def _picture_part(header: Header, pixels: list[np.ndarray]) -> Part:
    """A part of a file that is not EXR; one grey channel becomes R, G, B, as the picture it is."""
    names, spec = header.channels, header.spec.copy()
    if len(names) <= 2 and "R" not in names:
        names, pixels = ("R", "G", "B", "A")[: 2 + len(names)], [pixels[0]] * 3 + pixels[1:]
    for name in ("compression", "oiio:BitsPerSample"):
        spec.erase_attribute(name)
    spec.tile_width = spec.tile_height = spec.tile_depth = 0
    return Part(spec, names, ("float",) * len(names), tuple(pixels))


def _compression(part: Header, requested: str | None) -> str:
    if requested:
        return requested
    lossy = part.compression in LOSSY_COMPRESSIONS or (part.compression == LOSSY_FOR_FLOAT and "float" in part.formats)
    known = part.spec.getattribute("compression") is not None
    return LOSSLESS_DEFAULT if lossy or not known else part.compression


def _output_spec(part: Part, requested: str | None) -> oiio.ImageSpec:
    spec = part.spec.copy()
    spec.attribute("compression", _compression(part, requested))
    for name in ("openexr:levelmode", "openexr:roundingmode", "openexr:chunkCount"):
        spec.erase_attribute(name)
    spec.nchannels = len(part.channels)
    spec.channelnames = part.channels
    mixed = len(set(part.formats)) > 1
    spec.format = oiio.FLOAT if mixed else TYPES[part.formats[0]]
    spec.channelformats = tuple(TYPES[kind] for kind in part.formats) if mixed else ()
    return spec


def _create(temporary: Path, path: Path, specs: Sequence[oiio.ImageSpec]) -> oiio.ImageOutput:
    output = oiio.ImageOutput.create(str(temporary))
    if output is None:
        raise OutputError(f"{path}: cannot be written ({_error_text(oiio)}).")
    opened = output.open(str(temporary), specs[0]) if len(specs) == 1 else output.open(str(temporary), tuple(specs))
    if not opened:
        raise OutputError(f"{path}: cannot be written ({_error_text(output)}).")
    return output


def _finish(output: oiio.ImageOutput, written: bool, path: Path) -> None:
    reason = "" if written else _error_text(output)
    if not output.close() or not written:
        raise OutputError(f"{path}: cannot be written ({reason or _error_text(output)}).")


def _write_parts(temporary: Path, path: Path, plate: Plate, compression: str | None) -> None:
    specs = [_output_spec(part, compression) for part in plate.parts]
    output = _create(temporary, path, specs)
    written = True
    for index, (part, spec) in enumerate(zip(plate.parts, specs, strict=True)):
        written = written and (index == 0 or output.open(str(temporary), spec, "AppendSubimage"))
        written = written and _write_pixels(output, part)
    _finish(output, written, path)


def _write_pixels(output: oiio.ImageOutput, part: Part) -> bool:
    if len(set(part.formats)) == 1:
        return output.write_image(np.stack(part.pixels, axis=-1))
    with scratch_folder() as folder:
        write_scratch(folder / "mixed.exr", part.channels, part.pixels)
        native = _open(folder / "mixed.exr")
        try:
            return output.copy_image(native)
        finally:
            native.close()
