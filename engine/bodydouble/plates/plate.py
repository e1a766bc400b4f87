"""The value types of an image file: its parts, their channels, windows, metadata and pixels.

*Convention*: pixel coordinates count from the first pixel of the **display window**, x right, y down. A region is
(x0, y0, x1, y1) with exclusive end. Premultiplied alpha is left as it is: R, G, B are the values in the file, neither
divided by nor multiplied with A.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bodydouble.errors import BodydoubleError, PlateError
from bodydouble.plates.exrheader import Attributes
from bodydouble.plates.pictures import Picture, find_picture

Region = tuple[int, int, int, int]

DTYPES = {"half": np.float16, "float": np.float32, "uint": np.uint32}
HALF_MAX = 65504.0


@dataclass(frozen=True, eq=False)
class Header:
    """What one part (subimage) of a file says of itself, without its pixels.

    `spec` is OpenImageIO's own record, kept whole so that attributes of every type survive. It is never changed;
    `channels` and `formats` count where it says otherwise.
    """

    spec: Any
    channels: tuple[str, ...]
    """Channel names, R, G, B, A first."""
    formats: tuple[str, ...]
    """The type of each channel on disk: "half", "float", "uint", or "uint8" and the like for other formats."""
    raw: Attributes = field(default_factory=dict)
    """The attributes of an EXR part byte for byte: `write_plate` gives them back. Empty for other formats."""

    @property
    def name(self) -> str:
        """The part's name; empty in files with one unnamed part."""
        return str(self.spec.getattribute("oiio:subimagename") or "")

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

    @property
    def view(self) -> str:
        """The view that the whole part belongs to; empty if it does not say."""
        return str(self.spec.getattribute("view") or "")

    @property
    def channel_views(self) -> tuple[str, ...]:
        """The views that the part holds in its channels, the first without a name of its own; mostly none."""
        return tuple(map(str, self.spec.getattribute("multiView") or ()))

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height; 1 where the file says nothing usable."""
        value = float(self.spec.getattribute("PixelAspectRatio") or 1.0)
        return value if 0.05 < value < 20 else 1.0


@dataclass(frozen=True, eq=False)
class Part(Header):
    """One part with its pixels: one H×W array of the data window per channel, in the type on disk."""

    pixels: tuple[np.ndarray, ...] = ()
    added: frozenset[str] = frozenset()
    """Names of the attributes that `Plate.with_attributes` set or `Plate.without_attributes` took away."""

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
    part: str | None = None
    """Name or number of the part that was asked for."""
    view: str | None = None
    """The view that was asked for."""

    @cached_property
    def picture(self) -> Picture:
        """Which channels of which part are worked on. Errors: PlateError, UsageError, see `find_picture`."""
        try:
            return find_picture(self.parts, self.part, self.view)
        except BodydoubleError as error:
            raise type(error)(f"{self.path}: {error}") from None

    @property
    def main_index(self) -> int:
        """The index of the part that holds the picture."""
        return self.picture.part

    @property
    def main(self) -> Part:
        """The part that holds the picture."""
        return self.parts[self.main_index]

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        return self.main.pixel_aspect

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

    def rgb(self, region: Region | None = None, step: int = 1) -> np.ndarray:
        """H×W×3 float32 of a region (default: the display window), black where the file has no data.

        step: only every so many rows and columns, from the first.

        Values are the file's own: scene-linear for EXR, encoded in [0, 1] for 8- and 16-bit files. NaN and Inf are
        passed on as they are. Errors: PlateError for channels of whole numbers.
        """
        region = region or (0, 0, self.width, self.height)
        result = np.zeros((-(-(region[3] - region[1]) // step), -(-(region[2] - region[0]) // step), 3), np.float32)
        self._put_rgb(result.transpose(2, 0, 1), region, step)
        return result

    def half_rgb(self, region: Region) -> np.ndarray:
        """H×W×3 float16 of a region, as `rgb`; what half cannot hold is Inf. Read-only: it may be the plate's own."""
        (inner, source), together = _overlap(region, self.main.data_region), self._rgb_together
        shape = region[3] - region[1], region[2] - region[0]
        if together is not None and together[source].shape[:2] == shape:
            return together[source]
        result = np.zeros((*shape, 3), np.float16)
        with np.errstate(over="ignore"):
            for channel, plane in enumerate(self._rgb_planes()):
                result[(*inner, channel)] = plane[source]
        return result

    def _put_rgb(self, planes: np.ndarray, region: Region, step: int) -> None:
        """Fill 3×H×W `planes` where the file has data."""
        pixels, (inner, source) = self._rgb_planes(), _overlap(region, self.main.data_region)
        if step > 1:
            pairs = [_every(step, *axis) for axis in zip(inner, source, strict=True)]
            inner, source = (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])
        for plane, there in zip(planes, pixels, strict=True):
            plane[inner] = there[source]

    @cached_property
    def _rgb_together(self) -> np.ndarray | None:
        """As `_together` of R, G and B in the data window. Errors: as `_rgb_planes`."""
        return _together(self._rgb_planes())

    def _rgb_planes(self) -> list[np.ndarray]:
        """The H×W pixels of R, G and B in the data window. Errors: PlateError for channels of whole numbers."""
        main, names = self.main, self.picture.rgb
        planes = [main.channel(name) for name in names]
        if any(plane.dtype.kind == "u" for plane in planes):
            raise PlateError(f"{self.path}: {', '.join(names)} hold whole numbers, no light.")
        return planes

    def alpha(self, region: Region | None = None) -> np.ndarray | None:
        """H×W float32 coverage of a region, 0 where the file has no data; None for a picture without alpha."""
        main, region, name = self.main, region or (0, 0, self.width, self.height), self.picture.alpha
        if name is None:
            return None
        result = np.zeros((region[3] - region[1], region[2] - region[0]), np.float32)
        inner, source = _overlap(region, main.data_region)
        result[inner] = main.channel(name)[source]
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
            raise ValueError(
                f"expected rgb {(*shape, 3)} and bool {shape}, got {rgb.shape}, {where.dtype} {where.shape}"
            )
        inner, target = _overlap(region, main.data_region)
        mask, replaced = where[inner], {}
        for index, name in enumerate(self.picture.rgb):
            pixels = main.channel(name).copy()
            pixels[target][mask] = to_type(rgb[(*inner, index)][mask], pixels.dtype)
            replaced[name] = pixels
        pixels_now = tuple(replaced.get(name, old) for name, old in zip(main.channels, main.pixels, strict=True))
        return self._with_main(dataclasses.replace(main, pixels=pixels_now))

    def with_channels(
        self, channels: Mapping[str, np.ndarray | None], format: str = "half", region: Region | None = None
    ) -> Plate:
        """Add channels to the main part, or replace those it has by the same name.

        channels: name -> H×W float32 of a region, by default the display window (None: zeros); format: "half" or
        "float". What lies outside the region is 0.
        """
        main, region = self.main, region or (0, 0, self.width, self.height)
        arrays = dict(zip(main.channels, main.pixels, strict=True))
        formats = dict(zip(main.channels, main.formats, strict=True))
        for name, values in channels.items():
            arrays[name] = np.zeros((main.spec.height, main.spec.width), DTYPES[format])
            formats[name] = format
            if values is not None:
                target, source = _overlap(main.data_region, region)
                arrays[name][target] = to_type(values[source], arrays[name].dtype)
        return self._with_main(
            dataclasses.replace(
                main, channels=tuple(arrays), formats=tuple(formats.values()), pixels=tuple(arrays.values())
            )
        )

    def with_attributes(self, attributes: Mapping[str, str | int | float]) -> Plate:
        """Add metadata to the main part, or replace it; keys like "bodydouble/persona" keep ours apart."""
        spec = self.main.spec.copy()
        for name, value in attributes.items():
            spec.attribute(name, value)
        return self._with_main(dataclasses.replace(self.main, spec=spec, added=self.main.added | set(attributes)))

    def without_attributes(self, names: Iterable[str]) -> Plate:
        """Take metadata away from the main part."""
        gone, spec = set(names), self.main.spec.copy()
        for name in gone:
            spec.erase_attribute(name)
        # Named as ours, or the file's own bytes of them would be put back when the plate is written.
        return self._with_main(dataclasses.replace(self.main, spec=spec, added=self.main.added | gone))

    def cropped(self, region: Region) -> Plate:
        """A plate of the picture's channels alone, in one part whose data window is what the region holds of the old
        one; the display window stays, and so do pixels and metadata.

        Errors: ValueError for a region without data.
        """
        main, picture = self.main, self.picture
        here, source = _overlap(region, main.data_region)
        height, width = here[0].stop - here[0].start, here[1].stop - here[1].start
        if not height or not width:
            raise ValueError(f"the data window {main.data_region} has nothing in {region}")
        kept = [index for index, name in enumerate(main.channels) if name in (*picture.rgb, picture.alpha)]
        spec = main.spec.copy()
        spec.x, spec.y = main.spec.x + source[1].start, main.spec.y + source[0].start
        spec.width, spec.height = width, height
        spec.tile_width = spec.tile_height = spec.tile_depth = 0
        part = dataclasses.replace(
            main,
            spec=spec,
            channels=tuple(main.channels[index] for index in kept),
            formats=tuple(main.formats[index] for index in kept),
            raw={name: value for name, value in main.raw.items() if name not in ("preview", "tiles", "type")},
            pixels=tuple(main.pixels[index][source].copy() for index in kept),
        )
        return dataclasses.replace(self, parts=(part,), part=None)

    def blackened(self) -> Plate:
        """A plate of the same parts, channels and windows that is 0 everywhere, alpha included; without a time code,
        as it may stand for a frame that does not exist.
        """
        return dataclasses.replace(self, parts=tuple(_blackened(part) for part in self.parts))

    def _with_main(self, main: Part) -> Plate:
        index = self.main_index
        return dataclasses.replace(self, parts=(*self.parts[:index], main, *self.parts[index + 1 :]))


