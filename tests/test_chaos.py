"""Runs killed at random moments over one folder: the small version of the benchmark, which kills a hundred."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_after_kills_at_random_moments_every_frame_is_right_and_none_is_made_twice(python):
    done = python(ROOT / "benchmarks" / "chaos.py", "--kills", 4, "--frames", 8, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 runs killed by SIGKILL" in done.stdout or "5 runs killed by SIGKILL" in done.stdout
    assert "frames that are not those of a clean run, to the byte: 0" in done.stdout
