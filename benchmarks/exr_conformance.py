"""Odd but valid EXR files read and written; damaged ones through the real commands `info` and `swap`.

    python benchmarks/exr_conformance.py            # both, from $BODYDOUBLE_SHARED/exr or ../shared/exr
    python benchmarks/exr_conformance.py valid
    python benchmarks/exr_conformance.py damaged [--every 12]

`valid`: every file is read and written without a swap, then compared: every bit of every channel, and every
attribute of every header, byte for byte. Ends with code 1 if a file comes back changed without a word.

`damaged`: every file is the plate of `info` and of `swap`, each run in a process of its own (forked from one that has
the libraries loaded, so that 572 runs take minutes). Ends with code 1 after a traceback, a crash, a run longer than
10 s or larger than 2 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, EYE_LINE, INTEROCULAR
from bodydouble.alignment.shotfaces import Face, ShotFaces, write_shot_faces
from bodydouble.errors import BodydoubleError, PlateError
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.exrheader import read_attributes
from bodydouble.plates.images import output_compression_of, read_headers, read_plate, write_plate
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.sequences import PlateSequence
from bodydouble_cli.main import run

LIMIT_SECONDS, LIMIT_BYTES, STOP_BYTES = 10, 2 << 30, 12 << 30
ALLOWED_EXITS = (0, 2, 3, 4)


@dataclass(frozen=True)
class Run:
    """One command on one file: exit code (negative: the signal that ended it), seconds, peak memory, its output."""

    code: int
    seconds: float
    peak_bytes: int
    output: str

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.code < 0:
            return f"ended by signal {-self.code}"
        if "Traceback" in self.output:
            return "traceback"
        if self.code not in ALLOWED_EXITS:
            return f"exit code {self.code}"
        if self.code and not self.output.strip():
            return "no message"
        if sum(" failed: " in line and line.startswith("[") for line in self.output.splitlines()) > 1:
            return "more than one line for one frame"
        if self.seconds > LIMIT_SECONDS:
            return f"{self.seconds:.0f} s"
        return f"{self.peak_bytes >> 20} MiB" if self.peak_bytes > LIMIT_BYTES else ""


def check_valid(folder: Path) -> bool:
    """Print one line per file; whether every file came back, or was refused by name."""
    print(f"{'file':64} {'parts':>5} {'channels':>8}  result")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.rglob("*.exr")):
            result, parts, channels = _round_trip(path, Path(scratch) / "out.exr")
            counts[result.split(":")[0]] += 1
            print(f"{str(path.relative_to(folder))[-64:]:64} {parts:>5} {channels:>8}  {result}")
    print("valid: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    return "CHANGED" not in counts


def _round_trip(path: Path, out: Path) -> tuple[str, int, int]:
    try:
        plate = read_plate(path)
    except PlateError as error:
        return f"refused: {str(error).removeprefix(f'{path}: ')}", 0, 0
    write_plate(out, plate)
    back = read_plate(out)
    channels = sum(len(part.channels) for part in plate.parts)
    changed = []
    for before, after in zip(plate.parts, back.parts, strict=True):
        for name in (*before.channels, *after.channels):
            kept = name in before.channels and name in after.channels
            if not kept or before.channel(name).tobytes() != after.channel(name).tobytes():
                changed.append(f"channel {name}")
    notes = {note for part in plate.parts if (note := output_compression_of(part)[1])}
    for before_raw, after_raw in zip(read_attributes(path), read_attributes(out), strict=True):
        differing = {name for name in {*before_raw, *after_raw} if before_raw.get(name) != after_raw.get(name)}
        free = {"compression"} if notes else set()
        changed += [f"attribute {name}" for name in sorted(differing - free)]
    if changed:
        return f"CHANGED: {', '.join(changed)}", len(plate.parts), channels
    said = "identical but for its compression, which is said: " + " ".join(sorted(notes))
    return said if notes else "identical", len(plate.parts), channels


def check_damaged(folder: Path, every: int) -> bool:
    """Run both commands on the files, or every n-th; whether none had a fault."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())[::every]
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = _tiny_model(scratch / "tiny.comb")
        for command in ("info", "swap"):
            codes: Counter[int] = Counter()
            slowest, largest = 0.0, 0
            for index, path in enumerate(files):
                arguments = ["info", str(path)]
                if command == "swap":
                    arguments = _swap_arguments(path, model, scratch, index)
                found = _forked(arguments, scratch / "log.txt")
                codes[found.code] += 1
                slowest, largest = max(slowest, found.seconds), max(largest, found.peak_bytes)
                if found.fault:
                    faults += 1
                    print(f"FAULT {command} {path.relative_to(folder)}: {found.fault}\n{found.output[-600:]}")
            listed = ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))
            print(
                f"{command} on {len(files)} damaged files: exit codes {listed}; slowest {slowest:.1f} s, "
                f"largest {largest >> 20} MiB"
            )
    print(f"damaged: {faults} faults in {2 * len(files)} runs")
    return faults == 0


