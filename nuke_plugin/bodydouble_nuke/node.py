"""The BodyDouble node: its knobs as plain values, and what is shown on it. Everything here needs the main thread."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence

import nuke

from bodydouble_nuke import plates
from bodydouble_nuke.engine import EngineError, read_model_card
from bodydouble_nuke.knobs import choices, file_path, press
from bodydouble_nuke.look import SETTINGS, SHOT_WIDE, Look, Value
from bodydouble_nuke.mainthread import unrecorded
from bodydouble_nuke.shot import Shot, ShotError, frames_on_disk, fresh_drafts, held_keys, result_pattern

CLASS = "BodyDouble"
READS = ("Result", "Draft")
NO_PERSONA = "choose a model first"
NO_PERFORMER = "somebody the model does not know"


def is_attached(node: nuke.Gizmo) -> bool:
    """Whether the node still exists in the script."""
    try:
        return bool(node.name())
    except ValueError:
        return False


def folder_of(node: nuke.Gizmo) -> str:
    """The node's folder.

    Raises:
        ShotError: its expression names no folder, as in a script that was never saved.
    """
    folder = file_path(node, "folder").rstrip("/")
    if not os.path.isabs(folder):
        raise ShotError("Save the script first, or give the node a folder: its files go beside the script.")
    return folder


def read_shot(node: nuke.Gizmo) -> tuple[Shot, plates.PlateSource]:
    """The node's request.

    Raises:
        ShotError: something is missing; the message says what.
    """
    folder = folder_of(node)
    model, persona = file_path(node, "model"), str(node["persona_name"].value())
    if not model:
        raise ShotError("Choose a model: the folder NAME.comb that `bodydouble train` wrote.")
    if not persona:
        raise ShotError("Choose a persona.")
    source = plates.plate_source(node, folder, os.environ)
    shot = Shot(
        folder=folder,
        plate=source.plate,
        model=model,
        persona=persona,
        person=int(node["person"].value()),
        look=read_look(node),
        layers=bool(node["layers"].value()),
        compression="" if str(node["compression"].value()) == "as the plate" else str(node["compression"].value()),
        production=str(node["production"].value()),
        fix=file_path(node, "fix"),
        measures=file_path(node, "measures"),
        mattes=tuple(plates.NAMES[index] for index in plates.handed_mattes(node)),
    )
    return shot, source


def read_look(node: nuke.Gizmo) -> Look:
    """The keyable knobs; a knob with an expression has a key in every frame of the range."""
    settings: dict[str, Value] = {}
    keys: dict[str, dict[int, Value]] = {}
    for name, kind in SETTINGS.items():
        knob = node[name]
        settings[name] = kind(knob.value())
        if name not in SHOT_WIDE and knob.isAnimated():
            frames: Iterable[float] = frame_list(node) if knob.hasExpression() else knob.getKeyList()
            keys[name] = {int(frame): kind(knob.getValueAt(frame)) for frame in frames}
    if performer := str(node["performer_name"].value()):
        settings["performer"] = performer
    return Look(settings, keys)


def frame_list(node: nuke.Gizmo) -> list[int]:
    """The node's frame range.

    Raises:
        ShotError: it ends before it begins.
    """
    first, last = int(node["first"].value()), int(node["last"].value())
    if last < first:
        raise ShotError(f"The frame range {first}-{last} ends before it begins.")
    return list(range(first, last + 1))


def prepare(node: nuke.Gizmo, taken: Iterable[str]) -> None:
    """Give a new or pasted node its own identity, and the range of what it is connected to."""
    with unrecorded():
        if not node["uid"].value() or node["uid"].value() in set(taken):
            node["uid"].setValue(uuid.uuid4().hex[:8])
            node["ready"].fromScript("0")
            node["drafted"].fromScript("0")
            node["status"].setValue("")
        if node["first"].value() == node["last"].value() == 0:
            root = nuke.root()
            node["first"].setValue(int(root["first_frame"].value()))
            node["last"].setValue(int(root["last_frame"].value()))
    show_personas(node)


def show_personas(node: nuke.Gizmo) -> None:
    """Fill the menus of persona and performer from the model; who is chosen is kept in knobs of their own, as menus are
    not saved.
    """
    model, chosen = file_path(node, "model"), str(node["persona_name"].value())
    card, text = None, "No model is chosen."
    if model:
        try:
            card = read_model_card(model)
        except EngineError as error:
            text = str(error)
    with unrecorded():
        names = list(card.personas) if card else [chosen or NO_PERSONA]
        if card and chosen not in names:
            chosen = names[0] if names else ""
            node["persona_name"].setValue(chosen)
        menu = choices(node, "persona")
        menu.setValues(names)
        menu.setValue(chosen if chosen in names else names[0])
        performer = str(node["performer_name"].value())
        if card and performer not in names:
            performer = ""
            node["performer_name"].setValue(performer)
        known = choices(node, "performer")
        known.setValues([NO_PERFORMER, *(card.personas if card else filter(None, [performer]))])
        known.setValue(performer or NO_PERFORMER)
        if card:
            text = f"{card.size} x {card.size} pixels, {len(names)} personas.\n{chosen}: {card.rights.get(chosen, '')}"
        node["card"].setValue(text)


def finished(node: nuke.Gizmo) -> list[int]:
    """Frames that lie in the node's folder and were not tried in another look since."""
    folder = folder_of(node)
    return sorted(set(frames_on_disk(result_pattern(folder))) - set(fresh_drafts(folder)))


def show_status(node: nuke.Gizmo, text: str) -> None:
    """The line under the buttons."""
    with unrecorded():
        node["status"].setValue(text)


def show_results(node: nuke.Gizmo, landed: Iterable[int] = (), drafted: Iterable[int] = ()) -> list[int]:
    """Let the node show what lies in its folder, and read it again; returns the frames that are finished.

    landed, drafted: finished frames and drafts that are known to be there: a network's listing may be late.
    """
    found = show_found(node, landed, drafted)
    with unrecorded():
        with node:
            reads = [nuke.toNode(name) for name in READS]
        for read in filter(None, reads):
            press(read, "reload")
    return found


def show_found(node: nuke.Gizmo, landed: Iterable[int] = (), drafted: Iterable[int] = ()) -> list[int]:
    """As `show_results`, without reading anything again: Nuke refuses that while it renders."""
    folder = folder_of(node)
    found = sorted({*frames_on_disk(result_pattern(folder)), *landed})
    with unrecorded():
        _show(node, "ready", found)
        _show(node, "drafted", sorted({*fresh_drafts(folder), *drafted}))
    return found


def show_range(node: nuke.Gizmo) -> None:
    """Let the node show finished frames, and no drafts, in all its range, whether they are there yet or not."""
    with unrecorded():
        _show(node, "ready", sorted({*frames_on_disk(result_pattern(folder_of(node))), *frame_list(node)}))
        _show(node, "drafted", [])


def _show(node: nuke.Gizmo, knob: str, frames: Sequence[int]) -> None:
    node[knob].fromScript(held_keys(frames, frames[0], frames[-1]) if frames else "0")
