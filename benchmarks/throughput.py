"""How fast frames go through a swap, and what bounds it.

    python benchmarks/throughput.py                       # 1920×1080, the full 1024 comb, on this machine's cores
    python benchmarks/throughput.py --device cuda --frames 96
    python benchmarks/throughput.py --frames 0            # only the memory over 500 small frames

Four things, of an untrained model: the core-seconds of each stage of one frame on one core; the wall time of a run
against the least it could take, which is the larger of the slowest stage alone and all core-seconds divided by the
cores; what two processes of one thread each do on disjoint chunks against one; and the memory in use over a long run of
small frames. Each with its limit; about five minutes on two idle cores. Cores that other processes kept busy are taken
off, so the figures of a busy machine can be read, though those of an idle one are better.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.network.devices import intra_op_threads, memory_in_use
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image, write_plate
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import RunSettings, SwapSettings
from bodydouble.swap.provenance import stamped
from bodydouble.swap.swapframe import finish_frame, load_swap_model, prepare_frame, swap_faces
from bodydouble.swap.swapping import swap_sequence
from bodydouble.swap.warm import Warm
from plate_io import Clock, hand_placed

SIZE, SMALL = (1920, 1080), (320, 180)


def main() -> int:
    """Prints the figures; 1 where one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24, help="of the large plate; 0 leaves all but the memory out")
    parser.add_argument("--level", type=int, default=8, help="of the network: 8 is 1024 pixels")
    parser.add_argument("--width", type=float, default=1.0, help="of the network")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--memory", type=int, default=500, metavar="FRAMES", help="of the small plate; 0 for none")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        return part_alone(Path(arguments.part[0]), *map(int, arguments.part[1:]), arguments)
    kept: list[bool] = []
    with tempfile.TemporaryDirectory(prefix="bodydouble-throughput-") as name:
        if arguments.frames:
            folder = make_model(Path(name) / "speed", CombDims(arguments.level, arguments.width))
            kept += speed(folder, make_plate(folder, SIZE, arguments.frames), arguments)
        if arguments.memory:
            folder = make_model(Path(name) / "memory", CombDims(4, 1 / 16))
            kept.append(memory(folder, make_plate(folder, SMALL, arguments.memory)))
    print("every limit kept" if all(kept) else "NOT every limit kept")
    return 0 if all(kept) else 1


def make_model(folder: Path, dims: CombDims) -> Path:
    """An untrained model in a new folder; returns the folder."""
    torch.manual_seed(0)
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, (PersonaCard("nobody"),))
    save_comb(folder / "x.comb", Comb(dims, card.names), card)
    return folder


