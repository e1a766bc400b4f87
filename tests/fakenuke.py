"""A Nuke for tests that refuses what Nuke refuses.

Refused: a knob that the class does not have (NameError), a value of the wrong type (TypeError), a class that does not
exist, touching nodes off the main thread, waiting for the main thread on it, anything of the GUI without one, a render
inside a render, a disabled Write, a button while it renders (RuntimeError), a node that was deleted (ValueError), a
menu's value that is not in the menu when a script is read (the first one is taken).

Scripts and gizmos are read by a real Tcl interpreter. What is called on the main thread is timed: `slowest()`.
"""

from __future__ import annotations

import gc
import os
import queue
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import OpenImageIO as oiio

from bodydouble.plates.images import write_image
from nukeread import ReadNode, interpreter, read_script, tcl_list
from nukewords import EVERY_NODE, KNOBS, USER_KNOBS

ROOT_KNOBS = {
    "name": "", "first_frame": "1", "last_frame": "100", "colorManagement": "Nuke", "OCIO_config": "nuke-default",
    "customOCIOConfigPath": "", "workingSpaceLUT": "linear",
}  # fmt: skip
FILE_KNOBS = {"file", "customOCIOConfigPath", "torchScriptFile", "catFile"}
CALLBACKS = ("OnCreate", "OnDestroy", "OnScriptClose", "KnobChanged", "BeforeRender", "BeforeFrameRender")
BUTTONS = {"reload", "Render"}
DEFAULTS = {"colorspace": "default", "label": "", "frame": ""}


class Knob:
    """A knob: its text as in a script, and its value as Python has it."""

    def __init__(self, node: Node, name: str, kind: str, raw: str = "", items: list[str] | None = None, code: str = ""):
        self._node, self._name, self.kind, self.raw, self.items, self.code = node, name, kind, raw, items or [], code
        self.presses = 0

    def name(self) -> str:
        return self._name

    def Class(self) -> str:
        return self.kind

    def node(self) -> Node:
        return self._node

    def value(self) -> Any:
        self._node._check()
        if self.kind == "Enumeration_Knob":
            return self.raw if self.raw in self.items else (self.items[0] if self.items else "")
        if self.kind == "Boolean_Knob":
            return self.raw == "true"
        if self.kind in ("Int_Knob", "Double_Knob"):
            number = self.getValueAt(self._node.nuke._frame)
            return int(number) if self.kind == "Int_Knob" else number
        return self.raw

    getValue = value

    def setValue(self, value: Any) -> bool:
        self._node._check(edit=True)
        wanted = {"Int_Knob": (int,), "Double_Knob": (int, float), "Boolean_Knob": (bool, int)}.get(self.kind, (str,))
        if not isinstance(value, wanted) or (isinstance(value, bool) and self.kind not in ("Boolean_Knob",)):
            raise TypeError(f"{self.kind} {self._name} does not take a {type(value).__name__}")
        if self.kind == "Enumeration_Knob" and value not in self.items:
            raise TypeError(f"{value!r} is not in the menu {self._name}: {self.items}")
        self._set({True: "true", False: "false"}.get(value, str(value)) if self.kind == "Boolean_Knob" else str(value))
        return True

    def _set(self, raw: str) -> None:
        before = self.raw
        if raw == before:
            return
        self._node.nuke._record(lambda: setattr(self, "raw", before))
        self.raw = raw
        self._node.nuke._changed(self)

    def fromScript(self, text: str) -> None:
        self._node._check(edit=True)
        words = tcl_list(text)
        self._set(words[0] if len(words) == 1 else text)

    def evaluate(self) -> str:
        if self.kind != "File_Knob":
            raise AttributeError(f"'{self.kind}' object has no attribute 'evaluate'")
        self._node._check()
        return self._node._substituted(self.raw)

    def setValues(self, items: list[str]) -> None:
        self._node._check(edit=True)
        if self.kind != "Enumeration_Knob" or not all(isinstance(item, str) for item in items):
            raise TypeError(f"{self._name} is no menu, or an item is no text")
        self.items = list(items)

    def values(self) -> list[str]:
        return list(self.items)

    def execute(self) -> None:
        if self.kind not in ("PyScript_Knob", "Script_Knob"):
            raise AttributeError(f"'{self.kind}' object has no attribute 'execute'")
        self._node._check(edit=True)
        if self._node.nuke._rendering:
            raise RuntimeError("I'm already executing something else")
        self.presses += 1
        if self.code:
            with self._node.nuke._this(self._node, self):
                exec(self.code, {"nuke": self._node.nuke})

    def _keys(self) -> dict[int, float] | None:
        if not self.raw.lstrip("{").startswith("curve"):
            return None
        keys, at = {}, 1
        for token in self.raw.strip("{}").split()[1:]:
            if re.fullmatch(r"x-?\d+", token):
                at = int(token[1:])
            elif token != "K":
                keys[at] = float(token)
                at += 1
        return keys

    def hasExpression(self) -> bool:
        return self.raw.startswith("{") and self._keys() is None

    def isAnimated(self) -> bool:
        return self._keys() is not None or self.hasExpression()

    def getKeyList(self) -> list[float]:
        return sorted(map(float, self._keys() or {}))

    def setValueAt(self, value: float, time: float) -> bool:
        self._node._check(edit=True)
        if self.kind not in ("Int_Knob", "Double_Knob"):
            raise AttributeError(f"{self.kind} has no keys")
        keys = {**(self._keys() or {}), int(time): value}
        self._set("{curve " + " ".join(f"x{frame} {keys[frame]:g}" for frame in sorted(keys)) + "}")
        return True

    def getValueAt(self, frame: float) -> float:
        self._node._check()
        keys = self._keys()
        if keys is None:
            return float(self.raw or 0)
        before, after = [k for k in keys if k <= frame], [k for k in keys if k > frame]
        if not before or not after or "curve K" in self.raw:
            return keys[max(before)] if before else keys[min(keys)]
        low, high = max(before), min(after)
        return keys[low] + (keys[high] - keys[low]) * (frame - low) / (high - low)


