"""README and docs tell the truth: every command line and every Python example runs, every link leads somewhere.

Examples run in the order of their page, in a folder that has the files which the pages speak of: see `workplace`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bodydouble_cli.main import cli
from documents import ROOT, anchors, command_lines, examples, inline_code, is_manual, links, pages
from workplace import SHORT_TRAINING, Supplies, Workplace, shortened, shortened_text

MANUAL = [page for page in pages() if is_manual(page)]
EXAMPLES = [example for page in MANUAL for example in examples(page)]
LANGUAGES = {"bash", "python", "json", "yaml", "text"}
PROGRAMS = ("bodydouble", "python3?", "pip", "make", "openjd", "torchrun", "deadline(?:command)?", "oiiotool", "nuke")
COMMAND = re.compile(rf"^(?:\$ ?| {{4,}})?(?:#!|(?:\w+=\S+ )*(?:{'|'.join(PROGRAMS)}) \S)", re.MULTILINE)
NEEDS = {"openjd": "openjd.cli", "deadline": "openjd.model", "opencue": "outline", "sign": "c2pa"}
"""Words of command lines that need a package of the extra `dev`."""


def _relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---------------------------------------------------------------- running them


@pytest.fixture(scope="module")
def supplies(tmp_path_factory: pytest.TempPathFactory) -> Supplies:
    return Supplies(tmp_path_factory.mktemp("supplies"))


# ---------------------------------------------------------------- running them


@pytest.mark.parametrize("page", [page for page in MANUAL if any(e.page == page for e in EXAMPLES)], ids=_relative)
def test_every_example_of_the_page_runs(
    page: Path,
    supplies: Supplies,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BODYDOUBLE_ENGINE", f"{sys.executable} -m bodydouble_cli")  # what Nuke starts
    for name in ("PYTHONPATH", "BODYDOUBLE_PYTHONPATH"):  # where this checkout is not installed
        monkeypatch.setenv(name, os.pathsep.join([str(ROOT / "engine"), str(ROOT / "cli")]))
    place = Workplace(tmp_path, supplies, set(), lambda: request.getfixturevalue("demo_out"))
    for example in examples(page):
        words = set(re.findall(r"\w+", example.text)) if example.language == "bash" else set()
        if missing := [NEEDS[word] for word in words & set(NEEDS) if importlib.util.find_spec(NEEDS[word]) is None]:
            pytest.skip(f"{example.name} needs {missing}; it comes with the extra `dev`")
        place.run(example)


@pytest.mark.parametrize("page", MANUAL, ids=_relative)
def test_every_block_of_the_page_says_what_it_is_and_no_command_hides_from_being_run(page: Path):
    found = list(examples(page))
    assert {one.language for one in found} <= LANGUAGES, "`text` is for what is neither code nor data"
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^ *(?:```|~~~).*$", text, flags=re.MULTILINE)
    assert len(fences) == 2 * len(found), "a fence that the reader of examples does not know"
    for one in found:
        if one.language == "text":
            assert not COMMAND.search(one.text), f"{one.name}: commands stand in `bash` blocks, where they are run"
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search("<pre|<code", outside), "code stands between fences"
    assert not COMMAND.search(outside), "a command outside of a block"
    assert not re.search("not run by the tests", text, flags=re.IGNORECASE), "every example is run"


@pytest.mark.parametrize("page", MANUAL, ids=_relative)
def test_commands_and_options_named_in_the_text_exist(page: Path):
    for words in re.findall(r"`bodydouble ([^`]+)`", page.read_text(encoding="utf-8")):
        name, *rest = words.split()
        if not re.fullmatch("[a-z]+", name):
            continue
        command = cli.commands.get(name)
        assert command is not None, f"there is no command {name!r}"
        known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
        if not isinstance(command, click.Group):
            assert {word for word in rest if re.fullmatch("--?[a-z-]+", word)} <= known, words


@pytest.mark.parametrize("page", [*MANUAL, ROOT / "benchmarks" / "README.md"], ids=_relative)
def test_other_programs_named_in_the_text_know_what_they_are_told(page: Path):
    """Scripts of benchmarks/, targets of make, extras of the package: those that take hours are not run, only read."""
    blocks = [command.text for one in examples(page) if one.language == "bash" for command in command_lines(one.text)]
    for words in [*inline_code(page), *blocks]:
        if found := re.match(r"(?:python )?benchmarks/(\w+\.py)(.*)", words):
            source = (ROOT / "benchmarks" / found[1]).read_text(encoding="utf-8")
            for option in re.findall(r"(--[a-z-]+)", found[2]):
                assert f'"{option}"' in source, f"{found[1]} has no option {option}"
        elif found := re.fullmatch(r"make ([a-z]+)( .*)?", words):
            assert subprocess.run(["make", "--dry-run", found[1]], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
        elif found := re.match(r"pip install .*\[([\w,]+)\]", words):
            known = (ROOT / "setup.py").read_text(encoding="utf-8")
            assert all(f'"{extra}": ' in known for extra in found[1].split(","))


def test_the_table_of_the_readme_has_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(cli.commands) == set(re.findall(r"^\| `bodydouble ([a-z]+)", text, flags=re.MULTILINE))


def test_every_library_that_is_asked_for_is_on_the_page_of_licences():
    asked = set(re.findall(r'"([A-Za-z][\w.-]*)(?:\[\w+\])?>=', (ROOT / "setup.py").read_text(encoding="utf-8")))
    table = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").lower()
    assert {"torch", "nkparser", "mkdocstrings"} <= asked
    assert [one for one in sorted(asked) if not re.search(rf"(?<![\w-]){re.escape(one.lower())}(?![\w-])", table)] == []


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("page", pages(), ids=_relative)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=_relative)
def test_every_page_of_the_manual_is_reached_from_readme_or_another_page(page: Path):
    others = [other for other in pages() if other != page]
    assert any((other.parent / link.partition("#")[0]).resolve() == page for other in others for link in links(other))


# ---------------------------------------------------------------- the reader of examples itself


def test_an_example_is_read_with_its_commands_comments_and_promises(tmp_path: Path):
    block = "a 'b #c' \\\n    d   # why\n\n# alone\ne  # exit code 5: no"
    text = f"x\n\n```bash\n{block}\n```\n"
    written = tmp_path / "page.md"
    written.write_text(text)
    (example,) = examples(written)
    assert (example.language, example.line) == ("bash", 3)
    assert [(one.text, one.exit_code) for one in command_lines(example.text)] == [("a 'b #c' d", 0), ("e", 5)]


def test_a_command_is_shortened_only_where_the_table_says():
    words = ["train", "facesets/anna", "-o", "cast.comb", "--time-budget", "8h"]
    assert shortened(words)[:6] == ["train", "facesets/anna", "-o", "cast.comb", "--time-budget", "1s"]
    assert shortened([*words[:4], "--iterations", "9"])[-6:] == SHORT_TRAINING
    assert shortened(["swap", "--frames", "1-9", "--edge", "4"]) == ["swap", "--frames", "1001-1002", "--edge", "4"]
    assert shortened_text("x -frames 1001-1096 --frames <A>-<B>", Path("/p")) == "x -frames 1001-1002 --frames <A>-<B>"


HIDDEN = ["bodydouble swap x", "$ make demo", "    pip install x", "A=b openjd run x", "#!/bin/sh"]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_command_outside_of_a_bash_block_is_seen(hidden: str):
    assert COMMAND.search(f"words\n\n{hidden}\n")
    assert not COMMAND.search(f"words of `{hidden}` in a line\nopenjd      openjd_progress: 25.0\n")
