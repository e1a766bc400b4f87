"""Jobs for farm engines: what they say, and that the engines' own tools run them to the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bodydouble
from bodydouble.demo import BUNDLED, PERSONA
from bodydouble.errors import UsageError
from bodydouble.farm.openjdjobs import openjd_range
from bodydouble.farm.submission import Submission, plain_place
from bodydouble_cli.main import cli, run
from bodydouble_cli.submit import submit
from tiny import tiny_shot

ROOTS = [str(Path(bodydouble.__file__).parents[1]), str(Path(__file__).parents[1] / "cli")]
HERE = f"{sys.executable} -m bodydouble_cli"
SLOW = "BODYDOUBLE_SLOW_TESTS"
"""Set, the demo shot goes through the engines from end to end as well: minutes."""

slow = pytest.mark.skipif(not os.environ.get(SLOW), reason=f"takes minutes; set ${SLOW} to run it")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the engines' processes find this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*ROOTS, *filter(None, [os.environ.get("PYTHONPATH")])]))


def submission(**changed: object) -> Submission:
    given = {
        "name": "sh010 anna", "plate": "/p/sh.####.exr", "out": "/o/sh.####.exr", "model": "/m/cast.comb",
        "persona": "anna", "faces": "/o/sh.faces.json", "review": "/o/review", "frames": (1, 2, 3, 5, 7), "chunk": 2,
    }  # fmt: skip
    return Submission(**{**given, **changed})  # type: ignore[arg-type]


def tool(name: str) -> str:
    found = Path(sys.executable).parent / name
    if not found.exists():
        pytest.skip(f"{name} is not installed; it comes with the extra `farm`")
    return str(found)


def words_of(shot: list[str], out: Path) -> list[str]:
    """The words of `submit …` for the words of a swap."""
    return [*shot[1:], "-o", str(out), "--command", HERE]


def test_the_engines_are_these():
    assert sorted(submit.commands) == ["opencue", "openjd"]
    assert "submit" in cli.commands


@pytest.mark.parametrize("engine", ["openjd", "opencue"])
def test_every_option_is_explained_and_help_teaches_by_example(engine, capsys):
    for option in submit.commands[engine].params:
        assert getattr(option, "help", None) or option.param_type_name == "argument", option.name
    assert run(["submit", engine, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"bodydouble submit {engine}" in text.split("Example")[1]
    assert "Exit codes:" in text


def test_the_pieces_of_a_job_are_all_of_its_frames_once():
    assert [list(chunk) for chunk in submission().chunks()] == [[1, 2], [3, 5], [7]]


@pytest.mark.parametrize(
    ("frames", "text"), [((1, 2, 3), "1-3"), ((1, 3, 5, 7), "1-7:2"), ((-3, -2, 4), "-3,-2,4"), ((9,), "9")]
)
def test_frames_are_written_as_openjd_writes_them(frames, text):
    from bodydouble.plates.frames import FrameRange

    assert list(FrameRange.parse_openjd(openjd_range(frames))) == list(frames)
    assert openjd_range(frames) in (text, "-3--2,4")


def test_every_step_is_told_which_picture_of_the_plate_and_which_colour_is_meant():
    job = submission(view="left", colorspace="ACEScg", ocio="/c/config.ocio")
    place = plain_place(job)
    for words in (job.align_words(place, "none"), job.swap_words(place, "none", "1"), job.review_words(place, "none")):
        assert words[words.index("--colorspace") + 1] == "ACEScg"
        assert words[words.index("--ocio") + 1] == "/c/config.ocio"
        assert words[words.index("--plate-view" if words[0] == "review" else "--view") + 1] == "left"


def test_a_job_without_frames_cannot_be_meant():
    with pytest.raises(UsageError, match="at least one frame"):
        submission(frames=())


def test_a_wrong_swap_option_is_found_before_the_job_is_sent(tmp_path, capsys):
    shot = tiny_shot(tmp_path)
    arguments = ["submit", "openjd", *words_of(shot, tmp_path / "out"), "--dry-run", "--", "--nonsense"]
    assert run(arguments) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_a_dry_run_prints_the_job_and_writes_nothing(tmp_path, capsys):
    shot = tiny_shot(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(["submit", "openjd", *words_of(shot, tmp_path / "out"), "--dry-run", "--", "--layers"]) == 0
    template = json.loads(capsys.readouterr().out)
    assert template["steps"][0]["script"]["actions"]["onRun"]["args"][-1] == "--layers"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("options", [[], ["--frames-per-task", "1"], ["--gpu", "--memory", "8G"]], ids=str)
@pytest.mark.parametrize("faces", [True, False], ids=["aligned", "to be aligned"])
def test_openjd_check_passes(tmp_path, options, faces):
    shot = tiny_shot(tmp_path)
    if not faces:
        (tmp_path / "shot.faces.json").unlink()
    bundle = tmp_path / "job"
    assert run(["submit", "openjd", *words_of(shot, tmp_path / "out"), "--bundle", str(bundle), *options]) == 0
    template = json.loads((bundle / "template.json").read_text())
    assert [step["name"] for step in template["steps"]] == [*([] if faces else ["Align"]), "Swap", "Review"]
    done = subprocess.run([tool("openjd"), "check", str(bundle / "template.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    values = json.loads((bundle / "parameter_values.json").read_text())["parameterValues"]
    assert {one["name"] for one in values} == {one["name"] for one in template["parameterDefinitions"]}
    assert json.loads((bundle / "asset_references.json").read_text())["assetReferences"]["outputs"]["directories"]


def test_a_look_its_measures_and_mattes_are_paths_that_a_farm_can_map(tmp_path):
    shot, bundle = tiny_shot(tmp_path), tmp_path / "job"
    (tmp_path / "shot.faces.json").unlink()
    given = {
        "--fix": tmp_path / "sh.fix.json",
        "--settings": tmp_path / "look.settings.json",
        "--measures": tmp_path / "made" / "sh.measures.json",
        "--matte-in": tmp_path / "mattes" / "m.####.exr",
        "--holdout": tmp_path / "hands" / "h.####.exr",
    }
    options = [str(word) for pair in given.items() for word in pair]
    assert (
        run(["submit", "openjd", *words_of(shot, tmp_path / "out"), *options, "--person", "1", "--bundle", str(bundle)])
        == 0
    )
    template = json.loads((bundle / "template.json").read_text())
    steps = {step["name"]: step for step in template["steps"]}
    assert list(steps) == ["Align", "Measure", "Swap", "Review"]
    for before, step in (("Align", "Measure"), ("Measure", "Swap"), ("Swap", "Review")):
        assert steps[step]["dependencies"] == [{"dependsOn": before}]
    words = {name: step["script"]["actions"]["onRun"]["args"] for name, step in steps.items()}
    names = {"--settings": "Settings", "--measures": "Measures", "--matte-in": "Matte", "--holdout": "Holdout"}
    for option, name in names.items():
        assert words["Swap"][words["Swap"].index(option) + 1] == f"{{{{Param.{name}}}}}"
    assert words["Align"][words["Align"].index("--fix") + 1] == "{{Param.Fix}}"
    assert words["Measure"][words["Measure"].index("-o") + 1] == "{{Param.Measures}}"
    for step in ("Measure", "Swap"):
        assert words[step][words[step].index("--person") + 1] == "1"
    values = {
        one["name"]: one["value"]
        for one in json.loads((bundle / "parameter_values.json").read_text())["parameterValues"]
    }
    assert [values[name] for name in ("Fix", *names.values())] == [str(path) for path in given.values()]
    references = json.loads((bundle / "asset_references.json").read_text())["assetReferences"]
    assert {str(tmp_path / "mattes"), str(tmp_path / "hands")} <= set(references["inputs"]["directories"])
    assert str(tmp_path / "made") in references["outputs"]["directories"]
    done = subprocess.run([tool("openjd"), "check", str(bundle / "template.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_is_there_already_is_made_by_no_step(tmp_path, capsys):
    shot = tiny_shot(tmp_path)
    measures = tmp_path / "sh.measures.json"
    measures.write_text("{}")
    options = ["--measures", str(measures), "--fix", str(tmp_path / "sh.fix.json"), "--dry-run"]
    assert run(["submit", "openjd", *words_of(shot, tmp_path / "out"), *options]) == 0
    template = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in template["steps"]] == ["Swap", "Review"]
    assert "Fix" not in {one["name"] for one in template["parameterDefinitions"]}, "it was for the alignment"


def test_opencue_gets_the_layers_in_their_order():
    pytest.importorskip("outline", reason="PyOutline comes with the extra `farm`")
    from bodydouble.farm.opencuejobs import opencue_outline

    job = opencue_outline(submission(measure=True, measures="/o/sh.measures.json"), "film", "sh010", "anna")
    assert [layer.get_name() for layer in job.get_layers()] == ["align", "measure", "swap", "review"]
    for before, layer in zip(job.get_layers(), job.get_layers()[1:], strict=False):
        assert [one.get_depend_on_layer().get_name() for one in layer.get_depends()] == [before.get_name()]


@pytest.mark.parametrize("folders", [False, True], ids=["patterns", "folders"])
def test_a_farm_is_told_what_is_a_file_what_a_folder_and_what_to_send_along(tmp_path, folders):
    shot, bundle = tiny_shot(tmp_path), tmp_path / "job"
    plates, out = tmp_path / "plates", tmp_path / "out"
    plate, result = (plates, out) if folders else (plates / "plate.####.exr", out / "swap.####.exr")
    words = ["submit", "openjd", str(plate), "-o", str(result), *shot[2:], "--bundle", str(bundle)]
    assert run(words) == 0
    template = json.loads((bundle / "template.json").read_text())
    paths = {one["name"]: one for one in template["parameterDefinitions"] if one["type"] == "PATH"}
    kinds = {name: one["objectType"] for name, one in paths.items()}
    kind = "DIRECTORY" if folders else "FILE"
    assert kinds == {"Plate": kind, "Out": kind, "Model": "DIRECTORY", "Faces": "FILE", "Review": "DIRECTORY"}
    for one in paths.values():
        assert (one["userInterface"]["control"] == "CHOOSE_DIRECTORY") == (one["objectType"] == "DIRECTORY")
    references = json.loads((bundle / "asset_references.json").read_text())["assetReferences"]
    assert references["inputs"]["directories"] == [str(plates), str(tmp_path / "cast.comb")]
    assert str(out) in references["outputs"]["directories"]


def openjd_run(bundle: Path, *more: str) -> subprocess.CompletedProcess[str]:
    parameters = f"file://{bundle / 'parameters.json'}"
    command = [tool("openjd"), "run", str(bundle / "template.json"), "--job-param", parameters, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def test_openjd_runs_a_job_with_progress_and_path_mapping(tmp_path, environment):
    shot = tiny_shot(tmp_path / "here")
    bundle = tmp_path / "job"
    out = tmp_path / "out"
    frames = ["--frames", "1001-1003", "--frames-per-task", "3"]
    assert run(["submit", "openjd", *words_of(shot, out), "--bundle", str(bundle), *frames]) == 0
    (tmp_path / "here").rename(tmp_path / "there")
    rules = {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {
                "source_path_format": "POSIX",
                "source_path": str(tmp_path / "here"),
                "destination_path": str(tmp_path / "there"),
            }
        ],
    }
    done = openjd_run(bundle, "--step", "Swap", "--no-run-dependencies", "--path-mapping-rules", json.dumps(rules))
    assert done.returncode == 0, done.stdout
    assert len(list(out.glob("plate.*.exr"))) == 3
    assert [line.split()[-1] for line in done.stdout.splitlines() if "openjd_progress" in line] == [
        "33.3", "66.7", "100.0", "100",
    ]  # fmt: skip


@pytest.fixture
def demo_plate(tmp_path: Path) -> Path:
    """Eight frames of the bundled shot."""
    for path in sorted((BUNDLED / "sh010").glob("*.exr"))[:8]:
        (tmp_path / "plates").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "plates")
    return tmp_path / "plates"


@slow
def test_openjd_runs_the_demo_shot_and_resumes_after_a_failure(tmp_path, environment, demo_plate):
    bundle, out = tmp_path / "job", tmp_path / "swap"
    arguments = [str(demo_plate), "-o", str(out), "--model", str(BUNDLED / "rendered.comb"), "--persona", PERSONA]
    arguments += ["--frames-per-task", "3", "--bundle", str(bundle), "--command", HERE]
    assert run(["submit", "openjd", *arguments]) == 0
    blocked = out / "sh010_B.1019.exr"
    out.mkdir()
    blocked.write_bytes((demo_plate / "sh010_B.1019.exr").read_bytes())  # not made by this job
    failed = openjd_run(bundle)
    assert failed.returncode != 0
    assert "openjd_fail: 1 of 3 frames have no result" in failed.stdout
    assert not (tmp_path / "swap.review").exists()
    blocked.unlink()
    done = openjd_run(bundle)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("already there, made by the same job") == 5
    assert done.stdout.count("openjd_status: frame") == 8 * 3
    assert len(list(out.glob("*.exr"))) == 8
    assert (tmp_path / "swap.review" / "review.html").is_file()


@pytest.fixture
def local_opencue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    """PyOutline as a studio sets it up: where sessions lie, and a wrapper of our own instead of its author's."""
    pytest.importorskip("outline", reason="PyOutline is not installed; it comes with the extra `farm`")
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    wrapper = wrappers / "local_wrap_frame"
    # PyOutline's words: user folder, show, shot, pycuerun, its arguments in one word, then versions of a repository.
    wrapper.write_text("#!/bin/sh\nexec $4 $5\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("OUTLINE_OUTLINE_WRAPPER_DIR", str(wrappers))
    monkeypatch.setenv("OUTLINE_OUTLINE_BIN_DIR", str(Path(sys.executable).parent))
    monkeypatch.setenv("OUTLINE_OUTLINE_SESSION_DIR", str(tmp_path / "sessions"))


def in_a_process(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: PyOutline reads its settings once."""
    command = [sys.executable, "-m", "bodydouble_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_opencue_gets_layers_that_depend_on_each_other(tmp_path, local_opencue):
    shot = tiny_shot(tmp_path)
    (tmp_path / "shot.faces.json").unlink()
    done = in_a_process("submit", "opencue", *words_of(shot, tmp_path / "out"), "--dry-run")
    assert done.returncode == 0, done.stderr
    specification = done.stdout
    assert [specification.index(f'<layer name="{name}"') for name in ("align", "swap", "review")]
    assert "<deplayer>swap</deplayer><onjob>plate_anna</onjob><onlayer>align</onlayer>" in specification
    assert "<deplayer>review</deplayer><onjob>plate_anna</onjob><onlayer>swap</onlayer>" in specification


def test_opencue_runs_a_job_here_to_the_end(tmp_path, local_opencue):
    shot = tiny_shot(tmp_path)
    out = tmp_path / "out"
    arguments = [*words_of(shot, out), "--backend", "local", "--frames", "1001-1002"]
    done = in_a_process("submit", "opencue", *arguments)
    assert done.returncode == 0, done.stderr
    assert "Job is done" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["plate.1001.exr", "plate.1002.exr"]
    assert "100% done: frame 1002" in done.stdout
    assert (tmp_path / "out.review" / "review.html").is_file(), done.stdout + done.stderr


def test_a_job_that_failed_here_is_4_though_pyoutline_does_not_tell(tmp_path, local_opencue):
    shot = tiny_shot(tmp_path)
    (tmp_path / "wrappers" / "local_wrap_frame").write_text("#!/bin/sh\nexit 1\n")
    done = in_a_process("submit", "opencue", *words_of(shot, tmp_path / "out"), "--backend", "local")
    assert done.returncode == 4
    assert "1001-1004 were not made" in done.stderr
