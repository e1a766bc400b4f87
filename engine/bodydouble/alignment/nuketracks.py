"""Tracks as the text that Nuke copies, pastes and saves: Tracker4 and CornerPin2D out, those and Tracker3 in.

*Convention*: Nuke counts from the lower left corner of the picture, y up, and a pixel's centre is at one half; we count
from the centre of the upper left pixel, y down. `nuke_from_plate` and `plate_from_nuke` convert, here and nowhere else.

The text is Tcl: blanks part words, braces keep what is in them together as it is, quotes and backslashes as usual. It
is read as words, whatever stands around the nodes. An animated value is ``{curve x1001 5.5 6.25 x1010 7}``: a key at
each number, at the frame after the one before unless an ``x`` says otherwise; single letters are kinds of
interpolation, ``s``, ``t``, ``u`` and ``v`` slopes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodydouble.errors import SidecarError

Keys = dict[int, float]
Tracks = dict[str, dict[int, tuple[float, float]]]

# The columns of Tracker4's table as Nuke names them, with the numbers before; a row has one value of each.
_COLUMNS = (
    "5 1 20 enable e", "3 1 75 name name", "2 1 58 track_x track_x", "2 1 58 track_y track_y",
    "2 1 63 offset_x offset_x", "2 1 63 offset_y offset_y", "4 1 27 T T", "4 1 27 R R", "4 1 27 S S",
    "2 0 45 error error", "1 1 0 error_min error_min", "1 1 0 error_max error_max",
    *(f"1 1 0 {area}_{edge} {area}_{edge}" for area in ("pattern", "search") for edge in "xyrt"),
    "2 1 0 key_track key_track",
    *(f"2 1 0 key_{area}_{edge} key_{area}_{edge}" for area in ("search", "track") for edge in "xyrt"),
    *(f"2 1 0 key_centre_offset_{axis} key_centre_offset_{axis}" for axis in "xy"),
)  # fmt: skip
_NAME, _TRACK_X, _TRACK_Y = 1, 2, 3
_PATTERN, _SEARCH = "-16 -16 16 16", "-32 -32 32 32"
_CORNERS = ("to1", "to2", "to3", "to4")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


@dataclass(frozen=True)
class _Word:
    """A word of Tcl; `braced`: it stood in braces, which are gone."""

    text: str
    braced: bool


def nuke_from_plate(points_px: ArrayLike, height: int) -> NDArray[np.float64]:
    """(..., 2) plate points in Nuke's coordinates of a picture `height` pixels high."""
    points = np.asarray(points_px, np.float64)
    return np.stack([points[..., 0] + 0.5, height - 0.5 - points[..., 1]], axis=-1)


def plate_from_nuke(points_nuke: ArrayLike, height: int) -> NDArray[np.float64]:
    """Inverse of `nuke_from_plate`."""
    points = np.asarray(points_nuke, np.float64)
    return np.stack([points[..., 0] - 0.5, height - 0.5 - points[..., 1]], axis=-1)


def tracker_text(name: str, frames: Sequence[int], points_px: Mapping[str, ArrayLike], height: int) -> str:
    """A Tracker4 node, ready to be pasted into Nuke.

    `name`: the node's. `frames`: N frame numbers, rising. `points_px`: track name → (N, 2) plate points, NaN in frames
    where there is none. `height`: of the plate's display window.
    """
    rows = "".join(_row(track, frames, nuke_from_plate(points, height)) for track, points in points_px.items())
    columns = "".join(f"{{ {column} 1 }} \n" for column in _COLUMNS)
    return (
        f"Tracker4 {{\n inputs 0\n"
        f" tracks {{ {{ 1 {len(_COLUMNS)} {len(points_px)} }} \n{{ {columns}}} \n{{ \n{rows}}} \n}}\n"
        f" reference_frame {frames[0] if len(frames) else 1}\n name {_quoted(name)}\n}}\n"
    )


