"""Image files in and out: the only module that imports OpenImageIO.

A *plate* is one file read whole: every part (subimage), channel, attribute and window is kept, and pixels stay in the
type they have on disk (half, float, uint), so what is not replaced is written again bit-identical: NaN payloads,
-0.0, denormals and 32-bit ids included. JPEG, PNG, TIFF and DPX are plates too: their channels become float32 in
[0, 1], still in the file's encoding; `colour` says which.

*Convention*: pixel coordinates count from the first pixel of the **display window**, x right, y down. A region is
(x0, y0, x1, y1) with exclusive end. Premultiplied alpha is left as it is: R, G, B are the values in the file, neither
divided by nor multiplied with A.

Kept from files with several resolutions (MIP and RIP maps): the full one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from bodydouble.errors import OutputError, PlateError, UsageError
from bodydouble.exrscratch import write_scratch
from bodydouble.writing import atomic_path, scratch_folder

Region = tuple[int, int, int, int]

DTYPES = {"half": np.float16, "float": np.float32, "uint": np.uint32}
TYPES = {"half": oiio.HALF, "float": oiio.FLOAT, "uint": oiio.UINT32, "uint8": oiio.UINT8, "uint16": oiio.UINT16}
RGB_SPELLINGS = (("R", "G", "B"), ("r", "g", "b"), ("red", "green", "blue"), ("Red", "Green", "Blue"))
LOSSY_COMPRESSIONS = frozenset({"b44", "b44a", "dwaa", "dwab"})
LOSSY_FOR_FLOAT = "pxr24"
LOSSLESS_DEFAULT = "zip"
HALF_MAX = 65504.0
# Deflate, the best packer in EXR, shrinks at most 1032:1. A header that claims more than that is lying, and
# allocating what it asks for could take the machine down; small claims cost nothing and are let through.
MAX_EXPANSION = 2000
ALWAYS_ALLOWED_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Header:
    """What one part (subimage) of a file says of itself, without its pixels.

    `spec` is OpenImageIO's own record, kept whole so that attributes of every type survive. It is never changed.
    """

    spec: oiio.ImageSpec

    @property
    def name(self) -> str:
        """The part's name; empty in files with one unnamed part."""
        return str(self.spec.getattribute("oiio:subimagename") or "")

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names, R, G, B, A first."""
        return tuple(self.spec.channelnames)

    @property
    def formats(self) -> tuple[str, ...]:
        """The type of each channel on disk: "half", "float", "uint", or "uint8" and the like for other formats."""
        per_channel = tuple(str(kind) for kind in self.spec.channelformats)
        return per_channel or (str(self.spec.format),) * self.spec.nchannels

    @property
    def data_window(self) -> Region:
        """(x0, y0, x1, y1) in the file's own coordinates, exclusive end."""
        spec = self.spec
        return spec.x, spec.y, spec.x + spec.width, spec.y + spec.height

    @property
    def display_window(self) -> Region:
        """(x0, y0, x1, y1) in the file's own coordinates, exclusive end."""
        spec = self.spec
        return spec.full_x, spec.full_y, spec.full_x + spec.full_width, spec.full_y + spec.full_height

    @property
    def data_region(self) -> Region:
        """The data window in display-window coordinates."""
        x0, y0, x1, y1 = self.data_window
        return x0 - self.spec.full_x, y0 - self.spec.full_y, x1 - self.spec.full_x, y1 - self.spec.full_y

    @property
    def attributes(self) -> dict[str, Any]:
        """Metadata by name; text that is not UTF-8 is left out here, but kept when the part is written again."""
        return dict(_readable_attributes(self.spec))

    @property
    def compression(self) -> str:
        """The compression's name, "none" for an uncompressed file, without its level."""
        return str(self.spec.getattribute("compression") or "none").split(":")[0]

    @property
    def tile(self) -> tuple[int, int] | None:
        """Tile width and height, or None for scanlines."""
        return (self.spec.tile_width, self.spec.tile_height) if self.spec.tile_width else None

    @property
    def deep(self) -> bool:
        """Whether pixels hold lists of samples in depth."""
        return bool(self.spec.deep)

    def rgb_channels(self) -> tuple[str, str, str] | None:
        """The names of the colour channels: plain R, G, B first, else those of the first layer that has all three."""
        return _rgb_in(self.channels, layered=False) or _rgb_in(self.channels, layered=True)


