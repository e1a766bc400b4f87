"""What a training is: its facesets, its network, its schedule, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bodydouble.network.checkpoint import CombCard
from bodydouble.network.comb import CombDims, multiply_adds
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.cropstore import CropStore
from bodydouble.training.schedule import BUDGET_WEIGHTS, Phase, Schedule, by_weights
from bodydouble.training.trainstate import TrainState


@dataclass(frozen=True)
class TrainProgress:
    """One report of a running training.

    Attributes:
        level, size: growth stage trained now and its picture side in pixels.
        alpha: gain of that level.
        iteration: iterations done so far.
        progress: 0..1 over the whole training.
        loss: mean over the personas since the last report; `losses` of each.
        images_per_s: crops trained per second since the last report.
        seconds: training time so far, all runs together.
        seconds_left: estimate to the end; `level_seconds_left` to the end of the level.
        validation: loss of each persona's held-out crops, where it was looked at since the last report.
        batch: crops per persona and iteration.
        message: what happened ("saved", "done", …), else empty.
    """

    level: int
    size: int
    alpha: float
    iteration: int
    progress: float
    loss: float
    images_per_s: float
    seconds: float
    seconds_left: float
    message: str = ""
    level_seconds_left: float = float("nan")
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    batch: int = 0


@dataclass(frozen=True)
class TrainJob:
    """One training.

    Attributes:
        out: the model's folder.
        state_folder: where the state, curves and previews of this training lie.
        store: the crops of `personas`.
        card: what the model is, with the history of the runs before this one.
        plan: the schedule.
        space: colour encoding of the crops.
        adds: the one persona that is trained while all else is frozen; None to train everything.
    """

    out: Path
    state_folder: Path
    store: CropStore
    personas: tuple[str, ...]
    card: CombCard
    plan: Schedule
    settings: TrainSettings
    space: ModelSpace
    adds: str | None = None

    @property
    def iterations(self) -> float:
        """Length of a training that goes by iterations, the settling included."""
        return sum(self.settings.level_iterations) / (1 - self.settings.settle)

    def progress(self, state: TrainState) -> float:
        """0..1 over the whole training."""
        if self.settings.time_budget_s:
            return min(1.0, state.seconds / self.settings.time_budget_s)
        return min(1.0, state.iteration / self.iterations)

    def seconds_left(self, state: TrainState, phase: Phase, iteration_s: float) -> tuple[float, float]:
        """To the end of the level and of the training, at `iteration_s` seconds per iteration now.

        By iterations a level above costs more by its share of multiply-adds.
        """
        progress = min(self.progress(state), phase.end)
        budget = self.settings.time_budget_s
        if budget:
            return (phase.end - progress) * budget, (1 - progress) * budget
        level_left = (phase.end - progress) * self.iterations * iteration_s
        return level_left, level_left + self._above(phase, iteration_s)

    def _above(self, phase: Phase, iteration_s: float) -> float:
        if phase.settling:
            return 0.0
        dims, top = self.card.dims, len(self.plan.shares) - 1
        shares = {level: self.plan.shares[level] for level in range(phase.level + 1, top + 1)}
        shares[top] = shares.get(top, 0.0) + self.plan.settle
        full = CombDims(top, dims.width)
        ratio = iteration_s / multiply_adds(full, phase.level)
        return sum(share * self.iterations * ratio * multiply_adds(full, level) for level, share in shares.items())


def plan_of(settings: TrainSettings) -> Schedule:
    """The schedule that the settings ask for."""
    counts = settings.level_iterations
    weights = tuple(
        weight if count else 0.0 for weight, count in zip(BUDGET_WEIGHTS, counts, strict=False)
    )  # a budget too skips the levels that shall have no iterations
    chosen = weights if settings.time_budget_s else tuple(map(float, counts))
    return by_weights(chosen, settings.settle, *settings.rates, settings.settle_form)
