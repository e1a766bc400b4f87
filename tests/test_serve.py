"""The warm worker: jobs in, events out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from bodydouble.errors import UsageError
from bodydouble.events import FrameDone, Notice
from bodydouble.farm.jobs import Job, job_to_line
from bodydouble.swap.warm import Warm
from bodydouble_cli.main import cli, run
from bodydouble_cli.progress import open_run
from bodydouble_cli.serve import Inbox, command_line, serve_jobs
from tiny import tiny_shot


def answers(*jobs: Job | str, root: click.Group = cli) -> list[dict[str, object]]:
    """The event documents that a worker answers some jobs with, until their end."""
    inbox, written = Inbox(), []
    inbox.listen(iter([job if isinstance(job, str) else job_to_line(job) for job in jobs]))
    serve_jobs(root, inbox, written.append, Warm())
    return [json.loads(line) for line in written]


def ends(documents: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(one["job"], one["exit_code"]) for one in documents if one["event"] == "run_done"]


@pytest.fixture
def group() -> click.Group:
    """Commands that do little: `swap` does two frames, `align` breaks, `review` asks for something."""

    @click.group()
    def root() -> None: ...

    @root.command()
    @click.option("--json", "as_json", is_flag=True)
    def swap(as_json: bool) -> None:
        with open_run("swap", frames=2, as_json=as_json) as shown:
            shown.emit(FrameDone(1))
            shown.emit(FrameDone(2))

    @root.command()
    def align() -> None:
        raise ZeroDivisionError("oops")

    @root.command()
    @click.argument("result")
    @click.option("--plate", required=True)
    def review(result: str, plate: str) -> None:
        with open_run("review") as shown:
            shown.emit(Notice(f"{result} of {plate}"))

    return root


def test_every_job_ends_with_its_run_done_and_its_id_is_in_every_line(group):
    documents = answers(
        Job("a", "swap"), Job("b", "review", {"result": "-out", "plate": "--in"}), Job("c", "quit"), root=group
    )
    assert ends(documents) == [("a", 0), ("b", 0), ("c", 0)]
    assert [one["event"] for one in documents if one["job"] == "a"] == [
        "run_started",
        "frame_done",
        "frame_done",
        "run_done",
    ]
    assert any(one.get("message") == "-out of --in" for one in documents)


def test_a_job_that_fails_does_not_end_the_worker(group, capsys):
    documents = answers(Job("a", "align"), Job("b", "review"), "nonsense", Job("d", "swap"), root=group)
    assert ends(documents) == [("a", 1), ("b", 2), ("", 2), ("d", 0)]
    assert "ZeroDivisionError" in str(documents[0]["message"])
    assert "Traceback" in capsys.readouterr().err


def test_a_cancelled_job_ends_with_130_and_the_next_one_is_done(group):
    inbox, written = Inbox(), []

    def write(line: str) -> None:
        written.append(json.loads(line))
        if written[-1]["event"] == "frame_done":  # after the first frame of either job
            inbox.listen(iter([job_to_line(Job("c", "cancel", {"job": "a"}))]))

    inbox.listen(iter([job_to_line(Job("a", "swap")), job_to_line(Job("b", "swap"))]))
    serve_jobs(group, inbox, write, Warm())
    assert ends(written) == [("a", 130), ("b", 0)]
    assert [one["frame"] for one in written if one["event"] == "frame_done"] == [1, 1, 2]


def test_cancelling_a_job_that_is_not_there_does_nothing(group):
    documents = answers(Job("c", "cancel", {"job": "a"}), Job("a", "swap"), root=group)
    assert ends(documents) == [("c", 0), ("a", 0)]


def test_doctor_and_info_answer_with_their_document(tmp_path):
    documents = answers(Job("1", "doctor"), Job("2", "info", {"path": str(tmp_path / "none.exr")}))
    assert ends(documents) == [("1", 0), ("2", 3)]
    assert documents[0]["event"] == "facts"
    assert documents[0]["facts"]["schema"] == "bodydouble.doctor"  # type: ignore[index]
    assert "none.exr" in str(documents[-1]["message"])


def test_arguments_are_the_long_options_with_underscores():
    words = command_line(
        cli.commands["swap"],
        {"plate": "-p.####.exr", "on_no_face": "plate", "layers": True, "overwrite": False, "faces": None, "person": 2},
    )
    assert words == ["--on-no-face=plate", "--layers", "--person=2", "--", "-p.####.exr"]
    with pytest.raises(UsageError, match="Did you mean: persona"):
        command_line(cli.commands["swap"], {"personna": "anna"})


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bodydouble_cli", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def ask(worker: subprocess.Popen[str], job: Job) -> str:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(job_to_line(job) + "\n")
    worker.stdin.flush()
    return worker.stdout.readline()


def test_the_process_ends_with_0_at_the_end_of_its_input(worker):
    assert json.loads(ask(worker, Job("1", "cancel")))["exit_code"] == 0
    out, err = worker.communicate(timeout=30)
    assert (worker.returncode, out, err) == (0, "", "")


def test_the_process_ends_with_143_when_it_is_terminated(worker):
    ask(worker, Job("1", "cancel"))
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=30)
    assert worker.returncode == 143
    assert err == "bodydouble: Terminated.\n"


def test_another_look_of_the_same_frames_skips_the_network_and_gives_the_pixels_of_a_cold_run(tmp_path):
    words = tiny_shot(tmp_path, [1001, 1002])
    given = {
        "plate": words[1],
        "faces": words[3],
        "model": words[5],
        "persona": "anna",
        "out": str(tmp_path / "warm"),
        "overwrite": True,
    }
    documents = answers(Job("1", "swap", {**given, "edge": 3}), Job("2", "swap", {**given, "edge": 6}))
    assert ends(documents) == [("1", 0), ("2", 0)]
    seconds = {one["job"]: one["seconds"] for one in documents if one["event"] == "frame_done"}
    assert "network" in seconds["1"]  # type: ignore[operator]
    assert "network" not in seconds["2"]  # type: ignore[operator]
    assert run([*words, "-o", str(tmp_path / "cold"), "--edge", "6", "--progress", "none"]) == 0
    for frame in (1001, 1002):
        warm, cold = (tmp_path / name / f"plate.{frame}.exr" for name in ("warm", "cold"))
        assert warm.read_bytes() == cold.read_bytes()


def test_a_plate_is_measured_with_progress_and_can_be_cancelled(tmp_path):
    words = tiny_shot(tmp_path, [1001, 1002])
    given = {"plate": words[1], "faces": words[3], "model": words[5], "persona": "anna"}
    out = tmp_path / "shot.measures.json"
    documents = answers(Job("1", "measure", {**given, "out": str(out)}))
    assert ends(documents) == [("1", 0)]
    steps = [(one["stage"], one["done"], one["total"]) for one in documents if one["event"] == "progress"]
    assert steps == [("measuring", done, len(steps)) for done in range(1, len(steps) + 1)]
    assert len(steps) == 3, "a pair of frames for the grain, two for the blur"
    assert out.exists()
    out.unlink()

    inbox, written = Inbox(), []
    inbox.listen(iter([job_to_line(Job("2", "measure", {**given, "out": str(out)}))]))

    def write(line: str) -> None:
        written.append(json.loads(line))
        if written[-1]["event"] == "progress":
            inbox.listen(iter([job_to_line(Job("3", "cancel", {"job": "2"}))]))

    serve_jobs(cli, inbox, write, Warm())
    assert ends(written)[0] == ("2", 130)
    assert not out.exists()
