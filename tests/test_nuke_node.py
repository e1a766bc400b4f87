"""The node's whole life in a Nuke that refuses what Nuke refuses, with the real engine on frames of the demo shot."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bodydouble.alignment.shotfaces import read_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.plates.images import read_plate
from bodydouble.swap.lookfile import read_look
from bodydouble.swap.platemeasures import read_measures
from fakenuke import FakeNuke, Node

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "nuke_plugin"
FIRST, LAST = 1015, 1017
SLOW_S = 0.05
"""No call may hold the main thread longer."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BODYDOUBLE_ENGINE", f"{sys.executable} -m bodydouble_cli")
    monkeypatch.setenv("BODYDOUBLE_PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT / "cli")]))
    # Nuke's own Python leaks into what it starts; the engine must not see it.
    monkeypatch.setenv("PYTHONHOME", "/nowhere/nuke/python")


@pytest.fixture
def start() -> Iterator[Callable[..., FakeNuke]]:
    started: list[FakeNuke] = []

    def make(gui: bool = True) -> FakeNuke:
        nuke = FakeNuke(gui, PLUGIN)
        started.append(nuke)
        return nuke

    yield make
    for nuke in started:
        if sys.modules.get("nuke") is nuke:
            nuke.end()


@pytest.fixture
def nuke(start: Callable[..., FakeNuke]) -> FakeNuke:
    return start()


def plate_read(nuke: FakeNuke, folder: Path, colorspace: str = "default") -> Node:
    """Four frames of the demo shot: the whole of it would only take longer to align."""
    plate = folder / "plate"
    plate.mkdir(exist_ok=True)
    for frame in range(FIRST, LAST + 2):
        shutil.copy(BUNDLED / "sh010" / f"sh010_B.{frame}.exr", plate)
    read = nuke.createNode("Read")
    read["file"].setValue((plate / "sh010_B.####.exr").as_posix())
    read["colorspace"].setValue(colorspace)
    return read


def body_double(nuke: FakeNuke, script: Path, colorspace: str = "default") -> Node:
    """A saved script with a plate and a node that is set up."""
    nuke.scriptSaveAs(str(script))
    nuke._root.own["first_frame"].raw, nuke._root.own["last_frame"].raw = str(FIRST), str(LAST)
    nuke.frame(FIRST)
    node = nuke.createNode("BodyDouble")
    node.setInput(0, plate_read(nuke, script.parent, colorspace))
    node["model"].setValue((BUNDLED / "rendered.comb").as_posix())
    # The menu is filled for the panel; without one the name is what counts.
    node["persona" if nuke.GUI else "persona_name"].setValue("A")
    return node


def session() -> Any:
    return sys.modules["bodydouble_nuke.session"]


def run_of(node: Node) -> Any:
    return session().SESSION.runs[node["uid"].value()]


def finished(nuke: FakeNuke, node: Node) -> None:
    """Nuke draws and answers until the node's run is over and shown."""
    run = run_of(node)
    nuke.pump(lambda: not run.is_running and nuke._calls.empty())


def folder(script: Path, node: Node) -> Path:
    return script.parent / "bodydouble" / node["uid"].value()


def assert_never_frozen(nuke: FakeNuke) -> None:
    """On a loaded machine a call may wait for a core; what it does itself may not be long."""
    busy = max(nuke.times, key=lambda item: item[1])
    assert busy[1] < SLOW_S, f"{busy[2]} kept the main thread busy for {busy[1] * 1000:.0f} ms"
    held = sorted(item[0] for item in nuke.times)
    assert held[len(held) // 2] < SLOW_S
    print(f"main thread: {len(held)} calls, longest {held[-1] * 1000:.1f} ms, busiest {busy[1] * 1000:.1f} ms")


def test_a_node_lives(nuke: FakeNuke, engine: None, tmp_path: Path):
    """Create, align, swap, change the look, lose the worker, cancel, save, reopen."""
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script)
    assert node["persona"].values() == ["A", "B", "C"]
    assert "rendered" in node["card"].value()
    assert nuke.shown(node, FIRST) == nuke.shown(node.input(0), FIRST), "the plate passes while there is no result"

    nuke.press(node, "swap_range")
    nuke.press(node, "swap_range")
    assert "cancel it first" in nuke.messages.pop()
    finished(nuke, node)
    assert nuke.messages == []
    files = sorted(path.name for path in (folder(script, node) / "swap").iterdir())
    assert files == [f"swap.{frame}.exr" for frame in range(FIRST, LAST + 1)]
    assert re.fullmatch(r"swapped 1015-1017; confidence 0\.\d\d to 0\.\d\d, lowest at 101\d", node["status"].value()), (
        node["status"].value()
    )
    (measures,) = folder(script, node).glob("shot.*.measures.json")
    assert read_measures(measures).spread is not None or read_measures(measures).grain is not None
    assert nuke.shown(node, FIRST + 1) == str(folder(script, node) / "swap" / "swap.1016.exr")
    assert nuke.shown(node, LAST + 1) == nuke.shown(node.input(0), LAST + 1), "no result, so the plate"
    assert nuke.rendered == [], "the plate was a file already"
    (task,) = nuke.tasks
    assert task.values[-1] == 100
    for word in ("align 1015", "measuring the plate", "swap 1017"):
        assert any(word in text for text in task.messages), word
    layers = read_plate(folder(script, node) / "swap" / "swap.1016.exr").main.channels
    assert {"bodydouble.matte", "bodydouble.face.R", "bodydouble.st.u"} <= set(layers)

    # A knob of the look shows a draft of the current frame; the engine stays warm, keys travel.
    nuke.frame(FIRST + 1)
    swap, draft = folder(script, node) / "swap" / "swap.1016.exr", folder(script, node) / "draft" / "draft.1016.exr"
    before = swap.read_bytes()
    node["edge"].setValueAt(3.0, FIRST)
    finished(nuke, node)
    node["edge"].setValueAt(9.0, LAST)
    node["edge"].setValueAt(12.0, LAST)
    finished(nuke, node)
    nuke.pump(lambda: not session().SESSION.is_busy(node))
    look = read_look(folder(script, node) / "look.settings.json")
    assert (look.at(FIRST).edge, look.at(FIRST + 1).edge, look.at(LAST).edge) == (3.0, 7.5, 12.0)
    assert nuke.shown(node, FIRST + 1) == str(draft)
    assert nuke.shown(node, FIRST) == str(folder(script, node) / "swap" / "swap.1015.exr")
    assert node["status"].value().startswith("draft of 1016")
    assert swap.read_bytes() == before, "the finished frame stays until it is swapped again"
    assert [path.name for path in draft.parent.iterdir()] == ["draft.1016.exr"]
    shown = read_plate(draft).main
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert nuke.shown(node, FIRST + 1) == str(swap)
    assert not draft.exists()
    whole = read_plate(swap).main
    x0, y0, x1, y1 = shown.data_window
    for name in ("R", "G", "B", "bodydouble.matte"):
        assert np.array_equal(shown.channel(name), whole.channel(name)[y0:y1, x0:x1]), "a draft has the frame's pixels"
    node["sigma"].setValue(2.5)
    finished(nuke, node)
    assert nuke.shown(node, FIRST + 1) == str(draft)
    assert session().SESSION.worker.starts == 1

    # The worker dies in the middle of its work: it is told, and the next press starts another.
    nuke.press(node, "swap_range")
    nuke.pump(lambda: session().SESSION.worker.pid is not None)
    os.kill(session().SESSION.worker.pid, signal.SIGKILL)
    finished(nuke, node)
    assert "ended unexpectedly" in node["status"].value()
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert node["status"].value().startswith("swapped 1016")
    assert session().SESSION.worker.starts == 2

    # Cancel: what is finished stays.
    nuke.press(node, "swap_range")
    run = run_of(node)
    nuke.press(node, "cancel")
    finished(nuke, node)
    assert "cancelled" in node["status"].value()
    assert len(run.landed) < 3
    assert nuke.shown(node, FIRST) == str(folder(script, node) / "swap" / "swap.1015.exr")
    nuke.press(node, "swap_range")
    nuke.tasks[-1].cancelled = True
    finished(nuke, node)
    assert "cancelled" in node["status"].value()

    # Who plays the face is one of the model's people, or nobody; likeness holds for the whole shot, keys or not.
    look_of = sys.modules["bodydouble_nuke.node"].read_look
    assert node["performer"].values() == ["somebody the model does not know", "A", "B", "C"]
    assert "performer" not in look_of(node).settings
    node["live"].setValue(False)
    node["performer"].setValue("C")
    node["performer"].setValue("somebody the model does not know")
    assert "performer" not in look_of(node).settings
    node["performer"].setValue("B")
    node["likeness"].setValue(0.8)
    assert (look_of(node).settings["performer"], look_of(node).settings["likeness"]) == ("B", 0.8)

    # Save and reopen: the node shows its frames again, with its persona and its keys.
    uid = node["uid"].value()
    nuke.scriptSaveAs(str(script))
    nuke.scriptOpen(str(script))
    (node,) = nuke.allNodes("BodyDouble")
    assert node["uid"].value() == uid
    assert (node["persona"].value(), node["performer"].value()) == ("A", "B")
    assert node["edge"].getValueAt(FIRST + 1) == 7.5
    assert nuke.shown(node, FIRST) == str(folder(script, node) / "swap" / "swap.1015.exr")
    assert session().SESSION.worker is None, "the worker ended with the script"
    assert_never_frozen(nuke)


def statuses(nuke: FakeNuke, node: Node) -> list[str]:
    """What the status line says until the node's run is over, each once."""
    said: list[str] = []
    run = run_of(node)

    def over() -> bool:
        if not said or said[-1] != node["status"].value():
            said.append(node["status"].value())
        return not run.is_running and nuke._calls.empty()

    nuke.pump(over)
    over()
    return said


def test_the_status_line_tells_the_confidence_during_and_after_align(nuke: FakeNuke, engine: None, tmp_path: Path):
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script)
    nuke.press(node, "align")
    said = statuses(nuke, node)
    assert any(re.match(r"aligning; confidence 0\.\d\d", text) for text in said), said
    solved = read_shot_faces(folder(script, node) / "shot.faces.json").frames
    found = {frame: face.confidence for frame, (face,) in solved.items()}
    lowest = min(found, key=lambda frame: found[frame])
    assert said[-1] == (f"aligned; confidence {found[lowest]:.2f} to {max(found.values()):.2f}, lowest at {lowest}")
    assert max(nuke.tasks[-1].values) == 100
    # A frame that came since then has no face in the sidecar: the plate stays, and the node says so.
    plate = Path(nuke._root.own["name"].raw).parent / "plate"
    shutil.copy(plate / f"sh010_B.{LAST}.exr", plate / f"sh010_B.{LAST + 2}.exr")
    nuke.frame(LAST + 2)
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert f"swapped {LAST + 2}; no face in {LAST + 2}, the plate stays" in node["status"].value()


