"""Swapping with a model of a hundred personas against one of three: the same time and memory?

Makes untrained models that differ in the number of personas only. Time: one persona is loaded as `swap` does and a
few crops go through the network, by turns with one model and the other in this process; the least processor time of
each. Memory: the peak of a process that does so once, one process per model.

Usage: python benchmarks/crowd.py [--personas 3 100] [--width 0.25] [--resolution 128] [--rounds 9]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims, size_level
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.swap.swapframe import load_swap_model

FRAMES = 4


def make(folder: Path, personas: int, dims: CombDims) -> Path:
    """An untrained model of `personas` personas."""
    names = [f"p{number:03d}" for number in range(personas)]
    cards = tuple(PersonaCard(name) for name in names)
    save_comb(folder, Comb(dims, names), CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, cards))
    return folder


def swap(folder: Path) -> tuple[float, float]:
    """CPU seconds of loading one persona, and of a crop through the network."""
    started = time.process_time()
    model = load_swap_model(folder, "p001", "cpu")
    loaded = time.process_time()
    size = model.comb.dims.size
    with torch.inference_mode():
        for _ in range(FRAMES):
            model.comb(torch.full((1, 3, size, size), 0.5), "p001")
    return loaded - started, (time.process_time() - loaded) / FRAMES


def peak_mib(folder: Path) -> float:
    """Peak memory of a process that loads one persona and sends crops through the network."""
    command = [sys.executable, __file__, "--once", str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--personas", type=int, nargs=2, default=[3, 100])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--once", type=Path, metavar="MODEL", help="swap once, print the peak memory in MiB")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.once:
        swap(options.once)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    dims = CombDims(size_level(options.resolution), options.width)
    with tempfile.TemporaryDirectory(prefix="bodydouble-crowd-") as work:
        models = [make(Path(work) / f"{count}.comb", count, dims) for count in options.personas]
        swap(models[0])  # to warm up
        times = [[swap(model) for model in models] for _ in range(options.rounds)]
        few, many = ([min(one[index][part] for one in times) for part in (0, 1)] for index in (0, 1))
        rows = {
            "load, CPU s": (few[0], many[0]),
            "frame, CPU s": (few[1], many[1]),
            "load and 100 frames, CPU s": (few[0] + 100 * few[1], many[0] + 100 * many[1]),
            "peak, MiB": (peak_mib(models[0]), peak_mib(models[1])),
        }
    print(f"| | P = {options.personas[0]} | P = {options.personas[1]} | ratio |\n|---|---|---|---|")
    for name, (one, other) in rows.items():
        print(f"| {name} | {one:.4g} | {other:.4g} | {other / one:.3f} |")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