def _swap_arguments(path: Path, model: Path, scratch: Path, index: int) -> list[str]:
    frames, size = (1,), (64, 64)
    try:
        frames = PlateSequence.find(path).frames
        x0, y0, x1, y1 = read_headers(path)[0].display_window
        size = (x1 - x0, y1 - y0)
    except BodydoubleError:
        pass
    side = max(8.0, min(400.0, 0.6 * min(size)))
    landmarks = (CANONICAL_LANDMARKS - 0.5) * side + np.array(size) / 2
    face = Face(np.array([*landmarks.min(axis=0), *landmarks.max(axis=0)]), landmarks, 1.0, 1.0)
    faces = scratch / "shot.faces.json"
    write_shot_faces(faces, ShotFaces(str(path), *size, {frame: (face,) for frame in frames}))
    out = scratch / "out" / f"{index}.####.exr"
    options = ["--model", str(model), "--persona", "nobody", "--faces", str(faces), "--device", "cpu"]
    return ["swap", str(path), "-o", str(out), *options, "--colorspace", "ACEScg", "--layers"]


def _tiny_model(folder: Path) -> Path:
    dims = CombDims(level=3, width=1 / 64)
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, (PersonaCard("nobody"),))
    save_comb(folder, Comb(dims, card.names), card)
    return folder


def _forked(arguments: Sequence[str], log: Path) -> Run:
    """The command in a child of this process, which must not have started threads of its own."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _child(arguments, log)
    _, status, usage = os.wait4(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    text = log.read_bytes().decode("utf-8", "replace")
    return Run(code, time.perf_counter() - start, usage.ru_maxrss * 1024, text)


def _child(arguments: Sequence[str], log: Path) -> None:
    with open(log, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.alarm(3 * LIMIT_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (STOP_BYTES, STOP_BYTES))
    code = 1
    try:
        code = run(list(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Exit code 0 where all is well, 1 for a fault, 3 without the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["valid", "damaged"], help="default: both")
    parser.add_argument("--every", type=int, default=1, help="of the damaged files, only every n-th")
    arguments = parser.parse_args()
    chosen = arguments.what
    shared = Path(os.environ.get("BODYDOUBLE_SHARED", Path(__file__).parents[2] / "shared")) / "exr"
    if not shared.is_dir():
        print(f"{shared} does not exist; name the folder that holds exr/ in $BODYDOUBLE_SHARED.", file=sys.stderr)
        return 3
    torch.set_num_threads(1)
    # The damaged ones first: reading starts threads, which a fork does not take along.
    good = chosen == "valid" or check_damaged(shared / "damaged", arguments.every)
    return 0 if (chosen == "damaged" or check_valid(shared / "valid")) and good else 1


if __name__ == "__main__":
    sys.exit(main())