def test_the_plate_is_measured_by_a_button_and_before_a_range_but_not_before_a_frame(
    nuke: FakeNuke, engine: None, tmp_path: Path
):
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script)
    node["live"].setValue(False)

    def made() -> list[Path]:
        return sorted(folder(script, node).glob("*.measures.json"))

    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert made() == []
    assert node["status"].value().endswith("without grain and blur, the plate is not measured")
    bare = read_plate(folder(script, node) / "swap" / "swap.1015.exr").main.channel("G")

    nuke.press(node, "measure")
    nuke.tasks[-1].cancelled = True
    finished(nuke, node)
    assert made() == []
    assert node["status"].value().endswith("cancelled")
    nuke.press(node, "measure")
    said = statuses(nuke, node)
    assert said[-1] == "measured"
    assert nuke.tasks[-1].values[-1] == 100
    (measures,) = made()
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert node["status"].value().startswith("swapped 1015; confidence")
    assert "not measured" not in node["status"].value()
    swapped = read_plate(folder(script, node) / "swap" / "swap.1015.exr").main.channel("G")
    assert not np.array_equal(bare, swapped), "grain and blur are on the face"

    # A range measures nothing anew, unless the alignment or the persona is another.
    stamp = measures.stat().st_mtime_ns
    nuke.press(node, "swap_range")
    finished(nuke, node)
    assert [path.stat().st_mtime_ns for path in made()] == [stamp]
    (folder(script, node) / "shot.faces.json").touch()
    node["persona"].setValue("B")
    node["last"].setValue(FIRST)
    nuke.press(node, "swap_range")
    finished(nuke, node)
    assert len(made()) == 2
    node["persona"].setValue("A")
    for name in ("grain", "defocus", "motion_blur"):
        node[name].setValue(0.0)
    nuke.press(node, "swap_range")
    finished(nuke, node)
    assert measures.stat().st_mtime_ns == stamp, "this look needs none"

    node["measures"].setValue("/shots/sh010.measures.json")
    nuke.press(node, "measure")
    assert "empty it" in nuke.messages[-1]
    assert_never_frozen(nuke)


