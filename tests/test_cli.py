"""The command line: its surface, its exit codes, what it prints where."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import click
import pytest
from rich.console import Console
from rich.progress import Progress as Bar

from bodydouble import errors, events
from bodydouble_cli.displays import TerminalBar
from bodydouble_cli.exits import Terminated, exit_code_of
from bodydouble_cli.info import facts_text
from bodydouble_cli.main import cli, run
from bodydouble_cli.options import DurationType, FramesType
from bodydouble_cli.progress import Reporting, failure_text, open_run

SURFACE = {
    "demo": {"--out", "--device", "--json"},
    "doctor": {"--ocio", "--json"},
    "info": {"--part", "--view", "--ocio", "--json"},
    "align": {
        "--out", "--frames", "--part", "--view", "--ocio", "--colorspace", "--stills", "--beta", "--smoothing",
        "--landmarker", "--mesh-model", "--handles", "--faces", "--fix", "--person", "--csv", "--nuke", "--overlay",
        "--overwrite", "--progress", "--json", "--report",
    },
    "extract": {
        "--faces", "--persona", "--out", "--frames", "--person", "--size", "--min-confidence", "--rights", "--part",
        "--view", "--ocio", "--colorspace", "--json", "--min-sharpness", "--min-difference", "--forehead", "--grow",
        "--format",
    },
    "train": {
        "--out", "--add", "--to", "--replace", "--fine-tune", "--resolution", "--width", "--iterations",
        "--time-budget", "--batch", "--update", "--optimiser", "--learning-rate", "--settle-learning-rate",
        "--settle", "--settle-form", "--loss", "--loss-span", "--detail-weight",
        "--texture-weight", "--l1-weight", "--eyes-mouth-weight",
        "--similarity", "--exposure", "--balance", "--light", "--shape", "--warp", "--mirror", "--blur", "--grain",
        "--held-out", "--precision", "--seed", "--keep", "--preview-every", "--rights", "--tensorboard", "--cache",
        "--device", "--json",
    },
    "persona": {"--export", "--import", "--remove", "--out", "--as", "--replace", "--json"},
    "swap": {
        "--out", "--model", "--persona", "--faces", "--frames", "--person", "--production", "--compression",
        "--on-no-face", "--layers", "--patch", "--forehead", "--grow", "--edge", "--sigma", "--plate-levels",
        "--colour-match", "--contrast", "--precision", "--settings", "--grain", "--defocus", "--motion-blur",
        "--matte-in", "--matte-channel", "--holdout", "--holdout-channel", "--measures", "--overwrite", "--device",
        "--part", "--view", "--ocio", "--colorspace", "--progress", "--json", "--report", "--frame-syntax", "--chunk",
        "--on-missing", "--on-error", "--threads", "--max-memory", "--draft", "--performer", "--likeness",
    },
    "holdout": {
        "--out", "--model", "--performer", "--faces", "--frames", "--person", "--device", "--part", "--view", "--ocio",
        "--colorspace", "--progress", "--json", "--report",
    },
    "measure": {
        "--faces", "--out", "--person", "--model", "--persona", "--production", "--device", "--part", "--view",
        "--ocio", "--colorspace", "--progress", "--json", "--report",
    },
    "export": set(),
    "review": {
        "--plate", "--out", "--faces", "--frames", "--display", "--view", "--look", "--movie", "--fps", "--part",
        "--plate-view", "--ocio", "--colorspace", "--progress", "--json", "--report",
    },
    "serve": {"--connection-file"},
    "daemon": set(),
    "submit": set(),
    "evaluate": {
        "--result", "--persona", "--people", "--truth", "--truth-matte", "--faces", "--person", "--frames", "--model",
        "--performer", "--production", "--device", "--part", "--view", "--ocio", "--colorspace", "--csv", "--json",
    },
    "verify": {"--frames", "--plate", "--model", "--trust", "--json"},
    "sign": {"--frames-of", "--certificate", "--key", "--timestamp", "--out"},
}  # fmt: skip


def options_of(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.fixture
def failing(monkeypatch):
    """Runs the command line with a command `fail` that raises what it is given; returns the exit code."""

    def call(problem: BaseException) -> int:
        @click.command()
        def fail() -> None:
            raise problem

        monkeypatch.setitem(cli.commands, "fail", fail)
        return run(["fail"])

    return call


def test_the_commands_and_their_options_are_these():
    found = {name: {option.opts[-1] for option in options_of(command)} for name, command in cli.commands.items()}
    assert found == SURFACE


@pytest.mark.parametrize("name", SURFACE)
def test_every_option_is_explained_and_never_prompts(name):
    for option in options_of(cli.commands[name]):
        assert option.help, option.name
        assert not option.prompt


@pytest.mark.parametrize("name", SURFACE)
def test_help_teaches_by_example_and_names_the_exit_codes(name, capsys):
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"bodydouble {name}" in text.split("Example")[1]
    assert "Exit codes:" in text


def test_the_group_lists_its_commands_in_the_order_of_the_work(capsys):
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.split("Commands:")[1]
    assert listed.index("align") < listed.index("extract") < listed.index("train") < listed.index("swap")


def test_version_prints_the_version_of_the_engine(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip().endswith("0.1.0")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.InputError("x"), 3),
        (errors.PlateError("x"), 3),
        (errors.ModelError("x"), 3),
        (errors.FramesFailedError("x"), 4),
        (errors.OutputError("x"), 4),
        (errors.RightsError("x"), 5),
        (errors.OutOfMemoryError("x"), 33),
        (MemoryError("x"), 33),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 33),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (click.UsageError("x"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_expected_failure_is_one_message_on_stderr_and_its_exit_code(failing, capsys, problem, code):
    assert failing(problem) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip()
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EACCES, 3, "here.exr: cannot be used (Permission denied)"),
        (errno.EIO, 3, "here.exr: cannot be used (Input/output error)"),
        (errno.ENOSPC, 4, "here.exr: cannot be written (the disk or your quota is full"),
        (errno.EROFS, 4, "here.exr: cannot be written (Read-only file system)"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_the_file_and_no_bug(failing, capsys, number, code, said):
    assert failing(OSError(number, os.strerror(number), "here.exr")) == code
    err = capsys.readouterr().err
    assert said in err and "Check the path" in err
    assert "Traceback" not in err


READER_GOES = (
    "import sys, click\n"
    "from bodydouble.events import FrameDone\n"
    "from bodydouble_cli.main import cli, main\n"
    "from bodydouble_cli.progress import open_run\n"
    "@cli.command()\n"
    "@click.argument('format')\n"
    "def slow(format):\n"
    "    from bodydouble_cli.progress import Reporting\n"
    "    with open_run('slow', frames=9, reporting=Reporting(format)) as run:\n"
    "        sys.stdin.read()\n"
    "        for frame in range(9):\n"
    "            run.emit(FrameDone(frame))\n"
    "main()\n"
)


@pytest.mark.parametrize(("format", "stream"), [("json", "stdout"), ("plain", "stderr")])
def test_a_reader_that_goes_away_ends_the_run_with_4_and_no_traceback(tmp_path, format, stream):
    """`bodydouble swap ... | head`: the frames after that would be done for nobody."""
    (tmp_path / "slow.py").write_text(READER_GOES)
    pipe = subprocess.PIPE
    words = [sys.executable, str(tmp_path / "slow.py"), "slow", format]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdin is not None
        getattr(child, stream).close()
        child.stdin.close()
        other = child.stderr if stream == "stdout" else child.stdout
        assert other is not None
        said = other.read()
    assert child.returncode == 4
    assert "Traceback" not in said and "Exception ignored" not in said
    if stream == "stdout":
        assert "the other end of the pipe is closed" in said


def test_a_name_that_is_no_text_is_2_and_named(capsys):
    assert run(["info", os.fsdecode(b"plate\xff.exr")]) == 2
    assert r"'plate\xff.exr': this is not UTF-8" in capsys.readouterr().err


def test_the_out_of_memory_error_of_torch_is_33():
    import torch

    assert exit_code_of(torch.OutOfMemoryError("CUDA out of memory")) == 33


def test_a_bug_shows_its_traceback_and_is_1(failing, capsys):
    assert failing(ZeroDivisionError("oops")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: oops" in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["swap"], ["swap", "p.exr", "--nonsense"], ["align", "p.exr", "-o", "x", "--frames", "a-b"]],
)
def test_a_command_that_cannot_be_meant_is_2(arguments, capsys):
    assert run(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["align", "none.####.exr", "-o", "shot.faces.json"],
        ["swap", "none.####.exr", "-o", "out", "--model", "m.comb", "--persona", "a"],
        ["review", "none.####.exr", "--plate", "none.####.exr", "-o", "review"],
        ["info", "none.exr"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_plate_that_is_not_there_is_3_and_named(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 3
    assert "none." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_code_and_a_last_event(tmp_path, number, code):
    script = tmp_path / "slow.py"
    script.write_text(
        "import click, time\n"
        "from bodydouble_cli.main import cli, main\n"
        "from bodydouble_cli.progress import open_run\n"
        "@cli.command()\n"
        "def slow():\n"
        "    with open_run('slow', as_json=True):\n"
        "        time.sleep(60)\n"
        "import sys; sys.argv[1:] = ['slow']; main()\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert events.event_from_line(child.stdout.readline()) == events.RunStarted("slow", "0.1.0")
        time.sleep(0.2)
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert child.returncode == code
    last = events.event_from_line(out.splitlines()[-1])
    assert isinstance(last, events.RunDone)
    assert last.exit_code == code
    assert "Traceback" not in err


def lines_of(text: str) -> list[events.Event]:
    return [events.event_from_line(line) for line in text.splitlines()]


def test_with_json_standard_output_holds_event_lines_from_first_to_last(capsys):
    with open_run("swap", frames=2, as_json=True) as shown:
        shown.emit(events.FrameDone(1001, "out.1001.exr", 0.9, {"read": 0.1}))
        shown.emit(events.FrameSkipped(1002))
        shown.output("frames", "out.####.exr")
    out, err = capsys.readouterr()
    first, *_, last = lines_of(out)
    assert first == events.RunStarted("swap", "0.1.0", 2)
    assert isinstance(last, events.RunDone)
    assert (last.exit_code, last.done, last.failed, last.skipped) == (0, 1, 0, 1)
    assert last.outputs == {"frames": "out.####.exr"}
    assert err == ""


def test_a_failed_frame_makes_the_run_fail_at_its_end(capsys):
    with pytest.raises(errors.FramesFailedError, match="1 of 2 frames"), open_run("swap", as_json=True) as shown:
        shown.emit(events.FrameFailed(1001, "no_face", "no face was found"))
        shown.emit(events.FrameDone(1002))
    last = lines_of(capsys.readouterr().out)[-1]
    assert isinstance(last, events.RunDone)
    assert (last.exit_code, last.done, last.failed) == (4, 1, 1)


def test_a_run_that_breaks_off_says_why_in_its_last_event(capsys):
    with pytest.raises(errors.RightsError), open_run("swap", as_json=True):
        raise errors.RightsError("Ask Anna.")
    last = lines_of(capsys.readouterr().out)[-1]
    assert isinstance(last, events.RunDone)
    assert (last.exit_code, last.message) == (5, "Ask Anna.")


def test_without_a_terminal_progress_is_plain_lines_on_stderr_and_results_on_stdout(capsys):
    with open_run("swap", frames=2) as shown:
        shown.emit(events.FrameDone(1001, seconds={"read": 0.25, "write": 0.5}))
        shown.notice("look here")
        shown.emit(events.FrameSkipped(1002, message="exists"))
        shown.output("frames", "out.####.exr")
    out, err = capsys.readouterr()
    assert out == "frames  out.####.exr\n"
    assert err.splitlines() == [
        "[1/2] frame 1001 done in 0.75 s (read 0.25, write 0.50)",
        "note: look here",
        "[2/2] frame 1002 skipped: exists",
    ]


@pytest.mark.parametrize(
    ("format", "said"), [("plain", "[2/4] frame 1002 no face"), ("deadline", "Progress: 50% frame 1002 no face")]
)
def test_a_frame_that_turns_out_to_have_no_face_is_counted_once(capsys, format, said):
    with pytest.raises(errors.FramesFailedError), open_run("align", frames=4, reporting=Reporting(format)) as shown:
        for frame in (1001, 1002):
            shown.emit(events.FrameDone(frame))
        shown.emit(events.FrameFailed(1001, "no_face", "what was found is no convincing face"))
        shown.emit(events.FrameFailed(1002, "no_face", "what was found is no convincing face"))
    shown_lines = "".join(capsys.readouterr())
    assert shown_lines.count("done") == 2
    assert said in shown_lines


def test_on_a_terminal_a_frame_moves_the_bar_once():
    with ExitStack() as stack:
        bar = stack.enter_context(Bar("{task.description}", console=Console(file=io.StringIO())))
        display = TerminalBar(bar)
        display.show(events.RunStarted("align", "0.1.0", 2))
        for event in (events.FrameDone(1), events.FrameDone(2), events.FrameFailed(2, "no_face", "none")):
            display.show(event)
        assert bar.tasks[0].completed == 2


def test_what_every_frame_says_is_shown_once_until_it_changes(capsys):
    with open_run("swap") as shown:
        for frame, message in ((1, "lossy"), (2, "lossy"), (3, "copied"), (4, "lossy")):
            shown.emit(events.FrameDone(frame, message=message))
    assert capsys.readouterr().err.splitlines() == [
        "frame 1 done: lossy",
        "frame 2 done",
        "frame 3 done: copied",
        "frame 4 done: lossy",
    ]


def test_on_a_terminal_failures_stay_readable_above_the_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with pytest.raises(errors.FramesFailedError), open_run("swap", frames=3) as shown:
        shown.emit(events.FrameDone(1001, message="a copy of the plate"))
        shown.emit(events.FrameFailed(1002, "failed", "unreadable [zip]"))
        shown.emit(events.Progress("review", 1, 5, message="sheet"))
        shown.output("frames", "out.####.exr")
    out, err = capsys.readouterr()
    assert "frame 1001: a copy of the plate" in err
    assert "frame 1002 failed: unreadable [zip]" in err
    assert "out.####.exr" in out


def test_failures_are_listed_by_reason_with_compact_frames():
    failures = [
        *(events.FrameFailed(frame, "no_face", f"sh.{frame:05}.exr: no face") for frame in (1003, 1004, 1005, 1009)),
        events.FrameFailed(1007, "missing", "no file"),
    ]
    assert failure_text(failures, 24).splitlines() == [
        "5 of 24 frames have no result:",
        "  1003-1005,1009 no face: sh.####.exr: no face",
        "  1007 missing: no file",
    ]


def test_many_different_reasons_are_cut_short_but_no_frame_is_lost():
    failures = [events.FrameFailed(frame, "failed", f"reason {-frame * 100}") for frame in range(1, 31)]
    lines = failure_text(failures, 30).splitlines()
    assert len(lines) == 12
    assert "11-30" in lines[-1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_a_duration_is_seconds(text, seconds):
    assert DurationType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0s", "-5s", "5d", "m"])
def test_what_is_no_duration_is_a_usage_error(text):
    with pytest.raises(click.BadParameter, match="no duration"):
        DurationType().convert(text, None, None)


def test_frames_are_a_range_with_steps():
    assert list(FramesType().convert("1001-1007x2,1010", None, None)) == [1001, 1003, 1005, 1007, 1010]


def test_nested_facts_are_indented_lines():
    facts = {"kind": "model", "colour_space": None, "dims": {"level": 5}, "personas": [{"name": "a"}, {"name": "b"}]}
    assert facts_text(facts).splitlines() == [
        "kind: model",
        "colour space: none",
        "dims:",
        "  level: 5",
        "personas:",
        "  - name: a",
        "  - name: b",
    ]


def test_doctor_as_json_is_one_document(capsys):
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "bodydouble.doctor"


@pytest.fixture
def empty_plate(tmp_path):
    """Two small frames without a face, one of them with NaN, Inf, negative and very bright pixels."""
    import numpy as np

    from bodydouble.plates.images import write_image

    pixels = np.full((90, 160, 3), 0.18, np.float32)
    write_image(tmp_path / "plate.1001.exr", pixels)
    pixels[:2, :2] = [[[np.nan] * 3, [np.inf] * 3], [[-1.0] * 3, [50.0] * 3]]
    write_image(tmp_path / "plate.1002.exr", pixels)
    return str(tmp_path / "plate.####.exr")


def test_align_lists_frames_without_a_face_and_is_4_but_writes_the_sidecar(empty_plate, tmp_path, capsys):
    sidecar = tmp_path / "shot.faces.json"
    assert run(["align", empty_plate, "-o", str(sidecar), "--colorspace", "ACEScg", "--json"]) == 4
    out, err = capsys.readouterr()
    shown = lines_of(out)
    assert [event.frame for event in shown if isinstance(event, events.FrameFailed)] == [1001, 1002]
    assert "1001-1002 no face" in err
    assert sidecar.is_file()
    assert run(["info", str(sidecar)]) == 0


def test_align_lists_a_frame_that_cannot_be_read_and_does_the_others(empty_plate, tmp_path, capsys):
    (tmp_path / "plate.1002.exr").write_bytes(b"not an EXR")
    sidecar, drawn = tmp_path / "shot.faces.json", tmp_path / "drawn"
    argv = ["align", empty_plate, "-o", str(sidecar), "--colorspace", "ACEScg", "--overlay", str(drawn), "--json"]
    assert run(argv) == 4
    shown = lines_of(capsys.readouterr().out)
    failed = {event.frame: event for event in shown if isinstance(event, events.FrameFailed)}
    assert [(frame, failed[frame].status) for frame in (1001, 1002)] == [(1001, "no_face"), (1002, "failed")]
    assert "plate.1002.exr" in failed[1002].message
    assert list(json.loads(sidecar.read_text())["frames"]) == ["1001", "1002"]
    assert [path.name for path in drawn.iterdir()] == ["overlay.1001.png"]
    (tmp_path / "plate.1001.exr").write_bytes(b"not an EXR")
    assert run([*argv, "--overwrite"]) == 3, "with none that can be read there is nothing to write"


def test_align_tells_of_a_hole_before_the_work_with_the_frames_that_are_there(empty_plate, tmp_path, capsys):
    os.rename(tmp_path / "plate.1002.exr", tmp_path / "plate.1004.exr")
    assert run(["align", empty_plate, "-o", str(tmp_path / "shot.faces.json"), "--colorspace", "ACEScg"]) == 3
    err = capsys.readouterr().err
    assert "no frame 1002-1003; render it, or say --frames 1001,1004." in err
    assert "[1/" not in err


def test_align_finds_out_that_it_cannot_write_before_the_work(empty_plate, tmp_path, capsys):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "shot.faces.json", tmp_path):
        assert run(["align", empty_plate, "-o", str(out), "--colorspace", "ACEScg", "--overwrite"]) == 4
        err = capsys.readouterr().err
        assert f"{out}: cannot be written" in err and "[1/" not in err


def test_align_keeps_an_existing_sidecar_unless_told_to_overwrite(empty_plate, tmp_path, capsys):
    sidecar = tmp_path / "shot.faces.json"
    sidecar.write_text("precious")
    assert run(["align", empty_plate, "-o", str(sidecar)]) == 2
    assert sidecar.read_text() == "precious"
    assert "--overwrite" in capsys.readouterr().err


def test_an_unknown_colour_space_is_2_with_near_names_and_no_sidecar(empty_plate, tmp_path, capsys):
    sidecar = tmp_path / "shot.faces.json"
    assert run(["align", empty_plate, "-o", str(sidecar), "--colorspace", "ACEScgg"]) == 2
    assert "ACEScg" in capsys.readouterr().err
    assert not sidecar.exists()


def test_a_faceset_without_a_single_crop_is_3(empty_plate, tmp_path, capsys):
    sidecar = tmp_path / "shot.faces.json"
    run(["align", empty_plate, "-o", str(sidecar), "--colorspace", "ACEScg"])
    arguments = ["extract", empty_plate, "--faces", str(sidecar), "--persona", "anna", "-o", str(tmp_path / "anna")]
    assert run(arguments) == 3
    assert "none of the 2 frames" in capsys.readouterr().err
