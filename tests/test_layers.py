"""The layer table of docs/architecture.md, enforced on the source text."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine" / "bodydouble"
CLI = ROOT / "cli" / "bodydouble_cli"

# What each layer adds to the outside libraries that the layers below it may use.
LIBRARIES = {1: {"fileseq"}, 2: {"numpy"}, 3: set(), 4: {"torch"}, 5: set()}
# Libraries that exactly these modules own.
OWNERS = {
    "OpenImageIO": {"images"},
    "av": {"movies"},
    "c2pa": {"credentials"},
    "cryptography": {"credentials"},
    "PyOpenColorIO": {"colour"},
    "dlib": {"faces"},
    "ai_edge_litert": {"mesh"},
    "pytorch_msssim": {"losses", "quality"},
    "safetensors": {"checkpoint"},
    "jinja2": {"reviewpage"},
    "outline": {"opencuejobs"},
    "threadpoolctl": {"grouping"},
    "matplotlib": {"reviewpage", "facesetpictures"},
}


def table() -> dict[str, int]:
    """Module name → layer, as the architecture page says."""
    layers: dict[str, int] = {}
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        found = re.match(r"\| (\d) \|[^|]*\|(.*)\|$", line)
        if found:
            layers.update(dict.fromkeys(re.findall(r"`(\w+)`", found[2]), int(found[1])))
    return layers


LAYERS = table()
MODULES = sorted(path for path in ENGINE.rglob("*.py") if path.stem != "__init__")
LISTED = [path for path in MODULES if path.stem in LAYERS]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(package, module) of every import that runs, wherever it stands; those for type checkers alone are left out.

    Modules of the engine have names of their own: the folder they lie in is left out.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], alias.name.rpartition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            name = ("bodydouble." if node.level else "") + (node.module or "")
            package, _, module = name.strip(".").partition(".")
            if module or package != "bodydouble":
                yield package, module.rpartition(".")[2]
            else:
                yield from (("bodydouble", alias.name) for alias in node.names)


def test_the_table_knows_every_module_of_the_engine():
    assert [path.stem for path in MODULES if path.stem not in LAYERS] == []


@pytest.mark.parametrize("path", LISTED, ids=lambda path: path.stem)
def test_a_module_imports_no_module_of_a_layer_above_its_own(path):
    layer = LAYERS[path.stem]
    for package, module in imports(path):
        if package == "bodydouble" and module in LAYERS:
            assert LAYERS[module] <= layer, f"{path.stem} (layer {layer}) imports {module} (layer {LAYERS[module]})"
            assert layer != 3 or LAYERS[module] != 3 or module == path.stem, f"adapter {path.stem} imports {module}"


@pytest.mark.parametrize("path", LISTED, ids=lambda path: path.stem)
def test_a_module_uses_only_the_libraries_of_its_layer(path):
    layer = LAYERS[path.stem]
    allowed = set().union(*(LIBRARIES[number] for number in range(1, layer + 1)))
    for package, _ in imports(path):
        if package == "bodydouble" or package in sys.stdlib_module_names:
            continue
        if package in OWNERS:
            assert path.stem in OWNERS[package], f"only {sorted(OWNERS[package])} may import {package}"
        else:
            assert package in allowed, f"{path.stem} (layer {layer}) imports {package}"


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_uses_the_engine_click_and_rich_only(path):
    for package, _ in imports(path):
        assert package in sys.stdlib_module_names or package in {"bodydouble", "bodydouble_cli", "click", "rich"}


def test_no_two_modules_share_a_name_and_folders_hold_no_code_of_their_own():
    stems = [path.stem for path in MODULES]
    assert len(stems) == len(set(stems))
    for path in ENGINE.glob("*/__init__.py"):
        assert len(ast.parse(path.read_text(encoding="utf-8")).body) == 1, f"{path} is more than a docstring"


def test_the_engine_never_imports_the_command_line():
    for path in MODULES:
        assert "bodydouble_cli" not in {package for package, _ in imports(path)}


def test_no_module_has_a_name_that_says_nothing():
    empty = {"utils", "util", "common", "helpers", "base", "manager", "core", "misc"}
    assert not empty & {path.stem for folder in (ENGINE, CLI) for path in folder.rglob("*.py")}
