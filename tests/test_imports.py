"""What loads when: the engine and every help text are light, the public names are there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import bodydouble
from bodydouble_cli.main import cli

HEAVY = ("torch", "dlib", "OpenImageIO", "PyOpenColorIO", "matplotlib", "numpy")

PROBE = """
import sys
{action}
print("loaded:", ",".join(name for name in {heavy!r} if name in sys.modules))
"""

HELP = """
import contextlib, io
from bodydouble_cli.main import run
for arguments in {calls!r}:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run(arguments)
    assert code == 0 and "Usage:" in text.getvalue(), arguments
"""


def test_importing_bodydouble_loads_no_heavy_library(python):
    result = python("-c", PROBE.format(action="import bodydouble", heavy=HEAVY))
    assert result.stdout == "loaded: \n", result.stdout + result.stderr


def test_every_help_text_loads_no_heavy_library(python):
    calls = [["--help"], *([name, "--help"] for name in cli.commands)]
    result = python("-c", PROBE.format(action=HELP.format(calls=calls), heavy=HEAVY))
    assert result.stdout == "loaded: \n", result.stdout + result.stderr


def test_every_public_name_resolves_to_what_its_module_defines():
    for name in bodydouble.__all__:
        assert getattr(bodydouble, name) is not None


def test_type_checkers_see_the_same_names_as_programs():
    tree = ast.parse(Path(bodydouble.__file__).read_text(encoding="utf-8"))
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    seen -= {"annotations", "TYPE_CHECKING"}
    assert seen == set(bodydouble.__all__) - {"__version__"} == set(bodydouble._MODULE_OF)


def test_dir_lists_the_public_names_before_they_are_loaded():
    assert set(bodydouble.__all__) <= set(dir(bodydouble))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        bodydouble.no_such_thing  # noqa: B018


def test_the_interpreter_is_one_that_setup_allows():
    assert (3, 11) <= sys.version_info[:2] < (3, 13)