def test_a_plate_that_is_no_file_is_rendered_by_the_hidden_write(nuke: FakeNuke, engine: None, tmp_path: Path):
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script, colorspace="sRGB")
    node["last"].setValue(FIRST)
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert nuke.rendered == [FIRST]
    written = read_plate(folder(script, node) / "plate" / "plate.1015.exr").main
    assert set(written.formats) == {"half"}
    assert "swapped 1015" in node["status"].value()
    # Nothing above changed: the plate is not rendered again; a change above renders it again.
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert nuke.rendered == [FIRST]
    node.input(0)["colorspace"].setValue("AlexaV3LogC")
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert nuke.rendered == [FIRST, FIRST]
    # A holdout is rendered for the engine, too; here it covers all, so that the plate stays.
    node.setInput(2, node.input(0))
    node["blend_mattes"].setValue(True)
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert nuke.rendered == [FIRST, FIRST, FIRST]
    assert (folder(script, node) / "holdout" / "holdout.1015.exr").exists()
    swapped = read_plate(folder(script, node) / "swap" / "swap.1015.exr").main
    assert not swapped.channel("bodydouble.matte").any()
    # A matte does the opposite: this one is white all over.
    node.setInput(2, None)
    node.setInput(1, node.input(0))
    nuke.press(node, "swap_frame")
    finished(nuke, node)
    assert (folder(script, node) / "matte" / "matte.1015.exr").exists()
    assert read_plate(folder(script, node) / "swap" / "swap.1015.exr").main.channel("bodydouble.matte").any()
    assert_never_frozen(nuke)