class Node:
    """A node of the script or inside a gizmo."""

    def __init__(self, nuke: FakeNuke, kind: str, name: str, parent: Node | None = None):
        self.nuke, self._kind, self._name, self._parent = nuke, kind, name, parent
        self._inputs: dict[int, Node] = {}
        self._gone = False
        self.inner: list[Node] = []
        self.own: dict[str, Knob] = {}
        if parent is None and kind in nuke.gizmos:
            self._unfold(nuke.gizmos[kind])
            return
        for knob in sorted(KNOBS[kind] | EVERY_NODE):
            self.own[knob] = Knob(self, knob, _kind_of(knob), DEFAULTS.get(knob, ""))

    def _unfold(self, gizmo: ReadNode) -> None:
        for knob in EVERY_NODE:
            self.own[knob] = Knob(self, knob, _kind_of(knob))
        for code, name, *words in gizmo.user_knobs:
            options = dict(pairwise(words))
            items = list(tcl_list(options["M"])) if code == "4" else []
            script = options.get("T", "") if code == "22" else ""
            raw = options.get("T", "") if code == "26" else ""
            self.own[name] = Knob(self, name, USER_KNOBS[code], gizmo.knobs.get(name, raw), items, script)
        by_name: dict[str, Node] = {}
        for read in gizmo.inside:
            node = by_name[read.name] = Node(self.nuke, read.kind, read.name, self)
            for knob, value in read.knobs.items():
                node.own[knob].raw = value
            node._inputs = {index: by_name[name] for index, name in enumerate(read.inputs)}
            self.inner.append(node)

    def _check(self, edit: bool = False) -> None:
        if self._gone or (self._parent is not None and self._parent._gone):
            raise ValueError("A PythonObject is not attached to a node")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self._name} was {'changed' if edit else 'read'} off the main thread")

    def __getitem__(self, name: str) -> Knob:
        self._check()
        if name not in self.own:
            raise NameError(f"knob {name} does not exist")
        return self.own[name]

    def knob(self, name: str) -> Knob | None:
        self._check()
        return self.own.get(name)

    def name(self) -> str:
        self._check()
        return self._name

    def fullName(self) -> str:
        return self.name() if self._parent is None else f"{self._parent.name()}.{self._name}"

    def setName(self, name: str) -> None:
        self._check(edit=True)
        self._name = name

    def Class(self) -> str:
        self._check()
        return self._kind

    def input(self, index: int) -> Node | None:
        self._check()
        return self._inputs.get(index)

    def inputs(self) -> int:
        self._check()
        return max(self._inputs, default=-1) + 1

    def setInput(self, index: int, node: Node | None) -> bool:
        self._check(edit=True)
        self._inputs.pop(index, None) if node is None else self._inputs.__setitem__(index, node)
        return True

    def opHashes(self) -> list[int]:
        self._check()
        above = tuple(h for node in self._inputs.values() for h in node.opHashes())
        return [hash((tuple((name, knob.raw) for name, knob in self.own.items()), above))]

    def __enter__(self) -> Node:
        self._check()
        self.nuke._groups.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.nuke._groups.pop()

    def _substituted(self, text: str) -> str:
        """Tcl in a file knob, as Nuke substitutes it."""
        tcl = interpreter(threading.get_ident())

        def value(path: str, *_: str) -> str:
            start, _, knob = path.rpartition(".")
            node = {"": self, "parent": self._parent, "this": self, "root": self.nuke._root}.get(start)
            assert node is not None, path
            found = node._substituted(node.own[knob].raw)
            tcl.createcommand("value", value)  # the inner call has put its own there
            return found

        tcl.createcommand("value", value)
        return str(tcl.eval(f"subst {{{text}}}"))


