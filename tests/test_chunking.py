"""The benchmark of chunks, at a small size: the real one takes 48 frames of a rendered shot."""

from __future__ import annotations

from pathlib import Path

from tiny import tiny_shot

ROOT = Path(__file__).parents[1]


def test_every_cut_in_any_order_by_one_process_and_by_two_gives_the_frames_of_one_run(python, tmp_path):
    words = tiny_shot(tmp_path, range(1001, 1006))
    options = ["--plate", words[1], "--faces", words[3], "--model", words[5], "--persona", "anna"]
    options += ["--chunks", "1,2,5", "--processes", "2"]
    done = python(ROOT / "benchmarks" / "chunking.py", *options, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 frames by one run without a cut" in done.stdout
    assert done.stdout.count("5 files, 0 not the same to the bit") == 6
    assert "5 chunks, 2 processes at once" in done.stdout
