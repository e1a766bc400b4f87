"""Swapping with a model of a hundred personas against one of three: the same time and memory?

Makes untrained models that differ in the number of personas only, loads one persona of each as `swap` does and sends
crops through the network, each in a process of its own, by turns; prints the medians and their ratio.

Usage: python benchmarks/crowd.py [--personas 3 100] [--width 0.25] [--resolution 256] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims, size_level
from bodydouble.plates.modelspace import ModelSpace

SWAP = """
import json, resource, sys, time
import torch
from pathlib import Path
torch.set_num_threads(1)
before = time.process_time()
from bodydouble.swap.swapframe import load_swap_model
imported = time.process_time()
model = load_swap_model(Path(sys.argv[1]), "p001", "cpu")
loaded = time.process_time()
size = model.comb.dims.size
with torch.inference_mode():
    for _ in range(10):
        model.comb(torch.rand(1, 3, size, size), "p001")
done = time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"load, CPU s": loaded - imported, "frame, CPU s": (done - loaded) / 10, "peak, MiB": peak}))
"""


def make(folder: Path, personas: int, dims: CombDims) -> Path:
    """An untrained model of `personas` personas."""
    names = [f"p{number:03d}" for number in range(personas)]
    cards = tuple(PersonaCard(name) for name in names)
    save_comb(folder, Comb(dims, names), CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, cards))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--personas", type=int, nargs=2, default=[3, 100])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    dims = CombDims(size_level(options.resolution), options.width)
    with tempfile.TemporaryDirectory(prefix="bodydouble-crowd-") as work:
        models = [make(Path(work) / f"{count}.comb", count, dims) for count in options.personas]
        found: list[list[dict[str, float]]] = [[], []]
        for _ in range(options.rounds):
            for index, model in enumerate(models):
                command = [sys.executable, "-c", SWAP, str(model)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[index].append(json.loads(done.stdout))
    print(f"| | P = {options.personas[0]} | P = {options.personas[1]} | ratio |\n|---|---|---|---|")
    for key in found[0][0]:
        few, many = (statistics.median(one[key] for one in rows) for rows in found)
        print(f"| {key} | {few:.3f} | {many:.3f} | {many / few:.3f} |")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