def make_plate(folder: Path, size: tuple[int, int], frames: int) -> PlateSequence:
    """R, G, B, A in half with the noise of a camera, packed with zip."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = 0.4 + 0.3 * np.sin(x / 90) * np.cos(y / 70)
    noise = np.random.default_rng(0).normal(0, 0.004, (height, width, 3)).astype(np.float32)
    pixels = np.concatenate([wave[..., None] + noise, np.ones((height, width, 1), np.float32)], axis=2)
    for frame in range(1, frames + 1):
        attributes = {"colorInteropID": "lin_ap1_scene", "take": frame}
        write_image(folder / f"p.{frame:04d}.exr", pixels, ("R", "G", "B", "A"), attributes, "half", "zip")
    return PlateSequence.find(folder / "p.####.exr")


def speed(folder: Path, plate: PlateSequence, arguments: argparse.Namespace) -> list[bool]:
    """Stage table, one run on all cores, two processes against one; which limits were kept."""
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, AMX: {'yes' if 'amx_tile' in Path('/proc/cpuinfo').read_text() else 'no'}")
    stages = stages_alone(folder, plate, arguments)
    for stage, seconds in stages.items():
        print(f"  {stage:<8} {seconds:6.3f} core-seconds per frame, one thread")
    took = timed_run(folder / "all", plate, plate.frames, cores, arguments)
    frames = len(plate.frames)
    # Of a run that was given only some cores it cannot be told whether others worked on these.
    others = max(0.0, took.everybody - took.own) / took.wall if cores == os.cpu_count() else 0.0
    had = max(0.1, cores - others)
    # On a CPU every stage has as many hands as there are cores, so none alone bounds the run.
    slowest = max(stages.values()) / (cores if arguments.device == "cpu" else 1)
    least = max(slowest, took.own / frames / had)
    print(f"all {cores} cores: {took.wall / frames:.2f} s per frame, {took.own / frames:.2f} core-seconds")
    print(f"least possible with the {had:.2f} cores that others left: {least:.2f} s per frame")
    print(f"wall ÷ least possible: {took.wall / frames / least:.2f} (limit 1.15)")
    halves = [plate.frames[: frames // 2], plate.frames[frames // 2 :]]
    (alone,) = in_processes(folder, halves[:1], arguments)
    both = in_processes(folder, halves, arguments)
    for name, rates in (("one process of one thread", [alone]), ("two at once", both)):
        work = sum(own for _, own in rates) / len(rates)
        print(f"{name}: {sum(rate for rate, _ in rates):.3f} frames/s, {work:.2f} core-seconds per frame")
    by_clock = sum(rate for rate, _ in both) / alone[0]
    by_work = 2 * alone[1] / (sum(own for _, own in both) / 2)
    print(f"two against one: {by_clock:.2f} by the clock, {by_work:.2f} by core-seconds (idle cores given; limit 1.9)")
    return [took.wall / frames / least <= 1.15, max(by_clock, by_work) >= 1.9]


def stages_alone(folder: Path, plate: PlateSequence, arguments: argparse.Namespace) -> dict[str, float]:
    """Core-seconds of every stage of one frame, the second time it is done, on one core."""
    model, colour, frame = load_swap_model(folder / "x.comb", "nobody", arguments.device), Colour(), plate.frames[0]
    face, settings = hand_placed(plate, *SIZE).frames[frame][0], SwapSettings(precision=arguments.precision)
    table: dict[str, float] = {}
    with intra_op_threads(1):
        for _ in range(2):
            moments = [time.process_time()]
            picture = read_plate(plate.path(frame))
            moments.append(time.process_time())
            prepared = prepare_frame(picture, face, model, colour, None)
            moments.append(time.process_time())
            swaps, seconds = swap_faces([prepared], model, settings)
            moments.append(time.process_time())
            swapped = finish_frame(prepared, swaps[0], seconds, model, colour, settings)
            moments.append(time.process_time())
            write_plate(folder / "alone.exr", stamped(swapped.plate, {"bodydouble/frame": 1}))
            moments.append(time.process_time())
            names = ("read", "crop", "network", "blend", "write")
            table = {name: end - start for name, start, end in zip(names, moments, moments[1:], strict=False)}
    return table


def in_processes(
    folder: Path, parts: Sequence[tuple[int, ...]], arguments: argparse.Namespace
) -> list[tuple[float, float]]:
    """Frames a second and core-seconds a frame of processes of one thread that run at once.

    Each is held to a core of its own, as a farm's slot of one core does: free, its reader and its writer would work on
    a tenth of a second core, which two processes on two cores do not have.
    """
    command = [sys.executable, __file__, "--device", arguments.device, "--precision", arguments.precision]
    running = [
        subprocess.Popen(
            [*command, "--part", str(folder), str(part[0]), str(part[-1]), str(core)], stdout=subprocess.PIPE, text=True
        )
        for part, core in zip(parts, itertools.cycle(sorted(os.sched_getaffinity(0))), strict=False)
    ]
    return [tuple(map(float, one.communicate()[0].split())) for one in running]  # type: ignore[misc]


def part_alone(folder: Path, first: int, last: int, core: int, arguments: argparse.Namespace) -> int:
    """What one of those processes does."""
    os.sched_setaffinity(0, {core})
    plate, frames = PlateSequence.find(folder / "p.####.exr"), tuple(range(first, last + 1))
    took = timed_run(folder / f"part{first}", plate, frames, 1, arguments)
    print(len(frames) / took.wall, took.own / len(frames))
    return 0


def timed_run(
    out: Path, plate: PlateSequence, frames: tuple[int, ...], threads: int, arguments: argparse.Namespace
) -> Clock:
    """The clocks of a run of a loaded model."""
    shot, target, warm = hand_placed(plate, *SIZE), PlateSequence.output(out, like=plate), Warm(swap_bytes=0)
    start = Clock.now()
    for wanted in (frames[:1], frames):  # the first run pays for loading and for the first use of everything
        start = Clock.now()
        for result in swap_sequence(
            plate, target, out.parent / "x.comb", "nobody", shot, wanted, Colour(), None,
            SwapSettings(precision=arguments.precision), device=arguments.device, overwrite=True,
            run=RunSettings(threads=threads), warm=warm,
        ):  # fmt: skip
            assert result.status == "done", result
    return Clock.now().since(start)


def memory(folder: Path, plate: PlateSequence) -> bool:
    """Memory in use at intervals of a long run; whether the second half needs no more than the first."""
    shot = hand_placed(plate, *SMALL)
    out = PlateSequence.output(folder / "out", like=plate)
    held: list[int] = []
    started = time.monotonic()
    frames = plate.frames
    run = swap_sequence(plate, out, folder / "x.comb", "nobody", shot, frames, Colour(), None, SwapSettings())
    for result in run:
        assert result.status == "done", result
        held.append(memory_in_use())
    tenth = max(1, len(held) // 10)
    print(f"{len(held)} frames in {time.monotonic() - started:.0f} s; most memory in use by tenths of the run, in MiB:")
    print("  " + " ".join(f"{max(held[i : i + tenth]) / 2**20:.0f}" for i in range(0, len(held), tenth)))
    first, second = max(held[: len(held) // 2]), max(held[len(held) // 2 :])
    print(f"second half ÷ first half: {second / first:.3f} (limit 1.02)")
    return second <= 1.02 * first


if __name__ == "__main__":
    sys.exit(main())