def corner_pin_text(
    name: str, frames: Sequence[int], from_px: ArrayLike, to_px: ArrayLike, height: int, from_height: int | None = None
) -> str:
    """A CornerPin2D node, ready to be pasted into Nuke.

    Corners: lower left, lower right, upper right, upper left; `from_px`: (4, 2) in pixels of the picture that is
    pinned, `from_height` (`height` if left out) high, `to_px`: (N, 4, 2) in those of the plate.
    """
    pinned = nuke_from_plate(from_px, height if from_height is None else from_height)
    places = nuke_from_plate(to_px, height)
    lines = ["CornerPin2D {", " inputs 0"]
    for corner, knob in enumerate(_CORNERS):
        x, y = (_curve(frames, places[:, corner, axis]) for axis in (0, 1))
        lines.append(f" {knob} {{{x} {y}}}")
    lines += [f" from{corner + 1} {{{_text(x)} {_text(y)}}}" for corner, (x, y) in enumerate(pinned)]
    return "\n".join([*lines, f" name {_quoted(name)}", "}", ""])


def parse_tracks(text: str, height: int) -> Tracks:
    """Track name → frame → (x, y) in plate pixels, of every key of the trackers and corner pins in a Nuke script.

    The corners of a CornerPin2D named NODE are the tracks `NODE.to1` … `NODE.to4`. Tracks without keys are left out.
    `height`: of the plate's display window. Raises SidecarError where there is no such node, where two tracks have one
    name, or where a track is driven by an expression.
    """
    tracks: Tracks = {}
    nodes = 0
    for kind, body in _nodes(text):
        nodes += 1
        for name, x, y in _animations(kind, body):
            keys = _keys(name, x, y)
            if not keys:
                continue
            if name in tracks:
                raise SidecarError(f"The track {name!r} is there twice; copy one node, or give the tracks names.")
            places = plate_from_nuke(list(keys.values()), height)
            tracks[name] = {frame: (float(px), float(py)) for frame, (px, py) in zip(keys, places, strict=True)}
    if not nodes:
        raise SidecarError("There is no Tracker4, Tracker3 or CornerPin2D in this text; copy the node in Nuke again.")
    return tracks


def _row(track: str, frames: Sequence[int], points: NDArray[np.float64]) -> str:
    """One line of the table: enabled where there is a point, translation on, rotation and scale off."""
    shown = [bool(np.isfinite(point).all()) for point in points]
    points = np.where(np.array(shown)[:, None], points, np.nan)
    starts = [(f, s) for i, (f, s) in enumerate(zip(frames, shown, strict=True)) if i == 0 or s != shown[i - 1]]
    enabled = "".join(f" x{frame} {int(on)}" for frame, on in starts)
    x, y = (_curve(frames, points[:, axis]) for axis in (0, 1))
    still = "{curve K x0 0}"
    unused = "{} " * 11
    return (
        f" {{ {{curve K{enabled}}} {_quoted(track)} {x} {y} {still} {still} 1 0 0 {{}} 1 0 "
        f"{_PATTERN} {_SEARCH} {unused} }} \n"
    )


def _curve(frames: Sequence[int], values: NDArray[np.float64]) -> str:
    words = []
    due = None
    for frame, value in zip(frames, values, strict=True):
        if np.isfinite(value):
            words.append(_text(value) if frame == due else f"x{frame} {_text(value)}")
            due = frame + 1
    return "{" + " ".join(["curve", *words]) + "}"


def _text(value: float) -> str:
    """A number in ten-thousandths of a pixel, without needless noughts."""
    return f"{round(value, 4):.4f}".rstrip("0").rstrip(".")


def _quoted(name: str) -> str:
    escaped = re.sub(r'([\\"\[\]${}])', r"\\\1", name)
    return f'"{escaped}"' if escaped != name or not name or re.search(r"\s", name) else name