class ProgressTask:
    """Nuke's progress bar; `cancelled` stands for the artist's click."""

    def __init__(self, nuke: FakeNuke, title: str):
        if not nuke.GUI:
            raise RuntimeError("a ProgressTask needs the GUI")
        self._nuke, self.title, self.messages, self.values, self.cancelled = nuke, title, [], [], False
        nuke.tasks.append(self)

    def setMessage(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a message is text")
        self.messages.append(text)

    def setProgress(self, value: int) -> None:
        if not isinstance(value, int):
            raise TypeError("progress is a whole number")
        self.values.append(value)

    def isCancelled(self) -> bool:
        return self.cancelled


class Menu:
    """A menu or toolbar."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}

    def addMenu(self, name: str, icon: str = "") -> Menu:
        return self

    def addCommand(self, name: str, command: str, icon: str = "") -> None:
        compile(command, name, "exec")
        self.commands[name] = command


class FakeNuke(types.ModuleType):
    """The module `nuke`."""

    def __init__(self, gui: bool, plugin: Path):
        super().__init__("nuke")
        self.GUI = gui
        self.gizmos: dict[str, ReadNode] = {}
        self.paths: list[str] = []
        self.tasks: list[ProgressTask] = []
        self.messages: list[str] = []
        self.printed: list[str] = []
        self.times: list[tuple[float, float, str]] = []
        self.menus: dict[str, Menu] = {"Nodes": Menu(), "Nuke": Menu()}
        self.ProgressTask = lambda title: ProgressTask(self, title)
        self.Undo = types.SimpleNamespace(disable=lambda: self._undoing(1), enable=lambda: self._undoing(-1))
        self._undo: list[Callable[[], None]] = []
        self._unrecorded = 0
        self._calls: queue.SimpleQueue[tuple[Callable[..., Any], tuple, queue.SimpleQueue | None]] = queue.SimpleQueue()
        self._callbacks: dict[str, list[tuple[Callable[[], None], str]]] = {}
        self._groups: list[Node] = []
        self._thiss: list[tuple[Node, Knob | None]] = []
        self._frame = 1
        self._rendering = False
        self._silent = False
        self.rendered: list[int] = []
        self.rendering_seconds = 0.0
        interpreter(threading.get_ident())  # Nuke has its Tcl before any callback
        # Collecting all that the tests have loaded takes a tenth of a second; no call of the plug-in is to pay for it.
        gc.collect()
        gc.freeze()
        self._fresh()
        self._start(plugin)

    def _fresh(self) -> None:
        self.nodes: list[Node] = []
        self._root = Node.__new__(Node)
        self._root.nuke, self._root._kind, self._root._name, self._root._parent = self, "Root", "Root", None
        self._root._gone, self._root._inputs, self._root.inner = False, {}, []
        kinds = {"first_frame": "Int_Knob", "last_frame": "Int_Knob", "customOCIOConfigPath": "File_Knob"}
        self._root.own = {n: Knob(self._root, n, kinds.get(n, "String_Knob"), raw) for n, raw in ROOT_KNOBS.items()}
        self._undo.clear()

    def _start(self, plugin: Path) -> None:
        """What Nuke does with a folder on NUKE_PATH."""
        for name in [n for n in sys.modules if n == "nuke" or n.split(".")[0] == "bodydouble_nuke"]:
            del sys.modules[name]
        sys.modules["nuke"] = self
        for script in ("init.py", "menu.py") if self.GUI else ("init.py",):
            path = plugin / script
            code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
            exec(code, {"__file__": str(path), "__name__": script})

    def end(self) -> None:
        """Nuke closes."""
        self._call("onScriptClose")
        del sys.modules["nuke"]
        gc.unfreeze()

    # Plug-ins, menus, callbacks.

    def pluginAddPath(self, path: str) -> None:
        self.paths.append(path)
        for gizmo in Path(path).glob("*.gizmo"):
            self.gizmos[gizmo.stem] = read_script(gizmo.read_text(encoding="utf-8")).nodes[0]

    def _needs_gui(self, what: str) -> None:
        if not self.GUI:
            raise RuntimeError(f"{what} needs the GUI")
        self._main(what)

    def menu(self, name: str) -> Menu:
        self._needs_gui("menu")
        return self.menus[name]

    def message(self, text: str) -> None:
        self._needs_gui("message")
        self.messages.append(text)

    def tprint(self, *words: Any) -> None:
        self.printed.append(" ".join(map(str, words)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("add") and name[3:] in CALLBACKS:
            event = name[3].lower() + name[4:]

            of_writes = event in ("beforeRender", "beforeFrameRender")

            def add(call: Callable[[], None], nodeClass: str = "Write" if of_writes else "*") -> None:
                self._callbacks.setdefault(event, []).append((call, nodeClass))

            return add
        raise AttributeError(f"module 'nuke' has no attribute {name!r}")

    def _call(self, event: str, node: Node | None = None, knob: Knob | None = None) -> None:
        for call, kind in self._callbacks.get(event, []):
            if node is None or kind in ("*", node._kind):
                with self._this(node, knob):
                    self.timed(call, event)

    def _changed(self, knob: Knob) -> None:
        if not self._silent and self.GUI:
            self._call("knobChanged", knob._node, knob)

    @contextmanager
    def _this(self, node: Node | None, knob: Knob | None) -> Iterator[None]:
        self._thiss.append((node, knob))
        try:
            yield
        finally:
            self._thiss.pop()

    def thisNode(self) -> Node:
        return self._thiss[-1][0]

    def thisKnob(self) -> Knob:
        return self._thiss[-1][1]

    # The main thread.

    def _main(self, what: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{what} was called off the main thread")

    def executeInMainThread(self, call: Callable[..., Any], args: tuple = ()) -> None:
        self._calls.put((call, args, None))

    def executeInMainThreadWithResult(self, call: Callable[..., Any], args: tuple = ()) -> Any:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("executeInMainThreadWithResult waits for ever on the main thread")
        answer: queue.SimpleQueue = queue.SimpleQueue()
        self._calls.put((call, args, answer))
        result, error = answer.get()
        if error is not None:
            raise error
        return result

    def pump(self, until: Callable[[], bool], seconds: float = 400) -> None:
        """Nuke's event loop, until something is so."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"it took more than {seconds} s; the engine said nothing more"
            try:
                call, args, answer = self._calls.get(timeout=0.02)
            except queue.Empty:
                continue
            result, error = None, None
            try:
                result = self.timed(lambda call=call, args=args: call(*args), getattr(call, "__name__", "call"))
            except Exception as problem:
                error = problem
                if answer is None:
                    raise
            if answer is not None:
                answer.put((result, error))

    def timed(self, call: Callable[[], Any], name: str) -> Any:
        """Call something on the main thread and note how long it held it, Nuke's own rendering left out."""
        start, busy, rendering = time.perf_counter(), time.thread_time(), self.rendering_seconds
        try:
            return call()
        finally:
            drawn = self.rendering_seconds - rendering
            self.times.append((time.perf_counter() - start - drawn, time.thread_time() - busy - drawn, name))

    def press(self, node: Node, knob: str) -> None:
        """The artist presses a button."""
        self.timed(node[knob].execute, knob)

    # Nodes.

    def createNode(self, kind: str, inpanel: bool = True) -> Node:
        self._main("createNode")
        if (kind not in KNOBS and kind not in self.gizmos) or kind in ("Gizmo", "Group"):
            raise RuntimeError(f'Unknown command: "{kind}"')
        return self._add(Node(self, kind, self._free_name(kind)))

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        self._record(lambda: self._remove(node))
        self._call("onCreate", node)
        return node

    def _free_name(self, stem: str) -> str:
        taken = {node._name for node in self.nodes}
        return next(name for n in range(1, 1000) if (name := f"{stem}{n}") not in taken)

    def _remove(self, node: Node) -> None:
        self._call("onDestroy", node)
        self.nodes.remove(node)
        node._gone = True

    def delete(self, node: Node) -> None:
        self._main("delete")
        text = self._text([node])
        self._remove(node)
        above = dict(node._inputs)

        def back() -> None:
            (again,) = self._read(text, keep_names=True)
            again._inputs = above

        self._record(back)

    def allNodes(self, filter: str = "") -> list[Node]:
        self._main("allNodes")
        return [node for node in self.nodes if filter in ("", node._kind)]

    def toNode(self, name: str) -> Node | None:
        self._main("toNode")
        among = self._groups[-1].inner if self._groups and self._groups[-1] is not self._root else self.nodes
        return next((node for node in among if node._name == name), None)

    def root(self) -> Node:
        return self._root

    def frame(self, frame: int | None = None) -> int:
        self._frame = self._frame if frame is None else frame
        return self._frame

    # Undo.

    def _undoing(self, by: int) -> None:
        self._unrecorded += by
        assert self._unrecorded >= 0

    def _record(self, back: Callable[[], None]) -> None:
        if not self._unrecorded:
            self._undo.append(back)

    def undo(self) -> None:
        back = self._undo.pop()
        self._unrecorded += 1
        try:
            back()
        finally:
            self._unrecorded -= 1

    # Scripts.

    def _text(self, nodes: list[Node]) -> str:
        lines = ["version 15.1 v3"]
        ordered: list[Node] = []

        def place(node: Node) -> None:
            for above in node._inputs.values():
                place(above)
            if node in nodes and node not in ordered:
                ordered.append(node)

        for node in nodes:
            place(node)
        for node in ordered:
            known = {index: above for index, above in node._inputs.items() if above in nodes}
            count = max(known, default=-1) + 1
            lines += [f"push $N{known[index]._name}" for index in sorted(known, reverse=True)]
            kept = [(name, knob.raw) for name, knob in node.own.items() if knob.raw and knob.kind != "Text_Knob"]
            knobs = [f" {name} {{{raw}}}" for name, raw in kept if name != "name"]
            lines += [f"{node._kind} {{", f" inputs {count}", *knobs, f" name {node._name}", "}"]
            lines.append(f"set N{node._name} [stack 0]")
        return "\n".join(lines) + "\n"

    def scriptSaveAs(self, path: str) -> None:
        self._main("scriptSaveAs")
        self._root.own["name"].raw = path
        self._root._name = path
        Path(path).write_text(self._text(self.nodes), encoding="utf-8")

    def scriptClear(self) -> None:
        self._main("scriptClear")
        self._call("onScriptClose")
        for node in self.nodes:
            node._gone = True
        self._fresh()

    def scriptOpen(self, path: str) -> None:
        self.scriptClear()
        self._root.own["name"].raw = self._root._name = path
        self._read(Path(path).read_text(encoding="utf-8"), keep_names=True)
        self._undo.clear()

    def nodeCopy(self, path: str, nodes: list[Node]) -> None:
        Path(path).write_text(self._text(nodes), encoding="utf-8")

    def nodePaste(self, path: str) -> list[Node]:
        return self._read(Path(path).read_text(encoding="utf-8"), keep_names=False)

    def _read(self, text: str, keep_names: bool) -> list[Node]:
        made: dict[str, Node] = {}
        for read in read_script(text).nodes:
            if read.kind not in KNOBS and read.kind not in self.gizmos:
                raise RuntimeError(f'Unknown command: "{read.kind}"')
            node = Node(self, read.kind, read.name if keep_names else self._free_name(read.kind))
            for name, raw in read.knobs.items():
                knob = node.own[name]
                if knob.kind != "Enumeration_Knob" or raw in knob.items:
                    knob.raw = raw
            node._inputs = {index: made[name] for index, name in enumerate(read.inputs)}
            made[read.name] = node
            self._add(node)
        return list(made.values())

    # Pictures.

    def execute(self, node: Node, first: int, last: int) -> None:
        """Render a Write whose picture is a Read's, unchanged; the current frame is the one that is rendered."""
        self._main("execute")
        if self._rendering:
            raise RuntimeError("I'm already executing something else")
        if node["disable"].value():
            raise RuntimeError(f"{node.name()} is disabled")
        self._rendering, start, before = True, time.perf_counter(), self._frame
        try:
            self._call("beforeRender", node)
            for frame in range(first, last + 1):
                self._frame = frame
                self._call("beforeFrameRender", node)
                source = self._file_of(node._inputs[0], frame)
                target = _numbered(node["file"].evaluate(), frame)
                if not os.path.isdir(os.path.dirname(target)):
                    raise RuntimeError(f"{target}: no such folder")
                picture = oiio.ImageBuf(source)
                if picture.has_error:
                    raise RuntimeError(picture.geterror())
                # Not by ImageBufAlgo.channels: it mixes channels up where their types differ.
                columns = [picture.spec().channelnames.index(name) for name in "RGBA"]
                write_image(target, picture.get_pixels(oiio.FLOAT)[..., columns], tuple("RGBA"))
                self.rendered.append(frame)
        finally:
            self._rendering, self._frame = False, before
            self.rendering_seconds += time.perf_counter() - start

    def executeAll(self, first: int, last: int) -> None:
        """What `nuke -x` does: all Writes of the script that are not disabled, also those inside of nodes."""
        for node in [inner for outer in self.nodes for inner in (outer, *outer.inner)]:
            if node._kind == "Write" and not node["disable"].value():
                self.execute(node, first, last)

    def _file_of(self, node: Node, frame: int) -> str:
        """The file whose pixels a node shows at a frame."""
        if node._kind == "Input":
            index = int(node.own["number"].raw or 0)
            above = node._parent._inputs.get(index)
            if above is None:
                raise RuntimeError("the input is not connected")
            return self._file_of(above, frame)
        if node._kind == "Read":
            return _numbered(node._substituted(node.own["file"].raw), frame)
        if node._kind in self.gizmos:
            return self._file_of(next(inner for inner in node.inner if inner._kind == "Output"), frame)
        if node._kind == "Switch":
            knob = node.own["which"].raw.strip('{}"')
            assert knob.startswith("parent."), knob
            which = int(node._parent.own[knob.removeprefix("parent.")].getValueAt(frame))
            return self._file_of(node._inputs[which], frame)
        if node._kind == "Keymix":
            return self._file_of(node._inputs[1], frame)
        return self._file_of(node._inputs[0], frame)

    def shown(self, node: Node, frame: int) -> str:
        """The file whose pixels are seen through a node at a frame."""
        return self._file_of(node, frame)


def _kind_of(knob: str) -> str:
    if knob == "disable":
        return "Boolean_Knob"
    return "Script_Knob" if knob in BUTTONS else "File_Knob" if knob in FILE_KNOBS else "String_Knob"


def _numbered(pattern: str, frame: int) -> str:
    return re.sub("#+", lambda hashes: str(frame).zfill(len(hashes[0])), pattern)