def write_after(nuke: FakeNuke, above: Node, where: Path) -> Node:
    """A Write of the comp."""
    where.mkdir()
    write = nuke.createNode("Write")
    write.setInput(0, above)
    write["file"].setValue((where / "comp.####.exr").as_posix())
    return write


def test_a_render_without_a_gui_swaps_what_is_missing_in_process_order(
    start: Callable[..., FakeNuke], engine: None, tmp_path: Path
):
    nuke = start(gui=False)
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script)
    node["last"].setValue(FIRST + 1)
    aside = nuke.createNode("BodyDouble")
    aside["on_render"].setValue("swap what is missing")
    write = write_after(nuke, node, tmp_path / "out")
    nuke.executeAll(FIRST, FIRST + 2)
    assert nuke.rendered == [FIRST, FIRST + 1, FIRST + 2], "the hidden Writes are no part of a render"
    assert not (folder(script, node) / "swap").exists(), "show what is there"
    plate, comp = (read_plate(tmp_path / name).main for name in ("plate/sh010_B.1015.exr", "out/comp.1015.exr"))
    assert np.array_equal(plate.channel("G"), comp.channel("G"))

    node["on_render"].setValue("swap what is missing")
    nuke.executeAll(FIRST, FIRST + 2)
    swaps = folder(script, node) / "swap"
    for frame in (FIRST, FIRST + 1):
        swap, comp = (
            read_plate(swaps / f"swap.{frame}.exr").main,
            read_plate(tmp_path / "out" / f"comp.{frame}.exr").main,
        )
        assert np.array_equal(swap.channel("G"), comp.channel("G"))
    assert not (swaps / "swap.1017.exr").exists(), "beyond the node's range"
    kept = (swaps / "swap.1015.exr").stat().st_mtime_ns
    nuke.execute(write, FIRST, FIRST)
    assert (swaps / "swap.1015.exr").stat().st_mtime_ns == kept, "it was there"
    assert session().SESSION.worker.starts == 1
    assert nuke.messages == nuke.tasks == []


