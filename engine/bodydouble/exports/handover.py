"""The hand-over to Nuke: a shot as ordinary nodes that an artist can open and change.

::

    BD_plate ─┬─────────────────────────────────────── nukeblend ── BD_over_plate ─┐
              └─ BD_stabilise (Transform)                 │ │                      │
    BD_patch ── BD_patch_format ── BD_place (CornerPin2D) ┘ │                      ├─ BD_choose
    BD_outline (Roto) ── BD_face_found ── BD_soften ── BD_matte                    │
    BD_result ─────────────────────────────────────────────────────────────────────┘     BD_landmarks (Tracker4)

`BD_shot` holds what they share: the folder, the width of the edge, how much of the plate's light is kept, and the size
of the face in every frame. `BD_choose` shows the engine's own frames (0) or what the nodes make (1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, crop_from_unit, similarity_parts, similarity_scale
from bodydouble.alignment.nuketracks import nuke_from_plate, tracker_text
from bodydouble.alignment.outline import face_outline
from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces
from bodydouble.errors import NoFaceError, PlateError, UsageError
from bodydouble.exports.nukeblend import blend_nodes
from bodydouble.exports.nukeroto import roto_curves
from bodydouble.exports.nukescript import Node, UserKnob, braced, keyed, number, script_text, vector
from bodydouble.plates.images import read_headers
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.writing import atomic_path

LIGHT = 0.2
"""Size of the low-pass that takes out the persona's own light, in sides of the crop."""

_CORNERS = np.array([[0, 1], [1, 1], [1, 0], [0, 0.0]])  # of the unit crop, in the order of a CornerPin2D


@dataclass(frozen=True)
class Handover:
    """What goes into the script.

    Attributes:
        plate: the shot.
        shot: its faces.
        person: whose; None for the most prominent.
        result: finished frames, None if there are none.
        patch: crop-space swaps, None if there are none; without them there is nothing to place and blend.
        patch_size: side of the patches in pixels.
        settings: size of outline and edge.
        space: the curve to blend in.
    """

    plate: PlateSequence
    shot: ShotFaces
    person: int | None = None
    result: PlateSequence | None = None
    patch: PlateSequence | None = None
    patch_size: int = 256
    settings: SwapSettings = field(default_factory=SwapSettings)
    space: ModelSpace = field(default_factory=ModelSpace)


