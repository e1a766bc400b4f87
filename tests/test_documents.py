"""README and docs tell the truth: every command line and every Python example runs, every link leads somewhere.

Examples run in the order of their page, in a folder that has the files which the pages speak of: a shot (the bundled
one at half size), footage, shot faces, a model, facesets. What a page makes itself is used from then on.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest

from bodydouble.alignment.aligning import align_shot
from bodydouble.alignment.shotfaces import read_shot_faces, write_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings, ExtractSettings
from bodydouble.training.facesets import extract
from bodydouble_cli.main import cli, run
from certificates import make_certificates
from documents import NOT_RUN, ROOT, Example, anchors, command_lines, examples, is_manual, links, pages
from tiny import tiny_comb

MANUAL = [page for page in pages() if is_manual(page)]
EXAMPLES = [example for page in MANUAL for example in examples(page)]
RUNNABLE = {"bash", "python"}
LANGUAGES = RUNNABLE | {"text", "json", "tcl", "yaml"}
FRAMES = ("1001", "1002")
SPACE = "lin_rec709_scene"

# Options that the tests shorten: the pages show sizes for real work, on which a test would spend hours.
SHORTER = {
    "--frames": "1001-1002",
    "--time-budget": "1s",
    "--iterations": "1",
    "--resolution": "16",
    "--width": "0.0625",
    "--batch": "1",
    "--device": "cpu",
}
SHORT_TRAINING = ["--resolution", "16", "--width", "0.0625", "--batch", "1"]
MOST_NOT_RUN = 14
PERSONAS = ("anna", "ben", "carl", "dora", "A", "B", "C")


def _relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---------------------------------------------------------------- what the examples work on


@dataclass(frozen=True)
class Supplies:
    """The files that the pages speak of, each made when first asked for."""

    folder: Path

    def lay(self, name: str, workplace: Path) -> str:
        """Put the file or folder that an example names into its workplace; its name, "" if it is none or is there."""
        parts = name.rstrip("/").split("/")
        top = "/".join(parts[: 2 if parts[0] == "facesets" else 1])
        made: Callable[[], Path] | None = {
            "plates": lambda: self.plates,
            "footage": lambda: self.footage,
            "sh010.faces.json": lambda: self.faces,
            "anna.faces.json": lambda: self.faces,
            "anna.rights.json": lambda: self.rights,
            "sh010.fix.json": lambda: self.fix,
            "cast.comb": lambda: self.model,
            "swap": lambda: self.swapped,
            "review": lambda: self.reviewed,
            "studio.pem": lambda: self.certificates[0],
            "studio.key": lambda: self.certificates[1],
            "roots.pem": lambda: self.certificates[2],
            **{f"facesets/{who}": lambda who=who: self.faceset(who) for who in PERSONAS},
        }.get(top)
        if made is None or (workplace / top).exists():
            return ""
        source = made()
        (workplace / top).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, workplace / top)
        else:
            shutil.copyfile(source, workplace / top)
        return top

    @cached_property
    def plates(self) -> Path:
        return self._shot(self.folder / "plates", "sh010")

    @cached_property
    def footage(self) -> Path:
        for who in ("anna", "ben", "carl"):
            self._shot(self.folder / "footage", who)
        return self.folder / "footage"

    def _shot(self, folder: Path, name: str) -> Path:
        """Two frames of the bundled shot at half size."""
        for number, source in zip(FRAMES, sorted((BUNDLED / "sh010").glob("*.exr")), strict=False):
            whole = read_plate(source).rgb()
            half = whole.reshape(whole.shape[0] // 2, 2, whole.shape[1] // 2, 2, 3).mean(axis=(1, 3))
            write_image(folder / f"{name}.{number}.exr", half.astype(np.float32), attributes={"colorInteropID": SPACE})
        return folder

    @cached_property
    def faces(self) -> Path:
        plate = PlateSequence.find(self.plates / "sh010.####.exr")
        path = self.folder / "sh010.faces.json"
        write_shot_faces(path, align_shot(plate, plate.frames, Colour(), None, AlignSettings()))
        return path

    @cached_property
    def rights(self) -> Path:
        record = next(e for e in examples(ROOT / "docs" / "rights.md") if '"bodydouble.rights"' in e.text)
        path = self.folder / "anna.rights.json"
        path.write_text(record.text, encoding="utf-8")
        return path

    @cached_property
    def fix(self) -> Path:
        path = self.folder / "sh010.fix.json"
        frames = {FRAMES[0]: [{"person": 0}]}
        path.write_text(json.dumps({"schema": "bodydouble.corrections", "version": 1, "frames": frames}))
        return path

    @cached_property
    def model(self) -> Path:
        return tiny_comb(self.folder / "cast.comb", personas=("anna", "ben", "carl"))

    @cached_property
    def swapped(self) -> Path:
        done = ["swap", str(self.plates / "sh010.####.exr"), "-o", str(self.folder / "swap" / "sh010.####.exr")]
        assert run([*done, "--model", str(self.model), "--persona", "anna", "--faces", str(self.faces)]) == 0
        return self.folder / "swap"

    @cached_property
    def reviewed(self) -> Path:
        done = ["review", str(self.swapped / "sh010.####.exr"), "--plate", str(self.plates / "sh010.####.exr")]
        assert run([*done, "-o", str(self.folder / "review")]) == 0
        return self.folder / "review"

    @cached_property
    def certificates(self) -> tuple[Path, Path, Path]:
        return make_certificates(self.folder)

    def faceset(self, who: str) -> Path:
        folder = self.folder / "facesets" / who
        if not folder.exists():
            plate, shot = PlateSequence.find(self.plates / "sh010.####.exr"), read_shot_faces(self.faces)
            made = list(extract(plate, plate.frames, shot, None, who, folder, Colour(), None, ExtractSettings()))
            assert all(one.path for one in made), made
        return folder


@pytest.fixture(scope="module")
def supplies(tmp_path_factory: pytest.TempPathFactory) -> Supplies:
    return Supplies(tmp_path_factory.mktemp("supplies"))


# ---------------------------------------------------------------- running them


@dataclass
class Workplace:
    """A folder in which the examples of one page run one after the other."""

    folder: Path
    supplies: Supplies
    laid: set[str]
    demo: Callable[[], Path]
    """Runs the demo, once for all tests."""

    def run(self, example: Example) -> None:
        if example.language == "python":
            self._lay(re.findall(r"""["']([^"'\n]+)["']""", example.text))
            exec(compile(example.text, example.name, "exec"), {"__name__": "__main__"})
            return
        for command in command_lines(example.text):
            code = self._bodydouble(command.text) if _is_ours(command.text) else self._shell(command.text)
            assert code == command.exit_code, f"{example.name}: exit code {code} of: {command.text}"

    def _bodydouble(self, line: str) -> int:
        words = shortened(shlex.split(line)[1:])
        if words[0] == "demo":
            shutil.copytree(self.demo(), self.folder / (words[2] if words[1:2] == ["-o"] else "demo_out"))
            return 0
        self._make_room(words[1:])
        self._lay(words[1:])
        return run(words)

    def _shell(self, line: str) -> int:
        if line.startswith("make "):  # what the targets do is what other tests do; here: that they are there
            return subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
        self._lay(re.split(r"[\s'\"<>|=]+", line))
        shims = self.folder.parent / f"{self.folder.name}-bin"
        shims.mkdir(exist_ok=True)
        for name, words in (("bodydouble", "-m bodydouble_cli"), ("python", "")):
            (shims / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (shims / name).chmod(0o755)
        paths = {"PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT / 'engine'}:{ROOT / 'cli'}"}
        command = ["bash", "-euo", "pipefail", "-c", line]
        return subprocess.run(command, cwd=self.folder, env=os.environ | paths, timeout=120).returncode

    def _make_room(self, words: list[str]) -> None:
        """What a command writes must not be there yet because an earlier one needed it ready-made."""
        for option, value in pairwise(words):
            top = value.split("/")[0]
            if option in ("-o", "--out") and top in self.laid:
                self.laid.discard(top)
                shutil.rmtree(top) if Path(top).is_dir() else Path(top).unlink()

    def _lay(self, words: list[str]) -> None:
        outputs = {value for option, value in pairwise(words) if option in ("-o", "--out")}
        # Some options take NAME=PATH.
        for word in (part for whole in words for part in (whole, whole.partition("=")[2])):
            if word not in outputs and (laid := self.supplies.lay(word, self.folder)):
                self.laid.add(laid)


def _is_ours(line: str) -> bool:
    return line.startswith("bodydouble ") and not re.search(r"[|<>&;$]", line)


def shortened(words: list[str]) -> list[str]:
    """A command of the pages, made short enough for a test: see `SHORTER`."""
    short = list(words)
    for index, word in enumerate(words[:-1]):
        if word in SHORTER:
            short[index + 1] = SHORTER[word]
    if words[:1] == ["train"]:
        short += [value for value in SHORT_TRAINING if value not in short]
    return short


@pytest.mark.parametrize("page", [page for page in MANUAL if any(e.page == page for e in EXAMPLES)], ids=_relative)
def test_every_example_of_the_page_runs(
    page: Path,
    supplies: Supplies,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    monkeypatch.chdir(tmp_path)
    place = Workplace(tmp_path, supplies, set(), lambda: request.getfixturevalue("demo_out"))
    for example in examples(page):
        if example.language in RUNNABLE and not example.not_run:
            place.run(example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_block_says_what_it_is(example: Example):
    assert example.language in LANGUAGES, f"one of {sorted(LANGUAGES)}; `text` for what is neither code nor data"
    if example.language == "json":
        json.loads(example.text)
    if example.language == "text":
        commands = re.compile(r"^\$? ?(bodydouble|python|pip|make) ", re.MULTILINE)
        assert not commands.search(example.text), "commands stand in `bash` blocks, where they are run"


def test_few_examples_are_not_run_and_each_says_why():
    left_out = [f"{example.name}: {example.not_run}" for example in EXAMPLES if example.not_run]
    assert len(left_out) <= MOST_NOT_RUN, "\n".join(left_out)


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


def test_the_table_of_the_readme_has_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(cli.commands) == set(re.findall(r"^\| `bodydouble ([a-z]+)", text, flags=re.MULTILINE))


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
    text = f"x\n\n*Not run by the tests: needs a GPU.*\n\n```bash\n{block}\n```\n"
    written = tmp_path / "page.md"
    written.write_text(text)
    (example,) = examples(written)
    assert (example.language, example.not_run, example.line) == ("bash", "needs a GPU.", 5)
    assert [(one.text, one.exit_code) for one in command_lines(example.text)] == [("a 'b #c' d", 0), ("e", 5)]
    assert NOT_RUN.fullmatch("*Not run by the tests: *") is None


def test_a_command_is_shortened_only_where_the_table_says():
    words = ["train", "facesets/anna", "-o", "cast.comb", "--time-budget", "8h"]
    assert shortened(words)[:6] == ["train", "facesets/anna", "-o", "cast.comb", "--time-budget", "1s"]
    assert shortened(["swap", "--frames", "1-9", "--edge", "4"]) == ["swap", "--frames", "1001-1002", "--edge", "4"]
