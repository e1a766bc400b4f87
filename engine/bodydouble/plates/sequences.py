"""Image sequences on disk: which files make a plate, which frames are there, which are missing."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import fileseq

from bodydouble.errors import PlateError, UsageError
from bodydouble.plates.frames import FrameRange

IMAGE_SUFFIXES = frozenset({".exr", ".dpx", ".tif", ".tiff", ".png", ".jpg", ".jpeg"})
MOVIE_SUFFIXES = frozenset({".mov", ".mp4", ".m4v", ".mxf", ".avi", ".mkv"})
# %04d (printf), $F4 (Houdini), #### and @@@@ (one digit each, as in Nuke and Shake).
PLACEHOLDER = re.compile(r"%(?P<printf>0?\d*)d|\$F(?P<houdini>\d*)|#+|@+")
# Nuke's words for the view of a stereo plate: its name, and its first letter.
VIEW, VIEW_LETTER = "%V", "%v"
PLACE_OR_VIEW = re.compile(rf"{VIEW}|{VIEW_LETTER}|{PLACEHOLDER.pattern}")
# A frame number stands alone before the extension; "v002" is a version.
NUMBERED = re.compile(r"(?P<head>|.*[._-])(?P<digits>\d+)(?P<tail>\.[^.]+)")
NEGATIVE = re.compile(r"(?P<head>|.*[._])(?P<digits>-\d+)(?P<tail>\.[^.]+)")
NEAR_FILES = 5


@dataclass(frozen=True)
class PlateSequence:
    """A pattern with `####` for the frame number (or one file's name) and the frames that belong to it, sorted.

    `part`, `view`: which picture of each file is meant; None for the first. `view_in_name`: the view chose the files,
    which need not name it themselves. A movie is one file with many frames.
    """

    pattern: str
    frames: tuple[int, ...]
    part: str | None = None
    view: str | None = None
    view_in_name: bool = False

    @property
    def view_in_file(self) -> str | None:
        """The view that each file is to be asked for; None where its name has answered that, or none was asked for."""
        return None if self.view_in_name else self.view

    @classmethod
    def find(cls, path: str | Path, part: str | None = None, view: str | None = None) -> PlateSequence:
        """The sequence that a pattern, one file, or a folder with one sequence names.

        Patterns: `plate.####.exr`, `plate.%04d.exr`, `plate.@@@@.exr`, `plate.$F4.exr`, with `%V` (`left`) or `%v`
        (`l`) for the view anywhere in the path. A file without a number is frame 1. Movies: see `find_plate`.
        Errors: PlateError naming the pattern and what lies near it; UsageError where several views are there and none
        was asked for.
        """
        if VIEW in str(path) or VIEW_LETTER in str(path):
            view = view or _only_view(str(path))
            found = cls._find(Path(_with_view(str(path), view)))
            return replace(found, part=part, view=view, view_in_name=True)
        return replace(cls._find(Path(path)), part=part, view=view)

    @classmethod
    def _find(cls, path: Path) -> PlateSequence:
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

        `%V` and `%v` stand for the view of `like`. Errors: UsageError for a pattern that is not EXR, has no place for
        the number, or is the plate itself.
        """
        if VIEW in str(path) or VIEW_LETTER in str(path):
            if like.view is None:
                raise UsageError(f"{path}: the plate has no view to put for %V; name one with --view.")
            path = _with_view(str(path), like.view)
        path = Path(path)
        suffix = path.suffix.lower()
        if PLACEHOLDER.search(path.name):
            pattern = path.with_name(_with_hashes(path.name))
        elif suffix in IMAGE_SUFFIXES and not path.is_dir():
            if len(like.frames) > 1:
                raise UsageError(f"{path}: {len(like.frames)} frames need a pattern such as {path.stem}.####.exr.")
            pattern, suffix = path, suffix
        else:
            number = ".####.exr" if like.is_movie else ".exr"
            pattern, suffix = path / Path(like.pattern).with_suffix(number).name, ".exr"
        if suffix != ".exr":
            raise UsageError(f"{path}: frames are written as EXR; let the name end in .exr.")
        if pattern.resolve() == Path(like.pattern).resolve():
            raise UsageError(f"{path}: this is the plate itself; name another folder or pattern for the output.")
        return cls(str(pattern), like.frames)

    @property
    def is_movie(self) -> bool:
        """Whether all frames lie in one movie file."""
        return Path(self.pattern).suffix.lower() in MOVIE_SUFFIXES

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


def _with_view(path: str, view: str) -> str:
    return path.replace(VIEW, view).replace(VIEW_LETTER, view[:1])


def _only_view(path: str) -> str:
    """The one view for which files are there. Errors: UsageError for several, PlateError for none."""
    expression, wide, position = "", "", 0
    for place in PLACE_OR_VIEW.finditer(path):
        literal, position = path[position : place.start()], place.end()
        if place[0] == VIEW:
            here = "(?P=view)" if "<view>" in expression else r"(?P<view>[A-Za-z]\w*?)"
        else:
            here = r"\w" if place[0] == VIEW_LETTER else r"-?\d+"
        expression, wide = expression + re.escape(literal) + here, wide + glob.escape(literal) + "*"
    matches = re.compile(expression + re.escape(path[position:]))
    found = (matches.fullmatch(name) for name in glob.glob(wide + glob.escape(path[position:])))
    views = sorted({match["view"] for match in found if match}) if VIEW in path else []
    if len(views) == 1:
        return views[0]
    if not views:
        raise PlateError(f"{path}: no frames found of any view; name one with --view.")
    raise UsageError(f"{path}: there are the views {', '.join(views)}; name one with --view.")


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
        # The shortest name says how numbers are padded: the first of -1, 0, 1 does not.
        first = _one_file(Path(min(found[0], key=len)))
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
    return f"Near it: {', '.join(sorted(near))}." if near else _listing(folder, "Its folder")


def _listing(folder: Path, called: str = "It") -> str:
    names: Iterable[str] = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    shown = list(names)[:NEAR_FILES]
    return f"{called} has {', '.join(shown)}." if shown else f"{called} is empty."
