"""The crops of a training, decoded once: memory-mapped float16 files, one per persona and level.

A store is a folder that can be deleted at any time::

    KEY/            what the crops and their size are, as a hash: other crops make another folder
        PERSONA.SIDE.f16     N×4×SIDE×SIDE float16, scene-linear R, G, B and the matte

The operating system keeps the pages in use in memory and shares them between processes. Crops of a level lie at a
quarter more than its density, so that turning and scaling them does not soften them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.errors import FacesetError, UsageError, near_names
from bodydouble.network.comb import level_size
from bodydouble.training.facesets import Faceset, Landmarks
from bodydouble.writing import atomic_path

SPARE = 1.25
"""Density of stored crops over that of the level."""
MIN_HELD_OUT_OF = 10
"""Facesets with fewer crops hold none out."""


@dataclass(frozen=True)
class PersonaCrops:
    """The crops of one persona at one level.

    Attributes:
        pixels: N×4×S×S float16.
        landmarks: N×68×2 float32 in sides of the unit crop; NaN of crops that an earlier version extracted.
        trained, held_out: indices into both.
    """

    pixels: Tensor
    landmarks: Tensor
    trained: Tensor
    held_out: Tensor


def by_persona(
    facesets: Sequence[Faceset], rights: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, list[Faceset]]:
    """The facesets of each persona, in the order given.

    Args:
        rights: persona → rights record as a document, in place of the one its faceset carries.

    Raises:
        FacesetError: there is none, or they do not fit together.
        UsageError: a record is of nobody here.
    """
    rights = rights or {}
    facesets = [replace(one, rights=rights.get(one.persona, one.rights)) for one in facesets]
    grouped: dict[str, list[Faceset]] = {}
    for one in facesets:
        grouped.setdefault(one.persona, []).append(one)
    if not grouped:
        raise FacesetError("no faceset was given; make one with 'extract'.")
    if strange := sorted(set(rights) - set(grouped)):
        raise UsageError(f"no faceset of {strange[0]!r} was given. {near_names(strange[0], grouped)}")
    first = facesets[0]
    for one in facesets:
        if (one.size, one.pad, one.primaries) != (first.size, first.pad, first.primaries):
            raise FacesetError(
                f"{one.folder} has crops of {one.size}+{one.pad} px in {one.primaries}, {first.folder} of "
                f"{first.size}+{first.pad} px in {first.primaries}; extract them alike."
            )
        if one.forehead != first.forehead:
            raise FacesetError(
                f"the mattes of {one.folder} reach {one.forehead:g} over the forehead, those of {first.folder} "
                f"{first.forehead:g}; extract them alike."
            )
        if one.rights != grouped[one.persona][0].rights:
            raise FacesetError(
                f"{one.folder} and {grouped[one.persona][0].folder} carry different rights records of "
                f"{one.persona!r}; extract both with the same one."
            )
    return grouped


class CropStore:
    """Crops of some personas in a folder of memory-mapped files, made as they are asked for."""

    def __init__(self, folder: Path, facesets: Mapping[str, Sequence[Faceset]], top: int, held_out: float) -> None:
        first = next(iter(facesets.values()))[0]
        self._facesets = facesets
        self._wide = first.size + 2 * first.pad
        self.size, self.pad = first.size, first.pad
        """Of the crops that were extracted, in pixels."""
        self._top = top
        self._held_out = held_out
        self._folder = folder / _key(facesets.values(), self._side(top))
        self.reach = first.pad / first.size
        """How far crops reach beyond the unit crop on each side, in its sides."""

    def crops(self, persona: str, level: int) -> PersonaCrops:
        """The crops of `persona` for `level`; decodes them the first time.

        Raises:
            FacesetError: a crop is unreadable or has another size.
            OutputError: the store cannot be written.
        """
        pixels = torch.from_numpy(self._mapped(persona, self._side(level)))
        trained, held_out = split([len(one.crops) for one in self._facesets[persona]], self._held_out)
        landmarks = np.stack([_known(points) for one in self._facesets[persona] for points in one.landmarks])
        return PersonaCrops(
            pixels, torch.from_numpy(landmarks), torch.tensor(trained), torch.tensor(held_out, dtype=torch.long)
        )

    def _side(self, level: int) -> int:
        return min(self._wide, round(self._wide * SPARE * level_size(level) / self.size))

    def _mapped(self, persona: str, side: int) -> np.ndarray:
        count = sum(len(one.crops) for one in self._facesets[persona])
        path = self._folder / f"{persona}.{side}.f16"
        shape = (count, 4, side, side)
        # A file of the right size is a whole one: it is renamed when complete, and its folder's name says what it is.
        if not path.is_file() or path.stat().st_size != 2 * math.prod(shape):
            self._make(persona, side, path, shape)
        # Copy-on-write: torch wants memory that may be written; nothing ever is.
        return np.memmap(path, np.float16, "c", shape=shape)

    def _make(self, persona: str, side: int, path: Path, shape: tuple[int, ...]) -> None:
        top = self._side(self._top)
        larger = None if side == top else self._mapped(persona, top)
        files = [(one, crop) for one in self._facesets[persona] for crop in one.crops]

        def crop(index: int) -> np.ndarray:
            faceset, source = files[index]
            wide = faceset.crop(source) if larger is None else torch.from_numpy(larger[index])
            return _resized(wide, side).numpy()

        with (
            atomic_path(path) as temporary,
            open(temporary, "wb") as file,
            ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool,
        ):
            # In blocks: a pool that ran ahead would hold the whole faceset in memory.
            for start in range(0, len(files), 64):
                for pixels in pool.map(crop, range(start, min(len(files), start + 64))):
                    file.write(pixels.tobytes())


def split(counts: Sequence[int], held_out: float) -> tuple[list[int], list[int]]:
    """Indices to train on and to hold out, of facesets with so many crops one after the other.

    Held out are the last crops of every faceset: one run, since the neighbours of a frame in its shot are nearly it.
    """
    trained: list[int] = []
    kept: list[int] = []
    start = 0
    for count in counts:
        away = math.ceil(held_out * count) if count >= MIN_HELD_OUT_OF else 0
        trained += range(start, start + count - away)
        kept += range(start + count - away, start + count)
        start += count
    return trained, kept


def _known(points: Landmarks | None) -> Landmarks:
    return np.full((68, 2), np.nan, np.float32) if points is None else points


def _resized(crop: Tensor, side: int) -> Tensor:
    """A crop 4×W×W float16 at another size, anti-aliased."""
    if side == crop.shape[-1]:
        return crop
    return F.interpolate(crop[None].float(), size=(side, side), mode="bilinear", antialias=True)[0].half()


def _key(facesets: Iterable[Sequence[Faceset]], side: int) -> str:
    """Hash of which crops a store holds: their paths, sizes and times, and the largest side."""
    crops = [crop for parts in facesets for one in parts for crop in one.crops]
    facts = [(str(crop.resolve()), crop.stat().st_size, crop.stat().st_mtime_ns) for crop in crops]
    return hashlib.sha256(json.dumps([side, facts]).encode()).hexdigest()[:16]
