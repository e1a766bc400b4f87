"""What the full schedule costs: operations by level, and the hours they take. Arithmetic; nothing is measured here.

Of a crop: the multiply-adds of its way through encoder, trunk and one decoder, twice for two operations each, three
times for the pass forward and the two products of the pass back (gradients of the features and of the weights).
Of a level: 10^5 iterations, in each of which every persona in turn sends a batch of its own through all of that. The
settling, a tenth of the whole, is as many iterations at the top level as make up a tenth.
Of an update with Muon: the products of `optimisers.orthogonal` for every hidden kernel; an update for each batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from bodydouble.network.comb import TOP_LEVEL, Comb, CombDims, level_size, multiply_adds
from bodydouble.training.optimisers import as_matrix, is_hidden

ITERATIONS, SETTLE = 100_000, 0.1
STEP_PRODUCTS = 34
"""What M×M products Muon's five steps are made of, in M³ operations: five squares, four joined factors, eight moves."""


@dataclass(frozen=True)
class LevelWork:
    """What a level of the schedule asks for.

    Attributes:
        batch: crops of a persona in an iteration.
        crop_flop: operations of one crop, forward and backward.
        muon_float32, muon_bf16: operations of one update's products.
        updates: how many of them, the settling's among them at the top level.
    """

    level: int
    batch: int
    crop_flop: float
    muon_float32: float
    muon_bf16: float
    updates: float

    @property
    def crops(self) -> float:
        return self.updates * self.batch

    @property
    def network_flop(self) -> float:
        return self.crops * self.crop_flop


def schedule_work(width: float, batches: Sequence[int], personas: int = 2) -> tuple[LevelWork, ...]:
    """The levels 0..8 of the full schedule with these batches."""
    settling = ITERATIONS * len(batches) * SETTLE / (1 - SETTLE)
    iterations = [ITERATIONS + (settling if level == TOP_LEVEL else 0.0) for level in range(len(batches))]
    return tuple(
        LevelWork(
            level,
            batch,
            6.0 * multiply_adds(CombDims(TOP_LEVEL, width), level),
            *muon_flop(width, level),
            count * personas,
        )
        for level, (batch, count) in enumerate(zip(batches, iterations, strict=True))
    )


def muon_flop(width: float, level: int) -> tuple[float, float]:
    """Operations of an update's products in float32 and in bfloat16."""
    with torch.device("meta"):
        comb = Comb(CombDims(level, width), ("A",))
    exact = rounded = 0.0
    for weight in filter(is_hidden, comb.parameters()):
        rows, columns = sorted(as_matrix(weight).shape)
        exact += 2.0 * rows**2 * columns + STEP_PRODUCTS * rows**3
        rounded += 2.0 * rows**2 * columns
    return exact, rounded


def hours_at_share(works: Sequence[LevelWork], tflops: float, share: float) -> float:
    """Hours of the network's operations where a share of a matrix peak is reached throughout."""
    return sum(one.network_flop for one in works) / (tflops * 1e12 * share) / 3600


def hours_at_speeds(works: Sequence[LevelWork], crop_s: Mapping[int, float]) -> float:
    """Hours at the seconds that a crop takes at each level, whole steps counted."""
    return sum(one.crops * crop_s[one.level] for one in works) / 3600


def work_table(works: Sequence[LevelWork]) -> str:
    """Markdown: what each level asks for."""
    lines = [
        "| level | px | batch | GFLOP per crop | updates | network, FLOP | Muon per update, GFLOP float32 + bf16 |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in works:
        lines.append(
            f"| {one.level} | {level_size(one.level)} | {one.batch} | {one.crop_flop / 1e9:.1f} | {one.updates:.3g} "
            f"| {one.network_flop:.3g} | {one.muon_float32 / 1e9:.0f} + {one.muon_bf16 / 1e9:.0f} |"
        )
    network = sum(one.network_flop for one in works)
    muon = sum(one.updates * one.muon_float32 for one in works)
    return "\n".join([*lines, "", f"together {network:.3g} FLOP in the network, {muon:.3g} in Muon's float32 products"])


def hours_table(works: Sequence[LevelWork], peaks: Mapping[str, float], shares: Sequence[float]) -> str:
    """Markdown: hours of the network's operations by peak (TFLOP/s) and share of it."""
    lines = ["| bf16 matrix peak | " + " | ".join(f"at {share:.0%}" for share in shares) + " |"]
    lines.append("|---" * (len(shares) + 1) + "|")
    for name, tflops in peaks.items():
        cells = " | ".join(f"{hours_at_share(works, tflops, share):,.1f} h" for share in shares)
        lines.append(f"| {name}, {tflops:.3g} TFLOP/s | {cells} |")
    return "\n".join(lines)
