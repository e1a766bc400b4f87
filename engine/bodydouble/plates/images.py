"""Image files in and out: the only module that imports OpenImageIO.

A *plate* is one file read whole: every part (subimage), channel, attribute and window is kept, and pixels stay in the
type they have on disk (half, float, uint), so what is not replaced is written again bit-identical: NaN payloads,
-0.0, denormals and 32-bit ids included. JPEG, PNG, TIFF and DPX are plates too: their channels become float32 in
[0, 1], still in the file's encoding; `colour` says which.

Refused, by name and with the way out: deep pixels, sub-sampled chroma, volumes, and textures of several resolutions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import OpenImageIO as oiio

from bodydouble.errors import OutputError, PlateError, UsageError, is_text, near_names
from bodydouble.plates.exrheader import STRUCTURE, Attributes, put_attributes, read_attributes
from bodydouble.plates.exrscratch import write_scratch
from bodydouble.plates.glances import Glance, Rows
from bodydouble.plates.plate import DTYPES, Header, Part, Plate, Region, to_type
from bodydouble.writing import atomic_path, scratch_folder

__all__ = [
    "Header", "Part", "Plate", "Region", "check_compression", "glance_at_picture", "lossy_compression",
    "output_compression", "output_compression_of", "picture_plate", "read_headers", "read_image", "read_plate",
    "shared_threads", "use_threads", "why_unsupported", "write_image", "write_plate",
]  # fmt: skip

TYPES = {"half": oiio.HALF, "float": oiio.FLOAT, "uint": oiio.UINT32, "uint8": oiio.UINT8, "uint16": oiio.UINT16}
LOSSY_COMPRESSIONS = frozenset({"b44", "b44a", "dwaa", "dwab"})
LOSSY_FOR_FLOAT = "pxr24"
COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "htj2k32", "htj2k256", "pxr24", *sorted(LOSSY_COMPRESSIONS))
"""What --compression may ask for; OpenImageIO would take zip for a name that it does not know."""
PACKED_ROWS = {"none": 1, "rle": 1, "zips": 1, "zip": 16, "pxr24": 16, "piz": 32, "b44": 32, "b44a": 32, "dwaa": 32,
               "htj2k32": 32}  # fmt: skip
"""Rows that EXR packs together. The others pack so many (256) that reading some of them saves nothing."""
ROWS_AT_ONCE = 256
"""Rows that are gathered and compressed together: a multiple of every compression's own block of rows."""
LOSSLESS_DEFAULT = "zip"
THREAD_KINDS = ("threads", "exr_threads")
_SHARING: list[dict[str, int]] = []
"""OpenImageIO's threads before each `shared_threads` that is going on."""
_SHARING_LOCK = Lock()
# Deflate, the best packer in EXR, shrinks at most 1032:1. A header that claims more than that is lying, and
# allocating what it asks for could take the machine down; small claims cost nothing and are let through.
MAX_EXPANSION = 2000
ALWAYS_ALLOWED_BYTES = 256 << 20


def use_threads(count: int) -> None:
    """How many threads OpenImageIO may use to pack and unpack a file, for the life of the process."""
    for kind in THREAD_KINDS:
        oiio.attribute(kind, count)


