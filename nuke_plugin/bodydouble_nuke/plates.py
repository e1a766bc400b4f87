"""The plate of a node: the file of the Read above where that is enough, else what the node's hidden Write renders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import nuke

from bodydouble_nuke.knobs import file_path
from bodydouble_nuke.mainthread import unrecorded
from bodydouble_nuke.shot import Plate, ShotError, input_pattern

PLATE, MATTE, HOLDOUT = 0, 1, 2
"""Inputs of the node."""
NAMES = {PLATE: "plate", MATTE: "matte", HOLDOUT: "holdout"}
WRITES = {PLATE: "PlateOut", MATTE: "MatteOut", HOLDOUT: "HoldoutOut"}

# Names that Nuke's own colour management has for its working space; a file in it needs no conversion.
_WORKING = ("", "default", "linear", "scene_linear", "raw")
# What the engine's built-in config calls the working space of Nuke's configs.
_ACES_WORKING, _NUKE_WORKING = "ACEScg", "Linear Rec.709 (sRGB)"
_PASSING = ("Dot", "NoOp")


@dataclass(frozen=True)
class PlateSource:
    """Where the plate comes from; `render` says that the node's Write must make its frames first."""

    plate: Plate
    render: bool


def plate_source(node: nuke.Gizmo, folder: str, environment: Mapping[str, str]) -> PlateSource:
    """Look at what is connected to the node. Main thread.

    Raises:
        ShotError: nothing is connected.
    """
    above = node.input(PLATE)
    if above is None:
        raise ShotError("Connect the plate to the node's plate input.")
    working, ocio = working_space(nuke.root(), environment)
    colorspace = str(node["colorspace"].value()).strip() or working
    pattern = _file_above(above, working)
    if pattern is not None:
        return PlateSource(Plate(pattern, colorspace, ocio), False)
    return PlateSource(Plate(input_pattern(folder, NAMES[PLATE]), colorspace, ocio), True)


def _file_above(node: nuke.Node | None, working: str) -> str | None:
    """The file pattern of a Read that hands its pixels through unchanged, else None."""
    while node is not None and node.Class() in _PASSING:
        node = node.input(0)
    if node is None or node.Class() != "Read":
        return None
    file = file_path(node, "file")
    if not file.lower().endswith(".exr") or ("#" not in file and "%" not in file):
        return None
    space = str(node["colorspace"].value()).split(" (")[0].lower()
    retimed = str(node["frame"].value() or "") not in ("", "0")
    converted = space not in (*_WORKING, working.lower())
    return None if retimed or converted else file


def working_space(root: nuke.Root, environment: Mapping[str, str]) -> tuple[str, str]:
    """Name of the script's working space, and the OpenColorIO config that knows it ("" for the engine's own)."""
    config = environment.get("OCIO", "")
    managed = str(root["colorManagement"].value()) == "OCIO"
    if not config and managed and str(root["OCIO_config"].value()) == "custom":
        config = file_path(root, "customOCIOConfigPath")
    if config and managed:
        return str(root["workingSpaceLUT"].value()) or "scene_linear", config
    is_aces = managed and "aces" in str(root["OCIO_config"].value()).lower()
    return (_ACES_WORKING if is_aces else _NUKE_WORKING), ""


def handed_mattes(node: nuke.Gizmo) -> tuple[int, ...]:
    """The inputs that the engine gets beside the plate. Main thread."""
    wanted = bool(node["blend_mattes"].value())
    return tuple(index for index in (MATTE, HOLDOUT) if wanted and node.input(index) is not None)


def state_of(node: nuke.Gizmo, index: int) -> tuple[int, ...]:
    """What an input of the node is made of: changes with it."""
    above = node.input(index)
    return () if above is None else tuple(above.opHashes())


def render_frame(node: nuke.Gizmo, index: int, frame: int) -> None:
    """Write one frame of an input by the node's hidden Write. Main thread.

    Raises:
        ShotError: Nuke is rendering already, or could not render.
    """
    with node:
        write = nuke.toNode(WRITES[index])
    if write is None:
        raise ShotError("The node has lost its inner nodes; make a new BodyDouble node and copy the values over.")
    os.makedirs(os.path.dirname(file_path(write, "file")), exist_ok=True)
    try:
        # Disabled at all other times: a render of the script must not find them.
        with unrecorded():
            write["disable"].setValue(False)
        nuke.execute(write, frame, frame)
    except RuntimeError as error:
        raise ShotError(f"Nuke could not render frame {frame} of the input: {error}") from error
    finally:
        with unrecorded():
            write["disable"].setValue(True)