def _blackened(part: Part) -> Part:
    spec = part.spec.copy()
    for name in ("smpte:TimeCode", "smpte:KeyCode"):
        spec.erase_attribute(name)
    raw = {name: value for name, value in part.raw.items() if name not in ("timeCode", "keyCode")}
    return dataclasses.replace(part, spec=spec, raw=raw, pixels=tuple(np.zeros_like(pixels) for pixels in part.pixels))


def _overlap(a: Region, b: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of what two regions share, counted in a and in b."""
    x0, y0 = max(a[0], b[0]), max(a[1], b[1])
    x1, y1 = max(x0, min(a[2], b[2])), max(y0, min(a[3], b[3]))
    in_a = slice(y0 - a[1], y1 - a[1]), slice(x0 - a[0], x1 - a[0])
    return in_a, (slice(y0 - b[1], y1 - b[1]), slice(x0 - b[0], x1 - b[0]))


def _together(planes: Sequence[np.ndarray]) -> np.ndarray | None:
    """The H×W×3 array whose channels are three planes of half floats, None where they do not lie so in memory: one
    block is looked through several times as fast as three that are interleaved.
    """
    first = planes[0]
    starts = [plane.__array_interface__["data"][0] - first.__array_interface__["data"][0] for plane in planes]
    alike = all(plane.dtype == np.float16 and plane.strides == first.strides for plane in planes)
    if not alike or starts != [0, 2, 4] or first.shape != planes[2].shape or first.strides[1] < 6:
        return None
    return np.lib.stride_tricks.as_strided(first, (*first.shape, 3), (*first.strides, 2), writeable=False)


def _every(step: int, inner: slice, source: slice) -> tuple[slice, slice]:
    """Every `step`-th of a region's rows or columns, in the thinned region and in the data."""
    first = -(-inner.start // step)
    start = source.start + first * step - inner.start
    return slice(first, first + len(range(start, source.stop, step))), slice(start, source.stop, step)


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        finite = np.isfinite(values)
        values = np.where(finite, np.clip(values, -HALF_MAX, HALF_MAX), values)
    return values.astype(dtype)


def _readable_attributes(spec: Any) -> Iterator[tuple[str, Any]]:
    for index in range(len(spec.extra_attribs)):
        attribute = spec.extra_attribs[index]
        try:
            yield attribute.name, attribute.value
        except UnicodeDecodeError:
            continue