@contextmanager
def shared_threads(readers: int) -> Iterator[None]:
    """Files that so many threads read at a time share OpenImageIO's threads meanwhile; else each takes all of them, and
    what the process does besides waits for a core. The setting is the whole process's: where several share at a time,
    the first says how, and the last to end gives the threads back.
    """
    with _SHARING_LOCK:
        _SHARING.append({kind: oiio.get_int_attribute(kind) for kind in THREAD_KINDS})
        if len(_SHARING) == 1:
            for kind, count in _SHARING[0].items():
                oiio.attribute(kind, max(1, count // readers))
    try:
        yield
    finally:
        with _SHARING_LOCK:
            first = _SHARING[0]
            _SHARING.pop()
            if not _SHARING:
                for kind, count in first.items():
                    oiio.attribute(kind, count)


def read_headers(path: str | Path) -> tuple[Header, ...]:
    """What every part of an image file says of itself. Errors: PlateError naming the file."""
    file = _open(Path(path))
    try:
        specs = list(_part_specs(file, Path(path)))
        raw = _raw_attributes(file, Path(path), len(specs))
        return tuple(_header(spec, raw[index]) for index, spec in enumerate(specs))
    finally:
        file.close()


def read_plate(path: str | Path, part: str | None = None, view: str | None = None) -> Plate:
    """Read a file whole. part, view: which picture of it is meant, see `find_picture`; all the others are kept.

    Errors: PlateError for a missing, damaged, unsupported or foreign file, naming it; UsageError for a part or view
    that it does not have.
    """
    path = Path(path)
    file = _open(path)
    try:
        plate = _described(file, path, part, view)
        exr = file.format_name() == "openexr"
        plate = dataclasses.replace(
            plate, parts=tuple(_read_part(file, index, header, path, exr) for index, header in enumerate(plate.parts))
        )
        if part is not None or view is not None:
            _ = plate.picture
        return plate
    finally:
        file.close()


def glance_at_picture(path: str | Path, part: str | None = None, view: str | None = None) -> Plate | Glance:
    """The picture of a file alone, for those who only look at it: of an EXR, R, G and B of one part, and nothing else
    is unpacked. Attributes and windows are that part's. An EXR that packs few rows together is read row by row as it is
    looked at, and stays open until then: what is damaged in rows that nobody looks at is not seen. Errors: as
    `read_plate`, and for a file without a picture; also later.
    """
    path = Path(path)
    with ExitStack() as closing:
        file = _open(path)
        closing.callback(file.close)
        if file.format_name() != "openexr":
            return read_plate(path, part, view)
        described = _described(file, path, part, view)
        main = described.main
        packed = PACKED_ROWS.get(main.compression)
        if packed is None or main.tile is not None:
            return _read_rgb(file, described)
        closing.pop_all()
    alone = dataclasses.replace(described, parts=(main,), part=None)
    return Glance(alone, lambda rows: _read_rgb(file, described, rows), packed)


def _read_rgb(file: oiio.ImageInput, described: Plate, rows: Rows | None = None) -> Plate:
    """The picture of an open EXR alone. `rows`: of its data window, counted in the display window; None for all."""
    picture = described.picture
    header = described.parts[picture.part]
    places = [header.channels.index(name) for name in picture.rgb]
    read = _read_part(file, picture.part, header, described.path, True, (min(places), max(places) + 1), rows)
    return dataclasses.replace(described, parts=(read,), part=None)


def _described(file: oiio.ImageInput, path: Path, part: str | None, view: str | None) -> Plate:
    """The plate of an open file without its pixels. Errors: PlateError."""
    specs = list(_part_specs(file, path))
    raw = _raw_attributes(file, path, len(specs))
    headers = [_header(spec, raw[index]) for index, spec in enumerate(specs)]
    _refuse_unsupported(headers, path)
    return Plate(path, tuple(Part(h.spec, h.channels, h.formats, h.raw) for h in headers), part, view)


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


def lossy_compression(plate: Plate, requested: str | None = None) -> str:
    """The compression that `write_plate` gives a part where it changes pixels; "" when the file holds them as they are.

    Of its own accord `write_plate` never takes one.
    """
    name = (requested or "").split(":")[0]
    floats = any("float" in part.formats for part in plate.parts)
    return name if name in LOSSY_COMPRESSIONS or (name == LOSSY_FOR_FLOAT and floats) else ""


def check_compression(requested: str | None) -> None:
    """Errors: UsageError with near names for a compression that EXR does not have."""
    name, _, level = (requested or "none").partition(":")
    if name not in COMPRESSIONS:
        raise UsageError(f'"{name}" is no EXR compression. {near_names(name, COMPRESSIONS)}')
    try:
        good = not level or 0 < float(level) < 10_000
    except ValueError:
        good = False
    if not good:
        raise UsageError(f'"{requested}": write the level of a compression like dwaa:60 or zip:4.')


def picture_plate(
    path: Path, rgb: np.ndarray, attributes: Mapping[str, str | int | float], alpha: np.ndarray | None = None
) -> Plate:
    """A plate made of a picture that no file of ours holds, such as a frame of a movie.

    rgb: H×W×3 float32; alpha: H×W float32; attributes: what is to be written of it, `colorInteropID` among them.
    """
    names = ("R", "G", "B") if alpha is None else ("R", "G", "B", "A")
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], len(names), oiio.FLOAT)
    for name, value in attributes.items():
        spec.attribute(name, value)
    pixels = (rgb[..., 0], rgb[..., 1], rgb[..., 2], *(() if alpha is None else (alpha,)))
    return Plate(path, (Part(spec, names, ("float",) * len(names), pixels=pixels, added=frozenset(attributes)),))


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
    check_compression(compression)
    with atomic_path(path) as temporary:
        _write_parts(temporary, path, plate, compression)
        _put_raw_attributes(temporary, path, plate)


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
    if not is_text(str(path)):
        raise PlateError(f"{str(path)!a}: this name is not UTF-8; rename it.")
    file = oiio.ImageInput.open(str(path))
    if file is None:
        reason = _error_text(oiio)
        if "ubsampled" in reason:
            raise PlateError(
                f"{path}: luminance/chroma (subsampled) channels are not supported; write it again as R, G, B from the "
                "program that made it, or through Nuke."
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


def why_unsupported(header: Header) -> str | None:
    """Why a part cannot be a plate's, and the way out; None if it can."""
    spec = header.spec
    if spec.deep:
        return "deep, which is not supported; flatten it first: oiiotool IN.exr --flatten -o OUT.exr"
    if spec.depth > 1:
        return "a volume, not an image"
    if "tiles" in header.raw and header.raw["tiles"].value[8] & 0xF:
        return "a texture of several resolutions; keep the full one: oiiotool IN.exr -o OUT.exr"
    return None


def _refuse_unsupported(headers: Iterable[Header], path: Path) -> None:
    claimed = 0
    for index, header in enumerate(headers):
        reason, spec = why_unsupported(header), header.spec
        if reason is not None:
            raise PlateError(f"{path}: part {index + 1} is {reason}.")
        claimed += spec.width * spec.height * spec.nchannels * 4
    size = path.stat().st_size
    if claimed > max(ALWAYS_ALLOWED_BYTES, size * MAX_EXPANSION):
        raise PlateError(f"{path}: its header claims {claimed >> 20} MiB of pixels, but the file has {size} bytes.")


def _raw_attributes(file: oiio.ImageInput, path: Path, count: int) -> Sequence[Attributes]:
    if file.format_name() != "openexr":
        return ({},) * count
    try:
        raw = read_attributes(path)
    except (OSError, ValueError) as error:
        raise PlateError(f"{path}: the header is damaged ({error}). Render or copy it again.") from error
    if len(raw) != count:
        raise PlateError(f"{path}: the header names {len(raw)} parts, {count} can be read. Render or copy it again.")
    return raw


def _header(spec: oiio.ImageSpec, raw: Attributes | None = None) -> Header:
    per_channel = tuple(str(kind) for kind in spec.channelformats)
    return Header(spec, tuple(spec.channelnames), per_channel or (str(spec.format),) * spec.nchannels, raw or {})


def _read_part(
    file: oiio.ImageInput,
    index: int,
    header: Header,
    path: Path,
    exr: bool,
    span: tuple[int, int] | None = None,
    rows: Rows | None = None,
) -> Part:
    """A part with its pixels. `span`: first channel and end of those of an EXR that are wanted, None for all. `rows`:
    likewise, of scanlines in the display window; the data window is then only those.
    """
    spec = header.spec if rows is None else _spec_of_rows(header.spec, rows)
    first, last = span or (0, spec.nchannels)
    formats = header.formats if exr else ("float",) * spec.nchannels
    pixels: list[np.ndarray] = []
    while first + len(pixels) < last:
        start = first + len(pixels)
        end = next((i for i in range(start, last) if formats[i] != formats[start]), last)
        wanted = (start, end, TYPES[formats[start]])
        if rows is None:
            block = file.read_image(index, 0, *wanted)
        else:
            block = file.read_scanlines(index, 0, spec.y, spec.y + spec.height, 0, *wanted)
        if block is None or file.has_error:
            raise PlateError(f"{path}: pixels cannot be read ({_error_text(file)}). Render or copy it again.")
        block = block.reshape(spec.height, spec.width, end - start)
        pixels += [block[..., channel] for channel in range(end - start)]
    if not exr:
        return _picture_part(header, pixels)
    return Part(spec, header.channels[first:last], formats[first:last], header.raw, tuple(pixels))


def _spec_of_rows(whole: oiio.ImageSpec, rows: Rows) -> oiio.ImageSpec:
    spec = whole.copy()
    spec.y, spec.height = whole.full_y + rows[0], rows[1] - rows[0]
    return spec


def _picture_part(header: Header, pixels: list[np.ndarray]) -> Part:
    """A part of a file that is not EXR; one grey channel becomes R, G, B, as the picture it is."""
    names, spec = header.channels, header.spec.copy()
    if len(names) <= 2 and "R" not in names:
        names, pixels = ("R", "G", "B", "A")[: 2 + len(names)], [pixels[0]] * 3 + pixels[1:]
    for name in ("compression", "oiio:BitsPerSample"):
        spec.erase_attribute(name)
    spec.tile_width = spec.tile_height = spec.tile_depth = 0
    return Part(spec, names, ("float",) * len(names), pixels=tuple(pixels))


def _compression(part: Header, requested: str | None) -> str:
    if requested:
        return requested
    lossy = part.compression in LOSSY_COMPRESSIONS or (part.compression == LOSSY_FOR_FLOAT and "float" in part.formats)
    known = part.spec.getattribute("compression") is not None
    return LOSSLESS_DEFAULT if lossy or not known else part.compression


def _output_spec(part: Part, native: oiio.ImageInput | None, requested: str | None) -> oiio.ImageSpec:
    # `copy_image` copies the channels in the order it finds them, which is OpenImageIO's own.
    channels = part.channels if native is None else tuple(native.spec().channelnames)
    formats = tuple(part.formats[part.channels.index(name)] for name in channels)
    spec = part.spec.copy()
    spec.attribute("compression", _compression(part, requested))
    for name in ("openexr:levelmode", "openexr:roundingmode", "openexr:chunkCount"):
        spec.erase_attribute(name)
    spec.nchannels = len(channels)
    spec.channelnames = channels
    mixed = len(set(formats)) > 1
    spec.format = oiio.FLOAT if mixed else TYPES[formats[0]]
    spec.channelformats = tuple(TYPES[kind] for kind in formats) if mixed else ()
    return spec


def _create(temporary: Path, path: Path, specs: Sequence[oiio.ImageSpec]) -> oiio.ImageOutput:
    # By the final name: the temporary one does not say the format.
    output = oiio.ImageOutput.create(path.suffix.lstrip(".") or path.name)
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
    with ExitStack() as stack:
        natives = [_native_copy(part, stack) for part in plate.parts]
        specs = [_output_spec(part, native, compression) for part, native in zip(plate.parts, natives, strict=True)]
        output = _create(temporary, path, specs)
        written = True
        for index, (part, native) in enumerate(zip(plate.parts, natives, strict=True)):
            written = written and (index == 0 or output.open(str(temporary), specs[index], "AppendSubimage"))
            written = written and (_write_pixels(output, part) if native is None else bool(output.copy_image(native)))
        _finish(output, written, path)


def _native_copy(part: Part, stack: ExitStack) -> oiio.ImageInput | None:
    """The part's pixels as an open file, for one whose types do not survive `write_scanlines`; else None."""
    mixed = len(set(part.formats)) > 1
    if not mixed or all(_survives_float(pixels) for pixels in part.pixels):
        return None
    folder = stack.enter_context(scratch_folder())
    write_scratch(folder / "mixed.exr", part.channels, part.pixels)
    native = _open(folder / "mixed.exr")
    stack.callback(native.close)
    return native


def _write_pixels(output: oiio.ImageOutput, part: Part) -> bool:
    mixed = len(set(part.formats)) > 1
    dtype = np.float32 if mixed else part.pixels[0].dtype
    x, y, width, height = part.spec.x, part.spec.y, part.spec.width, part.spec.height
    rows = ROWS_AT_ONCE if part.tile is None else -(-ROWS_AT_ONCE // part.tile[1]) * part.tile[1]
    band = np.empty((min(rows, height), width, len(part.pixels)), dtype)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        for index, pixels in enumerate(part.pixels):
            band[:count, :, index] = pixels[top : top + count]
        if part.tile is None:
            written = output.write_scanlines(y + top, y + top + count, 0, band[:count])
        else:
            written = output.write_tiles(x, x + width, y + top, y + top + count, 0, 1, band[:count])
        if not written:
            return False
    return True


def _survives_float(pixels: np.ndarray) -> bool:
    """Whether a channel comes back to the bit through float32: 32-bit ids do not, nor NaN in half."""
    if pixels.dtype == np.float16:
        return not ((pixels.view(np.uint16) & 0x7FFF) > 0x7C00).any()
    return pixels.dtype == np.float32


def _put_raw_attributes(temporary: Path, path: Path, plate: Plate) -> None:
    """Give the file the plate's own attributes, byte for byte, and take away those that OpenImageIO made up."""

    def wanted(index: int, written: Attributes) -> Attributes:
        part = plate.parts[index]
        if not part.raw:
            made_up = {"capDate"} if part.spec.getattribute("DateTime") is None else set()
            return {name: value for name, value in written.items() if name not in made_up}
        kept = {name: value for name, value in part.raw.items() if name not in STRUCTURE | part.added}
        ours = {name: value for name, value in written.items() if name in STRUCTURE | part.added}
        return {**ours, **kept, **({"type": written["type"]} if "type" in written else {})}

    try:
        put_attributes(temporary, wanted)
    except ValueError as error:
        raise OutputError(f"{path}: cannot be written ({error}).") from error
