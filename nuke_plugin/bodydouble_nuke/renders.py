"""What happens when Nuke renders without a GUI: nodes that were told to have missing frames swapped, frame by frame.

Nuke calls these before a Write renders and before each of its frames ("Callbacks" in Foundry's Python developer guide);
an exception ends the render with its message.
"""

from __future__ import annotations

import nuke

from bodydouble_nuke import node as nodes
from bodydouble_nuke.engine import EngineError
from bodydouble_nuke.session import SESSION, swap_for_render
from bodydouble_nuke.shot import ShotError

SWAP_MISSING = "swap what is missing"


def before_render(write: nuke.Node) -> None:
    """A Write begins. Its nodes shall show all frames of their range: none is rendered before it is there.

    Raises:
        RuntimeError: a node cannot work like this.
    """
    for node in _asked(write):
        try:
            nodes.show_range(node)
        except ShotError as error:
            raise RuntimeError(f"{node.fullName()}: {error}") from error


def before_frame(write: nuke.Node, frame: int) -> None:
    """A Write's frame begins: it is swapped first where it is missing, or was only tried in another look.

    Raises:
        RuntimeError: it cannot be swapped.
    """
    for node in _asked(write):
        try:
            if frame in nodes.frame_list(node) and frame not in nodes.finished(node):
                swap_for_render(node, [frame])
                if frame not in nodes.finished(node):
                    raise ShotError(str(node["status"].value()))
        except (ShotError, EngineError) as error:
            nodes.show_found(node)
            raise RuntimeError(f"{node.fullName()}, frame {frame}: {error}") from error


def _asked(write: nuke.Node) -> list[nuke.Gizmo]:
    """The nodes above a Write that shall swap what is missing, those furthest up first."""
    if nuke.GUI:
        return []
    order = {name: index for index, name in enumerate(_above(write))}
    found = [
        node
        for node in SESSION.nodes.values()
        if nodes.is_attached(node) and str(node["on_render"].value()) == SWAP_MISSING and _outermost(node) in order
    ]
    return sorted(found, key=lambda node: order[_outermost(node)])


def _above(write: nuke.Node) -> list[str]:
    """Names of the script's own nodes above a Write, each after those above it. Groups count as one node."""
    with nuke.root():
        last = nuke.toNode(_outermost(write)) or write
    inside = last.Class() == nodes.CLASS  # one of our own hidden Writes: what it writes comes from above the node
    waiting = [(node, False) for node in _inputs(last)] if inside else [(last, False)]
    names: dict[str, None] = {}
    seen: set[str] = set()
    while waiting:
        node, done = waiting.pop()
        if done:
            names[node.name()] = None
        elif node.name() not in seen:
            seen.add(node.name())
            waiting.append((node, True))
            waiting += [(above, False) for above in _inputs(node)]
    return list(names)


def _inputs(node: nuke.Node) -> list[nuke.Node]:
    above = [node.input(index) for index in range(node.inputs())]
    return [each for each in above if each is not None]


def _outermost(node: nuke.Node) -> str:
    """Name of the script's own node that a node is, or is inside of."""
    return str(node.fullName()).split(".")[0]
