"""Nuke scripts as text: nodes, keyed knobs and the stack that links them.

A script is Tcl, read from the top: a node takes as many inputs as its `inputs` says off a stack and puts itself on it;
``set N [stack 0]`` remembers what lies on top, ``push $N`` puts it there again. The first input (B) is pushed last.
Values stand in braces, where Tcl changes nothing, so the text needs no back-slash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bodydouble.errors import UsageError

VERSION = "14.0 v1"
"""The oldest Nuke that reads what is written here; later ones upgrade it."""

_PLAIN = re.compile(r"[\w.+:#-]+", re.ASCII)


@dataclass(frozen=True)
class UserKnob:
    """A knob that a node gets besides its own: `words` as `addUserKnob` takes them, and its value in Nuke's form."""

    name: str
    words: str
    value: str | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a script.

    Attributes:
        kind: node class, such as "Read".
        name: unique in the script; a word without blanks.
        knobs: knob name → text in Nuke's form; `keyed`, `vector` and `braced` make it.
        inputs: the nodes linked to, input 0 (B) first; None for an input that stays open.
        user_knobs: further knobs.
        at: position in the node graph, x to the right, y down.
    """

    kind: str
    name: str
    knobs: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[Node | None] = ()
    user_knobs: Sequence[UserKnob] = ()
    at: tuple[int, int] | None = None


def script_text(nodes: Sequence[Node], layers: Mapping[str, Sequence[str]] | None = None) -> str:
    """A script that Nuke opens, imports or pastes. `layers`: channel layers to declare, name → channels."""
    lines = [f"version {VERSION}"]
    for layer, channels in (layers or {}).items():
        lines.append("add_layer {" + " ".join([layer, *(f"{layer}.{channel}" for channel in channels)]) + "}")
    return "\n".join([*lines, *_statements(nodes, "")]) + "\n"


def keyed(frames: Sequence[int], *channels: Sequence[float], hold: bool = False) -> str:
    """A knob with a key at each frame, one sequence of values per channel; `hold`: no interpolation between keys."""
    start = "curve K" if hold else "curve"
    curves = (
        " ".join([start, *(f"x{f} {number(v)}" for f, v in zip(frames, values, strict=True))]) for values in channels
    )
    return "{" + " ".join("{" + curve + "}" for curve in curves) + "}"


def vector(*values: float) -> str:
    """A knob of several numbers."""
    return "{" + " ".join(map(number, values)) + "}"


def number(value: float) -> str:
    """A finite number without an exponent or needless noughts, to a millionth."""
    if not math.isfinite(value):
        raise ValueError(f"a script has no word for {value}")
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def braced(text: str) -> str:
    """Any text as one word of Tcl that stays as it is.

    Raises:
        UsageError: its braces do not pair, or it has a back-slash: no path or name that Nuke could take has.
    """
    if "\\" in text or not _paired(text):
        raise UsageError(f"{text!r} cannot stand in a Nuke script; use names without braces and back-slashes.")
    return text if _PLAIN.fullmatch(text) else "{" + text + "}"


def _paired(text: str) -> bool:
    depth = 0
    for sign in re.findall(r"[{}]", text):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _statements(nodes: Sequence[Node], indent: str) -> list[str]:
    """The nodes in their order; a node stands after those it is linked to."""
    needed = {id(source) for node in nodes for source in node.inputs}
    lines: list[str] = []
    for node in nodes:
        lines += [f"{indent}push {_handle(source)}" for source in reversed(node.inputs)]
        lines += _node_lines(node, indent)
        if id(node) in needed:
            lines.append(f"{indent}set N{node.name} [stack 0]")
    return lines


def _node_lines(node: Node, indent: str) -> list[str]:
    # One input is what Nuke takes where nothing is said.
    knobs = [f"inputs {len(node.inputs)}"] if len(node.inputs) != 1 else []
    knobs += [f"{name} {value}" for name, value in node.knobs.items()]
    knobs.append(f"name {node.name}")
    if node.at is not None:
        knobs += [f"xpos {node.at[0]}", f"ypos {node.at[1]}"]
    for user_knob in node.user_knobs:
        knobs += [f"addUserKnob {{{user_knob.words}}}"]
        if user_knob.value is not None:
            knobs.append(f"{user_knob.name} {user_knob.value}")
    return [f"{indent}{node.kind} {{", *(f"{indent} {knob}" for knob in knobs), f"{indent}}}"]


def _handle(source: Node | None) -> str:
    return "0" if source is None else f"$N{source.name}"