def find_handover(
    plate: PlateSequence, faces: Path, person: int | None, result: str | None, patch: str | None, settings: SwapSettings
) -> Handover:
    """The hand-over of a shot whose frames and swaps lie on disk.

    Args:
        plate: the shot.
        faces: its `*.faces.json`.
        person: whose face; None for the most prominent.
        result, patch: what `swap` wrote: patterns or folders; None for none.
        settings: size of outline and edge.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    swaps = None if patch is None else PlateSequence.find(patch)
    size = 256 if swaps is None else _patch_size(swaps)
    finished = None if result is None else PlateSequence.find(result)
    return Handover(plate, read_shot_faces(faces), person, finished, swaps, size, settings)


def _patch_size(patch: PlateSequence) -> int:
    path = patch.path(patch.frames[0])
    size = read_headers(path)[0].attributes.get("bodydouble/crop_size")
    if not isinstance(size, int):
        raise PlateError(f"{path} is no patch: it has no bodydouble/crop_size. `bodydouble swap --patch` writes them.")
    return size


def write_handover(path: Path, handover: Handover) -> None:
    """Write the script; its files are named from the script's own folder, so that all can move together.

    Raises:
        NoFaceError: the person is in no frame.
        UsageError: a file lies on another drive, or a name cannot stand in a script.
        OutputError: the script cannot be written.
    """
    text = handover_text(handover, path.resolve().parent)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def handover_text(handover: Handover, folder: Path) -> str:
    """The script, to be saved in `folder`; see `write_handover`."""
    sighted = _Sighted.of(handover)
    shot, plate = _shot_node(handover, sighted), _read(handover, "plate", handover.plate, folder, 0)
    roto, found, soft, matte = _matte_nodes(handover, sighted)
    nodes, shown = [shot, plate, roto, found, soft, matte], []
    if handover.shot.pixel_aspect == 1:
        nodes.append(_stabilised(handover, sighted, plate))
    if handover.result is not None:
        shown.append(_read(handover, "result", handover.result, folder, -220))
        nodes.append(shown[0])
    if handover.patch is not None:
        patch = _read(handover, "patch", handover.patch, folder, 220)
        fitted, placed = _placed(handover, sighted, patch)
        blended = blend_nodes(plate, placed, found, matte, _linked("BD_shot.side*BD_shot.light"), handover.space)
        nodes += [patch, fitted, placed, *blended]
        shown.append(blended[-1])
    if shown:
        nodes.append(Node("Switch", "BD_choose", {"which": "0"}, shown, at=(-220, 1140)))
    landmarks = np.stack([face.landmarks_px for face in sighted.faces])  # N, 68, 2
    named = {f"landmark_{index:02d}": landmarks[:, index] for index in range(landmarks.shape[1])}
    return script_text(nodes) + tracker_text("BD_landmarks", sighted.frames, named, handover.shot.height)


@dataclass(frozen=True, eq=False)
class _Sighted:
    """The frames that show the person, and the faces there."""

    frames: Sequence[int]
    faces: Sequence[Face]

    @classmethod
    def of(cls, handover: Handover) -> _Sighted:
        shot, least = handover.shot, handover.settings.min_confidence
        faces = {frame: shot.face(frame, handover.person) for frame in sorted(shot.frames)}
        found = [(frame, face) for frame, face in faces.items() if face is not None and face.confidence >= least]
        if not found:
            raise NoFaceError("the person is in no frame of the shot faces; there is nothing to hand over.")
        return cls([frame for frame, _ in found], [face for _, face in found])


def _shot_node(handover: Handover, sighted: _Sighted) -> Node:
    sides = [1 / similarity_scale(face.unit_from_plate) for face in sighted.faces]
    knobs = (
        UserKnob("bodydouble", "20 bodydouble l Bodydouble"),
        UserKnob("folder", "2 folder l {shot folder}", braced("[file dirname [value root.name]]")),
        UserKnob("edge", "7 edge l {edge, % of the face} R 0 20", number(handover.settings.edge)),
        UserKnob("light", "7 light l {plate light, sides of the face} R 0.05 1", number(LIGHT)),
        UserKnob("side", "7 side l {face, pixels} R 0 2000", keyed(sighted.frames, sides)),
    )
    return Node("NoOp", "BD_shot", {"label": braced("folder, edge, light")}, (), knobs, (-440, 0))


def _read(handover: Handover, name: str, sequence: PlateSequence, folder: Path, x: int) -> Node:
    first, last = str(min(sequence.frames)), str(max(sequence.frames))
    patch = _format(handover.patch_size, handover.patch_size, 1.0, "bodydouble_patch")
    knobs = {
        "file": _file(sequence, folder),
        "format": patch if name == "patch" else _plate_format(handover),
        "first": first, "last": last, "origfirst": first, "origlast": last, "origset": "true",
    }  # fmt: skip
    return Node("Read", f"BD_{name}", knobs, at=(x, 0))


def _file(sequence: PlateSequence, folder: Path) -> str:
    """The sequence as a Read names it, from the folder that BD_shot holds."""
    path = Path(sequence.pattern)
    try:
        relative = Path(os.path.relpath(path.resolve().parent, folder), path.name).as_posix()
    except ValueError as error:
        raise UsageError(f"{path}: on another drive than the script; write the script beside the plate.") from error
    return braced(f"[value BD_shot.folder]/{relative}")


def _plate_format(handover: Handover) -> str:
    shot = handover.shot
    return _format(shot.width, shot.height, shot.pixel_aspect, "bodydouble_plate")


def _format(width: int, height: int, pixel_aspect: float, name: str) -> str:
    return braced(f"{width} {height} 0 0 {width} {height} {number(pixel_aspect)} {name}")


def _linked(expression: str) -> str:
    """A knob that follows an expression."""
    return "{{" + expression + "}}"


def _matte_nodes(handover: Handover, sighted: _Sighted) -> tuple[Node, Node, Node, Node]:
    """The outline, off where nobody is, and soft inwards; all in the alpha."""
    shot = handover.shot
    outlines = np.stack([outline_px(face, handover.settings.forehead) for face in sighted.faces])
    points = nuke_from_plate(outlines, shot.height)
    curves = roto_curves("face_outline", sighted.frames, points, shot.width, shot.height)
    knobs = {"output": "alpha", "format": _plate_format(handover), "cliptype": "none", "curves": curves}
    roto = Node("Roto", "BD_outline", knobs, at=(440, 0))
    gain = keyed(*_presence(shot, sighted), hold=True)
    found = Node("Multiply", "BD_face_found", {"channels": "alpha", "value": gain}, (roto,), at=(440, 100))
    size = _linked("BD_shot.side*BD_shot.edge/100")
    soft = Node("Blur", "BD_soften", {"channels": "alpha", "size": size}, (found,), at=(440, 200))
    # One half lies on the outline: what is above it is inside, and none of the ramp is outside.
    inner = {"expr3": braced("smoothstep(0,1,2*Aa-1)*Ba")}
    return roto, found, soft, Node("MergeExpression", "BD_matte", inner, (found, soft), at=(440, 300))


def outline_px(face: Face, forehead: float) -> NDArray[np.float64]:
    """(K, 2) plate points of the face's outline, the polygon that the engine's matte fills."""
    unit = face_outline(apply(face.unit_from_plate, face.landmarks_px), forehead)
    return apply(np.linalg.inv(face.unit_from_plate), unit)


def _presence(shot: ShotFaces, sighted: _Sighted) -> tuple[list[int], list[float]]:
    """Frames where the person comes or goes, and 1 or 0 from there on."""
    seen = set(sighted.frames)
    span = range(min(shot.frames), max(shot.frames) + 1)
    changes = [frame for frame in span if frame == span[0] or (frame in seen) != (frame - 1 in seen)]
    return changes, [float(frame in seen) for frame in changes]


def _placed(handover: Handover, sighted: _Sighted, patch: Node) -> tuple[Node, Node]:
    """The patch in the plate's format, its corners where the engine puts them."""
    size = handover.patch_size
    fit = {"format": _plate_format(handover), "resize": "none", "center": "false", "black_outside": "true"}
    fitted = Node("Reformat", "BD_patch_format", fit, (patch,), at=(220, 100))
    # The patch lies in the lower left of the plate's format: its own height is what its pixels are counted from.
    corners = nuke_from_plate(apply(crop_from_unit(size), _CORNERS), size)
    plate_px = np.stack([apply(np.linalg.inv(face.unit_from_plate), _CORNERS) for face in sighted.faces])
    places = nuke_from_plate(plate_px, handover.shot.height)  # N, 4, 2
    pins = {f"to{pin + 1}": keyed(sighted.frames, *places[:, pin].T) for pin in range(4)}
    pins |= {f"from{pin + 1}": vector(*corners[pin]) for pin in range(4)}
    return fitted, Node("CornerPin2D", "BD_place", pins, (fitted,), at=(220, 200))


def _stabilised(handover: Handover, sighted: _Sighted, plate: Node) -> Node:
    """The plate as the crop sees it, the face at rest: the placing as a Transform, inverted."""
    size = handover.patch_size
    parts = [similarity_parts(face.unit_from_plate) for face in sighted.faces]
    centres = nuke_from_plate(np.stack([centre for _, _, centre in parts]), handover.shot.height)
    # Our angles turn clockwise on screen and lead from the plate to the crop; Nuke's turn the other way, and back.
    turns = np.degrees(np.unwrap([angle for _, angle, _ in parts]))
    knobs = {
        "translate": keyed(sighted.frames, *(centres - size / 2).T),
        "rotate": keyed(sighted.frames, turns.tolist()),
        "scale": keyed(sighted.frames, [1 / (scale * size) for scale, _, _ in parts]),
        "center": vector(size / 2, size / 2),
        "invert_matrix": "true",
    }
    return Node("Transform", "BD_stabilise", knobs, (plate,), at=(-110, 200))