def _nodes(text: str) -> Iterator[tuple[str, str]]:
    """Class and body of each node that holds tracks, wherever it stands in the script."""
    words = list(_words(re.sub(r"(?m)^\s*#.*$", "", text)))
    for word, body in pairwise(words):
        if not word.braced and body.braced and word.text in ("Tracker4", "Tracker3", "CornerPin2D"):
            yield word.text, body.text


def _animations(kind: str, body: str) -> Iterator[tuple[str, str, str]]:
    """Name, and the animation of x and y, of each track of a node."""
    words = list(_words(body))
    knobs = {knob.text: value.text for knob, value in zip(words[::2], words[1::2], strict=False)}
    if kind != "Tracker4":
        names = _CORNERS if kind == "CornerPin2D" else tuple(knob for knob in knobs if re.match(r"track\d+$", knob))
        for name in names:
            values = [value.text for value in _words(knobs.get(name, ""))]
            if len(values) == 2:
                yield f"{knobs.get('name', kind)}.{name}", values[0], values[1]
        return
    table = [value.text for value in _words(knobs.get("tracks", ""))]
    if len(table) < 3:
        return
    for row in _words(table[2]):
        values = [value.text for value in _words(row.text)]
        if len(values) > _TRACK_Y:
            yield values[_NAME], values[_TRACK_X], values[_TRACK_Y]


def _keys(name: str, x: str, y: str) -> dict[int, tuple[float, float]]:
    """Frame → Nuke's (x, y) at every frame that either has a key at."""
    curves = [_curve_keys(name, axis) for axis in (x, y)]
    frames = sorted(set().union(*(curve for curve in curves if not isinstance(curve, float))))
    columns = [
        np.full(len(frames), curve)
        if isinstance(curve, float)
        else np.interp(frames, sorted(curve), [curve[frame] for frame in sorted(curve)])
        for curve in curves
        if curve or isinstance(curve, float)
    ]
    if len(columns) < 2:
        return {}
    return {frame: (float(a), float(b)) for frame, a, b in zip(frames, *columns, strict=True)}


def _curve_keys(name: str, text: str) -> Keys | float:
    """The keys of an animation, or the number that stands in its place."""
    words = text.split()
    if len(words) == 1 and _NUMBER.match(words[0]):
        return float(words[0])
    if not words:
        return {}
    if words[0] != "curve":
        raise SidecarError(f"The track {name!r} is driven by {text!r}; bake it to keys in Nuke first.")
    keys: Keys = {}
    frame = 1.0
    for word in words[1:]:
        if word[0] == "x" and _NUMBER.match(word[1:]):
            frame = float(word[1:])
        elif _NUMBER.match(word):
            keys[round(frame)] = float(word)
            frame += 1
        elif not re.match(r"[A-Za-z]$|[stuv]", word):
            raise SidecarError(f"The track {name!r} has {word!r} in its curve, which is no key; copy it again.")
    return keys


def _words(text: str) -> Iterator[_Word]:
    """The words of a Tcl list or script; a brace that is never closed ends with the text."""
    at, end = 0, len(text)
    while at < end:
        if text[at].isspace() or text[at] == ";":
            at += 1
        elif text[at] == "{":
            stop = _closing(text, at)
            yield _Word(text[at + 1 : stop], True)
            at = stop + 1
        elif text[at] == '"' and (quoted := re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(text, at)):
            yield _Word(re.sub(r"\\(.)", r"\1", quoted[1]), False)
            at = quoted.end()
        else:
            bare = re.compile(r"(?:\\.|[^\s;{}])+|}", re.DOTALL).match(text, at)
            assert bare is not None  # what is left is no blank, so one of the two matches
            yield _Word(re.sub(r"\\(.)", r"\1", bare[0]), False)
            at = bare.end()


def _closing(text: str, start: int) -> int:
    """Where the brace that opens at `start` is closed, or the end of the text."""
    depth, at = 0, start
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return at
        at += 1
    return len(text)
