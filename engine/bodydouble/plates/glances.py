"""A frame of which only the rows that are looked at are read.

EXR packs rows together, 16 for zip, and unpacking is nearly all that reading costs; who follows a face needs the rows
around it. So a `Glance` answers as a `Plate` does (`half_rgb`) and reads what it is asked for and does not have yet.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bodydouble.plates.plate import Plate, Region

Rows = tuple[int, int]
"""(first row, end), counted in the display window."""


class Glance:
    """The picture of one frame. One thread at a time may use it.

    `header`: the frame with the part of the picture alone, and without its pixels. `read`: the same with the pixels of
    some rows of the data window, a smaller data window being all that tells it from the whole; it raises PlateError.
    `packed`: how many rows, from the first of the data window, the file unpacks together.
    """

    def __init__(self, header: Plate, read: Callable[[Rows], Plate], packed: int) -> None:
        self._header, self._read, self._packed = header, read, packed
        self._bands: dict[Rows, Plate] = {}
        _, self._first, _, self._end = header.main.data_region

    @property
    def path(self) -> Path:
        return self._header.path

    @property
    def width(self) -> int:
        return self._header.width

    @property
    def height(self) -> int:
        return self._header.height

    @property
    def pixel_aspect(self) -> float:
        return self._header.pixel_aspect

    @property
    def attributes(self) -> dict[str, Any]:
        return self._header.attributes

    @property
    def rows_read(self) -> int:
        """How many rows have been read until now."""
        return sum(end - top for top, end in self._bands)

    def look(self, rows: Rows) -> None:
        """Read what is not there yet of some rows. Errors: PlateError for rows that are damaged."""
        for gap in self._gaps(self._unpacked(rows)):
            self._bands[gap] = self._read(gap)

    def half_rgb(self, region: Region) -> np.ndarray:
        """As `Plate.half_rgb`. Errors: as `look`."""
        x0, y0, x1, y1 = region
        top, end = self._within((y0, y1))
        self.look((top, end))
        for band, plate in self._bands.items():
            if band[0] <= top < end <= band[1]:
                return plate.half_rgb(region)
        result = np.zeros((y1 - y0, x1 - x0, 3), np.float16)
        for band, plate in self._bands.items():
            first, last = max(band[0], top), min(band[1], end)
            if first < last:
                result[first - y0 : last - y0] = plate.half_rgb((x0, first, x1, last))
        return result

    def _within(self, rows: Rows) -> Rows:
        """Those of some rows that the file has data of."""
        return max(rows[0], self._first), min(rows[1], self._end)

    def _unpacked(self, rows: Rows) -> Rows:
        """Some rows, and those that are unpacked with them."""
        top, end = self._within(rows)
        if top >= end:
            return top, top
        low, high = (top - self._first) // self._packed, -(-(end - self._first) // self._packed)
        return self._within((self._first + low * self._packed, self._first + high * self._packed))

    def _gaps(self, rows: Rows) -> list[Rows]:
        """What is not there yet of some rows."""
        gaps, (top, end) = [], rows
        for band in sorted(self._bands):
            if band[0] < end and band[1] > top:
                gaps.append((top, band[0]))
                top = band[1]
        return [gap for gap in (*gaps, (top, end)) if gap[0] < gap[1]]
