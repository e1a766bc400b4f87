"""How the frames of a run grow with threads, and with processes beside each other.

Only the time from the first frames to the last counts, not start-up. Figures by the clock need an idle machine; what
other processes took is measured and said, and the last column does without the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bodydouble import find_plate
from bodydouble.demo import BUNDLED, PERSONA
from plate_io import Clock
from timing import Row

HEADS = ("run", "frames/s", "CPU s per frame", "times one", "times one, if no core were shared", "others' cores")
IDLE_CORES = 0.1
"""Others that take less than this leave the clock's figures as they are."""


@dataclass(frozen=True)
class Arrangement:
    """So many processes of so many threads, each on all frames."""

    processes: int
    threads: int

    @property
    def name(self) -> str:
        many = f"{self.processes} processes" if self.processes > 1 else "1 process"
        return f"{many}, {self.threads} thread{'s' if self.threads > 1 else ''} each"


@dataclass(frozen=True)
class Pace:
    """What a run reached: frames per second by the clock, CPU seconds of a frame, and the cores that others took."""

    frames_per_second: float
    seconds_of_work: float
    others: float


def arrangements(cores: int) -> list[Arrangement]:
    """One thread first; then two processes, and threads as far as there are cores."""
    if cores < 2:
        return [Arrangement(1, 1)]
    return [
        Arrangement(1, 1),
        Arrangement(2, 1),
        *(Arrangement(1, threads) for threads in (2, 4, 8) if threads <= cores),
    ]


def measured(folder: Path, faces: Path, arrangement: Arrangement, start_up: float) -> Pace:
    """Swap the bundled shot, by every process into a folder of its own.

    `start_up`: CPU seconds of a process that are not of its frames (`start_up_seconds`).
    """
    start = Clock.now()
    outs = [folder / f"{arrangement.processes}x{arrangement.threads}-{n}" for n in range(arrangement.processes)]
    running = [_begin(out, faces, arrangement.threads) for out in outs]
    work = sum(_end(child) for child in running)
    took = Clock.now().since(start)
    finished = [sorted(path.stat().st_mtime for path in out.glob("*.exr")) for out in outs]
    return Pace(
        sum(rate(times, arrangement.threads) for times in finished),
        (work - start_up * arrangement.processes) / sum(map(len, finished)),
        max(0.0, took.everybody - took.own - work) / took.wall,
    )


def start_up_seconds(folder: Path, faces: Path) -> float:
    """CPU seconds of one process until its first frame: those of one frame less a further one's."""
    first, fifth = (_end(_begin(folder / f"first-{count}", faces, 1, count)) for count in (1, 5))
    return max(0.0, first - (fifth - first) / 4)


def _begin(out: Path, faces: Path, threads: int, count: int | None = None) -> subprocess.Popen[bytes]:
    """A process that swaps the whole bundled shot, or its first frames."""
    command = [
        sys.executable, "-m", "bodydouble_cli", "swap", str(BUNDLED / "sh010"), "-o", str(out), "--progress", "none",
        "--model", str(BUNDLED / "rendered.comb"), "--persona", PERSONA, "--faces", str(faces),
        "--threads", str(threads), "--device", "cpu",
    ]  # fmt: skip
    if count is not None:
        first = find_plate(BUNDLED / "sh010").frames[0]
        command += ["--frames", f"{first}-{first + count - 1}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _end(child: subprocess.Popen[bytes]) -> float:
    """Wait for it; its CPU seconds. SystemExit if it failed."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"bodydouble swap ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def rate(times: Sequence[float], threads: int) -> float:
    """Frames per second from when they were finished: the first ones, as many as threads, only start the clock."""
    if len(times) <= threads:
        raise ValueError(f"{len(times)} frames are too few for {threads} threads")
    return (len(times) - threads) / (times[-1] - times[threads - 1])


def scaling_rows(paces: Sequence[tuple[Arrangement, Pace]]) -> list[Row]:
    """One row for each arrangement; the first is what the others are compared with."""
    one = paces[0][1]
    rows = []
    for arrangement, pace in paces:
        at_once = arrangement.processes * arrangement.threads
        cells = (
            f"{pace.frames_per_second:.2f}",
            f"{pace.seconds_of_work:.2f}",
            f"{pace.frames_per_second / one.frames_per_second:.2f}",
            f"{at_once * one.seconds_of_work / pace.seconds_of_work:.2f}",
            f"{pace.others:.2f}",
        )
        rows.append(Row(arrangement.name, cells))
    return rows


def verdict(paces: Sequence[tuple[Arrangement, Pace]]) -> str:
    """Whether the machine was idle enough for the clock's figures."""
    most = max(pace.others for _, pace in paces)
    if most < IDLE_CORES:
        return "The machine was idle: frames/s and *times one* hold."
    return (
        f"**The machine was not idle**: others took up to {most:.2f} cores. Frames/s and *times one* say little; "
        "the CPU seconds, and what they would come to if no core were shared, hold."
    )
