"""The plugin as files: the gizmo that Nuke reads, and a package that Nuke 14's Python imports."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from bodydouble.settings import SwapSettings
from nukeread import ReadScript, nkparser_complaints, read_script, tclsh_says, unknown_links
from nukewords import (
    EVERY_NODE,
    EVERY_NODE_SEEN,
    KNOBS,
    ROOT_SEEN,
    SEEN,
    USER_KNOBS,
    USER_KNOBS_SEEN,
    is_late,
)

PLUGIN = Path(__file__).parent.parent / "nuke_plugin"
PACKAGE = PLUGIN / "bodydouble_nuke"
GIZMO = (PLUGIN / "gizmos" / "BodyDouble.gizmo").read_text(encoding="utf-8")
SOURCES = sorted([*PACKAGE.glob("*.py"), PLUGIN / "init.py", PLUGIN / "menu.py"])


@pytest.fixture(scope="module")
def gizmo() -> ReadScript:
    return read_script(GIZMO)


def test_the_gizmo_uses_only_classes_and_knobs_that_nuke_has(gizmo: ReadScript):
    (node,) = gizmo.nodes
    own = {words[1] for words in node.user_knobs}
    assert {words[0] for words in node.user_knobs} <= set(USER_KNOBS)
    assert set(node.knobs) <= EVERY_NODE | own
    for inner in node.inside:
        assert set(inner.knobs) <= KNOBS[inner.kind] | EVERY_NODE, inner.name


def test_every_knob_says_where_it_was_looked_up_in_nuke_14_or_later():
    kinds = ("scan: ", "learn: ", "github: ", "gist: ", "other: ")
    tables = {**SEEN, "every node": EVERY_NODE_SEEN, "root": ROOT_SEEN}
    for kind, places in tables.items():
        assert all(place.startswith(kinds) for place in places), kind
        assert any(map(is_late, places)), kind
        late = set().union(*(knobs for place, knobs in places.items() if is_late(place)))
        assert set().union(*places.values()) == late, kind
    assert set().union(*USER_KNOBS_SEEN.values()) == set(USER_KNOBS)
    early = set(USER_KNOBS).difference(*(codes for place, codes in USER_KNOBS_SEEN.items() if is_late(place)))
    assert early == {"1", "2"}, "seen in scripts of Nuke 12 only"


@pytest.mark.parametrize(
    ("place", "late"),
    [
        ("learn: content/reference_guide/merge_nodes/switch.html", True),
        ("learn: 13.2/content/reference_guide/transform_nodes/transform.html", False),
        ("learn: developers/150/pythondevguide/rotopaint.html", True),
        ("learn: developers/15.1/pythondevguide/_autosummary/nuke.Gizmo.html", True),
        ("github: hakeesh/.nuke python/KeyingTemplate.py (Nuke 12.2)", False),
        ("scan: somebody/nodes (Nuke 17.0v3)", True),
    ],
)
def test_a_place_says_its_version(place: str, late: bool):
    assert is_late(place) == late


def test_every_link_of_the_gizmo_leads_somewhere_and_was_looked_up(gizmo: ReadScript):
    (node,) = gizmo.nodes
    assert not unknown_links([node, *node.inside], {words[1] for words in node.user_knobs})


def test_the_plugin_reads_no_knob_of_the_script_that_was_not_looked_up():
    asked = {name for path in SOURCES for name in re.findall(r'root\["(\w+)"\]', path.read_text(encoding="utf-8"))}
    assert "workingSpaceLUT" in asked
    assert asked <= set().union(*ROOT_SEEN.values())


def test_the_gizmo_hangs_together(gizmo: ReadScript):
    links = {inner.name: inner.inputs for inner in gizmo.nodes[0].inside}
    assert links["Output1"] == ["ResultOrPlate"]
    assert links["ResultOrPlate"] == ["plate", "Over"]
    assert links["Over"] == ["StLayer", "Latest", "Allowed"]
    assert links["Latest"] == ["Result", "DraftOverPlate"]
    assert links["DraftOverPlate"] == ["plate", "Draft", "DraftCovers"]
    assert links["DraftCovers"] == ["Draft"]
    assert links["MatteLayer"] == ["plate", "LatestMatte"]
    assert links["LatestMatte"] == ["Result", "Draft"]
    assert links["FaceLayer"] == ["MatteLayer", "Result"], "no look changes it"
    assert links["PlateOut"] == ["plate"]
    assert links["HoldoutOut"] == ["holdout"]
    assert links["MatteOut"] == ["matte"]
    numbers = {inner.name: inner.knobs.get("number", "0") for inner in gizmo.nodes[0].inside if inner.kind == "Input"}
    assert numbers == {"plate": "0", "matte": "1", "holdout": "2"}


def test_the_gizmo_has_no_absolute_path_and_no_back_slash():
    assert "\\" not in GIZMO
    assert not re.search(r"[\s{\"]/|[A-Za-z]:/", GIZMO)


def test_every_knob_tells_in_plain_words_what_it_is_for(gizmo: ReadScript):
    silent = {"20", "26"}  # tabs and texts
    for code, name, *words in gizmo.nodes[0].user_knobs:
        if code not in silent and "+INVISIBLE" not in words:
            assert "t" in words, f"{name} has no tooltip"
            assert len(words[words.index("t") + 1]) > 15


def test_nkparser_reads_the_gizmo():
    # It looks for a group's nodes inside the group's braces, where Nuke never writes them: read them as a script.
    text = GIZMO.replace("end_group", "")
    assert nkparser_complaints(text, "empty-name") == []


def test_tclsh_runs_the_gizmo():
    said = tclsh_says(GIZMO)
    assert said[0].startswith("Gizmo ")
    assert said[-1] == "end"


def test_every_setting_of_the_node_is_one_of_the_engine_and_a_knob(gizmo: ReadScript):
    found = re.search(r"^SETTINGS.*?= (\{.*?^\})", (PACKAGE / "look.py").read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    settings = re.findall(r'"(\w+)": (\w+)', found[1])
    engine = {item.name: item.default for item in fields(SwapSettings)}
    knobs = {words[1]: words[0] for words in gizmo.nodes[0].user_knobs}
    menus = {words[1]: words[words.index("M") + 1].split() for words in gizmo.nodes[0].user_knobs if "M" in words}
    for name, kind in settings:
        assert knobs[name] == {"float": "7", "int": "3", "bool": "6", "str": "4"}[kind]
        if kind == "str":
            assert menus[name][0] == engine[name]
            continue
        default = gizmo.nodes[0].knobs.get(name, "0")
        assert str(float(default)) == str(float(engine[name])), f"{name}: the node and the engine begin differently"


def test_every_knob_that_the_code_asks_for_is_in_the_gizmo(gizmo: ReadScript):
    knobs = {words[1] for words in gizmo.nodes[0].user_knobs}
    for name in ("node.py", "session.py"):
        source = (PACKAGE / name).read_text(encoding="utf-8")
        asked = set(re.findall(r'node\["(\w+)"\]', source)) | set(re.findall(r'\(node, "(\w+)"\)', source))
        assert asked <= knobs, asked - knobs


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_plugin_uses_python_3_10_the_standard_library_and_nuke_alone(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            package = name.split(".")[0]
            assert package in sys.stdlib_module_names | {"nuke", "bodydouble_nuke"}, f"{path.name} imports {package}"


def test_the_package_imports_under_python_3_10_with_nothing_installed(tmp_path: Path):
    python = _python_3_10()
    (tmp_path / "nuke.py").write_text("GUI = False\n", encoding="utf-8")
    modules = ", ".join(f"bodydouble_nuke.{path.stem}" for path in sorted(PACKAGE.glob("[a-z]*.py")))
    folders = [str(PLUGIN), str(tmp_path)]
    code = f"import sys; sys.path[:0] = {folders}; import {modules}; print(sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 10)"


def _python_3_10() -> str:
    candidates = [shutil.which("python3.10") or "", *sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python3.10"))]
    for candidate in filter(None, map(str, candidates)):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip("no Python 3.10 on this machine")