def test_a_render_ends_with_a_message_where_a_frame_cannot_be_swapped(
    start: Callable[..., FakeNuke], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BODYDOUBLE_ENGINE", raising=False)
    nuke = start(gui=False)
    node = body_double(nuke, tmp_path / "comp.nk")
    node["on_render"].setValue("swap what is missing")
    write = write_after(nuke, node, tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"BodyDouble1, frame 1015: .*not found"):
        nuke.execute(write, FIRST, LAST)
    node["engine"].setValue(sys.executable)
    node.input(0)["colorspace"].setValue("sRGB")
    with pytest.raises(RuntimeError, match=r"frames 1015-1017 are not there"):
        nuke.execute(write, FIRST, LAST)
    assert nuke.rendered == []
    # A node that was told to show what is there, or is not above the Write, does not stop it.
    node["on_render"].setValue("show what is there")
    nuke.execute(write, FIRST, FIRST)
    assert nuke.rendered == [FIRST]


def test_of_two_nodes_in_a_row_the_upper_one_is_swapped_first(start: Callable[..., FakeNuke], tmp_path: Path):
    nuke = start(gui=False)
    upper = body_double(nuke, tmp_path / "comp.nk")
    lower = nuke.createNode("BodyDouble")
    lower.setInput(0, upper)
    write = write_after(nuke, lower, tmp_path / "out")
    for node in (lower, upper):
        node["on_render"].setValue("swap what is missing")
    asked = importlib.import_module("bodydouble_nuke.renders")._asked
    assert asked(write) == [upper, lower]
    (hidden,) = (inner for inner in lower.inner if inner.name() == "PlateOut")
    assert asked(hidden) == [upper], "what the lower one's own Write renders comes from above it"


def test_a_missing_engine_is_told_plainly(nuke: FakeNuke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("BODYDOUBLE_ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    node = body_double(nuke, tmp_path / "comp.nk")
    nuke.press(node, "swap_range")
    (message,) = nuke.messages
    assert "not found" in message
    assert "BODYDOUBLE_ENGINE" in message
    assert node["status"].value() in message
    node["engine"].setValue("/nowhere/bodydouble")
    nuke.press(node, "swap_range")
    assert "/nowhere/bodydouble" in nuke.messages[-1]


def test_an_engine_that_does_not_know_serve_is_told_plainly(nuke: FakeNuke, tmp_path: Path):
    node = body_double(nuke, tmp_path / "comp.nk")
    node["engine"].setValue(f"{sys.executable} -c 'import sys; sys.exit(\"this is no engine\")'")
    nuke.press(node, "swap_range")
    finished(nuke, node)
    assert "ended unexpectedly" in node["status"].value()
    nuke.press(node, "doctor")
    nuke.pump(lambda: bool(nuke.messages))
    assert "not well" in nuke.messages[-1]


def test_what_is_not_set_up_is_asked_for(nuke: FakeNuke, engine: None, tmp_path: Path):
    node = nuke.createNode("BodyDouble")
    for sentence, then in (
        ("Save the script", lambda: nuke.scriptSaveAs(str(tmp_path / "comp.nk"))),
        ("Choose a model", lambda: node["model"].setValue(str(tmp_path))),
        ("Choose a persona", lambda: node["model"].setValue((BUNDLED / "rendered.comb").as_posix())),
        ("Connect the plate", lambda: node.setInput(0, plate_read(nuke, tmp_path))),
    ):
        nuke.press(node, "swap_frame")
        assert sentence in nuke.messages[-1]
        then()
    node["last"].setValue(node["first"].value() - 1)
    nuke.press(node, "swap_range")
    assert "ends before it begins" in nuke.messages[-1]


def test_a_model_that_is_none_is_told_on_the_card(nuke: FakeNuke, tmp_path: Path):
    node = nuke.createNode("BodyDouble")
    node["model"].setValue(str(tmp_path))
    assert "comb.json" in node["card"].value()


def test_two_nodes_and_a_pasted_one_keep_their_files_apart(nuke: FakeNuke, tmp_path: Path):
    script = tmp_path / "comp.nk"
    first = body_double(nuke, script)
    second = nuke.createNode("BodyDouble")
    swap = folder(script, first) / "swap"
    swap.mkdir(parents=True)
    (swap / "swap.1015.exr").touch()
    nuke.press(first, "reload")
    nuke.nodeCopy(str(tmp_path / "clip.nk"), [first])
    (third,) = nuke.nodePaste(str(tmp_path / "clip.nk"))
    assert len({node["uid"].value() for node in (first, second, third)}) == 3
    assert third["persona_name"].value() == "A"
    third.setInput(0, first.input(0))
    assert nuke.shown(first, 1015).endswith("swap.1015.exr")
    assert nuke.shown(third, 1015).endswith("sh010_B.1015.exr"), "a copy has no results of its own yet"


def test_undo_brings_back_what_the_artist_did_and_nothing_else(nuke: FakeNuke, tmp_path: Path):
    script = tmp_path / "comp.nk"
    node = body_double(nuke, script)
    swap = folder(script, node) / "swap"
    swap.mkdir(parents=True)
    (swap / "swap.1015.exr").touch()
    edge = node["edge"].value()
    node["edge"].setValue(7.0)
    steps = len(nuke._undo)
    nuke.press(node, "reload")
    assert len(nuke._undo) == steps, "results are no work of the artist's"
    nuke.undo()
    assert node["edge"].value() == edge != 7.0
    assert nuke.shown(node, 1015).endswith("swap.1015.exr")
    uid = node["uid"].value()
    nuke.delete(node)
    nuke.undo()
    (node,) = nuke.allNodes("BodyDouble")
    assert node["uid"].value() == uid
    assert nuke.shown(node, 1015).endswith("swap.1015.exr")


def test_a_node_that_is_deleted_while_it_works_ends_quietly(nuke: FakeNuke, tmp_path: Path):
    node = body_double(nuke, tmp_path / "comp.nk")
    slow = "import sys; sys.stdin.read()"
    node["engine"].setValue(f'{sys.executable} -c "{slow}"')
    nuke.press(node, "swap_range")
    run = run_of(node)
    nuke.pump(lambda: session().SESSION.worker.pid is not None)
    nuke.delete(node)
    os.kill(session().SESSION.worker.pid, signal.SIGKILL)
    nuke.pump(lambda: not run.is_running and nuke._calls.empty())
    assert nuke.messages == []


def test_the_fake_refuses_what_nuke_refuses(nuke: FakeNuke, start: Callable[..., FakeNuke]):
    import threading

    node = nuke.createNode("BodyDouble")
    with pytest.raises(NameError):
        node["no_such_knob"]
    with pytest.raises(TypeError):
        node["person"].setValue("first")
    with pytest.raises(TypeError):
        node["compression"].setValue("jpeg")
    with pytest.raises(RuntimeError, match="Unknown command"):
        nuke.createNode("BodyTriple")
    with pytest.raises(RuntimeError, match="main thread"):
        nuke.executeInMainThreadWithResult(print)
    refused: list[BaseException] = []

    def elsewhere() -> None:
        for action in (lambda: node["edge"].setValue(1.0), lambda: nuke.createNode("Blur"), node.name):
            try:
                action()
            except RuntimeError as error:
                refused.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(refused) == 3
    nuke.delete(node)
    with pytest.raises(ValueError, match="not attached"):
        node.name()
    terminal = start(gui=False)
    for call in (lambda: terminal.message("?"), lambda: terminal.menu("Nodes"), lambda: terminal.ProgressTask("?")):
        with pytest.raises(RuntimeError, match="GUI"):
            call()


def test_neither_start_file_can_stop_nuke(start: Callable[..., FakeNuke], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeNuke, "pluginAddPath", lambda self, path: 1 / 0)
    nuke = start()
    assert any("ZeroDivisionError" in line for line in nuke.printed)
    assert "BodyDouble" in nuke.menus["Nodes"].commands


def test_the_job_documents_are_ones_the_engine_takes(nuke: FakeNuke, tmp_path: Path):
    from bodydouble.farm.jobs import job_from_line
    from bodydouble_cli.main import cli
    from bodydouble_cli.serve import command_line

    node = body_double(nuke, tmp_path / "comp.nk")
    node["fix"].setValue("/fixes/sh010.json")
    node["measures"].setValue("/measures/sh010.measures.json")
    node["blend_mattes"].setValue(True)
    node.setInput(1, node.input(0))
    node.setInput(2, node.input(0))
    node["production"].setValue("demo")
    node["compression"].setValue("zips")
    shot, _ = sys.modules["bodydouble_nuke.node"].read_shot(node)
    jobs = sys.modules["bodydouble_nuke.shot"]
    for document in (jobs.align_job(shot), jobs.swap_job(shot, [1015, 1016, 1020])):
        job = job_from_line(json.dumps(document))
        words = command_line(cli.commands[job.command], job.arguments)
        context = cli.commands[job.command].make_context(job.command, list(words))
        assert context.params["plate"] == shot.plate.pattern
    assert jobs.frame_range([1015, 1016, 1020]) == "1015-1016,1020"


def test_the_colour_space_is_the_scripts_or_the_one_that_the_node_names(nuke: FakeNuke, tmp_path: Path):
    node = body_double(nuke, tmp_path / "comp.nk")
    read_shot = sys.modules["bodydouble_nuke.node"].read_shot
    assert read_shot(node)[0].plate.colorspace == "Linear Rec.709 (sRGB)"
    nuke._root.own["colorManagement"].raw, nuke._root.own["OCIO_config"].raw = (
        "OCIO",
        "fn-nuke_cg-config-v1.0.0_aces-v1.3",
    )
    assert read_shot(node)[0].plate.colorspace == "ACEScg"
    node["colorspace"].setValue("Linear P3-D65")
    shot, source = read_shot(node)
    assert shot.plate.colorspace == "Linear P3-D65"
    assert not source.render, "the Read is in the working space as before: its files are taken"


def test_the_farm_gets_what_the_node_asks_for(nuke: FakeNuke, tmp_path: Path):
    node = body_double(nuke, tmp_path / "comp.nk")
    shot, _ = sys.modules["bodydouble_nuke.node"].read_shot(node)
    words = sys.modules["bodydouble_nuke.farm"].submit_arguments(shot, "openjd", [1015, 1016, 1017], 2, "sh010")
    own, swap = words[: words.index("--")], words[words.index("--") + 1 :]
    assert own[:2] == ["openjd", shot.plate.pattern]
    assert dict(zip(own[2::2], own[3::2], strict=True)) == {
        "--person": "0",
        "--settings": shot.look_file,
        "--measures": shot.own_measures,
        "--out": shot.result,
        "--model": shot.model,
        "--persona": "A",
        "--faces": shot.faces,
        "--frames": "1015-1017",
        "--colorspace": "Linear Rec.709 (sRGB)",
        "--frames-per-task": "2",
        "--name": "sh010",
        "--bundle": f"{shot.folder}/farm",
    }
    assert swap == ["--layers", "--on-no-face", "plate", "--overwrite"]

    # The farm's own program takes these words, and makes what is missing.
    from bodydouble_cli.main import run as bodydouble

    Path(shot.folder).mkdir(parents=True)
    Path(shot.look_file).write_text(json.dumps(shot.look.document()), encoding="utf-8")
    words[words.index("--frames") + 1] = f"{FIRST}-{LAST}"
    assert bodydouble(["submit", *words]) == 0
    template = json.loads((Path(shot.folder) / "farm" / "template.json").read_text(encoding="utf-8"))
    assert [step["name"] for step in template["steps"]] == ["Align", "Measure", "Swap", "Review"]


def test_submitting_tells_what_the_farm_said(nuke: FakeNuke, tmp_path: Path):
    node = body_double(nuke, tmp_path / "comp.nk")
    program = tmp_path / "farm.py"
    program.write_text("import sys; print('taken:', sys.argv[1], sys.argv[2])", encoding="utf-8")
    node["engine"].setValue(f"{sys.executable} {program}")
    nuke.press(node, "submit")
    nuke.pump(lambda: bool(nuke.messages))
    assert "taken: submit openjd" in nuke.messages[-1]
    assert (folder(tmp_path / "comp.nk", node) / "look.settings.json").exists()
    program.write_text("import sys; sys.exit('the farm is closed')", encoding="utf-8")
    nuke.press(node, "submit")
    nuke.pump(lambda: len(nuke.messages) == 2)
    assert "the farm is closed" in nuke.messages[-1]
