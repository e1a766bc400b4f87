"""How much of a training step is the network, level by level, and how long the full schedule would take.

Per level, all in one run by turns and on the same batch, by default the one that training by iterations chooses:
processor time (on a GPU: wall time) per crop of

* **bare**: forward and backward pass of the network alone, sum of the output as the loss,
* **step**: everything a training does: crops from the store, augmentation, network, loss, optimiser.

Their ratio is the share of the hardware's speed that training gets. The matrix peak is measured in the same run, as
products of large square bf16 matrices; "of the peak" is what a level reaches of it, `training_hours.py` counting the
operations. bf16 against float32 depends on what the CPU has for it, which is told: AMX multiplies bf16 many times as
fast, AVX-512 BF16 at most twice.

With all nine levels measured, the hours of the full schedule (10^5 iterations a level, two personas) are those of the
steps measured here; below them those at some shares of the measured peak and of a GPU of 790 TFLOP/s.

Usage: python benchmarks/training_speed.py [--width 1] [--levels 0-8] [--batch N] [--rounds 2] [--compile]
       [--device cpu|cuda] [--parts] [--no-run]
       --compile: also the bare network through torch.compile (needs a C++ compiler).
       --parts: instead, what augmentation, loss and optimiser take of a step each; a fraction of the time, for large
       levels on a CPU. The optimiser's part is told for a batch of 16, whatever the batch measured.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bodydouble.network.comb import TOP_LEVEL, CombDims, level_size, multiply_adds
from bodydouble.network.devices import keep_memory, run_on
from bodydouble.network.parallel import Ranks
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import DRAWS, augment
from bodydouble.training.batchsize import USUAL, wanted_batch
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.iterating import Feeder, update
from bodydouble.training.losses import level_loss
from bodydouble.training.schedule import Phase
from bodydouble.training.training import start_state
from bodydouble.training.trainstate import TrainState
from timing import cpu_features
from training_hours import hours_at_speeds, hours_table, schedule_work, work_table

REACH = 0.1
MATTE_WIDTH, MATTE_HEIGHT = 0.77, 0.87
"""Of the oval, in sides of the unit crop: the mean of the rendered personas' mattes."""
LEVEL_SECONDS = 20
SHARES = (0.2, 0.3, 0.4)
GPU_PEAK = 790.0
"""TFLOP/s of a GPU as it is rented today, for the projection."""
SPEED_HEAD = (
    "| level | px | GFLOP per crop | batch | bare bf16, crops/s | of the peak | bf16 ÷ fp32 | step ÷ bare, Adam | Muon "
    "| step, of the peak |"
)
PARTS_HEAD = (
    "| level | px | batch | bare, ms per crop | augmenting ÷ bare | loss ÷ bare | Adam ÷ bare | Muon ÷ bare "
    "| step ÷ bare, Adam | Muon |"
)
PEAK_SIDE = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Speed:
    """Seconds per crop of one level; `compiled` is the bare network through torch.compile, where asked for."""

    bare_bf16: float
    bare_fp32: float
    step_adam: float
    step_muon: float
    compiled: float = math.nan


@dataclass(frozen=True)
class Parts:
    """Seconds of what a step is made of: per crop, and of the optimiser per update."""

    bare: float
    augmenting: float
    loss: float
    adam: float
    muon: float

    def share(self, optimiser_s: float, batch: int) -> float:
        """What share of a step with `batch` crops the bare network is."""
        return self.bare / (self.bare + self.augmenting + self.loss + optimiser_s / batch)


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of products of square matrices."""
    side = PEAK_SIDE.get(device.type, PEAK_SIDE["cpu"])
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    (seconds,) = by_turns([lambda: one @ other], device, rounds=10)
    return 2 * side**3 / seconds


def measure(
    level: int, width: float, batch: int, compiles: bool, device: torch.device, work: Path, rounds: int
) -> Speed:
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
        seconds = by_turns(deeds, device, rounds)
    images = [batch, batch, 2 * batch, 2 * batch, batch]
    return Speed(*(each / count for each, count in zip(seconds, images, strict=False)))


def measure_parts(level: int, width: float, batch: int, device: torch.device, work: Path, rounds: int) -> Parts:
    """What a step at a level is made of."""
    settings = TrainSettings(resolution=level_size(level), width=width, batch=batch, device=device.type)
    crops = {"A": _crops(level, work / "A")}
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        feeder = Feeder(crops, level, batch, settings, ModelSpace(), REACH, device, Ranks(), pool)
        one = feeder.batches(0, 1)[0][1]
        result = torch.rand_like(one.truth).requires_grad_()
        states = [
            start_state(replace(settings, optimiser=name), CombDims(level, width), ("A",), device)
            for name in ("adam", "muon")
        ]
        for state in states:
            _pass(state.comb, one.shown, settings, level, device)

        def lose() -> None:
            level_loss(result, one.truth, one.matte, level, settings, one.features).backward()

        def optimise(state: TrainState) -> Callable[[], None]:
            gradients = [None if weight.grad is None else weight.grad.clone() for weight in state.comb.parameters()]

            def run() -> None:
                for weight, gradient in zip(state.comb.parameters(), gradients, strict=True):
                    weight.grad = gradient
                state.optimiser.step()

            return run

        deeds = [
            lambda: _pass(states[0].comb, one.shown, settings, level, device),
            lambda: feeder.batches(1, 1),
            lose,
            *map(optimise, states),
        ]
        bare, augmenting, loss, adam, muon = by_turns(deeds, device, rounds)
    return Parts(bare / batch, augmenting / batch, loss / batch, adam, muon)


def _crops(level: int, path: Path) -> PersonaCrops:
    """Thirty-two crops of noise in a memory-mapped file, as the store keeps them; their mattes are a face's oval."""
    import numpy as np

    side = round((1 + 2 * REACH) * 1.25 * level_size(level))
    pixels = np.memmap(path, np.float16, "w+", shape=(32, 4, side, side))
    pixels[:] = np.random.default_rng(0).random(pixels.shape, np.float32)
    axis = ((np.arange(side) + 0.5) / side - 0.5) * 2 * (1 + 2 * REACH)
    pixels[:, 3] = np.hypot(axis / MATTE_WIDTH, axis[:, None] / MATTE_HEIGHT) < 1
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

    return lambda: _pass(comb, shown, settings, level, device)