@dataclass(frozen=True, eq=False)
class Part(Header):
    """One part with its pixels: one H×W array of the data window per channel, in the type on disk."""

    pixels: tuple[np.ndarray, ...]

    def channel(self, name: str) -> np.ndarray:
        """H×W pixels of the data window in the channel's own type. Errors: KeyError."""
        try:
            return self.pixels[self.channels.index(name)]
        except ValueError:
            raise KeyError(name) from None


@dataclass(frozen=True, eq=False)
class Plate:
    """One frame's file. Immutable: the `with_…` methods return another plate that shares what they did not change."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def main_index(self) -> int:
        """The part that holds the picture: the first with plain R, G, B, else the first with a layer's R, G, B."""
        for layered in (False, True):
            for index, part in enumerate(self.parts):
                if _rgb_in(part.channels, layered):
                    return index
        listed = ", ".join(dict.fromkeys(name for part in self.parts for name in part.channels))
        raise PlateError(f"{self.path}: no R, G, B channels to work on (it has {listed}).")

    @property
    def main(self) -> Part:
        """The part that holds the picture."""
        return self.parts[self.main_index]

    @property
    def width(self) -> int:
        """Width of the display window."""
        return int(self.main.spec.full_width)

    @property
    def height(self) -> int:
        """Height of the display window."""
        return int(self.main.spec.full_height)

    @property
    def attributes(self) -> dict[str, Any]:
        """Metadata of the main part."""
        return self.main.attributes

    def rgb(self, region: Region | None = None) -> np.ndarray:
        """H×W×3 float32 of a region (default: the display window), black where the file has no data.

        Values are the file's own: scene-linear for EXR, encoded in [0, 1] for 8- and 16-bit files. NaN and Inf are
        passed on as they are.
        """
        main, region = self.main, region or (0, 0, self.width, self.height)
        result = np.zeros((region[3] - region[1], region[2] - region[0], 3), np.float32)
        inner, source = _overlap(region, main.data_region)
        for index, name in enumerate(_picture_channels(main)):
            result[(*inner, index)] = main.channel(name)[source]
        return result

    def inside(self, region: Region | None = None) -> np.ndarray:
        """H×W bool of a region: where the file has data."""
        region = region or (0, 0, self.width, self.height)
        result = np.zeros((region[3] - region[1], region[2] - region[0]), bool)
        result[_overlap(region, self.main.data_region)[0]] = True
        return result

    def with_rgb(self, region: Region, rgb: np.ndarray, where: np.ndarray) -> Plate:
        """Replace R, G, B of a region where `where` holds; every other pixel and channel stays to the bit.

        rgb: H×W×3 float32 in the plate's own encoding; where: H×W bool. Pixels outside the data window are dropped,
        as the windows stay what they are. In half channels finite values beyond ±65504 become ±65504.
        """
        main = self.main
        shape = (region[3] - region[1], region[2] - region[0])
        if rgb.shape != (*shape, 3) or where.shape != shape or where.dtype != np.bool_:
            raise ValueError(f"expected rgb {(*shape, 3)} and bool {shape}, got {rgb.shape}, {where.dtype} {where.shape}")
        inner, target = _overlap(region, main.data_region)
        mask, replaced = where[inner], {}
        for index, name in enumerate(_picture_channels(main)):
            pixels = main.channel(name).copy()
            pixels[target][mask] = _to_type(rgb[(*inner, index)][mask], pixels.dtype)
            replaced[name] = pixels
        pixels_now = tuple(replaced.get(name, old) for name, old in zip(main.channels, main.pixels, strict=True))
        return self._with_main(dataclasses.replace(main, pixels=pixels_now))

    def with_channels(self, channels: Mapping[str, np.ndarray | None], format: str = "half") -> Plate:
        """Add channels to the main part, or replace those it has by the same name.

        channels: name -> H×W float32 of the display window (None: zeros); format: "half" or "float". What lies
        outside the display window is 0.
        """
        main = self.main
        arrays = dict(zip(main.channels, main.pixels, strict=True))
        formats = dict(zip(main.channels, main.formats, strict=True))
        for name, values in channels.items():
            arrays[name] = np.zeros((main.spec.height, main.spec.width), DTYPES[format])
            formats[name] = format
            if values is not None:
                target, source = _overlap(main.data_region, (0, 0, self.width, self.height))
                arrays[name][target] = _to_type(values[source], arrays[name].dtype)
        spec = _spec_with_channels(main.spec, tuple(arrays), tuple(formats.values()))
        return self._with_main(Part(spec, tuple(arrays.values())))

    def with_attributes(self, attributes: Mapping[str, str | int | float]) -> Plate:
        """Add metadata to the main part, or replace it; keys like "bodydouble/persona" keep ours apart."""
        spec = self.main.spec.copy()
        for name, value in attributes.items():
            spec.attribute(name, value)
        return self._with_main(dataclasses.replace(self.main, spec=spec))

    def _with_main(self, main: Part) -> Plate:
        index = self.main_index
        return dataclasses.replace(self, parts=(*self.parts[:index], main, *self.parts[index + 1 :]))


