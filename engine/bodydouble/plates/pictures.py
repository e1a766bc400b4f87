"""Which channels of which part of a file are the picture: the one thing that a swap changes.

A file may hold several pictures: parts with names, views of a stereo pair (a part each, or in one part as channels
``left.R``), layers. Without a wish the first part with plain R, G, B is taken, else the first layer that has all three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bodydouble.errors import PlateError, UsageError

SPELLINGS = (
    ("R", "G", "B", "A"),
    ("r", "g", "b", "a"),
    ("red", "green", "blue", "alpha"),
    ("Red", "Green", "Blue", "Alpha"),
)


class PartNames(Protocol):
    """What is read of a part to choose: `Header` and `Part` of `plate` have it."""

    @property
    def name(self) -> str: ...
    @property
    def view(self) -> str: ...
    @property
    def channel_views(self) -> tuple[str, ...]: ...
    @property
    def channels(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Picture:
    """The picture in a file.

    Attributes:
        part: index of its part.
        rgb: its colour channels.
        alpha: its coverage, None if it has none.
        view: of the channels' names where one part holds several views and this is not the first; else "".
    """

    part: int
    rgb: tuple[str, str, str]
    alpha: str | None
    view: str = ""

    def own_channel(self, name: str) -> str:
        """The name of a channel that is added beside this picture: views in one part keep theirs apart.

        "bodydouble.matte" of the view left is "bodydouble.left.matte", as OpenEXR names views.
        """
        layer, _, last = name.rpartition(".")
        return f"{layer}.{self.view}.{last}" if self.view else name


def find_picture(parts: Sequence[PartNames], part: str | None = None, view: str | None = None) -> Picture:
    """The picture to work on.

    Args:
        parts: of the file, in order.
        part: name of the wanted part, or its number from 1; None for any.
        view: name of the wanted view; None for any.

    Errors: UsageError for a part or view that the file does not have, with those it has; PlateError where there is no
    R, G, B.
    """
    wanted = _wanted_parts(parts, part)
    if view is not None:
        return _of_view(parts, wanted, view)
    for layered in (False, True):
        for index in wanted:
            rgba = _rgba(parts[index].channels, layered)
            if rgba is not None:
                return Picture(index, *rgba)
    raise PlateError(f"no R, G, B channels to work on (it has {_listed(parts, wanted)}).")


def views_of(parts: Sequence[PartNames]) -> tuple[str, ...]:
    """The names of all views, in order."""
    named = (name for part in parts for name in (*part.channel_views, part.view) if name)
    return tuple(dict.fromkeys(named))


def _wanted_parts(parts: Sequence[PartNames], part: str | None) -> list[int]:
    if part is None:
        return list(range(len(parts)))
    named = [index for index, item in enumerate(parts) if item.name == part]
    if not named and part.isdecimal() and 1 <= int(part) <= len(parts):
        named = [int(part) - 1]
    if not named:
        names = ", ".join(item.name or str(index) for index, item in enumerate(parts, start=1))
        raise UsageError(f"there is no part {part}; parts: {names}.")
    return named


def _of_view(parts: Sequence[PartNames], wanted: Sequence[int], view: str) -> Picture:
    of_view = [index for index in wanted if parts[index].view == view]
    for layered in (False, True):
        for index in of_view:
            rgba = _rgba(parts[index].channels, layered)
            if rgba is not None:
                return Picture(index, *rgba)
    for index in wanted:
        views = parts[index].channel_views
        if view not in views:
            continue
        # The first view's channels carry no view name (OpenEXR, Multi-View).
        rgba = _rgba(parts[index].channels, False) if view == views[0] else _layer_rgba(parts[index].channels, view)
        if rgba is not None:
            return Picture(index, *rgba, "" if view == views[0] else view)
    if view in views_of(parts):
        raise PlateError(f"the view {view} has no R, G, B channels to work on.")
    raise UsageError(f"there is no view {view}; views: {', '.join(views_of(parts)) or 'none'}.")


def _rgba(channels: Sequence[str], layered: bool) -> tuple[tuple[str, str, str], str | None] | None:
    layers: Mapping[str, None] = dict.fromkeys(name.rpartition(".")[0] for name in channels if "." in name)
    for layer in layers if layered else [""]:
        found = _layer_rgba(channels, layer)
        if found is not None:
            return found
    return None


def _layer_rgba(channels: Sequence[str], layer: str) -> tuple[tuple[str, str, str], str | None] | None:
    for spelling in SPELLINGS:
        red, green, blue, alpha = (f"{layer}.{name}" if layer else name for name in spelling)
        if {red, green, blue} <= set(channels):
            return (red, green, blue), alpha if alpha in channels else None
    return None


def _listed(parts: Sequence[PartNames], wanted: Sequence[int]) -> str:
    names = list(dict.fromkeys(name for index in wanted for name in parts[index].channels))
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
