"""The training schedule: level, gain α and learning rate as a pure function of progress.

Progress runs from 0 to 1 over the whole training. Each level gets a share of it; during the first half of its share a
new level fades in with α from 0 to 1 (the patent's "L/2 iterations", read as half of the level's iterations); after
the last level a settling phase runs at a lower learning rate. A level with no share is skipped, and the first one
that is trained is there at once: shares of (0, 0, 0, 1) train straight at level 3. Resuming needs one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettleForm = Literal["ramp", "step"]

BUDGET_WEIGHTS = (0.5, 0.5, 2.0, 6.0, 14.0, 30.0, 40.0, 50.0, 60.0)
"""Shares of the levels under a time budget: a pixel of a high level costs more time and carries more to learn."""


@dataclass(frozen=True)
class Phase:
    """Where training stands.

    Attributes:
        level, alpha, learning_rate: what is trained now, at which gain and rate.
        settling: after the last level.
        end: progress at which the level's share ends; 1 while settling.
    """

    level: int
    alpha: float
    learning_rate: float
    settling: bool = False
    end: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """Shares of progress per level, ending with the settling phase.

    Attributes:
        shares: one share per level 0.., sum with `settle` to 1; 0 skips a level, but not the last.
        settle: share of the phase after the last level.
        learning_rate, settle_learning_rate: of the two.
        settle_form: the settling begins at the lower rate ("step"), or falls to it exponentially ("ramp").
    """

    shares: tuple[float, ...]
    settle: float
    learning_rate: float
    settle_learning_rate: float
    settle_form: SettleForm = "step"

    def __post_init__(self) -> None:
        fits = self.shares and min(self.shares) >= 0 and self.shares[-1] > 0
        if not fits or abs(sum(self.shares) + self.settle - 1) > 1e-9:
            raise ValueError(f"shares of a schedule are not negative, the last is above 0, all sum to one: {self}")

    def at(self, progress: float) -> Phase:
        """The phase at `progress` in [0, 1]."""
        start = 0.0
        for level, share in enumerate(self.shares):
            if progress < start + share:
                alpha = min(1.0, 2 * (progress - start) / share) if start > 0 else 1.0
                return Phase(level, alpha, self.learning_rate, end=start + share)
            start += share
        rate = self.settle_learning_rate
        if self.settle_form == "ramp" and self.settle > 0:
            done = min(1.0, (progress - start) / self.settle)
            rate = self.learning_rate * (rate / self.learning_rate) ** done
        return Phase(len(self.shares) - 1, 1.0, rate, settling=True)


def by_weights(
    weights: tuple[float, ...],
    settle: float,
    learning_rate: float,
    settle_learning_rate: float,
    settle_form: SettleForm = "step",
) -> Schedule:
    """Schedule whose levels share progress in proportion to `weights`, with `settle` in [0, 1) left for the end."""
    total = sum(weights)
    shares = tuple(weight / total * (1 - settle) for weight in weights)
    return Schedule(shares, settle, learning_rate, settle_learning_rate, settle_form)
