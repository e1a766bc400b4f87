"""Many runs over one output folder, killed at random moments: what is left must be right.

    python benchmarks/chaos.py                        # 100 kills, two workers at once
    python benchmarks/chaos.py --kills 8 --frames 12

Every run is a process of its own (forked, so that loading the libraries does not take the time of the run) and gets
SIGKILL after a random time. After each pair of kills every file with a frame's name is held against a clean run, to the
byte, and every file that was right before must still be the very same file. At the end one last run finishes the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, EYE_LINE, INTEROCULAR, apply
from bodydouble.alignment.shotfaces import Face, ShotFaces, write_shot_faces
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.images import write_image
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.reading import find_plate  # noqa: F401
from bodydouble.swap.swapping import swap_sequence  # noqa: F401
from bodydouble_cli.main import run

# Imported for the sake of what they load: a forked run finds it there.
SIDE = 96
WORKERS = 2
PATIENCE_S = 60.0


@dataclass
class Counts:
    """What happened, all in all."""

    killed: int = 0
    ended_before: int = 0
    partial: int = 0
    remade: int = 0
    made: int = 0


def main() -> int:
    """Runs it; 1 if anything was not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bodydouble-chaos-") as folder:
        return chaos(Path(folder), options.kills, options.frames, random.Random(options.seed))


def chaos(folder: Path, kills: int, count: int, chance: random.Random) -> int:
    """Kills, resumes, compares and prints the counts."""
    if finish(start(lambda: make_shot(folder, count))):
        raise SystemExit("the shot could not be made")
    words = ["swap", str(folder / "plates" / "plate.####.exr"), "--faces", str(folder / "shot.faces.json")]
    words += ["--model", str(folder / "cast.comb"), "--persona", "anna", "--threads", "1", "--json"]
    started = time.monotonic()
    first = start(lambda: run([*words, "-o", str(folder / "clean")]), folder / "clean.log")
    wait_for_frames(folder / "clean", 1)
    first_s = time.monotonic() - started
    assert finish(first) == 0
    frame_s = (time.monotonic() - started - first_s) / count
    clean = digests(folder / "clean")
    out, counts = folder / "out", Counts()
    while counts.killed < kills:
        before = standing(out)
        workers = [start(lambda: run([*words, "-o", str(out)]), folder / "killed.log") for _ in range(WORKERS)]
        for worker in workers:
            more = chance.choice((0, 0, 1, 2, 3))
            if more:
                wait_for_frames(out, min(len(before) + more, count))
            else:
                time.sleep(chance.uniform(0, WORKERS) * first_s)
            # A frame is written within a fifth of its time: some kills must fall there.
            time.sleep(chance.uniform(0, 2 * WORKERS) * frame_s)
            os.kill(worker, signal.SIGKILL)
        for worker in workers:
            ended = finish(worker)
            counts.killed += ended == -signal.SIGKILL
            counts.ended_before += ended != -signal.SIGKILL
        compare(before, standing(out), digests(out), clean, counts)
        counts.made += len(standing(out)) - len(before)
    temporaries = [path for path in out.iterdir() if path.name not in clean] if out.exists() else []
    before = standing(out)
    last = [start(lambda: run([*words, "-o", str(out)]), folder / f"last{index}.log") for index in range(WORKERS)]
    codes = [finish(worker) for worker in last]
    compare(before, standing(out), digests(out), clean, counts)
    for path in temporaries:
        os.utime(path, (0, 0))
    finish(start(lambda: run([*words, "-o", str(out)]), folder / "sweep.log"))
    left = [path.name for path in out.iterdir() if path.name not in clean]
    wrong = {name for name, digest in clean.items() if digests(out).get(name) != digest}
    print(f"the first frame after {first_s:.1f} s, then {frame_s:.2f} s each, where nothing is killed")
    print(f"{counts.killed} runs killed by SIGKILL, {WORKERS} at a time; {counts.ended_before} had ended before")
    print(f"{count} frames: {counts.made} made by killed runs, {count - len(before)} by the last two: {codes}")
    print(f"frames that are not those of a clean run, to the byte: {len(wrong)}")
    print(f"files under a frame's name that were partial or wrong at any moment: {counts.partial}")
    print(f"frames made again although they were right: {counts.remade}")
    print(f"temporaries that kills left: {len(temporaries)}; left after an hour and another run: {len(left)}")
    return 1 if wrong or counts.partial or counts.remade or left or any(codes) else 0


def wait_for_frames(folder: Path, count: int) -> None:
    """Until so many frames are there; not for ever, as the workers may have nothing more to do."""
    end = time.monotonic() + PATIENCE_S
    while len(standing(folder)) < count and time.monotonic() < end:
        time.sleep(0.01)


def compare(
    before: dict[str, tuple[int, ...]],
    after: dict[str, tuple[int, ...]],
    found: dict[str, str],
    clean: dict[str, str],
    counts: Counts,
) -> None:
    """Counts files that are wrong, and files that were there and are others now."""
    counts.partial += sum(found[name] != clean[name] for name in after)
    counts.remade += sum(after.get(name) != identity for name, identity in before.items())


def start(work: object, log: Path | None = None) -> int:
    """The id of a forked process that does some work and ends with what that returns."""
    child = os.fork()
    if child == 0:
        if log is not None:
            target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(target, 1)
            os.dup2(target, 2)
        os._exit(int(work() or 0))  # type: ignore[operator]
    return child


def finish(process: int) -> int:
    """The exit code of a process, negative for a signal. Waits for it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def standing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Frame's file → what tells whether it is the same file still."""
    found = {path.name: path.stat() for path in folder.glob("plate.*.exr")} if folder.exists() else {}
    return {name: (one.st_ino, one.st_mtime_ns, one.st_size) for name, one in found.items()}


def digests(folder: Path) -> dict[str, str]:
    """Frame's file → digest of its bytes."""
    if not folder.exists():
        return {}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("plate.*.exr"))}


def make_shot(folder: Path, count: int) -> int:
    """Small plates, a face in the middle of each, and an untrained model."""
    plate_from_unit = np.array([[60, 0, SIDE / 2 - 30], [0, 60, SIDE / 2 - 30], [0, 0, 1.0]])
    points = apply(plate_from_unit, CANONICAL_LANDMARKS)
    box = np.array([*points.min(axis=0), *points.max(axis=0)])
    face = Face(box, points, 1.0, 1.0, unit_from_plate=np.linalg.inv(plate_from_unit))
    frames: Sequence[int] = range(1001, 1001 + count)
    for frame in frames:
        pixels = np.random.default_rng(frame).uniform(0, 1, (SIDE, SIDE, 4)).astype(np.float32)
        path = folder / "plates" / f"plate.{frame}.exr"
        write_image(path, pixels, attributes={"colorInteropID": "lin_rec709_scene"}, compression="zip")
    shot = ShotFaces(str(folder / "plates" / "plate.####.exr"), SIDE, SIDE, {frame: (face,) for frame in frames})
    write_shot_faces(folder / "shot.faces.json", shot)
    torch.manual_seed(0)
    dims = CombDims(3, 1 / 16)
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, (PersonaCard("anna"),))
    save_comb(folder / "cast.comb", Comb(dims, card.names), card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
