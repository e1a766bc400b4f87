"""Reads Nuke scripts as Nuke does, by a real Tcl interpreter with a node stack, and evaluates keyed knobs."""

from __future__ import annotations

import functools
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from nukewords import FUNCTIONS_UNREAD, LINKS_SEEN

tkinter = pytest.importorskip("tkinter", reason="this Python was built without Tcl")


@dataclass
class ReadNode:
    """A node as Tcl saw it: knobs in their order, `addUserKnob`s as their words, the nodes inside a group."""

    kind: str
    name: str
    inputs: list[str]
    knobs: dict[str, str] = field(default_factory=dict)
    user_knobs: list[tuple[str, ...]] = field(default_factory=list)
    inside: list[ReadNode] = field(default_factory=list)


@dataclass
class ReadScript:
    """A script as Tcl saw it."""

    nodes: list[ReadNode] = field(default_factory=list)
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    version: str = ""

    def node(self, name: str) -> ReadNode:
        return next(node for node in self.everything() if node.name == name)

    def everything(self) -> Iterator[ReadNode]:
        for node in self.nodes:
            yield node
            yield from node.inside


def tcl_list(text: str) -> tuple[str, ...]:
    """The words of a Tcl list."""
    return tuple(map(str, interpreter(threading.get_ident()).splitlist(text)))


@functools.cache
def interpreter(thread: int) -> tkinter.Tk:
    """A thread's own Tcl: making one takes longer than what it is asked."""
    return tkinter.Tcl()


def read_script(text: str) -> ReadScript:
    """Run a script; an unknown command is a node class, as in Nuke."""
    tcl = tkinter.Tcl()
    script = ReadScript()
    stacks: list[list[str]] = [[]]
    groups = [script.nodes]

    def node(kind: str, body: str = "") -> None:
        words = list(map(str, tcl.splitlist(body)))
        assert len(words) % 2 == 0, f"{kind}: a knob without a value in {body[:200]}"
        pairs = list(zip(words[::2], words[1::2], strict=True))
        knobs = {name: value for name, value in pairs if name != "addUserKnob"}
        inputs = int(knobs.pop("inputs", "1"))
        taken, stacks[-1][:inputs] = stacks[-1][:inputs], []
        user = [tuple(map(str, tcl.splitlist(value))) for name, value in pairs if name == "addUserKnob"]
        read = ReadNode(kind, knobs.get("name", kind), taken, knobs, user)
        groups[-1].append(read)
        stacks[-1].insert(0, read.name)
        if kind in ("Group", "Gizmo"):
            groups.append(read.inside)
            stacks.append([])

    def end_group() -> None:
        groups.pop()
        stacks.pop()

    def add_layer(words: str) -> None:
        layer, *channels = map(str, tcl.splitlist(words))
        script.layers[layer] = tuple(channels)

    tcl.createcommand("unknown", node)
    tcl.createcommand("push", lambda name: stacks[-1].insert(0, name))
    tcl.createcommand("stack", lambda depth: stacks[-1][int(depth)])
    tcl.createcommand("end_group", end_group)
    tcl.createcommand("add_layer", add_layer)
    tcl.createcommand("version", lambda *words: setattr(script, "version", " ".join(words)))
    tcl.eval(text)
    assert len(groups) == 1, "a group is not ended"
    return script


STUBS = """
proc version args {}
proc push node {}
proc stack depth { return node }
proc add_layer words {}
proc end_group {} { puts end }
proc unknown {kind body} { puts "$kind [llength $body]" }
"""
"""What tclsh needs to run a script of Nuke's."""


def tclsh_says(text: str) -> list[str]:
    """What a script prints in `tclsh` with stubs for Nuke's commands: its classes, with how many words they have."""
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("no tclsh on this machine; the other tests use Python's own Tcl")
    done = subprocess.run([tclsh], input=STUBS + text, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def nkparser_complaints(text: str, *harmless: str) -> list[str]:
    """What nkparser says is wrong with a script; a part of one has no Root, and may name nodes that nobody uses."""
    nkparser = pytest.importorskip("nkparser")
    script = nkparser.Script.from_string(text)
    assert list(script.all_nodes())
    known = ("missing-root", "orphaned-set", *harmless)
    return [str(item) for item in script.diagnostics if item.code not in known]


def unknown_links(nodes: Sequence[ReadNode], own: Collection[str] = ()) -> set[str]:
    """What the expressions of nodes name that is not there, or was not looked up (`nukewords.LINKS_SEEN`).

    own: the knobs of the group that the nodes are in, for `parent`; those of nodes in `nodes` are known.
    """
    seen = set().union(FUNCTIONS_UNREAD, *LINKS_SEEN.values())
    knobs = {node.name: {words[1] for words in node.user_knobs} for node in nodes} | {"root": {"name"}}
    knobs |= {"parent": set(own)}
    wrong: set[str] = set()
    for node in nodes:
        for text in node.knobs.values():
            wrong |= {command for command in re.findall(r"\[\w+", text) if command not in seen}
            if node.kind.endswith("Expression") or text.startswith("{"):
                wrong |= {name for name in re.findall(r"\b([a-z]+)\(", text) if name not in seen}
                links = re.findall(r"\b([A-Za-z_]\w*)\.([a-z]\w*)", text)
            else:
                links = re.findall(r"\[value (\w+)\.(\w+)", text)
            wrong |= {f"{name}.{knob}" for name, knob in links if knob not in knobs.get(name, set()) | _built_in(name)}
    return wrong


def _built_in(name: str) -> set[str]:
    """What an expression may ask of a name without a knob of ours: a group's inputs, and channels of our layers."""
    return {"parent": {"input1", "input2"}, "bodydouble": {"matte", "confidence"}}.get(name, set())


def value_at(knob: str, frame: int) -> list[float]:
    """A knob's numbers at a frame: plain ones, and curves with a key there or held from the one before."""
    return [_channel(word, frame) for word in tcl_list(knob)]


def _channel(word: str, frame: int) -> float:
    if not word.startswith("curve"):
        return float(word)
    keys: dict[int, float] = {}
    at = 1
    for token in word.split()[1:]:
        if re.fullmatch(r"x-?\d+", token):
            at = int(token[1:])
        elif token != "K":
            keys[at] = float(token)
            at += 1
    return keys[frame] if frame in keys else keys[max(key for key in keys if key < frame)]


def roto_points(curves: str, frame: int) -> list[tuple[float, float]]:
    """The places of a Roto's first shape at a frame with keys, in Nuke's coordinates."""
    entries = _find(_tree(curves), "p")[1:]
    return [(_moving(x, frame), _moving(y, frame)) for x, y in entries[1::3]]  # handle, place, handle


def _tree(text: str) -> list:
    """Nested braces as nested lists."""
    stack: list[list] = [[]]
    for token in re.findall(r"[{}]|[^{}\s]+", text):
        if token == "{":
            stack.append([])
        elif token == "}":
            closed = stack.pop()
            stack[-1].append(closed)
        else:
            stack[-1].append(token)
    assert len(stack) == 1
    return stack[0]


def _find(tree: list, name: str) -> list:
    """The first list that starts with `name`, depth first."""
    if tree and tree[0] == name:
        return tree
    for item in tree:
        if isinstance(item, list) and (found := _find(item, name)):
            return found
    return []


def _moving(keys: list, frame: int) -> float:
    return {_bits(time): _bits(value) for time, value in keys}[frame]


def _bits(text: str) -> float:
    """A number as Nuke saves it in curves."""
    return float(struct.unpack(">f", bytes.fromhex(text[1:]))[0]) if text.startswith("x") else float(text)