def read_headers(path: str | Path) -> tuple[Header, ...]:
    """What every part of an image file says of itself. Errors: PlateError naming the file."""
    file = _open(Path(path))
    try:
        return tuple(Header(spec) for spec in _part_specs(file, Path(path)))
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
    """The compression `write_plate` gives the main part, and a sentence when it is not the plate's own (else "").

    A lossy compression would change pixels that nobody touched, so such plates are written with zip unless the
    caller asks otherwise.
    """
    name = _compression(plate.main, requested)
    if requested and name.split(":")[0] in LOSSY_COMPRESSIONS:
        return name, f"{name} is lossy: pixels outside the matte will differ a little from the plate."
    if not requested and name != plate.main.compression and plate.main.compression != "none":
        return name, f"The plate's {plate.main.compression} is lossy; {name} keeps untouched pixels bit-identical."
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
        _write_parts(temporary, path, [_output_part(part, compression) for part in plate.parts])


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


def _rgb_in(channels: Sequence[str], layered: bool) -> tuple[str, str, str] | None:
    layers = dict.fromkeys(name.rpartition(".")[0] for name in channels if "." in name) if layered else [""]
    for layer in layers:
        for spelling in RGB_SPELLINGS:
            red, green, blue = (f"{layer}.{name}" if layer else name for name in spelling)
            if {red, green, blue} <= set(channels):
                return red, green, blue
    return None


def _picture_channels(part: Header) -> tuple[str, str, str]:
    names = part.rgb_channels()
    assert names is not None, "the main part was chosen by its R, G, B"
    return names


