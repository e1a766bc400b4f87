"""Image sequences on disk: which files make a plate, which frames are there, which are missing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import fileseq

from bodydouble.errors import PlateError, UsageError
from bodydouble.frames import FrameRange

IMAGE_SUFFIXES = frozenset({".exr", ".dpx", ".tif", ".tiff", ".png", ".jpg", ".jpeg"})
# %04d (printf), $F4 (Houdini), #### and @@@@ (one digit each, as in Nuke and Shake).
PLACEHOLDER = re.compile(r"%(?P<printf>0?\d*)d|\$F(?P<houdini>\d*)|#+|@+")
# A frame number stands alone before the extension; "v002" is a version.
NUMBERED = re.compile(r"(?P<head>|.*[._-])(?P<digits>\d+)(?P<tail>\.[^.]+)")
NEGATIVE = re.compile(r"(?P<head>|.*[._])(?P<digits>-\d+)(?P<tail>\.[^.]+)")
NEAR_FILES = 5


@dataclass(frozen=True)
class PlateSequence:
    """A pattern with `####` for the frame number (or one file's name) and the frames that belong to it, sorted."""

    pattern: str
    frames: tuple[int, ...]

    @classmethod
    def find(cls, path: str | Path) -> PlateSequence:
        """The sequence that a pattern, one file, or a folder with one sequence names.

        Patterns: `plate.####.exr`, `plate.%04d.exr`, `plate.@@@@.exr`, `plate.$F4.exr`. A file without a number is
        frame 1. Errors: PlateError naming the pattern and what lies near it.
        """
        path = Path(path)
        if path.is_dir():
            return _only_sequence_in(path)
        if path.is_file():
            return _one_file(path)
        if PLACEHOLDER.search(path.name) is None:
            raise PlateError(f"{path}: no such file. {_what_is_near(path)}")
        pattern = str(path.with_name(_with_hashes(path.name)))
        frames = _frames_on_disk(Path(pattern))
        if not frames:
            raise PlateError(f"{path}: no frames found. {_what_is_near(path)}")
        return cls(pattern, frames)

    @classmethod
    def output(cls, path: str | Path, like: PlateSequence) -> PlateSequence:
        """Where the frames of `like` are written: a pattern, or a folder that gets the same names as .exr.

        Errors: UsageError for a pattern that is not EXR, has no place for the number, or is the plate itself.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if PLACEHOLDER.search(path.name):
            pattern = path.with_name(_with_hashes(path.name))
        elif suffix in IMAGE_SUFFIXES and not path.is_dir():
            if len(like.frames) > 1:
                raise UsageError(f"{path}: {len(like.frames)} frames need a pattern such as {path.stem}.####.exr.")
            pattern, suffix = path, suffix
        else:
            pattern, suffix = path / Path(like.pattern).with_suffix(".exr").name, ".exr"
        if suffix != ".exr":
            raise UsageError(f"{path}: frames are written as EXR; let the name end in .exr.")
        if pattern.resolve() == Path(like.pattern).resolve():
            raise UsageError(f"{path}: this is the plate itself; name another folder or pattern for the output.")
        return cls(str(pattern), like.frames)

    @property
    def missing(self) -> tuple[int, ...]:
        """Frames between the first and the last that are not there."""
        return tuple(sorted(set(range(self.frames[0], self.frames[-1] + 1)) - set(self.frames))) if self.frames else ()

    @property
    def range(self) -> FrameRange:
        """The frames as a range."""
        return FrameRange.of(self.frames)

    def path(self, frame: int) -> Path:
        """The file of a frame, whether it exists or not."""
        name = Path(self.pattern).name
        numbered = re.sub("#+", lambda hashes: str(frame).zfill(len(hashes[0])), name, count=1)
        return Path(self.pattern).with_name(numbered)

    def exists(self, frame: int) -> bool:
        """Whether the frame's file is there now."""
        return self.path(frame).is_file()


def _with_hashes(name: str) -> str:
    places = list(PLACEHOLDER.finditer(name))
    if len(places) != 1:
        raise UsageError(f"{name}: a pattern has one place for the frame number, like plate.####.exr.")
    digits = places[0]["printf"] if places[0]["printf"] is not None else places[0]["houdini"]
    width = int(digits or 1) if digits is not None else len(places[0][0])
    return name[: places[0].start()] + "#" * max(1, width) + name[places[0].end() :]


def _frames_on_disk(pattern: Path) -> tuple[int, ...]:
    if not pattern.parent.is_dir():
        return ()
    head, hashes, tail = re.split("(#+)", pattern.name, maxsplit=1)
    number = re.compile(re.escape(head) + r"(-?\d+)" + re.escape(tail))
    found = (number.fullmatch(entry.name) for entry in pattern.parent.iterdir())
    # A frame belongs to the pattern when it would be written this way: 001 is not frame 1 of ####.
    numbers = {int(match[1]) for match in found if match and match[1] == str(int(match[1])).zfill(len(hashes))}
    return tuple(sorted(numbers))


def _one_file(path: Path) -> PlateSequence:
    match = NEGATIVE.fullmatch(path.name) or NUMBERED.fullmatch(path.name)
    if match is None:
        return PlateSequence(str(path), (1,))
    pattern = path.with_name(match["head"] + "#" * len(match["digits"]) + match["tail"])
    return PlateSequence(str(pattern), (int(match["digits"]),))


def _only_sequence_in(folder: Path) -> PlateSequence:
    found = [sequence for sequence in fileseq.findSequencesOnDisk(str(folder)) if _is_image(sequence)]
    if len(found) == 1:
        first = _one_file(Path(found[0][0]))
        if len(found[0]) == 1 or "#" in first.pattern:
            return first if len(found[0]) == 1 else PlateSequence.find(first.pattern)
    if not found:
        raise PlateError(f"{folder}: no image sequence in this folder. {_listing(folder)}")
    listed = ", ".join(sorted(f"{item.basename()}{item.frameRange()}{item.extension()}" for item in found)[:NEAR_FILES])
    raise PlateError(f"{folder}: no single sequence in this folder ({listed}); name one, like plate.####.exr.")


def _is_image(sequence: fileseq.FileSequence) -> bool:
    hidden = sequence.basename().startswith(".")
    return not hidden and sequence.extension().lower() in IMAGE_SUFFIXES


def _what_is_near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist."
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=NEAR_FILES, cutoff=0.5)
    return f"Near it: {', '.join(sorted(near))}." if near else _listing(folder)


def _listing(folder: Path) -> str:
    names: Iterable[str] = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    shown = list(names)[:NEAR_FILES]
    return f"It has {', '.join(shown)}." if shown else "It is empty."
