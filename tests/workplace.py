"""Where the examples of the pages run: a folder with the files that they speak of, and the programs that they call.

The files: a shot (the bundled one at half size), footage, shot faces, a model, facesets. What a page makes itself is
used from then on. The programs: ours in this process; pip, torchrun and OpenJD's tools as they are; Nuke, Deadline and
Deadline Cloud as stand-ins (`fakenuke`, `standins`).
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

import numpy as np
import yaml

from bodydouble.alignment.aligning import align_shot
from bodydouble.alignment.corrections import read_corrections
from bodydouble.alignment.shotfaces import read_shot_faces, write_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.farm.jobs import Job, job_from_line, job_to_line
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.rights import read_rights
from bodydouble.settings import AlignSettings, ExtractSettings
from bodydouble.swap.warm import Warm
from bodydouble.training.extracting import extract
from bodydouble_cli.main import cli, run
from bodydouble_cli.serve import Inbox, serve_jobs
from certificates import make_certificates
from documents import ROOT, Example, command_lines, examples
from fakenuke import FakeNuke
from standins import STANDINS
from tiny import tiny_comb

FRAMES = ("1001", "1002")
SPACE = "lin_rec709_scene"
PERSONAS = ("anna", "ben", "carl", "dora", "A", "B", "C")

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
# The same for what other programs are told, as regular expressions; and places that only a studio has.
SHORTER_ELSEWHERE = {
    r"(?<!\S)-frames \S+": "-frames 1001-1002",
    r"(?<!\S)-chunksize \S+": "-chunksize 1",
    r"--nproc-per-node[ =]\w+": "--nproc-per-node=1",
    r"--nnodes=\d+": "--nnodes=1",
    r":29400": ":0",  # any free port
    r"setValue\(1100\)": "setValue(1002)",
    r"range\(1001, 1101\)": "range(1001, 1003)",
    r'"/models/': '"{folder}/',
}
NUKE_PLUGIN = ROOT / "nuke_plugin"

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
        return tiny_comb(self.folder / "cast.comb", personas=("anna", "ben", "carl"), noted=("anna", "ben"))

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
            every = ExtractSettings(min_difference=0)  # two neighbouring frames, in which hardly anything moves
            made = list(extract(plate, plate.frames, shot, None, who, folder, Colour(), None, every))
            assert all(one.path for one in made), made
        return folder


# ---------------------------------------------------------------- running them


@dataclass
class Workplace:
    """A folder in which the examples of one page run one after the other."""

    folder: Path
    supplies: Supplies
    laid: set[str]
    demo: Callable[[], Path]
    """Runs `make demo`, once for all tests."""

    def run(self, example: Example) -> None:
        """Run a block as what it says it is; AssertionError if it does not do what the page promises.

        `bash` and `python` are run; `json` is read, and done if it is a job; `yaml` is a job of OpenJD; `text` is
        nothing that could be run (see `test_a_block_says_what_it_is`).
        """
        runners = {"bash": self._bash, "python": self._python, "json": self._json, "yaml": self._template}
        if example.language in runners:
            runners[example.language](example)

    def _bash(self, example: Example) -> None:
        for command in command_lines(example.text):
            code = self._bodydouble(command.text) if _is_ours(command.text) else self._shell(command.text)
            assert code == command.exit_code, f"{example.name}: exit code {code} of: {command.text}"

    def _bodydouble(self, line: str) -> int:
        words = shortened(shlex.split(line)[1:])
        if words[0] == "demo":
            out = self.folder / (words[2] if words[1:2] == ["-o"] else "demo_out")
            shutil.copytree(self.demo(), out, dirs_exist_ok=True)
            return 0
        self._make_room(words[1:])
        self._lay(words[1:])
        return run(words)

    def _shell(self, line: str) -> int:
        if line == "make demo":
            shutil.copytree(self.demo(), self.folder / "demo_out")
            return 0
        if line.startswith("pip install "):
            return self._pip(line)
        self._lay(re.split(r"[\s'\"<>|=]+", line))
        tools = self._tools()
        paths = {"PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        paths["PYTHONPATH"] = f"{ROOT / 'engine'}:{ROOT / 'cli'}"
        before, module, ours = line.partition(" -m bodydouble_cli ")
        if module:
            line = before + module + shlex.join(shortened(shlex.split(ours)))
        command = ["bash", "-euo", "pipefail", "-c", shortened_text(line, self.folder)]
        return subprocess.run(command, cwd=self.folder, env=os.environ | paths, timeout=300).returncode

    def _tools(self) -> Path:
        """A folder for PATH: this checkout's command, this Python and its packages' programs, and the stand-ins."""
        tools = self.folder.parent / f"{self.folder.name}-bin"
        tools.mkdir(exist_ok=True)
        standins = Path(__file__).parent / "standins.py"
        starts = {"bodydouble": "-m bodydouble_cli", "python": "", "torchrun": "-m torch.distributed.run"}
        starts |= {name: f'"{standins}" {name}' for name in STANDINS}
        for name, words in starts.items():
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (tools / name).chmod(0o755)
        return tools

    def _pip(self, line: str) -> int:
        """In a copy of the checkout and an environment of its own, in which this one's packages are the index."""
        checkout, venv = self.folder / "checkout", self.folder / "venv"
        copy_checkout(checkout)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "there.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
        (venv / "bin" / "pip").write_text(f'#!/bin/sh\nexec "{venv}/bin/python" -m pip "$@"\n')
        (venv / "bin" / "pip").chmod(0o755)
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_FIND_LINKS")}
        environment = outside | offline | {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
        found = 'python -c "import bodydouble_cli, bodydouble; print(bodydouble.__file__)"'
        said = ""
        for command, place in ((line, checkout), ("bodydouble --help", self.folder), (found, self.folder)):
            done = subprocess.run(["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True)
            if done.returncode:
                print(done.stdout, done.stderr)
                return done.returncode
            said = done.stdout
        assert Path(said.strip()).is_relative_to(venv), f"{line} did not install this checkout, but {said}"
        return 0

    def _python(self, example: Example) -> None:
        self._lay(re.findall(r"""["']([^"'\n]+)["']""", example.text))
        if re.search("^import nuke$", example.text, flags=re.MULTILINE):
            self._in_nuke(example)
        else:
            exec(compile(example.text, example.name, "exec"), {"__name__": "__main__"})

    def _in_nuke(self, example: Example) -> None:
        """In a Nuke without a GUI whose script has a plate in `Read1`; every frame that is asked for must appear."""
        self._lay(["plates/sh010.####.exr", "cast.comb"])
        nuke = FakeNuke(gui=False, plugin=NUKE_PLUGIN)
        try:
            nuke.scriptSaveAs(str(self.folder / "comp.nk"))
            nuke.createNode("Read")["file"].setValue((self.folder / "plates" / "sh010.####.exr").as_posix())
            exec(compile(shortened_text(example.text, self.folder), example.name, "exec"), {"__name__": "__main__"})
        finally:
            nuke.end()
        swapped = sorted(path.name for path in self.folder.glob("bodydouble/*/swap/*.exr"))
        assert swapped == [f"swap.{frame}.exr" for frame in FRAMES], example.name

    def _json(self, example: Example) -> None:
        document = json.loads(example.text)
        readers: dict[str, Callable[[Path], object]] = {
            "bodydouble.rights": read_rights,
            "bodydouble.corrections": read_corrections,
            "bodydouble.job": self._job,
        }
        assert document.get("schema") in readers, f"{example.name}: a document that is read by nothing"
        written = self.folder / f"example-{example.line}.json"
        written.write_text(example.text, encoding="utf-8")
        readers[document["schema"]](written)

    def _job(self, path: Path) -> None:
        """A worker gets it on one line."""
        job = job_from_line(" ".join(path.read_text(encoding="utf-8").split()))
        self._lay([value for value in job.arguments.values() if isinstance(value, str)])
        inbox, answers = Inbox(), []
        inbox.listen(iter([job_to_line(job), job_to_line(Job("end", "quit"))]))
        serve_jobs(cli, inbox, answers.append, Warm())
        ends = [one for one in map(json.loads, answers) if one["event"] == "run_done" and one["job"] == job.id]
        assert [one["exit_code"] for one in ends] == [0], answers

    def _template(self, example: Example) -> None:
        """A template of an OpenJD job that trains: as it stands it must be valid; made short it must run."""
        whole, short = self.folder / "whole.yaml", self.folder / "short.json"
        whole.write_text(example.text, encoding="utf-8")
        assert self._shell(f"openjd check {whole}") == 0, example.name
        self._lay(["facesets/anna", "facesets/ben"])
        model = self.folder / "template.comb"
        facesets = iter([self.folder / "facesets" / who for who in ("anna", "ben")])
        job = yaml.safe_load(example.text)
        values: dict[str, object] = {}
        for one in job["parameterDefinitions"]:
            path = model if one.get("dataFlow") == "INOUT" else None
            values[one["name"]] = path or (next(facesets) if one["type"] == "PATH" else "localhost")
        (step,) = job["steps"]
        step["script"]["actions"]["onRun"]["args"] += [*SHORT_TRAINING, "--iterations", "1", "--device", "cpu"]
        for one in step["parameterSpace"]["taskParameterDefinitions"]:
            one["range"] = "0"
        short.write_text(shortened_text(json.dumps(job), self.folder))
        given = " ".join(f"--job-param {name}={value}" for name, value in values.items())
        assert self._shell(f"openjd run {short} {given}") == 0, example.name
        assert (model / "comb.json").is_file(), example.name

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
        given = zip(SHORT_TRAINING[::2], SHORT_TRAINING[1::2], strict=True)
        short += [word for option, value in given if option not in short for word in (option, value)]
    return short


def shortened_text(text: str, folder: Path) -> str:
    """What another program is told, made short: see `SHORTER_ELSEWHERE`."""
    for pattern, shorter in SHORTER_ELSEWHERE.items():
        text = re.sub(pattern, shorter.format(folder=folder), text)
    return text


def copy_checkout(folder: Path) -> None:
    """Everything that git tracks or would, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
