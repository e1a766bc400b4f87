"""How much of a training step is the network, level by level, and how long the full schedule would take.

Per level, all in one run by turns and on the same batch, by default the one that training chooses: processor time (on
a GPU: wall time) per crop of

* **bare**: forward and backward pass of the network alone, sum of the output as the loss,
* **step**: everything a training does: crops from the store, augmentation, network, loss, optimiser.

Their ratio is the share of the hardware's speed that training gets. bf16 against float32 depends on what the CPU has
for it, which is told: AMX multiplies bf16 many times as fast, AVX-512 BF16 at most twice. "GFLOP" is
6 × multiply-adds of a crop (forward 2, backward 4). The projection is 10^5 iterations per level, two personas, the
level's own batch, and a tenth more for settling.

Usage: python benchmarks/training_speed.py [--width 1] [--levels 0-8] [--batch N] [--compile] [--device cpu]
       [--peak TFLOPS]
       --compile: also the bare network through torch.compile (needs a C++ compiler).
       --peak: the device's measured bf16 matrix peak, for the share of it and the hours at 40 % of it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bodydouble.network.comb import CombDims, level_size, multiply_adds
from bodydouble.network.devices import keep_memory, run_on
from bodydouble.network.parallel import Ranks
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import DRAWS, augment
from bodydouble.training.batchsize import wanted_batch
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.iterating import Feeder, update
from bodydouble.training.schedule import Phase
from bodydouble.training.training import start_state
from timing import cpu_features

REACH = 0.1
ITERATIONS, PERSONAS, SETTLE = 100_000, 2, 0.1
LEAST_ROUNDS, LEVEL_SECONDS = 2, 20


@dataclass(frozen=True)
class Speed:
    """Seconds per crop of one level; `compiled` is the bare network through torch.compile, where asked for."""

    bare_bf16: float
    bare_fp32: float
    step_adam: float
    step_muon: float
    compiled: float = math.nan


def measure(level: int, width: float, batch: int, compiles: bool, device: torch.device, work: Path) -> Speed:
    """All figures of a level."""
    settings = TrainSettings(resolution=level_size(level), width=width, batch=batch, device=device.type)
    crops = {name: _crops(level, work / name) for name in ("A", "B")}
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        deeds = [
            _bare(settings, level, crops, device),
            _bare(replace(settings, precision="fp32"), level, crops, device),
            _step(replace(settings, optimiser="adam"), level, crops, device, pool),
            _step(settings, level, crops, device, pool),
        ]
        if compiles:
            deeds.append(_bare(settings, level, crops, device, compiles=True))
        seconds = _by_turns(deeds, device)
    images = [batch, batch, 2 * batch, 2 * batch, batch]
    return Speed(*(each / count for each, count in zip(seconds, images, strict=False)))


def _crops(level: int, path: Path) -> PersonaCrops:
    """Thirty-two crops of noise in a memory-mapped file, as the store keeps them."""
    import numpy as np

    side = round((1 + 2 * REACH) * 1.25 * level_size(level))
    pixels = np.memmap(path, np.float16, "w+", shape=(32, 4, side, side))
    pixels[:] = np.random.default_rng(0).random(pixels.shape, np.float32)
    landmarks = torch.from_numpy(np.random.default_rng(1).random((32, 68, 2), np.float32))
    return PersonaCrops(torch.from_numpy(pixels), landmarks, torch.arange(32), torch.arange(0))


def _bare(
    settings: TrainSettings, level: int, crops: dict[str, PersonaCrops], device: torch.device, compiles: bool = False
) -> Callable[[], None]:
    assert settings.batch is not None
    state = start_state(settings, CombDims(level, settings.width), ("A", "B"), device)
    comb = torch.compile(state.comb) if compiles else state.comb
    source = crops["A"].pixels[torch.arange(settings.batch) % 32].to(device)
    shown = augment(source, torch.zeros(len(source), DRAWS), level, settings, ModelSpace(), REACH).shown

    def run() -> None:
        with run_on(device, settings.precision):
            result = comb(shown, "A", level, 1.0)
        state.comb.zero_grad(set_to_none=True)
        result.sum().backward()

    return run


def _step(
    settings: TrainSettings,
    level: int,
    crops: dict[str, PersonaCrops],
    device: torch.device,
    pool: ThreadPoolExecutor,
) -> Callable[[], None]:
    batch = settings.batch
    assert batch is not None
    state = start_state(settings, CombDims(level, settings.width), ("A", "B"), device)
    ranks, phase = Ranks(), Phase(level, 1.0, 1e-4)
    feeder = Feeder(crops, level, batch, settings, ModelSpace(), REACH, device, ranks, pool)

    def run() -> None:
        batches = feeder.batches(state.iteration, state.iteration + 1)
        update(state, batches, batch, phase, settings, device, ranks)

    return run


def _by_turns(deeds: list[Callable[[], None]], device: torch.device) -> list[float]:
    """The least seconds of each over some rounds, after one to warm up."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    best = [math.inf] * len(deeds)
    started = time.monotonic()
    for rounds in range(100):
        for index, deed in enumerate(deeds):
            before = clock()
            deed()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if rounds:
                best[index] = min(best[index], clock() - before)
        if rounds >= LEAST_ROUNDS and time.monotonic() - started > LEVEL_SECONDS:
            break
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--levels", default="0-8")
    parser.add_argument("--batch", type=int, help="by default as training chooses it for the level")
    parser.add_argument("--compile", action="store_true", help="also the bare network through torch.compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", type=float)
    parser.add_argument("--no-run", action="store_true", help="the arithmetic only")
    options = parser.parse_args()
    keep_memory()
    if options.device == "cpu":
        torch.set_num_threads(1)
    first, _, last = options.levels.partition("-")
    dims = CombDims(8, options.width)
    print(f"CPU: {', '.join(cpu_features()) or 'no vector extensions known'}; width {options.width:g}\n")
    print("| level | px | GFLOP per crop | batch | bare bf16, crops/s | bf16 ÷ fp32 | step ÷ bare, Adam | Muon |")
    print("|---|---|---|---|---|---|---|---|")
    for level in range(int(first), int(last or first) + 1):
        gflop, batch = 6e-9 * multiply_adds(dims, level), options.batch or wanted_batch(level)
        row = f"| {level} | {level_size(level)} | {gflop:.2f} | {batch} "
        if not options.no_run:
            device = torch.device(options.device)
            with tempfile.TemporaryDirectory(prefix="bodydouble-speed-") as work:
                one = measure(level, options.width, batch, options.compile, device, Path(work))
            row += (
                f"| {1 / one.bare_bf16:.2f} | {one.bare_fp32 / one.bare_bf16:.2f} "
                f"| {one.bare_bf16 / one.step_adam:.0%} | {one.bare_bf16 / one.step_muon:.0%} "
            )
            if options.compile:
                row += f"| {one.bare_bf16 / one.compiled:.2f} times as fast compiled "
            if options.peak:
                row += f"| {gflop / one.step_muon / options.peak / 10:.1f} % of the peak "
        print(row + "|", flush=True)
    crops = ITERATIONS * PERSONAS
    flop = [6 * multiply_adds(dims, level) * crops * wanted_batch(level) for level in range(9)]
    total = sum(flop) + SETTLE / (1 - SETTLE) * 9 * flop[8]
    print(f"\nfull schedule at P = 2: {sum(flop):.3g} FLOP in the levels, {total:.3g} with the settling")
    if options.peak:
        print(f"hours at 40 % of {options.peak:g} TFLOP/s: {total / (0.4e12 * options.peak) / 3600:.0f}")


if __name__ == "__main__":
    main()
