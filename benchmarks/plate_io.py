"""A heavy plate through the whole swap: memory, bits of the AOVs, and how well reading and writing overlap computing.

    python benchmarks/plate_io.py                       # 4096×2160, half RGBA and 20 AOV channels, 6 frames
    python benchmarks/plate_io.py --layers --frames 4
    python benchmarks/plate_io.py --width 2048 --height 1080 --compression piz

Prints the peak memory of the process that swaps, whether every channel but R, G, B came back bit-identical, and the
wall time of the run against the least it could take: the larger of the slowest stage alone (measured before, nothing
beside it) and all core-seconds of the run divided by the cores it had. Cores that other processes kept busy during the
run are taken off; on an idle machine none are. The model is a small untrained one: what is measured is I/O.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, EYE_LINE, INTEROCULAR
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image, write_plate
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapframe import load_swap_model, swap_frame
from bodydouble.swap.swapping import swap_sequence

LAYERS = ("diffuse", "specular", "sss", "normal", "position")
AOVS = tuple(f"{layer}.{channel}" for layer in LAYERS for channel in "RGB")
AOVS += ("depth.Z", "motion.u", "motion.v", "mask.hair", "mask.skin")


@dataclass(frozen=True)
class Clock:
    """Wall time, this process's core-seconds, and everybody's."""

    wall: float
    own: float
    everybody: float

    @classmethod
    def now(cls) -> Clock:
        """Read the clocks."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        busy = sum(map(int, fields[:3])) + sum(map(int, fields[5:8]))
        return cls(time.perf_counter(), usage.ru_utime + usage.ru_stime, busy / os.sysconf("SC_CLK_TCK"))

    def since(self, start: Clock) -> Clock:
        """What passed."""
        return Clock(self.wall - start.wall, self.own - start.own, self.everybody - start.everybody)


def make_plate(folder: Path, width: int, height: int, frames: int, compression: str) -> PlateSequence:
    """Render-like channels: gradients, edges and noise, which pack to about half."""
    random = np.random.default_rng(0)
    names = ("R", "G", "B", "A", *AOVS)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    noise = random.normal(0, 1, (height, width)).astype(np.float32)
    pixels = np.empty((height, width, len(names)), np.float16)
    for index in range(len(names)):
        wave = 0.4 + 0.3 * np.sin(x / (90 + 7 * index)) * np.cos(y / (70 + 5 * index))
        pixels[..., index] = wave + (0.004 * np.roll(noise, 17 * index) if index % 2 else 0)
    pixels[..., 3] = 1
    for frame in range(1, frames + 1):
        attributes = {"colorInteropID": "lin_ap1_scene", "take": frame}
        write_image(folder / f"p.{frame:04d}.exr", pixels, names, attributes, "half", compression)
    return PlateSequence.find(folder / "p.####.exr")


def hand_placed(plate: PlateSequence, width: int, height: int) -> ShotFaces:
    """A face a third as high as the picture, in every frame."""
    side = 0.47 * height
    landmarks = (CANONICAL_LANDMARKS - 0.5) * side + np.array([width / 2, height / 2])
    face = Face(np.array([*landmarks.min(axis=0), *landmarks.max(axis=0)]), landmarks, 1.0, 1.0)
    return ShotFaces(plate.pattern, width, height, {frame: (face,) for frame in plate.frames})


def stages_alone(plate: PlateSequence, shot: ShotFaces, model: Path, settings: SwapSettings, out: Path) -> list[float]:
    """Seconds of read, compute and write of one frame, each with the machine to itself."""
    loaded, colour, frame = load_swap_model(model, "nobody", "cpu"), Colour(), plate.frames[0]
    moments = [time.perf_counter()]
    picture = read_plate(plate.path(frame))
    moments.append(time.perf_counter())
    swapped = swap_frame(picture, shot.frames[frame][0], loaded, colour, None, settings)
    moments.append(time.perf_counter())
    write_plate(out / "alone.exr", swapped.plate)
    moments.append(time.perf_counter())
    return list(np.diff(moments))


def same_bits(before: Path, after: Path) -> bool:
    """Whether all channels but R, G, B are equal to the bit."""
    a, b = read_plate(before).main, read_plate(after).main
    kept = [name for name in a.channels if name not in ("R", "G", "B")]
    return all(a.channel(name).tobytes() == b.channel(name).tobytes() for name in kept)


def main() -> int:
    """Exit code 1 where a channel changed or a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--compression", default="zip")
    parser.add_argument("--level", type=int, default=6, help="of the network: 6 is 256 pixels")
    parser.add_argument("--layers", action="store_true")
    arguments = parser.parse_args()
    settings = SwapSettings(layers=arguments.layers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: making the plate needs more memory than swapping it.
        child = os.fork()
        if child == 0:
            make_plate(folder, arguments.width, arguments.height, arguments.frames, arguments.compression)
            os._exit(0)
        os.waitpid(child, 0)
        plate = PlateSequence.find(folder / "p.####.exr")
        dims = CombDims(level=arguments.level, width=1 / 4)
        card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, (PersonaCard("nobody"),))
        save_comb(folder / "small.comb", Comb(dims, card.names), card)
        shot = hand_placed(plate, arguments.width, arguments.height)
        stages_alone(plate, shot, folder / "small.comb", settings, folder)  # warms caches and allocators up
        alone = stages_alone(plate, shot, folder / "small.comb", settings, folder)
        out = PlateSequence.output(folder / "out", like=plate)
        start = Clock.now()
        results = list(
            swap_sequence(
                plate, out, folder / "small.comb", "nobody", shot, plate.frames, Colour(), None, settings, device="cpu"
            )
        )
        took = Clock.now().since(start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        assert all(result.status == "done" for result in results), results
        kept = all(same_bits(plate.path(frame), out.path(frame)) for frame in plate.frames)
        return report(arguments, alone, took, peak, kept)


def report(arguments: argparse.Namespace, alone: list[float], took: Clock, peak: int, kept: bool) -> int:
    """Print the figures; 1 where one is over its limit."""
    cores = len(os.sched_getaffinity(0))
    others = max(0.0, took.everybody - took.own) / took.wall
    had = max(0.1, cores - others)
    slowest, work = max(alone) * arguments.frames, took.own / had
    least = max(slowest, work)
    print(f"{arguments.width}×{arguments.height}, {4 + len(AOVS)} half channels, {arguments.compression}, ", end="")
    print(f"{arguments.frames} frames, layers {'on' if arguments.layers else 'off'}")
    print(f"one frame alone: read {alone[0]:.2f} s, compute {alone[1]:.2f} s, write {alone[2]:.2f} s")
    print(f"run: {took.wall:.2f} s wall, {took.own:.2f} core-seconds; others used {others:.2f} of {cores} cores")
    print(f"least possible: {least:.2f} s (slowest stage {slowest:.2f} s, core-seconds ÷ {had:.2f} cores {work:.2f} s)")
    print(f"wall ÷ least possible: {took.wall / least:.2f} (limit 1.15)")
    print(f"peak memory: {peak / 2**30:.2f} GiB (limit 3)")
    print(f"all channels but R, G, B bit-identical: {'yes' if kept else 'NO'}")
    return 0 if kept and peak < 3 << 30 and took.wall <= 1.15 * least else 1


if __name__ == "__main__":
    sys.exit(main())
