"""Knobs of the kinds whose methods Nuke's general knob does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import nuke


def file_path(node: nuke.Node, name: str) -> str:
    """A file knob's path at this frame, expressions filled in, with slashes; "" where there is none."""
    return str(cast("nuke.File_Knob", node[name]).evaluate() or "").replace("\\", "/")


def choices(node: nuke.Node, name: str) -> nuke.Enumeration_Knob:
    """A menu knob."""
    return cast("nuke.Enumeration_Knob", node[name])


def press(node: nuke.Node, name: str) -> None:
    """Press a button knob."""
    cast("nuke.Script_Knob", node[name]).execute()
