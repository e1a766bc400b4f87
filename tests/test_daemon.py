"""The worker in the background of a farm's session: loaded once, found again, ended; and killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import bodydouble
from bodydouble.errors import InputError, OutputError, UsageError
from bodydouble.farm.daemon import callers, connect, listening, log_of, read_connection, start_worker, stop_worker
from bodydouble.farm.jobs import Job, job_from_line, job_to_line
from bodydouble_cli.main import run
from bodydouble_cli.serve import Inbox
from tiny import tiny_shot

FRAMES = range(1001, 1031)
ROOTS = [str(Path(bodydouble.__file__).parents[1]), str(Path(__file__).parents[1] / "cli")]
PROBE = "import sys; from bodydouble_cli.main import run; code = run({words}); print(*sys.modules); sys.exit(code)"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the processes of others find this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*ROOTS, *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def session(tmp_path: Path, environment: None) -> Iterator[Path]:
    """A connection file; whatever worker it names at the end is ended."""
    file = tmp_path / "session" / "worker.json"
    yield file
    stop_worker(file, 5)


def words_of(connection: Path, *words: object) -> list[str]:
    return ["daemon", "run", "--connection-file", str(connection), *map(str, words)]


def begin(connection: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bodydouble_cli", *words_of(connection, *words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_a_frame(task: subprocess.Popen[str]) -> None:
    assert task.stdout is not None
    while "frame_done" not in task.stdout.readline():
        assert task.poll() is None


def worker_of(connection: Path) -> int:
    found = read_connection(connection)
    assert found is not None
    return found.process


def is_running(process: int) -> bool:
    """Whether a process is there that has not ended: one that nobody has asked for its end counts as gone."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def has_ended(process: int) -> bool:
    """Whether a process ends in time: its sockets close a moment before it is gone."""
    end = time.monotonic() + 10
    while is_running(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_running(process)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_worker_loads_the_model_once_outlives_its_tasks_and_is_started_anew_when_it_was_killed(
    session, tmp_path, python
):
    shot = [*tiny_shot(tmp_path, FRAMES), "-o", str(tmp_path / "out"), "--json"]
    assert python("-m", "bodydouble_cli", "daemon", "start", "--connection-file", session).returncode == 0
    worker = worker_of(session)

    first = python("-m", "bodydouble_cli", *words_of(session, *shot, "--frames", "1001-1002"))
    assert first.returncode == 0, first.stderr
    assert f"done by worker {worker}" in first.stdout
    encoder = tmp_path / "cast.comb" / "encoder.safetensors"
    encoder.rename(tmp_path / "taken away")
    second = python("-c", PROBE.format(words=words_of(session, *shot, "--frames", "1003")))
    assert second.returncode == 0, second.stderr
    assert f"done by worker {worker}" in second.stdout
    assert not {"torch", "numpy", "OpenImageIO"} & set(second.stdout.splitlines()[-1].split())
    (tmp_path / "taken away").rename(encoder)

    with begin(session, *shot) as task:  # what ends a task ends its job alone
        wait_for_a_frame(task)
        task.send_signal(signal.SIGTERM)
        task.communicate(timeout=60)
    assert task.returncode == 143
    assert is_running(worker)
    assert not list((tmp_path / "out").glob(".*"))
    done_before = len(list((tmp_path / "out").iterdir()))
    assert done_before < len(FRAMES)

    with begin(session, *shot) as task:
        wait_for_a_frame(task)
        os.kill(worker, signal.SIGKILL)
        _, err = task.communicate(timeout=60)
    assert task.returncode == 143
    assert f"worker {worker} ended in the middle of the job; run it again" in err

    again = python("-m", "bodydouble_cli", *words_of(session, *shot, "--frames", "1001-1010"))
    assert again.returncode == 0, again.stderr
    assert "the worker is gone; another is started" in again.stdout
    assert (successor := worker_of(session)) != worker
    assert f"done by worker {successor}" in again.stdout

    assert python("-m", "bodydouble_cli", "daemon", "stop", "--connection-file", session).returncode == 0
    assert has_ended(successor)
    assert list(session.parent.iterdir()) == []
    assert run([*shot[:-1], "--overwrite", "-o", str(tmp_path / "clean"), "--frames", "1001-1010"]) == 0
    made = {name: digest for name, digest in digests(tmp_path / "out").items() if not name.startswith(".")}
    assert digests(tmp_path / "clean").items() <= made.items()


def openjd_run(bundle: Path) -> subprocess.Popen[str]:
    tool = Path(sys.executable).parent / "openjd"
    if not tool.exists():
        pytest.skip("openjd is not installed; it comes with the extra `farm`")
    command = [str(tool), "run", str(bundle / "template.json"), "--job-param", f"file://{bundle / 'parameters.json'}"]
    return subprocess.Popen([*command, "--step", "Swap"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_openjd_runs_the_tasks_of_a_session_by_one_worker_and_goes_on_after_it_was_killed(tmp_path, environment):
    shot, out, bundle = tiny_shot(tmp_path, FRAMES), tmp_path / "out", tmp_path / "job"
    words = ["submit", "openjd", *shot[1:], "-o", str(out), "--command", f"{sys.executable} -m bodydouble_cli"]
    assert run([*words, "--bundle", str(bundle), "--frames-per-task", "10", "--warm"]) == 0

    with openjd_run(bundle) as failing:
        assert failing.stdout is not None
        said = ""
        while "frame 1011 done" not in said:  # in the second task
            assert failing.poll() is None, said
            said += failing.stdout.readline()
        (worker,) = set(map(int, re.findall(r"worker (\d+)", said)))
        os.kill(worker, signal.SIGKILL)
        rest, _ = failing.communicate(timeout=120)
    assert failing.returncode != 0
    assert f"openjd_fail: worker {worker} ended in the middle of the job" in rest
    assert has_ended(worker)
    made = digests(out)
    assert 10 < len(made) < len(FRAMES) + 4

    with openjd_run(bundle) as resuming:
        rest, _ = resuming.communicate(timeout=120)
    assert resuming.returncode == 0, rest
    workers = re.findall(r"done by worker (\d+) in ([\d.]+) s", rest)
    assert len(workers) == 3
    assert len({process for process, _ in workers}) == 1
    assert "the worker has ended" in rest
    assert has_ended(int(workers[0][0]))
    finished = {name: digest for name, digest in made.items() if not name.startswith(".")}
    assert finished.items() <= digests(out).items()
    assert len(list(out.glob("plate.*.exr"))) == len(FRAMES)


@pytest.mark.parametrize("chunk", ["1", "4"])
def test_openjd_check_passes_for_a_job_with_a_worker(tmp_path, chunk):
    shot, bundle = tiny_shot(tmp_path), tmp_path / "job"
    words = ["submit", "openjd", *shot[1:], "-o", str(tmp_path / "out"), "--bundle", str(bundle), "--warm"]
    assert run([*words, "--frames-per-task", chunk, "--command", "python -m bodydouble_cli"]) == 0
    swap = json.loads((bundle / "template.json").read_text())["steps"][0]
    arguments = swap["script"]["actions"]["onRun"]["args"]
    assert arguments[:4] == ["-m", "bodydouble_cli", "daemon", "run"]
    assert arguments[6] == "swap"
    assert [*swap["stepEnvironments"][0]["script"]["actions"]] == ["onEnter", "onExit"]
    tool = Path(sys.executable).parent / "openjd"
    if tool.exists():
        done = subprocess.run([str(tool), "check", str(bundle / "template.json")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", [["train", "x"], ["swap"], ["swap", "p.exr", "--nonsense"]])
def test_what_cannot_be_meant_is_2_and_starts_no_worker(tmp_path, words, capsys):
    assert run(words_of(tmp_path / "worker.json", *words)) == 2
    assert capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_does_not_start_says_why(tmp_path):
    file = tmp_path / "worker.json"
    with pytest.raises(OutputError, match="says: oops"):
        start_worker([sys.executable, "-c", "print('oops')"], file)
    assert connect(file) is None
    with pytest.raises(OutputError, match="cannot be started"):
        start_worker([str(tmp_path / "none")], file)


def test_a_connection_file_that_is_something_else_is_named_and_left_alone(tmp_path):
    file = tmp_path / "worker.json"
    for text in ("{}", "no JSON"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"worker\.json"):
            stop_worker(file)
        assert file.read_text() == text


def test_nobody_but_the_user_can_reach_the_socket_and_it_is_gone_afterwards(tmp_path):
    file = tmp_path / "worker.json"
    with listening(file) as server:
        place = Path(server.getsockname())
        assert place.parent.stat().st_mode & 0o077 == 0
        line = connect(file)
        assert line is not None
        line.close()
    assert not place.parent.exists()
    assert not file.exists()


def test_stopping_what_is_not_there_removes_what_a_killed_worker_left(tmp_path):
    file = tmp_path / "worker.json"
    with listening(file) as server:
        place, kept = Path(server.getsockname()), file.read_text()
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    file.write_text(kept)
    log_of(file).write_text("Killed")
    assert connect(file) is None
    assert not stop_worker(file)
    assert list(tmp_path.iterdir()) == []
    assert not place.parent.exists()


@pytest.mark.parametrize("why", ["idle", "file gone", "another worker"])
def test_a_worker_that_nobody_wants_any_more_stops_listening(tmp_path, why):
    file = tmp_path / "worker.json"
    with listening(file) as server:
        if why == "file gone":
            file.unlink()
        elif why == "another worker":
            file.write_text(file.read_text().replace(server.getsockname(), "/elsewhere"))
        started = time.monotonic()
        assert list(callers(server, file, idle_s=0.1 if why == "idle" else 60)) == []
    assert time.monotonic() - started < 10
    assert file.exists() == (why == "another worker")


def test_a_job_whose_caller_has_hung_up_is_cancelled():
    inbox = Inbox(cancel_at_end=True)
    inbox.listen(iter([job_to_line(Job("a", "swap"))]))
    assert inbox.is_cancelled("a")


def test_a_worker_that_does_not_end_is_ended_by_force(session, python):
    stubborn = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom bodydouble.farm.daemon import listening\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with listening(Path(sys.argv[1])) as server:\n    caller, _ = server.accept()\n    time.sleep(600)\n"
    )
    # By another process: here the one that is started would stay a child.
    start = "import sys; from pathlib import Path; from bodydouble.farm.daemon import start_worker as start; start"
    python("-c", f"{start}([sys.executable, '-c', {stubborn!r}, {str(session)!r}], Path({str(session)!r}))")
    process = worker_of(session)
    assert stop_worker(session, 0.2)
    assert has_ended(process)
    assert not session.exists()


def test_a_job_may_give_the_words_of_its_command_line():
    job = Job("a", "swap", words=("p.####.exr", "-o", "out"))
    assert job_from_line(job_to_line(job)) == job
    with pytest.raises(UsageError, match="not both"):
        Job("a", "swap", {"plate": "p"}, ("p",))
    with pytest.raises(UsageError, match="list of text"):
        job_from_line(job_to_line(job).replace('"out"', "1"))
