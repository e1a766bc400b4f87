"""What one Nuke keeps while it runs: the worker, the nodes' runs, and which plate frames are rendered.

The functions at the end are what buttons and scripts call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nuke

from bodydouble_nuke import node as nodes
from bodydouble_nuke import plates
from bodydouble_nuke.engine import EngineError, diagnose, find_engine
from bodydouble_nuke.farm import submit, submit_arguments
from bodydouble_nuke.knobs import file_path
from bodydouble_nuke.look import SETTINGS, write_look
from bodydouble_nuke.mainthread import later
from bodydouble_nuke.run import Run
from bodydouble_nuke.shot import ShotError, drop_measures, frame_range, frames_on_disk, input_pattern
from bodydouble_nuke.steps import Purpose, steps_of
from bodydouble_nuke.worker import Worker


@dataclass
class Session:
    """State of one Nuke process; only the main thread uses it."""

    worker: Worker | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    nodes: dict[str, nuke.Gizmo] = field(default_factory=dict)
    rendered: dict[tuple[str, int, int], tuple[int, ...]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)

    def worker_of(self, node: nuke.Gizmo) -> Worker:
        """The worker, started anew when the node names another engine.

        Raises:
            EngineError: there is no engine.
        """
        engine = find_engine(file_path(node, "engine"), os.environ)
        if self.worker is None or self.worker.engine.command != engine.command:
            self.close_worker()
            self.worker = Worker(engine)
        return self.worker

    def close_worker(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def uid(self, node: nuke.Gizmo) -> str:
        """The node's identity; a node that lost it gets a new one."""
        identity = str(node["uid"].value())
        self.nodes[identity] = node
        return identity

    def others(self, node: nuke.Gizmo) -> list[str]:
        """Identities that belong to other nodes of the script."""
        self.nodes = {uid: other for uid, other in self.nodes.items() if nodes.is_attached(other)}
        return [uid for uid, other in self.nodes.items() if other is not node and other.fullName() != node.fullName()]

    def is_busy(self, node: nuke.Gizmo) -> bool:
        """Whether the node has a run that goes on."""
        run = self.runs.get(self.uid(node))
        return run is not None and run.is_running


SESSION = Session()
"""The one of this Nuke."""


def start(node: nuke.Gizmo, frames: Sequence[int], purpose: Purpose = "swap") -> Run:
    """Do what a purpose needs of the node's frames, what it builds on first; returns at once in the GUI.

    Without a GUI it returns when all is done. `frames` do not matter where the purpose is "align" or "measure".

    Raises:
        ShotError, EngineError: it cannot begin.
    """
    if SESSION.is_busy(node):
        raise ShotError("This node is at work; cancel it first.")
    shot, source = nodes.read_shot(node)
    worker = SESSION.worker_of(node)
    steps = steps_of(shot, frames, purpose)
    whole = any(step.whole for step in steps)
    inputs = [(plates.PLATE, nodes.frame_list(node) if whole else list(frames))] if source.render else []
    if purpose not in ("align", "measure"):
        write_look(shot.look_file, shot.look)
        inputs += [(index, list(frames)) for index in plates.handed_mattes(node)]
    if purpose == "render":
        _require_rendered(node, inputs)
        inputs = []
    render = [pair for index, wanted in inputs for pair in _to_render(node, index, wanted)]
    run = Run(node, worker, shot, steps, render, _render_one, purpose)
    SESSION.runs[SESSION.uid(node)] = run
    run.begin()
    return run


def _to_render(node: nuke.Gizmo, index: int, frames: Sequence[int]) -> list[tuple[int, int]]:
    """Frames of an input that were not rendered yet from what is connected now, with the input."""
    uid, state = SESSION.uid(node), plates.state_of(node, index)
    there = _rendered(node, index)
    fresh = {frame for frame in there if SESSION.rendered.get((uid, index, frame)) == state}
    return [(index, frame) for frame in frames if frame not in fresh]


def _rendered(node: nuke.Gizmo, index: int) -> set[int]:
    """Frames of an input that lie in the node's folder."""
    folder = nodes.folder_of(node)
    return set(frames_on_disk(input_pattern(folder, plates.NAMES[index])))


def _require_rendered(node: nuke.Gizmo, inputs: Sequence[tuple[int, Sequence[int]]]) -> None:
    """Nuke renders nothing from inside a render: what the node's Writes made before must be there."""
    for index, frames in inputs:
        missing = set(frames) - _rendered(node, index)
        if missing:
            name = plates.NAMES[index]
            raise ShotError(
                f"The engine needs the {name} as files, and frames {frame_range(missing)} are not there. "
                "Nuke cannot render them from inside a render: swap the range in the GUI once, or connect a Read."
            )


def _render_one(node: nuke.Gizmo, index: int, frame: int) -> None:
    plates.render_frame(node, index, frame)
    SESSION.rendered[SESSION.uid(node), index, frame] = plates.state_of(node, index)


def swap_now(node: nuke.Gizmo, frames: Sequence[int]) -> list[int]:
    """Swap frames and wait for them, for scripts in a terminal Nuke; returns the frames that are finished.

    Raises:
        ShotError, EngineError: it could not be done; the message says why.
    """
    return _waited(start(node, frames))


def swap_for_render(node: nuke.Gizmo, frames: Sequence[int]) -> list[int]:
    """As `swap_now`, while Nuke renders. The plate must be files."""
    return _waited(start(node, frames, purpose="render"))


