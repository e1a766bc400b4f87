"""How much of a training step is the network, level by level, and how long the full schedule would take.

Per level, all in one run and on the same batch size: processor time (on a GPU: wall time) per crop of

* **bare**: forward and backward pass of the network alone, sum of the output as the loss,
* **step**: everything a training does: crops from the store, augmentation, network, loss, optimiser.

Their ratio is the share of the hardware's speed that training gets. "GFLOP" is 6 × multiply-adds of a crop (forward 2,
backward 4). The projection is 10^5 iterations per level, two personas, batch 16, and a tenth more for settling.

Usage: python benchmarks/training_speed.py [--width 1] [--levels 0-8] [--batch 4] [--device cpu] [--peak TFLOPS]
       --peak: the device's measured bf16 matrix peak, for the share of it and the hours at 40 % of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bodydouble.network.comb import CombDims, level_size, multiply_adds
from bodydouble.network.devices import keep_memory, run_on
from bodydouble.network.parallel import Ranks
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import augment
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.iterating import Feeder, update
from bodydouble.training.schedule import Phase
from bodydouble.training.training import start_state

REACH = 0.1
ITERATIONS, PERSONAS, BATCH, SETTLE = 100_000, 2, 16, 0.1


@dataclass(frozen=True)
class Speed:
    """Seconds per crop of one level."""

    level: int
    bare_bf16: float
    bare_fp32: float
    step_adam: float
    step_muon: float


def measure(level: int, width: float, batch: int, device: torch.device, work: Path) -> Speed:
    """All figures of a level."""
    settings = TrainSettings(resolution=level_size(level), width=width, batch=batch, device=device.type)
    crops = {name: _crops(level, work / name) for name in ("A", "B")}
    return Speed(
        level,
        _bare(settings, level, crops, device),
        _bare(replace(settings, precision="fp32"), level, crops, device),
        _step(replace(settings, optimiser="adam"), level, crops, device),
        _step(settings, level, crops, device),
    )


def _crops(level: int, path: Path) -> PersonaCrops:
    """Thirty-two crops of noise in a memory-mapped file, as the store keeps them."""
    import numpy as np

    side = round((1 + 2 * REACH) * 1.25 * level_size(level))
    pixels = np.memmap(path, np.float16, "w+", shape=(32, 4, side, side))
    pixels[:] = np.random.default_rng(0).random(pixels.shape, np.float32)
    return PersonaCrops(torch.from_numpy(pixels), torch.arange(32), torch.arange(0))


def _bare(settings: TrainSettings, level: int, crops: dict[str, PersonaCrops], device: torch.device) -> float:
    state = start_state(settings, CombDims(level, settings.width), ("A", "B"), device)
    source = crops["A"].pixels[: settings.batch].to(device)
    shown = augment(source, torch.zeros(len(source), 11), level, settings, ModelSpace(), REACH).shown

    def run() -> None:
        with run_on(device, settings.precision):
            result = state.comb(shown, "A", level, 1.0)
        state.comb.zero_grad(set_to_none=True)
        result.sum().backward()

    return _seconds(run, device) / len(shown)


def _step(settings: TrainSettings, level: int, crops: dict[str, PersonaCrops], device: torch.device) -> float:
    assert settings.batch is not None
    state = start_state(settings, CombDims(level, settings.width), ("A", "B"), device)
    with ThreadPoolExecutor(1) as pool:
        space, ranks = ModelSpace(), Ranks()
        feeder = Feeder(crops, level, settings.batch, settings, space, REACH, device, ranks, pool)
        phase = Phase(level, 1.0, 1e-4)

        def run() -> None:
            batches = feeder.batches(state.iteration, state.iteration + 1)
            update(state, batches, settings.batch or 1, phase, settings, device, ranks)

        return _seconds(run, device) / (2 * settings.batch)


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    """The least of some runs, after one to warm up."""
    best, started = float("inf"), time.monotonic()
    run()
    while time.monotonic() - started < 4 or best == float("inf"):
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        before = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, clock() - before)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--levels", default="0-8")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", type=float)
    parser.add_argument("--no-run", action="store_true", help="the arithmetic only")
    options = parser.parse_args()
    keep_memory()
    if options.device == "cpu":
        torch.set_num_threads(1)
    first, _, last = options.levels.partition("-")
    dims = CombDims(8, options.width)
    print("| level | px | GFLOP per crop | bare bf16, crops/s | bf16 ÷ fp32 | step ÷ bare, Adam | Muon |")
    print("|---|---|---|---|---|---|---|")
    for level in range(int(first), int(last or first) + 1):
        gflop = 6e-9 * multiply_adds(dims, level)
        row = f"| {level} | {level_size(level)} | {gflop:.1f} "
        if not options.no_run:
            with tempfile.TemporaryDirectory(prefix="bodydouble-speed-") as work:
                one = measure(level, options.width, options.batch, torch.device(options.device), Path(work))
            row += (
                f"| {1 / one.bare_bf16:.2f} | {one.bare_fp32 / one.bare_bf16:.2f} "
                f"| {one.bare_bf16 / one.step_adam:.0%} | {one.bare_bf16 / one.step_muon:.0%} "
            )
            if options.peak:
                row += f"| {gflop / one.step_muon / options.peak / 10:.1f} % of the peak "
        print(row + "|", flush=True)
    crops = ITERATIONS * PERSONAS * BATCH
    flop = [6 * multiply_adds(dims, level) * crops for level in range(9)]
    total = sum(flop) + SETTLE / (1 - SETTLE) * 9 * flop[8]
    print(f"\nfull schedule at P = 2: {sum(flop):.3g} FLOP in the levels, {total:.3g} with the settling")
    if options.peak:
        print(f"hours at 40 % of {options.peak:g} TFLOP/s: {total / (0.4e12 * options.peak) / 3600:.0f}")


if __name__ == "__main__":
    main()