def _overlap(a: Region, b: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of what two regions share, counted in a and in b."""
    x0, y0 = max(a[0], b[0]), max(a[1], b[1])
    x1, y1 = max(x0, min(a[2], b[2])), max(y0, min(a[3], b[3]))
    in_a = slice(y0 - a[1], y1 - a[1]), slice(x0 - a[0], x1 - a[0])
    return in_a, (slice(y0 - b[1], y1 - b[1]), slice(x0 - b[0], x1 - b[0]))


def _to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        finite = np.isfinite(values)
        values = np.where(finite, np.clip(values, -HALF_MAX, HALF_MAX), values)
    return values.astype(dtype)


def _encoded(pixels: np.ndarray, format: str) -> np.ndarray:
    if pixels.dtype == np.uint8 or format not in ("uint8", "uint16"):
        kept = pixels if pixels.dtype == np.uint8 else _to_type(pixels, np.dtype(DTYPES[format]))
        return np.ascontiguousarray(kept)
    scale, dtype = (255, np.uint8) if format == "uint8" else (65535, np.uint16)
    return np.ascontiguousarray(np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * scale).astype(dtype))


def _readable_attributes(spec: oiio.ImageSpec) -> Iterator[tuple[str, Any]]:
    for index in range(len(spec.extra_attribs)):
        attribute = spec.extra_attribs[index]
        try:
            yield attribute.name, attribute.value
        except UnicodeDecodeError:
            continue


def _error_text(source: Any) -> str:
    """OpenImageIO's message; of some damaged files it holds bytes that are no text."""
    try:
        return str(source.geterror()).strip() or "no reason given"
    except UnicodeDecodeError:
        return "the file is damaged"


def _open(path: Path) -> oiio.ImageInput:
    if not path.is_file():
        raise PlateError(f"{path}: {'this is a folder, not a file' if path.is_dir() else 'no such file'}.")
    file = oiio.ImageInput.open(str(path))
    if file is None:
        raise PlateError(f"{path}: cannot be read as an image ({_error_text(oiio)}). Render or copy it again.")
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


def _read_part(file: oiio.ImageInput, index: int, spec: oiio.ImageSpec, path: Path, exr: bool) -> Part:
    formats = Header(spec).formats if exr else ("float",) * spec.nchannels
    pixels: list[np.ndarray] = []
    start = 0
    while start < len(formats):
        end = next((i for i in range(start, len(formats)) if formats[i] != formats[start]), len(formats))
        block = file.read_image(index, 0, start, end, TYPES[formats[start]])
        if block is None or file.has_error:
            raise PlateError(f"{path}: pixels cannot be read ({_error_text(file)}). Render or copy it again.")
        block = block.reshape(spec.height, spec.width, end - start)
        pixels += [block[..., channel] for channel in range(end - start)]
        start = end
    return Part(spec, tuple(pixels)) if exr else _as_float_part(spec, pixels)


def _as_float_part(spec: oiio.ImageSpec, pixels: list[np.ndarray]) -> Part:
    """A part of a file that is not EXR; one grey channel becomes R, G, B, as the picture it is."""
    names = tuple(spec.channelnames)
    if spec.nchannels <= 2 and "R" not in names:
        names, pixels = ("R", "G", "B", "A")[: 2 + spec.nchannels], [pixels[0]] * 3 + pixels[1:]
    plain = _spec_with_channels(spec, names, ("float",) * len(names))
    for name in ("compression", "oiio:BitsPerSample"):
        plain.erase_attribute(name)
    plain.tile_width = plain.tile_height = plain.tile_depth = 0
    return Part(plain, tuple(pixels))


def _spec_with_channels(spec: oiio.ImageSpec, names: tuple[str, ...], formats: tuple[str, ...]) -> oiio.ImageSpec:
    changed = spec.copy()
    changed.nchannels = len(names)
    changed.channelnames = names
    mixed = len(set(formats)) > 1
    changed.format = oiio.FLOAT if mixed else TYPES[formats[0]]
    changed.channelformats = tuple(TYPES[kind] for kind in formats) if mixed else ()
    return changed


def _compression(part: Header, requested: str | None) -> str:
    if requested:
        return requested
    lossy = part.compression in LOSSY_COMPRESSIONS or (part.compression == LOSSY_FOR_FLOAT and "float" in part.formats)
    known = part.spec.getattribute("compression") is not None
    return LOSSLESS_DEFAULT if lossy or not known else part.compression


def _output_part(part: Part, requested: str | None) -> Part:
    spec = part.spec.copy()
    spec.attribute("compression", _compression(part, requested))
    for name in ("openexr:levelmode", "openexr:roundingmode"):
        spec.erase_attribute(name)
    return dataclasses.replace(part, spec=spec)


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


def _write_parts(temporary: Path, path: Path, parts: Sequence[Part]) -> None:
    output = _create(temporary, path, [part.spec for part in parts])
    written = True
    for index, part in enumerate(parts):
        if index and not output.open(str(temporary), part.spec, "AppendSubimage"):
            written = False
        written = written and _write_pixels(output, part)
        if not written:
            break
    _finish(output, written, path)


def _write_pixels(output: oiio.ImageOutput, part: Part) -> bool:
    if len({pixels.dtype for pixels in part.pixels}) == 1:
        return bool(output.write_image(np.ascontiguousarray(np.stack(part.pixels, axis=-1))))
    with scratch_folder() as folder:
        write_scratch(folder / "mixed.exr", part.channels, part.pixels)
        native = oiio.ImageInput.open(str(folder / "mixed.exr"))
        try:
            return bool(output.copy_image(native))
        finally:
            native.close()