def _pass(comb: Any, shown: Tensor, settings: TrainSettings, level: int, device: torch.device) -> None:
    """The bare network, forward and backward."""
    with run_on(device, settings.precision):
        result = comb(shown, "A", level, 1.0)
    comb.zero_grad(set_to_none=True)
    result.sum().backward()


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


def by_turns(deeds: Sequence[Callable[[], object]], device: torch.device, rounds: int) -> list[float]:
    """The least seconds of each over some rounds, after one to warm up."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    best = [math.inf] * len(deeds)
    started = time.monotonic()
    for done in range(100):
        for index, deed in enumerate(deeds):
            before = clock()
            deed()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if done:
                best[index] = min(best[index], clock() - before)
        if done >= rounds and time.monotonic() - started > LEVEL_SECONDS:
            break
    return best


def speed_row(level: int, batch: int, gflop: float, one: Speed, peak: float) -> str:
    """A line of the table. `peak`: FLOP/s."""
    bare, step = (1e9 * gflop / seconds / peak for seconds in (one.bare_bf16, one.step_muon))
    row = (
        f"| {level} | {level_size(level)} | {gflop:.2f} | {batch} | {1 / one.bare_bf16:.2f} | {bare:.0%} "
        f"| {one.bare_fp32 / one.bare_bf16:.2f} | {one.bare_bf16 / one.step_adam:.0%} "
        f"| {one.bare_bf16 / one.step_muon:.0%} | {step:.0%} |"
    )
    return row + ("" if math.isnan(one.compiled) else f" {one.bare_bf16 / one.compiled:.2f} times as fast compiled |")


def parts_row(level: int, batch: int, one: Parts) -> str:
    """A line of the table of parts."""
    least = max(USUAL, wanted_batch(level))
    return (
        f"| {level} | {level_size(level)} | {batch} | {1e3 * one.bare:.1f} | {one.augmenting / one.bare:.1%} "
        f"| {one.loss / one.bare:.1%} | {one.adam / one.bare / least:.1%} | {one.muon / one.bare / least:.1%} "
        f"| {one.share(one.adam, least):.0%} | {one.share(one.muon, least):.0%} |"
    )


def run_levels(options: argparse.Namespace, levels: range, peak: float) -> dict[int, float]:
    """Print the table; seconds per crop of a step at each level, nothing with --parts."""
    device = torch.device(options.device)
    print(PARTS_HEAD if options.parts else SPEED_HEAD)
    print("|---" * 10 + "|")
    crop_s: dict[int, float] = {}
    for level in levels:
        batch = options.batch or wanted_batch(level)
        with tempfile.TemporaryDirectory(prefix="bodydouble-speed-") as work:
            if options.parts:
                parts = measure_parts(level, options.width, batch, device, Path(work), options.rounds)
                print(parts_row(level, batch, parts), flush=True)
                continue
            one = measure(level, options.width, batch, options.compile, device, Path(work), options.rounds)
        gflop = 6e-9 * multiply_adds(CombDims(TOP_LEVEL, options.width), level)
        print(speed_row(level, batch, gflop, one, peak), flush=True)
        crop_s[level] = one.step_muon
    return crop_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--levels", default="0-8")
    parser.add_argument("--batch", type=int, help="by default as training chooses it for the level")
    parser.add_argument("--rounds", type=int, default=2, help="least rounds of a level, besides one to warm up")
    parser.add_argument("--compile", action="store_true", help="also the bare network through torch.compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--parts", action="store_true", help="what augmentation, loss and optimiser take each")
    parser.add_argument("--no-run", action="store_true", help="the arithmetic only")
    options = parser.parse_args()
    keep_memory()
    if options.device == "cpu":
        torch.set_num_threads(1)
    works = schedule_work(options.width, [wanted_batch(level) for level in range(TOP_LEVEL + 1)])
    peaks = {"a GPU's": GPU_PEAK}
    crop_s: dict[int, float] = {}
    if not options.no_run:
        device = torch.device(options.device)
        peak, float32 = (matrix_peak(device, dtype) for dtype in (torch.bfloat16, torch.float32))
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ", ".join(cpu_features())
        print(
            f"{device.type}: {name or 'no vector extensions known'}; width {options.width:g}; measured matrix peak ",
            end="",
        )
        print(f"{peak / 1e12:.3g} TFLOP/s bf16, {peak / float32:.2f} times float32\n")
        first, _, last = options.levels.partition("-")
        crop_s = run_levels(options, range(int(first), int(last or first) + 1), peak)
        peaks = {"measured": peak / 1e12} | peaks
    print(f"\nThe full schedule at P = 2, width {options.width:g}:\n\n{work_table(works)}\n")
    if len(crop_s) == len(works):
        print(f"at the speeds measured above: {hours_at_speeds(works, crop_s):,.1f} hours\n")
    print(f"Projected, not measured: hours of the network's operations\n\n{hours_table(works, peaks, SHARES)}")


if __name__ == "__main__":
    main()