def _waited(run: Run) -> list[int]:
    run.wait()
    if run.problem:
        raise ShotError(run.problem)
    return sorted(run.landed)


def button(node: nuke.Gizmo, action: str) -> None:
    """What a button of the node does; a problem is told where the artist sees it."""
    try:
        if action == "align":
            start(node, [], "align")
        elif action == "measure":
            _measure(node)
        elif action == "swap_frame":
            start(node, [nuke.frame()], "swap frame")
        elif action == "swap_range":
            start(node, nodes.frame_list(node))
        elif action == "cancel":
            cancel(node)
        elif action == "reload":
            nodes.show_personas(node)
            found = nodes.show_results(node)
            nodes.show_status(node, f"{len(found)} finished frames: {frame_range(found) or 'none'}")
        elif action == "doctor":
            engine = find_engine(file_path(node, "engine"), os.environ)
            _aside(node, diagnose, engine)
        elif action == "submit":
            _submit(node)
    except (ShotError, EngineError) as error:
        nodes.show_status(node, str(error))
        _tell(node, str(error))


def _measure(node: nuke.Gizmo) -> None:
    if file_path(node, "measures"):
        raise ShotError("The knob measures names a file already; empty it, and the node measures the plate itself.")
    start(node, [], "measure")


def _submit(node: nuke.Gizmo) -> None:
    shot, source = nodes.read_shot(node)
    frames = nodes.frame_list(node)
    if source.render and set(frames) - _rendered(node, plates.PLATE):
        raise ShotError("The farm needs the plate as files: press Align first, which renders it, or connect a Read.")
    for index in plates.handed_mattes(node):
        if set(frames) - _rendered(node, index):
            name = plates.NAMES[index]
            raise ShotError(f"The farm needs the {name} as files: swap the range here once, or do not hand it over.")
    write_look(shot.look_file, shot.look)
    if not shot.is_measured:
        drop_measures(shot)  # the farm takes what is there for the right ones
    farm, chunk = str(node["farm_engine"].value()), int(node["chunk"].value())
    engine = find_engine(file_path(node, "engine"), os.environ)
    _aside(node, submit, engine, submit_arguments(shot, farm, frames, chunk, node.name()))


def _aside(node: nuke.Gizmo, function: Callable[..., str], *arguments: Any) -> None:
    """Do what takes seconds beside the main thread, and tell what came of it."""

    def work() -> None:
        try:
            text = function(*arguments)
        except EngineError as error:
            text = str(error)
        later(_tell, node, text)

    if nuke.GUI:
        threading.Thread(target=work, name="bodydouble aside", daemon=True).start()
    else:
        work()


def cancel(node: nuke.Gizmo) -> None:
    """End the node's run; frames that are finished stay."""
    run = SESSION.runs.get(SESSION.uid(node))
    if run is not None and run.is_running:
        run.cancel()


def changed(node: nuke.Gizmo, knob: str) -> None:
    """A knob of a node was changed by the artist."""
    if knob == "model":
        nodes.show_personas(node)
    elif knob == "persona":
        if str(node["persona"].value()) != nodes.NO_PERSONA:
            node["persona_name"].setValue(str(node["persona"].value()))
            nodes.show_personas(node)
    elif knob == "performer":
        chosen = str(node["performer"].value())
        node["performer_name"].setValue("" if chosen == nodes.NO_PERFORMER else chosen)
        _look_changed(node)
    elif knob in SETTINGS:
        _look_changed(node)


def _look_changed(node: nuke.Gizmo) -> None:
    if nuke.GUI and node["live"].value():
        blend_again(node)


def blend_again(node: nuke.Gizmo) -> None:
    """Swap the current frame again with the look as it is now; the latest change wins over those while it runs."""
    uid = SESSION.uid(node)
    if SESSION.worker is None or SESSION.worker.pid is None or not node["ready"].getValueAt(nuke.frame()):
        return
    if SESSION.is_busy(node):
        SESSION.wanted.add(uid)
        return
    try:
        run = start(node, [nuke.frame()], purpose="look")
    except (ShotError, EngineError) as error:
        nodes.show_status(node, str(error))
        return
    run.when_done(lambda: _blend_if_wanted(node, uid))


def _blend_if_wanted(node: nuke.Gizmo, uid: str) -> None:
    if uid in SESSION.wanted and nodes.is_attached(node):
        SESSION.wanted.discard(uid)
        blend_again(node)


def created(node: nuke.Gizmo) -> None:
    """A node came to be: made, pasted, read from a script, or brought back by undo."""
    nodes.prepare(node, SESSION.others(node))
    SESSION.uid(node)
    if nuke.root().name() != "Root" and os.path.isabs(file_path(node, "folder")):
        nodes.show_results(node)


def destroyed(node: nuke.Gizmo) -> None:
    """A node is about to go."""
    cancel(node)


def script_closed() -> None:
    """The script goes; so does what belongs to it."""
    for run in SESSION.runs.values():
        if run.is_running:
            run.cancel()
    SESSION.runs.clear()
    SESSION.nodes.clear()
    SESSION.rendered.clear()
    SESSION.wanted.clear()
    SESSION.close_worker()


def _tell(node: nuke.Gizmo, text: str) -> None:
    if nuke.GUI:
        nuke.message(f"{node.name()}\n\n{text}")
    else:
        nuke.tprint(f"{node.name()}: {text}")
