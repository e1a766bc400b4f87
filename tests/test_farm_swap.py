"""`swap` as a farm runs it: chunks, rules, resuming, what fails, signals. Small plates, an untrained comb."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble import events
from bodydouble.plates.images import read_plate
from bodydouble.settings import RunSettings
from bodydouble.swap.swapping import plan_for
from bodydouble_cli.main import run
from tiny import tiny_shot

FRAMES = range(1001, 1007)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_shot(tmp_path_factory.mktemp("shot"), FRAMES)


@pytest.fixture(scope="module")
def clean(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """File name → digest of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("clean")
    assert run([*words, "-o", str(out), "--progress", "none"]) == 0
    return digests(out)


def digests(folder: Path) -> dict[str, str]:
    """Of every file in a folder, hidden ones included."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def read_report(path: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads(path.read_text())
    return document


def outcomes(report: dict[str, object]) -> list[tuple[object, ...]]:
    return [(one["frame"], one["event"], one.get("shows", "")) for one in report["frames"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_any_chunks_in_any_order_give_the_files_of_one_run_to_the_bit(words, clean, tmp_path, count):
    for index in range(count, 0, -1):
        assert run([*words, "-o", str(tmp_path), "--chunk", f"{index}/{count}", "--progress", "none"]) == 0
    assert digests(tmp_path) == clean


def test_the_number_of_threads_changes_no_bit(words, clean, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for threads in ("1", "3"):
            assert run([*words, "-o", str(tmp_path / threads), "--threads", threads, "--progress", "none"]) == 0
            assert digests(tmp_path / threads) == clean
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_empty_chunk_is_a_run_of_no_frames(words, tmp_path):
    assert run([*words, "-o", str(tmp_path), "--frames", "1001", "--chunk", "2/3", "--progress", "none"]) == 0
    assert digests(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        (["--frames", "1001-1006x2"], [1001, 1003, 1005]),
        (["--frames", "1001-1006:2", "--frame-syntax", "openjd"], [1001, 1003, 1005]),
        (["--frames", "1001-1003,1006", "--frame-syntax", "openjd"], [1001, 1002, 1003, 1006]),
        (["--frames", "1001-1005", "--chunk", "2/2"], [1003, 1004, 1005]),
    ],
)
def test_frames_are_chosen_by_range_syntax_and_chunk(words, tmp_path, arguments, frames):
    assert run([*words, "-o", str(tmp_path), *arguments, "--progress", "none"]) == 0
    assert sorted(digests(tmp_path)) == [f"plate.{frame}.exr" for frame in frames]


@pytest.mark.parametrize("chunk", ["0/3", "4/3", "1", "1/0", "a/b"])
def test_a_chunk_that_cannot_be_is_2(words, tmp_path, capsys, chunk):
    assert run([*words, "-o", str(tmp_path), "--chunk", chunk]) == 2
    assert "1/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "code", "outcome", "file"),
    [
        ("fail", 4, ("frame_failed", ""), False),
        ("skip", 0, ("frame_skipped", ""), False),
        ("black", 0, ("frame_done", "black"), True),
    ],
)
def test_a_missing_frame_is_dealt_with_by_the_rule(tmp_path, capsys, rule, code, outcome, file):
    words = tiny_shot(tmp_path, [1001, 1003])
    report = tmp_path / "report.json"
    out = tmp_path / "out"
    arguments = [*words, "-o", str(out), "--on-missing", rule, "--report", str(report), "--progress", "none"]
    assert run(arguments) == code
    assert outcomes(read_report(report))[1] == (1002, *outcome)
    assert (out / "plate.1002.exr").exists() == file
    if rule == "fail":
        assert "plate.####.exr does not exist" in capsys.readouterr().err
    if file:
        made = read_plate(out / "plate.1002.exr")
        assert made.main.channels == read_plate(tmp_path / "plates" / "plate.1001.exr").main.channels
        assert not any(pixels.any() for pixels in made.main.pixels)
        assert made.attributes["bodydouble/shows"] == "black"
        assert run(arguments) == 0  # and it is found again
        assert [one[1] for one in outcomes(read_report(report))] == ["frame_skipped"] * 3


@pytest.mark.parametrize(
    ("rule", "code", "outcome"),
    [
        ("fail", 4, ("frame_failed", "")),
        ("plate", 0, ("frame_done", "plate")),
        ("black", 0, ("frame_done", "black")),
    ],
)
def test_a_frame_without_a_face_is_dealt_with_by_the_rule(tmp_path, rule, code, outcome):
    words = tiny_shot(tmp_path, [1001, 1002], without_face=[1002])
    report, out = tmp_path / "report.json", tmp_path / "out"
    arguments = [*words, "-o", str(out), "--on-no-face", rule, "--report", str(report), "--progress", "none"]
    assert run(arguments) == code
    assert outcomes(read_report(report))[1] == (1002, *outcome)
    plate = read_plate(tmp_path / "plates" / "plate.1002.exr").main
    if rule == "fail":
        assert not (out / "plate.1002.exr").exists()
    else:
        made = read_plate(out / "plate.1002.exr").main
        expected = plate.pixels if rule == "plate" else [np.zeros_like(pixels) for pixels in plate.pixels]
        assert all(np.array_equal(a, b) for a, b in zip(made.pixels, expected, strict=True))


def test_another_rule_for_frames_without_a_face_does_not_make_finished_swaps_worthless(tmp_path):
    words = tiny_shot(tmp_path, [1001, 1002], without_face=[1002])
    report, out = tmp_path / "report.json", tmp_path / "out"
    assert run([*words, "-o", str(out), "--progress", "none"]) == 4
    arguments = [*words, "-o", str(out), "--on-no-face", "plate", "--report", str(report), "--progress", "none"]
    assert run(arguments) == 0
    assert [one[1] for one in outcomes(read_report(report))] == ["frame_skipped", "frame_done"]


def test_what_is_damaged_is_made_again_and_what_others_made_is_not(words, clean, tmp_path, capsys):
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    names = sorted(clean)
    whole = (tmp_path / names[0]).read_bytes()
    (tmp_path / names[0]).write_bytes(whole[: len(whole) // 2])
    (tmp_path / names[1]).write_bytes(b"")
    (tmp_path / names[2]).write_bytes((tmp_path / names[3]).read_bytes())  # of another frame
    foreign = digests(tmp_path)[names[2]]
    report = tmp_path.parent / "report.json"
    assert run([*words, "-o", str(tmp_path), "--progress", "none", "--report", str(report)]) == 4
    assert [one[1] for one in outcomes(read_report(report))] == [
        "frame_done", "frame_done", "frame_failed", "frame_skipped", "frame_skipped", "frame_skipped",
    ]  # fmt: skip
    assert "--overwrite" in capsys.readouterr().err
    assert digests(tmp_path) == {**clean, names[2]: foreign}
    assert run([*words, "-o", str(tmp_path), "--progress", "none", "--overwrite"]) == 0
    assert digests(tmp_path) == clean


def test_stale_temporaries_are_removed_by_age_and_fresh_ones_of_another_worker_are_not(words, clean, tmp_path):
    stale, fresh = (tmp_path / f".plate.1001.exr.{number}-0123abcd.tmp" for number in (17, 18))
    foreign = tmp_path / ".other.1001.exr.17-0123abcd.tmp"
    for path in (stale, fresh, foreign):
        path.write_bytes(b"half")
    for path in (stale, foreign):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*clean, fresh.name, foreign.name}


def test_a_file_that_may_not_grow_fails_each_frame_tells_the_reason_once_and_leaves_no_file(words, tmp_path, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        code = run([*words, "-o", str(tmp_path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    text = capsys.readouterr().err
    assert code == 4
    assert text.count("File too large") == 2  # at the first frame, and in the list at the end
    assert f"1001-{FRAMES[-1]} failed" in text
    assert digests(tmp_path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full_is_named_and_the_frames_that_fitted_stay(words, clean, tmp_path, capsys):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "none", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk could be mounted here: {mounted.stderr.decode().strip()}")
    try:
        assert run([*words, "-o", str(tmp_path)]) == 4
        assert "the disk or your quota is full" in capsys.readouterr().err
        found = digests(tmp_path)
        assert 0 < len(found) < len(clean)
        assert found.items() <= clean.items()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_after_a_failure_on_error_stop_begins_no_further_frame_and_says_how_many_are_left(words, tmp_path, capsys):
    folder = tmp_path / "shot"
    arguments = tiny_shot(folder, range(1001, 1021))
    (folder / "plates" / "plate.1001.exr").unlink()
    arguments += ["-o", str(tmp_path / "out"), "--frames", "1001-1020", "--on-error", "stop", "--threads", "1"]
    code = run(arguments)
    assert code == 4
    assert "were not tried" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else [])) < 10


def test_an_output_folder_that_cannot_be_made_fails_the_frames_with_its_reason(words, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run([*words, "-o", str(tmp_path / "file" / "plate.####.exr")]) == 4
    assert "file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_folder_that_may_not_be_written_fails_the_frames_with_the_reason(capsys):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to everybody else
        words = tiny_shot(Path(folder), [1001])
        out = Path(folder) / "out"
        out.mkdir()
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            code = run([*words, "-o", str(out)])
        finally:
            os.seteuid(0)
        assert code == 4
        assert "(Permission denied)" in capsys.readouterr().err
        assert digests(out) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_plate_that_may_not_be_read_is_told_in_a_sentence_and_its_folder_too(capsys):
    with tempfile.TemporaryDirectory() as folder:
        words = tiny_shot(Path(folder), [1001, 1002])
        plates = Path(folder) / "plates"
        (plates / "plate.1002.exr").chmod(0o600)
        Path(folder).chmod(0o777)
        os.seteuid(65534)
        try:
            codes = [run([*words, "-o", str(Path(folder) / "out")])]
            os.seteuid(0)
            plates.chmod(0o700)
            os.seteuid(65534)
            codes += [run([*words, "-o", str(Path(folder) / "out2")]), run(["info", str(plates)])]
        finally:
            os.seteuid(0)
        err = capsys.readouterr().err
        assert codes == [4, 3, 3]
        assert "plate.1002.exr: cannot be used (Permission denied). Check" in err
        assert "Traceback" not in err and "Errno" not in err


def test_holdout_tells_of_a_hole_before_the_work_with_the_frames_that_are_there(tmp_path, capsys):
    words = tiny_shot(tmp_path, [1001, 1003])
    words = ["holdout", *words[1:-2], "--performer", "anna", "-o", str(tmp_path / "out")]
    assert run(words) == 3
    assert "no frame 1002; render it, or say --frames 1001,1003." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["swap", "measure", "holdout"])
def test_shot_faces_of_a_plate_of_another_size_are_refused(tmp_path, capsys, command):
    words = tiny_shot(tmp_path, [1001])
    faces = Path(words[words.index("--faces") + 1])
    faces.write_text(faces.read_text().replace('"width": 96', '"width": 192'))
    extra = {"swap": words[-2:], "measure": words[-2:], "holdout": ["--performer", "anna"]}[command]
    assert run([command, *words[1:-2], *extra, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "192x80" in err and "plate.1001.exr is 96x80" in err and "bodydouble align" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("other", "told"), [("plate.####.exr", False), ("plate.%04d.exr", False), ("b.####.exr", True)]
)
def test_measures_of_another_plate_are_used_and_told_of(tmp_path, capsys, other, told):
    words = tiny_shot(tmp_path, [1001])
    path = tmp_path / "shot.measures.json"
    assert run(["measure", *words[1:4], "-o", str(path)]) == 0
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"plate": f"/elsewhere/{other}"}))
    assert run([*words, "-o", str(tmp_path / "out"), "--measures", str(path)]) == 0
    assert ("shot.measures.json was measured on b.####.exr" in capsys.readouterr().err) == told


def test_a_run_without_a_single_result_names_no_frames_as_its_output(tmp_path, capsys):
    words = tiny_shot(tmp_path, [1001], without_face=[1001])
    assert run([*words, "-o", str(tmp_path / "out")]) == 4
    assert capsys.readouterr().out == ""
    assert run([*words, "-o", str(tmp_path / "out"), "--on-no-face", "plate"]) == 0
    assert capsys.readouterr().out == f"frames  {tmp_path / 'out' / 'plate.####.exr'}\n"


def test_a_plate_folder_that_vanishes_is_a_failure_and_no_missing_frame_whatever_the_rule(tmp_path, capsys):
    words = tiny_shot(tmp_path / "shot", range(1001, 1021))
    from bodydouble.swap.framesteps import read

    def vanish(job: object, frame: int) -> object:
        if frame == 1005:
            (tmp_path / "shot" / "plates").rename(tmp_path / "gone")
        return read(job, frame)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bodydouble.swap.frameloop.read", vanish)
        assert run([*words, "-o", str(tmp_path / "out"), "--on-missing", "skip"]) == 4
    assert "cannot be reached; is its disk mounted?" in capsys.readouterr().err
    assert len(digests(tmp_path / "out")) < 20


def test_a_frame_that_does_not_fit_is_done_alone_and_the_run_goes_on_with_fewer_at_once(words, clean, tmp_path, capsys):
    from bodydouble.swap.framesteps import compute

    failed: list[int] = []

    def tight(job: object, arrived: list[object], batch: int) -> object:
        if any(one.frame == 1003 for one in arrived) and not failed:  # type: ignore[attr-defined]
            if len(arrived) == 1:
                failed.append(1003)
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
        return compute(job, arrived, batch)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bodydouble.swap.frameloop.compute", tight)
        assert run([*words, "-o", str(tmp_path)]) == 0
    assert failed == [1003]
    assert "frame 1003 done" in (shown := capsys.readouterr().err)
    assert "memory ran out: from here on at most" in shown
    assert digests(tmp_path) == clean


def test_a_gpu_without_room_for_a_batch_gets_smaller_ones_and_no_frame_is_lost(words, clean, tmp_path, monkeypatch):
    from bodydouble.swap.frameloop import Plan
    from bodydouble.swap.framesteps import compute

    tried: list[int] = []

    def small_gpu(job: object, arrived: list[object], batch: int) -> object:
        tried.append(batch)
        if batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(job, arrived, batch)  # type: ignore[arg-type]

    monkeypatch.setattr("bodydouble.swap.swapping.plan_for", lambda *_: Plan(2, 1, 2, batch=4, in_flight=8))
    monkeypatch.setattr("bodydouble.swap.frameloop.compute", small_gpu)
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert tried[:2] == [4, 2]
    assert tried[-1] == 1 and tried.count(4) == tried.count(2) == 1  # it stays with what fitted
    assert digests(tmp_path) == clean


def computed_together(monkeypatch: pytest.MonkeyPatch, problem: BaseException | None = None) -> list[int]:
    """Makes one computer take up to three frames on; how many it took each time. The first waits until all are read.

    `problem`: raised where it took more than one.
    """
    from bodydouble.swap import frameloop

    counts: list[int] = []
    compute, all_read = frameloop.compute, threading.Barrier(2)

    def of_three(job: object, arrived: list[object], batch: int) -> object:
        if not counts:
            all_read.wait(60)
        counts.append(len(arrived))
        if problem is not None and len(arrived) > 1:
            raise problem
        return compute(job, arrived, batch)  # type: ignore[arg-type]

    class Told(SimpleQueue):  # type: ignore[type-arg]
        def put(self, item: tuple[Any, Any]) -> None:  # type: ignore[override]
            super().put(item)
            if item[1].frame == FRAMES[-1]:
                all_read.wait(60)

    plan = frameloop.Plan(1, 1, 1, together=3, in_flight=len(FRAMES))
    monkeypatch.setattr("bodydouble.swap.swapping.plan_for", lambda *_: plan)
    monkeypatch.setattr(frameloop, "compute", of_three)
    monkeypatch.setattr(frameloop, "SimpleQueue", Told)
    return counts


def test_frames_that_are_computed_together_get_the_pixels_that_each_gets_alone(words, clean, tmp_path, monkeypatch):
    counts = computed_together(monkeypatch)
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert counts == [1, 3, 2]
    assert digests(tmp_path) == clean


def test_frames_that_do_not_fit_together_are_computed_one_by_one_from_then_on(words, clean, tmp_path, monkeypatch):
    counts = computed_together(monkeypatch, MemoryError())
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert counts == [1, 3, 1, 1, 1, 1, 1]
    assert digests(tmp_path) == clean


def test_two_waiting_frames_are_shared_by_two_computers_and_small_blends_are_paired_on_a_cpu():
    cpu = torch.device("cpu")
    alone, paired = (plan_for(cpu, 24, RunSettings(threads=2), size) for size in (512, 256))
    assert (alone.computers, alone.together, paired.together, paired.batch) == (2, 1, 2, 1)
    assert paired.in_flight > alone.in_flight
    assert plan_for(cpu, 24, RunSettings(threads=2, batch=4), 512).together == 4


def test_a_gpu_without_room_for_the_pictures_leaves_them_to_the_cpu(words, clean, tmp_path, monkeypatch):
    from bodydouble.swap import frameloop, framesteps

    compute_on, tried = framesteps._compute, []

    def full_gpu(job: object, arrived: list[object], batch: int, device: torch.device) -> object:
        tried.append(device.type)
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute_on(job, arrived, batch, device)  # type: ignore[arg-type]

    def on_gpu(job: framesteps.FrameJob, arrived: list[object], batch: int) -> object:
        class Gpu:
            device = torch.device("cuda")

        with monkeypatch.context() as patched:
            patched.setattr(framesteps, "_compute", lambda _, *rest: full_gpu(job, *rest))
            return framesteps.compute(replace(job, model=Gpu()), arrived, batch)  # type: ignore[arg-type]

    monkeypatch.setattr("bodydouble.swap.swapping.plan_for", lambda *_: frameloop.Plan())
    monkeypatch.setattr("bodydouble.swap.frameloop.compute", on_gpu)
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert tried == ["cuda", "cpu"] * len(FRAMES)
    assert digests(tmp_path) == clean


def test_near_the_permitted_memory_no_further_frame_is_begun_until_one_is_done(words, clean, tmp_path, monkeypatch):
    from bodydouble.swap import frameloop

    under_way: list[int] = []
    most: list[int] = []

    def read(job: object, frame: int) -> object:
        under_way.append(frame)
        most.append(len(under_way))
        return framesteps_read(job, frame)  # type: ignore[arg-type]

    def write(job: object, computed: object) -> object:
        result = framesteps_write(job, computed)  # type: ignore[arg-type]
        under_way.remove(result.frame)
        return result

    framesteps_read, framesteps_write = frameloop.read, frameloop.write
    monkeypatch.setattr(frameloop, "read", read)
    monkeypatch.setattr(frameloop, "write", write)
    monkeypatch.setattr(frameloop, "memory_in_use", lambda: 95)
    monkeypatch.setattr(
        "bodydouble.swap.swapping.plan_for", lambda *_: frameloop.Plan(4, 4, 4, in_flight=6, max_memory=100)
    )
    assert run([*words, "-o", str(tmp_path), "--progress", "none"]) == 0
    assert max(most) == 1
    assert digests(tmp_path) == clean


def test_a_plate_that_is_written_while_it_is_read_fails_and_leaves_no_file(tmp_path, capsys, monkeypatch):
    from bodydouble.swap import framesteps

    words, read_frame = tiny_shot(tmp_path / "shot", [1001, 1002]), framesteps.read_frame

    def still_copied(plate: object, frame: int) -> object:
        path = tmp_path / "shot" / "plates" / f"plate.{frame}.exr"
        if frame == 1002:
            path.write_bytes(path.read_bytes())
        return read_frame(plate, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(framesteps, "read_frame", still_copied)
    assert run([*words, "-o", str(tmp_path / "out")]) == 4
    assert "plate.1002.exr was written while it was read" in capsys.readouterr().err
    assert [*digests(tmp_path / "out")] == ["plate.1001.exr"]
    monkeypatch.undo()
    assert run([*words, "-o", str(tmp_path / "out")]) == 0


def test_a_frame_that_does_not_even_fit_alone_is_33_and_leaves_no_file(words, tmp_path, capsys, monkeypatch):
    def none_left(*_: object) -> object:
        raise MemoryError("none left")

    monkeypatch.setattr("bodydouble.swap.frameloop.compute", none_left)
    assert run([*words, "-o", str(tmp_path)]) == 33
    assert "frame 1001: out of memory, with nothing beside it (none left)" in capsys.readouterr().err
    assert digests(tmp_path) == {}


def test_memory_that_really_runs_out_is_33(tmp_path, words, python):
    from tiny import tiny_comb

    model = tiny_comb(tmp_path / "large.comb", level=8)
    large = [str(model) if word.endswith(".comb") else word for word in words]
    arguments = [*large, "-o", tmp_path / "out", "--max-memory", "250M"]
    done = python("-m", "bodydouble_cli", *arguments)
    assert done.returncode == 33, done.stderr
    assert "emory" in done.stderr
    assert not (tmp_path / "out").exists() or digests(tmp_path / "out") == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_within_seconds_without_a_partial_file(words, clean, tmp_path, number, code):
    report, out = tmp_path / "report.json", tmp_path / "out"
    command = [sys.executable, "-m", "bodydouble_cli", *words, "-o", str(out), "--json", "--report", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while "frame_done" not in child.stdout.readline():
            assert child.poll() is None
        started = time.monotonic()
        child.send_signal(number)
        rest, _ = child.communicate(timeout=60)
    assert child.returncode == code
    assert time.monotonic() - started < 30
    last = events.event_from_line(rest.splitlines()[-1])
    assert isinstance(last, events.RunDone)
    assert last.exit_code == code == read_report(report)["exit_code"]
    assert digests(out).items() <= clean.items()  # whole frames only, no temporaries
    assert run([*words, "-o", str(out), "--progress", "none"]) == 0
    assert digests(out) == clean


def test_a_run_that_waits_for_a_disk_that_is_gone_ends_all_the_same(tmp_path):
    script = tmp_path / "stuck.py"
    script.write_text(
        "import sys, time, threading\n"
        "import bodydouble_cli.signals as signals\n"
        "signals.PATIENCE_S = 0.5\n"
        "signals.catch_signals()\n"
        "stuck = threading.Thread(target=time.sleep, args=(600,))\n"
        "stuck.start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 143
    assert "something does not answer" in err


@pytest.mark.parametrize("format", ["plain", "openjd", "opencue", "deadline"])
def test_a_good_run_prints_nothing_that_a_log_scanner_takes_for_an_error(words, tmp_path, capfd, format):
    assert run([*words, "-o", str(tmp_path), "--progress", format]) == 0
    out, err = capfd.readouterr()
    assert "\r" not in out + err
    assert not re.search(r"(?i)\b(error|fail\w*|fatal|critical|exception|traceback|abort\w*|warning)\b", out + err)
    assert len((out + err).splitlines()) >= len(FRAMES)
